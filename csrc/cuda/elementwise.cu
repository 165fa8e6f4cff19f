// fill, binary, compare, where, unary and its backward over strided, broadcast operands.
// The operation is a uniform branch inside one kernel a dtype, not a template parameter: these kernels wait
// for memory, and the object stays small. The formulas are those of csrc/cpu/elementwise.cpp.
#include "cuda/common.cuh"

namespace dlcore {
namespace cuda {
namespace {

template <class T>
struct Unsigned {
  using type = T;
};
template <>
struct Unsigned<int32_t> {
  using type = uint32_t;
};
template <>
struct Unsigned<int64_t> {
  using type = uint64_t;
};

template <class T>
__device__ T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}
template <class T>
__device__ T float_binary(Binary op, T a, T b) {
  switch (op) {
    case Binary::add:
      return a + b;
    case Binary::sub:
      return a - b;
    case Binary::mul:
      return a * b;
    case Binary::div:
      return a / b;
    case Binary::maximum:
      return a != a || a > b ? a : b;
    case Binary::minimum:
      return a != a || a < b ? a : b;
    case Binary::pow:
      return pow(a, b);
    case Binary::atan2:
      return atan2(a, b);
    case Binary::fmod:
      return fmod(a, b);
    case Binary::remainder: {
      const T m = fmod(a, b);
      return m != 0 && (m < 0) != (b < 0) ? m + b : m;
    }
    case Binary::floor_divide: {
      if (b == 0) return a / b;
      const T m = fmod(a, b);
      T q = (a - m) / b;
      if (m != 0 && (m < 0) != (b < 0)) q -= 1;
      if (q == 0) return copysign(T(0), a / b);
      const T r = floor(q);
      return q - r > T(0.5) ? r + 1 : r;
    }
    case Binary::logical_and:
      return static_cast<T>(a != 0 && b != 0);
    case Binary::logical_or:
      return static_cast<T>(a != 0 || b != 0);
    case Binary::logical_xor:
      return static_cast<T>((a != 0) != (b != 0));
    case Binary::logistic_loss:
      return (T(1) - b) * a + (log1p(exp(-fabs(a))) - (a > T(0) ? T(0) : a));
    case Binary::logistic_slope:
      return sigmoid(a) - b;
  }
  return a;
}

template <class T>
__device__ T integer_binary(Binary op, T a, T b) {
  using U = typename Unsigned<T>::type;  // overflow wraps
  constexpr bool is_signed = T(-1) < T(0);
  switch (op) {
    case Binary::add:
      return static_cast<T>(U(a) + U(b));
    case Binary::sub:
      return static_cast<T>(U(a) - U(b));
    case Binary::mul:
      return static_cast<T>(U(a) * U(b));
    case Binary::maximum:
      return a > b ? a : b;
    case Binary::minimum:
      return a < b ? a : b;
    case Binary::logical_and:
      return static_cast<T>(a != 0 && b != 0);
    case Binary::logical_or:
      return static_cast<T>(a != 0 || b != 0);
    case Binary::logical_xor:
      return static_cast<T>((a != 0) != (b != 0));
    case Binary::pow: {
      if (is_signed && b < T(0)) return a == T(1) ? T(1) : a == T(-1) ? (b % 2 ? a : T(1)) : T(0);
      U r = 1, base = static_cast<U>(a);
      for (U e = static_cast<U>(b); e > 0; e /= 2, base *= base)
        if (e % 2) r *= base;
      return static_cast<T>(r);
    }
    case Binary::fmod:
    case Binary::remainder:
    case Binary::floor_divide: {
      if (b == 0) return 0;
      const bool overflow = is_signed && b == T(-1);  // the most negative / -1
      const T m = overflow ? T(0) : static_cast<T>(a % b);
      if (op == Binary::fmod) return m;
      const bool adjust = is_signed && m != 0 && (m < T(0)) != (b < T(0));
      if (op == Binary::remainder) return static_cast<T>(adjust ? m + b : m);
      return overflow ? static_cast<T>(U(0) - U(a)) : static_cast<T>(a / b - (adjust ? 1 : 0));
    }
    default:
      return 0;  // div, atan2, logistic_loss, logistic_slope: of floats alone
  }
}

__device__ bool bool_binary(Binary op, bool a, bool b) {
  switch (op) {
    case Binary::add:
    case Binary::maximum:
    case Binary::logical_or:
      return a || b;
    case Binary::mul:
    case Binary::minimum:
    case Binary::logical_and:
      return a && b;
    case Binary::sub:
    case Binary::logical_xor:
      return a != b;
    case Binary::pow:
      return a || !b;
    default:
      return false;
  }
}

template <class T>
__device__ T apply_binary(Binary op, T a, T b) {
  if constexpr (kIsFloat<T>)
    return float_binary(op, a, b);
  else if constexpr (sizeof(T) == 1 && T(2) == T(1))
    return bool_binary(op, a, b);
  else
    return integer_binary(op, a, b);
}

template <class T>
__device__ bool apply_compare(Compare op, T a, T b) {
  switch (op) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return a != b;
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    case Compare::ge:
      return a >= b;
  }
  return false;
}

template <class T>
__device__ T relu6(T z) {
  return z < T(0) ? T(0) : z > T(6) ? T(6) : z;
}
// tanh(log(1 + e^x)) = (e^2 + 2 e) / (e^2 + 2 e + 2), x at most 20
template <class T>
__device__ T mish_factor(T e) {
  const T n = e * (e + T(2));
  return n / (n + T(2));
}

constexpr double kSqrtHalf = 0.70710678118654752440, kInvSqrt2Pi = 0.39894228040143267794;
constexpr double kTwoOverSqrtPi = 1.12837916709551257390, kGeluSlope = 0.79788456080286535588,
                 kGeluCubic = 0.044715;

template <class T>
__device__ T float_unary(Unary op, T x, T p, T q) {
  switch (op) {
    case Unary::neg:
      return -x;
    case Unary::abs:
      return fabs(x);
    case Unary::square:
      return x * x;
    case Unary::sign:
      return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);
    case Unary::relu:
      return x < T(0) ? T(0) : x;
    case Unary::clamp:
    case Unary::hardtanh: {
      const T y = x < p ? p : x;
      return y > q ? q : y;
    }
    case Unary::exp:
      return exp(x);
    case Unary::expm1:
      return expm1(x);
    case Unary::log:
      return log(x);
    case Unary::log1p:
      return log1p(x);
    case Unary::log2:
      return log2(x);
    case Unary::log10:
      return log10(x);
    case Unary::sqrt:
      return sqrt(x);
    case Unary::rsqrt:
      return T(1) / sqrt(x);
    case Unary::reciprocal:
      return T(1) / x;
    case Unary::sin:
      return sin(x);
    case Unary::cos:
      return cos(x);
    case Unary::tan:
      return tan(x);
    case Unary::tanh:
      return tanh(x);
    case Unary::sigmoid:
      return sigmoid(x);
    case Unary::erf:
      return erf(x);
    case Unary::floor:
      return floor(x);
    case Unary::ceil:
      return ceil(x);
    case Unary::round:
      return rint(x);
    case Unary::trunc:
      return trunc(x);
    case Unary::gelu:
      return T(0.5) * x * (T(1) + erf(x * T(kSqrtHalf)));
    case Unary::gelu_tanh:
      return T(0.5) * x * (T(1) + tanh(T(kGeluSlope) * (x + T(kGeluCubic) * x * x * x)));
    case Unary::silu:
      return x * sigmoid(x);
    case Unary::softplus:
      return x * p > q ? x : log1p(exp(x * p)) / p;
    case Unary::leaky_relu:
      return x > T(0) ? x : x * p;
    case Unary::elu:
      return x > T(0) ? q * x : q * p * expm1(x);
    case Unary::hardswish:
      return x * (relu6(x + T(3)) * T(1.0 / 6.0));
    case Unary::hardsigmoid:
      return relu6(x + T(3)) * T(1.0 / 6.0);
    case Unary::mish:
      return x > T(20) ? x : x * mish_factor(exp(x));
    case Unary::softsign:
      return x / (T(1) + fabs(x));
    case Unary::logsigmoid:
      return (x > T(0) ? T(0) : x) - log1p(exp(-fabs(x)));
    case Unary::threshold:
      return x <= p ? q : x;
    case Unary::hardshrink:
      return x >= -p && x <= p ? T(0) : x;
    case Unary::softshrink:
      return x > p ? x - p : x < -p ? x + p : x * T(0);
    case Unary::huber: {
      const T size = fabs(x), inner = size > p ? p : size;
      return inner * q * (size - inner * T(0.5));
    }
  }
  return x;
}

