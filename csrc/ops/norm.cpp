// The norms: layouts, checks, allocation. Layer and RMS norm see x as rows; batch, group and instance norm
// and the local response as (N, C, S), channels-first or channels-last, and answer in x's format.
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>

#include "ops/ops.h"

namespace dlcore {

namespace {

using Optional = std::optional<Array>;
using Gradients = std::tuple<Optional, Optional, Optional>;

Array zeros(const Dims& shape, const Array& like) {
  Array host = Array::empty(shape, like.dtype());
  if (host.numel() > 0)
    std::memset(host.data(), 0, static_cast<size_t>(host.numel()) * item_size(host.dtype()));
  return to_device(host, like.device());
}

// A parameter of this shape beside x, contiguous; an undefined Array for none.
Array parameter(const char* op, const char* name, const Optional& a, const Dims& shape, const Array& x) {
  if (!a) return {};
  check_same(op, "x", x, name, *a);
  check_shape(op, name, *a, shape);
  return contiguous(*a);
}

const void* pointer(const Array& a) { return a.defined() ? a.data() : nullptr; }
void* pointer(const Optional& a) { return a ? a->data() : nullptr; }

// ---- rows
// --------------------------------------------------------------------------------------------------

struct RowShape {
  int64_t rows = 1, n = 1;
  Dims lead;  // of mean and rstd
};

RowShape row_shape(const char* op, const Array& x, const Dims& normalized) {
  check_floating(op, "x", x);
  if (normalized.n == 0)
    value_error(op, "normalized_shape must have at least 1 dimension", {{"normalized_shape", normalized}});
  const int first = x.ndim() - normalized.n;
  bool same = first >= 0;
  for (int i = 0; same && i < normalized.n; ++i) same = x.dim(first + i) == normalized[i];
  if (!same)
    value_error(op, "the last dimensions of x must be normalized_shape",
                {{"x", x}, {"normalized_shape", normalized}});
  RowShape s;
  for (int i = 0; i < first; ++i) s.rows *= x.dim(i), s.lead.push(x.dim(i));
  for (int64_t n : normalized) s.n *= n;
  return s;
}

// y, mean (none for RMS norm), rstd.
std::tuple<Array, Optional, Array> row_norm(const char* op, const Array& x, const Dims& normalized,
                                            const Optional& weight, const Optional& bias, double eps,
                                            bool rms) {
  const RowShape s = row_shape(op, x, normalized);
  const Array w = parameter(op, "weight", weight, normalized, x);
  const Array b = parameter(op, "bias", bias, normalized, x);
  Array y = Array::empty_like(x);
  if (y.numel() == 0) {
    const Array none = zeros(s.lead, x);
    return {y, rms ? Optional() : Optional(none), none};
  }
  const Array from = contiguous(x);
  Optional mean;
  if (!rms) mean = Array::empty(s.lead, x.dtype(), x.device());
  const Array rstd = Array::empty(s.lead, x.dtype(), x.device());
  RowNormArgs args{};
  args.x = from.data(), args.weight = pointer(w), args.bias = pointer(b);
  args.y = y.data(), args.mean = pointer(mean), args.rstd = rstd.data();
  args.rows = s.rows, args.n = s.n, args.groups = 1, args.eps = eps, args.rms = rms;
  DLCORE_LAUNCH(row_norm_forward, x.dtype(), x.device(), args);
  return {y, mean, rstd};
}

std::tuple<Array, Optional, Array> layer_norm(const Array& x, const Dims& normalized, const Optional& weight,
                                              const Optional& bias, double eps) {
  return row_norm("layer_norm", x, normalized, weight, bias, eps, false);
}

std::tuple<Array, Array> rms_norm(const Array& x, const Dims& normalized, const Optional& weight,
                                  std::optional<double> eps) {
  const double smallest = x.dtype() == DType::f64 ? std::numeric_limits<double>::epsilon()
                                                  : std::numeric_limits<float>::epsilon();
  const auto [y, mean, rstd] = row_norm("rms_norm", x, normalized, weight, {}, eps.value_or(smallest), true);
  return {y, rstd};
}

// `mean` none: RMS norm.
Gradients row_norm_backward(const char* op, const Array& dy, const Array& x, const Dims& normalized,
                            const Optional& weight, const Optional& mean, const Array& rstd, bool need_x,
                            bool need_w, bool need_b) {
  const RowShape s = row_shape(op, x, normalized);
  check_same(op, "x", x, "dy", dy);
  check_shape(op, "dy", dy, x.shape());
  const Array w = parameter(op, "weight", weight, normalized, x);
  const Array m = parameter(op, "mean", mean, s.lead, x), r = parameter(op, "rstd", rstd, s.lead, x);
  Optional dx, dw, db;
  if (need_x) dx = Array::empty_like(x);
  if (need_w || need_b) dw = zeros(normalized, x), db = zeros(normalized, x);
  if (x.numel() > 0 && (need_x || need_w || need_b)) {
    const Array from = contiguous(x), g = contiguous(dy);
    RowNormBackwardArgs args{};
    args.dy = g.data(), args.x = from.data(), args.mean = pointer(m), args.rstd = r.data();
    args.weight = pointer(w), args.dx = pointer(dx), args.dweight = pointer(dw), args.dbias = pointer(db);
    args.rows = s.rows, args.n = s.n, args.groups = 1;
    DLCORE_LAUNCH(row_norm_backward, x.dtype(), x.device(), args);
  }
  if (!need_w) dw.reset();
  if (!need_b) db.reset();
  return {dx, dw, db};
}

Gradients layer_norm_backward(const Array& dy, const Array& x, const Dims& normalized, const Optional& weight,
                              const Array& mean, const Array& rstd, bool need_x, bool need_w, bool need_b) {
  return row_norm_backward("layer_norm_backward", dy, x, normalized, weight, mean, rstd, need_x, need_w,
                           need_b);
}

std::tuple<Optional, Optional> rms_norm_backward(const Array& dy, const Array& x, const Dims& normalized,
                                                 const Optional& weight, const Array& rstd, bool need_x,
                                                 bool need_w) {
  const auto [dx, dw, db] =
      row_norm_backward("rms_norm_backward", dy, x, normalized, weight, {}, rstd, need_x, need_w, false);
  return {dx, dw};
}

// ---- channels
// ----------------------------------------------------------------------------------------------

// x as (N, C, S) in one of the two dense formats, copied where it is in neither.
struct Layout {
  int64_t N, C, S = 1;
  bool last;
  Array x;

