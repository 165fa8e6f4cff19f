"""Elementwise kernels on 50 MB arrays: memory decides, and how many passes a formula takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

SIZE = 12_500_000
F4 = np.float32


def _unary(name: str, theirs: Callable[[Any], Any], flops: float) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, ours = normal(rng, SIZE), getattr(K, name)
        return lambda: ours(x), lambda: theirs(x)

    return Case(f"{name} 50 MB", "elementwise", ["unary"], flops * SIZE, 8.0 * SIZE, make)


def _sigmoid(x: Any) -> Any:
    y = np.negative(x)
    np.exp(y, out=y)
    y += F4(1)
    return np.reciprocal(y, out=y)


def _gelu_tanh(x: Any) -> Any:
    y = x * x
    y *= F4(0.044715)
    y += F4(1)
    y *= x
    y *= F4((2 / np.pi) ** 0.5)
    np.tanh(y, out=y)
    y += F4(1)
    y *= x
    y *= F4(0.5)
    return y


def _relu_backward(rng: np.random.Generator) -> Pair:
    y, dy = np.maximum(normal(rng, SIZE), 0), normal(rng, SIZE)
    return lambda: K.relu_backward(dy, y), lambda: dy * (y > 0)


def _add(rng: np.random.Generator) -> Pair:
    a, b = normal(rng, SIZE), normal(rng, SIZE)
    return lambda: K.add(a, b), lambda: a + b


def _bias(rng: np.random.Generator) -> Pair:
    a, b = normal(rng, SIZE // 500, 500), normal(rng, 500)
    return lambda: K.add(a, b), lambda: a + b


def _less(rng: np.random.Generator) -> Pair:
    a, b = normal(rng, SIZE), normal(rng, SIZE)
    return lambda: K.lt(a, b), lambda: a < b


def _where(rng: np.random.Generator) -> Pair:
    a, b = normal(rng, SIZE), normal(rng, SIZE)
    c = a < b
    return lambda: K.where(c, a, b), lambda: np.where(c, a, b)


def _full(rng: np.random.Generator) -> Pair:
    return lambda: K.full((SIZE,), 0.5), lambda: np.full(SIZE, 0.5, F4)


def _case(
    name: str, kernel: str, flops: float, moved: float, make: Callable[[np.random.Generator], Pair]
) -> Case:
    return Case(f"{name} 50 MB", "elementwise", [kernel], flops * SIZE, moved * SIZE, make)


CASES = [
    _unary("relu", lambda x: np.maximum(x, 0), 1),
    _unary("exp", np.exp, 1),
    _unary("tanh", np.tanh, 1),
    _unary("sigmoid", _sigmoid, 4),
    _unary("gelu_tanh", _gelu_tanh, 9),
    _case("relu_backward", "unary_backward", 1, 12, _relu_backward),
    _case("add", "binary", 1, 12, _add),
    _case("add a row to each", "binary", 1, 8, _bias),
    _case("less", "compare", 1, 9, _less),
    _case("where", "where", 0, 13, _where),
    _case("full", "fill", 0, 4, _full),
]
