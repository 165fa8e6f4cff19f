# ruff: noqa: B023 (the lambdas run before the loop goes on)
"""Optimizers and schedules beside torch's: drawn options, 20 steps, state dicts both ways, refusals."""

import copy

import numpy as np
import pytest

import dlcore
from dlcore import optim
from tests import oracle

torch = oracle.torch()
BETAS = [(0.9, 0.999), (0.5, 0.7), (0.0, 0.9)]
LR = [0.05, 0.3, 0.0]
DECAY = [0, 0.1]
BOOL = [False, True]
SPACES = {
    "SGD": {
        "lr": LR, "momentum": [0, 0.9], "dampening": [0, 0.3], "weight_decay": DECAY, "nesterov": BOOL,
        "maximize": BOOL, "foreach": [None, True], "fused": [None, False],
    },
    "Adam": {
        "lr": LR, "betas": BETAS, "eps": [1e-8, 1e-2], "weight_decay": DECAY, "amsgrad": BOOL,
        "maximize": BOOL, "decoupled_weight_decay": BOOL, "foreach": [None, False],
    },
    "AdamW": {
        "lr": LR, "betas": BETAS, "eps": [1e-8, 1e-2], "weight_decay": DECAY, "amsgrad": BOOL,
        "maximize": BOOL,
    },
    "NAdam": {
        "lr": LR, "betas": BETAS, "eps": [1e-8, 1e-2], "weight_decay": DECAY, "momentum_decay": [4e-3, 0.1],
        "decoupled_weight_decay": BOOL, "maximize": BOOL,
    },
    "RAdam": {
        "lr": LR, "betas": BETAS, "eps": [1e-8, 1e-2], "weight_decay": DECAY, "decoupled_weight_decay": BOOL,
        "maximize": BOOL,
    },
    "Adamax": {"lr": LR, "betas": BETAS[:2], "eps": [1e-8, 1e-2], "weight_decay": DECAY, "maximize": BOOL},
    "Adagrad": {
        "lr": LR, "lr_decay": [0, 0.1], "weight_decay": DECAY, "initial_accumulator_value": [0, 0.5],
        "eps": [1e-10, 1e-2], "maximize": BOOL,
    },
    "Adadelta": {"lr": LR, "rho": [0.9, 0.5], "eps": [1e-6, 1e-2], "weight_decay": DECAY, "maximize": BOOL},
    "RMSprop": {
        "lr": LR, "alpha": [0.99, 0.5], "eps": [1e-8, 1e-2], "weight_decay": DECAY, "momentum": [0, 0.9],
        "centered": BOOL, "maximize": BOOL,
    },
    "ASGD": {
        "lr": LR, "lambd": [1e-4, 0.1], "alpha": [0.75, 0.5], "t0": [1e6, 5], "weight_decay": DECAY,
        "maximize": BOOL,
    },
    "Rprop": {
        "lr": [0.05, 0.3], "etas": [(0.5, 1.2), (0.3, 2.0)], "step_sizes": [(1e-6, 50), (0.02, 0.5)],
        "maximize": BOOL,
    },
    "Adafactor": {
        "lr": [0.05, 0.3], "beta2_decay": [-0.8, -0.3], "eps": [(None, 1e-3), (1e-3, 0.1)], "d": [1.0, 2.0],
        "weight_decay": DECAY, "maximize": BOOL,
    },
}  # fmt: skip
SHAPES = [(3, 5), (17,), (), (2, 3, 4)]
# torch keeps these in float32 whatever the parameters are.
RTOL = {"NAdam": 1e-6, "ASGD": 1e-6}


def pair(rng, shapes=SHAPES, dtype=np.float64):
    data = [np.asarray(rng.standard_normal(s), dtype) for s in shapes]
    return (
        [dlcore.tensor(a, requires_grad=True) for a in data],
        [torch.tensor(a, requires_grad=True) for a in data],
    )


def step_both(ours, theirs, params, others, rng):
    for i, (p, q) in enumerate(zip(params, others, strict=True)):
        if i == 1 and rng.random() < 0.3:
            p.grad = q.grad = None
            continue
        g = np.asarray(rng.standard_normal(p.shape), p.dtype)
        p.grad, q.grad = dlcore.tensor(g), torch.tensor(g)
    ours.step()
    theirs.step()


