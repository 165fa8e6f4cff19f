"""Convolutions, transposed convolutions and their gradients on ndarrays."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.geometry import Margin, Padding, Size, plan, plan_transpose
from dlcore.kernels._convert import NDArray, arr, opt, out

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
]

Gradients = tuple[NDArray | None, NDArray | None, NDArray | None]


def _forward(
    op: str,
    nd: int,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    activation: str,
) -> NDArray:
    w = arr(weight)
    st, before, after, di = plan(op, w, stride, padding, dilation, nd)
    return out(_C.conv(arr(x), w, opt(bias), st, before, after, di, groups, activation))


def _backward(
    op: str,
    nd: int,
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    activation: str,
    y: npt.ArrayLike | None,
    needs: tuple[bool, bool, bool],
) -> Gradients:
    w = arr(weight)
    st, before, after, di = plan(op, w, stride, padding, dilation, nd)
    grads = _C.conv_backward(arr(dy), arr(x), w, opt(y), st, before, after, di, groups, activation, *needs)
    dx, dw, db = [None if g is None else out(g) for g in grads]
    return dx, dw, db


def _forward_transpose(
    op: str,
    nd: int,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    stride: Size,
    padding: Margin,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> NDArray:
    geometry = plan_transpose(op, stride, padding, output_padding, dilation, nd)
    return out(_C.conv_transpose(arr(x), arr(weight), opt(bias), *geometry, groups))


def _backward_transpose(
    op: str,
    nd: int,
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size,
    padding: Margin,
    output_padding: Size,
    groups: int,
    dilation: Size,
    needs: tuple[bool, bool, bool],
) -> Gradients:
    geometry = plan_transpose(op, stride, padding, output_padding, dilation, nd)
    grads = _C.conv_transpose_backward(arr(dy), arr(x), arr(weight), *geometry, groups, *needs)
    dx, dw, db = [None if g is None else out(g) for g in grads]
    return dx, dw, db


def conv1d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
) -> NDArray:
    """y[n,o,l] = act(Σ_{c,k} x[n, c, l·stride + k·dilation - padding] w[o,c,k] + b[o]).

    As functional.conv1d.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.conv1d(np.array([[1.0, 2.0, 3.0]]), np.array([[[1.0, 1.0]]])).tolist()
    [[3.0, 5.0]]
    """
    return _forward("conv1d", 1, x, weight, bias, stride, padding, dilation, groups, activation)


def conv2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
) -> NDArray:
    """y[n,o,p,q] = act(Σ_{c,r,s} x[n, c, p·stride + r·dilation - padding, ...] w[o,c,r,s] + b[o]).

    x (N, C, H, W) or (C, H, W), any strides, weight (O, C/groups, R, S), bias (O,). A channels-last view,
    such as `nhwc.transpose(0, 3, 1, 2)`, gives a channels-last result. The rest as functional.conv2d.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.conv2d(np.ones((1, 1, 3, 3)), np.ones((2, 1, 2, 2))).shape
    (1, 2, 2, 2)
    """
    return _forward("conv2d", 2, x, weight, bias, stride, padding, dilation, groups, activation)


def conv3d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
) -> NDArray:
    """y[n,o,z,p,q] = act(Σ_{c,d,r,s} x[n, c, z·stride + d·dilation - padding, ...] w[o,c,d,r,s] + b[o]).

    x (N, C, D, H, W) or (C, D, H, W), any strides, weight (O, C/groups, KD, KH, KW), bias (O,). The rest as
    conv2d.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.conv3d(np.ones((1, 1, 3, 3, 3)), np.ones((2, 1, 2, 2, 2))).shape
    (1, 2, 2, 2, 2)
    """
    return _forward("conv3d", 3, x, weight, bias, stride, padding, dilation, groups, activation)


def conv_transpose1d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> NDArray:
    """y[n, o, l·stride + k·dilation - padding] += x[n,c,l] w[c,o,k], and b[o] once.

    As functional.conv_transpose1d.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.conv_transpose1d(np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0]]])).tolist()
    [[1.0, 12.0, 20.0]]
    """
    return _forward_transpose(
        "conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> NDArray:
    """y[n, o, p·stride + r·dilation - padding, ...] += x[n,c,p,q] w[c,o,r,s], and b[o] once.

    x (N, I, H, W) or (I, H, W), any strides, weight (I, O/groups, R, S), bias (O,). A channels-last view
    gives a channels-last result. The rest as functional.conv_transpose2d.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.conv_transpose2d(np.ones((1, 2, 4, 4)), np.ones((2, 3, 2, 2)), stride=2).shape
    (1, 3, 8, 8)
    """
    return _forward_transpose(
        "conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> NDArray:
    """y[n, o, z·stride + d·dilation - padding, ...] += x[n,c,z,p,q] w[c,o,d,r,s], and b[o] once.

    As functional.conv_transpose3d.

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.conv_transpose3d(np.ones((1, 2, 2, 2, 2)), np.ones((2, 3, 2, 2, 2))).shape
    (1, 3, 3, 3, 3)
    """
    return _forward_transpose(
        "conv_transpose3d", 3, x, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv1d_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
    y: npt.ArrayLike | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients (dx, dweight, dbias) of conv1d, None where `needs` says no; see conv2d_backward."""
    return _backward(
        "conv1d_backward", 1, dy, x, weight, stride, padding, dilation, groups, activation, y, needs
    )


def conv2d_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
    y: npt.ArrayLike | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients (dx, dweight, dbias) of conv2d from dy (N, O, P, Q), None where `needs` says no.

    With an activation, y is conv2d's result. dx has the memory format of x, dweight that of weight.

    >>> import numpy as np, dlcore
    >>> x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> dx, dw, db = dlcore.kernels.conv2d_backward(np.ones((1, 1, 2, 2)), x, w)
    >>> dw.tolist(), db.tolist()
    ([[[[4.0, 4.0], [4.0, 4.0]]]], [4.0])
    """
    return _backward(
        "conv2d_backward", 2, dy, x, weight, stride, padding, dilation, groups, activation, y, needs
    )


def conv3d_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "",
    y: npt.ArrayLike | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients (dx, dweight, dbias) of conv3d, None where `needs` says no; see conv2d_backward."""
    return _backward(
        "conv3d_backward", 3, dy, x, weight, stride, padding, dilation, groups, activation, y, needs
    )


def conv_transpose1d_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients (dx, dweight, dbias) of conv_transpose1d, None where `needs` says no."""
    return _backward_transpose(
        "conv_transpose1d_backward",
        1,
        dy,
        x,
        weight,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        needs,
    )


def conv_transpose2d_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients (dx, dweight, dbias) of conv_transpose2d from dy, None where `needs` says no.

    dx has the memory format of x, dweight that of weight.

    >>> import numpy as np, dlcore
    >>> x, w = np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2))
    >>> dx, dw, db = dlcore.kernels.conv_transpose2d_backward(np.ones((1, 1, 3, 3)), x, w)
    >>> dx.tolist(), db.tolist()
    ([[[[4.0, 4.0], [4.0, 4.0]]]], [9.0])
    """
    return _backward_transpose(
        "conv_transpose2d_backward",
        2,
        dy,
        x,
        weight,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        needs,
    )


def conv_transpose3d_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Size = 1,
    padding: Margin = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients (dx, dweight, dbias) of conv_transpose3d, None where `needs` says no."""
    return _backward_transpose(
        "conv_transpose3d_backward",
        3,
        dy,
        x,
        weight,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        needs,
    )
