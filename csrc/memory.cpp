#include "memory.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "check.h"
#include "device.h"

namespace dlcore {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kPage = 4096;
constexpr size_t kHuge = size_t{2} << 20;    // from here on: mmap, and huge pages where the kernel has them
constexpr size_t kStep = size_t{128} << 10;  // below kWhole: the last huge page may be a part, of small pages
constexpr size_t kWhole = 16 * kHuge;
constexpr size_t kGuard = 64;  // bytes of each guard band in debug mode
constexpr unsigned char kGuardByte = 0xA5;
constexpr size_t kCheckAvailable = size_t{1}
                                   << 30;  // requests from this size on are held against MemAvailable

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Sizes are rounded so that nearly equal requests meet in the cache.
size_t block_size(size_t bytes) {
  if (bytes <= kPage) return std::max(kAlign, round_up(bytes, kAlign));
  if (bytes < kHuge) return round_up(bytes, kPage);
  return round_up(bytes, bytes < kWhole ? kStep : kHuge);
}

// Linux grants more than it has and kills the process later; NumPy users expect MemoryError instead.
bool plausible(size_t bytes) {
  if (bytes > (size_t{1} << 46)) return false;
  if (bytes < kCheckAvailable) return true;
  std::ifstream f("/proc/meminfo");
  std::string key;
  size_t kib = 0, available = 0;
  for (std::string unit; f >> key >> kib; std::getline(f, unit))
    if (key == "MemAvailable:") available = kib << 10;
  std::ifstream limit_file("/sys/fs/cgroup/memory.max"), used_file("/sys/fs/cgroup/memory.current");
  size_t limit = 0, used = 0;
  if (limit_file >> limit && used_file >> used && limit > used)
    available = available ? std::min(available, limit - used) : limit - used;
  return available == 0 || bytes <= available;
}

void* system_allocate(size_t size) {
  if (!plausible(size)) return nullptr;
  if (size < kHuge) return std::aligned_alloc(kAlign, size);
  // Map one huge page more than asked for and give back what lies outside the aligned block.
  char* p = static_cast<char*>(
      mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (p == MAP_FAILED) return nullptr;
  char* aligned = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(p), kHuge));
  if (aligned > p) munmap(p, aligned - p);
  const size_t tail = p + kHuge - aligned;
  if (tail) munmap(aligned + size, tail);
#ifdef MADV_HUGEPAGE
  madvise(aligned, size, MADV_HUGEPAGE);
#endif
  return aligned;
}

void system_release(void* p, size_t size) {
  if (size < kHuge)
    std::free(p);
  else
    munmap(p, size);
}

bool read_debug() {
  const char* v = std::getenv("DLCORE_DEBUG_MEMORY");
  return v && *v && std::strcmp(v, "0") != 0;
}

class Cache {
 public:
  Cache(Device device) : device_(device), debug_(debug_memory() && device.kind == Device::cpu) {}

