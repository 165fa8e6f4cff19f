"""Batches from arrays or from any iterable, in one form: a tuple (x, y, sample_weight), the last two perhaps
None.

Arrays are never copied as a whole: a shuffled epoch gathers the rows of one batch at a time, an unshuffled
one slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import numpy as np

from dlcore.tensor import Tensor

__all__ = ["ArrayBatches", "IterableBatches", "make_batches", "tree_leaves", "tree_map"]

Batch = tuple[Any, Any, Any]


def tree_map(f: Callable[[Any], Any], tree: Any) -> Any:
    """f at each leaf of nested lists, tuples and dicts; None stays None."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {k: tree_map(f, v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([tree_map(f, v) for v in tree])
    return f(tree)


def tree_leaves(tree: Any) -> list[Any]:
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for v in tree.values() for leaf in tree_leaves(v)]
    if isinstance(tree, (list, tuple)):
        return [leaf for v in tree for leaf in tree_leaves(v)]
    return [tree]


def _ndarray(x: Any) -> Any:
    a = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if a.dtype.hasobject:
        raise TypeError(f"fit: object arrays are not supported, got dtype {a.dtype}, shape {a.shape}")
    return a


def as_arrays(tree: Any) -> Any:
    """Leaves become ndarrays. A list of numbers, or of rows of numbers, is one array;
    a list of arrays is many.
    """
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {k: as_arrays(v) for k, v in tree.items()}
    if (
        isinstance(tree, (list, tuple))
        and len(tree)
        and all(isinstance(v, (np.ndarray, Tensor)) for v in tree)
    ):
        return [_ndarray(v) for v in tree]
    return _ndarray(tree)


class ArrayBatches:
    """Batches of rows; the last may be smaller. `order` (N -> permutation) shuffles anew in each epoch."""

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int = 32,
        order: Callable[[int], Any] | None = None,
        what: str = "fit",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"{what}: batch_size must be at least 1, got {batch_size}")
        self.data = (as_arrays(x), as_arrays(y), as_arrays(sample_weight))
        named = [(n, a) for n, d in zip(("x", "y", "sample_weight"), self.data) for a in tree_leaves(d)]
        for name, a in named:
            if a.ndim == 0:
                raise ValueError(f"{what}: {name} must have at least one axis, the samples, got a scalar")
        if len({len(a) for _, a in named}) > 1:
            lengths = ", ".join(f"{n}={a.shape}" for n, a in named)
            raise ValueError(f"{what}: all arrays must have the same number of samples, got {lengths}")
        self.n = len(named[0][1]) if named else 0
        self.batch_size = batch_size
        self.order = order

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = None if self.order is None else self.order(self.n)
        for i in range(0, self.n, self.batch_size):
            rows = (
                slice(i, min(i + self.batch_size, self.n))
                if order is None
                else order[i : i + self.batch_size]
            )
            yield tuple([tree_map(lambda a: a[rows], d) for d in self.data])  # noqa: B023


class IterableBatches:
    """Batches that an iterable yields: x, (x, y) or (x, y, sample_weight).

    Something that can be iterated only once (a generator) goes on where the last epoch stopped.
    """

    def __init__(self, data: Iterable[Any], what: str = "fit") -> None:
        self.source = data
        self.what = what
        self._once = iter(data) is data

    def known_length(self) -> int | None:
        return len(self.source) if isinstance(self.source, Sized) else None

    @property
    def resumes(self) -> bool:
        return self._once

    def __iter__(self) -> Iterator[Batch]:
        for item in self.source:
            if not isinstance(item, (tuple, list)):
                yield item, None, None
            elif 1 <= len(item) <= 3:
                yield (*item, None, None)[:3]
            else:
                raise ValueError(
                    f"{self.what}: an iterable must yield x, (x, y) or (x, y, sample_weight), got "
                    f"{len(item)} parts"
                )


def make_batches(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    order: Callable[[int], Any] | None = None,
    what: str = "fit",
) -> ArrayBatches | IterableBatches:
    """Arrays (also nested lists, Tensors) become ArrayBatches; a loader or a generator IterableBatches."""
    arrays = (np.ndarray, Tensor, list, tuple, dict, int, float, np.generic)
    if isinstance(x, arrays) or hasattr(x, "__array__"):
        return ArrayBatches(x, y, sample_weight, 32 if batch_size is None else batch_size, order, what)
    if not isinstance(x, Iterable):
        if hasattr(x, "__getitem__") and hasattr(x, "__len__"):
            return IterableBatches(_Indexed(x), what)
        raise TypeError(
            f"{what}: x must be an array, a list or dict of arrays, or an iterable of batches, got {type(x)}"
        )
    if y is not None:
        raise ValueError(f"{what}: y must not be given where x is an iterable, which yields (x, y) itself")
    return IterableBatches(x, what)


class _Indexed:
    """An object with __len__ and __getitem__ alone, as an iterable."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[Any]:
        return (self.x[i] for i in range(len(self.x)))
