// Recurrent layers, forward: one call a sequence, one or both directions. The projections of all inputs are
// one GEMM a direction, into `gates`; then a step is one product of the states with the packed recurrent
// weights whose epilogue is the whole cell: activations, cell state, output.
//
// Workspace slots: 3 packed weights, 4 states, 5 biases.
#include "cpu/rnn.h"

#include "cpu/vmath.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// Fewer steps than this do not pay for packing the recurrent weights (cells).
constexpr int64_t kPackSteps = 4;

// gates[:, :G H] = x W_ih^T + the biases that are added before any activation.
template <class T>
void project_inputs(const RnnShape& p, const void* x, const RnnWeights& w, void* gates) {
  const int64_t GH = rnn_gates(p.kind) * p.H;
  if (p.N == 0) return;
  const T* bi = static_cast<const T*>(w.b_ih);
  const T* bh = static_cast<const T*>(w.b_hh);
  T* bias = nullptr;
  if (bi || bh) {
    // The GRU's candidate keeps its recurrent bias for the product with r.
    const int64_t both = p.kind == RnnKind::gru ? 2 * p.H : GH;
    bias = scratch<T>(5, GH);
    each_vector<T>(0, GH,
                   [&](int64_t i, int n) { store_upto(bias + i, bi ? load_upto(bi + i, n) : Vec<T>{}, n); });
    if (bh)
      each_vector<T>(0, both, [&](int64_t i, int n) {
        store_upto(bias + i, load_upto(bias + i, n) + load_upto(bh + i, n), n);
      });
  }
  MatmulArgs m{};
  m.a = x, m.b = w.w_ih, m.c = gates, m.bias = bias;
  m.M = p.N, m.N = GH, m.K = p.I;
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
  const bool packed = q.T >= kPackSteps, projected = w.w_hr != nullptr,
             keep = d.cells || kind != RnnKind::lstm;
  const T* h0 = static_cast<const T*>(w.h0);
  const T* w_hh = static_cast<const T*>(w.w_hh);
  const T* b_hn = kind == RnnKind::gru && w.b_hh ? static_cast<const T*>(w.b_hh) + 2 * H : nullptr;
  T* gates = static_cast<T*>(d.gates);
  T* cells = static_cast<T*>(d.cells);
  T* hT = static_cast<T*>(d.hT);
  T* cT = static_cast<T*>(d.cT);  // the running cell state as well
  T* y = static_cast<T*>(p.y) + direction * P;

  T* weights = nullptr;
  T* out_weights = nullptr;
  if (packed) {
    const int64_t size = slivers * V * L * P;
    weights = scratch<T>(3, size + (projected ? out_slivers * 4 * L * H : 0));
    out_weights = weights + size;
    if constexpr (G == 1)
      pack_lines<T, V * L>(weights, w_hh, H, P, P, 1);
    else
      pack_gates<T, G>(weights, w_hh, H, P);
    if (projected) pack_lines<T, 4 * L>(out_weights, static_cast<const T*>(w.w_hr), P, H, H, 1);
  }
  // States are read from one buffer while the other is written; `hidden` are those before a projection.
  T* now = scratch<T>(4, B * (2 * P + (projected ? H : 0) + (packed ? 0 : G * H)));
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
    // The cell: `a` holds W_hh h of row r and units u, u + 1, ..., the gates `gap` apart.
    auto cell = [&](int64_t r, int64_t u, const T* a, int64_t gap) __attribute__((always_inline)) {
      const int64_t row = rows.at(t, r);
      const int n_lanes = static_cast<int>(min64(L, H - u));
      T* g = gates + row * S * H + u;
      if constexpr (G == 1) {
        const Vec<T> z = load_upto(g, n_lanes) + load_upto(a, n_lanes);
        put(r, row, u, kind == RnnKind::tanh ? tanh<T>(z) : relu(z), n_lanes);
      } else if constexpr (kind == RnnKind::lstm) {
        const Vec<T> i = sigmoid<T>(load_upto(g, n_lanes) + load_upto(a, n_lanes));
        const Vec<T> f = sigmoid<T>(load_upto(g + H, n_lanes) + load_upto(a + gap, n_lanes));
        const Vec<T> c1 = tanh<T>(load_upto(g + 2 * H, n_lanes) + load_upto(a + 2 * gap, n_lanes));
        const Vec<T> o = sigmoid<T>(load_upto(g + 3 * H, n_lanes) + load_upto(a + 3 * gap, n_lanes));
        const Vec<T> c = fma(f, load_upto(cT + r * H + u, n_lanes), i * c1);
        store_upto(cT + r * H + u, c, n_lanes);
        if (keep) {
          store_upto(g, i, n_lanes), store_upto(g + H, f, n_lanes);
          store_upto(g + 2 * H, c1, n_lanes), store_upto(g + 3 * H, o, n_lanes);
          store_upto(cells + row * H + u, c, n_lanes);
        }
        const Vec<T> h = o * tanh<T>(c);
        if (projected)
          store_upto(hidden + r * H + u, h, n_lanes);
        else
          put(r, row, u, h, n_lanes);
      } else {
        const Vec<T> rg = sigmoid<T>(load_upto(g, n_lanes) + load_upto(a, n_lanes));
        const Vec<T> z = sigmoid<T>(load_upto(g + H, n_lanes) + load_upto(a + gap, n_lanes));
        Vec<T> m = load_upto(a + 2 * gap, n_lanes);
        if (b_hn) m += load_upto(b_hn + u, n_lanes);
        const Vec<T> c = tanh<T>(fma(rg, m, load_upto(g + 2 * H, n_lanes)));
        store_upto(g, rg, n_lanes), store_upto(g + H, z, n_lanes);
        store_upto(g + 2 * H, c, n_lanes), store_upto(g + 3 * H, m, n_lanes);
        put(r, row, u, fma(z, load_upto(now + r * P + u, n_lanes) - c, c), n_lanes);
      }
    };
    if (packed) {
      step_product<T, V>(n, slivers, P, {now, P, P, 0}, weights,
                         [&](int64_t s, int64_t r0, int64_t r1, const T* a) {
                           for (int64_t r = r0; r < r1; ++r, a += V * L)
                             for (int64_t u = s * U; u < min64(H, (s + 1) * U); u += L)
                               cell(r, u, a + (u - s * U), L);
                         });
      if (projected)
        step_product<T, 4>(n, out_slivers, H, {hidden, H, H, 0}, out_weights,
                           [&](int64_t s, int64_t r0, int64_t r1, const T* a) {
                             for (int64_t r = r0; r < r1; ++r, a += 4 * L)
                               for (int64_t u = s * 4 * L; u < min64(P, (s + 1) * 4 * L); u += L)
                                 put(r, rows.at(t, r), u, load(a + (u - s * 4 * L)),
                                     static_cast<int>(min64(L, P - u)));
                           });
    } else {
      plain_product<T>(now, n, w_hh, G * H, P, sums);
      parallel_for(n, max64(1, kGrain / 16 / max64(1, H)), [&](int64_t b, int64_t e) {
        for (int64_t r = b; r < e; ++r)
          for (int64_t u = 0; u < H; u += L) cell(r, u, sums + r * G * H + u, H);
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
  for (int d = 0; d < p.shape.directions; ++d)
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
