// From an op to a kernel: which Table serves a device, and the one place that says that a kernel is missing.
#pragma once

#include <string>
#include <vector>

#include "array.h"
#include "kernels.h"

namespace dlcore {

const Table& cpu_table();
void set_isa(const std::string& name);      // ValueError: unknown, not built, or not on this CPU
std::vector<std::string> available_isas();  // built and supported, plainest first
std::vector<std::string> built_isas();
std::string current_isa();

bool cuda_built();
std::string cuda_unavailable_reason();  // "" when a device can be used
const Table* table_or_null(Device device);

void check_device_launch(const char* name);  // DeviceError for a launch that failed
[[noreturn]] void no_kernel(const char* name, DType dtype, Device device, bool device_has_it);

template <class Args>
void launch(const char* name, Entry<Args> Table::* kernel, DType dtype, Device device, const Args& args) {
  const Table* table = table_or_null(device);
  auto f = table ? (table->*kernel).f[static_cast<int>(dtype)] : nullptr;
  if (!f) no_kernel(name, dtype, device, table && (table->*kernel).any());
  f(args);
  if (device.kind != Device::cpu) check_device_launch(name);
}
#define DLCORE_LAUNCH(kernel, dtype, device, args) \
  ::dlcore::launch(#kernel, &::dlcore::Table::kernel, (dtype), (device), (args))

}  // namespace dlcore
