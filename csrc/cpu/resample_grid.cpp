// grid_sample: a point's taps (positions in the volume, weights) are the product of its axes' taps; they are
// made once for a block of points, then used for every channel. Channels-last volumes read runs of channels;
// row-major ones are turned into lines of channels first, or (few points or channels) gathered, a lane a
// point. The gradient of x scatters, some channels a thread; that
// of the grid sums over channels, a lane a point. NaN in a grid counts as -1.
#include "cpu/conv.h"
#include "cpu/gather.h"
#include "kernels/resample.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int kPoints = 64;    // a block
constexpr int kMostTaps = 16;  // bicubic; trilinear has 8

// Of |x| below 2^30; the coordinates have been bounded.
template <class T>
DLCORE_INLINE Vec<T> floor_of(Vec<T> x) {
  const Vec<T> t = __builtin_convertvector(__builtin_convertvector(x, Vec<Int<T>>), Vec<T>);
  return t > x ? t - splat(T(1)) : t;
}
template <class T>
DLCORE_INLINE Vec<T> round_of(Vec<T> x) {  // halves to even
  const Vec<T> low = floor_of<T>(x), rest = x - low, half = splat(T(0.5));
  const Vec<T> even = floor_of<T>(low * half) * splat(T(2));
  const Vec<T> tie = even == low ? low : low + splat(T(1));
  return rest < half ? low : rest > half ? low + splat(T(1)) : tie;
}

// Coordinates of a vector of points and their derivatives.
template <class T>
struct Place {
  Vec<T> at, slope;
};

// Outside [0, size - 1] to its ends, whose slope is 0.
template <class T>
DLCORE_INLINE Place<T> clipped(Place<T> p, int64_t size) {
  const Vec<T> zero = {}, most = splat(static_cast<T>(size - 1));
  const Vec<T> slope = (p.at <= zero) | (p.at >= most) ? zero : p.slope;
  return {min(max(p.at, zero), most), slope};
}

// Mirrored at the centres of the first and last element, or at their outer edges.
template <class T>
DLCORE_INLINE Place<T> reflected(Place<T> p, int64_t size, bool align) {
  const Vec<T> zero = {}, low = splat(align ? T(0) : T(-0.5));
  const T length = static_cast<T>(align ? size - 1 : size);
  if (length <= 0) return {zero, zero};
  const Vec<T> span = splat(length), from = p.at - low, at = from < zero ? -from : from;
  const Vec<T> slope = from < zero ? -p.slope : p.slope, flips = floor_of<T>(at / span);
  const Vec<T> extra = min(max(at - flips * span, zero), span);
  const auto odd = floor_of<T>(flips * splat(T(0.5))) * splat(T(2)) != flips;
  return {(odd ? span - extra : extra) + low, odd ? -slope : slope};
}

template <class T>
DLCORE_INLINE Place<T> padded(Place<T> p, int64_t size, const GridSampleShape& s) {
  if (s.padding == GridPadding::zeros) return p;
  return clipped<T>(s.padding == GridPadding::border ? p : reflected<T>(p, size, s.align_corners), size);
}

// The taps of one axis: places (-1: outside, counts as 0), weights and the weights' derivatives.
template <class T>
struct AxisTaps {
  int n;
  Vec<Int<T>> at[4];
  Vec<T> weight[4], slope[4];
};

template <class T>
DLCORE_INLINE Vec<Int<T>> inside(Vec<T> x, int64_t size) {
  const Vec<Int<T>> out = ~Vec<Int<T>>{};
  return (x >= Vec<T>{}) & (x < splat(static_cast<T>(size))) ? __builtin_convertvector(x, Vec<Int<T>>) : out;
}

