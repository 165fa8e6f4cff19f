"""Initialisers under torch's names: each fills a tensor in place, off the tape, and returns it.

Random ones draw from dlcore's generator, or from `generator`, also named `rng` (None, int, SeedSequence or
NumPy Generator; SPEC 7).
"""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.random import get_generator
from dlcore.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _generator(generator: Any, rng: Any) -> np.random.Generator:
    if generator is not None and rng is not None:
        raise TypeError("init: pass generator or rng, which mean the same, not both")
    return get_generator(rng if generator is None else generator)


_state = threading.local()


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Within this context layers are made without drawing values: their memory is given, but not written.

    For whoever loads every weight right after; what is not loaded holds anything.
    """
    before = getattr(_state, "skipped", False)
    _state.skipped = True
    try:
        yield
    finally:
        _state.skipped = before


def _skipping() -> bool:
    return getattr(_state, "skipped", False)


def _fill(tensor: Tensor, values: npt.NDArray[Any]) -> Tensor:
    array = _C.from_numpy(np.asarray(values, tensor.dtype, order="C"))
    _C.copy_into(tensor.array, _C.to_device(array, tensor.device))
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """What makes up for a nonlinearity's shrinking of the standard deviation: 5/3 for tanh, sqrt(2) for
    relu ...

    >>> import dlcore
    >>> round(dlcore.nn.init.calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity in ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
                        "conv_transpose3d", "sigmoid"):  # fmt: skip
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, bool) or not isinstance(param, (int, float)):
            raise ValueError(f"calculate_gain: the negative slope must be a number, got {param!r}")
        else:
            slope = param
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4.0
    raise ValueError(f"calculate_gain: unsupported nonlinearity {nonlinearity!r}")


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None, *, rng: Any = None
) -> Tensor:
    """U(a, b)."""
    if _skipping():
        return tensor
    return _fill(tensor, _generator(generator, rng).uniform(a, b, tensor.shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None, *, rng: Any = None
) -> Tensor:
    """N(mean, std²)."""
    if _skipping():
        return tensor
    return _fill(tensor, _generator(generator, rng).normal(mean, std, tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
    *,
    rng: Any = None,
) -> Tensor:
    """N(mean, std²) conditioned on a <= x <= b, by drawing again what falls outside."""
    if _skipping():
        return tensor
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            UserWarning,
            stacklevel=2,
        )
    g = _generator(generator, rng)
    values = g.normal(mean, std, tensor.shape)
    outside = (values < a) | (values > b)
    for _ in range(1000):
        n = int(outside.sum())
        if n == 0:
            break
        values[outside] = g.normal(mean, std, n)
        outside = (values < a) | (values > b)
    return _fill(tensor, np.clip(values, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element `val`."""
    if _skipping():
        return tensor
    return _fill(tensor, np.full(tensor.shape, val))


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: tensor must be 2-d, got shape {tensor.shape}")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights that pass as many input channels through as there are outputs, in each group."""
    shape = tensor.shape
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: tensor must be 3-, 4- or 5-d, got shape {shape}")
    if shape[0] % groups:
        raise ValueError(f"dirac_: the first size must be divisible by groups={groups}, got shape {shape}")
    values = np.zeros(shape)
    per_group = shape[0] // groups
    centre = tuple(n // 2 for n in shape[2:])
    for g in range(groups):
        for d in range(min(per_group, shape[1])):
            values[(g * per_group + d, d, *centre)] = 1.0
    return _fill(tensor, values)


def _fans(op: str, tensor: Tensor) -> tuple[int, int]:
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(f"{op}: fan in and fan out need a tensor with at least 2 axes, got shape {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None, *, rng: Any = None) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)). Glorot and Bengio, AISTATS 2010."""
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    a = gain * math.sqrt(6.0 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -a, a, _generator(generator, rng))


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None, *, rng: Any = None) -> Tensor:
    """N(0, gain² 2 / (fan_in + fan_out)). Glorot and Bengio, AISTATS 2010."""
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(fan_in + fan_out, 1)), _generator(generator, rng))


def _kaiming_std(op: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"{op}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _fans(op, tensor)
    fan = fan_in if mode.lower() == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _empty(tensor: Tensor) -> bool:
    if 0 not in tensor.shape:
        return False
    warnings.warn("Initializing zero-element tensors is a no-op", UserWarning, stacklevel=3)
    return True


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
    *,
    rng: Any = None,
) -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan). He et al., ICCV 2015, with `a` the slope of a leaky ReLU.

    >>> import dlcore
    >>> w = dlcore.nn.init.kaiming_uniform_(dlcore.tensor([[0.0] * 100] * 3), nonlinearity="relu", rng=0)
    >>> bool(abs(w.numpy()).max() <= (6 / 100) ** 0.5)
    True
    """
    if _empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, _generator(generator, rng))


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
    *,
    rng: Any = None,
) -> Tensor:
    """N(0, gain² / fan). He et al., ICCV 2015."""
    if _empty(tensor):
        return tensor
    return normal_(
        tensor,
        0.0,
        _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity),
        _generator(generator, rng),
    )


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None, *, rng: Any = None) -> Tensor:
    """gain Q, Q's rows or columns orthonormal, trailing axes flattened. Saxe et al., ICLR 2014."""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: tensor must have at least 2 axes, got shape {tensor.shape}")
    if 0 in tensor.shape:
        return tensor
    rows, cols = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = _generator(generator, rng).normal(size=(max(rows, cols), min(rows, cols)))
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diag(r))  # Haar measure (Mezzadri, 2007): QR alone favours a sign
    return _fill(tensor, gain * (q if rows >= cols else q.T).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None, *, rng: Any = None
) -> Tensor:
    """N(0, std²) with the fraction `sparsity` of each column set to zero. Martens, ICML 2010."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: tensor must be 2-d, got shape {tensor.shape}")
    g = _generator(generator, rng)
    rows, cols = tensor.shape
    values = g.normal(0.0, std, tensor.shape)
    for c in range(cols):
        values[g.permutation(rows)[: math.ceil(sparsity * rows)], c] = 0.0
    return _fill(tensor, values)
