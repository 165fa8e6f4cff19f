// What attention's forward and backward share: register tiles, the scores of a block, dropout factors.
//
// Scores are computed transposed, S^T[key][query]: the lanes of a vector are queries. So the softmax's
// maxima, sums and scalings are vertical operations, and every product reads one operand by broadcast, in
// whatever layout it lies in, and the other by whole vectors:
//
//   S^T [key][query] += k[key][d] broadcast,      q^T[d][query]      (q^T packed once for a block of queries)
//   O^T [d][query]   += v[key][d] broadcast,      P^T[key][query]
//   dv  [key][d]     += P^T[key][query] broadcast,  do[query][d]
//   dk  [key][d]     += dS^T[key][query] broadcast, q[query][d]
//   dq  [query][d]   += dS^T[key][query] broadcast, k[key][d]
//
// A query's result depends on the shapes alone: keys go by blocks of kKeys from the first, whatever block of
// queries it is computed in.
#pragma once

#include "cpu/gemm.h"
#include "cpu/philox.h"
#include "cpu/vmath.h"
#include "kernels/attention.h"

namespace dlcore {
namespace DLCORE_ISA {

constexpr int kKeys = 64;  // keys of a block: its k, v and P stay in L1 (D = 64)
// Rows of a register tile of two vectors: enough sums in flight to hide the latency of an FMA (4 cycles of 1
// or 2), and a divisor of the usual head sizes.
#if defined(__AVX512F__)
constexpr int kTileRows = 8;
#else
constexpr int kTileRows = 4;
#endif
template <class T>
constexpr int kStrip = 2 * kLanes<T>;  // queries that go through a tile together

template <class T>
constexpr T kInfinity = static_cast<T>(__builtin_inf());

DLCORE_INLINE int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }

// e^x for x <= 0 or little above (the difference of a score and its row's maximum or log-sum-exp): vmath's
// exp without the care for overflow, and 0 instead of subnormals. NaN propagates.
template <class T>
DLCORE_INLINE Vec<T> exp_below(Vec<T> x) {
  using VI = Vec<Int<T>>;
  constexpr bool f = sizeof(T) == 4;
#if defined(__AVX512F__)
  // In hardware: rounding, and a scaling by 2^n that goes through the subnormals.
  if constexpr (f) {
    const __m512 y = _mm512_maskz_max_ps(0xffff, _mm512_set1_ps(-200.0f), (__m512)x);  // NaN stays
    const __m512 n = _mm512_maskz_roundscale_ps(0xffff, y * _mm512_set1_ps(1.4426950408889634f), 0);
    const Vec<T> r =
        fma((Vec<T>)n, splat(T(2.12194440e-4)), fma((Vec<T>)n, splat(T(-0.693359375)), (Vec<T>)y));
    return (Vec<T>)_mm512_maskz_scalef_ps(0xffff, (__m512)exp_reduced<T>(r), n);
  }
#endif
  const Vec<T> lo = splat(f ? T(-87.3) : T(-708.3));
  const Vec<T> y = x < lo ? lo : x;
  const Vec<T> n = round_small<T>(y * splat(T(1.4426950408889634)));
  Vec<T> r = fma(n, splat(f ? T(-0.693359375) : T(-6.93145751953125e-1)), y);
  r = fma(n, splat(f ? T(2.12194440e-4) : T(-1.42860682030941723212e-6)), r);
  const Vec<T> p = exp_reduced<T>(r);
  constexpr int bias = f ? 127 : 1023, mantissa = f ? 23 : 52;
  const VI scale = (__builtin_convertvector(n, VI) + bias) << mantissa;
  const Vec<T> e = p * bitcast<Vec<T>>(scale);
  return x < lo ? Vec<T>{} : e;
}

// C[m][n] = A B tile by tile: A(i, k) = a[i * ars + k * acs], readable up to the next multiple of kTileRows
// rows; B's rows are n elements, a multiple of the vector. f(acc, i, j) takes the tile of rows i ...,
// columns j ... : acc[kTileRows][1 or 2 vectors]. Sums of heads larger than usual go in runs that are added
// up: rounding errors grow with the run, not with the sum.
constexpr int64_t kLongSum = 64, kRun = 32;
template <class T, int NV, class F>
DLCORE_INLINE void product_strip(int64_t m, int64_t kc, const T* a, int64_t ars, int64_t acs, const T* b,
                                 int64_t ldb, int64_t j, const F& f) {
  constexpr int R = kTileRows, L = kLanes<T>;
  for (int64_t i = 0; i < m; i += R) {
    Vec<T> acc[R][NV], before[R][NV];
    const T* ai = a + i * ars;
    const T* bk = b + j;
    for (int64_t k = 0;;) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) acc[r][v] = Vec<T>{};
      const int64_t begin = k, end = kc > kLongSum ? min64(kc, k + kRun) : kc;
#pragma GCC unroll 2
      for (; k < end; ++k, ai += acs, bk += ldb) {
        Vec<T> bv[NV];
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) bv[v] = load(bk + v * L);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const Vec<T> av = splat(ai[r * ars]);
#pragma GCC unroll 2
          for (int v = 0; v < NV; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
        }
      }
      if (begin > 0) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
          for (int v = 0; v < NV; ++v) acc[r][v] += before[r][v];
      }
      if (k >= kc) break;
      __builtin_memcpy(&before, &acc, sizeof before);
    }
    f(acc, i, j);
  }
}
template <class T, class F>
DLCORE_INLINE void product(int64_t m, int64_t n, int64_t kc, const T* a, int64_t ars, int64_t acs, const T* b,
                           int64_t ldb, const F& f) {
  constexpr int L = kLanes<T>;
  int64_t j = 0;
  for (; j + 2 * L <= n; j += 2 * L) product_strip<T, 2>(m, kc, a, ars, acs, b, ldb, j, f);
  if (j < n) product_strip<T, 1>(m, kc, a, ars, acs, b, ldb, j, f);
}

