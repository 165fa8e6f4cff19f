// Convolution of stride 1 by Winograd's minimal filtering: F(4x4, 3x3) and F(2x2, 5x5). A tile of 4x4 outputs
// of a 3x3 kernel costs 36 products a pair of channels instead of 144, one of 2x2 of a 5x5 kernel 36 instead
// of 100 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016).
//
//   Y = A' [ (G g G') . (B' d B) ] A        g weights, d 6x6 inputs, Y outputs, ' the transpose
//
// Summed over channels, the products at each of the 36 points are a matrix product (tiles x Ci)(Ci x Co).
// The points are 0, +-1/sqrt(2), +-sqrt(2) and infinity: reciprocal pairs keep the matrices' entries near 1,
// which makes the rounding errors a fourth of those of the usual 0, +-1, +-2 (compare Alam et al., "Winograd
// Convolution for Deep Neural Networks: Efficient Point Selection", 2022; Barabasz et al., "Error Analysis
// and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020). Measured: up to 7
// times the direct form's error; float32 alone, and not where the caller said no (ConvArgs::winograd).
//
// The weights are transformed once a call (or kept until they change), then tiles part by part: their inputs,
// the products, the outputs. An element's bits depend on the shape alone, not on the part that it falls in.
//
// Workspace slots: 0 products, 1 transformed inputs, 2 transformed weights (the calling thread's, the first
// two where threads share tiles), 3 and 4 the input window, 5 the outputs of a part, 6 first tiles of the
// parts, 7 weights of an input channel.
#include "cpu/winograd.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

using F = Vec<float>;
constexpr int L = kLanes<float>, MR = Tile<float>::MR, NR = Tile<float>::NR, NV = Tile<float>::NV;

// Transformed weights: [point][sliver of NR outputs][input channel][NR].
struct Weights {
  const float* p;
  int64_t Ci, slivers;
  const float* at(int64_t point, int64_t sliver) const { return p + (point * slivers + sliver) * Ci * NR; }
};

template <int Taps>
void transform_weights(const Pass<float>& p, float* out) {
  constexpr int kTaps = Taps * Taps;
  const int64_t slivers = ceil_div(p.Co, NR);
  int64_t tap_h[Taps], tap_w[Taps];  // the taps in the order of the inputs that they read
  const int64_t lo_h = p.h.reach().lo, lo_w = p.w.reach().lo;
  for (int64_t r = 0; r < Taps; ++r) {
    int64_t e;
    p.h.tap(0, r, &e), tap_h[e - lo_h] = r;
    p.w.tap(0, r, &e), tap_w[e - lo_w] = r;
  }
  const bool by_taps = p.w_w == 1 && p.w_h == Taps && p.w_co != 1;
  parallel_for(slivers * p.Ci, max64(1, kGrain / (16 * NR)), [&](int64_t b, int64_t e) {
    float* const g = scratch<float>(7, kTaps * NR);  // taps x outputs
    __builtin_memset(g, 0, kTaps * NR * sizeof(float));
    for (int64_t i = b; i < e; ++i) {
      const int64_t o = i / p.Ci * NR, n = min64(NR, p.Co - o);
      const float* const src = p.wt + o * p.w_co + i % p.Ci * p.w_ci;
      if (n < NR) __builtin_memset(g, 0, kTaps * NR * sizeof(float));
      if (by_taps)
        transpose(g, NR, src, p.w_co, n, kTaps);
      else
        for (int64_t t = 0; t < kTaps; ++t)
          for (int64_t j = 0; j < n; ++j)
            g[t * NR + j] = src[j * p.w_co + t / Taps * p.w_h + t % Taps * p.w_w];
      for (int64_t v = 0; v < NR; v += L) {
        F half[kIn][Taps];
        for (int c = 0; c < Taps; ++c) {
          F in[Taps], u[kIn];
          for (int r = 0; r < Taps; ++r) in[r] = load(g + (tap_h[r] * Taps + tap_w[c]) * NR + v);
          transform_kernel(in, u);
          for (int r = 0; r < kIn; ++r) half[r][c] = u[r];
        }
        for (int r = 0; r < kIn; ++r) {
          F u[kIn];
          transform_kernel(half[r], u);
          for (int c = 0; c < kIn; ++c) store(out + ((r * kIn + c) * slivers * p.Ci + i) * NR + v, u[c]);
        }
      }
    }
  });
}

