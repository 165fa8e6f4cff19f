// Convolution with respect to its weights: dw[k][o] = sum over pixels x[pixel + offset k] dy[pixel][o], k
// counting the taps times input channels of a group. A tile of MR k's x NR output channels is held in
// registers over a block of pixels; both operands are read where they lie.
//
// Blocks of pixels go in order into chunks, one partial result each, which are summed in index order at the
// end. Blocks and chunks depend on the shape alone, so the bits do not depend on the threads. The bias
// gradient is one more row.
//
// Workspace slots: 2 the partial results (the calling thread's), 3 the window of x, 4 and 5 of dy, 6 offsets.
#include "cpu/conv.h"
#include "kernels/conv.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T>
struct WeightTile {
  Window<T> x, dy;  // at the first output pixel; steps between output pixels
  int64_t images, planes, rows, cols;
  const int64_t* off;
  T* out;  // partial results, `ld` from row to row
  int64_t ld;
  bool fresh;  // overwrite, do not add to them
};

// Pixels that one register sums up before it is added to the partial result: rounding errors grow with the
// run, not with the block.
constexpr int64_t kRun = 512;

// Dense: x is one element a row of the tile. Depthwise: a vector of channels.
template <class T, int M, int V, bool Dense>
void weight_tile(const WeightTile<T>& t) {
  constexpr int L = kLanes<T>;
  int64_t off[M];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) off[i] = t.off[i];
  const int64_t all = t.images * t.planes * t.rows, run = max64(1, kRun / t.cols);
  bool fresh = t.fresh;
  for (int64_t i = 0, n = 0, z = 0, r = 0; i < all; fresh = false) {
    Vec<T> acc[M][V];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[m][v] = Vec<T>{};
    for (const int64_t end = min64(all, i + run); i < end; ++i) {
      const T* x = t.x.p + n * t.x.image + z * t.x.plane + r * t.x.row;
      const T* dy = t.dy.p + n * t.dy.image + z * t.dy.plane + r * t.dy.row;
      if (++r == t.rows) {
        r = 0;
        if (++z == t.planes) z = 0, ++n;
      }
      for (int64_t q = 0; q < t.cols; ++q, x += t.x.pix, dy += t.dy.pix) {
        Vec<T> g[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) g[v] = load(dy + v * L);
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) {
          Vec<T> a;
          if constexpr (Dense)
            a = splat(x[off[m]]);
          else
            a = load(x + off[m]);
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) acc[m][v] = fma(a, g[v], acc[m][v]);
        }
      }
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        T* p = t.out + m * t.ld + v * L;
        store(p, fresh ? acc[m][v] : load(p) + acc[m][v]);
      }
  }
}

template <class T, int M>
DLCORE_INLINE void run_weight(int64_t m, bool dense, bool wide, const WeightTile<T>& t) {
  if (m == M) {
    if (!dense)
      weight_tile<T, M, 1, false>(t);
    else if (wide)
      weight_tile<T, M, 2, true>(t);
    else
      weight_tile<T, M, 1, true>(t);
    return;
  }
  if constexpr (M > 1) run_weight<T, M - 1>(m, dense, wide, t);
}

// out[0..n) += sums of dy's columns, n a multiple of the vector; in runs, so that rounding errors stay small.
template <class T>
void add_columns(T* out, int64_t n, const WeightTile<T>& t) {
  constexpr int64_t L = kLanes<T>, kShort = 64;
  const int64_t run = min64(kShort, t.cols), rows = max64(1, kShort / max64(1, t.cols));
  for (int64_t v = 0; v < n; v += L) {
    Vec<T> total = {};
    const int64_t all = t.images * t.planes * t.rows;
    for (int64_t r = 0; r < all; r += rows)
      for (int64_t j = 0; j < t.cols; j += run) {
        Vec<T> s[4] = {};
        for (int64_t i = r; i < min64(all, r + rows); ++i) {
          const T* dy = t.dy.p + i / t.rows / t.planes * t.dy.image + i / t.rows % t.planes * t.dy.plane +
                        i % t.rows * t.dy.row + j * t.dy.pix + v;
          const int64_t cols = min64(run, t.cols - j);
          int64_t q = 0;
          for (; q + 4 <= cols; q += 4)
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) s[k] += load(dy + (q + k) * t.dy.pix);
          for (; q < cols; ++q) s[0] += load(dy + q * t.dy.pix);
        }
        total += (s[0] + s[1]) + (s[2] + s[3]);
      }
    store(out + v, load(out + v) + total);
  }
}

