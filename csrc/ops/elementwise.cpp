// Elementwise ops: broadcasting, the layout of the result, scalars. Operands of one call share dtype and
// device here; torch's promotion is in dlcore.functional.
#include <cstring>

#include "ops/ops.h"

namespace dlcore {

// A Python number. Integer kernels read `i`, floating ones `d`.
struct Scalar {
  double d = 0;
  int64_t i = 0;
  bool integral = false, boolean = false;
};

}  // namespace dlcore

namespace pybind11::detail {

template <>
struct type_caster<dlcore::Scalar> {
  PYBIND11_TYPE_CASTER(dlcore::Scalar, const_name("float"));
  bool load(handle src, bool) {
    PyObject* o = src.ptr();
    if (PyFloat_Check(o)) {
      value.d = PyFloat_AS_DOUBLE(o);
      return true;
    }
    if (PyLong_Check(o)) {  // bool included
      int overflow = 0;
      const long long x = PyLong_AsLongLongAndOverflow(o, &overflow);
      if (overflow) {
        value.d = PyLong_AsDouble(o);
        if (value.d == -1 && PyErr_Occurred()) throw error_already_set();
        return true;
      }
      value.i = x, value.d = static_cast<double>(x), value.integral = true, value.boolean = PyBool_Check(o);
      return true;
    }
    return false;
  }
  static handle cast(const dlcore::Scalar& s, return_value_policy, handle) {
    return s.integral ? PyLong_FromLongLong(s.i) : PyFloat_FromDouble(s.d);
  }
};

}  // namespace pybind11::detail

