// Lanes taken by index: from one or two vectors, or from memory. (The masked forms keep every lane; the plain
// ones start from a vector that GCC calls uninitialised.)
#pragma once

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {

// Whether permute2 is one instruction.
#if defined(__AVX512F__)
constexpr bool kPermuteTwo = true;
#else
constexpr bool kPermuteTwo = false;
#endif

// Lane l is v[index[l]], 0 <= index < lanes.
template <class T>
DLCORE_INLINE Vec<T> permute(Vec<T> v, Vec<Int<T>> index) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm256_permutevar8x32_ps((__m256)v, (__m256i)index);
#endif
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)index, (__m512)v);
  else
    return (Vec<T>)_mm512_maskz_permutexvar_pd(0xff, (__m512i)index, (__m512d)v);
#else
  Vec<T> y;
  for (int l = 0; l < kLanes<T>; ++l) y[l] = v[index[l]];
  return y;
#endif
}

// Lane l is lane index[l] of a and b laid end to end.
template <class T>
DLCORE_INLINE Vec<T> permute2(Vec<T> a, Vec<T> b, Vec<Int<T>> index) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
  else
    return (Vec<T>)_mm512_permutex2var_pd((__m512d)a, (__m512i)index, (__m512d)b);
#else
  Vec<T> y;
  for (int l = 0; l < kLanes<T>; ++l) y[l] = index[l] < kLanes<T> ? a[index[l]] : b[index[l] - kLanes<T>];
  return y;
#endif
}

// Lane l is p[index[l]].
template <class T>
DLCORE_INLINE Vec<T> gather(const T* p, Vec<Int<T>> index) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_mask_i32gather_ps(__m512{}, 0xffff, (__m512i)index, p, 4);
  else
    return (Vec<T>)_mm512_mask_i64gather_pd(__m512d{}, 0xff, (__m512i)index, p, 8);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm256_i32gather_ps(p, (__m256i)index, 4);
  else
    return (Vec<T>)_mm256_i64gather_pd(p, (__m256i)index, 8);
#else
  Vec<T> y;
  for (int l = 0; l < kLanes<T>; ++l) y[l] = p[index[l]];
  return y;
#endif
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
