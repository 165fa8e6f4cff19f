"""The operations on tensors that functional models and custom layers use most, by Keras' names.

On symbolic tensors they become steps of the model, which files of Keras know by their class names; on Tensors
and arrays they compute.
"""

from __future__ import annotations

import builtins
import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras.symbolic import KerasTensor, Operation, is_symbolic, to_tensor
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves

_builtin_slice, _builtin_any = builtins.slice, builtins.any

# class name -> (module, function, names of the constructor's arguments)
_classes: dict[str, tuple[str, Callable[..., Any], tuple[str, ...]]] = {}


def _t(x: Any) -> Any:
    """A tensor, or a number as it is."""
    return x if isinstance(x, (builtins.int, builtins.float, builtins.bool)) else to_tensor(x)


def _op(class_name: str, own: str = "", module: str = "numpy") -> Callable[[Callable[..., Any]], Any]:
    """Makes a function an operation; `own` names the arguments that belong to it, not to the call."""
    names = tuple(own.split())

    def decorate(f: Callable[..., Any]) -> Any:
        signature = inspect.signature(f)
        _classes[class_name] = (f"keras.src.ops.{module}", f, names)

        def op(*args: Any, **kwargs: Any) -> Any:
            if not _builtin_any(is_symbolic(t) for t in tree_leaves([list(args), kwargs])):
                return f(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            config = {n: bound.arguments[n] for n in names}
            call = [v for n, v in bound.arguments.items() if n not in names]
            return Operation(class_name, _classes[class_name][0], f, config, None)(*call)

        op.__name__ = f.__name__
        op.__doc__ = f.__doc__
        op.__signature__ = signature  # type: ignore[attr-defined]
        return op

    return decorate


def operation_from_config(class_name: str, config: dict[str, Any]) -> Operation | None:
    """The step of a model that a file names, or None where it is not among these."""
    if class_name == "ReLU":
        class_name = "Relu"
    if class_name not in _classes:
        return None
    module, f, names = _classes[class_name]
    own = {n: _lists(config[n]) for n in names if n in config}
    return Operation(class_name, module, f, own, config.get("name"))


def _lists(v: Any) -> Any:
    return tuple(_lists(x) for x in v) if isinstance(v, list) else v


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


# ---- arithmetic and comparison -----------------------------------------------------------------------------


@_op("Add")
def add(x1: Any, x2: Any) -> Any:
    return F.add(_t(x1), _t(x2))


@_op("Subtract")
def subtract(x1: Any, x2: Any) -> Any:
    return F.sub(_t(x1), _t(x2))


@_op("Multiply")
def multiply(x1: Any, x2: Any) -> Any:
    return F.mul(_t(x1), _t(x2))


@_op("Divide")
def divide(x1: Any, x2: Any) -> Any:
    return F.div(_t(x1), _t(x2))


@_op("TrueDivide")
def true_divide(x1: Any, x2: Any) -> Any:
    return F.div(_t(x1), _t(x2))


@_op("FloorDivide")
def floor_divide(x1: Any, x2: Any) -> Any:
    return F.floor_divide(_t(x1), _t(x2))


@_op("Mod")
def mod(x1: Any, x2: Any) -> Any:
    return F.remainder(_t(x1), _t(x2))


@_op("DivideNoNan")
def divide_no_nan(x1: Any, x2: Any) -> Any:
    a, b = to_tensor(x1), to_tensor(x2)
    zero = b == 0
    return F.where(zero, 0.0, a / F.where(zero, 1.0, b))


@_op("Power")
def power(x1: Any, x2: Any) -> Any:
    return F.pow(_t(x1), _t(x2))


@_op("Maximum")
def maximum(x1: Any, x2: Any) -> Any:
    return F.maximum(_t(x1), _t(x2))


@_op("Minimum")
def minimum(x1: Any, x2: Any) -> Any:
    return F.minimum(_t(x1), _t(x2))


@_op("Equal")
def equal(x1: Any, x2: Any) -> Any:
    return to_tensor(x1) == _t(x2)


@_op("NotEqual")
def not_equal(x1: Any, x2: Any) -> Any:
    return to_tensor(x1) != _t(x2)


@_op("Greater")
def greater(x1: Any, x2: Any) -> Any:
    return to_tensor(x1) > _t(x2)


@_op("GreaterEqual")
def greater_equal(x1: Any, x2: Any) -> Any:
    return to_tensor(x1) >= _t(x2)


@_op("Less")
def less(x1: Any, x2: Any) -> Any:
    return to_tensor(x1) < _t(x2)


@_op("LessEqual")
def less_equal(x1: Any, x2: Any) -> Any:
    return to_tensor(x1) <= _t(x2)


@_op("LogicalAnd")
def logical_and(x1: Any, x2: Any) -> Any:
    return F.logical_and(to_tensor(x1), to_tensor(x2))


@_op("LogicalOr")
def logical_or(x1: Any, x2: Any) -> Any:
    return F.logical_or(to_tensor(x1), to_tensor(x2))


@_op("LogicalNot")
def logical_not(x: Any) -> Any:
    return F.logical_not(to_tensor(x))


@_op("Where")
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    c = to_tensor(condition)
    return F.where(c if c.dtype == np.bool_ else c != 0, _t(x1), _t(x2))


@_op("Clip", "x_min x_max")
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    return to_tensor(x).clamp(x_min, x_max)


# ---- one tensor --------------------------------------------------------------------------------------------


def _unary(class_name: str, name: str, f: Callable[[Any], Any], module: str = "numpy") -> Any:
    def function(x: Any) -> Any:
        return f(to_tensor(x))

    function.__name__ = name
    return _op(class_name, module=module)(function)


negative = _unary("Negative", "negative", lambda x: -x)
absolute = _unary("Absolute", "absolute", lambda x: x.abs())
sqrt = _unary("Sqrt", "sqrt", lambda x: x.sqrt())
square = _unary("Square", "square", lambda x: x * x)
exp = _unary("Exp", "exp", lambda x: x.exp())
expm1 = _unary("Expm1", "expm1", F.expm1)
log = _unary("Log", "log", lambda x: x.log())
log1p = _unary("Log1p", "log1p", F.log1p)
rsqrt = _unary("Rsqrt", "rsqrt", lambda x: x.rsqrt(), "math")
erf = _unary("Erf", "erf", lambda x: F.erf(x), "math")
sin = _unary("Sin", "sin", lambda x: x.sin())
cos = _unary("Cos", "cos", lambda x: x.cos())
floor = _unary("Floor", "floor", F.floor)
ceil = _unary("Ceil", "ceil", F.ceil)
sign = _unary("Sign", "sign", F.sign)
reciprocal = _unary("Reciprocal", "reciprocal", F.reciprocal)
isnan = _unary("Isnan", "isnan", lambda x: x != x)
relu = _unary("Relu", "relu", F.relu, "nn")
relu6 = _unary("Relu6", "relu6", F.relu6, "nn")
sigmoid = _unary("Sigmoid", "sigmoid", F.sigmoid, "nn")
tanh = _unary("Tanh", "tanh", F.tanh)
silu = _unary("Silu", "silu", F.silu, "nn")
swish = silu
softplus = _unary("Softplus", "softplus", lambda x: F.relu(x) + F.log1p((-x.abs()).exp()), "nn")
softsign = _unary("Softsign", "softsign", F.softsign, "nn")
log_sigmoid = _unary("LogSigmoid", "log_sigmoid", F.logsigmoid, "nn")
stop_gradient = _unary("StopGradient", "stop_gradient", lambda x: x.detach(), "core")
abs = absolute


@_op("Gelu", "approximate", "nn")
def gelu(x: Any, approximate: bool = True) -> Any:
    return F.gelu(to_tensor(x), "tanh" if approximate else "none")


@_op("LeakyRelu", "negative_slope", "nn")
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    return F.leaky_relu(to_tensor(x), negative_slope)


@_op("Elu", "alpha", "nn")
def elu(x: Any, alpha: float = 1.0) -> Any:
    return F.elu(to_tensor(x), alpha)


@_op("Softmax", "axis", "nn")
def softmax(x: Any, axis: int = -1) -> Any:
    return F.softmax(to_tensor(x), axis)


@_op("LogSoftmax", "axis", "nn")
def log_softmax(x: Any, axis: int = -1) -> Any:
    return F.log_softmax(to_tensor(x), axis)


@_op("OneHot", "num_classes axis dtype sparse", "nn")
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    a = to_tensor(x).detach().numpy()
    rows = (a[..., None] == np.arange(num_classes)).astype(dtype or "float32")
    return to_tensor(np.moveaxis(rows, -1, axis))


@_op("Normalize", "axis order epsilon", "nn")
def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Any:
    x = to_tensor(x)
    norm = F.norm(x, order, _axes(axis), True)
    return x / norm.clamp(min=1e-7 if epsilon is None else epsilon)


@_op("Cast", "dtype", "core")
def cast(x: Any, dtype: Any) -> Any:
    return to_tensor(x).to(np.dtype(dtype))


# ---- reductions --------------------------------------------------------------------------------------------


def _reduction(class_name: str, name: str, f: Callable[..., Any], own: str = "axis keepdims") -> Any:
    if "initial" in own:

        def function(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
            return f(to_tensor(x), _axes(axis), keepdims)

    else:

        def function(x: Any, axis: Any = None, keepdims: bool = False) -> Any:  # type: ignore[misc]
            return f(to_tensor(x), _axes(axis), keepdims)

    function.__name__ = name
    return _op(class_name, own)(function)


def _float(x: Tensor) -> Tensor:
    return x if x.dtype.kind == "f" else x.to(np.dtype(np.float32))


mean = _reduction("Mean", "mean", lambda x, a, k: F.mean(_float(x), a, k))
sum = _reduction("Sum", "sum", lambda x, a, k: F.sum(x, a, k))
prod = _reduction("Prod", "prod", lambda x, a, k: F.prod(x, a, k))
var = _reduction("Var", "var", lambda x, a, k: F.var(_float(x), a, keepdim=k, correction=0))
std = _reduction("Std", "std", lambda x, a, k: F.std(_float(x), a, keepdim=k, correction=0))
max = _reduction("Max", "max", lambda x, a, k: F.amax(x, a, k), "axis keepdims initial")
min = _reduction("Min", "min", lambda x, a, k: F.amin(x, a, k), "axis keepdims initial")
any = _reduction("Any", "any", lambda x, a, k: F.any(x, a, k))
all = _reduction("All", "all", lambda x, a, k: F.all(x, a, k))
amax, amin = max, min


@_op("Argmax", "axis keepdims")
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    return F.argmax(to_tensor(x), axis, keepdims)


@_op("Argmin", "axis keepdims")
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    return F.argmin(to_tensor(x), axis, keepdims)


@_op("Cumsum", "axis dtype")
def cumsum(x: Any, axis: int = 0, dtype: Any = None) -> Any:
    return F.cumsum(to_tensor(x), axis)


@_op("Logsumexp", "axis keepdims", "math")
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = to_tensor(x)
    top = x.detach().amax(_axes(axis), keepdim=True)
    out = (x - top).exp().sum(_axes(axis), keepdim=True).log() + top
    if keepdims:
        return out
    return out.reshape(()) if axis is None else F.squeeze(out, _axes(axis))


@_op("Norm", "ord axis keepdims", "linalg")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return F.norm(to_tensor(x), 2 if ord is None else ord, _axes(axis), keepdims)


# ---- products ----------------------------------------------------------------------------------------------


@_op("Matmul")
def matmul(x1: Any, x2: Any) -> Any:
    return F.matmul(to_tensor(x1), to_tensor(x2))


@_op("Dot")
def dot(x1: Any, x2: Any) -> Any:
    a, b = to_tensor(x1), to_tensor(x2)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return F.matmul(a, b) if b.ndim <= 2 else F.tensordot(a, b, ([-1], [-2]))  # type: ignore[attr-defined]


@_op("Einsum", "subscripts")
def _einsum(*operands: Any, subscripts: str) -> Any:
    return F.einsum(subscripts, *[to_tensor(x) for x in operands])


def einsum(subscripts: str, *operands: Any) -> Any:
    if not _builtin_any(is_symbolic(t) for t in operands):
        return F.einsum(subscripts, *[to_tensor(x) for x in operands])
    module, f, _ = _classes["Einsum"]
    return Operation("Einsum", module, f, {"subscripts": subscripts}, None)(*operands)


# ---- shapes ------------------------------------------------------------------------------------------------


@_op("Reshape", "newshape")
def reshape(x: Any, newshape: Any) -> Any:
    return F.reshape(to_tensor(x), *([newshape] if isinstance(newshape, builtins.int) else newshape))


@_op("Transpose", "axes")
def transpose(x: Any, axes: Any = None) -> Any:
    x = to_tensor(x)
    return F.permute(x, *(range(x.ndim)[::-1] if axes is None else axes))


@_op("Swapaxes", "axis1 axis2")
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    return F.transpose(to_tensor(x), axis1, axis2)


@_op("Moveaxis", "source destination")
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    return F.movedim(to_tensor(x), source, destination)


@_op("ExpandDims", "axis")
def expand_dims(x: Any, axis: Any) -> Any:
    x = to_tensor(x)
    for a in sorted(axis) if isinstance(axis, (list, tuple)) else [axis]:
        x = F.unsqueeze(x, a)
    return x


@_op("Squeeze", "axis")
def squeeze(x: Any, axis: Any = None) -> Any:
    return F.squeeze(to_tensor(x), _axes(axis))


@_op("Concatenate", "axis")
def concatenate(xs: Any, axis: int = 0) -> Any:
    return F.cat([to_tensor(x) for x in xs], axis)


@_op("Stack", "axis")
def stack(xs: Any, axis: int = 0) -> Any:
    return F.stack([to_tensor(x) for x in xs], axis)


@_op("Split", "indices_or_sections axis")
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = to_tensor(x)
    n = x.shape[axis]
    if isinstance(indices_or_sections, builtins.int):
        if n % indices_or_sections:
            raise ValueError(f"split: axis {axis} of size {n} cannot be divided into {indices_or_sections}")
        return list(F.split(x, n // indices_or_sections, axis))
    ends = [0, *indices_or_sections, n]
    return list(F.split(x, [b - a for a, b in itertools.pairwise(ends)], axis))


@_op("Tile", "repeats")
def tile(x: Any, repeats: Any) -> Any:
    return F.tile(to_tensor(x), *([repeats] if isinstance(repeats, builtins.int) else repeats))


@_op("Repeat", "repeats axis")
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    n = repeats if isinstance(repeats, builtins.int) else to_tensor(np.asarray(repeats, np.int64))
    return F.repeat_interleave(to_tensor(x), n, axis)


@_op("BroadcastTo", "shape")
def broadcast_to(x: Any, shape: Any) -> Any:
    return F.expand(to_tensor(x), *shape)


@_op("Flip", "axis")
def flip(x: Any, axis: Any = None) -> Any:
    x = to_tensor(x)
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, (list, tuple)) else [axis]
    return F.flip(x, *axes)


@_op("Take", "axis")
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    x = to_tensor(x)
    if axis is None:
        x, axis = F.ravel(x), 0
    key: list[Any] = [_builtin_slice(None)] * (axis % x.ndim)
    index = indices if isinstance(indices, builtins.int) else to_tensor(indices).to(np.dtype(np.int64))
    return x[(*key, index)]


@_op("Pad", "pad_width mode")
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    x = to_tensor(x)
    widths = pad_width if isinstance(pad_width, (list, tuple)) else ((pad_width, pad_width),) * x.ndim
    if isinstance(widths[0], builtins.int):
        widths = (tuple(widths),) * x.ndim
    flat = [n for pair in reversed(widths) for n in pair]
    if mode != "constant":
        raise ValueError(f"pad: only mode='constant' is supported, got {mode!r}")
    return F.pad(x, flat, value=0.0 if constant_values is None else constant_values)


@_op("GetItem")
def get_item(x: Any, key: Any) -> Any:
    return to_tensor(x)[tuple(key) if isinstance(key, list) else key]


@_op("ZerosLike", "dtype")
def zeros_like(x: Any, dtype: Any = None) -> Any:
    x = to_tensor(x)
    return to_tensor(np.zeros(x.shape, dtype or x.dtype))


@_op("OnesLike", "dtype")
def ones_like(x: Any, dtype: Any = None) -> Any:
    x = to_tensor(x)
    return to_tensor(np.ones(x.shape, dtype or x.dtype))


# ---- without symbolic arguments ----------------------------------------------------------------------------


def shape(x: Any) -> tuple[Any, ...]:
    return tuple(x.shape) if isinstance(x, (Tensor, KerasTensor)) else np.shape(x)


def ndim(x: Any) -> int:
    return len(shape(x))


def size(x: Any) -> int:
    return math.prod(shape(x))


def zeros(shape: Any, dtype: Any = None) -> Any:
    return to_tensor(np.zeros(shape, dtype or "float32"))


def ones(shape: Any, dtype: Any = None) -> Any:
    return to_tensor(np.ones(shape, dtype or "float32"))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    return to_tensor(np.full(shape, fill_value, dtype or "float32"))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    a = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    kind = dtype or ("float32" if a.dtype.kind == "f" else "int32")
    return to_tensor(a.astype(kind))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    return to_tensor(np.eye(N, M, k, dtype or "float32"))


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None) -> Any:
    t = to_tensor(x)
    return t if dtype is None or isinstance(t, KerasTensor) else t.to(np.dtype(dtype))


array = convert_to_tensor


def convert_to_numpy(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


def _arithmetic() -> None:
    """Operators of symbolic tensors."""
    for name, f in (
        ("add", add),
        ("sub", subtract),
        ("mul", multiply),
        ("truediv", true_divide),
        ("floordiv", floor_divide),
        ("mod", mod),
        ("pow", power),
        ("matmul", matmul),
        ("and", logical_and),
        ("or", logical_or),
    ):

        def forward(self: Any, other: Any, f: Any = f) -> Any:
            return f(self, other)

        def backward(self: Any, other: Any, f: Any = f) -> Any:
            return f(other, self)

        setattr(KerasTensor, f"__{name}__", forward)
        setattr(KerasTensor, f"__r{name}__", backward)
    for name, f in (
        ("gt", greater),
        ("ge", greater_equal),
        ("lt", less),
        ("le", less_equal),
        ("ne", not_equal),
    ):
        setattr(KerasTensor, f"__{name}__", lambda self, other, f=f: f(self, other))
    for name, f in (("neg", negative), ("abs", absolute), ("invert", logical_not)):
        setattr(KerasTensor, f"__{name}__", lambda self, f=f: f(self))
    setattr(KerasTensor, "__getitem__", lambda self, key: get_item(self, key))  # noqa: B010
    setattr(KerasTensor, "__array_priority__", 100.0)  # noqa: B010
    setattr(KerasTensor, "__hash__", lambda self: id(self))  # noqa: B010


_arithmetic()
