// Elementary functions on vectors, written once for every ISA. Accuracy is stated at each and tested
// (tests/test_vmath.py); NaN propagates, infinities go to the right limits.
#pragma once

#include "cpu/gather.h"
#include "cpu/simd.h"
#include "cpu/vmath_tables.h"

namespace dlcore {
namespace DLCORE_ISA {

// Nearest integer (ties to even), |x| < 2^22 (float) or 2^51 (double): the magic-number trick, exact there.
template <class T>
DLCORE_INLINE Vec<T> round_small(Vec<T> x) {
  const Vec<T> magic = splat(sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0));
  Vec<T> y = x + magic;
  return y - magic;
}

// e^r for |r| <= ln2/2: its Taylor polynomial, economised for float.
template <class T>
DLCORE_INLINE Vec<T> exp_reduced(Vec<T> r) {
  Vec<T> p;
  if constexpr (sizeof(T) == 4) {
    p = splat(1.9875691500e-4f);
    p = fma(p, r, splat(1.3981999507e-3f));
    p = fma(p, r, splat(8.3334519073e-3f));
    p = fma(p, r, splat(4.1665795894e-2f));
    p = fma(p, r, splat(1.6666665459e-1f));
    p = fma(p, r, splat(5.0000001201e-1f));
  } else {
    p = splat(1.0 / 6227020800.0);
    p = fma(p, r, splat(1.0 / 479001600.0));
    p = fma(p, r, splat(1.0 / 39916800.0));
    p = fma(p, r, splat(1.0 / 3628800.0));
    p = fma(p, r, splat(1.0 / 362880.0));
    p = fma(p, r, splat(1.0 / 40320.0));
    p = fma(p, r, splat(1.0 / 5040.0));
    p = fma(p, r, splat(1.0 / 720.0));
    p = fma(p, r, splat(1.0 / 120.0));
    p = fma(p, r, splat(1.0 / 24.0));
    p = fma(p, r, splat(1.0 / 6.0));
    p = fma(p, r, splat(0.5));
  }
  return fma(p, r * r, r) + splat(T(1));
}

// The larger (smaller) of x and a bound; NaN stays.
template <class T>
DLCORE_INLINE Vec<T> at_least(Vec<T> x, T lo) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_max_ps(0xffff, (__m512)splat(lo), (__m512)x);
  else
    return (Vec<T>)_mm512_maskz_max_pd(0xff, (__m512d)splat(lo), (__m512d)x);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm256_max_ps((__m256)splat(lo), (__m256)x);
  else
    return (Vec<T>)_mm256_max_pd((__m256d)splat(lo), (__m256d)x);
#else
  return x < splat(lo) ? splat(lo) : x;
#endif
}
template <class T>
DLCORE_INLINE Vec<T> at_most(Vec<T> x, T hi) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_min_ps(0xffff, (__m512)splat(hi), (__m512)x);
  else
    return (Vec<T>)_mm512_maskz_min_pd(0xff, (__m512d)splat(hi), (__m512d)x);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm256_min_ps((__m256)splat(hi), (__m256)x);
  else
    return (Vec<T>)_mm256_min_pd((__m256d)splat(hi), (__m256d)x);
#else
  return x > splat(hi) ? splat(hi) : x;
#endif
}

// |x| and -|x| by the sign bit, and the sign of one on the size of another.
template <class T>
DLCORE_INLINE Vec<T> without_sign(Vec<T> x) {
  using VI = Vec<Int<T>>;
  return bitcast<Vec<T>>(bitcast<VI>(x) & ~bitcast<VI>(splat(T(-0.0))));
}
template <class T>
DLCORE_INLINE Vec<T> negative(Vec<T> x) {
  using VI = Vec<Int<T>>;
  return bitcast<Vec<T>>(bitcast<VI>(x) | bitcast<VI>(splat(T(-0.0))));
}
template <class T>
DLCORE_INLINE Vec<T> copy_sign(Vec<T> size, Vec<T> sign) {
  using VI = Vec<Int<T>>;
  const VI bit = bitcast<VI>(splat(T(-0.0)));
  return bitcast<Vec<T>>((bitcast<VI>(size) & ~bit) | (bitcast<VI>(sign) & bit));
}

// The bounds within which exp_within is e^x to the last bit, and beyond which e^x is 0 or inf.
template <class T>
constexpr T kExpLow = sizeof(T) == 4 ? T(-104.0) : T(-746.0);
template <class T>
constexpr T kExpHigh = sizeof(T) == 4 ? T(89.0) : T(710.0);

