// Elementwise kernels: y[i] = f(inputs[i]) over collapsed, broadcast axes (see kernels.h for what the op
// guarantees). The op code is a template argument of a row function, so that inner loops have no branch on
// it; a row's remainder goes through the same vector code with load_n / store_n. Integer types are plain
// loops, which the compiler vectorises.
#include "kernels/elementwise.h"

#include "cpu/simd.h"
#include "cpu/stream.h"
#include "cpu/vmath.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T>
constexpr bool kIsFloat = __is_same(T, float) || __is_same(T, double);

// A piece of a row that one thread takes at a time: any vector's multiple.
constexpr int64_t kSegment = 16384;

// Calls f(offsets, n) for runs of the last axis: offsets[k] is where operand k's run starts.
template <int N, class F>
inline void for_runs(int ndim, const int64_t* shape, const int64_t* const (&strides)[N], const F& f) {
  const int last = ndim - 1;
  const int64_t n = shape[last];
  int64_t rows = 1;
  for (int d = 0; d < last; ++d) rows *= shape[d];
  if (n == 0 || rows == 0) return;
  if (rows == 1) {
    parallel_for(n, kGrain, [&](int64_t b, int64_t e) {
      int64_t offsets[N];
      for (int k = 0; k < N; ++k) offsets[k] = b * strides[k][last];
      f(offsets, e - b);
    });
    return;
  }
  const int64_t pieces = ceil_div(n, kSegment);
  parallel_for(rows * pieces, max64(1, kGrain / min64(n, kSegment)), [&](int64_t b, int64_t e) {
    int64_t index[kMaxDims], base[N], row = b / pieces, piece = b % pieces;
    for (int k = 0; k < N; ++k) base[k] = 0;
    for (int d = last - 1; d >= 0; --d) {
      index[d] = row % shape[d];
      row /= shape[d];
      for (int k = 0; k < N; ++k) base[k] += index[d] * strides[k][d];
    }
    for (int64_t t = b; t < e; ++t) {
      int64_t offsets[N];
      const int64_t at = piece * kSegment;
      for (int k = 0; k < N; ++k) offsets[k] = base[k] + at * strides[k][last];
      f(offsets, min64(kSegment, n - at));
      if (++piece < pieces) continue;
      piece = 0;
      for (int d = last - 1; d >= 0; --d) {
        for (int k = 0; k < N; ++k) base[k] += strides[k][d];
        if (++index[d] < shape[d]) break;
        for (int k = 0; k < N; ++k) base[k] -= shape[d] * strides[k][d];
        index[d] = 0;
      }
    }
  });
}

// Calls run(y, offset, n) for pieces of y's run: where the whole result (`total` elements) is large, a piece
// is computed into L1 and streamed, which saves reading every line before it is overwritten.
template <class T, class F>
DLCORE_INLINE void run_streamed(T* y, int64_t n, int64_t total, const F& run) {
  constexpr int64_t piece = 4096 / sizeof(T), L = kLanes<T>;
  if (n < piece || !streams(y, piece, total)) return run(y, 0, n);
  alignas(64) T buffer[piece];
  int64_t i = 0;
  for (; i + piece <= n; i += piece) {
    run(buffer, i, piece);
    for (int64_t k = 0; k < piece; k += L) store_streaming(y + i + k, load(buffer + k));
  }
  if (i < n) run(y + i, i, n - i);
  fence();
}

DLCORE_INLINE int64_t count(int ndim, const int64_t* shape) {
  int64_t n = 1;
  for (int d = 0; d < ndim; ++d) n *= shape[d];
  return n;
}

// The vector of a run at i: n lanes of memory, or one value repeated.
template <class T>
struct Source {
  const T* p;
  bool run;
  Vec<T> one;
  DLCORE_INLINE Source(const T* p, int64_t stride) : p(p), run(stride != 0), one(splat(*p)) {}
  DLCORE_INLINE Vec<T> full(int64_t i) const { return run ? load(p + i) : one; }
  DLCORE_INLINE Vec<T> part(int64_t i, int n) const { return run ? load_n(p + i, n) : one; }
};

