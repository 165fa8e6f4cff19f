// The reduce kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// sumsq: the sum of (x - shift)^2, shift one value an output (optional, 0). max and min let NaN through.
enum class Reduce : int { sum, prod, max, min, sumsq };

// y[kept...] = op over the reduced axes of x[kept..., reduced...]. y is contiguous in the order of the kept
// axes. The axis of x with stride 1, if any, is the last of its group. bool has max (any) and min (all)
// alone.
struct ReduceArgs {
  Reduce op;
  const void* x;
  void* y;
  const void* shift;  // like y (optional)
  double divisor;     // of the result, for means (0: none)
  int kept_ndim, reduced_ndim;
  int64_t kept[kMaxDims], kept_strides[kMaxDims], reduced[kMaxDims], reduced_strides[kMaxDims];
};

// indices[o, i] = the first k with the largest (smallest) x[o, k, i]; NaN is the largest and the smallest. x
// contiguous, n > 0.
struct ArgReduceArgs {
  bool largest;
  const void* x;     // (outer, n, inner)
  void* values;      // (outer, inner) (optional)
  int64_t* indices;  // (outer, inner)
  int64_t outer, n, inner;
};

// y[o, k, i] = op of x[o, 0..k, i]; of x[o, k.., i] with reverse; without x[o, k, i] itself with exclusive. y
// may be x.
struct ScanArgs {
  Reduce op;  // sum or prod
  bool reverse, exclusive;
  const void* x;  // (outer, n, inner), contiguous
  void* y;        // likewise
  int64_t outer, n, inner;
};

// values[o, k, i] = the largest (smallest) of x[o, 0..k, i], indices where it last stood; NaN is the largest
// and the smallest.
struct CumExtremeArgs {
  bool largest;
  const void* x;     // (outer, n, inner), contiguous
  void* values;      // likewise
  int64_t* indices;  // likewise
  int64_t outer, n, inner;
};

// y[o, k, i] = log of the sum of e^x[o, 0..k, i]; of e^x[o, k.., i] with reverse.
struct LogCumsumArgs {
  bool reverse;
  const void* x;  // (outer, n, inner), contiguous
  void* y;        // likewise
  int64_t outer, n, inner;
};

// clang-format off
#define DLCORE_KERNELS_REDUCE(X)      \
  X(reduce, ReduceArgs, ALL)          \
  X(arg_reduce, ArgReduceArgs, ALL)   \
  X(scan, ScanArgs, ALL)              \
  X(cum_extreme, CumExtremeArgs, ALL) \
  X(logcumsumexp, LogCumsumArgs, FLOATS)
// clang-format on

}  // namespace dlcore
