// Elementary functions on vectors, written once for every ISA. Accuracy is stated at each and tested
// (tests/test_vmath.py); NaN propagates, infinities go to the right limits.
#pragma once

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {

// Nearest integer (ties to even), |x| < 2^22 (float) or 2^51 (double): the magic-number trick, exact there.
template <class T>
DLCORE_INLINE Vec<T> round_small(Vec<T> x) {
  const Vec<T> magic = splat(sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0));
  Vec<T> y = x + magic;
  return y - magic;
}

// e^x. float: <= 1 ulp; double: <= 2 ulp. Overflows to inf above ln(max), goes through the subnormals to 0 below.
// x = n ln2 + r with |r| <= ln2/2 (Cody & Waite two-part ln2), e^r by its Taylor polynomial, then two scalings by
// powers of two so that results in the subnormal range round once.
template <class T>
DLCORE_INLINE Vec<T> exp(Vec<T> x) {
  using I = Int<T>;
  using VI = Vec<I>;
  constexpr bool f = sizeof(T) == 4;
  const Vec<T> hi = splat(f ? T(89.0) : T(710.0)), lo = splat(f ? T(-104.0) : T(-746.0));
  Vec<T> y = x > hi ? hi : x;  // NaN stays
  y = y < lo ? lo : y;
  const Vec<T> n = round_small<T>(y * splat(T(1.4426950408889634)));
  Vec<T> r = fma(n, splat(f ? T(-0.693359375) : T(-6.93145751953125e-1)), y);
  r = fma(n, splat(f ? T(2.12194440e-4) : T(-1.42860682030941723212e-6)), r);
  Vec<T> p;
  if constexpr (f) {
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
  p = fma(p, r * r, r) + splat(T(1));
  // 2^n in two halves: n / 2 and n - n / 2 both have normal exponents.
  const VI ni = __builtin_convertvector(n, VI);
  const VI half = ni >> 1, rest = ni - half;
  constexpr int bias = f ? 127 : 1023, mantissa = f ? 23 : 52;
  const VI s1 = (half + bias) << mantissa, s2 = (rest + bias) << mantissa;
  p = p * bitcast<Vec<T>>(s1) * bitcast<Vec<T>>(s2);
  return x != x ? x : p;
}

// 1 / (1 + e^-x), without overflow at either end. <= 3 ulp.
template <class T>
DLCORE_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> e = exp<T>(x < Vec<T>{} ? x : -x);  // e^-|x|
  const Vec<T> one = splat(T(1));
  return (x < Vec<T>{} ? e : one) / (one + e);
}

// tanh: a polynomial near 0 (no cancellation), 1 - 2 / (e^2|x| + 1) beyond. <= 4 ulp.
template <class T>
DLCORE_INLINE Vec<T> tanh(Vec<T> x) {
  const Vec<T> one = splat(T(1));
  const Vec<T> a = x < Vec<T>{} ? -x : x;
  const Vec<T> big = one - splat(T(2)) / (exp<T>(a + a) + one);
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
  const Vec<T> large = x < Vec<T>{} ? -big : big;
  const Vec<T> y = a < splat(T(0.625)) ? small : large;
  return x != x ? x : y;
}

// An activation chosen at run time, for epilogues: one predictable branch a vector.
template <class T>
DLCORE_INLINE Vec<T> activate(Act act, Vec<T> x) {
  switch (act) {
    case Act::relu: return relu(x);
    case Act::sigmoid: return sigmoid<T>(x);
    case Act::tanh: return tanh<T>(x);
    case Act::none: break;
  }
  return x;
}

}  // namespace DLCORE_ISA
}  // namespace dlcore
