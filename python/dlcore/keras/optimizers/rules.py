"""The rules whose step is one kernel over all weights; those that torch's optimizers share run as theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import _C
from dlcore.keras.optimizers.base import NDArray, Optimizer, arrays, registry
from dlcore.tensor import as_array

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
]


def _column(slots: list[list[NDArray]], i: int) -> list[_C.Array]:
    return [as_array(s[i]) for s in slots]


@registry.add()
class SGD(Optimizer):
    """w -= rate * g; with momentum m = momentum * m - rate * g, w += m (or, nesterov,
    momentum * m - rate * g).
    """

    _fields = ("momentum", "nesterov")
    _shrinks = _scales = True

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
        _C.sgd_step(
            arrays(values),
            arrays(grads),
            _column(slots, 0) if self.momentum else [],
            [float(step)] * len(values),
            rate,
            self.momentum,
            nesterov=self.nesterov,
            rated=True,  # its steps keep the rate that they were made at
            keep=self._keep,
            scale=self._factors,
        )


class _Moments(Optimizer):
    """beta_1, beta_2, epsilon, and two moments of the gradients."""

    _fields: tuple[str, ...] = ("beta_1", "beta_2", "epsilon")
    _shrinks = _scales = True

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
            arrays(values),
            arrays(grads),
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
            keep=self._keep,
            scale=self._factors,
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

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        _C.adamax_step(
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            [float(step)] * len(values),
            rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            0.0,
            False,
            epsilon_below=True,
            keep=self._keep,
            scale=self._factors,
        )


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
            arrays(values),
            arrays(grads),
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
            keep=self._keep,
            scale=self._factors,
        )


@registry.add("rmsprop")
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; w -= rate * g / sqrt(v + epsilon) (Hinton, lecture 6e)."""

    _fields = ("rho", "momentum", "epsilon", "centered")
    _shrinks = _scales = True
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
        _C.rmsprop_step(
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            _column(slots, -1) if self.centered else [],
            _column(slots, 1) if self.momentum > 0 else [],
            rate,
            self.rho,
            self.epsilon,
            0.0,
            max(self.momentum, 0.0),
            self.centered,
            False,
            epsilon_inside=True,
            rated=True,
            keep=self._keep,
            scale=self._factors,
        )


@registry.add()
class Adagrad(Optimizer):
    """a += g^2; w -= rate * g / sqrt(a + epsilon) (Duchi et al. 2011)."""

    _fields = ("initial_accumulator_value", "epsilon")
    _shrinks = _scales = True

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
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            steps,
            rate,
            0.0,
            self.epsilon,
            0.0,
            False,
            epsilon_inside=True,
            keep=self._keep,
            scale=self._factors,
        )


@registry.add()
class Adadelta(Optimizer):
    """Steps of the size of the last steps over that of the gradients (Zeiler 2012)."""

    _fields = ("rho", "epsilon")
    _shrinks = _scales = True

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
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            rate,
            self.rho,
            self.epsilon,
            0.0,
            False,
            keep=self._keep,
            scale=self._factors,
        )


@registry.add()
class Lion(Optimizer):
    """w -= rate * sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g (Chen et al. 2023)."""

    _fields = ("beta_1", "beta_2")
    _shrinks = _scales = True

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

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        _C.lion_step(
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            rate,
            self.beta_1,
            self.beta_2,
            keep=self._keep,
            scale=self._factors,
        )


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
    _shrinks = _scales = True

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

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        _C.ftrl_step(
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            rate,
            self.learning_rate_power,
            self.l1_regularization_strength,
            self.l2_regularization_strength,
            self.l2_shrinkage_regularization_strength,
            self.beta,
            keep=self._keep,
            scale=self._factors,
        )


@registry.add()
class Lamb(_Moments):
    """Adam's step scaled to the weight's norm (You et al. 2019)."""

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        _C.lamb_step(
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            [float(step)] * len(values),
            rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            keep=self._keep,
            scale=self._factors,
        )


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

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        if self.warmup_steps > 0:
            rate *= min(step / self.warmup_steps, 1.0)
        _C.schedule_free_step(
            arrays(values),
            arrays(grads),
            _column(slots, 0),
            _column(slots, 1),
            [float(step)] * len(values),
            rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            keep=self._keep,
            scale=self._factors,
        )
