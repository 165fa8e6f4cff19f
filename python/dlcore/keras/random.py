"""Random tensors by Keras' names, and the SeedGenerator that layers draw from."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras._random import SeedGenerator, generator
from dlcore.keras.symbolic import to_tensor

__all__ = [
    "SeedGenerator",
    "categorical",
    "dropout",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


def _rng(seed: Any) -> np.random.Generator:
    return seed.rng if isinstance(seed, SeedGenerator) else generator(seed)


def normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Normal values."""
    return to_tensor((_rng(seed).standard_normal(shape) * stddev + mean).astype(dtype or "float32"))


def uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Uniform values in [minval, maxval)."""
    return to_tensor(_rng(seed).uniform(minval, maxval, shape).astype(dtype or "float32"))


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Normal values within two standard deviations."""
    from dlcore.keras.initializers import truncated

    return to_tensor((truncated(_rng(seed), tuple(shape)) * stddev + mean).astype(dtype or "float32"))


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Integers in [minval, maxval)."""
    return to_tensor(_rng(seed).integers(minval, maxval, shape).astype(dtype))


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Draws of classes (N, num_samples) for logits (N, classes)."""
    a = to_tensor(logits).detach().numpy()
    noise = _rng(seed).gumbel(size=(a.shape[0], num_samples, a.shape[1]))
    return to_tensor((a[:, None, :] + noise).argmax(-1).astype(dtype))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """The entries along `axis` in another order."""
    a = to_tensor(x)
    order = to_tensor(_rng(seed).permutation(a.shape[axis]))
    return F.index_select(a, axis, order)


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """0 with probability `rate`, else x / (1 - rate)."""
    x = to_tensor(inputs)
    if noise_shape is None:
        return F.dropout(x, rate, True, rng=_rng(seed) if seed is not None else None)
    shape = [n if m is None else m for n, m in zip(x.shape, noise_shape)]
    kept = (_rng(seed).random(shape) >= rate).astype(x.dtype) / (1 - rate)
    return x * to_tensor(kept, x.dtype.name)
