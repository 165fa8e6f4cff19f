"""Transposed convolutions, channels last: x (N, *S, C), kernel (*K, filters, C)."""

from __future__ import annotations

from typing import Any

from dlcore import functional as F
from dlcore.keras.layers.base import layer_registry, to_float
from dlcore.keras.layers.common import positive, sizes, to_first, to_last
from dlcore.keras.layers.conv import BaseConv
from dlcore.tensor import Tensor

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
]


def _edges(window: int, stride: int, padding: str, extra: int | None) -> tuple[int, int]:
    """What is cut off before and after the full result, (n - 1) stride + window long; negative: zeros are
    added."""
    if padding == "valid":
        added = max(window, stride) - window if extra is None else extra
        return 0, -added
    total = stride + window - 2 if extra is None else window + window % 2 - 2 + extra
    left = min(total // 2 + total % 2, window - 1)
    return window - 1 - left, window - 1 - (total - left)


class _ConvTranspose(BaseConv):
    """y = activation(the gradient of a convolution with `kernel`, of x, + bias)."""

    choices = ("valid", "same")
    _fields = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "output_padding",
        "data_format",
        "dilation_rate",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: Any = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        cls = type(self).__name__
        self.filters = positive(cls, "filters", filters)
        self._setup(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.output_padding = (
            None if output_padding is None else sizes(cls, "output_padding", output_padding, self.rank, 0)
        )
        for p, s in zip(self.output_padding or (), self.strides):
            if p >= s:
                raise ValueError(
                    f"Strides must be greater than output padding. Received strides={self.strides}, "
                    f"output_padding={self.output_padding}."
                )
        self._keep(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        c = self._channels(input_shape)
        self.kernel = self._weight((*self.kernel_size, self.filters, c), "kernel")
        self._bias(self.filters)

    def _all_edges(self) -> list[tuple[int, int]]:
        extra = self.output_padding or (None,) * self.rank
        return [_edges(w, s, self.padding, e) for w, s, e in zip(self._windows(), self.strides, extra)]

    def call(self, inputs: Tensor) -> Any:
        x = to_first(to_float(inputs, self.dtype))
        n = self.rank
        weight = self.kernel.permute(n + 1, n, *range(n))  # (C, filters, *K)
        edges = self._all_edges()
        # What is cut from both sides alike is the kernel's own padding; the rest is cut, or added, after it.
        common = [max(0, min(a, b)) for a, b in edges]
        rest = [(a - p, b - p) for (a, b), p in zip(edges, common)]
        added = [
            -b if 0 < -b < max(s, d) and a == 0 else 0
            for (a, b), s, d in zip(rest, self.strides, self.dilation_rate)
        ]
        conv: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
        whole = all(a == 0 and b + p == 0 for (a, b), p in zip(rest, added))
        y = conv(
            x,
            weight,
            self.bias if whole else None,
            self.strides,
            tuple(common),
            tuple(added),
            1,
            self.dilation_rate,
        )
        y = to_last(y)
        if not whole:
            flat: list[int] = [0, 0]
            for (a, b), p in reversed(list(zip(rest, added))):
                flat += [-a, -(b + p)]
            y = F.pad(y, flat)
            if self.bias is not None:
                y = y + self.bias
        return self.activation(y)

    def compute_output_shape(self, input_shape: Any) -> Any:
        out = []
        for n, w, s, (a, b) in zip(input_shape[1:-1], self._windows(), self.strides, self._all_edges()):
            out.append(None if n is None else (n - 1) * s + w - a - b)
        return (input_shape[0], *out, self.filters)


@layer_registry.add("Convolution1DTranspose")
class Conv1DTranspose(_ConvTranspose):
    """x (N, L, C) -> (N, L', filters)."""

    rank = 1


@layer_registry.add("Convolution2DTranspose")
class Conv2DTranspose(_ConvTranspose):
    """x (N, H, W, C) -> (N, H', W', filters)."""

    rank = 2


@layer_registry.add("Convolution3DTranspose")
class Conv3DTranspose(_ConvTranspose):
    """x (N, D, H, W, C) -> (N, D', H', W', filters)."""

    rank = 3


Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
