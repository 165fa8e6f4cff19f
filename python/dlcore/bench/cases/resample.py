"""Resampling: NumPy repeats, or combines rows and columns taken by index; blocks and grid points likewise."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal

N, C, H = 8, 64, 56
IN, OUT = N * C * H * H, 4 * N * C * H * H


def _nearest() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, N, C, H, H)
        return lambda: K.interpolate(x, None, 2), lambda: x.repeat(2, 2).repeat(2, 3)

    name = f"interpolate nearest x2 {N}x{C}x{H}x{H}"
    return Case(name, "resample", ["resample"], 0.0, 4.0 * (IN + OUT), make)


def _taps() -> tuple[Any, Any, Any]:
    """Sources and the second one's weight of a doubled axis of H elements."""
    at = np.maximum((np.arange(2 * H) + 0.5) / 2 - 0.5, 0)
    low = at.astype(np.int64)
    return low, np.minimum(low + 1, H - 1), (at - low).astype(np.float32)


def _bilinear(last: bool) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, N, H, H, C).transpose(0, 3, 1, 2) if last else normal(rng, N, C, H, H)
        low, high, t = _taps()

        def theirs() -> Any:
            rows = x[:, :, low] * (1 - t)[:, None] + x[:, :, high] * t[:, None]
            return rows[..., low] * (1 - t) + rows[..., high] * t

        return lambda: K.interpolate(x, None, 2, "bilinear"), theirs

    shape = f"{N}x{H}x{H}x{C}" if last else f"{N}x{C}x{H}x{H}"
    return Case(
        f"interpolate bilinear x2 {shape}", "resample", ["resample"], 4.5 * OUT, 4.0 * (IN + OUT), make
    )


def _bilinear_backward() -> Case:
    def make(rng: np.random.Generator) -> Pair:
        dy = normal(rng, N, C, 2 * H, 2 * H)
        low, high, t = _taps()
        m = np.zeros((2 * H, H), np.float32)
        np.add.at(m, (np.arange(2 * H), low), 1 - t)
        np.add.at(m, (np.arange(2 * H), high), t)
        return lambda: K.interpolate_backward(dy, (H, H), "linear"), lambda: m.T @ dy @ m

    name = f"interpolate_backward bilinear x2 {N}x{C}x{H}x{H}"
    return Case(name, "resample", ["resample"], 6.0 * OUT, 4.0 * (IN + OUT), make)


def _grid(backward: bool) -> Case:
    n, c, h = 4, 32, 64
    size = n * c * h * h

    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, n, c, h, h)
        grid = rng.uniform(-1, 1, (n, h, h, 2)).astype(np.float32)
        at = ((grid + 1) * np.float32(h) - 1) / 2
        low = np.floor(at)
        t = at - low
        taps = []
        for i in (0, 1):
            for j in (0, 1):
                w, v = low[..., 0] + j, low[..., 1] + i
                inside = (w >= 0) & (w < h) & (v >= 0) & (v < h)
                weight = np.where(j, t[..., 0], 1 - t[..., 0]) * np.where(i, t[..., 1], 1 - t[..., 1])
                place = np.where(inside, v * h + w, 0).astype(np.int64)
                taps.append((place.reshape(n, 1, -1), (weight * inside).reshape(n, 1, -1)))

        def forward() -> Any:
            flat = x.reshape(n, c, -1)
            return sum(np.take_along_axis(flat, p, 2) * w for p, w in taps).reshape(x.shape)

        def gradient() -> Any:
            dx = np.zeros((n, c, h * h), np.float32)
            at = (np.arange(n)[:, None, None], np.arange(c)[:, None])
            for p, w in taps:
                np.add.at(dx, (*at, p), x.reshape(n, c, -1) * w)
            return dx.reshape(x.shape)

        if backward:
            return lambda: K.grid_sample_backward(x, x, grid)[0], gradient
        return lambda: K.grid_sample(x, grid), forward

    name = f"grid_sample{'_backward' * backward} bilinear {n}x{c}x{h}x{h}"
    kernel = "grid_sample_backward" if backward else "grid_sample_forward"
    return Case(
        name,
        "resample",
        [kernel],
        (24.0 if backward else 8.0) * size,
        (16.0 if backward else 8.0) * size,
        make,
    )


def _unfold() -> Case:
    n, c, h = 8, 32, 56

    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, n, c, h, h)

        def theirs() -> Any:
            p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            views = np.lib.stride_tricks.sliding_window_view(p, (3, 3), (2, 3))
            return views.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * 9, h * h)

        return lambda: K.unfold(x, 3, padding=1), theirs

    return Case(f"unfold 3x3 {n}x{c}x{h}x{h}", "resample", ["unfold"], 0.0, 40.0 * n * c * h * h, make)


def _fold() -> Case:
    n, c, h = 8, 32, 56

    def make(rng: np.random.Generator) -> Pair:
        x = normal(rng, n, c * 9, h * h)

        def theirs() -> Any:
            blocks, y = x.reshape(n, c, 3, 3, h, h), np.zeros((n, c, h + 2, h + 2), np.float32)
            for i in range(3):
                for j in range(3):
                    y[:, :, i : i + h, j : j + h] += blocks[:, :, i, j]
            return y[:, :, 1:-1, 1:-1]

        return lambda: K.fold(x, h, 3, padding=1), theirs

    size = n * c * h * h
    return Case(f"fold 3x3 {n}x{c}x{h}x{h}", "resample", ["fold"], 9.0 * size, 40.0 * size, make)


CASES = [
    _nearest(),
    _bilinear(False),
    _bilinear(True),
    _bilinear_backward(),
    _grid(False),
    _grid(True),
    _unfold(),
    _fold(),
]
