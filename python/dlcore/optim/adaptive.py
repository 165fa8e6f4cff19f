"""RMSprop, Adagrad, Adadelta: a learning rate an element."""

from __future__ import annotations

from typing import Any

from dlcore import _C
from dlcore.optim.optimizer import Optimizer, Params, check_flags, positive
from dlcore.tensor import Tensor

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g², p <- p - lr g / (sqrt(v) + eps); `centered` subtracts the squared mean
    from v,
    `momentum` accumulates the steps. Arguments and state as torch's.

    T. Tieleman, G. Hinton: Lecture 6.5 of Neural networks for machine learning (2012).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags(foreach=foreach, capturable=capturable, differentiable=differentiable)
        positive("learning rate", lr)
        positive("epsilon value", eps)
        positive("momentum value", momentum)
        positive("weight_decay value", weight_decay)
        positive("alpha value", alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
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
        self._steps(params)
        _C.rmsprop_step(
            arrays,
            grads,
            self._slots("square_avg", params),
            self._slots("grad_avg", params) if group["centered"] else [],
            self._slots("momentum_buffer", params) if group["momentum"] > 0 else [],
            float(group["lr"]),
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["centered"],
            group["maximize"],
        )


class Adagrad(Optimizer):
    """s <- s + g², p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps). Arguments and state as torch's.

    J. Duchi, E. Hazan, Y. Singer: Adaptive subgradient methods for online learning (JMLR 2011).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_flags(foreach=foreach, fused=fused, differentiable=differentiable)
        positive("learning rate", lr)
        positive("lr_decay value", lr_decay)
        positive("weight_decay value", weight_decay)
        positive("initial_accumulator_value value", initial_accumulator_value)
        positive("epsilon value", eps)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
                "foreach": foreach,
                "fused": fused,
                "differentiable": differentiable,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]  # its state is there before the first step, as in torch
        for p in group["params"]:
            self.state[p].setdefault("step", 0.0)
        self._slots("sum", group["params"], group["initial_accumulator_value"])

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        _C.adagrad_step(
            arrays,
            grads,
            self._slots("sum", params, group["initial_accumulator_value"]),
            self._steps(params),
            float(group["lr"]),
            group["lr_decay"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )


class Adadelta(Optimizer):
    """v <- rho v + (1 - rho) g², d = g sqrt(u + eps) / sqrt(v + eps), u <- rho u + (1 - rho) d², p <- p - lr
    d.

    Arguments and state as torch's. M. Zeiler: ADADELTA (arXiv:1212.5701).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags(foreach=foreach, capturable=capturable, differentiable=differentiable)
        positive("learning rate", lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        positive("epsilon value", eps)
        positive("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
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
        self._steps(params)
        _C.adadelta_step(
            arrays,
            grads,
            self._slots("square_avg", params),
            self._slots("acc_delta", params),
            float(group["lr"]),
            group["rho"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
