// The resample kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// A sparse matrix (out, in), row by row: output o is the sum of weight[t] x[index[t]] over first[o] <= t <
// first[o + 1]. Interpolation, its gradient (the transposed matrix) and padding are such matrices.
struct ResampleAxis {
  int64_t in, out;
  const int64_t* first;  // out + 1 of them
  const int64_t* index;
  const void* weight;  // T
};
// y = (D x H x W) x along the three middle axes of x (outer, in..., inner), y (outer, out..., inner), both
// contiguous: inner is 1 for row-major planes, the channels for channels-last ones.
struct ResampleArgs {
  const void* x;
  void* y;
  int64_t outer, inner;
  ResampleAxis d, h, w;
};

// How an axis meets a sliding window: output o sees o * stride - before + i * dilation for 0 <= i < kernel.
struct FoldAxis {
  int64_t size, out, kernel, stride, before, dilation;
};
// unfold: y (N, C kernel_h kernel_w, out_h out_w) from x (N, C, H, W). fold: the sum back, x then being y's
// layout. All contiguous.
struct FoldArgs {
  const void* x;
  void* y;
  int64_t planes;  // N C
  FoldAxis h, w;
};

enum class GridMode : int { bilinear = 0, nearest = 1, bicubic = 2 };
enum class GridPadding : int { zeros = 0, border = 1, reflection = 2 };

// x sampled at grid positions in [-1, 1]: x (N, C, D, H, W), 2-d with D = 1, grid (N, points, axes), the last
// axis (w, h) or (w, h, d), y (N, C, points); x and y dense, row-major or with the channels fastest.
struct GridSampleShape {
  int64_t N, C, D, H, W, points;
  int axes;       // 2 or 3
  GridMode mode;  // bicubic for 2 axes only
  GridPadding padding;
  bool align_corners, channels_last;
};
struct GridSampleArgs : GridSampleShape {
  const void* x;
  const void* grid;
  void* y;
};
// All row-major.
struct GridSampleBackwardArgs : GridSampleShape {
  const void* x;
  const void* grid;
  const void* dy;
  void* dx;     // (optional)
  void* dgrid;  // (optional)
};

// clang-format off
#define DLCORE_KERNELS_RESAMPLE(X)                                \
  X(resample, ResampleArgs, FLOATS)                               \
  X(unfold, FoldArgs, FLOATS)                                     \
  X(fold, FoldArgs, FLOATS)                                       \
  X(grid_sample_forward, GridSampleArgs, FLOATS)                  \
  X(grid_sample_backward, GridSampleBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
