"""Pooling, padding and their modules beside torch over drawn arguments."""

import math

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.nn import functional as F
from tests import oracle

SIZES = {1: [(13,), (7,), (33,)], 2: [(7, 9), (5, 18), (12, 6)], 3: [(4, 5, 6), (5, 7, 18), (6, 3, 4)]}
DTYPES = [np.float64, np.float32, np.float64]


def data(rng, lead, size, ties=False):
    x = rng.standard_normal((*lead, *size))
    return np.round(2 * x) if ties else x


def per_axis(value, n):
    """(1, 2) for two axes out of a pattern of three."""
    return value[:n] if isinstance(value, tuple) else value


def geometry(name, count, **more):
    return oracle.space(
        name,
        count,
        n=[1, 2, 3],
        size=[0, 1, 2],
        lead=[(2, 3), (3,), (1, 17), (0, 2)],
        kernel=[2, 3, (2, 3, 1), (3,), 1],
        stride=[None, 2, (1, 2, 3), 1],
        padding=[0, 1, (1, 0, 0)],
        ceil_mode=[False, True],
        dtype=[0, 1, 2],
        **more,
    )


def max_kwargs(a):
    n = a["n"]
    return {
        "kernel_size": per_axis(a["kernel"], n),
        "stride": per_axis(a["stride"], n),
        "padding": per_axis(a["padding"], n),
        "dilation": per_axis(a["dilation"], n),
        "ceil_mode": a["ceil_mode"],
        "return_indices": a["indices"],
    }


@pytest.mark.parametrize("a", geometry("max", 100, dilation=[1, 2, (1, 2, 1)], indices=[False, True]))
def test_max_pool(a, rng):
    torch = oracle.torch()
    n, name, kwargs = a["n"], f"max_pool{a['n']}d", max_kwargs(a)
    x, dtype = data(rng, a["lead"], SIZES[n][a["size"]], ties=True), DTYPES[a["dtype"]]
    oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, **kwargs, dtype=dtype)
    both_pools(f"MaxPool{n}d", x, dtype, kwargs)


def both_pools(name, x, dtype, kwargs):
    """The modules of that name: repr, state, outputs, gradients."""
    torch = oracle.torch()
    ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, x, dtype=dtype)


@pytest.mark.parametrize("a", geometry("avg", 100, pad=[True, False], divisor=[None, 3, -2]))
def test_avg_pool(a, rng):
    torch = oracle.torch()
    n, name = a["n"], f"avg_pool{a['n']}d"
    x, dtype = data(rng, a["lead"], SIZES[n][a["size"]]), DTYPES[a["dtype"]]
    kwargs = {
        "kernel_size": per_axis(a["kernel"], n),
        "stride": per_axis(a["stride"], n),
        "padding": per_axis(a["padding"], n),
        "ceil_mode": a["ceil_mode"],
        "count_include_pad": a["pad"],
        **({"divisor_override": a["divisor"]} if n > 1 else {}),
    }
    oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, **kwargs, dtype=dtype)
    both_pools(f"AvgPool{n}d", x, dtype, kwargs)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "adaptive",
        60,
        n=[1, 2, 3],
        size=[0, 1, 2],
        lead=[(2, 3), (3,), (0, 2), (2, 17)],
        out=[1, 3, (2, 5, 3), (None, 4, 2), (2, None, None), 40, (1,)],
        indices=[False, True],
        dtype=[0, 1],
    ),
)
def test_adaptive_pool(a, rng):
    torch = oracle.torch()
    n, dtype, out = a["n"], DTYPES[a["dtype"]], per_axis(a["out"], a["n"])
    x = data(rng, a["lead"], SIZES[n][a["size"]])
    for kind, more in (("avg", {}), ("max", {"return_indices": a["indices"]})):
        name = f"adaptive_{kind}_pool{n}d"
        oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, out, **more, dtype=dtype)
        if kind == "max":
            name += "_with_indices"
            oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, out, dtype=dtype)
        both_pools(f"Adaptive{kind.title()}Pool{n}d", x, dtype, {"output_size": out, **more})


