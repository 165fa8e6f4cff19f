"""Layers that move or repeat elements, channels last."""

from __future__ import annotations

import math
from typing import Any

from dlcore import functional as F
from dlcore.keras.layers.base import Layer, layer_registry
from dlcore.keras.layers.common import channels_last, positive, sizes
from dlcore.tensor import Tensor

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Reshape",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


def _product(shape: Any) -> int | None:
    return None if any(n is None for n in shape) else math.prod(shape)


class _Mover(Layer):
    """A layer without weights whose output has the input's dtype."""

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def _output_dtype(self, first: Any) -> str:
        return str(getattr(first, "dtype", self.dtype))


@layer_registry.add()
class Flatten(_Mover):
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
class Reshape(_Mover):
    """(N, ...) -> (N, *target_shape); one -1 is inferred."""

    _fields = ("target_shape",)

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if sum(n == -1 for n in self.target_shape) > 1:
            raise ValueError(
                "The `target_shape` argument must not contain more than one `-1` value. Received: "
                f"target_shape={self.target_shape}"
            )

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
class Permute(_Mover):
    """Reorders the axes after the batch: dims counts from 1."""

    _fields = ("dims",)

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be "
                f"consecutive and start from 1. Received dims={self.dims}"
            )
        self.ndim = len(self.dims) + 1

    def call(self, inputs: Tensor) -> Any:
        return inputs.permute(0, *self.dims)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *[input_shape[d] for d in self.dims])


@layer_registry.add()
class RepeatVector(_Mover):
    """(N, C) -> (N, n, C)."""

    _fields = ("n",)
    ndim = 2

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(n, int):
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        self.n = positive("RepeatVector", "n", n)

    def call(self, inputs: Tensor) -> Any:
        return inputs.unsqueeze(1).expand(inputs.shape[0], self.n, inputs.shape[1])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.n, input_shape[1])


