"""Activations beside torch: every functional one and its module, in-place forms, drawn ones by their law."""

import numpy as np
import pytest

import dlcore
from dlcore import functional as F
from dlcore import nn
from tests import oracle

pytestmark = pytest.mark.filterwarnings("ignore:.*[Ii]mplicit d:UserWarning")

SHAPES = [(3, 7), (), (0,), (2, 3, 4), (17,), (2, 0, 3), (1, 2, 3, 4)]

# name -> drawn keyword arguments (the first are the defaults)
FUNCTIONS = {
    "relu": {},
    "relu6": {},
    "leaky_relu": {"negative_slope": [0.01, 0.3, 0.0, -0.5]},
    "elu": {"alpha": [1.0, 0.5, 2.0]},
    "selu": {},
    "celu": {"alpha": [1.0, 0.5, -2.0, 0.0]},
    "gelu": {"approximate": ["none", "tanh", "other"]},
    "silu": {},
    "mish": {},
    "softplus": {"beta": [1.0, 2.0, 0.5], "threshold": [20.0, 1.0]},
    "softsign": {},
    "hardtanh": {"min_val": [-1.0, -0.5, 2.0], "max_val": [1.0, 0.7]},
    "hardswish": {},
    "hardsigmoid": {},
    "tanh": {},
    "sigmoid": {},
    "logsigmoid": {},
    "tanhshrink": {},
    "hardshrink": {"lambd": [0.5, 0.0, 1.5, -1.0]},
    "softshrink": {"lambd": [0.5, 0.0, 1.5, -1.0]},
    "threshold": {"threshold": [0.1, -1.0], "value": [0.0, 20.0]},
    "rrelu": {"lower": [1 / 8, 0.3], "upper": [1 / 3, 0.9]},
    "glu": {"dim": [-1, 0, 1, 5]},
    "softmax": {"dim": [-1, 0, 1, 3], "dtype": [None, np.float64]},
    "log_softmax": {"dim": [-1, 0, 1, 3], "dtype": [None, np.float64]},
    "softmin": {"dim": [-1, 0, 1, 3]},
}
MODULES = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU", "celu": "CELU",
    "gelu": "GELU", "silu": "SiLU", "mish": "Mish", "softplus": "Softplus", "softsign": "Softsign",
    "hardtanh": "Hardtanh", "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "logsigmoid": "LogSigmoid", "tanhshrink": "Tanhshrink",
    "hardshrink": "Hardshrink", "softshrink": "Softshrink", "threshold": "Threshold", "rrelu": "RReLU",
    "glu": "GLU", "softmax": "Softmax", "log_softmax": "LogSoftmax", "softmin": "Softmin",
}  # fmt: skip


def draws():
    out = []
    for name, arguments in FUNCTIONS.items():
        count = 8 if arguments else 4
        choices = {"dtype": [np.float64, np.float32], **arguments}
        for p in oracle.space(name, count, shape=SHAPES, **choices):
            out.append(pytest.param(name, p.values[0], id=f"{name}-{p.id}"))
    return out


@pytest.mark.parametrize(("name", "a"), draws())
def test_function_and_module(name, a, rng):
    torch = oracle.torch()
    a = dict(a)
    dtype = a.pop("dtype") if FUNCTIONS[name].get("dtype") is None else np.float64
    shape = a.pop("shape")
    if name == "glu" and len(shape) > 1:
        shape = (*shape[:-1], 2 * shape[-1])
    x = np.asarray(rng.standard_normal(shape) * 2)
    # torch's hardsigmoid divides by 6 in float32.
    rtol = 1e-8 if name == "hardsigmoid" and dtype is np.float64 else None
    names = {np.float64: torch.float64}
    theirs = {k: names.get(v, v) for k, v in a.items()}
    oracle.both(
        lambda x: getattr(F, name)(x, **a),
        lambda x: getattr(torch.nn.functional, name)(x, **theirs),
        x,
        dtype=dtype,
        rtol=rtol,
    )
    if name in ("softmax", "log_softmax"):
        a.pop("dtype")
    cls = MODULES[name]
    try:
        theirs = getattr(torch.nn, cls)(**a)
    except (ValueError, AssertionError):
        with pytest.raises(ValueError, match=cls):
            getattr(nn, cls)(**a)
        return
    ours = getattr(nn, cls)(**a)
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours.eval(), theirs.eval(), x, dtype=dtype, rtol=rtol)


@pytest.mark.parametrize(
    "name", [n for n in FUNCTIONS if n not in ("glu", "softmax", "log_softmax", "softmin")]
)
def test_limits_and_nan(name):
    torch = oracle.torch()
    if name == "gelu":
        pytest.skip("gelu(-inf) is NaN in torch, as 0 times infinity is here")
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30, 88.0, -88.0, 3.0, -3.0])
    args = {"threshold": (0.1, 2.0)}.get(name, ())
    for dtype in (np.float32, np.float64):
        with np.errstate(all="ignore"):
            got = getattr(F, name)(dlcore.tensor(x.astype(dtype)), *args).numpy()
        want = getattr(torch.nn.functional, name)(torch.tensor(x.astype(dtype)), *args).numpy()
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-37, err_msg=name)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("relu_", ()),
        ("leaky_relu_", (0.3,)),
        ("leaky_relu_", ()),
        ("elu_", (0.7,)),
        ("elu_", ()),
        ("selu_", ()),
        ("celu_", (0.5,)),
        ("celu_", ()),
        ("hardtanh_", (-0.5, 0.4)),
        ("hardtanh_", ()),
        ("threshold_", (0.1, 3.0)),
        ("rrelu_", (0.1, 0.3, False)),
    ],
)
def test_in_place(name, args, rng):
    torch = oracle.torch()
    x = rng.standard_normal((4, 5))

    def run(f):
        def call(x):
            y = x * 1.0
            assert f(y, *args) is y
            return y * y

        return call

    oracle.both(run(getattr(F, name)), run(getattr(torch.nn.functional, name)), x)
    plain = dlcore.tensor(x)
    memory = plain.numpy()
    getattr(F, name)(plain, *args)
    assert plain.numpy().ctypes.data == memory.ctypes.data
    with pytest.raises(RuntimeError):
        getattr(F, name)(dlcore.tensor(x, requires_grad=True), *args)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "prelu",
        24,
        shape=[(3, 4), (3, 4, 5), (7,), (), (0, 4), (2, 1, 3)],
        weight=[(1,), (4,), (), (3,), (1, 4), (5,)],
        dtype=[np.float64, np.float32],
    ),
)
def test_prelu(a, rng):
    torch = oracle.torch()
    x, w = np.asarray(rng.standard_normal(a["shape"])), np.asarray(rng.standard_normal(a["weight"]))
    oracle.both(F.prelu, torch.nn.functional.prelu, x, w, dtype=a["dtype"])


