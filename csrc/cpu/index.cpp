// Rows by index: take / put over one axis, gather / scatter element by element, triangles.
// The accumulating forms are deterministic because each thread owns part of y and walks the indices in their
// order.
#include "kernels/index.h"

#include "cpu/simd.h"
#include "cpu/stream.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T>
DLCORE_INLINE void add_to(T* y, T x) {
  if constexpr (__is_same(T, bool))
    *y = *y || x;
  else
    *y = static_cast<T>(*y + x);
}

template <class T>
inline void put_row(T* y, const T* x, int64_t n, bool accumulate) {
  if (accumulate)
    for (int64_t j = 0; j < n; ++j) add_to(y + j, x[j]);
  else
    __builtin_memcpy(y, x, n * sizeof(T));
}

}  // namespace

// Rows lie anywhere: while one is copied, the one whose turn is kAhead bytes later is asked for, line by
// line. A large result is streamed past the caches.
template <class T>
void take(const TakeArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  constexpr int64_t kAhead = 4096, kLine = 64;
  const int64_t bytes = p.inner * static_cast<int64_t>(sizeof(T));
  const bool lines = bytes % kLine == 0;
  const bool stream = lines && streams(y, p.inner, p.outer * p.m * p.inner);
  const int64_t ahead = ceil_div(kAhead, max64(1, bytes));
  parallel_for(p.outer * p.m, max64(1, kGrain / max64(1, p.inner)), [&](int64_t b, int64_t e) {
    int64_t o = b / p.m, i = b % p.m;
    for (int64_t t = b; t < e; ++t) {
      const T* row = x + o * p.x_os + p.index[i] * p.x_rs;
      if (p.inner == 1) {
        y[t] = *row;
      } else if (!lines) {
        __builtin_memcpy(y + t * p.inner, row, bytes);
      } else {
        const T* later = i + ahead < p.m ? x + o * p.x_os + p.index[i + ahead] * p.x_rs : row;
        const auto* from = reinterpret_cast<const uint8_t*>(row);
        const auto* next = reinterpret_cast<const uint8_t*>(later);
        auto* to = reinterpret_cast<uint8_t*>(y + t * p.inner);
        for (int64_t j = 0; j < bytes; j += kLine) {
          __builtin_prefetch(next + j);
#pragma GCC unroll 4
          for (int64_t k = j; k < j + kLine; k += kVecBytes) {
            if (stream)
              store_streaming(to + k, load(from + k));
            else
              store(to + k, load(from + k));
          }
        }
      }
      if (++i == p.m) i = 0, ++o;
    }
    if (stream) fence();
  });
}

// A part of the work owns either whole blocks of columns (wide rows) or a range of y's rows.
template <class T>
void put(const PutArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int64_t rows = p.outer * p.n;
  constexpr int64_t kBlock = 256;
  if (p.inner >= 2 * kBlock) {
    const int64_t blocks = ceil_div(p.inner, kBlock);
    parallel_for(p.outer * blocks, max64(1, kGrain / max64(1, p.m * kBlock)), [&](int64_t b, int64_t e) {
      for (int64_t t = b; t < e; ++t) {
        const int64_t o = t / blocks, j = t % blocks * kBlock, n = min64(kBlock, p.inner - j);
        for (int64_t i = 0; i < p.m; ++i)
          put_row(y + (o * p.n + p.index[i]) * p.inner + j, x + (o * p.m + i) * p.inner + j, n, p.accumulate);
      }
    });
    return;
  }
  // Each part reads all the indices of its `outer`s, so parts are kept large.
  const int64_t grain =
      p.m * p.inner < kGrain ? max64(1, kGrain / max64(1, p.m * p.inner)) * p.n : max64(1, p.n / 16);
  parallel_for(rows, max64(1, grain), [&](int64_t b, int64_t e) {
    for (int64_t o = b / p.n; o * p.n < e; ++o) {
      const int64_t lo = b - o * p.n, hi = e - o * p.n;
      for (int64_t i = 0; i < p.m; ++i) {
        const int64_t k = p.index[i];
        if (k >= lo && k < hi)
          put_row(y + (o * p.n + k) * p.inner, x + (o * p.m + i) * p.inner, p.inner, p.accumulate);
      }
    }
  });
}

template <class T>
void gather(const GatherArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int last = p.ndim - 1;
  const int64_t n = p.shape[last];
  int64_t rows = 1;
  for (int d = 0; d < last; ++d) rows *= p.shape[d];
  const int64_t axis_stride = p.xs[p.axis], step = p.axis == last ? 0 : p.xs[last];
  parallel_for(rows, max64(1, kGrain / max64(1, n)), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r) {
      int64_t rest = r, at = 0;
      for (int d = last - 1; d >= 0; --d) {
        if (d != p.axis) at += rest % p.shape[d] * p.xs[d];
        rest /= p.shape[d];
      }
      const int64_t* index = p.index + r * n;
      T* out = y + r * n;
      for (int64_t j = 0; j < n; ++j) out[j] = x[at + j * step + index[j] * axis_stride];
    }
  });
}

// Positions that agree off the axis meet in the same elements of y: they belong to one part, which walks the
// axis.
template <class T>
void scatter(const ScatterArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int64_t n = p.shape[p.axis];
  int64_t lanes = 1;
  for (int d = 0; d < p.ndim; ++d)
    if (d != p.axis) lanes *= p.shape[d];
  const int64_t xa = p.xs[p.axis], ia = p.is[p.axis], ya = p.ys[p.axis];
  parallel_for(lanes, max64(1, kGrain / max64(1, n)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      int64_t rest = t, xo = 0, io = 0, yo = 0;
      for (int d = p.ndim - 1; d >= 0; --d) {
        if (d == p.axis) continue;
        const int64_t i = rest % p.shape[d];
        rest /= p.shape[d];
        xo += i * p.xs[d], io += i * p.is[d], yo += i * p.ys[d];
      }
      for (int64_t i = 0; i < n; ++i) {
        T* out = y + yo + p.index[io + i * ia] * ya;
        const T value = x[xo + i * xa];
        if (p.accumulate)
          add_to(out, value);
        else
          *out = value;
      }
    }
  });
}

template <class T>
void triangle(const TriangleArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  parallel_for(p.batch * p.rows, max64(1, kGrain / max64(1, p.cols)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t i = t % p.rows;
      // Columns [from, to) stay.
      const int64_t edge = min64(p.cols, max64(0, i + p.diagonal + (p.lower ? 1 : 0)));
      const int64_t from = p.lower ? 0 : edge, to = p.lower ? edge : p.cols;
      T* row = y + t * p.cols;
      __builtin_memset(static_cast<void*>(row), 0, from * sizeof(T));
      __builtin_memcpy(row + from, x + t * p.cols + from, (to - from) * sizeof(T));
      __builtin_memset(static_cast<void*>(row + to), 0, (p.cols - to) * sizeof(T));
    }
  });
}

DLCORE_INSTANTIATE_ALL(take, TakeArgs)
DLCORE_INSTANTIATE_ALL(put, PutArgs)
DLCORE_INSTANTIATE_ALL(gather, GatherArgs)
DLCORE_INSTANTIATE_ALL(scatter, ScatterArgs)
DLCORE_INSTANTIATE_ALL(triangle, TriangleArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
