"""The rules. Those that torch's optimizers share run as one kernel over all weights."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.keras._registry import serialize_any
from dlcore.keras.optimizers.base import NDArray, Optimizer, registry
from dlcore.keras.variable import Variable
from dlcore.tensor import as_array

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Muon",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
]


def _arrays(xs: list[NDArray]) -> list[_C.Array]:
    return [as_array(x) for x in xs]


def _column(slots: list[list[NDArray]], i: int) -> list[_C.Array]:
    return [as_array(s[i]) for s in slots]


@registry.add()
class SGD(Optimizer):
    """w -= rate * g; with momentum m = momentum * m - rate * g, w += m (or, nesterov,
    momentum * m - rate * g).
    """

    _fields = ("momentum", "nesterov")

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kw)
        if not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ValueError(
                f"SGD: momentum must be from 0 to 1, got {momentum}. `momentum` must be a float between"
                " [0, 1]."
            )
        self.momentum, self.nesterov = momentum, nesterov

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        if self.momentum:
            super().update_all(values, grads, slots, rate, step)
        else:
            _C.sgd_step(_arrays(values), _arrays(grads), [], [float(step)] * len(values), rate)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        step_g = g * f(rate)
        (m,) = slots
        m *= f(self.momentum)
        m -= step_g
        w += m * f(self.momentum) - step_g if self.nesterov else m


class _Moments(Optimizer):
    """beta_1, beta_2, epsilon, and two moments of the gradients."""

    _fields: tuple[str, ...] = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, **kw)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity")


@registry.add()
class Adam(_Moments):
    """m, v the moving means of g and g^2; w -= rate sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon).

    Kingma and Ba 2014, the form at the end of section 2; with `amsgrad` v is the largest so far (Reddi et
    al. 2018).
    """

    _fields = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kw)
        self.amsgrad = amsgrad

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def _file_slots(self) -> list[NDArray]:
        pairs = [s for slots in self._slots for s in slots[:2]]
        return [*pairs, *[slots[2] for slots in self._slots]] if self.amsgrad else pairs

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        _C.adam_step(
            _arrays(values),
            _arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            _column(slots, 2) if self.amsgrad else [],
            [float(step)] * len(values),
            rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            0.0,
            self.amsgrad,
            epsilon_hat=True,  # it joins the root before its correction
        )


@registry.add("adamw")
class AdamW(Adam):
    """Adam after w -= rate * weight_decay * w (Loshchilov and Hutter 2017)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kw: Any,
    ) -> None:
        if weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kw)


@registry.add()
class Adamax(_Moments):
    """Adam with the largest |g| so far (decayed) in place of sqrt(v) (Kingma and Ba 2014, section 7)."""

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "norm")

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        m, u = slots
        m += (g - m) * f(1 - self.beta_1)
        u *= f(self.beta_2)
        np.maximum(u, np.abs(g), out=u)
        w -= m * f(rate) / ((u + f(self.epsilon)) * f(1 - self.beta_1**step))


@registry.add()
class Nadam(_Moments):
    """Adam with Nesterov's momentum, warmed up (Dozat 2016)."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self._product = np.ones((), np.float32)  # of every step's beta

    def _state(self) -> list[NDArray]:
        return [*super()._state(), self._product]

    def begin(self, step: int) -> None:
        self._product *= np.float32(self.beta_1 * (1 - 0.5 * 0.96**step))

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        n = len(values)
        _C.nadam_step(
            _arrays(values),
            _arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            [float(self._product)] * n,
            [float(step)] * n,
            rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            0.0,
            1.0,
            False,
            False,
        )


@registry.add("rmsprop")
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; w -= rate * g / sqrt(v + epsilon) (Hinton, lecture 6e)."""

    _fields = ("rho", "momentum", "epsilon", "centered")
    _by_name = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, **kw)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def slot_names(self) -> tuple[str, ...]:
        names = ["velocity"]
        if self.momentum > 0:
            names.append("momentum")
        if self.centered:
            names.append("average_gradient")
        return tuple(names)

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        if self.momentum > 0:  # its steps keep the rate that they were made at
            super().update_all(values, grads, slots, rate, step)
            return
        _C.rmsprop_step(
            _arrays(values),
            _arrays(grads),
            _column(slots, 0),
            _column(slots, 1) if self.centered else [],
            [],
            rate,
            self.rho,
            self.epsilon,
            0.0,
            0.0,
            self.centered,
            False,
            epsilon_inside=True,
        )

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        v = slots[0]
        v *= f(self.rho)
        v += g * g * f(1 - self.rho)
        under = v
        if self.centered:
            mean = slots[-1]
            mean *= f(self.rho)
            mean += g * f(1 - self.rho)
            under = v - mean * mean
        slots[1] *= f(self.momentum)
        slots[1] += g * f(rate) / np.sqrt(under + f(self.epsilon))
        w -= slots[1]


