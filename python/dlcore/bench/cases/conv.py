"""Convolutions: NumPy takes windows as a view and contracts them with one tensordot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal


def _nchw(x: Any) -> Any:
    return x.transpose(0, 3, 1, 2)


def _work(n: int, h: int, w: int, c: int, o: int, r: int, pad: int) -> tuple[float, float]:
    p, q = h + 2 * pad - r + 1, w + 2 * pad - r + 1
    return 2.0 * n * p * q * c * o * r * r, 4.0 * (n * h * w * c + o * c * r * r + n * p * q * o)


def _relu_last(n: int, h: int, c: int, o: int) -> Case:
    """3x3 + bias + ReLU, channels-last, no padding: the listing's layers."""

    def make(rng: np.random.Generator) -> Pair:
        x, w, b = normal(rng, n, h, h, c), normal(rng, o, c, 3, 3), normal(rng, o)

        def theirs() -> Any:
            y = np.tensordot(sliding_window_view(x, (3, 3), (1, 2)), w, ([3, 4, 5], [1, 2, 3]))
            y += b
            return _nchw(np.maximum(y, 0, out=y))

        return lambda: K.conv2d(_nchw(x), w, b, activation="relu"), theirs

    flops, moved = _work(n, h, h, c, o, 3, 0)
    return Case(f"conv2d 3x3+relu {n}x{h}x{h}x{c} -> {o}", "conv", ["conv_forward"], flops, moved, make)


def _padded(n: int, h: int, c: int, o: int) -> Case:
    """3x3, padding 1, channels first."""

    def make(rng: np.random.Generator) -> Pair:
        x, w = normal(rng, n, c, h, h), normal(rng, o, c, 3, 3)

        def theirs() -> Any:
            xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            return _nchw(np.tensordot(sliding_window_view(xp, (3, 3), (2, 3)), w, ([1, 4, 5], [1, 2, 3])))

        return lambda: K.conv2d(x, w, padding=1), theirs

    flops, moved = _work(n, h, h, c, o, 3, 1)
    return Case(f"conv2d 3x3 {n}x{c}x{h}x{h} -> {o}", "conv", ["conv_forward"], flops, moved, make)


def _pointwise(n: int, h: int, c: int, o: int) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, w = normal(rng, n, c, h, h), normal(rng, o, c, 1, 1)
        return lambda: K.conv2d(x, w), lambda: (w[:, :, 0, 0] @ x.reshape(n, c, h * h)).reshape(n, o, h, h)

    flops, moved = _work(n, h, h, c, o, 1, 0)
    return Case(f"conv2d 1x1 {n}x{c}x{h}x{h} -> {o}", "conv", ["conv_forward"], flops, moved, make)


def _depthwise(n: int, h: int, c: int) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, w = normal(rng, n, c, h, h), normal(rng, c, 1, 3, 3)

        def theirs() -> Any:
            xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            y = np.zeros_like(x)
            for r in range(3):
                for s in range(3):
                    y += xp[:, :, r : r + h, s : s + h] * w[:, :, r, s, None]
            return y

        return lambda: K.conv2d(x, w, padding=1, groups=c), theirs

    size = n * h * h * c
    moved = 4.0 * (2 * size + 9 * c)
    return Case(f"conv2d 3x3 depthwise {n}x{c}x{h}x{h}", "conv", ["conv_forward"], 18.0 * size, moved, make)


def _conv3d(n: int, d: int, h: int, c: int, o: int) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, w = normal(rng, n, c, d, h, h), normal(rng, o, c, 3, 3, 3)

        def theirs() -> Any:
            xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (1, 1)))
            y = np.tensordot(sliding_window_view(xp, (3, 3, 3), (2, 3, 4)), w, ([1, 5, 6, 7], [1, 2, 3, 4]))
            return y.transpose(0, 4, 1, 2, 3)

        return lambda: K.conv3d(x, w, padding=1), theirs

    flops, moved = 54.0 * n * d * h * h * c * o, 4.0 * (n * d * h * h * (c + o) + 27 * c * o)
    name = f"conv3d 3x3x3 {n}x{c}x{d}x{h}x{h} -> {o}"
    return Case(name, "conv", ["conv_forward"], flops, moved, make)


