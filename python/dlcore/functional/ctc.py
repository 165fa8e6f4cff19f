"""ctc_loss: the likelihood of a sequence of labels, summed over its alignments with the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = ["ctc_loss"]


def _lengths(name: str, lengths: Any, device: str) -> _C.Array:
    """A tensor, a sequence or a number as an Array of one dimension."""
    a = lengths.array if isinstance(lengths, Tensor) else _C.from_numpy(np.asarray(lengths))
    if a.dtype.kind not in "iu":
        if a.size:
            raise TypeError(f"ctc_loss: {name} must be integers, got {a.dtype}")
        a = _C.cast(a, np.dtype(np.int64))
    if a.dtype == np.uint8:
        a = _C.cast(a, np.dtype(np.int64))
    return _C.to_device(_C.reshape(a, (1,)) if a.ndim == 0 else a, device)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """loss = -log Σ Π_t p_t(a_t), over the alignments a that become the targets once repetitions and then
    blanks are removed.

    log_probs (T, N, C), or (T, C) for one sample: the output of log_softmax, float32 or float64; targets
    (N, S), or all labels one after another (sum of target_lengths,), int64 or int32; lengths (N,), tensors
    or sequences. "mean" divides each loss by its target's length (at least 1), then takes the mean. The loss
    is infinite where the input is too short; `zero_infinity` makes it and its gradient 0.

    The gradient is that of torch: by the logits before log_softmax, as log_softmax's backward leaves it.

    Raises ValueError for shapes, lengths, blank and reduction, IndexError for labels outside [0, C),
    TypeError for dtypes. A. Graves et al.: Connectionist temporal classification (ICML 2006).

    >>> import dlcore
    >>> lp = dlcore.functional.log_softmax(dlcore.zeros(2, 1, 2), -1)
    >>> loss = dlcore.functional.ctc_loss(lp, dlcore.tensor([[1]]), [2], [1])
    >>> round(loss.item(), 4)  # three alignments of four: -log 3/4
    0.2877
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"ctc_loss: reduction must be one of none, mean, sum, got reduction={reduction}")
    x, labels = log_probs.array, targets.array
    single = x.ndim == 2
    if single:
        x = _C.reshape(x, (x.shape[0], 1, x.shape[1]))
    il = _lengths("input_lengths", input_lengths, x.device)
    tl = _lengths("target_lengths", target_lengths, x.device)
    own, alpha = _C.ctc_forward(x, labels, il, tl, blank)
    losses = _C.where(_C.eq(own, np.inf), 0, own) if zero_infinity else own
    n = own.size
    divisor = _C.cast(_C.maximum(tl, 1), x.dtype) if reduction == "mean" else None
    if divisor is not None:
        y = _C.mean(_C.div(losses, divisor))
    elif reduction == "sum":
        y = _C.sum(losses)
    else:
        y = _C.reshape(losses, ()) if single else losses
    shape = log_probs.shape

    def ctc_loss_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array | None, ...]:
        if divisor is not None:
            g = _C.div(_C.div(g, max(n, 1)), divisor)
        g = _C.broadcast_to(_C.reshape(g, (1,)) if g.ndim == 0 else g, (n,))
        return (_C.reshape(_C.ctc_backward(g, x, labels, il, tl, own, alpha, blank, zero_infinity), shape),)

    return record(y, (log_probs,), ctc_loss_backward)
