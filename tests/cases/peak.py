"""Cases of the machine's limits: measurements, yet pure functions like any other kernel."""

import numpy as np

import dlcore
from tests.cases import Error, OpCase, Sample
from tests.reference import peak as ref


def fma_samples(rng):
    return [
        Sample((rng.standard_normal(n), steps), id=f"{n} {steps}")
        for n in (0, 1, 5)
        for steps in (0, 1, 3, 40)
    ]


def triad_samples(rng):
    def r(n):
        return rng.standard_normal(n)

    samples = [Sample((r(n), r(n), 1.5), id=str(n)) for n in (0, 1, 3, 16, 63, 64, 65)]
    return [*samples, Sample((r(9)[::-1], r(18)[::2], -0.5), id="strided")]


def triad_large(rng):
    return [Sample((rng.standard_normal(100_003), rng.standard_normal(100_003), 3.0), id="100003")]


f4 = np.ones(3, np.float32)
CASES = [
    OpCase(
        "fma_peak",
        ["fma_peak"],
        dlcore.kernels.fma_peak,
        ref.fma_peak,
        fma_samples,
        errors=[
            Error((f4, -1), ValueError, "steps must not be negative, got steps=-1"),
            Error((f4[None], 1), ValueError, "1 dimension"),
            Error((f4.astype(int), 1), TypeError, "must be float32 or float64"),
        ],
    ),
    OpCase(
        "stream_triad",
        ["stream_triad"],
        dlcore.kernels.stream_triad,
        ref.stream_triad,
        triad_samples,
        large=triad_large,
        errors=[
            Error((f4, f4[:2], 1.0), ValueError, r"y must have shape \(3,\)"),
            Error((f4, f4.astype(np.float64), 1.0), TypeError, "must have the dtype of x"),
            Error((f4, f4, 1.0, np.broadcast_to(np.float32(0), 3)), ValueError, "out"),
        ],
    ),
]
