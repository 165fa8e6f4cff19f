// Max and average pooling over windows of one or two axes, forward and backward, adaptive windows included.
// N batch, C channels, H x W input plane, OH x OW output plane; 1-d pooling is a plane of height 1.
//
// Channels-last planes vectorise over channels. Other planes vectorise over output columns, where a stride of
// 2 takes every second column with one shuffle (the 2x2 stride-2 window is that case); their average windows
// that are long and few (global pooling) vectorise along the window instead. Backward: each element of dx is
// written once. Where it can, it gathers from the windows that cover it; a maximum in a row-major plane is
// scattered instead, a plane a thread. No atomics, so the sums have one order.
#include "kernels/pool.h"

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

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

// How many elements along this axis an average's divisor counts.
DLCORE_INLINE int64_t counted(const PoolAxis& a, bool include_pad, int64_t o) {
  const Span s = span(a, o);
  if (!include_pad || a.kernel == 0) return max64(1, s.hi - s.lo);
  return max64(1, min64(s.start + a.kernel, a.in + a.after) - s.start);
}
DLCORE_INLINE int64_t divisor_h(const PoolShape& p, int64_t oh) {
  return p.divisor ? p.divisor : counted(p.h, p.count_include_pad, oh);
}
DLCORE_INLINE int64_t divisor_w(const PoolShape& p, int64_t ow) {
  return p.divisor ? 1 : counted(p.w, p.count_include_pad, ow);
}

// ---- positions of maxima: one integer lane a value
// --------------------------------------------------------------

template <class T>
using Code = Vec<Int<T>>;
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
template <class T>
DLCORE_INLINE Code<T> load_offsets(const uint8_t* p, int n) {
  typename Narrow<T>::type v = {};
  if (n == kLanes<T>)
    __builtin_memcpy(&v, p, kLanes<T>);
  else
    for (int i = 0; i < n; ++i) v[i] = p[i];
  return __builtin_convertvector(v, Code<T>);
}

DLCORE_INLINE int64_t code(const PoolShape& p, PoolSave s, Span h, Span w, int64_t i, int64_t j) {
  if (s == PoolSave::offsets) return i * p.w.kernel + j;
  return (h.start + i * p.h.dilation) * p.w.in + w.start + j * p.w.dilation;
}

template <class T>
DLCORE_INLINE Vec<T> load_any(const T* p, int n) {
  return n == kLanes<T> ? load(p) : load_n(p, n);
}
template <class T>
DLCORE_INLINE void store_any(T* p, Vec<T> v, int n) {
  n == kLanes<T> ? store(p, v) : store_n(p, v, n);
}

// ---- channels-last forward
// ----------------------------------------------------------------------------------------

// U vectors of channels of one output; only a single one may be short.
template <class T, PoolSave S, int U>
DLCORE_INLINE void max_channels(const PoolArgs& p, const T* x, T* y, int64_t at, Span h, Span w, int n) {
  constexpr int L = kLanes<T>;
  Vec<T> m[U];
  Code<T> c[U];
  const auto first = splat(static_cast<Int<T>>(code(p, S, h, w, h.lo, w.lo)));
  for (int u = 0; u < U; ++u) m[u] = splat(static_cast<T>(-__builtin_inf())), c[u] = first;
  for (int64_t i = h.lo; i < h.hi; ++i) {
    const T* row = x + (h.start + i * p.h.dilation) * p.x_hs + w.start * p.x_ws;
    for (int64_t j = w.lo; j < w.hi; ++j) {
      const T* q = row + j * p.w.dilation * p.x_ws;
      const auto here = splat(static_cast<Int<T>>(code(p, S, h, w, i, j)));
      for (int u = 0; u < U; ++u) {
        const Vec<T> v = U > 1 ? load(q + u * L) : load_any(q, n);
        const auto take = (v > m[u]) | (v != v);
        m[u] = take ? v : m[u];
        if constexpr (S != PoolSave::none) c[u] = take ? here : c[u];
      }
    }
  }
  for (int u = 0; u < U; ++u) {
    store_any(y + u * L, m[u], U > 1 ? L : n);
    store_codes<T, S>(p.saved, at + u * L, c[u], U > 1 ? L : n);
  }
}

