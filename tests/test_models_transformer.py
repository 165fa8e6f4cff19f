"""The Transformer of 2017 beside torch.nn.Transformer with equal weights, its search beside enumeration."""

import itertools
import math

import numpy as np
import pytest

import dlcore
from dlcore.models import Transformer, TransformerConfig, transformer_schedule
from dlcore.models.beam import length_penalty
from tests import model_oracle as oracle
from tests.model_oracle import one_thread  # noqa: F401  # for all tests here

VOCAB = 13


def build(seed=0, **options):
    sizes = {
        "vocab_size": VOCAB, "d_model": 12, "num_heads": 3, "num_encoder_layers": 2, "num_decoder_layers": 1,
        "d_ff": 20, "max_position_embeddings": 32,
    }  # fmt: skip
    dlcore.manual_seed(seed)
    return Transformer(TransformerConfig(**{**sizes, **options})).double().eval()


def batch(b=3, s=7, t=5, seed=0):
    rng = np.random.default_rng(seed)
    source, target = rng.integers(3, VOCAB, (b, s)), rng.integers(3, VOCAB, (b, t))
    mask = (np.arange(s) < rng.integers(1, s + 1, b)[:, None]).astype(np.int64)
    labels = np.where(np.arange(t) < rng.integers(1, t + 1, b)[:, None], target, -100)
    return source, mask, labels


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("share", [False, True])
def test_logits_loss_and_gradients_are_those_of_torch(norm_first, share):
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    ours = build(
        norm_first=norm_first, final_norm=True, share_embeddings=share, tie_word_embeddings=share,
        source_vocab_size=VOCAB if share else 17, dropout=0.0, label_smoothing=0.1,
    ).train()  # fmt: skip
    c = ours.config
    theirs = torch.nn.Transformer(
        c.d_model, c.num_heads, c.num_encoder_layers, c.num_decoder_layers, c.d_ff, 0.0, batch_first=True,
        norm_first=norm_first, dtype=torch.float64,
    )  # fmt: skip
    own = {n: torch.from_numpy(t.detach().numpy().copy()) for n, t in ours.state_dict().items()}
    report = theirs.load_state_dict(own, strict=False)
    assert not report.missing_keys
    tables = {
        n: own[n].requires_grad_()
        for n in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    }
    if share:
        tables = dict.fromkeys(tables, tables["lm_head.weight"])
    source, mask, labels = batch()
    target = np.concatenate([np.full((3, 1), c.decoder_start_token_id), labels[:, :-1]], 1)
    target[target == -100] = c.pad_token_id
    pe = torch.from_numpy(ours.encoder.pe.numpy().copy())

    def embedded(name, ids):
        table = tables[f"{name}.embed_tokens.weight"]
        return table[torch.from_numpy(ids)] * math.sqrt(c.d_model) + pe[: ids.shape[1]]

    unseen = torch.from_numpy(mask == 0)
    hidden = theirs(
        embedded("encoder", source), embedded("decoder", target),
        tgt_mask=torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64),
        src_key_padding_mask=unseen, memory_key_padding_mask=unseen,
    )  # fmt: skip
    logits = hidden @ tables["lm_head.weight"].T
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(labels).flatten(), label_smoothing=0.1
    )
    out = ours(oracle.tensor(source), oracle.tensor(mask), labels=oracle.tensor(labels))
    oracle.close(out.logits, logits, 1e-10)
    oracle.close(out.loss, loss, 1e-10)
    loss.backward()
    out.loss.backward()
    expected = {n: p.grad for n, p in theirs.named_parameters()} | {n: t.grad for n, t in tables.items()}
    for name, p in ours.named_parameters():
        oracle.close(p.grad, expected[name], 1e-10)


def test_decoding_with_a_cache_gives_what_the_whole_gives():
    model = build()
    source, mask, labels = batch(t=9)
    ids, mask, target = map(oracle.tensor, (source, mask, np.abs(labels) % VOCAB))
    whole = model(ids, mask, target).logits
    cache, parts, at = None, [], 0
    encoded = model.get_encoder()(ids, mask)
    with dlcore.no_grad():
        for n in (2, 1, 3, 1, 2):
            out = model(
                attention_mask=mask, decoder_input_ids=target[:, at : at + n], encoder_outputs=encoded,
                past_key_values=cache, use_cache=True,
            )  # fmt: skip
            cache, at = out.past_key_values, at + n
            parts.append(oracle.array(out.logits))
    oracle.close(dlcore.tensor(np.concatenate(parts, 1)), whole, 1e-12)


