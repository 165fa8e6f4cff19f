"""Symbolic tensors of functional models: a `KerasTensor` is a place, a `Node` the call that fills it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore.autograd import no_grad
from dlcore.tensor import Tensor, as_array
from dlcore.train.batches import tree_leaves, tree_map

__all__ = ["KerasTensor", "Node", "Operation", "infer", "is_symbolic", "to_tensor", "unique_name"]

Shape = tuple[int | None, ...]

_names: dict[str, int] = {}


def unique_name(prefix: str) -> str:
    """dense, dense_1, dense_2 ..."""
    n = _names.get(prefix, 0)
    _names[prefix] = n + 1
    return prefix if n == 0 else f"{prefix}_{n}"


def clear_names() -> None:
    _names.clear()


class KerasTensor:
    """A place in a functional model: a shape (None is any size), a dtype, and the call that makes it.

    Arithmetic, comparison and indexing note the operation, as a layer's call does.
    """

    def __init__(
        self, shape: Any, dtype: str = "float32", sparse: bool = False, name: str | None = None
    ) -> None:
        self.shape: Shape = tuple(shape)
        self.dtype = np.dtype(dtype).name
        self.name = name or unique_name("keras_tensor")
        self.node: Node | None = None
        self.index = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        raise TypeError("len() is not defined for a symbolic tensor; use its shape")

    def __bool__(self) -> bool:
        raise TypeError(
            "a symbolic KerasTensor has no truth value: it has no data; conditions on tensors belong "
            "into a layer's call"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            "a symbolic KerasTensor cannot become an array: it has no data; use it as the input of a layer "
            "or of an operation of dlcore.keras.ops"
        )

    def __iter__(self) -> Any:
        raise TypeError("a symbolic KerasTensor cannot be iterated over")

    def __repr__(self) -> str:
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse=False, ragged=False,"
            f" name={self.name}>"
        )


class Node:
    """One call on symbolic tensors."""

    __slots__ = ("args", "inputs", "kwargs", "layer", "outputs")

    def __init__(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.inputs: list[KerasTensor] = [t for t in tree_leaves([list(args), kwargs]) if is_symbolic(t)]
        self.outputs: list[KerasTensor] = tree_leaves(outputs)
        for i, t in enumerate(self.outputs):
            t.node, t.index = self, i


def is_symbolic(x: Any) -> bool:
    return isinstance(x, KerasTensor)


def to_tensor(x: Any, dtype: str | None = None) -> Any:
    """An array as a Tensor: floats in `dtype` (float32 where None), bool and integers as they are.

    float16, and integers that dlcore does not have, are widened.
    """
    if isinstance(x, (Tensor, KerasTensor)):
        if dtype is not None and isinstance(x, Tensor) and x.dtype.name != dtype and x.dtype.kind == "f":
            return x.to(np.dtype(dtype))
        return x
    a = np.asarray(x)
    if a.dtype.hasobject or a.dtype.kind in "USV":
        raise TypeError(f"keras: inputs must be numbers, got an array of dtype {a.dtype}, shape {a.shape}")
    if a.dtype.kind == "f":
        a = a.astype(dtype or "float32", copy=False)
    elif a.dtype.kind in "iu" and a.dtype.name not in ("int32", "int64", "uint8"):
        a = a.astype(np.int64)
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    return Tensor(as_array(a))


def infer(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The tree of KerasTensors that f gives for symbolic arguments, found by two calls on zeros: what
    differs between them is open (None)."""

    def run(batch: int, other: int) -> Any:
        def zeros(t: Any) -> Any:
            if not isinstance(t, KerasTensor):
                return t
            shape = [(batch if i == 0 else other) if n is None else n for i, n in enumerate(t.shape)]
            return to_tensor(np.zeros(shape, t.dtype), t.dtype if t.dtype.startswith("float") else None)

        with no_grad():
            return f(
                *[tree_map(zeros, a) for a in args], **{k: tree_map(zeros, v) for k, v in kwargs.items()}
            )

    first, second = run(2, 24), run(3, 25)
    others = iter(tree_leaves(second))

    def place(t: Any) -> KerasTensor:
        u = next(others)
        if not isinstance(t, Tensor):
            t, u = to_tensor(t), to_tensor(u)
        return KerasTensor([m if m == n else None for m, n in zip(t.shape, u.shape)], t.dtype.name)

    return tree_map(place, first)


class Operation:
    """A function of tensors as a step of a functional model; `class_name` and `config` are Keras' own."""

    def __init__(
        self, class_name: str, module: str, f: Callable[..., Any], config: dict[str, Any], name: str | None
    ) -> None:
        from dlcore.keras._registry import snake_case

        self.class_name = class_name
        self.module = module
        self.f = f
        self.config = config
        self.name = name or unique_name(snake_case(class_name))
        self._nodes: list[Node] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not any(is_symbolic(t) for t in tree_leaves([list(args), kwargs])):
            return self.f(*args, **kwargs, **self.config)
        out = infer(lambda *a, **k: self.f(*a, **k, **self.config), args, kwargs)
        self._nodes.append(Node(self, args, kwargs, out))
        return out

    @property
    def output(self) -> Any:
        outs = self._nodes[0].outputs
        return outs[0] if len(outs) == 1 else outs

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, **self.config}

    def __repr__(self) -> str:
        return f"<Operation {self.class_name} name={self.name}>"
