"""Recurrent taggers and classifiers, the CRF and CTC's decoders, beside enumeration and PyTorch's layers."""

import itertools
import pickle

import numpy as np
import pytest

import dlcore
from dlcore.autograd import gradcheck
from dlcore.models import (
    CRF,
    BiGRUClassifier,
    BiGRUTagger,
    BiLSTMClassifier,
    BiLSTMForCTC,
    BiLSTMTagger,
    BiRNNConfig,
    CTCConfig,
    character_error_rate,
    ctc_beam_search,
    ctc_greedy_search,
    edit_distance,
)
from tests.model_oracle import one_thread  # noqa: F401  # for all tests here

TAGGERS, CLASSIFIERS = (BiLSTMTagger, BiGRUTagger), (BiLSTMClassifier, BiGRUClassifier)


def config(**options):
    sizes = {"vocab_size": 12, "embed_dim": 5, "hidden_size": 6, "num_labels": 4, "dropout": 0.0}
    return BiRNNConfig(**{**sizes, **options})


def build(cls, seed=0, **options):
    dlcore.manual_seed(seed)
    return cls(config(**options)).double().eval()


def padded(lengths, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 12, (len(lengths), max(lengths)))
    for row, n in zip(ids, lengths):
        row[n:] = 0
    return ids


# ---- the conditional random field --------------------------------------------------------------------------


def crf_case(B, T, C, seed):
    rng = np.random.default_rng(seed)
    dlcore.manual_seed(seed)
    crf = CRF(C, dtype=np.float64)
    for p in crf.parameters():
        p.detach().numpy()[...] = rng.normal(size=p.shape)
    lengths = rng.integers(1, T + 1, B)
    lengths[0] = T
    return crf, rng.normal(size=(B, T, C)), rng.integers(0, C, (B, T)), lengths


def all_scores(crf, x):
    """{path: score} of every path over the emissions x (T, C)."""
    start, move, end = (
        p.detach().numpy() for p in (crf.start_transitions, crf.transitions, crf.end_transitions)
    )
    T, C = x.shape
    return {
        y: start[y[0]] + end[y[-1]] + x[range(T), y].sum() + sum(move[a, b] for a, b in itertools.pairwise(y))
        for y in itertools.product(range(C), repeat=T)
    }


def lse(values):
    values = np.array(list(values))
    return values.max() + np.log(np.exp(values - values.max()).sum())


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (3, 5, 3), (4, 4, 4), (2, 6, 2)])
def test_crf_is_the_enumeration_of_all_paths(shape):
    crf, x, tags, lengths = crf_case(*shape, seed=sum(shape))
    loss = crf(dlcore.tensor(x), dlcore.tensor(tags), lengths=lengths, reduction="none")
    total = crf.log_partition(dlcore.tensor(x), lengths=lengths)
    best = crf.decode(dlcore.tensor(x), lengths=lengths)
    for i, n in enumerate(lengths):
        scores = all_scores(crf, x[i, :n])
        z = lse(scores.values())
        np.testing.assert_allclose(total.detach().numpy()[i], z, rtol=1e-12)
        np.testing.assert_allclose(
            loss.detach().numpy()[i], z - scores[tuple(tags[i, :n])], rtol=1e-11, atol=1e-12
        )
        assert tuple(best[i]) == max(scores, key=scores.get)


def test_crf_gradient_is_the_expected_counts():
    crf, x, tags, lengths = crf_case(3, 5, 3, seed=1)
    e = dlcore.tensor(x, requires_grad=True)
    crf.log_partition(e, lengths=lengths).sum().backward()
    marginal, moves = np.zeros(x.shape), np.zeros((3, 3))
    for i, n in enumerate(lengths):
        scores = all_scores(crf, x[i, :n])
        z = lse(scores.values())
        for y, s in scores.items():
            p = np.exp(s - z)
            marginal[i, range(n), y] += p
            np.add.at(moves, (y[:-1], y[1:]), p)
    np.testing.assert_allclose(e.grad.numpy(), marginal, atol=1e-13)
    np.testing.assert_allclose(crf.transitions.grad.numpy(), moves, atol=1e-13)

    def loss(e, *parameters):
        for (name, _), p in zip(list(crf.named_parameters()), parameters):
            crf._parameters[name] = p
        return crf(e, dlcore.tensor(tags), lengths=lengths)

    own = [dlcore.tensor(p.detach().numpy(), requires_grad=True) for p in crf.parameters()]
    assert gradcheck(loss, (dlcore.tensor(x, requires_grad=True), *own))
    loss(e, *own).backward()
    assert all(p.grad is not None and p.grad.numpy().any() for p in own)


