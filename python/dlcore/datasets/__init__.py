"""Small image data sets as NumPy arrays: `mnist.load_data()`, `fashion_mnist.load_data()`,
`fashion_mnist.load_subset()`."""

from dlcore.datasets import fashion_mnist, mnist

__all__ = ["fashion_mnist", "mnist"]
