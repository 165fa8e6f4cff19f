"""What may be said next: processors change the scores of one step, (rows, vocabulary), before a token is
chosen.

A processor is called with the tokens so far (rows, length) and the scores, and returns new scores; tensors
or arrays, and gives back what it got. The ones here work on arrays: they look at k scores, not at a sorted
vocabulary, and give the same values as Transformers' processors of these names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.autograd import no_grad
from dlcore.tensor import Tensor

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
    "TopHLogitsWarper",
    "TopKLogitsWarper",
    "TopPLogitsWarper",
    "TypicalLogitsWarper",
]

Array: TypeAlias = "np.ndarray[Any, Any]"


def as_tensor(x: Array) -> Tensor:
    """The memory of an array as a tensor."""
    return Tensor(_C.from_numpy(np.ascontiguousarray(x)))


def as_array(x: Any) -> Array:
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


def log_softmax(scores: Array) -> Array:
    with no_grad():
        return F.log_softmax(as_tensor(scores), -1).numpy()


def softmax(scores: Array) -> Array:
    with no_grad():
        return F.softmax(as_tensor(scores), -1).numpy()


def top(scores: Array, k: int) -> tuple[Array, Array]:
    """The k largest of each row and where they stand, the largest first."""
    with no_grad():
        values, places = F.topk(as_tensor(scores), k, -1)
    return values.numpy(), places.numpy()


def token_ids(eos_token_id: Any) -> Array:
    return np.atleast_1d(as_array(eos_token_id)).astype(np.int64)


class LogitsProcessor:
    """The base of processors: own ones define `__call__(input_ids, scores)` on tensors, or `process` on
    arrays.
    """

    def process(self, ids: Array, scores: Array) -> Array:
        """New scores; `scores` itself stays as it is."""
        raise NotImplementedError(f"{type(self).__name__}: define process or __call__")

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        out = self.process(as_array(input_ids), as_array(scores))
        return as_tensor(out) if isinstance(scores, Tensor) else out


class LogitsProcessorList(list[Any]):
    """Processors one after the other.

    >>> import dlcore
    >>> rules = LogitsProcessorList([TopKLogitsWarper(1), TemperatureLogitsWarper(0.5)])
    >>> rules(dlcore.tensor([[0]]), dlcore.tensor([[1.0, 3.0, 2.0]])).tolist()
    [[-inf, 6.0, -inf]]
    """

    def process(self, ids: Array, scores: Array) -> Array:
        for one in self:
            own = isinstance(one, LogitsProcessor) and type(one).__call__ is LogitsProcessor.__call__
            scores = one.process(ids, scores) if own else as_array(one(as_tensor(ids), as_tensor(scores)))
        return scores

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        out = self.process(as_array(input_ids), as_array(scores))
        return as_tensor(out) if isinstance(scores, Tensor) else out


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)


def _positive_int(name: str, value: Any, least: int = 1) -> None:
    kind = "a positive integer" if least else "an integer of at least 0"
    _require(
        isinstance(value, int) and not isinstance(value, bool) and value >= least,
        f"{name} must be {kind}, got {value!r}",
    )


def _positive_float(name: str, value: Any) -> None:
    _require(isinstance(value, float) and value > 0, f"{name} must be a positive float, got {value!r}")


def _banned(scores: Array, tokens: Array) -> Array:
    """The scores with these tokens impossible; ids beyond the vocabulary are passed over."""
    out = scores.copy()
    out[:, tokens[(tokens >= 0) & (tokens < scores.shape[1])]] = -np.inf
    return out


def _only(scores: Array, tokens: Array | int) -> Array:
    out = np.full_like(scores, -np.inf)
    out[:, tokens] = 0
    return out


# ---- lengths -----------------------------------------------------------------------------------------------


class MinLengthLogitsProcessor(LogitsProcessor):
    """No end before `min_length` tokens, the prompt's among them."""

    def __init__(self, min_length: int, eos_token_id: Any, device: str = "cpu") -> None:
        _positive_int("min_length", min_length, 0)
        self.min_length, self.eos_token_id = min_length, token_ids(eos_token_id)

    def process(self, ids: Array, scores: Array) -> Array:
        return _banned(scores, self.eos_token_id) if ids.shape[1] < self.min_length else scores


