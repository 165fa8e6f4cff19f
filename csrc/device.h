// The host's side of a device that is not the CPU: thin, checked calls through DeviceApi (filled by
// csrc/cuda).
#pragma once

#include <cstddef>
#include <string>

#include "array.h"

namespace dlcore {

int device_count();  // 0 where there is no driver or no device
std::string device_description(Device device);
void* device_allocate(size_t bytes, Device device);  // nullptr when the device has no more
void device_release(void* p, Device device);
void device_copy(void* dst, Device dst_device, const void* src, Device src_device, size_t bytes);
void device_synchronize(Device device);

}  // namespace dlcore
