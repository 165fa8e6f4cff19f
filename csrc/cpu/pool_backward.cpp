// Gradients of max and average pooling. Each element of dx is written once: where it can, it gathers from the
// windows that cover it; a maximum in a row-major volume is scattered instead, a volume a thread. No atomics,
// so the sums have one order.
#include "cpu/pool.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// ---- channels-last

// Calls f(dx, n, d, h, w, windows along d, along h, along w) for every input pixel.
template <class T, class F>
DLCORE_INLINE void for_pixels(const PoolBackwardArgs& p, const F& f) {
  const int64_t work = max64(1, p.w.in * p.C * 2), rows = p.d.in * p.h.in;
  parallel_for(p.N * rows, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    Cover* ws = scratch<Cover>(2, p.w.in);
    for (int64_t w = 0; w < p.w.in; ++w) ws[w] = cover(p.w, w);
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / rows, d = t % rows / p.h.in, h = t % p.h.in;
      const Cover ds = cover(p.d, d), hs = cover(p.h, h);
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns + d * p.x_ds + h * p.x_hs;
      for (int64_t w = 0; w < p.w.in; ++w) f(dx + w * p.x_ws, n, d, h, w, ds, hs, ws[w]);
    }
  });
}

// Windows side by side: read each window's gradient once, write all its pixels.
template <class T>
void max_backward_tiles(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  const int64_t kd = p.d.kernel, kh = p.h.kernel, kw = p.w.kernel;
  // Slabs and rows of windows, the last perhaps cut or without an output.
  const int64_t slabs = ceil_div(p.d.in, kd), rows = ceil_div(p.h.in, kh);
  const int64_t work = max64(1, p.w.in * p.C * kh * kd);
  parallel_for(p.N * slabs * rows, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / rows / slabs, od = t / rows % slabs, oh = t % rows;
      const int64_t deep = min64(kd, p.d.in - od * kd), tall = min64(kh, p.h.in - oh * kh);
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns + od * kd * p.x_ds + oh * kh * p.x_hs;
      const int64_t windows = od < p.d.out && oh < p.h.out ? min64(p.w.out, ceil_div(p.w.in, kw)) : 0;
      for (int64_t ow = 0; ow < windows; ++ow) {
        const int64_t wide = min64(kw, p.w.in - ow * kw);
        const int64_t at = n * p.y_ns + od * p.y_ds + oh * p.y_hs + ow * p.y_ws;
        for (int64_t c = 0; c < p.C; c += L) {
          const int lanes = static_cast<int>(min64(L, p.C - c));
          const Code<T> offset = load_offsets<T>(static_cast<const uint8_t*>(p.saved) + at + c, lanes);
          const Vec<T> dy = load_upto(static_cast<const T*>(p.dy) + at + c, lanes);
          for (int64_t k = 0; k < deep; ++k)
            for (int64_t i = 0; i < tall; ++i)
              for (int64_t j = 0; j < wide; ++j)
                store_upto(dx + k * p.x_ds + i * p.x_hs + (ow * kw + j) * p.x_ws + c,
                           offset == splat(static_cast<Int<T>>((k * kh + i) * kw + j)) ? dy : Vec<T>{},
                           lanes);
        }
      }
      for (int64_t k = 0; k < deep; ++k)
        for (int64_t i = 0; i < tall; ++i)
          for (int64_t w = windows * kw; w < p.w.in; ++w)
            for (int64_t c = 0; c < p.C; c += L)
              store_upto(dx + k * p.x_ds + i * p.x_hs + w * p.x_ws + c, Vec<T>{},
                         static_cast<int>(min64(L, p.C - c)));
    }
  });
}

