"""Elements by index: x[...], gather and scatter, rows by number, triangles; torch's names and rules.

An index expression is taken apart once into `Steps`: views (integers, slices, None, ...), which copy nothing,
then at most one `take` over the axes that index arrays address, flattened to one. The same steps run
backwards for the gradient.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.autograd import is_grad_enabled, record, take_over
from dlcore.functional.shape import Grads, axis
from dlcore.tensor import Tensor, as_array

__all__ = [
    "gather",
    "getitem",
    "index_add",
    "index_select",
    "masked_select",
    "nonzero",
    "scatter",
    "scatter_add",
    "setitem",
    "take_along_dim",
    "tril",
    "triu",
]

Indices = npt.NDArray[np.int64]
View = tuple[Any, ...]


# ---- x[...] ------------------------------------------------------------------------------------------------


def _index_array(item: Any) -> npt.NDArray[Any]:
    """A tensor, ndarray or list of indices as a host array of bools or ints."""
    if isinstance(item, Tensor):
        item = _C.to_device(item.array, "cpu").numpy()
    a = np.asarray(item)
    if a.size == 0 and not isinstance(item, np.ndarray):
        a = a.astype(np.int64)
    if a.dtype == np.uint8:
        raise IndexError("index: uint8 indices are ambiguous; use .bool() for a mask, .long() for positions")
    if a.dtype.kind not in "bi":
        raise IndexError(f"index: indices must be integers or booleans, got dtype {a.dtype}")
    return a


def _plan(shape: tuple[int, ...], key: Any) -> tuple[list[View], dict[int, Indices]]:
    """The views of a key, and the index arrays by the axis (after the views) that they address."""
    items = key if isinstance(key, tuple) else (key,)
    used = 0
    for it in items:
        if it is None or it is Ellipsis or isinstance(it, (bool, np.bool_)):
            continue
        if isinstance(it, (list, np.ndarray, Tensor)) and not isinstance(it, (int, slice)):
            a = _index_array(it)
            used += a.ndim if a.dtype.kind == "b" else 1
        else:
            used += 1
    if used > len(shape):
        raise IndexError(f"index: too many indices for a tensor of {len(shape)} dimensions, got {used}")
    if sum(it is Ellipsis for it in items) > 1:
        raise IndexError("index: an index can hold one '...' only")
    views: list[View] = []
    arrays: dict[int, Indices] = {}
    d = source = 0  # the axis after the views, and that of x
    for it in items:
        if it is Ellipsis:
            skip = len(shape) - used
            d, source = d + skip, source + skip
            continue
        if it is None:
            views.append(("new", d))
            d += 1
            continue
        if isinstance(it, slice):
            n = shape[source]
            if it.step is not None and operator.index(it.step) <= 0:
                raise ValueError(f"index: the step of a slice must be positive (see flip), got {it.step}")
            start, stop, step = it.indices(n)
            length = max(0, -(-(stop - start) // step))
            if (start, length, step) != (0, n, 1):
                views.append(("slice", d, start if length else 0, length, step))
            d, source = d + 1, source + 1
            continue
        if isinstance(it, (bool, np.bool_)) or (
            isinstance(it, (np.ndarray, Tensor)) and it.ndim == 0 and it.dtype == np.bool_
        ):
            views.append(("new", d))
            arrays[d] = np.zeros(1 if bool(it) else 0, np.int64)
            d += 1
            continue
        if isinstance(it, (np.ndarray, Tensor, list)):
            a = _index_array(it)
            if a.ndim:
                if a.dtype.kind == "b":
                    if a.shape != shape[source : source + a.ndim]:
                        raise IndexError(
                            f"index: a mask must have the shape of the axes it indexes, got mask={a.shape}, "
                            f"axes={shape[source : source + a.ndim]}"
                        )
                    for i in np.nonzero(a):
                        arrays[d] = i
                        d, source = d + 1, source + 1
                else:
                    n = shape[source]
                    a = a.astype(np.int64, copy=False)
                    if a.size and (a.min() < -n or a.max() >= n):
                        worst = a.max() if a.max() >= n else a.min()
                        raise IndexError(f"index: {worst} is out of bounds for axis {source} of size {n}")
                    arrays[d] = a
                    d, source = d + 1, source + 1
                continue
            it = a.item()
        try:
            one = operator.index(it)
        except TypeError:
            raise IndexError(
                "index: integers, slices, '...', None, lists, boolean and integer arrays are expected, got "
                f"{type(it).__name__}"
            ) from None
        n = shape[source]
        if not -n <= one < n:
            raise IndexError(f"index: {one} is out of bounds for axis {source} of size {n}")
        views.append(("select", d, one))
        source += 1
    return views, arrays


def _apply(a: _C.Array, views: list[View]) -> _C.Array:
    for v in views:
        if v[0] == "select":
            a = _C.select(a, v[1], v[2])
        elif v[0] == "slice":
            a = _C.slice(a, *v[1:])
        else:
            s = a.shape
            a = _C.reshape(a, (*s[: v[1]], 1, *s[v[1] :]))
    return a


class _Advanced:
    """Index arrays over several axes as one axis of flat positions.

    The addressed axes are brought together (in place where they are neighbours, in front otherwise: NumPy's
    rule), merged, and `flat` says which of their elements are wanted.
    """

    def __init__(self, shape: tuple[int, ...], arrays: dict[int, Indices]) -> None:
        axes = sorted(arrays)
        if len(axes) == 1:  # rows of one axis: nothing to merge
            d = self.at = axes[0]
            i, n = arrays[d], shape[d]
            self.order = self.inverse = list(range(len(shape)))
            self.moved = self.merged = shape
            negative = i.size and i.min() < 0
            self.flat = _C.from_numpy(np.where(i < 0, i + n, i) if negative else i.copy())
            return
        try:
            indices = np.broadcast_arrays(*[arrays[d] for d in axes])
        except ValueError:
            raise IndexError(
                "index: the index arrays must broadcast together, got shapes "
                f"{[arrays[d].shape for d in axes]}"
            ) from None
        neighbours = axes == list(range(axes[0], axes[0] + len(axes)))
        self.at = axes[0] if neighbours else 0
        rest = [d for d in range(len(shape)) if d not in arrays]
        self.order = [*rest[: self.at], *axes, *rest[self.at :]]
        self.inverse = [self.order.index(d) for d in range(len(shape))]
        self.moved = tuple([shape[d] for d in self.order])
        merged = 1
        for d in axes:
            merged *= shape[d]
        self.merged = (*self.moved[: self.at], merged, *self.moved[self.at + len(axes) :])
        flat = np.zeros(indices[0].shape, np.int64)
        for d, i in zip(axes, indices):
            flat = flat * shape[d] + np.where(i < 0, i + shape[d], i)
        self.flat = _C.from_numpy(flat)

    def take(self, a: _C.Array) -> _C.Array:
        if self.merged is not self.moved:
            a = _C.reshape(_C.permute(a, self.order), self.merged)
        return _C.take(a, self.at, self.flat)

    def add(self, shape: tuple[int, ...], g: _C.Array) -> _C.Array:
        """Zeros of `shape` with g added where `take` read."""
        y = _C.full(self.merged, 0.0, g.dtype, g.device)
        _C.put_into(y, self.at, self.flat, g, True)
        if self.merged is self.moved:
            return y
        return _C.permute(_C.reshape(y, self.moved), self.inverse)


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key]: integers, slices with positive steps, None, ..., boolean masks, integer arrays; torch's rules.

    Without index arrays the result is a view. Raises IndexError beyond the bounds, ValueError for negative
    steps.

    >>> import dlcore
    >>> x = dlcore.tensor([[1, 2], [3, 4]])
    >>> x[:, 1].tolist(), x[x > 2].tolist(), x[[1, 0], [0, 1]].tolist()
    ([2, 4], [3, 4], [3, 2])
    """
    shape = x.shape
    views, arrays = _plan(shape, key)
    seen = _apply(x.array, views)
    seen_shape = seen.shape
    advanced = _Advanced(seen_shape, arrays) if arrays else None

    def index_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        if advanced:
            g = advanced.add(seen_shape, g)
        if not views:
            return (g,)
        dx = _C.full(shape, 0.0, g.dtype, g.device)
        _C.copy_into(_apply(dx, views), g)
        return (dx,)

    return record(advanced.take(seen) if advanced else seen, (x,), index_backward)


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, in place: the value is broadcast and takes x's dtype.

    Recorded where x or the value requires grad: then no view may hold x's memory, for its place on the tape
    cannot follow. Raises RuntimeError where one does, and for leaves.
    """
    recorded = is_grad_enabled() and (x.requires_grad or (isinstance(value, Tensor) and value.requires_grad))
    if recorded:
        if x.requires_grad and x.is_leaf:
            raise RuntimeError(
                "setitem: a leaf that requires grad cannot be changed in place; "
                "assign inside dlcore.no_grad()"
            )
        if not x.array.exclusive:
            raise RuntimeError(
                "setitem: the memory is also held by a view or by its owner, so that the assignment cannot "
                "be recorded; assign to x.clone(), or use dlcore.where, scatter or cat"
            )
    views, arrays = _plan(x.shape, key)
    _assign(x.array, views, arrays, value)
    if not recorded:
        return
    # What x was, for the walk alone: its shape and its place on the tape, none of its memory.
    before = Tensor(_C.broadcast_to(_C.full((), 0, x.dtype, x.device), x.shape), x.requires_grad)
    before._node, before._index = x._node, x._index
    source = value if isinstance(value, Tensor) else None
    shape, dtype = (source.shape, source.dtype) if source is not None else ((), x.dtype)

    def setitem_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        dx = dv = None
        if source is not None and needs[1]:
            dv = _apply(g, views)
            if arrays:
                dv = _Advanced(dv.shape, arrays).take(dv)
            lead = max(0, len(shape) - dv.ndim)  # axes of size 1 in front
            dv = _C.reshape(_C.cast(_C.sum_to(dv, shape[lead:]), dtype), shape)
        if needs[0]:
            dx = _C.clone(g)
            _assign(dx, views, arrays, 0)
        return (dx,) if source is None else (dx, dv)

    source_inputs = (before,) if source is None else (before, source)
    after = record(x.array, source_inputs, setitem_backward)
    take_over(x, after)


def _assign(a: _C.Array, views: list[View], arrays: dict[int, Indices], value: Any) -> None:
    seen = _apply(a, views)
    if not isinstance(value, Tensor) and np.ndim(value) == 0:
        source = _C.from_numpy(np.full((), value, a.dtype))
    else:
        source = as_array(value)
    source = _C.to_device(source, a.device)
    if source.shares_memory(a):
        source = _C.clone(source)
    if not arrays:
        while source.ndim > seen.ndim and source.shape[0] == 1:
            source = _C.select(source, 0, 0)
        _C.copy_into(seen, source)
        return
    # On the host NumPy writes through the same memory; its rule for where index axes go is _Advanced's.
    place: list[Any] = [slice(None)] * seen.ndim
    for d, i in arrays.items():
        place[d] = i
    target, new = seen.numpy(), source.numpy()
    wanted = _Advanced(seen.shape, arrays)
    shape = (*wanted.merged[: wanted.at], *wanted.flat.shape, *wanted.merged[wanted.at + 1 :])
    while new.ndim > len(shape) and new.shape[0] == 1:
        new = new[0]
    try:
        new = np.broadcast_to(new, shape)
    except ValueError:
        raise ValueError(f"setitem: the value must broadcast to {shape}, got value={source.shape}") from None
    a.touch()
    target[tuple(place)] = new.astype(target.dtype, copy=False)


# ---- along one axis ----------------------------------------------------------------------------------------


def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[..., i, ...] = x[..., index[i], ...]: rows of an axis by number; index 1-d, int64 or int32.

    Raises IndexError for indices beyond the axis.

    >>> import dlcore
    >>> dlcore.functional.index_select(dlcore.tensor([[1, 2], [3, 4]]), 1, dlcore.tensor([1])).tolist()
    [[2], [4]]
    """
    if index.ndim > 1:
        raise ValueError(f"index_select: index must have at most one dimension, got index={index.shape}")
    i = _C.reshape(index.array, (1,)) if index.ndim == 0 else index.array
    d, shape = axis("index_select", dim, x.ndim), x.shape
    if x.ndim == 0:
        if index.array.size != 1:
            raise ValueError(f"index_select: a 0-d tensor has one element to take, got index={index.shape}")
        return getitem(x[None], index.reshape(-1))[0]

    def index_select_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        dx = _C.full(shape, 0.0, g.dtype, g.device)
        _C.put_into(dx, d, i, g, True)
        return (dx,)

    return record(_C.take(x.array, d, i), (x,), index_select_backward)


