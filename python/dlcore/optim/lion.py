"""Lion: the sign of a momentum."""

from __future__ import annotations

from typing import Any

from dlcore import _C
from dlcore.optim.optimizer import Optimizer, Params, check_betas, check_flags, positive
from dlcore.tensor import Tensor

__all__ = ["Lion"]


class Lion(Optimizer):
    """p <- (1 - lr weight_decay) p - lr sign(b1 m + (1 - b1) g), then m <- b2 m + (1 - b2) g.

    X. Chen et al.: Symbolic discovery of optimization algorithms (NeurIPS 2023). Best with a rate three to
    ten times smaller, and a weight decay as much larger, than AdamW's.

    Raises ValueError for options out of range.

    >>> import dlcore
    >>> p = dlcore.tensor([1.0], requires_grad=True)
    >>> opt = dlcore.optim.Lion([p], lr=0.25)
    >>> (p * 3).backward()
    >>> opt.step()
    >>> p.detach().tolist()
    [0.75]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags(foreach, None, capturable, differentiable)
        positive("learning rate", lr)
        check_betas(betas)
        positive("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        _C.lion_step(
            arrays,
            grads,
            self._slots("exp_avg", params),
            float(group["lr"]),
            group["betas"][0],
            group["betas"][1],
            group["weight_decay"],
            group["maximize"],
        )
