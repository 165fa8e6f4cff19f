"""Metrics by Keras' names: kept as sums over samples, computed on the batch's predictions in host memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.keras import losses
from dlcore.keras.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from dlcore.keras.metrics.base import Mean, MeanMetricWrapper, Metric, Sum, registry
from dlcore.keras.metrics.confusion import (
    AUC,
    BinaryIoU,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from dlcore.keras.metrics.means import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    concordance_correlation,
    pearson_correlation,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "accuracy",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "concordance_correlation",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "pearson_correlation",
    "poisson",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

deserialize = registry.from_config
serialize = registry.serialize

registry.by_name.update(
    {
        "mse": MeanSquaredError,
        "MSE": MeanSquaredError,
        "mae": MeanAbsoluteError,
        "MAE": MeanAbsoluteError,
        "mape": MeanAbsolutePercentageError,
        "MAPE": MeanAbsolutePercentageError,
        "msle": MeanSquaredLogarithmicError,
        "MSLE": MeanSquaredLogarithmicError,
        "bce": BinaryCrossentropy,
        "BCE": BinaryCrossentropy,
        "kld": KLDivergence,
        "KLD": KLDivergence,
        "kl_divergence": KLDivergence,
        "cosine_similarity": CosineSimilarity,
        "logcosh": LogCoshError,
        "r2": R2Score,
    }
)
for _f in (huber, log_cosh, binary_focal_crossentropy, categorical_focal_crossentropy):
    registry.by_name[_f.__name__] = _f


def get(identifier: Any) -> Any:
    """A name, configuration, class, function or object -> a Metric (or the function)."""
    return registry.get(identifier)


def as_metric(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """What an entry of compile's `metrics=` means, now that the shapes are known: it is named as it was
    written."""
    if isinstance(identifier, Metric):
        return identifier
    found: Any = identifier
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc", "crossentropy", "ce"):
        t, p = np.shape(y_true), y_pred.shape
        sparse = len(t) < len(p) or (t[-1] == 1 and p[-1] > 1)
        if identifier.lower() in ("accuracy", "acc"):
            cls = (
                BinaryAccuracy if p[-1] == 1 else SparseCategoricalAccuracy if sparse else CategoricalAccuracy
            )
        else:
            cls = (
                BinaryCrossentropy
                if p[-1] == 1
                else SparseCategoricalCrossentropy
                if sparse
                else CategoricalCrossentropy
            )
        found = cls()
    else:
        found = get(identifier)
    if not isinstance(found, Metric):
        function = found.call if isinstance(found, losses.Loss) else found
        name = getattr(identifier, "name", None) or getattr(identifier, "__name__", None)
        found = MeanMetricWrapper(function, str(name or "metric"))
    if isinstance(identifier, str):
        found.name = identifier
    assert isinstance(found, Metric)
    return found
