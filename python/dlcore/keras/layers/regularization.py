"""Dropout, noise, activity penalties: what acts in training alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras import regularizers
from dlcore.keras._random import SeedGenerator
from dlcore.keras.layers.base import Shape, layer_registry, to_float, to_tensor
from dlcore.keras.layers.common import Elementwise, channels_last
from dlcore.tensor import Tensor

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


def _rate(layer: Any, rate: Any, below: float = 1.0) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= below:
        raise ValueError(
            f"{type(layer).__name__}: rate must be from 0 to {below:g}. Invalid value received for argument "
            f"`rate`. Expected a float value between 0 and 1. Received: rate={rate!r}"
        )
    return rate


class _Random(Elementwise):
    """A layer with a generator of its own where `rate` asks for one."""

    def _seeded(self, seed: Any, needed: bool) -> None:
        self.seed = seed
        self._generator = SeedGenerator(seed)
        if needed:
            self.seed_generator = self._generator

    def _keep_mask(self, x: Tensor, rate: float, noise_shape: Any) -> Tensor:
        """1 with probability 1 - rate, else 0, broadcast over the axes of `noise_shape` that are 1."""
        shape = (
            x.shape
            if noise_shape is None
            else tuple(n if m is None else m for n, m in zip(x.shape, noise_shape))
        )
        kept = self._generator.rng.random(shape, dtype=np.float32) >= rate
        out: Tensor = to_tensor(kept.astype(x.dtype), x.dtype.name)
        return out


@layer_registry.add()
class Dropout(_Random):
    """In training each element is 0 with probability `rate`, else x / (1 - rate)."""

    _fields: tuple[str, ...] = ("rate", "seed", "noise_shape")

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(self, rate)
        if noise_shape is not None:
            if not isinstance(noise_shape, (list, tuple)):
                raise ValueError(
                    f"{type(self).__name__}: noise_shape must be a tuple of sizes, got {noise_shape!r}"
                )
            noise_shape = tuple(noise_shape)
        self.noise_shape = noise_shape
        self._seeded(seed, rate > 0)

    def _noise(self, shape: Shape) -> Any:
        return self.noise_shape

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        x = to_float(inputs, self.dtype)
        noise = self._noise(x.shape)
        if noise is None:
            return F.dropout(x, self.rate, True, rng=self._generator._own)
        return x * self._keep_mask(x, self.rate, noise) * (0.0 if self.rate >= 1 else 1.0 / (1.0 - self.rate))


class _SpatialDropout(Dropout):
    """Drops whole channels."""

    _fields: tuple[str, ...] = ("rate", "seed")

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None, **kw: Any
    ) -> None:
        super().__init__(rate, None, seed, name=name, dtype=dtype, **kw)

    def _noise(self, shape: Shape) -> Any:
        return (None, *[1] * (len(shape) - 2), None)

    def get_config(self) -> dict[str, Any]:
        own = {f: getattr(self, f) for f in self._fields}
        return {**own, "name": self.name, "dtype": self.dtype}


@layer_registry.add()
class SpatialDropout1D(_SpatialDropout):
    """Drops whole channels of (N, L, C)."""

    ndim = 3


class _SpatialDropoutOfImages(_SpatialDropout):
    _fields = ("rate", "seed", "data_format")

    def __init__(
        self,
        rate: float,
        data_format: Any = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **kw: Any,
    ) -> None:
        super().__init__(rate, seed, name, dtype, **kw)
        self.data_format = channels_last(type(self).__name__, data_format)


@layer_registry.add()
class SpatialDropout2D(_SpatialDropoutOfImages):
    """Drops whole channels of (N, H, W, C)."""

    ndim = 4


@layer_registry.add()
class SpatialDropout3D(_SpatialDropoutOfImages):
    """Drops whole channels of (N, D, H, W, C)."""

    ndim = 5


@layer_registry.add()
class GaussianNoise(_Random):
    """In training x + noise of mean 0 and deviation `stddev`."""

    _fields = ("stddev", "seed")

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= stddev <= 1:
            raise ValueError(
                "Invalid value received for argument `stddev`. Expected a float value between 0 and 1. "
                f"Received: stddev={stddev}"
            )
        self.stddev = stddev
        self._seeded(seed, stddev > 0)

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        if not training or self.stddev == 0:
            return inputs
        x = to_float(inputs, self.dtype)
        noise = self._generator.rng.standard_normal(x.shape, dtype=x.dtype.type)
        return x + to_tensor(noise * x.dtype.type(self.stddev), x.dtype.name)


@layer_registry.add()
class GaussianDropout(_Random):
    """In training x times noise of mean 1 and deviation sqrt(rate / (1 - rate)) (Srivastava et al. 2014)."""

    _fields = ("rate", "seed")

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(self, rate)
        self._seeded(seed, rate > 0)

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        x = to_float(inputs, self.dtype)
        deviation = math.sqrt(self.rate / (1.0 - self.rate)) if self.rate < 1 else math.inf
        noise = 1 + self._generator.rng.standard_normal(x.shape, dtype=x.dtype.type) * x.dtype.type(deviation)
        return x * to_tensor(noise, x.dtype.name)


# The value that SELU saturates at. G. Klambauer et al.: Self-normalizing networks (NeurIPS 2017).
_LIMIT = -1.6732632423543772 * 1.0507009873554805


@layer_registry.add()
class AlphaDropout(_Random):
    """Dropout that keeps mean and variance behind SELU: what is dropped takes SELU's limit, and the whole is
    scaled and shifted back (Klambauer et al. 2017)."""

    _fields = ("rate", "seed", "noise_shape")

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(self, rate)
        self.noise_shape = noise_shape
        self._seeded(seed, rate > 0)

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        x = to_float(inputs, self.dtype)
        kept = self._keep_mask(x, self.rate, self.noise_shape)
        a = ((1 - self.rate) * (1 + self.rate * _LIMIT**2)) ** -0.5
        b = -a * _LIMIT * self.rate
        return (x * kept + (1.0 - kept) * _LIMIT) * a + b


@layer_registry.add()
class ActivityRegularization(Elementwise):
    """x; adds l1 sum |x| + l2 sum x^2, over the batch's size, to the loss."""

    _fields = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Tensor) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return config
