"""Metrics by Keras' names: kept as sums over samples, computed on the batch's predictions in host memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.keras import losses
from dlcore.keras._registry import Registry
from dlcore.tensor import Tensor

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "F1Score",
    "Mean",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Sum",
    "TopKCategoricalAccuracy",
    "deserialize",
    "get",
    "serialize",
]

NDArray = npt.NDArray[Any]
_registry = Registry("keras.metrics", "metric")
deserialize = _registry.from_config
serialize = _registry.serialize


def _array(x: Any) -> NDArray:
    if isinstance(x, Tensor):
        x = x.detach()
        return (x if x.device == "cpu" else x.cpu()).numpy()  # type: ignore[no-any-return]
    return np.asarray(x)


class Metric:
    """Base class: override `update_state`, `result` and `reset_state`."""

    _keras_module = "keras.metrics"
    _fields: tuple[str, ...] = ()

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        from dlcore.keras._registry import snake_case

        self.name = name or snake_case(type(self).__name__)
        self.reset_state()

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    def result(self) -> Any:
        raise NotImplementedError

    def reset_state(self) -> None:
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, **{f: getattr(self, f) for f in self._fields}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{k: v for k, v in config.items() if k != "dtype"})


class _Reduced(Metric):
    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0

    def _add(self, values: NDArray, sample_weight: Any) -> None:
        if sample_weight is None:
            self.total += (
                float(values.sum(dtype=np.float64)) if values.dtype.kind == "f" else float(values.sum())
            )
            self.count += values.size
            return
        w = _array(sample_weight).astype(np.float64)
        if w.ndim > values.ndim and w.shape[-1] == 1:
            w = w[..., 0]
        w = np.broadcast_to(w.reshape(w.shape + (1,) * (values.ndim - w.ndim)), values.shape)
        self.total += float((values * w).sum())
        self.count += float(w.sum())

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0


@_registry.add()
class Mean(_Reduced):
    """The (weighted) mean of all values."""

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self._add(np.asarray(_array(values), np.float64), sample_weight)


@_registry.add()
class Sum(_Reduced):
    """The (weighted) sum of all values."""

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self._add(np.asarray(_array(values), np.float64), sample_weight)

    def result(self) -> float:
        return self.total


class MeanMetricWrapper(_Reduced):
    """The mean of `fn(y_true, y_pred)` over all samples."""

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **options: Any
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", "metric"))
        self.fn = fn
        self.options = options

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if sample_weight is None and not self.options:
            self._add(np.asarray(_array(self.fn(y_true, y_pred))), None)
        else:
            self._add(np.asarray(_array(self.fn(y_true, y_pred, **self.options))), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


# ---- a value a sample --------------------------------------------------------------------------------------


def _same_rank(t: NDArray, p: NDArray) -> tuple[NDArray, NDArray]:
    if t.ndim == p.ndim + 1 and t.shape[-1] == 1:
        t = t[..., 0]
    elif p.ndim == t.ndim + 1 and p.shape[-1] == 1:
        t = t[..., None]
    if t.ndim != p.ndim or any(a != b and 1 not in (a, b) for a, b in zip(t.shape, p.shape)):
        raise ValueError(f"metric: y_true and y_pred must have the same shape, got {t.shape} and {p.shape}")
    return t, p


def accuracy(y_true: Any, y_pred: Any) -> NDArray:
    """Whether both are equal."""
    t, p = _same_rank(_array(y_true), _array(y_pred))
    return np.asarray(t == p)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> NDArray:
    """Whether (y_pred > threshold) is y_true."""
    t, p = _same_rank(_array(y_true), _array(y_pred))
    return np.asarray((p > threshold) == t)


def categorical_accuracy(y_true: Any, y_pred: Any) -> NDArray:
    """Whether the largest of y_pred is where the largest of y_true is."""
    t, p = _array(y_true), _array(y_pred)
    if t.shape != p.shape:
        raise ValueError(
            f"categorical_accuracy: y_true and y_pred must have the same shape, got {t.shape}, {p.shape}"
        )
    return np.asarray(t.argmax(-1) == p.argmax(-1))


def _labels(t: NDArray, p: NDArray) -> NDArray:
    if t.ndim == p.ndim and t.shape[-1] == 1:
        t = t[..., 0]
    if t.shape != p.shape[:-1]:
        raise ValueError(
            f"metric: integer labels must have shape {p.shape[:-1]} for y_pred {p.shape}, got {t.shape}"
        )
    return t


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> NDArray:
    """Whether the largest of y_pred is at y_true."""
    p = _array(y_pred)
    return np.asarray(p.argmax(-1) == _labels(_array(y_true), p))


def _in_top_k(t: NDArray, p: NDArray, k: int) -> NDArray:
    mine = np.take_along_axis(p, t[..., None].astype(np.int64), -1)
    return np.asarray(((p > mine).sum(-1) < k) & np.isfinite(mine[..., 0]))


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> NDArray:
    """Whether fewer than k outputs exceed that at y_true."""
    p = _array(y_pred)
    return _in_top_k(_labels(_array(y_true), p), p, k)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> NDArray:
    """Whether fewer than k outputs exceed that at the largest of y_true."""
    return _in_top_k(_array(y_true).argmax(-1), _array(y_pred), k)


def _mean_metric(cls_name: str, f: Callable[..., Any], name: str, **options: Any) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = dict(zip((*options, "name") if options else ("name",), args))
        given.update(kwargs)
        own = given.pop("name", None) or name
        given.pop("dtype", None)
        unknown = [k for k in given if k not in options]
        if unknown:
            raise TypeError(f"{cls_name}: unexpected argument {unknown[0]!r}")
        MeanMetricWrapper.__init__(self, f, own, **{**options, **given})

    body = {"__init__": __init__, "__module__": __name__, "__doc__": f"The mean of: {f.__doc__}"}
    return _registry.add()(type(cls_name, (MeanMetricWrapper,), body))


Accuracy = _mean_metric("Accuracy", accuracy, "accuracy")
BinaryAccuracy = _mean_metric("BinaryAccuracy", binary_accuracy, "binary_accuracy", threshold=0.5)
CategoricalAccuracy = _mean_metric("CategoricalAccuracy", categorical_accuracy, "categorical_accuracy")
SparseCategoricalAccuracy = _mean_metric(
    "SparseCategoricalAccuracy", sparse_categorical_accuracy, "sparse_categorical_accuracy"
)
TopKCategoricalAccuracy = _mean_metric(
    "TopKCategoricalAccuracy", top_k_categorical_accuracy, "top_k_categorical_accuracy", k=5
)
SparseTopKCategoricalAccuracy = _mean_metric(
    "SparseTopKCategoricalAccuracy",
    sparse_top_k_categorical_accuracy,
    "sparse_top_k_categorical_accuracy",
    k=5,
)
MeanSquaredError = _mean_metric("MeanSquaredError", losses.mean_squared_error, "mean_squared_error")
MeanAbsoluteError = _mean_metric("MeanAbsoluteError", losses.mean_absolute_error, "mean_absolute_error")
BinaryCrossentropy = _mean_metric(
    "BinaryCrossentropy",
    losses.binary_crossentropy,
    "binary_crossentropy",
    from_logits=False,
    label_smoothing=0.0,
)
CategoricalCrossentropy = _mean_metric(
    "CategoricalCrossentropy",
    losses.categorical_crossentropy,
    "categorical_crossentropy",
    from_logits=False,
    label_smoothing=0.0,
)
SparseCategoricalCrossentropy = _mean_metric(
    "SparseCategoricalCrossentropy",
    losses.sparse_categorical_crossentropy,
    "sparse_categorical_crossentropy",
    from_logits=False,
)


@_registry.add()
class RootMeanSquaredError(_Reduced):
    """sqrt(mean (y_true - y_pred)^2)."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = _same_rank(_array(y_true), _array(y_pred))
        self._add(np.square(p.astype(np.float64) - t), sample_weight)

    def result(self) -> float:
        return float(np.sqrt(super().result()))


