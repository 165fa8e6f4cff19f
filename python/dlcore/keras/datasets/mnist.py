"""load_data() -> ((x_train, y_train), (x_test, y_test)), uint8 arrays."""

from dlcore.datasets.mnist import load_data

__all__ = ["load_data"]
