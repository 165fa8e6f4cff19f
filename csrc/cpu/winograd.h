// Winograd's minimal filtering for kernels of stride 1: what the forward and the weight gradient share.
// conv_winograd.cpp says what it is.
#pragma once

#include "cpu/conv.h"

namespace dlcore {
namespace DLCORE_ISA {

constexpr int kIn = 6, kPoints = kIn * kIn;  // inputs of a tile along an axis
template <int Taps>
constexpr int kOut = kIn + 1 - Taps;                                   // outputs: 4 with 3 taps, 2 with 5
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

// One tile of N x N pixels of a window, `channels` (in vectors), through a transform along both axes: the
// vector of channel c at point i goes to at(c) + i * step.
template <int N, class Transform, class At>
DLCORE_INLINE void transform_tile(const Window<float>& w, const float* x, int64_t channels, int64_t step,
                                  const Transform& transform, const At& at) {
  for (int64_t c = 0; c < channels; c += kLanes<float>, x += kLanes<float>) {
    Vec<float> half[kIn][N];
#pragma GCC unroll 6
    for (int j = 0; j < N; ++j) {
      Vec<float> d[N], u[kIn];
#pragma GCC unroll 6
      for (int i = 0; i < N; ++i) d[i] = load(x + i * w.row + j * w.pix);
      transform(d, u);
#pragma GCC unroll 6
      for (int i = 0; i < kIn; ++i) half[i][j] = u[i];
    }
    float* out = at(c);
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) {
      Vec<float> u[kIn];
      transform(half[i], u);
#pragma GCC unroll 6
      for (int j = 0; j < kIn; ++j, out += step) store(out, u[j]);
    }
  }
}

// y = (sums of even powers, of odd powers) of the points' products: s the sum and d the difference of a pair
// of points +-p. A' m in the forward and the weight gradient, N outputs of either.
template <int N>
DLCORE_INLINE void transform_output(const Vec<float> (&m)[kIn], Vec<float> (&y)[N]) {
  using F = Vec<float>;
  const F s1 = m[1] + m[2], s2 = m[3] + m[4];
  const F d1 = (m[1] - m[2]) * splat(kA), d2 = (m[3] - m[4]) * splat(kB);
  y[0] = m[0] + (s1 + s2);
  y[1] = d1 + d2;
  if constexpr (N > 2) y[2] = fma(splat(2.0f), s2, splat(0.5f) * s1);
  if constexpr (N > 3) y[3] = fma(splat(2.0f), d2, splat(0.5f) * d1);
  if constexpr (N > 4) y[4] = fma(splat(4.0f), s2, splat(0.25f) * s1);
  y[N - 1] += m[5];
}

// G g: N weights, or N output gradients, to six points.
template <int N>
DLCORE_INLINE void transform_kernel(const Vec<float> (&g)[N], Vec<float> (&u)[kIn]) {
  using F = Vec<float>;
  F even1 = g[0], even2 = g[0], odd1 = g[1], odd2 = g[1];
  if constexpr (N > 2) even1 = fma(splat(0.5f), g[2], even1), even2 = fma(splat(2.0f), g[2], even2);
  if constexpr (N > 3) odd1 = fma(splat(0.5f), g[3], odd1), odd2 = fma(splat(2.0f), g[3], odd2);
  if constexpr (N > 4) even1 = fma(splat(0.25f), g[4], even1), even2 = fma(splat(4.0f), g[4], even2);
  even1 *= splat(-2.0f / 3), odd1 *= splat(-2.0f / 3 * kA);
  even2 *= splat(1.0f / 6), odd2 *= splat(1.0f / 6 * kB);
  u[0] = g[0];
  u[1] = even1 + odd1;
  u[2] = even1 - odd1;
  u[3] = even2 + odd2;
  u[4] = even2 - odd2;
  u[5] = g[N - 1];
}

// Is it worth it for N images of h x w outputs? The costs of both forms in multiply-adds of vectors; the
// transforms' by measurement (AVX-512: 100 ns a tile and vector of channels, 250 ns a vector of weights and
// input channel, where a multiply-add costs 0.32 ns). `products`: rows x columns x depth of the matrix
// products as they are computed, with what is padded.
template <int Taps>
struct WinogradCost {
  int64_t N, h, w, Ci, Co;
  bool kept = false;  // the transformed weights: they are only read, four times what the direct form reads
  int64_t tiles() const { return N * ceil_div(h, kOut<Taps>) * ceil_div(w, kOut<Taps>); }
  bool pays(double products) const {
    constexpr int L = kLanes<float>;
    constexpr int64_t kMost = 16 * 1024 * 1024;  // transformed weights: 64 MB stay with the thread, no more
    if (Ci * Co > kMost / kPoints) return false;
    const double in = static_cast<double>(Ci), out = static_cast<double>(ceil_div(Co, L));
    const double direct = Taps * Taps * static_cast<double>(N * h * w) * in * out;
    const double transforms =
        310.0 * static_cast<double>(tiles()) * (in / L + 1 + out) + (kept ? 250.0 : 800.0) * in * out;
    return kPoints * products / L + transforms < 0.9 * direct;
  }
};

}  // namespace DLCORE_ISA
}  // namespace dlcore
