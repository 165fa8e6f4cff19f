"""What the transforms do to one image, under torchvision's names.

An image is a Pillow image, on which Pillow works; a Tensor (..., C, H, W); or an ndarray (H, W) or (H, W, C),
as decoders give it. What comes back is of the same kind. Values are uint8 in 0..255 or floats in 0..1.
"""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcore.autograd import no_grad
from dlcore.creation import as_tensor
from dlcore.functional import interpolate
from dlcore.tensor import DTypeLike, Tensor, as_dtype

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "get_dimensions",
    "hflip",
    "normalize",
    "pad",
    "pil_to_tensor",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]

Array = np.ndarray[Any, Any]
Planes = Callable[[Array], Array]


class InterpolationMode(enum.Enum):
    """How `resize` reads between pixels."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"
    HAMMING = "hamming"


Mode = InterpolationMode | str


def _is_pil(image: Any) -> bool:
    module = sys.modules.get("PIL.Image")  # there is no Pillow image where Pillow was not imported
    return module is not None and isinstance(image, module.Image)


def _on_planes(op: str, image: Any, f: Planes) -> Any:
    """f on an array (..., C, H, W), for a Tensor or an ndarray."""
    if isinstance(image, Tensor):
        if image.ndim < 2:
            raise TypeError(f"{op}: the image must be (..., H, W), got {image.shape}")
        return as_tensor(np.ascontiguousarray(f(image.detach().numpy())))
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3):
            raise ValueError(f"{op}: an ndarray must be (H, W) or (H, W, C), got {image.shape}")
        if image.ndim == 2:
            return np.ascontiguousarray(f(image))
        return np.ascontiguousarray(np.moveaxis(f(np.moveaxis(image, 2, 0)), 0, 2))
    raise TypeError(
        f"{op}: the image must be a Pillow image, a Tensor or an ndarray, got {type(image).__name__}"
    )


def get_dimensions(image: Any) -> tuple[int, int, int]:
    """(channels, height, width)."""
    if _is_pil(image):
        return len(image.getbands()), image.height, image.width
    shape = tuple(image.shape)
    if isinstance(image, np.ndarray):
        return (shape[2] if len(shape) == 3 else 1), shape[0], shape[1]
    return (shape[-3] if len(shape) > 2 else 1), shape[-2], shape[-1]


def _two(op: str, name: str, size: int | Sequence[int]) -> tuple[int, int]:
    values = [size] if isinstance(size, (int, np.integer)) else list(size)
    if len(values) not in (1, 2):
        raise ValueError(f"{op}: {name} must be one or two integers, got {size!r}")
    return int(values[0]), int(values[-1])


# ---- shape -------------------------------------------------------------------------------------------------


def _resized(
    height: int, width: int, size: int | Sequence[int], max_size: int | None
) -> tuple[int, int]:  # fmt: skip
    sizes = [size] if isinstance(size, (int, np.integer)) else list(size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"resize: size must be one or two integers, got {size!r}")
    if len(sizes) == 2:
        if max_size is not None:
            raise ValueError("resize: max_size goes with a single size, that of the shorter edge")
        return int(sizes[0]), int(sizes[1])
    short, long = sorted((height, width))
    new_short, new_long = int(sizes[0]), int(sizes[0] * long / short)
    if max_size is not None:
        if max_size <= sizes[0]:
            raise ValueError(f"resize: max_size must exceed size, got {max_size} and {size}")
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_short, new_long) if height <= width else (new_long, new_short)


def resize(
    image: Any,
    size: int | Sequence[int],
    interpolation: Mode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """The image at `size` (height, width), or with its shorter edge `size` long; no edge beyond `max_size`.

    Tensors and ndarrays go through `functional.interpolate` ("nearest", "nearest-exact", "bilinear",
    "bicubic"), Pillow images through Pillow, which always antialiases.

    Raises ValueError for sizes and modes that do not fit.

    >>> import numpy as np
    >>> resize(np.zeros((30, 60, 3), np.uint8), 10).shape
    (10, 20, 3)
    """
    mode = InterpolationMode(interpolation).value
    _, height, width = get_dimensions(image)
    out = _resized(height, width, size, max_size)
    if _is_pil(image):
        from PIL.Image import Resampling

        name = "nearest" if mode == "nearest-exact" else mode
        return image if (height, width) == out else image.resize(out[::-1], Resampling[name.upper()])
    if mode not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError(f"resize: {mode!r} is for Pillow images; arrays take nearest, bilinear and bicubic")
    smooth = bool(antialias) and mode in ("bilinear", "bicubic")

    def planes(a: Array) -> Array:
        if a.shape[-2:] == out:
            return a
        real = a.dtype if a.dtype.kind == "f" else np.dtype(np.float32)
        flat = np.ascontiguousarray(a, real).reshape(1, -1, height, width)
        with no_grad():
            y = interpolate(as_tensor(flat), out, mode=mode, antialias=smooth).numpy()
        y = y.reshape(*a.shape[:-2], *out)
        return y if real == a.dtype else _rounded(y, a.dtype)

    return _on_planes("resize", image, planes)


def _rounded(y: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    return np.clip(np.rint(y), limits.min, limits.max).astype(dtype)


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part that begins at (top, left); what lies outside the image is 0."""
    if _is_pil(image):
        return image.crop((left, top, left + width, top + height))
    _, h, w = get_dimensions(image)
    margins = [max(-left, 0), max(-top, 0), max(left + width - w, 0), max(top + height - h, 0)]
    if any(margins):
        image = pad(image, margins)
        top, left = top + margins[1], left + margins[0]
    return _on_planes("crop", image, lambda a: a[..., top : top + height, left : left + width])


