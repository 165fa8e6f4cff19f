// Strided copy with conversion: `contiguous`, `astype`, `copy_into`, and slices written in place.
#include "kernels/copy.h"

#include "cpu/simd.h"
#include "cpu/stream.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class To, class From>
DLCORE_INLINE To convert(From x) {
  if constexpr (__is_same(To, bool))
    return x != 0;
  else
    return static_cast<To>(x);
}

// memcpy whose whole lines go past the caches.
inline void copy_streamed(uint8_t* y, const uint8_t* x, int64_t n) {
  constexpr int64_t kLine = 64;
  const int64_t head = min64(n, -reinterpret_cast<intptr_t>(y) & (kLine - 1)), end = n - (n - head) % kLine;
  __builtin_memcpy(y, x, head);
  for (int64_t i = head; i < end; i += kVecBytes) store_streaming(y + i, load(x + i));
  __builtin_memcpy(y + end, x + end, n - end);
}

template <class To, class From>
inline void copy_row(To* y, const From* x, int64_t n, int64_t ys, int64_t xs, bool stream) {
  if (ys == 1 && xs == 1) {
    if constexpr (__is_same(To, From)) {
      if (stream)
        copy_streamed(reinterpret_cast<uint8_t*>(y), reinterpret_cast<const uint8_t*>(x), n * sizeof(To));
      else
        __builtin_memcpy(y, x, n * sizeof(To));
    } else {
      for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
    }
  } else if (ys == 1 && xs == 0) {
    const To v = convert<To>(*x);
    for (int64_t i = 0; i < n; ++i) y[i] = v;
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * ys] = convert<To>(x[i * xs]);
  }
}

// Where x is fastest along another axis than y (a transpose), tiles of both keep cache lines in use.
template <class To, class From>
inline void copy_tile(To* y, const From* x, int64_t m, int64_t n, int64_t yr, int64_t yc, int64_t xr,
                      int64_t xc) {
  constexpr int64_t B = 32;
  for (int64_t i0 = 0; i0 < m; i0 += B)
    for (int64_t j0 = 0; j0 < n; j0 += B) {
      const int64_t i1 = min64(m, i0 + B), j1 = min64(n, j0 + B);
      for (int64_t i = i0; i < i1; ++i)
        for (int64_t j = j0; j < j1; ++j) y[i * yr + j * yc] = convert<To>(x[i * xr + j * xc]);
    }
}

template <class To, class From>
void copy_typed(const CopyArgs& p) {
  const From* x = static_cast<const From*>(p.x);
  To* y = static_cast<To*>(p.y);
  if (p.ndim == 0) {
    *y = convert<To>(*x);
    return;
  }
  int64_t total = 1;
  for (int d = 0; d < p.ndim; ++d) total *= p.shape[d];
  // Short rows would be streamed in pieces of lines.
  const bool stream = total * static_cast<int64_t>(sizeof(To)) >= kStreamedBytes &&
                      p.shape[p.ndim - 1] * static_cast<int64_t>(sizeof(To)) >= 1024;
  if (p.ndim == 1) {
    parallel_for(p.shape[0], kGrain, [&](int64_t b, int64_t e) {
      copy_row(y + b * p.ys[0], x + b * p.xs[0], e - b, p.ys[0], p.xs[0], stream);
      fence();
    });
    return;
  }
  // The two last axes as a matrix, or rows; the axes before them by index.
  const int last = p.ndim - 1, prev = p.ndim - 2;
  const int64_t m = p.shape[prev], n = p.shape[last];
  const bool tiled = p.xs[prev] == 1 && p.xs[last] != 1 && p.xs[last] != 0;
  int64_t outer = 1;
  for (int d = 0; d < prev; ++d) outer *= p.shape[d];
  const int64_t strip = tiled ? 32 : 1;
  const int64_t strips = ceil_div(m, strip);
  parallel_for(outer * strips, max64(1, kGrain / max64(1, n * strip)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      int64_t index = t / strips, xo = 0, yo = 0;
      for (int d = prev - 1; d >= 0; --d) {
        const int64_t i = index % p.shape[d];
        index /= p.shape[d];
        xo += i * p.xs[d], yo += i * p.ys[d];
      }
      const int64_t r = t % strips * strip;
      const From* xr = x + xo + r * p.xs[prev];
      To* yr = y + yo + r * p.ys[prev];
      if (tiled)
        copy_tile(yr, xr, min64(strip, m - r), n, p.ys[prev], p.ys[last], p.xs[prev], p.xs[last]);
      else
        copy_row(yr, xr, n, p.ys[last], p.xs[last], stream);
    }
    fence();
  });
}

}  // namespace

template <class T>
void copy(const CopyArgs& p) {
  switch (p.x_dtype) {
    case DType::f32:
      return copy_typed<T, float>(p);
    case DType::f64:
      return copy_typed<T, double>(p);
    case DType::i32:
      return copy_typed<T, int32_t>(p);
    case DType::i64:
      return copy_typed<T, int64_t>(p);
    case DType::u8:
      return copy_typed<T, uint8_t>(p);
    case DType::b8:
      return copy_typed<T, bool>(p);
    case DType::bf16:
      return;  // storage only so far; the op refuses it
  }
}

DLCORE_INSTANTIATE_ALL(copy, CopyArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
