"""`generate` beside Transformers', on the same logits: beams, constraints, padding, caches, outputs."""

import numpy as np
import pytest

import dlcore
from dlcore.generation import (
    DynamicCache,
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
)
from tests import generate_oracle as oracle

pytestmark = pytest.mark.filterwarnings("ignore:Using the model-agnostic default")

IDS = np.random.default_rng(0).integers(3, 45, (3, 7))
LEFT = IDS.copy()
LEFT[0, :3] = 0
LEFT[2, :1] = 0
MASK = (LEFT != 0).astype(np.int64)


@pytest.fixture(scope="module")
def models():
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {"gpt2": oracle.gpt2(), "llama": oracle.llama(), "t5": oracle.t5()}
    torch.set_num_threads(threads)


def both(models, name, ids, **options):
    import torch

    ours, theirs = models[name]

    def to(make, x):
        return make(x) if isinstance(x, np.ndarray) else x

    a = ours.generate(dlcore.tensor(ids), **{k: to(dlcore.tensor, v) for k, v in options.items()})
    b = theirs.generate(torch.tensor(ids), **{k: to(torch.tensor, v) for k, v in options.items()})
    return a, b


def assert_same(models, name, ids, **options):
    a, b = both(models, name, ids, **options)
    np.testing.assert_array_equal(a.numpy(), b.numpy())


OPTIONS = {
    "plain": {"max_new_tokens": 12},
    "max_length": {"max_length": 15},
    "default_length": {},
    "no_cache": {"max_new_tokens": 10, "use_cache": False},
    "min_new_tokens": {"max_new_tokens": 10, "min_new_tokens": 8, "eos_token_id": list(range(2, 40))},
    "min_length": {"max_new_tokens": 12, "min_length": 12, "eos_token_id": list(range(2, 40))},
    "eos_list": {"max_new_tokens": 12, "eos_token_id": [2, 5, 9, 11, 20]},
    "no_eos": {"max_new_tokens": 8, "eos_token_id": None, "pad_token_id": None},
    "repetition_penalty": {"max_new_tokens": 10, "repetition_penalty": 1.5},
    "no_repeat_ngram_size": {"max_new_tokens": 10, "no_repeat_ngram_size": 2},
    "encoder_no_repeat": {"max_new_tokens": 10, "encoder_no_repeat_ngram_size": 2},
    "encoder_repetition": {"max_new_tokens": 10, "encoder_repetition_penalty": 2.0},
    "bad_words_ids": {"max_new_tokens": 10, "bad_words_ids": [[5], [7, 8], [2]]},
    "suppress_tokens": {"max_new_tokens": 10, "suppress_tokens": [3, 4, 5]},
    "begin_suppress": {"max_new_tokens": 6, "begin_suppress_tokens": list(range(3, 30))},
    "forced_eos": {"max_new_tokens": 5, "forced_eos_token_id": 2},
    "forced_bos": {"max_new_tokens": 5, "forced_bos_token_id": 7},
    "sequence_bias": {"max_new_tokens": 6, "sequence_bias": {(5,): 3.0, (7, 8): 2.0}},
    "decay": {"max_new_tokens": 9, "exponential_decay_length_penalty": (2, 1.8)},
    "normalized": {"max_new_tokens": 6, "renormalize_logits": True, "remove_invalid_values": True},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
def test_greedy_and_beams_equal_transformers(models, name, option):
    for beams in (1, 3):
        options = OPTIONS[option] | {"num_beams": beams}
        assert_same(models, name, LEFT, attention_mask=MASK, **options)
        if name != "t5" or "encoder" not in option:  # whose encoder has no mask: then padding attends
            assert_same(models, name, LEFT, **options)
        assert_same(models, name, IDS[:1], **options)


@pytest.mark.parametrize("early", [True, False, "never"])
@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_beams_of_every_kind_equal_transformers(models, name, early):
    for penalty in (-1.0, 0.0, 0.6, 1.0, 2.0):
        for beams, returned, eos in ((2, 1, [2]), (4, 3, [2, 17, 30]), (3, 3, list(range(2, 30)))):
            options = {"num_beams": beams, "num_return_sequences": returned, "length_penalty": penalty}
            assert_same(
                models, name, LEFT, max_new_tokens=11, early_stopping=early, eos_token_id=eos, **options
            )


@pytest.mark.parametrize("name", ["gpt2", "t5"])
@pytest.mark.parametrize("beams", [1, 3])
def test_outputs_equal_transformers(models, name, beams):
    options = {"max_new_tokens": 6, "num_beams": beams, "num_return_sequences": max(1, beams - 1)}
    wanted = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    a, b = both(models, name, LEFT, **options, **wanted)
    np.testing.assert_array_equal(a.sequences.numpy(), b.sequences.numpy())
    assert type(a).__name__ == type(b).__name__ and len(a.scores) == len(b.scores)
    for x, y in zip([*a.scores, *a.logits], [*b.scores, *b.logits], strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-4, atol=1e-3)
    assert a.past_key_values.get_seq_length() == b.past_key_values.get_seq_length()
    ours, theirs = models[name]
    rows = {}
    if beams > 1:
        np.testing.assert_allclose(a.sequences_scores.numpy(), b.sequences_scores.numpy(), rtol=1e-4)
        np.testing.assert_array_equal(a.beam_indices.numpy(), b.beam_indices.numpy())
        rows = {"beam_indices": a.beam_indices}
    mine = ours.compute_transition_scores(a.sequences, a.scores, normalize_logits=True, **rows)
    rows = {"beam_indices": b.beam_indices} if rows else {}
    other = theirs.compute_transition_scores(b.sequences, b.scores, normalize_logits=True, **rows)
    np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-4, atol=1e-3)


