// Softmax and log-softmax along an axis of size n: x, y contiguous as (outer, n, inner). The last axis (inner
// == 1) goes row by row; any other goes by tiles of neighbouring columns, so that every load is contiguous.
// The largest value is subtracted first (no overflow for any finite x); an infinite one or NaN makes its row
// NaN, as in torch.
#include "cpu/softmax.h"

#include "cpu/stream.h"
#include "kernels/softmax.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class F>
inline void each_tile(int64_t outer, int64_t n, int64_t inner, const F& f) {
  const int64_t tiles = ceil_div(inner, kTile);
  parallel_for(outer * tiles, max64(1, kGrain / 4 / max64(1, n * min64(inner, kTile))),
               [&](int64_t b, int64_t e) {
                 for (int64_t t = b; t < e; ++t) {
                   const int64_t j = t % tiles * kTile;
                   f(t / tiles * n * inner + j, static_cast<int>(min64(kTile, inner - j)));
                 }
               });
}

template <class F>
inline void each_row(int64_t outer, int64_t n, const F& f) {
  parallel_for(outer, max64(1, kGrain / 4 / max64(1, n)), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r) f(r * n);
    fence();
  });
}

// Rows of a large array are streamed where they are whole lines, or so long that their edges do not count.
template <class T>
inline bool streams_rows(int64_t outer, int64_t n) {
  constexpr int64_t size = sizeof(T);
  return outer * n * size >= kStreamedBytes && (n * size % 64 == 0 || n * size >= 16384);
}

}  // namespace

template <class T>
void softmax_forward(const SoftmaxArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int64_t n = p.n, inner = p.inner;
  if (inner == 1) {
    const bool stream = streams_rows<T>(p.outer, n);
    each_row(p.outer, n, [&](int64_t at) {
      const T m = row_max(x + at, n);
      if (p.log) {
        const Vec<T> vm = splat(m), vl = splat(scalar_log(row_exp_sum<T, false>(x + at, nullptr, n, m)));
        store_row(y + at, n, stream,
                  [&](int64_t i, int lanes) { return load_upto(x + at + i, lanes) - vm - vl; });
      } else {
        const Vec<T> r = splat(T(1) / row_exp_sum<T, true>(x + at, y + at, n, m));  // in L1: not streamed
        store_row(y + at, n, false, [&](int64_t i, int lanes) { return load_upto(y + at + i, lanes) * r; });
      }
    });
    return;
  }
  each_tile(p.outer, n, inner, [&](int64_t at, int w) {
    T m[kTile + 16], s[kTile + 16];
    tile_max(x + at, n, inner, w, m);
    if (p.log) {
      tile_exp_sum<T, false>(x + at, nullptr, n, inner, w, m, s);
      for (int j = 0; j < w; ++j) s[j] = scalar_log(s[j]);
    } else {
      tile_exp_sum<T, true>(x + at, y + at, n, inner, w, m, s);
      for (int j = 0; j < w; ++j) s[j] = T(1) / s[j];
    }
    for (int64_t c = 0; c < n; ++c) {
      const T* xr = x + at + c * inner;
      T* yr = y + at + c * inner;
      each_vector<T>(0, w, [&](int64_t j, int lanes) {
        store_upto(yr + j,
                   p.log ? load_upto(xr + j, lanes) - load(m + j) - load(s + j)
                         : load_upto(yr + j, lanes) * load(s + j),
                   lanes);
      });
    }
  });
}

// softmax: dx = y (dy - sum(dy y)); log-softmax: dx = dy - e^y sum(dy).
template <class T>
void softmax_backward(const SoftmaxBackwardArgs& p) {
  const T* y = static_cast<const T*>(p.y);
  const T* dy = static_cast<const T*>(p.dy);
  T* dx = static_cast<T*>(p.dx);
  const int64_t n = p.n, inner = p.inner;
  const bool log = p.log;
  auto gradient = [log](Vec<T> yv, Vec<T> g, Vec<T> sum)
                      __attribute__((always_inline)) { return log ? g - exp<T>(yv) * sum : yv * (g - sum); };
  if (inner == 1) {
    const bool stream = streams_rows<T>(p.outer, n);
    each_row(p.outer, n, [&](int64_t at) {
      const Vec<T> sum = splat(row_sum<T>(n, [&](int64_t i, int lanes) {
        const Vec<T> g = load_upto(dy + at + i, lanes);
        return log ? g : g * load_upto(y + at + i, lanes);
      }));
      store_row(dx + at, n, stream, [&](int64_t i, int lanes) __attribute__((always_inline)) {
        return gradient(load_upto(y + at + i, lanes), load_upto(dy + at + i, lanes), sum);
      });
    });
    return;
  }
  each_tile(p.outer, n, inner, [&](int64_t at, int w) {
    T s[kTile + 16];
    for (int j = 0; j < w; j += kLanes<T>) store(s + j, Vec<T>{});
    for (int64_t c = 0; c < n; ++c)
      each_vector<T>(0, w, [&](int64_t j, int lanes) {
        const Vec<T> g = load_upto(dy + at + c * inner + j, lanes);
        store(s + j, load(s + j) + (log ? g : g * load_upto(y + at + c * inner + j, lanes)));
      });
    for (int64_t c = 0; c < n; ++c)
      each_vector<T>(0, w, [&](int64_t j, int lanes) {
        const int64_t i = at + c * inner + j;
        store_upto(dx + i, gradient(load_upto(y + i, lanes), load_upto(dy + i, lanes), load(s + j)), lanes);
      });
  });
}

DLCORE_INSTANTIATE_FLOATS(softmax_forward, SoftmaxArgs)
DLCORE_INSTANTIATE_FLOATS(softmax_backward, SoftmaxBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
