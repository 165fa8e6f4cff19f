"""Restricted Boltzmann machines against sums over all their states; deep belief nets that learn digits."""

import gzip
import itertools

import numpy as np
import pytest

import dlcore
from dlcore.models import DBN, RBM


def states(n):
    return np.array(list(itertools.product([0, 1], repeat=n)), np.float32)


def random_rbm(v=4, h=3, visible="bernoulli", labels=0, seed=0):
    rng = np.random.default_rng(seed)
    rbm = RBM(v, h, visible, labels)
    with dlcore.no_grad():
        for p in rbm.parameters():
            p.copy_(dlcore.tensor(rng.normal(0, 0.7, p.shape).astype(np.float32)))
    return rbm


def energy(rbm, v, h, y=None):
    w, b, c = (x.detach().numpy().astype(float) for x in (rbm.weight, rbm.visible_bias, rbm.hidden_bias))
    first = -v @ b if rbm.visible == "bernoulli" else ((v - b) ** 2).sum() / 2
    e = first - h @ c - h @ w @ v
    if y is not None:
        e -= h @ rbm.label_weight.detach().numpy() @ y + rbm.label_bias.detach().numpy() @ y
    return e


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_free_energy_and_conditionals_are_sums_over_all_states(visible):
    rbm = random_rbm(visible=visible)
    rng = np.random.default_rng(1)
    v = rng.normal(size=(5, 4)).astype(np.float32) if visible == "gaussian" else states(4)[::3]
    free = rbm.free_energy(dlcore.tensor(v)).detach().numpy()
    hidden = rbm(dlcore.tensor(v)).detach().numpy()
    for i, row in enumerate(v):
        weights = np.array([np.exp(-energy(rbm, row, h)) for h in states(3)])
        np.testing.assert_allclose(free[i], -np.log(weights.sum()), rtol=1e-5)
        np.testing.assert_allclose(hidden[i], weights @ states(3) / weights.sum(), rtol=1e-5)
    if visible == "bernoulli":
        for h in states(3):
            weights = np.array([np.exp(-energy(rbm, s, h)) for s in states(4)])
            mean = rbm.visible_mean(dlcore.tensor(h[None])).detach().numpy()[0]
            np.testing.assert_allclose(mean, weights @ states(4) / weights.sum(), rtol=1e-5)


def test_class_probabilities_are_exact():
    rbm = random_rbm(labels=3)
    v = states(4)[5]
    one_hot = np.eye(3, dtype=np.float32)
    weights = np.array([sum(np.exp(-energy(rbm, v, h, y)) for h in states(3)) for y in one_hot])
    ours = rbm.class_log_probabilities(dlcore.tensor(v[None])).detach().numpy()[0]
    np.testing.assert_allclose(np.exp(ours), weights / weights.sum(), rtol=1e-5)
    energies = (
        rbm.free_energy(dlcore.tensor(np.repeat(v[None], 3, 0)), dlcore.tensor(one_hot)).detach().numpy()
    )
    np.testing.assert_allclose(energies, -np.log(weights), rtol=1e-5)


@pytest.mark.parametrize("clamp", [False, True])
def test_gibbs_sampling_reaches_the_distribution(clamp):
    rbm = random_rbm(labels=2)
    n = 20000
    y = dlcore.tensor(np.tile(np.eye(2, dtype=np.float32)[1], (n, 1)))
    v, y = rbm.gibbs(dlcore.zeros(n, 4), 40, y, clamp, rng=0)
    one_hot = np.eye(2, dtype=np.float32)
    p = np.array(
        [[sum(np.exp(-energy(rbm, s, h, c)) for h in states(3)) for c in one_hot] for s in states(4)]
    )
    if clamp:
        p[:, 0] = 0
    p /= p.sum()
    index = (v.numpy() @ [8, 4, 2, 1]).astype(int)
    got = np.zeros((16, 2))
    np.add.at(got, (index, y.numpy().argmax(1)), 1 / n)
    assert np.abs(got - p).max() < 5 * np.sqrt(p.max() / n)


