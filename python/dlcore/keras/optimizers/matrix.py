"""The rules that see matrices as such: Adafactor and Muon."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.keras.optimizers.base import NDArray, Optimizer, arrays, axpby, registry
from dlcore.keras.variable import Variable
from dlcore.optim.muon import orthogonal

__all__ = ["Adafactor", "Muon"]


@registry.add()
class Adafactor(Optimizer):
    """Adam without a momentum, and with the second moments of a matrix kept as those of its rows and columns
    (Shazeer and Stern 2018)."""

    _fields = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, **kw)
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def _file_slots(self) -> list[NDArray]:
        # Keras gives a vector two scalars where a matrix has its rows and columns.
        none = [np.zeros((), np.float32), np.zeros((), np.float32)]
        return [s for slots in self._slots for s in (slots if len(slots) == 3 else [*none, *slots])]

    def _make_slots(self, v: Variable) -> list[NDArray]:
        w = v.values()
        if w.ndim < 2:
            return [np.zeros_like(w)]
        rows, columns = np.zeros(w.shape[:-1], w.dtype), np.zeros((*w.shape[:-2], w.shape[-1]), w.dtype)
        return [rows, columns, np.zeros_like(w)]

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        if self._has_rate and self.relative_step:
            rate = min(rate, 1 / math.sqrt(step))
        n = len(values)
        matrices = [s for s in slots if len(s) == 3]
        _C.adafactor_step(
            arrays(values),
            arrays(grads),
            arrays(s[0] for s in matrices),
            arrays(s[1] for s in matrices),
            arrays(s[-1] for s in slots),
            [step**self.beta_2_decay] * n,
            [min(rate, 1 / math.sqrt(step))] * n,
            keep=1.0,
            epsilon=self.epsilon_1,
            least_mean=0.0,
            least_variance=0.0,
            least_rms=self.epsilon_2,
            threshold=self.clip_threshold,
            full=True,
        )


@registry.add()
class Muon(Optimizer):
    """Momentum made orthogonal by Newton-Schulz steps, for matrices; Adam for the rest (Jordan et al.
    2024)."""

    _fields = (
        "adam_beta_1",
        "adam_beta_2",
        "adam_weight_decay",
        "epsilon",
        "exclude_layers",
        "muon_a",
        "muon_b",
        "muon_c",
        "adam_lr_ratio",
        "momentum",
        "ns_steps",
        "nesterov",
        "exclude_embeddings",
        "rms_rate",
    )
    _shrinks = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Any = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kw: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kw,
        )
        self.adam_beta_1, self.adam_beta_2, self.epsilon = adam_beta_1, adam_beta_2, epsilon
        self.adam_weight_decay, self.adam_lr_ratio = adam_weight_decay, adam_lr_ratio
        self.exclude_layers, self.exclude_embeddings = exclude_layers or [], exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.momentum, self.ns_steps, self.nesterov, self.rms_rate = momentum, ns_steps, nesterov, rms_rate

    def _by_adam(self, v: Variable) -> bool:
        return (
            v.ndim != 2
            or (self.exclude_embeddings and "embedding" in v.path.lower())
            or any(re.search(k, v.path) for k in self.exclude_layers)
        )

    def _make_slots(self, v: Variable) -> list[NDArray]:
        w = v.values()
        return [np.zeros_like(w), np.zeros_like(w)] if self._by_adam(v) else [np.zeros_like(w)]

    def _keeps(self, variables: list[Variable], rate: float) -> list[float]:
        decays = [self.adam_weight_decay if self._by_adam(v) else self.weight_decay for v in variables]
        return [1 - d * rate if d is not None and self._decays(v) else 1.0 for v, d in zip(variables, decays)]

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        by_adam = [i for i, s in enumerate(slots) if len(s) == 2]
        _C.adam_step(
            arrays(values[i] for i in by_adam),
            arrays(grads[i] for i in by_adam),
            arrays(slots[i][0] for i in by_adam),
            arrays(slots[i][1] for i in by_adam),
            [],
            [float(step)] * len(by_adam),
            rate * self.adam_lr_ratio,
            self.adam_beta_1,
            self.adam_beta_2,
            self.epsilon,
            epsilon_hat=True,
            keep=[self._keep[i] for i in by_adam],
        )
        by_muon = [i for i, s in enumerate(slots) if len(s) == 1]
        w, g, m = ([x[i] for i in by_muon] for x in (values, grads, [s[0] for s in slots]))
        axpby(m, 1.0, g, self.momentum, m)
        moves = m
        if self.nesterov:
            moves = [np.empty_like(x) for x in m]
            axpby(moves, self.momentum, m, 1.0, g)
        coefficients = (self.muon_a, self.muon_b, self.muon_c)
        moves = [
            orthogonal(x, 1 / (_C.grad_norm([x], 2.0) + 1e-7), coefficients, self.ns_steps).numpy()
            for x in arrays(moves)
        ]
        scales = [1.0 if self.rms_rate is None else math.sqrt(max(x.shape)) * self.rms_rate for x in w]
        axpby(w, [-rate * s for s in scales], moves, [self._keep[i] for i in by_muon], w)
