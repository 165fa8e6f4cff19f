// Depthwise convolution of row-major planes (one input channel to one output channel, unit stride along a
// row): forward and input gradient as the passes of conv.cpp, and the weight gradient. The vector runs along
// the row.
//
// A plane's rows are copied into a small window that brings the zero padding, the activation's gradient, and,
// for a stride, the columns sorted by their remainder, so that every tap reads consecutive elements:
//   window  [plane][row][remainder of the column by the stride][column / stride]
// The phases of an input gradient are computed side by side and woven into each other on the way out.
//
// Workspace slots: 3 the window, 4 the gradient's window, 5 the outputs of several phases, 6 offsets, 7
// weights.
#include "cpu/conv.h"
#include "kernels/conv.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// Where element 0 of the window lies, and its steps.
template <class T>
struct Rows {
  const T* p;
  int64_t plane, row, rest;  // steps to the next plane, row and remainder
  int64_t at(int64_t d, int64_t r, int64_t c, int64_t step) const {
    return d * plane + r * row + (step == 1 ? c : c % step * rest + c / step);
  }
};

// Lane j of the result is element j + S of a and b laid end to end.
template <class T, int S>
DLCORE_INLINE Vec<T> shifted(Vec<T> a, Vec<T> b) {
  Vec<Int<T>> index;
  for (int j = 0; j < kLanes<T>; ++j) index[j] = j + S;
  return shuffle(a, b, index);
}

// dst[r * rest + i] = src[c0 + r + step * i], i < n, zeros outside the W columns of src.
template <class T>
void copy_row(T* dst, int64_t rest, const T* src, const T* gate, Act act, int64_t W, int64_t sw,
              int64_t gate_sw, int64_t c0, int64_t n, int64_t step) {
  constexpr int L = kLanes<T>;
  int64_t from = 0, past = 0;  // i done by vectors, for all remainders at once
  if (step == 2 && sw == 1 && act == Act::none) {
    Vec<Int<T>> even, odd;
    for (int j = 0; j < L; ++j) even[j] = 2 * j, odd[j] = 2 * j + 1;
    from = past = min64(n, c0 < 0 ? (1 - c0) / 2 : 0);
    for (; past + L <= n && c0 + 2 * (past + L) <= W; past += L) {
      const Vec<T> a = load(src + c0 + 2 * past), b = load(src + c0 + 2 * past + L);
      store(dst + past, shuffle(a, b, even));
      store(dst + rest + past, shuffle(a, b, odd));
    }
  }
  for (int64_t r = 0; r < step; ++r, dst += rest) {
    // Column c0 + r + step * i lies inside for lo <= i < hi.
    const int64_t first = c0 + r, ss = step * sw;
    const int64_t lo = min64(n, first >= 0 ? 0 : step == 1 ? -first : ceil_div(-first, step));
    const int64_t hi = max64(lo, min64(n, first >= W  ? 0
                                          : step == 1 ? W - first
                                                      : ceil_div(W - first, step)));
    for (int64_t i = 0; i < lo; ++i) dst[i] = 0;
    for (int64_t i = hi; i < n; ++i) dst[i] = 0;
    const T* const s = src + first * sw;
    if (act != Act::none) {
      const T* const g = gate + first * gate_sw;
      if (ss == 1 && gate_sw == 1)
        each_vector<T>(lo, hi, [&](int64_t i, int lanes) {
          store_upto(dst + i, gated<T>(act, load_upto(s + i, lanes), load_upto(g + i, lanes)), lanes);
        });
      else
        for (int64_t i = lo; i < hi; ++i)
          dst[i] = gated<T>(act, splat(s[i * ss]), splat(g[i * step * gate_sw]))[0];
    } else if (ss == 1) {
      each_vector<T>(lo, hi,
                     [&](int64_t i, int lanes) { store_upto(dst + i, load_upto(s + i, lanes), lanes); });
    } else {
      for (int64_t i = lo; i < min64(hi, from); ++i) dst[i] = s[i * ss];
      for (int64_t i = max64(lo, past); i < hi; ++i) dst[i] = s[i * ss];
    }
  }
}

