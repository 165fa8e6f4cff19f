"""The table that `model.summary()` prints."""

from __future__ import annotations

import shutil
import textwrap
from typing import Any

import numpy as np

__all__ = ["summary_text"]


def _size(n: int) -> str:
    x = float(n)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if x < 1024:
            return f"{x:.2f} {unit}"
        x /= 1024
    return f"{x:.2f} PB"


def _count(arrays: Any) -> tuple[int, int]:
    sizes = [(int(np.prod(a.shape, dtype=np.int64)), a.dtype.itemsize) for a in arrays]
    return sum(n for n, _ in sizes), sum(n * s for n, s in sizes)


def _widths(positions: list[float], line: int) -> list[int]:
    """Columns end at these shares of the line; what borders and padding take is shared out."""
    ends = [int(p * line) for p in positions]
    widths = [e - s + 2 for s, e in zip([0, *ends[:-1]], ends)]
    excess = sum(widths) + len(widths) + 1 - line
    for i in range(len(widths)):
        cut = round(excess / (len(widths) - i))
        widths[i] -= cut
        excess -= cut
    return widths


def _shape(layer: Any) -> str:
    if layer._nodes:
        shapes = [t.shape for t in layer._nodes[0].outputs]
    elif layer._build_shape is not None:
        try:
            out = layer.compute_output_shape(layer._build_shape)
        except (NotImplementedError, ValueError, TypeError):
            return "?"
        shapes = [out] if isinstance(out, tuple) and not (out and isinstance(out[0], tuple)) else list(out)
    else:
        return "?"
    texts = ["(" + ", ".join(str(n) for n in s) + ")" for s in shapes]
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


def summary_text(
    model: Any, line_length: int | None = None, connections: dict[int, str] | None = None
) -> str:
    """The text; `connections` (layer id -> where its inputs come from) adds a column for models that
    branch.
    """
    default, positions = (88, [0.45, 0.80, 1.0]) if connections is None else (108, [0.3, 0.56, 0.74, 1.0])
    line = line_length or min(default, shutil.get_terminal_size().columns - 4)
    widths = _widths(positions, line)
    header = ["Layer (type)", "Output Shape", "Param #", "Connected to"][: len(widths)]
    rows = []
    for layer in model.layers:
        params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        row = [f"{layer.name} ({type(layer).__name__})", _shape(layer), params]
        if connections is not None:
            row.append(connections.get(id(layer)) or "-")
        rows.append(row)

    def draw(cells: list[str], bar: str) -> list[str]:
        wrapped = [textwrap.wrap(c, w - 2) or [""] for c, w in zip(cells, widths)]
        out = []
        for i in range(max(len(w) for w in wrapped)):
            texts = [w[i] if i < len(w) else "" for w in wrapped]
            padded = [
                f" {t:>{w - 2}} " if k == 2 else f" {t:<{w - 2}} "
                for k, (t, w) in enumerate(zip(texts, widths))
            ]
            out.append(bar + bar.join(padded) + bar)
        return out

    def rule(left: str, mid: str, right: str, fill: str) -> str:
        return left + mid.join(fill * w for w in widths) + right

    lines = [f'Model: "{model.name}"', rule("┏", "┳", "┓", "━"), *draw(header, "┃"), rule("┡", "╇", "┩", "━")]
    for i, row in enumerate(rows):
        if i:
            lines.append(rule("├", "┼", "┤", "─"))
        lines += draw(row, "│")
    lines.append(rule("└", "┴", "┘", "─"))
    trainable, trainable_bytes = _count(model.trainable_weights)
    frozen, frozen_bytes = _count(model.non_trainable_weights)
    slots, slot_bytes = 0, 0
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and optimizer.built:
        slots, slot_bytes = _count(optimizer.variables)
    total, total_bytes = trainable + frozen + slots, trainable_bytes + frozen_bytes + slot_bytes
    lines += [
        f" Total params: {total:,} ({_size(total_bytes)})",
        f" Trainable params: {trainable:,} ({_size(trainable_bytes)})",
        f" Non-trainable params: {frozen:,} ({_size(frozen_bytes)})",
    ]
    if slots:
        lines.append(f" Optimizer params: {slots:,} ({_size(slot_bytes)})")
    return "\n".join(lines)