def best_of_all(model, source, mask, longest, alpha):
    """By enumeration: the hypothesis that ends within `longest` tokens and has the best score."""
    c = model.config
    words = [w for w in range(c.vocab_size) if w != c.eos_token_id]
    found = []
    for n in range(1, longest + 1):
        every = np.array([[*w, c.eos_token_id] for w in itertools.product(words, repeat=n - 1)])
        rows = len(every)
        inputs = np.concatenate([np.full((rows, 1), c.decoder_start_token_id), every[:, :-1]], 1)
        logits = model(
            oracle.tensor(source.repeat(rows, 0)), oracle.tensor(mask.repeat(rows, 0)), oracle.tensor(inputs)
        ).logits
        p = dlcore.nn.functional.log_softmax(logits, -1).detach().numpy()
        score = np.take_along_axis(p, every[..., None], 2).sum((1, 2)) / length_penalty(n, alpha)
        found.append((score.max(), every[score.argmax()].tolist()))
    return max(found)[1]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_wide_beams_find_the_best_of_all(alpha):
    model = build(3, vocab_size=5)
    source, mask, _ = batch(b=2, s=4)
    source %= 5
    with dlcore.no_grad():
        model.lm_head.weight.mul_(3.0)
        found = model.translate(
            oracle.tensor(source), oracle.tensor(mask), max_length=4, num_beams=80, alpha=alpha
        )
        for row, ids in enumerate(found.tolist()):
            expected = best_of_all(model, source[row : row + 1], mask[row : row + 1], 4, alpha)
            assert ids[: len(expected)] == expected and not any(ids[len(expected) :])


def test_greedy_follows_the_largest_logit_and_beams_do_no_worse():
    model = build(5)
    source, mask, _ = batch(b=4)
    ids, mask = oracle.tensor(source), oracle.tensor(mask)
    found = model.translate(ids, mask, max_length=10).numpy()
    start = np.full((4, 1), model.config.decoder_start_token_id)
    logits = model(ids, mask, oracle.tensor(np.concatenate([start, found[:, :-1]], 1))).logits
    expected = logits.argmax(-1).numpy()
    for row, best in zip(found.tolist(), expected.tolist()):
        n = row.index(2) + 1 if 2 in row else len(row)
        assert row[:n] == best[:n] and not any(row[n:])
    one = model.translate(ids[:1], mask[:1], max_length=10, num_beams=3)
    many = model.translate(ids, mask, max_length=10, num_beams=3)
    n = one.shape[1]
    assert many[0].tolist()[:n] == one[0].tolist()  # whatever is searched beside it
    assert model.translate(ids, mask, max_length=1, num_beams=2).shape == (4, 1)
    with pytest.raises(ValueError, match="num_beams and max_length must be positive"):
        model.translate(ids, num_beams=0)


def test_checkpoints_positions_schedule_and_errors(tmp_path):
    model = build(7, share_embeddings=True)
    assert model.lm_head.weight is model.encoder.embed_tokens.weight is model.decoder.embed_tokens.weight
    model.save_pretrained(tmp_path)
    again, report = Transformer.from_pretrained(tmp_path, output_loading_info=True)
    assert report["missing_keys"] == report["unexpected_keys"] == []
    ids = oracle.tensor(batch()[0])
    oracle.close(again(ids, labels=ids).logits, model(ids, labels=ids).logits, 1e-6)
    model.train()
    assert not hasattr(model.translate(ids, max_length=2), "loss") and model.training
    with pytest.raises(ValueError, match="max_position_embeddings=32"):
        model(dlcore.zeros(1, 33, dtype=np.int64), labels=ids)
    with pytest.raises(ValueError, match="share_embeddings needs one vocabulary"):
        TransformerConfig(vocab_size=3, source_vocab_size=4)
    with pytest.raises(ValueError, match="decoder_input_ids or labels"):
        model(ids)
    with pytest.raises(ValueError, match="input_ids or encoder_outputs"):
        model(labels=ids)
    with pytest.raises(ValueError, match="must be positive"):
        transformer_schedule(512, 0)
    optimizer = dlcore.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    schedule = dlcore.optim.lr_scheduler.LambdaLR(optimizer, transformer_schedule(512, 10))
    rates = []
    for _ in range(30):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    steps = np.arange(2, 32)
    np.testing.assert_allclose(rates, 512**-0.5 * np.minimum(steps**-0.5, steps * 10**-1.5), rtol=1e-12)