// x seen as a matrix for the GEMM: a line is a channel and a tap, k counts the outputs of all images. The
// output's gradient is the case of one tap.
template <class T>
struct Lines {
  const T* p;
  const T* gate;  // the forward's result, with an activation
  Act act;
  int64_t s[5], gate_s[5];
  int64_t size[3], result[3], kernel[3], stride[3], pad[3], dil[3];
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }

  void fill(T* dst, int64_t line, int64_t k, int64_t count) const {
    const int64_t c = line / taps(), tap = line % taps(), Q = result[2];
    const int64_t at[3] = {tap / kernel[2] / kernel[1] * dil[0] - pad[0],
                           tap / kernel[2] % kernel[1] * dil[1] - pad[1], tap % kernel[2] * dil[2] - pad[2]};
    // Output q reads column q * stride + at, inside for lo <= q < hi.
    const int64_t lo = at[2] >= 0 ? 0 : ceil_div(-at[2], stride[2]);
    const int64_t hi = at[2] < size[2] ? ceil_div(size[2] - at[2], stride[2]) : 0;
    while (count > 0) {
      const int64_t q = k % Q, i = k / Q % result[1], z = k / Q / result[1] % result[0],
                    n = k / Q / result[1] / result[0];
      const int64_t m = min64(count, Q - q), d = z * stride[0] + at[0], r = i * stride[1] + at[1];
      const bool outside = d < 0 || d >= size[0] || r < 0 || r >= size[1];
      const int64_t a = outside ? m : max64(0, min64(m, lo - q)),
                    b = outside ? m : max64(a, min64(m, hi - q));
      const int64_t column = q * stride[2] + at[2], step = stride[2] * s[4];
      const T* src = p + n * s[0] + c * s[1] + d * s[2] + r * s[3] + column * s[4];
      for (int64_t j = 0; j < a; ++j) dst[j] = 0;
      for (int64_t j = b; j < m; ++j) dst[j] = 0;
      if (act != Act::none) {
        const T* o =
            gate + n * gate_s[0] + c * gate_s[1] + d * gate_s[2] + r * gate_s[3] + column * gate_s[4];
        for (int64_t j = a; j < b; ++j) {
          const Vec<T> v = gated<T>(act, splat(src[j * step]), splat(o[j * stride[2] * gate_s[4]]));
          dst[j] = v[0];
        }
      } else if (step == 1) {
        for (int64_t j = a; j < b; ++j) dst[j] = src[j];
      } else {
        for (int64_t j = a; j < b; ++j) dst[j] = src[j * step];
      }
      dst += m, k += m, count -= m;
    }
  }

  template <int W>
  void pack(T* dst, int64_t line, int64_t count, int64_t k, int64_t kc) const {
    const bool plain = act == Act::none && taps() == 1 && size[0] == 1 && size[1] == 1 && stride[2] == 1 &&
                       pad[2] == 0 && size[2] == result[2];
    T* const rows = plain ? nullptr : scratch<T>(3, W * kc);
    for (int64_t i = 0; i < count; i += W, dst += W * kc) {
      const int64_t w = min64(W, count - i);
      if (plain) {  // runs of pixels, an image each
        for (int64_t j = 0; j < kc;) {
          const int64_t q = (k + j) % size[2], m = min64(kc - j, size[2] - q);
          pack_lines<T, W>(dst + j * W, p + (k + j) / size[2] * s[0] + (line + i) * s[1] + q * s[4], w, m,
                           s[1], s[4]);
          j += m;
        }
        continue;
      }
      for (int64_t j = 0; j < w; ++j) fill(rows + j * kc, line + i + j, k, kc);
      pack_lines<T, W>(dst, rows, w, kc, kc, 1);
    }
  }
};
template <class T>
struct LinesAsRows {
  Lines<T> x;
  void operator()(T* dst, int64_t i, int64_t m, int64_t k, int64_t kc) const {
    x.template pack<Tile<T>::MR>(dst, i, m, k, kc);
  }
};
template <class T>
struct LinesAsColumns {
  Lines<T> x;
  void operator()(T* dst, int64_t k, int64_t kc, int64_t j, int64_t n) const {
    x.template pack<Tile<T>::NR>(dst, j, n, k, kc);
  }
};

