"""What the library runs on: instruction set, threads, and a report of both."""

from __future__ import annotations

from typing import Any

from dlcore import _C

__all__ = ["available_isas", "get_isa", "info", "set_isa", "set_winograd", "show", "winograd"]


def available_isas() -> list[str]:
    """The instruction sets that were built and that this CPU has, plainest first."""
    return _C.available_isas()


def get_isa() -> str:
    return _C.current_isa()


def set_isa(name: str) -> None:
    """Chooses the kernels' instruction set, as `DLCORE_ISA` does at start; ValueError if the CPU lacks it."""
    _C.set_isa(name)


def winograd() -> bool:
    """Whether 3 x 3 and 5 x 5 convolutions of stride 1 in float32 may be computed by Winograd's algorithm."""
    return _C.winograd()


def set_winograd(enabled: bool) -> None:
    """Turns Winograd's algorithm for convolution on (as at the start) or off, as `DLCORE_WINOGRAD=0` does.

    It spares two thirds of the multiplications or more of 3 x 3 and 5 x 5 kernels of stride 1, and takes half
    of the time or less at the sizes of real networks. Its rounding errors are larger than the direct form's:
    relative to the largest output, at most 3 times those of a plain float32 sum plus 8e-6 up to 512 channels.
    Only float32 is concerned, and only shapes where it is faster. An infinity or NaN in the input makes NaN
    of the outputs that read it and of their neighbours in their tile, 4 x 4 or 2 x 2. (Lavin and Gray, "Fast
    Algorithms for Convolutional Neural Networks", 2016.)

    >>> set_winograd(False)
    >>> winograd()
    False
    >>> set_winograd(True)
    """
    if not isinstance(enabled, bool):
        raise TypeError(f"set_winograd: enabled must be a bool, got {enabled!r}")
    _C.set_winograd(enabled)


def info() -> dict[str, Any]:
    """Version, ISA, threads, CUDA, compiler, NumPy: what a report of a problem should carry."""
    import platform
    import sys

    import numpy as np

    reason = _C.cuda_unavailable_reason()
    return {
        "dlcore": _C.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "isa": _C.current_isa(),
        "isa_available": _C.available_isas(),
        "isa_built": _C.built_isas(),
        "threads": _C.num_threads(),
        "threads_reason": _C.num_threads_reason(),
        "cuda": reason or [_C.cuda_device_description(f"cuda:{i}") for i in range(_C.cuda_device_count())],
        "compiler": _C.compiler(),
        "numpy": np.__version__,
        "winograd": _C.winograd(),
        "debug_memory": _C.debug_memory(),
    }


def show() -> None:
    """Prints `info()`."""
    for key, value in info().items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"{key:16} {text}")
