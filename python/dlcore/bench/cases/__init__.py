"""The cases of `dlcore bench`: each kernel beside what a NumPy user would write for it. One file a family.

NumPy's side is vectorised as well as NumPy can: windows as views and one product for a convolution, maxima of
strided slices for a pool, in-place arithmetic where that saves a pass. Shapes are those of real layers, large
enough to leave the caches where memory is the limit. `flops` counts the additions and multiplications (and
one each for comparisons, exponentials, roots) of the operation's formula, not of how either side computes it;
`bytes` what must be read and written at least once.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Case", "Function", "Pair", "all_cases", "normal"]

Function = Callable[[], Any]
Pair = tuple[Function, Function]  # dlcore's call, NumPy's call


@dataclass(frozen=True)
class Case:
    name: str
    group: str  # the family
    kernels: Sequence[str]  # the entries of `_C.kernel_names()` that it exercises
    flops: float
    bytes: float
    make: Callable[[np.random.Generator], Pair]


def normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape, np.float32)


_ORDER = (
    "matmul", "quant", "conv", "pool", "resample", "softmax", "norm", "attention", "rnn", "loss", "ctc",
    "elementwise", "reduce", "index", "sort", "embedding", "random", "optim",
)  # fmt: skip


def all_cases() -> list[Case]:
    names = sorted(
        (m.name for m in pkgutil.iter_modules(__path__)),
        key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n),
    )
    cases: list[Case] = []
    for name in names:
        cases += importlib.import_module(f"{__name__}.{name}").CASES
    return cases
