// The softmax kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// y = softmax(x), or log_softmax(x), over the middle axis of (outer, n, inner), all contiguous.
struct SoftmaxArgs {
  const void* x;
  void* y;
  int64_t outer, n, inner;
  bool log;
};
// From the output alone.
struct SoftmaxBackwardArgs {
  const void* y;
  const void* dy;
  void* dx;
  int64_t outer, n, inner;
  bool log;
};

// clang-format off
#define DLCORE_KERNELS_SOFTMAX(X)     \
  X(softmax_forward, SoftmaxArgs, FLOATS) \
  X(softmax_backward, SoftmaxBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