template <class T>
__device__ T integer_unary(Unary op, T x, T p, T q) {
  using U = typename Unsigned<T>::type;
  const bool negative = T(-1) < T(0) && x < T(1) && x != T(0);
  switch (op) {
    case Unary::neg:
      return static_cast<T>(U(0) - U(x));
    case Unary::abs:
      return negative ? static_cast<T>(U(0) - U(x)) : x;
    case Unary::square:
      return static_cast<T>(U(x) * U(x));
    case Unary::sign:
      return x == T(0) ? T(0) : negative ? T(-1) : T(1);
    case Unary::relu:
      return negative ? T(0) : x;
    case Unary::clamp: {
      const T y = x < p ? p : x;
      return y > q ? q : y;
    }
    default:
      return x;  // floor, ceil, round, trunc
  }
}

template <class T>
__device__ T apply_unary(Unary op, T x, T p, T q) {
  if constexpr (kIsFloat<T>)
    return float_unary(op, x, p, q);
  else
    return integer_unary(op, x, p, q);
}

template <class T>
__device__ T apply_backward(Unary op, T g, T s, T p, T q) {
  switch (op) {
    // From the output.
    case Unary::relu:
      return s <= T(0) ? T(0) : g;
    case Unary::exp:
      return g * s;
    case Unary::expm1:
      return g * (s + T(1));
    case Unary::sqrt:
      return g / (s + s);
    case Unary::rsqrt:
      return T(-0.5) * g * (s * s * s);
    case Unary::reciprocal:
      return -g * (s * s);
    case Unary::tan:
      return g * (T(1) + s * s);
    case Unary::tanh:
      return g * (T(1) - s * s);
    case Unary::sigmoid:
      return g * s * (T(1) - s);
    // From the input.
    case Unary::neg:
      return -g;
    case Unary::abs:
      return s > T(0) ? g : s < T(0) ? -g : s == T(0) ? T(0) : s;
    case Unary::square:
      return (g + g) * s;
    case Unary::clamp:
      return s >= p && s <= q ? g : T(0);
    case Unary::hardtanh:
      return s <= p || s >= q ? T(0) : g;
    case Unary::log:
      return g / s;
    case Unary::log1p:
      return g / (T(1) + s);
    case Unary::log2:
      return g / (s * T(0.69314718055994530942));
    case Unary::log10:
      return g / (s * T(2.30258509299404568402));
    case Unary::sin:
      return g * cos(s);
    case Unary::cos:
      return -g * sin(s);
    case Unary::erf:
      return g * T(kTwoOverSqrtPi) * exp(-s * s);
    case Unary::gelu:
      return g * (T(0.5) * (T(1) + erf(s * T(kSqrtHalf))) + s * T(kInvSqrt2Pi) * exp(T(-0.5) * s * s));
    case Unary::gelu_tanh: {
      const T t = tanh(T(kGeluSlope) * (s + T(kGeluCubic) * s * s * s));
      const T slope = T(kGeluSlope) * (T(1) + T(3 * kGeluCubic) * s * s);
      return g * T(0.5) * ((T(1) + t) + s * (T(1) - t * t) * slope);
    }
    case Unary::silu: {
      const T y = sigmoid(s);
      return g * y * (T(1) + s * (T(1) - y));
    }
    case Unary::softplus:
      return s * p > q ? g : g * sigmoid(s * p);
    case Unary::leaky_relu:
      return s > T(0) ? g : g * p;
    case Unary::elu:
      return s > T(0) ? g * q : g * q * p * exp(s);
    case Unary::hardswish:
      return s <= T(-3) ? T(0) : s >= T(3) ? g : g * (s * T(1.0 / 3.0) + T(0.5));
    case Unary::hardsigmoid:
      return s > T(-3) && s < T(3) ? g * T(1.0 / 6.0) : T(0);
    case Unary::mish: {
      if (s > T(20)) return g;
      const T e = exp(s), t = mish_factor(e);
      return g * (t + s * (T(1) - t * t) * (e / (T(1) + e)));
    }
    case Unary::softsign: {
      const T d = T(1) + fabs(s);
      return g / (d * d);
    }
    case Unary::logsigmoid:
      return g * sigmoid(-s);
    case Unary::threshold:
      return s <= p ? T(0) : g;
    case Unary::huber:
      return g * q * (s > p ? p : s < -p ? -p : s);
    case Unary::hardshrink:
    case Unary::softshrink:
      return s >= -p && s <= p ? T(0) : g;
    default:
      return T(0);  // sign, floor, ceil, round, trunc
  }
}

