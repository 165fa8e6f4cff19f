"""Times every kernel beside what a NumPy user would write, with the same number of threads, in turn.

The table gives medians with half the interquartile range, the rate in GFLOP/s or GB/s, its share of the
machine's measured limit (FMA peak or memory bandwidth, whichever binds), and NumPy's time over dlcore's.

examples:
  dlcore bench
  dlcore bench --threads 1 --filter matmul
  dlcore bench --json results.json --plot roofline.png
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of both sides (default: dlcore's own number)"
    )
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only kernels whose name or family holds TEXT"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write everything measured as JSON (- for standard output)"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="write a roofline picture (needs the extra: dlcore[plot])"
    )
    parser.add_argument("--quick", action="store_true", help="few samples: a look, not a measurement")


def run(arguments: argparse.Namespace) -> int:
    import importlib.util

    from dlcore import bench
    from dlcore.bench import present

    if arguments.threads is not None and not 1 <= arguments.threads <= 4096:
        raise ValueError(f"--threads must be between 1 and 4096, got {arguments.threads}")
    cases = [c for c in bench.all_cases() if arguments.filter in c.name or arguments.filter in c.group]
    if not cases:
        groups = ", ".join(sorted({c.group for c in bench.all_cases()}))
        raise ValueError(f"--filter {arguments.filter!r} matches no kernel (families: {groups})")
    if (
        arguments.plot and importlib.util.find_spec("matplotlib") is None
    ):  # said before the work, not after it
        raise ImportError("--plot needs matplotlib: pip install 'dlcore[plot]'")
    for name in (arguments.json, arguments.plot):
        if name and name != "-" and not Path(name).absolute().parent.is_dir():
            raise FileNotFoundError(f"no such folder: {Path(name).parent}")

    out = sys.stderr if arguments.json == "-" else sys.stdout
    machine = bench.measure_machine(arguments.threads, seconds=0.1 if arguments.quick else 1.0)
    print(present.machine_line(machine), present.header(), sep="\n", file=out, flush=True)
    results = []
    for result in bench.run(cases, machine, budget=0.05 if arguments.quick else 1.0):
        results.append(result)
        print(present.row(result), file=out, flush=True)
    print(present.footer(results), file=out)
    if arguments.json:
        text = json.dumps(bench.report(machine, results), indent=2)
        if arguments.json == "-":
            print(text)
        else:
            Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    if arguments.plot:
        present.roofline(machine, results, arguments.plot)
    return 0
