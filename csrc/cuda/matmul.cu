// C = act(A B + bias) in float32 or float64 without tensor cores: tiles of A and B in shared memory, a square
// of C in each thread's registers. Any strides, batches, accumulation. No split over K, so results have one
// order of sums.
//
// 256 threads are a 16 x 16 grid. A thread's S x S elements of C lie 16 apart (rows ty + 16 i, columns tx +
// 16 j), so that a warp reads consecutive words of B's tile and stores consecutive columns of C.
#include "cuda/common.cuh"

namespace dlcore {
namespace cuda {
namespace {

constexpr int kSide = 16;

template <class T>
__device__ T activate(T v, Act act) {
  switch (act) {
    case Act::none:
      return v;
    case Act::relu:
      return v < T(0) ? T(0) : v;
    case Act::sigmoid:
      return T(1) / (T(1) + exp(-v));
    case Act::tanh:
      return tanh(v);
  }
  return v;
}

template <class T, int S, int BK>
__global__ void __launch_bounds__(kThreads) matmul_kernel(MatmulArgs p, MatmulPlan plan) {
  constexpr int B = S * kSide;
  __shared__ T sa[BK][B + 1], sb[BK][B + 1];  // + 1: columns written by a warp fall into different banks
  const int tx = threadIdx.x % kSide, ty = threadIdx.x / kSide;
  // Consecutive threads load along the axis that lies together in memory.
  const bool a_by_k = p.a_cs == 1, b_by_k = p.b_rs == 1 && p.b_cs != 1;
  for (int64_t tile = blockIdx.x; tile < plan.tiles; tile += gridDim.x) {
    const T *a = static_cast<const T*>(p.a), *b = static_cast<const T*>(p.b);
    T* c = static_cast<T*>(p.c);
    int64_t batch = tile / (plan.rows * plan.cols);
    for (int d = p.batch_ndim - 1; d >= 0; --d) {
      const int64_t i = batch % p.batch_shape[d];
      batch /= p.batch_shape[d];
      a += i * p.a_bs[d], b += i * p.b_bs[d], c += i * p.c_bs[d];
    }
    const int64_t m0 = tile / plan.cols % plan.rows * B, n0 = tile % plan.cols * B;
    T acc[S][S] = {};
    for (int64_t k0 = 0; k0 < p.K; k0 += BK) {
      for (int e = threadIdx.x; e < B * BK; e += kThreads) {
        const int am = a_by_k ? e / BK : e % B, ak = a_by_k ? e % BK : e / B;
        sa[ak][am] = m0 + am < p.M && k0 + ak < p.K ? a[(m0 + am) * p.a_rs + (k0 + ak) * p.a_cs] : T(0);
        const int bn = b_by_k ? e / BK : e % B, bk = b_by_k ? e % BK : e / B;
        sb[bk][bn] = n0 + bn < p.N && k0 + bk < p.K ? b[(k0 + bk) * p.b_rs + (n0 + bn) * p.b_cs] : T(0);
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < BK; ++k) {
        T fa[S], fb[S];
#pragma unroll
        for (int i = 0; i < S; ++i) fa[i] = sa[k][ty + i * kSide], fb[i] = sb[k][tx + i * kSide];
#pragma unroll
        for (int i = 0; i < S; ++i)
#pragma unroll
          for (int j = 0; j < S; ++j) acc[i][j] += fa[i] * fb[j];
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < S; ++i) {
      const int64_t m = m0 + ty + i * kSide;
#pragma unroll
      for (int j = 0; j < S; ++j) {
        const int64_t n = n0 + tx + j * kSide;
        if (m >= p.M || n >= p.N) continue;
        T* out = c + m * p.c_rs + n * p.c_cs;
        if (p.accumulate)
          *out += acc[i][j];
        else
          *out = activate(p.bias ? acc[i][j] + static_cast<const T*>(p.bias)[n] : acc[i][j], p.act);
      }
    }
  }
}

}  // namespace

template <class T>
void matmul(const MatmulArgs& p) {
  const MatmulPlan plan = plan_matmul(p.M, p.N, count(p.batch_ndim, p.batch_shape), sizeof(T));
  if (plan.blocks == 0) return;
  select_device_of(p.c);
  const auto blocks = static_cast<unsigned>(plan.blocks);
  if constexpr (sizeof(T) == 4) {
    if (plan.tile == 128) {
      matmul_kernel<T, 8, 8><<<blocks, kThreads>>>(p, plan);
      return;
    }
  }
  matmul_kernel<T, 4, 16><<<blocks, kThreads>>>(p, plan);
}

DLCORE_CUDA_FLOATS(matmul, MatmulArgs)

}  // namespace cuda
}  // namespace dlcore
