"""Penalties on weights, added to the loss."""

from __future__ import annotations

from typing import Any

from dlcore.keras._registry import Configured, Registry
from dlcore.tensor import Tensor

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]

_registry = Registry("keras.regularizers", "regularizer")
get = _registry.get


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
        self.l1, self.l2 = l1 or 0.0, l2 or 0.0

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


l1, l2 = L1, L2


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    return L1L2(l1, l2)