def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """y = x; y[..., index[i], ...] += alpha source[..., i, ...], in the order of i."""
    d, i = axis("index_add", dim, x.ndim), index.array
    if index.ndim != 1:
        raise ValueError(f"index_add: index must have one dimension, got index={index.shape}")
    if alpha != 1:
        source = source * alpha
    out = _C.clone(x.array)
    _C.put_into(out, d, i, source.array, True)

    def index_add_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return g if needs[0] else None, _C.take(g, d, i) if needs[1] else None

    return record(out, (x, source), index_add_backward)


def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[..., i, ...] = x[..., index[..., i, ...], ...] along `dim`; index int64, of x's number of dimensions.

    Raises IndexError for indices beyond the axis, ValueError for shapes.

    >>> import dlcore
    >>> x = dlcore.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> dlcore.gather(x, 1, dlcore.tensor([[1], [0]])).tolist()
    [[2.0], [3.0]]
    """
    i, shape = index.array, x.shape

    def gather_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        dx = _C.full(shape, 0.0, g.dtype, g.device)
        _C.scatter_into(dx, dim, i, g, True)
        return (dx,)

    return record(_C.gather(x.array, dim, i), (x,), gather_backward)


def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` whose index broadcasts against x off the axis; negative ones count from the end.

    Without `dim` both are flattened. Raises IndexError beyond [-size, size), ValueError for ranks.

    >>> import dlcore
    >>> x = dlcore.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> dlcore.take_along_dim(x, dlcore.tensor([[-1]]), 1).tolist()
    [[2.0], [4.0]]
    """
    if dim is None:
        x, indices, dim = x.reshape(-1), indices.reshape(-1), 0
    d = axis("take_along_dim", dim, x.ndim)
    if indices.ndim != x.ndim:
        raise ValueError(
            f"take_along_dim: x and indices must have the same rank, got {x.shape}, {indices.shape}"
        )
    if indices.dtype == np.int64 and indices.array.size and _C.amin(indices.array).item() < 0:
        n = x.shape[d] if x.ndim else 1
        i = indices.array
        indices = Tensor(_C.where(_C.lt(i, 0), _C.add(i, n), i))
    other = [(*v.shape[:d], 1, *v.shape[d + 1 :]) for v in (x, indices)]
    common = np.broadcast_shapes(*other)
    wide = [v.expand((*common[:d], v.shape[d], *common[d + 1 :])) for v in (x, indices)]
    return gather(wide[0], d, wide[1])


