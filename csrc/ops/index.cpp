// take, put, gather, scatter, tril/triu: indices checked once, here, so that kernels can trust them.
#include <limits>

#include "ops/ops.h"

namespace dlcore {

Array checked_index(const char* op, const Array& index, int64_t n, bool wrap) {
  if (index.dtype() != DType::i64 && index.dtype() != DType::i32)
    type_error(op, "index must be int64 or int32", {{"index", index}});
  Array flat = contiguous(cast(index, DType::i64));
  if (index.device().kind != Device::cpu) return flat;  // the kernel is missing there and says so
  const int64_t count = flat.numel();
  const int64_t* p = flat.ptr<int64_t>();
  int64_t lo = std::numeric_limits<int64_t>::max(), hi = std::numeric_limits<int64_t>::min();
  for (int64_t i = 0; i < count; ++i) {
    lo = p[i] < lo ? p[i] : lo;
    hi = p[i] > hi ? p[i] : hi;
  }
  if (count == 0) return flat;
  if (lo < (wrap ? -n : 0) || hi >= n)
    index_error(op, "indices must lie within the axis of size " + std::to_string(n),
                {{"index", hi >= n ? hi : lo}});
  if (lo >= 0) return flat;
  Array out = Array::empty_like(flat);
  int64_t* q = out.ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) q[i] = p[i] < 0 ? p[i] + n : p[i];
  return out;
}

static int64_t product(const Array& a, int from, int to) {
  int64_t n = 1;
  for (int d = from; d < to; ++d) n *= a.dim(d);
  return n;
}

Array take(const char* op, const Array& x, int64_t axis, const Array& index, bool wrap) {
  check_same_device(op, "x", x, "index", index);
  if (x.ndim() == 0) value_error(op, "x must have at least one dimension", {{"x", x}});
  const int d = normalize_axis(op, axis, x.ndim());
  const Array flat = checked_index(op, index, x.dim(d), wrap);
  Dims shape;
  for (int k = 0; k < d; ++k) shape.push(x.dim(k));
  for (int k = 0; k < index.ndim(); ++k) shape.push(index.dim(k));
  for (int k = d + 1; k < x.ndim(); ++k) shape.push(x.dim(k));
  Array y = Array::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  TakeArgs args{};
  args.outer = product(x, 0, d), args.n = x.dim(d), args.m = flat.numel(),
  args.inner = product(x, d + 1, x.ndim());
  // Rows that are runs are taken in place, wherever they stand.
  bool runs = d <= 1;
  int64_t expected = 1;
  for (int k = x.ndim() - 1; k > d; --k) {
    if (x.dim(k) != 1) runs &= x.stride(k) == expected;
    expected *= x.dim(k);
  }
  const Array from = runs ? x : contiguous(x);
  args.x = from.data(), args.index = flat.ptr<int64_t>(), args.y = y.data();
  args.x_rs = from.stride(d);
  args.x_os = runs ? (d == 1 ? x.stride(0) : 0) : args.n * args.inner;
  DLCORE_LAUNCH(take, x.dtype(), x.device(), args);
  return y;
}

// Writes or adds x (outer..., index..., inner...) into y (outer..., n, inner...), which is changed; y is
// contiguous.
static void put_into(const Array& y, int64_t axis, const Array& index, const Array& x, bool accumulate,
                     bool wrap) {
  check_same("put", "y", y, "x", x);
  check_same_device("put", "y", y, "index", index);
  check_writable("put", "y", y);
  if (y.ndim() == 0 || !y.contiguous())
    value_error("put", "y must be contiguous, of at least one dimension", {{"y", y}});
  const int d = normalize_axis("put", axis, y.ndim());
  Dims shape;
  for (int k = 0; k < d; ++k) shape.push(y.dim(k));
  for (int k = 0; k < index.ndim(); ++k) shape.push(index.dim(k));
  for (int k = d + 1; k < y.ndim(); ++k) shape.push(y.dim(k));
  check_shape("put", "x", x, shape);
  const Array flat = checked_index("put", index, y.dim(d), wrap);
  if (x.numel() == 0) return;
  const Array from = contiguous(x);
  PutArgs args{};
  args.x = from.data(), args.index = flat.ptr<int64_t>(), args.y = y.data();
  args.outer = product(y, 0, d), args.n = y.dim(d), args.m = flat.numel(),
  args.inner = product(y, d + 1, y.ndim());
  args.accumulate = accumulate;
  DLCORE_LAUNCH(put, y.dtype(), y.device(), args);
}

