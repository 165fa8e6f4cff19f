// softmax and log-softmax over the middle axis of (outer, n, inner), forward and backward.
// Rows that lie in one run (inner == 1) get a block each; otherwise a thread takes a column, its neighbours
// the columns beside it. Three passes over a row (maximum, sum, result), the last two mostly from cache. Sums
// have one fixed tree.
#include "cuda/common.cuh"

namespace dlcore {
namespace cuda {
namespace {

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {  // NaN wins
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b > a || b != b ? b : a;
  }
};

// The value of all threads of the block combined, in every thread. blockDim.x is a power of two, at most 512.
template <class T, class Op>
__device__ T block_reduce(T v, Op op) {
  __shared__ T shared[512];
  __syncthreads();  // the one before may still be read
  shared[threadIdx.x] = v;
  __syncthreads();
  for (unsigned w = blockDim.x / 2; w > 0; w /= 2) {
    if (threadIdx.x < w) shared[threadIdx.x] = op(shared[threadIdx.x], shared[threadIdx.x + w]);
    __syncthreads();
  }
  return shared[0];
}

template <class T>
__global__ void __launch_bounds__(512) forward_rows(const T* x, T* y, int64_t rows, int64_t n, bool is_log) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const T* a = x + r * n;
    T m = -static_cast<T>(INFINITY);
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) m = Max()(m, a[i]);
    m = block_reduce(m, Max());
    T s = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) s += exp(a[i] - m);
    s = block_reduce(s, Sum());
    const T shift = is_log ? log(s) : T(1) / s;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
      y[r * n + i] = is_log ? a[i] - m - shift : exp(a[i] - m) * shift;
  }
}

template <class T>
__global__ void __launch_bounds__(512)
    backward_rows(const T* y, const T* dy, T* dx, int64_t rows, int64_t n, bool is_log) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const T *a = y + r * n, *g = dy + r * n;
    T s = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) s += is_log ? g[i] : g[i] * a[i];
    s = block_reduce(s, Sum());
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
      dx[r * n + i] = is_log ? g[i] - exp(a[i]) * s : a[i] * (g[i] - s);
  }
}

}  // namespace

template <class T>
void softmax_forward(const SoftmaxArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int64_t n = p.n, inner = p.inner;
  const bool is_log = p.log;
  if (inner == 1) {
    const LaunchPlan plan = plan_rows(p.outer, n);
    if (plan.blocks == 0) return;
    select_device_of(y);
    forward_rows<T><<<static_cast<unsigned>(plan.blocks), plan.threads>>>(x, y, p.outer, n, is_log);
    return;
  }
  for_each(y, p.outer * inner, [=] __device__(int64_t t) {
    const int64_t at = t / inner * n * inner + t % inner;
    T m = -static_cast<T>(INFINITY), s = 0;
    for (int64_t i = 0; i < n; ++i) m = Max()(m, x[at + i * inner]);
    for (int64_t i = 0; i < n; ++i) s += exp(x[at + i * inner] - m);
    const T shift = is_log ? log(s) : T(1) / s;
    for (int64_t i = 0; i < n; ++i) {
      const T v = x[at + i * inner] - m;
      y[at + i * inner] = is_log ? v - shift : exp(v) * shift;
    }
  });
}

template <class T>
void softmax_backward(const SoftmaxBackwardArgs& p) {
  const T *y = static_cast<const T*>(p.y), *dy = static_cast<const T*>(p.dy);
  T* dx = static_cast<T*>(p.dx);
  const int64_t n = p.n, inner = p.inner;
  const bool is_log = p.log;
  if (inner == 1) {
    const LaunchPlan plan = plan_rows(p.outer, n);
    if (plan.blocks == 0) return;
    select_device_of(dx);
    backward_rows<T><<<static_cast<unsigned>(plan.blocks), plan.threads>>>(y, dy, dx, p.outer, n, is_log);
    return;
  }
  for_each(dx, p.outer * inner, [=] __device__(int64_t t) {
    const int64_t at = t / inner * n * inner + t % inner;
    T s = 0;
    for (int64_t i = 0; i < n; ++i) s += is_log ? dy[at + i * inner] : dy[at + i * inner] * y[at + i * inner];
    for (int64_t i = 0; i < n; ++i) {
      const T a = y[at + i * inner], g = dy[at + i * inner];
      dx[at + i * inner] = is_log ? g - exp(a) * s : a * (g - s);
    }
  });
}

DLCORE_CUDA_FLOATS(softmax_forward, SoftmaxArgs)
DLCORE_CUDA_FLOATS(softmax_backward, SoftmaxBackwardArgs)

}  // namespace cuda
}  // namespace dlcore
