"""CTC of a batch of utterances; NumPy's side has the batch and the states as vectors, a step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

T, B, C, S = 150, 16, 30, 30


def _problem(rng: np.random.Generator) -> tuple[Any, ...]:
    lp = K.log_softmax(normal(rng, T, B, C))
    return lp, rng.integers(1, C, (B, S)), np.full(B, T), np.full(B, S)


def _states(y: Any) -> Any:
    """(states, what keeps a state from being reached from the one before the last: 0 or -inf)."""
    states = np.zeros((B, 2 * S + 1), np.int64)
    states[:, 1::2] = y
    skip = np.full(states.shape, np.float32(-np.inf))
    skip[:, 2:][(states[:, 2:] != 0) & (states[:, 2:] != states[:, :-2])] = 0
    return states, skip


def _alpha(emit: Any, skip: Any) -> Any:
    a = np.full((T, B, 2 * S + 3), np.float32(-np.inf))
    a[0, :, 2:4] = emit[0, :, :2]
    for t in range(1, T):
        p = a[t - 1]
        a[t, :, 2:] = np.logaddexp(np.logaddexp(p[:, 2:], p[:, 1:-1]), p[:, :-2] + skip) + emit[t]
    return a[:, :, 2:]


def _forward(rng: np.random.Generator) -> Pair:
    lp, y, inputs, lengths = _problem(rng)

    def theirs() -> Any:
        states, skip = _states(y)
        last = _alpha(np.take_along_axis(lp, states[None], 2), skip)[-1]
        return -np.logaddexp(last[:, -1], last[:, -2])

    return lambda: K.ctc_loss(lp, y, inputs, lengths), theirs


def _backward(rng: np.random.Generator) -> Pair:
    lp, y, inputs, lengths = _problem(rng)
    g = normal(rng, B)

    def theirs() -> Any:
        states, skip = _states(y)
        emit = np.take_along_axis(lp, states[None], 2)
        a = _alpha(emit, skip)
        back = np.full_like(skip, -np.inf)
        back[:, 2:] = skip[:, :1:-1]
        b = _alpha(emit[::-1, :, ::-1], back)[::-1, :, ::-1]
        loss = -np.logaddexp(a[-1, :, -1], a[-1, :, -2])
        posterior = np.exp(a + b - emit + loss[:, None])
        dx = np.exp(lp)
        t, i = np.ogrid[:T, :B]
        np.subtract.at(dx, (t[:, :, None], i[:, :, None], states[None]), posterior)
        return dx * g[:, None]

    return lambda: K.ctc_loss_backward(g, lp, y, inputs, lengths), theirs


STATES = 1.0 * T * B * (2 * S + 1)
SIZE = 4.0 * T * B * C
CASES = [
    Case(f"ctc_loss {T}x{B}x{C}", "ctc", ["ctc_forward"], 10 * STATES, SIZE + 4 * STATES, _forward),
    Case(
        f"ctc_loss_backward {T}x{B}x{C}",
        "ctc",
        ["ctc_forward", "ctc_backward"],
        22 * STATES,
        3 * SIZE + 8 * STATES,
        _backward,
    ),
]
