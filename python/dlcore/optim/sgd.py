"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from dlcore import _C
from dlcore.optim.optimizer import Optimizer, Params, check_flags, positive
from dlcore.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """v <- momentum v + (1 - dampening) g, p <- p - lr v, or p - lr (g + momentum v) with `nesterov`.

    The first v is g. weight_decay adds weight_decay p to g; `maximize` turns g's sign. Arguments and state as
    torch's.
    I. Sutskever et al.: On the importance of initialization and momentum in deep learning (ICML 2013).

    >>> import dlcore, numpy as np
    >>> p = dlcore.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = dlcore.optim.SGD([p], lr=0.5)
    >>> p.backward(np.ones(2, np.float32))
    >>> opt.step()
    >>> p.detach().numpy().tolist()
    [0.5, 1.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_flags(foreach, fused, differentiable=differentiable)
        positive("learning rate", lr)
        positive("momentum value", momentum)
        positive("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        moving = group["momentum"] != 0
        # The kernel takes the first gradient as it is; torch keeps no count for SGD, the buffer's presence
        # tells.
        first = [1.0 if moving and self.state[p].get("momentum_buffer") is None else 2.0 for p in params]
        buffers = self._slots("momentum_buffer", params) if moving else []
        _C.sgd_step(
            arrays,
            grads,
            buffers,
            first,
            float(group["lr"]),
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
