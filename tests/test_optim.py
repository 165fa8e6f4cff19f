"""Optimizers beside torch's, step by step, for every option."""

import copy
import pickle

import numpy as np
import pytest

import dlcore
from dlcore import _C, optim

torch = pytest.importorskip("torch", reason="torch (the oracle) is not installed")

OPTIONS = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.4},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.1, "maximize": True, "weight_decay": 0.1},
        {},
    ],
    "Adam": [
        {},
        {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3},
        {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.1, "maximize": True},
    ],
    "AdamW": [{}, {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}, {"lr": 0.1, "maximize": True}],
    "NAdam": [
        {},
        {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RAdam": [
        {},
        {"lr": 0.1, "betas": (0.9, 0.8)},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "Adamax": [{}, {"lr": 0.1, "weight_decay": 0.1, "eps": 1e-2}, {"lr": 0.1, "maximize": True}],
    "RMSprop": [
        {},
        {"lr": 0.1, "alpha": 0.8, "momentum": 0.9},
        {"lr": 0.1, "centered": True, "weight_decay": 0.1},
        {"lr": 0.1, "centered": True, "momentum": 0.5, "maximize": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.3},
        {"weight_decay": 0.1, "maximize": True},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.7, "eps": 1e-3}, {"weight_decay": 0.1, "maximize": True}],
}
ALL = [(name, o) for name, options in OPTIONS.items() for o in options]
SHAPES = [(3, 5), (17,), (), (2, 0)]


def close(params, others, name):
    # torch keeps NAdam's product of momenta in float32.
    for p, q in zip(params, others):
        tolerance = 1e-6 if name == "NAdam" else 1e-10
        np.testing.assert_allclose(
            p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance / 10
        )


def step_both(ours, theirs, params, others, rng):
    for i, (p, q) in enumerate(zip(params, others)):
        if i == 1 and rng.random() < 0.3:  # a parameter without a gradient now and then
            p.grad = q.grad = None
            continue
        g = rng.standard_normal(p.shape)
        p.grad, q.grad = dlcore.tensor(g), torch.tensor(g)
    ours.step()
    theirs.step()


def make(name, options, rng, scale=1.0):
    data = [np.asarray(rng.standard_normal(s)) for s in SHAPES]
    params = [dlcore.tensor(a, requires_grad=True) for a in data]
    others = [torch.tensor(a, requires_grad=True) for a in data]
    return (
        params,
        others,
        getattr(optim, name)(params, **options),
        getattr(torch.optim, name)(others, **options),
    )


@pytest.mark.parametrize(("name", "options"), ALL, ids=lambda v: str(v))
def test_steps_as_torch(name, options, rng):
    params, others, ours, theirs = make(name, options, rng)
    for _ in range(8):
        step_both(ours, theirs, params, others, rng)
        close(params, others, name)


@pytest.mark.parametrize("name", OPTIONS)
def test_defaults_and_group_keys_are_torchs(name, rng):
    _, _, ours, theirs = make(name, {}, rng)
    ignored = {"foreach", "fused", "capturable", "differentiable"}
    for key, value in theirs.param_groups[0].items():
        if key not in ignored | {"params"}:
            assert ours.param_groups[0][key] == value, key


@pytest.mark.parametrize(("name", "options"), ALL, ids=lambda v: str(v))
def test_state_dict_goes_on_where_it_was(name, options, rng):
    params, others, ours, theirs = make(name, options, rng)
    for _ in range(3):
        step_both(ours, theirs, params, others, rng)
    state = ours.state_dict()
    plain = {
        i: {k: v if np.isscalar(v) else np.asarray(v) for k, v in slots.items()}
        for i, slots in state["state"].items()
    }
    saved = pickle.loads(pickle.dumps({"state": plain, "param_groups": state["param_groups"]}))
    again = getattr(optim, name)(params)
    again.load_state_dict(saved)
    for _ in range(3):
        step_both(again, theirs, params, others, rng)
    close(params, others, name)


@pytest.mark.parametrize("name", OPTIONS)
def test_state_dict_of_torch_loads(name, rng):
    params, others, ours, theirs = make(name, {}, rng)
    for _ in range(3):
        step_both(ours, theirs, params, others, rng)
    again = getattr(optim, name)(params)
    again.load_state_dict(theirs.state_dict())
    for _ in range(3):
        step_both(again, theirs, params, others, rng)
    close(params, others, name)


def test_parameters_are_updated_in_their_own_memory():
    a = np.ones(5)
    p = dlcore.from_numpy(a)
    p.requires_grad = True
    p.grad = dlcore.tensor(np.ones(5))
    optim.SGD([p], lr=0.25).step()
    assert np.array_equal(a, np.full(5, 0.75))