class _Confusion(Metric):
    """Counts of true positives, false positives and false negatives, a row a threshold."""

    _fields = ("thresholds", "top_k", "class_id")

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self._at = np.atleast_1d(np.asarray(0.5 if thresholds is None else thresholds, np.float64))
        super().__init__(name)

    def reset_state(self) -> None:
        self.tp = np.zeros(len(self._at))
        self.fp = np.zeros(len(self._at))
        self.fn = np.zeros(len(self._at))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = _same_rank(_array(y_true), _array(y_pred))
        t = np.broadcast_to(t != 0, p.shape)
        at = self._at
        if self.top_k is not None:
            kth = -np.sort(-p, -1)[..., self.top_k - 1 : self.top_k]
            p = np.where(p >= kth, p, -np.inf)
            at = np.asarray([-np.inf]) if self.thresholds is None else at
        w = np.ones(p.shape) if sample_weight is None else _array(sample_weight).astype(np.float64)
        w = np.broadcast_to(w.reshape(w.shape + (1,) * (p.ndim - w.ndim)), p.shape)
        if self.class_id is not None:
            t, p, w = t[..., self.class_id], p[..., self.class_id], w[..., self.class_id]
        for i, threshold in enumerate(at):
            yes = p > threshold
            self.tp[i] += w[yes & t].sum()
            self.fp[i] += w[yes & ~t].sum()
            self.fn[i] += w[~yes & t].sum()

    def _out(self, num: NDArray, den: NDArray) -> Any:
        r = np.divide(num, den, out=np.zeros_like(num), where=den > 0)
        return float(r[0]) if len(r) == 1 else r


