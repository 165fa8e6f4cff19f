"""Optimizer steps on one ndarray: copies go in, (parameter, state...) come out. The optimizers call the same
kernels in place, over all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out
from dlcore.tensor import as_array

__all__ = [
    "adafactor_step",
    "adam_step",
    "adamax_step",
    "asgd_step",
    "axpby",
    "ftrl_step",
    "grad_clip",
    "grad_clip_norm",
    "grad_norm",
    "grad_scale",
    "lamb_step",
    "lion_step",
    "rmsprop_step",
    "rprop_step",
    "schedule_free_step",
    "sgd_step",
]


def _own(x: npt.ArrayLike) -> _C.Array:
    return _C.contiguous(as_array(x, copy=True))


def sgd_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    buffer: npt.ArrayLike,
    step: int = 1,
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    rated: bool = False,
) -> tuple[NDArray, NDArray]:
    """(param, buffer) after v <- momentum v + (1 - dampening) g (v <- g at step 1), p <- p - lr v.

    `rated`, as Keras has it: v <- momentum v - lr g, p <- p + v.

    >>> import numpy as np, dlcore
    >>> float(dlcore.kernels.sgd_step(np.ones(1), np.ones(1), np.zeros(1), lr=0.5)[0][0])
    0.5
    """
    p, b = _own(param), _own(buffer)
    _C.sgd_step([p], [arr(grad)], [b], [step], lr, momentum, dampening, weight_decay, nesterov, maximize,
                rated)  # fmt: skip
    return out(p), out(b)


def adam_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    exp_avg: npt.ArrayLike,
    exp_avg_sq: npt.ArrayLike,
    max_exp_avg_sq: npt.ArrayLike,
    step: int = 1,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    maximize: bool = False,
    decoupled: bool = False,
    epsilon_hat: bool = False,
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """(param, exp_avg, exp_avg_sq, max_exp_avg_sq) after one step of Adam, or of AdamW (`decoupled`).

    `epsilon_hat` adds epsilon before the bias correction, as Keras does.
    """
    p, m, v, u = _own(param), _own(exp_avg), _own(exp_avg_sq), _own(max_exp_avg_sq)
    _C.adam_step([p], [arr(grad)], [m], [v], [u], [step], lr, beta1, beta2, epsilon, weight_decay, amsgrad,
                 maximize, decoupled, epsilon_hat)  # fmt: skip
    return out(p), out(m), out(v), out(u)


def rmsprop_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    square_avg: npt.ArrayLike,
    grad_avg: npt.ArrayLike,
    momentum_buffer: npt.ArrayLike,
    lr: float = 1e-2,
    alpha: float = 0.99,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
    epsilon_inside: bool = False,
    rated: bool = False,
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """(param, square_avg, grad_avg, momentum_buffer) after one step of RMSprop.

    As Keras has it, epsilon stands under the root (`epsilon_inside`) and the momentum sums whole steps, each
    with the rate of its time (`rated`).
    """
    p, v, g, b = _own(param), _own(square_avg), _own(grad_avg), _own(momentum_buffer)
    _C.rmsprop_step(
        [p], [arr(grad)], [v], [g], [b], lr, alpha, epsilon, weight_decay, momentum, centered, maximize,
        epsilon_inside, rated
    )  # fmt: skip
    return out(p), out(v), out(g), out(b)


def lion_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    exp_avg: npt.ArrayLike,
    lr: float = 1e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[NDArray, NDArray]:
    """(param, exp_avg) after one step of Lion: p <- (1 - lr weight_decay) p - lr sign(b1 m + (1 - b1) g)."""
    p, m = _own(param), _own(exp_avg)
    _C.lion_step([p], [arr(grad)], [m], lr, beta1, beta2, weight_decay, maximize)
    return out(p), out(m)


def adamax_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    exp_avg: npt.ArrayLike,
    exp_inf: npt.ArrayLike,
    step: int = 1,
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    epsilon_below: bool = False,
) -> tuple[NDArray, NDArray, NDArray]:
    """(param, exp_avg, exp_inf) after u <- max(b2 u, |g| + epsilon), p <- p - lr / (1 - b1^t) m / u; with
    `epsilon_below`, as Keras has it, epsilon joins u below m instead.
    """
    p, m, u = _own(param), _own(exp_avg), _own(exp_inf)
    _C.adamax_step([p], [arr(grad)], [m], [u], [step], lr, beta1, beta2, epsilon, weight_decay, maximize,
                   epsilon_below)  # fmt: skip
    return out(p), out(m), out(u)


def ftrl_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    sum: npt.ArrayLike,
    linear: npt.ArrayLike,
    lr: float = 1e-3,
    power: float = -0.5,
    l1: float = 0.0,
    l2: float = 0.0,
    shrinkage: float = 0.0,
    beta: float = 0.0,
) -> tuple[NDArray, NDArray, NDArray]:
    """(param, sum, linear) after n' = n + g², z <- z + g + 2 shrinkage p - (n'^-power - n^-power) p / lr,
    p <- (clip(z, -l1, l1) - z) / (n'^-power / lr + 2 l2 + beta / lr).
    """
    p, n, z = _own(param), _own(sum), _own(linear)
    _C.ftrl_step([p], [arr(grad)], [n], [z], lr, power, l1, l2, shrinkage, beta)
    return out(p), out(n), out(z)


def schedule_free_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    z: npt.ArrayLike,
    exp_avg_sq: npt.ArrayLike,
    step: int = 1,
    lr: float = 2.5e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[NDArray, NDArray, NDArray]:
    """(param, z, exp_avg_sq) after one step of schedule-free Adam: z moves, x is the mean of all z, and the
    parameter is (1 - b1) z + b1 x.
    """
    p, m, v = _own(param), _own(z), _own(exp_avg_sq)
    _C.schedule_free_step([p], [arr(grad)], [m], [v], [step], lr, beta1, beta2, epsilon)
    return out(p), out(m), out(v)


def lamb_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    exp_avg: npt.ArrayLike,
    exp_avg_sq: npt.ArrayLike,
    step: int = 1,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
    keep: float = 1.0,
) -> tuple[NDArray, NDArray, NDArray]:
    """(param, exp_avg, exp_avg_sq) after p <- keep p, p <- p - lr ||p|| d / ||d||, d Adam's step."""
    p, m, v = _own(param), _own(exp_avg), _own(exp_avg_sq)
    _C.lamb_step([p], [arr(grad)], [m], [v], [step], lr, beta1, beta2, epsilon, [keep])
    return out(p), out(m), out(v)


def adafactor_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    variance: npt.ArrayLike,
    row: npt.ArrayLike | None = None,
    column: npt.ArrayLike | None = None,
    fresh: float = 1.0,
    rate: float = 1e-2,
    keep: float = 1.0,
    epsilon: float = 0.0,
    least_mean: float = 1e-7,
    least_variance: float = 1e-14,
    least_rms: float = 1e-3,
    threshold: float = 1.0,
    maximize: bool = False,
) -> tuple[NDArray, ...]:
    """(param, variance), and (row, column) for two axes or more, after one step of Adafactor.

    The means of g² + epsilon move by `fresh`: over rows and columns, of which the variance is the outer
    product over the mean row, or of each element; p <- keep p - rate max(least_rms, rms(p)) u / max(1, rms(u)
    / threshold), u = g / sqrt(variance). Without a floor the least_* are 0.
    """
    p, v = _own(param), _own(variance)
    means = [] if row is None or column is None else [_own(row), _own(column)]
    _C.adafactor_step(
        [p], [arr(grad)], means[:1], means[1:], [v], [fresh], [rate], keep, epsilon, least_mean,
        least_variance, least_rms, threshold, maximize, True
    )  # fmt: skip
    return (out(p), out(v), *[out(m) for m in means])


