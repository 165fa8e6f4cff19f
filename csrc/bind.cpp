// The module: Array for Python, memory, threads, ISA; then a list of bind_<family>(m) calls.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <cstring>

#include "check.h"
#include "device.h"
#include "dispatch.h"
#include "dlpack.h"
#include "kept.h"
#include "memory.h"
#include "ops/ops.h"
#include "parallel.h"

namespace dlcore {

static PyObject* g_dtypes[kNumDTypes] = {};

py::object numpy_dtype(DType t) {
  PyObject*& slot = g_dtypes[static_cast<int>(t)];
  if (!slot) {
    if (t == DType::bf16)
      slot = py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")).release().ptr();
    else
      slot = py::dtype(dtype_name(t)).release().ptr();
  }
  return py::reinterpret_borrow<py::object>(slot);
}

// Native float32/64, int32/64, uint8, bool, bfloat16; nothing else.
static bool classify(const py::dtype& d, DType* out) {
  const char kind = d.kind();
  const auto size = d.itemsize();
  if (d.byteorder() == '>' || d.byteorder() == '<') {
    const uint16_t probe = 1;
    const char native = *reinterpret_cast<const char*>(&probe) ? '<' : '>';
    if (d.byteorder() != native) return false;
  }
  if (kind == 'f' && size == 4)
    *out = DType::f32;
  else if (kind == 'f' && size == 8)
    *out = DType::f64;
  else if (kind == 'i' && size == 4)
    *out = DType::i32;
  else if (kind == 'i' && size == 8)
    *out = DType::i64;
  else if (kind == 'u' && size == 1)
    *out = DType::u8;
  else if (kind == 'b')
    *out = DType::b8;
  else if (kind == 'V' && size == 2 && py::str(d.attr("name")).cast<std::string>() == "bfloat16")
    *out = DType::bf16;
  else
    return false;
  return true;
}

bool dtype_from_numpy(py::handle h, DType* out) {
  for (int i = 0; i < kNumDTypes; ++i)
    if (g_dtypes[i] && h.ptr() == g_dtypes[i]) return *out = static_cast<DType>(i), true;
  if (h.is_none()) return false;
  return classify(py::dtype::from_args(py::reinterpret_borrow<py::object>(h)), out);
}

// Shares the ndarray's memory and keeps it alive.
static Array from_numpy(const py::array& a) {
  DType t;
  const py::dtype d = a.dtype();
  if (!classify(d, &t))
    throw TypeError(
        "array: dtype must be float32, float64, int32, int64, uint8 or bool in native byte order, got " +
        py::str(d).cast<std::string>());
  if (a.ndim() > kMaxDims)
    throw ValueError("array: at most 8 dimensions are supported, got " + std::to_string(a.ndim()));
  Dims shape, strides;
  const auto size = static_cast<int64_t>(item_size(t));
  for (int i = 0; i < a.ndim(); ++i) {
    shape.push(a.shape(i));
    if (a.shape(i) > 1 && a.strides(i) % size)
      throw ValueError("array: strides must be multiples of the item size");
    strides.push(a.strides(i) / size);
  }
  if (reinterpret_cast<uintptr_t>(a.data()) % size && a.size() > 0)
    throw ValueError("array: data must be aligned to the item size");
  PyObject* object = a.ptr();
  Py_INCREF(object);
  std::shared_ptr<void> owner(object, [](void* o) {
    if (!Py_IsInitialized()) return;  // the interpreter is gone and its memory with it
    py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(o));
  });
  return Array::foreign(const_cast<void*>(a.data()), shape, strides, t, {}, a.writeable(), std::move(owner));
}

