"""The safetensors format, which holds names, dtypes, shapes and bytes, and runs no code.

A file is an 8-byte little-endian header length, the header (JSON, padded with spaces), and one buffer that
the tensors fill without gaps or overlaps. Format: https://huggingface.co/docs/safetensors (specification
0.4).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

from dlcore import _C
from dlcore.tensor import Tensor

__all__ = ["SafetensorsFile", "load_file", "load_metadata", "save_file"]

_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_CODES = {np.dtype(name): code for code, name in _NAMES.items()}
# What dlcore has no arithmetic for is widened when it is read; nothing is lost.
_WIDER = {"F16": "float32", "BF16": "float32", "I16": "int32", "I8": "int32", "U16": "int32", "U32": "int64"}
_PLAIN = ("F64", "F32", "I64", "I32", "U8")  # what arrays hold as it lies in the file
_MAX_HEADER = 100_000_000
_SMALL, _GROUP = 1 << 16, 1 << 24  # bytes: tensors that share memory, and about how much they share


def save_file(
    tensors: Mapping[str, Any],
    filename: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    *,
    sync: bool = False,
) -> None:
    """Writes named tensors (or ndarrays) to a safetensors file, under a temporary name until it is whole.

    With `sync` the bytes and the new name are on the disk when it returns, whatever happens to the machine
    then.

    Raises TypeError for names or metadata that are not strings, and for dtypes that the format lacks.

    >>> import dlcore, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "x.safetensors")
    >>> dlcore.save_file({"w": dlcore.ones(2)}, path)
    >>> dlcore.load_file(path)["w"].tolist()
    [1.0, 1.0]
    """
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items()):
            raise TypeError("save_file: metadata must map strings to strings")
        header["__metadata__"] = dict(metadata)
    arrays: list[tuple[str, np.ndarray[Any, Any], str]] = []
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"save_file: names must be strings, got {name!r}")
        if name == "__metadata__":
            raise ValueError("save_file: no tensor can be named '__metadata__'")
        a = _C.to_device(value.array, "cpu").numpy() if isinstance(value, Tensor) else np.asarray(value)
        a = a.astype(a.dtype.newbyteorder("="), copy=False)
        code = "BF16" if a.dtype.name == "bfloat16" else _CODES.get(a.dtype)
        if code is None:
            raise TypeError(f"save_file: the format has no dtype for {name!r}, got {a.dtype}")
        arrays.append((name, a, code))
    arrays.sort(
        key=lambda item: (-item[1].dtype.itemsize, item[0])
    )  # large items first: everything stays aligned
    at = 0
    for name, a, code in arrays:
        header[name] = {"dtype": code, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise ValueError(f"save_file: the header must stay below {_MAX_HEADER} bytes, got {len(text)}")
    path = os.fspath(filename)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as f:
            f.write(len(text).to_bytes(8, "little"))
            f.write(text)
            for _, a, _ in arrays:
                if a.size:
                    f.write(np.ascontiguousarray(a).reshape(-1).view(np.uint8).data)
            if sync:
                f.flush()
                os.fsync(f.fileno())
        os.replace(temporary, path)
        if sync:
            _sync_folder(os.path.dirname(path) or ".")
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _sync_folder(folder: str) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_file(filename: str | os.PathLike[str], device: str = "cpu") -> dict[str, Tensor]:
    """The named tensors of a safetensors file, each in memory of its own.

    float16 and bfloat16 come as float32, 8- and 16-bit integers as int32, uint32 as int64.

    Raises ValueError, saying what is wrong, for a file that is truncated, corrupt, or not a safetensors file.
    """
    path = os.fspath(filename)
    out: dict[str, Tensor] = {}
    with open(path, "rb") as f:
        entries, start, _ = _read_header(f, path)
        for name, (code, shape, begin, end) in entries.items():
            f.seek(start + begin)
            array = _read(f, path, name, code, shape, end - begin)
            out[name] = Tensor(_C.to_device(array, device))
    return out


class SafetensorsFile(Mapping[str, _C.Array]):
    """Name -> Array of a file that is mapped into memory: what is not asked for is not read.

    Arrays whose dtype dlcore computes in lie in the mapping itself, copied page by page when they are written
    to, so the file never changes; the others are widened as `load_file` does.

    Raises ValueError as `load_file` does.
    """

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        self.path = os.fspath(filename)
        with open(self.path, "rb") as f:
            self.entries, self.start, self.metadata = _read_header(f, self.path)
            nbytes = os.fstat(f.fileno()).st_size
        self._bytes: np.ndarray[Any, Any] = np.asarray(np.memmap(self.path, np.uint8, "c", shape=(nbytes,)))
        self._held: dict[str, np.ndarray[Any, Any]] = {}  # what `read` has brought into memory

    def read(self) -> None:
        """Reads all tensors into memory of their own, where that takes no more of it than the mapping.

        A decoder reads every weight for every token: huge pages and whole cache lines, which a mapping does
        not have, are worth the copy. Small tensors lie together, apart from large ones, so that whoever
        replaces the large ones (`quantize`) frees their memory.
        """
        if self._held or any(code not in _PLAIN for code, *_ in self.entries.values()):
            return
        groups: list[list[str]] = [[]]
        room = 0
        for name, (_, _, begin, end) in self.entries.items():
            if end - begin > _SMALL:
                if room >= _GROUP:
                    groups.append([])
                    room = 0
                groups[-1].append(name)
                room += end - begin
        groups.append([n for n, (_, _, begin, end) in self.entries.items() if 0 < end - begin <= _SMALL])
        held: dict[str, np.ndarray[Any, Any]] = {}
        try:
            with open(self.path, "rb") as f:
                for names in groups:
                    self._read_group(f, names, held)
        except MemoryError:
            return  # it stays mapped: what is not in use may go
        self._held = held

    def _read_group(self, f: IO[bytes], names: list[str], held: dict[str, np.ndarray[Any, Any]]) -> None:
        places, at = [], 0
        for name in names:
            _, _, begin, end = self.entries[name]
            places.append((name, begin, at, at + end - begin))
            at += -(-(end - begin) // 64) * 64
        memory = _C.empty((at,), np.dtype(np.uint8)).numpy()
        for name, begin, first, last in places:
            f.seek(self.start + begin)
            _fill(f, self.path, name, memory[first:last])
            held[name] = memory[first:last]

    def __getitem__(self, name: str) -> _C.Array:
        code, shape, begin, end = self.entries[name]
        raw = self._held.get(name, self._bytes[self.start + begin : self.start + end])
        if code in _PLAIN and raw.size:
            dtype = np.dtype(_NAMES[code])
            if raw.ctypes.data % dtype.itemsize == 0:
                return _C.from_numpy(raw.view(dtype).reshape(shape))
            return _C.clone(_C.from_numpy(np.frombuffer(raw.tobytes(), dtype).reshape(shape)))
        return _C.clone(_C.from_numpy(_widen(raw, code).reshape(shape)))

    def shape(self, name: str) -> tuple[int, ...]:
        return self.entries[name][1]

    def dtype(self, name: str) -> str:
        """The name of the dtype in the file, "bfloat16" for one that NumPy lacks."""
        code = self.entries[name][0]
        return "bfloat16" if code == "BF16" else _NAMES[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def load_metadata(filename: str | os.PathLike[str]) -> dict[str, str]:
    """The strings that `save_file` was given as `metadata`."""
    path = os.fspath(filename)
    with open(path, "rb") as f:
        return _read_header(f, path)[2]


Entry = tuple[str, tuple[int, ...], int, int]


def _read(f: IO[bytes], path: str, name: str, code: str, shape: tuple[int, ...], nbytes: int) -> _C.Array:
    if code in _PLAIN:
        array = _C.empty(shape, np.dtype(_NAMES[code]))
        if nbytes:
            _fill(f, path, name, array.numpy().reshape(-1).view(np.uint8))
        return array
    raw = np.empty(nbytes, np.uint8)
    _fill(f, path, name, raw)
    return _C.clone(_C.from_numpy(_widen(raw, code).reshape(shape)))


def _widen(raw: np.ndarray[Any, Any], code: str) -> np.ndarray[Any, Any]:
    """The numbers of these bytes in a dtype that dlcore computes in."""
    if code == "BOOL":
        return raw.astype(np.bool_)
    item = 2 if code == "BF16" else np.dtype(_NAMES[code]).itemsize
    if raw.ctypes.data % item:
        raw = raw.copy()
    if code == "BF16":  # the upper half of a float32
        bits: np.ndarray[Any, Any] = raw.view(np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32)
    wide: np.ndarray[Any, Any] = raw.view(_NAMES[code]).astype(_WIDER.get(code, _NAMES[code]))
    return wide


def _fill(f: IO[bytes], path: str, name: str, target: np.ndarray[Any, Any]) -> None:
    if f.readinto(target.data) != target.size:  # type: ignore[attr-defined]
        raise ValueError(f"load_file: the file must hold the bytes of {name!r}, but it ends early: {path}")


def _read_header(f: IO[bytes], path: str) -> tuple[dict[str, Entry], int, dict[str, str]]:
    """Entries (dtype, shape, begin, end) by name, where the buffer starts, metadata; everything checked."""

    def bad(what: str) -> ValueError:
        return ValueError(f"load_file: {what}: {path}")

    def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        d = dict(pairs)
        if len(d) != len(pairs):
            raise bad("the header must not repeat a name")
        return d

    size = os.fstat(f.fileno()).st_size
    if size < 8:
        raise bad(f"a safetensors file must have at least 8 bytes, got {size}")
    length = int.from_bytes(f.read(8), "little")
    if length > _MAX_HEADER:
        raise bad(
            f"the header must be at most {_MAX_HEADER} bytes, got {length} (is this a safetensors file?)"
        )
    if length > size - 8:
        raise bad(f"the header must lie within the file, got {length} bytes of header in a file of {size}")
    text = f.read(length)
    if text[:1] != b"{":
        raise bad("the header must be a JSON object")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=no_repeats)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as e:
        raise bad(f"the header must be JSON ({e})") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise bad("metadata must map strings to strings")
    entries: dict[str, Entry] = {}
    for name, item in header.items():
        if not isinstance(item, dict) or set(item) != {"dtype", "shape", "data_offsets"}:
            raise bad(f"{name!r} must have dtype, shape and data_offsets")
        code, shape, offsets = item["dtype"], item["shape"], item["data_offsets"]
        if not isinstance(code, str) or (code != "BF16" and code not in _NAMES):
            raise bad(f"{name!r} has a dtype that is not supported: {code!r}")
        if not _counts(shape):
            raise bad(f"the shape of {name!r} must be a list of sizes, got {shape!r}")
        if not _counts(offsets) or len(offsets) != 2:
            raise bad(f"the data_offsets of {name!r} must be two offsets, got {offsets!r}")
        expected = 2 if code == "BF16" else np.dtype(_NAMES[code]).itemsize
        for n in shape:
            expected *= n
        if offsets[1] - offsets[0] != expected:
            raise bad(
                f"{name!r} must have {expected} bytes ({code} {tuple(shape)}), got data_offsets={offsets}"
            )
        entries[name] = (code, tuple(shape), offsets[0], offsets[1])
    at = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != at:
            raise bad(
                f"the tensors must fill the buffer without gaps or overlaps, got {name!r} at {begin}, "
                f"expected {at}"
            )
        at = end
    if at != size - 8 - length:
        raise bad(
            f"the tensors must fill the file: they end at {at}, the buffer has {size - 8 - length} bytes"
        )
    return entries, 8 + length, metadata


def _counts(x: Any) -> bool:
    return isinstance(x, list) and all(type(n) is int and n >= 0 for n in x)
