"""Scaled dot-product attention on ndarrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, opt, out

__all__ = ["attention", "attention_backward"]


def _heads(x: _C.Array, layout: str) -> _C.Array:
    """x as (B, H, T, D), or of fewer axes."""
    if layout not in ("bhtd", "bthd"):
        raise ValueError(f"attention: layout must be 'bhtd' or 'bthd', got {layout!r}")
    return _C.transpose(x, -2, -3) if layout == "bthd" and x.ndim >= 3 else x


def attention(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    return_lse: bool = False,
    layout: str = "bhtd",
) -> Any:
    """o = dropout(softmax(scale q kᵀ + mask)) v, scale = 1 / √D unless given; memory linear in Tq and Tk.

    q (B, Hq, Tq, D), k (B, H, Tk, D), v (B, H, Tk, Dv) -> (B, Hq, Tq, Dv), Hq a multiple of H: head h of q
    uses head h // (Hq / H). Fewer or more leading axes will do; with `layout` "bthd" the heads come after the
    time, in the result too. `mask` broadcasts to (B, Hq, Tq, Tk): boolean, True where attended, or floating,
    added. `lengths` (B,): the keys beyond are not read. `causal`: query i sees the keys j <= i. A query that
    sees none gives 0. Dropout's mask is a function of (seed, offset, element). With `return_lse` also
    log Σ e^score, (B, Hq, Tq).

    Raises ValueError for shapes that do not match, TypeError for mixed or integer dtypes.

    T. Dao: FlashAttention-2 (2023).

    >>> import numpy as np, dlcore
    >>> q = np.zeros((1, 1, 2, 4))
    >>> dlcore.kernels.attention(q, q, np.array([[[[1.0], [3.0]]]]), causal=True).ravel().tolist()
    [1.0, 2.0]
    """
    o, stats = _C.attention(
        _heads(arr(q), layout), _heads(arr(k), layout), _heads(arr(v), layout),
        opt(mask), opt(lengths), causal, scale, dropout, seed, offset, _grouped(q, k, layout),
    )  # fmt: skip
    y = out(_heads(o, layout))
    return (y, out(stats).sum(0)) if return_lse else y


def _grouped(q: npt.ArrayLike, k: npt.ArrayLike, layout: str) -> bool:
    axis = -3 if layout == "bhtd" else -2
    return np.ndim(q) >= 3 and np.ndim(k) >= 3 and np.shape(q)[axis] != np.shape(k)[axis]


def attention_backward(
    dout: npt.ArrayLike,
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    o: npt.ArrayLike,
    lse: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    layout: str = "bhtd",
) -> tuple[NDArray, ...]:
    """(dq, dk, dv), and dmask where the mask is floating, from attention's results o and lse.

    The attention weights are computed again: P = e^(scale q kᵀ + mask - lse), dS = P (dout vᵀ - Σ dout o),
    dq = scale dS k, dk = scale dSᵀ q, dv = Pᵀ dout, dmask = dS summed over broadcast axes. A row of scores
    beyond 1e7 (a mask of -1e9 all along it) leaves no room for log Σ in lse: its weights come out too large.
    """
    m = opt(mask)
    added = m is not None and m.dtype.kind == "f"
    top = np.asarray(lse)
    stats = arr(np.stack([top, np.zeros_like(top)]))
    grads = _C.attention_backward(
        _heads(arr(dout), layout), _heads(arr(q), layout), _heads(arr(k), layout), _heads(arr(v), layout),
        _heads(arr(o), layout), stats, [True, True, True, added],
        m, opt(lengths), causal, scale, dropout, seed, offset, _grouped(q, k, layout),
    )  # fmt: skip
    results = [out(_heads(g, layout)) for g in grads[:3] if g is not None]
    if grads[3] is not None:
        results.append(out(grads[3]))
    return tuple(results)
