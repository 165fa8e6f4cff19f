"""One token through a linear layer whose weight is kept in fewer bits, beside NumPy's product in float32."""

from __future__ import annotations

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

N, SIZE = 3072, 4096


def _linear(kind: str) -> Case:
    width = 1 if kind == "int8" else 2

    def make(rng: np.random.Generator) -> Pair:
        x, w = normal(rng, 1, SIZE), normal(rng, N, SIZE)
        if kind == "int8":
            scale = np.abs(w).max(1) / 127
            kept = np.rint(w / scale[:, None]).astype(np.int8).view(np.uint8)
            w = kept.view(np.int8) * scale[:, None]
            return lambda: K.quant_linear(x, kept, scale), lambda: x @ w.T
        upper = (w.view(np.uint32) >> 16).astype("<u2")
        w = (upper.astype(np.uint32) << 16).view(np.float32)
        return lambda: K.quant_linear(x, upper.view(np.uint8)), lambda: x @ w.T

    moved = float(N * SIZE * width)
    return Case(f"linear 1x{SIZE} -> {N}, {kind}", "quant", ["quant_linear"], 2.0 * N * SIZE, moved, make)


def _widen() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        scale = np.abs(normal(rng, N)) / 127
        kept = rng.integers(-127, 128, (N, SIZE), np.int8)
        return lambda: K.quant_widen(kept.view(np.uint8), scale), lambda: kept * scale[:, None]

    return Case(f"widen {N}x{SIZE} int8", "quant", ["quant_widen"], 0.0, 5.0 * N * SIZE, make)


CASES = [_linear("int8"), _linear("bfloat16"), _widen()]
