// Max and average pooling over windows of one, two or three axes, forward; adaptive windows included.
// 2-d pooling is a volume of depth 1, 1-d pooling one of height 1 too.
//
// Channels-last volumes vectorise over channels. Others vectorise over output columns, where a stride of 2
// takes every second column with one shuffle (the 2x2 stride-2 window is that case); their average windows
// that are long and few (global pooling) vectorise along the window instead.
#include "cpu/pool.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// The rows that a window sees, in order, depth by depth: where they lie, and the columns of theirs that may
// be read (with margins, where they are a copy).
struct Rows {
  Span d, h;
  int64_t origin, d_step, h_step;
  int64_t left, right;
};
DLCORE_INLINE Rows rows_of(const PoolShape& p, int64_t od, int64_t oh) {
  const Span d = span(p.d, od), h = span(p.h, oh);
  return {d, h, d.start * p.x_ds + h.start * p.x_hs, p.d.dilation * p.x_ds, p.h.dilation * p.x_hs, 0, p.w.in};
}
template <class F>
DLCORE_INLINE void each_row(const Rows& r, const F& f) {
  for (int64_t k = r.d.lo; k < r.d.hi; ++k)
    for (int64_t i = r.h.lo; i < r.h.hi; ++i) f(r.origin + k * r.d_step + i * r.h_step, k, i);
}

DLCORE_INLINE int64_t code(const PoolShape& p, PoolSave s, const Rows& r, Span w, int64_t k, int64_t i,
                           int64_t j) {
  if (s == PoolSave::offsets) return (k * p.h.kernel + i) * p.w.kernel + j;
  const int64_t row = (r.d.start + k * p.d.dilation) * p.h.in + r.h.start + i * p.h.dilation;
  return row * p.w.in + w.start + j * p.w.dilation;
}

// ---- channels-last

// U vectors of channels of one output; only a single one may be short.
template <class T, PoolSave S, int U>
DLCORE_INLINE void max_channels(const PoolArgs& p, const T* x, T* y, int64_t at, const Rows& r, Span w,
                                int n) {
  constexpr int L = kLanes<T>;
  Vec<T> m[U];
  Code<T> c[U];
  const auto first = same_code<T>(code(p, S, r, w, r.d.lo, r.h.lo, w.lo));
  for (int u = 0; u < U; ++u) m[u] = splat(static_cast<T>(-__builtin_inf())), c[u] = first;
  each_row(r, [&](int64_t row, int64_t k, int64_t i) __attribute__((always_inline)) {
    const T* q = x + row + w.start * p.x_ws;
    for (int64_t j = w.lo; j < w.hi; ++j) {
      const T* at_j = q + j * p.w.dilation * p.x_ws;
      const auto here = same_code<T>(code(p, S, r, w, k, i, j));
      for (int u = 0; u < U; ++u) {
        const Vec<T> v = U > 1 ? load(at_j + u * L) : load_upto(at_j, n);
        const auto take = (v > m[u]) | (v != v);
        m[u] = take ? v : m[u];
        if constexpr (S != PoolSave::none) c[u] = take ? here : c[u];
      }
    }
  });
  for (int u = 0; u < U; ++u) {
    store_upto(y + u * L, m[u], U > 1 ? L : n);
    store_codes<T, S>(p.saved, at + u * L, c[u], U > 1 ? L : n);
  }
}

template <class T, int U>
DLCORE_INLINE void avg_channels(const PoolArgs& p, const T* x, T* y, const Rows& r, Span w, T count, int n) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[U];
  for (int u = 0; u < U; ++u) sum[u] = Vec<T>{};
  each_row(r, [&](int64_t row, int64_t, int64_t) __attribute__((always_inline)) {
    const T* q = x + row + w.start * p.x_ws;
    Vec<T> part[U] = {};  // a sum a row: shorter chains of roundings in long windows
    for (int64_t j = w.lo; j < w.hi; ++j)
      for (int u = 0; u < U; ++u)
        part[u] += U > 1 ? load(q + j * p.x_ws + u * L) : load_upto(q + j * p.x_ws, n);
    for (int u = 0; u < U; ++u) sum[u] += part[u];
  });
  for (int u = 0; u < U; ++u) store_upto(y + u * L, sum[u] / splat(count), U > 1 ? L : n);
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
  Rows r;
  Span w;
  template <int U>
  DLCORE_INLINE void run(int64_t c, int n) const {
    max_channels<T, S, U>(p, x + c, y + c, at + c, r, w, n);
  }
};
template <class T>
struct AvgChannels {
  const PoolArgs& p;
  const T* x;
  T* y;
  Rows r;
  Span w;
  T count;
  template <int U>
  DLCORE_INLINE void run(int64_t c, int n) const {
    avg_channels<T, U>(p, x + c, y + c, r, w, count, n);
  }
};

