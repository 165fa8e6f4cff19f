"""Optimizers with Keras' names, defaults and formulas.

They differ from torch's in places: Adam's epsilon joins the uncorrected sqrt(v), RMSprop's stands under the
root. Each step changes the weights in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.keras._registry import Registry, serialize_any
from dlcore.keras.optimizers import schedules
from dlcore.keras.optimizers.schedules import LearningRateSchedule
from dlcore.keras.variable import Variable
from dlcore.tensor import Tensor, as_array

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

NDArray = npt.NDArray[Any]
_registry = Registry("keras.optimizers", "optimizer")
get = _registry.get
deserialize = _registry.from_config
serialize = _registry.serialize


class Rate(float):
    """A learning rate: a float that can also be assigned to, as Keras' variable."""

    _optimizer: Optimizer

    def numpy(self) -> np.float32:
        return np.float32(self)

    def assign(self, value: float) -> None:
        self._optimizer.learning_rate = value


class Optimizer:
    """Base class: `update(values, gradient, slots, rate)` changes one weight and its slots in place."""

    _keras_module = "keras.optimizers"
    _fields: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        defaults = {
            "use_ema": False,
            "ema_momentum": 0.99,
            "ema_overwrite_frequency": None,
            "loss_scale_factor": None,
            "gradient_accumulation_steps": None,
        }
        cls = type(self).__name__
        for key, value in kwargs.items():
            if key not in defaults:
                raise TypeError(f"{cls}: unexpected argument {key!r}")
            if value != defaults[key] and key != "ema_momentum":
                raise ValueError(f"{cls}: {key} is not supported")
        if sum(c is not None for c in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(f"{cls}: only one of clipnorm, clipvalue and global_clipnorm can be given")
        for key, value in (
            ("clipnorm", clipnorm),
            ("clipvalue", clipvalue),
            ("global_clipnorm", global_clipnorm),
        ):
            if value is not None and value <= 0:
                raise ValueError(f"{cls}: {key} must be positive, got {value}")
        if isinstance(learning_rate, dict):
            learning_rate = schedules.get(learning_rate)
        self._rate: Any = learning_rate
        if not callable(learning_rate):
            self._rate = self._checked(learning_rate)
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.name = name or cls.lower()
        self.iterations = 0
        self._slots: dict[int, list[NDArray]] = {}
        self._order: list[Variable] = []

    def _checked(self, value: Any) -> float:
        try:
            rate = float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"{type(self).__name__}: learning_rate must be a number or a schedule, got {value!r}"
            ) from None
        if rate < 0:
            raise ValueError(f"{type(self).__name__}: learning_rate must not be negative, got {rate}")
        return rate

    @property
    def learning_rate(self) -> Rate:
        """The rate of the coming step."""
        rate = Rate(self._rate(self.iterations) if callable(self._rate) else self._rate)
        rate._optimizer = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule):
            self._rate = value
            return
        if isinstance(self._rate, LearningRateSchedule):
            raise TypeError(f"{type(self).__name__}: the learning rate follows a schedule and cannot be set")
        self._rate = self._checked(value)

    lr = learning_rate

    # ---- state ---------------------------------------------------------------------------------------------

    def slot_names(self) -> tuple[str, ...]:
        return ()

    def initial_slot(self, name: str, values: NDArray) -> NDArray:
        return np.zeros_like(values)

    def build(self, variables: Iterable[Variable]) -> None:
        for v in variables:
            if id(v) not in self._slots:
                self._slots[id(v)] = [self.initial_slot(n, v.values()) for n in self.slot_names()]
                self._order.append(v)

    @property
    def built(self) -> bool:
        return bool(self._order)

    @property
    def variables(self) -> list[NDArray]:
        """The step count, the learning rate, and the slots of every weight."""
        head = [np.asarray(self.iterations), np.asarray(float(self.learning_rate), np.float32)]
        return head + [s for v in self._order for s in self._slots[id(v)]]

    def state(self) -> list[NDArray]:
        return [np.asarray(self.iterations, np.int64)] + [s for v in self._order for s in self._slots[id(v)]]

    def set_state(self, state: Sequence[NDArray]) -> None:
        mine = [s for v in self._order for s in self._slots[id(v)]]
        if len(state) != len(mine) + 1 or any(a.shape != b.shape for a, b in zip(mine, state[1:])):
            raise ValueError(f"{self.name}: the saved state does not fit this model's weights")
        self.iterations = int(state[0])
        for a, b in zip(mine, state[1:]):
            np.copyto(a, b)

    # ---- steps ---------------------------------------------------------------------------------------------

    def apply_gradients(self, pairs: Iterable[tuple[Any, Variable]]) -> None:
        """One step from (gradient, weight) pairs."""
        listed = list(pairs)
        self.apply([g for g, _ in listed], [v for _, v in listed])

    def apply(self, grads: Sequence[Any], variables: Sequence[Variable]) -> None:
        """One step; a weight whose gradient is None stays as it is."""
        pairs = [(_values(g), v) for g, v in zip(grads, variables) if g is not None]
        if not pairs:
            raise ValueError(f"{self.name}: there is no gradient for any weight")
        self.build([v for _, v in pairs])
        gradients = self._clip([g for g, _ in pairs])
        rate = float(self.learning_rate)
        step = self.iterations + 1
        self.begin(step)
        values = [v.values() for _, v in pairs]
        if self.weight_decay:
            for w in values:
                w -= w * np.asarray(self.weight_decay * rate, w.dtype)
        self.update_all(values, gradients, [self._slots[id(v)] for _, v in pairs], rate, step)
        for (_, v), w in zip(pairs, values):
            if v.constraint is not None:
                np.copyto(w, v.constraint(w))
        self.iterations = step

    def _clip(self, grads: list[NDArray]) -> list[NDArray]:
        if self.clipnorm is not None:
            return [g * (self.clipnorm / max(_norm(g), self.clipnorm)) for g in grads]
        if self.global_clipnorm is not None:
            norm = math.sqrt(sum(_norm(g) ** 2 for g in grads))
            return [g * (self.global_clipnorm / max(norm, self.global_clipnorm)) for g in grads]
        if self.clipvalue is not None:
            return [np.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    def begin(self, step: int) -> None:
        """What a step computes once for all weights."""

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        for w, g, s in zip(values, grads, slots):
            self.update(w, g, s, rate, step)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        raise NotImplementedError

    # ---- configuration -------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "name": self.name,
            "learning_rate": serialize_any(self._rate),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": False,
            "ema_momentum": 0.99,
            "ema_overwrite_frequency": None,
            "loss_scale_factor": None,
            "gradient_accumulation_steps": None,
        }
        for f in self._fields:
            config[f] = getattr(self, f)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


