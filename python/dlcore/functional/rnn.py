"""Recurrent layers and cells: whole sequences, one or both directions, one kernel call a layer.

S. Hochreiter, J. Schmidhuber: Long short-term memory (Neural Computation, 1997); F. Gers, J. Schmidhuber,
F. Cummins: Learning to forget (2000); K. Cho et al.: Learning phrase representations using RNN
encoder-decoder (EMNLP 2014), in the variant that applies the reset gate after the recurrent product;
H. Sak, A. Senior, F. Beaufays: LSTM recurrent neural network architectures (2014), for the projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.autograd import is_grad_enabled, record
from dlcore.tensor import Tensor

__all__ = ["bidirectional", "gru_cell", "lstm_cell", "recurrent", "rnn_relu_cell", "rnn_tanh_cell"]

Kind = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
Lengths = Tensor | npt.ArrayLike
States = tuple[Tensor, Tensor, Tensor | None]
Weights = Sequence[Tensor | None]  # w_ih, w_hh, b_ih, b_hh, w_hr


def take_rows(x: Tensor, rows: npt.NDArray[np.int64]) -> Tensor:
    """y[i] = x[rows[i]] over the rows of x (R, C, ...) counted along its two first axes, no row twice."""
    shape, index = x.shape, _C.from_numpy(rows)
    flat = (shape[0] * shape[1], *shape[2:])

    def take_rows_backward(g: _C.Array, needs: tuple[bool, ...]) -> list[_C.Array | None]:
        dx = _C.full(flat, 0.0, g.dtype, g.device)
        _C.put_into(dx, 0, index, g, False)
        return [_C.reshape(dx, shape)]

    return record(_C.take(_C.reshape(x.array, flat), 0, index), (x,), take_rows_backward)


def put_rows(x: Tensor, rows: npt.NDArray[np.int64], lead: tuple[int, int], value: float) -> Tensor:
    """y (*lead, ...) with y's row rows[i] = x[i], no row twice, and `value` elsewhere."""
    index, rest = _C.from_numpy(rows), x.shape[1:]
    y = _C.full((lead[0] * lead[1], *rest), value, x.dtype, x.device)
    _C.put_into(y, 0, index, x.array, False)

    def put_rows_backward(g: _C.Array, needs: tuple[bool, ...]) -> list[_C.Array | None]:
        return [_C.take(_C.reshape(g, (lead[0] * lead[1], *rest)), 0, index)]

    return record(_C.reshape(y, (*lead, *rest)), (x,), put_rows_backward)


class Packing:
    """Samples of several lengths as packed rows: sorted by length, the longest first, step after step.

    `rows` says where each packed row stands among the T B padded ones, `batch_sizes` how many samples each
    step has, `order` which sample comes in which place.
    """

    def __init__(self, lengths: npt.NDArray[np.int64], T: int, B: int, batch_first: bool) -> None:
        order = np.argsort(-lengths, kind="stable")
        t, b = np.nonzero(lengths[order] > np.arange(int(lengths.max(initial=0)))[:, None])
        place = order[b]
        self.rows = _C.from_numpy(place * T + t if batch_first else t * B + place)
        self.batch_sizes = _C.from_numpy(np.bincount(t).astype(np.int64))
        self.moved = bool((order[1:] < order[:-1]).any())
        self.order = _C.from_numpy(order)
        self.inverse = _C.from_numpy(np.argsort(order))
        self.padded = T * B

    def pack(self, x: _C.Array) -> _C.Array:
        return _C.take(_C.reshape(x, (self.padded, x.shape[-1])), 0, self.rows)

    def unpack(self, rows: _C.Array, shape: tuple[int, ...]) -> _C.Array:
        y = _C.full((self.padded, rows.shape[-1]), 0.0, rows.dtype, rows.device)
        _C.put_into(y, 0, self.rows, rows, False)
        return _C.reshape(y, shape)

    def sort(self, state: _C.Array | None) -> _C.Array | None:
        return _C.take(state, 1, self.order) if self.moved and state is not None else state

    def unsort(self, state: _C.Array | None) -> _C.Array | None:
        return _C.take(state, 1, self.inverse) if self.moved and state is not None else state


