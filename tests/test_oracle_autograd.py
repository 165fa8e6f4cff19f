"""What is changed in place, hooks and Functions of one's own beside torch: the same values, gradients,
refusals."""

import numpy as np
import pytest

import dlcore
from dlcore import nn
from tests import oracle

torch = oracle.torch()
LIBRARIES = [dlcore, torch]


def leaf(lib, *values):
    return lib.tensor(np.asarray(values), requires_grad=True)


def outcome(f, lib):
    """Gradients and values to 12 digits (exponentials differ in the last bits), or RuntimeError."""

    def digits(v):
        return [float(f"{x:.12g}") for x in np.asarray(v.detach().numpy(), np.float64).ravel()]

    try:
        return [(tuple(v.shape), digits(v)) if v is not None else None for v in f(lib)]
    except RuntimeError:
        return "RuntimeError"


def saved_input_changed(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 3
    z = y * y
    y.add_(1)
    z.sum().backward()
    return [x.grad]


def unsaved_input_changed(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 3
    z = y + 1
    y.mul_(2)
    (z.sum() + y.sum()).backward()
    return [x.grad, y, z]


def output_changed_that_backward_needs(m):
    x = leaf(m, 1.0, 2.0)
    y = x.sigmoid()
    y.mul_(2)
    y.sum().backward()
    return [x.grad]


def output_changed_that_backward_does_not_need(m):
    x = leaf(m, 1.0, 2.0)
    y = x + 1
    y.mul_(2)
    y.sum().backward()
    return [x.grad, y]


def relu_chain(m):
    x = leaf(m, -1.0, 2.0)
    y = x * 2
    m.nn.functional.relu(y, inplace=True)
    y.sum().backward()
    return [x.grad, y]


def silu_keeps_its_own_input(m):
    x = leaf(m, -1.0, 2.0)
    y = x * 2
    m.nn.functional.silu(y, inplace=True)
    y.sum().backward()
    return [x.grad, y]


def setitem_of_a_saved_one(m):
    x = leaf(m, 1.0, 2.0)
    y = x.exp()
    y[0] = 5.0
    y.sum().backward()
    return [x.grad]


def setitem_of_an_unsaved_one(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = y + 1
    y[0] = 5.0
    (y.sum() + z.sum()).backward()
    return [x.grad, y, z]


def setitem_by_index_array(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = y * y
    y[[1, 0]] = 5.0
    z.sum().backward()
    return [x.grad]


def parameter_stepped_between(m):
    w = leaf(m, 1.0, 2.0)
    x = leaf(m, 3.0, 4.0)
    opt = m.optim.SGD([w], lr=0.1)
    y = w * x
    w.grad = m.ones_like(w)
    opt.step()
    y.sum().backward()
    return [w.grad]


def parameter_stepped_that_nobody_needs(m):
    w = leaf(m, 1.0, 2.0)
    x = m.tensor(np.array([3.0, 4.0]))
    opt = m.optim.SGD([w], lr=0.1)
    y = w * x
    w.grad = m.ones_like(w)
    opt.step()
    y.sum().backward()
    return [w.grad, w]


def no_grad_change_of_a_saved_one(m):
    w, x = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    y = w * x
    with m.no_grad():
        w.mul_(2)
    y.sum().backward()
    return [x.grad]


def data_is_not_tracked(m):
    w, x = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    y = w * x
    w.data.mul_(2)
    y.sum().backward()
    return [x.grad, w.grad]


def detached_is_tracked(m):
    w, x = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    y = w * x
    w.detach().mul_(2)
    y.sum().backward()
    return [x.grad]


def changed_before_it_was_saved(m):
    w, x = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    with m.no_grad():
        w.mul_(2)
    (w * x).sum().backward()
    return [x.grad]


def leaf_in_place(m):
    x = leaf(m, 1.0, 2.0)
    x.add_(1)
    return [x]


def view_of_a_leaf_in_place(m):
    x = leaf(m, 1.0, 2.0)
    x.reshape(2, 1).mul_(2)
    return [x]


def view_in_place_alone(m):
    x = leaf(m, 1.0, 2.0, 3.0, 4.0)
    y = (x * 2).reshape(2, 2)
    y.mul_(3)
    y.sum().backward()
    return [x.grad, y]


def detached_sees_the_change(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    d = y.detach()
    y.mul_(3)
    y.sum().backward()
    return [x.grad, d]


def seed_changed_by_hand(m):
    x = leaf(m, 1.0, 2.0)
    y = x * x
    g = m.zeros_like(x)
    g[0] = 1
    y.backward(g)
    return [x.grad]


def retained_gradient_follows(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).sum().backward()
    return [x.grad, y.grad]


def masked_fill_in_place(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    y.masked_fill_(m.tensor(np.array([True, False])), -1.0)
    y.sum().backward()
    return [x.grad, y]


def matmul_weight_changed(m):
    x = leaf(m, [1.0, 2.0], [3.0, 4.0])
    w = leaf(m, [1.0, 0.0], [0.0, 1.0])
    y = x @ w
    with m.no_grad():
        w.zero_()
    y.sum().backward()
    return [x.grad]


def matmul_weight_changed_without_need(m):
    x = m.tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))
    w = leaf(m, [1.0, 0.0], [0.0, 1.0])
    y = x @ w
    with m.no_grad():
        w.zero_()
    y.sum().backward()
    return [w.grad]


def copy_into_a_saved_one(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 1
    z = y.exp()
    z.copy_(y)
    z.sum().backward()
    return [x.grad, z]


PROGRAMS = [v for v in list(globals().values()) if callable(v) and getattr(v, "__code__", None) is not None
            and v.__code__.co_varnames[:1] == ("m",)]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_in_place_as_torch(program):
    assert outcome(program, dlcore) == outcome(program, torch)


def test_the_message_is_torchs_and_names_the_operation():
    x = leaf(dlcore, 1.0)
    y = x.exp()
    y.add_(1)
    match = (
        r"exp: one of the variables needed for gradient computation has been modified by an inplace operation"
    )
    with pytest.raises(RuntimeError, match=match):
        y.backward()


def test_memory_that_a_view_gave_up_cannot_be_read():
    x = leaf(dlcore, 1.0, 2.0)
    base = x * 2
    view = base.reshape(2, 1)
    view.mul_(3)  # torch would change base too, and its place on the tape
    assert view.detach().tolist() == [[6.0], [12.0]]
    with pytest.raises(RuntimeError, match="changed through another tensor that shares it"):
        base.sum()
    with pytest.raises(RuntimeError, match="clone"):
        base.detach().numpy()


def test_softmax_forgets_its_logits_when_either_changes():
    target = dlcore.tensor([0])
    for change in (
        lambda x, p: p.mul_(0.5),
        lambda x, p: x.mul_(2),
        lambda x, p: p.__setitem__((0, 0), 0.25),
    ):
        x = dlcore.tensor([[1.0, 2.0]])
        p = dlcore.softmax(x, -1)
        change(x, p)
        want = -np.log(p.numpy()[0, 0] / p.numpy().sum())
        got = dlcore.functional.cross_entropy_from_probabilities(p, target).item()
        assert abs(got - want) < 1e-6


# ---- hooks -----------------------------------------------------------------------------------------------


def hooks_program(m):
    x = leaf(m, 1.0, 2.0)
    seen = []
    y = x * 2
    a = y.register_hook(lambda g: seen.append(g * 1))
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    x.register_hook(lambda g: g + 1)
    b = x.register_hook(lambda g: g * 100)
    (y * y).sum().backward(retain_graph=True)
    first = x.grad.clone()
    a.remove()
    b.remove()
    (y * 1).sum().backward()
    return [first, x.grad, y.grad, *seen]


def post_accumulate_program(m):
    x = leaf(m, 1.0, 2.0)
    seen = []

    def hook(p):
        seen.append(p.grad.clone())
        p.grad = None

    x.register_post_accumulate_grad_hook(hook)
    for _ in range(2):
        (x * x).sum().backward()
    assert x.grad is None
    return seen


def inputs_program(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    y = x * w
    (y * y).sum().backward(inputs=[w, y], retain_graph=True)
    assert x.grad is None
    return [w.grad, y.grad]


def grad_of_part_program(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    (gy,) = m.autograd.grad(z, y)
    y.backward(gy)  # that part of the graph is still there
    return [gy, x.grad]


def several_roots_program(m):
    x = leaf(m, 1.0, 2.0)
    m.autograd.backward([(x * 2).sum(), x * x], [None, m.tensor(np.array([1.0, 10.0]))])
    return [x.grad]


def grad_is_accumulated_in_place(m):
    x = leaf(m, 1.0, 2.0)
    (x * 2).sum().backward()
    alias = x.grad.detach()
    (x * 3).sum().backward()
    return [alias]


@pytest.mark.parametrize(
    "program",
    [hooks_program, post_accumulate_program, inputs_program, grad_of_part_program, several_roots_program,
     grad_is_accumulated_in_place],
)  # fmt: skip
def test_hooks_and_walks_as_torch(program):
    assert outcome(program, dlcore) == outcome(program, torch)


def test_hook_errors():
    for m in LIBRARIES:
        with pytest.raises(RuntimeError):
            m.tensor([1.0]).register_hook(lambda g: g)
        with pytest.raises(RuntimeError):
            (leaf(m, 1.0) * 2).register_post_accumulate_grad_hook(lambda p: None)
        x = leaf(m, 1.0, 2.0)
        x.register_hook(lambda g: g[:1])
        with pytest.raises(RuntimeError):
            (x * 2).sum().backward()
        with pytest.raises(RuntimeError):
            (leaf(m, 1.0) * 2).sum().backward(inputs=[])
        with pytest.raises(ValueError):
            m.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)


# ---- Function --------------------------------------------------------------------------------------------


def make_scaled(m):
    class Scaled(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, power, unused=None):
            ctx.save_for_backward(x, w)
            ctx.power = power
            return x**power * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = g * w * ctx.power * x ** (ctx.power - 1) if ctx.needs_input_grad[0] else None
            dw = g * x**ctx.power if ctx.needs_input_grad[1] else None
            return dx, dw, None, None

    return Scaled


def function_program(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    y = make_scaled(m).apply(x, w, 3)
    y.sum().backward()
    return [y, x.grad, w.grad]


def function_with_a_constant(m):
    x = leaf(m, 1.0, 2.0)
    y = make_scaled(m).apply(x, m.tensor(np.array([2.0, 3.0])), 2, None)
    y.sum().backward()
    return [y, x.grad]


def function_saved_input_changed(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    x2 = x * 1
    y = make_scaled(m).apply(x2, w, 3)
    x2.mul_(2)
    y.sum().backward()
    return [x.grad]


def function_two_outputs(m):
    class Split(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            index = (x > 1.5).long()
            ctx.mark_non_differentiable(index)
            return x * 2, x * 3, index

        @staticmethod
        def backward(ctx, a, b, c):
            assert b is not None and c is not None  # zeros
            return a * 2 + b * 3

    x = leaf(m, 1.0, 2.0)
    a, b, index = Split.apply(x)
    assert not index.requires_grad and b.requires_grad
    a.sum().backward()
    return [x.grad, b, index]


def function_without_materialized(m):
    class Two(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            assert b is None
            return a * 2

    x = leaf(m, 1.0, 2.0)
    Two.apply(x)[0].sum().backward()
    return [x.grad]


def function_with_setup_context(m):
    class Square(m.autograd.Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs, output)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * 2 * x + 0 * y

    x = leaf(m, 1.0, 2.0)
    y = Square.apply(x)
    y.sum().backward()
    return [x.grad, y]


def function_in_place(m):
    class Double(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(m, 1.0, 2.0)
    y = x * 3
    z = Double.apply(y)
    assert z is y
    (y * y).sum().backward()
    return [x.grad, y]


def function_that_returns_its_input(m):
    class Same(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return -g

    x = leaf(m, 1.0, 2.0)
    y = Same.apply(x)
    assert y is not x
    y.sum().backward()
    return [x.grad, y]


def function_wrong_count(m):
    class Wrong(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    Wrong.apply(x, w).sum().backward()
    return [x.grad]


def function_wrong_shape(m):
    class Wrong(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g[:1]

    x = leaf(m, 1.0, 2.0, 3.0)
    Wrong.apply(x).sum().backward()
    return [x.grad]


def function_broadcast_gradient(m):
    class Row(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + m.zeros(3, 2, dtype=x.dtype)

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(m, 1.0, 2.0)
    Row.apply(x).sum().backward()
    return [x.grad]


FUNCTIONS = [v for k, v in list(globals().items()) if k.startswith("function_")]


@pytest.mark.parametrize("program", FUNCTIONS, ids=lambda f: f.__name__)
def test_function_as_torch(program):
    assert outcome(program, dlcore) == outcome(program, torch)


def test_functions_are_not_instantiated_and_not_kept_alive():
    import gc
    import weakref

    with pytest.raises(RuntimeError, match="apply"):
        make_scaled(dlcore)()

    class Keep(dlcore.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * 2

    y = Keep.apply(leaf(dlcore, 1.0))
    alive = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert alive() is None  # no cycle through what was saved
    finally:
        gc.enable()


# ---- gradcheck -------------------------------------------------------------------------------------------


def test_gradcheck(rng):
    x, w = (dlcore.tensor(rng.standard_normal((3, 2)), requires_grad=True) for _ in range(2))
    assert dlcore.autograd.gradcheck(lambda x, w: (x * w.sigmoid(), (x * x).sum()), (x, w))
    assert dlcore.autograd.gradcheck(make_scaled(dlcore).apply, (x, w, 2))
    assert dlcore.autograd.gradcheck(nn.Linear(2, 3, dtype=np.float64), x)

    class Wrong(dlcore.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        dlcore.autograd.gradcheck(Wrong.apply, (x,))
    assert not dlcore.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    with pytest.raises(ValueError, match="requires grad"):
        dlcore.autograd.gradcheck(lambda x: x, (dlcore.ones(2),))
    with pytest.warns(UserWarning, match="not float64"):
        dlcore.autograd.gradcheck(lambda x: x * 2, dlcore.ones(2, requires_grad=True), eps=1e-2, atol=1e-2)
    with pytest.raises(NotImplementedError):
        dlcore.autograd.gradcheck(lambda x: x, (x,), check_forward_ad=True)
