"""Variable: a weight of a layer, a leaf of the tape with a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.tensor import DTypeLike, Tensor, as_array

__all__ = ["Variable"]


class Variable(Tensor):
    """Values with a name that an optimizer may change. `numpy` copies, `assign` writes in place.

    `initializer` gives the values, or makes them of `shape`.
    """

    __slots__ = ("_trainable", "constraint", "name", "path", "regularizer")

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: DTypeLike = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
        *,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> None:
        if isinstance(initializer, str) or (callable(initializer) and not isinstance(initializer, Tensor)):
            from dlcore.keras import initializers

            if shape is None:
                raise ValueError(
                    "When creating a Variable from an initializer, the `shape` argument should be specified. "
                    f"Received: initializer={initializer} and shape={shape}"
                )
            initializer = initializers.get(initializer)(tuple(shape), dtype=np.dtype(dtype or np.float32))
        value = initializer.detach().numpy() if isinstance(initializer, Tensor) else np.asarray(initializer)
        if dtype is None and value.dtype == np.float64 and not isinstance(initializer, (np.ndarray, Tensor)):
            dtype = np.float32
        super().__init__(as_array(np.asarray(value, dtype), copy=True), False)
        self.name = name or "variable"
        self.path = self.name
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

    @property
    def value(self) -> Tensor:
        return self

    def numpy(self) -> npt.NDArray[Any]:
        return np.array(self.array.numpy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        a = self.numpy()
        return a if dtype is None else a.astype(dtype)

    def values(self) -> npt.NDArray[Any]:
        """The memory itself, not a copy."""
        return self.array.numpy()

    def assign(self, value: Any) -> Variable:
        new = value.detach().array.numpy() if isinstance(value, Tensor) else np.asarray(value)
        if new.shape != self.shape:
            raise ValueError(
                "The shape of the target variable and the shape of the target value in"
                f" `variable.assign(value)` must match. variable.shape={self.shape}, Received:"
                f" value.shape={new.shape}. Target variable: {self.path}"
            )
        np.copyto(self.array.numpy(), new, casting="unsafe")
        return self

    def assign_add(self, value: Any) -> Variable:
        return self.assign(self.array.numpy() + np.asarray(_plain(value)))

    def assign_sub(self, value: Any) -> Variable:
        return self.assign(self.array.numpy() - np.asarray(_plain(value)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        new = _restored(*self._parts())
        memo[id(self)] = new
        return new

    def _parts(self) -> tuple[Any, ...]:
        return (
            self.numpy(),
            self._trainable,
            self.name,
            self.path,
            self.regularizer,
            self.constraint,
            self.requires_grad,
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _restored, self._parts()

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.numpy()}>"


def _plain(x: Any) -> Any:
    return x.detach().array.numpy() if isinstance(x, Tensor) else x


def _restored(
    value: Any, trainable: bool, name: str, path: str, regularizer: Any, constraint: Any, requires: bool
) -> Variable:
    v = Variable(value, trainable=trainable, name=name, regularizer=regularizer, constraint=constraint)
    v.path = path
    v.requires_grad = requires
    return v
