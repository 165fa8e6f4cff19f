"""Cases of the resample family."""

from functools import partial

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.cases.pool import LAST
from tests.reference import resample as ref

K = dlcore.kernels

# (shape, arguments of interpolate): enlarged, reduced, kept; widths around a vector; few channels and many.
SMALL = [
    ((2, 3, 4), {"size": 9}),
    ((1, 2, 7), {"size": 3, "mode": "nearest-exact"}),
    ((2, 1, 5), {"scale_factor": 2.0, "mode": "linear"}),
    ((1, 3, 6), {"size": 6, "mode": "linear", "align_corners": True}),
    ((2, 2, 3, 4), {"scale_factor": 2}),
    ((1, 2, 5, 3), {"size": (2, 7), "mode": "nearest-exact"}),
    ((1, 2, 3, 4), {"scale_factor": (2, 3), "mode": "bilinear"}),
    ((2, 2, 6, 5), {"size": (3, 4), "mode": "bilinear", "align_corners": True}),
    ((1, 2, 4, 5), {"size": (7, 3), "mode": "bicubic"}),
    ((1, 1, 3, 2), {"size": (5, 6), "mode": "bicubic", "align_corners": True}),
    ((1, 2, 9, 8), {"size": (4, 3), "mode": "bilinear", "antialias": True}),
    ((1, 2, 7, 5), {"size": (3, 8), "mode": "bicubic", "antialias": True}),
    ((1, 1, 9, 7), {"size": (3, 4), "mode": "lanczos", "antialias": True}),
    ((1, 2, 2, 3, 4), {"scale_factor": 2.0}),
    ((1, 1, 3, 4, 2), {"size": (2, 6, 3), "mode": "trilinear"}),
    ((0, 2, 4, 4), {"size": 3, "mode": "bilinear"}),
    ((1, 2, 1, 1), {"size": (3, 2), "mode": "bicubic"}),
]
LARGE = [
    ((2, 9, 37, 41), {"scale_factor": 2.0, "mode": "bilinear"}),
    ((2, 9, 37, 41), {"scale_factor": 2}),
    ((1, 33, 20, 35), {"size": (47, 66), "mode": "bicubic"}),
    ((1, 17, 60, 70), {"size": (21, 23), "mode": "bilinear", "antialias": True}),
    ((2, 5, 64, 96), {"size": (32, 48), "mode": "bilinear"}),
    ((1, 40, 7, 9, 18), {"scale_factor": 2.0, "mode": "trilinear"}),
    ((2, 3, 999), {"size": 301, "mode": "linear"}),
    ((1, 2, 5, 33, 41), {"size": (9, 17, 76), "mode": "nearest-exact"}),
]


def forward_samples(rng, table, grad=True):
    samples = []
    for shape, kwargs in table:
        x, text = rng.standard_normal(shape), f"{shape} {kwargs}"
        samples.append(Sample((x,), kwargs, text, grad))
        samples.append(Sample((LAST[len(shape) - 2](x),), kwargs, f"{text} channels-last", grad))
    return samples


def backward_samples(rng, table):
    samples = []
    for shape, kwargs in table:
        dy = rng.standard_normal(ref.interpolate(np.zeros(shape), **kwargs).shape)
        more = {"mode": ref._KIND.get(kwargs.get("mode", "nearest"), kwargs.get("mode", "nearest"))}
        more |= {k: kwargs[k] for k in ("align_corners", "antialias") if k in kwargs}
        if "scale_factor" in kwargs:
            factor = kwargs["scale_factor"]
            more["scales"] = factor if isinstance(factor, tuple) else (factor,) * (len(shape) - 2)
        samples += [
            Sample((dy, shape[2:]), more, f"{shape} {kwargs}"),
            Sample((LAST[len(shape) - 2](dy), shape[2:]), more, f"{shape} {kwargs} channels-last"),
        ]
    return samples


# (shape, output size, arguments): points outside too, corners and NaN in `edge_samples`.
GRIDS = [
    ((2, 3, 4, 5), (3, 6), {}),
    ((1, 2, 5, 4), (2, 3), {"align_corners": True}),
    ((1, 2, 4, 4), (3, 5), {"padding_mode": "border"}),
    ((2, 1, 3, 5), (2, 4), {"padding_mode": "reflection", "align_corners": True}),
    ((1, 2, 4, 3), (2, 5), {"mode": "nearest", "padding_mode": "border"}),
    ((1, 2, 6, 5), (2, 3), {"mode": "bicubic"}),
    ((1, 2, 5, 5), (2, 3), {"mode": "bicubic", "padding_mode": "reflection"}),
    ((1, 2, 3, 4, 3), (2, 2, 3), {}),
    ((1, 1, 3, 2, 4), (2, 3, 2), {"padding_mode": "reflection"}),
    ((0, 2, 3, 3), (2, 2), {}),
    ((1, 2, 3, 3), (0, 2), {}),
]
LARGE_GRIDS = [
    ((2, 19, 13, 17), (20, 31), {}),
    ((1, 9, 13, 17), (20, 31), {"mode": "bicubic", "padding_mode": "border"}),
    ((1, 70, 6, 7, 8), (7, 8, 9), {"padding_mode": "reflection", "align_corners": True}),
    ((1, 5, 13, 17), (40, 31), {"mode": "nearest"}),
]


