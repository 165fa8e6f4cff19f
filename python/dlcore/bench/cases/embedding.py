"""Embeddings of a 30,000-word vocabulary, their gradient, bags."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

ROWS, DIM, COUNT, BAG = 30_000, 256, 16_384, 16


def _embedding(rng: np.random.Generator) -> Pair:
    w, i = normal(rng, ROWS, DIM), rng.integers(0, ROWS, COUNT)
    return lambda: K.embedding(i, w), lambda: w[i]


def _backward(rng: np.random.Generator) -> Pair:
    dy, i = normal(rng, COUNT, DIM), rng.integers(0, ROWS, COUNT)

    def theirs() -> Any:
        dw = np.zeros((ROWS, DIM), np.float32)
        np.add.at(dw, i, dy)
        return dw

    return lambda: K.embedding_backward(dy, i, ROWS), theirs


def _bag(rng: np.random.Generator) -> Pair:
    w, i = normal(rng, ROWS, DIM), rng.integers(0, ROWS, COUNT)
    offsets = np.arange(0, COUNT, BAG)
    return lambda: K.embedding_bag(i, w, offsets, "sum"), lambda: np.add.reduceat(w[i], offsets, 0)


def _bag_backward(rng: np.random.Generator) -> Pair:
    w, i = normal(rng, ROWS, DIM), rng.integers(0, ROWS, COUNT)
    offsets, dy = np.arange(0, COUNT, BAG), normal(rng, COUNT // BAG, DIM)

    def theirs() -> Any:
        dw = np.zeros((ROWS, DIM), np.float32)
        rows = np.repeat(dy, BAG, 0)
        np.add.at(dw, i, rows)
        return dw, np.einsum("ij,ij->i", rows, w[i])

    return lambda: K.embedding_bag_backward(dy, i, w, offsets, "sum"), theirs


def _bag_max_backward(rng: np.random.Generator) -> Pair:
    w, i = normal(rng, ROWS, DIM), rng.integers(0, ROWS, COUNT)
    offsets, dy = np.arange(0, COUNT, BAG), normal(rng, COUNT // BAG, DIM)

    def theirs() -> Any:
        bags, columns = i.reshape(-1, BAG), np.arange(DIM)
        rows = np.take_along_axis(bags, w[bags].argmax(1), 1)
        dw = np.zeros((ROWS, DIM), np.float32)
        np.add.at(dw, (rows, columns), dy)
        return dw

    return lambda: K.embedding_bag_backward(dy, i, w, offsets, "max")[0], theirs


def _renorm(rng: np.random.Generator) -> Pair:
    w, i = normal(rng, ROWS, DIM), rng.integers(0, ROWS, COUNT)

    def theirs() -> Any:
        y, rows = w.copy(), np.unique(i)
        norms = np.linalg.norm(y[rows], axis=1, keepdims=True)
        y[rows] *= np.minimum(1, 1 / (norms + 1e-7))
        return y

    return lambda: K.embedding_renorm(w, i, 1.0), theirs


MOVED = 4.0 * COUNT * DIM
TABLE = 4.0 * ROWS * DIM
CASES = [
    Case(f"embedding {COUNT} of {ROWS}x{DIM}", "embedding", ["take"], 0.0, 2 * MOVED, _embedding),
    Case(
        f"embedding_backward {COUNT} of {ROWS}x{DIM}",
        "embedding",
        ["embedding_backward"],
        1.0 * COUNT * DIM,
        MOVED + TABLE,
        _backward,
    ),
    Case(
        f"embedding_bag {COUNT} of {ROWS}x{DIM}",
        "embedding",
        ["embedding_bag_forward"],
        1.0 * COUNT * DIM,
        MOVED * (1 + 1 / BAG),
        _bag,
    ),
    Case(
        f"embedding_bag_backward {COUNT} of {ROWS}x{DIM}",
        "embedding",
        ["embedding_backward", "embedding_bag_scale_backward"],
        3.0 * COUNT * DIM,
        MOVED + TABLE,
        _bag_backward,
    ),
    Case(
        f"embedding_bag_max_backward {COUNT} of {ROWS}x{DIM}",
        "embedding",
        ["embedding_bag_forward", "embedding_bag_max_backward"],
        1.0 * COUNT * DIM,
        MOVED + TABLE,
        _bag_max_backward,
    ),
    Case(
        f"embedding_renorm {COUNT} of {ROWS}x{DIM}",
        "embedding",
        ["embedding_renorm"],
        2.0 * COUNT * DIM,
        2 * TABLE + 2 * MOVED,
        _renorm,
    ),
]