// ---- binary
// ---------------------------------------------------------------------------------------------------------

template <Binary OP, class T>
DLCORE_INLINE Vec<T> apply(Vec<T> a, Vec<T> b) {
  if constexpr (OP == Binary::add)
    return a + b;
  else if constexpr (OP == Binary::sub)
    return a - b;
  else if constexpr (OP == Binary::mul)
    return a * b;
  else if constexpr (OP == Binary::div)
    return a / b;
  else if constexpr (OP == Binary::maximum)
    return a != a ? a : max_nan(a, b);
  else if constexpr (OP == Binary::minimum)
    return a != a ? a : min_nan(a, b);
  else if constexpr (OP == Binary::logistic_slope)
    return sigmoid<T>(a) - b;
  else {
    const Vec<T> lesser = a > Vec<T>{} ? Vec<T>{} : a;  // NaN stays
    return fma(splat(T(1)) - b, a, log1p_exp<T>(a) - lesser);
  }
}

template <class T, Binary OP>
void binary_run(const T* a, const T* b, T* y, int64_t n, int64_t as, int64_t bs) {
  constexpr int L = kLanes<T>;
  const Source<T> x(a, as), z(b, bs);
  int64_t i = 0;
  for (; i + L <= n; i += L) store(y + i, apply<OP, T>(x.full(i), z.full(i)));
  if (i < n) {
    const int m = static_cast<int>(n - i);
    store_n(y + i, apply<OP, T>(x.part(i, m), z.part(i, m)), m);
  }
}

// Overflow wraps, as in torch: the arithmetic is unsigned.
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

template <Binary OP, class T>
DLCORE_INLINE T apply_integer(T a, T b) {
  using U = typename Unsigned<T>::type;
  if constexpr (OP == Binary::add)
    return static_cast<T>(U(a) + U(b));
  else if constexpr (OP == Binary::sub)
    return static_cast<T>(U(a) - U(b));
  else if constexpr (OP == Binary::mul)
    return static_cast<T>(U(a) * U(b));
  else if constexpr (OP == Binary::maximum)
    return a > b ? a : b;
  else if constexpr (OP == Binary::minimum)
    return a < b ? a : b;
  else if constexpr (OP == Binary::logical_and)
    return (a != 0) & (b != 0);
  else if constexpr (OP == Binary::logical_or)
    return (a != 0) | (b != 0);
  else
    return (a != 0) ^ (b != 0);
}

template <class T, Binary OP>
void integer_run(const T* a, const T* b, T* y, int64_t n, int64_t as, int64_t bs) {
  if (as && bs)
    for (int64_t i = 0; i < n; ++i) y[i] = apply_integer<OP>(a[i], b[i]);
  else if (as)
    for (int64_t i = 0, c = 0; i < n; ++i) y[i] = apply_integer<OP>(a[i], b[c]);
  else
    for (int64_t i = 0; i < n; ++i) y[i] = apply_integer<OP>(a[0], b[i * bs]);
}

