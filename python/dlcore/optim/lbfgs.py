"""L-BFGS: directions from the last changes of the gradient, steps of one length or from a line search."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.autograd import enable_grad, no_grad
from dlcore.optim.optimizer import Optimizer, Params, positive
from dlcore.tensor import Tensor

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """d = -H g, with H built from the last `history_size` changes of parameters and gradients; p <- p + t d.

    `step(closure)` makes up to max_iter iterations; the closure clears the gradients, computes the loss,
    calls backward and returns the loss. t is lr, or found by `line_search_fn="strong_wolfe"`. One parameter
    group. Arguments and state as torch's.

    D. Liu, J. Nocedal: On the limited memory BFGS method (Mathematical Programming 1989); the search: J.
    Nocedal, S. Wright: Numerical optimization, algorithms 3.5 and 3.6.

    Raises ValueError for several groups and a negative rate, RuntimeError for another line search.

    >>> import dlcore
    >>> p = dlcore.tensor([3.0], requires_grad=True)
    >>> opt = dlcore.optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = ((p - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = opt.step(closure)
    >>> round(p.item(), 4)
    1.0
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        positive("learning rate", lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    # ---- all parameters as one vector ----------------------------------------------------------------------

    def _gradient(self) -> Tensor:
        parts = [
            Tensor(_C.full((p.numel(),), 0.0, p.dtype, p.device)) if p.grad is None else p.grad.reshape(-1)
            for p in self.param_groups[0]["params"]
        ]
        return F.cat(parts) if len(parts) > 1 else parts[0].clone()

    def _move(self, t: float, d: Tensor) -> None:
        """p <- p + t d."""
        at, parts, arrays = 0, [], []
        for p in self.param_groups[0]["params"]:
            n = p.numel()
            parts.append(_C.reshape(_C.slice(d.array, 0, at, n, 1), p.shape))
            arrays.append(p.array)
            at += n
        _C.axpby_(arrays, [t] * len(arrays), parts, [1.0] * len(arrays), arrays)

    # ---- the step ------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations; returns the loss before the first of them."""
        if closure is None:
            raise TypeError("LBFGS.step: a closure that computes the loss again is required")
        evaluate = closure

        def loss_and_gradient() -> tuple[Any, Tensor]:
            with enable_grad():
                loss = evaluate()
            return loss, self._gradient()

        with no_grad():
            return self._run(loss_and_gradient)

    def _run(self, evaluate: Callable[[], tuple[Any, Tensor]]) -> Any:
        group = self.param_groups[0]
        lr, max_iter = float(group["lr"]), group["max_iter"]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss, g = evaluate()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        if _largest(g) <= group["tolerance_grad"]:
            return first_loss
        # None before the first iteration, which sets them all.
        d: Any = state.get("d")
        t: Any = state.get("t")
        ys: Any = state.get("old_dirs")
        ss: Any = state.get("old_stps")
        ro: Any = state.get("ro")
        scale: Any = state.get("H_diag")
        before: Any = state.get("prev_flat_grad")
        loss_before: Any = state.get("prev_loss")
        iteration = 0
        while iteration < max_iter:
            iteration += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d, ys, ss, ro, scale = -g, [], [], [], 1
            else:
                y, s = g - before, d * t
                curvature = _dot(y, s)
                if curvature > 1e-10:
                    if len(ys) == group["history_size"]:
                        del ys[0], ss[0], ro[0]
                    ys.append(y)
                    ss.append(s)
                    ro.append(1.0 / curvature)
                    scale = curvature / _dot(y, y)
                d = _direction(g, ys, ss, ro, scale)
            before = g.clone()
            loss_before = loss
            t = min(1.0, 1.0 / float(_C.grad_norm([g.array], 1.0))) * lr if state["n_iter"] == 1 else lr
            slope = _dot(g, d)
            if slope > -group["tolerance_change"]:
                break
            made = 0
            flat = False
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                start = [_C.clone(p.array) for p in group["params"]]

                def at(t: float, d: Tensor = d, start: list[_C.Array] = start) -> _Point:
                    self._move(t, d)
                    value, gradient = evaluate()
                    n = len(start)
                    _C.axpby_([p.array for p in group["params"]], [1.0] * n, start, [0.0] * n, start)
                    return _Point(t, float(value), gradient, _dot(gradient, d))

                found, made = _strong_wolfe(
                    at, _Point(0.0, loss, g, slope), t, _largest(d), max_ls=group["max_eval"] - evaluations
                )
                loss, g, t = found.f, found.g, found.t
                self._move(t, d)
                flat = _largest(g) <= group["tolerance_grad"]
            else:
                self._move(t, d)
                if iteration != max_iter:  # nobody would use the last one
                    value, g = evaluate()
                    loss = float(value)
                    flat = _largest(g) <= group["tolerance_grad"]
                    made = 1
            evaluations += made
            state["func_evals"] += made
            if iteration == max_iter or evaluations >= group["max_eval"] or flat:
                break
            if _largest(d) * abs(t) <= group["tolerance_change"]:
                break
            if abs(loss - loss_before) < group["tolerance_change"]:
                break
        state.update(
            d=d,
            t=t,
            old_dirs=ys,
            old_stps=ss,
            ro=ro,
            H_diag=scale,
            prev_flat_grad=before,
            prev_loss=loss_before,
        )
        return first_loss


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a.dot(b).item())


def _largest(x: Tensor) -> float:
    return float(_C.grad_norm([x.array], math.inf))


def _direction(g: Tensor, ys: list[Tensor], ss: list[Tensor], ro: list[float], scale: float) -> Tensor:
    """-H g by the two loops over the history."""
    q = g.clone()

    def move(a: float, x: Tensor) -> None:  # q <- q + a x
        _C.axpby_([q.array], [a], [x.array], [1.0], [q.array])

    alphas = [0.0] * len(ys)
    for i in reversed(range(len(ys))):
        alphas[i] = _dot(ss[i], q) * ro[i]
        move(-alphas[i], ys[i])
    q.mul_(-scale)
    for i in range(len(ys)):
        move(-alphas[i] - _dot(ys[i], q) * ro[i], ss[i])
    return q


# ---- the line search -------------------------------------------------------------------------------------


@dataclass
class _Point:
    """A step length, with the loss, its gradient and its slope there."""

    t: float
    f: float
    g: Tensor
    slope: float


def _cubic(a: _Point, b: _Point, low: float, high: float) -> float:
    """Where the cubic through both points, with their slopes, is least; within [low, high]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        d1 = np.float64(a.slope + b.slope) - 3 * np.float64(a.f - b.f) / np.float64(a.t - b.t)
        square = d1**2 - a.slope * b.slope
        if not square >= 0:
            return (low + high) / 2.0
        root = np.sqrt(square)
        if a.t <= b.t:
            best = b.t - (b.t - a.t) * ((b.slope + root - d1) / (b.slope - a.slope + 2 * root))
        else:
            best = a.t - (a.t - b.t) * ((a.slope + root - d1) / (a.slope - b.slope + 2 * root))
    return float(min(max(best, low), high))


def _strong_wolfe(
    at: Callable[[float], _Point],
    start: _Point,
    t: float,
    d_norm: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_ls: int = 25,
) -> tuple[_Point, int]:
    """A step that lowers the loss enough (c1) and flattens it enough (c2), and how many points were tried."""

    def too_high(p: _Point) -> bool:
        return p.f > start.f + c1 * p.t * start.slope

    def flat(p: _Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    # Forward until two points bracket such a step.
    new, before = at(t), start
    tried, rounds = 1, 0
    bracket: list[_Point] | None = None
    while rounds < max_ls:
        if too_high(new) or (rounds > 1 and new.f >= before.f):
            bracket = [before, new]
            break
        if flat(new):
            return new, tried
        if new.slope >= 0:
            bracket = [before, new]
            break
        low, high = new.t + 0.01 * (new.t - before.t), new.t * 10
        t = _cubic(before, new, low, high)
        before, new = new, at(t)
        tried += 1
        rounds += 1
    if bracket is None:
        bracket = [start, new]

    # Then closer, always keeping the lower end.
    stuck = False
    low_end, high_end = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
    while rounds < max_ls:
        if abs(bracket[1].t - bracket[0].t) * d_norm < tolerance_change:
            break
        least, most = sorted((bracket[0].t, bracket[1].t))
        t = _cubic(bracket[0], bracket[1], least, most)
        margin = 0.1 * (most - least)
        if min(most - t, t - least) < margin:  # close to an end: once may be, twice is moved away
            if stuck or t >= most or t <= least:
                t = most - margin if abs(t - most) < abs(t - least) else least + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(t)
        tried += 1
        rounds += 1
        if too_high(new) or new.f >= bracket[low_end].f:
            bracket[high_end] = new
            low_end, high_end = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
            continue
        done = flat(new)
        if not done and new.slope * (bracket[high_end].t - bracket[low_end].t) >= 0:
            bracket[high_end] = bracket[low_end]
        bracket[low_end] = new
        if done:
            break
    return bracket[low_end], tried
