"""Keras' settings: the dtype of new layers, the small constant of losses."""

from __future__ import annotations

import numpy as np

__all__ = [
    "backend",
    "epsilon",
    "floatx",
    "image_data_format",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]

_settings: dict[str, object] = {"floatx": "float32", "epsilon": 1e-7}


def floatx() -> str:
    """The dtype of layers that are given none: "float32", unless `set_floatx` says otherwise."""
    return str(_settings["floatx"])


def set_floatx(value: str) -> None:
    name = np.dtype(value).name
    if name not in ("float32", "float64"):
        raise ValueError(f"set_floatx: the dtype must be float32 or float64, got {value!r}")
    _settings["floatx"] = name


def epsilon() -> float:
    """What keeps logarithms and quotients finite."""
    return float(_settings["epsilon"])  # type: ignore[arg-type]


def set_epsilon(value: float) -> None:
    _settings["epsilon"] = float(value)


def image_data_format() -> str:
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    if data_format != "channels_last":
        raise ValueError(f"set_image_data_format: only 'channels_last' is supported, got {data_format!r}")


def backend() -> str:
    return "dlcore"
