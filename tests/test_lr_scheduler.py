"""Schedules beside torch's, step by step."""

import warnings

import numpy as np
import pytest

import dlcore
from dlcore import optim

torch = pytest.importorskip("torch", reason="torch (the oracle) is not installed")

OURS, THEIRS = optim.lr_scheduler, torch.optim.lr_scheduler


def optimizers(name="SGD", **options):
    options = {"lr": 0.5, **options}
    p = [dlcore.tensor([1.0], requires_grad=True), dlcore.tensor([1.0], requires_grad=True)]
    q = [torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)]
    return tuple(
        m([{"params": [t[0]]}, {"params": [t[1]], "lr": 0.05}], **options)
        for m, t in ((getattr(optim, name), p), (getattr(torch.optim, name), q))
    )


CASES = [
    ("LambdaLR", {"lr_lambda": lambda e: 0.9**e}),
    ("LambdaLR", {"lr_lambda": [lambda e: 0.9**e, lambda e: 1 / (e + 1)]}),
    ("MultiplicativeLR", {"lr_lambda": lambda e: 0.9}),
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 1, "gamma": 0.7}),
    ("MultiStepLR", {"milestones": [2, 5, 5], "gamma": 0.5}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 3}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.6, "total_iters": 4}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 4}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 7, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 4}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 13}),
    ("OneCycleLR", {"max_lr": [1.0, 2.0], "epochs": 13, "steps_per_epoch": 1, "anneal_strategy": "linear"}),
    (
        "OneCycleLR",
        {"max_lr": 1.0, "total_steps": 13, "three_phase": True, "pct_start": 0.4, "div_factor": 5.0},
    ),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 13, "cycle_momentum": False}),
]