def equal(params, others, rtol):
    for p, q in zip(params, others, strict=True):
        oracle.close(p, q, rtol, "parameter")


def to_torch(x):
    if isinstance(x, dlcore.Tensor):
        return torch.tensor(np.array(x.detach().numpy()))
    if isinstance(x, dict):
        return {k: to_torch(v) for k, v in x.items()}
    return type(x)([to_torch(v) for v in x]) if isinstance(x, (list, tuple)) else x


CASES = [
    pytest.param(name, draw.values[0], id=f"{name}-{draw.id}")
    for name, space in SPACES.items()
    for draw in oracle.space(name, 14, **space)
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_twenty_steps(name, options, rng):
    params, others = pair(rng)
    try:
        theirs = getattr(torch.optim, name)(others, **options)
    except ValueError:
        with pytest.raises(ValueError):
            getattr(optim, name)(params, **options)
        return
    ours = getattr(optim, name)(params, **options)
    rtol = RTOL.get(name, 1e-9)
    for step in range(20):
        step_both(ours, theirs, params, others, rng)
        if step in (0, 1, 19):
            equal(params, others, rtol)
    keys = {i: set(s) for i, s in theirs.state_dict()["state"].items()}
    assert {i: set(s) for i, s in ours.state_dict()["state"].items()} == keys


def test_float32(rng):
    for name in SPACES:
        params, others = pair(rng, dtype=np.float32)
        ours, theirs = getattr(optim, name)(params), getattr(torch.optim, name)(others)
        for _ in range(5):
            step_both(ours, theirs, params, others, rng)
        equal(params, others, 2e-5)


@pytest.mark.parametrize("name", SPACES)
def test_state_dicts_both_ways(name, rng):
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    params, others = pair(rng)
    ours, theirs = getattr(optim, name)(params, **options), getattr(torch.optim, name)(others, **options)
    for _ in range(3):
        step_both(ours, theirs, params, others, rng)
    a, b = ours.state_dict(), theirs.state_dict()
    assert a["param_groups"] == b["param_groups"]
    for i, state in b["state"].items():
        assert list(a["state"][i]) == list(state) or set(a["state"][i]) == set(state)
        for key, value in state.items():
            mine = a["state"][i][key]
            assert tuple(mine.shape) == tuple(value.shape), key
            np.testing.assert_allclose(mine.numpy(), value.numpy(), 1e-6, 1e-12, err_msg=key)
    again, back = getattr(optim, name)(params), getattr(torch.optim, name)(others)
    again.load_state_dict(b)
    back.load_state_dict(to_torch(a))
    for _ in range(3):
        step_both(again, back, params, others, rng)
    equal(params, others, 1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_muon(exact, rng, monkeypatch):
    if exact:  # torch iterates in bfloat16; without that the two agree to rounding
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda t: t.clone())
    for options in [
        {},
        {"lr": 0.1, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0},
        {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
    ]:
        params, others = pair(rng, [(8, 5), (4, 16), (6, 6)], np.float64 if exact else np.float32)
        start = [p.detach().numpy().copy() for p in params]
        ours, theirs = optim.Muon(params, **options), torch.optim.Muon(others, **options)
        assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]
        for _ in range(4):
            step_both(ours, theirs, params, others, rng)
        if exact:
            equal(params, others, 1e-9)
            continue
        for p, q, s in zip(params, others, start, strict=True):
            move = np.abs(q.detach().numpy() - s).max()
            assert np.abs(p.detach().numpy() - q.detach().numpy()).max() < 0.08 * move


def test_muon_refuses(rng):
    params, others = pair(rng, [(3, 2)])
    for bad in [{"lr": -1}, {"momentum": -1}, {"weight_decay": -1}, {"adjust_lr_fn": "other"}]:
        for lib, ps in ((optim, params), (torch.optim, others)):
            with pytest.raises(ValueError):
                lib.Muon(ps, **bad)
    with pytest.raises(ValueError, match="2D"):
        optim.Muon([dlcore.ones(3, requires_grad=True)])


def test_lion_against_its_definition(rng):
    a, g = rng.standard_normal((2, 7, 3))
    p = dlcore.tensor(a, requires_grad=True)
    opt = optim.Lion([p], lr=0.1, betas=(0.8, 0.6), weight_decay=0.2)
    m = np.zeros_like(a)
    for i in range(5):
        grad = g * (i - 2)
        p.grad = dlcore.tensor(grad)
        opt.step()
        a = a * (1 - 0.1 * 0.2) - 0.1 * np.sign(0.8 * m + 0.2 * grad)
        m = 0.6 * m + 0.4 * grad
        np.testing.assert_allclose(p.detach().numpy(), a, 1e-12)


def rosenbrock(x, y):
    return ((1 - x) ** 2 + 100 * (y - x * x) ** 2).sum()


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")
@pytest.mark.parametrize(
    "options",
    oracle.space(
        "lbfgs", 12, lr=[1, 0.1, 0.02], max_iter=[20, 3], history_size=[100, 2], max_eval=[None, 7],
        line_search_fn=["strong_wolfe", None], tolerance_change=[1e-9, 1e-3],
    ),
)  # fmt: skip
def test_lbfgs(options, rng):
    start = [np.array([-1.2, 0.5]), np.array([1.0, 2.0])]
    results = []
    for lib in (dlcore, torch):
        params = [lib.tensor(a, requires_grad=True) for a in start]
        opt = lib.optim.LBFGS(params, **options)
        losses, calls = [], [0]

        def closure(opt=opt, params=params, calls=calls):
            calls[0] += 1
            opt.zero_grad()
            loss = rosenbrock(*params)
            loss.backward()
            return loss

        for _ in range(3):
            losses.append(opt.step(closure).item())
            if not np.isfinite(losses[-1]):
                break
        state = opt.state_dict()["state"][0]
        results.append((calls[0], losses, [p.detach().numpy() for p in params], state))
    (n, a, p, s), (k, b, q, r) = results
    assert n == k and set(s) == set(r) - {"al"}  # torch's scratch list
    assert s["n_iter"] == r["n_iter"] and s["func_evals"] == r["func_evals"]
    np.testing.assert_allclose(a, b, 1e-6)
    np.testing.assert_allclose(p, q, 1e-5)


def test_lbfgs_goes_on_from_its_state(rng):
    p = dlcore.tensor([-1.2, 1.0], requires_grad=True, dtype=np.float64)

    def run(opt, p):
        def closure():
            opt.zero_grad()
            loss = rosenbrock(p[:1], p[1:])
            loss.backward()
            return loss

        return float(opt.step(closure))

    opt = optim.LBFGS([p], max_iter=4, line_search_fn="strong_wolfe")
    run(opt, p)
    q = p.detach().clone().requires_grad_()
    other = optim.LBFGS([q], max_iter=4, line_search_fn="strong_wolfe")
    other.load_state_dict(copy.deepcopy(opt.state_dict()))
    for _ in range(3):
        assert run(opt, p) == run(other, q)
    assert p.tolist() == q.tolist()
    with pytest.raises(TypeError, match="closure"):
        opt.step()
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        run(optim.LBFGS([p], line_search_fn="armijo"), p)


BAD = [
    ("SGD", {"lr": -1}), ("SGD", {"momentum": -0.1}), ("SGD", {"weight_decay": -1}),
    ("SGD", {"nesterov": True}), ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"foreach": True, "fused": True}),
    ("Adam", {"lr": -1}), ("Adam", {"betas": (1.0, 0.9)}), ("Adam", {"betas": (0.9, 1.0)}),
    ("Adam", {"eps": -1}), ("Adam", {"weight_decay": -1}), ("AdamW", {"lr": -1}),
    ("NAdam", {"momentum_decay": -1}), ("NAdam", {"betas": (-0.1, 0.9)}), ("RAdam", {"eps": -1}),
    ("Adamax", {"eps": -1}), ("Adagrad", {"lr_decay": -1}), ("Adagrad", {"initial_accumulator_value": -1}),
    ("Adadelta", {"rho": 1.5}), ("Adadelta", {"eps": -1}), ("RMSprop", {"alpha": -1}),
    ("RMSprop", {"momentum": -1}), ("ASGD", {"lr": -1}), ("ASGD", {"weight_decay": -1}),
    ("Rprop", {"etas": (1.5, 2.0)}), ("Rprop", {"etas": (0.5, 0.9)}), ("Rprop", {"lr": -1}),
    ("Adafactor", {"lr": -1}), ("Adafactor", {"beta2_decay": 1}), ("Adafactor", {"eps": (-1, 1)}),
    ("Adafactor", {"d": 0.5}), ("Adafactor", {"weight_decay": -1}),
    ("LBFGS", {"lr": -1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), BAD, ids=str)
