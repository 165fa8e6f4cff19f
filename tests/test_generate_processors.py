"""Every logits processor and criterion beside Transformers', on random scores."""

import numpy as np
import pytest

import dlcore
from dlcore import generation as ours
from tests.model_oracle import transformers as load

V = 37
IDS = np.random.default_rng(0).integers(0, V, (4, 9))
IDS[:, 7] = IDS[:, 2]  # so that bigrams recur
IDS[:, 8] = IDS[:, 3]
EOS = [3, 5]

CASES = [
    ("MinLengthLogitsProcessor", (10, EOS)),
    ("MinLengthLogitsProcessor", (9, 3)),
    ("MinNewTokensLengthLogitsProcessor", (7, 3, EOS)),
    ("MinNewTokensLengthLogitsProcessor", (7, 2, EOS)),
    ("TemperatureLogitsWarper", (0.7,)),
    ("RepetitionPenaltyLogitsProcessor", (1.3,)),
    ("RepetitionPenaltyLogitsProcessor", (0.6, 4)),
    ("RepetitionPenaltyLogitsProcessor", (1.7, "ignored")),
    ("EncoderRepetitionPenaltyLogitsProcessor", (1.4, "source")),
    ("TopPLogitsWarper", (0.3,)),
    ("TopPLogitsWarper", (0.9,)),
    ("TopPLogitsWarper", (0.01, -np.inf, 3)),
    ("TopPLogitsWarper", (1.0,)),
    ("TopKLogitsWarper", (1,)),
    ("TopKLogitsWarper", (7,)),
    ("TopKLogitsWarper", (500,)),
    ("TopKLogitsWarper", (1, -50.0, 4)),
    ("TopHLogitsWarper", (0.4,)),
    ("TopHLogitsWarper", (0.9,)),
    ("MinPLogitsWarper", (0.2,)),
    ("MinPLogitsWarper", (0.9, -np.inf, 5)),
    ("TypicalLogitsWarper", (0.5,)),
    ("TypicalLogitsWarper", (0.95, -np.inf, 2)),
    ("EpsilonLogitsWarper", (0.03,)),
    ("EpsilonLogitsWarper", (0.99, -np.inf, 3)),
    ("EtaLogitsWarper", (0.05,)),
    ("EtaLogitsWarper", (0.9, -np.inf, 2)),
    ("NoRepeatNGramLogitsProcessor", (1,)),
    ("NoRepeatNGramLogitsProcessor", (2,)),
    ("NoRepeatNGramLogitsProcessor", (3,)),
    ("NoRepeatNGramLogitsProcessor", (20,)),
    ("EncoderNoRepeatNGramLogitsProcessor", (1, "source")),
    ("EncoderNoRepeatNGramLogitsProcessor", (2, "source")),
    ("EncoderNoRepeatNGramLogitsProcessor", (8, "source")),
    ("SequenceBiasLogitsProcessor", ({(1,): 2.0, (int(IDS[0, 8]), 4): -3.0, (int(IDS[1, 8]), 4): 1.5},)),
    ("SequenceBiasLogitsProcessor", ([[[1], 2.0], [[int(IDS[0, 7]), int(IDS[0, 8]), 4], -3.0]],)),
    ("NoBadWordsLogitsProcessor", ([[3], [7], [int(IDS[2, 8]), 6], [int(IDS[3, 8]), 3]], EOS)),
    ("PrefixConstrainedLogitsProcessor", (lambda i, sent: [i, int(sent[-1]), 8], 2)),
    ("ForcedBOSTokenLogitsProcessor", (4,)),
    ("ForcedEOSTokenLogitsProcessor", (10, EOS)),
    ("ForcedEOSTokenLogitsProcessor", (11, 3)),
    ("InfNanRemoveLogitsProcessor", ()),
    ("ExponentialDecayLengthPenalty", ((2, 1.2), EOS, 5)),
    ("ExponentialDecayLengthPenalty", ((6, 1.2), 3, 5)),
    ("LogitNormalization", ()),
    ("SuppressTokensLogitsProcessor", ([1, 8],)),
    ("SuppressTokensAtBeginLogitsProcessor", ([1, 8], 9)),
    ("SuppressTokensAtBeginLogitsProcessor", ([1, 8], 8)),
]


def scores(seed, vocabulary=V, holes=False):
    x = (np.random.default_rng(seed).standard_normal((4, vocabulary)) * 2).astype(np.float32)
    if holes:
        x[:, 5:11] = -np.inf
    return x


@pytest.mark.parametrize(("name", "args"), CASES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)])
def test_processor_equals_transformers(name, args):
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    hf = load()
    source = IDS[:2, :6]
    values = {"ignored": np.array([0, 3, 9, 5]), "source": source}
    mine = [values[a] if isinstance(a, str) else a for a in args]
    theirs = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in mine]
    for seed, holes in ((1, False), (2, False), (3, True)):
        x = scores(seed, holes=holes)
        if name == "InfNanRemoveLogitsProcessor":
            x[0, :3] = np.nan, np.inf, -np.inf
        kept = x.copy()
        a = getattr(ours, name)(*mine)(dlcore.tensor(IDS), dlcore.from_numpy(x)).numpy()
        module = __import__("transformers.generation", fromlist=["logits_process"]).logits_process
        b = getattr(module, name)(*theirs)(torch.tensor(IDS), torch.tensor(x)).numpy()
        np.testing.assert_array_equal(np.isneginf(a), np.isneginf(b))
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)
        np.testing.assert_array_equal(x, kept)
    del hf


