"""Whole networks, one file a family, each imported when it is first named.

Image models under torchvision's names, language models under Transformers', both with their checkpoints.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlcore.models._image import (
        ImageConfig,
        ImageModel,
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
        AutoModelForCTC,
        AutoModelForImageClassification,
        AutoModelForMaskedLM,
        AutoModelForPreTraining,
        AutoModelForQuestionAnswering,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )
    from dlcore.models.base import (
        PreTrainedModel,
    )
    from dlcore.models.bert import (
        BertConfig,
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
        BertModel,
    )
    from dlcore.models.birnn import (
        BiGRUClassifier,
        BiGRUTagger,
        BiLSTMClassifier,
        BiLSTMTagger,
        BiRNNConfig,
    )
    from dlcore.models.config import (
        PreTrainedConfig,
    )
    from dlcore.models.crf import (
        CRF,
    )
    from dlcore.models.dbn import (
        DBN,
        RBM,
    )
    from dlcore.models.gpt2 import (
        GPT2Config,
        GPT2ForQuestionAnswering,
        GPT2ForSequenceClassification,
        GPT2ForTokenClassification,
        GPT2LMHeadModel,
        GPT2Model,
    )
    from dlcore.models.inception import (
        GoogLeNet,
        GoogLeNetOutputs,
        googlenet,
    )
    from dlcore.models.lenet import (
        LeNet5,
    )
    from dlcore.models.llama import (
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForQuestionAnswering,
        LlamaForSequenceClassification,
        LlamaForTokenClassification,
        LlamaModel,
        MistralConfig,
        MistralForCausalLM,
        MistralForQuestionAnswering,
        MistralForSequenceClassification,
        MistralForTokenClassification,
        MistralModel,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen2ForQuestionAnswering,
        Qwen2ForSequenceClassification,
        Qwen2ForTokenClassification,
        Qwen2Model,
    )
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
    from dlcore.models.seq2seq import (
        Seq2Seq,
        Seq2SeqConfig,
    )
    from dlcore.models.speech import (
        BiLSTMForCTC,
        CTCConfig,
        character_error_rate,
        ctc_beam_search,
        ctc_greedy_search,
        edit_distance,
    )
    from dlcore.models.t5 import (
        T5Config,
        T5EncoderModel,
        T5ForConditionalGeneration,
        T5ForQuestionAnswering,
        T5ForSequenceClassification,
        T5ForTokenClassification,
        T5Model,
        T5PreTrainedModel,
    )
    from dlcore.models.transformer import (
        Transformer,
        TransformerConfig,
        transformer_schedule,
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
    from dlcore.tokenization import AutoTokenizer

_HOME = {
    "_image": "ImageConfig ImageModel fuse",
    "alexnets": "AlexNet AlexNet2012 alexnet alexnet_2012",
    "auto": (
        "AutoConfig AutoModel AutoModelForCTC AutoModelForCausalLM AutoModelForImageClassification "
        "AutoModelForMaskedLM AutoModelForPreTraining AutoModelForQuestionAnswering AutoModelForSeq2SeqLM "
        "AutoModelForSequenceClassification AutoModelForTokenClassification"
    ),
    "base": "PreTrainedModel",
    "bert": (
        "BertConfig BertForMaskedLM BertForMultipleChoice BertForNextSentencePrediction "
        "BertForPreTraining BertForQuestionAnswering BertForSequenceClassification "
        "BertForTokenClassification BertModel"
    ),
    "birnn": "BiGRUClassifier BiGRUTagger BiLSTMClassifier BiLSTMTagger BiRNNConfig",
    "config": "PreTrainedConfig",
    "crf": "CRF",
    "dbn": "DBN RBM",
    "gpt2": (
        "GPT2Config GPT2ForQuestionAnswering GPT2ForSequenceClassification GPT2ForTokenClassification "
        "GPT2LMHeadModel GPT2Model"
    ),
    "inception": "GoogLeNet GoogLeNetOutputs googlenet",
    "lenet": "LeNet5",
    "llama": (
        "LlamaConfig LlamaForCausalLM LlamaForQuestionAnswering LlamaForSequenceClassification "
        "LlamaForTokenClassification LlamaModel MistralConfig MistralForCausalLM "
        "MistralForQuestionAnswering MistralForSequenceClassification MistralForTokenClassification "
        "MistralModel Qwen2Config Qwen2ForCausalLM Qwen2ForQuestionAnswering "
        "Qwen2ForSequenceClassification Qwen2ForTokenClassification Qwen2Model"
    ),
    "resnet": (
        "ResNet resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext101_64x4d "
        "resnext50_32x4d wide_resnet101_2 wide_resnet50_2"
    ),
    "seq2seq": "Seq2Seq Seq2SeqConfig",
    "speech": "BiLSTMForCTC CTCConfig character_error_rate ctc_beam_search ctc_greedy_search edit_distance",
    "t5": (
        "T5Config T5EncoderModel T5ForConditionalGeneration T5ForQuestionAnswering "
        "T5ForSequenceClassification T5ForTokenClassification T5Model T5PreTrainedModel"
    ),
    "transformer": "Transformer TransformerConfig transformer_schedule",
    "vgg": "VGG vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn",
    "vit": "VisionTransformer vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "CRF",
    "DBN",
    "RBM",
    "VGG",
    "AlexNet",
    "AlexNet2012",
    "AutoConfig",
    "AutoModel",
    "AutoModelForCTC",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModelForMaskedLM",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BiGRUClassifier",
    "BiGRUTagger",
    "BiLSTMClassifier",
    "BiLSTMForCTC",
    "BiLSTMTagger",
    "BiRNNConfig",
    "CTCConfig",
    "GPT2Config",
    "GPT2ForQuestionAnswering",
    "GPT2ForSequenceClassification",
    "GPT2ForTokenClassification",
    "GPT2LMHeadModel",
    "GPT2Model",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "ImageConfig",
    "ImageModel",
    "LeNet5",
    "LlamaConfig",
    "LlamaForCausalLM",
    "LlamaForQuestionAnswering",
    "LlamaForSequenceClassification",
    "LlamaForTokenClassification",
    "LlamaModel",
    "MistralConfig",
    "MistralForCausalLM",
    "MistralForQuestionAnswering",
    "MistralForSequenceClassification",
    "MistralForTokenClassification",
    "MistralModel",
    "PreTrainedConfig",
    "PreTrainedModel",
    "Qwen2Config",
    "Qwen2ForCausalLM",
    "Qwen2ForQuestionAnswering",
    "Qwen2ForSequenceClassification",
    "Qwen2ForTokenClassification",
    "Qwen2Model",
    "ResNet",
    "Seq2Seq",
    "Seq2SeqConfig",
    "T5Config",
    "T5EncoderModel",
    "T5ForConditionalGeneration",
    "T5ForQuestionAnswering",
    "T5ForSequenceClassification",
    "T5ForTokenClassification",
    "T5Model",
    "T5PreTrainedModel",
    "Transformer",
    "TransformerConfig",
    "VisionTransformer",
    "alexnet",
    "alexnet_2012",
    "character_error_rate",
    "ctc_beam_search",
    "ctc_greedy_search",
    "edit_distance",
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
    "transformer_schedule",
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
    if name == "AutoTokenizer":
        return importlib.import_module("dlcore.tokenization").AutoTokenizer
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"dlcore.models.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'dlcore.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, "AutoTokenizer"})
