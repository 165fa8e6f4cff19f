"""Pooling. Inputs are (N, C, *) or unbatched (C, *)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlcore import functional as F
from dlcore.nn.module import Module
from dlcore.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "MaxPool1d",
    "MaxPool2d",
]

_Size = int | tuple[int, ...]


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        dilation: _Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """y[n, c, t] = max_k x[n, c, stride t - padding + dilation k]; with `return_indices` also where each
    maximum stood.

    x (N, C, L) -> (N, C, L'). `stride` is kernel_size unless given; `ceil_mode` keeps a last, partial window.

    >>> import dlcore
    >>> dlcore.nn.MaxPool1d(2)(dlcore.tensor([[[1.0, 3.0, 2.0, 5.0]]])).tolist()
    [[[3.0, 5.0]]]
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    if TYPE_CHECKING:
        __call__ = forward


class MaxPool2d(_MaxPool):
    """The maximum of each window; with `return_indices` also its flat place in the (H, W) plane.

    x (N, C, H, W) -> (N, C, H', W'). `stride` is kernel_size unless given; `ceil_mode` keeps last, partial
    windows.

    >>> import dlcore
    >>> dlcore.nn.MaxPool2d(2)(dlcore.tensor([[[[1.0, 3.0], [2.0, 5.0]]]])).tolist()
    [[[[5.0]]]]
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    if TYPE_CHECKING:
        __call__ = forward


class AvgPool1d(Module):
    """y[n, c, t] = mean_k x[n, c, stride t - padding + k]; padding counts unless `count_include_pad` is
    false.

    x (N, C, L) -> (N, C, L').

    >>> import dlcore
    >>> dlcore.nn.AvgPool1d(2)(dlcore.tensor([[[1.0, 3.0, 2.0, 5.0]]])).tolist()
    [[[2.0, 3.5]]]
    """

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = self.kernel_size if stride is None else _single(stride)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"

    if TYPE_CHECKING:
        __call__ = forward


class AvgPool2d(Module):
    """The mean of each window, or its sum over `divisor_override`; padding counts unless
    `count_include_pad` is false.

    x (N, C, H, W) -> (N, C, H', W').

    >>> import dlcore
    >>> dlcore.nn.AvgPool2d(2)(dlcore.tensor([[[[1.0, 3.0], [2.0, 6.0]]]])).tolist()
    [[[[3.0]]]]
    """

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"

    if TYPE_CHECKING:
        __call__ = forward


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over output_size windows, the i-th from ⌊i L / n⌋ to ⌈(i + 1) L / n⌉: (N, C, L) -> (N, C,
    output_size).

    >>> import dlcore
    >>> dlcore.nn.AdaptiveAvgPool1d(1)(dlcore.tensor([[[1.0, 3.0, 5.0]]])).tolist()
    [[[3.0]]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)

    if TYPE_CHECKING:
        __call__ = forward


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over output_size windows an axis: (N, C, H, W) -> (N, C, *output_size); None keeps an axis as
    it is.

    >>> import dlcore
    >>> dlcore.nn.AdaptiveAvgPool2d(1)(dlcore.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])).tolist()
    [[[[4.0]]]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)

    if TYPE_CHECKING:
        __call__ = forward


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima over output_size windows: (N, C, L) -> (N, C, output_size).

    >>> import dlcore
    >>> dlcore.nn.AdaptiveMaxPool1d(1)(dlcore.tensor([[[1.0, 3.0, 5.0]]])).tolist()
    [[[5.0]]]
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)

    if TYPE_CHECKING:
        __call__ = forward


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima over output_size windows an axis: (N, C, H, W) -> (N, C, *output_size).

    >>> import dlcore
    >>> dlcore.nn.AdaptiveMaxPool2d(1)(dlcore.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])).tolist()
    [[[[7.0]]]]
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)

    if TYPE_CHECKING:
        __call__ = forward


def _single(value: _Size) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
