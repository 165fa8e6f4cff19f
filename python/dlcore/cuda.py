"""The CUDA side: whether there is a device, which, its memory. Every function works on a machine without one.

The kernels that CUDA has so far: `dlcore.cuda.kernels()`; the others say that they run on the CPU alone.
"""

from __future__ import annotations

from dlcore import _C

__all__ = [
    "device_count",
    "get_device_name",
    "is_available",
    "kernels",
    "memory_stats",
    "synchronize",
    "unavailable_reason",
]


def _device(device: int | str | None) -> str:
    if device is None:
        return "cuda"
    return f"cuda:{device}" if isinstance(device, int) else device


def is_available() -> bool:
    """True where this build has CUDA kernels and the machine a driver and a device.

    >>> import dlcore
    >>> dlcore.cuda.is_available() == (dlcore.cuda.unavailable_reason() == "")
    True
    """
    return not _C.cuda_unavailable_reason()


def unavailable_reason() -> str:
    """Why `is_available` is False: no CUDA in this build, no driver, no device; "" where it is True."""
    return _C.cuda_unavailable_reason()


def device_count() -> int:
    return _C.cuda_device_count()


def get_device_name(device: int | str | None = None) -> str:
    """The device's name, memory and compute capability. Raises dlcore.DeviceError where there is none."""
    if not is_available():
        raise _C.DeviceError(f"get_device_name: {unavailable_reason()}")
    return _C.cuda_device_description(_device(device))


def synchronize(device: int | str | None = None) -> None:
    """Waits for the device's work. Raises dlcore.DeviceError where there is none."""
    if not is_available():
        raise _C.DeviceError(f"synchronize: {unavailable_reason()}")
    _C.synchronize(_device(device))


def memory_stats(device: int | str | None = None) -> dict[str, int]:
    """The allocator's counters for the device, in bytes and calls."""
    return dict(_C.memory_stats(_device(device)))


def kernels() -> list[str]:
    """Names of the kernels that this build has for CUDA."""
    return _C.kernels_on("cuda")
