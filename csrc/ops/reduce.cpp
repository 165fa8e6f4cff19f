// Reductions: axes, keepdim, the order of axes that the kernel wants.
#include <optional>
#include <vector>

#include "ops/ops.h"

namespace dlcore {
namespace {

// Reduces the axes with `mask` set; the result has the kept axes in their order, contiguous.
Array reduce_axes(Reduce op, const Array& x, const bool* mask, const Array* shift, double divisor = 0) {
  Dims kept_shape;
  ReduceArgs args{};
  for (int d = 0; d < x.ndim(); ++d) {
    if (mask[d]) {
      args.reduced[args.reduced_ndim] = x.dim(d), args.reduced_strides[args.reduced_ndim++] = x.stride(d);
    } else {
      kept_shape.push(x.dim(d));
      args.kept[args.kept_ndim] = x.dim(d), args.kept_strides[args.kept_ndim++] = x.stride(d);
    }
  }
  Array y = Array::empty(kept_shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  // The order of reduced axes is ours to choose: fastest last.
  for (int i = 1; i < args.reduced_ndim; ++i)
    for (int j = i; j > 0 && args.reduced_strides[j] > args.reduced_strides[j - 1]; --j) {
      std::swap(args.reduced[j], args.reduced[j - 1]);
      std::swap(args.reduced_strides[j], args.reduced_strides[j - 1]);
    }
  int64_t* ks[] = {args.kept_strides};
  int64_t* rs[] = {args.reduced_strides};
  collapse(&args.kept_ndim, args.kept, ks, 1);
  collapse(&args.reduced_ndim, args.reduced, rs, 1);
  const Array s = shift ? contiguous(*shift) : Array();
  args.op = op, args.divisor = divisor, args.x = x.data(), args.y = y.data(),
  args.shift = shift ? s.data() : nullptr;
  DLCORE_LAUNCH(reduce, x.dtype(), x.device(), args);
  return y;
}

// The gradient of broadcasting: sums x over the axes that `shape` has as 1 or lacks.
Array sum_to(const Array& x, const Dims& shape) {
  if (x.shape() == shape) return contiguous(x);
  const int lead = x.ndim() - shape.n;
  bool mask[kMaxDims] = {};
  bool fits = lead >= 0;
  for (int d = 0; d < x.ndim() && fits; ++d) {
    if (d < lead) {
      mask[d] = true;
    } else if (x.dim(d) != shape[d - lead]) {
      fits = shape[d - lead] == 1;
      mask[d] = true;
    }
  }
  if (!fits) value_error("sum_to", "shape must broadcast to that of x", {{"x", x}, {"shape", shape}});
  return reduce_axes(Reduce::sum, x, mask, nullptr).view(shape, row_major(shape));
}

using Axes = std::optional<std::vector<int64_t>>;

// No axes (None) means all of them.
void parse_axes(const char* name, const Array& x, const Axes& axes, bool* mask, Dims* keepdim) {
  for (int d = 0; d < x.ndim(); ++d) mask[d] = !axes;
  if (axes) {
    for (int64_t axis : *axes) {
      const int d = normalize_axis(name, axis, x.ndim());
      if (x.ndim() == 0) continue;
      if (mask[d]) value_error(name, "axes must not repeat", {{"x", x}, {"dim", axis}});
      mask[d] = true;
    }
  }
  for (int d = 0; d < x.ndim(); ++d) keepdim->push(mask[d] ? 1 : x.dim(d));
}

Array reduce_op(const char* name, Reduce op, const Array& x, const Axes& axes, bool keepdim,
                const Array* shift, bool mean, double correction) {
  bool mask[kMaxDims] = {};
  Dims kept;
  parse_axes(name, x, axes, mask, &kept);
  int64_t count = 1;
  for (int d = 0; d < x.ndim(); ++d) count *= mask[d] ? x.dim(d) : 1;
  if (mean || op == Reduce::sumsq) check_floating(name, "x", x);
  if (count == 0 && kept.product() > 0 && (op == Reduce::max || op == Reduce::min) && x.dtype() != DType::b8)
    value_error(name, "the reduced axes must not be empty", {{"x", x}});
  // The sum of integers and bools is int64.
  const bool widen = (op == Reduce::sum || op == Reduce::prod) && !is_floating(x.dtype());
  const Array from = widen ? cast(x, DType::i64) : x;
  // A mean over nothing is 0 / 0; a variance of one element with correction is 0 / 0 or x / 0, as in torch.
  const double n = static_cast<double>(count) - correction;
  const double divisor = !mean ? 0 : n > 0 ? n : count == 0 || correction > 0 ? __builtin_nan("") : 1;
  Array y = reduce_axes(op, from, mask, shift, divisor);
  if (count == 0 && x.dtype() == DType::b8 && op == Reduce::min && y.numel() > 0) {  // all() of nothing
    FillArgs fill{y.data(), y.numel(), 1, 1};
    DLCORE_LAUNCH(fill, DType::b8, y.device(), fill);
  }
  return keepdim ? y.view(kept, row_major(kept)) : y;
}

// x as (outer, n, inner) around one axis.
Array around(const char* name, const Array& x, int64_t axis, int64_t* outer, int64_t* n, int64_t* inner) {
  const int d = normalize_axis(name, axis, x.ndim());
  *outer = *n = *inner = 1;
  for (int i = 0; i < x.ndim(); ++i) (i < d ? *outer : i == d ? *n : *inner) *= x.dim(i);
  return contiguous(x);
}

std::pair<Array, Array> arg_reduce(const Array& x, int64_t axis, bool largest, bool keepdim) {
  const char* name = largest ? "max" : "min";
  ArgReduceArgs args{};
  const Array c = around(name, x, axis, &args.outer, &args.n, &args.inner);
  Dims shape, kept = x.shape();
  const int d = normalize_axis(name, axis, x.ndim());
  for (int i = 0; i < x.ndim(); ++i)
    if (i != d) shape.push(x.dim(i));
  if (x.ndim() > 0) kept[d] = 1;
  if (args.n == 0 && args.outer * args.inner > 0)
    value_error(name, "the reduced axis must not be empty", {{"x", x}, {"dim", axis}});
  Array values = Array::empty(keepdim ? kept : shape, x.dtype(), x.device());
  Array indices = Array::empty(keepdim ? kept : shape, DType::i64, x.device());
  if (values.numel() == 0) return {values, indices};
  args.largest = largest, args.x = c.data(), args.values = values.data(),
  args.indices = indices.ptr<int64_t>();
  DLCORE_LAUNCH(arg_reduce, x.dtype(), x.device(), args);
  return {values, indices};
}

Array scan(const char* name, Reduce op, const Array& x, int64_t axis, bool reverse, bool exclusive) {
  ScanArgs args{};
  const Array c =
      around(name, is_floating(x.dtype()) ? x : cast(x, DType::i64), axis, &args.outer, &args.n, &args.inner);
  Array y = Array::empty_like(c);
  if (y.numel() == 0) return y;
  args.op = op, args.reverse = reverse, args.exclusive = exclusive, args.x = c.data(), args.y = y.data();
  DLCORE_LAUNCH(scan, c.dtype(), c.device(), args);
  return y;
}

}  // namespace

// The sum over all axes but one.
Array sum_but(const Array& x, int axis) {
  bool mask[kMaxDims];
  for (int d = 0; d < x.ndim(); ++d) mask[d] = d != axis;
  return reduce_axes(Reduce::sum, x, mask, nullptr);
}

void bind_reduce(py::module_& m) {
  using namespace py::literals;
  def_op(m, "sum_to", &sum_to, "x"_a, "shape"_a);
#define DLCORE_BIND_REDUCE(name, op, mean)                                       \
  def_op(                                                                        \
      m, #name,                                                                  \
      [](const Array& x, const Axes& axes, bool keepdim) {                       \
        return reduce_op(#name, Reduce::op, x, axes, keepdim, nullptr, mean, 0); \
      },                                                                         \
      "x"_a, "axes"_a = py::none(), "keepdim"_a = false);
  DLCORE_BIND_REDUCE(sum, sum, false)
  DLCORE_BIND_REDUCE(mean, sum, true)
  DLCORE_BIND_REDUCE(prod, prod, false)
  DLCORE_BIND_REDUCE(amax, max, false)
  DLCORE_BIND_REDUCE(amin, min, false)
  DLCORE_BIND_REDUCE(sumsq, sumsq, false)
#undef DLCORE_BIND_REDUCE
  def_op(
      m, "var",
      [](const Array& x, const Axes& axes, double correction, bool keepdim) {
        const Array mean = reduce_op("var", Reduce::sum, x, axes, false, nullptr, true, 0);
        return reduce_op("var", Reduce::sumsq, x, axes, keepdim, &mean, true, correction);
      },
      "x"_a, "axes"_a = py::none(), "correction"_a = 1.0, "keepdim"_a = false);
  def_op(m, "arg_reduce", &arg_reduce, "x"_a, "axis"_a, "largest"_a, "keepdim"_a = false);
  def_op(
      m, "cumsum",
      [](const Array& x, int64_t axis, bool reverse, bool exclusive) {
        return scan("cumsum", Reduce::sum, x, axis, reverse, exclusive);
      },
      "x"_a, "axis"_a, "reverse"_a = false, "exclusive"_a = false);
  def_op(
      m, "cumprod",
      [](const Array& x, int64_t axis, bool reverse, bool exclusive) {
        return scan("cumprod", Reduce::prod, x, axis, reverse, exclusive);
      },
      "x"_a, "axis"_a, "reverse"_a = false, "exclusive"_a = false);
}

}  // namespace dlcore