// dw as a product of two matrices, straight into its place: where there are many weights and few pixels, so
// that partial results would cost more than they save, and for 1x1 kernels.
template <class T>
bool weight_by_gemm(const ConvArgs& p) {
  const int64_t pixels = p.N * p.result[0] * p.result[1] * p.result[2];
  const int64_t C = p.C / p.groups, O = p.O / p.groups;
  Lines<T> x{static_cast<const T*>(p.x), nullptr, Act::none, {}, {}, {}, {}, {}, {}, {}, {}};
  for (int i = 0; i < 5; ++i) x.s[i] = p.xs[i];
  for (int i = 0; i < 3; ++i) {
    x.size[i] = p.size[i], x.result[i] = p.result[i], x.kernel[i] = p.kernel[i];
    x.stride[i] = p.stride[i], x.pad[i] = p.pad[i], x.dil[i] = p.dil[i];
  }
  Lines<T> dy{
      static_cast<const T*>(p.y), static_cast<const T*>(p.out), p.act, {}, {}, {}, {}, {}, {}, {}, {}};
  for (int i = 0; i < 5; ++i) dy.s[i] = p.ys[i], dy.gate_s[i] = p.os[i];
  for (int i = 0; i < 3; ++i) {
    dy.size[i] = dy.result[i] = p.result[i], dy.kernel[i] = dy.stride[i] = dy.dil[i] = 1;
    dy.pad[i] = 0;
  }
  const int64_t taps = x.taps();
  if (C < 32 || O < 32) return false;
  if (taps > 1 && (p.xs[4] != 1 || pixels > Tile<T>::KC)) return false;
  const bool by_rows =
      p.ws[1] == taps &&
      (taps == 1 || (p.ws[4] == 1 && p.ws[3] == p.kernel[2] && p.ws[2] == p.kernel[1] * p.kernel[2]));
  if (!by_rows && !(taps == 1 && p.ws[0] == 1)) return false;
  const int64_t x_group = C * p.xs[1], y_group = O * p.ys[1], out_group = O * p.os[1];
  T* w = static_cast<T*>(p.w);
  for (int64_t g = 0; g < p.groups; ++g, w += O * p.ws[0]) {
    if (by_rows)
      gemm(O, C * taps, pixels, LinesAsRows<T>{dy}, LinesAsColumns<T>{x}, w, p.ws[0], true, NoEpilogue{});
    else
      gemm(C, O, pixels, LinesAsRows<T>{x}, LinesAsColumns<T>{dy}, w, p.ws[1], true, NoEpilogue{});
    x.p += x_group, dy.p += y_group;
    if (dy.gate) dy.gate += out_group;
  }
  return true;
}

}  // namespace