// e^x for kExpLow <= x <= kExpHigh or NaN. x = n ln2 + r (Cody & Waite's two-part ln2), e^r by a polynomial,
// then the scaling by 2^n.
template <class T>
DLCORE_INLINE Vec<T> exp_within(Vec<T> x) {
  constexpr bool f = sizeof(T) == 4;
  const Vec<T> log2e = splat(T(1.4426950408889634));
  const Vec<T> high = splat(f ? T(-0.693359375) : T(-6.93145751953125e-1));
  const Vec<T> low = splat(f ? T(2.12194440e-4) : T(-1.42860682030941723212e-6));
#if defined(__AVX512F__)
  // In hardware: a scaling by 2^floor(n), which goes through the subnormals. float: n is in sixteenths, whose
  // powers of two are a table's, so that |r| <= ln2 / 32 and a cubic does.
  if constexpr (f) {
    const Vec<T> magic = splat(T(786432.0)), index = fma(x, log2e, magic), n = index - magic;
    const Vec<T> r = fma(n, low, fma(n, high, x));
    const Vec<T> q = fma(fma(r, splat(T(0.16666667)), splat(T(0.5000162))), r * r, r);  // e^r - 1
    const Vec<T> power = permute<T>(load(kPowers), bitcast<Vec<Int<T>>>(index));
    return (Vec<T>)_mm512_maskz_scalef_ps(0xffff, (__m512)fma(power, q, power), (__m512)n);
  } else {
    const Vec<T> n = round_small<T>(x * log2e);
    const Vec<T> p = exp_reduced<T>(fma(n, low, fma(n, high, x)));
    return (Vec<T>)_mm512_maskz_scalef_pd(0xff, (__m512d)p, (__m512d)n);
  }
#else
  using I = Int<T>;
  using VI = Vec<I>;
  const Vec<T> n = round_small<T>(x * log2e);
  const Vec<T> p = exp_reduced<T>(fma(n, low, fma(n, high, x)));
  // 2^n in two halves: n / 2 and n - n / 2 both have normal exponents, and results in the subnormal range
  // round once.
  const VI ni = __builtin_convertvector(n, VI);
  const VI half = ni >> 1, rest = ni - half;
  constexpr int bias = f ? 127 : 1023, mantissa = f ? 23 : 52;
  const VI s1 = (half + bias) << mantissa, s2 = (rest + bias) << mantissa;
  const Vec<T> y = p * bitcast<Vec<T>>(s1) * bitcast<Vec<T>>(s2);
  return x != x ? x : y;
#endif
}

// e^x. float: <= 1 ulp; double: <= 2 ulp. Overflows to inf above ln(max), goes through the subnormals to 0
// below.
template <class T>
DLCORE_INLINE Vec<T> exp(Vec<T> x) {
  return exp_within<T>(at_least<T>(at_most<T>(x, kExpHigh<T>), kExpLow<T>));
}

// a / b for 1 <= b < 2^60: correctly rounded, or (float) an estimate of 1 / b to 14 bits and a step of
// Newton's: <= 0.6 ulp.
template <class T>
DLCORE_INLINE Vec<T> quotient(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const Vec<T> y = (Vec<T>)_mm512_maskz_rcp14_ps(0xffff, (__m512)b), q = a * y;
    return fma(fma(-b, q, a), y, q);
  }
#endif
  return a / b;
}

// e^-|x|.
template <class T>
DLCORE_INLINE Vec<T> exp_negative(Vec<T> x) {
  return exp_within<T>(at_least<T>(negative<T>(x), kExpLow<T>));
}

// 1 / (1 + e^-x), without overflow at either end. <= 3 ulp.
template <class T>
DLCORE_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> one = splat(T(1)), e = exp_negative<T>(x);
  return quotient<T>(x < Vec<T>{} ? e : one, one + e);
}

// The same and its slope s (1 - s), without cancellation.
template <class T>
struct Sigmoid {
  Vec<T> value, slope;
};
template <class T>
DLCORE_INLINE Sigmoid<T> sigmoid_slope(Vec<T> x) {
  const Vec<T> one = splat(T(1)), e = exp_negative<T>(x), r = quotient<T>(one, one + e), er = e * r;
  return {x < Vec<T>{} ? er : r, er * r};
}

