"""Tensors in files, read without running anything found in them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dlcore.io.safetensors import SafetensorsFile, load_file, load_metadata, save_file

if TYPE_CHECKING:
    from dlcore.io.checkpoint import Checkpoint, open_checkpoint
    from dlcore.io.torch_file import TorchFile, load_torch

# Loaded when first named, so that `import dlcore` stays fast.
_HOME = {
    "Checkpoint": "checkpoint",
    "TorchFile": "torch_file",
    "load_torch": "torch_file",
    "open_checkpoint": "checkpoint",
}

__all__ = [
    "Checkpoint",
    "SafetensorsFile",
    "TorchFile",
    "load_file",
    "load_metadata",
    "load_torch",
    "open_checkpoint",
    "save_file",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"dlcore.io.{_HOME[name]}"), name)
    raise AttributeError(f"module 'dlcore.io' has no attribute {name!r}")
