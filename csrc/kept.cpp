// The registry of what is kept: entries by storage, under one lock, which no kernel runs under. An entry is
// made at the first sight of a key, without memory; at the second, when the operand has proved to come again,
// it gets its room, and is ready for others once the call that fills it has returned.
#include "kept.h"

#include <pthread.h>

#include <chrono>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "check.h"
#include "dispatch.h"
#include "memory.h"

namespace dlcore {

using Clock = std::chrono::steady_clock;

struct Kept {
  int64_t key[Keeper::kKey];
  std::string isa;  // tiles, and so layouts, depend on it
  size_t bytes;
  int64_t changes;       // the storage's, when it was made
  void* data = nullptr;  // null: seen once, so far
  bool ready = false;
  Clock::time_point used;
  ~Kept();
};

namespace {

constexpr auto kStale = std::chrono::seconds(20);  // unused for so long, it makes room for others

struct Registry {
  std::mutex mutex;
  std::unordered_map<const Storage*, std::vector<std::shared_ptr<Kept>>> of;
  std::atomic<int64_t> bytes{0}, limit{int64_t{512} << 20};
};
Registry& registry() {
  // Never destroyed: arrays may die after statics. A child of fork must not find the lock held by a thread
  // that it does not have; prepared before the allocator's, which was registered first, as `find` takes them.
  static Registry* const r = [] {
    pthread_atfork([] { registry().mutex.lock(); }, [] { registry().mutex.unlock(); },
                   [] { registry().mutex.unlock(); });
    return new Registry;
  }();
  return *r;
}

// Makes room for `bytes`, under the lock; what is dropped goes to `dead`, which outlives the lock.
bool make_room(Registry& r, size_t bytes, std::vector<std::shared_ptr<Kept>>* dead) {
  const auto n = static_cast<int64_t>(bytes);
  if (r.bytes + n <= r.limit) return true;
  if (n > r.limit) return false;
  const Clock::time_point now = Clock::now();
  int64_t freed = 0;
  for (auto& [storage, entries] : r.of)
    for (size_t i = 0; i < entries.size();) {
      if (entries[i]->data && now - entries[i]->used > kStale) {
        freed += static_cast<int64_t>(entries[i]->bytes);
        dead->push_back(std::move(entries[i]));
        entries[i] = std::move(entries.back());
        entries.pop_back();
      } else {
        ++i;
      }
    }
  return r.bytes - freed + n <= r.limit;
}

}  // namespace

Kept::~Kept() {
  if (!data) return;
  deallocate(data, bytes, {});
  registry().bytes -= static_cast<int64_t>(bytes);
}

CallKeeper::CallKeeper(const Array& a) : Keeper{&find_in}, array_(a) {}

void* CallKeeper::find_in(Keeper* self, const int64_t (&key)[kKey], size_t bytes, bool* ready) {
  return static_cast<CallKeeper*>(self)->find(key, bytes, ready);
}

void* CallKeeper::find(const int64_t (&key)[kKey], size_t bytes, bool* ready) {
  Storage* const s = array_.storage();
  Registry& r = registry();
  if (!s || !s->private_memory() || bytes == 0 || r.limit == 0) return nullptr;
  std::vector<std::shared_ptr<Kept>> dead;
  std::unique_lock<std::mutex> lock(r.mutex);
  auto& entries = r.of[s];
  s->set_kept();
  const int64_t changes = s->changes();
  for (size_t i = 0; i < entries.size();) {
    if (entries[i]->changes == changes) {
      ++i;
      continue;
    }
    dead.push_back(std::move(entries[i]));
    entries[i] = std::move(entries.back());
    entries.pop_back();
  }
  const std::string isa = current_isa();
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::shared_ptr<Kept> e = entries[i];
    if (e->bytes != bytes || e->isa != isa || std::memcmp(e->key, key, sizeof key) != 0) continue;
    if (e->ready) {
      e->used = Clock::now();
      used_.push_back(e);
      *ready = true;
      return e->data;
    }
    // Seen before: worth keeping. Another call may be filling it, or may have failed to.
    if (e->data || !make_room(r, bytes, &dead)) return nullptr;
    r.bytes += static_cast<int64_t>(bytes);
    try {
      e->data = allocate(bytes, {});
    } catch (const std::bad_alloc&) {
      r.bytes -= static_cast<int64_t>(bytes);
      return nullptr;
    }
    e->used = Clock::now();
    filled_.push_back(e);
    *ready = false;
    return e->data;
  }
  auto e = std::make_shared<Kept>();
  std::memcpy(e->key, key, sizeof key);
  e->isa = isa, e->bytes = bytes, e->changes = changes;
  entries.push_back(std::move(e));
  return nullptr;
}

void CallKeeper::commit() {
  if (filled_.empty()) return;
  std::lock_guard<std::mutex> lock(registry().mutex);
  for (const auto& e : filled_) e->ready = true;
}

void forget_kept(const Storage* s) {
  std::vector<std::shared_ptr<Kept>> dead;  // freed without the lock
  Registry& r = registry();
  std::lock_guard<std::mutex> lock(r.mutex);
  const auto found = r.of.find(s);
  if (found == r.of.end()) return;
  dead = std::move(found->second);
  r.of.erase(found);
}

void forget_all_kept() {
  std::unordered_map<const Storage*, std::vector<std::shared_ptr<Kept>>> dead;
  Registry& r = registry();
  std::lock_guard<std::mutex> lock(r.mutex);
  dead.swap(r.of);
}

int64_t kept_bytes() { return registry().bytes; }
int64_t kept_limit() { return registry().limit; }
void set_kept_limit(int64_t bytes) {
  if (bytes < 0) value_error("set_kept_limit", "bytes must not be negative", {{"bytes", bytes}});
  registry().limit = bytes;
  if (kept_bytes() > bytes) forget_all_kept();
}

}  // namespace dlcore
