"""Convolutions. Inputs are (N, C, *) or unbatched (C, *), weights (out_channels, in_channels / groups,
*kernel).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dlcore import functional as F
from dlcore.nn import init
from dlcore.nn.module import Module, Parameter, empty_parameter, size, sizes
from dlcore.tensor import DTypeLike, Tensor

__all__ = ["Conv1d", "Conv2d"]

_Size = int | tuple[int, ...]
_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    _axes: int
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size | str = 0,
        dilation: _Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        op, n = type(self).__name__, self._axes
        self.in_channels = size(op, "in_channels", in_channels)
        self.out_channels = size(op, "out_channels", out_channels)
        self.groups = size(op, "groups", groups)
        self.kernel_size = sizes(op, "kernel_size", kernel_size, n)
        self.stride = sizes(op, "stride", stride, n)
        self.dilation = sizes(op, "dilation", dilation, n)
        self.padding: tuple[int, ...] | str
        if self.groups <= 0:
            raise ValueError(f"{op}: groups must be a positive integer, got {groups}")
        if self.in_channels % self.groups:
            raise ValueError(f"{op}: in_channels must be divisible by groups, got {in_channels} and {groups}")
        if self.out_channels % self.groups:
            raise ValueError(
                f"{op}: out_channels must be divisible by groups, got {out_channels} and {groups}"
            )
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"{op}: padding_mode must be one of {_PADDING_MODES}, got {padding_mode!r}")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"{op}: padding must be an integer, a tuple, 'same' or 'valid', got {padding!r}"
                )
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError(
                    f"{op}: padding='same' is not supported for strided convolutions, got {self.stride}"
                )
            self.padding = padding
        else:
            self.padding = sizes(op, "padding", padding, n)
        self.padding_mode = padding_mode
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = empty_parameter(shape, dtype, device)
        if bias:
            self.bias = empty_parameter((self.out_channels,), dtype, device)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(
            self.weight, a=math.sqrt(5)
        )  # the same as U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan_in:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def _margins(self) -> list[int]:
        """The padding as F.pad takes it: (before, after) from the last axis to the first."""
        margins: list[int] = []
        for i in reversed(range(self._axes)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                margins += [total // 2, total - total // 2]
            else:
                p = 0 if isinstance(self.padding, str) else self.padding[i]
                margins += [p, p]
        return margins

    def _convolve(self, input: Tensor, activation: str) -> Tensor:
        convolve: Any = F.conv1d if self._axes == 1 else F.conv2d
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._margins(), mode=self.padding_mode), 0
        y: Tensor
        if activation:
            y = convolve(
                input,
                self.weight,
                self.bias,
                self.stride,
                padding,
                self.dilation,
                self.groups,
                activation=activation,
            )
        else:
            y = convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        return y

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(input, "")

    def forward_activated(self, input: Tensor, activation: str) -> Tensor:
        """The forward with the activation that follows fused into it (Sequential)."""
        return self._convolve(input, activation)

    def extra_repr(self) -> str:
        s = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self._axes:
            s += f", padding={self.padding}"
        if self.dilation != (1,) * self._axes:
            s += f", dilation={self.dilation}"
        if self.groups != 1:
            s += f", groups={self.groups}"
        if self.bias is None:
            s += ", bias=False"
        if self.padding_mode != "zeros":
            s += f", padding_mode={self.padding_mode}"
        return s

    if TYPE_CHECKING:
        __call__ = forward


class Conv1d(_ConvNd):
    """y[n, o, t] = b[o] + Σ_c Σ_k w[o, c, k] x[n, c, stride t - padding + dilation k].

    x (N, in_channels, L) -> (N, out_channels, ⌊(L + 2 padding - dilation (kernel_size - 1) - 1) / stride⌋ +
    1); weight (out_channels, in_channels / groups, kernel_size) and bias drawn from U(-k, k), k = 1 /
    sqrt(in_channels / groups · kernel_size). `padding` is a size, "valid" or "same".

    Raises ValueError where groups does not divide the channels, or the input does not match.

    >>> import dlcore
    >>> dlcore.nn.Conv1d(2, 8, 3).weight.shape
    (8, 2, 3)
    """

    _axes = 1


class Conv2d(_ConvNd):
    """y[n, o, i, j] = b[o] + Σ_c Σ_k Σ_l w[o, c, k, l] x[n, c, s i - p + d k, s j - p + d l].

    x (N, in_channels, H, W) -> (N, out_channels, H', W'), H' = ⌊(H + 2 padding - dilation (kernel_size - 1)
    - 1) / stride⌋ + 1; weight (out_channels, in_channels / groups, kh, kw) and bias drawn from U(-k, k), k
    = 1 / sqrt(fan_in). Sizes are one int or a pair; `padding` also "valid" or "same". LeCun et al., Neural
    Computation 1989.

    Raises ValueError where groups does not divide the channels, or the input does not match.

    >>> import dlcore
    >>> dlcore.nn.Conv2d(1, 6, kernel_size=5, padding="same")
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=same)
    """

    _axes = 2
