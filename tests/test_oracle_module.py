# ruff: noqa: B023 (the functions run before the loop goes on)
"""Module, its hooks and what nn.utils does to one, beside torch."""

import copy
import pickle

import numpy as np
import pytest

import dlcore
from dlcore import nn
from tests import oracle

torch = oracle.torch()
LIBRARIES = [dlcore, torch]


def array(t):
    return np.array(t.detach().numpy())


def same_state(ours, theirs):
    """Ours gets torch's values; the names and their order agree."""
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: array(v) for k, v in state.items()})


def build(lib, text):
    return eval(text, {"nn": lib.nn, "P": lib.nn.utils.parametrizations, "U": lib.nn.utils})


def compare(ours, theirs, x, rtol=1e-5, calls=2):
    for _ in range(calls):
        a, b = dlcore.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        oracle.close(y, z, rtol, "output")
        (y * y).sum().backward()
        (z * z).sum().backward()
        oracle.close(a.grad, b.grad, 10 * rtol, "gradient of the input")
    others = dict(theirs.named_parameters())
    assert [n for n, _ in ours.named_parameters()] == list(others)
    for name, p in ours.named_parameters():
        oracle.close(p.grad, others[name].grad, 10 * rtol, name)


# ---- weight norm, spectral norm --------------------------------------------------------------------------