def scatter(x: Tensor, dim: int, index: Tensor, src: Tensor | float, reduce: str | None = None) -> Tensor:
    """y = x; y[..., index[..., i, ...], ...] = src[..., i, ...] along `dim`; a number stands for a tensor of
    it.

    For equal indices the last one stays. Only `scatter_add` adds: other reductions raise.

    >>> import dlcore
    >>> dlcore.scatter(dlcore.zeros(3), 0, dlcore.tensor([2, 0]), dlcore.tensor([5.0, 6.0])).tolist()
    [6.0, 0.0, 5.0]
    """
    if reduce == "add":
        if not isinstance(src, Tensor):
            src = Tensor(_C.full(index.shape, float(src), x.dtype, x.device))
        return scatter_add(x, dim, index, src)
    if reduce is not None:
        raise ValueError(f"scatter: reduce must be None or 'add', got {reduce!r}")
    i, out = index.array, _C.clone(x.array)
    source = src if isinstance(src, Tensor) else Tensor(_C.full(index.shape, float(src), x.dtype, x.device))
    s, src_shape, shape = source.array, source.shape, index.shape
    _C.scatter_into(out, dim, i, s, False)

    def scatter_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        dx = None
        if needs[0]:
            dx = _C.clone(g)
            _C.scatter_into(dx, dim, i, _C.full(shape, 0.0, g.dtype, g.device), False)
        return dx, _pad(_C.gather(g, dim, i), src_shape) if needs[1] else None

    return record(out, (x, source), scatter_backward)


