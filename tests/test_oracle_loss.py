"""Every loss beside torch: reductions, weights, broadcasting, labels that do not count, bad input."""

import numpy as np
import pytest

import dlcore
from dlcore import functional as F
from dlcore import nn
from tests import oracle

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DTYPES = [np.float64, np.float32]
REDUCTION = ["mean", "sum", "none", "other"]
SHAPES = [(3, 4), (5,), (), (0,), (2, 3, 4), (0, 3)]


def functional(name, *args, dtype, fixed=(), rtol=None, **kwargs):
    """`fixed` names arguments (positions or keywords) that torch has no gradient of."""
    torch = oracle.torch()

    def side(f):
        def call(*a, **k):
            named = [*enumerate(a), *k.items()]
            v = {i: x.detach() if i in fixed and hasattr(x, "detach") else x for i, x in named}
            return f(*[v[i] for i in range(len(a))], **{i: v[i] for i in k})

        return call

    ours, theirs = side(getattr(F, name)), side(getattr(torch.nn.functional, name))
    oracle.both(ours, theirs, *args, dtype=dtype, rtol=rtol, **kwargs)


def module(name, *args, dtype, fixed=(), rtol=None, **kwargs):
    """Modules built of the same arguments (weights as arrays), refused alike."""
    torch = oracle.torch()

    def side(lib, tensor):
        made = {k: tensor(v.astype(dtype)) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
        return getattr(lib, name)(**made)

    try:
        theirs = side(torch.nn, torch.tensor)
    except (ValueError, TypeError):
        with pytest.raises((ValueError, TypeError)):
            side(nn, dlcore.tensor)
        return
    ours = side(nn, dlcore.tensor)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())

    def call(m):
        return lambda *a: m(*[x.detach() if i in fixed else x for i, x in enumerate(a)])

    oracle.both(call(ours), call(theirs), *args, dtype=dtype, rtol=rtol)


# ---- elementwise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "pairs",
        90,
        name=["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"],
        shapes=[
            ((3, 4), (3, 4)),
            ((3, 4), (4,)),
            ((3, 1), (1, 4)),
            ((), ()),
            ((0, 3), (0, 3)),
            ((3, 4), (3, 5)),
        ],
        reduction=REDUCTION,
        p=[1.0, 0.3, 0.0, -1.0],
        weight=[None, (3, 4), (4,)],
        dtype=DTYPES,
    ),
)
def test_differences(a, rng):
    x, y = [np.asarray(rng.standard_normal(s)) for s in a["shapes"]]
    name, kw = a["name"], {"reduction": a["reduction"]}
    if name == "smooth_l1_loss":
        kw["beta"] = a["p"]
    elif name == "huber_loss":
        kw["delta"] = a["p"]
    elif a["weight"] is not None:
        kw["weight"] = rng.random(a["weight"])
    functional(name, x, y, dtype=a["dtype"], **kw)
    if name == "huber_loss" and a["weight"] is not None:
        functional(name, x, y, dtype=a["dtype"], weight=rng.random(a["weight"]), **kw)
    kw.pop("weight", None)
    cls = {
        "mse_loss": "MSELoss",
        "l1_loss": "L1Loss",
        "smooth_l1_loss": "SmoothL1Loss",
        "huber_loss": "HuberLoss",
    }
    module(cls[name], x, y, dtype=a["dtype"], **kw)


