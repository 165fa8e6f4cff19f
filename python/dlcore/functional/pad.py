"""pad: margins around the last axes, constant or made of the tensor's own elements."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.functional.index import index_select
from dlcore.tensor import Tensor

__all__ = ["pad"]

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_Margin = tuple[int, int, int]  # axis, before, after


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """x with pad[0] elements before and pad[1] after its last axis, pad[2] and pad[3] on the one before,
    and so on.

    mode "constant" fills with `value` (0 unless given), "reflect" mirrors without repeating the edge,
    "replicate" repeats the edge, "circular" wraps around. Negative numbers crop.

    Raises ValueError for an odd or too long `pad`, an unknown mode, and margins wider than the tensor can
    fill.

    >>> import dlcore
    >>> dlcore.functional.pad(dlcore.tensor([1, 2, 3]), (1, 2)).tolist()
    [0, 1, 2, 3, 0, 0]
    >>> dlcore.functional.pad(dlcore.tensor([[1, 2, 3]]), (1, 2), mode="reflect").tolist()
    [[2, 1, 2, 3, 2, 1]]
    """
    widths = [operator.index(p) for p in pad]
    shape = input.shape
    if len(widths) % 2 or len(widths) > 2 * len(shape):
        raise ValueError(
            f"pad: pad must hold two numbers for each padded axis, got pad={tuple(pad)}, input={shape}"
        )
    margins = [(len(shape) - 1 - i // 2, widths[i], widths[i + 1]) for i in range(0, len(widths), 2)]
    for d, before, after in margins:
        if shape[d] + min(before, 0) + min(after, 0) < 0 or shape[d] + before + after < 0:
            raise ValueError(f"pad: nothing would be left of axis {d}, got pad={tuple(pad)}, input={shape}")
    axes = len(margins)
    padded = [shape[d] + before + after for d, before, after in margins]
    by_place = (  # the kernel takes these
        1 <= axes <= 3
        and input.is_floating_point()
        and input.device == "cpu"
        and all(padded)
        and all(shape[-axes:])
    )
    if mode == "constant":
        if not value and by_place:
            return _by_place(input, margins[::-1], mode)
        return _constant(input, margins, 0.0 if value is None else value)
    if mode not in _MODES:
        raise ValueError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if value not in (None, 0):
        raise ValueError(f"pad: mode {mode!r} takes no value, got {value}")
    if not (1 <= len(margins) <= 3 and len(margins) + 1 <= len(shape) <= len(margins) + 2):
        raise ValueError(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 axes of a tensor with one or two more, "
            f"got pad={tuple(pad)}, input={shape}"
        )
    for d, before, after in margins:
        n, widest = shape[d], max(before, after)
        if (
            (mode == "reflect" and widest >= n)
            or (mode == "circular" and widest > n)
            or (n == 0 and widest > 0)
        ):
            raise ValueError(
                f"pad: a {mode} margin must fit into the axis, got pad={tuple(pad)}, input={shape}"
            )
    if padded == [0] and mode != "circular":
        raise ValueError(f"pad: nothing would be left of the axis, got pad={tuple(pad)}, input={shape}")
    if by_place:
        return _by_place(input, margins[::-1], mode)
    x = input
    for d, before, after in margins:
        n = shape[d]
        rows, kept = np.arange(n), slice(max(-before, 0), n - max(-after, 0))
        rows = rows[kept] if mode == "circular" else rows  # it wraps around what is left
        if rows.size:
            rows = np.pad(rows, (max(before, 0), max(after, 0)), mode=_MODES[mode])  # type: ignore[call-overload]
        if mode != "circular":
            rows = rows[kept.start : len(rows) - max(-after, 0)]
        x = index_select(x, d, Tensor(_C.to_device(_C.from_numpy(np.ascontiguousarray(rows)), input.device)))
    return x


def _by_place(input: Tensor, margins: list[_Margin], mode: str) -> Tensor:
    """All axes in one pass; `margins` in the order of the axes."""
    x = input.array
    before = tuple([b for _, b, _ in margins])
    size = tuple([x.shape[d] for d, _, _ in margins])
    padded = tuple([x.shape[d] + b + a for d, b, a in margins])
    last = x.ndim > len(size) and _C.is_channels_last(x, len(size))

    def pad_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (_C.pad_backward(g, before, size, mode, last),)

    return record(_C.pad(x, before, padded, mode), (input,), pad_backward)


def _constant(input: Tensor, margins: list[_Margin], value: float) -> Tensor:
    x = input.array
    shape = list(x.shape)
    for d, before, after in margins:
        shape[d] += before + after

    def inside(small: _C.Array, large: _C.Array) -> tuple[_C.Array, _C.Array]:
        """The part of x that stays, and its place in y."""
        for d, before, after in margins:
            n = small.shape[d] + min(before, 0) + min(after, 0)
            small = _C.slice(small, d, max(-before, 0), n, 1)
            large = _C.slice(large, d, max(before, 0), n, 1)
        return small, large

    y = _C.full(tuple(shape), value, x.dtype, x.device)
    kept, place = inside(x, y)
    _C.copy_into(place, kept)

    def pad_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        dx = _C.full(x.shape, 0.0, g.dtype, g.device)
        place, kept = inside(dx, g)
        _C.copy_into(place, kept)
        return (dx,)

    return record(y, (input,), pad_backward)