template <class T>
DLCORE_INLINE void fill_zero(T* p, int64_t n) {
  each_vector<T>(0, n, [&](int64_t i, int lanes) { store_upto(p + i, Vec<T>{}, lanes); });
}

// dst[r][0 ... width) = scale * src[r][0 ... n), zeros beyond n and in the rows from `rows` to `padded`.
template <class T>
inline void copy_rows(T* dst, int64_t width, const T* src, int64_t ld, int64_t rows, int64_t padded,
                      int64_t n, T scale) {
  const Vec<T> s = splat(scale);
  for (int64_t r = 0; r < rows; ++r) {
    each_vector<T>(0, n, [&](int64_t i, int lanes) {
      store_upto(dst + r * width + i, load_upto(src + r * ld + i, lanes) * s, lanes);
    });
    fill_zero(dst + r * width + n, width - n);
  }
  fill_zero(dst + rows * width, (padded - rows) * width);
}

// A block of rows as an operand: in place where rows are dense and of a width that needs no padding.
template <class T>
struct Rows {
  const T* p;
  int64_t ld;
  Rows(const T* src, int64_t stride, int64_t n, int64_t width, int64_t at, int64_t rows, int64_t end,
       T* buf) {
    const int64_t padded = round_up(rows, kTileRows);
    if (stride == width && n == width && at + padded <= end) {
      p = src + at * stride, ld = stride;
    } else {
      copy_rows(buf, width, src + at * stride, stride, rows, padded, n, T(1));
      p = buf, ld = width;
    }
  }
};

// One (batch, query head): where its rows begin, how many keys it has.
template <class T>
struct Head {
  const T* q;
  const T* k;
  const T* v;
  const char* mask;  // (optional)
  int64_t keys;
  uint64_t row;  // of the virtual (B, Hq, Tq, Tk)
  Head(const AttentionArgs& p, int64_t b, int64_t h) {
    const int64_t hkv = h / (p.Hq / p.Hkv);
    q = static_cast<const T*>(p.q) + b * p.q_s[0] + h * p.q_s[1];
    k = static_cast<const T*>(p.k) + b * p.k_s[0] + hkv * p.k_s[1];
    v = static_cast<const T*>(p.v) + b * p.v_s[0] + hkv * p.v_s[1];
    const int64_t size = p.mask_bool ? 1 : static_cast<int64_t>(sizeof(T));
    mask = p.mask ? static_cast<const char*>(p.mask) + (b * p.mask_s[0] + h * p.mask_s[1]) * size : nullptr;
    keys = p.lengths ? p.lengths[b] : p.Tk;
    row = static_cast<uint64_t>((b * p.Hq + h) * p.Tq);
  }
  // Keys that queries below `end` may see.
  int64_t limit(const AttentionArgs& p, int64_t end) const { return p.causal ? min64(keys, end) : keys; }
};

// dst[j] = the mask's element at query i, key k0 + j; a boolean one's as 0 or -inf.
template <class T>
inline void mask_row(const AttentionArgs& p, const Head<T>& a, int64_t i, int64_t k0, int64_t n, T* dst) {
  const int64_t s = p.mask_s[3], at = i * p.mask_s[2] + k0 * s;
  if (p.mask_bool) {
    const uint8_t* m = reinterpret_cast<const uint8_t*>(a.mask) + at;
    for (int64_t j = 0; j < n; ++j) dst[j] = m[j * s] ? T(0) : -kInfinity<T>;
  } else {
    const T* m = reinterpret_cast<const T*>(a.mask) + at;
    for (int64_t j = 0; j < n; ++j) dst[j] = m[j * s];
  }
}

// Room that scores() and keep_factors() need for themselves: rows, and their transpose.
template <class T>
constexpr int64_t kTransposing = 2 * kKeys * kStrip<T>;