REWEIGHTED = [
    ("U.weight_norm(nn.Linear(5, 4))", (3, 5)),
    ("U.weight_norm(nn.Linear(5, 4), dim=None)", (3, 5)),
    ("U.weight_norm(nn.Linear(5, 4), dim=1)", (3, 5)),
    ("U.weight_norm(nn.Conv2d(2, 3, 3))", (2, 2, 5, 5)),
    ("P.weight_norm(nn.Linear(5, 4))", (3, 5)),
    ("P.weight_norm(nn.Conv1d(2, 3, 3), dim=1)", (2, 2, 5)),
    ("U.spectral_norm(nn.Linear(5, 4))", (3, 5)),
    ("U.spectral_norm(nn.Linear(5, 4), n_power_iterations=3, dim=1)", (3, 5)),
    ("U.spectral_norm(nn.Conv2d(2, 3, 3))", (2, 2, 5, 5)),
    ("P.spectral_norm(nn.Linear(5, 4))", (3, 5)),
    ("P.spectral_norm(nn.Conv2d(2, 3, 3), n_power_iterations=2, dim=1)", (2, 2, 5, 5)),
    ("P.spectral_norm(nn.Linear(5, 4), 'bias')", (3, 5)),
    ("P.spectral_norm(P.weight_norm(nn.Linear(5, 4)))", (3, 5)),
]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(("text", "shape"), REWEIGHTED, ids=lambda v: str(v))
def test_reweighted(text, shape, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    ours, theirs = build(dlcore, text), build(torch, text)
    assert repr(ours) == repr(theirs)
    same_state(ours, theirs)
    compare(ours, theirs, x)
    for n, b in ours.named_buffers():
        oracle.close(b, dict(theirs.named_buffers())[n], 1e-4, n)
    oracle.close(ours.eval()(dlcore.tensor(x)), theirs.eval()(torch.tensor(x)), 1e-5, "evaluation")
    if text[0] == "U":  # the weight of the classic form is no leaf: torch cannot copy it either
        return
    again = copy.deepcopy(ours)
    oracle.close(again(dlcore.tensor(x)), theirs(torch.tensor(x)), 1e-5, "copy")
    with dlcore.no_grad():
        for p in again.parameters():
            p.zero_()
    oracle.close(ours(dlcore.tensor(x)), theirs(torch.tensor(x)), 1e-5, "original beside its copy")


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_reweighting_is_removed(rng):
    x = rng.standard_normal((3, 5)).astype(np.float32)
    for text, remove in [
        ("U.weight_norm(nn.Linear(5, 4))", lambda lib, m: lib.nn.utils.remove_weight_norm(m)),
        ("U.spectral_norm(nn.Linear(5, 4))", lambda lib, m: lib.nn.utils.remove_spectral_norm(m)),
        ("P.weight_norm(nn.Linear(5, 4))",
         lambda lib, m: lib.nn.utils.parametrize.remove_parametrizations(m, "weight")),
        ("P.spectral_norm(nn.Linear(5, 4))",
         lambda lib, m: lib.nn.utils.parametrize.remove_parametrizations(m, "weight", False)),
    ]:  # fmt: skip
        ours, theirs = build(dlcore, text).eval(), build(torch, text).eval()
        same_state(ours, theirs)
        for lib, m in ((dlcore, ours), (torch, theirs)):
            remove(lib, m)
            with pytest.raises(ValueError):
                remove(lib, m)
        assert list(ours.state_dict()) == list(theirs.state_dict()) and type(ours) is nn.Linear
        assert repr(ours) == repr(theirs) and (text[0] == "P" or not ours._hooks)
        oracle.close(ours(dlcore.tensor(x)), theirs(torch.tensor(x)), 1e-5, text)
        assert ours.weight.requires_grad and isinstance(ours.weight, nn.Parameter)
    classic, new = (
        nn.utils.weight_norm(nn.Linear(5, 4)),
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)),
    )
    new.load_state_dict(classic.state_dict())
    np.testing.assert_allclose(array(new.weight), array(classic.weight), 1e-6)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_reweighting_errors():
    for lib in LIBRARIES:
        u, p = lib.nn.utils, lib.nn.utils.parametrizations
        m = lib.nn.Linear(2, 3, bias=False)
        for bad, error in [
            (lambda: u.weight_norm(u.weight_norm(lib.nn.Linear(2, 3))), RuntimeError),
            (lambda: u.spectral_norm(u.spectral_norm(lib.nn.Linear(2, 3))), RuntimeError),
            (lambda: u.spectral_norm(m, n_power_iterations=0), ValueError),
            (lambda: u.spectral_norm(m, "bias"), ValueError),
            (lambda: p.spectral_norm(m, n_power_iterations=0), ValueError),
            (lambda: p.spectral_norm(m, dim=2), IndexError),
            (lambda: p.spectral_norm(m, "other"), ValueError),
            (lambda: p.weight_norm(m, "other"), ValueError),
            (lambda: u.remove_weight_norm(m), ValueError),
            (lambda: u.remove_spectral_norm(m), ValueError),
            (lambda: u.weight_norm(lib.nn.LazyLinear(3)), ValueError),
        ]:
            with pytest.raises(error):
                bad()


def test_parametrize():
    results = []
    for lib in LIBRARIES:
        P = lib.nn.utils.parametrize

        class Double(lib.nn.Module):
            def forward(self, x):
                return x * 2

            def right_inverse(self, y):
                return y / 2

        class Shift(lib.nn.Module):
            def __init__(self):
                super().__init__()
                self.by = lib.nn.Parameter(lib.tensor(1.0))

            def forward(self, x):
                return x + self.by

        class Shorter(lib.nn.Module):
            def forward(self, x):
                return x[:1]

        m = lib.nn.Linear(3, 2)
        before = array(m.weight)
        P.register_parametrization(m, "weight", Double())
        log = [np.allclose(array(m.weight), before), P.is_parametrized(m), P.is_parametrized(m, "bias")]
        P.register_parametrization(m, "weight", Shift())
        log += [np.allclose(array(m.weight), before + 1), list(m.state_dict()), type(m).__name__]
        with pytest.raises(RuntimeError):
            m.weight = lib.zeros(2, 3)  # Shift has no inverse
        with pytest.raises(ValueError):
            P.register_parametrization(m, "weight", Shorter())
        with pytest.raises(ValueError):
            P.register_parametrization(m, "nothing", Double())
        with P.cached():
            log.append(m.weight is m.weight)
        log.append(m.weight is m.weight)
        with pytest.raises(RuntimeError):
            pickle.dumps(m)
        m(lib.ones(1, 3)).sum().backward()
        log.append([n for n, p in m.named_parameters() if p.grad is not None])
        other = copy.deepcopy(m)
        log.append(P.type_before_parametrizations(other) is lib.nn.Linear)
        P.remove_parametrizations(m, "weight")
        log += [np.allclose(array(m.weight), before + 1), type(m) is lib.nn.Linear, P.is_parametrized(other)]
        n = lib.nn.Linear(3, 2)
        P.register_parametrization(n, "weight", Double())
        n.weight = lib.ones(2, 3)
        log += [array(n.weight).tolist(), array(n.parametrizations.weight.original).tolist()]
        results.append(log)
    assert results[0] == results[1]


