"""Convolutions and transposed convolutions. Inputs are (N, C, *) or unbatched (C, *), weights (out_channels,
in_channels / groups, *kernel), transposed (in_channels, out_channels / groups, *kernel).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlcore import functional as F
from dlcore.functional.conv import conv2d_folded
from dlcore.nn import init
from dlcore.nn.module import Module, Parameter, UninitializedParameter, empty_parameter, size, sizes
from dlcore.tensor import DTypeLike, Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]

_Size = int | tuple[int, ...]
_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    _axes: int
    transposed = False
    in_channels: int
    out_channels: int
    weight: Parameter
    bias: Parameter | None

    def _configure(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size,
        padding: _Size | str,
        output_padding: _Size,
        dilation: _Size,
        groups: int,
        padding_mode: str,
    ) -> None:
        """Everything but the parameters."""
        super().__init__()
        op, n = type(self).__name__, self._axes
        self.in_channels = size(op, "in_channels", in_channels)
        self.out_channels = size(op, "out_channels", out_channels)
        self.groups = size(op, "groups", groups)
        self.kernel_size = sizes(op, "kernel_size", kernel_size, n)
        self.stride = sizes(op, "stride", stride, n)
        self.dilation = sizes(op, "dilation", dilation, n)
        self.output_padding = sizes(op, "output_padding", output_padding, n)
        self.padding: tuple[int, ...] | str
        if self.groups <= 0:
            raise ValueError(f"{op}: groups must be a positive integer, got {groups}")
        if self.in_channels % self.groups:
            raise ValueError(f"{op}: in_channels must be divisible by groups, got {in_channels} and {groups}")
        if self.out_channels % self.groups:
            raise ValueError(
                f"{op}: out_channels must be divisible by groups, got {out_channels} and {groups}"
            )
        modes = ("zeros",) if self.transposed else _PADDING_MODES
        if padding_mode not in modes:
            raise ValueError(f"{op}: padding_mode must be one of {modes}, got {padding_mode!r}")
        if isinstance(padding, str) and not self.transposed:
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

    def _weight_shape(self) -> tuple[int, ...]:
        i, o = self.in_channels, self.out_channels
        return (
            (i, o // self.groups, *self.kernel_size)
            if self.transposed
            else (o, i // self.groups, *self.kernel_size)
        )

    def _make_parameters(self, bias: bool, device: str | None, dtype: DTypeLike) -> None:
        self.weight = empty_parameter(self._weight_shape(), dtype, device)
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

    def extra_repr(self) -> str:
        s = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self._axes:
            s += f", padding={self.padding}"
        if self.dilation != (1,) * self._axes:
            s += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self._axes:
            s += f", output_padding={self.output_padding}"
        if self.groups != 1:
            s += f", groups={self.groups}"
        if self.bias is None:
            s += ", bias=False"
        if self.padding_mode != "zeros":
            s += f", padding_mode={self.padding_mode}"
        return s


class _Conv(_ConvNd):
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
        self._configure(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, padding_mode
        )
        self._make_parameters(bias, device, dtype)

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
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._margins(), mode=self.padding_mode), 0
        convolve = _CONVOLVE[self._axes]
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups, activation
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(input, "")

    def forward_activated(self, input: Tensor, activation: str) -> Tensor:
        """The forward with the activation that follows fused into it (Sequential)."""
        return self._convolve(input, activation)

    if TYPE_CHECKING:
        __call__ = forward


class _ConvTranspose(_ConvNd):
    transposed = True
    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size = 0,
        output_padding: _Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: _Size = 1,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        self._configure(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            padding_mode,
        )
        self._make_parameters(bias, device, dtype)

    def _output_padding(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """What must be added at the end of each axis to make the result `output_size`."""
        n = self._axes
        wanted = list(output_size)
        if len(wanted) == input.ndim and input.ndim > n:
            wanted = wanted[-n:]
        if len(wanted) != n:
            raise ValueError(
                f"{type(self).__name__}: output_size must have {n} or {input.ndim} elements, got "
                f"output_size={output_size}"
            )
        least = [
            (length - 1) * s - 2 * p + d * (k - 1) + 1
            for length, s, p, d, k in zip(
                input.shape[-n:], self.stride, self.padding, self.dilation, self.kernel_size
            )
        ]
        if any(not low <= w < low + s for w, low, s in zip(wanted, least, self.stride)):
            most = [low + s - 1 for low, s in zip(least, self.stride)]
            raise ValueError(
                f"{type(self).__name__}: output_size must lie between {least} and {most} for this input, got "
                f"output_size={output_size}, input={input.shape}"
            )
        return tuple(w - low for w, low in zip(wanted, least))

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._output_padding(input, output_size)
        convolve = _CONVOLVE_TRANSPOSED[self._axes]
        return convolve(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    if TYPE_CHECKING:
        __call__ = forward


_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONVOLVE_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class Conv1d(_Conv):
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


class Conv2d(_Conv):
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

    def forward_folded(
        self,
        input: Tensor,
        activation: str,
        norm: tuple[Tensor, Tensor, Tensor | None, Tensor | None, float] | None,
        residual: Tensor | None = None,
    ) -> Tensor:
        """act(norm(forward) + residual) as one kernel, where nothing is recorded (`conv2d_folded`)."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._margins(), mode=self.padding_mode), 0
        return conv2d_folded(
            input,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            activation,
            norm,
            residual,
        )


