"""Tensor: an Array and its place on the tape.

The methods call `dlcore.functional`, which binds itself here when it is imported (`_F`): the layers import downwards
only, functional -> tensor, never back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dlcore import _C

if TYPE_CHECKING:
    from dlcore import functional as _F
else:
    _F = None  # bound by dlcore.functional


def bind_functional(module: Any) -> None:
    global _F
    _F = module

__all__ = ["Tensor", "from_dlpack", "from_numpy", "tensor"]

DTypeLike = npt.DTypeLike | None
Backward = Callable[..., Sequence["_C.Array | None"]]

_SUPPORTED = {np.dtype(t) for t in ("float32", "float64", "int32", "int64", "uint8", "bool")}


class Node:
    """One recorded operation: its inputs, and the function from output gradients to input gradients."""

    __slots__ = ("backward", "inputs", "n_outputs", "name", "needs", "seq", "shapes")

    def __init__(
        self,
        name: str,
        inputs: tuple[Tensor, ...],
        needs: tuple[bool, ...],
        backward: Backward | None,
        n_outputs: int,
        seq: int,
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.needs = needs
        self.backward = backward
        self.n_outputs = n_outputs
        self.seq = seq


class Tensor:
    """A multi-dimensional array that remembers how it was computed, so that `backward` can differentiate it.

    Made by `dlcore.tensor`, `dlcore.from_numpy` and the functions of dlcore; the names are torch's.
    """

    __slots__ = ("__weakref__", "_index", "_logits", "_node", "_retains_grad", "array", "grad", "requires_grad")
    __array_priority__ = 100.0  # np.float32(2) * tensor is a Tensor

    def __init__(self, array: _C.Array, requires_grad: bool = False) -> None:
        self.array = array
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self._node: Node | None = None
        self._index = 0
        self._retains_grad = False
        # _logits: what a softmax over the last axis was computed from; set by it alone, read by the loss.

    # ---- what it is -----------------------------------------------------------------------------------------------

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
    def is_leaf(self) -> bool:
        return self._node is None

    # ---- gradients --------------------------------------------------------------------------------------------------

    def backward(self, grad: Tensor | npt.ArrayLike | None = None, retain_graph: bool = False) -> None:
        """Adds d(self)/d(leaf) to `.grad` of every leaf that requires it. A scalar needs no `grad`."""
        from dlcore import autograd

        autograd.backward(self, grad, retain_graph)

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        return Tensor(self.array)

    # ---- in and out -------------------------------------------------------------------------------------------------

    def numpy(self) -> npt.NDArray[Any]:
        """The same memory as an ndarray."""
        if self.requires_grad:
            raise RuntimeError("numpy: the tensor requires grad; call detach() first: x.detach().numpy()")
        return self.array.numpy()

    def __array__(self, dtype: DTypeLike = None, copy: bool | None = None) -> npt.NDArray[Any]:
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

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, _, index = self.device.partition(":")
        return (1, 0) if kind == "cpu" else (2, int(index or 0))

    def item(self) -> float | int | bool:
        return self.array.item()

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]


def as_array(x: Any, dtype: DTypeLike = None, *, copy: bool = False) -> _C.Array:
    """Anything array-like as an Array: shares an ndarray's memory where `copy` is false and its layout allows it."""
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
        raise TypeError(f"array: the byte order must be native, got dtype {a.dtype}; use x.astype(x.dtype.newbyteorder('='))")
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
    array = as_array(data, dtype, copy=True)
    if device is not None:
        array = _C.to_device(array, device)
    if requires_grad and array.dtype.kind != "f":
        raise RuntimeError(f"tensor: only floating-point tensors can require gradients, got dtype {array.dtype}")
    return Tensor(array, requires_grad)


def from_numpy(x: npt.NDArray[Any]) -> Tensor:
    """A tensor that shares the ndarray's memory."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"from_numpy: expected an ndarray, got {type(x).__name__}")
    return Tensor(_C.from_numpy(x))


def from_dlpack(x: Any) -> Tensor:
    """A tensor that shares the memory of any object with `__dlpack__`."""
    return Tensor(_C.from_dlpack(x.__dlpack__()))
