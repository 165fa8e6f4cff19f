"""dlcore beside PyTorch's CPU build and NumPy, with the targets it set out to reach.

    python benchmarks/compare.py [--quick] [--only matmul,relu] [--out benchmarks/results]

Each library runs in a process of its own that lives for the whole comparison (benchmarks/peers.py); samples
are taken in turn, so that the machine's noise falls on all alike; a turn ends when the library's own idle
threads have gone to sleep. Twice: with every library's own number of threads, and pinned to one core
with one thread. Medians with quartiles; ratio = the peer's time over dlcore's. Writes compare.json and
compare.md, prints target, measured, verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TURN = 0.06  # seconds of calls in a row a turn: a step of a training is never alone


@dataclass(frozen=True)
class Job:
    name: str  # of the method in peers.py
    title: str
    peers: tuple[str, ...]
    flops: float = 0.0
    bytes: float = 0.0


JOBS = (
    Job("matmul", "matmul 1024 x 1024 x 1024", ("dlcore", "numpy", "torch"), flops=2 * 1024.0**3),
    Job("train_step", "the listing's training step, batch 64", ("dlcore", "torch")),
    Job(
        "max_pool",
        "max pooling 2x2, (64, 32, 112, 112)",
        ("dlcore", "torch"),
        bytes=64 * 32 * 112 * 112 * 5.0,
    ),
    Job("relu", "ReLU of 50 MB", ("dlcore", "torch", "numpy"), bytes=100e6),
    Job("add", "64 x 64 add, no gradient", ("dlcore", "torch", "numpy")),
)


@dataclass
class Worker:
    peer: str
    threads: int | None
    process: Any = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "peers.py"), self.peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(self.threads),
        )
        if self.threads == 1 and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, {min(os.sched_getaffinity(0))})

    def ask(self, **request: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.peer} worker died (status {self.process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def environment(threads: int | None) -> dict[str, str]:
    env = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "DLCORE_NUM_THREADS"):
        env.pop(name, None)
        if threads:
            env[name] = str(threads)
    return env


def spread(seconds: list[float]) -> dict[str, float]:
    q1, median, q3 = statistics.quantiles(seconds, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3, "samples": len(seconds)}


def compare_job(job: Job, workers: dict[str, Worker], rounds: int, budget: float) -> dict[str, Any]:
    """{peer: spread or {"missing": reason}}; all peers sampled in turn."""
    out: dict[str, Any] = {}
    calls: dict[str, int] = {}
    for peer in job.peers:
        if peer not in workers:
            out[peer] = {"missing": "not installed"}
            continue
        answer = workers[peer].ask(prepare=job.name)
        if "missing" in answer:
            out[peer] = answer
            continue
        once = workers[peer].ask(sample=job.name, calls=1)["seconds"]
        calls[peer] = max(1, round(TURN / max(once, 1e-6)))
    seconds: dict[str, list[float]] = {peer: [] for peer in calls}
    began = time.perf_counter()
    for i in range(rounds):
        if not calls or (i >= 3 and time.perf_counter() - began > budget):
            break
        for peer, n in calls.items():
            seconds[peer].append(workers[peer].ask(sample=job.name, calls=n)["seconds"])
    return {**out, **{peer: spread(s) for peer, s in seconds.items()}}


def import_times(rounds: int) -> dict[str, Any]:
    """Seconds from start to end of a process that imports the module, in turn."""
    seconds: dict[str, list[float]] = {"numpy": [], "dlcore": [], "torch": []}
    for i in range(rounds + 1):  # the first round fills the file cache
        for module, s in seconds.items():
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True)
            if done.returncode == 0 and i > 0:
                s.append(time.perf_counter() - start)
    return {module: spread(s) for module, s in seconds.items() if len(s) > 1}


def memory(n: int) -> dict[str, int]:
    """Bytes at most (VmHWM) of a process that trains the listing on n images for one epoch."""
    out = {}
    for peer in ("dlcore", "torch"):
        command = [sys.executable, str(HERE / "peers.py"), "memory", peer, str(n)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(None))
        if done.returncode == 0:
            out[peer] = int(done.stdout)
    return out


def verdicts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The targets, what was measured, and whether it holds; None where it could not be measured."""
    checks: list[dict[str, Any]] = []

    def check(target: str, value: float | None, holds: bool | None, shown: str) -> None:
        checks.append({"target": target, "measured": value, "shown": shown, "holds": holds})

    def ratio(threads: str, job: str, peer: str) -> float | None:
        times = result["jobs"].get(job, {}).get(threads, {})
        try:
            return float(times[peer]["median"] / times["dlcore"]["median"])
        except KeyError:
            return None

    def at_least(target: str, value: float | None, bound: float, unit: str = "x") -> None:
        text = "not measured" if value is None else f"{value:.2f} {unit}"
        check(target, value, None if value is None else value >= bound, text)

    def at_most(target: str, value: float | None, bound: float, unit: str, scale: float = 1.0) -> None:
        text = "not measured" if value is None else f"{value * scale:.3g} {unit}"
        check(target, value, None if value is None else value <= bound, text)

    at_least("matmul 1024, 1 thread: >= 1.0 x NumPy's OpenBLAS", ratio("one", "matmul", "numpy"), 1.0)
    machine = result["machine"].get("one", {})
    one = result["jobs"].get("matmul", {}).get("one", {}).get("dlcore", {})
    share = 2 * 1024**3 / one["median"] / machine["flops"] * 100 if "median" in one and machine else None
    at_least("matmul 1024, 1 thread: >= 80 % of the FMA peak", share, 80.0, "%")
    at_least("training step: >= 2 x eager PyTorch", ratio("default", "train_step", "torch"), 2.0)
    at_least("max pooling 2x2 forward: >= 4 x PyTorch", ratio("default", "max_pool", "torch"), 4.0)
    at_least("ReLU of 50 MB: >= 3 x PyTorch", ratio("default", "relu", "torch"), 3.0)
    add = result["jobs"].get("add", {}).get("default", {}).get("dlcore", {})
    at_most("64 x 64 add, no gradient: < 3 us", add.get("median"), 3e-6, "us", 1e6)
    imports = result.get("import", {})
    beyond = imports["dlcore"]["median"] - imports["numpy"]["median"] if "dlcore" in imports else None
    at_most("import dlcore: < 100 ms beyond NumPy's", beyond, 0.1, "ms", 1e3)
    held = result.get("memory", {})
    more = held["dlcore"] / held["torch"] if len(held) == 2 else None
    at_most("peak memory of the training: <= PyTorch's", more, 1.0, "x PyTorch's")
    return checks


