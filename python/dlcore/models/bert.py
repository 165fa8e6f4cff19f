"""BERT: J. Devlin et al., BERT: Pre-training of deep bidirectional Transformers (NAACL 2019).

Names, weights and arguments are those of Transformers' Bert classes. B batch, L tokens, E hidden size, H
heads, D head size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dlcore import functional as F
from dlcore import nn
from dlcore.models.activations import activation_of
from dlcore.models.attention import attend
from dlcore.models.base import PreTrainedModel
from dlcore.models.config import PreTrainedConfig
from dlcore.models.losses import classification_loss, question_answering_loss, token_loss
from dlcore.models.masks import padding_mask
from dlcore.outputs import (
    BaseModelOutput,
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    NextSentencePredictorOutput,
    PreTrainingOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from dlcore.tensor import Tensor, tensor

__all__ = [
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
]


class BertConfig(PreTrainedConfig):
    """bert-base-uncased by default.

    >>> BertConfig(num_hidden_layers=2).hidden_size
    768
    """

    model_type = "bert"
    defaults: ClassVar[dict[str, Any]] = {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "use_cache": True,
        "classifier_dropout": None,
        "is_decoder": False,
        "add_cross_attention": False,
        "bos_token_id": None,
        "eos_token_id": None,
    }


class BertEmbeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        E = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, E, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, E)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, E)
        self.LayerNorm = nn.LayerNorm(E, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("BertModel: exactly one of input_ids and inputs_embeds must be given")
        x: Any = self.word_embeddings(input_ids) if input_ids is not None else inputs_embeds  # (B, L, E)
        if position_ids is None:
            position_ids = tensor(np.arange(x.shape[1])[None])
        if token_type_ids is None:
            kind = self.token_type_embeddings.weight[0]
        else:
            kind = self.token_type_embeddings(token_type_ids)
        x = x + (self.position_embeddings(position_ids) + kind)
        return self.dropout(self.LayerNorm(x))

    if TYPE_CHECKING:
        __call__ = forward


class BertSelfAttention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        E, self.heads = config.hidden_size, config.num_attention_heads
        if E % self.heads:
            raise ValueError(
                "BertSelfAttention: hidden_size must be divisible by num_attention_heads, "
                f"got {E} and {self.heads}"
            )
        self.query, self.key, self.value = nn.Linear(E, E), nn.Linear(E, E), nn.Linear(E, E)
        self.p = config.attention_probs_dropout_prob

    def forward(self, x: Tensor, mask: Tensor | None, need_weights: bool) -> tuple[Tensor, Tensor | None]:
        B, L, E = x.shape
        q, k, v = (
            f(x).reshape(B, L, self.heads, E // self.heads).transpose(1, 2)  # (B, H, L, D)
            for f in (self.query, self.key, self.value)
        )
        return attend(q, k, v, mask, False, self.p if self.training else 0.0, None, need_weights)

    if TYPE_CHECKING:
        __call__ = forward


class BertSelfOutput(nn.Module):
    """Norm(x + dropout(W y + b)), after attention and after the wide layer."""

    def __init__(self, config: BertConfig, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(y)) + x)

    if TYPE_CHECKING:
        __call__ = forward


class BertAttention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = BertSelfAttention(config)
        self.output = BertSelfOutput(config, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None, need_weights: bool) -> tuple[Tensor, Tensor | None]:
        y, weights = self.self(x, mask, need_weights)
        return self.output(y, x), weights

    if TYPE_CHECKING:
        __call__ = forward


class BertIntermediate(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act: Callable[[Tensor], Tensor] = activation_of(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.dense(x))

    if TYPE_CHECKING:
        __call__ = forward


class BertLayer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertSelfOutput(config, config.intermediate_size)

    def forward(self, x: Tensor, mask: Tensor | None, need_weights: bool) -> tuple[Tensor, Tensor | None]:
        x, weights = self.attention(x, mask, need_weights)
        return self.output(self.intermediate(x), x), weights

    if TYPE_CHECKING:
        __call__ = forward


class BertEncoder(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(config) for _ in range(config.num_hidden_layers)])

    def forward(
        self, x: Tensor, mask: Tensor | None, need_weights: bool, need_states: bool
    ) -> BaseModelOutput:
        states: list[Tensor] = []
        attentions: list[Any] = []
        for layer in self.layer:
            if need_states:
                states.append(x)
            x, weights = layer(x, mask, need_weights)
            attentions.append(weights)
        return BaseModelOutput(
            last_hidden_state=x,
            hidden_states=(*states, x) if need_states else None,
            attentions=tuple(attentions) if need_weights else None,
        )

    if TYPE_CHECKING:
        __call__ = forward


class BertPooler(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(self.dense(x[:, 0]))  # (B, E): of the first token, [CLS]

    if TYPE_CHECKING:
        __call__ = forward


class BertPreTrainedModel(PreTrainedModel):
    bert: BertModel
    config_class = BertConfig
    base_model_prefix = "bert"
    _ignore_on_load_unexpected = (r"position_ids$", r"token_type_ids$")

    def _run(
        self, head: Callable[[Any], Any], loss: Callable[[Any], Tensor] | None, output: type[Any],
        arguments: tuple[Any, ...], return_dict: bool | None,
    ) -> Any:  # fmt: skip
        """The base model, a head on its output, and the loss of what the head gave."""
        base = self.bert(*arguments, True)
        logits = head(base)
        out = output(
            loss=None if loss is None else loss(logits),
            logits=logits,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class BertModel(BertPreTrainedModel):
    """input_ids (B, L) -> last_hidden_state (B, L, E) and pooler_output (B, E), tanh(W x + b) of the first
    token.

    attention_mask (B, L) is 1 for tokens and 0 for padding; token_type_ids are 0 and 1 for two texts.

    Raises IndexError for ids or positions out of range, ValueError for shapes.

    >>> import dlcore
    >>> config = BertConfig(
    ...     vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    ... )
    >>> BertModel(config).eval()(dlcore.tensor([[1, 2, 3]])).pooler_output.shape
    (1, 8)
    """

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        if config.is_decoder or config.add_cross_attention:
            raise ValueError("BertModel: is_decoder and add_cross_attention are not supported")
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.post_init()

    pooler: BertPooler | None

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        config = self.config
        need_weights = bool(config.output_attentions if output_attentions is None else output_attentions)
        need_states = bool(
            config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        x = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        encoded = self.encoder(x, padding_mask(attention_mask), need_weights, need_states)
        x = encoded.last_hidden_state  # type: ignore[assignment]
        out = BaseModelOutputWithPooling(
            last_hidden_state=x,
            pooler_output=None if self.pooler is None else self.pooler(x),
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return out if self._wants_dict(return_dict) else out.to_tuple()


class BertPredictionHeadTransform(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.act: Callable[[Tensor], Tensor] = activation_of(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(self.act(self.dense(x)))

    if TYPE_CHECKING:
        __call__ = forward


class BertLMPredictionHead(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(tensor(np.zeros(config.vocab_size, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))

    if TYPE_CHECKING:
        __call__ = forward


class BertPreTrainingHeads(nn.Module):
    """Under the name `cls` in the checkpoints: the masked words, the next sentence, or both."""

    def __init__(self, config: BertConfig, words: bool = True, sentences: bool = True) -> None:
        super().__init__()
        if words:
            self.predictions = BertLMPredictionHead(config)
        if sentences:
            self.seq_relationship = nn.Linear(config.hidden_size, 2)


_TIES = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


class BertForPreTraining(BertPreTrainedModel):
    """Both objectives: prediction_logits (B, L, V) of the masked words, seq_relationship_logits (B, 2).

    `labels` (B, L) counts the masked words (-100 elsewhere); `next_sentence_label` (B,) is 0 where the second
    text follows the first; the loss is their sum.
    """

    _tied_weights_keys = _TIES

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.cls.predictions.decoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        base = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions,
            output_hidden_states, True,
        )  # fmt: skip
        words = self.cls.predictions(base.last_hidden_state)  # (B, L, V)
        follows = self.cls.seq_relationship(base.pooler_output)  # (B, 2)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = token_loss(words, labels) + token_loss(follows, next_sentence_label)
        out = PreTrainingOutput(loss, words, follows, base.hidden_states, base.attentions)
        return out if self._wants_dict(return_dict) else out.to_tuple()


class BertForMaskedLM(BertPreTrainedModel):
    """logits (B, L, V) of each word; `labels` (B, L) with -100 where nothing counts.

    >>> import dlcore
    >>> config = BertConfig(
    ...     vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    ... )
    >>> BertForMaskedLM(config).eval()(dlcore.tensor([[1, 2, 3]])).logits.shape
    (1, 3, 9)
    """

    _tied_weights_keys = _TIES

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertPreTrainingHeads(config, sentences=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.cls.predictions.decoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        return self._run(
            lambda base: self.cls.predictions(base.last_hidden_state),
            None if labels is None else lambda logits: token_loss(logits, labels),
            MaskedLMOutput,
            (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions,
             output_hidden_states),
            return_dict,
        )  # fmt: skip


class BertForNextSentencePrediction(BertPreTrainedModel):
    """logits (B, 2): whether the second text follows the first (0) or was drawn at random (1)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config, words=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        return self._run(
            lambda base: self.cls.seq_relationship(base.pooler_output),
            None if labels is None else lambda logits: token_loss(logits, labels),
            NextSentencePredictorOutput,
            (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions,
             output_hidden_states),
            return_dict,
        )  # fmt: skip


