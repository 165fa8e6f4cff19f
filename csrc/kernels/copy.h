// The copy kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// y[i...] = (T)x[i...]: strided copy with conversion from `x_dtype`. The op has collapsed the axes; the last
// is the fastest for y. xs may hold zeros (broadcast) and negative strides.
struct CopyArgs {
  const void* x;
  void* y;
  DType x_dtype;
  int ndim;
  int64_t shape[kMaxDims], xs[kMaxDims], ys[kMaxDims];
};

// clang-format off
#define DLCORE_KERNELS_COPY(X)        \
  X(copy, CopyArgs, ALL)
// clang-format on

}  // namespace dlcore