def test_fusion_with_batch_norm(rng):
    for bias in (True, False):
        w, b = rng.standard_normal((4, 3, 2, 2)), rng.standard_normal(4) if bias else None
        mean, scale, shift = rng.standard_normal((3, 4))
        var = rng.random(4)
        args = [w, b, mean, var, 1e-3, scale, shift]

        def both(lib):
            call = [a if a is None or isinstance(a, float) else lib.tensor(a) for a in args]
            return lib.nn.utils.fusion.fuse_conv_bn_weights(*call)

        for a, c in zip(both(dlcore), both(torch), strict=True):
            oracle.close(a, c, 1e-12, "fused")
    with pytest.raises(AssertionError, match="eval"):
        nn.utils.fuse_linear_bn_eval(nn.Linear(2, 2), type("BN", (), {"training": True, "num_features": 2})())


# ---- Module ----------------------------------------------------------------------------------------------


def test_hooks_in_torchs_order():
    logs = []
    for lib in LIBRARIES:
        log = []
        m = lib.nn.Linear(2, 2)
        m.register_forward_pre_hook(lambda m, a: log.append("pre 1"))
        m.register_forward_pre_hook(lambda m, a, k: log.append(f"pre 2 {sorted(k)}"), with_kwargs=True)
        m.register_forward_pre_hook(lambda m, a: log.append("pre 0"), prepend=True)
        m.register_forward_hook(lambda m, a, y: log.append("after 1"))
        gone = m.register_forward_hook(lambda m, a, y: log.append("gone"))
        m.register_forward_hook(lambda m, a, k, y: log.append(f"after 2 {len(a)}"), with_kwargs=True)
        m.register_forward_hook(lambda m, a, y: log.append("after 0"), prepend=True)
        m.register_forward_hook(lambda m, a, y: y * 2)
        m.register_forward_hook(lambda m, a, y: log.append("always"), always_call=True)
        m.register_full_backward_pre_hook(lambda m, g: log.append(f"back pre {g[0].shape == (3, 2)}"))
        m.register_full_backward_pre_hook(lambda m, g: (g[0] * 3,))
        m.register_full_backward_hook(lambda m, gi, go: log.append([len(gi), float(go[0].sum())]))
        m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0 + 7,), prepend=True)
        gone.remove()
        x = lib.ones(3, 2, requires_grad=True)
        m(x).sum().backward()
        log.append(array(x.grad).tolist())
        m(input=lib.ones(3, 2))
        with pytest.raises((RuntimeError, ValueError)):
            m(lib.ones(3, 5))
        logs.append(log)
    assert logs[0] == logs[1]


def test_backward_hook_without_an_input_that_needs_one_warns():
    for lib in LIBRARIES:
        m = lib.nn.Linear(2, 2)
        seen = []
        m.register_full_backward_hook(lambda m, gi, go: seen.append(gi))
        with pytest.warns(UserWarning, match="no inputs require gradients"):
            m(lib.ones(3, 2)).sum().backward()
        assert seen == [(None,)]


