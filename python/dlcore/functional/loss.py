"""Losses: cross_entropy and nll_loss are one kernel each way; the elementwise ones too."""

from __future__ import annotations

import warnings

from dlcore import _C
from dlcore.autograd import is_grad_enabled, record
from dlcore.functional.softmax import log_softmax
from dlcore.tensor import Tensor

__all__ = ["cross_entropy", "cross_entropy_from_probabilities", "nll_loss"]


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """torch's legacy arguments, which override `reduction`."""
    if size_average is None and reduce is None:
        return reduction
    warnings.warn("size_average and reduce are deprecated; use reduction=", UserWarning, stacklevel=3)
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """loss = -sum_c w_c q_c log softmax(x)_c, with q = (1 - s) target + s / C and s = label_smoothing.

    input (N, C, ...) or (C,): logits, float32 or float64; target: labels (N, ...), int64, int32 or uint8, or class
    probabilities of input's shape; weight (C,). Labels equal to `ignore_index` cost nothing. "mean" divides by the
    weights of the labels that count (NaN where none does), or by the number of samples for probabilities.

    The softmax is fused: finite logits give a finite loss, however large. Deterministic at any number of threads.

    Raises IndexError naming the first label out of range, ValueError for shapes, reduction and label_smoothing,
    TypeError for dtypes.

    >>> import dlcore
    >>> dlcore.functional.cross_entropy(dlcore.tensor([[0.0, 0.0]]), dlcore.tensor([1])).item()  # log 2
    0.6931471824645996
    """
    how = _reduction(size_average, reduce, reduction)
    x, w = input.array, None if weight is None else weight.array
    if target.requires_grad and is_grad_enabled():
        return _soft_cross_entropy(input, target, weight, how, label_smoothing)
    loss, labels, stats, divisor = _C.cross_entropy_forward(
        x, target.array, w, how, ignore_index, label_smoothing
    )

    def cross_entropy_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (
            _C.cross_entropy_backward(g, x, labels, w, stats, divisor, how, ignore_index, label_smoothing),
        )

    return record(loss, (input,), cross_entropy_backward)


def _soft_cross_entropy(
    x: Tensor, q: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    """The same from its parts, where the class probabilities need a gradient too."""
    axis = 0 if x.ndim == 1 else 1
    if smoothing > 0:
        q = q * (1 - smoothing) + smoothing / x.shape[axis]
    terms = log_softmax(x, axis) * q
    if weight is not None:
        terms = terms * weight.reshape((-1,) + (1,) * (x.ndim - axis - 1))
    loss = -terms.sum(axis)
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.mean()


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = -w_t x_t, t being each sample's label and x log-probabilities.

    input (N, C, ...) or (C,), target (N, ...) integer, weight (C,); see `cross_entropy` for ignore_index, the mean and
    the errors.

    >>> import dlcore
    >>> dlcore.functional.nll_loss(dlcore.tensor([[-1.0, -2.0]]), dlcore.tensor([1])).item()
    2.0
    """
    how = _reduction(size_average, reduce, reduction)
    x, w = input.array, None if weight is None else weight.array
    loss, labels, stats, divisor = _C.cross_entropy_forward(x, target.array, w, how, ignore_index, 0.0, True)

    def nll_loss_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.cross_entropy_backward(g, x, labels, w, stats, divisor, how, ignore_index, 0.0, True),)

    return record(loss, (input,), nll_loss_backward)


def _rows(x: Tensor) -> Tensor:
    """(..., C) as (rows, C)."""
    a = x.array
    if a.ndim == 2:
        return x

    def reshape_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.reshape(g, a.shape),)

    rows = 1
    for n in a.shape[:-1]:
        rows *= n
    return record(_C.reshape(a, (rows, a.shape[-1])), (x,), reshape_backward)


def cross_entropy_from_probabilities(
    probs: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    epsilon: float = 1e-7,
) -> Tensor:
    """loss = -sum_c target_c log p_c, a value a sample, classes last: Keras' crossentropy of probabilities.

    probs (..., C); target: labels (...) or probabilities (..., C) -> (...).

    Where `probs` is the output of `softmax` over its last axis, the loss is computed from the logits that went in: it
    is exact and finite for any finite logits, where log(p) would have lost them (p = 0). Other probabilities are
    divided by their sum and clipped to [epsilon, 1 - epsilon], as Keras does.

    Raises as `cross_entropy` does.

    >>> import dlcore
    >>> p = dlcore.functional.softmax(dlcore.tensor([[0.0, 1e30]]), dim=-1)
    >>> dlcore.functional.cross_entropy_from_probabilities(p, dlcore.tensor([0])).tolist()
    [1.0000000150474662e+30]
    """
    if probs.ndim == 0:
        raise ValueError(f"cross_entropy_from_probabilities: probs must be (..., C), got probs={probs.shape}")
    soft = target.dtype.kind == "f"
    want = probs.shape if soft else probs.shape[:-1]
    if target.shape != want:
        raise ValueError(
            f"cross_entropy_from_probabilities: target must have shape {want}, got probs={probs.shape}, "
            f"target={target.shape}"
        )
    logits: Tensor | None = getattr(probs, "_logits", None)
    flat = Tensor(_C.reshape(target.array, (-1, probs.shape[-1]) if soft and probs.shape[-1] else (-1,)))
    if logits is not None:
        loss = cross_entropy(
            _rows(logits), flat, ignore_index=ignore_index, reduction="none", label_smoothing=label_smoothing
        )
    else:
        p = _rows(probs)
        p = (p / p.sum(-1, keepdim=True)).clamp(epsilon, 1 - epsilon).log()
        if soft:
            if label_smoothing > 0:
                flat = flat * (1 - label_smoothing) + label_smoothing / probs.shape[-1]
            loss = -(flat * p).sum(-1)
        else:
            loss = nll_loss(p, flat, ignore_index=ignore_index, reduction="none")
    if probs.ndim == 2:
        return loss
    shape = probs.shape[:-1]
    rows = loss.shape

    def reshape_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.reshape(g, rows),)

    return record(_C.reshape(loss.array, shape), (loss,), reshape_backward)
