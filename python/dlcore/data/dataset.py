"""Data sets: what can be indexed by number, and what can only be iterated."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from dlcore import functional as F
from dlcore.random import get_generator
from dlcore.tensor import Tensor, from_numpy

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by number: a subclass defines `__getitem__`, and `__len__` where it has one.

    `__getitems__(indices)` may give a whole batch at once; a loader uses it where it is there.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples in their own order: a subclass defines `__iter__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Sample i is (tensor[i] for each tensor); tensors (or ndarrays) of one first size.

    Raises ValueError for first sizes that differ.

    >>> import dlcore
    >>> data = dlcore.data.TensorDataset(dlcore.tensor([[1.0], [2.0]]), dlcore.tensor([0, 1]))
    >>> len(data), data[1][1].item()
    (2, 1)
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors or any(len(t) != len(tensors[0]) for t in tensors):
            shapes = ", ".join(str(t.shape) for t in tensors)
            raise ValueError(f"TensorDataset: the tensors must have one first size, got {shapes or 'none'}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple([t[index] for t in self.tensors])

    def gather(self, indices: Sequence[int]) -> list[Tensor]:
        """The fields of a batch, each in one gather instead of a stack of samples."""
        order = np.asarray(indices, np.int64)
        return [
            F.index_select(t, 0, from_numpy(order)) if isinstance(t, Tensor) else from_numpy(t[order])
            for t in self.tensors
        ]

    def __len__(self) -> int:
        return len(self.tensors[0])


class StackDataset(Dataset[Any]):
    """Sample i is the tuple, or with names the dict, of sample i of each data set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: pass data sets by position or by name, not both and not none")
        self.datasets: Any = args or kwargs
        parts = list(args or kwargs.values())
        if any(len(d) != len(parts[0]) for d in parts):
            raise ValueError(
                "StackDataset: the data sets must have one length, got " + str([len(d) for d in parts])
            )

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {k: d[index] for k, d in self.datasets.items()}
        return tuple([d[index] for d in self.datasets])

    def __len__(self) -> int:
        parts = list(self.datasets.values()) if isinstance(self.datasets, dict) else list(self.datasets)
        return len(parts[0])


class ConcatDataset(Dataset[Any]):
    """The samples of several data sets, one after the other.

    Raises ValueError without a data set, TypeError for one that can only be iterated.

    >>> import dlcore
    >>> data = dlcore.data.ConcatDataset([[10, 11], [20]])
    >>> len(data), data[2], data[-1]
    (3, 20, 20)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: there must be at least one data set")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset: an IterableDataset has no numbers; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"ConcatDataset: the index must lie in [{-n}, {n}), got {index}")
        index %= n
        i = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[i][index - (self.cumulative_sizes[i - 1] if i else 0)]


class ChainDataset(IterableDataset[Any]):
    """Iterates one data set after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        super().__init__()
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)


class Subset(Dataset[Any]):
    """Samples `indices` of a data set."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> Any:
        chosen = [self.indices[i] for i in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return many(chosen) if many is not None else [self.dataset[i] for i in chosen]

    def __getattr__(self, name: str) -> Any:
        if name == "gather" and hasattr(self.__dict__.get("dataset"), "gather"):
            return lambda indices: self.dataset.gather([self.indices[i] for i in indices])
        raise AttributeError(f"'Subset' object has no attribute {name!r}")

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Random parts of the given lengths, or of fractions of the whole that sum to 1 (what is left over goes
    round robin to the first ones). `generator`: None, a seed or a NumPy Generator.

    Raises ValueError for lengths that do not sum to the data set's.

    >>> import dlcore
    >>> [len(part) for part in dlcore.data.random_split(range(10), [0.7, 0.3], generator=0)]
    [7, 3]
    """
    n = len(dataset)
    sizes: list[int]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        for i, f in enumerate(lengths):
            if f < 0 or f > 1:
                raise ValueError(f"random_split: fraction {i} must lie between 0 and 1, got {f}")
        sizes = [math.floor(n * f) for f in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    else:
        sizes = [int(x) for x in lengths]
    if sum(sizes) != n:
        raise ValueError(f"random_split: the lengths must sum to {n}, got {list(lengths)}")
    order = get_generator(generator).permutation(n).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends)]
