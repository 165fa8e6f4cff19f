"""What torch's spellings of stride, padding and dilation mean, for `functional` and `kernels` alike."""

from __future__ import annotations

from collections.abc import Sequence

from dlcore import _C

__all__ = ["Margin", "Padding", "Size", "plan", "plan_transpose", "spread", "spread_padding"]

Size = int | Sequence[int]
Margin = int | Sequence[int] | Sequence[Sequence[int]]
Padding = str | Margin
_Sizes = tuple[int, ...]


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
    op: str, padding: Padding, kernel: _Sizes, stride: _Sizes, dilation: _Sizes
) -> tuple[_Sizes, _Sizes]:
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
    return _sides(op, padding, nd)


def _sides(op: str, padding: Margin, nd: int) -> tuple[_Sizes, _Sizes]:
    if isinstance(padding, Sequence) and len(padding) == nd and all(isinstance(p, Sequence) for p in padding):
        pairs = [spread(op, "padding", p, 2) for p in padding]
        return tuple([p[0] for p in pairs]), tuple([p[1] for p in pairs])
    both = spread(op, "padding", padding, nd)  # type: ignore[arg-type]
    return both, both


def plan(
    op: str, weight: _C.Array, stride: Size, padding: Padding, dilation: Size, nd: int
) -> tuple[_Sizes, _Sizes, _Sizes, _Sizes]:
    """What torch's spellings mean: (stride, padding before, padding after, dilation), an int each an axis."""
    st = spread(op, "stride", stride, nd)
    di = spread(op, "dilation", dilation, nd)
    before, after = spread_padding(op, padding, tuple(weight.shape[2:]), st, di)
    return st, before, after, di


def plan_transpose(
    op: str, stride: Size, padding: Margin, output_padding: Size, dilation: Size, nd: int
) -> tuple[_Sizes, _Sizes, _Sizes, _Sizes, _Sizes]:
    """The same of a transposed convolution: (stride, padding before, after, output padding, dilation)."""
    before, after = _sides(op, padding, nd)
    return (
        spread(op, "stride", stride, nd),
        before,
        after,
        spread(op, "output_padding", output_padding, nd),
        spread(op, "dilation", dilation, nd),
    )