// Calls f(x of the sample, offset of the output row, rows that it sees, od, oh) for every output row.
template <class T, class F>
DLCORE_INLINE void for_channel_rows(const PoolArgs& p, const F& f) {
  const int64_t work = max64(1, p.w.out * p.C * window_size(p));
  parallel_for(p.N * p.d.out * p.h.out, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t oh = t % p.h.out, od = t / p.h.out % p.d.out, n = t / p.h.out / p.d.out;
      f(static_cast<const T*>(p.x) + n * p.x_ns, n * p.y_ns + od * p.y_ds + oh * p.y_hs, rows_of(p, od, oh),
        od, oh);
    }
  });
}

template <class T, PoolSave S>
void max_forward_channels(const PoolArgs& p) {
  for_channel_rows<T>(p, [&](const T* x, int64_t at, const Rows& r, int64_t, int64_t) {
    for (int64_t ow = 0; ow < p.w.out; ++ow, at += p.y_ws)
      for_channels<T>(p.C, MaxChannels<T, S>{p, x, static_cast<T*>(p.y) + at, at, r, span(p.w, ow)});
  });
}

template <class T>
void avg_forward_channels(const PoolArgs& p) {
  for_channel_rows<T>(p, [&](const T* x, int64_t at, const Rows& r, int64_t od, int64_t oh) {
    const int64_t rows = divisor_rows(p, od, oh);
    for (int64_t ow = 0; ow < p.w.out; ++ow, at += p.y_ws) {
      const T count = static_cast<T>(rows * divisor_columns(p, ow));
      for_channels<T>(p.C, AvgChannels<T>{p, x, static_cast<T*>(p.y) + at, r, span(p.w, ow), count});
    }
  });
}

// ---- row-major: lanes are output columns

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

// Columns w0, w0 + 1, ... of a row of W, a vector of them, `outside` where there are none; nothing else is
// read.
template <class T>
DLCORE_INLINE Vec<T> load_within(const T* row, int64_t w0, int64_t W, T outside) {
  constexpr int L = kLanes<T>;
  const int lo = static_cast<int>(min64(L, max64(0, -w0))),
            hi = static_cast<int>(max64(lo, min64(L, W - w0)));
#if defined(__AVX512F__)
  const unsigned mask = ((1u << hi) - 1) & ~((1u << lo) - 1);
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_mask_loadu_ps((__m512)splat(outside), static_cast<__mmask16>(mask), row + w0);
  else
    return (Vec<T>)_mm512_mask_loadu_pd((__m512d)splat(outside), static_cast<__mmask8>(mask), row + w0);
#elif defined(__AVX2__)
  Vec<Int<T>> lane;
  for (int l = 0; l < L; ++l) lane[l] = l;
  const auto inside = (lane >= splat(static_cast<Int<T>>(lo))) & (lane < splat(static_cast<Int<T>>(hi)));
  if constexpr (sizeof(T) == 4)
    return inside ? (Vec<T>)_mm256_maskload_ps(row + w0, (__m256i)inside) : splat(outside);
  else
    return inside ? (Vec<T>)_mm256_maskload_pd(row + w0, (__m256i)inside) : splat(outside);
#else
  T a[L];
  for (int l = 0; l < L; ++l) a[l] = l >= lo && l < hi ? row[w0 + l] : outside;
  return load(a);
#endif
}

