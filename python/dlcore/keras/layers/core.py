"""Dense, EinsumDense, Embedding, Masking, Identity, Lambda, Wrapper."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras import activations
from dlcore.keras._registry import deserialize_any, serialize_any
from dlcore.keras.layers.base import Layer, layer_registry, to_float, to_tensor
from dlcore.keras.layers.common import Elementwise, positive
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_map

__all__ = [
    "Dense",
    "EinsumDense",
    "Embedding",
    "Identity",
    "Lambda",
    "Masking",
    "ReversibleEmbedding",
    "Wrapper",
]

_DENSE = (
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "bias_constraint",
)


def refuse(layer: str, **options: Any) -> None:
    """Options of Keras that dlcore does not have."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{layer}: {name} is not supported, got {value!r}")


@layer_registry.add()
class Dense(Layer):
    """y = activation(x W + b): x (..., in) -> (..., units); kernel (in, units), bias (units,)."""

    _fields = ("units", "activation", "use_bias", *_DENSE)
    min_ndim = 2
    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse("Dense", lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = positive("Dense", "units", units)
        self.use_bias = bool(use_bias)
        self._keep(
            activation=activation,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.kernel: Any = None
        self.bias: Any = None

    activation: Any

    def build(self, input_shape: Any) -> None:
        n = input_shape[-1]
        if n is None:
            raise ValueError(
                f"{self.name}: Dense needs to know the last axis of its input, got shape {input_shape}"
            )
        self.kernel = self._weight((n, self.units), "kernel")
        if self.use_bias:
            self.bias = self._weight((self.units,), "bias")

    def call(self, inputs: Tensor) -> Any:
        fused = activations.FUSED.get(self.activation)
        y = F.linear(
            to_float(inputs, self.dtype), self.kernel.transpose(0, 1), self.bias, activation=fused or ""
        )
        return y if fused is not None else self.activation(y)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)


@layer_registry.add()
class EinsumDense(Layer):
    """y = activation(einsum(equation, x, kernel) + bias), the bias over the output axes `bias_axes`."""

    _fields = ("equation", "output_shape", "activation", "bias_axes", *_DENSE)

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: int | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse("EinsumDense", lora_rank=lora_rank, quantization_config=quantization_config)
        super().__init__(**kwargs)
        self.equation = equation
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.bias_axes = bias_axes
        self._keep(
            activation=activation,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.kernel: Any = None
        self.bias: Any = None

    activation: Any

    def build(self, input_shape: Any) -> None:
        kernel, bias, self._full = _einsum_shapes(
            self.equation, self.bias_axes, input_shape, self.output_shape
        )
        self.kernel = self._weight(kernel, "kernel")
        if bias is not None:
            self.bias = self._weight(bias, "bias")

    def call(self, inputs: Tensor) -> Any:
        y = F.einsum(self.equation, to_float(inputs, self.dtype), self.kernel)
        if self.bias is not None:
            y = y + self.bias
        return self.activation(y)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return _einsum_shapes(self.equation, self.bias_axes, input_shape, self.output_shape)[2]


def _einsum_shapes(
    equation: str, bias_axes: str | None, input_shape: Any, output_shape: Any
) -> tuple[Any, Any, Any]:
    """(the kernel's, the bias's, the output's shape) of "ab,bc->ac" and its like; ... before or after."""
    text = equation.replace(" ", "")
    found = re.fullmatch(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?", text)
    if found is None or bool(found[1]) != bool(found[5]) or bool(found[3]) != bool(found[7]):
        raise ValueError(
            f"Invalid einsum equation {equation!r}. Equations must be in the form [X],[Y]->[Z], "
            "...[X],[Y]->...[Z], or [X]...,[Y]->[Z]...."
        )
    x, w, y = found[2], found[4], found[6]
    extra = len(input_shape) - len(x)
    if extra < 0 or (extra and not (found[1] or found[3])):
        raise ValueError(f"EinsumDense: {equation!r} does not fit an input of shape {tuple(input_shape)}")
    left = bool(found[1])
    sizes = dict(zip(x, input_shape[extra:] if left else input_shape))
    outs = list(output_shape)
    if not left:  # the output shape that was given leaves the batch axis out
        outs = [input_shape[0], *outs] if len(outs) < len(y) + (extra if found[3] else 0) else outs
    elided = list(input_shape[:extra] if left else input_shape[len(x) :])
    full = [*elided, *outs[len(outs) - len(y) :]] if left else [*outs[: len(y)], *elided]
    own = full[len(full) - len(y) :] if left else full[: len(y)]
    own = [sizes.get(c) if n is None else n for c, n in zip(y, own)]
    for c, n in zip(y, own):
        if c in sizes and None not in (sizes[c], n) and sizes[c] != n:
            raise ValueError(
                f"Input shape and output shape do not match at shared dimension {c!r}. Input shape is "
                f"{sizes[c]}, and output shape is {n}."
            )
        if c not in sizes and c not in w:
            raise ValueError(
                f"Dimension {c!r} was specified in the output {y!r} but has no corresponding dimension in the"
                f" input spec {x!r} or weight spec {w!r}"
            )
    known = {**dict(zip(y, own)), **{c: n for c, n in sizes.items() if n is not None}}
    for c in w:
        if known.get(c) is None:
            raise ValueError(
                f"Weight dimension {c!r} did not have a match in either the input spec {x!r} or the output "
                f"spec {y!r}. For this layer, the weight must be fully specified."
            )
    kernel = tuple([known[c] for c in w])
    full = [*elided, *own] if left else [*own, *elided]
    bias = None
    if bias_axes:
        unknown = [c for c in bias_axes if c not in y]
        if unknown:
            raise ValueError(
                f"Bias dimension {unknown[0]!r} was requested, but is not part of the output spec {y!r}"
            )
        first = min(y.index(c) for c in bias_axes)
        bias = tuple([known[c] if c in bias_axes else 1 for c in y[first:]])
        if not left:
            bias = (*bias, *[1] * len(elided))
    return kernel, bias, tuple(full)


@layer_registry.add()
class Embedding(Layer):
    """Integers to the rows of a table: x (...) -> (..., output_dim); embeddings (input_dim, output_dim).

    With `mask_zero` the index 0 is padding: it makes a mask.
    """

    _fields: tuple[str, ...] = (
        "input_dim",
        "output_dim",
        "embeddings_initializer",
        "embeddings_regularizer",
        "embeddings_constraint",
        "mask_zero",
    )

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse(type(self).__name__, lora_rank=lora_rank, quantization_config=quantization_config)
        length = kwargs.pop("input_length", None)
        if length is not None:
            kwargs.setdefault("input_shape", (length,))
        super().__init__(**kwargs)
        self.input_dim = positive("Embedding", "input_dim", input_dim)
        self.output_dim = positive("Embedding", "output_dim", output_dim)
        self._keep(
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False
        self._given = weights
        self.embeddings: Any = None
        if weights is not None:
            self.build(None)
            self.built = True
            self.set_weights(weights if isinstance(weights, (list, tuple)) else [weights])

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def build(self, input_shape: Any = None) -> None:
        if self.embeddings is None:
            self.embeddings = self._weight((self.input_dim, self.output_dim), "embeddings")

    def call(self, inputs: Tensor) -> Any:
        return look_up(self.name, self.embeddings, inputs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if not self.mask_zero:
            return None
        from dlcore.keras import ops

        return ops.not_equal(inputs, 0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.output_dim)


def look_up(name: str, table: Tensor, inputs: Tensor) -> Tensor:
    index = inputs if inputs.dtype == np.int64 else inputs.to(np.int64)
    if index.device == "cpu" and index.array.size:
        a = index.detach().numpy()
        low, high = int(a.min()), int(a.max())
        if low < 0 or high >= table.shape[0]:
            raise ValueError(
                f"{name}: Embedding has rows 0 to {table.shape[0] - 1} (input_dim={table.shape[0]}), got"
                f" index {low if low < 0 else high}"
            )
    return F.embedding(index, table)


@layer_registry.add()
class ReversibleEmbedding(Embedding):
    """An Embedding that with `reverse=True` gives logits, x (..., output_dim) -> (..., input_dim), by its own
    table (`tie_weights`) or one of its own."""

    _fields = (
        "input_dim",
        "output_dim",
        "tie_weights",
        "embeddings_initializer",
        "embeddings_regularizer",
        "embeddings_constraint",
        "mask_zero",
        "logit_soft_cap",
    )

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.tie_weights = tie_weights
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self._weight(
                (self.output_dim, self.input_dim), "reverse_embeddings", "embeddings"
            )

    def call(self, inputs: Tensor, reverse: bool = False) -> Any:
        if not reverse:
            return look_up(self.name, self.embeddings, inputs)
        table = self.embeddings.transpose(0, 1) if self.tie_weights else self.reverse_embeddings
        logits = F.matmul(to_float(inputs, self.dtype), table)
        if self.logit_soft_cap is not None:
            logits = F.tanh(logits * (1.0 / self.logit_soft_cap)) * self.logit_soft_cap
        return logits

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        return (*input_shape[:-1], self.input_dim) if reverse else (*input_shape, self.output_dim)


@layer_registry.add()
class Masking(Elementwise):
    """Steps all of whose features are `mask_value` are masked, and become 0."""

    _fields = ("mask_value",)

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        from dlcore.keras import ops

        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Tensor) -> Any:
        kept = (inputs != self.mask_value).any(-1, keepdim=True)
        y = inputs * kept.to(inputs.dtype)
        y._mask = kept.squeeze(-1)
        return y


@layer_registry.add()
class Identity(Elementwise):
    """x."""

    def call(self, inputs: Tensor) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@layer_registry.add()
class Lambda(Layer):
    """A function as a layer. Files cannot bring one along: a function of your own is found again only where
    it is registered (`register_keras_serializable`) or passed as `custom_objects`."""

    def __init__(
        self, function: Any, output_shape: Any = None, mask: Any = None, arguments: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise ValueError(f"Lambda: function must be callable, got {function!r}")
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self._output_shape = output_shape
        self.supports_masking = mask is not None

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        import inspect

        named = inspect.signature(self.function).parameters
        extra = dict(self.arguments)
        if "mask" in named:
            extra["mask"] = mask
        if "training" in named:
            extra["training"] = training
        return tree_map(
            lambda y: y if isinstance(y, Tensor) else to_tensor(y), self.function(inputs, **extra)
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        given = self._output_shape
        if given is None:
            return Layer.compute_output_shape(self, input_shape)
        if callable(given):
            return given(input_shape)
        batch = input_shape[0] if input_shape and not isinstance(input_shape[0], (list, tuple)) else None
        return (batch, *given)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        if getattr(self.function, "__name__", "") == "<lambda>":
            raise ValueError(
                f"{self.name}: a Lambda of a Python lambda cannot be written to a file, since reading one"
                " never runs code from it; use a named function and register it"
                " (register_keras_serializable), or a Layer subclass"
            )
        config = {
            **super().get_config(),
            "function": serialize_any(self.function),
            "arguments": serialize_any(self.arguments),
        }
        if self._output_shape is not None:
            config["output_shape"] = serialize_any(self._output_shape)
        if self.mask is not None:
            config["mask"] = serialize_any(self.mask)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        f = config.get("function")
        if isinstance(f, dict) and f.get("class_name") == "__lambda__":
            raise ValueError(
                "Requested the deserialization of a `Lambda` layer whose `function` is a Python lambda."
                " Reading a file never runs code from it; build the model from source and load its weights"
                " instead."
            )
        for key in ("function", "output_shape", "mask"):
            config[key] = deserialize_any(config.get(key))
        if not callable(config["function"]):
            raise ValueError(f"Lambda: the function {config['function']!r} is not known; pass custom_objects")
        return cls(**config)


@layer_registry.add()
class Wrapper(Layer):
    """Base class of layers around one layer, `self.layer`."""

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(f"Layer {layer} supplied to {type(self).__name__} isn't a supported layer type.")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer._ensure_built({self.layer._signature.build[0]: input_shape})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize_any(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        layer = layer_registry.from_config(config.pop("layer"))
        return cls(layer, **config)