// Shares our memory; the ndarray keeps it alive.
static py::array to_numpy(const Array& a) {
  a.check_unwritten();
  if (a.device().kind != Device::cpu)
    device_error("numpy", "the array must be on the CPU (call .cpu() first)", {{"x", a}});
  std::vector<py::ssize_t> shape, strides;
  const auto size = static_cast<py::ssize_t>(item_size(a.dtype()));
  for (int i = 0; i < a.ndim(); ++i) {
    shape.push_back(a.dim(i));
    strides.push_back(a.stride(i) * size);
  }
  // While any view of it lives, the memory may change unseen.
  py::capsule owner(new Array(a), [](void* p) {
    const std::unique_ptr<Array> lent(static_cast<Array*>(p));
    if (lent->storage()) lent->storage()->give_back();
  });
  if (a.storage()) a.storage()->lend();
  py::array out(py::reinterpret_borrow<py::dtype>(numpy_dtype(a.dtype())), shape, strides, a.data(), owner);
  if (!a.writable()) out.attr("setflags")(false);
  return out;
}

static py::object item(const Array& a) {
  a.check_unwritten();
  if (a.numel() != 1) value_error("item", "the array must have exactly one element", {{"x", a}});
  const Array h = to_device(a, Device{});
  switch (h.dtype()) {
    case DType::f32:
      return py::float_(*h.ptr<float>());
    case DType::f64:
      return py::float_(*h.ptr<double>());
    case DType::i32:
      return py::int_(*h.ptr<int32_t>());
    case DType::i64:
      return py::int_(*h.ptr<int64_t>());
    case DType::u8:
      return py::int_(*h.ptr<uint8_t>());
    case DType::b8:
      return py::bool_(*h.ptr<bool>());
    case DType::bf16:
      break;
  }
  uint32_t bits = static_cast<uint32_t>(*h.ptr<uint16_t>()) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return py::float_(f);
}

static std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
#define DLCORE_NAME(name, Args, dtypes) names.push_back(#name);
  DLCORE_KERNELS(DLCORE_NAME)
#undef DLCORE_NAME
  return names;
}

