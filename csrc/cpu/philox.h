// Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw: Parallel random numbers: as easy as 1, 2, 3, SC
// 2011): random words as a function of (seed, offset, element), the same on every ISA, device and number of
// threads. How elements map to words: see kernels/random.h.
#pragma once

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {

typedef uint64_t V64 __attribute__((vector_size(kVecBytes)));
constexpr int kHalf = kVecBytes / 8;  // counters in one V64
constexpr int kGroup = 64;            // words that sixteen counters make

// Products of the low halves of each lane; what the high halves hold does not matter.
DLCORE_INLINE V64 mul_low(V64 a, V64 b) {
#if defined(__AVX512F__)
  return (V64)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);  // GCC 12 warns of the plain form
#elif defined(__AVX2__)
  return (V64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  return (V64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

DLCORE_INLINE V64 splat64(uint64_t x) { return V64{} + x; }

// Ten rounds on the counters (block, offset); one 32-bit word a lane, its high half holding rubbish.
DLCORE_INLINE void philox(V64 block, uint64_t offset, uint64_t seed, V64* word) {
  V64 c0 = block, c1 = block >> 32, c2 = splat64(offset), c3 = splat64(offset >> 32);
  const V64 m0 = splat64(0xD2511F53u), m1 = splat64(0xCD9E8D57u);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const V64 p0 = mul_low(m0, c0), p1 = mul_low(m1, c2);
    c0 = (p1 >> 32) ^ c1 ^ splat64(k0);
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ splat64(k1);
    c3 = p0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

// The words of elements 64 group ... 64 group + 63.
inline void philox_group(uint64_t group, uint64_t first, uint64_t seed, uint64_t offset, uint32_t* out) {
  V64 step;
  for (int i = 0; i < kHalf; ++i) step[i] = 2 * static_cast<uint64_t>(i);
  for (int j = 0; j < 16; j += 2 * kHalf) {
    const V64 even = splat64(first + group * 16 + static_cast<uint64_t>(j)) + step;
    V64 a[4], b[4];
    philox(even, offset, seed, a);
    philox(even + splat64(1), offset, seed, b);
    for (int w = 0; w < 4; ++w) {
      const V64 both = (a[w] & splat64(0xffffffffu)) | (b[w] << 32);
      if constexpr (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
        __builtin_memcpy(out + 16 * w + j, &both, kVecBytes);
      } else {
        for (int i = 0; i < kHalf; ++i)
          out[16 * w + j + 2 * i] = static_cast<uint32_t>(both[i]),
                               out[16 * w + j + 2 * i + 1] = both[i] >> 32;
      }
    }
  }
}

// word >= least in each lane of a Vec<T>, all ones or zeros; unsigned order by way of the signed one.
template <class T>
DLCORE_INLINE Vec<Int<T>> keep_lanes(const uint32_t* word, uint32_t least) {
  constexpr uint32_t flip = 0x80000000u;
  typedef int32_t Words __attribute__((vector_size(kLanes<T> * 4)));
  Words w;
  __builtin_memcpy(&w, word, sizeof w);
  w ^= static_cast<int32_t>(flip);
  const Vec<Int<T>> bound = splat(static_cast<Int<T>>(static_cast<int32_t>(least ^ flip)));
  if constexpr (sizeof(T) == 4)
    return w >= bound;
  else
    return __builtin_convertvector(w, Vec<Int<T>>) >= bound;
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
