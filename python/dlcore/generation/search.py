"""The loops: greedy and sampled decoding, and beams. Bookkeeping is NumPy's; the model is called once a step.

Beams follow Transformers' rules: each step keeps max(2, 1 + number of end tokens) times `num_beams`
candidates; a candidate among the first `num_beams` that ends joins the finished ones with score /
length^length_penalty; the best that have not ended go on. `early_stopping` True stops when there are
`num_beams` finished ones, False when the best running one could not overtake at its present length, "never"
when it could not at any length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.generation.config import GenerationConfig
from dlcore.generation.processors import LogitsProcessorList, log_softmax
from dlcore.generation.stopping import StoppingCriteriaList

__all__ = ["Job", "Result", "beam_search", "sample"]

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

_LOW = np.float32(-1e9)


@dataclass
class Job:
    """What the loops are given. `step(ids)` runs the model on what it has not seen: (R, T) -> logits (R, V);
    `expand(n)` makes each row of its state n rows; `reorder(beams)` gives row i the state of row beams[i].
    """

    ids: Ids  # (B, T): the prompt, or the decoder's start
    config: GenerationConfig
    max_length: int
    eos: list[int]
    pad: int
    processors: LogitsProcessorList
    criteria: StoppingCriteriaList
    step: Callable[[Ids], Scores]
    expand: Callable[[int], None]
    reorder: Callable[[npt.NDArray[np.int64]], None]
    rng: np.random.Generator
    emit: Callable[[Ids], None] | None = None


@dataclass
class Result:
    ids: Ids
    scores: list[Scores] = field(default_factory=list)
    logits: list[Scores] = field(default_factory=list)
    sequences_scores: Scores | None = None
    beam_indices: npt.NDArray[np.int32] | None = None


def _draw(scores: Scores, rng: np.random.Generator) -> Ids:
    """One token a row from softmax(scores), by inverting the cumulative distribution."""
    out = np.empty(len(scores), np.int64)
    for i, (row, u) in enumerate(zip(scores, rng.random(len(scores)))):
        reached = np.cumsum(np.exp((row - row.max()).astype(np.float64)))
        out[i] = np.searchsorted(reached, u * reached[-1], side="right")
    np.minimum(out, scores.shape[1] - 1, out=out)
    return out


def sample(job: Job) -> Result:
    """The most probable token each time, or one drawn where config.do_sample."""
    config, copies = job.config, job.config.num_return_sequences
    length = job.ids.shape[1]
    rows = len(job.ids) * copies
    ids = np.full((rows, job.max_length), job.pad, np.int64)
    ids[:, :length] = np.repeat(job.ids, copies, 0)
    done = np.zeros(rows, bool)
    result = Result(ids)
    while length < job.max_length:
        if copies > 1 and length == job.ids.shape[1]:  # the prompt is computed once
            logits = np.repeat(job.step(job.ids), copies, 0)
            job.expand(copies)
        else:
            logits = job.step(ids[:, :length])
        if config.output_logits:
            result.logits.append(logits.copy())
        scores = job.processors(ids[:, :length], logits)
        if config.output_scores:
            result.scores.append(scores.copy())
        chosen = _draw(scores, job.rng) if config.do_sample else scores.argmax(-1)
        ids[:, length] = np.where(done, job.pad, chosen)
        length += 1
        if job.emit is not None:
            job.emit(ids[:, length - 1])
        done |= job.criteria(ids[:, :length], scores)
        if done.all():
            break
    result.ids = ids[:, :length]
    return result


def _gather(a: npt.NDArray[Any], index: Ids) -> npt.NDArray[Any]:
    """Rows of the second axis: a (B, N, ...), index (B, K) -> (B, K, ...)."""
    out: npt.NDArray[Any] = a[np.arange(len(a))[:, None], index]
    return out


def _top(scores: npt.NDArray[np.floating[Any]], k: int) -> Ids:
    """(B, k): where the k largest of each row are, the largest first, ties in order of place."""
    if scores.shape[1] <= 4 * k:
        whole: Ids = np.argsort(-scores, -1, kind="stable")[:, :k]
        return whole
    part = np.sort(np.argpartition(scores, scores.shape[1] - k, -1)[:, -k:], -1)
    order = np.argsort(-np.take_along_axis(scores, part, -1), -1, kind="stable")
    out: Ids = np.take_along_axis(part, order, -1)
    return out


def beam_search(job: Job) -> Result:
    config, N = job.config, job.config.num_beams
    B, prompt = job.ids.shape
    penalty, early = float(config.length_penalty), config.early_stopping
    keep = max(2, 1 + len(job.eos)) * N
    first = np.arange(keep) < N
    # Transformers' rule, which takes a padding token of 0 for none.
    fill = (job.pad or job.eos[0]) if job.eos else -1
    running = np.full((B, N, job.max_length), fill, np.int64)
    running[:, :, :prompt] = job.ids[:, None]
    finished = running.copy()
    running_scores = np.zeros((B, N), np.float32)
    running_scores[:, 1:] = _LOW  # all beams are the same at first: only one of them counts
    finished_scores = np.full((B, N), _LOW, np.float32)
    is_finished = np.zeros((B, N), bool)
    may_improve = np.ones((B, 1), bool)
    running_from = np.full((B, N, job.max_length - prompt), -1, np.int32)
    finished_from = running_from.copy()
    result = Result(job.ids)
    offset = np.arange(B)[:, None] * N
    emitted = length = prompt
    while True:
        if length == prompt:
            logits = np.repeat(job.step(job.ids), N, 0)
            job.expand(N)
        else:
            logits = job.step(running[:, :, :length].reshape(B * N, length))
        if config.output_logits:
            result.logits.append(logits.copy())
        flat = running[:, :, :length].reshape(B * N, length)
        logp = job.processors(flat, log_softmax(logits))
        if config.output_scores:
            result.scores.append(logp.copy())
        V = logp.shape[1]
        total = (logp.reshape(B, N, V) + running_scores[:, :, None]).reshape(B, N * V)
        if config.do_sample:  # without replacement: the largest of perturbed scores (Gumbel, 1954)
            perturbed = total + job.rng.gumbel(size=total.shape).astype(np.float32)
            best = _top(perturbed, keep)
        else:
            best = _top(total, keep)
        scores = np.take_along_axis(total, best, -1)  # (B, keep)
        source = best // V
        candidates = _gather(running, source)
        candidates[:, :, length] = best % V
        candidates_from = _gather(running_from, source)
        candidates_from[:, :, length - prompt] = source + offset
        ends = job.criteria(candidates[:, :, : length + 1].reshape(B * keep, length + 1)).reshape(B, keep)

        alive = scores + ends * _LOW
        chosen = _top(alive, N)
        running, running_scores = _gather(candidates, chosen), _gather(alive, chosen)
        running_from = _gather(candidates_from, chosen)

        closing = scores / np.float32((length + 1 - prompt) ** penalty)
        closing = closing + (is_finished.all(-1, keepdims=True) & (early is True)) * _LOW
        closing = closing + ~may_improve * _LOW + ~(ends & first) * _LOW
        merged = np.concatenate([finished_scores, closing], 1).astype(np.float32)
        best = _top(merged, N)
        finished = _gather(np.concatenate([finished, candidates], 1), best)
        finished_from = _gather(np.concatenate([finished_from, candidates_from], 1), best)
        is_finished = _gather(np.concatenate([is_finished, ends & first], 1), best)
        finished_scores = _gather(merged, best)

        job.reorder((np.take_along_axis(source, chosen, -1) + offset).reshape(-1))
        length += 1
        horizon = job.max_length - prompt if early == "never" and penalty > 0 else length - prompt
        possible = running_scores[:, :1] / np.float32(horizon**penalty)
        worst = np.where(is_finished, finished_scores.min(1, keepdims=True), _LOW)
        may_improve &= (possible > worst).any(-1, keepdims=True)
        if job.emit is not None:  # what every beam that may still win begins with
            rivals = np.concatenate(
                [running[0, :, :length], finished[0, finished_scores[0] > _LOW / 2, :length]]
            )
            agree = (rivals == rivals[0]).all(0)
            common = length if agree.all() else int(agree.argmin())
            if common > emitted:
                job.emit(rivals[0, emitted:common])
                emitted = common
        if not may_improve.any() or (is_finished.all() and early is True) or ends.all():
            break

    copies = config.num_return_sequences
    none = ~is_finished.any(-1)  # nothing has ended: what runs is the answer
    finished[none], finished_scores[none], finished_from[none] = (
        running[none], running_scores[none], running_from[none],
    )  # fmt: skip
    ids = finished[:, :copies].reshape(B * copies, -1)
    beams = finished_from[:, :copies].reshape(B * copies, -1)
    longest = prompt + int((beams >= 0).sum(-1).max(initial=0))
    result.ids = ids[:, :longest]
    result.beam_indices = beams[:, : longest - prompt]
    result.sequences_scores = finished_scores[:, :copies].reshape(-1)
    if job.emit is not None and len(result.ids[0]) > emitted:
        job.emit(result.ids[0, emitted:])
    return result
