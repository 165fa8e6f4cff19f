"""pad beside torch's, forward and backward, in every mode."""

import numpy as np
import pytest

import dlcore
import dlcore.nn.functional as F
from dlcore import nn

CASES = [
    ((5,), (1, 2), "constant", None),
    ((2, 3), (1, 0, 0, 2), "constant", 1.5),
    ((2, 3, 4), (-1, 2, 3, -2), "constant", float("-inf")),
    ((2, 3, 4), (-1, -1), "constant", 0),
    ((2, 0, 4), (1, 1, 2, 2), "constant", 3.0),
    ((2, 3), (), "constant", None),
    ((2, 5), (4, 3), "reflect", None),
    ((2, 3, 4, 5), (1, 2, 3, 0), "reflect", None),
    ((2, 3, 5), (4, 7), "replicate", None),
    ((3, 4, 5), (1, 2, 3, 0), "replicate", None),
    ((2, 3, 5), (5, 3), "circular", None),
    ((2, 3, 4, 5), (1, 2, 3, 0), "circular", None),
]


@pytest.mark.parametrize("shape, pad, mode, value", CASES)
def test_pad_matches_torch(shape, pad, mode, value, rng):
    torch = pytest.importorskip("torch")
    a = rng.standard_normal(shape)
    x, t = dlcore.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y, z = F.pad(x, pad, mode=mode, value=value), torch.nn.functional.pad(t, pad, mode=mode, value=value)
    np.testing.assert_array_equal(y.detach().numpy(), z.detach().numpy())
    g = rng.standard_normal(z.shape)
    y.backward(dlcore.tensor(g))
    z.backward(torch.from_numpy(g))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), 1e-12)


def test_pad_of_integers():
    assert F.pad(dlcore.tensor([[1, 2]]), (0, 1), value=7).tolist() == [[1, 2, 7]]
    assert F.pad(dlcore.tensor([[True]]), (1, 0)).tolist() == [[False, True]]


@pytest.mark.parametrize(
    "shape, pad, kwargs",
    [
        ((3,), (1,), {}),
        ((3,), (1, 1, 1, 1), {}),
        ((3,), (-2, -2), {}),
        ((1, 3), (3, 0), {"mode": "reflect"}),
        ((1, 3), (4, 0), {"mode": "circular"}),
        ((3,), (1, 1), {"mode": "reflect"}),
        ((1, 3), (1, 1), {"mode": "mirror"}),
        ((1, 3), (1, 1), {"mode": "reflect", "value": 1.0}),
    ],
)
def test_pad_errors(shape, pad, kwargs):
    with pytest.raises(ValueError, match=r"^pad: "):
        F.pad(dlcore.tensor(np.zeros(shape, np.float32)), pad, **kwargs)
    with pytest.raises(TypeError):
        F.pad(dlcore.tensor([1.0]), (1.0, 1.0))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [2, (1, 2), "same", "valid"])
def test_convolution_padding_modes_match_torch(mode, padding, rng):
    torch = pytest.importorskip("torch")
    arguments = {"padding": padding, "padding_mode": mode}
    ours, theirs = (
        nn.Conv2d(2, 3, (3, 5), **arguments).double(),
        torch.nn.Conv2d(2, 3, (3, 5), **arguments).double(),
    )
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal((2, 2, 7, 8))
    y, z = ours(dlcore.tensor(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), 1e-9, 1e-12)
