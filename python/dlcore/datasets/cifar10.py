"""CIFAR-10: 60,000 colour pictures of ten classes, 32 x 32 (A. Krizhevsky, Learning multiple layers of
features from tiny images, 2009).

Read from files that the user has, in any of the forms in which the set is passed on: the binary or Python
batches, in a folder or in their tar file, or JPEG pictures in a tar file (`<split>/<class>/<name>.jpg`; these
need Pillow). No licence is stated for the pictures, so nothing is downloaded.
"""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.datasets._fetch import cache_dir
from dlcore.datasets._mnist_like import Split
from dlcore.datasets.idx import UInt8

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_TRAIN, _TEST = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]
_PLACES = (
    "cifar-10-batches-bin",
    "cifar-10-batches-py",
    "cifar-10-binary.tar.gz",
    "cifar-10-python.tar.gz",
    "cifar10*/cifar-10-batches-*",
    "cifar10*/*.tar.gz",
    "cifar10*.tar.gz",
)
_RECORD = 3 * 32 * 32
_MOST = 100_000_000  # bytes of one member: a batch has 31 MB
Read = Callable[[str], bytes | None]


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """((x_train, y_train), (x_test, y_test)): uint8 images (n, 32, 32, 3) and labels (n,), 50,000 and 10,000
    in the whole set; y indexes CLASS_NAMES.

    `path` is a folder of batches or a tar file; without it they are looked for in DLCORE_DATA and in the
    user's cache. Python batches are read by an unpickler that makes arrays only.

    Raises FileNotFoundError where there are none, ValueError for truncated or corrupt ones.
    """
    place = _find() if path is None else Path(path)
    if place.is_dir():
        return _batches(lambda name: _bytes_of(place / name), place)
    if not place.is_file():
        raise FileNotFoundError(f"CIFAR-10: no such file or folder: {place}")
    try:
        with tarfile.open(place) as tar:
            members = {m.name: m for m in tar if m.isfile()}
            if any(name.endswith(".jpg") for name in members):
                return _pictures(tar, members, place)
            by_name = {name.rpartition("/")[2]: m for name, m in members.items()}

            def read(name: str) -> bytes | None:
                member = by_name.get(name)
                return None if member is None else _member(tar, member, place)

            return _batches(read, place)
    except FileNotFoundError:
        raise
    except (tarfile.TarError, zlib.error, EOFError, OSError) as e:
        raise ValueError(f"CIFAR-10: {place} must be a whole tar file ({e})") from e


def _find() -> Path:
    roots = [cache_dir("datasets") / "cifar10"]
    if root := os.environ.get("DLCORE_DATA"):
        roots.insert(0, Path(root))
    for base in roots:
        for pattern in _PLACES:
            for place in sorted(base.glob(pattern)):
                return place
    raise FileNotFoundError(
        "CIFAR-10: nothing is downloaded: get cifar-10-binary.tar.gz from "
        "https://www.cs.toronto.edu/~kriz/cifar.html and name it with path=, or put it into "
        f"{' or '.join(map(str, reversed(roots)))}"
    )


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> bytes:
    if member.size > _MOST:
        raise ValueError(f"CIFAR-10: {member.name} in {place} must have at most {_MOST} bytes")
    opened = tar.extractfile(member)
    assert opened is not None  # a plain file
    data = opened.read()
    if len(data) != member.size:
        raise ValueError(f"CIFAR-10: {member.name} in {place} is truncated")
    return data


# ---- batches -----------------------------------------------------------------------------------------------


def _batches(read: Read, place: Path) -> tuple[Split, Split]:
    def split(names: list[str]) -> Split:
        parts = [_batch(read, name, place) for name in names]
        return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])

    return split(_TRAIN), split(_TEST)


def _batch(read: Read, name: str, place: Path) -> Split:
    data = read(name + ".bin")
    if data is not None:
        if not data or len(data) % (1 + _RECORD):
            raise ValueError(f"CIFAR-10: {name}.bin in {place} must hold records of 3073 bytes")
        records = np.frombuffer(data, np.uint8).reshape(-1, 1 + _RECORD)
        return _checked(records[:, 1:], records[:, 0], name, place)
    data = read(name)
    if data is None:
        raise FileNotFoundError(f"CIFAR-10: {place} must hold {name}.bin or {name}")
    try:
        batch = _Arrays(io.BytesIO(data), encoding="bytes").load()
        rows, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    except Exception as e:  # a hostile or corrupt pickle can fail anywhere
        raise ValueError(f"CIFAR-10: {name} in {place} must be a pickled batch of arrays ({e})") from e
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != _RECORD or labels.shape != rows.shape[:1]:
        raise ValueError(
            f"CIFAR-10: {name} in {place} must hold uint8 rows of 3072 and a label each, got "
            f"{rows.shape} {rows.dtype} and {labels.shape}"
        )
    return _checked(rows, labels, name, place)


class _Arrays(pickle.Unpickler):
    """Makes arrays and plain containers; refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _encode
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _reconstruct(kind: Any, shape: Any, code: Any) -> Any:
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("only ndarrays are allowed")
    return np.ndarray(0, np.uint8)  # __setstate__ gives it its shape, type and bytes


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("only latin1 is allowed")
    return text.encode("latin1")


def _checked(rows: Any, labels: Any, name: str, place: Path) -> Split:
    if len(labels) and not (labels.min() >= 0 and labels.max() <= 9):
        raise ValueError(f"CIFAR-10: labels must be 0 to 9, got {labels.max()} in {name}, {place}")
    images = np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return images, labels.astype(np.uint8)


# ---- pictures ----------------------------------------------------------------------------------------------


def _pictures(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], place: Path) -> tuple[Split, Split]:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"CIFAR-10: {place} holds JPEG pictures, which need Pillow") from None
    images: dict[str, list[UInt8]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for name, member in members.items():  # in the file's order, for one pass through the compression
        split, label, _ = ("", "", *name.split("/"))[-3:]
        if split not in images or label not in CLASS_NAMES or not name.endswith(".jpg"):
            continue
        try:
            picture = np.asarray(Image.open(io.BytesIO(_member(tar, member, place))).convert("RGB"))
        except OSError as e:
            raise ValueError(f"CIFAR-10: {name} in {place} must be a JPEG picture ({e})") from e
        if picture.shape != (32, 32, 3):
            raise ValueError(f"CIFAR-10: {name} in {place} must be 32 x 32, got {picture.shape}")
        images[split].append(picture)
        labels[split].append(CLASS_NAMES.index(label))
    if not images["train"] or not images["test"]:
        raise ValueError(f"CIFAR-10: {place} must hold pictures as train/<class>/ and test/<class>/")

    def of(split: str) -> Split:
        return np.stack(images[split]), np.array(labels[split], np.uint8)

    return of("train"), of("test")
