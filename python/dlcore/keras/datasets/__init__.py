"""Data sets under Keras' names; they live in dlcore.datasets."""

from dlcore.keras.datasets import fashion_mnist, mnist

__all__ = ["fashion_mnist", "mnist"]
