"""Images turned, zoomed and shifted at random, each by an affine map of its own, channels last.

An output pixel (x, y) takes the value at (a0 x + a1 y + a2, b0 x + b1 y + b2) of the input. Values outside
come from `fill_mode`: "reflect" (d c b a | a b c d | d c b a), "wrap", "nearest" or "constant".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import functional as F
from dlcore.keras.layers.base import layer_registry, to_tensor
from dlcore.keras.layers.common import channels_last
from dlcore.keras.layers.image import _RandomImage
from dlcore.tensor import Tensor

__all__ = ["RandomRotation", "RandomShear", "RandomTranslation", "RandomZoom", "affine_transform"]

NDArray = npt.NDArray[Any]
FILL_MODES = ("reflect", "wrap", "constant", "nearest")


def _inside(i: NDArray, n: int, mode: str) -> NDArray:
    """Indices of an axis of n pixels as ones within it."""
    if mode == "wrap":
        return i % n
    if mode == "reflect":
        i = i % (2 * n)
        i = np.minimum(i, 2 * n - 1 - i)
    within: NDArray = np.clip(i, 0, n - 1)
    return within


def _neighbours(at: NDArray, interpolation: str) -> list[tuple[NDArray, NDArray]]:
    """(index, weight) pairs along an axis."""
    if interpolation == "nearest":  # halves go away from zero
        return [((np.sign(at) * np.floor(np.abs(at) + 0.5)).astype(np.int64), np.ones_like(at))]
    low = np.floor(at)
    part = at - low
    i = low.astype(np.int64)
    return [(i, 1 - part), (i + 1, part)]


def affine_transform(
    x: Tensor, matrix: NDArray, interpolation: str, fill_mode: str, fill_value: float
) -> Tensor:
    """Images x (N, H, W, C) under matrix (N, 2, 3), rows (a0, a1, a2) and (b0, b1, b2)."""
    n, h, w, c = x.shape
    m = matrix.astype(np.float32)[:, :, :, None, None]
    rows, columns = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
    across, down = [m[:, k, 0] * columns + m[:, k, 1] * rows + m[:, k, 2] for k in (0, 1)]  # (N, H, W)
    pixels = x.reshape(n * h * w, c)
    first = np.arange(n)[:, None, None] * h
    out: Any = None
    for i, down_weight in _neighbours(down, interpolation):
        for j, across_weight in _neighbours(across, interpolation):
            places = (first + _inside(i, h, fill_mode)) * w + _inside(j, w, fill_mode)
            part = F.embedding(to_tensor(places), pixels)
            if fill_mode == "constant":
                known = (i >= 0) & (i < h) & (j >= 0) & (j < w)
                part = F.where(to_tensor(known[..., None]), part, float(fill_value))
            if interpolation == "bilinear":
                part = part * to_tensor((down_weight * across_weight)[..., None], x.dtype.name)
            out = part if out is None else out + part
    return out  # type: ignore[no-any-return]


class _RandomAffine(_RandomImage):
    """Draws a transformation an image in training, and applies it."""

    def _setup(self, fill_mode: str, interpolation: str, seed: Any, fill_value: float, fmt: Any) -> None:
        if fill_mode not in FILL_MODES:
            raise NotImplementedError(f"Unknown `fill_mode` {fill_mode}. Expected of one {FILL_MODES}.")
        if interpolation not in ("nearest", "bilinear"):
            raise NotImplementedError(
                f"Unknown `interpolation` {interpolation}. Expected of one {('nearest', 'bilinear')}."
            )
        self.fill_mode, self.interpolation, self.fill_value = fill_mode, interpolation, fill_value
        self._seeded(seed)
        self.data_format = channels_last(type(self).__name__, fmt)

    def _uniform(self, n: int, bounds: tuple[float, float]) -> NDArray:
        return self.seed_generator.rng.uniform(*bounds, (n, 1)).astype(np.float32)

    def _drawn(self, n: int, h: int, w: int) -> dict[str, Any]:
        raise NotImplementedError

    def _matrix(self, drawn: dict[str, Any], h: int, w: int) -> NDArray:
        raise NotImplementedError

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """What is drawn for these images, for `transform_images`; None outside training."""
        if not training:
            return None
        shape = data.shape
        return self._drawn(shape[0] if len(shape) == 4 else 1, *shape[-3:-1])

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """Images under a transformation that `get_random_transformation` gave."""
        x = self._images(to_tensor(images, self.dtype))
        if not training or transformation is None:
            return x
        batch = x if x.ndim == 4 else x.unsqueeze(0)
        matrix = self._matrix(transformation, *x.shape[-3:-1])
        y = affine_transform(batch, matrix, self.interpolation, self.fill_mode, self.fill_value)
        return y if x.ndim == 4 else y.squeeze(0)

    def call(self, data: Tensor, training: bool = True) -> Any:
        return self.transform_images(data, self.get_random_transformation(data, training), training)


def _rows(*entries: Any) -> NDArray:
    """(N, 2, 3) from six columns (N, 1) or numbers."""
    return np.concatenate(np.broadcast_arrays(*[np.asarray(e, np.float32) for e in entries]), 1).reshape(
        -1, 2, 3
    )


@layer_registry.add()
class RandomRotation(_RandomAffine):
    """Turns each image about its centre by a part, of `factor`, of a full turn.

    factor (low, high), or f for (-f, f), within [-1, 1].
    """

    _fields = ("factor", "data_format", "fill_mode", "fill_value", "interpolation", "seed")

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        error = (
            "The `factor` argument should be a number (or a list of two numbers) in the range [-1, 1]."
            f" Received: factor={factor}"
        )
        pair = isinstance(factor, (tuple, list))
        if pair and len(factor) != 2:
            raise ValueError(error)
        low, high = _bounds(factor, error)
        # Keras lets a pair through that meets the range.
        if (pair and (factor[0] > 1 or factor[1] < -1)) or (not pair and not -1 <= factor <= 1):
            raise ValueError(error)
        self.factor = low, high
        self._setup(fill_mode, interpolation, seed, fill_value, data_format)

    def _drawn(self, n: int, h: int, w: int) -> dict[str, Any]:
        return {"angle": self._uniform(n, (self.factor[0] * 360.0, self.factor[1] * 360.0))[:, 0]}

    def _matrix(self, drawn: dict[str, Any], h: int, w: int) -> NDArray:
        angle = np.asarray(drawn["angle"], np.float32)[:, None] * np.float32(math.pi / 180.0)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = np.float32(0.5 * (w - 1)), np.float32(0.5 * (h - 1))
        return _rows(cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos)


def _bounds(factor: Any, error: str) -> tuple[float, float]:
    if isinstance(factor, (tuple, list)) and len(factor) == 2:
        low, high = sorted(factor)
        return low, high
    if isinstance(factor, (int, float)):
        return -abs(factor), abs(factor)
    raise ValueError(error)


class _TwoFactors(_RandomAffine):
    """height_factor and width_factor, each a number or (low, high)."""

    _fields: tuple[str, ...] = (
        "height_factor",
        "width_factor",
        "fill_mode",
        "interpolation",
        "seed",
        "fill_value",
        "data_format",
    )
    _range = ""

    def _allowed(self, v: float) -> bool:
        raise NotImplementedError

    def _factor_of(self, name: str, factor: Any) -> tuple[float, float]:
        error = (
            f"The `height_factor` and `width_factor` arguments should be a number (or a list of two numbers) "
            f"in the range {self._range}. Received: {name}={factor}"
        )
        bounds = _bounds(factor, error)
        if not all(self._allowed(v) for v in (factor if isinstance(factor, (tuple, list)) else [factor])):
            raise ValueError(error)
        return bounds


@layer_registry.add()
class RandomZoom(_TwoFactors):
    """Zooms each image about its centre: by 1 + a draw from height_factor, and from width_factor, or alike
    where that is None. A positive one zooms out."""

    _range = "(-1.0, 1.0]"

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = self._factor_of("height_factor", height_factor)
        self._width = None if width_factor is None else self._factor_of("width_factor", width_factor)
        self._setup(fill_mode, interpolation, seed, fill_value, data_format)

    def _allowed(self, v: float) -> bool:
        return -1 < v <= 1

    def _drawn(self, n: int, h: int, w: int) -> dict[str, Any]:
        height = 1 + self._uniform(n, self._height)
        width = height if self._width is None else 1 + self._uniform(n, self._width)
        return {"height_zoom": height, "width_zoom": width}

    def _matrix(self, drawn: dict[str, Any], h: int, w: int) -> NDArray:
        down, across = [np.asarray(drawn[k], np.float32) for k in ("height_zoom", "width_zoom")]
        return _rows(across, 0, (w - 1) / 2 * (1 - across), 0, down, (h - 1) / 2 * (1 - down))


@layer_registry.add()
class RandomTranslation(_TwoFactors):
    """Shifts each image by parts, of height_factor and width_factor, of its size; positive down and right."""

    _range = "[-1.0, 1.0]"

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = self._factor_of("height_factor", height_factor)
        self._width = self._factor_of("width_factor", width_factor)
        self._setup(fill_mode, interpolation, seed, fill_value, data_format)

    def _allowed(self, v: float) -> bool:
        return -1 <= v <= 1

    def _drawn(self, n: int, h: int, w: int) -> dict[str, Any]:
        down = self._uniform(n, self._height) * np.float32(h)
        across = self._uniform(n, self._width) * np.float32(w)
        return {"translations": np.concatenate([across, down], 1)}

    def _matrix(self, drawn: dict[str, Any], h: int, w: int) -> NDArray:
        shift = np.asarray(drawn["translations"], np.float32)
        return _rows(1, 0, -shift[:, :1], 0, 1, -shift[:, 1:])


@layer_registry.add()
class RandomShear(_RandomAffine):
    """Leans each image by draws from x_factor along its rows and y_factor along its columns, both to one
    side or both to the other; factors from 0 to 1."""

    _fields = ("x_factor", "y_factor", "fill_mode", "interpolation", "seed", "fill_value", "data_format")

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, factor in (("x_factor", x_factor), ("y_factor", y_factor)):
            error = (
                "The `factor` argument should be a number (or a list of two numbers) in the range [0, 1.0]."
                f" Received: {name}={factor}"
            )
            bounds = _bounds(factor, error)
            # (-f, f) is what the configuration has of a number f.
            low, high = (0, bounds[1]) if isinstance(factor, (tuple, list)) else (factor, factor)
            low = low if bounds[0] == -bounds[1] else bounds[0]
            if not 0 <= low <= high <= 1:
                raise ValueError(error)
            setattr(self, name, bounds)
        self._setup(fill_mode, interpolation, seed, fill_value, data_format)

    x_factor: tuple[float, float]
    y_factor: tuple[float, float]

    def _drawn(self, n: int, h: int, w: int) -> dict[str, Any]:
        side = np.where(self._uniform(n, (0, 1)) > 0.5, np.float32(-1), np.float32(1))
        y, x = self._uniform(n, self.y_factor), self._uniform(n, self.x_factor)
        return {"shear_factor": np.concatenate([x, y], 1) * side}

    def _matrix(self, drawn: dict[str, Any], h: int, w: int) -> NDArray:
        lean = np.asarray(drawn["shear_factor"], np.float32)
        return _rows(1, lean[:, :1], 0, lean[:, 1:], 1, 0)
