"""Activations as layers."""

from __future__ import annotations

from typing import Any

from dlcore import functional as F
from dlcore.keras import activations
from dlcore.keras.layers.base import layer_registry, to_float
from dlcore.keras.layers.common import Elementwise
from dlcore.tensor import Tensor

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


@layer_registry.add()
class Activation(Elementwise):
    """activation(x)."""

    _fields = ("activation",)

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Tensor) -> Any:
        return self.activation(to_float(inputs, self.dtype))


@layer_registry.add()
class ReLU(Elementwise):
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
        if (
            (max_value is not None and max_value < 0)
            or negative_slope is None
            or negative_slope < 0
            or threshold is None
            or threshold < 0
        ):
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
class LeakyReLU(Elementwise):
    """x above 0, negative_slope * x below."""

    _fields = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(f"LeakyReLU: negative_slope must not be negative, got {negative_slope}")
        self.negative_slope = negative_slope

    def call(self, inputs: Tensor) -> Any:
        return activations.leaky_relu(to_float(inputs, self.dtype), self.negative_slope)


@layer_registry.add()
class ELU(Elementwise):
    """x above 0, alpha * (exp(x) - 1) below."""

    _fields = ("alpha",)

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Any:
        return activations.elu(to_float(inputs, self.dtype), self.alpha)


@layer_registry.add()
class PReLU(Elementwise):
    """x above 0, alpha * x below, alpha learnt; axes in `shared_axes` share theirs."""

    _fields = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes")

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._keep(
            alpha_initializer=alpha_initializer,
            alpha_regularizer=alpha_regularizer,
            alpha_constraint=alpha_constraint,
        )
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes

    def _fixed_axes(self) -> tuple[int, ...]:
        shape = self._build_shape
        return tuple(a for a in range(1, len(shape)) if a not in (self.shared_axes or ()))

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for a in self.shared_axes or ():
            shape[a - 1] = 1
        self.alpha = self._weight(shape, "alpha")

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        return F.relu(x) - self.alpha * F.relu(-x)


@layer_registry.add()
class Softmax(Elementwise):
    """exp(x) / sum exp(x) along `axis`, one or several; where `mask` is False nothing is given."""

    _fields = ("axis",)

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Tensor, mask: Any = None) -> Any:
        x = to_float(inputs, self.dtype)
        if mask is not None:
            # Keras' own large number: rows without any True stay finite.
            x = x + (1.0 - mask.to(x.dtype)) * -1e9
        if isinstance(self.axis, (list, tuple)):
            if len(self.axis) > 1:
                shifted = x - x.detach().amax(tuple(self.axis), keepdim=True)
                e = shifted.exp()
                return e / e.sum(tuple(self.axis), keepdim=True)
            return activations.softmax(x, self.axis[0])
        return activations.softmax(x, self.axis)
