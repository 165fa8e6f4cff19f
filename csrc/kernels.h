// The device-neutral interface: one Args struct a kernel, one list of kernels, struct Table.
// Plain data, compiled for every ISA and by nvcc; no Array, no Python, no exceptions, no std::.
//
// Conventions, stated once:
//   sizes and strides are int64_t and count elements; `T` is the kernel's dtype; pointers are void* to T unless said;
//   a pointer marked (optional) may be null;
//   forward kernels overwrite their outputs; backward kernels overwrite activation gradients (dx) and ACCUMULATE
//   parameter gradients (dweight, dbias), which the op has zeroed or the caller owns;
//   no two of a kernel's buffers overlap unless its comment says so;
//   every size may be 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dlcore {

constexpr int kMaxDims = 8;

enum class DType : uint8_t { f32, f64, i32, i64, u8, b8, bf16 };
constexpr int kNumDTypes = 7;

// Activations that epilogues fuse. Their gradients follow from the OUTPUT alone, so nothing else is saved.
enum class Act : int { none = 0, relu = 1, sigmoid = 2, tanh = 3 };

template <class Args>
using KernelFn = void (*)(const Args&);

// One kernel's forms by dtype; null where there is none.
template <class Args>
struct Entry {
  KernelFn<Args> f[kNumDTypes];
  constexpr bool any() const {
    for (int i = 0; i < kNumDTypes; ++i)
      if (f[i]) return true;
    return false;
  }
};

// ---- copy ---------------------------------------------------------------------------------------------------------
// y[i...] = (T)x[i...]: strided copy with conversion from `x_dtype`. The op has collapsed the axes; the last is the
// fastest for y. xs may hold zeros (broadcast) and negative strides.
struct CopyArgs {
  const void* x;
  void* y;
  DType x_dtype;
  int ndim;
  int64_t shape[kMaxDims], xs[kMaxDims], ys[kMaxDims];
};

// ---- elementwise ----------------------------------------------------------------------------------------------------

// ---- reduce ---------------------------------------------------------------------------------------------------------

// ---- matmul -------------------------------------------------------------------------------------------------------
// C[b] (M,N) = act(A[b] (M,K) @ B[b] (K,N) + bias), b a batch index of up to kMaxDims-2 axes.
// A and B take any strides (0 and negative included); C has unit column stride unless c_cs says otherwise.
// accumulate: C += A @ B (no bias, no act). Without it C is never read.
struct MatmulArgs {
  const void* a;
  const void* b;
  void* c;
  int64_t M, N, K;
  int64_t a_rs, a_cs, b_rs, b_cs, c_rs, c_cs;
  int batch_ndim;
  int64_t batch_shape[kMaxDims], a_bs[kMaxDims], b_bs[kMaxDims], c_bs[kMaxDims];
  const void* bias;  // (N,) contiguous (optional)
  Act act;
  bool accumulate;
};

// ---- conv -----------------------------------------------------------------------------------------------------------

// ---- pool -----------------------------------------------------------------------------------------------------------

// ---- softmax --------------------------------------------------------------------------------------------------------

// ---- loss -----------------------------------------------------------------------------------------------------------

// ---- random ---------------------------------------------------------------------------------------------------------

// ---- optim ----------------------------------------------------------------------------------------------------------

// ---- peak -----------------------------------------------------------------------------------------------------------
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

// ---- the list -------------------------------------------------------------------------------------------------------
// X(name, Args, dtypes): FLOATS is float32 and float64, ALL adds int32, int64, uint8 and bool.
// Makes the fields of Table, the declarations of the kernels, the names in errors, and what Python's
// `dlcore._C.kernel_names()` returns. tests/test_cases.py compares it with the OpCases.
// clang-format off
#define DLCORE_KERNELS_COPY(X)        \
  X(copy, CopyArgs, ALL)
#define DLCORE_KERNELS_ELEMENTWISE(X)
#define DLCORE_KERNELS_REDUCE(X)
#define DLCORE_KERNELS_MATMUL(X)      \
  X(matmul, MatmulArgs, FLOATS)
#define DLCORE_KERNELS_CONV(X)
#define DLCORE_KERNELS_POOL(X)
#define DLCORE_KERNELS_SOFTMAX(X)
#define DLCORE_KERNELS_LOSS(X)
#define DLCORE_KERNELS_RANDOM(X)
#define DLCORE_KERNELS_OPTIM(X)

#define DLCORE_KERNELS_PEAK(X)        \
  X(fma_peak, FmaPeakArgs, FLOATS)    \
  X(stream_triad, StreamTriadArgs, FLOATS)

#define DLCORE_KERNELS(X)             \
  DLCORE_KERNELS_COPY(X)              \
  DLCORE_KERNELS_ELEMENTWISE(X)       \
  DLCORE_KERNELS_REDUCE(X)            \
  DLCORE_KERNELS_MATMUL(X)            \
  DLCORE_KERNELS_CONV(X)              \
  DLCORE_KERNELS_POOL(X)              \
  DLCORE_KERNELS_SOFTMAX(X)           \
  DLCORE_KERNELS_LOSS(X)              \
  DLCORE_KERNELS_RANDOM(X)            \
  DLCORE_KERNELS_OPTIM(X)             \
  DLCORE_KERNELS_PEAK(X)
// clang-format on

struct Table {
  const char* name;  // the ISA ("x86_64_v3") or "cuda"
#define DLCORE_FIELD(name, Args, dtypes) Entry<Args> name;
  DLCORE_KERNELS(DLCORE_FIELD)
#undef DLCORE_FIELD
};

// Memory and streams of a device that is not the host; filled by csrc/cuda/table.cu.
// Functions that can fail return null on success or a message that lives forever.
struct DeviceApi {
  int (*device_count)(const char** error);
  const char* (*allocate)(void** p, size_t bytes, int device);
  const char* (*release)(void* p, int device);
  const char* (*to_device)(void* dst, const void* src, size_t bytes, int device);    // ordered after earlier kernels
  const char* (*to_host)(void* dst, const void* src, size_t bytes, int device);      // returns when the bytes are here
  const char* (*synchronize)(int device);
  const char* (*last_error)();                                                       // of launches since the last call
  const char* (*describe)(int device);                                               // name, memory, compute capability
};

}  // namespace dlcore
