"""Elementwise arithmetic, comparison and choice, with broadcasting and torch's promotion of dtypes.

An operand is a Tensor, a Python number, or anything array-like. The order of categories is bool < integer <
floating; a Python number, and a 0-d tensor beside one with dimensions, raises the category of the result but
never its width. The fast path asks no dtype: the kernels refuse mixed operands, and only then is the
promotion worked out.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import in_place, is_grad_enabled, record
from dlcore.tensor import Tensor, as_array

__all__ = [
    "abs",
    "absolute",
    "add",
    "atan2",
    "ceil",
    "clamp",
    "clip",
    "cos",
    "div",
    "divide",
    "eq",
    "erf",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "fmod",
    "ge",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "masked_fill",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "ne",
    "neg",
    "negative",
    "pow",
    "reciprocal",
    "remainder",
    "result_type",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sqrt",
    "square",
    "sub",
    "subtract",
    "tan",
    "true_divide",
    "trunc",
    "where",
]  # fmt: skip

Number = builtins.float | builtins.int | builtins.bool
Operand = Tensor | Number
Grad = Callable[[_C.Array], _C.Array]
DType = np.dtype[Any]

_FLOAT32, _INT64, _BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


# ---- dtypes ----------------------------------------------------------------------------------------------


def _promote(a: DType, b: DType) -> DType:
    x, y = _CATEGORY[a.kind], _CATEGORY[b.kind]
    if x != y:
        return a if x > y else b
    return np.promote_types(a, b)


def _dtype_and_rank(x: Any) -> tuple[DType, builtins.int]:
    """Rank 2 for a tensor with dimensions, 1 for a 0-d one, 0 for a number."""
    if isinstance(x, Tensor):
        return x.array.dtype, 2 if x.array.ndim else 1
    if isinstance(x, builtins.bool):
        return _BOOL, 0
    if isinstance(x, builtins.int):
        return _INT64, 0
    return _FLOAT32, 0


def result_type(a: Any, b: Any) -> DType:
    """The dtype that arithmetic on a and b gives.

    >>> import dlcore
    >>> dlcore.functional.result_type(dlcore.tensor([1, 2]), 0.5)
    dtype('float32')
    """
    (x, i), (y, j) = _dtype_and_rank(_operand(a)), _dtype_and_rank(_operand(b))
    if i == j:
        return _promote(x, y)
    high, low = (x, y) if i > j else (y, x)
    c, d = _CATEGORY[high.kind], _CATEGORY[low.kind]
    return high if c >= d else _promote(high, low)


def _operand(x: Any) -> Any:
    """A Tensor or a Python number."""
    if isinstance(x, (Tensor, builtins.float, builtins.int)):
        return x
    if isinstance(x, np.generic):
        return x.item()
    if x is None or isinstance(x, (str, bytes)):
        raise TypeError(f"elementwise: an operand must be a tensor or a number, got {type(x).__name__}")
    return Tensor(as_array(x))


def _in(x: Any, dtype: DType, device: str) -> Any:
    if not isinstance(x, Tensor):
        return x
    a = _C.cast(x.array, dtype)
    return _C.to_device(a, device) if a.ndim == 0 and a.device != device else a


def _promoted(a: Any, b: Any, floating: builtins.bool) -> tuple[Any, Any]:
    """Both operands in the result's dtype: Arrays, at most one a number."""
    dtype = result_type(a, b)
    if floating and dtype.kind != "f":
        dtype = _FLOAT32
    first, second = (
        (a, b) if isinstance(a, Tensor) and (a.array.ndim or not isinstance(b, Tensor)) else (b, a)
    )
    device = (first if isinstance(first, Tensor) else second).array.device
    return _in(a, dtype, device), _in(b, dtype, device)


def _apply(
    op: Callable[..., _C.Array], a: Any, b: Any, floating: builtins.bool = False
) -> tuple[_C.Array, Any, Any]:
    """op(a, b) and what it was computed from (Arrays of one dtype, or a number)."""
    x = a.array if isinstance(a, Tensor) else a
    y = b.array if isinstance(b, Tensor) else b
    try:
        return op(x, y), x, y
    except TypeError:
        pass
    a, b = _operand(a), _operand(b)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = Tensor(as_array(a))
    x, y = _promoted(a, b, floating)
    if not isinstance(x, _C.Array) and op in _NO_LEFT_NUMBER:
        x = _C.full((), x, y.dtype, y.device)
    return op(x, y), x, y


