"""load_data() -> ((x_train, y_train), (x_test, y_test)), uint8 arrays (n, 32, 32, 3) and (n, 1)."""

from __future__ import annotations

import os

from dlcore.datasets import cifar10
from dlcore.datasets._mnist_like import Split

__all__ = ["load_data"]


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """`dlcore.datasets.cifar10.load_data` with labels in a column, as Keras gives them."""
    (x_train, y_train), (x_test, y_test) = cifar10.load_data(path)
    return (x_train, y_train.reshape(-1, 1)), (x_test, y_test.reshape(-1, 1))
