"""Twins of the recurrent family: one step after the other, sample after sample where lengths differ."""

import numpy as np


def sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _bias(b, like):
    return like.dtype.type(0) if b is None else b


def _lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr):
    a = x @ w_ih.T + _bias(b_ih, x) + h @ w_hh.T + _bias(b_hh, x)
    i, f, g, o = np.split(a, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h if w_hr is None else h @ w_hr.T), c


def _gru_step(x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr):
    xr, xz, xn = np.split(x @ w_ih.T + _bias(b_ih, x), 3, -1)
    hr, hz, hn = np.split(h @ w_hh.T + _bias(b_hh, x), 3, -1)
    z = sigmoid(xz + hz)
    n = np.tanh(xn + sigmoid(xr + hr) * hn)
    return (1 - z) * n + z * h, c


def _rnn_step(act):
    def step(x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr):
        a = x @ w_ih.T + _bias(b_ih, x) + h @ w_hh.T + _bias(b_hh, x)
        return (np.tanh(a) if act == "tanh" else np.maximum(a, a.dtype.type(0))), c

    return step


def _run(step, x, h0, c0, weights, width, lengths, reverse, batch_first):
    x = x.swapaxes(0, 1) if batch_first else x
    T, B = x.shape[:2]
    P, H = weights[1].shape[1], width
    h = np.zeros((B, P), x.dtype) if h0 is None else h0.copy()
    c = np.zeros((B, H), x.dtype) if c0 is None else c0.copy()
    n = np.full(B, T) if lengths is None else np.asarray(lengths)
    y = np.zeros((T, B, P), x.dtype)
    for t in reversed(range(T)) if reverse else range(T):
        on = n > t
        h[on], c[on] = step(x[t, on], h[on], c[on], *weights)
        y[t, on] = h[on]
    return (y.swapaxes(0, 1).copy() if batch_first else y), h, c


