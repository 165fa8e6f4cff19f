"""Trains a model: image-classification, language-modelling or text-classification.

What to train is said in one TOML file, in flags, or both (flags win); --print-config TASK prints every key
with its default. The folder `run.out` gets checkpoint.safetensors, log.csv, tensorboard/ and model/, the best
one by validation loss. After Ctrl-C or a crash, --resume goes on with the same result as without the break.

examples:
  dlcore train --print-config language-modelling > gpt.toml
  dlcore train gpt.toml --data shakespeare.txt --out run --set model.layers=6
  dlcore train --out run --resume
  dlcore train --task image-classification --data mnist/ --out lenet --epochs 3
  dlcore train --task text-classification --data reviews.tsv --model ./bert --lr 5e-5 --json
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from dlcore.cli import train_config

_FLAGS = {
    "data": "data.path", "out": "run.out", "epochs": "run.epochs", "seed": "run.seed",
    "threads": "run.threads", "lr": "optimizer.lr", "batch_size": "optimizer.batch_size",
}  # fmt: skip
_MAY_CHANGE = {"out", "epochs", "threads", "save_every", "log_every", "patience"}  # of run, by --resume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="a TOML file")
    parser.add_argument("--task", choices=list(train_config.TASKS), help="what to train")
    parser.add_argument("--data", metavar="PATH", help="data.path: a folder or a file")
    parser.add_argument("--model", metavar="NAME", help="a model's name (images) or checkpoint (texts)")
    parser.add_argument("--out", metavar="FOLDER", help="run.out: where the results go")
    parser.add_argument("--epochs", type=int, metavar="N", help="run.epochs: passes over the data")
    parser.add_argument("--batch-size", type=int, metavar="N", help="optimizer.batch_size")
    parser.add_argument("--lr", type=float, metavar="RATE", help="optimizer.lr: the highest learning rate")
    parser.add_argument("--seed", type=int, metavar="N", help="run.seed")
    parser.add_argument("--threads", type=int, metavar="N", help="run.threads (default: all cores)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="section.key=value")
    parser.add_argument("--resume", action="store_true", help="go on with the training in run.out")
    parser.add_argument("--print-config", choices=list(train_config.TASKS), metavar="TASK", help="and stop")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")


def _configuration(arguments: argparse.Namespace) -> tuple[str, train_config.Config]:
    tree: dict[str, Any] = {}
    if arguments.config is not None:
        tree = train_config.read(arguments.config)
    elif arguments.resume and arguments.out and (Path(arguments.out) / "config.json").is_file():
        tree = json.loads((Path(arguments.out) / "config.json").read_text(encoding="utf-8"))
    for text in arguments.set:
        train_config.assign(tree, text)
    if arguments.task:
        tree["task"] = arguments.task
    flags = dict(_FLAGS)
    if arguments.model is not None:
        if tree.get("task") == "language-modelling":
            raise train_config.ConfigError("--model is for classification: language-modelling starts anew")
        flags["model"] = "model.name" if tree.get("task") == "image-classification" else "model.path"
    for flag, key in flags.items():
        if (value := getattr(arguments, flag)) is not None:
            section, name = key.split(".")
            tree.setdefault(section, {})[name] = value
    return train_config.merge(tree)


class _Training:
    """One run: what it is made of, where it is, and what it writes."""

    def __init__(self, task: str, config: train_config.Config) -> None:
        from dlcore import _C, optim
        from dlcore.cli import train_tasks
        from dlcore.random import manual_seed
        from dlcore.train import GradientAccumulator
        from dlcore.train.tensorboard import EventFile

        self.name, self.config, self.run, o = task, config, config["run"], config["optimizer"]
        self.out = Path(self.run["out"])
        self.checkpoint = self.out / "checkpoint.safetensors"
        if self.run["threads"]:
            _C.set_num_threads(self.run["threads"])
        manual_seed(self.run["seed"])
        self.task = train_tasks.make(task, config)
        self.parameters = [p for p in self.task.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": o["weight_decay"]},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        betas = (o["beta1"], o["beta2"])
        self.optimizer = optim.AdamW([g for g in groups if g["params"]], lr=o["lr"], betas=betas)
        self.steps = math.ceil(len(self.task.loader) / o["accumulate"])  # an epoch
        self.scheduler = optim.lr_scheduler.LambdaLR(self.optimizer, self._factor)
        self.window = GradientAccumulator(self.parameters)
        self.events = EventFile(str(self.out / "tensorboard"))
        self.step = self.epoch = self.worse = 0
        self.best = math.inf
        self.sum = self.count = 0.0  # of this epoch's training losses
        self.history: list[dict[str, Any]] = []
        self.interrupted = False

    def _factor(self, step: int) -> float:
        """The learning rate over the highest: up to 1 in the warm-up, then half a cosine down."""
        o, total = self.config["optimizer"], self.steps * self.run["epochs"]
        warm = round(o["warmup"] * total)
        if step < warm:
            return float((step + 1) / warm)
        if o["schedule"] == "constant":
            return 1.0
        done = min(1.0, (step - warm) / max(1, total - warm))
        return float(o["final"] + (1 - o["final"]) * 0.5 * (1 + math.cos(math.pi * done)))

    # ---- files -----------------------------------------------------------------------------------------

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.task.model, "optimizer": self.optimizer, "scheduler": self.scheduler,
            "loader": self.task.loader,
        }  # fmt: skip

    def save(self) -> None:
        from dlcore.train import save_checkpoint

        names = ("step", "epoch", "worse", "sum", "count", "history")
        place = {name: getattr(self, name) for name in names}
        place["best"] = None if self.best == math.inf else self.best
        extra = {"place": place, "task": self.name, "config": self.config}
        save_checkpoint(self.checkpoint, extra=extra, **self._parts())

    def load(self) -> None:
        from dlcore.io import load_metadata
        from dlcore.train import load_checkpoint

        text = load_metadata(self.checkpoint).get("dlcore.checkpoint", "{}")
        extra = json.loads(text).get("state", {}).get("extra") or {}
        if extra.get("task") != self.name:
            raise train_config.ConfigError(
                f"task of {self.checkpoint} is {extra.get('task')}, not {self.name}"
            )
        for section, values in self.config.items():
            for key, value in values.items():
                was = extra["config"][section].get(key)
                if was != value and not (section == "run" and key in _MAY_CHANGE):
                    raise train_config.ConfigError(
                        f"{section}.{key} must be as in the training to resume, {was!r}, got {value!r}"
                    )
        for name, value in load_checkpoint(self.checkpoint, **self._parts())["place"].items():
            setattr(self, name, value)
        self.best = math.inf if self.best is None else self.best

    def _write_log(self) -> None:
        with open(self.out / "log.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)

    # ---- the loop --------------------------------------------------------------------------------------

    def train(self, verbose: bool) -> None:
        self.task.model.train()
        while self.epoch < self.run["epochs"] and not self._patience_is_over():
            self._train_epoch(verbose)

    def _patience_is_over(self) -> bool:
        patience: int = self.run["patience"]
        return 0 < patience <= self.worse

    def _train_epoch(self, verbose: bool) -> None:
        from dlcore.train import ProgressBar

        began, first = time.perf_counter(), self.epoch * self.steps
        if verbose:
            print(f"Epoch {self.epoch + 1}/{self.run['epochs']}", flush=True)
        bar = ProgressBar(self.steps, verbose=1 if verbose else 0)
        batches = iter(self.task.loader)
        while window := list(islice(batches, self.config["optimizer"]["accumulate"])):
            loss = self._step(window)
            if self.step % self.run["log_every"] == 0:
                self.events.scalar("train/loss", loss, self.step)
                self.events.scalar("train/lr", self.optimizer.param_groups[0]["lr"], self.step)
            every = self.run["save_every"]
            if self.interrupted or (every and self.step % every == 0):
                self.save()
            if self.interrupted:
                raise KeyboardInterrupt
            bar.update(self.step - first, {"loss": self.sum / self.count}, finalize=False)
        loss, accuracy = self.task.evaluate()
        row = {
            "epoch": self.epoch + 1, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"],
            "loss": self.sum / self.count, "val_loss": loss, "val_accuracy": accuracy,
        }  # fmt: skip
        self.history.append({**row, "seconds": round(time.perf_counter() - began, 3)})
        shown = {k: row[k] for k in ("loss", "val_loss", "val_accuracy")}
        bar.update(self.step - first, shown, finalize=True)
        self._end_epoch(loss, accuracy)

    def _step(self, window: list[Any]) -> float:
        from dlcore.nn.utils import clip_grad_norm_

        self.optimizer.zero_grad()
        for batch in window:
            loss, count = self.task.loss(batch)
            self.sum, self.count = self.sum + float(loss.item()), self.count + count
            self.window.add(loss, count)
        mean = self.window.finish()
        if not math.isfinite(mean):
            raise FloatingPointError(f"the loss is {mean} at step {self.step + 1}: lower optimizer.lr")
        if self.config["optimizer"]["clip"]:
            clip_grad_norm_(self.parameters, self.config["optimizer"]["clip"])
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        return mean

    def _end_epoch(self, loss: float, accuracy: float) -> None:
        if loss < self.best:
            self.best, self.worse = loss, 0
            self.task.save(self.out / "model")
        else:
            self.worse += 1
        self.epoch, self.sum, self.count = self.epoch + 1, 0.0, 0.0
        self.events.scalar("validation/loss", loss, self.step)
        self.events.scalar("validation/accuracy", accuracy, self.step)
        self.events.flush()
        self._write_log()
        self.save()
        if self.interrupted:
            raise KeyboardInterrupt


@contextmanager
def _interruptible(training: _Training) -> Iterator[None]:
    """The first Ctrl-C ends the training after its step, with a checkpoint; the second ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        if training.interrupted:
            raise KeyboardInterrupt
        training.interrupted = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run(arguments: argparse.Namespace) -> int:
    if arguments.print_config:
        print(train_config.as_toml(arguments.print_config))
        return 0
    try:
        task, config = _configuration(arguments)
        training = _Training(task, config)
        if arguments.resume and training.checkpoint.exists():
            training.load()
        elif training.checkpoint.exists():
            raise train_config.ConfigError(
                f"run.out holds a training: give --resume or another folder, got {training.out}"
            )
    except train_config.ConfigError as e:
        print(f"dlcore train: {e}", file=sys.stderr)
        return 2
    training.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"task": task, **config}, indent=2, ensure_ascii=False)
    (training.out / "config.json").write_text(text + "\n", encoding="utf-8")
    began = time.perf_counter()
    if not arguments.json:
        n = sum(p.numel() for p in training.parameters)
        print(f"{n:,} parameters, {training.steps:,} steps an epoch, from step {training.step:,}", flush=True)
    try:
        with _interruptible(training):
            training.train(verbose=not arguments.json)
    finally:
        training.events.close()
    last = training.history[-1]
    result = {
        "task": task, "out": str(training.out), "model": str(training.out / "model"),
        "best_val_loss": training.best, "parameters": sum(p.numel() for p in training.parameters),
        "total_seconds": round(time.perf_counter() - began, 3), **last,
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"best validation loss {training.best:.4f}, model in {training.out / 'model'}")
    return 0
