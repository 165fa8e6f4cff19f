// Embeddings: the gradient of the weight, the bags, the renormalisation. Weights are (n, inner), row-major.
// The gradient goes by rows of the weight, not by indices: the entries are brought together by a counting
// sort, each row is summed in registers in the order of its entries and written once. A row's bits depend on
// its entries alone, so threads share the rows.
#include "kernels/embedding.h"

#include "cpu/softmax.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int64_t kEntries = 64;  // entries that are summed before they join the total: shorter sums
// A row, which may lie anywhere, is asked for so many bytes of rows before its turn: half of L1 stays.
constexpr int64_t kAhead = 8192;
constexpr int kVectors =
    kVecBytes == 64 ? 16 : 8;  // of a row that are summed at a time: half of the registers

template <class T, int V>
struct Columns {
  Vec<T> v[V];
};

// The sum of scale(i) row(i) over [0, m) (row is known for [0, known)), V vectors of columns from j on: one
// accumulator a vector. The last may be a tail of `tail` lanes.
template <class T, int V, class Row, class Scale>
DLCORE_INLINE Columns<T, V> sum_rows(int64_t m, int64_t known, int64_t j, int tail, const Row& row,
                                     const Scale& scale) {
  constexpr int L = kLanes<T>;
  constexpr int64_t kRows = kAhead / (V * kVecBytes);
  auto block = [&](int64_t from, int64_t to) __attribute__((always_inline)) {
    Columns<T, V> acc;
#pragma GCC unroll 16
    for (int k = 0; k < V; ++k) acc.v[k] = Vec<T>{};
    for (int64_t i = from; i < to; ++i) {
      const T* x = row(i);
      if (!x) continue;
      const T* next = i + kRows < known ? row(i + kRows) : nullptr;
      if (!next) next = x;
      x += j, next += j;
      const Vec<T> s = splat(scale(i));
#pragma GCC unroll 16
      for (int k = 0; k < V; ++k) {
        if (k * kVecBytes % 64 == 0) __builtin_prefetch(next + k * L);
        acc.v[k] = fma(k < V - 1 ? load(x + k * L) : load_upto(x + k * L, tail), s, acc.v[k]);
      }
    }
    return acc;
  };
  if (m <= kEntries) return block(0, m);  // no total beside the sums in the registers
  Columns<T, V> total = {};
  for (int64_t b = 0; b < m; b += kEntries) {
    const Columns<T, V> acc = block(b, min64(m, b + kEntries));
    for (int k = 0; k < V; ++k) total.v[k] += acc.v[k];
  }
  return total;
}

// out = the sum of scale(i) row(i), divided by `divisor` where that is not 1. Wide rows go by kVectors
// vectors, the rest by powers of two: the number of accumulators is the compiler's.
template <class T, int V = kVectors, class Row, class Scale>
DLCORE_INLINE void store_sum(T* out, int64_t m, int64_t known, int64_t j, int64_t inner, T divisor,
                             const Row& row, const Scale& scale) {
  constexpr int L = kLanes<T>;
  while (inner - j > (V - 1) * L) {
    const int tail = static_cast<int>(min64(L, inner - j - (V - 1) * L));
    Columns<T, V> c = sum_rows<T, V>(m, known, j, tail, row, scale);
    if (divisor != T(1))
      for (int k = 0; k < V; ++k) c.v[k] /= splat(divisor);
#pragma GCC unroll 16
    for (int k = 0; k < V; ++k) store_upto(out + j + k * L, c.v[k], k < V - 1 ? L : tail);
    j += V * L;
  }
  if constexpr (V > 1) store_sum<T, V / 2>(out, m, known, j, inner, divisor, row, scale);
}

