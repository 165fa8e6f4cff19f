"""The Transformer of 2017: an encoder and a decoder of attention alone, for translation.

A. Vaswani et al.: Attention is all you need (NeurIPS 2017); R. Xiong et al.: On layer normalization in the
transformer architecture (ICML 2020), for `norm_first`.

B batch, S source and L target tokens, E = d_model, H heads, D = E / H, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from dlcore import functional as F
from dlcore import nn
from dlcore.functional.attention import attention
from dlcore.functional.multihead import _heads
from dlcore.generation.cache import EncoderDecoderCache
from dlcore.models.base import PreTrainedModel
from dlcore.models.beam import Translator
from dlcore.models.config import PreTrainedConfig
from dlcore.models.losses import shift_right
from dlcore.models.masks import Seen, who_sees_whom
from dlcore.nn import init
from dlcore.outputs import BaseModelOutput, ModelOutput, Seq2SeqLMOutput
from dlcore.tensor import Tensor, tensor

__all__ = ["Transformer", "TransformerConfig", "transformer_schedule"]


class TransformerConfig(PreTrainedConfig):
    """The base model of the paper unless told otherwise.

    With `share_embeddings` source, target and output have one table (and then one vocabulary); with
    `tie_word_embeddings` alone, target and output have. `final_norm` puts a norm after each stack, which
    `norm_first` needs, and torch's nn.Transformer always has.

    >>> TransformerConfig(d_model=64, num_heads=2).final_norm
    False
    """

    model_type = "transformer"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_encoder_layers",
    }
    defaults: ClassVar[dict[str, Any]] = {
        "vocab_size": 37000,
        "source_vocab_size": None,  # as vocab_size
        "d_model": 512,
        "num_heads": 8,
        "num_encoder_layers": 6,
        "num_decoder_layers": 6,
        "d_ff": 2048,
        "dropout": 0.1,
        "norm_first": False,
        "final_norm": None,  # as norm_first
        "layer_norm_eps": 1e-5,
        "share_embeddings": True,
        "label_smoothing": 0.1,
        "max_position_embeddings": 1024,
        "is_encoder_decoder": True,
        "use_cache": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    }

    source_vocab_size: int | None
    final_norm: bool | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.source_vocab_size is None:
            self.source_vocab_size = self.vocab_size
        if self.final_norm is None:
            self.final_norm = self.norm_first
        if self.share_embeddings and self.source_vocab_size != self.vocab_size:
            raise ValueError(
                "TransformerConfig: share_embeddings needs one vocabulary, got "
                f"source_vocab_size={self.source_vocab_size}, vocab_size={self.vocab_size}"
            )


def transformer_schedule(d_model: int, warmup_steps: int = 4000) -> Callable[[int], float]:
    """LambdaLR's factor beside an optimizer of lr 1: d^-0.5 · min(t^-0.5, t · warmup^-1.5), t = step + 1.

    The rate grows in a line for `warmup_steps` and then falls with the root of the step.

    >>> f = transformer_schedule(512, 4000)
    >>> f(3999) == max(map(f, range(10000))), round(f(3999), 6)
    (True, 0.000699)
    """
    if d_model < 1 or warmup_steps < 1:
        raise ValueError(
            "transformer_schedule: d_model and warmup_steps must be positive, "
            f"got {d_model} and {warmup_steps}"
        )

    def factor(step: int) -> float:
        t = step + 1
        return float(d_model**-0.5 * min(t**-0.5, t * warmup_steps**-1.5))

    return factor


class _EncoderLayer(nn.TransformerEncoderLayer):
    """torch's layer, on masks as the kernel takes them."""

    def forward(self, x: Tensor, seen: Seen) -> Tensor:  # type: ignore[override]
        if self.norm_first:
            x = x + self.dropout1(_own(self.self_attn, self.norm1(x), seen, None, 0))
            return x + self.dropout2(self._feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout1(_own(self.self_attn, x, seen, None, 0)))
        return self.norm2(x + self.dropout2(self._feed_forward(x)))


class _DecoderLayer(nn.TransformerDecoderLayer):
    """torch's layer, with a cache."""

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        source: Tensor,
        seen: Seen,
        seen_source: Seen,
        cache: EncoderDecoderCache | None,
        layer: int,
    ) -> Tensor:
        other = self.multihead_attn
        if self.norm_first:
            x = x + self.dropout1(_own(self.self_attn, self.norm1(x), seen, cache, layer))
            x = x + self.dropout2(_cross(other, self.norm2(x), source, seen_source, cache, layer))
            return x + self.dropout3(self._feed_forward(self.norm3(x)))
        x = self.norm1(x + self.dropout1(_own(self.self_attn, x, seen, cache, layer)))
        x = self.norm2(x + self.dropout2(_cross(other, x, source, seen_source, cache, layer)))
        return self.norm3(x + self.dropout3(self._feed_forward(x)))


