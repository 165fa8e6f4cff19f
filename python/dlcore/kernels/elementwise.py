"""Elementwise kernels on ndarrays. Operands of one call share a dtype; a Python number takes the other's.

A function f of one operand has `f_backward(dy, saved)`, where `saved` is the output for relu, exp, expm1,
sqrt, rsqrt, reciprocal, tan, tanh and sigmoid, and the input for the others. Parameters are positional.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out

__all__ = [
    "abs",
    "abs_backward",
    "add",
    "atan2",
    "ceil",
    "ceil_backward",
    "clamp",
    "clamp_backward",
    "cos",
    "cos_backward",
    "div",
    "elu",
    "elu_backward",
    "eq",
    "erf",
    "erf_backward",
    "exp",
    "exp_backward",
    "expm1",
    "expm1_backward",
    "floor",
    "floor_backward",
    "floor_divide",
    "fmod",
    "full",
    "ge",
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "gt",
    "hardshrink",
    "hardshrink_backward",
    "hardsigmoid",
    "hardsigmoid_backward",
    "hardswish",
    "hardswish_backward",
    "hardtanh",
    "hardtanh_backward",
    "huber",
    "huber_backward",
    "le",
    "leaky_relu",
    "leaky_relu_backward",
    "log",
    "log1p",
    "log1p_backward",
    "log2",
    "log2_backward",
    "log10",
    "log10_backward",
    "log_backward",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logistic_loss",
    "logistic_slope",
    "logsigmoid",
    "logsigmoid_backward",
    "lt",
    "maximum",
    "minimum",
    "mish",
    "mish_backward",
    "mul",
    "ne",
    "neg",
    "neg_backward",
    "pow",
    "reciprocal",
    "reciprocal_backward",
    "relu",
    "relu_backward",
    "remainder",
    "round",
    "round_backward",
    "rsqrt",
    "rsqrt_backward",
    "sigmoid",
    "sigmoid_backward",
    "sign",
    "sign_backward",
    "silu",
    "silu_backward",
    "sin",
    "sin_backward",
    "softplus",
    "softplus_backward",
    "softshrink",
    "softshrink_backward",
    "softsign",
    "softsign_backward",
    "sqrt",
    "sqrt_backward",
    "square",
    "square_backward",
    "sub",
    "tan",
    "tan_backward",
    "tanh",
    "tanh_backward",
    "threshold",
    "threshold_backward",
    "trunc",
    "trunc_backward",
    "where",
]

Unary = Callable[..., NDArray]
Binary = Callable[[Any, Any], NDArray]


def _operand(x: Any) -> Any:
    return x if isinstance(x, (float, int)) else arr(x)


def _unary(name: str, formula: str, *defaults: float) -> tuple[Unary, Unary]:
    op = getattr(_C, name)

    def forward(x: npt.ArrayLike, *parameters: float) -> NDArray:
        return out(op(arr(x), *(parameters or defaults)))

    def backward(dy: npt.ArrayLike, saved: npt.ArrayLike, *parameters: float) -> NDArray:
        return out(_C.unary_backward(name, arr(dy), arr(saved), *(parameters or defaults)))

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = formula
    backward.__name__ = backward.__qualname__ = f"{name}_backward"
    backward.__doc__ = f"The gradient of {formula}"
    return forward, backward


def _binary(name: str, formula: str) -> Binary:
    op = getattr(_C, name)

    def forward(a: Any, b: Any) -> NDArray:
        return out(op(_operand(a), _operand(b)))

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = formula
    return forward


neg, neg_backward = _unary("neg", "-x")
abs, abs_backward = _unary("abs", "|x|")
square, square_backward = _unary("square", "x^2")
sign, sign_backward = _unary("sign", "-1, 0 or 1")
floor, floor_backward = _unary("floor", "the largest integer <= x")
ceil, ceil_backward = _unary("ceil", "the smallest integer >= x")
round, round_backward = _unary("round", "the nearest integer, ties to even")
trunc, trunc_backward = _unary("trunc", "x without its fraction")
exp, exp_backward = _unary("exp", "e^x")
expm1, expm1_backward = _unary("expm1", "e^x - 1")
log, log_backward = _unary("log", "ln x")
log1p, log1p_backward = _unary("log1p", "ln(1 + x)")
log2, log2_backward = _unary("log2", "log2 x")
log10, log10_backward = _unary("log10", "log10 x")
sqrt, sqrt_backward = _unary("sqrt", "x^(1/2)")
rsqrt, rsqrt_backward = _unary("rsqrt", "x^(-1/2)")
reciprocal, reciprocal_backward = _unary("reciprocal", "1 / x")
sin, sin_backward = _unary("sin", "sin x")
cos, cos_backward = _unary("cos", "cos x")
tan, tan_backward = _unary("tan", "tan x")
erf, erf_backward = _unary("erf", "the error function")
clamp, clamp_backward = _unary("clamp", "min(max(x, p), q)", -float("inf"), float("inf"))
relu, relu_backward = _unary("relu", "max(x, 0)")
sigmoid, sigmoid_backward = _unary("sigmoid", "1 / (1 + e^-x)")
tanh, tanh_backward = _unary("tanh", "tanh x")
gelu, gelu_backward = _unary("gelu", "x Phi(x)")
gelu_tanh, gelu_tanh_backward = _unary("gelu_tanh", "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2")
silu, silu_backward = _unary("silu", "x sigmoid(x)")
softplus, softplus_backward = _unary("softplus", "log(1 + e^(p x)) / p, x where p x > q", 1.0, 20.0)
leaky_relu, leaky_relu_backward = _unary("leaky_relu", "x where x > 0, p x elsewhere", 0.01)
elu, elu_backward = _unary("elu", "q x where x > 0, q p (e^x - 1) elsewhere", 1.0, 1.0)
hardtanh, hardtanh_backward = _unary("hardtanh", "min(max(x, p), q)", -1.0, 1.0)
hardswish, hardswish_backward = _unary("hardswish", "x min(max(x + 3, 0), 6) / 6")
hardsigmoid, hardsigmoid_backward = _unary("hardsigmoid", "min(max(x + 3, 0), 6) / 6")
mish, mish_backward = _unary("mish", "x tanh(log(1 + e^x))")
softsign, softsign_backward = _unary("softsign", "x / (1 + |x|)")
logsigmoid, logsigmoid_backward = _unary("logsigmoid", "log sigmoid(x)")
hardshrink, hardshrink_backward = _unary("hardshrink", "0 where |x| <= p, x elsewhere", 0.5)
softshrink, softshrink_backward = _unary("softshrink", "x - p above p, x + p below -p, 0 between", 0.5)
huber, huber_backward = _unary("huber", "q x^2 / 2 where |x| <= p, q p (|x| - p / 2) elsewhere", 1.0, 1.0)
threshold, threshold_backward = _unary("threshold", "x where x > p, q elsewhere", 0.0, 0.0)

add = _binary("add", "a + b")
sub = _binary("sub", "a - b")
mul = _binary("mul", "a b")
div = _binary("div", "a / b")
floor_divide = _binary("floor_divide", "floor(a / b)")
remainder = _binary("remainder", "a - b floor(a / b)")
fmod = _binary("fmod", "a - b trunc(a / b)")
pow = _binary("pow", "a^b")
maximum = _binary("maximum", "max(a, b), NaN where either is")
minimum = _binary("minimum", "min(a, b), NaN where either is")
atan2 = _binary("atan2", "the angle of the point (b, a)")
logical_and = _binary("logical_and", "a and b, of bools")
logical_or = _binary("logical_or", "a or b, of bools")
logical_xor = _binary("logical_xor", "a != b, of bools")
logistic_loss = _binary("logistic_loss", "log(1 + e^a) - a b")
logistic_slope = _binary("logistic_slope", "1 / (1 + e^-a) - b")
eq = _binary("eq", "a == b")
ne = _binary("ne", "a != b")
lt = _binary("lt", "a < b")
le = _binary("le", "a <= b")
gt = _binary("gt", "a > b")
ge = _binary("ge", "a >= b")


def where(condition: npt.ArrayLike, a: Any, b: Any) -> NDArray:
    """a where condition is true, b elsewhere; all broadcast.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.where(np.array([True, False]), np.array([1.0, 2.0]), 0.0).tolist()
    [1.0, 0.0]
    """
    return out(_C.where(arr(condition), _operand(a), _operand(b)))


def full(shape: tuple[int, ...], value: float, dtype: npt.DTypeLike = np.float32) -> NDArray:
    """`value` everywhere."""
    return out(_C.full(shape, value, np.dtype(dtype)))
