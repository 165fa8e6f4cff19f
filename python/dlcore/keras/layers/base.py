"""Layer: weights made at the first call, a configuration, and `call`; masks travel beside the tensors.

A layer computes on Tensors, channels last. On a KerasTensor it only notes the call (a `Node`) and infers the
shape. A mask is a bool Tensor that hangs at a layer's output (`_mask`); the next layer takes it as its
`mask` argument, or hands it on.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.autograd import no_grad
from dlcore.keras import activations, constraints, initializers, regularizers
from dlcore.keras._registry import Registry, automatic_config, serialize_any, snake_case, without_unset
from dlcore.keras.symbolic import KerasTensor, Node, clear_names, infer, is_symbolic, to_tensor, unique_name
from dlcore.keras.variable import Variable
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves, tree_map

__all__ = [
    "InputSpec",
    "InputSpecError",
    "KerasTensor",
    "Layer",
    "Node",
    "clear_names",
    "layer_registry",
    "mask_of",
    "to_tensor",
]

Shape = tuple[int | None, ...]
layer_registry = Registry("keras.layers", "layer")

_FLOATS = ("float32", "float64")


class _State(threading.local):
    training: bool | None = None
    losses: list[Any] | None = None  # activity regularization and add_loss of the forward pass under way
    scope: tuple[str, ...] = ()  # the names of the layers that are being called or built
    depth: int = 0


_state = _State()


def is_training() -> bool:
    return bool(_state.training)


@contextmanager
def forward_pass(training: bool) -> Iterator[list[Any]]:
    """Sets the mode of the layers called inside; gives the list of losses that they add."""
    before = _state.training, _state.losses
    _state.training, _state.losses = training, []
    try:
        yield _state.losses
    finally:
        _state.training, _state.losses = before


class InputSpecError(ValueError):
    """An input of the wrong rank or shape; the message names the layer."""


class InputSpec:
    """What a layer expects of an input: its dtype, shape, rank, least or greatest rank, sizes of axes."""

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.axes = {int(k): v for k, v in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name, self.optional = name, optional
        limit = self.ndim if self.ndim is not None else max_ndim
        if self.axes and limit is not None and max(self.axes) >= limit:
            raise ValueError(f"Axis {max(self.axes)} is greater than the maximum allowed value: {limit - 1}")

    def check(self, shape: Shape, layer: str, i: int = 0) -> None:
        where = f'Input {i} of layer "{layer}" is incompatible with the layer: '
        if self.allow_last_axis_squeeze and self.shape is not None and shape and shape[-1] == 1:
            shape = shape[:-1] if len(shape) == len(self.shape) + 1 else shape
        n = len(shape)
        if self.ndim is not None and n != self.ndim:
            raise InputSpecError(
                f"{where}expected ndim={self.ndim}, found ndim={n}. Full shape received: {shape}"
            )
        if self.max_ndim is not None and n > self.max_ndim:
            raise InputSpecError(f"{where}expected max_ndim={self.max_ndim}, found ndim={n}")
        if self.min_ndim is not None and n < self.min_ndim:
            raise InputSpecError(
                f"{where}expected min_ndim={self.min_ndim}, found ndim={n}. Full shape received: {shape}"
            )
        for a, size in self.axes.items():
            if size is not None and shape[a] not in (size, None):
                raise InputSpecError(
                    f"{where}expected axis {a} of input shape to have value {size}, but received input "
                    f"with shape {shape}"
                )
        for want, got in zip(self.shape or (), shape):
            if want is not None and got is not None and want != got:
                raise InputSpecError(f"{where}expected shape={self.shape}, found shape={shape}")

    def __repr__(self) -> str:
        fields = {
            "dtype": self.dtype,
            "shape": self.shape,
            "ndim": self.ndim,
            "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim,
            "axes": self.axes or None,
        }
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in fields.items() if v is not None)})"


def to_float(x: Tensor, dtype: str) -> Tensor:
    """Integers and booleans (images as bytes) as floats."""
    return x if x.dtype.kind == "f" else x.to(np.dtype(dtype))


def floatx(dtype: Any) -> str:
    """The name of a layer's dtype; a policy as Keras writes it names it too."""
    if dtype is None:
        from dlcore.keras import config

        return config.floatx()
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name", "float32")
    dtype = getattr(dtype, "name", dtype)
    try:
        name: str = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in _FLOATS:
        raise ValueError(f"layer: dtype must be one of {', '.join(_FLOATS)}, got {name}")
    return name