_NO_LEFT_NUMBER = (_C.eq, _C.ne, _C.lt, _C.le, _C.gt, _C.ge)


def _back_to(g: _C.Array, x: _C.Array) -> _C.Array:
    """A gradient summed to the operand's shape, in its dtype."""
    return _C.cast(_C.sum_to(g, x.shape), x.dtype)


def _record(name: str, data: _C.Array, a: Any, b: Any, da: Grad, db: Grad) -> Tensor:
    """da and db give the gradients in the result's shape and dtype."""
    ta, tb = isinstance(a, Tensor), isinstance(b, Tensor)
    if not ((ta and a.requires_grad) or (tb and b.requires_grad)):
        return Tensor(data)

    def backward(g: _C.Array, needs: tuple[builtins.bool, ...]) -> tuple[_C.Array | None, ...]:
        if not tb:
            return (_back_to(da(g), a.array),)
        if not ta:
            return (_back_to(db(g), b.array),)
        return (
            _back_to(da(g), a.array) if needs[0] else None,
            _back_to(db(g), b.array) if needs[1] else None,
        )

    backward.__qualname__ = name
    return record(data, (a, b) if ta and tb else (a,) if ta else (b,), backward)


# ---- arithmetic ------------------------------------------------------------------------------------------


def add(input: Operand, other: Operand, *, alpha: Number = 1) -> Tensor:
    """input + alpha · other.

    >>> import dlcore
    >>> dlcore.functional.add(dlcore.tensor([1.0, 2.0]), 1).tolist()
    [2.0, 3.0]
    """
    if alpha != 1:
        other = mul(other, alpha)
    data, _, _ = _apply(_C.add, input, other)
    return _record("add", data, input, other, lambda g: g, lambda g: g)


def sub(input: Operand, other: Operand, *, alpha: Number = 1) -> Tensor:
    """input − alpha · other. Raises TypeError for two bools."""
    if alpha != 1:
        other = mul(other, alpha)
    data, _, _ = _apply(_C.sub, input, other)
    if data.dtype.kind == "b":
        raise TypeError("sub: bool operands cannot be subtracted; use logical_xor or logical_not")
    return _record("sub", data, input, other, lambda g: g, _C.neg)


def mul(input: Operand, other: Operand) -> Tensor:
    """input · other."""
    data, x, y = _apply(_C.mul, input, other)
    return _record("mul", data, input, other, lambda g: _C.mul(g, y), lambda g: _C.mul(g, x))


def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; integers give float32. rounding_mode: None, "floor" or "trunc" (which keep integers).

    >>> import dlcore
    >>> dlcore.functional.div(dlcore.tensor([7]), dlcore.tensor([2])).tolist()
    [3.5]
    """
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode is not None and rounding_mode != "trunc":
        raise ValueError(f"div: rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}")
    if rounding_mode == "trunc":
        x, y = _operand(input), _operand(other)
        if result_type(x, y).kind != "f":
            return div(sub(x, fmod(x, y)), y, rounding_mode="floor")
        return trunc(div(x, y))
    data, x, y = _apply(_C.div, input, other, floating=True)
    return _record(
        "div", data, input, other, lambda g: _C.div(g, y), lambda g: _C.neg(_C.div(_C.mul(g, data), y))
    )


def _nonzero(op: str, y: Any) -> None:
    zero = y == 0 if not isinstance(y, _C.Array) else bool(_C.amax(_C.eq(y, 0)).item()) if y.size else False
    if zero:
        raise ZeroDivisionError(f"{op}: an integer cannot be divided by zero")


def _integer_division(op: str, kernel: Callable[..., _C.Array], a: Any, b: Any) -> tuple[_C.Array, Any, Any]:
    a, b = _operand(a), _operand(b)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = Tensor(as_array(a))
    dtype = result_type(a, b)
    if dtype.kind == "b":
        raise TypeError(f"{op}: operands must not both be bool")
    if dtype.kind != "f":
        _nonzero(op, b.array if isinstance(b, Tensor) else b)
    return _apply(kernel, a, b)


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """⌊input / other⌋, as Python's `//`. Not differentiable (its gradient is 0)."""
    data, _, _ = _integer_division("floor_divide", _C.floor_divide, input, other)
    return Tensor(data)


