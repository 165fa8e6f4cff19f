"""Twins of the pooling family: every window by itself. `pads`-style paddings are (before, after) pairs an
axis."""

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


def _planes(x, nd):
    """(N, C, H, W) over x."""
    if x.ndim == nd + 1:
        x = x[None]
    return x[:, :, None, :] if nd == 1 else x


def _unplanes(y, x, nd):
    if nd == 1:
        y = y[:, :, 0]
    return y[0] if x.ndim == nd + 1 else y


def _max(x, nd, rows, cols, return_indices):
    p = _planes(x, nd)
    y = np.empty((*p.shape[:2], len(rows), len(cols)), x.dtype)
    index = np.empty(y.shape, np.int64)
    for oh, (hs, _) in enumerate(rows):
        for ow, (ws, _) in enumerate(cols):
            at = np.array([h * p.shape[3] + w for h in hs for w in ws])
            window = p[:, :, hs][:, :, :, ws].reshape(*p.shape[:2], len(at))
            nan = np.isnan(window)
            # The first maximum; of several NaNs the last.
            best = np.where(nan.any(-1), window.shape[-1] - 1 - nan[..., ::-1].argmax(-1), window.argmax(-1))
            y[:, :, oh, ow] = np.take_along_axis(window, best[..., None], -1)[..., 0]
            index[:, :, oh, ow] = at[best]
    y, index = _unplanes(y, x, nd), _unplanes(index, x, nd)
    return (y, index) if return_indices else y


def _avg(x, nd, rows, cols, count_include_pad, divisor):
    p = _planes(x, nd)
    y = np.empty((*p.shape[:2], len(rows), len(cols)), x.dtype)
    for oh, (hs, nh) in enumerate(rows):
        for ow, (ws, nw) in enumerate(cols):
            count = divisor or (nh * nw if count_include_pad else len(hs) * len(ws))
            y[:, :, oh, ow] = p[:, :, hs][:, :, :, ws].sum((2, 3)) / x.dtype.type(count)
    return _unplanes(y, x, nd)


def _geometry(x, nd, kernel_size, stride, padding, dilation, ceil_mode):
    """Windows along the two plane axes; `padding` entries may be (before, after) pairs."""
    k = _tuple(kernel_size, nd)
    s = k if stride is None else _tuple(stride, nd)
    pads = [p if isinstance(p, tuple) else (p, p) for p in _tuple(padding, nd)]
    d = _tuple(dilation, nd)
    axes = [axis_windows(x.shape[i - nd], k[i], s[i], pads[i], d[i], ceil_mode) for i in range(nd)]
    return axes if nd == 2 else [[([0], 1)], *axes]


def max_pool(x, nd, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max(x, nd, *_geometry(x, nd, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def avg_pool(
    x, nd, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    rows, cols = _geometry(x, nd, kernel_size, stride, padding, 1, ceil_mode)
    return _avg(x, nd, rows, cols, count_include_pad, divisor_override)


def _adaptive(x, nd, output_size):
    size = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * nd
    axes = [
        axis_adaptive(x.shape[i - nd], x.shape[i - nd] if size[i] is None else size[i]) for i in range(nd)
    ]
    return axes if nd == 2 else [[([0], 1)], *axes]


def max_pool1d(x, *args, **kwargs):
    return max_pool(x, 1, *args, **kwargs)


def max_pool2d(x, *args, **kwargs):
    return max_pool(x, 2, *args, **kwargs)


def avg_pool1d(x, *args, **kwargs):
    return avg_pool(x, 1, *args, **kwargs)


def avg_pool2d(x, *args, **kwargs):
    return avg_pool(x, 2, *args, **kwargs)


def adaptive_max_pool1d(x, output_size, return_indices=False):
    return _max(x, 1, *_adaptive(x, 1, output_size), return_indices)


def adaptive_max_pool2d(x, output_size, return_indices=False):
    return _max(x, 2, *_adaptive(x, 2, output_size), return_indices)


def adaptive_avg_pool1d(x, output_size):
    return _avg(x, 1, *_adaptive(x, 1, output_size), False, None)


def adaptive_avg_pool2d(x, output_size):
    return _avg(x, 2, *_adaptive(x, 2, output_size), False, None)


def max_pool_backward(dy, indices, x_shape, nd):
    """dy added at the indices of each plane."""
    plane = int(np.prod(x_shape[-nd:]))
    dx = np.zeros((int(np.prod(x_shape[:-nd])), plane), dy.dtype)
    flat = (len(dx), int(np.prod(dy.shape[-nd:])))
    for p, (g, i) in enumerate(zip(dy.reshape(flat), indices.reshape(flat))):
        np.add.at(dx[p], i, g)
    return dx.reshape(x_shape)


def avg_backward(dy, x_shape, nd, rows, cols, count_include_pad, divisor):
    g = _planes(dy, nd)
    dx = np.zeros((*g.shape[:2], x_shape[-2] if nd == 2 else 1, x_shape[-1]), dy.dtype)
    for oh, (hs, nh) in enumerate(rows):
        for ow, (ws, nw) in enumerate(cols):
            count = divisor or (nh * nw if count_include_pad else len(hs) * len(ws))
            for h in hs:
                for w in ws:
                    dx[:, :, h, w] += g[:, :, oh, ow] / dy.dtype.type(count)
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
    rows, cols = _geometry(np.empty(x_shape), nd, kernel_size, stride, padding, 1, ceil_mode)
    return avg_backward(dy, x_shape, nd, rows, cols, count_include_pad, divisor_override)


def adaptive_avg_pool_backward(dy, x_shape, nd):
    rows, cols = _adaptive(np.empty(x_shape), nd, dy.shape[-nd:])
    return avg_backward(dy, x_shape, nd, rows, cols, False, None)