template <class T>
DLCORE_INLINE T one_element(Binary op, T a, T b) {
  if constexpr (kIsFloat<T>) {
    constexpr bool f = sizeof(T) == 4;
    if (op == Binary::atan2) return f ? __builtin_atan2f(a, b) : __builtin_atan2(a, b);
    if (op == Binary::pow) return f ? __builtin_powf(a, b) : __builtin_pow(a, b);
    T m = f ? __builtin_fmodf(a, b) : __builtin_fmod(a, b);
    if (op == Binary::fmod) return m;
    if (op == Binary::remainder) return m != 0 && (m < 0) != (b < 0) ? m + b : m;
    if (b == 0) return a / b;
    T q = (a - m) / b;
    if (m != 0 && (m < 0) != (b < 0)) q -= 1;
    if (q == 0) return f ? __builtin_copysignf(0.0f, a / b) : __builtin_copysign(0.0, a / b);
    const T r = f ? __builtin_floorf(q) : __builtin_floor(q);
    return q - r > T(0.5) ? r + 1 : r;
  } else if constexpr (__is_same(T, bool)) {
    return op == Binary::pow ? a | !b : false;
  } else {
    constexpr bool is_signed = T(-1) < T(0);
    if (op == Binary::pow) {
      using U = typename Unsigned<T>::type;
      if (is_signed && b < 0) return a == 1 ? T(1) : a == T(-1) ? (b & 1 ? a : T(1)) : T(0);
      U r = 1, base = static_cast<U>(a);
      for (T e = b; e > 0; e = static_cast<T>(e / 2), base = static_cast<U>(base * base))
        if (e & 1) r = static_cast<U>(r * base);
      return static_cast<T>(r);
    }
    if (b == 0) return 0;
    const bool overflow = is_signed && b == T(-1);  // the most negative / -1 traps
    const T m = overflow ? T(0) : static_cast<T>(a % b);
    if (op == Binary::fmod) return m;
    const bool adjust = is_signed && m != 0 && (m < 0) != (b < 0);
    if (op == Binary::remainder) return static_cast<T>(adjust ? m + b : m);
    if (overflow)
      return static_cast<T>(typename Unsigned<T>::type(0) - static_cast<typename Unsigned<T>::type>(a));
    return static_cast<T>(a / b - (adjust ? 1 : 0));
  }
}

template <class T>
void scalar_run(Binary op, const T* a, const T* b, T* y, int64_t n, int64_t as, int64_t bs) {
  for (int64_t i = 0; i < n; ++i) y[i] = one_element<T>(op, a[i * as], b[i * bs]);
}

template <class T>
using BinaryRun = void (*)(const T*, const T*, T*, int64_t, int64_t, int64_t);

template <class T, Binary OP>
constexpr BinaryRun<T> run_of() {
  if constexpr (kIsFloat<T>)
    return binary_run<T, OP>;
  else
    return integer_run<T, OP>;
}

template <class T>
BinaryRun<T> find_run(Binary op) {
  switch (op) {
    case Binary::add:
      return run_of<T, Binary::add>();
    case Binary::sub:
      return run_of<T, Binary::sub>();
    case Binary::mul:
      return run_of<T, Binary::mul>();
    case Binary::maximum:
      return run_of<T, Binary::maximum>();
    case Binary::minimum:
      return run_of<T, Binary::minimum>();
    default:
      break;
  }
  if constexpr (kIsFloat<T>) {
    if (op == Binary::div) return run_of<T, Binary::div>();
    if (op == Binary::logistic_loss) return run_of<T, Binary::logistic_loss>();
    if (op == Binary::logistic_slope) return run_of<T, Binary::logistic_slope>();
  } else {
    if (op == Binary::logical_and) return run_of<T, Binary::logical_and>();
    if (op == Binary::logical_or) return run_of<T, Binary::logical_or>();
    if (op == Binary::logical_xor) return run_of<T, Binary::logical_xor>();
  }
  return nullptr;
}

// ---- comparisons, choices
// -------------------------------------------------------------------------------------------

template <class T, Compare OP>
DLCORE_INLINE bool holds(T a, T b) {
  if constexpr (OP == Compare::eq)
    return a == b;
  else if constexpr (OP == Compare::ne)
    return a != b;
  else if constexpr (OP == Compare::lt)
    return a < b;
  else
    return a <= b;
}

template <class T, Compare OP>
void compare_run(const T* a, const T* b, bool* y, int64_t n, int64_t as, int64_t bs) {
  if (as && bs) {
    for (int64_t i = 0; i < n; ++i) y[i] = holds<T, OP>(a[i], b[i]);
  } else if (as) {
    const T c = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = holds<T, OP>(a[i], c);
  } else {
    const T c = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = holds<T, OP>(c, b[i * bs]);
  }
}

