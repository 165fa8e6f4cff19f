// GEMM: C[M,N] = epilogue(A[M,K] B[K,N]) around one micro-kernel, in the manner of BLIS (Van Zee & van de
// Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", ACM TOMS 2015). Its clients bring
// the packers and the epilogue; matmul, linear and convolution differ in nothing else.
//
//   for jc in N step NC                      a panel of B, packed:  [NC/NR slivers][kc][NR]
//     for pc in K step KC
//       for ic in M step MC                  a block of A, packed:  [MC/MR slivers][kc][MR]
//         for jr in NC step NR               one sliver of B stays in L1 ...
//           for ir in MC step MR             ... while the slivers of A stream from L2
//             micro-kernel: MR x NR of C in registers, kc rank-one updates
//
// A packer is a functor; slivers are zero-padded to MR (NR), so the micro-kernel always computes a whole tile
// and only the store knows about edges:
//   PackA: void operator()(T* dst, int64_t i, int64_t m, int64_t k, int64_t kc)   rows i..i+m, m <= MC
//   PackB: void operator()(T* dst, int64_t k, int64_t kc, int64_t j, int64_t n)   columns j..j+n, n <= NC
// or, with `static constexpr bool kPacked = true`, an operand packed before:
//   const T* panel(int64_t i, int64_t k, int64_t kc)   the sliver that starts at row (column) i, a multiple
//   of MR (NR)
//
// An epilogue is applied once, to finished sums, vector by vector, before the only store of the last k-block:
//   Vec<T> operator()(Vec<T> sum, int64_t row, int64_t col, int n)   n valid lanes of columns col, col+1, ...
// C has unit column stride. Between k-blocks C holds partial sums. Without `accumulate` the first k-block
// never reads C.
//
// An element's bits depend on K alone: KC does not change with the threads, and each sum runs over k in order
// within a block, so any division of C among threads gives the same result.
#pragma once

#include "cpu/tile.h"

namespace dlcore {
namespace DLCORE_ISA {

// acc[R][NV] = R rows of A times NV vectors of columns of B over kc steps; a(k, i) is an element of A, b(k,
// v) a vector of B, and meanwhile(k) runs every 16 steps.
template <class V, int R, int NV, class A, class B, class F>
DLCORE_INLINE void micro_kernel(int64_t kc, const A& a, const B& b, V (&acc)[R][NV], const F& meanwhile) {
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[i][v] = V{};
  auto step = [&](int64_t k) __attribute__((always_inline)) {
    V bv[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) bv[v] = b(k, v);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const V av = a(k, i) - V{};  // splat, of vectors of any length
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[i][v] = fma(av, bv[v], acc[i][v]);
    }
  };
  for (int64_t k = 0; k < kc; k += 16) {
    meanwhile(k);
    const int64_t end = min64(kc, k + 16);
#pragma GCC unroll 2
    for (int64_t j = k; j < end; ++j) step(j);
  }
}

template <class T, int R, class Epilogue>
DLCORE_INLINE void store_tile(const Vec<T> (&acc)[R][Tile<T>::NV], T* c, int64_t ldc, int64_t m, int64_t n,
                              int64_t row, int64_t col, bool add, bool last, const Epilogue& epilogue) {
  constexpr int NV = Tile<T>::NV, L = kLanes<T>;
  if (m == R && n == NV * L) {
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        T* p = c + i * ldc + v * L;
        Vec<T> x = acc[i][v];
        if (add) x += load(p);
        if (last) x = epilogue(x, row + i, col + v * L, L);
        store(p, x);
      }
    }
    return;
  }
  // An edge: the registers go through memory once, then whole vectors and one partial vector a row.
  Vec<T> tile[R][NV];
  __builtin_memcpy(&tile, &acc, sizeof tile);
  for (int64_t i = 0; i < m; ++i) {
    for (int v = 0; v < NV; ++v) {
      const int64_t left = n - v * L;
      if (left <= 0) break;
      T* p = c + i * ldc + v * L;
      Vec<T> x = tile[i][v];
      if (left >= L) {
        if (add) x += load(p);
        if (last) x = epilogue(x, row + i, col + v * L, L);
        store(p, x);
      } else {
        if (add) x += load_n(p, static_cast<int>(left));
        if (last) x = epilogue(x, row + i, col + v * L, static_cast<int>(left));
        store_n(p, x, static_cast<int>(left));
      }
    }
  }
}

template <class P>
concept Packed = requires { P::kPacked; };
// B whose columns lie side by side, so that its rows can be read as they are: const T* row(k, j), stride().
template <class P>
concept ByRows = requires(const P& p) {
  p.row(int64_t(), int64_t());
  p.stride();
};

