// Pooling: a thread an output (forward) or an input pixel (backward gathers from the windows that cover it):
// no atomics, one order of sums. Neighbouring threads take neighbouring elements in memory in either format.
// The gradient of a maximum kept as plane positions is scattered, a thread a plane, because positions do not
// say which windows cover.
#include "cuda/common.cuh"

namespace dlcore {
namespace cuda {
namespace {

__device__ int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Span {
  int64_t start, lo, hi;
};
__device__ Span span(const PoolAxis& a, int64_t o) {
  if (a.kernel == 0) {
    const int64_t start = o * a.in / a.out;
    return {start, 0, ceil_div((o + 1) * a.in, a.out) - start};
  }
  const int64_t start = o * a.stride - a.before;
  const int64_t lo = start >= 0 ? 0 : ceil_div(-start, a.dilation);
  const int64_t hi = start >= a.in ? 0 : min(a.kernel, ceil_div(a.in - start, a.dilation));
  return {start, lo, max(lo, hi)};
}

struct Cover {
  int64_t lo, hi;
};
__device__ Cover cover(const PoolAxis& a, int64_t i) {
  if (a.kernel == 0) return {i * a.out / a.in, ceil_div((i + 1) * a.out, a.in)};
  const int64_t last = i + a.before, first = last - (a.kernel - 1) * a.dilation;
  return {first <= 0 ? 0 : ceil_div(first, a.stride), min(a.out, last / a.stride + 1)};
}

__device__ int64_t counted(const PoolAxis& a, bool include_pad, int64_t o) {
  const Span s = span(a, o);
  const int64_t n = include_pad && a.kernel ? min(s.start + a.kernel, a.in + a.after) - s.start : s.hi - s.lo;
  return n > 1 ? n : 1;
}
__device__ int64_t divisor(const PoolShape& p, int64_t od, int64_t oh, int64_t ow) {
  if (p.divisor) return p.divisor;
  return counted(p.d, p.count_include_pad, od) * counted(p.h, p.count_include_pad, oh) *
         counted(p.w, p.count_include_pad, ow);
}

struct Place {
  int64_t n, c, d, h, w;
};
__device__ Place place(int64_t t, int64_t C, int64_t D, int64_t H, int64_t W, bool channels_last) {
  Place r;
  if (channels_last) r.c = t % C, t /= C;
  r.w = t % W, t /= W;
  r.h = t % H, t /= H;
  r.d = t % D, t /= D;
  if (channels_last) {
    r.n = t;
  } else {
    r.c = t % C, r.n = t / C;
  }
  return r;
}
__device__ int64_t x_at(const PoolShape& p, const Place& i) {
  return i.n * p.x_ns + i.c * p.x_cs + i.d * p.x_ds + i.h * p.x_hs + i.w * p.x_ws;
}
__device__ int64_t y_at(const PoolShape& p, const Place& i) {
  return i.n * p.y_ns + i.c * p.y_cs + i.d * p.y_ds + i.h * p.y_hs + i.w * p.y_ws;
}

int64_t outputs(const PoolShape& p) { return p.N * p.C * p.d.out * p.h.out * p.w.out; }
int64_t pixels(const PoolShape& p) { return p.N * p.C * p.d.in * p.h.in * p.w.in; }

}  // namespace

template <class T>
void max_pool_forward(const PoolArgs& args) {
  const PoolArgs p = args;
  for_each(p.y, outputs(p), [=] __device__(int64_t t) {
    const Place o = place(t, p.C, p.d.out, p.h.out, p.w.out, p.channels_last);
    const Span d = span(p.d, o.d), h = span(p.h, o.h), w = span(p.w, o.w);
    const T* x = static_cast<const T*>(p.x) + o.n * p.x_ns + o.c * p.x_cs;
    T m = -static_cast<T>(INFINITY);
    int64_t bk = d.lo, bi = h.lo, bj = w.lo;
    for (int64_t k = d.lo; k < d.hi; ++k)
      for (int64_t i = h.lo; i < h.hi; ++i)
        for (int64_t j = w.lo; j < w.hi; ++j) {
          const T v = x[(d.start + k * p.d.dilation) * p.x_ds + (h.start + i * p.h.dilation) * p.x_hs +
                        (w.start + j * p.w.dilation) * p.x_ws];
          if (v > m || v != v) m = v, bk = k, bi = i, bj = j;
        }
    const int64_t at = y_at(p, o);
    static_cast<T*>(p.y)[at] = m;
    if (p.save == PoolSave::offsets) {
      static_cast<uint8_t*>(p.saved)[at] = static_cast<uint8_t>((bk * p.h.kernel + bi) * p.w.kernel + bj);
    } else if (p.save == PoolSave::indices) {
      const int64_t row = (d.start + bk * p.d.dilation) * p.h.in + h.start + bi * p.h.dilation;
      static_cast<int64_t*>(p.saved)[at] = row * p.w.in + w.start + bj * p.w.dilation;
    }
  });
}

template <class T>
void max_pool_backward(const PoolBackwardArgs& args) {
  const PoolBackwardArgs p = args;
  if (p.save == PoolSave::indices) {
    for_each(p.dx, p.N * p.C, [=] __device__(int64_t t) {
      const int64_t n = t / p.C, c = t % p.C, size = p.d.in * p.h.in * p.w.in;
      T* dx = static_cast<T*>(p.dx) + n * p.x_ns + c * p.x_cs;  // dense: positions step by x_ws
      for (int64_t i = 0; i < size; ++i) dx[i * p.x_ws] = 0;
      for (int64_t od = 0; od < p.d.out; ++od)
        for (int64_t oh = 0; oh < p.h.out; ++oh)
          for (int64_t ow = 0; ow < p.w.out; ++ow) {
            const int64_t at = y_at(p, {n, c, od, oh, ow});
            const int64_t index = static_cast<const int64_t*>(p.saved)[at];
            if (index >= 0 && index < size) dx[index * p.x_ws] += static_cast<const T*>(p.dy)[at];
          }
    });
    return;
  }
  for_each(p.dx, pixels(p), [=] __device__(int64_t t) {
    const Place i = place(t, p.C, p.d.in, p.h.in, p.w.in, p.channels_last);
    const Cover ds = cover(p.d, i.d), hs = cover(p.h, i.h), ws = cover(p.w, i.w);
    const uint32_t kh = static_cast<uint32_t>(p.h.kernel), kw = static_cast<uint32_t>(p.w.kernel);
    T sum = 0;
    for (int64_t od = ds.lo; od < ds.hi; ++od) {
      const int64_t dd = i.d + p.d.before - od * p.d.stride;
      for (int64_t oh = hs.lo; oh < hs.hi; ++oh) {
        const int64_t dh = i.h + p.h.before - oh * p.h.stride;
        for (int64_t ow = ws.lo; ow < ws.hi; ++ow) {
          const int64_t dw = i.w + p.w.before - ow * p.w.stride;
          const int64_t at = y_at(p, {i.n, i.c, od, oh, ow});
          const uint32_t kept = static_cast<const uint8_t*>(p.saved)[at];
          if (kept / kw / kh * p.d.dilation == dd && kept / kw % kh * p.h.dilation == dh &&
              kept % kw * p.w.dilation == dw)
            sum += static_cast<const T*>(p.dy)[at];
        }
      }
    }
    static_cast<T*>(p.dx)[x_at(p, i)] = sum;
  });
}

template <class T>
void avg_pool_forward(const PoolArgs& args) {
  const PoolArgs p = args;
  for_each(p.y, outputs(p), [=] __device__(int64_t t) {
    const Place o = place(t, p.C, p.d.out, p.h.out, p.w.out, p.channels_last);
    const Span d = span(p.d, o.d), h = span(p.h, o.h), w = span(p.w, o.w);
    const T* x = static_cast<const T*>(p.x) + o.n * p.x_ns + o.c * p.x_cs;
    T sum = 0;
    for (int64_t k = d.lo; k < d.hi; ++k)
      for (int64_t i = h.lo; i < h.hi; ++i) {
        const T* from = x + (d.start + k) * p.x_ds + (h.start + i) * p.x_hs + w.start * p.x_ws;
        T row = 0;
        for (int64_t j = w.lo; j < w.hi; ++j) row += from[j * p.x_ws];
        sum += row;
      }
    static_cast<T*>(p.y)[y_at(p, o)] = sum / static_cast<T>(divisor(p, o.d, o.h, o.w));
  });
}

template <class T>
void avg_pool_backward(const PoolBackwardArgs& args) {
  const PoolBackwardArgs p = args;
  for_each(p.dx, pixels(p), [=] __device__(int64_t t) {
    const Place i = place(t, p.C, p.d.in, p.h.in, p.w.in, p.channels_last);
    const Cover ds = cover(p.d, i.d), hs = cover(p.h, i.h), ws = cover(p.w, i.w);
    T sum = 0;
    for (int64_t od = ds.lo; od < ds.hi; ++od)
      for (int64_t oh = hs.lo; oh < hs.hi; ++oh)
        for (int64_t ow = ws.lo; ow < ws.hi; ++ow)
          sum += static_cast<const T*>(p.dy)[y_at(p, {i.n, i.c, od, oh, ow})] /
                 static_cast<T>(divisor(p, od, oh, ow));
    static_cast<T*>(p.dx)[x_at(p, i)] = sum;
  });
}

DLCORE_CUDA_FLOATS(max_pool_forward, PoolArgs)
DLCORE_CUDA_FLOATS(max_pool_backward, PoolBackwardArgs)
DLCORE_CUDA_FLOATS(avg_pool_forward, PoolArgs)
DLCORE_CUDA_FLOATS(avg_pool_backward, PoolBackwardArgs)

}  // namespace cuda
}  // namespace dlcore
