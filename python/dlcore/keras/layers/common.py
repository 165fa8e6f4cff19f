"""What the rooms of layers share: checks of arguments, channels last as the kernels see them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.keras.layers.base import Layer
from dlcore.tensor import Tensor

__all__ = [
    "Elementwise",
    "channels_last",
    "output_size",
    "padding_name",
    "positive",
    "same_padding",
    "sizes",
    "to_first",
    "to_last",
]


class Elementwise(Layer):
    """A layer whose output has the input's shape, and its mask."""

    supports_masking = True

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def positive(layer: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{layer}: {name} must be a positive integer, got {value!r}")
    return int(value)


def sizes(layer: str, name: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """An integer, or one an axis, as a tuple."""
    t = (
        (int(value),) * rank
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        else tuple(value)
        if isinstance(value, (list, tuple))
        else ()
    )
    bad = any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least for n in t)
    if len(t) != rank or bad:
        what = "positive" if least == 1 else f"at least {least}"
        raise ValueError(f"{layer}: {name} must be an integer or {rank} integers, {what}, got {value!r}")
    return tuple([int(n) for n in t])


def channels_last(layer: str, data_format: Any) -> str:
    if data_format not in (None, "channels_last"):
        raise ValueError(f"{layer}: only data_format='channels_last' is supported, got {data_format!r}")
    return "channels_last"


def padding_name(layer: str, padding: str, choices: tuple[str, ...]) -> str:
    name = padding.lower() if isinstance(padding, str) else padding
    if name not in choices:
        raise ValueError(f"{layer}: padding must be one of {', '.join(choices)}, got {padding!r}")
    return str(name)


def same_padding(n: int, window: int, stride: int) -> tuple[int, int]:
    """What 'same' adds before and after an axis: ceil(n / stride) outputs, the odd one after."""
    total = max((-(-n // stride) - 1) * stride + window - n, 0)
    return total // 2, total - total // 2


def output_size(layer: Layer, n: int | None, window: int, stride: int, padding: str) -> int | None:
    if n is None:
        return None
    if padding != "valid":
        return -(-n // stride)
    out = (n - window) // stride + 1
    if out < 1:
        raise ValueError(
            f"{layer.name}: {type(layer).__name__} with a window of {window} does not fit an axis of size "
            f"{n} (padding='valid'); use a smaller window or padding='same'"
        )
    return out


def to_first(x: Tensor) -> Tensor:
    """(N, *S, C) seen as (N, C, *S)."""
    return x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))


def to_last(y: Tensor) -> Tensor:
    """(N, C, *S) seen as (N, *S, C)."""
    return y.permute(0, *range(2, y.ndim), 1)
