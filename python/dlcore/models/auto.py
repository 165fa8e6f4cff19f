"""AutoConfig, AutoModel and AutoModelFor...: the class that a checkpoint's config.json asks for."""

from __future__ import annotations

import importlib
import os
from typing import Any, ClassVar

from dlcore.hub import HUB_OPTIONS
from dlcore.models.config import PreTrainedConfig

__all__ = [
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
]

# model_type -> (module, the prefix of its class names); a head exists where the module has the class.
_FAMILIES = {
    "bert": ("bert", "Bert"),
    "gpt2": ("gpt2", "GPT2"),
    "llama": ("llama", "Llama"),
    "mistral": ("llama", "Mistral"),
    "qwen2": ("llama", "Qwen2"),
    "t5": ("t5", "T5"),
}

# Families whose classes have names of their own: suffix -> classes, the first where config.json names none.
_OWN: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "bilstm_ctc": ("speech", {"Config": ("CTCConfig",), "ForCTC": ("BiLSTMForCTC",)}),
    "birnn": (
        "birnn",
        {
            "Config": ("BiRNNConfig",),
            "ForSequenceClassification": ("BiLSTMClassifier", "BiGRUClassifier"),
            "ForTokenClassification": ("BiLSTMTagger", "BiGRUTagger"),
        },
    ),
    "image_classification": (
        "_image",
        {"Config": ("ImageConfig",), "ForImageClassification": ("ImageModel",)},
    ),
}


def _find(config: PreTrainedConfig | str, suffixes: tuple[str, ...]) -> Any:
    kind = config if isinstance(config, str) else config.model_type
    if kind in _OWN:
        module, classes = _OWN[kind]
        names = next((classes[s] for s in suffixes if s in classes), None)
        if names is None:
            return None
        wanted = [] if isinstance(config, str) else config.architectures or []
        name = next((n for n in names if n in wanted), names[0])
        return getattr(importlib.import_module(f"dlcore.models.{module}"), name)
    if kind not in _FAMILIES:
        raise ValueError(f"model_type must be one of {', '.join([*_FAMILIES, *_OWN])}, got {kind!r}")
    module, prefix = _FAMILIES[kind]
    family = importlib.import_module(f"dlcore.models.{module}")
    return next((getattr(family, prefix + s) for s in suffixes if hasattr(family, prefix + s)), None)


class AutoConfig:
    """The configuration of a folder or of a name on the hub, in its family's class."""

    @staticmethod
    def from_pretrained(path: str | os.PathLike[str], **kwargs: Any) -> PreTrainedConfig:
        """Raises FileNotFoundError where there is no config.json, ValueError for an unknown family."""
        hub = {k: kwargs[k] for k in HUB_OPTIONS if k in kwargs}
        values = PreTrainedConfig.get_config_dict(path, **hub)
        if "model_type" not in values:
            raise ValueError(f"AutoConfig: config.json must have model_type: {os.fspath(path)}")
        found: PreTrainedConfig = _find(values["model_type"], ("Config",)).from_pretrained(path, **kwargs)
        return found

    @staticmethod
    def for_model(model_type: str, **kwargs: Any) -> PreTrainedConfig:
        """A fresh configuration of this family."""
        found: PreTrainedConfig = _find(model_type, ("Config",))(**kwargs)
        return found


class _Auto:
    """`from_pretrained(path)` and `from_config(config)`; the class itself has no instances."""

    _suffixes: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        name = type(self).__name__
        raise TypeError(f"{name}: use {name}.from_pretrained(path) or {name}.from_config(config)")

    @classmethod
    def _class_for(cls, config: PreTrainedConfig) -> Any:
        found = _find(config, cls._suffixes)
        if found is None:
            raise ValueError(f"{cls.__name__}: the family {config.model_type!r} has no such head")
        return found

    @classmethod
    def from_config(cls, config: PreTrainedConfig, **kwargs: Any) -> Any:
        """The model with fresh weights."""
        found = cls._class_for(config)
        return getattr(found, "from_config", found)(config, **kwargs)

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], *args: Any, config: Any = None, **kwargs: Any
    ) -> Any:
        """The model of a folder or of a name on the hub, as `PreTrainedModel.from_pretrained` reads it."""
        if not isinstance(config, PreTrainedConfig):
            hub = {k: kwargs[k] for k in HUB_OPTIONS if k in kwargs}
            config = AutoConfig.from_pretrained(path if config is None else config, **hub)
        return cls._class_for(config).from_pretrained(path, *args, config=config, **kwargs)


class AutoModel(_Auto):
    _suffixes = ("Model",)


class AutoModelForPreTraining(_Auto):
    _suffixes = ("ForPreTraining", "LMHeadModel", "ForCausalLM", "ForConditionalGeneration")


class AutoModelForMaskedLM(_Auto):
    _suffixes = ("ForMaskedLM",)


class AutoModelForCausalLM(_Auto):
    _suffixes = ("LMHeadModel", "ForCausalLM")


class AutoModelForSeq2SeqLM(_Auto):
    _suffixes = ("ForConditionalGeneration",)


class AutoModelForSequenceClassification(_Auto):
    _suffixes = ("ForSequenceClassification",)


class AutoModelForTokenClassification(_Auto):
    _suffixes = ("ForTokenClassification",)


class AutoModelForQuestionAnswering(_Auto):
    _suffixes = ("ForQuestionAnswering",)


class AutoModelForImageClassification(_Auto):
    _suffixes = ("ForImageClassification",)


class AutoModelForCTC(_Auto):
    _suffixes = ("ForCTC",)