def grid_samples(rng, table, grad=True):
    samples = []
    for shape, size, kwargs in table:
        x = rng.standard_normal(shape)
        # A few bits only, so that both dtypes round to the same neighbour; no kinks at whole positions.
        grid = (np.round(rng.uniform(-1.4, 1.4, (shape[0], *size, len(size))) * 256) + 0.37) / 256
        smooth = grad and kwargs.get("mode") != "nearest"
        samples.append(Sample((x, grid), kwargs, f"{shape} at {size} {kwargs}", smooth))
        last = LAST[len(shape) - 2](x)
        samples.append(Sample((last, grid), kwargs, f"{shape} at {size} {kwargs} channels-last", False))
    return samples


def edge_samples(rng):
    x = rng.standard_normal((1, 2, 3, 4))
    grid = np.array([[-1, -1], [1, 1], [0, 0], [np.nan, 0], [3, -3], [1e6, -1e6]]).reshape(1, 2, 3, 2)
    return [
        Sample((x, grid), {"mode": m, "padding_mode": p, "align_corners": a}, f"edges {m} {p} {a}", False)
        for m in ("bilinear", "nearest", "bicubic")
        for p in ("zeros", "border", "reflection")
        for a in (True, False)
    ]


def grid_backward_samples(rng, table):
    samples = []
    for sample in grid_samples(rng, table):
        x, grid = sample.args
        dy = rng.standard_normal((*x.shape[:2], *grid.shape[1:-1]))
        samples.append(Sample((dy, x, grid), sample.kwargs, sample.id))
    return samples


# (shape, kernel, dilation, padding, stride)
BLOCKS = [
    ((1, 1, 3, 3), 1, 1, 0, 1),
    ((2, 3, 4, 6), 2, 1, 0, 1),
    ((2, 5, 7), 3, 1, 1, 2),
    ((1, 2, 6, 5), (2, 3), (2, 1), (0, 2), (1, 3)),
    ((1, 1, 4, 4), (3, 2), 1, 3, 2),
    ((0, 2, 4, 4), 2, 1, 0, 1),
]
LARGE_BLOCKS = [((2, 7, 20, 34), 3, 1, 1, 1), ((1, 19, 17, 40), (2, 5), 2, (1, 2), (2, 1))]


def unfold_samples(rng, table):
    return [Sample((rng.standard_normal(b[0]), *b[1:]), {}, str(b)) for b in table]


def fold_samples(rng, table):
    samples = []
    for shape, *geometry in table:
        x = rng.standard_normal(ref.unfold(np.zeros(shape), *geometry).shape)
        samples.append(Sample((x, shape[-2:], *geometry), {}, f"{shape} {geometry}"))
    return samples


x4, x3 = np.ones((1, 2, 5, 5), np.float32), np.ones((1, 2, 5), np.float32)
g4 = np.zeros((1, 3, 3, 2), np.float32)
SIZES = {"size": 3}