template <class T, int U>
DLCORE_INLINE void avg_channels(const PoolArgs& p, const T* x, T* y, Span h, Span w, T count, int n) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[U];
  for (int u = 0; u < U; ++u) sum[u] = Vec<T>{};
  for (int64_t i = h.lo; i < h.hi; ++i) {
    const T* row = x + (h.start + i) * p.x_hs + w.start * p.x_ws;
    Vec<T> part[U] = {};  // a sum a row: shorter chains of roundings in long windows
    for (int64_t j = w.lo; j < w.hi; ++j)
      for (int u = 0; u < U; ++u)
        part[u] += U > 1 ? load(row + j * p.x_ws + u * L) : load_any(row + j * p.x_ws, n);
    for (int u = 0; u < U; ++u) sum[u] += part[u];
  }
  for (int u = 0; u < U; ++u) store_any(y + u * L, sum[u] / splat(count), U > 1 ? L : n);
}

// Calls f(U constant, channel, lanes) over [0, C).
template <class T, class F>
DLCORE_INLINE void for_channels(int64_t C, const F& f) {
  constexpr int L = kLanes<T>;
  int64_t c = 0;
  for (; c + 4 * L <= C; c += 4 * L) f.template run<4>(c, L);
  for (; c + 2 * L <= C; c += 2 * L) f.template run<2>(c, L);
  for (; c < C; c += L) f.template run<1>(c, static_cast<int>(min64(L, C - c)));
}

template <class T, PoolSave S>
struct MaxChannels {
  const PoolArgs& p;
  const T* x;
  T* y;
  int64_t at;
  Span h, w;
  template <int U>
  DLCORE_INLINE void run(int64_t c, int n) const {
    max_channels<T, S, U>(p, x + c, y + c, at + c, h, w, n);
  }
};
template <class T>
struct AvgChannels {
  const PoolArgs& p;
  const T* x;
  T* y;
  Span h, w;
  T count;
  template <int U>
  DLCORE_INLINE void run(int64_t c, int n) const {
    avg_channels<T, U>(p, x + c, y + c, h, w, count, n);
  }
};

DLCORE_INLINE int64_t window_size(const PoolShape& p) {
  const int64_t kh = p.h.kernel ? p.h.kernel : ceil_div(p.h.in, max64(1, p.h.out));
  const int64_t kw = p.w.kernel ? p.w.kernel : ceil_div(p.w.in, max64(1, p.w.out));
  return max64(1, kh * kw);
}

template <class T, PoolSave S>
void max_forward_channels(const PoolArgs& p) {
  const int64_t work = max64(1, p.w.out * p.C * window_size(p));
  parallel_for(p.N * p.h.out, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / p.h.out, oh = t % p.h.out;
      const Span h = span(p.h, oh);
      const T* x = static_cast<const T*>(p.x) + n * p.x_ns;
      for (int64_t ow = 0; ow < p.w.out; ++ow) {
        const int64_t at = n * p.y_ns + oh * p.y_hs + ow * p.y_ws;
        for_channels<T>(p.C, MaxChannels<T, S>{p, x, static_cast<T*>(p.y) + at, at, h, span(p.w, ow)});
      }
    }
  });
}

template <class T>
void avg_forward_channels(const PoolArgs& p) {
  const int64_t work = max64(1, p.w.out * p.C * window_size(p));
  parallel_for(p.N * p.h.out, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / p.h.out, oh = t % p.h.out;
      const Span h = span(p.h, oh);
      const T* x = static_cast<const T*>(p.x) + n * p.x_ns;
      for (int64_t ow = 0; ow < p.w.out; ++ow) {
        T* y = static_cast<T*>(p.y) + n * p.y_ns + oh * p.y_hs + ow * p.y_ws;
        const T count = static_cast<T>(divisor_h(p, oh) * divisor_w(p, ow));
        for_channels<T>(p.C, AvgChannels<T>{p, x, y, h, span(p.w, ow), count});
      }
    }
  });
}

// ---- row-major forward: lanes are output columns
// --------------------------------------------------------------------

template <class T>
DLCORE_INLINE Vec<T> evens_odds(Vec<T> a, Vec<T> b) {  // a0 a2 .. b1 b3 ..
  constexpr int L = kLanes<T>;
  if constexpr (L == 2)
    return __builtin_shufflevector(a, b, 0, 3);
  else if constexpr (L == 4)
    return __builtin_shufflevector(a, b, 0, 2, 5, 7);
  else if constexpr (L == 8)
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 9, 11, 13, 15);
  else
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
}

