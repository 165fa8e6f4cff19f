"""What MNIST and Fashion-MNIST share: four idx files under the same four names.

The same names make mix-ups easy, so the first image and the first 32 labels of each original file are known
by their CRC-32: a file that is recognised as another one (test for training, digits for clothes) is an error,
not a bad model.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcore.datasets import idx
from dlcore.datasets._fetch import cache_dir, download
from dlcore.datasets.idx import UInt8

__all__ = ["Source", "Split", "load"]

Split = tuple[UInt8, UInt8]

_PARTS = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)

_KNOWN = {
    0x90A92752: ("MNIST", "train-images-idx3-ubyte"),
    0x1219CEFA: ("MNIST", "train-labels-idx1-ubyte"),
    0x7EB3CD06: ("MNIST", "t10k-images-idx3-ubyte"),
    0xD4FBF5A6: ("MNIST", "t10k-labels-idx1-ubyte"),
    0xF270BEB5: ("Fashion-MNIST", "train-images-idx3-ubyte"),
    0x568AEF9D: ("Fashion-MNIST", "train-labels-idx1-ubyte"),
    0x52830860: ("Fashion-MNIST", "t10k-images-idx3-ubyte"),
    0x5871DE96: ("Fashion-MNIST", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Source:
    title: str  # "MNIST"
    folder: str  # "mnist": of the cache
    subfolders: Sequence[str]  # patterns tried below DLCORE_DATA
    mirrors: Sequence[str]
    sha256: dict[str, str]  # of the gzipped originals, by name without .gz


def _find(folder: Path, name: str) -> Path | None:
    for candidate in (name + ".gz", name, name.replace("-idx", ".idx")):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def _complete(folder: Path) -> bool:
    return all(_find(folder, name) for part in _PARTS for name in part)


def _folder(source: Source, path: str | os.PathLike[str] | None) -> Path:
    """The folder of the four files; downloads them where neither `path` nor DLCORE_DATA leads to them."""
    if path is not None:
        folder = Path(path)
        if not folder.is_dir():
            raise FileNotFoundError(f"{source.title}: no such folder: {folder}")
        for name in (n for part in _PARTS for n in part):
            if _find(folder, name) is None:
                raise FileNotFoundError(f"{source.title}: {folder} must hold {name}.gz (or {name})")
        return folder
    hint = "put the files into a folder and name it with path= or DLCORE_DATA"
    if root := os.environ.get("DLCORE_DATA"):
        below = [p for pattern in source.subfolders for p in sorted(Path(root).glob(pattern))]
        for folder in [*below, Path(root)]:
            if folder.is_dir() and _complete(folder):
                return folder
        hint = f"DLCORE_DATA={root} does not hold the four files either"
    folder = cache_dir("datasets") / source.folder
    try:
        for name, sha256 in source.sha256.items():
            download(folder / (name + ".gz"), source.mirrors, sha256)
    except OSError as e:
        raise OSError(f"{source.title}: {e} ({hint})") from e
    return folder


def _check_identity(source: Source, path: Path, name: str, data: UInt8) -> None:
    head = data[0] if data.ndim == 3 and len(data) else data[:32]
    known = _KNOWN.get(zlib.crc32(head.tobytes()))
    if known is not None and known != (source.title, name):
        raise ValueError(
            f"{path}: expected {name} of {source.title}, this is {known[1]} of {known[0]}: files swapped?"
        )


def _split(source: Source, folder: Path, names: tuple[str, str]) -> Split:
    images_path, labels_path = (_find(folder, n) or folder / n for n in names)
    images, labels = idx.read_images(images_path), idx.read_labels(labels_path)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path}: {source.title} images must be 28 x 28, got {images.shape[1:]}")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images but {labels_path.name} holds {len(labels)} labels: "
            "their counts must be equal"
        )
    if len(labels) and labels.max() > 9:
        raise ValueError(f"{labels_path}: labels must be 0 to 9, got {labels.max()}")
    _check_identity(source, images_path, names[0], images)
    _check_identity(source, labels_path, names[1], labels)
    return images, labels


def load(source: Source, path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    folder = _folder(source, path)
    return _split(source, folder, _PARTS[0]), _split(source, folder, _PARTS[1])
