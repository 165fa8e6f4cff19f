// conv1d and conv2d: geometry, memory formats, allocation. A 1-d convolution is a 2-d one of height 1.
// The output's memory format is the input's: channels-last in, channels-last out, and the same for the
// gradients.
#include <cstring>
#include <optional>

#include "ops/ops.h"

namespace dlcore {

Act parse_act(const char* op, const std::string& name);  // ops/matmul.cpp

namespace {

// (N,C,L) -> (N,C,1,L), its height stride what a dense array of x's format would have.
Array lift(const Array& a) {
  if (a.ndim() != 3) return a;
  return a.view({a.dim(0), a.dim(1), 1, a.dim(2)},
                {a.stride(0), a.stride(1), a.dim(2) * a.stride(2), a.stride(2)});
}

bool channels_last(const Array& x) {  // (N,C,H,W)
  const int64_t C = x.dim(1), H = x.dim(2), W = x.dim(3);
  if (x.stride(1) != 1) return false;
  if (C > 1 && W > 1) return x.stride(3) != 1;
  if (C > 1 && H > 1) return x.stride(2) != 1;
  return x.stride(3) == C && x.stride(2) == W * C;
}

Array empty_as(const Dims& shape, bool last, const Array& like) {
  if (!last) return Array::empty(shape, like.dtype(), like.device());
  return Array::empty({shape[0], shape[2], shape[3], shape[1]}, like.dtype(), like.device())
      .permute({0, 3, 1, 2});
}

// Dense, with the axes in the order of a's strides, so that a gradient lies as its parameter does.
Array empty_preserving(const Array& a) {
  int order[kMaxDims];
  for (int i = 0; i < a.ndim(); ++i) {
    int j = i;
    for (; j > 0 && std::abs(a.stride(order[j - 1])) < std::abs(a.stride(i)); --j) order[j] = order[j - 1];
    order[j] = i;
  }
  Dims shape = a.shape(), back = a.shape();
  for (int i = 0; i < a.ndim(); ++i) shape[i] = a.dim(order[i]), back[order[i]] = i;
  return Array::empty(shape, a.dtype(), a.device()).permute(back);
}

Array zeros_preserving(const Array& a) {
  Array z = empty_preserving(a);
  if (z.device().kind == Device::cpu) {
    if (z.numel() > 0) std::memset(z.data(), 0, static_cast<size_t>(z.numel()) * item_size(z.dtype()));
    return z;
  }
  Array zero = Array::empty({}, a.dtype());
  std::memset(zero.data(), 0, item_size(a.dtype()));
  copy_into(z, to_device(zero, a.device()).broadcast_to("conv", z.shape()));
  return z;
}

struct Geometry {
  ConvArgs args{};
  bool batched = true;
  Dims out;    // of y, as the caller sees it: (N,O,L), (O,P,Q), ...
  Array x, w;  // four axes each
};

void set_strides(int64_t (&to)[4], const Array& a) {
  for (int i = 0; i < 4; ++i) to[i] = a.stride(i);
}

// `before` and `after`: the padding in front of and behind each spatial axis.
Geometry check(const char* op, const Array& x, const Array& weight, const Dims& stride, const Dims& before,
               const Dims& after, const Dims& dilation, int64_t groups) {
  const int nd = stride.n;
  const std::string dims = std::to_string(nd + 1) + " (unbatched) or " + std::to_string(nd + 2);
  check_floating(op, "x", x);
  if (x.ndim() != nd + 2 && x.ndim() != nd + 1)
    value_error(op, "x must have " + dims + " dimensions", {{"x", x}});
  check_ndim(op, "weight", weight, nd + 2);
  check_same(op, "x", x, "weight", weight);
  if (before.n != nd || after.n != nd || dilation.n != nd)
    value_error(op, "stride, padding and dilation must have " + std::to_string(nd) + " values",
                {{"padding", before}, {"dilation", dilation}});
  for (int i = 0; i < nd; ++i) {
    if (stride[i] <= 0) value_error(op, "stride must be positive", {{"stride", stride}});
    if (dilation[i] <= 0) value_error(op, "dilation must be positive", {{"dilation", dilation}});
    if (before[i] < 0) value_error(op, "padding must not be negative", {{"padding", before}});
    if (after[i] < 0) value_error(op, "padding must not be negative", {{"padding", after}});
    if (stride[i] > (1 << 30) || dilation[i] > (1 << 30) || before[i] > (1 << 30) || after[i] > (1 << 30))
      value_error(op, "stride, padding and dilation must lie below 2**30",
                  {{"stride", stride}, {"padding", before}, {"dilation", dilation}});
  }
  Geometry g;
  g.batched = x.ndim() == nd + 2;
  Array b = x;
  if (!g.batched) {
    Dims shape{1}, strides{x.dim(0) * x.stride(0)};
    if (nd == 2 && x.stride(0) == 1) strides[0] = x.dim(1) * x.stride(1);
    for (int i = 0; i <= nd; ++i) shape.push(x.dim(i)), strides.push(x.stride(i));
    b = x.view(shape, strides);
  }
  const int64_t C = b.dim(1), O = weight.dim(0);
  if (groups <= 0) value_error(op, "groups must be positive", {{"groups", groups}});
  if (C % groups)
    value_error(op, "groups must divide in_channels=" + std::to_string(C), {{"groups", groups}, {"x", x}});
  if (O % groups)
    value_error(op, "groups must divide out_channels=" + std::to_string(O),
                {{"groups", groups}, {"weight", weight}});
  if (weight.dim(1) != C / groups)
    value_error(op, "weight must have in_channels/groups=" + std::to_string(C / groups) + " inputs",
                {{"weight", weight}, {"x", x}, {"groups", groups}});
  g.out = g.batched ? Dims{b.dim(0), O} : Dims{O};
  for (int i = 0; i < nd; ++i) {
    const int64_t k = weight.dim(2 + i), padded = b.dim(2 + i) + before[i] + after[i];
    if (k <= 0) value_error(op, "the kernel must not be empty", {{"weight", weight}});
    if (k > (1 << 30)) value_error(op, "the kernel must be smaller than 2**30", {{"weight", weight}});
    const int64_t reach = dilation[i] * (k - 1) + 1;
    if (reach > padded)
      value_error(op,
                  "the kernel (" + std::to_string(reach) +
                      " with dilation) must not be larger than the padded input (" + std::to_string(padded) +
                      ") along axis " + std::to_string(i + 2),
                  {{"x", x}, {"weight", weight}, {"padding", before}, {"dilation", dilation}});
    g.out.push((padded - reach) / stride[i] + 1);
  }
  g.x = lift(b), g.w = lift(weight);
  ConvArgs& a = g.args;
  const int last = g.out.n - 1;
  a.N = g.x.dim(0), a.C = C, a.H = g.x.dim(2), a.W = g.x.dim(3), a.O = O, a.groups = groups;
  a.P = nd == 2 ? g.out[last - 1] : 1, a.Q = g.out[last], a.R = g.w.dim(2), a.S = g.w.dim(3);
  a.stride_h = nd == 2 ? stride[0] : 1, a.stride_w = stride[nd - 1];
  a.pad_h = nd == 2 ? before[0] : 0, a.pad_w = before[nd - 1];
  a.dil_h = nd == 2 ? dilation[0] : 1, a.dil_w = dilation[nd - 1];
  set_strides(a.xs, g.x);
  set_strides(a.ws, g.w);
  return g;
}

// Four axes back to what the caller knows.
Array lower(const Array& a, int nd, bool batched) {
  Dims shape, strides;
  for (int i = batched ? 0 : 1; i < 4; ++i) {
    if (i == 2 && nd == 1) continue;
    shape.push(a.dim(i)), strides.push(a.stride(i));
  }
  return a.view(shape, strides);
}

// A gradient or result of y's shape with four axes.
Array lift_output(const char* op, const char* name, const Array& y, const Geometry& g, const Array& x) {
  check_same(op, "x", x, name, y);
  check_shape(op, name, y, g.out);
  if (g.batched) return lift(y);
  Dims shape{1}, strides{0};
  for (int i = 0; i < y.ndim(); ++i) shape.push(y.dim(i)), strides.push(y.stride(i));
  return lift(y.view(shape, strides));
}

const char* name_of(int nd, bool backward) {
  if (nd == 1) return backward ? "conv1d_backward" : "conv1d";
  return backward ? "conv2d_backward" : "conv2d";
}

void check_rank(int nd) {
  if (nd != 1 && nd != 2) value_error("conv", "stride must have 1 or 2 values", {{"stride", nd}});
}

Array conv(const Array& x, const Array& weight, const std::optional<Array>& bias, const Dims& stride,
           const Dims& before, const Dims& after, const Dims& dilation, int64_t groups,
           const std::string& activation) {
  const int nd = stride.n;
  check_rank(nd);
  const char* op = name_of(nd, false);
  Geometry g = check(op, x, weight, stride, before, after, dilation, groups);
  ConvArgs& a = g.args;
  a.act = parse_act(op, activation);
  Array b;
  if (bias) {
    check_same(op, "x", x, "bias", *bias);
    check_shape(op, "bias", *bias, {a.O});
    b = contiguous(*bias);
  }
  const Array y = empty_as({a.N, a.O, a.P, a.Q}, channels_last(g.x), x);
  if (y.numel() > 0) {
    a.x = g.x.data(), a.w = g.w.data(), a.y = y.data(), a.bias = bias ? b.data() : nullptr;
    set_strides(a.ys, y);
    DLCORE_LAUNCH(conv_forward, x.dtype(), x.device(), a);
  }
  return lower(y, nd, g.batched);
}

// The gradients that are asked for of (x, weight, bias), from dy = dL/dy behind the activation; y is the
// forward's result and only needed with an activation.
std::tuple<std::optional<Array>, std::optional<Array>, std::optional<Array>> conv_backward(
    const Array& dy, const Array& x, const Array& weight, const std::optional<Array>& y, const Dims& stride,
    const Dims& before, const Dims& after, const Dims& dilation, int64_t groups,
    const std::string& activation, bool need_x, bool need_w, bool need_b) {
  const int nd = stride.n;
  check_rank(nd);
  const char* op = name_of(nd, true);
  Geometry g = check(op, x, weight, stride, before, after, dilation, groups);
  ConvArgs& a = g.args;
  a.act = parse_act(op, activation);
  const Array d = lift_output(op, "dy", dy, g, x);
  a.y = d.data();
  set_strides(a.ys, d);
  Array out;
  if (a.act != Act::none) {
    if (!y) value_error(op, "y (the forward's result) must be given with an activation", {{"dy", dy}});
    out = lift_output(op, "y", *y, g, x);
    a.out = out.data();
    set_strides(a.os, out);
  }
  std::optional<Array> dx, dw, db;
  if (need_x) {
    const Array t = empty_as(g.x.shape(), channels_last(g.x), x);
    if (t.numel() > 0) {
      ConvArgs in = a;
      in.x = t.data(), in.w = g.w.data();
      set_strides(in.xs, t);
      DLCORE_LAUNCH(conv_backward_input, x.dtype(), x.device(), in);
    }
    dx = lower(t, nd, g.batched);
  }
  if (need_w || need_b) {
    const Array t = zeros_preserving(weight);
    const Array u = need_b ? zeros_preserving(Array::empty({a.O}, x.dtype(), x.device())) : Array();
    if (d.numel() > 0) {
      ConvArgs in = a;
      const Array l = lift(t);
      in.x = g.x.data(), in.w = l.data(), in.bias = need_b ? u.data() : nullptr;
      set_strides(in.ws, l);
      DLCORE_LAUNCH(conv_backward_weight, x.dtype(), x.device(), in);
    }
    if (need_w) dw = t;
    if (need_b) db = u;
  }
  return {dx, dw, db};
}

}  // namespace

void bind_conv(py::module_& m) {
  using namespace py::literals;
  def_op(m, "conv", &conv, "x"_a, "weight"_a, "bias"_a, "stride"_a, "padding_before"_a, "padding_after"_a,
         "dilation"_a, "groups"_a, "activation"_a);
  def_op(m, "conv_backward", &conv_backward, "dy"_a, "x"_a, "weight"_a, "y"_a, "stride"_a, "padding_before"_a,
         "padding_after"_a, "dilation"_a, "groups"_a, "activation"_a, "need_x"_a, "need_w"_a, "need_b"_a);
}

}  // namespace dlcore
