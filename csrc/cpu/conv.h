// What the convolution kernels share. All of them compute in one layout, pixels x channels with unit channel
// stride: channels-last operands are read and written where they lie; others go through a window, a
// block-sized copy in the thread's workspace that also brings the zero padding, the transposition from NCHW
// and the activation's gradient. No im2col matrix exists anywhere: a tile of pixels reads its taps at
// constant offsets in the window (compare Dukhan, "The Indirect Convolution Algorithm", 2019; Georganas et
// al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures", SC 2018).
#pragma once

#include "cpu/gemm.h"
#include "cpu/vmath.h"
#include "kernels/conv.h"

namespace dlcore {
namespace DLCORE_ISA {

// ---- transposition in registers
// ---------------------------------------------------------------------------------------

template <int... J>
struct Seq {};
template <int N, int... J>
struct MakeSeq : MakeSeq<N - 1, N - 1, J...> {};
template <int... J>
struct MakeSeq<0, J...> {
  using type = Seq<J...>;
};

// Swaps the off-diagonal S x S blocks of a pair of rows.
template <int S, class V, int... J>
DLCORE_INLINE void swap_blocks(V& a, V& b, Seq<J...>) {
  constexpr int L = sizeof...(J);
  const V lo = __builtin_shufflevector(a, b, (J & S ? L + J - S : J)...);
  b = __builtin_shufflevector(a, b, (J & S ? L + J : J + S)...);
  a = lo;
}
template <class T, int S>
DLCORE_INLINE void transpose_step(Vec<T> (&v)[kLanes<T>]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i)
    if (!(i & S)) swap_blocks<S>(v[i], v[i | S], typename MakeSeq<kLanes<T>>::type{});
  if constexpr (2 * S < kLanes<T>) transpose_step<T, 2 * S>(v);
}

// dst[j * ds + i] = src[i * ss + j] for i < m, j < n.
template <class T>
void transpose(T* dst, int64_t ds, const T* src, int64_t ss, int64_t m, int64_t n) {
  constexpr int L = kLanes<T>;
  if (m < 4 || n < 4) {
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) dst[j * ds + i] = src[i * ss + j];
    return;
  }
  for (int64_t i0 = 0; i0 < m; i0 += L)
    for (int64_t j0 = 0; j0 < n; j0 += L) {
      const int mi = static_cast<int>(min64(L, m - i0)), nj = static_cast<int>(min64(L, n - j0));
      const T* s = src + i0 * ss + j0;
      T* d = dst + j0 * ds + i0;
      Vec<T> v[L];
      if (mi == L && nj == L) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = load(s + i * ss);
        transpose_step<T, 1>(v);
#pragma GCC unroll 16
        for (int j = 0; j < L; ++j) store(d + j * ds, v[j]);
      } else if (kVecBytes == 64) {  // masks make edges cheap
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
          v[i] = Vec<T>{};
          if (i < mi) v[i] = nj == L ? load(s + i * ss) : load_n(s + i * ss, nj);
        }
        transpose_step<T, 1>(v);
#pragma GCC unroll 16
        for (int j = 0; j < L; ++j) {
          if (j >= nj) continue;
          if (mi == L)
            store(d + j * ds, v[j]);
          else
            store_n(d + j * ds, v[j], mi);
        }
      } else {
        for (int j = 0; j < nj; ++j)
          for (int i = 0; i < mi; ++i) d[j * ds + i] = s[i * ss + j];
      }
    }
}

// ---- windows
// ----------------------------------------------------------------------------------------------------------

// One image: D x H x W pixels of C channels, any strides.
template <class T>
struct Volume {
  const T* p;
  int64_t D, H, W, C, sd, sh, sw, sc;
};

// A box of one or more images with unit channel stride.
template <class T>
struct Window {
  const T* p;
  int64_t image, plane, row, pix;  // steps to the next image, plane, row and pixel
};

// Planes [d0, d1), rows [r0, r1), columns [c0, c1) of an image; it may reach beyond.
struct Box {
  int64_t d0, d1, r0, r1, c0, c1;
};

