"""Twins of the convolution family."""

import numpy as np

from tests.reference.matmul import activation


def spread(value, n):
    return (value,) * n if np.isscalar(value) else tuple(value) * (n if len(value) == 1 else 1)


def pads(padding, kernel, dilation, n):
    if padding == "valid":
        return [(0, 0)] * n
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return [(t // 2, t - t // 2) for t in total]
    padding = spread(padding, n)
    return [tuple(p) if isinstance(p, (tuple, list)) else (p, p) for p in padding]


def taps(x, w, stride, padding, dilation):
    """The padded input, and for each tap the slices of it that the outputs read."""
    padded = np.pad(x, [(0, 0), (0, 0), *padding])
    out = [
        (n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(padded.shape[2:], dilation, w.shape[2:], stride)
    ]
    index = {
        tap: tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, out, stride))
        for tap in np.ndindex(*w.shape[2:])
    }
    return padded, out, index


def pixels(x):
    return x.reshape(*x.shape[:2], np.prod(x.shape[2:], dtype=int))


def geometry(x, weight, stride, padding, dilation):
    n = weight.ndim - 2
    stride, dilation = spread(stride, n), spread(dilation, n)
    return stride, pads(padding, weight.shape[2:], dilation, n), dilation


def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, act=""):
    if x.ndim == weight.ndim - 1:
        return conv(x[None], weight, bias, stride, padding, dilation, groups, act)[0]
    stride, padding, dilation = geometry(x, weight, stride, padding, dilation)
    padded, out, index = taps(x, weight, stride, padding, dilation)
    ci, co = weight.shape[1], weight.shape[0] // groups
    y = np.zeros((x.shape[0], weight.shape[0], *out), x.dtype)
    for g in range(groups):
        for tap, where in index.items():
            part = padded[(slice(None), slice(g * ci, (g + 1) * ci), *where)]
            w = weight[(slice(g * co, (g + 1) * co), slice(None), *tap)]
            y[:, g * co : (g + 1) * co] += np.einsum("nc...,oc->no...", part, w)
    if bias is not None:
        y += bias.reshape(-1, *[1] * len(out))
    return activation(y, act)


def conv_backward(
    dy, x, weight, stride=1, padding=0, dilation=1, groups=1, act="", y=None, needs=(True,) * 3
):
    if x.ndim == weight.ndim - 1:
        dx, dw, db = conv_backward(
            dy[None], x[None], weight, stride, padding, dilation, groups, act, None if y is None else y[None]
        )
        return tuple(g for g, need in zip((dx[0], dw, db), needs) if need)
    if act == "relu":
        dy = np.where(y <= 0, dy.dtype.type(0), dy)
    elif act == "sigmoid":
        dy = dy * y * (1 - y)
    elif act == "tanh":
        dy = dy * (1 - y * y)
    stride, padding, dilation = geometry(x, weight, stride, padding, dilation)
    padded, _, index = taps(x, weight, stride, padding, dilation)
    ci, co = weight.shape[1], weight.shape[0] // groups
    dpadded, dw = np.zeros_like(padded, order="C"), np.zeros(weight.shape, weight.dtype)
    for g in range(groups):
        d = dy[:, g * co : (g + 1) * co]
        for tap, where in index.items():
            part = (slice(None), slice(g * ci, (g + 1) * ci), *where)
            w = (slice(g * co, (g + 1) * co), slice(None), *tap)
            dpadded[part] += np.einsum("no...,oc->nc...", d, weight[w])
            dw[w] = np.einsum("nop,ncp->oc", pixels(d), pixels(padded[part]))
    inside = tuple(slice(b, n - a) for (b, a), n in zip(padding, padded.shape[2:]))
    grads = dpadded[(slice(None), slice(None), *inside)], dw, dy.sum(axis=(0, *range(2, dy.ndim)))
    return tuple(g for g, need in zip(grads, needs) if need)


def transpose_geometry(x, weight, stride, padding, output_padding, dilation):
    """Also the result's size, which the padding crops from what all kernel steps cover."""
    n = weight.ndim - 2
    stride, padding, dilation = geometry(x, weight, stride, padding, dilation)
    covered = [
        (size - 1) * s + d * (k - 1) + 1
        for size, s, d, k in zip(x.shape[2:], stride, dilation, weight.shape[2:])
    ]
    size = [c + e - b - a for c, e, (b, a) in zip(covered, spread(output_padding, n), padding)]
    return stride, padding, dilation, size


def conv_transpose(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    if x.ndim == weight.ndim - 1:
        return conv_transpose(x[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    stride, padding, dilation, size = transpose_geometry(x, weight, stride, padding, output_padding, dilation)
    room = [n + b + a for n, (b, a) in zip(size, padding)]
    ci, co = weight.shape[0] // groups, weight.shape[1]
    y = np.zeros((x.shape[0], groups * co, *room), x.dtype)
    for tap in np.ndindex(*weight.shape[2:]):
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, x.shape[2:], stride)
        )
        for g in range(groups):
            w = weight[(slice(g * ci, (g + 1) * ci), slice(None), *tap)]
            part = np.einsum("nc...,co->no...", x[:, g * ci : (g + 1) * ci], w)
            y[(slice(None), slice(g * co, (g + 1) * co), *where)] += part
    y = y[(slice(None), slice(None), *(slice(b, b + n) for n, (b, _) in zip(size, padding)))]
    return y if bias is None else y + bias.reshape(-1, *[1] * len(size))


def conv_transpose_backward(
    dy, x, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1, needs=(True,) * 3
):
    if x.ndim == weight.ndim - 1:
        dx, dw, db = conv_transpose_backward(
            dy[None], x[None], weight, stride, padding, output_padding, groups, dilation
        )
        return tuple(g for g, need in zip((dx[0], dw, db), needs) if need)
    stride, padding, dilation, _ = transpose_geometry(x, weight, stride, padding, output_padding, dilation)
    padded = np.pad(dy, [(0, 0), (0, 0), *padding])
    ci, co = weight.shape[0] // groups, weight.shape[1]
    dx, dw = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    for tap in np.ndindex(*weight.shape[2:]):
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, x.shape[2:], stride)
        )
        for g in range(groups):
            d = padded[(slice(None), slice(g * co, (g + 1) * co), *where)]
            w = (slice(g * ci, (g + 1) * ci), slice(None), *tap)
            dx[:, g * ci : (g + 1) * ci] += np.einsum("no...,co->nc...", d, weight[w])
            dw[w] = np.einsum("nop,ncp->co", pixels(d), pixels(x[:, g * ci : (g + 1) * ci]))
    grads = dx, dw, dy.sum(axis=(0, *range(2, dy.ndim)))
    return tuple(g for g, need in zip(grads, needs) if need)
