"""Image preprocessing under torchvision's names: each is made once and called with an image.

Images are what `dlcore.vision.functional` takes. Random transforms draw from `rng` (a seed or a Generator;
the library's own by default) at each call; `get_params` draws without applying.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcore.creation import as_tensor
from dlcore.random import get_generator
from dlcore.tensor import DTypeLike, Tensor
from dlcore.vision import functional as F
from dlcore.vision.functional import InterpolationMode, Mode

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "Grayscale",
    "ImageClassification",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomApply",
    "RandomCrop",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
]

_BILINEAR = InterpolationMode.BILINEAR


class _Transform:
    """Shows the arguments that it was made with."""

    def __repr__(self) -> str:
        shown = (f"{k}={v}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __call__(self, img: Any) -> Any:
        raise NotImplementedError


class Compose:
    """One transform after another.

    >>> import numpy as np
    >>> t = Compose([Resize(8), CenterCrop(6), ToTensor(), Normalize([0.5], [0.5])])
    >>> t(np.zeros((10, 12), np.uint8)).shape
    (1, 6, 6)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for t in self.transforms:
            img = t(img)
        return img

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__}(", *(f"    {t}" for t in self.transforms), ")"])


class Lambda(_Transform):
    """A function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: the argument must be callable, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)


class ToTensor(_Transform):
    """See `functional.to_tensor`: (H, W, C) in 0..255 -> (C, H, W) in 0..1."""

    def __call__(self, img: Any) -> Tensor:
        return F.to_tensor(img)


class PILToTensor(_Transform):
    """A Pillow image as a Tensor (C, H, W) of its own type."""

    def __call__(self, img: Any) -> Tensor:
        return F.pil_to_tensor(img)


class ToPILImage(_Transform):
    """See `functional.to_pil_image`."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, img: Any) -> Any:
        return F.to_pil_image(img, self.mode)


class ConvertImageDtype(_Transform):
    """See `functional.convert_image_dtype`."""

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = dtype

    def __call__(self, img: Any) -> Any:
        return F.convert_image_dtype(img, self.dtype)


