"""Multi-head attention on heads that are already split, for the families of Transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.tensor import Tensor

__all__ = ["attend"]


def _hidden(seen: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(_C.clone(_C.from_numpy(~seen)))


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    is_causal: bool = False,
    dropout: float = 0.0,
    scale: float | None = None,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(scale Q Kᵀ + mask) V: query (B, H, L, D), key and value (B, H or fewer, S, D) -> (B, L, H D).

    The tiled kernel does it; only where the weights are asked for, (B, H, L, S), are they made.
    """
    B, H, L, D = query.shape
    if not need_weights:
        gqa = key.shape[1] != H
        y = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal, scale, gqa)
        return y.transpose(1, 2).reshape(B, L, H * D), None
    if key.shape[1] != H:
        groups = H // key.shape[1]
        key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    scores = query @ key.transpose(-1, -2)  # (B, H, L, S)
    scores = scores * (D**-0.5 if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(_hidden(np.tri(L, key.shape[2], dtype=bool)), float("-inf"))
    if mask is not None:
        if mask.dtype.kind == "f":
            scores = scores + mask
        else:
            scores = scores.masked_fill(_hidden(mask.numpy()), float(np.finfo(np.float32).min))
    weights = F.softmax(scores, -1)
    y = F.dropout(weights, dropout, dropout > 0) @ value
    return y.transpose(1, 2).reshape(B, L, H * D), weights
