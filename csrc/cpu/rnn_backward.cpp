// Recurrent layers, backward. Per step, from the last that forward did to its first, one product carries the
// gradient of the states through the recurrent weights, and its epilogue is the cell's gradient of the step
// before. What does not depend on the order of steps comes after, over all rows at once: the gradients of
// the weights, the biases and x.
//
// Workspace slots: 3 packed operands, 4 the GRU's direct path, 6 pointers to the states that each row began
// with.
#include "cpu/rnn.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T, RnnKind kind>
void run(const RnnBackwardArgs& p, int direction) {
  constexpr int L = kLanes<T>, G = rnn_gates(kind), S = rnn_saved(kind);
  constexpr int64_t U = 4 * L;
  const RnnShape& q = p.shape;
  const RnnBackwardArgs::Direction& d = p.direction[direction];
  const RnnWeights& w = d.weights;
  const RnnRows rows{q};
  const int64_t H = q.H, P = q.P, B = q.B, slivers = ceil_div(P, U), ldy = q.directions * P;
  const bool projected = w.w_hr != nullptr;
  const T* gates = static_cast<const T*>(d.gates);
  const T* cells = static_cast<const T*>(d.cells);
  const T* h0 = static_cast<const T*>(w.h0);
  const T* c0 = static_cast<const T*>(w.c0);
  const T* y = static_cast<const T*>(p.y) + direction * P;
  const T* dy = p.dy ? static_cast<const T*>(p.dy) + direction * P : nullptr;
  T* dgates = static_cast<T*>(d.dgates);
  T* dh = static_cast<T*>(d.dh);
  T* dc = static_cast<T*>(d.dc);
  T* hidden = static_cast<T*>(d.hidden);
  T* dhidden = static_cast<T*>(d.dhidden);

  const int64_t size = slivers * U * G * H, hidden_slivers = ceil_div(H, U);
  T* weights = scratch<T>(3, size + (projected ? hidden_slivers * U * P : 0));
  T* out_weights = weights + size;
  pack_lines<T, U>(weights, static_cast<const T*>(w.w_hh), P, G * H, 1, P);
  if (projected) pack_lines<T, U>(out_weights, static_cast<const T*>(w.w_hr), H, P, 1, H);
  T* direct = kind == RnnKind::gru ? scratch<T>(4, B * H) : nullptr;  // z dh, past the product

  auto total = [&](int64_t row, int64_t r, int64_t u, int lanes) __attribute__((always_inline)) {
    const Vec<T> g = load_upto(dh + r * P + u, lanes);
    return dy ? g + load_upto(dy + row * ldy + u, lanes) : g;
  };
  // The cell of step t: from dL/dh (before a projection) to the gradients before the activations.
  auto cell = [&](int64_t t, int64_t r, int64_t row, int64_t u, Vec<T> g, int lanes)
                  __attribute__((always_inline)) {
                    const int64_t before = w.reverse ? t + 1 : t - 1;
                    const bool begins = r >= rows.count(before);
                    const Vec<T> one = splat(T(1));
                    T* out = dgates + row * S * H + u;
                    if constexpr (G == 1) {
                      const Vec<T> h = load_upto(y + row * ldy + u, lanes);
                      if constexpr (kind == RnnKind::tanh)
                        store_upto(out, g * (one - h * h), lanes);
                      else
                        store_upto(out, h > Vec<T>{} ? g : Vec<T>{}, lanes);
                    } else if constexpr (kind == RnnKind::lstm) {
                      const T* s = gates + row * S * H + u;
                      const Vec<T> i = load_upto(s, lanes), f = load_upto(s + H, lanes),
                                   c1 = load_upto(s + 2 * H, lanes), o = load_upto(s + 3 * H, lanes);
                      const Vec<T> tc = gate_tanh<T>(load_upto(cells + row * H + u, lanes));
                      const T* from = begins ? c0 + r * H : cells + rows.at(before, r) * H;
                      const Vec<T> carried = load_upto(dc + r * H + u, lanes) + g * o * (one - tc * tc);
                      store_upto(out, carried * c1 * i * (one - i), lanes);
                      store_upto(out + H, carried * load_upto(from + u, lanes) * f * (one - f), lanes);
                      store_upto(out + 2 * H, carried * i * (one - c1 * c1), lanes);
                      store_upto(out + 3 * H, g * tc * o * (one - o), lanes);
                      store_upto(dc + r * H + u, carried * f, lanes);
                      if (projected) store_upto(hidden + row * H + u, o * tc, lanes);
                    } else {
                      const T* s = gates + row * S * H + u;
                      const Vec<T> rg = load_upto(s, lanes), z = load_upto(s + H, lanes),
                                   c = load_upto(s + 2 * H, lanes), m = load_upto(s + 3 * H, lanes);
                      const T* from = begins ? h0 + r * P : y + rows.at(before, r) * ldy;
                      const Vec<T> dn = g * (one - z) * (one - c * c);
                      store_upto(out, dn * m * rg * (one - rg), lanes);
                      store_upto(out + H, g * (load_upto(from + u, lanes) - c) * z * (one - z), lanes);
                      store_upto(out + 2 * H, dn, lanes);
                      store_upto(out + 3 * H, dn * rg, lanes);
                      store_upto(direct + r * H + u, g * z, lanes);
                    }
                  };
  // The cells of rows [r0, r1) at t, all units.
  auto cells_of = [&](int64_t t, int64_t r0, int64_t r1) {
    parallel_for(r1 - r0, max64(1, kGrain / 16 / H), [&](int64_t b, int64_t e) {
      for (int64_t r = r0 + b; r < r0 + e; ++r) {
        const int64_t row = rows.at(t, r);
        each_vector<T>(0, H, [&](int64_t u, int lanes) __attribute__((always_inline)) {
          cell(t, r, row, u, total(row, r, u, lanes), lanes);
        });
      }
    });
  };

  int64_t done = 0;  // rows of this step whose cells the step before has done
  for (int64_t step = 0; step < q.T; ++step) {
    const int64_t t = w.reverse ? step : q.T - 1 - step, n = rows.count(t);
    const int64_t then = projected ? -1 : w.reverse ? t + 1 : t - 1, n_then = rows.count(then);
    if (projected) {
      parallel_for(n, max64(1, kGrain / P), [&](int64_t b, int64_t e) {
        for (int64_t r = b; r < e; ++r) {
          const int64_t row = rows.at(t, r);
          each_vector<T>(0, P, [&](int64_t u, int lanes) {
            store_upto(dhidden + row * P + u, total(row, r, u, lanes), lanes);
          });
        }
      });
      const int64_t ld = rows.stride() * P;
      step_product<T, 4>(n, hidden_slivers, {dhidden + rows.at(t, 0) * P, ld, P, nullptr, 0, 0}, out_weights,
                         NothingAhead{}, [&](int64_t s, int64_t r0, int64_t r1, const T* a, const T*) {
                           for (int64_t r = r0; r < r1; ++r, a += U)
                             for (int64_t u = s * U; u < min64(H, (s + 1) * U); u += L)
                               cell(t, r, rows.at(t, r), u, load(a + (u - s * U)),
                                    static_cast<int>(min64(L, H - u)));
                         });
    } else if (done < n) {
      cells_of(t, done, n);
    }
    // dh of the rows' earlier states, and at once the cells of the step that made them.
    const T* from = dgates + rows.at(t, 0) * S * H;
    const int64_t ld = rows.stride() * S * H;
    StepRows<T> left{from, ld, G * H, nullptr, 0, 0};
    if (kind == RnnKind::gru) left = {from, ld, 2 * H, from + 3 * H, ld, H};  // past the input's candidate
    auto ahead = [&](int64_t s, int64_t r0, int64_t r1) {
      for (int64_t r = r0; r < min64(r1, n_then); ++r) {
        const int64_t row = rows.at(then, r);
        for (int64_t u = s * U; u < min64(P, (s + 1) * U); u += L) {
          if constexpr (G > 1)
            for (int g = 0; g < S; ++g) __builtin_prefetch(gates + (row * S + g) * H + u);
          for (int g = 0; g < S; ++g) __builtin_prefetch(dgates + (row * S + g) * H + u, 1);
          if (kind == RnnKind::lstm) __builtin_prefetch(cells + row * H + u);
          if (dy) __builtin_prefetch(dy + row * ldy + u);
        }
      }
    };
    step_product<T, 4>(n, slivers, left, weights, ahead,
                       [&](int64_t s, int64_t r0, int64_t r1, const T* a, const T*) {
                         for (int64_t r = r0; r < r1; ++r, a += U) {
                           const bool follows = r < n_then;
                           const int64_t row = follows ? rows.at(then, r) : 0;
                           for (int64_t u = s * U; u < min64(P, (s + 1) * U); u += L) {
                             const int lanes = static_cast<int>(min64(L, P - u));
                             Vec<T> g = load(a + (u - s * U));
                             if constexpr (kind == RnnKind::gru) g += load_upto(direct + r * H + u, lanes);
                             store_upto(dh + r * P + u, g, lanes);
                             if (follows) cell(then, r, row, u, total(row, r, u, lanes), lanes);
                           }
                         }
                       });
    done = min64(n, n_then);
  }
}

