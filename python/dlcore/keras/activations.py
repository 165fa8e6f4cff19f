"""Activation functions by Keras' names. relu, sigmoid and tanh are fused into the layer before them."""

from __future__ import annotations

from typing import Any

from dlcore import functional as F
from dlcore.keras._registry import Registry
from dlcore.tensor import Tensor

__all__ = [
    "elu",
    "exponential",
    "gelu",
    "get",
    "hard_sigmoid",
    "hard_swish",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]

_registry = Registry("keras.activations", "activation")
_add = _registry.add


def get(identifier: Any) -> Any:
    """The function of a name; None is `linear`."""
    return linear if identifier is None else _registry.get(identifier)


def serialize(f: Any) -> Any:
    return _registry.serialize(f)


@_add()
def linear(x: Tensor) -> Tensor:
    """x."""
    return x


@_add()
def relu(
    x: Tensor, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Tensor:
    """max(x, 0); below `threshold` negative_slope * (x - threshold), above `max_value` that."""
    if threshold != 0.0:
        y = x * (x > threshold).to(x.dtype)
        if negative_slope:
            y = y + (x - threshold) * (x <= threshold).to(x.dtype) * negative_slope
    elif negative_slope:
        y = F.leaky_relu(x, negative_slope)
    else:
        y = F.relu(x)
    out: Tensor = y if max_value is None else y.clamp(max=max_value)
    return out


@_add()
def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)."""
    out: Tensor = relu(x, max_value=6.0)
    return out


@_add()
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return F.sigmoid(x)


@_add()
def tanh(x: Tensor) -> Tensor:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return F.tanh(x)


@_add()
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum exp(x) along `axis`; a cross-entropy after it goes back to x,
    so it is finite for any x.
    """
    return F.softmax(x, axis)


@_add()
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log sum exp(x)."""
    return F.log_softmax(x, axis)


@_add()
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha * (exp(x) - 1) below."""
    return F.elu(x, alpha)


@_add()
def selu(x: Tensor) -> Tensor:
    """Klambauer et al. 2017."""
    return F.selu(x)


@_add()
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x above 0, negative_slope * x below."""
    return F.leaky_relu(x, negative_slope)


@_add()
def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """x * Phi(x), or its approximation by tanh (Hendrycks and Gimpel 2016)."""
    return F.gelu(x, "tanh" if approximate else "none")


@_add("swish")
def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return F.silu(x)


swish = silu


@_add()
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return F.softplus(x)


@_add()
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return x / (x.abs() + 1.0)


@_add()
def exponential(x: Tensor) -> Tensor:
    """exp(x)."""
    return x.exp()


@_add("hard_silu")
def hard_swish(x: Tensor) -> Tensor:
    """x * hard_sigmoid(x)."""
    out: Tensor = x * hard_sigmoid(x)
    return out


@_add()
def hard_sigmoid(x: Tensor) -> Tensor:
    """min(max(x / 6 + 1/2, 0), 1)."""
    return (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)


@_add()
def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x))."""
    return x * F.tanh(F.softplus(x))


FUSED = {relu: "relu", sigmoid: "sigmoid", tanh: "tanh", linear: ""}
