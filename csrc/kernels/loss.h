// The loss kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

enum class Reduction : int { none = 0, mean = 1, sum = 2 };

// Softmax and cross-entropy in one: logits x (outer, n, inner), the class in the middle, all contiguous.
// Targets are class indices (outer, inner), or probabilities of x's shape; exactly one of the two is given.
// A label that is ignore_index (or, should memory have changed since the op looked, out of range) costs
// nothing. log_probs: x already holds log-probabilities (nll_loss): no softmax, indices only, no smoothing;
// stats unused.
struct CrossEntropyArgs {
  const void* x;
  const int64_t* target;  // (optional)
  const void* prob;       // (optional)
  const void* weight;     // (n,) (optional)
  void* loss;             // (outer, inner): each sample's
  void* stats;            // (outer, inner, 2): max of the logits, sum of e^(x - max); all that backward needs
  void* total;            // the reduced loss; not written for Reduction::none
  void* divisor;          // what the mean divides by: the weights of the labels that count, or outer * inner
  int64_t outer, n, inner, ignore_index;
  double smoothing;
  Reduction reduction;
  bool log_probs;
};
// dx from the gradient of the loss: (outer, inner) for Reduction::none, one number otherwise.
struct CrossEntropyBackwardArgs {
  const void* x;
  const int64_t* target;  // (optional)
  const void* prob;       // (optional)
  const void* weight;     // (n,) (optional)
  const void* stats;
  const void* divisor;
  const void* dloss;
  void* dx;
  int64_t outer, n, inner, ignore_index;
  double smoothing;
  Reduction reduction;
  bool log_probs;
};

// loss[r] = sum over the targets t and the other classes k of max(0, 1 - (x[r, t] - x[r, k])) / n; a row's
// targets end at the first -1.
struct MultilabelMarginArgs {
  const void* x;          // (rows, n), contiguous
  const int64_t* target;  // (rows, n), in [-1, n)
  void* loss;             // (rows,)
  int64_t rows, n;
};
struct MultilabelMarginBackwardArgs {
  const void* x;
  const int64_t* target;
  const void* dloss;  // (rows,)
  void* dx;
  int64_t rows, n;
};

// clang-format off
#define DLCORE_KERNELS_LOSS(X)        \
  X(multilabel_margin_forward, MultilabelMarginArgs, FLOATS) \
  X(multilabel_margin_backward, MultilabelMarginBackwardArgs, FLOATS) \
  X(cross_entropy_forward, CrossEntropyArgs, FLOATS) \
  X(cross_entropy_backward, CrossEntropyBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
