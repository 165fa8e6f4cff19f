"""GPT-2: A. Radford et al., Language models are unsupervised multitask learners (2019).

Names, weights and arguments are those of Transformers' GPT2 classes. B batch, L tokens given, S tokens in all
(with those in the cache), E embedding size, H heads, D head size, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dlcore import functional as F
from dlcore import nn
from dlcore.generation.cache import DynamicCache
from dlcore.generation.mixin import GenerationMixin
from dlcore.models.activations import activation_of
from dlcore.models.attention import attend
from dlcore.models.base import PreTrainedModel
from dlcore.models.config import PreTrainedConfig
from dlcore.models.losses import causal_lm_loss, classification_loss, question_answering_loss, token_loss
from dlcore.models.masks import causal_mask
from dlcore.nn import init
from dlcore.nn.module import empty_parameter
from dlcore.outputs import (
    BaseModelOutputWithPast,
    CausalLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from dlcore.tensor import Tensor, tensor

__all__ = [
    "GPT2Config",
    "GPT2ForQuestionAnswering",
    "GPT2ForSequenceClassification",
    "GPT2ForTokenClassification",
    "GPT2LMHeadModel",
    "GPT2Model",
]


class GPT2Config(PreTrainedConfig):
    """GPT-2 124M by default; `hidden_size`, `num_hidden_layers` and so on also name n_embd, n_layer ...

    >>> GPT2Config(n_layer=2).num_hidden_layers
    2
    """

    model_type = "gpt2"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
    defaults: ClassVar[dict[str, Any]] = {
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_inner": None,
        "activation_function": "gelu_new",
        "resid_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "attn_pdrop": 0.1,
        "layer_norm_epsilon": 1e-5,
        "initializer_range": 0.02,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "summary_activation": None,
        "summary_proj_to_labels": True,
        "summary_first_dropout": 0.1,
        "scale_attn_weights": True,
        "use_cache": True,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "pad_token_id": None,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "add_cross_attention": False,
    }


def _zeros(*shape: int) -> nn.Parameter:
    parameter = empty_parameter(shape, None, None)
    init.zeros_(parameter)
    return parameter


class Conv1D(nn.Module):
    """A linear layer whose weight lies as (in, out), as the checkpoints have it."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.weight = _zeros(nx, nf)
        self.bias = _zeros(nf)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.transpose(0, 1), self.bias)

    def extra_repr(self) -> str:
        nx, nf = self.weight.shape
        return f"nf={nf}, nx={nx}"

    if TYPE_CHECKING:
        __call__ = forward