  Layout(const char* op, const Array& a, int least) {
    check_floating(op, "x", a);
    if (a.ndim() < least)
      value_error(op, "x must have at least " + std::to_string(least) + " dimensions, (N, C, ...)",
                  {{"x", a}});
    N = a.dim(0), C = a.dim(1);
    for (int i = 2; i < a.ndim(); ++i) S *= a.dim(i);
    last = S == 1 || (!a.contiguous() && rows_of(a).contiguous());
    x = place(a);
  }
  static Array rows_of(const Array& a) {  // (N, ..., C)
    Dims axes{0};
    for (int i = 2; i < a.ndim(); ++i) axes.push(i);
    axes.push(1);
    return a.permute(axes);
  }
  Array empty_like(const Array& a) const {
    if (!last || S == 1) return Array::empty_like(a);
    Dims back{0, a.ndim() - 1};
    for (int i = 1; i < a.ndim() - 1; ++i) back.push(i);
    return Array::empty_like(rows_of(a)).permute(back);
  }
  Array place(const Array& a) const {  // in this format
    if (!last || S == 1) return contiguous(a);
    if (rows_of(a).contiguous()) return a;
    const Array to = empty_like(a);
    copy_into(to, a);
    return to;
  }
};

// A running statistic: contiguous memory that a kernel updates, written back where the caller's is not.
struct Running {
  Array given, used;
  Running(const char* op, const char* name, const Optional& a, int64_t C, const Array& x, bool update) {
    if (!a) return;
    if (update) check_writable(op, name, *a);
    given = *a;
    used = parameter(op, name, a, {C}, x);
  }
  void* data() const { return used.defined() ? used.data() : nullptr; }
  void write_back() const {
    if (used.defined() && used.data() != given.data()) copy_into(given, used);
  }
};

// y, mean, rstd. groups 0: batch norm; `statistics`: of x, else the running ones serve.
std::tuple<Array, Array, Array> channel_norm(const char* op, const Array& x, const Optional& running_mean,
                                             const Optional& running_var, const Optional& weight,
                                             const Optional& bias, int64_t groups, bool statistics,
                                             double momentum, double eps, bool unbiased) {
  const Layout l(op, x, 2);
  const Array w = parameter(op, "weight", weight, {l.C}, x), b = parameter(op, "bias", bias, {l.C}, x);
  if (running_mean.has_value() != running_var.has_value())
    value_error(op, "running_mean and running_var must either both be given or neither", {{"x", x}});
  const Running rm(op, "running_mean", running_mean, l.C, x, statistics);
  const Running rv(op, "running_var", running_var, l.C, x, statistics);
  const Dims sets = groups ? Dims{l.N, groups} : Dims{l.C};
  Array y = l.empty_like(x);
  if (y.numel() == 0) return {y, zeros(sets, x), zeros(sets, x)};
  if (!statistics && !running_mean)
    value_error(op, "running_mean and running_var must be given where they serve as statistics", {{"x", x}});
  const Array mean = Array::empty(sets, x.dtype(), x.device()), rstd = Array::empty_like(mean);
  if (l.S == 1 && groups) {  // rows of C / groups
    RowNormArgs args{};
    args.x = l.x.data(), args.weight = pointer(w), args.bias = pointer(b), args.y = y.data();
    args.mean = mean.data(), args.rstd = rstd.data(), args.eps = eps;
    args.rows = l.N * groups, args.n = l.C / groups, args.groups = groups;
    DLCORE_LAUNCH(row_norm_forward, x.dtype(), x.device(), args);
    return {y, mean, rstd};
  }
  ChannelNormArgs args{};
  args.x = l.x.data(), args.weight = pointer(w), args.bias = pointer(b), args.y = y.data();
  args.mean = mean.data(), args.rstd = rstd.data();
  args.running_mean = rm.data(), args.running_var = rv.data();
  args.N = l.N, args.C = l.C, args.S = l.S, args.groups = groups, args.eps = eps, args.momentum = momentum;
  args.channels_last = l.last, args.statistics = statistics, args.unbiased = unbiased;
  DLCORE_LAUNCH(channel_norm_forward, x.dtype(), x.device(), args);
  if (statistics) rm.write_back(), rv.write_back();
  return {y, mean, rstd};
}

Gradients channel_norm_backward(const char* op, const Array& dy, const Array& x, const Optional& weight,
                                const Array& mean, const Array& rstd, int64_t groups, bool statistics,
                                bool need_x, bool need_w, bool need_b) {
  const Layout l(op, x, 2);
  check_same(op, "x", x, "dy", dy);
  check_shape(op, "dy", dy, x.shape());
  const Array w = parameter(op, "weight", weight, {l.C}, x);
  const Dims sets = groups ? Dims{l.N, groups} : Dims{l.C};
  const Array m = parameter(op, "mean", mean, sets, x), r = parameter(op, "rstd", rstd, sets, x);
  Optional dx, dw, db;
  if (need_x) dx = l.empty_like(x);
  if (need_w || need_b) dw = zeros({l.C}, x), db = zeros({l.C}, x);
  if (x.numel() > 0 && (need_x || need_w || need_b)) {
    const Array g = l.place(dy);
    if (l.S == 1 && groups) {
      RowNormBackwardArgs args{};
      args.dy = g.data(), args.x = l.x.data(), args.mean = m.data(), args.rstd = r.data();
      args.weight = pointer(w), args.dx = pointer(dx), args.dweight = pointer(dw), args.dbias = pointer(db);
      args.rows = l.N * groups, args.n = l.C / groups, args.groups = groups;
      DLCORE_LAUNCH(row_norm_backward, x.dtype(), x.device(), args);
    } else {
      ChannelNormBackwardArgs args{};
      args.dy = g.data(), args.x = l.x.data(), args.mean = m.data(), args.rstd = r.data();
      args.weight = pointer(w), args.dx = pointer(dx), args.dweight = pointer(dw), args.dbias = pointer(db);
      args.N = l.N, args.C = l.C, args.S = l.S, args.groups = groups;
      args.channels_last = l.last, args.statistics = statistics;
      DLCORE_LAUNCH(channel_norm_backward, x.dtype(), x.device(), args);
    }
  }
  if (!need_w) dw.reset();
  if (!need_b) db.reset();
  return {dx, dw, db};
}

void check_eps(const char* op, double eps) {
  if (!(eps > 0)) value_error(op, "eps must be positive in training", {{"eps", eps}});
}

std::tuple<Array, Array, Array> batch_norm(const Array& x, const Optional& running_mean,
                                           const Optional& running_var, const Optional& weight,
                                           const Optional& bias, bool training, double momentum, double eps,
                                           bool unbiased) {
  if (training && x.ndim() >= 2 && x.dim(1) > 0 && x.numel() == x.dim(1))
    value_error("batch_norm", "Expected more than 1 value per channel when training", {{"x", x}});
  if (training) check_eps("batch_norm", eps);
  return channel_norm("batch_norm", x, running_mean, running_var, weight, bias, 0, training, momentum, eps,
                      unbiased);
}

Gradients batch_norm_backward(const Array& dy, const Array& x, const Optional& weight, const Array& mean,
                              const Array& rstd, bool training, bool need_x, bool need_w, bool need_b) {
  return channel_norm_backward("batch_norm_backward", dy, x, weight, mean, rstd, 0, training, need_x, need_w,
                               need_b);
}

void check_groups(const char* op, const Array& x, int64_t groups) {
  if (groups <= 0) value_error(op, "num_groups must be positive", {{"num_groups", groups}});
  if (x.ndim() >= 2 && x.dim(1) % groups)
    value_error(op, "the number of channels must be divisible by num_groups",
                {{"x", x}, {"num_groups", groups}});
}

std::tuple<Array, Array, Array> group_norm(const Array& x, int64_t groups, const Optional& weight,
                                           const Optional& bias, double eps) {
  check_groups("group_norm", x, groups);
  if (x.numel() > 0 && x.numel() == groups)
    value_error("group_norm", "Expected more than 1 value per channel when training",
                {{"x", x}, {"num_groups", groups}});
  return channel_norm("group_norm", x, {}, {}, weight, bias, groups, true, 0, eps, false);
}

Gradients group_norm_backward(const Array& dy, const Array& x, int64_t groups, const Optional& weight,
                              const Array& mean, const Array& rstd, bool need_x, bool need_w, bool need_b) {
  check_groups("group_norm_backward", x, groups);
  return channel_norm_backward("group_norm_backward", dy, x, weight, mean, rstd, groups, true, need_x, need_w,
                               need_b);
}

// A group norm of one channel a group, with running statistics averaged over the samples.
std::tuple<Array, Array, Array> instance_norm(const Array& x, const Optional& running_mean,
                                              const Optional& running_var, const Optional& weight,
                                              const Optional& bias, double momentum, double eps) {
  const char* op = "instance_norm";
  int64_t spatial = 1;
  for (int i = 2; i < x.ndim(); ++i) spatial *= x.dim(i);
  if (spatial == 1) value_error(op, "Expected more than 1 spatial element when training", {{"x", x}});
  if (x.dim(1) == 0) value_error(op, "there must be channels", {{"x", x}});
  check_eps(op, eps);
  return channel_norm(op, x, running_mean, running_var, weight, bias, x.dim(1), true, momentum, eps, true);
}

// ---- across channels
// ---------------------------------------------------------------------------------------

LocalNormArgs local_args(const char* op, const Layout& l, int64_t before, int64_t after, double alpha,
                         double beta, double k) {
  if (before < 0 || after < 0)
    value_error(op, "the window must hold its own channel", {{"before", before}, {"after", after}});
  LocalNormArgs args{};
  args.x = l.x.data(), args.N = l.N, args.C = l.C, args.S = l.S, args.channels_last = l.last;
  args.before = before < l.C ? before : l.C, args.after = after < l.C ? after : l.C;
  args.alpha = alpha, args.beta = beta, args.k = k;
  return args;
}

Array local_response_norm(const Array& x, int64_t before, int64_t after, double alpha, double beta,
                          double k) {
  const char* op = "local_response_norm";
  const Layout l(op, x, 3);
  LocalNormArgs args = local_args(op, l, before, after, alpha, beta, k);
  Array y = l.empty_like(x);
  if (y.numel() == 0) return y;
  args.y = y.data();
  DLCORE_LAUNCH(local_norm_forward, x.dtype(), x.device(), args);
  return y;
}

Array local_response_norm_backward(const Array& dy, const Array& x, int64_t before, int64_t after,
                                   double alpha, double beta, double k) {
  const char* op = "local_response_norm_backward";
  const Layout l(op, x, 3);
  check_same(op, "x", x, "dy", dy);
  check_shape(op, "dy", dy, x.shape());
  LocalNormArgs args = local_args(op, l, before, after, alpha, beta, k);
  Array dx = l.empty_like(x);
  if (dx.numel() == 0) return dx;
  const Array g = l.place(dy);
  args.dy = g.data(), args.y = dx.data();
  DLCORE_LAUNCH(local_norm_backward, x.dtype(), x.device(), args);
  return dx;
}

}  // namespace

void bind_norm(py::module_& m) {
  using namespace py::literals;
  def_op(m, "layer_norm", &layer_norm, "x"_a, "normalized_shape"_a, "weight"_a, "bias"_a, "eps"_a);
  def_op(m, "layer_norm_backward", &layer_norm_backward, "dy"_a, "x"_a, "normalized_shape"_a, "weight"_a,
         "mean"_a, "rstd"_a, "need_x"_a = true, "need_w"_a = true, "need_b"_a = true);
  def_op(m, "rms_norm", &rms_norm, "x"_a, "normalized_shape"_a, "weight"_a, "eps"_a);
  def_op(m, "rms_norm_backward", &rms_norm_backward, "dy"_a, "x"_a, "normalized_shape"_a, "weight"_a,
         "rstd"_a, "need_x"_a = true, "need_w"_a = true);
  // running_mean and running_var are changed in place where `training`.
  def_op(m, "batch_norm", &batch_norm, "x"_a, "running_mean"_a, "running_var"_a, "weight"_a, "bias"_a,
         "training"_a, "momentum"_a, "eps"_a, "unbiased"_a = true);
  def_op(m, "batch_norm_backward", &batch_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a,
         "training"_a, "need_x"_a = true, "need_w"_a = true, "need_b"_a = true);
  def_op(m, "group_norm", &group_norm, "x"_a, "num_groups"_a, "weight"_a, "bias"_a, "eps"_a);
  def_op(m, "group_norm_backward", &group_norm_backward, "dy"_a, "x"_a, "num_groups"_a, "weight"_a, "mean"_a,
         "rstd"_a, "need_x"_a = true, "need_w"_a = true, "need_b"_a = true);
  def_op(m, "instance_norm", &instance_norm, "x"_a, "running_mean"_a, "running_var"_a, "weight"_a, "bias"_a,
         "momentum"_a, "eps"_a);
  def_op(m, "local_response_norm", &local_response_norm, "x"_a, "before"_a, "after"_a, "alpha"_a, "beta"_a,
         "k"_a);
  def_op(m, "local_response_norm_backward", &local_response_norm_backward, "dy"_a, "x"_a, "before"_a,
         "after"_a, "alpha"_a, "beta"_a, "k"_a);
}

}  // namespace dlcore