// Of a remainder's columns in the window, with a vector of garbage behind.
template <class T>
int64_t row_length(int64_t n) {
  return round_up(n, kLanes<T>) + kLanes<T>;
}

// The box of one channel in `slot`, `n` columns a remainder; `rows` a plane (at least the box's).
template <class T>
Rows<T> rows_of(const Volume<T>& x, const Volume<T>& gate, Act act, const Box& b, int64_t step, int64_t n,
                int64_t rows, int slot) {
  const int64_t rest = row_length<T>(n), row = step * rest, plane = rows * row;
  T* const buffer = scratch<T>(slot, (b.d1 - b.d0) * plane + 4 * kLanes<T>);
  for (int64_t d = b.d0; d < b.d1; ++d) {
    T* dst = buffer + (d - b.d0) * plane;
    for (int64_t r = b.r0; r < b.r1; ++r, dst += row) {
      if (d < 0 || d >= x.D || r < 0 || r >= x.H)
        __builtin_memset(dst, 0, row * sizeof(T));
      else
        copy_row(dst, rest, x.p + d * x.sd + r * x.sh,
                 act == Act::none ? nullptr : gate.p + d * gate.sd + r * gate.sh, act, x.W, x.sw,
                 act == Act::none ? 0 : gate.sw, b.c0, n, step);
    }
  }
  return {buffer, plane, row, rest};
}

template <class T>
struct PlaneTile {
  const T* x;
  int64_t x_row;       // between output rows
  const int64_t* off;  // K input offsets
  const T* w;          // K weights
  int64_t K;
  T* y;
  int64_t y_row, n;  // n valid columns
  Vec<T> bias;
  Act act;
};

template <class T, int M, int V>
DLCORE_INLINE void finish(Vec<T> (&acc)[M][V], const PlaneTile<T>& t) {
  constexpr int L = kLanes<T>;
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Vec<T> x = acc[i][v] + t.bias;
      if (t.act == Act::relu)
        x = relu(x);
      else if (t.act != Act::none)
        x = activate<T>(t.act, x);
      store_upto(t.y + i * t.y_row + v * L, x, static_cast<int>(min64(L, t.n - v * L)));
    }
}

// M output rows x V vectors of columns.
template <class T, int M, int V>
void plane_tile(const PlaneTile<T>& t) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[M][V];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[i][v] = Vec<T>{};
  for (int64_t k = 0; k < t.K; ++k) {
    const T* x = t.x + t.off[k];
    const Vec<T> w = splat(t.w[k]);
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i, x += t.x_row)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = fma(load(x + v * L), w, acc[i][v]);
  }
  finish<T, M, V>(acc, t);
}

// The same for 3 x 3 neighbouring taps: each row is read once, aligned, and shifted in registers.
template <class T, int M, int V>
void plane_tile_3x3(const PlaneTile<T>& t) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[M][V], w[9];
#pragma GCC unroll 9
  for (int k = 0; k < 9; ++k) w[k] = splat(t.w[k]);
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[i][v] = Vec<T>{};
  const T* x = t.x + t.off[0];
#pragma GCC unroll 16
  for (int row = 0; row < M + 2; ++row, x += t.x_row) {
    Vec<T> a = load(x);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec<T> b = load(x + (v + 1) * L), a1 = shifted<T, 1>(a, b), a2 = shifted<T, 2>(a, b);
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) {
        const int r = row - i;
        if (r < 0 || r > 2) continue;
        acc[i][v] = fma(a, w[3 * r], acc[i][v]);
        acc[i][v] = fma(a1, w[3 * r + 1], acc[i][v]);
        acc[i][v] = fma(a2, w[3 * r + 2], acc[i][v]);
      }
      a = b;
    }
  }
  finish<T, M, V>(acc, t);
}

template <class T, int V>
void plane_tiles_3x3(PlaneTile<T> t, int64_t rows) {
  constexpr int M = 4 / V * (kVecBytes == 64 ? 2 : 1);
  for (; rows >= M; rows -= M, t.x += M * t.x_row, t.y += M * t.y_row) plane_tile_3x3<T, M, V>(t);
  for (; rows > 0; --rows, t.x += t.x_row, t.y += t.y_row) plane_tile_3x3<T, 1, V>(t);
}

