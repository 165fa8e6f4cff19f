"""GenerationConfig: how `generate` chooses tokens, as Transformers keeps it in generation_config.json."""

from __future__ import annotations

import copy
import json
import logging
import os
from pathlib import Path
from typing import Any, Self

from dlcore.hub import HUB_OPTIONS, find_file, find_optional, write_text
from dlcore.io.checkpoint import read_json

__all__ = ["GenerationConfig"]

_log = logging.getLogger(__name__)

# What a value of None stands for once generate() starts.
DEFAULTS: dict[str, Any] = {
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "use_cache": True,
    "early_stopping": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_logits": False,
    "output_scores": False,
    "return_dict_in_generate": False,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "encoder_repetition_penalty": 1.0,
}
_OTHERS = (
    "begin_suppress_tokens",
    "bos_token_id",
    "bad_words_ids",
    "decoder_start_token_id",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "max_new_tokens",
    "max_time",
    "min_new_tokens",
    "min_p",
    "pad_token_id",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
    "top_h",
)
# Ways of decoding that are not here: a value other than these raises when generate() is called.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "assistant_early_exit": (None,),
    "cache_implementation": (None, "dynamic"),
    "constraints": (None,),
    "diversity_penalty": (None, 0, 0.0),
    "dola_layers": (None,),
    "force_words_ids": (None,),
    "guidance_scale": (None, 1, 1.0),
    "low_memory": (None, False),
    "num_beam_groups": (None, 1),
    "penalty_alpha": (None, 0, 0.0),
    "prefill_chunk_size": (None,),
    "prompt_lookup_num_tokens": (None,),
    "token_healing": (None, False),
    "use_mtp": (None, False),
    "watermarking_config": (None,),
}
NAMES = (*DEFAULTS, *_OTHERS, *_UNSUPPORTED)

_SAMPLING = {
    "temperature": (None, 1.0),
    "top_p": (None, 1.0),
    "min_p": (None,),
    "top_h": (None,),
    "typical_p": (None, 1.0),
    "top_k": (None, 50),
    "epsilon_cutoff": (None, 0.0),
    "eta_cutoff": (None, 0.0),
}
_BEAMS = {"early_stopping": (None, False), "length_penalty": (None, 1.0)}
_OUTPUTS = ("output_attentions", "output_hidden_states", "output_scores", "output_logits")


