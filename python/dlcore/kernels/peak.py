"""fma_peak, stream_triad: what the machine can do at most. `dlcore bench` compares every kernel with them."""

from __future__ import annotations

import numpy.typing as npt

from dlcore import _C
from dlcore.kernels import _convert
from dlcore.kernels._convert import NDArray, arr, opt

__all__ = ["fma_peak", "stream_triad"]


def fma_peak(x: npt.ArrayLike, steps: int) -> NDArray:
    """y = mean over 12 chains c of f(f(...f(x + c/16))), f(v) = 0.75 v + 0.25 applied `steps` times; x (n,)
    -> (n,).

    Nothing but fused multiply-adds in registers: 24 * steps * lanes operations an element, lanes being the
    width of the chosen ISA's vectors.

    >>> import numpy as np
    >>> fma_peak(np.float32([1.0, -3.0]), 100).round(3).tolist()
    [1.0, 1.0]
    """
    return _convert.out(_C.fma_peak(arr(x), steps))


def stream_triad(x: npt.ArrayLike, y: npt.ArrayLike, scale: float, out: NDArray | None = None) -> NDArray:
    """z = x + scale * y; x, y (n,) -> (n,), with stores that bypass the caches: the memory's bandwidth.

    Source: J. McCalpin, "Memory bandwidth and machine balance in current high performance computers", 1995
    (STREAM).

    >>> import numpy as np
    >>> stream_triad(np.ones(3), np.arange(3.0), 2.0).tolist()
    [1.0, 3.0, 5.0]
    """
    return _convert.out(_C.stream_triad(arr(x), arr(y), scale, opt(out)))