template <class T, int V>
void plane_tiles(PlaneTile<T> t, int64_t rows) {
  constexpr int M = kVecBytes == 64 ? 8 / V * (V == 3 ? 2 : 1) : 4 / V + (V > 2);
  for (; rows >= M; rows -= M, t.x += M * t.x_row, t.y += M * t.y_row) plane_tile<T, M, V>(t);
  for (; rows > 0; --rows, t.x += t.x_row, t.y += t.y_row) plane_tile<T, 1, V>(t);
}

// dst[F * j + f] = src[f * ld + j] for the columns j < cols of phases f < F.
template <class T>
void weave(T* dst, int64_t step, const T* src, int64_t ld, int64_t out, int64_t F) {
  constexpr int L = kLanes<T>;
  int64_t w = 0;
  if (F == 2 && step == 1) {
    Vec<Int<T>> low, high;
    for (int j = 0; j < L; ++j) low[j] = j / 2 + j % 2 * L, high[j] = L / 2 + j / 2 + j % 2 * L;
    for (; w + 2 * L <= out; w += 2 * L) {
      const Vec<T> a = load(src + w / 2), b = load(src + ld + w / 2);
      store(dst + w, shuffle(a, b, low));
      store(dst + w + L, shuffle(a, b, high));
    }
  }
  for (; w < out; ++w) dst[w * step] = src[w % F * ld + w / F];
}

}  // namespace