// p[0], p[2], ... n of them, reading nothing after the last (the second load starts one early for that).
template <class T>
DLCORE_INLINE Vec<T> load_every_second(const T* p, int n) {
  constexpr int L = kLanes<T>;
  if (n == L) return evens_odds<T>(load(p), load(p + L - 1));
  const int count = 2 * n - 1;
  const Vec<T> a = count < L ? load_n(p, count) : load(p);
  return evens_odds<T>(a, count > L - 1 ? load_n(p + L - 1, count - (L - 1)) : Vec<T>{});
}

// Columns w0, w0 + s, ...: n of them, `outside` where they are not in [0, W).
template <class T>
DLCORE_INLINE Vec<T> load_columns(const T* row, int64_t w0, int64_t s, int n, int64_t W, T outside) {
  constexpr int L = kLanes<T>;
  if (w0 >= 0 && w0 + (n - 1) * s < W) {
    if (s == 1) return load_any(row + w0, n);
    if (s == 2) return load_every_second(row + w0, n);
  }
  T a[L];
  for (int l = 0; l < L; ++l) {
    const int64_t w = w0 + l * s;
    a[l] = l < n && w >= 0 && w < W ? row[w] : outside;
  }
  return load(a);
}

template <class T, PoolSave S>
DLCORE_INLINE void max_columns(const PoolArgs& p, const T* x, T* y, int64_t at, Span h, int64_t ow, int n) {
  constexpr int L = kLanes<T>;
  const int64_t w0 = ow * p.w.stride - p.w.before, d = p.w.dilation;
  const Span origin{w0, 0, 0};
  Vec<T> m = splat(static_cast<T>(-__builtin_inf()));
  Code<T> c = {}, step = {};
  if constexpr (S != PoolSave::none) {
    for (int l = 0; l < L; ++l) {  // until something beats -inf, the first element inside
      const int64_t start = w0 + l * p.w.stride;
      step[l] = static_cast<Int<T>>(S == PoolSave::indices ? l * p.w.stride : 0);
      c[l] = static_cast<Int<T>>(code(p, S, h, origin, h.lo, start < 0 ? ceil_div(-start, d) : 0) + step[l]);
    }
  }
  for (int64_t i = h.lo; i < h.hi; ++i) {
    const T* row = x + (h.start + i * p.h.dilation) * p.x_hs;
    for (int64_t j = 0; j < p.w.kernel; ++j) {
      const Vec<T> v = load_columns(row, w0 + j * d, p.w.stride, n, p.w.in, static_cast<T>(-__builtin_inf()));
      const auto take = (v > m) | (v != v);
      m = take ? v : m;
      if constexpr (S != PoolSave::none)
        c = take ? splat(static_cast<Int<T>>(code(p, S, h, origin, i, j))) + step : c;
    }
  }
  store_any(y, m, n);
  store_codes<T, S>(p.saved, at, c, n);
}

template <class T>
DLCORE_INLINE void avg_columns(const PoolArgs& p, const T* x, T* y, Span h, int64_t oh, int64_t ow, int n) {
  constexpr int L = kLanes<T>;
  const int64_t w0 = ow * p.w.stride - p.w.before;
  Vec<T> sum = {};
  for (int64_t i = h.lo; i < h.hi; ++i)
    for (int64_t j = 0; j < p.w.kernel; ++j)
      sum += load_columns(x + (h.start + i) * p.x_hs, w0 + j, p.w.stride, n, p.w.in, T(0));
  const int64_t count_h = divisor_h(p, oh);
  Vec<T> count;
  if (w0 >= 0 && w0 + (n - 1) * p.w.stride + p.w.kernel <= p.w.in) {
    count = splat(static_cast<T>(count_h * (p.divisor ? 1 : p.w.kernel)));
  } else {
    T a[L];
    for (int l = 0; l < L; ++l) a[l] = static_cast<T>(count_h * (l < n ? divisor_w(p, ow + l) : 1));
    count = load(a);
  }
  store_any(y, sum / count, n);
}

