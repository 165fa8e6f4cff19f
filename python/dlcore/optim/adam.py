"""Adam and its kin: Adam, AdamW, NAdam, RAdam, Adamax."""

from __future__ import annotations

from typing import Any

from dlcore import _C
from dlcore.optim.optimizer import Optimizer, Params, check_betas, check_flags, positive
from dlcore.tensor import Tensor

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g², p <- p - lr m' / (sqrt(v') + eps), m' = m / (1 -
    b1^t), v' alike.

    `amsgrad` divides by the largest v so far; `decoupled_weight_decay` is AdamW. Arguments and state as
    torch's.
    D. Kingma, J. Ba: Adam (ICLR 2015); S. Reddi et al.: On the convergence of Adam and beyond (ICLR 2018).

    >>> import dlcore, numpy as np
    >>> p = dlcore.tensor([1.0], requires_grad=True)
    >>> opt = dlcore.optim.Adam([p], lr=0.5)
    >>> p.backward(np.ones(1, np.float32))
    >>> opt.step()
    >>> p.detach().numpy().tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_flags(foreach=foreach, fused=fused, capturable=capturable, differentiable=differentiable)
        positive("learning rate", lr)
        positive("epsilon value", eps)
        check_betas(betas)
        positive("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "fused": fused,
                "capturable": capturable,
                "differentiable": differentiable,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        steps = self._steps(params)
        _C.adam_step(
            arrays,
            grads,
            self._slots("exp_avg", params),
            self._slots("exp_avg_sq", params),
            self._slots("max_exp_avg_sq", params) if group["amsgrad"] else [],
            steps,
            float(group["lr"]),
            group["betas"][0],
            group["betas"][1],
            group["eps"],
            group["weight_decay"],
            group["amsgrad"],
            group["maximize"],
            group["decoupled_weight_decay"],
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter, p <- (1 - lr weight_decay) p, instead of joining the
    gradient.

    I. Loshchilov, F. Hutter: Decoupled weight decay regularization (ICLR 2019).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, mu_t = b1 (1 - 0.96^(t momentum_decay) / 2). Arguments and state as
    torch's.

    T. Dozat: Incorporating Nesterov momentum into Adam (ICLR workshop 2016).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags(foreach=foreach, capturable=capturable, differentiable=differentiable)
        positive("learning rate", lr)
        positive("epsilon value", eps)
        check_betas(betas)
        positive("weight_decay value", weight_decay)
        positive("momentum_decay value", momentum_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        steps = self._steps(params)
        products = []
        for p, t in zip(params, steps):
            mu = group["betas"][0] * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"]))
            self.state[p]["mu_product"] = self.state[p].get("mu_product", 1.0) * mu
            products.append(self.state[p]["mu_product"])
        _C.nadam_step(
            arrays,
            grads,
            self._slots("exp_avg", params),
            self._slots("exp_avg_sq", params),
            products,
            steps,
            float(group["lr"]),
            group["betas"][0],
            group["betas"][1],
            group["eps"],
            group["weight_decay"],
            group["momentum_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class RAdam(Optimizer):
    """Adam whose step is rectified while the variance of v is large. Arguments and state as torch's.

    L. Liu et al.: On the variance of the adaptive learning rate and beyond (ICLR 2020).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags(foreach=foreach, capturable=capturable, differentiable=differentiable)
        positive("learning rate", lr)
        positive("epsilon value", eps)
        check_betas(betas)
        positive("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        _C.radam_step(
            arrays,
            grads,
            self._slots("exp_avg", params),
            self._slots("exp_avg_sq", params),
            self._steps(params),
            float(group["lr"]),
            group["betas"][0],
            group["betas"][1],
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class Adamax(Optimizer):
    """m <- b1 m + (1 - b1) g, u <- max(b2 u, |g| + eps), p <- p - lr m / ((1 - b1^t) u). Arguments and state
    as torch's.

    D. Kingma, J. Ba: Adam (ICLR 2015), section 7.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_flags(foreach=foreach, capturable=capturable, differentiable=differentiable)
        positive("learning rate", lr)
        positive("epsilon value", eps)
        check_betas(betas)
        positive("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
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
        _C.adamax_step(
            arrays,
            grads,
            self._slots("exp_avg", params),
            self._slots("exp_inf", params),
            self._steps(params),
            float(group["lr"]),
            group["betas"][0],
            group["betas"][1],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
