"""Sampling, streamers, stop strings, and where generation_config.json comes from and goes to."""

import asyncio
import json
from threading import Thread
from typing import ClassVar

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.generation import (
    AsyncTextIteratorStreamer,
    BaseStreamer,
    GenerationConfig,
    GenerationMixin,
    StopStringCriteria,
    TextIteratorStreamer,
    TextStreamer,
)
from dlcore.generation.search import draw, draw_without_replacement
from dlcore.models import PreTrainedConfig, PreTrainedModel
from dlcore.outputs import CausalLMOutput
from tests.model_oracle import (
    one_thread,  # noqa: F401  # for all tests here
    transformers,
)


class TinyConfig(PreTrainedConfig):
    model_type = "tiny"
    defaults: ClassVar = {
        "width": 8,
        "vocab_size": 12,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "pad_token_id": None,
    }


class TinyLM(PreTrainedModel, GenerationMixin):
    """Each token follows from the one before; no cache."""

    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.head = nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def forward(self, input_ids, logits_to_keep=0, return_dict=None):
        return CausalLMOutput(logits=self.head(self.embed(input_ids[:, -logits_to_keep:])))


@pytest.fixture
def model():
    dlcore.manual_seed(3)
    lm = TinyLM(TinyConfig(initializer_range=1.0))
    lm.generation_config.eos_token_id = None
    return lm


START = dlcore.tensor([[1, 2, 3]])


def within(counts, p, sigmas=4.5):
    n = counts.sum()
    expected = n * p
    bound = sigmas * np.sqrt(np.maximum(expected * (1 - p), 1))
    assert (np.abs(counts - expected) <= bound).all(), (counts, expected)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0},
        {"top_k": 4},
        {"top_k": 0, "top_p": 0.7},
        {"top_k": 0, "temperature": 0.5},
        {"top_k": 0, "min_p": 0.3},
        {"top_k": 0, "typical_p": 0.6},
    ],
)
def test_draws_follow_the_processed_softmax(model, options):
    n = 6000
    out = model.generate(
        dlcore.tensor([[5]]), do_sample=True, max_new_tokens=1, num_return_sequences=n, rng=1,
        return_dict_in_generate=True, output_scores=True, **options,
    )  # fmt: skip
    counts = np.bincount(out.sequences.numpy()[:, 1], minlength=12)
    p = softmax(out.scores[0].numpy()[0].astype(np.float64))
    assert (counts[p == 0] == 0).all()
    within(counts, p)


def test_the_first_of_several_draws_without_replacement_has_the_softmax():
    x = np.random.default_rng(0).standard_normal((1, 9)).astype(np.float32) * 2
    x[0, 4] = -np.inf
    rng = np.random.default_rng(5)
    kept, places = draw_without_replacement(np.repeat(x, 8000, 0), 3, rng)
    within(np.bincount(places[:, 0], minlength=9), softmax(x[0].astype(np.float64)))
    assert all(len(set(row)) == 3 for row in places.tolist()) and 4 not in places
    np.testing.assert_array_equal(kept[:, 0], x[0, places[:, 0]])


def test_scores_that_cannot_be_drawn_from_raise():
    for bad in (np.nan, np.inf, -np.inf):
        x = np.zeros((2, 3), np.float32)
        x[1] = bad
        with pytest.raises(ValueError, match="finite largest value"):
            draw(x, np.random.default_rng(0))


@pytest.mark.parametrize("beams", [1, 3])
def test_a_seed_gives_the_same_tokens_at_any_number_of_threads(model, beams):
    def run(**options):
        return model.generate(
            dlcore.tensor([[1, 2], [3, 4]]), do_sample=True, max_new_tokens=15, num_beams=beams, **options
        ).tolist()

    threads = dlcore.get_num_threads()
    seen = []
    try:
        for n in (1, 2):
            dlcore.set_num_threads(n)
            dlcore.manual_seed(9)
            seen.append(run())
            seen.append(run(rng=9))
            seen.append(run(rng=np.random.default_rng(9)))
    finally:
        dlcore.set_num_threads(threads)
    assert seen[:3] == seen[3:] and seen[0] == seen[1] == seen[2]
    assert run(rng=10) != seen[0]


