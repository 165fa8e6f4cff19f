// What the optimizers' kernels share: chunks of many arrays, and vectors that are widened for sums.
#pragma once

#include "cpu/simd.h"
#include "kernels/optim.h"

namespace dlcore {
namespace DLCORE_ISA {

// Which array chunk `c` belongs to: first[t] <= c < first[t + 1].
inline int tensor_of(const int64_t* first, int count, int64_t c) {
  int lo = 0, hi = count;
  while (hi - lo > 1) {
    const int mid = (lo + hi) / 2;
    (first[mid] <= c ? lo : hi) = mid;
  }
  return lo;
}

// What is worth waking a thread for: `least` elements, as chunks (of many small arrays one chunk is little).
inline int64_t chunk_grain(const int64_t* first, const int64_t* size, int count, int64_t least) {
  int64_t total = 0;
  for (int t = 0; t < count; ++t) total += size[t];
  return total < 2 * least ? first[count] : max64(1, least * first[count] / total);
}

// f(chunk, tensor, offset, elements) for each chunk of many arrays.
template <class F>
inline void each_chunk(const int64_t* first, const int64_t* size, int count, int64_t least, const F& f) {
  parallel_for(first[count], chunk_grain(first, size, count, least), [&](int64_t b, int64_t e) {
    int t = tensor_of(first, count, b);
    for (int64_t c = b; c < e; ++c) {
      while (c >= first[t + 1]) ++t;
      const int64_t at = (c - first[t]) * kOptimChunk;
      f(c, t, at, min64(kOptimChunk, size[t] - at));
    }
  });
}
// The same ranges, each from its end.
template <class F>
inline void each_chunk_backwards(const int64_t* first, const int64_t* size, int count, int64_t least,
                                 const F& f) {
  parallel_for(first[count], chunk_grain(first, size, count, least), [&](int64_t b, int64_t e) {
    int t = tensor_of(first, count, e - 1);
    for (int64_t c = e - 1; c >= b; --c) {
      while (c < first[t]) --t;
      const int64_t at = (c - first[t]) * kOptimChunk;
      f(c, t, at, min64(kOptimChunk, size[t] - at));
    }
  });
}

// Half a vector of floats, or a vector of doubles, as doubles; lanes beyond `lanes` hold zeros.
DLCORE_INLINE Vec<double> widen(const double* x, int lanes) { return load_upto(x, lanes); }
DLCORE_INLINE Vec<double> widen(const float* x, int lanes) {
  typedef float Half __attribute__((vector_size(kVecBytes / 2)));
  Half h = {};
  if (lanes == kLanes<double>)
    __builtin_memcpy(&h, x, sizeof h);
  else
    for (int i = 0; i < lanes; ++i) h[i] = x[i];
  return __builtin_convertvector(h, Vec<double>);
}

// s + the sum of the squares of all lanes, half a vector of floats at a time.
template <class T>
DLCORE_INLINE Vec<double> add_squares(Vec<double> s, Vec<T> x) {
  T a[kLanes<T>];
  store(a, x);
  for (int i = 0; i < kLanes<T>; i += kLanes<double>) {
    const Vec<double> v = widen(a + i, kLanes<double>);
    s = fma(v, v, s);
  }
  return s;
}

template <class T>
DLCORE_INLINE Vec<T> lerp(Vec<T> a, Vec<T> b, Vec<T> weight) {
  return fma(weight, b - a, a);
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
