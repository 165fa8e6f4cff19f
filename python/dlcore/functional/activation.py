"""Activations under torch's names: a kernel forward, a kernel backward. `inplace=True` changes the input."""

from __future__ import annotations

import builtins

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.elementwise import add, mul, replace, unary
from dlcore.functional.elementwise import inplace as _inplace
from dlcore.tensor import Tensor

__all__ = [
    "celu", "elu", "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid",
    "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
    "tanhshrink", "threshold",
]  # fmt: skip


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    >>> import dlcore
    >>> dlcore.functional.relu(dlcore.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if inplace:
        return _inplace("relu", input, relu)
    return unary("relu", input, saves_output=True, integers=True)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)."""
    return unary("sigmoid", input, saves_output=True)


def tanh(input: Tensor) -> Tensor:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return unary("tanh", input, saves_output=True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(x, min_val), max_val). Raises ValueError for min_val > max_val."""
    if min_val > max_val:
        raise ValueError(
            f"hardtanh: min_val must not be above max_val, got min_val={min_val}, max_val={max_val}"
        )
    if inplace:
        return _inplace("hardtanh", input, lambda x: hardtanh(x, min_val, max_val), min_val, max_val)
    return unary("hardtanh", input, min_val, max_val)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, negative_slope · x elsewhere."""
    if inplace:
        return _inplace("leaky_relu", input, lambda x: leaky_relu(x, negative_slope), negative_slope)
    return unary("leaky_relu", input, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, weight · x elsewhere; weight () or (1,), or (C,) along axis 1."""
    w = weight.array
    channels = input.array.shape[1] if input.array.ndim > 1 else 1
    if w.ndim > 1 or (w.size != 1 and w.size != channels):
        raise ValueError(f"prelu: weight must have 1 or {channels} elements, got weight={w.shape}")
    x = input.array
    shape = (w.size, *([1] * (x.ndim - 2))) if x.ndim > 1 else ((1,) * x.ndim)
    slope = _C.reshape(w, shape)
    positive = _C.gt(x, 0)
    y = _C.where(positive, x, _C.mul(x, slope))

    def prelu_backward(g: _C.Array, needs: tuple[builtins.bool, ...]) -> tuple[_C.Array | None, ...]:
        dx = _C.where(positive, g, _C.mul(g, slope)) if needs[0] else None
        if not needs[1]:
            return dx, None
        dw = _C.sum_to(_C.where(positive, 0, _C.mul(g, x)), shape)
        return dx, _C.reshape(dw, w.shape)

    return record(y, (input, weight), prelu_backward)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, alpha (eˣ − 1) elsewhere."""
    if inplace:
        return _inplace("elu", input, lambda x: elu(x, alpha), alpha, 1.0)
    return unary("elu", input, alpha, 1.0)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """λ elu(x, α) with λ = 1.0507…, α = 1.6733… (Klambauer et al., 2017)."""
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    if inplace:
        return _inplace("elu", input, selu, alpha, scale)
    return unary("elu", input, alpha, scale)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(x, 0) + min(0, alpha (e^(x / alpha) − 1))."""
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0")
    if inplace:
        return replace(input, lambda x: celu(x, alpha))
    return elu(input) if alpha == 1 else mul(elu(mul(input, 1 / alpha)), alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution; "tanh": ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))).

    Hendrycks & Gimpel, 2016.

    >>> import dlcore
    >>> dlcore.functional.gelu(dlcore.tensor([0.0])).tolist()
    [0.0]
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return unary("gelu" if approximate == "none" else "gelu_tanh", input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x)."""
    return _inplace("silu", input, silu) if inplace else unary("silu", input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x)) (Misra, 2019)."""
    return _inplace("mish", input, mish) if inplace else unary("mish", input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta; x itself where beta x > threshold."""
    return unary("softplus", input, beta, threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return unary("softsign", input)


def tanhshrink(input: Tensor) -> Tensor:
    """x − tanh(x)."""
    return add(input, tanh(input), alpha=-1)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x min(max(x + 3, 0), 6) / 6 (Howard et al., 2019)."""
    return _inplace("hardswish", input, hardswish) if inplace else unary("hardswish", input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return _inplace("hardsigmoid", input, hardsigmoid) if inplace else unary("hardsigmoid", input)


def logsigmoid(input: Tensor) -> Tensor:
    """log sigmoid(x), without underflow."""
    return unary("logsigmoid", input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, value elsewhere."""
    if inplace:
        old = threshold

        def again(x: Tensor) -> Tensor:
            return unary("threshold", x, old, value)

        return _inplace("threshold", input, again, threshold, value)
    return unary("threshold", input, threshold, value)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along dim (Dauphin et al., 2016). ValueError for an odd size."""
    x = input.array
    if x.ndim == 0 or x.shape[dim] % 2:
        raise ValueError(f"glu: the axis must have an even size, got input={x.shape}, dim={dim}")
    half = x.shape[dim] // 2
    a = _C.slice(x, dim, 0, half, 1)
    gate = _C.sigmoid(_C.slice(x, dim, half, half, 1))
    y = _C.mul(a, gate)

    def glu_backward(g: _C.Array, needs: tuple[builtins.bool, ...]) -> tuple[_C.Array | None, ...]:
        da = _C.mul(g, gate)
        db = _C.unary_backward("sigmoid", _C.mul(g, a), gate)
        return (_C.concatenate([da, db], dim),)

    return record(y, (input,), glu_backward)
