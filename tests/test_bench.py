"""The benchmark library: fair timing, honest counting, and a case for every kernel."""

import importlib.util
import itertools
import pathlib
import sys
import time

import numpy as np
import pytest

from dlcore import _C, bench
from dlcore.bench import present

# Not timed beside NumPy, with the reason.
NOT_COMPARED = {
    "fma_peak": "the measure itself",
    "stream_triad": "the measure itself",
}


@pytest.fixture(scope="module")
def machine():
    return bench.measure_machine(threads=1, seconds=0.05)


def test_every_kernel_has_a_benchmark():
    covered = {k for c in bench.all_cases() for k in c.kernels}
    assert covered <= set(_C.kernel_names())
    assert set(_C.kernel_names()) - set(NOT_COMPARED) - {"copy"} <= covered


def test_names_are_unique():
    names = [c.name for c in bench.all_cases()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", bench.all_cases(), ids=lambda c: c.name)
def test_both_sides_agree(case):
    ours, theirs = case.make(np.random.default_rng(1))
    bench._agree(case, ours(), theirs())
    assert case.bytes > 0 and case.flops >= 0


def test_disagreement_is_an_error(machine):
    wrong = bench.Case("wrong", "x", [], 1.0, 1.0, lambda rng: (lambda: np.ones(3), lambda: np.zeros(3)))
    with pytest.raises(ValueError, match="wrong: dlcore and NumPy disagree"):
        list(bench.run([wrong], machine, 0.01))


def test_compare_takes_turns_and_keeps_quartiles():
    order = []
    spread = bench.compare(
        {
            "a": lambda: (order.append("a"), time.sleep(2e-3)),
            "b": lambda: (order.append("b"), time.sleep(1e-3)),
        },
        budget=0.0,
    )
    assert spread["a"].samples == spread["b"].samples == 3
    assert 2e-3 <= spread["a"].q1 <= spread["a"].median <= spread["a"].q3
    assert "".join(name for name, _ in itertools.groupby(order)).endswith("ababab")


def test_the_machine_is_measured_and_threads_are_restored():
    before = _C.num_threads()
    m = bench.measure_machine(threads=1, seconds=0.05)
    assert m.threads == 1 and m.isa == _C.current_isa() and _C.num_threads() == before
    assert 1e9 < m.flops < 1e13 and 1e8 < m.bandwidth < 1e13


def test_wider_vectors_are_not_slower_than_the_baseline():
    peaks = {}
    for isa in _C.available_isas():
        _C.set_isa(isa)
        peaks[isa] = bench.measure_machine(threads=1, seconds=0.1).flops
    if len(peaks) < 2:
        pytest.skip("one ISA only")
    first, *others = peaks.values()
    assert max(others) > first


def test_a_result_adds_up(machine):
    case = next(c for c in bench.all_cases() if c.name.startswith("matmul 256"))
    (r,) = bench.run([case], machine, 0.01)
    assert r.flops == 2 * 256**3 and r.bytes == 3 * 4 * 256**2
    assert r.fma_share == pytest.approx(r.flops / r.dlcore.median / machine.flops)
    assert r.ratio == pytest.approx(r.numpy.median / r.dlcore.median)
    assert r.share[1] in ("FMA", "mem") and r.rate[1] in ("GFLOP/s", "GB/s")
    line = present.row(r)
    assert case.name in line and "%" in line and len(line) <= 110
    d = bench.report(machine, [r])
    assert d["geometric_mean_ratio"] == pytest.approx(r.ratio) and d["results"][0]["gflops"] > 0


def test_roofline(machine, tmp_path):
    pytest.importorskip("matplotlib")
    case = next(c for c in bench.all_cases() if c.name.startswith("matmul 1x"))
    results = list(bench.run([case], machine, 0.01))
    present.roofline(machine, results, tmp_path / "roof.png")
    assert (tmp_path / "roof.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_matplotlib_the_extra_is_named(machine, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"dlcore\[plot\]"):
        present.roofline(machine, [], tmp_path / "x.png")


def test_without_threadpoolctl_a_warning_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "threadpoolctl", None)
    with pytest.warns(UserWarning, match=r"dlcore\[bench\]"):
        bench.blas_threads(1)


def test_blas_is_limited_to_the_same_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with bench.blas_threads(1):
        np.ones((2, 2)) @ np.ones((2, 2))
        assert {p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"} <= {1}


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2 s "), (1.5e-3, "1.5 ms"), (2.5e-6, "2.5 us"), (3e-8, "0.03 us")]
)
def test_time(seconds, text):
    assert present.time(seconds) == text


# ---- benchmarks/compare.py


@pytest.fixture(scope="module")
def compare():
    path = pathlib.Path(__file__).parent.parent / "benchmarks" / "compare.py"
    if not path.exists():
        pytest.skip("benchmarks/ is not at hand")
    spec = importlib.util.spec_from_file_location("compare", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["compare"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["compare"]


def test_a_layer_runs_on_both_libraries(compare):
    sys.path.insert(0, str(pathlib.Path(compare.__file__).parent))
    try:
        layers = importlib.import_module("layers")
    finally:
        sys.path.pop(0)
    pytest.importorskip("torch")
    for library in (layers.Library.dlcore(), layers.Library.torch()):
        for name in ("MLP 64-128-10 batch 1", "MLP 64-128-10 batch 1 fwd+bwd", "linear 64x64->64 fwd+bwd"):
            layers.CASES[name].make(library)()
    one = {"median": 1e-3, "q1": 1e-3, "q3": 1e-3}
    two = {"median": 2e-3, "q1": 2e-3, "q3": 2e-3}
    case = "linear 64x64->64"
    result = {"environment": {}, "machine": {}, "jobs": {"one": {case: {"dlcore": two, "torch": one}}}}
    assert f"PyTorch is ahead in 1: {case} (0.50)" in layers.markdown(result)


def test_workers_answer_in_turn(compare):
    workers = {p: compare.Worker(p, 1) for p in ("dlcore", "numpy")}
    try:
        job = next(j for j in compare.JOBS if j.name == "add")
        times = compare.compare_job(job, workers, rounds=3, budget=0.0)
    finally:
        for w in workers.values():
            w.close()
    assert times["dlcore"]["samples"] == times["numpy"]["samples"] == 3
    assert 0 < times["dlcore"]["q1"] <= times["dlcore"]["median"] <= times["dlcore"]["q3"] < 1
    assert times["torch"] == {"missing": "not installed"}


def test_verdicts_hold_fall_short_or_say_that_nothing_was_measured(compare):
    def s(median):
        return {"median": median, "q1": median, "q3": median, "samples": 3}

    limits = {"isa": "x", "threads": 1, "flops": 100e9, "bandwidth": 10e9}
    result = {
        "environment": {"machine": "test"},
        "machine": {"one": limits},
        "jobs": {
            "matmul": {"one": {"dlcore": s(0.025), "numpy": s(0.020)}},
            "relu": {"default": {"dlcore": s(1e-3), "torch": s(4e-3)}},
        },
        "import": {"numpy": s(0.1), "dlcore": s(0.15), "torch": s(1.0)},
        "memory": {"dlcore": 2**20, "torch": 2**21},
        "images": 64,
    }
    result["verdicts"] = compare.verdicts(result)
    by_start = {c["target"].split(":")[0]: c["holds"] for c in reversed(result["verdicts"])}
    assert by_start["ReLU of 50 MB"] is True and by_start["import dlcore"] is True
    assert by_start["peak memory of the training"] is True
    assert by_start["max pooling 2x2 forward"] is None
    ratio, share = result["verdicts"][:2]
    assert ratio["holds"] is False and ratio["measured"] == pytest.approx(0.8)
    assert share["holds"] is True and share["measured"] == pytest.approx(85.9, abs=0.1)
    text = compare.markdown(result)
    assert "| ReLU of 50 MB | default | 1 ms" in text and "**falls short**" in text and "dlcore 1 MiB" in text
