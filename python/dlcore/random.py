"""Randomness: one `rng` keyword everywhere (SPEC 7), and the generator that stands behind `rng=None`.

Functions that draw numbers take `rng`: None (the generator that `manual_seed` sets), an int, a
`SeedSequence`, a `BitGenerator` or a `Generator`. NumPy's own global state is never touched.

SPEC 7: https://scientific-python.org/specs/spec-0007/
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "RNG",
    "get_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "next_philox",
    "seed",
    "set_rng_state",
]

RNG = "int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None"

_generator: np.random.Generator | None = None
_seed: int | None = None


def get_generator(rng: Any = None) -> np.random.Generator:
    """The Generator that `rng` stands for; None is the library's own.

    >>> from dlcore.random import get_generator
    >>> float(get_generator(0).random()) == float(get_generator(0).random())
    True
    """
    global _generator
    if rng is None:
        if _generator is None:
            seed()
        assert _generator is not None
        return _generator
    if isinstance(rng, (bool, float, str)):
        raise TypeError(
            f"rng: None, an int, a SeedSequence, a BitGenerator or a Generator is expected, got {rng!r}"
        )
    return np.random.default_rng(rng)


def manual_seed(seed: int) -> np.random.Generator:
    """Restarts the library's generator: what follows repeats exactly. Any int, negative ones included.

    >>> import dlcore
    >>> _ = dlcore.manual_seed(0); a = dlcore.rand(2).tolist()
    >>> _ = dlcore.manual_seed(0); a == dlcore.rand(2).tolist()
    True
    """
    global _generator, _seed
    _seed = int(seed)
    _generator = np.random.default_rng(_seed & 0xFFFF_FFFF_FFFF_FFFF)
    return _generator


def seed() -> int:
    """Restarts the library's generator from the system's entropy, and returns the seed."""
    entropy = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    manual_seed(entropy)
    return entropy


def initial_seed() -> int:
    """The seed that the library's generator started from."""
    if _seed is None:
        return seed()
    return _seed


def get_rng_state() -> dict[str, Any]:
    """A copy of the library's generator's state, for `set_rng_state`."""
    return dict(get_generator().bit_generator.state)


def set_rng_state(state: dict[str, Any]) -> None:
    get_generator().bit_generator.state = state


def next_philox(rng: Any = None) -> tuple[int, int]:
    """(seed, offset) of a fresh stream of a counter-based kernel: two ints that a backward keeps instead of a
    mask.

    J. Salmon, M. Moraes, R. Dror, D. Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    return int(get_generator(rng).integers(0, 1 << 63)), 0
