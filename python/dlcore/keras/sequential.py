"""Sequential: layers one after another."""

from __future__ import annotations

from typing import Any

from dlcore.keras import saving
from dlcore.keras.functional import Functional
from dlcore.keras.layers.base import (
    KerasTensor,
    Layer,
    is_shape,
    layer_registry,
    set_mask,
    shapes_of,
    tree_free,
)
from dlcore.keras.layers.input import InputLayer
from dlcore.keras.model import Model
from dlcore.keras.training import float_input, ranked
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves, tree_map

__all__ = ["Sequential"]


@layer_registry.add()
class Sequential(Model):
    """Layers one after another.

    >>> from dlcore import keras
    >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
    >>> model.output_shape
    (None, 2)
    """

    def __init__(
        self, layers: Any = None, name: str | None = None, trainable: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(name=name, trainable=trainable, **kwargs)
        self._chain: list[Layer] = []
        self._in: KerasTensor | None = None
        self._out: Any = None
        for layer in layers or []:
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Appends a layer; the first may be an Input or carry `input_shape=`."""
        if isinstance(layer, KerasTensor):
            node = layer.node
            if node is None or not isinstance(node.layer, InputLayer):
                raise ValueError(f"{self.name}: only an Input can be added as a tensor, got {layer!r}")
            layer = node.layer
        if not isinstance(layer, Layer):
            raise ValueError(f"{self.name}: only layers can be added, got {layer!r}")
        if isinstance(layer, InputLayer):
            if self._chain:
                raise ValueError(f"{self.name}: an Input must be the first layer")
            self._in = self._out = layer._nodes[0].outputs[0]
            return
        if any(layer is x or layer.name == x.name for x in self._chain):
            raise ValueError(
                f"{self.name}: there is already a layer called {layer.name!r}; names must be unique"
            )
        if not self._chain and self._in is None and layer._input_shape_arg is not None:
            self._in = self._out = InputLayer(layer._input_shape_arg)._nodes[0].outputs[0]
        if (
            isinstance(layer, (Sequential, Functional))
            and not self._chain
            and self._in is None
            and layer.built
        ):
            shape = layer.input_shape
            if isinstance(shape, tuple):
                self._in = self._out = InputLayer(shape[1:])._nodes[0].outputs[0]
        self._chain.append(layer)
        if self._out is not None:
            try:
                with self._scope():
                    self._out = layer(self._out)
            except Exception:
                self._chain.pop()
                raise
            self.built = True
            assert self._in is not None
            self._build_shape = self._in.shape

    def pop(self, rebuild: bool = True) -> Layer:
        """Takes the last layer off."""
        if not self._chain:
            raise ValueError(f"{self.name}: there is no layer to pop")
        layer = self._chain.pop()
        if self._in is not None:
            self._out = self._in
            for x in self._chain:
                self._out = x._nodes[-1].outputs[0] if x._nodes else x(self._out)
        return layer

    def build(self, input_shape: Any = None) -> None:
        if self._in is None and input_shape is not None and is_shape(input_shape):
            self._in = self._out = InputLayer(batch_shape=tuple(input_shape))._nodes[0].outputs[0]
            for layer in self._chain:
                self._out = layer(self._out)
            self._build_shape = tuple(input_shape)
        self.built = True

    def _build_for(self, tensors: dict[str, Any]) -> None:
        if self.built:
            return
        if tensors:
            shape = tree_free(shapes_of(next(iter(tensors.values()))))
            with self._scope():
                self.build(shape)
        self.built = True

    def _check_input(self, shape: Any) -> None:
        want = None if self._in is None else self._in.shape
        if want is None or not self._chain:
            return
        ok = len(want) == len(shape) and all(a in (None, b) or b is None for a, b in zip(want[1:], shape[1:]))
        if not ok:
            raise ValueError(
                f"{self.name}: the model was built for inputs of shape {want}, got {tuple(shape)} "
                f"(first layer: {self._chain[0].name})"
            )

    @property
    def layers(self) -> list[Layer]:
        return list(self._chain)

    def _sublayers(self) -> list[Layer]:
        return list(self._chain)

    @property
    def inputs(self) -> list[KerasTensor]:
        return [] if self._in is None else [self._in]

    @property
    def outputs(self) -> list[KerasTensor]:
        return [] if self._out is None else tree_leaves(self._out)

    @property
    def input_shape(self) -> Any:
        if self._in is None:
            raise AttributeError(f"{self.name}: the model has not been built")
        return self._in.shape

    @property
    def output_shape(self) -> Any:
        if self._out is None:
            raise AttributeError(f"{self.name}: the model has not been built")
        return self._out.shape

    @property
    def output_names(self) -> list[str]:
        return [self._chain[-1].name] if self._chain else []

    def _input(self, x: Any) -> Any:
        want = None if self._in is None else self._in.shape
        return tree_map(lambda a: ranked(float_input(a, self.dtype), want), x)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None and isinstance(inputs, Tensor):
            set_mask(inputs, mask)
        for layer in self._chain:
            inputs = layer(inputs)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        for layer in self._chain:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        layers = [saving.layer_config(x) for x in self._chain]
        if self._in is not None and self._in.node is not None:
            layers.insert(0, saving.layer_config(self._in.node.layer))
        config = {**super().get_config(), "layers": layers}
        if self._in is not None:
            config["build_input_shape"] = list(self._in.shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        model = cls(name=config.get("name"), trainable=config.get("trainable", True))
        for entry in config.get("layers", []):
            model.add(saving.layer_from_config(entry))
        shape = config.get("build_input_shape")
        if shape and not model.built:
            model.build(tuple(shape))
        return model

    def __reduce__(self) -> Any:
        return saving.put_together, saving.taken_apart(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        new = memo[id(self)] = saving.put_together(*saving.taken_apart(self))
        return new
