// The device-neutral interface: one Args struct a kernel, one list of kernels, struct Table. A family's
// structs and its part of the list are in kernels/<family>.h, so that a change of one family compiles that
// family alone; conventions in kernels/common.h.
#pragma once

#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/ctc.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/index.h"
#include "kernels/loss.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/optim.h"
#include "kernels/peak.h"
#include "kernels/pool.h"
#include "kernels/quant.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/resample.h"
#include "kernels/rnn.h"
#include "kernels/softmax.h"
#include "kernels/sort.h"

namespace dlcore {

// X(name, Args, dtypes): FLOATS is float32 and float64, ALL adds int32, int64, uint8 and bool.
// Makes the fields of Table, the declarations of the kernels, the names in errors, and what Python's
// `dlcore._C.kernel_names()` returns. tests/test_kernels.py compares it with the OpCases.
// clang-format off
#define DLCORE_KERNELS(X)             \
  DLCORE_KERNELS_COPY(X)              \
  DLCORE_KERNELS_INDEX(X)             \
  DLCORE_KERNELS_ELEMENTWISE(X)       \
  DLCORE_KERNELS_REDUCE(X)            \
  DLCORE_KERNELS_MATMUL(X)            \
  DLCORE_KERNELS_CONV(X)              \
  DLCORE_KERNELS_POOL(X)              \
  DLCORE_KERNELS_SOFTMAX(X)           \
  DLCORE_KERNELS_LOSS(X)              \
  DLCORE_KERNELS_RANDOM(X)            \
  DLCORE_KERNELS_OPTIM(X)             \
  DLCORE_KERNELS_ATTENTION(X)         \
  DLCORE_KERNELS_RNN(X)               \
  DLCORE_KERNELS_NORM(X)              \
  DLCORE_KERNELS_SORT(X)              \
  DLCORE_KERNELS_RESAMPLE(X)          \
  DLCORE_KERNELS_EMBEDDING(X)         \
  DLCORE_KERNELS_CTC(X)               \
  DLCORE_KERNELS_PEAK(X)              \
  DLCORE_KERNELS_QUANT(X)
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
  const char* (*to_device)(void* dst, const void* src, size_t bytes,
                           int device);  // ordered after earlier kernels
  const char* (*to_host)(void* dst, const void* src, size_t bytes,
                         int device);  // returns when the bytes are here
  const char* (*synchronize)(int device);
  const char* (*last_error)();          // of launches since the last call
  const char* (*describe)(int device);  // name, memory, compute capability
};

}  // namespace dlcore
