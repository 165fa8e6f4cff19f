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
        {"lr": 0.1, "momentum": 0.9, "rated": True},
        {"lr": 0.1, "momentum": 0.9, "rated": True, "nesterov": True},
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
    options = [
        {},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"centered": True, "maximize": True},
        {"momentum": 0.9, "epsilon_inside": True, "rated": True},
    ]
    return [Sample(states(rng, s, 3)[:3] + tuple(rng.random((2, *s))), {"lr": 0.1, **o}, f"{s} {o}")
            for s in [(1,), (17,), (5, 13)] for o in options]  # fmt: skip


def lion_samples(rng):
    options = [{}, {"weight_decay": 0.1, "beta1": 0.5}, {"maximize": True}]
    return [
        Sample(states(rng, s, 1), {"lr": 0.1, **o}, f"{s} {o}")
        for s in [(1,), (17,), (3, 0)]
        for o in options
    ]


def two_states(options, positive=2):
    """p, g and two states for each option, `positive` of the states above 0."""

    def make(rng):
        def one(shape, option):
            p, g, a, b = (np.asarray(x) for x in rng.standard_normal((4, *shape)))
            a, b = (np.asarray(np.abs(x) + 0.1) if i < positive else x for i, x in enumerate((a, b)))
            return Sample((p, g, a, b), {"lr": 0.1, **option}, f"{shape} {option}")

        return [one(s, o) for s in [(), (1,), (17,), (3, 0), (5, 13)] for o in options]

    return make


ADAMAX = [{}, {"step": 3, "weight_decay": 0.1, "maximize": True}, {"epsilon": 0.1, "epsilon_below": True}]
FTRL = [
    {},
    {"l1": 0.5, "l2": 0.1, "shrinkage": 0.1, "beta": 0.2},
    {"power": -0.7, "l1": 0.1},
    {"power": 0.0, "l2": 0.3},
]
FREE = [{}, {"step": 4, "beta1": 0.5, "epsilon": 1e-3}]
LAMB = [{}, {"step": 5, "keep": 0.7}, {"epsilon": 0.0}]


def lamb_samples(rng):
    still = np.zeros((2, 3))
    return [
        *two_states(LAMB)(rng),
        Sample((still, still + 1, still, still), {"lr": 0.1}, "a weight of zeros"),
        Sample((still + 1, still, still, still), {"lr": 0.1}, "a step of zeros"),
    ]


def adafactor_samples(rng, shapes=((1,), (17,), (0,), (5, 13), (1, 1), (3, 0), (2, 3, 33), (40, 1))):
    options = [
        {"fresh": 0.3, "rate": 0.2},
        {"fresh": 0.3, "keep": 0.9, "threshold": 0.1, "maximize": True},
        {"fresh": 0.5, "epsilon": 0.1, "least_mean": 0.0, "least_variance": 0.0, "least_rms": 5.0},
    ]

    def one(shape, option):
        p, g = rng.standard_normal((2, *shape))
        means = [rng.random(shape[:-1]), rng.random((*shape[:-2], shape[-1]))] if len(shape) > 1 else []
        if len(shape) > 1 and 0 in shape:  # nothing to take the mean of
            means = [np.zeros(m.shape) for m in means]
        return Sample((p, g, rng.random(shape), *means), option, f"{shape} {option}")

    return [one(s, o) for s in shapes for o in options]


def clip_norm(x, max_norm, order=2.0):
    norm, (y,) = dlcore.kernels.grad_clip_norm([x], max_norm, order)
    return np.asarray(norm, x.dtype), y


def clip_norm_samples(rng):
    sets = [np.asarray(rng.standard_normal(s)) for s in [(), (1,), (19,), (3, 0), (4, 5)]]
    sets += [rng.standard_normal((6, 8))[::2, ::-3], np.array([1.0, np.nan]), np.array([1.0, np.inf])]
    return [
        Sample((x, m, o), id=f"{x.shape} {m} {o}") for x in sets for m in (0.1, 10.0) for o in (2.0, np.inf)
    ]


