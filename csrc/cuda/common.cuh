// What the CUDA kernels share: launches in grid-stride loops, 64-bit indices, strided offsets.
// Everything runs on the default stream of the device that holds the output. A failed launch stays in CUDA's
// last error, which the dispatcher reads after every kernel (DeviceApi::last_error).
#pragma once

#include <cuda_runtime.h>

#include "cuda/launch.h"
#include "kernels.h"

namespace dlcore {
namespace cuda {

void select_device_of(const void* p);  // table.cu; a no-op where there is one device

// Calls f(i) for 0 <= i < n, a thread each.
template <class F>
__global__ void __launch_bounds__(kThreads) for_each_kernel(int64_t n, F f) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) f(i);
}

template <class F>
void for_each(const void* output, int64_t n, const F& f) {
  const LaunchPlan plan = plan_items(n);
  if (plan.blocks == 0) return;
  select_device_of(output);
  for_each_kernel<<<static_cast<unsigned>(plan.blocks), plan.threads>>>(n, f);
}

inline int64_t count(int ndim, const int64_t* shape) {
  int64_t n = 1;
  for (int d = 0; d < ndim; ++d) n *= shape[d];
  return n;
}

// Offsets of element i of a row-major walk over `shape` in each of N operands.
template <int N>
struct Offsets {
  int64_t o[N];
};
template <int N>
struct Walk {
  int ndim;
  int64_t shape[kMaxDims], strides[N][kMaxDims];
  __device__ Offsets<N> at(int64_t i) const {
    Offsets<N> r{};
    for (int d = ndim - 1; d >= 0; --d) {
      int64_t k = i;
      if (d > 0) k = i % shape[d], i /= shape[d];
      for (int j = 0; j < N; ++j) r.o[j] += k * strides[j][d];
    }
    return r;
  }
};
template <int N>
Walk<N> make_walk(int ndim, const int64_t* shape, const int64_t* const (&strides)[N]) {
  Walk<N> w{};
  w.ndim = ndim;
  for (int d = 0; d < ndim; ++d) {
    w.shape[d] = shape[d];
    for (int j = 0; j < N; ++j) w.strides[j][d] = strides[j][d];
  }
  return w;
}

template <class T>
constexpr bool kIsFloat = false;
template <>
inline constexpr bool kIsFloat<float> = true;
template <>
inline constexpr bool kIsFloat<double> = true;

#define DLCORE_CUDA_FLOATS(kernel, Args)    \
  template void kernel<float>(const Args&); \
  template void kernel<double>(const Args&);
#define DLCORE_CUDA_ALL(kernel, Args)         \
  DLCORE_CUDA_FLOATS(kernel, Args)            \
  template void kernel<int32_t>(const Args&); \
  template void kernel<int64_t>(const Args&); \
  template void kernel<uint8_t>(const Args&); \
  template void kernel<bool>(const Args&);

}  // namespace cuda
}  // namespace dlcore