def test_always_call_is_silenced_beside_another_error():
    for lib in LIBRARIES:

        class Bad(lib.nn.Module):
            def forward(self, x):
                raise KeyError("mine")

        m = Bad()

        def hook(m, a, y):
            raise ValueError("of the hook")

        m.register_forward_hook(hook, always_call=True)
        with pytest.raises(KeyError, match="mine"), pytest.warns(UserWarning, match="silenced"):
            m(1)


def test_hook_results_of_the_wrong_kind_raise():
    for lib in LIBRARIES:
        m = lib.nn.Linear(2, 2)
        handle = m.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
        with pytest.raises(RuntimeError):
            m(lib.ones(1, 2))
        handle.remove()
        m.register_full_backward_pre_hook(lambda m, g: (g[0], g[0]))
        with pytest.raises(RuntimeError):
            m(lib.ones(1, 2, requires_grad=True)).sum().backward()


def test_state_dict_hooks():
    logs = []
    for lib in LIBRARIES:
        log = []
        m = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.Linear(2, 2))
        m[0].register_state_dict_pre_hook(lambda m, prefix, keep: log.append(("pre", prefix, keep)))
        m[0].register_state_dict_post_hook(lambda m, d, prefix, meta: log.append(("post", prefix, list(d))))
        m[1]._register_state_dict_hook(lambda m, d, prefix, meta: (d.pop(prefix + "bias"), None)[1])
        log.append(list(m.state_dict(keep_vars=True)))
        m[0].register_load_state_dict_pre_hook(lambda m, d, p, *rest: log.append((p, len(rest))))
        m[0].register_load_state_dict_post_hook(lambda m, keys: log.append(list(keys.missing_keys)))
        log.append(repr(m.load_state_dict(m.state_dict(), strict=False)).replace("_IncompatibleKeys", ""))
        n = lib.nn.Linear(2, 2)
        n.register_state_dict_post_hook(lambda *a: 3)
        with pytest.raises(RuntimeError, match="must return None"):
            n.state_dict()
        logs.append(log)
    assert logs[0] == logs[1]


def test_load_reports_everything_together():
    m = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = m.state_dict()
    state["0.weight"] = dlcore.zeros(5, 5)
    state["extra.bias"] = dlcore.zeros(1)
    del state["1.bias"]
    with pytest.raises(RuntimeError) as e:
        m.load_state_dict(state)
    for part in ('Unexpected key(s) in state_dict: "extra.bias"', 'Missing key(s) in state_dict: "1.bias"',
                 "size mismatch for 0.weight", "(5, 5)", "(3, 2)"):  # fmt: skip
        assert part in str(e.value)
    with pytest.raises(RuntimeError, match="size mismatch"):
        m.load_state_dict(state, strict=False)


def test_assign_takes_the_tensors():
    for lib in LIBRARIES:
        m = lib.nn.Linear(2, 2)
        m.bias.requires_grad_(False)
        state = {"weight": lib.ones(2, 2), "bias": lib.zeros(2)}
        old = m.weight
        m.load_state_dict(state, assign=True)
        assert m.weight is not old and m.weight.data_ptr() == state["weight"].data_ptr()
        assert isinstance(m.weight, lib.nn.Parameter) and m.weight.requires_grad and not m.bias.requires_grad


def test_buffers_as_attributes():
    results = []
    for lib in LIBRARIES:
        m = lib.nn.Module()
        m.a = lib.nn.Buffer(lib.tensor([1.0]))
        m.b = lib.nn.Buffer(lib.tensor([2.0]), persistent=False)
        m.w = lib.nn.Parameter(lib.tensor([3.0]))
        with pytest.raises(TypeError):
            m.w = lib.nn.Buffer(lib.tensor([4.0]))
        log = [list(m.state_dict()), [n for n, _ in m.named_buffers()], list(m._parameters)]
        n = copy.deepcopy(m)
        n.a.add_(1)
        log += [array(m.a).tolist(), array(n.a).tolist(), list(pickle.loads(pickle.dumps(m)).state_dict())]
        m.a = None
        log.append(list(m.state_dict()))
        with pytest.raises(TypeError):
            m.a = 3
        results.append(log)
    assert results[0] == results[1]


