"""Keys and values of the tokens so far, kept so that a decoder computes each token once.

Layout (B batch, H key-value heads, T tokens, D head size), one pair of tensors a layer. The first update
keeps what it is given without a copy; from the second on a layer writes into memory it holds in advance, so
that a step of decoding moves one token, not all. While gradients are recorded, they are joined instead.

Beams of one prompt share their beginning. The cache remembers which row wrote what each row holds, position
by position, so that a reordering copies only what differs: the few last tokens of the rows that moved.
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


def _tokens(x: Tensor, start: int, end: int) -> Tensor:
    """x[:, :, start:end], the step that every layer of every token takes, without the general index."""
    return Tensor(_C.slice(x.array, 2, start, end - start, 1))


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
        # (rows, tokens): rows with the same number at one token hold the same there.
        self._written_by: np.ndarray[Any, Any] | None = None

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
        return _tokens(entry.key, 0, end), _tokens(entry.value, 0, end)

    @staticmethod
    def _write(entry: _Layer, key: Tensor, value: Tensor, end: int) -> None:
        assert entry.key is not None and entry.value is not None
        _C.copy_into(_tokens(entry.key, entry.length, end).array, key.array)
        _C.copy_into(_tokens(entry.value, entry.length, end).array, value.array)
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
        if self._written_by is not None:
            self._written_by = self._written_by[:, : self.get_seq_length()]

    def reorder_cache(self, beams: Tensor | np.ndarray[Any, Any]) -> None:
        """Row i becomes what row beams[i] was, in every layer."""
        rows = np.asarray(beams)
        here = np.arange(len(self))
        if np.array_equal(rows, here):
            return
        if len(rows) != len(here) or not all(
            e.owned and e.key is not None and e.key.device == "cpu" for e in self.layers
        ):
            self._select(rows)
            return
        writers = self._writers()
        moved = np.flatnonzero(rows != here)
        differ = (writers[moved] != writers[rows[moved]]).any(0)
        if not differ.any():
            return
        start, end = int(differ.argmax()), writers.shape[1]
        for entry in self.layers:
            if entry.key is None or entry.value is None:
                continue
            for tensor in (entry.key, entry.value):
                memory = tensor.detach().numpy()
                memory[moved, :, start:end] = memory[rows[moved], :, start:end]
        writers[moved] = writers[rows[moved]]

    def _writers(self) -> np.ndarray[Any, Any]:
        """`_written_by` up to the last token."""
        rows, used = len(self), self.get_seq_length()
        known = self._written_by if self._written_by is not None else np.empty((rows, 0), np.int64)
        if known.shape[1] < used:
            new = np.broadcast_to(np.arange(rows)[:, None], (rows, used - known.shape[1]))
            known = np.concatenate([known, new], 1)
        self._written_by = known
        return known

    def _select(self, rows: np.ndarray[Any, Any]) -> None:
        index = Tensor(_C.clone(_C.from_numpy(rows.astype(np.int64))))
        for entry in self.layers:
            if entry.key is None or entry.value is None:
                continue
            used = entry.length
            at = index if entry.key.device == "cpu" else index.to(entry.key.device)
            entry.key = F.index_select(entry.key[:, :, :used], 0, at)
            entry.value = F.index_select(entry.value[:, :, :used], 0, at)
            entry.capacity, entry.owned = used, True
        self._written_by = None

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row `repeats` times, one after the other."""
        if repeats == 1 or not len(self):
            return
        rows, used = len(self), self.get_seq_length()
        for entry in self.layers:
            if entry.key is None or entry.value is None:
                continue
            capacity = max(self.max_length or 0, entry.length)
            for name in ("key", "value"):
                old = getattr(entry, name)[:, :, : entry.length].detach()
                b, h, n, d = old.shape
                room = Tensor(_C.empty((b * repeats, h, capacity, d), old.dtype, old.device))
                new = room.reshape(b, repeats, h, capacity, d)[:, :, :, :n]
                _C.copy_into(new.array, F.expand(old.unsqueeze(1), b, repeats, h, n, d).array)
                setattr(entry, name, room)
            entry.capacity, entry.owned = capacity, True
        writers = np.repeat(np.arange(rows) * repeats, repeats)
        self._written_by = np.repeat(writers[:, None], used, 1)

    def __len__(self) -> int:
        """The batch size."""
        first = self.layers[0].key if self.layers else None
        return 0 if first is None else first.shape[0]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for entry in self.layers:
            if entry.key is not None and entry.value is not None:
                yield entry.key[:, :, : entry.length], entry.value[:, :, : entry.length]


class EncoderDecoderCache:
    """A decoder's own keys and values, and those that cross-attention made from the encoder's output once.

    A model that sets `shares_cross` lets the beams of one input read the same keys: as many rows stand in the
    cross-attention's cache as there are inputs, and `beams` of its own for each.
    """

    def __init__(self, max_length: int | None = None) -> None:
        self.self_attention_cache = DynamicCache(max_length)
        self.cross_attention_cache = DynamicCache()
        self.shares_cross = False
        self.position_bias: Tensor | None = None  # (1, H, 1, room) of a model with one, for its last query
        self._repeats = 1

    def get_seq_length(self, layer: int = 0) -> int:
        return self.self_attention_cache.get_seq_length(layer)

    def crop(self, length: int) -> None:
        self.self_attention_cache.crop(length)

    @property
    def beams(self) -> int:
        """How many rows of the decoder read each row of the cross-attention's cache."""
        return len(self.self_attention_cache) // max(1, len(self.cross_attention_cache))

    def unshare(self) -> None:
        """A row of the cross-attention's cache for each of the decoder's, from now on."""
        self.shares_cross = False
        if self.beams > 1:
            self.cross_attention_cache.batch_repeat_interleave(self.beams)

    def reorder_cache(self, beams: Tensor | np.ndarray[Any, Any]) -> None:
        rows = np.asarray(beams)
        self.self_attention_cache.reorder_cache(rows)
        if not np.array_equal(rows // self._repeats, np.arange(len(rows)) // self._repeats):
            self.unshare()
            self.cross_attention_cache.reorder_cache(rows)  # else rows moved among those of one input

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._repeats *= repeats
        self.self_attention_cache.batch_repeat_interleave(repeats)
        if not self.shares_cross:
            self.cross_attention_cache.batch_repeat_interleave(repeats)

    def __len__(self) -> int:
        return len(self.self_attention_cache)
