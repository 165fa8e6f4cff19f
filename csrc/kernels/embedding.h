// The embedding kernels' arguments and list; conventions in kernels/common.h. The forward of a plain
// embedding is `take` (kernels/index.h).
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Indices are int64, contiguous, within [0, n), as the op has checked. padding is a row of the weight, or -1.

// dweight[r] = sum over the i with index[i] == r of scale[i] dy[source[i]], in the order of i: all of dweight
// (n, inner) is overwritten, with 0 where no index leads. Entries with index[i] == padding do not count.
// by_frequency divides each row by the number of its entries.
struct EmbeddingBackwardArgs {
  const void* dy;         // (rows, inner)
  const int64_t* index;   // (m,)
  const int64_t* source;  // (m,): the row of dy (optional: i)
  const void* scale;      // (m,) (optional: 1)
  void* dweight;
  int64_t m, n, inner, padding;
  bool by_frequency;
};

// Each row of weight (n, inner) that an index names and whose p-norm is above max_norm is scaled, in place,
// to max_norm; p may be infinite.
struct EmbeddingRenormArgs {
  void* weight;
  const int64_t* index;
  int64_t m, n, inner;
  double max_norm, p;
};

// y[b] = sum, mean or maximum of scale[i] weight[index[i]] over offsets[b] <= i < offsets[b + 1], entries at
// padding left out; 0 for an empty bag. Offsets have been checked: 0 first, ascending, at most m.
enum class Bag : int { sum = 0, mean = 1, max = 2 };
struct EmbeddingBagArgs {
  const void* weight;  // (n, inner)
  const int64_t* index;
  const int64_t* offsets;  // (bags + 1,)
  const void* scale;       // (m,) (optional)
  void* y;                 // (bags, inner)
  int64_t* argmax;         // (bags, inner), max alone: the row that each maximum came from, or -1
  int64_t m, bags, inner, padding;
  Bag mode;
};

// max: dweight[argmax[b, j], j] += dy[b, j].
struct EmbeddingBagMaxBackwardArgs {
  const void* dy;         // (bags, inner)
  const int64_t* argmax;  // (bags, inner)
  void* dweight;          // (n, inner)
  int64_t bags, inner;
};

// dscale[i] = dy[source[i]] . weight[index[i]], 0 at padding.
struct EmbeddingBagScaleBackwardArgs {
  const void* dy;
  const void* weight;
  const int64_t* index;
  const int64_t* source;
  void* dscale;
  int64_t m, inner, padding;
};

// clang-format off
#define DLCORE_KERNELS_EMBEDDING(X)                                     \
  X(embedding_backward, EmbeddingBackwardArgs, FLOATS)                  \
  X(embedding_renorm, EmbeddingRenormArgs, FLOATS)                      \
  X(embedding_bag_forward, EmbeddingBagArgs, FLOATS)                    \
  X(embedding_bag_max_backward, EmbeddingBagMaxBackwardArgs, FLOATS)    \
  X(embedding_bag_scale_backward, EmbeddingBagScaleBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
