"""Cases of the quant family."""

import numpy as np

import dlcore
from dlcore.quantization import quantized_linear
from tests.cases import Error, OpCase, Sample
from tests.reference import quant as ref


def int8(rng, *shape):
    return rng.integers(-127, 128, shape).astype(np.int8).view(np.uint8)


def bf16(rng, *shape):
    return (rng.standard_normal(shape, np.float32).view(np.uint32) >> 16).astype("<u2").view(np.uint8)


# Around the vectors, the 4 rows and 4 columns of a tile, and the 16 rows above which blocks are widened.
SIZES = [
    (1, 1, 1), (1, 5, 3), (2, 4, 16), (3, 7, 17), (4, 3, 33), (5, 9, 40), (16, 6, 19), (17, 5, 18),
    (0, 3, 4), (2, 0, 4), (2, 3, 0), (20, 3, 0),
]  # fmt: skip


def linear(rng, sizes, grad):
    out = []
    for m, n, k in sizes:
        x, bias, scale = rng.standard_normal((m, k)), rng.standard_normal(n), rng.uniform(0.001, 0.1, n)
        out += [
            Sample((x, int8(rng, n, k), scale, bias), id=f"int8 {m, n, k}", grad=grad),
            Sample((x, bf16(rng, n, k), None, None), id=f"bfloat16 {m, n, k}", grad=grad),
        ]
    return out


def samples(rng):
    x, w, s = rng.standard_normal((2, 3, 6)), int8(rng, 5, 6), rng.uniform(0.01, 0.1, 5)
    return [
        *linear(rng, SIZES, True),
        Sample((x, w, s), id="3-d"),
        Sample((x[0, 0], w, s), id="1-d"),
        Sample((x[:, ::-2], w[::-1], s[::-1]), id="strides"),
        Sample((x[0].T[:3], int8(rng, 3, 4)[:, :3], s[:3]), id="transposed"),
    ]


def large(rng):
    return linear(rng, [(1, 1030, 300), (6, 401, 513), (40, 2050, 300)], False)


def widen_samples(rng):
    sizes = [*SIZES, (0, 130, 300)]
    return [
        Sample((int8(rng, n, k), rng.uniform(0.001, 0.1, n)), id=f"int8 {n, k}", grad=False)
        for _, n, k in sizes
    ]


x4, w4, s4 = np.ones((2, 3), np.float32), np.zeros((4, 3), np.uint8), np.ones(4, np.float32)
CASES = [
    OpCase(
        "quant_linear",
        ["quant_linear", "quant_widen", "matmul"],
        dlcore.kernels.quant_linear,
        ref.quant_linear,
        samples,
        functional=quantized_linear,
        large=large,
        errors=[
            Error((x4[:, :2], w4, s4), ValueError, r"in_features must be 3, got x=\(2, 2\)"),
            Error((x4, w4), ValueError, "bfloat16 takes two bytes a number"),
            Error((x4, w4, s4[:3]), ValueError, r"scale must have shape \(4,\)"),
            Error((x4, w4, s4, s4[:3]), ValueError, r"bias must have shape \(4,\)"),
            Error((x4, w4.astype(np.float32), s4), TypeError, "weight must be the bytes, uint8"),
            Error((x4, w4, s4.astype(np.float64)), TypeError, "must have the dtype of x"),
            Error((x4, w4[0], s4), ValueError, "weight must have 2 dimensions"),
            Error((np.float32(1), w4, s4), ValueError, "in_features must be 3"),
        ],
    ),
    OpCase(
        "quant_widen",
        ["quant_widen"],
        dlcore.kernels.quant_widen,
        ref.quant_widen,
        widen_samples,
        errors=[
            Error((w4, s4, np.float64), TypeError, "scale must have the dtype asked for"),
            Error((w4[:, :2], None, np.int64), TypeError, "must be float32 or float64"),
        ],
    ),
]
