"""Layers of several inputs."""

from __future__ import annotations

from functools import reduce
from typing import Any

from dlcore import functional as F
from dlcore.keras.layers.base import Layer, layer_registry, mask_of, set_mask
from dlcore.tensor import Tensor

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Merge(Layer):
    least, most = 1, 1 << 30
    supports_masking: Any = True

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def _inputs(self, inputs: Any) -> list[Any]:
        if not isinstance(inputs, (list, tuple)) or not self.least <= len(inputs) <= self.most:
            exact = self.least == self.most
            what = f"exactly {self.least}" if exact else f"a list of at least {self.least}"
            raise ValueError(
                f"{self.name}: {type(self).__name__} must be called on {what} inputs, got {inputs!r:.100}. "
                "A merge layer should be called on a list of inputs."
            )
        return list(inputs)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = [tuple(s) for s in self._inputs(input_shape) if _nested(input_shape)]
        if not shapes:
            self._inputs(None)
        batches = {s[0] for s in shapes if s} - {None}
        if len(batches) > 1:
            raise ValueError(
                f"Cannot merge tensors with different batch sizes. Received tensors with shapes {shapes}"
            )
        ndim = max(len(s) for s in shapes)
        out: list[int | None] = [batches.pop() if batches else None]
        # Fewer axes: ones are put in after the batch axis.
        for axis in zip(*[(1,) * (ndim - len(s)) + s[1:] for s in shapes]):
            known = {n for n in axis if n not in (None, 1)}
            if len(known) > 1:
                raise ValueError(
                    f"{self.name}: {type(self).__name__} cannot broadcast inputs of shapes {shapes}. Inputs"
                    " have incompatible shapes."
                )
            out.append(known.pop() if known else (None if None in axis else 1))
        return tuple(out)

    def _merge(self, a: Any, b: Any) -> Any:
        raise NotImplementedError

    def _aligned(self, inputs: Any) -> list[Tensor]:
        xs = self._inputs(inputs)
        ndim = max(x.ndim for x in xs)
        out = []
        for x in xs:
            y = x
            if x.ndim < ndim:
                y = x.reshape(x.shape[0], *[1] * (ndim - x.ndim), *x.shape[1:])
                set_mask(y, mask_of(x))
            out.append(y)
        return out

    def call(self, inputs: Any) -> Any:
        return reduce(self._merge, self._aligned(inputs))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = previous_mask
        if mask is None or any(m is None for m in mask):
            return None
        return reduce(F.logical_or, mask)


def _nested(shape: Any) -> bool:
    return bool(shape) and isinstance(shape[0], (list, tuple))


def _over_mask(x: Tensor) -> Any:
    mask = mask_of(x)
    return None if mask is None else mask.unsqueeze(-1).expand(*x.shape)


class _MaskedMerge(_Merge):
    """Where one input is masked, the other counts: there is no neutral element to put in its place."""

    def call(self, inputs: Any) -> Any:
        first, *rest = self._aligned(inputs)
        out, out_mask = first, _over_mask(first)
        for x in rest:
            mask = _over_mask(x)
            if mask is not None:
                x = F.where(mask, x, out)
            if out_mask is not None:
                out = F.where(out_mask, out, x)
            out_mask = F.logical_or(out_mask, mask) if mask is not None and out_mask is not None else None
            out = self._merge(out, x)
        if out_mask is not None:
            set_mask(out, out_mask.any(-1))
        return out

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


@layer_registry.add()
class Add(_Merge):
    """x0 + x1 + ..."""

    def _merge(self, a: Any, b: Any) -> Any:
        return a + b


@layer_registry.add()
class Subtract(_Merge):
    """x0 - x1."""

    least = most = 2

    def _merge(self, a: Any, b: Any) -> Any:
        return a - b


@layer_registry.add()
class Multiply(_MaskedMerge):
    """x0 * x1 * ...; what is masked multiplies by 1."""

    def _merge(self, a: Any, b: Any) -> Any:
        return a * b

    def call(self, inputs: Any) -> Any:
        out: Any = None
        out_mask: Any = None
        for i, x in enumerate(self._aligned(inputs)):
            mask = _over_mask(x)
            if mask is not None:
                x = F.where(mask, x, 1.0)
            out_mask = (
                mask if i == 0 else None if mask is None or out_mask is None else F.logical_or(out_mask, mask)
            )
            out = x if out is None else out * x
        if out_mask is not None:
            out = F.where(out_mask, out, 0.0)
            set_mask(out, out_mask.any(-1))
        return out


