// SIMD for kernels: one GCC/Clang vector type a dtype, a dozen helpers, and parallel_for for lambdas.
// Compiled once per ISA inside that ISA's namespace (DLCORE_ISA), so everything here is in it too; no std::
// templates.
//
// The rule for tails: a remainder of n < lanes elements goes through the SAME vector code with load_n /
// store_n, never through a scalar copy of the loop, so that an element's bits do not depend on where a range
// ends.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/common.h"
#include "memory_c.h"
#include "parallel.h"

#define DLCORE_INLINE inline __attribute__((always_inline))

namespace dlcore {
namespace DLCORE_ISA {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T>
struct VecOf;
#define DLCORE_VEC(T)                                       \
  template <>                                               \
  struct VecOf<T> {                                         \
    typedef T type __attribute__((vector_size(kVecBytes))); \
  };
DLCORE_VEC(float)
DLCORE_VEC(double)
DLCORE_VEC(int32_t)
DLCORE_VEC(int64_t)
DLCORE_VEC(uint8_t)
#undef DLCORE_VEC

template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T));

// The integer of a float's width: lane masks, bit tricks.
template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using type = int32_t;
};
template <>
struct IntOf<double> {
  using type = int64_t;
};
template <class T>
using Int = typename IntOf<T>::type;

template <class T>
DLCORE_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, kVecBytes);
  return v;
}
template <class T>
DLCORE_INLINE void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, kVecBytes);
}

// n < lanes elements; the lanes beyond hold zeros.
template <class T>
DLCORE_INLINE Vec<T> load_n(const T* p, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p);
  else if constexpr (sizeof(T) == 8)
    return (Vec<T>)_mm512_maskz_loadu_epi64(static_cast<__mmask8>((1u << n) - 1), p);
#endif
  Vec<T> v = {};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
template <class T>
DLCORE_INLINE void store_n(T* p, Vec<T> v, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1), (__m512i)v);
  else if constexpr (sizeof(T) == 8)
    return _mm512_mask_storeu_epi64(p, static_cast<__mmask8>((1u << n) - 1), (__m512i)v);
#endif
  for (int i = 0; i < n; ++i) p[i] = v[i];
}

// A vector that may be a tail.
template <class T>
DLCORE_INLINE Vec<T> load_upto(const T* p, int lanes) {
  return lanes == kLanes<T> ? load(p) : load_n(p, lanes);
}
template <class T>
DLCORE_INLINE void store_upto(T* p, Vec<T> v, int lanes) {
  if (lanes == kLanes<T>)
    store(p, v);
  else
    store_n(p, v, lanes);
}
// Calls f(i, lanes) for each vector of [begin, end); `lanes` is kLanes but for the tail.
template <class T, class F>
DLCORE_INLINE void each_vector(int64_t begin, int64_t end, const F& f) {
  int64_t i = begin;
  for (; i + kLanes<T> <= end; i += kLanes<T>) f(i, kLanes<T>);
  if (i < end) f(i, static_cast<int>(end - i));
}

// A whole vector past the caches to an aligned address: no read of the line that it overwrites.
template <class T>
DLCORE_INLINE void store_streaming(T* p, Vec<T> v) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)v);
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)v);
#else
  store(p, v);
#endif
}

// A broadcast: -0.0 - 0.0 is -0.0, so that the compiler may leave the subtraction out, as it may not an
// addition.
template <class T>
DLCORE_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};
}

// One rounding where the ISA has FMA (-ffp-contract=fast), two on the baseline.
template <class V>
DLCORE_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}
// NaN in `a` propagates; for symmetric propagation see max_nan / min_nan.
template <class V>
DLCORE_INLINE V max(V a, V b) {
  return a < b ? b : a;
}
template <class V>
DLCORE_INLINE V min(V a, V b) {
  return b < a ? b : a;
}
template <class V>
DLCORE_INLINE V max_nan(V a, V b) {
  return ((a < b) | (b != b)) ? b : a;
}
template <class V>
DLCORE_INLINE V min_nan(V a, V b) {
  return ((b < a) | (b != b)) ? b : a;
}

// max(x, 0) that keeps NaN.
template <class V>
DLCORE_INLINE V relu(V x) {
  return x < V{} ? V{} : x;
}

template <class To, class From>
DLCORE_INLINE To bitcast(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}

