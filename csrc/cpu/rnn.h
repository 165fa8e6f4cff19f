// What the recurrent kernels share: where rows lie, and a step's product, rows x K against a matrix that was
// packed once for all steps.
//
//   packed   [slivers][K][V vectors]      V vectors of columns are computed together: the gates of one vector
//                                         of units (forward), or 4 neighbouring vectors (backward,
//                                         projection)
//   tile     R rows x V vectors in registers over all of K, then an epilogue while the sums are hot
//
// An element is a sum over k in one order, whatever tile it falls in: its bits do not depend on the threads.
#pragma once

#include "cpu/gemm.h"
#include "cpu/vmath.h"
#include "kernels/matmul.h"
#include "kernels/rnn.h"

namespace dlcore {
namespace DLCORE_ISA {

template <class T>
void matmul(const MatmulArgs&);

struct RnnRows {
  const RnnShape& p;
  int64_t count(int64_t t) const { return t < 0 || t >= p.T ? 0 : p.active ? p.active[t] : p.B; }
  int64_t at(int64_t t, int64_t b) const { return p.active ? p.offset[t] + b : t * p.time + b * p.batch; }
  int64_t stride() const { return p.active ? 1 : p.batch; }
};

// ---- activations of gates: as accurate as vmath's where it matters to a sum, at half their price ----

// e^x = s (1 + p), s = 2^n, for x that no power of two over- or underflows. NaN goes into p.
template <class T>
DLCORE_INLINE void exp_parts(Vec<T> x, Vec<T>* s, Vec<T>* p) {
  using VI = Vec<Int<T>>;
  constexpr bool f = sizeof(T) == 4;
  const Vec<T> n = round_small<T>(x * splat(T(1.4426950408889634)));
  Vec<T> r = fma(n, splat(f ? T(-0.693359375) : T(-6.93145751953125e-1)), x);
  r = fma(n, splat(f ? T(2.12194440e-4) : T(-1.42860682030941723212e-6)), r);
  // Taylor's series: |r| <= ln2 / 2 leaves less than half a ulp.
  const double c[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                      1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                      1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5};
  constexpr int first = f ? 6 : 0;
  Vec<T> q = splat(T(c[first]));
#pragma GCC unroll 12
  for (int i = first + 1; i < 12; ++i) q = fma(q, r, splat(T(c[i])));
  *p = fma(q, r * r, r);
  constexpr int bias = f ? 127 : 1023, mantissa = f ? 23 : 52;
  const VI bits = (__builtin_convertvector(n, VI) + bias) << mantissa;
  *s = bitcast<Vec<T>>(bits);
}

template <class T>
DLCORE_INLINE Vec<T> clamp_to(Vec<T> x, T limit) {  // NaN stays
  const Vec<T> hi = splat(limit), lo = splat(-limit);
  x = x > hi ? hi : x;
  return x < lo ? lo : x;
}

// 1 / (1 + e^-x). <= 3 ulp, but for results below 1e-37 (float) or 1e-307 (double), which stop there.
template <class T>
DLCORE_INLINE Vec<T> gate_sigmoid(Vec<T> x) {
  Vec<T> s, p;
  exp_parts<T>(clamp_to<T>(-x, sizeof(T) == 4 ? T(86) : T(706)), &s, &p);
  const Vec<T> one = splat(T(1));
  return one / (one + fma(s, p, s));
}

// With E = e^2|x| - 1 = s p + (s - 1): E / (E + 2) near 0, without cancellation, 1 - 2 / (E + 2) beyond, so
// that 1 - tanh^2 of a nearly saturated unit is right; x's sign. <= 3 ulp.
template <class T>
DLCORE_INLINE Vec<T> gate_tanh(Vec<T> x) {
  using VI = Vec<Int<T>>;
  const VI sign = bitcast<VI>(x) & bitcast<VI>(splat(T(-0.0)));
  const Vec<T> a = bitcast<Vec<T>>(bitcast<VI>(x) ^ sign), one = splat(T(1));
  const Vec<T> limit = splat(sizeof(T) == 4 ? T(20) : T(40)), twice = a + a;
  Vec<T> s, p;
  exp_parts<T>(twice > limit ? limit : twice, &s, &p);
  const Vec<T> e = fma(s, p, s - one), d = one / (e + splat(T(2)));
  const Vec<T> y = a < splat(T(0.5)) ? e * d : one - (d + d);
  return bitcast<Vec<T>>(bitcast<VI>(y) | sign);
}

// ---- a step's product ----

// The most rows of a tile: accumulators, the fewer of both operands and one of the other fit the registers
// (32, or 16 below AVX-512).
constexpr int tile_rows(int V) { return kVecBytes == 64 ? (V == 4 ? 6 : 8) : (V == 4 ? 3 : 4); }

// How many columns of k ahead a sliver is fetched: it streams from L2, and the hardware's prefetcher stops at
// every page.
constexpr int kAheadSteps = 16;

// out[R][V] (+)= R rows of a (K elements, a row stride of lda) times one sliver.
template <class T, int V, int R>
void rows_product(const T* a, int64_t lda, const T* __restrict b, int64_t K, T* __restrict out, bool add) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = Vec<T>{};
#pragma GCC unroll 2
  for (int64_t k = 0; k < K; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v)  // once a line
      if (v * kVecBytes % 64 == 0) __builtin_prefetch(b + (kAheadSteps * V + v) * L);
    // The fewer operands wait in registers, the others pass through one.
    if constexpr (R < V) {
      Vec<T> av[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) av[r] = splat(a[r * lda + k]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec<T> bv = load(b + v * L);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][v] = fma(av[r], bv, acc[r][v]);
      }
    } else {
      Vec<T> bv[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) bv[v] = load(b + v * L);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec<T> av = splat(a[r * lda + k]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
      }
    }
    b += V * L;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      T* p = out + (r * V + v) * L;
      store(p, add ? acc[r][v] + load(p) : acc[r][v]);
    }
}

