"""What torch's spellings of stride, padding and dilation mean, for `functional` and `kernels` alike."""

from __future__ import annotations

from collections.abc import Sequence

from dlcore import _C

__all__ = ["Padding", "Size", "plan", "spread", "spread_padding"]

Size = int | Sequence[int]
Padding = str | int | Sequence[int] | Sequence[Sequence[int]]


def spread(op: str, name: str, value: Size, nd: int) -> tuple[int, ...]:
    """One int for all spatial axes, or one an axis."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        values = tuple(value)
        if len(values) == 1:
            values *= nd
        if len(values) == nd and all(hasattr(v, "__index__") for v in values):
            return tuple([int(v) for v in values])
    elif hasattr(value, "__index__"):
        return (int(value),) * nd
    raise TypeError(f"{op}: {name} must be an int or {nd} of them, got {name}={value!r}")


def spread_padding(
    op: str, padding: Padding, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding in front of and behind each spatial axis."""
    nd = len(stride)
    if isinstance(padding, str):
        if padding == "valid":
            return (0,) * nd, (0,) * nd
        if padding != "same":
            raise ValueError(f"{op}: padding must be 'same', 'valid' or numbers, got padding={padding!r}")
        if any(s != 1 for s in stride):
            raise ValueError(f"{op}: padding='same' must go with stride 1, got stride={stride}")
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return tuple([t // 2 for t in total]), tuple([t - t // 2 for t in total])
    if isinstance(padding, Sequence) and len(padding) == nd and all(isinstance(p, Sequence) for p in padding):
        pairs = [spread(op, "padding", p, 2) for p in padding]  # type: ignore[arg-type]
        return tuple([p[0] for p in pairs]), tuple([p[1] for p in pairs])
    both = spread(op, "padding", padding, nd)  # type: ignore[arg-type]
    return both, both


def plan(
    op: str, weight: _C.Array, stride: Size, padding: Padding, dilation: Size, nd: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """What torch's spellings mean: (stride, padding before, padding after, dilation), an int each an axis."""
    st = spread(op, "stride", stride, nd)
    di = spread(op, "dilation", dilation, nd)
    before, after = spread_padding(op, padding, tuple(weight.shape[2:]), st, di)
    return st, before, after, di
