"""What models return: named results that also read as a mapping and as a tuple, as Transformers' do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from dlcore.tensor import Tensor

__all__ = [
    "BaseModelOutput",
    "BaseModelOutputWithPast",
    "BaseModelOutputWithPooling",
    "CausalLMOutput",
    "MaskedLMOutput",
    "ModelOutput",
    "NextSentencePredictorOutput",
    "PreTrainingOutput",
    "QuestionAnsweringModelOutput",
    "Seq2SeqLMOutput",
    "Seq2SeqModelOutput",
    "Seq2SeqQuestionAnsweringModelOutput",
    "Seq2SeqSequenceClassifierOutput",
    "SequenceClassifierOutput",
    "TokenClassifierOutput",
]


@dataclass
class ModelOutput:
    """Results by name; those that are None are left out of the mapping and of the tuple.

    >>> import dlcore
    >>> out = BaseModelOutput(last_hidden_state=dlcore.zeros(1))
    >>> out[0] is out["last_hidden_state"] is out.last_hidden_state, list(out), len(out)
    (True, ['last_hidden_state'], 1)
    """

    def keys(self) -> list[str]:
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]

    def values(self) -> list[Any]:
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.keys()]

    def get(self, name: str, default: Any = None) -> Any:
        value = getattr(self, name, None)
        return default if value is None else value

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(self.values())

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


States = tuple[Tensor, ...] | None


@dataclass
class BaseModelOutput(ModelOutput):
    last_hidden_state: Tensor | None = None
    hidden_states: States = None
    attentions: States = None


@dataclass
class BaseModelOutputWithPast(ModelOutput):
    """Also with cross-attention, for a decoder that reads an encoder."""

    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    hidden_states: States = None
    attentions: States = None
    cross_attentions: States = None


@dataclass
class BaseModelOutputWithPooling(ModelOutput):
    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: States = None
    past_key_values: Any = None
    attentions: States = None
    cross_attentions: States = None


@dataclass
class CausalLMOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: States = None
    attentions: States = None
    cross_attentions: States = None


@dataclass
class MaskedLMOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: States = None
    attentions: States = None


@dataclass
class NextSentencePredictorOutput(MaskedLMOutput):
    pass


@dataclass
class PreTrainingOutput(ModelOutput):
    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: States = None
    attentions: States = None


@dataclass
class SequenceClassifierOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: States = None
    attentions: States = None


@dataclass
class TokenClassifierOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: States = None
    attentions: States = None


@dataclass
class QuestionAnsweringModelOutput(ModelOutput):
    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: States = None
    attentions: States = None


@dataclass
class Seq2SeqModelOutput(ModelOutput):
    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: States = None
    decoder_attentions: States = None
    cross_attentions: States = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: States = None
    encoder_attentions: States = None


@dataclass
class Seq2SeqLMOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: States = None
    decoder_attentions: States = None
    cross_attentions: States = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: States = None
    encoder_attentions: States = None


@dataclass
class Seq2SeqSequenceClassifierOutput(Seq2SeqLMOutput):
    pass


@dataclass
class Seq2SeqQuestionAnsweringModelOutput(ModelOutput):
    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: States = None
    decoder_attentions: States = None
    cross_attentions: States = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: States = None
    encoder_attentions: States = None
