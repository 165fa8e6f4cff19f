"""New tensors: filled, counted, random. torch's names, sizes as `zeros(2, 3)` or `zeros((2, 3))`; float32 by
default.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.random import get_generator
from dlcore.tensor import DTypeLike, Tensor, as_array, as_dtype, leaf

__all__ = [
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "linspace",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "tril_indices",
    "triu_indices",
    "zeros",
    "zeros_like",
]

_F32 = np.dtype(np.float32)


def _size(op: str, size: Sequence[Any]) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    try:
        shape = tuple([operator.index(n) for n in size])
    except TypeError:
        raise TypeError(f"{op}: sizes must be integers, got {tuple(size)!r}") from None
    if any(n < 0 for n in shape):
        raise ValueError(f"{op}: sizes must not be negative, got {shape}")
    return shape


def _from_host(
    op: str, a: np.ndarray[Any, Any], dtype: DTypeLike, device: str | None, requires_grad: bool
) -> Tensor:
    if dtype is not None:
        a = a.astype(as_dtype(op, dtype), copy=False)
    array = _C.from_numpy(a)
    return leaf(op, array if device is None else _C.to_device(array, device), requires_grad)


def full(
    size: int | Sequence[int],
    fill_value: Any,
    *,
    dtype: DTypeLike = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Every element is `fill_value`; without `dtype` a bool gives bool, an int int64, a float float32.

    >>> import dlcore
    >>> dlcore.full((2,), 7).tolist()
    [7, 7]
    """
    shape = _size("full", size if isinstance(size, (tuple, list)) else (size,))
    if isinstance(fill_value, Tensor):
        dtype = fill_value.dtype if dtype is None else dtype
        fill_value = fill_value.item()
    if dtype is None:
        dtype = (
            np.bool_
            if isinstance(fill_value, (bool, np.bool_))
            else np.int64
            if isinstance(fill_value, int)
            else _F32
        )
    return leaf("full", _full(shape, fill_value, as_dtype("full", dtype), device or "cpu"), requires_grad)


def _full(shape: tuple[int, ...], value: Any, dtype: np.dtype[Any], device: str) -> _C.Array:
    return _C.full(shape, value.item() if isinstance(value, np.generic) else value, dtype, device)