def test_prelu_module(rng):
    torch = oracle.torch()
    for args in [(), (4,), (4, 0.5)]:
        ours, theirs = nn.PReLU(*args), torch.nn.PReLU(*args)
        assert repr(ours) == repr(theirs)
        oracle.both_modules(ours, theirs, rng.standard_normal((3, 4, 5)))


def test_softmax2d(rng):
    torch = oracle.torch()
    for shape in [(2, 3, 4, 5), (3, 4, 5), (3, 4), (1, 1, 2, 3, 4)]:
        oracle.both_modules(nn.Softmax2d(), torch.nn.Softmax2d(), rng.standard_normal(shape))


def test_implicit_axis_of_softmax(rng):
    torch = oracle.torch()
    for shape in [(3,), (3, 4), (2, 3, 4), (2, 3, 4, 5)]:
        for name in ("softmax", "log_softmax", "softmin"):
            with pytest.warns(UserWarning):
                oracle.both(getattr(F, name), getattr(torch.nn.functional, name), rng.standard_normal(shape))


def test_rrelu_draws_slopes(rng):
    x = dlcore.tensor(rng.standard_normal((200, 300)), requires_grad=True)
    y = F.rrelu(x, 0.1, 0.4, training=True, rng=0)
    a, b = x.detach().numpy(), y.detach().numpy()
    slope = b / a
    assert (slope[a > 0] == 1).all()
    low = slope[a <= 0]
    assert low.min() >= 0.1 and low.max() <= 0.4 and abs(low.mean() - 0.25) < 5e-3
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-12)
    again = F.rrelu(x, 0.1, 0.4, training=True, rng=0)
    np.testing.assert_array_equal(again.detach().numpy(), b)
    m = nn.RReLU(0.1, 0.4)
    assert not np.array_equal(m(x).detach().numpy(), m(x).detach().numpy())
    with pytest.raises(ValueError, match="lower must not be above upper"):
        F.rrelu(x, 0.5, 0.4)


@pytest.mark.parametrize("dim", [-1, 0])
def test_gumbel_softmax(dim, rng):
    logits = np.log(np.array([0.2, 0.5, 0.3]))
    wide = np.broadcast_to(logits, (20000, 3)) if dim == -1 else np.broadcast_to(logits[:, None], (3, 20000))
    x = dlcore.tensor(wide, requires_grad=True)
    hard = F.gumbel_softmax(x, tau=0.7, hard=True, dim=dim, rng=1)
    soft = F.gumbel_softmax(x, tau=0.7, dim=dim, rng=1)
    h, s = hard.detach().numpy(), soft.detach().numpy()
    np.testing.assert_array_equal(h.sum(dim), 1)
    np.testing.assert_array_equal(h.argmax(dim), s.argmax(dim))
    np.testing.assert_allclose(h.mean(1 + dim), np.exp(logits), atol=0.015)  # the Gumbel-max trick
    seed = dlcore.tensor(rng.standard_normal(wide.shape))
    grads = []
    for y in (hard, soft):
        x.grad = None
        (y * seed).sum().backward()
        grads.append(x.grad.numpy())
    np.testing.assert_array_equal(*grads)
    with pytest.warns(UserWarning, match="eps is deprecated"):
        F.gumbel_softmax(x, eps=1e-3)


def test_alpha_dropouts_keep_mean_and_variance(rng):
    x = dlcore.tensor(rng.standard_normal((300, 400, 2)))
    for f, whole in [(F.alpha_dropout, False), (F.feature_alpha_dropout, True)]:
        y = f(x, 0.3, training=True, rng=0).numpy()
        assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
        a = (0.7 * (1 + 0.3 * 1.7580993408473766**2)) ** -0.5
        dropped = np.isclose(y, -a * 1.7580993408473766 * 0.7, rtol=1e-12, atol=0)
        assert abs(dropped.mean() - 0.3) < 0.02
        assert (dropped.all(-1) | ~dropped.any(-1)).all() == whole
        assert f(x, 0.3) is x
        z = x.clone()
        assert f(z, 0.3, True, True, rng=0) is z
        np.testing.assert_array_equal(z.numpy(), y)
        for p in (-0.1, 1.1):
            with pytest.raises(ValueError, match="must be a probability"):
                f(x, p)
    torch = oracle.torch()
    assert repr(nn.FeatureAlphaDropout(0.2)) == repr(torch.nn.FeatureAlphaDropout(0.2))
    assert nn.FeatureAlphaDropout().eval()(x) is x
    with pytest.raises(ValueError, match="feature_alpha_dropout: x must be"):
        F.feature_alpha_dropout(x[0, 0], 0.5, True)