def test_bad_options(name, options, rng):
    params, others = pair(rng, [(2,)])
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        getattr(torch.optim, name)(others, **options)
    with pytest.raises(type(theirs.value)) as ours:
        getattr(optim, name)(params, **options)
    assert str(ours.value) == str(theirs.value)


def test_what_is_refused(rng):
    p = [dlcore.ones(2, requires_grad=True)]
    with pytest.raises(NotImplementedError, match="capturable"):
        optim.Adam(p, capturable=True)
    with pytest.raises(NotImplementedError, match="differentiable"):
        optim.SGD(p, differentiable=True)
    with pytest.raises(NotImplementedError, match="sparse"):
        optim.SparseAdam(p)


# ---- the base class --------------------------------------------------------------------------------------


def test_tensor_rates(rng):
    params, others = pair(rng)
    ours = optim.Adam(params, lr=dlcore.tensor(0.1))
    theirs = torch.optim.Adam(others, lr=torch.tensor(0.1))
    step_both(ours, theirs, params, others, rng)
    equal(params, others, 1e-6)
    with pytest.raises(ValueError, match="1-element"):
        optim.SGD(params, lr=dlcore.tensor([0.1, 0.2]))


def test_hooks_run_in_torchs_order():
    logs = []
    for lib in (dlcore, torch):
        p = lib.tensor([1.0], requires_grad=True)
        opt = lib.optim.SGD([p], lr=0.1)
        log = []
        opt.register_step_pre_hook(lambda o, a, k, log=log: log.append("pre"))
        handle = opt.register_step_post_hook(lambda o, a, k, log=log: log.append(f"post {len(a)}"))
        opt.register_step_pre_hook(lambda o, a, k: ((o, lambda: 7.0), {}))
        opt.register_state_dict_pre_hook(lambda o, log=log: log.append("saving"))
        opt.register_state_dict_post_hook(lambda o, d, log=log: log.append(sorted(d)))
        opt.register_state_dict_post_hook(lambda o, d, log=log: log.append("first"), prepend=True)
        opt.register_load_state_dict_pre_hook(lambda o, d, log=log: log.append("loading"))
        opt.register_load_state_dict_post_hook(lambda o, log=log: log.append("loaded"))
        p.grad = lib.tensor([1.0])
        log.append(opt.step())
        handle.remove()
        opt.step()
        opt.load_state_dict(opt.state_dict())
        logs.append(log)
    assert logs[0] == logs[1]


