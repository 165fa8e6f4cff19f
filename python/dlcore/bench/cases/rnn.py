"""Recurrent layers: one direction of a sequence, at batch 1 and 32, and the gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal
from dlcore.functional.rnn import Recurrence
from dlcore.tensor import as_array

T, I, H = 100, 256, 256


def _sigmoid(x: Any) -> Any:
    np.negative(x, x)
    np.exp(x, x)
    x += 1
    return np.reciprocal(x, x)


def _weights(rng: np.random.Generator, gates: int) -> list[Any]:
    scale = np.float32(1 / np.sqrt(H))
    shapes = [(gates * H, I), (gates * H, H), (gates * H,), (gates * H,)]
    return [normal(rng, *s) * scale for s in shapes]


def _lstm(rng: np.random.Generator, B: int) -> Pair:
    x, h0, c0 = normal(rng, T, B, I), normal(rng, B, H), normal(rng, B, H)
    w_ih, w_hh, b_ih, b_hh = _weights(rng, 4)

    def theirs() -> Any:
        a, h, c = x @ w_ih.T + (b_ih + b_hh), h0, c0
        y = np.empty((T, B, H), np.float32)
        for t in range(T):
            g = a[t] + h @ w_hh.T
            i, f, o = _sigmoid(g[:, :H]), _sigmoid(g[:, H : 2 * H]), _sigmoid(g[:, 3 * H :])
            c = f * c + i * np.tanh(g[:, 2 * H : 3 * H])
            h = y[t] = o * np.tanh(c)
        return y, h, c

    return lambda: K.lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh), theirs


def _gru(rng: np.random.Generator, B: int) -> Pair:
    x, h0 = normal(rng, T, B, I), normal(rng, B, H)
    w_ih, w_hh, b_ih, b_hh = _weights(rng, 3)

    def theirs() -> Any:
        a, h = x @ w_ih.T + b_ih, h0
        y = np.empty((T, B, H), np.float32)
        for t in range(T):
            m = h @ w_hh.T + b_hh
            rz = _sigmoid(a[t, :, : 2 * H] + m[:, : 2 * H])
            n = np.tanh(a[t, :, 2 * H :] + rz[:, :H] * m[:, 2 * H :])
            h = y[t] = n + rz[:, H:] * (h - n)
        return y, h

    return lambda: K.gru(x, h0, w_ih, w_hh, b_ih, b_hh), theirs


def _rnn(rng: np.random.Generator, B: int) -> Pair:
    x, h0 = normal(rng, T, B, I), normal(rng, B, H)
    w_ih, w_hh, b_ih, b_hh = _weights(rng, 1)

    def theirs() -> Any:
        y, h = x @ w_ih.T + (b_ih + b_hh), h0
        for t in range(T):
            y[t] += h @ w_hh.T
            h = np.tanh(y[t], y[t])
        return y, h

    return lambda: K.rnn(x, h0, w_ih, w_hh, b_ih, b_hh), theirs


def _lstm_backward(rng: np.random.Generator, B: int) -> Pair:
    x, h0, c0, dy = normal(rng, T, B, I), normal(rng, B, H), normal(rng, B, H), normal(rng, T, B, H)
    w_ih, w_hh, b_ih, b_hh = w = _weights(rng, 4)
    weights = [*[as_array(a) for a in w], None]
    call = Recurrence("lstm", as_array(x), as_array(h0[None]), as_array(c0[None]), weights)
    gates = np.empty((T, 4, B, H), np.float32)  # what a NumPy forward would have kept
    cells, states = np.empty((T + 1, B, H), np.float32), np.empty((T + 1, B, H), np.float32)
    cells[0], states[0] = c0, h0
    for t in range(T):
        a = x[t] @ w_ih.T + b_ih + states[t] @ w_hh.T + b_hh
        for k in range(4):
            part = a[:, k * H : (k + 1) * H]
            gates[t, k] = np.tanh(part) if k == 2 else _sigmoid(part)
        cells[t + 1] = gates[t, 1] * cells[t] + gates[t, 0] * gates[t, 2]
        states[t + 1] = gates[t, 3] * np.tanh(cells[t + 1])

    def theirs() -> Any:
        da = np.empty((T, B, 4 * H), np.float32)
        dh, dc = np.zeros((B, H), np.float32), np.zeros((B, H), np.float32)
        for t in reversed(range(T)):
            i, f, g, o = gates[t]
            tanh = np.tanh(cells[t + 1])
            dh = dh + dy[t]
            dc = dc + dh * o * (1 - tanh * tanh)
            da[t, :, :H] = dc * g * i * (1 - i)
            da[t, :, H : 2 * H] = dc * cells[t] * f * (1 - f)
            da[t, :, 2 * H : 3 * H] = dc * i * (1 - g * g)
            da[t, :, 3 * H :] = dh * tanh * o * (1 - o)
            dh, dc = da[t] @ w_hh, dc * f
        rows = da.reshape(-1, 4 * H)
        db = rows.sum(0)
        dw_ih, dw_hh = rows.T @ x.reshape(-1, I), rows.T @ states[:T].reshape(-1, H)
        return (rows @ w_ih).reshape(T, B, I), dh, dc, dw_ih, dw_hh, db, db

    return lambda: K.lstm_backward(dy, None, None, x, h0, c0, *w, call=call)[:7], theirs


def _case(name: str, kernel: str, B: int, gates: int, make: Any, passes: int = 1) -> Case:
    work = 2.0 * T * B * gates * H * (I + H) * passes
    moved = 4.0 * (gates * H * (I + H) + T * B * (I + H * (1 if passes == 1 else 2 * gates + 4)))
    label = f"{name} T={T} batch {B} {I}->{H}"
    return Case(label, "rnn", [kernel], work, moved, lambda rng: make(rng, B))


CASES = [
    _case("lstm", "rnn_forward", 32, 4, _lstm),
    _case("lstm", "rnn_forward", 1, 4, _lstm),
    _case("gru", "rnn_forward", 32, 3, _gru),
    _case("gru", "rnn_forward", 1, 3, _gru),
    _case("rnn", "rnn_forward", 32, 1, _rnn),
    _case("lstm_backward", "rnn_backward", 32, 4, _lstm_backward, 2),
]
