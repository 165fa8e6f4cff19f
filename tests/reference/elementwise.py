"""Twins of the elementwise family."""

import math

import numpy as np

from tests.reference.matmul import activation


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x).astype(x.dtype) if x.size else x


def relu(x):
    return activation(x, "relu")


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return x * x.dtype.type(0.5) * (1 + erf(x * x.dtype.type(math.sqrt(0.5))))


def gelu_tanh(x):
    return x * (1 + np.tanh(x.dtype.type(math.sqrt(2 / math.pi)) * (x + x.dtype.type(0.044715) * x**3))) / 2


def softplus(x, p=1.0, q=20.0):
    return np.where(x * p > q, x, np.log1p(np.exp(np.minimum(x * p, q))) / p).astype(x.dtype)


def leaky_relu(x, p=0.01):
    return np.where(x > 0, x, x * x.dtype.type(p))


def elu(x, p=1.0, q=1.0):
    return (q * np.where(x > 0, x, p * np.expm1(np.minimum(x, 0)))).astype(x.dtype)


def hardsigmoid(x):
    return np.clip(x + 3, 0, 6) / 6


def hardswish(x):
    return x * hardsigmoid(x)


def mish(x):
    return x * np.tanh(softplus(x))


def softsign(x):
    return x / (1 + np.abs(x))


def logsigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def logistic_loss(a, b):
    return (1 - b) * a - logsigmoid(a)


def logistic_slope(a, b):
    return sigmoid(a) - b


def threshold(x, p=0.0, q=0.0):
    return np.where(x <= p, x.dtype.type(q), x)


def hardshrink(x, p=0.5):
    return np.where(np.abs(x) <= x.dtype.type(p), x.dtype.type(0), x)


def huber(x, p=1.0, q=1.0):
    p, q, size = x.dtype.type(p), x.dtype.type(q), np.abs(x)
    return q * np.where(size <= p, x * x / 2, p * (size - p / 2))


def softshrink(x, p=0.5):
    p = x.dtype.type(p)
    return np.where(x > p, x - p, np.where(x < -p, x + p, x * 0))


def clamp(x, p=-np.inf, q=np.inf):
    return np.clip(x, x.dtype.type(p), x.dtype.type(q))


def hardtanh(x, p=-1.0, q=1.0):
    return clamp(x, p, q)


def rsqrt(x):
    return 1 / np.sqrt(x)


def full(shape, value):
    return np.full(shape, value)
