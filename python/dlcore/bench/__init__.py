"""The kernels beside NumPy, and the machine's limits: the library under `dlcore bench`.

A comparison is fair when both sides have the same threads, the same data and the same noise: NumPy's BLAS is
limited through threadpoolctl, the two run in turn, sample by sample, and the median and quartiles of the
samples are kept. Before anything is timed, both sides must agree.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dlcore import _C, config
from dlcore import kernels as K
from dlcore.bench.cases import Case, all_cases

__all__ = [
    "Case",
    "Machine",
    "Result",
    "Spread",
    "all_cases",
    "blas_threads",
    "compare",
    "geometric_mean",
    "measure_machine",
    "report",
    "run",
]


@dataclass(frozen=True)
class Spread:
    """Seconds: the median and the quartiles of `samples` samples."""

    median: float
    q1: float
    q3: float
    samples: int

    @staticmethod
    def of(seconds: Iterable[float]) -> Spread:
        s = np.asarray(list(seconds))
        q1, median, q3 = np.percentile(s, [25, 50, 75])
        return Spread(float(median), float(q1), float(q3), len(s))

    @property
    def iqr(self) -> float:
        return self.q3 - self.q1


@dataclass(frozen=True)
class Machine:
    """What the chosen ISA reaches at most with `threads` threads: flop/s in float32, byte/s."""

    isa: str
    threads: int
    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Result:
    name: str
    group: str
    dlcore: Spread
    numpy: Spread
    flops: float  # of one call
    bytes: float  # that one call must read and write at least
    fma_share: float  # of the machine's measured FMA peak
    bandwidth_share: float  # of its measured bandwidth; above 1 where the data stay in a cache
    ratio: float  # NumPy's time over dlcore's

    @property
    def intensity(self) -> float:
        return self.flops / self.bytes

    @property
    def share(self) -> tuple[float, str]:
        """Of the limit that binds this kernel: the larger of the two shares, and which."""
        return max((self.fma_share, "FMA"), (self.bandwidth_share, "mem"))

    @property
    def rate(self) -> tuple[float, str]:
        """In the unit of the limit that binds."""
        if self.share[1] == "FMA":
            return self.flops / self.dlcore.median / 1e9, "GFLOP/s"
        return self.bytes / self.dlcore.median / 1e9, "GB/s"

    def as_dict(self) -> dict[str, Any]:
        seconds = {"dlcore": asdict(self.dlcore), "numpy": asdict(self.numpy)}
        return {
            **asdict(self),
            **seconds,
            "gflops": self.flops / self.dlcore.median / 1e9,
            "gbytes": self.bytes / self.dlcore.median / 1e9,
            "intensity": self.intensity,
        }


def blas_threads(n: int) -> AbstractContextManager[Any]:
    """Limits NumPy's BLAS to n threads; warns and does nothing where threadpoolctl is missing."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        warnings.warn(
            "threadpoolctl is missing (pip install 'dlcore[bench]'): NumPy's BLAS keeps its own threads",
            stacklevel=2,
        )
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(limits=n, user_api="blas")
    return limits


@contextmanager
def _threads(n: int | None) -> Iterator[int]:
    before = _C.num_threads()
    n = before if n is None else n
    _C.set_num_threads(n)
    try:
        with blas_threads(n):
            yield n
    finally:
        _C.set_num_threads(before)


