"""Resampling: interpolate by size or scale, sampling at the positions of a grid.

Row-major and channels-last tensors (by strides) are both native; the output has the input's format.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.matmul import matmul
from dlcore.functional.pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from dlcore.tensor import Tensor

__all__ = [
    "affine_grid",
    "grid_sample",
    "interpolate",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

# The spatial axes that a mode takes; others take 1 to 3.
_AXES = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2, "lanczos": 2}
_PLAIN = ("nearest", "nearest-exact", "area")  # no align_corners
_ANTIALIASED = ("bilinear", "bicubic", "lanczos")
_AREA = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)


def _spread(name: str, value: Any, n: int) -> list[Any]:
    values = list(value) if isinstance(value, (tuple, list)) else [value] * n
    if len(values) != n:
        raise ValueError(f"interpolate: {name} must be one number or {n} of them, got {name}={value}")
    return values


def _output(x: Tensor, size: Any, scale_factor: Any, recompute: bool) -> tuple[list[int], list[float | None]]:
    """The output's spatial size, and the scales that give source positions (none: the sizes' quotient)."""
    n = x.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "interpolate: exactly one of size and scale_factor must be given, got "
            f"size={size}, scale_factor={scale_factor}"
        )
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor goes with scale_factor, not with size")
        try:
            return [index(s) for s in _spread("size", size, n)], []
        except TypeError:
            raise TypeError(f"interpolate: size must be integers, got size={size!r}") from None
    factors = [float(s) for s in _spread("scale_factor", scale_factor, n)]
    sizes = [s * f for s, f in zip(x.shape[2:], factors)]
    if not all(math.isfinite(s) for s in sizes):
        raise ValueError(f"interpolate: scale_factor must be finite, got scale_factor={scale_factor}")
    return [int(s) for s in sizes], [] if recompute else list(factors)


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """y[o] = sum over i of w(s(o) - i) x[i] along each spatial axis, s(o) = (o + 1/2) in / out - 1/2, or
    o (in - 1) / (out - 1) with `align_corners`.

    input (N, C, L), (N, C, H, W) or (N, C, D, H, W); the output's spatial size is `size`, or
    int(scale_factor * size) (in / out is then 1 / scale_factor, unless `recompute_scale_factor`).

    mode "nearest" takes x[int(o in / out)], "nearest-exact" the source nearest to the centre, "area" the mean
    of the covered sources (adaptive_avg_pool); "linear", "bilinear", "trilinear" weigh two sources an axis,
    "bicubic" four (a = -3/4). `antialias` (bilinear, bicubic with a = -1/2, and lanczos, which needs it)
    widens the filter where the output is smaller, as Pillow does.

    Raises ValueError for sizes, scales and options that do not go together, NotImplementedError for a mode of
    another number of axes, TypeError for integer data.

    R. G. Keys: Cubic convolution interpolation for digital image processing (1981).

    >>> import dlcore
    >>> x = dlcore.tensor([[[1.0, 3.0]]])
    >>> dlcore.functional.interpolate(x, scale_factor=2, mode="linear").tolist()
    [[[1.0, 1.5, 2.5, 3.0]]]
    """
    n = input.ndim - 2
    if mode in _PLAIN:
        if align_corners is not None:
            raise ValueError(f"interpolate: mode {mode!r} takes no align_corners, got {align_corners}")
    elif mode not in _AXES:
        raise NotImplementedError(
            "interpolate: mode must be nearest, nearest-exact, linear, bilinear, trilinear, bicubic, lanczos "
            f"or area, got {mode!r}"
        )
    elif _AXES[mode] != n:
        raise NotImplementedError(
            f"interpolate: mode {mode!r} takes {_AXES[mode] + 2} dimensions, got input={input.shape}"
        )
    if not 1 <= n <= 3:
        raise NotImplementedError(f"interpolate: input must have 3, 4 or 5 dimensions, got {input.shape}")
    if antialias and (mode not in _ANTIALIASED or n != 2):
        raise ValueError(f"interpolate: antialias goes with bilinear, bicubic and lanczos, got mode {mode!r}")
    if mode == "lanczos" and (align_corners or not antialias):
        raise ValueError("interpolate: lanczos needs antialias=True and no align_corners")
    recompute = bool(recompute_scale_factor) or (mode == "area" and size is None)
    out, scales = _output(input, size, scale_factor, recompute)
    if mode == "area":
        return _AREA[n - 1](input, out)
    return _interpolate(input, tuple(out), mode, bool(align_corners), scales, bool(antialias))


def _interpolate(
    x: Tensor, size: tuple[int, ...], mode: str, align: bool, scales: list[float | None], antialias: bool
) -> Tensor:
    xa = x.array
    y = _C.interpolate(xa, size, mode, align, scales, antialias)
    shape, last = xa.shape[2:], _C.is_channels_last(xa, len(size))

    def interpolate_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (_C.interpolate_backward(g, shape, mode, align, scales, antialias, last),)

    return record(y, (x,), interpolate_backward)


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The former name of `interpolate`; warns."""
    warnings.warn("upsample is deprecated: use interpolate", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """The former name of `interpolate(mode="nearest")`; warns."""
    warnings.warn("upsample_nearest is deprecated: use interpolate", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """The former name of `interpolate(mode="bilinear", align_corners=True)`; warns."""
    warnings.warn("upsample_bilinear is deprecated: use interpolate", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# ---- grids -------------------------------------------------------------------------------------------------

_ALIGN = "align_corners is False unless given (it was True before torch 1.3)"


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """y[n, :, p] = input[n, :, grid[n, p]], interpolated: coordinates (w, h) or (w, h, d) in [-1, 1].

    input (N, C, H, W) and grid (N, H_out, W_out, 2) -> (N, C, H_out, W_out); or input (N, C, D, H, W) and
    grid (N, D_out, H_out, W_out, 3). -1 and 1 are the outer edges of the first and last pixel, their centres with
    `align_corners`. mode "bilinear" (trilinear in volumes), "nearest" or "bicubic" (planes only); what lies
    outside is 0 ("zeros"), the edge's value ("border") or mirrored ("reflection"). NaN counts as -1.

    Raises ValueError for shapes and modes, TypeError for integer data.

    M. Jaderberg et al.: Spatial transformer networks (NeurIPS 2015).

    >>> import dlcore
    >>> x = dlcore.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> centre = dlcore.zeros(1, 1, 1, 2)
    >>> dlcore.functional.grid_sample(x, centre, align_corners=False).item()
    2.5
    """
    if align_corners is None:
        warnings.warn(f"grid_sample: {_ALIGN}", stacklevel=2)
    xa, ga, align = input.array, grid.array, bool(align_corners)
    y = _C.grid_sample(xa, ga, mode, padding_mode, align)

    def grid_sample_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return _C.grid_sample_backward(g, xa, ga, mode, padding_mode, align, needs[0], needs[1])

    return record(y, (input, grid), grid_sample_backward)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """grid[n, h, w] = theta[n] (x_w, y_h, 1): what `grid_sample` takes for an affine map of the plane.

    theta (N, 2, 3) and size (N, C, H, W) -> (N, H, W, 2); theta (N, 3, 4) and size (N, C, D, H, W) -> (N, D,
    H, W, 3). x and y run over the centres of the pixels of [-1, 1], or from -1 to 1 with `align_corners`.

    Raises ValueError for shapes, NotImplementedError for other numbers of axes.

    >>> import dlcore
    >>> theta = dlcore.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> dlcore.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=False).tolist()
    [[[[-0.5, 0.0], [0.5, 0.0]]]]
    """
    if align_corners is None:
        warnings.warn(f"affine_grid: {_ALIGN}", stacklevel=2)
    sizes = tuple([index(s) for s in size])
    n = len(sizes) - 2
    if n not in (2, 3):
        raise NotImplementedError(f"affine_grid: size must hold 4 or 5 numbers, got size={sizes}")
    if not theta.is_floating_point():
        raise ValueError(f"affine_grid: theta must be floating, got {theta.dtype}")
    if theta.ndim != 3 or theta.shape[1:] != (n, n + 1) or theta.shape[0] != sizes[0]:
        raise ValueError(
            f"affine_grid: theta must have shape {(sizes[0], n, n + 1)}, got theta={theta.shape}, "
            f"size={sizes}"
        )
    if min(sizes) <= 0:
        raise ValueError(f"affine_grid: size must be positive, got size={sizes}")
    if align_corners and min(sizes[2:]) == 1:
        warnings.warn("affine_grid: an axis of one pixel lies at 0 with align_corners", stacklevel=2)
    axes = []
    for s in sizes[2:]:
        at = np.linspace(-1, 1, s, dtype=theta.dtype) if s > 1 else np.zeros(1, theta.dtype)
        axes.append(at if align_corners else at * ((s - 1) / s))
    planes = np.meshgrid(*axes, indexing="ij")[::-1]
    base = np.stack([*planes, np.ones_like(planes[0])], -1).reshape(-1, n + 1)
    points = Tensor(_C.to_device(_C.from_numpy(base.astype(theta.dtype)), theta.device))
    return matmul(points, theta.transpose(1, 2)).reshape(sizes[0], *sizes[2:], n)
