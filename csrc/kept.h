// What kernels keep of an array's memory between calls, such as packed weights. It is dropped when that
// memory changes or dies, is not made while others can write to the memory unseen (NumPy, DLPack, memory that
// is not ours), and is never more than kept_limit() bytes in all.
#pragma once

#include <memory>
#include <vector>

#include "array.h"

namespace dlcore {

struct Kept;

// One call's keeper, for one array. What the call has filled is kept if `commit` says that it returned.
class CallKeeper : public Keeper {
 public:
  explicit CallKeeper(const Array& a);
  void commit();

 private:
  static void* find_in(Keeper* self, const int64_t (&key)[kKey], size_t bytes, bool* ready);
  void* find(const int64_t (&key)[kKey], size_t bytes, bool* ready);
  const Array array_;
  std::vector<std::shared_ptr<Kept>> used_, filled_;  // alive until the call ends
};

void forget_kept(const Storage* s);
void forget_all_kept();
int64_t kept_bytes();
int64_t kept_limit();
void set_kept_limit(int64_t bytes);  // 0: nothing is kept; ValueError for less

}  // namespace dlcore
