// One optimizer step over all parameters in one call, in place: each element of a parameter, its gradient and
// its state is read and written once, so memory bandwidth is the limit. Parameters are cut into chunks of
// kOptimChunk elements (the op has counted them), the chunks go to the threads. Elementwise: no result
// depends on the cut. Then what clipping needs: the norm of all gradients together, and scaling of many
// arrays.
#include "cpu/optim.h"

#include "cpu/vmath.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// Where the next elements of a parameter and its state are: s(k) and set(k, v) reach the k-th state.
template <class T>
struct Lane {
  T* w;
  T* state[3];
  double keep, scale;
  int64_t i;
  int lanes;
  DLCORE_INLINE Vec<T> s(int k) const { return load_upto(state[k] + i, lanes); }
  DLCORE_INLINE Vec<T> set(int k, Vec<T> v) const {
    store_upto(state[k] + i, v, lanes);
    return v;
  }
};

// w <- next(lane, g, w) over n elements, with g the gradient after its factor and the weight decay.
template <class T, class Next>
inline void replace(const OptimArgs& p, const Lane<T>& at, const T* grad, int64_t n, const Next& next) {
  const Vec<T> scale = splat(static_cast<T>(p.maximize ? -at.scale : at.scale)),
               decay = splat(static_cast<T>(p.weight_decay)), keep = splat(static_cast<T>(at.keep));
  const bool l2 = p.weight_decay != 0;
  Lane<T> lane = at;
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    lane.i = i, lane.lanes = lanes;
    const Vec<T> w = load_upto(lane.w + i, lanes);
    Vec<T> g = load_upto(grad + i, lanes) * scale;
    if (l2) g = fma(decay, w, g);
    store_upto(lane.w + i, next(lane, g, w * keep), lanes);
  });
}
// w <- w - step(lane, g).
template <class T, class Step>
inline void update(const OptimArgs& p, const Lane<T>& at, const T* grad, int64_t n, const Step& step) {
  replace<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g, Vec<T> w) __attribute__((always_inline)) {
    return w - step(l, g);
  });
}

template <class T>
DLCORE_INLINE Vec<T> sign(Vec<T> x) {  // 0 and NaN stay
  return x > Vec<T>{} ? splat(T(1)) : x < Vec<T>{} ? splat(T(-1)) : x;
}

