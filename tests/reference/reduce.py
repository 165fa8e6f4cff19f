"""Twins of the reduce family."""

import numpy as np


def integer_sum(x, axis=None, keepdims=False):
    return np.sum(x, axis, keepdims=keepdims)


def sumsq(x, axis=None, keepdims=False):
    return np.sum(x * x, axis, keepdims=keepdims)


def var(x, axis=None, correction=1.0, keepdims=False):
    return np.var(x, axis, ddof=correction, keepdims=keepdims)


def sum_to(x, shape):
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if x.shape[lead + i] != n)
    return np.sum(x, axes).reshape(shape)