@pytest.mark.parametrize("name", ["smooth_l1_loss", "huber_loss", "l1_loss", "mse_loss"])
def test_differences_at_their_corners(name):
    x = np.array([0.0, 1.0, -1.0, 1.0 + 1e-9, 2.0, 0.0])
    for extra in ({}, {"beta": 0.5} if name == "smooth_l1_loss" else {}):
        functional(name, x, np.zeros(6), dtype=np.float64, reduction="none", **extra)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "bce",
        60,
        shape=SHAPES,
        weight=[None, "same", "last", "wrong"],
        pos_weight=[None, "last", "wrong"],
        reduction=REDUCTION,
        target=["soft", "hard"],
        dtype=DTYPES,
    ),
)
def test_binary_cross_entropy(a, rng):
    shape, dtype = a["shape"], a["dtype"]
    x, t = np.asarray(rng.random(shape)), np.asarray(rng.random(shape))
    if a["target"] == "hard":
        t = np.asarray(np.round(t))
        x.reshape(-1)[:1] = 0.0
        x.reshape(-1)[1:2] = 1.0

    def made(kind):
        if kind is None:
            return None
        return rng.random({"same": shape, "last": shape[-1:], "wrong": (7,)}[kind])

    w, pw = made(a["weight"]), made(a["pos_weight"])
    logits = np.asarray(rng.standard_normal(shape) * 20)
    # torch has no gradients of these weights; its smallest variance, 1e-12, is a float32.
    kw = {"reduction": a["reduction"], "dtype": dtype, "rtol": 1e-8 if dtype is np.float64 else None}
    functional("binary_cross_entropy", x, t, fixed=("weight",), weight=w, **kw)
    functional(
        "binary_cross_entropy_with_logits",
        logits,
        t,
        fixed=("weight", "pos_weight"),
        weight=w,
        pos_weight=pw,
        **kw,
    )
    module("BCELoss", x, t, weight=w, **kw)
    module("BCEWithLogitsLoss", logits, t, weight=w, pos_weight=pw, **kw)


def test_binary_cross_entropy_refusals(rng):
    for x, t in [
        (rng.random((3, 4)), rng.random(4)),
        (rng.random(3) + 1, rng.random(3)),
        (-rng.random(3), rng.random(3)),
    ]:
        functional("binary_cross_entropy", x, t, dtype=np.float64)
    functional("binary_cross_entropy_with_logits", rng.random((3, 4)), rng.random(4), dtype=np.float64)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "kl",
        50,
        shapes=[
            ((3, 4), (3, 4)),
            ((4,), (4,)),
            ((), ()),
            ((0, 3), (0, 3)),
            ((3, 4), (4,)),
            ((2, 3, 4), (2, 3, 4)),
        ],
        reduction=["mean", "batchmean", "sum", "none", "other"],
        log_target=[False, True],
        zeros=[False, True],
        dtype=DTYPES,
    ),
)
def test_kl_div(a, rng):
    x, t = [np.asarray(rng.standard_normal(s)) for s in a["shapes"]]
    if not a["log_target"]:
        t = np.asarray(np.exp(t))
        if a["zeros"]:
            t.reshape(-1)[::2] = 0
            t = t.astype(a["dtype"])  # a constant: torch's gradient of a target of 0 is NaN, ours is not
            torch = oracle.torch()
            for reduction in ("sum", "none"):
                oracle.both(
                    lambda x, r=reduction: F.kl_div(x, dlcore.tensor(t), reduction=r),
                    lambda x, r=reduction: torch.nn.functional.kl_div(x, torch.tensor(t), reduction=r),
                    x,
                    dtype=a["dtype"],
                )
            return
    kw = {"reduction": a["reduction"], "log_target": a["log_target"]}
    functional("kl_div", x, t, dtype=a["dtype"], **kw)
    module("KLDivLoss", x, t, dtype=a["dtype"], **kw)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "poisson",
        50,
        shapes=[((3, 4), (3, 4)), ((5,), (5,)), ((), ()), ((0,), (0,)), ((3, 4), (4,))],
        log_input=[True, False],
        full=[False, True],
        eps=[1e-8, 0.1],
        reduction=REDUCTION,
        dtype=DTYPES,
    ),
)
def test_poisson_nll(a, rng):
    x, t = np.asarray(rng.random(a["shapes"][0])), np.asarray(rng.random(a["shapes"][1]) * 4)
    kw = {k: a[k] for k in ("log_input", "full", "eps", "reduction")}
    functional("poisson_nll_loss", x, t, dtype=a["dtype"], **kw)
    module("PoissonNLLLoss", x, t, dtype=a["dtype"], **kw)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "gaussian",
        60,
        shape=[(3, 4), (5,), (2, 3, 4), (0, 3)],
        var=["same", "short", "one", "middle", 0.7, -0.7, "wrong", "scalar"],
        full=[False, True],
        eps=[1e-6, 0.5],
        reduction=REDUCTION,
        dtype=DTYPES,
    ),
)
def test_gaussian_nll(a, rng):
    s = a["shape"]
    x, t = rng.standard_normal(s), rng.standard_normal(s)
    shapes = {
        "same": s, "short": s[:-1], "one": (*s[:-1], 1), "middle": (1, *s[1:]), "wrong": (7,), "scalar": (),
    }  # fmt: skip
    var = np.asarray(rng.random(shapes[a["var"]])) if a["var"] in shapes else a["var"]
    kw = {k: a[k] for k in ("full", "eps", "reduction")}
    functional("gaussian_nll_loss", x, t, var, dtype=a["dtype"], **kw)
    if isinstance(var, np.ndarray):
        functional("gaussian_nll_loss", x, t, -var - 0.1, dtype=a["dtype"], **kw)
    module("GaussianNLLLoss", x, t, var, dtype=a["dtype"], **kw)


