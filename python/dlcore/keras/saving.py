"""Files: `.keras` (a zip of config.json, metadata.json, model.weights.h5), `.weights.h5`, `.safetensors`.

Reading runs no code from a file: classes come from dlcore's own lists (or custom_objects), arrays from plain
datasets. A file is written under a temporary name beside its own and then renamed, so a failure leaves the
old one whole.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.io import load_file, save_file
from dlcore.keras._registry import custom, serialize_any, snake_case
from dlcore.keras.layers.base import InputLayer, Layer, layer_registry

__all__ = [
    "layer_config",
    "layer_from_config",
    "load_model",
    "load_weights",
    "model_config",
    "model_from_config",
    "register_keras_serializable",
    "save_model",
    "save_weights",
]

NDArray = npt.NDArray[Any]
_Path = str | os.PathLike[str]


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "this file format needs h5py: pip install 'dlcore[keras]' (weights as .safetensors need nothing)"
        ) from None
    return h5py


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """A decorator: the class or function may come out of files by its name."""

    def register(x: Any) -> Any:
        custom[name or x.__name__] = x
        return x

    return register


def _may_write(path: str, overwrite: bool) -> None:
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{path} exists; pass overwrite=True to replace it")


def _write(path: str, data: bytes, overwrite: bool) -> None:
    _may_write(path, overwrite)
    folder = os.path.dirname(os.path.abspath(path))
    fd, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + ".", suffix=".part", dir=folder)
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# ---- configurations ----------------------------------------------------------------------------------------


def _free(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {k: _free(v) for k, v in shape.items()}
    if isinstance(shape, (list, tuple)):
        return [_free(s) for s in shape]
    return shape


def layer_config(layer: Layer) -> dict[str, Any]:
    config: dict[str, Any] = serialize_any(layer)
    if type(layer).__name__ == "Functional" and config["module"] == "keras":
        config["module"] = "keras.src.models.functional"
        config["registered_name"] = "Functional"
    if layer.built and layer._build_shape is not None and not isinstance(layer, InputLayer):
        config["build_config"] = {"input_shape": _free(layer._build_shape)}
    return config


def layer_from_config(entry: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    with _customs(custom_objects):
        layer = layer_registry.from_config(entry)
        if not isinstance(layer, Layer):
            raise ValueError(f"{entry.get('class_name')!r} is not a layer")
        return layer


class _customs:
    """custom_objects for the time of a reading."""

    def __init__(self, objects: dict[str, Any] | None) -> None:
        self.objects = objects or {}

    def __enter__(self) -> None:
        self.before = dict(custom)
        custom.update(self.objects)

    def __exit__(self, *_: object) -> None:
        custom.clear()
        custom.update(self.before)


def model_config(model: Any) -> dict[str, Any]:
    config = layer_config(model)
    compiled = model.get_compile_config()
    if compiled is not None:
        config["compile_config"] = compiled
    return config


def model_from_config(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None, compile: bool = True
) -> Any:
    from dlcore.keras import losses, metrics, optimizers

    with _customs(custom_objects):
        model = layer_from_config(config)
        shape = (config.get("build_config") or {}).get("input_shape")
        if shape and not model.built:
            model.build(tuple(shape))
        compiled = config.get("compile_config")
        if compile and compiled:

            def made(v: Any, get: Callable[[Any], Any]) -> Any:
                if isinstance(v, dict) and "class_name" in v:
                    return get(v)
                if isinstance(v, dict):
                    return {k: made(x, get) for k, x in v.items()}
                return [made(x, get) for x in v] if isinstance(v, list) else v

            model.compile(
                optimizer=optimizers.get(compiled["optimizer"]),
                loss=made(compiled.get("loss"), losses.get),
                loss_weights=compiled.get("loss_weights"),
                metrics=made(compiled.get("metrics"), metrics.get),
                weighted_metrics=made(compiled.get("weighted_metrics"), metrics.get),
            )
        return model


# ---- weights -----------------------------------------------------------------------------------------------


def _children(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Keras' paths: what a model lists under layers/<class name>, attributes under their own names."""
    if hasattr(layer, "_chain") or hasattr(layer, "_graph_layers"):
        yield from _numbered("layers/", layer._sublayers())
        return
    for key in sorted(layer.__dict__):
        value = layer.__dict__[key]
        if key.startswith("_"):
            continue
        if isinstance(value, Layer):
            yield key, value
        elif isinstance(value, (list, tuple)) and any(isinstance(v, Layer) for v in value):
            yield from _numbered(f"{key}/", [v for v in value if isinstance(v, Layer)])
        elif isinstance(value, dict):
            yield from ((f"{key}/{k}", v) for k, v in value.items() if isinstance(v, Layer))