def test_a_step_of_ones_own_is_hooked_once():
    class Twice(optim.SGD):
        def step(self, closure=None):
            super().step()
            return super().step(closure)

    p = dlcore.tensor([1.0], requires_grad=True)
    p.grad = dlcore.tensor([1.0])
    opt = Twice([p], lr=0.25)
    seen = []
    opt.register_step_post_hook(lambda *_: seen.append(1))
    opt.step()
    assert p.detach().tolist() == [0.5] and seen == [1]


def test_names_and_duplicates():
    for lib in (dlcore, torch):
        m = lib.nn.Linear(2, 3)
        opt = lib.optim.Adam(m.named_parameters())
        assert opt.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
        with pytest.raises(ValueError):
            lib.optim.SGD([("a", m.weight), m.bias])
        with pytest.raises(ValueError):
            opt.add_param_group({"params": [lib.nn.Parameter(lib.ones(1))]})
        with pytest.warns(UserWarning, match="duplicate"):
            lib.optim.SGD([m.weight, m.weight], lr=0.1)
        with pytest.raises(TypeError):
            lib.optim.SGD([{"params": {m.weight}}], lr=0.1)
        with pytest.raises(TypeError):
            opt.add_param_group([m.weight])


def test_defaults_of_every_constructor_are_torchs():
    import inspect

    for name in [*SPACES, "LBFGS", "Muon"]:
        ours = inspect.signature(getattr(optim, name).__init__).parameters
        theirs = inspect.signature(getattr(torch.optim, name).__init__).parameters
        assert [(k, v.default, v.kind) for k, v in ours.items()] == [
            (k, v.default, v.kind) for k, v in theirs.items()
        ], name
        p, q = [dlcore.ones(2, 2, requires_grad=True)], [torch.ones(2, 2, requires_grad=True)]
        assert (
            getattr(optim, name)(p).param_groups[0].keys()
            == getattr(torch.optim, name)(q).param_groups[0].keys()
        )