@pytest.mark.parametrize("name", ["TopPLogitsWarper", "TypicalLogitsWarper"])
@pytest.mark.parametrize("mass", [0.2, 0.9, 0.999])
def test_mass_of_a_large_vocabulary(name, mass):
    """More candidates than the first guess holds."""
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    load()
    from transformers.generation import logits_process as theirs

    x = scores(0, 5000)
    a = getattr(ours, name)(mass)(IDS, x)
    b = getattr(theirs, name)(mass)(torch.tensor(IDS), torch.tensor(x)).numpy()
    differ = np.isneginf(a) != np.isneginf(b)
    assert differ.sum() <= 2  # where a sum of thousands of float32 numbers lands beside the mass
    assert np.isneginf(a).any()


def test_lists_take_own_processors_and_tensors():
    class Ban(ours.LogitsProcessor):
        def __call__(self, input_ids, scores):
            scores = scores.clone()
            scores[:, 2] = -float("inf")
            return scores

    rules = ours.LogitsProcessorList([Ban(), ours.TopKLogitsWarper(3)])
    out = rules(dlcore.tensor(IDS), dlcore.from_numpy(scores(0))).numpy()
    assert np.isneginf(out[:, 2]).all() and (np.isfinite(out).sum(1) == 3).all()
    assert isinstance(rules(IDS, scores(0)), np.ndarray)


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("TemperatureLogitsWarper", (0.0,), "do_sample=False is greedy"),
        ("TemperatureLogitsWarper", (1,), "temperature must be a positive float"),
        ("TopKLogitsWarper", (0,), "top_k must be a positive integer"),
        ("TopPLogitsWarper", (1.5,), "top_p must be between 0 and 1"),
        ("TopPLogitsWarper", (0.5, -1.0, 0), "min_tokens_to_keep must be"),
        ("MinPLogitsWarper", (1.5,), "min_p must be"),
        ("TypicalLogitsWarper", (1.0,), "typical_p must be"),
        ("EpsilonLogitsWarper", (0.0,), "epsilon_cutoff must be"),
        ("EtaLogitsWarper", (1.0,), "eta_cutoff must be"),
        ("RepetitionPenaltyLogitsProcessor", (-1.0,), "penalty must be"),
        ("RepetitionPenaltyLogitsProcessor", (1.5, np.zeros((2, 2))), "prompt_ignore_length must be"),
        ("MinLengthLogitsProcessor", (-1, 3), "min_length must be an integer of at least 0"),
        ("NoRepeatNGramLogitsProcessor", (0,), "ngram_size must be"),
        ("NoBadWordsLogitsProcessor", ([],), "bad_words_ids must be"),
        ("NoBadWordsLogitsProcessor", ([[-1]],), "bad_words_ids must be"),
        ("NoBadWordsLogitsProcessor", ([3],), "bad_words_ids must be"),
        ("SequenceBiasLogitsProcessor", ({},), "sequence_bias must map"),
        ("SequenceBiasLogitsProcessor", ({(1,): 2},), "sequence_bias must map"),
        ("SequenceBiasLogitsProcessor", ({1: 2.0},), "sequence_bias must map"),
        ("ForcedEOSTokenLogitsProcessor", (5, -1), "eos_token_id must hold"),
        ("TopHLogitsWarper", (0.0,), "top_h must be"),
    ],
)
def test_what_cannot_be_is_said(name, args, text):
    with pytest.raises(ValueError, match=text):
        getattr(ours, name)(*args)


def test_a_bias_beyond_the_vocabulary_raises():
    with pytest.raises(ValueError, match="below the vocabulary's size 37"):
        ours.SequenceBiasLogitsProcessor({(99,): 1.0})(IDS, scores(0))
    with pytest.raises(ValueError, match="at least one token, got none for input 1"):
        ours.PrefixConstrainedLogitsProcessor(lambda i, _: [] if i else [1], 2)(IDS, scores(0))


def test_criteria():
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    assert ours.MaxLengthCriteria(3)(ids, None).tolist() == [True, True]
    assert ours.MaxLengthCriteria(4)(ids, None).tolist() == [False, False]
    assert ours.EosTokenCriteria([3, 9])(dlcore.tensor(ids), None).tolist() == [True, False]
    assert ours.MaxTimeCriteria(0.0, 0.0)(ids, None).tolist() == [True, True]
    both = ours.StoppingCriteriaList([ours.EosTokenCriteria(6), lambda ids, scores: bool(ids[0, 0] == 7)])
    assert both(ids, None).tolist() == [False, True]
    assert both.max_length is None and ours.StoppingCriteriaList([ours.MaxLengthCriteria(4)]).max_length == 4
