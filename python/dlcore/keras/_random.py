"""The generator of Keras' layers: dlcore's own, which `utils.set_random_seed` seeds."""

from __future__ import annotations

import numpy as np

from dlcore.random import get_generator

__all__ = ["generator"]


def generator(fixed: int | None = None) -> np.random.Generator:
    """The common generator, or a fresh one of a fixed seed."""
    return get_generator(fixed)
