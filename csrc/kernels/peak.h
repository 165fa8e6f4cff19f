// The peak kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// What the machine can do at most, measured: the limits that `dlcore bench` compares every kernel with.
// y[i] = the mean of kFmaChains independent recurrences v <- 0.75 v + 0.25, `steps` long, that start at
// x[i] + c / 16 (c the chain) and live in registers: 2 * steps * kFmaChains * lanes operations an element.
constexpr int kFmaChains = 12;
struct FmaPeakArgs {
  const void* x;
  void* y;
  int64_t n, steps;
};
// z[i] = x[i] + scale * y[i], with stores that bypass the caches where z is aligned to a vector.
struct StreamTriadArgs {
  const void* x;
  const void* y;
  void* z;
  int64_t n;
  double scale;
};

// clang-format off
#define DLCORE_KERNELS_PEAK(X)        \
  X(fma_peak, FmaPeakArgs, FLOATS)    \
  X(stream_triad, StreamTriadArgs, FLOATS)
// clang-format on

}  // namespace dlcore
