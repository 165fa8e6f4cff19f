"""The generator of Keras' layers: dlcore's own, which `utils.set_random_seed` seeds, or a seeded one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.random import get_generator

__all__ = ["SeedGenerator", "generator"]


def generator(fixed: int | None = None) -> np.random.Generator:
    """The common generator, or a fresh one of a fixed seed."""
    return get_generator(fixed)


class SeedGenerator:
    """Where a layer's randomness comes from: `seed`, or the common generator where it is None."""

    def __init__(self, seed: Any = None, name: str | None = None, **_: Any) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ValueError(f"SeedGenerator: seed must be an integer or None, got {seed!r}")
        self.name = name or "seed_generator"
        self.seed = None if seed is None else int(seed)
        self._own = None if seed is None else generator(int(seed))

    @property
    def rng(self) -> np.random.Generator:
        return self._own or generator()

    def state(self) -> npt.NDArray[np.uint32]:
        """What Keras' files keep of it."""
        return np.asarray([(self.seed or 0) & 0xFFFFFFFF, 0], np.uint32)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}
