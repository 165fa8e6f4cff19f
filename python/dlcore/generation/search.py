"""The loops: one forward a token, then a choice. Greedy and sampling in `sample`, beams in `beam_search`.

B inputs, n beams each, C candidates an input, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.generation.decoding import DecodingState
from dlcore.generation.processors import Array, LogitsProcessorList, as_tensor, log_softmax, top
from dlcore.generation.stopping import StoppingCriteriaList

__all__ = ["Record", "beam_search", "draw", "draw_without_replacement", "sample"]

_IMPOSSIBLE = np.float32(-1e9)  # what no log-probability reaches, and what still adds and compares


class Record:
    """What `return_dict_in_generate` gives back beside the tokens, a step an entry; None is not wanted."""

    def __init__(self, config: Any, is_encoder_decoder: bool) -> None:
        def wanted(name: str) -> list[Any] | None:
            return [] if config.return_dict_in_generate and getattr(config, name) else None

        self.scores, self.logits = wanted("output_scores"), wanted("output_logits")
        self.attentions, self.hidden_states = wanted("output_attentions"), wanted("output_hidden_states")
        self.cross_attentions = wanted("output_attentions") if is_encoder_decoder else None
        self._prefix = "decoder_" if is_encoder_decoder else ""

    def model(self, outputs: Any, logits: Array) -> None:
        if self.logits is not None:
            self.logits.append(as_tensor(logits.copy()))
        if self.attentions is not None:
            self.attentions.append(getattr(outputs, self._prefix + "attentions"))
        if self.cross_attentions is not None:
            self.cross_attentions.append(outputs.cross_attentions)
        if self.hidden_states is not None:
            self.hidden_states.append(getattr(outputs, self._prefix + "hidden_states"))

    def processed(self, scores: Array) -> Any:
        """The scores so far, as stopping criteria get them."""
        if self.scores is None:
            return None
        self.scores.append(as_tensor(scores.copy()))
        return tuple(self.scores)


def _check(best: Array) -> None:
    if not np.isfinite(best).all():
        raise ValueError(
            "generate: the scores of each row must have a finite largest value to sample from, got NaN or "
            "infinite ones (remove_invalid_values=True replaces them)"
        )


def draw(scores: Array, rng: np.random.Generator) -> Array:
    """One token a row, (rows,), with the probabilities softmax(scores): one number of `rng` a row."""
    best = scores.max(1)
    _check(best)
    tokens = np.empty(len(scores), np.int64)
    for i, u in enumerate(rng.random(len(scores))):
        kept = np.flatnonzero(scores[i] > -np.inf)
        sums = np.exp(scores[i, kept] - best[i]).cumsum(dtype=np.float64)
        tokens[i] = kept[min(sums.searchsorted(u * sums[-1], "right"), len(kept) - 1)]
    return tokens


def draw_without_replacement(scores: Array, k: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """k of each row, one after the other with the probabilities softmax(scores): their scores and places.

    The k largest of scores plus Gumbel noise: W. Kool, H. van Hoof, M. Welling: Stochastic Beams and Where to
    Find Them (2019).
    """
    _check(scores.max(1))
    keys = np.full_like(scores, -np.inf)
    possible = scores > -np.inf
    noise = rng.gumbel(size=int(possible.sum()))
    keys[possible] = scores[possible] + noise
    places = top(keys, k)[1]
    return np.take_along_axis(scores, places, 1), places


def sample(
    state: DecodingState,
    outputs: Any,
    logits: Array,
    ids: Array,
    processors: LogitsProcessorList,
    criteria: StoppingCriteriaList,
    config: Any,
    pad: int | None,
    rng: np.random.Generator | None,
    streamer: Any,
    record: Record,
) -> Array:
    """(rows, tokens); `rng` None takes the likeliest token."""
    rows, length = ids.shape
    buffer = np.empty((rows, max(config.max_length, length + 1)), np.int64)
    buffer[:, :length] = ids
    going = np.ones(rows, bool)
    fills = any(hasattr(one, "eos_token_id") for one in criteria)
    if fills and pad is None and rows > 1:
        raise ValueError("generate: pad_token_id must be given where sequences may end at different lengths")
    while True:
        seen = buffer[:, :length]
        record.model(outputs, logits)
        scores = processors.process(seen, logits)
        all_scores = record.processed(scores)
        tokens = scores.argmax(1) if rng is None else draw(scores, rng)
        if fills and pad is not None:
            tokens = np.where(going, tokens, pad)
        if length == buffer.shape[1]:  # a caller's own criterion goes beyond max_length
            buffer = np.concatenate([buffer, np.empty_like(buffer)], 1)
        buffer[:, length] = tokens
        length += 1
        if streamer is not None:
            streamer.put(as_tensor(tokens))
        going &= ~criteria.done(buffer[:, :length], all_scores)
        if not going.any():
            break
        outputs = state.step(buffer[:, :length])
        logits = state.last_logits(outputs)
    if streamer is not None:
        streamer.end()
    return buffer[:, :length]


def _gather(x: Array, index: Array) -> Array:
    """Rows `index` (B, k) of x (B, n, ...)."""
    return x[np.arange(len(x))[:, None], index]


def _largest(x: Array, k: int) -> Array:
    return np.argsort(-x, axis=1, kind="stable")[:, :k]


class _Agreement:
    """Streams the tokens that all beams that may still win have in common."""

    def __init__(self, streamer: Any, prompt: int) -> None:
        self.streamer, self.sent = streamer, prompt

    def put(self, sequences: list[Array]) -> None:
        n = min(len(s) for s in sequences)
        if n <= self.sent:
            return
        heads = np.stack([s[self.sent : n] for s in sequences])
        same = (heads == heads[0]).all(0)
        for token in heads[0, : len(same) if same.all() else int(same.argmin())]:
            self.streamer.put(as_tensor(np.array([token])))
            self.sent += 1

    def end(self, best: Array) -> None:
        self.put([best])
        self.streamer.end()


def beam_search(
    state: DecodingState,
    outputs: Any,
    logits: Array,
    ids: Array,
    processors: LogitsProcessorList,
    criteria: StoppingCriteriaList,
    config: Any,
    ends: Array,
    pad: int | None,
    rng: np.random.Generator | None,
    streamer: Any,
    record: Record,
) -> tuple[Array, Array, Array]:
    """Sequences (B * returned, tokens), their scores, and which row each token came from (-1: none).

    A beam is running until a criterion ends it; the best n finished ones of each input are kept. An input
    is done when its running beams cannot improve these, as `early_stopping` and `length_penalty` judge it.
    """
    n, penalty, early = config.num_beams, config.length_penalty, config.early_stopping
    rows, prompt = ids.shape
    B, V = rows // n, logits.shape[1]
    C = max(2, 1 + len(ends)) * n  # enough that n candidates go on if all others end
    if n * V < C:
        raise ValueError(f"generate: num_beams={n} must leave {C} candidates, got a vocabulary of {V}")
    longest = criteria.max_length or config.max_length
    fill = (pad or int(ends[0])) if len(ends) else -1
    running = np.full((B, n, longest), fill, np.int64)
    running[:, :, :prompt] = ids.reshape(B, n, prompt)
    finished = running.copy()
    running_scores = np.zeros((B, n), np.float32)
    running_scores[:, 1:] = _IMPOSSIBLE  # all beams are the same at first: one is enough
    finished_scores = np.full((B, n), _IMPOSSIBLE, np.float32)
    is_finished = np.zeros((B, n), bool)
    improvable = np.ones((B, 1), bool)
    running_rows = np.full((B, n, longest - prompt), -1, np.int32)
    finished_rows = running_rows.copy()
    among_best = np.arange(C) < n
    agreement = None if streamer is None else _Agreement(streamer, prompt)
    length = prompt
    while True:
        record.model(outputs, logits)
        seen = running[:, :, :length].reshape(rows, length)
        log_p = processors.process(seen, log_softmax(logits))
        all_scores = record.processed(log_p)
        total = (log_p.reshape(B, n, V) + running_scores[:, :, None]).reshape(B, n * V)
        best, places = top(total, C) if rng is None else draw_without_replacement(total, C, rng)
        parents = places // V  # (B, C)
        candidates = _gather(running, parents)
        candidates[:, :, length] = places % V
        rows_of = _gather(running_rows, parents)
        rows_of[:, :, length - prompt] = parents + np.arange(B)[:, None] * n
        done = criteria.done(candidates[:, :, : length + 1].reshape(B * C, length + 1), all_scores)
        done = done.reshape(B, C)

        on = best + done.astype(np.float32) * _IMPOSSIBLE
        chosen = _largest(on, n)
        running, running_scores = _gather(candidates, chosen), _gather(on, chosen)
        running_rows = _gather(rows_of, chosen)

        just = done & among_best
        new = best / np.float32((length + 1 - prompt) ** penalty)
        if early is True:
            new += is_finished.all(1, keepdims=True).astype(np.float32) * _IMPOSSIBLE
        new += (~improvable).astype(np.float32) * _IMPOSSIBLE
        new += (~just).astype(np.float32) * _IMPOSSIBLE
        if just.any():
            merged = np.concatenate([finished_scores, new], 1)
            kept = _largest(merged, n)
            finished_scores = _gather(merged, kept)
            finished = _gather(np.concatenate([finished, candidates], 1), kept)
            finished_rows = _gather(np.concatenate([finished_rows, rows_of], 1), kept)
            is_finished = _gather(np.concatenate([is_finished, just], 1), kept)

        length += 1
        hypothetical = (longest if early == "never" and penalty > 0 else length) - prompt
        possible = running_scores[:, :1] / np.float32(hypothetical**penalty)
        worst = np.where(is_finished, finished_scores.min(1, keepdims=True), _IMPOSSIBLE)
        improvable &= (possible > worst).any(1, keepdims=True)
        if agreement is not None:
            agreement.put([*running[0, :, :length], *_ended(finished, finished_rows, is_finished, prompt)])
        over = not improvable.any() or (early is True and bool(is_finished.all())) or bool(done.all())
        if state.cache is not None and (not over or config.return_dict_in_generate):
            state.cache.reorder_cache(running_rows[:, :, length - 1 - prompt].reshape(-1))
        if over:
            break
        outputs = state.step(running[:, :, :length].reshape(rows, length))
        logits = state.last_logits(outputs)

    returned = config.num_return_sequences
    sequences = finished[:, :returned].reshape(B * returned, -1)
    rows_of = finished_rows[:, :returned].reshape(B * returned, -1)
    made = int((rows_of >= 0).sum(1).max())
    if agreement is not None:
        agreement.end(sequences[0, : prompt + made])
    return sequences[:, : prompt + made], finished_scores[:, :returned].reshape(-1), rows_of[:, :made]


def _ended(finished: Array, rows_of: Array, is_finished: Array, prompt: int) -> list[Array]:
    """The finished sequences of the first input, without what fills them."""
    lengths = prompt + (rows_of[0] >= 0).sum(1)
    return [finished[0, i, : lengths[i]] for i in np.flatnonzero(is_finished[0])]
