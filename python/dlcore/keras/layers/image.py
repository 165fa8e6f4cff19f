"""Images: resizing, cropping, and the simple random changes, channels last."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import functional as F
from dlcore.keras._random import SeedGenerator
from dlcore.keras.layers.base import Layer, layer_registry, to_float, to_tensor
from dlcore.keras.layers.common import channels_last
from dlcore.tensor import Tensor

__all__ = [
    "CenterCrop",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "Resizing",
    "resize",
]

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


def _cubic(x: Any) -> Any:
    """Keys 1981, a = -1/2."""
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x >= 2, 0, np.where(x >= 1, far, near))


def _lanczos(x: Any, a: int) -> Any:
    y = a * np.sin(math.pi * x) * np.sin(math.pi * x / a)
    return np.where(x > 1e-3, np.where(x < a, y / np.where(x > 0, (math.pi * x) ** 2, 1), 0), 1)


_KERNELS: dict[str, Any] = {
    "bilinear": lambda x: np.maximum(0, 1 - x),
    "bicubic": _cubic,
    "lanczos3": lambda x: _lanczos(x, 3),
    "lanczos5": lambda x: _lanczos(x, 5),
}


@lru_cache(maxsize=64)
def _weights(n: int, m: int, interpolation: str, antialias: bool) -> npt.NDArray[Any]:
    """(m, n): row i gives the output i from n inputs, pixels' centres at halves, rows of sum 1."""
    if interpolation == "nearest":
        w = np.zeros((m, n))
        w[np.arange(m), np.minimum((np.arange(m) + 0.5) * n / m, n - 1).astype(np.int64)] = 1
        return w
    scale = n / m
    width = max(scale, 1.0) if antialias else 1.0
    at = (np.arange(m) + 0.5) * scale - 0.5
    w = _KERNELS[interpolation](np.abs(at[:, None] - np.arange(n)) / width)
    total = w.sum(1, keepdims=True)
    w = np.where(np.abs(total) > 1000 * np.finfo(np.float32).eps, w / np.where(total != 0, total, 1), 0)
    inside = (at >= -0.5) & (at <= n - 0.5)
    return np.where(inside[:, None], w, 0)


def resize(
    x: Tensor, height: int, width: int, interpolation: str = "bilinear", antialias: bool = False
) -> Tensor:
    """(..., H, W, C) -> (..., height, width, C): rows, then columns, by a matrix each."""
    h, w, c = x.shape[-3:]
    lead = x.shape[:-3]
    if h != height:
        rows = to_tensor(_weights(h, height, interpolation, antialias), x.dtype.name)
        x = F.matmul(rows, x.reshape(*lead, h, w * c)).reshape(*lead, height, w, c)
    if w != width:
        columns = to_tensor(_weights(w, width, interpolation, antialias), x.dtype.name)
        x = F.matmul(columns, x)
    return x


class _Image(Layer):
    """A layer on (N, H, W, C) or (H, W, C)."""

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def _images(self, data: Tensor) -> Tensor:
        x = to_float(data, self.dtype)
        if x.ndim not in (3, 4):
            raise ValueError(
                f"{self.name}: Expected the input image to be rank 3 or 4. Received: inputs.shape={x.shape}"
            )
        return x


class _Sized(_Image):
    height: int
    width: int

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-3], self.height, self.width, input_shape[-1])


@layer_registry.add()
class Resizing(_Sized):
    """Images of another size; with `crop_to_aspect_ratio` or `pad_to_aspect_ratio` undistorted."""

    _fields = (
        "height",
        "width",
        "interpolation",
        "crop_to_aspect_ratio",
        "pad_to_aspect_ratio",
        "fill_mode",
        "fill_value",
        "antialias",
        "data_format",
    )

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Invalid `interpolation` argument. Expected one of {INTERPOLATIONS}. Received:"
                f" {interpolation}"
            )
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError("Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`.")
        if fill_mode != "constant":
            raise ValueError("Invalid value for argument `fill_mode`. Only `'constant'` is supported.")
        self.height, self.width, self.interpolation = height, width, interpolation
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_mode, self.fill_value, self.antialias = fill_mode, fill_value, bool(antialias)
        self.data_format = channels_last("Resizing", data_format)

    def call(self, data: Tensor, training: bool = True) -> Any:
        x = self._images(data)
        h, w = x.shape[-3:-1]
        wanted_h, wanted_w = int(w * self.height / self.width), int(h * self.width / self.height)
        if self.crop_to_aspect_ratio:
            crop_h, crop_w = max(min(h, wanted_h), 1), max(min(w, wanted_w), 1)
            top, left = int((h - crop_h) / 2), int((w - crop_w) / 2)
            x = x[..., top : top + crop_h, left : left + crop_w, :]
        elif self.pad_to_aspect_ratio:
            # As much on both sides: an odd row or column more is resized away.
            top, left = int((max(h, wanted_h) - h) / 2), int((max(w, wanted_w) - w) / 2)
            around = (0, 0, 0, 0, top, top) if top > 0 else (0, 0, left, left)
            x = F.pad(x, around, value=self.fill_value)
        return resize(x, self.height, self.width, self.interpolation, self.antialias)


