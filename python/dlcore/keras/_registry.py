"""Names and configurations of the objects that Keras spells as strings or dictionaries.

Only classes and functions that are registered here can come out of a configuration: reading a file runs no
code from it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Registry", "custom", "serialize_any", "snake_case"]

# What the user has registered or passed as custom_objects; asked first.
custom: dict[str, Any] = {}


def snake_case(name: str) -> str:
    """MaxPooling2D -> max_pooling2d, ReLU -> re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


class Registry:
    """The objects of one of Keras' modules by class name and by the other names that `get` takes."""

    def __init__(self, module: str, what: str) -> None:
        self.module = module
        self.what = what
        self.by_name: dict[str, Any] = {}
        self.classes: dict[str, type] = {}

    def add(self, *aliases: str) -> Callable[[Any], Any]:
        def register(x: Any) -> Any:
            name = x.__name__
            for n in (name, snake_case(name), *aliases):
                self.by_name[n] = x
            if isinstance(x, type):
                self.classes[name] = x
            return x

        return register

    def lookup(self, name: str) -> Any:
        if name in custom:
            return custom[name]
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
        raise TypeError(f"expected a {self.what}: its name, configuration or object, got {identifier!r}")

    def from_config(self, config: Mapping[str, Any]) -> Any:
        name = config.get("class_name")
        inner = config.get("config")
        if not isinstance(name, str):
            raise ValueError(f"a configuration of a {self.what} must have a class_name, got {dict(config)!r}")
        if name == "function" and isinstance(inner, str):
            return self.get(inner)
        found = self.lookup(name.rpartition(">")[2])
        if not isinstance(found, type):
            return found
        return found.from_config(dict(inner or {}))  # type: ignore[attr-defined]

    def serialize(self, x: Any) -> Any:
        return serialize_any(x)


_modules: dict[type, str] = {}


def serialize_any(x: Any) -> Any:
    """Keras' own form: {"module", "class_name", "config", "registered_name"}; functions are named."""
    if x is None or isinstance(x, (str, int, float, bool)):
        return x
    if isinstance(x, (list, tuple)):
        return [serialize_any(v) for v in x]
    if isinstance(x, dict):
        return {k: serialize_any(v) for k, v in x.items()}
    if hasattr(x, "get_config"):
        cls = type(x)
        ours = cls.__module__.startswith("dlcore.keras")
        return {
            "module": getattr(cls, "_keras_module", None) if ours else cls.__module__,
            "class_name": cls.__name__,
            "config": x.get_config(),
            "registered_name": None if ours else cls.__name__,
        }
    if hasattr(x, "item"):
        return x.item()
    if callable(x):
        return x.__name__
    raise TypeError(f"get_config: cannot serialize {x!r}")


def without_unset(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what another version of Keras has added and left unset (None)."""
    known = set(inspect.signature(cls).parameters)
    return {k: v for k, v in config.items() if v is not None or k in known}


class Configured:
    """Objects whose configuration is the constructor's arguments, kept under the same names."""

    _fields: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        return {f: serialize_any(getattr(self, f)) for f in self._fields}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**without_unset(cls, config))
