"""Distances between vectors along an axis, and vectors of length one."""

from __future__ import annotations

import numpy as np

from dlcore import _C
from dlcore.functional.elementwise import clamp
from dlcore.functional.index import index_select
from dlcore.functional.reduce import norm
from dlcore.tensor import Tensor

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def normalize(input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """x / max(|x|_p, eps), the norm being taken along `dim`.

    >>> import dlcore
    >>> dlcore.functional.normalize(dlcore.tensor([[3.0, 4.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    return input / clamp(norm(input, p, dim, True), min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`; shapes broadcast.

    >>> import dlcore
    >>> a, b = dlcore.tensor([[1.0, 0.0]]), dlcore.tensor([[2.0, 0.0]])
    >>> dlcore.functional.cosine_similarity(a, b).tolist()
    [1.0]
    """
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    x1, x2 = x1.expand(shape), x2.expand(shape)
    return (_unit(x1, dim, eps) * _unit(x2, dim, eps)).sum(dim)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    """x / max(|x|, eps), whose gradient takes the norm as it is: torch's."""
    length = norm(x, 2, dim, True)
    lift = _C.sub(_C.maximum(length.array, eps), length.array)
    return x / (length + Tensor(lift))


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """|x1 - x2 + eps|_p along the last axis; shapes broadcast.

    >>> import dlcore
    >>> x = dlcore.tensor([[3.0, 4.0]])
    >>> dlcore.functional.pairwise_distance(x, dlcore.zeros(1, 2), eps=0.0).tolist()
    [5.0]
    """
    return norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """|x_i - x_j|_p for each pair i < j of the rows of input (n, m): (n (n - 1) / 2,).

    Raises ValueError for another rank and for a negative p.

    >>> import dlcore
    >>> dlcore.functional.pdist(dlcore.tensor([[0.0], [1.0], [3.0]])).tolist()
    [1.0, 3.0, 2.0]
    """
    if input.ndim != 2:
        raise ValueError(f"pdist: input must be (n, m), got {input.shape}")
    if p < 0:
        raise ValueError(f"pdist: p must not be negative, got {p}")
    if input.shape[1] == 0:
        p = 1  # there the distance is 0 in any norm
    i, j = [Tensor(_C.from_numpy(k)) for k in np.triu_indices(input.shape[0], 1)]
    return norm(index_select(input, 0, i) - index_select(input, 0, j), p, -1)
