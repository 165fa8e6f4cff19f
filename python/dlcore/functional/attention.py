"""scaled_dot_product_attention.

A. Vaswani et al.: Attention is all you need (NeurIPS 2017).
"""

from __future__ import annotations

import math

import numpy as np

from dlcore.functional.dropout import dropout
from dlcore.functional.matmul import matmul
from dlcore.functional.softmax import softmax
from dlcore.tensor import Tensor, from_numpy

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """y = dropout(softmax(scale Q Kᵀ + M)) V, M being `attn_mask` (-inf where a boolean one is False).

    >>> import dlcore
    >>> q = dlcore.zeros(1, 2, 4)
    >>> dlcore.functional.scaled_dot_product_attention(q, q, dlcore.ones(1, 2, 3)).shape
    (1, 2, 3)
    """
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError("scaled_dot_product_attention: query, key and value must have at least 2 dimensions")
    if is_causal and attn_mask is not None:
        raise ValueError("scaled_dot_product_attention: attn_mask must be None where is_causal")
    if enable_gqa:
        key, value = (
            x.unsqueeze(-3).expand(*x.shape[:-2], query.shape[-3] // x.shape[-3], *x.shape[-2:])
            .reshape(*x.shape[:-3], query.shape[-3], *x.shape[-2:])
            for x in (key, value)
        )  # fmt: skip
    s = matmul(query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale), key.transpose(-2, -1))
    if is_causal:
        attn_mask = from_numpy(np.tri(*s.shape[-2:], dtype=np.bool_))
    if attn_mask is not None:
        s = s.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == np.bool_ else s + attn_mask
    dead = s.detach().amax(-1, keepdim=True) == -math.inf
    p = softmax(s.masked_fill(dead, 0.0), -1).masked_fill(dead, 0.0)
    return matmul(dropout(p, dropout_p), value)
