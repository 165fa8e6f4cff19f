"""What `compile` was given, as losses and metrics an output, once a batch has shown what there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.keras import losses as losses_module
from dlcore.keras import metrics as metrics_module
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves

__all__ = ["CompileLoss", "CompileMetrics", "arranged"]


def _flat(tree: Any) -> list[Any]:
    """The leaves, None among them."""
    if isinstance(tree, dict):
        return [leaf for v in tree.values() for leaf in _flat(v)]
    if isinstance(tree, (list, tuple)):
        return [leaf for v in tree for leaf in _flat(v)]
    return [tree]


def names_of(y_pred: Any, output_names: list[str]) -> list[str] | None:
    """The outputs' names in the order in which `arranged` lists them."""
    if isinstance(y_pred, dict):
        return list(output_names) if set(output_names) == set(y_pred) else sorted(y_pred)
    return list(output_names) or None


def arranged(tree: Any, y_pred: Any, output_names: list[str], what: str) -> list[Any]:
    """Targets, weights or predictions as a list, one an output."""
    if tree is None:
        return []
    names = names_of(y_pred, output_names)
    if isinstance(tree, dict) and names is not None:
        if len(names) == 1 and len(tree) == 1:
            return _flat(tree)
        missing = [n for n in names if n not in tree]
        unknown = [n for n in tree if n not in names]
        if unknown or (missing and what == "y"):
            raise ValueError(
                f"{what} has the keys {list(tree)}, the model's outputs are {names}: y_true and y_pred have"
                " different structures"
            )
        return [leaf for n in names for leaf in (_flat(tree[n]) if n in tree else [None])]
    return _flat(tree)


class CompileLoss:
    """The losses of the outputs, weighted and summed; their means an output where there are several."""

    def __init__(self, loss: Any, loss_weights: Any, output_names: list[str]) -> None:
        if loss_weights is not None and not isinstance(loss_weights, (list, tuple, dict, int, float)):
            raise ValueError(
                "Expected `loss_weights` argument to be a float (single output case) or a list, tuple, or"
                f" dict (multiple output case). Received instead: loss_weights={loss_weights} of type"
                f" {type(loss_weights)}"
            )
        self.loss, self.loss_weights, self.output_names = loss, loss_weights, output_names
        self.built = False
        self.losses: list[Any] = []
        self.weights: list[float | None] = []
        self.metrics: list[metrics_module.Mean] = []
        self._means: list[metrics_module.Mean | None] = []

    def _each(self, given: Any, n: int, names: list[str] | None, what: str) -> list[Any]:
        if isinstance(given, dict):
            if names is None:
                names = list(given)
            unknown = [k for k in given if k not in names]
            if unknown and not (n == 1 and len(given) == 1):
                raise ValueError(
                    f"compile: {what} names {unknown[0]!r}, the outputs are {names}. Expected keys {names} in"
                    f" loss dict, but found loss.keys()={list(given)}"
                )
            return list(given.values()) if n == 1 else [given.get(k) for k in names]
        if isinstance(given, (list, tuple)):
            flat = _flat(given)
            if n == 1 and flat:
                return flat[:1]
            if len(flat) != n:
                raise ValueError(
                    f"compile: {what} must have one entry for each of the {n} outputs, got {len(flat)}"
                )
            return flat
        return [given] * n

    def build(self, y: list[Any], y_pred: list[Tensor], names: list[str] | None) -> None:
        n = len(y_pred)
        found = self._each(self.loss, n, names, "loss")
        weights = self._each(self.loss_weights, n, names, "loss_weights")
        if isinstance(self.loss_weights, (int, float)) and n > 1:
            raise ValueError(f"`loss_weights` must match the number of losses, got {n} losses and 1 weights.")
        self.weights = [None if w is None else float(w) for w in weights]
        targets = iter(y)
        if len(y) != n:
            used = [f for f in found if f is not None]
            if len(y) != len(used):
                raise ValueError(
                    f"fit: the model has {n} outputs, y has {len(y)}. y_true and y_pred have different"
                    " structures."
                )
        self.losses = []
        for f, p in zip(found, y_pred):
            t = next(targets) if len(y) == n or f is not None else None
            self.losses.append(None if f is None else losses_module.as_loss(f, t, p))
        self._means = [None] * n
        live = [i for i, f in enumerate(self.losses) if f is not None]
        if len(live) > 1:
            for i in live:
                name = names[i] if names is not None else getattr(self.losses[i], "name", "loss")
                self._means[i] = metrics_module.Mean(name=f"{name}_loss")
                self.metrics.append(self._means[i])  # type: ignore[arg-type]
        self.built = True

    def __call__(self, y: Any, y_pred: Any, sample_weight: Any) -> Any:
        names = names_of(y_pred, self.output_names)
        outputs = arranged(y_pred, y_pred, self.output_names, "y_pred")
        targets = arranged(y, y_pred, self.output_names, "y")
        if not self.built:
            self.build(targets, outputs, names)
        if len(targets) < len(outputs):
            given = iter(targets)
            targets = [None if f is None else next(given) for f in self.losses]
        for t, p in zip(targets, outputs):
            if t is not None and len(np.shape(t)) and np.shape(t)[0] != p.shape[0]:
                raise ValueError(
                    f"fit: y has {np.shape(t)[0]} samples in a batch, the model's output {p.shape[0]}"
                )
        weights = arranged(sample_weight, y_pred, self.output_names, "sample_weight")
        if len(weights) < len(outputs):
            weights = [weights[0] if weights else None] * len(outputs)
        total: Any = None
        for f, t, p, w, scale, mean in zip(self.losses, targets, outputs, weights, self.weights, self._means):
            if f is None:
                continue
            value = f(t, p, w)
            if value.ndim:
                value = value.mean()
            if mean is not None:
                mean.update_state(value.item(), p.shape[0])
            if scale is not None:
                value = value * scale
            total = value if total is None else total + value
        return total