def test_clipping_beside_torch(rng):
    for norm in (2.0, 1.0, 3.0, np.inf):
        for limit in (0.1, 1e6):
            params, others = pair(rng)
            for p, q in zip(params, others, strict=True):
                g = np.asarray(rng.standard_normal(p.shape))
                p.grad, q.grad = dlcore.tensor(g), torch.tensor(g)
            a = dlcore.nn.utils.clip_grad_norm_(params, limit, norm)
            b = torch.nn.utils.clip_grad_norm_(others, limit, norm)
            oracle.close(a, b, 1e-12, "norm")
            for p, q in zip(params, others, strict=True):
                oracle.close(p.grad, q.grad, 1e-12, "gradient")


# ---- schedules -------------------------------------------------------------------------------------------

SCHEDULES = {
    "StepLR": {"step_size": [3, 1], "gamma": [0.1, 0.9]},
    "MultiStepLR": {"milestones": [[2, 5, 5], [1]], "gamma": [0.1, 0.7]},
    "ConstantLR": {"factor": [1 / 3, 0.5, 1.0], "total_iters": [5, 1, 30]},
    "LinearLR": {"start_factor": [1 / 3, 1.0], "end_factor": [1.0, 0.2], "total_iters": [5, 1, 30]},
    "ExponentialLR": {"gamma": [0.9, 1.1]},
    "PolynomialLR": {"total_iters": [5, 30], "power": [1.0, 2.5]},
    "CosineAnnealingLR": {"T_max": [10, 3], "eta_min": [0.0, 0.01]},
    "CosineAnnealingWarmRestarts": {"T_0": [3, 1, 30], "T_mult": [1, 2], "eta_min": [0.0, 0.01]},
    "LambdaLR": {"lr_lambda": [lambda e: 0.9**e]},
    "MultiplicativeLR": {"lr_lambda": [lambda e: 0.95]},
    "OneCycleLR": {
        "max_lr": [0.3, [0.3, 0.6]], "total_steps": [25], "pct_start": [0.3, 0.5],
        "anneal_strategy": ["cos", "linear"], "cycle_momentum": [True, False], "three_phase": BOOL,
    },
    "CyclicLR": {
        "base_lr": [0.01, [0.01, 0.02]], "max_lr": [0.3], "step_size_up": [4, 3], "step_size_down": [None, 2],
        "mode": ["triangular", "triangular2", "exp_range"], "gamma": [1.0, 0.9],
        "cycle_momentum": [True, False], "scale_fn": [None, lambda x: 0.5**x],
        "scale_mode": ["cycle", "iterations"],
    },
}  # fmt: skip
DRAWN = [
    pytest.param(name, draw.values[0], i % 2, id=f"{name}-{i}")
    for name, space in SCHEDULES.items()
    for i, draw in enumerate(oracle.space(name, 8, **space))
]


def two_groups(lib, adam):
    a, b = (lib.tensor([1.0], requires_grad=True) for _ in range(2))
    groups = [{"params": [a]}, {"params": [b], "lr": 0.5}]
    return lib.optim.Adam(groups, lr=0.1) if adam else lib.optim.SGD(groups, lr=0.1, momentum=0.9)


def plain(x):
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return [plain(v) for v in x] if isinstance(x, (list, tuple)) else x


