"""The one training loop, under Keras' `fit` and under `train.fit` for modules: epochs, batches, callbacks,
history.

A `Task` knows what a step is; the loop knows nothing else. It costs a few Python calls a batch and none a
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

from dlcore.random import set_rng_state
from dlcore.train.batches import ArrayBatches, Batch, IterableBatches
from dlcore.train.callbacks import CallbackList

__all__ = ["Epochs", "Position", "Task", "evaluate_loop", "train_loop"]

Batches = ArrayBatches | IterableBatches


class Position(NamedTuple):
    """Where in an epoch a training was interrupted, and the random states at the epoch's start and there."""

    batches: int
    at_start: dict[str, Any]
    here: dict[str, Any]


class Task(Protocol):
    """What the loop drives: a Keras model, or a `Trainer` around a module."""

    stop_training: bool
    _initial_epoch: int | None
    _position: Position | None

    def run_train_step(self, batch: Batch) -> None: ...
    def run_test_step(self, batch: Batch) -> None: ...
    def reset_metrics(self) -> None: ...
    def epoch_logs(self) -> dict[str, float]: ...


class Epochs:
    """Hands out one epoch of batches after another."""

    def __init__(self, data: Batches, steps: int | None, what: str) -> None:
        self.data, self.steps, self.what = data, steps, what
        self._live: Iterator[Batch] | None = None
        if steps is not None and steps < 1:
            raise ValueError(f"{what}: the number of steps must be at least 1, got {steps}")

    def __len__(self) -> int:
        return self.length or 0

    @property
    def length(self) -> int | None:
        own = len(self.data) if isinstance(self.data, ArrayBatches) else self.data.known_length()
        if self.steps is None:
            return own
        # Without a length, or from a source that goes on, an epoch is `steps` batches.
        return self.steps

    def epoch(self) -> Iterator[Batch]:
        if self.steps is None:
            return iter(self.data)
        return self._resumed(self.steps)

    def _resumed(self, steps: int) -> Iterator[Batch]:
        """`steps` batches that go on where the last epoch stopped; what has ended begins anew."""
        given = 0
        while given < steps:
            fresh = self._live is None
            if self._live is None:
                self._live = iter(self.data)
            before = given
            for batch in islice(self._live, steps - given):
                given += 1
                yield batch
            if given < steps:
                self._live = None
                if fresh and given == before:
                    return


def train_loop(
    task: Task,
    data: Batches,
    callbacks: CallbackList,
    epochs: int = 1,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    validation_freq: int | Any = 1,
) -> None:
    """Runs epochs `initial_epoch` to `epochs`; `validate` gives the logs of a validation,
    without their prefix.
    """
    source = Epochs(data, steps_per_epoch, "fit")
    callbacks.set_params({"epochs": epochs, "steps": source.length})
    task.stop_training = False
    task._initial_epoch = task._position = None
    callbacks.on_train_begin()
    try:
        # A callback that restored an earlier state says where it ends.
        for epoch in range(task._initial_epoch or initial_epoch, epochs):
            done, task._position = task._position, None
            if done is None:
                task.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            batches, steps = source.epoch(), 0
            if done is not None:
                # The same order again, up to the batch that the interruption left.
                set_rng_state(done.at_start)
                steps = sum(1 for _ in islice(batches, done.batches))
                set_rng_state(done.here)
            for step, batch in enumerate(batches, steps):
                callbacks.on_train_batch_begin(step)
                task.run_train_step(batch)
                callbacks.on_train_batch_end(step, task.epoch_logs)
                steps += 1
                if task.stop_training:
                    break
            if steps == 0:
                raise ValueError(
                    "fit: there was no batch to train on (an empty array or an exhausted generator)"
                )
            if source.length is None:  # the first epoch has counted
                callbacks.set_params({"epochs": epochs, "steps": steps})
            logs = task.epoch_logs()
            due = (
                (epoch + 1) % validation_freq == 0
                if isinstance(validation_freq, int)
                else epoch + 1 in validation_freq
            )
            if validate is not None and due:
                logs.update({f"val_{k}": v for k, v in validate().items()})
            callbacks.on_epoch_end(epoch, logs)
            if task.stop_training:
                break
    finally:
        callbacks.close()
    callbacks.on_train_end()


def evaluate_loop(
    task: Task, data: Batches, callbacks: CallbackList, steps: int | None = None
) -> dict[str, float]:
    """One pass without training; the logs of the whole."""
    source = Epochs(data, steps, "evaluate")
    callbacks.set_params({"steps": source.length})
    task.reset_metrics()
    callbacks.on_test_begin()
    n = 0
    for step, batch in enumerate(source.epoch()):
        callbacks.on_test_batch_begin(step)
        task.run_test_step(batch)
        callbacks.on_test_batch_end(step, task.epoch_logs)
        n += 1
    if n == 0:
        raise ValueError(
            "evaluate: there was no batch to evaluate (an empty array or an exhausted generator)"
        )
    logs = task.epoch_logs()
    callbacks.on_test_end(logs)
    return logs
