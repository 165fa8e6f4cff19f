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
    """Labels are checked once; backward must not read or write out of bounds if their memory has changed
    since."""
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


# ---- elementwise losses
# -----------------------------------------------------------------------------------------------


def three(rng, shape=(4, 5)):
    return rng.standard_normal(shape), rng.standard_normal(shape)


def probabilities(rng, shape=(4, 5)):
    return rng.random(shape), rng.random(shape)


def logs(rng, shape=(4, 5)):
    return np.log(rng.random(shape)), rng.random(shape)


def signs(rng, shape=(4, 5)):
    return rng.standard_normal(shape), np.sign(rng.standard_normal(shape))


ELEMENTWISE = [
    ("mse_loss", three, {}),
    ("l1_loss", three, {}),
    ("smooth_l1_loss", three, {}),
    ("smooth_l1_loss", three, {"beta": 0.3}),
    ("smooth_l1_loss", three, {"beta": 0.0}),
    ("huber_loss", three, {}),
    ("huber_loss", three, {"delta": 0.4}),
    ("binary_cross_entropy", probabilities, {}),
    ("binary_cross_entropy_with_logits", probabilities, {}),
    ("kl_div", logs, {}),
    ("kl_div", logs, {"reduction": "batchmean"}),
    ("kl_div", lambda rng: (logs(rng)[0], logs(rng)[0]), {"log_target": True}),
    ("poisson_nll_loss", lambda rng: (rng.random((4, 5)), rng.random((4, 5)) * 4), {}),
    (
        "poisson_nll_loss",
        lambda rng: (rng.random((4, 5)), rng.random((4, 5)) * 4),
        {"log_input": False, "full": True},
    ),
    ("hinge_embedding_loss", signs, {}),
    ("soft_margin_loss", signs, {}),
]


@pytest.mark.parametrize(("name", "data", "options"), ELEMENTWISE)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # torch, of the mean of kl_div
def test_elementwise_losses_as_torch(name, data, options, rng):
    a, b = data(rng)
    both_ways = name not in ("hinge_embedding_loss", "soft_margin_loss", "poisson_nll_loss")
    for reduction in ("mean", "sum", "none"):
        kwargs = {"reduction": reduction, **options}
        x, t = dlcore.tensor(a, requires_grad=True), dlcore.tensor(b, requires_grad=both_ways)
        u, v = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=both_ways)
        y, w = getattr(F, name)(x, t, **kwargs), getattr(torch.nn.functional, name)(u, v, **kwargs)
        close(y, w)
        g = np.asarray(rng.standard_normal(y.shape))
        y.backward(g)
        w.backward(torch.tensor(g))
        close(x.grad, u.grad)
        if both_ways:
            close(t.grad, v.grad)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary_cross_entropy_weights_and_ends(name, rng):
    a = np.array([[0.0, 1.0, 0.0, 1.0, 0.5]] * 2)
    b = np.array([[0.0, 1.0, 1.0, 0.0, 0.3]] * 2)
    weight, pos = rng.random((2, 5)), rng.random(5)
    options = {"weight": weight}
    if name.endswith("logits"):
        options["pos_weight"] = pos
        a = (a - 0.5) * 400
    x, u = dlcore.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y = getattr(F, name)(x, dlcore.tensor(b), **{k: dlcore.tensor(v) for k, v in options.items()})
    w = getattr(torch.nn.functional, name)(
        u, torch.tensor(b), **{k: torch.tensor(v) for k, v in options.items()}
    )
    close(y, w)
    y.backward()
    w.backward()
    close(x.grad, u.grad, rtol=1e-8)  # torch holds its 1e-12 in float32


