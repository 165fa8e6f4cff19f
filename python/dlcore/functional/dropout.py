"""dropout and its channel-wise forms. The mask is drawn from (seed, offset, element), so backward keeps two
integers.

J. Salmon et al.: Parallel random numbers: as easy as 1, 2, 3 (SC 2011); N. Srivastava et al.: Dropout (JMLR
2014).
"""

from __future__ import annotations

import math
from typing import Any

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.elementwise import add, mul, replace, sub
from dlcore.random import next_philox
from dlcore.tensor import Tensor

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "feature_dropout",
]


def _check(op: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{op}: p must be a probability between 0 and 1, got {p}")


def _dropout(op: str, x: Tensor, p: float, training: bool, inplace: bool, inner: int, rng: Any) -> Tensor:
    _check(op, p)
    if not training or p == 0:
        return x
    seed, offset = next_philox(rng)

    def dropout_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.dropout(g, p, seed, offset, inner),)

    y = _C.dropout(x.array, p, seed, offset, inner)
    if not inplace:
        return record(y, (x,), dropout_backward)
    if x.requires_grad:
        raise RuntimeError(f"{op}: inplace=True is not supported where x requires grad")
    _C.copy_into(x.array, y)
    return x


def dropout(
    x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Tensor:
    """y = x m / (1 - p), each m being 0 with probability p and 1 otherwise; x itself unless `training`.

    Any shape, float32 or float64. `rng` is None (the library's generator, `dlcore.manual_seed`), an int, a
    SeedSequence or a Generator. The mask depends on the seed and the element alone: not on threads, ISA or
    device.

    Raises ValueError for p outside [0, 1].

    >>> import dlcore
    >>> y = dlcore.functional.dropout(dlcore.tensor([[1.0] * 8]), 0.5, rng=0)
    >>> set(y.numpy().ravel().tolist()) <= {0.0, 2.0}
    True
    """
    return _dropout("dropout", x, p, training, inplace, 1, rng)


def _channels(op: str, x: Tensor, spatial: int) -> int:
    """Elements of a channel of (N, C, ...), or (C, ...) where there is no batch."""
    if x.ndim not in (spatial + 1, spatial + 2):
        raise ValueError(
            f"{op}: x must have {spatial + 1} or {spatial + 2} dimensions, (N, C, ...) or (C, ...), "
            f"got x={x.shape}"
        )
    return max(1, math.prod(x.shape[x.ndim - spatial :]))


def dropout1d(
    x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Tensor:
    """Dropout of whole channels of (N, C, L) or (C, L).

    Raises ValueError for another rank and for p outside [0, 1].

    >>> import dlcore, numpy as np
    >>> y = dlcore.functional.dropout1d(dlcore.tensor(np.ones((1, 3, 4))), 0.5, rng=0).numpy()
    >>> bool(((y == 0).all(-1) | (y == 2).all(-1)).all())
    True
    """
    return _dropout("dropout1d", x, p, training, inplace, _channels("dropout1d", x, 1), rng)


def dropout2d(
    x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Tensor:
    """Dropout of whole channels of (N, C, H, W) or (C, H, W). J. Tompson et al. (CVPR 2015)."""
    return _dropout("dropout2d", x, p, training, inplace, _channels("dropout2d", x, 2), rng)


def dropout3d(
    x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Tensor:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _dropout("dropout3d", x, p, training, inplace, _channels("dropout3d", x, 3), rng)


def feature_dropout(x: Tensor, p: float = 0.5, training: bool = True, *, rng: Any = None) -> Tensor:
    """Dropout of whole features: one draw an entry of the two first axes of (N, C, ...)."""
    inner = max(1, math.prod(x.shape[2:]))
    return _dropout("feature_dropout", x, p, training, False, inner, rng)


# The negative saturation value of SELU, -scale alpha. G. Klambauer et al.: Self-normalizing networks (NeurIPS
# 2017).
_SELU_LIMIT = -1.7580993408473766


def _alpha_dropout(
    op: str, x: Tensor, p: float, training: bool, inplace: bool, inner: int, rng: Any
) -> Tensor:
    _check(op, p)
    if not training or p == 0:
        return x
    if inplace:
        return replace(x, lambda t: _alpha_dropout(op, t, p, training, False, inner, rng))
    if p == 1:
        return mul(x, 0.0)
    seed, offset = next_philox(rng)
    ones = _C.full(x.shape, 1.0, x.dtype, x.device)
    keep = mul(Tensor(_C.dropout(ones, p, seed, offset, inner)), 1 - p)
    a = ((1 - p) * (1 + p * _SELU_LIMIT**2)) ** -0.5
    return sub(mul(add(mul(x, keep), mul(sub(1.0, keep), _SELU_LIMIT)), a), a * p * _SELU_LIMIT)


def alpha_dropout(
    x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, rng: Any = None
) -> Tensor:
    """Dropout that keeps the mean and variance of SELU's output: y = a (x m + alpha' (1 - m)) + b.

    a = ((1 - p) (1 + p alpha'²))^(-1/2), b = -a p alpha', alpha' = -1.7581. Raises ValueError for p outside
    [0, 1].
    """
    return _alpha_dropout("alpha_dropout", x, p, training, inplace, 1, rng)


def feature_alpha_dropout(
    x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, rng: Any = None
) -> Tensor:
    """`alpha_dropout` of whole features: one draw an entry of the two first axes of (N, C, ...).

    Raises ValueError for p outside [0, 1], and in training for fewer than two axes.
    """
    _check("feature_alpha_dropout", p)
    if training and p > 0 and x.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: x must be (N, C, ...), got x={x.shape}")
    inner = max(1, math.prod(x.shape[2:]))
    return _alpha_dropout("feature_alpha_dropout", x, p, training, inplace, inner, rng)