// Columns w0, w0 + s, ...: n of them, `outside` where they are not in [0, W); what the other lanes hold is
// open.
template <class T>
DLCORE_INLINE Vec<T> load_columns(const T* row, int64_t w0, int64_t s, int n, int64_t W, T outside) {
  constexpr int L = kLanes<T>;
  if (s == 2 && w0 >= 0 && w0 + 2 * (n - 1) < W) return load_every_second(row + w0, n);
  if (s == 1) return load_within(row, w0, W, outside);
  if (s == 2)
    return evens_odds<T>(load_within(row, w0, W, outside), load_within(row, w0 + L - 1, W, outside));
  T a[L];
  for (int l = 0; l < L; ++l) {
    const int64_t w = w0 + l * s;
    a[l] = l < n && w >= 0 && w < W ? row[w] : outside;
  }
  return load(a);
}

// Every Step-th element of p, a full vector of them; reads nothing after the last.
template <class T, int Step>
DLCORE_INLINE Vec<T> load_stepped(const T* p) {
  if constexpr (Step == 1)
    return load(p);
  else
    return evens_odds<T>(load(p), load(p + kLanes<T> - 1));
}

// A full vector of windows that lie in the columns that may be read (kernel K, or p.w.kernel where K is 0):
// no checks inside.
template <class T, PoolSave S, int Step, int K>
DLCORE_INLINE void max_inside(const PoolArgs& p, const T* x, T* y, int64_t at, const Rows& r, int64_t ow) {
  constexpr int L = kLanes<T>;
  const int64_t w0 = ow * Step - p.w.before, d = p.w.dilation, kernel = K ? K : p.w.kernel;
  const Span w{w0, 0, 0};
  Vec<T> m = splat(static_cast<T>(-__builtin_inf()));
  Code<T> step = {}, c = {};
  if constexpr (S == PoolSave::indices)
    for (int l = 0; l < L; ++l) step[l] = l * Step;
  if constexpr (S != PoolSave::none) {  // until something beats -inf, the first element inside
    c = same_code<T>(code(p, S, r, w, r.d.lo, r.h.lo, 0)) + step;
    for (int l = 0; w0 + l * Step < 0 && l < L; ++l) {
      const int64_t j = ceil_div(-(w0 + l * Step), d);
      c[l] = static_cast<Int<T>>(code(p, S, r, w, r.d.lo, r.h.lo, j) + step[l]);
    }
  }
  each_row(r, [&](int64_t row, int64_t k, int64_t i) __attribute__((always_inline)) {
    const T* q = x + row + w0;
    const auto first = static_cast<Int<T>>(code(p, S, r, w, k, i, 0));
    const auto apart = static_cast<Int<T>>(S == PoolSave::indices ? d : 1);
#pragma GCC unroll 3
    for (int j = 0; j < kernel; ++j) {
      const Vec<T> v = load_stepped<T, Step>(q + j * d);
      const auto take = (v > m) | (v != v);
      m = take ? v : m;
      if constexpr (S == PoolSave::offsets) c = take ? same_code<T>(first + j) : c;
      if constexpr (S == PoolSave::indices) c = take ? same_code<T>(first + j * apart) + step : c;
    }
  });
  store(y, m);
  store_codes<T, S>(p.saved, at, c, L);
}

// Whether a full vector of windows can be read without looking at columns.
template <class T>
DLCORE_INLINE bool readable(const PoolShape& p, const Rows& r, int64_t w0) {
  const int64_t last = w0 + (kLanes<T> - 1) * p.w.stride + (p.w.kernel - 1) * p.w.dilation;
  return p.w.stride <= 2 && w0 >= r.left && last < r.right;
}

