"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28 grey, in MNIST's format (Xiao, Rasul, Vollgraf,
arXiv:1708.07747).

A class-balanced subset ships with dlcore (MIT licence, beside the files in `_data/`), so that a first
training needs no download.
"""

from __future__ import annotations

import os
from pathlib import Path

from dlcore.datasets._mnist_like import Source, Split, load

__all__ = ["CLASS_NAMES", "load_data", "load_subset"]

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_SOURCE = Source(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    subfolders=("fashion-mnist", "fashion_mnist", "fashion-mnist*", "FashionMNIST/raw", "FashionMNIST"),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    sha256={
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """((x_train, y_train), (x_test, y_test)): uint8 images (60000, 28, 28) and (10000, 28, 28), uint8 labels.

    The four idx files, gzipped or not, come from the folder `path`; else from DLCORE_DATA or its subfolder
    `fashion-mnist*`; else from the user's cache, downloaded there the first time with checksums.

    Raises ValueError for a truncated, corrupt or swapped file, OSError where nothing can be read or
    downloaded.
    """
    return load(_SOURCE, path)


def load_subset() -> tuple[Split, Split]:
    """The embedded subset, in `load_data`'s form: 3,600 training and 900 test images, the same number of each
    class.

    >>> (x_train, y_train), (x_test, y_test) = load_subset()
    >>> x_train.shape, x_train.dtype.name, x_test.shape
    ((3600, 28, 28), 'uint8', (900, 28, 28))
    """
    return load(_SOURCE, Path(__file__).parent / "_data" / "fashion_mnist")
