"""GenerationMixin: `generate` for every model with a language-modelling head."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore import functional as F
from dlcore.autograd import no_grad
from dlcore.generation import processors as P
from dlcore.generation import stopping as S
from dlcore.generation.cache import DynamicCache, EncoderDecoderCache
from dlcore.generation.config import GenerationConfig
from dlcore.generation.search import Job, Result, beam_search, sample
from dlcore.generation.streamers import BaseStreamer
from dlcore.models.outputs import ModelOutput
from dlcore.random import get_generator
from dlcore.tensor import Tensor

__all__ = ["GenerateOutput", "GenerationMixin"]

Ids = npt.NDArray[np.int64]


@dataclass
class GenerateOutput(ModelOutput):
    """What `generate` returns with return_dict_in_generate: ids (R, T), and by step the scores after the
    processors and the logits before them, each (R, V); for beams the score of each sequence and where its
    tokens came from.
    """

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    sequences_scores: Tensor | None = None
    beam_indices: Tensor | None = None
    past_key_values: Any = None


def _tensor(a: npt.NDArray[Any]) -> Tensor:
    return Tensor(_C.clone(_C.from_numpy(np.ascontiguousarray(a))))


def _rows(x: Any, repeats: int) -> Any:
    """Each row of the first axis `repeats` times."""
    return x.repeat_interleave(repeats, 0) if isinstance(x, Tensor) and repeats > 1 else x


def _as_list(eos: Any) -> list[int]:
    if eos is None:
        return []
    return [int(e) for e in np.atleast_1d(np.asarray(eos.numpy() if isinstance(eos, Tensor) else eos))]


class _Stepper:
    """Runs the model on what its cache has not seen yet, and keeps what it needs from step to step."""

    def __init__(
        self, model: Any, accepted: set[str], kwargs: dict[str, Any], cache: Any, mask: Ids | None
    ) -> None:
        self.model, self.kwargs, self.cache = model, kwargs, cache
        self.mask = None if mask is None or mask.all() else mask
        self.positions = "position_ids" in accepted
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self.encoder_decoder = bool(model.config.is_encoder_decoder)
        self.embeds: Tensor | None = kwargs.pop("inputs_embeds", None)
        self.prompt = 0  # tokens that all beams of a row share

    def __call__(self, ids: Ids) -> P.Scores:
        seen = 0 if self.cache is None else self.cache.get_seq_length()
        new = ids[:, seen:]
        inputs: dict[str, Any] = {**self.kwargs, **self.last_only, "use_cache": self.cache is not None}
        if self.cache is not None:
            inputs["past_key_values"] = self.cache
        name = "decoder_input_ids" if self.encoder_decoder else "input_ids"
        if self.embeds is not None and not self.encoder_decoder:
            inputs["inputs_embeds"] = self._embedded(ids, seen)
        else:
            inputs[name] = _tensor(new)
        if self.mask is not None:
            more = np.ones((len(ids), self._length(ids) - self.mask.shape[1]), np.int64)
            mask = np.concatenate([self.mask, more], 1)
            inputs["decoder_attention_mask" if self.encoder_decoder else "attention_mask"] = _tensor(mask)
            if self.positions:
                places = np.maximum(np.cumsum(mask, 1) - 1, 0)
                inputs["position_ids"] = _tensor(places[:, seen:])
        out = self.model(**inputs, return_dict=True)
        logits: P.Scores = np.array(out.logits[:, -1].numpy(), np.float32)
        return logits

    def _length(self, ids: Ids) -> int:
        return int(ids.shape[1]) + (0 if self.embeds is None else self.embeds.shape[1])

    def _embedded(self, ids: Ids, seen: int) -> Tensor:
        assert self.embeds is not None
        given = self.embeds.shape[1]
        if ids.shape[1] == 0:
            return self.embeds[:, seen:]
        table = self.model.get_input_embeddings()
        if seen >= given:
            return table(_tensor(ids[:, seen - given :]))  # type: ignore[no-any-return]
        return F.cat([self.embeds[:, seen:], table(_tensor(ids))], 1)

    def expand(self, n: int) -> None:
        if n == 1:
            return
        self.kwargs = {k: _expanded(v, n) for k, v in self.kwargs.items()}
        self.embeds = _rows(self.embeds, n)
        if self.mask is not None:
            self.mask = np.repeat(self.mask, n, 0)
        if self.cache is not None:
            self.prompt = self.cache.get_seq_length()
            self.cache.batch_repeat_interleave(n)

    def reorder(self, beams: npt.NDArray[np.int64]) -> None:
        if self.cache is not None:
            own = (
                self.cache.self_attention_cache if isinstance(self.cache, EncoderDecoderCache) else self.cache
            )
            own.reorder_cache(beams, self.prompt)  # the encoder's part is one for all beams of a row


def _expanded(value: Any, n: int) -> Any:
    if isinstance(value, ModelOutput):
        return type(value)(**{k: _expanded(v, n) for k, v in value.items()})
    if isinstance(value, tuple):
        return tuple(_expanded(v, n) for v in value)
    return _rows(value, n)


class GenerationMixin:
    """Adds `generate` to a model whose forward returns `.logits`; `generation_config` holds its defaults."""

    config: Any

    @property
    def generation_config(self) -> GenerationConfig:
        """The options that calls of `generate` begin from."""
        if "_generation_config" not in self.__dict__:
            self._generation_config = GenerationConfig.from_model_config(self.config)
        return self._generation_config

    @generation_config.setter
    def generation_config(self, value: GenerationConfig) -> None:
        self._generation_config = value

    def _load_generation_config(self, path: Any, hub: dict[str, Any]) -> None:
        if path is not None:
            try:
                self._generation_config = GenerationConfig.from_pretrained(path, **hub)
            except FileNotFoundError:
                self._generation_config = GenerationConfig.from_model_config(self.config)

    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Any], list[int]] | None = None,
        streamer: BaseStreamer | None = None,
        rng: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Token ids (R, T) that continue `inputs` (B, L), or answer them where the model has an encoder.

        Greedy by default; `num_beams` searches, `do_sample` draws (temperature, top_k, top_p, min_p,
        typical_p); R = B num_return_sequences. Prompts of several lengths are padded on the left, with
        `attention_mask` 0 there (inferred from pad_token_id where it is not given). Options are those of
        `GenerationConfig`, from the model's files, `generation_config`, and the keywords, the later ones
        first; other keywords go to the model. Processors and criteria of one's own are functions of NumPy
        arrays (`dlcore.generation.processors`). `past_key_values` of an earlier call makes only what it lacks
        be computed. `streamer` gets the tokens as they come, with beams those that all beams agree on. Draws
        come from `rng` (None: dlcore's generator), the same on any number of threads.

        Raises ValueError for options that contradict each other or that are not supported, for keywords the
        model does not take, and where max_length leaves no room for a token.

        >>> import dlcore
        >>> from dlcore.models import GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, eos_token_id=None)
        >>> GPT2LMHeadModel(config).eval().generate(dlcore.tensor([[1, 2]]), max_new_tokens=3).shape
        (1, 5)
        """
        config = (self.generation_config if generation_config is None else generation_config).copy()
        if generation_config is not None:  # what it does not say, the model's files do
            for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
                if not config.given(name) and self.generation_config.given(name):
                    setattr(config, name, getattr(self.generation_config, name))
        tokenizer = kwargs.pop("tokenizer", None)
        kwargs = config.update(**kwargs)
        config.refuse_unsupported()
        accepted = set(inspect.signature(self.forward).parameters)  # type: ignore[attr-defined]
        names = {"inputs", "input_ids", "attention_mask", "past_key_values", "encoder_outputs"} | accepted
        strangers = sorted(set(kwargs) - names)
        if strangers:
            raise ValueError(
                f"generate: neither an option nor an argument of the model: {', '.join(strangers)}"
            )
        kwargs = {k: v for k, v in kwargs.items() if v is not None}
        eos, pad = _as_list(config.eos_token_id), config.pad_token_id
        if pad is None:
            pad = eos[0] if eos else 0
        with no_grad():
            ids, stepper, encoder_ids = self._prepare(inputs, config, kwargs, accepted)
            prompt = ids.shape[1]
            max_length = self._max_length(config, prompt, stepper)
            if stepper.cache is not None and not isinstance(stepper.cache, EncoderDecoderCache):
                if stepper.cache.get_seq_length() >= max(prompt, 1) and stepper.embeds is None:
                    stepper.cache.crop(prompt - 1)  # the last token's logits are wanted again
                if stepper.cache.max_length is None and not stepper.cache.layers:
                    stepper.cache.max_length = max_length + (
                        0 if stepper.embeds is None else stepper.embeds.shape[1]
                    )
            elif stepper.cache is not None and not stepper.cache.self_attention_cache.layers:
                stepper.cache.self_attention_cache.max_length = max_length
            job = Job(
                ids=ids,
                config=config,
                max_length=max_length,
                eos=eos,
                pad=pad,
                processors=self._processors(
                    config, eos, prompt, max_length, encoder_ids, prefix_allowed_tokens_fn, logits_processor
                ),
                criteria=self._criteria(config, eos, max_length, stopping_criteria, tokenizer),
                step=stepper,
                expand=stepper.expand,
                reorder=stepper.reorder,
                rng=get_generator(rng),
                emit=None if streamer is None else streamer.put,
            )
            if streamer is not None:
                if len(ids) * (config.num_return_sequences if config.num_beams == 1 else 1) > 1:
                    raise ValueError("generate: a streamer takes one sequence, got a batch of several")
                streamer.put(ids[0])
            result = beam_search(job) if config.num_beams > 1 else sample(job)
            if streamer is not None:
                streamer.end()
        return self._output(config, result, stepper.cache)

    def _output(self, config: GenerationConfig, result: Result, cache: Any) -> Any:
        if not config.return_dict_in_generate:
            return _tensor(result.ids)
        beams = config.num_beams > 1
        return GenerateOutput(
            sequences=_tensor(result.ids),
            scores=tuple(_tensor(s) for s in result.scores) if config.output_scores else None,
            logits=tuple(_tensor(s) for s in result.logits) if config.output_logits else None,
            sequences_scores=(
                _tensor(result.sequences_scores)
                if beams and config.output_scores and result.sequences_scores is not None
                else None
            ),
            beam_indices=_tensor(result.beam_indices) if beams and result.beam_indices is not None else None,
            past_key_values=cache,
        )

    def _prepare(
        self, inputs: Tensor | None, config: GenerationConfig, kwargs: dict[str, Any], accepted: set[str]
    ) -> tuple[Ids, _Stepper, Ids | None]:
        """The decoder's first ids, and the model with its state."""
        given = [
            x for x in (inputs, kwargs.pop("inputs", None), kwargs.pop("input_ids", None)) if x is not None
        ]
        if len(given) > 1:
            raise ValueError("generate: inputs and input_ids are the same; give one of them")
        source = given[0] if given else None
        if source is not None:
            array = np.asarray(source.numpy() if isinstance(source, Tensor) else source)
            if array.ndim != 2 or array.dtype.kind not in "iu":
                raise ValueError(
                    f"generate: input_ids must be (batch, length) integers, got {array.shape} {array.dtype}"
                )
            source = array.astype(np.int64)
        mask = kwargs.pop("attention_mask", None)
        mask = (
            None
            if mask is None
            else np.asarray(mask.numpy() if isinstance(mask, Tensor) else mask).astype(np.int64)
        )
        eos, pad = _as_list(config.eos_token_id), config.pad_token_id
        if (
            mask is None
            and source is not None
            and pad is not None
            and pad not in eos
            and (source == pad).any()
        ):
            mask = (source != pad).astype(np.int64)
        cache = kwargs.pop("past_key_values", None)
        start = config.decoder_start_token_id
        start = config.bos_token_id if start is None else start
        if self.config.is_encoder_decoder:
            ids, encoder_ids = self._encode(source, mask, start, kwargs, accepted)
            if cache is None and config.use_cache:
                cache = EncoderDecoderCache()
            mask = kwargs.pop("decoder_attention_mask", None)
            mask = None if mask is None else np.asarray(mask.numpy())
            return ids, _Stepper(self, accepted, kwargs, cache, mask), encoder_ids
        if source is None and "inputs_embeds" in kwargs:
            source = np.empty((kwargs["inputs_embeds"].shape[0], 0), np.int64)
        elif source is None:
            if config.bos_token_id is None:
                raise ValueError("generate: without inputs, bos_token_id must say what to begin with")
            source = np.full((1, 1), config.bos_token_id, np.int64)
        if source.shape[1] == 0 and "inputs_embeds" not in kwargs:
            raise ValueError(f"generate: input_ids must have at least one token, got {source.shape}")
        if cache is None and config.use_cache:
            cache = DynamicCache()
        return source, _Stepper(self, accepted, kwargs, cache, mask), None

    def _encode(
        self, source: Ids | None, mask: Ids | None, start: Any, kwargs: dict[str, Any], accepted: set[str]
    ) -> tuple[Ids, Ids | None]:
        """Runs the encoder into kwargs; the decoder's first ids."""
        if "encoder_outputs" not in kwargs:
            encoder = self.get_encoder()  # type: ignore[attr-defined]
            of = (
                {"inputs_embeds": kwargs.pop("inputs_embeds")}
                if source is None
                else {"input_ids": _tensor(source)}
            )
            if mask is not None:
                of["attention_mask"] = _tensor(mask)
            kwargs["encoder_outputs"] = encoder(**of, return_dict=True)
        encoded = kwargs["encoder_outputs"]
        if isinstance(encoded, tuple):
            from dlcore.models.outputs import BaseModelOutput

            encoded = kwargs["encoder_outputs"] = BaseModelOutput(*encoded)
        batch = encoded.last_hidden_state.shape[0]
        if mask is not None and not mask.all():
            kwargs["attention_mask"] = _tensor(mask)
        ids = kwargs.pop("decoder_input_ids", None)
        if start is None and ids is None:
            raise ValueError("generate: decoder_start_token_id must say what the decoder begins with")
        first = np.full((batch, 1), start if start is not None else 0, np.int64)
        if ids is None:
            return first, source
        array = np.asarray(ids.numpy()).astype(np.int64)
        if start is not None and (array[:, :1] != first).all():
            array = np.concatenate([first, array], 1)
        return array, source

    def _max_length(self, config: GenerationConfig, prompt: int, stepper: _Stepper) -> int:
        embeds = 0 if stepper.embeds is None else stepper.embeds.shape[1]
        if config.max_new_tokens is not None:
            length = prompt + config.max_new_tokens
        elif config.given("max_length"):
            length = config.max_length - embeds
        else:
            length = prompt + int(GenerationConfig.defaults["max_length"])
            places = getattr(self.config, "max_position_embeddings", None)
            length = length if places is None or self.config.is_encoder_decoder else min(length, places)
        if length <= prompt:
            raise ValueError(
                f"generate: max_length must leave room for a token, got max_length={length} "
                f"and {prompt} tokens; raise it, or pass max_new_tokens"
            )
        return int(length)

    def _processors(
        self,
        config: GenerationConfig,
        eos: list[int],
        prompt: int,
        max_length: int,
        encoder_ids: Ids | None,
        allowed: Any,
        own: Any,
    ) -> P.LogitsProcessorList:
        """In Transformers' order."""
        out = P.LogitsProcessorList()
        if config.sequence_bias is not None:
            out.append(P.SequenceBiasLogitsProcessor(config.sequence_bias))
        if config.encoder_repetition_penalty != 1.0 and encoder_ids is not None:
            out.append(
                P.EncoderRepetitionPenaltyLogitsProcessor(config.encoder_repetition_penalty, encoder_ids)
            )
        if config.repetition_penalty != 1.0:
            out.append(P.RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
        if config.no_repeat_ngram_size > 0:
            out.append(P.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
        if config.encoder_no_repeat_ngram_size > 0 and encoder_ids is not None:
            out.append(
                P.EncoderNoRepeatNGramLogitsProcessor(config.encoder_no_repeat_ngram_size, encoder_ids)
            )
        if config.bad_words_ids is not None:
            out.append(P.NoBadWordsLogitsProcessor(config.bad_words_ids, eos or None))
        if config.min_length > 0 and eos:
            out.append(P.MinLengthLogitsProcessor(config.min_length, eos))
        if config.min_new_tokens and eos:
            out.append(P.MinNewTokensLengthLogitsProcessor(prompt, config.min_new_tokens, eos))
        if allowed is not None:
            out.append(P.PrefixConstrainedLogitsProcessor(allowed, config.num_beams))
        if config.forced_bos_token_id is not None:
            out.append(P.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id))
        if config.forced_eos_token_id is not None:
            out.append(P.ForcedEOSTokenLogitsProcessor(max_length, config.forced_eos_token_id))
        if config.remove_invalid_values:
            out.append(P.InfNanRemoveLogitsProcessor())
        if config.exponential_decay_length_penalty is not None and eos:
            out.append(P.ExponentialDecayLengthPenalty(config.exponential_decay_length_penalty, eos, prompt))
        if config.suppress_tokens is not None:
            out.append(P.SuppressTokensLogitsProcessor(config.suppress_tokens))
        if config.begin_suppress_tokens is not None:
            begin = prompt if prompt > 1 or config.forced_bos_token_id is None else prompt + 1
            out.append(P.SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin))
        out.extend(own or [])
        if config.do_sample:
            keep = len(eos) + 1 if config.num_beams > 1 and eos else 2 if config.num_beams > 1 else 1
            if config.temperature != 1.0:
                out.append(P.TemperatureLogitsWarper(config.temperature))
            if config.top_k != 0:
                out.append(P.TopKLogitsWarper(config.top_k, min_tokens_to_keep=keep))
            if config.top_p < 1.0:
                out.append(P.TopPLogitsWarper(config.top_p, min_tokens_to_keep=keep))
            if config.min_p is not None:
                out.append(P.MinPLogitsWarper(config.min_p, min_tokens_to_keep=keep))
            if config.typical_p < 1.0:
                out.append(P.TypicalLogitsWarper(config.typical_p, min_tokens_to_keep=keep))
            if 0.0 < config.epsilon_cutoff < 1.0:
                out.append(P.EpsilonLogitsWarper(config.epsilon_cutoff, min_tokens_to_keep=keep))
            if 0.0 < config.eta_cutoff < 1.0:
                out.append(P.EtaLogitsWarper(config.eta_cutoff, min_tokens_to_keep=keep))
        if config.renormalize_logits:
            out.append(P.LogitNormalization())
        return out

    def _criteria(
        self, config: GenerationConfig, eos: list[int], max_length: int, own: Any, tokenizer: Any
    ) -> S.StoppingCriteriaList:
        out = S.StoppingCriteriaList([S.MaxLengthCriteria(max_length)])
        if config.max_time is not None:
            out.append(S.MaxTimeCriteria(config.max_time))
        if config.stop_strings is not None:
            if tokenizer is None:
                raise ValueError("generate: stop_strings needs the tokenizer, as tokenizer=...")
            out.append(S.StopStringCriteria(tokenizer, config.stop_strings))
        if eos:
            out.append(S.EosTokenCriteria(eos))
        out.extend(own or [])
        return out
