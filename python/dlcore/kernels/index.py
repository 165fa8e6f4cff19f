"""take, gather, scatter, tril and triu on ndarrays; indices int64 or int32."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out

__all__ = [
    "gather",
    "gather_backward",
    "index_add",
    "index_select",
    "index_select_backward",
    "scatter",
    "scatter_add",
    "tril",
    "triu",
]


def index_select(x: npt.ArrayLike, dim: int, index: npt.ArrayLike) -> NDArray:
    """y[..., i, ...] = x[..., index[i], ...] along `dim`; index 1-d. IndexError beyond the axis.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.index_select(np.array([[1.0, 2.0], [3.0, 4.0]]), 0, np.array([1])).tolist()
    [[3.0, 4.0]]
    """
    return out(_C.take(arr(x), dim, arr(index)))


def index_select_backward(dy: npt.ArrayLike, dim: int, index: npt.ArrayLike, size: int) -> NDArray:
    """dx[..., index[i], ...] += dy[..., i, ...] for an axis of `size`, in the order of i."""
    g = arr(dy)
    shape = list(g.shape)
    shape[dim] = size
    dx = _C.full(tuple(shape), 0, g.dtype, "cpu")
    _C.put_into(dx, dim, arr(index), g, True)
    return out(dx)


def index_add(x: npt.ArrayLike, dim: int, index: npt.ArrayLike, source: npt.ArrayLike) -> NDArray:
    """y = x; y[..., index[i], ...] += source[..., i, ...], in the order of i: the same bits at any number of
    threads.
    """
    y = _C.clone(arr(x))
    _C.put_into(y, dim, arr(index), arr(source), True)
    return out(y)


def gather(x: npt.ArrayLike, dim: int, index: npt.ArrayLike) -> NDArray:
    """y[..., i, ...] = x[..., index[..., i, ...], ...] along `dim`; index of x's rank, no longer than x off
    the axis.
    """
    return out(_C.gather(arr(x), dim, arr(index)))


def gather_backward(dy: npt.ArrayLike, dim: int, index: npt.ArrayLike, shape: tuple[int, ...]) -> NDArray:
    """dx[..., index[..., i, ...], ...] += dy[..., i, ...] for an x of `shape`."""
    g = arr(dy)
    dx = _C.full(shape, 0, g.dtype, "cpu")
    _C.scatter_into(dx, dim, arr(index), g, True)
    return out(dx)


def scatter(x: npt.ArrayLike, dim: int, index: npt.ArrayLike, src: npt.ArrayLike) -> NDArray:
    """y = x; y[..., index[..., i, ...], ...] = src[..., i, ...] along `dim`; for equal indices the last one
    stays.
    """
    y = _C.clone(arr(x))
    _C.scatter_into(y, dim, arr(index), arr(src), False)
    return out(y)


def scatter_add(x: npt.ArrayLike, dim: int, index: npt.ArrayLike, src: npt.ArrayLike) -> NDArray:
    """y = x; y[..., index[..., i, ...], ...] += src[..., i, ...] along `dim`, in the order of i."""
    y = _C.clone(arr(x))
    _C.scatter_into(y, dim, arr(index), arr(src), True)
    return out(y)


def tril(x: npt.ArrayLike, diagonal: int = 0) -> NDArray:
    """y[..., i, j] = x[..., i, j] where j - i <= diagonal, else 0."""
    return out(_C.triangle(arr(x), diagonal, True))


def triu(x: npt.ArrayLike, diagonal: int = 0) -> NDArray:
    """y[..., i, j] = x[..., i, j] where j - i >= diagonal, else 0."""
    return out(_C.triangle(arr(x), diagonal, False))