// The rules; c holds the parameter's own coefficients (they follow from its step), h the shared ones.
template <class T>
inline void step_chunk(const OptimArgs& p, const Lane<T>& at, const T* grad, int64_t n, const double* c) {
  auto k = [](double v) { return splat(static_cast<T>(v)); };
  const double* h = p.h;
  switch (p.kind) {
    case Optim::sgd: {  // c: first step; h: momentum, 1 - dampening; state: velocity
      const Vec<T> lr = k(p.lr), momentum = k(h[0]), fresh = k(h[1]);
      const bool first = c[0] != 0, moving = h[0] != 0, nesterov = p.flag;
      if (moving && p.rated)  // Keras': the sum of the steps, added
        return replace<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g, Vec<T> w) {
          const Vec<T> v = l.set(0, momentum * l.s(0) - lr * g);
          return w + (nesterov ? momentum * v - lr * g : v);
        });
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        if (!moving) return lr * g;
        const Vec<T> v = l.set(0, first ? g : fma(momentum, l.s(0), fresh * g));
        return lr * (nesterov ? fma(momentum, v, g) : v);
      });
    }
    case Optim::adam: {  // c: lr / bias1, 1 / sqrt(bias2), epsilon; h: 1 - beta1, beta2, 1 - beta2; state: m,
                         // v, max v
      const Vec<T> lr = k(c[0]), scale = k(c[1]), eps = k(c[2]), b1 = k(h[0]), b2 = k(h[1]), b2c = k(h[2]);
      const bool amsgrad = p.flag;
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> m = l.set(0, lerp<T>(l.s(0), g, b1));
        Vec<T> v = l.set(1, fma(b2c * g, g, b2 * l.s(1)));
        if (amsgrad) v = l.set(2, max_nan(l.s(2), v));
        return lr * m / fma(sqrt<T>(v), scale, eps);
      });
    }
    case Optim::nadam: {  // c: of the gradient, of the momentum, 1 / bias2; h: 1 - beta1, beta2, 1 - beta2,
                          // epsilon
      const Vec<T> cg = k(c[0]), cm = k(c[1]), scale = k(c[2]), b1 = k(h[0]), b2 = k(h[1]), b2c = k(h[2]),
                   eps = k(h[3]);
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> m = l.set(0, lerp<T>(l.s(0), g, b1));
        const Vec<T> v = l.set(1, fma(b2c * g, g, b2 * l.s(1)));
        return fma(cg, g, cm * m) / (sqrt<T>(v * scale) + eps);
      });
    }
    case Optim::radam: {  // c: lr / bias1 (times the rectification), rectified; h: as nadam
      const Vec<T> lr = k(c[0]), b1 = k(h[0]), b2 = k(h[1]), b2c = k(h[2]), eps = k(h[3]);
      const bool rectified = c[1] != 0;
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> m = l.set(0, lerp<T>(l.s(0), g, b1));
        const Vec<T> v = l.set(1, fma(b2c * g, g, b2 * l.s(1)));
        return rectified ? lr * m / (sqrt<T>(v) + eps) : lr * m;
      });
    }
    case Optim::adamax: {  // c: lr / bias1; h: 1 - beta1, beta2, epsilon of the quotient, of the norm; state:
                           // m, the infinity norm
      const Vec<T> lr = k(c[0]), b1 = k(h[0]), b2 = k(h[1]), below = k(h[2]), eps = k(h[3]);
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> m = l.set(0, lerp<T>(l.s(0), g, b1));
        const Vec<T> u = l.set(1, max_nan(b2 * l.s(1), (g < Vec<T>{} ? -g : g) + eps));
        return lr * m / (u + below);
      });
    }
    case Optim::rmsprop: {  // h: alpha, 1 - alpha, momentum, epsilon; state: mean square, mean (centered),
                            // velocity
      const Vec<T> lr = k(p.lr), alpha = k(h[0]), rest = k(h[1]), momentum = k(h[2]), eps = k(h[3]);
      const Vec<T> inside = k(p.inside);
      const bool centered = p.flag, moving = h[2] != 0;
      const Vec<T> in = p.rated ? lr : splat(T(1)), out = p.rated ? splat(T(1)) : lr;
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        Vec<T> v = l.set(0, fma(rest * g, g, alpha * l.s(0)));
        if (centered) {
          const Vec<T> mean = l.set(1, lerp<T>(l.s(1), g, rest));
          v = v - mean * mean;
        }
        const Vec<T> d = g / (sqrt<T>(v + inside) + eps);
        return moving ? out * l.set(2, fma(momentum, l.s(2), in * d)) : lr * d;
      });
    }
    case Optim::adagrad: {  // c: lr / (1 + (step - 1) decay); h: -, -, -, epsilon; state: sum of squares
      const Vec<T> lr = k(c[0]), eps = k(h[3]), inside = k(p.inside);
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        return lr * g / (sqrt<T>(l.set(0, fma(g, g, l.s(0))) + inside) + eps);
      });
    }
    case Optim::adadelta: {  // h: rho, 1 - rho, -, epsilon; state: mean square of gradients, of updates
      const Vec<T> lr = k(p.lr), rho = k(h[0]), rest = k(h[1]), eps = k(h[3]);
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> v = l.set(0, fma(rest * g, g, rho * l.s(0))), u = l.s(1);
        const Vec<T> d = sqrt<T>(u + eps) / sqrt<T>(v + eps) * g;
        l.set(1, fma(rest * d, d, rho * u));
        return lr * d;
      });
    }
    case Optim::lion: {  // h: 1 - beta1, 1 - beta2; state: m
      const Vec<T> lr = k(p.lr), b1 = k(h[0]), b2 = k(h[1]);
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> m = l.s(0), u = sign<T>(lerp<T>(m, g, b1));
        l.set(0, lerp<T>(m, g, b2));
        return lr * u;
      });
    }
    case Optim::asgd: {  // c: eta, lambda eta, mu; state: the average of the parameters
      const Vec<T> eta = k(c[0]), decay = k(c[1]), mu = k(c[2]);
      const bool copy = c[2] == 1;
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> w = load_upto(l.w + l.i, l.lanes), d = fma(eta, g, decay * w);
        l.set(0, copy ? w - d : lerp<T>(l.s(0), w - d, mu));
        return d;
      });
    }
    case Optim::rprop: {  // h: eta-, eta+, least and largest step; state: the gradient before, the steps
      const Vec<T> down = k(h[0]), up = k(h[1]), least = k(h[2]), most = k(h[3]);
      return update<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g) {
        const Vec<T> turn = g * l.s(0), zero = {};
        const Vec<T> f = turn > zero ? up : turn < zero ? down : turn == zero ? splat(T(1)) : turn;
        const Vec<T> s = l.s(1) * f;
        const Vec<T> step = l.set(1, s < least ? least : s > most ? most : s);
        return sign<T>(l.set(0, turn < zero ? zero : g)) * step;
      });
    }
    case Optim::ftrl: {  // c: 1 / lr, twice the l2 there is; h: power, l1, twice the shrinkage; state: sum of
                         // squares, linear
      const Vec<T> rate = k(c[0]), l2 = k(c[1]), l1 = k(h[1]), shrinkage = k(h[2]);
      const double power = h[0];
      auto raised = [&](Vec<T> x) __attribute__((always_inline)) {
        if (power == 0.5) return sqrt<T>(x);
        if (power == 0) return splat(T(1));
        if constexpr (sizeof(T) == 4)
          return in_double<T>(x, [&](Vec<double> v) { return exp<double>(log<double>(v) * splat(power)); });
        else
          return by_lane<T>(x, [&](double v) { return __builtin_pow(v, power); });
      };
      return replace<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g, Vec<T> w) {
        const Vec<T> a = l.s(0), root = raised(l.set(0, fma(g, g, a)));
        const Vec<T> z = l.set(1, l.s(1) + fma(shrinkage, w, g) - (root - raised(a)) * rate * w);
        const Vec<T> clipped = z < -l1 ? -l1 : z > l1 ? l1 : z;
        return (clipped - z) / fma(root, rate, l2);
      });
    }
    case Optim::schedule_free: {  // c: lr, 1 / bias2, share of the newest; h: beta1, beta2, 1 - beta2,
                                  // epsilon; state: z, v
      const Vec<T> lr = k(c[0]), scale = k(c[1]), part = k(c[2]), b = k(h[0]), rest = k(1 - h[0]),
                   b2 = k(h[1]), b2c = k(h[2]), eps = k(h[3]);
      return replace<T>(p, at, grad, n, [&](const Lane<T>& l, Vec<T> g, Vec<T> w) {
        const Vec<T> z = l.s(0), x = (w - rest * z) / b, v = l.set(1, fma(b2c * g, g, b2 * l.s(1)));
        const Vec<T> next = l.set(0, z - lr * g / (sqrt<T>(v * scale) + eps));
        return fma(rest, next, b * lerp<T>(x, next, part));
      });
    }
    case Optim::lamb:
      return;  // lamb_step: it needs whole parameters' norms
  }
}

}  // namespace

