// What every op shares: binding with the GIL released, and collapsing of axes for strided kernels.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <utility>
#include <vector>

#include "array.h"
#include "casters.h"
#include "check.h"
#include "dispatch.h"

namespace dlcore {

namespace py = pybind11;

// In a backward an op refuses memory that was changed since its forward (array.h).
template <class T>
void check_unwritten(const T&) {}
inline void check_unwritten(const Array& a) { a.check_unwritten(); }
inline void check_unwritten(const std::optional<Array>& a) {
  if (a) a->check_unwritten();
}
inline void check_unwritten(const std::vector<Array>& arrays) {
  for (const Array& a : arrays) a.check_unwritten();
}
template <class F, class R, class... A>
auto checked(F f, R (*)(A...)) {
  return [f](A... a) -> R {
    (check_unwritten(a), ...);
    return f(std::forward<A>(a)...);
  };
}

// Binds an op whose arguments are plain C++ values and Arrays: it runs without the GIL.
template <class F, class... Extra>
void def_op(py::module_& m, const char* name, F f, const Extra&... extra) {
  using Signature = py::detail::function_signature_t<F>;
  m.def(name, checked(f, static_cast<Signature*>(nullptr)), py::call_guard<py::gil_scoped_release>(),
        extra...);
}

// Merges neighbouring axes that are one run in every operand, and drops axes of size 1: fewer, longer loops.
// `strides` holds `count` pointers to arrays of *ndim strides.
void collapse(int* ndim, int64_t* shape, int64_t* const* strides, int count);

// Indices as kernels want them: int64, contiguous, each in [0, n); with `wrap` negative ones count from the
// end, as NumPy has it (csrc/ops/index.cpp).
Array checked_index(const char* op, const Array& index, int64_t n, bool wrap);
// y = x with axis `axis` replaced by the axes of `index`: y[o, i..., j] = x[o, index[i...], j].
Array take(const char* op, const Array& x, int64_t axis, const Array& index, bool wrap);

// clang-format off
#define DLCORE_FAMILIES(X)                                                                          \
  X(copy) X(elementwise) X(reduce) X(peak) X(matmul) X(conv) X(pool) X(index) X(softmax) \
  X(loss) X(random) X(optim) X(attention) X(rnn) X(norm) X(sort) X(resample) X(embedding) X(ctc) X(quant) \
  X(cuda)
// clang-format on
#define DLCORE_DECLARE_BIND(family) void bind_##family(py::module_& m);
DLCORE_FAMILIES(DLCORE_DECLARE_BIND)
#undef DLCORE_DECLARE_BIND

}  // namespace dlcore
