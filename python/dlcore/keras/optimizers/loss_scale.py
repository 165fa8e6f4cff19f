"""LossScaleOptimizer, which wraps another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.keras._registry import serialize_any
from dlcore.keras.optimizers.base import NDArray, Optimizer, arrays, registry, scaled

__all__ = ["LossScaleOptimizer"]

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
        known = [
            np.asarray(g.detach().numpy() if hasattr(g, "detach") else g) for g in grads if g is not None
        ]
        if math.isfinite(_C.grad_norm(arrays(known), math.inf)):
            found = iter(scaled(known, [1 / self.dynamic_scale] * len(known)))
            if int(self._good) == self.dynamic_growth_steps - 1:
                self._good[...] = 0
                self._scale *= 2
            else:
                self._good += 1
            self.inner_optimizer.apply(
                [None if g is None else next(found) for g in grads], trainable_variables
            )
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
