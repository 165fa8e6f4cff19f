"""Model: layers as one, with training, a summary and files. A subclass overrides `call`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from dlcore.keras import saving
from dlcore.keras._summary import summary_text
from dlcore.keras.layers.base import Layer, forward_pass, shapes_of, tree_free
from dlcore.keras.symbolic import KerasTensor, infer
from dlcore.keras.training import Trainable

__all__ = ["Model"]

NDArray = npt.NDArray[Any]


class Model(Trainable):
    """Layers as one, with training: `Model(inputs, outputs)`, or a subclass with `call`."""

    _keras_module = "keras"

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        from dlcore.keras.functional import Functional

        if cls is Model and (len(args) == 2 or "outputs" in kwargs):
            return object.__new__(Functional)
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:
            raise TypeError(f"{type(self).__name__}: unexpected positional arguments {args!r:.80}")
        kwargs.pop("inputs", None), kwargs.pop("outputs", None)
        super().__init__(**kwargs)

    @property
    def layers(self) -> list[Layer]:
        return self._sublayers()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"get_layer: index must be below {len(layers)}, got {index}")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"get_layer: no layer is called {name!r}; there are {[x.name for x in layers]}")

    # ---- looking, saving -----------------------------------------------------------------------------------

    def summary(
        self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None, **unused: Any
    ) -> None:
        """Prints the layers, their output shapes and the numbers of their weights."""
        text = summary_text(self, line_length, self._connections())
        (print_fn or print)(text)

    def _connections(self) -> dict[int, str] | None:
        return None

    def get_weights(self) -> list[NDArray]:
        return super().get_weights()

    def save(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, include_optimizer: bool = True
    ) -> None:
        """Writes a `.keras` archive: configuration, weights, and the optimizer's state."""
        saving.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Writes the weights: `.weights.h5` (needs h5py) or `.safetensors`."""
        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
        """Reads what `save_weights` wrote; the model must be built."""
        saving.load_weights(self, filepath, skip_mismatch)

    def to_json(self, **kwargs: Any) -> str:
        """The architecture as JSON; `model_from_json` reads it."""
        return json.dumps(saving.model_config(self), **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self._trainable, "dtype": Layer.get_config(self)["dtype"]}

    def _build_for(self, tensors: dict[str, Any]) -> None:
        """A subclass is built by its first call, or by a `build` of its own."""
        if self.built:
            return
        if type(self).build is not Model.build:
            super()._build_for(tensors)
            return
        if tensors:
            self._build_shape = tree_free(shapes_of(next(iter(tensors.values()))))
        self.built = True

    def count_params(self) -> int:
        if not self.built:
            raise ValueError(
                f"{self.name}: count_params needs weights; build the model or call it on data first"
            )
        return sum(int(v.array.size) for v in self.weights)

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights for inputs of this shape, the batch axis (None) first."""
        if input_shape is None:
            raise ValueError(f"{self.name}: build needs input_shape")
        if self.built and self.weights:
            return
        many = isinstance(input_shape, list) and input_shape and isinstance(input_shape[0], (list, tuple))

        def place(s: Any) -> KerasTensor:
            return KerasTensor([1 if n is None else n for n in s], self.dtype, name="k")

        x: Any = [place(s) for s in input_shape] if many else place(input_shape)
        if isinstance(input_shape, dict):
            x = {k: place(s) for k, s in input_shape.items()}
        self.built = True
        try:
            with self._scope(), forward_pass(False):
                infer(self.call, (x,), {})
        except Exception:
            self.built = False
            raise
        self._build_shape = tree_free(input_shape)
