// The random kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Element i's random word is Philox4x32-10 of the key `seed` (two 32-bit words, low first) at the counter (b,
// offset), b = first + 16 (i / 64) + i % 16 in its low two words, word (i % 64) / 16 of the four: sixteen
// neighbours are one word of sixteen counters, which every vector width can make without a shuffle. dropout:
// y = x * keep / (1 - p), keep = word >= p 2^32, the word of channel i / inner; x may be y.
struct DropoutArgs {
  const void* x;
  void* y;
  int64_t n, inner;
  double p;
  uint64_t seed, offset;
};
enum class Random : int { bits = 0, uniform = 1 };
// bits: int32 words as they come. uniform: in [0, 1), 24 bits for float32 (the word's high ones); 53 for
// float64 (of the words i and i + 32 of the 64 that serve 32 elements).
struct RandomArgs {
  void* y;
  int64_t n;
  Random kind;
  uint64_t seed, offset, first;
};

// clang-format off
#define DLCORE_KERNELS_RANDOM(X)      \
  X(dropout, DropoutArgs, FLOATS)     \
  X(random_fill, RandomArgs, FLOATS)
// clang-format on

}  // namespace dlcore
