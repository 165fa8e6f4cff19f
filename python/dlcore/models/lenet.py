"""LeNet-5: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document
recognition, Proceedings of the IEEE 86 (1998), section II.B.

As it is trained today: all maps of C3 see all maps of S2, the subsampling has no weights of its own, tanh is
not scaled, and the output layer is linear, for cross-entropy, in place of the radial basis units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcore import nn
from dlcore.models._image import ImageConfig, ImageModel
from dlcore.tensor import DTypeLike, Tensor

__all__ = ["LeNet5"]


class LeNet5(ImageModel):
    """x (N, in_channels, 32, 32), or 28 by 28 with image_size=28 -> logits (N, num_classes).

    The layers carry the paper's names: c1, s2, c3, s4, c5, f6, output. 61,706 parameters with the defaults.

    >>> import numpy as np
    >>> import dlcore
    >>> model = dlcore.models.LeNet5()
    >>> sum(p.numel() for p in model.parameters())
    61706
    >>> model(dlcore.tensor(np.zeros((2, 1, 28, 28), np.float32))).shape
    (2, 10)
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        if image_size not in (28, 32):
            raise ValueError(f"LeNet5: image_size must be 28 or 32, got {image_size!r}")
        self.image_size = image_size
        given = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
        self.config = ImageConfig(architecture="LeNet5", arguments=given)
        edge = (32 - image_size) // 2  # the paper sets MNIST's 28 by 28 in a frame of 32 by 32
        self.features = nn.Sequential()
        self.features.add_module("c1", nn.Conv2d(in_channels, 6, 5, padding=edge, device=device, dtype=dtype))
        self.features.add_module("tanh1", nn.Tanh())
        self.features.add_module("s2", nn.AvgPool2d(2))  # (N, 6, 14, 14)
        self.features.add_module("c3", nn.Conv2d(6, 16, 5, device=device, dtype=dtype))
        self.features.add_module("tanh3", nn.Tanh())
        self.features.add_module("s4", nn.AvgPool2d(2))  # (N, 16, 5, 5)
        self.features.add_module("c5", nn.Conv2d(16, 120, 5, device=device, dtype=dtype))
        self.features.add_module("tanh5", nn.Tanh())  # (N, 120, 1, 1)
        self.classifier = nn.Sequential()
        self.classifier.add_module("flatten", nn.Flatten())
        self.classifier.add_module("f6", nn.Linear(120, 84, device=device, dtype=dtype))
        self.classifier.add_module("tanh6", nn.Tanh())
        self.classifier.add_module("output", nn.Linear(84, num_classes, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[2:] != (self.image_size, self.image_size):
            n = self.image_size
            raise ValueError(f"LeNet5: the input must be (N, C, {n}, {n}), got x={x.shape}")
        logits: Tensor = self.classifier(self.features(x))
        return logits

    if TYPE_CHECKING:
        __call__ = forward
