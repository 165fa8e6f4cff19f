// Convolution, forward and with respect to its input. Both are one pass, a correlation with taps at given
// offsets:
//
//   forward          out = y, in = x:   y(h)  reads x(h * stride + r * dil - pad)
//   backward_input   out = x, in = y:   x(h)  reads y((h + pad - r * dil) / stride) where that divides
//
// so with stride s the input's gradient falls into s x s (x s) phases (h mod s), each a dense stride-1
// correlation with its own taps: no arithmetic is spent on zeros. Within a phase, a tile of MR pixels of a
// row times NR output channels is held in registers; weights are packed into slivers [tap][input
// channel][NR], once a call or, where they are expected again, until they change. Planes in front of and
// behind the input are left out with their taps. Small groups (depthwise ones are of one channel) share a
// vector of channels instead.
//
// Workspace slots: 2 packed weights (the calling thread's), 3 and 4 the input window, 5 the output block, 6
// the offsets of taps, 7 weights being packed.
#include "cpu/conv.h"

#include "kernels/conv.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// One tile: M pixels x V vectors of output channels.
template <class T>
struct TileArgs {
  const T* x;
  int64_t x_step;
  const int64_t* off;  // K input offsets
  int64_t K;
  const T* b;  // K rows of weights
  int64_t b_step;
  T* y;
  int64_t y_step, n;       // n valid output channels
  int64_t x_half, y_half;  // from pixel 0 to pixel M / 2: the second half may lie in the next row
  const T* bias;
  const T* scale;
  bool adds;
  int64_t add_at;  // from an output to what is added to it
  Act act;
  int64_t group;  // of a shared vector: channels in a group
};

template <int M, class T>
DLCORE_INLINE T* pixel_of(const TileArgs<T>& t, int i) {
  return i < M / 2 ? t.y + i * t.y_step : t.y + t.y_half + (i - M / 2) * t.y_step;
}

template <class T, int M, int V>
DLCORE_INLINE void finish(Vec<T> (&acc)[M][V], const TileArgs<T>& t) {
  constexpr int L = kLanes<T>;
  if (t.scale) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec<T> s = load_upto(t.scale + v * L, static_cast<int>(min64(L, t.n - v * L)));
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) acc[i][v] *= s;
    }
  }
  if (t.bias) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec<T> b = load_upto(t.bias + v * L, static_cast<int>(min64(L, t.n - v * L)));
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) acc[i][v] += b;
    }
  }
  if (t.adds) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const int n = static_cast<int>(min64(L, t.n - v * L));
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) acc[i][v] += load_upto(pixel_of<M>(t, i) + t.add_at + v * L, n);
    }
  }
  if (t.act == Act::relu) {
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = relu(acc[i][v]);
  }
  if (t.n == V * L && t.act <= Act::relu) {
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(pixel_of<M>(t, i) + v * L, acc[i][v]);
    return;
  }
  Vec<T> tile[M][V];
  __builtin_memcpy(&tile, &acc, sizeof tile);
  for (int i = 0; i < M; ++i)
    for (int v = 0; v < V; ++v) {
      T* y = pixel_of<M>(t, i) + v * L;
      const int n = static_cast<int>(min64(L, t.n - v * L));
      const Vec<T> x = t.act <= Act::relu ? tile[i][v] : activate<T>(t.act, tile[i][v]);
      if (n == L)
        store(y, x);
      else
        store_n(y, x, n);
    }
}

// Long sums go in runs that are added up, as a GEMM's do: rounding errors grow with the run, not with the
// sum.
template <class T, int M, int V>
void dense_tile(const TileArgs<T>& t) {
  constexpr int L = kLanes<T>;
  constexpr int64_t kRun = 512;
  Vec<T> acc[M][V], before[M][V];
  const T* b = t.b;
  const int64_t s = t.x_step;
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i)  // the outputs arrive while the sums are made
    for (int v = 0; v < V; ++v) __builtin_prefetch(pixel_of<M>(t, i) + v * L, 0, 2);
  if (t.adds)
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i)
      for (int v = 0; v < V; ++v) __builtin_prefetch(pixel_of<M>(t, i) + t.add_at + v * L, 0, 2);
  for (int64_t k = 0;;) {
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = Vec<T>{};
    const int64_t begin = k, end = min64(t.K, k + kRun);
    for (; k < end; ++k, b += t.b_step) {
      const T* a = t.x + t.off[k];
      Vec<T> bv[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) bv[v] = load(b + v * L);
      const T* a2 = a + t.x_half;
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) {
        const int j = i < M / 2 ? i : i - M / 2;  // three pixels an address register
        if (i == M / 2)
          a = a2;
        else if (j && j % 3 == 0)
          a += 3 * s;
        const Vec<T> av = splat(a[j % 3 * s]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] = fma(av, bv[v], acc[i][v]);
      }
    }
    if (begin > 0) {
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] += before[i][v];
    }
    if (k >= t.K) break;
    __builtin_memcpy(&before, &acc, sizeof before);
  }
  finish<T, M, V>(acc, t);
}

