"""AlexNet, in two forms.

`AlexNet` is torchvision's: A. Krizhevsky, One weird trick for parallelizing convolutional neural networks
(arXiv:1404.5997), one column, without normalisation. `AlexNet2012` is the network of the ImageNet
competition: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural
networks (NeurIPS 2012), whose two columns are two groups here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from dlcore import nn
from dlcore.models._image import ImageModel, build, image_layout
from dlcore.nn import init
from dlcore.tensor import Tensor

__all__ = ["AlexNet", "AlexNet2012", "alexnet", "alexnet_2012"]


class AlexNet(ImageModel):
    """x (N, 3, H, W), 224 by 224 as trained, at least 63 by 63 -> logits (N, num_classes).

    61,100,840 parameters with the defaults.

    >>> import dlcore
    >>> model = dlcore.models.AlexNet(num_classes=5).eval()
    >>> model(dlcore.zeros(1, 3, 64, 64)).shape
    (1, 5)
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),  # (N, 64, 55, 55)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 64, 27, 27)
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 192, 13, 13)
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(image_layout(x)))  # (N, 256, 6, 6)
        logits: Tensor = self.classifier(x.flatten(1))  # (N, 9216) -> (N, num_classes)
        return logits

    if TYPE_CHECKING:
        __call__ = forward


def alexnet(weights: Any = None, progress: bool = True, **kwargs: Any) -> AlexNet:
    """AlexNet; `weights` is a .safetensors or .pth file, a state dict, or torchvision's name of weights
    ("DEFAULT"), whose file must lie in torch.hub's cache: nothing is downloaded, and `progress` does nothing.

    Raises FileNotFoundError where a file is missing, ValueError for an unknown name.
    """
    files = {"IMAGENET1K_V1": "alexnet-owt-7be5be79.pth"}
    return build("alexnet", AlexNet, weights, files, "classifier.6.weight", kwargs)


class AlexNet2012(ImageModel):
    """x (N, 3, 224, 224) (or 227 by 227) -> logits (N, num_classes).

    Five convolutions, the second, fourth and fifth in two groups; b = a (k + alpha / n · Σ a²)^-beta over n =
    5 channels after the first two, alpha = 1e-4, beta = 0.75, k = 2; pooling over 3 by 3 at stride 2, which
    overlaps; two hidden layers of 4096 behind dropout. Weights begin at N(0, 0.01²), biases at 1 in the
    second, fourth and fifth convolution and the hidden layers, at 0 elsewhere, as in the paper. 60,965,224
    parameters with the defaults.

    >>> import dlcore
    >>> model = dlcore.models.AlexNet2012(num_classes=5).eval()
    >>> model(dlcore.zeros(1, 3, 224, 224)).shape
    (1, 5)
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()

        def lrn() -> nn.Module:
            return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)

        with init.skipped():
            self.features = nn.Sequential(
                OrderedDict(
                    conv1=nn.Conv2d(3, 96, kernel_size=11, stride=4, padding=2),  # (N, 96, 55, 55)
                    relu1=nn.ReLU(inplace=True),
                    norm1=lrn(),
                    pool1=nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 96, 27, 27)
                    conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
                    relu2=nn.ReLU(inplace=True),
                    norm2=lrn(),
                    pool2=nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 256, 13, 13)
                    conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),
                    relu3=nn.ReLU(inplace=True),
                    conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
                    relu4=nn.ReLU(inplace=True),
                    conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
                    relu5=nn.ReLU(inplace=True),
                    pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 256, 6, 6)
                )
            )
            self.classifier = nn.Sequential(
                OrderedDict(
                    drop6=nn.Dropout(p=dropout),
                    fc6=nn.Linear(256 * 6 * 6, 4096),
                    relu6=nn.ReLU(inplace=True),
                    drop7=nn.Dropout(p=dropout),
                    fc7=nn.Linear(4096, 4096),
                    relu7=nn.ReLU(inplace=True),
                    fc8=nn.Linear(4096, num_classes),
                )
            )
        for name, p in self.named_parameters():
            layer, _, kind = name.rpartition(".")
            if kind == "weight":
                init.normal_(p, 0.0, 0.01)
            else:
                init.constant_(p, float(layer.endswith(("conv2", "conv4", "conv5", "fc6", "fc7"))))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1:] not in ((3, 224, 224), (3, 227, 227)):
            raise ValueError(f"AlexNet2012: x must be (N, 3, 224, 224) or (N, 3, 227, 227), got x={x.shape}")
        logits: Tensor = self.classifier(self.features(x).flatten(1))  # (N, 9216) -> (N, num_classes)
        return logits

    if TYPE_CHECKING:
        __call__ = forward


def alexnet_2012(weights: Any = None, progress: bool = True, **kwargs: Any) -> AlexNet2012:
    """AlexNet2012; `weights` is a .safetensors or .pth file or a state dict."""
    return build("alexnet_2012", AlexNet2012, weights, {}, "classifier.fc8.weight", kwargs)