def seconds_text(s: dict[str, Any]) -> str:
    if "median" not in s:
        return str(s.get("missing", ""))
    scale, unit = (1e3, "ms") if s["median"] >= 1e-3 else (1e6, "us")
    return f"{s['median'] * scale:.3g} {unit} ({s['q1'] * scale:.3g} to {s['q3'] * scale:.3g})"


def markdown(result: dict[str, Any]) -> str:
    lines = ["# dlcore beside PyTorch and NumPy", "", "Made by `python benchmarks/compare.py`.", ""]
    lines += [f"{k}: {v}  " for k, v in result["environment"].items()]
    for threads, m in result["machine"].items():
        limits = f"FMA peak {m['flops'] / 1e9:.0f} GFLOP/s, memory {m['bandwidth'] / 1e9:.1f} GB/s"
        lines.append(f"measured limits, {m['threads']} thread(s) ({threads}, {m['isa']}): {limits}  ")
    lines += ["", "| target | measured | |", "| --- | --- | --- |"]
    word = {True: "holds", False: "**falls short**", None: "-"}
    lines += [f"| {c['target']} | {c['shown']} | {word[c['holds']]} |" for c in result["verdicts"]]
    lines += ["", "Medians (first to third quartile); ratio = the peer's time over dlcore's.", ""]
    lines += ["| job | threads | dlcore | share of limit | PyTorch | ratio | NumPy | ratio |"]
    lines += ["| --- " * 8 + "|"]
    for job in JOBS:
        for threads, times in result["jobs"].get(job.name, {}).items():
            ours = times.get("dlcore", {})
            cells = [job.title, threads, seconds_text(ours), ""]
            machine = result["machine"].get(threads)
            if "median" in ours and machine and (job.flops or job.bytes):
                work, limit = (job.flops, "flops") if job.flops else (job.bytes, "bandwidth")
                cells[3] = f"{100 * work / ours['median'] / machine[limit]:.0f} %"
            for peer in ("torch", "numpy"):
                s = times.get(peer, {})
                both = "median" in s and "median" in ours
                cells += [seconds_text(s), f"{s['median'] / ours['median']:.2f}" if both else ""]
            lines.append("| " + " | ".join(cells) + " |")
    if result.get("import"):
        times = ", ".join(f"{m} {1e3 * s['median']:.0f} ms" for m, s in result["import"].items())
        lines += ["", f"A process that imports and ends: {times}."]
    if result.get("memory"):
        held = ", ".join(f"{p} {b / 2**20:.0f} MiB" for p, b in result["memory"].items())
        lines += ["", f"Most memory held while training the listing on {result['images']:,} images: {held}."]
    return "\n".join(lines) + "\n"


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "source tree" if package == "dlcore" else ""


def cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def environment_of(peers: Sequence[str]) -> dict[str, str]:
    """What a reader must know of the machine and the moment."""
    return {
        "machine": f"{cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "versions": ", ".join(f"{p} {version(p)}" for p in peers),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load": ", ".join(f"{v:.2f}" for v in os.getloadavg()),
    }


def measure(only: set[str], quick: bool, images: int) -> dict[str, Any]:
    rounds, budget = (3, 0.0) if quick else (41, 20.0)
    peers = [p for p in ("dlcore", "torch", "numpy") if version(p)]
    result: dict[str, Any] = {
        "environment": environment_of(peers),
        "machine": {},
        "jobs": {},
        "quick": quick,
    }
    jobs = [j for j in JOBS if not only or j.name in only]
    for label, threads in (("default", None), ("one", 1)) if jobs else ():
        workers = {p: Worker(p, threads) for p in peers}
        try:
            limits = [workers["dlcore"].ask(machine=0.1 if quick else 1.0)]
            for job in jobs:
                times = compare_job(job, workers, rounds, budget)
                result["jobs"].setdefault(job.name, {})[label] = times
                shown = "; ".join(f"{p} {seconds_text(s)}" for p, s in times.items())
                print(f"{job.title} [{label}]: {shown}", flush=True)
                # Limits are the best ever seen, so that a busy moment does not flatter anyone.
                limits.append(workers["dlcore"].ask(machine=0.1 if quick else 1.0))
            best = {key: max(m[key] for m in limits) for key in ("flops", "bandwidth")}
            result["machine"][label] = limits[0] | best
        finally:
            for worker in workers.values():
                worker.close()
    if not only or "import" in only:
        result["import"] = import_times(2 if quick else 11)
    if not only or "memory" in only:
        result["images"] = images or (1280 if quick else 12800)
        result["memory"] = memory(result["images"])
    result["verdicts"] = verdicts(result)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few samples: a look, not a measurement")
    names = [*(j.name for j in JOBS), "import", "memory"]
    parser.add_argument("--only", default="", metavar="A,B", help=f"of: {', '.join(names)}")
    parser.add_argument("--out", metavar="DIR", help="default: benchmarks/results, with --quick nowhere")
    parser.add_argument(
        "--images", type=int, default=0, help="that the memory run trains on (default: 12800)"
    )
    arguments = parser.parse_args()
    only = set(filter(None, arguments.only.split(",")))
    if unknown := only - set(names):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}")
    result = measure(only, arguments.quick, arguments.images)

    print()
    for c in result["verdicts"]:
        word = {True: "holds", False: "FALLS SHORT", None: ""}[c["holds"]]
        print(f"{c['target']:52} {c['shown']:>20} {word}")
    out = arguments.out or (None if arguments.quick else HERE / "results")
    if out:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "compare.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        (folder / "compare.md").write_text(markdown(result), encoding="utf-8")
        print(f"\nwritten: {folder / 'compare.md'}, {folder / 'compare.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