// Rows of B are asked for so many steps ahead of their packing.
constexpr int64_t kRowsAhead = 24;

// One tile of C: R rows of a packed sliver of A times a sliver of B, which comes from `rows` and is left
// packed in `b` where `rows` is not null.
template <class T, int R, class Epilogue>
DLCORE_INLINE void block_tile(int64_t kc, const T* a, T* b, const T* rows, int64_t stride, T* c, int64_t ldc,
                              int64_t m, int64_t n, int64_t row, int64_t col, bool add, bool last,
                              const Epilogue& epilogue) {
  using S = Tile<T>;
  constexpr int NV = S::NV, L = kLanes<T>, MR = S::MR;
  const auto left = [&](int64_t k, int i) __attribute__((always_inline)) { return a[k * MR + i]; };
  Vec<T> acc[R][NV];
  if (rows)
    micro_kernel<Vec<T>, R, NV>(
        kc, left,
        [&](int64_t k, int v) __attribute__((always_inline)) {
          const T* p = rows + k * stride + v * L;
          if (v * kVecBytes % 64 == 0) __builtin_prefetch(p + kRowsAhead * stride);
          const Vec<T> x = load(p);
          store(b + (k * NV + v) * L, x);
          return x;
        },
        acc, [](int64_t) {});
  else
    micro_kernel<Vec<T>, R, NV>(
        kc, left, [&](int64_t k, int v) __attribute__((always_inline)) { return load(b + (k * NV + v) * L); },
        acc, [](int64_t) {});
  store_tile<T, R>(acc, c, ldc, m, n, row, col, add, last, epilogue);
}

// Rows [i0, i1) and columns [j0, j1) of C on the calling thread; i0 a multiple of MR, j0 of NR (packed
// operands). c points at C(0, 0). Uses workspace slots 0 and 1.
template <class T, class PackA, class PackB, class Epilogue>
void gemm_block(int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t K, const PackA& pack_a,
                const PackB& pack_b, T* c, int64_t ldc, bool accumulate, const Epilogue& epilogue) {
  using S = Tile<T>;
  constexpr int64_t NR = S::NR, KC = S::KC, NC = S::NC;
  constexpr int MR = S::MR, kHalf = MR / 2 + MR / 2 % 2;  // 14 rows and 8, 6 and 4
  // Blocks of one size. Where one holds all rows, B is packed sliver by sliver as it is used, into the same
  // lines.
  const int64_t blocks = max64(1, ceil_div(i1 - i0, S::MC)),
                MC = ceil_div(ceil_div(i1 - i0, blocks), MR) * MR;
  const bool one = blocks == 1;
  T* abuf = nullptr;
  T* bbuf = nullptr;
  if constexpr (!Packed<PackA>) abuf = scratch<T>(0, MC * min64(KC, K));
  if constexpr (!Packed<PackB>)
    bbuf = scratch<T>(1, (one ? 1 : ceil_div(min64(NC, j1 - j0), NR)) * NR * min64(KC, K));
  for (int64_t j = j0; j < j1; j += NC) {
    const int64_t nc = min64(NC, j1 - j);
    for (int64_t k = 0; k < K; k += KC) {
      const int64_t kc = min64(KC, K - k);
      const bool add = accumulate || k > 0, last = k + kc == K;
      for (int64_t i = i0; i < i1; i += MC) {
        const int64_t mc = min64(MC, i1 - i);
        if constexpr (!Packed<PackA>) pack_a(abuf, i, mc, k, kc);
        for (int64_t jr = 0; jr < nc; jr += NR) {
          const int64_t cols = min64(NR, nc - jr);
          T* b;
          const T* rows = nullptr;  // the sliver before it is packed
          int64_t stride = 0;
          if constexpr (Packed<PackB>) {
            b = const_cast<T*>(pack_b.panel(j + jr, k, kc));
          } else {
            b = bbuf + (one ? 0 : jr * kc);
            if (i == i0) {
              bool later = false;
              if constexpr (ByRows<PackB>)
                if (cols == NR && pack_b.by_rows())
                  later = true, rows = pack_b.row(k, j + jr), stride = pack_b.stride();
              if (!later) pack_b(b, k, kc, j + jr, cols);
            }
          }
          for (int64_t ir = 0; ir < mc; ir += MR) {
            const T* a;
            if constexpr (Packed<PackA>)
              a = pack_a.panel(i + ir, k, kc);
            else
              a = abuf + ir * kc;
            // C's rows are fetched while the tile is computed: they arrive too late otherwise (4 to 8 % at
            // 1024).
            T* tile = c + (i + ir) * ldc + j + jr;
            const int64_t left = min64(MR, mc - ir);
            for (int64_t r = 0; r < left; ++r) {
              __builtin_prefetch(tile + r * ldc, 1);
              __builtin_prefetch(tile + r * ldc + NR - 1, 1);
            }
            if (left <= kHalf)  // a short last sliver: half the arithmetic, not all of it on zeros
              block_tile<T, kHalf>(kc, a, b, rows, stride, tile, ldc, left, cols, i + ir, j + jr, add, last,
                                   epilogue);
            else
              block_tile<T, MR>(kc, a, b, rows, stride, tile, ldc, left, cols, i + ir, j + jr, add, last,
                                epilogue);
            rows = nullptr;
          }
        }
      }
    }
  }
}

