"""Shapes: views, joins and splits under torch's names. Nothing here computes; the gradient goes back the way
it came.

What torch makes a view is a view here (it shares memory with its input); `reshape` and `contiguous` copy only
where the strides leave no other way.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = [
    "atleast_1d",
    "broadcast_tensors",
    "broadcast_to",
    "cast",
    "cat",
    "chunk",
    "clone",
    "concat",
    "concatenate",
    "contiguous",
    "diagonal",
    "expand",
    "expand_as",
    "flatten",
    "flip",
    "hstack",
    "movedim",
    "narrow",
    "permute",
    "ravel",
    "repeat",
    "repeat_interleave",
    "reshape",
    "roll",
    "select",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "swapdims",
    "t",
    "tile",
    "to_device",
    "transpose",
    "unbind",
    "unflatten",
    "unsqueeze",
    "view",
    "vstack",
]

Grads = tuple["_C.Array | None", ...]
# In the order of promotion: an operation on two of them gives the later.
RANK = {np.dtype(n): i for i, n in enumerate(("bool", "uint8", "int32", "int64", "float32", "float64"))}


def sizes(op: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """(2, 3), [2, 3] and the starred form of both, as ints; floats raise."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    try:
        return tuple([operator.index(n) for n in shape])
    except TypeError:
        raise TypeError(f"{op}: sizes must be integers, got {tuple(shape)!r}") from None


def axis(op: str, dim: SupportsIndex, ndim: int) -> int:
    """A negative axis counted from the end; a 0-d tensor takes -1 and 0, as in torch."""
    d, n = operator.index(dim), max(ndim, 1)
    if not -n <= d < n:
        raise IndexError(f"{op}: dim must lie in [{-n}, {n - 1}], got dim={d}")
    return d % n


def _view(x: Tensor, out: _C.Array) -> Tensor:
    """`out` holds the elements of x in x's own order under another shape."""
    shape = x.shape

    def view_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.reshape(g, shape),)

    return record(out, (x,), view_backward)


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """y[i...] = x[i...] in row-major order under a new shape; one size may be -1. A view where the strides
    allow it.

    Raises ValueError where the number of elements differs.

    >>> import dlcore
    >>> dlcore.functional.reshape(dlcore.tensor([1.0, 2.0, 3.0, 4.0]), (2, -1)).shape
    (2, 2)
    """
    return _view(x, _C.reshape(x.array, sizes("reshape", shape)))


