// Errors, and the one grammar of their messages:
//   op: what must hold, got name=(2, 3, 8, 8) float32 cpu, other=3
// Shapes and values raise ValueError, dtypes TypeError, devices dlcore.DeviceError, axes and indices
// IndexError. Checks stand here and in csrc/ops only; kernels trust their Args.
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>

#include "array.h"

namespace dlcore {

struct ValueError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct TypeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct IndexError : std::out_of_range {
  using std::out_of_range::out_of_range;
};

// One `name=value` of a message.
struct Got {
  std::string text;
  Got(const char* name, const Array& a) : text(std::string(name) + "=" + a.str()) {}
  Got(const char* name, const Dims& d) : text(std::string(name) + "=" + d.str()) {}
  Got(const char* name, int64_t v) : text(std::string(name) + "=" + std::to_string(v)) {}
  Got(const char* name, int v) : text(std::string(name) + "=" + std::to_string(v)) {}
  Got(const char* name, double v);
  Got(const char* name, const std::string& v) : text(std::string(name) + "=" + v) {}
};

std::string message(const char* op, const std::string& must, std::initializer_list<Got> got);

[[noreturn]] inline void value_error(const char* op, const std::string& must,
                                     std::initializer_list<Got> got) {
  throw ValueError(message(op, must, got));
}
[[noreturn]] inline void type_error(const char* op, const std::string& must, std::initializer_list<Got> got) {
  throw TypeError(message(op, must, got));
}
[[noreturn]] inline void device_error(const char* op, const std::string& must,
                                      std::initializer_list<Got> got) {
  throw DeviceError(message(op, must, got));
}
[[noreturn]] inline void index_error(const char* op, const std::string& must,
                                     std::initializer_list<Got> got) {
  throw IndexError(message(op, must, got));
}

void check_ndim(const char* op, const char* name, const Array& a, int ndim);
void check_floating(const char* op, const char* name, const Array& a);  // float32 or float64
void check_same_dtype(const char* op, const char* an, const Array& a, const char* bn, const Array& b);
void check_same_device(const char* op, const char* an, const Array& a, const char* bn, const Array& b);
void check_same(const char* op, const char* an, const Array& a, const char* bn,
                const Array& b);  // both of them
void check_shape(const char* op, const char* name, const Array& a, const Dims& shape);
void check_writable(const char* op, const char* name,
                    const Array& a);  // and stamps it: it is about to change

}  // namespace dlcore