def lstm(
    x, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None, lengths=None, reverse=False, batch_first=False
):
    weights = (w_ih, w_hh, b_ih, b_hh, w_hr)
    return _run(_lstm_step, x, h0, c0, weights, w_ih.shape[0] // 4, lengths, reverse, batch_first)


def gru(x, h0, w_ih, w_hh, b_ih=None, b_hh=None, lengths=None, reverse=False, batch_first=False):
    weights = (w_ih, w_hh, b_ih, b_hh, None)
    return _run(_gru_step, x, h0, None, weights, w_hh.shape[1], lengths, reverse, batch_first)[:2]


def rnn(x, h0, w_ih, w_hh, b_ih=None, b_hh=None, act="tanh", lengths=None, reverse=False, batch_first=False):
    weights = (w_ih, w_hh, b_ih, b_hh, None)
    return _run(_rnn_step(act), x, h0, None, weights, w_hh.shape[1], lengths, reverse, batch_first)[:2]


def lstm_cell(x, h, c, w_ih, w_hh, b_ih=None, b_hh=None):
    return lstm(x[None], h, c, w_ih, w_hh, b_ih, b_hh)[1:]


def gru_cell(x, h, w_ih, w_hh, b_ih=None, b_hh=None):
    return gru(x[None], h, w_ih, w_hh, b_ih, b_hh)[1]


def rnn_cell(x, h, w_ih, w_hh, b_ih=None, b_hh=None, act="tanh"):
    return rnn(x[None], h, w_ih, w_hh, b_ih, b_hh, act)[1]


# ---- gradients: the chain rule through the steps, one sample at a time ------------------------------------


def _lstm_sample(x, h, c, dy, dh, dc, w_ih, w_hh, b_ih, b_hh, w_hr):
    """One sample (T, I), forward and back; h (P,), c (H,). Gives dx, dh0, dc0, and each parameter's."""
    dt = x.dtype
    past = []
    for v in x:
        a = w_ih @ v + _bias(b_ih, x) + w_hh @ h + _bias(b_hh, x)
        i, f, g, o = np.split(a, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        past.append((v, h, c, i, f, g, o))
        c = f * c + i * g
        h = o * np.tanh(c)
        past[-1] += (c, h)
        h = h if w_hr is None else w_hr @ h
    dx = np.zeros_like(x)
    d_ih, d_hh, db = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(w_ih.shape[0], dt)
    d_hr = None if w_hr is None else np.zeros_like(w_hr)
    for t in reversed(range(len(x))):
        v, h, before, i, f, g, o, c, hidden = past[t]
        dh = dh + dy[t]
        if w_hr is not None:
            d_hr += np.outer(dh, hidden)
            dh = w_hr.T @ dh
        th = np.tanh(c)
        dc = dc + dh * o * (1 - th * th)
        da = np.concatenate(
            [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * th * o * (1 - o)]
        )
        d_ih += np.outer(da, v)
        d_hh += np.outer(da, h)
        db += da
        dx[t], dh, dc = w_ih.T @ da, w_hh.T @ da, dc * f
    return dx, dh, dc, (d_ih, d_hh, db, db, d_hr)


def _gru_sample(x, h, c, dy, dh, dc, w_ih, w_hh, b_ih, b_hh, w_hr):
    past = []
    for v in x:
        xr, xz, xn = np.split(w_ih @ v + _bias(b_ih, x), 3)
        hr, hz, hn = np.split(w_hh @ h + _bias(b_hh, x), 3)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        past.append((v, h, r, z, n, hn))
        h = (1 - z) * n + z * h
    dx = np.zeros_like(x)
    d_ih, d_hh = np.zeros_like(w_ih), np.zeros_like(w_hh)
    db, db_h = np.zeros(w_ih.shape[0], x.dtype), np.zeros(w_ih.shape[0], x.dtype)
    for t in reversed(range(len(x))):
        v, h, r, z, n, hn = past[t]
        dh = dh + dy[t]
        dn = dh * (1 - z) * (1 - n * n)
        dr, dz = dn * hn * r * (1 - r), dh * (h - n) * z * (1 - z)
        da, da_h = np.concatenate([dr, dz, dn]), np.concatenate([dr, dz, dn * r])
        d_ih += np.outer(da, v)
        d_hh += np.outer(da_h, h)
        db += da
        db_h += da_h
        dx[t], dh = w_ih.T @ da, w_hh.T @ da_h + dh * z
    return dx, dh, dc, (d_ih, d_hh, db, db_h, None)


def _rnn_sample(act):
    def run(x, h, c, dy, dh, dc, w_ih, w_hh, b_ih, b_hh, w_hr):
        past = []
        for v in x:
            a = w_ih @ v + _bias(b_ih, x) + w_hh @ h + _bias(b_hh, x)
            after = np.tanh(a) if act == "tanh" else np.maximum(a, a.dtype.type(0))
            past.append((v, h, after))
            h = after
        dx = np.zeros_like(x)
        d_ih, d_hh, db = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(w_ih.shape[0], x.dtype)
        for t in reversed(range(len(x))):
            v, h, after = past[t]
            da = (dh + dy[t]) * ((1 - after * after) if act == "tanh" else (after > 0))
            d_ih += np.outer(da, v)
            d_hh += np.outer(da, h)
            db += da
            dx[t], dh = w_ih.T @ da, w_hh.T @ da
        return dx, dh, dc, (d_ih, d_hh, db, db, None)

    return run


def _back(sample, dy, dhT, dcT, x, h0, c0, weights, width, lengths, reverse, batch_first):
    P, first = weights[1].shape[1], 0 if batch_first else 1
    B, T = x.shape[first], x.shape[1 - first]
    dx = np.zeros_like(x)
    zeros = {P: np.zeros((B, P), x.dtype), width: np.zeros((B, width), x.dtype)}
    h0, dh0 = zeros[P] if h0 is None else h0, np.array(zeros[P] if dhT is None else dhT)
    c0, dc0 = zeros[width] if c0 is None else c0, np.array(zeros[width] if dcT is None else dcT)
    dy = np.zeros((*x.shape[:2], P), x.dtype) if dy is None else dy
    total = [None if w is None else np.zeros_like(w) for w in weights]
    n = np.full(B, T) if lengths is None else np.asarray(lengths)
    for b in range(B):
        steps = np.arange(n[b])[::-1] if reverse else np.arange(n[b])
        at = (b, steps) if batch_first else (steps, b)
        dx[at], dh0[b], dc0[b], grads = sample(x[at], h0[b], c0[b], dy[at], dh0[b], dc0[b], *weights)
        for t, g in zip(total, grads):
            if t is not None:
                t += g
    return dx, dh0, dc0, *total


def lstm_backward(
    dy, dhT, dcT, x, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None,
    lengths=None, reverse=False, batch_first=False,
):  # fmt: skip
    weights = (w_ih, w_hh, b_ih, b_hh, w_hr)
    width = w_ih.shape[0] // 4
    return _back(_lstm_sample, dy, dhT, dcT, x, h0, c0, weights, width, lengths, reverse, batch_first)


def gru_backward(
    dy, dhT, x, h0, w_ih, w_hh, b_ih=None, b_hh=None, lengths=None, reverse=False, batch_first=False
):
    weights, H = (w_ih, w_hh, b_ih, b_hh, None), w_hh.shape[1]
    g = _back(_gru_sample, dy, dhT, None, x, h0, None, weights, H, lengths, reverse, batch_first)
    return (*g[:2], *g[3:7])


def rnn_backward(
    dy, dhT, x, h0, w_ih, w_hh, b_ih=None, b_hh=None, act="tanh",
    lengths=None, reverse=False, batch_first=False,
):  # fmt: skip
    weights, H = (w_ih, w_hh, b_ih, b_hh, None), w_hh.shape[1]
    g = _back(_rnn_sample(act), dy, dhT, None, x, h0, None, weights, H, lengths, reverse, batch_first)
    return (*g[:2], *g[3:7])


def _cell(backward):
    def run(*args):
        at = 2 if backward is lstm_backward else 1
        args = [*args[:at], args[at][None], *args[at + 1 :]]
        dx, *rest = backward(None, *args)
        return (dx[0], *rest[: 6 if backward is lstm_backward else 5])

    return run


lstm_cell_backward, gru_cell_backward, rnn_cell_backward = (
    _cell(f) for f in (lstm_backward, gru_backward, rnn_backward)
)