def axpby_samples(rng):
    sets = [rng.standard_normal((2, *s)) for s in [(), (1,), (19,), (3, 0), (4, 5)]]
    samples = [
        Sample((a, np.asarray(x), b, np.asarray(y)))
        for x, y in sets
        for a, b in [(0.3, 1.0), (1.0, -0.5), (-2.0, 0.0)]
    ]
    x = rng.standard_normal((6, 8))
    return [*samples, Sample((0.5, x[::2, ::-2], 2.0, x.T[::2, :3].T)), Sample((1.0, x, 0.0, x * np.nan))]


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
    OpCase("adamax_step", ["optim_step"], dlcore.kernels.adamax_step, ref.adamax_step, two_states(ADAMAX, 2)),
    OpCase("ftrl_step", ["optim_step"], dlcore.kernels.ftrl_step, ref.ftrl_step, two_states(FTRL, 1),
           errors=[Error((f4, f4, f4, f4[:1]), ValueError, r"ftrl_step: state must have shape \(2, 3\)")]),
    OpCase("schedule_free_step", ["optim_step"], dlcore.kernels.schedule_free_step, ref.schedule_free_step,
           two_states(FREE)),
    OpCase("lamb_step", ["lamb_step"], dlcore.kernels.lamb_step, ref.lamb_step, lamb_samples,
           large=large(lamb_samples, 2, step=3),
           errors=[Error((f4, f4[:1], f4, f4), ValueError, r"lamb_step: grad must have shape \(2, 3\)")]),
    OpCase("adafactor_step", ["adafactor_step"], dlcore.kernels.adafactor_step, ref.adafactor_step,
           adafactor_samples,
           large=lambda rng: adafactor_samples(rng, [(300_000,), (700, 900), (3, 130, 129), (20_000, 3)]),
           errors=[
               Error((f4, f4[:1], f4, f4[:, 0], f4[0]), ValueError, r"grad must have shape \(2, 3\)"),
               Error((f4, f4, f4), ValueError, "adafactor_step: there must be one entry for each"),
               Error((f4, f4, f4, f4, f4[0]), ValueError, "a state must be contiguous and fit its param"),
               Error((f4, f4, f4[:1], f4[:, 0], f4[0]), ValueError, "a state must be contiguous and fit"),
               Error((f4, f4, f4.astype(np.float64), f4[:, 0], f4[0]), TypeError, "the dtype of param"),
           ]),
    OpCase("asgd_step", ["optim_step"], dlcore.kernels.asgd_step, ref.asgd_step, asgd_samples),
    OpCase("rprop_step", ["optim_step"], dlcore.kernels.rprop_step, ref.rprop_step, rprop_samples),
    OpCase("grad_norm", ["multi_norm"], norm, ref.grad_norm, norm_samples, dtypes=[np.float64],
           large=lambda rng: [Sample(([rng.standard_normal(n) for n in (50_001, 3, 40_000)],), id="large")],
           errors=[Error(([f4], 0.0), ValueError, "the order must be positive")]),
    OpCase("grad_scale", ["multi_scale"], dlcore.kernels.grad_scale, ref.grad_scale,
           lambda rng: [Sample((rng.standard_normal(s), 0.3), id=str(s)) for s in [(1,), (19,), (3, 0)]],
           large=lambda rng: [Sample((rng.standard_normal(70_001), 0.3), id="large")]),
    OpCase("grad_clip_norm", ["multi_norm", "multi_scale"], clip_norm, ref.grad_clip_norm, clip_norm_samples,
           large=lambda rng: [Sample((rng.standard_normal(2_000_001), 1.0), id="large")],
           errors=[Error((f4, 1.0, -1.0), ValueError, "the order must be positive")]),
    OpCase("axpby", ["multi_axpby"], dlcore.kernels.axpby, ref.axpby, axpby_samples,
           large=lambda rng: [Sample((0.3, rng.standard_normal(70_001), 0.7, rng.standard_normal(70_001)))],
           errors=[Error((1.0, f4, 1.0, f4[:1]), ValueError, r"axpby_: x must have shape \(1, 3\)"),
                   Error((1.0, f4, 1.0, f4.astype(int)), TypeError, "out must be float32 or float64")]),
    OpCase("grad_clip", ["multi_scale"], dlcore.kernels.grad_clip, ref.grad_clip,
           lambda rng: [Sample((rng.standard_normal(19), -0.5, 0.7)),
                        Sample((np.array([np.nan, 3.0]), -1.0, 1.0))]),
]  # fmt: skip