// n pixels into dst (n, cp): channels beyond C become zeros.
template <class T>
inline void copy_pixels(T* dst, int64_t cp, const T* src, int64_t n, const Volume<T>& x) {
  if (x.sc == 1 || x.C == 1) {
    if ((x.sw == x.C || n == 1) && cp == x.C) {
      __builtin_memcpy(dst, src, n * cp * sizeof(T));
      return;
    }
    if (cp == 1) {
      for (int64_t j = 0; j < n; ++j) dst[j] = src[j * x.sw];
      return;
    }
    for (int64_t j = 0; j < n; ++j) {
      __builtin_memcpy(dst + j * cp, src + j * x.sw, x.C * sizeof(T));
      for (int64_t c = x.C; c < cp; ++c) dst[j * cp + c] = 0;
    }
    return;
  }
  if (x.sw == 1)
    transpose(dst, cp, src, x.sc, x.C, n);
  else
    for (int64_t j = 0; j < n; ++j)
      for (int64_t c = 0; c < x.C; ++c) dst[j * cp + c] = src[j * x.sw + c * x.sc];
  if (cp > x.C)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t c = x.C; c < cp; ++c) dst[j * cp + c] = 0;
}

// The box of x into dst (planes, rows, columns, cp), zeros outside x.
template <class T>
void fill_window(T* dst, int64_t cp, const Volume<T>& x, const Box& b) {
  const int64_t row = (b.c1 - b.c0) * cp, rows = b.r1 - b.r0;
  const int64_t first = max64(b.c0, 0), past = min64(b.c1, x.W);  // the columns inside
  auto zero = [](T* p, int64_t n) { __builtin_memset(p, 0, n * sizeof(T)); };
  for (int64_t d = b.d0; d < b.d1; ++d) {
    if (d < 0 || d >= x.D || first >= past) {
      zero(dst, rows * row);
      dst += rows * row;
      continue;
    }
    const T* const plane = x.p + d * x.sd;
    if (b.c0 == 0 && b.c1 == x.W && x.sh == x.W * x.sw && b.r0 >= 0 && b.r1 <= x.H) {
      copy_pixels(dst, cp, plane + b.r0 * x.sh, rows * x.W, x);
      dst += rows * row;
      continue;
    }
    for (int64_t r = b.r0; r < b.r1; ++r, dst += row) {
      if (r < 0 || r >= x.H) {
        zero(dst, row);
        continue;
      }
      zero(dst, (first - b.c0) * cp);
      copy_pixels(dst + (first - b.c0) * cp, cp, plane + r * x.sh + first * x.sw, past - first, x);
      zero(dst + (past - b.c0) * cp, (b.c1 - past) * cp);
    }
  }
}

// The box of `images` images, `step` apart: where it lies if it can be read there, else a copy in `slot` with
// cp >= C channels a pixel.
template <class T>
inline Window<T> window(const Volume<T>& x, int64_t images, int64_t step, const Box& b, int64_t cp, int slot,
                        bool must_copy = false) {
  const bool inside = b.d0 >= 0 && b.d1 <= x.D && b.r0 >= 0 && b.r1 <= x.H && b.c0 >= 0 && b.c1 <= x.W;
  if (inside && !must_copy && (x.sc == 1 || x.C == 1) && cp == x.C)
    return {x.p + b.d0 * x.sd + b.r0 * x.sh + b.c0 * x.sw, step, x.sd, x.sh, x.sw};
  const int64_t row = (b.c1 - b.c0) * cp, plane = (b.r1 - b.r0) * row, size = (b.d1 - b.d0) * plane;
  T* buffer = scratch<T>(slot, images * size);
  Volume<T> one = x;
  for (int64_t i = 0; i < images; ++i, one.p += step) fill_window(buffer + i * size, cp, one, b);
  return {buffer, size, plane, row, cp};
}

// dy times the activation's derivative, from the activation's output.
template <class T>
DLCORE_INLINE Vec<T> gated(Act act, Vec<T> dy, Vec<T> out) {
  switch (act) {
    case Act::relu:
      return out <= Vec<T>{} ? Vec<T>{} : dy;
    case Act::sigmoid:
      return dy * out * (splat(T(1)) - out);
    case Act::tanh:
      return dy * (splat(T(1)) - out * out);
    case Act::none:
      break;
  }
  return dy;
}

