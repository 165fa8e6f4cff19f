"""Attention beside the same formula in NumPy's products: BERT's and GPT-2's shapes, a step of decoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore import kernels as K
from dlcore.bench.cases import Case, Pair, normal


def _weights(q: Any, k: Any, causal: bool) -> Any:
    s = q @ k.swapaxes(-1, -2)
    s *= q.shape[-1] ** -0.5
    if causal:
        s[..., np.tri(*s.shape[-2:]) == 0] = -np.inf
    s -= s.max(-1, keepdims=True)
    np.exp(s, out=s)
    s /= s.sum(-1, keepdims=True)
    return s


def _attention(b: int, h: int, t: int, d: int, causal: bool = False, queries: int = 0) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        q, k, v = normal(rng, b, h, queries or t, d), normal(rng, b, h, t, d), normal(rng, b, h, t, d)
        return lambda: K.attention(q, k, v, causal=causal), lambda: _weights(q, k, causal) @ v

    tq = queries or t
    pairs = b * h * (tq * (tq + 1) // 2 if causal else tq * t)
    name = f"attention {b}x{h}x{tq}x{d}{'' if tq == t else f' on {t}'}{' causal' if causal else ''}"
    size = 4.0 * b * h * d * (2 * tq + 2 * t)
    return Case(name, "attention", ["attention_forward"], (4.0 * d + 5) * pairs, size, make)


def _backward(b: int, h: int, t: int, d: int, mask: bool = False) -> Case:
    def make(rng: np.random.Generator) -> Pair:
        q, k, v, g = (normal(rng, b, h, t, d) for _ in range(4))
        bias = normal(rng, 1, h, t, t) if mask else None
        o, lse = K.attention(q, k, v, bias, return_lse=True)

        def theirs() -> Any:
            s = q @ k.swapaxes(-1, -2)
            s *= d**-0.5
            if bias is not None:
                s += bias
            s -= lse[..., None]
            np.exp(s, out=s)
            dv = s.swapaxes(-1, -2) @ g
            ds = g @ v.swapaxes(-1, -2)
            ds -= np.einsum("bhtd,bhtd->bht", g, o)[..., None]
            ds *= s
            dmask = (ds.sum(0, keepdims=True),) if mask else ()
            ds *= d**-0.5
            return ds @ k, ds.swapaxes(-1, -2) @ q, dv, *dmask

        return lambda: K.attention_backward(g, q, k, v, o, lse, bias), theirs

    kernels = ["attention_backward"] + (["attention_mask_backward"] if mask else [])
    name = f"attention_backward {b}x{h}x{t}x{d}{' with a mask' if mask else ''}"
    return Case(name, "attention", kernels, (10.0 * d + 8) * b * h * t * t, 4.0 * b * h * d * 8 * t, make)


CASES = [
    _attention(8, 12, 128, 64),
    _attention(1, 12, 1024, 64),
    _attention(1, 12, 1024, 64, causal=True),
    _attention(1, 32, 4096, 128, queries=1),
    _backward(8, 12, 128, 64),
    _backward(1, 12, 1024, 64),
    _backward(4, 8, 256, 64, mask=True),
]
