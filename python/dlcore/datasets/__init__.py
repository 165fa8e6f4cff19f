"""Small image data sets as NumPy arrays: `mnist.load_data()`, `fashion_mnist.load_data()`,
`fashion_mnist.load_subset()`, `cifar10.load_data()`."""

from dlcore.datasets import cifar10, fashion_mnist, mnist

__all__ = ["cifar10", "fashion_mnist", "mnist"]
