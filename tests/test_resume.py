"""Training that is killed goes on bit for bit; small batches add up to big ones."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import dlcore
from dlcore import data, nn, optim
from dlcore.nn import functional as F
from dlcore.train import GradientAccumulator, cross_entropy_count, load_checkpoint, save_checkpoint

# A small CNN with dropout, shuffled data, AdamW, a schedule; saves after every third step.
SCRIPT = """
import os, sys, time
import numpy as np
import dlcore
from dlcore import data, nn, optim
from dlcore.nn import functional as F
from dlcore.train import load_checkpoint, save_checkpoint

folder, mode, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
dlcore.set_num_threads(1)
rng = np.random.default_rng(0)
x = rng.standard_normal((70, 1, 8, 8)).astype(np.float32)
y = rng.integers(0, 4, 70)
dlcore.manual_seed(1)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 16),
nn.ReLU(),
                      nn.Dropout(0.5), nn.Linear(16, 4))
optimizer = optim.AdamW(model.parameters(), lr=1e-2)
scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=60)
loader = data.DataLoader(data.TensorDataset(dlcore.tensor(x), dlcore.tensor(y)), 8, shuffle=True,
                         num_workers=workers)
path = os.path.join(folder, "run.safetensors")
parts = dict(model=model, optimizer=optimizer, scheduler=scheduler, loader=loader)
step = 0
if mode == "resume":
    step = load_checkpoint(path, **parts)["step"]
    print("resumed at", step, "batch", loader.state_dict()["position"], flush=True)
while loader.epoch < 5 or loader.state_dict()["active"]:
    for a, b in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(a), b).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        step += 1
        if mode != "whole" and step % 3 == 0:
            save_checkpoint(path, extra={"step": step}, **parts)
        if mode == "killed":
            print("step", step, flush=True)
            time.sleep(0.02)
