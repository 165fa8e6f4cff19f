"""Linear layers, and the two that only reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlcore import functional as F
from dlcore.nn import init
from dlcore.nn.lazy import LazyModuleMixin
from dlcore.nn.module import Module, Parameter, UninitializedParameter, empty_parameter, size
from dlcore.tensor import DTypeLike, Tensor

__all__ = ["Bilinear", "Flatten", "Identity", "LazyLinear", "Linear", "Unflatten"]


class Identity(Module):
    """y = x, whatever the constructor's arguments.

    >>> import dlcore
    >>> dlcore.nn.Identity(54, unused=True)(dlcore.tensor([1.0])).item()
    1.0
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input

    if TYPE_CHECKING:
        __call__ = forward


class Linear(Module):
    """y = x Wᵀ + b.

    x (..., in_features) -> (..., out_features); weight (out_features, in_features) and bias (out_features,)
    are drawn from U(-k, k), k = 1 / sqrt(in_features).

    Raises TypeError for sizes that are not integers, ValueError for negative ones and inputs that do not
    match.

    >>> import dlcore
    >>> dlcore.nn.Linear(20, 30)(dlcore.tensor([[0.0] * 20] * 4)).shape
    (4, 30)
    """

    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.in_features = size("Linear", "in_features", in_features)
        self.out_features = size("Linear", "out_features", out_features)
        self.weight = empty_parameter((self.out_features, self.in_features), dtype, device)
        if bias:
            self.bias = empty_parameter((self.out_features,), dtype, device)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(
            self.weight, a=math.sqrt(5)
        )  # the same as U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def forward_activated(self, input: Tensor, activation: str) -> Tensor:
        """The forward with the activation that follows fused into it (Sequential)."""
        return F.linear(input, self.weight, self.bias, activation)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )

    if TYPE_CHECKING:
        __call__ = forward


class LazyLinear(LazyModuleMixin, Linear):
    """A Linear whose in_features the first input decides; it is a Linear from then on.

    >>> import dlcore
    >>> layer = dlcore.nn.LazyLinear(3)
    >>> layer(dlcore.tensor([[1.0, 2.0]])).shape, layer
    ((1, 3), Linear(in_features=2, out_features=3, bias=True))
    """

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: str | None = None, dtype: DTypeLike = None
    ) -> None:
        Module.__init__(self)
        self.in_features = 0
        self.out_features = size("LazyLinear", "out_features", out_features)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)
        else:
            self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        fresh = False
        if isinstance(self.weight, UninitializedParameter):
            fresh = True
            self.weight.materialize((self.out_features, input.shape[-1]))
            if isinstance(self.bias, UninitializedParameter):
                self.bias.materialize((self.out_features,))
        if self.in_features == 0:
            self.in_features = self.weight.shape[-1]
        if fresh:
            self.reset_parameters()


class Bilinear(Module):
    """y = x₁ᵀ A x₂ + b.

    x₁ (..., in1_features), x₂ (..., in2_features) -> (..., out_features); weight (out_features, in1_features,
    in2_features), bias (out_features,).

    >>> import dlcore
    >>> dlcore.nn.Bilinear(2, 3, 4).weight.shape
    (4, 2, 3)
    """

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.in1_features = size("Bilinear", "in1_features", in1_features)
        if self.in1_features == 0:
            raise ValueError("Bilinear: in1_features must be > 0, got 0")
        self.in2_features = size("Bilinear", "in2_features", in2_features)
        self.out_features = size("Bilinear", "out_features", out_features)
        self.weight = empty_parameter(
            (self.out_features, self.in1_features, self.in2_features), dtype, device
        )
        if bias:
            self.bias = empty_parameter((self.out_features,), dtype, device)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )

    if TYPE_CHECKING:
        __call__ = forward


class Flatten(Module):
    """The axes from start_dim to end_dim as one; a view where the layout allows it.

    >>> import dlcore
    >>> dlcore.nn.Flatten()(dlcore.tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"

    if TYPE_CHECKING:
        __call__ = forward


class Unflatten(Module):
    """Axis `dim` as the axes of `unflattened_size`, of which one may be -1.

    >>> import dlcore
    >>> dlcore.nn.Unflatten(1, (2, 2))(dlcore.tensor([[1.0, 2.0, 3.0, 4.0]])).shape
    (1, 2, 2)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim must be an int, got {type(dim).__name__}")
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                f"Unflatten: unflattened_size must be a tuple, got {type(unflattened_size).__name__}"
            )
        for i, n in enumerate(unflattened_size):
            if not isinstance(n, int):
                raise TypeError(f"Unflatten: unflattened_size must hold ints, got {type(n).__name__} at {i}")
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        shape = input.shape
        if not -len(shape) <= self.dim < len(shape):
            raise IndexError(
                f"unflatten: dim must be an axis of the input, got dim={self.dim}, input={shape}"
            )
        d = self.dim % len(shape)
        sizes = list(self.unflattened_size)
        known = math.prod(n for n in sizes if n != -1)
        if sizes.count(-1) == 1 and known and shape[d] % known == 0:
            sizes[sizes.index(-1)] = shape[d] // known
        if -1 in sizes or math.prod(sizes) != shape[d]:
            raise ValueError(
                f"unflatten: sizes must multiply to input.shape[{d}], got {tuple(sizes)}, input={shape}"
            )
        return input.reshape(shape[:d] + tuple(sizes) + shape[d + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"

    if TYPE_CHECKING:
        __call__ = forward
