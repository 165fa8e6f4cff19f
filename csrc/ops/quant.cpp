// Linear layers whose weights are kept as int8 with a scale a row, or as bfloat16: bytes (uint8) to Array.
#include <algorithm>
#include <optional>

#include "ops/ops.h"

namespace dlcore {

constexpr int64_t kSkinny = 16;      // rows up to which the weight is widened in registers
constexpr int64_t kBlock = 1 << 18;  // numbers widened at a time above that

struct Weight {
  Quant kind;
  Array bytes, scale;
  int64_t rows, columns;
};

static Weight parse_weight(const char* op, const Array& weight, const std::optional<Array>& scale) {
  check_ndim(op, "weight", weight, 2);
  if (weight.dtype() != DType::u8) type_error(op, "weight must be the bytes, uint8", {{"weight", weight}});
  Weight w{scale ? Quant::int8 : Quant::bf16, contiguous(weight), {}, weight.dim(0), weight.dim(1)};
  if (scale) {
    check_floating(op, "scale", *scale);
    check_same_device(op, "weight", weight, "scale", *scale);
    check_shape(op, "scale", *scale, {weight.dim(0)});
    w.scale = contiguous(*scale);
  } else {
    if (w.columns % 2) value_error(op, "bfloat16 takes two bytes a number", {{"weight", weight}});
    w.columns /= 2;
  }
  return w;
}

static Array quant_widen(const Array& weight, const std::optional<Array>& scale, DType dtype) {
  const char* op = "quant_widen";
  const Weight w = parse_weight(op, weight, scale);
  if (scale && scale->dtype() != dtype)
    type_error(op, "scale must have the dtype asked for", {{"scale", *scale}});
  Array y = Array::empty({w.rows, w.columns}, dtype, weight.device());
  check_floating(op, "the result", y);
  if (y.numel() == 0) return y;
  const QuantWidenArgs args{static_cast<const uint8_t*>(w.bytes.data()),
                            scale ? w.scale.data() : nullptr,
                            y.data(),
                            w.rows,
                            w.columns,
                            w.kind};
  DLCORE_LAUNCH(quant_widen, dtype, weight.device(), args);
  return y;
}

// Blocks of the weight's rows, widened, and a plain product with each.
static void multiply_wide(const Weight& w, const Array& x, const Array& y, const void* bias, int64_t M) {
  const int64_t K = w.columns, step = std::max<int64_t>(16, kBlock / std::max<int64_t>(1, K));
  const size_t item = item_size(x.dtype());
  const int64_t bytes = w.kind == Quant::int8 ? 1 : 2;
  const Array block = Array::empty({std::min(step, w.rows), K}, x.dtype(), x.device());
  for (int64_t n = 0; n < w.rows; n += step) {
    const int64_t rows = std::min(step, w.rows - n);
    auto at = [&](const void* p) {
      return p ? static_cast<const char*>(p) + static_cast<size_t>(n) * item : nullptr;
    };
    const QuantWidenArgs wide{static_cast<const uint8_t*>(w.bytes.data()) + n * K * bytes,
                              at(w.kind == Quant::int8 ? w.scale.data() : nullptr),
                              block.data(),
                              rows,
                              K,
                              w.kind};
    DLCORE_LAUNCH(quant_widen, x.dtype(), x.device(), wide);
    MatmulArgs args{};
    args.a = x.data(), args.b = block.data(), args.c = const_cast<char*>(at(y.data()));
    args.M = M, args.N = rows, args.K = K;
    args.a_rs = K, args.a_cs = 1, args.b_rs = 1, args.b_cs = K, args.c_rs = w.rows, args.c_cs = 1;
    args.bias = at(bias);
    DLCORE_LAUNCH(matmul, x.dtype(), x.device(), args);
  }
}

// y = x W^T + b, W the widened weight (out_features, in_features), x (..., in_features).
static Array quant_linear(const Array& x, const Array& weight, const std::optional<Array>& scale,
                          const std::optional<Array>& bias) {
  const char* op = "quant_linear";
  check_floating(op, "x", x);
  check_same_device(op, "x", x, "weight", weight);
  const Weight w = parse_weight(op, weight, scale);
  if (scale) check_same_dtype(op, "x", x, "scale", *scale);
  if (x.ndim() == 0 || x.dim(-1) != w.columns)
    value_error(op, "in_features must be " + std::to_string(w.columns), {{"x", x}, {"weight", weight}});
  if (bias) {
    check_same(op, "x", x, "bias", *bias);
    check_shape(op, "bias", *bias, {w.rows});
  }
  Dims shape = x.shape();
  shape[shape.n - 1] = w.rows;
  Array y = Array::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const Array rows = contiguous(x);
  const Array b = bias ? contiguous(*bias) : Array();
  const int64_t M = y.numel() / w.rows;
  if (M > kSkinny) {
    multiply_wide(w, rows, y, bias ? b.data() : nullptr, M);
    return y;
  }
  const QuantLinearArgs args{rows.data(),
                             static_cast<const uint8_t*>(w.bytes.data()),
                             scale ? w.scale.data() : nullptr,
                             bias ? b.data() : nullptr,
                             y.data(),
                             M,
                             w.rows,
                             w.columns,
                             w.kind};
  DLCORE_LAUNCH(quant_linear, x.dtype(), x.device(), args);
  return y;
}

void bind_quant(py::module_& m) {
  using namespace py::literals;
  def_op(m, "quant_linear", &quant_linear, "x"_a, "weight"_a, "scale"_a = py::none(), "bias"_a = py::none());
  def_op(m, "quant_widen", &quant_widen, "weight"_a, "scale"_a, "dtype"_a);
}

}  // namespace dlcore
