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


def _running(x, axis, better):
    x = np.moveaxis(np.asarray(x), axis, 0)
    values, index = np.empty_like(x), np.zeros(x.shape, np.int64)
    for k in range(len(x)):
        wins = (x[k] != x[k]) | better(x[k], values[k - 1]) if k else np.ones(x.shape[1:], bool)
        values[k] = np.where(wins, x[k], values[k - 1])
        index[k] = np.where(wins, k, index[k - 1])
    return np.moveaxis(values, 0, axis), np.moveaxis(index, 0, axis)


def cummax(x, axis):
    return _running(x, axis, np.greater_equal)


def cummin(x, axis):
    return _running(x, axis, np.less_equal)


def logcumsumexp(x, axis):
    return np.logaddexp.accumulate(x, axis)
