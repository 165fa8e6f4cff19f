"""Products with weights kept as int8 or bfloat16, on ndarrays."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, opt, out

__all__ = ["quant_linear", "quant_widen"]


def quant_linear(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    scale: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
) -> NDArray:
    """y = x Wᵀ + b, W from the bytes `weight`, uint8: with `scale` (out,) int8 (out, in), W = scale · int8;
    without it bfloat16 (out, 2 in).

    Raises ValueError for shapes that do not match, TypeError for other dtypes.

    >>> import numpy as np, dlcore
    >>> w = np.array([[1, -2]], np.int8).view(np.uint8)
    >>> dlcore.kernels.quant_linear(np.ones((1, 2)), w, np.array([0.5])).tolist()
    [[-0.5]]
    """
    return out(_C.quant_linear(arr(x), arr(weight), opt(scale), opt(bias)))


def quant_widen(
    weight: npt.ArrayLike, scale: npt.ArrayLike | None = None, dtype: npt.DTypeLike | None = None
) -> NDArray:
    """W itself, as `quant_linear` reads it, in the dtype of `scale`, or in `dtype` (float32 unless given)."""
    factors = opt(scale)
    if dtype is None:
        dtype = "float32" if factors is None else factors.dtype
    return out(_C.quant_widen(arr(weight), factors, dtype))
