"""Activations under torch's names: a kernel forward, a kernel backward. `inplace=True` changes the input."""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.elementwise import add, expm1, minimum, mul, replace, unary, where
from dlcore.functional.elementwise import inplace as _inplace
from dlcore.functional.softmax import softmax
from dlcore.random import get_generator
from dlcore.tensor import Tensor

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
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


def _prelu_of_one(input: Tensor, weight: Tensor) -> Tensor:
    """One slope: leaky_relu's kernels."""
    x, w = input.array, weight.array
    slope = float(w.item())

    def prelu_backward(g: _C.Array, needs: tuple[builtins.bool, ...]) -> tuple[_C.Array | None, ...]:
        dx = _C.unary_backward("leaky_relu", g, x, slope) if needs[0] else None
        dw = _C.reshape(_C.sum(_C.mul(g, _C.minimum(x, 0.0))), w.shape) if needs[1] else None
        return dx, dw

    return record(_C.leaky_relu(x, slope), (input, weight), prelu_backward)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, weight · x elsewhere; weight () or (1,), or (C,) along axis 1."""
    w = weight.array
    channels = input.array.shape[1] if input.array.ndim > 1 else 1
    if w.ndim > 1 or (w.size != 1 and w.size != channels):
        raise ValueError(f"prelu: weight must have 1 or {channels} elements, got weight={w.shape}")
    x = input.array
    if w.size == 1:
        return _prelu_of_one(input, weight)
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
    if alpha == 1:
        return elu(input)
    if alpha < 0:
        below = mul(expm1(mul(minimum(input, 0.0), 1 / alpha)), alpha)
        result: Tensor = where(input > 0, input, below)
        return result
    return mul(elu(mul(input, 1 / alpha)), alpha)


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
    return threshold_(input, threshold, value) if inplace else unary("threshold", input, threshold, value)


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


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where |x| <= lambd, x elsewhere.

    >>> import dlcore
    >>> dlcore.functional.hardshrink(dlcore.tensor([-1.0, 0.25])).tolist()
    [-1.0, 0.0]
    """
    return unary("hardshrink", input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x - lambd above lambd, x + lambd below -lambd, 0 between. ValueError for a negative lambd.

    >>> import dlcore
    >>> dlcore.functional.softshrink(dlcore.tensor([-1.0, 0.25])).tolist()
    [-0.5, 0.0]
    """
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd must not be negative, got lambd={lambd}")
    return unary("softshrink", input, lambd)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    rng: Any = None,
) -> Tensor:
    """x where x > 0, a x elsewhere; a is drawn from U(lower, upper) for each element in training, else their
    mean.

    `rng` as in `dropout`. Raises ValueError for lower > upper. Xu et al.: Empirical evaluation of rectified
    activations (2015).

    >>> import dlcore
    >>> dlcore.functional.rrelu(dlcore.tensor([-4.0, 1.0]), 0.25, 0.75).tolist()
    [-2.0, 1.0]
    """
    if not lower <= upper:
        raise ValueError(f"rrelu: lower must not be above upper, got lower={lower}, upper={upper}")
    if inplace:
        return replace(input, lambda x: rrelu(x, lower, upper, training, rng=rng))
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    x = input.array
    draws = get_generator(rng).uniform(lower, upper, x.shape).astype(x.dtype)
    slope = _C.where(_C.gt(x, 0), 1.0, _C.to_device(_C.from_numpy(draws), x.device))

    def rrelu_backward(g: _C.Array, needs: tuple[builtins.bool, ...]) -> tuple[_C.Array | None, ...]:
        return (_C.mul(g, slope),)

    return record(_C.mul(x, slope), (input,), rrelu_backward)


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    rng: Any = None,
) -> Tensor:
    """softmax((x + e) / tau) along `dim`, e being drawn from Gumbel(0, 1); `hard` gives its largest element
    as one-hot, with the gradient of the soft one.

    `eps` has no effect and is deprecated; `rng` as in `dropout`. Jang et al.: Categorical reparameterization
    with Gumbel-softmax (ICLR 2017).

    >>> import dlcore
    >>> y = dlcore.functional.gumbel_softmax(dlcore.zeros(2, 3), hard=True, rng=0)
    >>> y.sum(-1).tolist()
    [1.0, 1.0]
    """
    if eps != 1e-10:
        warnings.warn("gumbel_softmax: eps is deprecated and has no effect", UserWarning, stacklevel=2)
    x = logits.array
    if x.dtype.kind != "f":
        raise TypeError(f"gumbel_softmax: logits must be float32 or float64, got {x.dtype}")
    draws = get_generator(rng).gumbel(size=x.shape)
    noise = Tensor(_C.to_device(_C.from_numpy(np.asarray(draws, x.dtype)), x.device))
    soft = softmax(mul(add(logits, noise), 1 / tau), dim)
    if not hard:
        return soft
    index = _C.arg_reduce(soft.array, dim, True, True)[1]
    y = _C.full(x.shape, 0.0, x.dtype, x.device)
    _C.scatter_into(y, dim, index, _C.full(index.shape, 1.0, x.dtype, x.device), False)

    def straight_through_backward(
        g: _C.Array, needs: tuple[builtins.bool, ...]
    ) -> tuple[_C.Array | None, ...]:
        return (g,)

    return record(y, (soft,), straight_through_backward)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return elu(input, alpha, True)


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return selu(input, True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    args = (threshold, value)
    return _inplace("threshold", input, lambda x: unary("threshold", x, *args), *args)


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, *, rng: Any = None
) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, True, rng=rng)
