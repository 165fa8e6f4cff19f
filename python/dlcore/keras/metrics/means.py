"""Means over samples: accuracies, errors, cross-entropies, correlations."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.keras import losses
from dlcore.keras.metrics.base import Mean, NDArray, array, mean_metric, registry, same_rank, same_shape

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "PearsonCorrelation",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "concordance_correlation",
    "pearson_correlation",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


@registry.add()
def accuracy(y_true: Any, y_pred: Any) -> NDArray:
    """Whether both are equal."""
    t, p = same_shape(array(y_true), array(y_pred))
    return np.asarray(t == p)


@registry.add()
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> NDArray:
    """Whether (y_pred > threshold) is y_true."""
    t, p = same_shape(array(y_true), array(y_pred))
    return np.asarray((p > threshold) == t)


@registry.add()
def categorical_accuracy(y_true: Any, y_pred: Any) -> NDArray:
    """Whether the largest of y_pred is where the largest of y_true is."""
    t, p = array(y_true), array(y_pred)
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


@registry.add()
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> NDArray:
    """Whether the largest of y_pred is at y_true."""
    p = array(y_pred)
    out = np.asarray(p.argmax(-1) == _labels(array(y_true), p))
    return out[..., 0] if out.ndim > 1 and out.shape[-1] == 1 else out


def _in_top_k(t: NDArray, p: NDArray, k: int) -> NDArray:
    t = t.astype(np.int64)
    inside = (t >= 0) & (t < p.shape[-1])
    mine = np.take_along_axis(p, np.where(inside, t, 0)[..., None], -1)
    return np.asarray(((p > mine).sum(-1) < k) & np.isfinite(mine[..., 0]) & inside)


@registry.add()
def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> NDArray:
    """Whether fewer than k outputs exceed that at y_true; y_pred are the classes, best first, where
    `from_sorted_ids`."""
    p = array(y_pred)
    t = _labels(array(y_true), p)
    if from_sorted_ids:
        return np.asarray((p[..., :k] == t[..., None]).any(-1))
    return _in_top_k(t, p, k)


@registry.add()
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> NDArray:
    """Whether fewer than k outputs exceed that at the largest of y_true."""
    return _in_top_k(array(y_true).argmax(-1), array(y_pred), k)


def _centred(y_true: Any, y_pred: Any, axis: Any) -> tuple[NDArray, NDArray]:
    t, p = same_rank(array(y_true).astype(np.float64), array(y_pred).astype(np.float64))
    return t, p


@registry.add()
def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> NDArray:
    """mean of the products of both, each centred and scaled to deviation 1."""
    t, p = _centred(y_true, y_pred, axis)

    def unit(x: NDArray) -> NDArray:
        x = x - x.mean(axis, keepdims=True)
        return np.asarray(x / x.std(axis, keepdims=True))

    return np.asarray((unit(t) * unit(p)).mean(axis))


@registry.add()
def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> NDArray:
    """2 covariance / (variance + variance + (mean - mean)^2) (Lin 1989)."""
    t, p = _centred(y_true, y_pred, axis)
    mt, mp = t.mean(axis, keepdims=True), p.mean(axis, keepdims=True)
    norm = t.var(axis, keepdims=True) + p.var(axis, keepdims=True) + np.square(mt - mp)
    return np.asarray((2 * (t - mp) * (p - mp) / (norm + 1e-7)).mean(axis))


@registry.add()
def _cosine(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """sum of the products of both, each scaled to norm 1."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


registry.by_name.pop("_cosine")

