// Matrix products. Three paths, chosen by sizes and strides alone (never by threads, so results are the same
// bits):
//   dot     a few rows against B stored by columns (x @ W.T with W row-major): dot products along k, B read
//   once direct  a few rows, or a small product, with B stored by rows: no packing packed  everything else,
//   through the GEMM driver
#include "kernels/matmul.h"

#include "cpu/gemm.h"
#include "cpu/stream.h"
#include "cpu/vmath.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T>
struct BiasAct {
  const T* bias;  // a column's bias (optional)
  Act act;
  DLCORE_INLINE Vec<T> operator()(Vec<T> x, int64_t, int64_t col, int n) const {
    if (bias) x += n == kLanes<T> ? load(bias + col) : load_n(bias + col, n);
    return act == Act::none ? x : activate<T>(act, x);
  }
};

// One matrix product; C takes any strides here.
template <class T>
struct Problem {
  const T* a;
  const T* b;
  T* c;
  int64_t M, N, K, a_rs, a_cs, b_rs, b_cs, c_rs, c_cs;
  const T* bias;
  int64_t bias_rs, bias_cs;  // 0 and 1, or 1 and 0 after a swap
  Act act;
  bool accumulate;

  // C^T = B^T A^T: the same numbers, rows and columns exchanged.
  Problem swapped() const {
    return {b, a, c, N, M, K, b_cs, b_rs, a_cs, a_rs, c_cs, c_rs, bias, bias_cs, bias_rs, act, accumulate};
  }
};

constexpr int64_t kDotRows = 4;  // rows of A a pass of the dot path holds in registers

// R rows of A (contiguous along k) against 4 columns of B (contiguous along k): R x 4 vector sums.
template <class T, int R, int Q>
DLCORE_INLINE void dot_tile(const Problem<T>& p, const T* a, int64_t lda, int64_t i, int64_t j) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[R][Q];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) acc[r][q] = Vec<T>{};
  const T* b = p.b + j * p.b_cs;
  int64_t k = 0;
  for (; k + L <= p.K; k += L) {
    Vec<T> av[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) av[r] = load(a + r * lda + k);
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      __builtin_prefetch(reinterpret_cast<const char*>(b + q * p.b_cs + k) + kStreamAhead, 0, 2);
      const Vec<T> bv = load(b + q * p.b_cs + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][q] = fma(av[r], bv, acc[r][q]);
    }
  }
  if (const int left = static_cast<int>(p.K - k)) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      const Vec<T> bv = load_n(b + q * p.b_cs + k, left);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][q] = fma(load_n(a + r * lda + k, left), bv, acc[r][q]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int q = 0; q < Q; ++q) {
      T* c = p.c + (i + r) * p.c_rs + (j + q) * p.c_cs;
      T x = hsum<T>(acc[r][q]);
      if (p.accumulate) x += *c;
      if (p.bias) x += p.bias[(i + r) * p.bias_rs + (j + q) * p.bias_cs];
      if (p.act != Act::none) x = activate<T>(p.act, splat(x))[0];
      *c = x;
    }
  }
}

template <class T, int R>
void dot_rows(const Problem<T>& p, const T* a, int64_t lda, int64_t i, int64_t j0, int64_t j1) {
  int64_t j = j0;
  for (; j + 4 <= j1; j += 4) dot_tile<T, R, 4>(p, a, lda, i, j);
  for (; j < j1; ++j) dot_tile<T, R, 1>(p, a, lda, i, j);
}

template <class T>
void run_dot(const Problem<T>& p) {
  const T* a = p.a;
  int64_t lda = p.a_rs;
  if (p.a_cs != 1) {  // the few rows of A made contiguous
    T* buf = scratch<T>(2, p.M * p.K);
    for (int64_t i = 0; i < p.M; ++i)
      for (int64_t k = 0; k < p.K; ++k) buf[i * p.K + k] = p.a[i * p.a_rs + k * p.a_cs];
    a = buf;
    lda = p.K;
  }
  // Multiples of 4 columns, so that a column falls into the same tile at any number of threads.
  const int64_t grain = ceil_div(max64(4, kGrain / max64(1, p.M * p.K / 4)), 4) * 4;
  parallel_for(p.N, grain, [&](int64_t j0, int64_t j1) {
    int64_t i = 0;
    for (; i + 4 <= p.M; i += 4) dot_rows<T, 4>(p, a + i * lda, lda, i, j0, j1);
    if (p.M - i == 3) dot_rows<T, 3>(p, a + i * lda, lda, i, j0, j1);
    if (p.M - i == 2) dot_rows<T, 2>(p, a + i * lda, lda, i, j0, j1);
    if (p.M - i == 1) dot_rows<T, 1>(p, a + i * lda, lda, i, j0, j1);
  });
}

