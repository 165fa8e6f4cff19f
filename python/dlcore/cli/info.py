"""Shows what dlcore runs on, for a report of a problem or of a speed.

examples:
  dlcore info
  dlcore info --json
  DLCORE_ISA=x86_64_v3 DLCORE_NUM_THREADS=1 dlcore info
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _cpu() -> str:
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> dict[str, int]:
    """Bytes: of the machine, free for new work, and in the hands of dlcore."""
    from dlcore import _C

    stats = _C.memory_stats()
    memory = {"dlcore_active": stats["active_bytes"], "dlcore_cached": stats["cached_bytes"]}
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key in ("MemTotal", "MemAvailable"):
                memory[{"MemTotal": "total", "MemAvailable": "available"}[key]] = int(value.split()[0]) * 1024
    except OSError:
        memory["total"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory


def _blas() -> dict[str, Any]:
    """The BLAS that NumPy was built with, and its threads where threadpoolctl can tell."""
    import numpy as np

    configuration: Any = np.show_config(mode="dicts")
    built = configuration.get("Build Dependencies", {}).get("blas", {})
    blas: dict[str, Any] = {"name": built.get("name", "unknown"), "version": built.get("version", "unknown")}
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return blas
    for pool in threadpool_info():
        if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
            blas |= {"threads": pool["num_threads"], "kernel": pool.get("architecture", "unknown")}
    return blas


def collect() -> dict[str, Any]:
    from dlcore import config

    return {**config.info(), "cpu": _cpu(), "memory": _memory(), "numpy_blas": _blas()}


def run(arguments: argparse.Namespace) -> int:
    info = collect()
    if arguments.json:
        print(json.dumps(info, indent=2))
        return 0
    memory, blas, cuda = info["memory"], info["numpy_blas"], info["cuda"]
    gib = {k: f"{v / 2**30:.1f} GiB" for k, v in memory.items()}
    rows = {
        "dlcore": f"{info['dlcore']}, Python {info['python']}, {info['platform']}",
        "CPU": info["cpu"],
        "ISA": f"{info['isa']} (available: {', '.join(info['isa_available'])}; DLCORE_ISA overrides)",
        "threads": f"{info['threads']} (from: {info['threads_reason']})",
        "CUDA": f"no: {cuda}" if isinstance(cuda, str) else "; ".join(cuda),
        "compiler": info["compiler"],
        "NumPy": f"{info['numpy']}, BLAS {blas['name']} {blas['version']}"
        + (f" ({blas['kernel']}, {blas['threads']} threads)" if "threads" in blas else ""),
        "memory": ", ".join(f"{gib[k]} {k}" for k in ("available", "total") if k in gib),
    }
    if info["debug_memory"]:
        rows["debug"] = "DLCORE_DEBUG_MEMORY: fresh memory is poisoned and guarded"
    for key, value in rows.items():
        print(f"{key:9} {value}")
    return 0
