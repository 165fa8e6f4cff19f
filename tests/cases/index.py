"""Cases of the index family."""

import numpy as np

from dlcore import functional as F
from dlcore import kernels as K
from tests.cases import Error, OpCase, Sample
from tests.reference import index as ref


def take_samples(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    def i(n, *shape):
        return rng.integers(0, n, shape)

    return [
        Sample((r(5), 0, i(5, 7)), id="1-d"),
        Sample((r(5, 3), 0, i(5, 7)), id="rows"),
        Sample((r(5, 3), 1, i(3, 7)), id="columns"),
        Sample((r(2, 5, 3), -2, i(5, 4).astype(np.int32)), id="middle axis, int32"),
        Sample((r(6, 8)[::-2, ::3], 0, i(3, 4)), id="negative strides"),
        Sample((r(3, 5).T, 0, i(5, 4)), id="transposed"),
        Sample((np.broadcast_to(r(1, 4), (3, 4)), 0, i(3, 5)), id="broadcast view"),
        Sample((r(5, 3), 0, i(5, 0)), id="no index"),
        Sample((r(5, 0), 0, i(5, 2)), id="no columns"),
        Sample((r(1, 1), 0, i(1, 1)), id="one"),
    ]


def take_large(rng):
    return [
        Sample((rng.standard_normal((300, 129)), 0, rng.integers(0, 300, 1000)), id="rows", grad=False),
        Sample((rng.standard_normal((3, 77, 700)), 1, rng.integers(0, 77, 200)), id="middle", grad=False),
    ]


def put_samples(rng):
    out = []
    for s in take_samples(rng) + take_large(rng):
        x, dim, index = s.args
        shape = list(x.shape)
        shape[dim] = len(index)
        out.append(Sample((x, dim, index, rng.standard_normal(shape)), id=s.id, grad=s.grad))
    return out


def put_large(rng):
    return [
        Sample(
            (rng.standard_normal((50, 1100)), 0, rng.integers(0, 50, 400), rng.standard_normal((400, 1100))),
            id="wide rows",
            grad=False,
        ),
        Sample(
            (
                rng.standard_normal((1000, 16)),
                0,
                rng.integers(0, 1000, 9000),
                rng.standard_normal((9000, 16)),
            ),
            id="many rows",
            grad=False,
        ),
    ]


def backward_samples(rng):
    return [
        Sample((s.args[3], s.args[1], s.args[2], s.args[0].shape[s.args[1]]), id=s.id)
        for s in put_samples(rng)
    ]


def gather_samples(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    def i(n, *shape):
        return rng.integers(0, n, shape)

    return [
        Sample((r(5), 0, i(5, 7)), id="1-d"),
        Sample((r(3, 5), 1, i(5, 3, 2)), id="last axis"),
        Sample((r(3, 5), 0, i(3, 7, 5)), id="first axis"),
        Sample((r(3, 5), -2, i(3, 2, 4)), id="index shorter than x"),
        Sample((r(2, 3, 4), 1, i(3, 2, 5, 4)), id="middle axis"),
        Sample((r(6, 8)[::-2, ::3], 1, i(3, 3, 4)), id="negative strides"),
        Sample((r(5, 3).T, 1, i(5, 3, 5).astype(np.int32)), id="transposed, int32"),
        Sample((r(3, 5), 1, i(5, 0, 5)), id="empty"),
    ]


def gather_large(rng):
    return [
        Sample(
            (rng.standard_normal((61, 150)), d, rng.integers(0, 61, (61, 150))), id=f"axis {d}", grad=False
        )
        for d in (0, 1)
    ]


def with_src(samples, distinct):
    """Adds a source of index's shape; `distinct` indices where a gradient needs to know which write stays."""

    def make(rng):
        out = []
        for s in samples(rng):
            x, dim, index = s.args
            if distinct:
                n = min(x.shape[dim], index.shape[dim])
                index = index.take(range(n), dim)
                index = np.argsort(rng.random(index.shape), dim)
            out.append(
                Sample((np.array(x), dim, index, rng.standard_normal(index.shape)), id=s.id, grad=s.grad)
            )
        return out

    return make


def gather_backward_samples(rng):
    return [
        Sample((s.args[3], s.args[1], s.args[2], s.args[0].shape), id=s.id)
        for s in with_src(gather_samples, False)(rng)
    ]


def triangle_samples(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    return [
        *[Sample((r(4, 5), k), id=f"diagonal {k}") for k in (-9, -3, -1, 0, 1, 4, 9)],
        Sample((r(2, 3, 5, 4),), id="batched"),
        Sample((r(6, 8)[::-2, ::3],), id="negative strides"),
        Sample((r(5, 4).T, 1), id="transposed"),
        Sample((r(0, 4),), id="no rows"),
        Sample((np.full((3, 3), np.nan),), id="nan outside is dropped", grad=False),
    ]


def triangle_large(rng):
    return [Sample((rng.standard_normal((3, 200, 131)), 7), id="large", grad=False)]


f4, i8 = np.ones((2, 3), np.float32), np.zeros((2, 3), np.int64)
BOUNDS = r"indices must lie within the axis of size 2, got index="
CASES = [
    OpCase(
        "index_select",
        ["take"],
        K.index_select,
        ref.index_select,
        take_samples,
        exact=True,
        large=take_large,
        functional=lambda x, dim, index: F.index_select(x, dim, index),
        errors=[
            Error((f4, 0, [2]), IndexError, BOUNDS + "2"),
            Error((f4, 0, [-1]), IndexError, BOUNDS + "-1"),
            Error((f4, 2, [0]), IndexError, "axis"),
            Error((f4, 0, f4[0]), TypeError, "index must be int64 or int32"),
            Error((np.float32(1), 0, [0]), ValueError, "at least one dimension"),
        ],
    ),
    OpCase(
        "index_add",
        ["put"],
        K.index_add,
        ref.index_add,
        put_samples,
        large=put_large,
        diff=(0, 3),
        functional=lambda x, dim, index, source: F.index_add(x, dim, index, source),
        errors=[
            Error((f4, 0, [2], f4[:1]), IndexError, BOUNDS + "2"),
            Error((f4, 0, [0, 1], f4[:1]), ValueError, r"x must have shape \(2, 3\)"),
            Error((f4, 0, [0], f4[:1].astype(np.float64)), TypeError, "dtype"),
        ],
    ),
    OpCase(
        "index_select_backward", ["put"], K.index_select_backward, ref.index_select_backward, backward_samples
    ),
    OpCase(
        "gather",
        ["gather"],
        K.gather,
        ref.gather,
        gather_samples,
        exact=True,
        large=gather_large,
        functional=lambda x, dim, index: F.gather(x, dim, index),
        errors=[
            Error((f4, 0, i8 + 2), IndexError, BOUNDS + "2"),
            Error((f4, 0, i8 - 1), IndexError, BOUNDS + "-1"),
            Error((f4, 0, i8[0]), ValueError, "as many dimensions as x"),
            Error((f4, 1, np.zeros((3, 1), np.int64)), ValueError, "not be longer than x off the axis"),
            Error((f4, 0, f4), TypeError, "index must be int64 or int32"),
        ],
    ),
    OpCase("gather_backward", ["scatter"], K.gather_backward, ref.gather_backward, gather_backward_samples),
    OpCase(
        "scatter",
        ["scatter"],
        K.scatter,
        ref.scatter,
        with_src(gather_samples, True),
        exact=True,
        diff=(0, 3),
        functional=lambda x, dim, index, src: F.scatter(x, dim, index, src),
        errors=[
            Error((f4, 0, i8 + 2, f4), IndexError, BOUNDS + "2"),
            Error((f4, 0, i8, f4[:1]), ValueError, "not be longer than src"),
            Error((f4, 0, i8, f4.astype(np.float64)), TypeError, "dtype"),
        ],
    ),
    OpCase(
        "scatter_add",
        ["scatter"],
        K.scatter_add,
        ref.scatter_add,
        with_src(gather_samples, False),
        diff=(0, 3),
        functional=lambda x, dim, index, src: F.scatter_add(x, dim, index, src),
        large=with_src(gather_large, False),
    ),
    *[
        OpCase(
            name,
            ["triangle"],
            getattr(K, name),
            getattr(ref, name),
            triangle_samples,
            exact=True,
            functional=getattr(F, name),
            large=triangle_large,
            errors=[Error((f4[0],), ValueError, f"{name}: x must have at least two dimensions")],
        )
        for name in ("tril", "triu")
    ],
]
