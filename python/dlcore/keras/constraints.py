"""Projections of weights after an optimizer's step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.keras._registry import Configured, Registry

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]

NDArray = npt.NDArray[Any]
_registry = Registry("keras.constraints", "constraint")
get = _registry.get
deserialize = _registry.from_config
serialize = _registry.serialize
_EPSILON = 1e-7


class Constraint(Configured):
    """Called with the values of a weight, gives those that it shall have."""

    _keras_module = "keras.constraints"

    def __call__(self, w: NDArray) -> NDArray:
        raise NotImplementedError


def _norm(w: NDArray, axis: Any) -> NDArray:
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return np.asarray(np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True)))


@_registry.add()
class MaxNorm(Constraint):
    """Norms along `axis` at most `max_value`."""

    _fields = ("max_value", "axis")

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: NDArray) -> NDArray:
        norm = _norm(w, self.axis)
        return w * (np.clip(norm, 0, self.max_value) / (_EPSILON + norm))


@_registry.add()
class NonNeg(Constraint):
    """Negative weights become 0."""

    def __call__(self, w: NDArray) -> NDArray:
        return w * (w >= 0)


@_registry.add()
class UnitNorm(Constraint):
    """Norms along `axis` are 1."""

    _fields = ("axis",)

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: NDArray) -> NDArray:
        return w / (_EPSILON + _norm(w, self.axis))


@_registry.add()
class MinMaxNorm(Constraint):
    """Norms along `axis` moved, by the share `rate`, into [min_value, max_value]."""

    _fields = ("min_value", "max_value", "rate", "axis")

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: NDArray) -> NDArray:
        norm = _norm(w, self.axis)
        wanted = self.rate * np.clip(norm, self.min_value, self.max_value) + (1 - self.rate) * norm
        return w * (wanted / (_EPSILON + norm))


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm
