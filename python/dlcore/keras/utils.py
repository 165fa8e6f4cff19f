"""to_categorical, pad_sequences, data in pieces, and what else Keras keeps here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.keras import symbolic
from dlcore.keras.saving import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from dlcore.random import get_generator, manual_seed
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves, tree_map
from dlcore.train.progress import ProgressBar as Progbar

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "img_to_array",
    "is_keras_tensor",
    "load_img",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

NDArray = npt.NDArray[Any]


def to_categorical(x: Any, num_classes: int | None = None) -> npt.NDArray[np.float32]:
    """Class numbers (N,) or (N, 1) as one-hot rows (N, num_classes), float32.

    >>> from dlcore import keras
    >>> keras.utils.to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)
    labels = labels.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels.reshape(labels.shape[:-1])
    n = int(labels.max(initial=-1)) + 1 if num_classes is None else int(num_classes)
    if labels.size and (labels.min() < 0 or labels.max() >= n):
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"to_categorical: labels must be from 0 to {n - 1}, got {bad}")
    out = np.zeros((*labels.shape, n), np.float32)
    np.put_along_axis(out, labels[..., None], 1.0, -1)
    return out


def normalize(x: Any, axis: int = -1, order: int = 2) -> NDArray:
    """x over its norm of this order along `axis`; zero rows stay zero."""
    a = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)
    a = a if a.dtype.kind == "f" else a.astype(np.float32)
    norm = np.atleast_1d(np.linalg.norm(a, order, axis, keepdims=True))
    norm[norm == 0] = 1
    return np.asarray(a / norm)


