"""The objectives of pre-training: what they ask for, and how often."""

import numpy as np
import pytest

from dlcore.models.objectives import span_corruption

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