def test_crf_sums_over_unknown_tags():
    crf, x, tags, lengths = crf_case(3, 4, 3, seed=2)
    tags[0, [1, 3]] = tags[1, 0] = -100
    tags[2] = -100
    e = dlcore.tensor(x, requires_grad=True)
    loss = crf(e, dlcore.tensor(tags), lengths=lengths, reduction="none")
    for i, n in enumerate(lengths):
        scores = all_scores(crf, x[i, :n])
        fits = [s for y, s in scores.items() if all(t in (-100, own) for t, own in zip(tags[i], y))]
        np.testing.assert_allclose(
            loss.detach().numpy()[i], lse(scores.values()) - lse(fits), rtol=1e-11, atol=1e-12
        )
    loss.sum().backward()
    assert np.isfinite(e.grad.numpy()).all() and not e.grad.numpy()[2].any()


def test_crf_masks_reductions_and_padding():
    crf, x, tags, lengths = crf_case(4, 5, 3, seed=3)
    mask = np.arange(5) < lengths[:, None]
    junk = np.where(mask[:, :, None], x, np.inf)
    own = {
        r: crf(dlcore.tensor(junk), dlcore.tensor(tags), dlcore.tensor(mask), reduction=r)
        for r in ("none", "sum", "mean", "token_mean")
    }
    each = crf(dlcore.tensor(x), dlcore.tensor(tags), lengths=lengths, reduction="none").detach().numpy()
    np.testing.assert_array_equal(own["none"].detach().numpy(), each)
    for r, value in (("sum", each.sum()), ("mean", each.mean()), ("token_mean", each.sum() / mask.sum())):
        np.testing.assert_allclose(own[r].item(), value, rtol=1e-12)
    assert crf.decode(dlcore.tensor(junk), mask) == crf.decode(dlcore.tensor(x), lengths=lengths)


def test_crf_of_forbidden_moves():
    crf, x, _, lengths = crf_case(3, 5, 3, seed=4)
    crf.transitions.detach().numpy()[0, 1] = -1e4
    assert np.isfinite(crf.log_partition(dlcore.tensor(x), lengths=lengths).detach().numpy()).all()
    x[:, :, 2] = -100
    paths = crf.decode(dlcore.tensor(x), lengths=lengths)
    assert all((0, 1) not in itertools.pairwise(path) for path in paths)


def test_crf_where_no_path_leads():
    crf, x, _, _ = crf_case(2, 4, 3, seed=6)
    x[0, 2] = -np.inf
    e = dlcore.tensor(x, requires_grad=True)
    total = crf.log_partition(e)
    assert total.tolist()[0] == -np.inf and np.isfinite(total.tolist()[1])
    total[1].backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in (e, *crf.parameters()))
    x[0, 2, 1] = np.nan
    assert np.isnan(crf.log_partition(dlcore.tensor(x)).tolist()[0])


def test_crf_errors():
    crf, x, tags, _ = crf_case(2, 4, 3, seed=5)
    x, y = dlcore.tensor(x), dlcore.tensor(tags)
    for arguments, message in (
        ((x[:, :, :2], y), "emissions must be"),
        ((x[0], y), "emissions must be"),
        ((x.float(), y), "emissions must be float64, got float32"),
        ((x, y[:, :3]), "tags must be"),
        ((x, y.float()), "tags must be"),
        ((x, y, dlcore.ones(2, 3)), "the mask must be"),
        ((x, y, dlcore.tensor([[1, 0, 1, 1], [1, 1, 1, 1]])), "padding must stand at the right"),
        ((x, y, dlcore.zeros(2, 4)), r"lengths must lie in \[1, 4\]"),
        ((x, y, None, [4, 5]), r"lengths must lie in \[1, 4\]"),
        ((x, y, None, [4]), "lengths must be 2 integers"),
        ((x, y, None, [4.0, 2.0]), "lengths must be 2 integers"),
        ((x, y, dlcore.ones(2, 4), [4, 4]), "not both"),
        ((x, y, None, None, -100, "max"), "reduction must be"),
    ):
        with pytest.raises(ValueError, match=message):
            crf(*arguments)
    for wrong in (3, -1):
        with pytest.raises(IndexError, match="tags must lie"):
            crf(x, dlcore.full((2, 4), wrong, dtype=np.int64))
    with pytest.raises(ValueError, match="num_tags"):
        CRF(0)
    assert repr(crf) == "CRF(3)"


