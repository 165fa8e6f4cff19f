"""Losses: cross_entropy and nll_loss are one kernel each way; the elementwise ones are composed of its
functions."""

from __future__ import annotations

import math
import warnings

from dlcore import _C
from dlcore.autograd import is_grad_enabled, record
from dlcore.functional.activation import logsigmoid
from dlcore.functional.elementwise import absolute, clamp, exp, log, square, unary, where
from dlcore.functional.softmax import log_softmax
from dlcore.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "cross_entropy_from_probabilities",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
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

    input (N, C, ...) or (C,): logits, float32 or float64; target: labels (N, ...), int64, int32 or uint8, or
    class
    probabilities of input's shape; weight (C,). Labels equal to `ignore_index` cost nothing. "mean" divides
    by the
    weights of the labels that count (NaN where none does), or by the number of samples for probabilities.

    The softmax is fused: finite logits give a finite loss, however large. Deterministic at any number of
    threads.

    Raises IndexError naming the first label out of range, ValueError for shapes, reduction and
    label_smoothing,
    TypeError for dtypes.

    >>> import dlcore
    >>> dlcore.functional.cross_entropy(dlcore.tensor([[0.0, 0.0]]), dlcore.tensor([1])).item()  # log 2
    0.6931471824645996
    """
    how = legacy_reduction(size_average, reduce, reduction)
    x, w = input.array, None if weight is None else weight.array
    if target.requires_grad and is_grad_enabled():
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"cross_entropy: label_smoothing must lie in [0, 1], got label_smoothing={label_smoothing}"
            )
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
    return reduced("cross_entropy", loss, reduction)


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

    input (N, C, ...) or (C,), target (N, ...) integer, weight (C,); see `cross_entropy` for ignore_index, the
    mean and
    the errors.

    >>> import dlcore
    >>> dlcore.functional.nll_loss(dlcore.tensor([[-1.0, -2.0]]), dlcore.tensor([1])).item()
    2.0
    """
    how = legacy_reduction(size_average, reduce, reduction)
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

    Where `probs` is the output of `softmax` over its last axis, the loss is computed from the logits that
    went in: it
    is exact and finite for any finite logits, where log(p) would have lost them (p = 0). Other probabilities
    are
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
    # softmax's input, the arrays of both, and when: neither may have changed since.
    logits = None
    if hasattr(probs, "_logits"):
        x, before, after, tick = probs._logits
        if x.array is before and probs.array is after and max(before.written, after.written) <= tick:
            logits = x
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


# ---- elementwise losses
# -----------------------------------------------------------------------------------------------


def reduced(op: str, loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{op}: reduction must be one of none, mean, sum, got reduction={reduction}")


def _warn_sizes(op: str, x: Tensor, target: Tensor) -> None:
    if x.shape != target.shape:
        warnings.warn(
            f"{op}: input {x.shape} and target {target.shape} differ in shape and broadcast, "
            "which is rarely meant",
            UserWarning,
            stacklevel=3,
        )


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x - t)², weighted, reduced by "mean" (over elements; over the weights where they are given), "sum" or
    "none".

    Raises ValueError for shapes that do not broadcast and for another reduction.

    >>> import dlcore
    >>> dlcore.functional.mse_loss(dlcore.tensor([1.0, 3.0]), dlcore.tensor([1.0, 1.0])).item()
    2.0
    """
    how = legacy_reduction(size_average, reduce, reduction)
    _warn_sizes("mse_loss", input, target)
    return _weighted("mse_loss", input, square(input - target), weight, how)


def _check_weight(op: str, input: Tensor, weight: Tensor) -> None:
    if weight.shape != input.shape:
        raise ValueError(
            f"{op}: weight must have the shape of the input, got weight={weight.shape}, input={input.shape}"
        )


def _weighted(op: str, input: Tensor, loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(op, loss, reduction)
    _check_weight(op, input, weight)
    loss = loss * weight
    if reduction == "mean":
        return loss.sum() / weight.sum()
    return reduced(op, loss, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|x - t|, reduced as in `mse_loss`.

    >>> import dlcore
    >>> dlcore.functional.l1_loss(dlcore.tensor([1.0, 3.0]), dlcore.tensor([1.0, 1.0])).item()
    1.0
    """
    how = legacy_reduction(size_average, reduce, reduction)
    _warn_sizes("l1_loss", input, target)
    return _weighted("l1_loss", input, absolute(input - target), weight, how)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d² / (2 beta) where d = |x - t| < beta, d - beta / 2 elsewhere. R. Girshick: Fast R-CNN (ICCV 2015).

    >>> import dlcore
    >>> dlcore.functional.smooth_l1_loss(dlcore.tensor([0.5, 3.0]), dlcore.tensor([0.0, 0.0])).item()
    1.3125
    """
    how = legacy_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got beta={beta}")
    _warn_sizes("smooth_l1_loss", input, target)
    d = input - target
    if beta == 0:
        return reduced("smooth_l1_loss", absolute(d), how)
    return reduced("smooth_l1_loss", unary("huber", d, beta, 1 / beta), how)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d² / 2 where d = |x - t| <= delta, delta (d - delta / 2) elsewhere. P. Huber (1964).

    >>> import dlcore
    >>> dlcore.functional.huber_loss(dlcore.tensor([0.5, 3.0]), dlcore.tensor([0.0, 0.0])).item()
    1.3125
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got delta={delta}")
    _warn_sizes("huber_loss", input, target)
    loss = unary("huber", input - target, delta, 1.0)
    if weight is None:
        return reduced("huber_loss", loss, reduction)
    _check_weight("huber_loss", input, weight)
    return reduced("huber_loss", loss * weight, reduction)  # the mean is over the elements here, as in torch


def _times(op: str, loss: Tensor, name: str, weight: Tensor) -> Tensor:
    """Weights broadcast to the losses, never the other way round."""
    product = loss * weight
    if product.shape != loss.shape:
        raise ValueError(
            f"{op}: {name} must broadcast to the shape of the input, got {name}={weight.shape}, "
            f"input={loss.shape}"
        )
    return product


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log x + (1 - t) log(1 - x)) for probabilities x, each logarithm no less than -100.

    Raises ValueError where the shapes differ, RuntimeError where an input lies outside [0, 1].

    >>> import dlcore
    >>> dlcore.functional.binary_cross_entropy(dlcore.tensor([0.5, 0.0]), dlcore.tensor([1.0, 1.0])).item()
    50.34657287597656
    """
    how = legacy_reduction(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            f"binary_cross_entropy: target must have the shape of the input, got input={input.shape}, "
            f"target={target.shape}"
        )
    x, t = input.array, target.array
    if x.size and (_C.amin(x).item() < 0 or _C.amax(x).item() > 1):
        raise RuntimeError("binary_cross_entropy: all elements of input should be between 0 and 1")
    log_x, log_1x = _C.log(x), _C.log1p(_C.neg(x))
    log_x, log_1x = _C.maximum(log_x, -100.0), _C.maximum(log_1x, -100.0)
    value = _C.sub(_C.mul(_C.sub(t, 1.0), log_1x), _C.mul(t, log_x))

    def binary_cross_entropy_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        dx = dt = None
        if needs[0]:
            variance = _C.maximum(_C.mul(x, _C.sub(1.0, x)), 1e-12)
            dx = _C.div(_C.mul(g, _C.sub(x, t)), variance)
        if needs[1]:
            dt = _C.mul(g, _C.sub(_C.log1p(_C.neg(x)), _C.log(x)))  # unbounded, as in torch
        return dx, dt

    loss = record(value, (input, target), binary_cross_entropy_backward)
    if weight is not None:
        loss = _times("binary_cross_entropy", loss, "weight", weight)
    return reduced("binary_cross_entropy", loss, how)


