"""Cases of the optim family; the optimizers themselves are compared with torch in tests/test_optim.py."""

import numpy as np

import dlcore
from tests.cases import Error, OpCase, Sample
from tests.reference import optim as ref


def states(rng, shape, count):
    values = [rng.standard_normal(shape), rng.standard_normal(shape)] + [
        rng.random(shape) + 1.0 for _ in range(count)
    ]
    return tuple(np.asarray(v) for v in values)


def sgd_samples(rng):
    options = [
        {"lr": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "step": 2, "dampening": 0.3},
        {"lr": 0.1, "momentum": 0.9, "step": 2, "nesterov": True, "weight_decay": 0.1},
    ]
    shapes = [(), (1,), (17,), (3, 0), (5, 13)]
    return [Sample(states(rng, s, 1), o, f"{s} {o}") for s in shapes for o in options]


def adam_samples(rng):
    options = [
        {},
        {"step": 7, "weight_decay": 0.1},
        {"step": 7, "weight_decay": 0.1, "decoupled": True, "amsgrad": True},
        {"step": 2, "maximize": True, "epsilon": 1e-3, "epsilon_hat": True},
    ]
    shapes = [(1,), (17,), (3, 0), (5, 13)]
    return [Sample(states(rng, s, 3), {"lr": 0.1, **o}, f"{s} {o}") for s in shapes for o in options]


def rmsprop_samples(rng):
    options = [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"centered": True, "maximize": True}]
    return [Sample(states(rng, s, 3)[:3] + tuple(rng.random((2, *s))), {"lr": 0.1, **o}, f"{s} {o}")
            for s in [(1,), (17,), (5, 13)] for o in options]  # fmt: skip


def lion_samples(rng):
    options = [{}, {"weight_decay": 0.1, "beta1": 0.5}, {"maximize": True}]
    return [
        Sample(states(rng, s, 1), {"lr": 0.1, **o}, f"{s} {o}")
        for s in [(1,), (17,), (3, 0)]
        for o in options
    ]


def asgd_samples(rng):
    options = [{}, {"mu": 0.25, "weight_decay": 0.1, "lambd": 0.2}, {"maximize": True}]
    return [
        Sample(states(rng, s, 1), {"eta": 0.1, **o}, f"{s} {o}")
        for s in [(1,), (17,), (3, 0)]
        for o in options
    ]


def rprop_samples(rng):
    def one(shape, options):
        p, g, before = rng.standard_normal((3, *shape))
        before[..., ::3] = 0  # the first step of an element
        return Sample((p, g, before, rng.random(shape) + 0.1), options, f"{shape} {options}")

    options = [{}, {"etas": (0.3, 2.0), "step_sizes": (0.2, 0.5)}, {"maximize": True}]
    return [one(s, o) for s in [(1,), (17,), (5, 13)] for o in options]


def large(samples, count, **options):
    def make(rng):
        return [Sample(states(rng, s, count), options, f"{s}") for s in [(40_000,), (7, 16_384), (130, 129)]]

    return make


def norm_samples(rng):
    lists = [
        [],
        [np.zeros(0)],
        [rng.standard_normal(3)],
        [rng.standard_normal(s) for s in [(5,), (), (3, 7), (0, 2)]],
    ]
    lists.append([np.array([3e30]), np.array([4e30])])
    lists.append([np.array([1.0, np.nan]), np.array([2.0])])
    return [Sample((a, order), id=f"{len(a)} {order}") for a in lists for order in (2.0, 1.0, np.inf)]


def norm(arrays, order=2.0):
    return np.asarray(dlcore.kernels.grad_norm(arrays, order))


f4 = np.ones((2, 3), np.float32)
CASES = [
    OpCase(
        "sgd_step", ["optim_step"], dlcore.kernels.sgd_step, ref.sgd_step, sgd_samples,
        large=large(sgd_samples, 1, momentum=0.9, step=2),
        errors=[
            Error((f4, f4[:1], f4), ValueError, r"sgd_step: grad must have shape \(2, 3\)"),
            Error((f4, f4, f4[:1]), ValueError, r"state must have shape \(2, 3\)", {"momentum": 0.9}),
            Error((f4, f4.astype(np.float64), f4), TypeError, "must have the dtype of param"),
            Error((f4.astype(np.int64),) * 3, TypeError, "must be float32 or float64"),
        ],
    ),
    OpCase("adam_step", ["optim_step"], dlcore.kernels.adam_step, ref.adam_step, adam_samples,
           large=large(adam_samples, 3, amsgrad=True, step=3)),
    OpCase("rmsprop_step", ["optim_step"], dlcore.kernels.rmsprop_step, ref.rmsprop_step, rmsprop_samples),
    OpCase("lion_step", ["optim_step"], dlcore.kernels.lion_step, ref.lion_step, lion_samples,
           errors=[Error((f4, f4, f4[:1]), ValueError, r"lion_step: state must have shape \(2, 3\)")]),
    OpCase("asgd_step", ["optim_step"], dlcore.kernels.asgd_step, ref.asgd_step, asgd_samples),
    OpCase("rprop_step", ["optim_step"], dlcore.kernels.rprop_step, ref.rprop_step, rprop_samples),
    OpCase("grad_norm", ["multi_norm"], norm, ref.grad_norm, norm_samples, dtypes=[np.float64],
           large=lambda rng: [Sample(([rng.standard_normal(n) for n in (50_001, 3, 40_000)],), id="large")],
           errors=[Error(([f4], 0.0), ValueError, "the order must be positive")]),
    OpCase("grad_scale", ["multi_scale"], dlcore.kernels.grad_scale, ref.grad_scale,
           lambda rng: [Sample((rng.standard_normal(s), 0.3), id=str(s)) for s in [(1,), (19,), (3, 0)]],
           large=lambda rng: [Sample((rng.standard_normal(70_001), 0.3), id="large")]),
    OpCase("grad_clip", ["multi_scale"], dlcore.kernels.grad_clip, ref.grad_clip,
           lambda rng: [Sample((rng.standard_normal(19), -0.5, 0.7)),
                        Sample((np.array([np.nan, 3.0]), -1.0, 1.0))]),
]  # fmt: skip