def test_parameter_that_is_not_contiguous():
    a = np.ones((4, 6))
    p = dlcore.from_numpy(a.T[::2])
    p.requires_grad = True
    p.grad = dlcore.tensor(np.ones((3, 4)))
    opt = optim.Adam([p], lr=0.25)
    opt.step()
    np.testing.assert_allclose(a[:, ::2], 0.75)
    assert np.array_equal(a[:, 1::2], np.ones((4, 3)))


def test_float32_and_float64_together(rng):
    data = [rng.standard_normal(5).astype(np.float32), rng.standard_normal(7)]
    params = [dlcore.tensor(a, requires_grad=True) for a in data]
    others = [torch.tensor(a, requires_grad=True) for a in data]
    ours, theirs = optim.AdamW(params, lr=0.1), torch.optim.AdamW(others, lr=0.1)
    for _ in range(5):
        for p, q, a in zip(params, others, data):
            p.grad, q.grad = dlcore.tensor(a), torch.tensor(a)
        ours.step()
        theirs.step()
    for p, q in zip(params, others):
        assert p.dtype == np.dtype(str(q.dtype)[6:])
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)


def test_same_bits_at_any_number_of_threads(rng):
    data = [rng.standard_normal(s).astype(np.float32) for s in [(300, 301), (16_384,), (16_385,), (3,)]]
    results = []
    for threads in (1, 2, 3, 7):
        _C.set_num_threads(threads)
        params = [dlcore.tensor(a, requires_grad=True) for a in data]
        opt = optim.Adam(params, lr=0.1, weight_decay=0.1)
        for _ in range(3):
            for p, a in zip(params, data):
                p.grad = dlcore.tensor(a)
            opt.step()
        results.append(
            [p.detach().numpy().tobytes() for p in params] + [_C.grad_norm([p.array for p in params])]
        )
    assert all(r == results[0] for r in results)


def test_param_groups_and_zero_grad(rng):
    a, b = (dlcore.tensor(np.ones(3), requires_grad=True) for _ in range(2))
    opt = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    a.grad, b.grad = dlcore.tensor(np.ones(3)), dlcore.tensor(np.ones(3))
    opt.step()
    np.testing.assert_allclose(a.detach().numpy(), 0.9)
    np.testing.assert_allclose(b.detach().numpy(), 0.5)
    opt.zero_grad(set_to_none=False)
    assert np.array_equal(a.grad.numpy(), np.zeros(3))
    opt.zero_grad()
    assert a.grad is None and b.grad is None
    opt.step()  # nothing to do
    c = dlcore.tensor(np.ones(3), requires_grad=True)
    opt.add_param_group({"params": [c]})
    assert opt.param_groups[2]["lr"] == 0.1
    assert "lr: 0.5" in repr(opt)
    assert copy.deepcopy(opt.state_dict())["param_groups"][1]["params"] == [1]


def test_closure():
    p = dlcore.tensor(np.ones(1), requires_grad=True)
    p.grad = dlcore.tensor(np.ones(1))
    assert optim.SGD([p], lr=0.1).step(lambda: 7.0) == 7.0