def remainder(input: Operand, other: Operand) -> Tensor:
    """input − other ⌊input / other⌋, as Python's `%`: the sign of `other`."""
    data, x, y = _integer_division("remainder", _C.remainder, input, other)
    return _record(
        "remainder", data, input, other, lambda g: g, lambda g: _C.neg(_C.mul(g, _C.floor(_true_div(x, y))))
    )


def fmod(input: Operand, other: Operand) -> Tensor:
    """input − other trunc(input / other), as C's fmod: the sign of `input`."""
    data, x, y = _integer_division("fmod", _C.fmod, input, other)
    return _record(
        "fmod", data, input, other, lambda g: g, lambda g: _C.neg(_C.mul(g, _C.trunc(_true_div(x, y))))
    )


def _true_div(x: Any, y: Any) -> _C.Array:
    return _C.div(x, y)


def pow(input: Operand, exponent: Operand) -> Tensor:
    """input ^ exponent. Raises ValueError for integers to a negative integer power."""
    x, p = _operand(input), _operand(exponent)
    if isinstance(p, (builtins.float, builtins.int)) and isinstance(x, Tensor):
        if x.array.dtype.kind == "f":
            if p == 2:
                return square(x)
            if p == 1:
                return mul(x, 1)
            if p == 0.5:
                return sqrt(x)
            if p == -1:
                return reciprocal(x)
            if p == -0.5:
                return rsqrt(x)
            if p == 3:
                return mul(square(x), x)
        elif isinstance(p, builtins.int) and p < 0:
            raise ValueError(f"pow: integers to negative integer powers are not allowed, got exponent={p}")
    elif (
        isinstance(p, Tensor)
        and result_type(x, p).kind != "f"
        and p.array.size
        and _C.amin(p.array).item() < 0
    ):
        raise ValueError("pow: integers to negative integer powers are not allowed")
    data, a, b = _apply(_C.pow, x, p)

    def da(g: _C.Array) -> _C.Array:
        if not isinstance(b, _C.Array):
            return (
                _C.full(g.shape, 0, g.dtype, g.device) if b == 0 else _C.mul(g, _C.mul(_C.pow(a, b - 1), b))
            )
        d = _C.mul(g, _C.mul(b, _C.pow(a, _C.sub(b, 1))))
        return _C.where(_C.eq(b, 0), 0, d)

    def db(g: _C.Array) -> _C.Array:
        base = a if isinstance(a, _C.Array) else _C.full((), a, g.dtype, g.device)
        d = _C.mul(g, _C.mul(data, _C.log(base)))
        zero = _C.logical_and(_C.eq(base, 0), _C.ge(b, 0))
        return _C.where(zero, 0, d)

    return _record("pow", data, x, p, da, db)


def _extreme(name: str, op: Callable[..., _C.Array], wins: Callable[..., _C.Array], a: Any, b: Any) -> Tensor:
    a, b = _operand(a), _operand(b)
    data, x, y = _apply(op, a, b)

    def share(g: _C.Array, u: Any, v: Any) -> _C.Array:  # half each where they are equal
        u = u if isinstance(u, _C.Array) else _C.full((), u, g.dtype, g.device)
        half = _C.where(_C.eq(u, v), _C.mul(g, 0.5), g)
        return _C.where(wins(u, v), half, 0)

    return _record(name, data, a, b, lambda g: share(g, x, y), lambda g: share(g, y, x))


def maximum(input: Operand, other: Operand) -> Tensor:
    """max(input, other), NaN where either is; equal elements share the gradient."""
    return _extreme("maximum", _C.maximum, _C.ge, input, other)


def minimum(input: Operand, other: Operand) -> Tensor:
    """min(input, other), NaN where either is; equal elements share the gradient."""
    return _extreme("minimum", _C.minimum, _C.le, input, other)


