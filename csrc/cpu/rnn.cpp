// Recurrent layers, forward: one call a sequence, one or both directions. A step is one product with weights
// packed once, whose epilogue is the whole cell: activations, cell state, output. The inputs are projected
// before, by one GEMM a direction into `gates` (few rows: the recurrent weights are all that a step must
// read), or are part of the step's product (many rows: nothing but the results goes through memory).
//
// Workspace slots: 3 packed weights, 4 states, 5 biases.
#include "cpu/rnn.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// Fewer steps than this do not pay for packing the recurrent weights (cells).
constexpr int64_t kPackSteps = 4;

// The biases that are added before any activation (G H,), zeros where there are none; the GRU's candidate
// keeps its recurrent bias for the product with r.
template <class T>
const T* sum_biases(const RnnShape& p, const RnnWeights& w) {
  const int64_t GH = rnn_gates(p.kind) * p.H, both = p.kind == RnnKind::gru ? 2 * p.H : GH;
  const T* bi = static_cast<const T*>(w.b_ih);
  const T* bh = static_cast<const T*>(w.b_hh);
  T* bias = scratch<T>(5, GH);
  each_vector<T>(0, GH,
                 [&](int64_t i, int n) { store_upto(bias + i, bi ? load_upto(bi + i, n) : Vec<T>{}, n); });
  if (bh)
    each_vector<T>(0, both, [&](int64_t i, int n) {
      store_upto(bias + i, load_upto(bias + i, n) + load_upto(bh + i, n), n);
    });
  return bias;
}

// gates[:, :G H] = x W_ih^T + biases.
template <class T>
void project_inputs(const RnnShape& p, const void* x, const RnnWeights& w, void* gates) {
  if (p.N == 0) return;
  MatmulArgs m{};
  m.a = x, m.b = w.w_ih, m.c = gates, m.bias = sum_biases<T>(p, w);
  m.M = p.N, m.N = rnn_gates(p.kind) * p.H, m.K = p.I;
  m.a_rs = p.I, m.a_cs = 1, m.b_rs = 1, m.b_cs = p.I;
  m.c_rs = rnn_saved(p.kind) * p.H, m.c_cs = 1;
  matmul<T>(m);
}

// c (M, N) = a (M, K) b^T, b (N, K): the product of a step without packing.
template <class T>
void plain_product(const T* a, int64_t M, const void* b, int64_t N, int64_t K, T* c) {
  if (M == 0) return;
  MatmulArgs m{};
  m.a = a, m.b = b, m.c = c;
  m.M = M, m.N = N, m.K = K, m.a_rs = K, m.a_cs = 1, m.b_rs = 1, m.b_cs = K, m.c_rs = N, m.c_cs = 1;
  matmul<T>(m);
}

// Columns of the packed weights, from w (G H, K).
template <class T, int G, int W>
void pack_part(T* dst, int64_t sliver, const T* w, int64_t H, int64_t K) {
  if constexpr (G == 1)
    for (int64_t u = 0; u < H; u += W, dst += sliver)
      pack_lines<T, W>(dst, w + u * K, min64(W, H - u), K, K, 1);
  else
    pack_gates<T, G>(dst, sliver, w, H, K);
}

