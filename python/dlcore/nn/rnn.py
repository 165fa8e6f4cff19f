"""Recurrent layers and cells. One kernel call computes a layer's whole sequence, both directions at once."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, cast

from dlcore import functional as F
from dlcore.functional.rnn import Kind, Lengths, layer
from dlcore.nn import init
from dlcore.nn.module import Module, Parameter, empty_parameter, size
from dlcore.nn.utils.rnn import PackedSequence
from dlcore.tensor import DTypeLike, Tensor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_KINDS: dict[str, tuple[Kind, int]] = {  # mode -> the kernel's name, gates
    "LSTM": ("lstm", 4),
    "GRU": ("gru", 3),
    "RNN_TANH": ("rnn_tanh", 1),
    "RNN_RELU": ("rnn_relu", 1),
}


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _check_constructor(
    input_size: Any,
    hidden_size: Any,
    num_layers: Any,
    bias: Any,
    batch_first: Any,
    dropout: Any,
    proj_size: Any,
) -> None:
    if not _is_number(dropout) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a number in [0, 1], a probability, got {dropout!r}")
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            UserWarning,
            stacklevel=4,
        )
    for name, value, kind in (
        ("bias", bias, bool),
        ("batch_first", batch_first, bool),
        ("input_size", input_size, int),
        ("hidden_size", hidden_size, int),
        ("num_layers", num_layers, int),
        ("proj_size", proj_size, int),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be of type {kind.__name__}, got {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero, got {value}")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(f"proj_size must be smaller than hidden_size, and zero for none, got {proj_size}")


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, their names, checks, and the layers one after the other.

    Parameters of layer k: weight_ih_l{k} (G H, I), weight_hh_l{k} (G H, P), bias_ih_l{k} and bias_hh_l{k}
    (G H,), weight_hr_l{k} (P, H); those of the other direction end in _reverse. All are drawn from
    U(-1 / sqrt(H), 1 / sqrt(H)).
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        _check_constructor(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in _KINDS:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        rows, width = _KINDS[mode][1] * hidden_size, proj_size or hidden_size
        self._all_weights: list[list[str]] = []  # the names, a list a layer and direction
        for k in range(num_layers):
            for suffix in ("", "_reverse")[: self._directions]:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, width * self._directions if k else input_size),
                    "weight_hh": (rows, width),
                }
                if bias:
                    shapes["bias_ih"] = shapes["bias_hh"] = (rows,)
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = [f"{name}_l{k}{suffix}" for name in shapes]
                for name, shape in zip(names, shapes.values()):
                    self.register_parameter(name, empty_parameter(shape, dtype, device))
                self._all_weights.append(names)
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, a list a layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [w for weights in self.all_weights for w in weights]

    def flatten_parameters(self) -> None:
        """Nothing: the kernels take the parameters where they are."""

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _check_input(self, input: Tensor, packed: bool) -> None:
        weight = getattr(self, self._all_weights[0][0])
        if input.dtype != weight.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert input: input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        if input.ndim != (2 if packed else 3):
            raise RuntimeError(f"input must have {2 if packed else 3} dimensions, got {input.ndim}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. "
                f"Expected {self.input_size}, got {input.shape[-1]}"
            )

    def _check_states(self, states: list[Tensor], batch: int) -> None:
        widths = (self.proj_size or self.hidden_size, self.hidden_size)
        for i, (state, width) in enumerate(zip(states, widths)):
            expected = (self.num_layers * self._directions, batch, width)
            if state.shape != expected:
                name = f"hidden[{i}]" if self.mode == "LSTM" else "hidden"
                raise RuntimeError(f"Expected {name} size {expected}, got {list(state.shape)}")

    def _layers(
        self, x: Tensor, states: list[Tensor] | None, batch_sizes: Tensor | None, lengths: Lengths | None
    ) -> tuple[Tensor, list[Tensor]]:
        kind, D = _KINDS[self.mode][0], self._directions
        last: list[list[Tensor]] = []
        for k in range(self.num_layers):
            weights: list[Tensor | None] = []
            for names in self._all_weights[k * D : (k + 1) * D]:
                found = {name.partition("_l")[0]: getattr(self, name) for name in names}
                weights += [
                    found.get(n) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
                ]
            first = states
            if states is not None and self.num_layers > 1:
                first = [s.narrow(0, k * D, D) for s in states]
            h0, c0 = (*(first or []), None, None)[:2]
            x, h, c = layer(
                kind,
                x,
                h0,
                c0,
                weights,
                batch_sizes=batch_sizes,
                lengths=lengths,
                batch_first=self.batch_first and batch_sizes is None,
            )
            last.append([h] if c is None else [h, c])
            if self.dropout and self.training and k + 1 < self.num_layers:
                x = F.dropout(x, self.dropout)
        return x, last[0] if len(last) == 1 else [F.cat(parts, 0) for parts in zip(*last)]

    def _run(
        self, input: Tensor | PackedSequence, states: list[Tensor] | None, lengths: Lengths | None
    ) -> tuple[Tensor | PackedSequence, list[Tensor]]:
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError(f"{self._get_name()}: a PackedSequence has its own lengths")
            x, batch_sizes, sorted_indices, unsorted_indices = input
            self._check_input(x, True)
            if states is not None:
                self._check_states(states, int(batch_sizes.array.numpy()[0]))
                if sorted_indices is not None:
                    states = [s.index_select(1, sorted_indices) for s in states]
            y, last = self._layers(x, states, batch_sizes, None)
            if unsorted_indices is not None:
                last = [s.index_select(1, unsorted_indices) for s in last]
            return PackedSequence(y, batch_sizes, sorted_indices, unsorted_indices), last
        if input.ndim not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        batched, batch_dim = input.ndim == 3, 0 if self.batch_first else 1
        if states is not None and any(s.ndim != input.ndim for s in states):
            raise RuntimeError(
                f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, the states must also be "
                f"{input.ndim}-D, got {', '.join(f'{s.ndim}-D' for s in states)}"
            )
        if not batched:
            input = input.unsqueeze(batch_dim)
            states = None if states is None else [s.unsqueeze(1) for s in states]
        self._check_input(input, False)
        if states is not None:
            self._check_states(states, input.shape[batch_dim])
        if input.shape[1 - batch_dim] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        y, last = self._layers(input, states, None, lengths)
        if not batched:
            y, last = y.squeeze(batch_dim), [s.squeeze(1) for s in last]
        return y, last

    def extra_repr(self) -> str:
        s = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0),
            ("bidirectional", False),
        ):  # fmt: skip
            if getattr(self, name) != default:
                s += f", {name}={getattr(self, name)}"
        return s


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu with nonlinearity="relu": Elman's network.

    RNN(input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True, batch_first=False, dropout=0.0,
    bidirectional=False, device=None, dtype=None). Called with (input, hx=None, *, lengths=None): input
    (T, B, I), (B, T, I) with `batch_first`, (T, I), or a PackedSequence; hx (D layers, B, H) or zeros. Gives
    (output, h_n), output (T, B, D H) lying as the input does, h_n (D layers, B, H). `dropout` acts between
    layers.

    `lengths` (B,), in any order and without packing: beyond a sample's length nothing is read, output is 0
    and h_n is the state of its last step.

    Raises RuntimeError for sizes that do not match, ValueError for bad constructor arguments and dtypes.

    >>> import dlcore
    >>> output, h_n = dlcore.nn.RNN(10, 20, 2)(dlcore.randn(5, 3, 10))
    >>> output.shape, h_n.shape
    ((5, 3, 20), (2, 3, 20))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity, args = args[3], args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None, *, lengths: Lengths | None = None
    ) -> tuple[Any, Tensor]:
        output, (h,) = self._run(input, None if hx is None else [hx], lengths)
        return output, h

    if TYPE_CHECKING:
        __call__ = forward


class GRU(RNNBase):
    """r, z = σ(·), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h.

    GRU(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False,
    device=None, dtype=None); the weights' rows are the gates r, z, n. The rest as RNN.

    K. Cho et al. (EMNLP 2014); the reset gate acts after the recurrent product.

    >>> import dlcore
    >>> output, h_n = dlcore.nn.GRU(10, 20, bidirectional=True, batch_first=True)(dlcore.randn(3, 5, 10))
    >>> output.shape, h_n.shape
    ((3, 5, 40), (2, 3, 20))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None, *, lengths: Lengths | None = None
    ) -> tuple[Any, Tensor]:
        output, (h,) = self._run(input, None if hx is None else [hx], lengths)
        return output, h

    if TYPE_CHECKING:
        __call__ = forward


