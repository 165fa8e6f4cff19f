// sort, topk, kthvalue, median, searchsorted: the axis is brought to the end, rows are sorted, the results
// are brought back.
#include "ops/ops.h"

namespace dlcore {
namespace {

struct Rows {
  Array x;  // contiguous, the axis last
  int axis;
  int64_t rows, n;
};

Rows rows_of(const char* op, const Array& x, int64_t axis) {
  const int d = normalize_axis(op, axis, x.ndim());
  if (x.ndim() == 0) return {contiguous(x).view({1}, {1}), 0, 1, 1};
  const int64_t n = x.dim(d);
  if (n >= int64_t(1) << 32) value_error(op, "the axis must have fewer than 2^32 elements", {{"x", x}});
  return {contiguous(x.transpose(d, x.ndim() - 1)), d, n ? x.numel() / n : 0, n};
}

Array with_last(const Rows& r, int64_t n, DType dtype) {
  Dims shape = r.x.shape();
  shape[shape.n - 1] = n;
  return Array::empty(shape, dtype, r.x.device());
}

// Rows of results, of `x`'s rank, with the axis where it was.
Array back(const Array& x, const Rows& r, const Array& y) {
  return x.ndim() == 0 ? y.view({}, {}) : contiguous(y.transpose(r.axis, y.ndim() - 1));
}

std::pair<Array, Array> sort(const Array& x, int64_t axis, bool descending) {
  const Rows r = rows_of("sort", x, axis);
  Array values = with_last(r, r.n, x.dtype()), indices = with_last(r, r.n, DType::i64);
  if (values.numel() > 0) {
    SortArgs args{r.x.data(), values.data(), indices.ptr<int64_t>(), r.rows, r.n, descending};
    DLCORE_LAUNCH(sort, x.dtype(), x.device(), args);
  }
  return {back(x, r, values), back(x, r, indices)};
}

std::pair<Array, Array> topk(const Array& x, int64_t k, int64_t axis, bool largest) {
  const Rows r = rows_of("topk", x, axis);
  if (k < 0 || k > r.n)
    value_error("topk", "k must lie in [0, " + std::to_string(r.n) + "], the size of the axis",
                {{"x", x}, {"k", k}, {"dim", axis}});
  if (x.ndim() == 0 && k == 0) value_error("topk", "k must be 1 for a 0-d tensor", {{"x", x}, {"k", k}});
  Array values = with_last(r, k, x.dtype()), indices = with_last(r, k, DType::i64);
  if (values.numel() > 0) {
    TopkArgs args{r.x.data(), values.data(), indices.ptr<int64_t>(), r.rows, r.n, k, largest};
    DLCORE_LAUNCH(topk, x.dtype(), x.device(), args);
  }
  return {back(x, r, values), back(x, r, indices)};
}

std::pair<Array, Array> kth(const char* op, const Array& x, int64_t axis, Rank rank, int64_t k,
                            bool keepdim) {
  const Rows r = rows_of(op, x, axis);
  if (r.n == 0) index_error(op, "the axis must not be empty", {{"x", x}, {"dim", axis}});
  if (rank == Rank::number && (k < 1 || k > r.n))
    value_error(op, "k must lie in [1, " + std::to_string(r.n) + "], the size of the axis",
                {{"x", x}, {"k", k}, {"dim", axis}});
  Array values = with_last(r, 1, x.dtype()), indices = with_last(r, 1, DType::i64);
  if (values.numel() > 0) {
    RankArgs args{r.x.data(), values.data(), indices.ptr<int64_t>(), r.rows, r.n, k - 1, rank};
    DLCORE_LAUNCH(kth, x.dtype(), x.device(), args);
  }
  values = back(x, r, values), indices = back(x, r, indices);
  if (keepdim || x.ndim() == 0) return {values, indices};
  Dims shape;
  for (int d = 0; d < x.ndim(); ++d)
    if (d != r.axis) shape.push(x.dim(d));
  return {values.view(shape, row_major(shape)), indices.view(shape, row_major(shape))};
}

// sorted (n,) for any x, or (..., n) for x (..., m).
Array searchsorted(const Array& sorted, const Array& x, bool right) {
  const char* op = "searchsorted";
  check_same(op, "sorted", sorted, "x", x);
  if (sorted.ndim() == 0) value_error(op, "sorted must have at least one dimension", {{"sorted", sorted}});
  const bool shared = sorted.ndim() == 1;
  bool fits = shared || sorted.ndim() == x.ndim();
  for (int d = 0; fits && !shared && d < x.ndim() - 1; ++d) fits = sorted.dim(d) == x.dim(d);
  if (!fits)
    value_error(op, "sorted must be one row, or have the shape of x but for the last axis",
                {{"sorted", sorted}, {"x", x}});
  const Array s = contiguous(sorted), from = contiguous(x);
  Array y = Array::empty(x.shape(), DType::i64, x.device());
  if (y.numel() == 0) return y;
  SearchArgs args{s.data(), from.data(), y.ptr<int64_t>(), 1, s.dim(-1), x.numel(), shared, right};
  if (!shared) args.m = x.dim(-1), args.rows = x.numel() / args.m;
  DLCORE_LAUNCH(searchsorted, x.dtype(), x.device(), args);
  return y;
}

}  // namespace

void bind_sort(py::module_& m) {
  using namespace py::literals;
  def_op(m, "sort", &sort, "x"_a, "axis"_a = -1, "descending"_a = false);
  def_op(m, "topk", &topk, "x"_a, "k"_a, "axis"_a = -1, "largest"_a = true);
  def_op(
      m, "kthvalue",
      [](const Array& x, int64_t k, int64_t axis, bool keepdim) {
        return kth("kthvalue", x, axis, Rank::number, k, keepdim);
      },
      "x"_a, "k"_a, "axis"_a = -1, "keepdim"_a = false);
  def_op(
      m, "median",
      [](const Array& x, int64_t axis, bool keepdim, bool skip_nan) {
        return kth(skip_nan ? "nanmedian" : "median", x, axis, skip_nan ? Rank::nanmedian : Rank::median, 1,
                   keepdim);
      },
      "x"_a, "axis"_a = -1, "keepdim"_a = false, "skip_nan"_a = false);
  def_op(m, "searchsorted", &searchsorted, "sorted"_a, "x"_a, "right"_a = false);
}

}  // namespace dlcore