// R rows x V vectors of C without packing; B has unit column stride. The last strip may be partial (n
// columns).
template <class T, int R, int V>
DLCORE_INLINE void direct_tile(const Problem<T>& p, int64_t i, int64_t j, int64_t n) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[r][v] = Vec<T>{};
  const T* a = p.a + i * p.a_rs;
  const T* b = p.b + j;
  const BiasAct<T> epilogue{p.bias, p.act};
  if (n == V * L) {
    for (int64_t k = 0; k < p.K; ++k, a += p.a_cs, b += p.b_rs) {
      Vec<T> bv[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) bv[v] = load(b + v * L);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec<T> av = splat(a[r * p.a_rs]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
      }
    }
  } else {  // one vector (V == 1), perhaps partial
    for (int64_t k = 0; k < p.K; ++k, a += p.a_cs, b += p.b_rs) {
      const Vec<T> bv = load_n(b, static_cast<int>(n));
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc[r][0] = fma(splat(a[r * p.a_rs]), bv, acc[r][0]);
    }
  }
  for (int r = 0; r < R; ++r) {
    T* c = p.c + (i + r) * p.c_rs + j;
    for (int v = 0; v < V; ++v) {
      const int m = static_cast<int>(min64(L, n - v * L));
      Vec<T> x = acc[r][v];
      if (m == L) {
        if (p.accumulate) x += load(c + v * L);
        store(c + v * L, epilogue(x, i + r, j + v * L, L));
      } else {
        if (p.accumulate) x += load_n(c + v * L, m);
        store_n(c + v * L, epilogue(x, i + r, j + v * L, m), m);
      }
    }
  }
}

template <class T, int R>
void direct_rows(const Problem<T>& p, int64_t i, int64_t j0, int64_t j1) {
  constexpr int L = kLanes<T>;
  constexpr int V = kVecBytes == 64 ? (R <= 2 ? 8 : 4) : (R == 1 ? 8 : R <= 3 ? 4 : 2);
  int64_t j = j0;
  for (; j + V * L <= j1; j += V * L) direct_tile<T, R, V>(p, i, j, V * L);
  for (; j < j1; j += L) direct_tile<T, R, 1>(p, i, j, min64(L, j1 - j));
}

template <class T>
void run_direct(const Problem<T>& p) {
  const int64_t strip = 8 * kLanes<T>;
  const int64_t grain = ceil_div(max64(strip, kGrain * 4 / max64(1, p.M * p.K)), strip) * strip;
  parallel_for(p.N, grain, [&](int64_t j0, int64_t j1) {
    for (int64_t i = 0; i < p.M; i += 6) {
      switch (min64(6, p.M - i)) {
        case 6:
          direct_rows<T, 6>(p, i, j0, j1);
          break;
        case 5:
          direct_rows<T, 5>(p, i, j0, j1);
          break;
        case 4:
          direct_rows<T, 4>(p, i, j0, j1);
          break;
        case 3:
          direct_rows<T, 3>(p, i, j0, j1);
          break;
        case 2:
          direct_rows<T, 2>(p, i, j0, j1);
          break;
        default:
          direct_rows<T, 1>(p, i, j0, j1);
          break;
      }
    }
  });
}

template <class T>
void multiply(const Problem<T>& p) {
  if (p.K == 0) return run_direct(p);  // zeros, bias, activation; reads neither A nor B
  const Problem<T> s = p.swapped();
  if (p.M <= 2 * kDotRows && p.b_rs == 1 && p.K >= kLanes<T>) return run_dot(p);
  if (s.M <= 2 * kDotRows && s.b_rs == 1 && s.K >= kLanes<T>) return run_dot(s);
  // Few columns of A: C is written once, and nothing is worth packing.
  const bool small = p.M <= 16 || p.K <= 4 || p.M * p.N * p.K <= 100 * 100 * 100;
  if (small && p.b_cs == 1 && p.c_cs == 1) return run_direct(p);
  if (p.c_cs == 1)
    return gemm<T>(p.M, p.N, p.K, PackRows<T>{p.a, p.a_rs, p.a_cs}, PackCols<T>{p.b, p.b_rs, p.b_cs}, p.c,
                   p.c_rs, p.accumulate, BiasAct<T>{p.bias, p.act});
  // C with unit row stride and no bias (see ops/matmul.cpp): the transposed product.
  gemm<T>(s.M, s.N, s.K, PackRows<T>{s.a, s.a_rs, s.a_cs}, PackCols<T>{s.b, s.b_rs, s.b_cs}, s.c, s.c_rs,
          s.accumulate, BiasAct<T>{nullptr, s.act});
}

}  // namespace

template <class T>
void matmul(const MatmulArgs& p) {
  int64_t batch = 1;
  for (int d = 0; d < p.batch_ndim; ++d) batch *= p.batch_shape[d];
  auto one = [&](int64_t index) {
    int64_t ao = 0, bo = 0, co = 0;
    for (int d = p.batch_ndim - 1; d >= 0; --d) {
      const int64_t i = index % p.batch_shape[d];
      index /= p.batch_shape[d];
      ao += i * p.a_bs[d], bo += i * p.b_bs[d], co += i * p.c_bs[d];
    }
    multiply<T>({static_cast<const T*>(p.a) + ao, static_cast<const T*>(p.b) + bo, static_cast<T*>(p.c) + co,
                 p.M, p.N, p.K, p.a_rs, p.a_cs, p.b_rs, p.b_cs, p.c_rs, p.c_cs, static_cast<const T*>(p.bias),
                 0, 1, p.act, p.accumulate});
  };
  // Many matrices: whole ones to each thread. Few: the threads share each (a nested parallel_for runs
  // serially).
  if (batch >= 2 * num_threads()) {
    const int64_t work = max64(1, p.M * p.N * p.K);
    parallel_for(batch, max64(1, kGrain * 4 / work), [&](int64_t b0, int64_t b1) {
      for (int64_t b = b0; b < b1; ++b) one(b);
    });
  } else {
    for (int64_t b = 0; b < batch; ++b) one(b);
  }
}

DLCORE_INSTANTIATE_FLOATS(matmul, MatmulArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
