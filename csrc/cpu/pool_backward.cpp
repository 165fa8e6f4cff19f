// Gradients of max and average pooling. Each element of dx is written once: where it can, it gathers from the
// windows that cover it; a maximum in a row-major volume is scattered instead, a volume a thread. No atomics,
// so the sums have one order.
#include "cpu/pool.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// ---- channels-last

// A window over a pixel: where its output is, and what the pixel is to it (its byte offset, or its share).
template <class V>
struct Window {
  int64_t at;
  V value;
};

// How many windows cover an element of the axis, at most.
DLCORE_INLINE int64_t most_windows(const PoolAxis& a) {
  int64_t most = 0;
  for (int64_t i = 0; i < a.in; ++i) {
    const Cover c = cover(a, i);
    most = max64(most, c.hi - c.lo);
  }
  return most;
}

// Whether the row of pixels before h lies under the same windows: an average's gradient is the same there.
DLCORE_INLINE bool same_windows_above(const PoolShape& p, int64_t h) {
  if (h == 0) return false;
  const Cover a = cover(p.h, h - 1), b = cover(p.h, h);
  return a.lo == b.lo && a.hi == b.hi;
}

// dx of every pixel from the windows that cover it. `row(od, oh, d, h)` is what a row of windows is to a row
// of pixels, negative where dilation steps over it; `make(row value, ow, w, &value)` says the same of a
// window, false likewise; `add(sum, value, offset, lanes)` adds a vector of channels.
template <class T, class V, class Row, class Make, class Add>
DLCORE_INLINE void gather_pixels(const PoolBackwardArgs& p, bool alike, const Row& row, const Make& make,
                                 const Add& add) {
  const int64_t rows = p.d.in * p.h.in, most_rows = most_windows(p.d) * most_windows(p.h);
  const int64_t most = most_rows * most_windows(p.w);
  parallel_for(p.N * rows, max64(1, kGrain / max64(1, p.w.in * p.C * 2)), [&](int64_t b, int64_t e) {
    Cover* ws = scratch<Cover>(2, p.w.in);
    Window<int64_t>* over = scratch<Window<int64_t>>(3, max64(1, most_rows));
    Window<V>* windows = scratch<Window<V>>(4, max64(1, most));
    for (int64_t w = 0; w < p.w.in; ++w) ws[w] = cover(p.w, w);
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / rows, d = t % rows / p.h.in, h = t % p.h.in;
      const Cover ds = cover(p.d, d), hs = cover(p.h, h);
      int64_t count = 0;
      for (int64_t od = ds.lo; od < ds.hi; ++od)
        for (int64_t oh = hs.lo; oh < hs.hi; ++oh) {
          over[count] = {n * p.y_ns + od * p.y_ds + oh * p.y_hs, row(od, oh, d, h)};
          count += over[count].value >= 0;
        }
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns + d * p.x_ds + h * p.x_hs;
      if (alike && t > b && same_windows_above(p, h)) {
        __builtin_memcpy(dx, dx - p.x_hs, static_cast<size_t>(p.w.in * p.C) * sizeof(T));
        continue;
      }
      for (int64_t w = 0; w < p.w.in; ++w, dx += p.x_ws) {
        int64_t found = 0;
        for (int64_t r = 0; r < count; ++r)
          for (int64_t ow = ws[w].lo; ow < ws[w].hi; ++ow) {
            windows[found].at = over[r].at + ow * p.y_ws;
            found += make(over[r].value, ow, w, &windows[found].value);
          }
        each_vector<T>(0, p.C, [&](int64_t c, int lanes) __attribute__((always_inline)) {
          Vec<T> sum = {};
          for (int64_t i = 0; i < found; ++i) add(&sum, windows[i].value, windows[i].at + c, lanes);
          store_upto(dx + c, sum, lanes);
        });
      }
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
      // Zeros first, by a memset that need not read what it overwrites; then the maxima, in cache.
      for (int64_t k = 0; k < deep; ++k)
        for (int64_t i = 0; i < tall; ++i)
          __builtin_memset(static_cast<void*>(dx + k * p.x_ds + i * p.x_hs), 0,
                           static_cast<size_t>(p.w.in * p.C) * sizeof(T));
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
                           offset == same_code<T>((k * kh + i) * kw + j) ? dy : Vec<T>{}, lanes);
        }
      }
    }
  });
}