// A parameter in an integer type, clipped to its range.
template <class T>
T as_parameter(double v) {
  if constexpr (kIsFloat<T>) {
    return static_cast<T>(v);
  } else {
    const double lo = sizeof(T) == 1 ? 0.0 : sizeof(T) == 8 ? -9223372036854775808.0 : -2147483648.0;
    const double hi = sizeof(T) == 1 ? 255.0 : sizeof(T) == 8 ? 9223372036854774784.0 : 2147483647.0;
    if (sizeof(T) == 8 && v >= hi) return static_cast<T>(INT64_MAX);
    return static_cast<T>(v < lo ? lo : v > hi ? hi : v);
  }
}

}  // namespace

template <class T>
void fill(const FillArgs& p) {
  T* y = static_cast<T*>(p.y);
  const T value = kIsFloat<T> ? static_cast<T>(p.d) : static_cast<T>(p.i);
  for_each(y, p.n, [=] __device__(int64_t i) { y[i] = value; });
}

template <class T>
void binary(const BinaryArgs& p) {
  const Walk<3> walk = make_walk<3>(p.ndim, p.shape, {p.as, p.bs, p.ys});
  const T *a = static_cast<const T*>(p.a), *b = static_cast<const T*>(p.b);
  T* y = static_cast<T*>(p.y);
  const Binary op = p.op;
  for_each(y, count(p.ndim, p.shape), [=] __device__(int64_t i) {
    const Offsets<3> at = walk.at(i);
    y[at.o[2]] = apply_binary<T>(op, a[at.o[0]], b[at.o[1]]);
  });
}

