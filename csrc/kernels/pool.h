// The pool kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Windows along one axis: output o sees start + i * dilation for 0 <= i < kernel, start = o * stride -
// before, as far as that lies in [0, in). kernel == 0 means adaptive windows: [floor(o in / out), ceil((o +
// 1) in / out)).
struct PoolAxis {
  int64_t in, out, kernel, stride, before, after, dilation;
};
// What a max pooling keeps for its backward, laid out as y: the position inside the window (uint8_t, i_h *
// kernel_w + i_w, at most 256 of them; not adaptive), or in the plane (int64_t, h * W + w).
enum class PoolSave : int { none = 0, offsets = 1, indices = 2 };

// 1-d pooling has a height of 1. Either the columns or, where channels_last, the channels have unit stride in
// x, y (and dx, dy); x holds the input's side (x or dx) and y the output's (y or dy).
struct PoolShape {
  int64_t N, C;
  PoolAxis h, w;
  int64_t x_ns, x_cs, x_hs, x_ws, y_ns, y_cs, y_hs, y_ws;
  bool channels_last;
  PoolSave save;           // max pooling: the form of `saved`
  bool count_include_pad;  // average pooling: the divisor counts padding (not what ceil_mode adds beyond it)
  int64_t divisor;         // average pooling: replaces the count where it is not 0
};
// max_pool_forward, avg_pool_forward. The first maximum in row-major order wins; NaN wins over all.
struct PoolArgs : PoolShape {
  const void* x;
  void* y;
  void* saved;  // (optional) see PoolSave
};
// max_pool_backward, avg_pool_backward: overwrite dx. Positions outside the plane are ignored.
struct PoolBackwardArgs : PoolShape {
  const void* dy;
  const void* saved;  // max pooling only
  void* dx;
};

// clang-format off
#define DLCORE_KERNELS_POOL(X)                  \
  X(max_pool_forward, PoolArgs, FLOATS)         \
  X(max_pool_backward, PoolBackwardArgs, FLOATS) \
  X(avg_pool_forward, PoolArgs, FLOATS)         \
  X(avg_pool_backward, PoolBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