template <class T>
DLCORE_INLINE AxisTaps<T> axis_taps(Vec<T> g, int64_t size, const GridSampleShape& s) {
  const Vec<T> one = splat(T(1)), bound = splat(T(1 << 30));
  g = g != g ? -one : g;
  const T half = static_cast<T>(s.align_corners ? size - 1 : size) / 2;
  Vec<T> at = s.align_corners ? (g + one) * splat(half)
                              : ((g + one) * splat(static_cast<T>(size)) - one) * splat(T(0.5));
  at = min(max(at, -bound), bound);
  AxisTaps<T> t;
  if (s.mode == GridMode::bicubic) {
    const Vec<T> a = splat(T(-0.75)), low = floor_of<T>(at), scale = splat(half);
    const Vec<T> x = at - low, u = x + one, v = one - x, z = v + one;
    const Vec<T> a2 = a + splat(T(2)), a3 = a + splat(T(3)), a5 = splat(T(5)) * a, a8 = splat(T(8)) * a;
    const Vec<T> three = splat(T(3)), two = splat(T(2)), a10 = two * a5;
    t.n = 4;
    t.weight[0] = ((a * u - a5) * u + a8) * u - splat(T(4)) * a;
    t.weight[1] = (a2 * x - a3) * x * x + one;
    t.weight[2] = (a2 * v - a3) * v * v + one;
    t.weight[3] = ((a * z - a5) * z + a8) * z - splat(T(4)) * a;
    t.slope[0] = ((three * a * u - a10) * u + a8) * scale;
    t.slope[1] = (three * a2 * x - two * a3) * x * scale;
    t.slope[2] = -(three * a2 * v - two * a3) * v * scale;
    t.slope[3] = -((three * a * z - a10) * z + a8) * scale;
    for (int k = 0; k < 4; ++k)
      t.at[k] = inside<T>(padded<T>({low + splat(static_cast<T>(k - 1)), one}, size, s).at, size);
    return t;
  }
  const Place<T> p = padded<T>({at, splat(half)}, size, s);
  if (s.mode == GridMode::nearest) {
    t.n = 1, t.at[0] = inside<T>(round_of<T>(p.at), size), t.weight[0] = one, t.slope[0] = Vec<T>{};
    return t;
  }
  const Vec<T> low = floor_of<T>(p.at);
  t.n = 2;
  t.at[0] = inside<T>(low, size), t.at[1] = inside<T>(low + one, size);
  t.weight[0] = low + one - p.at, t.weight[1] = p.at - low;
  t.slope[0] = -p.slope, t.slope[1] = p.slope;
  return t;
}

// The taps of a block of points, tap by tap.
template <class T>
struct Taps {
  int n;
  bool all;                       // none lies outside
  Int<T> at[kMostTaps][kPoints];  // in the volume; -1 outside
  T weight[kMostTaps][kPoints];
  T slope[3][kMostTaps][kPoints];  // by w, h, d
};

// A vector's lanes beyond `count` repeat the last point.
template <class T, bool Slopes>
void make_taps(const GridSampleShape& s, const T* grid, int count, Taps<T>* t) {
  constexpr int L = kLanes<T>;
  AxisTaps<T> d{};
  d.n = 1, d.weight[0] = splat(T(1));
  Vec<Int<T>> outside = {};
  const auto H = static_cast<Int<T>>(s.H), W = static_cast<Int<T>>(s.W);
  for (int l = 0; l < count; l += L) {
    Vec<Int<T>> from;
    for (int i = 0; i < L; ++i) from[i] = (l + i < count ? l + i : count - 1) * s.axes;
    const AxisTaps<T> w = axis_taps<T>(gather<T>(grid, from), s.W, s);
    const AxisTaps<T> h = axis_taps<T>(gather<T>(grid + 1, from), s.H, s);
    if (s.axes == 3) d = axis_taps<T>(gather<T>(grid + 2, from), s.D, s);
    int k = 0;
    for (int a = 0; a < d.n; ++a)
      for (int b = 0; b < h.n; ++b) {
        const Vec<Int<T>> row = (d.at[a] * H + h.at[b]) * W, in = d.at[a] | h.at[b];
        for (int c = 0; c < w.n; ++c, ++k) {
          const Vec<Int<T>> out = (in | w.at[c]) < Vec<Int<T>>{};  // all ones there, which is -1
          outside |= out;
          store(t->at[k] + l, out | (row + w.at[c]));
          store(t->weight[k] + l, d.weight[a] * h.weight[b] * w.weight[c]);
          if constexpr (Slopes) {
            store(t->slope[0][k] + l, d.weight[a] * h.weight[b] * w.slope[c]);
            store(t->slope[1][k] + l, d.weight[a] * h.slope[b] * w.weight[c]);
            if (s.axes == 3) store(t->slope[2][k] + l, d.slope[a] * h.weight[b] * w.weight[c]);
          }
        }
      }
    t->n = k;
  }
  t->all = true;
  for (int i = 0; i < L; ++i) t->all &= outside[i] == 0;
}

