"""Pooling: maxima, averages and p-norms over windows, adaptive and drawn windows included; 1-D, 2-D and 3-D.

Row-major and channels-last volumes (by strides) are both native; the output has the input's format.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf, prod
from operator import index
from typing import Any

from dlcore import _C
from dlcore.autograd import is_grad_enabled, record
from dlcore.functional.activation import relu
from dlcore.functional.index import scatter
from dlcore.random import get_generator
from dlcore.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

Size = int | Sequence[int]
OptSize = int | None | Sequence[int | None]


def _sizes(op: str, name: str, value: Any, n: int) -> tuple[int, ...]:
    """`value` for each of n axes: one integer for all, or a sequence of 1 or n."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        values = tuple(index(v) for v in values)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer or {n} of them, got {name}={value!r}") from None
    if len(values) == 1:
        return values * n
    if len(values) != n:
        raise ValueError(f"{op}: {name} must be one integer or {n} of them, got {name}={value!r}")
    return values


def _strides(op: str, value: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """torch's default: None, or an empty sequence, is the kernel."""
    return kernel if value is None or value in ((), []) else _sizes(op, "stride", value, len(kernel))


def _output_size(op: str, value: Any, x: _C.Array, n: int) -> tuple[int, ...]:
    """None keeps the input's size along that axis."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(values) != n:
        raise ValueError(f"{op}: output_size must be one integer or {n} of them, got output_size={value!r}")
    if n == 1 and values[0] is None:
        raise TypeError(f"{op}: output_size must be an integer, got output_size={value!r}")
    keep = x.shape[-n:] if x.ndim >= n else (0,) * n
    return _sizes(op, "output_size", [k if v is None else v for v, k in zip(values, keep)], n)


def _max_pool(
    n: int,
    x: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    op = f"max_pool{n}d"
    kernel = _sizes(op, "kernel_size", kernel_size, n)
    steps = _strides(op, stride, kernel)
    pads = _sizes(op, "padding", padding, n) * 2
    dilations = _sizes(op, "dilation", dilation, n)
    result: Tensor | tuple[Tensor, Tensor] = max_pool(x, kernel, steps, pads, dilations, ceil_mode, indices)
    return result


def max_pool(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Max pooling with separate paddings: `pads` before each axis, then after each."""
    xa = x.array
    train = x.requires_grad and is_grad_enabled()
    y, saved = _C.max_pool(
        xa, kernel, stride, pads, dilation, ceil_mode, "indices" if return_indices else "offsets" * train
    )
    shape = xa.shape
    last = train and _C.is_channels_last(xa, len(kernel))

    def max_pool_backward(g: _C.Array, *rest: Any) -> tuple[_C.Array]:
        assert saved is not None
        return (_C.max_pool_backward(g, saved, shape, kernel, stride, pads, dilation, ceil_mode, last),)

    if return_indices:
        assert saved is not None
        return record((y, saved), (x,), max_pool_backward)
    return record(y, (x,), max_pool_backward)


def avg_pool(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[int, ...],
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average pooling with separate paddings: `pads` before each axis, then after each."""
    xa = x.array
    y = _C.avg_pool(xa, kernel, stride, pads, ceil_mode, count_include_pad, divisor_override)
    shape, last = xa.shape, _C.is_channels_last(xa, len(kernel))

    def avg_pool_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (
            _C.avg_pool_backward(
                g, shape, kernel, stride, pads, ceil_mode, count_include_pad, divisor_override, last
            ),
        )

    return record(y, (x,), avg_pool_backward)


def _avg_pool(
    n: int,
    x: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count: bool,
    divisor: int | None,
) -> Tensor:
    op = f"avg_pool{n}d"
    kernel = _sizes(op, "kernel_size", kernel_size, n)
    steps = _strides(op, stride, kernel)
    pads = _sizes(op, "padding", padding, n) * 2
    return avg_pool(x, kernel, steps, pads, ceil_mode, count, divisor)


def _adaptive_max_pool(n: int, x: Tensor, output_size: Any, return_indices: bool) -> Any:
    xa = x.array
    y, saved = _C.adaptive_max_pool(xa, _output_size(f"adaptive_max_pool{n}d", output_size, xa, n))
    shape, last, ones = xa.shape, _C.is_channels_last(xa, n), (1,) * n

    def adaptive_max_pool_backward(g: _C.Array, *rest: Any) -> tuple[_C.Array]:
        # Indices say it all; the geometry is not looked at.
        return (_C.max_pool_backward(g, saved, shape, ones, ones, ones * 2, ones, False, last),)

    if return_indices:
        return record((y, saved), (x,), adaptive_max_pool_backward)
    return record(y, (x,), adaptive_max_pool_backward)


def _adaptive_avg_pool(n: int, x: Tensor, output_size: Any) -> Tensor:
    xa = x.array
    size = _output_size(f"adaptive_avg_pool{n}d", output_size, xa, n)
    y = _C.adaptive_avg_pool(xa, size)
    shape, last = xa.shape, _C.is_channels_last(xa, n)

    def adaptive_avg_pool_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (_C.adaptive_avg_pool_backward(g, shape, size, last),)

    return record(y, (x,), adaptive_avg_pool_backward)


def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """y[o] = max over i of x[o * stride - padding + i * dilation].

    input (N, C, L) or (C, L) -> (N, C, L_out),
    L_out = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1
    (with `ceil_mode` ceil, as long as the last window starts inside the input or the left padding). With
    `return_indices`, also the int64 positions of the maxima. The first of equal maxima counts; NaN wins over
    all.

    Raises ValueError for geometry that does not fit, padding above half of the kernel; TypeError for integer
    data.

    >>> import dlcore
    >>> dlcore.functional.max_pool1d(dlcore.tensor([[1.0, 3.0, 2.0, 5.0]]), 2).numpy().tolist()
    [[3.0, 5.0]]
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """y[oh, ow] = max over i, j of x[h0 + i * dilation, w0 + j * dilation], h0 = oh * stride - padding.

    input (N, C, H, W) or (C, H, W) -> (N, C, H_out, W_out), each size as in `max_pool1d`; one integer serves
    both axes.
    With `return_indices`, also the int64 positions h * W + w of the maxima in their planes.

    Raises ValueError for geometry that does not fit, padding above half of the kernel; TypeError for integer
    data.

    >>> import dlcore
    >>> y, i = dlcore.functional.max_pool2d(dlcore.tensor([[[1.0, 4.0], [3.0, 2.0]]]), 2, return_indices=True)
    >>> y.item(), i.item()
    (4.0, 1)
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`max_pool2d` with a third axis: input (N, C, D, H, W) or (C, D, H, W).

    With `return_indices`, also the int64 positions (d * H + h) * W + w of the maxima in their volumes.

    >>> import dlcore
    >>> dlcore.functional.max_pool3d(dlcore.arange(8.0).reshape(1, 2, 2, 2), 2).item()
    7.0
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """y[o] = sum over i of x[o * stride - padding + i] / kernel_size.

    input (N, C, L) or (C, L) -> (N, C, L_out), L_out as in `max_pool1d`. Without `count_include_pad` the
    divisor counts
    what lies in the input; what `ceil_mode` adds beyond the padding is never counted.

    >>> import dlcore
    >>> dlcore.functional.avg_pool1d(dlcore.tensor([[1.0, 3.0, 2.0, 5.0]]), 2).numpy().tolist()
    [[2.0, 3.5]]
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """y[oh, ow] = sum of the window / divisor, as `avg_pool1d` along both axes; `divisor_override` replaces
    the count.

    >>> import dlcore
    >>> dlcore.functional.avg_pool2d(dlcore.tensor([[[1.0, 4.0], [3.0, 2.0]]]), 2).item()
    2.5
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """`avg_pool2d` with a third axis: input (N, C, D, H, W) or (C, D, H, W).

    >>> import dlcore
    >>> dlcore.functional.avg_pool3d(dlcore.arange(8.0).reshape(1, 2, 2, 2), 2).item()
    3.5
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Tensor, output_size: Size) -> Tensor:
    """y[o] = mean of x[floor(o L / out) : ceil((o + 1) L / out)]; input (N, C, L) or (C, L).

    >>> import dlcore
    >>> dlcore.functional.adaptive_avg_pool1d(dlcore.tensor([[1.0, 2.0, 3.0]]), 2).numpy().tolist()
    [[1.5, 2.5]]
    """
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: OptSize) -> Tensor:
    """The mean of each of (H_out, W_out) windows that cover the plane; None keeps an axis as it is.

    >>> import dlcore
    >>> x = dlcore.tensor([[[1.0, 4.0], [3.0, 2.0]]])
    >>> dlcore.functional.adaptive_avg_pool2d(x, (1, None)).numpy().tolist()
    [[[2.0, 3.0]]]
    """
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: OptSize) -> Tensor:
    """The mean of each of (D_out, H_out, W_out) windows that cover the volume; None keeps an axis as it is.

    >>> import dlcore
    >>> dlcore.functional.adaptive_avg_pool3d(dlcore.arange(8.0).reshape(1, 2, 2, 2), 1).item()
    3.5
    """
    return _adaptive_avg_pool(3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Size, return_indices: bool = False) -> Any:
    """y[o] = max of x[floor(o L / out) : ceil((o + 1) L / out)]; with `return_indices` also its positions.

    >>> import dlcore
    >>> dlcore.functional.adaptive_max_pool1d(dlcore.tensor([[1.0, 2.0, 3.0]]), 2).numpy().tolist()
    [[2.0, 3.0]]
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: OptSize, return_indices: bool = False) -> Any:
    """The maximum of each of (H_out, W_out) windows that cover the plane; None keeps an axis as it is.

    >>> import dlcore
    >>> dlcore.functional.adaptive_max_pool2d(dlcore.tensor([[[1.0, 4.0], [3.0, 2.0]]]), 1).item()
    4.0
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: OptSize, return_indices: bool = False) -> Any:
    """The maximum of each of (D_out, H_out, W_out) windows that cover the volume; None keeps an axis.

    >>> import dlcore
    >>> dlcore.functional.adaptive_max_pool3d(dlcore.arange(8.0).reshape(1, 2, 2, 2), 1).item()
    7.0
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)


# ---- the inverse of max pooling ----------------------------------------------------------------------------


def _unpool_size(
    op: str, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], size: Any
) -> tuple[int, ...]:
    n = len(kernel)
    natural = [(x.shape[d - n] - 1) * stride[d] + kernel[d] - 2 * padding[d] for d in range(n)]
    if size is None:
        wanted = natural
    else:
        wanted = [index(v) for v in size]
        wanted = wanted[2:] if len(wanted) == n + 2 else wanted
        if len(wanted) != n:
            raise ValueError(f"{op}: output_size must hold {n} or {n + 2} numbers, got {tuple(size)}")
        for d, (v, m, s) in enumerate(zip(wanted, natural, stride)):
            if not m - s < v < m + s:
                raise ValueError(
                    f"{op}: output_size must lie between {m - s} and {m + s} in axis {d}, got {tuple(size)}"
                )
    if any(v < 0 for v in wanted):
        raise ValueError(f"{op}: the output's size must not be negative, got {tuple(wanted)}")
    return tuple(wanted)


def _max_unpool(
    n: int, x: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    op = f"max_unpool{n}d"
    if x.ndim not in (n + 1, n + 2):
        raise ValueError(f"{op}: input must have {n + 1} (unbatched) or {n + 2} dimensions, got {x.shape}")
    if indices.dtype != "int64":
        raise TypeError(f"{op}: indices must be int64, got {indices.dtype}")
    if indices.shape != x.shape:
        raise ValueError(
            f"{op}: input and indices must have one shape, got input={x.shape}, indices={indices.shape}"
        )
    if any(v == 0 for v in x.shape[-n - 1 :]):
        raise ValueError(f"{op}: only the batch may be empty, got input={x.shape}")
    kernel = _sizes(op, "kernel_size", kernel_size, n)
    steps = _strides(op, stride, kernel)
    if n == 3 and any(s < 1 for s in steps):  # torch looks at 3-d strides only
        raise ValueError(f"{op}: stride must be positive, got stride={stride}")
    size = _unpool_size(op, x, kernel, steps, _sizes(op, "padding", padding, n), output_size)
    lead = x.shape[:-n]
    zeros = Tensor(_C.full((*lead, prod(size)), 0.0, x.dtype, x.device))
    if prod(size) == 0:  # nowhere to look
        nothing = zeros.reshape(*lead, *size).array
        return record(nothing, (x,), lambda g, needs: (_C.full(x.shape, 0.0, x.dtype, x.device),))
    try:
        flat = (*lead, prod(x.shape[-n:]))
        y = scatter(zeros, -1, indices.reshape(flat), x.reshape(flat))
    except IndexError as e:
        raise IndexError(f"{op}: indices must lie in an output of {size}: {e}") from None
    return y.reshape(*lead, *size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """y[indices] = input, zeros elsewhere: a partial inverse of `max_pool1d` with `return_indices`.

    input and int64 indices (N, C, L) or (C, L) -> (..., (L - 1) stride - 2 padding + kernel_size); an
    `output_size` (with or without N, C) picks another input size that gives the same L.

    Raises ValueError for an output_size that does not fit, IndexError for indices beyond it.

    >>> import dlcore
    >>> F = dlcore.functional
    >>> y, i = F.max_pool1d(dlcore.tensor([[1.0, 3.0, 5.0, 2.0]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, i, 2).tolist()
    [[0.0, 3.0, 5.0, 0.0]]
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """`max_unpool1d` in planes: input (N, C, H, W) or (C, H, W), indices h * W_out + w.

    >>> import dlcore
    >>> F = dlcore.functional
    >>> y, i = F.max_pool2d(dlcore.tensor([[[1.0, 3.0], [5.0, 2.0]]]), 2, return_indices=True)
    >>> F.max_unpool2d(y, i, 2).tolist()
    [[[0.0, 0.0], [5.0, 0.0]]]
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """`max_unpool1d` in volumes: input (N, C, D, H, W) or (C, D, H, W).

    >>> import dlcore
    >>> F = dlcore.functional
    >>> y, i = F.max_pool3d(dlcore.arange(8.0).reshape(1, 2, 2, 2), 2, return_indices=True)
    >>> F.max_unpool3d(y, i, 2).sum().item()
    7.0
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# ---- p-norms -----------------------------------------------------------------------------------------------


def _lp_pool(n: int, x: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    kernel = _sizes(f"lp_pool{n}d", "kernel_size", kernel_size, n)
    if norm_type in (inf, -inf):
        sign = 1 if norm_type > 0 else -1
        largest = _max_pool(n, sign * x.abs(), kernel, stride, 0, 1, ceil_mode, False)
        assert isinstance(largest, Tensor)
        return sign * largest
    mean = _avg_pool(n, x**norm_type, kernel, stride, 0, ceil_mode, True, None)
    return (mean.sign() * relu(mean.abs()) * prod(kernel)) ** (1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """y[o] = (sum over the window of x^p)^(1/p), p = norm_type; the largest |x| for infinity, the smallest
    for -infinity.

    As in torch, windows that `ceil_mode` cuts are scaled up to the full window, and odd powers keep signs
    (so that a negative sum gives NaN).

    >>> import dlcore
    >>> dlcore.functional.lp_pool1d(dlcore.tensor([[3.0, 4.0]]), 2, 2).tolist()
    [[5.0]]
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """`lp_pool1d` over the windows of planes.

    >>> import dlcore
    >>> dlcore.functional.lp_pool2d(dlcore.ones(1, 2, 2), 2, 2).item()
    2.0
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """`lp_pool1d` over the windows of volumes.

    >>> import dlcore
    >>> dlcore.functional.lp_pool3d(dlcore.ones(1, 2, 2, 2), 3, 2).item()
    2.0
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# ---- drawn windows -----------------------------------------------------------------------------------------


def _fractional(
    n: int,
    x: Tensor,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    samples: Tensor | None,
) -> tuple[Tensor, Tensor]:
    op = f"fractional_max_pool{n}d"
    if output_size is None:
        if output_ratio is None:
            raise ValueError(f"{op}: one of output_size and output_ratio must be given")
        ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
        if len(ratios) != n:
            raise ValueError(f"{op}: output_ratio must be one number or {n} of them, got {output_ratio}")
        if x.ndim < n:
            raise ValueError(f"{op}: input must have {n + 1} or {n + 2} dimensions, got {x.shape}")
        output_size = [int(size * ratio) for size, ratio in zip(x.shape[-n:], ratios)]
    kernel = _sizes(op, "kernel_size", kernel_size, n)
    size = _sizes(op, "output_size", output_size, n)
    if x.ndim not in (n + 1, n + 2):
        raise ValueError(f"{op}: input must have {n + 1} (unbatched) or {n + 2} dimensions, got {x.shape}")
    if samples is None:
        lead = (x.shape[0] if x.ndim == n + 2 else 1, x.shape[-n - 1], n)
        kind: Any = x.dtype if x.is_floating_point() else "float64"  # others are the op's to refuse
        samples = Tensor(_C.to_device(_C.from_numpy(get_generator(None).random(lead, kind)), x.device))
    y, indices = _C.fractional_max_pool(x.array, kernel, size, samples.array)
    shape, ones = x.shape, (1,) * n

    def fractional_max_pool_backward(g: _C.Array, *rest: Any) -> tuple[_C.Array]:
        return (_C.max_pool_backward(g, indices, shape, ones, ones, ones * 2, ones, False, False),)

    pooled, positions = record((y, indices), (x,), fractional_max_pool_backward)
    return pooled, positions


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool2d` with its indices."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool3d` with its indices."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maxima over windows whose starts step by fractions: start(o) = int((o + u) a) - int(u a) with
    a = (H - kernel) / (H_out - 1) and u drawn from [0, 1) for each plane and axis; the last window is at the
    end.

    input (N, C, H, W) or (C, H, W); `output_ratio` times the size where there is no `output_size`.
    `_random_samples` (N, C, 2) replaces the draws, u of the width first.

    Raises ValueError where output_size + kernel_size - 1 is more than the input.

    B. Graham: Fractional max-pooling (2014).

    >>> import dlcore
    >>> x = dlcore.arange(25.0).reshape(1, 5, 5)
    >>> dlcore.functional.fractional_max_pool2d(x, 2, output_size=3)[0, -1, -1].item()
    24.0
    """
    pair = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return pair if return_indices else pair[0]


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """`fractional_max_pool2d` in volumes; `_random_samples` (N, C, 3), u of the depth first.

    >>> import dlcore
    >>> x = dlcore.arange(64.0).reshape(1, 4, 4, 4)
    >>> dlcore.functional.fractional_max_pool3d(x, 2, output_ratio=0.5).shape
    (1, 2, 2, 2)
    """
    pair = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return pair if return_indices else pair[0]


max_pool1d_with_indices = partial(max_pool1d, return_indices=True)
max_pool2d_with_indices = partial(max_pool2d, return_indices=True)
max_pool3d_with_indices = partial(max_pool3d, return_indices=True)
adaptive_max_pool1d_with_indices = partial(adaptive_max_pool1d, return_indices=True)
adaptive_max_pool2d_with_indices = partial(adaptive_max_pool2d, return_indices=True)
adaptive_max_pool3d_with_indices = partial(adaptive_max_pool3d, return_indices=True)
