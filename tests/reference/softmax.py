"""Twins of the softmax family."""

import numpy as np


def softmax(x, axis=-1):
    x = np.asarray(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
        return np.asarray(e / e.sum(axis, keepdims=True))


def softmax_backward(dy, y, axis=-1):
    return y * (dy - (dy * y).sum(axis, keepdims=True))


def log_softmax(x, axis=-1):
    x = np.asarray(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        d = x - x.max(axis, keepdims=True, initial=-np.inf)
        return np.asarray(d - np.log(np.exp(d).sum(axis, keepdims=True)))


def log_softmax_backward(dy, y, axis=-1):
    return dy - np.exp(y) * dy.sum(axis, keepdims=True)
