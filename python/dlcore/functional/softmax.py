"""softmax, softmin, log_softmax along any axis."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = ["log_softmax", "softmax", "softmin"]


def _axis(op: str, x: Tensor, dim: int | None) -> int:
    if dim is not None:
        return dim
    warnings.warn(f"{op}: an implicit dim is deprecated; pass dim=", UserWarning, stacklevel=3)
    return 0 if x.ndim in (0, 1, 3) else 1


def _as(x: Tensor, dtype: npt.DTypeLike | None) -> Tensor:
    """x in another floating dtype; its gradient comes back in x's own."""
    if dtype is None or np.dtype(dtype) == x.dtype:
        return x
    own: np.dtype[Any] = x.dtype

    def cast_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.cast(g, own),)

    return record(_C.cast(x.array, np.dtype(dtype)), (x,), cast_backward)


def softmax(x: Tensor, dim: int | None = None, dtype: npt.DTypeLike | None = None) -> Tensor:
    """y_i = e^(x_i - max x) / sum_j e^(x_j - max x) along `dim`; any shape, float32 or float64.

    No finite x overflows. An infinite maximum or a NaN makes its whole slice NaN, as in torch.

    Raises IndexError for an axis out of range, TypeError for integers (pass `dtype`).

    >>> import dlcore
    >>> dlcore.functional.softmax(dlcore.tensor([1e30, 0.0]), dim=-1).numpy().tolist()
    [1.0, 0.0]
    """
    axis = _axis("softmax", x, dim)
    x = _as(x, dtype)
    y = _C.softmax(x.array, axis)

    def softmax_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.softmax_backward(g, y, axis),)

    out = record(y, (x,), softmax_backward)
    if axis in (-1, x.ndim - 1):
        # For cross_entropy_from_probabilities: no precision is lost between the two.
        out._logits = (x, x.array, y, _C.write_clock())
    return out


def softmin(x: Tensor, dim: int | None = None, dtype: npt.DTypeLike | None = None) -> Tensor:
    """softmax(-x) along `dim`.

    >>> import dlcore
    >>> dlcore.functional.softmin(dlcore.tensor([0.0, 1e30]), dim=0).numpy().tolist()
    [1.0, 0.0]
    """
    axis = _axis("softmin", x, dim)
    x = _as(x, dtype)
    minus = _C.full((), -1.0, x.dtype, x.device)
    y = _C.softmax(_C.mul(x.array, minus), axis)

    def softmin_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.mul(_C.softmax_backward(g, y, axis), minus),)

    return record(y, (x,), softmin_backward)


def log_softmax(x: Tensor, dim: int | None = None, dtype: npt.DTypeLike | None = None) -> Tensor:
    """y_i = x_i - max x - log sum_j e^(x_j - max x) along `dim`: the logarithm of softmax, without its
    underflow.

    Raises IndexError for an axis out of range, TypeError for integers (pass `dtype`).

    >>> import dlcore
    >>> dlcore.functional.log_softmax(dlcore.tensor([0.0, -1000.0]), dim=0).numpy().tolist()
    [0.0, -1000.0]
    """
    axis = _axis("log_softmax", x, dim)
    x = _as(x, dtype)
    y = _C.log_softmax(x.array, axis)

    def log_softmax_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.log_softmax_backward(g, y, axis),)

    return record(y, (x,), log_softmax_backward)