dlcore.save_file(model.state_dict(), os.path.join(folder, mode + ".safetensors"))
print("done", step, flush=True)
"""


def start(folder, mode, workers):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), mode, str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_in_mid_epoch_and_resumed_bit_for_bit(tmp_path, workers):
    whole = start(tmp_path, "whole", workers)
    killed = start(tmp_path, "killed", workers)
    for line in killed.stdout:
        if line.startswith("step") and int(line.split()[1]) >= 22:  # in the third epoch of nine batches
            killed.send_signal(signal.SIGKILL)
            break
    killed.wait()
    killed.stdout.close()
    assert killed.returncode == -signal.SIGKILL
    out, _ = whole.communicate(timeout=120)
    assert "done 45" in out
    again = start(tmp_path, "resume", workers)
    out, _ = again.communicate(timeout=120)
    assert again.returncode == 0 and "done 45" in out
    at, batch = (int(v) for v in out.splitlines()[0].replace("resumed at ", "").split(" batch "))
    assert 18 < at < 45 and batch == (at - 1) % 9 + 1
    a, b = (dlcore.load_file(tmp_path / f"{mode}.safetensors") for mode in ("whole", "resume"))
    assert list(a) == list(b)
    for name in a:
        assert a[name].numpy().tobytes() == b[name].numpy().tobytes(), name
    assert not [f for f in os.listdir(tmp_path) if f.endswith(".tmp") and str(again.pid) in f]


OPTIMIZERS = {
    "SGD": {"momentum": 0.9}, "Adam": {"amsgrad": True}, "AdamW": {}, "NAdam": {}, "RAdam": {}, "Adamax": {},
    "RMSprop": {"centered": True, "momentum": 0.5}, "Adagrad": {}, "Adadelta": {}, "ASGD": {"t0": 2},
    "Rprop": {}, "Lion": {}, "Muon": {}, "Adafactor": {}, "LBFGS": {"max_iter": 3},
}  # fmt: skip
SCHEDULES = [
    lambda m, o: m.MultiStepLR(o, [2, 4]),
    lambda m, o: m.SequentialLR(o, [m.ConstantLR(o, 0.5, 2), m.ExponentialLR(o, 0.9)], [3]),
    lambda m, o: m.CosineAnnealingWarmRestarts(o, 3),
    lambda m, o: m.ReduceLROnPlateau(o, patience=0),
    lambda m, o: m.LambdaLR(o, lambda e: 0.9**e),
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_and_schedule_resumes_exactly(tmp_path, name, rng):
    x = dlcore.tensor(rng.standard_normal((6, 3)).astype(np.float32))
    build = SCHEDULES[list(OPTIMIZERS).index(name) % len(SCHEDULES)]

    def make():
        dlcore.manual_seed(3)
        model = nn.Linear(3, 4, bias=False)
        opt = getattr(optim, name)(model.parameters(), **OPTIMIZERS[name])
        return model, opt, build(optim.lr_scheduler, opt)

    def train(model, opt, sched, steps):
        for _ in range(steps):

            def closure():
                opt.zero_grad()
                loss = (F.dropout(model(x), 0.5) ** 2).sum()
                loss.backward()
                return loss

            loss = opt.step(closure)
            sched.step(loss.item()) if isinstance(
                sched, optim.lr_scheduler.ReduceLROnPlateau
            ) else sched.step()

    whole = make()
    train(*whole, 3)
    path = tmp_path / "c"
    save_checkpoint(path, model=whole[0], optimizer=whole[1], scheduler=whole[2])
    train(*whole, 4)
    again = make()
    load_checkpoint(path, model=again[0], optimizer=again[1], scheduler=again[2])
    train(*again, 4)
    assert whole[0].weight.detach().numpy().tobytes() == again[0].weight.detach().numpy().tobytes()
    assert whole[1].param_groups[0]["lr"] == again[1].param_groups[0]["lr"]


def test_checkpoint_of_several_parts_and_errors(tmp_path):
    path = tmp_path / "c"
    parts = {"a": nn.Linear(2, 3), "b": nn.Linear(3, 1)}
    extra = {"list": [1, 2.5, None, True], (1, 2): "tuple", "array": np.arange(3), "inf": float("inf")}
    save_checkpoint(path, model=parts, extra=extra)
    before = path.read_bytes()
    other = {"a": nn.Linear(2, 3), "b": nn.Linear(3, 1)}
    got = load_checkpoint(path, model=other)
    assert got[(1, 2)] == "tuple" and got["array"].tolist() == [0, 1, 2] and got["list"] == extra["list"]
    assert other["a"].weight.tolist() == parts["a"].weight.tolist()
    with pytest.raises(KeyError, match="no optimizer"):
        load_checkpoint(path, optimizer=optim.SGD(parts["a"].parameters()))
    with pytest.raises(TypeError, match=r"extra\.f must be made of .* got function"):
        save_checkpoint(path, extra={"f": lambda: 0})
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["c"]
    dlcore.save_file({"w": dlcore.ones(1)}, path)
    with pytest.raises(ValueError, match="save_checkpoint"):
        load_checkpoint(path)
    path.write_bytes(before[:-1])
    with pytest.raises(ValueError, match="fill the file"):
        load_checkpoint(path)


def test_rng_is_restored_last(tmp_path):
    dlcore.manual_seed(5)
    dlcore.rand(3)
    save_checkpoint(tmp_path / "c")
    want = dlcore.rand(3).tolist()
    dlcore.rand(7)
    load_checkpoint(tmp_path / "c")
    assert dlcore.rand(3).tolist() == want
    load_checkpoint(tmp_path / "c", rng=False)
    assert dlcore.rand(3).tolist() != want


# ---- the loader ------------------------------------------------------------------------------------------


def flat(batches):
    return [i for batch in batches for i in batch]


def numbers(loader):
    return [b[0].tolist() if isinstance(b, list) else b.tolist() for b in loader]


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("own", [None, 7])
@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_loader_goes_on_anywhere(workers, own, at):
    def make():
        return data.DataLoader(
            data.TensorDataset(dlcore.arange(14)), 3, shuffle=True, num_workers=workers, generator=own
        )

    dlcore.manual_seed(0)
    a = make()
    first = numbers(a)
    it = iter(a)
    seen = [next(it)[0].tolist() for _ in range(at)]
    state, rng = a.state_dict(), dlcore.get_rng_state()
    rest = [b[0].tolist() for b in it]
    after = numbers(a)
    assert sorted(flat(seen + rest)) == list(range(14)) == sorted(flat(first)) and first != seen + rest
    b = make()
    b.load_state_dict(json.loads(json.dumps(state)))
    dlcore.set_rng_state(rng)
    assert b.state_dict() == state
    if at:
        assert numbers(b) == rest
    else:  # nothing had begun: a fresh epoch, which is the one that the other took
        assert numbers(b) == rest
    assert numbers(b) == after and b.epoch == 3


def test_loader_drops_and_collates():
    ds = [{"x": np.float32(i), "name": str(i), "pair": (i, [i, i])} for i in range(5)]
    batches = list(data.DataLoader(ds, 2, drop_last=True))
    assert len(batches) == 2 and batches[1]["name"] == ["2", "3"] and batches[1]["x"].tolist() == [2.0, 3.0]
    assert batches[1]["pair"][0].tolist() == [2, 3] and batches[1]["pair"][1][1].tolist() == [2, 3]
    assert [b.tolist() for b in data.DataLoader(np.arange(3.0), batch_size=None)] == [0.0, 1.0, 2.0]
    assert list(data.DataLoader(range(4), 2, collate_fn=lambda b: b)) == [[0, 1], [2, 3]]
    assert [b.tolist() for b in data.DataLoader(range(4), batch_sampler=[[3, 0], [1]])] == [[3, 0], [1]]
    assert data.default_collate([0.5, 1.5]).dtype == np.float64
    with pytest.raises(TypeError, match="got object"):
        data.default_collate([object()])
    with pytest.raises(ValueError, match="as many fields"):
        data.default_collate([(1, 2), (1,)])
    sub = data.Subset(data.TensorDataset(dlcore.arange(6)), [5, 1, 3])
    assert numbers(data.DataLoader(sub, 2)) == [[5, 1], [3]]

    class Stream(data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    loader = data.DataLoader(Stream(), 2)
    it = iter(loader)
    next(it)
    other = data.DataLoader(Stream(), 2)
    other.load_state_dict(loader.state_dict())
    assert [b.tolist() for b in other] == [[2, 3], [4]]


def test_loader_threads_pass_errors_on_and_stop():
    class Bad(data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, i):
            if i == 5:
                raise KeyError("five")
            return i

    with pytest.raises(KeyError, match="five"):
        list(data.DataLoader(Bad(), 2, num_workers=2))
    seen = []
    loader = data.DataLoader(range(100), 1, num_workers=2, worker_init_fn=seen.append)
    for _ in loader:
        break
    assert set(seen) <= {0, 1} and seen

    class Slow(data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            time.sleep(0.5)

    with pytest.raises(TimeoutError):
        list(data.DataLoader(Slow(), 1, num_workers=1, timeout=0.05))


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True, "sampler": [1, 2]}, {"batch_sampler": [[1]], "batch_size": 2},
        {"batch_size": None, "drop_last": True}, {"num_workers": -1}, {"timeout": -1}, {"prefetch_factor": 2},
        {"persistent_workers": True}, {"batch_size": 0}, {"batch_size": 2.5},
        {"batch_size": 2, "drop_last": 1},
    ],
    ids=str,
)  # fmt: skip
def test_loader_refuses_as_torch(options):
    torch = pytest.importorskip("torch")
    with pytest.raises((ValueError, TypeError)) as theirs:
        torch.utils.data.DataLoader(range(4), **options)
    with pytest.raises(type(theirs.value)):
        data.DataLoader(range(4), **options)


def test_samplers_and_splits():
    dlcore.manual_seed(0)
    assert sorted(data.RandomSampler(range(5), num_samples=7)) != sorted(range(5))
    assert len(list(data.RandomSampler(range(5), replacement=True, num_samples=20))) == 20
    draws = list(data.WeightedRandomSampler([0.0, 1.0, 3.0], 4000, generator=1))
    assert set(draws) == {1, 2} and abs(draws.count(2) / 4000 - 0.75) < 0.05
    assert sorted(data.WeightedRandomSampler([1, 1, 1], 3, replacement=False)) == [0, 1, 2]
    assert sorted(data.SubsetRandomSampler([4, 2, 9])) == [2, 4, 9]
    parts = data.random_split(range(11), [0.5, 0.3, 0.2], generator=0)
    assert [len(p) for p in parts] == [6, 3, 2] and sorted(i for p in parts for i in p) == list(range(11))
    assert len(data.ConcatDataset([range(3), range(2)])) == 5
    assert len(data.TensorDataset(np.ones(3)) + data.Subset([1], [0])) == 4
    stacked = data.StackDataset(x=[1, 2], y=[3, 4])
    assert stacked[1] == {"x": 2, "y": 4} and len(stacked) == 2
    for bad, error in [
        (lambda: data.random_split(range(3), [1, 1]), ValueError),
        (lambda: data.random_split(range(3), [0.5, 0.6]), ValueError),
        (lambda: data.TensorDataset(np.ones(3), np.ones(2)), ValueError),
        (lambda: data.ConcatDataset([]), ValueError),
        (lambda: data.ConcatDataset([[1]])[1], IndexError),
        (lambda: data.RandomSampler(range(3), num_samples=0), ValueError),
        (lambda: data.RandomSampler(range(3), replacement=1), TypeError),
        (lambda: data.WeightedRandomSampler([[1.0]], 1), ValueError),
        (lambda: data.WeightedRandomSampler([-1.0, 2.0], 1), ValueError),
        (lambda: data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False), ValueError),
        (lambda: data.BatchSampler(range(3), 0, False), ValueError),
    ]:
        with pytest.raises(error):
            bad()


# ---- accumulation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ignore_index": 2},
        {"weight": [0.2, 1.0, 3.0, 0.5]},
        {"weight": [0.2, 1.0, 3.0, 0.5], "ignore_index": 1, "label_smoothing": 0.1},
        {"probabilities": True},
        {"probabilities": True, "weight": [0.2, 1.0, 3.0, 0.5], "label_smoothing": 0.2},
    ],
    ids=str,
)
def test_accumulation_equals_the_big_batch(options, dtype, rng):
    options = dict(options)
    soft = options.pop("probabilities", False)
    if "weight" in options:
        options["weight"] = dlcore.tensor(options["weight"], dtype=dtype)
    x = rng.standard_normal((23, 5))
    y = rng.dirichlet(np.ones(4), 23) if soft else rng.integers(0, 4, 23)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)

    def tensors(part):
        target = dlcore.tensor(y[part], dtype=dtype if soft else None)
        return dlcore.tensor(x[part], dtype=dtype), target

    def big(part):
        model.zero_grad()
        a, b = tensors(part)
        loss = F.cross_entropy(model(a), b, **options)
        loss.backward()
        return loss.item(), [p.grad.numpy().copy() for p in model.parameters()]

    window = GradientAccumulator(model.parameters())
    # Windows of four batches of 4, the last one of two, 4 and 3.
    for begin, end in ((0, 16), (16, 23)):
        want_loss, want = big(slice(begin, end))
        model.zero_grad()
        for i in range(begin, end, 4):
            a, b = tensors(slice(i, min(i + 4, end)))
            out = model(a)
            count = cross_entropy_count(out, b, options.get("weight"), options.get("ignore_index", -100))
            window.add(F.cross_entropy(out, b, reduction="sum", **options), count)
        got = window.finish()
        tol = 1e-13 if dtype is np.float64 else 2e-6
        assert abs(got - want_loss) <= tol * max(1, abs(want_loss)) * 4
        for p, w in zip(model.parameters(), want, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), w, rtol=0, atol=tol * max(1.0, np.abs(w).max()))


def test_accumulator_errors():
    w = nn.Parameter(dlcore.tensor([1.0]))
    window = GradientAccumulator([w])
    with pytest.raises(ValueError, match="at least one"):
        window.finish()
    w.grad = dlcore.ones(1)
    with pytest.raises(RuntimeError, match="clear the gradients"):
        window.add(w.sum(), 1)
    w.grad = dlcore.zeros(1)
    with pytest.raises(ValueError, match="negative"):
        window.add(w.sum(), -1)
    window.add(w.sum(), 0)  # a batch of ignored targets alone
    with pytest.raises(ValueError, match="at least one"):
        window.finish()
