// CTC (Graves et al., ICML 2006) in log space, a sample at a time, its states as vectors:
//   alpha_t(s) = log p_t(s) + log(e^alpha_{t-1}(s) + e^alpha_{t-1}(s - 1) + [may skip] e^alpha_{t-1}(s - 2))
//   beta_t(s)  = log p_t(s) + the same of t + 1, s + 1, s + 2
//   posterior_t(c) = sum of e^(alpha_t(s) + beta_t(s) - log p_t(s) + loss) over the states s of label c
// A label may follow the one before it without a blank between them unless the two are equal. States beyond a
// sample's are padding with log p = -inf. Threads share the samples.
#include "kernels/ctc.h"

#include "cpu/softmax.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// log(e^a + e^b + e^c); -inf where all three are.
template <class T>
DLCORE_INLINE Vec<T> log_add(Vec<T> a, Vec<T> b, Vec<T> c) {
  const Vec<T> low = splat(-kInf<T>), top = max(max(a, b), c);
  const Vec<T> m = top == low ? Vec<T>{} : top;
  return log<T>(exp<T>(a - m) + exp<T>(b - m) + exp<T>(c - m)) + m;
}
template <class T>
DLCORE_INLINE T scalar_exp(T x) {
  if constexpr (sizeof(T) == 4)
    return __builtin_expf(x);
  else
    return __builtin_exp(x);
}
// By the same vector code, so that the loss has the bits that the states have.
template <class T>
DLCORE_INLINE T log_add(T a, T b) {
  return log_add<T>(splat(a), splat(b), splat(-kInf<T>))[0];
}

// One sample's states: what each emits, and whether it may be reached from two before it.
template <class T>
struct States {
  int64_t count, padded;
  const T* log_probs;  // of step 0
  int64_t stride;      // between steps
  int32_t* label;      // (padded,), -1 for padding
  T* skip;             // (padded + 2,): 0 where s may be reached from s - 2, -inf elsewhere
  T* emit;             // (padded,): log p_t(s)
};

template <class T>
inline States<T> states_of(const CtcArgs& p, int64_t i) {
  States<T> s;
  const int64_t n = p.target_lengths[i];
  const int64_t* target = p.targets + p.starts[i];
  s.count = 2 * n + 1, s.padded = ctc_width(n);
  s.log_probs = static_cast<const T*>(p.log_probs) + i * p.classes, s.stride = p.batch * p.classes;
  s.label = scratch<int32_t>(2, s.padded);
  s.skip = scratch<T>(3, 2 * s.padded + 2);
  s.emit = s.skip + s.padded + 2;
  for (int64_t k = 0; k < s.padded; ++k) {
    const bool label = k % 2 == 1 && k < s.count;
    s.label[k] = k >= s.count ? -1 : static_cast<int32_t>(label ? target[k / 2] : p.blank);
    s.skip[k] = label && k > 1 && target[k / 2] != target[k / 2 - 1] ? T(0) : -kInf<T>;
  }
  s.skip[s.padded] = s.skip[s.padded + 1] = -kInf<T>;
  return s;
}

template <class T>
inline void emit(const States<T>& s, int64_t t) {
  const T* row = s.log_probs + t * s.stride;
  for (int64_t k = 0; k < s.padded; ++k) s.emit[k] = s.label[k] < 0 ? -kInf<T> : row[s.label[k]];
}

}  // namespace