def test_attentions_and_hidden_states_are_given(models):
    for beams in (1, 2):
        a, b = both(
            models, "llama", LEFT, max_new_tokens=3, num_beams=beams, return_dict_in_generate=True,
            output_hidden_states=True,
        )  # fmt: skip
        assert [[h.shape for h in s] for s in a.hidden_states] == [
            [tuple(h.shape) for h in s] for s in b.hidden_states
        ]
        np.testing.assert_allclose(a.hidden_states[1][1].numpy(), b.hidden_states[1][1].numpy(), atol=1e-5)


def test_a_prompt_runs_once_for_all_its_beams(models):
    ours = models["gpt2"][0]
    ours.steps.clear()
    ours.generate(dlcore.tensor(IDS), max_new_tokens=3, num_beams=4)
    assert ours.steps == [(3, 7), (12, 1), (12, 1)]


@pytest.mark.parametrize("beams", [1, 2])
def test_a_filled_cache_goes_on(models, beams):
    ours = models["gpt2"][0]
    whole = ours.generate(dlcore.tensor(LEFT), max_new_tokens=9, num_beams=beams).numpy()
    cache = DynamicCache()
    ours.forward(
        dlcore.tensor(LEFT[:, :5]), attention_mask=dlcore.tensor(MASK[:, :5]), use_cache=True,
        position_ids=dlcore.tensor(np.maximum(MASK[:, :5].cumsum(1) - 1, 0)), past_key_values=cache,
    )  # fmt: skip
    ours.steps.clear()
    again = ours.generate(
        dlcore.tensor(LEFT), max_new_tokens=9, num_beams=beams, past_key_values=cache
    ).numpy()
    np.testing.assert_array_equal(whole, again)
    assert ours.steps[0] == (3, 2)
    again = ours.generate(dlcore.tensor(LEFT), max_new_tokens=9, num_beams=beams, past_key_values=cache)
    np.testing.assert_array_equal(whole, again.numpy())  # what it holds beyond the prompt is forgotten
    with pytest.raises(ValueError, match="past_key_values must have 1 rows, got 3"):
        ours.generate(dlcore.tensor(IDS[:1]), max_new_tokens=9, past_key_values=filled(ours, IDS[:, :4]))


