"""interpolate, grid_sample, shuffles, blocks and their modules beside torch over drawn arguments."""

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.nn import functional as F
from tests import oracle
from tests.cases.pool import LAST

SIZES = {1: [(13,), (6,), (35,)], 2: [(7, 9), (5, 18), (12, 6)], 3: [(4, 5, 6), (5, 7, 18), (6, 3, 4)]}
DTYPES = [np.float64, np.float32]
MODES = {
    1: ["nearest", "nearest-exact", "linear", "area"],
    2: ["nearest", "bilinear", "nearest-exact", "bicubic", "area", "lanczos"],
    3: ["trilinear", "nearest", "nearest-exact", "area"],
}


def per_axis(value, n):
    return value[:n] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "interpolate",
        250,
        n=[2, 1, 3],
        size=[0, 1, 2],
        channels=[3, 1, 17],
        mode=[0, 1, 2, 3, 4, 5],
        by=[2, 5, 0.5, (9, 14, 7), 1.7, (0.37, 2.4, 1.0), 1, 33, 0.01, None],
        kind=["scale", "size"],
        align=[None, False, True],
        recompute=[None, True],
        antialias=[False, False, True],
        dtype=[0, 1],
    ),
)
def test_interpolate(a, rng):
    torch = oracle.torch()
    n, dtype = a["n"], DTYPES[a["dtype"]]
    modes = MODES[n]
    mode = modes[a["mode"] % len(modes)]
    by = per_axis(a["by"], n)
    whole = by is None or all(isinstance(v, int) for v in (by if isinstance(by, tuple) else (by,)))
    kind = "size" if a["kind"] == "size" and whole else "scale_factor"
    kwargs = {kind: by, "mode": mode, "align_corners": a["align"], "antialias": a["antialias"]}
    if mode == "lanczos":
        kwargs |= {"antialias": True}
    if kind == "scale_factor" and by is not None:
        kwargs["recompute_scale_factor"] = a["recompute"]
    if mode in ("nearest", "nearest-exact", "area") and a["align"] is False:
        kwargs["align_corners"] = None
    x = rng.standard_normal((2, a["channels"], *SIZES[n][a["size"]]))
    grad = not (mode == "area" and by == 0.01)  # torch has no gradient of an empty mean
    oracle.both(F.interpolate, torch.nn.functional.interpolate, x, **kwargs, dtype=dtype, grad=grad)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear"])
def test_interpolate_every_size(mode, rng):
    """Where positions fall on whole numbers, the rounding decides: the same choice as torch's."""
    torch = oracle.torch()
    for dtype in (np.float32, np.float64):
        for size in (3, 7, 10, 25, 49):
            x = rng.standard_normal((1, 2, size)).astype(dtype)
            for out in range(1, 75):
                ours = F.interpolate(dlcore.tensor(x), out, mode=mode)
                theirs = torch.nn.functional.interpolate(torch.tensor(x), out, mode=mode)
                np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-5, 1e-5, err_msg=f"{size} {out}")
            for factor in np.linspace(0.4, 3.1, 28):
                ours = F.interpolate(dlcore.tensor(x), scale_factor=float(factor), mode=mode)
                theirs = torch.nn.functional.interpolate(
                    torch.tensor(x), scale_factor=float(factor), mode=mode
                )
                np.testing.assert_allclose(
                    ours.numpy(), theirs.numpy(), 1e-4, 1e-4, err_msg=f"{size} {factor}"
                )