@layer_registry.add()
class Maximum(_MaskedMerge):
    """max(x0, x1, ...)."""

    def _merge(self, a: Any, b: Any) -> Any:
        return F.maximum(a, b)


@layer_registry.add()
class Minimum(_MaskedMerge):
    """min(x0, x1, ...)."""

    def _merge(self, a: Any, b: Any) -> Any:
        return F.minimum(a, b)


@layer_registry.add()
class Average(Add):
    """(x0 + x1 + ...) / n."""

    def call(self, inputs: Any) -> Any:
        return super().call(inputs) * (1.0 / len(inputs))


@layer_registry.add()
class Concatenate(_Merge):
    """The inputs one after another along `axis`."""

    _fields = ("axis",)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape([t.shape for t in self._inputs(inputs)])
        return F.cat(list(inputs), self.axis)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not _nested(input_shape):
            self._inputs(None)
        shapes = [list(s) for s in self._inputs(input_shape)]
        first = shapes[0]
        axis = self.axis % len(first)
        for s in shapes[1:]:
            rest = zip(first[:axis] + first[axis + 1 :], s[:axis] + s[axis + 1 :])
            if len(s) != len(first) or any(a != b for a, b in rest if a is not None and b is not None):
                raise ValueError(
                    f"{self.name}: Concatenate needs inputs equal but for axis {self.axis}, got shapes"
                    f" {[tuple(t) for t in shapes]}. A `Concatenate` layer requires inputs with matching"
                    " shapes except for the concatenation axis."
                )
        total = [s[axis] for s in shapes]
        out = [next((s[i] for s in shapes if s[i] is not None), None) for i in range(len(first))]
        out[axis] = None if None in total else sum(total)
        return tuple(out)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = previous_mask
        if mask is None or all(m is None for m in mask):
            return None
        masks = []
        for x, m in zip(inputs, mask):
            if m is None:
                m = x.detach() == x.detach()
                m = F.logical_or(m, F.logical_not(m))
            while m.ndim < x.ndim:
                m = m.unsqueeze(-1)
            masks.append(m.expand(*x.shape))
        return F.cat(masks, self.axis).any(-1)


@layer_registry.add()
class Dot(_Merge):
    """Sums of products along `axes` of each sample of two inputs; with `normalize`, of unit vectors."""

    _fields = ("axes", "normalize")
    least = most = 2

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            if not isinstance(axes, (list, tuple)):
                raise TypeError(
                    f"Invalid type for argument `axes`: it should be a list or an int. Received: axes={axes}"
                )
            if len(axes) != 2 or not all(isinstance(a, int) for a in axes):
                raise ValueError(
                    "Invalid format for argument `axes`: it should contain two elements, integers. Received: "
                    f"axes={axes}"
                )
        self.axes = axes
        self.normalize = normalize

    def _two(self, a: int, b: int) -> tuple[int, int]:
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return axes[0] % a, axes[1] % b

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not _nested(input_shape):
            self._inputs(None)
        a, b = [list(s) for s in self._inputs(input_shape)]
        i, j = self._two(len(a), len(b))
        if 0 in (i, j):
            raise ValueError(f"{self.name}: Dot cannot sum over axis 0, the batch, got axes={self.axes}")
        if None not in (a[i], b[j]) and a[i] != b[j]:
            raise ValueError(
                f"Incompatible input shapes: axis values {a[i]} (at axis {i}) != {b[j]} (at axis {j}). Full"
                f" input shapes: {tuple(a)}, {tuple(b)}"
            )
        a.pop(i), b.pop(j)
        out = a + b[1:]
        return tuple(out if len(out) > 1 else [*out, 1])

    def call(self, inputs: Any) -> Any:
        x, y = self._inputs(inputs)
        out_shape = self.compute_output_shape([x.shape, y.shape])
        i, j = self._two(x.ndim, y.ndim)
        if self.normalize:
            x, y = [t * (t * t).sum(a, keepdim=True).clamp(min=1e-12).rsqrt() for t, a in ((x, i), (y, j))]
        left = x.movedim(i, -1)  # (N, ..., K)
        right = y.movedim(j, 1)  # (N, K, ...)
        k = left.shape[-1]
        out = F.matmul(left.reshape(x.shape[0], -1, k), right.reshape(y.shape[0], k, -1))
        return out.reshape(*out_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


def add(inputs: Any, **kwargs: Any) -> Any:
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    return Dot(axes, **kwargs)(inputs)
