"""DataLoader: batches from a data set, by threads ahead of the training where asked, from any place of an
epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.data.dataset import IterableDataset
from dlcore.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from dlcore.random import get_generator
from dlcore.tensor import Tensor, from_numpy, tensor

__all__ = ["DataLoader", "default_collate", "default_convert"]


def default_convert(data: Any) -> Any:
    """ndarrays as tensors, within dicts, tuples and lists; all else as it is."""
    if isinstance(data, np.ndarray):
        return from_numpy(data) if data.dtype.kind in "fiub" else data
    if isinstance(data, Mapping):
        return {k: default_convert(v) for k, v in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(v) for v in data])
    if isinstance(data, (tuple, list)):
        return [default_convert(v) for v in data]
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples as one batch: tensors and ndarrays are stacked, numbers become a tensor (Python floats
    float64), dicts, tuples and lists are put together field by field, strings stay a list.

    Raises TypeError for other types, ValueError for fields that differ in number or shape.

    >>> import dlcore
    >>> dlcore.data.default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ['a', 'b']]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return F.stack(list(batch))
    if isinstance(first, np.ndarray):
        return from_numpy(np.stack(batch))
    if isinstance(first, (np.generic, bool, int)):
        return from_numpy(np.asarray(batch))
    if isinstance(first, float):
        return tensor(batch, dtype=np.float64)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {k: default_collate([d[k] for d in batch]) for k in first}
    if isinstance(first, (tuple, list)):
        if any(len(s) != len(first) for s in batch):
            raise ValueError(
                "default_collate: every sample of a batch must have as many fields as the first one"
            )
        fields = [default_collate(f) for f in zip(*batch)]
        return type(first)(*fields) if hasattr(first, "_fields") else fields
    raise TypeError(
        "default_collate: a batch must hold tensors, ndarrays, numbers, dicts, tuples or lists, got "
        f"{type(first).__name__}"
    )


class DataLoader:
    """Batches of a data set, epoch after epoch; arguments as torch.utils.data's.

    shuffle: a fresh order each epoch, from `generator` (None: dlcore's own; a seed; a NumPy Generator).
    num_workers: 0 loads in this thread; n loads in n threads, ahead of the training and in order. Batches
    come as `collate_fn` makes them of a list of samples; `batch_size=None` hands out samples themselves.

    `state_dict()` may be taken in the middle of an epoch; after `load_state_dict` the next iteration goes on
    with the batch that would have come, in the same order. That holds for orders drawn from `generator` or
    dlcore's own generator, for samplers and data sets with a state_dict of their own, and for what does not
    draw at all.

    Raises ValueError for arguments that exclude each other, TypeError for a data set without a length.

    >>> import dlcore
    >>> data = dlcore.data.TensorDataset(dlcore.arange(5))
    >>> [x.tolist() for (x,) in dlcore.data.DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to load in this thread"
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError("prefetch_factor needs num_workers > 0")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError("prefetch_factor option should be positive")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if multiprocessing_context is not None:
            raise NotImplementedError(
                "DataLoader: workers are threads; multiprocessing_context is not supported"
            )
        iterable = isinstance(dataset, IterableDataset)
        if iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader with IterableDataset takes no shuffle, sampler or batch_sampler")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
                    "drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.generator = None if generator is None else get_generator(generator)
        if sampler is None and not iterable:
            if shuffle:
                sampler = RandomSampler(dataset, generator=self.generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and not iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self._batched = batch_sampler is not None or (iterable and batch_size is not None)
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self.epoch = 0  # how many have begun
        self._position = 0  # batches of this epoch that were handed out
        self._active = False
        self._start: dict[str, Any] = {}  # the generators as the epoch began
        self._resume: dict[str, Any] | None = None
        self._serial = 0

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.batch_sampler if self._batched else self.sampler)

    # ---- the order -----------------------------------------------------------------------------------------

    def _own_generator(self) -> np.random.Generator | None:
        """The generator that the sampler draws from, where it is not dlcore's own."""
        if self.generator is not None:
            return self.generator
        inner = getattr(self.batch_sampler, "sampler", self.sampler)
        own = getattr(inner, "generator", None)
        return own if isinstance(own, np.random.Generator) else None

    def _stateful(self) -> list[tuple[str, Any]]:
        inner = getattr(self.batch_sampler, "sampler", None)
        parts = [("batch_sampler", self.batch_sampler), ("sampler", self.sampler), ("dataset", self.dataset)]
        if inner is not self.sampler:
            parts.append(("inner", inner))
        return [(name, x) for name, x in parts if hasattr(x, "load_state_dict") and hasattr(x, "state_dict")]

    def _snapshot(self) -> dict[str, Any]:
        own = self._own_generator()
        return {
            "library": dict(get_generator().bit_generator.state),
            "own": None if own is None else dict(own.bit_generator.state),
            **{name: x.state_dict() for name, x in self._stateful()},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        get_generator().bit_generator.state = state["library"]
        own = self._own_generator()
        if own is not None and state["own"] is not None:
            own.bit_generator.state = state["own"]
        for name, x in self._stateful():
            if name in state:
                x.load_state_dict(state[name])

    def _order(self) -> Iterator[Any]:
        """The rest of this epoch's order: of batches (lists of numbers, or of samples), or of single
        samples.
        """
        resume, self._resume = self._resume, None
        skip = 0
        if resume is not None and resume["active"]:
            now = dict(get_generator().bit_generator.state)
            self._restore(resume["start"])
            skip = self._position = resume["position"]
            self._start = resume["start"]
        else:
            self._position = 0
            self.epoch += 1
            self._start = self._snapshot()
        if isinstance(self.dataset, IterableDataset):
            order = iter(self.dataset)
            if self.batch_size is not None:
                order = _chunks(order, self.batch_size, self.drop_last)
        else:
            order = iter(self.batch_sampler if self._batched else self.sampler)
        if resume is not None and resume["active"]:
            for _ in islice(order, skip):
                pass
            get_generator().bit_generator.state = now
            own = self._own_generator()
            if own is not None and resume["own"] is not None:
                own.bit_generator.state = resume["own"]
        self._active = True
        return order

    def _fetch(self, item: Any) -> Any:
        if isinstance(self.dataset, IterableDataset):
            return self.collate_fn(item)
        if not self._batched:
            return self.collate_fn(self.dataset[item])
        if self.collate_fn is default_collate and hasattr(self.dataset, "gather"):
            return self.dataset.gather(item)
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate_fn(many(item) if many is not None else [self.dataset[i] for i in item])

    # ---- iteration -----------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        self._serial += 1
        return self._iterate(self._order(), self._serial)

    def _iterate(self, order: Iterator[Any], serial: int) -> Iterator[Any]:
        source = self._ahead(order) if self.num_workers else map(self._fetch, order)
        for batch in source:
            if serial == self._serial:  # the state is that of the iteration that began last
                self._position += 1
            yield batch
        if serial == self._serial:
            self._active = False

    def _ahead(self, order: Iterator[Any]) -> Iterator[Any]:
        """Batches in order, up to prefetch_factor of them a thread being loaded meanwhile."""
        number = count().__next__
        begin = self.worker_init_fn
        waiting: deque[Future[Any]] = deque()
        pool = ThreadPoolExecutor(
            self.num_workers, "dlcore-loader", None if begin is None else lambda: begin(number())
        )
        try:
            for item in islice(order, self.num_workers * (self.prefetch_factor or 2)):
                waiting.append(pool.submit(self._fetch, item))
            while waiting:
                batch = waiting.popleft().result(self.timeout or None)
                for item in islice(order, 1):
                    waiting.append(pool.submit(self._fetch, item))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    # ---- state ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Epoch, position and the generators as the epoch began: numbers, strings and dicts of them."""
        if self._resume is not None:
            return dict(self._resume)
        own = self._own_generator()
        return {
            "epoch": self.epoch,
            "position": self._position,
            "active": self._active,
            "start": self._start,
            "own": None if own is None else dict(own.bit_generator.state),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """The next iteration goes on where the saved one was; between epochs, a fresh one begins.

        Raises KeyError for a dict that is no loader's.
        """
        self.epoch = int(state_dict["epoch"])
        self._position = int(state_dict["position"])
        self._active = False
        self._serial += 1
        own = self._own_generator()
        if own is not None and state_dict["own"] is not None:
            own.bit_generator.state = state_dict["own"]
        self._resume = dict(state_dict) if state_dict["active"] else None


def _chunks(samples: Iterator[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    while batch := list(islice(samples, size)):
        if len(batch) == size or not drop_last:
            yield batch
