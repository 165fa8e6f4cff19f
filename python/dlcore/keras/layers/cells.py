"""Cells: one step of a recurrent layer, (inputs, states) -> (output, states)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras import initializers
from dlcore.keras._random import SeedGenerator
from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.base import Layer, layer_registry, to_tensor
from dlcore.keras.layers.common import positive
from dlcore.tensor import Tensor

__all__ = ["Cell", "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]

OPTIONS = (
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
)


def zeros(shape: tuple[int, ...], dtype: str) -> Tensor:
    out: Tensor = to_tensor(np.zeros(shape, dtype), dtype)
    return out


class Cell(Layer):
    """Weights, dropout and states of the cells with `units`."""

    gates = 1
    state_size: Any
    activation: Any
    recurrent_activation: Any

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        implementation: int = 2,
        *,
        options: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive(type(self).__name__, "units", units)
        self.use_bias = bool(use_bias)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        # With recurrent dropout each gate has masks of its own.
        self.implementation = 1 if self.recurrent_dropout and self.gates > 1 else implementation
        self._keep(activation=activation, recurrent_activation=recurrent_activation, **options)
        self.state_size = self.units
        self.output_size = self.units
        self.kernel: Any = None
        self.recurrent_kernel: Any = None
        self.bias: Any = None
        self._input_mask: Any = None
        self._state_mask: Any = None

    def build(self, input_shape: Any) -> None:
        n = input_shape[-1]
        if n is None:
            raise ValueError(
                f"{self.name}: the last axis of the inputs must be known, got shape {input_shape}"
            )
        g = self.gates * self.units
        self.kernel = self._weight((n, g), "kernel")
        self.recurrent_kernel = self._weight((self.units, g), "recurrent_kernel", "recurrent")
        if self.use_bias:
            self.bias = self._make_bias()

    def _make_bias(self) -> Any:
        return self._weight((self.gates * self.units,), "bias")

    # ---- dropout: the same mask at each step of a sequence ----

    def _draw(self, like: Tensor, rate: float) -> list[Tensor]:
        n = self.gates if self.implementation == 1 else 1
        ones = to_tensor(np.ones(like.shape, like.dtype), like.dtype.name)
        return [F.dropout(ones, rate, True, rng=self.seed_generator._own) for _ in range(n)]

    def get_dropout_mask(self, step_input: Tensor) -> Any:
        if self._input_mask is None and self.dropout > 0:
            self._input_mask = self._draw(step_input, self.dropout)
        return self._input_mask

    def get_recurrent_dropout_mask(self, state: Tensor) -> Any:
        if self._state_mask is None and self.recurrent_dropout > 0:
            self._state_mask = self._draw(state, self.recurrent_dropout)
        return self._state_mask

    def reset_dropout_mask(self) -> None:
        self._input_mask = None

    def reset_recurrent_dropout_mask(self) -> None:
        self._state_mask = None

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        assert batch_size is not None
        return [zeros((batch_size, self.units), self.dtype)]

    def _times(self, x: Tensor, weight: Tensor, masks: Any, bias: Any = None) -> Tensor:
        """x W (+ b), x masked for each gate by its own mask where there are several."""
        if masks is not None and len(masks) == 1:
            x = x * masks[0]
        if masks is None or len(masks) == 1:
            return F.linear(x, weight.transpose(0, 1), bias)
        parts = F.split(weight, self.units, 1)
        y = F.cat([F.matmul(x * m, w) for m, w in zip(masks, parts)], -1)
        return y if bias is None else y + bias

    def _masks(self, inputs: Tensor, state: Tensor, training: bool) -> tuple[Any, Any]:
        first = self.get_dropout_mask(inputs) if training and 0 < self.dropout < 1 else None
        second = (
            self.get_recurrent_dropout_mask(state) if training and 0 < self.recurrent_dropout < 1 else None
        )
        return first, second

    def _own_config(self) -> dict[str, Any]:
        config = {
            "units": self.units,
            "activation": serialize_any(self.activation),
            "use_bias": self.use_bias,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
            **{f: serialize_any(getattr(self, f)) for f in OPTIONS},
        }
        if self.gates > 1:
            config["recurrent_activation"] = serialize_any(self.recurrent_activation)
        return config

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._own_config()}


@layer_registry.add()
class SimpleRNNCell(Cell):
    """h' = activation(x W + h U + b)."""

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        given = locals()
        super().__init__(
            units,
            activation,
            None,
            use_bias,
            dropout,
            recurrent_dropout,
            seed,
            options={f: given[f] for f in OPTIONS},
            **kwargs,
        )

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> Any:  # type: ignore[override]
        nested = isinstance(states, (list, tuple))
        h = states[0] if nested else states
        input_masks, state_masks = self._masks(inputs, h, training)
        y = self._times(inputs, self.kernel, input_masks, self.bias)
        y = self.activation(y + self._times(h, self.recurrent_kernel, state_masks))
        return y, [y] if nested else y


