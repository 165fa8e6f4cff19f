// The thread pool. The caller works too; ranges are split statically, and whoever is awake takes the next
// one; a nested call runs serially on its thread; when two Python threads call at once, the second runs
// serially. A forked child starts a pool of its own when it first needs one. Plain function pointers, because
// code compiled for one ISA must not instantiate std:: templates.
#pragma once

#include <cstdint>

namespace dlcore {

// Calls body(ctx, begin, end) on disjoint ranges that cover [0, n). Every boundary is a multiple of `grain`,
// which is also the least a thread is woken for. An exception thrown by a body reaches the caller (the first
// by index).
//
// Bit-identical results at any number of threads: either an element's value does not depend on the range it
// falls in, or n counts chunks of a size that depends on the shape alone (grain 1) and the caller combines
// them in index order.
void parallel_for_raw(int64_t n, int64_t grain, void (*body)(void*, int64_t, int64_t), void* ctx);

int num_threads();
void set_num_threads(int n);       // ValueError for n < 1
const char* num_threads_reason();  // where the default came from, for `dlcore info`

}  // namespace dlcore