template <class T>
DLCORE_INLINE Vec<T> value(const Taps<T>& t, int k, int l, const T* x) {
  const Vec<Int<T>> at = load(t.at[k] + l), none = {};
  if (t.all) return gather<T>(x, at);
  return at < none ? Vec<T>{} : gather<T>(x, at < none ? none : at);
}

// Calls f(n, first point, points, taps) for every block, in parallel.
template <class T, bool Slopes, class F>
void for_blocks(const GridSampleShape& s, const void* grid, const F& f) {
  const int64_t blocks = ceil_div(s.points, kPoints);
  const int64_t work = kPoints * (s.C + 16) *
                       (s.mode == GridMode::nearest    ? 2
                        : s.mode == GridMode::bilinear ? 8
                                                       : 32);
  parallel_for(s.N * blocks, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    Taps<T>* taps = scratch<Taps<T>>(2, 1);
    for (int64_t i = b; i < e; ++i) {
      const int64_t n = i / blocks, p = i % blocks * kPoints;
      const int count = static_cast<int>(min64(kPoints, s.points - p));
      make_taps<T, Slopes>(s, static_cast<const T*>(grid) + (n * s.points + p) * s.axes, count, taps);
      f(n, p, count, *taps);
    }
  });
}

int64_t taps_of(const GridSampleShape& s) {
  return s.mode == GridMode::nearest ? 1 : s.mode == GridMode::bicubic ? 16 : s.axes == 3 ? 8 : 4;
}

// A line of channels: what a tap reads.
template <class T>
constexpr int kLine = 64 / static_cast<int>(sizeof(T));

// Row-major volumes through lines [group][place][kLine] of some groups of channels, at most kLines bytes
// (half of L2) where that is possible; a block's results go through a tile.
template <class T>
void forward_lines(const GridSampleArgs& p) {
  constexpr int L = kLanes<T>, V = kLine<T> / L;
  constexpr int64_t kLines = int64_t{512} << 10;
  const int64_t size = p.D * p.H * p.W, groups = ceil_div(p.C, kLine<T>);
  const int64_t some = max64(1, min64(groups, kLines / (size * 64))), parts = ceil_div(groups, some);
  const int64_t work = (size + p.points * taps_of(p)) * some;
  parallel_for(p.N * parts, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    Taps<T>* taps = scratch<Taps<T>>(2, 1);
    T* lines = scratch<T>(3, some * size * kLine<T>);
    alignas(64) T tile[kPoints * kLine<T>];
    for (int64_t t = b; t < e; ++t) {
      const int64_t n = t / parts, g0 = t % parts * some, g1 = min64(groups, g0 + some);
      auto channels = [&](int64_t g) { return min64(kLine<T>, p.C - g * kLine<T>); };
      for (int64_t g = g0; g < g1; ++g)
        transpose(lines + (g - g0) * size * kLine<T>, kLine<T>,
                  static_cast<const T*>(p.x) + (n * p.C + g * kLine<T>)*size, size, channels(g), size);
      for (int64_t first = 0; first < p.points; first += kPoints) {
        const int count = static_cast<int>(min64(kPoints, p.points - first));
        make_taps<T, false>(p, static_cast<const T*>(p.grid) + (n * p.points + first) * p.axes, count, taps);
        for (int64_t g = g0; g < g1; ++g) {
          const T* x = lines + (g - g0) * size * kLine<T>;
          for (int l = 0; l < count; ++l) {
            Vec<T> sum[V] = {};
            for (int k = 0; k < taps->n; ++k) {
              const int64_t at = taps->at[k][l];
              if (at < 0) continue;
              const Vec<T> w = splat(taps->weight[k][l]);
#pragma GCC unroll 4
              for (int v = 0; v < V; ++v) sum[v] += load(x + at * kLine<T> + v * L) * w;
            }
            for (int v = 0; v < V; ++v) store(tile + l * kLine<T> + v * L, sum[v]);
          }
          transpose(static_cast<T*>(p.y) + (n * p.C + g * kLine<T>)*p.points + first, p.points, tile,
                    kLine<T>, count, channels(g));
        }
      }
    }
  });
}

}  // namespace