// A polynomial in pieces (see vmath_tables.h) at `a`, in [0, kPieces] once multiplied by `scale`.
template <int K>
DLCORE_INLINE Vec<float> in_pieces(const float (&table)[K][kLanes<float>], Vec<float> a, float scale) {
  const Vec<float> magic = splat(12582912.0f), s = splat(scale);  // its low bits are the piece's number
  const Vec<float> index = fma(a, s, magic), r = fma(a, s, -(index - magic));
  const auto piece = bitcast<Vec<int32_t>>(index);
  Vec<float> p = permute<float>(load(table[0]), piece);
#pragma GCC unroll 16
  for (int k = 1; k < K; ++k) p = fma(p, r, permute<float>(load(table[k]), piece));
  return p;
}
// Whether they are there for T: a table's piece is one instruction away.
template <class T>
#if defined(__AVX512F__) || defined(__AVX2__)
constexpr bool kInPieces = sizeof(T) == 4;
#else
constexpr bool kInPieces = false;
#endif

// tanh: a polynomial near 0 (no cancellation), 1 - 2 / (e^2|x| + 1) beyond (1 at 20). <= 4 ulp.
template <class T>
DLCORE_INLINE Vec<T> tanh(Vec<T> x) {
  const Vec<T> one = splat(T(1));
  const Vec<T> a = without_sign<T>(x);
  const Vec<T> big = one - quotient<T>(splat(T(2)), exp_within<T>(at_most<T>(a + a, T(40))) + one);
  const Vec<T> z = x * x;
  Vec<T> small;
  if constexpr (sizeof(T) == 4) {  // |x| < 0.625, Cephes' coefficients (Moshier)
    Vec<T> p = splat(-5.70498872745e-3f);
    p = fma(p, z, splat(2.06390887954e-2f));
    p = fma(p, z, splat(-5.37397155531e-2f));
    p = fma(p, z, splat(1.33314422036e-1f));
    p = fma(p, z, splat(-3.33332819422e-1f));
    small = fma(p * z, x, x);
  } else {  // the rational form of the same source
    Vec<T> p = splat(-9.64399179425052238628e-1);
    p = fma(p, z, splat(-9.92877231001918586564e1));
    p = fma(p, z, splat(-1.61468768441708447952e3));
    Vec<T> q = z + splat(1.12811678491632931402e2);
    q = fma(q, z, splat(2.23548839060100448583e3));
    q = fma(q, z, splat(4.84406305325125486048e3));
    small = fma(x * z, p / q, x);
  }
  return a < splat(T(0.625)) ? small : copy_sign<T>(big, x);
}

// f on every lane, through memory: for functions without a vector form (libm's, correctly rounded to < 1
// ulp).
template <class T, class F>
DLCORE_INLINE Vec<T> by_lane(Vec<T> x, F f) {
  T a[kLanes<T>];
  __builtin_memcpy(a, &x, kVecBytes);
  for (int i = 0; i < kLanes<T>; ++i) a[i] = f(a[i]);
  __builtin_memcpy(&x, a, kVecBytes);
  return x;
}

// The same for a wider type: f on the doubles of a vector, half by half.
template <class T, class F>
DLCORE_INLINE Vec<T> in_double(Vec<T> x, F f) {
  if constexpr (sizeof(T) == 8) {
    return f(x);
  } else {
    typedef float Half __attribute__((vector_size(kVecBytes / 2)));
    Half h[2];
    __builtin_memcpy(h, &x, kVecBytes);
    for (int i = 0; i < 2; ++i)
      h[i] = __builtin_convertvector(f(__builtin_convertvector(h[i], Vec<double>)), Half);
    __builtin_memcpy(&x, h, kVecBytes);
    return x;
  }
}

template <class T>
DLCORE_INLINE Vec<T> sqrt(Vec<T> x) {
  return by_lane<T>(x, [](T v) {
    if constexpr (sizeof(T) == 4)
      return __builtin_sqrtf(v);
    else
      return __builtin_sqrt(v);
  });
}

