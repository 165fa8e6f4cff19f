"""Every OpCase against its float64 twin: forward, gradients, errors, threads, ISAs."""

import copy

import numpy as np
import pytest

import dlcore
from dlcore import _C
from tests.cases import all_cases

CASES = all_cases()
BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
EPS = {np.float32: np.finfo(np.float32).eps, np.float64: np.finfo(np.float64).eps}


@pytest.fixture(autouse=True)
def algorithm(request):
    if "case" in request.fixturenames:
        _C.set_winograd(request.getfixturevalue("case").winograd)


def as_dtype(args, dtype):
    """Floating ndarrays in `dtype`, with the strides that they had (astype loses negative and zero ones)."""

    def one(x):
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.dtype == dtype:
            return x
        y = np.empty_like(x, dtype=dtype, order="K")
        if any(s <= 0 for s, n in zip(x.strides, x.shape) if n > 1):
            index = tuple(
                slice(None, None, -1) if s < 0 else slice(0, 1) if s == 0 and n > 1 else slice(None)
                for s, n in zip(x.strides, x.shape)
            )
            back = tuple(slice(None, None, -1) if s < 0 else slice(None) for s, n in zip(x.strides, x.shape))
            return np.broadcast_to(x[index].astype(dtype)[back], x.shape)
        y[...] = x
        return y

    return tuple(one(a) for a in args)


def outputs(y):
    return y if isinstance(y, tuple) else (y,)


def error(y, exact):
    """Largest difference over the scale of the exact result; NaN and infinity must agree in place."""
    y = np.asarray(y, np.float64)
    assert y.shape == exact.shape
    bad = ~np.isfinite(exact)
    assert np.array_equal(np.isnan(y), np.isnan(exact))
    assert np.array_equal(y[bad & ~np.isnan(exact)], exact[bad & ~np.isnan(exact)])
    y, exact = y[~bad], exact[~bad]
    return float(np.abs(y - exact).max() / max(np.abs(exact).max(), 1e-30)) if y.size else 0.0


def check(case, sample, dtype):
    """err <= 3 x err(naive twin in float32, scaled to the dtype) + a few ulp, against the float64 twin."""
    args = as_dtype(sample.args, dtype)
    got = outputs(case.forward(*args, **sample.kwargs))
    exact = outputs(case.reference(*as_dtype(args, np.float64), **sample.kwargs))
    naive = outputs(case.reference(*as_dtype(args, np.float32), **sample.kwargs))
    assert len(got) == len(exact)
    for y, e, n in zip(got, exact, naive):
        assert isinstance(y, np.ndarray)
        e = np.asarray(e)
        if case.exact or e.dtype.kind != "f":
            np.testing.assert_array_equal(y, e.astype(y.dtype))
            continue
        assert y.dtype == dtype
        allowed = (
            3 * error(n, e.astype(np.float64)) * EPS[dtype] / EPS[np.float32] + 8 * EPS[dtype] + case.rtol
        )
        assert error(y, e.astype(np.float64)) <= allowed


@BY_NAME
def test_forward(case, rng):
    fresh = rng
    for isa in _C.available_isas():
        _C.set_isa(isa)
        rng = copy.deepcopy(fresh)  # the same data whichever ISAs the build has
        for dtype in case.dtypes:
            for sample in case.samples(rng) + (case.large(rng) if case.large else []):
                try:
                    check(case, sample, dtype)
                except AssertionError as e:
                    raise AssertionError(f"{case.name}[{sample.id}] {np.dtype(dtype)} {isa}: {e}") from e


def central_difference(f, args, i, seed):
    """d sum(f * seed) / d args[i], element by element, in float64."""
    x = np.array(args[i], np.float64)
    g = np.zeros_like(x)
    h = 1e-5
    for index in np.ndindex(*x.shape):
        old = x[index]
        values = []
        for step in (h, -h):
            x[index] = old + step
            y = outputs(f(*args[:i], x, *args[i + 1 :]))
            values.append(sum(float((np.asarray(a, np.float64) * s).sum()) for a, s in zip(y, seed)))
        x[index] = old
        g[index] = (values[0] - values[1]) / (2 * h)
    return g


@BY_NAME
def test_gradients(case, rng):
    if case.functional is None:
        pytest.skip("not differentiable")
    for isa in _C.available_isas():
        _C.set_isa(isa)
        for sample in case.samples(rng):
            if not sample.grad:
                continue
            args = [np.array(a) if isinstance(a, np.ndarray) else a for a in sample.args]
            places = [i for i in case.diff if i < len(args) and isinstance(args[i], np.ndarray)]
            leaves = {i: dlcore.tensor(args[i], requires_grad=True) for i in places}
            call = [
                leaves.get(i, dlcore.tensor(a) if isinstance(a, np.ndarray) else a)
                for i, a in enumerate(args)
            ]
            y = outputs(case.functional(*call, **sample.kwargs))
            y = tuple(t for t in y if t.dtype.kind == "f")
            seed = [rng.standard_normal(t.shape) for t in y]
            for t, s in zip(y, seed):
                if t.requires_grad:
                    t.backward(s, retain_graph=True)

            def f(*a, kwargs=sample.kwargs):
                return tuple(
                    v for v in outputs(case.reference(*a, **kwargs)) if np.asarray(v).dtype.kind == "f"
                )

            for i in places:
                want = central_difference(f, args, i, seed)
                got = leaves[i].grad
                assert got is not None, f"{case.name}[{sample.id}]: no gradient for argument {i}"
                np.testing.assert_allclose(
                    got.numpy(),
                    want,
                    rtol=1e-5,
                    atol=1e-6 * max(1.0, np.abs(want).max(initial=0.0)),
                    err_msg=f"{case.name}[{sample.id}] argument {i} {isa}",
                )


@BY_NAME
def test_errors(case):
    for e in case.errors:
        with pytest.raises(e.exception, match=e.match):
            case.forward(*e.args, **e.kwargs)


@BY_NAME
def test_same_bits_at_any_number_of_threads(case, rng):
    for dtype in case.dtypes:
        for sample in (case.large or case.samples)(rng):
            args = as_dtype(sample.args, dtype)
            _C.set_num_threads(1)
            want = outputs(case.forward(*args, **sample.kwargs))
            for n in (2, 3, 7):
                _C.set_num_threads(n)
                for a, b in zip(want, outputs(case.forward(*args, **sample.kwargs))):
                    assert a.tobytes() == b.tobytes(), f"{case.name}[{sample.id}] with {n} threads"


@BY_NAME
def test_inputs_are_not_changed(case, rng):
    for sample in case.samples(rng):
        args = as_dtype(sample.args, case.dtypes[0])
        before = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        for a in args:
            if isinstance(a, np.ndarray) and a.flags.owndata:
                a.setflags(write=False)  # read-only inputs are fine
        case.forward(*args, **sample.kwargs)
        for a, b in zip(args, before):
            if isinstance(a, np.ndarray):
                np.testing.assert_array_equal(a, b)


def test_every_kernel_has_a_case():
    covered = {k for case in CASES for k in case.kernels}
    assert set(_C.kernel_names()) - {"copy"} == covered