template <class T, int V>
void block_product(int64_t rows, const T* a, int64_t lda, const T* b, int64_t K, T* out, bool add) {
  constexpr int R = tile_rows(V);
  switch (rows) {
    case 1:
      return rows_product<T, V, 1>(a, lda, b, K, out, add);
    case 2:
      return rows_product<T, V, 2>(a, lda, b, K, out, add);
    case 3:
      return rows_product<T, V, 3>(a, lda, b, K, out, add);
    case 4:
      return rows_product < T, V, R<4 ? R : 4>(a, lda, b, K, out, add);
    case 5:
      return rows_product < T, V, R<5 ? R : 5>(a, lda, b, K, out, add);
    case 6:
      return rows_product < T, V, R<6 ? R : 6>(a, lda, b, K, out, add);
    case 7:
      return rows_product < T, V, R<7 ? R : 7>(a, lda, b, K, out, add);
    default:
      return rows_product<T, V, R>(a, lda, b, K, out, add);
  }
}

// A left operand in two parts, side by side in K: K columns of p, then Kq of q.
template <class T>
struct StepRows {
  const T* p;
  int64_t ld, K;
  const T* q;
  int64_t ldq, Kq;
};

// Multiply-adds that are worth waking a thread for in every step.
constexpr int64_t kStepGrain = 65536;

// In blocks of K, as the GEMM's sums, so that errors grow no faster.
template <class T, int V>
inline void tile_product(int64_t rows, const T* a, int64_t lda, const T* b, int64_t K, T* out, bool add) {
  constexpr int64_t KC = Tile<T>::KC;
  for (int64_t k = 0; k < K; k += KC, add = true)
    block_product<T, V>(rows, a + k, lda, b + k * V * kLanes<T>, min64(KC, K - k), out, add);
}

// One tile: rows [r0, r1) times sliver s, then f(s, r0, r1, sums, apart), sums being [rows][V][lanes]. Vector
// APART, if there is one, is not summed over both parts: `apart` [rows][lanes] is that of the first.
template <class T, int V, int APART, class F>
inline void step_tile(int64_t s, int64_t r0, int64_t r1, const StepRows<T>& a, const T* packed, const F& f) {
  constexpr int L = kLanes<T>, R = tile_rows(V);
  alignas(64) T sums[R * V * L];
  alignas(64) T apart[APART < 0 ? 1 : R * L];
  const T* b = packed + s * (a.K + a.Kq) * V * L;
  if (a.K) tile_product<T, V>(r1 - r0, a.p + r0 * a.ld, a.ld, b, a.K, sums, false);
  if constexpr (APART >= 0) {
    for (int64_t r = 0; a.K && r < r1 - r0; ++r) {
      store(apart + r * L, load(sums + (r * V + APART) * L));
      store(sums + (r * V + APART) * L, Vec<T>{});
    }
  }
  if (a.Kq) tile_product<T, V>(r1 - r0, a.q + r0 * a.ldq, a.ldq, b + a.K * V * L, a.Kq, sums, a.K > 0);
  f(s, r0, r1, static_cast<const T*>(sums), static_cast<const T*>(apart));
}

// All tiles of rows x slivers, in parallel; neighbouring slivers stay with a thread from step to step. What
// f will read is fetched by ahead(s, r0, r1) while the tile is computed.
template <class T, int V, int APART = -1, class Ahead, class F>
inline void step_product(int64_t rows, int64_t slivers, const StepRows<T>& a, const T* packed,
                         const Ahead& ahead, const F& f) {
  if (rows == 0) return;
  const int64_t groups = ceil_div(rows, tile_rows(V));
  const int64_t work = max64(1, ceil_div(rows, groups) * V * kLanes<T> * (a.K + a.Kq));
  parallel_for(slivers * groups, max64(1, kStepGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i % groups, r0 = rows * g / groups, r1 = rows * (g + 1) / groups;
      ahead(i / groups, r0, r1);
      step_tile<T, V, APART>(i / groups, r0, r1, a, packed, f);
    }
  });
}

struct NothingAhead {
  DLCORE_INLINE void operator()(int64_t, int64_t, int64_t) const {}
};

// The gates of one vector of units side by side: dst[sliver][k][G][lanes] from w (G H, K), slivers `step`
// apart; zeros beyond H.
template <class T, int G>
inline void pack_gates(T* dst, int64_t step, const T* w, int64_t H, int64_t K) {
  constexpr int L = kLanes<T>;
  for (int64_t u = 0; u < H; u += L, dst += step) {
    const int64_t lines = min64(L, H - u);
    for (int g = 0; g < G; ++g) {
      for (int64_t k = 0; k < K; k += L) {
        const int n = static_cast<int>(min64(L, K - k));
        Vec<T> r[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) r[i] = i < lines ? load_upto(w + (g * H + u + i) * K + k, n) : Vec<T>{};
        transpose_square<T>(r);
        for (int i = 0; i < n; ++i) store(dst + ((k + i) * G + g) * L, r[i]);
      }
    }
  }
}

// Calls f with each direction's index: both at once where two threads have no better use, one after the
// other where every step is shared by all threads.
template <class F>
inline void each_direction(int directions, const F& f) {
  const int threads = num_threads();
  if (directions == 2 && threads >= 2 && threads < 4) {
    parallel_for(2, 1, [&](int64_t b, int64_t e) {
      for (int64_t d = b; d < e; ++d) f(static_cast<int>(d));
    });
  } else {
    for (int d = 0; d < directions; ++d) f(d);
  }
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
