// Interpolation, padding by index, unfold and fold, sampling at grid positions.
//
// Interpolation and padding are a sparse matrix an axis (ResampleAxis), built here; a gradient is the same
// kernel with the transposed matrices. Nearest sources are computed in x's dtype, as torch does: which one it
// is depends on the rounding. Weights are computed in double.
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ops/planes.h"

namespace dlcore {

namespace {

constexpr int64_t kLimit = int64_t(1) << 31;  // of sizes: products of two of them stay in range

using Scales = std::vector<std::optional<double>>;

// ---- matrices ----

template <class T>
struct Matrix {
  int64_t in = 1, out = 1;
  std::vector<int64_t> first{0, 1}, index{0};
  std::vector<T> weight{T(1)};

  static Matrix empty(int64_t in, int64_t out) {
    Matrix m;
    m.in = in, m.out = out;
    m.first.assign(1, 0), m.index.clear(), m.weight.clear();
    m.first.reserve(static_cast<size_t>(out) + 1);
    return m;
  }
  void add(int64_t i, T w) { index.push_back(i), weight.push_back(w); }
  void end_row() { first.push_back(static_cast<int64_t>(index.size())); }

  Matrix transposed() const {
    Matrix m;
    m.in = out, m.out = in;
    m.first.assign(static_cast<size_t>(in) + 1, 0);
    m.index.resize(index.size()), m.weight.resize(index.size());
    for (int64_t i : index) ++m.first[static_cast<size_t>(i) + 1];
    for (int64_t i = 0; i < in; ++i) m.first[static_cast<size_t>(i) + 1] += m.first[static_cast<size_t>(i)];
    std::vector<int64_t> next(m.first.begin(), m.first.end() - 1);
    for (int64_t o = 0; o < out; ++o)
      for (int64_t t = first[static_cast<size_t>(o)]; t < first[static_cast<size_t>(o) + 1]; ++t) {
        const auto to = static_cast<size_t>(next[static_cast<size_t>(index[static_cast<size_t>(t)])]++);
        m.index[to] = o, m.weight[to] = weight[static_cast<size_t>(t)];
      }
    return m;
  }
  ResampleAxis axis() const { return {in, out, first.data(), index.data(), weight.data()}; }
};

enum class Mode { nearest, nearest_exact, linear, cubic, lanczos };

Mode parse_mode(const std::string& op, const std::string& mode) {
  if (mode == "nearest") return Mode::nearest;
  if (mode == "nearest-exact") return Mode::nearest_exact;
  if (mode == "linear" || mode == "bilinear" || mode == "trilinear") return Mode::linear;
  if (mode == "cubic" || mode == "bicubic") return Mode::cubic;
  if (mode == "lanczos") return Mode::lanczos;
  value_error(op.c_str(), "mode must be nearest, nearest-exact, linear, cubic or lanczos", {{"mode", mode}});
}

double convolution1(double x, double a) { return ((a + 2) * x - (a + 3)) * x * x + 1; }
double convolution2(double x, double a) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; }

// The antialiasing filters, by their distance from the centre.
double filter(Mode mode, double x) {
  x = std::abs(x);
  if (mode == Mode::linear) return x < 1 ? 1 - x : 0;
  if (mode == Mode::cubic) return x < 1 ? convolution1(x, -0.5) : x < 2 ? convolution2(x, -0.5) : 0;
  const double pi = 3.14159265358979323846;
  if (x >= 3) return 0;
  return x == 0 ? 1 : 3 * std::sin(pi * x) * std::sin(pi * x / 3) / (pi * pi * x * x);
}

// The distance of neighbouring outputs in the input.
template <class T>
T step(int64_t in, int64_t out, bool align, std::optional<double> factor) {
  if (align) return out > 1 ? static_cast<T>(in - 1) / static_cast<T>(out - 1) : T(0);
  return factor && *factor > 0 ? static_cast<T>(1.0 / *factor) : static_cast<T>(in) / static_cast<T>(out);
}

// torch's rounding: in T, then to float, for either dtype.
template <class T>
Matrix<T> nearest(int64_t in, int64_t out, bool exact, std::optional<double> factor) {
  Matrix<T> m = Matrix<T>::empty(in, out);
  const T scale = step<T>(in, out, false, factor);
  for (int64_t o = 0; o < out; ++o, m.end_row()) {
    const T place = static_cast<T>(o),
            at = exact ? scale * (place + T(0.5)) - T(0.5) + T(0.5) : scale * place;
    m.add(std::min(static_cast<int64_t>(std::floor(static_cast<float>(at))), in - 1), 1);
  }
  return m;
}

// Weights by the filter around the output's centre, widened where the output is smaller.
template <class T>
Matrix<T> antialiased(int64_t in, int64_t out, Mode mode, bool align, std::optional<double> factor) {
  Matrix<T> m = Matrix<T>::empty(in, out);
  const double scale = step<double>(in, out, align, factor), wide = std::max(scale, 1.0);
  const double reach = (mode == Mode::linear ? 1 : mode == Mode::cubic ? 2 : 3) * wide;
  for (int64_t o = 0; o < out; ++o, m.end_row()) {
    const double centre = scale * (static_cast<double>(o) + 0.5);
    const int64_t lo = std::max<int64_t>(static_cast<int64_t>(centre - reach + 0.5), 0);
    const int64_t hi = static_cast<int64_t>(std::min(centre + reach + 0.5, static_cast<double>(in)));
    auto weight = [&](int64_t i) { return filter(mode, (static_cast<double>(i) - centre + 0.5) / wide); };
    double total = 0;
    for (int64_t i = lo; i < hi; ++i) total += weight(i);
    for (int64_t i = lo; i < hi; ++i) {
      const double w = weight(i);
      if (w != 0) m.add(i, static_cast<T>(w / total));  // the filter's ends: no 0 * inf
    }
  }
  return m;
}

template <class T>
Matrix<T> interpolation(int64_t in, int64_t out, Mode mode, bool align, std::optional<double> factor,
                        bool antialias) {
  if (mode == Mode::nearest || mode == Mode::nearest_exact)
    return nearest<T>(in, out, mode == Mode::nearest_exact, factor);
  if (antialias) return antialiased<T>(in, out, mode, align, factor);
  Matrix<T> m = Matrix<T>::empty(in, out);
  const double scale = step<double>(in, out, align, factor), last = static_cast<double>(in - 1);
  for (int64_t o = 0; o < out; ++o, m.end_row()) {
    const auto place = static_cast<double>(o);
    double at = align ? scale * place : scale * (place + 0.5) - 0.5;
    if (mode == Mode::linear) at = in == out ? place : std::max(at, 0.0);
    const double floor = std::min(std::floor(at), last), t = std::min(std::max(at - floor, 0.0), 1.0);
    const auto low = static_cast<int64_t>(floor);
    if (mode == Mode::linear) {
      m.add(low, static_cast<T>(1 - t));
      m.add(std::min(low + 1, in - 1), static_cast<T>(t));
    } else {
      const double a = -0.75, w[4] = {convolution2(t + 1, a), convolution1(t, a), convolution1(1 - t, a),
                                      convolution2(2 - t, a)};
      for (int k = 0; k < 4; ++k)
        m.add(std::min(std::max<int64_t>(low - 1 + k, 0), in - 1), static_cast<T>(w[k]));
    }
  }
  return m;
}

// Constant margins are zeros. Circular ones wrap around what negative numbers leave of the axis.
template <class T>
Matrix<T> padding(int64_t in, int64_t before, int64_t out, const std::string& mode) {
  Matrix<T> m = Matrix<T>::empty(in, out);
  const int64_t after = out - in - before, cut = std::min<int64_t>(before, 0);
  const int64_t left = std::max<int64_t>(1, in + cut + std::min<int64_t>(after, 0));
  for (int64_t o = 0; o < out; ++o, m.end_row()) {
    int64_t i = o - before;
    if (mode == "reflect")
      i = i < 0 ? -i : i >= in ? 2 * (in - 1) - i : i;
    else if (mode == "circular")
      i = ((i + cut) % left + left) % left - cut;
    if (mode != "constant" || (i >= 0 && i < in)) m.add(std::min(std::max<int64_t>(i, 0), in - 1), 1);
  }
  return m;
}

// y from x (..., C, *in) by one matrix a spatial axis, `make(axis, in, out)`; with `transposed`, the matrices
// go from `out` to x's sizes.
template <class T, class Make>
void run(const Array& x, const Array& y, int nd, bool transposed, bool last, const Make& make) {
  Matrix<T> m[3];
  for (int i = 0; i < nd; ++i) {
    const int64_t in = x.dim(i - nd), out = y.dim(i - nd);
    m[3 - nd + i] = transposed ? make(i, out, in).transposed() : make(i, in, out);
  }
  ResampleArgs args{};
  args.x = x.data(), args.y = y.data();
  args.outer = args.inner = 1;
  const int c = x.ndim() - nd - 1;
  for (int i = 0; i < c; ++i) args.outer *= x.dim(i);
  (last ? args.inner : args.outer) *= c >= 0 ? x.dim(c) : 1;
  args.d = m[0].axis(), args.h = m[1].axis(), args.w = m[2].axis();
  DLCORE_LAUNCH(resample, x.dtype(), x.device(), args);
}

struct MakeInterpolation {
  Mode mode;
  bool align, antialias;
  const Scales& scales;
  template <class T>
  Matrix<T> operator()(int axis, int64_t in, int64_t out) const {
    return interpolation<T>(in, out, mode, align,
                            scales.empty() ? std::nullopt : scales[static_cast<size_t>(axis)], antialias);
  }
};
struct MakePadding {
  const std::string& mode;
  const Dims& pads;
  template <class T>
  Matrix<T> operator()(int axis, int64_t in, int64_t out) const {
    return padding<T>(in, pads[axis], out, mode);
  }
};

template <class Maker>
Array apply(const char* op, const Array& x, const Dims& size, bool transposed, bool last,
            const Maker& maker) {
  const int nd = size.n;
  Dims shape = x.shape();
  for (int i = 0; i < nd; ++i) shape[shape.n - nd + i] = size[i];
  for (int i = shape.n - nd; i < shape.n; ++i)
    if (shape[i] < 1 || shape[i] >= kLimit || x.dim(i) < 1 || x.dim(i) >= kLimit)
      value_error(op, "sizes before and after must be positive (and below 2^31)", {{"x", x}, {"size", size}});
  Array y = last ? empty_in_format(shape, x.dtype(), x.device(), nd, true)
                 : Array::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const Array from = last ? in_format(x, nd, true) : contiguous(x);
  if (x.dtype() == DType::f32)
    run<float>(from, y, nd, transposed, last,
               [&](int a, int64_t i, int64_t o) { return maker.template operator()<float>(a, i, o); });
  else
    run<double>(from, y, nd, transposed, last,
                [&](int a, int64_t i, int64_t o) { return maker.template operator()<double>(a, i, o); });
  return y;
}

void check_interpolation(const char* op, const Array& x, const Dims& size, const Scales& scales) {
  check_floating(op, "x", x);
  if (size.n < 1 || size.n > 3 || x.ndim() != size.n + 2)
    value_error(op, "x must have a batch, channels and 1, 2 or 3 spatial axes, size a number an axis",
                {{"x", x}, {"size", size}});
  if (!scales.empty() && static_cast<int>(scales.size()) != size.n)
    value_error(op, "there must be a scale an axis",
                {{"x", x}, {"scales", static_cast<int64_t>(scales.size())}});
  if (x.dim(1) == 0) value_error(op, "only the batch may be empty", {{"x", x}});
}

}  // namespace

