"""Reductions over any set of axes, under torch's names: `dim` is None (all axes), an int or a tuple of ints.

Sums of integers and bools are int64. Results are the same bits at any number of threads; float32 sums are of
blocks that are added in double.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.elementwise import maximum, minimum, truth
from dlcore.functional.elementwise import pow as _pow
from dlcore.tensor import Tensor

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "std",
    "std_mean",
    "sum",
    "var",
    "var_mean",
]  # fmt: skip

Dim = builtins.int | Sequence[builtins.int] | None
Needs = tuple[builtins.bool, ...]
Grads = tuple[_C.Array | None, ...]


class Selection(NamedTuple):
    """Elements along an axis (the largest, the sorted, ...), and where they stood."""

    values: Tensor
    indices: Tensor


def _axes(dim: Dim) -> list[builtins.int] | None:
    if dim is None:
        return None
    if isinstance(dim, builtins.int):
        return [dim]
    axes = list(dim)
    return axes or None  # torch: an empty tuple means all axes


def _kept(x: _C.Array, axes: list[builtins.int] | None) -> tuple[builtins.int, ...]:
    """x's shape with 1 for the reduced axes."""
    if axes is None:
        return (1,) * x.ndim
    gone = {a % x.ndim for a in axes} if x.ndim else set()
    return tuple(1 if i in gone else n for i, n in enumerate(x.shape))


def _spread(g: _C.Array, x: _C.Array, axes: list[builtins.int] | None) -> _C.Array:
    """A result's gradient, seen at every element that was reduced into it."""
    return _C.broadcast_to(_C.reshape(g, _kept(x, axes)), x.shape)


def _cast(x: Tensor, dtype: npt.DTypeLike | None) -> Tensor:
    if dtype is None or np.dtype(dtype) == x.array.dtype:
        return x
    own = x.array.dtype

    def cast_backward(g: _C.Array, needs: Needs) -> Grads:
        return (_C.cast(g, own),)

    return record(_C.cast(x.array, np.dtype(dtype)), (x,), cast_backward)


def sum(
    input: Tensor, dim: Dim = None, keepdim: builtins.bool = False, *, dtype: npt.DTypeLike | None = None
) -> Tensor:
    """The sum over `dim`.

    >>> import dlcore
    >>> dlcore.functional.sum(dlcore.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0).tolist()
    [4.0, 6.0]
    """
    input = _cast(input, dtype)
    x, axes = input.array, _axes(dim)
    y = _C.sum(x, axes, keepdim)
    if not input.requires_grad:
        return Tensor(y)

    def sum_backward(g: _C.Array, needs: Needs) -> Grads:
        return (_spread(g, x, axes),)

    return record(y, (input,), sum_backward)