# ---- classes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "cross_entropy",
        140,
        name=["cross_entropy", "nll_loss"],
        shape=[(4, 5), (5,), (2, 5, 3), (2, 5, 3, 2), (0, 5), (3, 2), (40, 33)],
        target=["labels", "probabilities", "wrong shape", "out of range", "int32"],
        weight=[None, "classes", "wrong"],
        ignore_index=[-100, 2, 0, 100],
        reduction=REDUCTION,
        smoothing=[0.0, 0.2, 1.0, 1.5],
        dtype=DTYPES,
    ),
)
def test_cross_entropy(a, rng):
    shape, dtype, name = a["shape"], a["dtype"], a["name"]
    axis = 0 if len(shape) == 1 else 1
    classes = shape[axis]
    samples = shape[:axis] + shape[axis + 1 :]
    x = rng.standard_normal(shape) * 3
    if name == "nll_loss":
        x = x - np.log(np.exp(x).sum(axis, keepdims=True))
    t = np.asarray(rng.integers(0, classes, samples))
    if a["target"] == "probabilities":
        t = rng.random(shape)
    elif a["target"] == "wrong shape":
        t = np.asarray(rng.integers(0, classes, (*samples, 2)))
    elif a["target"] == "out of range" and t.size:
        t.reshape(-1)[-1] = classes
    if a["ignore_index"] >= 0 and a["target"] == "labels" and t.size > 1:
        t.reshape(-1)[::2] = a["ignore_index"]
    w = {None: None, "classes": rng.random(classes), "wrong": rng.random(classes + 1)}[a["weight"]]
    if a["target"] == "probabilities" and a["ignore_index"] >= 0:
        pytest.skip("torch refuses ignore_index beside probabilities; it has no meaning there")
    if a["target"] == "int32":
        pytest.skip("torch takes int64 labels alone")
    if a["target"] == "wrong shape" and samples == () and name == "nll_loss":
        pytest.skip("torch takes (1, 2) labels for none")
    if w is not None and a["target"] == "labels" and len(t.reshape(-1)) == 0 and a["weight"] == "wrong":
        pytest.skip("torch looks at no weight where there is no sample")
    kw = {"ignore_index": a["ignore_index"], "reduction": a["reduction"]}
    if name == "cross_entropy":
        kw["label_smoothing"] = a["smoothing"]
    functional(name, x, t, w, dtype=dtype, fixed=(2,), **kw)
    cls = "CrossEntropyLoss" if name == "cross_entropy" else "NLLLoss"
    module(cls, x, t, dtype=dtype, weight=w, **kw)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "multi_margin",
        70,
        shapes=[
            ((4, 5), (4,)),
            ((5,), ()),
            ((5,), (1,)),
            ((0, 5), (0,)),
            ((4, 1), (4,)),
            ((4, 5), (3,)),
            ((2, 3, 4), (2,)),
            ((4, 0), (4,)),
            ((3, 70), (3,)),
        ],
        p=[1, 2, 3],
        margin=[1.0, 0.3, -0.5],
        weight=[None, "classes", "wrong"],
        reduction=REDUCTION,
        bad=[False, False, False, True],
        dtype=DTYPES,
    ),
)
def test_multi_margin(a, rng):
    s, n = a["shapes"]
    classes = s[-1]
    x, t = rng.standard_normal(s), np.asarray(rng.integers(0, max(1, classes), n))
    if a["bad"] and t.size:
        t.reshape(-1)[-1] = classes
    if x.size == 0:
        pytest.skip("torch gives what stood in memory")
    w = {None: None, "classes": rng.random(classes), "wrong": rng.random(classes + 1)}[a["weight"]]
    kw = {"p": a["p"], "margin": a["margin"], "reduction": a["reduction"]}
    functional("multi_margin_loss", x, t, fixed=("weight",), weight=w, dtype=a["dtype"], **kw)
    module("MultiMarginLoss", x, t, dtype=a["dtype"], weight=w, **kw)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "multilabel_margin",
        40,
        shape=[(4, 5), (5,), (0, 5), (3, 1), (4, 0), (2, 3, 4), (3, 70)],
        labels=[2, 0, 1, "all", "bad"],
        reduction=REDUCTION,
        dtype=DTYPES,
    ),
)
def test_multilabel_margin(a, rng):
    s = a["shape"]
    x, t = rng.standard_normal(s), np.full(s, -1)
    if len(s) < 3 and t.size:
        k = {"all": s[-1], "bad": 1}.get(a["labels"], a["labels"])
        for row in t.reshape(-1, s[-1]):
            row[:k] = rng.permutation(s[-1])[:k]
            if k < s[-1] - 1:
                row[k + 1] = 0  # after the end: not a label
        if a["labels"] == "bad":
            t.reshape(-1, s[-1])[-1, 0] = s[-1]
    if x.size == 0:
        pytest.skip("torch gives what stood in memory")
    functional("multilabel_margin_loss", x, t, reduction=a["reduction"], dtype=a["dtype"])
    module("MultiLabelMarginLoss", x, t, reduction=a["reduction"], dtype=a["dtype"])


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "multilabel_soft",
        30,
        shape=[(3, 4), (5,), (2, 3, 4), (0, 3)],
        weight=[None, "same", "last"],
        reduction=REDUCTION,
        dtype=DTYPES,
    ),
)
def test_multilabel_soft_margin(a, rng):
    s = a["shape"]
    x, t = rng.standard_normal(s) * 5, np.round(rng.random(s))
    w = {None: None, "same": rng.random(s), "last": rng.random(s[-1:])}[a["weight"]]
    functional("multilabel_soft_margin_loss", x, t, w, reduction=a["reduction"], dtype=a["dtype"])
    module("MultiLabelSoftMarginLoss", x, t, dtype=a["dtype"], weight=w, reduction=a["reduction"])