def _own(
    m: nn.MultiheadAttention, x: Tensor, seen: Seen, cache: EncoderDecoderCache | None, layer: int
) -> Tensor:
    """Self-attention of x (B, L, E) with the tokens before it."""
    w, b = m.in_proj_weight, m.in_proj_bias
    assert w is not None
    query, key, value = _heads(F.linear(x, w, b), 3, m.num_heads, True)  # (B, H, L, D) each
    if cache is not None:
        key, value = cache.self_attention_cache.update(key, value, layer)
    return _attend(m, query, key, value, seen)


def _cross(
    m: nn.MultiheadAttention,
    x: Tensor,
    source: Tensor,
    seen: Seen,
    cache: EncoderDecoderCache | None,
    layer: int,
) -> Tensor:
    """Attention of x (B, L, E) to the encoder's output, whose keys and values are computed once."""
    w, b = m.in_proj_weight, m.in_proj_bias
    assert w is not None and b is not None
    wq, wkv = F.split(w, [m.embed_dim, 2 * m.embed_dim])
    bq, bkv = F.split(b, [m.embed_dim, 2 * m.embed_dim])
    (query,) = _heads(F.linear(x, wq, bq), 1, m.num_heads, True)  # (B, H, L, D)
    known = None if cache is None else cache.cross_attention_cache.layers[layer : layer + 1]
    if known and known[0].key is not None and known[0].value is not None:
        key, value = known[0].key, known[0].value
    else:
        key, value = _heads(F.linear(source, wkv, bkv), 2, m.num_heads, True)  # (B, H, S, D)
        if cache is not None:
            key, value = cache.cross_attention_cache.update(key, value, layer)
    return _attend(m, query, key, value, seen)


def _attend(m: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, seen: Seen) -> Tensor:
    p = m.dropout if m.training else 0.0
    y = attention(query, key, value, seen.mask, seen.lengths, seen.causal, None, p)
    y = y.permute(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], m.embed_dim)  # (B, L, E)
    return F.linear(y, m.out_proj.weight, m.out_proj.bias)


class _Stack(nn.Module):
    """Embeddings times √E, sinusoidal positions, dropout, layers, and a norm if the configuration has one."""

    pe: Tensor

    def __init__(
        self, config: TransformerConfig, embed_tokens: nn.Embedding, layers: list[nn.Module]
    ) -> None:
        super().__init__()
        self.config, self.scale = config, math.sqrt(config.d_model)
        self.embed_tokens = embed_tokens
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(config.d_model, config.layer_norm_eps) if config.final_norm else None
        self.dropout = nn.Dropout(config.dropout)
        positions = nn.PositionalEncoding(config.d_model, 0.0, config.max_position_embeddings)
        self.register_buffer("pe", positions.pe.squeeze(1), persistent=False)  # (positions, E)

    def _embedded(self, ids: Tensor, past: int) -> Tensor:
        end = past + ids.shape[-1]
        if end > self.pe.shape[0]:
            raise ValueError(
                f"Transformer: max_position_embeddings={self.pe.shape[0]} must suffice, got {end} tokens"
            )
        x: Tensor = self.embed_tokens(ids)  # (B, L, E)
        return self.dropout(x * self.scale + self.pe[past:end])


class _Encoder(_Stack):
    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool | None = None
    ) -> Any:
        """input_ids (B, S), attention_mask (B, S) -> last_hidden_state (B, S, E)."""
        x = self._embedded(input_ids, 0)
        seen = who_sees_whom(None, attention_mask, x.shape[1], x.shape[1], False, x.dtype)
        for layer in self.layers:
            x = layer(x, seen)
        out = BaseModelOutput(x if self.norm is None else self.norm(x))
        return out.to_tuple() if return_dict is False else out


class _Decoder(_Stack):
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        source: Tensor,
        source_mask: Tensor | None,
        cache: EncoderDecoderCache | None,
    ) -> Tensor:
        past = 0 if cache is None else cache.get_seq_length()
        x = self._embedded(input_ids, past)
        queries = x.shape[1]
        seen = who_sees_whom(None, attention_mask, queries, past + queries, True, x.dtype)
        seen_source = who_sees_whom(None, source_mask, queries, source.shape[1], False, x.dtype)
        for i, layer in enumerate(self.layers):
            x = layer(x, source, seen, seen_source, cache, i)
        return x if self.norm is None else self.norm(x)


