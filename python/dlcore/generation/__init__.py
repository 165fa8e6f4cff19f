"""Generating token after token: the engine that every decoder and encoder-decoder shares."""

from dlcore.generation.cache import DynamicCache, EncoderDecoderCache
from dlcore.generation.configuration import GenerationConfig
from dlcore.generation.logits_process import *  # noqa: F403
from dlcore.generation.logits_process import __all__ as _processors
from dlcore.generation.mixin import GenerationMixin
from dlcore.generation.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
    GenerateDecoderOnlyOutput,
    GenerateEncoderDecoderOutput,
)
from dlcore.generation.stopping_criteria import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)
from dlcore.generation.streamers import (
    AsyncTextIteratorStreamer,
    BaseStreamer,
    TextIteratorStreamer,
    TextStreamer,
)

__all__ = [
    "AsyncTextIteratorStreamer",
    "BaseStreamer",
    "DynamicCache",
    "EncoderDecoderCache",
    "EosTokenCriteria",
    "GenerateBeamDecoderOnlyOutput",
    "GenerateBeamEncoderDecoderOutput",
    "GenerateDecoderOnlyOutput",
    "GenerateEncoderDecoderOutput",
    "GenerationConfig",
    "GenerationMixin",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "StopStringCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "TextIteratorStreamer",
    "TextStreamer",
    *_processors,
]
