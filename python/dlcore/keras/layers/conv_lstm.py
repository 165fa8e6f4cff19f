"""Convolutional LSTMs: x (N, T, *S, C) -> (N, *S', filters), or (N, T, *S', filters) with
`return_sequences`.

The four gates are one convolution of the input and one of the state a step; the steps go one after another
in Python, since each convolution is work enough for a kernel call.
"""

from __future__ import annotations

from typing import Any

from dlcore import functional as F
from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.base import InputSpec, layer_registry
from dlcore.keras.layers.cells import OPTIONS, Cell, forget_bias, zeros
from dlcore.keras.layers.common import same_padding, to_first, to_last
from dlcore.keras.layers.conv import BaseConv, kernel_first, padded
from dlcore.keras.layers.rnn import RNN, _Named, _split
from dlcore.tensor import Tensor

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]


class ConvLSTMCell(Cell, BaseConv):
    """i, f, g, o = x * W + h * U + b;  c' = s(f) c + s(i) a(g);  h' = s(o) a(c'), * the cross-correlation.

    The state is convolved with stride 1 and "same" padding, so that it keeps its size.
    """

    gates = 4
    bias_initializer: Any
    bias_regularizer: Any
    bias_constraint: Any

    def __init__(
        self,
        filters: int,
        rank: int,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: Any,
        dilation_rate: Any,
        activation: Any,
        recurrent_activation: Any,
        use_bias: bool,
        unit_forget_bias: bool,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        options = {f: kwargs.pop(f) for f in OPTIONS}
        # implementation 1: each gate has masks of its own
        super().__init__(
            filters,
            activation,
            recurrent_activation,
            use_bias,
            dropout,
            recurrent_dropout,
            seed,
            implementation=1,
            options=options,
            **kwargs,
        )
        self.rank, self.filters = rank, self.units
        self._setup(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.filters, self.filters]
        self._sizes: tuple[int, ...] = ()

    def build(self, input_shape: Any) -> None:
        if None in input_shape[1:-1]:
            raise ValueError(
                "ConvLSTM layers only support static input shapes for the spatial dimension. Received invalid"
                f" input shape: input_shape={input_shape}"
            )
        c, n = self._channels(input_shape), 4 * self.filters
        self._sizes = tuple([int(s or 0) for s in self._spatial(input_shape)])
        self.kernel = self._weight((*self.kernel_size, c, n), "kernel")
        self.recurrent_kernel = self._weight(
            (*self.kernel_size, self.filters, n), "recurrent_kernel", "recurrent"
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (n,),
                forget_bias(self.bias_initializer, self.filters)
                if self.unit_forget_bias
                else self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _input(self, x: Tensor, kernel: Tensor, bias: Any) -> Tensor:
        return self._convolve(x, kernel, bias, 1, "")

    def _recur(self, h: Tensor, kernel: Tensor, _: Any) -> Tensor:
        h, padding = padded(h, [same_padding(n, k, 1) for n, k in zip(h.shape[2:], self.kernel_size)])
        conv: Any = (F.conv1d, F.conv2d, F.conv3d)[self.rank - 1]
        y: Tensor = conv(h, kernel, None, 1, padding)
        return y

    def _gates(self, conv: Any, x: Tensor, kernel: Tensor, masks: Any, bias: Any = None) -> Tensor:
        """conv of x (N, *S, C), all gates at once, or each with its own mask: (N, *S', 4 filters)."""
        if masks is None:
            return to_last(conv(to_first(x), kernel_first(kernel), bias))
        parts = F.split(kernel, self.filters, -1)
        ys = [conv(to_first(x * m), kernel_first(w), None) for m, w in zip(masks, parts)]
        y = to_last(F.cat(ys, 1))
        return y if bias is None else y + bias

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> Any:  # type: ignore[override]
        h, c = states
        input_masks, state_masks = self._masks(inputs, h, training)
        z = self._gates(self._input, inputs, self.kernel, input_masks, self.bias)
        z = z + self._gates(self._recur, h, self.recurrent_kernel, state_masks)
        i, f, g, o = F.split(z, self.filters, -1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        h = self.recurrent_activation(o) * self.activation(c)
        return h, [h, c]

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        assert batch_size is not None
        shape = (batch_size, *self._sizes, self.filters)
        return [zeros(shape, self.dtype), zeros(shape, self.dtype)]

    def _own_config(self) -> dict[str, Any]:
        config = super()._own_config()
        del config["units"]
        names = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate")
        own = {n: serialize_any(getattr(self, n)) for n in names}
        return {**own, **config, "unit_forget_bias": self.unit_forget_bias}


class _ConvLSTM(_Named):
    rank: int
    _cell = ConvLSTMCell

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: Any = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        cell, layer = _split(locals())
        super().__init__(filters, {"rank": self.rank, **cell}, layer)
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def _loop(self, x: Tensor, states: Any, mask: Any, training: bool) -> tuple[Any, Any, Any]:
        return RNN._loop(self, x, states, mask, training)

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        batch, length, *step = sequences_shape
        state = (batch, *self.cell._spatial((batch, *step)), self.cell.filters)
        out = (batch, length, *state[1:]) if self.return_sequences else state
        return [out, state, state] if self.return_state else out


@layer_registry.add()
class ConvLSTM1D(_ConvLSTM):
    """An LSTM whose products are convolutions along one axis: x (N, T, L, C)."""

    rank = 1


@layer_registry.add()
class ConvLSTM2D(_ConvLSTM):
    """An LSTM whose products are convolutions of images: x (N, T, H, W, C) (Shi et al. 2015)."""

    rank = 2


@layer_registry.add()
class ConvLSTM3D(_ConvLSTM):
    """An LSTM whose products are convolutions of volumes: x (N, T, D, H, W, C)."""

    rank = 3
