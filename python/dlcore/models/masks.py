"""Who attends to whom, as `scaled_dot_product_attention` takes it: boolean, True where a query sees a key.

S keys, L queries (the last L of the S positions in a decoder). A mask of ones costs nothing: it becomes None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import _C
from dlcore.tensor import Tensor

__all__ = ["causal_mask", "padding_mask"]


def _tensor(values: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(_C.clone(_C.from_numpy(np.ascontiguousarray(values))))


def padding_mask(attention_mask: Tensor | None) -> Tensor | None:
    """(B, S) of 1 for tokens and 0 for padding -> (B, 1, 1, S), or None where there is no padding.

    A mask of 3 axes (B, L, S) or 4 axes is taken as it is, as (B, 1, L, S); a floating one of 4 is added.
    """
    if attention_mask is None:
        return None
    if attention_mask.ndim == 4 and attention_mask.dtype.kind == "f":
        return attention_mask
    seen = attention_mask.numpy() != 0
    if seen.ndim == 2:
        return None if seen.all() else _tensor(seen[:, None, None, :])
    if seen.ndim not in (3, 4):
        raise ValueError(
            f"attention_mask must be (batch, length), (batch, queries, keys) or (batch, 1, queries, keys), "
            f"got {attention_mask.shape}"
        )
    return _tensor(seen if seen.ndim == 4 else seen[:, None])


def causal_mask(attention_mask: Tensor | None, queries: int, keys: int) -> tuple[Tensor | None, bool]:
    """The mask for a decoder's self-attention, and whether `is_causal` alone does it.

    Query i stands at position keys - queries + i and sees no later key, nor padding (the mask may also cover
    the last `queries` tokens only, when the ones before have none).
    """
    mask = attention_mask
    if mask is not None and mask.ndim == 2 and mask.shape[1] < keys:
        before = np.ones((mask.shape[0], keys - mask.shape[1]), bool)
        mask = _tensor(np.concatenate([before, mask.numpy() != 0], 1))
    mask = padding_mask(mask)
    if mask is None:
        if queries == keys:
            return None, queries > 1
        if queries == 1:
            return None, False
        return _tensor(np.tri(queries, keys, keys - queries, dtype=bool)[None, None]), False
    if mask.dtype.kind == "f":
        return mask, False
    if queries == 1:
        return mask, False
    return _tensor(mask.numpy() & np.tri(queries, keys, keys - queries, dtype=bool)), False
