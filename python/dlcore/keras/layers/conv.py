"""Convolutions, channels last: x (N, *S, C), kernel (*K, C / groups, filters).

The kernels see x as (N, C, *S) through a permuted view, whose strides keep the channels last: nothing is
copied.
"""

from __future__ import annotations

from typing import Any

from dlcore import functional as F
from dlcore.keras import activations
from dlcore.keras.layers.base import Layer, layer_registry, to_float
from dlcore.keras.layers.common import (
    channels_last,
    output_size,
    padding_name,
    positive,
    same_padding,
    sizes,
    to_first,
    to_last,
)
from dlcore.tensor import Tensor

__all__ = [
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]


def kernel_first(k: Tensor) -> Tensor:
    """(*K, I, O) seen as (O, I, *K)."""
    return k.permute(k.ndim - 1, k.ndim - 2, *range(k.ndim - 2))


def padded(x: Tensor, pads: list[tuple[int, int]]) -> tuple[Tensor, Any]:
    """(x, padding) for a kernel that pads both sides alike: x is padded first where they differ."""
    if all(a == b for a, b in pads):
        return x, tuple([a for a, _ in pads])
    return F.pad(x, tuple([n for pair in reversed(pads) for n in pair])), 0


class BaseConv(Layer):
    """Geometry, bias and activation of convolutions."""

    rank = 2
    choices: tuple[str, ...] = ("valid", "same")

    def _setup(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: Any,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
    ) -> None:
        cls = type(self).__name__
        self.ndim = self.rank + 2
        self.kernel_size = sizes(cls, "kernel_size", kernel_size, self.rank)
        self.strides = sizes(cls, "strides", strides, self.rank)
        self.dilation_rate = sizes(cls, "dilation_rate", dilation_rate, self.rank)
        self.padding = padding_name(cls, padding, self.choices)
        self.data_format = channels_last(cls, data_format)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{cls}: strides and dilation_rate must not both exceed 1, got {self.strides}, "
                f"{self.dilation_rate}"
            )
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.bias: Any = None

    def _windows(self) -> list[int]:
        return [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation_rate)]

    def _spatial(self, shape: Any) -> tuple[int | None, ...]:
        axes = zip(shape[1:-1], self._windows(), self.strides)
        return tuple([output_size(self, n, w, s, self.padding) for n, w, s in axes])

    def _convolve(self, x: Tensor, kernel: Tensor, bias: Any, groups: int, activation: str) -> Tensor:
        """x (N, C, *S) -> (N, O, *S)."""
        padding: Any = 0
        windows = self._windows()
        if self.padding == "causal":
            x = F.pad(x, (windows[0] - 1, 0))
        elif self.padding == "same":
            sides = zip(x.shape[2:], windows, self.strides)
            x, padding = padded(x, [same_padding(n, w, s) for n, w, s in sides])
        conv: Any = (F.conv1d, F.conv2d, F.conv3d)[self.rank - 1]
        y: Tensor = conv(
            x, kernel, bias, self.strides, padding, self.dilation_rate, groups, activation=activation
        )
        return y

    def _bias(self, n: int) -> None:
        if self.use_bias:
            self.bias = self._weight((n,), "bias")

    def _activate(self, y: Tensor, fused: str | None) -> Any:
        y = to_last(y)
        return y if fused is not None else self.activation(y)

    def _channels(self, input_shape: Any) -> int:
        c = input_shape[-1]
        if c is None:
            raise ValueError(
                f"{self.name}: {type(self).__name__} needs to know the channels, got shape {input_shape}"
            )
        return int(c)