def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """y = x; y[..., index[..., i, ...], ...] += src[..., i, ...] along `dim`, in the order of i: the same
    bits each time.

    >>> import dlcore
    >>> dlcore.functional.scatter_add(dlcore.zeros(2), 0, dlcore.tensor([1, 1]), dlcore.ones(2)).tolist()
    [0.0, 2.0]
    """
    i, out, src_shape = index.array, _C.clone(x.array), src.shape
    _C.scatter_into(out, dim, i, src.array, True)

    def scatter_add_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return g if needs[0] else None, _pad(_C.gather(g, dim, i), src_shape) if needs[1] else None

    return record(out, (x, src), scatter_add_backward)


def _pad(g: _C.Array, shape: tuple[int, ...]) -> _C.Array:
    """Zeros beyond what was read: src may be larger than index."""
    if g.shape == shape:
        return g
    out = part = _C.full(shape, 0.0, g.dtype, g.device)
    for d, n in enumerate(g.shape):
        part = _C.slice(part, d, 0, n, 1)
    _C.copy_into(part, g)
    return out


def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where mask is true, 1-d; both are broadcast."""
    if mask.dtype != np.bool_:
        raise TypeError(f"masked_select: mask must be bool, got dtype {mask.dtype}")
    shape = np.broadcast_shapes(x.shape, mask.shape) or (1,)
    wide = x if x.shape == shape else x.expand(shape)
    return getitem(wide, np.broadcast_to(_index_array(mask), shape))


def nonzero(x: Tensor, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """The positions of the elements that are not 0: (n, ndim), or one (n,) tensor an axis."""
    where = np.nonzero(np.atleast_1d(_C.to_device(x.array, "cpu").numpy()))
    if as_tuple:
        return tuple([Tensor(_C.from_numpy(i)) for i in where])
    rows = np.stack(where, 1) if x.ndim else np.zeros((len(where[0]), 0), np.int64)
    return Tensor(_C.from_numpy(np.ascontiguousarray(rows)))


# ---- triangles ---------------------------------------------------------------------------------------------


def _triangle(x: Tensor, diagonal: int, lower: bool) -> Tensor:
    k = operator.index(diagonal)

    def triangle_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.triangle(g, k, lower),)

    return record(_C.triangle(x.array, k, lower), (x,), triangle_backward)


def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """y[..., i, j] = x[..., i, j] where j - i <= diagonal, else 0.

    >>> import dlcore
    >>> dlcore.functional.tril(dlcore.ones(2, 2)).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return _triangle(x, diagonal, True)


def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """y[..., i, j] = x[..., i, j] where j - i >= diagonal, else 0.

    >>> import dlcore
    >>> dlcore.functional.triu(dlcore.ones(2, 2)).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    return _triangle(x, diagonal, False)
