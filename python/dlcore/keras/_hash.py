"""The hashes by which Keras' layers put what they do not know into bins: FarmHash's 64-bit fingerprint and
SipHash-2-4.

https://github.com/google/farmhash; J.-P. Aumasson, D. J. Bernstein: SipHash, a fast short-input PRF (2012).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["buckets", "farmhash64", "siphash24"]

_M = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _right(x: int, n: int) -> int:
    """x, its low 64 bits rotated right."""
    x &= _M
    return (x >> n | x << (64 - n)) & _M


def _folded(x: int) -> int:
    x &= _M
    return x ^ x >> 47


def _mixed(u: int, v: int, k: int) -> int:
    a = _folded((u ^ v) * k)
    return _folded(((v & _M) ^ a) * k) * k & _M


def _word(s: bytes, i: int) -> int:
    """Eight bytes from i, from the end where i < 0."""
    i = i if i >= 0 else len(s) + i
    return int.from_bytes(s[i : i + 8], "little")


def _weak(s: bytes, i: int, a: int, b: int) -> tuple[int, int]:
    """32 bytes into two words."""
    w, x, y, z = struct.unpack_from("<4Q", s, i)
    a += w
    b = _right(b + a + z, 21)
    c = a
    a += x + y
    return (a + z) & _M, (b + _right(a, 44) + c) & _M


def farmhash64(s: bytes) -> int:
    """FarmHash's Fingerprint64.

    >>> farmhash64(b"") == 0x9AE16A3B2F90404F
    True
    """
    n = len(s)
    k = _K2 + 2 * n
    if n == 0:
        return _K2
    if n < 4:
        y, z = s[0] + (s[n >> 1] << 8), n + (s[-1] << 2)
        return _folded(y * _K2 ^ z * _K0) * _K2 & _M
    if n < 8:
        first, last = (int.from_bytes(part, "little") for part in (s[:4], s[-4:]))
        return _mixed(n + (first << 3), last, k)
    if n <= 16:
        a, b = _word(s, 0) + _K2, _word(s, -8)
        return _mixed(_right(b, 37) * k + a, (_right(a, 25) + b) * k, k)
    if n <= 64:
        a, b = _word(s, 0) * (_K1 if n <= 32 else _K2), _word(s, 8)
        c, d = _word(s, -8) * k, _word(s, -16) * _K2
        y = _right(a + b, 43) + _right(c, 30) + d
        z = a + _right(b + _K2, 18) + c
        if n <= 32:
            return _mixed(y, z, k)
        z = _mixed(y, z, k)
        e, f = _word(s, 16) * k, _word(s, 24)
        g, h = (y + _word(s, -32)) * k, (z + _word(s, -24)) * k
        return _mixed(_right(e + f, 43) + _right(g, 30) + h, e + _right(f + a, 18) + g, k)
    x, y = 81, 81 * _K1 + 113
    z = _folded(y * _K2 + 113) * _K2
    x = x * _K2 + _word(s, 0)
    v, w = (0, 0), (0, 0)

    def turn(i: int, k: int, nine: int) -> None:
        """64 bytes; the last ones weigh w and v nine times."""
        nonlocal x, y, z, v, w
        x = _right(x + y + v[0] + _word(s, i + 8), 37) * k
        y = _right(y + v[1] + _word(s, i + 48), 42) * k
        x ^= w[1] * nine
        y += v[0] * nine + _word(s, i + 40)
        z = _right(z + w[0], 33) * k
        v = _weak(s, i, v[1] * k, x + w[0])
        w = _weak(s, i + 32, z + w[1], y + _word(s, i + 16))
        z, x = x & _M, z & _M

    for i in range(0, (n - 1) // 64 * 64, 64):
        turn(i, _K1, 1)
    k = _K1 + ((z & 0xFF) << 1)
    # Each of the first words is added to the other in turn.
    v = (v[0] + w[0] + ((n - 1) & 63), v[1])
    w = (w[0] + ((n - 1) & 63) + v[0], w[1])
    turn(n - 64, k, 9)
    return _mixed(_mixed(v[0], w[0], k) + _folded(y) * _K0 + z, _mixed(v[1], w[1], k) + x, k)


def siphash24(s: bytes, key: Sequence[int]) -> int:
    """SipHash with two rounds a word and four at the end, its key two words."""
    a, b = [int(k) & _M for k in key]
    v = [a ^ 0x736F6D6570736575, b ^ 0x646F72616E646F6D, a ^ 0x6C7967656E657261, b ^ 0x7465646279746573]

    def turn(rounds: int) -> None:
        v0, v1, v2, v3 = v
        for _ in range(rounds):
            v0, v2 = (v0 + v1) & _M, (v2 + v3) & _M
            v1, v3 = _right(v1, 51) ^ v0, _right(v3, 48) ^ v2
            v0, v2 = (_right(v0, 32) + v3) & _M, (v2 + v1) & _M
            v1, v3 = _right(v1, 47) ^ v2, _right(v3, 43) ^ v0
            v2 = _right(v2, 32)
        v[:] = v0, v1, v2, v3

    whole = len(s) // 8 * 8
    words = [*struct.unpack(f"<{whole // 8}Q", s[:whole])]
    words.append(int.from_bytes(s[whole:], "little") | (len(s) & 0xFF) << 56)
    for m in words:
        v[3] ^= m
        turn(2)
        v[0] ^= m
    v[2] ^= 0xFF
    turn(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def buckets(values: npt.NDArray[Any], n: int, salt: Sequence[int] | None) -> npt.NDArray[np.int64]:
    """The bins, of n, of strings, or of integers as they are written; `salt` is SipHash's key."""
    found, back = np.unique(values, return_inverse=True)
    texts = [str(v).encode() for v in found.tolist()]
    hashes = [farmhash64(t) if salt is None else siphash24(t, salt) for t in texts]
    bins = np.asarray([h % n for h in hashes], np.int64)
    return bins[back.reshape(values.shape)]
