"""PreTrainedModel: a module with a configuration and checkpoints under Transformers' names."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from dlcore import _C, nn
from dlcore.hub import HUB_OPTIONS, find_optional, write_text
from dlcore.io import open_checkpoint, save_file
from dlcore.io.checkpoint import Checkpoint, weight_map_of
from dlcore.models.config import PreTrainedConfig
from dlcore.nn import init
from dlcore.tensor import Tensor

__all__ = ["LoadingReport", "PreTrainedModel"]

_log = logging.getLogger(__name__)

SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"


@dataclass
class LoadingReport:
    """Which names of model and checkpoint did not meet."""

    missing_keys: list[str] = field(default_factory=list)
    unexpected_keys: list[str] = field(default_factory=list)
    mismatched_keys: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{kind}: {', '.join(names)}"
            for kind, names in (("missing", self.missing_keys), ("unexpected", self.unexpected_keys))
            if names
        ]
        lines += [f"mismatched: {n} is {a} in the file, {b} in the model" for n, a, b in self.mismatched_keys]
        return "; ".join(lines) or "all names met"

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "error_msgs": []}


class PreTrainedModel(nn.Module):
    """What all models of Hugging Face's families share. A family names its `config_class` and, for its
    heads, the attribute that holds the base model (`base_model_prefix`), so that checkpoints of one load into
    the other.
    """

    config_class: ClassVar[type[PreTrainedConfig]] = PreTrainedConfig
    base_model_prefix: ClassVar[str] = ""
    main_input_name: ClassVar[str] = "input_ids"
    # Weights that are one: name -> the name it is tied to, held if config.tie_word_embeddings.
    _tied_weights_keys: ClassVar[dict[str, str]] = {}
    _ignore_on_load_missing: ClassVar[tuple[str, ...]] = ()  # patterns
    _ignore_on_load_unexpected: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(
                f"{type(self).__name__}: config must be a {self.config_class.__name__}, "
                f"got {type(config).__name__}"
            )
        self.config = config

    def post_init(self) -> None:
        """The end of every constructor: initial weights, then ties."""
        if not init._skipping():
            self.apply(self._init_weights)
        self.tie_weights()

    def _init_weights(self, module: nn.Module) -> None:
        """The values one layer begins with: N(0, initializer_range²), norms 1 and 0, biases 0."""
        std = getattr(self.config, "initializer_range", 0.02)
        if isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, 0.0, std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding) and module.padding_idx is not None:
                init.zeros_(module.weight.detach()[module.padding_idx])
        elif isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
            module.reset_parameters()

    # ---- the parts that callers ask for --------------------------------------------------------------------

    @property
    def base_model(self) -> nn.Module:
        """The model without its head; itself where there is no head."""
        base: nn.Module = getattr(self, self.base_model_prefix, self) if self.base_model_prefix else self
        return base

    @property
    def dtype(self) -> np.dtype[Any]:
        return next((p.dtype for p in self.parameters()), np.dtype(np.float32))

    @property
    def device(self) -> str:
        return next((p.device for p in self.parameters()), "cpu")

    def num_parameters(self, only_trainable: bool = False) -> int:
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)

    def _wants_dict(self, return_dict: bool | None) -> bool:
        return bool(self.config.return_dict if return_dict is None else return_dict)

    def can_generate(self) -> bool:
        return hasattr(self, "generate")

    def get_input_embeddings(self) -> nn.Embedding:
        if self.base_model is self:
            raise NotImplementedError(f"{type(self).__name__}: get_input_embeddings")
        base: Any = self.base_model
        table: nn.Embedding = base.get_input_embeddings()
        return table

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        if self.base_model is self:
            raise NotImplementedError(f"{type(self).__name__}: set_input_embeddings")
        base: Any = self.base_model
        base.set_input_embeddings(value)
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        return getattr(self, "lm_head", None)

    def tie_weights(self) -> None:
        """Makes tied weights one parameter, as the configuration asks."""
        if not self.config.tie_word_embeddings:
            return
        for name, source in self._tied_weights_keys.items():
            owner, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(owner), leaf, self.get_parameter(source))

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> nn.Embedding:
        """Gives the vocabulary this many tokens: known rows stay, new ones are drawn as at the beginning.

        Raises ValueError for a size below 1.
        """
        old = self.get_input_embeddings()
        if new_num_tokens is None or new_num_tokens == old.num_embeddings:
            return old
        if new_num_tokens < 1:
            raise ValueError(
                f"resize_token_embeddings: new_num_tokens must be positive, got {new_num_tokens}"
            )
        padding = (
            old.padding_idx if old.padding_idx is not None and old.padding_idx < new_num_tokens else None
        )
        table = nn.Embedding(
            new_num_tokens, old.embedding_dim, padding, device=old.weight.device, dtype=old.weight.dtype
        )
        self._init_weights(table)
        kept = min(new_num_tokens, old.num_embeddings)
        _keep_rows(table.weight, old.weight, kept)
        head = self.get_output_embeddings()
        tied = head is not None and head.weight is old.weight
        self.set_input_embeddings(table)
        if head is not None:
            if not tied:
                rows = nn.Linear(
                    head.in_features, new_num_tokens, head.bias is not None, dtype=head.weight.dtype
                )
                self._init_weights(rows)
                _keep_rows(rows.weight, head.weight, kept)
                head.weight = rows.weight
            if head.bias is not None and head.bias.shape[0] != new_num_tokens:
                bias = nn.Parameter(
                    Tensor(_C.full((new_num_tokens,), 0.0, head.bias.dtype, head.bias.device))
                )
                _keep_rows(bias, head.bias, kept)
                head.bias = bias
            head.out_features = new_num_tokens
            self.tie_weights()
        self.config.vocab_size = new_num_tokens
        return table

    # ---- reading -------------------------------------------------------------------------------------------

    @classmethod
    def _rename(cls, name: str) -> str:
        """The name that an entry of an old checkpoint has today."""
        for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
            if name.endswith(old):
                return name[: -len(old)] + new
        return name

    @classmethod
    def _convert(cls, config: PreTrainedConfig, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """The checkpoint with the entries that this family stores otherwise; a mapping name -> Array."""
        return state

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *model_args: Any,
        config: PreTrainedConfig | str | os.PathLike[str] | None = None,
        state_dict: Mapping[str, Any] | None = None,
        dtype: Any = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        use_safetensors: bool | None = None,
        strict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The model of a folder, or of a name on the hub, in eval mode.

        Weights come from model.safetensors (mapped into memory, and read at once where they stay as they
        are), pytorch_model.bin (by a reader that runs no code), or their shards. Keywords that the
        configuration knows replace its values; what is left goes to the constructor. float16 and bfloat16
        weights become float32; `dtype` asks for another, and bfloat16 keeps those of the linear layers as
        they are, for inference (`quantize`). Weights that the file lacks are drawn anew and reported on the
        log; with `strict` this raises.

        Raises FileNotFoundError where there are no weights, ValueError for corrupt files, RuntimeError with
        all mismatched shapes together unless `ignore_mismatched_sizes`.
        """
        path = pretrained_model_name_or_path
        hub = {k: kwargs.pop(k) for k in HUB_OPTIONS if k in kwargs}
        dtype = kwargs.pop("torch_dtype", None) if dtype is None else dtype
        for ignored in ("device_map", "low_cpu_mem_usage", "trust_remote_code", "attn_implementation"):
            kwargs.pop(ignored, None)
        if not isinstance(config, PreTrainedConfig):
            place = path if config is None else config
            if place is None:
                raise ValueError(f"{cls.__name__}.from_pretrained: without a path a config is needed")
            config = cls.config_class.from_pretrained(place, **hub)
        for name in [k for k in kwargs if k == "num_labels" or hasattr(config, k)]:
            setattr(config, name, kwargs.pop(name))
        if state_dict is None:
            if path is None:
                raise ValueError(f"{cls.__name__}.from_pretrained: without a path a state_dict is needed")
            state_dict = _open_weights(path, use_safetensors, hub)
        with init.skipped():
            model = cls(config, *model_args, **kwargs)
        narrow = _name_of(dtype) == "bfloat16"
        wanted = _wanted(None if narrow else dtype, state_dict)
        if not narrow and isinstance(state_dict, Checkpoint):
            state_dict.read()
        report = model._load(state_dict, wanted, ignore_mismatched_sizes)
        if strict and (report.missing_keys or report.unexpected_keys):
            raise RuntimeError(f"{cls.__name__}.from_pretrained: {report}")
        model.eval()
        if model.can_generate():
            model._load_generation_config(path, hub)  # type: ignore[attr-defined]
        if narrow:
            model.quantize("bfloat16")
        return (model, report.as_dict()) if output_loading_info else model

    def _load(self, checkpoint: Mapping[str, Any], dtype: np.dtype[Any], ignore_sizes: bool) -> LoadingReport:
        """Gives every parameter its array; draws the ones that the checkpoint lacks."""
        own: dict[str, Tensor] = self.state_dict(keep_vars=True)
        prefix = self.base_model_prefix + "."
        state = self._convert(self.config, checkpoint)
        found: dict[str, str] = {}
        report = LoadingReport()
        for name in state:
            renamed = self._rename(name)
            bare = renamed.removeprefix(prefix)
            target = next((n for n in (renamed, prefix + renamed, bare) if n in own), None)
            if target is not None:
                found[target] = name
            elif not _matches(self._ignore_on_load_unexpected, renamed):
                report.unexpected_keys.append(name)
        arrays: dict[int, _C.Array] = {}  # by identity: tied weights are one tensor under several names
        for target, name in found.items():
            shape = _shape_of(state, name)
            if shape != own[target].shape:
                report.mismatched_keys.append((target, shape, own[target].shape))
            elif id(own[target]) not in arrays:
                arrays[id(own[target])] = _as(state[name], own[target], dtype)
        if report.mismatched_keys and not ignore_sizes:
            raise RuntimeError(
                f"{type(self).__name__}.from_pretrained: the shapes must be those of the model "
                f"(or pass ignore_mismatched_sizes=True): {report}"
            )
        absent = [n for n, t in own.items() if id(t) not in arrays]
        report.missing_keys = [
            n for n in absent if n not in found and not _matches(self._ignore_on_load_missing, n)
        ]
        for owner in sorted({n.rpartition(".")[0] for n in absent}):
            self._init_weights(self.get_submodule(owner))
        for tensor in own.values():
            if id(tensor) in arrays:
                tensor.array = arrays[id(tensor)]
            elif tensor.dtype.kind == "f":
                tensor.array = _C.cast(tensor.array, dtype)
        if report.missing_keys or report.mismatched_keys:
            _log.warning(
                "%s: some weights are newly drawn and want training: %s", type(self).__name__, report
            )
        elif report.unexpected_keys:
            _log.info("%s: %s", type(self).__name__, report)
        return report

    def quantize(self, dtype: Any = "int8") -> Self:
        """Keeps the weights of the linear layers as int8 or bfloat16, in place, and returns the model: for
        decoding, as `dlcore.quantization.quantize_dynamic` does it.
        """
        from dlcore.quantization import quantize_dynamic

        return quantize_dynamic(self, dtype=dtype, inplace=True)

    # ---- writing -------------------------------------------------------------------------------------------

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        state_dict: Mapping[str, Any] | None = None,
        max_shard_size: int | str = "50GB",
        variant: str | None = None,
    ) -> None:
        """Writes config.json, model.safetensors (shards and their index above `max_shard_size`) and, for a
        model that generates, generation_config.json, which Transformers reads. Tied weights are written once,
        under the name they are tied to.

        Raises ValueError for a size that is no number of bytes, and for a model that `quantize` has changed.
        """
        if any(type(m).__name__ == "QuantizedLinear" for m in self.modules()):
            raise ValueError(
                "save_pretrained: quantized weights have no form in these files; save, then quantize"
            )
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = type(self.config).from_dict(self.config.to_dict())
        config.architectures = [type(self).__name__]
        config.dtype = self.dtype.name
        config.save_pretrained(folder)
        if self.can_generate():
            self.generation_config.save_pretrained(folder)  # type: ignore[attr-defined]
        state = dict(self.state_dict(keep_vars=True) if state_dict is None else state_dict)
        if state_dict is None:
            for name, source in self._tied_weights_keys.items():
                if state.get(name) is state.get(source):
                    state.pop(name, None)
            seen: dict[int, str] = {}
            state = {n: t for n, t in state.items() if seen.setdefault(id(t), n) == n}
        stem = "model" if variant is None else f"model.{variant}"
        _save_shards(state, folder, stem, _bytes(max_shard_size))


