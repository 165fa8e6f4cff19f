"""Generating token after token: the engine that every decoder and encoder-decoder shares."""

from dlcore.generation.cache import DynamicCache, EncoderDecoderCache
from dlcore.generation.config import GenerationConfig
from dlcore.generation.mixin import GenerateOutput, GenerationMixin
from dlcore.generation.processors import *  # noqa: F403
from dlcore.generation.processors import __all__ as _processors
from dlcore.generation.stopping import *  # noqa: F403
from dlcore.generation.stopping import __all__ as _stopping
from dlcore.generation.streamers import BaseStreamer, TextIteratorStreamer, TextStreamer

__all__ = [
    "BaseStreamer",
    "DynamicCache",
    "EncoderDecoderCache",
    "GenerateOutput",
    "GenerationConfig",
    "GenerationMixin",
    "TextIteratorStreamer",
    "TextStreamer",
    *_processors,
    *_stopping,
]