def mask_of(x: Any) -> Any:
    """The mask that hangs at a tensor, or None."""
    return getattr(x, "_mask", None)


def set_mask(x: Any, mask: Any) -> None:
    if isinstance(x, Tensor):
        x._mask = mask


class _Signature:
    """What a class's call, build and compute_output_shape take, looked up once a class."""

    def __init__(self, cls: type[Layer]) -> None:
        parameters = inspect.signature(cls.call).parameters
        self.names = [n for n in list(parameters)[1:] if parameters[n].kind in (0, 1)]
        self.all = set(parameters)
        self.training = "training" in parameters
        self.default_training = self.training and parameters["training"].default is True
        self.mask = "mask" in parameters
        self.masks = self.mask or any(n.endswith("_mask") for n in parameters)
        self.build = self._shapes(cls.build)
        self.output = self._shapes(cls.compute_output_shape)
        self.makes_mask = cls.compute_mask is not Layer.compute_mask
        self.infers = cls.compute_output_shape is Layer.compute_output_shape

    @staticmethod
    def _shapes(f: Any) -> list[str]:
        return [n for n, p in list(inspect.signature(f).parameters.items())[1:] if p.kind in (0, 1)]


_signatures: dict[type, _Signature] = {}
_LOOK_UP = {
    "activation": activations.get,
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
}