def center_crop(image: Any, output_size: int | Sequence[int]) -> Any:
    """The middle `output_size` (height, width) of the image, padded with 0 where that is larger."""
    height, width = _two("center_crop", "output_size", output_size)
    _, h, w = get_dimensions(image)
    if width > w or height > h:
        dw, dh = max(width - w, 0), max(height - h, 0)
        image = pad(image, [dw // 2, dh // 2, (dw + 1) // 2, (dh + 1) // 2])
        h, w = h + dh, w + dw
    return crop(image, round((h - height) / 2.0), round((w - width) / 2.0), height, width)


def resized_crop(
    image: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Mode = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """resize(crop(image, top, left, height, width), size)."""
    return resize(crop(image, top, left, height, width), size, interpolation, None, antialias)


_PAD_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


def pad(
    image: Any,
    padding: int | Sequence[int],
    fill: float | Sequence[float] = 0,
    padding_mode: str = "constant",
) -> Any:
    """A margin around the image: one number, (left and right, top and bottom), or (left, top, right, bottom).

    Raises ValueError for another count of numbers, and for a mode that is not constant, edge, reflect or
    symmetric.
    """
    p = [padding] if isinstance(padding, (int, np.integer)) else list(padding)
    if len(p) not in (1, 2, 4):
        raise ValueError(f"pad: padding must be 1, 2 or 4 integers, got {padding!r}")
    left, top, right, bottom = p * 4 if len(p) == 1 else p * 2 if len(p) == 2 else p
    if padding_mode not in _PAD_MODES:
        raise ValueError(f"pad: padding_mode must be one of {', '.join(_PAD_MODES)}, got {padding_mode!r}")
    if _is_pil(image):
        from PIL import Image, ImageOps

        if padding_mode == "constant":
            values: Any = fill
            if isinstance(fill, Sequence):
                values = tuple(int(v) for v in fill) * (len(image.getbands()) if len(fill) == 1 else 1)
            elif len(image.getbands()) > 1:
                values = (int(fill),) * len(image.getbands())
            return ImageOps.expand(image, (left, top, right, bottom), values)
        return Image.fromarray(pad(np.asarray(image), padding, 0, padding_mode))

    def planes(a: Array) -> Array:
        margins = [(0, 0)] * (a.ndim - 2) + [(top, bottom), (left, right)]
        if padding_mode != "constant":
            return np.pad(a, margins, mode=_PAD_MODES[padding_mode])  # type: ignore[call-overload,no-any-return]
        if not isinstance(fill, Sequence):
            return np.pad(a, margins, constant_values=fill)
        y = np.empty((*a.shape[:-2], a.shape[-2] + top + bottom, a.shape[-1] + left + right), a.dtype)
        y[:] = np.asarray(fill, a.dtype).reshape(-1, 1, 1)
        y[..., top : top + a.shape[-2], left : left + a.shape[-1]] = a
        return y

    return _on_planes("pad", image, planes)


def hflip(image: Any) -> Any:
    """Left and right exchanged."""
    if _is_pil(image):
        from PIL.Image import Transpose

        return image.transpose(Transpose.FLIP_LEFT_RIGHT)
    return _on_planes("hflip", image, lambda a: a[..., ::-1])


def vflip(image: Any) -> Any:
    """Top and bottom exchanged."""
    if _is_pil(image):
        from PIL.Image import Transpose

        return image.transpose(Transpose.FLIP_TOP_BOTTOM)
    return _on_planes("vflip", image, lambda a: a[..., ::-1, :])


# ---- type --------------------------------------------------------------------------------------------------


def pil_to_tensor(image: Any) -> Tensor:
    """A Pillow image as a Tensor (C, H, W) of its own type."""
    if not _is_pil(image):
        raise TypeError(f"pil_to_tensor: the image must be a Pillow image, got {type(image).__name__}")
    a = np.asarray(image)
    if a.dtype in (np.bool_, np.uint16):  # mode 1, and 16-bit grey
        a = a.astype(np.uint8 if a.dtype == np.bool_ else np.int32)
    a = a[None] if a.ndim == 2 else np.moveaxis(a, 2, 0)
    return as_tensor(np.ascontiguousarray(a))


def to_tensor(image: Any) -> Tensor:
    """A Pillow image or an ndarray (H, W) or (H, W, C) as a Tensor (C, H, W); 0..255 becomes 0..1 in float32.

    >>> import numpy as np
    >>> to_tensor(np.full((2, 3), 255, np.uint8)).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """
    if _is_pil(image):
        if image.mode == "1":
            return pil_to_tensor(image).float()
        t = pil_to_tensor(image)
    elif isinstance(image, np.ndarray):
        if image.ndim not in (2, 3):
            raise ValueError(f"to_tensor: an ndarray must be (H, W) or (H, W, C), got {image.shape}")
        a = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
        t = as_tensor(np.ascontiguousarray(a))
    else:
        raise TypeError(
            f"to_tensor: the image must be a Pillow image or an ndarray, got {type(image).__name__}"
        )
    return t.float() / 255 if t.dtype == np.uint8 else t


def to_pil_image(image: Any, mode: str | None = None) -> Any:
    """A Tensor (C, H, W) or (H, W), or an ndarray (H, W) or (H, W, C), as a Pillow image; floats are 0..1."""
    from PIL import Image

    a = image
    if isinstance(image, Tensor):
        if image.ndim not in (2, 3):
            raise ValueError(f"to_pil_image: a Tensor must be (C, H, W) or (H, W), got {image.shape}")
        a = image.detach().numpy()
        a = np.moveaxis(a, 0, 2) if a.ndim == 3 else a
        if a.dtype.kind == "f":
            a = (a * 255).astype(np.uint8)
    a = np.ascontiguousarray(a[..., 0] if a.ndim == 3 and a.shape[2] == 1 else a)
    made = Image.fromarray(a)
    return made if mode is None or mode == made.mode else made.convert(mode)


def _converted(a: Array, dtype: np.dtype[Any]) -> Array:
    if a.dtype == dtype:
        return a
    y: Array
    if a.dtype.kind == "f":
        if dtype.kind == "f":
            return a.astype(dtype)
        if (a.dtype, dtype.itemsize) in ((np.float32, 4), (np.float32, 8), (np.float64, 8)):
            raise RuntimeError(f"convert_image_dtype: {a.dtype.name} cannot hold the values of {dtype.name}")
        y = (a * a.dtype.type(np.iinfo(dtype).max + 1.0 - 1e-3)).astype(dtype)
        return y
    most = int(np.iinfo(a.dtype).max)
    if dtype.kind == "f":
        y = (a.astype(dtype) / dtype.type(most)).astype(dtype)
        return y
    wanted = int(np.iinfo(dtype).max)
    if most > wanted:
        return (a // ((most + 1) // (wanted + 1))).astype(dtype)
    y = a.astype(dtype) * dtype.type((wanted + 1) // (most + 1))
    return y


def convert_image_dtype(image: Any, dtype: DTypeLike = np.float32) -> Any:
    """The image in another type, its values rescaled: integers span their type, floats 0..1.

    >>> import dlcore
    >>> convert_image_dtype(dlcore.tensor([[0.0, 1.0]]), "uint8").tolist()
    [[0, 255]]
    """
    wanted = as_dtype("convert_image_dtype", dtype)
    return _on_planes("convert_image_dtype", image, lambda a: _converted(a, wanted))


def normalize(image: Any, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Any:
    """(image - mean) / std, a channel at a time.

    Raises TypeError for images that are not floating, ValueError for a deviation of 0.
    """
    dtype = np.dtype(image.dtype)
    if dtype.kind != "f":
        raise TypeError(f"normalize: the image must be floating, got {dtype.name}")
    m = np.asarray(mean, dtype).reshape(-1, 1, 1)
    s = np.asarray(std, dtype).reshape(-1, 1, 1)
    if not s.all():
        raise ValueError(f"normalize: std must not be 0, got std={list(std)}")
    y = _on_planes("normalize", image, lambda a: (a - m) / s)
    if not inplace:
        return y
    if isinstance(image, Tensor):
        return image.detach().copy_(y)
    image[...] = y
    return image


# ---- colour ------------------------------------------------------------------------------------------------

_LUMA = (0.2989, 0.587, 0.114)


def _grey(a: Array) -> Array:
    """(..., 3, H, W) -> (..., 1, H, W) in a's type."""
    r, g, b = (a[..., i : i + 1, :, :] for i in range(3))
    real = a.dtype if a.dtype.kind == "f" else np.dtype(np.float32)
    wr, wg, wb = (real.type(w) for w in _LUMA)
    return (wr * r + wg * g + wb * b).astype(a.dtype)


def _blend(a: Array, b: Any, ratio: float) -> Array:
    real = a.dtype if a.dtype.kind == "f" else np.dtype(np.float32)
    top = 1.0 if a.dtype.kind == "f" else float(np.iinfo(a.dtype).max)
    y: Array = np.clip(real.type(ratio) * a + real.type(1.0 - ratio) * b, 0, top).astype(a.dtype)
    return y


def _channels(op: str, image: Any) -> int:
    c = get_dimensions(image)[0]
    if c not in (1, 3):
        raise TypeError(f"{op}: the image must have 1 or 3 channels, got {c}")
    return c


def rgb_to_grayscale(image: Any, num_output_channels: int = 1) -> Any:
    """0.2989 R + 0.587 G + 0.114 B, once or three times."""
    if num_output_channels not in (1, 3):
        raise ValueError(f"rgb_to_grayscale: num_output_channels must be 1 or 3, got {num_output_channels}")
    if _is_pil(image):
        grey = image.convert("L")
        return grey if num_output_channels == 1 else to_pil_image(np.stack([np.asarray(grey)] * 3, 2))
    c = _channels("rgb_to_grayscale", image)

    def planes(a: Array) -> Array:
        y = _grey(a) if c == 3 else a
        return np.repeat(y, 3, axis=-3) if num_output_channels == 3 else y

    return _on_planes("rgb_to_grayscale", image, planes)


def _enhanced(op: str, kind: str, image: Any, factor: float, f: Planes) -> Any:
    if factor < 0:
        raise ValueError(f"{op}: the factor must not be negative, got {factor}")
    if _is_pil(image):
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(image).enhance(factor)
    _channels(op, image)
    return _on_planes(op, image, f)


def adjust_brightness(image: Any, brightness_factor: float) -> Any:
    """factor · image: 0 is black, 1 the image."""
    return _enhanced(
        "adjust_brightness",
        "Brightness",
        image,
        brightness_factor,
        lambda a: _blend(a, np.zeros((), a.dtype), brightness_factor),
    )


def adjust_contrast(image: Any, contrast_factor: float) -> Any:
    """Away from the mean grey: 0 is that grey, 1 the image."""

    def planes(a: Array) -> Array:
        real = a.dtype if a.dtype.kind == "f" else np.dtype(np.float32)
        grey = _grey(a) if a.ndim > 2 and a.shape[-3] == 3 else a
        axes = tuple(range(-min(a.ndim, 3), 0))
        mean = grey.mean(axis=axes, keepdims=True, dtype=np.float64).astype(real)
        return _blend(a, mean, contrast_factor)

    return _enhanced("adjust_contrast", "Contrast", image, contrast_factor, planes)


def adjust_saturation(image: Any, saturation_factor: float) -> Any:
    """Away from the image's own grey: 0 is grey, 1 the image."""

    def planes(a: Array) -> Array:
        return _blend(a, _grey(a), saturation_factor) if a.ndim > 2 and a.shape[-3] == 3 else a

    return _enhanced("adjust_saturation", "Color", image, saturation_factor, planes)


def adjust_hue(image: Any, hue_factor: float) -> Any:
    """Turns the colours by `hue_factor` of the circle, in [-0.5, 0.5].

    Raises ValueError outside.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"adjust_hue: hue_factor must lie in [-0.5, 0.5], got {hue_factor}")
    if _is_pil(image):
        from PIL import Image

        if image.mode in ("L", "1", "I", "F"):
            return image
        h, s, v = image.convert("HSV").split()
        turned = np.asarray(h) + np.int32(hue_factor * 255).astype(np.uint8)  # wraps
        return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert(image.mode)
    if _channels("adjust_hue", image) == 1:
        return image

    def planes(a: Array) -> Array:
        real = a if a.dtype.kind == "f" else _converted(a, np.dtype(np.float32))
        h, s, v = _hsv(real)
        return _converted(_rgb((h + real.dtype.type(hue_factor)) % 1.0, s, v), a.dtype)

    return _on_planes("adjust_hue", image, planes)


def _hsv(a: Array) -> tuple[Array, Array, Array]:
    r, g, b = (a[..., i, :, :] for i in range(3))
    most, least = a.max(-3), a.min(-3)
    span = most - least
    grey = span == 0
    safe = np.where(grey, a.dtype.type(1), span)
    s = span / np.where(grey, a.dtype.type(1), most)
    rc, gc, bc = ((most - x) / safe for x in (r, g, b))
    h = np.where(most == r, bc - gc, np.where(most == g, 2 + rc - bc, 4 + gc - rc))
    h = np.where(grey, a.dtype.type(0), h).astype(a.dtype)
    return np.mod(h / 6 + 1, 1), s, most


def _rgb(h: Array, s: Array, v: Array) -> Array:
    i = np.floor(h * 6)
    f = h * 6 - i
    p, q, t = (np.clip(x, 0, 1) for x in (v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))))
    sector = i.astype(np.int64) % 6
    r, g, b = ([v, q, p, p, t, v], [t, v, v, q, p, p], [p, p, t, v, v, q])
    return np.stack([np.choose(sector, c) for c in (r, g, b)], -3).astype(v.dtype)


def _log_uniform(g: np.random.Generator, low: float, high: float) -> float:
    return math.exp(g.uniform(math.log(low), math.log(high)))
