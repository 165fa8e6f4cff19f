"""The generation engine beside Transformers': the same tokens from the same weights, and its own promises."""

import threading

import numpy as np
import pytest

import dlcore
from dlcore import generation, models
from dlcore.generation import DynamicCache, GenerationConfig
from tests.model_oracle import (
    array,
    ids,
    one_thread,  # noqa: F401  # for all tests here
    tensor,
    transformers,
)

hf = transformers()
torch = pytest.importorskip("torch", reason="torch is the oracle here")

V = 53


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=V,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    theirs = hf.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.normal_(0, 0.35)
    theirs.save_pretrained(folder)
    return models.GPT2LMHeadModel.from_pretrained(folder), theirs


def same(pair, x, mask=None, **kw):
    ours, theirs = pair
    theirs.generation_config = hf.GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    extra = {} if mask is None else {"attention_mask": mask}
    a = ours.generate(tensor(x), **{k: tensor(v) for k, v in extra.items()}, **kw)
    b = theirs.generate(torch.tensor(x), **{k: torch.tensor(v) for k, v in extra.items()}, **kw)
    a, b = array(a), array(b)
    assert a.shape == b.shape, (a, b)
    np.testing.assert_array_equal(a, b)
    return a


OPTIONS = [
    {},
    {"max_length": 11},
    {"min_new_tokens": 8},
    {"min_length": 12},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 1},
    {"bad_words_ids": [[5], [7, 9], [2], [3, 4, 6]]},
    {"suppress_tokens": [4, 9, 11]},
    {"begin_suppress_tokens": [4, 9, 11, 13, 20]},
    {"forced_eos_token_id": 2},
    {"eos_token_id": [2, 9, 17, 30]},
    {"eos_token_id": None},
    {"sequence_bias": {(7,): 3.0, (9, 11): -5.0, (4,): 2.5}},
    {"sequence_bias": [[[7], 3.0], [[9, 11], -5.0]]},
    {"exponential_decay_length_penalty": (3, 1.4)},
    {"renormalize_logits": True, "remove_invalid_values": True},
    {"use_cache": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")
@pytest.mark.parametrize("beams", [1, 3])
def test_tokens_equal_transformers(gpt2, options, beams):
    kw = {} if "max_length" in options else {"max_new_tokens": 14}
    for seed in range(3):
        same(gpt2, ids(3, 6, high=V, low=3, seed=seed), num_beams=beams, **kw, **options)


@pytest.mark.parametrize("beams", [2, 4, 7])
@pytest.mark.parametrize("early", [False, True, "never"])
@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.5])
def test_beams_length_penalty_and_early_stopping(gpt2, beams, early, penalty):
    for seed in range(2):
        x = ids(2, 5, high=V, low=3, seed=seed)
        same(
            gpt2, x, num_beams=beams, early_stopping=early, length_penalty=penalty, max_new_tokens=12,
            num_return_sequences=beams - 1, eos_token_id=[2, 5, 8, 13],
        )  # fmt: skip


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("given", [True, False], ids=["mask", "inferred"])
@pytest.mark.parametrize("cache", [True, False])
def test_left_padded_batches(gpt2, beams, given, cache):
    x = ids(4, 7, high=V, low=3, seed=4)
    mask = np.ones_like(x)
    for row, n in enumerate((0, 2, 5, 6)):
        x[row, :n] = 0
        mask[row, :n] = 0
    got = same(gpt2, x, mask if given else None, num_beams=beams, max_new_tokens=9, use_cache=cache)
    ours, _ = gpt2
    alone = array(ours.generate(tensor(x[2:3, 5:]), num_beams=beams, max_new_tokens=9))[0, 2:]
    np.testing.assert_array_equal(got[2, 7 : 7 + len(alone)], alone)


