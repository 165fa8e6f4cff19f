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
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.io import load_file, save_file
from dlcore.keras import ops
from dlcore.keras._random import SeedGenerator
from dlcore.keras._registry import (
    custom,
    custom_object_scope,
    deserialize_any,
    register,
    registered_name,
    serialize_any,
    snake_case,
)
from dlcore.keras.layers.base import Layer, layer_registry
from dlcore.keras.layers.input import InputLayer
from dlcore.keras.symbolic import Operation

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "layer_config",
    "layer_from_config",
    "load_model",
    "load_weights",
    "model_config",
    "model_from_config",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
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


register_keras_serializable = register
get_registered_name = registered_name


def get_registered_object(name: str, custom_objects: Any = None, module_objects: Any = None) -> Any:
    """What is registered under "package>name", or None."""
    for known in (custom_objects or {}, custom, module_objects or {}):
        if name in known:
            return known[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """The classes and functions of one's own that files may name; one may add to it."""
    return custom


class CustomObjectScope:
    """custom_objects for the time of a `with`."""

    def __init__(self, custom_objects: dict[str, Any]) -> None:
        self._scope = custom_object_scope(custom_objects)

    def __enter__(self) -> CustomObjectScope:
        self._scope.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._scope.__exit__(*exc)


serialize_keras_object = serialize_any


def deserialize_keras_object(
    config: Any, custom_objects: Any = None, safe_mode: bool = True, **_: Any
) -> Any:
    """An object from what `serialize_keras_object` gave; no code from it runs (there is no other mode)."""
    if isinstance(config, dict) and str(config.get("module", "")).startswith(
        ("keras.layers", "keras.models")
    ):
        return layer_from_config(config, custom_objects)
    if isinstance(config, dict) and config.get("class_name") in ("Sequential", "Functional", "Model"):
        return layer_from_config(config, custom_objects)
    return deserialize_any(config, custom_objects)


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


def layer_config(layer: Any) -> dict[str, Any]:
    config: dict[str, Any] = serialize_any(layer)
    if isinstance(layer, Operation):
        return {**config, "module": layer.module, "registered_name": layer.class_name}
    if type(layer).__name__ == "Functional" and config["module"] == "keras":
        config["module"] = "keras.src.models.functional"
        config["registered_name"] = "Functional"
    build = layer.get_build_config() if layer.built else None
    if build and not isinstance(layer, InputLayer):
        config["build_config"] = _free(build)
    return config


def layer_from_config(entry: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """A layer, a model or an operation from its configuration, built where the configuration says for
    what."""
    module = str(entry.get("module") or "")
    if module.startswith(("keras.src.ops", "keras.src.activations", "keras.ops")):
        found = ops.operation_from_config(entry["class_name"], dict(entry["config"]))
        if found is None:
            raise ValueError(f"unknown operation {entry['class_name']!r} of {module}")
        return found
    with custom_object_scope(custom_objects):
        layer = layer_registry.from_config(entry)
        if not isinstance(layer, Layer):
            raise ValueError(f"{entry.get('class_name')!r} is not a layer")
        build = entry.get("build_config")
        if build and not layer.built and not hasattr(layer, "_chain"):
            layer.build_from_config(build)
        return layer


def model_config(model: Any) -> dict[str, Any]:
    config = layer_config(model)
    compiled = model.get_compile_config()
    if compiled is not None:
        config["compile_config"] = compiled
    return config


def model_from_config(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None, compile: bool = True
) -> Any:
    with custom_object_scope(custom_objects):
        model = layer_from_config(config)
        shape = (config.get("build_config") or {}).get("input_shape")
        if shape and not model.built:
            model.build(tuple(shape))
        compiled = config.get("compile_config")
        if compile and compiled:
            model.compile_from_config(compiled)
        return model


# ---- weights -----------------------------------------------------------------------------------------------


# Attributes of a layer's base that hold no part of it, and those that only list what others hold.
_NO_PART = {
    *(
        "_auto",
        "_chain",
        "_generator",
        "_graph_layers",
        "_in",
        "_inputs_tree",
        "_losses",
        "_nodes",
        "_operations",
    ),
    *(
        "_order",
        "_out",
        "_outputs_tree",
        "_places",
        "_starts",
        "_variables",
        "_compiled",
        "_kernel",
        "history",
    ),
    *("operations", "optimizer", "input", "inputs", "output", "outputs", "variables", "weights", "losses"),
}


def _children(layer: Any) -> Iterator[tuple[str, Any]]:
    """Keras' paths: what a model lists under layers/<class name>, attributes and properties under their own
    names in alphabetical order, private ones last."""
    if not isinstance(layer, Layer):
        return
    if hasattr(layer, "_chain") or hasattr(layer, "_graph_layers"):
        yield from _contained("layers/", layer.layers)  # type: ignore[attr-defined]
    names = set(layer.__dict__)
    for cls in type(layer).__mro__:
        if cls is Layer:
            break
        names.update(n for n, v in cls.__dict__.items() if isinstance(v, property))
    for name in sorted(names - _NO_PART, key=lambda n: f"~{n}" if n.startswith("_") else n):
        if name in _OF_BASE:
            continue
        try:
            value = getattr(layer, name)
        except Exception:
            continue
        if isinstance(value, (Layer, SeedGenerator)):
            yield f"{name}/", value
        elif isinstance(value, (list, tuple, dict)):
            yield from _contained(f"{name}/", value)


_OF_BASE = set(dir(Layer)) - {"layer", "cell"}


def _contained(prefix: str, container: Any) -> Iterator[tuple[str, Any]]:
    used: dict[str, int] = {}
    for x in container.values() if isinstance(container, dict) else container:
        part = isinstance(x, (Layer, SeedGenerator))
        if not part and not isinstance(x, (list, tuple, dict)):
            continue
        name = snake_case(type(x).__name__) if part else "container"
        n = used.get(name, -1) + 1
        used[name] = n
        path = f"{prefix}{name}/" if n == 0 else f"{prefix}{name}_{n}/"
        if part:
            yield path, x
        else:
            yield from _contained(path, x)


def _own(part: Any) -> list[Any]:
    return [] if isinstance(part, SeedGenerator) else part._own_variables()


def _groups(layer: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Each layer and seed generator once, with its path in the file."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, child in _children(layer):
        yield from _groups(child, f"{path}{name}", seen)


def _weights_h5(model: Any, optimizer: bool) -> bytes:
    h5py = _h5py()
    out = io.BytesIO()
    with h5py.File(out, "w") as f:
        for path, part in _groups(model):
            group = f.create_group(f"{path}vars")
            group.attrs["name"] = part.name
            arrays = [part.state()] if isinstance(part, SeedGenerator) else [v.values() for v in _own(part)]
            for i, a in enumerate(arrays):
                group.create_dataset(str(i), data=a)
        if optimizer and model.optimizer is not None and model.optimizer.built:
            group = f.create_group("optimizer/vars")
            group.attrs["name"] = model.optimizer.name
            for i, a in enumerate(model.optimizer.variables):
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
            if not mine or isinstance(layer, SeedGenerator):
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
                try:
                    model.optimizer.set_variables(arrays, what)
                except ValueError as e:
                    warnings.warn(f"Skipping variable loading for optimizer: {e}", stacklevel=4)


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


# ---- copies ------------------------------------------------------------------------------------------------


def taken_apart(model: Any) -> tuple[Any, ...]:
    """What a copy of a model of layers is made from: its configuration, the classes of one's own, its
    arrays."""
    own = {
        type(x).__name__: type(x) for x in model._walk() if not type(x).__module__.startswith("dlcore.keras")
    }
    optimizer = model.optimizer if model.optimizer is not None else None
    state = optimizer.variables if optimizer is not None and optimizer.built else None
    config = optimizer.get_config() if optimizer is not None else None
    return (
        type(model),
        model.get_config(),
        own,
        [np.array(w) for w in model.get_weights()],
        [layer.trainable for layer in model._walk()],
        model._compiled,
        (type(optimizer), config, state),
    )


def put_together(
    cls: Any, config: Any, own: Any, weights: Any, trainable: Any, compiled: Any, optimizer: Any
) -> Any:
    with custom_object_scope(own):
        model = cls.from_config(config)
    if weights:
        model.set_weights(weights)
    for layer, flag in zip(model._walk(), trainable):
        layer._trainable = flag
    kind, settings, state = optimizer
    if compiled is not None:
        c = compiled
        rule = kind.from_config(settings)
        model.compile(rule, c.loss, c.loss_weights, c.metrics, c.weighted_metrics)
        if state is not None:
            rule.build(model.trainable_weights)
            rule.set_variables(state)
    return model
