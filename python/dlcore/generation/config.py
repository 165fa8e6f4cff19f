"""GenerationConfig: how to generate, as Transformers keeps it in generation_config.json."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any, ClassVar, Self

from dlcore.io.checkpoint import read_json

__all__ = ["GenerationConfig"]


class GenerationConfig:
    """Options of `generate`; those that are not given here, by the model's files or by the call have
    `GenerationConfig.defaults`.

    Raises ValueError for values that cannot be.

    >>> config = GenerationConfig(num_beams=4, max_new_tokens=10)
    >>> config.num_beams, config.do_sample
    (4, False)
    """

    defaults: ClassVar[dict[str, Any]] = {
        "bad_words_ids": None,
        "begin_suppress_tokens": None,
        "bos_token_id": None,
        "decoder_start_token_id": None,
        "do_sample": False,
        "early_stopping": False,
        "encoder_no_repeat_ngram_size": 0,
        "encoder_repetition_penalty": 1.0,
        "eos_token_id": None,
        "epsilon_cutoff": 0.0,
        "eta_cutoff": 0.0,
        "exponential_decay_length_penalty": None,
        "forced_bos_token_id": None,
        "forced_eos_token_id": None,
        "length_penalty": 1.0,
        "max_length": 20,
        "max_new_tokens": None,
        "max_time": None,
        "min_length": 0,
        "min_new_tokens": None,
        "min_p": None,
        "no_repeat_ngram_size": 0,
        "num_beams": 1,
        "num_return_sequences": 1,
        "output_logits": False,
        "output_scores": False,
        "pad_token_id": None,
        "remove_invalid_values": False,
        "renormalize_logits": False,
        "repetition_penalty": 1.0,
        "return_dict_in_generate": False,
        "sequence_bias": None,
        "stop_strings": None,
        "suppress_tokens": None,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
        "typical_p": 1.0,
        "use_cache": True,
    }
    # Read from files and kept, but nothing here does what they ask for: a call that sets one is refused.
    unsupported: ClassVar[dict[str, Any]] = {
        "assistant_early_exit": None,
        "cache_implementation": None,
        "constraints": None,
        "diversity_penalty": 0.0,
        "force_words_ids": None,
        "guidance_scale": None,
        "num_beam_groups": 1,
        "output_attentions": False,
        "output_hidden_states": False,
        "penalty_alpha": None,
        "prompt_lookup_num_tokens": None,
        "top_h": None,
        "watermarking_config": None,
    }

    def __init__(self, **kwargs: Any) -> None:
        self._given = {
            k: v for k, v in kwargs.items() if k not in ("transformers_version", "_from_model_config")
        }
        self.validate()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._given.get(name)
        if value is None:
            if name in self.defaults:
                return self.defaults[name]
            if name in self.unsupported:
                return self.unsupported[name]
            if name not in self._given:
                raise AttributeError(f"GenerationConfig has no attribute {name!r}")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self._given[name] = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # as of everything that changes

    def __repr__(self) -> str:
        return f"GenerationConfig {self.to_json_string()}"

    def given(self, name: str) -> bool:
        """Whether this was set, by a file or a caller."""
        return self._given.get(name) is not None

    def validate(self) -> None:
        def must(good: bool, what: str, name: str) -> None:
            if not good:
                raise ValueError(f"GenerationConfig: {name} must be {what}, got {getattr(self, name)!r}")

        for name in ("num_beams", "num_return_sequences"):
            must(
                isinstance(getattr(self, name), int) and getattr(self, name) >= 1, "a positive integer", name
            )
        for name in ("max_length", "max_new_tokens"):
            value = getattr(self, name)
            must(value is None or (isinstance(value, int) and value > 0), "a positive integer", name)
        for name in ("min_length", "min_new_tokens"):
            value = getattr(self, name)
            must(value is None or (isinstance(value, int) and value >= 0), "an integer of at least 0", name)
        must(self.early_stopping in (True, False, "never"), "True, False or 'never'", "early_stopping")
        if (
            self.num_return_sequences > 1
            and not self.do_sample
            and self.num_return_sequences > self.num_beams
        ):
            raise ValueError(
                "GenerationConfig: num_return_sequences above num_beams needs do_sample=True, got "
                f"num_return_sequences={self.num_return_sequences}, num_beams={self.num_beams}"
            )
        if self.num_beams > 1 and self.num_return_sequences > self.num_beams:
            raise ValueError(
                "GenerationConfig: num_return_sequences must be at most num_beams, got "
                f"{self.num_return_sequences} and {self.num_beams}"
            )

    def refuse_unsupported(self) -> None:
        for name, default in self.unsupported.items():
            if self._given.get(name) not in (None, default, False):
                raise ValueError(f"generate: {name} is not supported, got {self._given[name]!r}")

    def update(self, **kwargs: Any) -> dict[str, Any]:
        """Sets the options among these; returns the others."""
        rest = {}
        for name, value in kwargs.items():
            if name in self.defaults or name in self.unsupported:
                self._given[name] = value
            else:
                rest[name] = value
        self.validate()
        return rest

    def copy(self) -> GenerationConfig:
        return type(self)(**copy.deepcopy(self._given))

    def to_dict(self) -> dict[str, Any]:
        return {k: copy.deepcopy(v) for k, v in self._given.items() if v is not None}

    def to_json_string(self) -> str:
        out = self.to_dict()
        if isinstance(out.get("sequence_bias"), dict):  # JSON has no keys of several numbers
            out["sequence_bias"] = [[list(k), v] for k, v in out["sequence_bias"].items()]
        return json.dumps(out, indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes generation_config.json into a folder."""
        from dlcore.models.hub import write_text

        Path(save_directory).mkdir(parents=True, exist_ok=True)
        write_text(Path(save_directory) / "generation_config.json", self.to_json_string())

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """The generation_config.json of a folder or of a name on the hub; `kwargs` replace its values."""
        from dlcore.models.config import HUB_OPTIONS
        from dlcore.models.hub import find_file

        hub = {k: kwargs.pop(k) for k in HUB_OPTIONS if k in kwargs}
        return cls(**{**read_json(find_file(path, "generation_config.json", **hub)), **kwargs})

    @classmethod
    def from_model_config(cls, config: Any) -> Self:
        """What an old config.json said about generation, and its special tokens."""
        values = dict(getattr(config, "_generation", {}))
        for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
            if getattr(config, name, None) is not None:
                values[name] = getattr(config, name)
        return cls(**values)
