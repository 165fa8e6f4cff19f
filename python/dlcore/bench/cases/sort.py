"""Sorting, the first k of vocabulary rows, medians; NumPy's argsort and argpartition give indices too."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

M, N, V, B, TOP = 1000, 1000, 50_257, 32, 50


def _sort(rng: np.random.Generator) -> Pair:
    x = normal(rng, M, N)

    def theirs() -> Any:
        i = x.argsort(1, kind="stable")
        return np.take_along_axis(x, i, 1), i

    return lambda: K.sort(x), theirs


def _topk(rng: np.random.Generator) -> Pair:
    x = normal(rng, B, V)

    def theirs() -> Any:
        part = np.argpartition(x, V - TOP, 1)[:, -TOP:]
        values = np.take_along_axis(x, part, 1)
        order = np.argsort(-values, 1)
        return np.take_along_axis(values, order, 1), np.take_along_axis(part, order, 1)

    return lambda: K.topk(x, TOP), theirs


def _median(rng: np.random.Generator) -> Pair:
    x = normal(rng, M, N)
    return lambda: K.median(x)[0], lambda: np.partition(x, (N - 1) // 2, 1)[:, (N - 1) // 2]


def _search(rng: np.random.Generator) -> Pair:
    row, x = np.sort(normal(rng, N)), normal(rng, M * N)
    return lambda: K.searchsorted(row, x), lambda: np.searchsorted(row, x)


CASES = [
    Case(f"sort rows {M}x{N}", "sort", ["sort"], 10.0 * M * N, 16.0 * M * N, _sort),
    Case(f"top {TOP} of rows {B}x{V}", "sort", ["topk"], 1.0 * B * V, 4.0 * B * V, _topk),
    Case(f"median of rows {M}x{N}", "sort", ["kth"], 2.0 * M * N, 4.0 * M * N, _median),
    Case(f"searchsorted {M * N} in {N}", "sort", ["searchsorted"], 10.0 * M * N, 12.0 * M * N, _search),
]
