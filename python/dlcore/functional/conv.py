"""Convolutions (with bias and activation fused) and transposed convolutions, in one to three dimensions."""

from __future__ import annotations

from dlcore import _C
from dlcore.autograd import is_grad_enabled, record
from dlcore.geometry import Margin, Padding, Size, plan, plan_transpose
from dlcore.tensor import Tensor

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


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
    b = None if bias is None else bias.array
    keep = not is_grad_enabled()  # weights that stay as they are may stay packed
    y = _C.conv(xa, wa, b, st, before, after, di, groups, activation, keep)
    out = y if activation else None

    def conv_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        need_b = len(needs) > 2 and needs[2]
        grads = _C.conv_backward(
            g, xa, wa, out, st, before, after, di, groups, activation, needs[0], needs[1], need_b
        )
        return tuple(grads[: len(needs)])

    return record(y, (x, weight) if bias is None else (x, weight, bias), conv_backward)


def _array(t: Tensor | None) -> _C.Array | None:
    return None if t is None else t.array


def conv2d_folded(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    activation: str,
    norm: tuple[Tensor, Tensor, Tensor | None, Tensor | None, float] | None,
    residual: Tensor | None,
) -> Tensor:
    """act(norm(conv2d(x)) + residual) as one kernel, for inference: nothing is recorded. `norm` is a batch
    normalisation's running mean and variance, weight, bias and eps.
    """
    st, before, after, di = plan("conv2d", weight.array, stride, padding, dilation, 2)
    b, r = _array(bias), _array(residual)
    folded = None
    if norm is not None:
        mean, variance, scale, shift, eps = norm
        folded = (mean.array, variance.array, _array(scale), _array(shift), eps)
    y = _C.conv(x.array, weight.array, b, st, before, after, di, groups, activation, True, folded, r)
    return Tensor(y)


def _conv_transpose(
    op: str,
    nd: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Margin,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> Tensor:
    xa, wa = x.array, weight.array
    geometry = plan_transpose(op, stride, padding, output_padding, dilation, nd)
    y = _C.conv_transpose(xa, wa, None if bias is None else bias.array, *geometry, groups)

    def conv_transpose_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        need_b = len(needs) > 2 and needs[2]
        grads = _C.conv_transpose_backward(g, xa, wa, *geometry, groups, needs[0], needs[1], need_b)
        return tuple(grads[: len(needs)])

    return record(y, (x, weight) if bias is None else (x, weight, bias), conv_transpose_backward)


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


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
) -> Tensor:
    """y[n,o,z,p,q] = act(Σ_{c,d,r,s} x[n, c, z·stride + d·dilation - padding, ...] w[o,c,d,r,s] + b[o]).

    input (N, C, D, H, W) or (C, D, H, W), weight (O, C/groups, KD, KH, KW), bias (O,) -> (N, O, D', H', W')
    or (O, D', H', W'), channels-last in memory where input is. The rest as conv2d. Ji et al., "3D
    Convolutional Neural Networks for Human Action Recognition", 2013.

    Raises ValueError for shapes and geometry that do not fit, TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> x, w = dlcore.ones(1, 1, 4, 4, 4), dlcore.ones(2, 1, 3, 3, 3)
    >>> dlcore.functional.conv3d(x, w, padding="same").shape
    (1, 2, 4, 4, 4)
    """
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups, activation)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """y[n, o, l·stride + k·dilation - padding] += x[n,c,l] w[c,o,k], and b[o] once.

    input (N, I, L) or (I, L), weight (I, O/groups, K), bias (O,) -> (N, O, L'), L' = (L - 1) stride - 2
    padding + dilation (K - 1) + output_padding + 1. The rest as conv_transpose2d.

    >>> import dlcore
    >>> x, w = dlcore.tensor([[1.0, 2.0]]), dlcore.tensor([[[1.0, 10.0]]])
    >>> dlcore.functional.conv_transpose1d(x, w).tolist()
    [[1.0, 12.0, 20.0]]
    """
    return _conv_transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """y[n, o, p·stride + r·dilation - padding, ...] += x[n,c,p,q] w[c,o,r,s], and b[o] once.

    input (N, I, H, W) or (I, H, W), weight (I, O/groups, R, S), bias (O,) -> (N, O, H', W'), H' = (H - 1)
    stride - 2 padding + dilation (R - 1) + output_padding + 1; channels-last in memory where input is.
    `padding` is a number, one an axis, or ((top, bottom), (left, right)). The gradient of conv2d with respect
    to its input; Zeiler et al., "Deconvolutional Networks", 2010.

    Raises ValueError for shapes that do not fit, for an output_padding that is smaller than neither stride
    nor dilation and for an empty result; TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> x, w = dlcore.ones(1, 8, 7, 7), dlcore.ones(8, 3, 4, 4)
    >>> dlcore.functional.conv_transpose2d(x, w, stride=2, padding=1).shape
    (1, 3, 14, 14)
    """
    return _conv_transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """y[n, o, z·stride + d·dilation - padding, ...] += x[n,c,z,p,q] w[c,o,d,r,s], and b[o] once.

    input (N, I, D, H, W) or (I, D, H, W), weight (I, O/groups, KD, KH, KW), bias (O,) -> (N, O, D', H', W').
    The rest as conv_transpose2d.

    >>> import dlcore
    >>> x, w = dlcore.ones(1, 2, 3, 3, 3), dlcore.ones(2, 5, 2, 2, 2)
    >>> dlcore.functional.conv_transpose3d(x, w, stride=2).shape
    (1, 5, 6, 6, 6)
    """
    return _conv_transpose(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