def test_beams_sample_as_many_as_are_asked_for(model):
    out = model.generate(START, do_sample=True, num_beams=4, num_return_sequences=4, max_new_tokens=5, rng=0)
    assert out.shape == (4, 8) and len(np.unique(out.numpy(), axis=0)) == 4


# ---- streamers and stop strings ----------------------------------------------------------------------------


class Words:
    """A tokenizer of a dozen words."""

    words = ("", "the ", "quick ", "brown ", "fox", " jum", "ps ", "over\n", "lazy ", "中", "d", "og ")

    def decode(self, tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False):
        return "".join(self.words[t] for t in tokens)


class Tokens(BaseStreamer):
    def __init__(self):
        self.calls = []

    def put(self, value):
        self.calls.append(value.tolist())

    def end(self):
        self.calls.append("end")


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"num_beams": 4, "eos_token_id": [4, 7]}])
def test_streams_carry_every_token_in_order(model, options):
    streamer = Tokens()
    out = model.generate(START, max_new_tokens=9, streamer=streamer, **options).tolist()[0]
    assert streamer.calls[0] == [out[:3]] and streamer.calls[-1] == "end"
    assert [t for (t,) in streamer.calls[1:-1]] == out[3:]
    with pytest.raises(ValueError, match="a streamer takes one sequence"):
        model.generate(dlcore.tensor([[1], [2]]), max_new_tokens=2, streamer=Tokens())


def test_text_streamer_prints_whole_words_as_transformers_does(capsys):
    theirs = transformers().TextStreamer
    tokens = [[[1, 2]], [3], [4], [5], [6], [7], [9], [9], [10], [11], [4]]
    for skip in (False, True):
        pieces = {}
        for kind in (TextStreamer, theirs):
            streamer, pieces[kind] = kind(Words(), skip_prompt=skip, skip_special_tokens=True), []
            streamer.on_finalized_text = lambda text, stream_end=False, out=pieces[kind]: out.append(
                (text, stream_end)
            )
            for value in tokens:
                streamer.put(np.array(value))
            streamer.end()
        assert pieces[TextStreamer] == pieces[theirs]
    streamer = TextStreamer(Words())
    streamer.put(dlcore.tensor([[1, 2, 4]]))
    streamer.end()
    assert capsys.readouterr().out == "the quick fox\n"
    with pytest.raises(ValueError, match="put takes one sequence"):
        streamer.put(dlcore.tensor([[1], [2]]))


def test_text_comes_through_a_queue_from_another_thread(model):
    text = Words().decode(model.generate(START, max_new_tokens=8).tolist()[0])
    streamer = TextIteratorStreamer(Words(), timeout=30)
    thread = Thread(target=model.generate, args=(START,), kwargs={"max_new_tokens": 8, "streamer": streamer})
    thread.start()
    assert "".join(streamer) == text
    thread.join()

    async def read():
        streamer = AsyncTextIteratorStreamer(Words(), skip_prompt=True, timeout=30)
        await asyncio.to_thread(model.generate, START, max_new_tokens=8, streamer=streamer)
        return "".join([piece async for piece in streamer])

    assert asyncio.run(read()) == text[len(Words().decode([1, 2, 3])) :]


