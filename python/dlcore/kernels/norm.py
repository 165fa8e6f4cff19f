"""The norms and their gradients on ndarrays.

`return_statistics` adds what the backward takes: (y, mean, rstd), and (y, rstd) of rms_norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from dlcore import _C
from dlcore.functional.norm import _window
from dlcore.kernels._convert import NDArray, arr, opt, out

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "local_response_norm",
    "local_response_norm_backward",
    "rms_norm",
    "rms_norm_backward",
]

Gradients = tuple[NDArray, ...]


def _result(arrays: tuple[_C.Array | None, ...], statistics: bool) -> Any:
    ys = tuple(out(a) for a in arrays if a is not None)
    return ys if statistics else ys[0]


def layer_norm(
    x: npt.ArrayLike,
    normalized_shape: Sequence[int],
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    eps: float = 1e-5,
    return_statistics: bool = False,
) -> Any:
    """y = (x - mean) rstd w + b over the last axes, rstd = 1 / sqrt(var + eps).

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.layer_norm(np.array([1.0, 3.0]), (2,), eps=0.0).tolist()
    [-1.0, 1.0]
    """
    return _result(
        _C.layer_norm(arr(x), tuple(normalized_shape), opt(weight), opt(bias), eps), return_statistics
    )


def layer_norm_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    normalized_shape: Sequence[int],
    mean: npt.ArrayLike,
    rstd: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> Gradients:
    """dx = rstd (g - mean(g) - x̂ mean(g x̂)) with g = dy w, x̂ = (x - mean) rstd; dweight = Σ dy x̂; dbias =
    Σ dy."""
    return _result(
        _C.layer_norm_backward(arr(dy), arr(x), tuple(normalized_shape), opt(weight), arr(mean), arr(rstd)),
        True,
    )


def rms_norm(
    x: npt.ArrayLike,
    normalized_shape: Sequence[int],
    weight: npt.ArrayLike | None = None,
    eps: float | None = None,
    return_statistics: bool = False,
) -> Any:
    """y = x rstd w over the last axes, rstd = 1 / sqrt(mean(x²) + eps); eps None is the machine epsilon."""
    return _result(_C.rms_norm(arr(x), tuple(normalized_shape), opt(weight), eps), return_statistics)


def rms_norm_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    normalized_shape: Sequence[int],
    rstd: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> Gradients:
    """dx = rstd (g - x̂ mean(g x̂)) with g = dy w, x̂ = x rstd; dweight = Σ dy x̂."""
    return _result(
        _C.rms_norm_backward(arr(dy), arr(x), tuple(normalized_shape), opt(weight), arr(rstd)), True
    )


def batch_norm(
    x: npt.ArrayLike,
    running_mean: npt.ArrayLike | None = None,
    running_var: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    training: bool = False,
    eps: float = 1e-5,
    return_statistics: bool = False,
) -> Any:
    """y = (x - mean) rstd w + b over each channel of x (N, C, ...): its own statistics where `training`, else
    the running ones, which are only read.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.batch_norm(np.array([[1.0], [3.0]]), training=True, eps=1e-300).tolist()
    [[-1.0], [1.0]]
    """
    running = (None, None) if training else (opt(running_mean), opt(running_var))
    return _result(
        _C.batch_norm(arr(x), *running, opt(weight), opt(bias), training, 0.0, eps), return_statistics
    )


def batch_norm_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    mean: npt.ArrayLike,
    rstd: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    training: bool = True,
) -> Gradients:
    """dx = w rstd (dy - mean(dy) - x̂ mean(dy x̂)), or w rstd dy where the statistics were not of x; dweight =
    Σ dy x̂; dbias = Σ dy."""
    return _result(_C.batch_norm_backward(arr(dy), arr(x), opt(weight), arr(mean), arr(rstd), training), True)


def group_norm(
    x: npt.ArrayLike,
    num_groups: int,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    eps: float = 1e-5,
    return_statistics: bool = False,
) -> Any:
    """y = (x - mean) rstd w + b over each group of channels of a sample of x (N, C, ...); mean and rstd are
    (N, num_groups)."""
    return _result(_C.group_norm(arr(x), num_groups, opt(weight), opt(bias), eps), return_statistics)


def group_norm_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    num_groups: int,
    mean: npt.ArrayLike,
    rstd: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> Gradients:
    """dx = rstd (g - mean(g) - x̂ mean(g x̂)) with g = dy w; dweight = Σ dy x̂; dbias = Σ dy."""
    return _result(
        _C.group_norm_backward(arr(dy), arr(x), num_groups, opt(weight), arr(mean), arr(rstd)), True
    )


def local_response_norm(
    x: npt.ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> NDArray:
    """y = x (k + alpha / size · Σ x²)^-beta over the `size` channels around each of x (N, C, ...)."""
    n = _window("local_response_norm", size)
    return out(_C.local_response_norm(arr(x), n // 2, (n - 1) // 2, alpha / n, beta, k))


def local_response_norm_backward(
    dy: npt.ArrayLike, x: npt.ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> NDArray:
    """dx = dy s^-beta - 2 alpha / size · beta x Σ dy x s^(-beta - 1), s being the forward's sum."""
    n = _window("local_response_norm_backward", size)
    return out(_C.local_response_norm_backward(arr(dy), arr(x), n // 2, (n - 1) // 2, alpha / n, beta, k))