template <class T>
void where_run(const bool* c, const T* a, const T* b, T* y, int64_t n, int64_t cs, int64_t as, int64_t bs) {
  if (!cs) {
    const T* x = *c ? a : b;
    const int64_t s = *c ? as : bs;
    for (int64_t i = 0; i < n; ++i) y[i] = x[i * s];
  } else if (as && bs) {
    for (int64_t i = 0; i < n; ++i) {
      const T u = a[i], v = b[i];  // both are read, so that the compiler may blend
      y[i] = c[i] ? u : v;
    }
  } else if (bs) {
    const T u = *a;
    for (int64_t i = 0; i < n; ++i) {
      const T v = b[i];
      y[i] = c[i] ? u : v;
    }
  } else if (as) {
    const T v = *b;
    for (int64_t i = 0; i < n; ++i) {
      const T u = a[i];
      y[i] = c[i] ? u : v;
    }
  } else {
    const T u = *a, v = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = c[i] ? u : v;
  }
}

// ---- unary
// ----------------------------------------------------------------------------------------------------------

constexpr double kTwoOverSqrtPi = 1.12837916709551257390;
constexpr double kGeluScale = 1.59576912160573071176;  // 2 sqrt(2 / pi): (1 + tanh u) / 2 = sigmoid(2 u)
constexpr double kGeluCubic = 0.044715;

template <class T>
DLCORE_INLINE Vec<T> absolute(Vec<T> x) {
  return x < Vec<T>{} ? -x : x == Vec<T>{} ? Vec<T>{} : x;
}

template <Unary OP, class T>
DLCORE_INLINE Vec<T> value(Vec<T> x, Vec<T> p, Vec<T> q) {
  using V = Vec<T>;
  const V zero = {}, one = splat(T(1));
  auto k = [](double c) { return splat(static_cast<T>(c)); };
  if constexpr (OP == Unary::neg)
    return -x;
  else if constexpr (OP == Unary::abs)
    return absolute<T>(x);
  else if constexpr (OP == Unary::square)
    return x * x;
  else if constexpr (OP == Unary::sign)
    return x > zero ? one : x < zero ? -one : zero;
  else if constexpr (OP == Unary::relu)
    return relu(x);
  else if constexpr (OP == Unary::clamp || OP == Unary::hardtanh) {
    const V y = x < p ? p : x;
    return y > q ? q : y;
  } else if constexpr (OP == Unary::exp)
    return exp<T>(x);
  else if constexpr (OP == Unary::expm1)
    return expm1<T>(x);
  else if constexpr (OP == Unary::log)
    return log<T>(x);
  else if constexpr (OP == Unary::log1p)
    return log1p<T>(x);
  else if constexpr (OP == Unary::log2)
    return log_base<T>(x, T(1), static_cast<T>(1.44269504088896340736));
  else if constexpr (OP == Unary::log10)
    return log_base<T>(x, static_cast<T>(0.30102999566398119521), static_cast<T>(0.43429448190325182765));
  else if constexpr (OP == Unary::sqrt)
    return sqrt<T>(x);
  else if constexpr (OP == Unary::rsqrt)
    return one / sqrt<T>(x);
  else if constexpr (OP == Unary::reciprocal)
    return one / x;
  else if constexpr (OP == Unary::sin)
    return sin<T>(x);
  else if constexpr (OP == Unary::cos)
    return cos<T>(x);
  else if constexpr (OP == Unary::tan)
    return by_lane<T>(x, [](T v) { return static_cast<T>(__builtin_tan(static_cast<double>(v))); });
  else if constexpr (OP == Unary::tanh)
    return x == zero ? x : tanh<T>(x);  // -0
  else if constexpr (OP == Unary::sigmoid)
    return sigmoid<T>(x);
  else if constexpr (OP == Unary::erf)
    return erf<T>(x);
  else if constexpr (OP == Unary::floor)
    return by_lane<T>(
        x, [](T v) { return static_cast<T>(sizeof(T) == 4 ? __builtin_floorf(v) : __builtin_floor(v)); });
  else if constexpr (OP == Unary::ceil)
    return by_lane<T>(
        x, [](T v) { return static_cast<T>(sizeof(T) == 4 ? __builtin_ceilf(v) : __builtin_ceil(v)); });
  else if constexpr (OP == Unary::round)
    return by_lane<T>(
        x, [](T v) { return static_cast<T>(sizeof(T) == 4 ? __builtin_rintf(v) : __builtin_rint(v)); });
  else if constexpr (OP == Unary::trunc)
    return by_lane<T>(
        x, [](T v) { return static_cast<T>(sizeof(T) == 4 ? __builtin_truncf(v) : __builtin_trunc(v)); });
  else if constexpr (OP == Unary::gelu)
    return x * normal<T>(x);
  else if constexpr (OP == Unary::gelu_tanh)
    return x * sigmoid<T>(k(kGeluScale) * fma(k(kGeluCubic) * x, x * x, x));
  else if constexpr (OP == Unary::silu)
    return x * sigmoid<T>(x);
  else if constexpr (OP == Unary::softplus) {
    const V z = x * p;
    return z > q ? x : (relu(z) + log1p_exp<T>(z)) * (one / p);
  } else if constexpr (OP == Unary::leaky_relu)
    return x > zero ? x : x * p;
  else if constexpr (OP == Unary::elu)
    return x > zero ? q * x : q * p * expm1<T>(x);
  else if constexpr (OP == Unary::hardswish || OP == Unary::hardsigmoid) {
    V z = x + k(3);
    z = z < zero ? zero : z;
    z = (z > k(6) ? k(6) : z) * k(1.0 / 6.0);
    return OP == Unary::hardswish ? x * z : z;
  } else if constexpr (OP == Unary::mish) {  // tanh(log(1 + e)) = (e^2 + 2e) / (e^2 + 2e + 2)
    const V e = exp<T>(at_most<T>(x, T(20))), n = e * (e + k(2));
    return x > k(20) ? x : x * quotient<T>(n, n + k(2));
  } else if constexpr (OP == Unary::softsign)
    return x / (one + absolute<T>(x));
  else if constexpr (OP == Unary::logsigmoid)
    return (x > zero ? zero : x) - log1p_exp<T>(x);
  else if constexpr (OP == Unary::threshold)
    return x <= p ? q : x;
  else if constexpr (OP == Unary::hardshrink)
    return (x >= -p) & (x <= p) ? zero : x;
  else if constexpr (OP == Unary::huber) {
    const V size = absolute<T>(x), inner = size > p ? p : size;
    return inner * q * (size - inner * k(0.5));
  } else
    return x > p ? x - p : x < -p ? x + p : x * zero;  // softshrink; NaN stays
}

