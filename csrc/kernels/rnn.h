// The rnn kernels' arguments and list; conventions in kernels/common.h.
//
// Letters: T steps, B samples, I inputs, H hidden units, P outputs (H, or the width of an LSTM's projection),
// D directions, N rows: every (step, sample) that exists.
//
// Rows lie in one of two ways:
//   padded   N = T B, row(t, b) = t time + b batch: time-major (time B, batch 1) or batch-major (1, T)
//   packed   samples sorted by length, the longest first; step t has active[t] of them, the first ones:
//            row(t, b) = offset[t] + b. Nothing is computed for, or read from, steps beyond a length.
#pragma once

#include "kernels/common.h"

namespace dlcore {

enum class RnnKind : int { tanh = 0, relu = 1, lstm = 2, gru = 3 };
// Blocks of H rows in the weights: LSTM i, f, g, o; GRU r, z, n.
constexpr int rnn_gates(RnnKind k) { return k == RnnKind::lstm ? 4 : k == RnnKind::gru ? 3 : 1; }
// Blocks of H columns in `gates` and `dgates`: the GRU also keeps its candidate's recurrent part.
constexpr int rnn_saved(RnnKind k) { return k == RnnKind::gru ? 4 : rnn_gates(k); }

struct RnnShape {
  RnnKind kind;
  int64_t T, B, I, H, P, N;
  int directions;         // 1 or 2
  const int64_t* active;  // (T,), not increasing, positive (optional: all of B)
  const int64_t* offset;  // (T,), the sums of active before t (with active)
  int64_t time, batch;    // strides of rows without active
};

// Whether the product of a step takes the step's inputs too: with rows enough to read all weights again each
// step, that saves the projection's way through memory. The weights should stay in a cache, and units fill
// vectors.
constexpr bool rnn_fuses_inputs(const RnnShape& p) {
  return p.T >= 4 && p.N >= 8 * p.T && (p.H % 64 == 0 || p.H >= 128) &&
         rnn_gates(p.kind) * p.H * (p.I + p.P) <= (1 << 21);
}

// One direction's parameters and states, all contiguous. y's columns are d P to (d + 1) P for direction d.
struct RnnWeights {
  bool reverse;      // from each sample's own last step to its first
  const void* w_ih;  // (G H, I)
  const void* w_hh;  // (G H, P)
  const void* b_ih;  // (G H,) (optional)
  const void* b_hh;  // (G H,) (optional)
  const void* w_hr;  // (P, H), LSTM only (optional)
  const void* h0;    // (B, P)
  const void* c0;    // (B, H), LSTM only
};

// lstm: i, f, o = sigmoid, g = tanh of W_ih x + b_ih + W_hh h + b_hh; c' = f c + i g; h' = W_hr (o tanh c')
// gru:  r, z = sigmoid of the same; n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h
// tanh, relu: h' = act of the sum
struct RnnArgs {
  RnnShape shape;
  const void* x;  // (N, I)
  void* y;        // (N, D P)
  bool keep;      // for a backward
  struct Direction {
    RnnWeights weights;
    // (N, S H): of an LSTM i, f, g, o, of a GRU r, z, n, W_hn h + b_hn where they are kept; else work space,
    // and not needed where inputs are fused.
    void* gates;
    void* cells;  // (N, H): c' of an LSTM that is kept
    void* hT;     // (B, P)
    void* cT;     // (B, H), LSTM only
  } direction[2];
};

struct RnnBackwardArgs {
  RnnShape shape;
  const void* x;
  const void* y;
  const void* dy;  // (N, D P) (optional: zeros)
  void* dx;        // (N, I), the sum over directions (optional)
  struct Direction {
    RnnWeights weights;
    const void* gates;
    const void* cells;
    void* dgates;   // (N, S H) work space: gradients before the activations; GRU: r, z, n, n's recurrent part
    void* dh;       // (B, P): dL/dhT on entry, dL/dh0 on return
    void* dc;       // (B, H): dL/dcT, dL/dc0; LSTM only
    void* dhidden;  // (N, P) and
    void* hidden;   // (N, H): work space of a projection
    void* dw_ih;    // those of the parameters, each optional
    void* dw_hh;
    void* db_ih;
    void* db_hh;
    void* dw_hr;
  } direction[2];
};

// clang-format off
#define DLCORE_KERNELS_RNN(X)         \
  X(rnn_forward, RnnArgs, FLOATS)     \
  X(rnn_backward, RnnBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
