"""Reductions on ndarrays, over an axis, a tuple of axes, or all of them (None)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "logcumsumexp",
    "mean",
    "prod",
    "sum",
    "sum_to",
    "sumsq",
    "var",
]

Axis = int | Sequence[int] | None


def _axes(axis: Axis) -> list[int] | None:
    return None if axis is None else [axis] if isinstance(axis, int) else list(axis)


def _reduce(op: Callable[..., _C.Array], x: npt.ArrayLike, axis: Axis, keepdims: bool) -> NDArray:
    return out(op(arr(x), _axes(axis), keepdims))


def sum(x: npt.ArrayLike, axis: Axis = None, keepdims: bool = False) -> NDArray:
    """The sum; integers and bools give int64.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.sum(np.ones((2, 3)), axis=0).tolist()
    [2.0, 2.0, 2.0]
    """
    return _reduce(_C.sum, x, axis, keepdims)


def mean(x: npt.ArrayLike, axis: Axis = None, keepdims: bool = False) -> NDArray:
    """The sum over the number of elements."""
    return _reduce(_C.mean, x, axis, keepdims)


def prod(x: npt.ArrayLike, axis: Axis = None, keepdims: bool = False) -> NDArray:
    """The product; integers and bools give int64."""
    return _reduce(_C.prod, x, axis, keepdims)


def amax(x: npt.ArrayLike, axis: Axis = None, keepdims: bool = False) -> NDArray:
    """The largest element, NaN where there is one."""
    return _reduce(_C.amax, x, axis, keepdims)


def amin(x: npt.ArrayLike, axis: Axis = None, keepdims: bool = False) -> NDArray:
    """The smallest element, NaN where there is one."""
    return _reduce(_C.amin, x, axis, keepdims)


def sumsq(x: npt.ArrayLike, axis: Axis = None, keepdims: bool = False) -> NDArray:
    """The sum of squares."""
    return _reduce(_C.sumsq, x, axis, keepdims)


def var(x: npt.ArrayLike, axis: Axis = None, correction: float = 1.0, keepdims: bool = False) -> NDArray:
    """The sum of squared distances from the mean over n - correction."""
    return out(_C.var(arr(x), _axes(axis), correction, keepdims))


def argmax(x: npt.ArrayLike, axis: int) -> NDArray:
    """The index of the first largest element."""
    return out(_C.arg_reduce(arr(x), axis, True)[1])


def argmin(x: npt.ArrayLike, axis: int) -> NDArray:
    """The index of the first smallest element."""
    return out(_C.arg_reduce(arr(x), axis, False)[1])


def cumsum(x: npt.ArrayLike, axis: int) -> NDArray:
    """y_k = x_0 + ... + x_k."""
    return out(_C.cumsum(arr(x), axis))


def cumprod(x: npt.ArrayLike, axis: int) -> NDArray:
    """y_k = x_0 ... x_k."""
    return out(_C.cumprod(arr(x), axis))


def cummax(x: npt.ArrayLike, axis: int) -> tuple[NDArray, NDArray]:
    """(values, indices): y_k = max(x_0, ..., x_k), and the last place where it stands."""
    values, indices = _C.cum_extreme(arr(x), axis, True)
    return out(values), out(indices)


def cummin(x: npt.ArrayLike, axis: int) -> tuple[NDArray, NDArray]:
    """(values, indices): y_k = min(x_0, ..., x_k), and the last place where it stands."""
    values, indices = _C.cum_extreme(arr(x), axis, False)
    return out(values), out(indices)


def logcumsumexp(x: npt.ArrayLike, axis: int) -> NDArray:
    """y_k = log(e^(x_0) + ... + e^(x_k))."""
    return out(_C.logcumsumexp(arr(x), axis))


def sum_to(x: npt.ArrayLike, shape: tuple[int, ...]) -> NDArray:
    """The gradient of broadcasting: the sum over the axes that `shape` has as 1 or lacks."""
    return out(_C.sum_to(arr(x), shape))
