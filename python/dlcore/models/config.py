"""PreTrainedConfig: a model's configuration as Transformers keeps it in config.json."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any, ClassVar, Self

from dlcore.hub import HUB_OPTIONS, find_file, write_text
from dlcore.io.checkpoint import read_json

__all__ = ["PreTrainedConfig"]

# What belongs to generation_config.json: old files hold it here, and a configuration drops it.
_GENERATION = frozenset(
    [
        "max_length",
        "min_length",
        "do_sample",
        "early_stopping",
        "num_beams",
        "num_beam_groups",
        "diversity_penalty",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
        "repetition_penalty",
        "length_penalty",
        "no_repeat_ngram_size",
        "bad_words_ids",
        "encoder_no_repeat_ngram_size",
        "num_return_sequences",
        "output_scores",
        "return_dict_in_generate",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "remove_invalid_values",
        "exponential_decay_length_penalty",
        "suppress_tokens",
        "begin_suppress_tokens",
    ]
)


class PreTrainedConfig:
    """What all configurations share; a family adds `model_type`, `defaults`, and `attribute_map` where its
    names differ from the common ones (GPT-2's `n_embd` is `hidden_size`). Unknown keys become attributes.

    Raises ValueError for values that contradict each other.

    >>> config = PreTrainedConfig(num_labels=3)
    >>> config.id2label[2]
    'LABEL_2'
    """

    model_type: ClassVar[str] = ""
    attribute_map: ClassVar[dict[str, str]] = {}
    defaults: ClassVar[dict[str, Any]] = {}
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    _common: ClassVar[dict[str, Any]] = {
        "architectures": None,
        "chunk_size_feed_forward": 0,
        "dtype": None,
        "is_encoder_decoder": False,
        "output_attentions": False,
        "output_hidden_states": False,
        "problem_type": None,
        "return_dict": True,
        "tie_word_embeddings": True,
    }

    def __init__(self, **kwargs: Any) -> None:
        for name, value in {**self._common, **self.defaults}.items():
            setattr(self, name, copy.deepcopy(value))
        if "torch_dtype" in kwargs:
            kwargs.setdefault("dtype", kwargs.pop("torch_dtype"))
        kwargs.pop("model_type", None)
        labels, n, names = (
            kwargs.pop("num_labels", None),
            kwargs.pop("id2label", None),
            kwargs.pop("label2id", None),
        )
        self._generation = {
            k: kwargs.pop(k) for k in list(kwargs) if k in _GENERATION and k not in self.defaults
        }
        self.name_or_path = kwargs.pop("_name_or_path", kwargs.pop("name_or_path", ""))
        self._set_labels(labels, n, names)
        for name, value in kwargs.items():
            setattr(self, name, value)
        if self.problem_type not in (
            None, "regression", "single_label_classification", "multi_label_classification"
        ):  # fmt: skip
            raise ValueError(
                f"{type(self).__name__}: problem_type must be 'regression', 'single_label_classification' or "
                f"'multi_label_classification', got {self.problem_type!r}"
            )

    def _set_labels(self, num_labels: int | None, id2label: Any, label2id: Any) -> None:
        if id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
        else:
            self.id2label = {int(k): v for k, v in id2label.items()}
            self.label2id = {v: k for k, v in self.id2label.items()} if label2id is None else dict(label2id)
            if num_labels is not None and num_labels != len(self.id2label):
                self.num_labels = num_labels

    problem_type: str | None
    architectures: list[str] | None
    is_encoder_decoder: bool
    tie_word_embeddings: bool

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, n: int) -> None:
        if "id2label" not in self.__dict__ or len(self.id2label) != n:
            self.id2label = {i: f"LABEL_{i}" for i in range(n)}
            self.label2id = {v: k for k, v in self.id2label.items()}

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, self.attribute_map.get(name, name), value)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            mapped = type(self).attribute_map.get(name, name)
            if mapped != name:
                return getattr(self, mapped)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PreTrainedConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # as of everything that changes

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def to_dict(self) -> dict[str, Any]:
        """Everything the configuration holds, ready for JSON."""
        out = {k: copy.deepcopy(v) for k, v in self.__dict__.items() if k[0] != "_" and k != "name_or_path"}
        out["model_type"] = self.model_type
        return out

    def to_json_string(self) -> str:
        out = self.to_dict()
        if self.id2label == {0: "LABEL_0", 1: "LABEL_1"}:  # the default of every reader
            del out["id2label"], out["label2id"]
        return json.dumps(out, indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes config.json into a folder, which is made where it does not exist."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        write_text(Path(save_directory) / "config.json", self.to_json_string())

    @classmethod
    def get_config_dict(cls, path: str | os.PathLike[str], **hub: Any) -> dict[str, Any]:
        return read_json(find_file(path, "config.json", **hub))

    @classmethod
    def from_dict(cls, values: dict[str, Any], **kwargs: Any) -> Self:
        return cls(**{**values, **kwargs})

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """The configuration of a folder, a config.json, or a name on the hub; `kwargs` replace its values.

        Raises FileNotFoundError where there is none, ValueError where it is not JSON or of another family.
        """
        hub = {k: kwargs.pop(k) for k in HUB_OPTIONS if k in kwargs}
        values = cls.get_config_dict(path, **hub)
        given = values.get("model_type", cls.model_type)
        if cls.model_type and given != cls.model_type:
            raise ValueError(
                f"{cls.__name__}: the configuration must be of model_type {cls.model_type!r}, got {given!r}: "
                f"{os.fspath(path)}"
            )
        return cls.from_dict({**values, "_name_or_path": os.fspath(path)}, **kwargs)