def _values(g: Any) -> NDArray:
    return g.detach().numpy() if isinstance(g, Tensor) else np.asarray(g)


def _norm(g: NDArray) -> float:
    return float(np.sqrt(np.sum(np.square(g), dtype=np.float64)))


@_registry.add()
class SGD(Optimizer):
    """w -= rate * g; with momentum m = momentum * m - rate * g, w += m (or, nesterov,
    momentum * m - rate * g).
    """

    _fields = ("momentum", "nesterov")

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **kw: Any
    ) -> None:
        super().__init__(learning_rate, **kw)
        if not 0 <= momentum <= 1:
            raise ValueError(f"SGD: momentum must be from 0 to 1, got {momentum}")
        self.momentum, self.nesterov = momentum, nesterov

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        step_g = g * w.dtype.type(rate)
        if not slots:
            w -= step_g
            return
        (m,) = slots
        m *= w.dtype.type(self.momentum)
        m -= step_g
        w += m * w.dtype.type(self.momentum) - step_g if self.nesterov else m


@_registry.add()
class Adam(Optimizer):
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
        super().__init__(learning_rate, **kw)
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        arrays = [[as_array(s[i]) for s in slots] for i in range(len(slots[0]))]
        _C.adam_step(
            [as_array(w) for w in values],
            [as_array(g) for g in grads],
            arrays[0],
            arrays[1],
            arrays[2] if self.amsgrad else [],
            [float(step)] * len(values),
            rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            0.0,
            self.amsgrad,
            epsilon_hat=True,  # it joins the root before its correction
        )


