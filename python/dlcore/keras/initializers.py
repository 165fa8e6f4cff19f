"""Initial values of weights. The fans of a kernel (..., in, out) are in and out times the receptive field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.keras import _random
from dlcore.keras._registry import Configured, Registry
from dlcore.tensor import Tensor

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

Shape = tuple[int, ...]
NDArray = npt.NDArray[Any]
_registry = Registry("keras.initializers", "initializer")
deserialize = _registry.from_config
serialize = _registry.serialize


def get(identifier: Any) -> Any:
    """A name, configuration, class, array or function -> an initializer; None stays None."""
    if isinstance(identifier, (np.ndarray, Tensor)):
        return _Given(np.asarray(identifier))
    return _registry.get(identifier)


class Initializer(Configured):
    """Called with a shape, gives the values."""

    _keras_module = "keras.initializers"
    seed: int | None = None

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        raise NotImplementedError

    def clone(self) -> Any:
        return type(self).from_config(self.get_config())


class _Given(Initializer):
    """An array as the values."""

    def __init__(self, value: NDArray) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        if tuple(shape) != self.value.shape:
            raise ValueError(
                f"initializer: a value of shape {self.value.shape} cannot fill shape {tuple(shape)}"
            )
        return np.asarray(self.value, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value.tolist()}


def truncated(rng: np.random.Generator, shape: Shape) -> NDArray:
    """Standard normal values within two standard deviations: those outside are drawn again."""
    x = rng.standard_normal(shape)
    bad = np.abs(x) > 2
    while bad.any():
        x[bad] = rng.standard_normal(int(bad.sum()))
        bad = np.abs(x) > 2
    return x


def fans(shape: Shape) -> tuple[int, int]:
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


@_registry.add("zero")
class Zeros(Initializer):
    """0."""

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        return np.zeros(shape, dtype)


@_registry.add("one")
class Ones(Initializer):
    """1."""

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        return np.ones(shape, dtype)


@_registry.add()
class Constant(Initializer):
    """`value`, everywhere the same or broadcast."""

    _fields = ("value",)

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        return np.full(shape, self.value, dtype)


@_registry.add("normal")
class RandomNormal(Initializer):
    """Normal values."""

    _fields = ("mean", "stddev", "seed")

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        x = _random.generator(self.seed).standard_normal(shape) * self.stddev + self.mean
        return np.asarray(x, dtype)


@_registry.add()
class TruncatedNormal(RandomNormal):
    """Normal values; those beyond two standard deviations are drawn again."""

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        return np.asarray(truncated(_random.generator(self.seed), shape) * self.stddev + self.mean, dtype)


@_registry.add("uniform")
class RandomUniform(Initializer):
    """Uniform values from minval to maxval."""

    _fields = ("minval", "maxval", "seed")

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        return np.asarray(_random.generator(self.seed).uniform(self.minval, self.maxval, shape), dtype)


@_registry.add()
class VarianceScaling(Initializer):
    """Variance scale / n, n the fan-in, the fan-out or their mean (Glorot and Bengio 2010;
    He et al. 2015).
    """

    _fields: tuple[str, ...] = ("scale", "mode", "distribution", "seed", "input_axes", "output_axes")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        if scale <= 0:
            raise ValueError(f"VarianceScaling: scale must be positive, got {scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"VarianceScaling: mode must be fan_in, fan_out or fan_avg, got {mode!r}")
        distribution = distribution.lower()
        distribution = {"normal": "truncated_normal"}.get(distribution, distribution)
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                "VarianceScaling: distribution must be uniform, truncated_normal or untruncated_normal, "
                f"got {distribution!r}"
            )
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed
        self.input_axes, self.output_axes = input_axes, output_axes

    def _fans(self, shape: Shape) -> tuple[int, int]:
        if self.input_axes is None and self.output_axes is None:
            return fans(shape)
        ins, outs = [[a % len(shape) for a in axes or ()] for axes in (self.input_axes, self.output_axes)]
        field = math.prod(n for a, n in enumerate(shape) if a not in ins + outs)
        return math.prod(shape[a] for a in ins) * field, math.prod(shape[a] for a in outs) * field

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        fan_in, fan_out = self._fans(tuple(shape))
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        rng = _random.generator(self.seed)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return np.asarray(rng.uniform(-limit, limit, shape), dtype)
        if self.distribution == "truncated_normal":
            # 0.8796... is the standard deviation of a standard normal cut at two of its own.
            return np.asarray(truncated(rng, shape) * (math.sqrt(variance) / 0.87962566103423978), dtype)
        return np.asarray(rng.standard_normal(shape) * math.sqrt(variance), dtype)


def _scaling(name: str, scale: float, mode: str, distribution: str) -> Any:
    def __init__(self: Any, seed: int | None = None, input_axes: Any = None, output_axes: Any = None) -> None:
        VarianceScaling.__init__(self, scale, mode, distribution, seed, input_axes, output_axes)

    body = {"__init__": __init__, "_fields": ("seed", "input_axes", "output_axes"), "__module__": __name__}
    cls = type(name, (VarianceScaling,), body)
    return _registry.add()(cls)


GlorotUniform = _scaling("GlorotUniform", 1.0, "fan_avg", "uniform")
GlorotNormal = _scaling("GlorotNormal", 1.0, "fan_avg", "truncated_normal")
HeUniform = _scaling("HeUniform", 2.0, "fan_in", "uniform")
HeNormal = _scaling("HeNormal", 2.0, "fan_in", "truncated_normal")
LecunUniform = _scaling("LecunUniform", 1.0, "fan_in", "uniform")
LecunNormal = _scaling("LecunNormal", 1.0, "fan_in", "truncated_normal")


@_registry.add("OrthogonalInitializer")
class Orthogonal(Initializer):
    """Orthonormal rows or columns, from the QR decomposition of a normal matrix (Saxe et al. 2013)."""

    _fields = ("gain", "seed")

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: the shape must have at least two axes, got {shape}")
        rows, cols = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(_random.generator(self.seed).standard_normal((max(rows, cols), min(rows, cols))))
        q = q * np.sign(np.diag(r))
        return np.asarray(self.gain * (q.T if rows < cols else q).reshape(shape), dtype)


@_registry.add("IdentityInitializer")
class Identity(Initializer):
    """`gain` times the identity matrix."""

    _fields = ("gain",)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> NDArray:
        if len(shape) != 2:
            raise ValueError(f"Identity: the shape must have two axes, got {shape}")
        return np.asarray(self.gain * np.eye(*shape), dtype)


constant, identity, ones, zeros = Constant, Identity, Ones, Zeros
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
orthogonal, random_normal, random_uniform = Orthogonal, RandomNormal, RandomUniform
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
