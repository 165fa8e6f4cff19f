"""sort, topk, ranks, search: torch's names and results, deterministic at any number of threads.

NaN is the largest of all, and of equal elements the one with the smaller index comes first. Gradients go back
to where the elements came from.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.reduce import Selection
from dlcore.functional.shape import axis
from dlcore.tensor import Tensor, as_array

__all__ = [
    "argsort",
    "bincount",
    "bucketize",
    "kthvalue",
    "median",
    "msort",
    "nanmedian",
    "searchsorted",
    "sort",
    "topk",
    "unique",
    "unique_consecutive",
]  # fmt: skip

Needs = tuple[builtins.bool, ...]
Grads = tuple[_C.Array | None, ...]


def _ranked(x: Tensor, dim: int, found: tuple[_C.Array, _C.Array]) -> Selection:
    """Records values, whose gradients are put where `indices` say; both keep the axis."""
    shape, indices = x.shape, found[1]

    def sort_backward(g: _C.Array, _: Any, needs: Needs) -> Grads:
        dx = _C.full(shape, 0.0, g.dtype, g.device)
        i = indices
        if shape and g.ndim < len(shape):  # a rank without keepdim
            kept = list(shape)
            kept[dim] = 1
            g, i = _C.reshape(g, kept), _C.reshape(i, kept)
        _C.scatter_into(dx, dim, i, g, False)
        return (dx,)

    return Selection(*record(found, (x,), sort_backward))


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Selection:
    """The elements along `dim` in ascending (or descending) order, and their indices; always stable.

    A named tuple (values, indices), int64 indices. Raises IndexError for an axis out of range.

    >>> import dlcore
    >>> values, indices = dlcore.sort(dlcore.tensor([3.0, 1.0, 2.0]))
    >>> values.tolist(), indices.tolist()
    ([1.0, 2.0, 3.0], [1, 2, 0])
    """
    return _ranked(input, dim, _C.sort(input.array, dim, builtins.bool(descending)))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that `sort` gives.

    >>> import dlcore
    >>> dlcore.argsort(dlcore.tensor([3, 1, 2]), descending=True).tolist()
    [0, 2, 1]
    """
    return Tensor(_C.sort(input.array, dim, builtins.bool(descending))[1])


def msort(input: Tensor) -> Tensor:
    """The values of `sort` along the first axis."""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Selection:
    """The k largest (or smallest) elements along `dim` in order, and their indices.

    They are in order also where `sorted` is false. Raises ValueError for a k beyond the axis, IndexError for
    an axis out of range.

    >>> import dlcore
    >>> values, indices = dlcore.topk(dlcore.tensor([1.0, 4.0, 2.0, 3.0]), 2)
    >>> values.tolist(), indices.tolist()
    ([4.0, 3.0], [1, 3])
    """
    return _ranked(input, dim, _C.topk(input.array, k, dim, builtins.bool(largest)))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Selection:
    """The k-th smallest element along `dim`, k from 1, and its index.

    Raises ValueError for a k outside [1, size], IndexError for an axis that is empty or out of range.

    >>> import dlcore
    >>> dlcore.kthvalue(dlcore.tensor([3.0, 1.0, 2.0]), 2).values.item()
    2.0
    """
    return _ranked(input, dim, _C.kthvalue(input.array, k, dim, keepdim))