template <class T>
void depthwise_planes(const Pass<T>& p) {
  constexpr int L = kLanes<T>;
  const int64_t Fd = p.d.phases(), Fh = p.h.phases(), Fw = p.w.phases();
  const int64_t step_d = p.d.step(), step_h = p.h.step(), step_w = p.w.step();
  const Reach reach[3] = {p.d.reach(), p.h.reach(), p.w.reach()};
  const int64_t nz = ceil_div(p.d.out, Fd), ni = ceil_div(p.h.out, Fh), nj = ceil_div(p.w.out, Fw);
  const int64_t wide = ceil_div((nj - 1) * step_w + reach[2].hi - reach[2].lo + 1, step_w);  // of a remainder
  // Blocks of rows whose window stays in L1.
  const int64_t row = step_w * row_length<T>(wide), deep = reach[0].hi - reach[0].lo + 1;
  const int64_t bi = min64(ni, max64(8, 6144 / max64(1, step_h * row * deep))), bis = ceil_div(ni, bi);
  const int64_t high = (bi - 1) * step_h + reach[1].hi - reach[1].lo + 1;
  const int64_t taps = p.taps(), F = Fd * Fh * Fw;
  const bool direct = Fw == 1 && p.out_sw == 1;
  const int64_t ld = round_up(nj, L), y_row = direct ? Fh * p.out_sh : Fw * ld;

  // The taps of each phase, as offsets in the window and among the weights.
  int64_t* const off = scratch<int64_t>(2, 2 * taps + 2 * F + 1);
  int64_t *const w_off = off + taps, *const begin = w_off + taps, *const three = begin + F + 1;
  const Rows<T> shape = {nullptr, high * row, row, row / step_w};
  int64_t K = 0, phase = 0;
  for_phases(p, [&](int64_t fd, int64_t fh, int64_t fw) {
    const int64_t first = begin[phase] = K;
    for_taps(p, fd, fh, fw, [&](int64_t d, int64_t r, int64_t s, int64_t ed, int64_t eh, int64_t ew) {
      const int64_t at = shape.at(ed - reach[0].lo, eh - reach[1].lo, ew - reach[2].lo, step_w);
      int64_t k = K++;  // ascending, where they are few
      for (; k > first && off[k - 1] > at && K - first < 64; --k)
        off[k] = off[k - 1], w_off[k] = w_off[k - 1];
      off[k] = at, w_off[k] = d * p.w_d + r * p.w_h + s * p.w_w;
    });
    three[phase] = K - first == 9 && step_h == 1 && step_w == 1;
    for (int64_t k = 0; three[phase] && k < 9; ++k)
      three[phase] = off[first + k] == off[first] + k / 3 * row + k % 3;
    ++phase;
  });
  begin[F] = K;

  parallel_for(
      p.N * p.G * nz * bis, max64(1, kGrain / max64(1, bi * nj * taps)), [&](int64_t u0, int64_t u1) {
        T* const w = scratch<T>(7, taps);
        for (int64_t u = u0; u < u1; ++u) {
          const int64_t n = u / bis / nz / p.G, g = u / bis / nz % p.G, z = u / bis % nz, i0 = u % bis * bi;
          const int64_t i1 = min64(ni, i0 + bi);
          Volume<T> x = p.in, gate = p.gate;
          x.p += n * p.in_n + g * x.sc;
          if (p.gate_act != Act::none) gate.p += n * p.gate_n + g * gate.sc;
          const Box box = {z * step_d + reach[0].lo,
                           z * step_d + reach[0].hi + 1,
                           i0 * step_h + reach[1].lo,
                           (i1 - 1) * step_h + reach[1].hi + 1,
                           reach[2].lo,
                           0};
          const Rows<T> in = rows_of(x, gate, p.gate_act, box, step_w, wide, high, 3);
          T* const out = p.out + n * p.out_n + g * p.out_sc;
          T* const woven = direct ? nullptr : scratch<T>(5, (i1 - i0) * y_row);
          for (int64_t k = 0; k < taps; ++k) w[k] = p.wt[g * p.w_g + w_off[k]];
          for (int64_t f = 0; f < F; ++f) {
            const int64_t fd = f / Fw / Fh, fh = f / Fw % Fh, fw = f % Fw;
            const int64_t h = i0 * Fh + fh;  // the first output row of this phase
            if (z * Fd + fd >= p.d.out || h >= p.h.out) continue;
            const int64_t rows = min64(i1 - i0, ceil_div(p.h.out - h, Fh));
            T* const y = out + (z * Fd + fd) * p.out_sd + h * p.out_sh;
            PlaneTile<T> t;
            t.x_row = step_h * in.row, t.off = off + begin[f], t.w = w + begin[f],
            t.K = begin[f + 1] - begin[f];
            t.y_row = y_row, t.act = p.act, t.bias = splat(p.bias ? p.bias[g] : T(0));
            for (int64_t j = 0; j < nj;) {
              t.x = in.p + j, t.y = (direct ? y : woven + fw * ld) + j, t.n = direct ? nj - j : ld - j;
              const int64_t vectors = ceil_div(nj - j, L);
              if (three[f] && vectors >= 2)
                plane_tiles_3x3<T, 2>(t, rows), j += 2 * L;
              else if (three[f])
                plane_tiles_3x3<T, 1>(t, rows), j += L;
              else if (vectors >= 4)
                plane_tiles<T, 4>(t, rows), j += 4 * L;
              else if (vectors == 3)
                plane_tiles<T, 3>(t, rows), j += 3 * L;
              else if (vectors == 2)
                plane_tiles<T, 2>(t, rows), j += 2 * L;
              else
                plane_tiles<T, 1>(t, rows), j += L;
            }
            for (int64_t i = 0; i < (direct || fw + 1 < Fw ? 0 : rows); ++i)
              weave(y + i * Fh * p.out_sh, p.out_sw, woven + i * y_row, ld, p.w.out, Fw);
          }
        }
      });
}

