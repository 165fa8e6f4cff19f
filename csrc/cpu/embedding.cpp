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
constexpr int64_t kAhead =
    32;  // entries: a row, which may lie anywhere, is asked for so long before its turn
constexpr int kVectors =
    kVecBytes == 64 ? 16 : 8;  // of a row that are summed at a time: half of the registers

// Calls f(j, columns) for blocks of up to kVectors vectors of a row.
template <class T, class F>
DLCORE_INLINE void each_columns(int64_t inner, const F& f) {
  constexpr int64_t kWidth = kVectors * kLanes<T>;
  for (int64_t j = 0; j < inner; j += kWidth) f(j, static_cast<int>(min64(kWidth, inner - j)));
}

// The sum of scale(i) row(i) over [0, m) (row is known for [0, known)), columns [j, j + w): one accumulator a
// vector.
template <class T>
struct Columns {
  Vec<T> v[kVectors];
};
template <class T, class Row, class Scale>
DLCORE_INLINE Columns<T> sum_rows(int64_t m, int64_t known, int64_t j, int w, const Row& row,
                                  const Scale& scale) {
  constexpr int L = kLanes<T>;
  auto block = [&](int64_t from, int64_t to) __attribute__((always_inline)) {
    Columns<T> acc = {};
    for (int64_t i = from; i < to; ++i) {
      const T* x = row(i);
      if (!x) continue;
      x += j;
      if (i + kAhead < known) {
        const T* next = row(i + kAhead);
        for (int k = 0; next && k < w; k += 64 / static_cast<int>(sizeof(T)))
          __builtin_prefetch(next + j + k);
      }
      const Vec<T> s = splat(scale(i));
      if (w == kVectors * L) {
#pragma GCC unroll 16
        for (int k = 0; k < kVectors; ++k) acc.v[k] = fma(load(x + k * L), s, acc.v[k]);
      } else {
        for (int k = 0; k * L < w; ++k)
          acc.v[k] = fma(load_upto(x + k * L, static_cast<int>(min64(L, w - k * L))), s, acc.v[k]);
      }
    }
    return acc;
  };
  if (m <= kEntries) return block(0, m);  // no total beside the sums in the registers
  Columns<T> total = {};
  for (int64_t b = 0; b < m; b += kEntries) {
    const Columns<T> acc = block(b, min64(m, b + kEntries));
    for (int k = 0; k < kVectors; ++k) total.v[k] += acc.v[k];
  }
  return total;
}

template <class T>
DLCORE_INLINE void store_columns(T* y, const Columns<T>& c, int w) {
  constexpr int L = kLanes<T>;
  for (int k = 0; k * L < w; ++k) store_upto(y + k * L, c.v[k], static_cast<int>(min64(L, w - k * L)));
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
      const Vec<T> mean = splat(p.by_frequency ? T(1) / static_cast<T>(m) : T(1));
      each_columns<T>(p.inner, [&](int64_t j, int w) {
        Columns<T> c = scale ? sum_rows<T>(m, known, j, w, row, [&](int64_t i) { return scale[entries[i]]; })
                             : sum_rows<T>(m, known, j, w, row, [](int64_t) { return T(1); });
        if (p.by_frequency)
          for (int k = 0; k < kVectors; ++k) c.v[k] *= mean;
        store_columns(out + j, c, w);
      });
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
      if (p.mode == Bag::max) {
        int64_t* arg = p.argmax + bag * p.inner;
        for (int64_t j = 0; j < p.inner; ++j) out[j] = T(0), arg[j] = -1;
        bool first = true;
        for (int64_t i = 0; i < m; ++i) {
          if (index[i] == p.padding) continue;
          const T* row = weight + index[i] * p.inner;
          for (int64_t j = 0; j < p.inner; ++j)
            if (first || row[j] > out[j]) out[j] = row[j], arg[j] = index[i];
          first = false;
        }
        continue;
      }
      int64_t count = m;
      const int64_t known = p.m - lo;
      if (p.padding >= 0)
        for (int64_t i = 0; i < m; ++i) count -= index[i] == p.padding;
      const Vec<T> divisor = splat(static_cast<T>(max64(1, count)));
      auto row = [&](int64_t i) { return index[i] == p.padding ? nullptr : weight + index[i] * p.inner; };
      each_columns<T>(p.inner, [&](int64_t j, int w) {
        Columns<T> c = scale ? sum_rows<T>(m, known, j, w, row, [&](int64_t i) { return scale[lo + i]; })
                             : sum_rows<T>(m, known, j, w, row, [](int64_t) { return T(1); });
        if (p.mode == Bag::mean)
          for (int k = 0; k < kVectors; ++k) c.v[k] /= divisor;
        store_columns(out + j, c, w);
      });
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