@pytest.fixture(autouse=True)
def quiet():
    """torch warns of schedules stepped before their optimizer, and of its own epoch argument."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_steps_as_torch(name, options):
    a, b = optimizers(momentum=0.9)
    s, t = getattr(OURS, name)(a, **options), getattr(THEIRS, name)(b, **options)
    for _ in range(13):
        same(s.get_last_lr(), t.get_last_lr())
        for g, h in zip(a.param_groups, b.param_groups):
            same([g["lr"], g["initial_lr"], g["momentum"]], [h["lr"], h["initial_lr"], h["momentum"]])
        if s.last_epoch < 12:
            s.step()
            t.step()


@pytest.mark.parametrize(
    ("name", "options"), [c for c in CASES if c[0] not in ("OneCycleLR", "LambdaLR", "MultiplicativeLR")],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_epoch_argument_and_resuming(name, options):
    a, b = optimizers()
    s, t = getattr(OURS, name)(a, **options), getattr(THEIRS, name)(b, **options)
    for epoch in (4, 2, 9, 0):
        s.step(epoch)
        t.step(epoch)
        same(s.get_last_lr(), t.get_last_lr())
    s.step()
    t.step()
    again, anew = getattr(OURS, name)(a, **options), getattr(THEIRS, name)(b, **options)
    again.load_state_dict(s.state_dict())
    anew.load_state_dict(t.state_dict())
    for _ in range(4):
        again.step()
        anew.step()
        same(again.get_last_lr(), anew.get_last_lr())


def test_one_cycle_of_beta1():
    a, b = optimizers("Adam")
    s, t = (m.OneCycleLR(o, 1.0, total_steps=9) for m, o in ((OURS, a), (THEIRS, b)))
    for _ in range(8):
        s.step()
        t.step()
        same(a.param_groups[0]["betas"], b.param_groups[0]["betas"])
    s.step()
    with pytest.raises(ValueError, match="Tried to step 10 times"):
        s.step()


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"patience": 0, "cooldown": 2, "factor": 0.5, "min_lr": 0.01},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 2, "min_lr": [0.1, 0.001]},
        {"mode": "max", "threshold": 0.1, "patience": 1},
    ],
)
def test_plateau_as_torch(options, rng):
    a, b = optimizers()
    s, t = OURS.ReduceLROnPlateau(a, **options), THEIRS.ReduceLROnPlateau(b, **options)
    for metric in np.concatenate([[1.0, 0.9, np.nan], rng.random(20)]):
        s.step(dlcore.tensor(float(metric)))
        t.step(float(metric))
        same(s.get_last_lr(), t.get_last_lr())
        assert s.num_bad_epochs == t.num_bad_epochs


def test_sequential_and_chained_as_torch():
    pairs = []
    for m, o in zip((OURS, THEIRS), optimizers()):
        members = [m.ConstantLR(o, 0.1, 2), m.ExponentialLR(o, 0.9), m.CosineAnnealingLR(o, 4)]
        pairs.append(m.SequentialLR(o, members, [2, 6]))
    for _ in range(12):
        same(pairs[0].get_last_lr(), pairs[1].get_last_lr())
        pairs[0].step()
        pairs[1].step()
    pairs = []
    for m, o in zip((OURS, THEIRS), optimizers()):
        pairs.append(m.ChainedScheduler([m.ConstantLR(o, 0.1, 2), m.ExponentialLR(o, 0.9)]))
    for _ in range(6):
        same(pairs[0].get_last_lr(), pairs[1].get_last_lr())
        pairs[0].step()
        pairs[1].step()
    state = pairs[0].state_dict()
    assert len(state["_schedulers"]) == 2
    pairs[0].load_state_dict(state)


def test_warmup_then_cosine():
    pairs = []
    for m, o in zip((OURS, THEIRS), optimizers()):
        pairs.append(m.SequentialLR(o, [m.LinearLR(o, 0.1, total_iters=3), m.CosineAnnealingLR(o, 8)], [3]))
    for _ in range(11):
        same(pairs[0].get_last_lr(), pairs[1].get_last_lr())
        pairs[0].step()
        pairs[1].step()


O = optimizers()[0]
BAD = [
    (lambda: OURS.StepLR(1.0, 3), TypeError, "float is not an Optimizer"),
    (lambda: OURS.ConstantLR(O, factor=1.5), ValueError, "between 0 and 1"),
    (lambda: OURS.LinearLR(O, start_factor=0), ValueError, "greater than 0"),
    (lambda: OURS.LinearLR(O, end_factor=2), ValueError, "between 0 and 1"),
    (lambda: OURS.CosineAnnealingWarmRestarts(O, 0), ValueError, "Expected positive integer T_0, but got 0"),
    (lambda: OURS.CosineAnnealingWarmRestarts(O, 1, 0), ValueError, "Expected integer T_mult >= 1"),
    (lambda: OURS.OneCycleLR(O, 1.0), ValueError, "You must define either total_steps"),
    (lambda: OURS.OneCycleLR(O, 1.0, total_steps=-1), ValueError, "Expected positive integer total_steps"),
    (lambda: OURS.OneCycleLR(O, 1.0, total_steps=9, pct_start=2.0), ValueError, "between 0 and 1 pct_start"),
    (lambda: OURS.OneCycleLR(O, 1.0, total_steps=9, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
    (lambda: OURS.ReduceLROnPlateau(O, factor=1.0), ValueError, "Factor should be < 1.0"),
    (lambda: OURS.ReduceLROnPlateau(O, mode="x"), ValueError, "mode x is unknown!"),
    (lambda: OURS.LambdaLR(O, [lambda e: 1.0]), ValueError, "Expected 2 lr_lambdas, but got 1"),
    (lambda: OURS.StepLR(optimizers()[0], 3, last_epoch=2), KeyError, "initial_lr"),
    (lambda: OURS.SequentialLR(O, [], []), ValueError, "at least one scheduler"),
    (
        lambda: OURS.SequentialLR(O, [OURS.StepLR(O, 1)], [1]),
        ValueError,
        "one scheduler more than milestones",
    ),
    (
        lambda: OURS.ChainedScheduler([OURS.StepLR(O, 1), OURS.StepLR(optimizers()[0], 1)]),
        ValueError,
        "same optimizer",
    ),
]


@pytest.mark.parametrize(("call", "exception", "match"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_errors(call, exception, match):
    with pytest.raises(exception, match=match):
        call()