class _Conv(BaseConv):
    """y = activation(x * kernel + bias), * the cross-correlation."""

    _fields = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "data_format",
        "dilation_rate",
        "groups",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: Any = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        cls = type(self).__name__
        self.filters = positive(cls, "filters", filters)
        self.groups = positive(cls, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"{cls}: groups must divide filters, got groups={groups}, filters={filters}")
        self._setup(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self._keep(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        c = self._channels(input_shape)
        if c % self.groups:
            raise ValueError(
                f"{self.name}: groups={self.groups} must divide the input's channels, got shape {input_shape}"
            )
        self._spatial(input_shape)
        self.kernel = self._weight((*self.kernel_size, c // self.groups, self.filters), "kernel")
        self._bias(self.filters)

    def call(self, inputs: Tensor) -> Any:
        fused = activations.FUSED.get(self.activation)
        x = to_first(to_float(inputs, self.dtype))
        y = self._convolve(x, kernel_first(self.kernel), self.bias, self.groups, fused or "")
        return self._activate(y, fused)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._spatial(input_shape), self.filters)


@layer_registry.add("Convolution1D")
class Conv1D(_Conv):
    """x (N, L, C) -> (N, L', filters); padding also 'causal'."""

    rank = 1
    choices = ("valid", "same", "causal")


@layer_registry.add("Convolution2D")
class Conv2D(_Conv):
    """x (N, H, W, C) -> (N, H', W', filters); kernel (kh, kw, C / groups, filters), bias (filters,)."""

    rank = 2

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = (1, 1), *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(filters, kernel_size, strides, *args, **kwargs)


@layer_registry.add("Convolution3D")
class Conv3D(_Conv):
    """x (N, D, H, W, C) -> (N, D', H', W', filters)."""

    rank = 3


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D


def _depthwise_kernel(k: Tensor) -> Tensor:
    """(*K, C, m) as (C m, 1, *K), the grouped kernel of C groups."""
    n = k.ndim - 2
    c, m = k.shape[n:]
    return k.permute(n, n + 1, *range(n)).reshape(c * m, 1, *k.shape[:n])


class _DepthwiseConv(BaseConv):
    _fields = (
        "kernel_size",
        "strides",
        "padding",
        "depth_multiplier",
        "data_format",
        "dilation_rate",
        "activation",
        "use_bias",
        "depthwise_initializer",
        "bias_initializer",
        "depthwise_regularizer",
        "bias_regularizer",
        "depthwise_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: Any = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        cls = type(self).__name__
        self.depth_multiplier = positive(cls, "depth_multiplier", depth_multiplier)
        self._setup(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self._keep(
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
        )
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        c = self._channels(input_shape)
        self._spatial(input_shape)
        self.kernel = self._weight((*self.kernel_size, c, self.depth_multiplier), "kernel", "depthwise")
        self._bias(c * self.depth_multiplier)

    def call(self, inputs: Tensor) -> Any:
        fused = activations.FUSED.get(self.activation)
        x = to_first(to_float(inputs, self.dtype))
        y = self._convolve(x, _depthwise_kernel(self.kernel), self.bias, x.shape[1], fused or "")
        return self._activate(y, fused)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._spatial(input_shape), input_shape[-1] * self.depth_multiplier)


@layer_registry.add()
class DepthwiseConv1D(_DepthwiseConv):
    """Each channel with its own `depth_multiplier` filters: kernel (k, C, m), output (N, L', C m)."""

    rank = 1


@layer_registry.add()
class DepthwiseConv2D(_DepthwiseConv):
    """Each channel with its own `depth_multiplier` filters: kernel (kh, kw, C, m), output (N, H', W', C
    m)."""

    rank = 2


class _SeparableConv(BaseConv):
    _fields = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "data_format",
        "dilation_rate",
        "depth_multiplier",
        "activation",
        "use_bias",
        "depthwise_initializer",
        "pointwise_initializer",
        "bias_initializer",
        "depthwise_regularizer",
        "pointwise_regularizer",
        "bias_regularizer",
        "depthwise_constraint",
        "pointwise_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: Any = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        cls = type(self).__name__
        self.filters = positive(cls, "filters", filters)
        self.depth_multiplier = positive(cls, "depth_multiplier", depth_multiplier)
        self._setup(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self._keep(
            depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
        )
        self.depthwise_kernel: Any = None
        self.pointwise_kernel: Any = None

    def build(self, input_shape: Any) -> None:
        c = self._channels(input_shape)
        self._spatial(input_shape)
        self.depthwise_kernel = self._weight(
            (*self.kernel_size, c, self.depth_multiplier), "depthwise_kernel", "depthwise"
        )
        self.pointwise_kernel = self._weight(
            (*[1] * self.rank, c * self.depth_multiplier, self.filters), "pointwise_kernel", "pointwise"
        )
        self._bias(self.filters)

    def call(self, inputs: Tensor) -> Any:
        fused = activations.FUSED.get(self.activation)
        x = to_first(to_float(inputs, self.dtype))
        y = self._convolve(x, _depthwise_kernel(self.depthwise_kernel), None, x.shape[1], "")
        conv: Any = F.conv1d if self.rank == 1 else F.conv2d
        y = conv(y, kernel_first(self.pointwise_kernel), self.bias, activation=fused or "")
        return self._activate(y, fused)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._spatial(input_shape), self.filters)


@layer_registry.add("SeparableConvolution1D")
class SeparableConv1D(_SeparableConv):
    """A depthwise convolution along time, then one of width 1 over the channels."""

    rank = 1


@layer_registry.add("SeparableConvolution2D")
class SeparableConv2D(_SeparableConv):
    """A depthwise convolution, then a 1 x 1 one over the channels (Chollet 2017)."""

    rank = 2


SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
