"""Pooling, channels last."""

from __future__ import annotations

from typing import Any

from dlcore import functional as F
from dlcore.functional.pool import avg_pool, max_pool
from dlcore.keras.layers.base import Layer, layer_registry, to_float
from dlcore.keras.layers.common import (
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
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
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
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        cls = type(self).__name__
        self.ndim = self.rank + 2
        self.pool_size = sizes(cls, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else sizes(cls, "strides", strides, self.rank)
        self.padding = padding_name(cls, padding, ("valid", "same"))
        self.data_format = channels_last(cls, data_format)

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def call(self, inputs: Tensor) -> Any:
        x = to_first(to_float(inputs, self.dtype))
        self.compute_output_shape(inputs.shape)
        if self.padding == "valid":
            pads = [(0, 0)] * self.rank
        else:
            pads = [same_padding(n, w, s) for n, w, s in zip(x.shape[2:], self.pool_size, self.strides)]
        flat = (*[a for a, _ in pads], *[b for _, b in pads])
        if self.average:
            return to_last(avg_pool(x, self.pool_size, self.strides, flat, False, False))
        ones = (1,) * self.rank
        return to_last(max_pool(x, self.pool_size, self.strides, flat, ones))

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


@layer_registry.add("MaxPool3D")
class MaxPooling3D(_Pool):
    """The largest of each window: x (N, D, H, W, C) -> (N, D', H', W', C)."""

    rank = 3


@layer_registry.add("AvgPool1D")
class AveragePooling1D(_Pool):
    """The mean of each window; padding does not count."""

    rank = 1
    average = True


@layer_registry.add("AvgPool2D")
class AveragePooling2D(_Pool):
    """The mean of each window; padding does not count."""

    average = True


@layer_registry.add("AvgPool3D")
class AveragePooling3D(_Pool):
    """The mean of each window; padding does not count."""

    rank = 3
    average = True


class _GlobalPool(Layer):
    _fields = ("data_format", "keepdims")

    def __init__(self, data_format: Any = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(type(self).__name__, data_format)
        self.keepdims = keepdims

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

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
    """The mean over time: x (N, L, C) -> (N, C); with a mask, over the steps that it leaves."""

    ndim = 3
    supports_masking = True

    def call(self, inputs: Tensor, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        x = to_float(inputs, self.dtype)
        kept = mask.to(x.dtype).unsqueeze(2)
        return (x * kept).sum(1, keepdim=self.keepdims) / kept.sum(1, keepdim=self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


@layer_registry.add("GlobalAvgPool2D")
class GlobalAveragePooling2D(_GlobalAverage):
    """The mean over the image: x (N, H, W, C) -> (N, C)."""

    ndim = 4


@layer_registry.add("GlobalAvgPool3D")
class GlobalAveragePooling3D(_GlobalAverage):
    """The mean over the volume: x (N, D, H, W, C) -> (N, C)."""

    ndim = 5


@layer_registry.add("GlobalMaxPool1D")
class GlobalMaxPooling1D(_GlobalMax):
    """The largest over time: x (N, L, C) -> (N, C)."""

    ndim = 3


@layer_registry.add("GlobalMaxPool2D")
class GlobalMaxPooling2D(_GlobalMax):
    """The largest over the image: x (N, H, W, C) -> (N, C)."""

    ndim = 4


@layer_registry.add("GlobalMaxPool3D")
class GlobalMaxPooling3D(_GlobalMax):
    """The largest over the volume: x (N, D, H, W, C) -> (N, C)."""

    ndim = 5


class _AdaptivePool(Layer):
    """Windows that cover each axis, as many as `output_size` says; None keeps an axis."""

    _fields = ("output_size", "data_format")
    rank = 1
    average = False

    def __init__(self, output_size: Any, data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        cls = type(self).__name__
        self.ndim = self.rank + 2
        self.output_size = sizes(cls, "output_size", output_size, self.rank)
        self.data_format = channels_last(cls, data_format)

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def call(self, inputs: Tensor) -> Any:
        x = to_first(to_float(inputs, self.dtype))
        kind = "avg" if self.average else "max"
        pool = getattr(F, f"adaptive_{kind}_pool{self.rank}d")
        return to_last(pool(x, self.output_size))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self.output_size, input_shape[-1])


@layer_registry.add()
class AdaptiveAveragePooling1D(_AdaptivePool):
    """The mean of each of `output_size` windows that cover (N, L, C)."""

    average = True


@layer_registry.add()
class AdaptiveAveragePooling2D(_AdaptivePool):
    """The mean of each of `output_size` windows that cover (N, H, W, C)."""

    rank = 2
    average = True


@layer_registry.add()
class AdaptiveAveragePooling3D(_AdaptivePool):
    """The mean of each of `output_size` windows that cover (N, D, H, W, C)."""

    rank = 3
    average = True


@layer_registry.add()
class AdaptiveMaxPooling1D(_AdaptivePool):
    """The largest of each of `output_size` windows that cover (N, L, C)."""


@layer_registry.add()
class AdaptiveMaxPooling2D(_AdaptivePool):
    """The largest of each of `output_size` windows that cover (N, H, W, C)."""

    rank = 2


@layer_registry.add()
class AdaptiveMaxPooling3D(_AdaptivePool):
    """The largest of each of `output_size` windows that cover (N, D, H, W, C)."""

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
