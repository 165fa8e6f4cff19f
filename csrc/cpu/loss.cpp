// Softmax and cross-entropy in one pass over the logits: x (outer, n, inner), class in the middle,
// contiguous.
//   d_c = x_c - max, s = sum e^d_c, log p_c = d_c - log s
//   loss = -sum_c w_c q_c log p_c,   q = (1 - smoothing) target + smoothing / n
//   dx_c = g (p_c sum_k(w_k q_k) - w_c q_c)
// A target that is an index t has a weight of its own in front, w_t for the one-hot part, so that both read
// the same. Each sample's loss is computed on its own, then summed in double over chunks whose size is fixed.
// A difference that overflows between finite logits counts as the largest finite one: the loss of finite
// logits is finite.
#include "kernels/loss.h"

#include "cpu/softmax.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T>
DLCORE_INLINE T finite_difference(T x, T m) {
  const T d = x - m;
  return d == -kInf<T> && x != -kInf<T> ? -kMax<T> : d;
}
template <class T>
DLCORE_INLINE Vec<T> finite_difference_v(Vec<T> x, Vec<T> m) {
  const Vec<T> d = x - m, low = splat(-kInf<T>);
  return (d == low) & (x != low) ? splat(-kMax<T>) : d;
}

// Weight of class c, or 1.
template <class T>
DLCORE_INLINE T weight_of(const void* weight, int64_t c) {
  return weight ? static_cast<const T*>(weight)[c] : T(1);
}

template <class Args>
DLCORE_INLINE bool counts(const Args& p, int64_t label) {
  return label != p.ignore_index && static_cast<uint64_t>(label) < static_cast<uint64_t>(p.n);
}

template <class T>
inline T sum_of_weights(const void* weight, int64_t n) {
  if (!weight) return static_cast<T>(n);
  const T* w = static_cast<const T*>(weight);
  return row_sum<T>(n, [&](int64_t i, int lanes) { return load_upto(w + i, lanes); });
}

// q_c from the target's probability (null: an index, whose one-hot part the caller adds): q = a target + b.
template <class T>
struct Soft {
  T a, b;
};

// sum_c w_c q_c (d_c - log s) along a row.
template <class T>
inline T row_weighted(const T* x, const T* prob, const T* w, int64_t n, T m, T logs, Soft<T> q) {
  const Vec<T> vm = splat(m), vl = splat(logs), a = splat(q.a), b = splat(q.b);
  return row_sum<T>(n, [&](int64_t i, int lanes) {
    Vec<T> v = finite_difference_v<T>(load_upto(x + i, lanes), vm) - vl;
    v *= prob ? fma(load_upto(prob + i, lanes), a, b) : b;
    return w ? v * load_upto(w + i, lanes) : v;
  });
}

// sum_c w_c q_c along a row of probabilities.
template <class T>
inline T row_mass(const T* prob, const T* w, int64_t n, Soft<T> q) {
  const Vec<T> a = splat(q.a), b = splat(q.b);
  return row_sum<T>(n, [&](int64_t i, int lanes) {
    const Vec<T> v = fma(load_upto(prob + i, lanes), a, b);
    return w ? v * load_upto(w + i, lanes) : v;
  });
}

// Sums of the samples' losses and of what the mean divides by, in double, in chunks of fixed size.
template <class T>
inline void reduce_losses(const CrossEntropyArgs& p) {
  constexpr int64_t chunk = 4096;
  const int64_t samples = p.outer * p.inner, chunks = ceil_div(samples, chunk);
  const T* loss = static_cast<const T*>(p.loss);
  double* part = scratch<double>(2, 2 * max64(1, chunks));
  parallel_for(chunks, 8, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; ++k) {
      double l[16] = {}, w[16] = {};  // shorter sums: less rounding, no chain of additions to wait for
      for (int64_t i = k * chunk; i < min64(samples, (k + 1) * chunk); ++i) {
        l[i % 16] += loss[i];
        if (!p.target)
          w[i % 16] += 1;
        else if (counts(p, p.target[i]))
          w[i % 16] += weight_of<T>(p.weight, p.target[i]);
      }
      for (int i = 8; i > 0; i /= 2)
        for (int j = 0; j < i; ++j) l[j] += l[j + i], w[j] += w[j + i];
      part[2 * k] = l[0], part[2 * k + 1] = w[0];
    }
  });
  double l = 0, w = 0;
  for (int64_t k = 0; k < chunks; ++k) l += part[2 * k], w += part[2 * k + 1];
  *static_cast<T*>(p.divisor) = static_cast<T>(w);
  *static_cast<T*>(p.total) = static_cast<T>(p.reduction == Reduction::mean ? l / w : l);
}

