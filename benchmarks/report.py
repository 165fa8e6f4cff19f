"""docs/performance.md from the results of the benchmarks, which it can run first.

    python benchmarks/report.py            from what lies in benchmarks/results
    python benchmarks/report.py --measure  runs all the benchmarks before, an hour

The page says the machine, the peers' versions, what was measured by family of kernels, whole models and
decoding, and every case in which a peer is ahead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import layers
import models
from compare import seconds_text

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
THREADS = {"default": "two threads", "one": "one thread"}


def measure() -> None:
    """Runs every benchmark; each writes its own results."""
    bench = [
        "-m",
        "dlcore",
        "bench",
        "--json",
        str(RESULTS / "bench.json"),
        "--plot",
        str(RESULTS / "roofline.png"),
    ]
    scripts = [[str(HERE / f"{name}.py")] for name in ("compare", "layers", "models", "sweep")]
    scripts.append([str(HERE / "layers.py"), "--threads", "one", "--dtype", "float64"])
    written = [
        [str(HERE / f"{name}.py"), "--json", str(RESULTS / f"{name}.json")]
        for name in ("generation", "startup")
    ]
    for arguments in (bench, *scripts, *written):
        done = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
        if arguments is bench:
            (RESULTS / "bench.txt").write_text(done.stdout, encoding="utf-8")


def read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def ratios(times: dict[str, Any], peer: str) -> dict[str, float]:
    """The peer's time over dlcore's, of the cases that both ran."""
    return {
        name: t[peer]["median"] / t["dlcore"]["median"]
        for name, t in times.items()
        if "median" in t.get(peer, {}) and "median" in t["dlcore"]
    }


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["", *("| " + " | ".join(r) + " |" for r in (head, ["---"] * len(head), *rows)), ""]


def conditions(result: dict[str, Any]) -> list[str]:
    lines = [f"{key}: {value}  " for key, value in result["environment"].items()]
    for m in result["machine"].values():
        limits = f"FMA peak {m['flops'] / 1e9:.0f} GFLOP/s, memory {m['bandwidth'] / 1e9:.1f} GB/s"
        lines.append(f"measured limits, {m['threads']} thread(s), {m['isa']}: {limits}  ")
    return lines


def families(result: dict[str, Any]) -> list[str]:
    """Geometric means by family, the least and the greatest ratio."""
    by: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for threads, times in result["jobs"].items():
        for name, ratio in ratios(times, "torch").items():
            by["all"][threads].append(ratio)
            by[layers.CASES[name].group][threads].append(ratio)
    rows = []
    for group in sorted(by, key=lambda g: (g != "all", g)):
        cells = [group]
        for threads in result["jobs"]:
            r = by[group][threads]
            cells += [f"{layers.geometric_mean(r):.2f}", f"{min(r):.2f} to {max(r):.2f}"] if r else ["", ""]
        rows.append([*cells, str(max(len(r) for r in by[group].values()))])
    head = ["family", *(c for t in result["jobs"] for c in (f"mean, {THREADS[t]}", "range")), "cases"]
    return table(head, rows)


def whole_models(result: dict[str, Any]) -> list[str]:
    lines = []
    for threads, times in result["jobs"].items():
        rows = []
        for name, t in times.items():
            cells = [name, seconds_text(t["dlcore"])]
            m = result["machine"][threads]
            flops = models.CASES[name].flops
            cells.append(
                f"{100 * flops / t['dlcore']['median'] / m['flops']:.0f} %" if "median" in t["dlcore"] else ""
            )
            for peer in ("torch", "onnxruntime"):
                r = ratios({name: t}, peer).get(name)
                cells += [seconds_text(t[peer]), f"{r:.2f}"] if r else ["", ""]
            rows.append(cells)
        head = ["model", "dlcore", "of the FMA peak", "PyTorch", "ratio", "ONNX Runtime", "ratio"]
        lines += [f"{THREADS[threads].capitalize()}:", *table(head, rows)]
    return lines


def decoding(result: dict[str, Any]) -> list[str]:
    import generation

    rows = []
    for job, t in result["jobs"].items():
        cells = [generation.JOBS[job][0]]
        for peer in generation.PEERS:
            if "median" not in t[peer]:
                cells += [""] * (1 if peer == "dlcore" else 2)
                continue
            cells.append(f"{1e3 * t[peer]['median'] / generation.NEW:.2f} ms")
            if peer != "dlcore":
                cells.append(f"{t[peer]['median'] / t['dlcore']['median']:.2f}")
        rows.append(cells)
    lines = table(["job, a token", "dlcore", "Transformers", "ratio", "CTranslate2", "ratio"], rows)
    jobs = result["jobs"]
    whole = jobs.get("gpt2", {}).get("ctranslate2", {}).get("median")
    narrow = {
        dtype: whole / jobs[job]["dlcore"]["median"]
        for job, dtype in generation.NARROW.items()
        if whole and "median" in jobs.get(job, {}).get("dlcore", {})
    }
    if narrow:
        times = ", ".join(f"{ratio:.2f} in {dtype}" for dtype, ratio in narrow.items())
        lines += [f"GPT-2 greedy in fewer bits over CTranslate2's float32: {times} times as fast.", ""]
    return lines


def starting(result: dict[str, Any]) -> list[str]:
    import startup

    lines = []
    if start := result["start"]:
        rows = []
        for name, key, form in (("wall clock", "wall", "{:.2f} s"), ("processor time", "cpu", "{:.2f} s")):
            ours, theirs = start["dlcore"][key], start["torch"][key]
            rows.append([name, form.format(ours), form.format(theirs), f"{theirs / ours:.2f}"])
        lines += [startup.START + ".", *table(["", "dlcore", "Transformers", "ratio"], rows)]
    held = {startup.START: {p: s["bytes"] for p, s in start.items()}} if start else {}
    held |= {startup.MEMORY[job]: of for job, of in result["memory"].items()}
    rows = [
        [title, *(f"{of[p] / 2**20:.0f} MiB" for p in startup.PEERS), f"{of['dlcore'] / of['torch']:.2f}"]
        for title, of in held.items()
    ]
    head = ["most memory that the process held", "dlcore", "PyTorch", "dlcore's over PyTorch's"]
    return lines + (table(head, rows) if rows else [])


def behind(results: dict[str, dict[str, Any]]) -> list[str]:
    rows = []
    for result in results.values():
        for threads, times in result["jobs"].items():
            for peer, title in (("torch", "PyTorch"), ("onnxruntime", "ONNX Runtime")):
                rows += [
                    (r, [name, THREADS[threads], title, f"{r:.2f}"])
                    for name, r in ratios(times, peer).items()
                    if r < 1
                ]
    return table(["case", "threads", "peer", "ratio"], [row for _, row in sorted(rows)])


def page() -> str:
    lines = [
        "# Performance",
        "",
        "Made by `python benchmarks/report.py` from [benchmarks/results](../benchmarks/results);",
    ]
    lines += ["`--measure` runs the benchmarks before. Ratios are the peer's time over dlcore's: above 1,"]
    lines += ["dlcore is faster."]
    lines += [
        "Every library runs in a process of its own, sampled in turn; medians and their quartiles.",
        "",
    ]
    compared = {name: r for name in ("layers", "models") if (r := read(name))}
    if "layers" in compared:
        lines += [
            "## Layers at the sizes of real models, beside PyTorch",
            "",
            *conditions(compared["layers"]),
        ]
        lines += families(compared["layers"])
        lines += ["All cases: [layers.md](../benchmarks/results/layers.md).", ""]
    if doubles := read("layers-float64"):
        found = sorted(ratios(doubles["jobs"]["one"], "torch").values())
        mean, less = layers.geometric_mean(found), sum(r < 1 for r in found)
        lines += [
            f"In float64, one thread, {len(found)} cases: geometric mean {mean:.2f}, PyTorch is ahead in "
            f"{less} (least {found[0]:.2f}); [layers-float64.md](../benchmarks/results/layers-float64.md).",
            "",
        ]
    if swept := read("sweep"):
        axes = swept["axes"].values()
        points, cliffs = sum(len(a["values"]) for a in axes), sum(len(a["cliffs"]) for a in axes)
        lines += [
            f"Cliffs: {cliffs} of {points} points on {len(axes)} axes take more than twice what their "
            "neighbours foretell; [sweep.md](../benchmarks/results/sweep.md).",
            "",
        ]
    if "models" in compared:
        lines += [
            "## Whole models",
            "",
            *conditions(compared["models"]),
            "",
            *whole_models(compared["models"]),
        ]
    if decoded := read("generation"):
        lines += ["## Decoding, one thread, processor time", ""]
        lines += [f"{k}: {v}  " for k, v in decoded["environment"].items()]
        lines += decoding(decoded)
    if started := read("startup"):
        lines += ["## The first token, and memory, one thread", ""]
        lines += [f"{k}: {v}  " for k, v in started["environment"].items()]
        lines += starting(started)
    if targets := read("compare"):
        lines += ["## The first network, memory, import", "", *conditions(targets)]
        words = {True: "holds", False: "falls short", None: ""}
        lines += table(
            ["target", "measured", ""],
            [[v["target"], v["shown"], words[v["holds"]]] for v in targets["verdicts"]],
        )
    lines += ["## The roofline, beside NumPy", ""]
    lines += [
        "Each kernel of `dlcore bench` under the machine's two limits; the table is "
        "[bench.txt](../benchmarks/results/bench.txt).",
        "",
    ]
    lines += ["![kernels under the roofline](../benchmarks/results/roofline.png)", ""]
    lines += ["## Where a peer is ahead", "", *behind(compared)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="run the benchmarks first")
    if parser.parse_args().measure:
        measure()
    path = HERE.parent / "docs" / "performance.md"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page(), encoding="utf-8")
    os.replace(temporary, path)
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
