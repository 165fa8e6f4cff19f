// Matrix products. Five paths, chosen by sizes and strides alone (never by threads, so results are the same
// bits):
//   dot     a few rows against B stored by columns (x @ W.T with W row-major): dot products along k, B read
//           once
//   lanes   the same with about as many rows as fill vectors: these are the lanes
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

// The columns of B are too short for the hardware to see a stream in them, so the first rows to read them
// fetch ahead, line after line as they lie in memory: into L1 where all rows of A and four columns leave room
// there, else into L2 and farther. (Blocks of k that leave such room lose more by columns that lie a power of
// two apart and meet in L1.)
enum class Fetch { none, near, far };
constexpr int64_t kNearBytes = 24576;

// The sums of 4 x 4 vectors, out[4 * r + q], each with the bits of hsum.
template <class T>
DLCORE_INLINE void hsum4x4(const Vec<T> (&v)[4][4], T* out) {
  if constexpr (kLanes<T> == 16) {
    auto halves = [](auto x, auto y) __attribute__((always_inline)) {
      return __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
             __builtin_shufflevector(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    };
    auto quarters = [](auto x, auto y) __attribute__((always_inline)) {
      return __builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
             __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    };
    // Four lanes of each of the four rows' vectors q.
    auto rows = [&](int q) __attribute__((always_inline)) {
      return quarters(halves(v[0][q], v[1][q]), halves(v[2][q], v[3][q]));
    };
    auto pair = [](auto x, auto y) __attribute__((always_inline)) {
      return __builtin_shufflevector(x, y, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
             __builtin_shufflevector(x, y, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    };
    const auto even = pair(rows(0), rows(2)), odd = pair(rows(1), rows(3));
    store(out,
          __builtin_shufflevector(even, odd, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
              __builtin_shufflevector(even, odd, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31));
  } else {
    for (int r = 0; r < 4; ++r) hsum4<T>(v[r][0], v[r][1], v[r][2], v[r][3], out + 4 * r);
  }
}

// R rows of A (contiguous along k) against Q columns of B (contiguous along k): R x Q vector sums.
template <class T, int R, int Q, Fetch fetch>
DLCORE_INLINE void dot_tile(const Problem<T>& p, const T* a, int64_t lda, int64_t i, int64_t j) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[R][Q];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) acc[r][q] = Vec<T>{};
  const T* b = p.b + j * p.b_cs;
  const char* next = reinterpret_cast<const char*>(b) + (fetch == Fetch::near ? 8192 : 32768);
  int64_t k = 0;
  for (; k + L <= p.K; k += L, next += Q * kVecBytes) {
    Vec<T> av[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) av[r] = load(a + r * lda + k);
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      if constexpr (fetch == Fetch::near) __builtin_prefetch(next + q * kVecBytes, 0, 3);
      if constexpr (fetch == Fetch::far) __builtin_prefetch(next + q * kVecBytes, 0, 2);
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
  constexpr int whole = (R * Q + L - 1) / L * L;
  T sums[whole] = {};
  if constexpr (R == 4 && Q == 4)
    hsum4x4<T>(acc, sums);
  else
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      if constexpr (Q == 4)
        hsum4<T>(acc[r][0], acc[r][1], acc[r][2], acc[r][3], sums + r * Q);
      else
        for (int q = 0; q < Q; ++q) sums[r * Q + q] = hsum<T>(acc[r][q]);
    }
  if (p.accumulate)
    for (int r = 0; r < R; ++r)
      for (int q = 0; q < Q; ++q) sums[r * Q + q] += p.c[(i + r) * p.c_rs + (j + q) * p.c_cs];
  if (p.bias)
    for (int r = 0; r < R; ++r)
      for (int q = 0; q < Q; ++q) sums[r * Q + q] += p.bias[(i + r) * p.bias_rs + (j + q) * p.bias_cs];
  if (p.act != Act::none)
    for (int n = 0; n < whole; n += L) store(sums + n, activate<T>(p.act, load(sums + n)));
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    T* c = p.c + (i + r) * p.c_rs + j * p.c_cs;
    if (p.c_cs == 1)
      __builtin_memcpy(c, sums + r * Q, Q * sizeof(T));
    else
      for (int q = 0; q < Q; ++q) c[q * p.c_cs] = sums[r * Q + q];
  }
}

// All rows against the same columns, which stay in L1.
template <class T, int Q, Fetch fetch>
DLCORE_INLINE void dot_columns(const Problem<T>& p, const T* a, int64_t lda, int64_t j) {
  constexpr Fetch none = Fetch::none;
  int64_t i = 4;
  if (p.M >= 4) {
    dot_tile<T, 4, Q, fetch>(p, a, lda, 0, j);
    for (; i + 4 <= p.M; i += 4) dot_tile<T, 4, Q, none>(p, a + i * lda, lda, i, j);
    if (p.M - i == 3) dot_tile<T, 3, Q, none>(p, a + i * lda, lda, i, j);
    if (p.M - i == 2) dot_tile<T, 2, Q, none>(p, a + i * lda, lda, i, j);
    if (p.M - i == 1) dot_tile<T, 1, Q, none>(p, a + i * lda, lda, i, j);
  } else {
    if (p.M == 3) dot_tile<T, 3, Q, fetch>(p, a, lda, 0, j);
    if (p.M == 2) dot_tile<T, 2, Q, fetch>(p, a, lda, 0, j);
    if (p.M == 1) dot_tile<T, 1, Q, fetch>(p, a, lda, 0, j);
  }
}

template <class T, Fetch fetch>
void dot_tiles(const Problem<T>& p, const T* a, int64_t lda, int64_t t0, int64_t t1) {
  for (int64_t t = t0; t < t1; ++t) {
    const int64_t j = t * kDotColumns;
    if (j + kDotColumns <= p.N)
      dot_columns<T, kDotColumns, fetch>(p, a, lda, j);
    else
      for (int64_t q = j; q < p.N; ++q) dot_columns<T, 1, Fetch::none>(p, a, lda, q);
  }
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
  const int64_t bytes = (p.M + kDotColumns) * p.K * static_cast<int64_t>(sizeof(T));
  const bool near = p.M <= 4 && bytes <= kNearBytes;
  // Whole tiles to each thread: a column falls into the same tile at any number of them.
  const int64_t tiles = ceil_div(p.N, kDotColumns);
  parallel_for(tiles, max64(1, kGrain / max64(1, p.M * p.K)), [&](int64_t t0, int64_t t1) {
    if (p.b_cs != p.K)
      dot_tiles<T, Fetch::none>(p, a, lda, t0, t1);
    else if (near)
      dot_tiles<T, Fetch::near>(p, a, lda, t0, t1);
    else
      dot_tiles<T, Fetch::far>(p, a, lda, t0, t1);
  });
}

// As many rows as fill vectors: they are the lanes, A packed once as [k][V vectors], and each element of B is
// broadcast to them. Nothing is summed across lanes, and B is read as it lies.
constexpr int64_t kLaneColumns = 8;
constexpr int64_t kLaneBlock = 512;  // k after which the sums join the total: short sums keep their digits

template <class T, int V, int Q>
DLCORE_INLINE void lane_tile(const Problem<T>& p, const T* a, int64_t j) {
  constexpr int L = kLanes<T>, W = V * L, line = 64 / sizeof(T);
  const T* b = p.b + j * p.b_cs;
  Vec<T> total[Q][V];
  for (int q = 0; q < Q; ++q)
    for (int v = 0; v < V; ++v) total[q][v] = Vec<T>{};
  for (int64_t k0 = 0; k0 < p.K; k0 += kLaneBlock) {
    Vec<T> acc[Q][V];
#pragma GCC unroll 8
    for (int q = 0; q < Q; ++q)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[q][v] = Vec<T>{};
    auto step = [&](int64_t k) __attribute__((always_inline)) {
      Vec<T> av[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) av[v] = load(a + k * W + v * L);
#pragma GCC unroll 8
      for (int q = 0; q < Q; ++q) {
        const Vec<T> bv = splat(b[q * p.b_cs + k]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) acc[q][v] = fma(av[v], bv, acc[q][v]);
      }
    };
    const int64_t end = min64(p.K, k0 + kLaneBlock);
    int64_t k = k0;
    for (; k + line <= end; k += line) {
      // The same place of the next tile.
#pragma GCC unroll 8
      for (int q = 0; q < Q; ++q) __builtin_prefetch(b + (q + Q) * p.b_cs + k, 0, 2);
#pragma GCC unroll 4
      for (int u = 0; u < line; ++u) step(k + u);
    }
    for (; k < end; ++k) step(k);
    for (int q = 0; q < Q; ++q)
      for (int v = 0; v < V; ++v) total[q][v] += acc[q][v];
  }
  for (int q = 0; q < Q; ++q)
    for (int v = 0; v < V; ++v) {
      const int64_t i = v * L;
      const int n = static_cast<int>(min64(L, p.M - i));
      if (n <= 0) continue;
      T* c = p.c + i * p.c_rs + (j + q) * p.c_cs;
      Vec<T> x = total[q][v];
      if (p.accumulate)
        for (int l = 0; l < n; ++l) x[l] += c[l * p.c_rs];
      if (p.bias) {
        const T* bias = p.bias + i * p.bias_rs + (j + q) * p.bias_cs;
        x += p.bias_rs ? load_upto(bias, n) : splat(*bias);
      }
      if (p.act != Act::none) x = activate<T>(p.act, x);
      if (p.c_rs == 1) {
        store_upto(c, x, n);
      } else {
        T lanes[L];
        store(lanes, x);
        for (int l = 0; l < n; ++l) c[l * p.c_rs] = lanes[l];
      }
    }
}

template <class T, int V>
void run_lanes(const Problem<T>& p) {
  T* a = scratch<T>(2, p.K * V * kLanes<T>);
  pack_lines<T, V * kLanes<T>>(a, p.a, p.M, p.K, p.a_rs, p.a_cs);
  const int64_t tiles = ceil_div(p.N, kLaneColumns);
  parallel_for(tiles, max64(1, kGrain / (p.M * p.K)), [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t j = t * kLaneColumns;
      if (j + kLaneColumns <= p.N)
        lane_tile<T, V, kLaneColumns>(p, a, j);
      else
        for (int64_t q = j; q < p.N; ++q) lane_tile<T, V, 1>(p, a, q);
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
  constexpr int G = kVecBytes == 64 ? 8 : (R == 1 ? 4 : 2);
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

// Whether rows as lanes are faster than dot products: two thirds of the lanes are rows, and there are
// columns enough to pay for packing A. 16 registers hold too few sums.
template <class T>
bool takes_lanes(const Problem<T>& p) {
  constexpr int64_t L = kLanes<T>;
  return p.M <= 2 * L && 3 * p.M >= 2 * ceil_div(p.M, L) * L && p.N >= 8 * kLaneColumns;
}
template <class T>
void run_skinny(const Problem<T>& p) {
  if constexpr (kVecBytes == 64) {
    if (takes_lanes(p)) return p.M <= kLanes<T> ? run_lanes<T, 1>(p) : run_lanes<T, 2>(p);
  }
  run_dot(p);
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
  if (takes_dot(p) && (takes_lanes(p) || !(lines && beats_dot(p)))) return run_skinny(p);
  if (takes_dot(s)) return run_skinny(s);
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
