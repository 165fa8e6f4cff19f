"""The objectives of pre-training: what they ask for, and how often."""

import numpy as np
import pytest

from dlcore.models.objectives import mask_tokens, sentence_pairs, span_corruption

EXTRA = range(999, 899, -1)


def rebuilt(inputs, targets):
    """The text, from the inputs with each span put back in its place."""
    spans, name = {}, None
    for t in targets.tolist():
        if t in EXTRA:
            name = t
            assert name not in spans
            spans[name] = []
        else:
            spans[name].append(t)
    assert spans.pop(name) == []  # the id that closes the targets
    out = []
    for t in inputs.tolist():
        out += spans.pop(t) if t in EXTRA else [t]
    assert not spans
    return out


@pytest.mark.parametrize("seed", range(20))
def test_the_text_can_be_put_together_again(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 400))
    text = rng.integers(0, 800, n)
    density, mean = rng.uniform(0.05, 0.6), rng.uniform(1.0, 5.0)
    if round(n * density) / mean > 95:
        mean = 5.0
    inputs, targets = span_corruption(text, density, mean, EXTRA, rng=rng)
    assert inputs.dtype == targets.dtype == np.int64
    assert rebuilt(inputs, targets) == text.tolist()
    names = [t for t in inputs.tolist() if t in EXTRA]
    assert names == list(EXTRA[: len(names)])  # in order


def test_density_and_lengths_are_those_asked_for():
    text = np.arange(200)
    where, lengths, first = np.zeros(200), [], []
    for seed in range(2000):
        inputs, targets = span_corruption(text, 0.15, 3.0, range(999, 899, -1), rng=seed)
        lost = targets[targets < 900]
        assert len(lost) == 30 and len(inputs) == 170 + 10 and len(targets) == 30 + 11
        where[lost] += 1
        cuts = np.flatnonzero(targets >= 900)
        lengths += (np.diff(cuts) - 1).tolist()
        first.append(np.argmax(inputs >= 900))
    assert np.mean(lengths) == 3.0 and min(lengths) == 1
    # Compositions of 30 into 10 parts: a part is k with probability C(29 - k, 8) / C(29, 9).
    assert abs(np.mean(np.array(lengths) == 1) - 9 / 29) < 0.01
    assert abs(np.mean(first) - 17.0) < 1.0  # compositions of 170 into 10 parts
    inner = where[20:180] / 2000
    assert abs(inner.mean() - 0.15) < 0.012 and inner.std() < 0.02  # alike away from the ends


def test_ends_seeds_and_errors():
    a, b = span_corruption(range(50), extra_ids=EXTRA, eos_token_id=1, rng=7)
    assert a[-1] == b[-1] == 1
    again = span_corruption(range(50), extra_ids=EXTRA, eos_token_id=1, rng=7)
    assert a.tolist() == again[0].tolist() and b.tolist() == again[1].tolist()
    assert span_corruption([5, 6], 0.9, 1.0)[0].tolist() == [5, 32099]
    with pytest.raises(ValueError, match="at least 2 integers"):
        span_corruption([3])
    with pytest.raises(ValueError, match="at least 2 integers"):
        span_corruption([0.5, 0.5])
    with pytest.raises(ValueError, match="noise_density must lie between 0 and 1"):
        span_corruption(range(9), 1.0)
    with pytest.raises(ValueError, match="mean_noise_span_length must be at least 1"):
        span_corruption(range(9), 0.5, 0.5)
    with pytest.raises(ValueError, match="one more than the 5 spans"):
        span_corruption(range(100), 0.15, 3.0, range(5))


def test_masked_tokens_are_asked_for_as_often_as_said():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 1000, (200, 100))
    ids[:, 0], ids[:, -1] = 1, 2
    inputs, labels = mask_tokens(ids, 3, 1000, 0.15, special_ids=[1, 2], rng=1)
    asked = labels != -100
    ordinary = ~np.isin(ids, [1, 2])
    assert not asked[~ordinary].any() and (labels[asked] == ids[asked]).all()
    assert (inputs[~asked] == ids[~asked]).all()
    assert abs(asked[ordinary].mean() - 0.15) < 0.01
    masked, kept = (inputs == 3)[asked].mean(), (inputs == ids)[asked].mean()
    assert abs(masked - 0.8) < 0.03 and abs(kept - 0.1) < 0.03
    again = mask_tokens(ids, 3, 1000, 0.15, special_ids=[1, 2], rng=1)
    np.testing.assert_array_equal(again[0], inputs)
    np.testing.assert_array_equal(mask_tokens(ids, 3, 1000, 0.0)[0], ids)
    for bad in ({"ids": [[1.0]]}, {"ids": [[1000]]}, {"ids": [[1]], "probability": 2.0}):
        with pytest.raises(ValueError, match="mask_tokens"):
            mask_tokens(mask_token_id=3, vocab_size=1000, **bad)


def test_sentence_pairs_follow_or_come_from_elsewhere():
    documents = [[f"{d}.{s}" for s in range(30)] for d in range(20)] + [[]]
    pairs = sentence_pairs(documents, rng=0)
    assert len(pairs) == 20 * 29
    for first, second, label in pairs:
        d, s = first.split(".")
        assert second == f"{d}.{int(s) + 1}" if label == 0 else second.split(".")[0] != d
    assert 0.4 < np.mean([p[2] for p in pairs]) < 0.6
    with pytest.raises(ValueError, match="at least two documents"):
        sentence_pairs([["a", "b"], []])
