"""Pooling on ndarrays, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore import functional as F
from dlcore.functional.pool import OptSize, Size, _output_size, _sizes, _strides
from dlcore.kernels._convert import NDArray, arr, out
from dlcore.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
]


def _call(f: Callable[..., Any], x: npt.ArrayLike, *args: Any) -> Any:
    """The function of dlcore.functional, off the tape."""
    y = f(Tensor(arr(x)), *args)
    return tuple(out(t.array) for t in y) if isinstance(y, tuple) else out(y.array)


def max_pool1d(
    x: npt.ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows of x (N, C, L) or (C, L); see `dlcore.functional.max_pool1d`."""
    return _call(F.max_pool1d, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    x: npt.ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows of x (N, C, H, W) or (C, H, W); see `dlcore.functional.max_pool2d`.

    A transposed view of an (N, H, W, C) array is taken as it is, and the result is one too.

    >>> import numpy as np, dlcore
    >>> float(dlcore.kernels.max_pool2d(np.arange(16.0).reshape(1, 4, 4), 4)[0, 0, 0])
    15.0
    """
    return _call(F.max_pool2d, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    x: npt.ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows of x (N, C, D, H, W) or (C, D, H, W); see `dlcore.functional.max_pool3d`."""
    return _call(F.max_pool3d, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_backward(n: int, dy: npt.ArrayLike, indices: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    op = f"max_pool{n}d_backward"
    positions = np.asarray(indices)
    if positions.dtype != np.int64:
        raise TypeError(f"{op}: indices must be int64, got {positions.dtype}")
    plane = int(np.prod(x_shape[-n:]))
    if positions.size and not (positions.min() >= 0 and positions.max() < plane):
        raise ValueError(f"{op}: indices must lie in the planes of {plane} elements")
    g, saved = arr(dy), arr(positions)
    one = (1,) * n
    last = _C.is_channels_last(saved, n)
    return out(_C.max_pool_backward(g, saved, tuple(x_shape), one, one, one * 2, one, False, last))


def max_pool1d_backward(dy: npt.ArrayLike, indices: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    """dx of `x_shape`: dy added where `return_indices` of the forward (plain or adaptive) says the maxima
    were."""
    return _max_backward(1, dy, indices, x_shape)


def max_pool2d_backward(dy: npt.ArrayLike, indices: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    """dx of `x_shape`: dy added where `return_indices` of the forward (plain or adaptive) says the maxima
    were.

    >>> import numpy as np, dlcore
    >>> x = np.arange(4.0).reshape(1, 2, 2)
    >>> y, indices = dlcore.kernels.max_pool2d(x, 2, return_indices=True)
    >>> dlcore.kernels.max_pool2d_backward(np.ones_like(y), indices, x.shape).tolist()
    [[[0.0, 0.0], [0.0, 1.0]]]
    """
    return _max_backward(2, dy, indices, x_shape)


def max_pool3d_backward(dy: npt.ArrayLike, indices: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    """dx of `x_shape`: dy added where `return_indices` of the forward (plain, adaptive or fractional) says
    the maxima were."""
    return _max_backward(3, dy, indices, x_shape)


def avg_pool1d(
    x: npt.ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> NDArray:
    """Averages of windows of x (N, C, L) or (C, L); see `dlcore.functional.avg_pool1d`."""
    y: NDArray = _call(F.avg_pool1d, x, kernel_size, stride, padding, ceil_mode, count_include_pad)
    return y


def avg_pool2d(
    x: npt.ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> NDArray:
    """Averages of windows of x (N, C, H, W) or (C, H, W); see `dlcore.functional.avg_pool2d`."""
    y: NDArray = _call(
        F.avg_pool2d, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return y


def avg_pool3d(
    x: npt.ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> NDArray:
    """Averages of windows of x (N, C, D, H, W) or (C, D, H, W); see `dlcore.functional.avg_pool3d`."""
    y: NDArray = _call(
        F.avg_pool3d, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return y


def _avg_backward(
    n: int,
    dy: npt.ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> NDArray:
    op = f"avg_pool{n}d_backward"
    kernel = _sizes(op, "kernel_size", kernel_size, n)
    pads = _sizes(op, "padding", padding, n) * 2
    g = arr(dy)
    last = _C.is_channels_last(g, n)
    steps = _strides(op, stride, kernel)
    return out(
        _C.avg_pool_backward(
            g, tuple(x_shape), kernel, steps, pads, ceil_mode, count_include_pad, divisor_override, last
        )
    )


def avg_pool1d_backward(
    dy: npt.ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> NDArray:
    """dx of `x_shape`: each dy shared equally among its window. Format: dy's."""
    return _avg_backward(1, dy, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d_backward(
    dy: npt.ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> NDArray:
    """dx of `x_shape`: each dy shared equally among its window. Format: dy's."""
    return _avg_backward(
        2, dy, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d_backward(
    dy: npt.ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> NDArray:
    """dx of `x_shape`: each dy shared equally among its window. Format: dy's."""
    return _avg_backward(
        3, dy, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def adaptive_avg_pool1d(x: npt.ArrayLike, output_size: Size) -> NDArray:
    """Means of `output_size` windows that cover x (N, C, L) or (C, L)."""
    y: NDArray = _call(F.adaptive_avg_pool1d, x, output_size)
    return y


def adaptive_avg_pool2d(x: npt.ArrayLike, output_size: OptSize) -> NDArray:
    """Means of the windows that cover x (N, C, H, W) or (C, H, W); None keeps an axis."""
    y: NDArray = _call(F.adaptive_avg_pool2d, x, output_size)
    return y


def adaptive_avg_pool3d(x: npt.ArrayLike, output_size: OptSize) -> NDArray:
    """Means of the windows that cover x (N, C, D, H, W) or (C, D, H, W); None keeps an axis."""
    y: NDArray = _call(F.adaptive_avg_pool3d, x, output_size)
    return y


def _adaptive_avg_backward(n: int, dy: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    g = arr(dy)
    size = _output_size(f"adaptive_avg_pool{n}d_backward", list(g.shape[-n:]), g, n)
    return out(_C.adaptive_avg_pool_backward(g, tuple(x_shape), size, _C.is_channels_last(g, n)))


def adaptive_avg_pool1d_backward(dy: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    """dx of `x_shape`: each dy shared equally among its window."""
    return _adaptive_avg_backward(1, dy, x_shape)


def adaptive_avg_pool2d_backward(dy: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    """dx of `x_shape`: each dy shared equally among its window."""
    return _adaptive_avg_backward(2, dy, x_shape)


def adaptive_avg_pool3d_backward(dy: npt.ArrayLike, x_shape: Sequence[int]) -> NDArray:
    """dx of `x_shape`: each dy shared equally among its window."""
    return _adaptive_avg_backward(3, dy, x_shape)


def adaptive_max_pool1d(x: npt.ArrayLike, output_size: Size, return_indices: bool = False) -> Any:
    """Maxima of `output_size` windows that cover x (N, C, L) or (C, L)."""
    return _call(F.adaptive_max_pool1d, x, output_size, return_indices)


def adaptive_max_pool2d(x: npt.ArrayLike, output_size: OptSize, return_indices: bool = False) -> Any:
    """Maxima of the windows that cover x (N, C, H, W) or (C, H, W); None keeps an axis."""
    return _call(F.adaptive_max_pool2d, x, output_size, return_indices)


def adaptive_max_pool3d(x: npt.ArrayLike, output_size: OptSize, return_indices: bool = False) -> Any:
    """Maxima of the windows that cover x (N, C, D, H, W) or (C, D, H, W); None keeps an axis."""
    return _call(F.adaptive_max_pool3d, x, output_size, return_indices)


def fractional_max_pool2d(
    x: npt.ArrayLike, kernel_size: Size, output_size: Size, samples: npt.ArrayLike
) -> tuple[NDArray, NDArray]:
    """(y, indices) over windows whose starts `samples` (N, C, 2) gives; see
    `dlcore.functional.fractional_max_pool2d`."""
    return _fractional(2, x, kernel_size, output_size, samples)


def fractional_max_pool3d(
    x: npt.ArrayLike, kernel_size: Size, output_size: Size, samples: npt.ArrayLike
) -> tuple[NDArray, NDArray]:
    """(y, indices) over windows whose starts `samples` (N, C, 3) gives; see
    `dlcore.functional.fractional_max_pool3d`."""
    return _fractional(3, x, kernel_size, output_size, samples)


def _fractional(
    n: int, x: npt.ArrayLike, kernel_size: Size, output_size: Size, samples: npt.ArrayLike
) -> tuple[NDArray, NDArray]:
    op = f"fractional_max_pool{n}d"
    kernel, size = _sizes(op, "kernel_size", kernel_size, n), _sizes(op, "output_size", output_size, n)
    y, indices = _C.fractional_max_pool(arr(x), kernel, size, arr(samples))
    return out(y), out(indices)