@pytest.mark.parametrize("n", [1, 2, 3])
def test_with_indices(n, rng):
    torch = oracle.torch()
    x = data(rng, (2, 3), SIZES[n][0])
    name = f"max_pool{n}d_with_indices"
    oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, 2)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "unpool",
        60,
        n=[1, 2, 3],
        size=[0, 1, 2],
        lead=[(2, 3), (3,), (0, 2)],
        kernel=[2, 3, (2, 3, 2)],
        stride=[None, 2, (3, 2, 2)],
        padding=[0, 1],
        out=["none", "input", "whole", "far", "short"],
        dtype=[0, 1],
    ),
)
def test_max_unpool(a, rng):
    torch = oracle.torch()
    n, dtype = a["n"], DTYPES[a["dtype"]]
    size = SIZES[n][a["size"]]
    x = data(rng, a["lead"], size)
    args = [per_axis(a[k], n) for k in ("kernel", "stride", "padding")]
    pool = getattr(torch.nn.functional, f"max_pool{n}d")
    y, i = pool(torch.tensor(x), *args, return_indices=True)
    out = {
        "none": None,
        "input": size,
        "whole": (*a["lead"], *size),
        "far": (90,) * n,
        "short": (4,) * (n + 1),
    }
    name, call = f"max_unpool{n}d", (y.numpy(), i.numpy(), *args, out[a["out"]])
    oracle.both(getattr(F, name), getattr(torch.nn.functional, name), *call, dtype=dtype)
    ours, theirs = (getattr(m, f"MaxUnpool{n}d")(*args) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, y.numpy(), i.numpy(), out[a["out"]], dtype=dtype)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_max_unpool_refuses(n, rng):
    torch = oracle.torch()
    name = f"max_unpool{n}d"
    ours, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    y, i = np.ones((2, 3, *(2,) * n)), np.zeros((2, 3, *(2,) * n), np.int64)
    for indices in (i + 4**n, i - 1, i[..., :1], i.astype(np.int32)):
        oracle.both(ours, theirs, y, indices, 2)
    oracle.both(ours, theirs, y, i, 2, 0)
    oracle.both(ours, theirs, y, i, 1, 1, 1, grad=False)  # an empty output
    oracle.both(ours, theirs, y[0, 0], i[0, 0], 2)
    oracle.both(ours, theirs, y[..., :0], i[..., :0], 2)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "lp",
        60,
        n=[1, 2, 3],
        size=[0, 1, 2],
        lead=[(2, 3), (3,), (0, 2)],
        p=[2, 1, 3, 2.5, math.inf, -math.inf, 0.5],
        kernel=[2, 3, (2, 3, 2)],
        stride=[None, 1, 2],
        ceil_mode=[False, True],
        dtype=[0, 1],
    ),
)
def test_lp_pool(a, rng):
    torch = oracle.torch()
    n, dtype = a["n"], DTYPES[a["dtype"]]
    x = np.abs(data(rng, a["lead"], SIZES[n][a["size"]])) + 0.1
    kernel = per_axis(a["kernel"], n)
    kernel = kernel if n > 1 or isinstance(kernel, int) else kernel[0]
    name, args = f"lp_pool{n}d", (a["p"], kernel, a["stride"], a["ceil_mode"])
    oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, *args, dtype=dtype)
    ours, theirs = (getattr(m, f"LPPool{n}d")(*args) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, x, dtype=dtype)


def test_lp_pool_of_negative_sums_and_zeros(rng):
    torch = oracle.torch()
    x = np.concatenate([np.zeros((1, 4, 4)), -np.ones((1, 4, 4))])
    for p in (1.0, 2.0, 3.0):
        oracle.both(F.lp_pool2d, torch.nn.functional.lp_pool2d, x, p, 2)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "fractional",
        60,
        n=[2, 3],
        size=[0, 1, 2],
        lead=[(2, 3), (1, 5), (3,)],
        kernel=[2, 1, (2, 3, 1), (1, 2, 2)],
        out=[2, (3, 2, 2), None, 9, 1],
        ratio=[0.5, (0.4, 0.6, 0.7), None],
        indices=[False, True],
        dtype=[0, 1],
    ),
)
def test_fractional_max_pool(a, rng):
    torch = oracle.torch()
    n, dtype = a["n"], DTYPES[a["dtype"]]
    x = data(rng, a["lead"], SIZES[n][a["size"]])
    samples = rng.random((a["lead"][0] if len(a["lead"]) == 2 else 1, a["lead"][-1], n))
    samples = samples.astype(np.float32).astype(np.float64)  # the same draws in both dtypes
    kwargs = {"output_size": per_axis(a["out"], n), "return_indices": a["indices"]}
    kwargs["output_ratio"] = per_axis(a["ratio"], n) if a["out"] is None else None
    kwargs["output_ratio"] = (0.5,) * n if kwargs["output_ratio"] == 0.5 else kwargs["output_ratio"]
    name, kernel = f"fractional_max_pool{n}d", per_axis(a["kernel"], n)
    for form in (name, f"{name}_with_indices"):
        calls = [drawn(getattr(m, form), kernel, kwargs) for m in (F, torch.nn.functional)]
        oracle.both(*calls, x, samples, dtype=dtype)
    if kwargs["output_size"] is not None or kwargs["output_ratio"] is not None:
        ours, theirs = (getattr(m, f"FractionalMaxPool{n}d")(kernel, **kwargs) for m in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())


