"""Model and Sequential: layers with compile, fit, evaluate, predict, summary, save.

A functional model (`Model(inputs, outputs)`) runs the calls between its inputs and outputs in their order; a
subclass overrides `call`. Training runs in dlcore.train's loop.
"""

from __future__ import annotations

import json
from typing import Any

from dlcore.keras import saving
from dlcore.keras.functional import Functional
from dlcore.keras.model import Model
from dlcore.keras.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json"]

load_model = saving.load_model


def clone_model(model: Any) -> Any:
    """The same architecture with fresh weights."""
    return type(model).from_config(model.get_config())


def model_from_json(text: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """A model from `to_json`."""
    return saving.model_from_config(json.loads(text), custom_objects)