// Rows of B (K, n) from anywhere: rows[k] points at row k.
template <class T>
struct PackPointed {
  const T* const* rows;
  void operator()(T* dst, int64_t k, int64_t kc, int64_t j, int64_t n) const {
    constexpr int W = Tile<T>::NR, L = kLanes<T>;
    for (int64_t s = 0; s < n; s += W, dst += W * kc) {
      const int64_t w = min64(W, n - s);
      for (int64_t i = 0; i < kc; ++i) {
        const T* p = rows[k + i] + j + s;
        if (w == W) {
#pragma GCC unroll 4
          for (int v = 0; v < W; v += L) store(dst + i * W + v, load(p + v));
        } else {
          for (int64_t c = 0; c < w; ++c) dst[i * W + c] = p[c];
          for (int64_t c = w; c < W; ++c) dst[i * W + c] = 0;
        }
      }
    }
  }
};

// one, two (columns,) += the sums over rows, each optional; block by block so that errors do not grow with
// the rows.
template <class T>
void add_column_sums(const T* x, int64_t rows, int64_t ld, int64_t columns, T* one, T* two) {
  constexpr int V = 8, L = kLanes<T>;
  constexpr int64_t kBlock = 64;
  T* const outs[] = {one, two};
  if (!one && !two) return;
  parallel_for(ceil_div(columns, V * L), max64(1, kGrain / max64(1, rows * V * L)),
               [&](int64_t b, int64_t e) {
                 for (int64_t s = b; s < e; ++s) {
                   const int64_t j0 = s * V * L, j1 = min64(columns, j0 + V * L);
                   for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
                     Vec<T> sum[V] = {};
                     for (int64_t r = r0; r < min64(rows, r0 + kBlock); ++r)
                       each_vector<T>(j0, j1, [&](int64_t j, int lanes) __attribute__((always_inline)) {
                         sum[(j - j0) / L] += load_upto(x + r * ld + j, lanes);
                       });
                     for (T* out : outs) {
                       if (!out) continue;
                       each_vector<T>(j0, j1, [&](int64_t j, int lanes) {
                         store_upto(out + j, load_upto(out + j, lanes) + sum[(j - j0) / L], lanes);
                       });
                     }
                   }
                 }
               });
}

