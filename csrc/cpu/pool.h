// What the pooling kernels share: windows along an axis, divisors, the positions that maxima keep.
// N batch, C channels, D x H x W input volume, OD x OH x OW output volume.
#pragma once

#include "cpu/simd.h"
#include "kernels/pool.h"

namespace dlcore {
namespace DLCORE_ISA {

// Elements lo <= i < hi of a window lie in the input.
struct Span {
  int64_t start, lo, hi;
};

DLCORE_INLINE Span span(const PoolAxis& a, int64_t o) {
  if (a.kernel == 0) {
    const int64_t start = o * a.in / a.out;
    return {start, 0, ceil_div((o + 1) * a.in, a.out) - start};
  }
  const int64_t start = o * a.stride - a.before;
  if (start >= 0 && start + (a.kernel - 1) * a.dilation < a.in)
    return {start, 0, a.kernel};  // no divisions inside
  const int64_t lo = start >= 0 ? 0 : ceil_div(-start, a.dilation);
  const int64_t hi = start >= a.in ? 0 : min64(a.kernel, ceil_div(a.in - start, a.dilation));
  return {start, lo, max64(lo, hi)};
}

// The windows lo <= o < hi that reach over input i (with dilation, they may step over it).
struct Cover {
  int64_t lo, hi;
};

DLCORE_INLINE Cover cover(const PoolAxis& a, int64_t i) {
  if (a.kernel == 0) return {i * a.out / a.in, ceil_div((i + 1) * a.out, a.in)};
  const int64_t last = i + a.before, first = last - (a.kernel - 1) * a.dilation;
  return {first <= 0 ? 0 : ceil_div(first, a.stride), min64(a.out, last / a.stride + 1)};
}

// The element of window o that input i is, or -1 where dilation steps over it.
DLCORE_INLINE int64_t element(const PoolAxis& a, int64_t o, int64_t i) {
  const int64_t d = i + a.before - o * a.stride;
  if (a.dilation == 1) return d;
  return d % a.dilation ? -1 : d / a.dilation;
}

// How many elements along this axis an average's divisor counts.
DLCORE_INLINE int64_t counted(const PoolAxis& a, bool include_pad, int64_t o) {
  const Span s = span(a, o);
  if (!include_pad || a.kernel == 0) return max64(1, s.hi - s.lo);
  return max64(1, min64(s.start + a.kernel, a.in + a.after) - s.start);
}
// The divisor is the product of the two: the override stands in the first.
DLCORE_INLINE int64_t divisor_rows(const PoolShape& p, int64_t od, int64_t oh) {
  if (p.divisor) return p.divisor;
  return counted(p.d, p.count_include_pad, od) * counted(p.h, p.count_include_pad, oh);
}
DLCORE_INLINE int64_t divisor_columns(const PoolShape& p, int64_t ow) {
  return p.divisor ? 1 : counted(p.w, p.count_include_pad, ow);
}

DLCORE_INLINE int64_t window_size(const PoolShape& p) {
  int64_t size = 1;
  const PoolAxis* axes[] = {&p.d, &p.h, &p.w};
  for (const PoolAxis* a : axes) size *= a->kernel ? a->kernel : ceil_div(a->in, max64(1, a->out));
  return max64(1, size);
}

// Windows side by side, as in most networks.
DLCORE_INLINE bool side_by_side(const PoolAxis& a) {
  return a.kernel > 0 && a.kernel == a.stride && a.dilation == 1 && a.before == 0;
}

// One window that is the whole volume, whose elements lie evenly apart: global pooling.
DLCORE_INLINE bool is_global(const PoolShape& p) {
  const PoolAxis* axes[] = {&p.d, &p.h, &p.w};
  for (const PoolAxis* a : axes) {
    const bool whole = a->kernel == 0 || (a->kernel == a->in && a->dilation == 1 && a->before == 0);
    if (a->in < 1 || a->out != 1 || !whole) return false;
  }
  return (p.h.in == 1 || p.x_hs == p.w.in * p.x_ws) && (p.d.in == 1 || p.x_ds == p.h.in * p.w.in * p.x_ws);
}

// ---- positions of maxima: one integer lane a value

template <class T>
using Code = Vec<Int<T>>;
// The same code in every lane; the intrinsics because GCC makes an integer splat lane by lane.
template <class T>
DLCORE_INLINE Code<T> same_code(int64_t c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return (Code<T>)_mm512_set1_epi32(static_cast<int32_t>(c));
  if constexpr (sizeof(T) == 8) return (Code<T>)_mm512_set1_epi64(c);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return (Code<T>)_mm256_set1_epi32(static_cast<int32_t>(c));
  if constexpr (sizeof(T) == 8) return (Code<T>)_mm256_set1_epi64x(c);
#endif
  return splat(static_cast<Int<T>>(c));
}
template <class T>
struct Narrow {
  typedef uint8_t type __attribute__((vector_size(kLanes<T>)));
};
template <class T>
struct Wide {
  typedef int64_t type __attribute__((vector_size(8 * kLanes<T>)));
};

template <class T, PoolSave S>
DLCORE_INLINE void store_codes(void* saved, int64_t at, Code<T> c, int n) {
  if constexpr (S == PoolSave::offsets) {
    const auto v = __builtin_convertvector(c, typename Narrow<T>::type);
    __builtin_memcpy(static_cast<uint8_t*>(saved) + at, &v, n);
  } else if constexpr (S == PoolSave::indices) {
    const auto v = __builtin_convertvector(c, typename Wide<T>::type);
    __builtin_memcpy(static_cast<int64_t*>(saved) + at, &v, n * sizeof(int64_t));
  }
}
// Bytes to lanes; the intrinsics because GCC takes the general conversion apart.
template <class T>
DLCORE_INLINE Code<T> load_offsets(const uint8_t* p, int n) {
  uint8_t bytes[16] = {};  // dead where n is whole
  if (n != kLanes<T>) {
    for (int i = 0; i < n; ++i) bytes[i] = p[i];
    p = bytes;
  }
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Code<T>)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  else
    return (Code<T>)_mm512_maskz_cvtepu8_epi64(0xff, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (Code<T>)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#endif
  Code<T> c;
  for (int i = 0; i < kLanes<T>; ++i) c[i] = p[i];
  return c;
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
