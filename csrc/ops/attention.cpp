// Scaled dot-product attention: operands of any rank become (B, H, T, D) by views; layouts, broadcasting and
// grouped heads are strides. Results lie as their inputs do: where q is a transposed (B, T, H, D), so is o.
#include <cmath>
#include <optional>
#include <vector>

#include "ops/ops.h"

namespace dlcore {

namespace {

struct Options {
  std::optional<Array> mask, lengths;
  bool causal;
  std::optional<double> scale;
  double dropout;
  uint64_t seed, offset;
  bool grouped;
};

// The operands as kernels take them, and the shapes that they had.
struct Problem {
  AttentionArgs args{};
  Array q, k, v, mask, lengths;  // (B, H, T, D)
  Dims lead;                     // axes of the result before (Tq, Dv)
  Dims mask_shape;               // four axes, 1 where the mask is broadcast
};

Dims leading(const Array& x, int n) {
  Dims d;
  for (int i = 0; i < x.ndim() - n; ++i) d.push(x.dim(i));
  return d;
}

Dims with(Dims d, std::initializer_list<int64_t> more) {
  for (int64_t n : more) d.push(n);
  return d;
}

// x, of shape lead + (T, D), as (B, H, T, D).
Array four(const Array& x) {
  const int n = x.ndim();
  if (n == 4) return x;
  Dims shape{1, 1, 1, 1}, strides{0, 0, 0, 0};
  if (n < 4) {
    for (int i = 0; i < n; ++i) shape[4 - n + i] = x.dim(i), strides[4 - n + i] = x.stride(i);
    return x.view(shape, strides);
  }
  const Array c = contiguous(x);
  int64_t batch = 1;
  for (int i = 0; i < n - 3; ++i) batch *= x.dim(i);
  shape = {batch, x.dim(-3), x.dim(-2), x.dim(-1)};
  return c.view(shape, row_major(shape));
}

Array rows(const Array& x) { return x.dim(-1) > 1 && x.stride(-1) != 1 ? contiguous(x) : x; }

// Empty, of x's shape but for the last axis, lying as x does.
Array like(const Array& x, int64_t width) {
  const bool time_first = x.dim(1) > 1 && x.dim(2) > 1 && x.stride(1) < x.stride(2);
  if (!time_first) return Array::empty({x.dim(0), x.dim(1), x.dim(2), width}, x.dtype(), x.device());
  return Array::empty({x.dim(0), x.dim(2), x.dim(1), width}, x.dtype(), x.device()).transpose(1, 2);
}

// The reverse of four().
Array unfour(const Array& x, const Dims& shape) {
  if (shape.n == 4) return x;
  if (shape.n > 4) return x.view(shape, row_major(shape));  // never lies time first: four() copied
  Dims strides = Dims::filled(shape.n, 0);
  for (int i = 0; i < shape.n; ++i) strides[i] = x.stride(4 - shape.n + i);
  return x.view(shape, strides);
}

void set_strides(int64_t (&to)[3], const Array& x) {
  for (int i = 0; i < 3; ++i) to[i] = x.stride(i);
}

Problem prepare(const char* op, const Array& q, const Array& k, const Array& v, const Options& o) {
  check_floating(op, "query", q);
  check_same(op, "query", q, "key", k);
  check_same(op, "query", q, "value", v);
  const int least = o.grouped ? 3 : 2;
  if (q.ndim() < least || k.ndim() < least || v.ndim() < least)
    value_error(op, "query, key and value must have at least " + std::to_string(least) + " dimensions",
                {{"query", q}, {"key", k}, {"value", v}});
  if (q.dim(-1) != k.dim(-1))
    value_error(op, "query and key must have the same last axis", {{"query", q}, {"key", k}});
  if (k.dim(-2) != v.dim(-2))
    value_error(op, "key and value must have the same length", {{"key", k}, {"value", v}});
  if (!(o.dropout >= 0 && o.dropout <= 1))
    value_error(op, "the dropout probability must lie in [0, 1]", {{"dropout", o.dropout}});
  Problem p;
  const Array qr = rows(q), kr = rows(k), vr = rows(v);
  Dims q_lead, kv_lead;
  if (o.grouped) {
    const int64_t hq = q.dim(-3), hkv = k.dim(-3);
    if (hkv != v.dim(-3) || (hkv == 0 ? hq != 0 : hq % hkv != 0))
      value_error(op, "the heads of key and value must be equal and divide those of query",
                  {{"query", q}, {"key", k}, {"value", v}});
    const Dims batch =
        broadcast_shapes(op, leading(q, 3), broadcast_shapes(op, leading(k, 3), leading(v, 3)));
    q_lead = with(batch, {hq}), kv_lead = with(batch, {hkv});
  } else {
    q_lead = kv_lead =
        broadcast_shapes(op, leading(q, 2), broadcast_shapes(op, leading(k, 2), leading(v, 2)));
  }
  p.lead = q_lead;
  p.q = four(qr.broadcast_to(op, with(q_lead, {q.dim(-2), q.dim(-1)})));
  p.k = four(kr.broadcast_to(op, with(kv_lead, {k.dim(-2), k.dim(-1)})));
  p.v = four(vr.broadcast_to(op, with(kv_lead, {v.dim(-2), v.dim(-1)})));
  AttentionArgs& a = p.args;
  a.B = p.q.dim(0), a.Hq = p.q.dim(1), a.Hkv = p.k.dim(1), a.Tq = p.q.dim(2), a.Tk = p.k.dim(2);
  a.D = p.q.dim(3), a.Dv = p.v.dim(3);
  a.q = p.q.data(), a.k = p.k.data(), a.v = p.v.data();
  set_strides(a.q_s, p.q), set_strides(a.k_s, p.k), set_strides(a.v_s, p.v);
  if (o.mask) {
    const Array& m = *o.mask;
    check_same_device(op, "query", q, "mask", m);
    if (m.dtype() != DType::b8 && m.dtype() != q.dtype())
      type_error(op, "mask must be bool or have the dtype of query", {{"mask", m}, {"query", q}});
    const Dims full = with(q_lead, {a.Tq, a.Tk});
    const Dims fits = broadcast_shapes(op, m.shape(), full);
    if (!(fits == full)) value_error(op, "mask must broadcast to " + full.str(), {{"mask", m}});
    p.mask = four(m.broadcast_to(op, full));
    p.mask_shape = p.mask.shape();
    for (int i = 0; i < 4 && full.n <= 4; ++i) {
      const int d = i - 4 + m.ndim();
      if (d < 0 || m.dim(d) == 1) p.mask_shape[i] = 1;
    }
    a.mask = p.mask.data(), a.mask_bool = m.dtype() == DType::b8;
    for (int i = 0; i < 4; ++i) a.mask_s[i] = p.mask_shape[i] == 1 ? 0 : p.mask.stride(i);
  }
  if (o.lengths) {
    if (o.lengths->dtype() != DType::i64 && o.lengths->dtype() != DType::i32)
      type_error(op, "lengths must be int32 or int64", {{"lengths", *o.lengths}});
    check_same_device(op, "query", q, "lengths", *o.lengths);
    check_shape(op, "lengths", *o.lengths, {a.B});
    p.lengths = contiguous(cast(*o.lengths, DType::i64));
    a.lengths = p.lengths.ptr<int64_t>();
    if (p.lengths.device().kind == Device::cpu)
      for (int64_t i = 0; i < a.B; ++i)
        if (a.lengths[i] < 0 || a.lengths[i] > a.Tk)
          value_error(op, "lengths must lie in [0, " + std::to_string(a.Tk) + "]",
                      {{"lengths", *o.lengths}, {"length", a.lengths[i]}});
  }
  a.scale = o.scale ? *o.scale : a.D ? 1 / std::sqrt(static_cast<double>(a.D)) : 1;
  a.causal = o.causal, a.dropout = o.dropout, a.seed = o.seed, a.offset = o.offset;
  return p;
}

Dims stats_shape(const Problem& p) {
  Dims d{2};
  for (int64_t n : p.lead) d.push(n);
  d.push(p.args.Tq);
  return d;
}

// (output, statistics): the second of shape (2, ..., Tq).
std::pair<Array, Array> attention(const Array& q, const Array& k, const Array& v, const Options& options) {
  Problem p = prepare("attention", q, k, v, options);
  AttentionArgs& a = p.args;
  const Array o = like(p.q, a.Dv);
  const Array stats = Array::empty({2, a.B, a.Hq, a.Tq}, q.dtype(), q.device());
  a.o = o.data(), a.stats = stats.data();
  set_strides(a.o_s, o);
  if (stats.numel() > 0) DLCORE_LAUNCH(attention_forward, q.dtype(), q.device(), a);
  const Dims shape = stats_shape(p);
  return {unfour(o, with(p.lead, {a.Tq, a.Dv})), stats.view(shape, row_major(shape))};
}

// (dq, dk, dv, dmask), where `needs` asks for them; of the broadcast shapes, but dmask of the mask's own
// where it has at most four axes.
std::vector<std::optional<Array>> attention_backward(const Array& dout, const Array& q, const Array& k,
                                                     const Array& v, const Array& o, const Array& stats,
                                                     const std::vector<bool>& needs, const Options& options) {
  const char* op = "attention_backward";
  Problem p = prepare(op, q, k, v, options);
  AttentionArgs& a = p.args;
  const Dims shape = with(p.lead, {a.Tq, a.Dv});
  check_same(op, "query", q, "dout", dout);
  check_same(op, "query", q, "out", o);
  check_same(op, "query", q, "stats", stats);
  check_shape(op, "dout", dout, shape);
  check_shape(op, "out", o, shape);
  check_shape(op, "stats", stats, stats_shape(p));
  if (needs.size() != 4) value_error(op, "needs must have 4 entries", {});
  if (needs[3] && (!options.mask || a.mask_bool))
    value_error(op, "only an added mask has a gradient", {{"query", q}});
  const Array g = four(rows(dout)), out = four(rows(o)), saved = contiguous(stats);
  a.o = out.data(), a.stats = saved.data();
  set_strides(a.o_s, out);
  std::vector<std::optional<Array>> result(4);
  if (needs[0] || needs[1] || needs[2]) {
    AttentionBackwardArgs args{};
    args.forward = a, args.dout = g.data();
    set_strides(args.dout_s, g);
    auto gradient = [&](int i, const Array& x, void** data, int64_t (&strides)[3], int64_t heads) {
      if (!needs[static_cast<size_t>(i)]) return;
      const Array dx = like(x, x.dim(3));
      *data = dx.data();
      set_strides(strides, dx);
      Dims own = p.lead;
      if (own.n > 0) own[own.n - 1] = heads;
      result[static_cast<size_t>(i)] = unfour(dx, with(own, {x.dim(2), x.dim(3)}));
    };
    gradient(0, p.q, &args.dq, args.dq_s, a.Hq);
    gradient(1, p.k, &args.dk, args.dk_s, a.Hkv);
    gradient(2, p.v, &args.dv, args.dv_s, a.Hkv);
    DLCORE_LAUNCH(attention_backward, q.dtype(), q.device(), args);
  }
  if (needs[3]) {
    const Array dmask = Array::empty(p.mask_shape, q.dtype(), q.device());
    const FillArgs zero{dmask.data(), dmask.numel(), 0, 0};
    if (dmask.numel() > 0) DLCORE_LAUNCH(fill, q.dtype(), q.device(), zero);
    AttentionMaskBackwardArgs args{};
    args.forward = a, args.dout = g.data(), args.dmask = dmask.data();
    set_strides(args.dout_s, g);
    for (int i = 0; i < 4; ++i) args.dmask_s[i] = p.mask_shape[i] == 1 ? 0 : dmask.stride(i);
    if (dmask.numel() > 0) DLCORE_LAUNCH(attention_mask_backward, q.dtype(), q.device(), args);
    const Dims own = p.lead.n <= 2 ? options.mask->shape() : with(p.lead, {a.Tq, a.Tk});
    result[3] = dmask.view(own, row_major(own));
  }
  return result;
}

}  // namespace

void bind_attention(py::module_& m) {
  using namespace py::literals;
  def_op(
      m, "attention",
      [](const Array& q, const Array& k, const Array& v, const std::optional<Array>& mask,
         const std::optional<Array>& lengths, bool causal, std::optional<double> scale, double dropout,
         uint64_t seed, uint64_t offset, bool grouped) {
        return attention(q, k, v, {mask, lengths, causal, scale, dropout, seed, offset, grouped});
      },
      "query"_a, "key"_a, "value"_a, "mask"_a = py::none(), "lengths"_a = py::none(), "causal"_a = false,
      "scale"_a = py::none(), "dropout"_a = 0.0, "seed"_a = 0, "offset"_a = 0, "grouped"_a = false);
  def_op(
      m, "attention_backward",
      [](const Array& dout, const Array& q, const Array& k, const Array& v, const Array& out,
         const Array& stats, const std::vector<bool>& needs, const std::optional<Array>& mask,
         const std::optional<Array>& lengths, bool causal, std::optional<double> scale, double dropout,
         uint64_t seed, uint64_t offset, bool grouped) {
        return attention_backward(dout, q, k, v, out, stats, needs,
                                  {mask, lengths, causal, scale, dropout, seed, offset, grouped});
      },
      "dout"_a, "query"_a, "key"_a, "value"_a, "out"_a, "stats"_a, "needs"_a, "mask"_a = py::none(),
      "lengths"_a = py::none(), "causal"_a = false, "scale"_a = py::none(), "dropout"_a = 0.0, "seed"_a = 0,
      "offset"_a = 0, "grouped"_a = false);
}

}  // namespace dlcore
