"""Pooling beyond the OpCases: drawn geometries against the twin, torch as an oracle, formats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlcore
from dlcore import _C
from dlcore import functional as F
from tests.cases.pool import nhwc
from tests.reference import pool as ref


@st.composite
def geometries(draw):
    """(shape, kernel, stride, pads, dilation, ceil_mode) that torch would take, paddings also asymmetric."""
    k = draw(st.tuples(*[st.integers(1, 4)] * 2))
    s = draw(st.tuples(*[st.integers(1, 5)] * 2))
    d = draw(st.tuples(*[st.integers(1, 3)] * 2))
    pads = tuple(draw(st.integers(0, k[i % 2] // 2)) for i in range(4))
    size = [max(d[i] * (k[i] - 1) + 1 - pads[i], 1) + draw(st.integers(0, 40 if i else 9)) for i in range(2)]
    shape = (draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 17])), *size)
    return shape, k, s, pads, d, draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(geometries(), st.booleans(), st.integers(0, 2**32 - 1))
def test_drawn_geometry(geometry, last, seed):
    shape, k, s, pads, d, ceil_mode = geometry
    x = np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)
    x = nhwc(x) if last else x
    pairs = ((pads[0], pads[2]), (pads[1], pads[3]))
    windows = [ref.axis_windows(shape[2 + i], k[i], s[i], pairs[i], d[i], ceil_mode) for i in range(2)]
    a = _C.from_numpy(x)
    if all(inside for axis in windows for inside, _ in axis):
        want, index = ref._max(x, 2, windows, True)
        y, saved = _C.max_pool(a, k, s, pads, d, ceil_mode, "indices")
        np.testing.assert_array_equal(y.numpy(), want)
        np.testing.assert_array_equal(saved.numpy(), index)
        # Both forms of what is kept give the same gradient (small integers: the sums are exact in any order).
        dy = np.random.default_rng(seed).integers(-9, 10, want.shape).astype(np.float32)
        exact = ref.max_pool_backward(dy, index, shape, 2)
        for form in ("offsets", "indices"):
            saved = _C.max_pool(a, k, s, pads, d, ceil_mode, form)[1]
            dx = _C.max_pool_backward(_C.from_numpy(dy), saved, shape, k, s, pads, d, ceil_mode, last)
            np.testing.assert_array_equal(dx.numpy(), exact)
    windows = [ref.axis_windows(shape[2 + i], k[i], s[i], pairs[i], 1, ceil_mode) for i in range(2)]
    if not all(inside for axis in windows for inside, _ in axis):
        return
    for include in (True, False):
        y = _C.avg_pool(a, k, s, pads, ceil_mode, include).numpy()
        np.testing.assert_allclose(y, ref._avg(x, 2, windows, include, None), rtol=1e-5, atol=1e-5)
        dy = np.random.default_rng(seed).standard_normal(y.shape).astype(np.float32)
        dx = _C.avg_pool_backward(
            _C.from_numpy(dy), shape, k, s, pads, ceil_mode, include, None, last
        ).numpy()
        np.testing.assert_allclose(
            dx, ref.avg_backward(dy, shape, 2, windows, include, None), rtol=1e-5, atol=1e-5
        )


TORCH = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
    {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True},
]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kwargs", TORCH, ids=str)
def test_torch_agrees(kwargs, last, rng):
    torch = pytest.importorskip("torch")
    x = rng.integers(-2, 3, (2, 5, 11, 13)).astype(np.float32)
    x[0, 0, 3, 4] = x[0, 0, 4, 4] = x[1, 2, 0, 0] = np.nan
    x[0, 1] = -np.inf
    for dilation in (1, 2):
        ours = dlcore.from_numpy(nhwc(x) if last else x)
        ours.requires_grad = True
        theirs = torch.tensor(x, requires_grad=True)
        y, i = F.max_pool2d(ours, **kwargs, dilation=dilation, return_indices=True)
        ty, ti = torch.nn.functional.max_pool2d(theirs, **kwargs, dilation=dilation, return_indices=True)
        np.testing.assert_array_equal(y.detach().numpy(), ty.detach().numpy())
        np.testing.assert_array_equal(i.numpy(), ti.numpy())
        g = rng.integers(-3, 4, y.shape).astype(np.float32)
        y.backward(g)
        ty.backward(torch.tensor(g))
        np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())
    x = rng.standard_normal(x.shape).astype(np.float32)
    for extra in ({}, {"count_include_pad": False}, {"divisor_override": 5}):
        ours = dlcore.from_numpy(nhwc(x) if last else x)
        ours.requires_grad = True
        theirs = torch.tensor(x, requires_grad=True)
        y = F.avg_pool2d(ours, **kwargs, **extra)
        ty = torch.nn.functional.avg_pool2d(theirs, **kwargs, **extra)
        np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-5, atol=1e-6)
        g = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(g)
        ty.backward(torch.tensor(g))
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 4, (3, None), (7, 20), (0, 2)], ids=str)
def test_torch_agrees_on_adaptive_windows(size, rng):
    torch = pytest.importorskip("torch")
    x = rng.integers(-2, 3, (2, 5, 11, 13)).astype(np.float32)
    y, i = F.adaptive_max_pool2d(dlcore.from_numpy(x), size, return_indices=True)
    ty, ti = torch.nn.functional.adaptive_max_pool2d(torch.tensor(x), size, return_indices=True)
    np.testing.assert_array_equal(y.numpy(), ty.numpy())
    np.testing.assert_array_equal(i.numpy(), ti.numpy())
    mean = F.adaptive_avg_pool2d(dlcore.from_numpy(x), size).numpy()
    want = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x), size).numpy()
    np.testing.assert_allclose(mean, want, rtol=1e-5, atol=1e-6)


def test_the_output_and_dx_have_the_format_of_x(rng):
    x = rng.standard_normal((2, 3, 6, 8)).astype(np.float32)
    for a, last in ((x, False), (nhwc(x), True)):
        t = _C.from_numpy(a)
        y, saved = _C.max_pool(t, (2, 2), (2, 2), (0,) * 4, (1, 1), False, "offsets")
        assert _C.is_channels_last(y, 2) is last
        assert saved.dtype == np.uint8
        assert saved.strides == y.strides
        assert _C.is_channels_last(_C.avg_pool(t, (2, 2), (2, 2), (0,) * 4), 2) is last
        leaf = dlcore.tensor(x)
        leaf = dlcore.Tensor(t, requires_grad=True)
        F.max_pool2d(leaf, 2).backward(np.ones((2, 3, 3, 4), np.float32))
        np.testing.assert_array_equal(leaf.grad.numpy() != 0, ref_mask(x))


def ref_mask(x):
    index = ref.max_pool2d(x, 2, return_indices=True)[1]
    return ref.max_pool_backward(np.ones(index.shape), index, x.shape, 2) != 0


def test_windows_too_large_for_byte_offsets_keep_indices(rng):
    x = rng.standard_normal((1, 2, 40, 40)).astype(np.float32)
    saved = _C.max_pool(_C.from_numpy(x), (17, 17), (3, 3), (0,) * 4, (1, 1), False, "offsets")[1]
    assert saved.dtype == np.int64
    leaf = dlcore.tensor(x, requires_grad=True)
    y = F.max_pool2d(leaf, 17, 3)
    y.backward(np.ones(y.shape, np.float32))
    assert leaf.grad.numpy().sum() == y.detach().numpy().size


def test_padding_on_one_side_is_not_counted():
    """Keras' padding='same': what is added at the end alone."""
    x = np.arange(1, 4, dtype=np.float32).reshape(1, 1, 1, 3)
    y = _C.avg_pool(_C.from_numpy(x), (1, 2), (1, 2), (0, 0, 0, 1), False, False).numpy()
    assert y.tolist() == [[[[1.5, 3.0]]]]
    y = _C.max_pool(_C.from_numpy(-x), (1, 2), (1, 2), (0, 0, 0, 1), (1, 1))[0].numpy()
    assert y.tolist() == [[[[-1.0, -3.0]]]]


def test_indices_of_dilated_windows_beside_the_input_harm_nothing():
    """A dilated window can step over the whole input: -inf there, and no gradient."""
    leaf = dlcore.tensor(np.ones((1, 1, 2, 2), np.float32), requires_grad=True)
    y = F.max_pool2d(leaf, 2, 1, 1, 3)
    assert y.detach().numpy().tolist() == [[[[-np.inf]]]]
    y.backward(np.ones((1, 1, 1, 1), np.float32))
    assert not leaf.grad.numpy().any()
