"""Normalization over the batch, over features, over groups of channels, to unit norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.autograd import no_grad
from dlcore.keras.layers.base import layer_registry, to_float
from dlcore.keras.layers.common import Elementwise
from dlcore.tensor import Tensor

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]

_AFFINE = (
    "beta_initializer",
    "gamma_initializer",
    "beta_regularizer",
    "gamma_regularizer",
    "beta_constraint",
    "gamma_constraint",
)


class _Norm(Elementwise):
    """gamma and beta, where `scale` and `center` ask for them."""

    center: bool
    scale: Any
    epsilon: float

    def _affine(self, shape: Any) -> None:
        self.gamma: Any = self._weight(shape, "gamma") if self.scale else None
        self.beta: Any = self._weight(shape, "beta") if self.center else None

    def _check_axes(self, axes: Any, shape: Any) -> None:
        for a in [axes] if isinstance(axes, int) else axes:
            if not -len(shape) <= a < len(shape):
                raise ValueError(
                    f"Axis {a} is out of bounds for input shape {tuple(shape)}. Received: axis={axes}"
                )


@layer_registry.add()
class BatchNormalization(_Norm):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta over the batch (Ioffe and Szegedy 2015).

    In training the batch's own statistics (of the steps that a mask leaves), which the moving ones follow by
    `momentum`; otherwise, and where the layer is frozen, the moving ones. `renorm` corrects the batch's
    towards them (Ioffe 2017).
    """

    _fields = (
        "axis",
        "momentum",
        "epsilon",
        "center",
        "scale",
        *_AFFINE,
        "moving_mean_initializer",
        "moving_variance_initializer",
        "synchronized",
        "renorm",
        "renorm_clipping",
        "renorm_momentum",
    )

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
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if synchronized:
            raise ValueError("BatchNormalization: synchronized=True is not supported")
        self.axis = int(axis[0] if isinstance(axis, (list, tuple)) else axis)
        self.momentum, self.epsilon, self.center, self.scale = float(momentum), float(epsilon), center, scale
        self.synchronized = synchronized
        self.renorm, self.renorm_momentum = renorm, renorm_momentum
        unknown = set(renorm_clipping or {}) - {"rmax", "rmin", "dmax"}
        if unknown:
            raise ValueError(
                f"Expected only 'rmax', 'rmin', 'dmax' keys in `renorm_clipping`. Received: {sorted(unknown)}"
            )
        self.renorm_clipping = renorm_clipping
        self._keep(
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    moving_mean_initializer: Any
    moving_variance_initializer: Any

    def _fixed_axes(self) -> tuple[int, ...]:
        return (self.axis,)

    def build(self, input_shape: Any) -> None:
        self._check_axes(self.axis, input_shape)
        shape = (input_shape[self.axis],)
        self._affine(shape)

        def moving(name: str, make: Any) -> Any:
            return self.add_weight(shape, make, trainable=False, name=name)

        def deviation(shape: Any, dtype: Any = np.float32) -> Any:
            return np.sqrt(self.moving_variance_initializer(shape, dtype))

        self.moving_mean = moving("moving_mean", self.moving_mean_initializer)
        self.moving_variance = moving("moving_variance", self.moving_variance_initializer)
        if self.renorm:
            self.moving_stddev = moving("moving_stddev", deviation)
            self.renorm_mean = moving("renorm_mean", self.moving_mean_initializer)
            self.renorm_stddev = moving("renorm_stddev", deviation)

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Any:
        x = to_float(inputs, self.dtype)
        if mask is not None and mask.ndim != x.ndim - 1:
            raise ValueError(
                "The mask provided should be one dimension less than the inputs. Received: "
                f"mask.shape={mask.shape}, inputs.shape={x.shape}"
            )
        axis = self.axis % x.ndim
        wide = [1] * x.ndim
        wide[axis] = x.shape[axis]
        now = bool(training) and self._trainable
        alone = x.array.size <= x.shape[axis]  # one value a channel: its variance is 0
        if not now or (mask is None and not self.renorm and not alone):
            last = x.ndim - 1
            y = x if axis in (1, last) else x.movedim(axis, 1)
            y = F.batch_norm(
                y,
                self.moving_mean,
                self.moving_variance,
                self.gamma,
                self.beta,
                now,
                1.0 - self.momentum,
                self.epsilon,
                axis=-1 if axis == last else 1,
                unbiased=False,
            )
            return y if axis in (1, last) else y.movedim(1, axis)
        mean, variance = self._moments(x, axis, mask)
        scale: Any = 1.0
        offset: Any = 0.0
        if self.renorm:
            scale, offset = self._correction(mean.detach(), variance.detach())
        else:
            self._follow(self.moving_mean, mean.detach().numpy().reshape(-1), self.momentum)
            self._follow(self.moving_variance, variance.detach().numpy().reshape(-1), self.momentum)
        y = (x - mean) * (variance + self.epsilon).rsqrt()
        y = y * scale + offset
        if self.gamma is not None:
            y = y * self.gamma.reshape(*wide)
        return y if self.beta is None else y + self.beta.reshape(*wide)

    def _moments(self, x: Tensor, axis: int, mask: Any) -> tuple[Tensor, Tensor]:
        over = tuple(a for a in range(x.ndim) if a != axis)
        if mask is None:
            mean = x.mean(over, keepdim=True)
            return mean, ((x - mean) * (x - mean)).mean(over, keepdim=True)
        kept = mask.to(x.dtype).unsqueeze(-1).expand(*x.shape)
        total = kept.sum(over, keepdim=True) + 1e-7
        mean = (x * kept).sum(over, keepdim=True) / total
        centred = (x - mean) * kept
        return mean, (centred * centred).sum(over, keepdim=True) / total

    def _follow(self, moving: Any, now: Any, momentum: float) -> None:
        with no_grad():
            values = moving.values()
            values *= np.asarray(momentum, values.dtype)
            values += now * np.asarray(1 - momentum, values.dtype)

    def _correction(self, mean: Tensor, variance: Tensor) -> tuple[Any, Any]:
        """r and d of batch renormalization; the renormalized and the moving statistics follow the batch's."""
        from dlcore.keras.symbolic import to_tensor

        m, v = mean.numpy(), variance.numpy()
        deviation = np.sqrt(v + self.epsilon)
        shape = m.shape
        known = self.renorm_mean.values().reshape(shape)
        width = np.maximum(self.renorm_stddev.values().reshape(shape), np.sqrt(np.float32(self.epsilon)))
        r, d = deviation / width, (m - known) / width
        limits = self.renorm_clipping or {}
        if limits.get("rmin") is not None or limits.get("rmax") is not None:
            r = np.clip(r, limits.get("rmin"), limits.get("rmax"))
        if limits.get("dmax") is not None:
            d = np.clip(d, -limits["dmax"], limits["dmax"])
        flat, wide = m.reshape(-1), deviation.reshape(-1)
        self._follow(self.renorm_mean, flat, self.renorm_momentum)
        self._follow(self.renorm_stddev, wide, self.renorm_momentum)
        self._follow(self.moving_mean, flat, self.momentum)
        self._follow(self.moving_stddev, wide, self.momentum)
        # Inference uses the square of the moving deviation.
        self.moving_variance.assign(
            np.maximum(np.square(self.moving_stddev.values()) - np.float32(self.epsilon), 0)
        )
        return to_tensor(r.astype(m.dtype)), to_tensor(d.astype(m.dtype))


@layer_registry.add()
class LayerNormalization(_Norm):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta over `axis` of each sample (Ba et al. 2016).

    With `rms_scaling` y = gamma x / sqrt(mean x^2 + epsilon).
    """

    _fields = ("axis", "epsilon", "center", "scale", "rms_scaling", *_AFFINE)

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
        self.rms_scaling = bool(kwargs.pop("rms_scaling", False))
        super().__init__(**kwargs)
        if not isinstance(axis, (int, list, tuple)):
            raise TypeError(
                f"Expected an int or a list/tuple of ints for the argument 'axis', but received: {axis!r}"
            )
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon, self.center, self.scale = float(epsilon), center, scale
        self._keep(
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def _over(self, ndim: int) -> tuple[int, ...]:
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        return tuple(sorted(a % ndim for a in axes))

    def _fixed_axes(self) -> tuple[int, ...]:
        return (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)

    def build(self, input_shape: Any) -> None:
        self._check_axes(self.axis, input_shape)
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        shape = tuple(input_shape[a] for a in axes)
        self.gamma: Any = self._weight(shape, "gamma") if self.scale or self.rms_scaling else None
        self.beta: Any = self._weight(shape, "beta") if self.center and not self.rms_scaling else None

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        return normalized(x, self._over(x.ndim), self.gamma, self.beta, self.epsilon, self.rms_scaling)


def normalized(x: Tensor, over: tuple[int, ...], gamma: Any, beta: Any, epsilon: float, rms: bool) -> Tensor:
    """Layer or root-mean-square normalization over any axes, in the kernel where they are the last."""
    n = len(over)
    first = [a for a in range(x.ndim) if a not in over]
    order = [*first, *over]
    moved = order != list(range(x.ndim))
    y = x.permute(*order) if moved else x
    shape = y.shape[x.ndim - n :]
    if gamma is not None and gamma.shape != shape:
        gamma = gamma.reshape(*shape)
    if beta is not None and beta.shape != shape:
        beta = beta.reshape(*shape)
    y = F.rms_norm(y, shape, gamma, epsilon) if rms else F.layer_norm(y, shape, gamma, beta, epsilon)
    return y.permute(*[order.index(a) for a in range(x.ndim)]) if moved else y


@layer_registry.add()
class RMSNormalization(_Norm):
    """y = scale x / sqrt(mean x^2 + epsilon) over `axis` (Zhang and Sennrich 2019)."""

    _fields = ("axis", "epsilon")
    supports_masking = False

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon

    def _over(self, ndim: int) -> tuple[int, ...]:
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        return tuple(sorted(a % ndim for a in axes))

    def build(self, input_shape: Any) -> None:
        self._check_axes(self.axis, input_shape)
        shape = tuple(input_shape[a] for a in self._over(len(input_shape)))
        self.scale = self.add_weight(shape, "ones", name="scale")

    def call(self, x: Tensor) -> Any:
        x = to_float(x, self.dtype)
        return normalized(x, self._over(x.ndim), self.scale, None, self.epsilon, True)


@layer_registry.add()
class GroupNormalization(_Norm):
    """Normalization of each sample over the channels of each of `groups` groups (Wu and He 2018).

    -1 groups are as many as there are channels.
    """

    _fields = ("groups", "axis", "epsilon", "center", "scale", *_AFFINE)

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
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
        super().__init__(**kwargs)
        self.groups, self.axis, self.epsilon = groups, axis, epsilon
        self.center, self.scale = center, scale
        self._keep(
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def _fixed_axes(self) -> tuple[int, ...]:
        return (self.axis,)

    def build(self, input_shape: Any) -> None:
        n = input_shape[self.axis]
        if n is None:
            raise ValueError(
                f"Axis {self.axis} of input tensor should have a defined dimension but the layer received an"
                f" input with shape {input_shape}."
            )
        if self.groups == -1:
            self.groups = n
        if n < self.groups:
            raise ValueError(
                f"Number of groups ({self.groups}) cannot be more than the number of channels ({n})."
            )
        if n % self.groups:
            raise ValueError(
                f"Number of groups ({self.groups}) must be a multiple of the number of channels ({n})."
            )
        self._affine((n,))

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        axis = self.axis % x.ndim
        first = x if axis == 1 else x.movedim(axis, 1)  # the channels second, as the kernel takes them
        y = F.group_norm(first, self.groups, self.gamma, self.beta, self.epsilon)
        return y if axis == 1 else y.movedim(1, axis)


@layer_registry.add()
class UnitNormalization(Elementwise):
    """x / max(|x|, 1e-12), the Euclidean norm along `axis`."""

    _fields = ("axis",)

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axis, (int, list, tuple)):
            raise TypeError(
                "Invalid value for `axis` argument: expected an int or a list/tuple of ints. Received:"
                f" axis={axis}"
            )
        self.axis = axis if isinstance(axis, int) else list(axis)

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        over = self.axis if isinstance(self.axis, int) else tuple(self.axis)
        return x * (x * x).sum(over, keepdim=True).clamp(min=1e-24).rsqrt()