// One output of any window: adaptive maxima, whose windows differ from column to column.
template <class T>
void max_single(const PoolArgs& p, const T* x, T* y, int64_t at, Span h, Span w) {
  T m = static_cast<T>(-__builtin_inf());
  int64_t index = code(p, PoolSave::indices, h, w, h.lo, w.lo);
  for (int64_t i = h.lo; i < h.hi; ++i)
    for (int64_t j = w.lo; j < w.hi; ++j) {
      const T v = x[(h.start + i) * p.x_hs + w.start + j];
      if (v > m || v != v) m = v, index = code(p, PoolSave::indices, h, w, i, j);
    }
  *y = m;
  if (p.save == PoolSave::indices) static_cast<int64_t*>(p.saved)[at] = index;
}

template <class T>
T sum_run(const T* x, int64_t n) {
  constexpr int L = kLanes<T>;
  Vec<T> a[4] = {};
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L)
    for (int u = 0; u < 4; ++u) a[u] += load(x + i + u * L);
  for (; i < n; i += L) a[0] += load_any(x + i, static_cast<int>(min64(L, n - i)));
  return hsum<T>((a[0] + a[1]) + (a[2] + a[3]));
}

template <class T>
T avg_single(const PoolArgs& p, const T* x, Span h, Span w, T count) {
  const int64_t width = w.hi - w.lo, height = h.hi - h.lo;
  const T* first = x + (h.start + h.lo) * p.x_hs + w.start + w.lo;
  if (width == p.x_hs) return sum_run(first, width * height) / count;
  T sum = 0;
  for (int64_t i = 0; i < height; ++i) sum += sum_run(first + i * p.x_hs, width);
  return sum / count;
}

// Calls f(ow, lanes) over the output columns; the last full vector overlaps the one before rather than being
// short.
template <class T, class F>
DLCORE_INLINE void for_columns(int64_t OW, const F& f) {
  constexpr int L = kLanes<T>;
  if (OW < L) {
    if (OW > 0) f(0, static_cast<int>(OW));
    return;
  }
  for (int64_t ow = 0; ow < OW; ow += L) f(min64(ow, OW - L), L);
}

// Calls f(x plane, y row, offset of the row, oh) for every row of every output plane.
template <class T, class F>
DLCORE_INLINE void for_rows(const PoolArgs& p, const F& f) {
  const int64_t work = max64(1, p.w.out * window_size(p));
  parallel_for(p.N * p.C * p.h.out, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t oh = t % p.h.out, plane = t / p.h.out, n = plane / p.C, c = plane % p.C;
      const int64_t at = n * p.y_ns + c * p.y_cs + oh * p.y_hs;
      f(static_cast<const T*>(p.x) + n * p.x_ns + c * p.x_cs, static_cast<T*>(p.y) + at, at, oh);
    }
  });
}

template <class T, PoolSave S>
void max_forward_rows(const PoolArgs& p) {
  for_rows<T>(p, [&](const T* x, T* y, int64_t at, int64_t oh) {
    const Span h = span(p.h, oh);
    if (p.w.kernel == 0) {
      for (int64_t ow = 0; ow < p.w.out; ++ow) max_single(p, x, y + ow, at + ow, h, span(p.w, ow));
    } else {
      for_columns<T>(p.w.out, [&](int64_t ow, int n) { max_columns<T, S>(p, x, y + ow, at + ow, h, ow, n); });
    }
  });
}

template <class T>
void avg_forward_rows(const PoolArgs& p) {
  const bool along_window = p.w.kernel == 0 || (2 * p.w.out < kLanes<T> && p.w.kernel > 3);
  for_rows<T>(p, [&](const T* x, T* y, int64_t, int64_t oh) {
    const Span h = span(p.h, oh);
    if (along_window) {
      for (int64_t ow = 0; ow < p.w.out; ++ow)
        y[ow] = avg_single(p, x, h, span(p.w, ow), static_cast<T>(divisor_h(p, oh) * divisor_w(p, ow)));
    } else {
      for_columns<T>(p.w.out, [&](int64_t ow, int n) { avg_columns(p, x, y + ow, h, oh, ow, n); });
    }
  });
}

// ---- channels-last backward
// -----------------------------------------------------------------------------------------

