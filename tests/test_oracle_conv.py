"""Convolutions and transposed convolutions beside torch: drawn arguments, modules, state dicts, refusals."""

import copy
import pickle
import re

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.nn import functional as F
from tests import oracle

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel", "ignore:Lazy modules are a new feature"
)
AXES = [1, 2, 3]
KERNELS = {1: [(3,), (1,), (4,)], 2: [(3, 3), (1, 1), (2, 5)], 3: [(3, 3, 3), (1, 1, 1), (1, 2, 3)]}
SIZES = {1: [(7,), (1,), (12,)], 2: [(5, 6), (7, 1), (1, 4)], 3: [(3, 4, 5), (1, 1, 3), (4, 2, 1)]}


def last(x):
    """Channels fastest in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def arguments(nd, transposed):
    return oracle.space(
        f"conv{nd}{transposed}",
        70,
        n=[2, 1, 0, None],
        size=SIZES[nd],
        kernel=KERNELS[nd],
        stride=[1, 2, 3],
        padding=[0, 1, 2] if transposed else [0, 1, "same", 2, "valid"],
        dilation=[1, 2],
        groups=[(1, 4, 3), (2, 4, 6), (3, 3, 3), (5, 5, 10)],  # groups, channels in and out
        bias=[True, False],
        extra=[0, 1, 2] if transposed else [0],
        last=[False, True],
    )


def operands(a, rng, transposed):
    groups, ci, co = a["groups"]
    lead = (ci,) if a["n"] is None else (a["n"], ci)
    x = rng.standard_normal((*lead, *a["size"]))
    if a["last"] and a["n"]:
        x = last(x)
    w = rng.standard_normal(
        (ci, co // groups, *a["kernel"]) if transposed else (co, ci // groups, *a["kernel"])
    )
    return x, w, rng.standard_normal(co) if a["bias"] else None, groups


@pytest.mark.parametrize("nd,a", [(n, *p.values) for n in AXES for p in arguments(n, False)])
def test_conv(nd, a, rng):
    torch = oracle.torch()
    x, w, b, groups = operands(a, rng, False)
    rest = (a["stride"], a["padding"], a["dilation"], groups)
    name = f"conv{nd}d"
    oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, w, b, *rest)


@pytest.mark.parametrize("nd,a", [(n, *p.values) for n in AXES for p in arguments(n, True)])
def test_conv_transpose(nd, a, rng):
    torch = oracle.torch()
    x, w, b, groups = operands(a, rng, True)
    if a["n"] == 0:  # torch lets an empty batch pass whatever the geometry; we do not
        a = a | {"padding": 0, "extra": 0}
    rest = (a["stride"], a["padding"], a["extra"], groups, a["dilation"])
    name = f"conv_transpose{nd}d"
    oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, w, b, *rest)


@pytest.mark.parametrize("nd", AXES)
@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_float32(nd, name, rng):
    torch = oracle.torch()
    transposed = name == "conv_transpose"
    x = rng.standard_normal((2, 18, *(9, 7, 5)[:nd]))
    w = rng.standard_normal((18, 20, *(3,) * nd) if transposed else (20, 18, *(3,) * nd)) / 20
    b = rng.standard_normal(20)
    ours, theirs = getattr(F, f"{name}{nd}d"), getattr(torch.nn.functional, f"{name}{nd}d")
    oracle.both(ours, theirs, x, w, b, 2, 1, dtype=np.float32)
    oracle.both(ours, theirs, last(x), w, b, stride=1, padding=2, dilation=2, dtype=np.float32)


@pytest.mark.parametrize("nd", AXES)
def test_refusals(nd, rng):
    """What torch refuses, we refuse: both() fails where only one of the two raises."""
    torch = oracle.torch()
    x, w = rng.standard_normal((2, 4, *(5,) * nd)), rng.standard_normal((6, 4, *(3,) * nd))
    t = rng.standard_normal((4, 6, *(3,) * nd))
    conv = [
        {"stride": 0}, {"stride": -1}, {"padding": -1}, {"dilation": 0}, {"groups": 3}, {"groups": 0},
        {"padding": "full"}, {"padding": "same", "stride": 2}, {"dilation": 9}, {"stride": (1,) * (nd + 1)},
        {"padding": (1,) * (nd + 1)}, {"bias": rng.standard_normal(5)}, {"stride": 1.5}, {"stride": (2,)},
    ]  # fmt: skip
    for kwargs in conv:
        oracle.both(getattr(F, f"conv{nd}d"), getattr(torch.nn.functional, f"conv{nd}d"), x, w, **kwargs)
    up = [
        {"output_padding": 1}, {"output_padding": 2, "stride": 2}, {"output_padding": 1, "dilation": 2},
        {"output_padding": -1}, {"padding": 9}, {"padding": "same"}, {"groups": 3}, {"stride": 0},
        {"padding": 3, "stride": 1}, {"output_padding": (0,) * (nd + 1)}, {"bias": rng.standard_normal(4)},
        {"dilation": 0}, {"output_padding": (1,), "stride": (2,)}, {"groups": 2}, {"groups": 0},
    ]  # fmt: skip
    for kwargs in up:
        name = f"conv_transpose{nd}d"
        oracle.both(getattr(F, name), getattr(torch.nn.functional, name), x, t, **kwargs)
        empty = np.zeros((2, 4, *(5,) * (nd - 1), 0))
        oracle.both(getattr(F, name), getattr(torch.nn.functional, name), empty, t, **kwargs)
    for shape in [(2, 4, *(5,) * (nd + 1)), (4,), (2, 3, *(5,) * nd), (0, 4, *(5,) * nd)]:
        y = np.zeros(shape)
        oracle.both(getattr(F, f"conv{nd}d"), getattr(torch.nn.functional, f"conv{nd}d"), y, w)
        name = f"conv_transpose{nd}d"
        oracle.both(getattr(F, name), getattr(torch.nn.functional, name), y, t)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "ConvNd",
        40,
        nd=AXES,
        kernel=[3, 2, 1],
        stride=[1, 2],
        padding=[0, 1, "same", "valid", 2],
        dilation=[1, 2],
        groups=[1, 2],
        bias=[True, False],
        mode=["zeros", "reflect", "replicate", "circular"],
        batched=[True, False],
    ),
)
def test_modules(a, rng):
    torch = oracle.torch()
    nd = a["nd"]

    def make(m):
        return getattr(m, f"Conv{nd}d")(
            4, 6, a["kernel"], a["stride"], a["padding"], a["dilation"], a["groups"], a["bias"], a["mode"]
        )

    try:
        theirs = make(torch.nn)
    except ValueError:
        with pytest.raises(ValueError):
            make(nn)
        return
    ours = make(nn)
    assert repr(ours) == repr(theirs)
    x = rng.standard_normal((4, *(6, 5, 7)[:nd]))
    oracle.both_modules(ours, theirs, x[None] if a["batched"] else x)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "ConvTransposeNd",
        40,
        nd=AXES,
        kernel=[3, 2, 4],
        stride=[1, 2, 3],
        padding=[0, 1, 2],
        extra=[0, 1],
        groups=[1, 2],
        bias=[True, False],
        dilation=[1, 2],
        batched=[True, False],
        size=[None, 0, 1, 3],  # added to the smallest output size
        whole=[False, True],  # output_size with batch and channels
    ),
)
def test_transposed_modules(a, rng):
    torch = oracle.torch()
    nd = a["nd"]
    ours, theirs = (
        getattr(m, f"ConvTranspose{nd}d")(
            4, 6, a["kernel"], a["stride"], a["padding"], a["extra"], a["groups"], a["bias"], a["dilation"]
        )
        for m in (nn, torch.nn)
    )
    assert repr(ours) == repr(theirs)
    assert ours.transposed and ours.output_padding == theirs.output_padding
    sizes = (5, 4, 6)[:nd]
    x = rng.standard_normal((4, *sizes))
    lead = (1, 6) if a["batched"] else (6,)
    x = x[None] if a["batched"] else x
    if a["size"] is None:
        oracle.both_modules(ours, theirs, x)
        return
    reach = a["dilation"] * (a["kernel"] - 1) + 1
    wanted = [(n - 1) * a["stride"] - 2 * a["padding"] + reach + a["size"] for n in sizes]
    wanted = [*lead, *wanted] if a["whole"] else wanted
    oracle.both_modules(ours, theirs, x, call=lambda m, args: m(args[0], wanted))


@pytest.mark.parametrize("name", [f"{k}{n}d" for k in ("Conv", "ConvTranspose") for n in AXES])
def test_lazy_modules(name, rng):
    torch = oracle.torch()
    nd = int(name[-2])
    x = rng.standard_normal((2, 4, *(5, 6, 4)[:nd]))
    for kwargs in ({}, {"groups": 2, "bias": False, "stride": 2}):
        ours, theirs = (getattr(m, "Lazy" + name)(6, 3, **kwargs) for m in (nn, torch.nn))
        assert isinstance(ours, getattr(nn, name))
        assert ours.has_uninitialized_params()
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for lazy in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            assert lazy.has_uninitialized_params()
        with pytest.raises(ValueError, match="must have"):
            ours(dlcore.zeros(3))
        assert ours(dlcore.tensor(x.astype(np.float32))).shape == tuple(theirs(torch.tensor(x).float()).shape)
        assert type(ours) is getattr(nn, name)
        assert repr(ours) == repr(theirs)
        oracle.both_modules(ours, theirs, x)
        again = getattr(nn, "Lazy" + name)(6, 3, **kwargs)
        again.load_state_dict(ours.state_dict())  # materialises it
        assert type(again) is getattr(nn, name) and again.in_channels == 4
        np.testing.assert_array_equal(again.weight.detach().numpy(), ours.weight.detach().numpy())


@pytest.mark.parametrize("name", [f"{k}{n}d" for k in ("Conv", "ConvTranspose") for n in AXES])
def test_initial_values_have_torchs_bounds(name):
    torch = oracle.torch()
    ours, theirs = (getattr(m, name)(8, 32, 3, groups=2) for m in (nn, torch.nn))
    for ours_p, theirs_p in zip(ours.parameters(), theirs.parameters()):
        a, b = np.abs(ours_p.detach().numpy()).max(), theirs_p.detach().abs().max().item()
        assert ours_p.shape == tuple(theirs_p.shape)
        assert 0.6 < a / b < 1.6


@pytest.mark.parametrize(
    "text",
    [
        "ConvTranspose2d(4, 6, 3, padding_mode='reflect')",
        "ConvTranspose2d(4, 6, 3, padding='same')",
        "ConvTranspose2d(4, 6, 3, groups=3)",
        "ConvTranspose2d(4, 6, 3, groups=0)",
        "Conv3d(4, 6, 3, groups=4)",
        "Conv3d(4, 6, 3, padding='full')",
        "Conv3d(4, 6, 3, padding_mode='edge')",
        "Conv3d(4, 6, 3, stride=2, padding='same')",
        "Conv3d(4, 6, (3, 3))(dlcore.zeros(1, 4, 5, 5, 5))",
        "LazyConv2d(4, 3, groups=3)(dlcore.zeros(1, 4, 5, 5))",
    ],
)
def test_bad_modules_raise(text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text.split("(")[0]) + ":|must"):
        eval("nn." + text, {"nn": nn, "dlcore": dlcore})


def test_sequential_fuses_conv3d_and_relu(rng):
    x = dlcore.tensor(rng.standard_normal((2, 3, 4, 4, 4)).astype(np.float32))
    layer = nn.Conv3d(3, 5, 3, padding=1)
    np.testing.assert_array_equal(
        nn.Sequential(layer, nn.ReLU())(x).detach().numpy(), layer(x).relu().detach().numpy()
    )
