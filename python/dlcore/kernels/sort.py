"""sort, topk, ranks and binary search on ndarrays; NaN is the largest, equal elements keep their order."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out

__all__ = ["kthvalue", "median", "searchsorted", "sort", "topk"]


def sort(x: npt.ArrayLike, axis: int = -1, descending: bool = False) -> tuple[NDArray, NDArray]:
    """(values, indices) in order along an axis.

    >>> import numpy as np, dlcore
    >>> values, indices = dlcore.kernels.sort(np.array([3, 1, 2]))
    >>> values.tolist(), indices.tolist()
    ([1, 2, 3], [1, 2, 0])
    """
    values, indices = _C.sort(arr(x), axis, descending)
    return out(values), out(indices)


def topk(x: npt.ArrayLike, k: int, axis: int = -1, largest: bool = True) -> tuple[NDArray, NDArray]:
    """(values, indices) of the k largest (or smallest) along an axis, in order.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.topk(np.array([1, 4, 2]), 1)[0].tolist()
    [4]
    """
    values, indices = _C.topk(arr(x), k, axis, largest)
    return out(values), out(indices)


def kthvalue(x: npt.ArrayLike, k: int, axis: int = -1) -> tuple[NDArray, NDArray]:
    """(values, indices) of the k-th smallest along an axis, k from 1."""
    values, indices = _C.kthvalue(arr(x), k, axis)
    return out(values), out(indices)


def median(x: npt.ArrayLike, axis: int = -1, skip_nan: bool = False) -> tuple[NDArray, NDArray]:
    """(values, indices) of the lower median along an axis: the first NaN where there is one, or the median
    of the others with `skip_nan`."""
    values, indices = _C.median(arr(x), axis, False, skip_nan)
    return out(values), out(indices)


def searchsorted(sorted: npt.ArrayLike, x: npt.ArrayLike, right: bool = False) -> NDArray:
    """How many elements of the ascending row `sorted` (or of x's row of it) are < x, <= with `right`."""
    return out(_C.searchsorted(arr(sorted), arr(x), right))
