// Steps that need a norm of the whole parameter before they can move it: LAMB and Adafactor. Each runs over
// all parameters in passes, with partial sums in double, one a chunk, combined in order: the same bits at any
// number of threads. Nothing of a parameter's size is kept between the passes: the step is computed again,
// because reading what it follows from costs no more than reading it would.
#include "cpu/optim.h"
#include "cpu/vmath.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// Lanes of a tail hold zeros again after a computation that made something else of them.
template <class T>
DLCORE_INLINE Vec<T> only(Vec<T> x, int lanes) {
  if (lanes == kLanes<T>) return x;
  T a[kLanes<T>] = {};
  store_n(a, x, lanes);
  return load(a);
}

// The coefficients of lamb: c: 1 / bias1, 1 / bias2; h: 1 - beta1, beta2, 1 - beta2, epsilon; state: m, v.
template <class T>
struct Lamb {
  Vec<T> bias1, bias2, b1, b2, b2c, eps;
  Lamb(const OptimArgs& p, const double* c) {
    auto k = [](double v) { return splat(static_cast<T>(v)); };
    bias1 = k(c[0]), bias2 = k(c[1]), b1 = k(p.h[0]), b2 = k(p.h[1]), b2c = k(p.h[2]), eps = k(p.h[3]);
  }
  DLCORE_INLINE Vec<T> move(Vec<T> m, Vec<T> v) const { return m * bias1 / (sqrt<T>(v * bias2) + eps); }
};

}  // namespace

template <class T>
void lamb_step(const OptimArgs& p) {
  const int64_t chunks = p.first[p.count];
  double* part = scratch<double>(2, 2 * max64(1, chunks));
  const Vec<T> decay = splat(static_cast<T>(p.weight_decay));
  each_chunk(p.first, p.size, p.count, 1 << 18, [&](int64_t c, int t, int64_t at, int64_t n) {
    const Lamb<T> rule(p, p.coef + 4 * t);
    const Vec<T> keep = splat(static_cast<T>(p.keep[t]));
    const Vec<T> scale = splat(static_cast<T>(p.maximize ? -p.scale[t] : p.scale[t]));
    const T *w = static_cast<const T*>(p.param[t]) + at, *grad = static_cast<const T*>(p.grad[t]) + at;
    T *m = static_cast<T*>(p.state[0][t]) + at, *v = static_cast<T*>(p.state[1][t]) + at;
    Vec<double> size = {}, step = {};
    each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
      const Vec<T> x = load_upto(w + i, lanes), g = fma(decay, x, load_upto(grad + i, lanes) * scale);
      const Vec<T> a = lerp<T>(load_upto(m + i, lanes), g, rule.b1);
      const Vec<T> b = fma(rule.b2c * g, g, rule.b2 * load_upto(v + i, lanes));
      store_upto(m + i, a, lanes);
      store_upto(v + i, b, lanes);
      size = add_squares<T>(size, x * keep);
      step = add_squares<T>(step, only<T>(rule.move(a, b), lanes));
    });
    part[2 * c] = hsum<double>(size), part[2 * c + 1] = hsum<double>(step);
  });
  double* rate = scratch<double>(3, max64(1, p.count));
  for (int t = 0; t < p.count; ++t) {
    double size = 0, step = 0;
    for (int64_t c = p.first[t]; c < p.first[t + 1]; ++c) size += part[2 * c], step += part[2 * c + 1];
    rate[t] = p.lr * (size > 0 && step > 0 ? __builtin_sqrt(size) / __builtin_sqrt(step) : 1.0);
  }
  each_chunk_backwards(p.first, p.size, p.count, 1 << 18, [&](int64_t, int t, int64_t at, int64_t n) {
    const Lamb<T> rule(p, p.coef + 4 * t);
    const Vec<T> keep = splat(static_cast<T>(p.keep[t])), lr = splat(static_cast<T>(rate[t]));
    T* w = static_cast<T*>(p.param[t]) + at;
    const T *m = static_cast<const T*>(p.state[0][t]) + at, *v = static_cast<const T*>(p.state[1][t]) + at;
    each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
      const Vec<T> move = rule.move(load_upto(m + i, lanes), load_upto(v + i, lanes));
      store_upto(w + i, load_upto(w + i, lanes) * keep - lr * move, lanes);
    });
  });
}