// One input channel to one output channel: channels fill the vector.
template <class T, int M>
void depthwise_tile(const TileArgs<T>& t) {
  Vec<T> acc[M][1];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) acc[i][0] = Vec<T>{};
  const T* b = t.b;
  const int64_t s = t.x_step;
  for (int64_t k = 0; k < t.K; ++k, b += t.b_step) {
    const T* a = t.x + t.off[k];
    const Vec<T> bv = load(b);
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) {
      if (i && i % 3 == 0) a += 3 * s;
      acc[i][0] = fma(load(a + i % 3 * s), bv, acc[i][0]);
    }
  }
  finish<T, M, 1>(acc, t);
}

// Groups of a few channels side by side in a vector: the c-th weight of each output meets the c-th input of
// its own group, which a permutation brings to its lanes.
template <class T, int M>
void grouped_tile(const TileArgs<T>& t) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[M][1];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) acc[i][0] = Vec<T>{};
  Vec<Int<T>> first;
  for (int l = 0; l < L; ++l) first[l] = l / static_cast<int>(t.group) * static_cast<int>(t.group);
  const T* b = t.b;
  const int64_t s = t.x_step, wide = t.b_step / t.group;
  for (int64_t k = 0; k < t.K; ++k, b += t.b_step) {
    const T* const a = t.x + t.off[k];
    Vec<T> av[M];
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) av[i] = load(a + i * s);
    Vec<Int<T>> from = first;
    for (int64_t c = 0; c < t.group; ++c, from += splat(Int<T>(1))) {
      const Vec<T> bv = load(b + c * wide);
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) acc[i][0] = fma(permute(av[i], from), bv, acc[i][0]);
    }
  }
  finish<T, M, 1>(acc, t);
}

template <class T, int M>
DLCORE_INLINE void run_dense(int64_t m, const TileArgs<T>& t) {
  if (m == M) return t.n > kLanes<T> ? dense_tile<T, M, 2>(t) : dense_tile<T, M, 1>(t);
  if constexpr (M > 1) run_dense<T, M - 1>(m, t);
}
constexpr int kSharedPixels = 6;
template <class T, int M>
DLCORE_INLINE void run_shared(int64_t m, const TileArgs<T>& t) {
  if (m == M) return t.group == 1 ? depthwise_tile<T, M>(t) : grouped_tile<T, M>(t);
  if constexpr (M > 1) run_shared<T, M - 1>(m, t);
}

// Do groups share a vector of channels? Where they are of one channel, or of so few that they would leave
// most of a vector idle; the permutations need instructions that 16-byte vectors lack.
template <class T>
DLCORE_INLINE bool shares_vectors(const Pass<T>& p) {
  if (p.G == 1 || p.Ci != p.Co) return false;
  if (p.Ci == 1) return true;
  const bool power_of_two = (p.Ci & (p.Ci - 1)) == 0;
  return kVecBytes >= 32 && power_of_two && 2 * p.Ci <= kLanes<T> && p.G * p.Co >= kLanes<T>;
}

