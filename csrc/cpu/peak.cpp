// The machine's limits: fused multiply-adds from registers, and a triad through memory (McCalpin's STREAM).
#include "kernels/peak.h"

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {}  // namespace

template <class T>
void fma_peak(const FmaPeakArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  parallel_for(p.n, 1, [&](int64_t begin, int64_t end) {
    const Vec<T> a = splat(T(0.75)), b = splat(T(0.25));
    for (int64_t i = begin; i < end; ++i) {
      // 12 chains hide a latency of 4 at 2 a cycle and leave 4 of the baseline's 16 registers free.
      Vec<T> v[kFmaChains];
#pragma GCC unroll 12
      for (int c = 0; c < kFmaChains; ++c) v[c] = splat(x[i] + T(c) / T(16));
      for (int64_t s = 0; s < p.steps; ++s)
#pragma GCC unroll 12
        for (int c = 0; c < kFmaChains; ++c) v[c] = fma(v[c], a, b);
      Vec<T> sum = v[0];
#pragma GCC unroll 12
      for (int c = 1; c < kFmaChains; ++c) sum += v[c];
      y[i] = hsum<T>(sum) / T(kFmaChains * kLanes<T>);
    }
  });
}

template <class T>
void stream_triad(const StreamTriadArgs& p) {
  constexpr int L = kLanes<T>;
  const T* x = static_cast<const T*>(p.x);
  const T* y = static_cast<const T*>(p.y);
  T* z = static_cast<T*>(p.z);
  const bool aligned = reinterpret_cast<uintptr_t>(z) % kVecBytes == 0;
  parallel_for(p.n, kGrain, [&](int64_t begin, int64_t end) {
    const Vec<T> s = splat(static_cast<T>(p.scale));
    int64_t i = begin;
    if (aligned) {
      for (; i + L <= end; i += L) store_streaming(z + i, fma(s, load(y + i), load(x + i)));
#if defined(__x86_64__)
      _mm_sfence();
#endif
    } else {
      for (; i + L <= end; i += L) store(z + i, fma(s, load(y + i), load(x + i)));
    }
    if (const int left = static_cast<int>(end - i))
      store_n(z + i, fma(s, load_n(y + i, left), load_n(x + i, left)), left);
  });
}

DLCORE_INSTANTIATE_FLOATS(fma_peak, FmaPeakArgs)
DLCORE_INSTANTIATE_FLOATS(stream_triad, StreamTriadArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
