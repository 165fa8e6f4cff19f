"""ResNet: K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image recognition (arXiv:1512.03385);
its grouped form ResNeXt (S. Xie et al., arXiv:1611.05431) and its wide form (S. Zagoruyko, N. Komodakis,
arXiv:1605.07146). As in torchvision, a bottleneck's stride lies in its 3 by 3 convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dlcore import nn
from dlcore.models._image import ImageModel, build, conv_norm_act, image_layout
from dlcore.nn import init
from dlcore.tensor import Tensor

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]

Norm = Callable[..., nn.Module]


def _conv3x3(i: int, o: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        i, o, kernel_size=3, stride=stride, padding=dilation, groups=groups, bias=False, dilation=dilation
    )


def _conv1x1(i: int, o: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, kernel_size=1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """relu(x + norm(conv3x3(relu(norm(conv3x3(x)))))): x (N, inplanes, H, W) -> (N, planes, H', W').

    Raises ValueError for groups and widths other than 1 and 64, NotImplementedError for a dilation.
    """

    expansion = 1
    _norm_of: ClassVar[dict[str, str]] = {"conv1": "bn1", "conv2": "bn2"}

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        if groups != 1 or base_width != 64:
            raise ValueError(
                "BasicBlock: groups must be 1 and base_width 64, got "
                f"groups={groups} and base_width={base_width}"
            )
        if dilation > 1:
            raise NotImplementedError(f"BasicBlock: dilation must be 1, got {dilation}")
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = conv_norm_act(self.conv1, self.bn1, self.relu, x)  # (N, planes, H', W')
        shortcut = x if self.downsample is None else self.downsample(x)
        return conv_norm_act(self.conv2, self.bn2, self.relu, y, shortcut)

    if TYPE_CHECKING:
        __call__ = forward


class Bottleneck(nn.Module):
    """relu(x + f(x)), f a 1x1, a 3x3 and a 1x1 convolution with norms: x (N, inplanes, H, W) -> (N, 4 planes,
    H', W').
    """

    expansion = 4
    _norm_of: ClassVar[dict[str, str]] = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3"}

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = _conv1x1(inplanes, width)
        self.bn1 = norm(width)
        self.conv2 = _conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm(width)
        self.conv3 = _conv1x1(width, planes * self.expansion)
        self.bn3 = norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = conv_norm_act(self.conv1, self.bn1, self.relu, x)  # (N, width, H, W)
        y = conv_norm_act(self.conv2, self.bn2, self.relu, y)  # (N, width, H', W')
        shortcut = x if self.downsample is None else self.downsample(x)  # (N, 4 planes, H', W')
        return conv_norm_act(self.conv3, self.bn3, self.relu, y, shortcut)

    if TYPE_CHECKING:
        __call__ = forward


class ResNet(ImageModel):
    """Four stages of residual blocks: x (N, 3, H, W) -> logits (N, num_classes).

    layers: blocks a stage. `zero_init_residual` begins each block as the identity. `groups` and
    `width_per_group` widen bottlenecks; `replace_stride_with_dilation` keeps the resolution of the last three
    stages; `norm_layer` replaces BatchNorm2d.

    Raises ValueError for a replace_stride_with_dilation that has not three elements.

    >>> import dlcore
    >>> from dlcore.models.resnet import BasicBlock
    >>> model = dlcore.models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5).eval()
    >>> model(dlcore.zeros(1, 3, 32, 32)).shape
    (1, 5)
    """

    _norm_of: ClassVar[dict[str, str]] = {"conv1": "bn1"}

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        self._norm_layer: Norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        dilate = (
            (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        )
        if len(dilate) != 3:
            raise ValueError(
                f"ResNet: replace_stride_with_dilation must be None or have 3 elements, got {dilate}"
            )
        self.inplanes = 64
        self.dilation = 1
        self.groups = groups
        self.base_width = width_per_group
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (BasicBlock, Bottleneck)) and zero_init_residual:
                last: Any = m.bn2 if isinstance(m, BasicBlock) else m.bn3
                if last.weight is not None:
                    init.zeros_(last.weight)

    def _make_layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> nn.Sequential:
        before = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                _conv1x1(self.inplanes, planes * block.expansion, stride),
                self._norm_layer(planes * block.expansion),
            )
        common = (self.groups, self.base_width)
        stage = [block(self.inplanes, planes, stride, downsample, *common, before, self._norm_layer)]
        self.inplanes = planes * block.expansion
        for _ in range(1, blocks):
            stage.append(block(self.inplanes, planes, 1, None, *common, self.dilation, self._norm_layer))
        return nn.Sequential(*stage)

    def forward(self, x: Tensor) -> Tensor:
        x = conv_norm_act(self.conv1, self.bn1, self.relu, image_layout(x))  # (N, 64, H / 2, W / 2)
        x = self.maxpool(x)  # (N, 64, H / 4, W / 4)
        x = self.layer1(x)
        x = self.layer2(x)  # (N, 128 expansion, H / 8, W / 8)
        x = self.layer3(x)  # (N, 256 expansion, H / 16, W / 16)
        x = self.layer4(x)  # (N, 512 expansion, H / 32, W / 32)
        return self.fc(self.avgpool(x).flatten(1))  # (N, 512 expansion) -> (N, num_classes)

    if TYPE_CHECKING:
        __call__ = forward


def _resnet(
    name: str,
    block: type[BasicBlock] | type[Bottleneck],
    layers: list[int],
    digests: Sequence[str],
    weights: Any,
    kwargs: dict[str, Any],
    groups: int = 1,
    width: int = 64,
) -> ResNet:
    kwargs.setdefault("groups", groups)
    kwargs.setdefault("width_per_group", width)
    files = {f"IMAGENET1K_V{i}": f"{name}-{d}.pth" for i, d in enumerate(digests, 1)}
    newest_first = dict(reversed(files.items()))
    return build(name, lambda **kw: ResNet(block, layers, **kw), weights, newest_first, "fc.weight", kwargs)


def resnet18(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet with 18 layers; `weights` as in `alexnet`."""
    return _resnet("resnet18", BasicBlock, [2, 2, 2, 2], ["f37072fd"], weights, kwargs)


