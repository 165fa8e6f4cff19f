"""Tensors in files, read without running anything found in them."""

from dlcore.io.checkpoint import Checkpoint, open_checkpoint
from dlcore.io.safetensors import SafetensorsFile, load_file, load_metadata, save_file

__all__ = ["Checkpoint", "SafetensorsFile", "load_file", "load_metadata", "open_checkpoint", "save_file"]
