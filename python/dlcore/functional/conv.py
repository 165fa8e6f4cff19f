"""Convolutions: conv1d, conv2d (with bias and activation fused)."""

from __future__ import annotations

from dlcore import _C
from dlcore.autograd import record
from dlcore.geometry import Padding, Size, plan
from dlcore.tensor import Tensor

__all__ = ["conv1d", "conv2d"]


def _conv(
    op: str,
    nd: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    activation: str,
) -> Tensor:
    xa, wa = x.array, weight.array
    st, before, after, di = plan(op, wa, stride, padding, dilation, nd)
    y = _C.conv(xa, wa, None if bias is None else bias.array, st, before, after, di, groups, activation)
    out = y if activation else None

    def conv_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        need_b = len(needs) > 2 and needs[2]
        grads = _C.conv_backward(
            g, xa, wa, out, st, before, after, di, groups, activation, needs[0], needs[1], need_b
        )
        return tuple(grads[: len(needs)])

    return record(y, (x, weight) if bias is None else (x, weight, bias), conv_backward)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
) -> Tensor:
    """y[n,o,l] = act(Σ_{c,k} x[n, c, l·stride + k·dilation - padding] w[o,c,k] + b[o]).

    input (N, C, L) or (C, L), weight (O, C/groups, K), bias (O,) -> (N, O, L') or (O, L'), in input's memory
    format.
    `padding` is a number, "same", "valid", or ((before, after),).

    Raises ValueError for shapes and geometry that do not fit, TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> x, w = dlcore.tensor([[1.0, 2.0, 3.0]]), dlcore.tensor([[[1.0, 1.0]]])
    >>> dlcore.functional.conv1d(x, w).numpy().tolist()
    [[3.0, 5.0]]
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups, activation)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
) -> Tensor:
    """y[n,o,p,q] = act(Σ_{c,r,s} x[n, c, p·stride + r·dilation - padding, ...] w[o,c,r,s] + b[o]).

    input (N, C, H, W) or (C, H, W), weight (O, C/groups, R, S), bias (O,) -> (N, O, P, Q) or (O, P, Q),
    channels-last in memory where input is. `padding` is a number, one an axis, "same", "valid", or
    ((top, bottom), (left, right)).
    `activation` is fused into the kernel: "", "relu", "sigmoid" or "tanh".

    Raises ValueError for shapes and geometry that do not fit, TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> x, w = dlcore.tensor([[[1.0, 2.0], [3.0, 4.0]]]), dlcore.tensor([[[[1.0, 1.0]]]])
    >>> dlcore.functional.conv2d(x, w).numpy().tolist()
    [[[3.0], [7.0]]]
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups, activation)