def test_scores_logits_and_beam_indices(gpt2):
    ours, theirs = gpt2
    x = ids(2, 5, high=V, low=3, seed=1)
    kw = {"max_new_tokens": 6, "return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    for beams in (1, 3):
        a = ours.generate(tensor(x), num_beams=beams, temperature=1.0, **kw)
        b = theirs.generate(torch.tensor(x), num_beams=beams, **kw)
        np.testing.assert_array_equal(array(a.sequences), array(b.sequences))
        assert len(a.scores) == len(b.scores) == len(a.logits)
        for p, q in zip([*a.scores, *a.logits], [*b.scores, *b.logits]):
            np.testing.assert_allclose(array(p), array(q), atol=3e-4)
        if beams > 1:
            np.testing.assert_allclose(array(a.sequences_scores), array(b.sequences_scores), atol=1e-4)
            np.testing.assert_array_equal(array(a.beam_indices), array(b.beam_indices))


PROCESSORS = [
    ("TemperatureLogitsWarper", (0.7,)),
    ("TopKLogitsWarper", (5,)),
    ("TopKLogitsWarper", (500,)),
    ("TopPLogitsWarper", (0.8,)),
    ("TopPLogitsWarper", (0.0,)),
    ("MinPLogitsWarper", (0.1,)),
    ("TypicalLogitsWarper", (0.6,)),
    ("EpsilonLogitsWarper", (0.02,)),
    ("EtaLogitsWarper", (0.05,)),
    ("RepetitionPenaltyLogitsProcessor", (1.3,)),
    ("NoRepeatNGramLogitsProcessor", (2,)),
    ("MinLengthLogitsProcessor", (9, [2, 3])),
    ("MinNewTokensLengthLogitsProcessor", (3, 5, [2])),
    ("ForcedBOSTokenLogitsProcessor", (4,)),
    ("ForcedEOSTokenLogitsProcessor", (7, [2])),
    ("SuppressTokensLogitsProcessor", ([3, 8],)),
    ("SuppressTokensAtBeginLogitsProcessor", ([3, 8], 6)),
    ("InfNanRemoveLogitsProcessor", ()),
    ("LogitNormalization", ()),
    ("ExponentialDecayLengthPenalty", ((1, 1.5), [2], 2)),
    ("NoBadWordsLogitsProcessor", ([[4], [5, 6]], [2])),
    ("SequenceBiasLogitsProcessor", ({(4,): 1.0, (5, 6): -2.0},)),
]


@pytest.mark.parametrize("name,arguments", PROCESSORS, ids=lambda x: x if isinstance(x, str) else None)
def test_processors_equal_transformers(name, arguments):
    rng = np.random.default_rng(0)
    for length in (1, 6):
        x = rng.integers(0, V, (4, length))
        x[:, -1:] = 5
        scores = rng.normal(0, 2.5, (4, V)).astype(np.float32)
        if name == "InfNanRemoveLogitsProcessor":
            scores[0, :3] = np.nan, np.inf, -np.inf
        theirs = [
            torch.tensor(a) if isinstance(a, list) and not isinstance(a[0], list) else a for a in arguments
        ]
        b = getattr(hf.generation.logits_process, name)(*theirs)(torch.tensor(x), torch.tensor(scores))
        a = getattr(generation, name)(*arguments)(x, scores.copy())
        np.testing.assert_allclose(a, b.numpy(), atol=2e-5)


def test_draws_follow_the_processed_distribution(gpt2):
    ours, _ = gpt2
    x = ids(1, 4, high=V, low=3)
    n = 4000
    kw = {"do_sample": True, "temperature": 0.8, "top_k": 12, "top_p": 0.9, "eos_token_id": None}
    drawn = array(ours.generate(tensor(x), max_new_tokens=1, num_return_sequences=n, rng=0, **kw))[:, -1]
    logits = array(ours(tensor(x)).logits)[0, -1:].copy() / np.float32(0.8)
    kept = generation.TopPLogitsWarper(0.9)(x, generation.TopKLogitsWarper(12)(x, logits))
    p = np.exp(kept[0] - kept[0].max())
    p /= p.sum()
    counts = np.bincount(drawn, minlength=V) / n
    assert (counts[p == 0] == 0).all()
    assert np.abs(counts - p).max() < 5 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_seed_decides_at_any_number_of_threads(gpt2, beams):
    ours, _ = gpt2
    x = tensor(ids(2, 4, high=V, low=3))
    kw = {"do_sample": True, "max_new_tokens": 8, "num_beams": beams}
    before, got = dlcore.get_num_threads(), []
    try:
        for threads in (1, 2):
            dlcore.set_num_threads(threads)
            got.append(array(ours.generate(x, rng=7, **kw)).tolist())
    finally:
        dlcore.set_num_threads(before)
    assert got[0] == got[1]
    dlcore.manual_seed(3)
    first = array(ours.generate(x, **kw)).tolist()
    dlcore.manual_seed(3)
    assert array(ours.generate(x, **kw)).tolist() == first
    assert any(array(ours.generate(x, rng=s, **kw)).tolist() != first for s in range(4))


def test_a_filled_cache_is_used(gpt2):
    ours, _ = gpt2
    x = ids(1, 9, high=V, low=3)
    whole = array(ours.generate(tensor(x), max_new_tokens=6))
    for n in (1, 5, 9):
        cache = DynamicCache()
        with dlcore.no_grad():
            ours(tensor(x[:, :n]), past_key_values=cache)
        got = ours.generate(tensor(x), max_new_tokens=6, past_key_values=cache)
        np.testing.assert_array_equal(array(got), whole)
    out = ours.generate(tensor(x), max_new_tokens=3, return_dict_in_generate=True, eos_token_id=None)
    more = ours.generate(
        out.sequences, max_new_tokens=3, past_key_values=out.past_key_values, eos_token_id=None
    )
    np.testing.assert_array_equal(
        array(more), array(ours.generate(tensor(x), max_new_tokens=6, eos_token_id=None))
    )


def test_embeddings_as_a_prompt(gpt2):
    x = ids(2, 5, high=V, low=3)
    ours, _ = gpt2
    embeds = ours.get_input_embeddings()(tensor(x)).detach()
    whole = array(ours.generate(tensor(x), max_new_tokens=6, min_new_tokens=6))
    for cache in (True, False):
        got = array(ours.generate(inputs_embeds=embeds, max_new_tokens=6, min_new_tokens=6, use_cache=cache))
        np.testing.assert_array_equal(got, whole[:, 5:])


def test_own_processors_criteria_and_allowed_tokens(gpt2):
    ours, theirs = gpt2
    x = ids(2, 4, high=V, low=3)

    def only_even(prompt, scores):
        scores[:, 1::2] = -np.inf
        return scores

    got = array(ours.generate(tensor(x), max_new_tokens=8, logits_processor=[only_even]))[:, 4:]
    assert (got % 2 == 0).all()
    got = array(ours.generate(tensor(x), max_new_tokens=8, stopping_criteria=[lambda i, s: i[:, -1] >= 0]))
    assert got.shape == (2, 5)

    def allowed(batch, sequence):
        return [10 + batch, 20]

    for beams in (1, 2):
        a = ours.generate(tensor(x), max_new_tokens=5, prefix_allowed_tokens_fn=allowed, num_beams=beams)
        b = theirs.generate(
            torch.tensor(x), max_new_tokens=5, prefix_allowed_tokens_fn=allowed, num_beams=beams
        )
        np.testing.assert_array_equal(array(a), array(b))


class Letters:
    """A tokenizer of letters, words parted by token 3."""

    def decode(self, tokens, **_):
        return "".join(" " if t == 3 else chr(97 + t % 26) for t in tokens)


def test_stop_strings(gpt2):
    ours, _ = gpt2
    x = ids(1, 4, high=V, low=3, seed=5)
    free = array(ours.generate(tensor(x), max_new_tokens=12, eos_token_id=None))[0]
    text = Letters().decode(free[4:])
    stop = text[3:6]
    at = text.index(stop)
    got = ours.generate(
        tensor(x), max_new_tokens=12, eos_token_id=None, stop_strings=stop, tokenizer=Letters()
    )
    np.testing.assert_array_equal(array(got)[0], free[: 4 + at + 3])
    with pytest.raises(ValueError, match="needs the tokenizer"):
        ours.generate(tensor(x), max_new_tokens=2, stop_strings="x")


@pytest.mark.parametrize("beams", [1, 3])
def test_streamers_get_the_text_that_is_returned(gpt2, beams, capsys):
    ours, _ = gpt2
    x = ids(1, 4, high=V, low=3, seed=6)
    kw = {"max_new_tokens": 15, "num_beams": beams, "sequence_bias": {(3,): 4.0}}
    expected = Letters().decode(array(ours.generate(tensor(x), **kw))[0, 4:])
    ours.generate(tensor(x), streamer=generation.TextStreamer(Letters(), skip_prompt=True), **kw)
    assert capsys.readouterr().out == expected + "\n"
    streamer = generation.TextIteratorStreamer(Letters(), skip_prompt=True, timeout=60)
    worker = threading.Thread(target=ours.generate, args=(tensor(x),), kwargs={"streamer": streamer, **kw})
    worker.start()
    pieces = list(streamer)
    worker.join()
    assert "".join(pieces) == expected and len(pieces) > 2
    with pytest.raises(ValueError, match="a streamer takes one sequence"):
        ours.generate(tensor(ids(2, 4, high=V)), streamer=streamer, **kw)


def test_generation_config_files(tmp_path, gpt2):
    ours, _ = gpt2
    config = GenerationConfig(num_beams=3, eos_token_id=[2, 4], max_new_tokens=5, sequence_bias={(1, 2): 0.5})
    config.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).num_beams == 3
    assert hf.GenerationConfig.from_pretrained(tmp_path).eos_token_id == [2, 4]
    hf.GenerationConfig(do_sample=True, top_p=0.5, max_length=33).save_pretrained(tmp_path)
    again = GenerationConfig.from_pretrained(tmp_path)
    assert (again.do_sample, again.top_p, again.max_length, again.top_k) == (True, 0.5, 33, None)
    ours.generation_config = GenerationConfig(max_new_tokens=2, eos_token_id=None)
    ours.save_pretrained(tmp_path)
    loaded = models.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert loaded.generate(tensor(ids(1, 3, high=V))).shape == (1, 5)
    assert hf.GPT2LMHeadModel.from_pretrained(tmp_path).generation_config.max_new_tokens == 2
    del ours._generation_config
    old = models.GPT2Config(**{**ours.config.to_dict(), "max_length": 7, "eos_token_id": None})
    assert models.GPT2LMHeadModel(old).eval().generate(tensor(ids(1, 3, high=V))).shape == (1, 7)


