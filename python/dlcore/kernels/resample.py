"""Resampling on ndarrays, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from dlcore import _C
from dlcore import functional as F
from dlcore.functional.fold import _geometry
from dlcore.kernels._convert import NDArray, arr, out
from dlcore.tensor import Tensor

__all__ = [
    "fold",
    "grid_sample",
    "grid_sample_backward",
    "interpolate",
    "interpolate_backward",
    "unfold",
]


def interpolate(
    x: npt.ArrayLike,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    antialias: bool = False,
) -> NDArray:
    """x (N, C, *) resampled to another spatial size; see `dlcore.functional.interpolate`.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.interpolate(np.array([[[1.0, 3.0]]]), 3, mode="linear", align_corners=True).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    return out(
        F.interpolate(Tensor(arr(x)), size, scale_factor, mode, align_corners, antialias=antialias).array
    )


def interpolate_backward(
    dy: npt.ArrayLike,
    size: Sequence[int],
    mode: str = "nearest",
    align_corners: bool = False,
    scales: Sequence[float] = (),
    antialias: bool = False,
) -> NDArray:
    """dx (N, C, *size): the transpose of `interpolate` (of mode nearest, nearest-exact, linear, cubic or
    lanczos) from `size` to dy's spatial size. `scales` are the scale factors where the forward had any."""
    g = arr(dy)
    last = _C.is_channels_last(g, len(size))
    return out(_C.interpolate_backward(g, tuple(size), mode, align_corners, list(scales), antialias, last))


def grid_sample(
    x: npt.ArrayLike,
    grid: npt.ArrayLike,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> NDArray:
    """x (N, C, H, W) or (N, C, D, H, W) at the positions of grid; see `dlcore.functional.grid_sample`."""
    return out(_C.grid_sample(arr(x), arr(grid), mode, padding_mode, align_corners))


def grid_sample_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    grid: npt.ArrayLike,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> tuple[NDArray, NDArray]:
    """(dx, dgrid) of `grid_sample`."""
    dx, dgrid = _C.grid_sample_backward(arr(dy), arr(x), arr(grid), mode, padding_mode, align_corners)
    assert dx is not None
    assert dgrid is not None
    return out(dx), out(dgrid)


def unfold(
    x: npt.ArrayLike,
    kernel_size: int | tuple[int, ...],
    dilation: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    stride: int | tuple[int, ...] = 1,
) -> NDArray:
    """Sliding blocks of x (N, C, H, W) or (C, H, W) as columns (im2col); see `dlcore.functional.unfold`."""
    k, s, p, d = _geometry(
        "unfold", kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )
    return out(_C.unfold(arr(x), k, s, p, d))


def fold(
    x: npt.ArrayLike,
    output_size: int | tuple[int, ...],
    kernel_size: int | tuple[int, ...],
    dilation: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    stride: int | tuple[int, ...] = 1,
) -> NDArray:
    """Blocks added to their places in planes of `output_size` (col2im); see `dlcore.functional.fold`."""
    size, k, s, p, d = _geometry(
        "fold",
        output_size=output_size,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    return out(_C.fold(arr(x), size, k, s, p, d))