def _transpose(n: int, h: int, c: int, o: int) -> Case:
    """4x4 stride 2, a generator's layer: NumPy multiplies once and adds the sixteen taps in their places."""

    def make(rng: np.random.Generator) -> Pair:
        x, w = normal(rng, n, c, h, h), normal(rng, c, o, 4, 4)

        def theirs() -> Any:
            part = np.tensordot(w, x, ([0], [1]))  # (o, 4, 4, n, h, h)
            y = np.zeros((o, n, 2 * h + 2, 2 * h + 2), np.float32)
            for r in range(4):
                for s in range(4):
                    y[:, :, r : r + 2 * h : 2, s : s + 2 * h : 2] += part[:, r, s]
            return y[:, :, 1:-1, 1:-1].transpose(1, 0, 2, 3)

        return lambda: K.conv_transpose2d(x, w, stride=2, padding=1), theirs

    flops, moved = 32.0 * n * h * h * c * o, 4.0 * (n * h * h * (c + 4 * o) + 16 * c * o)
    name = f"conv_transpose2d 4x4/2 {n}x{c}x{h}x{h} -> {o}"
    return Case(name, "conv", ["conv_backward_input"], flops, moved, make)


def _conv1d(n: int, t: int, c: int, o: int) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        x, w = normal(rng, n, c, t), normal(rng, o, c, 5)

        def theirs() -> Any:
            xp = np.pad(x, ((0, 0), (0, 0), (2, 2)))
            return np.tensordot(sliding_window_view(xp, 5, 2), w, ([1, 3], [1, 2])).transpose(0, 2, 1)

        return lambda: K.conv1d(x, w, padding=2), theirs

    moved = 4.0 * (n * c * t + o * c * 5 + n * o * t)
    return Case(f"conv1d 5 {n}x{c}x{t} -> {o}", "conv", ["conv_forward"], 10.0 * n * t * c * o, moved, make)


def _backward(n: int, h: int, c: int, o: int) -> Case:
    """All three gradients of a 3x3 convolution, channels-last: the listing's second layer."""

    def make(rng: np.random.Generator) -> Pair:
        p = h - 2
        x, w, dy = normal(rng, n, h, h, c), normal(rng, o, c, 3, 3), normal(rng, n, p, p, o)

        def theirs() -> Any:
            dw = np.tensordot(dy, sliding_window_view(x, (3, 3), (1, 2)), ([0, 1, 2], [0, 1, 2]))
            dyp = np.pad(dy, ((0, 0), (2, 2), (2, 2), (0, 0)))
            windows = sliding_window_view(dyp, (3, 3), (1, 2))
            dx = np.tensordot(windows, w[:, :, ::-1, ::-1], ([3, 4, 5], [0, 2, 3]))
            return _nchw(dx), dw, dy.sum((0, 1, 2))

        return lambda: K.conv2d_backward(_nchw(dy), _nchw(x), w), theirs

    flops, moved = _work(n, h, h, c, o, 3, 0)
    kernels = ["conv_backward_input", "conv_backward_weight"]
    name = f"conv2d_backward 3x3 {n}x{h}x{h}x{c} -> {o}"
    return Case(name, "conv", kernels, 2 * flops, 2 * moved, make)


CASES = [
    _relu_last(64, 28, 1, 32),
    _relu_last(64, 13, 32, 64),
    _padded(8, 56, 64, 64),
    _pointwise(8, 28, 256, 64),
    _depthwise(8, 56, 64),
    _conv3d(1, 8, 28, 64, 128),
    _transpose(8, 16, 128, 64),
    _conv1d(16, 512, 64, 64),
    _backward(64, 13, 32, 64),
]
