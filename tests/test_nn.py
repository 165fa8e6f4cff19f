# ruff: noqa: B023, RUF005 (the lambdas run before the loop goes on; `+` is what is tested)
"""dlcore.nn beside torch.nn: one text builds a module in both; state, results and repr are compared."""

import copy
import gc
import pickle
import weakref
from collections import OrderedDict

import numpy as np
import pytest

import dlcore
import dlcore.nn.functional as F
from dlcore import nn

torch = pytest.importorskip("torch")


def build(text, library):
    tensor = dlcore.tensor if library is dlcore else torch.tensor
    space = {"nn": library.nn, "t": lambda x: tensor(np.asarray(x, np.float64)), "OrderedDict": OrderedDict}
    return eval(text, space)


def to_torch(state):
    return {k: torch.from_numpy(np.array(v.detach().numpy())) for k, v in state.items()}


def numbers(x):
    return x.detach().numpy() if isinstance(x, (dlcore.Tensor, torch.Tensor)) else np.asarray(x)


def close(ours, theirs, rtol=1e-7, atol=1e-9):  # torch keeps some constants in float32
    a, b = numbers(ours), numbers(theirs)
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol, atol)


# text, shapes of the inputs
MODULES = [
    ("nn.Identity(3, a=4)", [(2, 3)]),
    ("nn.Linear(3, 4)", [(5, 3)]),
    ("nn.Linear(3, 4, bias=False)", [(2, 5, 3)]),
    ("nn.Linear(in_features=3, out_features=2, bias=0)", [(3,)]),
    ("nn.Linear(0, 4)", [(5, 0)]),
    ("nn.Linear(3, 0)", [(5, 3)]),
    ("nn.Flatten()", [(2, 3, 4)]),
    ("nn.Flatten(0, 1)", [(2, 3, 4)]),
    ("nn.Flatten(start_dim=-2)", [(2, 3, 4, 5)]),
    ("nn.Unflatten(1, (2, 3))", [(4, 6)]),
    ("nn.Unflatten(-1, (2, -1))", [(4, 6)]),
    ("nn.Sequential()", [(2, 3)]),
    ("nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))", [(5, 3)]),
    ("nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sigmoid())", [(5, 3)]),
    ("nn.Sequential(OrderedDict(a=nn.Linear(3, 4), b=nn.Sigmoid()))", [(5, 3)]),
    ("nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(6, 2), nn.Softmax(dim=1)))", [(5, 2, 3)]),
    ("nn.ReLU()", [(4, 5)]),
    ("nn.ReLU(inplace=True)", [(4, 5)]),
    ("nn.ReLU6()", [(4, 5)]),
    ("nn.ReLU6(True)", [(4, 5)]),
    ("nn.LeakyReLU()", [(4, 5)]),
    ("nn.LeakyReLU(0.2, True)", [(4, 5)]),
    ("nn.PReLU()", [(4, 5)]),
    ("nn.PReLU(5, init=0.1)", [(4, 5, 2)]),
    ("nn.ELU(0.7)", [(4, 5)]),
    ("nn.CELU(1.3)", [(4, 5)]),
    ("nn.SELU()", [(4, 5)]),
    ("nn.GELU()", [(4, 5)]),
    ("nn.GELU(approximate='tanh')", [(4, 5)]),
    ("nn.SiLU()", [(4, 5)]),
    ("nn.Mish()", [(4, 5)]),
    ("nn.Softplus(2, 1)", [(4, 5)]),
    ("nn.Softplus()", [(4, 5)]),
    ("nn.Softsign()", [(4, 5)]),
    ("nn.Hardtanh()", [(4, 5)]),
    ("nn.Hardtanh(-0.5, 0.25, inplace=True)", [(4, 5)]),
    ("nn.Hardswish()", [(4, 5)]),
    ("nn.Hardsigmoid()", [(4, 5)]),
    ("nn.Tanh()", [(4, 5)]),
    ("nn.Sigmoid()", [(4, 5)]),
    ("nn.Tanhshrink()", [(4, 5)]),
    ("nn.LogSigmoid()", [(4, 5)]),
    ("nn.GLU()", [(4, 6)]),
    ("nn.GLU(dim=0)", [(4, 6)]),
    ("nn.Threshold(0.1, 20)", [(4, 5)]),
    ("nn.Softmax(dim=-1)", [(4, 5)]),
    ("nn.LogSoftmax(dim=1)", [(4, 5, 2)]),
    ("nn.Softmin(dim=1)", [(4, 5)]),
    ("nn.Softmax2d()", [(2, 4, 3, 3)]),
    ("nn.Conv1d(2, 4, 3)", [(3, 2, 9)]),
    ("nn.Conv1d(4, 4, 3, stride=2, padding=1, dilation=2, groups=2, bias=False)", [(3, 4, 11)]),
    ("nn.Conv1d(2, 3, 4, padding='same')", [(2, 7)]),
    ("nn.Conv2d(2, 4, 3)", [(3, 2, 6, 7)]),
    ("nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0), (1, 2))", [(3, 2, 6, 7)]),
    ("nn.Conv2d(4, 8, 3, padding='same', groups=4)", [(2, 4, 5, 5)]),
    ("nn.Conv2d(1, 2, 3, padding='valid', bias=False)", [(1, 5, 5)]),
    ("nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))", [(5, 1, 4, 4)]),
    ("nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh())", [(5, 1, 4)]),
    ("nn.MaxPool1d(2)", [(2, 3, 8)]),
    ("nn.MaxPool1d(3, stride=2, padding=1, dilation=1, ceil_mode=True)", [(2, 3, 8)]),
    ("nn.MaxPool2d(2)", [(2, 3, 8, 7)]),
    ("nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))", [(2, 3, 8, 7)]),
    ("nn.AvgPool1d(2)", [(2, 3, 8)]),
    ("nn.AvgPool1d(3, 2, 1, True, False)", [(2, 3, 8)]),
    ("nn.AvgPool2d(2)", [(2, 3, 8, 7)]),
    ("nn.AvgPool2d((3, 2), (2, 1), (1, 0), True, False, divisor_override=5)", [(2, 3, 8, 7)]),
    ("nn.AdaptiveAvgPool1d(3)", [(2, 3, 8)]),
    ("nn.AdaptiveAvgPool2d((3, None))", [(2, 3, 8, 7)]),
    ("nn.AdaptiveAvgPool2d(1)", [(3, 8, 7)]),
    ("nn.AdaptiveMaxPool1d(3)", [(2, 3, 8)]),
    ("nn.AdaptiveMaxPool2d((3, 2))", [(2, 3, 8, 7)]),
    ("nn.Dropout(0)", [(4, 5)]),
    ("nn.Dropout(1.0)", [(4, 5)]),
    ("nn.Dropout(p=0.3, inplace=True).eval()", [(4, 5)]),
    ("nn.Dropout1d(0.3).eval()", [(2, 4, 5)]),
    ("nn.Dropout2d(0.3).eval()", [(2, 4, 5, 3)]),
    ("nn.Dropout3d(0.3).eval()", [(2, 4, 5, 3, 2)]),
    ("nn.AlphaDropout(0.3).eval()", [(2, 4)]),
    ("nn.Bilinear(2, 3, 4)", [(5, 2), (5, 3)]),
    ("nn.MarginRankingLoss(0.3)", [(5,), (5,), (5,)]),
    ("nn.TripletMarginLoss(0.7, swap=True)", [(5, 3), (5, 3), (5, 3)]),
    ("nn.TripletMarginLoss(reduction='none')", [(5, 3), (5, 3), (5, 3)]),
]

