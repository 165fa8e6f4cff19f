"""Layers around a layer: both directions of time, each step of time, unit spectral norm."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from dlcore import functional as F
from dlcore.keras import initializers
from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.base import Layer, layer_registry
from dlcore.keras.layers.core import Wrapper
from dlcore.keras.layers.norm import BatchNormalization
from dlcore.tensor import Tensor

__all__ = ["Bidirectional", "SpectralNormalization", "TimeDistributed"]


@layer_registry.add()
class Bidirectional(Layer):
    """A recurrent layer in both directions of time; `merge_mode` "concat", "sum", "mul", "ave" or None
    (both)."""

    supports_masking = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                "Please initialize `Bidirectional` layer with a `keras.layers.Layer` instance. Received: "
                f"{layer}"
            )
        given = cast(Any, backward_layer)
        if not isinstance(backward_layer, (Layer, type(None))):
            raise ValueError(
                f"`backward_layer` need to be a `keras.layers.Layer` instance. Received: {backward_layer}"
            )
        if merge_mode not in ("sum", "mul", "ave", "concat", None):
            raise ValueError(
                f"Invalid merge mode. Received: {merge_mode}. Merge mode should be one of "
                '{"sum", "mul", "ave", "concat", None}'
            )
        super().__init__(**kwargs)
        if self._input_shape_arg is None:
            self._input_shape_arg = layer._input_shape_arg

        def remade(direction: str, backwards: bool | None) -> Any:
            config = layer.get_config()
            config["name"] = f"{direction}_{layer.name.removeprefix(direction + '_')}"
            if backwards is not None:
                config["go_backwards"] = backwards
            return type(layer).from_config(config)

        self.forward_layer: Any = remade("forward", None)
        self.backward_layer: Any = remade("backward", True)
        if given is not None:
            self.backward_layer = given
        if self.forward_layer.go_backwards == self.backward_layer.go_backwards:
            raise ValueError(
                "Forward layer and backward layer should have different `go_backwards` value. Received: "
                f"forward_layer.go_backwards {self.forward_layer.go_backwards}, "
                f"backward_layer.go_backwards={self.backward_layer.go_backwards}"
            )
        for a in ("stateful", "return_sequences", "return_state"):
            one, two = getattr(self.forward_layer, a), getattr(self.backward_layer, a)
            if one != two:
                raise ValueError(
                    "Forward layer and backward layer are expected to have the same value for attribute"
                    f' "{a}", got "{one}" for forward layer and "{two}" for backward layer'
                )
        for side in (self.forward_layer, self.backward_layer):
            if getattr(side, "zero_output_for_mask", None) is not None:
                side.zero_output_for_mask = side.return_sequences
        self.merge_mode = merge_mode
        self._given = weights
        one = self.forward_layer
        self.stateful, self.return_sequences = one.stateful, one.return_sequences
        self.return_state = one.return_state
        self.input_spec = layer.input_spec

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        for side in (self.forward_layer, self.backward_layer):
            if not side.built:
                side._ensure_built({side._signature.build[0]: tuple(sequences_shape)})
        if self._given:
            n = len(self._given)
            self.forward_layer.set_weights(self._given[: n // 2])
            self.backward_layer.set_weights(self._given[n // 2 :])
            self._given = None

    def _sublayers(self) -> list[Layer]:
        return [self.forward_layer, self.backward_layer]

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Any = None, training: bool | None = None
    ) -> Any:
        kwargs: dict[str, Any] = {}
        if self.forward_layer._call_takes_training:
            kwargs["training"] = training
        if mask is not None:
            kwargs["mask"] = mask
        first, second = dict(kwargs), dict(kwargs)
        if initial_state is not None:
            half = len(initial_state) // 2
            first["initial_state"], second["initial_state"] = initial_state[:half], initial_state[half:]
        y, y_rev = self.forward_layer(sequences, **first), self.backward_layer(sequences, **second)
        states: list[Any] = []
        if self.return_state:
            states = [*y[1:], *y_rev[1:]]
            y, y_rev = y[0], y_rev[0]
        if self.return_sequences:
            y_rev = F.flip(y_rev, 1)
        out: Any = [y, y_rev]
        if self.merge_mode == "concat":
            out = F.cat([y, y_rev], -1)
        elif self.merge_mode == "sum":
            out = y + y_rev
        elif self.merge_mode == "ave":
            out = (y + y_rev) * 0.5
        elif self.merge_mode == "mul":
            out = y * y_rev
        if self.return_state:
            return [*out, *states] if self.merge_mode is None else [out, *states]
        return out

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        out = self.forward_layer.compute_output_shape(sequences_shape)
        states: list[Any] = []
        if self.return_state:
            out, *states = out
        merged: Any = tuple(out)
        if self.merge_mode == "concat":
            merged = (*out[:-1], out[-1] * 2)
        elif self.merge_mode is None:
            merged = [tuple(out), tuple(out)]
        if self.return_state:
            return [*merged, *states, *states] if self.merge_mode is None else [merged, *states, *states]
        return merged

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = previous_mask[0] if isinstance(previous_mask, list) else previous_mask
        one = mask if self.return_sequences else None
        out = [one] if self.merge_mode else [one, one]
        if self.return_state:
            out += [None] * (2 * len(self.forward_layer.state_size))
        return out

    def reset_state(self) -> None:
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        self.reset_state()

    @property
    def states(self) -> Any:
        one, two = self.forward_layer.states, self.backward_layer.states
        return None if not one or not two else (*one, *two)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialize_any(self.forward_layer),
            "backward_layer": serialize_any(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        layer = layer_registry.from_config(config.pop("layer"))
        backward = config.pop("backward_layer", None)
        return cls(
            layer, backward_layer=None if backward is None else layer_registry.from_config(backward), **config
        )


@layer_registry.add()
class TimeDistributed(Wrapper):
    """A layer at each step of time: x (N, T, ...) -> (N, T, ...)."""

    supports_masking = True

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                "Please initialize `TimeDistributed` layer with a `keras.layers.Layer` instance. Received: "
                f"{layer}"
            )
        super().__init__(layer, **kwargs)

    def _child(self, shape: Any) -> tuple[Any, ...]:
        if not isinstance(shape, (tuple, list)) or len(shape) < 3:
            raise ValueError(
                "`TimeDistributed` Layer should be passed an `input_shape ` with at least 3 dimensions,"
                f" received: {shape}"
            )
        return (shape[0], *shape[2:])

    def build(self, input_shape: Any = None) -> None:
        super().build(self._child(input_shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        out = self.layer.compute_output_shape(self._child(input_shape))
        return (out[0], input_shape[1], *out[1:])

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Any:
        self._child(inputs.shape)
        if mask is not None and (mask.ndim < 2 or mask.shape[:2] != inputs.shape[:2]):
            raise ValueError(
                f"The `mask` passed to the `TimeDistributed` layer has a shape {mask.shape} that is"
                f" incompatible with the input shape {inputs.shape}. The first two dimensions of the mask"
                " (batch size and timesteps) must match the input's first two dimensions."
            )
        sig = self.layer._signature
        kwargs: dict[str, Any] = {"training": training} if sig.training else {}
        inner_mask = mask is not None and sig.mask
        n, t = inputs.shape[:2]
        by_step = any(isinstance(x, BatchNormalization) for x in self.layer._walk())
        if t == 0 or (not by_step and not inner_mask):
            # All steps at once: each is a sample of its own.
            y = self.layer(inputs.reshape(n * t, *inputs.shape[2:]), **kwargs)
            return y.reshape(n, t, *y.shape[1:])
        steps = []
        for i, x in enumerate(F.unbind(inputs, 1)):
            given = {**kwargs, "mask": mask[:, i]} if inner_mask else kwargs
            steps.append(self.layer(x, **given))
        return F.stack(steps, 1)


@layer_registry.add()
class SpectralNormalization(Wrapper):
    """In training the kernel is divided by its largest singular value, found by power iteration (Miyato et
    al. 2018)."""

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if power_iterations <= 0:
            raise ValueError(
                "`power_iterations` should be greater than zero. Received: "
                f"`power_iterations={power_iterations}`"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        kernel = getattr(self.layer, "kernel", None)
        if kernel is None:
            kernel = getattr(self.layer, "embeddings", None)
        if kernel is None:
            raise ValueError(f"{type(self.layer).__name__} object has no attribute 'kernel' nor 'embeddings'")
        self.kernel = kernel
        self.vector_u = self.add_weight(
            (1, kernel.shape[-1]),
            initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
            name="vector_u",
        )

    def call(self, inputs: Tensor, training: bool = False) -> Any:
        if training:
            w = self.kernel.values()
            if np.any(w):
                self._normalize(w)
        return self.layer(inputs)

    def _normalize(self, w: Any) -> None:
        flat = w.reshape(-1, w.shape[-1])
        u = self.vector_u.values()
        for _ in range(self.power_iterations):
            v = _unit(u @ flat.T)
            u = _unit(v @ flat)
        sigma = (v @ flat @ u.T).item()
        self.vector_u.assign(u)
        w /= np.asarray(sigma, w.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _unit(x: Any) -> Any:
    return x / np.sqrt(np.maximum(np.sum(np.square(x)), 1e-12))
