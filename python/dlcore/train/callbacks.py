"""Callbacks under Keras' names, for the one training loop.

`self.model` is what is being trained: a Keras model, or the `Trainer` around a module. What the callbacks
ask of it is `stop_training`, `optimizer`, `get_weights`, `set_weights`, `save`, `save_weights`.
"""

from __future__ import annotations

import csv
import math
import os
import warnings
from collections.abc import Callable, Iterable
from typing import IO, Any

from dlcore.train.progress import ProgressBar

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]

Logs = dict[str, float]


class Callback:
    """Base class: override the hooks that are of interest;
    `self.model` and `self.params` are set before the first.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self._model = model

    def on_train_begin(self, logs: Logs | None = None) -> None: ...
    def on_train_end(self, logs: Logs | None = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None: ...
    def on_test_end(self, logs: Logs | None = None) -> None: ...
    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_begin(self, logs: Logs | None = None) -> None: ...
    def on_predict_end(self, logs: Logs | None = None) -> None: ...
    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...


def _overrides(c: Any, *names: str) -> bool:
    """Whether a hook was redefined, in a class or on the instance:
    hooks that do nothing are never called a batch.
    """
    return any(
        getattr(getattr(c, n, None), "__func__", getattr(c, n, None)) is not getattr(Callback, n)
        for n in names
    )


class CallbackList:
    """The callbacks of one run; batch logs are made only where a callback wants them."""

    def __init__(
        self,
        callbacks: Callback | Iterable[Callback] | None = None,
        model: Any = None,
        progress: ProgbarLogger | None = None,
        history: History | None = None,
    ) -> None:
        given = (
            [] if callbacks is None else list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        )
        for c in given:
            if not callable(getattr(c, "on_epoch_end", None)):
                raise TypeError(f"fit: callbacks must be Callback objects, got {c!r}")
        own = next((c for c in given if isinstance(c, ProgbarLogger)), None)
        self.progress = own or progress
        self.callbacks: list[Any] = given
        if self.progress is not None and own is None:
            self.callbacks.append(self.progress)
        if history is not None:  # last: it keeps what the others have put into the logs
            self.callbacks.append(history)
        for c in self.callbacks:
            c.set_model(model)
        self._batch_begin = [
            c for c in self.callbacks if _overrides(c, "on_batch_begin", "on_train_batch_begin")
        ]
        self._batch_end = [
            c
            for c in self.callbacks
            if c is not self.progress and _overrides(c, "on_batch_end", "on_train_batch_end")
        ]
        self._test_begin = [c for c in self.callbacks if _overrides(c, "on_test_batch_begin")]
        self._test_end = [
            c for c in self.callbacks if c is not self.progress and _overrides(c, "on_test_batch_end")
        ]

    def set_params(self, params: dict[str, Any]) -> None:
        for c in self.callbacks:
            c.set_params(params)

    def _call(self, hook: str, *args: Any) -> None:
        for c in self.callbacks:
            getattr(c, hook)(*args)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._call("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._call("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._call("on_epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch: int) -> None:
        for c in self._batch_begin:
            c.on_train_batch_begin(batch, {})

    def on_train_batch_end(self, batch: int, make_logs: Callable[[], Logs]) -> None:
        logs: Logs | None = None
        if self._batch_end:
            logs = make_logs()
            for c in self._batch_end:
                c.on_train_batch_end(batch, logs)
        if self.progress is not None and self.progress.due(batch + 1):
            self.progress.on_train_batch_end(batch, make_logs() if logs is None else logs)

    def on_test_begin(self) -> None:
        self._call("on_test_begin", None)

    def on_test_end(self, logs: Logs) -> None:
        self._call("on_test_end", logs)

    def on_test_batch_begin(self, batch: int) -> None:
        for c in self._test_begin:
            c.on_test_batch_begin(batch, {})

    def on_test_batch_end(self, batch: int, make_logs: Callable[[], Logs]) -> None:
        logs: Logs | None = None
        if self._test_end:
            logs = make_logs()
            for c in self._test_end:
                c.on_test_batch_end(batch, logs)
        if self.progress is not None and not self.progress.training and self.progress.due(batch + 1):
            self.progress.on_test_batch_end(batch, make_logs() if logs is None else logs)

    def on_predict_begin(self) -> None:
        self._call("on_predict_begin", None)

    def on_predict_batch_begin(self, batch: int) -> None:
        self._call("on_predict_batch_begin", batch, {})

    def on_predict_batch_end(self, batch: int, logs: Any) -> None:
        self._call("on_predict_batch_end", batch, logs)

    def on_predict_end(self) -> None:
        self._call("on_predict_end", None)

    def close(self) -> None:
        """Files are closed also where training failed."""
        for c in self.callbacks:
            close = getattr(c, "close", None)
            if close is not None:
                close()


class History(Callback):
    """`history[name]` lists the value of each epoch; `epoch` their numbers. What `fit` returns."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for k, v in (logs or {}).items():
            self.history.setdefault(k, []).append(v)


