// unfold and fold: blocks of planes as columns, and their sum back. A row of outputs is a run of a plane's
// row, or every stride-th element of it.
#include "cpu/simd.h"
#include "kernels/resample.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// The outputs lo <= o < hi whose element j lies in [0, size), and where that of output 0 would be.
struct Reach {
  int64_t start, lo, hi;
};
DLCORE_INLINE Reach reach(const FoldAxis& a, int64_t j) {
  const int64_t start = j * a.dilation - a.before;
  const int64_t lo = start >= 0 ? 0 : ceil_div(-start, a.stride);
  const int64_t hi = start >= a.size ? 0 : ceil_div(a.size - start, a.stride);
  return {start, min64(lo, a.out), max64(min64(lo, a.out), min64(hi, a.out))};
}

}  // namespace

template <class T>
void unfold(const FoldArgs& p) {
  const int64_t area = p.h.kernel * p.w.kernel, n = p.w.out;
  parallel_for(p.planes * area * p.h.out, max64(1, kGrain / max64(1, n)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t oh = t % p.h.out, j = t / p.h.out % p.w.kernel, i = t / p.h.out / p.w.kernel % p.h.kernel;
      const int64_t h = oh * p.h.stride - p.h.before + i * p.h.dilation;
      const Reach r = reach(p.w, j);
      const bool inside = h >= 0 && h < p.h.size;
      const int64_t lo = inside ? r.lo : n, hi = inside ? r.hi : n;
      T* y = static_cast<T*>(p.y) + t * n;
      __builtin_memset(static_cast<void*>(y), 0, static_cast<size_t>(lo) * sizeof(T));
      if (inside) {
        const T* x = static_cast<const T*>(p.x) + (t / p.h.out / area * p.h.size + h) * p.w.size + r.start;
        if (p.w.stride == 1)
          __builtin_memcpy(y + lo, x + lo, static_cast<size_t>(hi - lo) * sizeof(T));
        else
          for (int64_t o = lo; o < hi; ++o) y[o] = x[o * p.w.stride];
        __builtin_memset(static_cast<void*>(y + hi), 0, static_cast<size_t>(n - hi) * sizeof(T));
      }
    }
  });
}

template <class T>
void fold(const FoldArgs& p) {
  const int64_t area = p.h.kernel * p.w.kernel, blocks = p.h.out * p.w.out;
  parallel_for(p.planes * p.h.size, max64(1, kGrain / max64(1, p.w.size * area)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t plane = t / p.h.size, h = t % p.h.size;
      T* y = static_cast<T*>(p.y) + t * p.w.size;
      __builtin_memset(static_cast<void*>(y), 0, static_cast<size_t>(p.w.size) * sizeof(T));
      for (int64_t i = 0; i < p.h.kernel; ++i) {
        const int64_t from = h + p.h.before - i * p.h.dilation, oh = from / p.h.stride;
        if (from < 0 || from % p.h.stride || oh >= p.h.out) continue;
        for (int64_t j = 0; j < p.w.kernel; ++j) {
          const Reach r = reach(p.w, j);
          const T* x =
              static_cast<const T*>(p.x) + (plane * area + i * p.w.kernel + j) * blocks + oh * p.w.out;
          T* to = y + r.start;
          if (p.w.stride == 1)
            each_vector<T>(r.lo, r.hi, [&](int64_t o, int lanes) {
              store_upto(to + o, load_upto(to + o, lanes) + load_upto(x + o, lanes), lanes);
            });
          else
            for (int64_t o = r.lo; o < r.hi; ++o) to[o * p.w.stride] += x[o];
        }
      }
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(unfold, FoldArgs)
DLCORE_INSTANTIATE_FLOATS(fold, FoldArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