template <int Taps>
Weights transformed_weights(const Pass<float>& p) {
  const int64_t slivers = ceil_div(p.Co, NR);
  return {kept_weights(p, Packing::winograd, kPoints * slivers * p.Ci * NR, 2,
                       [&](float* room) { transform_weights<Taps>(p, room); }),
          p.Ci, slivers};
}

// A sliver holds MR tiles, of which the last is computed by halves; or halves alone where they waste less.
constexpr int64_t kHalf = MR / 2 + MR / 2 % 2;
struct Height {
  int64_t tiles, rows;  // of a sliver, and of all as they are computed
  explicit Height(int64_t n) {
    const int64_t rest = n % MR;
    const int64_t whole = n - rest +
                          (rest == 0       ? 0
                           : rest <= kHalf ? kHalf
                                           : MR),
                  halves = round_up(n, kHalf);
    tiles = halves < whole ? kHalf : MR, rows = min64(whole, halves);
  }
};

// Transformed inputs of a block: [point][sliver of tiles][vector of channels][height][L]: a tile's channels
// lie in vectors, as they are written, and a column of a sliver at constant steps, as it is read.
struct Inputs {
  float* p;
  int64_t height, vectors, step;  // step: from point to point
  float* at(int64_t point, int64_t tile, int64_t vector) const {
    return p + point * step + ((tile / height * vectors + vector) * height + tile % height) * L;
  }
};

// Channels that one register sums up, as in the direct form: rounding errors grow with the run.
constexpr int64_t kRun = 512;

