"""The norms in training, forward and backward, at the shapes of a transformer and of ResNet-50."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

M, N = 8192, 768
ROWS = M * N
B, C, H, W = 32, 64, 56, 56
IMAGE = B * C * H * W
GROUPS = 32


def _standard(x: Any, axes: Any, scale: Any, shift: Any) -> Any:
    """(x - mean) / std · scale + shift, in place where NumPy can."""
    y = x - x.mean(axes, keepdims=True)
    var = np.square(y).mean(axes, keepdims=True)
    y *= scale / np.sqrt(var + 1e-5)
    y += shift
    return y


def _layer_norm(rng: np.random.Generator) -> Pair:
    x, w, b = normal(rng, M, N), normal(rng, N), normal(rng, N)
    return lambda: K.layer_norm(x, (N,), w, b), lambda: _standard(x, 1, w, b)


def _layer_norm_backward(rng: np.random.Generator) -> Pair:
    x, dy, w = normal(rng, M, N), normal(rng, M, N), normal(rng, N)
    _, mean, rstd = K.layer_norm(x, (N,), w, return_statistics=True)

    def theirs() -> Any:
        hat = (x - mean[:, None]) * rstd[:, None]
        dw, db = np.einsum("ij,ij->j", dy, hat), dy.sum(0)
        g = dy * w
        slope = np.einsum("ij,ij->i", g, hat) / N
        g -= g.mean(1, keepdims=True)
        hat *= slope[:, None]
        g -= hat
        g *= rstd[:, None]
        return g, dw, db

    return lambda: K.layer_norm_backward(dy, x, (N,), mean, rstd, w), theirs


def _rms_norm(rng: np.random.Generator) -> Pair:
    x, w = normal(rng, M, N), normal(rng, N)
    return (
        lambda: K.rms_norm(x, (N,), w),
        lambda: x * (w / np.sqrt(np.einsum("ij,ij->i", x, x)[:, None] / N + 1e-7)),
    )


def _rms_norm_backward(rng: np.random.Generator) -> Pair:
    x, dy, w = normal(rng, M, N), normal(rng, M, N), normal(rng, N)
    _, rstd = K.rms_norm(x, (N,), w, return_statistics=True)

    def theirs() -> Any:
        hat = x * rstd[:, None]
        dw = np.einsum("ij,ij->j", dy, hat)
        g = dy * w
        hat *= (np.einsum("ij,ij->i", g, hat) / N)[:, None]
        g -= hat
        g *= rstd[:, None]
        return g, dw

    return lambda: K.rms_norm_backward(dy, x, (N,), rstd, w), theirs


def _image(rng: np.random.Generator, last: bool) -> Any:
    return normal(rng, B, H, W, C).transpose(0, 3, 1, 2) if last else normal(rng, B, C, H, W)


def _batch_norm(rng: np.random.Generator, last: bool = False) -> Pair:
    x, w, b = _image(rng, last), normal(rng, C, 1, 1), normal(rng, C, 1, 1)
    return (
        lambda: K.batch_norm(x, None, None, w.ravel(), b.ravel(), True),
        lambda: _standard(x, (0, 2, 3), w, b),
    )


def _batch_norm_last(rng: np.random.Generator) -> Pair:
    return _batch_norm(rng, True)


def _batch_norm_backward(rng: np.random.Generator, last: bool = False) -> Pair:
    x, dy, w = _image(rng, last), _image(rng, last), normal(rng, C)
    _, mean, rstd = K.batch_norm(x, None, None, w, None, True, return_statistics=True)
    n = IMAGE // C

    def theirs() -> Any:
        hat = (x - mean[:, None, None]) * rstd[:, None, None]
        db, dw = dy.sum((0, 2, 3)), np.einsum("nchw,nchw->c", dy, hat)
        dx = dy - (db / n)[:, None, None]
        hat *= (dw / n)[:, None, None]
        dx -= hat
        dx *= (w * rstd)[:, None, None]
        return dx, dw, db

    return lambda: K.batch_norm_backward(dy, x, mean, rstd, w), theirs


def _batch_norm_backward_last(rng: np.random.Generator) -> Pair:
    return _batch_norm_backward(rng, True)


def _group_norm(rng: np.random.Generator) -> Pair:
    x, w, b = _image(rng, False), normal(rng, C, 1, 1), normal(rng, C, 1, 1)
    grouped = x.reshape(B, GROUPS, -1)

    def theirs() -> Any:
        y = grouped - grouped.mean(2, keepdims=True)
        y /= np.sqrt(np.square(y).mean(2, keepdims=True) + 1e-5)
        y = y.reshape(x.shape)
        y *= w
        y += b
        return y

    return lambda: K.group_norm(x, GROUPS, w.ravel(), b.ravel()), theirs


L = (32, 96, 27, 27)
LOCAL = 32 * 96 * 27 * 27


def _local_response_norm(rng: np.random.Generator) -> Pair:
    x = normal(rng, *L)

    def theirs() -> Any:
        padded = np.zeros((L[0], L[1] + 5, *L[2:]), np.float32)
        np.square(x, out=padded[:, 3:-2])
        np.cumsum(padded, axis=1, out=padded)
        s = padded[:, 5:] - padded[:, :-5]
        s *= 1e-4 / 5
        s += 1
        return x / np.sqrt(s * np.sqrt(s))

    return lambda: K.local_response_norm(x, 5), theirs


def _local_response_norm_backward(rng: np.random.Generator) -> Pair:
    x, dy = normal(rng, *L), normal(rng, *L)

    def window(v: Any) -> Any:
        padded = np.zeros((L[0], L[1] + 5, *L[2:]), np.float32)
        padded[:, 3:-2] = v
        np.cumsum(padded, axis=1, out=padded)
        return padded[:, 5:] - padded[:, :-5]

    def theirs() -> Any:
        s = window(x * x)
        s *= 1e-4 / 5
        s += 1
        g = dy / np.sqrt(s * np.sqrt(s))
        return g - (2 * 1e-4 / 5 * 0.75) * x * window(g * x / s)

    return lambda: K.local_response_norm_backward(dy, x, 5), theirs


def _case(name: str, kernel: str, size: int, flops: float, arrays: int, make: Any) -> Case:
    return Case(name, "norm", [kernel], flops * size, 4.0 * arrays * size, make)


IMAGES = f"{B}x{C}x{H}x{W}"
CASES = [
    _case(f"layer_norm {M}x{N}", "row_norm_forward", ROWS, 7, 2, _layer_norm),
    _case(f"layer_norm_backward {M}x{N}", "row_norm_backward", ROWS, 13, 3, _layer_norm_backward),
    _case(f"rms_norm {M}x{N}", "row_norm_forward", ROWS, 4, 2, _rms_norm),
    _case(f"rms_norm_backward {M}x{N}", "row_norm_backward", ROWS, 9, 3, _rms_norm_backward),
    _case(f"batch_norm {IMAGES}", "channel_norm_forward", IMAGE, 7, 2, _batch_norm),
    _case(f"batch_norm {IMAGES} channels-last", "channel_norm_forward", IMAGE, 7, 2, _batch_norm_last),
    _case(f"batch_norm_backward {IMAGES}", "channel_norm_backward", IMAGE, 9, 3, _batch_norm_backward),
    _case(
        f"batch_norm_backward {IMAGES} channels-last",
        "channel_norm_backward",
        IMAGE,
        9,
        3,
        _batch_norm_backward_last,
    ),
    _case(f"group_norm {GROUPS} of {IMAGES}", "channel_norm_forward", IMAGE, 7, 2, _group_norm),
    _case("local_response_norm 5 32x96x27x27", "local_norm_forward", LOCAL, 11, 2, _local_response_norm),
    _case(
        "local_response_norm_backward 5 32x96x27x27",
        "local_norm_backward",
        LOCAL,
        20,
        3,
        _local_response_norm_backward,
    ),
]