REFUSED = [
    ((1, 2, 5, 5), {"size": 3, "scale_factor": 2.0}),
    ((1, 2, 5, 5), {}),
    ((1, 2, 5, 5), {"size": (3,)}),
    ((1, 2, 5, 5), {"scale_factor": (2.0, 2.0, 2.0)}),
    ((1, 2, 5, 5), {"size": 3.5}),
    ((1, 2, 5, 5), {"size": 0}),
    ((1, 2, 5, 5), {"scale_factor": 0.1}),
    ((1, 2, 5, 5), {"scale_factor": -1.0}),
    ((1, 2, 5, 5), {"size": 3, "recompute_scale_factor": True}),
    ((1, 2, 5, 5), {"size": 3, "mode": "linear"}),
    ((1, 2, 5, 5), {"size": 3, "mode": "trilinear"}),
    ((1, 2, 5), {"size": 3, "mode": "bicubic"}),
    ((1, 2, 5), {"size": 3, "mode": "bilinear"}),
    ((1, 2, 5, 5), {"size": 3, "mode": "cubic"}),
    ((1, 2, 5, 5), {"size": 3, "mode": "nearest", "align_corners": False}),
    ((1, 2, 5), {"size": 3, "mode": "linear", "antialias": True}),
    ((1, 2, 5, 5), {"size": 3, "mode": "lanczos"}),
    ((1, 2, 5, 5), {"size": 3, "mode": "lanczos", "antialias": True, "align_corners": True}),
    ((5, 5), {"size": 3}),
    ((1, 2, 2, 2, 2, 2), {"size": 3}),
    ((1, 0, 5, 5), {"size": 3}),
    ((1, 2, 0, 5), {"size": 3}),
    ((0, 2, 5, 5), {"size": 3}),
]


@pytest.mark.parametrize("shape, kwargs", REFUSED, ids=str)
def test_interpolate_refuses(shape, kwargs):
    torch = oracle.torch()
    oracle.both(F.interpolate, torch.nn.functional.interpolate, np.ones(shape), **kwargs)


def test_interpolate_takes_channels_last(rng):
    """The same numbers in the input's format, gradients too."""
    for n in (1, 2, 3):
        x = rng.standard_normal((2, 5, *SIZES[n][0]))
        for mode in MODES[n]:
            kwargs = {"scale_factor": 1.6, "mode": mode, "antialias": mode == "lanczos"}
            a, b = dlcore.tensor(x, requires_grad=True), dlcore.from_numpy(LAST[n](x))
            b.requires_grad = True
            y, z = F.interpolate(a, **kwargs), F.interpolate(b, **kwargs)
            assert z.array.strides[1] == 1
            np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), 1e-12, 1e-12)
            g = rng.standard_normal(y.shape)
            y.backward(dlcore.tensor(g))
            z.backward(dlcore.tensor(g))
            np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), 1e-12, 1e-12)


def test_infinity_stays_where_it_is():
    """Outputs with fewer sources than others do not meet foreign ones."""
    for n_out in (5, 3):
        x = dlcore.ones(1, 1, 9, 33, requires_grad=True)
        y = F.interpolate(x, (9, 2 * n_out), mode="bilinear", antialias=True)
        g = np.ones(y.shape, np.float32)
        g[..., 0] = np.inf
        y.backward(dlcore.tensor(g))
        assert not np.isnan(x.grad.numpy()).any()
        assert np.isfinite(x.grad.numpy()[..., -8:]).all()


@pytest.mark.parametrize("name", ["upsample", "upsample_nearest", "upsample_bilinear"])
def test_old_names_warn(name, rng):
    torch = oracle.torch()
    x = rng.standard_normal((1, 2, 4, 5))
    with pytest.warns(UserWarning, match="deprecated"):
        ours = getattr(F, name)(dlcore.tensor(x), scale_factor=2)
    with pytest.warns(UserWarning, match="deprecated"):
        theirs = getattr(torch.nn.functional, name)(torch.tensor(x), scale_factor=2)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-12)


UPSAMPLES = [
    ("Upsample", {"scale_factor": 2}),
    ("Upsample", {"size": (3, 7), "mode": "bilinear"}),
    ("Upsample", {"scale_factor": (2, 1.5), "mode": "bicubic", "align_corners": True}),
    ("Upsample", {"scale_factor": 1.3, "mode": "nearest-exact", "recompute_scale_factor": True}),
    ("Upsample", {}),
    ("UpsamplingNearest2d", {"scale_factor": 3}),
    ("UpsamplingNearest2d", {"size": 4}),
    ("UpsamplingBilinear2d", {"scale_factor": 2}),
    ("UpsamplingBilinear2d", {"size": (8, 3)}),
    ("PixelShuffle", {"upscale_factor": 2}),
    ("PixelUnshuffle", {"downscale_factor": 2}),
    ("ChannelShuffle", {"groups": 4}),
    ("Unfold", {"kernel_size": (2, 3), "padding": 1, "stride": (1, 2)}),
    ("Unfold", {"kernel_size": 2, "dilation": 2}),
]