// R tiles x V vectors of outputs at one point; `next` from a vector of channels to the next.
template <int R, int V>
void multiply(const float* a, int64_t next, const float* b, int64_t Ci, float* m, int64_t ldm) {
  for (int64_t c0 = 0; c0 < Ci; c0 += kRun) {
    F acc[R][V];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = F{};
    for (int64_t c = c0; c < min64(Ci, c0 + kRun); c += L, a += next) {
      const int64_t lanes = min64(L, Ci - c);
      for (int64_t k = 0; k < lanes; ++k, b += NR) {
        F bv[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) bv[v] = load(b + v * L);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
          const F av = splat(a[i * L + k]);
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) acc[i][v] = fma(av, bv[v], acc[i][v]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        float* const p = m + i * ldm + v * L;
        store(p, c0 ? load(p) + acc[i][v] : acc[i][v]);
      }
  }
}

// The products of some tiles: [point][tile][output], `step` from point to point.
struct Products {
  float* p;
  int64_t ld, step;
};

// Sliver o of the outputs at one point, for the first `tiles` tiles.
void multiply_point(const Weights& w, const Inputs& v, const Products& m, int64_t tiles, int64_t Co,
                    int64_t point, int64_t o) {
  const bool wide = Co - o * NR > L;
  const float* const b = w.at(point, o);
  for (int64_t t = 0; t < tiles; t += v.height) {
    const float* const a = v.at(point, t, 0);
    float* const to = m.p + point * m.step + t * m.ld + o * NR;
    if (min64(v.height, tiles - t) <= kHalf)
      wide ? multiply<kHalf, NV>(a, v.height * L, b, w.Ci, to, m.ld)
           : multiply<kHalf, 1>(a, v.height * L, b, w.Ci, to, m.ld);
    else
      wide ? multiply<MR, NV>(a, v.height * L, b, w.Ci, to, m.ld)
           : multiply<MR, 1>(a, v.height * L, b, w.Ci, to, m.ld);
  }
}

// Where a block's outputs go.
struct Outputs {
  float* p;
  int64_t image, row, pix;
};

// Products of one tile to its outputs, of which rows x cols exist; m: [point][...], `step` from point to
// point.
template <int Out>
void finish_tile(const Pass<float>& p, const float* m, int64_t step, float* y, const Outputs& to,
                 int64_t rows, int64_t cols) {
  for (int64_t o = 0; o < p.Co; o += L, m += L, y += L) {
    const int n = static_cast<int>(min64(L, p.Co - o));
    F half[Out][kIn];
#pragma GCC unroll 6
    for (int j = 0; j < kIn; ++j) {
      F in[kIn], out[Out];
#pragma GCC unroll 6
      for (int i = 0; i < kIn; ++i) in[i] = load(m + (i * kIn + j) * step);
      transform_output(in, out);
#pragma GCC unroll 4
      for (int i = 0; i < Out; ++i) half[i][j] = out[i];
    }
    const F scale = p.scale ? load_upto(p.scale + o, n) : splat(1.0f);
    const F bias = p.bias ? load_upto(p.bias + o, n) : F{};
    for (int i = 0; i < rows; ++i) {
      F out[Out];
      transform_output(half[i], out);
      for (int j = 0; j < cols; ++j) {
        F x = fma(out[j], scale, bias);
        float* const at = y + i * to.row + j * to.pix;
        if (p.adds) x += load_upto(at + p.add_at, n);
        if (p.act == Act::relu)
          x = relu(x);
        else if (p.act != Act::none)
          x = activate<float>(p.act, x);
        store_upto(at, x, n);
      }
    }
  }
}

// A part of the output: images, rows and columns of tiles.
struct Part {
  int64_t n0, n1, i0, i1, j0, j1;
  int64_t rows() const { return i1 - i0; }
  int64_t cols() const { return j1 - j0; }
  int64_t tiles() const { return (n1 - n0) * rows() * cols(); }
};

// Parts of at most `most` tiles: whole images where they are small, else rows of tiles of one, else pieces of
// a row; as many as the threads share evenly, or many.
struct Parts {
  int64_t N, th, tw;   // images, tiles of an image
  int64_t ns, is, js;  // parts along each
  Parts(const Pass<float>& p, int64_t out, int64_t most)
      : N(p.N), th(ceil_div(p.h.out, out)), tw(ceil_div(p.w.out, out)) {
    js = ceil_div(tw, most);
    is = js > 1 ? th : ceil_div(th, max64(1, most / tw));
    ns = js * is > 1 ? N : ceil_div(N, max64(1, most / (th * tw)));
    const int64_t threads = num_threads();
    auto uneven = [&] { return count() % threads != 0 && count() < 8 * threads; };
    while (ns < N && uneven()) ++ns;
    while (ns == N && is < th && uneven()) ++is;
  }
  int64_t count() const { return ns * is * js; }
  Part operator[](int64_t u) const {
    const int64_t n = u / js / is, i = u / js % is, j = u % js;
    return {part_begin(N, n, ns),      part_begin(N, n + 1, ns), part_begin(th, i, is),
            part_begin(th, i + 1, is), part_begin(tw, j, js),    part_begin(tw, j + 1, js)};
  }
};

// The part's inputs, transformed, as tiles `first` and on.
template <int Taps>
void load_part(const Pass<float>& p, const Part& part, const Inputs& v, int64_t first) {
  constexpr int Out = kOut<Taps>;
  const int64_t lo_h = p.h.reach().lo, lo_w = p.w.reach().lo;
  const Box box = {0,
                   1,
                   part.i0 * Out + lo_h,
                   part.i1 * Out + Taps - 1 + lo_h,
                   part.j0 * Out + lo_w,
                   part.j1 * Out + Taps - 1 + lo_w};
  Volume<float> in = p.in, gate = p.gate;
  in.p += part.n0 * p.in_n;
  if (p.gate_act != Act::none) gate.p += part.n0 * p.gate_n;
  const Window<float> w =
      gradient_window(in, gate, p.gate_act, part.n1 - part.n0, p.in_n, p.gate_n, box, v.vectors * L, 3);
  for (int64_t t = 0; t < part.tiles(); ++t) {
    const int64_t j = t % part.cols(), i = t / part.cols() % part.rows(), n = t / part.cols() / part.rows();
    const float* const x = w.p + n * w.image + i * Out * w.row + j * Out * w.pix;
    transform_tile<kIn>(w, x, v.vectors * L, v.step, transform_input,
                        [&](int64_t c) { return v.at(0, first + t, c / L); });
  }
}

template <int Taps>
void finish_part(const Pass<float>& p, const Part& part, const Products& m, int64_t first) {
  constexpr int Out = kOut<Taps>;
  const int64_t h0 = part.i0 * Out, w0 = part.j0 * Out;
  const int64_t rows = min64(p.h.out, part.i1 * Out) - h0, cols = min64(p.w.out, part.j1 * Out) - w0;
  const int64_t images = part.n1 - part.n0;
  float* const out = p.out + part.n0 * p.out_n + h0 * p.out_sh + w0 * p.out_sw;
  const bool direct = p.out_sc == 1;
  Outputs y = {out, p.out_n, p.out_sh, p.out_sw};
  if (!direct) {
    y.pix = p.Co, y.row = cols * p.Co, y.image = rows * y.row;
    y.p = scratch<float>(5, images * y.image);
  }
  for (int64_t t = 0; t < part.tiles(); ++t) {
    const int64_t j = t % part.cols() * Out, i = t / part.cols() % part.rows() * Out;
    float* const to = y.p + t / part.cols() / part.rows() * y.image + i * y.row + j * y.pix;
    finish_tile<Out>(p, m.p + (first + t) * m.ld, m.step, to, y, min64(Out, rows - i), min64(Out, cols - j));
  }
  if (direct) return;
  const bool flat = p.out_sw == 1 && (p.out_sh == cols || rows == 1);
  for (int64_t n = 0; n < images; ++n)
    for (int64_t i = 0; i < (flat ? 1 : rows); ++i) {
      const float* const src = y.p + n * y.image + i * y.row;
      float* const dst = out + n * p.out_n + i * p.out_sh;
      if (p.out_sw == 1)
        transpose(dst, p.out_sc, src, p.Co, flat ? rows * cols : cols, p.Co);
      else
        for (int64_t j = 0; j < cols; ++j)
          for (int64_t c = 0; c < p.Co; ++c) dst[j * p.out_sw + c * p.out_sc] = src[j * p.Co + c];
    }
}

// Buffers of `tiles` tiles in the calling thread's workspace; a line more a point, so that the points of a
// tile do not all fall into one set of the caches.
Inputs inputs(const Pass<float>& p, int64_t tiles) {
  const Height h(tiles);
  const int64_t vectors = ceil_div(p.Ci, L), step = round_up(tiles, h.tiles) * vectors * L + L;
  const Inputs v = {scratch<float>(1, kPoints * step), h.tiles, vectors, step};
  for (int64_t t = tiles; t < h.rows; ++t)  // computed with the rest, never read
    for (int64_t point = 0; point < kPoints; ++point)
      for (int64_t c = 0; c < vectors; ++c) store(v.at(point, t, c), F{});
  return v;
}
Products products(const Weights& w, int64_t tiles) {
  const int64_t ld = w.slivers * NR, step = Height(tiles).rows * ld + L;
  return {scratch<float>(0, kPoints * step), ld, step};
}

template <int Taps>
bool run(const Pass<float>& p) {
  const WinogradCost<Taps> cost = {p.N, p.h.out, p.w.out, p.Ci, p.Co, p.keep != nullptr};
  const int64_t rows = Height(cost.tiles()).rows;
  if (!cost.pays(static_cast<double>(rows) * static_cast<double>(p.Ci * round_up(p.Co, L)))) return false;
  if (p.G > 1) {
    for (int64_t g = 0; g < p.G; ++g) {
      Pass<float> q = p;
      q.G = 1, q.in.C = q.gate.C = p.Ci;
      q.in.p += g * p.Ci * p.in.sc, q.out += g * p.Co * p.out_sc, q.wt += g * p.w_g;
      if (p.gate_act != Act::none) q.gate.p += g * p.Ci * p.gate.sc;
      if (p.bias) q.bias += g * p.Co;
      if (p.scale) q.scale += g * p.Co;
      run<Taps>(q);
    }
    return true;
  }
  const Weights weights = transformed_weights<Taps>(p);

  // Few channels: each thread takes parts whose tiles stay in its L2, and the weights are read for each.
  // Many: the threads share as many tiles as a buffer in L3 holds, and the weights are read once.
  constexpr int64_t kPart = 192 * 1024, kShared = 4 * 1024 * 1024, kWeights = 512 * 1024;  // floats
  const int64_t tile = kPoints * (p.Ci + p.Co);
  if (p.Ci * p.Co * kPoints <= kWeights) {
    const Parts parts(p, kOut<Taps>, max64(2 * MR, kPart / tile));
    parallel_for(parts.count(), 1, [&](int64_t u0, int64_t u1) {
      for (int64_t u = u0; u < u1; ++u) {
        const Part part = parts[u];
        const Inputs v = inputs(p, part.tiles());
        const Products m = products(weights, part.tiles());
        load_part<Taps>(p, part, v, 0);
        for (int64_t point = 0; point < kPoints; ++point)
          for (int64_t o = 0; o < weights.slivers; ++o)
            multiply_point(weights, v, m, part.tiles(), p.Co, point, o);
        finish_part<Taps>(p, part, m, 0);
      }
    });
    return true;
  }
  const int64_t most = max64(4 * MR, kShared / tile);
  const Parts parts(p, kOut<Taps>, MR);
  int64_t* const first = scratch<int64_t>(6, parts.count() + 1);
  for (int64_t begin = 0; begin < parts.count();) {
    int64_t end = begin, tiles = 0;
    for (; end < parts.count() && (end == begin || tiles + parts[end].tiles() <= most); ++end)
      first[end] = tiles, tiles += parts[end].tiles();
    const Inputs v = inputs(p, tiles);
    const Products m = products(weights, tiles);
    parallel_for(end - begin, 1, [&](int64_t u0, int64_t u1) {
      for (int64_t u = begin + u0; u < begin + u1; ++u) load_part<Taps>(p, parts[u], v, first[u]);
    });
    parallel_for(kPoints * weights.slivers, 1, [&](int64_t u0, int64_t u1) {
      for (int64_t u = u0; u < u1; ++u)
        multiply_point(weights, v, m, tiles, p.Co, u / weights.slivers, u % weights.slivers);
    });
    parallel_for(end - begin, 1, [&](int64_t u0, int64_t u1) {
      for (int64_t u = begin + u0; u < begin + u1; ++u) finish_part<Taps>(p, parts[u], m, first[u]);
    });
    begin = end;
  }
  return true;
}

}  // namespace

template <>
bool winograd<double>(const Pass<double>&) {
  return false;
}

template <>
bool winograd<float>(const Pass<float>& p) {
  if (p.d.taps != 1 || p.d.in != 1 || p.d.out != 1 || p.d.stride != 1) return false;
  if (p.h.stride != 1 || p.w.stride != 1 || p.h.dil != 1 || p.w.dil != 1 || p.h.taps != p.w.taps)
    return false;
  return p.h.taps == 3 ? run<3>(p) : p.h.taps == 5 ? run<5>(p) : false;
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
