"""Cliffs: each kernel's efficiency along one axis at a time, over odd values as well as round ones.

    python benchmarks/sweep.py [--only conv,attention] [--out benchmarks/results]

A call's time is processor time on one thread, the least of several runs; its work the formula's arithmetic,
or the bytes that must move. A line through the two neighbours' times over their work foretells the time of
the point between them, so that what every call costs is no cliff; the first point may take its neighbour's
time, the last has its neighbour's efficiency. A cliff is a point that takes more than twice what is foretold.
What looks like one is measured again. Writes sweep.json and sweep.md: each axis with its least ratio, and
every cliff.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layers import Job, Library, forward, normal, train

HERE = Path(__file__).resolve().parent
# Ones, odd numbers, and the neighbours of multiples of the vectors' lengths.
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 100, 127, 128, 129)
SIZES = (1, 2, 3, 5, 7, 8, 9, 13, 14, 15, 16, 17, 27, 28, 29, 31, 32, 33, 55, 56, 57, 63, 64, 65, 111, 112)
LENGTHS = (*CHANNELS, 200, 255, 256, 257, 400, 511, 512, 513, 800, 1023, 1024, 1025)
BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33)

Make = Callable[[Library, int], Job]


@dataclass(frozen=True)
class Axis:
    name: str
    values: tuple[int, ...]
    make: Make
    work: Callable[[int], float]


AXES: list[Axis] = []


def axis(name: str, values: tuple[int, ...], make: Make, work: Callable[[int], float]) -> None:
    AXES.append(Axis(name, values, make, work))


def both(
    name: str,
    values: tuple[int, ...],
    f: Callable[[Library, int], tuple[Callable[..., Any], tuple[Any, ...]]],
    work: Callable[[int], float],
) -> None:
    """A function and its arguments at each value: forward, and with the backward."""

    def ahead(L: Library, v: int) -> Job:
        function, arguments = f(L, v)
        return forward(L, function, *arguments)

    def back(L: Library, v: int) -> Job:
        function, arguments = f(L, v)
        return train(L, function, *arguments)

    axis(name, values, ahead, work)
    axis(f"{name} fwd+bwd", values, back, lambda v: 3 * work(v))


def convolution(
    name: str,
    values: tuple[int, ...],
    sizes: Callable[[int], dict[str, int]],
) -> None:
    """conv2d with n images, c channels to o, planes of h x w, kernel k, stride s, dilation d, groups g."""

    def filled(v: int) -> dict[str, int]:
        return {
            "n": 2, "c": 32, "o": 32, "h": 28, "w": 28, "k": 3, "s": 1, "d": 1, "g": 1, **sizes(v)
        }  # fmt: skip

    def f(L: Library, v: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        z = filled(v)
        options = {"stride": z["s"], "padding": z["d"] * (z["k"] // 2), "dilation": z["d"], "groups": z["g"]}
        x, w = normal(z["n"], z["c"], z["h"], z["w"]), normal(z["o"], z["c"] // z["g"], z["k"], z["k"])
        return lambda x, w: L.F.conv2d(x, w, **options), (x, w)

    def work(v: int) -> float:
        z = filled(v)
        side = [(z[a] + 2 * z["d"] * (z["k"] // 2) - z["d"] * (z["k"] - 1) - 1) // z["s"] + 1 for a in "hw"]
        return 2.0 * z["n"] * z["o"] * (z["c"] // z["g"]) * z["k"] ** 2 * side[0] * side[1]

    both(f"conv2d {name}", values, f, work)


convolution("channels in = out, 3x3", CHANNELS, lambda v: {"c": v, "o": v})
convolution("channels in, 3x3 to 32", CHANNELS, lambda v: {"c": v})
convolution("channels out, 3x3 from 32", CHANNELS, lambda v: {"o": v})
convolution("channels in = out, 1x1", CHANNELS, lambda v: {"c": v, "o": v, "k": 1})
convolution("depthwise 3x3, channels", CHANNELS, lambda v: {"c": v, "o": v, "g": v})
convolution("planes, 3x3", SIZES, lambda v: {"h": v, "w": v})
convolution("width, 3x3", SIZES, lambda v: {"w": v})
convolution("planes, 5x5", SIZES, lambda v: {"h": v, "w": v, "k": 5})
convolution("kernel", (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13), lambda v: {"k": v})
convolution("kernel, 3 channels in", (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13), lambda v: {"k": v, "c": 3})
convolution("stride, 3x3 of 57", (6, 5, 4, 3, 2, 1), lambda v: {"s": v, "h": 57, "w": 57})
convolution("dilation, 3x3", (1, 2, 3, 4, 5), lambda v: {"d": v})
convolution("groups of 64", (64, 32, 16, 8, 4, 2, 1), lambda v: {"g": v, "c": 64, "o": 64})
convolution("batch, 3x3 of 14", BATCHES, lambda v: {"n": v, "h": 14, "w": 14})


def product(name: str, values: tuple[int, ...], sizes: Callable[[int], tuple[int, int, int]]) -> None:
    def f(L: Library, v: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        m, k, n = sizes(v)
        return lambda a, b: a @ b, (normal(m, k), normal(k, n))

    both(f"matmul {name}", values, f, lambda v: 2.0 * math.prod(sizes(v)))


product("rows m of m x 256 x 256", LENGTHS, lambda v: (v, 256, 256))
product("k of 256 x k x 256", LENGTHS, lambda v: (256, v, 256))
product("columns n of 256 x 256 x n", LENGTHS, lambda v: (256, 256, v))
product("all three", LENGTHS[:-6], lambda v: (v, v, v))
both(
    "linear batch, 768 to 768",
    LENGTHS[:-6],
    lambda L, v: (L.F.linear, (normal(v, 768), normal(768, 768), normal(768))),
    lambda v: 2.0 * v * 768 * 768,
)


def attention(name: str, values: tuple[int, ...], sizes: Callable[[int], dict[str, int]]) -> None:
    def filled(v: int) -> dict[str, int]:
        return {"b": 1, "h": 4, "q": 128, "t": 128, "d": 64, "causal": 0, **sizes(v)}

    def f(L: Library, v: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        z = filled(v)
        shape = (z["b"], z["h"])
        q, k = normal(*shape, z["q"], z["d"]), normal(*shape, z["t"], z["d"])
        causal = bool(z["causal"])
        return lambda q, k, v: L.F.scaled_dot_product_attention(q, k, v, is_causal=causal), (q, k, k)

    def work(v: int) -> float:
        z = filled(v)
        return 4.0 * z["b"] * z["h"] * z["q"] * z["t"] * z["d"] / (1 + z["causal"])

    both(f"attention {name}", values, f, work)


attention("tokens", LENGTHS, lambda v: {"q": v, "t": v})
attention("tokens, causal", LENGTHS, lambda v: {"q": v, "t": v, "causal": 1})
attention("keys of one query", LENGTHS, lambda v: {"q": 1, "t": v})
attention("head size", (*CHANNELS, 160, 191, 192, 193, 255, 256, 257), lambda v: {"d": v})


def recurrent(name: str, values: tuple[int, ...], sizes: Callable[[int], dict[str, int]], gates: int) -> None:
    """A layer over 8 steps, by its module."""

    def filled(v: int) -> dict[str, int]:
        return {"b": 8, "t": 8, "i": 64, "h": 64, **sizes(v)}

    def module(L: Library, v: int) -> tuple[Any, Any]:
        z = filled(v)
        kind = {4: L.nn.LSTM, 3: L.nn.GRU}[gates]
        return kind(z["i"], z["h"], batch_first=True), normal(z["b"], z["t"], z["i"])

    def ahead(L: Library, v: int) -> Job:
        m, x = module(L, v)
        return forward(L, m, x)

    def back(L: Library, v: int) -> Job:
        m, x = module(L, v)
        return train(L, m, x, module=m)

    def work(v: int) -> float:
        z = filled(v)
        return 2.0 * gates * z["b"] * z["t"] * z["h"] * (z["i"] + z["h"])

    axis(name, values, ahead, work)
    axis(f"{name} fwd+bwd", values, back, lambda v: 3 * work(v))


for kind, gates in (("LSTM", 4), ("GRU", 3)):
    recurrent(f"{kind} hidden size", (*CHANNELS, 200, 255, 256, 257), lambda v: {"h": v}, gates)
    recurrent(f"{kind} input size", CHANNELS, lambda v: {"i": v}, gates)
    recurrent(f"{kind} batch", BATCHES, lambda v: {"b": v}, gates)
    recurrent(f"{kind} steps", BATCHES, lambda v: {"t": v}, gates)


def rows(name: str, f: Callable[[Library, int], Callable[..., Any]], *more: Callable[[int], Any]) -> None:
    """256 rows of each length; `more` are the arguments after x. Work is what must be read and written."""
    both(
        f"{name}, row length",
        LENGTHS,
        lambda L, v: (f(L, v), (normal(256, v), *(m(v) for m in more))),
        lambda v: 8.0 * 256 * v,
    )


rows("softmax", lambda L, v: lambda x: L.F.softmax(x, -1))
rows("log_softmax", lambda L, v: lambda x: L.F.log_softmax(x, -1))
rows("layer_norm", lambda L, v: lambda x, w, b: L.F.layer_norm(x, (v,), w, b), normal, normal)
rows("rms_norm", lambda L, v: lambda x, w: L.F.rms_norm(x, (v,), w), normal)
rows("gelu", lambda L, v: L.F.gelu)
rows("sum of rows", lambda L, v: lambda x: x.sum(-1))
rows("sum of columns", lambda L, v: lambda x: x.sum(0))
rows("transpose and copy", lambda L, v: lambda x: x.transpose(0, 1).contiguous())
rows("broadcast add", lambda L, v: lambda x, b: x + b, normal)


def planes(
    name: str, f: Callable[[Library], Callable[..., Any]], channels: tuple[int, ...] = CHANNELS
) -> None:
    both(
        f"{name}, planes", SIZES[2:], lambda L, v: (f(L), (normal(2, 16, v, v),)), lambda v: 8.0 * 32 * v * v
    )
    both(
        f"{name}, channels", channels, lambda L, v: (f(L), (normal(2, v, 28, 28),)), lambda v: 16.0 * v * 784
    )


planes("max_pool2d 2x2", lambda L: lambda x: L.F.max_pool2d(x, 2, ceil_mode=True))
planes("max_pool2d 3x3/2", lambda L: lambda x: L.F.max_pool2d(x, 3, 2, 1))
planes("avg_pool2d 3x3/1", lambda L: lambda x: L.F.avg_pool2d(x, 3, 1, 1))
planes("adaptive_avg_pool2d to 1", lambda L: lambda x: L.F.adaptive_avg_pool2d(x, 1))
planes("batch statistics", lambda L: lambda x: L.F.batch_norm(x, None, None, training=True))
planes("interpolate x2", lambda L: lambda x: L.F.interpolate(x, scale_factor=2, mode="bilinear"))


def seconds(job: Job, rounds: int) -> float:
    """The least processor time of a call."""
    job()
    start = time.thread_time_ns()
    job()
    calls = max(1, min(1000, 400_000 // max(1, time.thread_time_ns() - start)))
    best = math.inf
    for _ in range(rounds):
        start = time.thread_time_ns()
        for _ in range(calls):
            job()
        best = min(best, (time.thread_time_ns() - start) / calls)
    return best * 1e-9


def ratios(work: list[float], times: list[float]) -> Iterator[float]:
    """Of the time that the neighbours foretell to the time that was found."""
    for i, (w, t) in enumerate(zip(work, times)):
        if i == 0:
            yield times[1] / t  # less work than the neighbour has takes no longer
        elif i == len(times) - 1:
            yield times[i - 1] * w / work[i - 1] / t
        else:
            span = work[i + 1] - work[i - 1]
            share = (w - work[i - 1]) / span if span else 0.5
            yield (times[i - 1] + share * (times[i + 1] - times[i - 1])) / t


def measure(a: Axis, L: Library) -> dict[str, Any]:
    best = [seconds(a.make(L, v), 5) for v in a.values]

    work = [a.work(v) for v in a.values]
    for _ in range(3):  # a disturbed sample looks like a cliff: those points and their neighbours again
        again = {j for i, r in enumerate(ratios(work, best)) if r < 0.6 for j in (i - 1, i, i + 1)}
        for i in again & set(range(len(best))):
            best[i] = min(best[i], seconds(a.make(L, a.values[i]), 9))
    found = list(ratios(work, best))
    worst = min(range(len(found)), key=found.__getitem__)
    cliffs = {str(v): round(r, 3) for v, r in zip(a.values, found) if r < 0.5}
    return {
        "values": a.values,
        "seconds": best,
        "least": round(found[worst], 3),
        "at": a.values[worst],
        "cliffs": cliffs,
    }


def markdown(result: dict[str, Any]) -> str:
    axes = result["axes"]
    points = sum(len(r["values"]) for r in axes.values())
    cliffs = [(name, v, r) for name, a in axes.items() for v, r in a["cliffs"].items()]
    lines = ["# Cliffs", "", "Made by `python benchmarks/sweep.py`, which says what a cliff is.", ""]
    lines += [f"{k}: {v}  " for k, v in result["environment"].items()]
    lines += ["", f"{len(axes)} axes, {points} points; {len(cliffs)} are cliffs."]
    lines += [f"- {name}, at {v}: {r:.2f}" for name, v, r in cliffs]
    lines += ["", "| axis | points | from | to | least of foretold over found | at |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for name, a in axes.items():
        v = a["values"]
        lines.append(f"| {name} | {len(v)} | {v[0]} | {v[-1]} | {a['least']:.2f} | {a['at']} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    from compare import environment_of

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="A,B", help="axes that contain one of these")
    parser.add_argument("--out", metavar="DIR", help="default: benchmarks/results, with --only nowhere")
    arguments = parser.parse_args()
    words = list(filter(None, arguments.only.split(",")))
    chosen = [a for a in AXES if not words or any(w in a.name for w in words)]
    if not chosen:
        parser.error(f"--only: no axis contains any of {', '.join(words)}")
    import dlcore

    dlcore.set_num_threads(1)
    L = Library.dlcore()
    result: dict[str, Any] = {"environment": environment_of(("dlcore",)), "axes": {}}
    for a in chosen:
        found = result["axes"][a.name] = measure(a, L)
        more = f"; cliffs {found['cliffs']}" if found["cliffs"] else ""
        print(f"{found['least']:5.2f} at {found['at']:5d}  {a.name}{more}", flush=True)
    out = arguments.out or (None if words else HERE / "results")
    if out:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sweep.json").write_text(json.dumps(result) + "\n", encoding="utf-8")
        (folder / "sweep.md").write_text(markdown(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
