"""Tensors in files, read without running anything found in them."""

from dlcore.io.checkpoint import Checkpoint, open_checkpoint
from dlcore.io.safetensors import SafetensorsFile, load_file, load_metadata, save_file
from dlcore.io.torch_file import TorchFile, load_torch

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
