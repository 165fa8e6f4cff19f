// Layer norm and RMS norm: each row of n elements, contiguous, by its own statistics.
// J. L. Ba, J. R. Kiros, G. Hinton: Layer normalization (2016); B. Zhang, R. Sennrich: Root mean square layer
// normalization (2019).
//
// Forward: a row is in L1 while it is summed and normalised. Backward: two passes over a row, one for the two
// sums that dx needs, one for dx and the row's part of dweight and dbias. Those go to sums in the kernel's
// dtype over kRows rows, then to a double a chunk of rows, then the chunks are added in order.
#include "cpu/norm.h"
#include "kernels/norm.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int64_t kRows = 64;

template <bool W, bool B, bool Stream, class T>
void apply_row(const T* x, T* y, int64_t n, T mean, T rstd, const T* w, const T* b) {
  const Vec<T> m = splat(mean), r = splat(rstd);
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    Vec<T> v = (load_upto(x + i, lanes) - m) * r;
    if constexpr (W && B)
      v = fma(v, load_upto(w + i, lanes), load_upto(b + i, lanes));
    else if constexpr (W)
      v *= load_upto(w + i, lanes);
    else if constexpr (B)
      v += load_upto(b + i, lanes);
    store_result<Stream, T>(y + i, v, lanes);
  });
}

template <bool Stream, class T>
auto row_applier(bool w, bool b) {
  return w   ? b ? apply_row<true, true, Stream, T> : apply_row<true, false, Stream, T>
         : b ? apply_row<false, true, Stream, T>
             : apply_row<false, false, Stream, T>;
}

template <class T>
Moments row_moments(const T* x, int64_t n) {
  Moments m = chunk_moments(x, 1, min64(n, kChunk), 0);
  for (int64_t i = kChunk; i < n; i += kChunk) merge(m, chunk_moments(x + i, 1, min64(kChunk, n - i), 0));
  return m;
}

template <class T>
T mean_square(const T* x, int64_t n) {
  Vec<T> s = {};
  add_run<1, T>(n, &s, [&](int64_t i, int lanes, Vec<T>* acc) __attribute__((always_inline)) {
    const Vec<T> v = load_upto(x + i, lanes);
    acc[0] += v * v;
  });
  return hsum<T>(s) / static_cast<T>(n);
}

// One row of the backward. `part` holds dweight, then dbias, of C elements each from the row's first weight.
template <bool RMS, class T>
void backward_row(const RowNormBackwardArgs& p, int64_t r, T* part) {
  const int64_t n = p.n, at = r * n, column = r % p.groups * n;
  const T* x = static_cast<const T*>(p.x) + at;
  const T* dy = static_cast<const T*>(p.dy) + at;
  const T* w = p.weight ? static_cast<const T*>(p.weight) + column : nullptr;
  T* dx = p.dx ? static_cast<T*>(p.dx) + at : nullptr;
  T* dw = part ? part + column : nullptr;
  T* db = part ? dw + p.groups * n : nullptr;
  const T rs = static_cast<const T*>(p.rstd)[r];
  const Vec<T> rstd = splat(rs), mean = splat(RMS ? T(0) : static_cast<const T*>(p.mean)[r]);
  auto hat = [&](int64_t i, int lanes) __attribute__((always_inline)) {
    const Vec<T> v = load_upto(x + i, lanes);
    return (RMS ? v : v - mean) * rstd;
  };
  Vec<T> a = {}, b = {};  // mean(dy w) and mean(dy w x^)
  if (dx) {
    Vec<T> s[2] = {};
    add_run<2, T>(n, s, [&](int64_t i, int lanes, Vec<T>* acc) __attribute__((always_inline)) {
      Vec<T> g = load_upto(dy + i, lanes);
      if (w) g *= load_upto(w + i, lanes);
      if constexpr (!RMS) acc[0] += g;
      acc[1] += only<T>(g * hat(i, lanes), lanes);
    });
    a = splat(RMS ? T(0) : static_cast<T>(hsum<T>(s[0]) / static_cast<double>(n)));
    b = splat(static_cast<T>(hsum<T>(s[1]) / static_cast<double>(n)));
  }
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    const Vec<T> g = load_upto(dy + i, lanes), h = hat(i, lanes);
    if (dw) {
      store_upto(dw + i, fma(g, h, load_upto(dw + i, lanes)), lanes);
      store_upto(db + i, load_upto(db + i, lanes) + g, lanes);
    }
    if (dx) {
      const Vec<T> gw = w ? g * load_upto(w + i, lanes) : g;
      store_upto(dx + i, rstd * ((RMS ? gw : gw - a) - h * b), lanes);
    }
  });
}

