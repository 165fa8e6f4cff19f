"""Whole networks, one file a family, each imported when it is first named.

Image models under torchvision's names, language models under Transformers', both with their checkpoints.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlcore.models._image import (
        fuse,
    )
    from dlcore.models.alexnets import (
        AlexNet,
        AlexNet2012,
        alexnet,
        alexnet_2012,
    )
    from dlcore.models.auto import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForPreTraining,
        AutoModelForQuestionAnswering,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )
    from dlcore.models.base import PreTrainedModel
    from dlcore.models.config import PreTrainedConfig
    from dlcore.models.inception import (
        GoogLeNet,
        GoogLeNetOutputs,
        googlenet,
    )
    from dlcore.models.lenet import LeNet5
    from dlcore.models.resnet import (
        ResNet,
        resnet18,
        resnet34,
        resnet50,
        resnet101,
        resnet152,
        resnext50_32x4d,
        resnext101_32x8d,
        resnext101_64x4d,
        wide_resnet50_2,
        wide_resnet101_2,
    )
    from dlcore.models.vgg import (
        VGG,
        vgg11,
        vgg11_bn,
        vgg13,
        vgg13_bn,
        vgg16,
        vgg16_bn,
        vgg19,
        vgg19_bn,
    )
    from dlcore.models.vit import (
        VisionTransformer,
        vit_b_16,
        vit_b_32,
        vit_h_14,
        vit_l_16,
        vit_l_32,
    )

_HOME = {
    "_image": "fuse",
    "alexnets": "AlexNet AlexNet2012 alexnet alexnet_2012",
    "inception": "GoogLeNet GoogLeNetOutputs googlenet",
    "resnet": (
        "ResNet resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d "
        "resnext101_64x4d wide_resnet50_2 wide_resnet101_2"
    ),
    "vgg": "VGG vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn",
    "vit": "VisionTransformer vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32",
    "auto": (
        "AutoConfig AutoModel AutoModelForCausalLM AutoModelForMaskedLM AutoModelForPreTraining "
        "AutoModelForQuestionAnswering AutoModelForSeq2SeqLM AutoModelForSequenceClassification "
        "AutoModelForTokenClassification"
    ),
    "base": "PreTrainedModel",
    "config": "PreTrainedConfig",
    "lenet": "LeNet5",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "VGG",
    "AlexNet",
    "AlexNet2012",
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "LeNet5",
    "PreTrainedConfig",
    "PreTrainedModel",
    "ResNet",
    "VisionTransformer",
    "alexnet",
    "alexnet_2012",
    "fuse",
    "googlenet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet50_2",
    "wide_resnet101_2",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"dlcore.models.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'dlcore.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