def test_stop_strings_end_where_the_last_token_completes_them(model):
    stop = StopStringCriteria(Words(), ["fox jum", "dog"])
    ids = np.array([[1, 4, 5], [4, 5, 6], [2, 10, 11], [10, 11, 1], [4, 1, 5]])
    assert stop(ids, None).tolist() == [True, False, True, False, False]
    tokens = model.generate(START, max_new_tokens=12).tolist()[0]
    string = Words().decode(tokens[4:6])
    if string.strip():
        out = model.generate(START, max_new_tokens=12, stop_strings=string, tokenizer=Words()).tolist()[0]
        text = Words().decode(tokens)
        assert Words().decode(out) == text[: text.find(string) + len(string)]
    for bad in ([], [""], [3]):
        with pytest.raises(ValueError, match="stop_strings must be strings"):
            StopStringCriteria(Words(), bad)


# ---- generation_config.json --------------------------------------------------------------------------------


def test_configuration_goes_to_transformers_and_back(tmp_path):
    options = {
        "max_new_tokens": 7, "do_sample": True, "top_p": 0.9, "eos_token_id": [1, 2], "pad_token_id": 0,
        "sequence_bias": [[[3], 1.5]], "colour": "red",
    }  # fmt: skip
    theirs = transformers().GenerationConfig
    GenerationConfig(**options).save_pretrained(tmp_path / "ours")
    read = theirs.from_pretrained(tmp_path / "ours")
    assert {k: getattr(read, k) for k in options} == options
    theirs(**options).save_pretrained(tmp_path / "theirs")
    again = GenerationConfig.from_pretrained(tmp_path / "theirs", top_p=0.5)
    assert {k: getattr(again, k) for k in options} == options | {"top_p": 0.5}
    assert set(json.loads((tmp_path / "ours" / "generation_config.json").read_text())) == set(options)
    _, rest = GenerationConfig.from_pretrained(tmp_path / "ours", return_unused_kwargs=True, size=3)
    assert rest == {"size": 3}
    defaults = {k: v for k, v in theirs._get_default_generation_params().items() if v is not None}
    from dlcore.generation.config import DEFAULTS

    for name in set(defaults) & set(DEFAULTS):
        assert DEFAULTS[name] == defaults[name], name


def test_configuration_says_what_cannot_be(tmp_path, caplog):
    config = GenerationConfig(temperature=0.5)
    assert not caplog.records  # do_sample may come later
    with pytest.raises(ValueError, match=r"temperature=0.5 needs do_sample=True"):
        config.save_pretrained(tmp_path)
    GenerationConfig(temperature=0.5, do_sample=False)
    assert "temperature=0.5 needs do_sample=True" in caplog.text
    with pytest.raises(ValueError, match="not in suppress_tokens"):
        GenerationConfig(forced_eos_token_id=3, suppress_tokens=[3, 4])
    with pytest.raises(ValueError, match="streamer is an argument of generate"):
        GenerationConfig(streamer=1)
    with pytest.raises(FileNotFoundError, match=r"generation_config\.json"):
        GenerationConfig.from_pretrained(tmp_path)
    assert GenerationConfig(top_k=3) == GenerationConfig(top_k=3) != GenerationConfig(top_k=4)
    assert '"top_k": 3' in repr(GenerationConfig(top_k=3))


def test_models_read_and_write_their_generation_configuration(model, tmp_path):
    model.generation_config.max_new_tokens = 4
    model.save_pretrained(tmp_path)
    again = TinyLM.from_pretrained(tmp_path)
    assert again.generation_config == model.generation_config and again.can_generate()
    np.testing.assert_array_equal(again.generate(START).numpy(), model.generate(START).numpy())
    assert again.generate(START).shape == (1, 7)
    (tmp_path / "generation_config.json").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_length": 6, "num_beams": 2}))
    old = TinyLM.from_pretrained(tmp_path)
    assert (old.generation_config.max_length, old.generation_config.num_beams) == (6, 2)
    assert old.generation_config.eos_token_id == 0 and old.generate(START).shape[1] <= 6
    # What a published file says may be written again, though it has no effect.
    (tmp_path / "generation_config.json").write_text(json.dumps({"temperature": 0.5}))
    TinyLM.from_pretrained(tmp_path).save_pretrained(tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "generation_config.json").read_text()) == {"temperature": 0.5}