// out = the maximum of row(i) over [0, m) and arg = the index of the first entry that has it; the entries
// before `first` do not count, m < 2^31.
template <class T, int V = kVectors / 4, class Row>
DLCORE_INLINE void store_max(T* out, int64_t* arg, const int64_t* index, int64_t first, int64_t m,
                             int64_t known, int64_t j, int64_t inner, const Row& row) {
  constexpr int L = kLanes<T>;
  constexpr int64_t kRows = kAhead / (V * kVecBytes);
  while (inner - j > (V - 1) * L) {
    const int tail = static_cast<int>(min64(L, inner - j - (V - 1) * L));
    Vec<T> best[V];
    Vec<Int<T>> at[V];
#pragma GCC unroll 4
    for (int k = 0; k < V; ++k) {
      best[k] = load_upto(row(first) + j + k * L, k < V - 1 ? L : tail);
      at[k] = splat(static_cast<Int<T>>(first));
    }
    for (int64_t i = first + 1; i < m; ++i) {
      const T* x = row(i);
      if (!x) continue;
      const T* next = i + kRows < known ? row(i + kRows) : nullptr;
      if (!next) next = x;
      x += j, next += j;
      const Vec<Int<T>> here = splat(static_cast<Int<T>>(i));
#pragma GCC unroll 4
      for (int k = 0; k < V; ++k) {
        if (k * kVecBytes % 64 == 0) __builtin_prefetch(next + k * L);
        const Vec<T> v = load_upto(x + k * L, k < V - 1 ? L : tail);
        const auto more = v > best[k];
        best[k] = more ? v : best[k];
        at[k] = more ? here : at[k];
      }
    }
#pragma GCC unroll 4
    for (int k = 0; k < V; ++k) {
      const int lanes = k < V - 1 ? L : tail;
      store_upto(out + j + k * L, best[k], lanes);
      for (int l = 0; l < lanes; ++l) arg[j + k * L + l] = index[at[k][l]];
    }
    j += V * L;
  }
  if constexpr (V > 1) store_max<T, V / 2>(out, arg, index, first, m, known, j, inner, row);
}

template <class T>
inline T power_norm(const T* x, int64_t n, double p) {
  auto size = [&](int64_t i, int lanes) {
    const Vec<T> v = load_upto(x + i, lanes);
    return v < Vec<T>{} ? -v : v;
  };
  if (p == __builtin_inf()) {
    T m = 0;
    for (int64_t i = 0; i < n; ++i) {
      const T a = x[i] < 0 ? -x[i] : x[i];
      m = m < a ? a : m;
    }
    return m;
  }
  if (p == 1) return row_sum<T>(n, size);
  if (p == 2)
    return static_cast<T>(__builtin_sqrt(static_cast<double>(row_sum<T>(n, [&](int64_t i, int lanes) {
      const Vec<T> v = load_upto(x + i, lanes);
      return v * v;
    }))));
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += __builtin_pow(__builtin_fabs(static_cast<double>(x[i])), p);
  return static_cast<T>(__builtin_pow(total, 1 / p));
}

}  // namespace

template <class T>
void embedding_backward(const EmbeddingBackwardArgs& p) {
  const T* dy = static_cast<const T*>(p.dy);
  const T* scale = static_cast<const T*>(p.scale);
  T* dw = static_cast<T*>(p.dweight);
  int64_t* start = scratch<int64_t>(2, p.n + 2);  // entries of row r: order[start[r]..start[r + 1])
  int64_t* order = scratch<int64_t>(3, max64(1, p.m));
  __builtin_memset(start, 0, static_cast<size_t>(p.n + 2) * sizeof *start);
  for (int64_t i = 0; i < p.m; ++i)
    if (p.index[i] != p.padding) ++start[p.index[i] + 2];
  for (int64_t r = 2; r < p.n + 2; ++r) start[r] += start[r - 1];
  for (int64_t i = 0; i < p.m; ++i)
    if (p.index[i] != p.padding) order[start[p.index[i] + 1]++] = i;
  parallel_for(p.n, max64(1, kGrain / max64(1, p.inner)), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r) {
      T* out = dw + r * p.inner;
      const int64_t* entries = order + start[r];
      const int64_t m = start[r + 1] - start[r], known = start[p.n] - start[r];
      if (m == 0) {
        __builtin_memset(static_cast<void*>(out), 0, static_cast<size_t>(p.inner) * sizeof(T));
        continue;
      }
      auto row = [&](int64_t i) { return dy + (p.source ? p.source[entries[i]] : entries[i]) * p.inner; };
      const T divisor = p.by_frequency ? static_cast<T>(m) : T(1);
      if (scale)
        store_sum<T>(out, m, known, 0, p.inner, divisor, row, [&](int64_t i) { return scale[entries[i]]; });
      else
        store_sum<T>(out, m, known, 0, p.inner, divisor, row, [](int64_t) { return T(1); });
    }
  });
}

