#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"

namespace dlcore {
namespace {

thread_local bool t_inside = false;  // in a parallel region: nested calls run serially

// How long an idle worker spins for the next job before it sleeps: longer than the gap between two kernels of
// a training step, shorter than anyone would notice on a power meter.
constexpr std::chrono::microseconds kSpin{50};

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads), errors_(threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }

  // Joins the workers. Only for a pool of this process: a forked child abandons its parent's.
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(sleep_mutex_);
      stop_ = true;
      ticket_.fetch_add(kJob);
    }
    sleep_.notify_all();
    for (auto& w : workers_) w.join();
  }

  int threads() const { return threads_; }

  void run(int64_t n, int64_t grain, void (*body)(void*, int64_t, int64_t), void* ctx) {
    n_ = n, grain_ = grain, body_ = body, ctx_ = ctx;
    const int64_t grains = (n + grain - 1) / grain;
    parts_ = static_cast<int>(std::min<int64_t>(threads_, grains));
    done_.store(0, std::memory_order_relaxed);
    {
      // Under the lock, so that a worker about to sleep either sees the new job or gets the notification.
      std::lock_guard<std::mutex> lock(sleep_mutex_);
      const uint64_t job = ticket_.load(std::memory_order_relaxed) / kJob + 1;
      ticket_.store(job * kJob + static_cast<uint64_t>(parts_) * kParts, std::memory_order_release);
    }
    for (int i = 1, asleep = sleepers_.load(); i < parts_ && i <= asleep; ++i) sleep_.notify_one();
    while (work_on_one()) {
    }
    int spins = 0;
    while (done_.load(std::memory_order_acquire) != parts_) {
      if (++spins < 4000)
        relax();
      else
        std::this_thread::yield();  // an overcommitted machine: let the worker have the core
    }
    for (auto& e : errors_) {
      if (!e) continue;
      std::exception_ptr first = e;
      for (auto& other : errors_) other = nullptr;
      std::rethrow_exception(first);
    }
  }

 private:
  // Claims a part of the current job and does it; false where none is left. The caller claims too, so that a
  // worker that is slow to wake delays nobody. A claim succeeds only while its job lasts: the caller leaves
  // run() when every claimed part is done.
  bool work_on_one() {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      const uint64_t next = ticket % kParts, parts = ticket % kJob / kParts;
      if (next >= parts) return false;
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
      part(static_cast<int>(next));
      done_.fetch_add(1, std::memory_order_release);
      return true;
    }
  }

  void part(int i) {
    const int64_t grains = (n_ + grain_ - 1) / grain_;
    const int64_t begin = grains * i / parts_ * grain_;
    const int64_t end = std::min(n_, grains * (i + 1) / parts_ * grain_);
    if (begin >= end) return;
    t_inside = true;
    try {
      body_(ctx_, begin, end);
    } catch (...) {
      errors_[i] = std::current_exception();
    }
    t_inside = false;
  }

  void work() {
    uint64_t seen = 0;  // job
    auto news = [&] { return ticket_.load(std::memory_order_acquire) / kJob != seen; };
    for (;;) {
      const auto until = std::chrono::steady_clock::now() + kSpin;
      int spins = 0;
      while (!news()) {
        relax();
        if (++spins % 64 == 0 && std::chrono::steady_clock::now() > until) {
          std::unique_lock<std::mutex> lock(sleep_mutex_);
          sleepers_.fetch_add(1);
          sleep_.wait(lock, news);
          sleepers_.fetch_sub(1);
        }
      }
      seen = ticket_.load(std::memory_order_acquire) / kJob;
      if (stop_) return;
      while (work_on_one()) {
      }
    }
  }

  // The ticket: the job's number, how many parts it has, how many of them are claimed.
  static constexpr uint64_t kParts = uint64_t(1) << 16, kJob = uint64_t(1) << 32;

  const int threads_;
  std::vector<std::thread> workers_;
  std::vector<std::exception_ptr> errors_;
  int64_t n_ = 0, grain_ = 1;
  void (*body_)(void*, int64_t, int64_t) = nullptr;
  void* ctx_ = nullptr;
  int parts_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int> done_{0};
  std::atomic<int> sleepers_{0};
  std::mutex sleep_mutex_;
  std::condition_variable sleep_;
};

// ---- how many threads
// -----------------------------------------------------------------------------------------------

