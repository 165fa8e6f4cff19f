"""Numbers and categories as a model takes them: Rescaling, Normalization, CategoryEncoding,
Discretization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.base import Layer, layer_registry, to_float, to_tensor
from dlcore.keras.layers.common import Elementwise
from dlcore.tensor import Tensor

__all__ = ["CategoryEncoding", "Discretization", "Normalization", "Rescaling"]


@layer_registry.add()
class Rescaling(Elementwise):
    """x * scale + offset: `Rescaling(1 / 255)` for images as bytes."""

    _fields = ("scale", "offset")

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)

        def value(v: Any) -> Any:
            return v if isinstance(v, (int, float)) else to_tensor(np.asarray(v, self.dtype), self.dtype)

        return x * value(self.scale) + value(self.offset)


@layer_registry.add()
class Normalization(Elementwise):
    """(x - mean) / max(sqrt(variance), 1e-7), of what `adapt` has seen or as given; with `invert` back.

    `axis` keeps a mean and variance an entry; None has one of each.
    """

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis: tuple[int, ...] = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. Received: "
                f"mean={mean} and variance={variance}"
            )
        if mean is not None and np.shape(mean) != np.shape(variance):
            raise ValueError(
                "When setting values directly, `mean` and `variance` must have the same shape. Received:"
                f" mean shape {np.shape(mean)} and variance shape {np.shape(variance)}"
            )
        self.input_mean, self.input_variance, self.invert = mean, variance, invert

    def build(self, input_shape: Any) -> None:
        n = len(input_shape)
        if any(not -n <= a < n for a in self.axis):
            raise ValueError(
                f"All `axis` values must be in the range [-ndim, ndim). Received inputs with ndim={n}, while "
                f"axis={self.axis}"
            )
        self._kept = tuple(sorted(a % n for a in self.axis))
        for a in self._kept:
            if input_shape[a] is None:
                raise ValueError(
                    f"All `axis` values to be kept must have a known shape. Received axis={self.axis}, "
                    f"inputs.shape={input_shape}, with unknown axis at index {a}"
                )
        self._wide = [input_shape[a] if a in self._kept else 1 for a in range(n)]
        if self.input_mean is None:
            shape = tuple(input_shape[a] for a in self._kept)
            self.adapt_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")

    def adapt(self, data: Any) -> None:
        """Takes mean and variance of an array, or of an iterable of batches."""
        if isinstance(data, (np.ndarray, Tensor)):
            batches: Any = [data]
        elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            batches = (data[i] for i in range(len(data)))
        elif hasattr(data, "__iter__"):
            batches = iter(data)
        else:
            raise TypeError(
                f"Unsupported data type: {type(data)}. `adapt` supports arrays and iterables of batches."
            )
        count, mean, variance = 0, np.float64(0), np.float64(0)
        for batch in batches:
            x = batch[0] if isinstance(batch, (tuple, list)) else batch
            a = np.asarray(x.detach().numpy() if isinstance(x, Tensor) else x, np.float64)
            if not self.built:
                self._ensure_built({"input_shape": a.shape})
            over = tuple(i for i in range(a.ndim) if i not in self._kept)
            n = math.prod(a.shape[i] for i in over)
            part = n / (count + n) if count + n else 0.0
            new = mean * (1 - part) + a.mean(over) * part
            variance = (variance + (mean - new) ** 2) * (1 - part) + (
                a.var(over) + (a.mean(over) - new) ** 2
            ) * part
            mean, count = new, count + n
        if count == 0:
            raise ValueError("adapt() received an empty iterable (no batches). Expected at least one batch.")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    def finalize_state(self) -> None:
        """Nothing is kept beside the weights."""

    def _given(self, value: Any) -> Any:
        a = np.asarray(value, self.dtype)
        wide = [1] * len(self._wide)
        for i in range(1, a.ndim + 1):
            wide[self._kept[-i]] = a.shape[-i]
        return np.broadcast_to(a.reshape(wide) if a.ndim else a, self._wide)

    def call(self, inputs: Tensor) -> Any:
        x = to_float(inputs, self.dtype)
        if self.input_mean is None:
            mean, variance = [v.values().reshape(self._wide) for v in (self.adapt_mean, self.adapt_variance)]
        else:
            mean, variance = self._given(self.input_mean), self._given(self.input_variance)
        deviation = to_tensor(np.maximum(np.sqrt(variance), np.asarray(1e-7, self.dtype)), self.dtype)
        if self.invert:
            return to_tensor(np.array(mean), self.dtype) + x * deviation
        return (x - to_tensor(np.array(mean), self.dtype)) / deviation

    def get_config(self) -> dict[str, Any]:
        def plain(v: Any) -> Any:
            return None if v is None else np.asarray(v).tolist()

        return {
            **super().get_config(),
            "axis": list(self.axis),
            "invert": self.invert,
            "mean": plain(self.input_mean),
            "variance": plain(self.input_variance),
        }


def _labels(x: Any) -> Any:
    a = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)
    return a.astype(np.int64)


def encoded(labels: Any, n: int, mode: str, weights: Any, dtype: str) -> Any:
    """Integers as one-hot, multi-hot or counting rows of n."""
    if labels.size and (labels.min() < 0 or labels.max() >= n):
        raise ValueError(
            f"Input values must be in the range 0 <= values < num_tokens with num_tokens={n}, got values from"
            f" {labels.min()} to {labels.max()}"
        )
    if mode == "one_hot":
        if labels.ndim > 1 and labels.shape[-1] == 1:
            labels = labels[..., 0]
        out = np.zeros((*labels.shape, n), dtype)
        np.put_along_axis(out, labels[..., None], 1, -1)
        return out
    one_row = labels.ndim <= 1
    flat = labels.reshape(1, -1) if one_row else labels.reshape(-1, labels.shape[-1])
    rows = np.zeros((len(flat), n), dtype)
    at = np.repeat(np.arange(len(flat)), flat.shape[1])
    w = 1 if weights is None else np.asarray(weights, dtype).reshape(-1)
    np.add.at(rows, (at, flat.reshape(-1)), w)
    if mode == "multi_hot":
        rows = (rows > 0).astype(dtype)
    return rows[0] if one_row else rows.reshape(*labels.shape[:-1], n)


@layer_registry.add()
class CategoryEncoding(Layer):
    """Integers below `num_tokens` as rows: one_hot, multi_hot (which occur) or count (how often)."""

    _fields = ("num_tokens", "output_mode")

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        if sparse:
            raise ValueError("CategoryEncoding: sparse=True is not supported")
        super().__init__(**kwargs)
        output_mode = {"binary": "multi_hot"}.get(output_mode, output_mode)
        if output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(
                "Unknown value for argument output_mode: expected count, one_hot or multi_hot, got "
                f"{output_mode!r}"
            )
        if num_tokens is None:
            raise ValueError(
                "num_tokens must be set to use this layer. If the number of tokens is not known "
                "beforehand, use the IntegerLookup layer instead."
            )
        if num_tokens < 1:
            raise ValueError(f"`num_tokens` must be >= 1. Received: num_tokens={num_tokens}.")
        self.num_tokens, self.output_mode = num_tokens, output_mode
        self.autocast = False

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                "`count_weights` is not used when `output_mode` is not `'count'`. Received "
                f"`count_weights={count_weights}`."
            )
        weights = None if count_weights is None else np.asarray(to_tensor(count_weights).detach().numpy())
        return to_tensor(
            encoded(_labels(inputs), self.num_tokens, self.output_mode, weights, self.dtype), self.dtype
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not input_shape:
            return (self.num_tokens,)
        if self.output_mode == "one_hot" and (input_shape[-1] != 1 or len(input_shape) == 1):
            return (*input_shape, self.num_tokens)
        return (*input_shape[:-1], self.num_tokens)


@layer_registry.add()
class Discretization(Layer):
    """Numbers as the index of the bin they lie in, bins [-inf, b0), [b0, b1), ..., or as encoded rows."""

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if sparse:
            raise ValueError("Discretization: sparse=True is not supported")
        super().__init__(name=name, **kwargs)
        if num_bins is not None and bin_boundaries is not None:
            raise ValueError("Both `num_bins` and `bin_boundaries` should not be set.")
        if num_bins is None and bin_boundaries is None:
            raise ValueError("You need to set either `num_bins` or `bin_boundaries`.")
        if num_bins is not None and num_bins < 0:
            raise ValueError(
                f"`num_bins` must be greater than or equal to 0. Received: `num_bins={num_bins}`"
            )
        if output_mode not in ("int", "one_hot", "multi_hot", "count"):
            raise ValueError(
                f"Discretization: output_mode must be int, one_hot, multi_hot or count, got {output_mode!r}"
            )
        self.bin_boundaries = None if bin_boundaries is None else sorted(float(b) for b in bin_boundaries)
        self.num_bins, self.epsilon, self.output_mode = num_bins, epsilon, output_mode

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def adapt(self, data: Any) -> None:
        """Chooses boundaries that leave the bins of `num_bins` alike full."""
        if self.num_bins is None:
            raise ValueError(
                "Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`."
            )
        a = np.sort(np.asarray(data.detach().numpy() if isinstance(data, Tensor) else data).ravel())
        step = max(a.size * self.epsilon, 1)
        points = a[int(step - 1) :: int(step)]  # a summary within epsilon
        share = np.cumsum(np.full(points.size, step))
        part = 1.0 / self.num_bins
        if points.size * part < 1:
            self.bin_boundaries = points[:-1].tolist()
            return
        at = part + np.arange(0.0, 1.0, part)
        self.bin_boundaries = np.interp(at, share / share[-1], points).astype(np.float32)[:-1].tolist()

    def call(self, inputs: Tensor) -> Any:
        if self.bin_boundaries is None:
            raise ValueError(
                "You need to call .adapt(dataset) before using a Discretization layer with num_bins."
            )
        a = np.searchsorted(np.asarray(self.bin_boundaries), inputs.detach().numpy(), side="right")
        if self.output_mode == "int":
            return to_tensor(a.astype(np.int64))
        return to_tensor(
            encoded(a, len(self.bin_boundaries) + 1, self.output_mode, None, self.dtype), self.dtype
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_mode == "int":
            return input_shape
        return CategoryEncoding.compute_output_shape(self, input_shape)  # type: ignore[arg-type]

    @property
    def num_tokens(self) -> int:
        return len(self.bin_boundaries or ()) + 1

    def _output_dtype(self, first: Any) -> str:
        return "int64" if self.output_mode == "int" else self.dtype

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "bin_boundaries": serialize_any(self.bin_boundaries),
            "num_bins": None if self.bin_boundaries is not None else self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
            "sparse": False,
            "dtype": self.dtype,
        }