  void* allocate(size_t bytes) {
    if (bytes > (SIZE_MAX >> 2)) throw std::bad_alloc();
    const size_t size = block_size(bytes + (debug_ ? 2 * kGuard : 0));
    char* p = nullptr;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ++stats_.requests;
      p = static_cast<char*>(take(size));
      if (p) grow(size_of_[p]);
    }
    if (!p) {
      p = static_cast<char*>(fresh(size));
      if (!p) {
        empty();
        p = static_cast<char*>(fresh(size));
      }
      if (!p) throw std::bad_alloc();
      std::lock_guard<std::mutex> lock(mutex_);
      ++stats_.system_allocs;
      size_of_[p] = size;
      grow(size);
    }
    if (!debug_) return p;
    // Guard bands touch the bytes asked for, so that an overrun by one is seen.
    std::memset(p, kGuardByte, kGuard);
    std::memset(p + kGuard, 0xFF, bytes);
    std::memset(p + kGuard + bytes, kGuardByte, kGuard);
    return p + kGuard;
  }

  void release(void* user, size_t bytes) {
    char* p = static_cast<char*>(user);
    if (debug_) {
      p -= kGuard;
      check_bands(p, bytes);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    const size_t size = size_of_[p];
    stats_.active_bytes -= size;
    stats_.cached_bytes += size;
    free_.emplace(size, Block{p, ++freed_});
    // A cache, not a leak: with what is in use no more than a quarter above the most that ever was. Without
    // that quarter a training step, whose gradients come as its activations go, in other sizes, maps most of
    // its blocks anew. The block that has waited longest goes first, so that a program that has moved on to
    // other sizes keeps those.
    while (stats_.cached_bytes > 0 && stats_.active_bytes + stats_.cached_bytes >
                                          high_water_ + high_water_ / 4 + static_cast<int64_t>(kHuge)) {
      auto oldest = free_.begin();
      for (auto it = free_.begin(); it != free_.end(); ++it)
        if (it->second.freed < oldest->second.freed) oldest = it;
      drop(oldest);
    }
  }

  void empty() {
    std::lock_guard<std::mutex> lock(mutex_);
    while (!free_.empty()) drop(free_.begin());
  }

  MemoryStats stats() {
    std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.peak_bytes = stats_.active_bytes;
  }
  std::string violations() {
    std::lock_guard<std::mutex> lock(mutex_);
    return violations_;
  }
  std::mutex& mutex() { return mutex_; }

 private:
  struct Block {
    void* p;
    uint64_t freed;  // when: the count of blocks freed before
  };

  // A cached block that wastes less than its own size and less than two pages (of the size class).
  void* take(size_t size) {
    auto it = free_.lower_bound(size);
    if (it == free_.end()) return nullptr;
    const size_t page = size < kHuge ? kPage : kHuge;
    if (it->first != size && it->first >= std::min(2 * size, size + 2 * page)) return nullptr;
    void* p = it->second.p;
    stats_.cached_bytes -= it->first;
    free_.erase(it);
    return p;
  }

  void drop(std::multimap<size_t, Block>::iterator it) {
    stats_.cached_bytes -= it->first;
    size_of_.erase(it->second.p);
    if (device_.kind == Device::cpu)
      system_release(it->second.p, it->first);
    else
      device_release(it->second.p, device_);
    free_.erase(it);
  }

  void* fresh(size_t size) {
    return device_.kind == Device::cpu ? system_allocate(size) : device_allocate(size, device_);
  }

  void grow(size_t size) {
    stats_.active_bytes += size;
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.active_bytes);
    high_water_ = std::max(high_water_, stats_.active_bytes);
  }

  void check_bands(const char* p, size_t bytes) {
    for (size_t i = 0; i < kGuard; ++i) {
      const bool before = static_cast<unsigned char>(p[kGuard - 1 - i]) != kGuardByte;
      const bool after = static_cast<unsigned char>(p[kGuard + bytes + i]) != kGuardByte;
      if (!before && !after) continue;
      std::lock_guard<std::mutex> lock(mutex_);
      if (++stats_.guard_violations <= 8)
        violations_ += "a block of " + std::to_string(bytes) + " bytes was written " + std::to_string(i + 1) +
                       (before ? " bytes before its start\n" : " bytes past its end\n");
      return;
    }
  }

  const Device device_;
  const bool debug_;
  std::mutex mutex_;
  std::multimap<size_t, Block> free_;
  uint64_t freed_ = 0;
  std::unordered_map<void*, size_t> size_of_;
  MemoryStats stats_;
  int64_t high_water_ = 0;
  std::string violations_;
};

constexpr int kMaxDevices = 16;

// Never destroyed: arrays of other modules may be freed after our static destructors ran.
Cache** caches() {
  static Cache** all = [] {
    Cache** c = new Cache*[1 + kMaxDevices]();
    c[0] = new Cache(Device{});
    pthread_atfork([] { caches()[0]->mutex().lock(); }, [] { caches()[0]->mutex().unlock(); },
                   [] { caches()[0]->mutex().unlock(); });
    return c;
  }();
  return all;
}

Cache& cache(Device device) {
  if (device.kind == Device::cpu) return *caches()[0];
  if (device.index < 0 || device.index >= kMaxDevices)
    device_error("allocate", "device index must be below 16", {{"index", device.index}});
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  Cache*& c = caches()[1 + device.index];
  if (!c) c = new Cache(device);
  return *c;
}

struct Arena {
  void* p[kWorkspaceSlots] = {};
  size_t size[kWorkspaceSlots] = {};
  ~Arena() {
    for (int i = 0; i < kWorkspaceSlots; ++i)
      if (p[i]) system_release(p[i], size[i]);
  }
};
thread_local Arena t_arena;
std::atomic<int64_t> g_workspace_bytes{0};

}  // namespace

void* allocate(size_t bytes, Device device) { return cache(device).allocate(bytes); }
void deallocate(void* p, size_t bytes, Device device) { cache(device).release(p, bytes); }
MemoryStats memory_stats(Device device) { return cache(device).stats(); }
void reset_peak(Device device) { cache(device).reset_peak(); }
void empty_cache(Device device) { cache(device).empty(); }
std::string check_guards() { return cache(Device{}).violations(); }

bool debug_memory() {
  static const bool on = read_debug();
  return on;
}

void* workspace(int slot, size_t bytes) {
  Arena& a = t_arena;
  if (a.size[slot] >= bytes && a.p[slot]) {
    if (debug_memory()) std::memset(a.p[slot], 0xFF, bytes);
    return a.p[slot];
  }
  if (a.p[slot]) {
    g_workspace_bytes -= a.size[slot];
    system_release(a.p[slot], a.size[slot]);
    a.p[slot] = nullptr;
    a.size[slot] = 0;
  }
  const size_t size = block_size(bytes + bytes / 4);
  a.p[slot] = system_allocate(size);
  if (!a.p[slot]) throw std::bad_alloc();
  a.size[slot] = size;
  g_workspace_bytes += size;
  if (debug_memory()) std::memset(a.p[slot], 0xFF, bytes);
  return a.p[slot];
}

int64_t workspace_bytes() { return g_workspace_bytes; }

}  // namespace dlcore
