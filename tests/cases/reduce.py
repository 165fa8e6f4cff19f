"""Cases of the reduce family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import reduce as ref

K = dlcore.kernels


def samples(rng, empty=True):
    def r(*shape):
        return rng.standard_normal(shape) + 0.5  # sums that nearly cancel say nothing about a kernel

    out = [
        Sample((r(5),), id="1-d"),
        Sample((r(3, 4), 0), id="columns"),
        Sample((r(3, 4), 1), id="rows"),
        Sample((r(3, 4), (0, 1)), id="both"),
        Sample((r(2, 3, 4), 1), id="middle"),
        Sample((r(2, 3, 4), (0, 2), True), id="outer and inner, kept"),
        Sample((r(2, 3, 4, 5).transpose(0, 2, 3, 1), (0, 1, 2)), id="channels-last"),
        Sample((r(2, 3, 4).transpose(2, 0, 1), -1), id="transposed"),
        Sample((r(6, 10)[::-2, ::3], 1), id="negative strides"),
        Sample((np.asarray(r(1)[0]),), id="0-d"),
    ]
    if empty:
        out.append(Sample((r(0, 4), 0), id="empty axis"))
        out.append(Sample((np.broadcast_to(r(1, 4), (3, 4)), 0), id="broadcast view"))
    out.append(Sample((r(0, 4), 1), id="no outputs"))
    return out


def large(rng):
    def r(*shape):
        return rng.standard_normal(shape) + 0.5

    return [
        Sample((r(200_003),), id="one output", grad=False),
        Sample((r(1000, 131), 0), id="tall", grad=False),
        Sample((r(20_000, 7), 0), id="narrow", grad=False),
        Sample((r(131, 1000), 1), id="wide", grad=False),
        Sample((r(3, 70_001), 1), id="cut rows", grad=False),
        Sample((r(8, 16, 9, 33), (0, 2, 3)), id="channels", grad=False),
        Sample((r(3, 5, 600), 1), id="panels", grad=False),
    ]


def wrap(f):
    return lambda x, axis=None, keepdims=False: f(x, axis, keepdims=keepdims)


def case(name, reference, functional, empty=True, **kwargs):
    return OpCase(
        name, ["reduce"], getattr(K, name), wrap(reference),
        lambda rng: samples(rng, empty), functional=functional, large=large,
        errors=[
            Error((f4, 2), IndexError, "axis|dim"),
            Error((f4, (0, 0)), ValueError, "must not repeat"),
            Error((f4.astype(object),), TypeError, "object arrays"),
        ],
        **kwargs,
    )  # fmt: skip


def axis_samples(rng):
    return [s for s in samples(rng, False) if len(s.args) == 2 and isinstance(s.args[1], int)]


def axis_large(rng):
    return [s for s in large(rng) if len(s.args) == 2 and isinstance(s.args[1], int)]


f4 = np.ones((2, 3), np.float32)
CASES = [
    case("sum", np.sum, F.sum),
    case("mean", np.mean, F.mean, empty=False),
    case("prod", np.prod, F.prod),
    case("amax", np.max, F.amax, False, exact=True),
    case("amin", np.min, F.amin, False, exact=True),
    case("sumsq", ref.sumsq, None),
    OpCase(
        "var", ["reduce"], K.var, ref.var,
        lambda rng: [Sample((rng.standard_normal((4, 5)) + 3, a)) for a in (0, 1, (0, 1), None)]
        + [Sample((rng.standard_normal((4, 5, 6)), (0, 2), 0.0, True), id="biased, kept", grad=False)],
        functional=lambda x, axis=None: F.var(x, axis),
        large=lambda rng: [Sample((rng.standard_normal((300, 400)) + 3, a)) for a in (0, 1, None)],
        errors=[Error((f4.astype(np.int64),), TypeError, "must be float32 or float64")],
    ),
    OpCase(
        "sum_to", ["reduce"], K.sum_to, ref.sum_to,
        lambda rng: [
            Sample((rng.standard_normal((2, 3, 4)), s))
            for s in ((4,), (3, 1), (2, 1, 4), (1, 1, 1), (), (2, 3, 4))
        ],
        errors=[Error((f4, (2, 2)), ValueError, "must broadcast")],
    ),
    OpCase(
        "argmax", ["arg_reduce"], K.argmax, np.argmax, axis_samples, large=axis_large, exact=True,
        errors=[Error((f4[:0], 0), ValueError, "must not be empty"), Error((f4, 2), IndexError, "axis|dim")],
    ),
    OpCase("argmin", ["arg_reduce"], K.argmin, np.argmin, axis_samples, large=axis_large, exact=True),
    OpCase(
        "cumsum", ["scan"], K.cumsum, np.cumsum, axis_samples, functional=F.cumsum, large=axis_large,
        errors=[Error((f4, 2), IndexError, "axis|dim")],
    ),
    OpCase("cumprod", ["scan"], K.cumprod, np.cumprod, axis_samples, functional=F.cumprod),
    OpCase(
        "cummax", ["cum_extreme"], K.cummax, ref.cummax, axis_samples, functional=F.cummax, large=axis_large,
        exact=True, errors=[Error((f4, 2), IndexError, "axis|dim")],
    ),
    OpCase(
        "cummin", ["cum_extreme"], K.cummin, ref.cummin, axis_samples, functional=F.cummin, large=axis_large,
        exact=True,
    ),
    OpCase(
        "logcumsumexp", ["logcumsumexp"], K.logcumsumexp, ref.logcumsumexp, axis_samples,
        functional=F.logcumsumexp, large=axis_large,
        errors=[
            Error((f4, 2), IndexError, "axis|dim"),
            Error((f4.astype(np.int64), 0), TypeError, "must be float32 or float64"),
        ],
    ),
]  # fmt: skip
