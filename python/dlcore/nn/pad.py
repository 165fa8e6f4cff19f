"""Padding layers: margins around the last 1, 2 or 3 axes. `padding` is one integer for all sides, or
(left, right, top, bottom, front, back)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlcore import functional as F
from dlcore.nn.module import Module
from dlcore.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

_Sides = int | tuple[int, ...]


class _Pad(Module):
    _nd = 0
    _mode = "constant"
    value: Any = None

    def __init__(self, padding: _Sides) -> None:
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * (2 * self._nd)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"

    if TYPE_CHECKING:
        __call__ = forward


class _ConstantPad(_Pad):
    def __init__(self, padding: _Sides, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    def __init__(self, padding: _Sides) -> None:
        super().__init__(padding)
        self.value = 0.0


class _ReflectionPad(_Pad):
    _mode = "reflect"


class _ReplicationPad(_Pad):
    _mode = "replicate"


class _CircularPad(_Pad):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self._nd + 1, self._nd + 2):
            raise ValueError(
                f"{type(self).__name__}: input must have {self._nd + 1} or {self._nd + 2} dimensions, "
                f"got {input.shape}"
            )
        return super().forward(input)


class ConstantPad1d(_ConstantPad):
    """`value` around the last axis of x (..., L); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ConstantPad1d(1, 5.0)(dlcore.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[5.0, 1.0, 2.0, 3.0, 5.0]]
    """

    _nd = 1


class ConstantPad2d(_ConstantPad):
    """`value` around the last two axes of x (..., H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ConstantPad2d(1, 5.0)(dlcore.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    _nd = 2


class ConstantPad3d(_ConstantPad):
    """`value` around the last three axes of x (..., D, H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ConstantPad3d(1, 5.0)(dlcore.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    _nd = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around the last axis of x (..., L); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ZeroPad1d(1)(dlcore.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[0.0, 1.0, 2.0, 3.0, 0.0]]
    """

    _nd = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two axes of x (..., H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ZeroPad2d(1)(dlcore.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    _nd = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three axes of x (..., D, H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ZeroPad3d(1)(dlcore.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    _nd = 3


class ReflectionPad1d(_ReflectionPad):
    """Mirrored margins (without the edge) around the last axis of x (..., L); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ReflectionPad1d(1)(dlcore.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 1.0, 2.0, 3.0, 2.0]]
    """

    _nd = 1


class ReflectionPad2d(_ReflectionPad):
    """Mirrored margins (without the edge) around the last two axes of x (..., H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ReflectionPad2d(1)(dlcore.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    _nd = 2


class ReflectionPad3d(_ReflectionPad):
    """Mirrored margins (without the edge) around the last three axes of x (..., D, H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ReflectionPad3d(1)(dlcore.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    _nd = 3


class ReplicationPad1d(_ReplicationPad):
    """The edge repeated around the last axis of x (..., L); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ReplicationPad1d(1)(dlcore.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[1.0, 1.0, 2.0, 3.0, 3.0]]
    """

    _nd = 1


class ReplicationPad2d(_ReplicationPad):
    """The edge repeated around the last two axes of x (..., H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ReplicationPad2d(1)(dlcore.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    _nd = 2


class ReplicationPad3d(_ReplicationPad):
    """The edge repeated around the last three axes of x (..., D, H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.ReplicationPad3d(1)(dlcore.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    _nd = 3


class CircularPad1d(_CircularPad):
    """Margins from the other end around the last axis of x (..., L); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.CircularPad1d(1)(dlcore.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0, 2.0, 3.0, 1.0]]
    """

    _nd = 1


class CircularPad2d(_CircularPad):
    """Margins from the other end around the last two axes of x (..., H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.CircularPad2d(1)(dlcore.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    _nd = 2


class CircularPad3d(_CircularPad):
    """Margins from the other end around the last three axes of x (..., D, H, W); negative numbers crop.

    >>> import dlcore
    >>> dlcore.nn.CircularPad3d(1)(dlcore.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    _nd = 3