template <Unary OP, class T>
DLCORE_INLINE Vec<T> gradient(Vec<T> g, Vec<T> s, Vec<T> p, Vec<T> q) {
  using V = Vec<T>;
  const V zero = {}, one = splat(T(1));
  auto k = [](double c) { return splat(static_cast<T>(c)); };
  // From the output.
  if constexpr (OP == Unary::relu)
    return s <= zero ? zero : g;
  else if constexpr (OP == Unary::exp)
    return g * s;
  else if constexpr (OP == Unary::expm1)
    return g * (s + one);
  else if constexpr (OP == Unary::sqrt)
    return g / (s + s);
  else if constexpr (OP == Unary::rsqrt)
    return k(-0.5) * g * (s * s * s);
  else if constexpr (OP == Unary::reciprocal)
    return -g * (s * s);
  else if constexpr (OP == Unary::tan)
    return g * (one + s * s);
  else if constexpr (OP == Unary::tanh)
    return g * (one - s * s);
  else if constexpr (OP == Unary::sigmoid)
    return g * s * (one - s);
  // From the input.
  else if constexpr (OP == Unary::abs)
    return s > zero ? g : s < zero ? -g : s == zero ? zero : s;
  else if constexpr (OP == Unary::square)
    return (g + g) * s;
  else if constexpr (OP == Unary::clamp)
    return (s >= p) & (s <= q) ? g : zero;
  else if constexpr (OP == Unary::hardtanh)
    return (s <= p) | (s >= q) ? zero : g;
  else if constexpr (OP == Unary::log)
    return g / s;
  else if constexpr (OP == Unary::log1p)
    return g / (one + s);
  else if constexpr (OP == Unary::log2)
    return g / (s * k(0.69314718055994530942));
  else if constexpr (OP == Unary::log10)
    return g / (s * k(2.30258509299404568402));
  else if constexpr (OP == Unary::sin)
    return g * cos<T>(s);
  else if constexpr (OP == Unary::cos)
    return -g * sin<T>(s);
  else if constexpr (OP == Unary::erf)
    return g * k(kTwoOverSqrtPi) * exp<T>(-s * s);
  else if constexpr (OP == Unary::gelu)
    return g * gelu_slope<T>(s);
  else if constexpr (OP == Unary::gelu_tanh) {
    const auto y = sigmoid_slope<T>(k(kGeluScale) * fma(k(kGeluCubic) * s, s * s, s));
    const V slope = k(kGeluScale) * fma(k(3 * kGeluCubic), s * s, one);
    return g * fma(s * slope, y.slope, y.value);
  } else if constexpr (OP == Unary::silu) {
    const auto y = sigmoid_slope<T>(s);
    return g * fma(s, y.slope, y.value);
  } else if constexpr (OP == Unary::softplus)
    return s * p > q ? g : g * sigmoid<T>(s * p);
  else if constexpr (OP == Unary::leaky_relu)
    return s > zero ? g : g * p;
  else if constexpr (OP == Unary::elu)
    return s > zero ? g * q : g * q * p * exp<T>(s);
  else if constexpr (OP == Unary::hardswish)
    return s <= k(-3) ? zero : s >= k(3) ? g : g * fma(s, k(1.0 / 3.0), k(0.5));
  else if constexpr (OP == Unary::hardsigmoid)
    return (s > k(-3)) & (s < k(3)) ? g * k(1.0 / 6.0) : zero;
  else if constexpr (OP == Unary::mish) {
    const V e = exp<T>(at_most<T>(s, T(20))), n = e * (e + k(2)), r = quotient<T>(one, n + k(2));
    const V slope = k(4) * (n + one) * r * r;  // 1 - t^2 of t = n r
    return s > k(20) ? g : g * fma(s * slope, quotient<T>(e, one + e), n * r);
  } else if constexpr (OP == Unary::softsign) {
    const V d = one + absolute<T>(s);
    return g / (d * d);
  } else if constexpr (OP == Unary::logsigmoid)
    return g * sigmoid<T>(-s);
  else if constexpr (OP == Unary::threshold)
    return s <= p ? zero : g;
  else if constexpr (OP == Unary::huber)
    return g * q * (s > p ? p : s < -p ? -p : s);
  else if constexpr (OP == Unary::hardshrink || OP == Unary::softshrink)
    return (s >= -p) & (s <= p) ? zero : g;
  else if constexpr (OP == Unary::neg)
    return -g;
  else
    return zero;  // sign, floor, ceil, round, trunc
}

