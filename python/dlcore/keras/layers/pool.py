"""Pooling, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras.layers.base import Layer, layer_registry, to_float, to_tensor
from dlcore.keras.layers.conv import (
    channels_last,
    output_size,
    padding_name,
    same_padding,
    sizes,
    to_first,
    to_last,
)
from dlcore.tensor import Tensor

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AvgPool1D",
    "AvgPool2D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
]


class _Pool(Layer):
    _fields = ("pool_size", "strides", "padding", "data_format")
    rank = 2
    average = False

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        cls = type(self).__name__
        self.ndim = self.rank + 2
        self.pool_size = sizes(cls, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else sizes(cls, "strides", strides, self.rank)
        self.padding = padding_name(cls, padding, ("valid", "same"))
        self.data_format = channels_last(cls, data_format)

    def _pool(self, x: Tensor, padding: Any, ceil: bool) -> Tensor:
        if self.average:
            avg = F.avg_pool1d if self.rank == 1 else F.avg_pool2d
            return avg(x, self.pool_size, self.strides, padding, ceil_mode=ceil, count_include_pad=False)
        pool: Any = F.max_pool1d if self.rank == 1 else F.max_pool2d
        return pool(x, self.pool_size, self.strides, padding, ceil_mode=ceil)  # type: ignore[no-any-return]

    def call(self, inputs: Tensor) -> Any:
        x = to_first(to_float(inputs, self.dtype))
        if self.padding == "valid":
            self.compute_output_shape(inputs.shape)
            return to_last(self._pool(x, 0, False))
        pads = [same_padding(n, w, s) for n, w, s in zip(x.shape[2:], self.pool_size, self.strides)]
        if all(a == b for a, b in pads):
            return to_last(self._pool(x, tuple([a for a, _ in pads]), False))
        if all(a == b or s > 1 for (a, b), s in zip(pads, self.strides)):
            # One more row after than before: what a window reaching over the end sees in ceil mode.
            return to_last(self._pool(x, tuple([a for a, _ in pads]), True))
        flat = tuple([n for pair in reversed(pads) for n in pair])
        if not self.average:
            return to_last(self._pool(F.pad(x, flat, value=float("-inf")), 0, False))
        ones = to_tensor(np.ones((1, 1, *x.shape[2:]), x.dtype), x.dtype.name)
        return to_last(self._pool(F.pad(x, flat), 0, False) / self._pool(F.pad(ones, flat), 0, False))

    def compute_output_shape(self, input_shape: Any) -> Any:
        axes = zip(input_shape[1:-1], self.pool_size, self.strides)
        return (
            input_shape[0],
            *[output_size(self, n, w, s, self.padding) for n, w, s in axes],
            input_shape[-1],
        )


@layer_registry.add("MaxPool1D")
class MaxPooling1D(_Pool):
    """The largest of each window: x (N, L, C) -> (N, L', C)."""

    rank = 1


@layer_registry.add("MaxPool2D")
class MaxPooling2D(_Pool):
    """The largest of each window: x (N, H, W, C) -> (N, H', W', C)."""

    def __init__(self, pool_size: Any = (2, 2), *args: Any, **kwargs: Any) -> None:
        super().__init__(pool_size, *args, **kwargs)


@layer_registry.add("AvgPool1D")
class AveragePooling1D(_Pool):
    """The mean of each window; padding does not count."""

    rank = 1
    average = True


@layer_registry.add("AvgPool2D")
class AveragePooling2D(MaxPooling2D):
    """The mean of each window; padding does not count."""

    average = True


class _GlobalPool(Layer):
    _fields = ("data_format", "keepdims")

    def __init__(self, data_format: Any = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(type(self).__name__, data_format)
        self.keepdims = keepdims

    def _axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(range(1, ndim - 1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        ones = [1] * (len(input_shape) - 2) if self.keepdims else []
        return (input_shape[0], *ones, input_shape[-1])


class _GlobalAverage(_GlobalPool):
    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        return x.mean(self._axes(x.ndim), keepdim=self.keepdims)


class _GlobalMax(_GlobalPool):
    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        return x.amax(self._axes(x.ndim), keepdim=self.keepdims)


@layer_registry.add("GlobalAvgPool1D")
class GlobalAveragePooling1D(_GlobalAverage):
    """The mean over time: x (N, L, C) -> (N, C)."""

    ndim = 3


@layer_registry.add("GlobalAvgPool2D")
class GlobalAveragePooling2D(_GlobalAverage):
    """The mean over the image: x (N, H, W, C) -> (N, C)."""

    ndim = 4


@layer_registry.add("GlobalMaxPool1D")
class GlobalMaxPooling1D(_GlobalMax):
    """The largest over time: x (N, L, C) -> (N, C)."""

    ndim = 3


@layer_registry.add("GlobalMaxPool2D")
class GlobalMaxPooling2D(_GlobalMax):
    """The largest over the image: x (N, H, W, C) -> (N, C)."""

    ndim = 4


MaxPool1D, MaxPool2D, AvgPool1D, AvgPool2D = MaxPooling1D, MaxPooling2D, AveragePooling1D, AveragePooling2D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