def _median(input: Tensor, dim: int | None, keepdim: bool, skip_nan: bool) -> Any:
    x = input.array
    if dim is not None:
        return _ranked(input, dim, _C.median(x, dim, keepdim, skip_nan))
    if x.size == 0:
        if x.dtype.kind != "f":
            raise ValueError(f"median: integers have no median of nothing, got input={x.shape}")
        y = _C.full((), float("nan"), x.dtype, x.device)
    else:
        y = _C.median(_C.reshape(x, (x.size,)), 0, False, skip_nan)[0]

    def median_backward(g: _C.Array, needs: Needs) -> Grads:  # equal elements share it, as in torch
        same = _C.ne(x, x) if np.isnan(y.item()) else _C.eq(x, y)
        ties = max(1, _C.sum(same, None, False).item())
        return (_C.where(same, _C.broadcast_to(_C.div(g, ties), x.shape), 0),)

    return record(y, (input,), median_backward)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median; along `dim` (values, indices). NaN where there is one.

    Of an even number of elements it is the smaller of the two in the middle, as in torch (NumPy takes their
    mean).

    >>> import dlcore
    >>> dlcore.median(dlcore.tensor([4.0, 1.0, 3.0, 2.0])).item()
    2.0
    """
    return _median(input, dim, keepdim, False)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not NaN; NaN where all are."""
    return _median(input, dim, keepdim, True)


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """y_i = the number of elements of the ascending row that are < x_i (<= with `right` or side="right").

    sorted_sequence (n,) for an input of any shape, or (..., n) for (..., m); `sorter` holds the order that
    sorts it. Raises ValueError for shapes and for a side that contradicts `right`, TypeError for dtypes.

    >>> import dlcore
    >>> dlcore.searchsorted(dlcore.tensor([1, 3, 5]), dlcore.tensor([3, 4])).tolist()
    [1, 2]
    """
    if side not in (None, "left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    if side == "left" and right:
        raise ValueError("searchsorted: side='left' contradicts right=True")
    row = sorted_sequence.array
    if sorter is not None:
        if sorter.shape != row.shape or sorter.dtype != np.int64:
            raise ValueError(
                f"searchsorted: sorter must be int64 with the shape of sorted_sequence, got "
                f"sorter={sorter.shape} {sorter.dtype}, sorted_sequence={row.shape}"
            )
        row = _C.gather(row, -1, sorter.array)
    x = input.array if isinstance(input, Tensor) else as_array(input, row.dtype)
    y = _C.searchsorted(row, x, right or side == "right")
    return Tensor(_C.cast(y, np.dtype(np.int32)) if out_int32 else y)


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """`searchsorted` in one row of ascending boundaries."""
    if boundaries.ndim != 1:
        raise ValueError(f"bucketize: boundaries must have one dimension, got {boundaries.shape}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """y_k = how often k occurs, or the sum of the weights where it does; input (n,) of non-negative integers.

    int64, or float64 with weights (float32 for float32 ones). Raises ValueError for negative elements and
    shapes, TypeError for dtypes.

    >>> import dlcore
    >>> dlcore.bincount(dlcore.tensor([0, 2, 2])).tolist()
    [1, 0, 2]
    """
    if input.dtype.kind not in "iu":
        raise TypeError(f"bincount: input must be integers, got {input.dtype}")
    if input.ndim != 1 or (input.array.size and _C.amin(input.array).item() < 0):
        raise ValueError(f"bincount: input must be one row of non-negative integers, got input={input.shape}")
    if minlength < 0:
        raise ValueError(f"bincount: minlength must not be negative, got {minlength}")
    if weights is not None and weights.shape != input.shape:
        raise ValueError(
            f"bincount: weights must have the shape of input, got input={input.shape}, "
            f"weights={weights.shape}"
        )
    n = max(minlength, int(_C.amax(input.array).item()) + 1 if input.array.size else 0)
    if weights is None:
        each = _C.full(input.shape, 1, np.dtype(np.int64), input.device)
    else:
        single = weights.dtype == np.float32
        each = _C.cast(weights.array, np.dtype(np.float32 if single else np.float64))
    y = _C.full((n,), 0, each.dtype, input.device)
    _C.put_into(y, 0, _C.cast(input.array, np.dtype(np.int64)), each, True)
    return Tensor(y)


def _plain(a: npt.NDArray[Any]) -> Tensor:
    return Tensor(_C.from_numpy(np.asarray(a, order="C")))


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices along `dim`) in ascending order.

    With `return_inverse` also where each element went, with `return_counts` how often it occurs. Each NaN is
    different from every other. Not differentiable.

    >>> import dlcore
    >>> dlcore.unique(dlcore.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    a = _C.to_device(input.array, "cpu").numpy()
    if dim is not None:
        dim = axis("unique", dim, input.ndim)
    values, inverse, counts = np.unique(a, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    shape = a.shape if dim is None else (a.shape[dim] if a.ndim else 1,)
    out = [_plain(values)]
    if return_inverse:
        out.append(_plain(inverse.reshape(shape).astype(np.int64, copy=False)))
    if return_counts:
        out.append(_plain(counts.astype(np.int64, copy=False)))
    return out[0] if len(out) == 1 else tuple(out)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of each run of equal neighbours: of the elements in order, or of slices along `dim`.

    >>> import dlcore
    >>> dlcore.unique_consecutive(dlcore.tensor([1, 1, 2, 1])).tolist()
    [1, 2, 1]
    """
    a = _C.to_device(input.array, "cpu").numpy()
    rows = a.reshape(-1) if dim is None else np.moveaxis(a, dim, 0)
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]).any(tuple(range(1, rows.ndim)))
    values = rows[new]
    out = [_plain(values if dim is None else np.moveaxis(values, 0, dim))]
    inverse = np.cumsum(new) - 1
    if return_inverse:
        out.append(_plain(inverse.reshape(a.shape) if dim is None else inverse))
    if return_counts:
        out.append(_plain(np.bincount(inverse, minlength=len(values)).astype(np.int64)))
    return out[0] if len(out) == 1 else tuple(out)
