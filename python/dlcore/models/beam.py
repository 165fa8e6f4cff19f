"""Greedy and beam search as translation has them: a length penalty that grows, and an end that is proven.

Y. Wu et al.: Google's neural machine translation system (2016), equation 14, for the penalty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.autograd import no_grad
from dlcore.tensor import Tensor, tensor

__all__ = ["Translator", "length_penalty"]

Rows = np.ndarray[Any, Any]


def length_penalty(length: Any, alpha: float) -> Any:
    """((5 + length) / 6)^alpha, by which a hypothesis's log-probability is divided."""
    return ((5.0 + length) / 6.0) ** alpha


class Translator:
    """`translate` for a model that has

    _start(input_ids, attention_mask, beams) -> state, each source's row `beams` times;
    _step(state, tokens) -> (logits (rows, V), state), one token a row;
    _reorder(state, rows) -> state, row i what row rows[i] was, within the beams of one source.
    """

    config: Any

    def _start(self, input_ids: Tensor, attention_mask: Tensor | None, beams: int) -> Any:
        raise NotImplementedError

    def _step(self, state: Any, tokens: Rows) -> tuple[Tensor, Any]:
        raise NotImplementedError

    def _reorder(self, state: Any, rows: Rows) -> Any:
        raise NotImplementedError

    def translate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        max_length: int | None = None,
        num_beams: int = 1,
        alpha: float = 0.6,
    ) -> Tensor:
        """The target of each source (B, S): (B, T) int64 with its eos, without the start, padded.

        Greedy with one beam; with more, the hypothesis of the largest log P(Y) / ((5 + |Y|) / 6)^alpha among
        those that `num_beams` beams find. A source's search ends when no beam alive can become better than
        the worst of the `num_beams` hypotheses it has. `max_length` is S + 50 unless given, and never more
        than the model has positions.

        Raises ValueError for fewer than one beam or token.
        """
        longest = input_ids.shape[1] + 50 if max_length is None else max_length
        if num_beams < 1 or longest < 1:
            raise ValueError(
                f"translate: num_beams and max_length must be positive, got {num_beams} and {longest}"
            )
        longest = min(longest, getattr(self.config, "max_position_embeddings", longest))
        model: Any = self
        training = model.training
        model.eval()
        try:
            with no_grad():
                state = self._start(input_ids, attention_mask, num_beams)
                search = self._greedy if num_beams == 1 else self._beams
                found = search(state, input_ids.shape[0], longest, num_beams, alpha)
        finally:
            model.train(training)
        out = np.full((len(found), max(map(len, found), default=0)), self.config.pad_token_id, np.int64)
        for row, ids in zip(out, found):
            row[: len(ids)] = ids
        return tensor(out)

    def _greedy(self, state: Any, batch: int, longest: int, beams: int, alpha: float) -> list[list[int]]:
        eos = self.config.eos_token_id
        tokens = np.full(batch, self.config.decoder_start_token_id, np.int64)
        found: list[list[int]] = [[] for _ in range(batch)]
        going = np.ones(batch, bool)
        while going.any() and max(map(len, found)) < longest:
            logits, state = self._step(state, tokens)
            tokens = logits.argmax(-1).numpy()
            for i in np.flatnonzero(going):
                found[i].append(int(tokens[i]))
            going &= tokens != eos
        return found

    def _beams(self, state: Any, batch: int, longest: int, beams: int, alpha: float) -> list[list[int]]:
        eos, first = self.config.eos_token_id, np.arange(batch)[:, None] * beams
        tokens = np.full(batch * beams, self.config.decoder_start_token_id, np.int64)
        scores = np.full((batch, beams), -np.inf, np.float32)
        scores[:, 0] = 0.0  # the others are the same beginning
        alive = np.empty((batch * beams, 0), np.int64)
        done: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
        open_ = np.ones(batch, bool)
        for length in range(1, longest + 1):
            logits, state = self._step(state, tokens)
            classes = logits.shape[-1]
            each = F.log_softmax(logits, -1) + tensor(scores.reshape(-1, 1)).to(dtype=logits.dtype)
            best, index = F.topk(each.reshape(batch, beams * classes), min(2 * beams, beams * classes), -1)
            candidates, where = best.numpy(), index.numpy()  # (B, 2 beams), the best first
            parents, words = first + where // classes, where % classes
            ended = words == eos
            penalty = float(length_penalty(length, alpha))
            for i in np.flatnonzero(open_).tolist():
                for j in np.flatnonzero(ended[i, :beams]):
                    if np.isfinite(candidates[i, j]):
                        done[i].append((candidates[i, j] / penalty, [*alive[parents[i, j]].tolist(), eos]))
                done[i] = sorted(done[i], key=lambda h: -h[0])[:beams]
            # The first `beams` candidates that go on.
            order = np.argsort(ended, 1, kind="stable")[:, :beams]
            scores = np.take_along_axis(np.where(ended, -np.inf, candidates), order, 1).astype(np.float32)
            rows = np.take_along_axis(parents, order, 1).reshape(-1)
            tokens = np.take_along_axis(words, order, 1).reshape(-1).astype(np.int64)
            alive = np.concatenate([alive[rows], tokens[:, None]], 1)
            bound = scores[:, 0] / length_penalty(longest if alpha > 0 else length + 1, alpha)
            for i in np.flatnonzero(open_).tolist():
                open_[i] = len(done[i]) < beams or bound[i] > done[i][-1][0]
            if not open_.any():
                break
            state = self._reorder(state, rows)
        # Where nothing ended, the best beam, cut off.
        return [d[0][1] if d else alive[i * beams].tolist() for i, d in enumerate(done)]