namespace {

template <class T>
struct WeightRows {
  const T* x;
  int64_t x_row;
  const int64_t* off;
  const T* dy;
  int64_t dy_row, rows, cols;
};

// All ones in the first n lanes.
template <class T>
DLCORE_INLINE Vec<Int<T>> first_lanes(int64_t n) {
  Int<T> bits[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) bits[i] = i < n ? -1 : 0;
  return load(bits);
}
template <class T>
DLCORE_INLINE Vec<T> masked(Vec<T> x, Vec<Int<T>> mask) {
  return bitcast<Vec<T>>(bitcast<Vec<Int<T>>>(x) & mask);
}

// total[k] += sum of dy x(off[k]) over the rows, lane by lane. Lanes behind a row belong to other sums: what
// they hold, perhaps NaN, is cleared.
template <class T, int M>
void weight_rows(const WeightRows<T>& t, Vec<T>* total) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[M];
#pragma GCC unroll 16
  for (int k = 0; k < M; ++k) acc[k] = Vec<T>{};
  const int n = static_cast<int>(t.cols % L);
  const Vec<Int<T>> mask = first_lanes<T>(n);
  const T* x = t.x;
  const T* dy = t.dy;
  for (int64_t r = 0; r < t.rows; ++r, x += t.x_row, dy += t.dy_row) {
    int64_t j = 0;
    for (; j + L <= t.cols; j += L) {
      const Vec<T> g = load(dy + j);
#pragma GCC unroll 16
      for (int k = 0; k < M; ++k) acc[k] = fma(load(x + t.off[k] + j), g, acc[k]);
    }
    if (n == 0) continue;
    const Vec<T> g = load_n(dy + j, n);
#pragma GCC unroll 16
    for (int k = 0; k < M; ++k) acc[k] = fma(masked<T>(load(x + t.off[k] + j), mask), g, acc[k]);
  }
#pragma GCC unroll 16
  for (int k = 0; k < M; ++k) total[k] += acc[k];
}

// The same for 3 x 3 neighbouring taps, in aligned reads.
template <class T>
void weight_rows_3x3(const WeightRows<T>& t, int64_t tap_row, Vec<T>* total) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[9];
#pragma GCC unroll 9
  for (int k = 0; k < 9; ++k) acc[k] = Vec<T>{};
  const int n = static_cast<int>(t.cols % L);
  const Vec<Int<T>> mask = first_lanes<T>(n);
  for (int64_t i = 0; i < t.rows; ++i) {
    const T* x = t.x + t.off[0] + i * t.x_row;
    const T* dy = t.dy + i * t.dy_row;
    Vec<T> a0 = load(x), a1 = load(x + tap_row), a2 = load(x + 2 * tap_row);
    auto step = [&](Vec<T> g, Vec<T>& a, const T* next, Vec<T>* sum, bool tail) {
      const Vec<T> b = load(next), s1 = shifted<T, 1>(a, b), s2 = shifted<T, 2>(a, b);
      sum[0] = fma(tail ? masked<T>(a, mask) : a, g, sum[0]);
      sum[1] = fma(tail ? masked<T>(s1, mask) : s1, g, sum[1]);
      sum[2] = fma(tail ? masked<T>(s2, mask) : s2, g, sum[2]);
      a = b;
    };
    int64_t j = 0;
    for (; j + L <= t.cols; j += L) {
      const Vec<T> g = load(dy + j);
      x += L;
      step(g, a0, x, acc, false);
      step(g, a1, x + tap_row, acc + 3, false);
      step(g, a2, x + 2 * tap_row, acc + 6, false);
    }
    if (n == 0) continue;
    const Vec<T> g = load_n(dy + j, n);
    x += L;
    step(g, a0, x, acc, true);
    step(g, a1, x + tap_row, acc + 3, true);
    step(g, a2, x + 2 * tap_row, acc + 6, true);
  }
#pragma GCC unroll 9
  for (int k = 0; k < 9; ++k) total[k] += acc[k];
}

template <class T, int M>
DLCORE_INLINE void run_weight_rows(int64_t m, const WeightRows<T>& t, Vec<T>* total) {
  if (m == M) return weight_rows<T, M>(t, total);
  if constexpr (M > 1) run_weight_rows<T, M - 1>(m, t, total);
}

}  // namespace

