"""The jobs of compare.py, one class a library, and the cases of layers.py and models.py.

Runs as a worker: python peers.py dlcore|torch|numpy|onnxruntime

A worker lives as long as the comparison, in a process of its own, so that no library's threads, allocator or
imports touch another's. It reads one JSON request a line and answers with one:
    {"prepare": job}            -> {"ready": true} or {"missing": reason}: data made, caches warm
    {"sample": job, "calls": n} -> {"seconds": s}: the mean of n calls
    {"machine": seconds}        -> the machine's limits (dlcore only)
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Job = Callable[[], Any]
RELU_ELEMENTS = 50_000_000 // 4
POOL_SHAPE = (64, 32, 112, 112)  # N, C, H, W


def images(n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """(n, 28, 28, 1) floats and their labels: MNIST's shapes, any content."""
    return rng.random((n, 28, 28, 1), np.float32), rng.integers(0, 10, n)


def square(rng: np.random.Generator) -> tuple[Any, Any]:
    return rng.standard_normal((1024, 1024), np.float32), rng.standard_normal((1024, 1024), np.float32)


class Dlcore:
    def __init__(self) -> None:
        import dlcore

        self.dlcore = dlcore
        self.rng = np.random.default_rng(0)

    def matmul(self) -> Job:
        a, b = (self.dlcore.from_numpy(v) for v in square(self.rng))
        return lambda: a @ b

    def train_step(self) -> Job:
        from dlcore.cli.demo import build_model

        model = build_model()
        x, y = images(64, self.rng)
        return lambda: model.train_on_batch(x, y)

    def max_pool(self) -> Job:
        from dlcore.nn import functional as F

        x = self.dlcore.from_numpy(self.rng.standard_normal(POOL_SHAPE, np.float32))
        return lambda: F.max_pool2d(x, 2)

    def relu(self) -> Job:
        from dlcore.nn import functional as F

        x = self.dlcore.from_numpy(self.rng.standard_normal(RELU_ELEMENTS, np.float32))
        return lambda: F.relu(x)

    def add(self) -> Job:
        a, b = (self.dlcore.from_numpy(v) for v in self.rng.standard_normal((2, 64, 64), np.float32))
        return lambda: a + b

    def train(self, n: int) -> None:
        from dlcore.cli.demo import build_model

        x, y = images(n, self.rng)
        build_model().fit(x, y, epochs=1, batch_size=64, verbose=0)

    def machine(self, seconds: float) -> dict[str, Any]:
        from dataclasses import asdict

        from dlcore import bench

        return asdict(bench.measure_machine(seconds=seconds))


class Torch:
    def __init__(self) -> None:
        import torch

        self.torch = torch
        if threads := os.environ.get("OMP_NUM_THREADS"):
            torch.set_num_threads(int(threads))
        self.rng = np.random.default_rng(0)

    def matmul(self) -> Job:
        a, b = (self.torch.from_numpy(v) for v in square(self.rng))
        return lambda: a @ b

    def _model(self) -> tuple[Any, Any]:
        nn = self.torch.nn
        model = nn.Sequential(
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(1600, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
        return model, self.torch.optim.Adam(model.parameters())

    def _step(self, model: Any, optimizer: Any, x: Any, y: Any) -> float:
        optimizer.zero_grad()
        loss = self.torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def train_step(self) -> Job:
        model, optimizer = self._model()
        x, y = images(64, self.rng)
        x, y = self.torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), self.torch.from_numpy(y)
        return lambda: self._step(model, optimizer, x, y)

    def max_pool(self) -> Job:
        x = self.torch.from_numpy(self.rng.standard_normal(POOL_SHAPE, np.float32))
        return lambda: self.torch.nn.functional.max_pool2d(x, 2)

    def relu(self) -> Job:
        x = self.torch.from_numpy(self.rng.standard_normal(RELU_ELEMENTS, np.float32))
        return lambda: self.torch.relu(x)

    def add(self) -> Job:
        a, b = (self.torch.from_numpy(v) for v in self.rng.standard_normal((2, 64, 64), np.float32))
        return lambda: a + b

    def train(self, n: int) -> None:
        x, y = images(n, self.rng)
        x, y = self.torch.from_numpy(x).permute(0, 3, 1, 2), self.torch.from_numpy(y)
        model, optimizer = self._model()
        order = self.torch.randperm(n)
        for i in range(0, n, 64):
            rows = order[i : i + 64]
            self._step(model, optimizer, x[rows], y[rows])


class NumPy:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def matmul(self) -> Job:
        a, b = square(self.rng)
        return lambda: a @ b

    def relu(self) -> Job:
        x = self.rng.standard_normal(RELU_ELEMENTS, np.float32)
        return lambda: np.maximum(x, 0)

    def add(self) -> Job:
        a, b = self.rng.standard_normal((2, 64, 64), np.float32)
        return lambda: a + b


PEERS = {"dlcore": Dlcore, "torch": Torch, "numpy": NumPy, "onnxruntime": Torch}


def serve(name: str) -> None:
    import layers
    import models

    cases = {**layers.CASES, **models.CASES}
    answers = sys.stdout
    sys.stdout = sys.stderr  # nothing that a library prints may come between
    peer: Any = PEERS[name]()
    jobs: dict[str, Job] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        if "machine" in request:
            answer = peer.machine(request["machine"])
        elif "prepare" in request:
            job = request["prepare"]
            jobs.clear()  # one job's data at a time
            try:
                if job in cases:
                    jobs[job] = cases[job].make(getattr(layers.Library, name)())
                else:
                    jobs[job] = getattr(peer, job)()
                for _ in range(3):
                    jobs[job]()
                answer = {"ready": True}
            except Exception as e:  # said in the table; the other jobs go on
                answer = {"missing": f"{type(e).__name__}: {e}"}
        else:
            f, calls = jobs[request["sample"]], request["calls"]
            f()
            start = time.perf_counter()
            for _ in range(calls):
                f()
            answer = {"seconds": (time.perf_counter() - start) / calls}
        wait_for_idle()
        print(json.dumps(answer), file=answers, flush=True)


def wait_for_idle(limit: float = 1.0) -> None:
    """Sleeps until no thread of this process computes: workers that poll take a core from the next peer."""
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 2e-3:
            return


def peak_memory() -> int:
    """VmHWM of this process in bytes: the most physical memory that it ever held."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "memory":  # python peers.py memory dlcore 60000
        PEERS[sys.argv[2]]().train(int(sys.argv[3]))
        print(peak_memory())
    else:
        serve(sys.argv[1])
