"""Twins of the resample family: one dense matrix an axis; windows and grid points one by one."""

import itertools
import math

import numpy as np


def _filter(mode, x):
    x = abs(x)
    if mode == "linear":
        return max(0.0, 1 - x)
    if mode == "lanczos":
        return float(np.sinc(x) * np.sinc(x / 3)) if x < 3 else 0.0
    a = -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def _cubic(x, a=-0.75):
    x = abs(x)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


def matrix(size, out, mode, align_corners=False, scale=None, antialias=False):
    """(out, size) in float64."""
    m = np.zeros((out, size))
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        step = 1 / scale if scale else size / out
    for o in range(out):
        centre = step * (o + 0.5)
        if mode in ("nearest", "nearest-exact"):
            m[o, min(int(step * o if mode == "nearest" else centre), size - 1)] = 1
        elif antialias:
            wide = max(step, 1.0)
            reach = {"linear": 1, "cubic": 2, "lanczos": 3}[mode] * wide
            places = range(max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), size))
            weights = np.array([_filter(mode, (i - centre + 0.5) / wide) for i in places])
            m[o, places.start : places.stop] = weights / weights.sum()
        else:
            at = step * o if align_corners else centre - 0.5
            if mode == "linear":
                at = float(o) if size == out else max(at, 0.0)
            low = min(math.floor(at), size - 1)
            taps = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
            t = min(max(at - low, 0.0), 1.0)
            for k in taps:
                weight = 1 - abs(t - k) if mode == "linear" else _cubic(t - k)
                m[o, min(max(low + k, 0), size - 1)] += weight
    return m


_KIND = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


def _apply(x, matrices):
    """Each matrix along its spatial axis, in x's dtype."""
    for i, m in enumerate(matrices):
        d = x.ndim - len(matrices) + i
        x = np.moveaxis(np.tensordot(m.astype(x.dtype), x, (1, d)), 0, d)
    return x


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, antialias=False):
    n = x.ndim - 2
    scales = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * n
    if size is None:
        size = [int(s * f) for s, f in zip(x.shape[2:], scales)]
    size = size if isinstance(size, (tuple, list)) else (size,) * n
    kind = _KIND.get(mode, mode)
    return _apply(
        x,
        [matrix(x.shape[2 + i], size[i], kind, bool(align_corners), scales[i], antialias) for i in range(n)],
    )


def interpolate_backward(dy, size, mode="nearest", align_corners=False, scales=(), antialias=False):
    n = len(size)
    scales = scales or (None,) * n
    kind = _KIND.get(mode, mode)
    return _apply(
        dy,
        [matrix(size[i], dy.shape[2 + i], kind, align_corners, scales[i], antialias).T for i in range(n)],
    )


def _pair(v):
    return v if isinstance(v, tuple) else (v, v)


