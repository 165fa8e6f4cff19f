"""Who attends to whom, as `scaled_dot_product_attention` takes it: boolean, True where a query sees a key.

S keys, L queries (the last L of the S positions in a decoder). A mask of ones costs nothing: it becomes None.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from dlcore import _C
from dlcore.tensor import Tensor

__all__ = ["Seen", "causal_mask", "padding_mask", "valid_steps", "who_sees_whom"]


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


def valid_steps(
    op: str, batch: int, steps: int, mask: Any = None, lengths: Any = None
) -> np.ndarray[Any, Any]:
    """The length of each sample, (B,) int64 in [1, steps], from either `lengths` (B,) or a mask (B, T) of 1
    for tokens and 0 for padding at their right; all `steps` where both are None. ValueError for others.
    """
    if mask is not None and lengths is not None:
        raise ValueError(f"{op}: give either a mask or lengths, not both")
    if mask is None and lengths is None:
        return np.full(batch, steps, np.int64)
    given = np.asarray(_values(mask if lengths is None else lengths))
    if lengths is None:
        if given.shape != (batch, steps):
            raise ValueError(f"{op}: the mask must be {(batch, steps)}, got {given.shape}")
        seen = given != 0
        if (seen[:, 1:] > seen[:, :-1]).any():
            raise ValueError(f"{op}: padding must stand at the right, got a mask with 1 after 0")
        given = seen.sum(1)
    elif given.shape != (batch,) or given.dtype.kind not in "iu":
        raise ValueError(f"{op}: lengths must be {batch} integers, got {given.shape} {given.dtype}")
    if given.size and not (given.min() >= 1 and given.max() <= steps):
        raise ValueError(f"{op}: lengths must lie in [1, {steps}], got {given.min()} to {given.max()}")
    return given.astype(np.int64)


def _values(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else x


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


class Seen(NamedTuple):
    """The masks of one attention, as the kernel takes them; each costs only where it is needed."""

    mask: Tensor | None = None  # added, or boolean, (1 or B, 1 or H, 1 or L, S)
    lengths: Tensor | None = None  # (B,)
    causal: bool = False


def who_sees_whom(
    bias: Tensor | None, attention_mask: Tensor | None, queries: int, keys: int, causal: bool, dtype: Any
) -> Seen:
    """Position bias (1, H, L, S), padding (B, S) and, in a decoder, causality together.

    Padding on the right is a number of keys a sample; any other kind is a mask, which makes of the bias one
    a sample.
    """
    decoder, causal = causal, causal and queries > 1
    hidden: list[np.ndarray[Any, Any]] = []  # True where a key is not seen
    lengths = None
    if attention_mask is not None:
        if attention_mask.ndim == 4 and attention_mask.dtype.kind == "f":
            bias = attention_mask if bias is None else bias + attention_mask
        else:
            seen = attention_mask.numpy() != 0
            if seen.ndim not in (2, 3, 4):
                raise ValueError(
                    "attention_mask must be (batch, length), (batch, queries, keys) or "
                    f"(batch, 1, queries, keys), got {attention_mask.shape}"
                )
            if seen.ndim == 2:
                if decoder and seen.shape[1] < keys:  # of the new tokens only
                    before = np.ones((seen.shape[0], keys - seen.shape[1]), bool)
                    seen = np.concatenate([before, seen], 1)
                count = seen.sum(1)
                if (seen == (np.arange(seen.shape[1]) < count[:, None])).all():
                    lengths = None if seen.all() else _tensor(count.astype(np.int64))
                else:
                    hidden.append(~seen[:, None, None, :])
            elif not seen.all():
                hidden.append(~(seen if seen.ndim == 4 else seen[:, None]))
    if causal and queries < keys:
        hidden.append(~np.tri(queries, keys, keys - queries, dtype=bool)[None, None])
        causal = False
    if not hidden:
        return Seen(bias, lengths, causal)
    unseen = functools.reduce(np.logical_or, hidden)
    if bias is None:
        return Seen(_tensor(~unseen), lengths, causal)
    return Seen(bias + _tensor(np.where(unseen, -math.inf, 0.0).astype(dtype)), lengths, causal)