// Calls f(dx, n, h, w, windows along h, windows along w) for every input pixel.
template <class T, class F>
DLCORE_INLINE void for_pixels(const PoolBackwardArgs& p, const F& f) {
  const int64_t work = max64(1, p.w.in * p.C * 2);
  parallel_for(p.N * p.h.in, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    Cover* ws = scratch<Cover>(2, p.w.in);
    for (int64_t w = 0; w < p.w.in; ++w) ws[w] = cover(p.w, w);
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / p.h.in, h = t % p.h.in;
      const Cover hs = cover(p.h, h);
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns + h * p.x_hs;
      for (int64_t w = 0; w < p.w.in; ++w) f(dx + w * p.x_ws, n, h, w, hs, ws[w]);
    }
  });
}

// The element of window o that input i is, or -1 where dilation steps over it.
DLCORE_INLINE int64_t element(const PoolAxis& a, int64_t o, int64_t i) {
  const int64_t d = i + a.before - o * a.stride;
  if (a.dilation == 1) return d;
  return d % a.dilation ? -1 : d / a.dilation;
}

// Windows side by side, as in most networks: read each window's gradient once, write all its pixels.
DLCORE_INLINE bool side_by_side(const PoolAxis& a) {
  return a.kernel > 0 && a.kernel == a.stride && a.dilation == 1 && a.before == 0;
}

template <class T>
void max_backward_tiles(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  const int64_t kh = p.h.kernel, kw = p.w.kernel;
  const int64_t rows = ceil_div(p.h.in, kh);  // rows of windows, the last perhaps cut or without an output
  parallel_for(p.N * rows, max64(1, kGrain / max64(1, p.w.in * p.C * kh)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / rows, oh = t % rows, h0 = oh * kh, tall = min64(kh, p.h.in - h0);
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns + h0 * p.x_hs;
      const int64_t windows = oh < p.h.out ? min64(p.w.out, ceil_div(p.w.in, kw)) : 0;
      for (int64_t ow = 0; ow < windows; ++ow) {
        const int64_t wide = min64(kw, p.w.in - ow * kw), at = n * p.y_ns + oh * p.y_hs + ow * p.y_ws;
        for (int64_t c = 0; c < p.C; c += L) {
          const int lanes = static_cast<int>(min64(L, p.C - c));
          const Code<T> offset = load_offsets<T>(static_cast<const uint8_t*>(p.saved) + at + c, lanes);
          const Vec<T> dy = load_any(static_cast<const T*>(p.dy) + at + c, lanes);
          for (int64_t i = 0; i < tall; ++i)
            for (int64_t j = 0; j < wide; ++j)
              store_any(dx + i * p.x_hs + (ow * kw + j) * p.x_ws + c,
                        offset == splat(static_cast<Int<T>>(i * kw + j)) ? dy : Vec<T>{}, lanes);
        }
      }
      for (int64_t i = 0; i < tall; ++i)
        for (int64_t w = windows * kw; w < p.w.in; ++w)
          for (int64_t c = 0; c < p.C; c += L)
            store_any(dx + i * p.x_hs + w * p.x_ws + c, Vec<T>{}, static_cast<int>(min64(L, p.C - c)));
    }
  });
}

template <class T>
void max_backward_channels(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  if (side_by_side(p.h) && side_by_side(p.w)) return max_backward_tiles<T>(p);
  for_pixels<T>(p, [&](T* dx, int64_t n, int64_t h, int64_t w, Cover hs, Cover ws) {
    for (int64_t c = 0; c < p.C; c += L) {
      const int lanes = static_cast<int>(min64(L, p.C - c));
      Vec<T> sum = {};
      for (int64_t oh = hs.lo; oh < hs.hi; ++oh) {
        const int64_t i = element(p.h, oh, h);
        if (i < 0) continue;
        for (int64_t ow = ws.lo; ow < ws.hi; ++ow) {
          const int64_t j = element(p.w, ow, w);
          if (j < 0) continue;
          const int64_t at = n * p.y_ns + oh * p.y_hs + ow * p.y_ws + c;
          const Code<T> offset = load_offsets<T>(static_cast<const uint8_t*>(p.saved) + at, lanes);
          const Vec<T> dy = load_any(static_cast<const T*>(p.dy) + at, lanes);
          sum += offset == splat(static_cast<Int<T>>(i * p.w.kernel + j)) ? dy : Vec<T>{};
        }
      }
      store_any(dx + c, sum, lanes);
    }
  });
}

