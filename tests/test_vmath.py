"""The vector functions of csrc/cpu/vmath.h keep the accuracy that they state, on every ISA.

float32 is sampled over all exponents and signs (every 509th bit pattern: subnormals, infinities, NaN) and
compared with NumPy in float64; float64 with NumPy in extended precision, where there is one.
"""

import math

import numpy as np
import pytest

from dlcore import _C
from dlcore import kernels as K

# ulp bounds: (float32, float64); reference; the domain within which they are stated (None: everything).
FUNCTIONS = {
    "exp": (np.exp, 1, 2),
    "expm1": (np.expm1, 2, 3),
    "log": (np.log, 1, 1),
    "log2": (np.log2, 3, 3),
    "log10": (np.log10, 3, 3),
    "log1p": (np.log1p, 3, 3),
    "sin": (np.sin, 1, 2),
    "cos": (np.cos, 1, 2),
    "tanh": (np.tanh, 4, 4),
    "sigmoid": (lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))), 3, 3),
    "erf": (lambda x: np.vectorize(math.erf, otypes=[float])(np.asarray(x, np.float64)), 3, 1),
    "sqrt": (np.sqrt, 0.5, 0.5),
}


def ulps(got, exact, dtype):
    """Largest distance in units of the last place of the exact result; what is not finite must agree."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
    special = ~np.isfinite(rounded)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    # At the edge of overflow either neighbour will do.
    both = special & ~np.isnan(rounded) & np.isinf(got)
    np.testing.assert_array_equal(got[both], rounded[both])
    ok = ~special & np.isfinite(got)
    assert np.count_nonzero(special & np.isfinite(got)) <= 2
    unit = np.spacing(np.abs(rounded[ok])).astype(exact.dtype)
    return float((np.abs(got[ok].astype(exact.dtype) - exact[ok]) / unit).max())


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32(name, isa):
    _C.set_isa(isa)
    reference, bound, _ = FUNCTIONS[name]
    step = 20011 if name == "erf" else 509
    x = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([x, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 5e-324], np.float32)])
    x = np.concatenate([x, np.linspace(-110, 110, 200_003, dtype=np.float32) if name != "erf" else x[:0]])
    if name in ("sin", "cos"):
        x = np.concatenate([x, (np.arange(1, 4001) * (np.pi / 2)).astype(np.float32)])
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
    # Results of subnormal size round twice where a product's factors do.
    assert ulps(getattr(K, name)(x), np.asarray(exact), np.float32) <= bound + 0.5


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64(name, isa, rng):
    if np.finfo(np.longdouble).nmant < 60 and name != "erf":
        pytest.skip("no extended precision here")
    _C.set_isa(isa)
    reference, _, bound = FUNCTIONS[name]
    x = rng.integers(0, 2**64, 100_000, dtype=np.uint64).view(np.float64)
    x = np.concatenate([x, rng.standard_normal(100_000), rng.uniform(-745, 710, 100_000)])
    x = np.concatenate([x, 2.0 ** np.arange(-60, 60)])
    x = np.concatenate([x, [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e308]])
    if name in ("sin", "cos"):
        x = np.concatenate([x, np.arange(1, 4001) * (np.pi / 2)])
    if name == "erf":
        x = x[::10]
    with np.errstate(all="ignore"):
        wide = x if name == "erf" else x.astype(np.longdouble)
        exact = np.asarray(reference(wide))
    assert ulps(getattr(K, name)(x), exact, np.float64) <= bound + 0.5


def test_signed_zeros():
    for name in ("sin", "tanh", "expm1", "log1p", "erf", "sqrt"):
        for dtype in (np.float32, np.float64):
            y = getattr(K, name)(np.array([0.0, -0.0], dtype))
            assert list(np.signbit(y)) == [False, True], name


def _normal(x):
    return np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2)) / 2


# What goes by tables of polynomials: the function, its bound in ulp or (what cancels) as an error beside 1.
PIECES = {
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 3.0, None),
    "logsigmoid": (lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))), 3.0, None),
    "gelu": (lambda x: x * _normal(x), None, 2e-7),
    "gelu_backward": (
        lambda x: _normal(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
        None,
        2.5e-7,
    ),
}


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("name", PIECES)
def test_pieces(name, isa):
    """Densely, with zero and the ends of the tables: a piece that is taken for its neighbour shows."""
    _C.set_isa(isa)
    reference, bound, error = PIECES[name]
    x = np.linspace(-20, 20, 100_001, dtype=np.float32)
    ends = np.array([0.0, -0.0, 5.75, 6.25], np.float32)
    near = [np.nextafter(ends, np.float32(np.inf)), ends, np.nextafter(ends, np.float32(-np.inf))]
    x = np.concatenate([x, *near, *(-e for e in near), np.array([1e-38, -1e-38, 1e30, -1e30], np.float32)])
    got = K.gelu_backward(np.ones_like(x), x) if name == "gelu_backward" else getattr(K, name)(x)
    exact = reference(x.astype(np.float64))
    if bound is not None:
        assert ulps(got, exact, np.float32) <= bound + 0.5
    else:
        assert (np.abs(got - exact) / np.maximum(1, np.abs(exact))).max() <= error
    tail = got[np.abs(x) == np.float32(1e30)]
    assert tail.tolist() == {"gelu": [np.float32(1e30), 0.0], "gelu_backward": [1.0, 0.0]}.get(
        name, tail.tolist()
    )


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize(
    "name", ["gelu", "gelu_tanh", "silu", "softplus", "mish", "logsigmoid", "elu", "erf", "sin", "cos"]
)
def test_slopes_agree_between_dtypes(name, isa):
    """The two dtypes may go different ways; kernels' gradients are compared with differences in float64."""
    _C.set_isa(isa)
    x = np.linspace(-20, 20, 100_001, dtype=np.float32)
    backward = getattr(K, f"{name}_backward")
    got, exact = backward(np.ones_like(x), x), backward(np.ones(x.shape), x.astype(np.float64))
    assert (np.abs(got - exact) / np.maximum(1, np.abs(exact))).max() <= 5e-7