template <class T>
void optim_step(const OptimArgs& p) {
  each_chunk(p.first, p.size, p.count, 1 << 18, [&](int64_t, int t, int64_t at, int64_t n) {
    Lane<T> lane{static_cast<T*>(p.param[t]) + at, {}, p.keep[t], p.scale[t], 0, 0};
    for (int k = 0; k < 3; ++k) lane.state[k] = p.state[k] ? static_cast<T*>(p.state[k][t]) + at : nullptr;
    step_chunk<T>(p, lane, static_cast<const T*>(p.grad[t]) + at, n, p.coef + 4 * t);
  });
}

namespace {

// Combines f(|x|) of n elements by `join` in four chains, then in one order.
template <class T, class F, class Join>
DLCORE_INLINE Vec<double> fold(const T* x, int64_t n, const F& f, const Join& join) {
  constexpr int L = kLanes<double>;
  Vec<double> a[4] = {};
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L)
    for (int j = 0; j < 4; ++j) a[j] = join(a[j], f(widen(x + i + j * L, L)));
  for (int j = 0; i < n; i += L, ++j) a[j] = join(a[j], f(widen(x + i, static_cast<int>(min64(L, n - i)))));
  return join(join(a[0], a[1]), join(a[2], a[3]));
}

template <class T>
inline double chunk_norm(const T* x, int64_t n, double order) {
  auto magnitude = [](Vec<double> v) { return v < Vec<double>{} ? -v : v; };
  auto plus = [](Vec<double> a, Vec<double> b) { return a + b; };
  if (order == 2) return hsum<double>(fold(x, n, [](Vec<double> v) { return v * v; }, plus));
  if (order == 1) return hsum<double>(fold(x, n, magnitude, plus));
  if (order == 0)
    return hmax<double>(fold(x, n, magnitude, [](Vec<double> a, Vec<double> b) { return max_nan(a, b); }));
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += __builtin_pow(static_cast<double>(x[i] < 0 ? -x[i] : x[i]), order);
  return s;
}

}  // namespace

