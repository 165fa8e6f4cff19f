// Products with weights kept as int8 or bfloat16. A decoder's step reads every weight once and is bound by
// that: R rows of x against 4 rows of W at a time, widened in registers, so that a weight passes once for R
// rows and four sums hide the latency of the multiply-add.
#include "kernels/quant.h"

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int64_t kColumns = 4;

// As many numbers as Vec<T> has lanes, in fewer bytes.
template <class N, int L>
struct Narrow {
  typedef N type __attribute__((vector_size(L * sizeof(N))));
};
template <class N, int L>
using NarrowVec = typename Narrow<N, L>::type;

template <class T, Quant kind>
DLCORE_INLINE Vec<T> widen(const uint8_t* p) {
  // By hand where it is the step's inner loop: the compiler widens bytes in several stages.
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    constexpr __mmask16 all = 0xffff;  // the unmasked form makes GCC 12 warn of its own header
    if constexpr (kind == Quant::int8) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      return __builtin_convertvector((Vec<int32_t>)_mm512_maskz_cvtepi8_epi32(all, v), Vec<T>);
    } else {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      return (Vec<T>)((Vec<int32_t>)_mm512_maskz_cvtepu16_epi32(all, v) << 16);
    }
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    if constexpr (kind == Quant::int8) {
      const __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
      return __builtin_convertvector((Vec<int32_t>)_mm256_cvtepi8_epi32(v), Vec<T>);
    } else {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      return (Vec<T>)((Vec<int32_t>)_mm256_cvtepu16_epi32(v) << 16);
    }
  }
#endif
  constexpr int L = kLanes<T>;
  using Ints = NarrowVec<int32_t, L>;
  if constexpr (kind == Quant::int8) {
    NarrowVec<int8_t, L> v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(__builtin_convertvector(v, Ints), Vec<T>);
  } else {
    NarrowVec<uint16_t, L> v;
    __builtin_memcpy(&v, p, sizeof v);
    const Ints bits = __builtin_convertvector(v, Ints) << 16;
    return __builtin_convertvector(bitcast<NarrowVec<float, L>>(bits), Vec<T>);
  }
}
template <class T, Quant kind>
DLCORE_INLINE Vec<T> widen_n(const uint8_t* p, int n) {
  constexpr int size = kind == Quant::int8 ? 1 : 2;
  uint8_t whole[kLanes<T> * size] = {};
  for (int i = 0; i < n * size; ++i) whole[i] = p[i];
  return widen<T, kind>(whole);
}

// Bytes that each row of W is asked for into L2 ahead of its turn: the hardware sees no stream in a few rows
// side by side, and stops at the ends of pages.
constexpr int64_t kAhead = 16384;

// R rows of x against Q rows of W from row j on.
template <class T, Quant kind, int R, int Q>
DLCORE_INLINE void tile(const QuantLinearArgs& p, int64_t i, int64_t j) {
  constexpr int L = kLanes<T>, size = kind == Quant::int8 ? 1 : 2;
  const int64_t K = p.K;
  const T* x = static_cast<const T*>(p.x) + i * K;
  const uint8_t* w = p.w + j * K * size;
  Vec<T> acc[R][Q];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) acc[r][q] = Vec<T>{};
  int64_t k = 0;
  for (; k + L <= K; k += L) {
    Vec<T> xv[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) xv[r] = load(x + r * K + k);
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      __builtin_prefetch(w + (q * K + k) * size + kAhead, 0, 2);
      const Vec<T> wv = widen<T, kind>(w + (q * K + k) * size);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][q] = fma(xv[r], wv, acc[r][q]);
    }
  }
  if (const int left = static_cast<int>(K - k)) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      const Vec<T> wv = widen_n<T, kind>(w + (q * K + k) * size, left);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][q] = fma(load_n(x + r * K + k, left), wv, acc[r][q]);
    }
  }
  const T* scale = static_cast<const T*>(p.scale);
  const T* bias = static_cast<const T*>(p.bias);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    T sums[Q];
    if constexpr (Q == 4)
      hsum4<T>(acc[r][0], acc[r][1], acc[r][2], acc[r][3], sums);
    else
      for (int q = 0; q < Q; ++q) sums[q] = hsum<T>(acc[r][q]);
    for (int q = 0; q < Q; ++q) {
      T sum = sums[q];
      if constexpr (kind == Quant::int8) sum *= scale[j + q];
      if (bias) sum += bias[j + q];
      static_cast<T*>(p.y)[(i + r) * p.N + j + q] = sum;
    }
  }
}

template <class T, Quant kind, int Q>
DLCORE_INLINE void columns(const QuantLinearArgs& p, int64_t j) {
  int64_t i = 0;
  for (; i + 4 <= p.M; i += 4) tile<T, kind, 4, Q>(p, i, j);
  if (p.M - i == 3) tile<T, kind, 3, Q>(p, i, j);
  if (p.M - i == 2) tile<T, kind, 2, Q>(p, i, j);
  if (p.M - i == 1) tile<T, kind, 1, Q>(p, i, j);
}

template <class T, Quant kind>
void linear_rows(const QuantLinearArgs& p) {
  // Whole tiles to each thread: a column falls into the same tile at any number of them.
  const int64_t tiles = ceil_div(p.N, kColumns);
  parallel_for(tiles, max64(1, kGrain / max64(1, p.M * p.K)), [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t j = t * kColumns;
      if (j + kColumns <= p.N)
        columns<T, kind, kColumns>(p, j);
      else
        for (int64_t q = j; q < p.N; ++q) columns<T, kind, 1>(p, q);
    }
  });
}

template <class T, Quant kind>
void widen_rows(const QuantWidenArgs& p) {
  constexpr int size = kind == Quant::int8 ? 1 : 2;
  parallel_for(p.N, max64(1, kGrain / max64(1, p.K)), [&](int64_t n0, int64_t n1) {
    for (int64_t n = n0; n < n1; ++n) {
      const uint8_t* w = p.w + n * p.K * size;
      T* y = static_cast<T*>(p.y) + n * p.K;
      const Vec<T> scale = splat(kind == Quant::int8 ? static_cast<const T*>(p.scale)[n] : T(1));
      each_vector<T>(0, p.K, [&](int64_t k, int lanes) {
        const Vec<T> v =
            lanes == kLanes<T> ? widen<T, kind>(w + k * size) : widen_n<T, kind>(w + k * size, lanes);
        store_upto(y + k, kind == Quant::int8 ? v * scale : v, lanes);
      });
    }
  });
}

}  // namespace

template <class T>
void quant_linear(const QuantLinearArgs& p) {
  if (p.kind == Quant::int8)
    linear_rows<T, Quant::int8>(p);
  else
    linear_rows<T, Quant::bf16>(p);
}

template <class T>
void quant_widen(const QuantWidenArgs& p) {
  if (p.kind == Quant::int8)
    widen_rows<T, Quant::int8>(p);
  else
    widen_rows<T, Quant::bf16>(p);
}

DLCORE_INSTANTIATE_FLOATS(quant_linear, QuantLinearArgs)
DLCORE_INSTANTIATE_FLOATS(quant_widen, QuantWidenArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
