"""Layer: weights made at the first call, a configuration, and `call`; symbolic tensors for functional models.

A layer computes on Tensors, channels last. On a KerasTensor it only notes the call (a `Node`) and infers the
shape.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.autograd import no_grad
from dlcore.keras import constraints, initializers, regularizers
from dlcore.keras._registry import Registry, serialize_any, snake_case, without_unset
from dlcore.keras.variable import Variable
from dlcore.tensor import Tensor, as_array
from dlcore.train.batches import tree_leaves, tree_map

__all__ = [
    "Input",
    "InputLayer",
    "InputSpecError",
    "KerasTensor",
    "Layer",
    "Node",
    "layer_registry",
    "to_tensor",
]

Shape = tuple[int | None, ...]
layer_registry = Registry("keras.layers", "layer")

_FLOATS = ("float32", "float64")


class _State(threading.local):
    training: bool = False
    losses: list[Any] | None = None  # activity regularization of the forward pass under way


_state = _State()
_names: dict[str, int] = {}


def unique_name(prefix: str) -> str:
    """dense, dense_1, dense_2 ..."""
    n = _names.get(prefix, 0)
    _names[prefix] = n + 1
    return prefix if n == 0 else f"{prefix}_{n}"


def clear_names() -> None:
    _names.clear()


def is_training() -> bool:
    return _state.training


@contextmanager
def forward_pass(training: bool) -> Iterator[list[Any]]:
    """Sets the mode of the layers called inside; gives the list of activity losses that they add."""
    before = _state.training, _state.losses
    _state.training, _state.losses = training, []
    try:
        yield _state.losses
    finally:
        _state.training, _state.losses = before


class InputSpecError(ValueError):
    """An input of the wrong rank or shape; the message names the layer."""


class KerasTensor:
    """A place in a functional model: a shape (None is any size), a dtype, and the call that makes it."""

    def __init__(self, shape: Shape, dtype: str = "float32", name: str = "keras_tensor") -> None:
        self.shape = tuple(shape)
        self.dtype = dtype
        self.name = name
        self.node: Node | None = None
        self.index = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def _arithmetic(self, other: Any, name: str) -> Any:
        if isinstance(other, KerasTensor):
            return layer_registry.classes[name]()([self, other])
        raise TypeError(f"{name}: both operands must be symbolic tensors, got {type(other).__name__}")

    def __add__(self, other: Any) -> Any:
        return self._arithmetic(other, "Add")

    def __mul__(self, other: Any) -> Any:
        return self._arithmetic(other, "Multiply")

    def __sub__(self, other: Any) -> Any:
        return self._arithmetic(other, "Subtract")


class Node:
    """One call of a layer on symbolic tensors."""

    __slots__ = ("args", "inputs", "kwargs", "layer", "outputs")

    def __init__(self, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.inputs: list[KerasTensor] = [t for t in tree_leaves(list(args)) if isinstance(t, KerasTensor)]
        self.outputs: list[KerasTensor] = tree_leaves(outputs)
        for i, t in enumerate(self.outputs):
            t.node, t.index = self, i


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


def to_float(x: Tensor, dtype: str) -> Tensor:
    """Integers and booleans (images as bytes) as floats."""
    return x if x.dtype.kind == "f" else x.to(np.dtype(dtype))


def _floatx(dtype: Any) -> str:
    if dtype is None:
        return "float32"
    if isinstance(dtype, dict):  # Keras writes its dtype policy as an object
        dtype = dtype.get("config", {}).get("name", "float32")
    name: str = np.dtype(dtype).name
    if name not in _FLOATS:
        raise ValueError(f"layer: dtype must be one of {', '.join(_FLOATS)}, got {name}")
    return name


class Layer:
    """Base class of layers: override `build(input_shape)`, `call(inputs)` and
    `compute_output_shape(input_shape)`.

    `call` may take `training`. Sublayers and Variables set as attributes are found by themselves.
    """

    _keras_module = "keras.layers"
    _fields: tuple[str, ...] = ()  # the constructor's arguments, kept as attributes of the same names
    _call_takes_training = False
    min_ndim: int | None = None
    ndim: int | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call" in cls.__dict__:
            parameters = inspect.signature(cls.__dict__["call"]).parameters
            cls._call_takes_training = "training" in parameters

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        input_shape: Any = None,
        input_dim: int | None = None,
        activity_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("autocast", None)
        batch_shape = kwargs.pop("batch_input_shape", kwargs.pop("batch_shape", None))
        if kwargs:
            raise TypeError(f"{type(self).__name__}: unexpected argument {next(iter(kwargs))!r}")
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"{type(self).__name__}: name must be a string without '/', got {name!r}")
        self.name: str = name or unique_name(snake_case(type(self).__name__))
        self.dtype = _floatx(dtype)
        self._trainable = bool(trainable)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.built = False
        self._variables: list[Variable] = []
        self._nodes: list[Node] = []
        self._build_shape: Any = None
        if input_dim is not None:
            input_shape = (input_dim,)
        elif batch_shape is not None:
            input_shape = tuple(batch_shape)[1:]
        elif isinstance(input_shape, int):
            input_shape = (input_shape,)
        self._input_shape_arg: Shape | None = None if input_shape is None else tuple(input_shape)

    # ---- weights -------------------------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str = "variable",
    ) -> Variable:
        """A new weight of this layer; `initializer` is glorot_uniform where it is None."""
        shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
        make = initializers.get(initializer or "glorot_uniform")
        value = make(shape, dtype=dtype or self.dtype) if callable(make) else make
        v = Variable(
            value,
            name,
            trainable,
            regularizers.get(regularizer),
            constraints.get(constraint),
            np.asarray(value).dtype if dtype is None else dtype,
        )
        v.path = f"{self.name}/{name}"
        v._trainable = trainable
        v.requires_grad = trainable and self._trainable and v.dtype.kind == "f"
        self._variables.append(v)
        return v

    def _sublayers(self) -> list[Layer]:
        """Layers set as attributes, also in lists and dictionaries, in the order in which they were set."""
        found: list[Layer] = []
        seen: set[int] = set()

        def visit(v: Any) -> None:
            if isinstance(v, Layer):
                if id(v) not in seen:
                    seen.add(id(v))
                    found.append(v)
            elif isinstance(v, (list, tuple)):
                for item in v:
                    visit(item)
            elif isinstance(v, dict):
                for item in v.values():
                    visit(item)

        for key, value in self.__dict__.items():
            if key not in ("_nodes", "_variables"):
                visit(value)
        return found

    def _walk(self) -> Iterator[Layer]:
        seen: set[int] = set()
        stack: list[Layer] = [self]
        while stack:
            layer = stack.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            yield layer
            stack.extend(reversed(layer._sublayers()))

    @property
    def weights(self) -> list[Variable]:
        """All weights: each layer's trainable ones, then its others, layer by layer."""
        out: list[Variable] = []
        seen: set[int] = set()
        for layer in self._walk():
            own = [v for v in layer._variables if v._trainable] + [
                v for v in layer._variables if not v._trainable
            ]
            for key in layer.__dict__.values():  # Variables that a user has set as attributes
                if isinstance(key, Variable) and all(key is not v for v in own):
                    own.append(key)
            for v in own:
                if id(v) not in seen:
                    seen.add(id(v))
                    out.append(v)
        return out

    variables = weights

    @property
    def trainable_weights(self) -> list[Variable]:
        return [v for v in self.weights if v.requires_grad] if self._trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        trained = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trained]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._walk():
            layer._trainable = bool(value)
            for v in layer._variables:
                v.requires_grad = v._trainable and layer._trainable and v.dtype.kind == "f"

    def get_weights(self) -> list[npt.NDArray[Any]]:
        """Copies of all weights, in the order of `weights`."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Overwrites all weights; nothing is changed where a shape does not fit."""
        mine = self.weights
        arrays = [np.asarray(w) for w in weights]
        if len(mine) != len(arrays):
            raise ValueError(f"{self.name}: set_weights needs {len(mine)} arrays, got {len(arrays)}")
        for v, a in zip(mine, arrays):
            if v.shape != a.shape:
                raise ValueError(f"{v.path}: set_weights needs shape {v.shape}, got {a.shape}")
        for v, a in zip(mine, arrays):
            v.assign(a)

    def count_params(self) -> int:
        if not self.built:
            raise ValueError(f"{self.name}: count_params needs weights; call the layer or build it first")
        return sum(int(v.array.size) for v in self.weights)

    @property
    def losses(self) -> list[Any]:
        """The penalties of the regularizers on the weights that are trained."""
        return [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]

    # ---- calls ---------------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Makes the weights for inputs of this shape, the batch axis (None) included."""

    def call(self, inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: call is not defined")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape, batch axis (None) included;
        found by a call on zeros unless a layer knows better.
        """

        def zeros(s: Shape) -> Tensor:
            return to_tensor(np.zeros([1 if n is None else n for n in s], self.dtype))  # type: ignore[no-any-return]

        many = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        inputs = [zeros(s) for s in input_shape] if many else zeros(input_shape)
        with no_grad(), forward_pass(False):
            out = self.call(inputs)
        return tree_map(lambda t: (None, *t.shape[1:]), out)

    def _check_input(self, shape: Shape) -> None:
        if self.ndim is not None and len(shape) != self.ndim:
            raise InputSpecError(
                f"{self.name}: {type(self).__name__} needs inputs with {self.ndim} axes (the batch first, "
                "channels last), "
                f"got shape {tuple(shape)}"
            )
        if self.min_ndim is not None and len(shape) < self.min_ndim:
            raise InputSpecError(
                f"{self.name}: {type(self).__name__} needs inputs with at least {self.min_ndim} axes (the "
                "batch first), "
                f"got shape {tuple(shape)}"
            )
        known = self._build_shape
        if self.built and known is not None and self._variables and isinstance(known, tuple):
            axes = self._fixed_axes()
            for a in axes:
                if (
                    len(known) == len(shape)
                    and known[a] is not None
                    and shape[a] is not None
                    and known[a] != shape[a]
                ):
                    raise InputSpecError(
                        f"{self.name}: {type(self).__name__} was built for axis {a} of size {known[a]}, "
                        f"got shape {tuple(shape)}"
                    )

    def _fixed_axes(self) -> tuple[int, ...]:
        """The axes that the weights depend on."""
        return (-1,)

    def _ensure_built(self, shape: Any) -> None:
        if self.built:
            return
        self._build_shape = shape
        with no_grad():
            self.build(shape)
        self.built = True

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        leaves = tree_leaves(list(args))
        if any(isinstance(t, KerasTensor) for t in leaves):
            return self._symbolic(args, kwargs)
        args = tuple([tree_map(lambda a: to_tensor(a, self.dtype), a) for a in args])
        if args:
            shape = _shapes(args[0])
            if isinstance(shape, tuple):
                self._check_input(shape)
            if not self.built:
                self._ensure_built(tree_free(shape))
        if self._call_takes_training:
            kwargs["training"] = _state.training if training is None else training
        if training is None or training == _state.training:
            out = self.call(*args, **kwargs)
        else:
            before, _state.training = _state.training, training
            try:
                out = self.call(*args, **kwargs)
            finally:
                _state.training = before
        if self.activity_regularizer is not None and _state.losses is not None:
            for t in tree_leaves(out):  # a mean over the batch, as a loss
                _state.losses.append(self.activity_regularizer(t) * (1.0 / max(1, t.shape[0])))
        return out

    def _symbolic(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        shape = tree_map(lambda t: t.shape, args[0])
        if isinstance(shape, tuple) and (not shape or not isinstance(shape[0], tuple)):
            self._check_input(shape)
        self._ensure_built(shape)
        out_shape = self.compute_output_shape(shape)
        if isinstance(out_shape, list) or (out_shape and isinstance(out_shape[0], tuple)):
            out: Any = [KerasTensor(s, self.dtype, self.name) for s in out_shape]
        else:
            out = KerasTensor(tuple(out_shape), self.dtype, self.name)
        self._nodes.append(Node(self, args, kwargs, out))
        return out

    @property
    def output(self) -> Any:
        if not self._nodes:
            raise AttributeError(f"{self.name}: the layer has not been called on a symbolic tensor")
        outs = self._nodes[0].outputs
        return outs[0] if len(outs) == 1 else outs

    @property
    def input(self) -> Any:
        if not self._nodes:
            raise AttributeError(f"{self.name}: the layer has not been called on a symbolic tensor")
        ins = self._nodes[0].inputs
        return ins[0] if len(ins) == 1 else ins

    # ---- configuration -------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from, without its weights."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self._trainable,
            "dtype": {
                "module": "keras",
                "class_name": "DTypePolicy",
                "config": {"name": self.dtype},
                "registered_name": None,
            },
        }
        for f in self._fields:
            config[f] = serialize_any(getattr(self, f))
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = serialize_any(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**without_unset(cls, config))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _shapes(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.shape
    return tree_map(lambda t: t.shape, x)


def tree_free(shape: Any) -> Any:
    """Shapes with the batch axis left open."""
    if isinstance(shape, tuple) and (not shape or not isinstance(shape[0], (tuple, list))):
        return (None, *shape[1:])
    if isinstance(shape, dict):
        return {k: tree_free(s) for k, s in shape.items()}
    return [tree_free(s) for s in shape]


@layer_registry.add()
class InputLayer(Layer):
    """The place of an input in a model."""

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for unused in ("sparse", "ragged", "optional"):
            kwargs.pop(unused, None)
        if batch_shape is None:
            if shape is None:
                shape = kwargs.pop("input_shape", None)
            if shape is None:
                raise ValueError("Input: shape must be given, without the batch axis")
            batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
        self.input_dtype = dtype if isinstance(dtype, str) else "float32"
        super().__init__(name=name or unique_name("input_layer"), **kwargs)
        self.batch_shape = tuple(batch_shape)
        self.built = True
        out = KerasTensor(self.batch_shape, self.input_dtype, self.name)
        self._nodes.append(Node(self, (), {}, out))

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.batch_shape

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.input_dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Any = None,
    name: str | None = None,
    **kwargs: Any,
) -> KerasTensor:
    """A symbolic input: `shape` without the batch axis."""
    layer = InputLayer(shape, batch_size, dtype, batch_shape, name, **kwargs)
    return layer._nodes[0].outputs[0]
