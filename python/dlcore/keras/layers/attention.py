"""Attention: dot-product and additive on given scores, multi-head with its own projections.

A row that no key is left for attends to all alike, as in Keras.
"""

from __future__ import annotations

import copy
import math
import string
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras._random import SeedGenerator
from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.activation import Softmax
from dlcore.keras.layers.base import Layer, layer_registry, mask_of, set_mask, to_tensor
from dlcore.keras.layers.core import EinsumDense
from dlcore.keras.layers.regularization import Dropout
from dlcore.tensor import Tensor

__all__ = [
    "AdditiveAttention",
    "Attention",
    "GroupQueryAttention",
    "GroupedQueryAttention",
    "MultiHeadAttention",
]


def _both(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else F.logical_and(a, b)


def _bool(mask: Any) -> Any:
    return mask if mask.dtype == np.bool_ else mask != 0


def _causal(t: int, s: int) -> Tensor:
    """(1, t, s), True where a query may look."""
    out: Tensor = to_tensor(np.tri(t, s, dtype=np.bool_)[None])
    return out


@layer_registry.add()
class Attention(Layer):
    """softmax(Q K^T) V of inputs [query, value] or [query, value, key], (N, T, dim) each (Luong et al. 2015).

    masks [query_mask, value_mask]: values whose mask is False are not attended to, outputs whose query's is
    False are 0.
    """

    _fields: tuple[str, ...] = ("use_scale", "score_mode", "dropout", "seed")

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                "Invalid value for argument score_mode. Expected one of {'dot', 'concat'}. "
                f"Received: score_mode={score_mode}"
            )
        self.use_scale, self.score_mode, self.dropout, self.seed = use_scale, score_mode, dropout, seed
        if dropout > 0:
            self.seed_generator = SeedGenerator(seed)
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def _validate(self, inputs: Any, mask: Any = None) -> None:
        name = type(self).__name__
        if not isinstance(inputs, list) or not 2 <= len(inputs) <= 3:
            raise ValueError(
                f"{name} layer must be called on a list of inputs, namely [query, value] or [query, value,"
                f" key]. {name} layer accepts inputs list of length 2 or 3. Received: inputs={inputs!r:.100}."
            )
        if mask is not None and (not isinstance(mask, list) or not 2 <= len(mask) <= 3):
            raise ValueError(
                f"{name} layer mask must be a list, namely [query_mask, value_mask]. {name} layer accepts"
                f" mask list of length 2 or 3. Received: mask={mask!r:.100}."
            )

    def build(self, input_shape: Any) -> None:
        self._validate(input_shape)
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self.score_mode == "dot":
            scores = F.matmul(query, key.transpose(-2, -1))
            return scores if self.scale is None else scores * self.scale
        both = query.unsqueeze(-2) + key.unsqueeze(-3)
        if self.scale is not None:
            both = both * self.scale
        out: Tensor = F.tanh(both).sum(-1) * self.concat_score_weight
        return out

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._validate(inputs, mask)
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = mask[:2] if mask else (None, None)
        scores = self._scores(query, key)
        allowed = None if value_mask is None else _bool(value_mask).unsqueeze(-2)
        if use_causal_mask:
            allowed = _both(allowed, _causal(*scores.shape[-2:]))
        if allowed is not None:
            scores = scores - (1.0 - allowed.to(scores.dtype)) * 1.0e9
        weights = F.softmax(scores, -1)
        given = weights
        if training and self.dropout > 0:
            given = F.dropout(weights, self.dropout, True, rng=self.seed_generator._own)
        out = F.matmul(given, value)
        if query_mask is not None:
            out = F.where(_bool(query_mask).unsqueeze(-1), out, 0.0)
        return (out, given) if return_attention_scores else out

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None if previous_mask is None else previous_mask[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], input_shape[1][-1])

    def _symbolic(self, args: Any, kwargs: Any, tensors: Any) -> Any:
        if kwargs.get("return_attention_scores"):
            return _traced(self, args, kwargs, tensors)
        return super()._symbolic(args, kwargs, tensors)