class ProgbarLogger(Callback):
    """Prints the progress bar; `verbose` 1 a bar, 2 a line an epoch."""

    def __init__(self, verbose: int = 1) -> None:
        super().__init__()
        self.verbose = verbose
        self.bar: ProgressBar | None = None
        self.seen = 0
        self.training = False

    def _new(self) -> None:
        self.seen = 0
        self.bar = ProgressBar(self.params.get("steps"), verbose=self.verbose)

    def due(self, current: int) -> bool:
        self.seen = current
        return self.bar is not None and self.bar.due(current)

    def _update(self, batch: int, logs: Logs | None) -> None:
        if self.bar is not None:
            self.bar.update(batch + 1, logs, finalize=False)

    def _end(self, logs: Logs | None) -> None:
        if self.bar is not None:
            if self.bar.target is None:
                self.bar.target = self.seen
            self.bar.update(self.bar.target, logs, finalize=True)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.training = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._new()
        epochs = self.params.get("epochs", 1)
        if self.verbose and epochs > 1:
            assert self.bar is not None
            self.bar.stream.write(f"Epoch {epoch + 1}/{epochs}\n")
            self.bar.stream.flush()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self.training:
            self._new()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self.training:
            self._update(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self.training:
            self._end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._new()

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.due(batch + 1):
            self._update(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._end(None)


class LambdaCallback(Callback):
    """Hooks from functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs))`."""

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        super().__init__()
        for name, f in hooks.items():
            if not hasattr(Callback, name) or not name.startswith("on_"):
                names = ", ".join(n for n in vars(Callback) if n.startswith("on_"))
                raise ValueError(f"LambdaCallback: unknown hook {name!r}; the hooks are {names}")
            if f is not None:
                setattr(self, name, f)


class TerminateOnNaN(Callback):
    """Ends the training at the batch whose loss is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class _Monitor(Callback):
    """Watches one value of the logs: `mode` "min", "max" or "auto" (max for accuracies, AUC and the like)."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__}: mode {mode!r} is unknown, falling back to 'auto'", stacklevel=3
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.best: float | None = None

    _MAX = (
        "acc",
        "accuracy",
        "auc",
        "precision",
        "recall",
        "f1",
        "top_k",
        "iou",
        "cosine_similarity",
        "r2_score",
    )

    def _max(self) -> bool:
        name = self.monitor.removeprefix("val_")
        return self.mode == "max" or (self.mode == "auto" and any(m in name for m in self._MAX))

    def better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        return value - self.min_delta > than if self._max() else value + self.min_delta < than

    def value(self, logs: Logs | None) -> float | None:
        v = (logs or {}).get(self.monitor)
        if v is None:
            names = ", ".join(logs or {})
            warnings.warn(
                f"{type(self).__name__}: {self.monitor!r} is not among the metrics; there are {names}",
                stacklevel=2,
            )
        return v


class EarlyStopping(_Monitor):
    """Stops when the monitored value has not improved by `min_delta` for `patience` epochs."""

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.better(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.better(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by `factor` when the monitored value has not improved for `patience`
    epochs.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1, got {factor}")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = self.value(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience:
                old = float(self.model.optimizer.learning_rate)
                if old > self.min_lr:
                    new = max(old * self.factor, self.min_lr)
                    self.model.optimizer.learning_rate = new
                    if self.verbose > 0:
                        print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
                    self.cooldown_counter = self.cooldown
                    self.wait = 0


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch to `schedule(epoch,
    learning_rate)` (or `schedule(epoch)`).
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        try:
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        except TypeError:
            rate = self.schedule(epoch)
        try:
            rate = float(rate)
        except (TypeError, ValueError):
            raise ValueError(f"LearningRateScheduler: schedule must return a float, got {rate!r}") from None
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class CSVLogger(Callback):
    """One row an epoch: `epoch`, then the logs by name."""

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: IO[Any] | None = None
        self._keys: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.close()
        self._header = not (
            self.append and os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        )
        mode = "a" if self.append else "w"
        self._file = open(self.filename, mode, newline="", encoding="utf-8")  # noqa: SIM115
        self._keys = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        assert self._file is not None
        logs = logs or {}
        writer = csv.writer(self._file, delimiter=self.separator)
        if self._keys is None:
            self._keys = sorted(logs)
            if not any(k.startswith("val_") for k in self._keys):
                self._keys += [f"val_{k}" for k in self._keys]
            if self._header:
                writer.writerow(["epoch", *self._keys])
        writer.writerow([epoch, *(logs.get(k, "NA") for k in self._keys)])
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class ModelCheckpoint(_Monitor):
    """Saves the model, or its weights, each epoch (or each `save_freq` batches);
    the name may hold `{epoch:02d}`.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        endings = (".weights.h5", ".safetensors") if save_weights_only else (".keras", ".safetensors")
        if not self.filepath.endswith(endings):
            raise ValueError(
                f"ModelCheckpoint: with save_weights_only={save_weights_only} the filepath must end in "
                f"{' or '.join(endings)}, got {self.filepath!r}"
            )
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"ModelCheckpoint: save_freq must be 'epoch' or a number of batches, got {save_freq!r}"
            )
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.best = initial_value_threshold
        self._batches = 0
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if isinstance(self.save_freq, int):
            self._batches += 1
            if self._batches >= self.save_freq:
                self._batches = 0
                self._save(self._epoch, batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def _save(self, epoch: int, batch: int | None, logs: Logs | None) -> None:
        logs = logs or {}
        fields = {**({} if batch is None else {"batch": batch + 1}), **logs, "epoch": epoch + 1}
        try:
            path = self.filepath.format(**fields)
        except KeyError as e:
            raise KeyError(
                f"ModelCheckpoint: {self.filepath!r} names {e}, the logs have {', '.join(fields)}"
            ) from None
        if self.save_best_only:
            current = self.value(logs)
            if current is not None:
                best = "None" if self.best is None else f"{self.best:.5f}"
                if not self.better(current, self.best):
                    if self.verbose > 0:
                        print(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {best}")
                    return
                if self.verbose > 0:
                    print(
                        f"\nEpoch {epoch + 1}: {self.monitor} improved from {best} to {current:.5f}, "
                        f"saving model to {path}"
                    )
                self.best = current
        elif self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: saving model to {path}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only or path.endswith(".safetensors"):
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
