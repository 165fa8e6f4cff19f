"""Gradients clipped and parameters moved, those of a whole model at once."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.tensor import Tensor

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in params if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of the norms of all tensors: (Σ |x|^p)^(1/p), or the largest |x| for p = inf.

    Raises RuntimeError, with `error_if_nonfinite`, where it is not finite.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return Tensor(_C.from_numpy(np.zeros((), np.float32)))
    total = _C.grad_norm([t.array for t in tensors], norm_type)
    return _as_norm(total, tensors, norm_type, error_if_nonfinite)


def _as_norm(total: float, tensors: list[Tensor], order: float, error_if_nonfinite: bool) -> Tensor:
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"the total norm of order {order} of the gradients is non-finite ({total}); "
            "pass error_if_nonfinite=False to scale by it anyway"
        )
    dtype = np.result_type(*(t.dtype for t in tensors))
    return Tensor(_C.to_device(_C.from_numpy(np.asarray(total, dtype)), tensors[0].device))


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiplies the gradients by min(1, max_norm / (total_norm + 1e-6)), in place."""
    factor = float(np.minimum(float(max_norm) / (float(total_norm.item()) + 1e-6), 1.0))
    grads = _grads(parameters)
    if grads and factor != 1.0:
        _C.scale_([g.array for g in grads], factor)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients by one factor so that their total norm is at most `max_norm`; returns what it was.

    Pascanu et al., ICML 2013.

    >>> import dlcore
    >>> p = dlcore.nn.Parameter(dlcore.tensor([0.0, 0.0]))
    >>> p.grad = dlcore.tensor([3.0, 4.0])
    >>> dlcore.nn.utils.clip_grad_norm_([p], 1.0).item()
    5.0
    >>> [round(v, 3) for v in p.grad.numpy().tolist()]
    [0.6, 0.8]
    """
    grads = _grads(parameters)
    if not grads:
        return get_total_norm(grads)
    order = float(norm_type)
    total = _C.clip_grad_norm_([g.array for g in grads], float(max_norm), order, error_if_nonfinite)
    return _as_norm(total, grads, order, error_if_nonfinite)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamps every gradient element to [-clip_value, clip_value], in place."""
    bound = float(clip_value)
    grads = _grads(parameters)
    if grads:
        _C.clamp_([g.array for g in grads], -bound, bound)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters one after the other as one 1-d tensor, differentiably."""
    return F.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """The reverse of `parameters_to_vector`: each parameter becomes its piece of `vec`, in its memory."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec must be a Tensor, got {type(vec).__name__}")
    start = 0
    for p in parameters:
        n = p.array.size
        p.array = _C.reshape(_C.slice(vec.array, 0, start, n, 1), p.shape)
        start += n