def _logistic(input: Tensor, target: Tensor) -> Tensor:
    """(1 - t) x - log s(x), with slopes s(x) - t and -x."""
    x, t = input.array, target.array
    y = _C.logistic_loss(x, t)

    def logistic_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        dx = _C.mul(g, _C.logistic_slope(x, t)) if needs[0] else None
        return dx, _C.neg(_C.mul(g, x)) if needs[1] else None

    return record(y, (input, target), logistic_backward)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(p t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid and p = pos_weight: finite for any finite
    logits.

    Raises ValueError where the shapes of input and target differ.

    >>> import dlcore
    >>> x = dlcore.tensor([-200.0])
    >>> dlcore.functional.binary_cross_entropy_with_logits(x, dlcore.tensor([1.0])).item()
    200.0
    """
    how = legacy_reduction(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            "binary_cross_entropy_with_logits: target must have the shape of the input, "
            f"got input={input.shape}, target={target.shape}"
        )
    if pos_weight is None and input.dtype == target.dtype:
        loss = _logistic(input, target)
    elif pos_weight is None:
        loss = (1.0 - target) * input - logsigmoid(input)
    else:
        log_s = logsigmoid(input)
        positive = _times("binary_cross_entropy_with_logits", target, "pos_weight", pos_weight - 1.0)
        loss = (1.0 - target) * input - (positive + 1.0) * log_s
    if weight is not None:
        loss = _times("binary_cross_entropy_with_logits", loss, "weight", weight)
    return reduced("binary_cross_entropy_with_logits", loss, how)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log t - x) for log-probabilities x and probabilities t (0 where t is 0), or e^t (t - x) with
    `log_target`.

    `reduction` "batchmean" divides the sum by the first size: the mathematical divergence.

    >>> import dlcore
    >>> dlcore.functional.kl_div(dlcore.tensor([0.0]), dlcore.tensor([1.0])).item()
    0.0
    """
    how = legacy_reduction(size_average, reduce, reduction)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        zero = target == 0
        loss = where(zero, 0.0, target * log(where(zero, 1.0, target))) - target * input
    if how == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return reduced("kl_div", loss, how)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """e^x - t x (`log_input`) or x - t log(x + eps); `full` adds Stirling's approximation of log t! where t >
    1."""
    how = legacy_reduction(size_average, reduce, reduction)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        big = target > 1
        t = where(big, target, 2.0)
        loss = loss + where(big, t * log(t) - t + 0.5 * log(t * (2 * math.pi)), 0.0)
    return reduced("poisson_nll_loss", loss, how)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - t)² / v) / 2 with v = max(var, eps), which the gradient does not see; `full` adds log(2
    pi) / 2.

    Raises ValueError for a negative variance and for a shape of var that is neither the input's, nor that
    without its last axis, nor that with one axis of 1.
    """
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("gaussian_nll_loss: var has negative entry/entries")
        var = input.detach() * 0.0 + var
    elif (var < 0).any().item():
        raise ValueError("gaussian_nll_loss: var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or [v for v, n in zip(var.shape, input.shape) if v != n] != [1]:
            raise ValueError(
                f"gaussian_nll_loss: var is of incorrect size, got input={input.shape}, var={var.shape}"
            )
    # max(var, eps) whose gradient is that of var itself.
    lift = clamp(var.detach(), min=eps) - var.detach()
    v = var + lift
    loss = 0.5 * (log(v) + square(input - target) / v)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced("gaussian_nll_loss", loss, reduction)