class CompileMetrics(metrics_module.Metric):
    """The metrics of the outputs, by the names that logs give them."""

    def __init__(self, metrics: Any, weighted_metrics: Any, output_names: list[str]) -> None:
        for what, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if given and not isinstance(given, (list, tuple, dict)):
                raise ValueError(
                    f"compile: {what} must be a list, a tuple or a dict, got {given!r}. Expected `{what}`"
                    " argument to be a list, tuple, or dict."
                )
        self.given, self.weighted, self.output_names = metrics, weighted_metrics, output_names
        self.built = False
        self._entries: list[tuple[str, metrics_module.Metric, int, bool]] = []
        super().__init__(name="compile_metrics")

    @property
    def metrics(self) -> list[metrics_module.Metric]:
        return [m for _, m, _, _ in self._entries]

    @property
    def variables(self) -> list[Any]:
        return [v for m in self.metrics for v in m.variables]

    def _each(self, given: Any, n: int, names: list[str] | None, what: str) -> list[Any]:
        if n == 1:
            return [_flat(given)]
        if isinstance(given, dict):
            unknown = [k for k in given if names is None or k not in names]
            if unknown:
                raise ValueError(
                    f"compile: {what} names {unknown[0]!r}, the outputs are {names}. Invalid `{what}`."
                )
            return [given.get(k) for k in names or ()]
        if len(given) != n:
            raise ValueError(
                f"compile: {what} must have one entry for each of the {n} outputs, got {len(given)}. Invalid"
                f" `{what}`."
            )
        return list(given)

    def build(self, y: list[Any], y_pred: list[Tensor], names: list[str] | None) -> None:
        n = len(y_pred)
        taken: dict[str, int] = {}
        for given, weighted in ((self.given, False), (self.weighted, True)):
            if not given:
                continue
            per_output = self._each(given, n, names, "weighted_metrics" if weighted else "metrics")
            for i, entries in enumerate(per_output):
                for entry in entries if isinstance(entries, (list, tuple)) else [entries]:
                    if entry is None:
                        continue
                    metric = metrics_module.as_metric(entry, y[i], y_pred[i])
                    prefix = f"{names[i]}_" if n > 1 and names else ""
                    name = f"{prefix}{metric.name}"
                    if name in taken and weighted:
                        name = f"{prefix}weighted_{metric.name}"
                    if name in taken:
                        k = taken[name]
                        taken[name] += 1
                        name = f"{name}_{k}"
                    else:
                        taken[name] = 1
                    self._entries.append((name, metric, i, weighted))
        self.built = True

    def update_state(self, y: Any, y_pred: Any, sample_weight: Any = None) -> None:
        outputs = arranged(y_pred, y_pred, self.output_names, "y_pred")
        targets = arranged(y, y_pred, self.output_names, "y")
        if not self.built:
            self.build(targets, outputs, names_of(y_pred, self.output_names))
        if not self._entries:
            return
        weights = arranged(sample_weight, y_pred, self.output_names, "sample_weight")
        if weights and len(weights) < len(outputs):
            weights = [weights[0]] * len(outputs)
        detached: dict[int, Tensor] = {}
        for _, metric, i, weighted in self._entries:
            p = detached.get(i)
            if p is None:
                p = detached[i] = outputs[i].detach()
                mask = getattr(outputs[i], "_mask", None)
                if mask is not None:
                    p._mask = mask
            if weighted:
                metric.update_state(targets[i], p, weights[i] if weights else None)
            else:
                metric.update_state(targets[i], p)

    def result(self) -> dict[str, Any]:
        return {name: m.result() for name, m, _, _ in self._entries}

    def reset_state(self) -> None:
        for m in self.metrics:
            m.reset_state()


def checked_names(identifier: Any, get: Any, automatic: tuple[str, ...]) -> None:
    """Strings are checked when the model is compiled, not at the first batch."""
    for leaf in tree_leaves(identifier):
        if isinstance(leaf, str) and leaf.lower() not in automatic:
            get(leaf)
