"""Makes the embedded subset of Fashion-MNIST: python make_fashion_subset.py FOLDER_OF_THE_ORIGINAL_IDX_FILES

The first images of each class, in their original order, with compression that carries no time: the same files
each time. The total stays below 2 MB.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from dlcore.datasets import fashion_mnist, idx

PER_CLASS = {"train": 360, "t10k": 90}


def main(folder: str) -> None:
    target = Path(__file__).parent / "fashion_mnist"
    for prefix, (images, labels) in zip(PER_CLASS, fashion_mnist.load_data(folder), strict=True):
        chosen = np.sort(
            np.concatenate([np.flatnonzero(labels == c)[: PER_CLASS[prefix]] for c in range(10)])
        )
        idx.write(target / f"{prefix}-images-idx3-ubyte.gz", images[chosen])
        idx.write(target / f"{prefix}-labels-idx1-ubyte.gz", labels[chosen])
    shutil.copyfile(Path(folder) / "LICENSE", target / "LICENSE")
    total = sum(f.stat().st_size for f in target.iterdir())
    print(f"{target}: {total} bytes")
    if total > 2_000_000:
        raise SystemExit("the subset must stay below 2 MB")


if __name__ == "__main__":
    main(sys.argv[1])
