"""Optimizer steps in place over the parameters of the first CNN, and the norm and scaling of their gradients.

dlcore's side is what its optimizers call: one kernel over all parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import _C
from dlcore.bench.cases import Case, Pair, normal

SHAPES = ((32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (128, 1600), (128,), (10, 128), (10,))
SIZE = sum(int(np.prod(s)) for s in SHAPES)
F4 = np.float32


def _lists(rng: np.random.Generator, n: int) -> list[list[Any]]:
    """n lists of arrays of the model's shapes: parameters, gradients, states."""
    return [[normal(rng, *s) for s in SHAPES] for _ in range(n)]


def _shared(lists: list[list[Any]]) -> list[list[Any]]:
    """Copies of the same values as dlcore's arrays."""
    return [[_C.from_numpy(a.copy()) for a in one] for one in lists]


def _adam(rng: np.random.Generator) -> Pair:
    p, g = _lists(rng, 2)
    m, v = ([np.zeros_like(a) for a in p] for _ in range(2))
    P, G, M, V = _shared([p, g, m, v])
    ones = [1.0] * len(p)

    def ours() -> Any:
        _C.adam_step(P, G, M, V, [], ones, 1e-3, 0.9, 0.999, 1e-8, 0.0, False, False, False, False)
        return P[0].numpy()

    def theirs() -> Any:
        for p_, g_, m_, v_ in zip(p, g, m, v, strict=True):
            m_ *= F4(0.9)
            m_ += F4(0.1) * g_
            v_ *= F4(0.999)
            v_ += F4(0.001) * (g_ * g_)
            d = np.sqrt(v_ / F4(0.001))
            d += F4(1e-8)
            np.divide(m_, d, out=d)
            d *= F4(1e-3 / 0.1)
            p_ -= d
        return p[0]

    return ours, theirs


def _sgd(rng: np.random.Generator) -> Pair:
    p, g, b = _lists(rng, 3)
    P, G, B = _shared([p, g, b])
    twos = [2.0] * len(p)

    def ours() -> Any:
        _C.sgd_step(P, G, B, twos, 1e-3, 0.9, 0.0, 0.0, False, False)
        return P[0].numpy()

    def theirs() -> Any:
        for p_, g_, b_ in zip(p, g, b, strict=True):
            b_ *= F4(0.9)
            b_ += g_
            p_ -= F4(1e-3) * b_
        return p[0]

    return ours, theirs


def _norm(rng: np.random.Generator) -> Pair:
    (g,) = _lists(rng, 1)
    (G,) = _shared([g])
    return lambda: _C.grad_norm(G, 2.0), lambda: sum(float(np.vdot(a, a)) for a in g) ** 0.5


def _scale(rng: np.random.Generator) -> Pair:
    (g,) = _lists(rng, 1)
    (G,) = _shared([g])

    def ours() -> Any:
        _C.scale_(G, -1.0)
        return G[0].numpy()

    def theirs() -> Any:
        for a in g:
            a *= F4(-1)
        return g[0]

    return ours, theirs


def _lamb(rng: np.random.Generator) -> Pair:
    p, g = _lists(rng, 2)
    m, v = ([np.zeros_like(a) for a in p] for _ in range(2))
    P, G, M, V = _shared([p, g, m, v])
    ones = [1.0] * len(p)

    def ours() -> Any:
        _C.lamb_step(P, G, M, V, ones, 1e-3, 0.9, 0.999, 1e-7)
        return P[0].numpy()

    def theirs() -> Any:
        for p_, g_, m_, v_ in zip(p, g, m, v, strict=True):
            m_ += F4(0.1) * (g_ - m_)
            v_ += F4(0.001) * (g_ * g_ - v_)
            d = m_ / F4(0.1)
            d /= np.sqrt(v_ / F4(0.001)) + F4(1e-7)
            p_ -= F4(1e-3 * float(np.linalg.norm(p_)) / float(np.linalg.norm(d))) * d
        return p[0]

    return ours, theirs


def _adafactor(rng: np.random.Generator) -> Pair:
    (p, g), shape = (normal(rng, 2, 512, 768)), (512, 768)
    row, column = np.zeros(512, F4), np.zeros(768, F4)
    P, G, R, C = ([_C.from_numpy(a.copy())] for a in (p, g, row, column))

    def ours() -> Any:
        _C.adafactor_step(P, G, R, C, [], [0.5], [1e-2], 1.0, 0.0, 1e-7, 1e-14, 1e-3, 1.0)
        return P[0].numpy()

    def theirs() -> Any:
        square = g * g
        row[:] += F4(0.5) * (square.mean(1) - row)
        column[:] += F4(0.5) * (square.mean(0) - column)
        u = g / np.sqrt(np.outer(row / row.mean(), column))
        size, far = (float(np.linalg.norm(x)) / float(np.prod(shape)) ** 0.5 for x in (p, u))
        np.subtract(p, F4(1e-2 * max(1e-3, size) / max(1.0, far)) * u, out=p)
        return p

    return ours, theirs


def _axpby(rng: np.random.Generator) -> Pair:
    x, y = _lists(rng, 2)
    X, Y = _shared([x, y])
    n = len(x)

    def ours() -> Any:
        _C.axpby_(Y, [0.1] * n, X, [0.9] * n, Y)
        return Y[0].numpy()

    def theirs() -> Any:
        for a, b in zip(x, y, strict=True):
            b *= F4(0.9)
            b += F4(0.1) * a
        return y[0]

    return ours, theirs


CASES = [
    Case(f"adam step {SIZE:,} parameters", "optim", ["optim_step"], 12.0 * SIZE, 28.0 * SIZE, _adam),
    Case(f"sgd step {SIZE:,} parameters", "optim", ["optim_step"], 4.0 * SIZE, 20.0 * SIZE, _sgd),
    Case(f"lamb step {SIZE:,} parameters", "optim", ["lamb_step"], 25.0 * SIZE, 40.0 * SIZE, _lamb),
    Case(
        "adafactor step of 512 x 768", "optim", ["adafactor_step"], 14.0 * 393216, 24.0 * 393216, _adafactor
    ),
    Case(f"a x + b y over {SIZE:,} parameters", "optim", ["multi_axpby"], 3.0 * SIZE, 12.0 * SIZE, _axpby),
    Case(f"norm of {SIZE:,} gradients", "optim", ["multi_norm"], 2.0 * SIZE, 4.0 * SIZE, _norm),
    Case(f"scaling {SIZE:,} gradients", "optim", ["multi_scale"], SIZE, 8.0 * SIZE, _scale),
]
