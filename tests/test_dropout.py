"""Dropout and the generator under it."""

import numpy as np
import pytest

import dlcore
from dlcore import _C
from dlcore import functional as F
from tests.reference import dropout as ref

# kat_vectors of Random123 (Salmon et al.): counter, key, result of philox4x32-10.
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "want"), KNOWN)
def test_philox_known_answers(counter, key, want):
    assert ref.philox4x32(counter, key).tolist() == want
    for isa in _C.available_isas():
        _C.set_isa(isa)
        words = _C.philox_bits(
            64, key[0] | key[1] << 32, counter[2] | counter[3] << 32, counter[0] | counter[1] << 32
        )
        assert words.numpy().view(np.uint32)[::16].tolist() == want


def test_same_mask_on_every_isa_and_thread_count():
    x = np.ones((37, 1001), np.float32)
    masks = set()
    for isa in _C.available_isas():
        for threads in (1, 2, 5):
            _C.set_isa(isa)
            _C.set_num_threads(threads)
            masks.add(F.dropout(dlcore.tensor(x), 0.3, rng=5).numpy().tobytes())
    assert len(masks) == 1


def test_backward_uses_the_mask_of_forward(rng):
    a = rng.standard_normal((13, 77))
    x = dlcore.tensor(a, requires_grad=True)
    y = F.dropout(x, 0.4)
    g = rng.standard_normal(a.shape)
    y.backward(g)
    mask = y.detach().numpy() / a
    np.testing.assert_allclose(x.grad.numpy(), g * mask)
    assert set(np.round(np.unique(mask), 12)) <= {0.0, round(1 / 0.6, 12)}


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_statistics(p):
    y = F.dropout(dlcore.tensor(np.ones(200_000, np.float32)), p, rng=1).numpy()
    assert abs((y == 0).mean() - p) < 0.005
    assert abs(y.mean() - 1) < 0.02
    # Neighbours, and elements that share a counter or a word's place, are independent.
    m = (y == 0) - p
    for lag in (1, 16, 64, 8192):
        assert abs((m[lag:] * m[:-lag]).mean()) < 0.005


def test_uniform_statistics():
    for dtype in (np.float32, np.float64):
        u = dlcore.kernels.philox_uniform((200_000,), dtype, 3)
        assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
        counts = np.bincount((u * 50).astype(int), minlength=50)
        assert ((counts - 4000) ** 2 / 4000).sum() < 100  # chi-square of 49 degrees: 1e-5


def test_seeds():
    x = dlcore.tensor(np.ones(100, np.float32))
    dlcore.manual_seed(3)
    a, b = F.dropout(x).numpy(), F.dropout(x).numpy()
    assert not np.array_equal(a, b)
    dlcore.manual_seed(3)
    assert np.array_equal(F.dropout(x).numpy(), a)
    assert np.array_equal(F.dropout(x, rng=7).numpy(), F.dropout(x, rng=7).numpy())


def test_identity_and_everything_dropped():
    x = dlcore.tensor(np.ones(10, np.float32), requires_grad=True)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    y = F.dropout(x, 1.0)
    assert np.array_equal(y.detach().numpy(), np.zeros(10))
    y.backward(np.ones(10, np.float32))
    assert np.array_equal(x.grad.numpy(), np.zeros(10))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_bad_probability(p):
    for f in (F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout):
        with pytest.raises(ValueError, match="p must be a probability between 0 and 1"):
            f(dlcore.tensor(np.ones((2, 3, 4), np.float32)), p)


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (F.dropout1d, (9, 11, 5)),
        (F.dropout1d, (99, 5)),
        (F.dropout2d, (9, 11, 3, 4)),
        (F.dropout2d, (99, 3, 4)),
        (F.dropout3d, (9, 11, 2, 3, 2)),
        (F.feature_dropout, (9, 11, 7)),
    ],
)
def test_whole_channels(f, shape, rng):
    x = dlcore.tensor(np.ones(shape), requires_grad=True)
    y = f(x, 0.5, True)
    channels = y.detach().numpy().reshape(99, -1)
    assert (channels == channels[:, :1]).all()
    assert set(np.unique(channels)) == {0.0, 2.0}
    y.backward(np.ones(shape))
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())


def test_wrong_rank():
    with pytest.raises(ValueError, match="dropout2d: x must have 3 or 4 dimensions"):
        F.dropout2d(dlcore.tensor(np.ones((2, 3), np.float32)), 0.5)


def test_alpha_dropout_keeps_mean_and_variance(rng):
    x = dlcore.tensor(rng.standard_normal(200_000))
    y = F.alpha_dropout(x, 0.3, True, rng=1).numpy()
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
    assert F.alpha_dropout(x, 0.3) is x
