// The weight gradient of 3x3 kernels of stride 1 by Winograd's minimal filtering: for each tile of 4x4 output
// gradients and its 6x6 inputs, 36 products a pair of channels instead of 144,
//
//   dw = A' [ sum over tiles (G g G') . (B' d B) ] A        g 4x4 gradients, d 6x6 inputs, dw 3x3, ' the
//   transpose
//
// with the points and the inputs' transform of conv_winograd.cpp. At each of the points the sum is a matrix
// product (Ci x tiles)(tiles x Co), so what is transformed back is as small as the weights.
//
// Tiles go in chunks that depend on the shape alone, summed in order; the points are divided among the
// threads.
//
// Workspace slots: 0 and 1 of the GEMM, 2 the sums, 5 transformed inputs, 7 transformed gradients (all three
// the calling thread's), 3 and 4 windows.
#include "cpu/winograd.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

using F = Vec<float>;
constexpr int L = kLanes<float>, NR = Tile<float>::NR;

// Transformed tiles: [point][sliver of W channels][tile][W].
struct Tiles {
  float* p;
  int64_t width, count, step;  // W, tiles a sliver holds, from point to point
  float* at(int64_t point, int64_t channel, int64_t tile) const {
    return p + point * step + (channel / width * count + tile) * width + channel % width;
  }
};

// One point's operands for the GEMM, at most KC tiles deep.
struct InputColumns {  // channels as rows
  const float* p;
  int64_t ld;
  void operator()(float* dst, int64_t c, int64_t m, int64_t k, int64_t kc) const {
    pack_lines<float, Tile<float>::MR>(dst, p + c + k * ld, m, kc, 1, ld);
  }
};
struct GradientColumns {
  static constexpr bool kPacked = true;
  Tiles tiles;
  int64_t point;
  const float* panel(int64_t o, int64_t, int64_t) const { return tiles.at(point, o, 0); }
};

