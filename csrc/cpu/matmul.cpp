// Matrix products. Five paths, chosen by sizes and strides alone (never by threads, so results are the same
// bits):
//   dot     a few rows against B stored by columns (x @ W.T with W row-major): dot products along k, B read
//           once
//   stream  a few rows against a large B stored by rows: whole rows of B, as they lie in memory, added to C
//   direct  some rows, or a small product, with B stored by rows: no packing
//   lines   more rows against B stored by columns, which are read as they are (gemm_lines.h)
//   packed  everything else, through the GEMM driver
#include "kernels/matmul.h"

#include "cpu/gemm_lines.h"
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

constexpr int64_t kDotColumns = 4;
// The most rows that the dot path takes: with 16 registers its tile spills, and packing wins sooner.
constexpr int64_t kDotRows = kVecBytes == 32 ? 12 : 32;

// R rows of A (contiguous along k) against Q columns of B (contiguous along k): R x Q vector sums. The first
// rows to read the columns fetch ahead in them, and at their end in the next ones: a column is too short for
// the hardware to see a stream in it.
template <class T, int R, int Q>
DLCORE_INLINE void dot_tile(const Problem<T>& p, const T* a, int64_t lda, int64_t i, int64_t j, bool fetch) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[R][Q];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) acc[r][q] = Vec<T>{};
  const T* b = p.b + j * p.b_cs;
  auto step = [&](int64_t k) __attribute__((always_inline)) {
    Vec<T> av[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) av[r] = load(a + r * lda + k);
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      const Vec<T> bv = load(b + q * p.b_cs + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][q] = fma(av[r], bv, acc[r][q]);
    }
  };
  int64_t k = 0;
  if (fetch) {
    // Line after line as they lie in memory, so that the hardware sees one stream and runs ahead of it.
    const T* next = b + Q * p.K;
    for (; k + L <= p.K; k += L, next += Q * L) {
#pragma GCC unroll 4
      for (int q = 0; q < Q; ++q) __builtin_prefetch(next + q * L, 0, 2);
      step(k);
    }
  } else {
    for (; k + L <= p.K; k += L) step(k);
  }
  if (const int left = static_cast<int>(p.K - k)) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      const Vec<T> bv = load_n(b + q * p.b_cs + k, left);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][q] = fma(load_n(a + r * lda + k, left), bv, acc[r][q]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    T sums[Q];
    if constexpr (Q == 4)
      hsum4<T>(acc[r][0], acc[r][1], acc[r][2], acc[r][3], sums);
    else
      for (int q = 0; q < Q; ++q) sums[q] = hsum<T>(acc[r][q]);
    for (int q = 0; q < Q; ++q) {
      T* c = p.c + (i + r) * p.c_rs + (j + q) * p.c_cs;
      T x = sums[q];
      if (p.accumulate) x += *c;
      if (p.bias) x += p.bias[(i + r) * p.bias_rs + (j + q) * p.bias_cs];
      if (p.act != Act::none) x = activate<T>(p.act, splat(x))[0];
      *c = x;
    }
  }
}

// All rows against the same columns, which stay in L1.
template <class T, int Q>
DLCORE_INLINE void dot_columns(const Problem<T>& p, const T* a, int64_t lda, int64_t j) {
  int64_t i = 0;
  for (; i + 4 <= p.M; i += 4) dot_tile<T, 4, Q>(p, a + i * lda, lda, i, j, i == 0 && p.b_cs == p.K);
  if (p.M - i == 3) dot_tile<T, 3, Q>(p, a + i * lda, lda, i, j, i == 0 && p.b_cs == p.K);
  if (p.M - i == 2) dot_tile<T, 2, Q>(p, a + i * lda, lda, i, j, i == 0 && p.b_cs == p.K);
  if (p.M - i == 1) dot_tile<T, 1, Q>(p, a + i * lda, lda, i, j, i == 0 && p.b_cs == p.K);
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
  // Whole tiles to each thread: a column falls into the same tile at any number of them.
  const int64_t tiles = ceil_div(p.N, kDotColumns);
  parallel_for(tiles, max64(1, kGrain / max64(1, p.M * p.K)), [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t j = t * kDotColumns;
      if (j + kDotColumns <= p.N)
        dot_columns<T, kDotColumns>(p, a, lda, j);
      else
        for (int64_t q = j; q < p.N; ++q) dot_columns<T, 1>(p, a, lda, q);
    }
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

// G rows of B, each times its elements of A, added to the R rows of C, which wait in L1.
template <class T, int R, int G>
DLCORE_INLINE void stream_rows(const Problem<T>& p, int64_t k, int64_t j0, int64_t j1, bool fetch) {
  constexpr int L = kLanes<T>;
  const T* b = p.b + k * p.b_rs;
  T* c = p.c;
  Vec<T> av[R][G];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) av[r][g] = splat(p.a[r * p.a_rs + (k + g) * p.a_cs]);
  const bool first = k == 0 && !p.accumulate, last = k + G == p.K;
  const BiasAct<T> epilogue{p.bias, p.act};
  // Line after line, as in dot_tile: the next G rows, one after the other.
  const T* row = b + G * p.b_rs + j0;
  const T* next = row;
  each_vector<T>(j0, j1, [&](int64_t j, int lanes) __attribute__((always_inline)) {
    Vec<T> sum[R], bv[G];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sum[r] = first ? Vec<T>{} : load_upto(c + r * p.c_rs + j, lanes);
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) bv[g] = load_upto(b + g * p.b_rs + j, lanes);
    if (fetch) {
#pragma GCC unroll 8
      for (int g = 0; g < G; ++g) __builtin_prefetch(next + g * L, 0, 2);
      next += G * L;
      if (next - row >= j1 - j0) next = row += p.b_rs;
    }
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g)
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[r] = fma(av[r][g], bv[g], sum[r]);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      store_upto(c + r * p.c_rs + j, last ? epilogue(sum[r], r, j, lanes) : sum[r], lanes);
  });
}