namespace {

// A block of rows of one batch entry of one parameter.
struct Block {
  int t;
  int64_t index, batch, begin, end;  // the block's number; its rows within the batch entry
};

template <class F>
inline void each_block(const AdafactorArgs& p, const F& f) {
  parallel_for(p.first[p.count], chunk_grain(p.first, p.size, p.count, 1 << 18), [&](int64_t b, int64_t e) {
    int t = tensor_of(p.first, p.count, b);
    for (int64_t c = b; c < e; ++c) {
      while (c >= p.first[t + 1]) ++t;
      const int64_t rows = p.dims[3 * t + 1], most = adafactor_rows(p.dims[3 * t + 2]);
      const int64_t each = ceil_div(rows, most), batch = (c - p.first[t]) / each;
      const int64_t begin = (c - p.first[t] - batch * each) * most;
      f(Block{t, c, batch, begin, min64(rows, begin + most)});
    }
  });
}

// f(row of all, offset of its first element, elements) for the rows of a block.
template <class F>
inline void each_row(const AdafactorArgs& p, const Block& b, const F& f) {
  const int64_t rows = p.dims[3 * b.t + 1], columns = p.dims[3 * b.t + 2];
  for (int64_t r = b.batch * rows + b.begin; r < b.batch * rows + b.end; ++r)
    f(r, r * columns, min64(columns, p.size[b.t] - r * columns));
}

// The new column means of one matrix from its blocks' sums, and the mean of its rows, one a batch entry.
template <class T>
inline void join_blocks(const AdafactorArgs& p, int t, const double* sums, double* mean) {
  const int64_t batch = p.dims[3 * t], rows = p.dims[3 * t + 1], columns = p.dims[3 * t + 2];
  const int64_t each = ceil_div(rows, adafactor_rows(columns));
  const T* row = static_cast<const T*>(p.row[t]);
  T* column = static_cast<T*>(p.column[t]);
  for (int64_t n = 0; n < batch; ++n, sums += each * columns) {
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) total += row[n * rows + r];
    total /= rows;
    mean[n] = total < p.least_mean ? p.least_mean : total;
    for (int64_t j = 0; j < columns; ++j) {
      double s = 0;
      for (int64_t b = 0; b < each; ++b) s += sums[b * columns + j];
      T& c = column[n * columns + j];
      c += static_cast<T>((s / rows + p.epsilon - c) * p.coef[2 * t]);
    }
  }
}

// f(offset, lanes, g / sqrt(V), V) for all elements of a block.
template <class T, class F>
inline void each_step(const AdafactorArgs& p, const Block& b, const double* mean, const F& f) {
  const T* grad = static_cast<const T*>(p.grad[b.t]);
  const T* variance = static_cast<const T*>(p.variance[b.t]);
  const bool matrix = p.row[b.t];
  const T* column = matrix ? static_cast<const T*>(p.column[b.t]) + b.batch * p.dims[3 * b.t + 2] : nullptr;
  const Vec<T> least = splat(static_cast<T>(p.least_variance));
  each_row(p, b, [&](int64_t r, int64_t at, int64_t n) {
    const Vec<T> row =
        splat(matrix ? static_cast<T>(static_cast<const T*>(p.row[b.t])[r] / mean[b.batch]) : T(0));
    each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
      const Vec<T> v = matrix ? row * load_upto(column + i, lanes) : load_upto(variance + at + i, lanes);
      f(at + i, lanes, load_upto(grad + at + i, lanes) / sqrt<T>(max<Vec<T>>(v, least)), v);
    });
  });
}

}  // namespace

