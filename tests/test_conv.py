"""Convolution against torch in both memory formats, and its geometry against the twin."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dlcore
from dlcore import _C
from dlcore import functional as F
from tests.cases.conv import LARGE, SMALL, WINOGRAD, WINOGRAD_ERROR, draw, keras_weight, last
from tests.reference import conv as ref


def is_channels_last(x):
    return np.moveaxis(x, -3, -1).flags.c_contiguous


@pytest.mark.parametrize(
    "name", [n for n, s in SMALL.items() if not isinstance(s[3], tuple) or np.ndim(s[3]) == 1]
)
@pytest.mark.parametrize("format", ["nchw", "channels-last"])
@pytest.mark.parametrize("act", ["", "relu"])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_conv2d_agrees_with_torch(name, format, act, rng):
    torch = pytest.importorskip("torch")
    x, w, b, (stride, padding, dilation, groups) = draw(rng, SMALL[name])
    if format == "channels-last":
        x, w = last(x), keras_weight(w)
    ours = [dlcore.tensor(a, requires_grad=True) for a in (x, w, b)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    y = F.conv2d(*ours, stride, padding, dilation, groups, act)
    t = torch.nn.functional.conv2d(*theirs, stride, padding, dilation, groups)
    t = t.relu() if act else t
    assert y.shape == tuple(t.shape)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-12, atol=1e-12)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    t.backward(torch.tensor(g))
    for a, c in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), c.grad.numpy(), rtol=1e-11, atol=1e-11)


@st.composite
def geometries(draw):
    """(x shape, weight shape, stride, padding, dilation, groups) that conv2d accepts, however odd."""
    kernel = [draw(st.integers(1, 5)) for _ in range(2)]
    stride = tuple(draw(st.integers(1, 4)) for _ in range(2))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(2))
    padding = tuple((draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(2))
    size = [draw(st.integers(1, 20)) for _ in range(2)]
    for s, p, k, d in zip(size, padding, kernel, dilation):
        assume(s + sum(p) > d * (k - 1))
    groups = draw(st.integers(1, 4))
    ci, co = draw(st.sampled_from([1, 2, 5, 9])), draw(st.sampled_from([1, 3, 8, 17]))
    n = draw(st.integers(0, 3))
    return (n, groups * ci, *size), (groups * co, ci, *kernel), stride, padding, dilation, groups


@pytest.mark.parametrize("isa", _C.available_isas())
@settings(deadline=None, max_examples=60)
@given(geometry=geometries(), seed=st.integers(0, 2**32 - 1), format=st.booleans(), threads=st.integers(1, 3))
def test_any_geometry(isa, geometry, seed, format, threads):
    before = _C.current_isa(), _C.num_threads()
    try:
        _C.set_isa(isa)
        _C.set_num_threads(threads)
        x, w, b, rest = draw(np.random.default_rng(seed), geometry)
        if format:
            x, w = last(x), keras_weight(w)
        y = dlcore.kernels.conv2d(x, w, b, *rest)
        np.testing.assert_allclose(y, ref.conv(x, w, b, *rest), rtol=1e-10, atol=1e-11)
        dy = np.random.default_rng(seed + 1).standard_normal(y.shape)
        got = dlcore.kernels.conv2d_backward(dy, x, w, *rest)
        for a, e in zip(got, ref.conv_backward(dy, x, w, *rest)):
            np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-10)
    finally:
        _C.set_isa(before[0])
        _C.set_num_threads(before[1])


def test_memory_format_follows_the_input(rng):
    x, w, b, _ = draw(rng, LARGE["second layer"])
    for image, weight in itertools.product((x, last(x)), (w, keras_weight(w))):
        y = dlcore.kernels.conv2d(image, weight, b)
        assert is_channels_last(y) == is_channels_last(image)
        assert y.flags.c_contiguous == image.flags.c_contiguous
        dx, dw, _ = dlcore.kernels.conv2d_backward(y, image, weight)
        assert dx.strides == image.strides
        assert dw.strides == weight.strides
    one = last(rng.standard_normal((2, 1, 5, 4)))  # a single channel: the strides decide
    assert is_channels_last(dlcore.kernels.conv2d(one, w[:, :1], b))
    assert dlcore.kernels.conv2d(one.copy(), w[:, :1], b).flags.c_contiguous
    pixel = rng.standard_normal((2, 1, 1, 32)).transpose(0, 3, 1, 2)  # a single pixel: the same
    assert is_channels_last(dlcore.kernels.conv2d(pixel, w, b, padding=1))


def test_only_the_gradients_asked_for(rng):
    x, w, b, _ = draw(rng, SMALL["plain"])
    dy = rng.standard_normal(dlcore.kernels.conv2d(x, w, b).shape)
    everything = dlcore.kernels.conv2d_backward(dy, x, w)
    for needs in itertools.product((False, True), repeat=3):
        for got, want, need in zip(dlcore.kernels.conv2d_backward(dy, x, w, needs=needs), everything, needs):
            assert (got is not None) == need
            if need:
                np.testing.assert_array_equal(got, want)


def test_empty_batch_has_zero_weight_gradients():
    x, w, b = np.zeros((0, 2, 5, 5)), np.ones((3, 2, 3, 3)), np.ones(3)
    y = dlcore.kernels.conv2d(x, w, b)
    assert y.shape == (0, 3, 3, 3)
    dx, dw, db = dlcore.kernels.conv2d_backward(y, x, w)
    assert dx.shape == x.shape and not dw.any() and not db.any()


def test_nan_and_infinity_propagate(rng):
    dlcore.config.set_winograd(False)
    x, w, _, _ = draw(rng, LARGE["3x3"])
    x[0, 3, 10, 10] = np.nan
    x[1, 5, 20, 20] = np.inf
    y = dlcore.kernels.conv2d(x.astype(np.float32), w.astype(np.float32), None, 1, 1, 1, 1, "relu")
    assert np.isnan(y[0, :, 9:12, 9:12]).all()
    assert np.isnan(y).sum() == 9 * w.shape[0]
    assert np.isinf(y[1, :, 19:22, 19:22]).any()


def test_a_kernel_as_large_as_the_image_is_a_matrix_product(rng):
    x, w = rng.standard_normal((64, 16, 5, 5)), rng.standard_normal((120, 16, 5, 5))
    y = dlcore.kernels.conv2d(last(x), w)
    np.testing.assert_allclose(
        y[:, :, 0, 0], x.reshape(64, -1) @ w.reshape(120, -1).T, rtol=1e-12, atol=1e-11
    )


def test_gradient_of_a_frozen_weight_is_not_computed(rng):
    x, w, b, _ = draw(rng, SMALL["plain"])
    x, w, b = dlcore.tensor(x, requires_grad=True), dlcore.tensor(w), dlcore.tensor(b)
    y = F.conv2d(x, w, b, activation="relu")
    y.backward(np.ones(y.shape))
    assert x.grad is not None and w.grad is None and b.grad is None


@pytest.mark.parametrize("name", WINOGRAD)
def test_winograd_is_taken_and_can_be_turned_off(name, rng):
    """Other bits than the direct form's where it is taken; turned off, and in float64, the direct form's."""
    x, w, b, rest = draw(rng, WINOGRAD[name])
    x, w, b = (a.astype(np.float32) for a in (x, w, b))
    f = dlcore.kernels.conv2d
    dlcore.config.set_winograd(False)
    assert not dlcore.config.winograd()
    direct = f(x, w, b, *rest)
    exact = f(*(a.astype(np.float64) for a in (x, w, b)), *rest)
    dlcore.config.set_winograd(True)
    fast = f(x, w, b, *rest)
    assert fast.tobytes() != direct.tobytes()
    assert np.abs(fast - exact).max() <= WINOGRAD_ERROR * np.abs(exact).max()
    assert f(*(a.astype(np.float64) for a in (x, w, b)), *rest).tobytes() == exact.tobytes()


def test_winograd_switch():
    with pytest.raises(TypeError, match="enabled must be a bool"):
        dlcore.config.set_winograd("no")
    code = "import dlcore; print(dlcore.config.winograd(), dlcore.config.info()['winograd'])"
    env = {**os.environ, "DLCORE_WINOGRAD": "0"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_winograd_keeps_infinities_and_nans_local(rng):
    """A pixel that is not finite spoils the tiles that read it, never those of other places or images."""
    x = rng.standard_normal((2, 32, 40, 40), dtype=np.float32)
    w = rng.standard_normal((32, 32, 3, 3), dtype=np.float32)
    x[0, 3, 20, 20] = np.nan
    x[1, 0, 0, 0] = np.inf
    y = dlcore.kernels.conv2d(x, w, padding=1)
    bad = ~np.isfinite(y)
    assert bad[0, :, 19:22, 19:22].all() and bad[1, :, :2, :2].all()
    assert not bad[0, :, :16].any() and not bad[0, :, 24:].any()
    assert not bad[1, :, 4:].any() and not bad[1, :, :, 4:].any()