def test_what_cannot_be_is_refused(gpt2):
    ours, _ = gpt2
    x = tensor(ids(2, 4, high=V))
    for kw, what in (
        ({"colour": 1}, "neither an option nor an argument of the model: colour"),
        ({"max_length": 4}, "must leave room for a token"),
        ({"num_beams": 0}, "num_beams must be a positive integer"),
        ({"num_return_sequences": 2}, "needs do_sample=True"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences"),
        ({"early_stopping": "soon"}, "early_stopping must be"),
        ({"do_sample": True, "temperature": 0.0}, "temperature must be a positive"),
        ({"do_sample": True, "top_p": 2.0, "top_k": -1}, "top_k must be a positive"),
        ({"repetition_penalty": -1.0}, "repetition_penalty must be"),
        ({"bad_words_ids": [[]]}, "bad_words_ids must be"),
        ({"sequence_bias": {(V,): 1.0}}, "below the vocabulary"),
        ({"penalty_alpha": 0.6}, "penalty_alpha is not supported"),
        ({"prefix_allowed_tokens_fn": lambda b, s: []}, "must allow at least one"),
    ):
        with pytest.raises(ValueError, match=what):
            ours.generate(x, **kw)
    with pytest.raises(ValueError, match="must be \\(batch, length\\) integers"):
        ours.generate(tensor(np.ones((2, 3), np.float32)))
    with pytest.raises(ValueError, match="at least one token"):
        ours.generate(tensor(np.ones((1, 0), np.int64)))
    with pytest.raises(IndexError):
        ours.generate(x, max_new_tokens=80, eos_token_id=None)
    assert ours.generate(max_new_tokens=2).shape[0] == 1  # from the beginning-of-sequence token
    assert all(not p.requires_grad or p.grad is None for p in ours.parameters())
