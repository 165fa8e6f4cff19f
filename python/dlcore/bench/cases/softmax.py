"""softmax and log_softmax over the last axis, stable on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

M, N = 8192, 1000
SIZE = M * N


def _softmax(rng: np.random.Generator) -> Pair:
    x = normal(rng, M, N)

    def theirs() -> Any:
        e = x - x.max(1, keepdims=True)
        np.exp(e, out=e)
        e /= e.sum(1, keepdims=True)
        return e

    return lambda: K.softmax(x), theirs


def _log_softmax(rng: np.random.Generator) -> Pair:
    x = normal(rng, M, N)

    def theirs() -> Any:
        y = x - x.max(1, keepdims=True)
        y -= np.log(np.exp(y).sum(1, keepdims=True))
        return y

    return lambda: K.log_softmax(x), theirs


def _softmax_backward(rng: np.random.Generator) -> Pair:
    y, dy = K.softmax(normal(rng, M, N)), normal(rng, M, N)

    def theirs() -> Any:
        dx = dy - np.einsum("ij,ij->i", dy, y)[:, None]
        dx *= y
        return dx

    return lambda: K.softmax_backward(dy, y), theirs


CASES = [
    Case(f"softmax {M}x{N}", "softmax", ["softmax_forward"], 5.0 * SIZE, 8.0 * SIZE, _softmax),
    Case(f"log_softmax {M}x{N}", "softmax", ["softmax_forward"], 5.0 * SIZE, 8.0 * SIZE, _log_softmax),
    Case(
        f"softmax_backward {M}x{N}",
        "softmax",
        ["softmax_backward"],
        4.0 * SIZE,
        12.0 * SIZE,
        _softmax_backward,
    ),
]
