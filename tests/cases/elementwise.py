"""Cases of the elementwise family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import elementwise as ref

K = dlcore.kernels


def layouts(rng, draw):
    """One operand in every shape and layout that matters."""
    a = draw(6, 10)
    return [
        Sample((draw(5),), id="1-d"),
        Sample((draw(3, 4),), id="2-d"),
        Sample((draw(0, 4),), id="empty"),
        Sample((np.asarray(draw(1)[0]),), id="0-d"),
        Sample((draw(2, 3, 4, 5).transpose(0, 2, 3, 1),), id="channels-last"),
        Sample((a[::-2, ::3],), id="negative strides"),
        Sample((np.broadcast_to(draw(1, 4), (3, 4)),), id="broadcast view"),
        Sample((draw(33),), id="tail"),
    ]


def unary(name, reference, low=None, parameters=(), functional=None, scale=2.0):
    """Forward (and through the functional the backward) of one function; low: its domain starts there."""

    def draw_of(rng):
        def draw(*shape):
            x = rng.standard_normal(shape) * scale
            x = np.where(np.abs(x) < 0.05, 0.3, x)  # kinks and poles are tested in test_elementwise.py
            return x if low is None else np.abs(x) + low

        return draw

    def samples(rng):
        return [Sample((*s.args, *parameters), id=s.id) for s in layouts(rng, draw_of(rng))]

    def large(rng):
        draw = draw_of(rng)
        return [
            Sample((draw(70001), *parameters), id="70001", grad=False),
            Sample((draw(300, 401)[:, ::2], *parameters), id="rows", grad=False),
        ]

    return OpCase(
        name, ["unary", "unary_backward"], getattr(K, name), reference, samples,
        functional=functional or getattr(F, name), large=large,
    )  # fmt: skip


def pairs(rng, draw):
    return [
        Sample((draw(3, 4), draw(3, 4)), id="same"),
        Sample((draw(3, 4), draw(4)), id="row"),
        Sample((draw(3, 1), draw(1, 4)), id="outer"),
        Sample((draw(2, 1, 3), draw(4, 1)), id="3-d"),
        Sample((draw(0, 4), draw(4)), id="empty"),
        Sample((np.asarray(draw(1)[0]), draw(2, 3)), id="0-d"),
        Sample((draw(4, 3).T, draw(3, 4)), id="transposed"),
        Sample((draw(2, 3, 4, 2).transpose(0, 2, 3, 1), draw(3)), id="channels-last + row"),
        Sample((draw(6, 8)[::-2, ::2], np.broadcast_to(draw(1, 4), (3, 4))), id="views"),
    ]


def binary(
    name, reference, functional=None, low=None, dtypes=(np.float32, np.float64), exact=False, diff=(0, 1)
):
    def draw_of(rng):
        def draw(*shape):
            x = rng.standard_normal(shape) * 3
            return x if low is None else np.abs(x) + low

        return draw

    def large(rng):
        draw = draw_of(rng)
        return [
            Sample((draw(40001), draw(40001)), id="run", grad=False),
            Sample((draw(300, 301), draw(301)), id="rows", grad=False),
            Sample((draw(7, 19001), draw(7, 1)), id="columns", grad=False),
        ]

    return OpCase(
        name, ["compare" if name in ("eq", "ne", "lt", "le", "gt", "ge") else "binary"], getattr(K, name),
        reference, lambda rng: pairs(rng, draw_of(rng)), functional=functional, large=large, dtypes=dtypes,
        exact=exact, diff=diff,
        errors=[
            Error((f4, f4[:, :2]), ValueError, "broadcast"),
            Error((f4, f4.astype(np.float64)), TypeError, "must have the dtype of a"),
            Error((f4.astype(object), f4), TypeError, "object arrays"),
        ],
    )  # fmt: skip


def where_samples(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    return [
        Sample((rng.random((3, 4)) < 0.5, r(3, 4), r(3, 4)), id="same"),
        Sample((rng.random((3, 1)) < 0.5, r(4), r(3, 4)), id="broadcast"),
        Sample((rng.random(4) < 0.5, r(3, 4), np.asarray(0.5)), id="0-d"),
        Sample((np.asarray(True), r(3, 4), r(4)), id="one condition"),
        Sample((rng.random((4, 3)).T < 0.5, r(3, 4), r(4, 3).T), id="transposed"),
        Sample((np.zeros((0, 4), bool), r(0, 4), r(4)), id="empty"),
        Sample((rng.random((4, 33)) < 0.5, r(4, 33), r(4, 1)), id="column"),
    ]


def logical_samples(rng):
    def r(*shape):
        return rng.random(shape) < 0.5

    return [
        Sample((r(3, 4), r(3, 4))),
        Sample((r(3, 1), r(4)), id="broadcast"),
        Sample((r(0), r(0)), id="empty"),
    ]


def logical(name, reference):
    return OpCase(
        name, ["binary"], getattr(K, name), reference, logical_samples, exact=True,
        errors=[Error((f4, f4), TypeError, "must be bool")],
    )  # fmt: skip


f4 = np.ones((2, 3), np.float32)
CASES = [
    unary("neg", np.negative),
    unary("abs", np.abs),
    unary("square", np.square),
    unary("sign", np.sign),
    unary("floor", np.floor),
    unary("ceil", np.ceil),
    unary("round", np.round),
    unary("trunc", np.trunc),
    unary("exp", np.exp),
    unary("expm1", np.expm1),
    unary("log", np.log, low=0.1),
    unary("log1p", np.log1p, low=-0.5),
    unary("log2", np.log2, low=0.1),
    unary("log10", np.log10, low=0.1),
    unary("sqrt", np.sqrt, low=0.1),
    unary("rsqrt", ref.rsqrt, low=0.1),
    unary("reciprocal", np.reciprocal, low=0.1),
    unary("sin", np.sin),
    unary("cos", np.cos),
    unary("tan", np.tan, scale=0.3),
    unary("erf", ref.erf),
    unary("relu", ref.relu),
    unary("sigmoid", ref.sigmoid),
    unary("tanh", np.tanh),
    unary("gelu", ref.gelu),
    unary("gelu_tanh", ref.gelu_tanh, functional=lambda x: F.gelu(x, "tanh")),
    unary("silu", ref.silu),
    unary("softplus", ref.softplus, parameters=(1.5, 2.0)),
    unary("leaky_relu", ref.leaky_relu, parameters=(0.1,)),
    unary("elu", ref.elu, parameters=(0.7, 1.0), functional=lambda x, p, q: F.elu(x, p)),
    unary("hardtanh", ref.hardtanh, parameters=(-0.8, 1.3)),
    unary("clamp", ref.clamp, parameters=(-0.8, 1.3)),
    unary("hardswish", ref.hardswish),
    unary("hardsigmoid", ref.hardsigmoid),
    unary("mish", ref.mish),
    unary("softsign", ref.softsign),
    unary("logsigmoid", ref.logsigmoid),
    unary("threshold", ref.threshold, parameters=(0.5, -1.5)),
    unary("hardshrink", ref.hardshrink, parameters=(0.6,)),
    unary("softshrink", ref.softshrink, parameters=(0.6,)),
    unary(
        "huber", ref.huber, parameters=(0.6, 1.5),
        functional=lambda x, p, q: F.huber_loss(x, dlcore.zeros(*x.shape, dtype=x.dtype), "none", p) * q,
    ),
    binary("add", np.add, F.add),
    binary("sub", np.subtract, F.sub),
    binary("mul", np.multiply, F.mul),
    binary("div", np.divide, F.div, low=0.2),
    binary("pow", np.power, F.pow, low=0.2),
    binary("maximum", np.maximum, F.maximum),
    binary("minimum", np.minimum, F.minimum),
    binary("atan2", np.arctan2, F.atan2),
    binary("logistic_loss", ref.logistic_loss),
    binary("logistic_slope", ref.logistic_slope),
    binary("floor_divide", np.floor_divide, low=0.5),
    binary("remainder", np.remainder, low=0.5),
    binary("fmod", np.fmod, low=0.5),
    binary("eq", np.equal, exact=True),
    binary("ne", np.not_equal, exact=True),
    binary("lt", np.less, exact=True),
    binary("le", np.less_equal, exact=True),
    binary("gt", np.greater, exact=True),
    binary("ge", np.greater_equal, exact=True),
    logical("logical_and", np.logical_and),
    logical("logical_or", np.logical_or),
    logical("logical_xor", np.logical_xor),
    OpCase(
        "where", ["where"], K.where, np.where, where_samples, functional=F.where, diff=(1, 2), exact=True,
        errors=[
            Error((f4, f4, f4), TypeError, "condition must be bool"),
            Error((f4 > 0, f4, f4[:, :2]), ValueError, "broadcast"),
        ],
    ),
    OpCase(
        "full", ["fill"], lambda shape, value: K.full(shape, value, np.float32), ref.full,
        lambda rng: [Sample(((3, 4), 1.5)), Sample(((), 2.0), id="0-d"), Sample(((0,), 1.0), id="empty")],
        exact=True, dtypes=(np.float32,), large=lambda rng: [Sample(((70001,), 0.5))],
        errors=[Error(((-1,), 1.0), ValueError, "must not be negative")],
    ),
]  # fmt: skip