// e^x - 1. float: <= 2 ulp; double: <= 3 ulp. With x = n ln2 + r: 2^n (e^r - 1) + (2^n - 1), no cancellation
// at n = 0.
template <class T>
DLCORE_INLINE Vec<T> expm1(Vec<T> x) {
  using VI = Vec<Int<T>>;
  constexpr bool f = sizeof(T) == 4;
  const Vec<T> one = splat(T(1));
  const Vec<T> lo = splat(f ? T(-20.0) : T(-40.0)), hi = splat(f ? T(20.0) : T(40.0));
  Vec<T> y = x < lo ? lo : x;  // -1 to the last bit below
  y = y > hi ? hi : y;         // e^x above
  y = x != x ? Vec<T>{} : y;
  const Vec<T> n = round_small<T>(y * splat(T(1.4426950408889634)));
  Vec<T> r = fma(n, splat(f ? T(-0.693359375) : T(-6.93145751953125e-1)), y);
  r = fma(n, splat(f ? T(2.12194440e-4) : T(-1.42860682030941723212e-6)), r);
  Vec<T> p = splat(f ? T(1.0 / 5040.0) : T(1.0 / 1307674368000.0));
  if constexpr (!f) {
    const double c[] = {1.0 / 87178291200.0, 1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0,
                        1.0 / 3628800.0,     1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0};
    for (double k : c) p = fma(p, r, splat(T(k)));
  }
  const double c[] = {1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5};
  for (double k : c) p = fma(p, r, splat(T(k)));
  p = fma(p, r * r, r);
  constexpr int bias = f ? 127 : 1023, mantissa = f ? 23 : 52;
  const VI bits = (__builtin_convertvector(n, VI) + bias) << mantissa;
  const Vec<T> scale = bitcast<Vec<T>>(bits);
  Vec<T> z = fma(scale, p, scale - one);
  z = x > hi ? exp<T>(x) : z;
  z = x == Vec<T>{} ? x : z;  // -0
  return x != x ? x : z;
}

// a + b modulo 2^32 (2^64): the bits of a NaN may overflow, and their result is not used.
DLCORE_INLINE Vec<int32_t> add_wrapping(Vec<int32_t> a, int32_t b) {
  typedef uint32_t U __attribute__((vector_size(kVecBytes)));
  return (Vec<int32_t>)((U)a + static_cast<uint32_t>(b));
}
DLCORE_INLINE Vec<int64_t> add_wrapping(Vec<int64_t> a, int64_t b) {
  typedef uint64_t U __attribute__((vector_size(kVecBytes)));
  return (Vec<int64_t>)((U)a + static_cast<uint64_t>(b));
}

// log(m) and k with x = m 2^k, m in [sqrt(1/2), sqrt(2)), for positive finite x; f = m - 1 is exact, s = f /
// (2 + f), and log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)) (fdlibm's e_log.c explains the form; Sun
// Microsystems, 1993).
template <class T>
DLCORE_INLINE Vec<T> log_mantissa(Vec<T> x, Vec<T>* k, Vec<T>* tail) {
  using I = Int<T>;
  using VI = Vec<I>;
  constexpr bool f32 = sizeof(T) == 4;
  constexpr I one_bits = f32 ? I(0x3f800000) : I(0x3ff0000000000000);
  constexpr I root_bits = f32 ? I(0x3f3504f3) : I(0x3fe6a09e667f3bcd);
  constexpr int mantissa = f32 ? 23 : 52, bias = f32 ? 127 : 1023;
  constexpr I mask = (I(1) << mantissa) - 1;
  const Vec<T> tiny = splat(f32 ? T(1.17549435e-38f) : T(2.2250738585072014e-308));
  const auto subnormal = x < tiny;
  x = subnormal ? x * splat(f32 ? T(8388608.0) : T(4503599627370496.0)) : x;
  VI bits = add_wrapping(bitcast<VI>(x), one_bits - root_bits);
  *k = __builtin_convertvector((bits >> mantissa) - bias, Vec<T>) -
       (subnormal ? splat(T(mantissa)) : Vec<T>{});
  bits = (bits & mask) + root_bits;
  const Vec<T> f = bitcast<Vec<T>>(bits) - splat(T(1));
  const Vec<T> s = f / (splat(T(2)) + f), z = s * s;
  Vec<T> r;
  if constexpr (f32) {
    r = fma(z, splat(T(0.24279078841)), splat(T(0.28498786688)));
    r = fma(z, r, splat(T(0.40000972152)));
    r = fma(z, r, splat(T(0.66666662693)));
  } else {
    const double c[] = {1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
                        2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01};
    r = splat(T(1.479819860511658591e-01));
    for (double v : c) r = fma(z, r, splat(T(v)));
  }
  const Vec<T> half = splat(T(0.5)) * f * f;
  *tail = s * (half + z * r);  // log(m) = f - (half - tail)
  *tail = half - *tail;
  return f;
}

// The limits of every logarithm: -inf at 0, NaN below, inf at inf.
template <class T>
DLCORE_INLINE Vec<T> log_limits(Vec<T> x, Vec<T> y) {
  const Vec<T> inf = splat(T(__builtin_inf())), nan = splat(T(__builtin_nan("")));
  y = x == inf ? inf : y;
  y = x == Vec<T>{} ? -inf : y;
  y = x < Vec<T>{} ? nan : y;
  return x != x ? x : y;
}

