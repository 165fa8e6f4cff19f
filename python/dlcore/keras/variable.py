"""Variable: a weight of a layer, a leaf of the tape with a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.tensor import DTypeLike, Tensor, as_array

__all__ = ["Variable"]


class Variable(Tensor):
    """Values with a name that an optimizer may change. `numpy` copies, `assign` writes in place."""

    __slots__ = ("_trainable", "constraint", "name", "path", "regularizer")

    def __init__(
        self,
        value: npt.ArrayLike,
        name: str = "variable",
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(as_array(np.asarray(value, dtype), copy=True), False)
        self.name = name
        self.path = name
        self.regularizer = regularizer
        self.constraint = constraint
        self.trainable = trainable

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        self.requires_grad = self._trainable and self.dtype.kind == "f"

    def numpy(self) -> npt.NDArray[Any]:
        return np.array(self.array.numpy())

    def values(self) -> npt.NDArray[Any]:
        """The memory itself, not a copy."""
        return self.array.numpy()

    def assign(self, value: Any) -> Variable:
        new = value.array.numpy() if isinstance(value, Tensor) else np.asarray(value)
        if new.shape != self.shape:
            raise ValueError(f"{self.path}: a value of shape {self.shape} is needed, got {new.shape}")
        np.copyto(self.array.numpy(), new, casting="unsafe")
        return self

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"
