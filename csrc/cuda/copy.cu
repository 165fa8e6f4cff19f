// Strided copy with conversion. The source's dtype is a uniform branch: six kernels instead of thirty-six.
#include "cuda/common.cuh"

namespace dlcore {
namespace cuda {
namespace {

template <class To>
__device__ To read_as(const void* x, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::f32:
      return static_cast<To>(static_cast<const float*>(x)[i]);
    case DType::f64:
      return static_cast<To>(static_cast<const double*>(x)[i]);
    case DType::i32:
      return static_cast<To>(static_cast<const int32_t*>(x)[i]);
    case DType::i64:
      return static_cast<To>(static_cast<const int64_t*>(x)[i]);
    case DType::u8:
      return static_cast<To>(static_cast<const uint8_t*>(x)[i]);
    case DType::b8:
      return static_cast<To>(static_cast<const bool*>(x)[i]);
    case DType::bf16:
      break;  // storage only; the op refuses it
  }
  return To(0);
}

}  // namespace

template <class T>
void copy(const CopyArgs& p) {
  const Walk<2> walk = make_walk<2>(p.ndim, p.shape, {p.xs, p.ys});
  const void* x = p.x;
  T* y = static_cast<T*>(p.y);
  const DType dtype = p.x_dtype;
  for_each(y, count(p.ndim, p.shape), [=] __device__(int64_t i) {
    const Offsets<2> at = walk.at(i);
    y[at.o[1]] = read_as<T>(x, dtype, at.o[0]);
  });
}

DLCORE_CUDA_ALL(copy, CopyArgs)

}  // namespace cuda
}  // namespace dlcore
