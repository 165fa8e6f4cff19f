// What the recurrent kernels share: where rows lie, and a step's product, rows x K against a matrix that was
// packed once for all steps.
//
//   packed   [slivers][K][V vectors]      V vectors of columns are computed together: the gates of one vector
//                                         of units (forward), or 4 neighbouring vectors (backward,
//                                         projection)
//   tile     R rows x V vectors in registers over all of K, then an epilogue while the sums are hot
//
// An element is one sum over k in order, whatever tile it falls in, so its bits depend neither on the threads
// nor on the batch around it.
#pragma once

#include "cpu/gemm.h"
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

// The most rows of a tile: accumulators, one operand and a broadcast fit the registers (32, or 16 below
// AVX-512).
constexpr int tile_rows(int V) { return kVecBytes == 64 ? (V == 4 ? 6 : 8) : (V == 4 ? 3 : 4); }

// out[R][V] (+)= R rows of a (K elements, a row stride of lda) times one sliver.
template <class T, int V, int R>
void rows_product(const T* a, int64_t lda, const T* __restrict b, int64_t K, T* __restrict out, bool add) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = add ? load(out + (r * V + v) * L) : Vec<T>{};
#pragma GCC unroll 2
  for (int64_t k = 0; k < K; ++k) {
    Vec<T> av[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) av[r] = splat(a[r * lda + k]);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec<T> bv = load(b + v * L);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc[r][v] = fma(av[r], bv, acc[r][v]);
    }
    b += V * L;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(out + (r * V + v) * L, acc[r][v]);
}

template <class T, int V>
void tile_product(int64_t rows, const T* a, int64_t lda, const T* b, int64_t K, T* out, bool add) {
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

// A left operand whose K columns may have a gap: `head` of them, then the rest `skip` further on.
template <class T>
struct StepRows {
  const T* p;
  int64_t ld, head, skip;
};

// Multiply-adds that are worth waking a thread for in every step.
constexpr int64_t kStepGrain = 65536;

// One tile: rows [r0, r1) times sliver s, then f(s, r0, r1, sums), sums being [rows][V][lanes].
template <class T, int V, class F>
inline void step_tile(int64_t s, int64_t r0, int64_t r1, int64_t K, const StepRows<T>& a, const T* packed,
                      const F& f) {
  constexpr int L = kLanes<T>, R = tile_rows(V);
  alignas(64) T sums[R * V * L];
  const T* b = packed + s * K * V * L;
  const T* left = a.p + r0 * a.ld;
  const int64_t head = min64(a.head, K);
  tile_product<T, V>(r1 - r0, left, a.ld, b, head, sums, false);
  if (head < K)
    tile_product<T, V>(r1 - r0, left + head + a.skip, a.ld, b + head * V * L, K - head, sums, true);
  f(s, r0, r1, static_cast<const T*>(sums));
}

// All tiles of rows x slivers, in parallel; neighbouring slivers stay with a thread from step to step.
template <class T, int V, class F>
inline void step_product(int64_t rows, int64_t slivers, int64_t K, const StepRows<T>& a, const T* packed,
                         const F& f) {
  if (rows == 0) return;
  const int64_t groups = ceil_div(rows, tile_rows(V));
  const int64_t work = max64(1, ceil_div(rows, groups) * V * kLanes<T> * K);
  parallel_for(slivers * groups, max64(1, kStepGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i % groups;
      step_tile<T, V>(i / groups, rows * g / groups, rows * (g + 1) / groups, K, a, packed, f);
    }
  });
}

// The gates of one vector of units side by side: dst[sliver][k][G][lanes] from w (G H, K); zeros beyond H.
template <class T, int G>
inline void pack_gates(T* dst, const T* w, int64_t H, int64_t K) {
  constexpr int L = kLanes<T>;
  for (int64_t u = 0; u < H; u += L, dst += K * G * L) {
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
