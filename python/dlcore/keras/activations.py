"""Activation functions by Keras' names. relu, sigmoid and tanh are fused into the layer before them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras._registry import Registry, deserialize_any, registered_name
from dlcore.keras.symbolic import to_tensor
from dlcore.tensor import Tensor

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

_registry = Registry("keras.activations", "activation")
_add = _registry.add


def get(identifier: Any) -> Any:
    """The function of a name; None is `linear`."""
    if identifier is None:
        return linear
    found = _registry.get(identifier)
    if not callable(found):
        raise ValueError(f"Could not interpret activation function identifier: {identifier}")
    return found


def serialize(f: Any) -> Any:
    """The name of one of Keras' functions; the configuration of another."""
    found = _registry.serialize(f)
    if isinstance(found, dict) and found["class_name"] == "function":
        found["config"] = registered_name(f)
    return found


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    return deserialize_any(config, custom_objects) if isinstance(config, dict) else get(config)


def _float(x: Any) -> Tensor:
    t: Tensor = to_tensor(x)
    return t if t.dtype.kind == "f" else t.to(np.dtype(np.float32))


@_add()
def linear(x: Tensor) -> Tensor:
    """x."""
    return x


@_add()
def relu(
    x: Tensor, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Tensor:
    """max(x, 0); below `threshold` negative_slope * (x - threshold), above `max_value` that."""
    x = _float(x)
    if threshold != 0.0:
        y = F.where(x > threshold, x, 0.0)
        if negative_slope:
            y = y + F.where(x <= threshold, (x - threshold) * negative_slope, 0.0)
    elif negative_slope:
        y = F.leaky_relu(x, negative_slope)
    else:
        y = F.relu(x)
    out: Tensor = y if max_value is None else y.clamp(max=max_value)
    return out


@_add()
def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)."""
    return F.relu6(_float(x))


@_add()
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return F.sigmoid(_float(x))


@_add()
def tanh(x: Tensor) -> Tensor:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return F.tanh(_float(x))


@_add()
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum exp(x) along `axis`; a cross-entropy after it goes back to x,
    so it is finite for any x.
    """
    return F.softmax(_float(x), axis)


@_add()
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log sum exp(x)."""
    return F.log_softmax(_float(x), axis)


@_add()
def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """max(x - tau, 0), where tau is Keras': the cumulated sums of the k entries of the support, added up,
    less 1, over k. (Martins and Astudillo 2016 take the last of these sums alone, which makes the result sum
    to 1.)
    """
    x = _float(x)
    a = np.moveaxis(x.detach().numpy(), axis, -1)
    order = np.argsort(-a, -1, kind="stable")
    down = np.take_along_axis(a, order, -1)
    place = np.arange(a.shape[-1])
    n = (down - (np.cumsum(down, -1) - 1) / (place + 1) > 0).sum(-1, keepdims=True)
    # The entry in place r is in n - r of the sums.
    weight = np.empty_like(a)
    np.put_along_axis(weight, order, np.where(place < n, n - place, 0).astype(a.dtype), -1)
    times = to_tensor(np.ascontiguousarray(np.moveaxis(weight, -1, axis)), x.dtype.name)
    count = to_tensor(np.ascontiguousarray(np.moveaxis(n, -1, axis)).astype(x.dtype), x.dtype.name)
    return F.relu(x - ((x * times).sum(axis, keepdim=True) - 1.0) / count)


@_add()
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha * (exp(x) - 1) below."""
    return F.elu(_float(x), alpha)


@_add()
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)."""
    return F.celu(_float(x), alpha)


@_add()
def selu(x: Tensor) -> Tensor:
    """Klambauer et al. 2017."""
    return F.selu(_float(x))


@_add()
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x above 0, negative_slope * x below."""
    return F.leaky_relu(_float(x), negative_slope)


@_add()
def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """x * Phi(x), or its approximation by tanh (Hendrycks and Gimpel 2016)."""
    return F.gelu(_float(x), "tanh" if approximate else "none")


@_add("swish")
def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return F.silu(_float(x))


swish = silu


@_add()
def glu(x: Tensor, axis: int = -1) -> Tensor:
    """a * sigmoid(b) of the halves a, b of x along `axis`."""
    return F.glu(_float(x), axis)


@_add()
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    x = _float(x)
    return F.relu(x) + F.log1p((-x.abs()).exp())


@_add()
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return F.softsign(_float(x))


@_add()
def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """(x + sqrt(x^2 + b)) / 2."""
    x = _float(x)
    return (x + (x * x + float(b)).sqrt()) * 0.5


@_add()
def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x - threshold above it, x + threshold below -threshold, 0 between."""
    x = _float(x)
    return F.relu(x - threshold) - F.relu(-x - threshold)


@_add()
def hard_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x where |x| > threshold, else 0."""
    x = _float(x)
    y: Tensor = F.where(x.abs() > threshold, x, 0.0)
    return y


@_add()
def tanh_shrink(x: Tensor) -> Tensor:
    """x - tanh(x)."""
    x = _float(x)
    return x - F.tanh(x)


@_add()
def hard_tanh(x: Tensor) -> Tensor:
    """min(max(x, -1), 1)."""
    return _float(x).clamp(-1.0, 1.0)


@_add()
def threshold(x: Tensor, threshold: float, default_value: float) -> Tensor:
    """x above `threshold`, else `default_value`."""
    x = _float(x)
    y: Tensor = F.where(x > threshold, x, float(default_value))
    return y


@_add()
def sparse_plus(x: Tensor) -> Tensor:
    """0 up to -1, (x + 1)^2 / 4 up to 1, then x."""
    x = _float(x)
    inner = x.clamp(-1.0, 1.0) + 1.0
    y: Tensor = F.where(x < 1.0, inner * inner * 0.25, x)
    return y


@_add()
def sparse_sigmoid(x: Tensor) -> Tensor:
    """min(max((x + 1) / 2, 0), 1)."""
    return ((_float(x) + 1.0) * 0.5).clamp(0.0, 1.0)


@_add()
def log_sigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return F.logsigmoid(_float(x))


@_add()
def exponential(x: Tensor) -> Tensor:
    """exp(x)."""
    return _float(x).exp()


@_add()
def hard_sigmoid(x: Tensor) -> Tensor:
    """min(max(x / 6 + 1/2, 0), 1)."""
    return (_float(x) * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)


@_add("hard_swish")
def hard_silu(x: Tensor) -> Tensor:
    """x * hard_sigmoid(x)."""
    x = _float(x)
    out: Tensor = x * hard_sigmoid(x)
    return out


hard_swish = hard_silu


@_add()
def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x))."""
    return F.mish(_float(x))


FUSED = {relu: "relu", sigmoid: "sigmoid", tanh: "tanh", linear: ""}
