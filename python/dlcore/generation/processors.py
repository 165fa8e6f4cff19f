"""Logits processors: what changes the scores of the next token before one is chosen.

A processor is called as processor(input_ids, scores) with NumPy arrays, the ids so far (R, T) and the scores
(R, V) in float32, and returns the new scores; it may write into the array it is given. Names and meanings are
those of Transformers. R rows (batch times beams), V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "EncoderNoRepeatNGramLogitsProcessor",
    "EncoderRepetitionPenaltyLogitsProcessor",
    "EpsilonLogitsWarper",
    "EtaLogitsWarper",
    "ExponentialDecayLengthPenalty",
    "ForcedBOSTokenLogitsProcessor",
    "ForcedEOSTokenLogitsProcessor",
    "InfNanRemoveLogitsProcessor",
    "LogitNormalization",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MinLengthLogitsProcessor",
    "MinNewTokensLengthLogitsProcessor",
    "MinPLogitsWarper",
    "NoBadWordsLogitsProcessor",
    "NoRepeatNGramLogitsProcessor",
    "PrefixConstrainedLogitsProcessor",
    "RepetitionPenaltyLogitsProcessor",
    "SequenceBiasLogitsProcessor",
    "SuppressTokensAtBeginLogitsProcessor",
    "SuppressTokensLogitsProcessor",
    "TemperatureLogitsWarper",
    "TopKLogitsWarper",
    "TopPLogitsWarper",
    "TypicalLogitsWarper",
]

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

_NONE = np.float32(-np.inf)


def log_softmax(x: Scores) -> Scores:
    shifted = x - x.max(-1, keepdims=True)
    out: Scores = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True, dtype=np.float64)).astype(
        np.float32
    )
    return out


def softmax(x: Scores) -> Scores:
    e = np.exp(x - x.max(-1, keepdims=True))
    out: Scores = e / e.sum(-1, keepdims=True)
    return out


def kth_largest(x: Scores, k: int) -> Scores:
    """(R, 1): the k-th largest of each row, without sorting it."""
    n = x.shape[-1]
    out: Scores = np.partition(x, n - k, -1)[:, n - k, None]
    return out


class LogitsProcessor:
    """What a processor of one's own derives from."""

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        raise NotImplementedError


class LogitsProcessorList(list[Callable[..., Any]]):
    """Processors one after the other."""

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        for processor in self:
            scores = np.asarray(processor(input_ids, scores), np.float32)
        return scores


def _ids(eos: int | Sequence[int]) -> list[int]:
    return [int(e) for e in (eos if isinstance(eos, Iterable) else [eos])]


class MinLengthLogitsProcessor(LogitsProcessor):
    def __init__(self, min_length: int, eos_token_id: int | Sequence[int]) -> None:
        self.min_length, self.eos = min_length, _ids(eos_token_id)

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        if input_ids.shape[1] < self.min_length:
            scores[:, self.eos] = _NONE
        return scores


class MinNewTokensLengthLogitsProcessor(MinLengthLogitsProcessor):
    def __init__(self, prompt_length: int, min_new_tokens: int, eos_token_id: int | Sequence[int]) -> None:
        super().__init__(prompt_length + min_new_tokens, eos_token_id)


