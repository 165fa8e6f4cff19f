"""Layers that move or repeat elements, channels last."""

from __future__ import annotations

import math
from typing import Any

from dlcore import functional as F
from dlcore.keras.layers.base import Layer, layer_registry
from dlcore.keras.layers.conv import channels_last, sizes
from dlcore.keras.layers.core import positive
from dlcore.tensor import Tensor

__all__ = ["Cropping2D", "Flatten", "Permute", "RepeatVector", "Reshape", "UpSampling2D", "ZeroPadding2D"]


def _product(shape: Any) -> int | None:
    return None if any(n is None for n in shape) else math.prod(shape)


@layer_registry.add()
class Flatten(Layer):
    """(N, ...) -> (N, the rest in one axis)."""

    _fields = ("data_format",)
    min_ndim = 1

    def __init__(self, data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last("Flatten", data_format)

    def call(self, inputs: Tensor) -> Any:
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], _product(input_shape[1:]))


@layer_registry.add()
class Reshape(Layer):
    """(N, ...) -> (N, *target_shape); one -1 is inferred."""

    _fields = ("target_shape",)

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if sum(n == -1 for n in self.target_shape) > 1:
            raise ValueError(f"Reshape: at most one axis may be -1, got {self.target_shape}")

    def _target(self, shape: Any) -> tuple[int | None, ...]:
        size = _product(shape[1:])
        known = math.prod(n for n in self.target_shape if n != -1)
        if size is None:
            return tuple([None if n == -1 else n for n in self.target_shape])
        if (known == 0 or size % known) if -1 in self.target_shape else known != size:
            raise ValueError(
                f"{self.name}: Reshape cannot turn shape {tuple(shape)} into {self.target_shape}"
            )
        return tuple([size // known if n == -1 else n for n in self.target_shape])

    def call(self, inputs: Tensor) -> Any:
        return inputs.reshape(inputs.shape[0], *self._target(inputs.shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._target(input_shape))


@layer_registry.add()
class Permute(Layer):
    """Reorders the axes after the batch: dims counts from 1."""

    _fields = ("dims",)

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"Permute: dims must be a permutation of 1 to {len(self.dims)}, got {self.dims}")
        self.ndim = len(self.dims) + 1

    def call(self, inputs: Tensor) -> Any:
        return inputs.permute(0, *self.dims)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *[input_shape[d] for d in self.dims])


@layer_registry.add()
class RepeatVector(Layer):
    """(N, C) -> (N, n, C)."""

    _fields = ("n",)
    ndim = 2

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive("RepeatVector", "n", n)

    def call(self, inputs: Tensor) -> Any:
        return inputs.unsqueeze(1).expand(inputs.shape[0], self.n, inputs.shape[1])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.n, input_shape[1])


def _pairs(layer: str, name: str, value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """n, (h, w) or ((top, bottom), (left, right))."""
    if isinstance(value, int):
        value = ((value, value), (value, value))
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{layer}: {name} must be an integer, 2 integers or 2 pairs, got {value!r}")
    h, w = [sizes(layer, name, (v, v) if isinstance(v, int) else v, 2, 0) for v in value]
    return (h[0], h[1]), (w[0], w[1])


@layer_registry.add()
class ZeroPadding2D(Layer):
    """Zeros around an image: `padding` is n, (h, w) or ((top, bottom), (left, right))."""

    _fields = ("padding", "data_format")
    ndim = 4

    def __init__(self, padding: Any = (1, 1), data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = _pairs("ZeroPadding2D", "padding", padding)
        self.data_format = channels_last("ZeroPadding2D", data_format)

    def call(self, inputs: Tensor) -> Any:
        (top, bottom), (left, right) = self.padding
        return F.pad(inputs, (0, 0, left, right, top, bottom))

    def compute_output_shape(self, input_shape: Any) -> Any:
        n, h, w, c = input_shape
        (top, bottom), (left, right) = self.padding
        return (n, None if h is None else h + top + bottom, None if w is None else w + left + right, c)


@layer_registry.add()
class Cropping2D(Layer):
    """Takes rows and columns off an image's edges."""

    _fields = ("cropping", "data_format")
    ndim = 4

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = _pairs("Cropping2D", "cropping", cropping)
        self.data_format = channels_last("Cropping2D", data_format)

    def call(self, inputs: Tensor) -> Any:
        self.compute_output_shape(inputs.shape)
        (top, bottom), (left, right) = self.cropping
        _, h, w, _ = inputs.shape
        return inputs[:, top : h - bottom, left : w - right, :]

    def compute_output_shape(self, input_shape: Any) -> Any:
        n, h, w, c = input_shape
        (top, bottom), (left, right) = self.cropping
        size = [None if s is None else s - a - b for s, a, b in ((h, top, bottom), (w, left, right))]
        if any(s is not None and s <= 0 for s in size):
            raise ValueError(
                f"{self.name}: Cropping2D {self.cropping} leaves nothing of shape {tuple(input_shape)}"
            )
        return (n, *size, c)


@layer_registry.add()
class UpSampling2D(Layer):
    """Repeats rows and columns `size` times (interpolation 'nearest')."""

    _fields = ("size", "data_format", "interpolation")
    ndim = 4

    def __init__(
        self, size: Any = (2, 2), data_format: Any = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size = sizes("UpSampling2D", "size", size, 2)
        self.data_format = channels_last("UpSampling2D", data_format)
        if interpolation != "nearest":
            raise ValueError(
                f"UpSampling2D: only interpolation='nearest' is supported, got {interpolation!r}"
            )
        self.interpolation = interpolation

    def call(self, inputs: Tensor) -> Any:
        n, h, w, c = inputs.shape
        a, b = self.size
        x = inputs.reshape(n, h, 1, w, 1, c).expand(n, h, a, w, b, c)
        return x.reshape(n, h * a, w * b, c)

    def compute_output_shape(self, input_shape: Any) -> Any:
        n, h, w, c = input_shape
        a, b = self.size
        return (n, None if h is None else h * a, None if w is None else w * b, c)