int affinity_count() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// The cgroup's CPU quota rounded down (but at least 1), or 0 where there is none.
int quota_count() {
  double quota = 0;
  auto consider = [&](double q) {
    if (q > 0 && (quota == 0 || q < quota)) quota = q;
  };
  std::ifstream cgroup("/proc/self/cgroup");
  for (std::string line; std::getline(cgroup, line);) {
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (a == std::string::npos || b == std::string::npos) continue;
    const std::string controllers = line.substr(a + 1, b - a - 1);
    std::string path = line.substr(b + 1);
    for (;; path = path.substr(0, path.rfind('/'))) {  // a limit may stand on any ancestor
      if (controllers.empty()) {                       // version 2: "max 100000" or "150000 100000"
        std::ifstream f("/sys/fs/cgroup" + path + "/cpu.max");
        std::string limit;
        double period = 0;
        if (f >> limit >> period && limit != "max" && period > 0) consider(std::atof(limit.c_str()) / period);
      } else if (controllers.find("cpu") != std::string::npos) {
        std::ifstream q("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_quota_us");
        std::ifstream p("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_period_us");
        double limit = 0, period = 0;
        if (q >> limit && p >> period && limit > 0 && period > 0) consider(limit / period);
      }
      if (path.empty() || path == "/" || path.rfind('/') == std::string::npos) break;
    }
  }
  return quota == 0 ? 0 : std::max(1, static_cast<int>(quota));
}

// Physical cores within the affinity mask: two hyper-threads of one core share its FMA units.
int physical_count() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  std::set<std::pair<std::string, std::string>> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::ifstream core(base + "core_id"), package(base + "physical_package_id");
    std::string c, p;
    if (!(core >> c) || !(package >> p)) return 0;
    cores.insert({p, c});
  }
  return static_cast<int>(cores.size());
#else
  return 0;
#endif
}

std::string& reason() {
  static std::string* r = new std::string;
  return *r;
}

int default_threads() {
  for (const char* name : {"DLCORE_NUM_THREADS", "OMP_NUM_THREADS"}) {
    const char* text = std::getenv(name);
    if (!text || !*text) continue;
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    if (n >= 1 && n <= 4096 && end != text && (*end == '\0' || *end == ',')) {
      reason() = name;
      return static_cast<int>(n);
    }
  }
  const int affinity = affinity_count(), quota = quota_count(), physical = physical_count();
  int n = affinity;
  reason() = "CPU affinity mask";
  if (physical > 0 && physical < n) n = physical, reason() = "physical cores";
  if (quota > 0 && quota < n) n = quota, reason() = "cgroup CPU quota";
  return n;
}

// ---- the one pool of the process
// --------------------------------------------------------------------------------------

struct State {
  std::mutex mutex;      // held for the length of a parallel region, and to change the pool
  Pool* pool = nullptr;  // made when first needed
  std::atomic<int> threads{0};
};

State* g_state = nullptr;  // never destroyed: threads may outlive static destructors

void before_fork() { g_state->mutex.lock(); }
void after_fork_parent() { g_state->mutex.unlock(); }
void after_fork_child() {
  // Only the forking thread is alive here: forget the pool (its threads are gone) and its locks.
  State* fresh = new State;
  fresh->threads = g_state->threads.load();
  g_state = fresh;
}

State& state() {
  static const bool once = [] {
    g_state = new State;
    g_state->threads = default_threads();
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    return true;
  }();
  (void)once;
  return *g_state;
}

}  // namespace

void parallel_for_raw(int64_t n, int64_t grain, void (*body)(void*, int64_t, int64_t), void* ctx) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  if (n <= grain || t_inside) return body(ctx, 0, n);
  State& s = state();
  if (s.threads.load(std::memory_order_relaxed) == 1) return body(ctx, 0, n);
  std::unique_lock<std::mutex> lock(s.mutex, std::try_to_lock);
  if (!lock) return body(ctx, 0, n);  // another Python thread has the pool
  if (!s.pool || s.pool->threads() != s.threads) {
    delete s.pool;
    s.pool = nullptr;
    s.pool = new Pool(s.threads);
  }
  s.pool->run(n, grain, body, ctx);
}

int num_threads() { return state().threads; }
const char* num_threads_reason() { return state(), reason().c_str(); }

void set_num_threads(int n) {
  if (n < 1 || n > 4096) value_error("set_num_threads", "n must be between 1 and 4096", {{"n", n}});
  State& s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  s.threads = n;
  reason() = "set_num_threads";
  if (s.pool && s.pool->threads() != n) {
    delete s.pool;
    s.pool = nullptr;
  }
}

}  // namespace dlcore