// The grain in samples, about kGrain / 4 logits (an exponential each).
inline int64_t sample_grain(int64_t n) { return max64(1, kGrain / 4 / max64(1, n)); }

template <class T>
inline void nll_forward(const CrossEntropyArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* loss = static_cast<T*>(p.loss);
  parallel_for(p.outer * p.inner, kGrain / 8, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t t = p.target[i];
      loss[i] = counts(p, t) ? -weight_of<T>(p.weight, t) * x[(i / p.inner * p.n + t) * p.inner + i % p.inner]
                             : T(0);
    }
  });
}

template <class T>
inline void forward_rows(const CrossEntropyArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  const T* prob = static_cast<const T*>(p.prob);
  const T* w = static_cast<const T*>(p.weight);
  T* loss = static_cast<T*>(p.loss);
  T* stats = static_cast<T*>(p.stats);
  const int64_t n = p.n;
  const T keep = static_cast<T>(1 - p.smoothing), rest = static_cast<T>(p.smoothing / static_cast<double>(n));
  parallel_for(p.outer, sample_grain(n), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const T* row = x + i * n;
      const int64_t t = p.target ? p.target[i] : 0;
      if (p.target && !counts(p, t)) {
        stats[2 * i] = 0, stats[2 * i + 1] = 1, loss[i] = 0;
        continue;
      }
      const T m = row_max(row, n), s = row_exp_sum<T, false>(row, nullptr, n, m), logs = scalar_log(s);
      stats[2 * i] = m, stats[2 * i + 1] = s;
      T l = 0;
      if (p.target) l = keep * weight_of<T>(w, t) * (logs - finite_difference(row[t], m));
      if (prob || rest != 0)
        l -= row_weighted<T>(row, prob ? prob + i * n : nullptr, w, n, m, logs, {keep, rest});
      loss[i] = l;
    }
  });
}

template <class T>
inline void forward_tiles(const CrossEntropyArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  const T* prob = static_cast<const T*>(p.prob);
  const T* w = static_cast<const T*>(p.weight);
  T* loss = static_cast<T*>(p.loss);
  T* stats = static_cast<T*>(p.stats);
  const int64_t n = p.n, inner = p.inner, tiles = ceil_div(inner, kTile);
  const T keep = static_cast<T>(1 - p.smoothing), rest = static_cast<T>(p.smoothing / static_cast<double>(n));
  parallel_for(p.outer * tiles, sample_grain(n * min64(inner, kTile)), [&](int64_t b, int64_t e) {
    T m[kTile + 16], s[kTile + 16], logs[kTile + 16], acc[kTile + 16];
    for (int64_t k = b; k < e; ++k) {
      const int64_t j0 = k % tiles * kTile, first = k / tiles * inner + j0, at = k / tiles * n * inner + j0;
      const int width = static_cast<int>(min64(kTile, inner - j0));
      tile_max(x + at, n, inner, width, m);
      tile_exp_sum<T, false>(x + at, nullptr, n, inner, width, m, s);
      for (int j = 0; j < width; ++j) logs[j] = scalar_log(s[j]);
      for (int j = 0; j < width; j += kLanes<T>) store(acc + j, Vec<T>{});
      if (prob || rest != 0)
        for (int64_t c = 0; c < n; ++c) {
          const Vec<T> wc = splat(weight_of<T>(w, c)), va = splat(keep), vb = splat(rest);
          const int64_t row = at + c * inner;
          each_vector<T>(0, width, [&](int64_t j, int lanes) {
            const Vec<T> q = prob ? fma(load_upto(prob + row + j, lanes), va, vb) : vb;
            const Vec<T> d =
                finite_difference_v<T>(load_upto(x + row + j, lanes), load(m + j)) - load(logs + j);
            store(acc + j, load(acc + j) + wc * q * d);
          });
        }
      for (int j = 0; j < width; ++j) {
        const int64_t i = first + j, t = p.target ? p.target[i] : 0;
        if (p.target && !counts(p, t)) {
          stats[2 * i] = 0, stats[2 * i + 1] = 1, loss[i] = 0;
          continue;
        }
        stats[2 * i] = m[j], stats[2 * i + 1] = s[j];
        T l = -acc[j];
        if (p.target)
          l += keep * weight_of<T>(w, t) * (logs[j] - finite_difference(x[at + t * inner + j], m[j]));
        loss[i] = l;
      }
    }
  });
}