CASES = [
    OpCase(
        "interpolate",
        ["resample"],
        K.interpolate,
        ref.interpolate,
        partial(forward_samples, table=SMALL),
        functional=F.interpolate,
        large=partial(forward_samples, table=LARGE, grad=False),
        errors=[
            Error((x4.astype(np.int64), 3), TypeError, "interpolate: x must be float32 or float64"),
            Error((x4.astype(np.uint8), 3), TypeError, "interpolate: x must be float32 or float64"),
            Error((x4,), ValueError, "exactly one of size and scale_factor"),
            Error((x4, 3, 2.0), ValueError, "exactly one of size and scale_factor"),
            Error((x4, 0), ValueError, "sizes before and after must be positive"),
            Error((x4, -3), ValueError, "sizes before and after must be positive"),
            Error((x4, 1 << 40), ValueError, "must be positive .and below"),
            Error((x4, (3, 3, 3)), ValueError, "size must be one number or 2 of them"),
            Error((x4, 2.5), TypeError, "size must be integers"),
            Error((x4, None, float("inf")), ValueError, "scale_factor must be finite"),
            Error((x4, None, float("nan")), ValueError, "scale_factor must be finite"),
            Error((x4, None, 1e-3), ValueError, "must be positive"),
            Error((x3, 3, None, "bilinear"), NotImplementedError, "takes 4 dimensions"),
            Error((x4, 3, None, "cubist"), NotImplementedError, "mode must be"),
            Error((x4, 3, None, "nearest", True), ValueError, "takes no align_corners"),
            Error((x4, 3, None, "nearest", None, True), ValueError, "antialias goes with"),
            Error((x4, 3, None, "lanczos"), ValueError, "lanczos needs antialias"),
            Error((x4[:, :0], 3), ValueError, "only the batch may be empty"),
            Error((x4[..., :0], 3), ValueError, "must be positive"),
            Error((x4[0, 0], 3), NotImplementedError, "3, 4 or 5 dimensions"),
        ],
    ),
    OpCase(
        "interpolate_backward",
        ["resample"],
        K.interpolate_backward,
        ref.interpolate_backward,
        partial(backward_samples, table=SMALL),
        large=partial(backward_samples, table=LARGE),
        errors=[
            Error((x4, (3,)), ValueError, "interpolate_backward: x must have a batch"),
            Error((x4, (3, 3), "spline"), ValueError, "mode must be"),
            Error((x4, (3, 3), "linear", False, (2.0,)), ValueError, "there must be a scale an axis"),
            Error((x4, (0, 3)), ValueError, "must be positive"),
        ],
    ),
    OpCase(
        "grid_sample",
        ["grid_sample_forward", "grid_sample_backward"],
        K.grid_sample,
        ref.grid_sample,
        lambda rng: grid_samples(rng, GRIDS) + edge_samples(rng),
        functional=partial(F.grid_sample, align_corners=False),
        diff=(0, 1),
        large=partial(grid_samples, table=LARGE_GRIDS, grad=False),
        rtol=2e-6,  # positions round in x's dtype, in the naive twin they do not
        errors=[
            Error((x4, g4.astype(np.float64)), TypeError, "must have the dtype of x"),
            Error((x4.astype(np.int64), g4), TypeError, "must be float32 or float64"),
            Error((x4, g4[..., :1]), ValueError, "grid must have x's batch and 2 coordinates"),
            Error((x4, np.concatenate([g4, g4])), ValueError, "grid must have x's batch"),
            Error((x4, g4[0]), ValueError, "must both have 4 or 5 dimensions"),
            Error((x4, g4, "cubic"), ValueError, "mode must be bilinear"),
            Error((x4, g4, "nearest", "wrap"), ValueError, "padding_mode must be zeros"),
            Error((x4[:, :0], g4), ValueError, "only the batch of x may be empty"),
            Error(
                (np.ones((1, 1, 2, 2, 2)), np.zeros((1, 1, 1, 1, 3)), "bicubic"),
                ValueError,
                "bicubic must go with 4 dimensions",
            ),
        ],
    ),
    OpCase(
        "grid_sample_backward",
        ["grid_sample_backward"],
        K.grid_sample_backward,
        ref.grid_sample_backward,
        partial(grid_backward_samples, table=GRIDS),
        large=partial(grid_backward_samples, table=LARGE_GRIDS[:1] + LARGE_GRIDS[2:3]),
        rtol=2e-6,  # as above; and the twin's dgrid is a central difference
        errors=[Error((x4, x4, g4), ValueError, "dy must have shape")],
    ),
    OpCase(
        "unfold",
        ["unfold", "fold"],
        K.unfold,
        ref.unfold,
        partial(unfold_samples, table=BLOCKS),
        functional=F.unfold,
        large=partial(unfold_samples, table=LARGE_BLOCKS),
        exact=True,
        errors=[
            Error((x3[0], 2), ValueError, "unfold: x must have 3 .unbatched. or 4 dimensions"),
            Error((x4.astype(np.int32), 2), TypeError, "must be float32 or float64"),
            Error((x4, 6), ValueError, "the kernel must fit into the padded plane"),
            Error((x4, 0), ValueError, "kernel_size must be positive"),
            Error((x4, 2, 0), ValueError, "dilation must be positive"),
            Error((x4, 2, 1, -1), ValueError, "padding must not be negative"),
            Error((x4, 2, 1, 0, 0), ValueError, "stride must be positive"),
            Error((x4, 2, 1, 0, 1 << 40), ValueError, "stride must be positive"),
            Error((x4, 2.5), TypeError, "kernel_size must be an integer"),
            Error((x4, (1, 2, 3)), ValueError, "kernel_size must be an integer or two"),
            Error((x4[:, :0], 2), ValueError, "only the batch may be empty"),
        ],
    ),
    OpCase(
        "fold",
        ["fold", "unfold"],
        K.fold,
        ref.fold,
        partial(fold_samples, table=BLOCKS),
        functional=F.fold,
        large=partial(fold_samples, table=LARGE_BLOCKS),
        errors=[
            Error((x4, 3, 2), ValueError, "fold: x must have 2 .unbatched. or 3 dimensions"),
            Error((x3, 3, 2), ValueError, "a multiple of kernel_h . kernel_w rows"),
            Error((np.ones((1, 4, 5), np.float32), 3, 2), ValueError, "a column for each of the 4 blocks"),
            Error((np.ones((1, 4, 4), np.float32), 1, 2), ValueError, "the kernel must fit"),
            Error((np.ones((1, 4, 4), np.float32), -3, 2), ValueError, "must be positive"),
        ],
    ),
]