def asgd_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    average: npt.ArrayLike,
    eta: float = 1e-2,
    mu: float = 1.0,
    lambd: float = 1e-4,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[NDArray, NDArray]:
    """(param, average) after p <- (1 - lambd eta) p - eta g, average <- average + mu (p - average)."""
    p, a = _own(param), _own(average)
    _C.asgd_step([p], [arr(grad)], [a], [eta], [mu], lambd, weight_decay, maximize)
    return out(p), out(a)


def rprop_step(
    param: npt.ArrayLike,
    grad: npt.ArrayLike,
    before: npt.ArrayLike,
    steps: npt.ArrayLike,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50.0),
    maximize: bool = False,
) -> tuple[NDArray, NDArray, NDArray]:
    """(param, the gradient before, step sizes) after one step of Rprop."""
    p, b, s = _own(param), _own(before), _own(steps)
    _C.rprop_step([p], [arr(grad)], [b], [s], etas[0], etas[1], step_sizes[0], step_sizes[1], maximize)
    return out(p), out(b), out(s)


def grad_norm(arrays: Sequence[npt.ArrayLike], order: float = 2.0) -> float:
    """(sum |x|^order)^(1 / order) over all arrays, summed in float64; order infinity: the largest |x|.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.grad_norm([np.array([3.0]), np.array([4.0])])
    5.0
    """
    return float(_C.grad_norm([arr(a) for a in arrays], order))


def grad_scale(x: npt.ArrayLike, factor: float) -> NDArray:
    """x factor."""
    y = _own(x)
    _C.scale_([y], factor)
    return out(y)


def grad_clip(x: npt.ArrayLike, low: float, high: float) -> NDArray:
    """min(max(x, low), high); NaN stays."""
    y = _own(x)
    _C.clamp_([y], low, high)
    return out(y)


def grad_clip_norm(
    arrays: Sequence[npt.ArrayLike], max_norm: float, order: float = 2.0
) -> tuple[float, list[NDArray]]:
    """(norm, the arrays times min(1, max_norm / (norm + 1e-6)))."""
    own = [_own(a) for a in arrays]
    return float(_C.clip_grad_norm_(own, max_norm, order)), [out(a) for a in own]


def axpby(a: float, x: npt.ArrayLike, b: float, y: npt.ArrayLike) -> NDArray:
    """a x + b y; a x, whatever y holds, for b = 0."""
    z = _own(y)
    _C.axpby_([z], [a], [arr(x)], [b], [z])
    return out(z)
