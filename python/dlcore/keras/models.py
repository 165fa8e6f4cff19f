"""Model and Sequential: layers with compile, fit, evaluate, predict, summary, save.

A functional model (`Model(inputs, outputs)`) runs the calls between its inputs and outputs in their order; a
subclass overrides `call`. Training runs in dlcore.train's loop.
"""

from __future__ import annotations

import json
from typing import Any

from dlcore.keras import saving
from dlcore.keras.functional import Functional
from dlcore.keras.layers.base import Layer
from dlcore.keras.layers.input import Input
from dlcore.keras.model import Model
from dlcore.keras.sequential import Sequential
from dlcore.keras.symbolic import is_symbolic
from dlcore.train.batches import tree_leaves, tree_map

__all__ = ["Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]

load_model = saving.load_model
save_model = saving.save_model


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Any = None,
    call_function: Any = None,
    recursive: bool = False,
) -> Any:
    """The same architecture with fresh weights; `clone_function(layer)` gives the layer to put in a layer's
    place."""
    if input_tensors is not None or call_function is not None:
        raise ValueError("clone_model: input_tensors and call_function are not supported")
    if clone_function is None:
        own = {type(x).__name__: type(x) for x in model._walk()}
        own = {k: v for k, v in own.items() if not v.__module__.startswith("dlcore.keras")}
        with saving.custom_object_scope(own):
            return type(model).from_config(model.get_config())
    if isinstance(model, Sequential):
        new = Sequential(name=model.name, trainable=model.trainable)
        if model.inputs:
            new.add(
                Input(
                    batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype, name=model.inputs[0].name
                )
            )
        for layer in model.layers:
            new.add(clone_function(layer))
        return new
    if not isinstance(model, Functional):
        raise ValueError(
            "Expected `model` argument to be a `Sequential` or `Functional` model. `clone_function` is only"
            f" supported for these. Received: {model}"
        )
    made: dict[int, Any] = {}
    values: dict[int, Any] = {
        id(t): Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs
    }

    def look_up(t: Any) -> Any:
        return values[id(t)] if is_symbolic(t) else t

    for node in model._order:
        if not node.inputs or all(id(t) in values for t in node.outputs):
            continue
        found: Any = made.get(id(node.layer))
        if found is None:
            whole = isinstance(node.layer, Layer)
            found = made[id(node.layer)] = clone_function(node.layer) if whole else node.layer
        kwargs = {k: tree_map(look_up, v) for k, v in node.kwargs.items()}
        out = found(*[tree_map(look_up, a) for a in node.args], **kwargs)
        for place, t in zip(node.outputs, tree_leaves(out)):
            values[id(place)] = t
    return Functional(
        tree_map(look_up, model._inputs_tree), tree_map(look_up, model._outputs_tree), name=model.name
    )


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """A model from `to_json`."""
    return saving.model_from_config(json.loads(json_string), custom_objects)
