"""AdaptiveLogSoftmaxWithLoss: a softmax over very many classes whose rare ones are computed when needed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dlcore import functional as F
from dlcore.creation import zeros
from dlcore.nn.container import ModuleList, Sequential
from dlcore.nn.linear import Linear
from dlcore.nn.module import Module
from dlcore.tensor import DTypeLike, Tensor, from_numpy

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _ASMoutput(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """log softmax over `n_classes`, ordered by falling frequency and cut at `cutoffs`: the head knows the
    first classes and one entry for each cluster of rarer ones, whose tails have div_value, div_value², ...
    fewer features.

    forward(x (N, in_features), y (N,)) or (x (in_features,), y ()) gives (output, loss): each sample's log
    probability of its label, and the mean of -output. Grave et al.: Efficient softmax approximation for GPUs
    (ICML 2017).

    >>> import dlcore
    >>> m = dlcore.nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[4, 10])
    >>> output, loss = m(dlcore.zeros(3, 16), dlcore.tensor([0, 5, 19]))
    >>> output.shape, m.log_prob(dlcore.zeros(3, 16)).shape
    ((3,), (3, 20))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        cuts = list(cutoffs)
        if (
            not cuts
            or cuts != sorted(set(cuts))
            or cuts[0] <= 0
            or cuts[-1] > n_classes - 1
            or any(int(c) != c for c in cuts)
        ):
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs must be different integers between 1 and n_classes - 1, "
                f"ascending, got {cutoffs} for n_classes={n_classes}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cuts, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cuts[0]
        self.n_clusters = len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, device=device, dtype=dtype),
                    Linear(hidden, high - low, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        for layer in self.modules():
            if isinstance(layer, Linear):
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        name = "AdaptiveLogSoftmaxWithLoss"
        if target_.ndim > 1 or input_.ndim != target_.ndim + 1 or input_.shape[:-1] != target_.shape:
            raise ValueError(
                f"{name}: input and target must be (N, in_features) and (N,), or (in_features,) and (), got "
                f"{input_.shape} and {target_.shape}"
            )
        single = target_.ndim == 0
        x, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if single else (input_, target_)
        labels = target.cpu().numpy()
        if labels.size and not 0 <= labels.min() <= labels.max() < self.n_classes:
            raise ValueError(
                f"{name}: labels must lie in [0, {self.n_classes - 1}], got values in "
                f"[{labels.min()}, {labels.max()}]"
            )
        # Of each label, what the head says of it, or of its cluster.
        cluster = np.searchsorted(self.cutoffs, labels, "right")
        entry = np.where(cluster == 0, labels, self.shortlist_size + cluster - 1)
        head = F.log_softmax(self.head(x), 1)
        output = head.gather(1, from_numpy(entry[:, None]).to(x.device)).squeeze(1)
        for i, tail in enumerate(self.tail):
            rows = np.flatnonzero(cluster == i + 1)
            if not len(rows):
                continue
            index = from_numpy(rows).to(x.device)
            local = from_numpy((labels[rows] - self.cutoffs[i])[:, None]).to(x.device)
            own = F.log_softmax(tail(x.index_select(0, index)), 1).gather(1, local).squeeze(1)
            output = output + zeros(len(labels), dtype=x.dtype, device=x.device).index_add(0, index, own)
        loss = -output.mean()
        return _ASMoutput(output.squeeze(0) if single else output, loss)

    if TYPE_CHECKING:
        __call__ = forward

    def log_prob(self, input: Tensor) -> Tensor:
        """The log probabilities of all classes: (N, n_classes) from (N, in_features)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            entry = self.shortlist_size + i
            parts.append(F.log_softmax(tail(input), 1) + head[:, entry : entry + 1])
        return F.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row, (N,); the tails are computed where the head names a cluster."""
        best = self.head(input).argmax(1)
        rare = np.flatnonzero(best.cpu().numpy() >= self.shortlist_size)
        if not len(rare):
            return best
        index = from_numpy(rare).to(input.device)
        best[index] = self.log_prob(input.index_select(0, index)).argmax(1)
        return best
