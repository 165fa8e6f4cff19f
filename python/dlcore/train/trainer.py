"""`fit` for plain modules: a module, a loss and an optimizer from dlcore.nn and dlcore.optim in the one
training loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dlcore.autograd import no_grad
from dlcore.tensor import Tensor, from_numpy
from dlcore.train.batches import Batch, IterableBatches, make_batches, tree_leaves, tree_map
from dlcore.train.callbacks import Callback, CallbackList, History, ProgbarLogger
from dlcore.train.loop import Position, evaluate_loop, train_loop
from dlcore.train.meters import Mean

__all__ = ["Trainer", "fit"]

Metric = Callable[[Tensor, Any], Any]


def accuracy(output: Tensor, target: Any) -> float:
    """The fraction of rows whose largest output is the target class (an index, or a one-hot row)."""
    p = output.detach().numpy().argmax(-1)
    t = target.detach().numpy() if isinstance(target, Tensor) else np.asarray(target)
    t = t.argmax(-1) if t.ndim > p.ndim else t
    return float((p == t.reshape(p.shape)).mean()) if p.size else 0.0


_METRICS: dict[str, Metric] = {"accuracy": accuracy, "acc": accuracy}


def _tensor(a: Any) -> Any:
    """An array of a batch as a Tensor: float64 and uint8 become float32 (images), integers stay integers."""
    if isinstance(a, Tensor):
        return a
    a = np.asarray(a)
    if a.dtype == np.uint8 or (a.dtype.kind == "f" and a.dtype != np.float32):
        a = a.astype(np.float32)
    return from_numpy(np.ascontiguousarray(a))


def _target(a: Any) -> Any:
    if isinstance(a, Tensor):
        return a
    a = np.asarray(a)
    return _tensor(a.astype(np.int64) if a.dtype.kind in "iu" else a)


class Trainer:
    """One step of training and of evaluation for `model(x)`, `loss(output, target)` and `optimizer`.

    metrics: names ("accuracy") or a mapping from a name to `f(output, target)`, the mean of which over all
    samples is reported. The losses of partial batches weigh by their samples.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any, Any], Tensor],
        optimizer: Any = None,
        metrics: Iterable[str] | Mapping[str, Metric] = (),
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = _OptimizerView(optimizer) if optimizer is not None else None
        if not isinstance(metrics, Mapping):
            names = [metrics] if isinstance(metrics, str) else list(metrics)
            unknown = [n for n in names if n not in _METRICS]
            if unknown:
                raise ValueError(f"fit: unknown metric {unknown[0]!r}; the names are {', '.join(_METRICS)}")
            metrics = {n: _METRICS[n] for n in names}
        self.metrics = dict(metrics)
        self.stop_training = False
        self._initial_epoch: int | None = None
        self._position: Position | None = None
        self.reset_metrics()

    def reset_metrics(self) -> None:
        self._means = {"loss": Mean(), **{name: Mean() for name in self.metrics}}

    def epoch_logs(self) -> dict[str, float]:
        return {name: m.result() for name, m in self._means.items()}

    def _forward(self, batch: Batch) -> Tensor:
        x, y, weight = batch
        if weight is not None:
            raise ValueError("fit: sample weights are not supported here; weigh inside the loss")
        x, y = tree_map(_tensor, x), tree_map(_target, y)
        output = self.model(x)
        loss = self.loss(output, y) if y is not None else self.loss(output, x)
        n = tree_leaves(x)[0].shape[0]
        self._means["loss"].update(loss.detach(), n)
        if self.metrics:
            with no_grad():
                for name, f in self.metrics.items():
                    self._means[name].update(f(output.detach(), y), n)
        return loss

    def run_train_step(self, batch: Batch) -> None:
        if not self.model.training:
            self.model.train()
        self.optimizer.zero_grad()  # type: ignore[union-attr]
        self._forward(batch).backward()
        self.optimizer.step()  # type: ignore[union-attr]

    def run_test_step(self, batch: Batch) -> None:
        if self.model.training:
            self.model.eval()
        with no_grad():
            self._forward(batch)

    # What callbacks ask for.

    def get_weights(self) -> dict[str, Any]:
        return {k: np.array(v) for k, v in self.model.state_dict().items()}

    def set_weights(self, weights: dict[str, Any]) -> None:
        self.model.load_state_dict(weights)


class _OptimizerView:
    """An optimizer of dlcore.optim with the `learning_rate` that callbacks set."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self.zero_grad = optimizer.zero_grad
        self.step = optimizer.step

    @property
    def learning_rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = value


def _is_pair(data: Any) -> bool:
    """(x,) or (x, y) of arrays; a list of batches is none."""
    return isinstance(data, (tuple, list)) and len(data) in (1, 2) and not isinstance(data[0], (tuple, list))


def _two(data: Any) -> tuple[Any, Any]:
    return (data[0], data[1] if len(data) > 1 else None)


def fit(
    model: Any,
    data: Any,
    loss: Callable[[Any, Any], Tensor],
    optimizer: Any,
    epochs: int = 1,
    batch_size: int = 32,
    metrics: Iterable[str] | Mapping[str, Metric] = (),
    validation_data: Any = None,
    callbacks: Callback | Iterable[Callback] | None = None,
    shuffle: bool = True,
    progress: bool | int = True,
    rng: Any = None,
) -> History:
    """Trains a module: for each batch, `loss(model(x), y).backward()` and `optimizer.step()`.

    data: a pair of arrays (x, y), cut into batches of `batch_size`, or an iterable of batches (x, y), which
    keeps its own. progress: True or 1 a bar, 2 a line an epoch, False nothing. rng: None, a seed or a
    Generator, for the order. The module is in evaluation mode afterwards only if validation left it so.

    Raises ValueError for arrays of different lengths, and for a data set without a batch.
    """
    trainer = Trainer(model, loss, optimizer, metrics)
    generator = np.random.default_rng(rng)
    pair = _is_pair(data)
    order = generator.permutation if shuffle else None
    batches = make_batches(*_two(data), None, batch_size, order) if pair else IterableBatches(data)
    history = History()
    bar = ProgbarLogger(int(progress)) if progress else None
    callback_list = CallbackList(callbacks, trainer, bar, history)
    validate = None
    if validation_data is not None:
        pair = _is_pair(validation_data)
        held_out = (
            make_batches(*_two(validation_data), None, batch_size)
            if pair
            else IterableBatches(validation_data)
        )

        def validate() -> dict[str, float]:
            return evaluate_loop(trainer, held_out, callback_list)

    train_loop(trainer, batches, callback_list, epochs, validate=validate)
    return history
