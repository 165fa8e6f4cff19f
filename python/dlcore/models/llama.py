"""Llama: H. Touvron et al., LLaMA: Open and efficient foundation language models (2023); Mistral and Qwen2,
which are the same network in another configuration.

Names, weights and arguments are those of Transformers' classes. B batch, L tokens given, S tokens in all
(with those in the cache), E hidden size, H heads, K heads of keys and values, D head size, V vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dlcore import nn
from dlcore.generation.cache import DynamicCache
from dlcore.generation.mixin import GenerationMixin
from dlcore.models.activations import activation_of
from dlcore.models.attention import attend
from dlcore.models.base import PreTrainedModel
from dlcore.models.config import PreTrainedConfig
from dlcore.models.gpt2 import last_token
from dlcore.models.losses import causal_lm_loss, classification_loss, question_answering_loss, token_loss
from dlcore.models.masks import causal_mask
from dlcore.models.rope import RotaryTable, rope_parameters, rotate
from dlcore.outputs import (
    BaseModelOutputWithPast,
    CausalLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from dlcore.tensor import Tensor, tensor

__all__ = [
    "LlamaConfig",
    "LlamaForCausalLM",
    "LlamaForQuestionAnswering",
    "LlamaForSequenceClassification",
    "LlamaForTokenClassification",
    "LlamaModel",
    "MistralConfig",
    "MistralForCausalLM",
    "MistralForQuestionAnswering",
    "MistralForSequenceClassification",
    "MistralForTokenClassification",
    "MistralModel",
    "Qwen2Config",
    "Qwen2ForCausalLM",
    "Qwen2ForQuestionAnswering",
    "Qwen2ForSequenceClassification",
    "Qwen2ForTokenClassification",
    "Qwen2Model",
]


class LlamaConfig(PreTrainedConfig):
    """Llama 7B by default. `rope_theta` and `rope_scaling` of older files become `rope_parameters`.

    Raises ValueError for a number of heads that does not divide, and for unknown rotary parameters.

    >>> LlamaConfig(hidden_size=64, num_attention_heads=4).head_dim
    16
    """

    num_key_value_heads: int
    head_dim: int
    rope_parameters: dict[str, Any]

    model_type = "llama"
    defaults: ClassVar[dict[str, Any]] = {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "use_cache": True,
        "pad_token_id": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pretraining_tp": 1,
        "tie_word_embeddings": False,
        "rope_parameters": None,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "head_dim": None,
    }

    def __init__(self, **kwargs: Any) -> None:
        theta, scaling = kwargs.pop("rope_theta", 10000.0), kwargs.pop("rope_scaling", None)
        super().__init__(**kwargs)
        heads = self.num_attention_heads
        if heads < 1 or self.hidden_size % heads:
            raise ValueError(
                f"{type(self).__name__}: hidden_size must be divisible by num_attention_heads, "
                f"got {self.hidden_size} and {heads}"
            )
        if self.num_key_value_heads is None:
            self.num_key_value_heads = heads
        if self.num_key_value_heads < 1 or heads % self.num_key_value_heads:
            raise ValueError(
                f"{type(self).__name__}: num_attention_heads must be divisible by num_key_value_heads, "
                f"got {heads} and {self.num_key_value_heads}"
            )
        if self.head_dim is None:
            self.head_dim = self.hidden_size // heads
        self.rope_parameters = rope_parameters(
            scaling or self.rope_parameters, theta, self.max_position_embeddings
        )

    def _biases(self) -> tuple[bool, bool]:
        """Whether the projections to queries, keys and values have a bias, and the one of the output."""
        return self.attention_bias, self.attention_bias

    def _window(self, layer: int) -> int | None:
        """How many tokens a query sees, itself the last; None for all."""
        return None


class MistralConfig(LlamaConfig):
    """Mistral 7B by default: Llama whose queries see the last `sliding_window` tokens.

    A. Q. Jiang et al.: Mistral 7B (2023).
    """

    model_type = "mistral"
    defaults: ClassVar[dict[str, Any]] = {
        **LlamaConfig.defaults,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 4096 * 32,
        "sliding_window": 4096,
    }

    def _window(self, layer: int) -> int | None:
        return self.sliding_window  # type: ignore[no-any-return]


class Qwen2Config(LlamaConfig):
    """Qwen2 7B by default: Llama with biases on queries, keys and values; with `use_sliding_window` the
    layers from `max_window_layers` on see the last `sliding_window` tokens.

    A. Yang et al.: Qwen2 technical report (2024).
    """

    layer_types: list[str]

    model_type = "qwen2"
    defaults: ClassVar[dict[str, Any]] = {
        **LlamaConfig.defaults,
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "bos_token_id": None,
        "eos_token_id": None,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "layer_types": None,
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.use_sliding_window:
            self.sliding_window = None
        if self.layer_types is None:
            windowed = self.num_hidden_layers if self.sliding_window is None else self.max_window_layers
            self.layer_types = [
                "sliding_attention" if i >= windowed else "full_attention"
                for i in range(self.num_hidden_layers)
            ]

    def _biases(self) -> tuple[bool, bool]:
        return True, False

    def _window(self, layer: int) -> int | None:
        windowed = self.layer_types[layer] == "sliding_attention"
        return self.sliding_window if windowed else None


Mask = tuple[Tensor | None, bool]  # and whether causality alone does it


class LlamaAttention(nn.Module):
    def __init__(self, config: LlamaConfig, layer_idx: int) -> None:
        super().__init__()
        E, self.heads, self.kv_heads = (
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
        )
        self.head_dim, self.layer_idx = config.head_dim, layer_idx
        self.dropout = config.attention_dropout
        bias, output_bias = config._biases()
        self.q_proj = nn.Linear(E, self.heads * self.head_dim, bias)
        self.k_proj = nn.Linear(E, self.kv_heads * self.head_dim, bias)
        self.v_proj = nn.Linear(E, self.kv_heads * self.head_dim, bias)
        self.o_proj = nn.Linear(self.heads * self.head_dim, E, output_bias)

    def forward(
        self, x: Tensor, rotary: Any, mask: Mask, cache: DynamicCache | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        B, L, _ = x.shape
        q = rotate(self.q_proj(x).reshape(B, L, self.heads, self.head_dim), *rotary)  # (B, L, H, D)
        k = rotate(self.k_proj(x).reshape(B, L, self.kv_heads, self.head_dim), *rotary)  # (B, L, K, D)
        v = self.v_proj(x).reshape(B, L, self.kv_heads, self.head_dim)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H or K, L, D)
        if cache is not None:
            k, v = cache.update(k, v, self.layer_idx)  # (B, K, S, D)
        dropout = self.dropout if self.training else 0.0
        y, weights = attend(q, k, v, *mask, dropout, None, need_weights)  # (B, L, H D)
        return self.o_proj(y), weights

    if TYPE_CHECKING:
        __call__ = forward


class LlamaMLP(nn.Module):
    """down(act(gate(x)) · up(x)): N. Shazeer, GLU variants improve Transformer (2020)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        E, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = nn.Linear(E, inner, bias)
        self.up_proj = nn.Linear(E, inner, bias)
        self.down_proj = nn.Linear(inner, E, bias)
        self.act_fn: Callable[[Tensor], Tensor] = activation_of(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))

    if TYPE_CHECKING:
        __call__ = forward


