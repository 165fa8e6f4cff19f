"""cross_entropy and nll_loss, forward and backward, on ndarrays."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, opt, out
from dlcore.tensor import as_array

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "multilabel_margin_loss",
    "multilabel_margin_loss_backward",
    "nll_loss",
    "nll_loss_backward",
]


def cross_entropy(
    x: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> NDArray:
    """-sum_c w_c q_c log softmax(x)_c: logits (N, C, ...), integer labels (N, ...) or probabilities of x's
    shape.

    Raises IndexError naming the first label out of range, ValueError for shapes, TypeError for dtypes.

    >>> import numpy as np, dlcore
    >>> float(dlcore.kernels.cross_entropy(np.array([[0.0, 1e30]]), np.array([0])))
    1e+30
    """
    return out(
        _C.cross_entropy_forward(arr(x), arr(target), opt(weight), reduction, ignore_index, label_smoothing)[
            0
        ]
    )


def cross_entropy_backward(
    dloss: npt.ArrayLike,
    x: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> NDArray:
    """dx from the gradient of the loss: (N, ...) for reduction "none", one number otherwise."""
    a, w = arr(x), opt(weight)
    _, labels, stats, divisor = _C.cross_entropy_forward(
        a, arr(target), w, reduction, ignore_index, label_smoothing
    )
    g = as_array(dloss, a.dtype)
    return out(
        _C.cross_entropy_backward(g, a, labels, w, stats, divisor, reduction, ignore_index, label_smoothing)
    )


def nll_loss(
    x: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> NDArray:
    """-w_t x_t, t being each sample's label and x (N, C, ...) log-probabilities.

    >>> import numpy as np, dlcore
    >>> float(dlcore.kernels.nll_loss(np.array([[-1.0, -2.0]]), np.array([1])))
    2.0
    """
    return out(
        _C.cross_entropy_forward(arr(x), arr(target), opt(weight), reduction, ignore_index, 0.0, True)[0]
    )


def nll_loss_backward(
    dloss: npt.ArrayLike,
    x: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> NDArray:
    """dx from the gradient of the loss: zero but for each sample's label."""
    a, w = arr(x), opt(weight)
    _, labels, stats, divisor = _C.cross_entropy_forward(
        a, arr(target), w, reduction, ignore_index, 0.0, True
    )
    g = as_array(dloss, a.dtype)
    return out(_C.cross_entropy_backward(g, a, labels, w, stats, divisor, reduction, ignore_index, 0.0, True))


def multilabel_margin_loss(x: npt.ArrayLike, target: npt.ArrayLike) -> NDArray:
    """The sum over labels t and other classes c of max(0, 1 - (x_t - x_c)) / C, a value a row."""
    return out(_C.multilabel_margin_forward(arr(x), arr(target)))


def multilabel_margin_loss_backward(dloss: npt.ArrayLike, x: npt.ArrayLike, target: npt.ArrayLike) -> NDArray:
    """dx from the gradient of each row's loss."""
    return out(_C.multilabel_margin_backward(arr(dloss), arr(x), arr(target)))
