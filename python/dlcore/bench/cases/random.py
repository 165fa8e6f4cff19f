"""Uniform numbers and dropout: counter-based on our side (Philox4x32-10), PCG64 on NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

SIZE = 12_500_000


def _uniform(rng: np.random.Generator) -> Pair:
    def theirs() -> None:  # other numbers: nothing to compare
        rng.random(SIZE, np.float32)

    return lambda: K.philox_uniform((SIZE,), np.float32, 1), theirs


def _dropout(rng: np.random.Generator) -> Pair:
    x = normal(rng, SIZE)

    def theirs() -> Any:
        y = x * (rng.random(SIZE, np.float32) >= np.float32(0.5))
        y *= np.float32(2)
        return None

    return lambda: K.dropout(x, 0.5, 1), theirs


CASES = [
    Case("uniform numbers 50 MB", "random", ["random_fill"], 0.0, 4.0 * SIZE, _uniform),
    Case("dropout 50 MB", "random", ["dropout"], 2.0 * SIZE, 8.0 * SIZE, _dropout),
]
