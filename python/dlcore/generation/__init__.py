"""Generating token after token: the engine that every decoder and encoder-decoder shares."""

from dlcore.generation.cache import DynamicCache, EncoderDecoderCache

__all__ = ["DynamicCache", "EncoderDecoderCache"]
