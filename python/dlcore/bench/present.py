"""Results as text and as a roofline picture (Williams, Waterman, Patterson, CACM 52(4), 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.bench import Machine, Result, Spread, geometric_mean

__all__ = ["footer", "header", "machine_line", "roofline", "row", "time"]

_WIDTH = 40


def time(seconds: float) -> str:
    for unit, scale in (("s ", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale or unit == "us":
            return f"{seconds / scale:.3g} {unit}"
    raise AssertionError


def _spread(s: Spread) -> str:
    return f"{time(s.median):>8} ±{50 * s.iqr / s.median:3.0f}%"


def machine_line(m: Machine) -> str:
    return (
        f"{m.isa}, {m.threads} thread{'s' if m.threads > 1 else ''}: "
        f"FMA peak {m.flops / 1e9:.0f} GFLOP/s, memory {m.bandwidth / 1e9:.1f} GB/s (measured, float32)"
    )


def header() -> str:
    names = f"{'dlcore':>14} {'NumPy':>14} {'rate':>14} {'of limit':>10} {'ratio':>7}"
    return f"{'kernel':{_WIDTH}} {names}"


def row(r: Result) -> str:
    (rate, unit), (share, limit) = r.rate, r.share
    return (
        f"{r.name:{_WIDTH}.{_WIDTH}} {_spread(r.dlcore):>14} {_spread(r.numpy):>14} "
        f"{rate:6.3g} {unit:>7} "
        f"{100 * share:4.0f} % {limit} {r.ratio:6.2f}x"
    )


def footer(results: Sequence[Result]) -> str:
    mean = geometric_mean(r.ratio for r in results)
    return (
        f"{len(results)} kernels, geometric mean {mean:.2f}x NumPy's speed. "
        "Medians ± half the interquartile range; the limit is the one that binds."
    )


def roofline(machine: Machine, results: Sequence[Result], path: str | Path) -> None:
    """Each kernel under the machine's roof. Raises ImportError that names the extra where matplotlib is
    missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'dlcore[plot]'") from None
    figure: Any = Figure(figsize=(9, 6), layout="constrained")
    axes: Any = figure.add_subplot()
    intensity = np.array([max(r.intensity, 1e-2) for r in results])
    xs = np.geomspace(min(intensity.min() / 2, 0.05), max(intensity.max() * 2, 100.0), 200)
    axes.plot(xs, np.minimum(machine.flops, machine.bandwidth * xs) / 1e9, "k-", lw=1.5, label="limit")
    sides = ("dlcore", "o", [r.dlcore for r in results]), ("NumPy", "x", [r.numpy for r in results])
    for label, marker, times in sides:
        work = [max(r.flops, 1e-2 * r.bytes) for r in results]
        rate = np.array([w / s.median / 1e9 for w, s in zip(work, times, strict=True)])
        axes.plot(intensity, rate, marker, label=label, alpha=0.8)
        if label == "dlcore":
            for r, x, y in zip(results, intensity, rate, strict=True):
                axes.annotate(r.name, (x, y), fontsize=5, xytext=(3, 3), textcoords="offset points")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="operations per byte that must move",
        ylabel="GFLOP/s",
        title=machine_line(machine),
    )
    axes.grid(True, which="both", alpha=0.2)
    axes.legend()
    figure.savefig(path, dpi=150)