template <int Taps>
bool run(const ConvArgs& p) {
  constexpr int Out = kOut<Taps>;
  const int64_t C = p.C / p.groups, O = p.O / p.groups, H = p.result[1], W = p.result[2];
  const WinogradCost<Taps> cost = {p.N, H, W, C, O};
  const int64_t th = ceil_div(H, Out), tw = ceil_div(W, Out), tiles = cost.tiles();
  if (!cost.pays(static_cast<double>(tiles) *
                 static_cast<double>(round_up(C, Tile<float>::MR / 2) * round_up(O, NR))))
    return false;
  const int64_t Cp = round_up(C, L), Op = round_up(O, NR);

  // Chunks whose transformed tiles stay in L3, in rows of tiles; deep enough to pay for passing over the
  // sums.
  constexpr int64_t kChunk = 2 * 1024 * 1024, kLeast = 64;
  const int64_t most = min64(Tile<float>::KC, max64(kLeast, kChunk / (kPoints * (Cp + Op))));
  const int64_t cols = min64(tw, most), pieces = ceil_div(tw, cols);  // a row of tiles in pieces
  const int64_t lines = p.N * th * pieces, chunk = max64(1, most / cols);
  const int64_t depth = min64(tiles, chunk * cols);
  const int64_t sum_step = C * Op + L;  // a line more, so that the points lie in different sets of the caches
  float* const sums = scratch<float>(2, kPoints * sum_step);
  const Tiles x = {scratch<float>(5, kPoints * (depth * Cp + L)), Cp, depth, depth * Cp + L};
  const Tiles dy = {scratch<float>(7, kPoints * (depth * Op + L)), NR, depth, depth * Op + L};

  for (int64_t g = 0; g < p.groups; ++g) {
    auto volume = [&](const void* data, const int64_t (&size)[3], int64_t n, const int64_t (&s)[5]) {
      return Volume<float>{static_cast<const float*>(data) + g * n * s[1],
                           size[0],
                           size[1],
                           size[2],
                           n,
                           s[2],
                           s[3],
                           s[4],
                           s[1]};
    };
    const Volume<float> in = volume(p.x, p.size, C, p.xs), out = volume(p.y, p.result, O, p.ys);
    const Volume<float> gate = p.act == Act::none ? out : volume(p.out, p.result, O, p.os);
    for (int64_t line = 0; line < lines; line += chunk) {
      const int64_t here = min64(chunk, lines - line);
      auto tiles_before = [&](int64_t l) {  // of a line in the chunk
        const int64_t rows = (line + l) / pieces - line / pieces, piece = (line + l) % pieces;
        return rows * tw + piece * cols - line % pieces * cols;
      };
      const int64_t count = tiles_before(here);
      parallel_for(here, 1, [&](int64_t l0, int64_t l1) {
        for (int64_t l = l0; l < l1; ++l) {
          const int64_t row = (line + l) / pieces, j0 = (line + l) % pieces * cols, j1 = min64(tw, j0 + cols);
          const int64_t n = row / th, i = row % th * Out, first = tiles_before(l);
          Volume<float> a = in, b = out, c = gate;
          a.p += n * p.xs[0], b.p += n * p.ys[0];
          if (p.act != Act::none) c.p += n * p.os[0];
          const Box box = {0, 1, i, i + Out, j0 * Out, j1 * Out};
          const Box read = {
              0, 1, i - p.pad[1], i - p.pad[1] + kIn, box.c0 - p.pad[2], box.c1 - p.pad[2] + Taps - 1};
          const Window<float> xw = window(a, 1, 0, read, Cp, 3);
          for (int64_t t = 0; t < j1 - j0; ++t)
            transform_tile<kIn>(xw, xw.p + t * Out * xw.pix, Cp, x.step, transform_input,
                                [&](int64_t c) { return x.at(0, c, first + t); });
          const Window<float> gw = gradient_window(b, c, p.act, 1, 0, 0, box, Op, 3);
          for (int64_t t = 0; t < j1 - j0; ++t)
            transform_tile<Out>(
                gw, gw.p + t * Out * gw.pix, Op, dy.step,
                [](const F(&g)[Out], F(&u)[kIn]) { transform_kernel(g, u); },
                [&](int64_t o) { return dy.at(0, o, first + t); });
        }
      });
      parallel_for(kPoints, 1, [&](int64_t p0, int64_t p1) {
        for (int64_t point = p0; point < p1; ++point)
          gemm_block<float>(0, C, 0, Op, count, InputColumns{x.at(point, 0, 0), Cp},
                            GradientColumns{dy, point}, sums + point * sum_step, Op, line > 0, NoEpilogue{});
      });
    }
    const int64_t columns = ceil_div(O, L), some = min64(C, 28), parts = ceil_div(C, some);
    parallel_for(columns * parts, max64(1, kGrain / (some * kPoints * L)), [&](int64_t v0, int64_t v1) {
      float* const taps = scratch<float>(3, Taps * Taps * some * L);
      for (int64_t v = v0; v < v1; ++v) {
        const int64_t o = v / parts * L, c0 = v % parts * some, channels = min64(some, C - c0);
        for (int64_t c = 0; c < channels; ++c) {
          const float* const m = sums + (c0 + c) * Op + o;
          F half[Taps][kIn];
          for (int j = 0; j < kIn; ++j) {
            F column[kIn], y[Taps];
            for (int i = 0; i < kIn; ++i) column[i] = load(m + (i * kIn + j) * sum_step);
            transform_output(column, y);
            for (int i = 0; i < Taps; ++i) half[i][j] = y[i];
          }
          for (int i = 0; i < Taps; ++i) {
            F y[Taps];
            transform_output(half[i], y);
            for (int j = 0; j < Taps; ++j) store(taps + ((i * Taps + j) * some + c) * L, y[j]);
          }
        }
        add_weights<float>(p, g * O + o, min64(L, O - o), c0, channels,
                           [&](int64_t tap, int64_t c) { return load(taps + (tap * some + c) * L); });
      }
    });
  }
  return true;
}

}  // namespace

template <>
bool winograd_weight<double>(const ConvArgs&) {
  return false;
}

template <>
bool winograd_weight<float>(const ConvArgs& p) {
  if (p.kernel[0] != 1 || p.size[0] != 1 || p.result[0] != 1 || p.kernel[1] != p.kernel[2]) return false;
  for (int i = 0; i < 3; ++i)
    if (p.stride[i] != 1 || p.dil[i] != 1) return false;
  return p.kernel[1] == 3 ? run<3>(p) : p.kernel[1] == 5 ? run<5>(p) : false;
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
