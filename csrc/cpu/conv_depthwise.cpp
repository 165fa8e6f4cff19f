// Depthwise convolution of row-major planes (one input channel to one output channel, unit stride along a
// row): forward and input gradient as the passes of conv.cpp, and the weight gradient. The vector runs along
// the row.
//
// A plane's rows are copied into a small window (conv_planes.h), so that every tap reads consecutive
// elements. The phases of an input gradient are computed side by side and woven into each other on the way
// out.
//
// Workspace slots: 3 the window, 4 the gradient's window, 5 the outputs of several phases, 6 offsets, 7
// weights.
#include "cpu/conv_planes.h"
#include "kernels/conv.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int kRows = kVecBytes == 64 ? 8 : 4;  // of a tile one vector wide

template <class T>
struct PlaneTile {
  const T* x;
  int64_t x_row;       // between output rows
  const int64_t* off;  // K input offsets
  const T* w;          // K weights
  int64_t K;
  T* y;
  int64_t y_row, n;  // n valid columns
  int64_t rest;      // between the remainders of a row in the window
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

template <class T, int M, int V>
DLCORE_INLINE void plane_tiles(PlaneTile<T> t, int64_t rows) {
  for (; rows >= M; rows -= M, t.x += M * t.x_row, t.y += M * t.y_row) plane_tile<T, M, V>(t);
  if constexpr (M > 1)
    if (rows > 0) plane_tiles<T, M / 2, V>(t, rows);
}

// The same for 3 x 3 neighbouring taps of output rows S apart: each row is read once, aligned, and shifted in
// registers. Columns two apart read the even columns, the odd ones, and the even ones shifted by one.
template <class T, int S, int M, int V>
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
  const int64_t step = t.x_row / S;
#pragma GCC unroll 32
  for (int row = 0; row < S * (M - 1) + 3; ++row, x += step) {
    Vec<T> a = load(x);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec<T> b = load(x + (v + 1) * L);
      const Vec<T> a1 = S == 1 ? shifted<T, 1>(a, b) : load(x + t.rest + v * L);
      const Vec<T> a2 = shifted<T, S == 1 ? 2 : 1>(a, b);
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) {
        const int r = row - S * i;
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

template <class T, int S, int M, int V>
DLCORE_INLINE void plane_tiles_3x3(PlaneTile<T> t, int64_t rows) {
  for (; rows >= M; rows -= M, t.x += M * t.x_row, t.y += M * t.y_row) plane_tile_3x3<T, S, M, V>(t);
  if constexpr (M > 1)
    if (rows > 0) plane_tiles_3x3<T, S, M / 2, V>(t, rows);
}

// dst[F * j + f] = src[f * ld + j] for the first `out` columns; ld a multiple of the vector.
template <class T>
void weave(T* dst, int64_t step, const T* src, int64_t ld, int64_t out, int64_t F) {
  constexpr int L = kLanes<T>;
  if (F == 2 && step == 1) {
    Vec<Int<T>> low, high;
    for (int j = 0; j < L; ++j) low[j] = j / 2 + j % 2 * L, high[j] = L / 2 + j / 2 + j % 2 * L;
    for (int64_t w = 0; w < out; w += 2 * L) {
      const Vec<T> a = load(src + w / 2), b = load(src + ld + w / 2);
      store_upto(dst + w, shuffle(a, b, low), static_cast<int>(min64(L, out - w)));
      if (out - w > L) store_upto(dst + w + L, shuffle(a, b, high), static_cast<int>(min64(L, out - w - L)));
    }
    return;
  }
  for (int64_t f = 0; f < F; ++f, src += ld)
    for (int64_t j = 0, w = f; w < out; ++j, w += F) dst[w * step] = src[j];
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
      off[K] = at, w_off[K++] = d * p.w_d + r * p.w_h + s * p.w_w;
    });
    // 3 x 3 neighbours? Then they are sorted; those of an input gradient come in descending order.
    three[phase] = K - first == 9 && step_h == step_w && step_w <= 2 && p.d.taps == 1 ? step_w : 0;
    int64_t low = INT64_MAX;
    for (int64_t k = first; k < K; ++k) low = min64(low, off[k]);
    for (int64_t k = 0; three[phase] && k < 9; ++k) {
      const int64_t at = low + k / 3 * row + shape.at(0, 0, k % 3, step_w);
      int64_t i = k;
      while (i < 9 && off[first + i] != at) ++i;
      if (i == 9) {
        three[phase] = 0;
      } else {
        const int64_t o = off[first + i], w = w_off[first + i];
        off[first + i] = off[first + k], w_off[first + i] = w_off[first + k];
        off[first + k] = o, w_off[first + k] = w;
      }
    }
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
            t.y_row = y_row, t.rest = in.rest, t.act = p.act, t.bias = splat(p.bias ? p.bias[g] : T(0));
            for (int64_t j = 0; j < nj;) {
              t.x = in.p + j, t.y = (direct ? y : woven + fw * ld) + j, t.n = direct ? nj - j : ld - j;
              const int64_t vectors = ceil_div(nj - j, L);
              if (three[f] == 1 && vectors >= 2)
                plane_tiles_3x3<T, 1, kRows / 2, 2>(t, rows), j += 2 * L;
              else if (three[f] == 1)
                plane_tiles_3x3<T, 1, kRows, 1>(t, rows), j += L;
              else if (three[f] == 2 && vectors >= 2)
                plane_tiles_3x3<T, 2, kRows / 2, 2>(t, rows), j += 2 * L;
              else if (three[f] == 2)
                plane_tiles_3x3<T, 2, kRows, 1>(t, rows), j += L;
              else if (vectors >= 4)
                plane_tiles<T, kRows / 4, 4>(t, rows), j += 4 * L;
              else if (vectors == 3)
                plane_tiles<T, kRows / 4, 3>(t, rows), j += 3 * L;
              else if (vectors == 2)
                plane_tiles<T, kRows / 2, 2>(t, rows), j += 2 * L;
              else
                plane_tiles<T, kRows, 1>(t, rows), j += L;
            }
            for (int64_t i = 0; i < (direct || fw + 1 < Fw ? 0 : rows); ++i)
              weave(y + i * Fh * p.out_sh, p.out_sw, woven + i * y_row, ld, p.w.out, Fw);
          }
        }
      });
}