def _keep_rows(new: Tensor, old: Tensor, n: int) -> None:
    _C.copy_into(new.detach()[:n].array, old.detach()[:n].array)


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.search(p, name) for p in patterns)


def _shape_of(state: Mapping[str, Any], name: str) -> tuple[int, ...]:
    ask = getattr(state, "shape", None)
    return tuple(ask(name) if ask is not None else state[name].shape)


def _as(value: Any, target: Tensor, dtype: np.dtype[Any]) -> _C.Array:
    if isinstance(value, Tensor):
        value = value.array
    elif not isinstance(value, _C.Array):
        value = _C.from_numpy(np.ascontiguousarray(value))
    wanted = dtype if target.dtype.kind == "f" else target.dtype
    return value if value.dtype == wanted else _C.cast(value, wanted)


def _name_of(dtype: Any) -> str:
    return str(getattr(dtype, "name", None) or str(dtype).removeprefix("torch."))


def _wanted(dtype: Any, state: Mapping[str, Any]) -> np.dtype[Any]:
    """float32, or float64 where that is asked for or is what the file holds."""
    if dtype is None or (isinstance(dtype, str) and dtype == "auto"):
        of = getattr(state, "dtype", None)
        names = {of(n) if of is not None else str(state[n].dtype) for n in list(state)[:8]}
        return np.dtype("float64" if names == {"float64"} else "float32")
    name = _name_of(dtype)
    if name in ("float32", "float64"):
        return np.dtype(name)
    raise ValueError(f"from_pretrained: dtype must be float32, float64 or bfloat16, got {dtype!r}")