# ---- margins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "signs",
        60,
        shape=SHAPES,
        margin=[1.0, 0.3, 0.0, -0.5],
        reduction=REDUCTION,
        dtype=DTYPES,
        other=[0, 1, 2],
    ),
)
def test_signed_targets(a, rng):
    s, dtype = a["shape"], a["dtype"]
    x, y = np.asarray(rng.standard_normal(s)), np.asarray(rng.standard_normal(s))
    t = np.asarray(rng.integers(0, 2, s) * 2.0 - 1)
    r, m = {"reduction": a["reduction"]}, {"margin": a["margin"], "reduction": a["reduction"]}
    functional("soft_margin_loss", np.asarray(x * 30), t, dtype=dtype, fixed=(1,), **r)
    functional("hinge_embedding_loss", x, t, dtype=dtype, **m)
    functional("margin_ranking_loss", x, y, t, dtype=dtype, **m)
    if len(s) > 1 and x.size:
        functional("margin_ranking_loss", x, y[:1], t[:, :1], dtype=dtype, **m)
        functional("margin_ranking_loss", x, y[0], t, dtype=dtype, **m)
    module("SoftMarginLoss", x, t, dtype=dtype, fixed=(1,), **r)
    module("HingeEmbeddingLoss", x, t, dtype=dtype, **m)
    module("MarginRankingLoss", x, y, t, dtype=dtype, **m)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "cosine_embedding",
        50,
        shapes=[
            ((3, 4), (3, 4), (3,)),
            ((4,), (4,), ()),
            ((0, 4), (0, 4), (0,)),
            ((3, 4), (3, 5), (3,)),
            ((3, 4), (1, 4), (3,)),
            ((3, 4), (3, 4), (1,)),
            ((3, 4), (3, 4), ()),
            ((4,), (4,), (3,)),
            ((2, 3, 4), (2, 3, 4), (2, 3)),
        ],
        margin=[0.0, 0.3, -0.5],
        reduction=REDUCTION,
        dtype=DTYPES,
    ),
)
def test_cosine_embedding(a, rng):
    x, y = [rng.standard_normal(s) for s in a["shapes"][:2]]
    t = np.asarray(rng.integers(0, 2, a["shapes"][2]) * 2 - 1)
    kw = {"margin": a["margin"], "reduction": a["reduction"]}
    functional("cosine_embedding_loss", x, y, t, dtype=a["dtype"], **kw)
    module("CosineEmbeddingLoss", x, y, t, dtype=a["dtype"], **kw)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "triplet",
        60,
        shapes=[
            ((3, 4), (3, 4), (3, 4)),
            ((4,), (4,), (4,)),
            ((0, 4), (0, 4), (0, 4)),
            ((3, 4), (1, 4), (3, 4)),
            ((3, 4), (4,), (3, 4)),
            ((2, 3, 4), (2, 3, 4), (2, 3, 4)),
            ((3, 4), (3, 5), (3, 4)),
        ],
        margin=[1.0, 0.3, 0.0, -1.0],
        p=[2.0, 1.0, 3.0, float("inf")],
        eps=[1e-6, 0.1],
        swap=[False, True],
        reduction=REDUCTION,
        dtype=DTYPES,
    ),
)
def test_triplet_margin(a, rng):
    x, y, z = [rng.standard_normal(s) for s in a["shapes"]]
    kw = {k: a[k] for k in ("margin", "p", "eps", "swap", "reduction")}
    functional("triplet_margin_loss", x, y, z, dtype=a["dtype"], **kw)
    module("TripletMarginLoss", x, y, z, dtype=a["dtype"], **kw)
    kw = {k: a[k] for k in ("margin", "swap", "reduction")}
    functional("triplet_margin_with_distance_loss", x, y, z, dtype=a["dtype"], **kw)
    module("TripletMarginWithDistanceLoss", x, y, z, dtype=a["dtype"], **kw)
    kw["distance_function"] = lambda a, b: (a - b).abs().sum(-1)
    functional("triplet_margin_with_distance_loss", x, y, z, dtype=a["dtype"], **kw)


