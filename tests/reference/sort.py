"""Twins of the sort family: NaN is the largest, equal elements keep their order."""

import numpy as np


def _order(x, axis, descending):
    x = np.asarray(x)
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # Reversed twice, so that equal elements keep their order.
    back = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    return x.shape[axis] - 1 - back


def sort(x, axis=-1, descending=False):
    i = _order(x, axis, descending)
    return np.take_along_axis(np.asarray(x), i, axis), i


def topk(x, k, axis=-1, largest=True):
    values, i = sort(x, axis, largest)
    return np.take(values, range(k), axis), np.take(i, range(k), axis)


def kthvalue(x, k, axis=-1):
    values, i = sort(x, axis)
    return np.take(values, k - 1, axis), np.take(i, k - 1, axis)


def median(x, axis=-1, skip_nan=False):
    x = np.asarray(x)
    rows = np.moveaxis(x, axis, -1)
    values, index = np.empty(rows.shape[:-1], x.dtype), np.empty(rows.shape[:-1], np.int64)
    for at in np.ndindex(*index.shape):
        row = rows[at]
        nan = np.flatnonzero(row != row)
        if len(nan) and (not skip_nan or len(nan) == len(row)):
            index[at] = nan[0]
        else:
            index[at] = np.argsort(row, kind="stable")[(len(row) - len(nan) - 1) // 2]
        values[at] = row[index[at]]
    return values, index


def searchsorted(sorted, x, right=False):
    side = "right" if right else "left"
    sorted, x = np.asarray(sorted), np.asarray(x)
    if sorted.ndim == 1:
        return np.asarray(np.searchsorted(sorted, x, side))
    out = np.empty(x.shape, np.int64)
    for at in np.ndindex(*x.shape[:-1]):
        out[at] = np.searchsorted(sorted[at], x[at], side)
    return out