template <class T>
void max_backward_channels(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  if (side_by_side(p.d) && side_by_side(p.h) && side_by_side(p.w)) return max_backward_tiles<T>(p);
  for_pixels<T>(p, [&](T* dx, int64_t n, int64_t d, int64_t h, int64_t w, Cover ds, Cover hs, Cover ws) {
    for (int64_t c = 0; c < p.C; c += L) {
      const int lanes = static_cast<int>(min64(L, p.C - c));
      Vec<T> sum = {};
      for (int64_t od = ds.lo; od < ds.hi; ++od) {
        const int64_t k = element(p.d, od, d);
        if (k < 0) continue;
        for (int64_t oh = hs.lo; oh < hs.hi; ++oh) {
          const int64_t i = element(p.h, oh, h);
          if (i < 0) continue;
          for (int64_t ow = ws.lo; ow < ws.hi; ++ow) {
            const int64_t j = element(p.w, ow, w);
            if (j < 0) continue;
            const int64_t at = n * p.y_ns + od * p.y_ds + oh * p.y_hs + ow * p.y_ws + c;
            const Code<T> offset = load_offsets<T>(static_cast<const uint8_t*>(p.saved) + at, lanes);
            const Vec<T> dy = load_upto(static_cast<const T*>(p.dy) + at, lanes);
            const auto here = static_cast<Int<T>>((k * p.h.kernel + i) * p.w.kernel + j);
            sum += offset == splat(here) ? dy : Vec<T>{};
          }
        }
      }
      store_upto(dx + c, sum, lanes);
    }
  });
}

template <class T>
void avg_backward_channels(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  for_pixels<T>(p, [&](T* dx, int64_t n, int64_t, int64_t, int64_t, Cover ds, Cover hs, Cover ws) {
    for (int64_t c = 0; c < p.C; c += L) {
      const int lanes = static_cast<int>(min64(L, p.C - c));
      Vec<T> sum = {};
      for (int64_t od = ds.lo; od < ds.hi; ++od)
        for (int64_t oh = hs.lo; oh < hs.hi; ++oh)
          for (int64_t ow = ws.lo; ow < ws.hi; ++ow) {
            const T* dy = static_cast<const T*>(p.dy) + n * p.y_ns + od * p.y_ds + oh * p.y_hs + ow * p.y_ws;
            const T share = T(1) / static_cast<T>(divisor_rows(p, od, oh) * divisor_columns(p, ow));
            sum += load_upto(dy + c, lanes) * splat(share);
          }
      store_upto(dx + c, sum, lanes);
    }
  });
}

// ---- row-major

template <class T>
DLCORE_INLINE void interleave_store(T* p, Vec<T> a, Vec<T> b, int n) {  // a0 b0 a1 b1 ...: 2 n of them
  constexpr int L = kLanes<T>;
  Vec<T> lo, hi;
  if constexpr (L == 2) {
    lo = __builtin_shufflevector(a, b, 0, 2), hi = __builtin_shufflevector(a, b, 1, 3);
  } else if constexpr (L == 4) {
    lo = __builtin_shufflevector(a, b, 0, 4, 1, 5), hi = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  } else if constexpr (L == 8) {
    lo = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    hi = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  } else {
    lo = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    hi = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  store_upto(p, lo, 2 * n < L ? 2 * n : L);
  if (2 * n > L) store_upto(p + L, hi, 2 * n - L);
}

DLCORE_INLINE bool halves(const PoolAxis& a) { return a.kernel == 2 && side_by_side(a); }

// Calls f(dx row, offset of the output volume, d, h) for every row of every input volume.
template <class T, class F>
DLCORE_INLINE void for_dx_rows(const PoolBackwardArgs& p, const F& f) {
  const int64_t rows = p.d.in * p.h.in;
  parallel_for(p.N * p.C * rows, max64(1, kGrain / max64(1, p.w.in * 2)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t plane = t / rows, n = plane / p.C, c = plane % p.C, d = t % rows / p.h.in, h = t % p.h.in;
      f(static_cast<T*>(p.dx) + n * p.x_ns + c * p.x_cs + d * p.x_ds + h * p.x_hs, n * p.y_ns + c * p.y_cs, d,
        h);
    }
  });
}