@registry.add()
class Adagrad(Optimizer):
    """a += g^2; w -= rate * g / sqrt(a + epsilon) (Duchi et al. 2011)."""

    _fields = ("initial_accumulator_value", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, **kw)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def slot_names(self) -> tuple[str, ...]:
        return ("accumulator",)

    def initial_slot(self, name: str, values: NDArray) -> NDArray:
        return np.full_like(values, self.initial_accumulator_value)

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        steps = [float(step)] * len(values)
        _C.adagrad_step(
            _arrays(values),
            _arrays(grads),
            _column(slots, 0),
            steps,
            rate,
            0.0,
            self.epsilon,
            0.0,
            False,
            epsilon_inside=True,
        )


@registry.add()
class Adadelta(Optimizer):
    """Steps of the size of the last steps over that of the gradients (Zeiler 2012)."""

    _fields = ("rho", "epsilon")

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **kw: Any
    ) -> None:
        super().__init__(learning_rate, **kw)
        self.rho, self.epsilon = rho, epsilon

    def slot_names(self) -> tuple[str, ...]:
        return ("accumulated_grad", "accumulated_delta_var")

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        _C.adadelta_step(
            _arrays(values),
            _arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            rate,
            self.rho,
            self.epsilon,
            0.0,
            False,
        )


@registry.add()
class Lion(Optimizer):
    """w -= rate * sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g (Chen et al. 2023)."""

    _fields = ("beta_1", "beta_2")

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kw: Any
    ) -> None:
        super().__init__(learning_rate, **kw)
        if beta_1 <= 0 or beta_1 > 1:
            raise ValueError(
                "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to"
                f" SignSGD. Received: beta_1={beta_1}."
            )
        self.beta_1, self.beta_2 = beta_1, beta_2

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum",)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        (m,) = slots
        w -= np.sign(m * f(self.beta_1) + g * f(1 - self.beta_1)) * f(rate)
        m *= f(self.beta_2)
        m += g * f(1 - self.beta_2)