WEIGHTS = "t([0.5, 1.0, 2.0])"
LOSSES = [
    ("nn.CrossEntropyLoss()", "classes"),
    (f"nn.CrossEntropyLoss({WEIGHTS}, ignore_index=1, label_smoothing=0.1)", "classes"),
    ("nn.CrossEntropyLoss(reduction='sum')", "probabilities"),
    ("nn.NLLLoss(reduction='none')", "classes"),
    (f"nn.NLLLoss({WEIGHTS}, ignore_index=0)", "classes"),
    ("nn.MSELoss()", "numbers"),
    ("nn.L1Loss(reduction='sum')", "numbers"),
    ("nn.SmoothL1Loss(beta=0.5)", "numbers"),
    ("nn.HuberLoss(delta=0.7)", "numbers"),
    ("nn.BCELoss()", "unit"),
    (f"nn.BCELoss(weight={WEIGHTS}, reduction='none')", "unit"),
    ("nn.BCEWithLogitsLoss()", "probabilities"),
    (f"nn.BCEWithLogitsLoss(pos_weight={WEIGHTS}, reduction='sum')", "probabilities"),
    ("nn.KLDivLoss(reduction='batchmean')", "probabilities"),
    ("nn.KLDivLoss(log_target=True, reduction='sum')", "numbers"),
    ("nn.PoissonNLLLoss(full=True)", "unit"),
    ("nn.PoissonNLLLoss(log_input=False, reduction='none')", "unit"),
    ("nn.HingeEmbeddingLoss(0.8)", "signs"),
    ("nn.SoftMarginLoss(reduction='sum')", "signs"),
]


def pair(text):
    """The module in both libraries, in float64, with dlcore's parameters."""
    ours, theirs = build(text, dlcore).double(), build(text, torch).double()
    theirs.load_state_dict(to_torch(ours.state_dict()))
    return ours, theirs