template <class T, Unary OP>
void unary_run(const T* x, T* y, int64_t n, int64_t xs, T p, T q) {
  constexpr int L = kLanes<T>;
  const Source<T> in(x, xs);
  const Vec<T> vp = splat(p), vq = splat(q);
  for (int64_t i = 0; i < n; i += L) {
    const int m = static_cast<int>(min64(L, n - i));
    const Vec<T> r = value<OP, T>(m == L ? in.full(i) : in.part(i, m), vp, vq);
    if (m == L)
      store(y + i, r);
    else
      store_n(y + i, r, m);
  }
}

template <class T, Unary OP>
void backward_run(const T* g, const T* s, T* dx, int64_t n, int64_t gs, int64_t ss, T p, T q) {
  constexpr int L = kLanes<T>;
  const Source<T> dy(g, gs), saved(s, ss);
  const Vec<T> vp = splat(p), vq = splat(q);
  for (int64_t i = 0; i < n; i += L) {
    const int m = static_cast<int>(min64(L, n - i));
    const bool full = m == L;
    const Vec<T> r =
        gradient<OP, T>(full ? dy.full(i) : dy.part(i, m), full ? saved.full(i) : saved.part(i, m), vp, vq);
    if (full)
      store(dx + i, r);
    else
      store_n(dx + i, r, m);
  }
}