template <class T>
void max_backward_channels(const PoolBackwardArgs& p) {
  gather_pixels<T, Int<T>>(
      p, false,
      [&](int64_t od, int64_t oh, int64_t d, int64_t h) {
        const int64_t k = element(p.d, od, d), i = element(p.h, oh, h);
        return k < 0 || i < 0 ? -1 : (k * p.h.kernel + i) * p.w.kernel;
      },
      [&](int64_t first, int64_t ow, int64_t w, Int<T>* offset) {
        const int64_t j = element(p.w, ow, w);
        *offset = static_cast<Int<T>>(first + j);
        return j >= 0;
      },
      [&](Vec<T>* sum, Int<T> offset, int64_t at, int lanes) __attribute__((always_inline)) {
        const Code<T> kept = load_offsets<T>(static_cast<const uint8_t*>(p.saved) + at, lanes);
        const Vec<T> dy = load_upto(static_cast<const T*>(p.dy) + at, lanes);
        *sum += kept == same_code<T>(offset) ? dy : Vec<T>{};
      });
}

template <class T>
void avg_backward_channels(const PoolBackwardArgs& p) {
  gather_pixels<T, T>(
      p, true,
      [&](int64_t od, int64_t oh, int64_t, int64_t) { return p.divisor ? 1 : divisor_rows(p, od, oh); },
      [&](int64_t rows, int64_t ow, int64_t, T* share) {
        *share = T(1) / static_cast<T>(p.divisor ? p.divisor : rows * divisor_columns(p, ow));
        return true;
      },
      [&](Vec<T>* sum, T share, int64_t at, int lanes) __attribute__((always_inline)) {
        *sum += load_upto(static_cast<const T*>(p.dy) + at, lanes) * splat(share);
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

// Calls f(dx row, offset of the output volume, d, h, whether it is the first row of its part) for every row
// of every input volume.
template <class T, class F>
DLCORE_INLINE void for_dx_rows(const PoolBackwardArgs& p, const F& f) {
  const int64_t rows = p.d.in * p.h.in;
  parallel_for(p.N * p.C * rows, max64(1, kGrain / max64(1, p.w.in * 2)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t plane = t / rows, n = plane / p.C, c = plane % p.C, d = t % rows / p.h.in, h = t % p.h.in;
      f(static_cast<T*>(p.dx) + n * p.x_ns + c * p.x_cs + d * p.x_ds + h * p.x_hs, n * p.y_ns + c * p.y_cs, d,
        h, t == b);
    }
  });
}

// The position in the volume of the element that a window's byte offset names; -1 outside (a dilated window
// may see nothing).
DLCORE_INLINE int64_t position(const PoolShape& p, uint8_t o, int64_t od, int64_t oh, int64_t ow) {
  const int64_t j = o % p.w.kernel, i = o / p.w.kernel % p.h.kernel, k = o / p.w.kernel / p.h.kernel;
  const int64_t d = od * p.d.stride - p.d.before + k * p.d.dilation;
  const int64_t h = oh * p.h.stride - p.h.before + i * p.h.dilation;
  const int64_t w = ow * p.w.stride - p.w.before + j * p.w.dilation;
  const bool inside = d >= 0 && d < p.d.in && h >= 0 && h < p.h.in && w >= 0 && w < p.w.in;
  return inside ? (d * p.h.in + h) * p.w.in + w : -1;
}

// Row-major: a volume a thread, zeroed, then added to in the outputs' order. Volumes are dense. `delta`,
// where it is not null, holds the places of a window's elements from its corner, by byte offset.
template <class T>
void scatter_volume(const PoolBackwardArgs& p, const int64_t* delta, int64_t plane) {
  const int64_t size = p.d.in * p.h.in * p.w.in, from = plane / p.C * p.y_ns + plane % p.C * p.y_cs;
  T* dx = static_cast<T*>(p.dx) + plane / p.C * p.x_ns + plane % p.C * p.x_cs;
  auto add = [&](int64_t i, T g) __attribute__((always_inline)) {
    if (static_cast<uint64_t>(i) < static_cast<uint64_t>(size)) dx[i] += g;
  };
  __builtin_memset(static_cast<void*>(dx), 0, static_cast<size_t>(size) * sizeof(T));
  for (int64_t od = 0; od < p.d.out; ++od)
    for (int64_t oh = 0; oh < p.h.out; ++oh) {
      const int64_t at = from + od * p.y_ds + oh * p.y_hs;
      const T* dy = static_cast<const T*>(p.dy) + at;
      const uint8_t* offsets = static_cast<const uint8_t*>(p.saved) + at;
      const int64_t* indices = static_cast<const int64_t*>(p.saved) + at;
      if (p.save == PoolSave::indices) {
        for (int64_t ow = 0; ow < p.w.out; ++ow) add(indices[ow], dy[ow]);
      } else if (delta) {
        const int64_t d0 = od * p.d.stride - p.d.before, h0 = oh * p.h.stride - p.h.before;
        const int64_t corner = (d0 * p.h.in + h0) * p.w.in - p.w.before;
        for (int64_t ow = 0; ow < p.w.out; ++ow) add(corner + ow * p.w.stride + delta[offsets[ow]], dy[ow]);
      } else {
        for (int64_t ow = 0; ow < p.w.out; ++ow) add(position(p, offsets[ow], od, oh, ow), dy[ow]);
      }
    }
}

// Where a window's elements lie from its corner, by byte offset; null where dilation can step outside.
DLCORE_INLINE int64_t* element_places(const PoolShape& p) {
  if (p.save != PoolSave::offsets || p.d.dilation > 1 || p.h.dilation > 1 || p.w.dilation > 1) return nullptr;
  int64_t* delta = scratch<int64_t>(2, 256);
  for (int64_t o = 0; o < 256; ++o) {
    const int64_t j = o % p.w.kernel, i = o / p.w.kernel % p.h.kernel, k = o / p.w.kernel / p.h.kernel;
    delta[o] = (k * p.h.in + i) * p.w.in + j;
  }
  return delta;
}

template <class T>
void max_backward_scatter(const PoolBackwardArgs& p) {
  const int64_t work = max64(1, p.d.in * p.h.in * p.w.in + 4 * p.d.out * p.h.out * p.w.out);
  parallel_for(p.N * p.C, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    const int64_t* delta = element_places(p);
    for (int64_t plane = b; plane < e; ++plane) scatter_volume<T>(p, delta, plane);
  });
}

// Channels-last: a strip of channels a thread, by positions or by offsets of windows without dilation.
template <class T>
void max_backward_strips(const PoolBackwardArgs& p) {
  const int64_t strip = 16, strips = ceil_div(p.C, strip);
  const int64_t size = p.d.in * p.h.in * p.w.in, outs = p.d.out * p.h.out * p.w.out;
  parallel_for(
      p.N * strips, max64(1, kGrain / max64(1, (size + 4 * outs) * strip)), [&](int64_t b, int64_t e) {
        const int64_t* delta = element_places(p);
        for (int64_t t = b; t < e; ++t) {
          const int64_t c0 = t % strips * strip, width = min64(p.C, c0 + strip) - c0;
          T* dx = static_cast<T*>(p.dx) + t / strips * p.x_ns + c0;
          for (int64_t i = 0; i < size; ++i)
            each_vector<T>(0, width,
                           [&](int64_t c, int lanes) { store_upto(dx + i * p.x_ws + c, Vec<T>{}, lanes); });
          for (int64_t o = 0; o < outs; ++o) {
            const int64_t at = t / strips * p.y_ns + c0 + o * p.y_ws;
            const T* dy = static_cast<const T*>(p.dy) + at;
            auto add = [&](int64_t i, int64_t c) __attribute__((always_inline)) {
              if (static_cast<uint64_t>(i) < static_cast<uint64_t>(size)) dx[i * p.x_ws + c] += dy[c];
            };
            if (!delta) {
              for (int64_t c = 0; c < width; ++c) add(static_cast<const int64_t*>(p.saved)[at + c], c);
              continue;
            }
            const int64_t ow = o % p.w.out, oh = o / p.w.out % p.h.out, od = o / p.w.out / p.h.out;
            const int64_t d0 = od * p.d.stride - p.d.before, h0 = oh * p.h.stride - p.h.before;
            const int64_t corner = (d0 * p.h.in + h0) * p.w.in + ow * p.w.stride - p.w.before;
            const uint8_t* offsets = static_cast<const uint8_t*>(p.saved) + at;
            for (int64_t c = 0; c < width; ++c) add(corner + delta[offsets[c]], c);
          }
        }
      });
}

// An average's gradient is separable: sum the output rows that cover an input row, then spread the columns.
template <class T>
void avg_backward_rows(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  const bool pairs = halves(p.w) && 2 * p.w.out <= p.w.in;
  for_dx_rows<T>(p, [&](T* dx, int64_t plane, int64_t d, int64_t h, bool first) {
    T* sum = scratch<T>(2, p.w.out + L);
    const Cover ds = cover(p.d, d), hs = cover(p.h, h);
    if (!first && same_windows_above(p, h))
      return void(__builtin_memcpy(dx, dx - p.x_hs, static_cast<size_t>(p.w.in) * sizeof(T)));
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

// Global means: each gradient is spread over its volume.
template <class T>
void avg_backward_global(const PoolBackwardArgs& p) {
  const int64_t size = p.d.in * p.h.in * p.w.in;
  const Vec<T> count = splat(static_cast<T>(divisor_rows(p, 0, 0) * divisor_columns(p, 0)));
  if (p.channels_last) {
    parallel_for(p.N * size, max64(1, kGrain / max64(1, p.C)), [&](int64_t b, int64_t e) {
      T* share = scratch<T>(2, max64(1, p.C));
      for (int64_t t = b; t < e; ++t) {
        const int64_t n = t / size;
        if (t == b || t % size == 0) {
          const T* dy = static_cast<const T*>(p.dy) + n * p.y_ns;
          each_vector<T>(0, p.C, [&](int64_t c, int lanes) {
            store_upto(share + c, load_upto(dy + c, lanes) / count, lanes);
          });
        }
        __builtin_memcpy(static_cast<T*>(p.dx) + n * p.x_ns + t % size * p.x_ws, share,
                         static_cast<size_t>(p.C) * sizeof(T));
      }
    });
    return;
  }
  parallel_for(p.N * p.C, max64(1, kGrain / size), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t n = i / p.C, c = i % p.C;
      const Vec<T> share = splat(static_cast<const T*>(p.dy)[n * p.y_ns + c * p.y_cs]) / count;
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns + c * p.x_cs;
      each_vector<T>(0, size, [&](int64_t j, int lanes) { store_upto(dx + j, share, lanes); });
    }
  });
}

}  // namespace

template <class T>
void max_pool_backward(const PoolBackwardArgs& p) {
  if (!p.channels_last) return max_backward_scatter<T>(p);
  if (p.save == PoolSave::indices) return max_backward_strips<T>(p);
  if (side_by_side(p.d) && side_by_side(p.h) && side_by_side(p.w)) return max_backward_tiles<T>(p);
  // A pixel has so many windows over it in 3-d that scattering is less work.
  const bool plain = p.d.dilation == 1 && p.h.dilation == 1 && p.w.dilation == 1;
  p.d.kernel > 1 && plain ? max_backward_strips<T>(p) : max_backward_channels<T>(p);
}

template <class T>
void avg_pool_backward(const PoolBackwardArgs& p) {
  if (is_global(p)) return avg_backward_global<T>(p);
  p.channels_last ? avg_backward_channels<T>(p) : avg_backward_rows<T>(p);
}

DLCORE_INSTANTIATE_FLOATS(max_pool_backward, PoolBackwardArgs)
DLCORE_INSTANTIATE_FLOATS(avg_pool_backward, PoolBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
