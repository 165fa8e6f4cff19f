"""Twins of the matmul family."""

import numpy as np


def matmul(a, b):
    return np.matmul(a, b)


def activation(x, name):
    if name == "relu":
        return np.where(x < 0, x.dtype.type(0), x)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if name == "tanh":
        return np.tanh(x)
    return x


def linear(x, weight, bias=None, act=""):
    y = x @ weight.T
    return activation(y if bias is None else y + bias, act)