class Layer:
    """Base class of layers: override `build(input_shape)`, `call(inputs)` and, where it is not to be found by
    a call on zeros, `compute_output_shape(input_shape)`.

    `call` may take `training` and `mask`. Sublayers and Variables set as attributes are found by themselves.
    """

    _keras_module = "keras.layers"
    _fields: tuple[str, ...] = ()  # the constructor's arguments, kept as attributes of the same names
    min_ndim: int | None = None
    ndim: int | None = None
    supports_masking: Any = False
    input_spec: Any = None
    _auto: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = object.__new__(cls)
        self._auto = (args, kwargs)
        return self

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        input_shape: Any = None,
        input_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        batch_shape = kwargs.pop("batch_input_shape", kwargs.pop("batch_shape", None))
        if kwargs:
            raise TypeError(f"{type(self).__name__}: unexpected argument {next(iter(kwargs))!r}")
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"{type(self).__name__}: name must be a string without '/', got {name!r}")
        self.name: str = name or unique_name(snake_case(type(self).__name__))
        self.dtype = floatx(dtype)
        self.autocast = autocast
        self._trainable = bool(trainable)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.built = False
        self._variables: list[Variable] = []
        self._nodes: list[Node] = []
        self._losses: list[Any] = []
        self._build_shape: Any = None
        self._build_shapes: dict[str, Any] | None = None
        if input_dim is not None:
            input_shape = (input_dim,)
        elif batch_shape is not None:
            input_shape = tuple(batch_shape)[1:]
        elif isinstance(input_shape, int):
            input_shape = (input_shape,)
        self._input_shape_arg: Shape | None = None if input_shape is None else tuple(input_shape)

    @property
    def _signature(self) -> _Signature:
        cls = type(self)
        found = _signatures.get(cls)
        if found is None:
            found = _signatures[cls] = _Signature(cls)
        return found

    @property
    def _call_takes_training(self) -> bool:
        return self._signature.training

    @property
    def compute_dtype(self) -> str:
        return self.dtype

    @property
    def variable_dtype(self) -> str:
        return self.dtype

    @property
    def path(self) -> str:
        return "/".join([*_state.scope, self.name])

    # ---- weights -------------------------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """A new weight of this layer; `initializer` is glorot_uniform where it is None (zeros for integers
        and booleans)."""
        shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(n is None for n in shape):
            raise ValueError(f"{self.name}: a weight needs a known shape, got {shape}")
        shape = tuple([int(n) for n in shape])
        kind = np.dtype(dtype or self.dtype).kind
        make = initializers.get(initializer or ("glorot_uniform" if kind == "f" else "zeros"))
        value = make(shape, dtype=dtype or self.dtype) if callable(make) else make
        v = Variable(
            value,
            name=name or "variable",
            trainable=trainable,
            regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
            dtype=np.asarray(value).dtype if dtype is None else dtype,
        )
        scope = _state.scope if _state.scope[-1:] == (self.name,) else (*_state.scope, self.name)
        v.path = "/".join([*scope, v.name])
        v.requires_grad = trainable and self._trainable and v.dtype.kind == "f"
        self._variables.append(v)
        return v

    def _keep(self, **options: Any) -> None:
        """Keeps constructor arguments as attributes; what their names say is an activation, initializer,
        regularizer or constraint is looked up."""
        for name, value in options.items():
            look_up = _LOOK_UP.get(name.rpartition("_")[2])
            setattr(self, name, value if look_up is None else look_up(value))

    def _weight(self, shape: Any, name: str, options: str | None = None, trainable: bool = True) -> Variable:
        """A weight with the initializer, regularizer and constraint that `_keep` has under `options`."""
        prefix = options or name
        return self.add_weight(
            shape,
            getattr(self, f"{prefix}_initializer"),
            trainable=trainable,
            regularizer=getattr(self, f"{prefix}_regularizer", None),
            constraint=getattr(self, f"{prefix}_constraint", None),
            name=name,
        )

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
            if key not in ("_nodes", "_variables", "_auto", "_losses"):
                visit(value)
        return found

    def _own_variables(self) -> list[Variable]:
        """This layer's own: the trainable ones first; those that were set as attributes too."""
        own = list(self._variables)
        for value in self.__dict__.values():
            if isinstance(value, Variable) and all(value is not v for v in own):
                own.append(value)
        return [v for v in own if v._trainable] + [v for v in own if not v._trainable]

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
            for v in layer._own_variables():
                if id(v) not in seen:
                    seen.add(id(v))
                    out.append(v)
        return out

    @property
    def variables(self) -> list[Variable]:
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        if not self._trainable:
            return []
        frozen = {id(v) for layer in self._walk() if not layer._trainable for v in layer.weights}
        return [v for v in self.weights if v.requires_grad and id(v) not in frozen]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        trained = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trained]

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._walk():
            layer._trainable = bool(value)
            for v in layer._own_variables():
                v.requires_grad = v._trainable and layer._trainable and v.dtype.kind == "f"

    def get_weights(self) -> list[npt.NDArray[Any]]:
        """Copies of all weights, in the order of `weights`."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Overwrites all weights; nothing is changed where a shape does not fit."""
        mine = self.weights
        arrays = [np.asarray(w) for w in weights]
        if len(mine) != len(arrays):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length "
                f"{len(arrays)}, but the layer was expecting {len(mine)} weights."
            )
        for v, a in zip(mine, arrays):
            if v.shape != a.shape:
                raise ValueError(
                    f"Layer {self.name} weight shape {v.shape} is not compatible with provided weight shape "
                    f"{a.shape} (weight {v.path})."
                )
        for v, a in zip(mine, arrays):
            v.assign(a)

    def count_params(self) -> int:
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can"
                " build it manually via: `layer.build(input_shape)`."
            )
        return sum(int(v.array.size) for v in self.weights)

    @property
    def metrics_variables(self) -> list[Variable]:
        return []

    @property
    def losses(self) -> list[Any]:
        """What `add_loss` and activity regularizers gave in the last call, and the penalties of the
        regularizers on the weights that are trained."""
        if _state.losses is not None:
            added = list(_state.losses)
        else:
            added = [loss for layer in self._walk() for loss in layer._losses]
        return added + [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]

    def add_loss(self, loss: Any) -> None:
        """Adds a scalar to the loss of the forward pass under way."""
        for x in loss if isinstance(loss, (list, tuple)) else [loss]:
            if is_symbolic(x):
                raise ValueError(
                    "`add_loss()` can only be called from inside `build()` or `call()`, on a tensor input. "
                    f"Received invalid value: {x}"
                )
            (self._losses if _state.losses is None else _state.losses).append(x)

    def _clear_losses(self) -> None:
        for layer in self._walk():
            layer._losses = []

    # ---- calls ---------------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Makes the weights for inputs of this shape, the batch axis (None) included."""
        self.built = True

    def call(self, inputs: Any) -> Any:
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `call()` method implemented.")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape, batch axis (None) included;
        found by a call on zeros unless a layer knows better.
        """
        many = bool(input_shape) and isinstance(input_shape, (list, tuple)) and is_shape(input_shape[0])
        if isinstance(input_shape, dict):
            x: Any = {k: KerasTensor(s, self.dtype, name="k") for k, s in input_shape.items()}
        elif many:
            x = [KerasTensor(s, self.dtype, name="k") for s in input_shape]
        else:
            x = KerasTensor(input_shape, self.dtype, name="k")
        with forward_pass(False):
            return tree_map(lambda t: t.shape, infer(self.call, (x,), {}))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the outputs: that of the inputs, unless a layer knows better."""
        return previous_mask

    def _check_input(self, shape: Shape) -> None:
        if self.ndim is not None and len(shape) != self.ndim:
            raise InputSpecError(
                f"{self.name}: {type(self).__name__} needs inputs with {self.ndim} axes (the batch first, "
                f'channels last), got shape {tuple(shape)}. Input 0 of layer "{self.name}" is incompatible '
                f"with the layer: expected ndim={self.ndim}, found ndim={len(shape)}. Full shape received: "
                f"{tuple(shape)}"
            )
        if self.min_ndim is not None and len(shape) < self.min_ndim:
            raise InputSpecError(
                f"{self.name}: {type(self).__name__} needs inputs with at least {self.min_ndim} axes (the "
                f'batch first), got shape {tuple(shape)}. Input 0 of layer "{self.name}" is incompatible '
                f"with the layer: expected min_ndim={self.min_ndim}, found ndim={len(shape)}. Full shape "
                f"received: {tuple(shape)}"
            )
        known = self._build_shape
        if self.built and known is not None and self._variables and is_shape(known):
            for a in self._fixed_axes():
                if (
                    len(known) == len(shape)
                    and known[a] is not None
                    and shape[a] is not None
                    and known[a] != shape[a]
                ):
                    raise InputSpecError(
                        f"{self.name}: {type(self).__name__} was built for axis {a} of size {known[a]}, "
                        f'got shape {tuple(shape)}. Input 0 of layer "{self.name}" is incompatible with the '
                        f"layer: expected axis {a} of input shape to have value {known[a]}, but received "
                        f"input with shape {tuple(shape)}"
                    )

    def _fixed_axes(self) -> tuple[int, ...]:
        """The axes that the weights depend on."""
        return (-1,)

    def _check_inputs(self, first: Any) -> None:
        shape = shapes_of(first)
        if is_shape(shape):
            self._check_input(shape)
        if self.input_spec is not None:
            specs, shapes = tree_leaves(self.input_spec), _shape_leaves(shape)
            if len(specs) > 1 and len(specs) != len(shapes):
                raise InputSpecError(
                    f'Layer "{self.name}" expects {len(specs)} input(s), but it received {len(shapes)} input '
                    "tensors."
                )
            for i, (spec, s) in enumerate(zip(specs, shapes)):
                spec.check(tuple(s), self.name, i)

    def _named_shapes(self, wanted: list[str], tensors: dict[str, Any]) -> dict[str, Any]:
        """Shapes for `build` or `compute_output_shape`: of the first argument where it takes one, else
        those of `<argument>_shape`."""
        if not tensors:
            return {}
        if len(wanted) <= 1 and not (wanted and wanted[0] in {f"{n}_shape" for n in list(tensors)[1:]}):
            return {wanted[0]: tree_free(shapes_of(next(iter(tensors.values()))))} if wanted else {}
        found = {f"{n}_shape": tree_free(shapes_of(t)) for n, t in tensors.items()}
        out = {n: found[n] for n in wanted if n in found}
        if not out:
            out = {wanted[0]: next(iter(found.values()))}
        return out

    def _build_for(self, tensors: dict[str, Any]) -> None:
        if self.built:
            return
        shapes = self._named_shapes(self._signature.build, tensors)
        self._ensure_built(shapes)
        if tensors:
            self._check_inputs(next(iter(tensors.values())))

    def _ensure_built(self, shapes: dict[str, Any]) -> None:
        if self.built:
            return
        if len(shapes) == 1:
            self._build_shape = next(iter(shapes.values()))
        else:
            self._build_shapes = shapes
        with no_grad(), self._scope():
            self.build(**shapes)
        self.built = True

    @contextmanager
    def _scope(self) -> Iterator[None]:
        before = _state.scope
        _state.scope = (*before, self.name)
        try:
            yield
        finally:
            _state.scope = before

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds from what `get_build_config` gave."""
        if config.get("input_shape") is not None:
            self._ensure_built({self._signature.build[0]: _tuples(config["input_shape"])})
        elif config.get("shapes_dict") is not None:
            self._ensure_built({k: _tuples(s) for k, s in config["shapes_dict"].items()})

    def get_build_config(self) -> dict[str, Any] | None:
        if self._build_shapes:
            return {"shapes_dict": self._build_shapes}
        return None if self._build_shape is None else {"input_shape": self._build_shape}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        sig = self._signature
        if len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
            x = args[0]
            if x.dtype.kind == "f" and x.dtype.name != self.dtype and self.autocast:
                mask = mask_of(x)
                x = x.to(np.dtype(self.dtype))
                set_mask(x, mask)
                args = (x,)
            tensors: dict[str, Any] = {sig.names[0] if sig.names else "inputs": x}
        else:
            symbolic = any(is_symbolic(t) for t in tree_leaves([list(args), kwargs]))
            args = tuple([tree_map(self._converted, a) for a in args])
            kwargs = {
                k: v if k in ("training", "mask") and not _has_array(v) else tree_map(self._value, v)
                for k, v in kwargs.items()
            }
            bound = {**dict(zip(sig.names, args)), **kwargs}
            tensors = {
                n: v
                for n, v in bound.items()
                if not n.endswith("mask")
                and any(isinstance(t, (Tensor, KerasTensor)) for t in tree_leaves(v))
            }
            if symbolic:
                return self._symbolic(args, kwargs, tensors)
        if not args and not tensors and kwargs.get("inputs") is None and not kwargs:
            tensors = {}
        first = next(iter(tensors.values()), None)
        if first is not None:
            self._check_inputs(first)
        if not self.built:
            self._build_for(tensors)
        before = _state.training
        training = kwargs.pop("training", None)
        if training is None:
            training = before if before is not None else sig.default_training
        training = bool(training)
        if sig.training:
            kwargs["training"] = training
        if sig.masks:
            if len(tensors) == 1:
                if sig.mask and kwargs.get("mask") is None and not self._passed("mask", args):
                    mask = _masks(first)
                    if mask is not None:
                        kwargs["mask"] = mask
            else:
                for n, v in tensors.items():
                    k = f"{n}_mask"
                    if k in sig.all and kwargs.get(k) is None and not self._passed(k, args):
                        mask = _masks(v)
                        if mask is not None:
                            kwargs[k] = mask
        previous = kwargs.get("mask")
        if previous is None:
            previous = _masks(first)
        if not sig.mask:
            kwargs.pop("mask", None)
        scope, depth = _state.scope, _state.depth
        if depth == 0:
            if _state.losses is not None:
                _state.losses.clear()
            elif self._losses or self._sublayers():
                self._clear_losses()
        _state.training, _state.scope, _state.depth = training, (*scope, self.name), depth + 1
        try:
            out = self.call(*args, **kwargs)
            if self.activity_regularizer is not None:
                for t in tree_leaves(out):  # a mean over the batch, as a loss
                    self.add_loss(self.activity_regularizer(t) * (1.0 / max(1, t.shape[0])))
        finally:
            _state.training, _state.scope, _state.depth = before, scope, depth
        if previous is not None or (sig.makes_mask and self.supports_masking):
            self._hand_on(first, out, previous)
        return out

    def _passed(self, name: str, args: tuple[Any, ...]) -> bool:
        names = self._signature.names
        return name in names[: len(args)] and args[names.index(name)] is not None

    def _converted(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            if x.dtype.kind == "f" and x.dtype.name != self.dtype and self.autocast:
                y = x.to(np.dtype(self.dtype))
                set_mask(y, mask_of(x))
                return y
            return x
        if isinstance(x, KerasTensor):
            return x
        if isinstance(x, np.ndarray) or hasattr(x, "__array__"):
            return to_tensor(x, self.dtype if self.autocast else None)
        raise ValueError(
            "Only input tensors may be passed as positional arguments. The following argument value should "
            f"be passed as a keyword argument: {x} (of type {type(x)})"
        )

    def _value(self, x: Any) -> Any:
        if isinstance(x, (Tensor, np.ndarray)):
            return self._converted(x)
        return x

    def _hand_on(self, first: Any, out: Any, previous: Any) -> None:
        if not self.supports_masking:
            if any(m is not None for m in tree_leaves(previous)):
                warnings.warn(
                    f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a mask "
                    "attached to it. However, this layer does not support masking and will therefore "
                    "destroy the mask information. Downstream layers will not see the mask.",
                    stacklevel=3,
                )
            return
        outs = _flat(out)
        if all(mask_of(t) is not None for t in outs):
            return
        with no_grad():
            masks = self.compute_mask(first, previous)
        if masks is None:
            return
        for t, m in zip(outs, _flat(masks)):
            if m is not None and isinstance(t, Tensor) and mask_of(t) is None:
                t._mask = to_tensor(m)

    def _symbolic(self, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: dict[str, Any]) -> Any:
        sig = self._signature
        first = next(iter(tensors.values()))
        self._check_inputs(first)
        if not self.built:
            self._build_for(tensors)
        if sig.infers:
            given = {k: v for k, v in kwargs.items() if k in sig.all}
            with forward_pass(False):
                out = infer(self.call, args, given)
        else:
            shape = self.compute_output_shape(**self._named_shapes(sig.output, tensors))
            out = _places(shape, self._output_dtype(first))
        self._nodes.append(Node(self, args, {k: v for k, v in kwargs.items() if v is not None}, out))
        return out

    def _output_dtype(self, first: Any) -> str:
        return self.dtype

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """The symbolic outputs for symbolic inputs."""
        out = self(*args, **kwargs)
        self._nodes.pop()
        return out

    @property
    def output(self) -> Any:
        if not self._nodes:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined output."
            )
        outs = self._nodes[0].outputs
        return outs[0] if len(outs) == 1 else outs

    @property
    def input(self) -> Any:
        if not self._nodes:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined input."
            )
        ins = self._nodes[0].inputs
        return ins[0] if len(ins) == 1 else ins

    # ---- configuration -------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from, without its weights.

        A subclass that does not override it gives its constructor's arguments, where they are plain values.
        """
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
        cls = type(self)
        if not cls.__module__.startswith("dlcore.keras") and cls.get_config is _ours(cls).get_config:
            config.update(automatic_config(self, _ours(cls)))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**without_unset(cls, config))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def __getstate__(self) -> dict[str, Any]:
        """A copy stands alone: it belongs to no functional model."""
        return {**self.__dict__, "_nodes": [], "_losses": []}