template <class T>
using UnaryRun = void (*)(const T*, T*, int64_t, int64_t, T, T);
template <class T>
using BackwardRun = void (*)(const T*, const T*, T*, int64_t, int64_t, int64_t, T, T);

template <class T>
UnaryRun<T> find_unary(Unary op) {
  switch (op) {
#define DLCORE_CASE(name) \
  case Unary::name:       \
    return unary_run<T, Unary::name>;
    DLCORE_UNARY(DLCORE_CASE)
#undef DLCORE_CASE
  }
  return nullptr;
}

template <class T>
BackwardRun<T> find_backward(Unary op) {
  switch (op) {
#define DLCORE_CASE(name) \
  case Unary::name:       \
    return backward_run<T, Unary::name>;
    DLCORE_UNARY(DLCORE_CASE)
#undef DLCORE_CASE
  }
  return nullptr;
}

// The functions that integers have; uint8 negates modulo 256.
template <class T>
DLCORE_INLINE T integer_value(Unary op, T x, T p, T q) {
  using U = typename Unsigned<T>::type;
  switch (op) {
    case Unary::neg:
      return static_cast<T>(U(0) - U(x));
    case Unary::abs:
      return T(-1) < T(0) && x < T(1) ? static_cast<T>(U(0) - U(x)) : x;
    case Unary::square:
      return static_cast<T>(U(x) * U(x));
    case Unary::sign:
      return x == 0 ? T(0) : T(-1) < T(0) && x < T(1) ? T(-1) : T(1);
    case Unary::relu:
      return T(-1) < T(0) && x < T(1) ? T(0) : x;
    case Unary::clamp:
      x = x < p ? p : x;
      return x > q ? q : x;
    default:
      return x;  // floor, ceil, round, trunc
  }
}

template <class T>
DLCORE_INLINE T saturate(double v) {
  constexpr bool wide = sizeof(T) == 8, narrow = sizeof(T) == 1;
  const double lo = narrow ? 0.0 : wide ? -9223372036854775808.0 : -2147483648.0;
  const double hi = narrow ? 255.0 : wide ? 9223372036854774784.0 : 2147483647.0;
  if (v >= hi && wide) return static_cast<T>(INT64_MAX);
  return static_cast<T>(v < lo ? lo : v > hi ? hi : v);
}

}  // namespace

template <class T>
void fill(const FillArgs& p) {
  T value;
  if constexpr (kIsFloat<T>)
    value = static_cast<T>(p.d);
  else
    value = static_cast<T>(p.i);
  T* y = static_cast<T*>(p.y);
  parallel_for(p.n, kGrain, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) y[i] = value;
  });
}

template <class T>
void binary(const BinaryArgs& p) {
  const T* a = static_cast<const T*>(p.a);
  const T* b = static_cast<const T*>(p.b);
  T* y = static_cast<T*>(p.y);
  const int64_t* const strides[] = {p.as, p.bs, p.ys};
  const int64_t as = p.as[p.ndim - 1], bs = p.bs[p.ndim - 1];
  const BinaryRun<T> run = find_run<T>(p.op);
  const int64_t total = p.y == p.a || p.y == p.b ? 0 : count(p.ndim, p.shape);  // in place: not streamed
  for_runs<3>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
    auto part = [&](T* to, int64_t i, int64_t m) {
      if (run)
        run(a + o[0] + i * as, b + o[1] + i * bs, to, m, as, bs);
      else
        scalar_run<T>(p.op, a + o[0] + i * as, b + o[1] + i * bs, to, m, as, bs);
    };
    if constexpr (kIsFloat<T>)
      run_streamed(y + o[2], n, total, part);
    else
      part(y + o[2], 0, n);
  });
}

