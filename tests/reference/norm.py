"""Twins of the norm family."""

import math

import numpy as np


def _sum(x, axes):
    """NumPy adds pairwise along a contiguous last axis, term by term along others: so the axes go last."""
    ends = tuple(range(-len(axes), 0))
    moved = np.ascontiguousarray(np.moveaxis(x, axes, ends))
    n = moved.ndim - len(axes)
    return moved.reshape(*moved.shape[:n], math.prod(moved.shape[n:])).sum(-1)


def _mean(x, axes):  # 0 of nothing
    return np.expand_dims(_sum(x, axes), axes) / max(1, math.prod(x.shape[a] for a in axes))


def _normalise(x, axes, eps):
    mean = _mean(x, axes)
    var = _mean((x - mean) ** 2, axes)
    return mean, 1 / np.sqrt(var + np.asarray(eps, x.dtype))


def _affine(y, weight, bias, shape):
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _result(y, *statistics, return_statistics):
    return (y, *statistics) if return_statistics else y


def _gradient(g, hat, rstd, axes):
    return rstd * (g - _mean(g, axes) - hat * _mean(g * hat, axes))


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5, return_statistics=False):
    axes = tuple(range(-len(normalized_shape), 0))
    mean, rstd = _normalise(x, axes, eps)
    y = _affine((x - mean) * rstd, weight, bias, normalized_shape)
    return _result(y, mean.squeeze(axes), rstd.squeeze(axes), return_statistics=return_statistics)


def _rows(a, n):
    return a.reshape(a.shape + (1,) * n)


def layer_norm_backward(dy, x, normalized_shape, mean, rstd, weight=None):
    n = len(normalized_shape)
    axes, lead = tuple(range(-n, 0)), tuple(range(x.ndim - n))
    rstd = _rows(rstd, n)
    hat = (x - _rows(mean, n)) * rstd
    dx = _gradient(dy if weight is None else dy * weight, hat, rstd, axes)
    return dx, _sum(dy * hat, lead), _sum(dy, lead)


def rms_norm(x, normalized_shape, weight=None, eps=None, return_statistics=False):
    axes = tuple(range(-len(normalized_shape), 0))
    if eps is None:
        eps = np.finfo(np.float32).eps if x.dtype == np.float32 else np.finfo(np.float64).eps
    rstd = 1 / np.sqrt(_mean(x * x, axes) + np.asarray(eps, x.dtype))
    return _result(
        _affine(x * rstd, weight, None, normalized_shape),
        rstd.squeeze(axes),
        return_statistics=return_statistics,
    )


def rms_norm_backward(dy, x, normalized_shape, rstd, weight=None):
    n = len(normalized_shape)
    axes, lead = tuple(range(-n, 0)), tuple(range(x.ndim - n))
    rstd = _rows(rstd, n)
    hat = x * rstd
    g = dy if weight is None else dy * weight
    return rstd * (g - hat * _mean(g * hat, axes)), _sum(dy * hat, lead)


def _channels(x):
    return (1, -1) + (1,) * (x.ndim - 2)


def batch_norm(
    x,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    eps=1e-5,
    return_statistics=False,
):
    shape = _channels(x)
    if training:
        mean, rstd = _normalise(x, (0, *range(2, x.ndim)), eps)
    else:
        mean = running_mean.reshape(shape)
        rstd = 1 / np.sqrt(running_var.reshape(shape) + np.asarray(eps, x.dtype))
    y = _affine((x - mean) * rstd, weight, bias, shape)
    return _result(y, mean.ravel(), rstd.ravel(), return_statistics=return_statistics)


def batch_norm_backward(dy, x, mean, rstd, weight=None, training=True):
    shape, axes = _channels(x), (0, *range(2, x.ndim))
    rstd = rstd.reshape(shape)
    hat = (x - mean.reshape(shape)) * rstd
    g = dy if weight is None else dy * weight.reshape(shape)
    dx = _gradient(g, hat, rstd, axes) if training else g * rstd
    return dx, _sum(dy * hat, axes), _sum(dy, axes)


def _grouped(a, groups):
    return a.reshape(a.shape[0], groups, math.prod(a.shape[1:]) // groups)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5, return_statistics=False):
    x3 = _grouped(x, num_groups)
    mean, rstd = _normalise(x3, (2,), eps)
    y = _affine(((x3 - mean) * rstd).reshape(x.shape), weight, bias, _channels(x))
    return _result(y, mean.squeeze(2), rstd.squeeze(2), return_statistics=return_statistics)


def group_norm_backward(dy, x, num_groups, mean, rstd, weight=None):
    shape, axes = _channels(x), (0, *range(2, x.ndim))
    rstd = rstd[..., None]
    hat = (_grouped(x, num_groups) - mean[..., None]) * rstd
    g = _grouped(dy if weight is None else dy * weight.reshape(shape), num_groups)
    dx = _gradient(g, hat, rstd, (2,)).reshape(x.shape)
    return dx, _sum(dy * hat.reshape(x.shape), axes), _sum(dy, axes)


def _window_sum(v, before, after):
    C = v.shape[1]
    return np.stack([v[:, max(0, c - before) : c + after + 1].sum(1) for c in range(C)], 1)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    s = x.dtype.type(k) + x.dtype.type(alpha / size) * _window_sum(x * x, size // 2, (size - 1) // 2)
    return x * s ** x.dtype.type(-beta)


def local_response_norm_backward(dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    t = x.dtype.type
    s = t(k) + t(alpha / size) * _window_sum(x * x, size // 2, (size - 1) // 2)
    r = s ** t(-beta)
    return dy * r - t(2 * alpha / size * beta) * x * _window_sum(dy * x * r / s, (size - 1) // 2, size // 2)
