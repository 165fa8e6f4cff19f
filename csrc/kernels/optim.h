// The optim kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Arrays of pointers, one an array; all contiguous and of one dtype. first[t] is the number of chunks of
// kOptimChunk elements in the arrays before t, first[count] in all of them.
constexpr int64_t kOptimChunk = 16384;
enum class Optim : int { sgd, adam, nadam, radam, adamax, rmsprop, adagrad, adadelta, lion, asgd, rprop };
struct OptimArgs {
  Optim kind;
  int count;
  void* const* param;
  const void* const* grad;
  void* const* state[3];  // which, see csrc/cpu/optim.cpp (optional)
  const int64_t* size;
  const int64_t* first;
  const double* coef;  // (count, 4): what follows from each parameter's own step
  double h[4];         // the rule's constants
  double lr, weight_decay;
  double inside;   // rmsprop, adagrad: joins their mean or sum under the root (Keras' epsilon)
  bool decoupled;  // weight decay shrinks the parameter instead of joining the gradient
  bool maximize;
  bool flag;  // sgd: nesterov; adam: amsgrad; rmsprop: centered
};
// norm = (sum |x|^order)^(1 / order) over all elements of all arrays; order 0: the largest |x|.
struct MultiNormArgs {
  const void* const* x;
  const int64_t* size;
  const int64_t* first;
  int count;
  double order;
  double* norm;
};
// x *= factor, or x = min(max(x, low), high), in place.
struct MultiScaleArgs {
  void* const* x;
  const int64_t* size;
  const int64_t* first;
  int count;
  bool clamp;
  double factor, low, high;
};

// clang-format off
#define DLCORE_KERNELS_OPTIM(X)       \
  X(optim_step, OptimArgs, FLOATS)    \
  X(multi_norm, MultiNormArgs, FLOATS) \
  X(multi_scale, MultiScaleArgs, FLOATS)
// clang-format on

}  // namespace dlcore
