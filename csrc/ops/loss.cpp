// cross_entropy and nll_loss: the class is axis 1 (axis 0 of an unbatched input). Labels are checked here,
// all of them, before a kernel sees one.
#include <optional>

#include "ops/ops.h"

namespace dlcore {

Reduction parse_reduction(const char* op, const std::string& name) {
  if (name == "none") return Reduction::none;
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  value_error(op, "reduction must be one of none, mean, sum", {{"reduction", name}});
}

// Contiguous int64 labels; IndexError for the first one outside [0, n) that is not ignored.
static Array checked_labels(const char* op, const Array& target, int64_t n, int64_t ignore_index) {
  const DType t = target.dtype();
  if (t != DType::i64 && t != DType::i32 && t != DType::u8)
    type_error(op, "labels must be int64, int32 or uint8", {{"target", target}});
  const Array labels = contiguous(cast(target, DType::i64));
  const Array host = to_device(labels, Device{});
  const int64_t* p = host.ptr<int64_t>();
  for (int64_t i = 0; i < host.numel(); ++i) {
    if (p[i] == ignore_index || (p[i] >= 0 && p[i] < n)) continue;
    Dims where = target.shape();
    int64_t rest = i;
    for (int d = where.n - 1; d >= 0; --d) {
      const int64_t size = target.dim(d);
      where[d] = rest % size;
      rest /= size;
    }
    index_error(op,
                "labels must lie in [0, " + std::to_string(n) +
                    ") or be ignore_index=" + std::to_string(ignore_index),
                {{"label", p[i]}, {"at position", where}});
  }
  return labels;
}

// The checked, contiguous operands of both directions, and the shape of the samples.
struct Operands {
  Array x, target, weight;
  bool probabilities;
  Dims samples;
  int64_t outer = 1, n = 1, inner = 1;
};

static Operands operands(const char* op, const Array& x, const Array& target,
                         const std::optional<Array>& weight, int64_t ignore_index, double smoothing,
                         bool log_probs, bool check_labels) {
  check_floating(op, "x", x);
  check_same_device(op, "x", x, "target", target);
  if (x.ndim() == 0) value_error(op, "logits must be (C,) or (N, C, ...)", {{"x", x}});
  if (!(smoothing >= 0 && smoothing <= 1))
    value_error(op, "label_smoothing must lie in [0, 1]", {{"label_smoothing", smoothing}});
  Operands o;
  const int axis = x.ndim() == 1 ? 0 : 1;
  o.n = x.dim(axis);
  for (int i = 0; i < x.ndim(); ++i) {
    if (i == axis) continue;
    o.samples.push(x.dim(i));
    (i < axis ? o.outer : o.inner) *= x.dim(i);
  }
  o.probabilities = !log_probs && is_floating(target.dtype());
  if (o.probabilities) {
    check_same_dtype(op, "x", x, "target", target);
    check_shape(op, "target", target, x.shape());
    o.target = contiguous(target);
  } else {
    if (!(target.shape() == o.samples))
      value_error(op, "labels must have shape " + o.samples.str() + ", that of x without its classes",
                  {{"x", x}, {"target", target}});
    o.target = check_labels ? checked_labels(op, target, o.n, ignore_index) : target;
  }
  if (weight) {
    check_same(op, "x", x, "weight", *weight);
    check_shape(op, "weight", *weight, {o.n});
    o.weight = contiguous(*weight);
  }
  o.x = contiguous(x);
  return o;
}

// (loss, the labels or probabilities as the kernels read them, stats, divisor): the last three are what
// backward takes.
static std::tuple<Array, Array, Array, Array> cross_entropy_forward(const Array& x, const Array& target,
                                                                    const std::optional<Array>& weight,
                                                                    const std::string& reduction,
                                                                    int64_t ignore_index, double smoothing,
                                                                    bool log_probs) {
  const char* op = log_probs ? "nll_loss" : "cross_entropy";
  CrossEntropyArgs args{};
  args.reduction = parse_reduction(op, reduction);
  const Operands o = operands(op, x, target, weight, ignore_index, smoothing, log_probs, true);
  Array loss = Array::empty(o.samples, x.dtype(), x.device());
  Dims two = o.samples.n < kMaxDims ? o.samples : Dims{o.outer * o.inner};
  two.push(log_probs ? 0 : 2);
  Array stats = Array::empty(two, x.dtype(), x.device());
  Array total = Array::empty({}, x.dtype(), x.device()), divisor = Array::empty({}, x.dtype(), x.device());
  args.x = o.x.data();
  args.target = o.probabilities ? nullptr : o.target.ptr<int64_t>();
  args.prob = o.probabilities ? o.target.data() : nullptr;
  args.weight = o.weight.data();
  args.loss = loss.data(), args.stats = stats.data(), args.total = total.data(),
  args.divisor = divisor.data();
  args.outer = o.outer, args.n = o.n, args.inner = o.inner;
  args.ignore_index = ignore_index, args.smoothing = smoothing, args.log_probs = log_probs;
  DLCORE_LAUNCH(cross_entropy_forward, x.dtype(), x.device(), args);
  return {args.reduction == Reduction::none ? loss : total, o.target, stats, divisor};
}

static Array cross_entropy_backward(const Array& dloss, const Array& x, const Array& target,
                                    const std::optional<Array>& weight, const Array& stats,
                                    const Array& divisor, const std::string& reduction, int64_t ignore_index,
                                    double smoothing, bool log_probs) {
  const char* op = log_probs ? "nll_loss_backward" : "cross_entropy_backward";
  CrossEntropyBackwardArgs args{};
  args.reduction = parse_reduction(op, reduction);
  Operands o = operands(op, x, target, weight, ignore_index, smoothing, log_probs, false);
  if (!o.probabilities) o.target = contiguous(cast(target, DType::i64));
  check_same(op, "x", x, "dloss", dloss);
  check_shape(op, "dloss", dloss, args.reduction == Reduction::none ? o.samples : Dims{});
  check_same(op, "x", x, "stats", stats);
  check_same(op, "x", x, "divisor", divisor);
  if (stats.numel() != (log_probs ? 0 : 2 * o.outer * o.inner) || divisor.numel() != 1 || !stats.contiguous())
    value_error(op, "stats and divisor must be those of the forward call",
                {{"stats", stats}, {"divisor", divisor}});
  Array dx = Array::empty(x.shape(), x.dtype(), x.device());
  if (dx.numel() == 0) return dx;
  const Array g = contiguous(dloss);
  args.x = o.x.data();
  args.target = o.probabilities ? nullptr : o.target.ptr<int64_t>();
  args.prob = o.probabilities ? o.target.data() : nullptr;
  args.weight = o.weight.data();
  args.stats = stats.data(), args.divisor = divisor.data(), args.dloss = g.data(), args.dx = dx.data();
  args.outer = o.outer, args.n = o.n, args.inner = o.inner;
  args.ignore_index = ignore_index, args.smoothing = smoothing, args.log_probs = log_probs;
  DLCORE_LAUNCH(cross_entropy_backward, x.dtype(), x.device(), args);
  return dx;
}

// x and target (C,) or (N, C); labels int64, in [-1, C).
static Array multilabel_targets(const char* op, const Array& x, const Array& target) {
  check_floating(op, "x", x);
  check_same_device(op, "x", x, "target", target);
  if (x.ndim() > 2 || (x.ndim() > 0 && x.dim(-1) == 0))
    value_error(op, "x must be (C,) or (N, C) with C > 0", {{"x", x}});
  check_shape(op, "target", target, x.shape());
  if (target.dtype() != DType::i64) type_error(op, "labels must be int64", {{"target", target}});
  const Array labels = contiguous(target);
  const int64_t n = x.ndim() ? x.dim(-1) : 1;
  for (int64_t i = 0; i < labels.numel(); ++i)
    if (labels.ptr<int64_t>()[i] < -1 || labels.ptr<int64_t>()[i] >= n)
      index_error(op, "labels must lie in [-1, " + std::to_string(n) + ")",
                  {{"label", labels.ptr<int64_t>()[i]}});
  return labels;
}

static Array multilabel_margin_forward(const Array& x, const Array& target) {
  const Array labels = multilabel_targets("multilabel_margin_loss", x, target), from = contiguous(x);
  Array loss = Array::empty(x.ndim() == 2 ? Dims{x.dim(0)} : Dims{}, x.dtype(), x.device());
  const int64_t n = x.ndim() ? x.dim(-1) : 1;
  MultilabelMarginArgs args{from.data(), labels.ptr<int64_t>(), loss.data(), x.numel() / n, n};
  if (loss.numel() > 0) DLCORE_LAUNCH(multilabel_margin_forward, x.dtype(), x.device(), args);
  return loss;
}

static Array multilabel_margin_backward(const Array& dloss, const Array& x, const Array& target) {
  const char* op = "multilabel_margin_loss_backward";
  const Array labels = multilabel_targets(op, x, target), from = contiguous(x);
  check_same(op, "x", x, "dloss", dloss);
  check_shape(op, "dloss", dloss, x.ndim() == 2 ? Dims{x.dim(0)} : Dims{});
  const Array g = contiguous(dloss);
  Array dx = Array::empty(x.shape(), x.dtype(), x.device());
  const int64_t n = x.ndim() ? x.dim(-1) : 1;
  MultilabelMarginBackwardArgs args{from.data(), labels.ptr<int64_t>(), g.data(),
                                    dx.data(),   x.numel() / n,         n};
  if (dx.numel() > 0) DLCORE_LAUNCH(multilabel_margin_backward, x.dtype(), x.device(), args);
  return dx;
}

void bind_loss(py::module_& m) {
  using namespace py::literals;
  def_op(m, "multilabel_margin_forward", &multilabel_margin_forward, "x"_a, "target"_a);
  def_op(m, "multilabel_margin_backward", &multilabel_margin_backward, "dloss"_a, "x"_a, "target"_a);
  def_op(m, "cross_entropy_forward", &cross_entropy_forward, "x"_a, "target"_a, "weight"_a = py::none(),
         "reduction"_a = "mean", "ignore_index"_a = -100, "label_smoothing"_a = 0.0, "log_probs"_a = false);
  def_op(m, "cross_entropy_backward", &cross_entropy_backward, "dloss"_a, "x"_a, "target"_a, "weight"_a,
         "stats"_a, "divisor"_a, "reduction"_a = "mean", "ignore_index"_a = -100, "label_smoothing"_a = 0.0,
         "log_probs"_a = false);
}

}  // namespace dlcore