// Dense: [group][sliver of NR output channels][taps in phase order][Ci][NR]. Shared: [taps][Ci][channels
// rounded up].
template <class T>
void pack_weights(const Pass<T>& p, bool shared, T* packed) {
  constexpr int NR = Tile<T>::NR, L = kLanes<T>;
  const int64_t taps = p.taps();
  const int64_t slivers = ceil_div(p.Co, NR);
  const int64_t channels = p.G * p.Co, wide = round_up(channels, L);
  const int64_t units = shared ? 1 : p.G * slivers;
  // Taps that lie side by side, as in (O,C,R,S): all of them at once, by a transposition in registers.
  const bool by_taps = !shared && taps > 1 && taps <= 1024 && p.w_w == 1 && p.w_h == p.w.taps &&
                       p.w_d == p.h.taps * p.w.taps && p.w_co != 1;
  parallel_for(units, max64(1, kGrain / max64(1, taps * p.Ci * NR)), [&](int64_t u0, int64_t u1) {
    for (int64_t u = u0; u < u1; ++u) {
      T* dst = packed + (shared ? 0 : u * taps * p.Ci * NR);
      if (by_taps) {
        const int64_t o = u % slivers * NR, lines = min64(NR, p.Co - o);
        const T* src = p.wt + u / slivers * p.w_g + o * p.w_co;
        T* row = scratch<T>(7, taps * NR);
        __builtin_memset(row, 0, taps * NR * sizeof(T));
        for (int64_t c = 0; c < p.Ci; ++c, src += p.w_ci) {
          transpose(row, NR, src, p.w_co, lines, taps);
          int64_t at = c * NR;
          for_phases(p, [&](int64_t fd, int64_t fh, int64_t fw) {
            for_taps(p, fd, fh, fw, [&](int64_t d, int64_t r, int64_t s, int64_t, int64_t, int64_t) {
              __builtin_memcpy(dst + at, row + ((d * p.h.taps + r) * p.w.taps + s) * NR, NR * sizeof(T));
              at += p.Ci * NR;
            });
          });
        }
        continue;
      }
      for_phases(p, [&](int64_t fd, int64_t fh, int64_t fw) {
        for_taps(p, fd, fh, fw, [&](int64_t d, int64_t r, int64_t s, int64_t, int64_t, int64_t) {
          const T* src = p.wt + d * p.w_d + r * p.w_h + s * p.w_w;
          if (shared) {
            for (int64_t c = 0; c < p.Ci; ++c, dst += wide)
              for (int64_t o = 0; o < wide; ++o)
                dst[o] = o < channels ? src[o / p.Co * p.w_g + o % p.Co * p.w_co + c * p.w_ci] : T(0);
            return;
          }
          const int64_t g = u / slivers, o = u % slivers * NR;
          pack_lines<T, NR>(dst, src + g * p.w_g + o * p.w_co, min64(NR, p.Co - o), p.Ci, p.w_co, p.w_ci);
          dst += p.Ci * NR;
        });
      });
    }
  });
}

template <class T>
const T* packed_weights(const Pass<T>& p, bool shared) {
  const int64_t wide = shared ? round_up(p.G * p.Co, kLanes<T>) : p.G * round_up(p.Co, Tile<T>::NR);
  return kept_weights(p, shared ? Packing::shared : Packing::slivers, p.taps() * p.Ci * wide, 2,
                      [&](T* room) { pack_weights(p, shared, room); });
}

// Outputs z0..z1 x i0..i1 x j0..j1 (in phase units) of one image: groups g0..g1 of a shared pass, else all
// channels.
struct Block {
  int64_t n, g0, g1, z0, z1, i0, i1, j0, j1;
  int64_t u0, u1;  // slivers of a dense pass; a part of them where there is one group
};

