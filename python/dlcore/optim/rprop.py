"""ASGD, which averages the parameters, and Rprop, which heeds signs alone."""

from __future__ import annotations

from typing import Any

from dlcore import _C
from dlcore.optim.optimizer import Optimizer, Params, check_flags, positive
from dlcore.tensor import Tensor

__all__ = ["ASGD", "Rprop"]


class ASGD(Optimizer):
    """p <- (1 - lambd eta) p - eta g, eta = lr / (1 + lambd lr t)^alpha; the state `ax` is the mean of p from
    step t0 on.

    Arguments and state as torch's. B. Polyak, A. Juditsky: Acceleration of stochastic approximation by
    averaging (SIAM J. Control and Optimization 1992).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_flags(foreach, None, capturable, differentiable)
        positive("learning rate", lr)
        positive("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        lr, lambd = float(group["lr"]), group["lambd"]
        etas = [self.state[p].get("eta", lr) for p in params]
        mus = [self.state[p].get("mu", 1.0) for p in params]
        steps = self._steps(params)
        average = self._slots("ax", params)
        _C.asgd_step(arrays, grads, average, etas, mus, lambd, group["weight_decay"], group["maximize"])
        for p, t in zip(params, steps):  # for the next step
            self.state[p]["eta"] = lr / (1 + lambd * lr * t) ** group["alpha"]
            self.state[p]["mu"] = 1 / max(1.0, t - group["t0"])


class Rprop(Optimizer):
    """p <- p - sign(g) s; s grows by etas[1] while the sign of g stays, shrinks by etas[0] (and this step is
    skipped) where it turns.

    Arguments and state as torch's; for gradients of the whole set. M. Riedmiller, H. Braun: A direct adaptive
    method for faster backpropagation learning (ICNN 1993).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags(foreach, None, capturable, differentiable)
        positive("learning rate", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        self._steps(params)
        _C.rprop_step(
            arrays,
            grads,
            self._slots("prev", params),
            self._slots("step_size", params, float(group["lr"])),
            group["etas"][0],
            group["etas"][1],
            group["step_sizes"][0],
            group["step_sizes"][1],
            group["maximize"],
        )
