// The device-neutral interface: one Args struct a kernel, one list of kernels, struct Table.
// Plain data, compiled for every ISA and by nvcc; no Array, no Python, no exceptions, no std::.
//
// Conventions, stated once:
//   sizes and strides are int64_t and count elements; `T` is the kernel's dtype; pointers are void* to T
//   unless said; a pointer marked (optional) may be null; forward kernels overwrite their outputs; backward
//   kernels overwrite activation gradients (dx) and ACCUMULATE parameter gradients (dweight, dbias), which
//   the op has zeroed or the caller owns; no two of a kernel's buffers overlap unless its comment says so;
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

// Where a kernel may keep what it makes of an operand, such as packed weights, for its next calls, until the
// operand changes. `find` gives the room of a key (and what it was made for: all that decides its content),
// or null: make it in scratch memory. *ready: it was filled by a call before.
struct Keeper {
  static constexpr int kKey = 16;
  void* (*find)(Keeper* self, const int64_t (&key)[kKey], size_t bytes, bool* ready);
};

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

}  // namespace dlcore