def _open_weights(path: str | os.PathLike[str], use_safetensors: bool | None, hub: dict[str, Any]) -> Any:
    place = Path(path)
    if place.is_file() and place.suffix != ".json":
        return open_checkpoint(place)
    names = [] if use_safetensors is False else [SAFETENSORS, SAFETENSORS + ".index.json"]
    names += [] if use_safetensors else [TORCH, TORCH + ".index.json"]
    for name in names:
        file = find_optional(path, name, **hub)
        if file is None:
            continue
        if name.endswith(".index.json"):
            for shard in sorted(set(weight_map_of(file).values())):
                find_optional(path, shard, **hub)  # from the hub into the same folder of its cache
        return open_checkpoint(file)
    raise FileNotFoundError(
        f"from_pretrained: there must be one of {', '.join(names)}, got none in {os.fspath(path)!r}"
    )


def _bytes(size: int | str) -> int:
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)\s*", size, re.IGNORECASE)
    if match is None:
        raise ValueError(
            f"save_pretrained: max_shard_size must be a number of bytes such as '5GB', got {size!r}"
        )
    unit = match[2].upper()
    base = 1024 if "I" in unit else 1000
    return int(float(match[1]) * base ** "BKMGT".index(unit[0]))


def _save_shards(state: dict[str, Any], folder: Path, stem: str, limit: int) -> None:
    shards: list[dict[str, Any]] = [{}]
    size = total = 0
    for name, t in state.items():
        nbytes = t.numel() * t.dtype.itemsize if isinstance(t, Tensor) else np.asarray(t).nbytes
        if shards[-1] and size + nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = t
        size += nbytes
        total += nbytes
    index = folder / f"{stem}.safetensors.index.json"
    if len(shards) == 1:
        save_file(state, folder / f"{stem}.safetensors", {"format": "pt"})
        index.unlink(missing_ok=True)
        return
    weight_map: dict[str, str] = {}
    for i, shard in enumerate(shards, 1):
        file = f"{stem}-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file, {"format": "pt"})
        weight_map.update(dict.fromkeys(shard, file))
    write_text(
        index, json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2) + "\n"
    )
    (folder / f"{stem}.safetensors").unlink(missing_ok=True)