class TemperatureLogitsWarper(LogitsProcessor):
    def __init__(self, temperature: float) -> None:
        if not temperature > 0:
            raise ValueError(
                f"temperature must be a positive number, got {temperature!r}; "
                "for greedy decoding pass do_sample=False"
            )
        self.temperature = np.float32(temperature)

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        out: Scores = scores / self.temperature
        return out


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Scores of tokens already there: divided by the penalty where positive, multiplied where negative."""

    def __init__(self, penalty: float) -> None:
        if not penalty > 0:
            raise ValueError(f"repetition_penalty must be a positive number, got {penalty!r}")
        self.penalty = np.float32(penalty)

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        rows = np.arange(len(scores))[:, None]
        seen = scores[rows, input_ids]
        scores[rows, input_ids] = np.where(seen < 0, seen * self.penalty, seen / self.penalty)
        return scores


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """The inverse penalty on the tokens of the encoder's input, so that the output stays with them."""

    def __init__(self, penalty: float, encoder_input_ids: Ids) -> None:
        if not penalty > 0:
            raise ValueError(f"encoder_repetition_penalty must be a positive number, got {penalty!r}")
        self.inner, self.ids = RepetitionPenaltyLogitsProcessor(1 / penalty), encoder_input_ids

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        return self.inner(np.repeat(self.ids, len(scores) // len(self.ids), 0), scores)


class TopKLogitsWarper(LogitsProcessor):
    def __init__(self, top_k: int, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        if not isinstance(top_k, int) or top_k <= 0:
            raise ValueError(f"top_k must be a positive integer, got {top_k!r}")
        self.k, self.filter_value = max(top_k, min_tokens_to_keep), np.float32(filter_value)

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        k = min(self.k, scores.shape[-1])
        scores[scores < kth_largest(scores, k)] = self.filter_value
        return scores


class TopPLogitsWarper(LogitsProcessor):
    """The fewest most probable tokens whose probabilities reach top_p (Holtzman et al., ICLR 2020)."""

    def __init__(self, top_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        if not 0 <= top_p <= 1:
            raise ValueError(f"top_p must be between 0 and 1, got {top_p!r}")
        if min_tokens_to_keep < 1:
            raise ValueError(f"min_tokens_to_keep must be a positive integer, got {min_tokens_to_keep!r}")
        self.top_p, self.filter_value, self.keep = top_p, np.float32(filter_value), min_tokens_to_keep

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        p = softmax(scores)
        for row, probabilities in zip(scores, p):  # only the tokens still possible are sorted
            possible = np.flatnonzero(probabilities > 0)
            order = possible[np.argsort(probabilities[possible], kind="stable")]
            reached = np.cumsum(probabilities[order])
            drop = reached <= 1 - self.top_p
            drop[max(0, len(drop) - self.keep) :] = False
            row[order[drop]] = self.filter_value
        return scores


class MinPLogitsWarper(LogitsProcessor):
    """Tokens at least min_p times as probable as the most probable one."""

    def __init__(self, min_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        if not 0 <= min_p <= 1:
            raise ValueError(f"min_p must be between 0 and 1, got {min_p!r}")
        self.min_p, self.filter_value, self.keep = (
            np.float32(min_p),
            np.float32(filter_value),
            min_tokens_to_keep,
        )

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        p = softmax(scores)
        drop = (p < self.min_p * p.max(-1, keepdims=True)) & (scores < kth_largest(scores, self.keep))
        scores[drop] = self.filter_value
        return scores


class TypicalLogitsWarper(LogitsProcessor):
    """Tokens whose information is nearest to the entropy, up to a mass (Meister et al., 2022)."""

    def __init__(
        self, mass: float = 0.9, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        if not 0 < mass < 1:
            raise ValueError(f"typical_p must be between 0 and 1, got {mass!r}")
        self.mass, self.filter_value, self.keep = mass, np.float32(filter_value), min_tokens_to_keep

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        logp = log_softmax(scores)
        p = np.exp(logp)
        with np.errstate(invalid="ignore"):
            entropy = -np.nansum(logp * p, -1, keepdims=True)
            distance = np.abs(-logp - entropy)
        order = np.argsort(distance, -1, kind="stable")
        reached = np.cumsum(np.take_along_axis(p, order, -1), -1)
        last = np.minimum((reached < self.mass).sum(-1), scores.shape[-1] - 1)
        ranked = np.take_along_axis(distance, order, -1)
        drop = ranked > ranked[np.arange(len(ranked)), last][:, None]
        drop[:, : self.keep] = False
        for row, o, d in zip(scores, order, drop):
            row[o[d]] = self.filter_value
        return scores


class EpsilonLogitsWarper(LogitsProcessor):
    """Tokens of probability at least epsilon (Hewitt et al., 2022)."""

    def __init__(self, epsilon: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        if not 0 < epsilon < 1:
            raise ValueError(f"epsilon_cutoff must be between 0 and 1, got {epsilon!r}")
        self.epsilon, self.filter_value, self.keep = epsilon, np.float32(filter_value), min_tokens_to_keep

    def _cutoff(self, scores: Scores, p: Scores) -> Any:
        return self.epsilon

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        p = softmax(scores)
        keep = min(max(1, self.keep), scores.shape[-1])
        scores[(p < self._cutoff(scores, p)) & (scores < kth_largest(scores, keep))] = self.filter_value
        return scores


class EtaLogitsWarper(EpsilonLogitsWarper):
    """The same with min(epsilon, √epsilon exp(-entropy)) as the bound (Hewitt et al., 2022)."""

    def _cutoff(self, scores: Scores, p: Scores) -> Any:
        with np.errstate(invalid="ignore"):
            entropy = -np.nansum(log_softmax(scores) * p, -1, keepdims=True)
        return np.minimum(self.epsilon, math.sqrt(self.epsilon) * np.exp(-entropy))


def _completions(ids: Ids, n: int, prefix: Sequence[int]) -> list[int]:
    """The tokens that followed `prefix` (n - 1 tokens) anywhere in ids."""
    if len(ids) < n:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(ids, n)
    hit = (windows[:, :-1] == np.asarray(prefix, np.int64)).all(-1)
    return [int(t) for t in windows[hit, -1]]


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No n tokens in a row appear twice."""

    def __init__(self, ngram_size: int) -> None:
        if not isinstance(ngram_size, int) or ngram_size <= 0:
            raise ValueError(f"no_repeat_ngram_size must be a positive integer, got {ngram_size!r}")
        self.n = ngram_size

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        if input_ids.shape[1] + 1 < self.n:
            return scores
        for row, ids in zip(scores, input_ids):
            row[_completions(ids, self.n, ids[len(ids) - self.n + 1 :])] = _NONE
        return scores


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No n tokens in a row appear that the encoder's input has."""

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Ids) -> None:
        if not isinstance(encoder_ngram_size, int) or encoder_ngram_size <= 0:
            raise ValueError(
                f"encoder_no_repeat_ngram_size must be a positive integer, got {encoder_ngram_size!r}"
            )
        self.n, self.ids = encoder_ngram_size, np.atleast_2d(encoder_input_ids)

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        each = len(scores) // len(self.ids)
        if input_ids.shape[1] + 1 < self.n:
            return scores
        for i, (row, ids) in enumerate(zip(scores, input_ids)):
            row[_completions(self.ids[i // each], self.n, ids[len(ids) - self.n + 1 :])] = _NONE
        return scores


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """Adds a bias to the token that would complete a given sequence: {(tokens ...): bias}, or [[tokens,
    bias]].
    """

    def __init__(self, sequence_bias: Any) -> None:
        pairs = sequence_bias.items() if isinstance(sequence_bias, dict) else sequence_bias
        self.biases = {tuple(int(t) for t in tokens): float(bias) for tokens, bias in pairs}
        if not self.biases or not all(self.biases):
            raise ValueError("sequence_bias must map at least one sequence of at least one token to a number")
        if any(t < 0 for tokens in self.biases for t in tokens):
            raise ValueError("sequence_bias must hold tokens of at least 0")

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        if max(tokens[-1] for tokens in self.biases) >= scores.shape[-1]:
            raise ValueError(f"sequence_bias must hold tokens below the vocabulary's size {scores.shape[-1]}")
        total = np.zeros_like(scores)
        for tokens, bias in self.biases.items():
            if len(tokens) == 1:
                total[:, tokens[0]] += bias
            elif len(tokens) <= input_ids.shape[1] + 1:  # Transformers' rule: longer ones are passed over
                hit = (input_ids[:, 1 - len(tokens) :] == np.asarray(tokens[:-1])).all(-1)
                total[hit, tokens[-1]] += bias
        out: Scores = scores + total
        return out


class NoBadWordsLogitsProcessor(LogitsProcessor):
    """None of these sequences of tokens is generated; one that is just an end-of-sequence token does not
    count.
    """

    def __init__(
        self, bad_words_ids: Sequence[Sequence[int]], eos_token_id: int | Sequence[int] | None = None
    ) -> None:
        if not isinstance(bad_words_ids, (list, tuple)) or not bad_words_ids:
            raise ValueError(f"bad_words_ids must be a list of lists of tokens, got {bad_words_ids!r}")
        for word in bad_words_ids:
            if (
                not isinstance(word, (list, tuple))
                or not word
                or any(not isinstance(t, (int, np.integer)) or t < 0 for t in word)
            ):
                raise ValueError(f"bad_words_ids must be lists of tokens of at least 0, got {word!r}")
        eos = [] if eos_token_id is None else _ids(eos_token_id)
        words = {tuple(word): -math.inf for word in bad_words_ids if list(word) not in [[e] for e in eos]}
        self.inner = SequenceBiasLogitsProcessor(words) if words else None

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        return scores if self.inner is None else self.inner(input_ids, scores)


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Only the tokens that f(batch index, ids so far) allows."""

    def __init__(self, prefix_allowed_tokens_fn: Callable[[int, Any], list[int]], num_beams: int) -> None:
        self.f, self.num_beams = prefix_allowed_tokens_fn, num_beams

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        for i, (row, ids) in enumerate(zip(scores, input_ids)):
            allowed = self.f(i // self.num_beams, ids)
            if len(allowed) == 0:
                raise ValueError(
                    "prefix_allowed_tokens_fn must allow at least one token, "
                    f"got none for batch {i // self.num_beams}"
                )
            kept = row[allowed]
            row[:] = _NONE
            row[allowed] = kept
        return scores


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """This token comes first after the decoder's start token."""

    def __init__(self, bos_token_id: int) -> None:
        self.token = bos_token_id

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        if input_ids.shape[1] == 1:
            scores[:] = _NONE
            scores[:, self.token] = 0
        return scores


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """One of these tokens comes last where max_length is reached."""

    def __init__(self, max_length: int, eos_token_id: int | Sequence[int]) -> None:
        self.max_length, self.eos = max_length, _ids(eos_token_id)

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        if input_ids.shape[1] == self.max_length - 1:
            scores[:] = _NONE
            scores[:, self.eos] = 0
        return scores


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        big = float(np.finfo(np.float32).max)
        out: Scores = np.nan_to_num(scores, nan=0.0, posinf=big, neginf=-big)
        return out


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """From `start` new tokens on, the end-of-sequence score grows by |score| (factor^n - 1) at the n-th."""

    def __init__(
        self,
        exponential_decay_length_penalty: tuple[int, float],
        eos_token_id: int | Sequence[int],
        prompt_length: int,
    ) -> None:
        start, self.factor = exponential_decay_length_penalty
        self.start, self.eos = start + prompt_length, _ids(eos_token_id)

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        n = input_ids.shape[1] - self.start
        if n > 0:
            scores[:, self.eos] += np.abs(scores[:, self.eos]) * np.float32(self.factor**n - 1)
        return scores


class LogitNormalization(LogitsProcessor):
    """Scores become logarithms of probabilities again."""

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        return log_softmax(scores)


class SuppressTokensLogitsProcessor(LogitsProcessor):
    def __init__(self, suppress_tokens: Sequence[int]) -> None:
        self.tokens = [int(t) for t in suppress_tokens]

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        scores[:, [t for t in self.tokens if t < scores.shape[1]]] = _NONE
        return scores


class SuppressTokensAtBeginLogitsProcessor(SuppressTokensLogitsProcessor):
    def __init__(self, begin_suppress_tokens: Sequence[int], begin_index: int) -> None:
        super().__init__(begin_suppress_tokens)
        self.begin_index = begin_index

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        return super().__call__(input_ids, scores) if input_ids.shape[1] == self.begin_index else scores
