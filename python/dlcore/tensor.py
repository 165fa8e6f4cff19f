"""Tensor: an Array and its place on the tape.

The methods call `dlcore.functional`, which binds itself here when it is imported (`_F`): the layers import
downwards only, functional -> tensor, never back.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlcore import _C

if TYPE_CHECKING:
    from dlcore import functional as _F
    from dlcore.autograd import RemovableHandle
else:
    _F = None  # bound by dlcore.functional


def bind_functional(module: Any) -> None:
    global _F
    _F = module


__all__ = ["Tensor", "from_dlpack", "from_numpy", "tensor"]

DTypeLike = npt.DTypeLike | None
Backward = Callable[..., Sequence["_C.Array | None"]]

_PLAIN = {np.dtype(t) for t in ("float32", "int64", "bool")}  # what Python's own numbers give: not printed
_SUPPORTED = {np.dtype(t) for t in ("float32", "float64", "int32", "int64", "uint8", "bool")}


# A leaf, or an output of another node; None needs no gradient.
Edge: TypeAlias = "Tensor | tuple[Node, int] | None"


class Node:
    """One recorded operation: where its inputs stand, and the function from output gradients to theirs."""

    __slots__ = ("_watchers", "backward", "edges", "epoch", "n_outputs", "needs", "qualname", "seq")

    def __init__(
        self,
        qualname: str,
        edges: tuple[Edge, ...],
        needs: tuple[bool, ...],
        backward: Backward | None,
        n_outputs: int,
        seq: int,
        epoch: int,
    ) -> None:
        self.qualname = qualname
        self.edges = edges
        self.needs = needs
        self.backward = backward
        self.n_outputs = n_outputs
        self.seq = seq
        self.epoch = epoch  # what was written later than this is not what the operation saw
        self._watchers: tuple[dict[int, dict[int, Any]], dict[int, Any]] | None = None

    @property
    def hooks(self) -> dict[int, dict[int, Any]]:
        """By output: what runs when its gradient is known."""
        self._watchers = self._watchers or ({}, {})
        return self._watchers[0]

    @property
    def retained(self) -> dict[int, Any]:
        """By output: a weak reference to the tensor that wants to keep its gradient."""
        self._watchers = self._watchers or ({}, {})
        return self._watchers[1]

    @property
    def name(self) -> str:
        """The operation: "matmul" for a backward called matmul_backward, or defined in matmul."""
        parts = self.qualname.split(".")
        own = parts[-1].removesuffix("backward").strip("_")
        return own if own.isidentifier() else parts[0].strip("_")

    def __repr__(self) -> str:
        return f"<{''.join([w.capitalize() for w in self.name.split('_')])}Backward>"


class Tensor:
    """A multi-dimensional array that remembers how it was computed, so that `backward` can differentiate it.

    Made by `dlcore.tensor`, `dlcore.from_numpy` and the functions of dlcore; the names are torch's.
    """

    __slots__ = (
        "__weakref__",
        "_hooks",
        "_index",
        "_logits",
        "_mask",
        "_node",
        "_retains_grad",
        "array",
        "grad",
        "requires_grad",
    )
    # A softmax's input, the arrays of both, and when; set by it alone.
    _logits: tuple[Tensor, _C.Array, _C.Array, int]
    _hooks: tuple[dict[int, Any], dict[int, Any]]  # a leaf's: of its gradient, and after it was added
    _mask: Tensor  # which steps of a sequence count, for dlcore.keras; set by it alone
    __array_priority__ = 100.0  # np.float32(2) * tensor is a Tensor

    def __init__(self, array: _C.Array, requires_grad: bool = False) -> None:
        self.array = array
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self._node: Node | None = None
        self._index = 0
        self._retains_grad = False

    # ---- what it is ----------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def device(self) -> str:
        return self.array.device

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def data(self) -> Tensor:
        """The same memory, off the tape, and changed unnoticed by it; assigning replaces the memory and
        leaves the tape alone.
        """
        return Tensor(self.array.tracked(False))

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: a Tensor is expected, got {type(value).__name__}")
        self.array = value.array.tracked(True)

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return _F.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        if self.ndim < 2:
            raise ValueError(f"mT: the tensor must have at least 2 dimensions, got {self.shape}")
        return _F.transpose(self, -2, -1)

    @property
    def is_cuda(self) -> builtins.bool:
        return self.device != "cpu"

    @property
    def itemsize(self) -> builtins.int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> builtins.int:
        return self.array.size * self.dtype.itemsize

    def size(self, dim: builtins.int | None = None) -> Any:
        """The shape, or one size of it."""
        if dim is None:
            return self.shape
        return self.shape[_F.axis("size", dim, self.ndim)]

    def stride(self, dim: builtins.int | None = None) -> Any:
        """The distances between neighbours along each axis, in elements."""
        strides = self.array.strides
        return strides if dim is None else strides[_F.axis("stride", dim, self.ndim)]

    def numel(self) -> builtins.int:
        return self.array.size

    nelement = numel

    def dim(self) -> builtins.int:
        return self.array.ndim

    ndimension = dim

    def element_size(self) -> builtins.int:
        return self.dtype.itemsize

    def data_ptr(self) -> builtins.int:
        return self.array.data_ptr

    def is_contiguous(self) -> builtins.bool:
        return self.array.is_contiguous

    def is_floating_point(self) -> builtins.bool:
        return self.dtype.kind == "f"

    # ---- gradients -----------------------------------------------------------------------------------------

    @property
    def is_leaf(self) -> builtins.bool:
        return self._node is None

    @property
    def grad_fn(self) -> Node | None:
        """The operation that made this tensor, where the tape holds it; for people to read."""
        return self._node

    @property
    def retains_grad(self) -> builtins.bool:
        return self._retains_grad

    def backward(
        self,
        grad: Tensor | npt.ArrayLike | None = None,
        retain_graph: builtins.bool | None = None,
        create_graph: builtins.bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
        *,
        gradient: Tensor | npt.ArrayLike | None = None,
    ) -> None:
        """Adds d(self)/d(leaf) to `.grad` of every leaf that requires it, or of `inputs` alone. A scalar
        needs no `grad` (torch: `gradient`).

        Raises RuntimeError for a tensor that is no scalar without `grad`, for a graph that a backward has
        freed,
        and for memory that was changed in place after an operation had saved it.

        >>> import dlcore
        >>> x = dlcore.tensor([1.0, 2.0], requires_grad=True)
        >>> x[0].backward()
        >>> x.grad
        tensor([1., 0.])
        """
        from dlcore import autograd

        g = gradient if grad is None else grad
        autograd.backward(self, [g], retain_graph, create_graph, inputs=inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """`hook(grad)` runs when a backward knows this tensor's gradient, and may return another in its
        place.

        >>> import dlcore
        >>> x = dlcore.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([20., 40.])
        """
        from dlcore.autograd import tape

        return tape.register_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """`hook(self)` runs each time that a backward has added to `.grad` of this leaf."""
        from dlcore.autograd import tape

        return tape.register_post_accumulate_grad_hook(self, hook)

    def requires_grad_(self, requires_grad: builtins.bool = True) -> Tensor:
        """Says whether `backward` should reach this leaf."""
        if self._node is not None and not requires_grad:
            raise RuntimeError("requires_grad_: only a leaf can stop requiring gradients; use detach()")
        if requires_grad and self.dtype.kind != "f":
            raise RuntimeError(
                f"requires_grad_: only floating-point tensors can require gradients, got dtype {self.dtype}"
            )
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> None:
        """Asks `backward` to fill `.grad` of this tensor though it is no leaf."""
        from dlcore.autograd import tape

        tape.retain_grad(self)

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        return Tensor(self.array)

    def detach_(self) -> Tensor:
        """Takes this tensor itself off the tape."""
        self._node, self.requires_grad, self._retains_grad = None, False, False
        return self

    def clone(self) -> Tensor:
        """A copy in memory of its own; gradients flow through."""
        return _F.clone(self)

    # ---- dtype and device ----------------------------------------------------------------------------------

    def to(
        self,
        *args: Any,
        dtype: DTypeLike = None,
        device: str | None = None,
        non_blocking: builtins.bool = False,
        copy: builtins.bool = False,
    ) -> Tensor:
        """x.to(dtype), x.to(device), x.to(device, dtype), x.to(other): itself where nothing changes (but for
        `copy`).

        >>> import dlcore, numpy as np
        >>> dlcore.tensor([1.5]).to(np.int64).tolist()
        [1]
        """
        for a in args:
            if isinstance(a, Tensor):
                dtype, device = a.dtype, a.device
            elif isinstance(a, builtins.bool):
                raise TypeError("to: pass non_blocking and copy by keyword")
            elif a is None or (isinstance(a, str) and a.partition(":")[0] in ("cpu", "cuda")):
                device = a if a is not None else device
            elif isinstance(a, str) and ":" in a:
                raise ValueError(f"to: the device must be 'cpu', 'cuda' or 'cuda:N', got {a!r}")
            else:
                dtype = a
        out = self
        if dtype is not None:
            new = as_dtype("to", dtype)
            if new != self.dtype:
                out = _F.cast(out, new)
        if device is not None and device != out.device and not (device == "cuda" and out.device == "cuda:0"):
            out = _F.to_device(out, device)
        return _F.clone(out) if copy and out is self else out

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def cuda(self, device: str | builtins.int | None = None) -> Tensor:
        return self.to(
            "cuda" if device is None else f"cuda:{device}" if isinstance(device, builtins.int) else device
        )

    def float(self) -> Tensor:
        return self.to(np.float32)

    def double(self) -> Tensor:
        return self.to(np.float64)

    def int(self) -> Tensor:
        return self.to(np.int32)

    def long(self) -> Tensor:
        return self.to(np.int64)

    def byte(self) -> Tensor:
        return self.to(np.uint8)

    def bool(self) -> Tensor:
        return self.to(np.bool_)

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other.dtype)

    # ---- in and out ----------------------------------------------------------------------------------------

    def numpy(self) -> npt.NDArray[Any]:
        """The same memory as an ndarray."""
        if self.requires_grad:
            raise RuntimeError("numpy: the tensor requires grad; call detach() first: x.detach().numpy()")
        return self.array.numpy()

    def __array__(self, dtype: DTypeLike = None, copy: builtins.bool | None = None) -> npt.NDArray[Any]:
        a = self.numpy()
        if dtype is not None and np.dtype(dtype) != a.dtype:
            if copy is False:
                raise ValueError("__array__: a change of dtype needs a copy")
            return a.astype(dtype)
        return a.copy() if copy else a

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        if self.requires_grad:
            raise BufferError("__dlpack__: the tensor requires grad; call detach() first")
        return _C.to_dlpack(self.array)

    def __dlpack_device__(self) -> tuple[builtins.int, builtins.int]:
        kind, _, index = self.device.partition(":")
        return (1, 0) if kind == "cpu" else (2, builtins.int(index or 0))

    def item(self) -> builtins.float | builtins.int | builtins.bool:
        """The only element as a Python number."""
        number: builtins.float | builtins.int | builtins.bool = self.array.item()
        return number

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers; a 0-d tensor gives the number itself."""
        return _C.to_device(self.array, "cpu").numpy().tolist()

    def __bool__(self) -> builtins.bool:
        if self.array.size != 1:
            raise RuntimeError(
                f"bool: the truth of a tensor of {self.array.size} elements is ambiguous (use any or all)"
            )
        return builtins.bool(self.array.item())

    def __int__(self) -> builtins.int:
        return builtins.int(self.array.item())

    def __float__(self) -> builtins.float:
        return builtins.float(self.array.item())

    def __index__(self) -> builtins.int:
        if self.dtype.kind not in "iub" or self.array.size != 1:
            raise TypeError("index: only integer tensors of a single element can be an index")
        return builtins.int(self.array.item())

    def __len__(self) -> builtins.int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(_F.unbind(self, 0))

    def __contains__(self, value: Any) -> builtins.bool:
        if isinstance(value, Tensor):
            value = value.array.numpy()
        elif not isinstance(value, (builtins.int, builtins.float, np.generic)):
            raise TypeError(f"in: a number or a tensor is expected, got {type(value).__name__}")
        return builtins.bool(np.any(_C.to_device(self.array, "cpu").numpy() == value))

    def __hash__(self) -> builtins.int:
        return id(self)

    def __getitem__(self, key: Any) -> Tensor:
        return _F.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _F.setitem(self, key, value)

    def __repr__(self) -> str:
        return _repr(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __copy__(self) -> Tensor:
        new = _bare(type(self), self.array, self.requires_grad)
        new._node, new._index = self._node, self._index
        return new

    def __deepcopy__(self, memo: dict[builtins.int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("deepcopy: only leaves can be copied deeply; use detach().clone()")
        if id(self) in memo:
            known: Tensor = memo[id(self)]
            return known
        new = memo[id(self)] = _bare(type(self), _C.clone(self.array), self.requires_grad)
        if self.grad is not None:
            new.grad = Tensor(_C.clone(self.grad.array))
        return new

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _unpickle, (
            type(self),
            _C.to_device(self.array, "cpu").numpy(),
            self.device,
            self.requires_grad,
        )

    # ---- changed in place ----------------------------------------------------------------------------------

    def copy_(self, src: Any, non_blocking: builtins.bool = False) -> Tensor:
        """Overwrites the elements with those of `src`, broadcast and converted."""
        _F.setitem(self, ..., src)
        return self

    def fill_(self, value: Any) -> Tensor:
        _F.setitem(self, ..., value)
        return self

    def zero_(self) -> Tensor:
        _F.setitem(self, ..., 0)
        return self

    # ---- shape ---------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        return _F.reshape(self, *shape)

    def view(self, *shape: Any) -> Tensor:
        return _F.view(self, *shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        return _F.reshape(self, other.shape)

    def view_as(self, other: Tensor) -> Tensor:
        return _F.view(self, other.shape)

    def transpose(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        return _F.transpose(self, dim0, dim1)

    swapaxes = swapdims = transpose

    def t(self) -> Tensor:
        return _F.t(self)

    def permute(self, *dims: Any) -> Tensor:
        return _F.permute(self, *dims)

    def movedim(self, source: Any, destination: Any) -> Tensor:
        return _F.movedim(self, source, destination)

    def flatten(self, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Tensor:
        return _F.flatten(self, start_dim, end_dim)

    def ravel(self) -> Tensor:
        return _F.ravel(self)

    def unflatten(self, dim: builtins.int, sizes: Sequence[builtins.int]) -> Tensor:
        return _F.unflatten(self, dim, sizes)

    def squeeze(self, dim: Any = None) -> Tensor:
        return _F.squeeze(self, dim)

    def unsqueeze(self, dim: builtins.int) -> Tensor:
        return _F.unsqueeze(self, dim)

    def expand(self, *shape: Any) -> Tensor:
        return _F.expand(self, *shape)

    def expand_as(self, other: Tensor) -> Tensor:
        return _F.expand(self, other.shape)

    def broadcast_to(self, shape: Sequence[builtins.int]) -> Tensor:
        return _F.expand(self, shape)

    def contiguous(self) -> Tensor:
        return _F.contiguous(self)

    def narrow(self, dim: builtins.int, start: builtins.int, length: builtins.int) -> Tensor:
        return _F.narrow(self, dim, start, length)

    def select(self, dim: builtins.int, index: builtins.int) -> Tensor:
        return _F.select(self, dim, index)

    def split(
        self, split_size: builtins.int | Sequence[builtins.int], dim: builtins.int = 0
    ) -> tuple[Tensor, ...]:
        return _F.split(self, split_size, dim)

    def chunk(self, chunks: builtins.int, dim: builtins.int = 0) -> tuple[Tensor, ...]:
        return _F.chunk(self, chunks, dim)

    def unbind(self, dim: builtins.int = 0) -> tuple[Tensor, ...]:
        return _F.unbind(self, dim)

    def diagonal(self, offset: builtins.int = 0, dim1: builtins.int = 0, dim2: builtins.int = 1) -> Tensor:
        return _F.diagonal(self, offset, dim1, dim2)

    def repeat(self, *repeats: Any) -> Tensor:
        return _F.repeat(self, *repeats)

    def tile(self, *dims: Any) -> Tensor:
        return _F.tile(self, *dims)

    def repeat_interleave(self, repeats: Any, dim: builtins.int | None = None) -> Tensor:
        return _F.repeat_interleave(self, repeats, dim)

    def flip(self, *dims: Any) -> Tensor:
        return _F.flip(self, *dims)

    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        return _F.roll(self, shifts, dims)

    # ---- by index ------------------------------------------------------------------------------------------

    def index_select(self, dim: builtins.int, index: Tensor) -> Tensor:
        return _F.index_select(self, dim, index)

    def index_add(
        self, dim: builtins.int, index: Tensor, source: Tensor, *, alpha: builtins.float = 1
    ) -> Tensor:
        return _F.index_add(self, dim, index, source, alpha=alpha)

    def gather(self, dim: builtins.int, index: Tensor) -> Tensor:
        return _F.gather(self, dim, index)

    def scatter(self, dim: builtins.int, index: Tensor, src: Any, *, reduce: str | None = None) -> Tensor:
        return _F.scatter(self, dim, index, src, reduce)

    def scatter_add(self, dim: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        return _F.scatter_add(self, dim, index, src)

    def take_along_dim(self, indices: Tensor, dim: builtins.int | None = None) -> Tensor:
        return _F.take_along_dim(self, indices, dim)

    def masked_select(self, mask: Tensor) -> Tensor:
        return _F.masked_select(self, mask)

    def nonzero(self, *, as_tuple: builtins.bool = False) -> Any:
        return _F.nonzero(self, as_tuple)

    def tril(self, diagonal: builtins.int = 0) -> Tensor:
        return _F.tril(self, diagonal)

    def triu(self, diagonal: builtins.int = 0) -> Tensor:
        return _F.triu(self, diagonal)

    # ---- arithmetic and reductions -----------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        try:  # the common case first: two tensors of one dtype off the tape
            if not (self.requires_grad or other.requires_grad):
                return Tensor(_C.add(self.array, other.array))
        except (AttributeError, TypeError):
            pass
        return _F.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _F.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _F.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _F.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _F.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _F.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _F.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _F.div(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return _F.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _F.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return _F.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _F.remainder(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _F.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _F.pow(other, self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return _F.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _F.matmul(Tensor(as_array(other)), self)

    def __iadd__(self, other: Any) -> Tensor:
        return _F.elementwise.binary_inplace("add", self, other)

    def __isub__(self, other: Any) -> Tensor:
        return _F.elementwise.binary_inplace("sub", self, other)

    def __imul__(self, other: Any) -> Tensor:
        return _F.elementwise.binary_inplace("mul", self, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return _F.elementwise.binary_inplace("div", self, other)

    def __neg__(self) -> Tensor:
        return _F.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return _F.abs(self)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented  # the identity comparison, as in torch
        return _F.eq(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented
        return _F.ne(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _F.lt(self, other)

    def __le__(self, other: Any) -> Tensor:
        return _F.le(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _F.gt(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _F.ge(self, other)

    def __and__(self, other: Any) -> Tensor:
        return _F.logical_and(_bools("&", self), _bools("&", other))

    def __or__(self, other: Any) -> Tensor:
        return _F.logical_or(_bools("|", self), _bools("|", other))

    def __xor__(self, other: Any) -> Tensor:
        return _F.logical_xor(_bools("^", self), _bools("^", other))

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Tensor:
        return _F.logical_not(_bools("~", self))

    def add(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return _F.add(self, other, alpha=alpha)

    def sub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return _F.sub(self, other, alpha=alpha)

    def mul(self, other: Any) -> Tensor:
        return _F.mul(self, other)

    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        return _F.div(self, other, rounding_mode=rounding_mode)

    subtract, multiply, divide, true_divide = sub, mul, div, div

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return _F.elementwise.binary_inplace("add", self, other if alpha == 1 else _F.mul(other, alpha))

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return _F.elementwise.binary_inplace("sub", self, other if alpha == 1 else _F.mul(other, alpha))

    def mul_(self, other: Any) -> Tensor:
        return _F.elementwise.binary_inplace("mul", self, other)

    def div_(self, other: Any) -> Tensor:
        return _F.elementwise.binary_inplace("div", self, other)

    def floor_divide(self, other: Any) -> Tensor:
        return _F.floor_divide(self, other)

    def remainder(self, other: Any) -> Tensor:
        return _F.remainder(self, other)

    def fmod(self, other: Any) -> Tensor:
        return _F.fmod(self, other)

    def pow(self, exponent: Any) -> Tensor:
        return _F.pow(self, exponent)

    def maximum(self, other: Tensor) -> Tensor:
        return _F.maximum(self, other)

    def minimum(self, other: Tensor) -> Tensor:
        return _F.minimum(self, other)

    def matmul(self, other: Tensor) -> Tensor:
        return _F.matmul(self, other)

    mm = bmm = dot = mv = matmul

    def neg(self) -> Tensor:
        return _F.neg(self)

    def abs(self) -> Tensor:
        return _F.abs(self)

    def square(self) -> Tensor:
        return _F.square(self)

    def sign(self) -> Tensor:
        return _F.sign(self)

    def floor(self) -> Tensor:
        return _F.floor(self)

    def ceil(self) -> Tensor:
        return _F.ceil(self)

    def trunc(self) -> Tensor:
        return _F.trunc(self)

    def exp(self) -> Tensor:
        return _F.exp(self)

    def expm1(self) -> Tensor:
        return _F.expm1(self)

    def log(self) -> Tensor:
        return _F.log(self)

    def log1p(self) -> Tensor:
        return _F.log1p(self)

    def log2(self) -> Tensor:
        return _F.log2(self)

    def log10(self) -> Tensor:
        return _F.log10(self)

    def sqrt(self) -> Tensor:
        return _F.sqrt(self)

    def rsqrt(self) -> Tensor:
        return _F.rsqrt(self)

    def reciprocal(self) -> Tensor:
        return _F.reciprocal(self)

    def sin(self) -> Tensor:
        return _F.sin(self)

    def cos(self) -> Tensor:
        return _F.cos(self)

    def tan(self) -> Tensor:
        return _F.tan(self)

    def tanh(self) -> Tensor:
        return _F.tanh(self)

    def sigmoid(self) -> Tensor:
        return _F.sigmoid(self)

    def relu(self) -> Tensor:
        return _F.relu(self)

    def erf(self) -> Tensor:
        return _F.erf(self)

    def isnan(self) -> Tensor:
        return _F.isnan(self)

    def isinf(self) -> Tensor:
        return _F.isinf(self)

    def isfinite(self) -> Tensor:
        return _F.isfinite(self)

    def logical_not(self) -> Tensor:
        return _F.logical_not(self)

    def round(self, *, decimals: builtins.int = 0) -> Tensor:
        return _F.round(self, decimals=decimals)

    def eq(self, other: Any) -> Tensor:
        return _F.eq(self, other)

    def ne(self, other: Any) -> Tensor:
        return _F.ne(self, other)

    def lt(self, other: Any) -> Tensor:
        return _F.lt(self, other)

    def le(self, other: Any) -> Tensor:
        return _F.le(self, other)

    def gt(self, other: Any) -> Tensor:
        return _F.gt(self, other)

    def ge(self, other: Any) -> Tensor:
        return _F.ge(self, other)

    def logical_and(self, other: Any) -> Tensor:
        return _F.logical_and(self, other)

    def logical_or(self, other: Any) -> Tensor:
        return _F.logical_or(self, other)

    def logical_xor(self, other: Any) -> Tensor:
        return _F.logical_xor(self, other)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        result: Tensor = _F.where(condition, self, other)
        return result

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        return _F.masked_fill(self, mask, value)

    def masked_fill_(self, mask: Tensor, value: Any) -> Tensor:
        return _F.elementwise.replace(self, lambda x: _F.masked_fill(x, mask, value))

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        return _F.clamp(self, min, max)

    clip = clamp

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        return _F.elementwise.replace(self, lambda x: _F.clamp(x, min, max))

    def relu_(self) -> Tensor:
        return _F.relu(self, inplace=True)

    def sum(self, dim: Any = None, keepdim: builtins.bool = False, *, dtype: DTypeLike = None) -> Tensor:
        return _F.sum(self, dim, keepdim, dtype=dtype)

    def mean(self, dim: Any = None, keepdim: builtins.bool = False, *, dtype: DTypeLike = None) -> Tensor:
        return _F.mean(self, dim, keepdim, dtype=dtype)

    def prod(self, dim: Any = None, keepdim: builtins.bool = False, *, dtype: DTypeLike = None) -> Tensor:
        return _F.prod(self, dim, keepdim, dtype=dtype)

    def max(self, dim: Any = None, keepdim: builtins.bool = False) -> Any:
        return _F.max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: builtins.bool = False) -> Any:
        return _F.min(self, dim, keepdim)

    def amax(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        return _F.amax(self, dim, keepdim)

    def amin(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        return _F.amin(self, dim, keepdim)

    def argmax(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Tensor:
        return _F.argmax(self, dim, keepdim)

    def argmin(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Tensor:
        return _F.argmin(self, dim, keepdim)

    def any(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        return _F.any(self, dim, keepdim)

    def all(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        return _F.all(self, dim, keepdim)

    def count_nonzero(self, dim: Any = None) -> Tensor:
        return _F.count_nonzero(self, dim)

    def var(
        self, dim: Any = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *,
        correction: builtins.float | None = None,
    ) -> Tensor:  # fmt: skip
        return _F.var(self, dim, unbiased, keepdim, correction=correction)

    def std(
        self, dim: Any = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *,
        correction: builtins.float | None = None,
    ) -> Tensor:  # fmt: skip
        return _F.std(self, dim, unbiased, keepdim, correction=correction)

    def cumsum(self, dim: builtins.int, *, dtype: DTypeLike = None) -> Tensor:
        return _F.cumsum(self, dim, dtype=dtype)

    def cumprod(self, dim: builtins.int, *, dtype: DTypeLike = None) -> Tensor:
        return _F.cumprod(self, dim, dtype=dtype)

    def cummax(self, dim: builtins.int) -> Any:
        return _F.cummax(self, dim)

    def cummin(self, dim: builtins.int) -> Any:
        return _F.cummin(self, dim)

    def logsumexp(self, dim: Any, keepdim: builtins.bool = False) -> Tensor:
        return _F.logsumexp(self, dim, keepdim)

    def logcumsumexp(self, dim: builtins.int) -> Tensor:
        return _F.logcumsumexp(self, dim)

    def softmax(self, dim: builtins.int | None = None, dtype: DTypeLike = None) -> Tensor:
        return _F.softmax(self, dim, dtype)

    def log_softmax(self, dim: builtins.int | None = None, dtype: DTypeLike = None) -> Tensor:
        return _F.log_softmax(self, dim, dtype)

    # ---- in order ------------------------------------------------------------------------------------------

    def sort(
        self,
        dim: builtins.int = -1,
        descending: builtins.bool = False,
        stable: builtins.bool = False,
    ) -> Any:
        return _F.sort(self, dim, descending, stable)

    def argsort(
        self,
        dim: builtins.int = -1,
        descending: builtins.bool = False,
        stable: builtins.bool = False,
    ) -> Tensor:
        return _F.argsort(self, dim, descending, stable)

    def msort(self) -> Tensor:
        return _F.msort(self)

    def topk(
        self,
        k: builtins.int,
        dim: builtins.int = -1,
        largest: builtins.bool = True,
        sorted: builtins.bool = True,
    ) -> Any:
        return _F.topk(self, k, dim, largest, sorted)

    def kthvalue(self, k: builtins.int, dim: builtins.int = -1, keepdim: builtins.bool = False) -> Any:
        return _F.kthvalue(self, k, dim, keepdim)

    def median(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Any:
        return _F.median(self, dim, keepdim)

    def nanmedian(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Any:
        return _F.nanmedian(self, dim, keepdim)

    def unique(
        self,
        sorted: builtins.bool = True,
        return_inverse: builtins.bool = False,
        return_counts: builtins.bool = False,
        dim: builtins.int | None = None,
    ) -> Any:
        return _F.unique(self, sorted, return_inverse, return_counts, dim)

    def unique_consecutive(
        self,
        return_inverse: builtins.bool = False,
        return_counts: builtins.bool = False,
        dim: builtins.int | None = None,
    ) -> Any:
        return _F.unique_consecutive(self, return_inverse, return_counts, dim)

    def bincount(self, weights: Tensor | None = None, minlength: builtins.int = 0) -> Tensor:
        return _F.bincount(self, weights, minlength)

    def norm(
        self, p: Any = "fro", dim: Any = None, keepdim: builtins.bool = False, dtype: DTypeLike = None
    ) -> Tensor:
        return _F.norm(self, p, dim, keepdim, dtype)


def _bools(op: str, x: Any) -> Any:
    kind = x.array.dtype.kind if isinstance(x, Tensor) else np.asarray(x).dtype.kind
    if kind != "b":
        raise TypeError(f"{op}: operands must be bool tensors")
    return x


def as_dtype(op: str, dtype: DTypeLike) -> np.dtype[Any]:
    """One of the dtypes that dlcore has, from any of NumPy's spellings."""
    try:
        dt = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{op}: dtype must be a NumPy dtype such as dlcore.float32, got {dtype!r}") from None
    if dt not in _SUPPORTED or dtype is None:
        raise TypeError(f"{op}: dtype must be float32, float64, int32, int64, uint8 or bool, got {dt}")
    return dt


def leaf(op: str, array: _C.Array, requires_grad: bool) -> Tensor:
    """A new tensor; integers cannot require gradients."""
    if requires_grad and array.dtype.kind != "f":
        raise RuntimeError(
            f"{op}: only floating-point tensors can require gradients, got dtype {array.dtype}"
        )
    return Tensor(array, requires_grad)


def _bare(cls: type[Tensor], array: _C.Array, requires_grad: bool) -> Tensor:
    """A tensor of a subclass, whatever its own __init__ wants."""
    new = cls.__new__(cls)
    Tensor.__init__(new, array, requires_grad)
    return new


def _unpickle(cls: type[Tensor], values: npt.NDArray[Any], device: str, requires_grad: bool) -> Tensor:
    return _bare(cls, _C.to_device(_C.clone(_C.from_numpy(values)), device), requires_grad)


def _repr(t: Tensor) -> str:
    a = _C.to_device(t.array, "cpu").numpy()
    tail = []
    if a.size == 0:
        body = "[]"
        if t.shape != (0,):
            tail.append(f"size={t.shape}")
    else:
        finite = a[np.isfinite(a)] if a.dtype.kind == "f" else a
        whole = a.dtype.kind != "f" or bool((finite == np.floor(finite)).all())
        body = np.array2string(
            a,
            precision=4,
            separator=", ",
            prefix="tensor(",
            floatmode="maxprec" if whole else "fixed",
            threshold=1000,
        ).replace(", ..., ", ",  ..., ")  # torch's spacing
    if t.device != "cpu":
        tail.append(f"device='{t.device}'")
    if t.dtype not in _PLAIN or (a.size == 0 and t.dtype != np.float32):
        tail.append(f"dtype={t.dtype}")
    if t._node is not None:
        tail.append(f"grad_fn={t._node!r}")
    elif t.requires_grad:
        tail.append("requires_grad=True")
    return f"tensor({', '.join([body, *tail])})"


def as_array(x: Any, dtype: DTypeLike = None, *, copy: bool = False) -> _C.Array:
    """Anything array-like as an Array: shares an ndarray's memory where `copy` is false and its layout allows
    it.
    """
    if isinstance(x, Tensor):
        array = x.array if dtype is None else _C.cast(x.array, dtype)
        return _C.clone(array) if copy and array is x.array else array
    a = np.asarray(x)
    if a.dtype.hasobject:
        raise TypeError(f"array: object arrays are not supported, got dtype {a.dtype}")
    if dtype is not None:
        a = a.astype(dtype, copy=False)
    elif not isinstance(x, (np.ndarray, np.generic)) and a.dtype == np.float64:
        a = a.astype(np.float32)  # Python floats become float32, as in torch
    if not a.dtype.isnative:
        raise TypeError(
            f"array: the byte order must be native, got dtype {a.dtype}; "
            "use x.astype(x.dtype.newbyteorder('='))"
        )
    if not a.flags.aligned or any(s % a.itemsize for s, n in zip(a.strides, a.shape) if n > 1):
        a = a.copy()
    array = _C.from_numpy(a)
    return _C.clone(array) if copy else array


def tensor(
    data: Any, dtype: DTypeLike = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor that owns a copy of `data`: numbers, nested sequences, ndarrays, anything with `__array__`.

    Python floats become float32, ints int64; ndarrays keep their dtype unless `dtype` says otherwise.

    Raises TypeError for object arrays and dtypes that dlcore does not have.

    >>> import dlcore
    >>> dlcore.tensor([[1.0, 2.0]]).shape
    (1, 2)
    """
    array = as_array(data, None if dtype is None else as_dtype("tensor", dtype), copy=True)
    if device is not None:
        array = _C.to_device(array, device)
    return leaf("tensor", array, requires_grad)


def from_numpy(x: npt.NDArray[Any]) -> Tensor:
    """A tensor that shares the ndarray's memory."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"from_numpy: expected an ndarray, got {type(x).__name__}")
    return Tensor(_C.from_numpy(x))


def from_dlpack(x: Any) -> Tensor:
    """A tensor that shares the memory of any object with `__dlpack__`."""
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: an object with __dlpack__ is expected, got {type(x).__name__}")
    return Tensor(_C.from_dlpack(x.__dlpack__()))