template <class T, PoolSave S>
DLCORE_INLINE void max_columns(const PoolArgs& p, const T* x, T* y, int64_t at, const Rows& r, int64_t ow,
                               int n) {
  constexpr int L = kLanes<T>;
  const int64_t w0 = ow * p.w.stride - p.w.before, d = p.w.dilation;
  if (n == L && readable<T>(p, r, w0)) {
    if (p.w.stride == 2) {
      if (p.w.kernel == 2) return max_inside<T, S, 2, 2>(p, x, y, at, r, ow);
      if (p.w.kernel == 3) return max_inside<T, S, 2, 3>(p, x, y, at, r, ow);
      return max_inside<T, S, 2, 0>(p, x, y, at, r, ow);
    }
    return p.w.kernel == 3 ? max_inside<T, S, 1, 3>(p, x, y, at, r, ow)
                           : max_inside<T, S, 1, 0>(p, x, y, at, r, ow);
  }
  const Span origin{w0, 0, 0};
  Vec<T> m = splat(static_cast<T>(-__builtin_inf()));
  Code<T> c = {}, step = {};
  if constexpr (S != PoolSave::none) {
    for (int l = 0; l < L; ++l) {  // until something beats -inf, the first element inside
      const int64_t start = w0 + l * p.w.stride, j = start < 0 ? ceil_div(-start, d) : 0;
      step[l] = static_cast<Int<T>>(S == PoolSave::indices ? l * p.w.stride : 0);
      c[l] = static_cast<Int<T>>(code(p, S, r, origin, r.d.lo, r.h.lo, j) + step[l]);
    }
  }
  each_row(r, [&](int64_t row, int64_t k, int64_t i) __attribute__((always_inline)) {
    for (int64_t j = 0; j < p.w.kernel; ++j) {
      const Vec<T> v =
          load_columns(x + row, w0 + j * d, p.w.stride, n, p.w.in, static_cast<T>(-__builtin_inf()));
      const auto take = (v > m) | (v != v);
      m = take ? v : m;
      if constexpr (S != PoolSave::none) c = take ? same_code<T>(code(p, S, r, origin, k, i, j)) + step : c;
    }
  });
  store_upto(y, m, n);
  store_codes<T, S>(p.saved, at, c, n);
}

template <class T, int Step, int K>
DLCORE_INLINE Vec<T> sum_inside(const PoolArgs& p, const T* x, const Rows& r, int64_t w0) {
  const int64_t kernel = K ? K : p.w.kernel;
  Vec<T> sum = {};
  each_row(r, [&](int64_t row, int64_t, int64_t) __attribute__((always_inline)) {
    const T* q = x + row + w0;
    Vec<T> part = load_stepped<T, Step>(q);
#pragma GCC unroll 3
    for (int j = 1; j < kernel; ++j) part += load_stepped<T, Step>(q + j);
    sum += part;
  });
  return sum;
}

template <class T>
DLCORE_INLINE void avg_columns(const PoolArgs& p, const T* x, T* y, const Rows& r, int64_t rows, int64_t ow,
                               int n) {
  constexpr int L = kLanes<T>;
  const int64_t w0 = ow * p.w.stride - p.w.before;
  Vec<T> sum = {};
  if (n == L && readable<T>(p, r, w0)) {
    if (p.w.stride == 2)
      sum = p.w.kernel == 2 ? sum_inside<T, 2, 2>(p, x, r, w0) : sum_inside<T, 2, 0>(p, x, r, w0);
    else
      sum = p.w.kernel == 3 ? sum_inside<T, 1, 3>(p, x, r, w0) : sum_inside<T, 1, 0>(p, x, r, w0);
  } else {
    each_row(r, [&](int64_t row, int64_t, int64_t) __attribute__((always_inline)) {
      Vec<T> part = load_columns(x + row, w0, p.w.stride, n, p.w.in, T(0));
      for (int64_t j = 1; j < p.w.kernel; ++j)
        part += load_columns(x + row, w0 + j, p.w.stride, n, p.w.in, T(0));
      sum += part;
    });
  }
  if (w0 >= 0 && w0 + (n - 1) * p.w.stride + p.w.kernel <= p.w.in)
    return store_upto(y, sum / splat(static_cast<T>(rows * (p.divisor ? 1 : p.w.kernel))), n);
  T a[L];
  for (int l = 0; l < L; ++l) a[l] = static_cast<T>(rows * (l < n ? divisor_columns(p, ow + l) : 1));
  store_upto(y, sum / load(a), n);
}

// One output of any window: adaptive maxima, whose windows differ from column to column.
template <class T>
void max_single(const PoolArgs& p, const T* x, T* y, int64_t at, const Rows& r, Span w) {
  T m = static_cast<T>(-__builtin_inf());
  int64_t index = code(p, PoolSave::indices, r, w, r.d.lo, r.h.lo, w.lo);
  each_row(r, [&](int64_t row, int64_t k, int64_t i) {
    for (int64_t j = w.lo; j < w.hi; ++j) {
      const T v = x[row + w.start + j];
      if (v > m || v != v) m = v, index = code(p, PoolSave::indices, r, w, k, i, j);
    }
  });
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
  for (; i < n; i += L) a[0] += load_upto(x + i, static_cast<int>(min64(L, n - i)));
  return hsum<T>((a[0] + a[1]) + (a[2] + a[3]));
}