// Windows two columns wide with stride 2 that do not overlap: an input row is an output row spread over its
// two columns.
template <class T>
void max_backward_halves(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  const int64_t pairs = min64(p.w.out, p.w.in / 2);
  for_dx_rows<T>(p, [&](T* dx, int64_t plane, int64_t d, int64_t h) {
    const Cover ds = cover(p.d, d), hs = cover(p.h, h);
    if (ds.lo >= ds.hi || hs.lo >= hs.hi) {
      for (int64_t w = 0; w < p.w.in; ++w) dx[w] = 0;
      return;
    }
    const int64_t row = element(p.d, ds.lo, d) * p.h.kernel + element(p.h, hs.lo, h);
    const int64_t at = plane + ds.lo * p.y_ds + hs.lo * p.y_hs;
    const T* dy = static_cast<const T*>(p.dy) + at;
    const uint8_t* offsets = static_cast<const uint8_t*>(p.saved) + at;
    const auto left = splat(static_cast<Int<T>>(2 * row)), right = splat(static_cast<Int<T>>(2 * row + 1));
    for (int64_t ow = 0; ow < pairs; ow += L) {
      const int n = static_cast<int>(min64(L, pairs - ow));
      const Vec<T> g = load_upto(dy + ow, n);
      const Code<T> o = load_offsets<T>(offsets + ow, n);
      interleave_store<T>(dx + 2 * ow, o == left ? g : Vec<T>{}, o == right ? g : Vec<T>{}, n);
    }
    for (int64_t w = 2 * pairs; w < p.w.in; ++w)
      dx[w] = w / 2 < p.w.out && offsets[w / 2] == 2 * row + w % 2 ? dy[w / 2] : T(0);
  });
}

template <class T>
DLCORE_INLINE void zero(T* p, int64_t n) {
  each_vector<T>(0, n, [&](int64_t i, int lanes) { store_upto(p + i, Vec<T>{}, lanes); });
}

// The position in the volume that an output's maximum came from; not in [0, size) where its window saw
// nothing.
struct Position {
  const PoolBackwardArgs& p;
  const int64_t* delta;  // offsets: from the window's corner, by byte; null where dilation can step outside
  DLCORE_INLINE int64_t operator()(int64_t at, int64_t od, int64_t oh, int64_t ow) const {
    if (p.save == PoolSave::indices) return static_cast<const int64_t*>(p.saved)[at];
    const uint8_t o = static_cast<const uint8_t*>(p.saved)[at];
    const int64_t d0 = od * p.d.stride - p.d.before, h0 = oh * p.h.stride - p.h.before,
                  w0 = ow * p.w.stride - p.w.before;
    if (delta) return (d0 * p.h.in + h0) * p.w.in + w0 + delta[o];
    const int64_t j = o % p.w.kernel, i = o / p.w.kernel % p.h.kernel, k = o / p.w.kernel / p.h.kernel;
    const int64_t d = d0 + k * p.d.dilation, h = h0 + i * p.h.dilation, w = w0 + j * p.w.dilation;
    const bool inside = d >= 0 && d < p.d.in && h >= 0 && h < p.h.in && w >= 0 && w < p.w.in;
    return inside ? (d * p.h.in + h) * p.w.in + w : -1;
  }
};

// One volume (or, channels-last, a strip of channels) a thread: zero, then add in the outputs' order. Volumes
// are dense: positions step by x_ws.
template <class T>
void max_backward_scatter(const PoolBackwardArgs& p) {
  const int64_t strip = p.channels_last ? 16 : 1, strips = ceil_div(p.C, strip);
  const int64_t size = p.d.in * p.h.in * p.w.in, outs = p.d.out * p.h.out * p.w.out;
  const bool table =
      p.save == PoolSave::offsets && p.d.dilation == 1 && p.h.dilation == 1 && p.w.dilation == 1;
  parallel_for(
      p.N * strips, max64(1, kGrain / max64(1, (size + 4 * outs) * strip)), [&](int64_t b, int64_t e) {
        int64_t* delta = table ? scratch<int64_t>(2, 256) : nullptr;
        for (int64_t o = 0; table && o < 256; ++o) {
          const int64_t j = o % p.w.kernel, i = o / p.w.kernel % p.h.kernel, k = o / p.w.kernel / p.h.kernel;
          delta[o] = (k * p.h.in + i) * p.w.in + j;
        }
        const Position position{p, delta};
        for (int64_t t = b; t < e; ++t) {
          const int64_t n = t / strips, c0 = t % strips * strip, width = min64(p.C, c0 + strip) - c0;
          T* dx = static_cast<T*>(p.dx) + n * p.x_ns + c0 * p.x_cs;
          if (p.channels_last) {
            for (int64_t i = 0; i < size; ++i)
              for (int64_t c = 0; c < width; ++c) dx[i * p.x_ws + c] = 0;
          } else {
            each_vector<T>(0, size, [&](int64_t i, int lanes) { store_upto(dx + i, Vec<T>{}, lanes); });
          }
          for (int64_t od = 0; od < p.d.out; ++od)
            for (int64_t oh = 0; oh < p.h.out; ++oh) {
              int64_t at = n * p.y_ns + c0 * p.y_cs + od * p.y_ds + oh * p.y_hs;
              for (int64_t ow = 0; ow < p.w.out; ++ow, at += p.y_ws)
                for (int64_t c = 0; c < width; ++c) {
                  const int64_t i = position(at + c, od, oh, ow);
                  if (i >= 0 && i < size) dx[i * p.x_ws + c] += static_cast<const T*>(p.dy)[at + c];
                }
            }
        }
      });
}