template <class T>
void compare(const CompareArgs& p) {
  const Walk<3> walk = make_walk<3>(p.ndim, p.shape, {p.as, p.bs, p.ys});
  const T *a = static_cast<const T*>(p.a), *b = static_cast<const T*>(p.b);
  bool* y = p.y;
  const Compare op = p.op;
  for_each(y, count(p.ndim, p.shape), [=] __device__(int64_t i) {
    const Offsets<3> at = walk.at(i);
    y[at.o[2]] = apply_compare<T>(op, a[at.o[0]], b[at.o[1]]);
  });
}

template <class T>
void where(const WhereArgs& p) {
  const Walk<4> walk = make_walk<4>(p.ndim, p.shape, {p.cs, p.as, p.bs, p.ys});
  const bool* condition = p.condition;
  const T *a = static_cast<const T*>(p.a), *b = static_cast<const T*>(p.b);
  T* y = static_cast<T*>(p.y);
  for_each(y, count(p.ndim, p.shape), [=] __device__(int64_t i) {
    const Offsets<4> at = walk.at(i);
    y[at.o[3]] = condition[at.o[0]] ? a[at.o[1]] : b[at.o[2]];
  });
}

template <class T>
void unary(const UnaryArgs& args) {
  const Walk<2> walk = make_walk<2>(args.ndim, args.shape, {args.xs, args.ys});
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const T p = as_parameter<T>(args.p), q = as_parameter<T>(args.q);
  const Unary op = args.op;
  for_each(y, count(args.ndim, args.shape), [=] __device__(int64_t i) {
    const Offsets<2> at = walk.at(i);
    y[at.o[1]] = apply_unary<T>(op, x[at.o[0]], p, q);
  });
}

template <class T>
void unary_backward(const UnaryBackwardArgs& args) {
  const Walk<3> walk = make_walk<3>(args.ndim, args.shape, {args.gs, args.ss, args.ys});
  const T *dy = static_cast<const T*>(args.dy), *saved = static_cast<const T*>(args.saved);
  T* dx = static_cast<T*>(args.dx);
  const T p = static_cast<T>(args.p), q = static_cast<T>(args.q);
  const Unary op = args.op;
  for_each(dx, count(args.ndim, args.shape), [=] __device__(int64_t i) {
    const Offsets<3> at = walk.at(i);
    dx[at.o[2]] = apply_backward<T>(op, dy[at.o[0]], saved[at.o[1]], p, q);
  });
}

DLCORE_CUDA_ALL(fill, FillArgs)
DLCORE_CUDA_ALL(binary, BinaryArgs)
DLCORE_CUDA_ALL(compare, CompareArgs)
DLCORE_CUDA_ALL(where, WhereArgs)
DLCORE_CUDA_ALL(unary, UnaryArgs)
DLCORE_CUDA_FLOATS(unary_backward, UnaryBackwardArgs)

}  // namespace cuda
}  // namespace dlcore