template <class T>
void embedding_renorm(const EmbeddingRenormArgs& p) {
  T* weight = static_cast<T*>(p.weight);
  uint8_t* seen = scratch<uint8_t>(2, max64(1, p.n));
  int64_t* rows = scratch<int64_t>(3, max64(1, p.m));
  __builtin_memset(seen, 0, static_cast<size_t>(p.n));
  int64_t count = 0;
  for (int64_t i = 0; i < p.m; ++i)
    if (!seen[p.index[i]]) seen[p.index[i]] = 1, rows[count++] = p.index[i];
  parallel_for(count, max64(1, kGrain / max64(1, p.inner)), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      T* w = weight + rows[i] * p.inner;
      const T norm = power_norm(w, p.inner, p.p);
      if (!(norm > static_cast<T>(p.max_norm))) continue;
      const Vec<T> s = splat(static_cast<T>(p.max_norm / (static_cast<double>(norm) + 1e-7)));
      each_vector<T>(0, p.inner,
                     [&](int64_t j, int lanes) { store_upto(w + j, load_upto(w + j, lanes) * s, lanes); });
    }
  });
}

template <class T>
void embedding_bag_forward(const EmbeddingBagArgs& p) {
  const T* weight = static_cast<const T*>(p.weight);
  const T* scale = static_cast<const T*>(p.scale);
  T* y = static_cast<T*>(p.y);
  const int64_t work = max64(1, p.inner * max64(1, p.m / max64(1, p.bags)));
  parallel_for(p.bags, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    for (int64_t bag = b; bag < e; ++bag) {
      const int64_t lo = p.offsets[bag], m = p.offsets[bag + 1] - lo;
      const int64_t* index = p.index + lo;
      T* out = y + bag * p.inner;
      const int64_t known = p.m - lo;
      auto row = [&](int64_t i) { return index[i] == p.padding ? nullptr : weight + index[i] * p.inner; };
      if (p.mode == Bag::max) {
        int64_t* arg = p.argmax + bag * p.inner;
        int64_t first = 0;
        while (first < m && index[first] == p.padding) ++first;
        if (first < m)
          store_max<T>(out, arg, index, first, m, known, 0, p.inner, row);
        else
          for (int64_t j = 0; j < p.inner; ++j) out[j] = T(0), arg[j] = -1;
        continue;
      }
      int64_t count = m;
      if (p.padding >= 0)
        for (int64_t i = 0; i < m; ++i) count -= index[i] == p.padding;
      const T divisor = p.mode == Bag::mean ? static_cast<T>(max64(1, count)) : T(1);
      if (scale)
        store_sum<T>(out, m, known, 0, p.inner, divisor, row, [&](int64_t i) { return scale[lo + i]; });
      else
        store_sum<T>(out, m, known, 0, p.inner, divisor, row, [](int64_t) { return T(1); });
    }
  });
}

template <class T>
void embedding_bag_max_backward(const EmbeddingBagMaxBackwardArgs& p) {
  const T* dy = static_cast<const T*>(p.dy);
  T* dw = static_cast<T*>(p.dweight);
  constexpr int64_t kWidth = 64;
  parallel_for(ceil_div(p.inner, kWidth), max64(1, kGrain / max64(1, p.bags * kWidth)),
               [&](int64_t b, int64_t e) {
                 for (int64_t i = 0; i < p.bags; ++i)
                   for (int64_t j = b * kWidth; j < min64(p.inner, e * kWidth); ++j) {
                     const int64_t r = p.argmax[i * p.inner + j];
                     if (r >= 0) dw[r * p.inner + j] += dy[i * p.inner + j];
                   }
               });
}

template <class T>
void embedding_bag_scale_backward(const EmbeddingBagScaleBackwardArgs& p) {
  const T* dy = static_cast<const T*>(p.dy);
  const T* weight = static_cast<const T*>(p.weight);
  T* ds = static_cast<T*>(p.dscale);
  parallel_for(p.m, max64(1, kGrain / max64(1, p.inner)), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const T* g = dy + p.source[i] * p.inner;
      const T* w = weight + p.index[i] * p.inner;
      ds[i] = p.index[i] == p.padding ? T(0) : row_sum<T>(p.inner, [&](int64_t j, int lanes) {
        return load_upto(g + j, lanes) * load_upto(w + j, lanes);
      });
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(embedding_backward, EmbeddingBackwardArgs)
DLCORE_INSTANTIATE_FLOATS(embedding_renorm, EmbeddingRenormArgs)
DLCORE_INSTANTIATE_FLOATS(embedding_bag_forward, EmbeddingBagArgs)
DLCORE_INSTANTIATE_FLOATS(embedding_bag_max_backward, EmbeddingBagMaxBackwardArgs)
DLCORE_INSTANTIATE_FLOATS(embedding_bag_scale_backward, EmbeddingBagScaleBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