template <class T>
void avg_backward_channels(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  for_pixels<T>(p, [&](T* dx, int64_t n, int64_t, int64_t, Cover hs, Cover ws) {
    for (int64_t c = 0; c < p.C; c += L) {
      const int lanes = static_cast<int>(min64(L, p.C - c));
      Vec<T> sum = {};
      for (int64_t oh = hs.lo; oh < hs.hi; ++oh)
        for (int64_t ow = ws.lo; ow < ws.hi; ++ow) {
          const T* dy = static_cast<const T*>(p.dy) + n * p.y_ns + oh * p.y_hs + ow * p.y_ws + c;
          const T share = T(1) / static_cast<T>(divisor_h(p, oh) * divisor_w(p, ow));
          sum += load_any(dy, lanes) * splat(share);
        }
      store_any(dx + c, sum, lanes);
    }
  });
}

// ---- row-major backward
// ---------------------------------------------------------------------------------------------

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
  store_any(p, lo, 2 * n < L ? 2 * n : L);
  if (2 * n > L) store_any(p + L, hi, 2 * n - L);
}

DLCORE_INLINE bool halves(const PoolAxis& a) {
  return a.kernel == 2 && a.stride == 2 && a.before == 0 && a.dilation == 1;
}

template <class T, class F>
DLCORE_INLINE void for_dx_rows(const PoolBackwardArgs& p, const F& f) {
  parallel_for(p.N * p.C * p.h.in, max64(1, kGrain / max64(1, p.w.in * 2)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t h = t % p.h.in, plane = t / p.h.in, n = plane / p.C, c = plane % p.C;
      f(static_cast<T*>(p.dx) + n * p.x_ns + c * p.x_cs + h * p.x_hs, n * p.y_ns + c * p.y_cs, h);
    }
  });
}

// 2x2 (or 1x2) windows with stride 2: an input row is an output row spread over its two columns.
template <class T>
void max_backward_halves(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  const int64_t pairs = min64(p.w.out, p.w.in / 2);
  for_dx_rows<T>(p, [&](T* dx, int64_t plane, int64_t h) {
    const Cover hs = cover(p.h, h);
    if (hs.lo >= hs.hi) {
      for (int64_t w = 0; w < p.w.in; ++w) dx[w] = 0;
      return;
    }
    const int64_t i = h - hs.lo * p.h.stride + p.h.before;
    const T* dy = static_cast<const T*>(p.dy) + plane + hs.lo * p.y_hs;
    const uint8_t* offsets = static_cast<const uint8_t*>(p.saved) + plane + hs.lo * p.y_hs;
    const auto left = splat(static_cast<Int<T>>(2 * i)), right = splat(static_cast<Int<T>>(2 * i + 1));
    for (int64_t ow = 0; ow < pairs; ow += L) {
      const int n = static_cast<int>(min64(L, pairs - ow));
      const Vec<T> g = load_any(dy + ow, n);
      const Code<T> o = load_offsets<T>(offsets + ow, n);
      interleave_store<T>(dx + 2 * ow, o == left ? g : Vec<T>{}, o == right ? g : Vec<T>{}, n);
    }
    for (int64_t w = 2 * pairs; w < p.w.in; ++w)
      dx[w] = w / 2 < p.w.out && offsets[w / 2] == 2 * i + w % 2 ? dy[w / 2] : T(0);
  });
}

