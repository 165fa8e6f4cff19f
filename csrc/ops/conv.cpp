// Convolution and its transpose in one to three dimensions: geometry, memory formats, allocation. The kernels
// have three dimensions; fewer are a depth (and a height) of 1. The output's memory format is the input's:
// channels-last in, channels-last out, and the same for the gradients.
#include <pybind11/stl.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "kept.h"
#include "ops/ops.h"

namespace dlcore {

Act parse_act(const char* op, const std::string& name);  // ops/matmul.cpp
Array sum_but(const Array& x, int axis);                 // ops/reduce.cpp

namespace {

// Winograd's algorithm, where it is the faster one; DLCORE_WINOGRAD=0 at start turns it off.
std::atomic<bool>& winograd_flag() {
  static std::atomic<bool> flag = [] {
    const char* s = std::getenv("DLCORE_WINOGRAD");
    return s == nullptr || std::string(s) != "0";
  }();
  return flag;
}

// With all axes: (C,L) and (N,C,L) become (N,C,1,1,L), and so on; the strides of the new axes are what a
// dense array of a's format would have.
Array lift(const Array& a, int nd, bool batched = true) {
  Dims shape, strides;
  if (!batched) shape.push(1), strides.push(0);
  for (int i = 0; i < a.ndim() - nd; ++i) shape.push(a.dim(i)), strides.push(a.stride(i));
  for (int i = nd; i < 3; ++i) shape.push(1), strides.push(a.dim(-nd) * a.stride(-nd));
  for (int i = a.ndim() - nd; i < a.ndim(); ++i) shape.push(a.dim(i)), strides.push(a.stride(i));
  return a.view(shape, strides);
}

bool channels_last(const Array& x) {  // (N,C,D,H,W)
  if (x.stride(1) != 1) return false;
  for (int i = 4; i >= 2 && x.dim(1) > 1; --i)
    if (x.dim(i) > 1) return x.stride(i) != 1;
  return x.stride(4) == x.dim(1) && x.stride(3) == x.dim(4) * x.stride(4) &&
         x.stride(2) == x.dim(3) * x.stride(3);
}

Array empty_as(const Dims& shape, bool last, const Array& like) {
  if (!last) return Array::empty(shape, like.dtype(), like.device());
  return Array::empty({shape[0], shape[2], shape[3], shape[4], shape[1]}, like.dtype(), like.device())
      .permute({0, 4, 1, 2, 3});
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
  int nd = 0;
  bool batched = true;
  Dims result;  // the forward's shape, as the caller sees it: (N,O,L), (O,P,Q), ...
  Array x, w;   // five axes each
  Array lifted(const Array& a) const { return lift(a, nd, batched); }
};

void set_strides(int64_t (&to)[5], const Array& a) {
  for (int i = 0; i < 5; ++i) to[i] = a.stride(i);
}

// Where each kernel step begins and how far it reaches; `before` and `after`: the padding in front of and
// behind each spatial axis.
struct Steps {
  Dims stride, before, after, dilation;
};

// What convolution and its transpose have in common.
Geometry check(const char* op, const Array& x, const Array& weight, const Steps& s) {
  Geometry g;
  const int nd = g.nd = s.stride.n;
  const std::string dims = std::to_string(nd + 1) + " (unbatched) or " + std::to_string(nd + 2);
  check_floating(op, "x", x);
  if (x.ndim() != nd + 2 && x.ndim() != nd + 1)
    value_error(op, "x must have " + dims + " dimensions", {{"x", x}});
  check_ndim(op, "weight", weight, nd + 2);
  check_same(op, "x", x, "weight", weight);
  if (s.before.n != nd || s.after.n != nd || s.dilation.n != nd)
    value_error(op, "stride, padding and dilation must have " + std::to_string(nd) + " values",
                {{"padding", s.before}, {"dilation", s.dilation}});
  constexpr int64_t kMost = 1 << 30;
  for (int i = 0; i < nd; ++i) {
    if (s.stride[i] <= 0) value_error(op, "stride must be positive", {{"stride", s.stride}});
    if (s.dilation[i] <= 0) value_error(op, "dilation must be positive", {{"dilation", s.dilation}});
    if (s.before[i] < 0) value_error(op, "padding must not be negative", {{"padding", s.before}});
    if (s.after[i] < 0) value_error(op, "padding must not be negative", {{"padding", s.after}});
    if (s.stride[i] > kMost || s.dilation[i] > kMost || s.before[i] > kMost || s.after[i] > kMost)
      value_error(op, "stride, padding and dilation must lie below 2**30",
                  {{"stride", s.stride}, {"padding", s.before}, {"dilation", s.dilation}});
    const int64_t k = weight.dim(2 + i);
    if (k <= 0) value_error(op, "the kernel must not be empty", {{"weight", weight}});
    if (k > kMost) value_error(op, "the kernel must be smaller than 2**30", {{"weight", weight}});
    if (x.dim(-nd + i) > INT64_MAX >> 32) value_error(op, "x must be smaller along each axis", {{"x", x}});
  }
  g.batched = x.ndim() == nd + 2;
  int64_t samples = x.dim(-nd - 1) * (g.batched ? x.dim(0) : 1);  // a batch or channels may be missing
  for (int i = 0; i < nd; ++i)
    if (samples != 0 && x.dim(-nd + i) == 0)
      value_error(op, "x must not be empty along a spatial axis", {{"x", x}});
  g.x = g.lifted(x), g.w = lift(weight, nd);
  ConvArgs& a = g.args;
  a.N = g.x.dim(0);
  for (int i = 0; i < 3; ++i) {
    const int j = i - 3 + nd;
    a.kernel[i] = g.w.dim(2 + i);
    a.stride[i] = j < 0 ? 1 : s.stride[j], a.dil[i] = j < 0 ? 1 : s.dilation[j];
    a.pad[i] = j < 0 ? 0 : s.before[j];
  }
  a.winograd = winograd_flag();
  set_strides(a.ws, g.w);
  return g;
}

void check_groups(const char* op, const Array& x, const Array& weight, int64_t C, int64_t O, int64_t groups) {
  if (groups <= 0) value_error(op, "groups must be positive", {{"groups", groups}});
  if (C % groups)
    value_error(op, "groups must divide in_channels=" + std::to_string(C), {{"groups", groups}, {"x", x}});
  if (O % groups)
    value_error(op, "groups must divide out_channels=" + std::to_string(O),
                {{"groups", groups}, {"weight", weight}});
  if (O == 0) value_error(op, "weight must have outputs", {{"weight", weight}});
}

void set_result(Geometry* g, int64_t channels, const int64_t (&size)[3]) {
  g->result = g->batched ? Dims{g->args.N, channels} : Dims{channels};
  for (int i = 3 - g->nd; i < 3; ++i) g->result.push(size[i]);
}

Geometry check_conv(const char* op, const Array& x, const Array& weight, const Steps& s, int64_t groups) {
  Geometry g = check(op, x, weight, s);
  ConvArgs& a = g.args;
  a.C = g.x.dim(1), a.O = weight.dim(0), a.groups = groups;
  check_groups(op, x, weight, a.C, a.O, groups);
  if (weight.dim(1) != a.C / groups)
    value_error(op, "weight must have in_channels/groups=" + std::to_string(a.C / groups) + " inputs",
                {{"weight", weight}, {"x", x}, {"groups", groups}});
  for (int i = 0; i < 3; ++i) {
    const int j = i - 3 + g.nd;
    a.size[i] = g.x.dim(2 + i);
    const int64_t padded = a.size[i] + (j < 0 ? 0 : s.before[j] + s.after[j]);
    const int64_t reach = a.dil[i] * (a.kernel[i] - 1) + 1;
    if (reach > padded)
      value_error(op,
                  "the kernel (" + std::to_string(reach) +
                      " with dilation) must not be larger than the padded input (" + std::to_string(padded) +
                      ") along axis " + std::to_string(j + 2),
                  {{"x", x}, {"weight", weight}, {"padding", s.before}, {"dilation", s.dilation}});
    a.result[i] = (padded - reach) / a.stride[i] + 1;
  }
  set_strides(a.xs, g.x);
  set_result(&g, a.O, a.result);
  return g;
}

// Of the transposed convolution: args are those of the convolution whose input gradient it is, so its x is
// their y, its result their x, its in_channels their O.
Geometry check_transpose(const char* op, const Array& x, const Array& weight, const Steps& s,
                         const Dims& output_padding, int64_t groups) {
  Geometry g = check(op, x, weight, s);
  ConvArgs& a = g.args;
  a.O = g.x.dim(1), a.groups = groups;
  if (__builtin_mul_overflow(weight.dim(1), groups, &a.C))
    value_error(op, "groups must be smaller", {{"weight", weight}, {"groups", groups}});
  check_groups(op, x, weight, a.O, a.C, groups);
  if (weight.dim(0) != a.O)
    value_error(op, "weight must have in_channels=" + std::to_string(a.O) + " inputs",
                {{"weight", weight}, {"x", x}});
  if (output_padding.n != g.nd)
    value_error(op, "output_padding must have " + std::to_string(g.nd) + " values",
                {{"output_padding", output_padding}});
  for (int i = 0; i < 3; ++i) {
    const int j = i - 3 + g.nd;
    a.result[i] = g.x.dim(2 + i);
    if (j < 0) {
      a.size[i] = 1;
      continue;
    }
    const int64_t extra = output_padding[j];
    if (extra < 0)
      value_error(op, "output_padding must not be negative", {{"output_padding", output_padding}});
    if (extra >= a.stride[i] && extra >= a.dil[i])
      value_error(op, "output_padding must be smaller than stride or dilation",
                  {{"output_padding", output_padding}, {"stride", s.stride}, {"dilation", s.dilation}});
    int64_t end;  // of the last kernel step
    if (__builtin_mul_overflow(a.result[i] - 1, a.stride[i], &end) ||
        __builtin_add_overflow(end, a.dil[i] * (a.kernel[i] - 1) + 1 + extra, &end))
      value_error(op, "the result must be smaller", {{"x", x}, {"stride", s.stride}});
    a.size[i] = end - s.before[j] - s.after[j];
    if (a.size[i] <= 0)
      value_error(op, "the result must not be empty along axis " + std::to_string(j + 2),
                  {{"x", x}, {"weight", weight}, {"stride", s.stride}, {"padding", s.before}});
  }
  set_strides(a.ys, g.x);
  set_result(&g, a.C, a.size);
  return g;
}

// Five axes back to what the caller knows.
Array lower(const Array& a, const Geometry& g) {
  Dims shape, strides;
  for (int i = g.batched ? 0 : 1; i < 5; ++i) {
    if (i >= 2 && i < 5 - g.nd) continue;
    shape.push(a.dim(i)), strides.push(a.stride(i));
  }
  return a.view(shape, strides);
}

// A gradient or result of the forward's shape with five axes.
Array lift_result(const char* op, const char* name, const Array& y, const Geometry& g, const Array& x) {
  check_same(op, "x", x, name, y);
  check_shape(op, name, y, g.result);
  return g.lifted(y);
}

Array check_bias(const char* op, const Array& x, const Array& bias, int64_t channels) {
  check_same(op, "x", x, "bias", bias);
  check_shape(op, "bias", bias, {channels});
  return contiguous(bias);
}

constexpr const char* kNames[2][2][3] = {
    {{"conv1d", "conv2d", "conv3d"}, {"conv1d_backward", "conv2d_backward", "conv3d_backward"}},
    {{"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"},
     {"conv_transpose1d_backward", "conv_transpose2d_backward", "conv_transpose3d_backward"}}};

const char* name_of(const Dims& stride, bool transposed, bool backward) {
  if (stride.n < 1 || stride.n > 3)
    value_error("conv", "stride must have 1 to 3 values", {{"stride", stride}});
  return kNames[transposed][backward][stride.n - 1];
}

// A batch normalisation with the statistics that it has: mean, variance, weight, bias, eps.
using Norm = std::tuple<Array, Array, std::optional<Array>, std::optional<Array>, double>;

// y = (x - mean) / sqrt(variance + eps) * weight + bias of a convolution with `bias` is conv(x) * scale +
// shift.
template <class T>
void fold_norm(const Norm& norm, const Array& bias, const Array& scale, const Array& shift) {
  const auto& [mean, variance, weight, offset, eps] = norm;
  const Array m = contiguous(mean), v = contiguous(variance), w = weight ? contiguous(*weight) : Array(),
              b = offset ? contiguous(*offset) : Array();
  for (int64_t i = 0; i < scale.numel(); ++i) {
    const T s = static_cast<T>((weight ? static_cast<double>(w.ptr<T>()[i]) : 1.0) /
                               std::sqrt(static_cast<double>(v.ptr<T>()[i]) + eps));
    scale.ptr<T>()[i] = s;
    shift.ptr<T>()[i] =
        ((bias.defined() ? bias.ptr<T>()[i] : T(0)) - m.ptr<T>()[i]) * s + (offset ? b.ptr<T>()[i] : T(0));
  }
}

void check_norm(const char* op, const Array& x, const Norm& norm, int64_t channels) {
  if (x.device().kind != Device::cpu) device_error(op, "a norm can be folded on the CPU only", {{"x", x}});
  const auto& [mean, variance, weight, offset, eps] = norm;
  const std::pair<const char*, const Array*> all[] = {{"mean", &mean},
                                                      {"variance", &variance},
                                                      {"norm's weight", weight ? &*weight : nullptr},
                                                      {"norm's bias", offset ? &*offset : nullptr}};
  for (const auto& [name, a] : all) {
    if (!a) continue;
    check_same(op, "x", x, name, *a);
    check_shape(op, name, *a, {channels});
  }
}

// act(norm(conv(x)) + residual); the residual has the result's shape.
Array conv(const Array& x, const Array& weight, const std::optional<Array>& bias, const Dims& stride,
           const Dims& before, const Dims& after, const Dims& dilation, int64_t groups,
           const std::string& activation, bool keep, const std::optional<Norm>& norm,
           const std::optional<Array>& residual) {
  const char* op = name_of(stride, false, false);
  Geometry g = check_conv(op, x, weight, {stride, before, after, dilation}, groups);
  ConvArgs& a = g.args;
  a.act = parse_act(op, activation);
  Array b = bias ? check_bias(op, x, *bias, a.O) : Array();
  const Array y = empty_as({a.N, a.O, a.result[0], a.result[1], a.result[2]}, channels_last(g.x), x);
  Array scale, add;
  if (norm) {
    check_norm(op, x, *norm, a.O);
    scale = Array::empty({a.O}, x.dtype());
    const Array shift = Array::empty({a.O}, x.dtype());
    x.dtype() == DType::f32 ? fold_norm<float>(*norm, b, scale, shift)
                            : fold_norm<double>(*norm, b, scale, shift);
    b = shift, a.scale = scale.data();
  }
  if (residual) {
    add = lift_result(op, "residual", *residual, g, x);
    bool alike = true;
    for (int i = 0; i < 5; ++i) alike = alike && (y.dim(i) == 1 || add.stride(i) == y.stride(i));
    if (!alike) {
      const Array copy = empty_as(y.shape(), channels_last(g.x), x);
      copy_into(copy, add);
      add = copy;
    }
    a.add = add.data();
  }
  if (y.numel() > 0) {
    a.x = g.x.data(), a.w = g.w.data(), a.y = y.data(), a.bias = b.defined() ? b.data() : nullptr;
    set_strides(a.ys, y);
    std::optional<CallKeeper> keeper;
    if (keep && x.device().kind == Device::cpu) a.keep = &keeper.emplace(weight);
    DLCORE_LAUNCH(conv_forward, x.dtype(), x.device(), a);
    if (keeper) keeper->commit();
  }
  return lower(y, g);
}

using Gradients = std::tuple<std::optional<Array>, std::optional<Array>, std::optional<Array>>;

// The gradients that are asked for of (x, weight, bias), from dy = dL/dy behind the activation; y is the
// forward's result and only needed with an activation.
Gradients conv_backward(const Array& dy, const Array& x, const Array& weight, const std::optional<Array>& y,
                        const Dims& stride, const Dims& before, const Dims& after, const Dims& dilation,
                        int64_t groups, const std::string& activation, bool need_x, bool need_w,
                        bool need_b) {
  const char* op = name_of(stride, false, true);
  Geometry g = check_conv(op, x, weight, {stride, before, after, dilation}, groups);
  ConvArgs& a = g.args;
  a.act = parse_act(op, activation);
  const Array d = lift_result(op, "dy", dy, g, x);
  a.y = d.data();
  set_strides(a.ys, d);
  Array out;
  if (a.act != Act::none) {
    if (!y) value_error(op, "y (the forward's result) must be given with an activation", {{"dy", dy}});
    out = lift_result(op, "y", *y, g, x);
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
    dx = lower(t, g);
  }
  if (need_w || need_b) {
    const Array t = zeros_preserving(weight);
    const Array u = need_b ? zeros_preserving(Array::empty({a.O}, x.dtype(), x.device())) : Array();
    if (d.numel() > 0) {
      ConvArgs in = a;
      const Array l = lift(t, g.nd);
      in.x = g.x.data(), in.w = l.data(), in.bias = need_b ? u.data() : nullptr;
      set_strides(in.ws, l);
      DLCORE_LAUNCH(conv_backward_weight, x.dtype(), x.device(), in);
    }
    if (need_w) dw = t;
    if (need_b) db = u;
  }
  return {dx, dw, db};
}

// The transposed convolution is a convolution's input gradient; its own gradients are that convolution's
// forward and weight gradient with x and y exchanged.
Array conv_transpose(const Array& x, const Array& weight, const std::optional<Array>& bias,
                     const Dims& stride, const Dims& before, const Dims& after, const Dims& output_padding,
                     const Dims& dilation, int64_t groups) {
  const char* op = name_of(stride, true, false);
  Geometry g = check_transpose(op, x, weight, {stride, before, after, dilation}, output_padding, groups);
  ConvArgs& a = g.args;
  const Array b = bias ? check_bias(op, x, *bias, a.C) : Array();
  const Array y = empty_as({a.N, a.C, a.size[0], a.size[1], a.size[2]}, channels_last(g.x), x);
  if (y.numel() > 0) {
    a.y = g.x.data(), a.w = g.w.data(), a.x = y.data(), a.bias = bias ? b.data() : nullptr;
    set_strides(a.xs, y);
    DLCORE_LAUNCH(conv_backward_input, x.dtype(), x.device(), a);
  }
  return lower(y, g);
}

Gradients conv_transpose_backward(const Array& dy, const Array& x, const Array& weight, const Dims& stride,
                                  const Dims& before, const Dims& after, const Dims& output_padding,
                                  const Dims& dilation, int64_t groups, bool need_x, bool need_w,
                                  bool need_b) {
  const char* op = name_of(stride, true, true);
  Geometry g = check_transpose(op, x, weight, {stride, before, after, dilation}, output_padding, groups);
  ConvArgs& a = g.args;
  const Array d = lift_result(op, "dy", dy, g, x);
  a.x = d.data();
  set_strides(a.xs, d);
  std::optional<Array> dx, dw, db;
  if (need_x) {
    const Array t = empty_as(g.x.shape(), channels_last(g.x), x);
    if (t.numel() > 0) {
      ConvArgs in = a;
      in.y = t.data(), in.w = g.w.data();
      set_strides(in.ys, t);
      DLCORE_LAUNCH(conv_forward, x.dtype(), x.device(), in);
    }
    dx = lower(t, g);
  }
  if (need_w) {
    dw = zeros_preserving(weight);
    if (d.numel() > 0) {
      ConvArgs in = a;
      const Array l = lift(*dw, g.nd);
      in.y = g.x.data(), in.w = l.data();
      set_strides(in.ws, l);
      DLCORE_LAUNCH(conv_backward_weight, x.dtype(), x.device(), in);
    }
  }
  if (need_b) db = sum_but(d, 1);
  return {dx, dw, db};
}

}  // namespace

void bind_conv(py::module_& m) {
  using namespace py::literals;
  m.def("winograd", [] { return winograd_flag().load(); });
  m.def("set_winograd", [](bool on) { winograd_flag() = on; }, "enabled"_a);
  def_op(m, "conv", &conv, "x"_a, "weight"_a, "bias"_a, "stride"_a, "padding_before"_a, "padding_after"_a,
         "dilation"_a, "groups"_a, "activation"_a, "keep"_a = false, "norm"_a = py::none(),
         "residual"_a = py::none());
  def_op(m, "conv_backward", &conv_backward, "dy"_a, "x"_a, "weight"_a, "y"_a, "stride"_a, "padding_before"_a,
         "padding_after"_a, "dilation"_a, "groups"_a, "activation"_a, "need_x"_a, "need_w"_a, "need_b"_a);
  def_op(m, "conv_transpose", &conv_transpose, "x"_a, "weight"_a, "bias"_a, "stride"_a, "padding_before"_a,
         "padding_after"_a, "output_padding"_a, "dilation"_a, "groups"_a);
  def_op(m, "conv_transpose_backward", &conv_transpose_backward, "dy"_a, "x"_a, "weight"_a, "stride"_a,
         "padding_before"_a, "padding_after"_a, "output_padding"_a, "dilation"_a, "groups"_a, "need_x"_a,
         "need_w"_a, "need_b"_a);
}

}  // namespace dlcore