static Array interpolate(const Array& x, const Dims& size, const std::string& mode, bool align_corners,
                         const Scales& scales, bool antialias) {
  check_interpolation("interpolate", x, size, scales);
  const MakeInterpolation maker{parse_mode("interpolate", mode), align_corners, antialias, scales};
  return apply("interpolate", x, size, false, is_channels_last(x, size.n), maker);
}

// dx (N, C, *size) of dy: the transposed matrices.
static Array interpolate_backward(const Array& dy, const Dims& size, const std::string& mode,
                                  bool align_corners, const Scales& scales, bool antialias,
                                  bool channels_last) {
  check_interpolation("interpolate_backward", dy, size, scales);
  const MakeInterpolation maker{parse_mode("interpolate_backward", mode), align_corners, antialias, scales};
  return apply("interpolate_backward", dy, size, true, channels_last, maker);
}

static void check_padding(const char* op, const Array& x, const Dims& pads, const Dims& size,
                          const std::string& mode) {
  check_floating(op, "x", x);
  if (size.n < 1 || size.n > 3 || x.ndim() < size.n || pads.n != size.n)
    value_error(op, "1, 2 or 3 last axes are padded", {{"x", x}, {"pads", pads}, {"size", size}});
  if (mode != "constant" && mode != "reflect" && mode != "replicate" && mode != "circular")
    value_error(op, "mode must be constant, reflect, replicate or circular", {{"mode", mode}});
}

