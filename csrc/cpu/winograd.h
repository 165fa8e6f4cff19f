// Winograd's minimal filtering for 3x3 kernels of stride 1: what the forward and the weight gradient share.
// conv_winograd.cpp says what it is.
#pragma once

#include "cpu/conv.h"

namespace dlcore {
namespace DLCORE_ISA {

constexpr int kOut = 4, kIn = 6, kPoints = kIn * kIn;  // of a tile, along an axis: outputs, inputs
constexpr float kA = 0.70710678118654752f, kB = 1.41421356237309505f;  // the points 0, +-kA, +-kB, infinity

// B' d: six inputs to six points.
DLCORE_INLINE void transform_input(const Vec<float> (&d)[kIn], Vec<float> (&v)[kIn]) {
  using F = Vec<float>;
  v[0] = fma(splat(-2.5f), d[2], d[0] + d[4]);
  const F even1 = fma(splat(-2.0f), d[2], d[4]), odd1 = fma(splat(-2.0f), d[1], d[3]);
  v[1] = fma(splat(kA), odd1, even1);
  v[2] = fma(splat(-kA), odd1, even1);
  const F even2 = fma(splat(-0.5f), d[2], d[4]), odd2 = fma(splat(-0.5f), d[1], d[3]);
  v[3] = fma(splat(kB), odd2, even2);
  v[4] = fma(splat(-kB), odd2, even2);
  v[5] = fma(splat(-2.5f), d[3], d[1] + d[5]);
}

// Is it worth it for N images of h x w outputs? The costs of both forms in multiply-adds of vectors; the
// transforms' by measurement (AVX-512: 100 ns a tile and vector of channels, 200 ns a vector of weights and
// input channel, where a multiply-add costs 0.32 ns). `products`: rows x columns x depth of the matrix
// products as they are computed, with what is padded.
struct WinogradCost {
  int64_t N, h, w, Ci, Co;
  int64_t tiles() const { return N * ceil_div(h, kOut) * ceil_div(w, kOut); }
  bool pays(double products) const {
    constexpr int L = kLanes<float>;
    const double in = static_cast<double>(Ci), out = static_cast<double>(ceil_div(Co, L));
    const double direct = 9.0 * static_cast<double>(N * h * w) * in * out;
    const double transforms = 310.0 * static_cast<double>(tiles()) * (in / L + 1 + out) + 600.0 * in * out;
    return kPoints * products / L + transforms < 0.9 * direct;
  }
};

}  // namespace DLCORE_ISA
}  // namespace dlcore