@_registry.add("adamw")
class AdamW(Adam):
    """Adam after w -= rate * weight_decay * w (Loshchilov and Hutter 2017)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kw: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kw)


@_registry.add()
class Adamax(Optimizer):
    """Adam with the largest |g| so far (decayed) in place of sqrt(v) (Kingma and Ba 2014, section 7)."""

    _fields = ("beta_1", "beta_2", "epsilon")

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
        return ("momentum", "norm")

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        m, u = slots
        m += (g - m) * f(1 - self.beta_1)
        u *= f(self.beta_2)
        np.maximum(u, np.abs(g), out=u)
        w -= m * f(rate) / ((u + f(self.epsilon)) * f(1 - self.beta_1**step))


@_registry.add()
class Nadam(Optimizer):
    """Adam with Nesterov's momentum, warmed up (Dozat 2016)."""

    _fields = ("beta_1", "beta_2", "epsilon")

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
        self._product = 1.0

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity")

    def _u(self, step: int) -> float:
        return float(self.beta_1 * (1 - 0.5 * 0.96**step))

    def begin(self, step: int) -> None:
        if step == 1:
            self._product = 1.0
        elif step != getattr(self, "_at", step - 1) + 1:  # a state was loaded
            self._product = math.prod(self._u(i) for i in range(1, step))
        self._product *= self._u(step)
        self._at = step

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        m, v = slots
        u, ahead = self._u(step), self._u(step + 1)
        m += (g - m) * f(1 - self.beta_1)
        v += (g * g - v) * f(1 - self.beta_2)
        m_hat = m * f(ahead / (1 - self._product * ahead)) + g * f((1 - u) / (1 - self._product))
        w -= m_hat * f(rate) / (np.sqrt(v * f(1 / (1 - self.beta_2**step))) + f(self.epsilon))


@_registry.add("rmsprop")
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; w -= rate * g / sqrt(v + epsilon) (Hinton, lecture 6e)."""

    _fields = ("rho", "momentum", "epsilon", "centered")

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
        move = g * f(rate) / np.sqrt(under + f(self.epsilon))
        if self.momentum > 0:
            slots[1] *= f(self.momentum)
            slots[1] += move
            move = slots[1]
        w -= move


@_registry.add()
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

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        slots[0] += g * g
        w -= g * f(rate) / np.sqrt(slots[0] + f(self.epsilon))


@_registry.add()
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

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        grads, deltas = slots
        grads *= f(self.rho)
        grads += g * g * f(1 - self.rho)
        delta = -np.sqrt(deltas + f(self.epsilon)) * g / np.sqrt(grads + f(self.epsilon))
        deltas *= f(self.rho)
        deltas += delta * delta * f(1 - self.rho)
        w += delta * f(rate)


@_registry.add()
class Lion(Optimizer):
    """w -= rate * sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g (Chen et al. 2023)."""

    _fields = ("beta_1", "beta_2")

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kw: Any
    ) -> None:
        super().__init__(learning_rate, **kw)
        self.beta_1, self.beta_2 = beta_1, beta_2

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum",)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        f = w.dtype.type
        (m,) = slots
        w -= np.sign(m * f(self.beta_1) + g * f(1 - self.beta_1)) * f(rate)
        m *= f(self.beta_2)
        m += g * f(1 - self.beta_2)