constexpr int64_t kStreamRows = 4;
constexpr int64_t kStreamStrip = 16384;  // bytes of C that wait in L1

template <class T, int R>
void stream_strip(const Problem<T>& p, int64_t j0, int64_t j1) {
  constexpr int G = kVecBytes == 64 ? 4 : (R == 1 ? 4 : 2);
  int64_t k = 0;
  for (; k + G <= p.K; k += G) stream_rows<T, R, G>(p, k, j0, j1, k + 2 * G <= p.K);
  for (; k < p.K; ++k) stream_rows<T, R, 1>(p, k, j0, j1, false);
}

template <class T>
void run_stream(const Problem<T>& p) {
  constexpr int64_t block = 256;
  const int64_t strip = kStreamStrip / static_cast<int64_t>(sizeof(T)) / p.M;
  const int64_t grain = max64(1, kGrain * 4 / (p.M * p.K * block));
  parallel_for(ceil_div(p.N, block), grain, [&](int64_t b0, int64_t b1) {
    const int64_t end = min64(p.N, b1 * block);
    for (int64_t j0 = b0 * block; j0 < end; j0 += strip) {
      const int64_t j1 = min64(end, j0 + strip);
      if (p.M == 1) stream_strip<T, 1>(p, j0, j1);
      if (p.M == 2) stream_strip<T, 2>(p, j0, j1);
      if (p.M == 3) stream_strip<T, 3>(p, j0, j1);
      if (p.M == 4) stream_strip<T, 4>(p, j0, j1);
    }
  });
}

// Some rows of B, which wait in L1: C is written row after row, as it lies.
template <class T>
void run_outer(const Problem<T>& p) {
  parallel_for(p.M, max64(1, kGrain / p.N), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) direct_rows<T, 1>(p, i, 0, p.N);
  });
}

template <class T>
void run_direct(const Problem<T>& p) {
  const int64_t strip = 8 * kLanes<T>;
  const int64_t grain = ceil_div(max64(strip, kGrain * 4 / max64(1, p.M * p.K)), strip) * strip;
  parallel_for(p.N, grain, [&](int64_t first, int64_t end) {
    // A strip of B is read once from memory; all rows of A find it in L2.
    for (int64_t j0 = first; j0 < end; j0 += strip) {
      const int64_t j1 = min64(end, j0 + strip);
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
    }
  });
}

template <class T>
bool takes_dot(const Problem<T>& p) {
  return p.M <= kDotRows && p.b_rs == 1 && p.K >= kLanes<T>;
}

// Lines beat dots where few of a vector's lanes are idle: measured, an element of B costs as much as 13 and 9
// a row, and 50 and 90 besides.
template <class T>
bool beats_dot(const Problem<T>& p) {
  return p.K >= 4 * kLanes<T> && 13 * p.M + 50 > 9 * padded_rows<T>(p.M) + 90;
}

// A B beyond L2 whose rows are worth a stream each.
template <class T>
bool streams(const Problem<T>& p) {
  return p.M <= kStreamRows && p.N >= 256 && p.N * p.K * static_cast<int64_t>(sizeof(T)) >= 1 << 19;
}

// A C beyond L2 from a few rows of B that L1 holds.
template <class T>
bool outer(const Problem<T>& p) {
  const int64_t size = sizeof(T);
  return p.K > 0 && p.K <= 4 && p.M > 6 && p.K * p.N * size <= 1 << 14 && p.M * p.N * size >= 1 << 19;
}

template <class T>
void multiply(const Problem<T>& p) {
  if (p.K == 0) return run_direct(p);  // zeros, bias, activation; reads neither A nor B
  const Problem<T> s = p.swapped();
  const bool lines = p.c_cs == 1 && p.b_rs == 1 && takes_lines<T>(p.M, p.N);
  if (takes_dot(p) && !(lines && beats_dot(p))) return run_dot(p);
  if (takes_dot(s)) return run_dot(s);
  // Few columns of A: C is written once, and nothing is worth packing.
  const bool small = p.M <= 16 || p.K <= 4 || p.M * p.N * p.K <= 100 * 100 * 100;
  if (small && p.b_cs == 1 && p.c_cs == 1)
    return outer(p) ? run_outer(p) : streams(p) ? run_stream(p) : run_direct(p);
  if constexpr (kVecBytes == 64)
    if (lines)
      return gemm_lines<T>(p.M, p.N, p.K, PackCols<T>{p.a, p.a_cs, p.a_rs}, Lines<T>{p.b, p.b_cs}, p.c,
                           p.c_rs, p.accumulate, BiasAct<T>{p.bias, p.act});
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