class Transformer(PreTrainedModel, Translator):
    """Logits (B, L, V) of the target's next token, from input_ids (B, S) and decoder_input_ids (B, L).

    With `labels` (B, L), -100 to leave one out, the decoder reads them shifted, and `loss` is the mean
    cross-entropy, its labels smoothed in training. Masks are (B, S) and (B, L), 1 for tokens and 0 for
    padding, which belongs at the end. State-dict names of the layers are those of torch's nn.Transformer.

    >>> import dlcore
    >>> config = TransformerConfig(
    ...     vocab_size=9, d_model=8, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, d_ff=16)
    >>> model = Transformer(config).eval()
    >>> ids = dlcore.tensor([[3, 4, 2]])
    >>> model(ids, labels=ids).logits.shape, model.translate(ids, max_length=3).shape[0]
    ((1, 3, 9), 1)
    """

    config_class = TransformerConfig
    config: TransformerConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        d, eps = config.d_model, config.layer_norm_eps
        options = (d, config.num_heads, config.d_ff, config.dropout, F.relu, eps, True, config.norm_first)
        target = nn.Embedding(config.vocab_size, d)
        source = target if config.share_embeddings else nn.Embedding(config.source_vocab_size or 0, d)
        self.encoder = _Encoder(
            config, source, [_EncoderLayer(*options) for _ in range(config.num_encoder_layers)]
        )
        self.decoder = _Decoder(
            config, target, [_DecoderLayer(*options) for _ in range(config.num_decoder_layers)]
        )
        self.lm_head = nn.Linear(d, config.vocab_size, bias=False)
        self._tied_weights_keys = {  # type: ignore[misc]  # which ones, the configuration says
            **({"encoder.embed_tokens.weight": "decoder.embed_tokens.weight"} if source is target else {}),
            **({"lm_head.weight": "decoder.embed_tokens.weight"} if self._ties_head() else {}),
        }
        self.post_init()

    def _ties_head(self) -> bool:
        return bool(self.config.share_embeddings or self.config.tie_word_embeddings)

    def _init_weights(self, module: nn.Module) -> None:
        """Xavier's for products, N(0, 1 / E) for tables, which are scaled by √E where they are read."""
        super()._init_weights(module)
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, 0.0, self.config.d_model**-0.5)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.MultiheadAttention):
            module._reset_parameters()

    def tie_weights(self) -> None:
        if self.config.share_embeddings:
            self.encoder.embed_tokens = self.decoder.embed_tokens
        if self._ties_head():
            self.lm_head.weight = self.decoder.embed_tokens.weight

    def get_input_embeddings(self) -> nn.Embedding:
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.decoder.embed_tokens = value
        self.tie_weights()

    def get_encoder(self) -> nn.Module:
        return self.encoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: EncoderDecoderCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        config = self.config
        if encoder_outputs is None:
            if input_ids is None:
                raise ValueError("Transformer: input_ids or encoder_outputs must be given")
            encoder_outputs = self.encoder(input_ids, attention_mask)
        elif not isinstance(encoder_outputs, ModelOutput):
            encoder_outputs = BaseModelOutput(*encoder_outputs[:1])
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("Transformer: decoder_input_ids or labels must be given")
            decoder_input_ids = shift_right(labels, config.decoder_start_token_id, config.pad_token_id)
        cached = (config.use_cache and labels is None) if use_cache is None else use_cache
        cache = EncoderDecoderCache() if cached and past_key_values is None else past_key_values
        source = encoder_outputs.last_hidden_state
        x = self.decoder(decoder_input_ids, decoder_attention_mask, source, attention_mask, cache)
        logits = self.lm_head(x)  # (B, L, V)
        loss = None
        if labels is not None:
            smoothing = config.label_smoothing if self.training else 0.0
            rows = logits.reshape(-1, logits.shape[-1])
            loss = F.cross_entropy(rows, labels.reshape(-1), label_smoothing=smoothing)
        out = Seq2SeqLMOutput(
            loss=loss, logits=logits, past_key_values=cache, encoder_last_hidden_state=source
        )
        return out.to_tuple() if return_dict is False else out

    def _start(self, input_ids: Tensor, attention_mask: Tensor | None, beams: int) -> Any:
        source: Tensor = self.encoder(input_ids, attention_mask).last_hidden_state
        if beams > 1:
            source = source.repeat_interleave(beams, 0)
            if attention_mask is not None:
                attention_mask = attention_mask.repeat_interleave(beams, 0)
        return BaseModelOutput(source), attention_mask, EncoderDecoderCache()

    def _step(self, state: Any, tokens: np.ndarray[Any, Any]) -> tuple[Tensor, Any]:
        source, mask, cache = state
        out = self(
            attention_mask=mask,
            decoder_input_ids=tensor(tokens[:, None]),
            encoder_outputs=source,
            past_key_values=cache,
        )
        return out.logits[:, -1], state

    def _reorder(self, state: Any, rows: np.ndarray[Any, Any]) -> Any:
        state[2].self_attention_cache.reorder_cache(rows)  # beams of one source share the other
        return state
