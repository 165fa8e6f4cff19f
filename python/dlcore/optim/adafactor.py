"""Adafactor, whose second moments are a row and a column, and SparseAdam, which is refused."""

from __future__ import annotations

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
        for dtype in dict.fromkeys(p.dtype for p in params):
            same = [i for i, p in enumerate(params) if p.dtype == dtype]
            floor = float(np.finfo(dtype).eps) if group["eps"][0] is None else group["eps"][0]
            self._move(group, [params[i] for i in same], [grads[i] for i in same], floor)

    def _move(self, group: dict[str, Any], params: list[Tensor], grads: list[_C.Array], floor: float) -> None:
        lr, steps = float(group["lr"]), self._steps(params)
        matrices = [p for p in params if p.ndim > 1]
        _C.adafactor_step(
            [p.array for p in params],
            grads,
            [self._moment(p, "row_var", (*p.shape[:-1], 1)) for p in matrices],
            [self._moment(p, "col_var", (*p.shape[:-2], 1, p.shape[-1])) for p in matrices],
            [self._moment(p, "variance", p.shape) for p in params if p.ndim <= 1],
            [t ** group["beta2_decay"] for t in steps],
            [min(lr, 1 / t**0.5) for t in steps],
            keep=1 - lr * group["weight_decay"],
            epsilon=0.0,
            least_mean=floor,
            least_variance=floor * floor,
            least_rms=group["eps"][1],
            threshold=group["d"],
            maximize=group["maximize"],
        )

    def _moment(self, p: Tensor, name: str, shape: tuple[int, ...]) -> _C.Array:
        state = self.state[p]
        slot = state.get(name)
        if slot is None:
            slot = state[name] = Tensor(_C.full(shape, 0.0, p.dtype, p.device))
        array: _C.Array = slot.array
        return array


class SparseAdam:
    """Refused: dlcore has no sparse tensors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("SparseAdam: sparse gradients are not supported; use Adam")
