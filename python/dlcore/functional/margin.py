"""Losses with a margin: of pairs, of triplets, of a class against the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.activation import logsigmoid
from dlcore.functional.distance import pairwise_distance
from dlcore.functional.elementwise import clamp, minimum, sqrt, square, where
from dlcore.functional.loss import legacy_reduction, reduced
from dlcore.tensor import Tensor

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

Grads = tuple[_C.Array | None, ...]


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where t is 1, max(0, margin - x) where t is -1."""
    how = legacy_reduction(size_average, reduce, reduction)
    loss = where(target != 1, clamp(margin - input, min=0), 0.0) + where(target != -1, input, 0.0)
    return reduced("hinge_embedding_loss", loss, how)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -t (x1 - x2) + margin)."""
    how = legacy_reduction(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ValueError(
            "margin_ranking_loss: all inputs must have as many dimensions, got "
            f"input1={input1.shape}, input2={input2.shape}, target={target.shape}"
        )
    return reduced("margin_ranking_loss", clamp(margin - target * (input1 - input2), min=0), how)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where t is 1, max(0, cos(x1, x2) - margin) where t is -1; x (N, D) or (D,), t (N,) or
    ()."""
    how = legacy_reduction(size_average, reduce, reduction)
    if target.ndim not in (0, 1) or not input1.ndim == input2.ndim == target.ndim + 1:
        raise ValueError(
            "cosine_embedding_loss: inputs must be (N, D) and target (N,), or (D,) and (), got "
            f"input1={input1.shape}, input2={input2.shape}, target={target.shape}"
        )
    eps = 1e-12
    n1, n2 = square(input1).sum(-1) + eps, square(input2).sum(-1) + eps
    cos = (input1 * input2).sum(-1) / sqrt(n1 * n2)
    loss = where(target == 1, 1.0 - cos, 0.0) + where(target == -1, clamp(cos - margin, min=0), 0.0)
    return reduced("cosine_embedding_loss", loss, how)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d(a, b) = |a - b + eps|_p over the last
    axis.

    `swap` takes d(positive, negative) where it is the smaller one.
    """
    how = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin must be positive, got margin={margin}")
    _same_rank("triplet_margin_loss", anchor, positive, negative)
    return _triplet(
        "triplet_margin_loss",
        (anchor, positive, negative),
        lambda a, b: pairwise_distance(a, b, p, eps),
        margin,
        swap,
        how,
    )


def _same_rank(op: str, anchor: Tensor, positive: Tensor, negative: Tensor) -> None:
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ValueError(
            f"{op}: all inputs must have as many dimensions, got anchor={anchor.shape}, "
            f"positive={positive.shape}, negative={negative.shape}"
        )


def _triplet(
    op: str,
    triple: tuple[Tensor, Tensor, Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    a, p, n = triple
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = minimum(far, distance(p, n))
    return reduced(op, clamp(near - far + margin, min=0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` of any distance, a function of two tensors; `pairwise_distance` unless given.

    Raises ValueError for a margin that is not positive, tensors of different rank, and reduction.

    >>> import dlcore
    >>> a, p, n = dlcore.tensor([[0.0]]), dlcore.tensor([[1.0]]), dlcore.tensor([[3.0]])
    >>> f = dlcore.functional.triplet_margin_with_distance_loss
    >>> f(a, p, n, distance_function=lambda x, y: (x - y).abs().sum(-1), margin=3.0).item()
    1.0
    """
    op = "triplet_margin_with_distance_loss"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{op}: reduction must be one of none, mean, sum, got reduction={reduction}")
    if margin <= 0:
        raise ValueError(f"{op}: margin must be positive, got margin={margin}")
    _same_rank(op, anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(op, (anchor, positive, negative), distance, margin, swap, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + e^(-t x)), t being 1 or -1."""
    how = legacy_reduction(size_average, reduce, reduction)
    return reduced("soft_margin_loss", -logsigmoid(target * input), how)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum over the classes c other than t of w_t max(0, margin - x_t + x_c)^p / C, t being the label.

    input (N, C) or (C,), target (N,) or () int64, weight (C,), p 1 or 2.

    Raises ValueError for shapes, p and reduction, IndexError for labels outside [0, C), TypeError for dtypes.

    >>> import dlcore
    >>> x, t = dlcore.tensor([[0.1, 0.2, 0.4, 0.8]]), dlcore.tensor([3])
    >>> round(dlcore.functional.multi_margin_loss(x, t).item(), 4)
    0.325
    """
    op = "multi_margin_loss"
    how = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError(f"{op}: p must be 1 or 2, got p={p}")
    x, single = input.array, input.ndim < 2
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: input must be float32 or float64, got {x.dtype}")
    if target.dtype != np.int64:
        raise TypeError(f"{op}: target must be int64, got {target.dtype}")
    if x.ndim > 2 or (x.size == 0 and (x.ndim == 0 or x.shape[-1] == 0)):
        raise ValueError(f"{op}: input must be (C,) or (N, C) with C > 0, got input={x.shape}")
    x = _C.reshape(x, (1, x.size)) if single else x
    n, classes = x.shape
    if target.array.size != n or target.ndim > 1:
        raise ValueError(
            f"{op}: target must have a label for each row, got input={input.shape}, target={target.shape}"
        )
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"{op}: weight must have shape ({classes},), got weight={weight.shape}")
    t = _C.reshape(target.array, (n, 1))
    z = _C.relu(_C.add(_C.sub(x, _C.gather(x, 1, t)), margin))
    _C.scatter_into(z, 1, t, _C.full((n, 1), 0.0, x.dtype, x.device), False)
    scale = _C.full((n,), 1.0 / classes, x.dtype, x.device)
    if weight is not None:
        scale = _C.mul(scale, _C.take(weight.array, 0, _C.reshape(t, (n,))))
    value = _C.mul(_C.sum(z if p == 1 else _C.square(z), [1]), scale)
    shape = input.shape

    def multi_margin_loss_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        g = _C.reshape(_C.mul(_C.reshape(g, (n,)), scale), (n, 1))
        dz = _C.where(_C.gt(z, 0), g, 0) if p == 1 else _C.mul(z, _C.mul(g, 2.0))
        _C.scatter_into(dz, 1, t, _C.neg(_C.sum(dz, [1], True)), False)
        return (_C.reshape(dz, shape),)

    rows = _C.reshape(value, () if target.ndim == 0 or single else (n,))
    return reduced(op, record(rows, (input,), multi_margin_loss_backward), how)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum over the labels t and the other classes c of max(0, 1 - (x_t - x_c)) / C.

    input (N, C) or (C,); target of its shape, int64: a row's labels, which end at the first -1.

    Raises ValueError for shapes and reduction, IndexError for labels outside [-1, C), TypeError for dtypes.

    >>> import dlcore
    >>> x, t = dlcore.tensor([[0.1, 0.2, 0.4, 0.8]]), dlcore.tensor([[3, 0, -1, 1]])
    >>> round(dlcore.functional.multilabel_margin_loss(x, t).item(), 4)
    0.85
    """
    how = legacy_reduction(size_average, reduce, reduction)
    x, t = input.array, target.array

    def multilabel_margin_loss_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.multilabel_margin_backward(g, x, t),)

    rows = record(_C.multilabel_margin_forward(x, t), (input,), multilabel_margin_loss_backward)
    return reduced("multilabel_margin_loss", rows, how)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log s(x) + (1 - t) log(1 - s(x))), weighted, the mean over the last axis; s is the sigmoid.

    >>> import dlcore
    >>> x, t = dlcore.tensor([[0.0, 0.0]]), dlcore.tensor([[1.0, 0.0]])
    >>> round(dlcore.functional.multilabel_soft_margin_loss(x, t).item(), 4)
    0.6931
    """
    how = legacy_reduction(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced("multilabel_soft_margin_loss", loss.sum(input.ndim - 1) / input.shape[-1], how)
