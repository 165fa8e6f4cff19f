"""Data sets under Keras' names; they live in dlcore.datasets."""

from dlcore.keras.datasets import cifar10, fashion_mnist, mnist

__all__ = ["cifar10", "fashion_mnist", "mnist"]
