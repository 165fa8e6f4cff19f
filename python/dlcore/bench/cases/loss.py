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


ROWS, CLASSES, LABELS = 4096, 100, 5


def _multilabel(rng: np.random.Generator) -> tuple[Any, Any]:
    labels = np.argsort(rng.random((ROWS, CLASSES)), 1)
    labels[:, LABELS:] = -1
    return normal(rng, ROWS, CLASSES), labels


def _margins(x: Any, labels: Any) -> Any:
    """(row, label, class): what is missing from the margin, 0 where the class is a label."""
    z = 1 - np.take_along_axis(x, labels[:, :LABELS], 1)[:, :, None] + x[:, None]
    np.maximum(z, 0, out=z)
    np.put_along_axis(z, np.broadcast_to(labels[:, None, :LABELS], (ROWS, LABELS, LABELS)), 0, 2)
    return z


def _multilabel_forward(rng: np.random.Generator) -> Pair:
    x, labels = _multilabel(rng)
    return lambda: K.multilabel_margin_loss(x, labels), lambda: _margins(x, labels).sum((1, 2)) / CLASSES


def _multilabel_backward(rng: np.random.Generator) -> Pair:
    x, labels = _multilabel(rng)
    g = normal(rng, ROWS)

    def theirs() -> Any:
        breaks = (_margins(x, labels) > 0).astype(np.float32)
        dx = breaks.sum(1)
        np.put_along_axis(dx, labels[:, :LABELS], -breaks.sum(2), 1)
        return dx * (g / CLASSES)[:, None]

    return lambda: K.multilabel_margin_loss_backward(g, x, labels), theirs


PAIRS = 1.0 * ROWS * CLASSES * LABELS
BOTH = ["cross_entropy_forward", "cross_entropy_backward"]
CASES = [
    Case(f"cross_entropy {M}x{N}", "loss", BOTH[:1], 4.0 * SIZE, 4.0 * SIZE, _forward),
    Case(f"cross_entropy_backward {M}x{N}", "loss", BOTH, 7.0 * SIZE, 8.0 * SIZE, _backward),
    Case(
        f"multilabel_margin {ROWS}x{CLASSES}",
        "loss",
        ["multilabel_margin_forward"],
        4 * PAIRS,
        12.0 * ROWS * CLASSES,
        _multilabel_forward,
    ),
    Case(
        f"multilabel_margin_backward {ROWS}x{CLASSES}",
        "loss",
        ["multilabel_margin_backward"],
        4 * PAIRS,
        16.0 * ROWS * CLASSES,
        _multilabel_backward,
    ),
]