_PLAIN = "name dtype"
Accuracy = mean_metric("Accuracy", accuracy, "accuracy", _PLAIN, "up")
BinaryAccuracy = mean_metric(
    "BinaryAccuracy", binary_accuracy, "binary_accuracy", "name dtype threshold", "up", threshold=0.5
)
CategoricalAccuracy = mean_metric(
    "CategoricalAccuracy", categorical_accuracy, "categorical_accuracy", _PLAIN, "up"
)
SparseCategoricalAccuracy = mean_metric(
    "SparseCategoricalAccuracy", sparse_categorical_accuracy, "sparse_categorical_accuracy", _PLAIN, "up"
)
TopKCategoricalAccuracy = mean_metric(
    "TopKCategoricalAccuracy",
    top_k_categorical_accuracy,
    "top_k_categorical_accuracy",
    "k name dtype",
    "up",
    k=5,
)
SparseTopKCategoricalAccuracy = mean_metric(
    "SparseTopKCategoricalAccuracy",
    sparse_top_k_categorical_accuracy,
    "sparse_top_k_categorical_accuracy",
    "k name dtype from_sorted_ids",
    "up",
    k=5,
    from_sorted_ids=False,
)
MeanSquaredError = mean_metric(
    "MeanSquaredError", losses.mean_squared_error, "mean_squared_error", _PLAIN, "down"
)
MeanAbsoluteError = mean_metric(
    "MeanAbsoluteError", losses.mean_absolute_error, "mean_absolute_error", _PLAIN, "down"
)
MeanAbsolutePercentageError = mean_metric(
    "MeanAbsolutePercentageError",
    losses.mean_absolute_percentage_error,
    "mean_absolute_percentage_error",
    _PLAIN,
    "down",
)
MeanSquaredLogarithmicError = mean_metric(
    "MeanSquaredLogarithmicError",
    losses.mean_squared_logarithmic_error,
    "mean_squared_logarithmic_error",
    _PLAIN,
    "down",
)
CosineSimilarity = mean_metric(
    "CosineSimilarity", _cosine, "cosine_similarity", "name dtype axis", "up", axis=-1
)
LogCoshError = mean_metric("LogCoshError", losses.log_cosh, "logcosh", _PLAIN, "down")
KLDivergence = mean_metric("KLDivergence", losses.kl_divergence, "kl_divergence", _PLAIN, "down")
Poisson = mean_metric("Poisson", losses.poisson, "poisson", _PLAIN, "down")
Hinge = mean_metric("Hinge", losses.hinge, "hinge", _PLAIN, "down")
SquaredHinge = mean_metric("SquaredHinge", losses.squared_hinge, "squared_hinge", _PLAIN, "down")
CategoricalHinge = mean_metric(
    "CategoricalHinge", losses.categorical_hinge, "categorical_hinge", _PLAIN, "down"
)
BinaryCrossentropy = mean_metric(
    "BinaryCrossentropy",
    losses.binary_crossentropy,
    "binary_crossentropy",
    "name dtype from_logits label_smoothing",
    "down",
    from_logits=False,
    label_smoothing=0,
)
CategoricalCrossentropy = mean_metric(
    "CategoricalCrossentropy",
    losses.categorical_crossentropy,
    "categorical_crossentropy",
    "name dtype from_logits label_smoothing axis",
    "down",
    from_logits=False,
    label_smoothing=0,
    axis=-1,
)
SparseCategoricalCrossentropy = mean_metric(
    "SparseCategoricalCrossentropy",
    losses.sparse_categorical_crossentropy,
    "sparse_categorical_crossentropy",
    "name dtype from_logits ignore_class axis",
    "down",
    from_logits=False,
    ignore_class=None,
    axis=-1,
)
PearsonCorrelation = mean_metric(
    "PearsonCorrelation", pearson_correlation, "pearson_correlation", "name dtype axis", "up", axis=-1
)
ConcordanceCorrelation = mean_metric(
    "ConcordanceCorrelation",
    concordance_correlation,
    "concordance_correlation",
    "name dtype axis",
    "up",
    axis=-1,
)


@registry.add()
class RootMeanSquaredError(Mean):
    """sqrt(mean (y_true - y_pred)^2)."""

    _direction = "down"

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        t, p = same_shape(array(y_true), array(y_pred))
        self._add(np.square(p.astype(np.float64) - t), sample_weight)

    def result(self) -> Any:
        return float(np.sqrt(super().result()))
