"""Pixels to channels and back, shuffled channels, sliding blocks as columns."""

from __future__ import annotations

import operator
from typing import Any

from dlcore import _C
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = [
    "channel_shuffle",
    "fold",
    "native_channel_shuffle",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
]


def _factor(op: str, name: str, value: Any) -> int:
    factor = operator.index(value)
    if factor <= 0:
        raise ValueError(f"{op}: {name} must be positive, got {name}={value}")
    return factor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """y[..., c, h r + i, w r + j] = x[..., (c r + i) r + j, h, w], r = upscale_factor.

    input (..., C r², H, W) -> (..., C, H r, W r).

    W. Shi et al.: Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network (CVPR 2016).

    >>> import dlcore
    >>> dlcore.functional.pixel_shuffle(dlcore.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    r, shape = _factor("pixel_shuffle", "upscale_factor", upscale_factor), input.shape
    if len(shape) < 3 or shape[-3] % (r * r):
        raise ValueError(
            "pixel_shuffle: input must have 3 or more dimensions, the third last a multiple of "
            f"upscale_factor² = {r * r}, got input={shape}"
        )
    lead, (c, h, w) = shape[:-3], shape[-3:]
    c //= r * r
    n = len(lead)
    x = input.reshape(*lead, c, r, r, h, w)
    return x.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2).reshape(*lead, c, h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`: (..., C, H r, W r) -> (..., C r², H, W).

    >>> import dlcore
    >>> dlcore.functional.pixel_unshuffle(dlcore.arange(4.0).reshape(1, 2, 2), 2).tolist()
    [[[0.0]], [[1.0]], [[2.0]], [[3.0]]]
    """
    r, shape = _factor("pixel_unshuffle", "downscale_factor", downscale_factor), input.shape
    if len(shape) < 3 or shape[-1] % r or shape[-2] % r:
        raise ValueError(
            "pixel_unshuffle: input must have 3 or more dimensions, the last two multiples of "
            f"downscale_factor = {r}, got input={shape}"
        )
    lead, (c, h, w) = shape[:-3], shape[-3:]
    n = len(lead)
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    return x.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3).reshape(*lead, c * r * r, h // r, w // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """y[n, i groups + g] = x[n, g (C / groups) + i]: each output group takes channels of all groups.

    input (N, C, *), C a multiple of `groups`.

    X. Zhang et al.: ShuffleNet (CVPR 2018).

    >>> import dlcore
    >>> dlcore.functional.channel_shuffle(dlcore.arange(4.0).reshape(1, 4, 1), 2).reshape(4).tolist()
    [0.0, 2.0, 1.0, 3.0]
    """
    g, shape = _factor("channel_shuffle", "groups", groups), input.shape
    if len(shape) < 3 or shape[1] % g:
        raise ValueError(
            "channel_shuffle: input must have 3 or more dimensions, the second a multiple of "
            f"groups = {g}, got input={shape}"
        )
    n, c, *rest = shape
    return input.reshape(n, g, c // g, *rest).transpose(1, 2).reshape(shape)


native_channel_shuffle = channel_shuffle


def _pair(op: str, name: str, value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    try:
        first, *rest = [operator.index(v) for v in values]
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be an integer or two of them, got {name}={value!r}") from None
    if len(rest) > 1:
        raise ValueError(f"{op}: {name} must be an integer or two of them, got {name}={value!r}")
    return first, rest[0] if rest else first


def _geometry(op: str, **values: Any) -> tuple[tuple[int, int], ...]:
    return tuple([_pair(op, name, value) for name, value in values.items()])


def unfold(
    input: Tensor,
    kernel_size: int | tuple[int, ...],
    dilation: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    stride: int | tuple[int, ...] = 1,
) -> Tensor:
    """Sliding blocks as columns: y[n, (c kh + i) kw + j, oh OW + ow] = x[n, c, oh s - p + i d,
    ow s - p + j d].

    input (N, C, H, W) or (C, H, W) -> (N, C kh kw, OH OW); zeros outside. Convolution is a product with it
    (im2col).

    Raises ValueError for geometry that does not fit.

    >>> import dlcore
    >>> dlcore.functional.unfold(dlcore.arange(6.0).reshape(1, 2, 3), 2).tolist()
    [[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]
    """
    k, s, p, d = _geometry(
        "unfold", kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )
    x = input.array
    y = _C.unfold(x, k, s, p, d)
    plane = x.shape[-2:]

    def unfold_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (_C.fold(g, plane, k, s, p, d),)

    return record(y, (input,), unfold_backward)


def fold(
    input: Tensor,
    output_size: int | tuple[int, ...],
    kernel_size: int | tuple[int, ...],
    dilation: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    stride: int | tuple[int, ...] = 1,
) -> Tensor:
    """The transpose of `unfold`: each block is added to its place in a plane of `output_size`.

    input (N, C kh kw, L) or (C kh kw, L) -> (N, C, *output_size), L the number of blocks.

    Raises ValueError for geometry that does not fit.

    >>> import dlcore
    >>> dlcore.functional.fold(dlcore.ones(4, 2), (2, 3), 2).tolist()
    [[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]
    """
    size, k, s, p, d = _geometry(
        "fold",
        output_size=output_size,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    y = _C.fold(input.array, size, k, s, p, d)

    def fold_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (_C.unfold(g, k, s, p, d),)

    return record(y, (input,), fold_backward)