// log x. <= 1 ulp.
template <class T>
DLCORE_INLINE Vec<T> log(Vec<T> x) {
  constexpr bool f32 = sizeof(T) == 4;
  Vec<T> k, tail;
  const Vec<T> f = log_mantissa<T>(x, &k, &tail);
  const Vec<T> hi = splat(f32 ? T(6.9313812256e-01) : T(6.93147180369123816490e-01));
  const Vec<T> lo = splat(f32 ? T(9.0580006145e-06) : T(1.90821492927058770002e-10));
  return log_limits<T>(x, fma(k, hi, f - (tail - k * lo)));
}

// log2 x and log10 x: k log_b 2 + log_b m. <= 3 ulp; powers of two are exact in log2.
template <class T>
DLCORE_INLINE Vec<T> log_base(Vec<T> x, T two, T e) {
  Vec<T> k, tail;
  const Vec<T> f = log_mantissa<T>(x, &k, &tail);
  return log_limits<T>(x, fma(k, splat(two), (f - tail) * splat(e)));
}

// log(1 + x): log(u) + (x - (u - 1)) / u with u = fl(1 + x), which gives back what the rounding of u lost. <=
// 3 ulp.
template <class T>
DLCORE_INLINE Vec<T> log1p(Vec<T> x) {
  const Vec<T> one = splat(T(1));
  const Vec<T> u = one + x, lost = x - (u - one);
  const Vec<T> y = log<T>(u);
  const Vec<T> z = y + lost / u;
  const Vec<T> inf = splat(T(__builtin_inf()));
  return (u <= Vec<T>{}) | (u == inf) ? y : x == Vec<T>{} ? x : z;
}

// log(1 + e^-|x|), what softplus adds to max(x, 0): <= 3 ulp.
template <class T>
DLCORE_INLINE Vec<T> log1p_exp(Vec<T> x) {
  const Vec<T> e = exp_negative<T>(x);
  if constexpr (kInPieces<T>)
    return e * in_pieces(kLog1p, e, kPieces);
  else
    return log1p<T>(e);
}

// erf x. float: <= 3 ulp, minimax-weighted fits of erf(x)/x - 1 in x^2 (|x| < 475/512) and of -log(erfc(t))/t
// - 1 in t; double: libm's.
template <class T>
DLCORE_INLINE Vec<T> erf(Vec<T> x) {
  if constexpr (sizeof(T) == 8) {
    return by_lane<T>(x, [](double v) { return __builtin_erf(v); });
  } else {
    const Vec<float> one = splat(1.0f), a = x < Vec<float>{} ? -x : x, s = x * x;
    const float small[] = {-8.132220093e-04f, 5.200091728e-03f,  -2.685901107e-02f,
                           1.128368832e-01f,  -3.761263325e-01f, 1.283791666e-01f};
    const float large[] = {-3.318560085e-04f, 3.678174910e-03f, -2.383534115e-02f,
                           1.063194012e-01f,  6.351029019e-01f, 1.286600631e-01f};
    Vec<float> p = splat(8.326455410e-05f), q = splat(1.216273646e-05f);
    const Vec<float> four = splat(4.0f), t = a > four ? four : a;  // erf(4) rounds to 1
    for (float c : small) p = fma(p, s, splat(c));
    for (float c : large) q = fma(q, t, splat(c));
    p = fma(p, x, x);
    q = one - exp<float>(-fma(q, t, t));
    q = x < Vec<float>{} ? -q : q;
    q = a < splat(475.0f / 512.0f) ? p : q;
    return x != x ? x : q;
  }
}

// Phi(x), the normal distribution: to an absolute 1e-7 (float; on the left to a relative 3e-4 as well, down
// to where the table ends) or 2 ulp of 1 (double). NaN may be lost: what multiplies it by x brings it back.
template <class T>
DLCORE_INLINE Vec<T> normal(Vec<T> x) {
  const Vec<T> one = splat(T(1));
  if constexpr (kInPieces<T>) {
    const Vec<T> a = without_sign<T>(x);
    const Vec<T> tail = a < splat(kNormalEnd) ? in_pieces(kNormalTail, a, kPieces / kNormalEnd) : Vec<T>{};
    return x < Vec<T>{} ? tail : one - tail;
  } else {
    return splat(T(0.5)) * (one + erf<T>(x * splat(T(0.70710678118654752440))));
  }
}