template <class T>
void run_block(const Pass<T>& p, const Block& b, const T* packed, bool shared, const Reach (&reach)[3]) {
  constexpr int NR = Tile<T>::NR, MR = Tile<T>::MR, L = kLanes<T>;
  const int64_t Fd = p.d.phases(), Fh = p.h.phases(), Fw = p.w.phases();
  const int64_t step_d = p.d.step(), step_h = p.h.step(), step_w = p.w.step();
  const int64_t channels = (b.g1 - b.g0) * p.Co;
  // Pixels of a tile that lie a multiple of 4 KB apart fall into one set of L1: such are copied, a line more
  // each.
  auto conflicts = [&](int64_t pixel) { return step_w * pixel * int64_t{sizeof(T)} % 4096 == 0; };
  int64_t cp = shared ? round_up(channels, L) : p.in.C;
  const bool must_copy = !shared && p.in.sc == 1 && conflicts(p.in.sw) && p.Co >= 4 * NR;
  if (!shared && (must_copy || p.in.sc != 1) && conflicts(cp)) cp += L;

  const int64_t d0 = max64(0, b.z0 * step_d + reach[0].lo);  // planes outside are never read
  const Box box = {d0,
                   max64(d0, min64(p.in.D, (b.z1 - 1) * step_d + reach[0].hi + 1)),
                   b.i0 * step_h + reach[1].lo,
                   (b.i1 - 1) * step_h + reach[1].hi + 1,
                   b.j0 * step_w + reach[2].lo,
                   (b.j1 - 1) * step_w + reach[2].hi + 1};
  Volume<T> in = p.in, gate = p.gate;
  const int64_t c0 = b.g0 * p.Co;  // as many in as out where g0 is not 0
  in.p += b.n * p.in_n + c0 * in.sc;
  if (p.gate_act != Act::none) gate.p += b.n * p.gate_n + c0 * gate.sc;
  if (shared) in.C = gate.C = channels;
  const Window<T> x = gradient_window(in, gate, p.gate_act, 1, 0, 0, box, cp, 3, must_copy);

  // The block's corner of the output, or of its channels-last copy.
  const int64_t z0 = b.z0 * Fd, z1 = min64(p.d.out, b.z1 * Fd);
  const int64_t h0 = b.i0 * Fh, h1 = min64(p.h.out, b.i1 * Fh);
  const int64_t w0 = b.j0 * Fw, w1 = min64(p.w.out, b.j1 * Fw);
  const int64_t o0 = p.G == 1 && !shared ? b.u0 * NR : 0;
  const int64_t outs = p.G == 1 && !shared ? min64(p.Co, b.u1 * NR) - o0 : channels;
  T* const out = p.out + b.n * p.out_n + (c0 + o0) * p.out_sc + z0 * p.out_sd + h0 * p.out_sh + w0 * p.out_sw;
  const bool direct = p.out_sc == 1 || outs == 1;
  const int64_t y_pix = direct ? p.out_sw : outs, y_row = direct ? p.out_sh : (w1 - w0) * outs;
  const int64_t y_plane = direct ? p.out_sd : (h1 - h0) * y_row;
  T* const y = direct ? out : scratch<T>(5, (z1 - z0) * y_plane);

  const int64_t taps = p.taps(), per_tap = shared ? 1 : p.Ci;
  int64_t* const off = scratch<int64_t>(6, taps * per_tap + p.d.taps + p.h.taps);
  int64_t* const plane_off = off + taps * per_tap;  // of the phase's planes of taps
  int64_t* const row_off = plane_off + p.d.taps;    // of the phase's rows of taps
  int64_t done = 0;                                 // taps of the phases before
  for_phases(p, [&](int64_t fd, int64_t fh, int64_t fw) {
    int64_t K = 0, here = 0, tap_planes = 0, tap_rows = 0, last_d = -1, last_r = -1;
    for_taps(p, fd, fh, fw, [&](int64_t d, int64_t r, int64_t, int64_t ed, int64_t eh, int64_t ew) {
      // Seen from the first plane that output plane b.z0 reads, whether it exists or not.
      const int64_t at =
          (ed - reach[0].lo) * x.plane + (eh - reach[1].lo) * x.row + (ew - reach[2].lo) * x.pix;
      for (int64_t c = 0; c < per_tap; ++c) off[K++] = at + c;
      if (d != last_d) plane_off[tap_planes++] = ed, tap_rows = 0, last_r = -1;
      if (r != last_r) row_off[tap_rows++] = eh;
      last_d = d, last_r = r;
      ++here;
    });
    const int64_t plane_K = tap_planes ? K / tap_planes : 0, row_K = tap_rows ? plane_K / tap_rows : 0;
    const int64_t planes = z0 + fd < z1 ? ceil_div(z1 - z0 - fd, Fd) : 0;
    const int64_t rows = h0 + fh < h1 ? ceil_div(h1 - h0 - fh, Fh) : 0;
    const int64_t cols = w0 + fw < w1 ? ceil_div(w1 - w0 - fw, Fw) : 0;
    const int64_t tiles = ceil_div(cols, shared ? kSharedPixels : MR);
    T* const yp = y + fd * y_plane + fh * y_row + fw * y_pix;
    // Two rows share a tile where it holds both. Blocks begin at even rows then, so pairs are always the
    // same.
    const bool pairs = !shared && 2 * ceil_div(p.w.out, Fw) <= MR;
    TileArgs<T> t;
    t.x_step = step_w * x.pix, t.y_step = Fw * y_pix, t.act = p.act;
    t.adds = p.adds, t.add_at = p.add_at;
    auto sweep = [&](const T* xs, T* ys, const T* weights, auto tile) {  // all pixels of the phase
      for (int64_t z = 0; z < planes; ++z) {
        // Planes of taps that only see padding are left out: front <= tap plane < back.
        const int64_t at = (b.z0 + z) * step_d;
        int64_t front = 0, back = tap_planes;
        while (front < back && (at + plane_off[front] < 0 || at + plane_off[front] >= p.in.D)) ++front;
        while (back > front && (at + plane_off[back - 1] < 0 || at + plane_off[back - 1] >= p.in.D)) --back;
        const T* const xz = xs + (at + reach[0].lo - d0) * x.plane;
        for (int64_t i = 0; i < rows;) {
          const int64_t count = pairs && i + 1 < rows ? 2 : 1;
          int64_t first = front * plane_K, past = back * plane_K;
          if (back - front == 1) {  // the same for rows of taps
            int64_t r0 = 0, r1 = tap_rows;
            auto outside = [&](int64_t e) {
              return (b.i0 + i + count - 1) * step_h + e < 0 || (b.i0 + i) * step_h + e >= p.in.H;
            };
            while (r0 < r1 && outside(row_off[r0])) ++r0;
            while (r1 > r0 && outside(row_off[r1 - 1])) --r1;
            past = first + r1 * row_K, first += r0 * row_K;
          }
          t.off = off + first, t.b = weights + first * t.b_step, t.K = past - first;
          const T* const xr = xz + i * step_h * x.row;
          T* const yr = ys + z * Fd * y_plane + i * Fh * y_row;
          i += count;
          if (count == 2) {
            t.x = xr, t.x_half = step_h * x.row, t.y = yr, t.y_half = Fh * y_row;
            tile(2 * cols);
            continue;
          }
          for (int64_t q = 0; q < tiles; ++q) {
            const int64_t j = part_begin(cols, q, tiles), m = part_begin(cols, q + 1, tiles) - j;
            t.x = xr + j * t.x_step, t.x_half = m / 2 * t.x_step;
            t.y = yr + j * t.y_step, t.y_half = m / 2 * t.y_step;
            tile(m);
          }
        }
      }
    };
    if (shared) {
      t.group = p.Ci, t.b_step = p.Ci * round_up(p.G * p.Co, L);
      for (int64_t c = 0; c < channels; c += L) {
        t.n = min64(L, channels - c);
        t.bias = p.bias ? p.bias + c0 + c : nullptr;
        t.scale = p.scale ? p.scale + c0 + c : nullptr;
        sweep(x.p + c, yp + c, packed + done * t.b_step + c0 + c,
              [&](int64_t m) { run_shared<T, kSharedPixels>(m, t); });
      }
    } else {
      // All slivers of `count` from u on, of one group, for one tile after the other.
      const int64_t slivers = ceil_div(p.Co, NR), sliver = taps * p.Ci * NR;
      t.b_step = NR;
      auto sweep_slivers = [&](int64_t u, int64_t count) {
        const int64_t g = u / slivers;
        sweep(x.p + g * p.Ci, yp + g * p.Co + u % slivers * NR - o0, packed + u * sliver + done * p.Ci * NR,
              [&](int64_t m) {
                TileArgs<T> s = t;
                for (int64_t k = u; k < u + count; ++k, s.b += sliver, s.y += NR) {
                  const int64_t o = k % slivers * NR;
                  s.n = min64(NR, p.Co - o);
                  s.bias = p.bias ? p.bias + g * p.Co + o : nullptr;
                  s.scale = p.scale ? p.scale + g * p.Co + o : nullptr;
                  run_dense<T, MR>(m, s);
                }
              });
      };
      // Weights that stay in L2 meet each tile of pixels, whose outputs are then written (and what is added
      // to them is read) in one run; others are read once, and the window again and again.
      constexpr int64_t kStay = 256 * 1024 / sizeof(T);
      if (p.G == 1 && (b.u1 - b.u0) * sliver <= kStay)
        sweep_slivers(b.u0, b.u1 - b.u0);
      else
        for (int64_t u = b.u0; u < b.u1; ++u) sweep_slivers(u, 1);
    }
    done += here;
  });

  if (direct) return;
  const int64_t w = w1 - w0, h = h1 - h0;
  const bool flat = p.out_sw == 1 && (p.out_sh == w || h == 1);
  for (int64_t z = 0; z < z1 - z0; ++z)
    for (int64_t i = 0; i < (flat ? 1 : h); ++i) {
      const T* src = y + z * y_plane + i * y_row;
      T* dst = out + z * p.out_sd + i * p.out_sh;
      if (p.out_sw == 1)
        transpose(dst, p.out_sc, src, outs, flat ? h * w : w, outs);
      else
        for (int64_t j = 0; j < w; ++j)
          for (int64_t c = 0; c < outs; ++c) dst[j * p.out_sw + c * p.out_sc] = src[j * outs + c];
    }
}