def _time(f: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        f()
    return (time.perf_counter() - start) / calls


def wait_for_idle(limit: float = 0.5) -> None:
    """Sleeps until no thread of this process computes. OpenBLAS's workers poll for a while after a product: a
    core that the other side would miss.
    """
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 2e-3:
            return


def compare(
    functions: dict[str, Callable[[], Any]], budget: float = 1.0, rounds: int = 21, settle: bool = False
) -> dict[str, Spread]:
    """Times the functions in turn for about `budget` seconds in all: at least 3 rounds, at most `rounds`.

    A sample is as many calls as take five milliseconds, so that the clock does not count.
    An untimed call before it wakes the threads and brings the data back into the caches;
    `settle` waits before each sample until the other side's threads sleep.
    """
    calls = {}
    for name, f in functions.items():
        f()  # first use: pages, caches, thread pools
        calls[name] = max(1, math.ceil(5e-3 / max(_time(f, 1), 1e-7)))
        calls[name] = max(1, math.ceil(5e-3 / max(_time(f, calls[name]), 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    spent = 0.0
    for i in range(rounds):
        if i >= 3 and spent > budget:
            break
        for name, f in functions.items():
            if settle:
                wait_for_idle()
            f()
            seconds[name].append(_time(f, calls[name]))
            spent += seconds[name][-1] * calls[name]
    return {name: Spread.of(s) for name, s in seconds.items()}


def lanes(dtype: Any = np.float32) -> int:
    """Elements in a vector of the chosen ISA."""
    width = {"x86_64_v4": 64, "x86_64_v3": 32}.get(_C.current_isa(), 16)
    return width // int(np.dtype(dtype).itemsize)


def measure_machine(threads: int | None = None, seconds: float = 0.5, dtype: Any = np.float32) -> Machine:
    """The best of many short runs of `kernels.fma_peak` and `kernels.stream_triad`: limits, hence no
    medians.
    """
    with _threads(threads) as n:
        x = np.ones(n, dtype)
        per_step = 2 * _C.FMA_CHAINS * lanes(dtype) * n
        steps = 100_000
        best = float("inf")
        end = time.perf_counter() + seconds / 2
        while time.perf_counter() < end:
            best = min(best, _time(lambda: K.fma_peak(x, steps), 1))
        flops = per_step * steps / best
        # Well beyond the last cache. The output is the kernel's own, so that its stores may bypass the
        # caches.
        a, b = np.ones(1 << 24, dtype), np.ones(1 << 24, dtype)
        c = K.stream_triad(a, b, 0.5)
        best = float("inf")
        end = time.perf_counter() + seconds / 2
        while best == float("inf") or time.perf_counter() < end:
            best = min(best, _time(lambda: K.stream_triad(a, b, 0.5, c), 1))
        return Machine(_C.current_isa(), n, flops, 3 * a.nbytes / best)


def _agree(case: Case, ours: Any, theirs: Any) -> None:
    ours = ours if isinstance(ours, tuple) else (ours,)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for a, b in zip(ours, theirs, strict=True):
        if b is None:
            continue
        a, b = np.asarray(a), np.asarray(b)
        scale = float(np.abs(b).max(initial=0.0))
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-3, atol=1e-4 * max(scale, 1e-30)):
            raise ValueError(f"{case.name}: dlcore and NumPy disagree, nothing to compare")


def _run_one(case: Case, machine: Machine, budget: float) -> Result:
    ours, theirs = case.make(np.random.default_rng(0))
    _agree(case, ours(), theirs())
    seconds = compare({"dlcore": ours, "numpy": theirs}, budget, settle=machine.threads > 1 and budget > 0.1)
    t = seconds["dlcore"].median
    return Result(
        case.name,
        case.group,
        seconds["dlcore"],
        seconds["numpy"],
        case.flops,
        case.bytes,
        case.flops / t / machine.flops,
        case.bytes / t / machine.bandwidth,
        seconds["numpy"].median / t,
    )


def run(cases: Iterable[Case], machine: Machine, budget: float = 1.0) -> Iterator[Result]:
    """One Result a case, as it is measured, with the machine's number of threads."""
    with _threads(machine.threads):
        for case in cases:
            yield _run_one(case, machine, budget)


def geometric_mean(values: Iterable[float]) -> float:
    """exp(mean(log(values))): the mean of ratios that does not depend on which side is the unit.

    >>> geometric_mean([2.0, 8.0])
    4.0
    """
    logs = [math.log(v) for v in values]
    return round(math.exp(sum(logs) / len(logs)), 12) if logs else 1.0


def report(machine: Machine, results: list[Result]) -> dict[str, Any]:
    """Everything, for `--json`."""
    return {
        "machine": asdict(machine),
        "config": config.info(),
        "results": [r.as_dict() for r in results],
        "geometric_mean_ratio": geometric_mean(r.ratio for r in results),
    }