template <class T>
void depthwise_planes_weight(const ConvArgs& p) {
  constexpr int L = kLanes<T>;
  constexpr int64_t kTaps = 9;  // accumulators a pass over dy
  const int64_t Z = p.result[0], P = p.result[1], Q = p.result[2];
  const int64_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2], step = p.stride[2];
  const int64_t deep = (p.kernel[0] - 1) * p.dil[0] + 1, high = (p.kernel[1] - 1) * p.dil[1] + 1;
  const int64_t wide = ceil_div((Q - 1) * step + (p.kernel[2] - 1) * p.dil[2] + 1, step);
  // Blocks of rows whose window stays in L1 and whose sums stay short.
  const int64_t row = step * row_length<T>(wide), size = 6144 / max64(1, p.stride[1] * row * deep);
  const int64_t bi = min64(P, max64(4, min64(size, 256 / ceil_div(Q, L)))), bis = ceil_div(P, bi);
  const bool three =
      p.kernel[0] == 1 && p.kernel[1] == 3 && p.kernel[2] == 3 && p.dil[1] == 1 && p.dil[2] == 1 && step == 1;
  parallel_for(p.C, max64(1, kGrain / max64(1, p.N * Z * P * Q * taps)), [&](int64_t c0, int64_t c1) {
    int64_t* const off = scratch<int64_t>(6, taps);
    Vec<T>* const total = scratch<Vec<T>>(7, taps);
    for (int64_t c = c0; c < c1; ++c) {
      Vec<T> sum = {};
      for (int64_t k = 0; k < taps; ++k) total[k] = Vec<T>{};
      for (int64_t b = 0; b < p.N * Z * bis; ++b) {
        const int64_t n = b / bis / Z, z = b / bis % Z, i0 = b % bis * bi, i1 = min64(P, i0 + bi);
        auto volume = [&](const void* data, const int64_t (&size)[3], const int64_t (&s)[5]) {
          return Volume<T>{static_cast<const T*>(data) + n * s[0] + c * s[1],
                           size[0],
                           size[1],
                           size[2],
                           1,
                           s[2],
                           s[3],
                           s[4],
                           0};
        };
        const Volume<T> x = volume(p.x, p.size, p.xs), dy = volume(p.y, p.result, p.ys);
        const int64_t d0 = z * p.stride[0] - p.pad[0], r0 = i0 * p.stride[1] - p.pad[1];
        const Rows<T> xw = rows_of(x, x, Act::none,
                                   {d0, d0 + deep, r0, r0 + (i1 - i0 - 1) * p.stride[1] + high, -p.pad[2], 0},
                                   step, wide, (bi - 1) * p.stride[1] + high, 3);
        Rows<T> gw = {dy.p + z * dy.sd + i0 * dy.sh, 0, dy.sh, 0};
        if (p.act != Act::none || dy.sw != 1) {
          const Volume<T> gate = p.act == Act::none ? dy : volume(p.out, p.result, p.os);
          gw = rows_of(dy, gate, p.act, {z, z + 1, i0, i1, 0, 0}, 1, Q, bi, 4);
        }
        for (int64_t k = 0; k < taps; ++k)
          off[k] = xw.at(k / p.kernel[2] / p.kernel[1] * p.dil[0], k / p.kernel[2] % p.kernel[1] * p.dil[1],
                         k % p.kernel[2] * p.dil[2], step);
        WeightRows<T> t = {xw.p, p.stride[1] * xw.row, off, gw.p, gw.row, i1 - i0, Q};
        if (three) weight_rows_3x3(t, xw.row, total);
        for (int64_t k = 0; k < (three ? 0 : taps); k += kTaps) {
          t.off = off + k;
          run_weight_rows<T, kTaps>(min64(kTaps, taps - k), t, total + k);
        }
        if (!p.bias) continue;
        Vec<T> part = {};
        for (int64_t i = 0; i < t.rows; ++i)
          each_vector<T>(0, Q,
                         [&](int64_t j, int lanes) { part += load_upto(gw.p + i * gw.row + j, lanes); });
        sum += part;
      }
      for (int64_t k = 0; k < taps; ++k)
        static_cast<T*>(p.w)[c * p.ws[0] + k / p.kernel[2] / p.kernel[1] * p.ws[2] +
                             k / p.kernel[2] % p.kernel[1] * p.ws[3] + k % p.kernel[2] * p.ws[4]] +=
            hsum<T>(total[k]);
      if (p.bias) static_cast<T*>(p.bias)[c] += hsum<T>(sum);
    }
  });
}

template void depthwise_planes<float>(const Pass<float>&);
template void depthwise_planes<double>(const Pass<double>&);
template void depthwise_planes_weight<float>(const ConvArgs&);
template void depthwise_planes_weight<double>(const ConvArgs&);

}  // namespace DLCORE_ISA
}  // namespace dlcore