def filled(model, ids):
    cache = DynamicCache()
    model.forward(dlcore.tensor(ids), use_cache=True, past_key_values=cache)
    return cache


def test_new_tokens_alone_go_on_with_a_mask_of_all(models):
    ours = models["llama"][0]
    whole = ours.generate(dlcore.tensor(IDS), max_new_tokens=6).numpy()
    mask = dlcore.tensor(np.ones((3, 7), np.int64))
    rest = ours.generate(
        dlcore.tensor(IDS[:, 4:]), attention_mask=mask, past_key_values=filled(ours, IDS[:, :4]),
        max_new_tokens=6,
    )  # fmt: skip
    np.testing.assert_array_equal(rest.numpy(), whole[:, 4:])


@pytest.mark.parametrize("beams", [1, 3])
def test_embeddings_in_place_of_tokens(models, beams):
    import torch

    ours, theirs = models["gpt2"]
    embeds = theirs.get_input_embeddings()(torch.tensor(IDS)).detach()
    mine = dlcore.tensor(embeds.numpy())
    for options in ({"max_new_tokens": 6}, {"max_length": 12}, {"max_new_tokens": 6, "ids": True}):
        options = {"num_beams": beams, **options}
        if options.pop("ids", False):
            a = ours.generate(dlcore.tensor(IDS), inputs_embeds=mine, **options)
            b = theirs.generate(torch.tensor(IDS), inputs_embeds=embeds, **options)
        else:
            a = ours.generate(inputs_embeds=mine, **options)
            b = theirs.generate(inputs_embeds=embeds, **options)
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_from_the_bos_token_alone(models):
    ours, theirs = models["gpt2"]
    np.testing.assert_array_equal(
        ours.generate(max_new_tokens=5).numpy(), theirs.generate(max_new_tokens=5).numpy()
    )


@pytest.mark.parametrize("beams", [1, 3])
def test_encoder_outputs_and_decoder_prompts(models, beams):
    import torch

    ours, theirs = models["t5"]
    start = np.array([[7, 9], [8, 4], [5, 5]])
    for prompt in (start, np.concatenate([np.zeros((3, 1), np.int64), start], 1)):
        options = {"max_new_tokens": 6, "num_beams": beams, "attention_mask": MASK}
        assert_same(models, "t5", LEFT, decoder_input_ids=prompt, **options)
    encoded = ours.get_encoder()(input_ids=dlcore.tensor(IDS))
    a = ours.generate(encoder_outputs=encoded, max_new_tokens=6, num_beams=beams)
    b = theirs.generate(torch.tensor(IDS), max_new_tokens=6, num_beams=beams)
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert_same(models, "t5", IDS, max_new_tokens=5, decoder_start_token_id=[3, 4, 5], num_beams=beams)


def test_own_processors_and_criteria(models):
    import torch
    import transformers

    class Only(LogitsProcessor):
        def process(self, ids, scores):
            out = np.full_like(scores, -np.inf)
            out[:, 11] = 0
            return out

    class OnlyTorch(transformers.LogitsProcessor):
        def __call__(self, input_ids, scores):
            out = torch.full_like(scores, -torch.inf)
            out[:, 11] = 0
            return out

    ours, theirs = models["gpt2"]
    a = ours.generate(dlcore.tensor(IDS), max_new_tokens=4, logits_processor=[Only()])
    b = theirs.generate(
        torch.tensor(IDS), max_new_tokens=4,
        logits_processor=transformers.LogitsProcessorList([OnlyTorch()]),
    )  # fmt: skip
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    one = IDS[:1]
    stopped = ours.generate(
        dlcore.tensor(one), max_new_tokens=9, stopping_criteria=[lambda ids, scores: ids.shape[1] >= 10]
    )
    assert stopped.shape == (1, 10)
    longer = ours.generate(
        dlcore.tensor(one), max_length=9, stopping_criteria=[MaxLengthCriteria(30)], eos_token_id=None
    )
    assert longer.shape == (1, 30)
    assert ours.generate(
        dlcore.tensor(one), max_new_tokens=30, stopping_criteria=[EosTokenCriteria(list(range(60)))]
    ).shape == (1, 8)
    allowed = {"prefix_allowed_tokens_fn": lambda i, sent: [i + 3, 9, 2]}
    for beams in (1, 2):
        assert_same(models, "gpt2", IDS, max_new_tokens=5, num_beams=beams, **allowed)


