"""ndarray <-> Array at the door of every raw kernel."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from dlcore import _C
from dlcore.tensor import as_array

__all__ = ["NDArray", "arr", "opt", "out"]

NDArray = npt.NDArray[Any]


def arr(x: npt.ArrayLike) -> _C.Array:
    """Shares the memory of `x` where its layout allows it."""
    return as_array(x)


def opt(x: npt.ArrayLike | None) -> _C.Array | None:
    return None if x is None else as_array(x)


def out(a: _C.Array) -> NDArray:
    return a.numpy()