// The last axes of x, `before` elements in front of each, `size` in all; negative numbers crop.
static Array pad(const Array& x, const Dims& before, const Dims& size, const std::string& mode) {
  check_padding("pad", x, before, size, mode);
  const bool last = x.ndim() > size.n && is_channels_last(x, size.n);
  return apply("pad", x, size, false, last, MakePadding{mode, before});
}
static Array pad_backward(const Array& dy, const Dims& before, const Dims& size, const std::string& mode,
                          bool channels_last) {
  check_padding("pad_backward", dy, before, size, mode);
  return apply("pad_backward", dy, size, true, channels_last, MakePadding{mode, before});
}

// ---- unfold, fold ----

namespace {

FoldAxis fold_axis(const char* op, int64_t size, int64_t kernel, int64_t stride, int64_t before,
                   int64_t dilation) {
  if (kernel < 1 || kernel >= kLimit)
    value_error(op, "kernel_size must be positive", {{"kernel_size", kernel}});
  if (stride < 1 || stride >= kLimit) value_error(op, "stride must be positive", {{"stride", stride}});
  if (dilation < 1 || dilation >= kLimit)
    value_error(op, "dilation must be positive", {{"dilation", dilation}});
  if (before < 0 || before >= kLimit) value_error(op, "padding must not be negative", {{"padding", before}});
  if (size < 1 || size >= kLimit) value_error(op, "sizes of the planes must be positive", {{"size", size}});
  const int64_t room = size + 2 * before - dilation * (kernel - 1) - 1;
  if (room < 0)
    value_error(op, "the kernel must fit into the padded plane",
                {{"size", size}, {"kernel_size", kernel}, {"padding", before}, {"dilation", dilation}});
  return {size, room / stride + 1, kernel, stride, before, dilation};
}

FoldArgs fold_args(const char* op, int64_t H, int64_t W, const Dims& k, const Dims& s, const Dims& p,
                   const Dims& d) {
  if (k.n != 2 || s.n != 2 || p.n != 2 || d.n != 2)
    value_error(op, "kernel_size, stride, padding and dilation must hold two numbers", {{"kernel_size", k}});
  FoldArgs args{};
  args.h = fold_axis(op, H, k[0], s[0], p[0], d[0]);
  args.w = fold_axis(op, W, k[1], s[1], p[1], d[1]);
  return args;
}

}  // namespace

