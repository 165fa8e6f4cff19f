// Windows over row-major planes, for convolutions whose vectors run along the rows: a copy that brings the
// zero padding, the activation's gradient, and, for a stride, the columns sorted by their remainder:
//   window  [plane][row][remainder of the column by the stride][column / stride]
#pragma once

#include "cpu/conv.h"

namespace dlcore {
namespace DLCORE_ISA {

// Where element 0 of the window lies, and its steps.
template <class T>
struct Rows {
  const T* p;
  int64_t plane, row, rest;  // steps to the next plane, row and remainder
  int64_t at(int64_t d, int64_t r, int64_t c, int64_t step) const {
    return d * plane + r * row + (step == 1 ? c : c % step * rest + c / step);
  }
};

// Lane j of the result is element j + S of a and b laid end to end.
template <class T, int S>
DLCORE_INLINE Vec<T> shifted(Vec<T> a, Vec<T> b) {
  Vec<Int<T>> index;
  for (int j = 0; j < kLanes<T>; ++j) index[j] = j + S;
  return shuffle(a, b, index);
}

// dst[r * rest + i] = src[c0 + r + step * i], i < n, zeros outside the W columns of src. Whole vectors are
// stored, up to a vector beyond n.
template <class T>
DLCORE_INLINE void copy_row(T* dst, const T* src, int64_t W, int64_t c0, int64_t n) {
  constexpr int L = kLanes<T>;
  const int64_t lo = min64(n, max64(0, -c0)), hi = max64(lo, min64(n, W - c0));
  int64_t i = 0;
  for (; i < lo; i += L) store(dst + i, Vec<T>{});
  for (i = lo; i < hi; i += L) store(dst + i, load_upto(src + c0 + i, static_cast<int>(min64(L, hi - i))));
  for (; i < n; i += L) store(dst + i, Vec<T>{});
}
// S is 2 or 4: whole vectors, sorted by the last bit of the column, then each half by the bit before.
template <class T, int S>
inline void copy_row_by(T* dst, int64_t rest, const T* src, int64_t W, int64_t c0, int64_t n) {
  constexpr int L = kLanes<T>;
  Vec<Int<T>> even, odd;
  for (int j = 0; j < L; ++j) even[j] = 2 * j, odd[j] = 2 * j + 1;
  int64_t i = 0;
  for (; i < n && c0 + S * i < 0; ++i)
    for (int r = 0; r < S; ++r) {
      const int64_t c = c0 + S * i + r;
      dst[r * rest + i] = c >= 0 && c < W ? src[c] : T(0);
    }
  for (; i < n; i += L) {
    const int64_t c = c0 + S * i, left = W - c;
    Vec<T> v[S];
#pragma GCC unroll 4
    for (int r = 0; r < S; ++r)
      v[r] = left > r * L ? load_upto(src + c + r * L, static_cast<int>(min64(L, left - r * L))) : Vec<T>{};
    if constexpr (S == 2) {
      store(dst + i, shuffle(v[0], v[1], even));
      store(dst + rest + i, shuffle(v[0], v[1], odd));
    } else {
      const Vec<T> e0 = shuffle(v[0], v[1], even), e1 = shuffle(v[2], v[3], even);
      const Vec<T> o0 = shuffle(v[0], v[1], odd), o1 = shuffle(v[2], v[3], odd);
      store(dst + i, shuffle(e0, e1, even));
      store(dst + rest + i, shuffle(o0, o1, even));
      store(dst + 2 * rest + i, shuffle(e0, e1, odd));
      store(dst + 3 * rest + i, shuffle(o0, o1, odd));
    }
  }
}
// Any step and stride, and a gate.
template <class T>
inline void copy_row_any(T* dst, int64_t rest, const T* src, const T* gate, Act act, int64_t W, int64_t sw,
                         int64_t gate_sw, int64_t c0, int64_t n, int64_t step) {
  for (int64_t r = 0; r < step; ++r, dst += rest) {
    // Column c0 + r + step * i lies inside for lo <= i < hi.
    const int64_t first = c0 + r, ss = step * sw;
    const int64_t lo = min64(n, first >= 0 ? 0 : ceil_div(-first, step));
    const int64_t hi = max64(lo, min64(n, first >= W ? 0 : ceil_div(W - first, step)));
    for (int64_t i = 0; i < lo; ++i) dst[i] = 0;
    for (int64_t i = hi; i < n; ++i) dst[i] = 0;
    const T* const s = src + first * sw;
    if (act == Act::none) {
      for (int64_t i = lo; i < hi; ++i) dst[i] = s[i * ss];
      continue;
    }
    const T* const g = gate + first * gate_sw;
    if (ss == 1 && gate_sw == 1)
      each_vector<T>(lo, hi, [&](int64_t i, int lanes) {
        store_upto(dst + i, gated<T>(act, load_upto(s + i, lanes), load_upto(g + i, lanes)), lanes);
      });
    else
      for (int64_t i = lo; i < hi; ++i)
        dst[i] = gated<T>(act, splat(s[i * ss]), splat(g[i * step * gate_sw]))[0];
  }
}

// Of a remainder's columns in the window, with a vector of garbage behind.
template <class T>
inline int64_t row_length(int64_t n) {
  return round_up(n, kLanes<T>) + kLanes<T>;
}

// The box of one channel in `slot`, `n` columns a remainder; `rows` a plane (at least the box's).
template <class T>
inline Rows<T> rows_of(const Volume<T>& x, const Volume<T>& gate, Act act, const Box& b, int64_t step,
                       int64_t n, int64_t rows, int slot) {
  const int64_t rest = row_length<T>(n), row = step * rest, plane = rows * row;
  T* const buffer = scratch<T>(slot, (b.d1 - b.d0) * plane + 4 * kLanes<T>);
  for (int64_t d = b.d0; d < b.d1; ++d) {
    T* dst = buffer + (d - b.d0) * plane;
    for (int64_t r = b.r0; r < b.r1; ++r, dst += row) {
      const T* const from = x.p + d * x.sd + r * x.sh;
      if (d < 0 || d >= x.D || r < 0 || r >= x.H)
        __builtin_memset(dst, 0, row * sizeof(T));
      else if (act == Act::none && x.sw == 1 && step == 1)
        copy_row(dst, from, x.W, b.c0, n);
      else if (act == Act::none && x.sw == 1 && step == 2)
        copy_row_by<T, 2>(dst, rest, from, x.W, b.c0, n);
      else if (act == Act::none && x.sw == 1 && step == 4)
        copy_row_by<T, 4>(dst, rest, from, x.W, b.c0, n);
      else
        copy_row_any(dst, rest, from, act == Act::none ? nullptr : gate.p + d * gate.sd + r * gate.sh, act,
                     x.W, x.sw, act == Act::none ? 0 : gate.sw, b.c0, n, step);
    }
  }
  return {buffer, plane, row, rest};
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
