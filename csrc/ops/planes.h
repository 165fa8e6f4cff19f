// Memory formats of (..., C, *spatial) arrays for the families that take both by strides.
#pragma once

#include "ops/ops.h"

namespace dlcore {

inline bool is_channels_last(const Array& x, int nd) {
  return !x.contiguous() && x.stride(x.ndim() - nd - 1) == 1 && x.dim(x.ndim() - nd - 1) > 1;
}

// Strides without gaps, the channels fastest or row-major; the shape's product has been checked.
inline Dims dense_strides(const Dims& shape, int nd, bool channels_last) {
  Dims strides = row_major(shape);
  if (!channels_last) return strides;
  const int c = shape.n - nd - 1;
  int64_t step = shape[c];
  strides[c] = 1;
  for (int i = shape.n - 1; i > c; --i) strides[i] = step, step *= shape[i];
  return strides;
}

inline Array empty_in_format(const Dims& shape, DType dtype, Device device, int nd, bool channels_last) {
  return Array::empty(shape, dtype, device).view(shape, dense_strides(shape, nd, channels_last));
}

// `a` itself where it is dense in that format, else a copy.
inline Array in_format(const Array& a, int nd, bool channels_last) {
  const Dims strides = dense_strides(a.shape(), nd, channels_last);
  bool same = true;
  for (int i = 0; i < a.ndim(); ++i) same &= a.dim(i) == 1 || a.stride(i) == strides[i];
  if (same || a.numel() == 0) return a;
  const Array made = empty_in_format(a.shape(), a.dtype(), a.device(), nd, channels_last);
  copy_into(made, a);
  return made;
}

}  // namespace dlcore
