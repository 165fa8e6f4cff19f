"""Data sets: the real files, everything that can be wrong with one, and downloads (from file:// mirrors)."""

import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from dlcore.datasets import _fetch, _mnist_like, fashion_mnist, idx, mnist

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    monkeypatch.delenv("DLCORE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path, rng):
    """Four small, sound files."""
    d = tmp_path / "data"
    d.mkdir()
    for prefix, n in (("train", 7), ("t10k", 3)):
        idx.write(d / f"{prefix}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28), np.uint8))
        idx.write(d / f"{prefix}-labels-idx1-ubyte.gz", rng.integers(0, 10, n, np.uint8))
    return d


def raw(path):
    return gzip.decompress(path.read_bytes())


# ---- the real ones -----------------------------------------------------------------------------------------


def test_mnist(data_dir, monkeypatch):
    monkeypatch.setenv("DLCORE_DATA", data_dir)
    (x, y), (xt, yt) = mnist.load_data()
    assert x.shape == (60000, 28, 28) and xt.shape == (10000, 28, 28)
    assert x.dtype == y.dtype == xt.dtype == yt.dtype == np.uint8
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4] and yt[:5].tolist() == [7, 2, 1, 0, 4]
    assert abs(x.mean() / 255 - 0.1307) < 1e-4


def test_fashion_mnist_takes_the_counts_from_the_header(data_dir, monkeypatch):
    monkeypatch.setenv("DLCORE_DATA", data_dir)  # its subfolder is fashion-mnist-10k
    (x, y), (xt, _) = fashion_mnist.load_data()
    assert x.shape == xt.shape == (10000, 28, 28) and y[:4].tolist() == [9, 0, 0, 3]


def test_a_folder_of_the_other_data_set_is_refused(data_dir, monkeypatch):
    digits = Path(data_dir) / "mnist"
    with pytest.raises(ValueError, match=r"expected train-images.* of Fashion-MNIST, this is .* of MNIST"):
        fashion_mnist.load_data(digits)
    monkeypatch.setenv("DLCORE_DATA", str(digits))
    with pytest.raises(ValueError, match="of MNIST"):
        fashion_mnist.load_data()


def test_training_and_test_images_swapped(data_dir, tmp_path):
    source = Path(data_dir) / "fashion-mnist-10k"  # both splits have 10,000: counts alone would not tell
    for name in NAMES:
        prefix = {"train": "t10k", "t10k": "train"} if "images" in name else {}
        other = prefix.get(name.split("-")[0], name.split("-")[0]) + name[name.index("-") :]
        shutil.copyfile(source / f"{name}.gz", tmp_path / f"{other}.gz")
    with pytest.raises(ValueError, match="this is t10k-images-idx3-ubyte of Fashion-MNIST: files swapped"):
        fashion_mnist.load_data(tmp_path)


def test_the_embedded_subset():
    (x, y), (xt, yt) = fashion_mnist.load_subset()
    assert np.bincount(y).tolist() == [360] * 10 and np.bincount(yt).tolist() == [90] * 10
    assert x.shape == (3600, 28, 28) and xt.shape == (900, 28, 28) and 70 < x.mean() < 76
    files = Path(fashion_mnist.__file__).parent / "_data" / "fashion_mnist"
    assert sum(f.stat().st_size for f in files.iterdir()) <= 2_000_000
    assert "MIT" in (files / "LICENSE").read_text(encoding="utf-8")


def test_the_embedded_subset_is_what_its_script_makes(data_dir, tmp_path):
    (x, y), _ = fashion_mnist.load_data(Path(data_dir) / "fashion-mnist-10k")
    (xs, ys), _ = fashion_mnist.load_subset()
    chosen = np.sort(np.concatenate([np.flatnonzero(y == c)[:360] for c in range(10)]))
    assert np.array_equal(x[chosen], xs) and np.array_equal(y[chosen], ys)


# ---- where the files are found -----------------------------------------------------------------------------


def test_path_and_environment(folder, monkeypatch, tmp_path):
    want = mnist.load_data(folder)
    monkeypatch.setenv("DLCORE_DATA", str(folder))
    assert np.array_equal(mnist.load_data()[0][0], want[0][0])
    (tmp_path / "root").mkdir()
    shutil.move(folder, tmp_path / "root" / "mnist")
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path / "root"))
    assert np.array_equal(mnist.load_data()[1][1], want[1][1])


@pytest.mark.parametrize("spelling", ["{}", "{}.gz", "kaggle"])
def test_plain_and_gzipped_files(folder, spelling):
    want = mnist.load_data(folder)
    for name in NAMES:
        content = raw(folder / f"{name}.gz")
        (folder / f"{name}.gz").unlink()
        if spelling == "{}.gz":
            (folder / f"{name}.gz").write_bytes(content)  # a .gz that a browser has unpacked
        else:
            (folder / (name if spelling == "{}" else name.replace("-idx", ".idx"))).write_bytes(content)
    for a, b in zip(sum(mnist.load_data(folder), ()), sum(want, ())):
        assert np.array_equal(a, b)


