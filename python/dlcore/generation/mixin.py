"""GenerationMixin: `generate`, for every decoder and encoder-decoder."""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from typing import Any

import numpy as np

from dlcore.autograd import no_grad
from dlcore.generation import processors as lp
from dlcore.generation import stopping as sc
from dlcore.generation.config import DEFAULTS, GenerationConfig
from dlcore.generation.decoding import DecodingState, new_cache
from dlcore.generation.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
    GenerateDecoderOnlyOutput,
    GenerateEncoderDecoderOutput,
)
from dlcore.generation.processors import Array, as_array, as_tensor
from dlcore.generation.search import Record, beam_search, sample
from dlcore.outputs import BaseModelOutput
from dlcore.random import get_generator
from dlcore.tensor import Tensor

__all__ = ["GenerationMixin"]

_log = logging.getLogger(__name__)


def _parameters(function: Any) -> frozenset[str]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return frozenset(p.name for p in inspect.signature(function).parameters.values() if p.kind not in kinds)


def _ids(name: str, x: Any) -> Array:
    ids = as_array(x)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"generate: {name} must be (batch, length) integers, got {ids.shape} {ids.dtype.name}"
        )
    return ids.astype(np.int64)


def _eos(config: GenerationConfig) -> Array:
    ids = config.eos_token_id
    return np.empty(0, np.int64) if ids is None else lp.token_ids(ids)