// torch's rule: index has x's number of dimensions and is no longer than `bound` off the axis.
static void check_index_shape(const char* op, const char* name, const Array& bound, int d,
                              const Array& index) {
  if (index.ndim() != bound.ndim())
    value_error(op, std::string("index must have as many dimensions as ") + name,
                {{name, bound}, {"index", index}});
  for (int k = 0; k < index.ndim(); ++k)
    if (k != d && index.dim(k) > bound.dim(k))
      value_error(op, std::string("index must not be longer than ") + name + " off the axis",
                  {{name, bound}, {"index", index}, {"axis", d}});
}

static Array at_least_1d(const Array& a) { return a.ndim() ? a : a.view({1}, {1}); }

static Array gather(const Array& x0, int64_t axis, const Array& index0) {
  check_same_device("gather", "x", x0, "index", index0);
  const Array x = at_least_1d(x0), index = at_least_1d(index0);
  const int d = normalize_axis("gather", axis, x.ndim());
  check_index_shape("gather", "x", x, d, index);
  Array y = Array::empty(index0.shape(), x.dtype(), x.device());
  const Array flat = checked_index("gather", index, x.dim(d), false);
  if (y.numel() == 0) return y;
  GatherArgs args{x.data(), flat.ptr<int64_t>(), y.data(), x.ndim(), d, {}, {}};
  for (int k = 0; k < x.ndim(); ++k) args.shape[k] = index.dim(k), args.xs[k] = x.stride(k);
  DLCORE_LAUNCH(gather, x.dtype(), x.device(), args);
  return y;
}

// Writes or adds x into y, which is changed.
static void scatter_into(const Array& y0, int64_t axis, const Array& index0, const Array& x0,
                         bool accumulate) {
  check_same("scatter", "self", y0, "src", x0);
  check_same_device("scatter", "self", y0, "index", index0);
  check_writable("scatter", "self", y0);
  const Array y = at_least_1d(y0), index = at_least_1d(index0), x = at_least_1d(x0);
  const int d = normalize_axis("scatter", axis, y.ndim());
  check_index_shape("scatter", "self", y, d, index);
  check_index_shape("scatter", "src", x, -1, index);
  const Array flat = checked_index("scatter", index, y.dim(d), false);
  if (index.numel() == 0) return;
  ScatterArgs args{};
  args.x = x.data(), args.index = flat.ptr<int64_t>(), args.y = y.data();
  args.ndim = y.ndim(), args.axis = d, args.accumulate = accumulate;
  for (int k = 0; k < y.ndim(); ++k)
    args.shape[k] = index.dim(k), args.xs[k] = x.stride(k), args.is[k] = flat.stride(k),
    args.ys[k] = y.stride(k);
  DLCORE_LAUNCH(scatter, y.dtype(), y.device(), args);
}

static Array triangle(const Array& x, int64_t diagonal, bool lower) {
  const char* op = lower ? "tril" : "triu";
  if (x.ndim() < 2) value_error(op, "x must have at least two dimensions", {{"x", x}});
  Array y = Array::empty_like(x);
  if (y.numel() == 0) return y;
  const Array from = contiguous(x);
  const int64_t rows = x.dim(-2), cols = x.dim(-1);
  const int64_t k = diagonal < -rows ? -rows : diagonal > cols ? cols : diagonal;
  TriangleArgs args{from.data(), y.data(), x.numel() / (rows * cols), rows, cols, k, lower};
  DLCORE_LAUNCH(triangle, x.dtype(), x.device(), args);
  return y;
}

void bind_index(py::module_& m) {
  using namespace py::literals;
  def_op(
      m, "take",
      [](const Array& x, int64_t axis, const Array& index, bool wrap) {
        return take("take", x, axis, index, wrap);
      },
      "x"_a, "axis"_a, "index"_a, "wrap"_a = false);
  def_op(m, "put_into", &put_into, "y"_a, "axis"_a, "index"_a, "x"_a, "accumulate"_a, "wrap"_a = false);
  def_op(m, "gather", &gather, "x"_a, "axis"_a, "index"_a);
  def_op(m, "scatter_into", &scatter_into, "y"_a, "axis"_a, "index"_a, "x"_a, "accumulate"_a);
  def_op(m, "triangle", &triangle, "x"_a, "diagonal"_a, "lower"_a);
}

}  // namespace dlcore
