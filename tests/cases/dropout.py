"""Cases of the random family. The words are compared for equality; dropout rounds once."""

import numpy as np

import dlcore
from tests.cases import Error, OpCase, Sample
from tests.reference import dropout as ref


def samples(rng):
    out = []
    for i, shape in enumerate([(1,), (7,), (64,), (65,), (3, 43), (0, 4), (2, 3, 5)]):
        for p in (0.0, 0.25, 0.5, 1.0):
            kwargs = {"p": p, "seed": 2**40 + i, "offset": 2**33 + 5}
            out.append(Sample((rng.standard_normal(shape),), kwargs, f"{shape} {p}"))
    x = rng.standard_normal((4, 33, 6))
    out.append(Sample((x,), {"p": 0.3, "seed": 9, "inner": 6}, "channels"))
    out.append(Sample((x.transpose(2, 0, 1)[::-1],), {"p": 0.3, "seed": 9, "inner": 4}, "channels, strided"))
    bad = np.array([np.nan, np.inf, 1.0] * 5)
    with np.errstate(invalid="ignore"):
        out.append(Sample((np.where(np.isinf(bad), 2.0, bad),), {"p": 1.0}, "NaN, all dropped"))
    return out


def large(rng):
    return [
        Sample((rng.standard_normal(100_003),), {"p": 0.2, "seed": 3}, "100003"),
        Sample((rng.standard_normal((16, 70, 50)),), {"p": 0.2, "seed": 3, "inner": 50}, "channels"),
    ]


f4 = np.ones((2, 3), np.float32)
CASES = [
    OpCase(
        "dropout", ["dropout"], dlcore.kernels.dropout, ref.dropout, samples, large=large,
        errors=[
            Error((f4, 1.5), ValueError, r"dropout: p must lie in \[0, 1\], got p=1.5"),
            Error((f4, float("nan")), ValueError, r"p must lie in \[0, 1\]"),
            Error((f4.astype(np.int64),), TypeError, "must be float32 or float64"),
            Error((f4, 0.5, 0, 0, 4), ValueError, "inner must divide the number of elements"),
        ],
    ),
    OpCase(
        "philox_bits", ["random_fill"], dlcore.kernels.philox_bits, ref.philox_bits,
        lambda rng: [Sample((n, 5, 6, 7), id=str(n)) for n in (0, 1, 63, 64, 65, 200)], exact=True,
        large=lambda rng: [Sample((50_001, 2**50, 2**40), id="50001")],
        errors=[Error((-1,), ValueError, "n must not be negative")],
    ),
    *[
        OpCase(
            "philox_uniform", ["random_fill"], dlcore.kernels.philox_uniform, ref.philox_uniform,
            lambda rng, t=t: [Sample((s, t, 5, 6), id=str(s)) for s in ((), (0,), (31,), (3, 43))],
            exact=True, dtypes=[np.dtype(t).type],
            large=lambda rng, t=t: [Sample(((50_001,), t, 1), id="50001")],
            errors=[Error(((2,), "int64"), TypeError, "dtype must be float32 or float64")],
        )
        for t in ("float32", "float64")
    ],
]  # fmt: skip
