// embedding and embedding_bag. Indices are checked in each call: what was checked in a forward may have
// changed before its backward.
#include <limits>
#include <optional>

#include "ops/ops.h"

namespace dlcore {
namespace {

void check_weight(const char* op, const Array& weight) {
  check_floating(op, "weight", weight);
  if (weight.ndim() != 2)
    value_error(op, "weight must be (num_embeddings, embedding_dim)", {{"weight", weight}});
}

// A row number, or -1 for none.
int64_t padding_row(const char* op, const std::optional<int64_t>& padding_idx, int64_t n) {
  if (!padding_idx) return -1;
  if (*padding_idx < -n || *padding_idx >= n)
    value_error(op, "padding_idx must lie within num_embeddings=" + std::to_string(n),
                {{"padding_idx", *padding_idx}});
  return *padding_idx < 0 ? *padding_idx + n : *padding_idx;
}

Array embedding(const Array& weight, const Array& index) {
  if (weight.ndim() != 2)
    value_error("embedding", "weight must be (num_embeddings, embedding_dim)", {{"weight", weight}});
  return take("embedding", weight, 0, index, false);
}

Array backward_rows(const char* op, const Array& dy, const Array& index, const Array* source,
                    const Array* scale, int64_t n, int64_t padding, bool by_frequency) {
  const int64_t inner = dy.dim(-1);
  Array dw = Array::empty({n, inner}, dy.dtype(), dy.device());
  if (dw.numel() == 0) return dw;
  const Array flat = checked_index(op, index, n, false), g = contiguous(dy);
  EmbeddingBackwardArgs args{g.data(),
                             flat.ptr<int64_t>(),
                             source ? source->ptr<int64_t>() : nullptr,
                             scale ? scale->data() : nullptr,
                             dw.data(),
                             flat.numel(),
                             n,
                             inner,
                             padding,
                             by_frequency};
  DLCORE_LAUNCH(embedding_backward, dy.dtype(), dy.device(), args);
  return dw;
}

Array embedding_backward(const Array& dy, const Array& index, int64_t n,
                         const std::optional<int64_t>& padding_idx, bool by_frequency) {
  const char* op = "embedding_backward";
  check_floating(op, "dy", dy);
  check_same_device(op, "dy", dy, "index", index);
  if (n < 0) value_error(op, "num_embeddings must not be negative", {{"num_embeddings", n}});
  Dims shape = index.shape();
  shape.push(dy.ndim() ? dy.dim(-1) : 0);
  check_shape(op, "dy", dy, shape);
  return backward_rows(op, dy, index, nullptr, nullptr, n, padding_row(op, padding_idx, n), by_frequency);
}

void embedding_renorm(const Array& weight, const Array& index, double max_norm, double p) {
  const char* op = "embedding_renorm";
  check_weight(op, weight);
  check_writable(op, "weight", weight);
  check_same_device(op, "weight", weight, "index", index);
  if (!weight.contiguous()) value_error(op, "weight must be contiguous", {{"weight", weight}});
  if (!(max_norm >= 0)) value_error(op, "max_norm must not be negative", {{"max_norm", max_norm}});
  if (!(p > 0)) value_error(op, "norm_type must be positive", {{"norm_type", p}});
  const Array flat = checked_index(op, index, weight.dim(0), false);
  if (flat.numel() == 0 || weight.numel() == 0) return;
  EmbeddingRenormArgs args{
      weight.data(), flat.ptr<int64_t>(), flat.numel(), weight.dim(0), weight.dim(1), max_norm, p};
  DLCORE_LAUNCH(embedding_renorm, weight.dtype(), weight.device(), args);
}

Bag parse_mode(const char* op, const std::string& mode) {
  if (mode == "sum") return Bag::sum;
  if (mode == "mean") return Bag::mean;
  if (mode == "max") return Bag::max;
  value_error(op, "mode must be one of sum, mean, max", {{"mode", mode}});
}

// (y, index, bag of each entry, entries of each bag, argmax): index is cut to the entries that a bag holds.
std::tuple<Array, Array, Array, Array, Array> embedding_bag(const Array& weight, const Array& index,
                                                            const Array& offsets,
                                                            const std::optional<Array>& per_sample_weights,
                                                            const std::string& mode,
                                                            const std::optional<int64_t>& padding_idx,
                                                            bool include_last_offset) {
  const char* op = "embedding_bag";
  EmbeddingBagArgs args{};
  args.mode = parse_mode(op, mode);
  check_weight(op, weight);
  check_same_device(op, "weight", weight, "index", index);
  check_ndim(op, "index", index, 1);
  check_ndim(op, "offsets", offsets, 1);
  if (offsets.dtype() != DType::i64 && offsets.dtype() != DType::i32)
    type_error(op, "offsets must be int64 or int32", {{"offsets", offsets}});
  if (include_last_offset && offsets.numel() == 0)
    value_error(op, "offsets must hold the last offset", {{"offsets", offsets}});
  const int64_t n = weight.dim(0), m0 = index.numel();
  args.bags = offsets.numel() - (include_last_offset ? 1 : 0);
  args.inner = weight.dim(1);
  args.padding = padding_row(op, padding_idx, n);
  Array from = contiguous(cast(offsets, DType::i64)), ends = Array::empty({args.bags + 1}, DType::i64);
  int64_t* end = ends.ptr<int64_t>();
  for (int64_t b = 0; b < offsets.numel(); ++b) end[b] = from.ptr<int64_t>()[b];
  if (!include_last_offset) end[args.bags] = args.bags ? m0 : 0;
  if (end[0] != 0) value_error(op, "offsets must begin with 0", {{"offsets[0]", end[0]}});
  for (int64_t b = 0; b < args.bags; ++b)
    if (end[b + 1] < end[b] || end[b + 1] > m0)
      value_error(op, "offsets must ascend, up to the number of indices",
                  {{"index", index}, {"position", b + 1}, {"offset", end[b + 1]}});
  for (int64_t b = 0; b < args.bags; ++b)
    if (args.mode == Bag::max && end[b + 1] - end[b] > std::numeric_limits<int32_t>::max())
      value_error(op, "a bag must hold fewer than 2^31 indices where mode='max'", {{"position", b}});
  args.m = end[args.bags];
  const Array flat = checked_index(op, index, n, false).view({args.m}, {1});
  Array scale;
  if (per_sample_weights) {
    if (args.mode != Bag::sum)
      value_error(op, "per_sample_weights go with mode='sum' alone", {{"mode", mode}});
    check_same(op, "weight", weight, "per_sample_weights", *per_sample_weights);
    check_shape(op, "per_sample_weights", *per_sample_weights, index.shape());
    scale = contiguous(*per_sample_weights);
  }
  Array y = Array::empty({args.bags, args.inner}, weight.dtype()),
        source = Array::empty({args.m}, DType::i64), sizes = Array::empty({args.bags}, DType::i64);
  Array argmax = Array::empty(args.mode == Bag::max ? y.shape() : Dims{0}, DType::i64);
  for (int64_t b = 0; b < args.bags; ++b) {
    int64_t count = 0;
    for (int64_t i = end[b]; i < end[b + 1]; ++i) {
      source.ptr<int64_t>()[i] = b;
      count += flat.ptr<int64_t>()[i] != args.padding;
    }
    sizes.ptr<int64_t>()[b] = count;
  }
  const Array w = contiguous(weight);
  args.weight = w.data(), args.index = flat.ptr<int64_t>(), args.offsets = end, args.scale = scale.data(),
  args.y = y.data(), args.argmax = argmax.ptr<int64_t>();
  if (y.numel() > 0) DLCORE_LAUNCH(embedding_bag_forward, weight.dtype(), weight.device(), args);
  return {y, flat, source, sizes, argmax};
}

void check_source(const char* op, const Array& dy, const Array& index, const Array& source) {
  check_floating(op, "dy", dy);
  check_ndim(op, "dy", dy, 2);
  if (source.dtype() != DType::i64 || !source.contiguous() || !(source.shape() == index.shape()))
    value_error(op, "source must be that of the forward call", {{"index", index}, {"source", source}});
  checked_index(op, source, dy.dim(0), false);
}

Array embedding_bag_backward(const Array& dy, const Array& index, const Array& source,
                             const std::optional<Array>& per_sample_weights, int64_t n,
                             const std::optional<int64_t>& padding_idx, bool by_frequency) {
  const char* op = "embedding_bag_backward";
  check_source(op, dy, index, source);
  Array scale;
  if (per_sample_weights) {
    check_same(op, "dy", dy, "per_sample_weights", *per_sample_weights);
    if (per_sample_weights->ndim() != 1 || per_sample_weights->numel() < index.numel())
      value_error(op, "per_sample_weights must have the shape of index",
                  {{"index", index}, {"per_sample_weights", *per_sample_weights}});
    scale = contiguous(*per_sample_weights);
  }
  return backward_rows(op, dy, index, &source, per_sample_weights ? &scale : nullptr, n,
                       padding_row(op, padding_idx, n), by_frequency);
}

Array embedding_bag_max_backward(const Array& dy, const Array& argmax, int64_t n) {
  const char* op = "embedding_bag_max_backward";
  check_floating(op, "dy", dy);
  check_ndim(op, "dy", dy, 2);
  check_shape(op, "argmax", argmax, dy.shape());
  if (argmax.dtype() != DType::i64) type_error(op, "argmax must be int64", {{"argmax", argmax}});
  const Array arg = contiguous(argmax), g = contiguous(dy);
  for (int64_t i = 0; i < arg.numel(); ++i)
    if (arg.ptr<int64_t>()[i] < -1 || arg.ptr<int64_t>()[i] >= n)
      index_error(op, "argmax must lie in [-1, " + std::to_string(n) + ")",
                  {{"argmax", arg.ptr<int64_t>()[i]}});
  Array dw = Array::empty({n, dy.dim(1)}, dy.dtype(), dy.device());
  if (dw.numel() == 0) return dw;
  FillArgs fill{dw.data(), dw.numel(), 0, 0};
  DLCORE_LAUNCH(fill, dw.dtype(), dw.device(), fill);
  EmbeddingBagMaxBackwardArgs args{g.data(), arg.ptr<int64_t>(), dw.data(), dy.dim(0), dy.dim(1)};
  if (dy.numel() > 0) DLCORE_LAUNCH(embedding_bag_max_backward, dy.dtype(), dy.device(), args);
  return dw;
}

Array embedding_bag_scale_backward(const Array& dy, const Array& weight, const Array& index,
                                   const Array& source, const std::optional<int64_t>& padding_idx) {
  const char* op = "embedding_bag_scale_backward";
  check_source(op, dy, index, source);
  check_weight(op, weight);
  check_same(op, "dy", dy, "weight", weight);
  check_shape(op, "dy", dy, {dy.dim(0), weight.dim(1)});
  const Array flat = checked_index(op, index, weight.dim(0), false), g = contiguous(dy),
              w = contiguous(weight);
  Array ds = Array::empty(index.shape(), dy.dtype(), dy.device());
  if (ds.numel() == 0) return ds;
  EmbeddingBagScaleBackwardArgs args{
      g.data(),  w.data(),     flat.ptr<int64_t>(), source.ptr<int64_t>(),
      ds.data(), flat.numel(), weight.dim(1),       padding_row(op, padding_idx, weight.dim(0))};
  DLCORE_LAUNCH(embedding_bag_scale_backward, dy.dtype(), dy.device(), args);
  return ds;
}

}  // namespace

void bind_embedding(py::module_& m) {
  using namespace py::literals;
  def_op(m, "embedding", &embedding, "weight"_a, "index"_a);
  def_op(m, "embedding_backward", &embedding_backward, "dy"_a, "index"_a, "num_embeddings"_a,
         "padding_idx"_a = py::none(), "scale_grad_by_freq"_a = false);
  def_op(m, "embedding_renorm_", &embedding_renorm, "weight"_a, "index"_a, "max_norm"_a, "norm_type"_a = 2.0);
  def_op(m, "embedding_bag", &embedding_bag, "weight"_a, "index"_a, "offsets"_a,
         "per_sample_weights"_a = py::none(), "mode"_a = "mean", "padding_idx"_a = py::none(),
         "include_last_offset"_a = false);
  def_op(m, "embedding_bag_backward", &embedding_bag_backward, "dy"_a, "index"_a, "source"_a,
         "per_sample_weights"_a, "num_embeddings"_a, "padding_idx"_a = py::none(),
         "scale_grad_by_freq"_a = false);
  def_op(m, "embedding_bag_max_backward", &embedding_bag_max_backward, "dy"_a, "argmax"_a,
         "num_embeddings"_a);
  def_op(m, "embedding_bag_scale_backward", &embedding_bag_scale_backward, "dy"_a, "weight"_a, "index"_a,
         "source"_a, "padding_idx"_a = py::none());
}

}  // namespace dlcore