def _traced(layer: Layer, args: Any, kwargs: Any, tensors: Any) -> Any:
    """A symbolic call whose outputs are found by a call on zeros."""
    from dlcore.keras.layers.base import forward_pass
    from dlcore.keras.symbolic import Node, infer

    if not layer.built:
        layer._build_for(tensors)
    with forward_pass(False):
        out = infer(layer.call, args, kwargs)
    layer._nodes.append(Node(layer, args, {k: v for k, v in kwargs.items() if v is not None}, out))
    return out


@layer_registry.add()
class AdditiveAttention(Attention):
    """softmax(sum scale tanh(Q + K)) V (Bahdanau et al. 2014)."""

    _fields = ("use_scale", "dropout", "seed")

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        self._validate(input_shape)
        if self.use_scale:
            self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        both = F.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))
        out: Tensor = (both if self.scale is None else both * self.scale).sum(-1)
        return out


class _Heads(Layer):
    """What multi-head and grouped-query attention share: masks, and the sublayers' options."""

    supports_masking = True
    _sliding: int | None

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def _sublayer(
        self, equation: str, output_shape: Any, bias: str | None, name: str, activation: Any = None
    ) -> EinsumDense:
        def fresh(x: Any) -> Any:
            return x.from_config(x.get_config()) if hasattr(x, "from_config") else x

        return EinsumDense(
            equation,
            output_shape,
            activation=activation,
            bias_axes=bias,
            name=name,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=fresh(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self.activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype,
        )

    kernel_initializer: Any
    bias_initializer: Any
    kernel_regularizer: Any
    bias_regularizer: Any
    kernel_constraint: Any
    bias_constraint: Any

    def _allowed(
        self,
        query: Tensor,
        value: Tensor,
        query_mask: Any,
        value_mask: Any,
        key_mask: Any,
        attention_mask: Any,
        use_causal_mask: bool,
    ) -> Any:
        """(N or 1, T, S), True where a query may look; None where everywhere."""
        out = None if query_mask is None else _bool(query_mask).unsqueeze(-1)
        for mask in (value_mask, key_mask):
            if mask is not None:
                out = _both(out, _bool(mask).unsqueeze(-2))
        t, s = query.shape[1], value.shape[1]
        if use_causal_mask:
            out = _both(out, _causal(t, s))
        if self._sliding is not None:
            near = np.abs(np.arange(t)[:, None] - np.arange(s)) < self._sliding
            out = _both(out, to_tensor(near[None]))
        if attention_mask is not None:
            out = _both(_bool(to_tensor(attention_mask)), out)
        return out


def _unmasked(x: Tensor) -> Tensor:
    """The same tensor without its mask, which is handled here and not by the projections."""
    return copy.copy(x) if mask_of(x) is not None else x


def _fused(q: Tensor, k: Tensor, v: Tensor, allowed: Any, causal: bool, scale: float, repeats: int) -> Tensor:
    """(N, T, H, D) each -> (N, T, H, D)."""
    q, k, v = [t.transpose(1, 2) for t in (q, k, v)]
    while allowed is not None and allowed.ndim < 4:
        allowed = allowed.unsqueeze(-3)
    y = F.scaled_dot_product_attention(
        q, k, v, attn_mask=allowed, is_causal=causal and allowed is None, scale=scale, enable_gqa=repeats > 1
    )
    if allowed is not None:
        some = allowed.any(-1, keepdim=True)
        if not bool(some.detach().numpy().all()):  # rows that may look nowhere look at all alike
            everywhere = v.mean(2, keepdim=True)
            if repeats > 1:
                everywhere = F.repeat_interleave(everywhere, repeats, 1)
            y = F.where(some, y, everywhere)
    return y.transpose(1, 2)


@layer_registry.add()
class MultiHeadAttention(_Heads):
    """Attention in `num_heads` subspaces of its own projections (Vaswani et al. 2017).

    query (N, T, *), value (N, S, *), key (N, S, *), the value where none is given; attention over the axes
    `attention_axes`, all but the first and last where None. attention_mask (N, T, S) is True where a query
    may look.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        for name, n in (("num_heads", num_heads), ("key_dim", key_dim), ("value_dim", value_dim)):
            if (n is not None or name != "value_dim") and (not isinstance(n, int) or n <= 0):
                raise ValueError(
                    f"Received an invalid value for argument `{name}`, expected a positive integer. Received:"
                    f" {name}={n}"
                )
        super().__init__(**kwargs)
        self.activity_regularizer = None
        self.num_heads, self.key_dim, self.value_dim = num_heads, key_dim, value_dim or key_dim
        self.dropout, self.use_bias, self.use_gate, self.seed = dropout, use_bias, use_gate, seed
        self._output_shape = (
            None
            if not output_shape
            else ((output_shape,) if isinstance(output_shape, int) else tuple(output_shape))
        )
        if isinstance(attention_axes, int):
            attention_axes = (attention_axes,)
        elif attention_axes and not isinstance(attention_axes, (list, tuple)):
            raise ValueError(f"`attention_axes` must be an int, list, or tuple. Received: {attention_axes=}")
        self.attention_axes = None if attention_axes is None else tuple(attention_axes)
        if sliding_window is not None and (not isinstance(sliding_window, int) or sliding_window <= 0):
            raise ValueError(
                "`sliding_window` must be `None` or a positive integer. Received:"
                f" sliding_window={sliding_window}"
            )
        self._sliding = sliding_window
        self._keep(
            activity_regularizer=activity_regularizer,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self._own_activity = self.activity_regularizer

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "All dimensions of `value` and `key`, except the last one, must be equal. Received: "
                f"value_shape={value_shape} and key_shape={key_shape}"
            )

        def project(shape: Any, width: int, name: str, activation: Any = None) -> EinsumDense:
            free = string.ascii_lowercase[: len(shape) - 1]
            equation = f"{free}x,xyz->{free}yz"
            outs = [None] * (len(shape) - 2) + [self.num_heads, width]
            layer = self._sublayer(equation, outs, "yz" if self.use_bias else None, name, activation)
            layer._ensure_built({"input_shape": tuple(shape)})
            return layer

        self._query_dense = project(query_shape, self.key_dim, "query")
        self._key_dense = project(key_shape, self.key_dim, "key")
        if self.use_gate:
            self._gate_dense = project(query_shape, self.value_dim, "gate", "sigmoid")
        self._value_dense = project(value_shape, self.value_dim, "value")
        rank = len(query_shape) + 1
        axes = self.attention_axes
        if axes is None:
            self.attention_axes = tuple(range(1, rank - 2))
        else:
            self.attention_axes = tuple(a if a >= 0 else rank - 1 + a for a in axes)
        self._equations = _equations(rank, self.attention_axes)
        n = len(self.attention_axes)
        scores_rank = rank - 1 + n
        self._softmax = Softmax(axis=tuple(range(scores_rank - n, scores_rank)), dtype=self.dtype)
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype)
        out = self._output_shape or (query_shape[-1],)
        free = string.ascii_lowercase[: len(query_shape) - 1]
        ends = string.ascii_lowercase[-len(out) :].upper()
        equation = f"{free}yz,yz{ends}->{free}{ends}"
        outs = [None] * (len(query_shape) - 2) + list(out)
        self._output_dense = self._sublayer(
            equation, outs, ends if self.use_bias else None, "attention_output"
        )
        inner = (*query_shape[:-1], self.num_heads, self.value_dim)
        self._output_dense._ensure_built({"input_shape": inner})
        self.activity_regularizer = None  # it acts in the projections

    @property
    def query_dense(self) -> EinsumDense:
        return self._query_dense

    @property
    def key_dense(self) -> EinsumDense:
        return self._key_dense

    @property
    def value_dense(self) -> EinsumDense:
        return self._value_dense

    @property
    def output_dense(self) -> EinsumDense:
        return self._output_dense

    def call(  # type: ignore[override]
        self,
        query: Tensor,
        value: Tensor,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        own = query_mask if query_mask is None or mask_of(query) is not None else None
        if key is None:
            key = value
        query, value, key = _unmasked(query), _unmasked(value), _unmasked(key)
        plain = all(m is None for m in (query_mask, value_mask, key_mask, attention_mask, self._sliding))
        only_causal = use_causal_mask and plain
        allowed = None
        if not only_causal:
            allowed = self._allowed(
                query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
            )
        gate = self._gate_dense(query) if self.use_gate else None
        q, k, v = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        scores = None
        if self.dropout > 0 or return_attention_scores or q.ndim != 4:
            if only_causal:
                allowed = _causal(q.shape[1], v.shape[1])
            scores, y = self._explicit(q, k, v, allowed, training)
        else:
            y = _fused(q, k, v, allowed, only_causal, 1.0 / math.sqrt(self.key_dim), 1)
        out = self._output_dense(y if gate is None else y * gate)
        if own is not None:
            set_mask(out, own)
        return (out, scores) if return_attention_scores else out

    def _explicit(
        self, q: Tensor, k: Tensor, v: Tensor, allowed: Any, training: Any
    ) -> tuple[Tensor, Tensor]:
        product, combine = self._equations
        scores = F.einsum(product, k, q * (1.0 / math.sqrt(self.key_dim)))
        if allowed is not None:
            assert self.attention_axes is not None
            for _ in range(scores.ndim - allowed.ndim):
                allowed = allowed.unsqueeze(-len(self.attention_axes) * 2 - 1)
        scores = self._softmax(scores, mask=allowed)
        given = self._dropout_layer(scores, training=training) if self.dropout > 0 else scores
        return scores, F.einsum(combine, given, v)

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        if self._output_shape:
            return (*query_shape[:-1], *self._output_shape)
        return tuple(query_shape)

    def _symbolic(self, args: Any, kwargs: Any, tensors: Any) -> Any:
        if kwargs.get("return_attention_scores"):
            return _traced(self, args, kwargs, tensors)
        return super()._symbolic(args, kwargs, tensors)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for f in (
            "num_heads",
            "key_dim",
            "value_dim",
            "dropout",
            "use_bias",
            "use_gate",
            "attention_axes",
            "kernel_initializer",
            "bias_initializer",
            "kernel_regularizer",
            "bias_regularizer",
            "kernel_constraint",
            "bias_constraint",
            "seed",
        ):
            config[f] = serialize_any(getattr(self, f))
        config["output_shape"] = serialize_any(self._output_shape)
        config["sliding_window"] = self._sliding
        config["activity_regularizer"] = serialize_any(self._own_activity)
        return config


def _equations(rank: int, axes: tuple[int, ...]) -> tuple[str, str]:
    """key, query -> scores and scores, value -> output; the heads are the axis before the last."""
    query = string.ascii_lowercase[:rank]
    others = iter(string.ascii_lowercase[rank:])
    key = "".join(next(others) if i in axes else c for i, c in enumerate(query))
    batch = [c for i, c in enumerate(query) if i not in axes and i != rank - 1]
    scores = "".join([*batch, *[query[i] for i in axes], *[key[i] for i in axes]])
    return f"{key},{query}->{scores}", f"{scores},{key}->{query}"


@layer_registry.add("GroupQueryAttention")
class GroupedQueryAttention(_Heads):
    """Multi-head attention whose query heads share fewer heads of keys and values (Ainslie et al. 2023)."""

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        flash_attention: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        sliding_window: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_query_heads % num_key_value_heads:
            raise ValueError("`num_query_heads` must be divisible by `num_key_value_heads`.")
        self.head_dim, self.num_query_heads = head_dim, num_query_heads
        self.num_key_value_heads = num_key_value_heads
        self.num_repeats = num_query_heads // num_key_value_heads
        self.dropout, self.use_bias, self.use_gate, self.seed = dropout, use_bias, use_gate, seed
        self._sliding = sliding_window
        self._keep(
            activity_regularizer=activity_regularizer,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape

        def project(shape: Any, heads: int, name: str, activation: Any = None) -> EinsumDense:
            outs = (None, heads, self.head_dim)
            layer = self._sublayer("abx,xyz->abyz", outs, "yz" if self.use_bias else None, name, activation)
            layer._ensure_built({"input_shape": tuple(shape)})
            return layer

        self._query_dense = project(query_shape, self.num_query_heads, "query")
        self._key_dense = project(key_shape, self.num_key_value_heads, "key")
        if self.use_gate:
            self._gate_dense = project(query_shape, self.num_query_heads, "gate", "sigmoid")
        self._value_dense = project(value_shape, self.num_key_value_heads, "value")
        self._softmax = Softmax(axis=-1, dtype=self.dtype)
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype)
        self._output_dense = self._sublayer(
            "abyz,yzx->abx", (None, query_shape[-1]), "x" if self.use_bias else None, "attention_output"
        )
        self._output_dense._ensure_built({"input_shape": (None, None, self.num_query_heads, self.head_dim)})

    def call(  # type: ignore[override]
        self,
        query: Tensor,
        value: Tensor,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        if key is None:
            key = value
        query, value, key = _unmasked(query), _unmasked(value), _unmasked(key)
        masks = (query_mask, value_mask, key_mask, attention_mask, self._sliding)
        only_causal = use_causal_mask and all(m is None for m in masks)
        allowed = None
        if not only_causal:
            allowed = self._allowed(
                query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
            )
        gate = self._gate_dense(query) if self.use_gate else None
        q, k, v = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        scale = 1.0 / math.sqrt(self.head_dim)
        scores = None
        if self.dropout > 0 or return_attention_scores:
            if only_causal:
                allowed = _causal(q.shape[1], v.shape[1])
            k, v = [F.repeat_interleave(t, self.num_repeats, 2) for t in (k, v)]
            scores = F.einsum("bquh,bkuh->buqk", q * scale, k)
            while allowed is not None and allowed.ndim < 4:
                allowed = allowed.unsqueeze(-3)
            scores = self._softmax(scores, mask=allowed)
            given = self._dropout_layer(scores, training=training) if self.dropout > 0 else scores
            y = F.einsum("buqk,bkuh->bquh", given, v)
        else:
            y = _fused(q, k, v, allowed, only_causal, scale, self.num_repeats)
        out = self._output_dense(y if gate is None else y * gate)
        return (out, scores) if return_attention_scores else out

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        return tuple(query_shape)

    def _symbolic(self, args: Any, kwargs: Any, tensors: Any) -> Any:
        if kwargs.get("return_attention_scores"):
            return _traced(self, args, kwargs, tensors)
        return super()._symbolic(args, kwargs, tensors)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for f in (
            "head_dim",
            "num_query_heads",
            "num_key_value_heads",
            "use_bias",
            "use_gate",
            "dropout",
            "kernel_initializer",
            "bias_initializer",
            "kernel_regularizer",
            "bias_regularizer",
            "kernel_constraint",
            "bias_constraint",
            "seed",
        ):
            config[f] = serialize_any(getattr(self, f))
        config["activity_regularizer"] = serialize_any(self.activity_regularizer)
        config["sliding_window"] = self._sliding
        return config


GroupQueryAttention = GroupedQueryAttention
