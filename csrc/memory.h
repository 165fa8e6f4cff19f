// One caching allocator a device: 64-byte alignment, huge pages for large blocks, freed blocks kept for reuse
// under a rule that bounds waste (size <= cached < min(2*size, size + 2 pages)). A fresh 50 MB buffer costs
// tens of milliseconds in page faults; a cached one costs nothing. With DLCORE_DEBUG_MEMORY=1 fresh memory is
// filled with 0xFF (NaN in every float format) and each block stands between guard bands that are checked
// when it is freed; violations are counted and described, never fatal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "array.h"
#include "memory_c.h"

namespace dlcore {

struct MemoryStats {
  int64_t active_bytes = 0;      // in live arrays
  int64_t cached_bytes = 0;      // freed and kept
  int64_t peak_bytes = 0;        // highest active_bytes since the last reset
  int64_t system_allocs = 0;     // calls to the system (or driver) so far
  int64_t requests = 0;          // blocks handed out so far
  int64_t guard_violations = 0;  // debug mode only
};

void* allocate(size_t bytes, Device device);  // std::bad_alloc when the system has no more
void deallocate(void* p, size_t bytes, Device device);
MemoryStats memory_stats(Device device);
void reset_peak(Device device);
void empty_cache(Device device);
bool debug_memory();
std::string check_guards();  // "" or a description of the first violations

int64_t workspace_bytes();

}  // namespace dlcore
