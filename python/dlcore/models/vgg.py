"""VGG: K. Simonyan, A. Zisserman, Very deep convolutional networks for large-scale image recognition
(arXiv:1409.1556), with batch normalisation (`_bn`) and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlcore import nn
from dlcore.models._image import ImageModel, build, image_layout
from dlcore.nn import init
from dlcore.tensor import Tensor

__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]

# Channels of the 3 by 3 convolutions; M halves the image. The letters are those of the paper's table 1.
_CHANNELS: dict[str, list[str | int]] = {
    "A": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "B": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "D": [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"],
    "E": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}


class VGG(ImageModel):
    """features(x), pooled to 7 by 7, then three linear layers: x (N, 3, H, W) -> logits (N, num_classes).

    `features` must end in 512 channels; vgg11 to vgg19 make it.

    >>> import dlcore
    >>> from dlcore import nn
    >>> model = dlcore.models.VGG(nn.Conv2d(3, 512, 3), num_classes=5).eval()
    >>> model(dlcore.zeros(1, 3, 9, 9)).shape
    (1, 5)
    """

    def __init__(
        self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        for m in self.modules() if init_weights else ():
            if isinstance(m, nn.Conv2d):
                init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.Linear):
                init.normal_(m.weight, 0, 0.01)
            if isinstance(m, (nn.Conv2d, nn.Linear)) and m.bias is not None:
                init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(image_layout(x)))  # (N, 512, 7, 7)
        logits: Tensor = self.classifier(x.flatten(1))  # (N, 25088) -> (N, num_classes)
        return logits

    if TYPE_CHECKING:
        __call__ = forward


def _features(channels: Sequence[str | int], batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    last = 3
    for c in channels:
        if isinstance(c, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(last, c, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(c))
        layers.append(nn.ReLU(inplace=True))
        last = c
    return nn.Sequential(*layers)


def _vgg(name: str, letter: str, digest: str, weights: Any, kwargs: dict[str, Any], **more: str) -> VGG:
    def make(**kw: Any) -> VGG:
        return VGG(_features(_CHANNELS[letter], name.endswith("_bn")), **kw)

    files = {"IMAGENET1K_V1": f"{name}-{digest}.pth", **more}
    return build(name, make, weights, files, "classifier.6.weight", kwargs)


def vgg11(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG with 11 layers (column A); `weights` as in `alexnet`."""
    return _vgg("vgg11", "A", "8a719046", weights, kwargs)


def vgg11_bn(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """vgg11 with batch normalisation; `weights` as in `alexnet`."""
    return _vgg("vgg11_bn", "A", "6002323d", weights, kwargs)


def vgg13(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG with 13 layers (column B); `weights` as in `alexnet`."""
    return _vgg("vgg13", "B", "19584684", weights, kwargs)


def vgg13_bn(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """vgg13 with batch normalisation; `weights` as in `alexnet`."""
    return _vgg("vgg13_bn", "B", "abd245e5", weights, kwargs)


def vgg16(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG with 16 layers (column D); `weights` as in `alexnet`."""
    features = "vgg16_features-amdegroot-88682ab5.pth"  # for detectors: without a trained classifier
    return _vgg("vgg16", "D", "397923af", weights, kwargs, IMAGENET1K_FEATURES=features)


def vgg16_bn(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """vgg16 with batch normalisation; `weights` as in `alexnet`."""
    return _vgg("vgg16_bn", "D", "6c64b313", weights, kwargs)


def vgg19(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG with 19 layers (column E); `weights` as in `alexnet`."""
    return _vgg("vgg19", "E", "dcbb9e9d", weights, kwargs)


def vgg19_bn(weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """vgg19 with batch normalisation; `weights` as in `alexnet`."""
    return _vgg("vgg19_bn", "E", "c79401a0", weights, kwargs)