def drawn(pool, kernel, kwargs):
    return lambda x, u: pool(x, kernel, **kwargs, _random_samples=u.detach())


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_max_pool_modules_refuse(n):
    torch = oracle.torch()
    for m in (nn, torch.nn):
        make = getattr(m, f"FractionalMaxPool{n}d")
        for kwargs in ({}, {"output_size": 2, "output_ratio": 0.5}, {"output_ratio": 1.5}):
            with pytest.raises(ValueError):
                make(2, **kwargs)


def test_fractional_max_pool_draws(rng):
    """Without samples the windows are drawn from the library's generator: each maximum lies in the input."""
    x = dlcore.tensor(rng.standard_normal((2, 3, 9, 11)).astype(np.float32))
    dlcore.manual_seed(1)
    y, i = F.fractional_max_pool2d(x, 2, output_ratio=0.6, return_indices=True)
    dlcore.manual_seed(1)
    again = F.fractional_max_pool2d(x, 2, output_ratio=0.6)
    assert y.shape == (2, 3, 5, 6)
    np.testing.assert_array_equal(y.numpy(), again.numpy())
    flat = x.numpy().reshape(2, 3, -1)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, i.numpy().reshape(2, 3, -1), 2).reshape(y.shape), y.numpy()
    )


# ---- padding -----------------------------------------------------------------------------------------------

PADS = [
    1,
    0,
    (1, 2, 0, 1, 2, 1),
    (-1, 2, 1, -1, 0, 1),
    (2, 2, 2, 2, 2, 2),
    (0, 5, 0, 0, 0, 0),
    (-3, -3, 0, 0, 0, 0),
]


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "pad",
        90,
        mode=["constant", "reflect", "replicate", "circular"],
        n=[1, 2, 3],
        size=[0, 1, 2],
        lead=[(2, 3), (3,), (0, 2), ()],
        pad=PADS,
        value=[None, 0.0, 1.5, -np.inf],
        dtype=[0, 1],
    ),
)
def test_pad(a, rng):
    torch = oracle.torch()
    n, dtype = a["n"], DTYPES[a["dtype"]]
    pads = (a["pad"],) * (2 * n) if isinstance(a["pad"], int) else a["pad"][: 2 * n]
    x = data(rng, a["lead"], SIZES[n][a["size"]])
    oracle.both(F.pad, torch.nn.functional.pad, x, pads, a["mode"], a["value"], dtype=dtype)


@pytest.mark.parametrize("pad", PADS, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Constant", "Zero", "Reflection", "Replication", "Circular"])
def test_pad_modules(kind, n, pad, rng):
    torch = oracle.torch()
    args = (pad if isinstance(pad, int) else pad[: 2 * n], *((0.5,) if kind == "Constant" else ()))
    ours, theirs = (getattr(m, f"{kind}Pad{n}d")(*args) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    for lead in ((2, 3), (3,), (2, 3, 2)):
        x = data(rng, lead, SIZES[n][0])
        empty = pad == (-3, -3, 0, 0, 0, 0) and x.shape[-1] == 6  # torch's gradient is uninitialised there
        oracle.both_modules(ours, theirs, x, grad=not empty)


def test_pad_takes_channels_last(rng):
    torch = oracle.torch()
    x = rng.standard_normal((2, 5, 6, 3))
    for mode in ("reflect", "replicate", "circular"):
        ours = F.pad(dlcore.tensor(x).permute(0, 3, 1, 2), (1, 2, 0, 3), mode)
        theirs = torch.nn.functional.pad(torch.tensor(x).permute(0, 3, 1, 2), (1, 2, 0, 3), mode)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
