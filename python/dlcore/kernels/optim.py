"""Optimizer steps on one ndarray: copies go in, (parameter, state...) come out. The optimizers call the same
kernels in
place, over all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out
from dlcore.tensor import as_array

__all__ = [
    "adam_step",
    "asgd_step",
    "grad_clip",
    "grad_norm",
    "grad_scale",
    "lion_step",
    "rmsprop_step",
    "rprop_step",
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
) -> tuple[NDArray, NDArray]:
    """(param, buffer) after v <- momentum v + (1 - dampening) g (v <- g at step 1), p <- p - lr v.

    >>> import numpy as np, dlcore
    >>> float(dlcore.kernels.sgd_step(np.ones(1), np.ones(1), np.zeros(1), lr=0.5)[0][0])
    0.5
    """
    p, b = _own(param), _own(buffer)
    _C.sgd_step([p], [arr(grad)], [b], [step], lr, momentum, dampening, weight_decay, nesterov, maximize)
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
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """(param, square_avg, grad_avg, momentum_buffer) after one step of RMSprop."""
    p, v, g, b = _own(param), _own(square_avg), _own(grad_avg), _own(momentum_buffer)
    _C.rmsprop_step(
        [p], [arr(grad)], [v], [g], [b], lr, alpha, epsilon, weight_decay, momentum, centered, maximize
    )
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