def _ours(cls: type) -> type[Layer]:
    """The nearest base that is dlcore's own."""
    ours = (c for c in cls.__mro__ if c.__module__.startswith("dlcore.keras"))
    return next(ours)


def _has_array(x: Any) -> bool:
    return any(isinstance(t, (Tensor, KerasTensor, np.ndarray)) for t in tree_leaves(x))


def _flat(tree: Any) -> list[Any]:
    """The leaves, None among them."""
    if isinstance(tree, dict):
        return [leaf for v in tree.values() for leaf in _flat(v)]
    if isinstance(tree, (list, tuple)):
        return [leaf for v in tree for leaf in _flat(v)]
    return [tree]


def _masks(x: Any) -> Any:
    """The masks of a tree of tensors, or None where there is none at all."""
    if isinstance(x, Tensor):
        return mask_of(x)
    if x is None:
        return None
    found = tree_map(mask_of, x)
    return found if any(m is not None for m in tree_leaves(found)) else None


def is_shape(x: Any) -> bool:
    return isinstance(x, (tuple, list)) and all(n is None or isinstance(n, (int, np.integer)) for n in x)


def _shape_leaves(x: Any) -> list[Any]:
    if is_shape(x):
        return [x]
    if isinstance(x, dict):
        return [s for v in x.values() for s in _shape_leaves(v)]
    return [] if x is None else [s for v in x for s in _shape_leaves(v)]


def _tuples(x: Any) -> Any:
    """Shapes out of JSON."""
    if is_shape(x):
        return tuple(x)
    if isinstance(x, dict):
        return {k: _tuples(v) for k, v in x.items()}
    return None if x is None else [_tuples(v) for v in x]


def _places(shape: Any, dtype: str) -> Any:
    if is_shape(shape):
        return KerasTensor(shape, dtype)
    if isinstance(shape, dict):
        return {k: _places(s, dtype) for k, s in shape.items()}
    return type(shape)([_places(s, dtype) for s in shape])


def shapes_of(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.shape
    return tree_map(lambda t: t.shape if hasattr(t, "shape") else (), x)


def tree_free(shape: Any) -> Any:
    """Shapes with the batch axis left open."""
    if is_shape(shape):
        return (None, *shape[1:]) if len(shape) else ()
    if isinstance(shape, dict):
        return {k: tree_free(s) for k, s in shape.items()}
    return None if shape is None else [tree_free(s) for s in shape]
