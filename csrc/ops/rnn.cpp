// Recurrent layers: shapes, where rows lie, allocation. A call is one layer of one or both directions; x is
// (T, B, I), (B, T, I), or packed rows (N, I) with batch_sizes (T,), as in kernels/rnn.h. Weights come five a
// direction: w_ih, w_hh, b_ih, b_hh, w_hr, of which the last three may be absent.
#include <optional>
#include <vector>

#include "ops/ops.h"

namespace dlcore {
namespace {

using OptionalArray = std::optional<Array>;
constexpr int kPerDirection = 5;
const char* const kNames[kPerDirection] = {"w_ih", "w_hh", "b_ih", "b_hh", "w_hr"};

RnnKind parse_kind(const std::string& kind) {
  if (kind == "rnn_tanh") return RnnKind::tanh;
  if (kind == "rnn_relu") return RnnKind::relu;
  if (kind == "lstm") return RnnKind::lstm;
  if (kind == "gru") return RnnKind::gru;
  value_error("rnn", "kind must be one of rnn_tanh, rnn_relu, lstm, gru", {{"kind", kind}});
}

// What both calls share: checked, contiguous arrays that outlive the launch.
struct Layer {
  RnnShape shape{};
  Dims y_shape;
  Array x, h0, c0;
  Array weights[2 * kPerDirection];
  Array active, offset;
  RnnWeights plain[2] = {};
};

// Lengths sorted from long to short, seen step by step; at once the sums before each step.
void check_batch_sizes(const char* op, const Array& sizes, Layer& l) {
  if (sizes.dtype() != DType::i64) type_error(op, "batch_sizes must be int64", {{"batch_sizes", sizes}});
  check_ndim(op, "batch_sizes", sizes, 1);
  l.active = contiguous(sizes);
  l.offset = Array::empty({l.active.dim(0)}, DType::i64);
  const int64_t* n = l.active.ptr<int64_t>();
  int64_t sum = 0;
  for (int64_t t = 0; t < l.shape.T; ++t) {
    if (n[t] < 1 || n[t] > (t ? n[t - 1] : l.shape.B) || n[t] > l.shape.N - sum)
      value_error(op, "batch_sizes must be positive, not increase, and sum to the rows of x",
                  {{"batch_sizes", sizes}, {"at step", t}, {"size", n[t]}, {"x", l.x}});
    l.offset.ptr<int64_t>()[t] = sum;
    sum += n[t];
  }
  if (sum != l.shape.N)
    value_error(op, "batch_sizes must sum to the rows of x", {{"their sum", sum}, {"x", l.x}});
  l.shape.active = n, l.shape.offset = l.offset.ptr<int64_t>();
}

Layer check(const std::string& kind, const Array& x, const Array& h0, const OptionalArray& c0,
            const std::vector<OptionalArray>& weights, const OptionalArray& batch_sizes, bool batch_first,
            bool reverse) {
  Layer l;
  RnnShape& s = l.shape;
  const char* op = kind.c_str();
  s.kind = parse_kind(kind);
  check_floating(op, "x", x);
  if (weights.size() != kPerDirection && weights.size() != 2 * kPerDirection)
    value_error(op, "weights must be 5 a direction", {{"weights", static_cast<int64_t>(weights.size())}});
  s.directions = static_cast<int>(weights.size()) / kPerDirection;
  check_ndim(op, "x", x, batch_sizes ? 2 : 3);
  check_ndim(op, "h0", h0, 3);
  s.I = x.dim(-1), s.B = h0.dim(1);
  const int64_t G = rnn_gates(s.kind);
  for (int d = 0; d < s.directions; ++d) {
    const OptionalArray* w = &weights[d * kPerDirection];
    for (int i = 0; i < kPerDirection; ++i) {
      if (!w[i]) {
        if (i < 2) value_error(op, std::string(kNames[i]) + " must be given", {{"x", x}});
        continue;
      }
      check_same(op, "x", x, kNames[i], *w[i]);
      check_ndim(op, kNames[i], *w[i], i == 2 || i == 3 ? 1 : 2);
    }
    if (d == 0) {
      const int64_t rows = w[0]->dim(0);
      if (rows == 0 || rows % G)
        value_error(op, "w_ih must have " + std::to_string(G) + " rows a hidden unit", {{"w_ih", *w[0]}});
      s.H = rows / G;
      if (w[4] && s.kind != RnnKind::lstm)
        value_error(op, "only an LSTM has a projection", {{"w_hr", *w[4]}});
      s.P = w[4] ? w[4]->dim(0) : s.H;
      if (s.P == 0) value_error(op, "the projection must not be empty", {{"w_hr", *w[4]}});
    }
    const Dims want[kPerDirection] = {{G * s.H, s.I}, {G * s.H, s.P}, {G * s.H}, {G * s.H}, {s.P, s.H}};
    for (int i = 0; i < kPerDirection; ++i) {
      if (w[i]) {
        check_shape(op, kNames[i], *w[i], want[i]);
        l.weights[d * kPerDirection + i] = contiguous(*w[i]);
      } else if (i == 4 && s.P != s.H) {
        value_error(op, "both directions must have a projection, or none", {{"w_hh", *w[1]}});
      }
    }
    if (weights[4].has_value() != w[4].has_value())
      value_error(op, "both directions must have a projection, or none", {{"w_hh", *w[1]}});
  }
  l.x = contiguous(x);
  if (batch_sizes) {
    s.T = batch_sizes->ndim() == 1 ? batch_sizes->dim(0) : 0;
    s.N = x.dim(0);
    check_batch_sizes(op, *batch_sizes, l);
    l.y_shape = {s.N, s.directions * s.P};
  } else {
    s.T = x.dim(batch_first ? 1 : 0);
    s.B = x.dim(batch_first ? 0 : 1);
    s.N = s.T * s.B;
    s.time = batch_first ? 1 : s.B, s.batch = batch_first ? s.T : 1;
    l.y_shape = {x.dim(0), x.dim(1), s.directions * s.P};
  }
  check_same(op, "x", x, "h0", h0);
  check_shape(op, "h0", h0, {s.directions, s.B, s.P});
  l.h0 = contiguous(h0);
  if (s.kind == RnnKind::lstm) {
    if (!c0) value_error(op, "c0 must be given", {{"h0", h0}});
    check_same(op, "x", x, "c0", *c0);
    check_shape(op, "c0", *c0, {s.directions, s.B, s.H});
    l.c0 = contiguous(*c0);
  } else if (c0) {
    value_error(op, "only an LSTM has cell states", {{"c0", *c0}});
  }
  const size_t item = item_size(x.dtype());
  for (int d = 0; d < s.directions; ++d) {
    const Array* w = &l.weights[d * kPerDirection];
    l.plain[d] = {s.directions == 2 ? d == 1 : reverse,
                  w[0].data(),
                  w[1].data(),
                  w[2].data(),
                  w[3].data(),
                  w[4].data(),
                  static_cast<char*>(l.h0.data()) + d * s.B * s.P * item,
                  l.c0.defined() ? static_cast<char*>(l.c0.data()) + d * s.B * s.H * item : nullptr};
  }
  return l;
}

void* part(const Array& a, int64_t i) {  // a[i]
  return a.defined()
             ? static_cast<char*>(a.data()) + i * a.stride(0) * static_cast<int64_t>(item_size(a.dtype()))
             : nullptr;
}

// (y, hT, cT, gates, cells): cT of an LSTM; the last two are what backward takes, None unless `keep`.
std::tuple<Array, Array, OptionalArray, OptionalArray, OptionalArray> rnn(
    const std::string& kind, const Array& x, const Array& h0, const OptionalArray& c0,
    const std::vector<OptionalArray>& weights, const OptionalArray& batch_sizes, bool batch_first,
    bool reverse, bool keep) {
  const Layer l = check(kind, x, h0, c0, weights, batch_sizes, batch_first, reverse);
  const RnnShape& s = l.shape;
  const bool lstm = s.kind == RnnKind::lstm;
  auto make = [&](const Dims& shape) { return Array::empty(shape, x.dtype(), x.device()); };
  const Array y = make(l.y_shape), hT = make({s.directions, s.B, s.P});
  const Array cT = lstm ? make({s.directions, s.B, s.H}) : Array();
  const bool kept = keep && (lstm || s.kind == RnnKind::gru);  // the plain cell's gradient follows from y
  const Array gates =
      kept || !rnn_fuses_inputs(s) ? make({s.directions, s.N, rnn_saved(s.kind) * s.H}) : Array();
  const Array cells = lstm && keep ? make({s.directions, s.N, s.H}) : Array();
  RnnArgs args{};
  args.shape = s;
  args.x = l.x.data(), args.y = y.data(), args.keep = kept;
  for (int d = 0; d < s.directions; ++d)
    args.direction[d] = {l.plain[d], part(gates, d), part(cells, d), part(hT, d), part(cT, d)};
  DLCORE_LAUNCH(rnn_forward, x.dtype(), x.device(), args);
  OptionalArray c, g, m;
  if (lstm) c = cT;
  if (lstm && keep) m = cells;
  if (kept) g = gates;
  return {y, hT, c, g, m};
}

// A copy that the caller may write, or zeros.
Array start(const char* op, const char* name, const OptionalArray& from, const Array& like) {
  const Array out = Array::empty_like(like);
  if (from) {
    check_same(op, "x", like, name, *from);
    check_shape(op, name, *from, like.shape());
    copy_into(out, *from);
  } else if (out.numel() > 0) {
    Array zero = Array::empty({}, like.dtype());
    __builtin_memset(zero.data(), 0, item_size(like.dtype()));
    copy_into(out, to_device(zero, like.device()).broadcast_to(op, like.shape()));
  }
  return out;
}

// [dx, dh0, dc0, the gradients of weights]: what `needs` asks for, None else. dh0 and dc0 are always given.
std::vector<OptionalArray> rnn_backward(const std::string& kind, const OptionalArray& dy,
                                        const OptionalArray& dhT, const OptionalArray& dcT, const Array& x,
                                        const Array& h0, const OptionalArray& c0, const Array& y,
                                        const OptionalArray& gates, const OptionalArray& cells,
                                        const std::vector<OptionalArray>& weights,
                                        const OptionalArray& batch_sizes, bool batch_first, bool reverse,
                                        const std::vector<bool>& needs) {
  const Layer l = check(kind, x, h0, c0, weights, batch_sizes, batch_first, reverse);
  const RnnShape& s = l.shape;
  const std::string name = kind + "_backward";
  const char* op = name.c_str();
  const bool lstm = s.kind == RnnKind::lstm, projected = l.plain[0].w_hr != nullptr;
  if (needs.size() != 1 + weights.size())
    value_error(op, "needs must be one for x and one a weight",
                {{"needs", static_cast<int64_t>(needs.size())}});
  check_same(op, "x", x, "y", y);
  check_shape(op, "y", y, l.y_shape);
  Array g;
  if (dy) {
    check_same(op, "x", x, "dy", *dy);
    check_shape(op, "dy", *dy, l.y_shape);
    g = contiguous(*dy);
  }
  Array saved, memory;
  if (lstm || s.kind == RnnKind::gru) {
    if (!gates || (lstm && !cells)) value_error(op, "what forward kept must be given", {{"y", y}});
    check_same(op, "x", x, "gates", *gates);
    check_shape(op, "gates", *gates, {s.directions, s.N, rnn_saved(s.kind) * s.H});
    saved = contiguous(*gates);
    if (lstm) {
      check_same(op, "x", x, "cells", *cells);
      check_shape(op, "cells", *cells, {s.directions, s.N, s.H});
      memory = contiguous(*cells);
    }
  }
  if (dcT && !lstm) value_error(op, "only an LSTM has cell states", {{"dcT", *dcT}});
  auto make = [&](const Dims& shape) { return Array::empty(shape, x.dtype(), x.device()); };
  const Array out = contiguous(y), dh = start(op, "dhT", dhT, l.h0),
              dc = lstm ? start(op, "dcT", dcT, l.c0) : Array();
  const Array dgates = make({s.directions, s.N, rnn_saved(s.kind) * s.H});
  const Array dhidden = projected ? make({s.directions, s.N, s.P}) : Array();
  const Array hidden = projected ? make({s.directions, s.N, s.H}) : Array();
  std::vector<OptionalArray> result(3 + weights.size());
  RnnBackwardArgs args{};
  args.shape = s;
  args.x = l.x.data(), args.y = out.data(), args.dy = g.data();
  if (needs[0]) {
    result[0] = s.N > 0 ? make(x.shape()) : Array::empty_like(l.x);
    args.dx = result[0]->data();
  }
  result[1] = dh;
  if (lstm) result[2] = dc;
  for (size_t i = 0; i < weights.size(); ++i)
    if (needs[1 + i] && weights[i])
      result[3 + i] = start(op, kNames[i % kPerDirection], std::nullopt, l.weights[i]);
  for (int d = 0; d < s.directions; ++d) {
    auto dw = [&](int i) {
      const OptionalArray& a = result[3 + d * kPerDirection + i];
      return a ? a->data() : nullptr;
    };
    args.direction[d] = {l.plain[d],
                         part(saved, d),
                         part(memory, d),
                         part(dgates, d),
                         part(dh, d),
                         part(dc, d),
                         part(dhidden, d),
                         part(hidden, d),
                         dw(0),
                         dw(1),
                         dw(2),
                         dw(3),
                         dw(4)};
  }
  DLCORE_LAUNCH(rnn_backward, x.dtype(), x.device(), args);
  return result;
}

}  // namespace

void bind_rnn(py::module_& m) {
  using namespace py::literals;
  def_op(m, "rnn", &rnn, "kind"_a, "x"_a, "h0"_a, "c0"_a, "weights"_a, "batch_sizes"_a, "batch_first"_a,
         "reverse"_a, "keep"_a);
  def_op(m, "rnn_backward", &rnn_backward, "kind"_a, "dy"_a, "dhT"_a, "dcT"_a, "x"_a, "h0"_a, "c0"_a, "y"_a,
         "gates"_a, "cells"_a, "weights"_a, "batch_sizes"_a, "batch_first"_a, "reverse"_a, "needs"_a);
}

}  // namespace dlcore
