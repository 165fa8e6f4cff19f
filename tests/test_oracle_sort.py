"""sort, topk, ranks, search, unique beside torch."""

import numpy as np
import pytest

import dlcore
from dlcore import functional as F
from tests import oracle

SHAPES = [(3, 7), (5,), (), (2, 3, 4), (0,), (0, 3), (3, 0), (1, 1), (2, 70), (300, 2), (2, 9000)]
DTYPES = [np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_]


def data(rng, shape, dtype):
    """Numbers without ties, where the dtype has enough of them: torch's order of ties is not defined."""
    n = int(np.prod(shape))
    if np.dtype(dtype).kind == "f":
        return np.asarray(rng.permutation(n).reshape(shape) - n // 3 + 0.5, dtype)
    if np.dtype(dtype).itemsize > 1:
        return np.asarray((rng.permutation(n).reshape(shape) - n // 3) * 1000, dtype)
    return np.asarray(rng.integers(0, 2 if dtype is np.bool_ else 256, shape), dtype)


def run(ours, theirs, *args, dtype=None, **kwargs):
    dtype = dtype or (args[0].dtype.type if args[0].dtype.kind == "f" else np.float64)
    oracle.both(ours, theirs, *args, dtype=dtype, **kwargs)


@pytest.mark.parametrize(
    "a", oracle.space("sort", 60, shape=SHAPES, dtype=DTYPES, dim=[-1, 0, 1, -2, 5], descending=[False, True])
)
def test_sort(a, rng):
    torch = oracle.torch()
    x = data(rng, a["shape"], a["dtype"])
    kw = {"dim": a["dim"], "descending": a["descending"], "stable": True}
    run(lambda x: F.sort(x, **kw), lambda x: torch.sort(x, **kw), x)
    run(lambda x: F.argsort(x, **kw), lambda x: torch.argsort(x, **kw), x)
    run(lambda x: x.sort(a["dim"], a["descending"]).values, lambda x: torch.sort(x, **kw)[0], x)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "topk",
        80,
        shape=SHAPES,
        dtype=DTYPES[:4],
        dim=[-1, 0, 1, -2, 5],
        k=[1, 2, 0, 5, -1, 300],
        largest=[True, False],
    ),
)
def test_topk(a, rng):
    torch = oracle.torch()
    x = data(rng, a["shape"], a["dtype"])
    kw = {"k": a["k"], "dim": a["dim"], "largest": a["largest"]}
    if a["shape"] == () and a["k"] == 0:
        pytest.skip("torch gives one element where none are asked for")
    run(lambda x: F.topk(x, **kw), lambda x: torch.topk(x, **kw), x)
    run(lambda x: x.topk(**kw)[1], lambda x: x.topk(**kw)[1], x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_of_nan_infinity_and_zeros(largest, dtype, rng):
    torch = oracle.torch()
    x = rng.standard_normal((4, 700))
    x[0, ::50] = np.nan
    x[1, ::7] = np.inf
    x[1, 1::7] = -np.inf
    x[2] = np.nan
    x[3, ::3] = 0.0
    x[3, 1::3] = -0.0
    for k in (3, 20, 100, 600):
        ours, theirs = (lambda x, f=f, k=k: f.topk(x, k, -1, largest)[0] for f in (F, torch))
        run(ours, theirs, x.astype(dtype), grad=False)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [20, 400, 9000])
def test_sort_of_nan_infinity_and_ties_is_stable(n, dtype, descending, rng):
    torch = oracle.torch()
    x = rng.integers(-3, 4, (3, n)).astype(dtype)
    x[0, ::9] = np.nan
    x[1, ::7] = np.inf
    x[1, 1::7] = -np.inf
    x[2, ::2] *= -0.0
    kw = {"descending": descending, "stable": True, "dim": -1}
    run(lambda x: F.sort(x, **kw), lambda x: torch.sort(x, **kw), x)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "kth",
        60,
        shape=SHAPES,
        dtype=DTYPES[:4],
        dim=[-1, 0, 1, 5],
        k=[1, 2, 5, 0, 300],
        keepdim=[False, True],
    ),
)
def test_kthvalue_and_median(a, rng):
    torch = oracle.torch()
    x = data(rng, a["shape"], a["dtype"])
    dim, keep = a["dim"], a["keepdim"]
    if x.size:
        run(F.kthvalue, torch.kthvalue, x, a["k"], dim, keep)
    run(F.median, torch.median, x, dim, keep)
    run(F.nanmedian, torch.nanmedian, x, dim, keep)
    if x.size or x.dtype.kind == "f":
        run(F.median, torch.median, x)
        run(lambda x: x.nanmedian(), torch.nanmedian, x)
    if x.dtype.kind == "f" and x.size > 2:
        x.reshape(-1)[:: max(2, x.size // 4)] = np.nan
        run(F.median, torch.median, x, dim, keep)
        run(F.nanmedian, torch.nanmedian, x, dim, keep)
        run(F.median, torch.median, x)
        run(F.nanmedian, torch.nanmedian, x)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "search",
        40,
        rows=[(9,), (3, 9), (0,), (2, 3, 5), (3, 0)],
        x=[(3, 4), (5,), (), (2, 3, 6), (3, 0)],
        dtype=[np.float64, np.int64, np.int32],
        right=[False, True],
        int32=[False, True],
    ),
)
def test_searchsorted(a, rng):
    torch = oracle.torch()
    row = np.sort(rng.integers(0, 9, a["rows"]), -1).astype(a["dtype"])
    x = np.asarray(rng.integers(-1, 11, a["x"]), a["dtype"])
    kw = {"right": a["right"], "out_int32": a["int32"]}
    run(F.searchsorted, torch.searchsorted, row, x, grad=False, **kw)
    run(F.bucketize, torch.bucketize, x, row, grad=False, **kw)
    mixed = rng.permutation(row.shape[-1]) if row.ndim == 1 else None
    if mixed is not None and row.size and x.ndim:
        order = np.argsort(row[mixed], kind="stable")
        oracle.both(
            lambda r, x, o: F.searchsorted(r, x, sorter=o),
            lambda r, x, o: torch.searchsorted(r, x, sorter=o),
            row[mixed],
            x,
            order,
            grad=False,
        )
    for side in ("left", "right", "middle"):
        run(F.searchsorted, torch.searchsorted, row, x, grad=False, side=side, right=a["right"])


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "unique",
        40,
        shape=[(20,), (4, 6), (), (2, 3, 4), (0,)],
        dtype=[np.int64, np.float64, np.uint8, np.bool_],
        inverse=[False, True],
        counts=[False, True],
        dim=[None, 0, 1],
    ),
)
def test_unique(a, rng):
    torch = oracle.torch()
    x = np.asarray(rng.integers(0, 2 if a["dtype"] is np.bool_ else 3, a["shape"]), a["dtype"])
    if a["dim"] is not None and (not x.ndim or not x.size or a["dim"] >= x.ndim):
        pytest.skip("no such axis")
    kw = {"return_inverse": a["inverse"], "return_counts": a["counts"], "dim": a["dim"]}
    run(F.unique, torch.unique, x, grad=False, **kw)
    if not x.ndim:
        return  # torch's inverse and counts of a 0-d tensor are 0-d in one and 1-d in the other
    run(F.unique_consecutive, torch.unique_consecutive, x, grad=False, **kw)


