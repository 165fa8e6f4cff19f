"""Cases of the loss family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import loss as ref

SHAPES = [(3, 4), (1, 1), (5,), (2, 17), (2, 3, 5), (2, 3, 2, 3), (0, 3), (3, 2, 0), (1, 2, 19)]


def labels(rng, shape, ignored=False):
    axis = 0 if len(shape) == 1 else 1
    t = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    t = np.asarray(t, np.int64)
    if ignored and t.size > 1:
        t.flat[1] = -100
    return t


def probabilities(rng, shape):
    axis = 0 if len(shape) == 1 else 1
    p = rng.random(shape)
    return p / p.sum(axis, keepdims=True)


def cross_entropy_samples(rng):
    out = []
    for shape in SHAPES:
        x = rng.standard_normal(shape)
        classes = shape[0] if len(shape) == 1 else shape[1]
        w = rng.random(classes) + 0.1
        for reduction in ("mean", "sum", "none"):
            out.append(Sample((x, labels(rng, shape)), {"reduction": reduction}, f"{shape} {reduction}"))
            kwargs = {"reduction": reduction, "label_smoothing": 0.1}
            out.append(
                Sample((x, labels(rng, shape, True), w), kwargs, f"{shape} {reduction} weight, smoothing")
            )
            out.append(Sample((x, probabilities(rng, shape), w), kwargs, f"{shape} {reduction} soft"))
    x = rng.standard_normal((4, 3))
    t = np.array([0, 2, 1, 2])
    inf = np.array([[0.0, -np.inf], [0.0, 1.0]])
    return [
        *out,
        Sample((x, t), {"ignore_index": 2}, "ignore_index"),
        Sample((x, np.full(4, -100)), {}, "all ignored", grad=False),
        Sample((x, t.astype(np.int32)), {}, "int32"),
        Sample((x, t.astype(np.uint8)), {}, "uint8"),
        Sample((rng.standard_normal((3, 4)).T, t[::-1]), {}, "strided"),
        Sample(
            (rng.standard_normal((2, 5, 3)).transpose(0, 2, 1), labels(rng, (2, 3, 5))), {}, "channels-last"
        ),
        Sample(
            (np.array([[1e30, 0.0], [0.0, 1e30]]), np.array([1, 1])),
            {"reduction": "none"},
            "huge",
            grad=False,
        ),
        Sample((inf, np.array([1, 0])), {"reduction": "none"}, "-inf", grad=False),
        Sample(
            (np.array([[np.nan, 0.0], [0.0, 1.0]]), np.array([1, 0])),
            {"reduction": "none"},
            "NaN",
            grad=False,
        ),
        Sample((np.array([[np.nan, 0.0], [0.0, 1.0]]), np.array([-100, 0])), {}, "NaN ignored", grad=False),
    ]


def cross_entropy_large(rng):
    out = []
    for shape in [(300, 10), (5, 5003), (2, 21, 40, 33), (9000, 3)]:
        x = rng.standard_normal(shape) * 3
        out.append(Sample((x, labels(rng, shape, True)), {}, f"{shape}", grad=False))
        out.append(
            Sample(
                (x, probabilities(rng, shape), rng.random(shape[1])),
                {"label_smoothing": 0.2},
                f"{shape} soft",
                grad=False,
            )
        )
    return out


def nll_samples(rng):
    out = []
    for shape in SHAPES:
        w = rng.random(shape[0] if len(shape) == 1 else shape[1]) + 0.1
        for reduction in ("mean", "sum", "none"):
            args = (rng.standard_normal(shape), labels(rng, shape, True), w)
            out.append(Sample(args, {"reduction": reduction}, f"{shape} {reduction}"))
    return out


def multilabel_samples(rng, large=False):
    out = []
    shapes = [(300, 70), (40, 1000)] if large else [(4, 5), (5,), (3, 1), (2, 33), (0, 4)]
    for shape in shapes:
        t = np.full(shape, -1)
        if t.size:
            for i, row in enumerate(t.reshape(-1, shape[-1])):
                k = min(shape[-1], i % 4)
                row[:k] = rng.permutation(shape[-1])[:k]
        out.append(Sample((rng.standard_normal(shape), t), id=str(shape), grad=not large))
    return out


def multilabel_backward(rng, large=False):
    return [
        Sample((np.asarray(rng.standard_normal(s.args[0].shape[:-1])), *s.args), id=s.id, grad=False)
        for s in multilabel_samples(rng, large)
    ]


f4 = np.ones((2, 3), np.float32)
t2 = np.array([0, 1])
ERRORS = [
    Error(
        (f4, np.array([0, 3])), IndexError, r"labels must lie in \[0, 3\) .*got label=3, at position=\(1,\)"
    ),
    Error((f4, np.array([-1, 3])), IndexError, r"got label=-1, at position=\(0,\)"),
    Error(
        (np.ones((1, 2, 2, 2), np.float32), np.array([[[0, 1], [5, 9]]])),
        IndexError,
        r"label=5, at position=\(0, 1, 0\)",
    ),
    Error(
        (f4, np.array([0, 1, 2])), ValueError, r"labels must have shape \(2,\).*got x=\(2, 3\) float32 cpu"
    ),
    Error((f4, t2, np.ones(2, np.float32)), ValueError, r"weight must have shape \(3,\)"),
    Error((f4, t2, None, "average"), ValueError, "reduction must be one of none, mean, sum"),
    Error((np.float32(1), t2), ValueError, r"\(C,\) or \(N, C, ...\)"),
    Error((f4.astype(np.int64), t2), TypeError, "must be float32 or float64"),
    Error((f4, np.array([True, False])), TypeError, "labels must be int64, int32 or uint8"),
]
CASES = [
    OpCase(
        "cross_entropy",
        ["cross_entropy_forward", "cross_entropy_backward"],
        dlcore.kernels.cross_entropy,
        ref.cross_entropy,
        cross_entropy_samples,
        functional=F.cross_entropy,
        large=cross_entropy_large,
        errors=[
            *ERRORS,
            Error((f4, t2, None, "mean", -100, 1.5), ValueError, r"label_smoothing must lie in \[0, 1\]"),
            Error((f4, f4[:, :2]), ValueError, r"target must have shape \(2, 3\)"),
            Error((f4, f4.astype(np.float64)), TypeError, "must have the dtype of x"),
        ],
    ),
    OpCase(
        "nll_loss",
        ["cross_entropy_forward", "cross_entropy_backward"],
        dlcore.kernels.nll_loss,
        ref.nll_loss,
        nll_samples,
        functional=F.nll_loss,
        errors=[*ERRORS, Error((f4, f4), ValueError, "labels must have shape")],
    ),
    OpCase(
        "multilabel_margin_loss",
        ["multilabel_margin_forward", "multilabel_margin_backward"],
        dlcore.kernels.multilabel_margin_loss,
        ref.multilabel_margin_loss,
        multilabel_samples,
        functional=lambda x, t: F.multilabel_margin_loss(x, t, reduction="none"),
        errors=[
            Error((f4, np.zeros((2, 2), np.int64)), ValueError, r"target must have shape \(2, 3\)"),
            Error((f4, np.full((2, 3), 3)), IndexError, r"labels must lie in \[-1, 3\), got label=3"),
            Error((f4, f4), TypeError, "labels must be int64"),
            Error((f4[None], np.zeros((1, 2, 3), np.int64)), ValueError, r"\(C,\) or \(N, C\) with C > 0"),
        ],
        large=lambda rng: multilabel_samples(rng, True),
    ),
    OpCase(
        "multilabel_margin_loss_backward",
        ["multilabel_margin_backward"],
        dlcore.kernels.multilabel_margin_loss_backward,
        ref.multilabel_margin_loss_backward,
        multilabel_backward,
        errors=[Error((f4[0], f4, np.zeros((2, 3), np.int64)), ValueError, r"dloss must have shape \(2,\)")],
        large=lambda rng: multilabel_backward(rng, True),
    ),
]
