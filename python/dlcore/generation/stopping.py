"""When a sequence ends: criteria say so row by row, after each token."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from dlcore.generation.processors import Array, as_array, as_tensor, token_ids
from dlcore.tensor import Tensor

__all__ = [
    "EosTokenCriteria",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "StopStringCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
]


class StoppingCriteria:
    """The base of criteria: own ones define `__call__(input_ids, scores)` on tensors, which gives one truth
    value or one a row, or `done` on arrays.
    """

    def done(self, ids: Array) -> Array:
        """(rows,), True where the sequence is at its end."""
        raise NotImplementedError(f"{type(self).__name__}: define done or __call__")

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        out = self.done(as_array(input_ids))
        return as_tensor(out) if isinstance(input_ids, Tensor) else out


class StoppingCriteriaList(list[Any]):
    """A sequence ends when one criterion says so."""

    def done(self, ids: Array, scores: Any) -> Array:
        out = np.zeros(len(ids), bool)
        for one in self:
            if isinstance(one, StoppingCriteria) and type(one).__call__ is StoppingCriteria.__call__:
                out |= one.done(ids)
            else:
                out |= as_array(one(as_tensor(ids), scores)).astype(bool)
        return out

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        out = self.done(as_array(input_ids), scores)
        return as_tensor(out) if isinstance(input_ids, Tensor) else out

    @property
    def max_length(self) -> int | None:
        return next((one.max_length for one in self if isinstance(one, MaxLengthCriteria)), None)


class MaxLengthCriteria(StoppingCriteria):
    """At `max_length` tokens, the prompt's among them."""

    def __init__(self, max_length: int, max_position_embeddings: int | None = None) -> None:
        self.max_length, self.max_position_embeddings = max_length, max_position_embeddings

    def done(self, ids: Array) -> Array:
        return np.full(len(ids), ids.shape[1] >= self.max_length)


class MaxTimeCriteria(StoppingCriteria):
    """After `max_time` seconds, counted from `initial_timestamp` or from now."""

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.max_time = max_time
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def done(self, ids: Array) -> Array:
        return np.full(len(ids), time.time() - self.initial_timestamp > self.max_time)


class EosTokenCriteria(StoppingCriteria):
    """After one of these tokens."""

    def __init__(self, eos_token_id: Any) -> None:
        self.eos_token_id = token_ids(eos_token_id)

    def done(self, ids: Array) -> Array:
        out: Array = (ids[:, -1:] == self.eos_token_id).any(1)
        return out


class StopStringCriteria(StoppingCriteria):
    """After a token that completes one of these strings, also in the middle of the token's own text.

    The last tokens are decoded, as many as the longest string could take: a string counts when it is there
    and was not before the last token.
    """

    def __init__(self, tokenizer: Any, stop_strings: str | list[str] | tuple[str, ...]) -> None:
        strings = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings)
        if not strings or not all(isinstance(s, str) and s for s in strings):
            raise ValueError(f"stop_strings must be strings of at least one character, got {stop_strings!r}")
        self.tokenizer, self.stop_strings = tokenizer, strings
        self._tokens = max(len(s.encode()) for s in strings) + 2

    def done(self, ids: Array) -> Array:
        return np.array([self._ends(row.tolist()) for row in ids[:, -self._tokens :]], bool)

    def _ends(self, tokens: list[int]) -> bool:
        text = decode(self.tokenizer, tokens)
        found = [s for s in self.stop_strings if s in text]
        if not found:
            return False
        # A character that is not whole yet is printed as U+FFFD: it is no part of what was there before.
        before = decode(self.tokenizer, tokens[:-1]).rstrip("\N{REPLACEMENT CHARACTER}")
        return any(text.rfind(s) + len(s) > len(before) for s in found)


def decode(tokenizer: Any, tokens: list[int]) -> str:
    """The text as it is, special tokens and spaces included."""
    try:
        text = tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    except TypeError:  # a tokenizers.Tokenizer
        text = tokenizer.decode(tokens, skip_special_tokens=False)
    return str(text)