def zeros(
    *size: Any, dtype: DTypeLike = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Every element is 0.

    >>> import dlcore
    >>> dlcore.zeros(2, 3).shape
    (2, 3)
    """
    dt = _F32 if dtype is None else as_dtype("zeros", dtype)
    return leaf("zeros", _C.full(_size("zeros", size), 0.0, dt, device or "cpu"), requires_grad)


def ones(
    *size: Any, dtype: DTypeLike = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Every element is 1."""
    dt = _F32 if dtype is None else as_dtype("ones", dtype)
    return leaf("ones", _C.full(_size("ones", size), 1.0, dt, device or "cpu"), requires_grad)


def empty(
    *size: Any, dtype: DTypeLike = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Elements of any value: memory that the caller is about to fill."""
    dt = _F32 if dtype is None else as_dtype("empty", dtype)
    return leaf("empty", _C.empty(_size("empty", size), dt, device or "cpu"), requires_grad)


def arange(
    *args: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    dtype: DTypeLike = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """y[i] = start + i step, for as long as it is before `end`; int64 where all of them are ints, float32
    otherwise.

    Raises ValueError for a step of 0 or one that leads away from `end`.

    >>> import dlcore
    >>> dlcore.arange(1, 6, 2).tolist()
    [1, 3, 5]
    """
    if len(args) == 1 and end is None:
        end = args[0]
    elif len(args) <= 3:
        start, end, step = (*args, *(start, end, step)[len(args) :])
    if len(args) > 3 or end is None:
        raise TypeError(f"arange: expected (end), (start, end) or (start, end, step), got {len(args)} values")
    values = [0 if start is None else start, end, 1 if step is None else step]
    first, last, by = bounds = [v.item() if isinstance(v, (Tensor, np.generic)) else v for v in values]
    if by == 0:
        raise ValueError("arange: step must not be 0")
    if not all(math.isfinite(v) for v in (first, last, by)):
        raise ValueError(f"arange: the bounds must be finite, got start={first}, end={last}, step={by}")
    if (last - first) * by < 0:
        raise ValueError(
            f"arange: the step must lead from start to end, got start={first}, end={last}, step={by}"
        )
    integral = all(isinstance(v, int) for v in bounds)
    dt = (
        np.dtype(np.int64)
        if integral and dtype is None
        else as_dtype("arange", _F32 if dtype is None else dtype)
    )
    if integral:
        return _from_host("arange", np.arange(*bounds, dtype=np.int64), dt, device, requires_grad)
    n = math.ceil((last - first) / by)
    return _from_host("arange", first + by * np.arange(n, dtype=np.float64), dt, device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DTypeLike = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from start to end, both included."""
    n = operator.index(steps)
    if n < 0:
        raise ValueError(f"linspace: steps must not be negative, got {n}")
    a = np.linspace(float(start), float(end), n)
    return _from_host("linspace", a, _F32 if dtype is None else dtype, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DTypeLike = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """y[i, j] = 1 where i = j, else 0."""
    rows, cols = _size("eye", (n, n if m is None else m))
    dt = _F32 if dtype is None else as_dtype("eye", dtype)
    return _from_host("eye", np.eye(rows, cols, dtype=dt), dt, device, requires_grad)


def _indices(op: str, a: tuple[np.ndarray[Any, Any], ...]) -> Tensor:
    return _from_host(op, np.stack(a).astype(np.int64), None, None, False)


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The (2, n) indices of the elements with j - i <= offset, row by row."""
    return _indices("tril_indices", np.tril_indices(row, offset, col))


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The (2, n) indices of the elements with j - i >= offset, row by row."""
    return _indices("triu_indices", np.triu_indices(row, offset, col))


def as_tensor(data: Any, dtype: DTypeLike = None, device: str | None = None) -> Tensor:
    """`data` as a tensor, without a copy where that is possible: tensors come back as they are, ndarrays are
    shared.
    """
    if isinstance(data, Tensor):
        out = data
        if dtype is not None and as_dtype("as_tensor", dtype) != data.dtype:
            out = out.to(dtype)
        return out if device is None else out.to(device)
    array = as_array(data, None if dtype is None else as_dtype("as_tensor", dtype))
    return Tensor(array if device is None else _C.to_device(array, device))


# ---- like another ------------------------------------------------------------------------------------------


def full_like(
    x: Tensor,
    fill_value: Any,
    *,
    dtype: DTypeLike = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`full` with x's shape, dtype and device."""
    dt = x.dtype if dtype is None else as_dtype("full_like", dtype)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return leaf("full_like", _full(x.shape, value, dt, device or x.device), requires_grad)


def zeros_like(
    x: Tensor, *, dtype: DTypeLike = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`zeros` with x's shape, dtype and device."""
    return full_like(x, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    x: Tensor, *, dtype: DTypeLike = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`ones` with x's shape, dtype and device."""
    return full_like(x, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(
    x: Tensor, *, dtype: DTypeLike = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`empty` with x's shape, dtype and device."""
    dt = x.dtype if dtype is None else dtype
    return empty(x.shape, dtype=dt, device=device or x.device, requires_grad=requires_grad)


# ---- random ------------------------------------------------------------------------------------------------


def _floating(op: str, dtype: DTypeLike) -> np.dtype[Any]:
    dt = _F32 if dtype is None else as_dtype(op, dtype)
    if dt.kind != "f":
        raise TypeError(f"{op}: dtype must be float32 or float64, got {dt}")
    return dt


def rand(
    *size: Any,
    rng: Any = None,
    dtype: DTypeLike = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1).

    `rng`: None (see `manual_seed`), an int, a SeedSequence or a Generator.

    >>> import dlcore
    >>> dlcore.rand(2, 3, rng=0).shape
    (2, 3)
    """
    dt = _floating("rand", dtype)
    a = np.asarray(get_generator(rng).random(_size("rand", size), dt))
    return _from_host("rand", a, None, device, requires_grad)


def randn(
    *size: Any,
    rng: Any = None,
    dtype: DTypeLike = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of mean 0 and variance 1. `rng` as in `rand`."""
    dt = _floating("randn", dtype)
    a = np.asarray(get_generator(rng).standard_normal(_size("randn", size), dt))
    return _from_host("randn", a, None, device, requires_grad)


def normal(
    mean: float = 0.0, std: float = 1.0, size: Any = (), *, rng: Any = None, dtype: DTypeLike = None
) -> Tensor:
    """Normal numbers of the given mean and standard deviation."""
    if std < 0:
        raise ValueError(f"normal: std must not be negative, got {std}")
    dt = _floating("normal", dtype)
    a = np.asarray(get_generator(rng).standard_normal(_size("normal", (size,)), dt)) * dt.type(std) + dt.type(
        mean
    )
    return _from_host("normal", np.asarray(a, dt), None, None, False)


def randint(*args: Any, rng: Any = None, dtype: DTypeLike = None, device: str | None = None) -> Tensor:
    """Integers in [low, high): `randint(high, size)` or `randint(low, high, size)`; int64 by default."""
    if len(args) == 2:
        args = (0, *args)
    if len(args) != 3:
        raise TypeError(f"randint: expected (high, size) or (low, high, size), got {len(args)} values")
    low, high = operator.index(args[0]), operator.index(args[1])
    if low >= high:
        raise ValueError(f"randint: low must be below high, got low={low}, high={high}")
    shape = _size("randint", args[2] if isinstance(args[2], (tuple, list)) else (args[2],))
    a = np.asarray(get_generator(rng).integers(low, high, shape, np.int64))
    return _from_host("randint", a, dtype, device, False)


def randperm(n: int, *, rng: Any = None, dtype: DTypeLike = None, device: str | None = None) -> Tensor:
    """0 ... n-1 in random order; int64 by default."""
    (count,) = _size("randperm", (n,))
    return _from_host(
        "randperm", get_generator(rng).permutation(count).astype(np.int64), dtype, device, False
    )


def rand_like(x: Tensor, *, rng: Any = None, dtype: DTypeLike = None, requires_grad: bool = False) -> Tensor:
    """`rand` with x's shape, dtype and device."""
    return rand(
        x.shape,
        rng=rng,
        dtype=x.dtype if dtype is None else dtype,
        device=x.device,
        requires_grad=requires_grad,
    )


def randn_like(x: Tensor, *, rng: Any = None, dtype: DTypeLike = None, requires_grad: bool = False) -> Tensor:
    """`randn` with x's shape, dtype and device."""
    return randn(
        x.shape,
        rng=rng,
        dtype=x.dtype if dtype is None else dtype,
        device=x.device,
        requires_grad=requires_grad,
    )


def randint_like(
    x: Tensor, low: int, high: int | None = None, *, rng: Any = None, dtype: DTypeLike = None
) -> Tensor:
    """`randint` with x's shape, dtype and device."""
    bounds = (0, low) if high is None else (low, high)
    return randint(*bounds, x.shape, rng=rng, dtype=x.dtype if dtype is None else dtype, device=x.device)
