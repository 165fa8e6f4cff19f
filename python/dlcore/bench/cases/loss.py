"""Cross-entropy from logits and labels, fused on our side."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

M, N = 8192, 1000
SIZE = M * N


def _forward(rng: np.random.Generator) -> Pair:
    x, labels, rows = normal(rng, M, N), rng.integers(0, N, M), np.arange(M)

    def theirs() -> Any:
        top = x.max(1)
        e = x - top[:, None]
        np.exp(e, out=e)
        return (np.log(e.sum(1)) + top - x[rows, labels]).mean()

    return lambda: K.cross_entropy(x, labels), theirs


def _backward(rng: np.random.Generator) -> Pair:
    x, labels, rows, one = normal(rng, M, N), rng.integers(0, N, M), np.arange(M), np.ones((), np.float32)

    def theirs() -> Any:
        e = x - x.max(1, keepdims=True)
        np.exp(e, out=e)
        e /= e.sum(1, keepdims=True)
        e[rows, labels] -= 1
        e /= M
        return e

    return lambda: K.cross_entropy_backward(one, x, labels), theirs


BOTH = ["cross_entropy_forward", "cross_entropy_backward"]
CASES = [
    Case(f"cross_entropy {M}x{N}", "loss", BOTH[:1], 4.0 * SIZE, 4.0 * SIZE, _forward),
    Case(f"cross_entropy_backward {M}x{N}", "loss", BOTH, 7.0 * SIZE, 8.0 * SIZE, _backward),
]
