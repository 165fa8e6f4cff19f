"""CIFAR-10 in the forms in which it is passed on, and everything that can be wrong with one."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from dlcore.datasets import cifar10
from dlcore.keras.datasets import cifar10 as keras_cifar10

NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    monkeypatch.delenv("DLCORE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def batches(rng):
    """name -> (rows (n, 3072), labels)."""
    return {n: (rng.integers(0, 256, (4, 3072), np.uint8), rng.integers(0, 10, 4)) for n in NAMES}


def binary(rows, labels):
    return np.concatenate([labels.astype(np.uint8)[:, None], rows], 1).tobytes()


def python(rows, labels):
    return pickle.dumps({b"data": rows, b"labels": labels.tolist(), b"batch_label": b"x"}, protocol=2)


def in_tar(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def check(loaded, batches):
    (x, y), (x_test, y_test) = loaded
    rows = np.concatenate([batches[n][0] for n in NAMES[:5]])
    assert x.shape == (20, 32, 32, 3) and x.dtype == y.dtype == np.uint8 and x_test.shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(x.transpose(0, 3, 1, 2).reshape(20, -1), rows)
    np.testing.assert_array_equal(y, np.concatenate([batches[n][1] for n in NAMES[:5]]))
    np.testing.assert_array_equal(y_test, batches["test_batch"][1])


@pytest.mark.parametrize("write, suffix", [(binary, ".bin"), (python, "")])
def test_batches_in_a_folder_and_in_a_tar_file(tmp_path, batches, write, suffix, monkeypatch):
    folder = tmp_path / f"cifar-10-batches-{'bin' if suffix else 'py'}"
    folder.mkdir()
    for name, batch in batches.items():
        (folder / (name + suffix)).write_bytes(write(*batch))
    check(cifar10.load_data(folder), batches)
    files = {f"{folder.name}/{n}{suffix}": write(*b) for n, b in batches.items()}
    check(cifar10.load_data(in_tar(tmp_path / "x.tar.gz", files)), batches)
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    check(cifar10.load_data(), batches)
    (_, y), (_, y_test) = keras_cifar10.load_data(folder)
    assert y.shape == (20, 1) and y_test.shape == (4, 1)


def test_pictures_in_a_tar_file(tmp_path, rng):
    Image = pytest.importorskip("PIL.Image", reason="Pillow decodes JPEG")
    files, want = {}, {"train": [], "test": []}
    for split in want:
        for label, name in enumerate(cifar10.CLASS_NAMES):
            picture = np.full((32, 32, 3), rng.integers(0, 256, 3), np.uint8)
            out = io.BytesIO()
            Image.fromarray(picture).save(out, "jpeg", quality=95)
            files[f"any/{split}/{name}/0.jpg"] = out.getvalue()
            want[split].append((picture, label))
    (x, y), (x_test, y_test) = cifar10.load_data(in_tar(tmp_path / "x.tar.gz", files))
    for split, images, labels in (("train", x, y), ("test", x_test, y_test)):
        assert labels.tolist() == list(range(10))
        assert np.abs(images.astype(int) - np.stack([p for p, _ in want[split]])).max() <= 4
    files = {"train/cat/0.jpg": b"no picture", "test/cat/0.jpg": b""}
    with pytest.raises(ValueError, match="JPEG"):
        cifar10.load_data(in_tar(tmp_path / "y.tar.gz", files))


class Hostile:
    def __reduce__(self):
        return os.system, ("true",)


def test_what_is_wrong_with_files(tmp_path, batches):
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        cifar10.load_data()
    with pytest.raises(FileNotFoundError, match="no such"):
        cifar10.load_data(tmp_path / "nowhere")
    folder = tmp_path / "x"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="data_batch_1"):
        cifar10.load_data(folder)
    (folder / "x.tar").write_bytes(b"no tar")
    with pytest.raises(ValueError, match="tar"):
        cifar10.load_data(folder / "x.tar")
    rows, labels = batches["test_batch"]
    bad = [
        pickle.dumps(Hostile()),
        pickle.dumps({b"data": Hostile(), b"labels": []}),
        pickle.dumps({b"data": rows[:, :5], b"labels": labels.tolist()}, protocol=2),
        pickle.dumps({b"data": rows, b"labels": [1]}, protocol=2),
        pickle.dumps({b"data": rows.astype(np.int64), b"labels": [1] * 4}, protocol=2),
        python(rows, labels)[:-100],
        b"",
    ]
    for data in bad:
        (folder / "data_batch_1").write_bytes(data)
        with pytest.raises(ValueError, match="CIFAR-10: data_batch_1"):
            cifar10.load_data(folder)
    for data, match in (
        (binary(rows, labels)[:-1], "3073"),
        (b"", "3073"),
        (binary(rows, labels + 10), "0 to 9"),
    ):
        (folder / "data_batch_1.bin").write_bytes(data)
        with pytest.raises(ValueError, match=match):
            cifar10.load_data(folder)
