// What softmax and cross-entropy share: max, sum of exponentials and weighted sums along a contiguous row,
// and the same for a tile of neighbouring columns (the class axis is not the last). A row's sums go through
// blocks of kBlock vectors, so that rounding grows with the block and the number of blocks, not with the
// length.
#pragma once

#include "cpu/simd.h"
#include "cpu/vmath.h"

namespace dlcore {
namespace DLCORE_ISA {

constexpr int kTile = 256;  // columns of a tile: its running max and sums stay in L1
constexpr int kBlock = 64;  // vectors

template <class T>
constexpr T kInf = static_cast<T>(__builtin_inf());
template <class T>
constexpr T kMax = sizeof(T) == 4 ? T(3.402823466385288598e+38) : T(1.797693134862315708e+308);

template <class T>
DLCORE_INLINE T scalar_log(T x) {
  if constexpr (sizeof(T) == 4)
    return __builtin_logf(x);
  else
    return __builtin_log(x);
}

// All ones in the lanes below n.
template <class T>
DLCORE_INLINE Vec<Int<T>> lanes_below(int n) {
  Vec<Int<T>> i;
  for (int k = 0; k < kLanes<T>; ++k) i[k] = k;
  return i < splat(static_cast<Int<T>>(n));
}

// Ignores NaN (exp(x - max) brings it back); -inf for an empty row.
template <class T>
inline T row_max(const T* x, int64_t n) {
  constexpr int L = kLanes<T>;
  const Vec<T> low = splat(-kInf<T>);
  Vec<T> m0 = low, m1 = low, m2 = low, m3 = low;
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L) {
    m0 = max(m0, load(x + i)), m1 = max(m1, load(x + i + L));
    m2 = max(m2, load(x + i + 2 * L)), m3 = max(m3, load(x + i + 3 * L));
  }
  for (; i + L <= n; i += L) m0 = max(m0, load(x + i));
  if (i < n) {
    const int r = static_cast<int>(n - i);
    m1 = max(m1, lanes_below<T>(r) ? load_n(x + i, r) : low);
  }
  return hmax<T>(max(max(m0, m1), max(m2, m3)));
}

// Sum over the row of f(i, lanes), a vector whose lanes beyond `lanes` do not count.
template <class T, class F>
DLCORE_INLINE T row_sum(int64_t n, const F& f) {
  constexpr int L = kLanes<T>;
  Vec<T> total = {};
  for (int64_t i0 = 0; i0 < n; i0 += kBlock * L) {
    Vec<T> acc = {};
    each_vector<T>(i0, min64(n, i0 + kBlock * L), [&](int64_t i, int lanes) {
      const Vec<T> v = f(i, lanes);
      acc += lanes == L ? v : lanes_below<T>(lanes) ? v : Vec<T>{};
    });
    total += acc;
  }
  return hsum<T>(total);
}

// Sum of e^(x - m); with Store also y = e^(x - m).
template <class T, bool Store>
inline T row_exp_sum(const T* x, T* y, int64_t n, T m) {
  const Vec<T> vm = splat(m);
  return row_sum<T>(n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    const Vec<T> e = exp<T>(load_upto(x + i, lanes) - vm);
    if constexpr (Store) store_upto(y + i, e, lanes);
    return e;
  });
}

// ---- a tile: `w` <= kTile columns of rows `stride` apart; per-column arrays have room for kTile + a vector
// ----------

template <class T>
inline void tile_max(const T* x, int64_t rows, int64_t stride, int w, T* m) {
  for (int j = 0; j < w; j += kLanes<T>) store(m + j, splat(-kInf<T>));
  for (int64_t c = 0; c < rows; ++c)
    each_vector<T>(0, w, [&](int64_t j, int lanes) __attribute__((always_inline)) {
      store(m + j, max(load(m + j), load_upto(x + c * stride + j, lanes)));
    });
}

template <class T, bool Store>
inline void tile_exp_sum(const T* x, T* y, int64_t rows, int64_t stride, int w, const T* m, T* s) {
  for (int j = 0; j < w; j += kLanes<T>) store(s + j, Vec<T>{});
  for (int64_t c = 0; c < rows; ++c)
    each_vector<T>(0, w, [&](int64_t j, int lanes) __attribute__((always_inline)) {
      const Vec<T> e = exp<T>(load_upto(x + c * stride + j, lanes) - load(m + j));
      if constexpr (Store) store_upto(y + c * stride + j, e, lanes);
      store(s + j, load(s + j) + e);
    });
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
