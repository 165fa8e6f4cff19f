"""Sequences of several lengths: padded to one tensor, or packed without gaps.

A packed batch holds step after step, in each step only the samples that are that long; samples are sorted by
length, the longest first, so that those of a step are the first ones. RNN, LSTM and GRU compute on packed
rows as they lie. Packing and padding are one gather or scatter of rows, differentiable, of any dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore import functional as F
from dlcore.functional.rnn import put_rows, take_rows
from dlcore.tensor import Tensor, tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _PackedSequence(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_PackedSequence):
    """A packed batch: `data` (N, ...), `batch_sizes` (T,) int64, and where the samples came from.

    `sorted_indices` says which sample stands in which place, `unsorted_indices` the place of each sample;
    both are None for a batch that was sorted already. Made by `pack_padded_sequence` and `pack_sequence`.

    >>> import dlcore
    >>> from dlcore.nn.utils.rnn import pack_sequence
    >>> a, b = dlcore.tensor([1, 2, 3]), dlcore.tensor([4, 5])
    >>> pack_sequence([a, b]).data.tolist()
    [1, 4, 2, 5, 3]
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if batch_sizes is None:  # PackedSequence((data, batch_sizes))
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError(
                    f"PackedSequence: data must be (data, batch_sizes), got {type(data).__name__}"
                )
            data, batch_sizes = data
        elif batch_sizes.is_cuda:
            raise ValueError(f"PackedSequence: batch_sizes must be on the CPU, got {batch_sizes.device}")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """`data.to(...)`, the indices following its device; itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [None if i is None else i.to(data.device) for i in self[2:]]
        return type(self)(data, self.batch_sizes, *indices)

    def cuda(self, device: str | int = "cuda") -> Self:
        return self.to(f"cuda:{device}" if isinstance(device, int) else device)

    def cpu(self) -> Self:
        return self.to("cpu")

    def double(self) -> Self:
        return self.to(np.float64)

    def float(self) -> Self:
        return self.to(np.float32)

    def long(self) -> Self:
        return self.to(np.int64)

    def int(self) -> Self:
        return self.to(np.int32)

    def byte(self) -> Self:
        return self.to(np.uint8)

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """p⁻¹ with p⁻¹[p[i]] = i; None for None.

    >>> import dlcore
    >>> dlcore.nn.utils.rnn.invert_permutation(dlcore.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    if permutation is None:
        return None
    inverse = np.empty(permutation.shape, permutation.dtype)
    inverse[_host(permutation)] = np.arange(inverse.size)
    return _like(inverse, permutation)


def _host(t: Tensor) -> npt.NDArray[Any]:
    return _C.to_device(t.array, "cpu").numpy()


def _like(values: npt.NDArray[Any], t: Tensor) -> Tensor:
    return Tensor(_C.to_device(_C.from_numpy(values), t.device))


def _lengths(op: str, lengths: Any) -> npt.NDArray[np.int64]:
    return np.asarray(_host(lengths) if isinstance(lengths, Tensor) else lengths).astype(np.int64)


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | npt.ArrayLike,
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """A padded batch (T, B, ...), or (B, T, ...) with `batch_first`, as a PackedSequence.

    `lengths` (B,), each from 1 to T; sorted in decreasing order unless `enforce_sorted` is False. Steps
    beyond the longest length are dropped.

    Raises RuntimeError for lengths that do not match, are out of range or not sorted.

    >>> import dlcore
    >>> from dlcore.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
    >>> x = dlcore.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
    >>> packed = pack_padded_sequence(x, [2, 1, 3], batch_first=True, enforce_sorted=False)
    >>> packed.data.tolist(), packed.batch_sizes.tolist(), packed.sorted_indices.tolist()
    ([4, 1, 3, 5, 2, 6], [3, 2, 1], [2, 0, 1])
    >>> [t.tolist() for t in pad_packed_sequence(packed, batch_first=True)]
    [[[1, 2, 0], [3, 0, 0], [4, 5, 6]], [2, 1, 3]]
    """
    op = "pack_padded_sequence"
    n = _lengths(op, lengths)
    if n.ndim != 1:
        raise RuntimeError(f"{op}: lengths must have 1 dimension, got lengths={n.shape}")
    if input.ndim < 2:
        raise IndexError(f"{op}: input must have at least 2 dimensions, got input={input.shape}")
    if input.numel() == 0:
        raise RuntimeError(f"{op}: cannot pack empty tensors, got input={input.shape}")
    T, B = input.shape[:2][::-1] if batch_first else input.shape[:2]
    if n.size != B:
        raise RuntimeError(f"{op}: lengths must be one a sample, got {n.size} for a batch of {B}")
    order = None if enforce_sorted else np.argsort(-n, kind="stable")
    if order is not None:
        n = n[order]
    elif (n[1:] > n[:-1]).any():
        raise RuntimeError(f"{op}: lengths must be sorted in decreasing order; or pass enforce_sorted=False")
    if n[-1] <= 0:
        raise RuntimeError(f"{op}: lengths must be greater than 0, got {int(n[-1])}")
    if n[0] > T:
        raise RuntimeError(f"{op}: lengths must not exceed the {T} steps of input, got {int(n[0])}")
    t, b = np.nonzero(n > np.arange(int(n[0]))[:, None])
    place = b if order is None else order[b]
    data = take_rows(input, place * T + t if batch_first else t * B + place)
    batch_sizes = Tensor(_C.from_numpy(np.bincount(t).astype(np.int64)))
    return PackedSequence(data, batch_sizes, None if order is None else _like(order.astype(np.int64), input))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(padded, lengths): the inverse of `pack_padded_sequence`, in the samples' original order.

    padded is (T, B, ...), or (B, T, ...) with `batch_first`, T the longest length or `total_length`; what
    lies beyond a length is `padding_value`; lengths (B,) int64.

    Raises ValueError for a `total_length` below the longest length.
    """
    sizes = _host(sequence.batch_sizes)
    T = sizes.size
    if total_length is not None:
        if total_length < T:
            raise ValueError(
                "pad_packed_sequence: total_length must be at least the length of the longest sequence, "
                f"got total_length={total_length} and {T} steps"
            )
        T = total_length
    B = int(sizes[0])
    n = (sizes[:, None] > np.arange(B)).sum(0)
    t, b = np.nonzero(sizes[:, None] > np.arange(B))
    if sequence.unsorted_indices is not None:
        order = np.argsort(_host(sequence.unsorted_indices))
        n, b = n[_host(sequence.unsorted_indices)], order[b]
    rows = b * T + t if batch_first else t * B + b
    padded = put_rows(sequence.data, rows, (B, T) if batch_first else (T, B), padding_value)
    return padded, Tensor(_C.from_numpy(n.astype(np.int64)))


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors (L, ...) of several lengths as one (T, B, ...), T the longest; (B, T, ...) with `batch_first`.

    Raises RuntimeError for no sequences, for trailing shapes that differ and for an unknown `padding_side`.

    >>> import dlcore
    >>> a, b = dlcore.tensor([1, 2]), dlcore.tensor([3])
    >>> dlcore.nn.utils.rnn.pad_sequence([a, b], batch_first=True, padding_value=-1).tolist()
    [[1, 2], [3, -1]]
    """
    op = "pad_sequence"
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"{op}: an iterable of tensors is expected, got {type(sequences).__name__}")
    parts = list(sequences)
    if not parts:
        raise RuntimeError(f"{op}: at least one sequence is expected")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"{op}: padding_side must be 'left' or 'right', got {padding_side!r}")
    first = parts[0]
    for s in parts:
        if s.ndim == 0 or s.shape[1:] != first.shape[1:]:
            raise RuntimeError(
                f"{op}: sequences must be (L, ...) with one trailing shape, got {s.shape} and {first.shape}"
            )
    n = np.array([s.shape[0] for s in parts], np.int64)
    T, B = int(n.max()), len(parts)
    t = np.concatenate([np.arange(k) + (T - k if padding_side == "left" else 0) for k in n])
    b = np.repeat(np.arange(B), n)
    data = F.cat([s.to(first.dtype) for s in parts]) if B > 1 else first
    return put_rows(
        data, b * T + t if batch_first else t * B + b, (B, T) if batch_first else (T, B), padding_value
    )


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The samples of a padded batch, each cut to its length.

    Raises ValueError where lengths are not one a sample.
    """
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    n = _lengths("unpad_sequence", lengths)
    if n.shape != (batch.shape[0],):
        raise ValueError(
            f"unpad_sequence: lengths must be one a sample, got {n.shape} for a batch of {batch.shape[0]}"
        )
    T = batch.shape[1]
    return [s.narrow(0, 0, min(max(int(k), 0), T)) for s, k in zip(batch.unbind(0), n)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """A list of tensors (L, ...), sorted by decreasing length unless `enforce_sorted` is False, as one packed
    batch.

    Raises RuntimeError for empty sequences, and for ones that are not sorted.
    """
    lengths = tensor([s.shape[0] for s in sequences], dtype=np.int64)
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The samples of a packed batch, in their original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
