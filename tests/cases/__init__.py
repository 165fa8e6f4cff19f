"""One OpCase a public kernel: drives the forward, gradient, error, determinism, ISA and guard tests.

Each family has a module here with a list CASES, and its plain NumPy twins in tests/reference/<family>.py.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Sample:
    """One call: positional arguments (floating ndarrays are cast to the dtype under test) and keywords."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    grad: bool = True  # check gradients on this sample (keep those small: central differences)


@dataclass
class Error:
    """A call that must raise `exception` with a message that matches `match`."""

    args: tuple[Any, ...]
    exception: type[Exception]
    match: str
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class OpCase:
    name: str  # of the function in dlcore.kernels
    kernels: Sequence[str]  # the entries of _C.kernel_names() that this case exercises, forward and backward
    forward: Callable[..., Any]  # dlcore.kernels.<name>: ndarrays in, an ndarray or a tuple of them out
    reference: Callable[..., Any]  # the twin: computes in the dtype of its inputs
    samples: Callable[[np.random.Generator], list[Sample]]  # float64 data; small and ugly shapes
    functional: Callable[..., Any] | None = None  # the same call on Tensors (gradients against the twin)
    diff: Sequence[int] = (0,)  # positions of the differentiable positional arguments
    errors: Sequence[Error] = ()
    dtypes: Sequence[Any] = (np.float32, np.float64)
    exact: bool = False  # no rounding: compare for equality (pooling by max, copies, masks)
    rtol: float = 0.0  # beyond the error model, only with a stated reason (e.g. Winograd)
    winograd: bool = False  # may convolutions be computed by Winograd's algorithm?
    # Large samples for thread-invariance and for the guard mode; defaults to `samples`.
    large: Callable[[np.random.Generator], list[Sample]] | None = None


def all_cases() -> list[OpCase]:
    cases: list[OpCase] = []
    for module in pkgutil.iter_modules(__path__):
        cases += importlib.import_module(f"{__name__}.{module.name}").CASES
    return cases
