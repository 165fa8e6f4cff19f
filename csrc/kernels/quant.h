// The kernels of weights kept in fewer bits; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// How a row of K numbers is kept: int8: K bytes, two's complement, times the row's scale; bf16: 2 K bytes,
// the upper halves of float32.
enum class Quant : int { int8 = 0, bf16 = 1 };

// y (M,N) = x (M,K) W^T + bias, rows of x and y contiguous; for few rows, since the weight is widened anew
// for each four of them.
struct QuantLinearArgs {
  const void* x;
  const uint8_t* w;   // N rows
  const void* scale;  // (N,) (int8 only)
  const void* bias;   // (N,) (optional)
  void* y;
  int64_t M, N, K;
  Quant kind;
};
// y (N,K) = W.
struct QuantWidenArgs {
  const uint8_t* w;
  const void* scale;
  void* y;
  int64_t N, K;
  Quant kind;
};

// clang-format off
#define DLCORE_KERNELS_QUANT(X)             \
  X(quant_linear, QuantLinearArgs, FLOATS)  \
  X(quant_widen, QuantWidenArgs, FLOATS)
// clang-format on

}  // namespace dlcore
