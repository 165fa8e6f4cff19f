"""Pooling: NumPy combines strided slices, one for each place in the window (faster than reducing a reshaped
view).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

N, C, H = 32, 32, 112
SIZE = N * C * H * H


def _max_2x2(last: bool) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, N, H, H, C).transpose(0, 3, 1, 2) if last else normal(rng, N, C, H, H)

        def theirs() -> Any:
            y = np.maximum(x[:, :, ::2, ::2], x[:, :, ::2, 1::2])
            np.maximum(y, x[:, :, 1::2, ::2], out=y)
            return np.maximum(y, x[:, :, 1::2, 1::2], out=y)

        return lambda: K.max_pool2d(x, 2), theirs

    shape = f"{N}x{H}x{H}x{C}" if last else f"{N}x{C}x{H}x{H}"
    return Case(f"max_pool2d 2x2 {shape}", "pool", ["max_pool_forward"], 0.75 * SIZE, 5.0 * SIZE, make)


def _max_3x3() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, p = normal(rng, N, C, H, H), H // 2

        def theirs() -> Any:
            xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
            y = xp[:, :, 0 : 2 * p : 2, 0 : 2 * p : 2].copy()
            for r in range(3):
                for s in range(3):
                    np.maximum(y, xp[:, :, r : r + 2 * p : 2, s : s + 2 * p : 2], out=y)
            return y

        return lambda: K.max_pool2d(x, 3, 2, 1), theirs

    return Case(
        f"max_pool2d 3x3/2 {N}x{C}x{H}x{H}", "pool", ["max_pool_forward"], 2.0 * SIZE, 5.0 * SIZE, make
    )


def _max_backward() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, dy = normal(rng, N, C, H, H), normal(rng, N, C, H // 2, H // 2)
        _, indices = K.max_pool2d(x, 2, return_indices=True)

        def theirs() -> Any:
            dx = np.zeros((N, C, H * H), np.float32)
            np.put_along_axis(dx, indices.reshape(N, C, -1), dy.reshape(N, C, -1), 2)
            return dx.reshape(x.shape)

        return lambda: K.max_pool2d_backward(dy, indices, x.shape), theirs

    # Reads gradients (4 bytes) and indices (8), writes four elements for each.
    name = f"max_pool2d_backward 2x2 {N}x{C}x{H}x{H}"
    return Case(name, "pool", ["max_pool_backward"], 0.0, 7.0 * SIZE, make)


def _avg_2x2() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, N, C, H, H)

        def theirs() -> Any:
            y = x[:, :, ::2, ::2] + x[:, :, ::2, 1::2]
            y += x[:, :, 1::2, ::2]
            y += x[:, :, 1::2, 1::2]
            y *= np.float32(0.25)
            return y

        return lambda: K.avg_pool2d(x, 2), theirs

    return Case(f"avg_pool2d 2x2 {N}x{C}x{H}x{H}", "pool", ["avg_pool_forward"], SIZE, 5.0 * SIZE, make)


def _avg_backward() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        p = H // 2
        dy = normal(rng, N, C, p, p)

        def theirs() -> Any:
            g = (dy * np.float32(0.25))[:, :, :, None, :, None]
            return np.broadcast_to(g, (N, C, p, 2, p, 2)).reshape(N, C, H, H)

        return lambda: K.avg_pool2d_backward(dy, (N, C, H, H), 2), theirs

    name = f"avg_pool2d_backward 2x2 {N}x{C}x{H}x{H}"
    return Case(name, "pool", ["avg_pool_backward"], 0.25 * SIZE, 5.0 * SIZE, make)


def _global() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, N, C, H, H)
        return lambda: K.adaptive_avg_pool2d(x, 1), lambda: x.mean((2, 3), keepdims=True)

    return Case(
        f"adaptive_avg_pool2d 1 {N}x{C}x{H}x{H}", "pool", ["avg_pool_forward"], SIZE, 4.0 * SIZE, make
    )


def _max_3d() -> Case:
    n, c, d, h = 4, 16, 16, 56

    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, n, c, d, h, h)

        def theirs() -> Any:
            y = np.maximum(x[..., ::2], x[..., 1::2])
            y = np.maximum(y[..., ::2, :], y[..., 1::2, :])
            return np.maximum(y[:, :, ::2], y[:, :, 1::2])

        return lambda: K.max_pool3d(x, 2), theirs

    size = n * c * d * h * h
    name = f"max_pool3d 2x2x2 {n}x{c}x{d}x{h}x{h}"
    return Case(name, "pool", ["max_pool_forward"], 0.875 * size, 4.5 * size, make)


def _fractional() -> Case:
    n, c, h, out = 8, 16, 56, 38

    def make(rng: np.random.Generator) -> Pair:
        x, u = normal(rng, n, c, h, h), rng.random((n, c, 2), np.float32)
        alpha = np.float32(h - 2) / np.float32(out - 1)
        steps = np.arange(out - 1, dtype=np.float32)
        starts = ((steps + u[..., None]) * alpha).astype(np.int64) - (u[..., None] * alpha).astype(np.int64)
        starts = np.concatenate([starts, np.full((n, c, 2, 1), h - 2)], -1)
        rows, cols = starts[:, :, 1, :, None], starts[:, :, 0, None, :]

        def theirs() -> Any:
            flat = x.reshape(n, c, -1)
            at = [(rows + i) * h + cols + j for i in range(2) for j in range(2)]
            windows = [np.take_along_axis(flat, a.reshape(n, c, -1), 2) for a in at]
            return np.max(windows, 0).reshape(n, c, out, out)

        return lambda: K.fractional_max_pool2d(x, 2, out, u)[0], theirs

    size = n * c * out * out
    name = f"fractional_max_pool2d 2 {n}x{c}x{h}x{h} to {out}"
    return Case(
        name, "pool", ["fractional_max_pool_forward"], 3.0 * size, 4.0 * n * c * h * h + 12.0 * size, make
    )


CASES = [
    _max_2x2(False),
    _max_2x2(True),
    _max_3x3(),
    _max_backward(),
    _avg_2x2(),
    _avg_backward(),
    _global(),
    _max_3d(),
    _fractional(),
]
