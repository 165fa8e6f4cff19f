// matmul and linear: shapes, strides, allocation. Strides carry every transposition; nothing is copied for
// them.
#include <optional>

#include "ops/ops.h"

namespace dlcore {

// NumPy's and torch's matmul: 1-d operands gain an axis that the result loses; batch axes broadcast.
static Array matmul(const Array& a, const Array& b) {
  check_floating("matmul", "a", a);
  check_same("matmul", "a", a, "b", b);
  if (a.ndim() == 0 || b.ndim() == 0)
    value_error("matmul", "operands must have at least 1 dimension", {{"a", a}, {"b", b}});
  const bool va = a.ndim() == 1, vb = b.ndim() == 1;
  const Array x = va ? a.view({1, a.dim(0)}, {0, a.stride(0)}) : a;
  const Array y = vb ? b.view({b.dim(0), 1}, {b.stride(0), 0}) : b;
  if (x.dim(-1) != y.dim(-2))
    value_error("matmul", "the last axis of a must equal the last but one of b", {{"a", a}, {"b", b}});
  auto batch = [](const Array& t) {
    Dims d;
    for (int i = 0; i < t.ndim() - 2; ++i) d.push(t.dim(i));
    return d;
  };
  const Dims bs = broadcast_shapes("matmul", batch(x), batch(y));
  const int64_t M = x.dim(-2), N = y.dim(-1), K = x.dim(-1);
  Dims full = bs, out_shape = bs, xs = bs, ys = bs;
  full.push(M), full.push(N);
  xs.push(M), xs.push(K), ys.push(K), ys.push(N);
  if (!va) out_shape.push(M);
  if (!vb) out_shape.push(N);
  Array c = Array::empty(full, a.dtype(), a.device());
  if (c.numel() > 0) {
    const Array xb = x.broadcast_to("matmul", xs), yb = y.broadcast_to("matmul", ys);
    MatmulArgs args{};
    args.a = xb.data(), args.b = yb.data(), args.c = c.data();
    args.M = M, args.N = N, args.K = K;
    args.a_rs = xb.stride(-2), args.a_cs = xb.stride(-1), args.b_rs = yb.stride(-2),
    args.b_cs = yb.stride(-1);
    args.c_rs = c.stride(-2), args.c_cs = 1;
    int n = 0;
    for (int i = 0; i < bs.n; ++i) {
      if (bs[i] == 1) continue;
      args.batch_shape[n] = bs[i];
      args.a_bs[n] = xb.stride(i), args.b_bs[n] = yb.stride(i), args.c_bs[n] = c.stride(i);
      ++n;
    }
    args.batch_ndim = n;
    // One B for all and A a run of rows: a single tall product (the shape of every linear layer).
    if (n == 1 && args.b_bs[0] == 0 && args.a_bs[0] == M * args.a_rs && M > 0) {
      args.M = M * args.batch_shape[0];
      args.batch_ndim = 0;
    }
    DLCORE_LAUNCH(matmul, a.dtype(), a.device(), args);
  }
  return c.view(out_shape, row_major(out_shape));
}

Act parse_act(const char* op, const std::string& name) {
  if (name.empty() || name == "none" || name == "linear") return Act::none;
  if (name == "relu") return Act::relu;
  if (name == "sigmoid") return Act::sigmoid;
  if (name == "tanh") return Act::tanh;
  value_error(op, "activation must be one of none, relu, sigmoid, tanh", {{"activation", name}});
}

// y = act(x W^T + b), W (out_features, in_features), x (..., in_features).
static Array linear(const Array& x, const Array& weight, const std::optional<Array>& bias,
                    const std::string& act) {
  check_floating("linear", "x", x);
  check_same("linear", "x", x, "weight", weight);
  check_ndim("linear", "weight", weight, 2);
  const int64_t out = weight.dim(0), in = weight.dim(1);
  if (x.ndim() == 0 || x.dim(-1) != in)
    value_error("linear", "in_features must be " + std::to_string(in), {{"x", x}, {"weight", weight}});
  if (bias) {
    check_same("linear", "x", x, "bias", *bias);
    check_shape("linear", "bias", *bias, {out});
  }
  Dims shape = x.shape();
  shape[shape.n - 1] = out;
  Array y = Array::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const Array rows = x.ndim() == 2 ? x : contiguous(x);
  const Array b = bias ? contiguous(*bias) : Array();
  MatmulArgs args{};
  args.a = rows.data(), args.b = weight.data(), args.c = y.data();
  args.M = y.numel() / out, args.N = out, args.K = in;
  args.a_rs = x.ndim() == 2 ? rows.stride(0) : in, args.a_cs = rows.stride(-1);
  args.b_rs = weight.stride(1), args.b_cs = weight.stride(0);
  args.c_rs = out, args.c_cs = 1;
  args.bias = bias ? b.data() : nullptr;
  args.act = parse_act("linear", act);
  DLCORE_LAUNCH(matmul, x.dtype(), x.device(), args);
  return y;
}

void bind_matmul(py::module_& m) {
  using namespace py::literals;
  def_op(m, "matmul", &matmul, "a"_a, "b"_a);
  def_op(m, "linear", &linear, "x"_a, "weight"_a, "bias"_a = py::none(), "activation"_a = "");
}

}  // namespace dlcore