def compare(ours, theirs, arrays, extra_ours=(), extra_theirs=()):
    xs = [dlcore.tensor(a.copy(), requires_grad=True) for a in arrays]
    ts = [torch.tensor(a.copy(), requires_grad=True) for a in arrays]
    # A module may work in place, which is refused on a leaf.
    y, z = ours(*[x * 1 for x in xs], *extra_ours), theirs(*[t * 1 for t in ts], *extra_theirs)
    close(y, z)
    if not z.requires_grad:
        return
    g = np.random.default_rng(1).standard_normal(z.shape)
    y.backward(dlcore.tensor(g))
    z.backward(torch.from_numpy(np.asarray(g)))
    for x, t in zip(xs, ts):
        if t.grad is not None:
            close(x.grad, t.grad)
    for (name, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        close(p.grad, q.grad)


@pytest.mark.parametrize("text, shapes", MODULES, ids=[m[0] for m in MODULES])
@pytest.mark.filterwarnings(
    "ignore:.*zero-element tensors:UserWarning", "ignore:.*even kernel lengths:UserWarning"
)
def test_module_matches_torch(text, shapes, rng):
    ours, theirs = pair(text)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    compare(ours, theirs, [rng.standard_normal(s) for s in shapes])

    again = build(text, dlcore)
    again.load_state_dict(theirs.state_dict())  # the other way, straight from torch's tensors
    for a, b in zip(again.parameters(), theirs.parameters(), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(numbers(a), numbers(b), 1e-6)


@pytest.mark.parametrize("text, kind", LOSSES, ids=[m[0] for m in LOSSES])
def test_loss_matches_torch(text, kind, rng):
    ours, theirs = pair(text)
    assert repr(ours) == repr(theirs)
    x = rng.standard_normal((6, 3))
    if kind == "unit":
        x = rng.uniform(0.01, 0.99, (6, 3))
    y = {
        "classes": np.array([0, 1, 2, 2, 1, 0]),
        "numbers": rng.standard_normal((6, 3)),
        "unit": rng.uniform(0, 1, (6, 3)),
        "signs": rng.choice([-1.0, 1.0], (6, 3)),
        "probabilities": rng.dirichlet(np.ones(3), 6),
    }[kind]
    compare(ours, theirs, [x], (dlcore.tensor(y),), (torch.from_numpy(y),))


@pytest.mark.parametrize(
    "text", ["nn.Linear(50, 400)", "nn.Conv2d(6, 90, 5, groups=3)", "nn.Bilinear(9, 40, 50)"]
)
def test_initial_distribution_is_torchs(text):
    dlcore.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = build(text, dlcore), build(text, torch)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        a, b = numbers(p), numbers(q)
        assert abs(np.abs(a).max() / np.abs(b).max() - 1) < 0.1
        assert abs(a.std() / b.std() - 1) < 0.2 and abs(a.mean()) < 0.1 * np.abs(b).max() + 0.02


def test_cosine_embedding_loss_matches_torch(rng):
    ours, theirs = pair("nn.CosineEmbeddingLoss(0.1)")
    y = rng.choice([-1.0, 1.0], 5)
    arrays = [rng.standard_normal((5, 3)) for _ in range(2)]
    compare(ours, theirs, arrays, (dlcore.tensor(y),), (torch.from_numpy(y),))


@pytest.mark.parametrize("options", ["", "full=True, reduction='sum'"])
def test_gaussian_nll_loss_matches_torch(options, rng):
    ours, theirs = pair(f"nn.GaussianNLLLoss({options})")
    var = rng.uniform(0.1, 1, 5)
    arrays = [rng.standard_normal(5) for _ in range(2)]
    compare(ours, theirs, arrays, (dlcore.tensor(var),), (torch.from_numpy(var),))


def test_size_average_and_reduce_warn_as_in_torch():
    for library in (dlcore, torch):
        with pytest.warns(UserWarning, match="reduction='sum'"):
            assert library.nn.MSELoss(size_average=False).reduction == "sum"
        with pytest.warns(UserWarning, match="reduction='none'"):
            assert library.nn.L1Loss(reduce=False).reduction == "none"


def test_manual_seed_repeats_initial_values():
    dlcore.manual_seed(3)
    a = nn.Linear(4, 5).weight.detach().numpy()
    dlcore.manual_seed(3)
    np.testing.assert_array_equal(a, nn.Linear(4, 5).weight.detach().numpy())


def test_factory_arguments():
    layer = nn.Linear(2, 3, device="cpu", dtype=np.float64)
    assert layer.weight.dtype == layer.bias.dtype == np.float64
    assert nn.Conv2d(1, 2, 3, dtype=dlcore.float64).weight.dtype == np.float64


@pytest.mark.parametrize(
    "text, error",
    [
        ("nn.Linear(3.0, 4)", TypeError),
        ("nn.Linear(3, '4')", TypeError),
        ("nn.Linear(-1, 4)", (ValueError, RuntimeError)),
        ("nn.Conv2d(3, 4, 2.0)", TypeError),
        ("nn.Conv2d(3, 4, 3, groups=2)", ValueError),
        ("nn.Conv2d(4, 3, 3, groups=2)", ValueError),
        ("nn.Conv2d(4, 4, 3, groups=0)", ValueError),
        ("nn.Conv2d(4, 4, 3, padding='full')", ValueError),
        ("nn.Conv2d(4, 4, 3, stride=2, padding='same')", ValueError),
        ("nn.Conv2d(4, 4, 3, padding_mode='mirror')", ValueError),
        ("nn.Dropout(1.5)", ValueError),
        ("nn.TripletMarginLoss(0)", ValueError),
        ("nn.Dropout(-0.1)", ValueError),
        ("nn.Unflatten(1, (2, 3.0))", TypeError),
        ("nn.ModuleList([1])", TypeError),
        ("nn.ModuleList(3)", TypeError),
        ("nn.ModuleDict({'a.b': nn.Identity()})", KeyError),
        ("nn.ModuleDict({'': nn.Identity()})", KeyError),
        ("nn.ModuleDict({'a': 1})", TypeError),
        ("nn.ModuleDict({'items': nn.Identity()})", KeyError),
        ("nn.Sequential(nn.Identity(), 3)", TypeError),
        ("nn.Sequential(nn.Identity())[1]", IndexError),
    ],
)
def test_bad_arguments_raise_as_in_torch(text, error):
    with pytest.raises(error):
        build(text, torch)
    with pytest.raises(error):
        build(text, dlcore)


# ---- Module ----------------------------------------------------------------------------------------------


def net(library):
    class Block(library.nn.Module):
        def __init__(self, n):
            super().__init__()
            self.fc = library.nn.Linear(n, n)
            self.register_buffer("steps", library.tensor([1.0, 2.0]))
            self.register_buffer("scratch", library.tensor([0.0]), persistent=False)
            self.act = library.nn.ReLU()

        def forward(self, x):
            return self.act(self.fc(x)) + x

    class Net(library.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = library.nn.Parameter(library.tensor([2.0]))
            self.blocks = library.nn.ModuleList([Block(3), Block(3)])
            self.heads = library.nn.ModuleDict({"a": library.nn.Linear(3, 2), "b": library.nn.Identity()})
            self.register_parameter("absent", None)

        def forward(self, x, head="a"):
            for b in self.blocks:
                x = b(x)
            return self.heads[head](x) * self.scale

    return Net()


def test_names_come_in_torchs_order():
    ours, theirs = net(dlcore), net(torch)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, method)()] == [n for n, _ in getattr(theirs, method)()]
    for method in ("parameters", "buffers", "modules", "children"):
        assert len(list(getattr(ours, method)())) == len(list(getattr(theirs, method)()))
    assert [n for n, _ in ours.named_parameters("p", recurse=False)] == ["p.scale"]
    assert repr(ours) == repr(theirs)


def test_get_by_path():
    m = net(dlcore)
    assert m.get_submodule("") is m
    assert m.get_submodule("blocks.1.fc") is m.blocks[1].fc
    assert m.get_parameter("blocks.0.fc.bias") is m.blocks[0].fc.bias
    assert m.get_buffer("blocks.0.steps") is m.blocks[0].steps
    for bad in ("blocks.7", "blocks.0.steps", "nothing"):
        with pytest.raises(AttributeError):
            m.get_submodule(bad)
    with pytest.raises(AttributeError):
        m.get_parameter("blocks.0")
    m.set_submodule("blocks.1.fc", nn.Identity())
    assert isinstance(m.blocks[1].fc, nn.Identity)


def test_attributes_move_between_registries():
    m = nn.Module()
    m.a = 3
    m.a = nn.Parameter(dlcore.tensor([1.0]))
    assert list(m._parameters) == ["a"] and m.a is m._parameters["a"]
    m.a = nn.Linear(1, 1)
    assert not m._parameters and list(m._modules) == ["a"] and m.a is m._modules["a"]
    m.a = None
    assert m.a is None and "a" in m._modules
    with pytest.raises(TypeError, match="cannot assign"):
        m.a = 4
    del m.a
    assert not m._modules and not hasattr(m, "a")
    m.register_buffer("b", dlcore.tensor([1.0]))
    m.b = dlcore.tensor([2.0])
    assert m._buffers["b"].tolist() == [2.0]
    with pytest.raises(TypeError, match="buffer"):
        m.b = [1]
    m._modules["late"] = nn.Identity()  # people write into the registry itself
    assert isinstance(m.late, nn.Identity)
    m._modules.pop("late")
    assert not hasattr(m, "late")


def test_registration_errors_are_torchs():
    for library in (dlcore, torch):
        m = library.nn.Linear(2, 2)
        p = library.nn.Parameter(library.tensor([1.0]))
        for bad, error in [
            (lambda: m.register_parameter("in_features", p), KeyError),
            (lambda: m.register_parameter("a.b", p), KeyError),
            (lambda: m.register_parameter("", p), KeyError),
            (lambda: m.register_parameter(3, p), TypeError),
            (lambda: m.register_parameter("x", library.tensor([1.0])), TypeError),
            (lambda: m.register_buffer("weight", library.tensor([1.0])), KeyError),
            (lambda: m.register_buffer("x", 3), TypeError),
            (lambda: m.add_module("weight", library.nn.Identity()), KeyError),
            (lambda: m.add_module("x", 3), TypeError),
            (lambda: m.train("yes"), ValueError),
            (lambda: m.to(library.int64), TypeError),
            (lambda: library.nn.Parameter(library.tensor([1, 2])), RuntimeError),
            (lambda: m.load_state_dict(3), TypeError),
            (lambda: library.nn.Module()(1), NotImplementedError),
        ]:
            with pytest.raises(error):
                bad()

        class Early(library.nn.Module):
            def __init__(self, value):
                self.x = value

        for value in (p, m):
            with pytest.raises(AttributeError, match="before Module"):
                Early(value)


def test_train_eval_apply_zero_grad_requires_grad():
    m = net(dlcore)
    assert m.training
    assert m.eval() is m and not any(k.training for k in m.modules())
    m.train()
    assert all(k.training for k in m.modules())
    seen = []
    assert m.apply(lambda k: seen.append(k)) is m
    assert seen[-1] is m and len(seen) == len(list(m.modules()))
    m(dlcore.tensor(np.ones((2, 3), np.float32))).sum().backward()
    assert m.scale.grad is not None
    m.zero_grad(set_to_none=False)
    assert m.scale.grad.tolist() == [0.0]
    m.zero_grad()
    assert m.scale.grad is None
    m.requires_grad_(False)
    assert not any(p.requires_grad for p in m.parameters())


def test_conversion_keeps_parameter_objects():
    m = net(dlcore)
    m.register_buffer("count", dlcore.tensor([3]))
    m(dlcore.tensor(np.ones((2, 3), np.float32))).sum().backward()
    before = list(m.parameters())
    assert m.double() is m
    assert all(a is b for a, b in zip(before, m.parameters()))
    assert m.scale.dtype == m.scale.grad.dtype == m.blocks[0].steps.dtype == np.float64
    assert m.count.dtype == np.int64
    assert m.float().scale.dtype == np.float32
    assert m.to("float64").scale.dtype == np.float64
    assert m.to("cpu", np.float32).scale.dtype == np.float32
    assert m.to(dlcore.tensor([1.0], dtype=np.float64)).scale.dtype == np.float64
    assert m.cpu().scale.device == "cpu"


def test_state_dict_shares_memory_and_loading_copies():
    m = nn.Linear(2, 2)
    state = m.state_dict()
    assert not state["weight"].requires_grad
    source = np.arange(4.0).reshape(2, 2)
    result = m.load_state_dict({"weight": source, "bias": [1.0, 2.0]})
    assert str(result) == "<All keys matched successfully>"
    np.testing.assert_array_equal(
        state["weight"].numpy(), source
    )  # seen through the old state dict, as in torch
    source[0, 0] = 9
    assert m.weight.tolist()[0][0] == 0.0
    assert m.weight.dtype == np.float32 and m.weight.requires_grad
    assert m.state_dict(keep_vars=True)["weight"] is m.weight
    assert list(m.state_dict(prefix="p.")) == ["p.weight", "p.bias"]


def test_load_state_dict_assign_takes_the_arrays():
    m = nn.Linear(2, 2)
    m.load_state_dict({"weight": dlcore.tensor(np.eye(2)), "bias": dlcore.tensor(np.zeros(2))}, assign=True)
    assert m.weight.dtype == np.float64 and isinstance(m.weight, nn.Parameter) and m.weight.requires_grad


def test_load_state_dict_reports_everything_together():
    ours, theirs = net(dlcore), net(torch)
    state = ours.state_dict()
    del state["blocks.0.fc.bias"]
    state["heads.a.weight"] = dlcore.tensor([1.0])
    state["heads.c.weight"] = dlcore.tensor([1.0])
    state["scale.x"] = dlcore.tensor([1.0])
    with pytest.raises(RuntimeError) as info:
        ours.load_state_dict(state)
    text = str(info.value)
    assert text.startswith("Error(s) in loading state_dict for Net:")
    assert 'Missing key(s) in state_dict: "blocks.0.fc.bias"' in text
    assert 'Unexpected key(s) in state_dict: "scale.x", "heads.c.weight"' in text
    assert "size mismatch for heads.a.weight" in text and "(1,)" in text and "(2, 3)" in text
    with pytest.raises(RuntimeError) as info:
        theirs.load_state_dict(to_torch(state))
    assert 'Unexpected key(s) in state_dict: "scale.x", "heads.c.weight"' in str(info.value)

    with pytest.raises(RuntimeError, match="size mismatch"):  # not even without strict
        ours.load_state_dict(state, strict=False)
    del state["heads.a.weight"]
    result = ours.load_state_dict(state, strict=False)
    assert result.missing_keys == ["blocks.0.fc.bias", "heads.a.weight"]
    assert result.unexpected_keys == ["scale.x", "heads.c.weight"]


def test_extra_state_and_state_dict_hooks():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 0

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    a, b = nn.Sequential(Counter()), nn.Sequential(Counter())
    a[0].n = 7
    b.load_state_dict(a.state_dict())
    assert b[0].n == 7
    with pytest.raises(RuntimeError, match="_extra_state"):
        b.load_state_dict({})

    m = nn.Linear(1, 1)
    m.register_load_state_dict_pre_hook(lambda mod, sd, prefix, *_: sd.update(weight=sd.pop("old")))
    m.register_load_state_dict_post_hook(lambda mod, keys: keys.missing_keys.clear())
    m.register_state_dict_post_hook(lambda mod, sd, prefix, meta: (sd.pop("bias"), None)[1])
    m.load_state_dict({"old": [[5.0]]})
    assert m.weight.item() == 5.0 and list(m.state_dict()) == ["weight"]


def test_shared_parameters_stay_shared():
    for library in (dlcore, torch):
        m = library.nn.Sequential(library.nn.Linear(3, 3), library.nn.Linear(3, 3))
        m[1].weight = m[0].weight
        assert [n for n, _ in m.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
        assert len(list(m.named_parameters(remove_duplicate=False))) == 4
        for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
            assert other[0].weight is other[1].weight and other[0].weight is not m[0].weight
            np.testing.assert_array_equal(numbers(other[0].weight), numbers(m[0].weight))
            assert list(other.state_dict()) == list(m.state_dict())
            assert other[0].weight.requires_grad


def test_copies_have_their_own_registries():
    m = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    m[0].register_buffer("b", dlcore.tensor([1.0]))
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert other[0].weight is other[0]._parameters["weight"]
        other[0].weight = nn.Parameter(dlcore.tensor([[1.0]]))
        assert m[0].weight.shape == (2, 2)
        assert other[0]._buffers["b"].tolist() == [1.0] and other[1].p == 0.1
        assert repr(other) == repr(m)


def test_module_is_freed_by_the_collector():
    m = nn.Sequential(nn.Linear(2, 2))
    ref = weakref.ref(m[0])
    del m
    gc.collect()
    assert ref() is None


def test_extra_repr_of_several_lines():
    def make(library):
        class M(library.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = library.nn.Sequential(library.nn.Linear(1, 1))

            def extra_repr(self):
                return "a=1\nb=2"

        return M()

    assert repr(make(dlcore)) == repr(make(torch))


# ---- containers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [dlcore, torch], ids=["dlcore", "torch"])
def test_sequential_is_a_sequence(library):
    n = library.nn
    a, b, c = n.Linear(1, 1), n.ReLU(), n.Linear(1, 2)
    s = n.Sequential(a, b)
    assert s.append(c) is s and len(s) == 3 and list(s) == [a, b, c]
    assert s[-1] is c and isinstance(s[:2], n.Sequential) and list(s[:2]) == [a, b]
    s[1] = n.Tanh()
    assert isinstance(s[1], n.Tanh)
    del s[0]
    assert list(s._modules) == ["0", "1"] and s[1] is c
    s.insert(0, a)
    assert s[0] is a and len(s) == 3
    assert s.pop(1) is not None and list(s) == [a, c]
    t = s + n.Sequential(b)
    assert len(t) == 3 and len(s) == 2
    s += n.Sequential(b)
    assert len(s) == 3 and len(s * 2) == 6 and len(2 * s) == 6
    s *= 2
    assert len(s) == 6 and len(s.extend([a])) == 7
    with pytest.raises(IndexError):
        s[7]
    with pytest.raises((TypeError, ValueError)):
        s + [a]
    with pytest.raises(TypeError):
        s * 1.5
    with pytest.raises(ValueError):
        s * 0


@pytest.mark.parametrize("library", [dlcore, torch], ids=["dlcore", "torch"])
def test_module_list_and_dict(library):
    n = library.nn
    a, b, c = n.Linear(1, 1), n.ReLU(), n.Linear(1, 2)
    m = n.ModuleList([a, b])
    m.append(c).extend([b])
    assert len(m) == 4 and m[-1] is b and c in m and list(m[1:3]) == [b, c]
    m.insert(1, c)
    assert list(m) == [a, c, b, c, b] and list(m._modules) == list("01234")
    del m[1:3]
    assert list(m) == [a, c, b]
    assert m.pop(0) is a and len(m) == 2
    m[0] = a
    m += [c]
    assert list(m) == [a, b, c] and list(m + [a]) == [a, b, c, a]
    with pytest.raises(IndexError):
        m[5]
    with pytest.raises(NotImplementedError):
        m(1)

    d = n.ModuleDict({"x": a, "y": b})
    d["z"] = c
    assert list(d) == ["x", "y", "z"] and "y" in d and len(d) == 3
    assert d.pop("x") is a and list(d.keys()) == ["y", "z"] and list(d.values()) == [b, c]
    d.update([("w", a)])
    assert dict(d.items()) == {"y": b, "z": c, "w": a}
    d.clear()
    assert len(d) == 0
    with pytest.raises(KeyError):
        d["y"]


@pytest.mark.parametrize("library", [dlcore, torch], ids=["dlcore", "torch"])
def test_parameter_list_and_dict(library):
    n, t = library.nn, library.tensor
    m = n.ParameterList([t([1.0]), n.Parameter(t([2.0, 3.0]))])
    m.append(t([4.0])).extend([t([5.0])])
    assert len(m) == 4 and isinstance(m[0], n.Parameter) and m[-1].tolist() == [5.0]
    assert [name for name, _ in m.named_parameters()] == ["0", "1", "2", "3"]
    m[0] = t([7.0])
    assert m[0].tolist() == [7.0] and len(m[1:3]) == 2 and [p.shape[0] for p in m] == [1, 2, 1, 1]
    m += [t([6.0])]
    assert len(m) == 5 and list(copy.deepcopy(m).state_dict()) == list("01234")
    with pytest.raises(IndexError):
        m[9]
    with pytest.raises(TypeError):
        n.ParameterList(3)

    d = n.ParameterDict({"a": t([1.0]), "b": t([2.0])})
    d["c"] = t([3.0])
    d["a"] = t([4.0])
    assert list(d) == ["a", "b", "c"] and "b" in d and d["a"].tolist() == [4.0] and len(d) == 3
    assert d.pop("b").tolist() == [2.0] and list(d.keys()) == ["a", "c"] and d.get("b") is None
    d.update([("e", t([1.0]))])
    assert [k for k, _ in d.items()] == ["a", "c", "e"] and len(list(d.values())) == 3
    assert [name for name, _ in d.named_parameters()] == ["a", "c", "e"]
    d.clear()
    assert len(d) == 0


def test_module_list_repr_folds_repeats():
    text = "nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU(), nn.Sequential(nn.ReLU(), nn.ReLU())])"
    assert repr(build(text, dlcore)) == repr(build(text, torch))
    assert repr(nn.ModuleList()) == repr(torch.nn.ModuleList())
    text = "nn.ModuleDict({'a': nn.Linear(1, 1), 'b': nn.ModuleList([nn.ReLU()])})"
    assert repr(build(text, dlcore)) == repr(build(text, torch))


@pytest.mark.parametrize("activation", ["ReLU", "Sigmoid", "Tanh"])
@pytest.mark.parametrize("layer", ["nn.Linear(6, 5)", "nn.Conv1d(3, 4, 3)", "nn.Conv2d(3, 4, 3)"])
def test_sequential_fuses_without_changing_results(layer, activation, rng):
    shape = {"nn.Linear(6, 5)": (4, 6), "nn.Conv1d(3, 4, 3)": (2, 3, 9), "nn.Conv2d(3, 4, 3)": (2, 3, 7, 8)}[
        layer
    ]
    m = build(f"nn.Sequential({layer}, nn.{activation}())", dlcore)
    a = rng.standard_normal(shape).astype(np.float32)

    def run(forward):
        m.zero_grad()
        x = dlcore.tensor(a, requires_grad=True)
        y = forward(x)
        (y * y).sum().backward()
        return [numbers(t).copy() for t in (y, x.grad, *(p.grad for p in m.parameters()))]

    for fused, plain in zip(run(m), run(lambda x: m[1](m[0](x)))):
        np.testing.assert_allclose(fused, plain, 2e-6, 1e-6)


def test_sequential_does_not_fuse_what_is_watched():
    m = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    x = dlcore.tensor([[1.0, -1.0]])
    seen = []
    handle = m[0].register_forward_hook(lambda mod, args, out: seen.append(numbers(out).copy()))
    with handle:
        m(x)
    assert len(seen) == 1
    m(x)
    assert len(seen) == 1

    class Doubling(nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2

    d = nn.Sequential(Doubling(2, 2), nn.ReLU())
    np.testing.assert_allclose(numbers(d(x)), np.maximum(2 * numbers(nn.Linear.forward(d[0], x)), 0), 1e-6)
    m[0].forward = lambda input: input
    assert m(x).tolist() == [[1.0, 0.0]]


# ---- errors carry the path -------------------------------------------------------------------------------


def test_error_carries_the_path_of_the_module():
    m = net(dlcore)
    m.blocks[1].fc = nn.Linear(4, 4)
    x = dlcore.tensor(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"^blocks\.1\.fc: linear: in_features must be"):
        m(x)
    outer = nn.Sequential(nn.Identity(), m)
    with pytest.raises(ValueError, match=r"^1\.blocks\.1\.fc: linear: in_features must be"):
        outer(x)
    with pytest.raises(ValueError, match=r"^linear: in_features must be"):  # its own path is empty
        m.blocks[1].fc(x)
    fused = nn.Sequential(nn.Linear(5, 2), nn.ReLU())
    with pytest.raises(ValueError, match=r"^0: linear: in_features must be"):
        fused(x)


def test_error_path_of_modules_that_are_not_registered():
    class Hides(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = [nn.Linear(5, 2)]

        def forward(self, x):
            return self.hidden[0](x)

    with pytest.raises(ValueError, match=r"^0: linear: in_features"):
        nn.Sequential(Hides())(dlcore.tensor([[1.0]]))


def test_other_errors_pass_unchanged():
    class Fails(nn.Module):
        def forward(self, x):
            raise x

    m = nn.Sequential(Fails())
    for error in (KeyError("k"), UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), ValueError(), ValueError(3)):
        args = error.args
        with pytest.raises(type(error)) as info:
            m(error)
        assert info.value is error and error.args == args


# ---- hooks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [dlcore, torch], ids=["dlcore", "torch"])
def test_forward_hooks(library):
    m = library.nn.Identity()
    x = library.tensor([1.0])
    log = []
    h1 = m.register_forward_pre_hook(lambda mod, args: log.append("pre") or (args[0] + 1,))
    h2 = m.register_forward_hook(lambda mod, args, out: log.append("post") or out * 10)
    assert m(x).item() == 20.0 and log == ["pre", "post"]
    m.register_forward_hook(lambda mod, args, out: log.append("first"), prepend=True)
    log.clear()
    m(x)
    assert log == ["pre", "first", "post"]
    h1.remove()
    h2.remove()
    assert m(x).item() == 1.0

    class Named(library.nn.Module):
        def forward(self, x, scale=1.0):
            return x * scale

    n = Named()
    with n.register_forward_pre_hook(lambda mod, args, kwargs: (args, {"scale": 3.0}), with_kwargs=True):
        assert n(x, scale=2.0).item() == 3.0
    with n.register_forward_hook(lambda mod, args, kwargs, out: out + kwargs["scale"], with_kwargs=True):
        assert n(x, scale=2.0).item() == 4.0
    assert n(x).item() == 1.0

    class Fails(library.nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    f = Fails()
    log.clear()
    f.register_forward_hook(lambda mod, args, out: log.append(out), always_call=True)
    with pytest.raises(RuntimeError, match="no"):
        f(x)
    assert log == [None]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
@pytest.mark.parametrize("library", [dlcore, torch], ids=["dlcore", "torch"])
def test_full_backward_hooks(library):
    m = library.nn.Linear(2, 1, bias=False)
    m.load_state_dict({"weight": library.tensor([[3.0, 4.0]])})
    log = []
    handle = m.register_full_backward_hook(lambda mod, gi, go: log.append((gi[0].tolist(), go[0].tolist())))
    x = library.tensor([[1.0, 2.0]], requires_grad=True)
    m(x).sum().backward()
    assert log == [([[3.0, 4.0]], [[1.0]])]
    assert x.grad.tolist() == [[3.0, 4.0]] and m.weight.grad.tolist() == [[1.0, 2.0]]
    handle.remove()
    with m.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 10,)):
        x.grad = None
        m(x).sum().backward()
        assert x.grad.tolist() == [[30.0, 40.0]]
    with m.register_full_backward_pre_hook(lambda mod, go: (go[0] * 2,)):
        x.grad = None
        m(x).sum().backward()
        assert x.grad.tolist() == [[6.0, 8.0]]
    log.clear()
    with m.register_full_backward_hook(lambda mod, gi, go: log.append((gi, go[0].tolist()))):
        m(library.tensor([[1.0, 2.0]])).sum().backward()  # no input asks for a gradient
        assert log == [((None,), [[1.0]])]


# ---- lazy, init, utils -----------------------------------------------------------------------------------


def test_lazy_linear_takes_its_size_from_the_first_input():
    m = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    held = list(m.parameters())
    assert m[0].has_uninitialized_params() and "Uninitialized" in repr(held[0])
    with pytest.raises(RuntimeError, match="first forward"):
        held[0].shape  # noqa: B018
    m.double()
    other = copy.deepcopy(m)
    y = m(dlcore.tensor(np.ones((2, 5))))
    assert y.shape == (2, 3) and type(m[0]) is nn.Linear
    assert m[0].weight is held[0] and held[0].shape == (3, 5) and type(held[0]) is nn.Parameter
    other.load_state_dict(m.state_dict())
    assert type(other[0]) is nn.LazyLinear and not other[0].has_uninitialized_params()
    np.testing.assert_array_equal(numbers(other[0].weight), numbers(m[0].weight))


INITS = [
    "uniform_(w, -2, 3)",
    "normal_(w, 1.0, 2.0)",
    "trunc_normal_(w, 0.1, 0.5, -0.2, 0.4)",
    "constant_(w, 0.3)",
    "ones_(w)",
    "zeros_(w)",
    "xavier_uniform_(w, gain=2.0)",
    "xavier_normal_(w)",
    "kaiming_uniform_(w, mode='fan_out')",
    "kaiming_normal_(w, a=0.1, nonlinearity='relu')",
    "kaiming_normal_(w, a=0.5)",
]


@pytest.mark.parametrize("text", INITS)
def test_init_distribution(text):
    dlcore.manual_seed(0)
    torch.manual_seed(0)
    shape = (100, 60, 3)
    w = dlcore.tensor(np.zeros(shape, np.float32))
    v = torch.zeros(shape)
    assert eval("nn.init." + text, {"nn": nn, "w": w}) is w
    eval("nn.init." + text, {"nn": torch.nn, "w": v})
    a, b = w.numpy().astype(np.float64), v.numpy().astype(np.float64)
    spread = max(b.std(), 1e-3)
    assert abs(a.mean() - b.mean()) < 0.12 * spread
    at = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(a, at), np.quantile(b, at), atol=0.12 * spread)


def test_init_exact_ones():
    for library in (dlcore, torch):
        n = library.nn
        assert n.init.eye_(library.tensor([[9.0] * 3] * 2)).tolist() == [[1, 0, 0], [0, 1, 0]]
        for shape in ((4, 6), (6, 4), (5, 2, 3)):
            q = numbers(n.init.orthogonal_(library.tensor(np.zeros(shape, np.float64)), gain=2.0)).reshape(
                shape[0], -1
            )
            gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
            np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)
        s = numbers(n.init.sparse_(library.tensor(np.zeros((10, 7), np.float32)), 0.35))
        assert ((s == 0).sum(0) == 4).all()
    for shape, groups in (((4, 2, 3), 2), ((2, 4, 3, 3), 1)):
        a = nn.init.dirac_(dlcore.tensor(np.ones(shape, np.float32)), groups)
        b = torch.nn.init.dirac_(torch.ones(shape), groups)
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.2) == torch.nn.init.calculate_gain("leaky_relu", 0.2)
    for bad in (
        lambda: nn.init.calculate_gain("gelu"),
        lambda: nn.init.xavier_uniform_(dlcore.tensor([1.0])),
        lambda: nn.init.eye_(dlcore.tensor([1.0])),
        lambda: nn.init.kaiming_uniform_(dlcore.tensor([[1.0]]), mode="fan"),
    ):
        with pytest.raises(ValueError):
            bad()


