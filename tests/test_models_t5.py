"""T5 beside Transformers: over drawn configurations, both versions, every head, decoding and checkpoints."""

import functools

import numpy as np
import pytest

import dlcore
from dlcore.generation import DynamicCache, EncoderDecoderCache
from dlcore.models import (
    AutoModelForSeq2SeqLM,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5ForSequenceClassification,
    t5,
)
from tests import model_oracle as oracle
from tests.model_oracle import one_thread  # noqa: F401  # for all tests here

VOCAB = 41


def drawn(seed):
    """Sizes that divide nothing, all flags."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    return {
        "vocab_size": VOCAB,
        "d_model": pick(16, 24, 31),
        "d_kv": pick(4, 7, 8),
        "d_ff": pick(17, 32, 48),
        "num_layers": pick(1, 2, 3),
        "num_decoder_layers": pick(None, 1, 2),
        "num_heads": pick(1, 2, 3, 4),
        "relative_attention_num_buckets": pick(8, 12, 32),
        "relative_attention_max_distance": pick(17, 20, 128),
        "layer_norm_epsilon": pick(1e-6, 1e-5),
        "feed_forward_proj": pick("relu", "gated-gelu", "gated-silu", "gelu", "gated-relu"),
        "tie_word_embeddings": pick(True, False),
        "num_labels": pick(2, 3),
        "decoder_start_token_id": 0,
    }


def pair(name, tmp_path, seed=0, dtype="float64", **more):
    """Theirs with random weights, and ours read from its checkpoint."""
    hf = oracle.transformers()
    import torch

    options = {**drawn(seed), **more}
    torch.manual_seed(seed)
    theirs = (
        getattr(hf, name)(hf.T5Config(**options, attn_implementation="eager"))
        .eval()
        .to(getattr(torch, dtype))
    )
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.3 * torch.randn_like(p) * (p.std() if p.numel() > 1 and p.std() > 0 else 1.0)
    for m in theirs.modules():  # theirs computes this one in float32 whatever the model's dtype
        if type(m).__name__ == "T5LayerNorm":
            m.forward = functools.partial(
                lambda m, x: torch.nn.functional.rms_norm(x, m.weight.shape, m.weight, m.variance_epsilon), m
            )
    theirs.save_pretrained(tmp_path / "theirs")
    ours, report = getattr(dlcore.models, name).from_pretrained(
        tmp_path / "theirs", dtype=dtype, output_loading_info=True
    )
    assert report["missing_keys"] == report["unexpected_keys"] == []
    return ours, theirs


def padded(kind, batch, length, seed):
    """(B, S) of ones and zeros, or None."""
    if kind == "none":
        return None
    lengths = np.random.default_rng(seed).integers(1, length + 1, batch)
    lengths[0] = length
    mask = np.arange(length) < lengths[:, None]
    if kind == "left":
        mask = mask[:, ::-1]
    if kind == "holes":
        mask = np.random.default_rng(seed + 1).random((batch, length)) < 0.7
        mask[:, 0] = True
    return mask.astype(np.int64)


def both(inputs):
    import torch

    ours = {k: oracle.tensor(v) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    theirs = {k: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    return ours, theirs


def same(ours, theirs, tolerance=1e-9):
    if theirs is None:
        assert ours is None
    elif isinstance(theirs, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            same(a, b, tolerance)
    else:
        oracle.close(ours, theirs, tolerance)


PADDING = ("none", "right", "left", "holes")
FIELDS = (
    "logits", "loss", "decoder_hidden_states", "decoder_attentions", "cross_attentions",
    "encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_outputs_and_gradients_are_those_of_transformers(seed, tmp_path):
    ours, theirs = pair("T5ForConditionalGeneration", tmp_path, seed)
    rng = np.random.default_rng(seed)
    b, s, t = 3, int(rng.integers(1, 40)), int(rng.integers(1, 30))
    labels = rng.integers(1, VOCAB, (b, t))
    labels[0, t // 2 + 1 :] = -100
    inputs = {
        "input_ids": rng.integers(1, VOCAB, (b, s)),
        "attention_mask": padded(PADDING[seed % 4], b, s, seed),
        "decoder_attention_mask": padded(PADDING[seed // 4 % 4] if seed % 3 else "none", b, t, seed),
        "labels": labels,
        "output_attentions": bool(seed % 2),
        "output_hidden_states": True,
    }
    if inputs["decoder_attention_mask"] is not None:
        inputs["decoder_attention_mask"][:, 0] = 1  # each query sees a key
    mine, its = both(inputs)
    a, e = ours(**mine), theirs(**its)
    for name in FIELDS:
        same(getattr(a, name), getattr(e, name))
    assert [k for k in a if k != "past_key_values"] == [k for k in e if k != "past_key_values"]
    a.loss.backward()
    e.loss.backward()
    expected = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        same(p.grad, expected[name].grad)
    short = ours(**{**mine, "return_dict": False})
    assert isinstance(short, tuple)
    same(short[1], e.logits)


@pytest.mark.parametrize("seed", range(6))
def test_decoding_with_a_cache_gives_what_the_whole_gives(seed, tmp_path):
    ours, theirs = pair("T5ForConditionalGeneration", tmp_path, seed, "float32")
    rng = np.random.default_rng(seed)
    b, s, t = 2, 9, 12
    ids, target = rng.integers(1, VOCAB, (b, s)), rng.integers(1, VOCAB, (b, t))
    mask = padded(PADDING[seed % 4], b, s, seed)
    target_mask = padded("left", b, t, seed) if seed % 2 else None
    whole = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": target}
    mine, its = both({**whole, "decoder_attention_mask": target_mask})
    expected = oracle.array(theirs(**its).logits)
    shown = np.ones((b, t), bool) if target_mask is None else target_mask > 0
    with dlcore.no_grad():
        logits = oracle.array(ours(**mine).logits)
        encoded = ours.get_encoder()(mine["input_ids"], mine["attention_mask"])
        cache, parts, at = None, [], 0
        for n in (3, 1, 1, 4, 1, 2):
            out = ours(
                attention_mask=mine["attention_mask"],
                decoder_input_ids=oracle.tensor(target[:, at : at + n]),
                decoder_attention_mask=(
                    None if target_mask is None else oracle.tensor(target_mask[:, : at + n])
                ),
                encoder_outputs=(encoded.last_hidden_state,) if n == 1 else encoded,
                past_key_values=cache,
                use_cache=True,
            )
            cache, at = out.past_key_values, at + n
            assert isinstance(cache, EncoderDecoderCache) and cache.get_seq_length() == at
            parts.append(oracle.array(out.logits))
    oracle.close(dlcore.tensor(logits[shown]), dlcore.tensor(expected[shown]), 2e-5)
    oracle.close(dlcore.tensor(np.concatenate(parts, 1)[shown]), dlcore.tensor(expected[shown]), 2e-5)


@pytest.mark.parametrize("seed", range(4))
def test_base_encoder_and_heads(seed, tmp_path):
    rng = np.random.default_rng(seed)
    b, s = 3, 11
    ids = rng.integers(2, VOCAB, (b, s))
    ids[:, -1] = 1
    ids[:, 4] = 1
    shared = {"input_ids": ids, "attention_mask": padded(PADDING[seed % 3], b, s, 5)}
    shared["output_hidden_states"] = True
    kinds = ("regression", "single_label_classification", "multi_label_classification", None)
    n = 1 if kinds[seed] == "regression" else 3
    problem = {"problem_type": kinds[seed], "num_labels": n}
    labels = {
        0: rng.random(b),
        1: rng.integers(0, n, b),
        2: rng.random((b, n)).round(),
        3: rng.integers(0, n, b),
    }
    cases = {
        "T5Model": ({"decoder_input_ids": ids[:, :5]}, {}, ("last_hidden_state",)),
        "T5EncoderModel": ({}, {}, ("last_hidden_state", "hidden_states")),
        "T5ForSequenceClassification": ({"labels": labels[seed]}, problem, ("loss", "logits")),
        "T5ForTokenClassification": (
            {"labels": rng.integers(-1, 3, (b, s)).clip(0)},
            {"num_labels": 3},
            ("loss", "logits"),
        ),
        "T5ForQuestionAnswering": (
            {"start_positions": rng.integers(0, s + 4, b), "end_positions": rng.integers(0, s, b)},
            {"num_labels": 2},
            ("loss", "start_logits", "end_logits"),
        ),
    }
    for name, (more, options, fields) in cases.items():
        ours, theirs = pair(name, tmp_path / name, seed, **options)
        mine, its = both({**shared, **more})
        a, e = ours(**mine), theirs(**its)
        for field in fields:
            same(getattr(a, field), getattr(e, field))
        if "loss" in fields:
            a.loss.backward()
            e.loss.backward()
            expected = dict(theirs.named_parameters())
            for parameter, p in ours.named_parameters():
                same(p.grad, expected[parameter].grad)


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_checkpoints_go_both_ways(version, tmp_path):
    hf = oracle.transformers()
    options = drawn(5)
    options.update(
        {"feed_forward_proj": "relu", "tie_word_embeddings": True}
        if version == "v1.0"
        else {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    )
    dlcore.manual_seed(0)
    ours = T5ForConditionalGeneration(T5Config(**options)).eval()
    assert (ours.lm_head.weight is ours.shared.weight) == (version == "v1.0")
    assert ours.encoder.embed_tokens is ours.shared is ours.decoder.embed_tokens
    ours.save_pretrained(tmp_path / "ours")
    theirs = hf.T5ForConditionalGeneration.from_pretrained(tmp_path / "ours")
    ids = oracle.ids(2, 7, high=VOCAB)
    mine, its = both({"input_ids": ids, "labels": ids[:, :5]})
    expected = theirs(**its)
    same(ours(**mine).logits, expected.logits, 2e-5)
    theirs.save_pretrained(tmp_path / "theirs")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "theirs")
    same(again(**mine).logits, expected.logits, 2e-5)
    assert (again.lm_head.weight is again.shared.weight) == (version == "v1.0")
    assert list(again.state_dict()) == list(theirs.state_dict())
    state = {k: v.numpy() for k, v in theirs.state_dict().items() if "embed_tokens" not in k}
    if version == "v1.0":
        del state["lm_head.weight"]
    state["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = np.zeros((8, 2))
    dlcore.save_file(state, tmp_path / "theirs" / "model.safetensors")
    old, report = T5ForConditionalGeneration.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert report["missing_keys"] == report["unexpected_keys"] == []
    same(old(**mine).logits, expected.logits, 2e-5)
    encoder, report = T5EncoderModel.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert report["missing_keys"] == report["unexpected_keys"] == []
    same(encoder(mine["input_ids"]).last_hidden_state, expected.encoder_last_hidden_state, 2e-5)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_those_of_transformers_at_every_distance(bidirectional):
    hf = oracle.transformers()
    import torch

    theirs = hf.models.t5.modeling_t5.T5Attention._relative_position_bucket
    for buckets, longest in ((32, 128), (8, 17), (12, 100), (16, 1024), (64, 65), (32, 257)):
        n = 2000
        expected = theirs(torch.arange(1 - n, n), bidirectional, buckets, longest).numpy()
        np.testing.assert_array_equal(t5._buckets(n, bidirectional, buckets, longest), expected)


def test_embeddings_in_place_of_ids_and_resizing():
    dlcore.manual_seed(1)
    model = T5ForConditionalGeneration(T5Config(**drawn(1))).eval()
    ids = oracle.tensor(oracle.ids(2, 6, high=VOCAB))
    expected = model(ids, decoder_input_ids=ids).logits
    out = model(inputs_embeds=model.shared(ids), decoder_inputs_embeds=model.shared(ids))
    same(out.logits, expected, 1e-6)
    model.resize_token_embeddings(VOCAB + 3)
    grown = model(ids, decoder_input_ids=ids).logits
    assert grown.shape == (2, 6, VOCAB + 3) and model.decoder.embed_tokens is model.shared
    same(grown[..., :VOCAB], expected, 1e-6)


def test_dropout_is_drawn_in_training_only():
    dlcore.manual_seed(2)
    model = T5ForConditionalGeneration(T5Config(**drawn(2), dropout_rate=0.3))
    ids = oracle.tensor(oracle.ids(2, 6, high=VOCAB))
    first, second = (model(ids, labels=ids).loss.item() for _ in range(2))
    assert first != second
    model.eval()
    assert model(ids, labels=ids).loss.item() == model(ids, labels=ids).loss.item()


def test_what_cannot_be_is_refused():
    options = drawn(4)
    with pytest.raises(ValueError, match="feed_forward_proj must be an activation"):
        T5Config(feed_forward_proj="gated-gelu-new")
    model = T5ForConditionalGeneration(T5Config(**options))
    ids = oracle.tensor(oracle.ids(2, 6, high=VOCAB))
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(decoder_input_ids=ids)
    with pytest.raises(ValueError, match="decoder_input_ids and decoder_inputs_embeds"):
        model(ids)
    with pytest.raises(IndexError):
        model(ids + VOCAB, labels=ids)
    with pytest.raises(TypeError, match="must be an EncoderDecoderCache, got DynamicCache"):
        model(ids, labels=ids, past_key_values=DynamicCache())
    with pytest.raises(ValueError, match="must be False in an encoder"):
        model.encoder(ids, use_cache=True)
    model.config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="decoder_start_token_id and pad_token_id must be set"):
        model(ids, labels=ids)
    with pytest.raises(ValueError, match="relative_attention_max_distance must be larger"):
        T5EncoderModel(T5Config(**{**options, "relative_attention_max_distance": 2}))(ids)
    classifier = T5ForSequenceClassification(T5Config(**options))
    with pytest.raises(ValueError, match="same number of end-of-sequence tokens"):
        classifier(oracle.tensor(np.array([[1, 1], [2, 1]])))


@pytest.mark.parametrize("side", ["left", "right"])
def test_masks_of_every_rank_say_the_same(side):
    dlcore.manual_seed(6)
    model = T5ForConditionalGeneration(T5Config(**drawn(6))).double().eval()
    ids = oracle.tensor(oracle.ids(3, 6, high=VOCAB))
    mask = padded(side, 3, 6, 1)
    assert not mask.all()
    square = np.repeat(mask[:, None], 6, 1)
    added = np.where(square[:, None] > 0, 0.0, -np.inf)
    expected = model.encoder(ids, oracle.tensor(mask)).last_hidden_state
    for other in (square, square[:, None], added):
        same(model.encoder(ids, oracle.tensor(other)).last_hidden_state, expected, 1e-12)
    with pytest.raises(ValueError, match="attention_mask must be"):
        model.encoder(ids, oracle.tensor(mask[0]))


@pytest.mark.parametrize("mask", [None, "left"])
def test_the_position_bias_has_a_gradient_by_differences(mask):
    dlcore.manual_seed(8)
    model = T5EncoderModel(T5Config(**drawn(8))).double().eval()
    ids = oracle.tensor(oracle.ids(2, 5, high=VOCAB))
    seen = None if mask is None else oracle.tensor(padded(mask, 2, 5, 2))
    table = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight

    def loss():
        return model(ids, seen).last_hidden_state.sin().sum()

    loss().backward()
    gradient = table.grad.numpy()
    with dlcore.no_grad():
        values = table.detach().numpy()
        for at in np.argwhere(np.abs(gradient) > 1e-4)[:6]:
            at = tuple(at)
            before, h = values[at], 1e-6
            values[at] = before + h
            up = loss().item()
            values[at] = before - h
            down = loss().item()
            values[at] = before
            assert abs((up - down) / (2 * h) - gradient[at]) < 1e-6 * max(1.0, np.abs(gradient).max())


def test_beams_of_an_input_share_its_cross_attention():
    config = T5Config(vocab_size=VOCAB, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=2)
    dlcore.manual_seed(0)
    model = T5ForConditionalGeneration(config).eval()
    ids = dlcore.from_numpy(np.arange(12).reshape(2, 6) + 2)
    mask = dlcore.from_numpy(np.array([[1, 1, 1, 1, 0, 0], [1] * 6]))
    n, tokens = 3, np.arange(3, 21).reshape(6, 3)
    first = np.zeros((2, 1), np.int64)

    def logits(order, **kw):
        """Of three steps; after the second the rows stand in this order."""
        with dlcore.no_grad():
            encoded = model.get_encoder()(ids, mask)
            cache = model(attention_mask=mask, decoder_input_ids=dlcore.from_numpy(first),
                          encoder_outputs=encoded, use_cache=True, **kw).past_key_values  # fmt: skip
            cache.batch_repeat_interleave(n)
            wide = (dlcore.from_numpy(np.repeat(encoded.last_hidden_state.numpy(), n, 0)),)
            wide_mask, out = dlcore.from_numpy(np.repeat(mask.numpy(), n, 0)), []
            for t in range(3):
                if t == 2:
                    cache.reorder_cache(np.array(order))
                    wide_mask = wide_mask[dlcore.from_numpy(np.array(order))]
                new = dlcore.from_numpy(tokens[:, t : t + 1])
                step = model(attention_mask=wide_mask, decoder_input_ids=new, encoder_outputs=wide,
                             past_key_values=cache, **kw)  # fmt: skip
                out.append(step.logits.numpy())
            return np.concatenate(out, 1), len(cache.cross_attention_cache)

    for order, rows in (([1, 0, 2, 3, 3, 4], 2), ([3, 4, 5, 0, 1, 2], 6)):
        shared, held = logits(order)
        apart, held_apart = logits(order, output_attentions=True)
        assert (held, held_apart) == (rows, 6)
        np.testing.assert_allclose(shared, apart, atol=1e-5)
