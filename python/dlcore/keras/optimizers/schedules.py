"""Learning rates as functions of the step."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

from dlcore.keras._registry import Configured, Registry

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "get",
    "serialize",
]

_registry = Registry("keras.optimizers.schedules", "learning-rate schedule")
get = _registry.get
deserialize = _registry.from_config
serialize = _registry.serialize


class LearningRateSchedule(Configured):
    """Called with a step, gives the learning rate."""

    _keras_module = "keras.optimizers.schedules"

    def __call__(self, step: int) -> float:
        raise NotImplementedError


def _steps(cls: str, value: float) -> float:
    if value <= 0:
        raise ValueError(f"{cls}: decay_steps must be positive, got {value}")
    return value


@_registry.add()
class ExponentialDecay(LearningRateSchedule):
    """initial * decay_rate ^ (step / decay_steps), the exponent rounded down where `staircase`."""

    _fields = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_rate, self.staircase = (
            initial_learning_rate,
            decay_rate,
            staircase,
        )
        self.decay_steps = _steps("ExponentialDecay", decay_steps)
        self.name = name

    def __call__(self, step: int) -> float:
        p = step / self.decay_steps
        return float(self.initial_learning_rate * self.decay_rate ** (math.floor(p) if self.staircase else p))


@_registry.add()
class InverseTimeDecay(LearningRateSchedule):
    """initial / (1 + decay_rate * step / decay_steps)."""

    _fields = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_rate, self.staircase = (
            initial_learning_rate,
            decay_rate,
            staircase,
        )
        self.decay_steps = _steps("InverseTimeDecay", decay_steps)
        self.name = name

    def __call__(self, step: int) -> float:
        p = step / self.decay_steps
        return float(
            self.initial_learning_rate / (1 + self.decay_rate * (math.floor(p) if self.staircase else p))
        )


@_registry.add()
class PolynomialDecay(LearningRateSchedule):
    """(initial - end) * (1 - step / decay_steps) ^ power + end."""

    _fields = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate, self.end_learning_rate = initial_learning_rate, end_learning_rate
        self.decay_steps = _steps("PolynomialDecay", decay_steps)
        self.power, self.cycle, self.name = power, cycle, name

    def __call__(self, step: int) -> float:
        n = self.decay_steps * max(1, math.ceil(step / self.decay_steps)) if self.cycle else self.decay_steps
        p = 1 - min(step, n) / n
        gap = self.initial_learning_rate - self.end_learning_rate
        return float(gap * p**self.power + self.end_learning_rate)


@_registry.add()
class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] up to boundaries[i], the boundary included; the last value after the last boundary."""

    _fields = ("boundaries", "values", "name")

    def __init__(self, boundaries: Any, values: Any, name: str = "PiecewiseConstant") -> None:
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                "PiecewiseConstantDecay: there must be one value more than boundaries, "
                f"got {len(values)} and {len(boundaries)}"
            )
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: int) -> float:
        return float(self.values[bisect_left(self.boundaries, step)])


@_registry.add()
class CosineDecay(LearningRateSchedule):
    """Half a cosine from initial to alpha * initial, after a linear warm-up (Loshchilov and Hutter 2016)."""

    _fields = ("initial_learning_rate", "decay_steps", "alpha", "name", "warmup_target", "warmup_steps")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.decay_steps = _steps("CosineDecay", decay_steps)
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: int) -> float:
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return float(start + (self.warmup_target - start) * step / self.warmup_steps)
            start, step = self.warmup_target, step - self.warmup_steps
        p = min(step, self.decay_steps) / self.decay_steps
        return float(start * ((1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * p)) + self.alpha))


@_registry.add()
class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after another, each `t_mul` times as long and `m_mul` times as high (Loshchilov and
    Hutter 2016)."""

    _fields = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        if first_decay_steps <= 0:
            raise ValueError(
                f"Argument `first_decay_steps` must be > 0. Received: first_decay_steps={first_decay_steps}"
            )
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: int) -> float:
        done = step / self.first_decay_steps
        if self.t_mul == 1.0:
            i = math.floor(done)
            done -= i
        else:
            i = math.floor(math.log(1 - done * (1 - self.t_mul)) / math.log(self.t_mul) + 1e-9)
            done = (done - (1 - self.t_mul**i) / (1 - self.t_mul)) / self.t_mul**i
        wave = 0.5 * self.m_mul**i * (1 + math.cos(math.pi * done))
        return float(self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha))