// a^T as the GEMM's packed left operand: columns [0, M) of n rows. Reads along rows, since columns lie a
// power of two apart and would fall into few sets of the caches.
template <class T>
PackedRows<T> pack_columns(T* dst, const T* a, int64_t lda, int64_t M, int64_t n) {
  constexpr int MR = Tile<T>::MR;
  const int64_t slivers = ceil_div(M, MR);
  parallel_for(slivers, max64(12, kGrain / max64(1, n * MR)), [&](int64_t b, int64_t e) {
    for (int64_t k = 0; k < n; ++k) {
      const T* row = a + k * lda;
      T* to = dst + b * MR * n + k * MR;
      for (int64_t s = b; s < e; ++s, to += MR * n) {
        const int64_t m = min64(MR, M - s * MR);
        if (m == MR) {
          __builtin_memcpy(to, row + s * MR, MR * sizeof(T));
        } else {
          for (int64_t i = 0; i < m; ++i) to[i] = row[s * MR + i];
          for (int64_t i = m; i < MR; ++i) to[i] = 0;
        }
      }
    }
  });
  return {dst, slivers * MR};
}

// dw (M, columns) += a^T b over a block of n rows.
template <class T, class PackB>
void weight_gradient(int64_t M, int64_t columns, int64_t n, const PackedRows<T>& a, const PackB& b, T* dw) {
  gemm<T>(M, columns, n, a, b, dw, columns, true, NoEpilogue{});
}

// Fewer rows than this do not pay for packing W_ih.
constexpr int64_t kPackRows = 32;

