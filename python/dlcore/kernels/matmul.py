"""matmul, linear on ndarrays."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, opt, out

__all__ = ["linear", "matmul"]


def matmul(a: npt.ArrayLike, b: npt.ArrayLike) -> NDArray:
    """C = A B over the last two axes, with NumPy's rules for 1-d operands and batch axes.

    Raises ValueError for shapes that do not match, TypeError for mixed or integer dtypes.

    >>> import numpy as np, dlcore
    >>> float(dlcore.kernels.matmul(np.ones((1, 3)), np.ones((3, 1)))[0, 0])
    3.0
    """
    return out(_C.matmul(arr(a), arr(b)))


def linear(
    x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None, activation: str = ""
) -> NDArray:
    """y = act(x Wᵀ + b): x (..., in), weight (out, in), bias (out,) -> (..., out).

    `activation` is "", "relu", "sigmoid" or "tanh", fused into the product.
    """
    return out(_C.linear(arr(x), arr(weight), opt(bias), activation))
