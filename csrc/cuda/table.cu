// The CUDA table (null where there is no kernel yet: the op then says so) and the device's memory.
#include <cstdio>

#include "cuda/common.cuh"

namespace dlcore {
namespace cuda {

template <class T>
void copy(const CopyArgs&);
template <class T>
void fill(const FillArgs&);
template <class T>
void binary(const BinaryArgs&);
template <class T>
void compare(const CompareArgs&);
template <class T>
void where(const WhereArgs&);
template <class T>
void unary(const UnaryArgs&);
template <class T>
void unary_backward(const UnaryBackwardArgs&);
template <class T>
void matmul(const MatmulArgs&);
template <class T>
void softmax_forward(const SoftmaxArgs&);
template <class T>
void softmax_backward(const SoftmaxBackwardArgs&);
template <class T>
void max_pool_forward(const PoolArgs&);
template <class T>
void max_pool_backward(const PoolBackwardArgs&);
template <class T>
void avg_pool_forward(const PoolArgs&);
template <class T>
void avg_pool_backward(const PoolBackwardArgs&);

static int device_count_now(cudaError_t* status) {
  int n = 0;
  *status = cudaGetDeviceCount(&n);
  if (*status == cudaSuccess) return n;
  cudaGetLastError();  // this one is reported here, not at the next launch
  return 0;
}

static const char* text(cudaError_t status) {
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

void select_device_of(const void* p) {
  static const bool several = [] {
    cudaError_t status;
    return device_count_now(&status) > 1;
  }();
  if (!several) return;
  cudaPointerAttributes where;
  if (cudaPointerGetAttributes(&where, p) == cudaSuccess && where.type == cudaMemoryTypeDevice)
    cudaSetDevice(where.device);
}

static int device_count(const char** error) {
  cudaError_t status;
  const int n = device_count_now(&status);
  if (error) {
    int driver = 0;
    *error = text(status);
    if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
      *error = "no NVIDIA driver found on this machine";
  }
  return n;
}

static const char* allocate(void** p, size_t bytes, int device) {
  *p = nullptr;
  cudaError_t status = cudaSetDevice(device);
  if (status == cudaSuccess) status = cudaMalloc(p, bytes);
  if (status != cudaSuccess) cudaGetLastError();
  return text(status);
}

static const char* release(void* p, int device) {
  cudaError_t status = cudaSetDevice(device);
  if (status == cudaSuccess) status = cudaFree(p);
  return text(status);
}

static const char* to_device(void* dst, const void* src, size_t bytes, int device) {
  cudaError_t status = cudaSetDevice(device);
  if (status == cudaSuccess && bytes) status = cudaMemcpy(dst, src, bytes, cudaMemcpyDefault);
  return text(status);
}

static const char* to_host(void* dst, const void* src, size_t bytes, int device) {
  return to_device(dst, src, bytes, device);  // cudaMemcpy waits for the default stream
}

static const char* synchronize(int device) {
  cudaError_t status = cudaSetDevice(device);
  if (status == cudaSuccess) status = cudaDeviceSynchronize();
  return text(status);
}

static const char* last_error() { return text(cudaGetLastError()); }

static const char* describe(int device) {
  static thread_local char line[384];
  cudaDeviceProp d;
  const cudaError_t status = cudaGetDeviceProperties(&d, device);
  if (status != cudaSuccess) return text(status);
  std::snprintf(line, sizeof line, "%s, %.1f GiB, compute capability %d.%d", d.name,
                static_cast<double>(d.totalGlobalMem) / (1024.0 * 1024.0 * 1024.0), d.major, d.minor);
  return line;
}

template <class Args>
constexpr Entry<Args> floats(KernelFn<Args> f32, KernelFn<Args> f64) {
  return {{f32, f64, nullptr, nullptr, nullptr, nullptr, nullptr}};
}
#define DLCORE_SET_FLOATS(name, Args) t.name = floats<Args>(name<float>, name<double>);
#define DLCORE_SET_ALL(name, Args) \
  t.name = Entry<Args>{            \
      {name<float>, name<double>, name<int32_t>, name<int64_t>, name<uint8_t>, name<bool>, nullptr}};

constexpr Table make_table() {
  Table t{};
  t.name = "cuda";
  DLCORE_SET_ALL(copy, CopyArgs)
  DLCORE_SET_ALL(fill, FillArgs)
  DLCORE_SET_ALL(binary, BinaryArgs)
  DLCORE_SET_ALL(compare, CompareArgs)
  DLCORE_SET_ALL(where, WhereArgs)
  DLCORE_SET_ALL(unary, UnaryArgs)
  DLCORE_SET_FLOATS(unary_backward, UnaryBackwardArgs)
  DLCORE_SET_FLOATS(matmul, MatmulArgs)
  DLCORE_SET_FLOATS(softmax_forward, SoftmaxArgs)
  DLCORE_SET_FLOATS(softmax_backward, SoftmaxBackwardArgs)
  DLCORE_SET_FLOATS(max_pool_forward, PoolArgs)
  DLCORE_SET_FLOATS(max_pool_backward, PoolBackwardArgs)
  DLCORE_SET_FLOATS(avg_pool_forward, PoolArgs)
  DLCORE_SET_FLOATS(avg_pool_backward, PoolBackwardArgs)
  return t;
}

}  // namespace cuda

extern const Table cuda_table;
extern const DeviceApi cuda_api;
constexpr Table cuda_table = cuda::make_table();
constexpr DeviceApi cuda_api = {cuda::device_count, cuda::allocate,    cuda::release,    cuda::to_device,
                                cuda::to_host,      cuda::synchronize, cuda::last_error, cuda::describe};

}  // namespace dlcore
