"""Convolutions, channels last: x (N, *S, C), kernel (*K, C / groups, filters).

The kernels see x as (N, C, *S) through a permuted view, whose strides keep the channels last: nothing is
copied.
"""

from __future__ import annotations

from typing import Any

from dlcore import functional as F
from dlcore.keras import activations, constraints, initializers, regularizers
from dlcore.keras.layers.base import Layer, layer_registry, to_float
from dlcore.keras.layers.core import positive
from dlcore.tensor import Tensor

__all__ = [
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
    "DepthwiseConv2D",
    "SeparableConv2D",
]


def sizes(layer: str, name: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """An integer, or one an axis, as a tuple."""
    t = (
        (value,) * rank
        if isinstance(value, int)
        else tuple(value)
        if isinstance(value, (list, tuple))
        else ()
    )
    if len(t) != rank or any(isinstance(n, bool) or not isinstance(n, int) or n < least for n in t):
        what = "positive" if least == 1 else f"at least {least}"
        raise ValueError(f"{layer}: {name} must be an integer or {rank} integers, {what}, got {value!r}")
    return t


def channels_last(layer: str, data_format: Any) -> str:
    if data_format not in (None, "channels_last"):
        raise ValueError(f"{layer}: only data_format='channels_last' is supported, got {data_format!r}")
    return "channels_last"


def padding_name(layer: str, padding: str, choices: tuple[str, ...]) -> str:
    name = padding.lower() if isinstance(padding, str) else padding
    if name not in choices:
        raise ValueError(f"{layer}: padding must be one of {', '.join(choices)}, got {padding!r}")
    return str(name)


def same_padding(n: int, window: int, stride: int) -> tuple[int, int]:
    """What 'same' adds before and after an axis: ceil(n / stride) outputs, the odd one after."""
    total = max((-(-n // stride) - 1) * stride + window - n, 0)
    return total // 2, total - total // 2


def output_size(layer: Layer, n: int | None, window: int, stride: int, padding: str) -> int | None:
    if n is None:
        return None
    if padding != "valid":
        return -(-n // stride)
    out = (n - window) // stride + 1
    if out < 1:
        raise ValueError(
            f"{layer.name}: {type(layer).__name__} with a window of {window} does not fit an axis of size "
            f"{n} "
            "(padding='valid'); use a smaller window or padding='same'"
        )
    return out


def to_first(x: Tensor) -> Tensor:
    """(N, *S, C) seen as (N, C, *S)."""
    return x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))


def to_last(y: Tensor) -> Tensor:
    """(N, C, *S) seen as (N, *S, C)."""
    return y.permute(0, *range(2, y.ndim), 1)


def kernel_first(k: Tensor) -> Tensor:
    """(*K, I, O) seen as (O, I, *K)."""
    return k.permute(k.ndim - 1, k.ndim - 2, *range(k.ndim - 2))


class _BaseConv(Layer):
    rank = 2

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
        choices = ("valid", "same", "causal") if self.rank == 1 else ("valid", "same")
        self.padding = padding_name(cls, padding, choices)
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
            pads = [same_padding(n, w, s) for n, w, s in zip(x.shape[2:], windows, self.strides)]
            if all(a == b for a, b in pads):
                padding = tuple([a for a, _ in pads])
            else:
                x = F.pad(x, tuple([n for pair in reversed(pads) for n in pair]))
        conv = (F.conv1d, F.conv2d, getattr(F, "conv3d", None))[self.rank - 1]
        if conv is None:
            raise NotImplementedError(f"{self.name}: {type(self).__name__} has no kernel yet")
        return conv(x, kernel, bias, self.strides, padding, self.dilation_rate, groups, activation=activation)

    def _bias(self, n: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                (n,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    bias_initializer: Any
    bias_regularizer: Any
    bias_constraint: Any

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


class _Conv(_BaseConv):
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
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        c = self._channels(input_shape)
        if c % self.groups:
            raise ValueError(
                f"{self.name}: groups={self.groups} must divide the input's channels, got shape {input_shape}"
            )
        self._spatial(input_shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, c // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
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
    """(kh, kw, C, m) as (C m, 1, kh, kw), the grouped kernel of C groups."""
    kh, kw, c, m = k.shape
    return k.permute(2, 3, 0, 1).reshape(c * m, 1, kh, kw)


@layer_registry.add()
class DepthwiseConv2D(_BaseConv):
    """Each channel with its own `depth_multiplier` filters:
    kernel (kh, kw, C, m), output (N, H', W', C m).
    """

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
        strides: Any = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: Any = None,
        dilation_rate: Any = (1, 1),
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
        self.depth_multiplier = positive("DepthwiseConv2D", "depth_multiplier", depth_multiplier)
        self._setup(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        c = self._channels(input_shape)
        self._spatial(input_shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, c, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            name="kernel",
        )
        self._bias(c * self.depth_multiplier)

    def call(self, inputs: Tensor) -> Any:
        fused = activations.FUSED.get(self.activation)
        x = to_first(to_float(inputs, self.dtype))
        y = self._convolve(x, _depthwise_kernel(self.kernel), self.bias, x.shape[1], fused or "")
        return self._activate(y, fused)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._spatial(input_shape), input_shape[-1] * self.depth_multiplier)


@layer_registry.add("SeparableConvolution2D")
class SeparableConv2D(_BaseConv):
    """A depthwise convolution, then a 1 x 1 one over the channels (Chollet 2017)."""

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
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: Any = None,
        dilation_rate: Any = (1, 1),
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
        self.filters = positive("SeparableConv2D", "filters", filters)
        self.depth_multiplier = positive("SeparableConv2D", "depth_multiplier", depth_multiplier)
        self._setup(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.depthwise_kernel: Any = None
        self.pointwise_kernel: Any = None

    def build(self, input_shape: Any) -> None:
        c = self._channels(input_shape)
        self._spatial(input_shape)
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, c, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            name="depthwise_kernel",
        )
        self.pointwise_kernel = self.add_weight(
            (1, 1, c * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
            name="pointwise_kernel",
        )
        self._bias(self.filters)

    def call(self, inputs: Tensor) -> Any:
        fused = activations.FUSED.get(self.activation)
        x = to_first(to_float(inputs, self.dtype))
        y = self._convolve(x, _depthwise_kernel(self.depthwise_kernel), None, x.shape[1], "")
        y = F.conv2d(y, kernel_first(self.pointwise_kernel), self.bias, activation=fused or "")
        return self._activate(y, fused)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._spatial(input_shape), self.filters)
