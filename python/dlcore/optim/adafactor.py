"""Adafactor, whose second moments are a row and a column, and SparseAdam, which is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.optim.optimizer import Optimizer, Params, check_flags
from dlcore.tensor import Tensor

__all__ = ["Adafactor", "SparseAdam"]


class Adafactor(Optimizer):
    """p <- (1 - lr weight_decay) p - a g / sqrt(V), V = row column / mean row, with row and column the
    running means of g² over the last and the last but one axis (V itself the running mean for vectors).

    a = max(eps[1], rms(p)) min(lr, 1 / sqrt(t)) / max(1, rms(g / sqrt(V)) / d). Arguments and state as
    torch's. N. Shazeer, M. Stern: Adafactor: adaptive learning rates with sublinear memory cost (ICML 2018).

    Raises ValueError for options out of range.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_flags(foreach)
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        lr = float(group["lr"])
        for p, grad, t in zip(params, grads, self._steps(params)):
            state = self.state[p]
            g = -Tensor(grad) if group["maximize"] else Tensor(grad)
            w = Tensor(p.array)
            eps1 = float(np.finfo(p.dtype).eps) if group["eps"][0] is None else group["eps"][0]
            fresh = t ** group["beta2_decay"]
            rms = float(_C.grad_norm([p.array], 2.0)) / max(1, p.numel()) ** 0.5
            alpha = max(group["eps"][1], rms) * min(lr, 1 / t**0.5)
            if group["weight_decay"] != 0:
                w.mul_(1 - lr * group["weight_decay"])
            if g.ndim > 1:
                row = self._mean("row_var", state, (g * g).mean(-1, keepdim=True), fresh)
                column = self._mean("col_var", state, (g * g).mean(-2, keepdim=True), fresh)
                variance = (row @ column) / row.mean(-2, keepdim=True).clamp(min=eps1)
            else:
                variance = self._mean("variance", state, g * g, fresh)
            update = variance.clamp(min=eps1 * eps1).rsqrt() * g
            norm = float(_C.grad_norm([update.array], 2.0)) / math.sqrt(max(1, update.numel()))
            w.sub_(update * (alpha / max(1.0, norm / group["d"])))

    @staticmethod
    def _mean(name: str, state: dict[str, Any], new: Tensor, weight: float) -> Tensor:
        """The running mean in state[name] after it has moved to `new` by `weight`."""
        old = state.get(name)
        if old is None:
            old = state[name] = Tensor(_C.full(new.shape, 0.0, new.dtype, new.device))
        old.add_((new - old) * weight)
        mean: Tensor = old
        return mean


class SparseAdam:
    """Refused: dlcore has no sparse tensors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("SparseAdam: sparse gradients are not supported; use Adam")
