"""Running values of an epoch as (sum, count)."""

from __future__ import annotations

from typing import Any

from dlcore.tensor import Tensor

__all__ = ["Mean"]

_PENDING = 256  # so many results may wait on a device before they are read


class Mean:
    """mean = sum_i(value_i * count_i) / sum_i(count_i).

    A Tensor given to `update` is read only when the mean is asked for, so that a device is not waited for at
    each step.

    >>> m = Mean()
    >>> m.update(1.0, 64); m.update(4.0, 32)
    >>> m.result()
    2.0
    """

    __slots__ = ("_pending", "count", "total")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total = 0.0
        self.count = 0.0
        self._pending: list[tuple[Tensor, float]] = []

    def update(self, value: Any, count: float = 1.0) -> None:
        if isinstance(value, Tensor):
            if value.device == "cpu":
                self.total += value.item() * count
            else:
                self._pending.append((value.detach(), count))
                if len(self._pending) >= _PENDING:
                    self._drain()
        else:
            self.total += float(value) * count
        self.count += count

    def result(self) -> float:
        self._drain()
        return self.total / self.count if self.count else 0.0

    def _drain(self) -> None:
        for value, count in self._pending:
            self.total += value.item() * count
        self._pending.clear()
