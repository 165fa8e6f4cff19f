"""Pooling. Inputs are (N, C, *) or unbatched (C, *)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlcore import functional as F
from dlcore.nn.module import Module
from dlcore.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

_Size = int | tuple[int, ...]
_Ratio = float | tuple[float, ...]


def _tuple(value: Any, n: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


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


class MaxPool3d(_MaxPool):
    """The maximum of each window; with `return_indices` also its flat place in the (D, H, W) volume.

    x (N, C, D, H, W) -> (N, C, D', H', W'). `stride` is kernel_size unless given; `ceil_mode` keeps last,
    partial windows.

    >>> import dlcore
    >>> dlcore.nn.MaxPool3d(2)(dlcore.arange(8.0).reshape(1, 1, 2, 2, 2)).item()
    7.0
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool3d(
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


class _MaxUnpool(Module):
    _nd = 0

    def __init__(self, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0) -> None:
        super().__init__()
        self.kernel_size = _tuple(kernel_size, self._nd)
        self.stride = self.kernel_size if stride is None else _tuple(stride, self._nd)
        self.padding = _tuple(padding, self._nd)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """y[indices] = x, zeros elsewhere: a partial inverse of MaxPool1d(..., return_indices=True).

    >>> import dlcore
    >>> y, i = dlcore.nn.MaxPool1d(2, return_indices=True)(dlcore.tensor([[1.0, 3.0, 5.0, 2.0]]))
    >>> dlcore.nn.MaxUnpool1d(2)(y, i).tolist()
    [[0.0, 3.0, 5.0, 0.0]]
    """

    _nd = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    if TYPE_CHECKING:
        __call__ = forward


class MaxUnpool2d(_MaxUnpool):
    """y[indices] = x, zeros elsewhere: a partial inverse of MaxPool2d(..., return_indices=True).

    >>> import dlcore
    >>> y, i = dlcore.nn.MaxPool2d(2, return_indices=True)(dlcore.tensor([[[1.0, 3.0], [5.0, 2.0]]]))
    >>> dlcore.nn.MaxUnpool2d(2)(y, i).tolist()
    [[[0.0, 0.0], [5.0, 0.0]]]
    """

    _nd = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    if TYPE_CHECKING:
        __call__ = forward


class MaxUnpool3d(_MaxUnpool):
    """y[indices] = x, zeros elsewhere: a partial inverse of MaxPool3d(..., return_indices=True).

    >>> import dlcore
    >>> y, i = dlcore.nn.MaxPool3d(2, return_indices=True)(dlcore.arange(8.0).reshape(1, 2, 2, 2))
    >>> dlcore.nn.MaxUnpool3d(2)(y, i).sum().item()
    7.0
    """

    _nd = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)

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
        self.kernel_size = _tuple(kernel_size, 1)
        self.stride = self.kernel_size if stride is None else _tuple(stride, 1)
        self.padding = _tuple(padding, 1)
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


class _AvgPool(Module):
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

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window, or its sum over `divisor_override`; padding counts unless
    `count_include_pad` is false.

    x (N, C, H, W) -> (N, C, H', W').

    >>> import dlcore
    >>> dlcore.nn.AvgPool2d(2)(dlcore.tensor([[[[1.0, 3.0], [2.0, 6.0]]]])).tolist()
    [[[[3.0]]]]
    """

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

    if TYPE_CHECKING:
        __call__ = forward


class AvgPool3d(_AvgPool):
    """The mean of each window, or its sum over `divisor_override`; padding counts unless
    `count_include_pad` is false.

    x (N, C, D, H, W) -> (N, C, D', H', W').

    >>> import dlcore
    >>> dlcore.nn.AvgPool3d(2)(dlcore.arange(8.0).reshape(1, 1, 2, 2, 2)).item()
    3.5
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    if TYPE_CHECKING:
        __call__ = forward


class _FractionalMaxPool(Module):
    _nd = 0
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: _Size,
        output_size: _Size | None = None,
        output_ratio: _Ratio | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self._nd
        self.kernel_size = _tuple(kernel_size, n)
        if n == 3 and not all(k > 0 for k in self.kernel_size):
            raise ValueError(f"{name}: kernel_size must be positive, got {kernel_size}")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else _tuple(output_size, n)
        self.output_ratio = None if output_ratio is None else _tuple(output_ratio, n)
        if (output_size is None) == (output_ratio is None):
            raise ValueError(
                f"{name}: exactly one of output_size and output_ratio must be given, got "
                f"output_size={output_size}, output_ratio={output_ratio}"
            )
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio[:n]):
            raise ValueError(f"{name}: output_ratio must lie between 0 and 1, got {output_ratio}")


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima over windows whose starts step by a drawn fraction (Graham 2014): (N, C, H, W) -> (N, C,
    *output_size), or output_ratio times the size.

    >>> import dlcore
    >>> dlcore.nn.FractionalMaxPool2d(2, output_ratio=0.5)(dlcore.zeros(1, 1, 6, 8)).shape
    (1, 1, 3, 4)
    """

    _nd = 2

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool2d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )

    if TYPE_CHECKING:
        __call__ = forward


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maxima over windows whose starts step by a drawn fraction (Graham 2014): (N, C, D, H, W) -> (N, C,
    *output_size), or output_ratio times the size.

    >>> import dlcore
    >>> dlcore.nn.FractionalMaxPool3d(2, output_size=2)(dlcore.zeros(1, 1, 4, 4, 4)).shape
    (1, 1, 2, 2, 2)
    """

    _nd = 3

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool3d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )

    if TYPE_CHECKING:
        __call__ = forward


class _LPPool(Module):
    def __init__(
        self, norm_type: float, kernel_size: _Size, stride: _Size | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """y = (sum over the window of x^p)^(1/p), p = norm_type: (N, C, L) -> (N, C, L').

    >>> import dlcore
    >>> dlcore.nn.LPPool1d(2, 2)(dlcore.tensor([[3.0, 4.0]])).tolist()
    [[5.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    if TYPE_CHECKING:
        __call__ = forward


class LPPool2d(_LPPool):
    """y = (sum over the window of x^p)^(1/p), p = norm_type: (N, C, H, W) -> (N, C, H', W').

    >>> import dlcore
    >>> dlcore.nn.LPPool2d(2, 2)(dlcore.ones(1, 2, 2)).item()
    2.0
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    if TYPE_CHECKING:
        __call__ = forward


class LPPool3d(_LPPool):
    """y = (sum over the window of x^p)^(1/p), p = norm_type: (N, C, D, H, W) -> (N, C, D', H', W').

    >>> import dlcore
    >>> dlcore.nn.LPPool3d(3, 2)(dlcore.ones(1, 2, 2, 2)).item()
    2.0
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

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


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means over output_size windows an axis: (N, C, D, H, W) -> (N, C, *output_size); None keeps an axis as
    it is.

    >>> import dlcore
    >>> dlcore.nn.AdaptiveAvgPool3d(1)(dlcore.arange(8.0).reshape(1, 2, 2, 2)).item()
    3.5
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool3d(input, self.output_size)

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


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima over output_size windows an axis: (N, C, D, H, W) -> (N, C, *output_size).

    >>> import dlcore
    >>> dlcore.nn.AdaptiveMaxPool3d(1)(dlcore.arange(8.0).reshape(1, 2, 2, 2)).item()
    7.0
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)

    if TYPE_CHECKING:
        __call__ = forward
