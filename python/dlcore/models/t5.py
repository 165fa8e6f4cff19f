"""T5, v1.0 and v1.1 (Flan): an encoder and a decoder that know positions by their distance alone.

C. Raffel et al.: Exploring the limits of transfer learning with a unified text-to-text transformer (JMLR
2020); N. Shazeer: GLU variants improve transformer (2020), for the gated feed-forward layers of v1.1.

B batch, L queries, S keys, E = d_model, H heads, D = d_kv, V vocabulary.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from dlcore import _C, nn
from dlcore import functional as F
from dlcore.autograd import is_grad_enabled
from dlcore.functional.attention import attention
from dlcore.functional.multihead import _heads
from dlcore.generation import GenerationMixin
from dlcore.generation.cache import EncoderDecoderCache
from dlcore.models.activations import activation_of
from dlcore.models.base import LoadingReport, PreTrainedModel
from dlcore.models.config import PreTrainedConfig
from dlcore.models.losses import classification_loss, question_answering_loss, shift_right, token_loss
from dlcore.models.masks import Seen, who_sees_whom
from dlcore.nn import init
from dlcore.outputs import (
    BaseModelOutput,
    BaseModelOutputWithPast,
    ModelOutput,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
    TokenClassifierOutput,
)
from dlcore.tensor import Tensor, tensor

__all__ = [
    "T5Config",
    "T5EncoderModel",
    "T5ForConditionalGeneration",
    "T5ForQuestionAnswering",
    "T5ForSequenceClassification",
    "T5ForTokenClassification",
    "T5Model",
    "T5PreTrainedModel",
]

Result = Any  # a ModelOutput, or its tuple where return_dict is False


class T5Config(PreTrainedConfig):
    """`feed_forward_proj` is an activation, or "gated-" and an activation; "gated-gelu" is the tanh one.

    v1.0 ties the head to the embedding and scales its input by 1 / √d_model; `tie_word_embeddings=False`
    (v1.1) does neither. Raises ValueError for another `feed_forward_proj`.

    >>> config = T5Config(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    >>> config.is_gated_act, config.dense_act_fn, config.scale_decoder_outputs
    (True, 'gelu_new', False)
    """

    model_type = "t5"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
    defaults: ClassVar[dict[str, Any]] = {
        "vocab_size": 32128,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": None,
        "num_heads": 8,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6,
        "initializer_factor": 1.0,
        "feed_forward_proj": "relu",
        "is_encoder_decoder": True,
        "use_cache": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "classifier_dropout": 0.0,
        "is_decoder": False,
    }

    num_decoder_layers: int | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        if "scale_decoder_outputs" not in kwargs:
            self.scale_decoder_outputs = self.tie_word_embeddings
        *gate, act = self.feed_forward_proj.split("-")
        if gate not in ([], ["gated"]):
            raise ValueError(
                "T5Config: feed_forward_proj must be an activation or 'gated-' and an activation, "
                f"got {self.feed_forward_proj!r}"
            )
        self.is_gated_act = bool(gate)
        self.dense_act_fn = "gelu_new" if self.feed_forward_proj == "gated-gelu" else act


# ---- distances ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _buckets(n: int, bidirectional: bool, buckets: int, max_distance: int) -> np.ndarray[Any, Any]:
    """The bucket of each distance key - query from -(n - 1) to n - 1: (2n - 1,).

    Near distances have one each, farther ones share logarithmically wider ones up to `max_distance`, and
    whoever looks both ways has as many again for keys that follow. The arithmetic is float32, as it was
    when the checkpoints were trained.
    """
    distance = np.arange(1 - n, n)
    first = np.zeros(2 * n - 1, np.int64)
    if bidirectional:
        buckets //= 2
        first += (distance > 0) * buckets
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    exact = buckets // 2
    if not 0 < exact < max_distance:
        raise ValueError(
            "T5: relative_attention_max_distance must be larger than the number of distances with a bucket "
            f"of their own, and that positive, got {max_distance} and {exact}"
        )
    far = np.maximum(distance, 1).astype(np.float32) / np.float32(exact)
    steps = np.log(far) / np.float32(math.log(max_distance / exact)) * np.float32(buckets - exact)
    wide = np.minimum(exact + steps.astype(np.int64), buckets - 1)
    found: np.ndarray[Any, Any] = first + np.where(distance < exact, distance, wide)
    return found


@functools.lru_cache(maxsize=8)
def _bucket_square(
    queries: int, keys: int, bidirectional: bool, buckets: int, max_distance: int, device: str
) -> Tensor:
    """The buckets of the last `queries` of `keys` positions against all: (L, S)."""
    room = 1 << (keys - 1).bit_length()
    middle = room - 1
    line = _buckets(room, bidirectional, buckets, max_distance)[middle + 1 - keys : middle + queries]
    square = np.lib.stride_tricks.sliding_window_view(line, keys)[::-1]
    index = tensor(np.ascontiguousarray(square))
    return index if device == "cpu" else index.to(device)


# ---- the layers --------------------------------------------------------------------------------------------


def _linear(inputs: int, outputs: int, std: float, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=bias)
    layer.init_std = std
    return layer


def _embedding(rows: int, width: int, std: float) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    table.init_std = std
    return table


class T5LayerNorm(nn.RMSNorm):
    """y = w · x / √(mean(x²) + eps)."""

    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__(hidden_size, eps)


class T5Attention(nn.Module):
    """softmax(q kᵀ + bias) v, without a scale: the weights begin small instead."""

    def __init__(self, config: T5Config, has_relative_attention_bias: bool, layer_idx: int) -> None:
        super().__init__()
        e, d, h, f = config.d_model, config.d_kv, config.num_heads, config.initializer_factor
        self.n_heads, self.inner_dim, self.dropout = h, h * d, config.dropout_rate
        self.layer_idx, self.is_decoder = layer_idx, config.is_decoder
        self.q = _linear(e, h * d, f * (e * d) ** -0.5)
        self.k = _linear(e, h * d, f * e**-0.5)
        self.v = _linear(e, h * d, f * e**-0.5)
        self.o = _linear(h * d, e, f * (h * d) ** -0.5)
        self.has_relative_attention_bias = has_relative_attention_bias
        if has_relative_attention_bias:
            self.buckets = config.relative_attention_num_buckets, config.relative_attention_max_distance
            self.relative_attention_bias = _embedding(self.buckets[0], h, f * e**-0.5)

    def compute_bias(self, queries: int, keys: int) -> Tensor:
        """What the distance of the last `queries` of `keys` positions to all of them adds: (1, H, L, S)."""
        table = self.relative_attention_bias.weight  # (buckets, H)
        index = _bucket_square(queries, keys, not self.is_decoder, *self.buckets, table.device)
        return F.embedding(index, table).permute(2, 0, 1).contiguous().unsqueeze(0)

    def last_bias(self, keys: int, cache: EncoderDecoderCache) -> Tensor:
        """`compute_bias(1, keys)`, a view of a longer one that the cache keeps for the steps to come."""
        known = cache.position_bias
        if known is None or known.shape[3] < keys:
            cache.position_bias = known = self.compute_bias(1, 1 << keys.bit_length())
        return Tensor(_C.slice(known.array, 3, known.shape[3] - keys, keys, 1))

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, H D) -> (B, H, L, D)."""
        b, n, width = x.shape
        if n == 1:
            return x.reshape(b, self.n_heads, 1, width // self.n_heads)
        return _heads(x, 1, self.n_heads, True)[0]

    def _keys_values(
        self, hidden: Tensor, source: Tensor | None, cache: EncoderDecoderCache | None
    ) -> tuple[Tensor, Tensor]:
        """(B, H, S, D) each, of this sequence or of the encoder's, where they are computed once."""
        if source is not None and cache is not None:
            layers = cache.cross_attention_cache.layers
            if self.layer_idx < len(layers):
                entry = layers[self.layer_idx]
                if entry.key is not None and entry.value is not None:
                    return entry.key, entry.value
        x = hidden if source is None else source
        key, value = (self._split(F.linear(x, w)) for w in (self.k.weight, self.v.weight))
        if cache is None:
            return key, value
        own = cache.self_attention_cache if source is None else cache.cross_attention_cache
        return own.update(key, value, self.layer_idx)

    def forward(
        self,
        hidden: Tensor,
        seen: Seen,
        source: Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        query = self._split(F.linear(hidden, self.q.weight))  # (B, H, L, D)
        key, value = self._keys_values(hidden, source, cache)
        p = self.dropout if self.training else 0.0
        weights = None
        if output_attentions:
            weights = F.dropout(_attention_weights(query, key, seen), p, self.training)
            y = weights @ value
        elif query.shape[0] != key.shape[0]:  # beams of one input are so many queries of it
            rows, heads, _, d = query.shape
            inputs = key.shape[0]
            query = query.reshape(inputs, rows // inputs, heads, d).permute(0, 2, 1, 3)
            y = attention(query, key, value, seen.mask, seen.lengths, seen.causal, 1.0, p)
            y = y.permute(0, 2, 1, 3)  # (inputs, beams, H, D)
        else:
            y = attention(query, key, value, seen.mask, seen.lengths, seen.causal, 1.0, p)
        if hidden.shape[1] > 1:
            y = y.permute(0, 2, 1, 3)
        y = y.reshape(*hidden.shape[:2], self.inner_dim)  # (B, L, H D)
        return F.linear(y, self.o.weight), weights


def _attention_weights(query: Tensor, key: Tensor, seen: Seen) -> Tensor:
    """softmax(q kᵀ + masks), (B, H, L, S); a query that sees no key looks everywhere."""
    scores = query @ key.transpose(-2, -1)
    n, keys = scores.shape[-2:]
    if seen.mask is not None and seen.mask.dtype == np.bool_:
        scores = scores.masked_fill(~seen.mask, -math.inf)
    elif seen.mask is not None:
        scores = scores + seen.mask
    if seen.lengths is not None:
        unseen = np.arange(keys) >= seen.lengths.numpy()[:, None]
        scores = scores.masked_fill(tensor(unseen[:, None, None]), -math.inf)
    if seen.causal:
        scores = scores.masked_fill(tensor(~np.tri(n, keys, dtype=bool)), -math.inf)
    return F.softmax(scores.clamp(min=float(np.finfo(scores.dtype).min)), -1)


class T5DenseActDense(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        f = config.initializer_factor
        self.wi = _linear(config.d_model, config.d_ff, f * config.d_model**-0.5)
        self.wo = _linear(config.d_ff, config.d_model, f * config.d_ff**-0.5)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.fused = config.dense_act_fn if config.dense_act_fn in ("relu", "sigmoid", "tanh") else ""
        self.act = activation_of(config.dense_act_fn)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.wi.weight, None, self.fused)  # (B, L, d_ff)
        return self.wo(self.dropout(y if self.fused else self.act(y)))


class T5DenseGatedActDense(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        f = config.initializer_factor
        self.wi_0 = _linear(config.d_model, config.d_ff, f * config.d_model**-0.5)
        self.wi_1 = _linear(config.d_model, config.d_ff, f * config.d_model**-0.5)
        self.wo = _linear(config.d_ff, config.d_model, f * config.d_ff**-0.5)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = activation_of(config.dense_act_fn)

    def forward(self, x: Tensor) -> Tensor:
        return self.wo(self.dropout(self.act(self.wi_0(x)) * self.wi_1(x)))


class T5LayerFF(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.DenseReluDense = (T5DenseGatedActDense if config.is_gated_act else T5DenseActDense)(config)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.DenseReluDense(self.layer_norm(x)))


class T5LayerSelfAttention(nn.Module):
    def __init__(self, config: T5Config, has_relative_attention_bias: bool, layer_idx: int) -> None:
        super().__init__()
        self.SelfAttention = T5Attention(config, has_relative_attention_bias, layer_idx)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self, x: Tensor, seen: Seen, cache: EncoderDecoderCache | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None]:
        y, weights = self.SelfAttention(self.layer_norm(x), seen, None, cache, output_attentions)
        return x + self.dropout(y), weights


class T5LayerCrossAttention(nn.Module):
    def __init__(self, config: T5Config, layer_idx: int) -> None:
        super().__init__()
        self.EncDecAttention = T5Attention(config, False, layer_idx)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self,
        x: Tensor,
        source: Tensor,
        seen: Seen,
        cache: EncoderDecoderCache | None,
        output_attentions: bool,
    ) -> tuple[Tensor, Tensor | None]:
        y, weights = self.EncDecAttention(self.layer_norm(x), seen, source, cache, output_attentions)
        return x + self.dropout(y), weights


class T5Block(nn.Module):
    def __init__(self, config: T5Config, has_relative_attention_bias: bool, layer_idx: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [T5LayerSelfAttention(config, has_relative_attention_bias, layer_idx)]
        if config.is_decoder:
            layers.append(T5LayerCrossAttention(config, layer_idx))
        self.layer = nn.ModuleList([*layers, T5LayerFF(config)])

    def forward(
        self,
        x: Tensor,
        seen: Seen,
        source: Tensor | None,
        seen_source: Seen,
        cache: EncoderDecoderCache | None,
        output_attentions: bool,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        own, *cross, feed = self.layer
        x, weights = own(x, seen, cache, output_attentions)
        cross_weights = None
        if source is not None:
            x, cross_weights = cross[0](x, source, seen_source, cache, output_attentions)
        return feed(x), weights, cross_weights


class T5Stack(nn.Module):
    """The encoder or, with `config.is_decoder`, the decoder."""

    def __init__(self, config: T5Config, embed_tokens: nn.Embedding) -> None:
        super().__init__()
        self.config, self.is_decoder = config, config.is_decoder
        self.embed_tokens = embed_tokens
        self.block = nn.ModuleList([T5Block(config, i == 0, i) for i in range(config.num_layers)])
        self.final_layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embed_tokens = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Result:
        """input_ids (B, L), or inputs_embeds (B, L, E), -> last_hidden_state (B, L, E).

        Raises ValueError where not one of the two is given, and for `use_cache` in an encoder.
        """
        config = self.config
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError(
                "T5: exactly one of input_ids and inputs_embeds must be given "
                "(to the decoder: decoder_input_ids and decoder_inputs_embeds)"
            )
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        x: Any = inputs_embeds if input_ids is None else self.embed_tokens(input_ids)  # (B, L, E)
        cache = past_key_values if self.is_decoder else None
        if use_cache and not self.is_decoder:
            raise ValueError("T5: use_cache must be False in an encoder")
        if cache is None and (config.use_cache if use_cache is None else use_cache):
            cache = EncoderDecoderCache()
        if cache is not None and not isinstance(cache, EncoderDecoderCache):
            raise TypeError(f"T5: past_key_values must be an EncoderDecoderCache, got {type(cache).__name__}")

        queries = x.shape[1]
        keys = queries + (cache.get_seq_length() if cache is not None else 0)
        seen = seen_source = Seen()
        if len(self.block) > 0:
            first: Any = self.block[0]
            own = first.layer[0].SelfAttention
            if queries == 1 and cache is not None and not is_grad_enabled():
                bias = own.last_bias(keys, cache)
            else:
                bias = own.compute_bias(queries, keys)
            seen = who_sees_whom(bias, attention_mask, queries, keys, self.is_decoder, x.dtype)
        source = encoder_hidden_states if self.is_decoder else None
        if source is not None:
            if cache is not None:
                if queries > 1 or output_attentions:
                    cache.unshare()
                cache.shares_cross = not output_attentions
                if encoder_attention_mask is not None and cache.beams > 1:
                    encoder_attention_mask = encoder_attention_mask[:: cache.beams]
            seen_source = who_sees_whom(
                None, encoder_attention_mask, queries, source.shape[1], False, x.dtype
            )

        x = self.dropout(x)
        states, weights, cross = [x], [], []
        for block in self.block:
            x, w, c = block(x, seen, source, seen_source, cache, output_attentions)
            states.append(x)
            weights.append(w)
            cross.append(c)
        x = self.dropout(self.final_layer_norm(x))
        attentive = bool(output_attentions)
        return _returned(
            config,
            return_dict,
            BaseModelOutputWithPast(
                last_hidden_state=x,
                past_key_values=cache,
                hidden_states=(*states[:-1], x) if output_hidden_states else None,
                attentions=tuple(weights) if attentive else None,
                cross_attentions=tuple(cross) if attentive and source is not None else None,
            ),
        )


def _returned(config: PreTrainedConfig, return_dict: bool | None, out: ModelOutput) -> Result:
    wanted = getattr(config, "return_dict", True) if return_dict is None else return_dict
    return out if wanted else out.to_tuple()


# ---- the models --------------------------------------------------------------------------------------------


class T5PreTrainedModel(PreTrainedModel):
    config_class = T5Config
    base_model_prefix = "transformer"
    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
    }
    # A bias of distances between source and target, which the first checkpoints held and no model reads.
    _ignore_on_load_unexpected: ClassVar[tuple[str, ...]] = (
        r"EncDecAttention\.relative_attention_bias\.weight$",
    )

    config: T5Config
    shared: nn.Embedding
    encoder: T5Stack
    decoder: T5Stack

    def _build(self, config: T5Config, with_decoder: bool = True) -> None:
        self.shared = _embedding(config.vocab_size, config.d_model, config.initializer_factor)
        encoder = copy.deepcopy(config)
        encoder.is_decoder = encoder.use_cache = False
        self.encoder = T5Stack(encoder, self.shared)
        if with_decoder:
            decoder = copy.deepcopy(config)
            decoder.is_decoder, decoder.num_layers = True, config.num_decoder_layers
            self.decoder = T5Stack(decoder, self.shared)

    def _init_weights(self, module: nn.Module) -> None:
        """N(0, s²), s by the layer's place, so that attention without a scale begins soft."""
        super()._init_weights(module)
        std = getattr(module, "init_std", None)
        if std is not None and isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, 0.0, std)
        elif isinstance(module, T5LayerNorm) and module.weight is not None:
            init.constant_(module.weight, self.config.initializer_factor)

    def tie_weights(self) -> None:
        """Encoder and decoder read one embedding always; the head only as the configuration asks."""
        for name in ("encoder", "decoder"):
            if name in self._modules:
                getattr(self, name).embed_tokens = self.shared

    def get_input_embeddings(self) -> nn.Embedding:
        return self.shared if "shared" in self._modules else super().get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        if "shared" not in self._modules:
            super().set_input_embeddings(value)
            return
        value.init_std = self.config.initializer_factor
        self.shared = value
        self.tie_weights()

    def get_encoder(self) -> T5Stack:
        base: Any = self if "encoder" in self._modules else self.base_model
        stack: T5Stack = base.encoder
        return stack

    def get_decoder(self) -> T5Stack:
        base: Any = self if "decoder" in self._modules else self.base_model
        stack: T5Stack = base.decoder
        return stack

    def _shift_right(self, input_ids: Tensor) -> Tensor:
        """What the decoder reads to give `input_ids`: the same, one later; -100 becomes padding."""
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None or pad is None:
            raise ValueError(
                "T5: decoder_start_token_id and pad_token_id must be set where labels become decoder "
                f"inputs, got {start} and {pad}"
            )
        return shift_right(input_ids, start, pad)

    def _encode(
        self,
        given: Any,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        flags: dict[str, Any],
    ) -> Any:
        """The encoder's outputs; those that are given, as a tuple too, are not computed."""
        if given is None:
            return self.encoder(input_ids, attention_mask, inputs_embeds=inputs_embeds, **flags)
        return given if isinstance(given, ModelOutput) else BaseModelOutput(*given[:3])

    def _decode(
        self,
        encoded: Any,
        attention_mask: Tensor | None,
        input_ids: Tensor | None,
        decoder_attention_mask: Tensor | None,
        past_key_values: Any,
        inputs_embeds: Tensor | None,
        use_cache: bool | None,
        flags: dict[str, Any],
    ) -> tuple[Tensor, dict[str, Any]]:
        """The decoder's last states (B, L, E), and what all models return beside their own results."""
        out = self.decoder(
            input_ids,
            decoder_attention_mask,
            encoded.last_hidden_state,
            attention_mask,
            inputs_embeds,
            past_key_values,
            use_cache,
            **flags,
        )
        return out.last_hidden_state, {
            "past_key_values": out.past_key_values,
            "decoder_hidden_states": out.hidden_states,
            "decoder_attentions": out.attentions,
            "cross_attentions": out.cross_attentions,
            "encoder_last_hidden_state": encoded.last_hidden_state,
            "encoder_hidden_states": encoded.hidden_states,
            "encoder_attentions": encoded.attentions,
        }


def _flags(output_attentions: bool | None, output_hidden_states: bool | None) -> dict[str, Any]:
    return {
        "output_attentions": output_attentions,
        "output_hidden_states": output_hidden_states,
        "return_dict": True,
    }


class T5Model(T5PreTrainedModel):
    """The encoder and decoder: input_ids (B, S), decoder_input_ids (B, L) -> last_hidden_state (B, L, E).

    >>> import dlcore
    >>> config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    >>> ids = dlcore.tensor([[3, 1]])
    >>> T5Model(config)(input_ids=ids, decoder_input_ids=ids).last_hidden_state.shape
    (1, 2, 8)
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self._build(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Result:
        flags = _flags(output_attentions, output_hidden_states)
        encoded = self._encode(encoder_outputs, input_ids, attention_mask, inputs_embeds, flags)
        x, rest = self._decode(
            encoded, attention_mask, decoder_input_ids, decoder_attention_mask, past_key_values,
            decoder_inputs_embeds, use_cache, flags,
        )  # fmt: skip
        return _returned(self.config, return_dict, Seq2SeqModelOutput(last_hidden_state=x, **rest))


class T5ForConditionalGeneration(T5PreTrainedModel, GenerationMixin):
    """T5 with its language-model head: logits (B, L, V) of the target's next token.

    With `labels` (B, L), -100 to leave one out, the decoder reads them shifted, and `loss` is the mean
    cross-entropy. A head that a checkpoint holds apart from the embedding is not tied to it, whatever the
    configuration says.

    >>> import dlcore
    >>> config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    >>> model = T5ForConditionalGeneration(config)
    >>> model(input_ids=dlcore.tensor([[3, 1]]), labels=dlcore.tensor([[5, 6, 1]])).logits.shape
    (1, 3, 9)
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {
        **T5PreTrainedModel._tied_weights_keys,
        "lm_head.weight": "shared.weight",
    }

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self._build(config)
        self.lm_head = _linear(config.d_model, config.vocab_size, config.initializer_factor)
        self.post_init()

    def tie_weights(self) -> None:
        super().tie_weights()
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.shared.weight

    def _load(self, checkpoint: Mapping[str, Any], dtype: np.dtype[Any], ignore_sizes: bool) -> LoadingReport:
        head, tables = "lm_head.weight", ("shared.weight", *T5PreTrainedModel._tied_weights_keys)
        table = next((n for n in tables if n in checkpoint), head)
        tied = head not in checkpoint or np.array_equal(_values(checkpoint[head]), _values(checkpoint[table]))
        if tied and not self.config.tie_word_embeddings:
            self.lm_head.weight = self.shared.weight
        elif not tied and self.config.tie_word_embeddings:
            self.lm_head.weight = nn.Parameter(self.lm_head.weight.detach().clone())
        self.config.tie_word_embeddings = tied
        return super()._load(checkpoint, dtype, ignore_sizes)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Result:
        flags = _flags(output_attentions, output_hidden_states)
        encoded = self._encode(encoder_outputs, input_ids, attention_mask, inputs_embeds, flags)
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._shift_right(labels)
        x, rest = self._decode(
            encoded, attention_mask, decoder_input_ids, decoder_attention_mask, past_key_values,
            decoder_inputs_embeds, use_cache, flags,
        )  # fmt: skip
        if self.config.scale_decoder_outputs:
            x = x * self.config.d_model**-0.5
        logits = self.lm_head(x)  # (B, L, V)
        loss = None if labels is None else token_loss(logits, labels)
        return _returned(self.config, return_dict, Seq2SeqLMOutput(loss=loss, logits=logits, **rest))

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        return self._shift_right(labels)


def _values(entry: Any) -> np.ndarray[Any, Any]:
    return entry.detach().numpy() if isinstance(entry, Tensor) else np.asarray(entry)


class T5EncoderModel(T5PreTrainedModel):
    """The encoder alone: input_ids (B, S) -> last_hidden_state (B, S, E).

    >>> import dlcore
    >>> config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    >>> T5EncoderModel(config)(dlcore.tensor([[3, 1]])).last_hidden_state.shape
    (1, 2, 8)
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {"encoder.embed_tokens.weight": "shared.weight"}
    _ignore_on_load_unexpected: ClassVar[tuple[str, ...]] = (r"^decoder\.", r"^lm_head\.")

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self._build(config, with_decoder=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Result:
        flags = _flags(output_attentions, output_hidden_states)
        out = self._encode(None, input_ids, attention_mask, inputs_embeds, flags)
        return _returned(self.config, return_dict, out)


class T5ClassificationHead(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        std = config.initializer_factor * config.d_model**-0.5
        self.dense = _linear(config.d_model, config.d_model, std, bias=True)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.out_proj = _linear(config.d_model, config.num_labels, std, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(self.dropout(F.tanh(self.dense(self.dropout(x)))))


class T5ForSequenceClassification(T5PreTrainedModel):
    """Logits (B, num_labels) from the decoder's state at the last end-of-sequence token of input_ids (B, S).

    Raises ValueError where samples have different numbers of these, or none.

    >>> import dlcore
    >>> config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, num_labels=3)
    >>> T5ForSequenceClassification(config)(dlcore.tensor([[3, 4, 1]])).logits.shape
    (1, 3)
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {
        f"transformer.{k}": f"transformer.{v}" for k, v in T5PreTrainedModel._tied_weights_keys.items()
    }

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.transformer = T5Model(config)
        self.classification_head = T5ClassificationHead(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Result:
        if input_ids is None:
            raise ValueError(
                "T5ForSequenceClassification: input_ids must be given: the logits' place is there"
            )
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._shift_right(input_ids)
        out = self.transformer(
            input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, encoder_outputs, None,
            inputs_embeds, decoder_inputs_embeds, False if labels is not None else use_cache,
            **_flags(output_attentions, output_hidden_states),
        )  # fmt: skip
        ends = input_ids.numpy() == self.config.eos_token_id
        counts = ends.sum(1)
        if counts.size and (counts.min() != counts.max() or counts.min() == 0):
            raise ValueError(
                "T5ForSequenceClassification: all samples must have the same number of end-of-sequence "
                f"tokens, and one at least, got {counts.tolist()}"
            )
        last = ends.shape[1] - 1 - ends[:, ::-1].argmax(1)
        x = out.last_hidden_state[tensor(np.arange(len(last))), tensor(last.astype(np.int64))]  # (B, E)
        logits = self.classification_head(x)
        loss = None if labels is None else classification_loss(self.config, logits, labels)
        rest = {k: v for k, v in vars(out).items() if k != "last_hidden_state"}
        result = Seq2SeqSequenceClassifierOutput(loss=loss, logits=logits, **rest)
        return _returned(self.config, return_dict, result)


class T5ForTokenClassification(T5PreTrainedModel):
    """Logits (B, S, num_labels) of each token, from the encoder.

    >>> import dlcore
    >>> config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, num_labels=3)
    >>> T5ForTokenClassification(config)(dlcore.tensor([[3, 4]])).logits.shape
    (1, 2, 3)
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "transformer.encoder.embed_tokens.weight": "transformer.shared.weight"
    }
    _ignore_on_load_unexpected: ClassVar[tuple[str, ...]] = T5EncoderModel._ignore_on_load_unexpected

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.transformer = T5EncoderModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = _linear(config.d_model, config.num_labels, config.initializer_factor, bias=True)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Result:
        out = self.transformer(
            input_ids, attention_mask, inputs_embeds, **_flags(output_attentions, output_hidden_states)
        )
        logits = self.classifier(self.dropout(out.last_hidden_state))
        loss = None if labels is None else token_loss(logits, labels)
        result = TokenClassifierOutput(loss, logits, out.hidden_states, out.attentions)
        return _returned(self.config, return_dict, result)


class T5ForQuestionAnswering(T5PreTrainedModel):
    """Logits (B, L) of an answer's start and end among the decoder's tokens, else the input's.

    >>> import dlcore
    >>> config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    >>> T5ForQuestionAnswering(config)(dlcore.tensor([[3, 4, 1]])).start_logits.shape
    (1, 3)
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self._build(config)
        std = config.initializer_factor * config.d_model**-0.5
        self.qa_outputs = _linear(config.d_model, config.num_labels, std, bias=True)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Result:
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if input_ids is None:
                raise ValueError("T5ForQuestionAnswering: input_ids or decoder_input_ids must be given")
            decoder_input_ids = self._shift_right(input_ids)
        answered = start_positions is not None and end_positions is not None
        flags = _flags(output_attentions, output_hidden_states)
        encoded = self._encode(encoder_outputs, input_ids, attention_mask, inputs_embeds, flags)
        x, rest = self._decode(
            encoded, attention_mask, decoder_input_ids, decoder_attention_mask, None,
            decoder_inputs_embeds, False if answered else use_cache, flags,
        )  # fmt: skip
        logits = self.qa_outputs(x)  # (B, L, 2)
        start, end = logits[..., 0], logits[..., 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start, end, start_positions, end_positions)
        result = Seq2SeqQuestionAnsweringModelOutput(loss=loss, start_logits=start, end_logits=end, **rest)
        return _returned(self.config, return_dict, result)
