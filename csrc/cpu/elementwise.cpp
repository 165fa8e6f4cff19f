// Elementwise kernels: y[i] = f(inputs[i]) over collapsed, broadcast axes (see kernels.h for what the op guarantees).
// The op code is a template argument of a row function, so that inner loops have no branch on it; a row's remainder goes
// through the same vector code with load_n / store_n. Integer types are plain loops, which the compiler vectorises.
#include "cpu/simd.h"
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

// ---- binary ---------------------------------------------------------------------------------------------------------

template <Binary OP, class V>
DLCORE_INLINE V apply(V a, V b) {
  if constexpr (OP == Binary::add) return a + b;
  else if constexpr (OP == Binary::sub) return a - b;
  else if constexpr (OP == Binary::mul) return a * b;
  else if constexpr (OP == Binary::div) return a / b;
  else if constexpr (OP == Binary::maximum) return a != a ? a : max_nan(a, b);
  else return a != a ? a : min_nan(a, b);
}

template <class T, Binary OP>
void binary_run(const T* a, const T* b, T* y, int64_t n, int64_t as, int64_t bs) {
  constexpr int L = kLanes<T>;
  const Source<T> x(a, as), z(b, bs);
  int64_t i = 0;
  for (; i + L <= n; i += L) store(y + i, apply<OP>(x.full(i), z.full(i)));
  if (i < n) {
    const int m = static_cast<int>(n - i);
    store_n(y + i, apply<OP>(x.part(i, m), z.part(i, m)), m);
  }
}

// Overflow wraps, as in torch: the arithmetic is unsigned.
template <class T>
struct Unsigned { using type = T; };
template <>
struct Unsigned<int32_t> { using type = uint32_t; };
template <>
struct Unsigned<int64_t> { using type = uint64_t; };

template <Binary OP, class T>
DLCORE_INLINE T apply_integer(T a, T b) {
  using U = typename Unsigned<T>::type;
  if constexpr (OP == Binary::add) return static_cast<T>(U(a) + U(b));
  else if constexpr (OP == Binary::sub) return static_cast<T>(U(a) - U(b));
  else if constexpr (OP == Binary::mul) return static_cast<T>(U(a) * U(b));
  else if constexpr (OP == Binary::maximum) return a > b ? a : b;
  else if constexpr (OP == Binary::minimum) return a < b ? a : b;
  else if constexpr (OP == Binary::logical_and) return (a != 0) & (b != 0);
  else if constexpr (OP == Binary::logical_or) return (a != 0) | (b != 0);
  else return (a != 0) ^ (b != 0);
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
    if (overflow) return static_cast<T>(typename Unsigned<T>::type(0) - static_cast<typename Unsigned<T>::type>(a));
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
  if constexpr (kIsFloat<T>) return binary_run<T, OP>;
  else return integer_run<T, OP>;
}

template <class T>
BinaryRun<T> find_run(Binary op) {
  switch (op) {
    case Binary::add: return run_of<T, Binary::add>();
    case Binary::sub: return run_of<T, Binary::sub>();
    case Binary::mul: return run_of<T, Binary::mul>();
    case Binary::maximum: return run_of<T, Binary::maximum>();
    case Binary::minimum: return run_of<T, Binary::minimum>();
    default: break;
  }
  if constexpr (kIsFloat<T>) {
    if (op == Binary::div) return run_of<T, Binary::div>();
  } else {
    if (op == Binary::logical_and) return run_of<T, Binary::logical_and>();
    if (op == Binary::logical_or) return run_of<T, Binary::logical_or>();
    if (op == Binary::logical_xor) return run_of<T, Binary::logical_xor>();
  }
  return nullptr;
}

// ---- unary, backward ------------------------------------------------------------------------------------------------

template <Unary OP, class T>
DLCORE_INLINE Vec<T> gradient(Vec<T> g, Vec<T> s, Vec<T>, Vec<T>) {
  const Vec<T> zero = {}, one = splat(T(1));
  if constexpr (OP == Unary::relu) return s <= zero ? zero : g;
  else if constexpr (OP == Unary::sigmoid) return g * s * (one - s);
  else return g * (one - s * s);
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
    if (full) store(dx + i, r);
    else store_n(dx + i, r, m);
  }
}

template <class T>
using BackwardRun = void (*)(const T*, const T*, T*, int64_t, int64_t, int64_t, T, T);

template <class T>
BackwardRun<T> find_backward(Unary op) {
  switch (op) {
    case Unary::relu: return backward_run<T, Unary::relu>;
    case Unary::sigmoid: return backward_run<T, Unary::sigmoid>;
    case Unary::tanh: return backward_run<T, Unary::tanh>;
    default: return nullptr;
  }
}

}  // namespace

template <class T>
void fill(const FillArgs& p) {
  T value;
  if constexpr (kIsFloat<T>) value = static_cast<T>(p.d);
  else value = static_cast<T>(p.i);
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
  for_runs<3>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
    if (run) run(a + o[0], b + o[1], y + o[2], n, as, bs);
    else scalar_run<T>(p.op, a + o[0], b + o[1], y + o[2], n, as, bs);
  });
}

template <class T>
void unary_backward(const UnaryBackwardArgs& p) {
  const T* g = static_cast<const T*>(p.dy);
  const T* s = static_cast<const T*>(p.saved);
  T* dx = static_cast<T*>(p.dx);
  const int64_t* const strides[] = {p.gs, p.ss, p.ys};
  const int64_t gs = p.gs[p.ndim - 1], ss = p.ss[p.ndim - 1];
  const BackwardRun<T> run = find_backward<T>(p.op);
  for_runs<3>(p.ndim, p.shape, strides, [&](const int64_t* o, int64_t n) {
    run(g + o[0], s + o[1], dx + o[2], n, gs, ss, static_cast<T>(p.p), static_cast<T>(p.q));
  });
}

DLCORE_INSTANTIATE_ALL(fill, FillArgs)
DLCORE_INSTANTIATE_ALL(binary, BinaryArgs)
DLCORE_INSTANTIATE_FLOATS(unary_backward, UnaryBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