def test_bincount(rng):
    torch = oracle.torch()
    x = rng.integers(0, 7, 50)
    for w in (None, rng.standard_normal(50), rng.integers(0, 5, 50)):
        for least in (0, 3, 20):
            oracle.both(F.bincount, torch.bincount, x, w, least, grad=False)
    oracle.both(F.bincount, torch.bincount, x.astype(np.uint8), grad=False)
    oracle.both(F.bincount, torch.bincount, x[:0], None, 3, grad=False)
    for bad in (x - 1, x.reshape(5, 10), x.astype(np.float64)):
        oracle.both(F.bincount, torch.bincount, bad, grad=False)
    oracle.both(F.bincount, torch.bincount, x, rng.standard_normal(49), grad=False)


def test_rows_in_adversarial_order(rng):
    """Ascending, descending, constant, sawtooth, a killer of medians of three: right, and not quadratic."""
    n = 40000
    half = np.arange(n // 2)
    killer = np.empty(n)
    killer[::2], killer[1::2] = half, n // 2 + half
    rows = np.stack([np.arange(n), -np.arange(n), np.zeros(n), np.arange(n) % 17, killer]).astype(np.float64)
    for k in (1, 50, 3000, n):
        values, indices = dlcore.topk(dlcore.tensor(rows), k)
        order = np.argsort(-rows, -1, kind="stable")[:, :k]
        np.testing.assert_array_equal(indices.numpy(), order)
        np.testing.assert_array_equal(values.numpy(), np.take_along_axis(rows, order, -1))
    for k in (1, n // 2, n):
        np.testing.assert_array_equal(
            dlcore.kthvalue(dlcore.tensor(rows), k).values.numpy(), np.sort(rows, -1)[:, k - 1]
        )