// Lane j of the result is lane index[j] of a and b laid end to end; the indices are constants.
template <class V, class I>
DLCORE_INLINE V shuffle(V a, V b, I index) {
#if defined(__clang__)
  V y;
  constexpr int L = sizeof(V) / sizeof(a[0]);
  for (int j = 0; j < L; ++j) y[j] = index[j] < L ? a[index[j]] : b[index[j] - L];
  return y;
#else
  return __builtin_shuffle(a, b, index);
#endif
}

// Lane j of the result is lane index[j] of v, whatever the indices are.
template <class V, class I>
DLCORE_INLINE V permute(V v, I index) {
#if defined(__clang__)
  V y;
  for (int j = 0; j < static_cast<int>(sizeof(V) / sizeof(v[0])); ++j) y[j] = v[index[j]];
  return y;
#else
  return __builtin_shuffle(v, index);
#endif
}

// Sums the lanes of floats in one fixed tree: halves, then quarters, ...
template <class T>
DLCORE_INLINE T hsum(Vec<T> v) {
  auto four = [](auto a) __attribute__((always_inline)) {
    const auto b = __builtin_shufflevector(a, a, 0, 1) + __builtin_shufflevector(a, a, 2, 3);
    return b[0] + b[1];
  };
  auto eight = [&](auto a) __attribute__((always_inline)) {
    return four(__builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7));
  };
  if constexpr (kLanes<T> == 16)
    return eight(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                 __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
  else if constexpr (kLanes<T> == 8)
    return eight(v);
  else if constexpr (kLanes<T> == 4)
    return four(v);
  else
    return v[0] + v[1];
}
// The sums of four vectors, out[0] to out[3], each with the bits of hsum.
template <class T>
DLCORE_INLINE void hsum4(Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d, T* out) {
  auto halves = [](auto x) __attribute__((always_inline)) {
    if constexpr (sizeof x == 16 * sizeof(T))
      return __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    else
      return __builtin_shufflevector(x, x, 0, 1, 2, 3) + __builtin_shufflevector(x, x, 4, 5, 6, 7);
  };
  if constexpr (kLanes<T> == 2) {
    out[0] = hsum<T>(a), out[1] = hsum<T>(b), out[2] = hsum<T>(c), out[3] = hsum<T>(d);
  } else {
    auto four = [&](auto x) __attribute__((always_inline)) {
      if constexpr (kLanes<T> == 16)
        return halves(halves(x));
      else if constexpr (kLanes<T> == 8)
        return halves(x);
      else
        return x;
    };
    auto pair = [](auto x, auto y) __attribute__((always_inline)) {
      return __builtin_shufflevector(x, y, 0, 1, 4, 5) + __builtin_shufflevector(x, y, 2, 3, 6, 7);
    };
    const auto ab = pair(four(a), four(b)), cd = pair(four(c), four(d));
    const auto sums =
        __builtin_shufflevector(ab, cd, 0, 2, 4, 6) + __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
    __builtin_memcpy(out, &sums, sizeof sums);
  }
}
template <class T>
DLCORE_INLINE T hmax(Vec<T> v) {  // NaN where any lane is NaN
  T m = v[0];
  for (int i = 1; i < kLanes<T>; ++i) m = ((m < v[i]) | (v[i] != v[i])) ? v[i] : m;
  return m;
}

// parallel_for(n, grain, [&](int64_t begin, int64_t end) { ... }); see parallel.h for what keeps results
// identical.
template <class F>
inline void parallel_for(int64_t n, int64_t grain, const F& f) {
  parallel_for_raw(
      n, grain, [](void* ctx, int64_t b, int64_t e) { (*static_cast<const F*>(ctx))(b, e); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

// A grain that makes one part worth waking a thread for: about 32k elements' worth of simple work.
constexpr int64_t kGrain = 32768;

template <class T>
DLCORE_INLINE T* scratch(int slot, int64_t count) {
  return static_cast<T*>(workspace(slot, static_cast<size_t>(count) * sizeof(T)));
}

DLCORE_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
DLCORE_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
DLCORE_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

// Makes kernel<T> for the dtypes of its list entry: DLCORE_INSTANTIATE_FLOATS(conv_forward, ConvArgs)
#define DLCORE_INSTANTIATE_FLOATS(kernel, Args) \
  template void kernel<float>(const Args&);     \
  template void kernel<double>(const Args&);
#define DLCORE_INSTANTIATE_ALL(kernel, Args)  \
  DLCORE_INSTANTIATE_FLOATS(kernel, Args)     \
  template void kernel<int32_t>(const Args&); \
  template void kernel<int64_t>(const Args&); \
  template void kernel<uint8_t>(const Args&); \
  template void kernel<bool>(const Args&);

}  // namespace DLCORE_ISA
}  // namespace dlcore
