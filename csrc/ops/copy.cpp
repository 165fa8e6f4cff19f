// contiguous, cast, copy_into, to_device, fill; views (reshape, permute, slice, expand) that copy nothing.
#include <cstring>
#include <vector>

#include "device.h"
#include "ops/ops.h"

namespace dlcore {

void collapse(int* ndim, int64_t* shape, int64_t* const* strides, int count) {
  int out = 0;
  for (int d = 0; d < *ndim; ++d) {
    if (shape[d] == 1) continue;
    if (out > 0) {
      bool merge = true;
      for (int s = 0; s < count; ++s) merge &= strides[s][out - 1] == strides[s][d] * shape[d];
      if (merge) {
        shape[out - 1] *= shape[d];
        for (int s = 0; s < count; ++s) strides[s][out - 1] = strides[s][d];
        continue;
      }
    }
    shape[out] = shape[d];
    for (int s = 0; s < count; ++s) strides[s][out] = strides[s][d];
    ++out;
  }
  *ndim = out;
}

static void copy_same_device(const Array& dst, const Array& src) {
  if (dst.numel() == 0) return;
  if (src.dtype() == DType::bf16 || dst.dtype() == DType::bf16)
    type_error("copy", "bfloat16 is storage only so far", {{"x", src}});
  CopyArgs args{src.data(), dst.data(), src.dtype(), dst.ndim(), {}, {}, {}};
  // y's fastest axis last: sort the axes by y's strides, keeping their order among equals.
  int order[kMaxDims];
  for (int i = 0; i < dst.ndim(); ++i) {
    int j = i;
    for (; j > 0 && std::abs(dst.stride(order[j - 1])) < std::abs(dst.stride(i)); --j)
      order[j] = order[j - 1];
    order[j] = i;
  }
  for (int i = 0; i < dst.ndim(); ++i) {
    args.shape[i] = dst.dim(order[i]);
    args.xs[i] = src.stride(order[i]);
    args.ys[i] = dst.stride(order[i]);
  }
  int64_t* strides[] = {args.xs, args.ys};
  collapse(&args.ndim, args.shape, strides, 2);
  DLCORE_LAUNCH(copy, dst.dtype(), dst.device(), args);
}

void copy_into(const Array& dst, const Array& src) {
  check_writable("copy_into", "dst", dst);
  const Array from = src.shape() == dst.shape() ? src : src.broadcast_to("copy_into", dst.shape());
  if (from.device() == dst.device()) return copy_same_device(dst, from);
  const Array plain = contiguous(cast(src, dst.dtype()));
  if (dst.contiguous() && plain.shape() == dst.shape()) {
    device_copy(dst.data(), dst.device(), plain.data(), plain.device(), dst.numel() * item_size(dst.dtype()));
  } else {
    copy_same_device(dst, to_device(plain, dst.device()).broadcast_to("copy_into", dst.shape()));
  }
}

Array contiguous(const Array& a) {
  if (a.contiguous()) return a;
  Array out = Array::empty(a.shape(), a.dtype(), a.device());
  copy_same_device(out, a);
  return out;
}

Array cast(const Array& a, DType dtype) {
  if (a.dtype() == dtype) return a;
  Array out = Array::empty(a.shape(), dtype, a.device());
  copy_same_device(out, a);
  return out;
}

Array to_device(const Array& a, Device device) {
  if (a.device() == device) return a;
  const Array from = contiguous(a);
  Array out = Array::empty(a.shape(), a.dtype(), device);
  device_copy(out.data(), device, from.data(), from.device(), from.numel() * item_size(from.dtype()));
  return out;
}

static Array clone(const Array& a) {
  Array out = Array::empty(a.shape(), a.dtype(), a.device());
  copy_same_device(out, a);
  return out;
}

// A view where the strides allow it, a copy otherwise. One size may be -1.
static Array reshape(const Array& a, Dims shape) {
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < shape.n; ++i) {
    if (shape[i] == -1 && unknown < 0)
      unknown = i;
    else if (shape[i] < 0)
      value_error("reshape", "sizes must not be negative (one may be -1)", {{"shape", shape}});
    else
      known *= shape[i];
  }
  if (unknown >= 0) {
    if (known == 0 || a.numel() % known)
      value_error("reshape", "the sizes must divide the number of elements", {{"x", a}, {"shape", shape}});
    shape[unknown] = a.numel() / known;
  }
  if (shape.product() != a.numel())
    value_error("reshape", "the number of elements must stay the same", {{"x", a}, {"shape", shape}});
  if (a.contiguous()) return a.view(shape, row_major(shape));
  // Match groups of axes whose products agree; inside a group the old axes must be one run.
  Dims strides = Dims::filled(shape.n, 1);
  int i = 0, j = 0;
  bool ok = true;
  while (ok && (i < a.ndim() || j < shape.n)) {
    int64_t old_size = 1, new_size = 1;
    int i0 = i, j0 = j;
    if (i < a.ndim()) old_size = a.dim(i++);
    if (j < shape.n) new_size = shape[j++];
    while (old_size != new_size) {
      if (old_size < new_size)
        old_size *= a.dim(i++);
      else
        new_size *= shape[j++];
    }
    int64_t stride = 1;  // the group's fastest stride
    int last = i - 1;
    while (last >= i0 && a.dim(last) == 1) --last;
    if (last >= i0) stride = a.stride(last);
    int64_t expect = stride;
    for (int d = i - 1; d >= i0; --d) {
      if (a.dim(d) == 1) continue;
      if (a.stride(d) != expect) ok = false;
      expect *= a.dim(d);
    }
    for (int d = j - 1; d >= j0; --d) {
      strides[d] = stride;
      stride *= shape[d];
    }
  }
  if (ok) return a.view(shape, strides);
  return contiguous(a).view(shape, row_major(shape));
}

