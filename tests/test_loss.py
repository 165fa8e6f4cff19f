"""Losses and softmax beside torch, and what torch does not promise: finite losses of huge logits."""

import itertools

import numpy as np
import pytest

import dlcore
from dlcore import functional as F

torch = pytest.importorskip("torch", reason="torch (the oracle) is not installed")


def both(a, grad=True):
    t = torch.tensor(a)
    return dlcore.tensor(a, requires_grad=grad and a.dtype.kind == "f"), t.requires_grad_(
        grad and a.dtype.kind == "f"
    )


def close(y, t, **kwargs):
    np.testing.assert_allclose(
        y.detach().numpy(), t.detach().numpy(), **{"rtol": 1e-10, "atol": 1e-12, **kwargs}
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_as_torch(name, dim, rng):
    a = rng.standard_normal((3, 5, 4))
    x, t = both(a)
    y, u = getattr(F, name)(x, dim), getattr(torch.nn.functional, name)(t, dim)
    close(y, u)
    g = rng.standard_normal(a.shape)
    y.backward(g)
    u.backward(torch.tensor(g))
    close(x.grad, t.grad)


def test_softmax_of_infinities_as_torch():
    a = np.array(
        [[np.inf, 1.0], [-np.inf, 1.0], [-np.inf, -np.inf], [np.nan, 0.0], [1e30, -1e30]], np.float32
    )
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1):
            close(
                getattr(F, name)(dlcore.tensor(a), dim),
                getattr(torch.nn.functional, name)(torch.tensor(a), dim),
            )


def test_softmax_dtype():
    x = dlcore.tensor([[1, 2]])
    assert F.softmax(x, 1, dtype=np.float32).dtype == np.float32
    with pytest.raises(TypeError, match="float32 or float64"):
        F.softmax(x, 1)
    with pytest.warns(UserWarning, match="implicit dim"):
        F.softmax(dlcore.tensor([1.0, 2.0]))


@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 5, 3), (2, 5, 3, 2)])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_cross_entropy_as_torch(shape, kind, rng):
    a = rng.standard_normal(shape)
    axis = 0 if len(shape) == 1 else 1
    if kind == "labels":
        target = np.asarray(rng.integers(0, 5, shape[:axis] + shape[axis + 1 :]), np.int64)
    else:
        target = rng.random(shape)
    weight = rng.random(5)
    for w, reduction, smoothing, ignore in itertools.product(
        (None, weight), ("mean", "sum", "none"), (0.0, 0.3, 1.0), (-100, 2)
    ):
        x, t = both(a)
        kwargs = {"reduction": reduction, "label_smoothing": smoothing}
        if kind == "labels":
            kwargs["ignore_index"] = ignore
        y = F.cross_entropy(x, dlcore.tensor(target), None if w is None else dlcore.tensor(w), **kwargs)
        u = torch.nn.functional.cross_entropy(
            t, torch.tensor(target), None if w is None else torch.tensor(w), **kwargs
        )
        close(y, u)
        g = np.asarray(rng.standard_normal(y.shape))
        y.backward(g)
        u.backward(torch.tensor(g))
        if np.isfinite(u.detach().numpy()).all():
            close(x.grad, t.grad)


@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 5, 3)])
def test_nll_loss_as_torch(shape, rng):
    a = rng.standard_normal(shape)
    axis = 0 if len(shape) == 1 else 1
    target = np.asarray(rng.integers(0, 5, shape[:axis] + shape[axis + 1 :]), np.int64)
    for w, reduction, ignore in itertools.product((None, rng.random(5)), ("mean", "sum", "none"), (-100, 2)):
        x, t = both(a)
        y = F.nll_loss(
            x,
            dlcore.tensor(target),
            None if w is None else dlcore.tensor(w),
            reduction=reduction,
            ignore_index=ignore,
        )
        u = torch.nn.functional.nll_loss(
            t,
            torch.tensor(target),
            None if w is None else torch.tensor(w),
            reduction=reduction,
            ignore_index=ignore,
        )
        close(y, u)
        g = np.asarray(rng.standard_normal(y.shape))
        y.backward(g)
        u.backward(torch.tensor(g))
        close(x.grad, t.grad)


def test_all_labels_ignored_as_torch():
    a, target = np.ones((2, 3)), np.full(2, -100)
    x, _ = both(a)
    y = F.cross_entropy(x, dlcore.tensor(target))
    assert np.isnan(y.item())
    assert F.cross_entropy(x, dlcore.tensor(target), reduction="sum").item() == 0
    assert np.isnan(
        F.cross_entropy(dlcore.tensor(np.ones((0, 3))), dlcore.tensor(np.ones(0, np.int64))).item()
    )


def test_label_changed_after_the_forward_pass_is_ignored():
    """Labels are checked once; backward must not read or write out of bounds if their memory has changed since."""
    target = np.array([0, 1])
    x = dlcore.tensor(np.zeros((2, 3)), requires_grad=True)
    y = F.cross_entropy(x, dlcore.from_numpy(target), reduction="sum")
    target[1] = 10**12
    y.backward(np.ones(()))
    assert np.array_equal(x.grad.numpy()[1], np.zeros(3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("recorded", [True, False])
def test_confident_wrong_prediction_stays_finite(dtype, recorded):
    """Softmax, then crossentropy of its probabilities, as Keras writes it: finite, with finite gradients."""
    big = np.finfo(dtype).max
    logits = np.array([[1e30, 0, 0], [0, 1e30, 0], [-1e30, 1e30, 0], [-big, big, 0], [200, -200, 0]], dtype)
    labels = np.array([1, 1, 0, 0, 1])
    for target in (labels, np.eye(3, dtype=dtype)[labels]):
        x = dlcore.tensor(logits, requires_grad=recorded)
        y = F.cross_entropy_from_probabilities(F.softmax(x, dim=-1), dlcore.tensor(target))
        assert np.isfinite(y.detach().numpy()).all()
        np.testing.assert_allclose(
            y.detach().numpy()[[0, 1, 2, 4]], np.array([1e30, 0, 2e30, 400], dtype), rtol=1e-6
        )
        if recorded:
            y.backward(np.ones(5, dtype))
            want = np.eye(3)[[0, 1, 1, 1, 0]] - np.eye(3)[labels]
            np.testing.assert_allclose(x.grad.numpy(), want, atol=1e-6)


def test_cross_entropy_from_softmax_classes_last(rng):
    a = rng.standard_normal((2, 3, 4, 5))
    t = rng.integers(0, 5, (2, 3, 4))
    x = dlcore.tensor(a, requires_grad=True)
    y = F.cross_entropy_from_probabilities(F.softmax(x, dim=-1), dlcore.tensor(t))
    u = torch.tensor(a).requires_grad_()
    v = torch.nn.functional.cross_entropy(u.permute(0, 3, 1, 2), torch.tensor(t), reduction="none")
    close(y, v)
    y.backward(np.ones(y.shape))
    v.sum().backward()
    close(x.grad, u.grad)
