// fma_peak and stream_triad: the machine's limits as ops.
#include <optional>

#include "ops/ops.h"

namespace dlcore {

static Array fma_peak(const Array& x, int64_t steps) {
  check_floating("fma_peak", "x", x);
  check_ndim("fma_peak", "x", x, 1);
  if (steps < 0) value_error("fma_peak", "steps must not be negative", {{"steps", steps}});
  const Array from = contiguous(x);
  const Array y = Array::empty(x.shape(), x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const FmaPeakArgs args{from.data(), y.data(), y.numel(), steps};
  DLCORE_LAUNCH(fma_peak, x.dtype(), x.device(), args);
  return y;
}

static Array stream_triad(const Array& x, const Array& y, double scale, const std::optional<Array>& out) {
  check_floating("stream_triad", "x", x);
  check_ndim("stream_triad", "x", x, 1);
  check_same("stream_triad", "x", x, "y", y);
  check_shape("stream_triad", "y", y, x.shape());
  const Array z = out ? *out : Array::empty(x.shape(), x.dtype(), x.device());
  check_same("stream_triad", "x", x, "out", z);
  check_shape("stream_triad", "out", z, x.shape());
  check_writable("stream_triad", "out", z);
  if (!z.contiguous()) value_error("stream_triad", "out must be contiguous", {{"out", z}});
  if (z.numel() == 0) return z;
  const Array a = contiguous(x), b = contiguous(y);
  const StreamTriadArgs args{a.data(), b.data(), z.data(), z.numel(), scale};
  DLCORE_LAUNCH(stream_triad, x.dtype(), x.device(), args);
  return z;
}

void bind_peak(py::module_& m) {
  using namespace py::literals;
  def_op(m, "fma_peak", &fma_peak, "x"_a, "steps"_a);
  def_op(m, "stream_triad", &stream_triad, "x"_a, "y"_a, "scale"_a, "out"_a = py::none());
  m.attr("FMA_CHAINS") = kFmaChains;
}

}  // namespace dlcore