// An average's gradient is separable: sum the output rows that cover an input row, then spread the columns.
template <class T>
void avg_backward_rows(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  const bool pairs = halves(p.w) && 2 * p.w.out <= p.w.in;
  for_dx_rows<T>(p, [&](T* dx, int64_t plane, int64_t d, int64_t h) {
    T* sum = scratch<T>(2, p.w.out + L);
    const Cover ds = cover(p.d, d), hs = cover(p.h, h);
    for (int64_t ow = 0; ow < p.w.out; ow += L) store(sum + ow, Vec<T>{});
    for (int64_t od = ds.lo; od < ds.hi; ++od)
      for (int64_t oh = hs.lo; oh < hs.hi; ++oh) {
        const T* dy = static_cast<const T*>(p.dy) + plane + od * p.y_ds + oh * p.y_hs;
        const Vec<T> share = splat(T(1) / static_cast<T>(divisor_rows(p, od, oh)));
        each_vector<T>(0, p.w.out, [&](int64_t ow, int lanes) {
          store(sum + ow, load(sum + ow) + load_upto(dy + ow, lanes) * share);
        });
      }
    if (pairs) {
      const Vec<T> half = splat(p.divisor ? T(1) : T(0.5));
      for (int64_t ow = 0; ow < p.w.out; ow += L) {
        const int n = static_cast<int>(min64(L, p.w.out - ow));
        const Vec<T> s = load(sum + ow) * half;
        interleave_store<T>(dx + 2 * ow, s, s, n);
      }
      for (int64_t w = 2 * p.w.out; w < p.w.in; ++w) dx[w] = 0;
      return;
    }
    for (int64_t w = 0; w < p.w.in; ++w) dx[w] = 0;
    for (int64_t ow = 0; ow < p.w.out; ++ow) {
      const Span w = span(p.w, ow);
      const T share = sum[ow] / static_cast<T>(divisor_columns(p, ow));
      for (int64_t j = w.lo; j < w.hi; ++j) dx[w.start + j] += share;
    }
  });
}

}  // namespace

template <class T>
void max_pool_backward(const PoolBackwardArgs& p) {
  if (p.save == PoolSave::indices) return max_backward_scatter<T>(p);
  if (p.channels_last) return max_backward_channels<T>(p);
  const bool apart =
      p.d.kernel <= p.d.stride && p.d.dilation == 1 && p.h.kernel <= p.h.stride && p.h.dilation == 1;
  if (halves(p.w) && apart) return max_backward_halves<T>(p);
  max_backward_scatter<T>(p);
}

template <class T>
void avg_pool_backward(const PoolBackwardArgs& p) {
  p.channels_last ? avg_backward_channels<T>(p) : avg_backward_rows<T>(p);
}

DLCORE_INSTANTIATE_FLOATS(max_pool_backward, PoolBackwardArgs)
DLCORE_INSTANTIATE_FLOATS(avg_pool_backward, PoolBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
