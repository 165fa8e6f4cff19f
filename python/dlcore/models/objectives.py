"""What language models are trained to do, as functions of token ids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcore.random import get_generator

__all__ = ["mask_tokens", "sentence_pairs", "span_corruption"]

Ids = np.ndarray[Any, np.dtype[np.int64]]


def _composition(total: int, parts: int, rng: np.random.Generator) -> Ids:
    """`total` as a sum of `parts` positive numbers, each way equally likely."""
    cuts = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]])).astype(np.int64)


def span_corruption(
    ids: Any,
    noise_density: float = 0.15,
    mean_noise_span_length: float = 3.0,
    extra_ids: Sequence[int] = range(32099, 31999, -1),
    *,
    eos_token_id: int | None = None,
    rng: Any = None,
) -> tuple[Ids, Ids]:
    """T5's denoising task: (inputs, targets) of one text, 1-D integers.

    round(n · noise_density) of the n tokens fall into round(that / mean_noise_span_length) spans, all ways
    to lay these out being equally likely; a text begins outside them and ends with one. In the inputs
    `extra_ids[i]` stands for span i; the targets are each span after its id, then one more id. With
    `eos_token_id` both end with it.

    Raises ValueError for fewer than 2 tokens, a density outside (0, 1), a length below 1, and where there
    are more spans than extra ids to name them.

    C. Raffel et al.: Exploring the limits of transfer learning with a unified text-to-text transformer
    (JMLR 2020), section 3.1.4.

    >>> inputs, targets = span_corruption(range(10), 0.3, 3.0, (90, 91), rng=0)
    >>> inputs.tolist(), targets.tolist()
    ([0, 1, 2, 3, 4, 5, 6, 90], [90, 7, 8, 9, 91])
    """
    tokens = np.asarray(ids)
    if tokens.ndim != 1 or tokens.size < 2 or tokens.dtype.kind not in "iu":
        raise ValueError(
            f"span_corruption: ids must be at least 2 integers in a row, got {tokens.shape} {tokens.dtype}"
        )
    if not 0.0 < noise_density < 1.0:
        raise ValueError(f"span_corruption: noise_density must lie between 0 and 1, got {noise_density}")
    if not mean_noise_span_length >= 1.0:
        raise ValueError(
            f"span_corruption: mean_noise_span_length must be at least 1, got {mean_noise_span_length}"
        )
    generator = get_generator(rng)
    n = tokens.size
    noise = min(max(round(n * noise_density), 1), n - 1)
    spans = min(max(round(noise / mean_noise_span_length), 1), n - noise)
    if spans >= len(extra_ids):
        raise ValueError(
            f"span_corruption: extra_ids must be one more than the {spans} spans, got {len(extra_ids)}"
        )
    kept = _composition(n - noise, spans, generator)
    lost = _composition(noise, spans, generator)
    ends = np.cumsum(kept + lost)
    names = np.asarray(extra_ids[: spans + 1], np.int64)
    inputs: list[Any] = []
    targets: list[Any] = []
    for i, (end, length) in enumerate(zip(ends.tolist(), lost.tolist())):
        begin = 0 if i == 0 else ends[i - 1]
        inputs += [tokens[begin : end - length], names[i : i + 1]]
        targets += [names[i : i + 1], tokens[end - length : end]]
    targets.append(names[spans:])
    if eos_token_id is not None:
        inputs.append([eos_token_id])
        targets.append([eos_token_id])
    return np.concatenate(inputs).astype(np.int64), np.concatenate(targets).astype(np.int64)


def mask_tokens(
    ids: Any,
    mask_token_id: int,
    vocab_size: int,
    probability: float = 0.15,
    special_ids: Sequence[int] = (),
    *,
    rng: Any = None,
) -> tuple[Ids, Ids]:
    """BERT's masked language modelling: (inputs, labels), each of the shape of `ids`.

    Each token that is not among `special_ids` is asked for with this probability: its label is the token,
    -100 elsewhere. Of those asked for 80 % become `mask_token_id`, 10 % a token drawn at random, 10 % stay.

    Raises ValueError for ids that are no integers within the vocabulary, and a probability outside [0, 1].

    J. Devlin et al.: BERT (NAACL 2019), section 3.1.

    >>> inputs, labels = mask_tokens([[5, 6, 7, 8, 2]], 4, 9, 0.5, special_ids=[2], rng=1)
    >>> inputs.tolist(), labels.tolist()
    ([[5, 6, 4, 8, 2]], [[-100, -100, 7, -100, -100]])
    """
    tokens = np.asarray(ids)
    if tokens.dtype.kind not in "iu" or (tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size):
        raise ValueError(
            f"mask_tokens: ids must be integers from 0 to {vocab_size - 1}, got {tokens.shape} {tokens.dtype}"
        )
    if not 0 <= probability <= 1:
        raise ValueError(f"mask_tokens: probability must lie between 0 and 1, got {probability}")
    g = get_generator(rng)
    asked = (g.random(tokens.shape) < probability) & ~np.isin(tokens, np.asarray(special_ids, np.int64))
    kind = g.random(tokens.shape)
    drawn = g.integers(0, vocab_size, tokens.shape)
    inputs = np.where(asked & (kind < 0.8), mask_token_id, tokens)
    inputs = np.where(asked & (kind >= 0.8) & (kind < 0.9), drawn, inputs)
    return inputs.astype(np.int64), np.where(asked, tokens, -100).astype(np.int64)


def sentence_pairs(documents: Sequence[Sequence[Any]], *, rng: Any = None) -> list[tuple[Any, Any, int]]:
    """BERT's next-sentence task: (first, second, label) for each sentence that another follows; with even
    odds `second` is that one (label 0), or a sentence of another document drawn at random (1).

    Raises ValueError for fewer than two documents with sentences.

    >>> sentence_pairs([["a", "b"], ["c"]], rng=0)
    [('a', 'c', 1)]
    """
    full = [d for d in documents if len(d)]
    if len(full) < 2:
        raise ValueError(f"sentence_pairs: at least two documents must have sentences, got {len(full)}")
    g = get_generator(rng)
    out: list[tuple[Any, Any, int]] = []
    for i, document in enumerate(full):
        for first, follows in itertools.pairwise(document):
            if g.random() < 0.5:
                out.append((first, follows, 0))
                continue
            j = int(g.integers(len(full) - 1))
            other = full[j + (j >= i)]
            out.append((first, other[int(g.integers(len(other)))], 1))
    return out
