// The part of memory.h that kernels may see: scratch memory of the calling thread.
#pragma once

#include <stddef.h>

namespace dlcore {

// Slot by slot it grows, is reused by the next call, is never shared; the content is undefined. Slots: the
// GEMM driver owns 0 and 1; 2 to 7 are the kernels' own (a nested kernel call must not use its caller's
// slots).
constexpr int kWorkspaceSlots = 8;
void* workspace(int slot, size_t bytes);

}  // namespace dlcore