def test_missing_folder_and_missing_file(folder):
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
        mnist.load_data(folder / "nowhere")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold t10k-labels-idx1-ubyte\.gz"):
        mnist.load_data(folder)


# ---- what can be wrong with a file -------------------------------------------------------------------------

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def gz(change):
    return lambda data: gzip.compress(change(gzip.decompress(data)))


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        (IMAGES, lambda d: d[:-20], "gzip stream ends too early"),
        (IMAGES, lambda d: d[:8], "gzip stream ends too early"),
        (IMAGES, flip, "gzip stream is corrupt"),
        (IMAGES, lambda d: d[:-8] + b"\0\0\0\0" + d[-4:], "gzip stream is corrupt"),
        (IMAGES, lambda d: b"", "holds only 0 bytes"),
        (IMAGES, lambda d: b"<html>Not found</html>", "magic 0x3c68746d: this is not such a file"),
        (IMAGES, gz(lambda d: d[:10]), "must have 3 sizes"),
        (IMAGES, gz(lambda d: d[:-1]), r"promises 5488 bytes .*\(7, 28, 28\), the file holds only 5487"),
        (IMAGES, gz(lambda d: d + b"\0"), "the file holds more"),
        (IMAGES, gz(lambda d: d[:4] + struct.pack(">I", 2**32 - 1) + d[8:]), "the file holds only 5488"),
        (IMAGES, gz(lambda d: d[:8] + struct.pack(">II", 14, 56) + d[16:]), r"28 x 28, got \(14, 56\)"),
        (LABELS, gz(lambda d: d[:4] + struct.pack(">I", 6) + d[8:-1]), "7 images but .* holds 6 labels"),
        (LABELS, gz(lambda d: d[:-1] + b"\x0a"), "labels must be 0 to 9, got 10"),
    ],
)
def test_a_bad_file_is_named_and_explained(folder, name, change, match):
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(ValueError, match=match) as e:
        mnist.load_data(folder)
    assert name in str(e.value) and "\n" not in str(e.value)


def test_images_and_labels_swapped(folder):
    a, b = folder / IMAGES, folder / LABELS
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected idx images .* found idx labels .* swapped"):
        mnist.load_data(folder)


def test_truncation_anywhere_is_an_error(folder):
    whole = (folder / LABELS).read_bytes()
    for n in range(len(whole)):
        (folder / LABELS).write_bytes(whole[:n])
        with pytest.raises(ValueError, match=LABELS):
            idx.read_labels(folder / LABELS)


# ---- downloads ---------------------------------------------------------------------------------------------


@pytest.fixture
def publisher(folder, monkeypatch):
    """MNIST's source, its only mirror the folder of small files."""
    sha256 = {n: hashlib.sha256((folder / f"{n}.gz").read_bytes()).hexdigest() for n in NAMES}
    source = _mnist_like.Source("MNIST", "mnist", ("mnist",), (folder.as_uri() + "/",), sha256)
    monkeypatch.setattr(mnist, "_SOURCE", source)
    return folder


def test_download_into_the_cache_once(publisher, tmp_path):
    want = mnist.load_data(publisher)
    assert np.array_equal(mnist.load_data()[0][0], want[0][0])
    cached = tmp_path / "cache" / "dlcore" / "datasets" / "mnist"
    # No temporary file stays.
    assert sorted(f.name for f in cached.iterdir()) == sorted(f"{n}.gz" for n in NAMES)
    shutil.rmtree(publisher)
    assert np.array_equal(mnist.load_data()[0][0], want[0][0])


def test_wrong_checksum_leaves_no_file(publisher, tmp_path):
    (publisher / IMAGES).write_bytes(flip((publisher / IMAGES).read_bytes()))
    with pytest.raises(OSError, match=r"MNIST: could not download train-images.*SHA-256.*DLCORE_DATA"):
        mnist.load_data()
    assert list((tmp_path / "cache" / "dlcore" / "datasets" / "mnist").iterdir()) == []


def test_the_next_mirror_is_tried(publisher, tmp_path):
    target = tmp_path / "t" / IMAGES
    digest = hashlib.sha256((publisher / IMAGES).read_bytes()).hexdigest()
    mirrors = [(tmp_path / "nowhere").as_uri() + "/", publisher.as_uri() + "/"]
    assert _fetch.download(target, mirrors, digest).read_bytes() == (publisher / IMAGES).read_bytes()
    with pytest.raises(OSError, match="nowhere"):
        _fetch.download(target.with_name("absent.gz"), mirrors, digest)


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_progress(with_tqdm, monkeypatch, capsys):
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with _fetch.Progress("file", 100) as p:
        for _ in range(10):
            p.advance(10)
    assert "file" in capsys.readouterr().err


def test_cache_dir_ignores_a_relative_xdg_cache_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _fetch.cache_dir("x") == tmp_path / ".cache" / "dlcore" / "x"