def test_small_ones():
    for lib in LIBRARIES:
        m = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.ReLU())
        assert "0" not in dir(m) and "forward" in dir(m) and "weight" in dir(m[0])
        assert m.share_memory() is m
        shape = m[0].weight.shape
        assert m.to_empty(device="cpu") is m and m[0].weight.shape == shape
        m.set_submodule("1", lib.nn.Tanh())
        m.set_submodule("new", lib.nn.Tanh())
        assert len(m) == 3
        for bad, error in [
            (lambda: m.set_submodule("", lib.nn.Tanh()), ValueError),
            (lambda: m.set_submodule("1", 3), ValueError),
            (lambda: m.set_submodule("7.a", lib.nn.Tanh()), AttributeError),
            (lambda: m.set_submodule("fresh", lib.nn.Tanh(), strict=True), AttributeError),
        ]:
            with pytest.raises(error):
                bad()
    m = nn.Linear(2, 2).type(np.float64)
    assert m.weight.dtype == np.float64
    for refuse in (m.half, m.bfloat16, lambda: m.register_backward_hook(print)):
        with pytest.raises(NotImplementedError):
            refuse()
    held = nn.Module()
    held.register_buffer("b", dlcore.ones(1))
    before = held.b
    assert held.float().b is before and held.double().b is not before


def test_an_error_carries_its_path_once():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(4, 4)

        def forward(self, x):
            return self.query(x)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Attention()

        def forward(self, x):
            return self.attention(x)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.ModuleList([Layer() for _ in range(4)])

        def forward(self, x):
            for i, layer in enumerate(self.layer):
                x = layer(x if i < 3 else x[..., :3])
            return x

    model = nn.Module()
    model.encoder = Encoder()
    model.forward = lambda x: model.encoder(x)
    for _ in range(2):  # the same each time
        with pytest.raises(ValueError) as e:
            model(dlcore.ones(2, 4))
        assert str(e.value).startswith("encoder.layer.3.attention.query: linear: ")
        assert str(e.value).count("encoder") == 1
    model.encoder.layer[2].register_forward_hook(lambda m, a, y: y)  # also through hooks
    with pytest.raises(ValueError, match=r"^encoder\.layer\.3\.attention\.query: linear: "):
        model(dlcore.ones(2, 4))

    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match=r"^1\.0: on purpose$"):
        nn.Sequential(nn.Identity(), nn.Sequential(Fails()))(1)


def test_lazy_modules():
    for lib in LIBRARIES:
        m = lib.nn.Sequential(lib.nn.LazyLinear(3), lib.nn.LazyLinear(2, bias=False))
        assert m[0].has_uninitialized_params()
        state = m.state_dict()
        assert isinstance(state["0.weight"], lib.nn.UninitializedParameter)
        other = copy.deepcopy(m)
        other.load_state_dict(state)  # nothing known yet
        assert other[0].has_uninitialized_params()
        full = lib.nn.Sequential(lib.nn.Linear(5, 3), lib.nn.Linear(3, 2, bias=False))
        other.load_state_dict(full.state_dict())
        assert not other[0].has_uninitialized_params() and type(other[0]) is lib.nn.LazyLinear
        assert other(lib.ones(1, 5)).shape == (1, 2) and type(other[0]) is lib.nn.Linear
        assert other[0].in_features == 5
        np.testing.assert_array_equal(array(other[0].weight), array(full[0].weight))
        p = lib.nn.UninitializedParameter()
        with pytest.raises(RuntimeError):
            p.shape  # noqa: B018
        p.materialize((2, 3))
        assert type(p) is lib.nn.Parameter and p.shape == (2, 3)
        b = lib.nn.UninitializedBuffer()
        b.materialize((4,))
        assert b.shape == (4,) and not b.requires_grad

    class Scale(nn.lazy.LazyModuleMixin):  # what other lazy layers build on
        def __init__(self):
            super().__init__()
            self.scale = nn.UninitializedParameter()
            self.register_buffer("mean", nn.UninitializedBuffer())

        def initialize_parameters(self, x):
            if self.has_uninitialized_params():
                self.scale.materialize(x.shape[-1:])
                self.mean.materialize(x.shape[-1:])
                nn.init.ones_(self.scale)
                nn.init.zeros_(self.mean)

        def forward(self, x):
            return (x - self.mean) * self.scale

    s = Scale().double()
    s = pickle.loads(pickle.dumps(s)) if Scale.__module__ == "__main__" else s
    assert s(dlcore.ones(2, 3, dtype=np.float64)).tolist() == [[1.0] * 3] * 2
    assert s.scale.dtype == s.mean.dtype == np.float64 and list(s.state_dict()) == ["scale", "mean"]


