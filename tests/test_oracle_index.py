"""Elements by index, triangles, running sums, choices, einsum beside torch."""

import itertools

import numpy as np
import pytest

import dlcore
from dlcore import functional as F
from tests import oracle

SHAPES = [(3, 4), (5,), (2, 3, 4), (), (0, 3), (3, 0)]
DTYPES = [np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_]


pytestmark = pytest.mark.filterwarnings("ignore:The reduce argument:UserWarning")


def array(rng, shape, dtype):
    if np.dtype(dtype).kind == "f":
        return np.asarray(rng.standard_normal(shape), dtype)
    return np.asarray(rng.integers(0, 2 if dtype is np.bool_ else 9, shape), dtype)


def run(name, *args, method=False, **kwargs):
    """torch.name(...) and, with `method`, x.name(...) too."""
    torch = oracle.torch()
    floats = [a.dtype.type for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    dtype = floats[0] if floats else np.float64
    ours = getattr(dlcore, name, None) or getattr(F, name)
    oracle.both(ours, getattr(torch, name), *args, dtype=dtype, **kwargs)
    if method:
        mine, theirs = (lambda x, *a, **k: getattr(x, name)(*a, **k) for _ in range(2))
        oracle.both(mine, theirs, *args, dtype=dtype, **kwargs)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "gather",
        90,
        shape=SHAPES,
        dim=[0, 1, -1, 5],
        index=["same", "short", "long on the axis", "long off the axis", "one less rank", "empty"],
        dtype=DTYPES,
        bad=[False, False, False, True],
    ),
)
def test_gather_and_scatter(a, rng):
    s, d = a["shape"], a["dim"]
    x = array(rng, s, a["dtype"])
    shape = list(s)
    n = len(s)
    if -n <= d < n:
        on, off = d % n, (d + 1) % n
        if a["index"] == "short":
            shape = [max(0, k - 1) for k in shape]
        elif a["index"] == "long on the axis":
            shape[on] += 3
        elif a["index"] == "long off the axis" and n > 1:
            shape[off] += 1
        elif a["index"] == "one less rank":
            shape = shape[1:]
        elif a["index"] == "empty":
            shape[on] = 0
    high = s[d] if -n <= d < n else 1
    index = np.asarray(rng.integers(0, max(1, high), shape))
    if a["bad"] and index.size:
        index.reshape(-1)[-1] = high
    run("gather", x, d, index, method=True)
    larger = rng.random() < 0.3  # torch has no gradient of such a source
    src = array(rng, [k + 1 for k in shape] if larger else shape, a["dtype"])
    if not x.size and index.size:
        return  # torch looks at no index where there is no element
    run("scatter_add", x, d, index, src, method=True, grad=not larger)
    distinct = np.argsort(rng.random(shape), d) if -n <= d < n and len(shape) == n and index.size else index
    if distinct.size and distinct.max() < high and not a["bad"]:
        run("scatter", x, d, distinct, src, method=True, grad=not larger)
    run("scatter", x, d, index, 3, method=True)
    run("scatter", x, d, index, src, reduce="add", grad=False)
    if not a["bad"]:  # torch takes these modulo the size
        run("take_along_dim", x, index, d, method=True)
        if index.size:
            run("take_along_dim", x, np.asarray(index - high), d)


