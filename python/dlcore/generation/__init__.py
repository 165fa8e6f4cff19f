"""Generating token after token: the engine that every decoder and encoder-decoder shares."""

from dlcore.generation.cache import DynamicCache, EncoderDecoderCache
from dlcore.generation.config import GenerationConfig
from dlcore.generation.mixin import GenerationMixin
from dlcore.generation.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
    GenerateDecoderOnlyOutput,
    GenerateEncoderDecoderOutput,
)
from dlcore.generation.processors import *  # noqa: F403
from dlcore.generation.processors import __all__ as _processors
from dlcore.generation.stopping import (
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
