"""Normalisation beside torch: functions over drawn arguments, modules with their state in both directions."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.nn import functional as F
from tests import oracle

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def arrays(rng, *shapes):
    return [None if s is None else rng.standard_normal(s) for s in shapes]


def channels_last(x):
    if x.ndim < 3 or not x.size:
        return x
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@DTYPES
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "layer_norm", 24, lead=[(3,), (), (2, 4), (0,)], shape=[(5,), (2, 3), (1,), (33,)],
        weight=[True, False], bias=[True, False], eps=[1e-5, 0.1],
    ),
)  # fmt: skip
def test_layer_norm(a, dtype, rng):
    torch = oracle.torch()
    shape = a["shape"]
    x, w, b = arrays(rng, a["lead"] + shape, shape if a["weight"] else None, shape if a["bias"] else None)
    # One element a row: dx is 0 but for rounding, which rstd = 1 / sqrt(eps) enlarges.
    rtol = 1e-2 if shape == (1,) else None
    oracle.both(
        F.layer_norm, torch.nn.functional.layer_norm, x, shape, w, b, a["eps"], dtype=dtype, rtol=rtol
    )
    oracle.both(F.layer_norm, torch.nn.functional.layer_norm, x, (*shape, 2), w, b, dtype=dtype)
    oracle.both(F.rms_norm, torch.nn.functional.rms_norm, x, shape, w, dtype=dtype, rtol=rtol)
    oracle.both(F.rms_norm, torch.nn.functional.rms_norm, x, shape, w, a["eps"], dtype=dtype, rtol=rtol)


@pytest.mark.parametrize(
    "args", [((), None), (3, None), ((4,), None), ((3,), (4,)), ((2, 3), (3, 2)), ((1, 2, 3), None)]
)
def test_layer_norm_refuses(args, rng):
    torch = oracle.torch()
    shape, weight = args
    x, w = arrays(rng, (2, 3), weight)
    for f in ("layer_norm", "rms_norm"):
        oracle.both(getattr(F, f), getattr(torch.nn.functional, f), x, shape, w)


@DTYPES
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "batch_norm", 40,
        shape=[(4, 3, 5), (4, 3), (2, 3, 4, 5), (2, 18, 3), (2, 3, 1, 2, 3), (0, 3, 2), (2, 3, 0), (1, 3),
               (1, 3, 1), (7,)],
        training=[True, False], running=[True, False], weight=[True, False], bias=[True, False],
        momentum=[0.1, 0.0, 1.0], eps=[1e-5, 0.1], last=[False, True],
    ),
)  # fmt: skip
def test_batch_norm(a, dtype, rng):
    torch = oracle.torch()
    shape = a["shape"]
    n = shape[1] if len(shape) > 1 else 1
    (x,) = arrays(rng, shape)
    x = channels_last(x) if a["last"] else x
    (w, b) = arrays(rng, (n,) if a["weight"] else None, (n,) if a["bias"] else None)
    running = [np.asarray(v, dtype) for v in (rng.standard_normal(n), rng.random(n) + 0.5)]
    ours = [dlcore.tensor(r) for r in running] if a["running"] else [None, None]
    theirs = [torch.tensor(r) for r in running] if a["running"] else [None, None]
    options = (a["training"], a["momentum"], a["eps"])
    oracle.both(
        lambda x, w, b: F.batch_norm(x, *ours, w, b, *options),
        lambda x, w, b: torch.nn.functional.batch_norm(x, *theirs, w, b, *options),
        x, w, b, dtype=dtype,
    )  # fmt: skip
    for r, t in zip(ours, theirs):
        if r is not None:
            oracle.close(r, t, oracle.RTOL[np.dtype(dtype)], "running statistics")


def test_batch_norm_refuses(rng):
    torch = oracle.torch()
    x, one, two, three = arrays(rng, (2, 3, 4), (1,), (2,), (3,))
    f, g = F.batch_norm, torch.nn.functional.batch_norm
    oracle.both(f, g, x, three, None, training=True)
    oracle.both(f, g, x, None, three)
    oracle.both(f, g, x, two, two)
    oracle.both(f, g, x, three, three, one)
    oracle.both(f, g, x, three, three, None, two)
    oracle.both(f, g, x, None, None, training=True, eps=0.0)
    oracle.both(f, g, x, None, None, training=True, eps=-1.0)


@pytest.mark.parametrize("last", [False, True])
def test_batch_norm_along_the_last_axis(last, rng):
    """axis=-1 takes (N, ..., C) as it is; unbiased=False leaves the variance biased."""
    x = rng.standard_normal((4, 2, 5, 3))
    first = np.moveaxis(x, -1, 1)
    w, b = rng.standard_normal((2, 3))
    mean, var = dlcore.zeros(3, dtype=np.float64), dlcore.ones(3, dtype=np.float64)
    a = dlcore.tensor(x if last else np.asfortranarray(x), requires_grad=True)
    c = dlcore.tensor(first, requires_grad=True)
    y = F.batch_norm(a, mean, var, dlcore.tensor(w), dlcore.tensor(b), True, 1.0, axis=-1, unbiased=False)
    z = F.batch_norm(c, None, None, dlcore.tensor(w), dlcore.tensor(b), True)
    np.testing.assert_allclose(y.detach().numpy(), np.moveaxis(z.detach().numpy(), 1, -1), rtol=1e-12)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), x.var((0, 1, 2)), rtol=1e-12)
    g = rng.standard_normal(x.shape)
    y.backward(g)
    z.backward(np.moveaxis(g, -1, 1))
    np.testing.assert_allclose(a.grad.numpy(), np.moveaxis(c.grad.numpy(), 1, -1), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="axis must be 1 or the last"):
        F.batch_norm(a, mean, var, axis=2)


@DTYPES
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "group_norm", 32,
        shape=[(2, 6, 5), (2, 6), (3, 12, 2, 3), (1, 6, 2, 2, 2), (0, 6, 3), (2, 6, 0), (1, 6), (6,),
               (2, 0, 3)],
        groups=[2, 1, 6, 3, 4, 0, -1], weight=[True, False], bias=[True, False], eps=[1e-5, 0.1],
        last=[False, True],
    ),
)  # fmt: skip
def test_group_norm(a, dtype, rng):
    torch = oracle.torch()
    shape = a["shape"]
    (x,) = arrays(rng, shape)
    x = channels_last(x) if a["last"] else x
    n = shape[1] if len(shape) > 1 else 1
    w, b = arrays(rng, (n,) if a["weight"] else None, (n,) if a["bias"] else None)
    if a["groups"] == 0:
        with pytest.raises(ValueError, match="num_groups must be positive"):
            F.group_norm(dlcore.tensor(x), 0)
        return
    # Where a group has one value, dx is rounding alone; of nothing, torch's dweight is NaN, not 0.
    grad = 0 not in shape and not (len(shape) == 2 and a["groups"] == n)
    if a["last"] and a["weight"] != a["bias"]:  # torch itself fails on a bias alone, channels-last
        w = b = None
    oracle.both(
        F.group_norm, torch.nn.functional.group_norm, x, a["groups"], w, b, a["eps"], dtype=dtype, grad=grad
    )


@DTYPES
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "instance_norm", 32,
        shape=[(2, 3, 5), (3, 4, 2, 3), (1, 3, 2, 2, 2), (0, 3, 2), (2, 3, 0), (2, 3, 1), (2, 3)],
        own=[True, False], running=[False, True], weight=[True, False], bias=[True, False],
        momentum=[0.1, 1.0], last=[False, True],
    ),
)  # fmt: skip
def test_instance_norm(a, dtype, rng):
    torch = oracle.torch()
    shape = a["shape"]
    if shape[0] == 0 and not a["own"]:
        return  # torch's batch_norm of nothing fails there
    (x,) = arrays(rng, shape)
    x = channels_last(x) if a["last"] else x
    n = shape[1]
    w, b = arrays(rng, (n,) if a["weight"] else None, (n,) if a["bias"] else None)
    running = [np.asarray(v, dtype) for v in (rng.standard_normal(n), rng.random(n) + 0.5)]
    ours = [dlcore.tensor(r) for r in running] if a["running"] else [None, None]
    theirs = [torch.tensor(r) for r in running] if a["running"] else [None, None]
    oracle.both(
        lambda x, w, b: F.instance_norm(x, *ours, w, b, a["own"], a["momentum"]),
        lambda x, w, b: torch.nn.functional.instance_norm(x, *theirs, w, b, a["own"], a["momentum"]),
        x, w, b, dtype=dtype,
    )  # fmt: skip
    for r, t in zip(ours, theirs):
        if r is not None and 0 not in shape:
            oracle.close(r, t, oracle.RTOL[np.dtype(dtype)], "running statistics")


@DTYPES
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "lrn", 32, shape=[(2, 5, 3, 4), (2, 7, 3), (1, 4, 2, 2, 3), (0, 4, 3), (2, 3), (2, 3, 0), (2, 1, 5)],
        size=[3, 2, 1, 5, 9, 0, 2.5], alpha=[1e-4, 1.0], beta=[0.75, 0.5, 1.0, 1.3, 2.0], k=[1.0, 2.0],
        last=[False, True],
    ),
)  # fmt: skip
def test_local_response_norm(a, dtype, rng):
    torch = oracle.torch()
    (x,) = arrays(rng, a["shape"])
    x = channels_last(x) if a["last"] else x
    if a["size"] == 2.5 and not x.size:
        return  # torch looks at nothing of an empty input
    options = (a["size"], a["alpha"], a["beta"], a["k"])
    oracle.both(F.local_response_norm, torch.nn.functional.local_response_norm, x, *options, dtype=dtype)
    if a["size"] and a["size"] != 2.5:
        ours, theirs = (m.LocalResponseNorm(*options) for m in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
        oracle.both_modules(ours, theirs, x, dtype=dtype)


SHAPES = {
    1: [(4, 3), (4, 3, 5), (3, 5), (1, 3)],
    2: [(2, 3, 4, 5), (3, 4, 5)],
    3: [(2, 3, 2, 4, 3), (3, 2, 4, 3)],
}


def twice_then_eval(x, steps=2):
    """Some steps in training, then evaluation: the outputs of both."""

    def call(module, args):
        outputs = [module(*args) for _ in range(steps)]
        module.eval()
        return [*outputs, module(*args)]

    return call


@pytest.mark.parametrize("nd", [1, 2, 3])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "BatchNorm", 16, affine=[True, False], track=[True, False], momentum=[0.1, None, 0.5],
        bias=[True, False], eps=[1e-5, 1e-3], shape=[0, 1, 2, 3], n=[3, 4], dtype=[np.float64, np.float32],
    ),
)  # fmt: skip
def test_batch_norm_modules(nd, a, rng):
    torch = oracle.torch()
    shapes = SHAPES[nd]
    (x,) = arrays(rng, shapes[a["shape"] % len(shapes)])
    name = f"BatchNorm{nd}d"
    ours, theirs = (
        getattr(m, name)(a["n"], a["eps"], a["momentum"], a["affine"], a["track"], bias=a["bias"])
        for m in (nn, torch.nn)
    )
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, x, dtype=a["dtype"], call=twice_then_eval(x))


@pytest.mark.parametrize("nd", [1, 2, 3])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "InstanceNorm", 12, affine=[True, False], track=[True, False], momentum=[0.1, 0.5],
        bias=[True, False], shape=[0, 1, 2, 3], n=[3, 4], dtype=[np.float64, np.float32],
    ),
)  # fmt: skip
def test_instance_norm_modules(nd, a, rng):
    torch = oracle.torch()
    shapes = SHAPES[nd]
    (x,) = arrays(rng, shapes[a["shape"] % len(shapes)])
    name = f"InstanceNorm{nd}d"
    ours, theirs = (
        getattr(m, name)(a["n"], 1e-5, a["momentum"], a["affine"], a["track"], bias=a["bias"])
        for m in (nn, torch.nn)
    )
    assert repr(ours) == repr(theirs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="input's size at dim")
        oracle.both_modules(ours, theirs, x, dtype=a["dtype"], call=twice_then_eval(x))


def test_instance_norm_warns_of_unused_num_features(rng):
    with pytest.warns(UserWarning, match="input's size at dim=1 does not match num_features"):
        nn.InstanceNorm1d(4)(dlcore.tensor(rng.standard_normal((2, 3, 5))))


@pytest.mark.parametrize("kind", ["BatchNorm", "InstanceNorm"])
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_lazy_norms(kind, nd, rng):
    torch = oracle.torch()
    x = np.asarray(rng.standard_normal((2, 5, 3, 4, 2)[: nd + 2]), np.float32)
    for options in ({}, {"affine": False}, {"track_running_stats": False}, {"bias": False}):
        ours, theirs = (getattr(m, f"Lazy{kind}{nd}d")(**options) for m in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
        theirs(torch.tensor(x))
        if options.get("affine", True) or options.get("track_running_stats", True):
            fresh = getattr(nn, f"Lazy{kind}{nd}d")(**options)  # before its first input
            fresh.load_state_dict(theirs.state_dict())
            assert repr(fresh) == repr(theirs)
        ours(dlcore.tensor(x))
        assert repr(ours) == repr(theirs)
        assert type(ours) is getattr(nn, f"{kind}{nd}d")
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for k, v in theirs.state_dict().items():
            oracle.close(ours.state_dict()[k], v, 1e-5, k)


def test_num_batches_tracked_is_int64_and_counts(rng):
    layer = nn.BatchNorm1d(3)
    x = dlcore.tensor(rng.standard_normal((4, 3)).astype(np.float32))
    for module in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        module(x)
        module(x)
        module.eval()(x)
        count = module.state_dict()["num_batches_tracked"]
        assert count.dtype == np.int64 and count.shape == () and count.item() == 2
        assert module.double().num_batches_tracked.dtype == np.int64
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0 and layer.running_var.tolist() == [1.0] * 3


def test_old_state_without_num_batches_tracked_loads():
    torch = oracle.torch()
    state = {k: v for k, v in torch.nn.BatchNorm1d(3).state_dict().items() if "num" not in k}
    assert nn.BatchNorm1d(3).load_state_dict(state).missing_keys == []
    with pytest.raises(RuntimeError, match="Unexpected running stats"):
        nn.InstanceNorm1d(3).load_state_dict({"running_mean": np.zeros(3, np.float32)})


def test_sync_batch_norm_is_batch_norm_of_one_process(rng):
    torch = oracle.torch()
    (x,) = arrays(rng, (2, 3, 4, 5))
    ours, theirs = (m.SyncBatchNorm(3) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs.eval(), x, call=lambda m, args: m.eval()(*args))
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm1d(2, affine=False)))
    before = list(net.state_dict())
    sync = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert list(sync.state_dict()) == before
    assert [type(m) for m in sync.modules() if not isinstance(m, nn.Sequential)] == [nn.SyncBatchNorm] * 2
    with pytest.raises(ValueError, match="process_group must be None"):
        nn.SyncBatchNorm(3, process_group=object())


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "LayerNorm", 12, shape=[5, (2, 3), [4], ()], affine=[True, False], bias=[True, False],
        eps=[1e-5, 1e-2], dtype=[np.float64, np.float32],
    ),
)  # fmt: skip
def test_layer_norm_modules(a, rng):
    torch = oracle.torch()
    shape = (a["shape"],) if isinstance(a["shape"], int) else tuple(a["shape"])
    (x,) = arrays(rng, (2, *shape))
    ours, theirs = (m.LayerNorm(a["shape"], a["eps"], a["affine"], a["bias"]) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, x, dtype=a["dtype"])
    for eps in (None, a["eps"]):
        ours, theirs = (m.RMSNorm(a["shape"], eps, a["affine"]) for m in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
        oracle.both_modules(ours, theirs, x, dtype=a["dtype"])


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "GroupNorm",
        8,
        groups=[2, 1, 6],
        affine=[True, False],
        bias=[True, False],
        shape=[(2, 6, 4), (3, 6), (2, 5, 3)],
    ),
)
def test_group_norm_modules(a, rng):
    torch = oracle.torch()
    (x,) = arrays(rng, a["shape"])
    ours, theirs = (m.GroupNorm(a["groups"], 6, affine=a["affine"], bias=a["bias"]) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, x, grad=len(a["shape"]) > 2 or a["groups"] < 6)


def test_constructors_refuse():
    with pytest.raises(ValueError, match="must be divisible by num_groups"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="must be divisible by num_groups"):
        nn.GroupNorm(0, 6)
    with pytest.raises(TypeError, match="num_features must be an integer"):
        nn.BatchNorm1d(3.0)
    with pytest.raises(TypeError, match="normalized_shape must be an integer"):
        nn.LayerNorm((3.0,))
