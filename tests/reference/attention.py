"""Twins of the attention family."""

import numpy as np

from tests.reference.dropout import words


def _heads(x, layout):
    return np.swapaxes(x, -2, -3) if layout == "bthd" else np.asarray(x)


def _keep(shape, p, seed, offset, dtype):
    if p == 0:
        return np.ones(shape, dtype)
    threshold = int(p * 2**32 + 0.5)
    keep = words(int(np.prod(shape)), seed, offset).astype(np.uint64) >= threshold
    return np.where(keep.reshape(shape), 0.0 if p == 1 else 1 / (1 - p), 0.0).astype(dtype)


def _weights(q, k, mask, lengths, causal, scale):
    """The scores (B, Hq, Tq, Tk), -inf where masked, and their softmax, 0 in rows without a key."""
    Tq, Tk = q.shape[-2], k.shape[-2]
    scale = 1 / np.sqrt(max(1, q.shape[-1])) if scale is None else scale
    s = (q * q.dtype.type(scale)) @ np.swapaxes(k, -1, -2)
    with np.errstate(invalid="ignore"):
        if mask is not None:
            s = s + (np.where(mask, 0, -np.inf).astype(s.dtype) if mask.dtype == bool else mask)
        if lengths is not None:
            s = np.where(np.arange(Tk) < np.asarray(lengths)[:, None, None, None], s, -np.inf)
        if causal:
            s = np.where(np.arange(Tk) <= np.arange(Tq)[:, None], s, -np.inf)
        top = s.max(-1, keepdims=True, initial=-np.inf)
        e = np.exp(s - np.where(np.isneginf(top), 0, top))
        total = e.sum(-1, keepdims=True)
        p = np.where(total == 0, 0, e / np.where(total == 0, 1, total))
    return s, p.astype(s.dtype)


def attention(
    q, k, v, mask=None, lengths=None, causal=False, scale=None, dropout=0.0, seed=0, offset=0, return_lse=False,
    layout="bhtd",
):  # fmt: skip
    q, k, v = (_heads(x, layout) for x in (q, k, v))
    k, v = _expand(q, k), _expand(q, v)
    s, p = _weights(q, k, mask, lengths, causal, scale)
    o = _heads((p * _keep(p.shape, dropout, seed, offset, p.dtype)) @ v, layout)
    if not return_lse:
        return o
    with np.errstate(divide="ignore", invalid="ignore"):
        top = s.max(-1, initial=-np.inf)
        base = np.where(np.isneginf(top), 0, top)
        return o, top + np.log(np.exp(s - base[..., None]).sum(-1)).astype(s.dtype)


def _expand(q, x):
    """Each head as often as its group has queries' heads."""
    return x if q.ndim < 3 or q.shape[-3] == x.shape[-3] else np.repeat(x, q.shape[-3] // x.shape[-3], -3)


def _fold(q, x, g):
    if x.ndim < 3 or x.shape[-3] == q.shape[-3]:
        return g
    lead, h = x.shape[:-3], x.shape[-3]
    return g.reshape(*lead, h, q.shape[-3] // h, *x.shape[-2:]).sum(-3)


def attention_backward(
    dout, q, k, v, o, lse, mask=None, lengths=None, causal=False, scale=None, dropout=0.0, seed=0, offset=0,
    layout="bhtd",
):  # fmt: skip
    dout, q, k0, v0, o = (_heads(x, layout) for x in (dout, q, k, v, o))
    k, v = _expand(q, k0), _expand(q, v0)
    c = q.dtype.type(1 / np.sqrt(max(1, q.shape[-1])) if scale is None else scale)
    s, p = _weights(q, k, mask, lengths, causal, scale)
    keep = _keep(p.shape, dropout, seed, offset, p.dtype)
    ds = p * (dout @ np.swapaxes(v, -1, -2) * keep - (dout * o).sum(-1, keepdims=True))
    grads = [c * (ds @ k), _fold(q, k0, c * (np.swapaxes(ds, -1, -2) @ q))]
    grads.append(_fold(q, v0, np.swapaxes(p * keep, -1, -2) @ dout))
    grads = [_heads(g, layout) for g in grads]
    if mask is not None and mask.dtype != bool:
        lead = ds.ndim - mask.ndim
        g = ds.sum(tuple(range(lead)))
        axes = tuple(i for i in range(mask.ndim) if mask.shape[i] == 1)
        grads.append(g.sum(axes, keepdims=True))
    return tuple(grads)
