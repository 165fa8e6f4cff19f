"""Recurrent layers and cells on ndarrays: one direction of one layer, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from dlcore.functional.rnn import Kind, Recurrence
from dlcore.kernels._convert import NDArray, arr, opt, out

__all__ = [
    "gru",
    "gru_backward",
    "gru_cell",
    "gru_cell_backward",
    "lstm",
    "lstm_backward",
    "lstm_cell",
    "lstm_cell_backward",
    "rnn",
    "rnn_backward",
    "rnn_cell",
    "rnn_cell_backward",
]

Optional = npt.ArrayLike | None
Gradients = tuple[NDArray | None, ...]


def _state(a: Optional) -> Any:
    s = opt(a)
    return None if s is None else arr(s.numpy()[None])


def _run(
    kind: Kind, x: npt.ArrayLike, h0: Optional, c0: Optional, weights: tuple[Optional, ...], **how: Any
) -> Recurrence:
    return Recurrence(kind, arr(x), _state(h0), _state(c0), [opt(w) for w in weights], **how)


def _back(
    kind: Kind,
    dy: Optional,
    dhT: Optional,
    dcT: Optional,
    x: npt.ArrayLike,
    h0: Optional,
    c0: Optional,
    weights: tuple[Optional, ...],
    call: Recurrence | None,
    **how: Any,
) -> Gradients:
    if call is None:
        call = _run(kind, x, h0, c0, weights, **how)
    grads = call.backward(opt(dy), _state(dhT), _state(dcT), [True] * 6)
    arrays = [None if g is None else out(g) for g in grads]
    arrays[1:3] = [None if a is None else a[0] for a in arrays[1:3]]
    return tuple(arrays)


def lstm(
    x: npt.ArrayLike,
    h0: Optional,
    c0: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    w_hr: Optional = None,
    lengths: Optional = None,
    reverse: bool = False,
    batch_first: bool = False,
) -> tuple[NDArray, NDArray, NDArray]:
    """(y, hT, cT): i, f, o = σ(·), g = tanh(·); c' = f c + i g; h' = W_hr (o tanh c').

    x (T, B, I), h0 (B, P), c0 (B, H), w_ih (4 H, I), w_hh (4 H, P), w_hr (P, H), lengths (B,). As
    functional.recurrent.

    >>> import numpy as np, dlcore
    >>> y, hT, cT = dlcore.kernels.lstm(np.ones((5, 2, 3)), None, None, np.ones((16, 3)), np.ones((16, 4)))
    >>> y.shape, hT.shape, cT.shape
    ((5, 2, 4), (2, 4), (2, 4))
    """
    r = _run(
        "lstm", x, h0, c0, (w_ih, w_hh, b_ih, b_hh, w_hr),
        lengths=lengths, reverse=reverse, batch_first=batch_first, keep=False,
    )  # fmt: skip
    assert r.cT is not None
    return out(r.y), out(r.hT)[0], out(r.cT)[0]


def gru(
    x: npt.ArrayLike,
    h0: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    lengths: Optional = None,
    reverse: bool = False,
    batch_first: bool = False,
) -> tuple[NDArray, NDArray]:
    """(y, hT): r, z = σ(·); n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h.

    x (T, B, I), h0 (B, H), w_ih (3 H, I), w_hh (3 H, H), lengths (B,). As functional.recurrent.
    """
    r = _run(
        "gru", x, h0, None, (w_ih, w_hh, b_ih, b_hh, None),
        lengths=lengths, reverse=reverse, batch_first=batch_first, keep=False,
    )  # fmt: skip
    return out(r.y), out(r.hT)[0]


def _rnn_kind(nonlinearity: str) -> Kind:
    if nonlinearity == "tanh":
        return "rnn_tanh"
    if nonlinearity == "relu":
        return "rnn_relu"
    raise ValueError(f"rnn: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")


def rnn(
    x: npt.ArrayLike,
    h0: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    nonlinearity: str = "tanh",
    lengths: Optional = None,
    reverse: bool = False,
    batch_first: bool = False,
) -> tuple[NDArray, NDArray]:
    """(y, hT): h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu. As functional.recurrent.

    x (T, B, I), h0 (B, H), w_ih (H, I), w_hh (H, H), lengths (B,).
    """
    r = _run(
        _rnn_kind(nonlinearity), x, h0, None, (w_ih, w_hh, b_ih, b_hh, None),
        lengths=lengths, reverse=reverse, batch_first=batch_first, keep=False,
    )  # fmt: skip
    return out(r.y), out(r.hT)[0]


def lstm_backward(
    dy: Optional,
    dhT: Optional,
    dcT: Optional,
    x: npt.ArrayLike,
    h0: Optional,
    c0: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    w_hr: Optional = None,
    lengths: Optional = None,
    reverse: bool = False,
    batch_first: bool = False,
    *,
    call: Recurrence | None = None,
) -> Gradients:
    """(dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh, dw_hr) from those of y, hT and cT, each None for zeros.

    The forward runs again, unless `call` is the `functional.rnn.Recurrence` that did it.
    """
    return _back(
        "lstm", dy, dhT, dcT, x, h0, c0, (w_ih, w_hh, b_ih, b_hh, w_hr), call,
        lengths=lengths, reverse=reverse, batch_first=batch_first,
    )  # fmt: skip


def gru_backward(
    dy: Optional,
    dhT: Optional,
    x: npt.ArrayLike,
    h0: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    lengths: Optional = None,
    reverse: bool = False,
    batch_first: bool = False,
    *,
    call: Recurrence | None = None,
) -> Gradients:
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh) from the gradients of y and hT; as lstm_backward."""
    g = _back(
        "gru", dy, dhT, None, x, h0, None, (w_ih, w_hh, b_ih, b_hh, None), call,
        lengths=lengths, reverse=reverse, batch_first=batch_first,
    )  # fmt: skip
    return (*g[:2], *g[3:7])


def rnn_backward(
    dy: Optional,
    dhT: Optional,
    x: npt.ArrayLike,
    h0: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    nonlinearity: str = "tanh",
    lengths: Optional = None,
    reverse: bool = False,
    batch_first: bool = False,
    *,
    call: Recurrence | None = None,
) -> Gradients:
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh) from the gradients of y and hT; as lstm_backward."""
    g = _back(
        _rnn_kind(nonlinearity), dy, dhT, None, x, h0, None, (w_ih, w_hh, b_ih, b_hh, None), call,
        lengths=lengths, reverse=reverse, batch_first=batch_first,
    )  # fmt: skip
    return (*g[:2], *g[3:7])


def _step(x: npt.ArrayLike) -> NDArray:
    """(B, I) as a sequence of one step."""
    return out(arr(x))[None]


def lstm_cell(
    x: npt.ArrayLike,
    h: Optional,
    c: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
) -> tuple[NDArray, NDArray]:
    """(h', c') of one step: x (B, I), h and c (B, H); formulas and weights as lstm.

    >>> import numpy as np, dlcore
    >>> w = np.zeros((4, 1), np.float32)
    >>> dlcore.kernels.lstm_cell([[1.0]], [[0.0]], [[2.0]], w, w)[1].item()
    1.0
    """
    return lstm(_step(x), h, c, w_ih, w_hh, b_ih, b_hh)[1:]


def gru_cell(
    x: npt.ArrayLike,
    h: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
) -> NDArray:
    """h' of one step: x (B, I), h (B, H); formulas and weights as gru."""
    return gru(_step(x), h, w_ih, w_hh, b_ih, b_hh)[1]


