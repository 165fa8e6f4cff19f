"""Reductions of 50 MB: along rows, along columns, to one number; the place of the largest; running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

M, N = 12_500, 1000
SIZE = M * N


def _case(
    name: str,
    kernel: str,
    moved: float,
    ours: Callable[[Any], Any],
    theirs: Callable[[Any], Any],
    flops: float = 1,
) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, M, N)
        return lambda: ours(x), lambda: theirs(x)

    return Case(f"{name} {M}x{N}", "reduce", [kernel], flops * SIZE, moved * SIZE, make)


def _cummax(x: Any) -> Any:
    values = np.maximum.accumulate(x, 1)
    places = np.where(x == values, np.arange(N), 0)
    return values, np.maximum.accumulate(places, 1)


def _logcumsumexp(x: Any) -> Any:
    return np.logaddexp.accumulate(x, 1)


CASES = [
    _case("sum of rows", "reduce", 4, lambda x: K.sum(x, 1), lambda x: x.sum(1)),
    _case("sum of columns", "reduce", 4, lambda x: K.sum(x, 0), lambda x: x.sum(0)),
    _case("max of all", "reduce", 4, K.amax, np.max),
    _case("variance of rows", "reduce", 4, lambda x: K.var(x, 1), lambda x: x.var(1, ddof=1), 4),
    _case("argmax of rows", "arg_reduce", 4, lambda x: K.argmax(x, 1), lambda x: x.argmax(1)),
    _case("cummax of rows", "cum_extreme", 16, lambda x: K.cummax(x, 1), _cummax),
    _case("logcumsumexp of rows", "logcumsumexp", 8, lambda x: K.logcumsumexp(x, 1), _logcumsumexp, 3),
    _case("cumsum of rows", "scan", 8, lambda x: K.cumsum(x, 1), lambda x: x.cumsum(1)),
]
