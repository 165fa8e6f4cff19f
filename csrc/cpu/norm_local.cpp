// Local response normalisation across channels, y = x s^-beta with s = k + alpha sum(x^2 of the neighbours).
// A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet classification with deep convolutional neural networks
// (2012).
//
// Channels-first: tiles of neighbouring columns; squares (and for the backward the terms that s's gradient
// sums) of all channels of a tile lie in scratch, and each window is summed anew: no running difference to
// lose digits. Channels-last: a row of channels between zeros, its windows by unaligned loads. The backward
// computes s again instead of keeping it.
#include "cpu/norm.h"
#include "cpu/vmath.h"
#include "kernels/norm.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int kColumns = 4;  // vectors of a tile

// s^-beta. 0.75, 0.5 and 1 by roots and quotients, 3 ulp at most; others through e^(-beta log s) in double,
// and where s is not positive by libm, which knows the integer exponents.
template <class T>
DLCORE_INLINE Vec<T> inverse_power(Vec<T> s, double beta) {
  const Vec<T> one = splat(T(1));
  if (beta == 0.75) {
    const Vec<T> r = sqrt<T>(s);
    return one / (r * sqrt<T>(r));
  }
  if (beta == 0.5) return one / sqrt<T>(s);
  if (beta == 1) return one / s;
  return in_double<T>(s, [beta](Vec<double> v) {
    Vec<double> y = exp<double>(splat(-beta) * log<double>(v));
    for (int i = 0; i < kLanes<double>; ++i)
      if (!(v[i] > 0)) y[i] = __builtin_pow(v[i], -beta);
    return y;
  });
}

template <class T>
struct Local {
  const LocalNormArgs& p;
  const T* x;
  const T* dy;
  T* y;
  Vec<T> alpha, k, slope;  // slope: of dx against the sum of the window's terms
  explicit Local(const LocalNormArgs& p)
      : p(p),
        x(static_cast<const T*>(p.x)),
        dy(static_cast<const T*>(p.dy)),
        y(static_cast<T*>(p.y)),
        alpha(splat(static_cast<T>(p.alpha))),
        k(splat(static_cast<T>(p.k))),
        slope(splat(static_cast<T>(-2 * p.alpha * p.beta))) {}

  // Sum over channels [c - before, c + after] that exist of v[. stride].
  DLCORE_INLINE Vec<T> window(const T* v, int64_t c, int64_t before, int64_t after, int64_t stride) const {
    const int64_t end = min64(p.C, c + after + 1);
    Vec<T> s = {};
    for (int64_t j = max64(0, c - before); j < end; ++j) s += load(v + j * stride);
    return s;
  }

  // A vector of columns: x and the result S apart from channel to channel; sq and terms W apart.
  template <bool Backward>
  DLCORE_INLINE void column(int64_t at, int lanes, T* sq, T* powers, T* terms, int64_t W) const {
    for (int64_t c = 0; c < p.C; ++c) {
      const Vec<T> v = load_upto(x + at + c * p.S, lanes);
      store(sq + c * W, v * v);
    }
    for (int64_t c = 0; c < p.C; ++c) {
      const Vec<T> s = fma(alpha, window(sq, c, p.before, p.after, W), k);
      const Vec<T> r = inverse_power<T>(s, p.beta), v = load_upto(x + at + c * p.S, lanes);
      if constexpr (Backward) {
        const Vec<T> g = load_upto(dy + at + c * p.S, lanes) * r;
        store(powers + c * W, g);
        store(terms + c * W, g * v / s);
      } else {
        store_upto(y + at + c * p.S, v * r, lanes);
      }
    }
    if constexpr (Backward)
      for (int64_t c = 0; c < p.C; ++c) {
        const Vec<T> sum = window(terms, c, p.after, p.before, W);
        const Vec<T> v = load_upto(x + at + c * p.S, lanes);
        store_upto(y + at + c * p.S, fma(slope * v, sum, load(powers + c * W)), lanes);
      }
  }

  template <bool Backward>
  void planes() const {
    constexpr int L = kLanes<T>, W = kColumns * L;
    const int64_t tiles = ceil_div(p.S, W), area = p.C * W;
    parallel_for(p.N * tiles, max64(1, kGrain / 4 / (p.C * min64(W, p.S))), [&](int64_t b, int64_t e) {
      T* sq = scratch<T>(2, (Backward ? 3 : 1) * area);
      for (int64_t t = b; t < e; ++t) {
        const int64_t j0 = t % tiles * W, at = t / tiles * p.C * p.S + j0;
        each_vector<T>(0, min64(W, p.S - j0), [&](int64_t j, int lanes) {
          column<Backward>(at + j, lanes, sq + j, sq + area + j, sq + 2 * area + j, W);
        });
      }
    });
  }

  // A row's buffer has zeros for the channels that do not exist, and a vector more.
  template <bool Backward>
  void rows() const {
    constexpr int L = kLanes<T>;
    const int64_t pad = max64(p.before, p.after), width = p.C + 2 * pad + L;
    parallel_for(p.N * p.S, max64(1, kGrain / 4 / p.C), [&](int64_t b, int64_t e) {
      T* sq = scratch<T>(2, 2 * width) + pad;
      T* terms = sq + width;
      for (int64_t i = -pad; i < 2 * width - pad; ++i) sq[i] = T(0);
      for (int64_t r = b; r < e; ++r) {
        const int64_t at = r * p.C;
        each_vector<T>(0, p.C, [&](int64_t c, int lanes) __attribute__((always_inline)) {
          const Vec<T> v = load_upto(x + at + c, lanes);
          store_upto(sq + c, v * v, lanes);
        });
        each_vector<T>(0, p.C, [&](int64_t c, int lanes) __attribute__((always_inline)) {
          Vec<T> s = {};
          for (int64_t j = c - p.before; j <= c + p.after; ++j) s += load(sq + j);
          s = fma(alpha, s, k);
          const Vec<T> q = inverse_power<T>(s, p.beta), v = load_upto(x + at + c, lanes);
          if constexpr (Backward) {
            const Vec<T> g = load_upto(dy + at + c, lanes) * q;
            store_upto(y + at + c, g, lanes);
            store_upto(terms + c, g * v / s, lanes);
          } else {
            store_upto(y + at + c, v * q, lanes);
          }
        });
        if constexpr (Backward)
          each_vector<T>(0, p.C, [&](int64_t c, int lanes) __attribute__((always_inline)) {
            Vec<T> s = {};
            for (int64_t j = c - p.after; j <= c + p.before; ++j) s += load(terms + j);
            const Vec<T> v = load_upto(x + at + c, lanes);
            store_upto(y + at + c, fma(slope * v, s, load_upto(y + at + c, lanes)), lanes);
          });
      }
    });
  }
};

}  // namespace

template <class T>
void local_norm_forward(const LocalNormArgs& p) {
  const Local<T> l(p);
  p.channels_last ? l.template rows<false>() : l.template planes<false>();
}

// dx = dy s^-beta - 2 alpha beta x sum(dy x s^(-beta - 1)) over the channels whose windows hold x.
template <class T>
void local_norm_backward(const LocalNormArgs& p) {
  const Local<T> l(p);
  p.channels_last ? l.template rows<true>() : l.template planes<true>();
}

DLCORE_INSTANTIATE_FLOATS(local_norm_forward, LocalNormArgs)
DLCORE_INSTANTIATE_FLOATS(local_norm_backward, LocalNormArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
