#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "check.h"
#include "device.h"

namespace dlcore {

#define DLCORE_DECLARE_ISA(ident) \
  namespace ident {               \
  extern const Table table;       \
  }
#ifdef DLCORE_HAVE_X86_64
DLCORE_DECLARE_ISA(x86_64)
#endif
#ifdef DLCORE_HAVE_X86_64_V3
DLCORE_DECLARE_ISA(x86_64_v3)
#endif
#ifdef DLCORE_HAVE_X86_64_V4
DLCORE_DECLARE_ISA(x86_64_v4)
#endif
#ifdef DLCORE_HAVE_GENERIC
DLCORE_DECLARE_ISA(generic)
#endif

#ifdef DLCORE_HAVE_CUDA
extern const Table cuda_table;
extern const DeviceApi cuda_api;
#endif

namespace {

struct Isa {
  const Table* table;
  bool (*supported)();
};

const Isa kIsas[] = {
#ifdef DLCORE_HAVE_X86_64
    {&x86_64::table, [] { return true; }},
#endif
#ifdef DLCORE_HAVE_X86_64_V3
    {&x86_64_v3::table,
     [] {
       return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
     }},
#endif
#ifdef DLCORE_HAVE_X86_64_V4
    {&x86_64_v4::table,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi2");
     }},
#endif
#ifdef DLCORE_HAVE_GENERIC
    {&generic::table, [] { return true; }},
#endif
};

std::atomic<const Table*> g_table{nullptr};

std::string join(const std::vector<std::string>& names) {
  std::string s;
  for (const auto& n : names) s += (s.empty() ? "" : ", ") + n;
  return s;
}

const Table* find(const std::string& name) {
  for (const Isa& isa : kIsas) {
    if (name != isa.table->name) continue;
    if (!isa.supported())
      throw ValueError("set_isa: this CPU does not have " + name + " (available: " + join(available_isas()) +
                       ")");
    return isa.table;
  }
  throw ValueError("set_isa: unknown ISA '" + name + "' (built: " + join(built_isas()) + ")");
}

#ifdef DLCORE_HAVE_CUDA
void check_api(const char* what, const char* error) {
  if (error) throw DeviceError(std::string(what) + ": " + error);
}
#else
[[noreturn]] void not_built() { throw DeviceError("cuda: " + cuda_unavailable_reason()); }
#endif

}  // namespace

const Table& cpu_table() {
  const Table* t = g_table.load(std::memory_order_acquire);
  if (t) return *t;
  const char* name = std::getenv("DLCORE_ISA");
  if (name && *name) {
    t = find(name);
  } else {
    for (const Isa& isa : kIsas)
      if (isa.supported()) t = isa.table;
  }
  g_table.store(t, std::memory_order_release);
  return *t;
}

void set_isa(const std::string& name) { g_table.store(find(name), std::memory_order_release); }
std::string current_isa() { return cpu_table().name; }

std::vector<std::string> built_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) names.push_back(isa.table->name);
  return names;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas)
    if (isa.supported()) names.push_back(isa.table->name);
  return names;
}

const Table* table_or_null(Device device) {
  if (device.kind == Device::cpu) return &cpu_table();
#ifdef DLCORE_HAVE_CUDA
  return &cuda_table;
#else
  return nullptr;
#endif
}

void no_kernel(const char* name, DType dtype, Device device, bool device_has_it) {
  if (device_has_it) throw TypeError(std::string(name) + ": no kernel for dtype " + dtype_name(dtype));
  throw DeviceError(std::string(name) + ": no " + (device.kind == Device::cuda ? "CUDA" : "CPU") +
                    " kernel (available on: " + (device.kind == Device::cuda ? "cpu" : "cuda") + ")");
}

bool cuda_built() {
#ifdef DLCORE_HAVE_CUDA
  return true;
#else
  return false;
#endif
}

std::string cuda_unavailable_reason() {
#ifdef DLCORE_HAVE_CUDA
  const char* error = nullptr;
  if (cuda_api.device_count(&error) > 0) return "";
  return error ? error : "no CUDA device found";
#else
  return "this build of dlcore has no CUDA kernels (build with -C cmake.define.DLCORE_CUDA=ON)";
#endif
}

#ifdef DLCORE_HAVE_CUDA
int device_count() {
  const char* error = nullptr;
  return cuda_api.device_count(&error);
}
std::string device_description(Device device) { return cuda_api.describe(device.index); }
void* device_allocate(size_t bytes, Device device) {
  if (device.index >= device_count())
    throw DeviceError("cuda: " + device.str() + " is not available: " +
                      (device_count() ? "there are " + std::to_string(device_count()) + " devices"
                                      : cuda_unavailable_reason()));
  void* p = nullptr;
  return cuda_api.allocate(&p, bytes, device.index) ? nullptr : p;
}
void device_release(void* p, Device device) { cuda_api.release(p, device.index); }
void device_copy(void* dst, Device dst_device, const void* src, Device src_device, size_t bytes) {
  if (dst_device.kind == Device::cuda) {
    check_api("copy to device", cuda_api.to_device(dst, src, bytes, dst_device.index));
  } else {
    check_api("copy to host", cuda_api.to_host(dst, src, bytes, src_device.index));
  }
}
void device_synchronize(Device device) { check_api("synchronize", cuda_api.synchronize(device.index)); }
void check_device_launch(const char* name) { check_api(name, cuda_api.last_error()); }
#else
int device_count() { return 0; }
std::string device_description(Device) { not_built(); }
void* device_allocate(size_t, Device) { not_built(); }
void device_release(void*, Device) {}
void device_copy(void*, Device, const void*, Device, size_t) { not_built(); }
void device_synchronize(Device) { not_built(); }
void check_device_launch(const char*) {}
#endif

}  // namespace dlcore
