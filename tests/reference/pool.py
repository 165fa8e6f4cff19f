"""Twins of the pooling family: every window by itself; `axes` holds the windows of each spatial axis."""

import numpy as np


def _tuple(v, n):
    v = tuple(v) if isinstance(v, (tuple, list)) else (v,)
    return v * n if len(v) == 1 else v


def out_size(size, k, s, before, after, d, ceil_mode):
    span = size + before + after - d * (k - 1) - 1
    out = -(-span // s) + 1 if ceil_mode else span // s + 1
    return out - 1 if ceil_mode and (out - 1) * s >= size + before else out


def axis_windows(size, k, s, pad, d, ceil_mode):
    """For every output: the input positions that its window sees, and how many the padded window counts."""
    before, after = pad
    result = []
    for o in range(out_size(size, k, s, before, after, d, ceil_mode)):
        start = o * s - before
        inside = [start + i * d for i in range(k) if 0 <= start + i * d < size]
        result.append((inside, min(start + k, size + after) - start))
    return result


def axis_adaptive(size, out):
    result = []
    for o in range(out):
        inside = list(range(o * size // out, -(-(o + 1) * size // out)))
        result.append((inside, len(inside)))
    return result


ONE = [([0], 1)]  # the windows of an axis that is not there


def _volumes(x, nd):
    """(N, C, D, H, W) over x."""
    x = x[None] if x.ndim == nd + 1 else x
    return x.reshape(*x.shape[:2], *(1,) * (3 - nd), *x.shape[2:])


def _windows(p, axes):
    """(places in y, places in the volume, window (N, C, n), how many elements it counts) for every output."""
    D, H, W = p.shape[2:]
    for od, (ds, nd) in enumerate(axes[0]):
        for oh, (hs, nh) in enumerate(axes[1]):
            for ow, (ws, nw) in enumerate(axes[2]):
                at = np.array([(d * H + h) * W + w for d in ds for h in hs for w in ws], np.int64)
                yield (od, oh, ow), at, p.reshape(*p.shape[:2], D * H * W)[:, :, at], nd * nh * nw


def _result(y, x, nd):
    y = y.reshape(*y.shape[:2], *y.shape[5 - nd :])
    return y[0] if x.ndim == nd + 1 else y


def _three(axes):
    return [ONE] * (3 - len(axes)) + list(axes)


def _max(x, nd, axes, return_indices):
    axes, p = _three(axes), _volumes(x, nd)
    y = np.empty((*p.shape[:2], *map(len, axes)), x.dtype)
    index = np.empty(y.shape, np.int64)
    for place, at, window, _ in _windows(p, axes):
        nan = np.isnan(window)
        # The first maximum; of several NaNs the last.
        best = np.where(nan.any(-1), window.shape[-1] - 1 - nan[..., ::-1].argmax(-1), window.argmax(-1))
        y[(..., *place)] = np.take_along_axis(window, best[..., None], -1)[..., 0]
        index[(..., *place)] = at[best]
    y, index = _result(y, x, nd), _result(index, x, nd)
    return (y, index) if return_indices else y


def _avg(x, nd, axes, count_include_pad, divisor):
    axes, p = _three(axes), _volumes(x, nd)
    y = np.empty((*p.shape[:2], *map(len, axes)), x.dtype)
    for place, at, window, counted in _windows(p, axes):
        count = divisor or (counted if count_include_pad else len(at))
        y[(..., *place)] = window.sum(-1) / x.dtype.type(count)
    return _result(y, x, nd)


def _geometry(x, nd, kernel_size, stride, padding, dilation, ceil_mode):
    """Windows along the spatial axes; `padding` entries may be (before, after) pairs."""
    k = _tuple(kernel_size, nd)
    s = k if stride is None else _tuple(stride, nd)
    pads = [p if isinstance(p, tuple) else (p, p) for p in _tuple(padding, nd)]
    d = _tuple(dilation, nd)
    return [axis_windows(x.shape[i - nd], k[i], s[i], pads[i], d[i], ceil_mode) for i in range(nd)]


def max_pool(x, nd, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max(x, nd, _geometry(x, nd, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def avg_pool(
    x, nd, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    axes = _geometry(x, nd, kernel_size, stride, padding, 1, ceil_mode)
    return _avg(x, nd, axes, count_include_pad, divisor_override)


def _adaptive(x, nd, output_size):
    size = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * nd
    return [
        axis_adaptive(x.shape[i - nd], x.shape[i - nd] if size[i] is None else size[i]) for i in range(nd)
    ]


def max_pool1d(x, *args, **kwargs):
    return max_pool(x, 1, *args, **kwargs)


def avg_pool1d(x, *args, **kwargs):
    return avg_pool(x, 1, *args, **kwargs)


def adaptive_max_pool1d(x, output_size, return_indices=False):
    return _max(x, 1, _adaptive(x, 1, output_size), return_indices)


def adaptive_avg_pool1d(x, output_size):
    return _avg(x, 1, _adaptive(x, 1, output_size), False, None)


def max_pool2d(x, *args, **kwargs):
    return max_pool(x, 2, *args, **kwargs)


def avg_pool2d(x, *args, **kwargs):
    return avg_pool(x, 2, *args, **kwargs)


def adaptive_max_pool2d(x, output_size, return_indices=False):
    return _max(x, 2, _adaptive(x, 2, output_size), return_indices)


def adaptive_avg_pool2d(x, output_size):
    return _avg(x, 2, _adaptive(x, 2, output_size), False, None)


def max_pool3d(x, *args, **kwargs):
    return max_pool(x, 3, *args, **kwargs)


def avg_pool3d(x, *args, **kwargs):
    return avg_pool(x, 3, *args, **kwargs)


def adaptive_max_pool3d(x, output_size, return_indices=False):
    return _max(x, 3, _adaptive(x, 3, output_size), return_indices)


def adaptive_avg_pool3d(x, output_size):
    return _avg(x, 3, _adaptive(x, 3, output_size), False, None)


def max_pool_backward(dy, indices, x_shape, nd):
    """dy added at the indices of each plane."""
    plane = int(np.prod(x_shape[-nd:]))
    dx = np.zeros((int(np.prod(x_shape[:-nd])), plane), dy.dtype)
    flat = (len(dx), int(np.prod(dy.shape[-nd:])))
    for p, (g, i) in enumerate(zip(dy.reshape(flat), indices.reshape(flat))):
        np.add.at(dx[p], i, g)
    return dx.reshape(x_shape)


def avg_backward(dy, x_shape, nd, axes, count_include_pad, divisor):
    axes, g = _three(axes), _volumes(dy, nd)
    inside = (1,) * (3 - nd) + tuple(x_shape[-nd:])
    dx = np.zeros((*g.shape[:2], int(np.prod(inside))), dy.dtype)
    for place, at, _, counted in _windows(dx.reshape(*g.shape[:2], *inside), axes):
        count = divisor or (counted if count_include_pad else len(at))
        dx[:, :, at] += g[(..., *place)][..., None] / dy.dtype.type(count)
    return dx.reshape(x_shape)


def avg_pool_backward(
    dy,
    x_shape,
    nd,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    axes = _geometry(np.empty(x_shape), nd, kernel_size, stride, padding, 1, ceil_mode)
    return avg_backward(dy, x_shape, nd, axes, count_include_pad, divisor_override)


def adaptive_avg_pool_backward(dy, x_shape, nd):
    return avg_backward(dy, x_shape, nd, _adaptive(np.empty(x_shape), nd, dy.shape[-nd:]), False, None)


def _starts(size, k, out, u, dtype):
    alpha = dtype(size - k) / dtype(max(1, out - 1))
    return [int((dtype(o) + u) * alpha) - int(u * alpha) for o in range(out - 1)] + [size - k]


def _fractional(x, nd, kernel_size, output_size, samples):
    """Windows of each plane by itself: u of the last axis comes first in 2-d, last in 3-d."""
    k, out = _tuple(kernel_size, nd), _tuple(output_size, nd)
    p = x[None] if x.ndim == nd + 1 else x
    y = np.empty((*p.shape[:2], *out), x.dtype)
    index = np.empty(y.shape, np.int64)
    for n, c in np.ndindex(*p.shape[:2]):
        u = samples[n, c][::-1] if nd == 2 else samples[n, c]
        axes = [
            [(range(s, s + k[i]), k[i]) for s in _starts(p.shape[2 + i], k[i], out[i], u[i], x.dtype.type)]
            for i in range(nd)
        ]
        y[n, c], index[n, c] = _max(p[n, c][None], nd, axes, True)
    return (y[0], index[0]) if x.ndim == nd + 1 else (y, index)


def fractional_max_pool2d(x, kernel_size, output_size, samples):
    return _fractional(x, 2, kernel_size, output_size, samples)


def fractional_max_pool3d(x, kernel_size, output_size, samples):
    return _fractional(x, 3, kernel_size, output_size, samples)
