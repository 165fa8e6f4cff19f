"""Stopping criteria: which rows are done. Called as criterion(input_ids, scores), NumPy arrays -> (R,)
booleans.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "EosTokenCriteria",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "StopStringCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
]

Ids = npt.NDArray[np.int64]
Done = npt.NDArray[np.bool_]


class StoppingCriteria:
    """What a criterion of one's own derives from."""

    def __call__(self, input_ids: Ids, scores: Any, **kwargs: Any) -> Done:
        raise NotImplementedError


class StoppingCriteriaList(list[Callable[..., Any]]):
    """A row is done where any of them says so."""

    def __call__(self, input_ids: Ids, scores: Any = None, **kwargs: Any) -> Done:
        done = np.zeros(len(input_ids), bool)
        for criterion in self:
            done |= np.asarray(criterion(input_ids, scores, **kwargs), bool)
        return done


class MaxLengthCriteria(StoppingCriteria):
    def __init__(self, max_length: int, max_position_embeddings: int | None = None) -> None:
        self.max_length = max_length

    def __call__(self, input_ids: Ids, scores: Any = None, **kwargs: Any) -> Done:
        return np.full(len(input_ids), input_ids.shape[1] >= self.max_length)


class MaxTimeCriteria(StoppingCriteria):
    """Done `max_time` seconds after it was made."""

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.end = (time.time() if initial_timestamp is None else initial_timestamp) + max_time

    def __call__(self, input_ids: Ids, scores: Any = None, **kwargs: Any) -> Done:
        return np.full(len(input_ids), time.time() > self.end)


class EosTokenCriteria(StoppingCriteria):
    def __init__(self, eos_token_id: int | Sequence[int]) -> None:
        self.eos = [int(e) for e in (eos_token_id if isinstance(eos_token_id, Iterable) else [eos_token_id])]

    def __call__(self, input_ids: Ids, scores: Any = None, **kwargs: Any) -> Done:
        return np.isin(input_ids[:, -1], self.eos)


class StopStringCriteria(StoppingCriteria):
    """Done where the text of the tokens holds one of the strings, completed by the last token."""

    def __init__(self, tokenizer: Any, stop_strings: str | Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.strings = [stop_strings] if isinstance(stop_strings, str) else list(stop_strings)
        if not self.strings or not all(isinstance(s, str) and s for s in self.strings):
            raise ValueError(f"stop_strings must be strings of at least one character, got {stop_strings!r}")
        self.window = max(map(len, self.strings)) + 1  # every token has at least one byte

    def __call__(self, input_ids: Ids, scores: Any = None, **kwargs: Any) -> Done:
        done = np.zeros(len(input_ids), bool)
        for i, row in enumerate(input_ids[:, -4 * self.window :]):
            before, text = (self.tokenizer.decode(r.tolist()) for r in (row[:-1], row))
            known = len(before) if text.startswith(before) else 0
            done[i] = any(text.find(s, max(0, known - len(s) + 1)) >= 0 for s in self.strings)
        return done