// A grid of threads over C, as square as the tiles allow: each packs what it needs, nobody waits for anybody.
struct Grid {
  int64_t rows, cols, row_step, col_step;
};
template <class T>
inline Grid thread_grid(int64_t M, int64_t N, int64_t parts) {
  const int64_t MR = Tile<T>::MR, NR = Tile<T>::NR;
  Grid best{1, 1, M, N};
  double best_cost = 1e300;
  for (int64_t r = 1; r <= parts; ++r) {
    const int64_t q = parts / r;
    const int64_t rs = ceil_div(ceil_div(M, MR), r) * MR, cs = ceil_div(ceil_div(N, NR), q) * NR;
    // The largest block's arithmetic, and its packing at some 16 multiply-adds an element.
    const double cost = static_cast<double>(rs) * cs + 16.0 * (rs + cs);
    if (cost < best_cost) {
      best_cost = cost;
      best = {ceil_div(M, rs), ceil_div(N, cs), rs, cs};
    }
  }
  return best;
}

// Under some 64^3 multiply-adds a second thread costs more than it brings.
inline int64_t gemm_parts(int64_t M, int64_t N, int64_t K) {
  return min64(num_threads(), max64(1, M * N / 4096 * K / 64));
}

// All of C, in parallel.
template <class T, class PackA, class PackB, class Epilogue>
void gemm(int64_t M, int64_t N, int64_t K, const PackA& pack_a, const PackB& pack_b, T* c, int64_t ldc,
          bool accumulate, const Epilogue& epilogue) {
  if (M == 0 || N == 0) return;
  const Grid g = thread_grid<T>(M, N, gemm_parts(M, N, K));
  parallel_for(g.rows * g.cols, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t i = t / g.cols * g.row_step, j = t % g.cols * g.col_step;
      gemm_block<T>(i, min64(M, i + g.row_step), j, min64(N, j + g.col_step), K, pack_a, pack_b, c, ldc,
                    accumulate, epilogue);
    }
  });
}

// ---- packers of plain strided matrices
// ------------------------------------------------------------------------------

// Transposes a square of lanes x lanes in registers: log2(lanes) rounds of exchanging blocks of D = 1, 2, 4,
// ... between rows D apart. A template per round, so that every row index and every shuffle is a constant.
template <class T, int D = 1>
DLCORE_INLINE void transpose_square(Vec<T> (&r)[kLanes<T>]) {
  constexpr int L = kLanes<T>;
  if constexpr (D < L) {
    Vec<Int<T>> low = {}, high = {};
#pragma GCC unroll 16
    for (int j = 0; j < L; ++j) {
      low[j] = j & D ? j - D + L : j;
      high[j] = j & D ? j + L : j + D;
    }
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) {
      if (i & D) continue;
      const Vec<T> a = r[i], b = r[i + D];
      r[i] = shuffle(a, b, low);
      r[i + D] = shuffle(a, b, high);
    }
    transpose_square<T, 2 * D>(r);
  }
}

// One sliver whose lines run along k: squares of lanes x lanes through registers. A whole-vector store may
// run over into the next k, which is written after it; the last k of the sliver is stored exactly.
template <class T, int W>
inline void pack_transposed(T* dst, const T* p, int64_t w, int64_t kc, int64_t ls) {
  constexpr int L = kLanes<T>;
  for (int64_t i0 = 0; i0 < W; i0 += L) {
    const int64_t lines = min64(L, w - i0), width = min64(L, W - i0);
    for (int64_t k = 0; k < kc; k += L) {
      const int n = static_cast<int>(min64(L, kc - k));
      Vec<T> r[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) {
        const T* q = p + (i0 + i) * ls + k;
        r[i] = i < lines ? (n == L ? load(q) : load_n(q, n)) : Vec<T>{};
      }
      transpose_square<T>(r);
      if (n == L && (width == L || (W < L && k + L < kc))) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store(dst + (k + i) * W + i0, r[i]);
      } else {
        for (int i = 0; i < n; ++i) {
          if (width == L)
            store(dst + (k + i) * W + i0, r[i]);
          else
            store_n(dst + (k + i) * W + i0, r[i], static_cast<int>(width));
        }
      }
    }
  }
}

