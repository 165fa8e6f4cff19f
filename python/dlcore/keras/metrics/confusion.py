"""Counts of right and wrong by thresholds: precision, recall, AUC, F scores, intersection over union, R2."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from dlcore.keras.metrics.base import Metric, NDArray, array, registry, same_rank

__all__ = [
    "AUC",
    "BinaryIoU",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "IoU",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

_NOWHERE = -1e10
_EPSILON = 1e-7


def _ratio(a: Any, b: Any) -> NDArray:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    y: NDArray = np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)
    return y


def _thresholds(given: Any, default: float) -> list[float]:
    if given is None:
        return [default]
    out = list(given) if isinstance(given, (list, tuple, np.ndarray)) else [given]
    bad = [t for t in out if t is None or t < 0 or t > 1]
    if bad:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {bad}")
    return [float(t) for t in out]


def _even(thresholds: NDArray) -> bool:
    n = len(thresholds)
    return n >= 3 and np.allclose(thresholds, np.arange(n, dtype=np.float32) / (n - 1), atol=_EPSILON)


def _kept_top_k(p: NDArray, k: int) -> NDArray:
    best = np.argsort(-p, -1, kind="stable")[..., :k]
    kept = np.zeros(p.shape, np.bool_)
    np.put_along_axis(kept, best, True, -1)
    return np.where(kept, p, _NOWHERE)


class _Counts(Metric):
    """tp, fp, tn, fn at each threshold (and label, where `_labels` is set)."""

    _at: NDArray
    _edges: bool = False  # the first and last threshold lie outside of [0, 1]
    _labels: int | None = None
    class_id: int | None = None
    top_k: int | None = None

    def reset_state(self) -> None:
        shape = (len(self._at),) if self._labels is None else (len(self._at), self._labels)
        self.tp, self.fp, self.tn, self.fn = [np.zeros(shape) for _ in range(4)]

    def _count(
        self, y_true: Any, y_pred: Any, sample_weight: Any, label_weights: Any = None, multi: bool = False
    ) -> None:
        p, t = same_rank(array(y_pred).astype(np.float32), array(y_true))
        w: Any = None
        if sample_weight is not None:
            w = array(sample_weight).astype(np.float64)[..., None]
            _, w = same_rank(t, w, False)
        if self.top_k is not None:
            p = _kept_top_k(p, self.top_k)
        if self.class_id is not None:
            if p.ndim == 1:
                raise ValueError(
                    "When class_id is provided, y_pred must be a 2D array with shape (num_samples,"
                    f" num_classes), found shape: {p.shape}"
                )
            t, p = t[..., self.class_id, None], p[..., self.class_id, None]
        weights = np.ones(p.shape) if w is None else np.broadcast_to(w, p.shape)
        if label_weights is not None:
            weights = weights * np.asarray(label_weights)
        yes = np.broadcast_to(t != 0, p.shape)
        n = len(self._at)
        # below[i]: how many thresholds a prediction exceeds; they are the first ones, in ascending order.
        order = np.argsort(self._at, kind="stable")
        if _even(self._at):
            below = np.ceil(np.clip(p, 0, 1) * np.float32(n - 1)).astype(np.int64)
            if self._edges:
                below = np.maximum(below, 1)
        else:
            below = np.searchsorted(self._at[order].astype(np.float32), p, side="left")
        columns = range(p.shape[-1]) if multi else [None]
        for c in columns:
            pick = (slice(None),) if c is None else (..., c)
            b, y, v = below[pick].ravel(), yes[pick].ravel(), weights[pick].ravel()
            for truth, over, under in ((y, self.tp, self.fn), (~y, self.fp, self.tn)):
                counts = np.bincount(b[truth], v[truth], n + 1)
                above = counts[::-1].cumsum()[::-1][1:]
                into = (order,) if c is None else (order, c)
                over[into] += above
                under[into] += v[truth].sum() - above


def _one_or_all(x: NDArray) -> Any:
    return float(x[0]) if len(x) == 1 else x


class _Count(_Counts):
    _fields = ("thresholds",)
    _which = "tp"

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        self._at = np.asarray(_thresholds(thresholds, 0.5))
        self.thresholds = thresholds
        super().__init__(dtype, name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._count(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        return _one_or_all(getattr(self, self._which))


@registry.add()
class TruePositives(_Count):
    """How many positives are called so."""


@registry.add()
class FalsePositives(_Count):
    """How many negatives are called positive."""

    _which = "fp"


@registry.add()
class TrueNegatives(_Count):
    """How many negatives are called so."""

    _which = "tn"


@registry.add()
class FalseNegatives(_Count):
    """How many positives are called negative."""

    _which = "fn"


class _Rate(_Counts):
    _fields = ("thresholds", "top_k", "class_id")
    _direction = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self._at = np.asarray(_thresholds(thresholds, 0.5 if top_k is None else _NOWHERE))
        super().__init__(dtype, name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._count(y_true, y_pred, sample_weight)


@registry.add()
class Precision(_Rate):
    """true positives / all that were called positive."""

    def result(self) -> Any:
        return _one_or_all(_ratio(self.tp, self.tp + self.fp))


@registry.add()
class Recall(_Rate):
    """true positives / all that are positive."""

    def result(self) -> Any:
        return _one_or_all(_ratio(self.tp, self.tp + self.fn))


class _AtRate(_Counts):
    """The best of one rate among the thresholds at which another is at least a value."""

    _fields: tuple[str, ...] = ("num_thresholds", "class_id")
    _direction = "up"

    def __init__(
        self, what: str, value: float, num_thresholds: int, class_id: Any, name: Any, dtype: Any
    ) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"Argument `{what}` must be in the range [0, 1]. Received: {what}={value}")
        if num_thresholds <= 0:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 0. Received: num_thresholds={num_thresholds}"
            )
        setattr(self, what, value)
        self.value, self.num_thresholds, self.class_id = value, num_thresholds, class_id
        inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        self._at = np.asarray([0.5] if num_thresholds == 1 else [0.0, *inner, 1.0])
        super().__init__(dtype, name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._count(y_true, y_pred, sample_weight)

    def _best(self, bound: NDArray, wanted: NDArray) -> float:
        # In float32, as the bound is meant: a rate of 0.8 that was counted is not below 0.8.
        return float(np.where(bound.astype(np.float32) >= np.float32(self.value), wanted, 0).max(initial=0))

    @property
    def _sensitivity(self) -> NDArray:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def _specificity(self) -> NDArray:
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def _precision(self) -> NDArray:
        return _ratio(self.tp, self.tp + self.fp)


@registry.add()
class SensitivityAtSpecificity(_AtRate):
    """The best sensitivity where the specificity is at least `specificity`."""

    _fields = ("num_thresholds", "specificity", "class_id")

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("specificity", specificity, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._best(self._specificity, self._sensitivity)


@registry.add()
class SpecificityAtSensitivity(_AtRate):
    """The best specificity where the sensitivity is at least `sensitivity`."""

    _fields = ("num_thresholds", "sensitivity", "class_id")

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("sensitivity", sensitivity, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._best(self._sensitivity, self._specificity)


@registry.add()
class PrecisionAtRecall(_AtRate):
    """The best precision where the recall is at least `recall`."""

    _fields = ("num_thresholds", "recall", "class_id")

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("recall", recall, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._best(self._sensitivity, self._precision)


@registry.add()
class RecallAtPrecision(_AtRate):
    """The best recall where the precision is at least `precision`."""

    _fields = ("num_thresholds", "precision", "class_id")

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("precision", precision, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._best(self._precision, self._sensitivity)


def _choice(what: str, value: Any, choices: tuple[str, ...]) -> str:
    value = getattr(value, "value", value)
    for c in choices:
        if isinstance(value, str) and value.lower() == c.lower():
            return c
    raise ValueError(f'Invalid AUC {what} value: "{value}". Expected values are {list(choices)}')


@registry.add("auc")
class AUC(_Counts):
    """The area under the ROC, precision-recall or precision-recall-gain curve over `num_thresholds`
    thresholds.

    The precision-recall curve is interpolated as Davis and Goadrich 2006 do.
    """

    _direction = "up"
    _edges = True

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        self.curve = _choice("curve", curve, ("ROC", "PR", "PRGAIN"))
        self.summation_method = _choice(
            "summation method", summation_method, ("interpolation", "majoring", "minoring")
        )
        self._given = thresholds is not None
        if thresholds is not None:
            inner = sorted(float(t) for t in thresholds)
            num_thresholds = len(inner) + 2
        else:
            if num_thresholds <= 1:
                raise ValueError(
                    "Argument `num_thresholds` must be an integer > 1. Received:"
                    f" num_thresholds={num_thresholds}"
                )
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        self._at = np.asarray([-_EPSILON, *inner, 1 + _EPSILON])
        self.num_thresholds = num_thresholds
        if num_labels and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = None if label_weights is None else np.asarray(label_weights, np.float64)
        self._labels = num_labels if multi_label else None
        super().__init__(dtype, name)

    @property
    def thresholds(self) -> list[float]:
        return [float(t) for t in self._at]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        p = array(y_pred)
        if self.multi_label and self._labels is None:
            if p.ndim != 2:
                raise ValueError(
                    f"`y_pred` must have rank 2 when `multi_label=True`. Found rank {p.ndim}. Full shape"
                    f" received for `y_pred`: {p.shape}"
                )
            self._labels = p.shape[1]
            self.reset_state()
        if self.from_logits:
            p = 1 / (1 + np.exp(-p))
        elif p.size and (p.min() < 0 or p.max() > 1):
            raise ValueError(f"AUC: predictions must be from 0 to 1, got {p.min()} to {p.max()}")
        self._count(
            y_true, p, sample_weight, None if self.multi_label else self.label_weights, self.multi_label
        )

    def _terms(self) -> NDArray:
        tp, fp, tn, fn = self.tp, self.fp, self.tn, self.fn
        if self.curve == "PR" and self.summation_method == "interpolation":
            dtp, p = tp[:-1] - tp[1:], tp + fp
            slope = _ratio(dtp, np.maximum(p[:-1] - p[1:], 0))
            intercept = tp[1:] - slope * p[1:]
            both = (p[:-1] > 0) & (p[1:] > 0)
            quotient = np.where(both, _ratio(p[:-1], np.maximum(p[1:], 0)), 1.0)
            return _ratio(slope * (dtp + intercept * np.log(quotient)), np.maximum(tp[1:] + fn[1:], 0))
        recall = _ratio(tp, tp + fn)
        if self.curve == "ROC":
            x, y = _ratio(fp, fp + tn), recall
        elif self.curve == "PR":
            x, y = recall, _ratio(tp, tp + fp)
        else:
            scale = _ratio(tp + fn, tn + fp)
            x = np.maximum(np.where(tp == 0, 0.0, 1 - scale * _ratio(fn, tp)), 0)
            y = np.where(tp == 0, 1.0, 1 - scale * _ratio(fp, tp))
        a, b = y[:-1], y[1:]
        heights = {"interpolation": (a + b) / 2, "minoring": np.minimum(a, b), "majoring": np.maximum(a, b)}
        return np.asarray((x[:-1] - x[1:]) * heights[self.summation_method])

    def result(self) -> Any:
        area = self._terms().sum(0)
        if not self.multi_label:
            return float(area)
        w = self.label_weights
        return float(area.mean()) if w is None else float(_ratio((area * w).sum(), w.sum()))

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else self.label_weights.tolist(),
            "from_logits": self.from_logits,
        }
        return {**config, "thresholds": self.thresholds[1:-1]} if self._given else config


@registry.add()
class FBetaScore(Metric):
    """(1 + beta^2) precision recall / (beta^2 precision + recall) a class, then averaged (None, "micro",
    "macro", "weighted"). Without `threshold` the largest output is the class."""

    _fields: tuple[str, ...] = ("average", "beta", "threshold")
    _direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                "Invalid `average` argument value. Expected one of: {None, 'micro', 'macro', 'weighted'}. "
                f"Received: average={average}"
            )
        if not isinstance(beta, float) or beta <= 0:
            raise ValueError(
                "Invalid `beta` argument value. It should be a Python float. It should be > 0. Received:"
                f" beta={beta}"
            )
        if threshold is not None and (not isinstance(threshold, float) or not 0 < threshold <= 1):
            raise ValueError(
                "Invalid `threshold` argument value. It should be a Python float. It should verify 0 <"
                f" threshold <= 1. Received: threshold={threshold}"
            )
        self.average, self.beta, self.threshold = average, beta, threshold
        super().__init__(dtype, name)

    def reset_state(self) -> None:
        self.counts: NDArray | None = None  # (3, classes): tp, fp, fn

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = array(y_true).astype(np.float64), array(y_pred)
        if p.ndim != 2 or t.ndim != 2:
            raise ValueError(
                "FBetaScore expects 2D inputs with shape (batch_size, output_dim). Received input shapes: "
                f"y_pred.shape={p.shape} and y_true.shape={t.shape}."
            )
        if self.threshold is None:
            yes = ((p >= p.max(-1, keepdims=True)) & (np.abs(p) > 1e-9)).astype(np.float64)
        else:
            yes = (p > self.threshold).astype(np.float64)
        w = np.ones((len(p), 1)) if sample_weight is None else array(sample_weight).reshape(-1, 1)
        new = np.stack([(a * w).sum(0) for a in (yes * t, yes * (1 - t), (1 - yes) * t, t)])
        self.counts = new if self.counts is None else self.counts + new

    def result(self) -> Any:
        if self.counts is None:
            return 0.0
        tp, fp, fn, weight = self.counts.sum(1, keepdims=True) if self.average == "micro" else self.counts
        precision, recall = tp / (tp + fp + _EPSILON), tp / (tp + fn + _EPSILON)
        b = self.beta**2
        f = precision * recall / (b * precision + recall + _EPSILON) * (1 + b)
        if self.average is None:
            return f
        if self.average == "weighted":
            return float((f * weight / (weight.sum() + _EPSILON)).sum())
        return float(f.mean())


@registry.add()
class F1Score(FBetaScore):
    """The F score of beta 1: the harmonic mean of precision and recall."""

    _fields = ("average", "threshold")

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)


@registry.add()
class IoU(Metric):
    """The mean over `target_class_ids` of tp / (tp + fp + fn)."""

    _fields: tuple[str, ...] = (
        "num_classes",
        "target_class_ids",
        "ignore_class",
        "sparse_y_true",
        "sparse_y_pred",
        "axis",
    )
    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        self.num_classes, self.target_class_ids = num_classes, list(target_class_ids)
        if max(self.target_class_ids) >= num_classes:
            raise ValueError(
                f"Target class id {max(self.target_class_ids)} is out of range, which is [0, {num_classes})."
            )
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        super().__init__(dtype or "int32", name)

    def reset_state(self) -> None:
        self.total_cm = np.zeros((self.num_classes, self.num_classes), np.dtype(self.dtype))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = array(y_true), array(y_pred)
        t = (t if self.sparse_y_true else t.argmax(self.axis)).astype(np.int64).ravel()
        p = (p if self.sparse_y_pred else p.argmax(self.axis)).astype(np.int64).ravel()
        w = np.ones(1) if sample_weight is None else array(sample_weight)
        if w.dtype.kind == "f" and np.dtype(self.dtype).kind == "i" and sample_weight is not None:
            warnings.warn(
                "You are passing weight as `float`, but dtype is `int`. This may result in an incorrect"
                " weight due to type casting Consider using integer weights.",
                stacklevel=2,
            )
        w = np.broadcast_to(w.astype(self.dtype).ravel(), t.shape)
        n = self.num_classes
        kept = (t >= 0) & (t < n) & (p >= 0) & (p < n)
        if self.ignore_class is not None:
            kept &= t != self.ignore_class
        np.add.at(self.total_cm, (t[kept], p[kept]), w[kept])

    def result(self) -> Any:
        cm = self.total_cm.astype(np.float64)
        tp = np.diag(cm)
        union = cm.sum(0) + cm.sum(1) - tp
        tp, union = tp[self.target_class_ids], union[self.target_class_ids]
        seen = union > 1e-9
        iou = np.where(seen, tp / (union + _EPSILON), 0.0)
        return float(iou.sum() / (seen.sum() + _EPSILON))


@registry.add()
class BinaryIoU(IoU):
    """IoU of two classes, y_pred at least `threshold` being class 1."""

    _fields = ("target_class_ids", "threshold")

    def __init__(
        self,
        target_class_ids: Any = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, array(y_pred).astype(np.float32) >= self.threshold, sample_weight)


@registry.add()
class MeanIoU(IoU):
    """IoU over all classes."""

    _fields: tuple[str, ...] = ("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )


@registry.add()
class OneHotIoU(IoU):
    """IoU of one-hot labels and predictions."""

    _fields = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis")

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


@registry.add()
class OneHotMeanIoU(MeanIoU):
    """IoU over all classes of one-hot labels and predictions."""

    _fields = ("num_classes", "ignore_class", "sparse_y_pred", "axis")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)


@registry.add()
class R2Score(Metric):
    """1 - residual / total sum of squares an output, averaged (None, "uniform_average",
    "variance_weighted_average"); adjusted for `num_regressors` where it is not 0."""

    _fields = ("class_aggregation", "num_regressors")
    _direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        choices = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in choices:
            raise ValueError(
                f"Invalid value for argument `class_aggregation`. Expected one of {choices}. Received: "
                f"class_aggregation={class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                "Invalid value for argument `num_regressors`. Expected a value >= 0. Received: "
                f"num_regressors={num_regressors}"
            )
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        super().__init__(dtype, name)

    def reset_state(self) -> None:
        self.sums: Any = 0.0
        self.num_samples = 0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = same_rank(array(y_true).astype(np.float64), array(y_pred).astype(np.float64))
        if t.ndim != 2 or p.ndim != 2:
            raise ValueError(
                "R2Score expects 2D inputs with shape (batch_size, output_dim). Received input shapes: "
                f"y_pred.shape={p.shape} and y_true.shape={t.shape}."
            )
        w = np.ones(1) if sample_weight is None else array(sample_weight).astype(np.float64)
        w = np.broadcast_to(w[:, None] if w.ndim == 1 and sample_weight is not None else w, t.shape)
        self.sums = self.sums + np.stack(
            [(t * w).sum(0), (t * t * w).sum(0), ((t - p) ** 2 * w).sum(0), w.sum(0)]
        )
        self.num_samples += t.size

    def result(self) -> Any:
        if self.num_samples == 0:
            return 0.0
        total, squares, residual, count = self.sums
        spread = squares - total * (total / count)
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = 1 - residual / spread
        raw = np.where(np.isinf(raw), 0.0, raw)
        out: Any = raw
        if self.class_aggregation == "uniform_average":
            out = float(raw.mean())
        elif self.class_aggregation == "variance_weighted_average":
            out = float((spread * raw).sum() / spread.sum())
        if self.num_regressors:
            n, k = self.num_samples, self.num_regressors
            if k >= n - 1:
                why = (
                    "More independent predictors than datapoints in adjusted R2 score."
                    if k > n - 1
                    else "Division by zero in Adjusted R2 score."
                )
                warnings.warn(f"{why} Falling back to standard R2 score.", stacklevel=2)
            else:
                out = 1 - (1 - out) * (n - 1) / (n - k - 1)
        return out