// A row's targets, up to the first -1: how many there are, and 1 in `others` for each class that is none.
template <class T>
inline int64_t mark_others(const int64_t* target, int64_t n, T* others) {
  int64_t count = 0;
  for (int64_t k = 0; k < n; ++k) others[k] = 1;
  for (; count < n && target[count] >= 0; ++count) others[target[count]] = 0;
  return count;
}

}  // namespace

template <class T>
void multilabel_margin_forward(const MultilabelMarginArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  parallel_for(p.rows, sample_grain(p.n), [&](int64_t b, int64_t e) {
    T* others = scratch<T>(2, max64(1, p.n));
    for (int64_t r = b; r < e; ++r) {
      const T* row = x + r * p.n;
      const int64_t* target = p.target + r * p.n;
      const int64_t count = mark_others(target, p.n, others);
      T total = 0;
      for (int64_t i = 0; i < count; ++i) {
        const Vec<T> from = splat(T(1) - row[target[i]]);
        total += row_sum<T>(p.n, [&](int64_t k, int lanes) {
          return relu(from + load_upto(row + k, lanes)) * load_upto(others + k, lanes);
        });
      }
      static_cast<T*>(p.loss)[r] = total / static_cast<T>(p.n);
    }
  });
}

template <class T>
void multilabel_margin_backward(const MultilabelMarginBackwardArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  parallel_for(p.rows, sample_grain(p.n), [&](int64_t b, int64_t e) {
    T* others = scratch<T>(2, max64(1, p.n));
    for (int64_t r = b; r < e; ++r) {
      const T* row = x + r * p.n;
      const int64_t* target = p.target + r * p.n;
      T* dx = static_cast<T*>(p.dx) + r * p.n;
      const T g = static_cast<const T*>(p.dloss)[r] / static_cast<T>(p.n);
      const int64_t count = mark_others(target, p.n, others);
      __builtin_memset(static_cast<void*>(dx), 0, static_cast<size_t>(p.n) * sizeof(T));
      for (int64_t i = 0; i < count; ++i) {  // first how many margins each class breaks
        const Vec<T> from = splat(T(1) - row[target[i]]);
        dx[target[i]] -= row_sum<T>(p.n, [&](int64_t k, int lanes) {
          const Vec<T> z = from + load_upto(row + k, lanes), other = load_upto(others + k, lanes);
          const Vec<T> breaks = z > Vec<T>{} ? other : Vec<T>{};
          store_upto(dx + k, load_upto(dx + k, lanes) + breaks, lanes);
          return breaks;
        });
      }
      for (int64_t k = 0; k < p.n; ++k) dx[k] *= g;
    }
  });
}

template <class T>
void cross_entropy_forward(const CrossEntropyArgs& p) {
  if (p.log_probs)
    nll_forward<T>(p);
  else if (p.inner == 1)
    forward_rows<T>(p);
  else
    forward_tiles<T>(p);
  if (p.reduction != Reduction::none) reduce_losses<T>(p);
}