static Array permute(const Array& a, const std::vector<int64_t>& axes) {
  if (static_cast<int>(axes.size()) != a.ndim())
    value_error("permute", "there must be one axis for each dimension",
                {{"x", a}, {"axes", (int64_t)axes.size()}});
  Dims d;
  bool seen[kMaxDims] = {};
  for (int64_t axis : axes) {
    const int n = normalize_axis("permute", axis, a.ndim());
    if (seen[n]) value_error("permute", "axes must not repeat", {{"axis", axis}});
    seen[n] = true;
    d.push(n);
  }
  return a.permute(d);
}

static Array transpose(const Array& a, int64_t i, int64_t j) {
  const int p = normalize_axis("transpose", i, a.ndim()), q = normalize_axis("transpose", j, a.ndim());
  return a.ndim() == 0 ? a : a.transpose(p, q);
}

// Elements start, start + step, ... (length of them) along one axis; the caller has clipped the slice.
static Array slice(const Array& a, int64_t axis, int64_t start, int64_t length, int64_t step) {
  const int d = normalize_axis("slice", axis, a.ndim());
  const int64_t last = start + (length - 1) * step;
  if (a.ndim() == 0 || length < 0 ||
      (length > 0 && (start < 0 || start >= a.dim(d) || last < 0 || last >= a.dim(d))))
    index_error("slice", "the slice must lie within the axis",
                {{"x", a}, {"start", start}, {"length", length}});
  Dims shape = a.shape(), strides = a.strides();
  shape[d] = length;
  strides[d] *= step;
  return a.view(shape, strides, length ? start * a.stride(d) : 0);
}

static Array select(const Array& a, int64_t axis, int64_t index) {
  const int d = normalize_axis("select", axis, a.ndim());
  if (a.ndim() == 0) index_error("select", "a 0-d array cannot be indexed", {{"x", a}});
  const int64_t n = a.dim(d), i = index < 0 ? index + n : index;
  if (i < 0 || i >= n)
    index_error("select", "index must lie within the axis", {{"x", a}, {"axis", d}, {"index", index}});
  Dims shape, strides;
  for (int k = 0; k < a.ndim(); ++k)
    if (k != d) shape.push(a.dim(k)), strides.push(a.stride(k));
  return a.view(shape, strides, i * a.stride(d));
}

// Channels-last and dense, (N,C,H,W).
static bool channels_last(const Array& a) {
  return a.ndim() == 4 && a.dim(1) > 1 && a.stride(1) == 1 && a.stride(3) == a.dim(1) &&
         a.stride(2) == a.dim(3) * a.stride(3) && (a.dim(0) == 1 || a.stride(0) == a.dim(2) * a.stride(2));
}

// Joins arrays of one dtype and device along an axis; channels-last where all of them are.
static Array concatenate(const std::vector<Array>& arrays, int64_t axis) {
  if (arrays.empty()) throw ValueError("cat: there must be at least one array");
  const Array& first = arrays[0];
  if (first.ndim() == 0) value_error("cat", "0-d arrays cannot be joined (use stack)", {{"x", first}});
  const int d = normalize_axis("cat", axis, first.ndim());
  Dims shape = first.shape();
  shape[d] = 0;
  for (const Array& a : arrays) {
    check_same("cat", "the first", first, "another", a);
    check_ndim("cat", "each array", a, first.ndim());
    for (int k = 0; k < shape.n; ++k)
      if (k != d && a.dim(k) != shape[k])
        value_error("cat", "sizes must agree off the axis", {{"axis", d}, {"first", first}, {"other", a}});
    shape[d] += a.dim(d);
  }
  bool last = true;
  for (const Array& a : arrays) last = last && channels_last(a);
  Array out = last ? Array::empty({shape[0], shape[2], shape[3], shape[1]}, first.dtype(), first.device())
                         .permute({0, 3, 1, 2})
                   : Array::empty(shape, first.dtype(), first.device());
  int64_t at = 0;
  for (const Array& a : arrays) {
    Dims part = out.shape();
    part[d] = a.dim(d);
    copy_same_device(out.view(part, out.strides(), at * out.stride(d)), a);
    at += a.dim(d);
  }
  return out;
}

void bind_copy(py::module_& m) {
  using namespace py::literals;
  def_op(m, "contiguous", &contiguous, "x"_a);
  def_op(m, "clone", &clone, "x"_a);
  def_op(m, "cast", &cast, "x"_a, "dtype"_a);
  def_op(m, "copy_into", &copy_into, "dst"_a, "src"_a);
  def_op(
      m, "to_device", [](const Array& a, const std::string& d) { return to_device(a, parse_device(d)); },
      "x"_a, "device"_a);
  def_op(m, "reshape", &reshape, "x"_a, "shape"_a);
  def_op(m, "permute", &permute, "x"_a, "axes"_a);
  def_op(m, "transpose", &transpose, "x"_a, "axis0"_a, "axis1"_a);
  def_op(m, "slice", &slice, "x"_a, "axis"_a, "start"_a, "length"_a, "step"_a);
  def_op(m, "select", &select, "x"_a, "axis"_a, "index"_a);
  def_op(m, "concatenate", &concatenate, "arrays"_a, "axis"_a);
  def_op(
      m, "broadcast_to", [](const Array& a, const Dims& s) { return a.broadcast_to("broadcast_to", s); },
      "x"_a, "shape"_a);
}

}  // namespace dlcore
