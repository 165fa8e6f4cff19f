#include "dlpack.h"

#include <memory>

#include "check.h"

namespace py = pybind11;

namespace dlcore {
namespace {

// The ABI of DLPack 0.8 (unversioned), which every producer and consumer speaks.
struct DLDevice {
  int32_t device_type, device_id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};

constexpr int32_t kDLCPU = 1, kDLCUDA = 2;
enum : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

DLDataType to_code(DType t) {
  switch (t) {
    case DType::f32:
      return {kFloat, 32, 1};
    case DType::f64:
      return {kFloat, 64, 1};
    case DType::i32:
      return {kInt, 32, 1};
    case DType::i64:
      return {kInt, 64, 1};
    case DType::u8:
      return {kUInt, 8, 1};
    case DType::b8:
      return {kBool, 8, 1};
    case DType::bf16:
      return {kBfloat, 16, 1};
  }
  return {};
}

struct Exported {
  Array array;
  DLManagedTensor managed;
};

}  // namespace

py::capsule to_dlpack(const Array& a) {
  if (!a.writable()) throw py::buffer_error("__dlpack__: read-only memory cannot be exported");
  auto* e = new Exported{a, {}};
  if (a.storage()) a.storage()->lend();  // the consumer may write to it unseen
  DLTensor& t = e->managed.dl_tensor;
  t.data = a.data();
  t.device = {a.device().kind == Device::cpu ? kDLCPU : kDLCUDA, a.device().index};
  t.ndim = a.ndim();
  t.dtype = to_code(a.dtype());
  t.shape = const_cast<int64_t*>(e->array.shape().v);
  t.strides = const_cast<int64_t*>(e->array.strides().v);
  e->managed.manager_ctx = e;
  e->managed.deleter = [](DLManagedTensor* m) {
    const std::unique_ptr<Exported> lent(static_cast<Exported*>(m->manager_ctx));
    if (lent->array.storage()) lent->array.storage()->give_back();
  };
  return py::capsule(&e->managed, "dltensor", [](PyObject* capsule) {
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;  // consumed
    auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    m->deleter(m);
  });
}

Array from_dlpack(const py::capsule& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    throw ValueError("from_dlpack: the capsule must be a fresh 'dltensor'");
  auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  const DLTensor& t = m->dl_tensor;
  if (t.device.device_type != kDLCPU && t.device.device_type != kDLCUDA)
    throw DeviceError("from_dlpack: the device must be a CPU or a CUDA device");
  DType dtype = DType::f32;
  bool known = false;
  for (int i = 0; i < kNumDTypes; ++i) {
    const DLDataType c = to_code(static_cast<DType>(i));
    if (c.code == t.dtype.code && c.bits == t.dtype.bits && t.dtype.lanes == 1)
      dtype = static_cast<DType>(i), known = true;
  }
  if (!known) throw TypeError("from_dlpack: the dtype is not supported");
  Dims shape, strides;
  for (int i = 0; i < t.ndim; ++i) shape.push(t.shape[i]);
  strides = row_major(shape);
  if (t.strides)
    for (int i = 0; i < t.ndim; ++i) strides[i] = t.strides[i];
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  std::shared_ptr<void> owner(m, [](void* p) {
    auto* managed = static_cast<DLManagedTensor*>(p);
    if (!managed->deleter || !Py_IsInitialized()) return;
    py::gil_scoped_acquire gil;  // the producer may be Python
    managed->deleter(managed);
  });
  const Device device{t.device.device_type == kDLCPU ? Device::cpu : Device::cuda, t.device.device_id};
  return Array::foreign(static_cast<char*>(t.data) + t.byte_offset, shape, strides, dtype, device, true,
                        std::move(owner));
}

}  // namespace dlcore