class GenerationMixin:
    """A model with a language modelling head inherits (PreTrainedModel, GenerationMixin).

    Its `forward` takes input_ids, attention_mask, past_key_values, use_cache and, where it has them,
    position_ids, inputs_embeds and logits_to_keep, and returns logits; an encoder-decoder's takes
    encoder_outputs and decoder_input_ids, and `get_encoder()` gives its encoder.
    """

    config: Any
    forward: Any
    device: Any

    @property
    def generation_config(self) -> GenerationConfig:
        """What `generate` takes its defaults from: generation_config.json, else the model's configuration."""
        found: GenerationConfig | None = self.__dict__.get("_generation_config")
        if found is None:
            found = GenerationConfig.from_model_config(self.config)
            self.__dict__["_generation_config"] = found
        return found

    @generation_config.setter
    def generation_config(self, value: GenerationConfig) -> None:
        self.__dict__["_generation_config"] = value

    def _load_generation_config(self, path: Any, hub: dict[str, Any]) -> None:
        found = GenerationConfig.of_checkpoint(path, hub)
        if found is not None:
            self.generation_config = found

    def generate(
        self,
        inputs: Any = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Any = None,
        streamer: Any = None,
        rng: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The tokens of `inputs` (batch, length) and those that follow, (batch, total), as int64 tensor; an
        encoder-decoder's begin with decoder_start_token_id. With `return_dict_in_generate`, an output that
        also holds scores, logits, sequences_scores, beam_indices.

        Keywords are the options of `GenerationConfig` (max_new_tokens, do_sample, temperature, top_k, top_p,
        num_beams, ...), which replace those of `generation_config`, which replace the model's own; and the
        arguments of `forward` (attention_mask, past_key_values, inputs_embeds, encoder_outputs, ...).
        `tokenizer` is needed for stop_strings. Sampling draws from `rng`, None the library's generator: the
        same tokens at any number of threads. `streamer` gets each token as it is made; of beams, what all
        agree on.

        Nothing is recorded for gradients. Raises ValueError for unknown keywords and options that contradict
        each other or the input.

        >>> import dlcore
        >>> from dlcore.models import GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, eos_token_id=None)
        >>> GPT2LMHeadModel(config).eval().generate(dlcore.tensor([[1, 2]]), max_new_tokens=3).shape
        (1, 5)
        """
        with no_grad():
            return self._generate(
                inputs,
                generation_config,
                logits_processor or [],
                stopping_criteria or [],
                prefix_allowed_tokens_fn,
                streamer,
                rng,
                kwargs,
            )

    def _generate(
        self,
        inputs: Any,
        given: GenerationConfig | None,
        logits_processor: Any,
        stopping_criteria: Any,
        allowed: Any,
        streamer: Any,
        rng: Any,
        kwargs: dict[str, Any],
    ) -> Any:
        tokenizer = kwargs.pop("tokenizer", None)
        kwargs.pop("synced_gpus", None)
        unset = {
            name: kwargs.get(name) is None
            and (given is None or getattr(given, name) is None)
            and getattr(self.generation_config, name) is None
            for name in ("max_length", "min_length")
        }
        config, arguments = self._merged_config(given, kwargs)
        accepted = _parameters(self.forward)
        self._check_arguments(arguments, accepted)
        is_encoder_decoder = bool(self.config.is_encoder_decoder)
        beams, returned = config.num_beams, config.num_return_sequences
        per_input = max(beams, returned)
        ends = _eos(config)
        pad = config.pad_token_id
        if pad is None and len(ends):
            pad = int(ends[0])

        cache = arguments.pop("past_key_values", None)
        if inputs is not None and arguments.get("input_ids") is not None:
            raise ValueError("generate: inputs and input_ids are the same; give one of them")
        inputs = arguments.pop("input_ids", None) if inputs is None else inputs
        embeds = arguments.pop("inputs_embeds", None)
        mask = arguments.pop("attention_mask", None)
        positions = arguments.pop("position_ids", None)
        if mask is not None:
            mask = as_array(mask)
            if mask.ndim != 2:
                raise ValueError(f"generate: attention_mask must be (batch, length), got {mask.shape}")
            mask = (mask != 0).astype(np.int64)
        encoder_outputs = None
        if is_encoder_decoder:
            encoder_outputs = self._encoder_outputs(inputs, embeds, mask, config, arguments)
            source = inputs
            batch = encoder_outputs.last_hidden_state.shape[0]
            if mask is not None:
                arguments["attention_mask"] = as_tensor(mask)
            mask = arguments.pop("decoder_attention_mask", None)
            mask = None if mask is None else as_array(mask).astype(np.int64)
            ids, mask = self._decoder_start(arguments.pop("decoder_input_ids", None), mask, batch, config)
            embeds = None
        else:
            ids = self._decoder_ids(inputs, embeds, cache, config)
            source = ids
            if embeds is not None:
                config.use_cache = True
            if mask is None:
                mask = self._inferred_mask(ids, embeds, pad, ends)
            positions = self._positions(mask, positions)
            self._warn_of_right_padding(mask)
            if mask.all():
                # Kept only where it tells that the cache's tokens are not among the ids.
                past = 0 if cache is None else cache.get_seq_length()
                mask = mask if past and mask.shape[1] != ids.shape[1] else None
        length = ids.shape[1]
        total = length if embeds is None else embeds.shape[1]  # tokens that the cache gets from the prompt
        self._set_lengths(config, length, total, unset)

        if streamer is not None:
            if len(ids) * returned > 1:
                raise ValueError(
                    f"generate: a streamer takes one sequence, got {len(ids)} inputs, {returned} of each"
                )
            streamer.put(as_tensor(ids))
        processors = self._processors(
            config, ends, length, source, mask, per_input, allowed, logits_processor
        )
        criteria = self._criteria(config, ends, tokenizer, stopping_criteria)

        for name in ("output_attentions", "output_hidden_states"):
            if getattr(config, name):
                arguments[name] = True
        state = DecodingState(self, accepted, mask, positions, encoder_outputs, arguments)
        if not config.use_cache or "past_key_values" not in accepted:
            cache = None
        elif cache is None:
            cache = new_cache(is_encoder_decoder, total, config.max_length + total - length)
        held = 0 if cache is None else len(cache)
        if held not in (0, len(ids), len(ids) * per_input):
            raise ValueError(f"generate: past_key_values must have {len(ids)} rows, got {held}")
        # The prompt runs once an input, unless the rows are wanted apart or are apart in the cache already.
        apart = cache is None or config.output_attentions or config.output_hidden_states
        apart = apart or per_input == 1 or held not in (0, len(ids))
        prompt = np.repeat(ids, per_input, 0)
        if apart and held in (0, len(ids)):
            state.set_cache(cache)
        if apart:
            state.expand(per_input)
            embeds = None if embeds is None else _rows(embeds, per_input)
        state.set_cache(cache)
        outputs = state.prefill(prompt if apart else ids, embeds)
        logits = state.last_logits(outputs)
        if not apart:
            state.expand(per_input)
            logits = np.repeat(logits, per_input, 0)

        generator = get_generator(rng) if config.do_sample else None
        record = Record(config, is_encoder_decoder)
        scores = beam_indices = None
        if beams > 1:
            sequences, scores, beam_indices = beam_search(
                state,
                outputs,
                logits,
                prompt,
                processors,
                criteria,
                config,
                ends,
                pad,
                generator,
                streamer,
                record,
            )
        else:
            sequences = sample(
                state, outputs, logits, prompt, processors, criteria, config, pad, generator, streamer, record
            )
        if not config.return_dict_in_generate:
            return as_tensor(sequences)
        return self._output(config, record, state, sequences, scores, beam_indices, encoder_outputs)

    # ---- options and arguments -----------------------------------------------------------------------------

    def _merged_config(
        self, given: GenerationConfig | None, kwargs: dict[str, Any]
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        config = GenerationConfig() if given is None else copy.deepcopy(given)
        config.update(defaults_only=True, allow_custom_entries=True, **self.generation_config.to_dict())
        config.update(defaults_only=True, **DEFAULTS)
        rest = config.update(**kwargs)
        for name in ("max_length", "min_length", "num_beams", "num_return_sequences", "length_penalty"):
            if getattr(config, name) is None:
                setattr(config, name, DEFAULTS[name])
        config.check_supported()
        return config, rest

    def _check_arguments(self, arguments: dict[str, Any], accepted: frozenset[str]) -> None:
        known = set(accepted)
        if self.config.is_encoder_decoder:
            encoder = self._encoder()
            known |= _parameters(encoder.forward)
            decoder = getattr(self, "decoder", None)
            if decoder is not None:
                known |= {f"decoder_{name}" for name in _parameters(decoder.forward)}
        unknown = [name for name, value in arguments.items() if value is not None and name not in known]
        if unknown:
            raise ValueError(
                f"generate: neither an option nor an argument of the model: {', '.join(sorted(unknown))}"
            )
        for name in [name for name, value in arguments.items() if value is None or name not in accepted]:
            if arguments[name] is None:
                del arguments[name]

    def _encoder(self) -> Any:
        get = getattr(self, "get_encoder", None)
        return get() if get is not None else self.encoder  # type: ignore[attr-defined]

    def _encoder_outputs(
        self,
        inputs: Any,
        embeds: Any,
        mask: Array | None,
        config: GenerationConfig,
        arguments: dict[str, Any],
    ) -> Any:
        found = arguments.pop("encoder_outputs", None)
        if found is not None:
            return BaseModelOutput(found[0]) if isinstance(found, tuple) else found
        if inputs is not None and embeds is not None:
            raise ValueError("generate: input_ids and inputs_embeds cannot be used together")
        options: dict[str, Any] = {"return_dict": True}
        if embeds is not None:
            options["inputs_embeds"] = embeds
        else:
            if inputs is None:
                inputs = self._bos(config)
            options["input_ids"] = as_tensor(_ids("input_ids", inputs))
        if mask is not None:
            options["attention_mask"] = as_tensor(mask)
        encoder = self._encoder()
        names = _parameters(encoder.forward)
        for name in ("output_attentions", "output_hidden_states"):
            if getattr(config, name):
                options[name] = True
        accepted = _parameters(self.forward)
        for name in [k for k in arguments if k in names and k not in accepted]:
            options[name] = arguments.pop(name)
        return encoder(**options)

    @staticmethod
    def _bos(config: GenerationConfig, batch: int = 1) -> Array:
        bos = getattr(config, "bos_token_id", None)
        if bos is None:
            raise ValueError("generate: without inputs, bos_token_id must say what to begin with")
        return np.full((batch, 1), bos, np.int64)

    def _decoder_ids(self, inputs: Any, embeds: Any, cache: Any, config: GenerationConfig) -> Array:
        if inputs is not None:
            ids = _ids("input_ids", inputs)
            if ids.shape[1] == 0 and embeds is None:
                raise ValueError(f"generate: input_ids must have at least one token, got {ids.shape}")
            return ids
        if embeds is not None:
            return np.empty((embeds.shape[0], 0), np.int64)
        return self._bos(config, max(1, 0 if cache is None else len(cache)))

    def _decoder_start(
        self, ids: Any, mask: Array | None, batch: int, config: GenerationConfig
    ) -> tuple[Array, Array | None]:
        start = getattr(config, "decoder_start_token_id", None)
        start = getattr(config, "bos_token_id", None) if start is None else start
        if start is None:
            raise ValueError(
                "generate: decoder_start_token_id or bos_token_id must say what the decoder begins with"
            )
        first = as_array(start).astype(np.int64)
        if first.ndim == 1 and len(first) != batch:
            raise ValueError(
                f"generate: decoder_start_token_id must have one token an input, {batch}, got {len(first)}"
            )
        first = np.broadcast_to(first.reshape(-1, 1), (batch, 1))
        if ids is None:
            return first.copy(), mask
        ids = _ids("decoder_input_ids", ids)
        if ids.shape[1] == 0 or (ids[:, 0] != first[:, 0]).all():
            ids = np.concatenate([first, ids], 1)
            if mask is not None:
                mask = np.concatenate([np.ones((batch, 1), np.int64), mask], 1)
        return ids, mask

    @staticmethod
    def _inferred_mask(ids: Array, embeds: Any, pad: int | None, ends: Array) -> Array:
        """Padding is where pad_token_id stands, if that is not also the end of sequences."""
        if ids.shape[1] == 0:
            return np.ones(embeds.shape[:2], np.int64)
        if pad is None or pad in ends:
            return np.ones(ids.shape, np.int64)
        mask: Array = (ids != pad).astype(np.int64)
        return mask

    @staticmethod
    def _positions(mask: Array, given: Any) -> Array | None:
        if given is not None:
            return as_array(given).astype(np.int64)
        if mask.all():
            return None
        positions: Array = np.cumsum(mask, axis=1) - 1
        positions[mask == 0] = 0
        return positions

    @staticmethod
    def _warn_of_right_padding(mask: Array) -> None:
        if len(mask) > 1 and not mask[:, -1].all():
            _log.warning(
                "generate: right-padding was detected; a decoder wants its padding on the left "
                "(padding_side='left')"
            )

    def _set_lengths(
        self, config: GenerationConfig, length: int, inputs_length: int, unset: dict[str, bool]
    ) -> None:
        decoder_embeds = inputs_length != length
        if config.max_new_tokens is not None:
            if not unset["max_length"]:
                _log.warning("generate: both max_new_tokens and max_length are set; max_new_tokens holds")
            config.max_length = config.max_new_tokens + length
        elif decoder_embeds and not unset["max_length"]:
            config.max_length -= inputs_length
        elif unset["max_length"]:
            config.max_length += length
            limit = getattr(self.config, "max_position_embeddings", None)
            config.max_length = config.max_length if limit is None else min(config.max_length, limit)
            _log.warning(
                "generate: neither max_new_tokens nor max_length is given: up to %d tokens", config.max_length
            )
        if config.min_new_tokens is not None:
            config.min_length = config.min_new_tokens + length
        elif decoder_embeds:
            config.min_length = max(config.min_length - inputs_length, 0)
        if length >= config.max_length:
            name = "decoder_input_ids" if self.config.is_encoder_decoder else "input_ids"
            raise ValueError(
                f"generate: max_length must leave room for a token, got max_length={config.max_length} and "
                f"{length} {name}; raise it, or pass max_new_tokens"
            )
        if config.min_length is not None and config.min_length > config.max_length:
            name = "min_length" if config.min_new_tokens is None else "min_new_tokens"
            warnings.warn(
                f"generate: {name}={getattr(config, name)} cannot be reached: max_length={config.max_length}",
                UserWarning,
                stacklevel=4,
            )

    # ---- processors and criteria ---------------------------------------------------------------------------

    def _processors(
        self,
        config: Any,
        ends: Array,
        length: int,
        source: Any,
        mask: Array | None,
        per_input: int,
        allowed: Any,
        own: Any,
    ) -> lp.LogitsProcessorList:
        out: list[Any] = []
        source = None if source is None else as_array(source)
        source = None if source is None or source.ndim != 2 or not source.shape[1] else source
        if config.sequence_bias is not None:
            out.append(lp.SequenceBiasLogitsProcessor(config.sequence_bias))
        if config.encoder_repetition_penalty not in (None, 1.0):
            if source is not None:
                out.append(
                    lp.EncoderRepetitionPenaltyLogitsProcessor(config.encoder_repetition_penalty, source)
                )
            else:
                _ignored("encoder_repetition_penalty")
        if config.repetition_penalty not in (None, 1.0):
            skip = None if mask is None else np.repeat((mask != 0).argmax(1), per_input)
            out.append(lp.RepetitionPenaltyLogitsProcessor(config.repetition_penalty, skip))
        if config.no_repeat_ngram_size:
            out.append(lp.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
        if config.encoder_no_repeat_ngram_size:
            if source is not None:
                out.append(
                    lp.EncoderNoRepeatNGramLogitsProcessor(config.encoder_no_repeat_ngram_size, source)
                )
            else:
                _ignored("encoder_no_repeat_ngram_size")
        if config.bad_words_ids is not None:
            out.append(lp.NoBadWordsLogitsProcessor(config.bad_words_ids, ends))
        if config.min_length and len(ends):
            out.append(lp.MinLengthLogitsProcessor(config.min_length, ends))
        if config.min_new_tokens and len(ends):
            out.append(lp.MinNewTokensLengthLogitsProcessor(length, config.min_new_tokens, ends))
        if allowed is not None:
            out.append(lp.PrefixConstrainedLogitsProcessor(allowed, config.num_beams))
        if config.forced_bos_token_id is not None:
            out.append(lp.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id))
        if config.forced_eos_token_id is not None:
            out.append(lp.ForcedEOSTokenLogitsProcessor(config.max_length, config.forced_eos_token_id))
        if config.remove_invalid_values is True:
            out.append(lp.InfNanRemoveLogitsProcessor())
        if config.exponential_decay_length_penalty is not None:
            if not len(ends):
                raise ValueError("generate: exponential_decay_length_penalty needs eos_token_id")
            out.append(
                lp.ExponentialDecayLengthPenalty(config.exponential_decay_length_penalty, ends, length)
            )
        if config.suppress_tokens is not None:
            out.append(lp.SuppressTokensLogitsProcessor(config.suppress_tokens))
        if config.begin_suppress_tokens is not None:
            begin = length if length > 1 or config.forced_bos_token_id is None else length + 1
            out.append(lp.SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin))
        out = _merge(out, own)
        if config.do_sample:
            out += self._warpers(config, ends)
        if config.renormalize_logits is True:
            out.append(lp.LogitNormalization())
        return lp.LogitsProcessorList(out)

    @staticmethod
    def _warpers(config: Any, ends: Array) -> list[Any]:
        # With beams one token that does not end must remain, so that there is a way to go on.
        least = 1 if config.num_beams == 1 else max(2, len(ends) + 1)
        out: list[Any] = []
        if config.temperature not in (None, 1.0):
            out.append(lp.TemperatureLogitsWarper(config.temperature))
        if config.top_h is not None:
            out.append(lp.TopHLogitsWarper(config.top_h))
        if config.top_k:
            out.append(lp.TopKLogitsWarper(config.top_k, min_tokens_to_keep=least))
        if config.top_p is not None and config.top_p < 1:
            out.append(lp.TopPLogitsWarper(config.top_p, min_tokens_to_keep=least))
        if config.min_p is not None:
            out.append(lp.MinPLogitsWarper(config.min_p, min_tokens_to_keep=least))
        if config.typical_p is not None and config.typical_p < 1:
            out.append(lp.TypicalLogitsWarper(config.typical_p, min_tokens_to_keep=least))
        if config.epsilon_cutoff is not None and 0 < config.epsilon_cutoff < 1:
            out.append(lp.EpsilonLogitsWarper(config.epsilon_cutoff, min_tokens_to_keep=least))
        if config.eta_cutoff is not None and 0 < config.eta_cutoff < 1:
            out.append(lp.EtaLogitsWarper(config.eta_cutoff, min_tokens_to_keep=least))
        return out

    def _criteria(self, config: Any, ends: Array, tokenizer: Any, own: Any) -> sc.StoppingCriteriaList:
        limit = getattr(self.config, "max_position_embeddings", None)
        out: list[Any] = [sc.MaxLengthCriteria(config.max_length, limit)]
        if config.max_time is not None:
            out.append(sc.MaxTimeCriteria(config.max_time))
        if config.stop_strings is not None:
            if tokenizer is None:
                raise ValueError("generate: stop_strings needs the tokenizer, as tokenizer=...")
            out.append(sc.StopStringCriteria(tokenizer, config.stop_strings))
        if len(ends):
            out.append(sc.EosTokenCriteria(ends))
        return sc.StoppingCriteriaList(_merge(out, own))

    # ---- results -------------------------------------------------------------------------------------------

    def _output(
        self,
        config: Any,
        record: Record,
        state: DecodingState,
        sequences: Array,
        scores: Array | None,
        beam_indices: Array | None,
        encoder_outputs: Any,
    ) -> Any:
        def steps(values: list[Any] | None) -> tuple[Any, ...] | None:
            return None if values is None else tuple(values)

        out: dict[str, Any] = {
            "sequences": as_tensor(sequences),
            "scores": steps(record.scores),
            "logits": steps(record.logits),
            "past_key_values": state.cache,
        }
        if beam_indices is not None and scores is not None:
            out["beam_indices"] = as_tensor(beam_indices)
            out["sequences_scores"] = as_tensor(scores) if config.output_scores else None
        if self.config.is_encoder_decoder:
            out["decoder_attentions"] = steps(record.attentions)
            out["cross_attentions"] = steps(record.cross_attentions)
            out["decoder_hidden_states"] = steps(record.hidden_states)
            if config.output_attentions:
                out["encoder_attentions"] = encoder_outputs.get("attentions")
            if config.output_hidden_states:
                out["encoder_hidden_states"] = encoder_outputs.get("hidden_states")
            kind: Any = (
                GenerateEncoderDecoderOutput if beam_indices is None else GenerateBeamEncoderDecoderOutput
            )
        else:
            out["attentions"] = steps(record.attentions)
            out["hidden_states"] = steps(record.hidden_states)
            kind = GenerateDecoderOnlyOutput if beam_indices is None else GenerateBeamDecoderOnlyOutput
        return kind(**out)

    def compute_transition_scores(
        self,
        sequences: Tensor,
        scores: Any,
        beam_indices: Tensor | None = None,
        normalize_logits: bool = False,
    ) -> Tensor:
        """The score of each token that was generated, (rows, new tokens), from the `scores` of an output; 0
        after the end of a beam.
        """
        stacked = np.stack([as_array(s) for s in scores])  # (steps, rows, V)
        if normalize_logits:
            stacked = lp.log_softmax(stacked.reshape(-1, stacked.shape[2])).reshape(stacked.shape)
        tokens = as_array(sequences)
        if beam_indices is None:
            rows = np.repeat(np.arange(stacked.shape[1])[:, None], len(stacked), 1)
        else:
            rows = as_array(beam_indices)
        made = int((rows >= 0).sum(1).max())
        rows, new = rows[:, :made], tokens[:, tokens.shape[1] - made :]
        picked = stacked[np.arange(made), np.maximum(rows, 0), np.where(rows < 0, 0, new)]
        return as_tensor(np.where(rows < 0, picked.dtype.type(0), picked))


def _ignored(name: str) -> None:
    warnings.warn(
        f"generate: {name} needs input_ids: it has no effect",
        UserWarning,
        stacklevel=6,
    )


def _rows(x: Tensor, n: int) -> Tensor:
    return as_tensor(np.repeat(x.detach().numpy(), n, 0))


def _merge(defaults: list[Any], own: Any) -> list[Any]:
    """A caller's processor or criterion takes the place of one of its own type."""
    by_type = {type(one): one for one in reversed(list(own))}
    out = [by_type.get(type(one), one) for one in defaults]
    return out + [one for one in own if not any(one is o for o in out)]