def test_losses_of_several_inputs_as_torch(rng):
    a, b, c = rng.standard_normal((3, 6, 5))
    sign = np.array([1.0, -1, 1, -1, 1, -1])
    var = rng.random((6, 5))
    calls = [
        lambda f, m: f.margin_ranking_loss(m(a[:, 0]), m(b[:, 0]), m(sign, False), margin=0.3),
        lambda f, m: f.cosine_embedding_loss(m(a), m(b), m(sign, False), margin=0.1),
        lambda f, m: f.triplet_margin_loss(m(a), m(b), m(c), margin=0.7),
        lambda f, m: f.triplet_margin_loss(m(a), m(b), m(c), p=1, swap=True, reduction="none"),
        lambda f, m: f.gaussian_nll_loss(m(a), m(b), m(var), full=True),
        lambda f, m: f.gaussian_nll_loss(m(a), m(b), m(var[:, 0] * 0), reduction="sum"),
    ]
    for call in calls:
        ours, theirs = [], []

        def mine(v, grad=True, kept=ours):
            kept.append(dlcore.tensor(v, requires_grad=grad))
            return kept[-1]

        def other(v, grad=True, kept=theirs):
            kept.append(torch.tensor(v, requires_grad=grad))
            return kept[-1]

        y, w = call(F, mine), call(torch.nn.functional, other)
        close(y, w)
        y.backward(np.ones(y.shape))
        w.backward(torch.ones(w.shape, dtype=torch.float64))
        for t, u in zip(ours, theirs):
            if u.requires_grad:
                close(t.grad, u.grad)


def test_soft_targets_that_need_a_gradient(rng):
    a, q, weight = rng.standard_normal((4, 5)), rng.random((4, 5)), rng.random(5)
    for reduction in ("mean", "sum", "none"):
        x, t = both(a)
        p, u = both(q)
        kwargs = {"reduction": reduction, "label_smoothing": 0.2}
        y = F.cross_entropy(x, p, dlcore.tensor(weight), **kwargs)
        w = torch.nn.functional.cross_entropy(t, u, torch.tensor(weight), **kwargs)
        close(y, w)
        y.backward(np.ones(y.shape))
        w.backward(torch.ones(w.shape, dtype=torch.float64))
        close(x.grad, t.grad)
        close(p.grad, u.grad)


def test_probabilities_that_no_softmax_made(rng):
    p = rng.random((6, 4)) + 0.1
    p[0] = [0, 1, 0, 0]
    labels = np.array([0, 1, 2, 3, 0, 1])
    want = np.clip(p / p.sum(-1, keepdims=True), 1e-7, 1 - 1e-7)
    for target in (labels, np.eye(4)[labels]):
        x = dlcore.tensor(p, requires_grad=True)
        y = F.cross_entropy_from_probabilities(x, dlcore.tensor(target))
        np.testing.assert_allclose(y.detach().numpy(), -np.log(want[np.arange(6), labels]))
        y.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()


BAD = [
    (lambda x: F.mse_loss(x, x, reduction="average"), ValueError, "reduction must be one of none, mean, sum"),
    (lambda x: F.smooth_l1_loss(x, x, beta=-1), ValueError, "beta must not be negative"),
    (lambda x: F.huber_loss(x, x, delta=0), ValueError, "delta must be positive"),
    (lambda x: F.binary_cross_entropy(x, x[0]), ValueError, "target must have the shape of the input"),
    (lambda x: F.binary_cross_entropy(x + 1, x), RuntimeError, "between 0 and 1"),
    (
        lambda x: F.binary_cross_entropy_with_logits(x, x[0]),
        ValueError,
        "target must have the shape of the input",
    ),
    (lambda x: F.gaussian_nll_loss(x, x, -x), ValueError, "var has negative entry/entries"),
    (lambda x: F.gaussian_nll_loss(x, x, x[:, :2]), ValueError, "var is of incorrect size"),
    (lambda x: F.triplet_margin_loss(x, x, x, margin=0), ValueError, "margin must be positive"),
    (lambda x: F.cosine_embedding_loss(x, x, x), ValueError, r"inputs must be \(N, D\) and target \(N,\)"),
    (lambda x: F.margin_ranking_loss(x, x, x[0]), ValueError, "as many dimensions"),
    (lambda x: F.cross_entropy_from_probabilities(x, x[0]), ValueError, "target must have shape"),
]


@pytest.mark.parametrize(("call", "exception", "match"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_bad_arguments(call, exception, match):
    with pytest.raises(exception, match=match):
        call(dlcore.tensor(np.ones((3, 4), np.float32)))


def test_different_shapes_warn():
    with pytest.warns(UserWarning, match="differ in shape"):
        F.mse_loss(dlcore.tensor(np.ones((3, 1))), dlcore.tensor(np.ones(3)))
    with pytest.warns(UserWarning, match="deprecated"):
        F.cross_entropy(dlcore.tensor(np.ones((3, 2))), dlcore.tensor(np.zeros(3, int)), size_average=False)