class MinNewTokensLengthLogitsProcessor(LogitsProcessor):
    """No end before `min_new_tokens` tokens after the prompt."""

    def __init__(
        self, prompt_length_to_skip: int, min_new_tokens: int, eos_token_id: Any, device: str = "cpu"
    ) -> None:
        _positive_int("prompt_length_to_skip", prompt_length_to_skip, 0)
        _positive_int("min_new_tokens", min_new_tokens, 0)
        self.prompt_length_to_skip, self.min_new_tokens = prompt_length_to_skip, min_new_tokens
        self.eos_token_id = token_ids(eos_token_id)

    def process(self, ids: Array, scores: Array) -> Array:
        new = ids.shape[1] - self.prompt_length_to_skip
        return _banned(scores, self.eos_token_id) if new < self.min_new_tokens else scores


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """The first token after the start is this one."""

    def __init__(self, bos_token_id: int) -> None:
        self.bos_token_id = bos_token_id

    def process(self, ids: Array, scores: Array) -> Array:
        return _only(scores, self.bos_token_id) if ids.shape[1] == 1 else scores


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """The last token that `max_length` allows ends the sequence."""

    def __init__(self, max_length: int, eos_token_id: Any, device: str = "cpu") -> None:
        self.max_length, self.eos_token_id = max_length, token_ids(eos_token_id)
        _require(
            bool((self.eos_token_id >= 0).all()),
            f"eos_token_id must hold tokens of at least 0, got {eos_token_id!r}",
        )

    def process(self, ids: Array, scores: Array) -> Array:
        return _only(scores, self.eos_token_id) if ids.shape[1] == self.max_length - 1 else scores


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """The end grows likelier from a length on: its score s gains |s| (factor^n - 1), n tokens after it."""

    def __init__(
        self, exponential_decay_length_penalty: Sequence[Any], eos_token_id: Any, input_ids_seq_length: int
    ) -> None:
        self.regulation_start = exponential_decay_length_penalty[0] + input_ids_seq_length
        self.regulation_factor = exponential_decay_length_penalty[1]
        self.eos_token_id = token_ids(eos_token_id)
        _require(
            bool((self.eos_token_id >= 0).all()),
            f"eos_token_id must hold tokens of at least 0, got {eos_token_id!r}",
        )

    def process(self, ids: Array, scores: Array) -> Array:
        n = ids.shape[1] - self.regulation_start
        if n <= 0:
            return scores
        out = scores.copy()
        end = scores[:, self.eos_token_id]
        size = np.where(np.isfinite(end), np.abs(end), 0)
        out[:, self.eos_token_id] = end + size * scores.dtype.type(self.regulation_factor**n - 1)
        return out


# ---- repetition --------------------------------------------------------------------------------------------


