"""Rows of a table by index (an embedding and its gradient), elements by index, a causal mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

V, D, T = 30_000, 256, 16_384  # vocabulary, width, tokens
M, N = 8192, 1000


def _select(rng: np.random.Generator) -> Pair:
    table, ids = normal(rng, V, D), rng.integers(0, V, T)
    return lambda: K.index_select(table, 0, ids), lambda: table[ids]


def _select_backward(rng: np.random.Generator) -> Pair:
    dy, ids = normal(rng, T, D), rng.integers(0, V, T)

    def theirs() -> Any:
        table = np.zeros((V, D), np.float32)
        np.add.at(table, ids, dy)
        return table

    return lambda: K.index_select_backward(dy, 0, ids, V), theirs


def _gather(rng: np.random.Generator) -> Pair:
    x, index = normal(rng, M, N), rng.integers(0, N, (M, N))
    return lambda: K.gather(x, 1, index), lambda: np.take_along_axis(x, index, 1)


def _scatter(rng: np.random.Generator) -> Pair:
    x, src, index = normal(rng, M, N), normal(rng, M, N), rng.permuted(np.tile(np.arange(N), (M, 1)), axis=1)

    def theirs() -> Any:
        y = x.copy()
        np.put_along_axis(y, index, src, 1)
        return y

    return lambda: K.scatter(x, 1, index, src), theirs


def _tril(rng: np.random.Generator) -> Pair:
    x = normal(rng, 2048, 2048)
    return lambda: K.tril(x), lambda: np.tril(x)


SIZE = M * N
CASES = [
    Case(f"index_select {T} of {V}x{D}", "index", ["take"], 0.0, 8.0 * T * D, _select),
    Case(
        f"index_select_backward {T} of {V}x{D}", "index", ["put"], T * D, 4.0 * (T + V) * D, _select_backward
    ),
    Case(f"gather {M}x{N}", "index", ["gather"], 0.0, 16.0 * SIZE, _gather),
    Case(f"scatter {M}x{N}", "index", ["scatter"], 0.0, 20.0 * SIZE, _scatter),
    Case("tril 2048x2048", "index", ["triangle"], 0.0, 6.0 * 2048 * 2048, _tril),
]
