"""GoogLeNet: C. Szegedy et al., Going deeper with convolutions (arXiv:1409.4842), in torchvision's form:
batch normalisation after each convolution, 3 by 3 in place of 5 by 5 in the third branch, no local response
normalisation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from dlcore import functional as F
from dlcore import nn
from dlcore.autograd import is_grad_enabled
from dlcore.creation import as_tensor
from dlcore.functional import cat
from dlcore.models._image import ImageModel, State, build, conv_norm_act, image_layout
from dlcore.nn import init
from dlcore.tensor import Tensor

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "googlenet"]

Block = Callable[..., nn.Module]


class GoogLeNetOutputs(NamedTuple):
    """What GoogLeNet returns in training; the loss counts the auxiliary heads with weight 0.3."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class BasicConv2d(nn.Module):
    """relu(norm(conv(x))): x (N, in_channels, H, W) -> (N, out_channels, H', W')."""

    _norm_of: ClassVar[dict[str, str]] = {"conv": "bn"}

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn: nn.Module = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        if type(self.bn) is nn.Identity or not is_grad_enabled():
            return conv_norm_act(self.conv, self.bn, _RELU, x)
        return F.relu(self.bn(self.conv(x)), inplace=True)

    if TYPE_CHECKING:
        __call__ = forward


_RELU = nn.ReLU()


class Inception(nn.Module):
    """Four branches: x (N, in_channels, H, W) -> (N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W)."""

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        conv_block: Block | None = None,
    ) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(in_channels, ch3x3red, kernel_size=1), conv(ch3x3red, ch3x3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            conv(in_channels, ch5x5red, kernel_size=1), conv(ch5x5red, ch5x5, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            conv(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)

    if TYPE_CHECKING:
        __call__ = forward


class InceptionAux(nn.Module):
    """A classifier on an inner layer, for training: x (N, in_channels, H, W) -> logits (N, num_classes)."""

    def __init__(
        self, in_channels: int, num_classes: int, conv_block: Block | None = None, dropout: float = 0.7
    ) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.conv = conv(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4)))  # (N, 128, 4, 4)
        x = F.relu(self.fc1(x.flatten(1)), inplace=True)  # (N, 1024)
        return self.fc2(self.dropout(x))

    if TYPE_CHECKING:
        __call__ = forward


class GoogLeNet(ImageModel):
    """x (N, 3, H, W), 224 by 224 as trained -> logits (N, num_classes); in training with `aux_logits` a
    GoogLeNetOutputs of the logits and those of the two auxiliary heads.

    `transform_input` takes images normalised as for torchvision's other models. `blocks` replaces
    BasicConv2d, Inception and InceptionAux. `init_weights` (the default) draws weights from N(0, 0.01²).

    Raises ValueError for `blocks` that are not three.

    >>> import dlcore
    >>> model = dlcore.models.GoogLeNet(num_classes=5, aux_logits=False).eval()
    >>> model(dlcore.zeros(1, 3, 32, 32)).shape
    (1, 5)
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: Sequence[Block] | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        blocks = (BasicConv2d, Inception, InceptionAux) if blocks is None else blocks
        if len(blocks) != 3:
            raise ValueError(f"GoogLeNet: blocks must be three, got {len(blocks)}")
        conv, inception, auxiliary = blocks
        self.aux_logits = aux_logits
        self.transform_input = transform_input

        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)  # (N, 64, 112, 112)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)  # (N, 64, 56, 56)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)  # (N, 192, 28, 28)
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)  # (N, 480, 14, 14)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)  # (N, 832, 7, 7)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1: nn.Module | None = None
        self.aux2: nn.Module | None = None
        if aux_logits:
            self.aux1 = auxiliary(512, num_classes, dropout=dropout_aux)
            self.aux2 = auxiliary(528, num_classes, dropout=dropout_aux)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights is None or init_weights:
            for m in self.modules():
                if isinstance(m, (nn.Conv2d, nn.Linear)):
                    init.trunc_normal_(m.weight, mean=0.0, std=0.01, a=-2, b=2)
                elif isinstance(m, nn.BatchNorm2d):
                    m.reset_parameters()

    def _transform_input(self, x: Tensor) -> Tensor:
        """From ImageNet's mean and deviation to 0.5 and 0.5."""
        scale, shift = (
            as_tensor(np.array(v).reshape(1, 3, 1, 1), x.dtype, x.device)
            for v in (
                [0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5],
                [(0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5],
            )
        )
        return x * scale + shift

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        if self.transform_input:
            x = self._transform_input(x)
        x = self.maxpool1(self.conv1(image_layout(x)))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        aux1 = self.aux1(x) if self.aux1 is not None and self.training else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if self.aux2 is not None and self.training else None
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))  # (N, 1024, 7, 7)
        logits: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))  # (N, 1024) -> (N, num_classes)
        return GoogLeNetOutputs(logits, aux2, aux1) if self.training and self.aux_logits else logits

    if TYPE_CHECKING:
        __call__ = forward


def googlenet(weights: Any = None, progress: bool = True, **kwargs: Any) -> GoogLeNet:
    """GoogLeNet; `weights` as in `alexnet`. With weights, `aux_logits` is False unless given, and
    torchvision's own file has `transform_input`; its auxiliary heads are not trained, of which True warns.
    """
    wants_aux = bool(kwargs.get("aux_logits", weights is None))

    def adapt(state: State, published: bool, kw: dict[str, Any]) -> None:
        has_aux = any(name.startswith("aux1.") for name in state)
        kw["aux_logits"] = has_aux or wants_aux
        if published:
            kw.setdefault("transform_input", True)
            if wants_aux:
                warnings.warn(
                    "googlenet: the auxiliary heads of these weights are not trained: train them",
                    stacklevel=4,
                )

    files = {"IMAGENET1K_V1": "googlenet-1378be20.pth"}
    model = build("googlenet", GoogLeNet, weights, files, "fc.weight", kwargs, adapt)
    if not wants_aux:
        model.aux_logits = False
        model.aux1 = model.aux2 = None
    if model.config is not None:
        model.config.arguments["aux_logits"] = wants_aux
    return model
