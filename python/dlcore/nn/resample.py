"""Resampling layers, pixels to channels and back, sliding blocks as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlcore import functional as F
from dlcore.nn.module import Module
from dlcore.tensor import Tensor

__all__ = [
    "ChannelShuffle",
    "Fold",
    "PixelShuffle",
    "PixelUnshuffle",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
]

_Size = int | tuple[int, ...]
_Ratio = float | tuple[float, ...]


class Upsample(Module):
    """`functional.interpolate` to `size` or by `scale_factor`; (N, C, *) of 1 to 3 spatial axes.

    >>> import dlcore
    >>> dlcore.nn.Upsample(scale_factor=2)(dlcore.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """

    def __init__(
        self,
        size: _Size | None = None,
        scale_factor: _Ratio | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        self.scale_factor: Any = None
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple([float(f) for f in scale_factor])
        elif scale_factor:
            self.scale_factor = float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        by = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{by}, mode={self.mode!r}"

    if TYPE_CHECKING:
        __call__ = forward


class UpsamplingNearest2d(Upsample):
    """Upsample(mode="nearest") of (N, C, H, W).

    >>> import dlcore
    >>> dlcore.nn.UpsamplingNearest2d(scale_factor=3)(dlcore.ones(1, 1, 2, 2)).shape
    (1, 1, 6, 6)
    """

    def __init__(self, size: _Size | None = None, scale_factor: _Ratio | None = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample(mode="bilinear", align_corners=True) of (N, C, H, W).

    >>> import dlcore
    >>> dlcore.nn.UpsamplingBilinear2d(size=3)(dlcore.tensor([[[[1.0, 3.0]]]])).tolist()
    [[[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]]]
    """

    def __init__(self, size: _Size | None = None, scale_factor: _Ratio | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """(..., C r², H, W) -> (..., C, H r, W r), r = upscale_factor (Shi et al. 2016).

    >>> import dlcore
    >>> dlcore.nn.PixelShuffle(2)(dlcore.ones(1, 8, 3, 4)).shape
    (1, 2, 6, 8)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"

    if TYPE_CHECKING:
        __call__ = forward


class PixelUnshuffle(Module):
    """The inverse of PixelShuffle: (..., C, H r, W r) -> (..., C r², H, W).

    >>> import dlcore
    >>> dlcore.nn.PixelUnshuffle(2)(dlcore.ones(1, 2, 6, 8)).shape
    (1, 8, 3, 4)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"

    if TYPE_CHECKING:
        __call__ = forward


class ChannelShuffle(Module):
    """y[n, i groups + g] = x[n, g (C / groups) + i] (ShuffleNet, Zhang et al. 2018).

    >>> import dlcore
    >>> dlcore.nn.ChannelShuffle(2)(dlcore.arange(4.0).reshape(1, 4, 1)).reshape(4).tolist()
    [0.0, 2.0, 1.0, 3.0]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"

    if TYPE_CHECKING:
        __call__ = forward


class Unfold(Module):
    """Sliding blocks as columns: (N, C, H, W) -> (N, C kh kw, L).

    >>> import dlcore
    >>> dlcore.nn.Unfold(2)(dlcore.ones(1, 3, 4, 5)).shape
    (1, 12, 12)
    """

    def __init__(
        self, kernel_size: _Size, dilation: _Size = 1, padding: _Size = 0, stride: _Size = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )

    if TYPE_CHECKING:
        __call__ = forward


class Fold(Module):
    """The transpose of Unfold: (N, C kh kw, L) -> (N, C, *output_size), blocks added where they overlap.

    >>> import dlcore
    >>> dlcore.nn.Fold((2, 3), 2)(dlcore.ones(1, 4, 2)).tolist()
    [[[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]]
    """

    def __init__(
        self,
        output_size: _Size,
        kernel_size: _Size,
        dilation: _Size = 1,
        padding: _Size = 0,
        stride: _Size = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )

    if TYPE_CHECKING:
        __call__ = forward