// One plane (or, channels-last, a strip of channels) a thread: zero, then add in the outputs' order.
template <class T>
void max_backward_scatter(const PoolBackwardArgs& p) {
  const int64_t strip = p.channels_last ? 16 : 1, strips = ceil_div(p.C, strip);
  const int64_t work = max64(1, p.h.in * p.w.in * strip + p.h.out * p.w.out * strip * 4);
  parallel_for(p.N * strips, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / strips, c0 = t % strips * strip, c1 = min64(p.C, c0 + strip);
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns;
      for (int64_t h = 0; h < p.h.in; ++h)
        if (p.channels_last) {
          for (int64_t w = 0; w < p.w.in; ++w)
            for (int64_t c = c0; c < c1; ++c) dx[h * p.x_hs + w * p.x_ws + c] = 0;
        } else {
          T* row = dx + c0 * p.x_cs + h * p.x_hs;
          for (int64_t w = 0; w < p.w.in; ++w) row[w] = 0;
        }
      for (int64_t oh = 0; oh < p.h.out; ++oh)
        for (int64_t ow = 0; ow < p.w.out; ++ow)
          for (int64_t c = c0; c < c1; ++c) {
            const int64_t at = n * p.y_ns + c * p.y_cs + oh * p.y_hs + ow * p.y_ws;
            int64_t h, w;
            if (p.save == PoolSave::offsets) {
              const auto o = static_cast<uint32_t>(static_cast<const uint8_t*>(p.saved)[at]);
              const auto kw = static_cast<uint32_t>(p.w.kernel);
              h = oh * p.h.stride - p.h.before + o / kw * p.h.dilation;
              w = ow * p.w.stride - p.w.before + o % kw * p.w.dilation;
            } else {
              const int64_t index = static_cast<const int64_t*>(p.saved)[at];
              if (index < 0) continue;
              h = index / p.w.in, w = index % p.w.in;
            }
            if (h < 0 || h >= p.h.in || w < 0 || w >= p.w.in) continue;
            dx[c * p.x_cs + h * p.x_hs + w * p.x_ws] += static_cast<const T*>(p.dy)[at];
          }
    }
  });
}

// An average's gradient is separable: sum the output rows that cover an input row, then spread the columns.
template <class T>
void avg_backward_rows(const PoolBackwardArgs& p) {
  constexpr int L = kLanes<T>;
  const bool pairs = halves(p.w) && 2 * p.w.out <= p.w.in;
  for_dx_rows<T>(p, [&](T* dx, int64_t plane, int64_t h) {
    T* sum = scratch<T>(2, p.w.out + L);
    const Cover hs = cover(p.h, h);
    for (int64_t ow = 0; ow < p.w.out; ow += L) {
      const int n = static_cast<int>(min64(L, p.w.out - ow));
      Vec<T> s = {};
      for (int64_t oh = hs.lo; oh < hs.hi; ++oh) {
        const T* dy = static_cast<const T*>(p.dy) + plane + oh * p.y_hs + ow;
        s += load_any(dy, n) * splat(T(1) / static_cast<T>(divisor_h(p, oh)));
      }
      store(sum + ow, s);
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
      const T share = sum[ow] / static_cast<T>(divisor_w(p, ow));
      for (int64_t j = w.lo; j < w.hi; ++j) dx[w.start + j] += share;
    }
  });
}

}  // namespace

template <class T>
void max_pool_forward(const PoolArgs& p) {
  switch (p.save) {
    case PoolSave::none:
      return p.channels_last ? max_forward_channels<T, PoolSave::none>(p)
                             : max_forward_rows<T, PoolSave::none>(p);
    case PoolSave::offsets:
      return p.channels_last ? max_forward_channels<T, PoolSave::offsets>(p)
                             : max_forward_rows<T, PoolSave::offsets>(p);
    case PoolSave::indices:
      return p.channels_last ? max_forward_channels<T, PoolSave::indices>(p)
                             : max_forward_rows<T, PoolSave::indices>(p);
  }
}

template <class T>
void max_pool_backward(const PoolBackwardArgs& p) {
  if (p.save == PoolSave::indices) return max_backward_scatter<T>(p);
  if (p.channels_last) return max_backward_channels<T>(p);
  if (halves(p.w) && p.h.kernel <= p.h.stride && p.h.dilation == 1) return max_backward_halves<T>(p);
  max_backward_scatter<T>(p);
}

template <class T>
void avg_pool_forward(const PoolArgs& p) {
  p.channels_last ? avg_forward_channels<T>(p) : avg_forward_rows<T>(p);
}

template <class T>
void avg_pool_backward(const PoolBackwardArgs& p) {
  p.channels_last ? avg_backward_channels<T>(p) : avg_backward_rows<T>(p);
}

DLCORE_INSTANTIATE_FLOATS(max_pool_forward, PoolArgs)
DLCORE_INSTANTIATE_FLOATS(max_pool_backward, PoolBackwardArgs)
DLCORE_INSTANTIATE_FLOATS(avg_pool_forward, PoolArgs)
DLCORE_INSTANTIATE_FLOATS(avg_pool_backward, PoolBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