# ---- taggers and classifiers -------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", TAGGERS + CLASSIFIERS)
@pytest.mark.parametrize("layers", [1, 2])
def test_beside_torch(cls, layers):
    import torch

    model = build(cls, num_layers=layers, pooling="mean")
    kind = torch.nn.LSTM if "LSTM" in cls.__name__ else torch.nn.GRU
    rnn = kind(5, 6, layers, batch_first=True, bidirectional=True).double()
    state = {n: torch.from_numpy(t.numpy().copy()) for n, t in model.state_dict().items()}
    rnn.load_state_dict({n[4:]: t for n, t in state.items() if n.startswith("rnn.")})
    lengths = [3, 7, 1]
    ids = padded(lengths)
    labels = np.random.default_rng(1).integers(0, 4, ids.shape if cls in TAGGERS else 3)
    out = model(dlcore.tensor(ids), labels=dlcore.tensor(labels), lengths=lengths)
    losses = []
    for i, n in enumerate(lengths):
        y, _ = rnn(state["embed_tokens.weight"][torch.from_numpy(ids[i : i + 1, :n])])
        y = y[0] if cls in TAGGERS else y[0].mean(0)
        logits = y @ state["classifier.weight"].T + state["classifier.bias"]
        found = out.logits.detach().numpy()[i]
        found = found[:n] if cls in TAGGERS else found
        np.testing.assert_allclose(found, logits.detach().numpy(), rtol=1e-9, atol=1e-12)
        y_true = torch.from_numpy(labels[i : i + 1, :n][0] if cls in TAGGERS else labels[i : i + 1])
        losses += torch.nn.functional.cross_entropy(logits.reshape(-1, 4), y_true, reduction="none").tolist()
    np.testing.assert_allclose(out.loss.item(), np.mean(losses), rtol=1e-10)
    decoded = model.decode(dlcore.tensor(ids), lengths=lengths)
    best = out.logits.detach().numpy().argmax(-1)
    expected = [r[:n].tolist() for r, n in zip(best, lengths)] if cls in TAGGERS else best.tolist()
    assert decoded == expected


@pytest.mark.parametrize(
    "cls, options",
    [(c, {"crf": crf}) for c in TAGGERS for crf in (False, True)]
    + [(c, {"pooling": p}) for c in CLASSIFIERS for p in ("last", "mean", "max")],
)
def test_padding_changes_nothing(cls, options):
    model = build(cls, num_layers=2, feature_size=2, **options)
    lengths = [4, 6, 2]
    ids = padded(lengths)
    features = np.random.default_rng(2).normal(size=(3, 6, 2))
    mask = np.arange(6) < np.array(lengths)[:, None]
    junk_ids, junk_features = np.where(mask, ids, 7), np.where(mask[:, :, None], features, 1e9)
    by_mask = model(
        dlcore.tensor(junk_ids), dlcore.tensor(mask), features=dlcore.tensor(junk_features)
    ).logits
    for i, n in enumerate(lengths):
        alone = model(
            dlcore.tensor(ids[i : i + 1, :n]), features=dlcore.tensor(features[i : i + 1, :n])
        ).logits
        found = by_mask[i, :n] if cls in TAGGERS else by_mask[i]
        np.testing.assert_allclose(found.detach().numpy(), alone.detach().numpy()[0], rtol=1e-12, atol=1e-14)
    if cls in TAGGERS:
        labels = np.random.default_rng(3).integers(0, 4, ids.shape)
        hidden = np.where(mask, labels, -100)
        a, b = (
            model(
                dlcore.tensor(ids), labels=dlcore.tensor(y), lengths=lengths, features=dlcore.tensor(features)
            ).loss.item()
            for y in (labels, hidden)
        )
        assert a == b
        found = model.decode(dlcore.tensor(ids), lengths=lengths, features=dlcore.tensor(features))
        assert [len(row) for row in found] == lengths


