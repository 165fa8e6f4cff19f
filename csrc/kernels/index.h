// The index kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Indices are int64, contiguous, and within bounds: the op has checked them and made negative ones positive.
// y[o, i, :] = x[o, index[i], :] for x (outer, n, inner), index (m,), y (outer, m, inner).
struct TakeArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int64_t outer, n, m, inner;
  int64_t x_os, x_rs;  // strides of x's two first axes; the inner elements are a run
};
// y[o, index[i], :] += x[o, i, :] (or = without accumulate), in the order of i: for equal indices the last
// one stays. y is contiguous.
struct PutArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int64_t outer, n, m, inner;
  bool accumulate;
};
// y[..., i, ...] = x[..., index[..., i, ...], ...] along `axis`, everything but the index's own shape by
// strides; y and index are contiguous.
struct GatherArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int ndim, axis;
  int64_t shape[kMaxDims], xs[kMaxDims];  // of index and y
};
// y[..., index[..., i, ...], ...] += x[..., i, ...] (or =), in the order of i along `axis`.
struct ScatterArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int ndim, axis;
  int64_t shape[kMaxDims], xs[kMaxDims], is[kMaxDims], ys[kMaxDims];  // shape of index
  bool accumulate;
};
// y[b, i, j] = x[b, i, j] where j - i <= diagonal (lower) or >= diagonal (upper), else 0; both contiguous.
struct TriangleArgs {
  const void* x;
  void* y;
  int64_t batch, rows, cols, diagonal;
  bool lower;
};

// clang-format off
#define DLCORE_KERNELS_INDEX(X)       \
  X(take, TakeArgs, ALL)              \
  X(put, PutArgs, ALL)                \
  X(gather, GatherArgs, ALL)          \
  X(scatter, ScatterArgs, ALL)        \
  X(triangle, TriangleArgs, ALL)
// clang-format on

}  // namespace dlcore