class LSTM(RNNBase):
    """i, f, o = σ(·), g = tanh(·) of W_ih x + b_ih + W_hh h + b_hh; c' = f c + i g; h' = o tanh c'.

    LSTM(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
    bidirectional=False, proj_size=0, device=None, dtype=None); the weights' rows are the gates i, f, g, o.
    hx is (h_0, c_0), the result (output, (h_n, c_n)). With proj_size P, h' = W_hr (o tanh c') is P wide. The
    rest as RNN.

    S. Hochreiter, J. Schmidhuber (Neural Computation, 1997); H. Sak et al. (2014) for the projection.

    >>> import dlcore
    >>> output, (h_n, c_n) = dlcore.nn.LSTM(10, 20, proj_size=5)(dlcore.randn(7, 3, 10))
    >>> output.shape, h_n.shape, c_n.shape
    ((7, 3, 5), (1, 3, 5), (1, 3, 20))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
            raise RuntimeError(f"LSTM: hx must be a pair (h_0, c_0), got {type(hx).__name__}")
        output, (h, c) = self._run(input, None if hx is None else list(hx), lengths)
        return output, (h, c)

    if TYPE_CHECKING:
        __call__ = forward


class RNNCellBase(Module):
    """What the cells share: weight_ih (G H, I), weight_hh (G H, H), bias_ih and bias_hh (G H,), all drawn
    from U(-1 / sqrt(H), 1 / sqrt(H)).
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.input_size = size(self._get_name(), "input_size", input_size)
        self.hidden_size = size(self._get_name(), "hidden_size", hidden_size)
        self.bias = bias
        rows = num_chunks * self.hidden_size
        self.weight_ih = empty_parameter((rows, self.input_size), dtype, device)
        self.weight_hh = empty_parameter((rows, self.hidden_size), dtype, device)
        if bias:
            self.bias_ih = empty_parameter((rows,), dtype, device)
            self.bias_hh = empty_parameter((rows,), dtype, device)
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _check(self, input: Tensor, hx: tuple[Tensor, ...]) -> None:
        name = self._get_name()
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {input.shape[-1]} expected {self.input_size}"
            )
        for i, h in enumerate(hx):
            if h.ndim not in (1, 2):
                raise ValueError(f"{name}: Expected hx[{i}] to be 1D or 2D, got {h.ndim}D instead")
            if h.shape[:-1] != input.shape[:-1]:
                raise RuntimeError(
                    f"Input {input.shape} doesn't match hidden{i} {h.shape}: the batches differ"
                )
            if h.shape[-1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {h.shape[-1]}, expected {self.hidden_size}"
                )

    @property
    def _weights(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def extra_repr(self) -> str:
        s = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            s += f", nonlinearity={cast(Any, self).nonlinearity}"
        return s


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu with nonlinearity="relu"; one step.

    input (B, I) or (I,), hx (B, H) or (H,) or zeros -> h' as hx.

    >>> import dlcore
    >>> dlcore.nn.RNNCell(10, 20)(dlcore.randn(3, 10)).shape
    (3, 20)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        cells = {"tanh": F.rnn_tanh_cell, "relu": F.rnn_relu_cell}
        if self.nonlinearity not in cells:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        self._check(input, () if hx is None else (hx,))
        return cells[self.nonlinearity](input, hx, *self._weights)

    if TYPE_CHECKING:
        __call__ = forward


class LSTMCell(RNNCellBase):
    """One step of an LSTM: (h', c') from input (B, I) or (I,) and hx, a pair of (B, H) or (H,), or zeros.

    >>> import dlcore
    >>> h, c = dlcore.nn.LSTMCell(10, 20)(dlcore.randn(3, 10))
    >>> h.shape, c.shape
    ((3, 20), (3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
            raise TypeError(f"LSTMCell: hx must be a pair (h_0, c_0), got {type(hx).__name__}")
        self._check(input, () if hx is None else tuple(hx))
        return F.lstm_cell(input, hx, *self._weights)

    if TYPE_CHECKING:
        __call__ = forward


class GRUCell(RNNCellBase):
    """One step of a GRU: h' from input (B, I) or (I,) and hx (B, H) or (H,), or zeros.

    >>> import dlcore
    >>> dlcore.nn.GRUCell(10, 20)(dlcore.randn(10)).shape
    (20,)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check(input, () if hx is None else (hx,))
        return F.gru_cell(input, hx, *self._weights)

    if TYPE_CHECKING:
        __call__ = forward