class LlamaDecoderLayer(nn.Module):
    def __init__(self, config: LlamaConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = LlamaAttention(config, layer_idx)
        self.mlp = LlamaMLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, *attention: Any) -> tuple[Tensor, Tensor | None]:
        y, weights = self.self_attn(self.input_layernorm(x), *attention)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), weights

    if TYPE_CHECKING:
        __call__ = forward


def _windowed(mask: Mask, window: int, queries: int, keys: int) -> Mask:
    """The causal mask with the keys hidden that lie `window` or more before the query."""
    if keys <= window or (mask[0] is not None and mask[0].dtype.kind == "f"):
        return mask  # a floating mask is the caller's whole word
    first = keys - queries
    seen = np.tri(queries, keys, first, dtype=bool) & ~np.tri(queries, keys, first - window, dtype=bool)
    return tensor(seen[None, None] if mask[0] is None else mask[0].numpy() & seen), False


class LlamaPreTrainedModel(PreTrainedModel):
    config_class = LlamaConfig
    base_model_prefix = "model"
    _ignore_on_load_unexpected = (r"rotary_emb\.inv_freq$",)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *model_args: Any,
        gguf_file: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As of every model; also from a .gguf file, by its path or as `gguf_file` within the folder. Its
        quantised weights become float32.
        """
        path = pretrained_model_name_or_path
        if path is not None and (gguf_file is not None or os.fspath(path).endswith(".gguf")):
            from dlcore.hub import HUB_OPTIONS, find_file
            from dlcore.io.gguf import open_llama

            hub = {k: kwargs.pop(k) for k in HUB_OPTIONS if k in kwargs}
            values, state = open_llama(path if gguf_file is None else find_file(path, gguf_file, **hub))
            config = kwargs.pop("config", None)
            if not isinstance(config, PreTrainedConfig):
                config = cls.config_class.from_dict(values)
            return super().from_pretrained(None, *model_args, config=config, state_dict=state, **kwargs)
        return super().from_pretrained(path, *model_args, **kwargs)


class LlamaModel(LlamaPreTrainedModel):
    """input_ids (B, L) -> last_hidden_state (B, L, E), and the cache for the next tokens unless
    use_cache=False.

    attention_mask (B, S) is 1 for tokens and 0 for padding; position_ids count on from the cache.

    Raises IndexError for ids out of range, ValueError for shapes.

    >>> import dlcore
    >>> config = LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
    ...                      num_attention_heads=2, num_key_value_heads=1)
    >>> LlamaModel(config).eval()(dlcore.tensor([[1, 2, 3]])).last_hidden_state.shape
    (1, 3, 8)
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        pad = config.pad_token_id
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, pad)
        self.layers = nn.ModuleList([LlamaDecoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self._rotary = RotaryTable(config.head_dim, config.rope_parameters, config.max_position_embeddings)
        self._windows = [config._window(i) for i in range(config.num_hidden_layers)]
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embed_tokens = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        config = self.config
        use_cache = config.use_cache if use_cache is None else use_cache
        need_weights = bool(config.output_attentions if output_attentions is None else output_attentions)
        need_states = bool(
            config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        x: Any
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError(
                f"{type(self).__name__}: exactly one of input_ids and inputs_embeds must be given"
            )
        x = self.embed_tokens(input_ids) if input_ids is not None else inputs_embeds  # (B, L, E)
        L = x.shape[1]
        cache = DynamicCache() if use_cache and past_key_values is None else past_key_values
        S = L + (0 if cache is None else cache.get_seq_length())
        places = np.arange(S - L, S)[None] if position_ids is None else position_ids.numpy()
        rotary = self._rotary(places, x.dtype)  # (B or 1, L, 1, D) each
        whole = causal_mask(attention_mask, L, S)
        masks = {w: whole if w is None else _windowed(whole, w, L, S) for w in set(self._windows)}
        states: list[Tensor] = []
        attentions: list[Tensor | None] = []
        for layer, window in zip(self.layers, self._windows):
            if need_states:
                states.append(x)
            x, weights = layer(x, rotary, masks[window], cache, need_weights)
            attentions.append(weights)
        x = self.norm(x)
        out = BaseModelOutputWithPast(
            last_hidden_state=x,
            past_key_values=cache if use_cache else None,
            hidden_states=(*states, x) if need_states else None,
            attentions=tuple(attentions) if need_weights else None,  # type: ignore[arg-type]
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class LlamaForCausalLM(LlamaPreTrainedModel, GenerationMixin):
    """LlamaModel and a linear layer to the vocabulary: logits (B, L, V).

    With `labels` (B, L) also the loss of predicting each next token, -100 not counted. `logits_to_keep` n
    computes the logits of the last n tokens only.

    >>> import dlcore
    >>> config = LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
    ...                      num_attention_heads=2, num_key_value_heads=1)
    >>> ids = dlcore.tensor([[1, 2, 3]])
    >>> LlamaForCausalLM(config).eval()(ids, labels=ids).logits.shape
    (1, 3, 9)
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache,
            output_attentions, output_hidden_states, True,
        )  # fmt: skip
        x = base.last_hidden_state
        logits = self.lm_head(x[:, -logits_to_keep:] if logits_to_keep else x)  # (B, L, V)
        out = CausalLMOutput(
            loss=None if labels is None else causal_lm_loss(logits, labels),
            logits=logits,
            past_key_values=base.past_key_values,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class LlamaForSequenceClassification(LlamaPreTrainedModel):
    """LlamaModel and a linear layer on the last token that is not padding: logits (B, num_labels).

    Raises ValueError for a batch above 1 where config.pad_token_id is not set.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache,
            output_attentions, output_hidden_states, True,
        )  # fmt: skip
        last = last_token(self.config, input_ids, base.last_hidden_state)
        rows = np.arange(last.shape[0])
        logits = self.score(base.last_hidden_state[tensor(rows), tensor(last)])  # (B, num_labels)
        out = SequenceClassifierOutput(
            loss=None if labels is None else classification_loss(self.config, logits, labels),
            logits=logits,
            past_key_values=base.past_key_values,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class LlamaForTokenClassification(LlamaPreTrainedModel):
    """LlamaModel and a linear layer on every token: logits (B, L, num_labels)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        rate = getattr(config, "classifier_dropout", None)
        rate = getattr(config, "hidden_dropout", None) if rate is None else rate
        self.dropout = nn.Dropout(0.1 if rate is None else rate)
        self.score = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache,
            output_attentions, output_hidden_states, True,
        )  # fmt: skip
        logits = self.score(self.dropout(base.last_hidden_state))
        out = TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits, labels),
            logits=logits,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class LlamaForQuestionAnswering(LlamaPreTrainedModel):
    """LlamaModel and two scores on every token, the answer's start and end: each (B, L)."""

    base_model_prefix = "transformer"

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, LlamaModel(config))
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.base_model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, False,
            output_attentions, output_hidden_states, True,
        )  # fmt: skip
        start, end = self.qa_outputs(base.last_hidden_state).unbind(-1)  # (B, L) each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start, end, start_positions, end_positions)
        out = QuestionAnsweringModelOutput(loss, start, end, base.hidden_states, base.attentions)
        return out if self._wants_dict(return_dict) else out.to_tuple()


class MistralModel(LlamaModel):
    config_class = MistralConfig


class MistralForCausalLM(LlamaForCausalLM):
    config_class = MistralConfig


class MistralForSequenceClassification(LlamaForSequenceClassification):
    config_class = MistralConfig


class MistralForTokenClassification(LlamaForTokenClassification):
    config_class = MistralConfig


class MistralForQuestionAnswering(LlamaForQuestionAnswering):
    config_class = MistralConfig
    base_model_prefix = "model"  # as Transformers has it for this family


class Qwen2Model(LlamaModel):
    config_class = Qwen2Config


class Qwen2ForCausalLM(LlamaForCausalLM):
    config_class = Qwen2Config


class Qwen2ForSequenceClassification(LlamaForSequenceClassification):
    config_class = Qwen2Config


class Qwen2ForTokenClassification(LlamaForTokenClassification):
    config_class = Qwen2Config


class Qwen2ForQuestionAnswering(LlamaForQuestionAnswering):
    config_class = Qwen2Config