namespace {

// Outputs of one row, a vector of channels each.
template <class T>
struct PixelRow {
  const T* const* x;  // `rows` input rows, at column 0
  const T* const* w;  // the first weight of each
  int64_t rows;
  const int64_t* e;  // S input columns, of output 0
  int64_t S, step, pix, W;
  int64_t w_step;  // from tap to tap
  T* y;
  int64_t y_pix;
  Vec<T> bias;
  Act act;
};

template <class T, int M>
DLCORE_INLINE void finish_pixels(const PixelRow<T>& t, int64_t j, Vec<T> (&acc)[M]) {
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) {
    Vec<T> x = acc[i] + t.bias;
    if (t.act == Act::relu)
      x = relu(x);
    else if (t.act != Act::none)
      x = activate<T>(t.act, x);
    store(t.y + (j + i) * t.y_pix, x);
  }
}

// M pixels from j on, S neighbouring taps a row; each input is read once. Border: some columns lie outside.
template <class T, int S, int Step, int M, bool Border>
void pixel_tile(const PixelRow<T>& t, int64_t j) {
  Vec<T> acc[M];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) acc[i] = Vec<T>{};
  const int64_t first = j * Step + t.e[0];
  for (int64_t r = 0; r < t.rows; ++r) {
    const T* x = t.x[r] + first * t.pix;
    Vec<T> w[S];
#pragma GCC unroll 8
    for (int s = 0; s < S; ++s) w[s] = load(t.w[r] + s * t.w_step);
#pragma GCC unroll 32
    for (int c = 0; c < (M - 1) * Step + S; ++c, x += t.pix) {
      Vec<T> v = {};
      if (!Border || (first + c >= 0 && first + c < t.W)) v = load(x);
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) {
        const int s = c - i * Step;
        if (s >= 0 && s < S) acc[i] = fma(v, w[s], acc[i]);
      }
    }
  }
  finish_pixels<T, M>(t, j, acc);
}

