"""Names and configurations of the objects that Keras spells as strings or dictionaries.

Only classes and functions that are registered here, or that the user names, can come out of a configuration:
reading a file runs no code from it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = [
    "Configured",
    "Registry",
    "automatic_config",
    "custom",
    "custom_object_scope",
    "deserialize_any",
    "register",
    "registered_name",
    "serialize_any",
    "snake_case",
    "without_unset",
]

# What the user has registered ("package>name") or passed as custom_objects (by name); asked first.
custom: dict[str, Any] = {}
_registered: dict[Any, str] = {}
_registries: dict[str, Registry] = {}


def snake_case(name: str) -> str:
    """MaxPooling2D -> max_pooling2d, ReLU -> re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def register(package: str, name: str | None) -> Callable[[Any], Any]:
    """`register_keras_serializable`: a class or function may come out of files by its name."""

    def decorate(x: Any) -> Any:
        if isinstance(x, type) and not hasattr(x, "get_config"):
            raise ValueError("Cannot register a class that does not have a get_config() method.")
        full = f"{package}>{name or x.__name__}"
        custom[full] = x
        _registered[x] = full
        return x

    return decorate


def registered_name(x: Any) -> str:
    """ "package>name" of what was registered, else its own name."""
    try:
        return _registered.get(x) or str(x.__name__)
    except TypeError:
        return str(x.__name__)


@contextmanager
def custom_object_scope(objects: Mapping[str, Any] | None) -> Iterator[None]:
    """custom_objects for the time of a reading."""
    before = dict(custom)
    custom.update(objects or {})
    try:
        yield
    finally:
        custom.clear()
        custom.update(before)


def _custom(*names: Any) -> Any:
    for name in names:
        if not isinstance(name, str):
            continue
        if name in custom:
            return custom[name]
        for full, x in custom.items():
            if full.rpartition(">")[2] == name.rpartition(">")[2]:
                return x
    return None


