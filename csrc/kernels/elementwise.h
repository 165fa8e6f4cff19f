// The elementwise kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Operands broadcast by strides of 0. The op has sorted the axes by y's strides and collapsed them: ndim >=
// 1, y's last stride is 1, the inputs' last strides are 0 or 1. y may be one of the inputs if their strides
// agree.

// y[0..n) = d, or i for integer types.
struct FillArgs {
  void* y;
  int64_t n;
  double d;
  int64_t i;
};

// floor_divide, remainder: Python's, the sign of the divisor; an integer divided by 0 gives 0 (the op has
// refused it). logistic_loss: -log of the probability that sigmoid(a) gives to b, log(1 + e^a) - a b;
// logistic_slope: its derivative, sigmoid(a) - b.
// clang-format off
#define DLCORE_BINARY(X)                                                                                      \
  X(add) X(sub) X(mul) X(div) X(maximum) X(minimum) X(floor_divide) X(remainder) X(fmod) X(pow) X(atan2)      \
  X(logical_and) X(logical_or) X(logical_xor) X(logistic_loss) X(logistic_slope)
// clang-format on
enum class Binary : int {
#define DLCORE_ENUM(name) name,
  DLCORE_BINARY(DLCORE_ENUM)
#undef DLCORE_ENUM
};

// y = a op b
struct BinaryArgs {
  Binary op;
  const void* a;
  const void* b;
  void* y;
  int ndim;
  int64_t shape[kMaxDims], as[kMaxDims], bs[kMaxDims], ys[kMaxDims];
};

// y (bool) = a op b
enum class Compare : int { eq, ne, lt, le, gt, ge };
struct CompareArgs {
  Compare op;
  const void* a;
  const void* b;
  bool* y;
  int ndim;
  int64_t shape[kMaxDims], as[kMaxDims], bs[kMaxDims], ys[kMaxDims];
};

// y = condition ? a : b
struct WhereArgs {
  const bool* condition;
  const void* a;
  const void* b;
  void* y;
  int ndim;
  int64_t shape[kMaxDims], cs[kMaxDims], as[kMaxDims], bs[kMaxDims], ys[kMaxDims];
};

// y = op(x); p and q are the parameters of those that have some (slopes, bounds, thresholds). Integer types
// have neg, abs, square, sign, relu, clamp alone; `sigmoid` and `tanh` in the backward read the output, see
// UnaryBackwardArgs.
// clang-format off
#define DLCORE_UNARY(X)                                                                                        \
  X(neg) X(abs) X(square) X(sign) X(relu) X(clamp)                                                             \
  X(exp) X(expm1) X(log) X(log1p) X(log2) X(log10) X(sqrt) X(rsqrt) X(reciprocal) X(sin) X(cos) X(tan)         \
  X(tanh) X(sigmoid) X(erf) X(floor) X(ceil) X(round) X(trunc)                                                 \
  X(gelu) X(gelu_tanh) X(silu) X(softplus) X(leaky_relu) X(elu) X(hardtanh) X(hardswish) X(hardsigmoid)        \
  X(mish) X(softsign) X(logsigmoid) X(threshold) X(hardshrink) X(softshrink) X(huber)
// clang-format on
enum class Unary : int {
#define DLCORE_ENUM(name) name,
  DLCORE_UNARY(DLCORE_ENUM)
#undef DLCORE_ENUM
};

struct UnaryArgs {
  Unary op;
  const void* x;
  void* y;
  int ndim;
  int64_t shape[kMaxDims], xs[kMaxDims], ys[kMaxDims];
  double p, q;
};

// dx = dy op'(x) in one pass. `saved` is the output y for relu, exp, expm1, sqrt, rsqrt, reciprocal, tan,
// tanh, sigmoid and the input x for the others.
struct UnaryBackwardArgs {
  Unary op;
  const void* dy;
  const void* saved;
  void* dx;
  int ndim;
  int64_t shape[kMaxDims], gs[kMaxDims], ss[kMaxDims], ys[kMaxDims];
  double p, q;
};

// clang-format off
#define DLCORE_KERNELS_ELEMENTWISE(X) \
  X(fill, FillArgs, ALL)              \
  X(binary, BinaryArgs, ALL)          \
  X(compare, CompareArgs, ALL)        \
  X(where, WhereArgs, ALL)            \
  X(unary, UnaryArgs, ALL)            \
  X(unary_backward, UnaryBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