def rnn_cell(
    x: npt.ArrayLike,
    h: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    nonlinearity: str = "tanh",
) -> NDArray:
    """h' of one step: x (B, I), h (B, H); formula and weights as rnn."""
    return rnn(_step(x), h, w_ih, w_hh, b_ih, b_hh, nonlinearity)[1]


def _first_step(gradients: Gradients) -> Gradients:
    dx, *rest = gradients
    return (None if dx is None else dx[0], *rest)


def lstm_cell_backward(
    dh: Optional,
    dc: Optional,
    x: npt.ArrayLike,
    h: Optional,
    c: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
) -> Gradients:
    """(dx, dh, dc, dw_ih, dw_hh, db_ih, db_hh) of lstm_cell from the gradients of h' and c'."""
    return _first_step(lstm_backward(None, dh, dc, _step(x), h, c, w_ih, w_hh, b_ih, b_hh)[:7])


def gru_cell_backward(
    dh: Optional,
    x: npt.ArrayLike,
    h: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
) -> Gradients:
    """(dx, dh, dw_ih, dw_hh, db_ih, db_hh) of gru_cell from the gradient of h'."""
    return _first_step(gru_backward(None, dh, _step(x), h, w_ih, w_hh, b_ih, b_hh))


def rnn_cell_backward(
    dh: Optional,
    x: npt.ArrayLike,
    h: Optional,
    w_ih: npt.ArrayLike,
    w_hh: npt.ArrayLike,
    b_ih: Optional = None,
    b_hh: Optional = None,
    nonlinearity: str = "tanh",
) -> Gradients:
    """(dx, dh, dw_ih, dw_hh, db_ih, db_hh) of rnn_cell from the gradient of h'."""
    return _first_step(rnn_backward(None, dh, _step(x), h, w_ih, w_hh, b_ih, b_hh, nonlinearity))
