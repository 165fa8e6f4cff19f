"""Keys and values of the tokens so far, kept so that a decoder computes each token once.

Layout (B batch, H key-value heads, T tokens, D head size), one pair of tensors a layer. The first update
keeps what it is given without a copy; from the second on a layer writes into memory it holds in advance, so
that a step of decoding moves one token, not all. While gradients are recorded, they are joined instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.autograd import is_grad_enabled
from dlcore.tensor import Tensor

__all__ = ["DynamicCache", "EncoderDecoderCache"]


class _Layer:
    __slots__ = ("capacity", "key", "length", "owned", "value")

    def __init__(self) -> None:
        self.key: Tensor | None = None  # (B, H, capacity, D)
        self.value: Tensor | None = None
        self.length = self.capacity = 0
        self.owned = False  # whether the memory is this cache's own, or the model's that it came from


class DynamicCache:
    """Grows as it is filled; `max_length` gives it its whole memory at once.

    >>> import dlcore
    >>> cache = DynamicCache()
    >>> k = v = dlcore.zeros(1, 2, 3, 4)
    >>> cache.update(k, v, 0)[0].shape, cache.update(k, v, 0)[0].shape, cache.get_seq_length()
    ((1, 2, 3, 4), (1, 2, 6, 4), 6)
    """

    def __init__(self, max_length: int | None = None) -> None:
        self.max_length = max_length
        self.layers: list[_Layer] = []

    def update(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Appends key and value (B, H, n, D) of layer `layer`; returns all of them, (B, H, T, D)."""
        while len(self.layers) <= layer:
            self.layers.append(_Layer())
        entry = self.layers[layer]
        n = key.shape[2]
        if is_grad_enabled() and (key.requires_grad or value.requires_grad):
            if entry.key is not None and entry.value is not None:
                key = F.cat([entry.key[:, :, : entry.length], key], 2)
                value = F.cat([entry.value[:, :, : entry.length], value], 2)
            entry.key, entry.value = key, value
            entry.length = entry.capacity = key.shape[2]
            entry.owned = False
            return key, value
        if entry.key is None and self.max_length is None:
            entry.key, entry.value = key.detach(), value.detach()
            entry.length = entry.capacity = n
            return key, value
        end = entry.length + n
        if end > entry.capacity:
            self._grow(entry, key, value, end)
        self._write(entry, key, value, end)
        assert entry.key is not None and entry.value is not None
        return entry.key[:, :, :end], entry.value[:, :, :end]

    @staticmethod
    def _write(entry: _Layer, key: Tensor, value: Tensor, end: int) -> None:
        assert entry.key is not None and entry.value is not None
        _C.copy_into(entry.key[:, :, entry.length : end].array, key.array)
        _C.copy_into(entry.value[:, :, entry.length : end].array, value.array)
        entry.length = end

    def _grow(self, entry: _Layer, key: Tensor, value: Tensor, end: int) -> None:
        capacity = max(end, self.max_length or 0, 2 * entry.length)
        for name, new in (("key", key), ("value", value)):
            b, h, _, d = new.shape
            room = Tensor(_C.empty((b, h, capacity, d), new.dtype, new.device))
            old = getattr(entry, name)
            if old is not None and entry.length:
                _C.copy_into(room[:, :, : entry.length].array, old[:, :, : entry.length].array)
            setattr(entry, name, room)
        entry.capacity, entry.owned = capacity, True

    def get_seq_length(self, layer: int = 0) -> int:
        return self.layers[layer].length if layer < len(self.layers) else 0

    def crop(self, length: int) -> None:
        """Forgets what comes after the first `length` tokens; a negative number forgets that many."""
        for entry in self.layers:
            entry.length = max(0, min(entry.length, length if length >= 0 else entry.length + length))

    def reorder_cache(self, beams: Tensor | np.ndarray[Any, Any], start: int = 0) -> None:
        """Row i becomes what row beams[i] was, in every layer; the first `start` tokens are known to be
        equal.
        """
        rows = np.asarray(beams, np.int64)
        moved = np.flatnonzero(rows != np.arange(len(rows)))
        same_size = len(rows) == len(self)
        if same_size and not len(moved):
            return
        index = Tensor(_C.clone(_C.from_numpy(rows[moved] if same_size else rows)))
        for entry in self.layers:
            if entry.key is None or entry.value is None:
                continue
            used = entry.length
            if same_size and entry.owned:
                for room in (entry.key, entry.value):
                    taken = F.index_select(room[:, :, start:used], 0, index)
                    for i, row in enumerate(moved.tolist()):
                        _C.copy_into(room[row : row + 1, :, start:used].array, taken[i : i + 1].array)
                continue
            every = index if not same_size else Tensor(_C.clone(_C.from_numpy(rows)))
            key = F.index_select(entry.key[:, :, :used], 0, every)
            value = F.index_select(entry.value[:, :, :used], 0, every)
            entry.key = entry.value = None
            entry.length = 0
            self._grow(entry, key, value, used)
            self._write(entry, key, value, used)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row `repeats` times, one after the other."""
        self.reorder_cache(np.repeat(np.arange(len(self)), repeats))

    def __len__(self) -> int:
        """The batch size."""
        first = self.layers[0].key if self.layers else None
        return 0 if first is None else first.shape[0]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for entry in self.layers:
            if entry.key is not None and entry.value is not None:
                yield entry.key[:, :, : entry.length], entry.value[:, :, : entry.length]


class EncoderDecoderCache:
    """A decoder's own keys and values, and those that cross-attention made from the encoder's output once."""

    def __init__(self, max_length: int | None = None) -> None:
        self.self_attention_cache = DynamicCache(max_length)
        self.cross_attention_cache = DynamicCache()

    def get_seq_length(self, layer: int = 0) -> int:
        return self.self_attention_cache.get_seq_length(layer)

    def crop(self, length: int) -> None:
        self.self_attention_cache.crop(length)

    def reorder_cache(self, beams: Tensor | np.ndarray[Any, Any]) -> None:
        self.self_attention_cache.reorder_cache(beams)
        self.cross_attention_cache.reorder_cache(beams)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.self_attention_cache.batch_repeat_interleave(repeats)
        self.cross_attention_cache.batch_repeat_interleave(repeats)

    def __len__(self) -> int:
        return len(self.self_attention_cache)