// x (N, C, H, W) or (C, H, W) -> (N, C kh kw, L).
static Array unfold(const Array& x, const Dims& kernel, const Dims& stride, const Dims& padding,
                    const Dims& dilation) {
  const char* op = "unfold";
  check_floating(op, "x", x);
  if (x.ndim() != 3 && x.ndim() != 4)
    value_error(op, "x must have 3 (unbatched) or 4 dimensions", {{"x", x}});
  if (x.dim(-3) == 0) value_error(op, "only the batch may be empty", {{"x", x}});
  FoldArgs args = fold_args(op, x.dim(-2), x.dim(-1), kernel, stride, padding, dilation);
  const Dims places{x.dim(-3), args.h.kernel, args.w.kernel}, blocks{args.h.out, args.w.out};
  Dims shape{places.product(), blocks.product()};
  if (x.ndim() == 4) shape = Dims{x.dim(0), shape[0], shape[1]};
  Array y = Array::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const Array from = contiguous(x);
  args.x = from.data(), args.y = y.data(), args.planes = x.dim(-3) * (x.ndim() == 4 ? x.dim(0) : 1);
  DLCORE_LAUNCH(unfold, x.dtype(), x.device(), args);
  return y;
}

// x (N, C kh kw, L) or (C kh kw, L) -> (N, C, *output_size): each block added to its place.
static Array fold(const Array& x, const Dims& output_size, const Dims& kernel, const Dims& stride,
                  const Dims& padding, const Dims& dilation) {
  const char* op = "fold";
  check_floating(op, "x", x);
  if (x.ndim() != 2 && x.ndim() != 3)
    value_error(op, "x must have 2 (unbatched) or 3 dimensions", {{"x", x}});
  if (output_size.n != 2)
    value_error(op, "output_size must hold two numbers", {{"output_size", output_size}});
  FoldArgs args = fold_args(op, output_size[0], output_size[1], kernel, stride, padding, dilation);
  const int64_t area = Dims{args.h.kernel, args.w.kernel}.product(),
                blocks = Dims{args.h.out, args.w.out}.product();
  if (x.dim(-2) == 0 || x.dim(-2) % area)
    value_error(op, "x must hold a multiple of kernel_h * kernel_w rows",
                {{"x", x}, {"kernel_size", kernel}});
  if (x.dim(-1) != blocks)
    value_error(op, "x must hold a column for each of the " + std::to_string(blocks) + " blocks",
                {{"x", x}, {"output_size", output_size}, {"kernel_size", kernel}, {"stride", stride}});
  const int64_t C = x.dim(-2) / area;
  Dims shape{C, output_size[0], output_size[1]};
  if (x.ndim() == 3) shape = Dims{x.dim(0), C, output_size[0], output_size[1]};
  Array y = Array::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const Array from = contiguous(x);
  args.x = from.data(), args.y = y.data(), args.planes = C * (x.ndim() == 3 ? x.dim(0) : 1);
  DLCORE_LAUNCH(fold, x.dtype(), x.device(), args);
  return y;
}

