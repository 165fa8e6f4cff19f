"""compile, fit, evaluate, predict: what a model does with data. The loop itself is dlcore.train's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlcore.autograd import no_grad
from dlcore.keras import _random, optimizers
from dlcore.keras import losses as losses_module
from dlcore.keras import metrics as metrics_module
from dlcore.keras._registry import serialize_any
from dlcore.keras.compiled import CompileLoss, CompileMetrics, checked_names
from dlcore.keras.layers.base import KerasTensor, Layer, forward_pass, to_tensor
from dlcore.tensor import Tensor
from dlcore.train.batches import ArrayBatches, Batch, IterableBatches, make_batches, tree_leaves, tree_map
from dlcore.train.callbacks import CallbackList, History, ProgbarLogger
from dlcore.train.loop import Epochs, Position, evaluate_loop, train_loop

__all__ = ["Trainable"]

NDArray = npt.NDArray[Any]


class Compiled(NamedTuple):
    """What `compile` was given."""

    loss: Any
    loss_weights: Any
    metrics: Any
    weighted_metrics: Any


def number(v: Any) -> Any:
    """A metric's result as a float, or an ndarray where it has several values."""
    if isinstance(v, Tensor):
        v = v.detach().numpy()
    a = np.asarray(v)
    return float(a) if a.ndim == 0 else a


