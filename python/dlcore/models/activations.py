"""Activations under the names that configurations use."""

from __future__ import annotations

from collections.abc import Callable

from dlcore import functional as F
from dlcore.tensor import Tensor

__all__ = ["activation_of"]


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _quick_gelu(x: Tensor) -> Tensor:
    return x * F.sigmoid(1.702 * x)


_BY_NAME: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": F.tanh,
    "mish": F.mish,
    "leaky_relu": F.leaky_relu,
    "linear": lambda x: x,
}


def activation_of(name: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function of this name; a function is itself.

    Raises ValueError for a name that is not known.
    """
    if callable(name):
        return name
    if name not in _BY_NAME:
        raise ValueError(f"activation must be one of {', '.join(sorted(_BY_NAME))}, got {name!r}")
    return _BY_NAME[name]