@pytest.mark.parametrize("name, kwargs", UPSAMPLES, ids=str)
def test_modules(name, kwargs, rng):
    torch = oracle.torch()
    ours, theirs = (getattr(m, name)(**kwargs) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, rng.standard_normal((2, 8, 4, 6)))


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "grid",
        80,
        n=[2, 3],
        size=[0, 1, 2],
        channels=[3, 1, 17],
        out=[(5, 6), (1, 1), (13, 9), (0, 4)],
        mode=["bilinear", "nearest", "bicubic"],
        padding=["zeros", "border", "reflection"],
        align=[False, True],
        spread=[1.0, 2.5],
        batch=[2, 1, 0],
        dtype=[0, 1],
    ),
)
def test_grid_sample(a, rng):
    torch = oracle.torch()
    n, dtype = a["n"], DTYPES[a["dtype"]]
    x = rng.standard_normal((a["batch"], a["channels"], *SIZES[n][a["size"]]))
    grid = rng.uniform(-a["spread"], a["spread"], (a["batch"], *a["out"], *(2,) * (n - 2), n))
    grid = grid.astype(np.float32).astype(np.float64)
    args = (x, grid, a["mode"], a["padding"], a["align"])
    oracle.both(
        F.grid_sample,
        torch.nn.functional.grid_sample,
        *args,
        dtype=dtype,
        rtol=2e-3 if dtype == np.float32 else None,
    )
    last, other = dlcore.from_numpy(LAST[n](x)), dlcore.tensor(x)
    if not (n == 3 and a["mode"] == "bicubic"):
        y, z = (F.grid_sample(t, dlcore.tensor(grid), *args[2:]) for t in (last, other))
        np.testing.assert_allclose(y.numpy(), z.numpy(), 1e-10, 1e-10)


def test_grid_sample_edges_and_nan():
    torch = oracle.torch()
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    grid = np.array([[-1, -1], [1, 1], [0, 0], [-1, 1], [2, -3], [1 / 3, 0]]).reshape(1, 2, 3, 2)
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            for align in (True, False):
                args = (x, grid, mode, padding, align)
                oracle.both(F.grid_sample, torch.nn.functional.grid_sample, *args, grad=mode != "bilinear")
    with_nan = dlcore.tensor(np.full((1, 1, 1, 2), np.nan))
    corner = dlcore.tensor(np.full((1, 1, 1, 2), -1.0))
    ours = [F.grid_sample(dlcore.tensor(x), g, align_corners=True).item() for g in (with_nan, corner)]
    assert ours[0] == ours[1] == 0.0
    huge = dlcore.tensor(np.array([np.inf, -np.inf, 1e300, -1e300]).reshape(1, 1, 2, 2))
    for padding in ("zeros", "border", "reflection"):
        F.grid_sample(dlcore.tensor(x), huge, "bicubic", padding, False)  # comes back


@pytest.mark.parametrize(
    "x, grid, args",
    [
        ((1, 2, 3, 3), (2, 3, 3, 2), ()),
        ((1, 2, 3, 3), (1, 3, 3, 3), ()),
        ((1, 2, 3, 3), (1, 3, 3, 3, 3), ()),
        ((2, 3, 3), (2, 3, 2), ()),
        ((1, 2, 3, 3), (1, 3, 3, 2), ("trilinear",)),
        ((1, 2, 3, 3), (1, 3, 3, 2), ("nearest", "mirror")),
        ((1, 2, 3, 3, 3), (1, 3, 3, 3, 3), ("bicubic",)),
        ((1, 2, 0, 3), (1, 3, 3, 2), ()),
    ],
    ids=str,
)
def test_grid_sample_refuses(x, grid, args):
    torch = oracle.torch()
    call = {"align_corners": False}
    oracle.both(F.grid_sample, torch.nn.functional.grid_sample, np.ones(x), np.zeros(grid), *args, **call)


