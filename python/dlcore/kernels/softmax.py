"""softmax, log_softmax and their backward on ndarrays."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out

__all__ = ["log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]


def softmax(x: npt.ArrayLike, axis: int = -1) -> NDArray:
    """y = e^(x - max) / sum e^(x - max) along an axis.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.softmax(np.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return out(_C.softmax(arr(x), axis))


def softmax_backward(dy: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1) -> NDArray:
    """dx = y (dy - sum(dy y)), y being softmax's output."""
    return out(_C.softmax_backward(arr(dy), arr(y), axis))


def log_softmax(x: npt.ArrayLike, axis: int = -1) -> NDArray:
    """y = x - max - log sum e^(x - max) along an axis."""
    return out(_C.log_softmax(arr(x), axis))


def log_softmax_backward(dy: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1) -> NDArray:
    """dx = dy - e^y sum(dy), y being log_softmax's output."""
    return out(_C.log_softmax_backward(arr(dy), arr(y), axis))
