"""Samplers: in which order the samples of a data set come.

What draws takes `generator`: None (dlcore's own), a seed or a NumPy Generator. An order is drawn as a whole
when its iterator begins, so that a loader can repeat it from the generator's state at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from dlcore.random import get_generator

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


class Sampler:
    """The base of samplers: `__iter__` gives the numbers of samples, `__len__` how many where it is known."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")
    return value


def _flag(name: str, value: Any, error: type[Exception] = ValueError) -> bool:
    if not isinstance(value, bool):
        raise error(f"{name} should be a boolean value, but got {name}={value}")
    return value


class RandomSampler(Sampler):
    """A permutation, or `num_samples` draws: with `replacement` independent ones, else from fresh
    permutations.

    >>> import dlcore
    >>> sorted(dlcore.data.RandomSampler(range(5), generator=0))
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = _flag("replacement", replacement, TypeError)
        self._num_samples = None if num_samples is None else _count("num_samples", num_samples)
        self.generator = None if generator is None else get_generator(generator)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, wanted = len(self.data_source), self.num_samples
        g = get_generator(self.generator)
        if wanted == 0:
            return iter(())
        if self.replacement:
            return iter(g.integers(0, n, wanted).tolist())
        parts = [g.permutation(n) for _ in range(-(-wanted // n))]
        return iter(np.concatenate(parts)[:wanted].tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given numbers in random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = None if generator is None else get_generator(generator)

    def __iter__(self) -> Iterator[int]:
        return iter([self.indices[i] for i in get_generator(self.generator).permutation(len(self.indices))])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """`num_samples` draws of i with probability weights[i] / sum; without `replacement` no number comes
    twice.

    Raises ValueError for weights that are not a vector of numbers >= 0, and for more draws than there are.
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        self.num_samples = _count("num_samples", num_samples)
        self.replacement = _flag("replacement", replacement)
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {self.weights.shape}"
            )
        total = self.weights.sum()
        if not (self.weights >= 0).all() or not 0 < total < np.inf:
            raise ValueError("WeightedRandomSampler: weights must be >= 0, finite, and not all zero")
        if not self.replacement and num_samples > np.count_nonzero(self.weights):
            raise ValueError(
                "WeightedRandomSampler: without replacement there can be no more samples than positive "
                f"weights, got num_samples={num_samples}"
            )
        self.generator = None if generator is None else get_generator(generator)

    def __iter__(self) -> Iterator[int]:
        g = get_generator(self.generator)
        p = self.weights / self.weights.sum()
        return iter(g.choice(len(p), self.num_samples, self.replacement, p).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of `batch_size` numbers from another sampler; `drop_last` leaves out a shorter last one.

    >>> import dlcore
    >>> list(dlcore.data.BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = _count("batch_size", batch_size)
        self.drop_last = _flag("drop_last", drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))  # the order is drawn now

    def _batches(self, numbers: Iterator[int]) -> Iterator[list[int]]:
        batch: list[int] = []
        for i in numbers:
            batch.append(i)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