// act(y * scale + bias + what is added), where the pass itself has done none of it.
template <class T>
void finish_late(const Pass<T>& p) {
  const int64_t O = p.G * p.Co, rows = p.d.out * p.h.out;
  const bool last = p.out_sc == 1;  // vectors of channels, or of columns, or single elements
  const int64_t run = last ? O : p.w.out, runs = last ? p.w.out : O;
  const int64_t run_step = last ? 1 : p.out_sw, next = last ? p.out_sw : p.out_sc;
  parallel_for(p.N * rows * runs, max64(1, kGrain / max64(1, run)), [&](int64_t b, int64_t e) {
    for (int64_t u = b; u < e; ++u) {
      const int64_t n = u / runs / rows, z = u / runs % rows / p.h.out, h = u / runs % p.h.out, i = u % runs;
      T* const y = p.out + n * p.out_n + z * p.out_sd + h * p.out_sh + i * next;
      auto finished = [&](Vec<T> x, int64_t k, int64_t at, int m) {
        if (p.scale) x *= last ? load_upto(p.scale + k, m) : splat(p.scale[i]);
        if (p.bias) x += last ? load_upto(p.bias + k, m) : splat(p.bias[i]);
        if (p.adds) x += load_upto(y + p.add_at + at, m);
        return p.act == Act::none ? x : activate<T>(p.act, x);
      };
      if (run_step == 1)
        each_vector<T>(
            0, run, [&](int64_t k, int m) { store_upto(y + k, finished(load_upto(y + k, m), k, k, m), m); });
      else
        for (int64_t k = 0; k < run; ++k)
          store_n(y + k * run_step, finished(load_n(y + k * run_step, 1), k, k * run_step, 1), 1);
    }
  });
}

