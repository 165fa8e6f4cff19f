"""Linear-chain conditional random field: J. Lafferty, A. McCallum, F. Pereira, Conditional random fields
(ICML 2001).

B batch, T steps, C tags. Sums over all tag sequences take the forward algorithm, in logarithms; the backward
algorithm is its gradient. Steps beyond a sample's length are computed with the others and never looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dlcore import _C, nn
from dlcore import functional as F
from dlcore.autograd import record
from dlcore.models.masks import valid_steps
from dlcore.nn import init
from dlcore.tensor import DTypeLike, Tensor, tensor

__all__ = ["CRF"]


def _log_partition(
    emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, lengths: np.ndarray[Any, Any]
) -> Tensor:
    """The forward algorithm, and the backward algorithm as its gradient: (B, T, C) -> (B,)."""
    x = emissions.array
    B, T, C = x.shape
    into = _C.contiguous(_C.transpose(transitions.array, 0, 1))  # row: to, column: from
    alpha = _C.add(_C.select(x, 1, 0), start.array)  # (B, C): log-sum of the paths that end in each tag
    # Where no path leads the maximum is the least number, not -inf, so that no difference is NaN.
    least = float(np.finfo(x.dtype).min)
    alphas, parts, sums = [alpha], [], []
    for t in range(1, T):
        scores = _C.add(_C.reshape(alpha, (B, 1, C)), into)  # (B, to, from)
        top = _C.maximum(_C.amax(scores, (2,), True), least)
        part = _C.exp(_C.sub(scores, top))
        total = _C.sum(part, (2,), True)  # at least 1, or 0 where no path leads
        alpha = _C.add(_C.reshape(_C.add(_C.log(total), top), (B, C)), _C.select(x, 1, t))
        alphas.append(alpha)
        parts.append(part)
        sums.append(total)
    ends: list[_C.Array | None] = [None] * T  # which samples end here, (B, 1), None for none
    last = alpha  # (B, C), each sample's at its own length
    for t in set((lengths - 1).tolist()):
        ends[t] = _C.to_device(_C.clone(_C.from_numpy((lengths == t + 1)[:, None])), x.device)
        last = _C.where(ends[t], alphas[t], last)
    last = _C.add(last, end.array)
    top = _C.maximum(_C.amax(last, (1,), True), least)
    part = _C.exp(_C.sub(last, top))
    total = _C.sum(part, (1,), True)
    y = _C.reshape(_C.add(_C.log(total), top), (B,))
    p_last = _C.div(part, _C.maximum(total, 1.0))

    def crf_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        dlast = _C.mul(_C.reshape(g, (B, 1)), p_last)
        dx, moves = _C.empty((B, T, C), x.dtype, x.device), None
        dalpha = _C.full((B, C), 0.0, x.dtype, x.device)
        for t in range(T - 1, -1, -1):
            if (here := ends[t]) is not None:
                dalpha = _C.add(dalpha, _C.where(here, dlast, 0.0))
            _C.copy_into(_C.select(dx, 1, t), dalpha)
            if t:
                share = _C.div(_C.reshape(dalpha, (B, C, 1)), _C.maximum(sums[t - 1], 1.0))
                flow = _C.mul(parts[t - 1], share)  # (B, to, from)
                moves = flow if moves is None else _C.add(moves, flow)
                dalpha = _C.sum(flow, (1,), False)
        if moves is None:
            dtransitions = _C.full((C, C), 0.0, x.dtype, x.device)
        else:
            dtransitions = _C.transpose(_C.sum(moves, (0,), False), 0, 1)
        return dx, _C.sum(dalpha, (0,), False), dtransitions, _C.sum(dlast, (0,), False)

    return record(y, (emissions, start, transitions, end), crf_backward)


class CRF(nn.Module):
    """log p(y | x) = s(x, y) - log Σ_y' exp s(x, y'), over tag sequences y, with
    s(x, y) = start[y_1] + Σ_t x[t, y_t] + Σ_t transitions[y_t-1, y_t] + end[y_T].

    `crf(emissions, tags, mask)` is -log p: emissions (B, T, C), tags (B, T) integers; a mask (B, T) of 1 for
    tokens and 0 for padding at their right, or lengths (B,). A tag of `ignore_index` is unknown: the
    probability is then that of the tags that are known, summed over the others. `reduction` is "none" (B,),
    "sum", "mean" over samples, or "token_mean", the sum over the number of steps.

    Parameters: start_transitions (C,), transitions (C, C) from row to column, end_transitions (C,), drawn
    from U(-0.1, 0.1).

    Raises ValueError for shapes, dtypes, masks not of this form, lengths outside [1, T], and reductions;
    IndexError for tags outside [0, C).

    >>> import dlcore
    >>> crf = CRF(3)
    >>> for p in crf.parameters():
    ...     _ = p.detach().fill_(0)
    >>> round(crf(dlcore.zeros(1, 2, 3), dlcore.tensor([[0, 2]])).item(), 4)  # one path of nine: log 9
    2.1972
    >>> crf.decode(dlcore.tensor([[[0.0, 1.0, 0.0], [3.0, 2.0, 1.0]]]), lengths=[2])
    [[1, 0]]
    """

    def __init__(self, num_tags: int, device: str | None = None, dtype: DTypeLike = None) -> None:
        super().__init__()
        if num_tags < 1:
            raise ValueError(f"CRF: num_tags must be at least 1, got {num_tags}")
        self.num_tags = num_tags
        dtype = np.float32 if dtype is None else dtype

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(tensor(np.zeros(shape, np.dtype(dtype)), device=device))

        self.start_transitions = parameter(num_tags)
        self.transitions = parameter(num_tags, num_tags)
        self.end_transitions = parameter(num_tags)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for p in self.parameters():
            init.uniform_(p, -0.1, 0.1)

    def extra_repr(self) -> str:
        return f"{self.num_tags}"

    def _lengths(self, emissions: Tensor, mask: Any, lengths: Any) -> np.ndarray[Any, Any]:
        if emissions.ndim != 3 or emissions.shape[2] != self.num_tags or emissions.shape[1] < 1:
            raise ValueError(f"CRF: emissions must be (B, T, {self.num_tags}), got {emissions.shape}")
        if emissions.dtype != self.transitions.dtype:
            raise ValueError(f"CRF: emissions must be {self.transitions.dtype}, got {emissions.dtype}")
        return valid_steps("CRF", emissions.shape[0], emissions.shape[1], mask, lengths)

    def _sum(self, emissions: Tensor, lengths: np.ndarray[Any, Any]) -> Tensor:
        """log Σ exp over all paths: (B, T, C) -> (B,)."""
        return _log_partition(
            emissions, self.start_transitions, self.transitions, self.end_transitions, lengths
        )

    def _score(self, emissions: Tensor, tags: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> Tensor:
        """s(x, y): (B,)."""
        B, T, C = emissions.shape
        valid = np.arange(T) < lengths[:, None]
        chosen = F.gather(emissions, 2, tensor(tags[:, :, None])).squeeze(2)  # (B, T)
        weight = tensor(valid.astype(emissions.dtype))
        score = (chosen * weight).sum(1)
        if T > 1:
            moves = F.take_along_dim(
                self.transitions.reshape(-1), tensor(tags[:, :-1] * C + tags[:, 1:]).reshape(-1)
            )
            score = score + (moves.reshape(B, T - 1) * weight[:, 1:]).sum(1)
        ends = tags[np.arange(B), lengths - 1]
        return (
            score
            + F.index_select(self.start_transitions, 0, tensor(tags[:, 0]))
            + F.index_select(self.end_transitions, 0, tensor(ends))
        )

    def log_partition(self, emissions: Tensor, mask: Any = None, lengths: Any = None) -> Tensor:
        """log Σ_y exp s(x, y): (B, T, C) -> (B,). Its gradient by the emissions is p(y_t = c | x)."""
        n = self._lengths(emissions, mask, lengths)
        return self._sum(self._without_padding(emissions, n), n)

    @staticmethod
    def _without_padding(emissions: Tensor, lengths: np.ndarray[Any, Any]) -> Tensor:
        """Zeros in place of whatever stands beyond the lengths, which may be infinite."""
        T = emissions.shape[1]
        beyond = np.arange(T) >= lengths[:, None]
        return emissions.masked_fill(tensor(beyond[:, :, None]), 0.0) if beyond.any() else emissions

    def log_likelihood(
        self, emissions: Tensor, tags: Tensor, mask: Any = None, lengths: Any = None, ignore_index: int = -100
    ) -> Tensor:
        """log p(tags | emissions): (B,)."""
        n = self._lengths(emissions, mask, lengths)
        T, C = emissions.shape[1:]
        if tags.shape != emissions.shape[:2] or tags.dtype.kind not in "iu":
            raise ValueError(
                f"CRF: tags must be {emissions.shape[:2]} integers, got {tags.shape} {tags.dtype}"
            )
        y = tags.detach().numpy().astype(np.int64)
        known = (np.arange(T) < n[:, None]) & (y != ignore_index)
        if (wrong := known & ((y < 0) | (y >= C))).any():
            raise IndexError(f"CRF: tags must lie in [0, {C}), got {y[wrong][0]}")
        emissions, y = self._without_padding(emissions, n), np.where(known, y, 0)
        total = self._sum(emissions, n)
        if (known.sum(1) == n).all():
            return self._score(emissions, y, n) - total
        others = known[:, :, None] & (np.arange(C) != y[:, :, None])
        return self._sum(emissions.masked_fill(tensor(others), -np.inf), n) - total

    def forward(
        self,
        emissions: Tensor,
        tags: Tensor,
        mask: Any = None,
        lengths: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> Tensor:
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ValueError(f"CRF: reduction must be none, sum, mean or token_mean, got {reduction!r}")
        loss = -self.log_likelihood(emissions, tags, mask, lengths, ignore_index)
        if reduction == "token_mean":
            return loss.sum() / int(self._lengths(emissions, mask, lengths).sum())
        return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()

    def decode(self, emissions: Tensor, mask: Any = None, lengths: Any = None) -> list[list[int]]:
        """The tag sequence of the highest score of each sample, by Viterbi's algorithm."""
        n = self._lengths(emissions, mask, lengths)
        x = self._without_padding(emissions.detach(), n).numpy()
        B, T, C = x.shape
        into, end = self.transitions.detach().numpy().T, self.end_transitions.detach().numpy()
        best = x[:, 0] + self.start_transitions.detach().numpy()  # (B, C): of the paths that end in each tag
        ends, came = best + end, np.zeros((T, B, C), np.int64)
        for t in range(1, T):
            scores = best[:, None] + into  # (B, to, from)
            came[t] = scores.argmax(-1)
            best = scores.max(-1) + x[:, t]
            ends = np.where((n == t + 1)[:, None], best + end, ends)
        tag, rows = ends.argmax(-1), np.arange(B)
        path = np.zeros((B, T), np.int64)
        for t in range(T - 1, -1, -1):
            path[:, t] = tag
            tag = np.where(t < n, came[t, rows, tag], tag)  # beyond its length a sample stays at its last tag
        return [row[:length].tolist() for row, length in zip(path, n)]

    if TYPE_CHECKING:
        __call__ = forward
