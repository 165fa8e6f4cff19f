"""What `generate` returns with `return_dict_in_generate=True`, under Transformers' names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlcore.outputs import ModelOutput
from dlcore.tensor import Tensor

__all__ = [
    "GenerateBeamDecoderOnlyOutput",
    "GenerateBeamEncoderDecoderOutput",
    "GenerateDecoderOnlyOutput",
    "GenerateEncoderDecoderOutput",
]

Steps = tuple[Tensor, ...] | None  # one a token
Layers = tuple[Any, ...] | None  # one a token, of one a layer


@dataclass
class GenerateDecoderOnlyOutput(ModelOutput):
    sequences: Tensor | None = None
    scores: Steps = None
    logits: Steps = None
    attentions: Layers = None
    hidden_states: Layers = None
    past_key_values: Any = None


@dataclass
class GenerateEncoderDecoderOutput(ModelOutput):
    sequences: Tensor | None = None
    scores: Steps = None
    logits: Steps = None
    encoder_attentions: Steps = None
    encoder_hidden_states: Steps = None
    decoder_attentions: Layers = None
    cross_attentions: Layers = None
    decoder_hidden_states: Layers = None
    past_key_values: Any = None


@dataclass
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: Steps = None
    logits: Steps = None
    beam_indices: Tensor | None = None
    attentions: Layers = None
    hidden_states: Layers = None
    past_key_values: Any = None


@dataclass
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: Steps = None
    logits: Steps = None
    beam_indices: Tensor | None = None
    encoder_attentions: Steps = None
    encoder_hidden_states: Steps = None
    decoder_attentions: Layers = None
    cross_attentions: Layers = None
    decoder_hidden_states: Layers = None
    past_key_values: Any = None