template <class T>
void cross_entropy_backward(const CrossEntropyBackwardArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  const T* prob = static_cast<const T*>(p.prob);
  const T* w = static_cast<const T*>(p.weight);
  const T* stats = static_cast<const T*>(p.stats);
  const T* dloss = static_cast<const T*>(p.dloss);
  T* dx = static_cast<T*>(p.dx);
  const int64_t n = p.n, inner = p.inner, tiles = ceil_div(inner, kTile);
  const T keep = static_cast<T>(1 - p.smoothing), rest = static_cast<T>(p.smoothing / static_cast<double>(n));
  T scale = 1;
  if (p.reduction != Reduction::none) scale = *dloss;
  if (p.reduction == Reduction::mean) scale /= *static_cast<const T*>(p.divisor);
  auto grad_of = [&](int64_t i) { return p.reduction == Reduction::none ? dloss[i] : scale; };
  const T mass = prob || rest == 0 ? T(0) : rest * sum_of_weights<T>(w, n);  // of the smoothed part
  if (inner == 1) {
    parallel_for(p.outer, sample_grain(n), [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        T* out = dx + i * n;
        const int64_t t = p.target ? p.target[i] : 0;
        const bool zero = p.target && !counts(p, t);
        if (zero || p.log_probs) {
          __builtin_memset(static_cast<void*>(out), 0, static_cast<size_t>(n) * sizeof(T));
          if (!zero) out[t] = -grad_of(i) * weight_of<T>(w, t);
          continue;
        }
        const T g = grad_of(i), hot = p.target ? keep * weight_of<T>(w, t) : T(0);
        const T* q = prob ? prob + i * n : nullptr;
        const T sum = q ? row_mass<T>(q, w, n, {keep, rest}) : hot + mass;
        const Vec<T> m = splat(stats[2 * i]), k = splat(g * sum / stats[2 * i + 1]);
        const Vec<T> a = splat(g * keep), c = splat(g * rest);
        each_vector<T>(0, n, [&](int64_t j, int lanes) {
          Vec<T> v = exp<T>(load_upto(x + i * n + j, lanes) - m) * k;
          if (q || rest != 0) {
            Vec<T> u = q ? fma(load_upto(q + j, lanes), a, c) : c;
            v -= w ? u * load_upto(w + j, lanes) : u;
          }
          store_upto(out + j, v, lanes);
        });
        if (p.target) out[t] -= g * hot;
      }
    });
    return;
  }
  parallel_for(p.outer * tiles, sample_grain(n * min64(inner, kTile)), [&](int64_t b, int64_t e) {
    T m[kTile + 16], k[kTile + 16], g[kTile + 16];
    for (int64_t r = b; r < e; ++r) {
      const int64_t j0 = r % tiles * kTile, first = r / tiles * inner + j0, at = r / tiles * n * inner + j0;
      const int width = static_cast<int>(min64(kTile, inner - j0));
      for (int j = 0; j < width; j += kLanes<T>)
        store(m + j, Vec<T>{}), store(k + j, Vec<T>{}), store(g + j, Vec<T>{});
      const Vec<T> va = splat(keep), vb = splat(rest);
      if (prob)  // k = sum_c w_c q_c
        for (int64_t c = 0; c < n; ++c)
          each_vector<T>(0, width, [&](int64_t j, int lanes) {
            const Vec<T> q = fma(load_upto(prob + at + c * inner + j, lanes), va, vb);
            store(k + j, load(k + j) + splat(weight_of<T>(w, c)) * q);
          });
      for (int j = 0; j < width; ++j) {
        const int64_t i = first + j, t = p.target ? p.target[i] : 0;
        if (p.target && !counts(p, t)) continue;  // g = k = 0
        g[j] = grad_of(i);
        if (p.log_probs) continue;
        m[j] = stats[2 * i];
        const T sum = p.target ? keep * weight_of<T>(w, t) + mass : k[j];
        k[j] = g[j] * sum / stats[2 * i + 1];
      }
      for (int64_t c = 0; c < n; ++c) {
        const int64_t row = at + c * inner;
        const Vec<T> wc = splat(weight_of<T>(w, c));
        each_vector<T>(0, width, [&](int64_t j, int lanes) {
          Vec<T> v = {};
          if (!p.log_probs) {
            const Vec<T> kj = load(k + j);
            v = exp<T>(load_upto(x + row + j, lanes) - load(m + j)) * kj;
            if (p.target)
              v = load(g + j) == Vec<T>{} ? Vec<T>{} : v;  // an ignored sample's logits may be anything
            if (prob || rest != 0)
              v -= load(g + j) * wc * (prob ? fma(load_upto(prob + row + j, lanes), va, vb) : vb);
          }
          store_upto(dx + row + j, v, lanes);
        });
      }
      if (!p.target) continue;
      for (int j = 0; j < width; ++j) {
        const int64_t t = p.target[first + j];
        if (counts(p, t)) dx[at + t * inner + j] -= g[j] * keep * weight_of<T>(w, t);
      }
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(multilabel_margin_forward, MultilabelMarginArgs)
DLCORE_INSTANTIATE_FLOATS(multilabel_margin_backward, MultilabelMarginBackwardArgs)
DLCORE_INSTANTIATE_FLOATS(cross_entropy_forward, CrossEntropyArgs)
DLCORE_INSTANTIATE_FLOATS(cross_entropy_backward, CrossEntropyBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
