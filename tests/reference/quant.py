"""Twins of the quant family."""

import numpy as np


def quant_widen(weight, scale=None, dtype=None):
    weight = np.ascontiguousarray(weight)
    if scale is None:
        wide = (weight.view("<u2").astype(np.uint32) << 16).view(np.float32)
        return wide.astype(np.float32 if dtype is None else dtype)
    return weight.view(np.int8).astype(scale.dtype) * scale[:, None]


def quant_linear(x, weight, scale=None, bias=None):
    y = x @ quant_widen(weight, scale, x.dtype).T
    return y if bias is None else y + bias