class Registry:
    """The objects of one of Keras' modules by class name and by the other names that `get` takes."""

    def __init__(self, module: str, what: str) -> None:
        self.module = module
        self.what = what
        self.by_name: dict[str, Any] = {}
        self.classes: dict[str, type] = {}
        _registries[module] = self

    def add(self, *aliases: str) -> Callable[[Any], Any]:
        def add(x: Any) -> Any:
            name = x.__name__
            for n in (name, snake_case(name), *aliases):
                self.by_name[n] = x
            if isinstance(x, type):
                self.classes[name] = x
            return x

        return add

    def lookup(self, name: str) -> Any:
        found = _custom(name)
        if found is None:
            found = self.by_name.get(name) or self.by_name.get(name.lower())
        if found is None:
            known = ", ".join(sorted({n for n in self.by_name if n == n.lower()}))
            raise ValueError(f"unknown {self.what} {name!r}; the names are {known}")
        return found

    def get(self, identifier: Any) -> Any:
        """A string, a configuration, a class or an object -> an object. None stays None."""
        if isinstance(identifier, str):
            found = self.lookup(identifier)
            return found() if isinstance(found, type) else found
        if isinstance(identifier, Mapping):
            return self.from_config(identifier)
        if isinstance(identifier, type):
            return identifier()
        if identifier is None or callable(identifier) or hasattr(identifier, "get_config"):
            return identifier
        raise ValueError(
            f"Could not interpret {self.what} identifier: {identifier!r}; a name, a configuration or an"
            " object is expected"
        )

    def from_config(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The object that a configuration describes."""
        if isinstance(config, str):
            with custom_object_scope(custom_objects):
                return self.get(config)
        name = config.get("class_name")
        inner = config.get("config")
        if not isinstance(name, str):
            raise ValueError(f"a configuration of a {self.what} must have a class_name, got {dict(config)!r}")
        with custom_object_scope(custom_objects):
            if name == "function" and isinstance(inner, str):
                return self.lookup(inner)
            found = _custom(config.get("registered_name"), name)
            if found is None:
                found = self.lookup(name.rpartition(">")[2])
            if not isinstance(found, type):
                return found
            return found.from_config({k: _plain(v) for k, v in (inner or {}).items()})  # type: ignore[attr-defined]

    def serialize(self, x: Any) -> Any:
        return serialize_any(x)


def serialize_any(x: Any) -> Any:
    """Keras' own form: {"module", "class_name", "config", "registered_name"}; functions are named."""
    if x is None or isinstance(x, (str, int, float, bool)):
        return x
    if isinstance(x, (list, tuple)):
        return [serialize_any(v) for v in x]
    if isinstance(x, dict):
        return {k: serialize_any(v) for k, v in x.items()}
    if isinstance(x, slice):
        return {"class_name": "__slice__", "config": {"start": x.start, "stop": x.stop, "step": x.step}}
    if isinstance(x, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": x.tolist(), "dtype": x.dtype.name}}
    if isinstance(x, np.dtype):
        return x.name
    if hasattr(x, "get_config") and not isinstance(x, type):
        cls = type(x)
        ours = cls.__module__.startswith("dlcore.keras") and cls not in _registered
        return {
            "module": getattr(x, "_keras_module", None) if ours else cls.__module__,
            "class_name": getattr(x, "class_name", cls.__name__),
            "config": x.get_config(),
            "registered_name": getattr(x, "_keras_registered", None) if ours else registered_name(cls),
        }
    if isinstance(x, np.generic):
        return x.item()
    if callable(x):
        ours = (getattr(x, "__module__", None) or "").startswith("dlcore.keras")
        if ours and x not in _registered:
            return x.__name__
        return {
            "module": "builtins",
            "class_name": "function",
            "config": x.__name__,
            "registered_name": registered_name(x) if x in _registered else "function",
        }
    raise TypeError(f"get_config: cannot serialize {x!r} of type {type(x)}")


def _plain(x: Any) -> Any:
    """An array in a configuration, as an array."""
    named = isinstance(x, dict) and x.get("class_name") in ("__numpy__", "__tensor__")
    return deserialize_any(x) if named else x


def deserialize_any(x: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize_any` gave, as objects again, whatever module they are of."""
    if isinstance(x, list):
        return [deserialize_any(v, custom_objects) for v in x]
    if not isinstance(x, dict):
        return x
    if "class_name" not in x or "config" not in x:
        return {k: deserialize_any(v, custom_objects) for k, v in x.items()}
    name, inner = x["class_name"], x["config"]
    if name == "__slice__":
        return slice(inner["start"], inner["stop"], inner["step"])
    if name in ("__numpy__", "__tensor__"):
        return np.asarray(inner["value"], inner["dtype"])
    if name == "__tuple__":
        return tuple(deserialize_any(v) for v in inner)
    module = str(x.get("module") or "")
    with custom_object_scope(custom_objects):
        own = _custom(x.get("registered_name"), inner if name == "function" else name)
        if own is not None:
            return (
                own.from_config(dict(inner)) if isinstance(own, type) and hasattr(own, "from_config") else own
            )
        plain = module.replace(".src", "")
        for known, registry in sorted(_registries.items(), key=lambda kv: -len(kv[0])):
            if plain.startswith(known):
                return registry.from_config(x)
        for registry in _registries.values():
            if name in registry.classes or (name == "function" and inner in registry.by_name):
                return registry.from_config(x)
    raise ValueError(
        f"Could not deserialize {name!r} of module {module!r}: it is neither dlcore's nor among"
        " custom_objects; classes and functions of your own must be registered or passed as custom_objects"
    )


def without_unset(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what another version of Keras has added and left unset (None)."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    takes_more = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {
        k: v for k, v in config.items() if v is not None or k in parameters or (takes_more and k == "dtype")
    }


def automatic_config(x: Any, base: type) -> dict[str, Any]:
    """The arguments that a subclass's constructor was called with, where they are plain values."""
    cls = type(x)
    if cls.__init__ is base.__init__:  # type: ignore[misc]
        return {}
    args, kwargs = x._auto
    bound = inspect.signature(cls.__init__).bind_partial(x, *args, **kwargs)
    out: dict[str, Any] = {}
    for i, (name, value) in enumerate(bound.arguments.items()):
        if i == 0:
            continue
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        given = value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
        for k, v in given.items():
            if not isinstance(v, (str, int, float, bool, type(None), list, tuple, dict, np.dtype)):
                raise NotImplementedError(
                    f"Object {cls.__name__} was created by passing non-serializable argument values in "
                    f"`__init__()` ({k}={v!r:.60}), and therefore the object must override `get_config()` in "
                    "order to be serializable."
                )
            out[k] = serialize_any(v)
    return out


class Configured:
    """Objects whose configuration is the constructor's arguments, kept under the same names."""

    _fields: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        return {f: serialize_any(getattr(self, f)) for f in self._fields}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**without_unset(cls, config))
