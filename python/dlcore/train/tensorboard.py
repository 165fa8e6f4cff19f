"""TensorBoard: event files of scalars and histograms, written without TensorFlow or TensorBoard.

A file is a chain of records (length, its checksum, data, its checksum), each an `Event` in protocol buffers'
encoding: wall time (1), step (2), file version (3), summary (5) of values with a tag (1), a number (2) or a
histogram (5). https://github.com/tensorflow/tensorboard, compat/proto.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any, BinaryIO

import numpy as np

from dlcore.train.callbacks import Callback, Logs

__all__ = ["EventFile", "TensorBoard"]


def _crc_table() -> list[int]:
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


_TABLE = _crc_table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted so that checksums of checksums differ."""
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ b) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(n: int) -> bytes:
    out = bytearray()
    while True:
        n, low = n >> 7, n & 0x7F
        out.append(low | (0x80 if n else 0))
        if not n:
            return bytes(out)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _histogram(values: Any, bins: int = 30) -> bytes:
    a = np.asarray(values, np.float64).ravel()
    a = a[np.isfinite(a)]
    if not a.size:
        a = np.zeros(1)
    counts, edges = np.histogram(a, bins)
    head = [float(a.min()), float(a.max()), float(a.size), float(a.sum()), float(np.square(a).sum())]
    body = b"".join(_double(i + 1, v) for i, v in enumerate(head))
    limits, counted = edges[1:].astype("<f8").tobytes(), counts.astype("<f8").tobytes()
    return body + _bytes(6, limits) + _bytes(7, counted)


class EventFile:
    """A file of events in `folder`, made when the first is written.

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> events = EventFile(folder)
    >>> events.scalar("loss", 0.5, step=1); events.close()
    >>> os.listdir(folder)[0].startswith("events.out.tfevents.")
    True
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._file: BinaryIO | None = None

    def _write(self, body: bytes, step: int) -> None:
        if self._file is None:
            os.makedirs(self.folder, exist_ok=True)
            number = f"{os.getpid()}.{id(self) & 0xFFFF}"
            name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{number}.v2"
            self._file = open(os.path.join(self.folder, name), "ab")  # noqa: SIM115
            self._record(_double(1, time.time()) + _bytes(3, b"brain.Event:2"))
        self._record(_double(1, time.time()) + _varint(2 << 3) + _varint(max(0, step)) + _bytes(5, body))

    def _record(self, data: bytes) -> None:
        assert self._file is not None
        size = struct.pack("<Q", len(data))
        self._file.write(size + _checksum(size) + data + _checksum(data))

    def scalar(self, tag: str, value: float, step: int) -> None:
        number = _varint(2 << 3 | 5) + struct.pack("<f", value)
        self._write(_bytes(1, _bytes(1, tag.encode()) + number), step)

    def histogram(self, tag: str, values: Any, step: int) -> None:
        self._write(_bytes(1, _bytes(1, tag.encode()) + _bytes(5, _histogram(values))), step)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class TensorBoard(Callback):
    """Writes the logs to `log_dir`/train and `log_dir`/validation as TensorBoard reads them: `epoch_loss` and
    the like; with `update_freq` "batch" or a number also `batch_loss`; every `histogram_freq` epochs the
    weights.

    Graphs, images, profiles and embeddings are not written.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("write_images", write_images),
            ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq),
            ("embeddings_metadata", embeddings_metadata),
        ):
            if value:
                raise ValueError(f"TensorBoard: {name} is not supported, got {value!r}")
        if update_freq not in ("batch", "epoch") and not isinstance(update_freq, int):
            raise ValueError(
                f"TensorBoard: update_freq must be 'batch', 'epoch' or an integer, got {update_freq!r}"
            )
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_steps_per_second = write_steps_per_second
        self.update_freq: Any = 1 if update_freq == "batch" else update_freq
        self._train = EventFile(os.path.join(self.log_dir, "train"))
        self._val = EventFile(os.path.join(self.log_dir, "validation"))
        self._step = self._val_step = 0
        self._started = (0.0, 0)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._step += 1
        if isinstance(self.update_freq, int) and self._step % self.update_freq == 0:
            for name, value in (logs or {}).items():
                self._train.scalar(f"batch_{name}", float(value), self._step)

    def on_test_end(self, logs: Logs | None = None) -> None:
        for name, value in (logs or {}).items():
            if np.ndim(value) == 0:
                self._val.scalar(f"evaluation_{name}_vs_iterations", float(value), self._step)
        self._val.flush()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = (time.perf_counter(), self._step)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = dict(logs or {})
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        if rate is not None:
            logs.setdefault("learning_rate", float(rate))
        for name, value in logs.items():
            if np.ndim(value):
                continue
            into = self._val if name.startswith("val_") else self._train
            into.scalar(f"epoch_{name.removeprefix('val_')}", float(value), epoch)
        if self.write_steps_per_second:
            began, first = self._started
            rate = (self._step - first) / max(time.perf_counter() - began, 1e-9)
            self._train.scalar("epoch_steps_per_second", rate, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            weights = getattr(self.model, "weights", None)
            named = (
                [(w.path, w.numpy()) for w in weights]
                if weights is not None
                else list(self.model.get_weights().items())
            )
            for name, values in named:
                self._train.histogram(f"{name}/histogram", values, epoch)
        self._train.flush()
        self._val.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def close(self) -> None:
        self._train.close()
        self._val.close()
