"""Files that torch.save wrote (.pth, .pt, pytorch_model.bin), read by a machine that can run no code.

Such a file is a pickle, a program for a stack machine, beside the bytes of its storages. This reader is that
machine with only the instructions that build numbers, strings, lists, tuples, dicts and tensors. A name
(`GLOBAL`) is looked up in a table of a dozen words, never imported; anything else is refused with the name in
the message. Two containers exist: a zip archive (torch 1.6 and later: data.pkl, data/0, data/1 ...) and the
older sequence of pickles followed by the storages. Both are mapped into memory; tensors are views of the
mapping, copied page by page when they are written to.

Opcodes and their arguments: Python's pickletools; the layout of both containers: torch/serialization.py.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.tensor import Tensor

__all__ = ["TorchFile", "load_torch"]

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_MAX_PICKLE = 200_000_000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# Storage class or dtype -> NumPy's dtype; bfloat16 is kept as its bits and widened when it is read.
_DTYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16",
    "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool", "float64": "float64",
    "double": "float64", "float32": "float32", "float": "float32", "float16": "float16", "half": "float16",
    "bfloat16": "bfloat16", "int64": "int64", "long": "int64", "int32": "int32", "int": "int32",
    "int16": "int16", "short": "int16", "int8": "int8", "uint8": "uint8", "bool": "bool",
}  # fmt: skip
_WIDER = {"float16": "float32", "bfloat16": "float32", "int16": "int32", "int8": "int32"}


class _Dtype(str):
    """A storage class or dtype that a pickle named."""


class _Storage:
    """The bytes of one storage, all of them within the file."""

    def __init__(self, dtype: str, data: Bytes) -> None:
        self.dtype, self.data = dtype, data


class _Lazy:
    """A tensor of the file: where it lies, read when it is asked for."""

    def __init__(
        self, storage: _Storage, dtype: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ):
        self.storage, self.dtype, self.offset, self.shape, self.strides = (
            storage,
            dtype,
            offset,
            shape,
            strides,
        )

    def array(self) -> _C.Array:
        item = _item_size(self.dtype)
        bits = "uint16" if self.dtype == "bfloat16" else self.dtype
        data = self.storage.data
        if data.ctypes.data % item:
            data = data.copy()
        flat = data[: len(data) // item * item].view(bits)
        if 0 in self.shape:
            view = np.empty(self.shape, bits)
        else:
            view = np.lib.stride_tricks.as_strided(
                flat[self.offset :], self.shape, tuple([s * item for s in self.strides])
            )
        if self.dtype == "bfloat16":
            wide = np.left_shift(view, 16, dtype=np.uint32, casting="unsafe")
            return _C.clone(_C.from_numpy(np.asarray(wide).view(np.float32)))
        if self.dtype in _WIDER:
            return _C.clone(_C.from_numpy(view.astype(_WIDER[self.dtype])))
        return _C.from_numpy(view) if view.flags.c_contiguous else _C.clone(_C.from_numpy(view.copy()))


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


class _Refused(ValueError):
    """The file is corrupt, or asks for what this reader does not do."""


def _counts(x: Any) -> bool:
    return isinstance(x, tuple) and all(type(n) is int and n >= 0 for n in x)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Lazy:
    if not isinstance(storage, _Storage) or type(offset) is not int or offset < 0:
        raise _Refused("a tensor must have a storage and an offset into it")
    if not _counts(shape) or not _counts(strides) or len(shape) != len(strides):
        raise _Refused(f"a tensor must have as many strides as sizes, got {shape!r} and {strides!r}")
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides)) if 0 not in shape else offset - 1
    held = len(storage.data) // _item_size(storage.dtype)
    elements = 1
    for n in shape:
        elements *= n
    # A view may repeat elements (strides of 0), but then writing it out could outgrow the file without bound.
    if last >= held or elements > max(held, 1):
        raise _Refused(f"a tensor of {shape} must lie within its storage of {held} elements")
    return _Lazy(storage, storage.dtype, offset, shape, strides)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _ordered_dict(*args: Any) -> OrderedDict[Any, Any]:
    pairs = args[0] if args else []
    if not isinstance(pairs, (list, tuple)) or not all(
        isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs
    ):
        raise _Refused("an OrderedDict must be made of pairs")
    return OrderedDict((_key(k), v) for k, v in pairs)


def _size(*args: Any) -> tuple[Any, ...]:
    return tuple(args[0]) if args and isinstance(args[0], (list, tuple)) else ()


_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.nn.parameter", "Parameter"): _rebuild_parameter,
}


def _lookup(module: str, name: str) -> Any:
    """What a pickle may name."""
    if (module, name) in _CALLS:
        return _CALLS[module, name]
    if module in ("torch", "torch.storage") and name in _DTYPES:
        return _Dtype(_DTYPES[name])
    raise _Refused(
        f"the file names {module}.{name}, which is neither a tensor nor a plain container: "
        "save the state dict alone, or convert it to safetensors"
    )


def _key(k: Any) -> Any:
    if not isinstance(k, (str, int, float, bool, type(None), tuple)):
        raise _Refused(f"a key must be a string or a number, got {type(k).__name__}")
    try:
        hash(k)
    except TypeError:
        raise _Refused("a key must be a string or a number") from None
    return k


_MARK = object()


class _Machine:
    """The stack machine. `persistent` turns the description of a storage into the storage."""

    def __init__(self, data: bytes, at: int, persistent: Callable[[Any], Any]) -> None:
        self.data, self.at, self.persistent = data, at, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def take(self, n: int) -> bytes:
        if n < 0 or n > len(self.data) - self.at:
            raise _Refused("the pickle ends early")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, form: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise _Refused("the pickle ends early")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8", "strict")

    def marked(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise _Refused("the pickle has no mark where it needs one")

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _Refused("the pickle's stack is empty where it needs a value")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def remember(self, i: int) -> None:
        self.memo[i] = self.top()

    def recall(self, i: int) -> None:
        if i not in self.memo:
            raise _Refused("the pickle recalls what it did not remember")
        self.stack.append(self.memo[i])

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(items) % 2:
            raise _Refused("the pickle sets items of what is no dict")
        for k, v in zip(items[::2], items[1::2]):
            target[_key(k)] = v

    def append(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise _Refused("the pickle appends to what is no list")
        target.extend(items)

    def call(self) -> None:
        args, f = self.pop(), self.pop()
        if f not in _CALLS.values() or not isinstance(args, tuple):
            raise _Refused("the pickle calls what is no tensor and no container")
        try:
            self.stack.append(f(*args))
        except TypeError:
            raise _Refused("the pickle calls a function with the wrong arguments") from None

    def build(self) -> None:
        # State of a container, as OrderedDict's `_metadata` (versions of the layers): not needed here.
        self.pop()
        if not isinstance(self.top(), (dict, _Lazy)):
            raise _Refused("the pickle sets the state of what is no container")

    def run(self) -> Any:
        """The value of the pickle that begins at `at`, where the next one begins afterwards."""
        push = self.stack.append
        while True:
            op = self.take(1)
            if op in _SIMPLE:
                push(_SIMPLE[op]())
            elif op in _NUMBERS:
                push(self.number(_NUMBERS[op]))
            elif op in _TEXTS:
                push(self.take(self.number(_TEXTS[op])).decode("utf-8", "surrogatepass"))
            elif op in _BYTES:
                push(self.take(self.number(_BYTES[op])))
            elif op in (b"q", b"r"):
                self.remember(self.number("<B" if op == b"q" else "<I"))
            elif op == b"\x94":
                self.remember(len(self.memo))
            elif op in (b"h", b"j"):
                self.recall(self.number("<B" if op == b"h" else "<I"))
            elif op in (b"\x8a", b"\x8b"):
                push(
                    int.from_bytes(
                        self.take(self.number("<B" if op == b"\x8a" else "<I")), "little", signed=True
                    )
                )
            elif op == b"G":
                push(struct.unpack(">d", self.take(8))[0])
            elif op == b"(":
                push(_MARK)
            elif op == b"t":
                push(tuple(self.marked()))
            elif op in (b"\x85", b"\x86", b"\x87"):
                items = [self.pop() for _ in range(op[0] - 0x84)]
                push(tuple(items[::-1]))
            elif op == b"l":
                push(self.marked())
            elif op == b"d":
                items = self.marked()
                push({})
                self.set_items(items)
            elif op in (b"s", b"u"):
                self.set_items([self.pop(), self.pop()][::-1] if op == b"s" else self.marked())
            elif op in (b"a", b"e"):
                self.append([self.pop()] if op == b"a" else self.marked())
            elif op == b"c":
                push(_lookup(self.line(), self.line()))
            elif op == b"\x93":
                name, module = self.pop(), self.pop()
                push(_lookup(str(module), str(name)))
            elif op == b"R":
                self.call()
            elif op == b"b":
                self.build()
            elif op == b"Q":
                push(self.persistent(self.pop()))
            elif op == b"0":
                self.pop()
            elif op == b"\x80":
                self.take(1)
            elif op == b"\x95":
                self.take(8)
            elif op == b".":
                return self.pop()
            else:
                raise _Refused(f"the pickle has the instruction {op!r}, which only code would need")


_SIMPLE: dict[bytes, Callable[[], Any]] = {
    b"N": lambda: None, b"\x88": lambda: True, b"\x89": lambda: False,
    b"}": dict, b"]": list, b")": tuple,
}  # fmt: skip
_NUMBERS = {b"J": "<i", b"K": "<B", b"M": "<H"}
_TEXTS = {b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q", b"U": "<B", b"T": "<i"}
_BYTES = {b"B": "<I", b"C": "<B", b"\x8e": "<Q"}


def _run(machine: _Machine) -> tuple[Any, int]:
    """The value, and where the pickle ends."""
    try:
        return machine.run(), machine.at
    except (UnicodeDecodeError, struct.error, OverflowError, RecursionError, MemoryError) as e:
        raise _Refused(f"the pickle is corrupt ({type(e).__name__})") from None


def _described(pid: Any) -> tuple[str, str, int]:
    """dtype, key and number of elements of a storage."""
    if (
        not isinstance(pid, tuple)
        or len(pid) < 5
        or pid[0] != "storage"
        or not isinstance(pid[1], _Dtype)
        or not isinstance(pid[2], str)
        or type(pid[4]) is not int
        or pid[4] < 0
    ):
        raise _Refused("a storage must be described by its dtype, key, place and size")
    return str(pid[1]), pid[2], pid[4]


def _read_zip(path: str, mapped: Bytes) -> Any:
    import zipfile  # here, because `import dlcore` is to stay fast

    try:
        with zipfile.ZipFile(path) as archive:
            members = {i.filename: i for i in archive.infolist()}
            pickles = [n for n in members if n.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1:
                raise _Refused("the archive must hold one data.pkl")
            root = pickles[0][: -len("data.pkl")]
            info = members[pickles[0]]
            if info.file_size > min(_MAX_PICKLE, max(len(mapped), 1)):
                raise _Refused(f"data.pkl must have at most {_MAX_PICKLE} bytes and lie within the file")
            data = archive.read(info)
            order = members.get(root + "byteorder")
            if order is not None and archive.read(order) != b"little":
                raise _Refused("the numbers must be little-endian")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, struct.error) as e:
        raise _Refused(f"the archive is corrupt ({e})") from None
    storages: dict[str, _Storage] = {}

    def storage(pid: Any) -> _Storage:
        dtype, key, n = _described(pid)
        if key not in storages:
            info = members.get(f"{root}data/{key}")
            nbytes = n * _item_size(dtype)
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise _Refused(f"the storage {key!r} must be in the archive, not compressed")
            head = bytes(mapped[info.header_offset : info.header_offset + 30])
            if len(head) < 30 or head[:4] != b"PK\x03\x04":
                raise _Refused("the archive is corrupt (a member has no header)")
            begin = info.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))
            if nbytes > info.file_size or begin + nbytes > len(mapped):
                raise _Refused(f"the storage {key!r} must have {nbytes} bytes, got {info.file_size}")
            storages[key] = _Storage(dtype, mapped[begin : begin + nbytes])
        if storages[key].dtype != dtype:
            raise _Refused(f"the storage {key!r} must have one dtype")
        return storages[key]

    return _run(_Machine(data, 0, storage))[0]


def _read_legacy(mapped: Bytes) -> Any:
    data = mapped[:_MAX_PICKLE].tobytes()

    def nothing(_: Any) -> Any:
        raise _Refused("the file's head must not hold tensors")

    magic, at = _run(_Machine(data, 0, nothing))
    if magic != _LEGACY_MAGIC:
        raise _Refused("the file must be one that torch.save or safetensors wrote")
    protocol, at = _run(_Machine(data, at, nothing))
    system, at = _run(_Machine(data, at, nothing))
    if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict) or not system.get("little_endian", True):
        raise _Refused("the file must be of protocol 1001 and little-endian")
    storages: dict[str, _Storage] = {}
    sizes: dict[str, int] = {}

    def storage(pid: Any) -> _Storage:
        dtype, key, n = _described(pid)
        if len(pid) > 5 and pid[5] is not None:
            raise _Refused("views of storages, as torch before 0.4 wrote them, are not read")
        if key not in storages:
            if n * _item_size(dtype) > len(mapped):
                raise _Refused(f"the storage {key!r} must lie within the file")
            storages[key] = _Storage(dtype, np.zeros(0, np.uint8))
            sizes[key] = n
        if storages[key].dtype != dtype or sizes[key] != n:
            raise _Refused(f"the storage {key!r} must have one dtype and one size")
        return storages[key]

    # The storages follow the pickle that names them: tensors are checked once these are known.
    machine = _Deferring(data, at, storage)
    value, at = _run(machine)
    keys, at = _run(_Machine(data, at, nothing))
    if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys) or set(keys) != set(sizes):
        raise _Refused("the file must list the keys of its storages")
    for key in keys:
        item = _item_size(storages[key].dtype)
        n = int.from_bytes(mapped[at : at + 8].tobytes(), "little")
        at += 8
        if n != sizes[key] or at + n * item > len(mapped):
            raise _Refused(f"the storage {key!r} must have {sizes[key]} elements within the file")
        storages[key].data = mapped[at : at + n * item]
        at += n * item
    tensors = [_rebuild_tensor(*arguments) for arguments in machine.pending]
    return _replace(value, lambda v: tensors[v] if isinstance(v, _Pending) else v)


class _Pending(int):
    """The number of a tensor whose storage is still to come."""


class _Deferring(_Machine):
    """The machine for a pickle whose storages lie behind it."""

    def __init__(self, data: bytes, at: int, persistent: Callable[[Any], Any]) -> None:
        super().__init__(data, at, persistent)
        self.pending: list[tuple[Any, ...]] = []

    def call(self) -> None:
        args = self.pop()
        if self.top() is _rebuild_tensor and isinstance(args, tuple) and len(args) >= 4:
            self.stack[-1] = _Pending(len(self.pending))
            self.pending.append(args)
            return
        self.stack.append(args)
        super().call()

    def build(self) -> None:
        self.pop()
        if not isinstance(self.top(), (dict, _Pending)):
            raise _Refused("the pickle sets the state of what is no container")


def _replace(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The containers with `leaf` applied to what they hold, each once, however often it is referred to."""
    done: dict[int, Any] = {}
    open_ = object()

    def walk(v: Any) -> Any:
        if not isinstance(v, (dict, list, tuple)):
            return leaf(v)
        if id(v) in done:
            if done[id(v)] is open_:
                raise _Refused("a container must not hold itself")
            return done[id(v)]
        done[id(v)] = open_
        items = ((k, walk(x)) for k, x in v.items()) if isinstance(v, dict) else (walk(x) for x in v)
        done[id(v)] = new = type(v)(items)
        return new

    return walk(value)


