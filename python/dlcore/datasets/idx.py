"""The idx format of MNIST: a big-endian header, then unsigned bytes, usually gzipped.

    0x00000803, count, rows, columns, then count * rows * columns pixels
    0x00000801, count,                then count labels

Whatever is wrong with a file raises ValueError that names the file and says what was expected; nothing is
read past what the header promises plus one byte.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", file formats.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_images", "read_labels", "write"]

UInt8 = npt.NDArray[np.uint8]
IMAGES, LABELS = 0x00000803, 0x00000801
_WHAT = {IMAGES: "images", LABELS: "labels"}


def read_images(path: str | Path) -> UInt8:
    """(count, rows, columns) uint8."""
    return _read(Path(path), IMAGES)


def read_labels(path: str | Path) -> UInt8:
    """(count,) uint8."""
    return _read(Path(path), LABELS)


def write(path: str | Path, array: UInt8) -> None:
    """The same bytes for the same array: the gzip header carries no time."""
    a = np.ascontiguousarray(array, np.uint8)
    header = struct.pack(f">I{a.ndim}I", 0x0800 | a.ndim, *a.shape)
    Path(path).write_bytes(gzip.compress(header + a.tobytes(), compresslevel=9, mtime=0))


def _read(path: Path, magic: int) -> UInt8:
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not zipped:
            return _parse(raw, path, magic)
        try:
            with gzip.GzipFile(fileobj=raw) as f:
                return _parse(f, path, magic)
        except EOFError:
            raise ValueError(f"{path}: the gzip stream ends too early (a truncated file)") from None
        except (gzip.BadGzipFile, zlib.error) as e:
            raise ValueError(f"{path}: the gzip stream is corrupt ({e})") from None


def _parse(f: IO[bytes] | Any, path: Path, magic: int) -> UInt8:
    what = f"idx {_WHAT[magic]} (magic 0x{magic:08x})"
    head = f.read(4)
    if len(head) < 4:
        raise ValueError(f"{path}: expected {what}, the file holds only {len(head)} bytes")
    (found,) = struct.unpack(">I", head)
    if found != magic:
        if found in _WHAT:
            raise ValueError(
                f"{path}: expected {what}, found idx {_WHAT[found]} (magic 0x{found:08x}): "
                "are the images and labels files swapped?"
            )
        raise ValueError(f"{path}: expected {what}, found magic 0x{found:08x}: this is not such a file")
    ndim = magic & 0xFF
    head = f.read(4 * ndim)
    if len(head) < 4 * ndim:
        raise ValueError(f"{path}: the header of {what} must have {ndim} sizes, the file ends within it")
    shape = struct.unpack(f">{ndim}I", head)
    want = 1
    for n in shape:
        want *= n
    body = bytearray()
    while len(body) <= want:  # at most one byte more than promised: a small file cannot make us allocate much
        block = f.read(min(1 << 20, want + 1 - len(body)))
        if not block:
            break
        body += block
    if len(body) != want:
        got = f"only {len(body)}" if len(body) < want else "more"
        promise = f"{want} bytes of {_WHAT[magic]} {shape}"
        raise ValueError(f"{path}: the header promises {promise}, the file holds {got}")
    return np.frombuffer(body, np.uint8).reshape(shape)
