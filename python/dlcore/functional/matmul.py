"""Matrix products: matmul, linear (with bias and activation fused)."""

from __future__ import annotations

import math

from dlcore import _C
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = ["bilinear", "linear", "matmul"]


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """C = A B over the last two axes; 1-d operands and batch axes as in NumPy.

    a (..., M, K), b (..., K, N) -> (..., M, N); float32 or float64, both of one dtype.

    Raises ValueError for shapes that do not match, TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> dlcore.functional.matmul(dlcore.tensor([[1.0, 2.0]]), dlcore.tensor([[3.0], [4.0]])).item()
    11.0
    """
    x, y = a.array, b.array

    def matmul_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        # As matrices throughout: 1-d operands gain the axis that matmul gave them.
        X = _C.reshape(x, (1, x.shape[0])) if x.ndim == 1 else x
        Y = _C.reshape(y, (y.shape[0], 1)) if y.ndim == 1 else y
        shape = g.shape
        if x.ndim == 1:
            shape = (*shape, 1) if y.ndim == 1 else (*shape[:-1], 1, shape[-1])
            if y.ndim == 1:
                shape = (*g.shape, 1, 1)
        elif y.ndim == 1:
            shape = (*shape, 1)
        G = _C.reshape(g, shape)
        da = db = None
        if needs[0]:
            da = _C.reshape(_C.sum_to(_C.matmul(G, _C.transpose(Y, -1, -2)), X.shape), x.shape)
        if needs[1]:
            if Y.ndim == 2 and X.ndim > 2:  # one product over all rows instead of a sum of batched ones
                n = math.prod(X.shape[:-1])
                rows = _C.reshape(X, (n, X.shape[-1]))
                db = _C.matmul(_C.transpose(rows, 0, 1), _C.reshape(G, (n, G.shape[-1])))
            else:
                db = _C.sum_to(_C.matmul(_C.transpose(X, -1, -2), G), Y.shape)
            db = _C.reshape(db, y.shape)
        return da, db

    return record(_C.matmul(x, y), (a, b), matmul_backward)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "") -> Tensor:
    """y = act(x Wᵀ + b).

    x (..., in_features), weight (out_features, in_features), bias (out_features,) -> (..., out_features).
    `activation` is fused into the product's epilogue: "", "relu", "sigmoid" or "tanh".

    Raises ValueError for shapes that do not match, TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> x, w, b = dlcore.tensor([1.0, 2.0]), dlcore.tensor([[3.0, 4.0]]), dlcore.tensor([0.5])
    >>> dlcore.functional.linear(x, w, b).tolist()
    [11.5]
    """
    xa, wa = x.array, weight.array
    y = _C.linear(xa, wa, None if bias is None else bias.array, activation)

    def linear_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        if activation:
            g = _C.activation_backward(g, y, activation)
        n = math.prod(xa.shape[:-1])
        rows = _C.reshape(g, (n, wa.shape[0]))
        dx = _C.reshape(_C.matmul(rows, wa), xa.shape) if needs[0] else None
        dw = None
        if needs[1]:
            columns = _C.reshape(xa, (n, wa.shape[1]))
            if wa.strides[0] == 1:  # a transposed view: its gradient lies as it does
                dw = _C.transpose(_C.matmul(_C.transpose(columns, 0, 1), rows), 0, 1)
            else:
                dw = _C.matmul(_C.transpose(rows, 0, 1), columns)
        if bias is None:
            return dx, dw
        return dx, dw, _C.sum_to(rows, (wa.shape[0],)) if needs[2] else None

    return record(y, (x, weight) if bias is None else (x, weight, bias), linear_backward)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[o] = Σᵢ Σⱼ x₁[i] W[o, i, j] x₂[j] + b[o].

    x₁ (..., in1), x₂ (..., in2), weight (out, in1, in2), bias (out,) -> (..., out).

    Raises ValueError for shapes that do not match, TypeError for mixed or integer dtypes.

    >>> import dlcore
    >>> one, two = dlcore.tensor([1.0, 2.0]), dlcore.tensor([[[3.0, 4.0], [5.0, 6.0]]])
    >>> dlcore.functional.bilinear(one, one, two).tolist()
    [45.0]
    """
    lead, shape = input1.shape[:-1], weight.shape
    if input1.ndim < 1 or input2.ndim < 1 or len(shape) != 3 or lead != input2.shape[:-1]:
        raise ValueError(
            "bilinear: the inputs must have the same leading axes and weight must be 3-d, "
            f"got input1={input1.array.shape}, input2={input2.shape}, weight={shape}"
        )
    if (input1.shape[-1], input2.shape[-1]) != shape[1:]:
        raise ValueError(
            f"bilinear: in1 and in2 must be {shape[1:]} as in weight, "
            f"got input1={input1.shape}, input2={input2.shape}"
        )
    n = math.prod(lead)
    left = matmul(input1.reshape(n, shape[1]), weight)  # (out, n, in2)
    y = (left * input2.reshape(n, shape[2])).sum(-1).transpose(0, 1).reshape(*lead, shape[0])
    return y if bias is None else y + bias