// Phi(x) + x phi(x), the slope of x Phi(x), to an absolute 2e-7 (float). NaN of NaN and the infinities.
template <class T>
DLCORE_INLINE Vec<T> gelu_slope(Vec<T> x) {
  if constexpr (kInPieces<T>) {
    const Vec<T> a = without_sign<T>(x), zero = Vec<T>{} * x;
    const Vec<T> tail = a < splat(kGeluEnd) ? in_pieces(kGeluTail, a, kPieces / kGeluEnd) : zero;
    return x < Vec<T>{} ? tail : splat(T(1)) - tail;
  } else {
    const Vec<T> density = splat(T(0.39894228040143267794)) * exp<T>(splat(T(-0.5)) * x * x);
    return fma(x, density, normal<T>(x));
  }
}

// sin and cos in double, |x| < 2^20 pi / 2: r = x - n pi/2 with pi/2 in three parts of 33 bits (n times a
// part is exact), then fdlibm's kernels on |r| <= pi/4. `quarter` turns sin (0) into cos (1).
DLCORE_INLINE Vec<double> sin_reduced(Vec<double> x, int quarter) {
  using VI = Vec<int64_t>;
  const Vec<double> n = round_small<double>(x * splat(6.36619772367581382433e-01));
  Vec<double> r = x - n * splat(1.57079632673412561417e+00);
  Vec<double> lost = n * splat(6.07710050630396597660e-11);
  const Vec<double> t = r;
  r = t - lost;
  lost = n * splat(2.02226624879595063154e-21) - ((t - r) - lost);
  const Vec<double> y0 = r - lost, y1 = (r - y0) - lost;
  const Vec<double> z = y0 * y0, half = splat(0.5);
  const double sc[] = {-2.50507602534068634195e-08, 2.75573137070700676789e-06, -1.98412698298579493134e-04,
                       8.33333333332248946124e-03};
  const double cc[] = {2.08757232129817482790e-09, -2.75573143513906633035e-07, 2.48015872894767294178e-05,
                       -1.38888888888741095749e-03, 4.16666666666666019037e-02};
  Vec<double> s = splat(1.58969099521155010221e-10), c = splat(-1.13596475577881948265e-11);
  for (double k : sc) s = fma(s, z, splat(k));
  for (double k : cc) c = fma(c, z, splat(k));
  const Vec<double> v = z * y0;
  s = y0 - ((z * (half * y1 - v * s) - y1) - v * splat(-1.66666666666666324348e-01));
  const Vec<double> hz = half * z, w = splat(1.0) - hz;
  c = w + (((splat(1.0) - w) - hz) + (z * z * c - y0 * y1));
  const VI q = __builtin_convertvector(n, VI) + quarter;
  const Vec<double> y = (q & 1) != 0 ? c : s;
  return (q & 2) != 0 ? -y : y;
}

// sin x and cos x. float: <= 1 ulp (computed in double); double: <= 2 ulp. Beyond 1.6e6 libm's, which reduce
// any size.
template <class T, int QUARTER>
DLCORE_INLINE Vec<T> sin_or_cos(Vec<T> x) {
  return in_double<T>(x, [](Vec<double> v) {
    const Vec<double> limit = splat(1.6e6), a = v < Vec<double>{} ? -v : v;
    const auto big = !(a < limit);
    Vec<double> y = sin_reduced(big ? Vec<double>{} : v, QUARTER);
    int64_t any = 0;
    for (int i = 0; i < kLanes<double>; ++i) any |= big[i];
    if (any)
      for (int i = 0; i < kLanes<double>; ++i)
        if (big[i]) y[i] = QUARTER ? __builtin_cos(v[i]) : __builtin_sin(v[i]);
    return QUARTER ? y : v == Vec<double>{} ? v : y;
  });
}
template <class T>
DLCORE_INLINE Vec<T> sin(Vec<T> x) {
  return sin_or_cos<T, 0>(x);
}
template <class T>
DLCORE_INLINE Vec<T> cos(Vec<T> x) {
  return sin_or_cos<T, 1>(x);
}

// An activation chosen at run time, for epilogues: one predictable branch a vector.
template <class T>
DLCORE_INLINE Vec<T> activate(Act act, Vec<T> x) {
  switch (act) {
    case Act::relu:
      return relu(x);
    case Act::sigmoid:
      return sigmoid<T>(x);
    case Act::tanh:
      return tanh<T>(x);
    case Act::none:
      break;
  }
  return x;
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