template <class T>
void grid_sample_forward(const GridSampleArgs& p) {
  constexpr int L = kLanes<T>;
  const int64_t size = p.D * p.H * p.W;
  // A gathered element costs two or three times one that is turned.
  if (!p.channels_last && p.C >= 4 && 2 * p.points * taps_of(p) >= size) return forward_lines<T>(p);
  for_blocks<T, false>(p, p.grid, [&](int64_t n, int64_t first, int count, const Taps<T>& t) {
    const T* x = static_cast<const T*>(p.x) + n * p.C * size;
    T* y = static_cast<T*>(p.y) + n * p.C * p.points;
    if (p.channels_last) {
      for (int l = 0; l < count; ++l)
        each_vector<T>(0, p.C, [&](int64_t c, int lanes) {
          Vec<T> sum = {};
          for (int k = 0; k < t.n; ++k)
            if (t.at[k][l] >= 0) sum += load_upto(x + t.at[k][l] * p.C + c, lanes) * splat(t.weight[k][l]);
          store_upto(y + (first + l) * p.C + c, sum, lanes);
        });
      return;
    }
    for (int64_t c = 0; c < p.C; ++c)
      for (int l = 0; l < count; l += L) {
        Vec<T> sum = {};
        for (int k = 0; k < t.n; ++k) sum += value(t, k, l, x + c * size) * load(t.weight[k] + l);
        store_upto(y + c * p.points + first + l, sum, count - l < L ? count - l : L);
      }
  });
}

template <class T>
void grid_sample_backward(const GridSampleBackwardArgs& p) {
  constexpr int L = kLanes<T>, kStrip = 8, kSums = 64;
  const int64_t size = p.D * p.H * p.W, strips = ceil_div(p.C, kStrip);
  if (p.dx)
    parallel_for(p.N * strips, max64(1, kGrain / max64(1, p.points * 4 * kStrip)), [&](int64_t b, int64_t e) {
      Taps<T>* taps = scratch<Taps<T>>(2, 1);
      for (int64_t i = b; i < e; ++i) {
        const int64_t n = i / strips, c0 = i % strips * kStrip, c1 = min64(p.C, c0 + kStrip);
        T* dx = static_cast<T*>(p.dx) + n * p.C * size;
        const T* dy = static_cast<const T*>(p.dy) + n * p.C * p.points;
        __builtin_memset(static_cast<void*>(dx + c0 * size), 0,
                         static_cast<size_t>((c1 - c0) * size) * sizeof(T));
        for (int64_t first = 0; first < p.points; first += kPoints) {
          const int count = static_cast<int>(min64(kPoints, p.points - first));
          make_taps<T, false>(p, static_cast<const T*>(p.grid) + (n * p.points + first) * p.axes, count,
                              taps);
          for (int64_t c = c0; c < c1; ++c)
            for (int k = 0; k < taps->n; ++k)
              for (int l = 0; l < count; ++l)
                if (taps->at[k][l] >= 0)
                  dx[c * size + taps->at[k][l]] += taps->weight[k][l] * dy[c * p.points + first + l];
        }
      }
    });
  if (!p.dgrid) return;
  for_blocks<T, true>(p, p.grid, [&](int64_t n, int64_t first, int count, const Taps<T>& t) {
    const T* x = static_cast<const T*>(p.x) + n * p.C * size;
    const T* dy = static_cast<const T*>(p.dy) + n * p.C * p.points + first;
    T* dgrid = static_cast<T*>(p.dgrid) + (n * p.points + first) * p.axes;
    for (int l = 0; l < count; l += L) {
      const int lanes = count - l < L ? count - l : L;
      Vec<T> total[3] = {};
      for (int64_t c0 = 0; c0 < p.C; c0 += kSums) {  // sums of sums: roundings grow with neither number alone
        Vec<T> sum[3] = {};
        for (int64_t c = c0; c < min64(p.C, c0 + kSums); ++c) {
          const Vec<T> g = load_upto(dy + c * p.points + l, lanes);
          for (int k = 0; k < t.n; ++k) {
            const Vec<T> v = value(t, k, l, x + c * size) * g;
            for (int a = 0; a < p.axes; ++a) sum[a] += v * load(t.slope[a][k] + l);
          }
        }
        for (int a = 0; a < p.axes; ++a) total[a] += sum[a];
      }
      for (int i = 0; i < lanes; ++i)
        for (int a = 0; a < p.axes; ++a) dgrid[(l + i) * p.axes + a] = total[a][i];
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(grid_sample_forward, GridSampleArgs)
DLCORE_INSTANTIATE_FLOATS(grid_sample_backward, GridSampleBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