// Packs `count` lines (rows of A, columns of B) of `kc` elements into slivers of W lines: dst[sliver][k][W],
// zeros for lines beyond `count`. `ls` steps from line to line, `ks` along k.
template <class T, int W>
inline void pack_lines(T* dst, const T* src, int64_t count, int64_t kc, int64_t ls, int64_t ks) {
  constexpr int L = kLanes<T>;
  for (int64_t s = 0; s < count; s += W, dst += W * kc) {
    const int64_t w = min64(W, count - s);
    const T* p = src + s * ls;
    if (ls == 1) {  // the lines lie side by side: copy W at a time
      if (w == W) {
        for (int64_t k = 0; k < kc; ++k) {
          if constexpr (W % L == 0) {
#pragma GCC unroll 4
            for (int v = 0; v < W; v += L) store(dst + k * W + v, load(p + k * ks + v));
          } else {
            __builtin_memcpy(dst + k * W, p + k * ks, W * sizeof(T));
          }
        }
      } else {
        for (int64_t k = 0; k < kc; ++k) {
          for (int64_t i = 0; i < w; ++i) dst[k * W + i] = p[k * ks + i];
          for (int64_t i = w; i < W; ++i) dst[k * W + i] = 0;
        }
      }
    } else if (ks == 1) {
      pack_transposed<T, W>(dst, p, w, kc, ls);
    } else {
      for (int64_t i = 0; i < w; ++i)
        for (int64_t k = 0; k < kc; ++k) dst[k * W + i] = p[i * ls + k * ks];
      for (int64_t i = w; i < W; ++i)
        for (int64_t k = 0; k < kc; ++k) dst[k * W + i] = 0;
    }
  }
}

template <class T>
struct PackRows {  // A(i, k) = p[i * rs + k * cs]
  const T* p;
  int64_t rs, cs;
  void operator()(T* dst, int64_t i, int64_t m, int64_t k, int64_t kc) const {
    pack_lines<T, Tile<T>::MR>(dst, p + i * rs + k * cs, m, kc, rs, cs);
  }
};

template <class T>
struct PackCols {  // B(k, j) = p[k * rs + j * cs]
  const T* p;
  int64_t rs, cs;
  bool by_rows() const { return cs == 1; }
  const T* row(int64_t k, int64_t j) const { return p + k * rs + j; }
  int64_t stride() const { return rs; }
  void operator()(T* dst, int64_t k, int64_t kc, int64_t j, int64_t n) const {
    pack_lines<T, Tile<T>::NR>(dst, p + k * rs + j * cs, n, kc, cs, rs);
  }
};

// ---- operands packed once
// ------------------------------------------------------------------------------------------- Layout:
// k-blocks of KC one after the other, each [slivers][kc][W]; `padded` = lines rounded up to W.
template <class T, int W>
struct PackedLines {
  static constexpr bool kPacked = true;
  const T* p;
  int64_t padded;
  const T* panel(int64_t line, int64_t k, int64_t kc) const { return p + k * padded + line * kc; }
  static int64_t size(int64_t lines, int64_t K) { return ceil_div(lines, W) * W * K; }
};
template <class T>
using PackedRows = PackedLines<T, Tile<T>::MR>;
template <class T>
using PackedCols = PackedLines<T, Tile<T>::NR>;

// Packs a whole operand (lines x K, strides ls and ks) into dst, which holds PackedLines::size(lines, K)
// elements.
template <class T, int W>
inline PackedLines<T, W> prepack(T* dst, const T* src, int64_t lines, int64_t K, int64_t ls, int64_t ks) {
  const int64_t padded = ceil_div(lines, W) * W;
  for (int64_t k = 0; k < K; k += Tile<T>::KC) {
    const int64_t kc = min64(Tile<T>::KC, K - k);
    pack_lines<T, W>(dst + k * padded, src + k * ks, lines, kc, ls, ks);
  }
  return {dst, padded};
}

// ---- epilogues
// ------------------------------------------------------------------------------------------------------

struct NoEpilogue {
  template <class V>
  DLCORE_INLINE V operator()(V x, int64_t, int64_t, int) const {
    return x;
  }
};

}  // namespace DLCORE_ISA
}  // namespace dlcore
