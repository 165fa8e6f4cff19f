"""scaled_dot_product_attention on one tiled kernel: memory linear in the lengths, forward and backward.

A. Vaswani et al.: Attention is all you need (NeurIPS 2017); T. Dao: FlashAttention-2 (2023); J. Ainslie et
al.: GQA (EMNLP 2023).
"""

from __future__ import annotations

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.random import next_philox
from dlcore.tensor import Tensor

__all__ = ["scaled_dot_product_attention"]

_OP = "scaled_dot_product_attention"


def _repeat(x: Tensor, heads: int) -> Tensor:
    """Each of the heads of (..., H, T, D) heads / H times."""
    *lead, h, t, d = x.shape
    return x.unsqueeze(-3).expand(*lead, h, heads // h, t, d).reshape(*lead, heads, t, d)


def _sum_to(g: _C.Array | None, x: Tensor) -> _C.Array | None:
    return g if g is None or g.shape == x.shape else _C.sum_to(g, x.shape)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    rng: object = None,
) -> Tensor:
    """y = dropout(softmax(scale Q Kᵀ + M)) V, with scale = 1 / √E unless given.

    query (..., L, E), key (..., S, E), value (..., S, Ev) -> (..., L, Ev); float32 or float64, leading axes
    broadcast. `attn_mask` broadcasts to (..., L, S): boolean, True where a query attends to a key, or
    floating and added, in which case it has a gradient. `is_causal` lets query i see the keys j <= i. A query
    that sees no key gives 0. With `enable_gqa` query is (..., Hq, L, E), and its head h uses head
    h // (Hq / H) of key and value (..., H, S, E).

    Dropout is applied whenever `dropout_p` > 0, as in torch; `rng` as in `dropout`.

    Raises ValueError for shapes that do not match, for a mask beside `is_causal` and for a probability
    outside [0, 1]; TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> q = dlcore.zeros(1, 2, 4)
    >>> v = dlcore.tensor([[[1.0], [3.0]]])
    >>> dlcore.functional.scaled_dot_product_attention(q, q, v, is_causal=True).tolist()
    [[[1.0], [2.0]]]
    """
    if attn_mask is not None:
        if is_causal:
            raise ValueError(f"{_OP}: attn_mask must be None where is_causal=True")
        if attn_mask.ndim < 2:
            raise ValueError(
                f"{_OP}: attn_mask must have at least 2 dimensions, got attn_mask={attn_mask.shape}"
            )
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(f"{_OP}: dropout_p must be a probability between 0 and 1, got {dropout_p}")
    if enable_gqa and min(query.ndim, key.ndim, value.ndim) >= 3 and key.shape[-3] != value.shape[-3]:
        heads = query.shape[-3]
        if heads % max(1, key.shape[-3]) or heads % max(1, value.shape[-3]):
            raise ValueError(
                f"{_OP}: the heads of key and value must divide those of query, "
                f"got query={query.shape}, key={key.shape}, value={value.shape}"
            )
        key, value = _repeat(key, heads), _repeat(value, heads)
    return attention(
        query, key, value, attn_mask, None, is_causal, scale, dropout_p, enable_gqa=enable_gqa, rng=rng
    )


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    *,
    enable_gqa: bool = False,
    rng: object = None,
) -> Tensor:
    """All that the kernel takes at once: a mask, added or boolean, beside `is_causal` and `lengths` (B,), the
    number of keys that each sample has, so that a bias beside padding needs no mask a sample.
    """
    seed, offset = next_philox(rng) if dropout_p > 0 else (0, 0)
    q, k, v = query.array, key.array, value.array
    m = None if mask is None else mask.array
    n = None if lengths is None else lengths.array
    options = (is_causal, scale, dropout_p, seed, offset, enable_gqa)
    y, stats = _C.attention(q, k, v, m, n, *options)

    def attention_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        needs = (*needs, False)[:4]
        grads = _C.attention_backward(g, q, k, v, y, stats, needs, m, n, *options)
        return tuple([_sum_to(d, x) for d, x in zip(grads, inputs)])

    inputs: tuple[Tensor, ...] = (query, key, value)
    if mask is not None and mask.dtype != np.bool_:
        inputs = (*inputs, mask)
    return record(y, inputs, attention_backward)