// Partial sums in double, one a chunk, combined in order: the same bits at any number of threads.
template <class T>
void multi_norm(const MultiNormArgs& p) {
  const int64_t chunks = p.first[p.count];
  double* part = scratch<double>(2, max64(1, chunks));
  each_chunk(p.first, p.size, p.count, 1 << 19, [&](int64_t c, int t, int64_t at, int64_t n) {
    part[c] = chunk_norm(static_cast<const T*>(p.x[t]) + at, n, p.order);
  });
  double s = 0;
  for (int64_t c = 0; c < chunks; ++c)
    s = p.order != 0 ? s + part[c] : s < part[c] || part[c] != part[c] ? part[c] : s;
  if (p.order == 2)
    s = __builtin_sqrt(s);
  else if (p.order != 0 && p.order != 1)
    s = __builtin_pow(s, 1 / p.order);
  *p.norm = s;
}

// The chunks backwards: after multi_norm the last ones may be in the cache still.
template <class T>
void multi_scale(const MultiScaleArgs& p) {
  const Vec<T> factor = splat(static_cast<T>(p.factor)), lo = splat(static_cast<T>(p.low)),
               hi = splat(static_cast<T>(p.high));
  each_chunk_backwards(p.first, p.size, p.count, 1 << 19, [&](int64_t, int t, int64_t at, int64_t n) {
    T* x = static_cast<T*>(p.x[t]) + at;
    each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
      Vec<T> v = load_upto(x + i, lanes);
      if (p.clamp)
        v = v < lo ? lo : v > hi ? hi : v;  // NaN stays
      else
        v *= factor;
      store_upto(x + i, v, lanes);
    });
  });
}

template <class T>
void multi_axpby(const MultiAxpbyArgs& p) {
  each_chunk(p.first, p.size, p.count, 1 << 18, [&](int64_t, int t, int64_t at, int64_t n) {
    const double* c = p.coef + 2 * t;
    const Vec<T> a = splat(static_cast<T>(c[0])), b = splat(static_cast<T>(c[1]));
    const bool two = c[1] != 0;
    const T *x = static_cast<const T*>(p.x[t]) + at, *y = static_cast<const T*>(p.y[t]) + at;
    T* out = static_cast<T*>(p.out[t]) + at;
    each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
      const Vec<T> v = load_upto(x + i, lanes);
      store_upto(out + i, two ? fma(a, v, b * load_upto(y + i, lanes)) : a * v, lanes);
    });
  });
}

DLCORE_INSTANTIATE_FLOATS(optim_step, OptimArgs)
DLCORE_INSTANTIATE_FLOATS(multi_axpby, MultiAxpbyArgs)
DLCORE_INSTANTIATE_FLOATS(multi_norm, MultiNormArgs)
DLCORE_INSTANTIATE_FLOATS(multi_scale, MultiScaleArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
