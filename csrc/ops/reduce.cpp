// Reductions: axes, keepdim, the order of axes that the kernel wants.
#include <optional>
#include <vector>

#include "ops/ops.h"

namespace dlcore {
namespace {

// Reduces the axes with `mask` set; the result has the kept axes in their order, contiguous.
Array reduce_axes(Reduce op, const Array& x, const bool* mask, const Array* shift) {
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
  args.op = op, args.x = x.data(), args.y = y.data(), args.shift = shift ? s.data() : nullptr;
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

}  // namespace

void bind_reduce(py::module_& m) {
  using namespace py::literals;
  def_op(m, "sum_to", &sum_to, "x"_a, "shape"_a);
}

}  // namespace dlcore
