"""Llama, Mistral and Qwen2 beside Transformers: states, losses, gradients, caches, files both ways."""

import numpy as np
import pytest

import dlcore
from dlcore import models
from dlcore.generation import DynamicCache
from tests.model_oracle import (
    array,
    close,
    ids,
    one_thread,  # noqa: F401  # for all tests here
    tensor,
    transformers,
)

hf = transformers()
torch = pytest.importorskip("torch", reason="torch is the oracle here")

SIZES = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
ROPE = [
    {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
    {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
    {
        "rope_type": "llama3", "rope_theta": 1e3, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 24,
    },
    {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 8},
    {
        "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16,
        "mscale": 0.7, "mscale_all_dim": 0.4, "beta_fast": 16, "beta_slow": 2, "truncate": False,
    },
    {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "attention_factor": 1.3, "mscale": 0.5},
]  # fmt: skip
CONFIGS = [
    ("Llama", {}),
    ("Llama", {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True}),
    ("Llama", {"num_key_value_heads": 1, "head_dim": 6, "tie_word_embeddings": True, "hidden_act": "gelu"}),
    ("Llama", {"hidden_size": 30, "num_attention_heads": 5, "num_key_value_heads": 5, "rms_norm_eps": 1e-3}),
    *(("Llama", {"rope_parameters": r}) for r in ROPE),
    ("Mistral", {"sliding_window": 3}),
    ("Mistral", {"sliding_window": None}),
    ("Qwen2", {}),
    ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
]
HEADS = [
    "Model",
    "ForCausalLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
]


def pair(tmp_path, family="Llama", head="ForCausalLM", double=False, **kw):
    """Their model with every weight drawn, and ours from its files."""
    torch.manual_seed(0)
    config = getattr(hf, f"{family}Config")(**{**SIZES, **kw})
    config._attn_implementation = "eager"
    theirs = getattr(hf, family + head)(config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.normal_(0, 0.15)
    theirs.save_pretrained(tmp_path)
    ours = getattr(models, family + head).from_pretrained(tmp_path)
    return (ours.double(), theirs.double()) if double else (ours, theirs)


def mask_of(kind, length=9):
    if kind == "none":
        return {}
    mask = np.ones((3, length), np.int64)
    mask[1, :3] = 0
    mask[2, :1] = 0
    return {"attention_mask": mask if kind == "left" else mask[:, ::-1].copy()}


@pytest.mark.parametrize("mask", ["none", "left", "right"])
@pytest.mark.parametrize(("family", "config"), CONFIGS)
def test_states_attentions_and_logits(tmp_path, family, config, mask):
    ours, theirs = pair(tmp_path, family, **config)
    x, kw = ids(3, 9, high=61, low=3), mask_of(mask)
    wanted = {"output_hidden_states": True, "output_attentions": True}
    a = ours(tensor(x), **wanted, **{k: tensor(v) for k, v in kw.items()})
    with torch.no_grad():
        b = theirs(torch.tensor(x), **wanted, **{k: torch.tensor(v) for k, v in kw.items()})
    real = kw.get("attention_mask", np.ones((3, 9))) != 0

    def same(p, q):
        close(tensor(array(p)[real]), torch.tensor(array(q)[real]))

    assert len(a.hidden_states) == len(b.hidden_states) and len(a.attentions) == len(b.attentions)
    for p, q in zip([a.logits, *a.hidden_states], [b.logits, *b.hidden_states]):
        same(p, q)
    for p, q in zip(a.attentions, b.attentions):
        same(tensor(array(p).transpose(0, 2, 1, 3)), torch.tensor(array(q).transpose(0, 2, 1, 3)))
    fast = ours(tensor(x), **{k: tensor(v) for k, v in kw.items()}, use_cache=False)
    assert fast.past_key_values is None
    same(fast.logits, b.logits)


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2"])
@pytest.mark.parametrize("head", HEADS[1:])
def test_losses_and_every_gradient(tmp_path, family, head):
    kind = {} if head == "ForCausalLM" else {"num_labels": 3}
    ours, theirs = pair(tmp_path, family, head, double=True, **kind)
    x = ids(3, 7, high=61, low=3)
    x[1, 5:] = 0
    kw = {"attention_mask": (x != 0).astype(np.int64)}
    match head:
        case "ForCausalLM":
            kw["labels"] = x.copy()
            kw["labels"][0, :2] = -100
        case "ForSequenceClassification":
            kw["labels"] = np.array([0, 2, 1])
        case "ForTokenClassification":
            kw["labels"] = ids(3, 7, high=3)
        case "ForQuestionAnswering":
            kw |= {"start_positions": np.array([1, 2, 9]), "end_positions": np.array([3, 2, 6])}
    a = ours(tensor(x), **{k: tensor(v) for k, v in kw.items()})
    b = theirs(torch.tensor(x), **{k: torch.tensor(v) for k, v in kw.items()})
    close(a.loss, b.loss, 2e-6)  # Transformers' norms and angles are float32 in every model
    a.loss.backward()
    b.loss.backward()
    grads = dict(theirs.named_parameters())
    assert [n for n, _ in ours.named_parameters()] == list(grads)
    for name, p in ours.named_parameters():
        close(p.grad, grads[name].grad, 2e-6)


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2"])
@pytest.mark.parametrize("head", HEADS)
def test_files_go_both_ways(tmp_path, family, head):
    ours, theirs = pair(tmp_path / "a", family, head, num_labels=5, rope_parameters=ROPE[0])
    ours.save_pretrained(tmp_path / "b")
    again, report = getattr(hf, family + head).from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    x = ids(1, 5, high=61)
    with torch.no_grad():
        a, b = again(torch.tensor(x)), theirs(torch.tensor(x))
    close(a[0], b[0], 1e-6)
    close(ours(tensor(x))[0], b[0])
    if head != "ForQuestionAnswering" or family != "Qwen2":
        auto = getattr(models, f"Auto{head}" if head == "Model" else f"AutoModel{head}")
        assert type(auto.from_pretrained(tmp_path / "b")) is type(ours)


@pytest.mark.parametrize("cache", [None, 32])
@pytest.mark.parametrize(("family", "config"), [CONFIGS[0], CONFIGS[2], CONFIGS[10], CONFIGS[13]])
def test_decoding_step_by_step_equals_the_whole(tmp_path, family, config, cache):
    ours, _ = pair(tmp_path, family, **config)
    x = ids(2, 9, high=61, low=1)
    whole = array(ours(tensor(x)).logits)
    past, parts = DynamicCache(cache), []
    with dlcore.no_grad():
        for begin, end in ((0, 4), (4, 5), (5, 8), (8, 9)):
            parts.append(array(ours(tensor(x[:, begin:end]), past_key_values=past).logits))
            assert past.get_seq_length() == end
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=5e-5)
    np.testing.assert_allclose(array(ours(tensor(x), logits_to_keep=2).logits), whole[:, -2:], atol=5e-5)


def test_long_texts_change_the_dynamic_base(tmp_path):
    ours, theirs = pair(tmp_path, rope_parameters=ROPE[1])
    x = ids(1, 40, high=61, low=1)
    with torch.no_grad():
        close(ours(tensor(x)).logits, theirs(torch.tensor(x)).logits)


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2"])
def test_generation_is_theirs_token_for_token(tmp_path, family):
    ours, theirs = pair(tmp_path, family)
    x = ids(2, 5, high=61, low=3)
    x[1, :2] = 0
    mask = (x != 0).astype(np.int64)
    kw = {"max_new_tokens": 8, "do_sample": False}
    a = ours.generate(tensor(x), attention_mask=tensor(mask), **kw)
    b = theirs.generate(torch.tensor(x), attention_mask=torch.tensor(mask), **kw)
    np.testing.assert_array_equal(array(a), array(b))


def test_arguments_old_configurations_and_errors(tmp_path):
    ours, theirs = pair(tmp_path)
    x = ids(2, 5, high=61, low=1)
    place = np.array([[3, 4, 5, 6, 7], [0, 1, 2, 3, 4]])
    with torch.no_grad():
        b = theirs(torch.tensor(x), position_ids=torch.tensor(place))
    close(ours(tensor(x), position_ids=tensor(place)).logits, b.logits)
    embeds = array(ours.get_input_embeddings()(tensor(x)))
    close(ours(inputs_embeds=tensor(embeds)).logits, ours(tensor(x)).logits)
    out = ours(tensor(x), return_dict=False, use_cache=False)
    assert isinstance(out, tuple) and len(out) == 1
    old = models.LlamaConfig(rope_theta=5e5, rope_scaling={"type": "linear", "factor": 2.0})
    assert old.rope_parameters == {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}
    with pytest.raises(IndexError):
        ours(tensor(x + 60))
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        ours()
    with pytest.raises(ValueError, match="divisible by num_key_value_heads"):
        models.LlamaConfig(num_key_value_heads=5)
    with pytest.raises(ValueError, match="divisible by num_attention_heads"):
        models.LlamaConfig(hidden_size=33)
    with pytest.raises(ValueError, match="rope_type must be one of default, linear"):
        models.LlamaConfig(rope_scaling={"rope_type": "longrope", "factor": 2.0})
    with pytest.raises(ValueError, match="'llama3' needs low_freq_factor, high_freq_factor"):
        models.LlamaConfig(rope_scaling={"rope_type": "llama3", "factor": 2.0})
    with pytest.raises(ValueError, match="head size must be even"):
        models.LlamaModel(models.LlamaConfig(**{**SIZES, "head_dim": 5}))
