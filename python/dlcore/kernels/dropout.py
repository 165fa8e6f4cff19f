"""dropout and counter-based random numbers on ndarrays."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out

__all__ = ["dropout", "philox_bits", "philox_uniform"]


def dropout(x: npt.ArrayLike, p: float = 0.5, seed: int = 0, offset: int = 0, inner: int = 1) -> NDArray:
    """y = x m / (1 - p), m being 0 with probability p; `inner` trailing elements share one draw.

    The mask is a function of (seed, offset, element index): the same call on dy is the backward.

    >>> import numpy as np, dlcore
    >>> float(dlcore.kernels.dropout(np.ones(1000), 0.0).sum())
    1000.0
    """
    return out(_C.dropout(arr(x), p, seed, offset, inner))


def philox_uniform(
    shape: tuple[int, ...], dtype: npt.DTypeLike = "float32", seed: int = 0, offset: int = 0
) -> NDArray:
    """Uniform numbers in [0, 1): 24 random bits each in float32, 53 in float64.

    >>> import dlcore
    >>> dlcore.kernels.philox_uniform((2, 3), seed=1).shape
    (2, 3)
    """
    return out(_C.philox_uniform(shape, dtype, seed, offset))


def philox_bits(n: int, seed: int = 0, offset: int = 0, first_block: int = 0) -> NDArray:
    """n raw words (as int32) of Philox4x32-10; csrc/kernels.h says which word of which counter each is."""
    return out(_C.philox_bits(n, seed, offset, first_block))