// A window of the gradient behind the activation; `out` is the forward's result, of dy's sizes. Slots `slot`,
// `slot`+1.
template <class T>
inline Window<T> gradient_window(const Volume<T>& dy, const Volume<T>& out, Act act, int64_t images,
                                 int64_t dy_step, int64_t out_step, const Box& b, int64_t cp, int slot,
                                 bool must_copy = false) {
  if (act == Act::none) return window(dy, images, dy_step, b, cp, slot, must_copy);
  const Window<T> g = window(dy, images, dy_step, b, cp, slot, true);
  const Window<T> o = window(out, images, out_step, b, cp, slot + 1);
  constexpr int L = kLanes<T>;
  auto run = [&](T* d, const T* y, int64_t n) {
    int64_t i = 0;
    for (; i + L <= n; i += L) store(d + i, gated<T>(act, load(d + i), load(y + i)));
    if (const int m = static_cast<int>(n - i))
      store_n(d + i, gated<T>(act, load_n(d + i, m), load_n(y + i, m)), m);
  };
  const int64_t planes = b.d1 - b.d0, rows = b.r1 - b.r0, cols = b.c1 - b.c0;
  for (int64_t i = 0; i < images * planes * rows; ++i) {
    const int64_t n = i / rows / planes, z = i / rows % planes, r = i % rows;
    T* d = const_cast<T*>(g.p) + n * g.image + z * g.plane + r * g.row;
    const T* y = o.p + n * o.image + z * o.plane + r * o.row;
    if (o.pix == cp)
      run(d, y, cols * cp);
    else
      for (int64_t c = 0; c < cols; ++c) run(d + c * cp, y + c * o.pix, cp);
  }
  return g;
}

// ---- geometry
// -----------------------------------------------------------------------------------------------------------

// Where the kernel covers the whole input, as in the first layer of a generator or a convolution that is a
// linear layer, channels and taps become one axis if they lie alike in x and w. Returns whether they did.
inline bool merge_taps(ConvArgs* p) {
  for (int i = 0; i < 3; ++i)
    if (p->kernel[i] != p->size[i] || p->pad[i] != 0 || p->result[i] != 1) return false;
  const int64_t length[4] = {p->C, p->size[0], p->size[1], p->size[2]};
  int order[4];  // of the axes, slowest first
  int count = 0;
  for (int i = 0; i < 4; ++i) {
    if (length[i] == 1) continue;
    int j = count++;
    for (; j > 0 && p->xs[order[j - 1] + 1] < p->xs[i + 1]; --j) order[j] = order[j - 1];
    order[j] = i;
  }
  if (p->groups != 1 || count == 0) return false;
  for (int k = 0; k + 1 < count; ++k) {
    const int a = order[k] + 1, b = order[k + 1] + 1;
    if (p->xs[a] != p->xs[b] * length[b - 1] || p->ws[a] != p->ws[b] * length[b - 1]) return false;
  }
  p->C = length[0] * length[1] * length[2] * length[3];
  p->xs[1] = p->xs[order[count - 1] + 1], p->ws[1] = p->ws[order[count - 1] + 1];
  for (int i = 0; i < 3; ++i) p->size[i] = p->kernel[i] = p->stride[i] = p->dil[i] = 1;
  p->xs[4] = p->xs[0], p->ys[4] = p->ys[0], p->os[4] = p->os[0];  // images as the pixels of a row
  p->result[2] = p->size[2] = p->N, p->N = 1;
  return true;
}

// The same convolution with fewer, longer axes: pixels of an unpadded 1x1 become one row; a tall and narrow
// output is seen lying, because tiles run along the columns. input_bias: there is a bias of x's channels.
// reads_x: x is only read, so that of an axis with one tap and a stride nothing is left but what is read.
template <class T>
inline ConvArgs simplify(ConvArgs p, bool reads_x, bool input_bias = false) {
  for (int i = 0; i < 3; ++i)
    if (reads_x && p.kernel[i] == 1 && p.pad[i] == 0 && p.stride[i] > 1 &&
        (p.result[i] - 1) * p.stride[i] < p.size[i])  // no padding behind is read
      p.xs[i + 2] *= p.stride[i], p.size[i] = p.result[i], p.stride[i] = 1;
  if (!input_bias) merge_taps(&p);
  bool pointwise = true;
  for (int i = 0; i < 3; ++i)
    pointwise =
        pointwise && p.kernel[i] == 1 && p.stride[i] == 1 && p.pad[i] == 0 && p.result[i] == p.size[i];
  if (pointwise) {
    int64_t& W = p.size[2];
    auto runs_on = [&](int axis) {  // does a step along `axis` lead behind the row?
      return p.xs[axis] == W * p.xs[4] && p.ys[axis] == W * p.ys[4] &&
             (p.out == nullptr || p.os[axis] == W * p.os[4]);
    };
    for (int i = 1; i >= 0; --i)
      if ((i == 1 || p.size[1] == 1) && p.size[i] != 1 && runs_on(i + 2)) W *= p.size[i], p.size[i] = 1;
    if (p.size[0] == 1 && p.size[1] == 1 && p.N != 1 && runs_on(0)) W *= p.N, p.N = 1;
    for (int i = 0; i < 3; ++i) p.result[i] = p.size[i];
  } else if (p.result[2] < Tile<T>::MR / 2 && p.result[1] > 2 * p.result[2]) {
    auto exchange = [](int64_t* a) {
      const int64_t t = a[0];
      a[0] = a[1], a[1] = t;
    };
    int64_t* const all[] = {p.size + 1, p.result + 1, p.kernel + 1, p.stride + 1, p.pad + 1,
                            p.dil + 1,  p.xs + 3,     p.ws + 3,     p.ys + 3,     p.os + 3};
    for (int64_t* a : all) exchange(a);
  }
  return p;
}

