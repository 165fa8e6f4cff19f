// The optim kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Arrays of pointers, one an array; all contiguous and of one dtype. first[t] is the number of chunks of
// kOptimChunk elements in the arrays before t, first[count] in all of them.
constexpr int64_t kOptimChunk = 16384;
enum class Optim : int {
  sgd,
  adam,
  nadam,
  radam,
  adamax,
  rmsprop,
  adagrad,
  adadelta,
  lion,
  asgd,
  rprop,
  ftrl,
  schedule_free,
  lamb
};
struct OptimArgs {
  Optim kind;
  int count;
  void* const* param;
  const void* const* grad;
  void* const* state[3];  // which, see csrc/cpu/optim.cpp (optional)
  const int64_t* size;
  const int64_t* first;
  const double* coef;   // (count, 4): what follows from each parameter's own step
  const double* keep;   // (count), decoupled weight decay: each parameter is first multiplied by it
  const double* scale;  // (count): each gradient is first multiplied by it
  double h[4];          // the rule's constants
  double lr;
  double weight_decay;  // of the kind that joins the gradient
  double inside;        // rmsprop, adagrad: joins their mean or sum under the root (Keras' epsilon)
  bool maximize;
  bool flag;   // sgd: nesterov; adam: amsgrad; rmsprop: centered
  bool rated;  // sgd, rmsprop: the velocity sums steps, each with the rate of its time (Keras)
};
// Adafactor. A matrix (batch, rows, columns) keeps the running means of g^2 over its columns in `row` and
// over its rows in `column`; anything else, whose row[t] is null, keeps that of each element in `variance`,
// and is cut into rows of kOptimChunk elements. Blocks of adafactor_rows rows of one batch entry go to the
// threads; first[t]: the blocks of the arrays before t.
constexpr int64_t adafactor_rows(int64_t columns) {
  return kOptimChunk / columns > 16 ? kOptimChunk / columns : 16;
}
struct AdafactorArgs {
  int count;
  void* const* param;
  const void* const* grad;
  void* const* row;
  void* const* column;
  void* const* variance;  // a matrix's is (optional) and only written
  const int64_t* size;
  const int64_t* first;
  const int64_t* dims;  // (count, 3)
  const double* coef;   // (count, 2): the weight of the new in the means; the rate
  double keep;          // weight decay, after the parameter's size was taken
  double epsilon;       // joins g^2
  double least_mean, least_variance, least_rms;
  double threshold;  // of the update's root mean square
  bool maximize;
};
// out = a x + b y, with out = y allowed; y is not read where b is 0.
struct MultiAxpbyArgs {
  void* const* out;
  const void* const* x;
  const void* const* y;
  const int64_t* size;
  const int64_t* first;
  const double* coef;  // (count, 2): a, b
  int count;
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
  X(lamb_step, OptimArgs, FLOATS)     \
  X(adafactor_step, AdafactorArgs, FLOATS) \
  X(multi_axpby, MultiAxpbyArgs, FLOATS) \
  X(multi_norm, MultiNormArgs, FLOATS) \
  X(multi_scale, MultiScaleArgs, FLOATS)
// clang-format on

}  // namespace dlcore
