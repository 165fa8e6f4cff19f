"""matmul and linear, beside NumPy's BLAS."""

from __future__ import annotations

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal


def _matmul(m: int, n: int, k: int, batch: int = 1, transposed: bool = False) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        lead = (batch,) if batch > 1 else ()
        a = normal(rng, *lead, m, k)
        b = normal(rng, *lead, n, k).swapaxes(-1, -2) if transposed else normal(rng, *lead, k, n)
        return lambda: K.matmul(a, b), lambda: a @ b

    name = f"matmul {f'{batch}x ' if batch > 1 else ''}{m}x{k} @ {k}x{n}{' Bᵀ' if transposed else ''}"
    moved = 4.0 * batch * (m * k + k * n + m * n)
    return Case(name, "matmul", ["matmul"], 2.0 * batch * m * n * k, moved, make)


def _linear_relu(m: int, n: int, k: int) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, w, b = normal(rng, m, k), normal(rng, n, k), normal(rng, n)

        def theirs() -> object:
            y = x @ w.T
            y += b
            return np.maximum(y, 0, out=y)

        return lambda: K.linear(x, w, b, "relu"), theirs

    flops = 2.0 * m * n * k + 2.0 * m * n
    moved = 4.0 * (m * k + k * n + m * n)
    return Case(f"linear+relu {m}x{k} -> {n}", "matmul", ["matmul"], flops, moved, make)


CASES = [
    _matmul(1024, 1024, 1024),
    _matmul(256, 256, 256),
    _matmul(64, 128, 1600, transposed=True),
    _matmul(1, 1024, 1024),
    _matmul(128, 128, 64, batch=64),
    _linear_relu(64, 128, 1600),
]