template <class T>
T avg_single(const PoolArgs& p, const T* x, const Rows& r, Span w, T count) {
  const int64_t width = w.hi - w.lo, height = r.h.hi - r.h.lo;
  T sum = 0;
  for (int64_t k = r.d.lo; k < r.d.hi; ++k) {
    const T* first = x + (r.d.start + k) * p.x_ds + (r.h.start + r.h.lo) * p.x_hs + w.start + w.lo;
    if (width == p.x_hs) {
      sum += sum_run(first, width * height);
    } else {
      for (int64_t i = 0; i < height; ++i) sum += sum_run(first + i * p.x_hs, width);
    }
  }
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

// The rows of a window with margins of `outside`, so that no vector of outputs looks at columns.
template <class T>
DLCORE_INLINE Rows with_margins(const PoolArgs& p, const T** x, const Rows& r, int64_t after, T outside) {
  const int64_t before = p.w.before, pitch = before + p.w.in + after, tall = r.h.hi - r.h.lo;
  T* copy = scratch<T>(2, max64(1, (r.d.hi - r.d.lo) * tall * pitch));
  T* to = copy;
  each_row(r, [&](int64_t row, int64_t, int64_t) {
    for (int64_t w = 0; w < before; ++w) to[w] = outside;
    __builtin_memcpy(to + before, *x + row, static_cast<size_t>(p.w.in) * sizeof(T));
    for (int64_t w = before + p.w.in; w < pitch; ++w) to[w] = outside;
    to += pitch;
  });
  *x = copy;
  Rows m = r;
  m.d_step = tall * pitch, m.h_step = pitch, m.origin = before - r.d.lo * m.d_step - r.h.lo * pitch;
  m.left = -before, m.right = p.w.in + after;
  return m;
}

// Calls f(x volume, y row, offset of the row, rows that it sees, od, oh) for every row of every output
// volume.
template <class T, class F>
DLCORE_INLINE void for_rows(const PoolArgs& p, T outside, const F& f) {
  const int64_t work = max64(1, p.w.out * window_size(p)), rows = p.d.out * p.h.out;
  const int64_t reach = (p.w.out - 1) * p.w.stride - p.w.before + (p.w.kernel - 1) * p.w.dilation + 1;
  const int64_t after = max64(0, reach - p.w.in);
  // What is missing after the row alone (ceil_mode) concerns its last vector: no reason to copy the row.
  const bool margins = p.w.kernel > 0 && p.w.stride <= 2 && p.w.out >= kLanes<T> && p.w.before > 0;
  parallel_for(p.N * p.C * rows, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t plane = t / rows, n = plane / p.C, c = plane % p.C;
      const int64_t od = t % rows / p.h.out, oh = t % p.h.out;
      const int64_t at = n * p.y_ns + c * p.y_cs + od * p.y_ds + oh * p.y_hs;
      const T* x = static_cast<const T*>(p.x) + n * p.x_ns + c * p.x_cs;
      Rows r = rows_of(p, od, oh);
      if (margins) r = with_margins(p, &x, r, after, outside);
      f(x, static_cast<T*>(p.y) + at, at, r, od, oh);
    }
  });
}

template <class T, PoolSave S>
void max_forward_rows(const PoolArgs& p) {
  const T low = static_cast<T>(-__builtin_inf());
  for_rows<T>(p, low, [&](const T* x, T* y, int64_t at, const Rows& r, int64_t, int64_t) {
    if (p.w.kernel == 0) {
      for (int64_t ow = 0; ow < p.w.out; ++ow) max_single(p, x, y + ow, at + ow, r, span(p.w, ow));
    } else {
      for_columns<T>(p.w.out, [&](int64_t ow, int n) { max_columns<T, S>(p, x, y + ow, at + ow, r, ow, n); });
    }
  });
}