// In blocks of rows, so that a block of dgates, packed once, serves all of its sums from the caches.
template <class T>
void gradients_over_rows(const RnnBackwardArgs& p, int direction) {
  constexpr int64_t KC = Tile<T>::KC, MR = Tile<T>::MR, L = kLanes<T>, U = 4 * L;
  const RnnShape& q = p.shape;
  const RnnBackwardArgs::Direction& d = p.direction[direction];
  const RnnWeights& w = d.weights;
  const RnnRows rows{q};
  const bool gru = q.kind == RnnKind::gru;
  const int64_t H = q.H, P = q.P, N = q.N, I = q.I, GH = rnn_gates(q.kind) * H, ld = rnn_saved(q.kind) * H;
  const int64_t head = gru ? 2 * H : GH;  // the gates whose two parts share a gradient
  const bool wants_dx = p.dx && I > 0, tiles_dx = wants_dx && N >= kPackRows;
  const T* dg = static_cast<const T*>(d.dgates);
  const T* x = static_cast<const T*>(p.x);
  T* dx = static_cast<T*>(p.dx);
  T* dw_ih = I > 0 ? static_cast<T*>(d.dw_ih) : nullptr;
  T* dw_hh = static_cast<T*>(d.dw_hh);
  T* b_ih = static_cast<T*>(d.db_ih);
  T* b_hh = static_cast<T*>(d.db_hh);
  if (N == 0) return;
  if (wants_dx && !tiles_dx) {
    MatmulArgs m{};
    m.a = dg, m.b = w.w_ih, m.c = dx;
    m.M = N, m.N = I, m.K = GH, m.a_rs = ld, m.a_cs = 1, m.b_rs = I, m.b_cs = 1, m.c_rs = I, m.c_cs = 1;
    m.accumulate = direction > 0;
    matmul<T>(m);
  }
  const int64_t block = min64(KC, N), slivers = ceil_div(I, U);
  const int64_t shared = ceil_div(GH, MR) * MR * block, own = gru ? ceil_div(H, MR) * MR * block : 0;
  T* left = scratch<T>(3, shared + own + (tiles_dx ? slivers * U * GH : 0));
  T* weights = left + shared + own;
  if (tiles_dx) pack_lines<T, U>(weights, static_cast<const T*>(w.w_ih), I, GH, 1, I);
  const T** from = nullptr;
  if (dw_hh) {
    from = scratch<const T*>(6, N);
    const T* h0 = static_cast<const T*>(w.h0);
    const T* y = static_cast<const T*>(p.y) + direction * P;
    for (int64_t t = 0; t < q.T; ++t) {
      const int64_t before = w.reverse ? t + 1 : t - 1, known = rows.count(before);
      for (int64_t r = 0; r < rows.count(t); ++r)
        from[rows.at(t, r)] = r < known ? y + rows.at(before, r) * q.directions * P : h0 + r * P;
    }
  }
  for (int64_t at = 0; at < N; at += KC) {
    const int64_t n = min64(KC, N - at);
    const T* g = dg + at * ld;
    if (tiles_dx)
      step_product<T, 4>(n, slivers, {g, ld, GH, nullptr, 0, 0}, weights, NothingAhead{},
                         [&](int64_t s, int64_t r0, int64_t r1, const T* sums, const T*) {
                           for (int64_t r = r0; r < r1; ++r, sums += U) {
                             T* to = dx + (at + r) * I;
                             each_vector<T>(s * U, min64(I, (s + 1) * U), [&](int64_t i, int lanes) {
                               Vec<T> v = load(sums + (i - s * U));
                               if (direction > 0) v += load_upto(to + i, lanes);
                               store_upto(to + i, v, lanes);
                             });
                           }
                         });
    add_column_sums<T>(g, n, ld, head, b_ih, b_hh);
    if (gru) {
      add_column_sums<T>(g + head, n, ld, H, b_ih ? b_ih + head : nullptr, nullptr);
      add_column_sums<T>(g + head + H, n, ld, H, b_hh ? b_hh + head : nullptr, nullptr);
    }
    if (!dw_ih && !dw_hh) continue;
    const PackedRows<T> a = pack_columns(left, g, ld, GH, n);
    if (dw_ih) weight_gradient<T>(GH, I, n, a, PackCols<T>{x + at * I, I, 1}, dw_ih);
    if (dw_hh) {
      weight_gradient<T>(head, P, n, a, PackPointed<T>{from + at}, dw_hh);
      if (gru)
        weight_gradient<T>(H, P, n, pack_columns(left + shared, g + GH, ld, H, n), PackPointed<T>{from + at},
                           dw_hh + head * P);
    }
  }
  if (d.dw_hr)
    gemm<T>(P, H, N, PackRows<T>{static_cast<const T*>(d.dhidden), 1, P},
            PackCols<T>{static_cast<const T*>(d.hidden), H, 1}, static_cast<T*>(d.dw_hr), H, true,
            NoEpilogue{});
}

}  // namespace

template <class T>
void rnn_backward(const RnnBackwardArgs& p) {
  each_direction(p.shape.directions, [&](int d) {
    switch (p.shape.kind) {
      case RnnKind::tanh:
        return run<T, RnnKind::tanh>(p, d);
      case RnnKind::relu:
        return run<T, RnnKind::relu>(p, d);
      case RnnKind::lstm:
        return run<T, RnnKind::lstm>(p, d);
      case RnnKind::gru:
        return run<T, RnnKind::gru>(p, d);
    }
  });
  for (int d = 0; d < p.shape.directions; ++d) gradients_over_rows<T>(p, d);
}

DLCORE_INSTANTIATE_FLOATS(rnn_backward, RnnBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
