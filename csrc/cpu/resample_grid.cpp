// grid_sample: a point's taps (positions in the volume, weights) are the product of its axes' taps; they are
// made once for a block of points, then used for every channel. Row-major volumes gather them, a lane a
// point; channels-last ones read runs of channels. The gradient of x scatters, some channels a thread; that
// of the grid sums over channels, a lane a point. NaN in a grid counts as -1.
#include "cpu/gather.h"
#include "kernels/resample.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int kPoints = 64;    // a block
constexpr int kMostTaps = 16;  // bicubic; trilinear has 8

template <class T>
DLCORE_INLINE T floor_of(T x) {
  if constexpr (sizeof(T) == 4)
    return __builtin_floorf(x);
  else
    return __builtin_floor(x);
}
template <class T>
DLCORE_INLINE T round_of(T x) {  // halves to even
  if constexpr (sizeof(T) == 4)
    return __builtin_nearbyintf(x);
  else
    return __builtin_nearbyint(x);
}
template <class T>
DLCORE_INLINE T remainder_of(T x, T y) {
  if constexpr (sizeof(T) == 4)
    return __builtin_fmodf(x, y);
  else
    return __builtin_fmod(x, y);
}

// A coordinate and its derivative.
template <class T>
struct Place {
  T at, slope;
};

// Outside [0, size - 1] to its ends, whose slope is 0.
template <class T>
DLCORE_INLINE Place<T> clipped(Place<T> p, int64_t size) {
  const T most = static_cast<T>(size - 1);
  if (p.at <= 0) return {0, 0};
  return p.at >= most ? Place<T>{most, 0} : p;
}

// Mirrored at the centres of the first and last element, or at their outer edges.
template <class T>
DLCORE_INLINE Place<T> reflected(Place<T> p, int64_t size, bool align) {
  const T low = align ? T(0) : T(-0.5), span = static_cast<T>(align ? size - 1 : size);
  if (span <= 0) return {0, 0};
  p.at -= low;
  if (p.at < 0) p = {-p.at, -p.slope};
  const T extra = remainder_of(p.at, span), flips = floor_of(p.at / span);
  if (remainder_of(flips, T(2)) == 0) return {extra + low, p.slope};
  return {span - extra + low, -p.slope};
}

template <class T>
DLCORE_INLINE Place<T> padded(Place<T> p, int64_t size, const GridSampleShape& s) {
  if (s.padding == GridPadding::zeros) return p;
  return clipped(s.padding == GridPadding::border ? p : reflected(p, size, s.align_corners), size);
}

// The taps of one axis: places (-1: outside, counts as 0), weights and the weights' derivatives.
template <class T>
struct AxisTaps {
  int n;
  int64_t at[4];
  T weight[4], slope[4];
};

template <class T>
DLCORE_INLINE int64_t inside(T x, int64_t size) {
  return x >= 0 && x < static_cast<T>(size) ? static_cast<int64_t>(x) : -1;
}

template <class T>
AxisTaps<T> axis_taps(T g, int64_t size, const GridSampleShape& s) {
  if (g != g) g = -1;
  const T half = static_cast<T>(s.align_corners ? size - 1 : size) / 2;
  const Place<T> raw{
      s.align_corners ? (g + 1) / 2 * static_cast<T>(size - 1) : ((g + 1) * static_cast<T>(size) - 1) / 2,
      half};
  AxisTaps<T> t;
  if (s.mode == GridMode::bicubic) {
    const T a = T(-0.75), low = floor_of(raw.at), x = raw.at - low;
    const T u = x + 1, v = 1 - x, z = 2 - x;
    t.n = 4;
    t.weight[0] = ((a * u - 5 * a) * u + 8 * a) * u - 4 * a;
    t.weight[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
    t.weight[2] = ((a + 2) * v - (a + 3)) * v * v + 1;
    t.weight[3] = ((a * z - 5 * a) * z + 8 * a) * z - 4 * a;
    t.slope[0] = ((3 * a * u - 10 * a) * u + 8 * a) * half;
    t.slope[1] = (3 * (a + 2) * x - 2 * (a + 3)) * x * half;
    t.slope[2] = -(3 * (a + 2) * v - 2 * (a + 3)) * v * half;
    t.slope[3] = -((3 * a * z - 10 * a) * z + 8 * a) * half;
    for (int k = 0; k < 4; ++k)
      t.at[k] = inside(padded<T>({low - 1 + static_cast<T>(k), 1}, size, s).at, size);
    return t;
  }
  const Place<T> p = padded(raw, size, s);
  if (s.mode == GridMode::nearest) {
    t.n = 1, t.at[0] = inside(round_of(p.at), size), t.weight[0] = 1, t.slope[0] = 0;
    return t;
  }
  const T low = floor_of(p.at);
  t.n = 2;
  t.at[0] = inside(low, size), t.at[1] = inside(low + 1, size);
  t.weight[0] = low + 1 - p.at, t.weight[1] = p.at - low;
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

template <class T, bool Slopes>
void make_taps(const GridSampleShape& s, const T* grid, int count, Taps<T>* t) {
  const int n = s.mode == GridMode::nearest ? 1 : s.mode == GridMode::bilinear ? 2 : 4;
  t->n = s.axes == 3 ? n * n * n : n * n;
  t->all = true;
  AxisTaps<T> one{};
  one.n = 1, one.weight[0] = 1;
  for (int l = 0; l < kPoints; ++l) {
    if (l >= count) {  // the rest of the last vector
      for (int k = 0; k < t->n; ++k) {
        t->at[k][l] = 0, t->weight[k][l] = 0;
        for (int a = 0; Slopes && a < s.axes; ++a) t->slope[a][k][l] = 0;
      }
      if (l % kLanes<T> == kLanes<T> - 1) break;
      continue;
    }
    const T* g = grid + l * s.axes;
    const AxisTaps<T> w = axis_taps(g[0], s.W, s), h = axis_taps(g[1], s.H, s);
    const AxisTaps<T> d = s.axes == 3 ? axis_taps(g[2], s.D, s) : one;
    int k = 0;
    for (int a = 0; a < d.n; ++a)
      for (int b = 0; b < h.n; ++b)
        for (int c = 0; c < w.n; ++c, ++k) {
          const bool in = d.at[a] >= 0 && h.at[b] >= 0 && w.at[c] >= 0;
          t->all &= in;
          t->at[k][l] = in ? static_cast<Int<T>>((d.at[a] * s.H + h.at[b]) * s.W + w.at[c]) : -1;
          t->weight[k][l] = d.weight[a] * h.weight[b] * w.weight[c];
          if constexpr (Slopes) {
            t->slope[0][k][l] = d.weight[a] * h.weight[b] * w.slope[c];
            t->slope[1][k][l] = d.weight[a] * h.slope[b] * w.weight[c];
            if (s.axes == 3) t->slope[2][k][l] = d.slope[a] * h.weight[b] * w.weight[c];
          }
        }
  }
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

}  // namespace

template <class T>
void grid_sample_forward(const GridSampleArgs& p) {
  constexpr int L = kLanes<T>;
  const int64_t size = p.D * p.H * p.W;
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