@_registry.add()
class Precision(_Confusion):
    """true positives / all that were called positive."""

    def result(self) -> Any:
        return self._out(self.tp, self.tp + self.fp)


@_registry.add()
class Recall(_Confusion):
    """true positives / all that are positive."""

    def result(self) -> Any:
        return self._out(self.tp, self.tp + self.fn)


@_registry.add()
class F1Score(Metric):
    """2 tp / (2 tp + fp + fn) a class, then averaged (None, "micro", "macro", "weighted")."""

    _fields = ("average", "threshold")

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: Any = None,
    ) -> None:
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(f"F1Score: average must be None, micro, macro or weighted, got {average!r}")
        self.average, self.threshold = average, threshold
        super().__init__(name)

    def reset_state(self) -> None:
        self.counts: NDArray | None = None  # (3, classes): tp, fp, fn

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = _same_rank(_array(y_true), _array(y_pred))
        if p.ndim != 2:
            raise ValueError(f"F1Score: y_pred must have shape (samples, classes), got {p.shape}")
        yes = p > self.threshold if self.threshold is not None else p == p.max(1, keepdims=True)
        truth = t != 0
        w = np.ones((len(p), 1)) if sample_weight is None else _array(sample_weight).reshape(-1, 1)
        new = np.stack([(a * w).sum(0) for a in (yes & truth, yes & ~truth, ~yes & truth)])
        self.counts = new if self.counts is None else self.counts + new

    def result(self) -> Any:
        if self.counts is None:
            return 0.0
        tp, fp, fn = self.counts.sum(1, keepdims=True) if self.average == "micro" else self.counts
        den = 2 * tp + fp + fn
        f = np.divide(2 * tp, den, out=np.zeros_like(tp), where=den > 0)
        if self.average is None:
            return f
        if self.average == "weighted":
            return float((f * (tp + fn)).sum() / max((tp + fn).sum(), 1e-12))
        return float(f.mean())


