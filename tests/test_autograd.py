"""The tape: what backward must do whatever the operations are."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import dlcore
from dlcore import _C, autograd
from dlcore import functional as F
from dlcore.autograd import record


def leaf(*values):
    return dlcore.tensor(values, dtype=np.float64, requires_grad=True)


def scale(x, by):
    """by x, recorded by hand, so that these tests need no other operation."""

    def scale_backward(g, needs):
        return (_C.mul(g, by),)

    return record(_C.mul(x.array, by), (x,), scale_backward)


def add(a, b):
    def add_backward(g, needs):
        return g, g  # one array for both: each leaf must still get memory of its own

    return record(_C.add(a.array, b.array), (a, b), add_backward)


def test_shared_subexpression():
    x = leaf(1.0, 2.0)
    y = scale(x, 3.0)
    add(y, scale(y, 2.0)).backward([1.0, 10.0])
    assert x.grad.tolist() == [9.0, 90.0]


def test_tensor_used_twice():
    x = leaf(1.0, 2.0)
    add(x, x).backward([1.0, 1.0])
    assert x.grad.tolist() == [2.0, 2.0]


def test_gradient_of_a_view():
    x = leaf(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    x.reshape(2, 3).T[1:, 0].backward([1.0, 2.0])
    assert x.grad.tolist() == [0, 1, 2, 0, 0, 0]


def test_gradient_of_a_broadcast():
    x = leaf(1.0, 2.0)
    x.expand(3, 2).backward(np.arange(6.0).reshape(3, 2))
    assert x.grad.tolist() == [6.0, 9.0]
    y = dlcore.tensor([[1.0], [2.0]], requires_grad=True)
    y.expand(4, 2, 3).backward(np.ones((4, 2, 3)))
    assert y.grad.tolist() == [[12.0], [12.0]]


def test_operators_on_a_shared_graph():
    x, w = leaf(1.0, 2.0), leaf(3.0)
    y = x * w
    ((y + y * y).sum() + w.sum()).backward()
    assert x.grad.tolist() == [3 + 2 * 9 * 1, 3 + 2 * 9 * 2]
    assert w.grad.tolist() == [1 + 2 * 3 * 1 + 2 + 2 * 3 * 4 + 1]


@pytest.mark.parametrize("n", [10_000, 50_000])
def test_long_chain(n):
    x = leaf(1.0)
    y = x
    for _ in range(n):
        y = scale(y, 1.0)
    y.backward()
    assert x.grad.tolist() == [1.0]


@pytest.mark.parametrize("n", [10_000, 50_000])
def test_long_chain_dropped_without_backward(n):
    x = leaf(1.0)
    y = x
    for _ in range(n):
        y = add(scale(y, 1.0), x)
    node = y.grad_fn
    del y
    gc.collect()
    del node
    gc.collect()
    assert sys.getrefcount(x) < 10  # the graph is gone


def test_long_chain_with_retained_graph():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = scale(y, 1.0)
    y.backward(retain_graph=True)
    y.backward()
    del y
    assert x.grad.tolist() == [2.0]


def test_backward_frees_the_graph():
    x = leaf(1.0)
    y = scale(x, 2.0)
    z = scale(y, 2.0)
    node = y.grad_fn
    del y
    assert node.edges[0] is x and z.grad_fn.edges[0][0] is node
    z.backward()
    assert node.edges == () and node.backward is None and z.grad_fn.edges == ()


def test_tensors_that_no_backward_needs_are_not_kept():
    x = leaf(1.0)
    y = scale(x, 2.0)
    z = scale(y, 2.0)
    alive = weakref.ref(y)
    del y
    assert alive() is None
    z.backward()
    assert x.grad.tolist() == [4.0]


def test_second_backward_raises():
    y = scale(leaf(1.0), 2.0)
    y.backward()
    with pytest.raises(
        RuntimeError, match=r"backward: the graph of scale has been freed; call backward\(retain_graph=True\)"
    ):
        y.backward()


def test_retain_graph_and_accumulation():
    x = leaf(1.0)
    y = scale(x, 2.0)
    y.backward(retain_graph=True)
    first = x.grad
    y.backward()
    assert x.grad.tolist() == [4.0] and x.grad is first
    x.grad = None
    scale(x, 3.0).backward()
    assert x.grad.tolist() == [3.0]


def test_unused_leaf_has_no_gradient():
    x, unused = leaf(1.0), leaf(1.0)
    scale(x, 2.0).backward()
    assert unused.grad is None


def test_non_scalar_backward_raises():
    with pytest.raises(RuntimeError, match=r"can be created only for a scalar, got shape \(2,\)"):
        scale(leaf(1.0, 2.0), 2.0).backward()
    with pytest.raises(RuntimeError, match="must have the shape of the tensor"):
        scale(leaf(1.0, 2.0), 2.0).backward([1.0])
    with pytest.raises(RuntimeError, match="does not require grad"):
        dlcore.ones(1).backward()
    with pytest.raises(NotImplementedError, match="create_graph"):
        scale(leaf(1.0), 2.0).backward(create_graph=True)
    x = leaf(1.0, 2.0)
    x.backward(gradient=[1.0, 2.0])  # a leaf itself
    assert x.grad.tolist() == [1.0, 2.0]


def test_retain_grad():
    x = leaf(1.0)
    y = scale(x, 2.0)
    y.retain_grad()
    assert y.retains_grad and not y.is_leaf
    z = scale(y, 3.0)
    z.backward()
    assert y.grad.tolist() == [3.0] and x.grad.tolist() == [6.0] and z.grad is None
    with pytest.raises(RuntimeError, match="retain_grad"):
        dlcore.ones(1).retain_grad()


# ---- .grad owns its memory ---------------------------------------------------------------------------------


def test_gradients_of_two_leaves_are_apart():
    a, b = leaf(1.0, 2.0), leaf(1.0, 2.0)
    add(a, b).backward([1.0, 1.0])
    a.grad.fill_(5.0)
    assert b.grad.tolist() == [1.0, 1.0]


def test_gradient_is_not_the_callers_array():
    seed = np.ones(2)
    a = leaf(1.0, 2.0)
    a.backward(seed)
    a.reshape(2, 1).backward(dlcore.from_numpy(seed.reshape(2, 1)))
    seed[:] = 7
    assert a.grad.tolist() == [2.0, 2.0] and seed.tolist() == [7, 7]
    b = leaf(1.0, 2.0)
    g = dlcore.ones(2, dtype=np.float64)
    b.backward(g)
    b.grad.fill_(3.0)
    assert g.tolist() == [1.0, 1.0]


def test_gradient_of_a_leaf_and_its_view_are_apart():
    a = leaf(1.0, 2.0)
    y = scale(a, 1.0)
    y.retain_grad()
    z = y.reshape(2, 1)
    z.retain_grad()
    z.backward([[1.0], [1.0]])
    z.grad.fill_(9.0)
    assert y.grad.tolist() == [1.0, 1.0] and a.grad.tolist() == [1.0, 1.0]


def test_gradient_of_an_expanded_view_is_writable_memory():
    x = leaf(1.0, 2.0)

    def total_backward(g, needs):
        return (_C.broadcast_to(g, (2,)),)

    record(_C.full((), 0.0, np.dtype(np.float64)), (x,), total_backward).backward()
    x.grad[0] = 5.0
    assert x.grad.tolist() == [5.0, 1.0]


def test_saved_arrays_do_not_become_gradients():
    w, x = leaf(2.0), leaf(3.0)
    saved = w.array

    def mul_backward(g, needs):
        return None, saved  # correct for g = 1, and w's own memory

    record(_C.mul(w.array, x.array), (w, x), mul_backward).backward()
    x.grad.fill_(100.0)
    assert w.tolist() == [2.0]


def test_fresh_gradients_are_not_copied():
    x = leaf(*range(1000))
    kept = []

    def fresh_backward(g, needs):
        out = _C.mul(g, 2.0)
        kept.append(out.data_ptr)
        return (out,)

    record(x.array, (x,), fresh_backward).backward(np.ones(1000))
    assert x.grad.data_ptr() == kept[0]


# ---- errors in a backward name the operation ---------------------------------------------------------------


def test_wrong_gradient_shape_names_the_operation():
    x = leaf(1.0, 2.0)

    def crooked_backward(g, needs):
        return (_C.reshape(g, (2, 1)),)

    with pytest.raises(
        RuntimeError, match=r"crooked must give input 0 a gradient of its own shape.*gradient=\(2, 1\)"
    ):
        record(x.array, (x,), crooked_backward).backward([1.0, 1.0])

    def short_backward(g, needs):
        return ()

    with pytest.raises(RuntimeError, match="short must give one gradient for each input, got 0 for 1"):
        record(x.array, (x,), short_backward).backward([1.0, 1.0])


# ---- autograd.grad -----------------------------------------------------------------------------------------


def test_grad():
    x, w, unused = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0)
    y = scale(x, 2.0)
    z = add(y, w)
    gx, gy = autograd.grad(z, [x, y], [[1.0, 10.0]], retain_graph=True)
    assert gx.tolist() == [2.0, 20.0] and gy.tolist() == [1.0, 10.0]
    assert x.grad is None and w.grad is None
    with pytest.raises(RuntimeError, match="allow_unused"):
        autograd.grad(z, [unused], [[1.0, 1.0]], retain_graph=True)
    assert autograd.grad(z, unused, [[1.0, 1.0]], retain_graph=True, allow_unused=True) == (None,)
    assert autograd.grad(z, unused, [[1.0, 1.0]], materialize_grads=True)[0].tolist() == [0.0]
    with pytest.raises(RuntimeError, match="require grad"):
        autograd.grad(dlcore.ones(1), x)
    with pytest.raises(NotImplementedError, match="create_graph"):
        autograd.grad(z, x, create_graph=True)


def test_grad_of_several_outputs():
    x = leaf(1.0)
    (g,) = autograd.grad([scale(x, 2.0), scale(x, 3.0)], x)
    assert g.tolist() == [5.0]


# ---- recording or not --------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad():
    x = leaf(1.0)
    with dlcore.no_grad():
        assert not dlcore.is_grad_enabled()
        assert not scale(x, 2.0).requires_grad
        with dlcore.enable_grad():
            assert scale(x, 2.0).requires_grad
        assert not dlcore.is_grad_enabled()
    assert dlcore.is_grad_enabled()
    with pytest.raises(KeyError), dlcore.no_grad():
        raise KeyError
    assert dlcore.is_grad_enabled()


def test_grad_mode_as_a_decorator():
    @dlcore.no_grad()
    def f(depth):
        return (dlcore.is_grad_enabled(), *(f(depth - 1) if depth else ()))

    @dlcore.no_grad
    def g():
        return dlcore.is_grad_enabled()

    @dlcore.set_grad_enabled(False)
    def h():
        return dlcore.is_grad_enabled()

    assert dlcore.is_grad_enabled()
    assert f(3) == (False,) * 4 and g() is False and h() is False
    assert dlcore.is_grad_enabled()


def test_set_grad_enabled_acts_at_once():
    dlcore.set_grad_enabled(False)
    try:
        assert not dlcore.is_grad_enabled()
        with dlcore.set_grad_enabled(True):
            assert dlcore.is_grad_enabled()
        assert not dlcore.is_grad_enabled()
    finally:
        dlcore.set_grad_enabled(True)


def test_grad_mode_belongs_to_the_thread():
    seen = []
    with dlcore.no_grad():
        t = threading.Thread(target=lambda: seen.append(dlcore.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_nothing_is_kept_without_need():
    x = dlcore.ones(2)
    y = scale(x, 2.0)
    assert y.grad_fn is None and y.is_leaf and not y.requires_grad
    z = leaf(1.0).long()
    assert not z.requires_grad and z.grad_fn is None


def test_needs_skips_inputs():
    asked = []

    def probe_backward(g, needs):
        asked.append(needs)
        return g, None

    a, b = leaf(1.0), dlcore.ones(1, dtype=np.float64)
    record(_C.add(a.array, b.array), (a, b), probe_backward).backward()
    assert asked == [(True, False)] and b.grad is None


def test_multiple_outputs_with_a_missing_gradient():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    _, b = x.split(2)
    b.backward([1.0, 1.0])
    assert x.grad.tolist() == [0, 0, 1, 1]


def test_backward_in_threads():
    w = leaf(1.0)
    errors = []

    def work():
        try:
            for _ in range(50):
                (g,) = autograd.grad(scale(scale(w, 2.0), 3.0), w)
                assert g.tolist() == [6.0]
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


@pytest.mark.parametrize("first", ["embedding", "linear"])
def test_a_tied_embedding_adds_its_rows_to_the_other_gradient(first):
    rng = np.random.default_rng(0)
    w, index = rng.standard_normal((7, 5)), np.array([[1, 2, 2], [0, 6, 1]])

    def loss(t):
        parts = [
            lambda: F.embedding(dlcore.tensor(index), t).tanh().sum(),
            lambda: (t @ t.transpose(0, 1)).sum(),
        ]
        a, b = (p() for p in (parts if first == "embedding" else parts[::-1]))
        return a + b + (F.embedding(dlcore.tensor(index), t * 2) * F.embedding(dlcore.tensor(index), t)).sum()

    t = dlcore.tensor(w, requires_grad=True)
    loss(t).backward()
    expected = np.zeros_like(w)
    for i in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[i] = 1e-6
        expected[i] = (loss(dlcore.tensor(w + step)).item() - loss(dlcore.tensor(w - step)).item()) / 2e-6
    np.testing.assert_allclose(t.grad.numpy(), expected, atol=1e-7)


def test_a_gradient_that_somebody_keeps_is_not_summed_in_place():
    seen = []
    x = dlcore.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: seen.append(g.clone()))
    kept = dlcore.tensor([3.0, 4.0])
    (y + y).backward(kept)
    np.testing.assert_array_equal(kept.numpy(), [3.0, 4.0])
    np.testing.assert_array_equal(seen[0].numpy(), [6.0, 8.0])
    np.testing.assert_array_equal(x.grad.numpy(), [12.0, 16.0])


def test_changed_indices_are_refused_where_rows_are_added_late():
    w, index = dlcore.tensor(np.ones((3, 2)), requires_grad=True), dlcore.tensor([1, 2])
    y = F.embedding(index, w).sum()
    index[0] = 0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_in_place_on_the_tape_takes_no_memory_for_long():
    x = dlcore.ones(1024, 1024, requires_grad=True)
    y = x * 2

    def held():
        return _C.memory_stats()["active_bytes"]

    gc.collect()
    before = held()
    F.relu(y, inplace=True)  # its own output is all that it saves, and the product saves none of it
    assert held() == before
    y.sum().backward()
    assert x.grad.numpy().min() == x.grad.numpy().max() == 2
