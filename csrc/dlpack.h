// DLPack both ways, without copying (https://dmlc.github.io/dlpack/latest/python_spec.html).
#pragma once

#include <pybind11/pybind11.h>

#include "array.h"

namespace dlcore {

pybind11::capsule to_dlpack(const Array& a);  // a "dltensor" capsule; BufferError for read-only memory
Array from_dlpack(const pybind11::capsule& capsule);  // consumes the capsule

}  // namespace dlcore