def view(x: Tensor, *shape: Any) -> Tensor:
    """`reshape` that never copies.

    Raises RuntimeError where the strides call for a copy.
    """
    if len(shape) == 1 and not isinstance(shape[0], (tuple, list, int, np.integer)):
        raise TypeError(
            f"view: a shape is expected (reinterpreting the bytes is not supported), got {shape[0]!r}"
        )
    new = sizes("view", shape)
    out = _C.reshape(x.array, new)
    if not out.shares_memory(x.array):
        raise RuntimeError(
            f"view: the shape must fit the strides without a copy (use reshape), got x={x.shape}, "
            f"strides={x.array.strides}, shape={new}"
        )
    return _view(x, out)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merges the axes start_dim ... end_dim into one.

    >>> import dlcore
    >>> dlcore.functional.flatten(dlcore.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    a, b = axis("flatten", start_dim, x.ndim), axis("flatten", end_dim, x.ndim)
    if a > b:
        raise ValueError(
            f"flatten: start_dim must not come after end_dim, got start_dim={start_dim}, end_dim={end_dim}"
        )
    s = x.shape
    if x.ndim == 0:
        return _view(x, _C.reshape(x.array, (1,)))
    if a == b:
        return x
    n = 1
    for k in s[a : b + 1]:
        n *= k
    return _view(x, _C.reshape(x.array, (*s[:a], n, *s[b + 1 :])))


def ravel(x: Tensor) -> Tensor:
    return reshape(x, -1) if x.array.size else reshape(x, 0)


def unflatten(x: Tensor, dim: int, shape: Sequence[int]) -> Tensor:
    """Splits one axis into several; one of their sizes may be -1."""
    d, s = axis("unflatten", dim, x.ndim), list(sizes("unflatten", (tuple(shape),)))
    n = x.shape[d]
    if s.count(-1) == 1:
        known = -int(np.prod(s, dtype=np.int64))
        if known and n % known == 0:
            s[s.index(-1)] = n // known
    if any(k < 0 for k in s) or int(np.prod(s, dtype=np.int64)) != n:
        raise ValueError(
            f"unflatten: the sizes must multiply to {n}, got x={x.shape}, dim={dim}, sizes={tuple(shape)}"
        )
    return _view(x, _C.reshape(x.array, (*x.shape[:d], *s, *x.shape[d + 1 :])))


def squeeze(x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Drops the axes of size 1: all of them, or those named (other named axes stay)."""
    s = x.shape
    if dim is None:
        drop = set(range(len(s)))
    else:
        dims = dim if isinstance(dim, (tuple, list)) else (dim,)
        drop = {axis("squeeze", d, x.ndim) for d in dims}
    return _view(x, _C.reshape(x.array, tuple([n for i, n in enumerate(s) if n != 1 or i not in drop])))


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """A new axis of size 1 before axis `dim`.

    >>> import dlcore
    >>> dlcore.functional.unsqueeze(dlcore.zeros(3), 0).shape
    (1, 3)
    """
    d = axis("unsqueeze", dim, x.ndim + 1)
    return _view(x, _C.reshape(x.array, (*x.shape[:d], 1, *x.shape[d:])))


def permute(x: Tensor, *dims: Any) -> Tensor:
    """y's axis i is x's axis dims[i]; a view.

    >>> import dlcore
    >>> dlcore.functional.permute(dlcore.zeros(2, 3, 4), 2, 0, 1).shape
    (4, 2, 3)
    """
    order = sizes("permute", dims)
    out = _C.permute(x.array, order)
    n = len(order)
    inverse = [0] * n
    for i, d in enumerate(order):
        inverse[d % n] = i

    def permute_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.permute(g, inverse),)

    return record(out, (x,), permute_backward)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swaps two axes; a view."""
    a, b = axis("transpose", dim0, x.ndim), axis("transpose", dim1, x.ndim)
    if x.ndim == 0:
        return _view(x, x.array)

    def transpose_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.transpose(g, a, b),)

    return record(_C.transpose(x.array, a, b), (x,), transpose_backward)


swapaxes = swapdims = transpose


def t(x: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars stay."""
    if x.ndim > 2:
        raise ValueError(f"t: x must have at most 2 dimensions, got x={x.shape}")
    return transpose(x, 0, 1) if x.ndim == 2 else _view(x, x.array)


def movedim(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Moves axes to new places; the others keep their order."""
    src = source if isinstance(source, (tuple, list)) else (source,)
    dst = destination if isinstance(destination, (tuple, list)) else (destination,)
    a = [axis("movedim", d, x.ndim) for d in src]
    b = [axis("movedim", d, x.ndim) for d in dst]
    if len(a) != len(b) or len(set(a)) != len(a) or len(set(b)) != len(b):
        raise ValueError(
            f"movedim: source and destination must pair distinct axes, got {source}, {destination}"
        )
    rest = iter([d for d in range(x.ndim) if d not in a])
    to = dict(zip(b, a))
    return permute(x, [to[d] if d in to else next(rest) for d in range(x.ndim)])


def expand(x: Tensor, *shape: Any) -> Tensor:
    """Repeats axes of size 1 without copying (stride 0); -1 keeps a size, new axes come in front.

    dx sums over what was repeated. Raises ValueError for an axis that is neither 1 nor the new size.

    >>> import dlcore
    >>> dlcore.functional.expand(dlcore.tensor([[1.0], [2.0]]), 2, 3).tolist()
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    new, old = list(sizes("expand", shape)), x.shape
    lead = len(new) - len(old)
    for i, n in enumerate(new):
        if n == -1 and i >= lead:
            new[i] = old[i - lead]
        elif n < 0:
            raise ValueError(
                f"expand: sizes must not be negative (-1 keeps an existing axis), got {tuple(new)}"
            )
    if lead < 0 or any(o != 1 and o != n for o, n in zip(old, new[lead:])):
        raise ValueError(f"expand: only axes of size 1 can be expanded, got x={old}, shape={tuple(new)}")

    def expand_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.sum_to(g, old),)

    return record(_C.broadcast_to(x.array, tuple(new)), (x,), expand_backward)


broadcast_to = expand


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    return expand(x, other.shape)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All of them expanded to their common shape."""
    shape = np.broadcast_shapes(*[x.shape for x in tensors])
    return tuple([expand(x, shape) for x in tensors])


def contiguous(x: Tensor) -> Tensor:
    """x itself where its elements lie in row-major order, a copy otherwise."""
    if x.array.is_contiguous:
        return x
    return _view(x, _C.contiguous(x.array))


def clone(x: Tensor) -> Tensor:
    """A copy in memory of its own."""

    def clone_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (g,)

    return record(_C.clone(x.array), (x,), clone_backward)


def cast(x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """x in another dtype; gradients come back in x's own."""
    old = x.dtype

    def cast_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.cast(g, old),)

    return record(_C.cast(x.array, dtype), (x,), cast_backward)


def to_device(x: Tensor, device: str) -> Tensor:
    """x in the memory of another device; gradients come back to x's own."""
    old = x.device

    def to_device_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.to_device(g, old),)

    return record(_C.to_device(x.array, device), (x,), to_device_backward)


def atleast_1d(x: Tensor) -> Tensor:
    return x if x.ndim else reshape(x, 1)


# ---- pieces ------------------------------------------------------------------------------------------------


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The elements start ... start + length - 1 of one axis; a view."""
    d, shape = axis("narrow", dim, x.ndim), x.shape
    n = shape[d] if shape else 0
    first, length = operator.index(start), operator.index(length)
    if first < 0:
        first += n
    if not shape or first < 0 or length < 0 or first + length > n:
        raise ValueError(
            f"narrow: the piece must lie within the axis, got x={shape}, dim={dim}, start={start}, "
            f"length={length}"
        )

    def narrow_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        dx = _C.full(shape, 0.0, g.dtype, g.device)
        _C.copy_into(_C.slice(dx, d, first, length, 1), g)
        return (dx,)

    return record(_C.slice(x.array, d, first, length, 1), (x,), narrow_backward)


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """Element `index` of one axis, which goes; a view."""
    d, i, shape = axis("select", dim, x.ndim), operator.index(index), x.shape

    def select_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        dx = _C.full(shape, 0.0, g.dtype, g.device)
        _C.copy_into(_C.select(dx, d, i), g)
        return (dx,)

    return record(_C.select(x.array, d, i), (x,), select_backward)


def _pieces(x: Tensor, d: int, lengths: Sequence[int]) -> tuple[Tensor, ...]:
    """Consecutive pieces of an axis as ONE operation: its backward writes every element of dx once."""
    shape, parts, start = x.shape, [], 0
    for n in lengths:
        parts.append(_C.slice(x.array, d, start, n, 1))
        start += n

    def split_backward(*args: Any) -> Grads:
        grads = args[:-1]
        some = next(g for g in grads if g is not None)
        whole = all(g is not None for g in grads)
        dx = (
            _C.empty(shape, some.dtype, some.device)
            if whole
            else _C.full(shape, 0.0, some.dtype, some.device)
        )
        at = 0
        for g, n in zip(grads, lengths):
            if g is not None:
                _C.copy_into(_C.slice(dx, d, at, n, 1), g)
            at += n
        return (dx,)

    return record(tuple(parts), (x,), split_backward)


def split(x: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of an axis, of one size (the last may be smaller) or of the sizes given; views.

    >>> import dlcore
    >>> [p.tolist() for p in dlcore.functional.split(dlcore.tensor([1, 2, 3, 4, 5]), 2)]
    [[1, 2], [3, 4], [5]]
    """
    if x.ndim == 0:
        raise ValueError("split: x must have at least one dimension")
    d = axis("split", dim, x.ndim)
    n = x.shape[d]
    if isinstance(split_size_or_sections, (tuple, list)):
        lengths = list(sizes("split", (split_size_or_sections,)))
        if sum(lengths) != n or any(k < 0 for k in lengths):
            raise ValueError(f"split: the sizes must add up to {n}, got x={x.shape}, sizes={tuple(lengths)}")
    else:
        size: Any = split_size_or_sections
        k = operator.index(size)
        if k < 0 or (k == 0 and n > 0):
            raise ValueError(f"split: the size must be positive, got {k}")
        lengths = [min(k, n - i) for i in range(0, n, k)] if n else [0]
    return _pieces(x, d, lengths)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size (the last may be smaller); views."""
    if chunks <= 0:
        raise ValueError(f"chunk: chunks must be positive, got {chunks}")
    if x.ndim == 0:
        raise ValueError("chunk: x must have at least one dimension")
    d = axis("chunk", dim, x.ndim)
    n = x.shape[d]
    return split(x, -(-n // chunks), d) if n else _pieces(x, d, [0] * chunks)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it; views."""
    if x.ndim == 0:
        raise ValueError("unbind: x must have at least one dimension")
    d, shape = axis("unbind", dim, x.ndim), x.shape
    if shape[d] == 0:
        return ()

    def unbind_backward(*args: Any) -> Grads:
        grads = args[:-1]
        some = next(g for g in grads if g is not None)
        whole = all(g is not None for g in grads)
        dx = (
            _C.empty(shape, some.dtype, some.device)
            if whole
            else _C.full(shape, 0.0, some.dtype, some.device)
        )
        for i, g in enumerate(grads):
            if g is not None:
                _C.copy_into(_C.select(dx, d, i), g)
        return (dx,)

    return record(tuple([_C.select(x.array, d, i) for i in range(shape[d])]), (x,), unbind_backward)


def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """y[..., i] = x[..., i, i + offset] over the axes dim1 and dim2."""
    a, b = axis("diagonal", dim1, x.ndim), axis("diagonal", dim2, x.ndim)
    if a == b:
        raise ValueError(f"diagonal: dim1 and dim2 must differ, got {dim1}, {dim2}")
    y = movedim(x, (a, b), (-2, -1))
    m, n = y.shape[-2:]
    row, col = max(0, -offset), max(0, offset)
    k = max(0, min(m - row, n - col))
    i = np.arange(k)
    out: Tensor = y[..., i + row, i + col]
    return out


# ---- joins -------------------------------------------------------------------------------------------------


def _promote(op: str, tensors: Sequence[Tensor]) -> tuple[np.dtype[Any], list[_C.Array]]:
    if not isinstance(tensors, (tuple, list)) or not all(isinstance(x, Tensor) for x in tensors):
        raise TypeError(f"{op}: a tuple or list of tensors is expected, got {type(tensors).__name__}")
    if not tensors:
        raise ValueError(f"{op}: there must be at least one tensor")
    dtype = max([x.dtype for x in tensors], key=RANK.__getitem__)
    return dtype, [x.array if x.dtype == dtype else _C.cast(x.array, dtype) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins tensors along an axis that they have; mixed dtypes are promoted.

    Raises ValueError where the sizes off the axis differ.

    >>> import dlcore
    >>> dlcore.cat([dlcore.tensor([1, 2]), dlcore.tensor([3])]).tolist()
    [1, 2, 3]
    """
    _, arrays = _promote("cat", tensors)
    if any(a.shape == (0,) for a in arrays) and any(a.ndim != 1 for a in arrays):  # torch skips such tensors
        kept = [(x, a) for x, a in zip(tensors, arrays) if a.shape != (0,)]
        tensors, arrays = [x for x, _ in kept], [a for _, a in kept]
    out = _C.concatenate(arrays, dim)
    d = dim % out.ndim
    lengths, dtypes = [a.shape[d] for a in arrays], [x.dtype for x in tensors]

    def cat_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        grads: list[_C.Array | None] = []
        at = 0
        for n, need, dtype in zip(lengths, needs, dtypes):
            grads.append(_C.cast(_C.slice(g, d, at, n, 1), dtype) if need else None)
            at += n
        return tuple(grads)

    return record(out, tuple(tensors), cat_backward)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins tensors of one shape along a new axis.

    >>> import dlcore
    >>> dlcore.stack([dlcore.tensor([1, 2]), dlcore.tensor([3, 4])], dim=1).tolist()
    [[1, 3], [2, 4]]
    """
    _, arrays = _promote("stack", tensors)
    shape = arrays[0].shape
    for a in arrays:
        if a.shape != shape:
            raise ValueError(f"stack: the tensors must have one shape, got {shape} and {a.shape}")
    d = axis("stack", dim, len(shape) + 1)
    new = (*shape[:d], 1, *shape[d:])
    dtypes = [x.dtype for x in tensors]

    def stack_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return tuple(
            [_C.cast(_C.select(g, d, i), dtypes[i]) if need else None for i, need in enumerate(needs)]
        )

    return record(_C.concatenate([_C.reshape(a, new) for a in arrays], d), tuple(tensors), stack_backward)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    parts = [atleast_1d(x) for x in tensors]
    return cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    return cat([reshape(x, 1, -1) if x.ndim < 2 else x for x in tensors], 0)


# ---- repeats and order -------------------------------------------------------------------------------------


def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """Copies of x side by side: axis i is repeats[i] times as long; more repeats than axes add axes in front.

    >>> import dlcore
    >>> dlcore.functional.repeat(dlcore.tensor([1, 2]), 2, 2).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    reps = sizes("repeat", repeats)
    if len(reps) < x.ndim or any(r < 0 for r in reps):
        raise ValueError(f"repeat: one count >= 0 for each axis, got x={x.shape}, repeats={reps}")
    y = reshape(x, (1,) * (len(reps) - x.ndim) + x.shape)
    for d, r in enumerate(reps):
        if r != 1:
            s = y.shape
            y = reshape(expand(unsqueeze(y, d), (*s[:d], r, *s[d:])), (*s[:d], r * s[d], *s[d + 1 :]))
    return y if any(r != 1 for r in reps) else _view(x, _C.clone(y.array))


def tile(x: Tensor, *dims: Any) -> Tensor:
    """`repeat` that pads the counts with ones in front."""
    reps = sizes("tile", dims)
    return repeat(x, (1,) * (x.ndim - len(reps)) + reps)


def repeat_interleave(x: Tensor, repeats: int | Tensor, dim: int | None = None) -> Tensor:
    """Each element of an axis (of the flattened x without `dim`) repeated in place.

    >>> import dlcore
    >>> dlcore.functional.repeat_interleave(dlcore.tensor([1, 2]), 2).tolist()
    [1, 1, 2, 2]
    """
    if dim is None:
        x, dim = ravel(x), 0
    d = axis("repeat_interleave", dim, x.ndim)
    if isinstance(repeats, Tensor) and repeats.array.size == 1:
        repeats = int(repeats.item())
    if isinstance(repeats, Tensor):
        counts = repeats.array.numpy()
        if counts.shape != (x.shape[d],) or (counts < 0).any():
            raise ValueError(
                f"repeat_interleave: one count >= 0 for each of {x.shape[d]} elements, got {counts.shape}"
            )
        which = np.repeat(np.arange(x.shape[d]), counts)
        out: Tensor = x[(slice(None),) * d + (which,)]
        return out
    r, s = operator.index(repeats), x.shape
    if r < 0:
        raise ValueError(f"repeat_interleave: repeats must not be negative, got {r}")
    y = expand(unsqueeze(x, d + 1), (*s[: d + 1], r, *s[d + 1 :]))
    return reshape(y, (*s[:d], s[d] * r, *s[d + 1 :]))


def flip(x: Tensor, *dims: Any) -> Tensor:
    """The order of the elements reversed along the axes; a copy, as in torch.

    >>> import dlcore
    >>> dlcore.functional.flip(dlcore.tensor([1, 2, 3]), 0).tolist()
    [3, 2, 1]
    """
    axes = [axis("flip", d, x.ndim) for d in sizes("flip", dims)]
    if len(set(axes)) != len(axes):
        raise ValueError(f"flip: dims must not repeat, got {dims}")

    def mirrored(a: _C.Array) -> _C.Array:
        for d in axes:
            n = a.shape[d]
            a = _C.slice(a, d, n - 1, n, -1) if n else a
        return _C.clone(a)

    def flip_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (mirrored(g),)

    return record(mirrored(x.array), (x,), flip_backward)


def roll(x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Elements shifted along axes, those that fall off coming back at the front."""
    if dims is None:
        return reshape(roll(ravel(x), shifts, 0), x.shape)
    by = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
    axes = dims if isinstance(dims, (tuple, list)) else (dims,)
    if len(by) != len(axes):
        raise ValueError(f"roll: one shift for each axis, got shifts={shifts}, dims={dims}")
    for s, d in zip(by, axes):
        d = axis("roll", d, x.ndim)
        n = x.shape[d]
        k = s % n if n else 0
        if k:
            x = cat([narrow(x, d, n - k, k), narrow(x, d, 0, n - k)], d)
    return x