template <class T>
void ctc_forward(const CtcArgs& p) {
  parallel_for(p.batch, 1, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const States<T> s = states_of<T>(p, i);
      const int64_t steps = p.input_lengths[i];
      T* alpha = static_cast<T*>(p.alpha) + i * p.steps * p.width;
      T* const before = scratch<T>(4, s.padded + 2);  // the last row, behind two states that nothing reaches
      before[0] = before[1] = -kInf<T>;
      for (int64_t t = 0; t < steps; ++t, alpha += p.width) {
        emit(s, t);
        if (t == 0) {
          for (int64_t k = 0; k < s.padded; ++k) alpha[k] = k < 2 ? s.emit[k] : -kInf<T>;
        } else {
          for (int64_t k = 0; k < s.padded; k += kLanes<T>) {
            const Vec<T> a = load(before + k + 2), one = load(before + k + 1);
            const Vec<T> two = load(before + k) + load(s.skip + k);
            store(alpha + k, log_add<T>(a, one, two) + load(s.emit + k));
          }
        }
        __builtin_memcpy(before + 2, alpha, static_cast<size_t>(s.padded) * sizeof(T));
      }
      const T* last = before + 2;
      T total = steps > 0 ? last[s.count - 1] : (s.count == 1 ? T(0) : -kInf<T>);
      if (steps > 0 && s.count > 1) total = log_add(total, last[s.count - 2]);
      static_cast<T*>(p.loss)[i] = -total;
    }
  });
}

template <class T>
void ctc_backward(const CtcBackwardArgs& args) {
  const CtcArgs& p = args.forward;
  parallel_for(p.batch, 1, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const States<T> s = states_of<T>(p, i);
      const int64_t stride = p.batch * p.classes, row_bytes = p.classes * static_cast<int64_t>(sizeof(T));
      const T loss = static_cast<const T*>(p.loss)[i], g = static_cast<const T*>(args.dloss)[i];
      T* dx = static_cast<T*>(args.dx) + i * p.classes;
      const int64_t steps = loss == kInf<T> ? 0 : p.input_lengths[i];
      for (int64_t t = steps; t < p.steps; ++t) {
        if (t < p.input_lengths[i] && !args.zero_infinity)
          for (int64_t c = 0; c < p.classes; ++c) dx[t * stride + c] = static_cast<T>(__builtin_nan(""));
        else
          __builtin_memset(static_cast<void*>(dx + t * stride), 0, static_cast<size_t>(row_bytes));
      }
      const T* alpha = static_cast<const T*>(p.alpha) + i * p.steps * p.width;
      T* const beta = scratch<T>(4, 2 * s.padded + 2);  // of t + 1, before two states that nothing reaches
      T* const posterior = beta + s.padded + 2;
      const Vec<T> low = splat(-kInf<T>), vloss = splat(loss), vg = splat(g);
      for (int64_t k = 0; k < s.padded + 2; ++k) beta[k] = -kInf<T>;
      for (int64_t t = steps - 1; t >= 0; --t) {
        emit(s, t);
        if (t == steps - 1) {
          for (int64_t k = max64(0, s.count - 2); k < s.count; ++k) beta[k] = s.emit[k];
        } else {
          for (int64_t k = 0; k < s.padded; k += kLanes<T>) {
            const Vec<T> a = load(beta + k), one = load(beta + k + 1);
            const Vec<T> two = load(beta + k + 2) + load(s.skip + k + 2);
            store(beta + k, log_add<T>(a, one, two) + load(s.emit + k));
          }
        }
        for (int64_t k = 0; k < s.padded; k += kLanes<T>) {
          const Vec<T> both = load(alpha + t * p.width + k) + load(beta + k);
          const Vec<T> x = both - load(s.emit + k) + vloss;
          store(posterior + k, both == low ? Vec<T>{} : exp<T>(x) * vg);
        }
        const T* lp = s.log_probs + t * s.stride;
        T* out = dx + t * stride;
        each_vector<T>(0, p.classes, [&](int64_t c, int lanes) {
          store_upto(out + c, exp<T>(load_upto(lp + c, lanes)) * vg, lanes);
        });
        for (int64_t k = 0; k < s.count; ++k) out[s.label[k]] -= posterior[k];
      }
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(ctc_forward, CtcArgs)
DLCORE_INSTANTIATE_FLOATS(ctc_backward, CtcBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