@layer_registry.add()
class CenterCrop(_Sized):
    """The middle of images; smaller ones are resized to cover it first."""

    _fields = ("height", "width", "data_format")

    def __init__(self, height: int, width: int, data_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height, self.width = height, width
        self.data_format = channels_last("CenterCrop", data_format)

    def call(self, data: Tensor, training: bool = True) -> Any:
        x = self._images(data)
        h, w = x.shape[-3:-1]
        top, left = int((h - self.height) / 2), int((w - self.width) / 2)
        if h >= self.height and w >= self.width:
            return x[..., top : top + self.height, left : left + self.width, :]
        crop = Resizing(
            self.height, self.width, crop_to_aspect_ratio=True, name="smart_resize", dtype=self.dtype
        )
        return crop.call(x)


class _RandomImage(_Image):
    """Random in training alone, a draw a sample."""

    def _seeded(self, seed: Any) -> None:
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)

    def _draws(self, x: Tensor, low: float, high: float) -> npt.NDArray[Any]:
        """Uniform values of shape (N, 1, 1, 1), or () for a single image."""
        n = (x.shape[0], 1, 1, 1) if x.ndim == 4 else ()
        return np.asarray(self.seed_generator.rng.uniform(low, high, n), x.dtype)


@layer_registry.add()
class RandomFlip(_RandomImage):
    """Mirrors each image left to right, top to bottom or both, each with probability 1/2."""

    _fields = ("mode", "seed", "data_format")

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in ("horizontal", "vertical", "horizontal_and_vertical"):
            raise ValueError(
                f"RandomFlip: mode must be horizontal, vertical or horizontal_and_vertical, got {mode!r}"
            )
        self.mode = mode
        self._seeded(seed)
        self.data_format = channels_last("RandomFlip", data_format)

    def call(self, data: Tensor, training: bool = True) -> Any:
        x = self._images(data)
        if not training:
            return x
        for name, axis in (("horizontal", -2), ("vertical", -3)):
            if name in self.mode:
                turn = to_tensor(self._draws(x, 0, 1) < 0.5)
                x = F.where(turn, F.flip(x, axis), x)
        return x


@layer_registry.add()
class RandomCrop(_RandomImage, _Sized):
    """A random part of images in training, the same for a batch; the middle otherwise."""

    _fields = ("height", "width", "seed", "data_format")

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.height, self.width = height, width
        self._seeded(seed)
        self.data_format = channels_last("RandomCrop", data_format)

    def call(self, data: Tensor, training: bool = True) -> Any:
        x = self._images(data)
        h, w = x.shape[-3:-1]
        if not training or h < self.height or w < self.width:
            crop = CenterCrop(self.height, self.width, name="center_crop", dtype=self.dtype)
            return crop.call(x)
        rng = self.seed_generator.rng
        top = int(rng.integers(h - self.height + 1))
        left = int(rng.integers(w - self.width + 1))
        return x[..., top : top + self.height, left : left + self.width, :]


def _factor(layer: str, factor: Any, low: float, high: float) -> tuple[float, float]:
    if isinstance(factor, (list, tuple)):
        if len(factor) != 2 or factor[0] > factor[1]:
            raise ValueError(f"{layer}: factor must be a number or (low, high), got {factor!r}")
        a, b = map(float, factor)
    else:
        a, b = -abs(float(factor)), abs(float(factor))
    if not low <= a <= b <= high:
        raise ValueError(f"{layer}: factor must lie in [{low:g}, {high:g}], got {factor!r}")
    return a, b


@layer_registry.add()
class RandomBrightness(_RandomImage):
    """Adds to each image a random part, of `factor`, of the value range, and cuts to the range."""

    _fields = ("factor", "value_range", "seed")

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.factor = _factor("RandomBrightness", factor, -1, 1)
        self.value_range = sorted(value_range)
        self._seeded(seed)

    def call(self, data: Tensor, training: bool = True) -> Any:
        x = self._images(data)
        if not training:
            return x
        low, high = self.value_range
        shift = self._draws(x, *self.factor) * np.asarray(high - low, x.dtype)
        return (x + to_tensor(shift, x.dtype.name)).clamp(low, high)


@layer_registry.add()
class RandomContrast(_RandomImage):
    """(x - mean) f + mean of each image and channel, f from 1 - factor to 1 + factor, cut to the range."""

    _fields = ("factor", "value_range", "seed")

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.factor = _factor("RandomContrast", factor, -1, 1)
        self.value_range = sorted(value_range)
        self._seeded(seed)

    def call(self, data: Tensor, training: bool = True) -> Any:
        x = self._images(data)
        if not training:
            return x
        f = to_tensor(1 + self._draws(x, *self.factor), x.dtype.name)
        mean = x.mean((-3, -2), keepdim=True)
        return ((x - mean) * f + mean).clamp(*self.value_range)
