// Which results are stored past the caches.
#pragma once

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {

// Results beyond this size leave the caches before anyone reads them: whole aligned vectors are streamed.
constexpr int64_t kStreamedBytes = int64_t{8} << 20;

template <class T>
inline bool streams(const T* y, int64_t run, int64_t total) {
  return total * static_cast<int64_t>(sizeof(T)) >= kStreamedBytes && run % kLanes<T> == 0 &&
         reinterpret_cast<uintptr_t>(y) % kVecBytes == 0;
}
template <bool Stream, class T>
DLCORE_INLINE void store_result(T* p, Vec<T> v, int lanes) {
  if constexpr (Stream)
    store_streaming(p, v);
  else
    store_upto(p, v, lanes);
}
// y[i ...] = f(i, lanes) for each vector of [0, n), y anywhere: its aligned vectors are streamed, or none is.
template <class T, class F>
DLCORE_INLINE void store_row(T* y, int64_t n, bool stream, const F& f) {
  int64_t i = 0;
  if (stream) {
    constexpr int64_t L = kLanes<T>;
    const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(y) % kVecBytes / sizeof(T));
    const int head = static_cast<int>(min64(n, past ? L - past : 0));
    if (head) store_n(y, f(0, head), head);
    for (i = head; i + L <= n; i += L) store_streaming(y + i, f(i, static_cast<int>(L)));
  }
  each_vector<T>(i, n, [&](int64_t j, int lanes) { store_upto(y + j, f(j, lanes), lanes); });
}
// Ends a range of streamed stores.
DLCORE_INLINE void fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
