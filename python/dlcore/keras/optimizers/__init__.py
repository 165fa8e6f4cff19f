"""Optimizers with Keras' names, defaults and formulas."""

from __future__ import annotations

from typing import Any

from dlcore.keras.optimizers import schedules
from dlcore.keras.optimizers.base import Optimizer, registry
from dlcore.keras.optimizers.loss_scale import LossScaleOptimizer
from dlcore.keras.optimizers.matrix import Adafactor, Muon
from dlcore.keras.optimizers.rules import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Nadam,
    RMSprop,
    ScheduleFreeAdamW,
)

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
    "Optimizer",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

deserialize = registry.from_config
serialize = registry.serialize


def get(identifier: Any) -> Any:
    """A name, configuration or object -> an Optimizer."""
    found = registry.get(identifier)
    if isinstance(found, Optimizer):
        return found
    raise ValueError(f"Could not interpret optimizer identifier: {identifier}")
