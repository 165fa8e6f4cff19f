"""GGUF, llama.cpp's file of metadata and quantised tensors, versions 2 and 3, mapped into memory.

A file is a magic, counts, typed metadata, one record a tensor (name, sizes from the fastest axis on, type,
offset), and aligned data. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Whatever a
file claims is held against its size before it is believed.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from dlcore import _C

__all__ = ["GGUFFile", "open_llama"]

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_Floats = np.ndarray[Any, np.dtype[np.float32]]

_SCALARS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "<u1", 10: "<u8", 11: "<i8",
    12: "<f8",
}  # fmt: skip
_BOOL, _STRING, _ARRAY = 7, 8, 9
_MAX_DEPTH = 4  # of arrays in arrays
_CHUNK = 1 << 14  # blocks that are widened at a time


# ---- quantised blocks -> float32: rows of bytes, one row a block ------------------------------------------


def _half(b: _Bytes) -> _Floats:
    return np.ascontiguousarray(b).view("<f2").astype(np.float32)


def _nibbles(b: _Bytes) -> _Bytes:
    """(N, ..., k) -> (N, ..., 2 k): all low halves, then all high ones."""
    return np.concatenate([b & 15, b >> 4], -1)


def _fifth_bits(b: _Bytes) -> _Bytes:
    """4 bytes -> 32 numbers, 0 or 16."""
    bits: _Bytes = np.unpackbits(np.ascontiguousarray(b), axis=-1, bitorder="little")
    return bits * np.uint8(16)


def _q8_0(b: _Bytes) -> _Floats:
    return _half(b[:, :2]) * np.ascontiguousarray(b[:, 2:]).view(np.int8)


def _q4_0(b: _Bytes) -> _Floats:
    return _half(b[:, :2]) * (_nibbles(b[:, 2:]).astype(np.float32) - 8)


def _q4_1(b: _Bytes) -> _Floats:
    return _half(b[:, :2]) * _nibbles(b[:, 4:]) + _half(b[:, 2:4])


def _q5_0(b: _Bytes) -> _Floats:
    return _half(b[:, :2]) * ((_nibbles(b[:, 6:]) | _fifth_bits(b[:, 2:6])).astype(np.float32) - 16)


def _q5_1(b: _Bytes) -> _Floats:
    return _half(b[:, :2]) * (_nibbles(b[:, 8:]) | _fifth_bits(b[:, 4:8])) + _half(b[:, 2:4])


def _scales_and_minima(b: _Bytes) -> tuple[_Floats, _Floats]:
    """The head of a Q4_K or Q5_K block: d, dmin and 8 pairs of 6-bit numbers -> (N, 8, 1) each."""
    low, high, rest = b[:, 4:8], b[:, 8:12], b[:, 12:16]
    scale = np.concatenate([low & 63, rest & 15 | low >> 6 << 4], 1)
    least = np.concatenate([high & 63, rest >> 4 | high >> 6 << 4], 1)
    return (_half(b[:, :2]) * scale)[..., None], (_half(b[:, 2:4]) * least)[..., None]


def _runs(b: _Bytes) -> _Bytes:
    """128 bytes of nibbles -> 8 runs of 32: each 32 bytes hold one run low, the next one high."""
    return _nibbles(b.reshape(-1, 4, 32)).reshape(-1, 8, 32)


def _q4_k(b: _Bytes) -> _Floats:
    d, m = _scales_and_minima(b)
    return (d * _runs(b[:, 16:]) - m).reshape(-1, 256)


def _q5_k(b: _Bytes) -> _Floats:
    d, m = _scales_and_minima(b)
    fifth = (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1) << 4  # (N, 8, 32)
    return (d * (_runs(b[:, 48:]) | fifth) - m).reshape(-1, 256)


def _q6_k(b: _Bytes) -> _Floats:
    low = _nibbles(b[:, :128].reshape(-1, 2, 64)).reshape(-1, 8, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = (b[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3).reshape(-1, 8, 32) << 4
    d = _half(b[:, 208:]) * np.ascontiguousarray(b[:, 192:208]).view(np.int8)  # (N, 16)
    return (d[..., None] * ((low | high).astype(np.float32) - 32).reshape(-1, 16, 16)).reshape(-1, 256)


def _bf16(b: _Bytes) -> _Floats:
    return (np.ascontiguousarray(b).view("<u2").astype(np.uint32) << 16).view(np.float32)


def _f32(b: _Bytes) -> _Floats:
    return np.ascontiguousarray(b).view("<f4")


# type -> its name, numbers in a block, bytes of a block, how it is read
_TYPES: dict[int, tuple[str, int, int, Callable[[_Bytes], _Floats]]] = {
    0: ("F32", 1, 4, _f32),
    1: ("F16", 1, 2, _half),
    2: ("Q4_0", 32, 18, _q4_0),
    3: ("Q4_1", 32, 20, _q4_1),
    6: ("Q5_0", 32, 22, _q5_0),
    7: ("Q5_1", 32, 24, _q5_1),
    8: ("Q8_0", 32, 34, _q8_0),
    12: ("Q4_K", 256, 144, _q4_k),
    13: ("Q5_K", 256, 176, _q5_k),
    14: ("Q6_K", 256, 210, _q6_k),
    30: ("BF16", 1, 2, _bf16),
}


class _Cursor:
    """Reads forward; nothing beyond the end."""

    def __init__(self, data: _Bytes, path: str) -> None:
        self.data, self.path, self.at = data, path, 0

    def error(self, what: str) -> ValueError:
        return ValueError(f"gguf: {what}: {self.path}")

    def take(self, n: int) -> _Bytes:
        if n > self.data.size - self.at:
            raise self.error(f"truncated at byte {self.at}, where {n} more are needed")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)).tobytes())[0]

    def count(self, least: int, what: str) -> int:
        """A number of things that take at least this many bytes each."""
        n: int = self.number("<Q")
        if n * least > self.data.size - self.at:
            raise self.error(f"the {what} must fit in the file, got {n}")
        return n

    def text(self) -> str:
        return self.take(self.count(1, "length of a string")).tobytes().decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            if depth == _MAX_DEPTH:
                raise self.error(f"arrays must nest at most {_MAX_DEPTH} deep")
            of = self.number("<I")
            if of in _SCALARS:
                dtype = np.dtype(_SCALARS[of])
                n = self.count(dtype.itemsize, "length of an array")
                flat = self.take(n * dtype.itemsize).tobytes()
                return np.frombuffer(flat, np.bool_ if of == _BOOL else dtype)
            n = self.count(12 if of == _ARRAY else 8, "length of an array")
            return [self.value(of, depth + 1) for _ in range(n)]
        if kind not in _SCALARS:
            raise self.error(f"the type of a value must be 0 to 12, got {kind}")
        dtype = np.dtype(_SCALARS[kind])
        found = np.frombuffer(self.take(dtype.itemsize).tobytes(), dtype)[0].item()
        return bool(found) if kind == _BOOL else found


class GGUFFile(Mapping[str, _C.Array]):
    """Name -> float32 Array of a .gguf file; `metadata` holds its other values, `types` how tensors are kept.

    F32 tensors lie in the mapping itself, copied page by page when they are written to; F16, BF16, Q8_0,
    Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K are widened when they are asked for.

    Raises ValueError, saying what is wrong, for a file that is truncated, corrupt, or of another type.
    """

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        self.path = os.fspath(filename)
        nbytes = os.path.getsize(self.path)
        mapped = np.memmap(self.path, np.uint8, "c", shape=(nbytes,)) if nbytes else np.zeros(0, np.uint8)
        self._data: _Bytes = np.asarray(mapped)
        c = _Cursor(self._data, self.path)
        if c.take(4).tobytes() != b"GGUF":
            raise c.error("the file must begin with GGUF")
        self.version: int = c.number("<I")
        if self.version not in (2, 3):
            raise c.error(f"the version must be 2 or 3, little-endian, got {self.version}")
        tensors = c.number("<Q")
        values = c.count(13, "number of values")
        if tensors * 24 > nbytes:
            raise c.error(f"the number of tensors must fit in the file, got {tensors}")
        self.metadata: dict[str, Any] = {}
        for _ in range(values):
            key = c.text()
            if key in self.metadata:
                raise c.error(f"the key {key!r} must stand once")
            self.metadata[key] = c.value(c.number("<I"))
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise c.error(f"general.alignment must be a power of two, 8 or more, got {alignment!r:.40}")
        self._entries: dict[str, tuple[int, tuple[int, ...], int, int]] = {}
        for _ in range(tensors):
            self._tensor(c, alignment)
        self._place(c, c.at + -c.at % alignment)

    def _tensor(self, c: _Cursor, alignment: int) -> None:
        name, axes = c.text(), c.number("<I")
        if name in self._entries:
            raise c.error(f"the tensor {name!r:.80} must stand once")
        if axes > _MAX_DEPTH:
            raise c.error(f"a tensor must have at most 4 axes, got {axes} of {name!r:.80}")
        shape = struct.unpack(f"<{axes}Q", c.take(8 * axes).tobytes())
        kind, offset = c.number("<I"), c.number("<Q")
        if kind not in _TYPES:
            known = ", ".join(t[0] for t in _TYPES.values())
            raise c.error(f"the type of a tensor must be one of {known}, got number {kind} of {name!r:.80}")
        _, block, size, _ = _TYPES[kind]
        n = math.prod(shape)
        if n == 0 or (shape[0] if shape else 1) % block:
            raise c.error(f"sizes must be positive and in blocks of {block}, got {shape} of {name!r:.80}")
        if offset % alignment:
            raise c.error(f"the offset of {name!r:.80} must be a multiple of {alignment}, got {offset}")
        self._entries[name] = (kind, shape[::-1], offset, n // block * size)

    def _place(self, c: _Cursor, start: int) -> None:
        """Offsets from the file's begin on, once every tensor lies in the file and beside the others."""
        end, before = 0, ""
        for name, (kind, shape, offset, size) in sorted(self._entries.items(), key=lambda item: item[1][2]):
            if offset < end:
                raise c.error(f"tensors must not overlap, as {before!r:.80} and {name!r:.80} do")
            end, before = offset + size, name
            if start + end > self._data.size:
                raise c.error(f"the tensor {name!r:.80} must lie within the file")
            self._entries[name] = (kind, shape, start + offset, size)

    def __getitem__(self, name: str) -> _C.Array:
        return _C.from_numpy(self.numpy(name))

    def numpy(self, name: str) -> _Floats:
        kind, shape, offset, size = self._entries[name]
        _, block, nbytes, widen = _TYPES[kind]
        raw = self._data[offset : offset + size].reshape(-1, nbytes)
        if kind == 0:
            return _f32(raw).reshape(shape)
        out = np.empty((len(raw), block), np.float32)
        with np.errstate(all="ignore"):
            step = _CHUNK * 256 // block
            for i in range(0, len(raw), step):
                out[i : i + step] = widen(raw[i : i + step])
        return out.reshape(shape)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._entries[name][1]

    def dtype(self, name: str) -> str:
        """What the tensor becomes."""
        return "float32"

    @property
    def types(self) -> dict[str, str]:
        return {name: _TYPES[entry[0]][0] for name, entry in self._entries.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


# ---- llama.cpp's names of Llama -> Transformers' ----------------------------------------------------------

_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BLOCK = re.compile(r"blk\.(\d{1,6})\.(\w+)\.(weight|bias)")


class _Llama(Mapping[str, _C.Array]):
    """A GGUFFile under Transformers' names, with the rows of queries and keys in its order."""

    def __init__(self, file: GGUFFile, heads: dict[str, int]) -> None:
        self.file, self.heads = file, heads
        self.names: dict[str, str] = {}
        for name in file:
            block = _BLOCK.fullmatch(name)
            stem, _, leaf = name.rpartition(".")
            if block is not None and block[2] in _INNER:
                self.names[f"model.layers.{int(block[1])}.{_INNER[block[2]]}.{block[3]}"] = name
            else:
                self.names[f"{_OUTER[stem]}.{leaf}" if stem in _OUTER else name] = name

    def __getitem__(self, name: str) -> _C.Array:
        source = self.names[name]
        block = _BLOCK.fullmatch(source)
        heads = self.heads.get(block[2]) if block is not None else None
        if heads is None:
            return self.file[source]
        rows = self.file.numpy(source)  # llama.cpp turns neighbours: rows (H, D / 2, 2), ours (H, 2, D / 2)
        pairs = rows.reshape(heads, len(rows) // heads // 2, 2, *rows.shape[1:])
        return _C.from_numpy(np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape))

    def shape(self, name: str) -> tuple[int, ...]:
        return self.file.shape(self.names[name])

    def dtype(self, name: str) -> str:
        return "float32"

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def open_llama(filename: str | os.PathLike[str]) -> tuple[dict[str, Any], Mapping[str, _C.Array]]:
    """The configuration of a Llama or Qwen2 in a .gguf file, and its weights, by Transformers' names.

    Raises ValueError for other architectures, and for metadata that contradict the tensors.
    """
    file = GGUFFile(filename)
    c = _Cursor(file._data, file.path)
    kind = file.metadata.get("general.architecture")
    if kind not in ("llama", "qwen2"):
        raise c.error(f"general.architecture must be llama or qwen2, got {kind!r:.40}")

    def number(key: str, default: Any = None, *, name: str | None = None) -> Any:
        value = file.metadata.get(name or f"{kind}.{key}", default)
        if value is default:
            return default
        if type(value) not in (int, float) or not 0 <= value < 2**40:
            raise c.error(f"{name or key} must be a number that is not negative, got {value!r:.40}")
        return value

    def rows(name: str, axis: int = 0) -> int:
        if name not in file or len(file.shape(name)) != 2:
            raise c.error(f"there must be a matrix {name}")
        return file.shape(name)[axis]

    blocks = {int(m[1]) for m in map(_BLOCK.fullmatch, file) if m is not None}
    width, heads = rows("token_embd.weight", 1), number("attention.head_count")
    kv_heads = number("attention.head_count_kv", heads)
    layers, inner = number("block_count"), rows("blk.0.ffn_up.weight")
    if type(heads) is not int or type(kv_heads) is not int or not 0 < kv_heads <= heads or width % heads:
        raise c.error(f"the numbers of heads must divide {width}, got {heads} and {kv_heads}")
    head_dim = number("attention.key_length", width // heads)
    expected = {
        "embedding_length": width,
        "feed_forward_length": inner,
        "block_count": len(blocks),
        "rope.dimension_count": head_dim,
    }
    for key, value in expected.items():
        if number(key, value) != value:
            raise c.error(f"{key} must be that of the tensors, {value}, got {number(key)}")
    if blocks != set(range(layers or 0)) or head_dim * heads != rows("blk.0.attn_q.weight"):
        raise c.error("block_count and the heads must be those of the tensors")
    if head_dim * kv_heads != rows("blk.0.attn_k.weight") or head_dim % 2:
        raise c.error("the heads of keys must be those of the tensors, of even size")
    values = {
        "model_type": kind,
        "vocab_size": rows("token_embd.weight"),
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": number("context_length", 2048),
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon", 1e-6),
        "tie_word_embeddings": "output.weight" not in file,
        "mlp_bias": "blk.0.ffn_up.bias" in file,
        "rope_parameters": _rope(file, c, number, head_dim),
    }
    if kind == "llama":
        values["attention_bias"] = "blk.0.attn_q.bias" in file
    for name in ("bos", "eos", "padding"):
        token = number("", name=f"tokenizer.ggml.{name}_token_id")
        if token is not None and token < values["vocab_size"]:
            values[f"{'pad' if name == 'padding' else name}_token_id"] = int(token)
    permuted = {"attn_q": heads, "attn_k": kv_heads} if kind == "llama" else {}
    state = _Llama(file, permuted)
    state.names.pop("rope_freqs.weight", None)
    return values, state


def _rope(file: GGUFFile, c: _Cursor, number: Callable[..., Any], head_dim: int) -> dict[str, Any]:
    theta = float(number("rope.freq_base", 10000.0))
    if not theta > 1:
        raise c.error(f"rope.freq_base must be above 1, got {theta}")
    out: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    architecture = file.metadata["general.architecture"]
    kind = file.metadata.get(f"{architecture}.rope.scaling.type", "none")
    if kind in ("linear", "yarn"):
        factor = float(number("rope.scaling.factor", 1.0))
        if not factor > 0:
            raise c.error(f"rope.scaling.factor must be positive, got {factor}")
        out |= {"rope_type": kind, "factor": factor}
        if kind == "yarn" and number("rope.scaling.original_context_length"):
            out["original_max_position_embeddings"] = number("rope.scaling.original_context_length")
    elif kind != "none":
        raise c.error(f"rope.scaling.type must be none, linear or yarn, got {kind!r:.40}")
    if "rope_freqs.weight" in file:  # Llama 3.1's stretching, by which each frequency is divided
        given = file.numpy("rope_freqs.weight").ravel()
        turns = 8192 * theta ** (-np.arange(0, head_dim, 2) / head_dim) / (2 * math.pi)
        keep = np.clip((turns - 1) / 3, 0, 1)
        factor = float(given.max(initial=1))
        if given.shape != turns.shape or not np.allclose(given, 1 / (keep + (1 - keep) / factor), rtol=1e-3):
            raise c.error("rope_freqs must be those of Llama 3.1 (from 1 to 4 turns in 8192 tokens)")
        out |= {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        out["original_max_position_embeddings"] = 8192
    return out