def test_contrastive_divergence_of_many_steps_is_the_likelihoods_gradient():
    rbm = random_rbm()
    data = states(4)[[1, 3, 3, 9]]
    v = dlcore.tensor(np.repeat(data, 8000, 0))
    rbm.contrast(v, k=30, rng=0)
    p = np.array([[np.exp(-energy(rbm, s, h)) for h in states(3)] for s in states(4)])
    p /= p.sum()
    model_w = np.einsum("vh,hi,vj->ij", p, states(3), states(4))
    hidden = rbm(dlcore.tensor(data)).detach().numpy()
    np.testing.assert_allclose(rbm.weight.grad.numpy(), model_w - hidden.T @ data / 4, atol=0.02)
    np.testing.assert_allclose(rbm.visible_bias.grad.numpy(), p.sum(1) @ states(4) - data.mean(0), atol=0.02)
    np.testing.assert_allclose(rbm.hidden_bias.grad.numpy(), p.sum(0) @ states(3) - hidden.mean(0), atol=0.02)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_fit_raises_the_likelihood(visible, persistent):
    rng = np.random.default_rng(0)
    bars = np.repeat(rng.integers(0, 2, (600, 4)), 2, 1).astype(np.float32)  # pairs of equal pixels
    x = (
        (bars - 0.5) * 2 + rng.normal(0, 0.1, bars.shape).astype(np.float32)
        if visible == "gaussian"
        else bars
    )
    rbm = RBM(8, 6, visible)
    lr = 0.02 if visible == "gaussian" or persistent else 0.1  # persistent chains want small steps
    options = {"epochs": 60, "batch_size": 20, "lr": lr, "rng": 0}
    errors = rbm.fit(x, persistent=persistent, **options)
    assert errors[-1] < 0.5 * errors[0]
    again = RBM(8, 6, visible)
    broken = dlcore.tensor(x[:, rng.permutation(8)])  # the pairs are torn apart
    assert rbm.free_energy(dlcore.tensor(x)).mean().item() < rbm.free_energy(broken).mean().item()
    with dlcore.no_grad():
        for p, q in zip(again.parameters(), RBM(8, 6, visible).parameters()):
            p.copy_(q * 0)
    first = again.fit(x, persistent=persistent, **options)
    with dlcore.no_grad():
        for p in again.parameters():
            p.zero_()
    assert again.fit(x, persistent=persistent, **options) == first  # the seed decides


def test_bad_arguments_are_told():
    with pytest.raises(ValueError, match="sizes must be positive"):
        RBM(0, 3)
    with pytest.raises(ValueError, match="visible must be"):
        RBM(2, 3, "poisson")
    rbm = RBM(4, 3)
    with pytest.raises(ValueError, match=r"x must be \(examples, 4\)"):
        rbm.fit(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="y must be given"):
        rbm.fit(np.zeros((2, 4)), [0, 1])
    with pytest.raises(ValueError, match="y must be 2 integers from 0 to 2"):
        RBM(4, 3, num_labels=3).fit(np.zeros((2, 4)), [0, 3])
    with pytest.raises(ValueError, match="no label units"):
        rbm.class_log_probabilities(dlcore.zeros(1, 4))
    with pytest.raises(ValueError, match="diverged"):
        rbm.fit(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="at least one hidden"):
        DBN([4])
    with pytest.raises(ValueError, match="label must be"):
        DBN([4, 3], num_labels=2).sample(1, label=2)


def test_dbn_pretrains_generates_classifies_and_is_fine_tuned(data_dir):
    def read(name):
        with gzip.open(f"{data_dir}/optdigits/optdigits.{name}.gz", "rt") as f:
            table = np.loadtxt(f, delimiter=",", dtype=np.int64)
        return (table[:, :64] / 16).astype(np.float32), table[:, 64]

    (x, y), (x_test, y_test) = read("tra"), read("tes")
    dlcore.manual_seed(0)
    net = DBN([64, 100, 100], num_classes=10, num_labels=10)
    lines = []
    errors = net.pretrain(x, y, epochs=12, batch_size=32, lr=0.1, rng=0, report=lines.append)
    assert len(lines) == 24 and all(e[-1] < e[0] for e in errors)
    generative = net.classify(dlcore.tensor(x_test)).detach().numpy().argmax(1)
    assert (generative == y_test).mean() > 0.85
    drawn = net.sample(50, 100, label=3, rng=1)
    assert drawn.shape == (50, 64)
    assert (net.classify(drawn).detach().numpy().argmax(1) == 3).mean() > 0.5
    before = (net(dlcore.tensor(x_test)).detach().numpy().argmax(1) == y_test).mean()
    optimizer = dlcore.optim.Adam(net.parameters(), lr=2e-3)
    order = np.random.default_rng(0)
    for _ in range(8):
        for rows in np.array_split(order.permutation(len(x)), len(x) // 64):
            loss = dlcore.nn.functional.cross_entropy(net(dlcore.tensor(x[rows])), dlcore.tensor(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    after = (net(dlcore.tensor(x_test)).detach().numpy().argmax(1) == y_test).mean()
    assert before < 0.5 < 0.93 < after