namespace dlcore {
namespace {

// Row-major, or the axis order of the first full-sized operand that is dense in another one (channels-last
// stays so).
Array empty_like_operands(const Dims& shape, DType dtype, std::initializer_list<const Array*> operands) {
  for (const Array* a : operands) {
    if (!(a->shape() == shape)) continue;
    if (a->contiguous()) break;
    int order[kMaxDims];
    for (int i = 0; i < shape.n; ++i) {
      int j = i;
      for (; j > 0 && a->stride(order[j - 1]) < a->stride(i); --j) order[j] = order[j - 1];
      order[j] = i;
    }
    Dims strides = shape;
    int64_t expected = 1;
    bool dense = true;
    for (int k = shape.n - 1; k >= 0; --k) {
      const int d = order[k];
      if (shape[d] != 1 && a->stride(d) != expected) dense = false;
      strides[d] = expected;
      expected *= shape[d];
    }
    if (dense && a->numel() > 0) return Array::empty({a->numel()}, dtype, a->device()).view(shape, strides);
  }
  return Array::empty(shape, dtype, (*operands.begin())->device());
}

// Fills shape and strides for y and N inputs as the kernels want them; an input whose last stride is neither
// 0 nor 1 is replaced by a copy. `inputs` are as the caller has them, broadcast here.
template <int N>
void plan(const char* op, const Array& y, Array* const (&inputs)[N], int* ndim, int64_t* shape,
          int64_t* const (&strides)[N], int64_t* ys) {
  bool flat = y.contiguous();
  for (int k = 0; k < N && flat; ++k)
    flat = inputs[k]->numel() == 1 || (inputs[k]->shape() == y.shape() && inputs[k]->contiguous());
  if (flat) {
    *ndim = 1, shape[0] = y.numel(), ys[0] = 1;
    for (int k = 0; k < N; ++k) strides[k][0] = inputs[k]->numel() == 1 ? 0 : 1;
    return;
  }
  const int n = y.ndim();
  for (int attempt = 0; attempt < 2; ++attempt) {
    int order[kMaxDims];
    for (int i = 0; i < n; ++i) {
      int j = i;
      for (; j > 0 && y.stride(order[j - 1]) < y.stride(i); --j) order[j] = order[j - 1];
      order[j] = i;
    }
    int64_t* all[N + 1];
    for (int k = 0; k < N; ++k) {
      if (!(inputs[k]->shape() == y.shape())) *inputs[k] = inputs[k]->broadcast_to(op, y.shape());
      for (int i = 0; i < n; ++i) strides[k][i] = inputs[k]->stride(order[i]);
      all[k] = strides[k];
    }
    for (int i = 0; i < n; ++i) shape[i] = y.dim(order[i]), ys[i] = y.stride(order[i]);
    all[N] = ys;
    *ndim = n;
    collapse(ndim, shape, all, N + 1);
    if (*ndim == 0) {
      *ndim = 1, shape[0] = 1, ys[0] = 1;
      for (int k = 0; k < N; ++k) strides[k][0] = 0;
    }
    bool ok = true;
    for (int k = 0; k < N; ++k) {
      const int64_t s = strides[k][*ndim - 1];
      if (s == 0 || s == 1) continue;
      Array copy = Array::empty({y.numel()}, inputs[k]->dtype(), y.device()).view(y.shape(), y.strides());
      copy_into(copy, *inputs[k]);
      *inputs[k] = copy;
      ok = false;
    }
    if (ok) return;
  }
}

Dims result_shape(const char* op, const Array& a, const Array& b) {
  return a.shape() == b.shape() ? a.shape() : broadcast_shapes(op, a.shape(), b.shape());
}

Array fill_new(const Dims& shape, const Scalar& value, DType dtype, Device device) {
  Array y = Array::empty(shape, dtype, device);
  if (y.numel() == 0) return y;
  FillArgs args{y.data(), y.numel(), value.d, value.integral ? value.i : static_cast<int64_t>(value.d)};
  if (dtype == DType::b8) args.i = value.integral ? value.i != 0 : value.d != 0;
  DLCORE_LAUNCH(fill, dtype, device, args);
  return y;
}

// A number beside an array: a 0-d array of its dtype.
Array scalar_like(const char* op, const Array& a, const Scalar& s) {
  if (!is_floating(a.dtype()) && !s.integral)
    type_error(op, "a float needs a floating-point operand", {{"x", a}, {"value", s.d}});
  if (a.dtype() == DType::b8 && !s.boolean)
    type_error(op, "a bool operand needs a bool", {{"x", a}, {"value", s.i}});
  return fill_new({}, s, a.dtype(), a.device());
}

bool integer_only(Binary op) {
  return op == Binary::logical_and || op == Binary::logical_or || op == Binary::logical_xor;
}
bool float_only(Binary op) {
  return op == Binary::div || op == Binary::atan2 || op == Binary::logistic_loss ||
         op == Binary::logistic_slope;
}

const char* name_of(Binary op) {
  switch (op) {
#define DLCORE_CASE(name) \
  case Binary::name:      \
    return #name;
    DLCORE_BINARY(DLCORE_CASE)
#undef DLCORE_CASE
  }
  return "";
}

// y = a op b into `out` if it is given (its shape is the result's), else into a new array.
Array binary_into(Binary op, Array a, Array b, const Array* out) {
  const char* name = name_of(op);
  check_same(name, "a", a, "b", b);
  if (float_only(op)) check_floating(name, "a", a);
  if (integer_only(op) && a.dtype() != DType::b8)
    type_error(name, "operands must be bool", {{"a", a}, {"b", b}});
  const Dims shape = result_shape(name, a, b);
  Array y = out ? *out : empty_like_operands(shape, a.dtype(), {&a, &b});
  if (y.numel() == 0) return y;
  BinaryArgs args;
  args.op = op;
  Array* const inputs[] = {&a, &b};
  int64_t* const strides[] = {args.as, args.bs};
  plan<2>(name, y, inputs, &args.ndim, args.shape, strides, args.ys);
  args.a = a.data(), args.b = b.data(), args.y = y.data();
  DLCORE_LAUNCH(binary, y.dtype(), y.device(), args);
  return y;
}

Array binary_op(Binary op, const Array& a, const Array& b) { return binary_into(op, a, b, nullptr); }

Binary parse_binary(const char* op, const std::string& name) {
#define DLCORE_CASE(b) \
  if (name == #b) return Binary::b;
  DLCORE_BINARY(DLCORE_CASE)
#undef DLCORE_CASE
  throw ValueError(std::string(op) + ": unknown function '" + name + "'");
}

Unary parse_unary(const char* op, const std::string& name) {
#define DLCORE_CASE(u) \
  if (name == #u) return Unary::u;
  DLCORE_UNARY(DLCORE_CASE)
#undef DLCORE_CASE
  throw ValueError(std::string(op) + ": unknown function '" + name + "'");
}

Array compare_op(const char* name, Compare op, Array a, Array b) {
  check_same(name, "a", a, "b", b);
  Array y = empty_like_operands(result_shape(name, a, b), DType::b8, {&a, &b});
  if (y.numel() == 0) return y;
  CompareArgs args;
  args.op = op;
  Array* const inputs[] = {&a, &b};
  int64_t* const strides[] = {args.as, args.bs};
  plan<2>(name, y, inputs, &args.ndim, args.shape, strides, args.ys);
  args.a = a.data(), args.b = b.data(), args.y = y.ptr<bool>();
  DLCORE_LAUNCH(compare, a.dtype(), y.device(), args);
  return y;
}

Array where_op(Array c, Array a, Array b) {
  if (c.dtype() != DType::b8) type_error("where", "condition must be bool", {{"condition", c}});
  check_same("where", "a", a, "b", b);
  check_same_device("where", "condition", c, "a", a);
  const Dims shape = broadcast_shapes("where", c.shape(), result_shape("where", a, b));
  Array y = empty_like_operands(shape, a.dtype(), {&a, &b, &c});
  if (y.numel() == 0) return y;
  WhereArgs args;
  Array* const inputs[] = {&c, &a, &b};
  int64_t* const strides[] = {args.cs, args.as, args.bs};
  plan<3>("where", y, inputs, &args.ndim, args.shape, strides, args.ys);
  args.condition = c.ptr<bool>(), args.a = a.data(), args.b = b.data(), args.y = y.data();
  DLCORE_LAUNCH(where, y.dtype(), y.device(), args);
  return y;
}

// Functions that integers have too; the others need a floating-point operand.
bool for_integers(Unary op) {
  switch (op) {
    case Unary::neg:
    case Unary::abs:
    case Unary::square:
    case Unary::sign:
    case Unary::relu:
    case Unary::clamp:
    case Unary::floor:
    case Unary::ceil:
    case Unary::round:
    case Unary::trunc:
      return true;
    default:
      return false;
  }
}

Array unary_op(const char* name, Unary op, Array x, double p, double q, const Array* out) {
  if (!for_integers(op)) check_floating(name, "x", x);
  if (x.dtype() == DType::b8 && op != Unary::abs && op != Unary::sign && op != Unary::square)
    type_error(name, "x must not be bool", {{"x", x}});
  if (out) check_same(name, "out", *out, "x", x), check_shape(name, "out", *out, x.shape());
  Array y = out ? *out : empty_like_operands(x.shape(), x.dtype(), {&x});
  if (y.numel() == 0) return y;
  UnaryArgs args;
  args.op = op, args.p = p, args.q = q;
  Array* const inputs[] = {&x};
  int64_t* const strides[] = {args.xs};
  plan<1>(name, y, inputs, &args.ndim, args.shape, strides, args.ys);
  args.x = x.data(), args.y = y.data();
  DLCORE_LAUNCH(unary, y.dtype(), y.device(), args);
  return y;
}

// An operation in place: straight into x where its layout is dense, else through a copy.
template <class F>
void in_place(const char* name, const Array& x, F f) {
  check_writable(name, "x", x);
  Array y = empty_like_operands(x.shape(), x.dtype(), {&x});
  if (y.strides() == x.strides()) {
    f(&x);
  } else {
    copy_into(x, f(nullptr));
  }
}

// dx = dy op'(.); `saved` is what UnaryBackwardArgs says.
Array unary_backward(Unary op, Array dy, Array saved, double p, double q) {
  check_floating("unary_backward", "dy", dy);
  check_same("unary_backward", "dy", dy, "saved", saved);
  Array dx = empty_like_operands(saved.shape(), saved.dtype(), {&saved});
  if (dx.numel() == 0) return dx;
  UnaryBackwardArgs args;
  args.op = op, args.p = p, args.q = q;
  Array* const inputs[] = {&dy, &saved};
  int64_t* const strides[] = {args.gs, args.ss};
  plan<2>("unary_backward", dx, inputs, &args.ndim, args.shape, strides, args.ys);
  args.dy = dy.data(), args.saved = saved.data(), args.dx = dx.data();
  DLCORE_LAUNCH(unary_backward, dx.dtype(), dx.device(), args);
  return dx;
}

}  // namespace

void bind_elementwise(py::module_& m) {
  using namespace py::literals;
  def_op(
      m, "full",
      [](const Dims& shape, const Scalar& value, DType dtype, const std::string& device) {
        return fill_new(shape, value, dtype, parse_device(device));
      },
      "shape"_a, "value"_a, "dtype"_a, "device"_a = "cpu");
#define DLCORE_BIND_BINARY(name)                                                                             \
  def_op(                                                                                                    \
      m, #name, [](const Array& a, const Array& b) { return binary_op(Binary::name, a, b); }, "a"_a, "b"_a); \
  def_op(                                                                                                    \
      m, #name,                                                                                              \
      [](const Array& a, const Scalar& b) { return binary_op(Binary::name, a, scalar_like(#name, a, b)); },  \
      "a"_a, "b"_a);                                                                                         \
  def_op(                                                                                                    \
      m, #name,                                                                                              \
      [](const Scalar& a, const Array& b) { return binary_op(Binary::name, scalar_like(#name, b, a), b); },  \
      "a"_a, "b"_a);
  DLCORE_BINARY(DLCORE_BIND_BINARY)
#undef DLCORE_BIND_BINARY
#define DLCORE_BIND_COMPARE(name)                                                                      \
  def_op(                                                                                              \
      m, #name, [](const Array& a, const Array& b) { return compare_op(#name, Compare::name, a, b); }, \
      "a"_a, "b"_a);                                                                                   \
  def_op(                                                                                              \
      m, #name,                                                                                        \
      [](const Array& a, const Scalar& b) {                                                            \
        return compare_op(#name, Compare::name, a, scalar_like(#name, a, b));                          \
      },                                                                                               \
      "a"_a, "b"_a);
  DLCORE_BIND_COMPARE(eq)
  DLCORE_BIND_COMPARE(ne)
  DLCORE_BIND_COMPARE(lt)
  DLCORE_BIND_COMPARE(le)
  DLCORE_BIND_COMPARE(gt)
  DLCORE_BIND_COMPARE(ge)
#undef DLCORE_BIND_COMPARE
  def_op(m, "where", &where_op, "condition"_a, "a"_a, "b"_a);
  def_op(
      m, "where",
      [](const Array& c, const Scalar& a, const Array& b) {
        return where_op(c, scalar_like("where", b, a), b);
      },
      "condition"_a, "a"_a, "b"_a);
  def_op(
      m, "where",
      [](const Array& c, const Array& a, const Scalar& b) {
        return where_op(c, a, scalar_like("where", a, b));
      },
      "condition"_a, "a"_a, "b"_a);
#define DLCORE_BIND_UNARY(name)                                                                          \
  def_op(                                                                                                \
      m, #name,                                                                                          \
      [](const Array& x, double p, double q) { return unary_op(#name, Unary::name, x, p, q, nullptr); }, \
      "x"_a, "p"_a = 0.0, "q"_a = 0.0);
  DLCORE_UNARY(DLCORE_BIND_UNARY)
#undef DLCORE_BIND_UNARY
  def_op(
      m, "unary_",
      [](const std::string& name, const Array& x, double p, double q) {
        in_place("unary_", x, [&](const Array* out) {
          return unary_op(name.c_str(), parse_unary("unary_", name), x, p, q, out);
        });
      },
      "op"_a, "x"_a, "p"_a = 0.0, "q"_a = 0.0);
  def_op(
      m, "binary_",
      [](const std::string& name, const Array& a, const Array& b) {
        const Binary op = parse_binary("binary_", name);
        check_same(name.c_str(), "a", a, "b", b);
        if (!(result_shape(name.c_str(), a, b) == a.shape()))
          value_error(name.c_str(), "the result must have the shape of a, which is changed in place",
                      {{"a", a}, {"b", b}});
        // b may lie in a's memory otherwise than a does (x += x.T): its values are taken first.
        const bool alias = a.shares_storage(b) && !(a.shape() == b.shape() && a.strides() == b.strides());
        Array other = b;
        if (alias) {
          other = Array::empty_like(b);
          copy_into(other, b);
        }
        in_place(name.c_str(), a, [&](const Array* out) { return binary_into(op, a, other, out); });
      },
      "op"_a, "a"_a, "b"_a);
  def_op(
      m, "unary_backward",
      [](const std::string& name, const Array& dy, const Array& saved, double p, double q) {
        return unary_backward(parse_unary("unary_backward", name), dy, saved, p, q);
      },
      "op"_a, "dy"_a, "saved"_a, "p"_a = 0.0, "q"_a = 0.0);
  def_op(
      m, "activation_backward",
      [](const Array& dy, const Array& y, const std::string& act) {
        if (act.empty() || act == "none" || act == "linear") return dy;
        if (act != "relu" && act != "sigmoid" && act != "tanh")
          value_error("activation_backward", "activation must be one of none, relu, sigmoid, tanh",
                      {{"activation", act}});
        return unary_backward(parse_unary("activation_backward", act), dy, y, 0, 0);
      },
      "dy"_a, "y"_a, "activation"_a);
}

}  // namespace dlcore
