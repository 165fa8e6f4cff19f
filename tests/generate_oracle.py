"""Transformers' own models behind the contract that `generate` calls, so that the engine is compared on equal
logits: what differs is the engine's, never a rounding in the model.
"""

import numpy as np

import dlcore
from dlcore.generation import GenerationConfig, GenerationMixin
from dlcore.outputs import BaseModelOutput, CausalLMOutput, Seq2SeqLMOutput
from tests.model_oracle import transformers


def theirs(x):
    import torch

    return None if x is None else torch.from_numpy(np.array(x.numpy()))


def ours(x):
    return None if x is None else dlcore.tensor(x.detach().numpy())


def each(xs):
    return None if xs is None else tuple(ours(x) for x in xs)


def fill(mine, other, past):
    for i, layer in enumerate(other.layers):
        mine.update(ours(layer.keys[:, :, past:]), ours(layer.values[:, :, past:]), i)


def copy_of(mine):
    from transformers import DynamicCache

    out = DynamicCache()
    for i, (k, v) in enumerate(mine):
        out.update(theirs(k), theirs(v), i)
    return out


class _Model(GenerationMixin):
    device = "cpu"

    def __init__(self, model):
        self.model, self.config, self.steps = model, model.config, []
        self.generation_config = GenerationConfig(
            **{k: v for k, v in model.generation_config.to_dict().items() if not k.startswith("_")}
        )

    def __call__(self, **kwargs):
        return self.forward(**kwargs)


class Decoder(_Model):
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        inputs_embeds=None,
        past_key_values=None,
        use_cache=None,
        logits_to_keep=0,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        import torch

        self.steps.append((input_ids if inputs_embeds is None else inputs_embeds).shape[:2])
        past = past_key_values.get_seq_length() if use_cache else 0
        cache = copy_of(past_key_values) if use_cache else None
        with torch.no_grad():
            out = self.model(
                input_ids=theirs(input_ids),
                attention_mask=theirs(attention_mask),
                position_ids=theirs(position_ids),
                inputs_embeds=theirs(inputs_embeds),
                past_key_values=cache,
                use_cache=bool(use_cache),
                logits_to_keep=logits_to_keep,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
            )
        if use_cache:
            fill(past_key_values, cache, past)
        return CausalLMOutput(
            logits=ours(out.logits),
            past_key_values=past_key_values,
            attentions=each(out.attentions),
            hidden_states=each(out.hidden_states),
        )


class _Encoder:
    def __init__(self, model):
        self.model = model

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, return_dict=None):
        import torch

        with torch.no_grad():
            out = self.model(
                input_ids=theirs(input_ids),
                attention_mask=theirs(attention_mask),
                inputs_embeds=theirs(inputs_embeds),
            )
        return BaseModelOutput(ours(out.last_hidden_state))

    def __call__(self, **kwargs):
        return self.forward(**kwargs)


class EncoderDecoder(_Model):
    def get_encoder(self):
        return _Encoder(self.model.get_encoder())

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        encoder_outputs=None,
        past_key_values=None,
        use_cache=None,
        return_dict=None,
    ):
        import torch
        from transformers import EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput as TheirOutput

        self.steps.append(decoder_input_ids.shape)
        past, cache = 0, None
        if use_cache:
            past = past_key_values.get_seq_length()
            cache = EncoderDecoderCache(
                copy_of(past_key_values.self_attention_cache), copy_of(past_key_values.cross_attention_cache)
            )
        with torch.no_grad():
            out = self.model(
                attention_mask=theirs(attention_mask),
                decoder_input_ids=theirs(decoder_input_ids),
                decoder_attention_mask=theirs(decoder_attention_mask),
                encoder_outputs=TheirOutput(theirs(encoder_outputs.last_hidden_state)),
                past_key_values=cache,
                use_cache=bool(use_cache),
            )
        if use_cache:
            fill(past_key_values.self_attention_cache, cache.self_attention_cache, past)
            if past == 0:
                fill(past_key_values.cross_attention_cache, cache.cross_attention_cache, 0)
        return Seq2SeqLMOutput(logits=ours(out.logits), past_key_values=past_key_values)


def gpt2(**changes):
    import torch

    T = transformers()
    torch.manual_seed(0)
    config = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    config |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.5}
    model = T.GPT2LMHeadModel(T.GPT2Config(**config | changes)).eval()
    return Decoder(model), model


def llama(**changes):
    import torch

    T = transformers()
    torch.manual_seed(1)
    config = {"vocab_size": 45, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    config |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.6}
    model = T.LlamaForCausalLM(T.LlamaConfig(**config | changes)).eval()
    return Decoder(model), model


def t5(**changes):
    import torch

    T = transformers()
    torch.manual_seed(2)
    config = {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    config |= {"decoder_start_token_id": 0, "initializer_factor": 3.0}
    model = T.T5ForConditionalGeneration(T.T5Config(**config | changes)).eval()
    return EncoderDecoder(model), model