// How many of n things go to part t of `parts` near-equal parts: [n * t / parts, n * (t + 1) / parts).
DLCORE_INLINE int64_t part_begin(int64_t n, int64_t t, int64_t parts) { return n * t / parts; }

DLCORE_INLINE int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }

// ---- passes
// -----------------------------------------------------------------------------------------------------------

// Of an axis: the input offsets that its taps reach.
struct Reach {
  int64_t lo, hi;
};

// One spatial axis of a pass.
struct Axis {
  int64_t in, out, taps, stride, pad, dil;
  bool backward;
  int64_t phases() const { return backward ? stride : 1; }
  int64_t step() const { return backward ? 1 : stride; }
  // Does tap r reach phase f, and at which input offset? out = f + phases * i reads in = i * step + *e.
  bool tap(int64_t f, int64_t r, int64_t* e) const {
    const int64_t at = backward ? f + pad - r * dil : r * dil - pad;
    *e = backward ? at / stride : at;
    return !backward || at % stride == 0;
  }
  Reach reach() const {
    Reach r = {INT64_MAX, INT64_MIN};
    for (int64_t f = 0; f < phases(); ++f)
      for (int64_t i = 0; i < taps; ++i) {
        int64_t e;
        if (tap(f, i, &e)) r.lo = min64(r.lo, e), r.hi = max64(r.hi, e);
      }
    return r;
  }
};

template <class T>
struct Pass {
  Volume<T> in, gate;  // gate: the forward's result, where the input is a gradient behind `gate_act`
  T* out;
  int64_t out_sd, out_sh, out_sw, out_sc;
  int64_t N, in_n, gate_n, out_n;
  Axis d, h, w;
  int64_t G, Ci, Co;  // channels a group
  const T* wt;
  int64_t w_g, w_ci, w_co, w_d, w_h, w_w;
  int64_t taps() const { return d.taps * h.taps * w.taps; }
  const T* bias;
  Act act, gate_act;
  bool winograd;   // allowed
  Keeper* keep;    // of the weights (optional, forward passes)
  const T* scale;  // of the sums (optional)
  bool adds;       // what lies `add_at` elements behind out is added to it, before the activation
  int64_t add_at;
};

// Packed or transformed weights, n elements: made by make(room), unless they were kept from a call before.
// What is made depends on what the key says of the pass, and nothing else. `slot` of the workspace where they
// are not kept.
enum class Packing : int64_t { slivers, shared, product, winograd };
template <class T, class Make>
const T* kept_weights(const Pass<T>& p, Packing kind, int64_t n, int slot, const Make& make) {
  const auto bytes = static_cast<size_t>(n) * sizeof(T);
  bool ready = false;
  void* room = nullptr;
  if (p.keep) {
    const int64_t key[Keeper::kKey] = {static_cast<int64_t>(kind),
                                       sizeof(T),
                                       static_cast<int64_t>(reinterpret_cast<uintptr_t>(p.wt)),
                                       p.G,
                                       p.Ci,
                                       p.Co,
                                       p.d.taps,
                                       p.h.taps,
                                       p.w.taps,
                                       p.w_g,
                                       p.w_ci,
                                       p.w_co,
                                       p.w_d,
                                       p.w_h,
                                       p.w_w};
    room = p.keep->find(p.keep, key, bytes, &ready);
  }
  T* const to = room ? static_cast<T*>(room) : scratch<T>(slot, n);
  if (!ready) make(to);
  return to;
}