def resnet34(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet with 34 layers; `weights` as in `alexnet`."""
    return _resnet("resnet34", BasicBlock, [3, 4, 6, 3], ["b627a593"], weights, kwargs)


def resnet50(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet with 50 layers; `weights` as in `alexnet`."""
    return _resnet("resnet50", Bottleneck, [3, 4, 6, 3], ["0676ba61", "11ad3fa6"], weights, kwargs)


def resnet101(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet with 101 layers; `weights` as in `alexnet`."""
    return _resnet("resnet101", Bottleneck, [3, 4, 23, 3], ["63fe2227", "cd907fc2"], weights, kwargs)


def resnet152(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet with 152 layers; `weights` as in `alexnet`."""
    return _resnet("resnet152", Bottleneck, [3, 8, 36, 3], ["394f9c45", "f82ba261"], weights, kwargs)


def resnext50_32x4d(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt with 50 layers of 32 groups of 4; `weights` as in `alexnet`."""
    digests = ["7cdf4587", "1a0047aa"]
    return _resnet("resnext50_32x4d", Bottleneck, [3, 4, 6, 3], digests, weights, kwargs, 32, 4)


def resnext101_32x8d(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt with 101 layers of 32 groups of 8; `weights` as in `alexnet`."""
    digests = ["8ba56ff5", "110c445d"]
    return _resnet("resnext101_32x8d", Bottleneck, [3, 4, 23, 3], digests, weights, kwargs, 32, 8)


def resnext101_64x4d(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt with 101 layers of 64 groups of 4; `weights` as in `alexnet`."""
    return _resnet("resnext101_64x4d", Bottleneck, [3, 4, 23, 3], ["173b62eb"], weights, kwargs, 64, 4)


def wide_resnet50_2(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-50 with twice the channels inside its blocks; `weights` as in `alexnet`."""
    digests = ["95faca4d", "9ba9bcbe"]
    return _resnet("wide_resnet50_2", Bottleneck, [3, 4, 6, 3], digests, weights, kwargs, 1, 128)


def wide_resnet101_2(weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-101 with twice the channels inside its blocks; `weights` as in `alexnet`."""
    digests = ["32ee1156", "d733dc28"]
    return _resnet("wide_resnet101_2", Bottleneck, [3, 4, 23, 3], digests, weights, kwargs, 1, 128)