def _penalize(scores: Array, ids: Array, penalty: float) -> Array:
    """Scores of the tokens in `ids` (rows, n): divided by the penalty where positive, else multiplied."""
    known = np.take_along_axis(scores, ids, 1)
    factor = scores.dtype.type(penalty)
    out = scores.copy()
    np.put_along_axis(out, ids, np.where(known < 0, known * factor, known / factor), 1)
    return out


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Makes what was said less likely by a factor (more, below 1); `prompt_ignore_length` tokens at the
    beginning, one number or one a row, do not count.

    N. Keskar et al.: CTRL (2019).
    """

    def __init__(self, penalty: float, prompt_ignore_length: Any = None) -> None:
        _positive_float("repetition_penalty", penalty)
        ignored = prompt_ignore_length
        if ignored is not None and not isinstance(ignored, int):
            ignored = as_array(ignored)
            _require(ignored.ndim == 1, f"prompt_ignore_length must be (rows,), got {ignored.shape}")
        elif ignored is not None:
            _require(ignored >= 0, f"prompt_ignore_length must be at least 0, got {ignored}")
        self.penalty, self.prompt_ignore_length = penalty, ignored

    def process(self, ids: Array, scores: Array) -> Array:
        skip = self.prompt_ignore_length
        if isinstance(skip, int):
            ids = ids[:, skip:]
        if not ids.shape[1]:
            return scores
        beyond = ids >= scores.shape[1]
        if skip is not None and not isinstance(skip, int):
            _require(
                len(skip) == len(ids), f"prompt_ignore_length must have {len(ids)} rows, got {len(skip)}"
            )
            beyond |= np.arange(ids.shape[1]) < skip[:, None]
        if not beyond.any():
            return _penalize(scores, ids, self.penalty)
        wide = np.concatenate([scores, np.zeros((len(scores), 1), scores.dtype)], 1)
        return _penalize(wide, np.where(beyond, scores.shape[1], ids), self.penalty)[:, :-1]


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Makes what the encoder's input says more likely by a factor."""

    def __init__(self, penalty: float, encoder_input_ids: Any) -> None:
        _positive_float("encoder_repetition_penalty", penalty)
        self.penalty, self.encoder_input_ids = 1 / penalty, as_array(encoder_input_ids)

    def process(self, ids: Array, scores: Array) -> Array:
        repeats = max(1, len(scores) // len(self.encoder_input_ids))
        return _penalize(scores, np.repeat(self.encoder_input_ids, repeats, 0), self.penalty)


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No sequence of `ngram_size` tokens comes twice."""

    def __init__(self, ngram_size: int) -> None:
        _positive_int("no_repeat_ngram_size", ngram_size)
        self.ngram_size = ngram_size

    def process(self, ids: Array, scores: Array) -> Array:
        n = self.ngram_size
        if ids.shape[1] < n:
            return scores
        return _ban_followers(scores, ids, ids, n)


def _ban_followers(scores: Array, ids: Array, text: Array, n: int) -> Array:
    """Bans what follows, anywhere in its row of `text`, the last n - 1 tokens of the row of `ids`."""
    windows = np.lib.stride_tricks.sliding_window_view(text, n, 1)  # (rows, windows, n)
    last = ids[:, ids.shape[1] + 1 - n :]
    rows, places = np.nonzero((windows[..., :-1] == last[:, None]).all(-1))
    if not len(rows):
        return scores
    tokens = windows[rows, places, -1]
    known = tokens < scores.shape[1]
    out = scores.copy()
    out[rows[known], tokens[known]] = -np.inf
    return out


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No sequence of `encoder_ngram_size` tokens comes that stands in the encoder's input."""

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Any) -> None:
        _positive_int("encoder_no_repeat_ngram_size", encoder_ngram_size)
        self.ngram_size = encoder_ngram_size
        self.encoder_input_ids = np.atleast_2d(as_array(encoder_input_ids))

    def process(self, ids: Array, scores: Array) -> Array:
        n, text = self.ngram_size, self.encoder_input_ids
        if ids.shape[1] < n - 1 or text.shape[1] < n:
            return scores
        return _ban_followers(scores, ids, np.repeat(text, max(1, len(scores) // len(text)), 0), n)


# ---- single tokens and words -------------------------------------------------------------------------------


def _is_word(word: Any) -> bool:
    """A sequence of tokens that is not empty."""
    return (
        isinstance(word, (list, tuple))
        and len(word) > 0
        and all(isinstance(t, (int, np.integer)) and not isinstance(t, bool) and t >= 0 for t in word)
    )


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """Adds to the score of the token that would complete a sequence: {(ids): bias} or [[[ids], bias]]."""

    def __init__(self, sequence_bias: Any) -> None:
        given = sequence_bias
        if isinstance(given, list) and all(isinstance(p, (list, tuple)) and len(p) == 2 for p in given):
            pairs = given
        else:
            pairs = list(given.items()) if isinstance(given, dict) else []
        _require(
            len(pairs) > 0 and all(_is_word(word) and isinstance(bias, float) for word, bias in pairs),
            "sequence_bias must map sequences of tokens to floats, {(1, 2): 0.5} or [[[1, 2], 0.5]], "
            f"got {given!r}",
        )
        given = {tuple(word): bias for word, bias in pairs}
        self.sequence_bias = given
        self._vocabulary = -1

    def _prepare(self, scores: Array) -> None:
        self._vocabulary = scores.shape[1]
        largest = max((t for ids in self.sequence_bias for t in ids), default=0)
        _require(
            largest < self._vocabulary,
            f"sequence_bias must hold tokens below the vocabulary's size {self._vocabulary}, got {largest}",
        )
        single = [(ids[0], b) for ids, b in self.sequence_bias.items() if len(ids) == 1]
        self._single = (
            np.array([t for t, _ in single], np.int64),
            np.array([b for _, b in single], scores.dtype),
        )
        groups: dict[int, list[tuple[tuple[int, ...], float]]] = {}
        for ids, bias in self.sequence_bias.items():
            if len(ids) > 1:
                groups.setdefault(len(ids) - 1, []).append((ids, bias))
        self._longer = [
            (
                n,
                np.array([ids[:-1] for ids, _ in group], np.int64),
                np.array([ids[-1] for ids, _ in group], np.int64),
                np.array([b for _, b in group], scores.dtype),
            )
            for n, group in groups.items()
        ]

    def process(self, ids: Array, scores: Array) -> Array:
        if self._vocabulary != scores.shape[1]:
            self._prepare(scores)
        out = scores.copy()
        tokens, biases = self._single
        out[:, tokens] += biases
        for n, before, last, bias in self._longer:
            if n <= ids.shape[1]:
                rows, words = np.nonzero((ids[:, None, ids.shape[1] - n :] == before).all(-1))
                np.add.at(out, (rows, last[words]), bias[words])
        return out


class NoBadWordsLogitsProcessor(SequenceBiasLogitsProcessor):
    """Never completes one of these sequences of tokens; the end of the sequence alone is no word."""

    def __init__(self, bad_words_ids: list[list[int]], eos_token_id: Any = None) -> None:
        good = (
            isinstance(bad_words_ids, list) and len(bad_words_ids) > 0 and all(map(_is_word, bad_words_ids))
        )
        _require(good, f"bad_words_ids must be lists of tokens, none empty, got {bad_words_ids!r}")
        ends = [] if eos_token_id is None else token_ids(eos_token_id).tolist()
        kept = [w for w in bad_words_ids if not (len(w) == 1 and w[0] in ends)]
        if kept:
            super().__init__({tuple(w): float("-inf") for w in kept})
        else:
            self.sequence_bias, self._vocabulary = {}, -1


class SuppressTokensLogitsProcessor(LogitsProcessor):
    """These tokens never come."""

    def __init__(self, suppress_tokens: Any, device: str = "cpu") -> None:
        self.suppress_tokens = token_ids(list(suppress_tokens))

    def process(self, ids: Array, scores: Array) -> Array:
        return _banned(scores, self.suppress_tokens)


class SuppressTokensAtBeginLogitsProcessor(LogitsProcessor):
    """These tokens do not come first, which is where the sequence has `begin_index` tokens."""

    def __init__(self, begin_suppress_tokens: Any, begin_index: int, device: str = "cpu") -> None:
        self.begin_suppress_tokens = token_ids(list(begin_suppress_tokens))
        self.begin_index = begin_index

    def process(self, ids: Array, scores: Array) -> Array:
        return _banned(scores, self.begin_suppress_tokens) if ids.shape[1] == self.begin_index else scores


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Only tokens that `prefix_allowed_tokens_fn(batch_id, tokens so far)` gives."""

    def __init__(self, prefix_allowed_tokens_fn: Callable[[int, Tensor], Any], num_beams: int) -> None:
        self._allowed, self._num_beams = prefix_allowed_tokens_fn, num_beams

    def process(self, ids: Array, scores: Array) -> Array:
        mask = np.full_like(scores, -np.inf)
        for row, sentence in enumerate(ids):
            allowed = as_array(self._allowed(row // self._num_beams, as_tensor(sentence))).astype(np.int64)
            _require(
                allowed.size > 0,
                f"prefix_allowed_tokens_fn must allow at least one token, got none for input "
                f"{row // self._num_beams}",
            )
            mask[row, allowed] = 0
        out = scores + mask
        stuck = np.isneginf(out.max(1)).reshape(-1, self._num_beams).all(1)
        return np.where(np.repeat(stuck, self._num_beams)[:, None], mask, out)


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    """NaN becomes 0, infinities the largest and the smallest number."""

    def process(self, ids: Array, scores: Array) -> Array:
        return np.nan_to_num(scores)


class LogitNormalization(LogitsProcessor):
    """Scores whose exponentials sum to 1."""

    def process(self, ids: Array, scores: Array) -> Array:
        return log_softmax(scores)


# ---- sampling ----------------------------------------------------------------------------------------------


class TemperatureLogitsWarper(LogitsProcessor):
    """Scores / temperature: below 1 sharper, above 1 flatter."""

    def __init__(self, temperature: float) -> None:
        _require(
            isinstance(temperature, float) and temperature > 0,
            f"temperature must be a positive float, got {temperature!r}; do_sample=False is greedy",
        )
        self.temperature = temperature

    def process(self, ids: Array, scores: Array) -> Array:
        out: Array = scores / scores.dtype.type(self.temperature)
        return out


class _Filter(LogitsProcessor):
    """What keeps some tokens and gives the others `filter_value`."""

    def __init__(self, filter_value: float, min_tokens_to_keep: int) -> None:
        _positive_int("min_tokens_to_keep", min_tokens_to_keep)
        self.filter_value, self.min_tokens_to_keep = filter_value, min_tokens_to_keep

    def _without(self, scores: Array, removed: Array) -> Array:
        return np.where(removed, scores.dtype.type(self.filter_value), scores)

    def _keep(self, scores: Array, places: Array, kept: Array) -> Array:
        """Only the tokens at `places` (rows, k) where `kept` holds."""
        out = np.full_like(scores, self.filter_value)
        rows, columns = np.nonzero(kept)
        tokens = places[rows, columns]
        out[rows, tokens] = scores[rows, tokens]
        return out

    def _least(self, scores: Array) -> Array:
        """The score that the last of the tokens to keep has, (rows, 1)."""
        return top(scores, min(self.min_tokens_to_keep, scores.shape[1]))[0][:, -1:]


class TopKLogitsWarper(_Filter):
    """The k likeliest tokens, and what ties with the last of them."""

    def __init__(self, top_k: int, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        _positive_int("top_k", top_k)
        super().__init__(filter_value, min_tokens_to_keep)
        self.top_k = max(top_k, min_tokens_to_keep)

    def process(self, ids: Array, scores: Array) -> Array:
        least = top(scores, min(self.top_k, scores.shape[1]))[0][:, -1:]
        return self._without(scores, scores < least)


def _likeliest(keys: Array, probabilities: Array, mass: float, least: int) -> tuple[Array, Array]:
    """Tokens by falling key, and the sum of probabilities up to each: as many as reach the mass."""
    k = max(64, least)
    while True:
        k = min(k, keys.shape[1])
        places = top(keys, k)[1]
        sums = np.take_along_axis(probabilities, places, 1).cumsum(1, np.float64)
        if k == keys.shape[1] or bool((sums[:, -1] >= mass).all()):
            return places, sums
        k *= 8


class TopPLogitsWarper(_Filter):
    """The fewest likeliest tokens whose probabilities reach `top_p`.

    A. Holtzman et al.: The Curious Case of Neural Text Degeneration (2020).
    """

    def __init__(self, top_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.top_p = float(top_p)
        _require(0 <= self.top_p <= 1, f"top_p must be between 0 and 1, got {top_p!r}")
        super().__init__(filter_value, min_tokens_to_keep)

    def process(self, ids: Array, scores: Array) -> Array:
        p = softmax(scores)
        places, sums = _likeliest(scores, p, self.top_p, self.min_tokens_to_keep)
        before = np.concatenate([np.zeros((len(sums), 1)), sums[:, :-1]], 1)
        kept = before < self.top_p
        kept[:, : self.min_tokens_to_keep] = True
        return self._keep(scores, places, kept)


class TopHLogitsWarper(_Filter):
    """The likeliest tokens, of a hundred, whose part of the entropy stays within `top_h` of it."""

    def __init__(self, top_h: float, filter_value: float = -math.inf) -> None:
        _require(0 < top_h <= 1, f"top_h must be above 0 and at most 1, got {top_h!r}")
        super().__init__(filter_value, 1)
        self.top_n, self.top_h = 100, top_h

    def process(self, ids: Array, scores: Array) -> Array:
        values, places = top(scores, min(self.top_n, scores.shape[1]))
        log_p = log_softmax(values)
        terms = -np.exp(log_p) * np.maximum(log_p, np.finfo(log_p.dtype).min)
        sums = terms.cumsum(1)
        kept = sums <= terms.sum(1, keepdims=True) * self.top_h
        kept[:, 0] = True
        return self._keep(scores, places, kept)


class MinPLogitsWarper(_Filter):
    """Tokens with at least `min_p` times the probability of the likeliest."""

    def __init__(self, min_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        _require(0 <= min_p <= 1, f"min_p must be between 0 and 1, got {min_p!r}")
        super().__init__(filter_value, min_tokens_to_keep)
        self.min_p = min_p

    def process(self, ids: Array, scores: Array) -> Array:
        p = softmax(scores)
        removed = p < p.dtype.type(self.min_p) * p.max(1, keepdims=True)
        if self.min_tokens_to_keep > 1:
            places = top(p, min(self.min_tokens_to_keep, p.shape[1]))[1]
            np.put_along_axis(removed, places, False, 1)
        return self._without(scores, removed)


class TypicalLogitsWarper(_Filter):
    """Tokens whose surprise is nearest the expected one, until their probabilities reach `mass`.

    C. Meister et al.: Locally Typical Sampling (2023).
    """

    def __init__(
        self, mass: float = 0.9, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        self.mass = float(mass)
        _require(0 < self.mass < 1, f"typical_p must be above 0 and below 1, got {mass!r}")
        super().__init__(filter_value, min_tokens_to_keep)

    def process(self, ids: Array, scores: Array) -> Array:
        log_p = log_softmax(scores)
        p = np.exp(log_p)
        with np.errstate(invalid="ignore"):
            entropy = -np.nansum(log_p * p, 1, keepdims=True)
        near = -np.abs(-log_p - entropy)
        places, sums = _likeliest(near, p, self.mass, self.min_tokens_to_keep)
        last = np.minimum((sums < self.mass).sum(1), places.shape[1] - 1)
        least = np.take_along_axis(near, np.take_along_axis(places, last[:, None], 1), 1)
        removed = near < least
        np.put_along_axis(removed, places[:, : self.min_tokens_to_keep], False, 1)
        return self._without(scores, removed)


class EpsilonLogitsWarper(_Filter):
    """Tokens of probability `epsilon` and more."""

    def __init__(self, epsilon: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.epsilon = float(epsilon)
        _require(0 < self.epsilon < 1, f"epsilon_cutoff must be above 0 and below 1, got {epsilon!r}")
        super().__init__(filter_value, min_tokens_to_keep)

    def process(self, ids: Array, scores: Array) -> Array:
        return self._without(scores, (softmax(scores) < self.epsilon) & (scores < self._least(scores)))


class EtaLogitsWarper(_Filter):
    """Tokens of probability min(epsilon, sqrt(epsilon) exp(-entropy)) and more.

    J. Hewitt et al.: Truncation Sampling as Language Model Desmoothing (2022).
    """

    def __init__(
        self,
        epsilon: float,
        filter_value: float = -math.inf,
        min_tokens_to_keep: int = 1,
        device: str = "cpu",
    ) -> None:
        self.epsilon = float(epsilon)
        _require(0 < self.epsilon < 1, f"eta_cutoff must be above 0 and below 1, got {epsilon!r}")
        super().__init__(filter_value, min_tokens_to_keep)

    def process(self, ids: Array, scores: Array) -> Array:
        log_p = log_softmax(scores)
        p = np.exp(log_p)
        entropy = -(np.maximum(log_p, np.finfo(log_p.dtype).min) * p).sum(1, keepdims=True)
        eta = np.minimum(self.epsilon, math.sqrt(self.epsilon) * np.exp(-entropy))
        return self._without(scores, (p < eta) & (scores < self._least(scores)))
