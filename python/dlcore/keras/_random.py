"""The generator of Keras' layers: initial weights, the order of samples. `utils.set_random_seed` seeds it."""

from __future__ import annotations

import numpy as np

__all__ = ["generator", "seed"]

_generator = np.random.default_rng()


def generator(fixed: int | None = None) -> np.random.Generator:
    """The common generator, or a fresh one of a fixed seed."""
    return _generator if fixed is None else np.random.default_rng(fixed)


def seed(value: int) -> None:
    global _generator
    _generator = np.random.default_rng(value)
