"""The cases of `dlcore bench`: each kernel beside what a NumPy user would write for it, vectorised as well as
NumPy can.

Shapes are those of real layers, large enough to leave the caches where the kernel is bound by memory. `flops`
counts additions and multiplications, `bytes` what must be read and written at least once; both follow from
the formula of the operation, not from how either side computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore import kernels as K

Function = Callable[[], Any]
F4 = np.float32


@dataclass(frozen=True)
class Case:
    name: str
    group: str  # the family
    kernels: Sequence[str]  # the entries of `_C.kernel_names()` that it exercises
    flops: float
    bytes: float
    make: Callable[[np.random.Generator], tuple[Function, Function]]  # dlcore's call, NumPy's call


def _normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape, F4)


# ---- matmul ------------------------------------------------------------------------------------------------


def _matmul(m: int, n: int, k: int, batch: int = 1, transposed: bool = False) -> Case:
    def make(rng: np.random.Generator) -> tuple[Function, Function]:
        lead = (batch,) if batch > 1 else ()
        a = _normal(rng, *lead, m, k)
        b = _normal(rng, *lead, n, k).swapaxes(-1, -2) if transposed else _normal(rng, *lead, k, n)
        return lambda: K.matmul(a, b), lambda: a @ b

    name = f"matmul {f'{batch}x ' if batch > 1 else ''}{m}x{k} @ {k}x{n}{' Bᵀ' if transposed else ''}"
    moved = 4.0 * batch * (m * k + k * n + m * n)
    return Case(name, "matmul", ["matmul"], 2.0 * batch * m * n * k, moved, make)


def _linear_relu(m: int, n: int, k: int) -> Case:
    def make(rng: np.random.Generator) -> tuple[Function, Function]:
        x, w, b = _normal(rng, m, k), _normal(rng, n, k), _normal(rng, n)
        return lambda: K.linear(x, w, b, "relu"), lambda: np.maximum(x @ w.T + b, 0)

    flops = 2.0 * m * n * k + 2.0 * m * n
    return Case(
        f"linear+relu {m}x{k} -> {n}", "matmul", ["matmul"], flops, 4.0 * (m * k + k * n + m * n), make
    )


def _matmul_cases() -> list[Case]:
    return [
        _matmul(1024, 1024, 1024),
        _matmul(256, 256, 256),
        _matmul(64, 128, 1600, transposed=True),
        _matmul(1, 1024, 1024),
        _matmul(128, 128, 64, batch=64),
        _linear_relu(64, 128, 1600),
    ]


def all_cases() -> list[Case]:
    return [*_matmul_cases()]
