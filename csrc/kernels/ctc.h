// The CTC kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Connectionist temporal classification. Sample i has input_lengths[i] <= steps rows of log_probs and the
// labels targets[starts[i]] .. of target_lengths[i]; each in [0, classes), as the op has checked.
// The states of a sample are blank, label, blank, label, ..., blank: 2 target_length + 1 of them.
struct CtcArgs {
  const void* log_probs;  // (steps, batch, classes), contiguous
  const int64_t* targets;
  const int64_t* starts;          // (batch,)
  const int64_t* input_lengths;   // (batch,)
  const int64_t* target_lengths;  // (batch,)
  void* loss;                     // (batch,): -log p(targets), infinite where there is no alignment
  void* alpha;  // (batch, steps, width): log p(labels so far) by state; written where states are
  int64_t steps, batch, classes, width, blank;
};
// width: room for the states of the longest target, a multiple of every vector's lanes.
__attribute__((always_inline)) constexpr int64_t ctc_width(int64_t longest) {
  return (2 * longest + 1 + 15) / 16 * 16;
}

// The gradient by the logits whose log-softmax log_probs is: dx = dloss (e^log_probs - posterior); 0 from
// input_lengths[i] on; where the loss is infinite 0 with zero_infinity, else NaN.
struct CtcBackwardArgs {
  CtcArgs forward;
  const void* dloss;  // (batch,)
  void* dx;           // (steps, batch, classes)
  bool zero_infinity;
};

// clang-format off
#define DLCORE_KERNELS_CTC(X)         \
  X(ctc_forward, CtcArgs, FLOATS)     \
  X(ctc_backward, CtcBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
