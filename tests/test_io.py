"""safetensors files: round trips, the reference implementation where installed, and files that are wrong."""

import json
import os

import numpy as np
import pytest

import dlcore
from dlcore.io import load_metadata
from dlcore.io.safetensors import SafetensorsFile

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


def write(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_round_trip(tmp_path, rng):
    path = tmp_path / "x.safetensors"
    want = {
        f"{d}.{i}": np.asarray(rng.standard_normal(s) * 9).astype(d)
        for d in DTYPES
        for i, s in enumerate([(), (0, 3), (5, 3)])
    }
    want["strided"] = rng.standard_normal((6, 8))[::-2, ::3]
    dlcore.save_file({k: dlcore.tensor(v) for k, v in want.items()}, path, {"format": "pt", "ä": "ö"})
    got = dlcore.load_file(path)
    assert set(got) == set(want)
    for k, v in want.items():
        assert got[k].dtype == v.dtype and got[k].shape == v.shape
        np.testing.assert_array_equal(got[k].numpy(), v)
    assert load_metadata(path) == {"format": "pt", "ä": "ö"}
    got["float32.2"][0] = 7  # memory of its own
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_ndarrays_and_parameters(tmp_path):
    path = tmp_path / "x.safetensors"
    dlcore.save_file(
        {"a": np.arange(3), "w": dlcore.nn.Parameter(dlcore.ones(2)), "big": np.arange(3, dtype=">i4")}, path
    )
    got = dlcore.load_file(path)
    assert (
        got["a"].tolist() == [0, 1, 2]
        and got["w"].tolist() == [1.0, 1.0]
        and got["big"].tolist() == [0, 1, 2]
    )


def test_narrow_dtypes_are_widened(tmp_path):
    path = tmp_path / "x.safetensors"
    half, small = np.array([1.5, -2.25], np.float16), np.array([-3, 4], np.int8)
    bf16 = np.array([1.5, -2.25, np.inf], np.float32)
    data = half.tobytes() + small.tobytes() + (bf16.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    write(
        path,
        {"h": entry("F16", (2,), (0, 4)), "i": entry("I8", (2,), (4, 6)), "b": entry("BF16", (3,), (6, 12))},
        data,
    )
    got = dlcore.load_file(path)
    assert {k: v.dtype for k, v in got.items()} == {"h": np.float32, "i": np.int32, "b": np.float32}
    assert (
        got["h"].tolist() == [1.5, -2.25]
        and got["i"].tolist() == [-3, 4]
        and got["b"].tolist() == bf16.tolist()
    )


def test_against_safetensors(tmp_path, rng):
    safetensors = pytest.importorskip("safetensors.numpy")
    want = {
        f"{d}.{i}": np.asarray(rng.standard_normal(s) * 9).astype(d)
        for d in DTYPES
        for i, s in enumerate([(), (0, 3), (5, 3)])
    }
    dlcore.save_file(want, tmp_path / "ours", {"a": "b"})
    safetensors.save_file({k: np.asarray(v) for k, v in want.items()}, tmp_path / "theirs")
    theirs, ours = safetensors.load_file(tmp_path / "ours"), dlcore.load_file(tmp_path / "theirs")
    for k, v in want.items():
        np.testing.assert_array_equal(theirs[k], v)
        np.testing.assert_array_equal(ours[k].numpy(), v)


GOOD = b"\0" * 4


@pytest.mark.parametrize(
    "header, data, length, match",
    [
        (b"{}", b"", 1 << 62, "at most 100000000 bytes"),
        (b"{}", b"", 99, "header must lie within the file"),
        (b"[]", b"", None, "JSON object"),
        (b"{x}", b"", None, "must be JSON"),
        (b'{"a\xff": 1}', b"", None, "must be JSON"),
        (b"{" * 100_000, b"", None, "must be JSON"),
        (b'{"a":1,"a":2}', b"", None, "repeat a name"),
        ({"__metadata__": {"a": 1}}, b"", None, "metadata must map strings"),
        ({"x": 3}, b"", None, "'x' must have dtype, shape"),
        ({"x": {**entry(), "more": 1}}, GOOD, None, "must have dtype, shape and data_offsets"),
        ({"x": entry("F8_E4M3")}, GOOD, None, "not supported: 'F8_E4M3'"),
        ({"x": entry(["F32"])}, GOOD, None, "not supported"),
        ({"x": entry(shape=(-1,))}, GOOD, None, "list of sizes"),
        ({"x": entry(shape=(1.0,))}, GOOD, None, "list of sizes"),
        ({"x": entry(shape=(True,))}, GOOD, None, "list of sizes"),
        ({"x": entry(offsets=(0, 4, 8))}, GOOD, None, "two offsets"),
        ({"x": entry(offsets=(-4, 0))}, GOOD, None, "two offsets"),
        ({"x": entry(offsets=(4, 0))}, GOOD, None, "must have 4 bytes"),
        ({"x": entry(shape=(2,))}, GOOD, None, r"must have 8 bytes \(F32 \(2,\)\)"),
        ({"x": entry(shape=(1 << 40, 1 << 40))}, GOOD, None, "must have"),
        ({"x": entry()}, b"", None, "must fill the file"),
        ({"x": entry()}, GOOD * 2, None, "must fill the file"),
        ({"x": entry(), "y": entry()}, GOOD, None, "gaps or overlaps"),
        ({"x": entry(), "y": entry(offsets=(8, 12))}, GOOD * 3, None, "gaps or overlaps"),
    ],
)
def test_wrong_files(tmp_path, header, data, length, match):
    with pytest.raises(ValueError, match=match):
        dlcore.load_file(write(tmp_path / "x", header, data, length))


def test_truncated_and_empty(tmp_path):
    path = tmp_path / "x"
    dlcore.save_file({"a": dlcore.ones(100)}, path)
    whole = path.read_bytes()
    for n in (0, 7, 8, 20, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"load_file: .*x$"):
            dlcore.load_file(path)


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    dlcore.save_file({"a": dlcore.ones(1)}, path)
    before = path.read_bytes()
    for bad, match in [({"a": np.ones(1, complex)}, "no dtype"), ({3: np.ones(1)}, "names must be strings")]:
        with pytest.raises(TypeError, match=match):
            dlcore.save_file(bad, path)
    with pytest.raises(TypeError, match="metadata"):
        dlcore.save_file({}, path, {"a": 1})
    with pytest.raises(ValueError, match="__metadata__"):
        dlcore.save_file({"__metadata__": np.ones(1)}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x"]


def test_read_brings_a_mapped_file_into_memory(tmp_path, rng):
    path = tmp_path / "x.safetensors"
    arrays = {
        "large": rng.standard_normal((300, 301)).astype(np.float32),
        "small": rng.standard_normal(7),
        "none": np.zeros((0, 3), np.float32),
        "ids": np.arange(5),
    }
    dlcore.save_file(arrays, path)
    file = SafetensorsFile(path)
    mapped = {name: file[name].numpy().copy() for name in file}
    file.read()
    for name, a in arrays.items():
        np.testing.assert_array_equal(file[name].numpy(), a)
        np.testing.assert_array_equal(mapped[name], a)
        assert file[name].numpy().ctypes.data % 64 == 0 or not a.size
    held = file["large"].numpy()
    held += 1  # it is memory of its own
    np.testing.assert_array_equal(SafetensorsFile(path)["large"].numpy(), arrays["large"])


def test_read_leaves_mapped_what_is_widened(tmp_path):
    path = tmp_path / "x.safetensors"
    dlcore.save_file({"a": np.ones(3, np.float16), "b": np.ones(3, np.float32)}, path)
    file = SafetensorsFile(path)
    file.read()
    assert file["a"].numpy().dtype == file["b"].numpy().dtype == np.float32
    assert not file._held
