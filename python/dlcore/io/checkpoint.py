"""A checkpoint as one mapping name -> Array, whatever files it lies in.

One safetensors file, shards with an index (`model.safetensors.index.json`, `pytorch_model.bin.index.json`:
{"weight_map": {name: file}}), a file written by torch.save, or a GGUF file. The format is told from the first
bytes, not from the name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dlcore import _C
from dlcore.io.gguf import GGUFFile
from dlcore.io.safetensors import SafetensorsFile
from dlcore.io.torch_file import TorchFile

__all__ = ["Checkpoint", "open_checkpoint", "read_json", "weight_map_of"]

_MAX_JSON = 100_000_000


class Checkpoint(Mapping[str, _C.Array]):
    """What readers of files offer: arrays by name, and their shapes and dtypes without reading them."""

    def __init__(self, files: Mapping[str, Any], home: Mapping[str, str], path: str) -> None:
        self._files, self._home, self.path = files, home, path

    def __getitem__(self, name: str) -> _C.Array:
        array: _C.Array = self._files[self._home[name]][name]
        return array

    def read(self) -> None:
        """Brings what lies in mapped files into memory, for whoever will use all of it again and again."""
        for file in self._files.values():
            if isinstance(file, SafetensorsFile):
                file.read()

    def shape(self, name: str) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._files[self._home[name]].shape(name)
        return shape

    def dtype(self, name: str) -> str:
        dtype: str = self._files[self._home[name]].dtype(name)
        return dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object of a file.

    Raises ValueError where the file is not JSON, not an object, or larger than 100 MB.
    """
    with open(path, "rb") as f:
        if os.fstat(f.fileno()).st_size > _MAX_JSON:
            raise ValueError(f"read_json: the file must have at most {_MAX_JSON} bytes: {os.fspath(path)}")
        text = f.read()
    try:
        value = json.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as e:
        raise ValueError(f"read_json: the file must be JSON ({e}): {os.fspath(path)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"read_json: the file must hold a JSON object: {os.fspath(path)}")
    return value


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The weights at `path`: a file, or the index of a sharded checkpoint; each is read when it is asked for.

    Raises FileNotFoundError for a file or a shard that is not there, ValueError for what is corrupt, in a
    format that is not read, or names a shard outside the index's own folder.

    >>> import dlcore, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> dlcore.save_file({"w": dlcore.ones(2)}, path)
    >>> dlcore.io.open_checkpoint(path).shape("w")
    (2,)
    """
    file = Path(path)
    if file.name.endswith(".index.json"):
        return _open_shards(file)
    opened = _open_file(file)
    return Checkpoint({file.name: opened}, dict.fromkeys(opened, file.name), str(file))


def _open_file(file: Path) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"open_checkpoint: no such file: {file}")
    with open(file, "rb") as f:
        head = f.read(16)
    if head[:2] in (b"PK", b"\x80\x02") and head[8:9] != b"{":
        return TorchFile(file)
    if head[:4] == b"GGUF":
        return GGUFFile(file)
    return SafetensorsFile(file)


def weight_map_of(index: Path) -> dict[str, str]:
    """name -> file of an index of shards, the files beside it.

    Raises ValueError where it is no such index, or names a file outside its own folder.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise ValueError(f"open_checkpoint: the index must map names to files in 'weight_map': {index}")
    for shard in set(weight_map.values()):
        if PurePosixPath(shard).name != shard or "\\" in shard or shard in ("", ".", ".."):
            raise ValueError(f"open_checkpoint: a shard must be a plain file name, got {shard!r}: {index}")
    return weight_map


def _open_shards(index: Path) -> Checkpoint:
    weight_map = weight_map_of(index)
    files = {shard: _open_file(index.parent / shard) for shard in sorted(set(weight_map.values()))}
    for name, shard in weight_map.items():
        if name not in files[shard]:
            raise ValueError(f"open_checkpoint: {name!r} must be in {shard}, as the index says: {index}")
    return Checkpoint(files, weight_map, str(index))