template <class T>
void compare(const CompareArgs& p) {
  const T* a = static_cast<const T*>(p.a);
  const T* b = static_cast<const T*>(p.b);
  const int64_t* const strides[] = {p.as, p.bs, p.ys};
  const int64_t as = p.as[p.ndim - 1], bs = p.bs[p.ndim - 1];
  for_runs<3>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
    bool* y = p.y + o[2];
    switch (p.op) {
      case Compare::eq:
        return compare_run<T, Compare::eq>(a + o[0], b + o[1], y, n, as, bs);
      case Compare::ne:
        return compare_run<T, Compare::ne>(a + o[0], b + o[1], y, n, as, bs);
      case Compare::lt:
        return compare_run<T, Compare::lt>(a + o[0], b + o[1], y, n, as, bs);
      case Compare::le:
        return compare_run<T, Compare::le>(a + o[0], b + o[1], y, n, as, bs);
      case Compare::gt:
        return compare_run<T, Compare::lt>(b + o[1], a + o[0], y, n, bs, as);
      case Compare::ge:
        return compare_run<T, Compare::le>(b + o[1], a + o[0], y, n, bs, as);
    }
  });
}

template <class T>
void where(const WhereArgs& p) {
  const int last = p.ndim - 1;
  const int64_t* const strides[] = {p.cs, p.as, p.bs, p.ys};
  for_runs<4>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
    where_run<T>(p.condition + o[0], static_cast<const T*>(p.a) + o[1], static_cast<const T*>(p.b) + o[2],
                 static_cast<T*>(p.y) + o[3], n, p.cs[last], p.as[last], p.bs[last]);
  });
}

template <class T>
void unary(const UnaryArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int64_t* const strides[] = {p.xs, p.ys};
  const int64_t xs = p.xs[p.ndim - 1];
  if constexpr (kIsFloat<T>) {
    const UnaryRun<T> run = find_unary<T>(p.op);
    const int64_t total = count(p.ndim, p.shape);
    for_runs<2>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
      run_streamed(y + o[1], n, total, [&](T* to, int64_t i, int64_t m) {
        run(x + o[0] + i * xs, to, m, xs, static_cast<T>(p.p), static_cast<T>(p.q));
      });
    });
  } else if constexpr (!__is_same(T, bool)) {
    const T lo = saturate<T>(p.p), hi = saturate<T>(p.q);
    for_runs<2>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
      for (int64_t i = 0; i < n; ++i) y[o[1] + i] = integer_value<T>(p.op, x[o[0] + i * xs], lo, hi);
    });
  } else {  // the op has let through what leaves a bool as it is
    for_runs<2>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
      for (int64_t i = 0; i < n; ++i) y[o[1] + i] = x[o[0] + i * xs];
    });
  }
}

template <class T>
void unary_backward(const UnaryBackwardArgs& p) {
  const T* g = static_cast<const T*>(p.dy);
  const T* s = static_cast<const T*>(p.saved);
  T* dx = static_cast<T*>(p.dx);
  const int64_t* const strides[] = {p.gs, p.ss, p.ys};
  const int64_t gs = p.gs[p.ndim - 1], ss = p.ss[p.ndim - 1];
  const BackwardRun<T> run = find_backward<T>(p.op);
  const int64_t total = count(p.ndim, p.shape);
  for_runs<3>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
    run_streamed(dx + o[2], n, total, [&](T* to, int64_t i, int64_t m) {
      run(g + o[0] + i * gs, s + o[1] + i * ss, to, m, gs, ss, static_cast<T>(p.p), static_cast<T>(p.q));
    });
  });
}

DLCORE_INSTANTIATE_ALL(fill, FillArgs)
DLCORE_INSTANTIATE_ALL(binary, BinaryArgs)
DLCORE_INSTANTIATE_ALL(compare, CompareArgs)
DLCORE_INSTANTIATE_ALL(where, WhereArgs)
DLCORE_INSTANTIATE_ALL(unary, UnaryArgs)
DLCORE_INSTANTIATE_FLOATS(unary_backward, UnaryBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
