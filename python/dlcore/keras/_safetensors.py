"""Arrays by name in the safetensors format:
an 8-byte length, a JSON header, the bytes. Nothing in it can run.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["dump", "load"]

_NAMES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I32": "<i4", "I64": "<i8", "U8": "|u1", "BOOL": "|b1"}
_CODES = {v: k for k, v in _NAMES.items()}


def dump(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    header: dict[str, Any] = {}
    parts = []
    at = 0
    for name, a in arrays.items():
        a = np.ascontiguousarray(a.astype(a.dtype.newbyteorder("<"), copy=False)).reshape(a.shape)
        data = a.tobytes()
        code = _CODES.get(a.dtype.str)
        if code is None:
            raise TypeError(
                f"safetensors: {name} has dtype {a.dtype}, which the format is not written for here"
            )
        header[name] = {"dtype": code, "shape": list(a.shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        parts.append(data)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(parts)


def load(data: bytes, what: str) -> dict[str, npt.NDArray[Any]]:
    """Raises ValueError where the bytes are not a whole, consistent file."""
    try:
        (n,) = struct.unpack_from("<Q", data)
        if n > len(data) - 8:
            raise ValueError("the header is cut off")
        header = json.loads(data[8 : 8 + n])
        body = memoryview(data)[8 + n :]
        out = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype = np.dtype(_NAMES[entry["dtype"]])
            shape = tuple(int(k) for k in entry["shape"])
            start, end = (int(k) for k in entry["data_offsets"])
            if min(shape, default=0) < 0 or not 0 <= start <= end <= len(body):
                raise ValueError(f"{name} lies outside the file")
            if end - start != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
                raise ValueError(f"{name} has the wrong number of bytes")
            out[name] = np.frombuffer(body[start:end], dtype).reshape(shape)
        return out
    except (struct.error, KeyError, TypeError, UnicodeDecodeError, ValueError) as e:
        raise ValueError(f"{what}: not a valid safetensors file ({e})") from None