template <class T, RnnKind kind>
void run(const RnnArgs& p, int direction) {
  constexpr int L = kLanes<T>, G = rnn_gates(kind), S = rnn_saved(kind), V = G == 1 ? 4 : G;
  constexpr int64_t U = G == 1 ? V * L : L;  // units of a sliver
  const RnnShape& q = p.shape;
  const RnnArgs::Direction& d = p.direction[direction];
  const RnnWeights& w = d.weights;
  const RnnRows rows{q};
  const int64_t H = q.H, P = q.P, B = q.B, slivers = ceil_div(H, U), ldy = q.directions * P;
  const int64_t out_slivers = ceil_div(P, 4 * L);
  const bool packed = q.T >= kPackSteps, fused = rnn_fuses_inputs(q), projected = w.w_hr != nullptr;
  const int64_t I = fused ? q.I : 0;  // columns of x in a step's product
  const T* x = static_cast<const T*>(p.x);
  const T* h0 = static_cast<const T*>(w.h0);
  const T* b_hn = kind == RnnKind::gru && w.b_hh ? static_cast<const T*>(w.b_hh) + 2 * H : nullptr;
  T* gates = static_cast<T*>(d.gates);
  T* cells = static_cast<T*>(d.cells);
  T* hT = static_cast<T*>(d.hT);
  T* cT = static_cast<T*>(d.cT);  // the running cell state as well
  T* y = static_cast<T*>(p.y) + direction * P;
  const T* bias = fused ? sum_biases<T>(q, w) : nullptr;

  T* weights = nullptr;
  T* out_weights = nullptr;
  if (packed) {
    const int64_t sliver = (I + P) * V * L, size = slivers * sliver;
    weights = scratch<T>(3, size + (projected ? out_slivers * 4 * L * H : 0));
    out_weights = weights + size;
    pack_part<T, G, V * L>(weights, sliver, static_cast<const T*>(w.w_ih), H, I);
    pack_part<T, G, V * L>(weights + I * V * L, sliver, static_cast<const T*>(w.w_hh), H, P);
    if (projected) pack_lines<T, 4 * L>(out_weights, static_cast<const T*>(w.w_hr), P, H, H, 1);
  }
  // States are read from one buffer while the other is written; `hidden` are those before a projection.
  T* now = scratch<T>(4, B * (2 * P + (projected ? H : 0) + (packed ? 0 : max64(G * H, P))));
  T* next = now + B * P;
  T* hidden = next + B * P;
  T* sums = hidden + (projected ? B * H : 0);

  __builtin_memcpy(hT, h0, B * P * sizeof(T));
  if constexpr (kind == RnnKind::lstm) __builtin_memcpy(cT, w.c0, B * H * sizeof(T));

  int64_t entered = 0;
  for (int64_t step = 0; step < q.T; ++step) {
    const int64_t t = w.reverse ? q.T - 1 - step : step, n = rows.count(t);
    // Backwards in time shorter samples join later, each with its own h0.
    if (n > entered) {
      __builtin_memcpy(now + entered * P, h0 + entered * P, (n - entered) * P * sizeof(T));
      entered = n;
    }
    const int64_t ended = w.reverse ? (t == 0 ? 0 : n) : rows.count(t + 1);  // rows from here on end at t
    auto put = [&](int64_t r, int64_t row, int64_t u, Vec<T> h, int lanes) __attribute__((always_inline)) {
      store_upto(next + r * P + u, h, lanes);
      store_upto(y + row * ldy + u, h, lanes);
      if (r >= ended) store_upto(hT + r * P + u, h, lanes);
    };
    // The cell of row r and units u, u + 1, ...: `a` holds the products, its gates `gap` apart, `add` what is
    // added to them, `apart` the candidate's input of a GRU where `a` has it not.
    auto cell = [&](int64_t r, int64_t u, const T* a, int64_t gap, const T* add, const T* apart)
                    __attribute__((always_inline)) {
                      const int64_t row = rows.at(t, r);
                      const int lanes = static_cast<int>(min64(L, H - u));
                      T* g = gates ? gates + row * S * H + u : nullptr;
                      auto sum = [&](int i) __attribute__((always_inline)) {
                        return load_upto(add + i * H, lanes) + load_upto(a + i * gap, lanes);
                      };
                      if constexpr (G == 1) {
                        const Vec<T> z = sum(0);
                        put(r, row, u, kind == RnnKind::tanh ? gate_tanh<T>(z) : relu(z), lanes);
                      } else if constexpr (kind == RnnKind::lstm) {
                        const Vec<T> i = gate_sigmoid<T>(sum(0)), f = gate_sigmoid<T>(sum(1)),
                                     c1 = gate_tanh<T>(sum(2)), o = gate_sigmoid<T>(sum(3));
                        const Vec<T> c = fma(f, load_upto(cT + r * H + u, lanes), i * c1);
                        store_upto(cT + r * H + u, c, lanes);
                        if (p.keep) {
                          store_upto(g, i, lanes), store_upto(g + H, f, lanes);
                          store_upto(g + 2 * H, c1, lanes), store_upto(g + 3 * H, o, lanes);
                          store_upto(cells + row * H + u, c, lanes);
                        }
                        const Vec<T> h = o * gate_tanh<T>(c);
                        if (projected)
                          store_upto(hidden + r * H + u, h, lanes);
                        else
                          put(r, row, u, h, lanes);
                      } else {
                        const Vec<T> rg = gate_sigmoid<T>(sum(0)), z = gate_sigmoid<T>(sum(1));
                        Vec<T> m = load_upto(a + 2 * gap, lanes), from = load_upto(add + 2 * H, lanes);
                        if (b_hn) m += load_upto(b_hn + u, lanes);
                        if (apart) from += load(apart);
                        const Vec<T> c = gate_tanh<T>(fma(rg, m, from));
                        if (p.keep) {
                          store_upto(g, rg, lanes), store_upto(g + H, z, lanes);
                          store_upto(g + 2 * H, c, lanes), store_upto(g + 3 * H, m, lanes);
                        }
                        put(r, row, u, fma(z, load_upto(now + r * P + u, lanes) - c, c), lanes);
                      }
                    };
    auto ahead = [&](int64_t s, int64_t r0, int64_t r1) {
      if (!gates) return;
      for (int64_t r = r0; r < r1; ++r) {
        const T* g = gates + rows.at(t, r) * S * H + s * U;
        for (int v = 0; v < V; ++v) __builtin_prefetch(g + v * (G == 1 ? L : H), 1);
      }
    };
    // The candidate of a GRU takes its input and its state apart.
    constexpr int kApart = kind == RnnKind::gru ? 2 : -1;
    if (packed) {
      const int64_t first = rows.at(t, 0);
      const StepRows<T> left{x + first * q.I, rows.stride() * q.I, I, now, P, P};
      step_product<T, V, kApart>(n, slivers, left, weights, ahead,
                                 [&](int64_t s, int64_t r0, int64_t r1, const T* a, const T* apart) {
                                   for (int64_t r = r0; r < r1; ++r, a += V * L, apart += L)
                                     for (int64_t u = s * U; u < min64(H, (s + 1) * U); u += L)
                                       cell(r, u, a + (u - s * U), L,
                                            fused ? bias + u : gates + rows.at(t, r) * S * H + u,
                                            kApart >= 0 && fused ? apart : nullptr);
                                 });
      if (projected)
        step_product<T, 4>(n, out_slivers, {hidden, H, H, nullptr, 0, 0}, out_weights, NothingAhead{},
                           [&](int64_t s, int64_t r0, int64_t r1, const T* a, const T*) {
                             for (int64_t r = r0; r < r1; ++r, a += 4 * L)
                               for (int64_t u = s * 4 * L; u < min64(P, (s + 1) * 4 * L); u += L)
                                 put(r, rows.at(t, r), u, load(a + (u - s * 4 * L)),
                                     static_cast<int>(min64(L, P - u)));
                           });
    } else {
      plain_product<T>(now, n, w.w_hh, G * H, P, sums);
      parallel_for(n, max64(1, kGrain / 16 / max64(1, H)), [&](int64_t b, int64_t e) {
        for (int64_t r = b; r < e; ++r)
          for (int64_t u = 0; u < H; u += L)
            cell(r, u, sums + r * G * H + u, H, gates + rows.at(t, r) * S * H + u, nullptr);
      });
      if (projected) {
        plain_product<T>(hidden, n, w.w_hr, P, H, sums);
        for (int64_t r = 0; r < n; ++r)
          each_vector<T>(0, P, [&](int64_t u, int lanes) {
            put(r, rows.at(t, r), u, load_upto(sums + r * P + u, lanes), lanes);
          });
      }
    }
    T* swap = now;
    now = next;
    next = swap;
  }
}

}  // namespace

template <class T>
void rnn_forward(const RnnArgs& p) {
  for (int d = 0; d < p.shape.directions && !rnn_fuses_inputs(p.shape); ++d)
    project_inputs<T>(p.shape, p.x, p.direction[d].weights, p.direction[d].gates);
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
}

DLCORE_INSTANTIATE_FLOATS(rnn_forward, RnnArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
