"""Multi-head attention on packed projections: heads are views of one product, attention one kernel.

A. Vaswani et al.: Attention is all you need (NeurIPS 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = ["multi_head_attention_forward"]

_OP = "multi_head_attention_forward"
_Result = tuple[Tensor, Tensor | None]


def _fail(must: str, **got: Tensor | None) -> ValueError:
    shapes = ", ".join(f"{name}={None if t is None else t.shape}" for name, t in got.items())
    return ValueError(f"{_OP}: {must}, got {shapes}")


def _heads(y: Tensor, n: int, heads: int, batch_first: bool) -> tuple[Tensor, ...]:
    """(L, N, n E), or (N, L, n E), as n views (N, H, L, E / H). The backward writes each element once."""
    a, b, width = y.shape
    split = (a, b, n, heads, width // (n * heads))
    order = (2, 0, 3, 1, 4) if batch_first else (2, 1, 3, 0, 4)
    seen = _C.permute(_C.reshape(y.array, split), order)  # (n, N, H, L, D)

    def heads_backward(*args: Any) -> tuple[_C.Array]:
        grads: Sequence[_C.Array | None] = args[:-1]
        some = next(g for g in grads if g is not None)
        whole = None not in grads
        dy = (
            _C.empty(split, some.dtype, some.device)
            if whole
            else _C.full(split, 0.0, some.dtype, some.device)
        )
        to = _C.permute(dy, order)
        for i, g in enumerate(grads):
            if g is not None:
                _C.copy_into(_C.select(to, 0, i), g)
        return (_C.reshape(dy, (a, b, width)),)

    return record(tuple([_C.select(seen, 0, i) for i in range(n)]), (y,), heads_backward)


def _pieces(t: Tensor | None, sizes: Sequence[int]) -> Sequence[Tensor | None]:
    return [None] * len(sizes) if t is None else F.split(t, sizes)


def _project(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: Tensor | tuple[Tensor, Tensor, Tensor],
    bias: Tensor | None,
    heads: int,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """The heads of query, key, value: one product for inputs that are one tensor and share packed weights."""
    E = query.shape[-1]
    if isinstance(weights, tuple):
        groups = [(query, 1), (key, 1), (value, 1)]
        ws: Sequence[Tensor | None] = weights
    else:
        if key is not value:
            groups = [(query, 1), (key, 1), (value, 1)]
        else:
            groups = [(query, 3)] if query is key else [(query, 1), (key, 2)]
        ws = [weights] if len(groups) == 1 else _pieces(weights, [n * E for _, n in groups])
    bs = [bias] if len(groups) == 1 else _pieces(bias, [n * E for _, n in groups])
    result: tuple[Tensor, ...] = ()
    for (x, n), w, b in zip(groups, ws, bs):
        assert w is not None
        result += _heads(F.linear(x, w, b), n, heads, batch_first)
    return result


def _check_mask(name: str, mask: Tensor | None, query: Tensor) -> None:
    if mask is not None and mask.dtype not in (np.bool_, query.dtype):
        raise TypeError(
            f"{_OP}: only bool and floating types of {name} are supported, in query's dtype, "
            f"got {mask.dtype} beside {query.dtype}"
        )


def _added(mask: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """A boolean mask as what is added to scores: -inf where True."""
    if mask.dtype != np.bool_:
        return mask
    return Tensor(_C.full(mask.shape, 0.0, dtype, mask.device)).masked_fill(mask, -math.inf)


def _merged(a: Tensor | None, b: Tensor | None, dtype: np.dtype[Any]) -> Tensor | None:
    if a is None or b is None:
        return a if b is None else b
    if a.dtype == b.dtype == np.bool_:
        return a | b
    return _added(a, dtype) + _added(b, dtype)


def _longer(t: Tensor | None, dim: int) -> Tensor | None:
    """One more key, zero, or seen by all."""
    if t is None:
        return None
    shape = list(t.shape)
    shape[dim] = 1
    return F.cat([t, Tensor(_C.cast(_C.full(tuple(shape), 0, np.int64, t.device), t.dtype))], dim)


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    embed_dim: int,
    heads: int,
    separate: bool,
    batch_first: bool,
) -> None:
    n = query.ndim
    if n not in (2, 3) or key.ndim != n or value.ndim != n:
        raise _fail(
            "query, key and value must all be unbatched (2-D) or batched (3-D)",
            query=query, key=key, value=value,
        )  # fmt: skip
    if key_padding_mask is not None and key_padding_mask.ndim != n - 1:
        raise _fail(f"key_padding_mask must be {n - 1}-D", key_padding_mask=key_padding_mask, query=query)
    if (key.shape[:-1] if separate else key.shape) != (value.shape[:-1] if separate else value.shape):
        raise _fail("key and value must match", key=key, value=value)
    batch, length = (0, 1) if batch_first else (1, 0)
    if n == 3 and query.shape[batch] != key.shape[batch]:
        raise _fail("query and key must have the same batch", query=query, key=key)
    if query.shape[-1] != embed_dim:
        raise _fail(f"query must have embed_dim={embed_dim} features", query=query)
    if heads <= 0 or embed_dim % heads:
        raise ValueError(f"{_OP}: embed_dim={embed_dim} must be divisible by num_heads, got {heads}")
    samples = query.shape[batch] if n == 3 else 1
    L, S = (query.shape[length], key.shape[length]) if n == 3 else (query.shape[0], key.shape[0])
    if attn_mask is not None and attn_mask.shape not in ((L, S), (samples * heads, L, S)):
        raise _fail(f"attn_mask must be {(L, S)} or {(samples * heads, L, S)}", attn_mask=attn_mask)
    if key_padding_mask is not None and key_padding_mask.shape != ((samples, S) if n == 3 else (S,)):
        raise _fail(
            f"key_padding_mask must be {(samples, S)}, or {(S,)} of one sample",
            key_padding_mask=key_padding_mask,
        )
    _check_mask("key_padding_mask", key_padding_mask, query)
    _check_mask("attn_mask", attn_mask, query)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_heads: int,
    weights: Tensor | tuple[Tensor, Tensor, Tensor],
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    key_padding_mask: Tensor | None,
    need_weights: bool,
    attn_mask: Tensor | None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    batch_first: bool = False,
    blind_is_nan: bool = False,
) -> _Result:
    """multi_head_attention_forward on (L, N, E) or, with `batch_first`, on (N, L, E) without a transposition.
    With `blind_is_nan` a query that sees no key gives NaN even where no weights are asked for."""
    separate = isinstance(weights, tuple)
    _check(query, key, value, key_padding_mask, attn_mask, embed_dim, num_heads, separate, batch_first)
    if is_causal and attn_mask is None:
        raise ValueError(
            f"{_OP}: attn_mask must be given with the is_causal hint; "
            "Transformer.generate_square_subsequent_mask makes one"
        )
    batched = query.ndim == 3
    if not batched:
        one = {id(t): t.unsqueeze(0) for t in (query, key, value)}  # what is one tensor stays one
        query, key, value = one[id(query)], one[id(key)], one[id(value)]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        batch_first = True
    causal = is_causal and key_padding_mask is None and not need_weights
    if causal:
        attn_mask = None
    q, k, v = _project(query, key, value, weights, in_proj_bias, num_heads, batch_first)
    N, H, _, D = q.shape
    if attn_mask is not None:
        attn_mask = attn_mask.reshape(*((1, 1) if attn_mask.ndim == 2 else (N, H)), *attn_mask.shape[-2:])
    if key_padding_mask is not None:
        key_padding_mask = key_padding_mask.reshape(N, 1, 1, key_padding_mask.shape[1])
    mask = _merged(attn_mask, key_padding_mask, q.dtype)

    if (bias_k is None) != (bias_v is None):
        raise ValueError(f"{_OP}: bias_k and bias_v must either both be given or neither")
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise ValueError(f"{_OP}: a bias cannot be added to static_k or static_v")
        row = (1, H, 1, D)
        k = F.cat([k, bias_k.reshape(*row).expand(N, H, 1, D)], 2)
        v = F.cat([v, bias_v.reshape(*row).expand(N, H, 1, D)], 2)
        mask = _longer(mask, 3)
    for name, t in (("static_k", static_k), ("static_v", static_v)):
        if t is not None and (t.ndim != 3 or t.shape[0] != N * H or t.shape[2] != D):
            raise _fail(f"{name} must be ({N * H}, S, {D})", **{name: t})
    k = k if static_k is None else static_k.reshape(N, H, *static_k.shape[1:])
    v = v if static_v is None else static_v.reshape(N, H, *static_v.shape[1:])
    if add_zero_attn:
        longer_k, longer_v = _longer(k, 2), _longer(v, 2)
        assert longer_k is not None and longer_v is not None
        k, v, mask = longer_k, longer_v, _longer(mask, 3)

    average = None
    if need_weights:
        scores = (q * math.sqrt(1.0 / D)) @ k.transpose(-2, -1)  # (N, H, L, S)
        if mask is not None:
            scores = scores.masked_fill(mask, -math.inf) if mask.dtype == np.bool_ else scores + mask
        p = F.dropout(F.softmax(scores, -1), dropout_p)
        y = p @ v
        average = p.mean(1) if average_attn_weights else p
        average = average if batched else average.squeeze(0)
    else:
        seen = mask.logical_not() if mask is not None and mask.dtype == np.bool_ else mask
        y = F.scaled_dot_product_attention(q, k, v, seen, dropout_p, causal)
        if blind_is_nan and mask is not None and mask.dtype == np.bool_:
            blind = mask.all(-1, keepdim=True)
            y = y.masked_fill(blind, math.nan) if blind.any().item() else y
    order = (0, 2, 1, 3) if batch_first else (2, 0, 1, 3)
    y = F.linear(y.permute(*order).reshape(*query.shape[:2], H * D), out_proj_weight, out_proj_bias)
    return (y if batched else y.squeeze(0)), average


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """y = Concat(head₁, …) Wᵒ, headᵢ = softmax(Q Wᵢ(Q) (K Wᵢ(K))ᵀ / √D + M) V Wᵢ(V).

    query (L, N, E) or (L, E), key and value (S, N, E) or (S, E) -> y like query and, with `need_weights`, the
    weights (N, L, S), averaged over the heads or, without `average_attn_weights`, (N, H, L, S).
    in_proj_weight (3E, E) holds the projections of query, key and value one below the other; with
    `use_separate_proj_weight` they are q_proj_weight (E, E), k_proj_weight (E, K), v_proj_weight (E, V).
    attn_mask (L, S) or (N H, L, S) and key_padding_mask (N, S): boolean, True where a key is ignored, or
    floating and added. `is_causal` says that attn_mask is causal, so that it need not be read. A query that
    sees no key gives NaN with `need_weights`, 0 without. static_k and static_v (N H, S, E / H) replace
    projected keys and values.

    Raises ValueError for shapes that do not match, TypeError for masks of other dtypes.

    >>> import dlcore
    >>> x, w, o = dlcore.ones(3, 1, 2), dlcore.ones(6, 2), dlcore.ones(2, 2)
    >>> y, p = dlcore.functional.multi_head_attention_forward(
    ...     x, x, x, 2, 1, w, None, None, None, False, 0.0, o, None)
    >>> y.shape, p.shape
    ((3, 1, 2), (1, 3, 3))
    """
    weights: Any = in_proj_weight
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    if weights is None or (use_separate_proj_weight and None in weights):
        raise ValueError(f"{_OP}: the projections' weights must be given")
    return attend(
        query,
        key,
        value,
        embed_dim_to_check,
        num_heads,
        weights,
        in_proj_bias,
        bias_k,
        bias_v,
        add_zero_attn,
        dropout_p if training else 0.0,
        out_proj_weight,
        out_proj_bias,
        key_padding_mask,
        need_weights,
        attn_mask,
        static_k,
        static_v,
        average_attn_weights,
        is_causal,
    )