template <class T>
void avg_forward_rows(const PoolArgs& p) {
  const bool along_window = p.w.kernel == 0 || (2 * p.w.out < kLanes<T> && p.w.kernel > 3);
  for_rows<T>(p, T(0), [&](const T* x, T* y, int64_t, const Rows& r, int64_t od, int64_t oh) {
    const int64_t rows = divisor_rows(p, od, oh);
    if (along_window) {
      for (int64_t ow = 0; ow < p.w.out; ++ow)
        y[ow] = avg_single(p, x, r, span(p.w, ow), static_cast<T>(rows * divisor_columns(p, ow)));
    } else {
      for_columns<T>(p.w.out, [&](int64_t ow, int n) { avg_columns(p, x, y + ow, r, rows, ow, n); });
    }
  });
}

// Row-major global means: nothing but the sums.
template <class T>
void avg_forward_global(const PoolArgs& p) {
  const int64_t size = p.d.in * p.h.in * p.w.in;
  const T count = static_cast<T>(divisor_rows(p, 0, 0) * divisor_columns(p, 0));
  parallel_for(p.N * p.C, max64(1, kGrain / size), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t n = i / p.C, c = i % p.C;
      const T* x = static_cast<const T*>(p.x) + n * p.x_ns + c * p.x_cs;
      static_cast<T*>(p.y)[n * p.y_ns + c * p.y_cs] = sum_run(x, size) / count;
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
void avg_pool_forward(const PoolArgs& p) {
  if (!p.channels_last && is_global(p)) return avg_forward_global<T>(p);
  p.channels_last ? avg_forward_channels<T>(p) : avg_forward_rows<T>(p);
}

// Windows differ from plane to plane: a table of starts a plane, then element by element.
template <class T>
void fractional_max_pool_forward(const FractionalPoolArgs& p) {
  const int64_t size = p.in[0] * p.in[1] * p.in[2], outs = p.out[0] * p.out[1] * p.out[2];
  const int64_t work = max64(1, outs * p.kernel[0] * p.kernel[1] * p.kernel[2]);
  parallel_for(p.planes, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    int64_t* starts[3];
    starts[0] = scratch<int64_t>(2, p.out[0] + p.out[1] + p.out[2]);
    starts[1] = starts[0] + p.out[0];
    starts[2] = starts[1] + p.out[1];
    for (int64_t plane = b; plane < e; ++plane) {
      for (int a = 0; a < 3; ++a) {
        const T room = static_cast<T>(p.in[a] - p.kernel[a]);
        if (p.out[a] > 1) {
          const T alpha = room / static_cast<T>(p.out[a] - 1);
          const T u = p.sample[a] < 0 ? T(0) : static_cast<const T*>(p.samples)[plane * p.axes + p.sample[a]];
          for (int64_t o = 0; o + 1 < p.out[a]; ++o) {
            const auto at =
                static_cast<int64_t>((static_cast<T>(o) + u) * alpha) - static_cast<int64_t>(u * alpha);
            starts[a][o] = min64(max64(0, at), p.in[a] - p.kernel[a]);
          }
        }
        if (p.out[a] > 0) starts[a][p.out[a] - 1] = p.in[a] - p.kernel[a];
      }
      const T* x = static_cast<const T*>(p.x) + plane * size;
      T* y = static_cast<T*>(p.y) + plane * outs;
      int64_t* index = p.indices + plane * outs;
      for (int64_t od = 0; od < p.out[0]; ++od)
        for (int64_t oh = 0; oh < p.out[1]; ++oh)
          for (int64_t ow = 0; ow < p.out[2]; ++ow, ++y, ++index) {
            const int64_t d0 = starts[0][od], h0 = starts[1][oh], w0 = starts[2][ow];
            T m = static_cast<T>(-__builtin_inf());
            int64_t best = (d0 * p.in[1] + h0) * p.in[2] + w0;
            for (int64_t d = d0; d < d0 + p.kernel[0]; ++d)
              for (int64_t h = h0; h < h0 + p.kernel[1]; ++h)
                for (int64_t w = w0; w < w0 + p.kernel[2]; ++w) {
                  const int64_t at = (d * p.in[1] + h) * p.in[2] + w;
                  if (x[at] > m || x[at] != x[at]) m = x[at], best = at;
                }
            *y = m, *index = best;
          }
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(max_pool_forward, PoolArgs)
DLCORE_INSTANTIATE_FLOATS(avg_pool_forward, PoolArgs)
DLCORE_INSTANTIATE_FLOATS(fractional_max_pool_forward, FractionalPoolArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