def _packing(op: str, lengths: Any, T: int, B: int, batch_first: bool) -> Packing | None:
    """None where every sample has all T steps."""
    n = np.asarray(_C.to_device(lengths.array, "cpu").numpy() if isinstance(lengths, Tensor) else lengths)
    if n.dtype.kind not in "iu" and n.size:
        raise TypeError(f"{op}: lengths must be integers, got lengths={n.shape} {n.dtype}")
    n = n.astype(np.int64)
    if n.shape != (B,):
        raise ValueError(f"{op}: lengths must have shape ({B},), one a sample, got lengths={n.shape}")
    if n.size and (n.min() < 0 or n.max() > T):
        raise ValueError(
            f"{op}: lengths must lie in [0, {T}], got {int(n.min() if n.min() < 0 else n.max())}"
        )
    return None if (n == T).all() else Packing(n, T, B, batch_first)


class Recurrence:
    """One layer's call on Arrays: the forward when made, `backward` afterwards.

    `x` is (T, B, I), (B, T, I) with `batch_first`, or packed rows (N, I) with `batch_sizes`; `h0`
    (D, B, P) and `c0` (D, B, H), zeros where None; `weights` five a direction. Results: `y`, `hT`, `cT`.
    """

    def __init__(
        self,
        kind: Kind,
        x: _C.Array,
        h0: _C.Array | None,
        c0: _C.Array | None,
        weights: Sequence[_C.Array | None],
        *,
        batch_sizes: _C.Array | None = None,
        lengths: Any = None,
        batch_first: bool = False,
        reverse: bool = False,
        keep: bool = True,
    ) -> None:
        self.kind, self.batch_first, self.reverse = kind, batch_first, reverse
        self.weights = list(weights)
        self.packing: Packing | None = None
        self.x_shape = x.shape
        B = self._batch(x, batch_sizes)
        if x.ndim == 3 and lengths is not None:
            self.packing = _packing(kind, lengths, x.shape[int(batch_first)], B, batch_first)
        if h0 is None or (c0 is None and kind == "lstm"):
            given = [h0, c0]
            h0, c0 = [s if s is not None else self._zeros(x, B, i) for i, s in enumerate(given)]
        if self.packing is not None:
            x, h0, c0 = self.packing.pack(x), self.packing.sort(h0), self.packing.sort(c0)
            batch_sizes = self.packing.batch_sizes
        self.batch_sizes = batch_sizes
        self.x, self.h0, self.c0 = x, h0, c0
        assert h0 is not None
        self.rows, hT, cT, self.gates, self.cells = _C.rnn(
            kind, x, h0, c0, self.weights, batch_sizes, batch_first, reverse, keep
        )
        self.y, self.hT, self.cT = self.rows, hT, cT
        if self.packing is not None:
            self.y = self.packing.unpack(self.rows, (*self.x_shape[:-1], self.rows.shape[-1]))
            sorted_hT = self.packing.unsort(hT)
            assert sorted_hT is not None
            self.hT, self.cT = sorted_hT, self.packing.unsort(cT)

    def _batch(self, x: _C.Array, batch_sizes: _C.Array | None) -> int:
        if batch_sizes is not None:
            return int(batch_sizes.numpy()[0]) if batch_sizes.size else 0
        if x.ndim != 3:
            layout = "(B, T, I)" if self.batch_first else "(T, B, I)"
            raise ValueError(f"{self.kind}: x must be {layout}, got x={x.shape} {x.dtype} {x.device}")
        return x.shape[1 - int(self.batch_first)]

    def _zeros(self, x: _C.Array, B: int, cell: int) -> _C.Array | None:
        """States to begin with, as wide as the weights say."""
        w_hh, w_hr = self.weights[1], self.weights[4]
        if w_hh is None or w_hh.ndim != 2 or (cell and self.kind != "lstm"):
            return None
        width = w_hh.shape[1] if not cell or w_hr is None else w_hr.shape[-1]
        return _C.full((len(self.weights) // 5, B, width), 0.0, x.dtype, x.device)

    def backward(
        self,
        dy: _C.Array | None,
        dhT: _C.Array | None,
        dcT: _C.Array | None,
        needs: Sequence[bool],
    ) -> list[_C.Array | None]:
        """[dx, dh0, dc0, the weights' gradients]; `needs` asks for x's and each weight's."""
        p = self.packing
        if p is not None:
            dy = None if dy is None else p.pack(dy)
            dhT, dcT = p.sort(dhT), p.sort(dcT)
        assert self.h0 is not None
        dx, dh0, dc0, *dw = _C.rnn_backward(
            self.kind, dy, dhT, dcT, self.x, self.h0, self.c0, self.rows, self.gates, self.cells,
            self.weights, self.batch_sizes, self.batch_first, self.reverse, list(needs),
        )  # fmt: skip
        if p is not None:
            dx = None if dx is None else p.unpack(dx, self.x_shape)
            dh0, dc0 = p.unsort(dh0), p.unsort(dc0)
        return [dx, dh0, dc0, *dw]


def layer(
    kind: Kind,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: Weights,
    *,
    batch_sizes: Tensor | None = None,
    lengths: Any = None,
    batch_first: bool = False,
    reverse: bool = False,
) -> States:
    """One layer of len(weights) / 5 directions on the tape; states (D, B, ·). Arguments as Recurrence."""
    given = [t for t in (x, h0, c0, *weights) if t is not None]
    keep = is_grad_enabled() and any(t.requires_grad for t in given)
    call = Recurrence(
        kind,
        x.array,
        None if h0 is None else h0.array,
        None if c0 is None else c0.array,
        [None if w is None else w.array for w in weights],
        batch_sizes=None if batch_sizes is None else batch_sizes.array,
        lengths=lengths,
        batch_first=batch_first,
        reverse=reverse,
        keep=keep,
    )
    out = (call.y, call.hT) if call.cT is None else (call.y, call.hT, call.cT)
    if not keep:
        return Tensor(call.y), Tensor(call.hT), None if call.cT is None else Tensor(call.cT)
    wanted = [t is not None for t in (x, h0, c0, *weights)]

    def recurrent_backward(*args: Any) -> list[_C.Array | None]:
        *grads, needs = args
        asked = iter(needs)
        full = [next(asked) if w else False for w in wanted]
        dy, dhT, dcT = grads if len(grads) == 3 else (*grads, None)
        found = call.backward(dy, dhT, dcT, [full[0], *full[3:]])
        return [g for g, w in zip(found, wanted) if w]

    y, hT, *cT = record(out, tuple(given), recurrent_backward)
    return y, hT, cT[0] if cT else None


def _first(state: Tensor | None) -> Tensor | None:
    """A state with an axis of size 1 in front."""
    return None if state is None else state.unsqueeze(0)


def recurrent(
    kind: Kind,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    w_hr: Tensor | None = None,
    *,
    lengths: Lengths | None = None,
    reverse: bool = False,
    batch_first: bool = False,
) -> States:
    """(y, hT, cT): a whole sequence through one direction of a recurrent layer; cT is None but for "lstm".

    lstm:     i, f, o = σ(·), g = tanh(·) of W_ih x + b_ih + W_hh h + b_hh; c' = f c + i g; h' = o tanh c'
    gru:      r, z = σ(·); n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h
    rnn_tanh, rnn_relu: h' = tanh(·), relu(·)

    x (T, B, I), or (B, T, I) with `batch_first`; h0 (B, P) and c0 (B, H) are zeros where None; w_ih (G H, I),
    w_hh (G H, P), b_ih and b_hh (G H,), each optional, with the G gates in the order i, f, g, o (lstm) or
    r, z, n (gru); w_hr (P, H), lstm only, projects h' (P = H without). y (T, B, P) lies as x does.

    `lengths` (B,), integers from 0 to T in any order: beyond a sample's length nothing is read, y is 0 and
    the states stay as they are, so hT and cT are those of its last step. With `reverse` each sample runs from
    its own last step to its first; y stays in x's order. Everything floating is differentiable.

    Raises ValueError for shapes that do not match and lengths out of range, TypeError for mixed dtypes.

    >>> import dlcore
    >>> x, one = dlcore.ones(2, 1, 1), dlcore.ones(1, 1)
    >>> y, hT, _ = dlcore.functional.recurrent("rnn_relu", x, None, None, one, one)
    >>> y.tolist(), hT.tolist()
    ([[[1.0]], [[2.0]]], [[2.0]])
    """
    weights = (w_ih, w_hh, b_ih, b_hh, w_hr)
    y, hT, cT = layer(
        kind, x, _first(h0), _first(c0), weights, lengths=lengths, batch_first=batch_first, reverse=reverse
    )
    return y, hT.squeeze(0), None if cT is None else cT.squeeze(0)


def bidirectional(
    kind: Kind,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    forward: Weights,
    backward: Weights,
    *,
    lengths: Lengths | None = None,
    batch_first: bool = False,
) -> States:
    """(y, hT, cT) of both directions in one call: y (T, B, 2 P) has the forward direction's columns first.

    `forward` and `backward` are (w_ih, w_hh, b_ih, b_hh, w_hr), of which the last three may be None or left
    out; h0 and hT (2, B, P), c0 and cT (2, B, H). The rest as `recurrent`.

    >>> import dlcore
    >>> x, one = dlcore.ones(2, 1, 1), dlcore.ones(1, 1)
    >>> w = (one, one, None, None)
    >>> dlcore.functional.bidirectional("rnn_relu", x, None, None, w, w)[0].tolist()
    [[[1.0, 2.0]], [[2.0, 1.0]]]
    """
    if not 2 <= len(forward) <= 5 or not 2 <= len(backward) <= 5:
        raise ValueError("bidirectional: each direction's weights must be (w_ih, w_hh, b_ih, b_hh, w_hr)")
    weights = [*forward, *[None] * (5 - len(forward)), *backward, *[None] * (5 - len(backward))]
    return layer(kind, x, h0, c0, weights, lengths=lengths, batch_first=batch_first)


def _cell(
    kind: Kind, x: Tensor, h: Tensor | None, c: Tensor | None, weights: tuple[Tensor | None, ...]
) -> tuple[Tensor, Tensor | None]:
    """A sequence of one step; x (B, I) or (I,), states (B, H) or (H,) or None."""
    single = x.ndim == 1
    states = [s for s in (h, c) if s is not None]
    if x.ndim not in (1, 2) or any(s.ndim != x.ndim for s in states):
        raise ValueError(
            f"{kind}_cell: x and its states must be (B, ·), or all unbatched, "
            f"got x={x.shape}, states={[s.shape for s in states]}"
        )
    if single:
        x, h, c = x.unsqueeze(0), _first(h), _first(c)
    _, hT, cT = layer(kind, x.unsqueeze(0), _first(h), _first(c), (*weights, None))
    h, c = hT.squeeze(0), None if cT is None else cT.squeeze(0)
    return (h.squeeze(0), None if c is None else c.squeeze(0)) if single else (h, c)


def lstm_cell(
    input: Tensor,
    hx: tuple[Tensor, Tensor] | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(h', c') of one LSTM step; input (B, I) or (I,), hx a pair of (B, H) or (H,), or None for
    zeros. Formulas: `recurrent`.

    >>> import dlcore
    >>> w, zero = dlcore.zeros(4, 1), dlcore.zeros(1, 1)
    >>> h, c = dlcore.functional.lstm_cell(zero, (zero, zero + 2), w, w)
    >>> c.item()
    1.0
    """
    h0, c0 = (None, None) if hx is None else hx
    h, c = _cell("lstm", input, h0, c0, (w_ih, w_hh, b_ih, b_hh))
    assert c is not None
    return h, c


def gru_cell(
    input: Tensor,
    hx: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' of one GRU step; input (B, I) or (I,), hx (B, H), (H,) or None. Formulas: `recurrent`."""
    return _cell("gru", input, hx, None, (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh); input (B, I) or (I,), hx (B, H), (H,) or None."""
    return _cell("rnn_tanh", input, hx, None, (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = relu(W_ih x + b_ih + W_hh h + b_hh); input (B, I) or (I,), hx (B, H), (H,) or None."""
    return _cell("rnn_relu", input, hx, None, (w_ih, w_hh, b_ih, b_hh))[0]
