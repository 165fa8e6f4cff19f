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
// What a max pooling keeps for its backward, laid out as y: the position inside the window (uint8_t, (i_d *
// kernel_h + i_h) * kernel_w + i_w, at most 256 of them; not adaptive), or in the volume (int64_t, (d * H +
// h) * W + w).
enum class PoolSave : int { none = 0, offsets = 1, indices = 2 };

// 2-d pooling has a depth of 1, 1-d pooling also a height of 1. Either the columns or, where channels_last,
// the channels have unit stride in x, y (and dx, dy); x holds the input's side (x or dx) and y the output's
// (y or dy).
struct PoolShape {
  int64_t N, C;
  PoolAxis d, h, w;
  int64_t x_ns, x_cs, x_ds, x_hs, x_ws, y_ns, y_cs, y_ds, y_hs, y_ws;
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
// max_pool_backward, avg_pool_backward: overwrite dx. Positions outside the volume are ignored.
struct PoolBackwardArgs : PoolShape {
  const void* dy;
  const void* saved;  // max pooling only
  void* dx;
};

// Max pooling over windows whose starts are drawn: along an axis, output o < out - 1 sees kernel elements
// from int((o + u) a) - int(u a), a = (in - kernel) / (out - 1), and the last one the last kernel elements.
// u comes from samples (planes, axes); all arrays are row-major, (planes, D, H, W).
struct FractionalPoolArgs {
  const void* x;
  const void* samples;
  void* y;
  int64_t* indices;  // positions in the volume
  int64_t planes;
  int64_t in[3], out[3], kernel[3];  // D, H, W
  int sample[3];                     // which of a plane's `axes` samples serves D, H, W; -1 for none
  int axes;
};

// clang-format off
#define DLCORE_KERNELS_POOL(X)                  \
  X(max_pool_forward, PoolArgs, FLOATS)         \
  X(max_pool_backward, PoolBackwardArgs, FLOATS) \
  X(avg_pool_forward, PoolArgs, FLOATS)         \
  X(avg_pool_backward, PoolBackwardArgs, FLOATS) \
  X(fractional_max_pool_forward, FractionalPoolArgs, FLOATS)
// clang-format on

}  // namespace dlcore