template <class T>
void flush(T* part, double* total, int64_t n) {
  for (int64_t i = 0; i < n; ++i) total[i] += static_cast<double>(part[i]), part[i] = T(0);
}

template <bool RMS, class T>
void backward(const RowNormBackwardArgs& p) {
  const int64_t rows = p.rows, C = p.groups * p.n;
  if (!p.dweight && !p.dbias) {
    parallel_for(rows, max64(1, kGrain / 4 / max64(1, p.n)), [&](int64_t b, int64_t e) {
      for (int64_t r = b; r < e; ++r) backward_row<RMS, T>(p, r, nullptr);
    });
    return;
  }
  // At most 32 chunks, and no more than 2^21 partial sums.
  const int64_t most = max64(1, min64(32, (int64_t{1} << 20) / C));
  const int64_t height = max64(ceil_div(rows, most), ceil_div(kGrain, p.n));
  const int64_t chunks = ceil_div(rows, height);
  double* totals = scratch<double>(2, chunks * 2 * C);
  parallel_for(chunks, 1, [&](int64_t b, int64_t e) {
    T* part = scratch<T>(3, 2 * C);
    for (int64_t i = 0; i < 2 * C; ++i) part[i] = T(0);
    for (int64_t c = b; c < e; ++c) {
      double* total = totals + c * 2 * C;
      for (int64_t i = 0; i < 2 * C; ++i) total[i] = 0;
      const int64_t end = min64(rows, (c + 1) * height);
      for (int64_t r = c * height; r < end;) {
        const int64_t until = min64(end, r + kRows * p.groups);
        for (; r < until; ++r) backward_row<RMS, T>(p, r, part);
        flush(part, total, 2 * C);
      }
    }
  });
  auto add = [&](void* to, const double* from) {
    T* g = static_cast<T*>(to);
    if (!g) return;
    for (int64_t i = 0; i < C; ++i) {
      double s = 0;
      for (int64_t c = 0; c < chunks; ++c) s += from[c * 2 * C + i];
      g[i] += static_cast<T>(s);
    }
  };
  add(p.dweight, totals);
  add(p.dbias, totals + C);
}

}  // namespace

template <class T>
void row_norm_forward(const RowNormArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  const T* w = static_cast<const T*>(p.weight);
  const T* b = static_cast<const T*>(p.bias);
  T* y = static_cast<T*>(p.y);
  T* mean = static_cast<T*>(p.mean);
  T* rstd = static_cast<T*>(p.rstd);
  const int64_t n = p.n;
  const bool stream = streams(y, n, p.rows * n);
  const auto apply = stream ? row_applier<true, T>(w, b) : row_applier<false, T>(w, b);
  parallel_for(p.rows, max64(1, kGrain / 4 / max64(1, n)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * n, column = r % p.groups * n;
      double m = 0, v;
      if (p.rms) {
        v = mean_square(x + at, n);
      } else {
        const Moments s = row_moments(x + at, n);
        m = s.mean, v = s.m2 / s.n;
      }
      const T rs = static_cast<T>(1 / __builtin_sqrt(v + p.eps));
      if (mean) mean[r] = static_cast<T>(m);
      rstd[r] = rs;
      apply(x + at, y + at, n, static_cast<T>(m), rs, w ? w + column : w, b ? b + column : b);
    }
    if (stream) fence();
  });
}

template <class T>
void row_norm_backward(const RowNormBackwardArgs& p) {
  if (p.mean)
    backward<false, T>(p);
  else
    backward<true, T>(p);
}

DLCORE_INSTANTIATE_FLOATS(row_norm_forward, RowNormArgs)
DLCORE_INSTANTIATE_FLOATS(row_norm_backward, RowNormBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
