"""Cases of the matmul family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import matmul as ref


def matmul_samples(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    shapes = [
        ((1, 1), (1, 1)),
        ((3, 4), (4, 5)),
        ((5,), (5, 3)),
        ((3, 5), (5,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (2, 4, 5)),
        ((1, 2, 3, 4), (5, 1, 4, 3)),
        ((7, 13), (13, 17)),
        ((4, 0), (0, 3)),
        ((0, 4), (4, 3)),
        ((0, 3, 4), (4, 2)),
    ]
    samples = [Sample((r(*a), r(*b)), id=f"{a}@{b}") for a, b in shapes]
    samples += [
        # One number, of terms that do not cancel: its error is measured against itself.
        Sample((np.abs(r(5)), np.abs(r(5))), id="(5,)@(5,)"),
        Sample((r(5, 3).T, r(7, 5).T), id="both transposed"),
        Sample((r(6, 10)[::-2, ::3], r(8, 5)[::2, ::-1]), id="negative strides"),
        Sample((np.broadcast_to(r(1, 4), (3, 4)), r(4, 2)), id="broadcast view"),
    ]
    return samples


def matmul_large(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    # Around the tiles (6, 14 rows; 8, 16, 32 columns), the paths (dot, lanes, stream, direct, outer, lines,
    # packed), transposes.
    out = []
    for m, n, k in [
        (1, 700, 300),
        (4, 257, 130),
        (1, 515, 514),
        (2, 514, 513),
        (3, 1601, 131),
        (4, 2049, 130),
        (9, 300, 40),
        (31, 50, 70),
        (15, 33, 257),
        (11, 131, 600),
        (16, 77, 1030),
        (27, 70, 530),
        (61, 67, 129),
        (200, 190, 300),
        (512, 3, 65),
        (300, 95, 530),
        (701, 301, 1),
        (1030, 260, 3),
    ]:
        out += [
            Sample((r(m, k), r(k, n)), id=f"{m}x{n}x{k}", grad=False),
            Sample((r(k, m).T, r(n, k).T), id=f"{m}x{n}x{k} transposed", grad=False),
        ]
    out.append(Sample((r(9, 33, 20), r(9, 20, 34)), id="batched", grad=False))
    return out


def linear_samples(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    return [
        Sample((r(3, 4), r(5, 4), r(5)), id="bias"),
        Sample((r(3, 4), r(5, 4)), id="no bias"),
        Sample((r(4), r(5, 4), r(5)), id="1-d"),
        Sample((r(2, 3, 4), r(5, 4), r(5), "relu"), id="relu"),
        Sample((r(3, 4), r(5, 4), r(5), "sigmoid"), id="sigmoid"),
        Sample((r(3, 4), r(5, 4), r(5), "tanh"), id="tanh"),
        Sample((r(0, 4), r(5, 4), r(5)), id="empty batch"),
    ]


def linear_large(rng):
    def r(*shape):
        return rng.standard_normal(shape)

    return (
        [
            Sample((r(64, 300), r(129, 300), r(129), act), id=f"64x129x300 {act}", grad=False)
            for act in ("", "relu", "sigmoid", "tanh")
        ]
        + [
            Sample((r(1, 1600), r(128, 1600), r(128)), id="batch 1", grad=False),
            Sample((r(6, 260), r(133, 260), r(133), "relu"), id="batch 6", grad=False),
            Sample((r(3, 260), r(260, 1031).T, r(1031), "tanh"), id="batch 3, transposed", grad=False),
        ]
        + [
            # Weights as they lie: every width of the last tile, and more than a block along k.
            Sample((r(m, 530), r(n, 530), r(n), act), id=f"batch {m}, {n}", grad=False)
            for m, n, act in [
                (16, 37, ""),
                (32, 71, "relu"),
                (35, 90, ""),
                (43, 85, "tanh"),
                (59, 140, ""),
                (197, 61, ""),
            ]
        ]
    )


f4 = np.ones((2, 3), np.float32)
CASES = [
    OpCase(
        "matmul",
        ["matmul"],
        dlcore.kernels.matmul,
        ref.matmul,
        matmul_samples,
        functional=F.matmul,
        diff=(0, 1),
        large=matmul_large,
        errors=[
            Error(
                (f4, f4),
                ValueError,
                r"matmul: the last axis of a must equal .*got a=\(2, 3\) float32 cpu, b=\(2, 3\)",
            ),
            Error((f4, f4.T.astype(np.float64)), TypeError, "must have the dtype of a"),
            Error((f4.astype(np.int64), f4.T.astype(np.int64)), TypeError, "must be float32 or float64"),
            Error((np.float32(1), f4), ValueError, "at least 1 dimension"),
            Error(
                (np.ones((2, 2, 3), np.float32), np.ones((3, 3, 2), np.float32)),
                ValueError,
                "broadcast together",
            ),
            Error((f4.astype(">f4"), f4.T), TypeError, "byte order must be native"),
            Error((f4.astype(object), f4.T), TypeError, "object arrays are not supported"),
        ],
    ),
    OpCase(
        "linear",
        ["matmul"],
        dlcore.kernels.linear,
        ref.linear,
        linear_samples,
        functional=F.linear,
        diff=(0, 1, 2),
        large=linear_large,
        errors=[
            Error((f4, f4[:, :2]), ValueError, "in_features must be 2, got x="),
            Error((f4, f4, f4), ValueError, r"bias must have shape \(2,\)"),
            Error((f4, f4, None, "gelu"), ValueError, "activation must be one of"),
        ],
    ),
]
