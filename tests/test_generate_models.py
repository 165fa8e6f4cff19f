"""The families that generate, beside Transformers' with the same weights: equal tokens in every way."""

import numpy as np
import pytest

import dlcore
from dlcore import models
from tests import generate_oracle as oracle

IDS = np.random.default_rng(4).integers(3, 45, (3, 7))
LEFT = IDS.copy()
LEFT[1, :4] = 0
MASK = (LEFT != 0).astype(np.int64)
WAYS = [
    {},
    {"use_cache": False},
    {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.5},
    {"num_beams": 4, "early_stopping": True, "eos_token_id": [2, 9, 30]},
    {"num_beams": 3, "use_cache": False, "early_stopping": "never"},
    {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 6},
]


@pytest.fixture(scope="module", params=["gpt2", "llama", "t5", "t5 v1.1"])
def pair(request, tmp_path_factory):
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    name, _, version = request.param.partition(" ")
    changes = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if version else {}
    theirs = getattr(oracle, name)(**changes)[1]
    path = tmp_path_factory.mktemp(name)
    theirs.save_pretrained(path)
    kind = models.AutoModelForSeq2SeqLM if name == "t5" else models.AutoModelForCausalLM
    yield kind.from_pretrained(path), theirs
    torch.set_num_threads(threads)


@pytest.mark.parametrize("way", WAYS, ids=[str(i) for i in range(len(WAYS))])
def test_tokens_equal_transformers(pair, way):
    import torch

    ours, theirs = pair
    for ids, mask in ((IDS, None), (LEFT, MASK)):
        masks = {} if mask is None else {"attention_mask": dlcore.tensor(mask)}
        a = ours.generate(dlcore.tensor(ids), max_new_tokens=12, **masks, **way)
        masks = {} if mask is None else {"attention_mask": torch.tensor(mask)}
        b = theirs.generate(torch.tensor(ids), max_new_tokens=12, **masks, **way)
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_threads_change_no_token(pair):
    ours = pair[0]
    threads = dlcore.get_num_threads()
    seen = []
    try:
        for n in (1, 2):
            dlcore.set_num_threads(n)
            options = {"do_sample": True, "num_return_sequences": 3, "rng": 5, "max_new_tokens": 12}
            seen.append(ours.generate(dlcore.tensor(LEFT), **options).tolist())
    finally:
        dlcore.set_num_threads(threads)
    assert seen[0] == seen[1]
