"""compile, fit, evaluate, predict: what a model does with data. The loop itself is dlcore.train's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.autograd import no_grad
from dlcore.keras import _random, optimizers
from dlcore.keras import losses as losses_module
from dlcore.keras import metrics as metrics_module
from dlcore.keras.layers.base import KerasTensor, Layer, forward_pass, to_tensor
from dlcore.tensor import Tensor
from dlcore.train.batches import ArrayBatches, Batch, IterableBatches, make_batches, tree_leaves, tree_map
from dlcore.train.callbacks import CallbackList, History, ProgbarLogger
from dlcore.train.loop import Epochs, evaluate_loop, train_loop
from dlcore.train.meters import Mean

__all__ = ["Trainable"]

NDArray = npt.NDArray[Any]


class _Compiled:
    """What `compile` was given, and what it became when the first batch showed its shapes."""

    def __init__(self, loss: Any, metrics: Any, weighted_metrics: Any, loss_weights: Any) -> None:
        self.loss = loss
        self.metrics = metrics
        self.weighted_metrics = weighted_metrics
        self.loss_weights = loss_weights
        self.resolved_losses: list[Any] | None = None
        self.resolved_metrics: list[tuple[str, metrics_module.Metric, int, bool]] = []
        self.loss_means: list[Mean] = []


def _names(identifier: Any) -> None:
    """Strings are checked when the model is compiled, not at the first batch."""
    for leaf in tree_leaves(identifier):
        if isinstance(leaf, str) and leaf.lower() not in ("accuracy", "acc", "crossentropy", "ce"):
            metrics_module.get(leaf)


class Trainable(Layer):
    """A layer that can be compiled and trained."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_training = False
        self.optimizer: Any = None
        self.history: History | None = None
        self._compiled: _Compiled | None = None
        self._loss_mean = Mean()
        self._weights_cache: list[Any] | None = None

    # ---- compile -------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Sets optimizer, loss and metrics, each by name or as an object."""
        for leaf in tree_leaves(loss):
            if isinstance(leaf, str) and leaf.lower() not in ("crossentropy", "ce"):
                losses_module.get(leaf)
        if metrics is not None and not isinstance(metrics, (list, tuple, dict)):
            raise ValueError(f"compile: metrics must be a list, a tuple or a dict, got {metrics!r}")
        _names(metrics)
        _names(weighted_metrics)
        self.optimizer = optimizers.get(optimizer)
        if not isinstance(self.optimizer, optimizers.Optimizer):
            raise TypeError(f"compile: optimizer must be a name or an Optimizer, got {optimizer!r}")
        self._compiled = _Compiled(loss, metrics, weighted_metrics, loss_weights)

    @property
    def compiled(self) -> bool:
        return self._compiled is not None

    @property
    def loss(self) -> Any:
        return None if self._compiled is None else self._compiled.loss

    def _need_compiled(self, method: str) -> _Compiled:
        if self._compiled is None:
            raise ValueError(
                f"{method}: the model must be compiled first; call model.compile(optimizer, loss, metrics)"
            )
        return self._compiled

    @property
    def output_names(self) -> list[str]:
        return []

    @property
    def metrics(self) -> list[Any]:
        return [] if self._compiled is None else [m for _, m, _, _ in self._compiled.resolved_metrics]

    @property
    def metrics_names(self) -> list[str]:
        return ["loss", *[n for n, _, _, _ in self._compiled.resolved_metrics]] if self._compiled else []

    def _per_output(self, given: Any, n: int, what: str, nested: bool) -> list[Any]:
        """An argument of compile, one entry an output."""
        names = self.output_names
        if n == 1:
            if isinstance(given, dict):
                if len(given) != 1:
                    raise ValueError(f"compile: {what} names {list(given)}, the model has one output")
                given = next(iter(given.values()))
            elif not nested and isinstance(given, (list, tuple)):
                given = given[0]
            return [given]
        if isinstance(given, dict):
            unknown = [k for k in given if k not in names]
            if unknown:
                raise ValueError(f"compile: {what} names {unknown[0]!r}, the outputs are {names}")
            return [given.get(k) for k in names]
        if isinstance(given, (list, tuple)):
            if len(given) != n:
                raise ValueError(
                    f"compile: {what} must have one entry for each of the {n} outputs, got {len(given)}"
                )
            return list(given)
        return [given] * n

    def _resolve(self, y: list[Any], y_pred: list[Tensor]) -> _Compiled:
        c = self._need_compiled("fit")
        if c.resolved_losses is not None:
            return c
        n = len(y_pred)
        found = []
        for identifier, t, p in zip(self._per_output(c.loss, n, "loss", False), y, y_pred):
            found.append(None if identifier is None else losses_module.as_loss(identifier, t, p))
        out: list[tuple[str, metrics_module.Metric, int, bool]] = []
        for given, weighted in ((c.metrics, False), (c.weighted_metrics, True)):
            if not given:
                continue
            for i, entries in enumerate(self._per_output(given, n, "metrics", True)):
                for entry in tree_leaves(entries if isinstance(entries, (list, tuple)) else [entries]):
                    metric = metrics_module.as_metric(entry, y[i], y_pred[i])
                    name = (
                        f"{self.output_names[i]}_{metric.name}"
                        if n > 1 and self.output_names
                        else metric.name
                    )
                    taken = [k for k, _, _, _ in out]
                    if name in taken and weighted:
                        name = f"weighted_{name}"
                    base, k = name, 1
                    while name in taken:
                        name, k = f"{base}_{k}", k + 1
                    out.append((name, metric, i, weighted))
        c.resolved_losses = found
        c.resolved_metrics = out
        c.loss_means = [Mean() for _ in found] if n > 1 else []
        return c

    # ---- one step ------------------------------------------------------------------------------------------

    def _input(self, x: Any) -> Any:
        return tree_map(lambda a: to_tensor(a, self.dtype), x)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Any:
        """The loss without the regularizers' penalties."""
        targets, outputs = tree_leaves(y), tree_leaves(y_pred)
        if len(targets) != len(outputs):
            raise ValueError(f"fit: the model has {len(outputs)} outputs, y has {len(targets)}")
        for t, p in zip(targets, outputs):
            if len(np.shape(t)) and np.shape(t)[0] != p.shape[0]:
                raise ValueError(
                    f"fit: y has {np.shape(t)[0]} samples in a batch, the model's output {p.shape[0]}"
                )
        c = self._resolve(targets, outputs)
        assert c.resolved_losses is not None
        weights = tree_leaves(sample_weight)
        if len(weights) < len(outputs):
            weights = [weights[0] if weights else None] * len(outputs)
        scale = (
            [None] * len(outputs)
            if c.loss_weights is None
            else self._per_output(c.loss_weights, len(outputs), "loss_weights", False)
        )
        total: Any = None
        for i, (f, t, p, w, s) in enumerate(zip(c.resolved_losses, targets, outputs, weights, scale)):
            if f is None:
                continue
            value = f(t, p, w)
            if value.ndim:
                value = value.mean()
            if s is not None:
                value = value * float(s)
            if c.loss_means:
                c.loss_means[i].update(value.detach(), p.shape[0])
            total = value if total is None else total + value
        return total

    def _step(self, batch: Batch, training: bool) -> Any:
        x, y, weight = batch
        x = self._input(x)
        with forward_pass(training) as extra:
            y_pred = self(x)
            n = tree_leaves(y_pred)[0].shape[0]
            if y is None and self._compiled is not None and self._compiled.loss is not None:
                raise ValueError("fit: y must be given, the model was compiled with a loss")
            loss = None if y is None else self.compute_loss(x, y, y_pred, weight)
            extra = [*extra, *[w.regularizer(w) for w in self._step_weights() if w.regularizer is not None]]
        for penalty in extra:
            loss = penalty if loss is None else loss + penalty
        if loss is None:
            raise ValueError("fit: there is no loss; pass loss= to compile")
        self._loss_mean.update(loss.detach(), n)
        if y is not None and self._compiled is not None:
            targets, outputs, weights = tree_leaves(y), tree_leaves(y_pred), tree_leaves(weight)
            for _, metric, i, weighted in self._compiled.resolved_metrics:
                if weighted and weights:
                    metric.update_state(targets[i], outputs[i].detach(), weights[min(i, len(weights) - 1)])
                else:
                    metric.update_state(targets[i], outputs[i].detach())
        return loss

    def _step_weights(self) -> list[Any]:
        """The weights that are trained, found once a fit: the first batch may still build them."""
        if self._weights_cache is None:
            weights = self.trainable_weights
            if not weights or not self.built:
                return weights
            self._weights_cache = weights
        return self._weights_cache

    def run_train_step(self, batch: Batch) -> None:
        loss = self._step(batch, True)
        weights = self._step_weights()
        if not weights:
            return
        if not loss.requires_grad:
            raise ValueError("fit: the loss does not depend on any weight that is trained")
        loss.backward()
        self.optimizer.apply([w.grad for w in weights], weights)
        for w in weights:
            w.grad = None

    def run_test_step(self, batch: Batch) -> None:
        with no_grad():
            self._step(batch, False)

    def reset_metrics(self) -> None:
        self._loss_mean.reset()
        if self._compiled is not None:
            for m in self._compiled.loss_means:
                m.reset()
            for _, metric, _, _ in self._compiled.resolved_metrics:
                metric.reset_state()

    def epoch_logs(self) -> dict[str, float]:
        logs: dict[str, Any] = {"loss": self._loss_mean.result()}
        if self._compiled is not None:
            for name, m in zip(self.output_names, self._compiled.loss_means):
                logs[f"{name}_loss"] = m.result()
            for name, metric, _, _ in self._compiled.resolved_metrics:
                logs[name] = metric.result()
        return {k: logs[k] for k in sorted(logs)}

    def _evaluation_values(self) -> list[Any]:
        c = self._need_compiled("evaluate")
        return [self._loss_mean.result(), *[m.result() for _, m, _, _ in c.resolved_metrics]]

    # ---- fit -----------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Trains for `epochs` passes over x, y (arrays, or an iterable of batches); returns the History.

        validation_split holds the last part of the arrays back, before any shuffling.
        """
        self._need_compiled("fit")
        verbose = _verbosity(verbose)
        validation_data = _unpacked(validation_data)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = _split(x, y, sample_weight, validation_split)
        order = _random.generator().permutation if shuffle else None
        data = make_batches(x, y, sample_weight, batch_size, order)
        if class_weight is not None:
            data = _Weighted(data, class_weight)
        history = History()
        self.history = history
        bar = ProgbarLogger(verbose) if verbose else None
        callback_list = (
            callbacks if isinstance(callbacks, CallbackList) else CallbackList(callbacks, self, bar, history)
        )
        validate = None
        if validation_data is not None:
            size = validation_batch_size or batch_size
            held_out = make_batches(
                validation_data[0], validation_data[1], validation_data[2], size, what="validation_data"
            )

            def validate() -> dict[str, float]:
                with_training = evaluate_loop(self, held_out, callback_list, validation_steps)
                callback_list.set_params(params)
                return with_training

        params = {"epochs": epochs, "steps": Epochs(data, steps_per_epoch, "fit").length, "verbose": verbose}
        self._weights_cache = None
        try:
            train_loop(
                self, data, callback_list, epochs, initial_epoch, steps_per_epoch, validate, validation_freq
            )
        finally:
            self._weights_cache = None
        return history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss, or [loss, *metrics], over x, y; a dict by name where `return_dict`."""
        self._need_compiled("evaluate")
        self._weights_cache = None
        verbose = _verbosity(verbose)
        bar = ProgbarLogger(verbose) if verbose else None
        logs = evaluate_loop(
            self,
            make_batches(x, y, sample_weight, batch_size, what="evaluate"),
            CallbackList(callbacks, self, bar),
            steps,
        )
        if return_dict:
            return logs
        values = self._evaluation_values()
        return values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for x as ndarrays, batch by batch; memory beyond the result does not grow with x."""
        verbose = _verbosity(verbose)
        data = make_batches(x, None, None, batch_size, what="predict")
        source = Epochs(data, steps, "predict")
        callback_list = CallbackList(callbacks, self, ProgbarLogger(verbose) if verbose else None)
        callback_list.set_params({"steps": source.length})
        callback_list.on_predict_begin()
        total = data.n if isinstance(data, ArrayBatches) and steps is None else None
        result: Any = None
        parts: list[Any] = []
        at = 0
        for step, batch in enumerate(source.epoch()):
            callback_list.on_predict_batch_begin(step)
            out = tree_map(lambda t: t.detach().numpy(), self._predict(batch[0]))
            if total is None:
                parts.append(tree_map(np.array, out))
            else:
                if result is None:
                    result = tree_map(lambda a: np.empty((total, *a.shape[1:]), a.dtype), out)
                n = tree_leaves(out)[0].shape[0]
                for into, a in zip(tree_leaves(result), tree_leaves(out)):
                    into[at : at + n] = a
                at += n
            callback_list.on_predict_batch_end(step, {"outputs": out})
        callback_list.on_predict_end()
        if total is not None:
            if result is None:
                return self.predict_on_batch(x)
            return result
        if not parts:
            raise ValueError("predict: there was no batch (an empty array or an exhausted generator)")
        leaves = [np.concatenate(p) for p in zip(*[tree_leaves(p) for p in parts])]
        rest = iter(leaves)
        return tree_map(lambda _: next(rest), parts[0])

    def _predict(self, x: Any) -> Any:
        with no_grad(), forward_pass(False):
            return self(self._input(x))

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs of one batch."""
        return tree_map(lambda t: np.array(t.detach().numpy()), self._predict(x))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch; gives what `evaluate` gives,
        of this batch and those since `reset_metrics`.
        """
        self._need_compiled("train_on_batch")
        self._weights_cache = None
        if class_weight is not None:
            sample_weight = _class_weights(y, class_weight, sample_weight)
        self.run_train_step((x, y, sample_weight))
        return self._batch_result(return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and metrics of one batch, without training."""
        self._need_compiled("test_on_batch")
        self._weights_cache = None
        self.run_test_step((x, y, sample_weight))
        return self._batch_result(return_dict)

    def _batch_result(self, return_dict: bool) -> Any:
        if return_dict:
            return self.epoch_logs()
        values = self._evaluation_values()
        return values[0] if len(values) == 1 else values