@pytest.mark.parametrize(
    "cls, options", [(BiLSTMTagger, {"crf": True}), (BiGRUTagger, {}), (BiGRUTagger, {"crf": True})]
)
def test_a_tagger_learns_what_both_sides_tell(cls, options):
    dlcore.manual_seed(0)
    rng = np.random.default_rng(0)
    model = cls(config(num_labels=3, hidden_size=16, embed_dim=8, **options))
    optimizer = dlcore.optim.Adam(model.parameters(), lr=0.02)

    def draw(n):
        lengths = rng.integers(2, 9, n)
        ids = np.where(np.arange(8) < lengths[:, None], rng.integers(1, 5, (n, 8)), 0)
        before, after = np.pad(ids, ((0, 0), (1, 0)))[:, :-1], np.pad(ids, ((0, 0), (0, 1)))[:, 1:]
        return ids, (before == 1) + (after == 2), lengths

    for _ in range(150):
        ids, tags, lengths = draw(32)
        loss = model(dlcore.tensor(ids), labels=dlcore.tensor(tags.astype(np.int64)), lengths=lengths).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids, tags, lengths = draw(100)
    found = model.eval().decode(dlcore.tensor(ids), lengths=lengths)
    right = [f == t for row, own in zip(found, tags) for f, t in zip(row, own)]
    assert np.mean(right) > 0.98


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_a_classifier_learns_whether_a_word_occurs(pooling):
    dlcore.manual_seed(0)
    rng = np.random.default_rng(0)
    model = BiGRUClassifier(config(num_labels=2, hidden_size=12, embed_dim=8, pooling=pooling))
    optimizer = dlcore.optim.Adam(model.parameters(), lr=0.02)

    def draw(n):
        lengths = rng.integers(1, 8, n)
        ids = np.where(np.arange(7) < lengths[:, None], rng.integers(1, 7, (n, 7)), 0)
        return ids, (ids == 3).any(1).astype(np.int64), lengths

    for _ in range(150):
        ids, labels, lengths = draw(32)
        loss = model(dlcore.tensor(ids), labels=dlcore.tensor(labels), lengths=lengths).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids, labels, lengths = draw(100)
    assert np.mean(np.array(model.eval().decode(dlcore.tensor(ids), lengths=lengths)) == labels) > 0.95


@pytest.mark.parametrize("cls", (*TAGGERS, *CLASSIFIERS))
def test_checkpoints_and_pickles(cls, tmp_path):
    model = cls(config(crf=True, feature_size=3)).eval()
    ids, features = dlcore.tensor(padded([3, 5])), dlcore.randn(2, 5, 3)
    model.save_pretrained(tmp_path)
    for other in (cls.from_pretrained(tmp_path).eval(), pickle.loads(pickle.dumps(model))):
        a, b = (m(ids, features=features, return_dict=False)[0].detach().numpy() for m in (model, other))
        np.testing.assert_array_equal(a, b)


def test_dropout_acts_in_training_only():
    model = BiLSTMTagger(config(dropout=0.5))
    ids = dlcore.tensor(padded([5, 5]))
    assert not np.array_equal(model(ids).logits.detach().numpy(), model(ids).logits.detach().numpy())
    model.eval()
    np.testing.assert_array_equal(model(ids).logits.detach().numpy(), model(ids).logits.detach().numpy())


def test_model_errors():
    model, ids = build(BiLSTMTagger), dlcore.tensor(padded([3, 3]))
    for arguments, options, message in (
        ((ids[0],), {}, "input_ids must be"),
        ((ids,), {"features": dlcore.zeros(2, 3, 1)}, "features must be None"),
        ((ids, dlcore.ones(2, 2)), {}, "the mask must be"),
        ((ids,), {"lengths": [0, 3]}, "lengths must lie"),
        ((ids,), {"labels": ids[:, :2]}, "labels must be"),
    ):
        with pytest.raises(ValueError, match=message):
            model(*arguments, **options)
    with pytest.raises(ValueError, match=r"features must be \(2, 3, 2\), got None"):
        build(BiLSTMTagger, feature_size=2)(ids)
    with pytest.raises(IndexError):
        model(ids + 12)
    for options in ({"hidden_size": 0}, {"pooling": "first"}, {"dropout": 1.5}, {"feature_size": -1}):
        with pytest.raises(ValueError, match=f"BiRNNConfig: {next(iter(options))} must"):
            config(**options)