class Trainable(Layer):
    """A layer that can be compiled and trained."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_training = False
        self._initial_epoch: int | None = None
        self._position: Position | None = None
        self.optimizer: Any = None
        self.history: History | None = None
        self._compiled: Compiled | None = None
        self._loss_tracker = metrics_module.Mean(name="loss")
        self._compile_loss: CompileLoss | None = None
        self._compile_metrics: CompileMetrics | None = None
        self._weights_cache: list[Any] | None = None
        self._step_logs: dict[str, Any] | None = None

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
        checked_names(loss, losses_module.get, ("crossentropy", "ce"))
        for given in (metrics, weighted_metrics):
            checked_names(given, metrics_module.get, ("accuracy", "acc", "crossentropy", "ce"))
        self.optimizer = optimizers.get(optimizer)
        self._compiled = Compiled(loss, loss_weights, metrics, weighted_metrics)
        names = self.output_names
        self._compile_loss = None if loss is None else CompileLoss(loss, loss_weights, names)
        self._compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            self._compile_metrics = CompileMetrics(metrics, weighted_metrics, names)
        self.stop_training = False
        self._loss_tracker.reset_state()

    def get_compile_config(self) -> dict[str, Any] | None:
        if self._compiled is None:
            return None
        c = self._compiled
        return {
            "optimizer": serialize_any(self.optimizer),
            "loss": serialize_any(c.loss),
            "loss_weights": serialize_any(c.loss_weights),
            "metrics": serialize_any(c.metrics),
            "weighted_metrics": serialize_any(c.weighted_metrics),
            "run_eagerly": False,
            "steps_per_execution": 1,
            "jit_compile": False,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says; builds the optimizer where there are weights."""

        def made(v: Any, get: Callable[[Any], Any]) -> Any:
            if isinstance(v, dict) and "class_name" in v:
                return get(v)
            if isinstance(v, dict):
                return {k: made(x, get) for k, x in v.items()}
            return [made(x, get) for x in v] if isinstance(v, list) else v

        self.compile(
            optimizer=optimizers.get(config["optimizer"]),
            loss=made(config.get("loss"), losses_module.get),
            loss_weights=config.get("loss_weights"),
            metrics=made(config.get("metrics"), metrics_module.get),
            weighted_metrics=made(config.get("weighted_metrics"), metrics_module.get),
        )
        if self.built and self.optimizer is not None and self.trainable_weights:
            self.optimizer.build(self.trainable_weights)

    @property
    def compiled(self) -> bool:
        return self._compiled is not None

    @property
    def loss(self) -> Any:
        return None if self._compiled is None else self._compiled.loss

    def _need_compiled(self, method: str) -> None:
        if self._compiled is None:
            raise ValueError(
                f"{method}: the model must be compiled first; call model.compile(optimizer, loss, metrics)."
                f" You must call `compile()` before calling `{method}()`."
            )

    @property
    def output_names(self) -> list[str]:
        return []

    @property
    def metrics(self) -> list[Any]:
        """The loss's mean, metrics set as attributes, those of `compile`, and the means of the outputs'
        losses."""
        out: list[Any] = [self._loss_tracker] if self._compiled is not None else []
        own = ("_loss_tracker", "_compile_metrics")
        for key, value in self.__dict__.items():
            if isinstance(value, metrics_module.Metric) and key not in own:
                out.append(value)
        for layer in self._walk():
            if layer is not self and not isinstance(layer, Trainable):
                out += [v for v in layer.__dict__.values() if isinstance(v, metrics_module.Metric)]
        if self._compile_metrics is not None:
            out.append(self._compile_metrics)
        if self._compile_loss is not None:
            out += self._compile_loss.metrics
        return out

    @property
    def metrics_names(self) -> list[str]:
        return [m.name for m in self.metrics]

    # ---- one step ------------------------------------------------------------------------------------------

    def _input(self, x: Any) -> Any:
        return tree_map(lambda a: to_tensor(a, self.dtype), x)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The total loss of a batch: that of `compile`, and what layers and regularizers add."""
        return self._total_loss(y, y_pred, sample_weight, self.losses)

    def _total_loss(self, y: Any, y_pred: Any, sample_weight: Any, extra: list[Any]) -> Any:
        total: Any = None
        if self._compile_loss is not None:
            if y is None:
                raise ValueError("fit: y must be given, the model was compiled with a loss")
            total = self._compile_loss(y, y_pred, sample_weight)
        for penalty in extra:
            total = penalty if total is None else total + penalty
        if total is None:
            raise ValueError(
                "fit: there is no loss; pass loss= to compile. No loss to compute. Provide a `loss` argument"
                " in `compile()`."
            )
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the metrics of `compile`; gives all results."""
        if self._compile_metrics is not None and y is not None:
            with no_grad():
                self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        logs: dict[str, Any] = {}
        for m in self.metrics:
            if isinstance(m, CompileMetrics) and not m.built:
                continue
            result = m.result()
            if isinstance(result, dict):
                logs.update(result)
            else:
                logs[m.name] = result
        return {k: number(logs[k]) for k in sorted(logs)}

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step on (x,), (x, y) or (x, y, sample_weight); override it for a loop of one's own."""
        self._train((*data, None, None)[:3])
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        self._test((*data, None, None)[:3])
        return self.get_metrics_result()

    def predict_step(self, data: Any) -> Any:
        x = data[0] if isinstance(data, tuple) else data
        return self(self._input(x), training=False)

    def zero_grad(self) -> None:
        for w in self.weights:
            w.grad = None

    def _forward(self, batch: Batch, training: bool) -> Any:
        x, y, weight = batch
        x = self._input(x)
        with forward_pass(training) as extra:
            y_pred = self(x, training=training)
            if type(self).compute_loss is Trainable.compute_loss:
                regularized = [w for w in self._step_weights() if w.regularizer is not None]
                extra = [*extra, *[w.regularizer(w) for w in regularized]]
                loss = self._total_loss(y, y_pred, weight, extra)
            else:
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weight, training=training)
        n = tree_leaves(y_pred)[0].shape[0]
        self._loss_tracker.update_state(loss.item(), n)
        if self._compile_metrics is not None and y is not None:
            if type(self).compute_metrics is Trainable.compute_metrics:
                self._compile_metrics.update_state(y, y_pred, weight)
            else:
                self.compute_metrics(x, y, y_pred, weight)
        return loss

    def _step_weights(self) -> list[Any]:
        """The weights that are trained, found once a fit: the first batch may still build them."""
        if self._weights_cache is None:
            weights = self.trainable_weights
            if not weights or not self.built:
                return weights
            self._weights_cache = weights
        return self._weights_cache

    def _train(self, batch: Batch) -> None:
        loss = self._forward(batch, True)
        weights = self._step_weights()
        if not weights:
            return
        if not loss.requires_grad:
            raise ValueError("fit: the loss does not depend on any weight that is trained")
        self.optimizer.scale_loss(loss).backward()
        self.optimizer.apply([w.grad for w in weights], weights)
        for w in weights:
            w.grad = None

    def _test(self, batch: Batch) -> None:
        with no_grad():
            self._forward(batch, False)

    def _data(self, batch: Batch) -> tuple[Any, ...]:
        """A batch as a step of one's own takes it: Tensors, without what was not given."""
        x, y, w = batch
        parts = [self._input(x), *[tree_map(to_tensor, part) for part in (y, w) if part is not None]]
        return tuple(parts)

    def run_train_step(self, batch: Batch) -> None:
        if type(self).train_step is Trainable.train_step:
            self._train(batch)
            return
        with forward_pass(True):
            self._step_logs = self.train_step(self._data(batch))

    def run_test_step(self, batch: Batch) -> None:
        if type(self).test_step is Trainable.test_step:
            self._test(batch)
            return
        with no_grad(), forward_pass(False):
            self._step_logs = self.test_step(self._data(batch))

    def reset_metrics(self) -> None:
        self._step_logs = None
        for m in self.metrics:
            m.reset_state()

    def epoch_logs(self) -> dict[str, Any]:
        logs = self.get_metrics_result()
        own = self._step_logs
        if own and set(own) != set(logs):
            return {k: number(own[k]) for k in sorted(own)}
        return logs

    def _evaluation_values(self, logs: dict[str, Any]) -> list[Any]:
        """Results in the order of the metrics, then the others by name."""
        names: list[str] = []
        for m in self.metrics:
            names += [x.name for x in m.metrics] if isinstance(m, CompileMetrics) else [m.name]
        return [logs[n] for n in names if n in logs] + [logs[k] for k in sorted(logs) if k not in names]

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
            if sample_weight is not None:
                raise ValueError("You cannot `class_weight` and `sample_weight` at the same time.")
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
            self.optimizer.finalize_variable_values(self.trainable_weights)
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
        values = self._evaluation_values(logs)
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
            if type(self).predict_step is not Trainable.predict_step:
                return self.predict_step((self._input(x),))
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
        """One step on one batch; gives what `evaluate` gives, of this batch alone."""
        self._need_compiled("train_on_batch")
        self.reset_metrics()
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
        self.reset_metrics()
        self._weights_cache = None
        self.run_test_step((x, y, sample_weight))
        return self._batch_result(return_dict)

    def _batch_result(self, return_dict: bool) -> Any:
        if return_dict:
            return self.epoch_logs()
        values = self._evaluation_values(self.epoch_logs())
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
