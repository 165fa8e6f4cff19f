"""Input: where a functional model begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.keras.layers.base import Layer, layer_registry
from dlcore.keras.symbolic import KerasTensor, Node, unique_name

__all__ = ["Input", "InputLayer"]


@layer_registry.add()
class InputLayer(Layer):
    """The place of an input in a model."""

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if sparse or ragged:
            raise ValueError("Input: sparse and ragged inputs are not supported")
        if input_tensor is not None:
            shape, batch_shape = None, input_tensor.shape
            dtype = dtype or input_tensor.dtype
        if "input_shape" in kwargs:
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if shape is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `shape` and `batch_shape` at the same time.")
        if batch_size is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `batch_size` and `batch_shape` at the same time.")
        if batch_shape is None:
            if shape is None:
                raise ValueError("You must pass a `shape` argument: the input's, without the batch axis.")
            batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else tuple(shape)))
        for n in batch_shape:
            if n is not None and (not isinstance(n, (int, np.integer)) or n < 0):
                raise ValueError(f"Input: sizes must be None or non-negative integers, got {batch_shape}")
        dtype = getattr(dtype, "name", dtype)
        self.input_dtype = "float32" if dtype is None else np.dtype(dtype).name
        super().__init__(name=name or unique_name("input_layer"), **kwargs)
        self.batch_shape = tuple([None if n is None else int(n) for n in batch_shape])
        self.optional = optional
        self.built = True
        out = KerasTensor(self.batch_shape, self.input_dtype, name=self.name)
        self._nodes.append(Node(self, (), {}, out))

    supports_masking = True

    def call(self, inputs: Any = None) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any = None) -> Any:
        return self.batch_shape

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.input_dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> KerasTensor:
    """A symbolic input: `shape` without the batch axis."""
    layer = InputLayer(
        shape,
        batch_size,
        dtype,
        sparse,
        ragged,
        batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    return layer._nodes[0].outputs[0]