class GPT2Attention(nn.Module):
    def __init__(self, config: GPT2Config, layer_idx: int) -> None:
        super().__init__()
        E, self.heads = config.hidden_size, config.num_attention_heads
        if E % self.heads:
            raise ValueError(f"GPT2Attention: n_embd must be divisible by n_head, got {E} and {self.heads}")
        self.layer_idx = layer_idx
        self.c_attn = Conv1D(3 * E, E)
        self.c_proj = Conv1D(E, E)
        self.attn_pdrop = config.attn_pdrop
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        self.scale = (E // self.heads) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= layer_idx + 1

    def forward(
        self, x: Tensor, mask: Tensor | None, is_causal: bool, cache: DynamicCache | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        B, L, E = x.shape
        qkv = self.c_attn(x).reshape(B, L, 3, self.heads, E // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # (B, H, L, D)
        if cache is not None:
            k, v = cache.update(k, v, self.layer_idx)  # (B, H, S, D)
        dropout = self.attn_pdrop if self.training else 0.0
        y, weights = attend(q, k, v, mask, is_causal, dropout, self.scale, need_weights)  # (B, L, E)
        return self.resid_dropout(self.c_proj(y)), weights

    if TYPE_CHECKING:
        __call__ = forward


class GPT2MLP(nn.Module):
    def __init__(self, inner: int, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(inner, config.hidden_size)
        self.c_proj = Conv1D(config.hidden_size, inner)
        self.act: Callable[[Tensor], Tensor] = activation_of(config.activation_function)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.act(self.c_fc(x))))

    if TYPE_CHECKING:
        __call__ = forward


class GPT2Block(nn.Module):
    def __init__(self, config: GPT2Config, layer_idx: int) -> None:
        super().__init__()
        E = config.hidden_size
        self.ln_1 = nn.LayerNorm(E, eps=config.layer_norm_epsilon)
        self.attn = GPT2Attention(config, layer_idx)
        self.ln_2 = nn.LayerNorm(E, eps=config.layer_norm_epsilon)
        self.mlp = GPT2MLP(4 * E if config.n_inner is None else config.n_inner, config)

    def forward(self, x: Tensor, *attention: Any) -> tuple[Tensor, Tensor | None]:
        y, weights = self.attn(self.ln_1(x), *attention)
        x = x + y
        return x + self.mlp(self.ln_2(x)), weights

    if TYPE_CHECKING:
        __call__ = forward


class GPT2PreTrainedModel(PreTrainedModel):
    config_class = GPT2Config
    base_model_prefix = "transformer"
    _ignore_on_load_unexpected = (r"attn\.bias$", r"attn\.masked_bias$")

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, Conv1D):
            init.normal_(module.weight, 0.0, std)
            init.zeros_(module.bias)
        elif isinstance(module, (GPT2Attention, GPT2MLP)):
            # The residual stream sums 2 n_layer branches: each begins that much smaller (section 2.3).
            init.normal_(module.c_proj.weight, 0.0, std / math.sqrt(2 * self.config.n_layer))


class GPT2Model(GPT2PreTrainedModel):
    """input_ids (B, L) -> last_hidden_state (B, L, E), and the cache for the next tokens unless
    use_cache=False.

    attention_mask (B, S) is 1 for tokens and 0 for padding; position_ids count on from the cache.

    Raises IndexError for ids or positions out of range, ValueError for shapes.

    >>> import dlcore
    >>> model = GPT2Model(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_positions=4)).eval()
    >>> model(dlcore.tensor([[1, 2, 3]])).last_hidden_state.shape
    (1, 3, 8)
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        if config.add_cross_attention:
            raise ValueError("GPT2Model: add_cross_attention is not supported; use a T5 or Seq2Seq model")
        E = config.hidden_size
        self.wte = nn.Embedding(config.vocab_size, E)
        self.wpe = nn.Embedding(config.max_position_embeddings, E)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([GPT2Block(config, i) for i in range(config.num_hidden_layers)])
        self.ln_f = nn.LayerNorm(E, eps=config.layer_norm_epsilon)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.wte

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.wte = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
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
            raise ValueError("GPT2Model: exactly one of input_ids and inputs_embeds must be given")
        x = self.wte(input_ids) if input_ids is not None else inputs_embeds  # (B, L, E)
        L = x.shape[1]
        cache = DynamicCache() if use_cache and past_key_values is None else past_key_values
        before = 0 if cache is None else cache.get_seq_length()
        if position_ids is None:
            position_ids = tensor(np.arange(before, before + L)[None])
        x = x + self.wpe(position_ids)
        if token_type_ids is not None:
            x = x + self.wte(token_type_ids)
        x = self.drop(x)
        mask, is_causal = causal_mask(attention_mask, L, before + L)
        states: list[Tensor] = []
        attentions: list[Tensor | None] = []
        for block in self.h:
            if need_states:
                states.append(x)
            x, weights = block(x, mask, is_causal, cache, need_weights)
            attentions.append(weights)
        x = self.ln_f(x)
        out = BaseModelOutputWithPast(
            last_hidden_state=x,
            past_key_values=cache if use_cache else None,
            hidden_states=(*states, x) if need_states else None,
            attentions=tuple(attentions) if need_weights else None,  # type: ignore[arg-type]
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class GPT2LMHeadModel(GPT2PreTrainedModel, GenerationMixin):
    """GPT2Model and a linear layer to the vocabulary, tied to the embedding: logits (B, L, V).

    With `labels` (B, L) also the loss of predicting each next token, -100 not counted. `logits_to_keep` n
    computes the logits of the last n tokens only.

    >>> import dlcore
    >>> model = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2)).eval()
    >>> ids = dlcore.tensor([[1, 2, 3]])
    >>> model(ids, labels=ids).logits.shape
    (1, 3, 9)
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "transformer.wte.weight"}

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.transformer(
            input_ids, past_key_values, attention_mask, token_type_ids, position_ids, inputs_embeds,
            use_cache, output_attentions, output_hidden_states, True,
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


class GPT2ForSequenceClassification(GPT2PreTrainedModel):
    """GPT2Model and a linear layer on the last token that is not padding: logits (B, num_labels).

    Raises ValueError for a batch above 1 where config.pad_token_id is not set.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.score = nn.Linear(config.n_embd, config.num_labels, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.transformer(
            input_ids, past_key_values, attention_mask, token_type_ids, position_ids, inputs_embeds,
            use_cache, output_attentions, output_hidden_states, True,
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


def last_token(config: PreTrainedConfig, input_ids: Tensor | None, x: Tensor) -> np.ndarray[Any, Any]:
    """The place of each row's last token that is not padding: (B,)."""
    B, L = x.shape[:2]
    pad = config.pad_token_id
    if pad is None:
        if B != 1:
            raise ValueError("classification: a batch above 1 needs config.pad_token_id")
        return np.full(B, L - 1)
    if input_ids is None:
        return np.full(B, L - 1)
    places = np.arange(L) * (input_ids.numpy() != pad)
    last: np.ndarray[Any, Any] = places.argmax(1)
    return last


class GPT2ForTokenClassification(GPT2PreTrainedModel):
    """GPT2Model and a linear layer on every token: logits (B, L, num_labels)."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        rate = getattr(config, "classifier_dropout", None)
        rate = getattr(config, "hidden_dropout", None) if rate is None else rate
        self.dropout = nn.Dropout(0.1 if rate is None else rate)
        self.classifier = nn.Linear(config.n_embd, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.transformer(
            input_ids, past_key_values, attention_mask, token_type_ids, position_ids, inputs_embeds,
            use_cache, output_attentions, output_hidden_states, True,
        )  # fmt: skip
        logits = self.classifier(self.dropout(base.last_hidden_state))
        out = TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits, labels),
            logits=logits,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class GPT2ForQuestionAnswering(GPT2PreTrainedModel):
    """GPT2Model and two scores on every token, the answer's start and end: each (B, L)."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.qa_outputs = nn.Linear(config.n_embd, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.transformer(
            input_ids, None, attention_mask, token_type_ids, position_ids, inputs_embeds, False,
            output_attentions, output_hidden_states, True,
        )  # fmt: skip
        start, end = self.qa_outputs(base.last_hidden_state).unbind(-1)  # (B, L) each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start, end, start_positions, end_positions)
        out = QuestionAnsweringModelOutput(loss, start, end, base.hidden_states, base.attentions)
        return out if self._wants_dict(return_dict) else out.to_tuple()
