"""Normalization over the batch and over features, composed of elementwise kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.autograd import no_grad
from dlcore.keras import constraints, initializers, regularizers
from dlcore.keras.layers.base import Layer, layer_registry, to_float
from dlcore.tensor import Tensor

__all__ = ["BatchNormalization", "LayerNormalization"]


@layer_registry.add()
class BatchNormalization(Layer):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta over the batch (Ioffe and Szegedy 2015).

    In training the batch's own statistics, which the moving ones follow by `momentum`; otherwise the moving
    ones.
    """

    _fields = (
        "axis",
        "momentum",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "moving_mean_initializer",
        "moving_variance_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )
    min_ndim = 2

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        for unused in ("renorm", "renorm_clipping", "renorm_momentum", "synchronized"):
            if kwargs.pop(unused, None) and unused != "renorm_momentum":
                raise ValueError(f"BatchNormalization: {unused} is not supported")
        super().__init__(**kwargs)
        self.axis = axis[0] if isinstance(axis, (list, tuple)) else axis
        self.momentum, self.epsilon, self.center, self.scale = momentum, epsilon, center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Any = None
        self.beta: Any = None

    def _fixed_axes(self) -> tuple[int, ...]:
        return (self.axis,)

    def build(self, input_shape: Any) -> None:
        n = input_shape[self.axis]
        if self.scale:
            self.gamma = self.add_weight(
                (n,),
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
            )
        if self.center:
            self.beta = self.add_weight(
                (n,),
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )
        self.moving_mean = self.add_weight(
            (n,), self.moving_mean_initializer, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            (n,), self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        x = to_float(inputs, self.dtype)
        axis = self.axis % x.ndim
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        if training and self._trainable:
            over = tuple(a for a in range(x.ndim) if a != axis)
            mean = x.mean(over, keepdim=True)
            centred = x - mean
            variance = (centred * centred).mean(over, keepdim=True)
            with no_grad():
                for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                    values = moving.values()
                    values *= np.asarray(self.momentum, values.dtype)
                    values += now.detach().numpy().reshape(-1) * np.asarray(1 - self.momentum, values.dtype)
        else:
            centred = x - self.moving_mean.reshape(*shape)
            variance = self.moving_variance.reshape(*shape)
        inverse = (variance + self.epsilon).rsqrt()
        if self.gamma is not None:
            inverse = inverse * self.gamma.reshape(*shape)
        y = centred * inverse
        return y if self.beta is None else y + self.beta.reshape(*shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@layer_registry.add()
class LayerNormalization(Layer):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta over `axis` of each sample (Ba et al. 2016)."""

    _fields = (
        "axis",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("rms_scaling", False):
            raise ValueError("LayerNormalization: rms_scaling is not supported")
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon, self.center, self.scale = epsilon, center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Any = None
        self.beta: Any = None

    def _over(self, ndim: int) -> tuple[int, ...]:
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        return tuple(sorted(a % ndim for a in axes))

    def _fixed_axes(self) -> tuple[int, ...]:
        return (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)

    def build(self, input_shape: Any) -> None:
        shape = tuple(input_shape[a] for a in self._over(len(input_shape)))
        if self.scale:
            self.gamma = self.add_weight(
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
            )
        if self.center:
            self.beta = self.add_weight(
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        over = self._over(x.ndim)
        shape = [x.shape[a] if a in over else 1 for a in range(x.ndim)]
        centred = x - x.mean(over, keepdim=True)
        y = centred * ((centred * centred).mean(over, keepdim=True) + self.epsilon).rsqrt()
        if self.gamma is not None:
            y = y * self.gamma.reshape(*shape)
        return y if self.beta is None else y + self.beta.reshape(*shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