// [0, n) in near-equal parts that begin at multiples of `unit`.
struct Cut {
  int64_t n, unit, parts;
  Cut(int64_t length, int64_t least, int64_t count)
      : n(length), unit(least), parts(min64(count, ceil_div(length, least))) {}
  int64_t begin(int64_t k) const { return min64(n, unit * part_begin(ceil_div(n, unit), k, parts)); }
  // More parts, until `others` times as many can be dealt out evenly, or are many.
  void share(int64_t threads, int64_t others) {
    const int64_t most = ceil_div(n, unit);
    int64_t k = parts;
    while (k < most && others * k % threads != 0 && others * k < 8 * threads) ++k;
    parts = k;
  }
};

// How the threads share a pass: more blocks of pixels (fewer planes, lines or columns each), or, where there
// may be `chunks`, each its own slivers of outputs. Returns the number of chunks.
template <class T>
int64_t split(const Pass<T>& p, int64_t threads, int64_t images, bool chunks, Cut* planes, Cut* lines,
              Cut* columns) {
  if (threads == 1) return 1;
  const int64_t natural = images * planes->parts * lines->parts * columns->parts;
  if (natural >= 8 * threads) return 1;
  Cut z = *planes, i = *lines, j = *columns;
  z.share(threads, images * i.parts * j.parts);
  i.share(threads, images * z.parts * j.parts);
  j.share(threads, images * z.parts * i.parts);
  const int64_t slivers = ceil_div(p.Co, Tile<T>::NR);
  if (chunks && slivers >= threads) {
    // The time of the slowest thread, in units of an even share: what is uneven; weights, of which a vector
    // costs some three multiply-adds to fetch; the window, which each thread makes for itself.
    auto uneven = [&](const Cut& c, int64_t others) {
      const int64_t units = ceil_div(c.n, c.unit);
      return c.parts == 1 || others % threads == 0 || others * c.parts >= 8 * threads
                 ? 1.0
                 : static_cast<double>(ceil_div(units, threads) * c.unit * threads) /
                       static_cast<double>(c.n);
    };
    const int64_t parts = images * z.parts * i.parts * j.parts;
    const auto pixels = static_cast<double>(images * planes->n * lines->n * columns->n);
    const double by_pixels = uneven(z, parts / z.parts) * uneven(i, parts / i.parts) *
                                 uneven(j, parts / j.parts) * (parts < threads ? 2 : 1) +
                             3.0 * static_cast<double>(threads) / pixels;
    const double read = p.in.sc != 1 ? 0.8 : p.h.pad || p.w.pad ? 0.4 : 0.3;  // an element of the window
    const double by_outputs =
        static_cast<double>(ceil_div(slivers, threads) * threads) / static_cast<double>(slivers) +
        3.0 / pixels +
        read * static_cast<double>((threads - 1) * kLanes<T>) / static_cast<double>(p.taps() * p.Co);
    if (by_outputs < by_pixels) return threads;
  }
  *planes = z, *lines = i, *columns = j;
  return 1;
}

