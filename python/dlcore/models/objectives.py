"""What language models are trained to do, as functions of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcore.random import get_generator

__all__ = ["span_corruption"]

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