# ---- what fit is given -------------------------------------------------------------------------------------


def float_input(a: Any, dtype: str) -> Any:
    """An input of a graph model: numbers of any dtype as floats (Keras' inputs are float32 unless they say
    otherwise).
    """
    if isinstance(a, (Tensor, KerasTensor)):
        return a
    a = np.asarray(a)
    if a.dtype.kind in "iub":
        a = a.astype(dtype)
    return to_tensor(a, dtype)


def ranked(a: Any, want: Any) -> Any:
    """An image without its one channel, or with one too many, as Keras takes it."""
    if want is None or not isinstance(a, Tensor):
        return a
    if a.ndim == len(want) - 1 and want[-1] == 1:
        return a.unsqueeze(-1)
    if a.ndim == len(want) + 1 and a.shape[-1] == 1:
        return a.squeeze(-1)
    return a


def _verbosity(verbose: Any) -> int:
    if verbose == "auto" or verbose is True:
        return 1
    if verbose in (0, 1, 2):
        return int(verbose)
    raise ValueError(f"fit: verbose must be 'auto', 0, 1 or 2, got {verbose!r}")


def _unpacked(data: Any) -> Any:
    """validation_data: (x, y), (x, y, sample_weight), or an iterable of batches."""
    if data is None:
        return None
    if isinstance(data, (tuple, list)):
        if not 1 <= len(data) <= 3:
            raise ValueError(
                f"fit: validation_data must be (x, y) or (x, y, sample_weight), got {len(data)} parts"
            )
        return (*data, None, None)[:3]
    return (data, None, None)