template <class T>
void run(const Pass<T>& p) {
  if (p.N * p.d.out * p.h.out * p.w.out * p.G * p.Co == 0) return;
  const bool depthwise = p.Ci == 1 && p.Co == 1 && p.G > 1;
  if ((p.scale && depthwise) || (p.adds && (depthwise || (p.out_sc != 1 && !takes_product(p))))) {
    Pass<T> q = p;
    q.scale = q.bias = nullptr, q.adds = false, q.act = Act::none;
    run(q);
    return finish_late(p);
  }
  if (depthwise && p.in.sc == 1 && p.out_sc == 1 && p.gate_act == Act::none && p.G >= kLanes<T>)
    return depthwise_pixels(p);
  if (depthwise && p.in.sw == 1 && p.in.sc != 1 && p.out_sc != 1 &&
      long_rows<T>(ceil_div(p.w.out, p.w.phases())))
    return depthwise_planes(p);
  if (takes_product(p)) return conv_product(p);
  if (takes_image(p)) return conv_image(p);
  if (p.winograd && winograd(p)) return;
  const bool shared = shares_vectors(p);
  const T* packed = packed_weights(p, shared);
  const Reach reach[3] = {p.d.reach(), p.h.reach(), p.w.reach()};

  // Blocks whose input and output stay in L2; an element does not depend on the block that it falls in.
  // Outputs that are written where they belong need no room there.
  const bool direct = p.out_sc == 1 && !shared;
  const int64_t block_size = direct ? 393216 / int64_t{sizeof(T)} : 49152;
  const int64_t F = p.d.phases() * p.h.phases() * p.w.phases(), dense = p.d.step() * p.h.step() * p.w.step();
  const int64_t nz = ceil_div(p.d.out, p.d.phases()), ni = ceil_div(p.h.out, p.h.phases()),
                nj = ceil_div(p.w.out, p.w.phases());
  // A few planes at a time where they must be transposed: they lie together.
  const int64_t lump = shared && p.in.sc != 1 ? min64(p.G, 4 * kLanes<T> / p.Ci) : p.G,
                lumps = ceil_div(p.G, lump);
  const int64_t in_C = shared ? lump * p.Ci : p.in.C;
  const int64_t pixel = max64(p.w.step() * in_C, direct ? 1 : F * lump * p.Co);  // elements a column
  const int64_t most = max64(4 * Tile<T>::MR, block_size / 2 / max64(1, pixel));
  int64_t bj = nj <= most ? nj : round_up(ceil_div(nj, ceil_div(nj, most)), Tile<T>::MR);
  const int64_t rows = max64(1, block_size / max64(1, bj * max64(pixel, dense * in_C)));
  const int64_t bi = min64(ni, rows), bz = bi == ni && bj == nj ? min64(nz, max64(1, rows / ni)) : 1;
  // Two rows that share a tile stay together.
  Cut planes(nz, 1, ceil_div(nz, bz)), lines(ni, 2 * nj <= Tile<T>::MR ? 2 : 1, ceil_div(ni, bi)),
      columns(nj, Tile<T>::MR, ceil_div(nj, bj));
  const int64_t threads = num_threads();
  const int64_t chunks =  // of the outputs
      split<T>(p, threads, p.N * lumps, !shared && p.G == 1, &planes, &lines, &columns);
  const int64_t slivers = shared ? 1 : p.G * ceil_div(p.Co, Tile<T>::NR);
  const int64_t blocks = p.N * lumps * planes.parts * lines.parts * columns.parts;
  const int64_t work = p.N * nz * ni * nj * p.G * p.Co * p.Ci * p.taps() / max64(1, blocks * chunks);
  // A thread's outputs, and so its weights, are the same in all blocks.
  parallel_for(chunks * blocks, max64(1, 8 * kGrain / max64(1, work)), [&](int64_t b0, int64_t b1) {
    for (int64_t b = b0; b < b1; ++b) {
      const int64_t u = b / blocks;
      const int64_t j = b % columns.parts, i = b / columns.parts % lines.parts,
                    z = b / columns.parts / lines.parts % planes.parts;
      const int64_t k = b % blocks / columns.parts / lines.parts / planes.parts, g = k % lumps * lump;
      const Block block = {k / lumps,
                           g,
                           min64(p.G, g + lump),
                           planes.begin(z),
                           planes.begin(z + 1),
                           lines.begin(i),
                           lines.begin(i + 1),
                           columns.begin(j),
                           columns.begin(j + 1),
                           part_begin(slivers, u, chunks),
                           part_begin(slivers, u + 1, chunks)};
      run_block<T>(p, block, packed, shared, reach);
    }
  });
}

