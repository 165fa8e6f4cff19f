"""Threads, memory, ISA choice: the ground that kernels stand on."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import dlcore
from dlcore import _C, nn, optim
from dlcore.nn import functional as F


def python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=300,
        check=False,
    )


# ---- threads ---------------------------------------------------------------------------------------------


def test_fork_after_a_parallel_op_then_a_parallel_op_in_both():
    code = """
import os, sys, numpy as np, dlcore, warnings
warnings.simplefilter("ignore")  # the fork of a threaded process is the point
dlcore.set_num_threads(4)
a = np.random.default_rng(0).standard_normal((300, 300))
want = dlcore.kernels.matmul(a, a)
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        same = all((dlcore.kernels.matmul(a, a) == want).all() for _ in range(3))
        os._exit(0 if same else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert (dlcore.kernels.matmul(a, a) == want).all()
print("ok")
"""
    done = python(code)
    assert done.stdout == "ok\n", done.stderr


EVERY_KERNEL = """
import os, sys, threading, warnings, numpy as np, dlcore
warnings.simplefilter("ignore")  # the fork of a threaded process is the point
sys.path.insert(0, os.getcwd())
from tests.cases import all_cases
from tests.test_kernels import as_dtype, outputs

def bits():
    out = {}
    for case in all_cases():
        rng = np.random.default_rng(0)
        for sample in (case.large or case.samples)(rng):
            y = case.forward(*as_dtype(sample.args, case.dtypes[0]), **sample.kwargs)
            out[case.name, sample.id] = [a.tobytes() for a in outputs(y)]
    return out

dlcore.set_num_threads(3)
want = bits()
"""


def test_every_kernel_after_a_fork_in_both_processes():
    code = """
pid = os.fork()
if pid == 0:
    os._exit(0 if bits() == want else 1)
assert os.waitpid(pid, 0)[1] == 0
assert bits() == want
print("ok")
"""
    done = python(EVERY_KERNEL + code)
    assert done.stdout == "ok\n", done.stderr


def test_every_kernel_from_several_python_threads_at_once():
    code = """
wrong = []
def work():
    if bits() != want:
        wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(3)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong
print("ok")
"""
    done = python(EVERY_KERNEL + code)
    assert done.stdout == "ok\n", done.stderr


def test_many_python_threads_at_once():
    a = np.random.default_rng(0).standard_normal((200, 200))
    want = dlcore.kernels.matmul(a, a)
    wrong = []

    def work():
        for _ in range(20):
            if not np.array_equal(dlcore.kernels.matmul(a, a), want):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_set_num_threads_takes_effect_and_refuses_nonsense():
    dlcore.set_num_threads(3)
    assert dlcore.get_num_threads() == 3
    assert _C.num_threads_reason() == "set_num_threads"
    for bad in (0, -1):
        with pytest.raises(ValueError, match="n must be between 1 and 4096, got n="):
            dlcore.set_num_threads(bad)


@pytest.mark.parametrize("name", ["DLCORE_NUM_THREADS", "OMP_NUM_THREADS"])
def test_threads_from_the_environment(name):
    env = {"DLCORE_NUM_THREADS": "", "OMP_NUM_THREADS": "", name: "3"}
    done = python("import dlcore; print(dlcore.get_num_threads(), dlcore._C.num_threads_reason())", **env)
    assert done.stdout.split() == ["3", name]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_default_threads_respect_the_affinity_mask():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "import dlcore; print(dlcore.get_num_threads())"
    )
    assert python(code, DLCORE_NUM_THREADS="", OMP_NUM_THREADS="").stdout == "1\n"


# ---- ISA -------------------------------------------------------------------------------------------------


def test_isa_override_from_the_environment():
    for isa in _C.available_isas():
        assert python("import dlcore; print(dlcore.config.get_isa())", DLCORE_ISA=isa).stdout.strip() == isa


def test_an_unknown_isa_is_an_error_at_import_and_in_set_isa():
    done = python("import dlcore", DLCORE_ISA="vax")
    assert done.returncode != 0
    assert "unknown ISA 'vax' (built: " in done.stderr
    with pytest.raises(ValueError, match="unknown ISA 'vax'"):
        dlcore.config.set_isa("vax")
    for isa in set(_C.built_isas()) - set(_C.available_isas()):
        with pytest.raises(ValueError, match="this CPU does not have"):
            dlcore.config.set_isa(isa)


# ---- memory ----------------------------------------------------------------------------------------------


def test_freed_blocks_are_used_again():
    a = np.ones((512, 512), np.float32)
    dlcore.kernels.matmul(a, a)
    before = _C.memory_stats()["system_allocs"]
    for _ in range(10):
        dlcore.kernels.matmul(a, a)
    assert _C.memory_stats()["system_allocs"] == before


def small_cnn():
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(16 * 64, 10),
    )
    return model, (dlcore.randn(32, 3, 16, 16),)


def small_tagger():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(100, 64)
            self.rnn = nn.LSTM(64, 64, 2, batch_first=True, bidirectional=True, dropout=0.1)
            self.linear = nn.Linear(128, 10)

        def forward(self, ids):
            return self.linear(self.rnn(self.embedding(ids))[0]).mean(1)

    return Tagger(), (dlcore.tensor(np.arange(32 * 20).reshape(32, 20) % 100),)


def small_transformer():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            return self.linear(self.encoder(x).mean(1))

    return Encoder(), (dlcore.randn(32, 24, 64),)


@pytest.mark.parametrize("make", [small_cnn, small_tagger, small_transformer])
def test_a_steady_training_step_asks_the_system_for_nothing(make):
    model, inputs = make()
    optimizer = optim.Adam(model.parameters())
    labels = dlcore.tensor(np.arange(32) % 10)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(*inputs), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for _ in range(5):
        step()
    before = _C.memory_stats()["system_allocs"]
    for _ in range(5):
        step()
    assert _C.memory_stats()["system_allocs"] == before


def test_blocks_of_sizes_in_use_are_kept_and_older_ones_go():
    _C.empty_cache()
    small = [_C.empty((3 << 20,), np.float32) for _ in range(3)]  # 36 MB that nobody will ask for again
    del small
    for _ in range(3):
        _C.empty((10 << 20,), np.float32)  # 40 MB at a time: the old blocks make room
    before = _C.memory_stats()["system_allocs"]
    for _ in range(5):
        _C.empty((10 << 20,), np.float32)
    assert _C.memory_stats()["system_allocs"] == before


def test_statistics_and_empty_cache():
    before = _C.memory_stats()["active_bytes"]
    x = _C.empty((1024, 1024), np.float32)
    assert _C.memory_stats()["active_bytes"] - before >= 4 << 20
    assert _C.memory_stats()["peak_bytes"] >= _C.memory_stats()["active_bytes"]
    del x
    assert _C.memory_stats()["active_bytes"] == before
    _C.empty_cache()
    assert _C.memory_stats()["cached_bytes"] == 0
    _C.reset_peak_memory()
    assert _C.memory_stats()["peak_bytes"] == before


def test_an_array_too_large_for_memory_is_a_memory_error_and_nothing_is_lost():
    a = np.ones((3, 3), np.float32)
    for shape in [(1 << 20, 1 << 20), (1 << 45,), (1 << 31, 1 << 31)]:
        with pytest.raises((MemoryError, ValueError)):
            _C.empty(shape, np.float64)
    with pytest.raises(MemoryError):
        dlcore.kernels.matmul(
            np.broadcast_to(a[:1, :1], (1 << 22, 1)), np.broadcast_to(a[:1, :1], (1, 1 << 22))
        )
    np.testing.assert_array_equal(dlcore.kernels.matmul(a, a), a @ a)


def test_guard_mode_poisons_and_sees_an_overrun():
    code = """
import ctypes, numpy as np
from dlcore import _C
assert _C.debug_memory()
x = _C.empty((5,), np.float32)
assert np.isnan(x.numpy()).all()
p = ctypes.cast(x.data_ptr, ctypes.POINTER(ctypes.c_uint8))
p[20] = 0
del x, p
print(_C.memory_stats()["guard_violations"], _C.check_guards())
"""
    done = python(code, DLCORE_DEBUG_MEMORY="1")
    assert done.stdout.startswith("1 a block of 20 bytes was written 1 bytes past its end"), done


def test_more_than_eight_dimensions_is_a_clear_error():
    with pytest.raises(ValueError, match="at most 8 dimensions"):
        dlcore.from_numpy(np.zeros((1,) * 9, np.float32))


def test_result_keeps_its_memory_alive():
    y = dlcore.kernels.matmul(np.ones((50, 50)), np.ones((50, 50)))
    z = y[10:20].copy()
    for _ in range(20):
        dlcore.kernels.matmul(np.zeros((50, 50)), np.zeros((50, 50)))
    np.testing.assert_array_equal(y[10:20], z)