class GenerationConfig:
    """Every option of `generate`; None stands for the default. Unknown keys become attributes.

    Raises ValueError for values that cannot be, or that contradict each other; what is merely without effect
    (a temperature without `do_sample`) is told on the log.

    >>> config = GenerationConfig(max_new_tokens=5, num_beams=3)
    >>> config.update(length_penalty=2.0, colour="red"), config.length_penalty
    ({'colour': 'red'}, 2.0)
    """

    # Every option is an attribute; these are the ones that the engine names.
    bad_words_ids: Any
    do_sample: Any
    early_stopping: Any
    eos_token_id: Any
    length_penalty: Any
    max_length: Any
    max_new_tokens: Any
    min_length: Any
    min_new_tokens: Any
    num_beams: Any
    num_return_sequences: Any
    output_attentions: Any
    output_hidden_states: Any
    pad_token_id: Any
    return_dict_in_generate: Any
    suppress_tokens: Any
    use_cache: Any
    _loaded: dict[str, Any]  # what a file said: it may be written again as it is

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("_from_model_config", None)
        kwargs.pop("_commit_hash", None)
        for name in NAMES:
            setattr(self, name, kwargs.get(name))
        self.transformers_version = kwargs.get("transformers_version")
        for name, value in kwargs.items():
            setattr(self, name, value)
        self.validate(given=set(kwargs))

    def validate(self, strict: bool = False, given: set[str] | None = None) -> None:
        """Raises ValueError for what cannot be; with `strict` also for what has no effect."""
        early = getattr(self, "early_stopping", None)
        if early not in (None, True, False, "never"):
            raise ValueError(
                f"GenerationConfig: early_stopping must be True, False or 'never', got {early!r}"
            )
        if self.max_new_tokens is not None and self.max_new_tokens <= 0:
            raise ValueError(
                f"GenerationConfig: max_new_tokens must be a positive integer, got {self.max_new_tokens!r}"
            )
        beams = 1 if self.num_beams is None else self.num_beams
        n = 1 if self.num_return_sequences is None else self.num_return_sequences
        for name, value in (("num_beams", beams), ("num_return_sequences", n)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"GenerationConfig: {name} must be a positive integer, got {value!r}")
        if n > 1 and beams == 1 and not self.do_sample:
            raise ValueError(
                f"GenerationConfig: num_return_sequences={n} needs do_sample=True or as many num_beams"
            )
        if n > beams > 1:
            raise ValueError(
                f"GenerationConfig: num_return_sequences must be at most num_beams={beams}, got {n}"
            )
        for name in ("forced_bos_token_id", "forced_eos_token_id"):
            forced = getattr(self, name)
            tokens = {forced} if isinstance(forced, int) else set(forced or ())
            if tokens and self.suppress_tokens is not None and tokens <= set(self.suppress_tokens):
                raise ValueError(
                    f"GenerationConfig: {name} must hold a token not in suppress_tokens, got {sorted(tokens)}"
                )
        for name in ("logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "streamer"):
            if hasattr(self, name):
                raise ValueError(
                    f"GenerationConfig: {name} is an argument of generate(), not one of its options"
                )
        minor = self._without_effect(beams, given)
        if minor and strict:
            raise ValueError("GenerationConfig: what has no effect must not be set: " + "; ".join(minor))
        if minor:
            _log.warning("generation flags that have no effect: %s", "; ".join(minor))

    def _without_effect(self, beams: int, given: set[str] | None) -> list[str]:
        found = []
        for needs, table, active in (
            ("do_sample=True", _SAMPLING, self.do_sample is True),
            ("num_beams > 1", _BEAMS, beams > 1),
        ):
            for name, neutral in () if active else table.items():
                value = getattr(self, name)
                if value not in neutral and (
                    given is None or {name, needs.split("=")[0].split()[0]} <= given
                ):
                    found.append(f"{name}={value} needs {needs}")
        for name in () if self.return_dict_in_generate is True else _OUTPUTS:
            if getattr(self, name) is True:
                found.append(f"{name}=True needs return_dict_in_generate=True")
        if self.pad_token_id is not None and self.pad_token_id < 0:
            found.append(f"pad_token_id={self.pad_token_id} is no token")
        return found

    def check_supported(self) -> None:
        """Raises ValueError for ways of decoding that are not here."""
        for name, neutral in _UNSUPPORTED.items():
            value = getattr(self, name, None)
            if value not in neutral:
                raise ValueError(f"generate: {name} is not supported, got {value!r}")

    def update(self, defaults_only: bool = False, allow_custom_entries: bool = False, **kwargs: Any) -> Any:
        """Sets what it knows and returns the rest; `defaults_only` sets only what is None."""
        rest = {}
        done = set()
        for name, value in kwargs.items():
            known = hasattr(self, name)
            kept = known and defaults_only and getattr(self, name) is not None
            if kept or not (known or allow_custom_entries):
                rest[name] = value
            else:
                setattr(self, name, value)
                done.add(name)
        self.validate(given=done)
        return rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # as of everything that changes

    def __repr__(self) -> str:
        return f"GenerationConfig {self.to_json_string()}"

    def to_dict(self) -> dict[str, Any]:
        out = {k: copy.deepcopy(v) for k, v in self.__dict__.items() if k[0] != "_"}
        out.pop("transformers_version", None)
        return out

    def to_diff_dict(self) -> dict[str, Any]:
        """Only what differs from the defaults."""
        return {k: v for k, v in self.to_dict().items() if v is not None or k not in NAMES}

    def to_json_string(self, use_diff: bool = True) -> str:
        values = self.to_diff_dict() if use_diff else self.to_dict()
        if isinstance(values.get("sequence_bias"), dict):  # tuples are no keys in JSON
            values["sequence_bias"] = [[list(k), v] for k, v in values["sequence_bias"].items()]
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], config_file_name: str = "generation_config.json"
    ) -> None:
        """Writes generation_config.json into a folder, which is made where it does not exist.

        Raises ValueError where a value was changed and one has no effect beside the others.
        """
        self.validate(strict=self.__dict__.get("_loaded") != self.to_dict())
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        write_text(Path(save_directory) / config_file_name, self.to_json_string())

    @classmethod
    def from_dict(cls, values: dict[str, Any], **kwargs: Any) -> Self:
        return cls(**{**values, **kwargs})

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        config_file_name: str = "generation_config.json",
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The options of a folder or of a name on the hub; `kwargs` replace its values.

        Raises FileNotFoundError where there is no such file, ValueError where it is not JSON.
        """
        hub = {k: kwargs.pop(k) for k in HUB_OPTIONS if k in kwargs}
        config = cls.from_dict(read_json(find_file(path, config_file_name, **hub)))
        config._loaded = config.to_dict()
        rest = config.update(**kwargs)
        return (config, rest) if return_unused_kwargs else config

    @classmethod
    def from_model_config(cls, model_config: Any) -> Self:
        """What a model's own configuration says: special tokens, and options that old files keep there."""
        values = {**model_config.to_dict(), **getattr(model_config, "_generation", {})}
        config = cls(**{k: v for k, v in values.items() if k in NAMES and v is not None})
        if any(getattr(config, name) for name in _OUTPUTS):
            config.return_dict_in_generate = True
        config._loaded = config.to_dict()
        return config

    @classmethod
    def of_checkpoint(cls, path: Any, hub: dict[str, Any]) -> Self | None:
        """The options beside the weights at `path`; None where there are none."""
        name = "generation_config.json"
        options = {k: v for k, v in hub.items() if k in HUB_OPTIONS}
        if path is None or os.path.isfile(path) or find_optional(path, name, **options) is None:
            return None
        found: Self = cls.from_pretrained(path, name, **options)
        return found
