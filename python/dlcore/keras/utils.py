"""to_categorical, set_random_seed and what else Keras keeps here."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.keras.saving import register_keras_serializable
from dlcore.random import manual_seed
from dlcore.tensor import Tensor
from dlcore.train.progress import ProgressBar as Progbar

__all__ = ["Progbar", "normalize", "register_keras_serializable", "set_random_seed", "to_categorical"]


def to_categorical(x: Any, num_classes: int | None = None) -> npt.NDArray[np.float32]:
    """Class numbers (N,) or (N, 1) as one-hot rows (N, num_classes), float32.

    >>> from dlcore import keras
    >>> keras.utils.to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)
    labels = labels.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels.reshape(labels.shape[:-1])
    n = int(labels.max(initial=-1)) + 1 if num_classes is None else int(num_classes)
    if labels.size and (labels.min() < 0 or labels.max() >= n):
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"to_categorical: labels must be from 0 to {n - 1}, got {bad}")
    out = np.zeros((*labels.shape, n), np.float32)
    np.put_along_axis(out, labels[..., None], 1.0, -1)
    return out


def normalize(x: Any, axis: int = -1, order: int = 2) -> npt.NDArray[Any]:
    """x over its norm of this order along `axis`; zero rows stay zero."""
    a = np.asarray(x, np.float32)
    norm = np.atleast_1d(np.linalg.norm(a, order, axis, keepdims=True))
    norm[norm == 0] = 1
    return np.asarray(a / norm)


def set_random_seed(seed: int) -> None:
    """Seeds everything random in dlcore, and Python's `random`: weights, order of samples, dropout."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"set_random_seed: seed must be a non-negative integer, got {seed!r}")
    random.seed(seed)
    manual_seed(int(seed))
