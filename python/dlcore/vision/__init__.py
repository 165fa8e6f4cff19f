"""Images on their way into a model: `dlcore.vision.transforms`, and the functions under them."""

from dlcore.vision import functional as functional
from dlcore.vision import transforms as transforms

__all__ = ["functional", "transforms"]