@pytest.mark.parametrize("args", [(True, None), (False, None), (None, True), (None, False), (False, False)])
def test_legacy_reduction(args, rng):
    x, t = rng.random((3, 4)), rng.random((3, 4))
    size_average, reduce = args
    for name in [
        "mse_loss",
        "l1_loss",
        "binary_cross_entropy",
        "kl_div",
        "soft_margin_loss",
        "poisson_nll_loss",
    ]:
        functional(name, x, t, dtype=np.float64, fixed=(1,), size_average=size_average, reduce=reduce)
    labels = rng.integers(0, 4, 3)
    for name in ["cross_entropy", "nll_loss", "multi_margin_loss"]:
        functional(name, x, labels, dtype=np.float64, size_average=size_average, reduce=reduce)


# ---- adaptive softmax --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "adaptive",
        16,
        n=[5, 1, 30],
        cutoffs=[[3, 8], [5], [1, 2, 10]],
        div=[4.0, 2.0],
        bias=[False, True],
        rare=[True, False],
    ),
)
def test_adaptive_log_softmax(a, dtype, rng):
    torch = oracle.torch()
    args = (16, 12, a["cutoffs"], a["div"], a["bias"])
    ours, theirs = nn.AdaptiveLogSoftmaxWithLoss(*args), torch.nn.AdaptiveLogSoftmaxWithLoss(*args)
    assert repr(ours) == repr(theirs)
    x, t = rng.standard_normal((a["n"], 16)), rng.integers(0, 12 if a["rare"] else 1, a["n"])
    oracle.both_modules(ours, theirs, x, t, dtype=dtype)
    oracle.both(ours, theirs, x[0], t[0:1].reshape(()), dtype=dtype)
    oracle.both(ours.log_prob, theirs.log_prob, x, dtype=dtype)
    oracle.both(ours.predict, theirs.predict, x, dtype=dtype)
    for bad in [(x, t + 12), (x[0], t), (x, t[:0]), (x, t - 13), (x, t[None])]:
        oracle.both(ours, theirs, *bad, dtype=dtype)


@pytest.mark.parametrize("cutoffs", [[], [0, 3], [3, 3], [5, 3], [12], [2.5]])
def test_adaptive_log_softmax_refuses(cutoffs):
    torch = oracle.torch()
    for lib in (nn, torch.nn):
        with pytest.raises(ValueError, match="cutoffs"):
            lib.AdaptiveLogSoftmaxWithLoss(16, 12, cutoffs)
