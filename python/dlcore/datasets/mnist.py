"""MNIST: 70,000 handwritten digits, 28 x 28 grey (LeCun, Cortes, Burges 1998)."""

from __future__ import annotations

import os

from dlcore.datasets._mnist_like import Source, Split, load

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = tuple("0123456789")

_SOURCE = Source(
    title="MNIST",
    folder="mnist",
    subfolders=("mnist", "MNIST/raw", "MNIST"),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    sha256={
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """((x_train, y_train), (x_test, y_test)): uint8 images (60000, 28, 28) and (10000, 28, 28), uint8 labels.

    The four idx files, gzipped or not, come from the folder `path`; else from DLCORE_DATA or its subfolder
    `mnist`; else from the user's cache, downloaded there the first time with checksums.

    Raises ValueError for a truncated, corrupt or swapped file, OSError where nothing can be read or
    downloaded.
    """
    return load(_SOURCE, path)