@layer_registry.add()
class LSTMCell(Cell):
    """i, f, g, o = x W + h U + b;  c' = s(f) c + s(i) a(g);  h' = s(o) a(c') (Hochreiter, Schmidhuber
    1997)."""

    gates = 4

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        given = locals()
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            dropout,
            recurrent_dropout,
            seed,
            options={f: given[f] for f in OPTIONS},
            **kwargs,
        )
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.units, self.units]

    def _make_bias(self) -> Any:
        return self.add_weight(
            (4 * self.units,),
            (
                forget_bias(self.bias_initializer, self.units)
                if self.unit_forget_bias
                else self.bias_initializer
            ),
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
            name="bias",
        )

    bias_initializer: Any
    bias_regularizer: Any
    bias_constraint: Any

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> Any:  # type: ignore[override]
        h, c = states
        input_masks, state_masks = self._masks(inputs, h, training)
        z = self._times(inputs, self.kernel, input_masks, self.bias)
        z = z + self._times(h, self.recurrent_kernel, state_masks)
        i, f, g, o = F.split(z, self.units, -1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        h = self.recurrent_activation(o) * self.activation(c)
        return h, [h, c]

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        return [*super().get_initial_state(batch_size), *super().get_initial_state(batch_size)]

    def _own_config(self) -> dict[str, Any]:
        return {**super()._own_config(), "unit_forget_bias": self.unit_forget_bias}


def forget_bias(rest: Any, n: int) -> Any:
    """Ones for the forget gate, `rest` for the others."""

    def make(shape: Any, dtype: Any = np.float32) -> Any:
        ones = initializers.Ones()((n,), dtype)
        return np.concatenate([rest((n,), dtype), ones, rest((2 * n,), dtype)])

    return make


@layer_registry.add()
class GRUCell(Cell):
    """z, r = s(x W + h U + b);  h' = z h + (1 - z) a(x W_h + r (h U_h)) (Cho et al. 2014).

    With `reset_after` the reset gate acts on the product, which has a bias of its own: bias (2, 3 units).
    Else on the state: a(x W_h + (r h) U_h), bias (3 units,).
    """

    gates = 3

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        given = locals()
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            dropout,
            recurrent_dropout,
            seed,
            options={f: given[f] for f in OPTIONS},
            **kwargs,
        )
        self.reset_after = reset_after

    def _make_bias(self) -> Any:
        n = 3 * self.units
        return self._weight((2, n) if self.reset_after else (n,), "bias")

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> Any:  # type: ignore[override]
        nested = isinstance(states, (list, tuple))
        h = states[0] if nested else states
        input_masks, state_masks = self._masks(inputs, h, training)
        n = self.units
        both = self.bias is not None and self.reset_after
        input_bias = self.bias[0] if both else self.bias
        x = self._times(inputs, self.kernel, input_masks, input_bias)
        if self.reset_after:
            inner = self._times(h, self.recurrent_kernel, state_masks, self.bias[1] if both else None)
            (xz, xr, xh), (hz, hr, hh) = F.split(x, n, -1), F.split(inner, n, -1)
            z, r = self.recurrent_activation(xz + hz), self.recurrent_activation(xr + hr)
            candidate = self.activation(xh + r * hh)
        else:
            uz, ur, uh = F.split(self.recurrent_kernel, n, 1)
            hs = [h * m for m in state_masks] if state_masks is not None else [h] * 3
            hs = hs * 3 if len(hs) == 1 else hs
            xz, xr, xh = F.split(x, n, -1)
            z = self.recurrent_activation(xz + F.matmul(hs[0], uz))
            r = self.recurrent_activation(xr + F.matmul(hs[1], ur))
            candidate = self.activation(xh + F.matmul(r * hs[2], uh))
        y = z * h + (1.0 - z) * candidate
        return y, [y] if nested else y

    def _own_config(self) -> dict[str, Any]:
        return {**super()._own_config(), "reset_after": self.reset_after}


@layer_registry.add()
class StackedRNNCells(Layer):
    """Cells one upon another, as one cell."""

    def __init__(self, cells: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for cell in cells:
            for name in ("call", "state_size"):
                if not hasattr(cell, name):
                    raise ValueError(f"All cells must have a `{name}`. Received a cell without: {cell}")
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        return [c.state_size for c in self.cells]

    @property
    def output_size(self) -> int:
        return cell_output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        return [cell_initial_state(c, batch_size, self.dtype) for c in self.cells]

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell._ensure_built({cell._signature.build[0]: tuple(input_shape)})
            input_shape = (input_shape[0], cell_output_size(cell))

    def call(  # type: ignore[override]
        self, inputs: Any, states: Any, training: bool = False, **kwargs: Any
    ) -> Any:
        new: list[Any] = []
        for cell, state in zip(self.cells, states):
            nested = isinstance(state, (list, tuple))
            given = dict(kwargs)
            if isinstance(cell, Layer) and cell._call_takes_training:
                given["training"] = training
            inputs, after = cell(inputs, list(state) if nested else [state], **given)
            if not nested and isinstance(after, (list, tuple)) and len(after) == 1:
                after = after[0]
            new.append(after)
        return inputs, new

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": [serialize_any(c) for c in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        return cls([layer_registry.from_config(c) for c in config.pop("cells")], **config)


def cell_output_size(cell: Any) -> int:
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
    return int(size)


def cell_initial_state(cell: Any, batch_size: Any, dtype: str) -> Any:
    make = getattr(cell, "get_initial_state", None)
    if make is not None:
        return make(batch_size=batch_size)
    if isinstance(cell.state_size, int):
        return zeros((batch_size, cell.state_size), dtype)
    return [zeros((batch_size, n), dtype) for n in cell.state_size]
