"""Distances as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcore import functional as F
from dlcore.nn.module import Module
from dlcore.tensor import Tensor

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class _Distance(Module):
    if TYPE_CHECKING:

        def __call__(self, x1: Tensor, x2: Tensor) -> Tensor: ...


class PairwiseDistance(_Distance):
    """|x1 - x2 + eps| in the `norm`-norm along the last axis.

    >>> import dlcore
    >>> dlcore.nn.PairwiseDistance(eps=0.0)(dlcore.tensor([[3.0, 4.0]]), dlcore.zeros(1, 2)).tolist()
    [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(_Distance):
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`.

    >>> import dlcore
    >>> dlcore.nn.CosineSimilarity()(dlcore.tensor([[1.0, 0.0]]), dlcore.tensor([[0.0, 1.0]])).tolist()
    [0.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