@pytest.mark.parametrize(("name", "options", "adam"), DRAWN)
def test_schedules(name, options, adam):
    made = []
    for lib in (dlcore, torch):
        opt = two_groups(lib, adam)
        made.append((opt, getattr(lib.optim.lr_scheduler, name)(opt, **options)))
    (a, ours), (b, theirs) = made

    def same():
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), 1e-12, 1e-15)
        for g, h in zip(a.param_groups, b.param_groups, strict=True):
            for key in ("lr", "momentum", "betas"):
                if key in g:
                    np.testing.assert_allclose(g[key], h[key], 1e-12, 1e-15)

    same()
    for _ in range(10):
        for opt, s in made:
            opt.step()
            s.step()
        same()
    state = theirs.state_dict()
    assert set(ours.state_dict()) == set(state) - {"_scale_fn_ref"}
    again = two_groups(dlcore, adam)
    other = getattr(dlcore.optim.lr_scheduler, name)(again, **options)
    other.load_state_dict(plain(state))  # torch's own state goes on here
    again.load_state_dict(a.state_dict())
    a, ours = again, other
    made[0] = (again, other)
    for _ in range(10):
        for opt, s in made:
            opt.step()
            s.step()
        same()


def test_chained_forms_and_plateau():
    for build in (
        lambda m, o: m.SequentialLR(
            o, [m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.9), m.LinearLR(o, 0.5, 1.0, 4)], [3, 8]
        ),
        lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.9)], o),
        lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, 1.0, 3), m.CosineAnnealingLR(o, 10)], [3]),
    ):
        a, b = two_groups(dlcore, 0), two_groups(torch, 0)
        ours, theirs = build(dlcore.optim.lr_scheduler, a), build(torch.optim.lr_scheduler, b)
        for _ in range(15):
            np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), 1e-12)
            a.step(), b.step(), ours.step(), theirs.step()
    rng = np.random.default_rng(0)
    for options in (
        {"patience": 1, "factor": 0.5},
        {"mode": "max", "patience": 0, "cooldown": 2, "threshold_mode": "abs", "threshold": 0.1},
        {"patience": 0, "min_lr": [0.05, 0.2], "eps": 1e-3},
    ):
        a, b = two_groups(dlcore, 0), two_groups(torch, 0)
        ours = dlcore.optim.lr_scheduler.ReduceLROnPlateau(a, **options)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options)
        for _ in range(20):
            value = float(rng.random())
            ours.step(value), theirs.step(value)
            assert [g["lr"] for g in a.param_groups] == [g["lr"] for g in b.param_groups]


def test_schedule_warnings_and_errors():
    for lib in (dlcore, torch):
        m = lib.optim.lr_scheduler
        s = m.StepLR(two_groups(lib, 0), 3)
        with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
            s.step()
        with pytest.warns(UserWarning, match="epoch parameter"):
            s.step(5)
        with pytest.warns(UserWarning, match="get_last_lr"):
            s.get_lr()
        opt = two_groups(lib, 0)
        adagrad = lib.optim.Adagrad([lib.tensor([1.0], requires_grad=True)])
        for bad, error in [
            (lambda: m.StepLR(3, 1), TypeError),
            (lambda: m.ConstantLR(opt, 2.0), ValueError),
            (lambda: m.LinearLR(opt, 0.0), ValueError),
            (lambda: m.CyclicLR(opt, 0.1, 0.2, mode="square"), ValueError),
            (lambda: m.CyclicLR(adagrad, 0.1, 0.2), ValueError),
            (lambda: m.CyclicLR(opt, [0.1], 0.2), ValueError),
            (lambda: m.OneCycleLR(opt, 0.1), ValueError),
            (lambda: m.OneCycleLR(opt, 0.1, total_steps=0), ValueError),
            (lambda: m.OneCycleLR(opt, 0.1, total_steps=5, anneal_strategy="x"), ValueError),
            (lambda: m.LambdaLR(opt, [lambda e: 1]), ValueError),
            (lambda: m.ReduceLROnPlateau(opt, factor=1.0), ValueError),
            (lambda: m.ReduceLROnPlateau(opt, mode="mean"), ValueError),
            (lambda: m.SequentialLR(opt, [], []), ValueError),
            (lambda: m.SequentialLR(opt, [m.StepLR(opt, 1)], [3]), ValueError),
            (lambda: m.CosineAnnealingWarmRestarts(opt, 0), ValueError),
            (lambda: m.StepLR(two_groups(lib, 0), 1, last_epoch=3), KeyError),
        ]:  # fmt: skip
            with pytest.raises(error):
                bad()
