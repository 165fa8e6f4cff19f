"""Philox4x32-10 and dropout on it, in plain NumPy."""

import numpy as np

LOW = np.uint64(0xFFFFFFFF)


def philox4x32(counter, key, rounds=10):
    """Counters (..., 4) and key (2,) of 32-bit words held in uint64 -> (..., 4) words. Salmon et al., SC
    2011."""
    c = [np.asarray(counter, np.uint64)[..., i] for i in range(4)]
    k = [np.uint64(key[0]), np.uint64(key[1])]
    for _ in range(rounds):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k[0], p1 & LOW, (p0 >> np.uint64(32)) ^ c[3] ^ k[1], p0 & LOW]
        k = [(k[0] + np.uint64(0x9E3779B9)) & LOW, (k[1] + np.uint64(0xBB67AE85)) & LOW]
    return np.stack(c, -1)


def words(n, seed, offset=0, first_block=0):
    i = np.arange(n, dtype=np.uint64)
    block = np.uint64(first_block) + (i // np.uint64(64)) * np.uint64(16) + i % np.uint64(16)
    word = ((i % np.uint64(64)) // np.uint64(16)).astype(np.int64)
    high = np.uint64(offset >> 32), np.uint64(offset & 0xFFFFFFFF)
    counter = np.stack([block & LOW, block >> np.uint64(32), np.full(n, high[1]), np.full(n, high[0])], -1)
    out = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
    return np.take_along_axis(out, word[:, None], 1)[:, 0].astype(np.uint32)


def philox_bits(n, seed=0, offset=0, first_block=0):
    return words(n, seed, offset, first_block).astype(np.int32)


def philox_uniform(shape, dtype="float32", seed=0, offset=0):
    n = int(np.prod(shape))
    if np.dtype(dtype) == np.float32:
        return ((words(n, seed, offset) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)).reshape(
            shape
        )
    group = words((n + 31) // 32 * 64, seed, offset).astype(np.uint64).reshape(-1, 2, 32)
    both = (group[:, 0] << np.uint64(21)) ^ (group[:, 1] >> np.uint64(11))
    return (both.reshape(-1)[:n].astype(np.float64) * 2.0**-53).reshape(shape)


def dropout(x, p=0.5, seed=0, offset=0, inner=1):
    x = np.asarray(x)
    channels = x.size // inner
    threshold = int(p * 2**32 + 0.5)
    keep = words(channels, seed, offset).astype(np.uint64) >= threshold
    scale = 0.0 if threshold >= 2**32 else 1 / (1 - p)
    factor = np.where(np.repeat(keep, inner), scale, 0.0).astype(x.dtype).reshape(x.shape)
    return x * factor
