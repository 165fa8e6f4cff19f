// C = epilogue(A B) where the columns of B are contiguous along k, as the rows of a weight are in x @ W.T,
// and A has few rows: the roles of the two are exchanged. A is packed in slivers of NR rows, which wait in
// L2, and B is read line by line: an element is broadcast, so that nothing of it is transposed; MR of its
// lines are only copied side by side, since their own distance, often a power of two, leaves them few sets of
// L1. The next ones are asked for meanwhile. The tile is C transposed, and is turned in registers before it
// is stored.
//
// A sum runs over k as in gemm.h: an element has the same bits here and there.
#pragma once

#include "cpu/gemm.h"

namespace dlcore {
namespace DLCORE_ISA {

// acc holds NV * lanes rows of C by R columns, transposed; m and n of them are there.
template <class T, int R, int NV, class Epilogue>
DLCORE_INLINE void store_turned(const Vec<T> (&acc)[R][NV], T* c, int64_t ldc, int64_t m, int64_t n,
                                int64_t row, int64_t col, bool add, bool last, const Epilogue& epilogue) {
  constexpr int L = kLanes<T>;
#pragma GCC unroll 2
  for (int v = 0; v < NV; ++v) {
#pragma GCC unroll 4
    for (int j = 0; j < R; j += L) {
      Vec<T> r[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) r[i] = j + i < R ? acc[j + i < R ? j + i : 0][v] : Vec<T>{};
      transpose_square<T>(r);
      const int lanes = static_cast<int>(min64(L, n - j));
      if (lanes <= 0) break;
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) {
        if (v * L + i >= m) break;
        T* p = c + (v * L + i) * ldc + j;
        Vec<T> x = r[i];
        if (add) x += load_upto(p, lanes);
        if (last) x = epilogue(x, row + v * L + i, col + j, lanes);
        store_upto(p, x, lanes);
      }
    }
  }
}

// Half a vector, at half the price: for the last few rows.
template <class T>
struct HalfOf {
  typedef T type __attribute__((vector_size(kVecBytes / 2)));
};
template <class T>
using HalfVec = typename HalfOf<T>::type;

// B(k, j) = p[j * ld + k].
template <class T>
struct Lines {
  const T* p;
  int64_t ld;
};

// Rows of A as they are computed.
template <class T>
inline int64_t padded_rows(int64_t M) {
  constexpr int64_t NR = Tile<T>::NR, L = kLanes<T>;
  const int64_t left = M % NR;
  return M - left + (left == 0 ? 0 : left <= L / 2 ? L / 2 : left <= L ? L : NR);
}

// Whether this is the cheaper way: multiply-adds on whole tiles, and what it costs to pack, 16 multiply-adds
// an element, or to copy. Below AVX-512 a tile's turned rows are no whole vectors.
template <class T>
inline bool takes_lines(int64_t M, int64_t N) {
  using S = Tile<T>;
  constexpr int MR = S::MR, kHalf = MR / 2 + MR / 2 % 2;
  if (kVecBytes < 64 || M > S::MC) return false;
  const auto padded = [](int64_t n) {
    return n / MR * MR + (n % MR == 0 ? 0 : n % MR <= kHalf ? kHalf : MR);
  };
  const int64_t packed = padded(M) * ceil_div(N, S::NR) * S::NR + 16 * N;
  const int64_t lines = padded(N) * padded_rows<T>(M) + 4 * N;
  return lines < packed;
}

// Rows [i0, i1) and columns [j0, j1) of C, as gemm_block.
template <class T, class PackA, class Epilogue>
void gemm_lines_block(int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t K, const PackA& pack_a,
                      const Lines<T>& b, T* c, int64_t ldc, bool accumulate, const Epilogue& epilogue) {
  using S = Tile<T>;
  constexpr int64_t KC = S::KC, NR = S::NR, L = kLanes<T>;
  constexpr int MR = S::MR, kHalf = MR / 2 + MR / 2 % 2;
  constexpr int64_t ld = KC + L;
  const int64_t slivers = ceil_div(i1 - i0, NR), share = ceil_div(MR, slivers);
  T* abuf = scratch<T>(1, slivers * NR * min64(KC, K));
  T* bbuf = scratch<T>(0, MR * ld);
  for (int64_t k = 0; k < K; k += KC) {
    const int64_t kc = min64(KC, K - k);
    const bool add = accumulate || k > 0, last = k + kc == K;
    pack_a(abuf, k, kc, i0, i1 - i0);
    for (int64_t j = j0; j < j1; j += MR) {
      const int64_t n = min64(MR, j1 - j);
      for (int64_t r = 0; r < MR; ++r) {
        const T* from = b.p + (j + (r < n ? r : 0)) * b.ld + k;  // what is computed twice is not stored
        each_vector<T>(0, kc, [&](int64_t q, int lanes) {
          store_upto(bbuf + r * ld + q, load_upto(from + q, lanes), lanes);
        });
      }
      for (int64_t s = 0; s < slivers; ++s) {
        const int64_t i = i0 + s * NR, m = min64(NR, i1 - i);
        const T* a = abuf + s * NR * kc;
        T* tile = c + i * ldc + j;
        // The share of the next lines that this tile asks for.
        const int64_t first = j + MR + s * share, lines = min64(share, min64(j1, j + 2 * MR) - first);
        const T* ahead = b.p + first * b.ld + k;
        const auto compute = [&]<class V, int R, int NV>() __attribute__((always_inline)) {
          V acc[R][NV];
          micro_kernel<V, R, NV>(
              kc, [&](int64_t q, int r) __attribute__((always_inline)) { return bbuf[r * ld + q]; },
              [&](int64_t q, int v) __attribute__((always_inline)) {
                V x;
                __builtin_memcpy(&x, a + q * NR + v * L, sizeof x);
                return x;
              },
              acc,
              [&](int64_t q) __attribute__((always_inline)) {
                for (int64_t r = 0; r < lines; ++r) __builtin_prefetch(ahead + r * b.ld + q);
                if (q / 16 < m) __builtin_prefetch(tile + q / 16 * ldc, 1);
              });
          if constexpr (sizeof(V) == kVecBytes) {
            store_turned<T, R, NV>(acc, tile, ldc, m, n, i, j, add, last, epilogue);
          } else {
            Vec<T> whole[R][1] = {};
            for (int r = 0; r < R; ++r) __builtin_memcpy(&whole[r][0], &acc[r][0], sizeof(V));
            store_turned<T, R, 1>(whole, tile, ldc, m, n, i, j, add, last, epilogue);
          }
        };
        const auto rows = [&]<int R>() __attribute__((always_inline)) {
          if (m <= L / 2)
            compute.template operator()<HalfVec<T>, R, 1>();
          else if (m <= L)
            compute.template operator()<Vec<T>, R, 1>();
          else
            compute.template operator()<Vec<T>, R, 2>();
        };
        if (n <= kHalf)
          rows.template operator()<kHalf>();
        else
          rows.template operator()<MR>();
      }
    }
  }
}

// All of C, in parallel; pack_a packs rows of A as PackCols does columns of B.
template <class T, class PackA, class Epilogue>
void gemm_lines(int64_t M, int64_t N, int64_t K, const PackA& pack_a, const Lines<T>& b, T* c, int64_t ldc,
                bool accumulate, const Epilogue& epilogue) {
  const Grid g = thread_grid<T>(N, M, gemm_parts(M, N, K));
  parallel_for(g.rows * g.cols, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t j = t / g.cols * g.row_step, i = t % g.cols * g.col_step;
      gemm_lines_block<T>(i, min64(M, i + g.col_step), j, min64(N, j + g.row_step), K, pack_a, b, c, ldc,
                          accumulate, epilogue);
    }
  });
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
