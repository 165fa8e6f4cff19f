"""nan_guard: the first layer that goes wrong is named, forward and backward, and nothing is left behind."""

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.debug import nan_guard


class Log(nn.Module):
    def forward(self, x):
        return x.log()


class Root(nn.Module):
    """Its gradient at 0 is infinite, its value is not."""

    def forward(self, x):
        return (x * 0).sqrt() + x


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.log = Log()

    def forward(self, x):
        return self.log(self.fc(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), Block()])
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def hooks(model):
    return [m._hooks for m in model.modules() if m._hooks] + [
        p._hooks for p in model.parameters() if hasattr(p, "_hooks") and (p._hooks[0] or p._hooks[1])
    ]


def net():
    model = Net()
    with dlcore.no_grad():
        model.layers[1].fc.bias.fill_(-100.0)  # the logarithm of a negative number
    return model


def test_forward_names_the_innermost_layer():
    model = net()
    with pytest.raises(FloatingPointError) as e, nan_guard(model):
        model(dlcore.ones(4, 3))
    text = str(e.value)
    assert text.startswith(
        "nan_guard: the output of 'layers.1.log' (Log) is not finite: 12 of 12 elements (12 nan)"
    )
    assert "the first at (0, 0) is nan; its input was finite" in text
    assert "input=(4, 3) float32, output=(4, 3) float32" in text
    assert hooks(model) == []


def test_first_bad_index_and_kinds():
    model = nn.Sequential(nn.Identity(), Log())
    x = dlcore.tensor([[1.0, 2.0], [3.0, 0.0], [-1.0, 1.0]])
    with (
        pytest.raises(
            FloatingPointError,
            match=r"'1' \(Log\).*2 of 6 elements \(1 nan, 1 inf\), the first at \(1, 1\) is -inf",
        ),
        nan_guard(model),
    ):
        model(x)


def test_bad_input_is_said():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with (
        pytest.raises(FloatingPointError, match=r"'0' \(Linear\).*its input already was: 1 of 2 elements"),
        nan_guard(model),
    ):
        model(dlcore.tensor([[np.inf, 1.0]]))


def test_the_model_itself_is_named():
    with pytest.raises(FloatingPointError, match=r"the output of the model \(Log\)"), nan_guard(m := Log()):
        m(dlcore.tensor([-1.0]))


def test_backward_names_layer_and_maker():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), Root()), nn.Linear(2, 1))
    with nan_guard(model):
        y = model(dlcore.ones(3, 2))
        with pytest.raises(
            FloatingPointError,
            match=r"the gradient of the output of '1.0' \(ReLU\) is not finite: .*"
            r"the backward of '1.1' \(Root\).*input=\(3, 2\)",
        ):
            y.sum().backward()
    assert hooks(model) == []


def test_gradient_from_the_loss():
    model = nn.Sequential(nn.Linear(2, 2))
    with nan_guard(model):
        y = model(dlcore.ones(3, 2))
        with pytest.raises(
            FloatingPointError, match=r"gradient of the output of '0' \(Linear\).*such as the loss"
        ):
            (y * np.inf).sum().backward()


def test_gradient_of_a_parameter():
    class Bad(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(dlcore.zeros(2))

        def forward(self, x):
            return x + self.scale.sqrt()

    model = nn.Sequential(Bad())
    with nan_guard(model):
        y = model(dlcore.ones(3, 2))
        with pytest.raises(
            FloatingPointError, match=r"gradient of the parameter '0.scale' of '0' \(Bad\).*2 inf"
        ):
            y.sum().backward()


def test_warn_once_for_each_pass():
    model = net()
    with nan_guard(model, action="warn"):
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match="'layers.1.log'") as record:
                model(dlcore.ones(4, 3))
            assert len(record) == 1


def test_good_training_goes_on_and_hooks_of_others_stay():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(4, 2))
    seen = []
    model[0].register_forward_hook(lambda m, a, y: seen.append(y.shape))
    plain = [p.detach().clone() for p in model.parameters()]
    results = []
    for guarded in (False, True):
        dlcore.manual_seed(0)
        for p, q in zip(model.parameters(), plain, strict=True):
            p.data = q.clone()
            p.grad = None
        guard = nan_guard(model)
        if guarded:
            guard.__enter__()
        loss = model(dlcore.ones(5, 3)).sum()
        loss.backward()
        if guarded:
            guard.__exit__()
        results.append([loss.item()] + [p.grad.numpy().tobytes() for p in model.parameters()])
    assert results[0] == results[1] and len(seen) == 2
    assert len(hooks(model)) == 1


def test_errors_pass_through_and_depth_recovers():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2))
    with nan_guard(model) as guard:
        with pytest.raises(ValueError, match=r"^1: linear: "):
            model(dlcore.ones(2, 3))
        assert guard._depth == 0
    assert hooks(model) == []


def test_arguments():
    with pytest.raises(TypeError, match="must be a Module"):
        nan_guard(3)
    with pytest.raises(ValueError, match="'raise' or 'warn'"):
        nan_guard(nn.Identity(), action="log")