// s[j][0 ... lanes) = q (k0 + j)-th key + mask, -inf where causality forbids it; queries q0 ... q0 + nq in
// the lanes of qt[d][ldq], nq <= kStrip. s has room for whole tiles of rows.
template <class T>
inline void scores(const AttentionArgs& p, const Head<T>& a, const T* qt, int64_t ldq, const Rows<T>& k,
                   int64_t q0, int64_t nq, int64_t k0, int64_t n, T* s, int64_t lds, T* tmp) {
  constexpr int L = kLanes<T>, W = kStrip<T>;
  const int64_t lanes = round_up(nq, L);
  product<T>(n, lanes, p.D, k.p, k.ld, 1, qt, ldq,
             [&](const auto& acc, int64_t i, int64_t j) __attribute__((always_inline)) {
               constexpr int NV = sizeof(acc[0]) / kVecBytes;
#pragma GCC unroll 8
               for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 2
                 for (int v = 0; v < NV; ++v) store(s + (i + r) * lds + j + v * L, acc[r][v]);
             });
  if (a.mask) {
    if (p.mask_s[2] == 0) {  // the same for all queries
      mask_row(p, a, 0, k0, n, tmp);
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < lanes; i += L) store(s + j * lds + i, load(s + j * lds + i) + splat(tmp[j]));
    } else {
      T* rows = tmp;
      T* columns = tmp + kKeys * W;
      if (p.mask_bool) {
        for (int64_t i = 0; i < nq; ++i) mask_row(p, a, q0 + i, k0, n, rows + i * kKeys);
        pack_lines<T, W>(columns, rows, nq, n, kKeys, 1);
      } else {
        const T* m = reinterpret_cast<const T*>(a.mask) + q0 * p.mask_s[2] + k0 * p.mask_s[3];
        pack_lines<T, W>(columns, m, nq, n, p.mask_s[2], p.mask_s[3]);
      }
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < lanes; i += L)
          store(s + j * lds + i, load(s + j * lds + i) + load(columns + j * W + i));
    }
  }
  if (p.causal && k0 + n - 1 > q0) {
    Vec<Int<T>> lane;
    for (int i = 0; i < L; ++i) lane[i] = i;
    for (int64_t j = max64(0, q0 + 1 - k0); j < n; ++j)
      for (int64_t i = 0; i < lanes; i += L) {
        const Vec<Int<T>> first =
            splat(static_cast<Int<T>>(k0 + j - q0 - i));  // lanes below are before the key
        store(s + j * lds + i, lane < first ? splat(-kInfinity<T>) : load(s + j * lds + i));
      }
  }
}

// Factors of dropout: 0 or 1 / (1 - p).
template <class T>
struct Dropout {
  bool on, all;
  uint32_t least;
  T factor;
  uint64_t seed, offset;
  explicit Dropout(const AttentionArgs& p) {
    const uint64_t threshold = static_cast<uint64_t>(p.dropout * 4294967296.0 + 0.5);
    on = p.dropout > 0, all = threshold >> 32;
    least = static_cast<uint32_t>(threshold), factor = all ? T(0) : static_cast<T>(1 / (1 - p.dropout));
    seed = p.seed, offset = p.offset;
  }
  // dst[i] = the factor of element first + i.
  void row(uint64_t first, int64_t n, T* dst) const {
    uint32_t word[kGroup];
    for (int64_t i = 0; i < n;) {
      const int64_t at = static_cast<int64_t>((first + static_cast<uint64_t>(i)) % kGroup);
      const int64_t m = min64(kGroup - at, n - i);
      philox_group((first + static_cast<uint64_t>(i)) / kGroup, 0, seed, offset, word);
      for (int64_t c = 0; c < m; ++c) dst[i + c] = word[at + c] >= least ? factor : T(0);
      i += m;
    }
  }
};

// The factors of a block as scores() lays it out, kStrip to a key.
template <class T>
inline const T* keep_factors(const AttentionArgs& p, const Head<T>& a, const Dropout<T>& drop, int64_t q0,
                             int64_t nq, int64_t k0, int64_t n, T* tmp) {
  constexpr int W = kStrip<T>;
  for (int64_t i = 0; i < nq; ++i) {
    const uint64_t row = a.row + static_cast<uint64_t>(q0 + i);
    drop.row(row * static_cast<uint64_t>(p.Tk) + static_cast<uint64_t>(k0), n, tmp + i * kKeys);
  }
  T* columns = tmp + kKeys * W;
  pack_lines<T, W>(columns, tmp, nq, n, kKeys, 1);
  return columns;
}

// dst[i][j] = src[j][i], i < rows, j < columns; src is readable in whole squares of vectors.
template <class T>
inline void store_transposed(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows, int64_t columns) {
  constexpr int L = kLanes<T>;
  for (int64_t i = 0; i < rows; i += L)
    for (int64_t j = 0; j < columns; j += L) {
      const int n = static_cast<int>(min64(L, columns - j));
      Vec<T> square[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) square[r] = r < n ? load(src + (j + r) * lds + i) : Vec<T>{};
      transpose_square<T>(square);
      const int64_t m = min64(L, rows - i);
      if (n == L && m == L) {
#pragma GCC unroll 16
        for (int r = 0; r < L; ++r) store(dst + (i + r) * ldd + j, square[r]);
      } else {
        for (int64_t r = 0; r < m; ++r) store_upto(dst + (i + r) * ldd + j, square[r], n);
      }
    }
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
