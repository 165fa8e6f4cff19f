"""Whole sequences of LSTM, GRU and SimpleRNN through one kernel, where their form is the usual one."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras import activations
from dlcore.keras.layers.base import to_tensor
from dlcore.keras.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from dlcore.tensor import Tensor

__all__ = ["fused"]


def _kind(cell: Any) -> str | None:
    """The kernel that computes this cell, or None."""
    gated = (
        getattr(cell, "recurrent_activation", None) is activations.sigmoid
        and cell.activation is activations.tanh
    )
    if type(cell) is LSTMCell:
        return "lstm" if gated else None
    if type(cell) is GRUCell:
        return "gru" if gated and cell.reset_after else None
    if type(cell) is SimpleRNNCell:
        return {activations.tanh: "rnn_tanh", activations.relu: "rnn_relu"}.get(cell.activation)
    return None


def _lengths(mask: Tensor) -> Any:
    """How many first steps of each sample count, or None where a mask has holes or begins with one."""
    m = mask.detach().numpy()
    n = m.sum(1)
    return n.astype(np.int64) if bool((m == (np.arange(m.shape[1]) < n[:, None])).all()) else None


def _reset_first(w: Any, units: int, axis: int) -> Any:
    """Keras' gates z, r, h in the kernel's order r, z, h."""
    z, r, h = F.split(w, units, axis)
    return F.cat([r, z, h], axis)


def fused(layer: Any, x: Tensor, states: Any, mask: Any, training: bool) -> Any:
    """(last output, all outputs or None, states), or None where the kernel does not do what is asked."""
    cell = layer.cell
    kind = _kind(cell)
    if kind is None or (training and cell.recurrent_dropout) or any(s.ndim != 2 for s in states):
        return None
    lengths = None
    if mask is not None:
        lengths = _lengths(mask)
        if lengths is None:
            return None
    if training and 0 < cell.dropout < 1:
        drawn = cell.get_dropout_mask(x[:, 0])
        if len(drawn) > 1:
            return None
        x = x * drawn[0].unsqueeze(1)
    w, u, b = cell.kernel, cell.recurrent_kernel, cell.bias
    b2 = None
    if kind == "gru":
        w, u = _reset_first(w, cell.units, 1), _reset_first(u, cell.units, 1)
        if b is not None:
            both = _reset_first(b, cell.units, 1)
            b, b2 = both[0], both[1]
    h0, c0 = (states[0], states[1]) if kind == "lstm" else (states[0], None)
    y, h, c = F.recurrent(
        kind,  # type: ignore[arg-type]
        x,
        h0,
        c0,
        w.transpose(0, 1),
        u.transpose(0, 1),
        b,
        b2,
        lengths=None if lengths is None else to_tensor(lengths),
        reverse=layer.go_backwards,
        batch_first=True,
    )
    outputs = None
    last = h
    if layer.return_sequences:
        outputs = F.flip(y, 1) if layer.go_backwards else y
        if lengths is not None and not layer.zero_output_for_mask:
            # A masked step gives what the last one gave: before the first, the initial state.
            kept = F.flip(mask, 1) if layer.go_backwards else mask
            outputs = F.where(kept.unsqueeze(2), outputs, (h0 if layer.go_backwards else h).unsqueeze(1))
    if lengths is not None and layer.zero_output_for_mask:
        end = mask[:, 0] if layer.go_backwards else mask[:, -1]
        last = F.where(end.unsqueeze(1), h, 0.0)
    return last, outputs, [h] if c is None else [h, c]
