"""Recurrent layers: x (N, T, in) -> (N, units), or (N, T, units) with `return_sequences`.

LSTM, GRU and SimpleRNN in their usual form run as one kernel over the whole sequence; what the kernel does
not do (other activations, recurrent dropout, masks with holes, cells of one's own) goes step by step through
the cell. A masked step leaves the states as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.autograd import no_grad
from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.base import InputSpec, Layer, layer_registry, to_float, to_tensor
from dlcore.keras.layers.cells import (
    Cell,
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
    cell_initial_state,
    cell_output_size,
)
from dlcore.keras.layers.fused_rnn import fused
from dlcore.keras.variable import Variable
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves, tree_map

__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]


@layer_registry.add()
class RNN(Layer):
    """A cell, or a stack of them, along time."""

    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        if not hasattr(cell, "call"):
            raise ValueError(f"Argument `cell` should have a `call` method. Received: cell={cell}")
        if not hasattr(cell, "state_size"):
            raise ValueError(
                "The RNN cell should have a `state_size` attribute (single integer or list of integers, one "
                f"integer per RNN state). Received: cell={cell}"
            )
        super().__init__(**kwargs)
        self.zero_output_for_mask = zero_output_for_mask
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.states: Any = None
        self._batch_size: int | None = None
        size = cell.state_size
        self.state_size = [size] if isinstance(size, int) else list(size)

    @property
    def _states_are_nested(self) -> bool:
        return isinstance(self.cell.state_size, (list, tuple))

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        batch, length = sequences_shape[:2]
        n = cell_output_size(self.cell)
        out = (batch, length, n) if self.return_sequences else (batch, n)
        if not self.return_state:
            return out
        states = [(batch, s) if isinstance(s, int) else [(batch, k) for k in s] for s in self.state_size]
        return [out, *states]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        masks = [previous_mask] if isinstance(previous_mask, Tensor) else tree_leaves(previous_mask)
        out = masks[0] if self.return_sequences and masks else None
        return [out, *[None] * len(self.state_size)] if self.return_state else out

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        if isinstance(self.cell, Layer) and not self.cell.built:
            step = (sequences_shape[0], *sequences_shape[2:])
            self.cell._ensure_built({self.cell._signature.build[0]: step})

    def get_initial_state(self, batch_size: int) -> list[Any]:
        states = cell_initial_state(self.cell, batch_size, self.dtype)
        return list(states) if isinstance(states, (list, tuple)) else [states]

    def reset_state(self) -> None:
        """Zeros for the kept states of a `stateful` layer."""
        for v in tree_leaves(self.states):
            v.assign(np.zeros(v.shape, v.dtype))

    def reset_states(self) -> None:
        self.reset_state()

    def _starting(self, n: int) -> list[Any]:
        if not self.stateful:
            return self.get_initial_state(n)
        if self.states is None:
            self._batch_size = n

            def variable(t: Tensor) -> Variable:
                return Variable(t.detach().numpy(), trainable=False, dtype=self.dtype, name="rnn_state")

            self.states = tree_map(variable, self.get_initial_state(n))
        if n != self._batch_size:
            raise ValueError(
                "If an RNN is stateful, the batch size of the input sequences must be the same as the batch"
                f" size of the initial state. \n- Expected batch size: {self._batch_size}\n- Received batch"
                f" size: {n}"
            )
        return list(self.states)

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        x = to_float(sequences, self.dtype)
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        if mask is not None and mask.dtype != np.bool_:
            mask = mask != 0
        if initial_state is None:
            states = self._starting(x.shape[0])
        else:
            states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        states = tree_map(lambda s: to_tensor(s, self.dtype), states)
        if x.shape[1] == 0:
            raise ValueError(
                f"{self.name}: {type(self).__name__} needs at least one step, got shape {x.shape}"
            )
        last, outputs, states = self._loop(x, states, mask, training)
        for cell in getattr(self.cell, "cells", [self.cell]):
            if isinstance(cell, Cell):
                cell.reset_dropout_mask()
                cell.reset_recurrent_dropout_mask()
        if self.stateful and self.states is not None:
            with no_grad():
                for kept, s in zip(tree_leaves(self.states), tree_leaves(states)):
                    kept.assign(s.detach())
        out = outputs if self.return_sequences else last
        return [out, *states] if self.return_state else out

    def _loop(self, x: Tensor, states: Any, mask: Any, training: bool) -> tuple[Any, Any, Any]:
        """(last output, all outputs or None, states)."""
        kwargs = {}
        if isinstance(self.cell, Layer) and self.cell._call_takes_training:
            kwargs["training"] = training
        steps = list(F.unbind(x, 1))
        kept: Any = [None] * len(steps)
        if mask is not None:
            kept = list(F.unbind(mask, 1))
        if self.go_backwards:
            steps.reverse()
            kept.reverse()
        outputs = []
        y: Any = None
        for x_t, m in zip(steps, kept):
            y, new = self.cell(x_t, states, **kwargs)
            if not isinstance(new, (list, tuple)):
                new = [new]
            if m is not None:
                # The last cell's first state is the output before this step.
                before = states[-1][0] if isinstance(states[0], (list, tuple)) else states[0]
                y = _chosen(m, y, y * 0.0 if self.zero_output_for_mask else before)
                old = iter(tree_leaves(states))
                new = tree_map(lambda s: _chosen(m, s, next(old)), list(new))  # noqa: B023
            states = list(new)
            if self.return_sequences:
                outputs.append(y)
        return y, F.stack(outputs, 1) if self.return_sequences else None, states

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
            "cell": serialize_any(self.cell),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        return cls(layer_registry.from_config(config.pop("cell")), **config)


def _chosen(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the mask is True, else b; mask (N,)."""
    m = mask.reshape(mask.shape[0], *[1] * (a.ndim - 1))
    y: Tensor = F.where(m, a, b)
    return y