def set_random_seed(seed: int) -> None:
    """Seeds everything random in dlcore, Python's `random` and NumPy's: weights, order of samples,
    dropout."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(
            f"set_random_seed: seed must be a non-negative integer, got {seed!r}. Expected `seed` argument to"
            " be an integer."
        )
    random.seed(seed)
    np.random.seed(int(seed) & 0xFFFFFFFF)  # noqa: NPY002 (what Keras seeds too)
    manual_seed(int(seed))


def clear_session(free_memory: bool = True) -> None:
    """Layers are numbered from the start again."""
    symbolic.clear_names()


def is_keras_tensor(x: Any) -> bool:
    return symbolic.is_symbolic(x)


def get_source_inputs(tensor: Any) -> list[Any]:
    """The Inputs that a symbolic tensor is computed from."""
    found: list[Any] = []
    seen: set[int] = set()
    stack = [tensor]
    while stack:
        t = stack.pop()
        if id(t) in seen:
            continue
        seen.add(id(t))
        if t.node is None or not t.node.inputs:
            found.append(t)
        else:
            stack.extend(reversed(t.node.inputs))
    return found


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype; None is float32."""
    return "float32" if dtype is None else str(np.dtype(getattr(dtype, "name", dtype)).name)


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What a data set yields: x, (x, y) or (x, y, sample_weight)."""
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of what a data set yields, None for what there is not."""
    if not isinstance(data, (tuple, list)) or (isinstance(data, list)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found: "
            f"{len(data)} parts"
        )
    return (*data, None, None)[:3]


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> NDArray:
    """Sequences of different lengths as rows of an array, filled up or cut off in front ("pre") or behind.

    >>> from dlcore import keras
    >>> keras.utils.pad_sequences([[1], [2, 3, 4]], maxlen=2).tolist()
    [[0, 1], [3, 4]]
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError("`sequences` must be iterable.")
    for what, given in (("Truncating", truncating), ("Padding", padding)):
        if given not in ("pre", "post"):
            raise ValueError(f'{what} type "{given}" not understood')
    rows = []
    for s in sequences:
        if not hasattr(s, "__len__"):
            raise ValueError(f"`sequences` must be a list of iterables. Found non-iterable: {s}")
        rows.append(np.asarray(s))
    n = max((len(r) for r in rows), default=0) if maxlen is None else maxlen
    shape = next((r.shape[1:] for r in rows if len(r)), ())
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(f"`dtype` {dtype} is not compatible with `value`'s type: {type(value)}\n")
    out = np.full((len(rows), n, *shape), value, dtype)
    for i, r in enumerate(rows):
        if not len(r):
            continue
        if r.shape[1:] != shape:
            raise ValueError(
                f"Shape of sample {r.shape[1:]} of sequence at position {i} is different from expected shape"
                f" {shape}"
            )
        r = r[len(r) - n :] if truncating == "pre" and len(r) > n else r[:n]
        if padding == "post":
            out[i, : len(r)] = r
        else:
            out[i, n - len(r) :] = r
    return out


class PyDataset:
    """Batches by their number: override `__len__` and `__getitem__`, and perhaps `on_epoch_end`."""

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = (
            workers,
            use_multiprocessing,
            max_queue_size,
        )

    @property
    def num_batches(self) -> int | None:
        return len(self) if hasattr(self, "__len__") else None

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


Sequence = PyDataset


class _Windows:
    """Batches of windows over a sequence of rows; iterated anew, in a new order where `shuffle`."""

    def __init__(
        self, data: NDArray, targets: Any, starts: NDArray, offsets: NDArray, batch: int | None, rng: Any
    ) -> None:
        self.data, self.targets, self.starts, self.offsets = data, targets, starts, offsets
        self.batch, self.rng = batch, rng

    def __len__(self) -> int:
        return len(self.starts) if self.batch is None else -(-len(self.starts) // self.batch)

    def __iter__(self) -> Iterator[Any]:
        order = np.arange(len(self.starts))
        if self.rng is not None:
            self.rng.shuffle(order)
        step = 1 if self.batch is None else self.batch
        for i in range(0, len(order), step):
            rows: Any = order[i : i + step] if self.batch is not None else order[i]
            at = self.starts[rows]
            x = self.data[np.asarray(at)[..., None] + self.offsets]
            yield x if self.targets is None else (x, self.targets[rows])


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Any:
    """Windows of `sequence_length` rows, `sampling_rate` apart, each `sequence_stride` after the last, in
    batches.

    Target i belongs to the window that begins at row i. What is given can be iterated again and again.
    """
    n = len(data)
    for name, value, low, high in (
        ("sequence_length", sequence_length, 1, n),
        ("sampling_rate", sampling_rate, 1, n - 1),
        ("sequence_stride", sequence_stride, 1, n - 1),
    ):
        if not low <= value <= max(low, high):
            raise ValueError(f"`{name}` must be from {low} to {high}. Received: {name}={value}")
    start, end = start_index or 0, n if end_index is None else end_index
    if not 0 <= start < end <= n:
        raise ValueError(
            f"start_index={start_index} and end_index={end_index} must lie in the data, {n} rows"
        )
    a = np.asarray(data)[start:end]
    t = None if targets is None else np.asarray(targets)[start:end]
    count = len(a) - (sequence_length - 1) * sampling_rate
    if t is not None:
        count = min(count, len(t))
    starts = np.arange(0, max(count, 0), sequence_stride)
    offsets = np.arange(0, sequence_length * sampling_rate, sampling_rate)
    picked = None if t is None else t[starts]
    rng = (np.random.default_rng(seed) if seed is not None else get_generator(None)) if shuffle else None
    return _Windows(a, picked, starts, offsets, batch_size, rng)


def split_dataset(
    dataset: Any,
    left_size: Any = None,
    right_size: Any = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Two parts of arrays (or a tuple, list or dict of them), by share or by number."""
    leaves = tree_leaves(dataset)
    n = len(leaves[0])
    if left_size is None and right_size is None:
        raise ValueError(
            "At least one of the `left_size` or `right_size` must be specified. Received: left_size=None,"
            " right_size=None"
        )

    def count(size: Any, what: str) -> int | None:
        if size is None:
            return None
        if not isinstance(size, (int, float)):
            raise TypeError(f"Invalid `{what}` type. Expected: integer or float or None, received: {size}")
        if size <= 0 or (isinstance(size, float) and size >= 1) or size >= n:
            raise ValueError(
                f"`{what}` should be either a positive integer smaller than {n}, or a float within (0, 1)"
            )
        return round(size * n) if isinstance(size, float) else size

    left, right = count(left_size, "left_size"), count(right_size, "right_size")
    left = n - right if left is None else left  # type: ignore[operator]
    right = n - left if right is None else right
    order = np.arange(n)
    if shuffle:
        (np.random.default_rng(seed) if seed is not None else get_generator(None)).shuffle(order)

    def rows(at: NDArray) -> Any:
        return tree_map(lambda a: np.asarray(a)[at], dataset)

    return rows(order[:left]), rows(order[n - right :] if left + right <= n else order[left : left + right])


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("images need Pillow: pip install pillow") from None
    return Image


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: Any = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """An image file as a Pillow image, "rgb", "rgba" or "grayscale", resized to target_size (height,
    width)."""
    image = _pillow().open(path)
    modes = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}
    if color_mode not in modes:
        raise ValueError('color_mode must be "grayscale", "rgb", or "rgba"')
    image = image.convert(modes[color_mode])
    if target_size is not None:
        filters = {"nearest": 0, "bilinear": 2, "bicubic": 3, "hamming": 5, "box": 4, "lanczos": 1}
        if interpolation not in filters:
            raise ValueError(
                f"Invalid interpolation method {interpolation} specified. Supported methods are {filters}"
            )
        height, width = target_size
        if keep_aspect_ratio:
            w, h = image.size
            crop_h = min(h, w * height // width)
            crop_w = min(w, h * width // height)
            left, top = (w - crop_w) // 2, (h - crop_h) // 2
            image = image.crop((left, top, left + crop_w, top + crop_h))
        if image.size != (width, height):
            image = image.resize((width, height), filters[interpolation])
    return image


def img_to_array(img: Any, data_format: Any = None, dtype: Any = None) -> NDArray:
    """A Pillow image as an array (height, width, channels)."""
    a = np.asarray(img, dtype or "float32")
    if a.ndim not in (2, 3):
        raise ValueError(f"Unsupported image shape: {a.shape}")
    return a[..., None] if a.ndim == 2 else a


def array_to_img(x: Any, data_format: Any = None, scale: bool = True, dtype: Any = None) -> Any:
    """An array (height, width, channels) as a Pillow image; `scale` stretches its values over 0 to 255."""
    a = np.asarray(x, dtype or "float32")
    if a.ndim != 3:
        raise ValueError(
            f"Expected image array to have rank 3 (single image). Got array with shape: {a.shape}"
        )
    if scale:
        a = a - a.min()
        a = a / a.max() * 255 if a.max() else a
    if a.shape[-1] not in (1, 3, 4):
        raise ValueError(f"Unsupported channel number: {a.shape[-1]}")
    return _pillow().fromarray((a[..., 0] if a.shape[-1] == 1 else a).astype("uint8"))


def save_img(
    path: Any, x: Any, data_format: Any = None, file_format: Any = None, scale: bool = True, **kw: Any
) -> None:
    """Writes an array (height, width, channels) as an image file."""
    array_to_img(x, scale=scale).save(path, format=file_format, **kw)
