"""The whole state of a training in one file: weights, optimizer, schedule, random numbers, place in the data.

A safetensors file: arrays are its tensors, everything else is JSON in its metadata. Nothing in it is
executed. It appears under its name only when it is whole and on the disk, so that a process that is killed
leaves the last one.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcore.io import load_file, load_metadata, save_file
from dlcore.random import get_rng_state, set_rng_state
from dlcore.tensor import Tensor

__all__ = ["load_checkpoint", "save_checkpoint"]

_KEY = "dlcore.checkpoint"
_VERSION = 1


def _pack(x: Any, path: str, arrays: dict[str, Any]) -> Any:
    """x as JSON, its arrays under names of their own."""
    if isinstance(x, (Tensor, np.ndarray)):
        name = path if path not in arrays else f"{path}#{len(arrays)}"
        arrays[name] = x
        return {"$tensor": name}
    if isinstance(x, np.generic):
        return x.item()
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    if isinstance(x, Counter):
        return {"$counter": [[_pack(k, path, arrays), v] for k, v in x.items()]}
    if isinstance(x, Mapping):
        if all(isinstance(k, str) and not k.startswith("$") for k in x):
            return {k: _pack(v, f"{path}.{k}", arrays) for k, v in x.items()}
        return {"$dict": [[_pack(k, path, arrays), _pack(v, f"{path}.{k}", arrays)] for k, v in x.items()]}
    if isinstance(x, (list, tuple)):
        values = [_pack(v, f"{path}.{i}", arrays) for i, v in enumerate(x)]
        return {"$tuple": values} if isinstance(x, tuple) else values
    raise TypeError(
        f"save_checkpoint: {path} must be made of tensors, numbers, strings, lists and dicts, got "
        f"{type(x).__name__}"
    )


def _unpack(x: Any, arrays: Mapping[str, Tensor]) -> Any:
    if isinstance(x, list):
        return [_unpack(v, arrays) for v in x]
    if not isinstance(x, dict):
        return x
    if "$tensor" in x:
        return arrays[x["$tensor"]]
    if "$tuple" in x:
        return tuple(_unpack(v, arrays) for v in x["$tuple"])
    if "$counter" in x:
        return Counter({_unpack(k, arrays): v for k, v in x["$counter"]})
    if "$dict" in x:
        return {_unpack(k, arrays): _unpack(v, arrays) for k, v in x["$dict"]}
    return {k: _unpack(v, arrays) for k, v in x.items()}


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    loader: Any = None,
    extra: Any = None,
    rng: bool = True,
) -> None:
    """Writes what a training needs to go on exactly where it is; safe at any moment between two steps.

    model, optimizer, scheduler, loader: objects with `state_dict()`, or dicts of several; extra: numbers,
    strings, arrays, and lists and dicts of them; rng: also the state of dlcore's generator (dropout,
    shuffling).

    Raises TypeError for a state that holds anything else, OSError where the file cannot be written; the file
    that was there before stays.

    >>> import dlcore, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
    >>> model = dlcore.nn.Linear(2, 1)
    >>> optimizer = dlcore.optim.Adam(model.parameters())
    >>> dlcore.train.save_checkpoint(path, model=model, optimizer=optimizer, extra={"epoch": 3})
    >>> dlcore.train.load_checkpoint(path, model=model, optimizer=optimizer)["epoch"]
    3
    """
    arrays: dict[str, Any] = {}
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}
    tree: dict[str, Any] = {
        name: _pack(_state(part), name, arrays) for name, part in parts.items() if part is not None
    }
    tree["extra"] = _pack(extra, "extra", arrays)
    if rng:
        tree["rng"] = _pack(get_rng_state(), "rng", arrays)
    text = json.dumps({"version": _VERSION, "state": tree})
    save_file(arrays, path, {_KEY: text, "format": "pt"}, sync=True)


def _state(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _state(p) for name, p in part.items()}
    return part.state_dict()


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    loader: Any = None,
    rng: bool = True,
) -> Any:
    """Restores what `save_checkpoint` wrote into objects made as they were made then, and returns `extra`.

    Raises ValueError for a file that is damaged or no checkpoint, KeyError for a part that it does not hold,
    and what the parts raise for states that do not fit them.
    """
    text = load_metadata(path).get(_KEY)
    if text is None:
        raise ValueError(f"load_checkpoint: the file must be written by save_checkpoint: {os.fspath(path)}")
    document = json.loads(text)
    if document["version"] != _VERSION:
        raise ValueError(
            f"load_checkpoint: the version must be {_VERSION}, got {document['version']}: {os.fspath(path)}"
        )
    tree = _unpack(document["state"], load_file(path))
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}
    for name, part in parts.items():
        if part is None:
            continue
        if name not in tree:
            raise KeyError(f"load_checkpoint: there is no {name} in {os.fspath(path)}")
        _load(part, tree[name])
    if rng and "rng" in tree:
        set_rng_state(tree["rng"])  # last: what was restored before may have drawn
    return tree["extra"]


def _load(part: Any, state: Any) -> None:
    if isinstance(part, Mapping):
        for name, p in part.items():
            _load(p, state[name])
    else:
        part.load_state_dict(state)