def _numbered(prefix: str, layers: list[Layer]) -> Iterator[tuple[str, Layer]]:
    seen: dict[str, int] = {}
    for layer in layers:
        name = snake_case(type(layer).__name__)
        n = seen.get(name, 0)
        seen[name] = n + 1
        yield prefix + (name if n == 0 else f"{name}_{n}"), layer


def _own(layer: Layer) -> list[Any]:
    return [v for v in layer._variables if v._trainable] + [v for v in layer._variables if not v._trainable]


def _groups(layer: Layer, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Layer]]:
    """Each layer once, with its path in the file."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, child in _children(layer):
        yield from _groups(child, f"{path}{name}/", seen)


def _weights_h5(model: Any, optimizer: bool) -> bytes:
    h5py = _h5py()
    out = io.BytesIO()
    with h5py.File(out, "w") as f:
        for path, layer in _groups(model):
            group = f.create_group(f"{path}vars")
            group.attrs["name"] = layer.name
            for i, v in enumerate(_own(layer)):
                group.create_dataset(str(i), data=v.values())
        if optimizer and model.optimizer is not None and model.optimizer.built:
            group = f.create_group("optimizer/vars")
            state = model.optimizer.state()
            rate = np.asarray(float(model.optimizer.learning_rate), np.float32)
            for i, a in enumerate([state[0].astype(np.int32), rate, *state[1:]]):
                group.create_dataset(str(i), data=a)
    return out.getvalue()


def _dataset(h5py: Any, group: Any, name: str, what: str) -> NDArray:
    """A plain dataset of this very file: no link or storage outside it."""
    link = group.get(name, getlink=True)
    item = group.get(name) if isinstance(link, h5py.HardLink) else None
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise ValueError(f"{what}: {name} is not a plain dataset")
    if item.dtype.kind not in "fiub":
        raise ValueError(f"{what}: {name} does not hold numbers, its dtype is {item.dtype}")
    return np.asarray(item[()])


def _vars(h5py: Any, f: Any, path: str, what: str) -> list[NDArray] | None:
    group = f
    for part in [*path.strip("/").split("/"), "vars"] if path else ["vars"]:
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            return None
        group = group[part]
    if not isinstance(group, h5py.Group):
        return None
    return [_dataset(h5py, group, str(i), what) for i in range(len(group))]


def _assign(pairs: list[tuple[Any, NDArray]], what: str, skip: bool) -> None:
    """All or nothing, unless mismatches are to be skipped."""
    for v, a in pairs:
        if v.shape != a.shape and not skip:
            raise ValueError(f"{what}: {v.path} has shape {v.shape}, the file has {a.shape}")
    for v, a in pairs:
        if v.shape == a.shape:
            v.assign(a)


def _read_h5(model: Any, data: bytes, what: str, skip: bool, optimizer: bool) -> None:
    h5py = _h5py()
    try:
        f = h5py.File(io.BytesIO(data), "r")
    except OSError as e:
        raise ValueError(f"{what}: not a valid HDF5 file ({e})") from None
    with f:
        pairs: list[tuple[Any, NDArray]] = []
        for path, layer in _groups(model):
            mine = _own(layer)
            if not mine:
                continue
            arrays = _vars(h5py, f, path, what)
            if arrays is None or len(arrays) != len(mine):
                if skip:
                    continue
                count = "none" if arrays is None else str(len(arrays))
                raise ValueError(
                    f"{what}: layer {layer.name!r} has {len(mine)} weights, the file {count} at {path}vars"
                )
            pairs += zip(mine, arrays)
        _assign(pairs, what, skip)
        if optimizer and model.optimizer is not None:
            arrays = _vars(h5py, f, "optimizer", what)
            if arrays:
                model.optimizer.build(model.trainable_weights)
                model.optimizer.set_state([arrays[0], *arrays[2:]])


def _safetensors_names(model: Any) -> list[tuple[str, Any]]:
    return [(f"{path}vars/{i}", v) for path, layer in _groups(model) for i, v in enumerate(_own(layer))]


def _need_built(model: Any, what: str) -> None:
    if not model.built:
        raise ValueError(f"{what}: the model has no weights yet; build it or call it on data first")


def save_weights(model: Any, filepath: _Path, overwrite: bool = True) -> None:
    path = os.fspath(filepath)
    _need_built(model, "save_weights")
    if path.endswith(".safetensors"):
        _may_write(path, overwrite)
        save_file({name: v.values() for name, v in _safetensors_names(model)}, path)
    elif path.endswith(".weights.h5"):
        _write(path, _weights_h5(model, True), overwrite)
    else:
        raise ValueError(f"save_weights: the name must end in .weights.h5 or .safetensors, got {path!r}")


def load_weights(model: Any, filepath: _Path, skip_mismatch: bool = False) -> None:
    path = os.fspath(filepath)
    _need_built(model, "load_weights")
    if path.endswith(".keras"):
        with _archive(path) as z:
            _read_h5(model, z.read("model.weights.h5"), path, skip_mismatch, False)
        return
    if not path.endswith((".safetensors", ".h5")):
        raise ValueError(
            f"load_weights: the name must end in .weights.h5, .safetensors or .keras, got {path!r}"
        )
    if path.endswith(".h5"):
        with open(path, "rb") as f:
            _read_h5(model, f.read(), path, skip_mismatch, True)
        return
    arrays = {name: t.numpy() for name, t in load_file(path).items()}
    names = _safetensors_names(model)
    missing = [n for n, _ in names if n not in arrays]
    unexpected = [n for n in arrays if n not in {k for k, _ in names}]
    if (missing or unexpected) and not skip_mismatch:
        raise ValueError(
            f"{path}: the file does not fit the model: missing {missing}, unexpected {unexpected}"
        )
    _assign([(v, arrays[n]) for n, v in names if n in arrays], path, skip_mismatch)


# ---- models ------------------------------------------------------------------------------------------------


def save_model(model: Any, filepath: _Path, overwrite: bool = True, include_optimizer: bool = True) -> None:
    """Writes model.save's archive."""
    path = os.fspath(filepath)
    if not path.endswith(".keras"):
        raise ValueError(f"save: the name must end in .keras (or use save_weights), got {path!r}")
    _need_built(model, "save")
    weights = _weights_h5(model, include_optimizer)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("metadata.json", json.dumps({"keras_version": "3.0.0", "date_saved": now}))
        z.writestr("config.json", json.dumps(model_config(model)))
        z.writestr("model.weights.h5", weights)
    _write(path, out.getvalue(), overwrite)


def _archive(path: str) -> zipfile.ZipFile:
    try:
        z = zipfile.ZipFile(path)
    except zipfile.BadZipFile as e:
        raise ValueError(f"{path}: not a valid .keras archive ({e})") from None
    missing = {"config.json", "model.weights.h5"} - set(z.namelist())
    if missing:
        z.close()
        raise ValueError(f"{path}: not a valid .keras archive (without {', '.join(sorted(missing))})")
    return z


def load_model(
    filepath: _Path,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """The model that `save` wrote, Keras' own files included; no code from the file runs (there is no other
    mode).

    Raises ValueError for damaged files and unknown classes, which `custom_objects` can name.
    """
    path = os.fspath(filepath)
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_model: there is no file {path!r}")
    with _archive(path) as z:
        try:
            config = json.loads(z.read("config.json"))
        except ValueError as e:
            raise ValueError(f"{path}: config.json is damaged ({e})") from None
        model = model_from_config(config, custom_objects, compile)
        _read_h5(model, z.read("model.weights.h5"), path, False, compile)
    return model