P = [dlcore.tensor([1.0], requires_grad=True)]
BAD = [
    (lambda: optim.SGD(P, lr=-1), ValueError, "Invalid learning rate: -1"),
    (lambda: optim.SGD(P, lr=float("nan")), ValueError, "Invalid learning rate"),
    (lambda: optim.SGD(P, momentum=-0.5), ValueError, "Invalid momentum value: -0.5"),
    (lambda: optim.SGD(P, weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (
        lambda: optim.SGD(P, nesterov=True),
        ValueError,
        "Nesterov momentum requires a momentum and zero dampening",
    ),
    (lambda: optim.Adam(P, betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
    (lambda: optim.AdamW(P, betas=(0.9, -0.1)), ValueError, "Invalid beta parameter at index 1"),
    (lambda: optim.Adam(P, eps=-1), ValueError, "Invalid epsilon value: -1"),
    (lambda: optim.NAdam(P, momentum_decay=-1), ValueError, "Invalid momentum_decay value: -1"),
    (lambda: optim.RMSprop(P, alpha=-1), ValueError, "Invalid alpha value: -1"),
    (lambda: optim.Adadelta(P, rho=1.5), ValueError, "Invalid rho value: 1.5"),
    (lambda: optim.Adagrad(P, lr_decay=-1), ValueError, "Invalid lr_decay value: -1"),
    (lambda: optim.SGD([]), ValueError, "empty parameter list"),
    (lambda: optim.SGD(P[0]), TypeError, "must be an iterable"),
    (lambda: optim.SGD([1.0]), TypeError, "can only optimize tensors"),
    (lambda: optim.SGD([{"params": P}, {"params": P}]), ValueError, "more than one parameter group"),
    (
        lambda: optim.SGD(P).load_state_dict({"state": {}, "param_groups": []}),
        ValueError,
        "number of parameter groups",
    ),
]


@pytest.mark.parametrize(("call", "exception", "match"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_errors(call, exception, match):
    with pytest.raises(exception, match=match):
        call()


def test_gradient_of_another_shape_raises():
    p = dlcore.tensor(np.ones(3), requires_grad=True)
    opt = optim.SGD([p])
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        p.grad = dlcore.tensor(np.ones(2))
        opt.step()


def test_clipping_kernels(rng):
    arrays = [rng.standard_normal(s) for s in [(4, 5), (40_000,), ()]]
    ours = [_C.clone(_C.from_numpy(np.asarray(a))) for a in arrays]
    for order in (1.0, 2.0, 3.0, np.inf):
        want = np.linalg.norm(np.concatenate([np.ravel(a) for a in arrays]), order)
        np.testing.assert_allclose(_C.grad_norm(ours, order), want, rtol=1e-12)
    _C.scale_(ours, 0.5)
    _C.clamp_(ours, -0.3, 0.4)
    for a, b in zip(arrays, ours):
        np.testing.assert_allclose(b.numpy(), np.clip(a * 0.5, -0.3, 0.4))


KEEP_SCALE = {
    "sgd_step": (1, lambda w, g, s, k: _C.sgd_step(w, g, s, [2.0] * 3, 0.1, 0.9, **k)),
    "adam_step": (2, lambda w, g, s, k: _C.adam_step(w, g, *s, [], [2.0] * 3, 0.1, 0.9, 0.99, 1e-7, **k)),
    "adamax_step": (2, lambda w, g, s, k: _C.adamax_step(w, g, *s, [2.0] * 3, 0.1, 0.9, 0.99, 1e-7, 0.0,
                                                         False, **k)),
    "nadam_step": (2, lambda w, g, s, k: _C.nadam_step(w, g, *s, [0.8] * 3, [2.0] * 3, 0.1, 0.9, 0.99, 1e-7,
                                                       0.0, 0.004, False, False, **k)),
    "rmsprop_step": (1, lambda w, g, s, k: _C.rmsprop_step(w, g, *s, [], [], 0.1, 0.9, 1e-7, 0.0, 0.0, False,
                                                           False, **k)),
    "adagrad_step": (1, lambda w, g, s, k: _C.adagrad_step(w, g, *s, [2.0] * 3, 0.1, 0.0, 1e-7, 0.0, False,
                                                           **k)),
    "adadelta_step": (2, lambda w, g, s, k: _C.adadelta_step(w, g, *s, 0.1, 0.9, 1e-7, 0.0, False, **k)),
    "lion_step": (1, lambda w, g, s, k: _C.lion_step(w, g, *s, 0.1, 0.9, 0.99, **k)),
    "ftrl_step": (2, lambda w, g, s, k: _C.ftrl_step(w, g, *s, 0.1, -0.5, 0.1, 0.1, 0.1, 0.1, **k)),
    "schedule_free_step": (2, lambda w, g, s, k: _C.schedule_free_step(w, g, *s, [2.0] * 3, 0.1, 0.9, 0.99,
                                                                       1e-7, **k)),
    "lamb_step": (2, lambda w, g, s, k: _C.lamb_step(w, g, *s, [2.0] * 3, 0.1, 0.9, 0.99, 1e-7, **k)),
}  # fmt: skip


@pytest.mark.parametrize("name", KEEP_SCALE)
def test_what_decay_and_clipping_leave_as_factors(name, rng):
    """A step with `keep` and `scale` is that of parameters and gradients that were multiplied before."""
    count, step = KEEP_SCALE[name]
    keep, scale = [0.9, 1.0, 0.5], [0.25, 1.0, -2.0]
    data = [[rng.random(s) + 0.1 for s in [(3, 5), (), (17,)]] for _ in range(2 + count)]

    def lists():
        return [[_C.from_numpy(np.array(a)) for a in one] for one in data]

    w, g, *s = lists()
    step(w, g, s[0] if name == "sgd_step" else s, {"keep": keep, "scale": scale})
    w2, g2, *s2 = lists()
    for x, factors in ((w2, keep), (g2, scale)):
        _C.axpby_(x, factors, x, [0.0] * 3, x)
    step(w2, g2, s2[0] if name == "sgd_step" else s2, {})
    for one, other in zip([w, *s], [w2, *s2]):
        for a, b in zip(one, other):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-14)
    with pytest.raises(ValueError, match="there must be one entry for each parameter"):
        step(w, g, s[0] if name == "sgd_step" else s, {"scale": [1.0]})
