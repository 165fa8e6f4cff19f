// The matmul kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// C[b] (M,N) = act(A[b] (M,K) @ B[b] (K,N) + bias), b a batch index of up to kMaxDims-2 axes.
// A and B take any strides (0 and negative included); C has unit column stride unless c_cs says otherwise.
// accumulate: C += A @ B (no bias, no act). Without it C is never read.
struct MatmulArgs {
  const void* a;
  const void* b;
  void* c;
  int64_t M, N, K;
  int64_t a_rs, a_cs, b_rs, b_cs, c_rs, c_cs;
  int batch_ndim;
  int64_t batch_shape[kMaxDims], a_bs[kMaxDims], b_bs[kMaxDims], c_bs[kMaxDims];
  const void* bias;  // (N,) contiguous (optional)
  Act act;
  bool accumulate;
};

// clang-format off
#define DLCORE_KERNELS_MATMUL(X)      \
  X(matmul, MatmulArgs, FLOATS)
// clang-format on

}  // namespace dlcore