class Conv3d(_Conv):
    """y[n, o, z, i, j] = b[o] + Σ_c Σ_m Σ_k Σ_l w[o, c, m, k, l] x[n, c, s z - p + d m, s i - p + d k, ...].

    x (N, in_channels, D, H, W) -> (N, out_channels, D', H', W'), each axis as in Conv2d; weight
    (out_channels, in_channels / groups, kd, kh, kw). Sizes are one int or three; `padding` also
    "valid" or "same".

    Raises ValueError where groups does not divide the channels, or the input does not match.

    >>> import dlcore
    >>> dlcore.nn.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1))
    Conv3d(3, 8, kernel_size=(1, 3, 3), stride=(1, 1, 1), padding=(0, 1, 1))
    """

    _axes = 3


class ConvTranspose1d(_ConvTranspose):
    """y[n, o, stride t - padding + dilation k] += w[c, o, k] x[n, c, t], and b[o] once.

    x (N, in_channels, L) -> (N, out_channels, (L - 1) stride - 2 padding + dilation (kernel_size - 1) +
    output_padding + 1). The rest as ConvTranspose2d.

    >>> import dlcore
    >>> dlcore.nn.ConvTranspose1d(2, 8, 3, stride=2).weight.shape
    (2, 8, 3)
    """

    _axes = 1


class ConvTranspose2d(_ConvTranspose):
    """y[n, o, s i - p + d k, s j - p + d l] += w[c, o, k, l] x[n, c, i, j], and b[o] once.

    x (N, in_channels, H, W) -> (N, out_channels, H', W'), H' = (H - 1) stride - 2 padding + dilation
    (kernel_size - 1) + output_padding + 1; weight (in_channels, out_channels / groups, kh, kw) and bias drawn
    from U(-k, k), k = 1 / sqrt(out_channels / groups · kh · kw). Where several H' belong to a stride,
    `output_size` of the call picks one. Zeiler et al., "Deconvolutional Networks", CVPR 2010.

    Raises ValueError where groups does not divide the channels, output_padding is smaller than neither stride
    nor dilation, or output_size cannot be had.

    >>> import dlcore
    >>> up = dlcore.nn.ConvTranspose2d(16, 3, 3, stride=2, padding=1)
    >>> up(dlcore.zeros(1, 16, 6, 6)).shape, up(dlcore.zeros(1, 16, 6, 6), output_size=(12, 12)).shape
    ((1, 3, 11, 11), (1, 3, 12, 12))
    """

    _axes = 2


class ConvTranspose3d(_ConvTranspose):
    """y[n, o, s z - p + d m, s i - p + d k, ...] += w[c, o, m, k, l] x[n, c, z, i, j], and b[o] once.

    x (N, in_channels, D, H, W) -> (N, out_channels, D', H', W'). The rest as ConvTranspose2d.

    >>> import dlcore
    >>> dlcore.nn.ConvTranspose3d(4, 2, 2, stride=2)(dlcore.zeros(1, 4, 3, 3, 3)).shape
    (1, 2, 6, 6, 6)
    """

    _axes = 3


