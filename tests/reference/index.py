"""Twins of the index family."""

import numpy as np


def index_select(x, dim, index):
    return np.take(x, index, dim)


def index_select_backward(dy, dim, index, size):
    shape = list(dy.shape)
    shape[dim] = size
    return index_add(np.zeros(shape, dy.dtype), dim, index, dy)


def index_add(x, dim, index, source):
    y = np.array(x)
    rows = np.moveaxis(y, dim, 0)
    for i, row in zip(index, np.moveaxis(source, dim, 0)):
        rows[i] += row
    return y


def gather(x, dim, index):
    y = np.empty(index.shape, x.dtype)
    for place in np.ndindex(*index.shape):
        source = list(place)
        source[dim] = index[place]
        y[place] = x[tuple(source)]
    return y


def gather_backward(dy, dim, index, shape):
    return scatter_add(np.zeros(shape, dy.dtype), dim, index, dy)


def _scatter(x, dim, index, src, add):
    y = np.array(x)
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[dim] = index[place]
        y[tuple(target)] = src[place] + (y[tuple(target)] if add else 0)
    return y


def scatter(x, dim, index, src):
    return _scatter(x, dim, index, src, False)


def scatter_add(x, dim, index, src):
    return _scatter(x, dim, index, src, True)


def tril(x, diagonal=0):
    return np.tril(x, diagonal)


def triu(x, diagonal=0):
    return np.triu(x, diagonal)