// Any taps.
template <class T, int M>
void pixel_tile_any(const PixelRow<T>& t, int64_t j) {
  Vec<T> acc[M];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) acc[i] = Vec<T>{};
  for (int64_t r = 0; r < t.rows; ++r)
    for (int64_t s = 0; s < t.S; ++s) {
      const Vec<T> w = load(t.w[r] + s * t.w_step);
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) {
        const int64_t c = (j + i) * t.step + t.e[s];
        if (c >= 0 && c < t.W) acc[i] = fma(load(t.x[r] + c * t.pix), w, acc[i]);
      }
    }
  finish_pixels<T, M>(t, j, acc);
}

template <class T, int S, int Step, int M>
DLCORE_INLINE int64_t pixel_tiles(const PixelRow<T>& t, int64_t j, int64_t cols) {
  for (; j + M <= cols; j += M) {
    const int64_t first = j * Step + t.e[0];
    if (first < 0 || first + (M - 1) * Step + S > t.W)
      pixel_tile<T, S, Step, M, true>(t, j);
    else
      pixel_tile<T, S, Step, M, false>(t, j);
  }
  return j;
}
template <class T, int S, int Step>
void pixel_row(const PixelRow<T>& t, int64_t cols) {
  int64_t j = pixel_tiles<T, S, Step, 8>(t, 0, cols);
  j = pixel_tiles<T, S, Step, 4>(t, j, cols);
  pixel_tiles<T, S, Step, 1>(t, j, cols);
}
template <class T>
void pixel_row_any(const PixelRow<T>& t, int64_t cols) {
  int64_t j = 0;
  for (; j + 4 <= cols; j += 4) pixel_tile_any<T, 4>(t, j);
  for (; j < cols; ++j) pixel_tile_any<T, 1>(t, j);
}

}  // namespace