# ---- CTC ---------------------------------------------------------------------------------------------------


def speech(**options):
    sizes = {"feature_size": 3, "vocab_size": 4, "hidden_size": 6, "dropout": 0.0, "conv_channels": 5}
    dlcore.manual_seed(0)
    return BiLSTMForCTC(CTCConfig(**{**sizes, **options}))


def labellings(x, blank):
    """{labels: log p} over all alignments of the frames x (T, C)."""
    found = {}
    for a in itertools.product(range(x.shape[1]), repeat=len(x)):
        labels = tuple(k for k, _ in itertools.groupby(a) if k != blank)
        found.setdefault(labels, []).append(x[range(len(x)), a].sum())
    return {labels: lse(scores) for labels, scores in found.items()}


@pytest.mark.parametrize("T, C, blank", [(1, 2, 0), (3, 3, 0), (5, 3, 2), (4, 4, 1), (6, 2, 1)])
def test_beam_search_is_the_enumeration_of_all_alignments(T, C, blank):
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(2, T, C)) * 2
        x -= np.log(np.exp(x).sum(-1, keepdims=True))
        lengths = [T, max(1, T - 1)]
        found = ctc_beam_search(dlcore.tensor(x), lengths, 5000, blank)
        for own, rows, n in zip(found, x, lengths):
            expected = labellings(rows[:n], blank)
            assert {tuple(y) for y, _ in own} == set(expected)
            np.testing.assert_allclose([s for _, s in own], [expected[tuple(y)] for y, _ in own], rtol=1e-10)
            assert [s for _, s in own] == sorted((s for _, s in own), reverse=True)
        few = ctc_beam_search(dlcore.tensor(x), lengths, 3, blank)
        for some, every in zip(few, found):
            exact = {tuple(y): s for y, s in every}
            assert len(some) <= 3 and all(s <= exact[tuple(y)] + 1e-9 for y, s in some)
        for greedy, rows, n in zip(ctc_greedy_search(dlcore.tensor(x), lengths, blank), x, lengths):
            path = rows[:n].argmax(1)
            assert greedy == [k for k, _ in itertools.groupby(path.tolist()) if k != blank]


def test_no_alignment_is_possible():
    never = dlcore.full((1, 3, 3), -np.inf)
    assert ctc_beam_search(never) == [[]]
    only_blank = never.clone()
    only_blank[:, :, 0] = 0.0
    assert ctc_beam_search(only_blank) == [[([], 0.0)]]


def test_search_scores_are_those_of_the_loss():
    x = dlcore.functional.log_softmax(dlcore.randn(1, 6, 4), -1)
    labels, score = ctc_beam_search(x, None, 500)[0][0]
    loss = dlcore.functional.ctc_loss(
        x.transpose(0, 1), dlcore.tensor(np.array([labels], np.int64)), [6], [len(labels)], reduction="sum"
    )
    np.testing.assert_allclose(-score, loss.item(), rtol=1e-5)