def test_scatter_refusals(rng):
    x, i, src = rng.standard_normal((3, 4)), rng.integers(0, 3, (2, 4)), rng.standard_normal((2, 4))
    run("scatter_add", x, 0, i, src[:1])
    run("scatter_add", x, 0, i.astype(np.float64), src)
    run("scatter", x, 0, i, src, reduce="other")
    run("scatter", x, 0, i - 5, src)
    run("gather", x, 0, i - 5)
    run("gather", x, 0, i.astype(np.float64))


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "take_along",
        30,
        shapes=[
            ((3, 4), (3, 4)),
            ((3, 4), (1, 2)),
            ((1, 4), (3, 2)),
            ((2, 3, 4), (2, 1, 4)),
            ((3, 4), (4,)),
            ((3, 4), (2, 4)),
        ],
        dim=[None, 0, 1, -1, 3],
        dtype=[np.float64, np.int64],
    ),
)
def test_take_along_dim(a, rng):
    s, i = a["shapes"]
    run("take_along_dim", array(rng, s, a["dtype"]), rng.integers(0, 2, i), a["dim"], method=True)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "index_select",
        70,
        shape=SHAPES,
        dim=[0, 1, -1, 5],
        index=[(5,), (0,), (), (1,), (2, 2)],
        dtype=DTYPES,
        int32=[False, True],
        bad=[False, False, False, True],
    ),
)
def test_rows_by_number(a, rng):
    s, d = a["shape"], a["dim"]
    x = array(rng, s, a["dtype"])
    n = s[d] if -len(s) <= d < len(s) else 1
    i = np.asarray(rng.integers(0, max(1, n), a["index"]), np.int32 if a["int32"] else np.int64)
    if a["bad"] and i.size:
        i.reshape(-1)[-1] = n
    if not x.size and i.size:
        return  # torch looks at no index where there is no element
    run("index_select", x, d, i, method=True)
    if not s or not -len(s) <= d < len(s):
        return
    shape = list(s)
    shape[d] = i.size
    source = array(rng, shape, a["dtype"])
    if i.ndim == 1:
        run("index_add", x, d, i, source, method=True)
        if a["dtype"] is not np.bool_:
            run("index_add", x, d, i, source, alpha=2)
        run("index_add", x, d, i, array(rng, [*shape[:-1], shape[-1] + 1], a["dtype"]))


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "masks",
        70,
        shapes=[
            ((3, 4), (3, 4)),
            ((3, 4), (4,)),
            ((4,), (3, 4)),
            ((3, 1), (1, 4)),
            ((), ()),
            ((0, 3), (0, 3)),
            ((3, 4), (2, 4)),
        ],
        dtype=DTYPES,
        value=[2, 0.5, True, "0-d", -float("inf")],
    ),
)
def test_masks(a, rng):
    s, m = a["shapes"]
    x, mask = array(rng, s, a["dtype"]), np.asarray(rng.random(m) < 0.5)
    value = np.asarray(3, a["dtype"]) if a["value"] == "0-d" else a["value"]
    run("masked_select", x, mask, method=True)
    if np.dtype(a["dtype"]).kind == "f" or value is not -float("inf"):
        run("masked_fill", x, mask, value, method=True)
    run("where", mask, x, array(rng, m, a["dtype"]))
    run("where", mask, x, 2)
    run("where", mask, 0.5, x)
    run("where", mask)
    run("masked_select", x, mask.astype(np.int64))


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "triangles",
        50,
        shape=[(3, 4), (5, 2), (2, 3, 3), (4,), (0, 3), (1, 1)],
        k=[0, 1, -1, 3, -9, 9],
        dtype=DTYPES,
    ),
)
def test_triangles(a, rng):
    x = array(rng, a["shape"], a["dtype"])
    for name in ("tril", "triu"):
        run(name, x, a["k"], method=True)
        if x.ndim > 1:
            run(name, x.swapaxes(-1, -2), a["k"])


def doubles(name):
    return [(getattr(dlcore, name), np.float64), (getattr(oracle.torch(), name), oracle.torch().float64)]


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "scans", 80, shape=[*SHAPES, (2, 50, 3), (1, 1)], dim=[0, 1, -1, 5], dtype=DTYPES, zeros=[0, 1, 3]
    ),
)
def test_running_sums_products_and_extremes(a, rng):
    x = array(rng, a["shape"], a["dtype"])
    if x.dtype.kind == "f":
        x.reshape(-1)[: a["zeros"]] = 0
    for name in ("cumsum", "cumprod"):
        run(name, x, a["dim"], method=True)
        wide, theirs = (lambda x, f=f, t=t: f(x, a["dim"], dtype=t) for f, t in doubles(name))
        oracle.both(wide, theirs, x)
    if not x.size and a["dim"] == 5:
        return  # torch looks at no axis where there is no element
    for name in ("cummax", "cummin"):
        run(name, x, a["dim"], method=True)
    run("logcumsumexp", x, a["dim"], method=True)
    rtol = 1e-6 if x.dtype.kind != "f" else None  # float32 of integers
    run("logsumexp", x, a["dim"], method=True, rtol=rtol)
    run("logsumexp", x, a["dim"], True, rtol=rtol)
    if x.dtype.kind == "f" and x.size > 4:
        x.reshape(-1)[2] = np.nan
        x.reshape(-1)[3] = np.inf
        x.reshape(-1)[-1] = -np.inf
        for name in ("cummax", "cummin", "logcumsumexp", "logsumexp"):
            run(name, x, a["dim"], grad=False)