template <class T>
void depthwise_pixels(const Pass<T>& p) {
  constexpr int L = kLanes<T>;
  const int64_t Fd = p.d.phases(), Fh = p.h.phases(), Fw = p.w.phases(), taps = p.taps(), C = p.G;
  T* const packed = scratch<T>(2, taps * C);  // [tap][channel]
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t d = tap / p.w.taps / p.h.taps, r = tap / p.w.taps % p.h.taps, s = tap % p.w.taps;
    const T* const w = p.wt + d * p.w_d + r * p.w_h + s * p.w_w;
    for (int64_t c = 0; c < C; ++c) packed[tap * C + c] = w[c * p.w_g];
  }
  // Blocks of output rows whose inputs stay in L2.
  const int64_t bi = max64(1, min64(p.h.out, 32768 / max64(1, p.w.out * C))), bis = ceil_div(p.h.out, bi);
  const int64_t work = bi * p.w.out * C * taps;
  parallel_for(p.N * p.d.out * bis, max64(1, kGrain / max64(1, work)), [&](int64_t u0, int64_t u1) {
    int64_t* const e = scratch<int64_t>(6, p.w.taps);
    const T** const rows = scratch<const T*>(7, 4 * p.d.taps * p.h.taps);
    const T **const weights = rows + p.d.taps * p.h.taps, **const x = weights + p.d.taps * p.h.taps,
                    **const w = x + p.d.taps * p.h.taps;
    for (int64_t u = u0; u < u1; ++u) {
      const int64_t n = u / bis / p.d.out, z = u / bis % p.d.out, i0 = u % bis * bi;
      for (int64_t i = i0; i < min64(p.h.out, i0 + bi); ++i) {
        int64_t count = 0;  // rows of taps that lie inside
        for (int64_t d = 0; d < p.d.taps; ++d)
          for (int64_t r = 0; r < p.h.taps; ++r) {
            int64_t ed, eh;
            if (!p.d.tap(z % Fd, d, &ed) || !p.h.tap(i % Fh, r, &eh)) continue;
            ed += z / Fd * p.d.step(), eh += i / Fh * p.h.step();
            if (ed < 0 || ed >= p.in.D || eh < 0 || eh >= p.in.H) continue;
            rows[count] = p.in.p + n * p.in_n + ed * p.in.sd + eh * p.in.sh;
            weights[count++] = packed + (d * p.h.taps + r) * p.w.taps * C;
          }
        for (int64_t fw = 0; fw < Fw && fw < p.w.out; ++fw) {
          int64_t S = 0, first = 0, past = 0;  // taps of this phase, in ascending order of their column
          for (int64_t s = 0; s < p.w.taps; ++s) {
            int64_t ew;
            if (!p.w.tap(fw, s, &ew)) continue;
            if (S == 0) first = s;
            past = s, e[S++] = ew;
          }
          const bool descending = S > 1 && e[1] < e[0];
          for (int64_t s = 0; descending && s < S / 2; ++s) {
            const int64_t swap = e[s];
            e[s] = e[S - 1 - s], e[S - 1 - s] = swap;
          }
          const int64_t apart = S > 1 ? (past - first) / (S - 1) * C : 0;
          const bool close = S > 1 && e[1] == e[0] + 1;
          const int64_t cols = ceil_div(p.w.out - fw, Fw);
          PixelRow<T> t;
          t.x = x, t.w = w, t.rows = count, t.e = e, t.S = S, t.step = p.w.step(), t.pix = p.in.sw;
          t.W = p.in.W, t.w_step = descending ? -apart : apart, t.y_pix = Fw * p.out_sw, t.act = p.act;
          for (int64_t c = 0; c < C;) {
            for (int64_t k = 0; k < count; ++k)
              x[k] = rows[k] + c, w[k] = weights[k] + (descending ? past : first) * C + c;
            t.y = p.out + n * p.out_n + z * p.out_sd + i * p.out_sh + fw * p.out_sw + c;
            t.bias = p.bias ? load(p.bias + c) : Vec<T>{};
            if (S == 3 && close && t.step == 1)
              pixel_row<T, 3, 1>(t, cols);
            else if (S == 3 && close && t.step == 2)
              pixel_row<T, 3, 2>(t, cols);
            else if (S == 5 && close && t.step == 1)
              pixel_row<T, 5, 1>(t, cols);
            else
              pixel_row_any(t, cols);
            if (c + L == C) break;
            c = min64(c + L, C - L);  // the last vector may overlap the one before
          }
        }
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

// The same for 3 x 3 neighbouring taps of outputs S apart, in aligned reads, as plane_tile_3x3 does it.
template <class T, int S>
void weight_rows_3x3(const WeightRows<T>& t, int64_t tap_row, int64_t rest, Vec<T>* total) {
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
      const Vec<T> b = load(next), s1 = S == 1 ? shifted<T, 1>(a, b) : load(next + rest - L);
      const Vec<T> s2 = shifted<T, S == 1 ? 2 : 1>(a, b);
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
  const int64_t reach = (bi - 1) * p.stride[1] + high;  // rows of the window
  const Rows<T> shape = {nullptr, reach * row, row, row / step};
  int64_t* const off = scratch<int64_t>(2, taps);
  for (int64_t k = 0; k < taps; ++k)
    off[k] = shape.at(k / p.kernel[2] / p.kernel[1] * p.dil[0], k / p.kernel[2] % p.kernel[1] * p.dil[1],
                      k % p.kernel[2] * p.dil[2], step);
  const bool three =
      p.kernel[0] == 1 && p.kernel[1] == 3 && p.kernel[2] == 3 && p.dil[1] == 1 && p.dil[2] == 1 && step <= 2;
  parallel_for(p.C, max64(1, kGrain / max64(1, p.N * Z * P * Q * taps)), [&](int64_t c0, int64_t c1) {
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
                                   step, wide, reach, 3);
        Rows<T> gw = {dy.p + z * dy.sd + i0 * dy.sh, 0, dy.sh, 0};
        if (p.act != Act::none || dy.sw != 1) {
          const Volume<T> gate = p.act == Act::none ? dy : volume(p.out, p.result, p.os);
          gw = rows_of(dy, gate, p.act, {z, z + 1, i0, i1, 0, 0}, 1, Q, bi, 4);
        }
        WeightRows<T> t = {xw.p, p.stride[1] * xw.row, off, gw.p, gw.row, i1 - i0, Q};
        if (three && step == 1) weight_rows_3x3<T, 1>(t, xw.row, xw.rest, total);
        if (three && step == 2) weight_rows_3x3<T, 2>(t, xw.row, xw.rest, total);
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
template void depthwise_pixels<float>(const Pass<float>&);
template void depthwise_pixels<double>(const Pass<double>&);
template void depthwise_planes_weight<float>(const ConvArgs&);
template void depthwise_planes_weight<double>(const ConvArgs&);

}  // namespace DLCORE_ISA
}  // namespace dlcore
