"""Twins of the loss family."""

import numpy as np

from tests.reference.softmax import log_softmax


def reduce(loss, divisor, reduction):
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return loss.sum() / loss.dtype.type(divisor)


def one_hot(target, classes, axis, ignore_index, dtype):
    """(N, C, ...) of zeros and ones; a row of zeros where the label is ignored."""
    index = np.arange(classes).reshape((-1,) + (1,) * (target.ndim - axis))
    hot = np.expand_dims(target, axis) == index
    return (hot & np.expand_dims(target != ignore_index, axis)).astype(dtype)


def losses(logp, target, weight, reduction, ignore_index, smoothing):
    axis = 0 if logp.ndim == 1 else 1
    classes = logp.shape[axis]
    w = np.ones(classes, logp.dtype) if weight is None else weight
    w = w.reshape((-1,) + (1,) * (logp.ndim - axis - 1))
    if target.dtype.kind == "f":
        q = target * (1 - smoothing) + smoothing / classes
        loss = -(w * q * logp).sum(axis)
        return reduce(loss, loss.size, reduction)
    hot = one_hot(target, classes, axis, ignore_index, logp.dtype)
    counts = hot.any(axis) if classes else np.zeros(target.shape, bool)
    # An ignored sample's logits may be anything.
    q = (1 - smoothing) * hot * w + np.expand_dims(counts, axis) * (smoothing / max(classes, 1)) * w
    loss = -np.where(q == 0, 0, q * np.where(q == 0, 0, logp)).sum(axis)
    return reduce(np.asarray(loss, logp.dtype), (hot * w).sum(), reduction)


def cross_entropy(x, target, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0):
    logp = log_softmax(x, 0 if x.ndim == 1 else 1)
    return losses(logp, target, weight, reduction, ignore_index, label_smoothing)


def nll_loss(x, target, weight=None, reduction="mean", ignore_index=-100):
    return losses(x, target, weight, reduction, ignore_index, 0.0)


def multilabel_margin_loss(x, target):
    rows, labels = np.atleast_2d(x), np.atleast_2d(target)
    loss = np.zeros(len(rows), x.dtype)
    for r, (row, t) in enumerate(zip(rows, labels)):
        t = t[: np.argmin(t)] if (t < 0).any() else t
        others = np.delete(row, t)
        loss[r] = sum(np.maximum(0, 1 - row[k] + others).sum() for k in t) / x.dtype.type(len(row))
    return loss if x.ndim == 2 else loss.reshape(())


def multilabel_margin_loss_backward(dloss, x, target):
    rows, labels = np.atleast_2d(x), np.atleast_2d(target)
    dx = np.zeros_like(rows)
    for r, (row, t) in enumerate(zip(rows, labels)):
        t = t[: np.argmin(t)] if (t < 0).any() else t
        g = np.atleast_1d(dloss)[r] / x.dtype.type(len(row))
        others = np.setdiff1d(np.arange(len(row)), t)
        for k in t:
            breaks = others[1 - row[k] + row[others] > 0]
            dx[r, breaks] += g
            dx[r, k] -= g * len(breaks)
    return dx.reshape(x.shape)