@pytest.mark.parametrize("subsampling", [1, 2, 3])
def test_padding_changes_nothing_in_speech(subsampling):
    model = speech(subsampling=subsampling).double().eval()
    lengths = [9, 4, 7, 1]
    x = np.random.default_rng(0).normal(size=(4, 9, 3))
    junk = np.where((np.arange(9) < np.array(lengths)[:, None])[:, :, None], x, 1e9)
    out = model(dlcore.tensor(junk), lengths)
    assert out.lengths.tolist() == [-(-n // subsampling) for n in lengths]
    for i, (n, m) in enumerate(zip(lengths, out.lengths.tolist())):
        alone = model(dlcore.tensor(x[i : i + 1, :n]), return_dict=False)[0]
        assert alone.shape[1] == m
        np.testing.assert_allclose(
            out.log_probs.detach().numpy()[i, :m], alone.detach().numpy()[0], rtol=1e-11, atol=1e-13
        )


def test_the_loss_is_that_of_torch():
    import torch

    model = speech().double().eval()
    x, lengths = dlcore.tensor(np.random.default_rng(0).normal(size=(3, 8, 3))), [8, 6, 2]
    labels = np.array([[1, 1, 2], [3, -100, -100], [1, 2, 3]])  # the last does not fit into two frames
    out = model(x, lengths, dlcore.tensor(labels))
    expected = torch.nn.functional.ctc_loss(
        torch.from_numpy(out.log_probs.detach().numpy().copy()).transpose(0, 1),
        torch.from_numpy(np.where(labels < 0, 0, labels)),
        torch.tensor(lengths),
        torch.tensor([3, 1, 3]),
        zero_infinity=True,
    )
    np.testing.assert_allclose(out.loss.item(), expected.item(), rtol=1e-10)


def test_speech_learns_to_spell_what_it_hears():
    model = speech(hidden_size=16, num_layers=1)
    optimizer = dlcore.optim.Adam(model.parameters(), lr=0.02)
    rng = np.random.default_rng(0)

    def draw(n):
        labels = rng.integers(1, 4, (n, 3))
        sounds = np.zeros((n, 15, 3), np.float32)
        for i, at in itertools.product(range(n), range(3)):
            sounds[i, 5 * at + rng.integers(0, 2) : 5 * at + 4, labels[i, at] - 1] = 1
        return sounds + rng.normal(0, 0.1, sounds.shape).astype(np.float32), labels

    for _ in range(120):
        x, labels = draw(16)
        optimizer.zero_grad()
        model(dlcore.tensor(x), labels=dlcore.tensor(labels)).loss.backward()
        optimizer.step()
    x, labels = draw(40)
    model.eval()
    for beams in (1, 4):
        found = model.decode(dlcore.tensor(x), beam_width=beams)
        assert character_error_rate(found, labels.tolist()) < 0.03


def test_speech_checkpoint(tmp_path):
    model = speech(subsampling=2).eval()
    model.save_pretrained(tmp_path)
    x = dlcore.randn(2, 7, 3)
    for other in (BiLSTMForCTC.from_pretrained(tmp_path).eval(), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(
            model(x).log_probs.detach().numpy(), other(x).log_probs.detach().numpy()
        )


def test_speech_errors():
    model, x = speech(), dlcore.randn(2, 5, 3)
    for arguments, message in (
        ((x[0],), "features must be"),
        ((x[:, :, :2],), "features must be"),
        ((x, [5, 6]), "lengths must lie"),
        ((x, None, dlcore.tensor([[1, -100, 2], [1, 1, 1]])), "at the right only"),
        ((x, None, dlcore.tensor([[1, 0], [1, 1]])), "must not be the blank"),
        ((x, None, dlcore.tensor([[1, 2]])), "labels must be"),
    ):
        with pytest.raises(ValueError, match=message):
            model(*arguments)
    with pytest.raises(IndexError):
        model(x, None, dlcore.tensor([[1, 4], [1, 1]]))
    for options in ({"conv_kernel": 4}, {"subsampling": 0}, {"pad_token_id": 4}):
        with pytest.raises(ValueError, match=f"CTCConfig: {next(iter(options))} must"):
            speech(**options)
    y = model(x).log_probs
    for call, message in (
        (lambda: ctc_beam_search(y, beam_width=0), "beam_width"),
        (lambda: ctc_greedy_search(y, blank=4), "blank must lie"),
        (lambda: ctc_greedy_search(y[0]), "log_probs must be"),
        (lambda: ctc_beam_search(y * np.nan), "neither NaN"),
        (lambda: ctc_greedy_search(y * -np.inf), "neither NaN"),
        (lambda: character_error_rate(["a"], []), "1 predictions for 0"),
        (lambda: character_error_rate([""], [""]), "empty"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_edit_distance_is_the_table():
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = ("".join(rng.choice(list("abc"), rng.integers(0, 9))) for _ in range(2))
        table = np.zeros((len(a) + 1, len(b) + 1), int)
        table[0], table[:, 0] = range(len(b) + 1), range(len(a) + 1)
        for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
            swap = table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            table[i, j] = min(swap, table[i - 1, j] + 1, table[i, j - 1] + 1)
        assert edit_distance(a, b) == edit_distance(list(a), b) == table[-1, -1]
