"""Weights in fewer bits, for decoding, which is bound by how fast they can be read.

int8 keeps a row of a weight as w ≈ s q, s = max |w| / 127, q = round(w / s): off by at most s / 2 each.
bfloat16 keeps 8 bits of each mantissa: a relative error of at most 2⁻⁸. Activations stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dlcore import _C, nn
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = ["QuantizedLinear", "quantize_dynamic", "quantized_linear"]

_Model = TypeVar("_Model", bound=nn.Module)
_DTYPES = {"int8": "int8", "qint8": "int8", "bfloat16": "bfloat16"}


def quantized_linear(
    x: Tensor, weight: Tensor, scale: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """y = x Wᵀ + b, W from the bytes `weight`, uint8: int8 (out, in) times `scale` (out,), or without one
    bfloat16 (out, 2 in). x (..., in) -> (..., out); the gradient reaches x only.

    Raises ValueError for shapes that do not match, TypeError for other dtypes.
    """
    w, s = weight.array, None if scale is None else scale.array
    y = _C.quant_linear(x.array, w, s, None if bias is None else bias.array)

    def quantized_linear_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (_C.matmul(g, _C.quant_widen(w, s, g.dtype)),)

    return record(y, (x,), quantized_linear_backward)


class QuantizedLinear(nn.Module):
    """y = x Wᵀ + b from a weight (out, in) and a bias, the weight kept as `dtype`: "int8" or "bfloat16".

    Raises ValueError for another dtype and for weights that are not finite.

    >>> import dlcore
    >>> layer = QuantizedLinear(dlcore.tensor([[1.0, -0.5]]), None, "bfloat16")
    >>> layer(dlcore.tensor([[2.0, 2.0]])).tolist()
    [[1.0]]
    """

    weight: Tensor
    scale: Tensor | None
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: str = "int8") -> None:
        super().__init__()
        if dtype not in ("int8", "bfloat16"):
            raise ValueError(f"QuantizedLinear: dtype must be 'int8' or 'bfloat16', got {dtype!r}")
        self.dtype = dtype
        values = weight.detach().numpy()
        self.out_features, self.in_features = values.shape
        if not np.isfinite(values).all():
            raise ValueError("QuantizedLinear: the weights must be finite")
        scale = None
        if dtype == "int8":
            largest = np.abs(values).max(1, initial=0.0)
            factors = np.where(largest > 0, largest / 127, 1).astype(values.dtype)
            whole = np.clip(np.rint(values / factors[:, None]), -127, 127)
            kept = np.ascontiguousarray(whole.astype(np.int8)).view(np.uint8)
            scale = _tensor(factors)
        else:
            bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
            rounded = bits + (0x7FFF + (bits >> 16 & 1))  # to the nearest, ties to even
            kept = (rounded >> 16).astype("<u2").view(np.uint8)
        self.register_buffer("weight", _tensor(kept))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return quantized_linear(x, self.weight, self.scale, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, dtype={self.dtype}"
        )

    if TYPE_CHECKING:
        __call__ = forward


def _tensor(values: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(_C.clone(_C.from_numpy(np.ascontiguousarray(values))))


def quantize_dynamic(
    model: _Model, qconfig_spec: Iterable[Any] | None = None, dtype: Any = "int8", inplace: bool = False
) -> _Model:
    """The model in eval mode with its linear layers (GPT-2's Conv1D too) kept as "int8" or "bfloat16"; a copy
    unless `inplace`. `qconfig_spec` restricts that to the classes, or names of submodules, that it lists.

    A linear layer that shares its weight with an embedding gets bytes of its own; the embedding stays.

    Raises ValueError for another dtype and for weights that are not finite.

    >>> import dlcore
    >>> quantize_dynamic(dlcore.nn.Sequential(dlcore.nn.Linear(3, 2)))[0]
    QuantizedLinear(in_features=3, out_features=2, bias=True, dtype=int8)
    """
    name = str(getattr(dtype, "name", None) or str(dtype).removeprefix("torch."))
    if name not in _DTYPES:
        raise ValueError(f"quantize_dynamic: dtype must be 'int8' or 'bfloat16', got {dtype!r}")
    wanted = None if qconfig_spec is None else set(qconfig_spec)
    model = model if inplace else copy.deepcopy(model)

    def visit(module: nn.Module, prefix: str) -> None:
        child: Any
        for key, child in list(module.named_children()):
            path = prefix + key
            transposed = type(child).__name__ == "Conv1D"
            if type(child) is nn.Linear or transposed:
                if wanted is None or type(child) in wanted or path in wanted:
                    weight = child.weight.detach()
                    rows = weight.transpose(0, 1) if transposed else weight
                    setattr(module, key, QuantizedLinear(rows, child.bias, _DTYPES[name]))
            else:
                visit(child, path + ".")

    visit(model, "")
    return model.eval()