def _parse(path: str) -> Any:
    """What torch.save was given, tensors as _Lazy."""
    nbytes = os.stat(path).st_size
    if nbytes < 16:
        raise _Refused("the file is too short to hold a tensor")
    mapped: Bytes = np.asarray(np.memmap(path, np.uint8, "c", shape=(nbytes,)))
    if bytes(mapped[:4]) == b"PK\x03\x04":
        return _read_zip(path, mapped)
    return _read_legacy(mapped)


def _read(path: str | os.PathLike[str], leaf: Callable[[Any], Any] | None = None) -> Any:
    file = os.fspath(path)
    try:
        value = _parse(file)
        return value if leaf is None else _replace(value, leaf)
    except _Refused as e:
        raise ValueError(f"load_torch: {e}: {file}") from None
    except RecursionError:
        raise ValueError(f"load_torch: the containers are nested too deeply: {file}") from None


def load_torch(path: str | os.PathLike[str]) -> Any:
    """The containers and tensors that torch.save wrote, without torch: tensors come as dlcore's.

    float16 and bfloat16 become float32, 8- and 16-bit integers int32.

    Raises ValueError, saying what is wrong, for a file that is corrupt or names anything but tensors,
    numbers, strings, lists, tuples and dicts; no code of the file is run.
    """
    return _read(path, lambda v: Tensor(v.array()) if isinstance(v, _Lazy) else v)


class TorchFile(Mapping[str, _C.Array]):
    """Name -> Array of a state dict in a file of torch.save; what is not asked for is not read.

    A dict that holds it under "state_dict" or "model" is opened. Raises ValueError as `load_torch`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        value = _read(path)
        for name in ("state_dict", "model"):
            if isinstance(value, dict) and isinstance(value.get(name), dict):
                value = value[name]
        if not isinstance(value, dict):
            raise ValueError(f"load_torch: the file must hold a state dict: {os.fspath(path)}")
        self.path = os.fspath(path)
        self._tensors = {str(k): v for k, v in value.items() if isinstance(v, _Lazy)}
        if value and not self._tensors:
            raise ValueError(f"load_torch: the file must hold a state dict of tensors: {self.path}")

    def __getitem__(self, name: str) -> _C.Array:
        return self._tensors[name].array()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def dtype(self, name: str) -> str:
        return self._tensors[name].dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