class _Named(RNN):
    """A layer that makes its own cell: the cell's options are its own."""

    _cell: type[Cell]

    def __init__(self, units: int, cell_kwargs: dict[str, Any], kwargs: dict[str, Any]) -> None:
        own = {k: kwargs.pop(k) for k in ("implementation",) if k in kwargs}
        from dlcore.keras._registry import snake_case

        cell = self._cell(
            units,
            **cell_kwargs,
            **own,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name={"LSTMCell": "lstm_cell", "GRUCell": "gru_cell"}.get(
                self._cell.__name__, snake_case(self._cell.__name__)
            ),
        )
        super().__init__(cell, **kwargs)
        self.input_spec = InputSpec(ndim=3)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_CELL and "cell" in self.__dict__:
            return getattr(self.cell, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _loop(self, x: Tensor, states: Any, mask: Any, training: bool) -> tuple[Any, Any, Any]:
        found = fused(self, x, states, mask, training)
        return super()._loop(x, states, mask, training) if found is None else found

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        return {
            **config,
            **self.cell._own_config(),
            "activity_regularizer": serialize_any(self.activity_regularizer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


_OF_THE_CELL = {
    "units",
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "activation",
    "recurrent_activation",
    "use_bias",
    "unit_forget_bias",
    "reset_after",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
    "dropout",
    "recurrent_dropout",
    "implementation",
    "seed",
}
_GIVEN_APART = ("units", "filters", "implementation")
_OF_THE_LAYER = (
    "activity_regularizer",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
)


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A constructor's arguments: the cell's, and the layer's."""
    cell = {k: v for k, v in given.items() if k in _OF_THE_CELL and k not in _GIVEN_APART}
    layer = {k: v for k, v in given.items() if k in _OF_THE_LAYER}
    return cell, {**layer, **given["kwargs"]}


@layer_registry.add()
class SimpleRNN(_Named):
    """h_t = activation(x_t W + h_{t-1} U + b): kernel (in, units), recurrent kernel (units, units), bias
    (units,)."""

    _cell = SimpleRNNCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, *_split(locals()))


@layer_registry.add()
class LSTM(_Named):
    """Long short-term memory: kernel (in, 4 units), recurrent kernel (units, 4 units), bias (4 units,), the
    gates in the order i, f, c, o."""

    _cell = LSTMCell

    def __init__(
        self,
        units: int,
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
        unroll: bool = False,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, *_split(locals()))


@layer_registry.add()
class GRU(_Named):
    """Gated recurrent units: kernel (in, 3 units), recurrent kernel (units, 3 units), bias (2, 3 units) with
    `reset_after`, else (3 units,), the gates in the order z, r, h."""

    _cell = GRUCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
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
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, *_split(locals()))
