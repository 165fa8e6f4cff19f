"""The configuration of `dlcore train`: sections of keys, each with a default, its range, and a line of help.

A value's type is its default's. What is unknown, of another type or out of range is refused by name.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["TASKS", "ConfigError", "as_toml", "assign", "merge", "read"]

Config = dict[str, dict[str, Any]]


class ConfigError(ValueError):
    """A configuration that cannot be meant."""


class Key(NamedTuple):
    default: Any
    help: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


def _common(epochs: int, lr: float, batch_size: int, clip: float) -> dict[str, dict[str, Key]]:
    return {
        "run": {
            "out": Key("run", "the folder of the checkpoint, the logs and the best model"),
            "seed": Key(0, "of the weights, the order of the data and dropout", 0, 2**63 - 1),
            "threads": Key(0, "0: all cores", 0, 4096),
            "epochs": Key(epochs, "passes over the data", 1, 10**9),
            "save_every": Key(200, "steps between checkpoints within an epoch; 0: at its end only", 0, 10**9),
            "log_every": Key(10, "steps between TensorBoard's points", 1, 10**9),
            "patience": Key(0, "epochs without a better validation loss before the end; 0: no limit", 0),
        },
        "optimizer": {
            "lr": Key(lr, "the highest learning rate", 0, 1e3),
            "schedule": Key("cosine", "after the warm-up", choices=("cosine", "constant")),
            "warmup": Key(0.05, "its share of all steps, rising linearly", 0, 1),
            "final": Key(0.1, "the last learning rate over the highest, of cosine", 0, 1),
            "weight_decay": Key(0.01, "of matrices; biases and norms have none", 0, 1e3),
            "beta1": Key(0.9, "of AdamW", 0, 0.999999),
            "beta2": Key(0.99, "of AdamW", 0, 0.999999),
            "clip": Key(clip, "the largest norm of all gradients; 0: no limit", 0),
            "batch_size": Key(batch_size, "examples a batch", 1, 10**6),
            "accumulate": Key(1, "batches a step", 1, 10**6),
        },
    }


_HELD_OUT = Key(0.1, "the share held out where there is no validation set", 0.0001, 0.9)

TASKS: dict[str, dict[str, dict[str, Key]]] = {
    "image-classification": {
        **_common(5, 2e-3, 64, 0.0),
        "data": {
            "path": Key("", "a folder of MNIST's four idx files, or of one subfolder of images a class"),
            "validation": _HELD_OUT,
            "channels": Key(1, "of images in subfolders: 1 grey, 3 colours", 1, 3),
            "limit": Key(0, "only so many training images; 0: all", 0),
        },
        "model": {
            "name": Key("LeNet5", "a model of dlcore.models"),
            "image_size": Key(28, "images in subfolders are scaled to this", 1, 4096),
        },
    },
    "language-modelling": {
        **_common(10, 1e-3, 32, 1.0),
        "data": {
            "path": Key("", "a text file"),
            "validation": Key(0.1, "the last share of the text", 0.0001, 0.9),
            "tokenizer": Key("", "a tokenizer's folder; empty: one token a character"),
        },
        "model": {
            "layers": Key(4, "blocks", 1, 1000),
            "width": Key(128, "of the embedding", 1, 65536),
            "heads": Key(4, "must divide width", 1, 1024),
            "context": Key(128, "tokens seen at once", 2, 10**6),
            "dropout": Key(0.1, "of embeddings, attention and residuals", 0, 0.99),
        },
    },
    "text-classification": {
        **_common(5, 1e-3, 32, 1.0),
        "data": {
            "path": Key("", "a file of lines: text, tab, label"),
            "validation_path": Key("", "another such file; empty: a share of the first is held out"),
            "validation": _HELD_OUT,
            "max_length": Key(128, "tokens of a text, the rest is cut off", 1, 10**6),
        },
        "model": {
            "path": Key("", "a checkpoint to fine-tune; empty: a bidirectional GRU from scratch"),
            "width": Key(64, "of the GRU and its embedding", 1, 65536),
            "dropout": Key(0.2, "of the GRU's input and output", 0, 0.99),
            "min_count": Key(2, "rarer words are unknown to the GRU", 1),
        },
    },
}


def _checked(name: str, key: Key, value: Any) -> Any:
    kind = type(key.default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        word = {int: "an integer", float: "a number", str: "a string"}[kind]
        raise ConfigError(f"{name} must be {word}, got {value!r}")
    if key.choices and value not in key.choices:
        raise ConfigError(f"{name} must be one of {', '.join(key.choices)}, got {value!r}")
    if kind is not str and not key.low <= value <= key.high:
        span = f"at least {key.low}" if key.high == math.inf else f"between {key.low} and {key.high}"
        raise ConfigError(f"{name} must be {span}, got {value!r}")
    return value


def read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} must be TOML: {e}") from e


def assign(tree: dict[str, Any], text: str) -> None:
    """Puts `section.key=value` into a tree; a value that is no TOML is a string."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise ConfigError(f"--set must be section.key=value, got {text!r}")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    branch = tree.setdefault(section, {})
    if not isinstance(branch, dict):
        raise ConfigError(f"{section} must be a section, got {branch!r}")
    branch[key] = parsed


def merge(tree: Mapping[str, Any]) -> tuple[str, Config]:
    """The task and every key's value: the tree's, else the default.

    >>> task, config = merge({"task": "language-modelling", "data": {"path": "a.txt"}})
    >>> config["model"]["layers"]
    4
    """
    task = tree.get("task")
    if task not in TASKS:
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    schema = TASKS[task]
    for section, values in tree.items():
        if section == "task":
            continue
        if section not in schema:
            raise ConfigError(f"{section} is no section of {task}: it has {', '.join(schema)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{section} must be a section, got {values!r}")
        for name in values:
            if name not in schema[section]:
                raise ConfigError(
                    f"{section}.{name} is no key of {task}: {section} has {', '.join(schema[section])}"
                )
    config = {
        section: {
            name: _checked(f"{section}.{name}", key, tree.get(section, {}).get(name, key.default))
            for name, key in keys.items()
        }
        for section, keys in schema.items()
    }
    if not config["data"]["path"]:
        raise ConfigError(f"data.path must be given: {schema['data']['path'].help}")
    if task == "language-modelling" and config["model"]["width"] % config["model"]["heads"]:
        m = config["model"]
        raise ConfigError(f"model.width must be a multiple of model.heads, got {m['width']} and {m['heads']}")
    return task, config


def as_toml(task: str) -> str:
    """All keys of a task with their defaults, as a file to begin with."""
    lines = [f'task = "{task}"']
    for section, keys in TASKS[task].items():
        lines += ["", f"[{section}]"]
        lines += [f"{name} = {json.dumps(key.default)}  # {key.help}" for name, key in keys.items()]
    return "\n".join(lines)