class _Lazy(_ConvNd):
    """A convolution whose in_channels the first input decides; it is an ordinary one from then on."""

    _becomes: type[_ConvNd]

    def _make_parameters(self, bias: bool, device: str | None, dtype: DTypeLike) -> None:
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)
        else:
            self.register_parameter("bias", None)

    def has_uninitialized_params(self) -> bool:
        return isinstance(self.weight, UninitializedParameter)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def _materialize(self, in_channels: int) -> None:
        if in_channels % self.groups:
            raise ValueError(
                f"{type(self).__name__}: in_channels must be divisible by groups, got {in_channels} and "
                f"{self.groups}"
            )
        self.in_channels = in_channels
        if isinstance(self.weight, UninitializedParameter):
            self.weight.materialize(self._weight_shape())
        if isinstance(self.bias, UninitializedParameter):
            self.bias.materialize((self.out_channels,))
        self.__class__ = self._becomes  # type: ignore[assignment]

    def forward(self, input: Tensor, *args: Any) -> Tensor:
        if input.ndim not in (self._axes + 1, self._axes + 2):
            raise ValueError(
                f"{type(self).__name__}: the input must have {self._axes + 1} (unbatched) or "
                f"{self._axes + 2} dimensions, got input={input.shape}"
            )
        self._materialize(input.shape[-self._axes - 1])
        self.reset_parameters()
        y: Tensor = self.forward(input, *args)
        return y

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        weight = state_dict.get(prefix + "weight")
        if weight is not None and not isinstance(weight, UninitializedParameter):
            self._materialize(weight.shape[0] if self.transposed else weight.shape[1] * self.groups)
        Module._load_from_state_dict(self, state_dict, prefix, *args)  # it may be an ordinary one by now

    if TYPE_CHECKING:
        __call__ = forward


class _LazyConv(_Lazy):
    def __init__(
        self,
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
        self._configure(0, out_channels, kernel_size, stride, padding, 0, dilation, groups, padding_mode)
        self._make_parameters(bias, device, dtype)


class _LazyConvTranspose(_Lazy):
    transposed = True

    def __init__(
        self,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size = 0,
        output_padding: _Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: _Size = 1,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        self._configure(
            0, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, padding_mode
        )
        self._make_parameters(bias, device, dtype)


class LazyConv1d(_LazyConv, Conv1d):
    """A Conv1d whose in_channels the first input decides; it is a Conv1d from then on.

    >>> import dlcore
    >>> layer = dlcore.nn.LazyConv1d(4, 3)
    >>> layer(dlcore.zeros(2, 5, 7)).shape, layer
    ((2, 4, 5), Conv1d(5, 4, kernel_size=(3,), stride=(1,)))
    """

    _axes = 1
    _becomes = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A Conv2d whose in_channels the first input decides; it is a Conv2d from then on.

    >>> import dlcore
    >>> layer = dlcore.nn.LazyConv2d(4, 3)
    >>> layer(dlcore.zeros(2, 5, 7, 7)).shape, layer
    ((2, 4, 5, 5), Conv2d(5, 4, kernel_size=(3, 3), stride=(1, 1)))
    """

    _axes = 2
    _becomes = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A Conv3d whose in_channels the first input decides; it is a Conv3d from then on.

    >>> import dlcore
    >>> dlcore.nn.LazyConv3d(4, 3)(dlcore.zeros(2, 5, 7, 7, 7)).shape
    (2, 4, 5, 5, 5)
    """

    _axes = 3
    _becomes = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A ConvTranspose1d whose in_channels the first input decides; it is a ConvTranspose1d from then on.

    >>> import dlcore
    >>> dlcore.nn.LazyConvTranspose1d(4, 3)(dlcore.zeros(2, 5, 7)).shape
    (2, 4, 9)
    """

    _axes = 1
    _becomes = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A ConvTranspose2d whose in_channels the first input decides; it is a ConvTranspose2d from then on.

    >>> import dlcore
    >>> layer = dlcore.nn.LazyConvTranspose2d(4, 2, stride=2)
    >>> layer(dlcore.zeros(2, 5, 7, 7)).shape, layer
    ((2, 4, 14, 14), ConvTranspose2d(5, 4, kernel_size=(2, 2), stride=(2, 2)))
    """

    _axes = 2
    _becomes = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A ConvTranspose3d whose in_channels the first input decides; it is a ConvTranspose3d from then on.

    >>> import dlcore
    >>> dlcore.nn.LazyConvTranspose3d(4, 2)(dlcore.zeros(2, 5, 3, 3, 3)).shape
    (2, 4, 4, 4, 4)
    """

    _axes = 3
    _becomes = ConvTranspose3d
