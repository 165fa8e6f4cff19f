"""Cases of the norm family."""

import numpy as np

from dlcore import functional as F
from dlcore import kernels as K
from tests.cases import Error, OpCase, Sample
from tests.reference import norm as ref


def last(x):
    """The same values, channels-last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


# ---- rows: around the vectors, the unrolled four, the blocks, kChunk -------------------------------------

ROWS = [
    ((3, 5), 1),
    ((2, 3, 4), 2),
    ((7,), 1),
    ((2, 3, 17), 1),
    ((5, 1), 1),
    ((0, 4), 1),
    ((4, 0), 1),
    ((2, 67), 1),
]
LARGE_ROWS = [((300, 1030), 1), ((70, 3, 7), 2), ((3, 40001), 1), ((2500, 33), 1), ((40, 20, 16), 2)]


def row_data(rng, shape, n, kind):
    x = rng.standard_normal(shape) * 2 + 3
    normal = shape[len(shape) - n :]
    w = rng.standard_normal(normal) if kind in ("both", "weight") else None
    b = rng.standard_normal(normal) if kind in ("both", "bias") else None
    return x, normal, w, b


def rows(rng, shapes, make, grad=True):
    out = []
    for i, (shape, n) in enumerate(shapes):
        kind = ("both", "weight", "none", "bias")[i % 4]
        out.append(Sample(*make(*row_data(rng, shape, n, kind)), id=f"{shape} {n} {kind}", grad=grad))
    return out


def layer_samples(rng, shapes=ROWS, grad=True):
    out = rows(rng, shapes, lambda x, n, w, b: ((x, n, w, b),), grad)
    if not grad:
        return out
    x = rng.standard_normal((6, 8))
    return [
        *out,
        Sample((x.T, (6,)), id="transposed"),
        Sample((x[::-2, ::3], (3,), np.ones(6)[::2]), id="negative strides"),
        Sample((np.broadcast_to(x[:1], (4, 8)), (8,)), id="broadcast view"),
        Sample((x * 1e-3 + 1e3, (8,)), id="mean far from 0", grad=False),
        Sample((np.full((2, 9), 7.0), (9,)), id="constant", grad=False),
        Sample((x, (8,), None, None, 0.1, True), id="statistics", grad=False),
        Sample((np.array([[1.0, np.nan, 2.0], [0.0, 1.0, 2.0]]), (3,)), id="NaN", grad=False),
    ]


def rms_samples(rng, shapes=ROWS, grad=True):
    out = rows(rng, shapes, lambda x, n, w, b: ((x, n, w),), grad)
    if not grad:
        return out
    x = rng.standard_normal((6, 8))
    return [
        *out,
        Sample((x.T, (6,), None, 0.1), id="transposed"),
        Sample((x * 0, (8,)), id="zeros", grad=False),
        Sample((x, (8,), None, 0.0, True), id="statistics", grad=False),
        Sample((np.array([[1.0, np.nan, 2.0], [0.0, 1.0, 2.0]]), (3,)), id="NaN", grad=False),
    ]


def seed(rng, x):
    """A dy whose sums, alone and with x, do not cancel: an error has their scale."""
    return rng.standard_normal(x.shape) + x / 2


def has_gradient(shape, n):
    """Neither empty, nor rows of one element, whose gradient is 0 and has no scale for an error."""
    return 0 not in shape and shape[len(shape) - n :] != (1,)


def layer_backward_samples(rng, shapes=ROWS):
    def make(x, n, w, b):
        _, mean, rstd = ref.layer_norm(x, n, return_statistics=True)
        return ((seed(rng, x), x, n, mean, rstd, w),)

    return rows(rng, [s for s in shapes if has_gradient(*s)], make, False)


def rms_backward_samples(rng, shapes=ROWS):
    def make(x, n, w, b):
        _, rstd = ref.rms_norm(x, n, return_statistics=True)
        return ((seed(rng, x), x, n, rstd, w),)

    return rows(rng, [s for s in shapes if has_gradient(*s)], make, False)


# ---- channels --------------------------------------------------------------------------------------------

CHANNELS = [
    ((3, 4, 5), 2),
    ((2, 6, 3, 5), 3),
    ((5, 4), 1),
    ((4, 6), 2),
    ((2, 1, 17), 1),
    ((1, 3, 2, 2, 2), 1),
    ((2, 18, 1, 3), 9),
    ((3, 37, 2), 37),
    ((0, 4, 3), 2),
    ((2, 4, 0), 2),
]
# Planes longer than a chunk, sets larger than one thread's, many channels, many rows, few of either.
LARGE_CHANNELS = [
    ((2, 3, 20001), 3),
    ((40, 16, 7, 7), 4),
    ((3, 130, 150), 5),
    ((3000, 10), 5),
    ((300, 24), 4),
    ((7, 40, 1, 700), 8),
    ((20, 2, 8000), 1),
]


def channel_arrays(rng, shapes, grad):
    for i, (shape, groups) in enumerate(shapes):
        for lay in (False, True):
            if lay and (len(shape) == 2 or 0 in shape):
                continue
            x = rng.standard_normal(shape) * 2 + 3
            w = rng.standard_normal(shape[1]) if i % 3 != 2 else None
            b = rng.standard_normal(shape[1]) if i % 3 != 1 else None
            name = f"{shape}{' channels-last' * lay}"
            yield name, (last(x) if lay else x), (last if lay else np.array), groups, w, b


def batch_samples(rng, shapes=CHANNELS, grad=True):
    out = []
    for name, x, _, _, w, b in channel_arrays(rng, shapes, grad):
        mean, var = rng.standard_normal(x.shape[1]), rng.random(x.shape[1]) + 0.5
        out.append(Sample((x, None, None, w, b, True), id=f"{name} training", grad=grad and x.size > 0))
        out.append(Sample((x, mean, var, w, b), id=name, grad=grad and x.size > 0))
    if not grad:
        return out
    x = rng.standard_normal((4, 3, 2, 6))
    return [
        *out,
        Sample((x[::-1, :, :, ::2], None, None, None, None, True), id="strided"),
        Sample((x.transpose(1, 0, 3, 2), None, None, None, None, True), id="transposed"),
        Sample((x * 1e-3 + 1e3, None, None, None, None, True), id="mean far from 0", grad=False),
        Sample((x, None, None, None, None, True, 0.1, True), id="statistics", grad=False),
        Sample((np.where(x > 2, np.nan, x), None, None, None, None, True), id="NaN", grad=False),
    ]


def batch_backward_samples(rng, shapes=CHANNELS):
    out = []
    for name, x, lay, _, w, _ in channel_arrays(rng, shapes, False):
        if not x.size:
            continue
        _, mean, rstd = ref.batch_norm(x, training=True, return_statistics=True)
        dy = seed(rng, x)
        out.append(Sample((lay(dy), x, mean, rstd, w), id=f"{name} training", grad=False))
        out.append(Sample((dy, x, mean + 1, rstd * 2, w, False), id=name, grad=False))
    return out


def group_samples(rng, shapes=CHANNELS, grad=True):
    out = []
    for name, x, _, groups, w, b in channel_arrays(rng, shapes, grad):
        out.append(Sample((x, groups, w, b), id=f"{name} {groups}", grad=grad and x.size > 0))
    if not grad:
        return out
    x = rng.standard_normal((4, 6, 3))
    return [
        *out,
        Sample((x[::-1, :, ::2], 2), id="strided"),
        Sample((x * 1e-3 + 1e3, 3), id="mean far from 0", grad=False),
        Sample((x, 3, None, None, 0.1, True), id="statistics", grad=False),
    ]


def group_backward_samples(rng, shapes=CHANNELS):
    out = []
    for name, x, lay, groups, w, _ in channel_arrays(rng, shapes, False):
        if not x.size:
            continue
        _, mean, rstd = ref.group_norm(x, groups, return_statistics=True)
        out.append(
            Sample(
                (lay(seed(rng, x)), x, groups, mean, rstd, w),
                id=f"{name} {groups}",
                grad=False,
            )
        )
    return out


# ---- across channels -------------------------------------------------------------------------------------

LOCAL = [
    ((2, 5, 3), 3, {}),
    ((1, 7, 2, 5), 5, {"alpha": 0.5, "k": 2.0}),
    ((2, 6, 3), 4, {"alpha": 2.0, "beta": 0.5}),
    ((1, 3, 2), 9, {"alpha": 1.0, "beta": 1.0, "k": 0.5}),
    ((2, 4, 2, 2, 2), 2, {"alpha": 0.3, "beta": 1.3}),
    ((2, 4, 19), 1, {"alpha": 0.3, "beta": 2.0}),
    ((1, 19, 3), 3, {"alpha": 0.3}),
    ((0, 4, 3), 3, {}),
    ((2, 4, 0), 3, {}),
]
LARGE_LOCAL = [((3, 16, 30, 31), 5, {"alpha": 0.5}), ((2, 67, 300), 4, {"alpha": 0.5, "beta": 0.6})]


def local_samples(rng, shapes=LOCAL, grad=True):
    out = []
    for shape, size, kwargs in shapes:
        x = rng.standard_normal(shape)
        out.append(Sample((x, size), kwargs, f"{shape} {size}", grad and x.size > 0))
        if x.size:
            out.append(Sample((last(x), size), kwargs, f"{shape} {size} channels-last", grad))
    return out


def local_backward_samples(rng, shapes=LOCAL):
    return [
        Sample((rng.standard_normal(s.args[0].shape), *s.args), s.kwargs, s.id, False)
        for s in local_samples(rng, shapes)
    ]


f4 = np.ones((2, 3), np.float32)
f3 = np.ones((2, 4, 3), np.float32)
i4 = f4.astype(np.int64)
CASES = [
    OpCase(
        "layer_norm",
        ["row_norm_forward", "row_norm_backward"],
        K.layer_norm,
        ref.layer_norm,
        layer_samples,
        functional=F.layer_norm,
        diff=(0, 2, 3),
        large=lambda rng: layer_samples(rng, LARGE_ROWS, False),
        errors=[
            Error((f4, (4,)), ValueError, "layer_norm: the last dimensions of x must be normalized_shape"),
            Error((f4, (1, 2, 3)), ValueError, "the last dimensions of x"),
            Error((f4, ()), ValueError, "normalized_shape must have at least 1 dimension"),
            Error((f4, (3,), np.ones(2, np.float32)), ValueError, r"weight must have shape \(3,\)"),
            Error((f4, (3,), None, np.ones((1, 3), np.float32)), ValueError, r"bias must have shape \(3,\)"),
            Error((f4, (3,), np.ones(3)), TypeError, "must have the dtype of x"),
            Error((i4, (3,)), TypeError, "x must be float32 or float64"),
        ],
    ),
    OpCase(
        "layer_norm_backward",
        ["row_norm_backward"],
        K.layer_norm_backward,
        ref.layer_norm_backward,
        layer_backward_samples,
        large=lambda rng: layer_backward_samples(rng, LARGE_ROWS),
        errors=[
            Error((f4[:1], f4, (3,), f4[:, 0], f4[:, 0]), ValueError, r"dy must have shape \(2, 3\)"),
            Error((f4, f4, (3,), f4[0], f4[:, 0]), ValueError, r"mean must have shape \(2,\)"),
        ],
    ),
    OpCase(
        "rms_norm",
        ["row_norm_forward", "row_norm_backward"],
        K.rms_norm,
        ref.rms_norm,
        rms_samples,
        functional=F.rms_norm,
        diff=(0, 2),
        large=lambda rng: rms_samples(rng, LARGE_ROWS, False),
        errors=[Error((f4, (4,)), ValueError, "rms_norm: the last dimensions of x must be normalized_shape")],
    ),
    OpCase(
        "rms_norm_backward",
        ["row_norm_backward"],
        K.rms_norm_backward,
        ref.rms_norm_backward,
        rms_backward_samples,
        large=lambda rng: rms_backward_samples(rng, LARGE_ROWS),
        errors=[Error((f4, f4, (3,), f4[0]), ValueError, r"rstd must have shape \(2,\)")],
    ),
    OpCase(
        "batch_norm",
        ["channel_norm_forward", "channel_norm_backward"],
        K.batch_norm,
        ref.batch_norm,
        batch_samples,
        functional=lambda x, m, v, w, b, training=False, eps=1e-5: (
            F.batch_norm(x, m, v, w, b, training, 0.0, eps)
            if training
            else F.batch_norm(x, m.detach(), v.detach(), w, b, training, 0.0, eps)
        ),
        diff=(0, 3, 4),
        large=lambda rng: batch_samples(rng, LARGE_CHANNELS, False),
        errors=[
            Error(
                (f4[:1], None, None, None, None, True), ValueError, "Expected more than 1 value per channel"
            ),
            Error((f4,), ValueError, "running_mean and running_var must be given"),
            Error((f4, np.ones(3, np.float32)), ValueError, "must either both be given or neither"),
            Error((f4[0],), ValueError, "x must have at least 2 dimensions"),
            Error((f4, np.ones(2, np.float32), f4[0]), ValueError, r"running_mean must have shape \(3,\)"),
            Error((f4, None, None, None, None, True, 0.0), ValueError, "eps must be positive"),
            Error((f4, None, None, np.ones(3), None, True), TypeError, "must have the dtype of x"),
            Error((i4, None, None, None, None, True), TypeError, "x must be float32 or float64"),
        ],
    ),
    OpCase(
        "batch_norm_backward",
        ["channel_norm_backward"],
        K.batch_norm_backward,
        ref.batch_norm_backward,
        batch_backward_samples,
        large=lambda rng: batch_backward_samples(rng, LARGE_CHANNELS),
        errors=[Error((f4[:1], f4, f4[0], f4[0]), ValueError, r"dy must have shape \(2, 3\)")],
    ),
    OpCase(
        "group_norm",
        ["channel_norm_forward", "channel_norm_backward", "row_norm_forward", "row_norm_backward"],
        K.group_norm,
        ref.group_norm,
        group_samples,
        functional=F.group_norm,
        diff=(0, 2, 3),
        large=lambda rng: group_samples(rng, LARGE_CHANNELS, False),
        errors=[
            Error((f3, 3), ValueError, "group_norm: the number of channels must be divisible by num_groups"),
            Error((f3, 0), ValueError, "num_groups must be positive"),
            Error((f4[:1], 3), ValueError, "Expected more than 1 value per channel when training"),
            Error((f3[0, 0], 1), ValueError, "x must have at least 2 dimensions"),
        ],
    ),
    OpCase(
        "group_norm_backward",
        ["channel_norm_backward", "row_norm_backward"],
        K.group_norm_backward,
        ref.group_norm_backward,
        group_backward_samples,
        large=lambda rng: group_backward_samples(rng, LARGE_CHANNELS),
        errors=[Error((f3, f3, 2, f4, f4), ValueError, r"mean must have shape \(2, 2\)")],
    ),
    OpCase(
        "local_response_norm",
        ["local_norm_forward", "local_norm_backward"],
        K.local_response_norm,
        ref.local_response_norm,
        local_samples,
        functional=F.local_response_norm,
        large=lambda rng: local_samples(rng, LARGE_LOCAL, False),
        errors=[
            Error((f4, 3), ValueError, "x must have at least 3 dimensions"),
            Error((f3, 0), ValueError, "size must be positive"),
            Error((f3, 2.5), TypeError, "size must be an integer"),
            Error((f3.astype(np.int32), 3), TypeError, "x must be float32 or float64"),
        ],
    ),
    OpCase(
        "local_response_norm_backward",
        ["local_norm_backward"],
        K.local_response_norm_backward,
        ref.local_response_norm_backward,
        local_backward_samples,
        large=lambda rng: local_backward_samples(rng, LARGE_LOCAL),
        errors=[Error((f3[:1], f3, 3), ValueError, r"dy must have shape \(2, 4, 3\)")],
    ),
]