template <class T>
void adafactor_step(const AdafactorArgs& p) {
  const int64_t blocks = p.first[p.count];
  // Where each matrix' blocks keep their column sums, and its batch entries the means of their rows.
  int64_t* sums_at = scratch<int64_t>(2, 2 * (static_cast<int64_t>(p.count) + 1));
  int64_t* mean_at = sums_at + p.count + 1;
  sums_at[0] = mean_at[0] = 0;
  for (int t = 0; t < p.count; ++t) {
    const bool matrix = p.row[t];
    sums_at[t + 1] = sums_at[t] + (matrix ? (p.first[t + 1] - p.first[t]) * p.dims[3 * t + 2] : 0);
    mean_at[t + 1] = mean_at[t] + (matrix ? p.dims[3 * t] : 0);
  }
  double* sums = scratch<double>(3, max64(1, sums_at[p.count]));
  double* mean = scratch<double>(4, max64(1, mean_at[p.count]));
  double* part = scratch<double>(5, 2 * max64(1, blocks));
  double* rate = scratch<double>(6, max64(1, p.count));

  each_block(p, [&](const Block& b) {
    const int64_t columns = p.dims[3 * b.t + 2];
    const T *w = static_cast<const T*>(p.param[b.t]), *grad = static_cast<const T*>(p.grad[b.t]);
    T* row = static_cast<T*>(p.row[b.t]);
    T* variance = static_cast<T*>(p.variance[b.t]);
    const Vec<T> epsilon = splat(static_cast<T>(p.epsilon)), fresh = splat(static_cast<T>(p.coef[2 * b.t]));
    double* sum = sums + sums_at[b.t] + (b.index - p.first[b.t]) * columns;
    if (row) __builtin_memset(sum, 0, static_cast<size_t>(columns) * sizeof(double));
    Vec<double> size = {};
    each_row(p, b, [&](int64_t r, int64_t at, int64_t n) {
      Vec<double> total = {};
      constexpr int half = kLanes<double>;
      for (int64_t i = 0; i < n; i += half) {
        const int lanes = static_cast<int>(min64(half, n - i));
        const Vec<double> x = widen(w + at + i, lanes);
        size = fma(x, x, size);
        if (row) {
          const Vec<double> g = widen(grad + at + i, lanes), square = g * g;
          total += square;
          store_upto(sum + i, load_upto(sum + i, lanes) + square, lanes);
        }
      }
      if (row) {
        row[r] += static_cast<T>((hsum<double>(total) / n + p.epsilon - row[r]) * p.coef[2 * b.t]);
        return;
      }
      each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
        const Vec<T> g = load_upto(grad + at + i, lanes), v = load_upto(variance + at + i, lanes);
        store_upto(variance + at + i, lerp<T>(v, fma(g, g, epsilon), fresh), lanes);
      });
    });
    part[2 * b.index] = hsum<double>(size);
  });
  parallel_for(p.count, chunk_grain(p.first, p.size, p.count, 1 << 20), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      if (p.row[t]) join_blocks<T>(p, static_cast<int>(t), sums + sums_at[t], mean + mean_at[t]);
  });
  each_block(p, [&](const Block& b) {
    T* keep = p.row[b.t] ? static_cast<T*>(p.variance[b.t]) : nullptr;
    Vec<double> s = {};
    each_step<T>(p, b, mean + mean_at[b.t], [&](int64_t i, int lanes, Vec<T> u, Vec<T> v) {
      s = add_squares<T>(s, only<T>(u, lanes));
      if (keep) store_upto(keep + i, v, lanes);
    });
    part[2 * b.index + 1] = hsum<double>(s);
  });
  for (int t = 0; t < p.count; ++t) {
    double size = 0, step = 0;
    for (int64_t b = p.first[t]; b < p.first[t + 1]; ++b) size += part[2 * b], step += part[2 * b + 1];
    const double n = static_cast<double>(max64(1, p.size[t]));
    const double rms = __builtin_sqrt(size / n), over = __builtin_sqrt(step / n) / p.threshold;
    // Comparisons that are false for NaN keep it.
    rate[t] = p.coef[2 * t + 1] * (rms < p.least_rms ? p.least_rms : rms) / (over <= 1 ? 1 : over);
    if (p.maximize) rate[t] = -rate[t];
  }
  each_block(p, [&](const Block& b) {
    T* w = static_cast<T*>(p.param[b.t]);
    const Vec<T> keep = splat(static_cast<T>(p.keep)), lr = splat(static_cast<T>(rate[b.t]));
    each_step<T>(p, b, mean + mean_at[b.t], [&](int64_t i, int lanes, Vec<T> u, Vec<T>) {
      store_upto(w + i, load_upto(w + i, lanes) * keep - lr * u, lanes);
    });
  });
}

DLCORE_INSTANTIATE_FLOATS(lamb_step, OptimArgs)
DLCORE_INSTANTIATE_FLOATS(adafactor_step, AdafactorArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