# ---- initialisers ----------------------------------------------------------------------------------------


def test_initialisers_beside_torch():
    import inspect

    from dlcore.nn import init

    for name in init.__all__:
        ours = [p for p in inspect.signature(getattr(init, name)).parameters.values() if p.name != "rng"]
        theirs = inspect.signature(getattr(torch.nn.init, name)).parameters.values()
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs], name
    for text, shape in [
        ("eye_(w)", (3, 5)), ("dirac_(w)", (4, 3, 3)), ("dirac_(w, 2)", (4, 2, 3, 3)),
        ("constant_(w, 0.3)", (2,)),
        ("ones_(w)", (2, 2)),
        ("zeros_(w)", (2, 2)),
    ]:  # fmt: skip
        w, v = dlcore.full(shape, 9.0), torch.full(shape, 9.0)
        eval("init." + text, {"init": init, "w": w})
        eval("init." + text, {"init": torch.nn.init, "w": v})
        np.testing.assert_array_equal(w.numpy(), v.numpy())
    w = init.orthogonal_(dlcore.zeros(3, 2, 4), gain=2.0, generator=0).numpy().reshape(3, 8)
    np.testing.assert_allclose(w @ w.T, 4 * np.eye(3), atol=1e-5)
    w = init.sparse_(dlcore.ones(10, 7), 0.3, generator=1).numpy()
    assert ((w == 0).sum(0) == 3).all()
    a, b = (init.normal_(dlcore.zeros(5), generator=3).tolist() for _ in range(2))
    assert a == b == init.normal_(dlcore.zeros(5), rng=3).tolist()
    with pytest.raises(TypeError, match="not both"):
        init.normal_(dlcore.zeros(5), generator=3, rng=3)
    for lib in LIBRARIES:
        i = lib.nn.init
        for bad in (
            lambda: i.eye_(lib.zeros(3)),
            lambda: i.dirac_(lib.zeros(3, 3)),
            lambda: i.dirac_(lib.zeros(3, 3, 3), 2),
            lambda: i.xavier_uniform_(lib.zeros(3)),
            lambda: i.kaiming_normal_(lib.zeros(3, 3), mode="fan"),
            lambda: i.kaiming_normal_(lib.zeros(3, 3), nonlinearity="cube"),
            lambda: i.orthogonal_(lib.zeros(3)),
            lambda: i.sparse_(lib.zeros(3), 0.1),
            lambda: i.calculate_gain("leaky_relu", "x"),
        ):
            with pytest.raises(ValueError):
                bad()
        with pytest.warns(UserWarning, match="zero-element"):
            i.kaiming_uniform_(lib.zeros(0, 3))
        with pytest.warns(UserWarning, match="more than 2 std"):
            i.trunc_normal_(lib.zeros(3), mean=10.0)