def test_options_come_from_the_model_then_the_configuration_then_keywords(models):
    ours = models["gpt2"][0]
    kept = ours.generation_config
    try:
        ours.generation_config = GenerationConfig(max_new_tokens=3, eos_token_id=None, bos_token_id=1)
        ids = dlcore.tensor(IDS)
        assert ours.generate(ids).shape == (3, 10)
        assert ours.generate(ids, GenerationConfig(max_new_tokens=4)).shape == (3, 11)
        assert ours.generate(ids, GenerationConfig(max_new_tokens=4), max_new_tokens=5).shape == (3, 12)
        assert ours.generation_config.max_new_tokens == 3
    finally:
        ours.generation_config = kept


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_new_token": 3}, "neither an option nor an argument of the model: max_new_token"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a positive integer"),
        ({"max_length": 7}, "must leave room for a token, got max_length=7 and 7 input_ids"),
        ({"num_return_sequences": 2}, "needs do_sample=True"),
        ({"num_beams": 2, "num_return_sequences": 3}, "at most num_beams=2, got 3"),
        ({"num_beams": 0}, "num_beams must be a positive integer"),
        ({"early_stopping": "sometimes"}, "early_stopping must be True, False or 'never'"),
        ({"stop_strings": "x", "max_new_tokens": 3}, "needs the tokenizer"),
        ({"num_beam_groups": 2}, "num_beam_groups is not supported, got 2"),
        ({"penalty_alpha": 0.5}, "penalty_alpha is not supported, got 0.5"),
        ({"temperature": 0.0, "do_sample": True, "max_new_tokens": 3}, "do_sample=False is greedy"),
        ({"input_ids": dlcore.tensor(IDS)}, "give one of them"),
        ({"attention_mask": dlcore.tensor(MASK[:, None])}, "must be .batch, length."),
        ({"num_beams": 2, "eos_token_id": list(range(60)), "max_new_tokens": 3}, "must leave 122 candidates"),
    ],
)
def test_what_cannot_be_is_said(models, options, text):
    with pytest.raises(ValueError, match=text):
        models["gpt2"][0].generate(dlcore.tensor(IDS), **options)


def test_inputs_that_cannot_be_are_said(models, caplog):
    ours = models["gpt2"][0]
    with pytest.raises(ValueError, match=r"must be \(batch, length\) integers"):
        ours.generate(dlcore.tensor(IDS[0]), max_new_tokens=3)
    with pytest.raises(ValueError, match=r"must be \(batch, length\) integers"):
        ours.generate(dlcore.ones(2, 3), max_new_tokens=3)
    with pytest.raises(ValueError, match="one token an input, 3, got 2"):
        models["t5"][0].generate(dlcore.tensor(IDS), decoder_start_token_id=[1, 2], max_new_tokens=3)
    ours.generate(dlcore.tensor(IDS))
    assert "neither max_new_tokens nor max_length is given: up to 27 tokens" in caplog.text


def test_nothing_is_recorded_and_the_mode_stays(models):
    out = models["gpt2"][0].generate(
        dlcore.tensor(IDS), max_new_tokens=2, return_dict_in_generate=True, output_scores=True
    )
    assert not out.scores[0].requires_grad and out.sequences.dtype == np.int64
    assert dlcore.autograd.is_grad_enabled()