// ---- grid_sample ----

namespace {

GridSampleShape grid_shape(const char* op, const Array& x, const Array& grid, const std::string& mode,
                           const std::string& padding, bool align_corners) {
  check_floating(op, "x", x);
  check_same(op, "x", x, "grid", grid);
  if (x.ndim() < 4 || x.ndim() > 5 || grid.ndim() != x.ndim())
    value_error(op, "x and grid must both have 4 or 5 dimensions", {{"x", x}, {"grid", grid}});
  const int nd = x.ndim() - 2;
  if (grid.dim(0) != x.dim(0) || grid.dim(-1) != nd)
    value_error(op, "grid must have x's batch and " + std::to_string(nd) + " coordinates a point",
                {{"x", x}, {"grid", grid}});
  for (int i = 1; i < x.ndim(); ++i)
    if (x.dim(i) < 1 || (i > 1 && x.dim(i) >= kLimit))
      value_error(op, "only the batch of x may be empty", {{"x", x}});
  GridSampleShape s{};
  s.N = x.dim(0), s.C = x.dim(1), s.axes = nd, s.align_corners = align_corners;
  s.points = 1;
  for (int i = 1; i <= nd; ++i) s.points *= grid.dim(i);
  s.D = nd == 3 ? x.dim(2) : 1, s.H = x.dim(-2), s.W = x.dim(-1);
  if (Dims{s.D, s.H, s.W}.product() >= kLimit)
    value_error(op, "x must have less than 2^31 elements a channel", {{"x", x}});
  if (mode == "bilinear")
    s.mode = GridMode::bilinear;
  else if (mode == "nearest")
    s.mode = GridMode::nearest;
  else if (mode == "bicubic")
    s.mode = GridMode::bicubic;
  else
    value_error(op, "mode must be bilinear, nearest or bicubic", {{"mode", mode}});
  if (nd == 3 && s.mode == GridMode::bicubic)
    value_error(op, "bicubic must go with 4 dimensions", {{"x", x}});
  if (padding == "zeros")
    s.padding = GridPadding::zeros;
  else if (padding == "border")
    s.padding = GridPadding::border;
  else if (padding == "reflection")
    s.padding = GridPadding::reflection;
  else
    value_error(op, "padding_mode must be zeros, border or reflection", {{"padding_mode", padding}});
  return s;
}

}  // namespace

