"""Restricted Boltzmann machines, and deep belief nets made of them.

G. E. Hinton, S. Osindero, Y.-W. Teh: A fast learning algorithm for deep belief nets, Neural Computation 18
(2006); contrastive divergence: G. E. Hinton, Neural Computation 14 (2002); persistent chains: T. Tieleman,
ICML 2008; practice (learning rates, momentum, sampling): G. E. Hinton, A practical guide to training
restricted Boltzmann machines (2010).

N examples, V visible units, H hidden units, C classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore import nn, optim
from dlcore.autograd import no_grad
from dlcore.nn import init
from dlcore.random import get_generator
from dlcore.tensor import Tensor, tensor

__all__ = ["DBN", "RBM"]

Report = Callable[[str], None]


def _uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    return tensor(rng.random(shape, np.float32))


def _bernoulli(p: Tensor, rng: np.random.Generator) -> Tensor:
    return (_uniform(p.shape, rng) < p).to(p.dtype)


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray[Any, Any]]:
    order = rng.permutation(n)
    for begin in range(0, n, size):
        yield order[begin : begin + size]


def _examples(op: str, x: Any, width: int) -> np.ndarray[Any, Any]:
    a = np.asarray(x.numpy() if isinstance(x, Tensor) else x, np.float32)
    if a.ndim != 2 or a.shape[1] != width or not len(a):
        raise ValueError(f"{op}: x must be (examples, {width}) with at least one example, got x={a.shape}")
    return a


def _labels(op: str, y: Any, n: int, classes: int) -> np.ndarray[Any, Any]:
    a = np.asarray(y.numpy() if isinstance(y, Tensor) else y)
    if a.shape != (n,) or a.dtype.kind not in "iu" or (n and not 0 <= a.min() <= a.max() < classes):
        raise ValueError(f"{op}: y must be {n} integers from 0 to {classes - 1}, got y={a.shape} {a.dtype}")
    one_hot: np.ndarray[Any, Any] = np.eye(classes, dtype=np.float32)[a]
    return one_hot


class RBM(nn.Module):
    """p(v, h) ∝ exp(-E), E(v, h) = -h W v - b v - c h; with real-valued visible units of variance 1,
    E(v, h) = ‖v - b‖² / 2 - c h - h W v. With `num_labels` a softmax group of label units y joins the visible
    ones: E gains -h U y - d y.

    p(h | v) = σ(W v + U y + c); p(v | h) = σ(Wᵀ h + b), or N(Wᵀ h + b, 1); p(y | h) = softmax(Uᵀ h + d).
    `forward(v)` is p(h | v): (N, V) -> (N, H), on the tape.

    Raises ValueError for sizes below 1 and for visible units that are neither "bernoulli" nor "gaussian".

    >>> import dlcore
    >>> rbm = RBM(6, 4)
    >>> rbm(dlcore.zeros(2, 6)).tolist()[0]
    [0.5, 0.5, 0.5, 0.5]
    """

    def __init__(
        self, num_visible: int, num_hidden: int, visible: str = "bernoulli", num_labels: int = 0
    ) -> None:
        super().__init__()
        if num_visible < 1 or num_hidden < 1 or num_labels < 0:
            raise ValueError(
                f"RBM: the sizes must be positive, got {num_visible}, {num_hidden}, {num_labels}"
            )
        if visible not in ("bernoulli", "gaussian"):
            raise ValueError(f"RBM: visible must be 'bernoulli' or 'gaussian', got {visible!r}")
        self.num_visible, self.num_hidden, self.visible = num_visible, num_hidden, visible
        self.num_labels = num_labels
        self.weight = nn.Parameter(
            init.normal_(tensor(np.zeros((num_hidden, num_visible), np.float32)), 0, 0.01)
        )
        self.visible_bias = nn.Parameter(tensor(np.zeros(num_visible, np.float32)))
        self.hidden_bias = nn.Parameter(tensor(np.zeros(num_hidden, np.float32)))
        self.label_weight = self.label_bias = None
        if num_labels:
            shape = (num_hidden, num_labels)
            self.label_weight = nn.Parameter(init.normal_(tensor(np.zeros(shape, np.float32)), 0, 0.01))
            self.label_bias = nn.Parameter(tensor(np.zeros(num_labels, np.float32)))

    label_weight: nn.Parameter | None
    label_bias: nn.Parameter | None

    def extra_repr(self) -> str:
        labels = f", num_labels={self.num_labels}" if self.num_labels else ""
        return f"{self.num_visible}, {self.num_hidden}, visible={self.visible!r}{labels}"

    def forward(self, v: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None or self.label_weight is None:
            return F.linear(v, self.weight, self.hidden_bias, "sigmoid")
        return F.sigmoid(F.linear(v, self.weight, self.hidden_bias) + F.linear(y, self.label_weight))

    def visible_mean(self, h: Tensor) -> Tensor:
        """The mean of p(v | h): (N, H) -> (N, V)."""
        activation = "sigmoid" if self.visible == "bernoulli" else ""
        return F.linear(h, self.weight.transpose(0, 1), self.visible_bias, activation)

    def label_probabilities(self, h: Tensor) -> Tensor:
        """p(y | h): (N, H) -> (N, C)."""
        if self.label_weight is None:
            raise ValueError("RBM: this machine has no label units")
        return F.softmax(F.linear(h, self.label_weight.transpose(0, 1), self.label_bias), -1)

    def free_energy(self, v: Tensor, y: Tensor | None = None) -> Tensor:
        """F(v) = -log Σₕ exp(-E(v, h)): (N, V) -> (N,); lower is more probable."""
        inputs = F.linear(v, self.weight, self.hidden_bias)
        if self.visible == "bernoulli":
            bias = -F.matmul(v, self.visible_bias)
        else:
            bias = ((v - self.visible_bias) ** 2).sum(-1) / 2
        if y is not None and self.label_weight is not None and self.label_bias is not None:
            inputs = inputs + F.linear(y, self.label_weight)
            bias = bias - F.matmul(y, self.label_bias)
        return bias - F.softplus(inputs).sum(-1)

    def class_log_probabilities(self, v: Tensor) -> Tensor:
        """log p(y | v), exact by the free energy of each class: (N, V) -> (N, C)."""
        if self.label_weight is None or self.label_bias is None:
            raise ValueError("RBM: this machine has no label units")
        inputs = F.linear(v, self.weight, self.hidden_bias)  # (N, H)
        per_class = [
            F.softplus(inputs + self.label_weight[:, c]).sum(-1) + self.label_bias[c]
            for c in range(self.num_labels)
        ]
        return F.log_softmax(F.stack(per_class, -1), -1)

    def sample_visible(self, h: Tensor, rng: Any = None) -> Tensor:
        """One draw from p(v | h)."""
        g, mean = get_generator(rng), self.visible_mean(h)
        if self.visible == "bernoulli":
            return _bernoulli(mean, g)
        return mean + tensor(g.standard_normal(mean.shape, np.float32))

    def sample_hidden(self, v: Tensor, y: Tensor | None = None, rng: Any = None) -> Tensor:
        """One draw from p(h | v, y)."""
        return _bernoulli(self(v, y), get_generator(rng))

    def sample_labels(self, h: Tensor, rng: Any = None) -> Tensor:
        """One draw from p(y | h), one-hot: Gumbel's maximum of perturbed logits."""
        p = self.label_probabilities(h)
        gumbel = get_generator(rng).gumbel(size=p.shape).astype(np.float32)
        best = (p.log() + tensor(gumbel)).argmax(-1)
        return tensor(np.eye(self.num_labels, dtype=np.float32)[best.numpy()])

    def gibbs(
        self, v: Tensor, steps: int = 1, y: Tensor | None = None, clamp_labels: bool = False, rng: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """`steps` times h ~ p(h | v, y), v ~ p(v | h), y ~ p(y | h), the labels held if `clamp_labels`."""
        g = get_generator(rng)
        with no_grad():
            for _ in range(steps):
                h = self.sample_hidden(v, y, g)
                v = self.sample_visible(h, g)
                if y is not None and not clamp_labels:
                    y = self.sample_labels(h, g)
        return v, y

    def contrast(
        self, v: Tensor, y: Tensor | None = None, k: int = 1, chains: Tensor | None = None, rng: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Sets every `.grad` to contrastive divergence's estimate of -∂ log p(v, y) / ∂θ: the statistics of
        the model, after k steps of Gibbs sampling, minus those of the data.

        The chain begins at the data, or at `chains`, the hidden states of persistent particles. Returns the
        reconstruction of the first step and the particles for the next call.
        """
        g = get_generator(rng)
        with no_grad():
            h0 = self(v, y)
            state = _bernoulli(h0, g) if chains is None else chains
            first = v1 = self.visible_mean(state)
            y1, hk = y, h0
            for step in range(k):
                if step:
                    v1 = self.visible_mean(state)
                if k > 1 or chains is not None:  # one step may do with means; they would bias a longer chain
                    if self.visible == "bernoulli":
                        v1 = _bernoulli(v1, g)
                    else:
                        v1 = v1 + tensor(g.standard_normal(v1.shape, np.float32))
                y1 = self.sample_labels(state, g) if y is not None else None
                hk = self(v1, y1)
                state = _bernoulli(hk, g)
            n, m = v.shape[0], v1.shape[0]

            def toward(param: nn.Parameter, model: Tensor, data: Tensor) -> None:
                param.grad = model / m - data / n

            toward(self.weight, hk.transpose(0, 1) @ v1, h0.transpose(0, 1) @ v)
            toward(self.visible_bias, v1.sum(0), v.sum(0))
            toward(self.hidden_bias, hk.sum(0), h0.sum(0))
            if (
                y is not None
                and y1 is not None
                and self.label_weight is not None
                and self.label_bias is not None
            ):
                toward(self.label_weight, hk.transpose(0, 1) @ y1, h0.transpose(0, 1) @ y)
                toward(self.label_bias, y1.sum(0), y.sum(0))
        return first, state

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 10,
        batch_size: int = 100,
        lr: float = 0.05,
        momentum: float = 0.9,
        initial_momentum: float = 0.5,
        weight_decay: float = 2e-4,
        k: int = 1,
        persistent: bool = False,
        rng: Any = None,
        report: Report | None = None,
    ) -> list[float]:
        """Learns x (N, V), and the labels y (N,), by contrastive divergence of k steps; with `persistent` the
        chains go on from batch to batch. `initial_momentum` holds for the first five epochs.

        Returns the mean squared error of the one-step reconstruction, by epoch.
        """
        a = _examples("RBM.fit", x, self.num_visible)
        if (y is None) == bool(self.num_labels):
            raise ValueError("RBM.fit: y must be given where the machine has label units, and only there")
        labels = None if y is None else _labels("RBM.fit", y, len(a), self.num_labels)
        if epochs < 0 or batch_size < 1 or k < 1:
            raise ValueError(
                f"RBM.fit: epochs, batch_size and k must be positive, got {epochs}, {batch_size}, {k}"
            )
        g = get_generator(rng)
        weights = [p for p in (self.weight, self.label_weight) if p is not None]
        biases = [p for p in (self.visible_bias, self.hidden_bias, self.label_bias) if p is not None]
        groups = [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]
        optimizer = optim.SGD(groups, lr=lr, momentum=momentum)
        chains = (
            _bernoulli(tensor(np.full((batch_size, self.num_hidden), 0.5, np.float32)), g)
            if persistent
            else None
        )
        history: list[float] = []
        for epoch in range(epochs):
            for group in optimizer.param_groups:
                group["momentum"] = initial_momentum if epoch < 5 else momentum
            error = 0.0
            for rows in _batches(len(a), batch_size, g):
                v = tensor(a[rows])
                one_hot = None if labels is None else tensor(labels[rows])
                first, state = self.contrast(v, one_hot, k, chains, g)
                if persistent:
                    chains = state
                    first = self.visible_mean(self(v, one_hot)).detach()
                optimizer.step()
                error += float(((v - first) ** 2).mean(-1).sum().item())
            history.append(error / len(a))
            if not math.isfinite(history[-1]):
                raise ValueError(f"RBM.fit: the weights have diverged; lower lr, got lr={lr}")
            if report is not None:
                report(f"epoch {epoch + 1}/{epochs}: reconstruction error {history[-1]:.4f}")
        self.zero_grad()
        return history


class DBN(nn.Module):
    """A stack of RBMs, each learning the hidden units of the one below, then fine-tuned as a classifier.

    `forward(x)`, (N, V) -> (N, C), is h₀ = x, hᵢ = σ(Wᵢ hᵢ₋₁ + cᵢ), logits = A h + a, all on the tape;
    without `num_classes` it is the top hidden units. With `num_labels` the top machine also models the label,
    so that `sample` draws examples of a class and `classify` answers without fine-tuning, as in the paper.

    >>> import dlcore, numpy as np
    >>> net = DBN([6, 4, 3], num_classes=2)
    >>> errors = net.pretrain(np.eye(6, dtype=np.float32), epochs=2, rng=0)
    >>> len(errors), net(dlcore.zeros(5, 6)).shape
    (2, (5, 2))
    """

    def __init__(
        self, sizes: Sequence[int], num_classes: int = 0, visible: str = "bernoulli", num_labels: int = 0
    ) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"DBN: sizes must name the visible and at least one hidden layer, got {sizes!r}")
        top = len(sizes) - 2
        self.rbms = nn.ModuleList(
            [
                RBM(v, h, visible if i == 0 else "bernoulli", num_labels if i == top else 0)
                for i, (v, h) in enumerate(itertools.pairwise(sizes))
            ]
        )
        self.num_labels = num_labels
        self.classifier = nn.Linear(sizes[-1], num_classes) if num_classes else None

    classifier: nn.Linear | None

    def _machines(self) -> list[RBM]:
        return list(self.rbms)  # type: ignore[arg-type]

    def hidden(self, x: Tensor, layers: int | None = None) -> Tensor:
        """The hidden units of layer `layers` (all by default), as probabilities."""
        for rbm in self._machines()[:layers]:
            x = rbm(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x)
        return h if self.classifier is None else self.classifier(h)

    def pretrain(
        self, x: Any, y: Any = None, *, report: Report | None = None, **fit: Any
    ) -> list[list[float]]:
        """Greedy layer-wise learning: each RBM is fitted (`RBM.fit`'s keywords) to the hidden probabilities
        of the one below; the top one also to the labels y where the net has label units.

        Returns the reconstruction errors by layer and epoch.
        """
        machines = self._machines()
        a = _examples("DBN.pretrain", x, machines[0].num_visible)
        fit["rng"] = get_generator(fit.get("rng"))
        history = []
        for i, rbm in enumerate(machines):
            say = (
                None if report is None else lambda line, i=i: report(f"layer {i + 1}/{len(machines)}: {line}")
            )
            history.append(rbm.fit(a, y if rbm.num_labels else None, report=say, **fit))
            with no_grad():
                parts = [rbm(tensor(a[b : b + 4096])).numpy() for b in range(0, len(a), 4096)]
            a = np.concatenate(parts)
        return history

    def classify(self, x: Tensor) -> Tensor:
        """log p(y | x) of the pre-trained net with label units: (N, V) -> (N, C)."""
        machines = self._machines()
        return machines[-1].class_log_probabilities(self.hidden(x, len(machines) - 1))

    def sample(self, n: int, steps: int = 200, label: int | None = None, rng: Any = None) -> Tensor:
        """n examples (n, V), as means: Gibbs sampling in the top machine, its label units held at `label`,
        then one pass down.
        """
        machines, g = self._machines(), get_generator(rng)
        top = machines[-1]
        if label is not None and not 0 <= label < self.num_labels:
            raise ValueError(f"DBN.sample: label must be from 0 to {self.num_labels - 1}, got {label}")
        with no_grad():
            v = _bernoulli(tensor(np.full((n, top.num_visible), 0.5, np.float32)), g)
            y = None
            if self.num_labels:
                drawn = g.integers(0, self.num_labels, n) if label is None else np.full(n, label)
                y = tensor(np.eye(self.num_labels, dtype=np.float32)[drawn])
            v, _ = top.gibbs(v, steps, y, label is not None, g)
            for rbm in machines[-2::-1]:
                v = rbm.visible_mean(v)
        return v