@registry.add()
class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan et al. 2013), with l1, l2 and shrinkage."""

    _fields = (
        "learning_rate_power",
        "initial_accumulator_value",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "l2_shrinkage_regularization_strength",
        "beta",
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, **kw)
        for name, value, good in (
            ("initial_accumulator_value", initial_accumulator_value, initial_accumulator_value >= 0),
            ("learning_rate_power", learning_rate_power, learning_rate_power <= 0),
            ("l1_regularization_strength", l1_regularization_strength, l1_regularization_strength >= 0),
            ("l2_regularization_strength", l2_regularization_strength, l2_regularization_strength >= 0),
            (
                "l2_shrinkage_regularization_strength",
                l2_shrinkage_regularization_strength,
                l2_shrinkage_regularization_strength >= 0,
            ),
        ):
            if not good:
                sign = "negative or zero" if name == "learning_rate_power" else "positive or zero"
                raise ValueError(f"`{name}` needs to be {sign}. Received: {name}={value}.")
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def slot_names(self) -> tuple[str, ...]:
        return ("accumulator", "linear")

    def initial_slot(self, name: str, values: NDArray) -> NDArray:
        return np.full_like(values, self.initial_accumulator_value if name == "accumulator" else 0.0)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        accum, linear = slots
        power = f(-self.learning_rate_power)
        l1 = f(self.l1_regularization_strength)
        l2 = self.l2_regularization_strength + self.beta / (2 * rate)
        new = accum + g * g
        linear += (
            g
            + w * f(2 * self.l2_shrinkage_regularization_strength)
            - (new**power - accum**power) / f(rate) * w
        )
        quadratic = new**power / f(rate) + f(2 * l2)
        np.copyto(w, (np.clip(linear, -l1, l1) - linear) / quadratic)
        np.copyto(accum, new)


@registry.add()
class Lamb(_Moments):
    """Adam's step scaled to the weight's norm (You et al. 2019)."""

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        m, v = slots
        m += (g - m) * f(1 - self.beta_1)
        v += (g * g - v) * f(1 - self.beta_2)
        move = m / f(1 - self.beta_1**step) / (np.sqrt(v / f(1 - self.beta_2**step)) + f(self.epsilon))
        long, far = float(np.linalg.norm(w)), float(np.linalg.norm(move))
        w -= move * f((long / far if long > 0 and far > 0 else 1.0) * rate)


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

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        if self._has_rate and self.relative_step:
            rate = min(rate, 1 / math.sqrt(step))
        alpha = max(self.epsilon_2, _rms(w)) * min(rate, 1 / math.sqrt(step))
        squares = g * g + f(self.epsilon_1)
        beta = f(1 - step**self.beta_2_decay)
        v = slots[-1]
        if w.ndim >= 2:
            r, c = slots[:2]
            r *= beta
            r += (1 - beta) * squares.mean(-1)
            c *= beta
            c += (1 - beta) * squares.mean(-2)
            np.copyto(v, (r / r.mean(-1, keepdims=True))[..., None] * c[..., None, :])
        else:
            v *= beta
            v += (1 - beta) * squares
        u = g / np.sqrt(v)
        w -= u * f(alpha / max(1.0, _rms(u) / self.clip_threshold))


def _rms(x: NDArray) -> float:
    return math.sqrt(float(np.mean(np.square(x), dtype=np.float64)))


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

    def _decay(self, variables: list[Variable], rate: float) -> None:
        for v in variables:
            decay = self.adam_weight_decay if self._by_adam(v) else self.weight_decay
            if decay is not None and self._decays(v):
                w = v.values()
                w -= w * np.asarray(decay * rate, w.dtype)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        m = slots[0]
        if len(slots) == 2:
            v = slots[1]
            alpha = (
                rate
                * self.adam_lr_ratio
                * math.sqrt(1 - self.adam_beta_2**step)
                / (1 - self.adam_beta_1**step)
            )
            m += (g - m) * f(1 - self.adam_beta_1)
            v += (g * g - v) * f(1 - self.adam_beta_2)
            w -= m * f(alpha) / (np.sqrt(v) + f(self.epsilon))
            return
        m *= f(self.momentum)
        m += g
        move = self._orthogonal(g + m * f(self.momentum) if self.nesterov else m)
        scale = 1.0 if self.rms_rate is None else math.sqrt(max(w.shape)) * self.rms_rate
        w -= move * f(rate * scale)

    def _orthogonal(self, x: NDArray) -> NDArray:
        """Five steps of a quintic that drives the singular values towards 1."""
        f = x.dtype.type
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / f(np.linalg.norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            a = x @ x.T
            x = f(self.muon_a) * x + (f(self.muon_b) * a + f(self.muon_c) * a @ a) @ x
        return x.T if tall else x


@registry.add()
class ScheduleFreeAdamW(_Moments):
    """Adam whose averaging of the iterates stands for a schedule (Defazio et al. 2024)."""

    _fields = ("beta_1", "beta_2", "epsilon", "warmup_steps")

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kw)
        self.warmup_steps = warmup_steps

    def initial_slot(self, name: str, values: NDArray) -> NDArray:
        return np.array(values) if name == "momentum" else np.zeros_like(values)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        z, v = slots
        if self.warmup_steps > 0:
            rate *= min(step / self.warmup_steps, 1.0)
        b = f(self.beta_1)
        x = (w - (1 - b) * z) / b
        v += (g * g - v) * f(1 - self.beta_2)
        z -= g * f(rate) / (np.sqrt(v / f(1 - self.beta_2**step)) + f(self.epsilon))
        part = f(1.0 / step)
        np.copyto(w, (1 - b) * z + b * ((1 - part) * x + part * z))


_INNER_OPTIONS: dict[str, Any] = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


@registry.add()
class LossScaleOptimizer(Optimizer):
    """Another optimizer on a loss that is scaled up, the scale doubling after steps that went well and
    halving after gradients that overflowed, which make no step (Micikevicius et al. 2017)."""

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set"
                " `loss_scale_factor` directly on the `inner_optimizer`."
            )
        for key, value in kwargs.items():
            # Old configurations hold what is not set here.
            if key not in _INNER_OPTIONS or value != _INNER_OPTIONS[key]:
                raise ValueError(
                    f"LossScaleOptimizer does not support `{key}`. Instead, set `{key}` on the"
                    " `inner_optimizer`."
                )
        super().__init__(0.0, name=name)
        self.inner_optimizer = registry.get(inner_optimizer)
        self.inner_optimizer.loss_scale_factor = None
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        self._good = np.asarray(0, np.int32)
        self._scale = np.asarray(initial_scale, np.float32)

    @property
    def dynamic_scale(self) -> float:
        return float(self._scale)

    def build(self, variables: Any) -> None:
        self.inner_optimizer.build(list(variables))
        super().build(variables)

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, value: Any) -> None:
        self.inner_optimizer.iterations = value

    @property
    def variables(self) -> list[NDArray]:
        """An unused step count and rate, the good steps since the last change, the scale, and the inner
        optimizer's."""
        unused = [np.asarray(0, np.int32), np.asarray(0, np.float32)]
        own = [self._good, self._scale] if self.built else []
        return [*unused, *own, *self.inner_optimizer.variables]

    def set_variables(self, values: Sequence[Any], what: str = "the saved state") -> None:
        if len(values) < 4:
            raise ValueError(f"{self.name}: {what} does not fit this model's weights")
        self.inner_optimizer.set_variables(values[4:], what)
        self._good[...] = values[2]
        self._scale[...] = values[3]

    def scale_loss(self, loss: Any) -> Any:
        return loss * self.dynamic_scale

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        if not self.built and trainable_variables is not None:
            self.build(trainable_variables)
        arrays = [
            None if g is None else np.asarray(g.detach().numpy() if hasattr(g, "detach") else g)
            for g in grads
        ]
        if all(a is None or bool(np.isfinite(a).all()) for a in arrays):
            scale = self.dynamic_scale
            if int(self._good) == self.dynamic_growth_steps - 1:
                self._good[...] = 0
                self._scale *= 2
            else:
                self._good += 1
            scaled = [None if a is None else a / a.dtype.type(scale) for a in arrays]
            self.inner_optimizer.apply(scaled, trainable_variables)
        else:
            self._good[...] = 0
            self._scale /= 2

    def finalize_variable_values(self, var_list: Any) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inner_optimizer": serialize_any(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }
