"""CTC on ndarrays."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, out

__all__ = ["ctc_loss", "ctc_loss_backward"]


def ctc_loss(
    log_probs: npt.ArrayLike,
    targets: npt.ArrayLike,
    input_lengths: npt.ArrayLike,
    target_lengths: npt.ArrayLike,
    blank: int = 0,
) -> NDArray:
    """-log p(targets) of each sample; log_probs (T, N, C), targets (N, S) or one row of all.

    >>> import numpy as np, dlcore
    >>> lp = np.log(np.full((2, 1, 2), 0.5))
    >>> dlcore.kernels.ctc_loss(lp, [[1]], [2], [1]).round(4).tolist()
    [0.2877]
    """
    return out(
        _C.ctc_forward(arr(log_probs), arr(targets), arr(input_lengths), arr(target_lengths), blank)[0]
    )


def ctc_loss_backward(
    dloss: npt.ArrayLike,
    log_probs: npt.ArrayLike,
    targets: npt.ArrayLike,
    input_lengths: npt.ArrayLike,
    target_lengths: npt.ArrayLike,
    blank: int = 0,
    zero_infinity: bool = False,
) -> NDArray:
    """The gradient by the logits whose log-softmax log_probs is, from dloss (N,)."""
    x, y, il, tl = arr(log_probs), arr(targets), arr(input_lengths), arr(target_lengths)
    loss, alpha = _C.ctc_forward(x, y, il, tl, blank)
    return out(_C.ctc_backward(arr(dloss), x, y, il, tl, loss, alpha, blank, zero_infinity))
