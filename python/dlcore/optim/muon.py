"""Muon: momentum whose matrix is made orthogonal."""

from __future__ import annotations

import math
from typing import Any

from dlcore import _C
from dlcore.optim.optimizer import Optimizer, Params
from dlcore.tensor import Tensor

__all__ = ["Muon"]


class Muon(Optimizer):
    """m <- momentum m + (1 - momentum) g, p <- (1 - lr weight_decay) p - lr r O(m), or O of g moved to m by
    `momentum` with `nesterov`; for matrices alone.

    O makes the singular values about 1: X <- m / ||m||, then ns_steps times X <- a X + (b A + c A²) X,
    A = X Xᵀ. r = sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns)) for
    adjust_lr_fn="match_rms_adamw". Arguments and state as torch's, which
    iterates in bfloat16; here the parameter's own precision is kept.

    K. Jordan et al.: Muon (2024); J. Liu et al.: Muon is scalable for LLM training (arXiv:2502.16982).

    Raises ValueError for options out of range and for parameters that are no matrices.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if p.ndim != 2:
                raise ValueError(
                    f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}"
                )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        slots, n = self._slots("momentum_buffer", params), len(params)
        _C.axpby_(slots, [1 - momentum] * n, grads, [momentum] * n, slots)
        moves = slots
        if group["nesterov"]:
            moves = [_C.empty(p.shape, p.dtype, p.device) for p in params]
            _C.axpby_(moves, [1 - momentum] * n, grads, [momentum] * n, slots)
        steps = [
            orthogonal(
                m,
                1 / max(_C.grad_norm([m], 2.0), group["eps"]),
                group["ns_coefficients"],
                group["ns_steps"],
            )
            for m in moves
        ]
        rates = []
        for rows, columns in (p.shape for p in params):
            if group["adjust_lr_fn"] == "match_rms_adamw":
                ratio = 0.2 * math.sqrt(max(rows, columns))
            else:
                ratio = math.sqrt(max(1.0, rows / max(columns, 1)))
            rates.append(-lr * ratio)
        _C.axpby_(arrays, rates, steps, [1 - lr * group["weight_decay"]] * n, arrays)


def orthogonal(x: _C.Array, scale: float, coefficients: tuple[float, float, float], steps: int) -> _C.Array:
    """The orthogonal matrix nearest to scale x, roughly, by Newton and Schulz' iteration of fifth order."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    source = _C.permute(x, (1, 0)) if tall else x
    x = _C.empty(source.shape, source.dtype, source.device)
    _C.axpby_([x], [scale], [source], [0.0], [x])
    for _ in range(steps):
        gram = _C.matmul(x, _C.permute(x, (1, 0)))
        square = _C.matmul(gram, gram)
        _C.axpby_([square], [b], [gram], [c], [square])
        _C.axpby_([x], [1.0], [_C.matmul(square, x)], [a], [x])
    return _C.permute(x, (1, 0)) if tall else x
