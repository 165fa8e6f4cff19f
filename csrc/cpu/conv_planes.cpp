// Convolutions of row-major planes that transpose nothing: the vector runs along the row, and what is
// computed are rows of the output's planes.
//
// A few planes, as the first layer of a network sees an image: no pixel's channels would fill a vector. A
// tile of a few vectors of pixels times R output channels is held in registers; a tap reads consecutive
// elements of the window (conv_planes.h) and R weights by broadcast.
//
// One tap: each image is a product, y (O, pixels) = W (O, C) x (C, pixels).
//
// Workspace slots: 0 and 1 the product's, 2 the packed weights and 6 the offsets of taps (the calling
// thread's), 3 the window.
#include "cpu/conv_planes.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// R x V sums, V vectors of pixels and a broadcast weight are the registers.
constexpr int kChannels = kVecBytes == 64 ? 8 : 4;
constexpr int kWide = 3;

template <class T>
struct ImageTile {
  const T* x;
  const int64_t* off;  // K input offsets
  const T* w;          // K rows of kChannels weights
  int64_t K;
  const T* bias;  // kChannels
  Act act;
  T* y;
  int64_t y_channel, channels, n;  // valid channels, valid columns
};

template <class T, int V>
void image_tile(const ImageTile<T>& t) {
  constexpr int L = kLanes<T>, R = kChannels;
  Vec<T> acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = Vec<T>{};
  const T* w = t.w;
  for (int64_t k = 0; k < t.K; ++k, w += R) {
    const T* x = t.x + t.off[k];
    Vec<T> xv[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) xv[v] = load(x + v * L);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> wr = splat(w[r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[r][v] = fma(xv[v], wr, acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    if (r == t.channels) return;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Vec<T> y = acc[r][v] + splat(t.bias[r]);
      if (t.act == Act::relu)
        y = relu(y);
      else if (t.act != Act::none)
        y = activate<T>(t.act, y);
      store_upto(t.y + r * t.y_channel + v * L, y, static_cast<int>(min64(L, t.n - v * L)));
    }
  }
}

template <class T, int V = kWide>
DLCORE_INLINE void run_image(int64_t vectors, const ImageTile<T>& t) {
  if (vectors == V) return image_tile<T, V>(t);
  if constexpr (V > 1) run_image<T, V - 1>(vectors, t);
}

template <class T>
struct ChannelBias {
  const T* bias;  // a row's (optional)
  Act act;
  DLCORE_INLINE Vec<T> operator()(Vec<T> x, int64_t row, int64_t, int) const {
    if (bias) x += splat(bias[row]);
    return act == Act::none ? x : activate<T>(act, x);
  }
};

}  // namespace

// Long rows, which leave few lanes of the last tile idle; shorter ones where a sliver of all input channels
// would not stay in L1.
template <class T>
bool takes_product(const Pass<T>& p) {
  constexpr int64_t NR = Tile<T>::NR;
  const Axis* const axes[] = {&p.d, &p.h, &p.w};
  for (const Axis* a : axes)
    if (a->taps != 1 || a->stride != 1 || a->pad != 0 || a->in != a->out) return false;
  const int64_t n = p.w.out;
  return p.G == 1 && p.d.out == 1 && p.h.out == 1 && p.in.sw == 1 && p.out_sw == 1 && p.in.sc != 1 &&
         p.out_sc != 1 && p.gate_act == Act::none &&
         (n >= 16 * NR || (p.Ci >= 2 * Tile<T>::KC && 8 * n >= 7 * round_up(n, NR)));
}

template <class T>
void conv_product(const Pass<T>& p) {
  T* const room = scratch<T>(2, PackedRows<T>::size(p.Co, p.Ci));
  const PackedRows<T> weights = prepack<T, Tile<T>::MR>(room, p.wt, p.Co, p.Ci, p.w_co, p.w_ci);
  auto image = [&](int64_t n) {
    gemm<T>(p.Co, p.w.out, p.Ci, weights, PackCols<T>{p.in.p + n * p.in_n, p.in.sc, 1}, p.out + n * p.out_n,
            p.out_sc, false, ChannelBias<T>{p.bias, p.act});
  };
  if (p.N < 2 * num_threads()) {  // the threads share each
    for (int64_t n = 0; n < p.N; ++n) image(n);
    return;
  }
  parallel_for(p.N, max64(1, 4 * kGrain / max64(1, p.Co * p.w.out * p.Ci)), [&](int64_t n0, int64_t n1) {
    for (int64_t n = n0; n < n1; ++n) image(n);
  });
}

// The sums are short enough for one run; beyond a few channels, pixels with unit channel stride win.
template <class T>
bool takes_image(const Pass<T>& p) {
  return p.G == 1 && p.Ci <= 4 && p.in.sw == 1 && p.out_sw == 1 && p.out_sc != 1 && p.in.D == 1 &&
         p.d.out == 1 && p.d.taps == 1 && p.d.pad == 0 && !p.h.backward && p.gate_act == Act::none &&
         p.Ci * p.taps() <= 512 && long_rows<T>(p.w.out);
}

template <class T>
void conv_image(const Pass<T>& p) {
  constexpr int L = kLanes<T>, R = kChannels;
  const int64_t step_h = p.h.step(), step_w = p.w.step(), K = p.Ci * p.taps();
  const Reach reach_h = p.h.reach(), reach_w = p.w.reach();
  const int64_t wide = ceil_div((p.w.out - 1) * step_w + reach_w.hi - reach_w.lo + 1, step_w);
  // Blocks of rows whose window stays in L2.
  const int64_t row = step_w * row_length<T>(wide), halo = reach_h.hi - reach_h.lo + 1;
  int64_t bi = min64(p.h.out, max64(4, (32768 / max64(1, p.Ci * row) - halo) / step_h));
  const int64_t threads = num_threads();
  if (threads > 1 && p.N * ceil_div(p.h.out, bi) < 4 * threads)
    bi = max64(1, min64(bi, ceil_div(p.h.out, ceil_div(4 * threads, p.N))));
  const int64_t bis = ceil_div(p.h.out, bi), high = (bi - 1) * step_h + halo;

  const int64_t groups = ceil_div(p.Co, R);
  int64_t* const off = scratch<int64_t>(6, K);
  T* const packed = scratch<T>(2, groups * (K + 1) * R);  // [group of R channels][bias, K weights][R]
  const Rows<T> shape = {nullptr, high * row, row, row / step_w};
  __builtin_memset(static_cast<void*>(packed), 0, static_cast<size_t>(groups * (K + 1) * R) * sizeof(T));
  for (int64_t o = 0; o < p.Co; ++o) {
    T* const w = packed + o / R * (K + 1) * R + o % R;
    if (p.bias) w[0] = p.bias[o];
    int64_t k = 0;
    for (int64_t c = 0; c < p.Ci; ++c)
      for (int64_t r = 0; r < p.h.taps; ++r)
        for (int64_t s = 0; s < p.w.taps; ++s, ++k) {
          off[k] = shape.at(c, r * p.h.dil, s * p.w.dil, step_w);
          w[(k + 1) * R] = p.wt[o * p.w_co + c * p.w_ci + r * p.w_h + s * p.w_w];
        }
  }

  // The channels are the window's planes.
  const Volume<T> image = {p.in.p, p.Ci, p.in.H, p.in.W, 1, p.in.sc, p.in.sh, p.in.sw, 1};
  const int64_t vectors = ceil_div(p.w.out, L), tiles = ceil_div(vectors, kWide);
  parallel_for(p.N * bis, max64(1, 8 * kGrain / max64(1, bi * p.w.out * p.Co * K)),
               [&](int64_t u0, int64_t u1) {
                 for (int64_t u = u0; u < u1; ++u) {
                   const int64_t n = u / bis, i0 = u % bis * bi, i1 = min64(p.h.out, i0 + bi);
                   Volume<T> x = image;
                   x.p += n * p.in_n;
                   const Box box = {
                       0, p.Ci, i0 * step_h + reach_h.lo, (i1 - 1) * step_h + reach_h.hi + 1, reach_w.lo, 0};
                   const Rows<T> in = rows_of(x, x, Act::none, box, step_w, wide, high, 3);
                   ImageTile<T> t;
                   t.off = off, t.K = K, t.act = p.act, t.y_channel = p.out_sc;
                   for (int64_t i = i0; i < i1; ++i)
                     for (int64_t g = 0; g < groups; ++g) {
                       t.bias = packed + g * (K + 1) * R, t.w = t.bias + R;
                       t.channels = min64(R, p.Co - g * R);
                       const T* const xr = in.p + (i - i0) * step_h * in.row;
                       T* const yr = p.out + n * p.out_n + g * R * p.out_sc + i * p.out_sh;
                       for (int64_t q = 0; q < tiles; ++q) {
                         const int64_t v = part_begin(vectors, q, tiles);
                         t.x = xr + v * L, t.y = yr + v * L, t.n = p.w.out - v * L;
                         run_image<T>(part_begin(vectors, q + 1, tiles) - v, t);
                       }
                     }
                 }
               });
}

template bool takes_product<float>(const Pass<float>&);
template bool takes_product<double>(const Pass<double>&);
template void conv_product<float>(const Pass<float>&);
template void conv_product<double>(const Pass<double>&);
template bool takes_image<float>(const Pass<float>&);
template bool takes_image<double>(const Pass<double>&);
template void conv_image<float>(const Pass<float>&);
template void conv_image<double>(const Pass<double>&);

}  // namespace DLCORE_ISA
}  // namespace dlcore