def test_extremes_of_logarithms():
    """Sums of e^x that overflow or underflow, rows of -inf."""
    x = np.array(
        [
            [1000.0, 1001.0, 999.0],
            [-1000.0, -1001.0, -2000.0],
            [-np.inf, -np.inf, -np.inf],
            [-np.inf, 0.0, 1.0],
        ]
    )
    for dim in (0, 1, (0, 1)):
        run("logsumexp", x, dim, grad=False)
    run("logsumexp", x[:2], 1)
    for dim in (0, 1):
        run("logcumsumexp", x, dim, grad=False)
    run("logcumsumexp", x[:2], 1)


EQUATIONS = [
    "ij,jk->ik", "ij,jk", "bij,bjk->bik", "ij->ji", "ij->", "ii->i", "ii", "ij,ij->", "ij,ij->ij", "i,j->ij",
    "bhqd,bhkd->bhqk", "bhqk,bhkd->bhqd", "bqhd,bkhd->bhqk", "...ij,...jk->...ik", "i...->...", "...->...",
    "ij,jk,kl->il", "a,b,c->abc", "ij,ik->ijk", "bij,kj->bik", "ijk->kji", "ij,j->i", "i,i->", "i,i->i",
    "b...i,ij->b...j", "abc,cd,de->abe", "iij->j", "iij,jk->ik", "ij,kl->", "ij,kl->ijkl", "bn,anm,bm->ba",
    "abcd->db", "ijk,jil->kl", "...ii->...i", "ij...,jk...->ik...", ",ij->ij", "Ab,bC->AC", "ij , jk -> ik",
]  # fmt: skip
BAD = [
    "ij,jk->il",
    "ij->ijj",
    "ij,jk,kl",
    "i1->i",
    "ijk->ij",
    "ij,kj->ii",
    "ij->i->j",
    "i..j->ij",
    "...i...->i",
]
SIZES = dict(zip("abcdehijklmnqAC", itertools.cycle([2, 3, 4, 5])))


def operands(rng, equation, sizes=SIZES):
    terms = equation.replace(" ", "").split("->")[0].split(",")
    out = []
    for t in terms:
        shape = []
        for part in t.replace("...", "."):
            shape += [3, 2] if part == "." else [sizes.get(part, 2)]
        out.append(np.asarray(rng.standard_normal(shape)))
    return out


@pytest.mark.parametrize("equation", EQUATIONS + BAD)
def test_einsum(equation, rng):
    torch = oracle.torch()
    xs = operands(rng, equation)
    oracle.both(lambda *xs: dlcore.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *xs)
    oracle.both(
        lambda *xs: dlcore.einsum(equation, list(xs)), lambda *xs: torch.einsum(equation, list(xs)), *xs
    )
    if equation in EQUATIONS:
        ones = [x[tuple(slice(0, 1) for _ in x.shape)] if k % 2 else x for k, x in enumerate(xs)]
        if len(set(equation)) == len(equation) or "ii" not in equation:
            oracle.both(
                lambda *xs: dlcore.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *ones
            )
        none = [np.zeros([0 if n == 2 else n for n in x.shape]) for x in xs]
        oracle.both(lambda *xs: dlcore.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *none)


def test_einsum_of_random_equations(rng):
    """Equations drawn at random, of one to three operands."""
    torch = oracle.torch()
    for _ in range(120):
        letters = list("ijklm")
        terms = ["".join(rng.choice(letters, rng.integers(0, 5))) for _ in range(rng.integers(1, 4))]
        seen = sorted(set("".join(terms)))
        out = "".join(rng.permutation(seen)[: rng.integers(0, len(seen) + 1)]) if seen else ""
        equation = ",".join(terms) + ("->" + out if rng.random() < 0.8 else "")
        xs = operands(rng, equation)
        oracle.both(
            lambda *xs, e=equation: dlcore.einsum(e, *xs), lambda *xs, e=equation: torch.einsum(e, *xs), *xs
        )


def test_einsum_of_sublists(rng):
    torch = oracle.torch()
    x, y = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
    oracle.both(
        lambda x, y: dlcore.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        lambda x, y: torch.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        x,
        y,
    )
    oracle.both(
        lambda x, y: dlcore.einsum(x, [..., 1], y, [1, ...]),
        lambda x, y: torch.einsum(x, [..., 1], y, [1, ...]),
        x,
        y,
    )