def _split(x: Any, y: Any, w: Any, fraction: float) -> Any:
    """The last `fraction` of the samples, held back."""
    if not 0 < fraction < 1:
        raise ValueError(f"fit: validation_split must be between 0 and 1, got {fraction}")
    data = ArrayBatches(x, y, w).data if not hasattr(x, "__next__") else None
    if data is None:
        raise ValueError("fit: validation_split needs arrays; pass validation_data with an iterable")
    n = len(tree_leaves(data[0])[0])
    cut = int(np.floor(n * (1.0 - fraction)))
    if cut == 0 or cut == n:
        raise ValueError(
            f"fit: {n} samples cannot be split by validation_split={fraction}: one part would be empty"
        )
    return tree_map(lambda a: a[:cut], data), tree_map(lambda a: a[cut:], data)


def _class_weights(y: Any, class_weight: dict[int, float], sample_weight: Any) -> NDArray:
    labels = y.detach().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] > 1 else labels[..., 0]
    labels = labels.astype(np.int64)
    table = np.ones(max(max(class_weight, default=0), int(labels.max(initial=0))) + 1, np.float32)
    for k, v in class_weight.items():
        table[int(k)] = v
    w: NDArray = table[labels]
    return w if sample_weight is None else w * np.asarray(sample_weight, np.float32).reshape(w.shape)


class _Weighted(IterableBatches):
    """Batches whose samples weigh by their class."""

    def __init__(self, data: Any, class_weight: dict[int, float]) -> None:
        if not isinstance(class_weight, dict):
            raise TypeError(
                f"fit: class_weight must be a dict from class to weight, got {type(class_weight).__name__}"
            )
        self.data = data
        self.class_weight = class_weight
        self._once = False

    def known_length(self) -> int | None:
        return len(self.data) if isinstance(self.data, ArrayBatches) else self.data.known_length()

    def __iter__(self) -> Iterator[Batch]:
        for x, y, w in self.data:
            yield x, y, _class_weights(y, self.class_weight, w)