static std::vector<std::string> kernels_on(const std::string& device) {
  std::vector<std::string> names;
  const Table* t = table_or_null(parse_device(device));
  if (!t) return names;
#define DLCORE_NAME(name, Args, dtypes) \
  if (t->name.any()) names.push_back(#name);
  DLCORE_KERNELS(DLCORE_NAME)
#undef DLCORE_NAME
  return names;
}

static py::typing::Dict<py::str, py::int_> stats(const std::string& device) {
  const MemoryStats s = memory_stats(parse_device(device));
  py::typing::Dict<py::str, py::int_> d;
  d["active_bytes"] = s.active_bytes;
  d["cached_bytes"] = s.cached_bytes;
  d["peak_bytes"] = s.peak_bytes;
  d["system_allocs"] = s.system_allocs;
  d["requests"] = s.requests;
  d["guard_violations"] = s.guard_violations;
  d["workspace_bytes"] = workspace_bytes();
  return d;
}

static void bind_array(py::module_& m) {
  using namespace py::literals;
  py::class_<Array>(m, "Array", "A strided buffer on one device: the data of a Tensor. Made by dlcore.")
      .def_property_readonly("shape", [](const Array& a) { return a.shape(); })
      .def_property_readonly("strides", [](const Array& a) { return a.strides(); })
      .def_property_readonly("dtype", [](const Array& a) { return a.dtype(); })
      .def_property_readonly("device", [](const Array& a) { return a.device().str(); })
      .def_property_readonly("ndim", &Array::ndim)
      .def_property_readonly("size", &Array::numel)
      .def_property_readonly("writable", &Array::writable)
      .def_property_readonly("is_contiguous", &Array::contiguous)
      .def_property_readonly("exclusive", &Array::exclusive)
      .def_property_readonly("data_ptr",
                             [](const Array& a) {
                               if (a.storage()) a.storage()->lend();  // for good
                               return reinterpret_cast<uintptr_t>(a.data());
                             })
      .def("numpy", &to_numpy)
      .def("item", &item)
      .def("shares_memory", &Array::shares_storage, "other"_a)
      .def_property_readonly("written", &Array::written)
      .def("touch", &Array::touch)
      .def("supersede", &Array::supersede)
      .def("tracked", &Array::tracked, "on"_a)
      .def("__repr__", [](const Array& a) { return "Array" + a.str(); });
  m.def("from_numpy", &from_numpy, "x"_a.noconvert());
  def_op(
      m, "empty",
      [](const Dims& shape, DType t, const std::string& device) {
        return Array::empty(shape, t, parse_device(device));
      },
      "shape"_a, "dtype"_a, "device"_a = "cpu");
  m.attr("NEVER") = kNever;
  m.def("write_clock", &write_clock);
  m.def("set_guard", [](int64_t tick) { tape_state().guard = tick; }, "tick"_a);
  m.def("guard", [] { return tape_state().guard; });
  m.def(
      "set_walking", [](bool on) { return std::exchange(tape_state().walking, on); }, "on"_a,
      "Whether this thread walks the tape; returns whether it did.");
  m.def("to_dlpack", &to_dlpack, "x"_a);
  m.def("from_dlpack", &from_dlpack, "capsule"_a);
}

static void bind_runtime(py::module_& m) {
  using namespace py::literals;
  m.def("kernel_names", &kernel_names);
  m.def("kernels_on", &kernels_on, "device"_a);
  m.def("memory_stats", &stats, "device"_a = "cpu");
  m.def("reset_peak_memory", [](const std::string& d) { reset_peak(parse_device(d)); }, "device"_a = "cpu");
  m.def(
      "empty_cache",
      [](const std::string& d) {
        const Device device = parse_device(d);
        if (device.kind == Device::cpu) forget_all_kept();
        empty_cache(device);
      },
      "device"_a = "cpu");
  m.def("kept_bytes", &kept_bytes);
  m.def("kept_limit", &kept_limit);
  m.def("set_kept_limit", &set_kept_limit, "bytes"_a);
  m.def("debug_memory", &debug_memory);
  m.def("check_guards", &check_guards);
  m.def("num_threads", &num_threads);
  m.def("num_threads_reason", &num_threads_reason);
  m.def("set_num_threads", &set_num_threads, "n"_a);
  m.def("current_isa", &current_isa);
  m.def("available_isas", &available_isas);
  m.def("built_isas", &built_isas);
  m.def("set_isa", &set_isa, "name"_a);
  m.def("cuda_built", &cuda_built);
  m.def("cuda_unavailable_reason", &cuda_unavailable_reason);
  m.def("cuda_device_count", &device_count);
  m.def(
      "cuda_device_description", [](const std::string& d) { return device_description(parse_device(d)); },
      "device"_a);
  def_op(m, "synchronize", [](const std::string& d) { device_synchronize(parse_device(d)); }, "device"_a);
  m.def("compiler", [] {
#if defined(__clang__)
    return std::string("clang ") + __clang_version__;
#else
    return std::string("g++ ") + __VERSION__;
#endif
  });
  m.attr("__version__") = DLCORE_VERSION;
}

}  // namespace dlcore

PYBIND11_MODULE(_C, m, pybind11::mod_gil_not_used()) {
  using namespace dlcore;
  m.doc() = "dlcore's kernels and arrays; the public names are in dlcore and its submodules.";
  static PyObject* device_error_type = PyErr_NewExceptionWithDoc(
      "dlcore.DeviceError", "A device is missing, or has no such kernel.", PyExc_RuntimeError, nullptr);
  m.attr("DeviceError") = py::reinterpret_borrow<py::object>(device_error_type);
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const ValueError& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    } catch (const TypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    } catch (const DeviceError& e) {
      PyErr_SetString(device_error_type, e.what());
    } catch (const IndexError& e) {
      PyErr_SetString(PyExc_IndexError, e.what());
    } catch (const std::bad_alloc&) {
      PyErr_SetString(PyExc_MemoryError, "dlcore: out of memory");
    }
  });
  current_isa();  // a wrong DLCORE_ISA fails at import, where it is read
  bind_array(m);
  bind_runtime(m);
#define DLCORE_CALL_BIND(family) bind_##family(m);
  DLCORE_FAMILIES(DLCORE_CALL_BIND)
#undef DLCORE_CALL_BIND
}
