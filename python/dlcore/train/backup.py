"""BackupAndRestore: a training that was interrupted goes on as if it had not been."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import numpy as np

from dlcore.io import load_file, save_file
from dlcore.random import get_rng_state, set_rng_state
from dlcore.train.callbacks import Callback, Logs
from dlcore.train.loop import Position

__all__ = ["BackupAndRestore", "SwapEMAWeights"]

_NAME = "latest.safetensors"


class BackupAndRestore(Callback):
    """Keeps weights, the optimizer's state, the epoch and the library's random state in `backup_dir`, each
    epoch or each `save_freq` batches; `fit` begins where a backup that it finds ends.

    A backup is one file, written under another name until it is whole. The weights that come out are the
    same, bit by bit, as those of a training without interruption: one that stopped between batches goes
    through its epoch's batches in the same order and starts at the next. The means of that epoch's logs are
    of the batches after it. A data set that goes on from epoch to epoch (a generator, or `steps_per_epoch`
    other than its length) begins anew.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError("Empty `backup_dir` argument passed")
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"Invalid value for argument `save_freq`. Received: save_freq={save_freq}. Expected either"
                " 'epoch' or an integer value."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq, self.double_checkpoint, self.delete_checkpoint = (
            save_freq,
            double_checkpoint,
            delete_checkpoint,
        )
        self._path = os.path.join(self.backup_dir, _NAME)
        self._epoch = 0
        self._batch = 0
        self._seen = 0
        self._at_start: dict[str, Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for path in (self._path, f"{self._path}.bkp"):
            if os.path.exists(path):
                try:
                    self._restore(path)
                except ValueError:
                    if path == self._path and os.path.exists(f"{self._path}.bkp"):
                        continue
                    raise
                return

    def _restore(self, path: str) -> None:
        model = self.model
        if not getattr(model, "built", True):
            raise ValueError(
                "To use the BackupAndRestore callback, you model must be built before you call `fit()`."
                f" Model {model} is unbuilt. You can build it beforehand by calling it on a batch of data."
            )
        arrays = {k: t.numpy() for k, t in load_file(path).items()}
        kept = json.loads(arrays["state"].tobytes())
        weights = [arrays[f"weights/{i}"] for i in range(kept["weights"])]
        names = kept["names"]
        model.set_weights(weights if names is None else dict(zip(names, weights)))
        optimizer = model.optimizer
        if kept["optimizer"] is not None and hasattr(optimizer, "set_variables"):
            if not optimizer.built:
                optimizer.build(model.trainable_weights)
            optimizer.set_variables([arrays[f"optimizer/{i}"] for i in range(kept["optimizer"])], path)
            if kept["rate"] is not None:
                optimizer.learning_rate = kept["rate"]
        set_rng_state(kept["random"])
        for own, drawn in zip(_seeded(model), kept.get("seeded", ())):
            own.bit_generator.state = drawn
        model._initial_epoch = kept["epoch"]
        self._at_start = None
        if kept.get("batch"):
            self._at_start = kept["at_start"]
            model.reset_metrics()
            model._position = Position(kept["batch"], kept["at_start"], kept["random"])

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch
        if self._at_start is None:
            self._at_start = get_rng_state()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch, self._batch, self._at_start = epoch + 1, 0, None
        if self.save_freq == "epoch":
            self._save()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batch = batch + 1
        if isinstance(self.save_freq, int):
            self._seen += 1
            if self._seen >= self.save_freq:
                self._seen = 0
                self._save()

    def _save(self) -> None:
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and os.path.exists(self._path):
            os.replace(self._path, f"{self._path}.bkp")
        given = self.model.get_weights()
        names = list(given) if isinstance(given, dict) else None
        weights = list(given.values()) if isinstance(given, dict) else list(given)
        optimizer = self.model.optimizer
        slots = optimizer.variables if getattr(optimizer, "built", False) else None
        fixed = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_has_rate", False)
        state = {
            "epoch": self._epoch,
            "batch": self._batch,
            "at_start": self._at_start if self._batch else None,
            "weights": len(weights),
            "names": names,
            "optimizer": None if slots is None else len(slots),
            "rate": float(optimizer.learning_rate) if fixed else None,
            "random": get_rng_state(),
            "seeded": [own.bit_generator.state for own in _seeded(self.model)],
        }
        arrays: dict[str, Any] = {f"weights/{i}": w for i, w in enumerate(weights)}
        arrays.update({f"optimizer/{i}": np.asarray(a) for i, a in enumerate(slots or ())})
        arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        save_file(arrays, self._path)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint and os.path.exists(self.backup_dir):
            shutil.rmtree(self.backup_dir)


def _seeded(model: Any) -> list[Any]:
    """The generators of layers with a seed of their own."""
    layers = model._walk() if hasattr(model, "_walk") else ()
    found = [getattr(getattr(layer, "seed_generator", None), "_own", None) for layer in layers]
    return [own for own in found if own is not None]


class SwapEMAWeights(Callback):
    """Validates with the averages that an optimizer with `use_ema` keeps in place of the weights."""

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def _swap(self) -> None:
        optimizer = self.model.optimizer
        if not getattr(optimizer, "use_ema", False):
            raise ValueError("SwapEMAWeights must be used when `use_ema=True` is set on the optimizer.")
        for v, average in zip(optimizer._order, optimizer._averages):
            values = v.values()
            before = np.array(values)
            np.copyto(values, average)
            np.copyto(average, before)
        self._swapped = not self._swapped

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch and self._swapped:
            self._swap()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch and not self._swapped:
            self._swap()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._swapped:
            self._swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        if self._swapped and not self.swap_on_epoch:
            self._swap()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        if not self._swapped:
            self._swap()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        if self._swapped and not self.swap_on_epoch:
            self._swap()
