"""What a model is called with, step after step: tokens, cache, masks and positions, for one batch of rows.

B rows of input become B * n rows where n beams or samples follow each: the prompt runs through the model
once per input, and the cache is repeated afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.generation.cache import DynamicCache, EncoderDecoderCache
from dlcore.generation.processors import Array, as_tensor
from dlcore.outputs import BaseModelOutput
from dlcore.tensor import Tensor

__all__ = ["DecodingState", "new_cache"]

_AHEAD = 1024  # tokens that a cache has room for at first; a larger max_length is seldom reached


def new_cache(is_encoder_decoder: bool, tokens: int, max_length: int) -> Any:
    room = min(max_length, tokens + _AHEAD)
    return EncoderDecoderCache(room) if is_encoder_decoder else DynamicCache(room)


def _repeat(x: Any, n: int) -> Any:
    return as_tensor(np.repeat(x.detach().numpy(), n, 0))


class DecodingState:
    """The changing arguments of `model.forward`.

    mask (rows, tokens) and positions (rows, tokens) cover the cache's tokens too; None where there is no
    padding, which models take for positions in a row after the cache.
    """

    def __init__(
        self,
        model: Any,
        accepted: frozenset[str],
        mask: Array | None,
        positions: Array | None,
        encoder_outputs: Any,
        extra: dict[str, Any],
    ) -> None:
        self.model, self.mask, self.positions = model, mask, positions
        self.cache: Any = None
        self.encoder_outputs, self.extra = encoder_outputs, extra
        self.is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self.device = model.device
        self._ids = "decoder_input_ids" if self.is_encoder_decoder else "input_ids"
        self._mask = "decoder_attention_mask" if self.is_encoder_decoder else "attention_mask"
        self._fixed: dict[str, Any] = {"return_dict": True}
        if "use_cache" in accepted:
            self._fixed["use_cache"] = False
        if "logits_to_keep" in accepted:
            self._fixed["logits_to_keep"] = 1
        self._takes_positions = "position_ids" in accepted

    def set_cache(self, cache: Any) -> None:
        self.cache = cache
        if cache is not None:
            self._fixed["past_key_values"] = cache
        if "use_cache" in self._fixed:
            self._fixed["use_cache"] = cache is not None

    def expand(self, n: int) -> None:
        """Each row n times."""
        if n == 1:
            return
        rows = None if self.encoder_outputs is None else self.encoder_outputs.last_hidden_state.shape[0]
        if self.mask is not None:
            self.mask = np.repeat(self.mask, n, 0)
        if self.positions is not None:
            self.positions = np.repeat(self.positions, n, 0)
        if rows is not None:
            self.encoder_outputs = BaseModelOutput(_repeat(self.encoder_outputs.last_hidden_state, n))
        for name, value in self.extra.items():
            if isinstance(value, Tensor) and value.ndim > 0:
                self.extra[name] = _repeat(value, n)
        if self.cache is not None:
            self.cache.batch_repeat_interleave(n)

    def prefill(self, ids: Array, embeds: Tensor | None = None) -> Any:
        """The prompt, without the tokens that the cache holds already."""
        past = 0 if self.cache is None else self.cache.get_seq_length()
        if embeds is not None:
            if past >= embeds.shape[1]:
                past = self._forget(embeds.shape[1])
            n = embeds.shape[1] - past
            return self._call({"inputs_embeds": embeds[:, -n:] if past else embeds}, n)
        covered = ids.shape[1] if self.mask is None else self.mask.shape[1]
        if past and covered == ids.shape[1]:
            if past >= ids.shape[1]:
                past = self._forget(ids.shape[1])
            ids = ids[:, past:]
        return self._call({self._ids: self._tensor(ids)}, ids.shape[1])

    def _forget(self, length: int) -> int:
        """The cache holds all of the prompt, or more: the logits of its last token are wanted again."""
        self.cache.crop(length - 1)
        return length - 1

    def step(self, ids: Array) -> Any:
        """One token more, the last of `ids` (rows, tokens)."""
        if self.mask is not None:
            self.mask = np.concatenate([self.mask, np.ones((len(self.mask), 1), np.int64)], 1)
        if self.positions is not None:
            self.positions = np.concatenate([self.positions, self.positions[:, -1:] + 1], 1)
        new = ids if self.cache is None else ids[:, -1:]
        return self._call({self._ids: self._tensor(new)}, new.shape[1])

    def _call(self, inputs: dict[str, Any], n: int) -> Any:
        inputs.update(self._fixed)
        inputs.update(self.extra)
        if self.mask is not None:
            inputs[self._mask] = self._tensor(self.mask)
        if self.positions is not None and self._takes_positions:
            inputs["position_ids"] = self._tensor(self.positions[:, -n:])
        if self.encoder_outputs is not None:
            inputs["encoder_outputs"] = self.encoder_outputs
        return self.model(**inputs)

    def _tensor(self, x: Array) -> Tensor:
        t = as_tensor(x)
        return t if self.device == "cpu" else t.to(self.device)

    @staticmethod
    def last_logits(outputs: Any) -> Array:
        """(rows, vocabulary) float32 of the last token."""
        logits = outputs.logits.detach()
        if logits.device != "cpu":
            logits = logits.cpu()
        last: Array = np.ascontiguousarray(logits.numpy()[:, -1], np.float32)
        return last