def _blocks(size, k, d, p, s):
    """The input position that element i of block o sees along one axis: (o, i)."""
    out = (size + 2 * p - d * (k - 1) - 1) // s + 1
    return np.arange(out)[:, None] * s - p + np.arange(k) * d


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    p = x if x.ndim == 4 else x[None]
    axes = list(zip(*map(_pair, (kernel_size, dilation, padding, stride))))
    hs, ws = (_blocks(p.shape[2 + i], *axes[i]) for i in range(2))
    y = np.zeros((*p.shape[:2], hs.shape[1], ws.shape[1], len(hs), len(ws)), x.dtype)
    for oh, i, ow, j in itertools.product(*map(range, (*hs.shape, *ws.shape))):
        h, w = hs[oh, i], ws[ow, j]
        if 0 <= h < p.shape[2] and 0 <= w < p.shape[3]:
            y[:, :, i, j, oh, ow] = p[:, :, h, w]
    y = y.reshape(len(p), p.shape[1] * hs.shape[1] * ws.shape[1], len(hs) * len(ws))
    return y if x.ndim == 4 else y[0]


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    p, size = (x if x.ndim == 3 else x[None]), _pair(output_size)
    axes = list(zip(*map(_pair, (kernel_size, dilation, padding, stride))))
    hs, ws = (_blocks(size[i], *axes[i]) for i in range(2))
    area = hs.shape[1] * ws.shape[1]
    c = p.reshape(len(p), p.shape[1] // area, hs.shape[1], ws.shape[1], len(hs), len(ws))
    y = np.zeros((*c.shape[:2], *size), x.dtype)
    for oh, i, ow, j in itertools.product(*map(range, (*hs.shape, *ws.shape))):
        h, w = hs[oh, i], ws[ow, j]
        if 0 <= h < size[0] and 0 <= w < size[1]:
            y[:, :, h, w] += c[:, :, i, j, oh, ow]
    return y if x.ndim == 3 else y[0]


# ---- grid_sample -------------------------------------------------------------------------------------------


def _place(at, size, padding_mode, align_corners):
    """A position after padding."""
    if padding_mode == "zeros":
        return at
    if padding_mode == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            return 0.0
        at = abs(at - low)
        flips, extra = divmod(at, span)
        at = (extra if flips % 2 == 0 else span - extra) + low
    return min(max(at, 0.0), size - 1.0)


def _taps(g, size, mode, padding_mode, align_corners):
    """[(position or None, weight)] along one axis."""
    g = -1.0 if np.isnan(g) else float(g)
    at = (g + 1) / 2 * (size - 1) if align_corners else ((g + 1) * size - 1) / 2
    if mode == "bicubic":
        low = math.floor(at)
        places = [
            (_place(low + k, size, padding_mode, align_corners), _cubic(at - low - k)) for k in (-1, 0, 1, 2)
        ]
    else:
        at = _place(at, size, padding_mode, align_corners)
        if mode == "nearest":
            places = [(round(at), 1.0)]
        else:
            low = math.floor(at)
            places = [(low, low + 1 - at), (low + 1, at - low)]
    return [(int(p) if 0 <= p < size else None, w) for p, w in places]


def _points(x, grid, mode, padding_mode, align_corners):
    """For each grid point: its index, and its taps (index into the volume, weight)."""
    for at in np.ndindex(*grid.shape[:-1]):
        axes = [
            _taps(grid[at][i], x.shape[-1 - i], mode, padding_mode, align_corners)
            for i in range(grid.shape[-1])
        ]
        taps = []
        for combination in itertools.product(*axes[::-1]):
            place = tuple(p for p, _ in combination)
            if None not in place:
                taps.append((place, float(np.prod([w for _, w in combination]))))
        yield at, taps


def grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    y = np.zeros((x.shape[0], x.shape[1], *grid.shape[1:-1]), x.dtype)
    for (n, *at), taps in _points(x, grid, mode, padding_mode, align_corners):
        for place, weight in taps:
            y[(n, slice(None), *at)] += x[(n, slice(None), *place)] * x.dtype.type(weight)
    return y


def grid_sample_backward(dy, x, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    """dx by scattering; dgrid by central differences of the float64 forward."""
    dx = np.zeros_like(x)
    for (n, *at), taps in _points(x, grid, mode, padding_mode, align_corners):
        for place, weight in taps:
            dx[(n, slice(None), *place)] += dy[(n, slice(None), *at)] * x.dtype.type(weight)
    step, wide, slopes = 1e-5, grid.astype(np.float64), np.zeros(grid.shape)
    for i in range(grid.shape[-1]):
        moved = np.zeros(grid.shape)
        moved[..., i] = step
        up, down = (
            grid_sample(x.astype(np.float64), wide + s * moved, mode, padding_mode, align_corners)
            for s in (1, -1)
        )
        slopes[..., i] = ((up - down) * dy).sum(1) / (2 * step)
    return dx, slopes.astype(x.dtype)