def mean(
    input: Tensor, dim: Dim = None, keepdim: builtins.bool = False, *, dtype: npt.DTypeLike | None = None
) -> Tensor:
    """The sum over `dim` divided by the number of elements; NaN over none. Raises TypeError for integers."""
    input = _cast(input, dtype)
    x, axes = input.array, _axes(dim)
    y = _C.mean(x, axes, keepdim)
    if not input.requires_grad:
        return Tensor(y)

    def mean_backward(g: _C.Array, needs: Needs) -> Grads:
        return (_spread(_C.mul(g, 1.0 / builtins.max(1, x.size // builtins.max(1, g.size))), x, axes),)

    return record(y, (input,), mean_backward)


def prod(
    input: Tensor, dim: Dim = None, keepdim: builtins.bool = False, *, dtype: npt.DTypeLike | None = None
) -> Tensor:
    """The product over `dim`; the gradient is right where elements are 0 too."""
    input = _cast(input, dtype)
    x, axes = input.array, _axes(dim)
    y = _C.prod(x, axes, keepdim)

    def prod_backward(g: _C.Array, needs: Needs) -> Grads:
        # The product of the others is that of those before and those after, along the axes laid end to end.
        gone = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
        order = [i for i in range(x.ndim) if i not in gone] + gone
        moved = _C.permute(x, order)
        rest = tuple(x.shape[i] for i in order[: x.ndim - len(gone)])
        flat = _C.reshape(moved, (*rest, math.prod(x.shape[i] for i in gone)))
        others = _C.mul(_C.cumprod(flat, -1, False, True), _C.cumprod(flat, -1, True, True))
        back = [order.index(i) for i in range(x.ndim)]
        return (_C.mul(_spread(g, x, axes), _C.permute(_C.reshape(others, moved.shape), back)),)

    return record(y, (input,), prod_backward)


def _extreme_backward(
    x: _C.Array, y: _C.Array, axes: list[builtins.int] | None
) -> Callable[[_C.Array, Needs], Grads]:
    def backward(g: _C.Array, needs: Needs) -> Grads:
        best = _spread(y, x, axes)
        where = _C.eq(x, best) if x.dtype.kind != "f" else _C.logical_or(_C.eq(x, best), _C.ne(x, x))
        ties = _C.sum(_C.cast(where, x.dtype), axes, False)
        return (_C.where(where, _spread(_C.div(_C.reshape(g, ties.shape), ties), x, axes), 0),)

    return backward


def amax(input: Tensor, dim: Dim = None, keepdim: builtins.bool = False) -> Tensor:
    """The largest element over `dim`, NaN where there is one; ties share the gradient evenly."""
    x, axes = input.array, _axes(dim)
    y = _C.amax(x, axes, keepdim)
    return record(y, (input,), _extreme_backward(x, y, axes)) if input.requires_grad else Tensor(y)


def amin(input: Tensor, dim: Dim = None, keepdim: builtins.bool = False) -> Tensor:
    """The smallest element over `dim`, NaN where there is one; ties share the gradient evenly."""
    x, axes = input.array, _axes(dim)
    y = _C.amin(x, axes, keepdim)
    return record(y, (input,), _extreme_backward(x, y, axes)) if input.requires_grad else Tensor(y)


def _select(input: Tensor, dim: builtins.int, keepdim: builtins.bool, largest: builtins.bool) -> Selection:
    x = input.array
    values, indices = _C.arg_reduce(x, dim, largest, keepdim)

    def extreme_backward(g: _C.Array, _: Any, needs: Needs) -> Grads:
        n = x.shape[dim] if x.ndim else 1
        kept = _kept(x, [dim])
        place = [1] * x.ndim
        if x.ndim:
            place[dim] = n
        steps = _C.reshape(_C.from_numpy(np.arange(n)), place)
        here = _C.eq(_C.to_device(steps, x.device), _C.reshape(indices, kept))
        return (_C.where(here, _C.reshape(g, kept), 0),)

    return Selection(*record((values, indices), (input,), extreme_backward))


def max(
    input: Tensor, dim: Any = None, keepdim: builtins.bool = False, *, other: Tensor | None = None
) -> Any:
    """The largest element; with `dim` (values, indices) along it, the first of equals.

    Of two tensors it is maximum().

    >>> import dlcore
    >>> values, indices = dlcore.functional.max(dlcore.tensor([[1.0, 3.0], [4.0, 2.0]]), dim=1)
    >>> indices.tolist()
    [1, 0]
    """
    if other is not None or isinstance(dim, Tensor):
        return maximum(input, dim if other is None else other)
    return amax(input) if dim is None else _select(input, dim, keepdim, True)


def min(
    input: Tensor, dim: Any = None, keepdim: builtins.bool = False, *, other: Tensor | None = None
) -> Any:
    """The smallest element; with `dim` (values, indices) along it; with a tensor minimum()."""
    if other is not None or isinstance(dim, Tensor):
        return minimum(input, dim if other is None else other)
    return amin(input) if dim is None else _select(input, dim, keepdim, False)


def _arg(input: Tensor, dim: builtins.int | None, keepdim: builtins.bool, largest: builtins.bool) -> Tensor:
    x = input.array
    if dim is not None:
        return Tensor(_C.arg_reduce(x, dim, largest, keepdim)[1])
    flat = _C.arg_reduce(_C.reshape(x, (x.size,)), 0, largest, False)[1]
    return Tensor(_C.reshape(flat, (1,) * x.ndim) if keepdim else flat)


def argmax(input: Tensor, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Tensor:
    """The index of the first largest element along dim, or in the flattened tensor; NaN is the largest.

    >>> import dlcore
    >>> dlcore.functional.argmax(dlcore.tensor([1.0, 3.0, 3.0])).item()
    1
    """
    return _arg(input, dim, keepdim, True)


def argmin(input: Tensor, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Tensor:
    """The index of the first smallest element along dim, or in the flattened tensor; NaN is the smallest."""
    return _arg(input, dim, keepdim, False)


def _logical(input: Tensor, op: Callable[..., _C.Array], dim: Dim, keepdim: builtins.bool) -> Tensor:
    y = op(truth(input), _axes(dim), keepdim)
    return Tensor(_C.cast(y, np.dtype(np.uint8)) if input.array.dtype == np.uint8 else y)


def any(input: Tensor, dim: Dim = None, keepdim: builtins.bool = False) -> Tensor:
    """Is an element not 0? False over none."""
    return _logical(input, _C.amax, dim, keepdim)


def all(input: Tensor, dim: Dim = None, keepdim: builtins.bool = False) -> Tensor:
    """Are all elements not 0? True over none."""
    return _logical(input, _C.amin, dim, keepdim)


def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """How many elements are not 0."""
    return Tensor(_C.sum(truth(input), _axes(dim), False))


def _correction(
    unbiased: builtins.bool | None, correction: builtins.float | None, dim: Any
) -> tuple[Any, builtins.float]:
    if isinstance(dim, builtins.bool):  # torch's var(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None:
        return dim, 1.0 if unbiased else 0.0
    return dim, 1.0 if correction is None else float(correction)


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: builtins.bool | None = None,
    keepdim: builtins.bool = False,
    *,
    correction: builtins.float | None = None,
) -> Tensor:
    """Σ (x − mean)² / (n − correction), correction 1 unless given; two passes, so nothing cancels.

    >>> import dlcore
    >>> dlcore.functional.var(dlcore.tensor([1.0, 2.0, 3.0])).item()
    1.0
    """
    dim, delta = _correction(unbiased, correction, dim)
    x, axes = input.array, _axes(dim)
    y = _C.var(x, axes, delta, keepdim)

    def var_backward(g: _C.Array, needs: Needs) -> Grads:
        return (_C.mul(_C.sub(x, _C.mean(x, axes, True)), _scaled(g, x, axes, 2.0, delta)),)

    return record(y, (input,), var_backward)


def _scaled(
    g: _C.Array, x: _C.Array, axes: list[builtins.int] | None, c: builtins.float, delta: builtins.float
) -> _C.Array:
    n = x.size // builtins.max(1, g.size) - delta
    return _C.reshape(_C.mul(g, c / n if n > 0 else float("nan")), _kept(x, axes))


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: builtins.bool | None = None,
    keepdim: builtins.bool = False,
    *,
    correction: builtins.float | None = None,
) -> Tensor:
    """The square root of `var`; its gradient is 0 where it is 0."""
    dim, delta = _correction(unbiased, correction, dim)
    x, axes = input.array, _axes(dim)
    y = _C.sqrt(_C.var(x, axes, delta, keepdim))

    def std_backward(g: _C.Array, needs: Needs) -> Grads:
        g = _C.where(_C.eq(y, 0), 0, _C.div(g, y))
        return (_C.mul(_C.sub(x, _C.mean(x, axes, True)), _scaled(g, x, axes, 1.0, delta)),)

    return record(y, (input,), std_backward)


def var_mean(
    input: Tensor, dim: Any = None, keepdim: builtins.bool = False, *, correction: builtins.float = 1
) -> tuple[Tensor, Tensor]:
    """(var, mean)."""
    return var(input, dim, None, keepdim, correction=correction), mean(input, dim, keepdim)


def std_mean(
    input: Tensor, dim: Any = None, keepdim: builtins.bool = False, *, correction: builtins.float = 1
) -> tuple[Tensor, Tensor]:
    """(std, mean)."""
    return std(input, dim, None, keepdim, correction=correction), mean(input, dim, keepdim)


def cumsum(input: Tensor, dim: builtins.int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """y_k = x_0 + … + x_k along dim.

    >>> import dlcore
    >>> dlcore.functional.cumsum(dlcore.tensor([1.0, 2.0, 3.0]), 0).tolist()
    [1.0, 3.0, 6.0]
    """
    input = _cast(input, dtype)
    y = _C.cumsum(input.array, dim)

    def cumsum_backward(g: _C.Array, needs: Needs) -> Grads:
        return (_C.cumsum(g, dim, True),)

    return record(y, (input,), cumsum_backward)


def cumprod(input: Tensor, dim: builtins.int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """y_k = x_0 · … · x_k along dim."""
    input = _cast(input, dtype)
    x = input.array
    y = _C.cumprod(x, dim)

    def cumprod_backward(g: _C.Array, needs: Needs) -> Grads:
        if not x.size or not x.ndim:
            return (g,)
        if not _C.amax(_C.eq(x, 0)).item():
            return (_C.div(_C.cumsum(_C.mul(g, y), dim, True), x),)
        # With zeros: dx_k = (x_0 … x_{k-1}) · Σ_{j >= k} g_j (x_{k+1} … x_j), one k at a time.
        before = _C.cumprod(x, dim, False, True)
        out = _C.empty(x.shape, x.dtype, x.device)
        n = x.shape[dim]
        for k in range(n):
            tail = _C.clone(_C.slice(x, dim, k, n - k, 1))
            _C.copy_into(_C.slice(tail, dim, 0, 1, 1), _C.full((), 1, x.dtype, x.device))
            s = _C.sum(_C.mul(_C.slice(g, dim, k, n - k, 1), _C.cumprod(tail, dim)), [dim], True)
            _C.copy_into(_C.slice(out, dim, k, 1, 1), _C.mul(s, _C.slice(before, dim, k, 1, 1)))
        return (out,)

    return record(y, (input,), cumprod_backward)


def norm(
    input: Tensor,
    p: builtins.float | str | None = "fro",
    dim: Dim = None,
    keepdim: builtins.bool = False,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """(Σ |x|^p)^(1/p); "fro" is p = 2; ±inf the largest or smallest |x|; 0 counts what is not 0.

    The gradient of a Euclidean norm of 0 is 0.

    >>> import dlcore
    >>> dlcore.functional.norm(dlcore.tensor([3.0, 4.0])).item()
    5.0
    """
    input = _cast(input, dtype)
    if p == "fro" or p is None:
        p = 2
    if isinstance(p, str):
        raise ValueError(f"norm: p must be a number, 'fro', inf or -inf, got {p!r}")
    x, axes = input.array, _axes(dim)
    if x.dtype.kind != "f":
        raise TypeError(f"norm: x must be float32 or float64, got {x.dtype}")
    if p == 2:
        y = _C.sqrt(_C.sumsq(x, axes, keepdim))

        def norm_backward(g: _C.Array, needs: Needs) -> Grads:
            scale = _C.where(_C.eq(y, 0), 0, _C.div(_C.reshape(g, y.shape), y))
            return (_C.mul(x, _C.reshape(scale, _kept(x, axes))),)

        return record(y, (input,), norm_backward)
    from dlcore.functional.elementwise import abs as _abs

    size = _abs(input)
    if p == math.inf:
        return amax(size, dim, keepdim)
    if p == -math.inf:
        return amin(size, dim, keepdim)
    if p == 1:
        return sum(size, dim, keepdim)
    if p == 0:

        def count_backward(g: _C.Array, needs: Needs) -> Grads:
            return (_C.full(x.shape, 0.0, x.dtype, x.device),)

        return record(_C.sum(_C.cast(_C.ne(x, 0), x.dtype), axes, keepdim), (input,), count_backward)
    return _pow(sum(_pow(size, p), dim, keepdim), 1.0 / p)
