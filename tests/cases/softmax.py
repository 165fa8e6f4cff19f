"""Cases of the softmax family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import softmax as ref

# Around the vectors (2 to 16 lanes), the four-fold unrolled maximum, the block of 64 vectors.
SHAPES = [
    ((1,), 0),
    ((7,), -1),
    ((3, 5), 1),
    ((3, 5), 0),
    ((2, 17, 3), 1),
    ((4, 1, 3), -2),
    ((2, 3, 2, 5), 1),
    ((0, 4), -1),
    ((4, 0), -1),
    ((4, 0), 0),
    ((2, 16), 1),
    ((2, 67), 1),
]


def samples(rng):
    out = [Sample((rng.standard_normal(s), a), id=f"{s} axis {a}") for s, a in SHAPES]
    x = rng.standard_normal((6, 8))
    return [
        *out,
        Sample((x.T, 0), id="transposed"),
        Sample((x[::-2, ::3], 1), id="negative strides"),
        Sample((np.broadcast_to(x[:1], (4, 8)), 0), id="broadcast view"),
        Sample((np.array(0.5), 0), id="0-d"),
        Sample((rng.standard_normal((3, 9)) * 50, 1), id="wide range"),
        Sample((np.array([[1e30, 0.0, -1e30], [3e38, 3e38, 0.0]]), 1), id="huge", grad=False),
        Sample((np.array([[1.0, np.nan, 2.0], [0.0, -np.inf, 1.0]]), 1), id="NaN and -inf", grad=False),
        Sample((np.array([[1.0, -np.inf], [np.nan, 1.0]]), 0), id="NaN and -inf down columns", grad=False),
    ]


def large(rng):
    shapes = [((3, 5000), 1), ((700, 10), 1), ((2, 19, 700), 1), ((5, 300, 33), 1), ((64, 1030), 1)]
    return [Sample((rng.standard_normal(s) * 5, a), id=f"{s} axis {a}", grad=False) for s, a in shapes]


def backward_samples(make, twin):
    def samples_(rng):
        return [
            Sample(
                (np.asarray(rng.standard_normal(s.args[0].shape)), twin(*s.args)),
                {"axis": s.args[1]},
                s.id,
                grad=False,
            )
            for s in make(rng)
            if np.isfinite(s.args[0]).all()
        ]

    return samples_


f4 = np.ones((2, 3), np.float32)
ERRORS = [
    Error((f4, 2), IndexError, r"softmax: axis must lie in \[-2, 1\], got axis=2"),
    Error((f4.astype(np.int64), 0), TypeError, "must be float32 or float64"),
]
BACKWARD_ERRORS = [
    Error((f4, f4[:1]), ValueError, r"dy must have shape \(1, 3\)"),
    Error((f4.astype(np.float64), f4), TypeError, "must have the dtype of y"),
]


def case(name):
    forward, backward = getattr(ref, name), getattr(ref, f"{name}_backward")
    return [
        OpCase(
            name,
            ["softmax_forward", "softmax_backward"],
            getattr(dlcore.kernels, name),
            forward,
            samples,
            functional=getattr(F, name),
            errors=ERRORS,
            large=large,
        ),
        OpCase(
            f"{name}_backward",
            ["softmax_backward"],
            getattr(dlcore.kernels, f"{name}_backward"),
            backward,
            backward_samples(samples, forward),
            errors=BACKWARD_ERRORS,
            large=backward_samples(large, forward),
        ),
    ]


CASES = case("softmax") + case("log_softmax")