def _pairs(layer: str, name: str, value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """n, one integer an axis, or a pair (before, after) an axis."""
    if isinstance(value, int):
        value = (value,) * rank
    if not isinstance(value, (list, tuple)) or len(value) != rank:
        raise ValueError(
            f"{layer}: `{name}` should be an integer, {rank} integers or {rank} pairs. Received:"
            f" {name}={value!r}"
        )
    both = [sizes(layer, name, (v, v) if isinstance(v, int) else v, 2, 0) for v in value]
    return tuple([(a, b) for a, b in both])


class _ZeroPadding(_Mover):
    _fields: tuple[str, ...] = ("padding", "data_format")
    rank = 2

    def __init__(self, padding: Any = 1, data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        cls = type(self).__name__
        self.ndim = self.rank + 2
        self.data_format = channels_last(cls, data_format)
        self._around = self._read(cls, padding)
        self.padding: Any = self._around

    def _read(self, cls: str, padding: Any) -> tuple[tuple[int, int], ...]:
        return _pairs(cls, "padding", padding, self.rank)

    def call(self, inputs: Tensor) -> Any:
        return F.pad(inputs, (0, 0, *[n for pair in reversed(self._around) for n in pair]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        inner = [None if n is None else n + a + b for n, (a, b) in zip(input_shape[1:-1], self._around)]
        return (input_shape[0], *inner, input_shape[-1])


@layer_registry.add()
class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after a sequence: `padding` is n or (before, after)."""

    rank = 1

    def _read(self, cls: str, padding: Any) -> tuple[tuple[int, int], ...]:
        a, b = sizes(cls, "padding", padding, 2, 0)
        return ((a, b),)

    def __init__(self, padding: Any = 1, data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(padding, data_format, **kwargs)
        self.padding = self._around[0]


@layer_registry.add()
class ZeroPadding2D(_ZeroPadding):
    """Zeros around an image: `padding` is n, (h, w) or ((top, bottom), (left, right))."""


@layer_registry.add()
class ZeroPadding3D(_ZeroPadding):
    """Zeros around a volume: `padding` is n, one integer an axis or a pair an axis."""

    rank = 3


class _Cropping(_Mover):
    _fields: tuple[str, ...] = ("cropping", "data_format")
    rank = 2

    def __init__(self, cropping: Any = 1, data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        cls = type(self).__name__
        self.ndim = self.rank + 2
        self.data_format = channels_last(cls, data_format)
        self._edges = self._read(cls, cropping)
        self.cropping: Any = self._edges

    def _read(self, cls: str, cropping: Any) -> tuple[tuple[int, int], ...]:
        return _pairs(cls, "cropping", cropping, self.rank)

    def call(self, inputs: Tensor) -> Any:
        self.compute_output_shape(inputs.shape)
        inner = [slice(a, n - b) for n, (a, b) in zip(inputs.shape[1:-1], self._edges)]
        return inputs[(slice(None), *inner)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        size = [None if n is None else n - a - b for n, (a, b) in zip(input_shape[1:-1], self._edges)]
        if any(s is not None and s <= 0 for s in size):
            raise ValueError(
                f"{self.name}: {type(self).__name__} {self.cropping} leaves nothing of shape"
                f" {tuple(input_shape)}. `cropping` parameter of `{type(self).__name__}` layer must be"
                " smaller than the input shape."
            )
        return (input_shape[0], *size, input_shape[-1])


@layer_registry.add()
class Cropping1D(_Cropping):
    """Takes steps off a sequence's ends: `cropping` is n or (before, after)."""

    _fields = ("cropping",)
    rank = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, **kwargs)
        self.cropping = self._edges[0]

    def _read(self, cls: str, cropping: Any) -> tuple[tuple[int, int], ...]:
        a, b = sizes(cls, "cropping", cropping, 2, 0)
        return ((a, b),)


@layer_registry.add()
class Cropping2D(_Cropping):
    """Takes rows and columns off an image's edges."""

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


@layer_registry.add()
class Cropping3D(_Cropping):
    """Takes planes, rows and columns off a volume's edges."""

    rank = 3


class _Repeat(_Mover):
    """Repeats elements along each axis between the batch and the channels."""

    _fields: tuple[str, ...] = ("size", "data_format")
    rank = 2
    size: Any

    def _sizes(self) -> tuple[int, ...]:
        return tuple(self.size)

    def call(self, inputs: Tensor) -> Any:
        n, *inner, c = inputs.shape
        times = self._sizes()
        split = [k for s in inner for k in (s, 1)]
        wide = [k for s, t in zip(inner, times) for k in (s, t)]
        x = inputs.reshape(n, *split, c).expand(n, *wide, c)
        return x.reshape(n, *[s * t for s, t in zip(inner, times)], c)

    def compute_output_shape(self, input_shape: Any) -> Any:
        inner = [None if s is None else s * t for s, t in zip(input_shape[1:-1], self._sizes())]
        return (input_shape[0], *inner, input_shape[-1])


@layer_registry.add()
class UpSampling1D(_Repeat):
    """Repeats each step `size` times."""

    _fields = ("size",)
    rank = 1
    ndim = 3

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = positive("UpSampling1D", "size", size)

    def _sizes(self) -> tuple[int, ...]:
        return (self.size,)


_MODES = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "lanczos3": "", "lanczos5": ""}


@layer_registry.add()
class UpSampling2D(_Repeat):
    """Repeats rows and columns `size` times, or interpolates between them."""

    _fields = ("size", "data_format", "interpolation")
    ndim = 4

    def __init__(
        self, size: Any = (2, 2), data_format: Any = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size = sizes("UpSampling2D", "size", size, 2)
        self.data_format = channels_last("UpSampling2D", data_format)
        name = interpolation.lower()
        if name not in _MODES:
            raise ValueError(
                f"`interpolation` argument should be one of: {', '.join(_MODES)}. Received:"
                f' "{interpolation}".'
            )
        if not _MODES[name]:
            raise ValueError(f"UpSampling2D: interpolation={interpolation!r} is not supported")
        self.interpolation = name

    def call(self, inputs: Tensor) -> Any:
        if self.interpolation == "nearest":
            return super().call(inputs)
        from dlcore.keras.layers.image import resize

        h, w = [n * s for n, s in zip(inputs.shape[1:3], self.size)]
        return resize(inputs, h, w, self.interpolation)


@layer_registry.add()
class UpSampling3D(_Repeat):
    """Repeats planes, rows and columns `size` times."""

    rank = 3
    ndim = 5

    def __init__(self, size: Any = (2, 2, 2), data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = sizes("UpSampling3D", "size", size, 3)
        self.data_format = channels_last("UpSampling3D", data_format)
