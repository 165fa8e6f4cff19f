"""Cases of the sort family."""

import numpy as np

from dlcore import functional as F
from dlcore import kernels as K
from tests.cases import Error, OpCase, Sample
from tests.reference import sort as ref


def distinct(rng, *shape):
    """Distinct numbers, exact in float32, so that central differences never change the order."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 4.0


def arrays(rng):
    """(x, axis, name): around the vectors, the insertion sort (32), the digits of 11 bits (8192)."""
    x = distinct(rng, 6, 8)
    out = [(distinct(rng, *s), a, f"{s} axis {a}") for s, a in [
        ((1,), 0), ((7,), -1), ((3, 5), 0), ((3, 33), 1), ((2, 17, 3), 1), ((2, 3, 2, 5), -2), ((0, 4), 1),
        ((2, 260), -1), ((3, 50), 1),
    ]]  # fmt: skip
    nan = rng.integers(-2, 3, (2, 90)).astype(np.float64)
    nan[0, ::7], nan[1, ::5], nan[1, 1::9] = np.nan, np.inf, -np.inf
    return [
        *out,
        (x.T, 0, "transposed"),
        (x[::-2, ::3], 1, "negative strides"),
        (np.broadcast_to(x[:1], (4, 8)), 1, "broadcast view"),
        (nan, 1, "ties, NaN and infinity"),
        (nan.T.copy(), 0, "the same by columns"),
        (np.zeros((2, 200)) * np.array([[1.0], [-1.0]]), 1, "zeros of both signs"),
    ]


def integers(rng):
    out = []
    for t in (np.int32, np.int64, np.uint8, np.bool_):
        info = (0, 2) if t is np.bool_ else (np.iinfo(t).min, np.iinfo(t).max)
        x = rng.integers(*info, (3, 70), endpoint=t is not np.bool_)
        out.append((x.astype(t), 1, np.dtype(t).name))
    return out


def large(rng):
    return [
        (rng.standard_normal((3, 9000)), 1, "long rows"),
        (rng.standard_normal((700, 40)), 1, "many rows"),
        (rng.standard_normal((30, 300)), 0, "columns"),
        (rng.integers(0, 50, (2, 9000)).astype(np.float64), 1, "long rows of ties"),
    ]


def samples(make, extra, plain=False):
    def build(rng):
        out = []
        for x, axis, name in make(rng) + (integers(rng) if plain else []):
            for e in extra:
                args = e(x, axis)
                if args is not None:
                    grad = x.dtype.kind == "f" and len(np.unique(x)) == x.size > 0 and x.size < 60
                    out.append(Sample(args, id=f"{name} {args[1:]}", grad=grad))
        return out

    return build


def ks(x, axis):
    n = x.shape[axis]
    return [k for k in (1, 3, 20, n) if 0 < k <= n]


def topk_samples(make, plain=False):
    def build(rng):
        out = []
        for x, axis, name in make(rng) + (integers(rng) if plain else []):
            for k in ks(x, axis):
                for largest in (True, False):
                    grad = x.dtype.kind == "f" and len(np.unique(x)) == x.size > 0 and x.size < 60
                    out.append(Sample((x, k, axis, largest), id=f"{name} k={k} {largest}", grad=grad))
        return out

    return build


def kth_samples(make, plain=False):
    def build(rng):
        return [
            Sample((s.args[0], s.args[1], s.args[2]), id=s.id, grad=s.grad)
            for s in topk_samples(make, plain)(rng)
            if s.args[3]
        ]

    return build


orders = [lambda x, axis: (x, axis, False), lambda x, axis: (x, axis, True)]


def search_samples(rng):
    row = np.sort(rng.integers(0, 9, 20)) / 2.0
    rows = np.sort(rng.standard_normal((3, 17)), -1)
    ints = np.sort(rng.integers(0, 200, 31))
    out = []
    for right in (False, True):
        out += [
            Sample((row, rng.integers(-1, 11, (4, 5)) / 2.0, right), id=f"one row {right}"),
            Sample((rows, rng.standard_normal((3, 40)), right), id=f"rows {right}"),
            Sample((row[:0], rng.standard_normal(5), right), id=f"empty row {right}"),
            Sample((row, np.array([np.nan, np.inf, -np.inf]), right), id=f"NaN {right}"),
        ]
        for t in (np.int32, np.int64, np.uint8):
            out.append(Sample((ints.astype(t), rng.integers(0, 200, 9).astype(t), right), id=f"{t} {right}"))
    return out


def search_large(rng):
    return [Sample((np.sort(rng.standard_normal(999)), rng.standard_normal((30, 700))), id="many")]


f4 = np.ones((2, 3), np.float32)
CASES = [
    OpCase(
        "sort",
        ["sort"],
        K.sort,
        ref.sort,
        samples(arrays, orders, True),
        functional=F.sort,
        exact=True,
        errors=[Error((f4, 2), IndexError, r"sort: axis must lie in \[-2, 1\], got axis=2")],
        large=samples(large, orders),
    ),
    OpCase(
        "topk",
        ["topk"],
        K.topk,
        ref.topk,
        topk_samples(arrays, True),
        functional=F.topk,
        exact=True,
        errors=[
            Error((f4, 4), ValueError, r"topk: k must lie in \[0, 3\], the size of the axis"),
            Error((f4, -1), ValueError, "k must lie in"),
            Error((f4, 1, 3), IndexError, "axis must lie in"),
        ],
        large=topk_samples(large),
    ),
    OpCase(
        "kthvalue",
        ["kth"],
        K.kthvalue,
        ref.kthvalue,
        kth_samples(arrays, True),
        functional=F.kthvalue,
        exact=True,
        errors=[
            Error((f4, 0), ValueError, r"kthvalue: k must lie in \[1, 3\]"),
            Error((f4[:, :0], 1), IndexError, "the axis must not be empty"),
        ],
        large=kth_samples(large),
    ),
    OpCase(
        "median",
        ["kth"],
        K.median,
        ref.median,
        samples(lambda rng: arrays(rng), [lambda x, a: (x, a, False), lambda x, a: (x, a, True)], True),
        functional=lambda x, axis, skip_nan: (F.nanmedian if skip_nan else F.median)(x, axis),
        exact=True,
        errors=[Error((f4[:, :0], 1), IndexError, "median: the axis must not be empty")],
        large=samples(large, [lambda x, a: (x, a)]),
    ),
    OpCase(
        "searchsorted",
        ["searchsorted"],
        K.searchsorted,
        ref.searchsorted,
        search_samples,
        exact=True,
        errors=[
            Error((f4, f4[:1]), ValueError, "sorted must be one row, or have the shape of x"),
            Error((f4[0], f4.astype(np.float64)), TypeError, "must have the dtype"),
        ],
        large=search_large,
    ),
]