@_registry.add()
class AUC(Metric):
    """The area under the ROC (or precision-recall) curve by trapezia over `num_thresholds` thresholds."""

    _fields = ("num_thresholds", "curve")

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", name: str = "auc", dtype: Any = None
    ) -> None:
        if num_thresholds < 2 or curve not in ("ROC", "PR"):
            raise ValueError(
                f"AUC: needs 2 thresholds or more and curve ROC or PR, got {num_thresholds}, {curve!r}"
            )
        self.num_thresholds, self.curve = num_thresholds, curve
        inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        self._edges = np.asarray([-1e-7, *inner, 1 + 1e-7])
        super().__init__(name)

    def reset_state(self) -> None:
        self.pos = np.zeros(self.num_thresholds)  # positives above each threshold
        self.neg = np.zeros(self.num_thresholds)
        self.all_pos = self.all_neg = 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = _same_rank(_array(y_true), _array(y_pred))
        if p.size and (p.min() < 0 or p.max() > 1):
            raise ValueError(f"AUC: predictions must be from 0 to 1, got {p.min()} to {p.max()}")
        w = np.ones(p.shape) if sample_weight is None else _array(sample_weight).astype(np.float64)
        w = np.broadcast_to(w.reshape(w.shape + (1,) * (p.ndim - w.ndim)), p.shape).ravel()
        truth = np.broadcast_to(t != 0, p.shape).ravel()
        # The number of thresholds that lie below each prediction.
        below = np.searchsorted(self._edges, p.ravel().astype(np.float64), side="left")
        for mask, into in ((truth, self.pos), (~truth, self.neg)):
            counts = np.bincount(below[mask], w[mask], self.num_thresholds + 1)
            into += counts[::-1].cumsum()[::-1][1:]
        self.all_pos += w[truth].sum()
        self.all_neg += w[~truth].sum()

    def result(self) -> float:
        recall = self.pos / max(self.all_pos, 1e-12)
        if self.curve == "ROC":
            fall = self.neg / max(self.all_neg, 1e-12)
            return float(np.sum((fall[:-1] - fall[1:]) * (recall[:-1] + recall[1:]) / 2))
        both = self.pos + self.neg
        precision = np.divide(self.pos, both, out=np.ones_like(both), where=both > 0)
        return float(np.sum((recall[:-1] - recall[1:]) * (precision[:-1] + precision[1:]) / 2))


_FUNCTIONS: dict[str, Any] = {
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
    "bce": BinaryCrossentropy,
    "auc": AUC,
}
_registry.by_name.update(_FUNCTIONS)
for _name in (
    "mean_squared_logarithmic_error",
    "mean_absolute_percentage_error",
    "kl_divergence",
    "poisson",
    "hinge",
):
    _registry.by_name[_name] = getattr(losses, _name)
for _name, _alias in (("mean_squared_logarithmic_error", "msle"), ("mean_absolute_percentage_error", "mape")):
    _registry.by_name[_alias] = getattr(losses, _name)
_registry.by_name["cosine_similarity"] = losses.cosine_similarity


def get(identifier: Any) -> Any:
    """A name, configuration, class, function or object -> a Metric (or the function)."""
    return _registry.get(identifier)


def as_metric(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """What an entry of compile's `metrics=` means, now that the shapes are known:
    it is named as it was written.
    """
    if isinstance(identifier, Metric):
        return identifier
    found: Any = identifier
    if isinstance(identifier, str):
        if identifier.lower() in ("accuracy", "acc"):
            t, p = np.shape(y_true), y_pred.shape
            if p[-1] == 1:
                found = BinaryAccuracy()
            elif len(t) < len(p) or (t[-1] == 1 and p[-1] > 1):
                found = SparseCategoricalAccuracy()
            else:
                found = CategoricalAccuracy()
        elif identifier.lower() in ("crossentropy", "ce"):
            found = losses.as_loss(identifier, y_true, y_pred)
        else:
            found = get(identifier)
    else:
        found = get(identifier)
    if not isinstance(found, Metric):
        found = MeanMetricWrapper(found.call if isinstance(found, losses.Loss) else found)
        name = getattr(identifier, "name", None) or getattr(identifier, "__name__", "metric")
        found.name = str(name)
    if isinstance(identifier, str):
        found.name = identifier
    assert isinstance(found, Metric)
    return found
