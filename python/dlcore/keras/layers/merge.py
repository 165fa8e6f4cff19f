"""Layers of several inputs."""

from __future__ import annotations

from functools import reduce
from typing import Any

from dlcore import functional as F
from dlcore.keras.layers.base import Layer, layer_registry

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Maximum",
    "Multiply",
    "Subtract",
    "add",
    "concatenate",
    "multiply",
]


class _Merge(Layer):
    least, most = 2, 1 << 30

    def _inputs(self, inputs: Any) -> list[Any]:
        if not isinstance(inputs, (list, tuple)) or not self.least <= len(inputs) <= self.most:
            exact = self.least == self.most
            what = f"exactly {self.least}" if exact else f"a list of at least {self.least}"
            raise ValueError(
                f"{self.name}: {type(self).__name__} must be called on {what} inputs, got {inputs!r:.100}"
            )
        return list(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = self._inputs(input_shape)
        ndim = max(len(s) for s in shapes)
        out: list[int | None] = []
        for axis in zip(*[(1,) * (ndim - len(s)) + tuple(s) for s in shapes]):
            known = {n for n in axis if n not in (None, 1)}
            if len(known) > 1:
                raise ValueError(
                    f"{self.name}: {type(self).__name__} cannot broadcast inputs of shapes {shapes}"
                )
            out.append(known.pop() if known else (None if None in axis else 1))
        return tuple(out)

    def _merge(self, a: Any, b: Any) -> Any:
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        return reduce(self._merge, self._inputs(inputs))


@layer_registry.add()
class Add(_Merge):
    """x0 + x1 + ..."""

    def _merge(self, a: Any, b: Any) -> Any:
        return a + b


@layer_registry.add()
class Subtract(_Merge):
    """x0 - x1."""

    most = 2

    def _merge(self, a: Any, b: Any) -> Any:
        return a - b


@layer_registry.add()
class Multiply(_Merge):
    """x0 * x1 * ..."""

    def _merge(self, a: Any, b: Any) -> Any:
        return a * b


@layer_registry.add()
class Maximum(_Merge):
    """max(x0, x1, ...)."""

    def _merge(self, a: Any, b: Any) -> Any:
        return F.relu(a - b) + b


@layer_registry.add()
class Average(Add):
    """(x0 + x1 + ...) / n."""

    def call(self, inputs: Any) -> Any:
        return super().call(inputs) * (1.0 / len(inputs))


@layer_registry.add()
class Concatenate(_Merge):
    """The inputs one after another along `axis`."""

    _fields = ("axis",)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    least = 1

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape([t.shape for t in self._inputs(inputs)])
        return F.cat(list(inputs), self.axis)

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = [list(s) for s in self._inputs(input_shape)]
        first = shapes[0]
        axis = self.axis % len(first)
        for s in shapes[1:]:
            rest = zip(first[:axis] + first[axis + 1 :], s[:axis] + s[axis + 1 :])
            if len(s) != len(first) or any(a != b for a, b in rest if a is not None and b is not None):
                raise ValueError(
                    f"{self.name}: Concatenate needs inputs equal but for axis {self.axis}, got shapes "
                    f"{[tuple(t) for t in shapes]}"
                )
        total = [s[axis] for s in shapes]
        first[axis] = None if None in total else sum(total)
        return tuple(first)


def add(inputs: Any, **kwargs: Any) -> Any:
    return Add(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    return Multiply(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    return Concatenate(axis, **kwargs)(inputs)
