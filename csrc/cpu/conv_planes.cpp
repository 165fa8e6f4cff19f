// Convolutions of row-major planes that transpose nothing: the vector runs along the row, and what is
// computed are rows of the output's planes.
//
// A few planes in or out, as the first layer of a network and the last of a generator see an image: no
// pixel's channels would fill a vector. A tile of a few vectors of pixels times R output channels is held in
// registers; a tap reads consecutive elements of the window (conv_planes.h) and R weights by broadcast.
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
template <int R>
constexpr int kWide = R == kChannels    ? 3
                      : kVecBytes == 64 ? 6
                                        : 4;

template <class T>
struct ImageTile {
  const T* x;
  const int64_t* off;  // K input offsets
  const T* w;          // K rows of R weights
  int64_t K;
  const T* bias;  // R
  Act act;
  T* y;
  int64_t y_channel, channels;     // valid channels
  int64_t x_next, y_next, n_next;  // from vector to vector: along the row, or the next row
  int64_t n;                       // valid columns from the first vector on
};

template <class T, int R, int V>
void image_tile(const ImageTile<T>& t) {
  constexpr int L = kLanes<T>;
  constexpr int64_t kRun = 512;  // as in the dense tiles: rounding errors grow with the run, not with the sum
  Vec<T> acc[R][V], before[R][V];
  const T* w = t.w;
  for (int64_t k = 0;;) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[r][v] = Vec<T>{};
    const int64_t begin = k, end = min64(t.K, k + kRun);
    for (; k < end; ++k, w += R) {
      const T* x = t.x + t.off[k];
      Vec<T> xv[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) xv[v] = load(x + v * t.x_next);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec<T> wr = splat(w[r]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[r][v] = fma(xv[v], wr, acc[r][v]);
      }
    }
    if (begin > 0) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[r][v] += before[r][v];
    }
    if (k >= t.K) break;
    __builtin_memcpy(&before, &acc, sizeof before);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    if (r == t.channels) return;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      Vec<T> y = acc[r][v] + splat(t.bias[r]);
      if (t.act == Act::relu)
        y = relu(y);
      else if (t.act != Act::none)
        y = activate<T>(t.act, y);
      store_upto(t.y + r * t.y_channel + v * t.y_next, y, static_cast<int>(min64(L, t.n - v * t.n_next)));
    }
  }
}

template <class T, int R, int V = kWide<R>>
DLCORE_INLINE void run_image(int64_t vectors, const ImageTile<T>& t) {
  if (vectors == V) return image_tile<T, R, V>(t);
  if constexpr (V > 1) run_image<T, R, V - 1>(vectors, t);
}

template <class T, int R>
void image_rows(const Pass<T>& p) {
  constexpr int L = kLanes<T>;
  const int64_t step_h = p.h.step(), step_w = p.w.step(), K = p.Ci * p.taps();
  const Reach reach_h = p.h.reach(), reach_w = p.w.reach();
  const int64_t wide = ceil_div((p.w.out - 1) * step_w + reach_w.hi - reach_w.lo + 1, step_w);
  // Blocks of rows whose window stays in L2.
  const int64_t row = step_w * row_length<T>(wide), halo = reach_h.hi - reach_h.lo + 1;
  int64_t bi = min64(p.h.out, max64(4, (32768 / max64(1, p.Ci * row) - halo) / step_h));
  const int64_t threads = num_threads();
  if (threads > 1 && p.N * p.G * ceil_div(p.h.out, bi) < 4 * threads)
    bi = max64(1, min64(bi, ceil_div(p.h.out, ceil_div(4 * threads, p.N * p.G))));
  const int64_t bis = ceil_div(p.h.out, bi), high = (bi - 1) * step_h + halo;

  // [group][R channels][bias, K weights][R]
  const int64_t lumps = ceil_div(p.Co, R), lump = (K + 1) * R;
  int64_t* const off = scratch<int64_t>(6, K);
  T* const packed = scratch<T>(2, p.G * lumps * lump);
  const Rows<T> shape = {nullptr, high * row, row, row / step_w};
  __builtin_memset(static_cast<void*>(packed), 0, static_cast<size_t>(p.G * lumps * lump) * sizeof(T));
  int64_t k = 0;
  for (int64_t c = 0; c < p.Ci; ++c)
    for_taps(p, 0, 0, 0, [&](int64_t, int64_t, int64_t, int64_t, int64_t eh, int64_t ew) {
      off[k++] = shape.at(c, eh - reach_h.lo, ew - reach_w.lo, step_w);
    });
  for (int64_t g = 0; g < p.G; ++g)
    for (int64_t o = 0; o < p.Co; ++o) {
      T* w = packed + (g * lumps + o / R) * lump + o % R;
      if (p.bias) *w = p.bias[g * p.Co + o];
      for (int64_t c = 0; c < p.Ci; ++c)
        for (int64_t r = 0; r < p.h.taps; ++r) {
          const T* const from = p.wt + g * p.w_g + o * p.w_co + c * p.w_ci + r * p.w_h;
          const T scale = p.scale ? p.scale[g * p.Co + o] : T(1);
          for (int64_t t = 0; t < p.w.taps; ++t) *(w += R) = from[t * p.w_w] * scale;
        }
    }

  // A group's channels are the window's planes.
  auto planes = [&](const Volume<T>& v, int64_t at) {
    return Volume<T>{v.p + at, p.Ci, v.H, v.W, 1, v.sc, v.sh, v.sw, 1};
  };
  // Several vectors of a row, or one of each of several rows.
  const int64_t vectors = ceil_div(p.w.out, L);
  parallel_for(p.N * p.G * bis, max64(1, 8 * kGrain / max64(1, bi * p.w.out * p.Co * K)),
               [&](int64_t u0, int64_t u1) {
                 for (int64_t u = u0; u < u1; ++u) {
                   const int64_t n = u / bis / p.G, g = u / bis % p.G, c0 = g * p.Ci;
                   const int64_t i0 = u % bis * bi, i1 = min64(p.h.out, i0 + bi);
                   const Volume<T> x = planes(p.in, n * p.in_n + c0 * p.in.sc);
                   const Volume<T> gate = planes(p.gate, n * p.gate_n + c0 * p.gate.sc);
                   const Box box = {
                       0, p.Ci, i0 * step_h + reach_h.lo, (i1 - 1) * step_h + reach_h.hi + 1, reach_w.lo, 0};
                   const Rows<T> in = rows_of(x, gate, p.gate_act, box, step_w, wide, high, 3);
                   const int64_t rows = vectors == 1 ? i1 - i0 : 1, count = max64(rows, vectors);
                   const int64_t tiles = ceil_div(count, kWide<R>);
                   ImageTile<T> t;
                   t.off = off, t.K = K, t.act = p.act, t.y_channel = p.out_sc;
                   t.x_next = vectors == 1 ? step_h * in.row : L;
                   t.y_next = vectors == 1 ? p.out_sh : L, t.n_next = vectors == 1 ? 0 : L;
                   for (int64_t i = i0; i < i1; i += rows)
                     for (int64_t o = 0; o < lumps; ++o) {
                       t.bias = packed + (g * lumps + o) * lump, t.w = t.bias + R;
                       t.channels = min64(R, p.Co - o * R);
                       const T* const xr = in.p + (i - i0) * step_h * in.row;
                       T* const yr = p.out + n * p.out_n + (g * p.Co + o * R) * p.out_sc + i * p.out_sh;
                       for (int64_t q = 0; q < tiles; ++q) {
                         const int64_t v = part_begin(count, q, tiles);
                         t.x = xr + v * t.x_next, t.y = yr + v * t.y_next, t.n = p.w.out - v * t.n_next;
                         run_image<T, R>(part_begin(count, q + 1, tiles) - v, t);
                       }
                     }
                 }
               });
}

template <class T>
struct ChannelBias {
  const T *scale, *bias;  // a row's (optional)
  const T* add;           // to each element (optional)
  int64_t ld;
  Act act;
  DLCORE_INLINE Vec<T> operator()(Vec<T> x, int64_t row, int64_t col, int n) const {
    if (scale) x *= splat(scale[row]);
    if (bias) x += splat(bias[row]);
    if (add) x += load_upto(add + row * ld + col, n);
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
  const T* const packed = kept_weights(p, Packing::product, PackedRows<T>::size(p.Co, p.Ci), 2, [&](T* room) {
    prepack<T, Tile<T>::MR>(room, p.wt, p.Co, p.Ci, p.w_co, p.w_ci);
  });
  const PackedRows<T> weights = {packed, round_up(p.Co, Tile<T>::MR)};
  auto image = [&](int64_t n) {
    T* const y = p.out + n * p.out_n;
    const ChannelBias<T> finish = {p.scale, p.bias, p.adds ? y + p.add_at : nullptr, p.out_sc, p.act};
    gemm<T>(p.Co, p.w.out, p.Ci, weights, PackCols<T>{p.in.p + n * p.in_n, p.in.sc, 1}, y, p.out_sc, false,
            finish);
  };
  if (p.N < 2 * num_threads()) {  // the threads share each
    for (int64_t n = 0; n < p.N; ++n) image(n);
    return;
  }
  parallel_for(p.N, max64(1, 4 * kGrain / max64(1, p.Co * p.w.out * p.Ci)), [&](int64_t n0, int64_t n1) {
    for (int64_t n = n0; n < n1; ++n) image(n);
  });
}

// A few inputs, or so few outputs that they would leave most of a vector idle; between the two, pixels with
// unit channel stride win.
template <class T>
bool takes_image(const Pass<T>& p) {
  const bool few = p.Ci <= (p.G == 1 ? 8 : 16) || (p.G == 1 && p.Co <= 4 && 2 * p.Co <= kLanes<T>);
  return few && p.in.sw == 1 && p.out_sw == 1 && p.in.sc != 1 && p.out_sc != 1 && p.in.D == 1 &&
         p.d.out == 1 && p.d.taps == 1 && p.d.pad == 0 && p.h.phases() * p.w.phases() == 1 &&
         long_rows<T>(p.w.out);
}

template <class T>
void conv_image(const Pass<T>& p) {
  if (p.Co == 1)
    image_rows<T, 1>(p);
  else if (2 * p.Co <= kChannels)
    image_rows<T, kChannels / 2>(p);
  else
    image_rows<T, kChannels>(p);
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
