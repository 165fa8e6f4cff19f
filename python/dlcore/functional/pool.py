"""Pooling: maxima and averages over windows, adaptive windows included; 1-D and 2-D.

Row-major and channels-last planes (by strides) are both native; the output has the input's format.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from dlcore import _C
from dlcore.autograd import is_grad_enabled, record
from dlcore.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
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
    """max_pool1d and max_pool2d with separate paddings: `pads` before each axis, then after each."""
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
    """avg_pool1d and avg_pool2d with separate paddings: `pads` before each axis, then after each."""
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