def test_init_rng_makes_it_repeatable_and_works_on_parameters():
    a, b = nn.Linear(3, 4), nn.Linear(3, 4)
    nn.init.normal_(a.weight, rng=5)
    nn.init.normal_(b.weight, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(numbers(a.weight), numbers(b.weight))
    assert a.weight.requires_grad


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf"), 3])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm(norm_type, max_norm, rng):
    ours, theirs = [], []
    for shape in ((3, 4), (5,), (2, 2, 2)):
        g = rng.standard_normal(shape)
        p, q = nn.Parameter(dlcore.tensor(g * 0)), torch.nn.Parameter(torch.from_numpy(g * 0))
        p.grad, q.grad = dlcore.tensor(g), torch.tensor(g)
        ours.append(p)
        theirs.append(q)
    ours.append(nn.Parameter(dlcore.tensor([1.0])))  # without a gradient
    close(
        nn.utils.clip_grad_norm_(ours, max_norm, norm_type),
        torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type),
    )
    for p, q in zip(ours, theirs):
        close(p.grad, q.grad)
    nn.utils.clip_grad_value_(ours, 0.01)
    torch.nn.utils.clip_grad_value_(theirs, 0.01)
    for p, q in zip(ours, theirs):
        close(p.grad, q.grad)


def test_clip_grad_norm_of_nothing_and_of_nan():
    p = nn.Parameter(dlcore.tensor([1.0, 2.0]))
    assert nn.utils.clip_grad_norm_(p, 1.0).item() == 0.0
    p.grad = dlcore.tensor([float("nan"), 1.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    p.grad = dlcore.tensor([float("inf"), 3.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [float("inf"), 3.0]  # as they were
    nn.utils.clip_grad_norm_([p], 1.0)
    assert np.isnan(p.grad.tolist()[0]) and p.grad.tolist()[1] == 0.0


def test_parameters_to_vector_and_back():
    m = nn.Linear(3, 2)
    v = nn.utils.parameters_to_vector(m.parameters())
    assert v.shape == (8,) and v.requires_grad
    np.testing.assert_array_equal(numbers(v)[:6], numbers(m.weight).ravel())
    nn.utils.vector_to_parameters(dlcore.tensor(np.arange(8, dtype=np.float32)), m.parameters())
    assert m.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and m.bias.tolist() == [6, 7]


def test_functional_is_the_same_under_both_names():
    assert F.linear is dlcore.functional.linear
    missing = [name for name in dir(dlcore.functional) if not name.startswith("_") and not hasattr(F, name)]
    assert not missing


def test_every_module_is_exported():
    names = {text.split("(")[0][3:] for text, _ in MODULES + LOSSES}
    names |= {"Module", "Parameter", "ModuleList", "ModuleDict", "LazyLinear", "utils", "init", "functional"}
    assert sorted(name for name in names if not hasattr(nn, name)) == []


# ---- training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, shape",
    [
        (
            "nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))",
            (10, 8),
        ),
        (
            "nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3),"
            " nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 2 * 2, 4))",
            (10, 1, 12, 12),
        ),
    ],
    ids=["mlp", "cnn"],
)
@pytest.mark.parametrize("optimizer", ["SGD(ps, lr=0.1, momentum=0.9)", "Adam(ps, lr=0.01)"])
def test_five_training_steps_equal_torchs(text, shape, optimizer, rng):
    ours, theirs = build(text, dlcore), build(text, torch)
    theirs.load_state_dict(to_torch(ours.state_dict()))
    x, y = rng.standard_normal(shape).astype(np.float32), rng.integers(0, 4, shape[0])
    o = eval("o." + optimizer, {"o": dlcore.optim, "ps": ours.parameters()})
    p = eval("o." + optimizer, {"o": torch.optim, "ps": theirs.parameters()})
    for _ in range(5):
        loss = nn.CrossEntropyLoss()(ours(dlcore.tensor(x)), dlcore.tensor(y))
        other = torch.nn.CrossEntropyLoss()(theirs(torch.from_numpy(x)), torch.from_numpy(y))
        assert abs(loss.item() - other.item()) < 1e-5
        for optim, value in ((o, loss), (p, other)):
            optim.zero_grad()
            value.backward()
            optim.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-4, atol=1e-5)