class Normalize(_Transform):
    """(image - mean) / std, a channel at a time."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, img: Any) -> Any:
        return F.normalize(img, self.mean, self.std, self.inplace)


class Resize(_Transform):
    """To `size` (height, width), or to a shorter edge of `size`; see `functional.resize`."""

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Mode = _BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        self.size = size
        self.interpolation = InterpolationMode(interpolation)
        self.max_size = max_size
        self.antialias = antialias

    def __call__(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(_Transform):
    """The middle of the image, padded with 0 where it is smaller."""

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = F._two("CenterCrop", "size", size)

    def __call__(self, img: Any) -> Any:
        return F.center_crop(img, self.size)


class Pad(_Transform):
    """See `functional.pad`."""

    def __init__(
        self, padding: int | Sequence[int], fill: float | Sequence[float] = 0, padding_mode: str = "constant"
    ) -> None:
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def __call__(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)


class Grayscale(_Transform):
    """See `functional.rgb_to_grayscale`."""

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, self.num_output_channels)


# ---- random ------------------------------------------------------------------------------------------------


class _Random(_Transform):
    def __init__(self, rng: Any) -> None:
        self._rng = get_generator(rng) if rng is not None else None

    def _draw(self) -> np.random.Generator:
        return get_generator(self._rng)


class _Maybe(_Random):
    def __init__(self, p: float, rng: Any = None) -> None:
        super().__init__(rng)
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{type(self).__name__}: p must be a probability, got {p}")
        self.p = p

    def _happens(self) -> bool:
        return bool(self._draw().random() < self.p)


class RandomHorizontalFlip(_Maybe):
    """Left and right exchanged with probability p."""

    def __init__(self, p: float = 0.5, *, rng: Any = None) -> None:
        super().__init__(p, rng)

    def __call__(self, img: Any) -> Any:
        return F.hflip(img) if self._happens() else img


class RandomVerticalFlip(_Maybe):
    """Top and bottom exchanged with probability p."""

    def __init__(self, p: float = 0.5, *, rng: Any = None) -> None:
        super().__init__(p, rng)

    def __call__(self, img: Any) -> Any:
        return F.vflip(img) if self._happens() else img


class RandomGrayscale(_Maybe):
    """Grey, in as many channels as the image has, with probability p."""

    def __init__(self, p: float = 0.1, *, rng: Any = None) -> None:
        super().__init__(p, rng)

    def __call__(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, F.get_dimensions(img)[0]) if self._happens() else img


class RandomApply(_Maybe):
    """All of `transforms` with probability p, else none."""

    def __init__(
        self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5, *, rng: Any = None
    ) -> None:
        super().__init__(p, rng)
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        return Compose(self.transforms)(img) if self._happens() else img


class RandomCrop(_Random):
    """A part of `size` (height, width) at a random place, after padding.

    Raises ValueError for an image that is smaller, unless `pad_if_needed`.

    >>> import numpy as np
    >>> RandomCrop(4, padding=1, rng=0)(np.zeros((4, 4, 3), np.uint8)).shape
    (4, 4, 3)
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float | Sequence[float] = 0,
        padding_mode: str = "constant",
        *,
        rng: Any = None,
    ) -> None:
        super().__init__(rng)
        self.size = F._two("RandomCrop", "size", size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int], rng: Any = None) -> tuple[int, int, int, int]:
        """(top, left, height, width)."""
        _, h, w = F.get_dimensions(img)
        height, width = output_size
        if h < height or w < width:
            raise ValueError(f"RandomCrop: the image must be at least {output_size}, got {(h, w)}")
        g = get_generator(rng)
        return int(g.integers(h - height + 1)), int(g.integers(w - width + 1)), height, width

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, h, w = F.get_dimensions(img)
        if self.pad_if_needed and w < self.size[1]:
            img = F.pad(img, [self.size[1] - w, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and h < self.size[0]:
            img = F.pad(img, [0, self.size[0] - h], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size, self._draw()))


class RandomResizedCrop(_Random):
    """A random part of the image's area (`scale`) and aspect (`ratio`), resized to `size`.

    C. Szegedy et al., Going deeper with convolutions (arXiv:1409.4842), section 6.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Mode = _BILINEAR,
        antialias: bool | None = True,
        *,
        rng: Any = None,
    ) -> None:
        super().__init__(rng)
        self.size = F._two("RandomResizedCrop", "size", size)
        self.scale, self.ratio = scale, ratio
        self.interpolation = InterpolationMode(interpolation)
        self.antialias = antialias

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float], rng: Any = None
    ) -> tuple[int, int, int, int]:
        """(top, left, height, width); the largest centred part of an allowed aspect after ten vain tries."""
        g = get_generator(rng)
        _, height, width = F.get_dimensions(img)
        for _ in range(10):
            area = height * width * g.uniform(scale[0], scale[1])
            aspect = F._log_uniform(g, ratio[0], ratio[1])
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return int(g.integers(height - h + 1)), int(g.integers(width - w + 1)), h, w
        aspect = min(max(width / height, min(ratio)), max(ratio))
        w = round(height * aspect) if width / height > aspect else width
        h = round(width / aspect) if width / height < aspect else height
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, img: Any) -> Any:
        box = self.get_params(img, self.scale, self.ratio, self._draw())
        return F.resized_crop(img, *box, self.size, self.interpolation, self.antialias)


class ColorJitter(_Random):
    """Brightness, contrast, saturation and hue changed by random factors in random order.

    A number x stands for [max(0, 1 - x), 1 + x], for hue [-x, x]; two numbers are the range itself.

    Raises ValueError for negative numbers and ranges that leave their domain.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
        *,
        rng: Any = None,
    ) -> None:
        super().__init__(rng)
        self.brightness = self._range("brightness", brightness)
        self.contrast = self._range("contrast", contrast)
        self.saturation = self._range("saturation", saturation)
        self.hue = self._range("hue", hue, 0.0, (-0.5, 0.5))

    @staticmethod
    def _range(
        name: str, value: Any, center: float = 1.0, bound: tuple[float, float] = (0.0, math.inf)
    ) -> tuple[float, float] | None:
        if isinstance(value, (int, float)):
            if value < 0:
                raise ValueError(f"ColorJitter: {name} must not be negative, got {value}")
            low, high = center - value, center + value
            low = max(low, 0.0) if name != "hue" else low
        elif len(value) == 2:
            low, high = value
        else:
            raise TypeError(f"ColorJitter: {name} must be one or two numbers, got {value!r}")
        if not bound[0] <= low <= high <= bound[1]:
            raise ValueError(f"ColorJitter: {name} must lie in {bound}, got {value!r}")
        return None if low == high == center else (float(low), float(high))

    @staticmethod
    def get_params(
        brightness: Sequence[float] | None,
        contrast: Sequence[float] | None,
        saturation: Sequence[float] | None,
        hue: Sequence[float] | None,
        rng: Any = None,
    ) -> tuple[list[int], float | None, float | None, float | None, float | None]:
        """(order of the four, and their factors)."""
        g = get_generator(rng)
        order = [int(i) for i in g.permutation(4)]
        b, c, s, h = (
            None if r is None else float(g.uniform(r[0], r[1]))
            for r in (brightness, contrast, saturation, hue)
        )
        return order, b, c, s, h

    def __call__(self, img: Any) -> Any:
        order, *factors = self.get_params(
            self.brightness, self.contrast, self.saturation, self.hue, self._draw()
        )
        steps = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for i in order:
            factor = factors[i]
            if factor is not None:
                img = steps[i](img, factor)
        return img


# ---- presets -----------------------------------------------------------------------------------------------


class ImageClassification(_Transform):
    """What torchvision's classifiers were trained to see: resize, centre crop, 0..1, normalise.

    A Pillow image, a Tensor (..., C, H, W) or an ndarray (H, W, C) -> a float Tensor (..., C, crop, crop).

    >>> import numpy as np
    >>> ImageClassification(crop_size=224)(np.zeros((300, 400, 3), np.uint8)).shape
    (3, 224, 224)
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        interpolation: Mode = _BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation = InterpolationMode(interpolation)
        self.antialias = antialias

    def __call__(self, img: Any) -> Tensor:
        img = F.resize(img, self.resize_size, self.interpolation, None, self.antialias)
        img = F.center_crop(img, self.crop_size)
        if not isinstance(img, Tensor):
            if isinstance(img, np.ndarray):
                img = np.moveaxis(img if img.ndim == 3 else img[:, :, None], 2, 0)
                img = as_tensor(np.ascontiguousarray(img))
            else:
                img = F.pil_to_tensor(img)
        image: Tensor = F.normalize(F.convert_image_dtype(img, np.float32), self.mean, self.std)
        return image