def _head_dropout(config: BertConfig) -> nn.Dropout:
    rate = config.classifier_dropout
    return nn.Dropout(config.hidden_dropout_prob if rate is None else rate)


class BertForSequenceClassification(BertPreTrainedModel):
    """logits (B, num_labels) of the pooled output; the loss by config.problem_type."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = _head_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        return self._run(
            lambda base: self.classifier(self.dropout(base.pooler_output)),
            None if labels is None else lambda logits: classification_loss(self.config, logits, labels),
            SequenceClassifierOutput,
            (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions,
             output_hidden_states),
            return_dict,
        )  # fmt: skip


class BertForMultipleChoice(BertPreTrainedModel):
    """input_ids (B, choices, L) -> logits (B, choices); `labels` (B,) is the right one."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = _head_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        given = input_ids if input_ids is not None else inputs_embeds
        if given is None or given.ndim < 3:
            raise ValueError("BertForMultipleChoice: input_ids must be (batch, choices, length)")
        choices = given.shape[1]
        ids = [
            None if x is None else x.reshape(-1, x.shape[-1])
            for x in (input_ids, attention_mask, token_type_ids, position_ids)
        ]
        embeds = None if inputs_embeds is None else inputs_embeds.reshape(-1, *inputs_embeds.shape[2:])
        return self._run(
            lambda base: self.classifier(self.dropout(base.pooler_output)).reshape(-1, choices),
            None if labels is None else lambda logits: token_loss(logits, labels),
            SequenceClassifierOutput,
            (*ids, embeds, output_attentions, output_hidden_states),
            return_dict,
        )


class BertForTokenClassification(BertPreTrainedModel):
    """logits (B, L, num_labels) of each token; `labels` (B, L) with -100 where nothing counts."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = _head_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        return self._run(
            lambda base: self.classifier(self.dropout(base.last_hidden_state)),
            None if labels is None else lambda logits: token_loss(logits, labels),
            TokenClassifierOutput,
            (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions,
             output_hidden_states),
            return_dict,
        )  # fmt: skip


class BertForQuestionAnswering(BertPreTrainedModel):
    """start_logits and end_logits (B, L) of the answer's place."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)
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
        base = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions,
            output_hidden_states, True,
        )  # fmt: skip
        start, end = self.qa_outputs(base.last_hidden_state).unbind(-1)  # (B, L) each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start, end, start_positions, end_positions)
        out = QuestionAnsweringModelOutput(loss, start, end, base.hidden_states, base.attentions)
        return out if self._wants_dict(return_dict) else out.to_tuple()