template <class T>
Volume<T> volume(const void* p, const int64_t (&size)[3], int64_t C, const int64_t (&s)[5]) {
  return {static_cast<const T*>(p), size[0], size[1], size[2], C, s[2], s[3], s[4], s[1]};
}

template <class T>
void set_axes(Pass<T>* p, const ConvArgs& c, const int64_t (&in)[3], const int64_t (&out)[3], bool backward) {
  Axis* const axes[] = {&p->d, &p->h, &p->w};
  for (int i = 0; i < 3; ++i)
    *axes[i] = {in[i], out[i], c.kernel[i], c.stride[i], c.pad[i], c.dil[i], backward};
  p->N = c.N, p->G = c.groups;
  p->wt = static_cast<const T*>(c.w), p->w_d = c.ws[2], p->w_h = c.ws[3], p->w_w = c.ws[4];
  p->bias = static_cast<const T*>(c.bias), p->winograd = c.winograd;
  p->keep = backward ? nullptr : c.keep;
}

template <class T>
void set_output(Pass<T>* p, void* out, const int64_t (&s)[5]) {
  p->out = static_cast<T*>(out);
  p->out_n = s[0], p->out_sc = s[1], p->out_sd = s[2], p->out_sh = s[3], p->out_sw = s[4];
}

}  // namespace

template <class T>
void conv_forward(const ConvArgs& a) {
  const ConvArgs c = simplify<T>(a, true);
  Pass<T> p{};
  p.in = volume<T>(c.x, c.size, c.C, c.xs), p.in_n = c.xs[0];
  set_output(&p, c.y, c.ys);
  set_axes(&p, c, c.size, c.result, false);
  p.Ci = c.C / c.groups, p.Co = c.O / c.groups;
  p.w_g = p.Co * c.ws[0], p.w_ci = c.ws[1], p.w_co = c.ws[0];
  p.act = c.act;
  p.scale = static_cast<const T*>(c.scale), p.adds = c.add != nullptr;
  if (p.adds)
    p.add_at = (static_cast<int64_t>(reinterpret_cast<uintptr_t>(c.add)) -
                static_cast<int64_t>(reinterpret_cast<uintptr_t>(c.y))) /
               static_cast<int64_t>(sizeof(T));
  run(p);
}

template <class T>
void add_bias(const ConvArgs& a) {
  const T* const bias = static_cast<const T*>(a.bias);
  T* const x = static_cast<T*>(a.x);
  parallel_for(a.N * a.C, max64(1, kGrain / max64(1, a.size[0] * a.size[1] * a.size[2])),
               [&](int64_t b, int64_t e) {
                 for (int64_t i = b; i < e; ++i) {
                   T* const plane = x + i / a.C * a.xs[0] + i % a.C * a.xs[1];
                   for (int64_t d = 0; d < a.size[0]; ++d)
                     for (int64_t h = 0; h < a.size[1]; ++h)
                       for (int64_t w = 0; w < a.size[2]; ++w)
                         plane[d * a.xs[2] + h * a.xs[3] + w * a.xs[4]] += bias[i % a.C];
                 }
               });
}

template <class T>
void conv_backward_input(const ConvArgs& a) {
  if (a.bias) {  // where taps and channels become one axis, the bias of the channels comes after
    ConvArgs plain = a;
    plain.bias = nullptr;
    if (merge_taps(&plain)) {
      conv_backward_input<T>(plain);
      return add_bias<T>(a);
    }
  }
  const ConvArgs c = simplify<T>(a, false, a.bias != nullptr);
  Pass<T> p{};
  p.in = volume<T>(c.y, c.result, c.O, c.ys), p.in_n = c.ys[0];
  p.gate = volume<T>(c.out, c.result, c.O, c.os), p.gate_n = c.os[0];
  set_output(&p, c.x, c.xs);
  set_axes(&p, c, c.result, c.size, true);
  p.Ci = c.O / c.groups, p.Co = c.C / c.groups;
  p.w_g = p.Ci * c.ws[0], p.w_ci = c.ws[0], p.w_co = c.ws[1];
  p.gate_act = c.act;
  run(p);
}

DLCORE_INSTANTIATE_FLOATS(conv_forward, ConvArgs)
DLCORE_INSTANTIATE_FLOATS(conv_backward_input, ConvArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
