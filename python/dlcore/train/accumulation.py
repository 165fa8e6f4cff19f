"""Gradients of a big batch from small ones: sums of losses and their counts, divided once."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dlcore import _C
from dlcore.tensor import Tensor

__all__ = ["GradientAccumulator", "cross_entropy_count"]


def cross_entropy_count(
    input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100
) -> float:
    """What `cross_entropy(..., reduction="mean")` divides its sum by.

    Class indices: the number of targets that are not `ignore_index`, or the sum of their weights; class
    probabilities: the number of samples. input (N, C, ...) or (C,), target (N, ...) or as the input.

    >>> import dlcore
    >>> x, y = dlcore.zeros(3, 2), dlcore.tensor([0, 1, -100])
    >>> dlcore.train.cross_entropy_count(x, y)
    2.0
    >>> dlcore.train.cross_entropy_count(x, y, weight=dlcore.tensor([0.5, 2.0]))
    2.5
    """
    if target.dtype.kind == "f":
        classes = input.shape[0 if input.ndim == 1 else 1]
        return input.numel() / max(1, classes)
    labels = _C.to_device(target.array, "cpu").numpy()
    labels = labels[labels != ignore_index]
    if weight is None:
        return float(labels.size)
    return float(_C.to_device(weight.array, "cpu").numpy()[labels].sum(dtype=np.float64))


class GradientAccumulator:
    """Gradients of the mean loss over several batches, as of one: (sum of losses) / (sum of counts).

    `add(loss, count)` runs the backward of a loss that is a sum (`reduction="sum"`) over `count` elements,
    samples or weights; `finish()` divides the gradients by all counts and returns the mean loss. Windows may
    be of any length, so the last one of an epoch needs no care. The mean of means, by contrast, is wrong
    where batches differ in size, weights or ignored targets. What looks at a whole batch (batch
    normalisation) sees the small ones.

    Raises RuntimeError for gradients that were left from before, ValueError where there is nothing to divide
    by.

    >>> import dlcore
    >>> w = dlcore.nn.Parameter(dlcore.tensor([1.0]))
    >>> window = dlcore.train.GradientAccumulator([w])
    >>> for batch in ([1.0, 2.0], [6.0]):
    ...     x = dlcore.tensor(batch)
    ...     window.add((w * x).sum(), len(batch))
    >>> window.finish(), w.grad.item()
    (3.0, 3.0)
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        self._start()

    def _start(self) -> None:
        self.loss_sum = 0.0
        self.count = 0.0
        self.batches = 0

    def _grads(self) -> list[_C.Array]:
        return [p.grad.array for p in self.parameters if p.grad is not None]

    def add(self, loss: Tensor, count: float) -> None:
        """The backward of one batch's summed loss."""
        if not count >= 0:
            raise ValueError(f"GradientAccumulator: count must not be negative, got {count}")
        if self.batches == 0 and _C.grad_norm(self._grads(), math.inf) != 0:
            raise RuntimeError("GradientAccumulator: clear the gradients first (optimizer.zero_grad())")
        loss.backward()
        self.loss_sum += float(loss.item())
        self.count += float(count)
        self.batches += 1

    def finish(self) -> float:
        """Divides all gradients by the sum of the counts, in one call, and begins a new window."""
        if self.batches == 0 or self.count == 0:
            self._start()
            raise ValueError("GradientAccumulator: the window must hold at least one counted element")
        grads = self._grads()
        if grads:
            _C.scale_(grads, 1.0 / self.count)
        mean = self.loss_sum / self.count
        self._start()
        return mean