def atan2(input: Operand, other: Operand) -> Tensor:
    """The angle of the point (other, input)."""
    data, x, y = _apply(_C.atan2, input, other, floating=True)

    def norm(g: _C.Array) -> _C.Array:
        return _C.div(g, _C.add(_C.mul(x, x), _C.mul(y, y)))

    return _record(
        "atan2", data, input, other, lambda g: _C.mul(norm(g), y), lambda g: _C.neg(_C.mul(norm(g), x))
    )


# ---- functions of one operand ----------------------------------------------------------------------------


def _floating(x: _C.Array) -> _C.Array:
    return x if x.dtype.kind == "f" else _C.cast(x, _FLOAT32)


def unary(
    name: str,
    input: Tensor,
    p: builtins.float = 0.0,
    q: builtins.float = 0.0,
    *,
    saves_output: builtins.bool = False,
    integers: builtins.bool = False,
) -> Tensor:
    """One kernel forward, one backward; integers become float32 unless the function has them."""
    op: Callable[..., _C.Array] = getattr(_C, name)
    x = input.array
    try:
        y = op(x, p, q)
    except TypeError:
        if integers:
            raise
        x = _floating(x)
        y = op(x, p, q)
    if not input.requires_grad:
        return Tensor(y)
    saved = y if saves_output else x

    def backward(g: _C.Array, needs: tuple[builtins.bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.unary_backward(name, g, saved, p, q),)

    backward.__qualname__ = name
    return record(y, (input,), backward)


def inplace(name: str, input: Tensor, f: Callable[[Tensor], Tensor], *args: builtins.float) -> Tensor:
    """`input` becomes f(input), in its own memory; `args` are the kernel's where nothing is recorded."""
    if not (input.requires_grad and is_grad_enabled()):
        _C.unary_(name, input.array, *args)
        return input
    return replace(input, f)


replace = in_place  # replace(x, f): x becomes f(x)


def binary_inplace(name: str, input: Tensor, other: Any) -> Tensor:
    """input = input op other, in its memory where nothing is recorded; its dtype must hold the result's."""
    other = _operand(other)
    f = {"add": add, "sub": sub, "mul": mul, "div": div}[name]
    result = result_type(input, other)
    if name == "div" and result.kind != "f":
        result = _FLOAT32
    dtype = input.array.dtype
    if _CATEGORY[result.kind] > _CATEGORY[dtype.kind]:
        raise TypeError(f"{name}_: a result of dtype {result} cannot be stored in {dtype}")
    if is_grad_enabled() and (input.requires_grad or (isinstance(other, Tensor) and other.requires_grad)):
        return replace(input, lambda x: f(x, other))
    if isinstance(other, Tensor):
        y = _in(other, dtype, input.array.device)
    else:
        y = _C.full((), other, dtype, input.array.device)
    _C.binary_(name, input.array, y)
    return input


def neg(input: Tensor) -> Tensor:
    """−x."""
    return unary("neg", input, integers=True)


def abs(input: Tensor) -> Tensor:
    """|x|; the gradient at 0 is 0."""
    return unary("abs", input, integers=True)


def square(input: Tensor) -> Tensor:
    """x²."""
    if input.array.dtype.kind == "b":
        return Tensor(_C.cast(input.array, _INT64))
    return unary("square", input, integers=True)


def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1; 0 for NaN."""
    return unary("sign", input, integers=True)


def floor(input: Tensor) -> Tensor:
    """⌊x⌋."""
    return unary("floor", input, integers=True)


def ceil(input: Tensor) -> Tensor:
    """⌈x⌉."""
    return unary("ceil", input, integers=True)


def trunc(input: Tensor) -> Tensor:
    """x without its fraction."""
    return unary("trunc", input, integers=True)


def round(input: Tensor, *, decimals: builtins.int = 0) -> Tensor:
    """The nearest integer, ties to even; the nearest multiple of 10^−decimals."""
    if decimals:
        return div(unary("round", mul(input, 10.0**decimals)), 10.0**decimals)
    return unary("round", input, integers=True)


def exp(input: Tensor) -> Tensor:
    """eˣ.

    >>> import dlcore
    >>> dlcore.functional.exp(dlcore.tensor([0.0])).tolist()
    [1.0]
    """
    return unary("exp", input, saves_output=True)


def expm1(input: Tensor) -> Tensor:
    """eˣ − 1, accurate near 0."""
    return unary("expm1", input, saves_output=True)


def log(input: Tensor) -> Tensor:
    """ln x; −inf at 0, NaN below."""
    return unary("log", input)


def log1p(input: Tensor) -> Tensor:
    """ln(1 + x), accurate near 0."""
    return unary("log1p", input)


def log2(input: Tensor) -> Tensor:
    """log₂ x."""
    return unary("log2", input)


def log10(input: Tensor) -> Tensor:
    """log₁₀ x."""
    return unary("log10", input)


def sqrt(input: Tensor) -> Tensor:
    """√x; NaN below 0."""
    return unary("sqrt", input, saves_output=True)


def rsqrt(input: Tensor) -> Tensor:
    """1 / √x."""
    return unary("rsqrt", input, saves_output=True)


def reciprocal(input: Tensor) -> Tensor:
    """1 / x."""
    return unary("reciprocal", input, saves_output=True)


def sin(input: Tensor) -> Tensor:
    """sin x, x in radians."""
    return unary("sin", input)


def cos(input: Tensor) -> Tensor:
    """cos x, x in radians."""
    return unary("cos", input)


def tan(input: Tensor) -> Tensor:
    """tan x, x in radians."""
    return unary("tan", input, saves_output=True)


def erf(input: Tensor) -> Tensor:
    """2/√π ∫₀ˣ e^(−t²) dt."""
    return unary("erf", input)


# ---- comparison and logic --------------------------------------------------------------------------------


def _compare(op: Callable[..., _C.Array], a: Any, b: Any) -> Tensor:
    return Tensor(_apply(op, a, b)[0])


def eq(input: Operand, other: Operand) -> Tensor:
    """input == other, elementwise."""
    return _compare(_C.eq, input, other)


def ne(input: Operand, other: Operand) -> Tensor:
    """input != other, elementwise."""
    return _compare(_C.ne, input, other)


def lt(input: Operand, other: Operand) -> Tensor:
    """input < other, elementwise."""
    return _compare(_C.lt, input, other)


def le(input: Operand, other: Operand) -> Tensor:
    """input <= other, elementwise."""
    return _compare(_C.le, input, other)


def gt(input: Operand, other: Operand) -> Tensor:
    """input > other, elementwise."""
    return _compare(_C.gt, input, other)


def ge(input: Operand, other: Operand) -> Tensor:
    """input >= other, elementwise."""
    return _compare(_C.ge, input, other)


def truth(x: Any) -> _C.Array:
    """x != 0 as bools."""
    a = x.array if isinstance(x, Tensor) else as_array(x)
    return a if a.dtype.kind == "b" else _C.ne(a, 0)


def logical_and(input: Operand, other: Operand) -> Tensor:
    """Both are not 0."""
    return Tensor(_C.logical_and(truth(input), truth(other)))


def logical_or(input: Operand, other: Operand) -> Tensor:
    """One at least is not 0."""
    return Tensor(_C.logical_or(truth(input), truth(other)))


def logical_xor(input: Operand, other: Operand) -> Tensor:
    """Exactly one is not 0."""
    return Tensor(_C.logical_xor(truth(input), truth(other)))


def logical_not(input: Tensor) -> Tensor:
    """x == 0."""
    return Tensor(_C.eq(input.array, False))


def isnan(input: Tensor) -> Tensor:
    """Where x is NaN."""
    return Tensor(_C.ne(input.array, input.array))


def isinf(input: Tensor) -> Tensor:
    """Where x is ±inf."""
    if input.array.dtype.kind != "f":
        return Tensor(_C.ne(input.array, input.array))
    return Tensor(_C.eq(_C.abs(input.array), float("inf")))


def isfinite(input: Tensor) -> Tensor:
    """Where x is neither NaN nor ±inf."""
    if input.array.dtype.kind != "f":
        return Tensor(_C.eq(input.array, input.array))
    return Tensor(_C.lt(_C.abs(input.array), float("inf")))


# ---- choice ----------------------------------------------------------------------------------------------


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """input where condition is true, other elsewhere; all three broadcast.

    With a condition alone, the indices where it is true, one tensor a dimension.

    >>> import dlcore
    >>> dlcore.functional.where(dlcore.tensor([True, False]), dlcore.tensor([1.0, 2.0]), 0.0).tolist()
    [1.0, 0.0]
    """
    if input is None and other is None:
        return tuple(Tensor(as_array(i)) for i in np.nonzero(np.atleast_1d(condition.detach().cpu().numpy())))
    a, b = _operand(input), _operand(other)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = Tensor(_C.full((), a, result_type(a, b), condition.array.device))
    c = condition.array
    if c.dtype.kind != "b":
        raise TypeError(f"where: condition must be bool, got condition={c.dtype}")
    x, y = (v.array if isinstance(v, Tensor) else v for v in (a, b))
    try:
        data = _C.where(c, x, y)
    except TypeError:
        x, y = _promoted(a, b, False)
        data = _C.where(c, x, y)
    return _record("where", data, a, b, lambda g: _C.where(c, g, 0), lambda g: _C.where(c, 0, g))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value where mask is true, input elsewhere; input's dtype. mask broadcasts.

    >>> import dlcore
    >>> dlcore.functional.masked_fill(dlcore.tensor([1.0, 2.0]), dlcore.tensor([True, False]), -1).tolist()
    [-1.0, 2.0]
    """
    if mask.array.dtype.kind != "b":
        raise TypeError(f"masked_fill: mask must be bool, got mask={mask.array.dtype}")
    value = _operand(value)
    if isinstance(value, Tensor) and value.array.ndim:
        raise ValueError(
            f"masked_fill: value must be a number or a 0-d tensor, got value={value.array.shape}"
        )
    x, c = input.array, mask.array
    if isinstance(value, builtins.float) and x.dtype.kind != "f":  # towards zero, as torch converts it
        if x.dtype.kind != "b" and not np.iinfo(x.dtype).min <= value <= np.iinfo(x.dtype).max:
            raise ValueError(f"masked_fill: value must be one that {x.dtype} holds, got {value!r}")
        value = builtins.bool(value) if x.dtype.kind == "b" else builtins.int(value)
    v = _in(value, x.dtype, x.device)
    data = _C.where(c, v, x)
    return _record(
        "masked_fill", data, value, input, lambda g: _C.where(c, g, 0), lambda g: _C.where(c, 0, g)
    )


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """min(max(x, min), max); numbers or tensors that broadcast. The gradient passes where min <= x <= max.

    >>> import dlcore
    >>> dlcore.functional.clamp(dlcore.tensor([-2.0, 0.5, 2.0]), -1, 1).tolist()
    [-1.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        for bound in (min, max):
            if bound is not None and not isinstance(bound, (builtins.float, builtins.int)):
                return (
                    clamp(input, _operand(min), _operand(max))
                    if isinstance(bound, np.generic)
                    else clamp(
                        input, None if min is None else _operand(min), None if max is None else _operand(max)
                    )
                )
        kinds = [result_type(input, b) for b in (min, max) if b is not None]
        x = input
        if any(k.kind == "f" for k in kinds) and input.array.dtype.kind != "f":
            x = Tensor(_C.cast(input.array, _FLOAT32))
        elif input.array.dtype.kind == "b":
            x = Tensor(_C.cast(input.array, _INT64))
        lo = -float("inf") if min is None else float(min)
        hi = float("inf") if max is None else float(max)
        if lo != lo or hi != hi:
            lo = hi = float("nan")
            return mul(x, lo)
        return unary("clamp", x, lo, hi, integers=True)
    y = input
    inside: Any = None
    for bound, op, keeps in ((min, _C.maximum, _C.ge), (max, _C.minimum, _C.le)):
        if bound is None:
            continue
        data, x, b = _apply(op, y, bound)
        inside = keeps(x if isinstance(x, _C.Array) else as_array(x), b)

        def da(g: _C.Array, m: _C.Array = inside) -> _C.Array:
            return _C.where(m, g, 0)

        def db(g: _C.Array, m: _C.Array = inside) -> _C.Array:
            return _C.where(m, 0, g)

        y = _record("clamp", data, y, bound, da, db)
    return y


absolute, clip, divide, multiply, negative, subtract, true_divide = abs, clamp, div, mul, neg, sub, div
