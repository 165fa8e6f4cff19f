"""Dense, activations, dropout, noise, rescaling."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras import _random, activations, constraints, initializers, regularizers
from dlcore.keras.layers.base import Layer, Shape, layer_registry, to_float, to_tensor
from dlcore.tensor import Tensor

__all__ = [
    "ELU",
    "Activation",
    "Dense",
    "Dropout",
    "GaussianNoise",
    "Identity",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "Rescaling",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
]


def positive(layer: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{layer}: {name} must be a positive integer, got {value!r}")
    return int(value)


@layer_registry.add()
class Dense(Layer):
    """y = activation(x W + b): x (..., in) -> (..., units); kernel (in, units), bias (units,)."""

    _fields = (
        "units",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )
    min_ndim = 2

    def __init__(
        self,
        units: int,
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
        self.units = positive("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Any = None
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        n = input_shape[-1]
        if n is None:
            raise ValueError(
                f"{self.name}: Dense needs to know the last axis of its input, got shape {input_shape}"
            )
        self.kernel = self.add_weight(
            (n, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Tensor) -> Any:
        fused = activations.FUSED.get(self.activation)
        y = F.linear(
            to_float(inputs, self.dtype), self.kernel.transpose(0, 1), self.bias, activation=fused or ""
        )
        return y if fused is not None else self.activation(y)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)


class _Elementwise(Layer):
    """A layer without weights whose output has the input's shape."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@layer_registry.add()
class Activation(_Elementwise):
    """activation(x)."""

    _fields = ("activation",)

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Tensor) -> Any:
        return self.activation(to_float(inputs, self.dtype))


@layer_registry.add()
class Identity(_Elementwise):
    """x."""

    def call(self, inputs: Tensor) -> Any:
        return inputs


@layer_registry.add()
class ReLU(_Elementwise):
    """max(x, 0), or with `negative_slope`, `max_value` and `threshold` as `activations.relu`."""

    _fields = ("max_value", "negative_slope", "threshold")

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (max_value is not None and max_value < 0) or negative_slope < 0 or threshold < 0:
            raise ValueError(
                "ReLU: max_value, negative_slope and threshold must not be negative, "
                f"got {max_value}, {negative_slope}, {threshold}"
            )
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, inputs: Tensor) -> Any:
        return activations.relu(
            to_float(inputs, self.dtype), self.negative_slope, self.max_value, self.threshold
        )


@layer_registry.add()
class LeakyReLU(_Elementwise):
    """x above 0, negative_slope * x below."""

    _fields = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(f"LeakyReLU: negative_slope must not be negative, got {negative_slope}")
        self.negative_slope = negative_slope

    def call(self, inputs: Tensor) -> Any:
        return activations.leaky_relu(to_float(inputs, self.dtype), self.negative_slope)


@layer_registry.add()
class ELU(_Elementwise):
    """x above 0, alpha * (exp(x) - 1) below."""

    _fields = ("alpha",)

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Any:
        return activations.elu(to_float(inputs, self.dtype), self.alpha)


@layer_registry.add()
class PReLU(_Elementwise):
    """x above 0, alpha * x below, alpha learnt; axes in `shared_axes` share theirs."""

    _fields = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes")

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for a in self.shared_axes or ():
            shape[a - 1] = 1
        self.alpha = self.add_weight(
            shape,
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            name="alpha",
        )

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        return F.relu(x) - self.alpha * F.relu(x * -1.0)


@layer_registry.add()
class Softmax(_Elementwise):
    """exp(x) / sum exp(x) along `axis`."""

    _fields = ("axis",)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Tensor) -> Any:
        return activations.softmax(to_float(inputs, self.dtype), self.axis)


@layer_registry.add()
class Dropout(_Elementwise):
    """In training each element is 0 with probability `rate`, else x / (1 - rate)."""

    _fields: tuple[str, ...] = ("rate", "seed", "noise_shape")

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise ValueError(f"{type(self).__name__}: rate must be from 0 to 1, got {rate!r}")
        self.rate = rate
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = seed
        self._generator = None if seed is None else _random.generator(seed)

    def _noise(self, shape: Shape) -> Any:
        return self.noise_shape

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        x = to_float(inputs, self.dtype)
        noise = self._noise(x.shape)
        if noise is None and self._generator is None:
            return F.dropout(x, self.rate, True)
        shape = x.shape if noise is None else tuple(n if m is None else m for n, m in zip(x.shape, noise))
        rng = self._generator or _random.generator()
        kept = rng.random(shape, dtype=np.float32) >= self.rate
        scale = 0.0 if self.rate >= 1 else 1.0 / (1.0 - self.rate)
        return x * to_tensor(kept.astype(x.dtype) * x.dtype.type(scale), x.dtype.name)


class _SpatialDropout(Dropout):
    """Drops whole channels."""

    _fields = ("rate", "seed")

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        kwargs.pop("data_format", None)
        super().__init__(rate, None, seed, **kwargs)

    def _noise(self, shape: Shape) -> Any:
        return (None, *[1] * (len(shape) - 2), None)


@layer_registry.add()
class SpatialDropout1D(_SpatialDropout):
    ndim = 3


@layer_registry.add()
class SpatialDropout2D(_SpatialDropout):
    ndim = 4


@layer_registry.add()
class GaussianNoise(_Elementwise):
    """In training x + noise of mean 0 and deviation `stddev`."""

    _fields = ("stddev", "seed")

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if stddev < 0:
            raise ValueError(f"GaussianNoise: stddev must not be negative, got {stddev}")
        self.stddev = stddev
        self.seed = seed
        self._generator = None if seed is None else _random.generator(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        if not training or self.stddev == 0:
            return inputs
        x = to_float(inputs, self.dtype)
        rng = self._generator or _random.generator()
        noise = rng.standard_normal(x.shape, dtype=x.dtype.type)
        return x + to_tensor(noise * x.dtype.type(self.stddev), x.dtype.name)


@layer_registry.add()
class Rescaling(_Elementwise):
    """x * scale + offset: `Rescaling(1 / 255)` for images as bytes."""

    _fields = ("scale", "offset")

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        scale = (
            self.scale
            if isinstance(self.scale, (int, float))
            else to_tensor(np.asarray(self.scale, self.dtype))
        )
        offset = (
            self.offset
            if isinstance(self.offset, (int, float))
            else to_tensor(np.asarray(self.offset, self.dtype))
        )
        return x * scale + offset
