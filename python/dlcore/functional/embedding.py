"""embedding, embedding_bag, one_hot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.autograd.tape import RowsGradient
from dlcore.tensor import Tensor

__all__ = ["embedding", "embedding_bag", "one_hot"]

Grads = tuple[_C.Array | None, ...]


def _row(op: str, padding_idx: int | None, n: int) -> int | None:
    """A row of the weight, counted from its end where negative."""
    if padding_idx is not None and not -n <= padding_idx < n:
        raise ValueError(f"{op}: padding_idx must lie within num_embeddings={n}, got {padding_idx}")
    return padding_idx if padding_idx is None or padding_idx >= 0 else padding_idx + n


def _renorm(op: str, weight: Tensor, index: _C.Array, max_norm: float, p: float) -> None:
    """The rows that are looked up become no longer than max_norm, in the weight itself."""
    if not weight.is_leaf:
        raise RuntimeError(f"{op}: max_norm changes the weight in place, which must then be a leaf")
    _C.embedding_renorm_(weight.array, index, max_norm, p)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """y[..., :] = weight[input[...], :]; input of any shape, int64 or int32; weight (num_embeddings, dim).

    The row `padding_idx` gets no gradient. With `max_norm` the rows that are looked up and are longer in the
    `norm_type`-norm are first scaled to it, in the weight itself. `scale_grad_by_freq` divides each row's
    gradient by how often it is looked up. `sparse` is accepted; gradients are dense.

    Raises IndexError for an index outside [0, num_embeddings), ValueError for shapes and padding_idx,
    TypeError for indices that are not integers.

    >>> import dlcore
    >>> w = dlcore.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> dlcore.functional.embedding(dlcore.tensor([1, 1]), w).tolist()
    [[2.0, 3.0], [2.0, 3.0]]
    """
    n = weight.shape[0] if weight.ndim else 0
    row = _row("embedding", padding_idx, n)
    index = input.array
    if max_norm is not None:
        _renorm("embedding", weight, index, max_norm, norm_type)
    y = _C.embedding(weight.array, index)

    def embedding_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[Any, ...]:
        def dense() -> _C.Array:
            return _C.embedding_backward(g, index, n, row, scale_grad_by_freq)

        if row is not None or scale_grad_by_freq:
            return (dense(),)
        return (RowsGradient(g, index, n, dense),)

    return record(y, (weight,), embedding_backward)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """y[b] = sum, mean or maximum over the rows weight[input[i]] of bag b; 0 for an empty bag.

    input (bags, length), or (m,) with `offsets` (bags,): bag b holds offsets[b] <= i < offsets[b + 1], the
    last one the rest (with `include_last_offset`, offsets also holds where the last one ends).
    `per_sample_weights` of input's shape scale the rows of a sum. Entries equal to `padding_idx` do not
    count. Other arguments as in `embedding`.

    Raises IndexError for an index outside [0, num_embeddings), ValueError for shapes, offsets, mode and
    padding_idx, NotImplementedError for per_sample_weights without mode="sum".

    >>> import dlcore
    >>> w = dlcore.tensor([[1.0], [2.0], [4.0]])
    >>> i, offsets = dlcore.tensor([0, 1, 2]), dlcore.tensor([0, 2])
    >>> dlcore.functional.embedding_bag(i, w, offsets, mode="sum").tolist()
    [[3.0], [4.0]]
    """
    op = "embedding_bag"
    if weight.dtype.kind in "iu" and input.dtype.kind == "f":
        raise TypeError(
            f"{op}: the order is (input, weight); the indices must be integers, got {input.dtype}"
        )
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ValueError(
            f"{op}: per_sample_weights must have the shape of input, got input={input.shape}, "
            f"per_sample_weights={per_sample_weights.shape}"
        )
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(f"{op}: per_sample_weights go with mode='sum' alone, got mode={mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(f"{op}: scale_grad_by_freq does not go with mode='max'")
    if mode == "max" and sparse:
        raise ValueError(f"{op}: sparse does not go with mode='max'")
    index = input.array
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError(f"{op}: offsets must be None where input is 2-d, got offsets={offsets.shape}")
        bags, length = index.shape
        ends = _C.from_numpy(np.arange(bags + 1, dtype=np.int64) * length)
        index, last = _C.reshape(index, (bags * length,)), True
    elif index.ndim == 1:
        if offsets is None:
            raise ValueError(f"{op}: offsets are needed where input is 1-d, got input={index.shape}")
        ends, last = offsets.array, include_last_offset
    else:
        raise ValueError(f"{op}: input must be 1-d or 2-d, got input={index.shape}")
    n = weight.shape[0] if weight.ndim else 0
    row = _row(op, padding_idx, n)
    if max_norm is not None:
        _renorm(op, weight, index, max_norm, norm_type)
    w = weight.array
    scale = None if per_sample_weights is None else _C.reshape(per_sample_weights.array, index.shape)
    y, index, source, sizes, argmax = _C.embedding_bag(w, index, ends, scale, mode, row, last)
    shape = input.shape

    def embedding_bag_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        dw = dscale = None
        if needs[0] and mode == "max":
            dw = _C.embedding_bag_max_backward(g, argmax, n)
        elif needs[0]:
            if mode == "mean":
                divisor = _C.cast(_C.maximum(sizes, 1), g.dtype)
                g = _C.div(g, _C.reshape(divisor, (*sizes.shape, 1)))
            dw = _C.embedding_bag_backward(g, index, source, scale, n, row, scale_grad_by_freq)
        if len(needs) > 1 and needs[1]:
            flat = _C.embedding_bag_scale_backward(g, w, index, source, row)
            after = math.prod(shape) - flat.size
            if after:  # entries after the last bag
                rest = _C.full((after,), 0.0, flat.dtype, flat.device)
                flat = _C.concatenate([flat, rest], 0)
            dscale = _C.reshape(flat, shape)
        return (dw, dscale)[: len(needs)]

    inputs = (weight,) if per_sample_weights is None else (weight, per_sample_weights)
    return record(y, inputs, embedding_bag_backward)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """y[..., c] = 1 where tensor[...] is c, else 0: int64, with an axis of `num_classes` at the end.

    -1 means one class more than the largest element. Raises TypeError unless int64, ValueError for negative
    elements, elements beyond num_classes, and an empty tensor without num_classes.

    >>> import dlcore
    >>> dlcore.functional.one_hot(dlcore.tensor([0, 2])).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    x: Any = tensor.array
    if x.dtype != np.int64:
        raise TypeError(f"one_hot: the elements must be int64, got {x.dtype}")
    if x.size == 0:
        if num_classes <= 0:
            raise ValueError("one_hot: num_classes must be given and positive where the tensor is empty")
        return Tensor(_C.full((*x.shape, num_classes), 0, x.dtype, x.device))
    low, high = _C.amin(x).item(), _C.amax(x).item()
    if low < 0:
        raise ValueError(f"one_hot: the elements must not be negative, got {low}")
    if num_classes == -1:
        num_classes = high + 1
    elif num_classes < 1 or high >= num_classes:
        raise ValueError(
            f"one_hot: num_classes must be above the largest element, got num_classes={num_classes}, "
            f"element={high}"
        )
    y = _C.full((*x.shape, num_classes), 0, x.dtype, x.device)
    _C.scatter_into(y, -1, _C.reshape(x, (*x.shape, 1)), _C.full((*x.shape, 1), 1, x.dtype, x.device), False)
    return Tensor(y)
