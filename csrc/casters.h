// pybind11 casters: Dims <-> tuple of int, DType <-> numpy.dtype.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "array.h"

namespace dlcore {
pybind11::object numpy_dtype(DType t);  // the interned numpy.dtype
bool dtype_from_numpy(pybind11::handle h,
                      DType* out);  // any spelling numpy.dtype() takes; false if unsupported
}  // namespace dlcore

namespace pybind11::detail {

template <>
struct type_caster<dlcore::Dims> {
  PYBIND11_TYPE_CASTER(dlcore::Dims, io_name("collections.abc.Sequence[int]", "tuple[int, ...]"));

  bool load(handle src, bool) {
    if (!PyTuple_Check(src.ptr()) && !PyList_Check(src.ptr())) return false;
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(src.ptr());
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* item = PySequence_Fast_GET_ITEM(src.ptr(), i);
      if (PyFloat_Check(item)) return false;
      PyObject* index = PyNumber_Index(item);
      if (!index) {
        PyErr_Clear();
        return false;
      }
      const long long x = PyLong_AsLongLong(index);
      Py_DECREF(index);
      if (x == -1 && PyErr_Occurred()) throw error_already_set();
      value.push(x);
    }
    return true;
  }

  static handle cast(const dlcore::Dims& d, return_value_policy, handle) {
    PyObject* t = PyTuple_New(d.n);
    for (int i = 0; i < d.n; ++i) PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(d[i]));
    return t;
  }
};

template <>
struct type_caster<dlcore::DType> {
  PYBIND11_TYPE_CASTER(dlcore::DType, io_name("numpy.typing.DTypeLike", "numpy.dtype[typing.Any]"));
  bool load(handle src, bool) { return dlcore::dtype_from_numpy(src, &value); }
  static handle cast(dlcore::DType t, return_value_policy, handle) {
    return dlcore::numpy_dtype(t).release();
  }
};

}  // namespace pybind11::detail
