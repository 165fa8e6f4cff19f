// What the norms share: sums along runs, mean and variance of chunks and their merging.
//
// A chunk (kChunk elements at most) is read from memory once and summed twice: for its mean, then for the
// squared distances from it, while it lies in L1 or L2. Chunks merge in double in index order (T. Chan,
// G. Golub, R. LeVeque 1979), so no variance is a difference of large numbers, and no bit depends on threads.
#pragma once

#include "cpu/simd.h"
#include "cpu/softmax.h"
#include "cpu/stream.h"

namespace dlcore {
namespace DLCORE_ISA {

constexpr int64_t kChunk = 16384;

// Lanes at and beyond `lanes` become zeros.
template <class T>
DLCORE_INLINE Vec<T> only(Vec<T> v, int lanes) {
  return lanes == kLanes<T> ? v : lanes_below<T>(lanes) ? v : Vec<T>{};
}

// total[k] += what f(i, lanes, acc) adds to acc[k] over [0, n): four chains for one sum, two for more, in
// blocks. f keeps lanes beyond `lanes` out of its sums (`only`).
template <int K, class T, class F>
DLCORE_INLINE void add_run(int64_t n, Vec<T>* total, const F& f) {
  constexpr int L = kLanes<T>, CHAINS = K == 1 ? 4 : 2;
  for (int64_t b = 0; b < n; b += CHAINS * kBlock * L) {
    const int64_t e = min64(n, b + CHAINS * kBlock * L);
    Vec<T> acc[CHAINS][K] = {};
    int64_t i = b;
    for (; i + CHAINS * L <= e; i += CHAINS * L)
      for (int c = 0; c < CHAINS; ++c) f(i + c * L, L, acc[c]);
    for (; i + L <= e; i += L) f(i, L, acc[0]);
    if (i < e) f(i, static_cast<int>(e - i), acc[1]);
    for (int k = 0; k < K; ++k) {
      Vec<T> s = acc[0][k] + acc[1][k];
      if constexpr (CHAINS == 4) s += acc[2][k] + acc[3][k];
      total[k] += s;
    }
  }
}

// Count, mean, and the sum of squared distances from the mean.
struct Moments {
  double n, mean, m2;
};

DLCORE_INLINE void merge(Moments& a, const Moments& b) {
  const double n = a.n + b.n, d = b.mean - a.mean, f = n > 0 ? b.n / n : 0;
  a.mean = a.n > 0 ? a.mean + d * f : b.mean;
  a.m2 = a.n > 0 ? a.m2 + b.m2 + d * d * a.n * f : b.m2;
  a.n = n;
}

// n values around `centre`, a rounded mean of theirs: s and s2 sum their distances from it and the squares.
DLCORE_INLINE Moments moments_from(double n, double centre, double s, double s2) {
  const double e = s / n, m2 = s2 - s * e;
  return {n, e == e ? centre + e : centre, m2 < 0 ? 0 : m2};  // an infinite centre stays one
}

// `runs` runs of `len` elements, `step` apart, together one chunk.
template <class T>
inline Moments chunk_moments(const T* x, int64_t runs, int64_t len, int64_t step) {
  Vec<T> sum = {};
  for (int64_t r = 0; r < runs; ++r)
    add_run<1, T>(len, &sum, [&](int64_t i, int lanes, Vec<T>* acc) __attribute__((always_inline)) {
      acc[0] += load_upto(x + r * step + i, lanes);
    });
  const double n = static_cast<double>(runs * len);
  const T centre = static_cast<T>(hsum<T>(sum) / static_cast<T>(n));
  const Vec<T> c = splat(centre);
  Vec<T> s[2] = {};
  for (int64_t r = 0; r < runs; ++r)
    add_run<2, T>(len, s, [&](int64_t i, int lanes, Vec<T>* acc) __attribute__((always_inline)) {
      const Vec<T> d = only<T>(load_upto(x + r * step + i, lanes) - c, lanes);
      acc[0] += d;
      acc[1] += d * d;
    });
  return moments_from(n, centre, hsum<T>(s[0]), hsum<T>(s[1]));
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
