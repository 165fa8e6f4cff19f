"""The models: shapes, errors, and that they learn real data."""

import gzip

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.models import LeNet5


def optdigits(data_dir, name):
    with gzip.open(f"{data_dir}/optdigits/optdigits.{name}.gz", "rt") as f:
        table = np.loadtxt(f, delimiter=",", dtype=np.int64)
    x = table[:, :64].reshape(-1, 1, 8, 8).astype(np.float32) / 8 - 1
    return np.kron(x, np.ones((1, 1, 4, 4), np.float32)), table[:, 64]


def test_lenet5_has_the_papers_layers():
    m = LeNet5(image_size=32)
    assert [n for n, _ in m.named_parameters()] == [
        f"{layer}.{p}"
        for layer in ("features.c1", "features.c3", "features.c5", "classifier.f6", "classifier.output")
        for p in ("weight", "bias")
    ]
    assert m(dlcore.tensor(np.zeros((3, 1, 32, 32), np.float32))).shape == (3, 10)
    assert LeNet5(7, 3)(dlcore.tensor(np.zeros((0, 3, 28, 28), np.float32))).shape == (0, 7)
    with pytest.raises(ValueError, match="image_size must be 28 or 32"):
        LeNet5(image_size=30)
    with pytest.raises(ValueError, match="must be \\(N, C, 28, 28\\)"):
        LeNet5()(dlcore.tensor(np.zeros((1, 28, 28), np.float32)))


def test_lenet5_learns_optdigits(data_dir):
    x, y = optdigits(data_dir, "tra")
    x_test, y_test = optdigits(data_dir, "tes")
    dlcore.manual_seed(0)
    model = LeNet5(image_size=32)
    optimizer = dlcore.optim.Adam(model.parameters(), lr=2e-3)
    loss_of = nn.CrossEntropyLoss()
    order = np.random.default_rng(0)
    for _ in range(2):
        for rows in np.array_split(order.permutation(len(x)), len(x) // 32):
            loss = loss_of(model(dlcore.tensor(x[rows])), dlcore.tensor(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with dlcore.no_grad():
        guess = model.eval()(dlcore.tensor(x_test)).numpy().argmax(1)
    assert (guess == y_test).mean() > 0.93
