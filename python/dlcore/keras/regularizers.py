"""Penalties on weights, added to the loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcore.keras._registry import Configured, Registry
from dlcore.tensor import Tensor, as_array

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]

_registry = Registry("keras.regularizers", "regularizer")
get = _registry.get
deserialize = _registry.from_config
serialize = _registry.serialize


def _penalty(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError(
            f"Invalid value for argument {name}: expected a non-negative float.Received: {name}={value}"
        )
    return float(value)


class Regularizer(Configured):
    """Called with a weight, gives a scalar."""

    _keras_module = "keras.regularizers"

    def __call__(self, x: Tensor) -> Any:
        raise NotImplementedError


@_registry.add("l1_l2")
class L1L2(Regularizer):
    """l1 * sum |w| + l2 * sum w^2."""

    _fields: tuple[str, ...] = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = _penalty("l1", l1 or 0.0), _penalty("l2", l2 or 0.0)

    def __call__(self, x: Tensor) -> Any:
        total: Any = 0.0
        if self.l1:
            total = total + x.abs().sum() * self.l1
        if self.l2:
            total = total + (x * x).sum() * self.l2
        return total


@_registry.add()
class L1(L1L2):
    """l1 * sum |w|."""

    _fields = ("l1",)

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1, 0.0)


@_registry.add()
class L2(L1L2):
    """l2 * sum w^2."""

    _fields = ("l2",)

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(0.0, l2)


@_registry.add()
class OrthogonalRegularizer(Regularizer):
    """factor times the mean of |cosine| over the pairs of rows (or columns) of a matrix."""

    _fields = ("factor", "mode")

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _penalty("factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(
                'Invalid value for argument `mode`. Expected one of {"rows", "columns"}. Received:'
                f" mode={mode}"
            )
        self.mode = mode

    def __call__(self, x: Tensor) -> Any:
        if x.ndim != 2:
            raise ValueError(
                f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={x.shape}"
            )
        rows = x if self.mode == "rows" else x.transpose(0, 1)
        unit = rows * (rows * rows).sum(1, keepdim=True).clamp(min=1e-12).rsqrt()
        n = unit.shape[0]
        apart = Tensor(as_array(1.0 - np.eye(n, dtype=unit.dtype)))
        total = ((unit @ unit.transpose(0, 1)) * apart).abs().sum()
        return total * (self.factor * 0.5 / (n * (n - 1.0) / 2.0))


l1, l2, orthogonal_regularizer = L1, L2, OrthogonalRegularizer


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    return L1L2(l1, l2)