// Calls f(fd, fh, fw) for the phases of the output.
template <class T, class F>
DLCORE_INLINE void for_phases(const Pass<T>& p, const F& f) {
  for (int64_t fd = 0; fd < p.d.phases(); ++fd)
    for (int64_t fh = 0; fh < p.h.phases(); ++fh)
      for (int64_t fw = 0; fw < p.w.phases(); ++fw) f(fd, fh, fw);
}

// Calls f(d, r, s, plane, row, column offset) for the taps of a phase, in the order of the packed weights.
template <class T, class F>
DLCORE_INLINE void for_taps(const Pass<T>& p, int64_t fd, int64_t fh, int64_t fw, const F& f) {
  int64_t ed, eh, ew;
  for (int64_t d = 0; d < p.d.taps; ++d) {
    if (!p.d.tap(fd, d, &ed)) continue;
    for (int64_t r = 0; r < p.h.taps; ++r) {
      if (!p.h.tap(fh, r, &eh)) continue;
      for (int64_t s = 0; s < p.w.taps; ++s)
        if (p.w.tap(fw, s, &ew)) f(d, r, s, ed, eh, ew);
    }
  }
}

// In conv_winograd.cpp. False: nothing was done, the direct form is faster.
template <class T>
bool winograd(const Pass<T>& p);

// In conv_winograd_weight.cpp: adds to dw, not to the bias' gradient.
template <class T>
bool winograd_weight(const ConvArgs& p);

// Adds a block of dw: n <= L outputs from `first` on, `count` input channels from c0 on; get(tap, channel) is
// a vector of outputs. Where a row of dw is one run, as in (O,C,R,S), it is gathered by a transposition in
// registers. Workspace slot 4.
template <class T, class Get>
void add_weights(const ConvArgs& p, int64_t first, int64_t n, int64_t c0, int64_t count, const Get& get) {
  constexpr int L = kLanes<T>;
  const int64_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2], all = count * taps;
  T* const w = static_cast<T*>(p.w) + first * p.ws[0] + c0 * p.ws[1];
  if (p.C / p.groups * taps > 1 && p.ws[0] != 1 && p.ws[1] == taps && p.ws[4] == 1 &&
      p.ws[3] == p.kernel[2] && p.ws[2] == p.kernel[1] * p.kernel[2]) {
    T* const sum = scratch<T>(4, 2 * all * L);
    T* const row = sum + all * L;
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t c = 0; c < count; ++c) store(sum + (c * taps + tap) * L, get(tap, c));
    transpose(row, all, sum, L, all, n);
    for (int64_t i = 0; i < n; ++i)
      each_vector<T>(0, all, [&](int64_t k, int lanes) {
        T* const at = w + i * p.ws[0] + k;
        store_upto(at, load_upto(at, lanes) + load_upto(row + i * all + k, lanes), lanes);
      });
    return;
  }
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t d = tap / p.kernel[2] / p.kernel[1], r = tap / p.kernel[2] % p.kernel[1];
    T* at = w + d * p.ws[2] + r * p.ws[3] + tap % p.kernel[2] * p.ws[4];
    for (int64_t c = 0; c < count; ++c, at += p.ws[1]) {
      const Vec<T> x = get(tap, c);
      if (p.ws[0] == 1 && n == L) {
        store(at, load(at) + x);
        continue;
      }
      T lane[L];
      store(lane, x);
      for (int64_t i = 0; i < n; ++i) at[i * p.ws[0]] += lane[i];
    }
  }
}

// In conv_depthwise.cpp. Depthwise passes over row-major planes; short rows would leave lanes idle.
template <class T>
DLCORE_INLINE bool long_rows(int64_t columns) {
  return 4 * columns >= 3 * kLanes<T>;
}
template <class T>
void depthwise_planes(const Pass<T>& p);
// Depthwise passes over pixels with unit channel stride and at least a vector of channels; no gate.
template <class T>
void depthwise_pixels(const Pass<T>& p);
template <class T>
void depthwise_planes_weight(const ConvArgs& a);
// In conv_planes.cpp. Passes over row-major planes: of one tap, as products; of a few planes (a group).
template <class T>
bool takes_product(const Pass<T>& p);
template <class T>
void conv_product(const Pass<T>& p);
template <class T>
bool takes_image(const Pass<T>& p);
template <class T>
void conv_image(const Pass<T>& p);

}  // namespace DLCORE_ISA
}  // namespace dlcore