template <class T>
void conv_backward_weight(const ConvArgs& a) {
  constexpr int L = kLanes<T>, MR = Tile<T>::MR, NR = Tile<T>::NR;
  const ConvArgs p = simplify<T>(a, true);
  const int64_t Z = p.result[0], P = p.result[1], Q = p.result[2];
  if (p.N * Z * P * Q * p.O == 0) return;
  const int64_t Cg = p.C / p.groups, Og = p.O / p.groups, taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
  const bool depthwise = Cg == 1 && Og == 1 && p.groups > 1;
  if (depthwise && p.xs[4] == 1 && p.xs[1] != 1 && p.ys[1] != 1 && long_rows<T>(Q))
    return depthwise_planes_weight<T>(p);
  // Groups that are looped over, and their channels; a few planes at a time where they must be transposed.
  const int64_t lump = p.xs[1] == 1 ? p.C : min64(p.C, 4 * L);
  const int64_t G = depthwise ? ceil_div(p.C, lump) : p.groups;
  const int64_t Ci = depthwise ? lump : Cg, Co = depthwise ? lump : Og;
  const bool multiplied = (p.winograd && winograd_weight<T>(p)) || weight_by_gemm<T>(p);
  if (multiplied && !p.bias) return;
  const int64_t K = multiplied ? 0 : depthwise ? taps : taps * Cg;
  const int64_t wide = round_up(Co, L);
  const int64_t x_cp = depthwise ? wide : Ci;
  const int64_t rows = K + 1;  // the last one: the bias gradient

  // Blocks of pixels, both of whose windows stay in L2.
  constexpr int64_t kBlock = 32768;
  const int64_t pixel = max64(p.stride[2] * x_cp, wide);
  const int64_t most = min64(kRun, max64(64, kBlock / max64(1, pixel)));
  const int64_t bj = ceil_div(Q, ceil_div(Q, most));
  const int64_t dense = p.stride[0] * p.stride[1] * p.stride[2] * x_cp;
  const int64_t lines = max64(1, kBlock / max64(1, bj * max64(pixel, dense)));
  const int64_t bi = min64(P, lines), bis = ceil_div(P, bi), bjs = ceil_div(Q, bj);
  // Small planes, then small images share a block, so that adding a tile to its partial result does not
  // outweigh computing it.
  const int64_t bz = bis * bjs == 1 ? min64(Z, max64(1, 256 / (P * Q))) : 1, bzs = ceil_div(Z, bz);
  const int64_t bn = bis * bjs * bzs == 1 ? min64(p.N, max64(1, 256 / (Z * P * Q))) : 1;
  const int64_t blocks = ceil_div(p.N, bn) * bzs * bis * bjs;

  // Chunks of blocks, as long as their partial results are few; beyond that the tiles of a chunk are divided,
  // which changes no sum and so may depend on the threads.
  constexpr int64_t kUnits = 32;
  const int64_t partial = rows * wide;
  const int64_t chunks = max64(1, min64(min64(blocks, kUnits), (1 << 20) / max64(1, G * partial)));
  const int64_t tiles = max64(1, ceil_div(K, MR));
  const int64_t shares = min64(tiles, ceil_div(num_threads() == 1 ? 1 : 2 * num_threads(), chunks * G));
  T* const sums = scratch<T>(2, chunks * G * partial);

  parallel_for(chunks * G * shares, 1, [&](int64_t u0, int64_t u1) {
    int64_t* const off = scratch<int64_t>(6, K + 1);
    for (int64_t u = u0; u < u1; ++u) {
      const int64_t chunk = u / (G * shares), g = u / shares % G, share = u % shares;
      const int64_t t0 = part_begin(tiles, share, shares), t1 = part_begin(tiles, share + 1, shares);
      T* const out = sums + (chunk * G + g) * partial;
      if (share == 0) __builtin_memset(out + K * wide, 0, wide * sizeof(T));
      const int64_t first = part_begin(blocks, chunk, chunks);
      for (int64_t b = first; b < part_begin(blocks, chunk + 1, chunks); ++b) {
        const int64_t n = b / bjs / bis / bzs * bn, z0 = b / bjs / bis % bzs * bz;
        const int64_t i0 = b / bjs % bis * bi, j0 = b % bjs * bj;
        const Box box = {z0, min64(Z, z0 + bz), i0, min64(P, i0 + bi), j0, min64(Q, j0 + bj)};
        const int64_t images = min64(bn, p.N - n);
        auto reach = [&](int axis, int64_t* first, int64_t* past) {  // outputs to the inputs that they read
          *first = *first * p.stride[axis] - p.pad[axis];
          *past = (*past - 1) * p.stride[axis] - p.pad[axis] + (p.kernel[axis] - 1) * p.dil[axis] + 1;
        };
        Box read = box;
        reach(0, &read.d0, &read.d1), reach(1, &read.r0, &read.r1), reach(2, &read.c0, &read.c1);
        auto volume = [&](const void* data, const int64_t (&size)[3], int64_t C, const int64_t (&s)[5]) {
          const int64_t here = depthwise ? min64(C, p.C - g * C) : C;
          return Volume<T>{static_cast<const T*>(data) + n * s[0] + g * C * s[1],
                           size[0],
                           size[1],
                           size[2],
                           here,
                           s[2],
                           s[3],
                           s[4],
                           s[1]};
        };
        const Volume<T> x = volume(p.x, p.size, Ci, p.xs), dy = volume(p.y, p.result, Co, p.ys);
        const Volume<T> gate = p.act == Act::none ? dy : volume(p.out, p.result, Co, p.os);
        const Window<T> xw = K == 0 ? Window<T>{} : window(x, images, p.xs[0], read, x_cp, 3);
        const Window<T> gw = gradient_window(dy, gate, p.act, images, p.ys[0], p.os[0], box, wide, 4);
        int64_t k = 0;
        for (int64_t d = 0; d < (K == 0 ? 0 : p.kernel[0]); ++d)
          for (int64_t r = 0; r < p.kernel[1]; ++r)
            for (int64_t s = 0; s < p.kernel[2]; ++s)
              for (int64_t c = 0; c < (depthwise ? 1 : Ci); ++c)
                off[k++] = d * p.dil[0] * xw.plane + r * p.dil[1] * xw.row + s * p.dil[2] * xw.pix + c;
        WeightTile<T> t{{xw.p, xw.image, p.stride[0] * xw.plane, p.stride[1] * xw.row, p.stride[2] * xw.pix},
                        gw,
                        images,
                        box.d1 - box.d0,
                        box.r1 - box.r0,
                        box.c1 - box.c0,
                        nullptr,
                        nullptr,
                        wide,
                        b == first};
        for (int64_t o = 0; o < wide; o += depthwise ? L : NR) {
          t.dy.p = gw.p + o;
          if (depthwise) t.x.p = xw.p + o;
          for (int64_t tile = t0; tile < t1; ++tile) {
            const int64_t kt = part_begin(K, tile, tiles), m = part_begin(K, tile + 1, tiles) - kt;
            t.off = off + kt, t.out = out + kt * wide + o;
            run_weight<T, MR>(m, !depthwise, wide - o > L, t);
          }
        }
        t.dy.p = gw.p;
        if (share == 0 && p.bias) add_columns(out + K * wide, wide, t);
      }
    }
  });

  // dw += the chunks, in order; L output channels of some input channels at a time.
  const int64_t channels = K == 0 ? 0 : depthwise ? 1 : Ci, columns = ceil_div(Co, L);
  const int64_t some = max64(1, min64(channels, 256 / taps)), parts = max64(1, ceil_div(channels, some));
  parallel_for(G * columns * parts, max64(1, kGrain / max64(1, some * taps * L * chunks)),
               [&](int64_t v0, int64_t v1) {
                 for (int64_t v = v0; v < v1; ++v) {
                   const int64_t g = v / parts / columns, o = v / parts % columns * L, c0 = v % parts * some;
                   const int64_t n = min64(L, Co - o), first = g * Co + o;
                   auto total = [&](int64_t k) {
                     const T* s = sums + g * partial + k * wide + o;
                     Vec<T> x = load(s);
                     for (int64_t c = 1; c < chunks; ++c) x += load(s + c * G * partial);
                     return x;
                   };
                   if (channels > 0)
                     add_weights<T>(p, first, n, c0, min64(some, channels - c0),
                                    [&](int64_t tap, int64_t c) { return total(tap * channels + c0 + c); });
                   if (p.bias && c0 == 0) {
                     T lane[L];
                     store(lane, total(K));
                     for (int64_t i = 0; i < n; ++i) static_cast<T*>(p.bias)[first + i] += lane[i];
                   }
                 }
               });
}

DLCORE_INSTANTIATE_FLOATS(conv_backward_weight, ConvArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