static Array grid_sample(const Array& x, const Array& grid, const std::string& mode,
                         const std::string& padding, bool align_corners) {
  GridSampleArgs args{};
  static_cast<GridSampleShape&>(args) = grid_shape("grid_sample", x, grid, mode, padding, align_corners);
  const int nd = args.axes;
  Dims shape{args.N, args.C};
  for (int i = 1; i <= nd; ++i) shape.push(grid.dim(i));
  const bool last = is_channels_last(x, nd);
  Array y = empty_in_format(shape, x.dtype(), x.device(), nd, last);
  if (y.numel() == 0) return y;
  const Array from = in_format(x, nd, last), at = contiguous(grid);
  args.channels_last = last;
  args.x = from.data(), args.grid = at.data(), args.y = y.data();
  DLCORE_LAUNCH(grid_sample_forward, x.dtype(), x.device(), args);
  return y;
}

// (dx, dgrid); dx is made unless `need_x` is false, dgrid likewise.
static std::tuple<std::optional<Array>, std::optional<Array>> grid_sample_backward(
    const Array& dy, const Array& x, const Array& grid, const std::string& mode, const std::string& padding,
    bool align_corners, bool need_x, bool need_grid) {
  const char* op = "grid_sample_backward";
  GridSampleBackwardArgs args{};
  static_cast<GridSampleShape&>(args) = grid_shape(op, x, grid, mode, padding, align_corners);
  Dims shape{args.N, args.C};
  for (int i = 1; i <= args.axes; ++i) shape.push(grid.dim(i));
  check_same(op, "x", x, "dy", dy);
  check_shape(op, "dy", dy, shape);
  const Array from = contiguous(x), at = contiguous(grid), g = contiguous(dy);
  std::optional<Array> dx, dgrid;
  if (need_x) dx = Array::empty(x.shape(), x.dtype(), x.device());
  if (need_grid) dgrid = Array::empty(grid.shape(), x.dtype(), x.device());
  args.x = from.data(), args.grid = at.data(), args.dy = g.data();
  args.dx = dx && dx->numel() ? dx->data() : nullptr;
  args.dgrid = dgrid && dgrid->numel() ? dgrid->data() : nullptr;
  if (args.dx || args.dgrid) DLCORE_LAUNCH(grid_sample_backward, x.dtype(), x.device(), args);
  return {dx, dgrid};
}

void bind_resample(py::module_& m) {
  using namespace py::literals;
  def_op(m, "interpolate", &interpolate, "x"_a, "size"_a, "mode"_a, "align_corners"_a = false,
         "scales"_a = Scales{}, "antialias"_a = false);
  def_op(m, "interpolate_backward", &interpolate_backward, "dy"_a, "size"_a, "mode"_a,
         "align_corners"_a = false, "scales"_a = Scales{}, "antialias"_a = false, "channels_last"_a = false);
  def_op(m, "pad", &pad, "x"_a, "before"_a, "size"_a, "mode"_a);
  def_op(m, "pad_backward", &pad_backward, "dy"_a, "before"_a, "size"_a, "mode"_a, "channels_last"_a = false);
  def_op(m, "unfold", &unfold, "x"_a, "kernel"_a, "stride"_a, "padding"_a, "dilation"_a);
  def_op(m, "fold", &fold, "x"_a, "output_size"_a, "kernel"_a, "stride"_a, "padding"_a, "dilation"_a);
  def_op(m, "grid_sample", &grid_sample, "x"_a, "grid"_a, "mode"_a, "padding_mode"_a, "align_corners"_a);
  def_op(m, "grid_sample_backward", &grid_sample_backward, "dy"_a, "x"_a, "grid"_a, "mode"_a,
         "padding_mode"_a, "align_corners"_a, "need_x"_a = true, "need_grid"_a = true);
}

}  // namespace dlcore
