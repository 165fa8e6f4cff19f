// softmax and log_softmax along one axis: x is made contiguous, then seen as (outer, n, inner).
#include "ops/ops.h"

namespace dlcore {

static void split_axis(const char* op, const Array& x, int64_t axis, int64_t* outer, int64_t* n,
                       int64_t* inner) {
  *outer = *n = *inner = 1;
  const int d = normalize_axis(op, axis, x.ndim());
  if (x.ndim() == 0) return;  // one class
  *n = x.dim(d);
  for (int i = 0; i < d; ++i) *outer *= x.dim(i);
  for (int i = d + 1; i < x.ndim(); ++i) *inner *= x.dim(i);
}

static Array softmax(const Array& x, int64_t axis, bool log) {
  const char* op = log ? "log_softmax" : "softmax";
  check_floating(op, "x", x);
  SoftmaxArgs args{};
  split_axis(op, x, axis, &args.outer, &args.n, &args.inner);
  const Array from = contiguous(x);
  Array y = Array::empty(x.shape(), x.dtype(), x.device());
  if (y.numel() == 0) return y;
  args.x = from.data(), args.y = y.data(), args.log = log;
  DLCORE_LAUNCH(softmax_forward, x.dtype(), x.device(), args);
  return y;
}

static Array softmax_backward(const Array& dy, const Array& y, int64_t axis, bool log) {
  const char* op = log ? "log_softmax_backward" : "softmax_backward";
  check_floating(op, "y", y);
  check_same(op, "y", y, "dy", dy);
  check_shape(op, "dy", dy, y.shape());
  SoftmaxBackwardArgs args{};
  split_axis(op, y, axis, &args.outer, &args.n, &args.inner);
  const Array yc = contiguous(y), g = contiguous(dy);
  Array dx = Array::empty(y.shape(), y.dtype(), y.device());
  if (dx.numel() == 0) return dx;
  args.y = yc.data(), args.dy = g.data(), args.dx = dx.data(), args.log = log;
  DLCORE_LAUNCH(softmax_backward, y.dtype(), y.device(), args);
  return dx;
}

void bind_softmax(py::module_& m) {
  using namespace py::literals;
  def_op(m, "softmax", [](const Array& x, int64_t axis) { return softmax(x, axis, false); }, "x"_a, "axis"_a);
  def_op(
      m, "log_softmax", [](const Array& x, int64_t axis) { return softmax(x, axis, true); }, "x"_a, "axis"_a);
  def_op(
      m, "softmax_backward",
      [](const Array& dy, const Array& y, int64_t axis) { return softmax_backward(dy, y, axis, false); },
      "dy"_a, "y"_a, "axis"_a);
  def_op(
      m, "log_softmax_backward",
      [](const Array& dy, const Array& y, int64_t axis) { return softmax_backward(dy, y, axis, true); },
      "dy"_a, "y"_a, "axis"_a);
}

}  // namespace dlcore
