"""Packed weights that stay between calls: the same results whatever happens to the weight, bounded memory;
and convolution, batch normalisation, addition and activation as one kernel.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

import dlcore
from dlcore import _C, nn
from dlcore import functional as F

# 1 by 1 on long rows (a product), dense, Winograd, few channels a group, transposed layouts
SHAPES = {
    "product": ((1, 24, 24, 24), (40, 24, 1, 1), {}),
    "dense": ((2, 20, 9, 9), (70, 20, 3, 3), {"stride": 2, "padding": 1}),
    "winograd": ((1, 64, 28, 28), (64, 64, 3, 3), {"padding": 1}),
    "winograd 5": ((1, 32, 27, 27), (64, 32, 5, 5), {"padding": 2}),
    "groups": ((1, 32, 10, 10), (32, 4, 3, 3), {"groups": 8, "padding": 1}),
    "winograd groups": ((1, 128, 28, 28), (128, 64, 3, 3), {"groups": 2, "padding": 1}),
}


def fresh(x, w, kw):
    """What a weight that nobody has seen gives, in the same mode."""
    with dlcore.no_grad():
        return F.conv2d(x, dlcore.tensor(w.detach().numpy().copy()), **kw).numpy()


@pytest.fixture(params=SHAPES)
def job(request, rng):
    xs, ws, kw = SHAPES[request.param]
    gc.collect()
    _C.empty_cache()
    x = dlcore.tensor(rng.standard_normal(xs).astype(np.float32))
    w = nn.Parameter(dlcore.tensor(rng.standard_normal(ws).astype(np.float32)).clone())

    def run(times=3):
        with dlcore.no_grad():
            for _ in range(times):
                y = F.conv2d(x, w, **kw)
        return y.numpy()

    return x, w, kw, run


def test_kept_weights_give_the_same_bits(job):
    x, w, kw, run = job
    first = run(1)
    assert _C.kept_bytes() == 0  # a weight that is seen once may never come again
    second = run(1)
    assert _C.kept_bytes() > 0
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, run(1))
    np.testing.assert_array_equal(first, fresh(x, w, kw))


def edit_in_place(w):
    with dlcore.no_grad():
        w.mul_(2.0)


def edit_data(w):
    w.data.add_(1.0)


def replace_data(w):
    w.data = dlcore.ones_like(w)


def edit_a_view(w):
    with dlcore.no_grad():
        w[0].fill_(3.0)


def edit_numpy(w):
    w.detach().numpy()[...] = 0.5


def take_a_step(w):
    optimizer = dlcore.optim.SGD([w], lr=0.5)
    w.grad = dlcore.ones_like(w)
    optimizer.step()


def load(w):
    module = nn.Module()
    module.w = w
    module.load_state_dict({"w": dlcore.ones_like(w)})


def edit_by_dlpack(w):
    dlcore.from_dlpack(w.detach()).fill_(0.25)


def initialise(w):
    nn.init.normal_(w)


@pytest.mark.parametrize(
    "edit",
    [
        edit_in_place,
        edit_data,
        replace_data,
        edit_a_view,
        edit_numpy,
        take_a_step,
        load,
        edit_by_dlpack,
        initialise,
    ],
)
def test_a_change_is_seen(job, edit):
    x, w, kw, run = job
    before = run()
    assert _C.kept_bytes() > 0
    edit(w)
    after = run(1)
    np.testing.assert_array_equal(after, fresh(x, w, kw))
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, run())


def test_nothing_is_kept_while_numpy_sees_the_weight(job):
    x, w, kw, run = job
    view = w.detach().numpy()[:1]  # a view of the view
    run()
    assert _C.kept_bytes() == 0
    for value in (1.0, 2.0):
        view[...] = value
        np.testing.assert_array_equal(run(1), fresh(x, w, kw))
    del view
    run()
    assert _C.kept_bytes() > 0


def test_a_pointer_that_was_handed_out_ends_it(job):
    _, w, _, run = job
    w.data_ptr()
    run()
    assert _C.kept_bytes() == 0


def test_foreign_memory_is_not_kept(rng):
    array = rng.standard_normal((8, 8, 3, 3)).astype(np.float32)
    w, x = dlcore.from_numpy(array), dlcore.ones(1, 8, 9, 9)
    with dlcore.no_grad():
        for _ in range(3):
            before = F.conv2d(x, w).numpy()
        array *= 2
        np.testing.assert_allclose(F.conv2d(x, w).numpy(), 2 * before, rtol=1e-5)


def test_gradients_keep_nothing(job):
    x, w, kw, _ = job
    held = _C.kept_bytes()
    for _ in range(3):
        F.conv2d(x, w, **kw)
    assert _C.kept_bytes() == held


def test_dead_weights_leave_nothing(job):
    _, w, _, run = job
    run()
    assert _C.kept_bytes() > 0
    del job
    w.data = dlcore.zeros(1)
    gc.collect()
    assert _C.kept_bytes() == 0


def test_the_limit_holds(job):
    x, w, kw, run = job
    limit = _C.kept_limit()
    expected = run()
    one = _C.kept_bytes()
    try:
        _C.set_kept_limit(one)
        others = [dlcore.tensor(w.detach().numpy()).clone() for _ in range(3)]
        with dlcore.no_grad():
            for _ in range(3):
                for o in others:
                    np.testing.assert_array_equal(F.conv2d(x, o, **kw).numpy(), expected)
        assert _C.kept_bytes() <= one
        _C.set_kept_limit(0)
        assert _C.kept_bytes() == 0
        np.testing.assert_array_equal(run(), expected)
        assert _C.kept_bytes() == 0
        with pytest.raises(ValueError, match="must not be negative"):
            _C.set_kept_limit(-1)
    finally:
        _C.set_kept_limit(limit)


def test_empty_cache_drops_what_is_kept(job):
    _, _, _, run = job
    expected = run()
    _C.empty_cache()
    assert _C.kept_bytes() == 0
    np.testing.assert_array_equal(run(), expected)


def test_every_isa_has_its_own(job):
    x, w, kw, run = job
    isa = _C.current_isa()
    try:
        for name in _C.available_isas() * 2:
            _C.set_isa(name)
            np.testing.assert_array_equal(run(2), fresh(x, w, kw))
    finally:
        _C.set_isa(isa)


# ---- one kernel --------------------------------------------------------------------------------------------

FOLDED = {
    **SHAPES,
    "image": ((1, 3, 33, 40), (20, 3, 7, 7), {"stride": 2, "padding": 3}),
    "1x1": ((2, 40, 7, 7), (70, 40, 1, 1), {}),
    "1x1 stride 2": ((1, 64, 14, 14), (160, 64, 1, 1), {"stride": 2}),
    "depthwise": ((1, 32, 20, 20), (32, 1, 3, 3), {"groups": 32, "padding": 1}),
    "conflicts": ((1, 1024, 6, 6), (160, 1024, 1, 1), {}),
    "whole": ((3, 16, 4, 4), (24, 16, 4, 4), {}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", FOLDED)
def test_norm_residual_and_activation_are_one_kernel(name, last, dtype, rng):
    xs, ws, kw = FOLDED[name]

    def draw(*shape):
        return dlcore.tensor(rng.standard_normal(shape).astype(dtype))

    def layout(t):
        return t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) if last else t

    groups = kw.get("groups", 1)
    conv = nn.Conv2d(
        xs[1], ws[0], ws[2], kw.get("stride", 1), kw.get("padding", 0), groups=groups, dtype=dtype
    )
    norm = nn.BatchNorm2d(ws[0], dtype=dtype).eval()
    with dlcore.no_grad():
        for p in (norm.weight, norm.bias, norm.running_mean):
            p.copy_(draw(ws[0]))
        norm.running_var.copy_(draw(ws[0]) ** 2 + 0.1)
    x = layout(draw(*xs))
    with dlcore.no_grad():
        plain = norm(conv(x))
        r = draw(*plain.shape)
        for residual in (None, r, layout(r)):
            for act in ("", "relu", "tanh"):
                wanted = plain if residual is None else plain + residual
                wanted = getattr(F, act)(wanted) if act else wanted
                results = []
                for threads in (1, 2, 3):
                    dlcore.set_num_threads(threads)
                    results.append(conv.forward_folded(x, act, norm.running(), residual))
                for y in results[1:]:
                    np.testing.assert_array_equal(results[0].numpy(), y.numpy())
                eps = np.finfo(dtype).eps
                scale = float(abs(plain).max().item())
                np.testing.assert_allclose(results[0].numpy(), wanted.numpy(), rtol=0, atol=60 * eps * scale)
                assert results[0].stride() == conv(x).stride()


def test_a_residual_of_another_shape_is_refused():
    conv = nn.Conv2d(2, 3, 3)
    with pytest.raises(ValueError, match="residual must have shape"):
        conv.forward_folded(dlcore.ones(1, 2, 5, 5), "", None, dlcore.ones(1, 3, 1, 1))
    norm = nn.BatchNorm2d(4).eval()
    with pytest.raises(ValueError, match="mean must have shape"):
        conv.forward_folded(dlcore.ones(1, 2, 5, 5), "", norm.running())


def test_what_can_be_seen_is_not_folded(rng):
    x = dlcore.tensor(rng.standard_normal((1, 3, 9, 9)).astype(np.float32))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    expected = net(x)
    with dlcore.no_grad():
        np.testing.assert_allclose(net(x).numpy(), expected.detach().numpy(), atol=1e-5)
        seen = []
        handle = net[1].register_forward_hook(lambda m, a, y: seen.append(y.shape))
        net(x)
        handle.remove()
        assert seen == [(1, 4, 7, 7)]
        net.train()
        net(x)
        assert net[1].num_batches_tracked.item() == 1
