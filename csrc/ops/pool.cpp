// Pooling: window geometry, formats, allocation. One pair of ops serves 1-d, 2-d and 3-d: the length of
// `kernel` says which.
#include <optional>
#include <string>
#include <tuple>

#include "ops/planes.h"

namespace dlcore {

static std::string op_name(const char* what, int nd) { return std::string(what) + std::to_string(nd) + "d"; }

namespace {

constexpr int64_t kLimit = int64_t(1) << 31;  // of sizes and geometry: products of two of them stay in range

struct Geometry {
  Dims kernel, stride, pads, dilation;
  bool ceil_mode = false, adaptive = false;
};

// (N, C, D, H, W) over x: a missing batch axis, depth and height are axes of size 1.
struct Planes {
  int nd;
  bool batched;
  int64_t N, C, size[3] = {1, 1, 1};
  Planes(const std::string& op, const Dims& shape, int nd, const std::string& got)
      : nd(nd), batched(shape.n == nd + 2) {
    if (shape.n != nd + 1 && shape.n != nd + 2)
      throw ValueError(op + ": x must have " + std::to_string(nd + 1) + " (unbatched) or " +
                       std::to_string(nd + 2) + " dimensions, got " + got);
    const int c = batched ? 1 : 0;
    N = batched ? shape[0] : 1;
    C = shape[c];
    for (int i = 0; i < nd; ++i) size[3 - nd + i] = shape[c + 1 + i];
    for (int i = c + 1; i < shape.n; ++i)
      if (shape[i] <= 0 || shape[i] >= kLimit)
        throw ValueError(
            op + ": sizes of the pooled axes must be positive (only the batch may be empty), got " + got);
    int64_t all = C;
    for (int64_t v : size)
      if (__builtin_mul_overflow(all, v, &all))
        throw ValueError(op + ": the number of elements must fit in 63 bits, got " + got);
  }
  int64_t volume() const { return size[0] * size[1] * size[2]; }
  Dims shape(const int64_t* of) const {
    Dims d;
    if (batched) d.push(N);
    d.push(C);
    for (int i = 3 - nd; i < 3; ++i) d.push(of[i]);
    return d;
  }
};

struct Outputs {
  int64_t size[3];
  explicit Outputs(const PoolShape& s) : size{s.d.out, s.h.out, s.w.out} {}
};

PoolAxis axis(const std::string& op, int64_t in, const Geometry& g, int i, int64_t adaptive_out) {
  PoolAxis a{};
  a.in = in;
  a.stride = a.dilation = 1;
  if (g.adaptive) {
    a.out = adaptive_out;
    if (a.out < 0 || a.out >= kLimit)
      value_error(op.c_str(), "output sizes must not be negative", {{"output_size", a.out}});
    return a;
  }
  const int nd = g.kernel.n;
  a.kernel = g.kernel[i], a.stride = g.stride[i], a.dilation = g.dilation[i];
  a.before = g.pads[i], a.after = g.pads[nd + i];
  if (a.kernel < 1 || a.kernel >= kLimit)
    value_error(op.c_str(), "kernel_size must be positive", {{"kernel_size", g.kernel}});
  if (a.stride < 1 || a.stride >= kLimit)
    value_error(op.c_str(), "stride must be positive", {{"stride", g.stride}});
  if (a.dilation < 1 || a.dilation >= kLimit)
    value_error(op.c_str(), "dilation must be positive", {{"dilation", g.dilation}});
  if (a.before < 0 || a.after < 0 || a.before > a.kernel / 2 || a.after > a.kernel / 2)
    value_error(op.c_str(), "padding must be at least 0 and at most half of the kernel",
                {{"padding", g.pads}, {"kernel_size", g.kernel}});
  const int64_t room = in + a.before + a.after - a.dilation * (a.kernel - 1) - 1;
  const int64_t up = g.ceil_mode ? a.stride - 1 : 0;
  a.out = room + up < 0 ? 0 : (room + up) / a.stride + 1;
  // With ceil_mode the last window must start inside the input or the padding before it.
  if (g.ceil_mode && (a.out - 1) * a.stride >= in + a.before) --a.out;
  if (a.out < 1)
    value_error(
        op.c_str(), "the kernel must fit into the padded input",
        {{"input size", in}, {"kernel_size", g.kernel}, {"padding", g.pads}, {"dilation", g.dilation}});
  return a;
}

Geometry check_geometry(const std::string& op, const Dims& kernel, const Dims& stride, const Dims& pads,
                        const Dims& dilation, bool ceil_mode) {
  const int nd = kernel.n;
  if (nd < 1 || nd > 3)
    value_error(op.c_str(), "there must be 1, 2 or 3 pooled axes", {{"kernel_size", kernel}});
  if (stride.n != nd || dilation.n != nd || pads.n != 2 * nd)
    value_error(op.c_str(),
                "stride and dilation must have one entry an axis, pads one before and one after each",
                {{"stride", stride}, {"dilation", dilation}, {"pads", pads}});
  return {kernel, stride, pads, dilation, ceil_mode, false};
}

// x as the kernels take it: unit stride along the columns, or along the channels.
Array usable(const Array& x, bool channels_last) {
  return channels_last || x.dim(-1) <= 1 || x.stride(-1) == 1 ? x : contiguous(x);
}

void fill_strides(const Array& a, const Planes& p, bool channels_last, int64_t* n, int64_t* c, int64_t* d,
                  int64_t* h, int64_t* w) {
  *n = p.batched ? a.stride(0) : 0;
  *c = a.stride(a.ndim() - p.nd - 1);
  *d = p.nd == 3 ? a.stride(-3) : 0;
  *h = p.nd >= 2 ? a.stride(-2) : 0;
  *w = a.dim(-1) == 1 && !channels_last ? 1 : a.stride(-1);
}

PoolShape make_shape(const std::string& op, const Planes& p, const Geometry& g, const Dims& out_size) {
  PoolShape s{};
  s.N = p.N, s.C = p.C;
  PoolAxis* axes[] = {&s.d, &s.h, &s.w};
  for (int i = 0; i < 3; ++i) {
    const int j = i - (3 - p.nd);
    *axes[i] =
        j < 0 ? PoolAxis{1, 1, 1, 1, 0, 0, 1} : axis(op, p.size[i], g, j, g.adaptive ? out_size[j] : 0);
  }
  return s;
}

Array pool(const std::string& op, const Array& x, const Planes& planes, PoolShape shape, int max_kind,
           Array* saved) {
  check_floating(op.c_str(), "x", x);
  const bool is_max = max_kind >= 0;
  const bool last = is_channels_last(x, planes.nd);
  const Array from = usable(x, last);
  const Outputs out(shape);
  const Dims out_shape = planes.shape(out.size);
  Array y = empty_in_format(out_shape, x.dtype(), x.device(), planes.nd, last);
  PoolArgs args{};
  static_cast<PoolShape&>(args) = shape;
  args.channels_last = last;
  args.x = from.data(), args.y = y.data();
  fill_strides(from, planes, last, &args.x_ns, &args.x_cs, &args.x_ds, &args.x_hs, &args.x_ws);
  fill_strides(y, planes, last, &args.y_ns, &args.y_cs, &args.y_ds, &args.y_hs, &args.y_ws);
  if (is_max && max_kind > 0) {
    bool small = true;
    int64_t area = 1;
    for (const PoolAxis* a : {&shape.d, &shape.h, &shape.w}) {
      small &= a->kernel > 0 && a->kernel <= 256;
      area *= small ? a->kernel : 1;
    }
    args.save = max_kind == 1 && small && area <= 256 ? PoolSave::offsets : PoolSave::indices;
    if (args.save == PoolSave::indices && planes.volume() >= kLimit)
      value_error(op.c_str(), "a plane must have less than 2^31 elements where its indices are kept",
                  {{"x", x}});
    const DType kind = args.save == PoolSave::offsets ? DType::u8 : DType::i64;
    *saved = empty_in_format(out_shape, kind, x.device(), planes.nd, last);
    args.saved = saved->data();
  }
  if (y.numel() == 0) return y;
  if (is_max)
    DLCORE_LAUNCH(max_pool_forward, x.dtype(), x.device(), args);
  else
    DLCORE_LAUNCH(avg_pool_forward, x.dtype(), x.device(), args);
  return y;
}

// dx of planes.shape, in the format that `channels_last` says.
Array pool_backward(const std::string& op, const Array& dy, const Array* saved, const Planes& planes,
                    PoolShape shape, bool channels_last) {
  check_floating(op.c_str(), "dy", dy);
  const Outputs out(shape);
  check_shape(op.c_str(), "dy", dy, planes.shape(out.size));
  const Dims in_shape = planes.shape(planes.size);
  Array dx = empty_in_format(in_shape, dy.dtype(), dy.device(), planes.nd, channels_last);
  if (dx.numel() == 0) return dx;
  const Array from = in_format(dy, planes.nd, channels_last);
  PoolBackwardArgs args{};
  static_cast<PoolShape&>(args) = shape;
  args.channels_last = channels_last;
  args.dy = from.data(), args.dx = dx.data();
  fill_strides(dx, planes, channels_last, &args.x_ns, &args.x_cs, &args.x_ds, &args.x_hs, &args.x_ws);
  fill_strides(from, planes, channels_last, &args.y_ns, &args.y_cs, &args.y_ds, &args.y_hs, &args.y_ws);
  if (saved) {
    const Array kept = in_format(*saved, planes.nd, channels_last);
    args.save = saved->dtype() == DType::u8 ? PoolSave::offsets : PoolSave::indices;
    args.saved = kept.data();
    DLCORE_LAUNCH(max_pool_backward, dy.dtype(), dy.device(), args);
    return dx;
  }
  DLCORE_LAUNCH(avg_pool_backward, dy.dtype(), dy.device(), args);
  return dx;
}

int save_kind(const std::string& op, const std::string& save) {
  if (save.empty()) return 0;
  if (save == "offsets") return 1;
  if (save == "indices") return 2;
  value_error(op.c_str(), "save must be '', 'offsets' or 'indices'", {{"save", save}});
}

void check_channels(const std::string& op, const Planes& p, const Array& x) {
  if (p.C == 0) value_error(op.c_str(), "there must be channels (only the batch may be empty)", {{"x", x}});
}

}  // namespace

using Saved = std::optional<Array>;

// y, and what the backward needs: '' nothing, 'offsets' the cheapest form (uint8 where windows are small),
// 'indices' int64 positions in the plane.
static std::tuple<Array, Saved> max_pool(const Array& x, const Dims& kernel, const Dims& stride,
                                         const Dims& pads, const Dims& dilation, bool ceil_mode,
                                         const std::string& save) {
  const std::string op = op_name("max_pool", kernel.n);
  const Geometry g = check_geometry(op, kernel, stride, pads, dilation, ceil_mode);
  const Planes planes(op, x.shape(), kernel.n, "x=" + x.str());
  check_channels(op, planes, x);
  const int kind = save_kind(op, save);
  Array saved;
  Array y = pool(op, x, planes, make_shape(op, planes, g, {}), kind, &saved);
  return {y, kind ? Saved(saved) : Saved()};
}

// `saved` from max_pool or adaptive_max_pool; the geometry matters for uint8 offsets only.
static Array max_pool_backward(const Array& dy, const Array& saved, const Dims& x_shape, const Dims& kernel,
                               const Dims& stride, const Dims& pads, const Dims& dilation, bool ceil_mode,
                               bool channels_last) {
  const int nd = kernel.n;
  const std::string op = op_name("max_pool", nd) + "_backward";
  const Planes planes(op, x_shape, nd, "x=" + x_shape.str());
  check_same_device(op.c_str(), "dy", dy, "saved", saved);
  check_shape(op.c_str(), "saved", saved, dy.shape());
  check_ndim(op.c_str(), "dy", dy, x_shape.n);
  PoolShape shape{};
  if (saved.dtype() == DType::u8) {
    shape = make_shape(op, planes, check_geometry(op, kernel, stride, pads, dilation, ceil_mode), {});
  } else if (saved.dtype() == DType::i64) {  // positions say it all: any windows of dy's size will do
    if (planes.volume() >= kLimit)
      value_error(op.c_str(), "a plane must have less than 2^31 elements", {{"x", x_shape}});
    shape.N = planes.N, shape.C = planes.C;
    PoolAxis* axes[] = {&shape.d, &shape.h, &shape.w};
    for (int i = 0; i < 3; ++i)
      *axes[i] = PoolAxis{planes.size[i], i < 3 - nd ? 1 : dy.dim(i - 3), 0, 1, 0, 0, 1};
  } else {
    type_error(op.c_str(), "saved must be uint8 offsets or int64 indices", {{"saved", saved}});
  }
  return pool_backward(op, dy, &saved, planes, shape, channels_last);
}

static PoolShape avg_shape(const std::string& op, const Planes& planes, const Dims& kernel,
                           const Dims& stride, const Dims& pads, bool ceil_mode, bool count_include_pad,
                           std::optional<int64_t> divisor) {
  if (divisor && *divisor == 0)
    value_error(op.c_str(), "divisor_override must not be zero", {{"divisor_override", 0}});
  PoolShape s = make_shape(
      op, planes, check_geometry(op, kernel, stride, pads, Dims::filled(kernel.n, 1), ceil_mode), {});
  s.count_include_pad = count_include_pad;
  s.divisor = divisor.value_or(0);
  return s;
}

static Array avg_pool(const Array& x, const Dims& kernel, const Dims& stride, const Dims& pads,
                      bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor) {
  const std::string op = op_name("avg_pool", kernel.n);
  const Planes planes(op, x.shape(), kernel.n, "x=" + x.str());
  check_channels(op, planes, x);
  return pool(op, x, planes,
              avg_shape(op, planes, kernel, stride, pads, ceil_mode, count_include_pad, divisor), -1,
              nullptr);
}

static Array avg_pool_backward(const Array& dy, const Dims& x_shape, const Dims& kernel, const Dims& stride,
                               const Dims& pads, bool ceil_mode, bool count_include_pad,
                               std::optional<int64_t> divisor, bool channels_last) {
  const std::string op = op_name("avg_pool", kernel.n) + "_backward";
  const Planes planes(op, x_shape, kernel.n, "x=" + x_shape.str());
  return pool_backward(op, dy, nullptr, planes,
                       avg_shape(op, planes, kernel, stride, pads, ceil_mode, count_include_pad, divisor),
                       channels_last);
}

static PoolShape adaptive_shape(const std::string& op, const Planes& planes, const Dims& out_size) {
  Geometry g;
  g.adaptive = true;
  return make_shape(op, planes, g, out_size);
}

static std::tuple<Array, Array> adaptive_max_pool(const Array& x, const Dims& out_size) {
  const std::string op = op_name("adaptive_max_pool", out_size.n);
  const Planes planes(op, x.shape(), out_size.n, "x=" + x.str());
  Array saved;
  Array y = pool(op, x, planes, adaptive_shape(op, planes, out_size), 2, &saved);
  return {y, saved};
}

static Array adaptive_avg_pool(const Array& x, const Dims& out_size) {
  const std::string op = op_name("adaptive_avg_pool", out_size.n);
  const Planes planes(op, x.shape(), out_size.n, "x=" + x.str());
  return pool(op, x, planes, adaptive_shape(op, planes, out_size), -1, nullptr);
}

static Array adaptive_avg_pool_backward(const Array& dy, const Dims& x_shape, const Dims& out_size,
                                        bool channels_last) {
  const std::string op = op_name("adaptive_avg_pool", out_size.n) + "_backward";
  const Planes planes(op, x_shape, out_size.n, "x=" + x_shape.str());
  return pool_backward(op, dy, nullptr, planes, adaptive_shape(op, planes, out_size), channels_last);
}

// y and the maxima's positions; x (planes..., *spatial) of 2 or 3 spatial axes; samples (N, C, axes).
static std::tuple<Array, Array> fractional_max_pool(const Array& x, const Dims& kernel, const Dims& out_size,
                                                    const Array& samples) {
  const int nd = kernel.n;
  const std::string op = op_name("fractional_max_pool", nd);
  if (nd < 2 || nd > 3 || out_size.n != nd)
    value_error(op.c_str(), "there must be 2 or 3 pooled axes",
                {{"kernel_size", kernel}, {"output_size", out_size}});
  check_floating(op.c_str(), "x", x);
  const Planes planes(op, x.shape(), nd, "x=" + x.str());
  check_channels(op, planes, x);
  check_same(op.c_str(), "x", x, "_random_samples", samples);
  if (samples.ndim() != 3 || samples.dim(0) < planes.N || samples.dim(1) < planes.C || samples.dim(2) != nd)
    value_error(op.c_str(), "_random_samples must have shape (N, C, " + std::to_string(nd) + ")",
                {{"_random_samples", samples}, {"x", x}});
  if (planes.volume() >= kLimit)
    value_error(op.c_str(), "a plane must have less than 2^31 elements", {{"x", x}});
  FractionalPoolArgs args{};
  args.planes = planes.N * planes.C, args.axes = nd;
  int64_t out[3] = {1, 1, 1};
  for (int i = 0; i < 3; ++i) {
    const int j = i - (3 - nd);
    args.in[i] = planes.size[i];
    args.kernel[i] = j < 0 ? 1 : kernel[j];
    out[i] = args.out[i] = j < 0 ? 1 : out_size[j];
    args.sample[i] = j < 0     ? -1
                     : nd == 2 ? 1 - j
                               : j;  // torch's order: (width, height) or (depth, height, width)
    if (args.kernel[i] < 1 || args.out[i] < 1 || args.kernel[i] > args.in[i] ||
        args.out[i] > args.in[i] - args.kernel[i] + 1)
      value_error(op.c_str(), "output_size + kernel_size - 1 must be at most the input's size, all positive",
                  {{"x", x}, {"kernel_size", kernel}, {"output_size", out_size}});
  }
  Array y = Array::empty(planes.shape(out), x.dtype(), x.device());
  Array indices = Array::empty(y.shape(), DType::i64, x.device());
  if (y.numel() == 0) return {y, indices};
  const Array from = contiguous(x);
  const Dims used{planes.N, planes.C, nd};
  const Array drawn = contiguous(samples.view(used, samples.strides()));
  args.x = from.data(), args.samples = drawn.data(), args.y = y.data(), args.indices = indices.ptr<int64_t>();
  DLCORE_LAUNCH(fractional_max_pool_forward, x.dtype(), x.device(), args);
  return {y, indices};
}

void bind_pool(py::module_& m) {
  using namespace py::literals;
  // pads: before each axis, then after each: (left, right) in 1-d, (top, left, bottom, right) in 2-d.
  def_op(m, "max_pool", &max_pool, "x"_a, "kernel"_a, "stride"_a, "pads"_a, "dilation"_a,
         "ceil_mode"_a = false, "save"_a = "");
  def_op(m, "max_pool_backward", &max_pool_backward, "dy"_a, "saved"_a, "x_shape"_a, "kernel"_a, "stride"_a,
         "pads"_a, "dilation"_a, "ceil_mode"_a = false, "channels_last"_a = false);
  def_op(m, "avg_pool", &avg_pool, "x"_a, "kernel"_a, "stride"_a, "pads"_a, "ceil_mode"_a = false,
         "count_include_pad"_a = true, "divisor_override"_a = py::none());
  def_op(m, "avg_pool_backward", &avg_pool_backward, "dy"_a, "x_shape"_a, "kernel"_a, "stride"_a, "pads"_a,
         "ceil_mode"_a = false, "count_include_pad"_a = true, "divisor_override"_a = py::none(),
         "channels_last"_a = false);
  def_op(m, "adaptive_max_pool", &adaptive_max_pool, "x"_a, "output_size"_a);
  def_op(m, "adaptive_avg_pool", &adaptive_avg_pool, "x"_a, "output_size"_a);
  def_op(m, "adaptive_avg_pool_backward", &adaptive_avg_pool_backward, "dy"_a, "x_shape"_a, "output_size"_a,
         "channels_last"_a = false);
  def_op(m, "fractional_max_pool", &fractional_max_pool, "x"_a, "kernel"_a, "output_size"_a, "samples"_a);
  def_op(
      m, "is_channels_last", [](const Array& x, int nd) { return x.ndim() > nd && is_channels_last(x, nd); },
      "x"_a, "spatial"_a);
}

}  // namespace dlcore