@pytest.mark.parametrize("size", [(2, 1, 4, 5), (2, 3, 1, 2), (2, 1, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("align", [False, True])
def test_affine_grid(size, align, rng):
    torch = oracle.torch()
    n = len(size) - 2
    theta = rng.standard_normal((2, n, n + 1))
    if align and 1 in size[2:]:
        with pytest.warns(UserWarning):
            F.affine_grid(dlcore.tensor(theta), size, align)
        return
    for dtype in DTYPES:
        oracle.both(F.affine_grid, torch.nn.functional.affine_grid, theta, size, align, dtype=dtype)
    for bad in (theta[:, :1], theta[0], theta[:1]):
        oracle.both(F.affine_grid, torch.nn.functional.affine_grid, bad, size, align)
    oracle.both(F.affine_grid, torch.nn.functional.affine_grid, theta, (2, 0, *size[2:]), align)
    oracle.both(F.affine_grid, torch.nn.functional.affine_grid, theta, (2, 1, 3), align)


def test_align_corners_left_out_warns(rng):
    x, grid = dlcore.ones(1, 1, 2, 2), dlcore.zeros(1, 1, 1, 2)
    with pytest.warns(UserWarning, match="align_corners"):
        F.grid_sample(x, grid)
    with pytest.warns(UserWarning, match="align_corners"):
        F.affine_grid(dlcore.zeros(1, 2, 3), (1, 1, 2, 2))


SHUFFLES = [
    ("pixel_shuffle", (2, 8, 3, 4), 2),
    ("pixel_shuffle", (9, 2, 3), 3),
    ("pixel_shuffle", (2, 3, 4, 1, 2), 2),
    ("pixel_shuffle", (2, 6, 3, 4), 2),
    ("pixel_shuffle", (4, 3), 2),
    ("pixel_shuffle", (4, 3, 3), 0),
    ("pixel_unshuffle", (2, 2, 6, 4), 2),
    ("pixel_unshuffle", (2, 6, 9), 3),
    ("pixel_unshuffle", (2, 6, 8), 3),
    ("pixel_unshuffle", (6, 8), 2),
    ("pixel_unshuffle", (2, 6, 8), -1),
    ("channel_shuffle", (2, 6, 3, 4), 3),
    ("channel_shuffle", (2, 6, 5), 2),
    ("channel_shuffle", (2, 6, 5), 4),
    ("channel_shuffle", (2, 6, 5), 0),
    ("channel_shuffle", (2, 6), 2),
    ("native_channel_shuffle", (2, 6, 3, 4), 2),
]


@pytest.mark.parametrize("name, shape, factor", SHUFFLES, ids=str)
def test_shuffles(name, shape, factor, rng):
    torch = oracle.torch()
    theirs = getattr(torch.nn.functional, name)
    for dtype in DTYPES:
        grad = not name.startswith("native")  # torch has none there
        oracle.both(getattr(F, name), theirs, rng.standard_normal(shape), factor, dtype=dtype, grad=grad)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "fold",
        60,
        lead=[(2, 3), (2,), (0, 2)],
        size=[(5, 6), (7, 4), (12, 18)],
        kernel=[2, 3, (2, 3), (3, 1)],
        dilation=[1, 2, (1, 2)],
        padding=[0, 1, (2, 0)],
        stride=[1, 2, (1, 3)],
        dtype=[0, 1],
    ),
)
def test_unfold_and_fold(a, rng):
    torch = oracle.torch()
    T, dtype = torch.nn.functional, DTYPES[a["dtype"]]
    geometry = tuple(a[k] for k in ("kernel", "dilation", "padding", "stride"))
    x = rng.standard_normal((*a["lead"], *a["size"]))
    oracle.both(F.unfold, T.unfold, x, *geometry, dtype=dtype)
    try:
        columns = T.unfold(torch.tensor(x), *geometry).numpy()
    except RuntimeError:
        return
    columns = rng.standard_normal(columns.shape)
    oracle.both(F.fold, T.fold, columns, a["size"], *geometry, dtype=dtype)
    oracle.both(F.fold, T.fold, columns[..., 1:], a["size"], *geometry, dtype=dtype)
    ours, theirs = (m.Fold(a["size"], *geometry) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, columns, dtype=dtype)


def test_large_sizes_raise(rng):
    x = dlcore.ones(1, 1, 2, 2)
    for size in (1 << 31, 1 << 62, (1 << 30, 1 << 30)):
        with pytest.raises((ValueError, MemoryError)):
            F.interpolate(x, size)
    with pytest.raises((ValueError, OverflowError)):
        F.interpolate(x, 1 << 70)
    with pytest.raises(ValueError):
        F.unfold(x, 1 << 40)
    with pytest.raises((ValueError, MemoryError)):
        F.fold(x.reshape(4, 1), (1 << 40, 1 << 40), 2)
