"""GPT-2 beside Transformers: states, logits, losses, gradients, caches, files both ways."""

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

SIZES = {"vocab_size": 61, "n_positions": 24, "n_embd": 24, "n_layer": 2, "n_head": 3}
CONFIGS = [
    {},
    {"n_head": 4, "n_embd": 20, "n_inner": 37, "activation_function": "relu"},
    {"scale_attn_weights": False, "activation_function": "gelu"},
    {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True, "layer_norm_epsilon": 1e-3},
    {"tie_word_embeddings": False, "n_head": 1, "activation_function": "silu"},
]
HEADS = [
    "Model",
    "LMHeadModel",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
]


def pair(tmp_path, head="LMHeadModel", double=False, **kw):
    """Their model with every weight drawn, and ours from its files."""
    torch.manual_seed(0)
    config = hf.GPT2Config(**{**SIZES, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **kw})
    config._attn_implementation = "eager"
    theirs = getattr(hf, f"GPT2{head}")(config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.normal_(0, 0.15)
    theirs.save_pretrained(tmp_path)
    ours = getattr(models, f"GPT2{head}").from_pretrained(tmp_path)
    return (ours.double(), theirs.double()) if double else (ours, theirs)


def masks(length=7):
    left = np.ones((3, length), np.int64)
    left[1, :3] = 0
    right = left[:, ::-1].copy()
    return {"none": None, "left": left, "right": right}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: "-".join(map(str, c.values())) or "plain")
@pytest.mark.parametrize("mask", ["none", "left", "right"])
def test_states_attentions_and_logits(tmp_path, config, mask):
    ours, theirs = pair(tmp_path, **config)
    x, m = ids(3, 7, high=61, low=3), masks()[mask]
    kw = {} if m is None else {"attention_mask": m}
    a = ours(
        tensor(x), output_hidden_states=True, output_attentions=True, **{k: tensor(v) for k, v in kw.items()}
    )
    with torch.no_grad():
        b = theirs(
            torch.tensor(x), output_hidden_states=True, output_attentions=True,
            **{k: torch.tensor(v) for k, v in kw.items()},
        )  # fmt: skip
    real = np.ones((3, 7), bool) if m is None else m.astype(bool)
    assert list(a) == [k for k in b if b[k] != ()]
    for p, q in zip([a.logits, *a.hidden_states], [b.logits, *b.hidden_states]):
        close(tensor(array(p)[real]), torch.tensor(array(q)[real]))
    for p, q in zip(a.attentions, b.attentions):
        close(
            tensor(array(p).transpose(0, 2, 1, 3)[real]), torch.tensor(array(q).transpose(0, 2, 1, 3)[real])
        )
    fast = ours(tensor(x), **{k: tensor(v) for k, v in kw.items()}, use_cache=False)
    assert fast.past_key_values is None
    close(tensor(array(fast.logits)[real]), torch.tensor(array(b.logits)[real]))


@pytest.mark.parametrize("head", HEADS[1:])
def test_losses_and_every_gradient(tmp_path, head):
    ours, theirs = pair(tmp_path, head, double=True, **({} if head == "LMHeadModel" else {"num_labels": 3}))
    x = ids(3, 7, high=61, low=3)
    x[1, 5:] = 0
    mask = (x != 0).astype(np.int64)
    kw = {"attention_mask": mask}
    match head:
        case "LMHeadModel":
            labels = x.copy()
            labels[0, :2] = -100
            kw["labels"] = labels
        case "ForSequenceClassification":
            kw["labels"] = np.array([0, 2, 1])
        case "ForTokenClassification":
            kw["labels"] = ids(3, 7, high=3)
        case "ForQuestionAnswering":
            kw |= {"start_positions": np.array([1, 2, 9]), "end_positions": np.array([3, 2, 6])}
    a = ours(tensor(x), **{k: tensor(v) for k, v in kw.items()})
    b = theirs(torch.tensor(x), **{k: torch.tensor(v) for k, v in kw.items()})
    single = head == "LMHeadModel"  # Transformers computes this loss in float32, whatever the model's dtype
    close(a.loss, b.loss, 1e-6 if single else 1e-10)
    a.loss.backward()
    b.loss.backward()
    grads = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        close(p.grad, grads[name].grad, 1e-6 if single else 1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_files_go_both_ways(tmp_path, head):
    ours, theirs = pair(tmp_path / "a", head, num_labels=5)
    ours.save_pretrained(tmp_path / "b")
    again, report = getattr(hf, f"GPT2{head}").from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    x = ids(1, 5, high=61)
    with torch.no_grad():
        a, b = again(torch.tensor(x)), theirs(torch.tensor(x))
    close(a[0], b[0], 1e-6)
    close(ours(tensor(x))[0], b[0])
    assert ours.num_parameters() == theirs.num_parameters()
    if head != "Model":
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            ours()


def test_old_checkpoints_load(tmp_path):
    _, theirs = pair(tmp_path)
    state = {k.removeprefix("transformer."): v for k, v in theirs.state_dict().items() if "lm_head" not in k}
    state["h.0.attn.bias"] = torch.ones(1, 1, 24, 24)
    state["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    ours, report = models.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    x = ids(2, 6, high=61)
    with torch.no_grad():
        close(ours(tensor(x)).logits, theirs(torch.tensor(x)).logits)


@pytest.mark.parametrize("cache", [None, 24])
def test_decoding_step_by_step_equals_the_whole(tmp_path, cache):
    ours, _ = pair(tmp_path)
    x = ids(2, 9, high=61)
    whole = array(ours(tensor(x)).logits)
    past, parts = DynamicCache(cache), []
    with dlcore.no_grad():
        for begin, end in ((0, 4), (4, 5), (5, 8), (8, 9)):
            out = ours(tensor(x[:, begin:end]), past_key_values=past)
            parts.append(array(out.logits))
            assert out.past_key_values is past and past.get_seq_length() == end
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=2e-5)
    past.crop(5)
    again = ours(tensor(x[:, 5:]), past_key_values=past)
    np.testing.assert_allclose(array(again.logits), whole[:, 5:], atol=2e-5)
    np.testing.assert_allclose(array(ours(tensor(x), logits_to_keep=2).logits), whole[:, -2:], atol=2e-5)


def test_arguments_and_tuples(tmp_path):
    ours, theirs = pair(tmp_path)
    x, kind = ids(2, 5, high=61), ids(2, 5, high=61, seed=1)
    place = np.array([[3, 4, 5, 6, 7], [0, 1, 2, 3, 4]])
    kw = {"token_type_ids": kind, "position_ids": place}
    with torch.no_grad():
        b = theirs(torch.tensor(x), **{k: torch.tensor(v) for k, v in kw.items()})
    close(ours(tensor(x), **{k: tensor(v) for k, v in kw.items()}).logits, b.logits)
    embeds = array(ours.get_input_embeddings()(tensor(x)))
    close(ours(inputs_embeds=tensor(embeds)).logits, ours(tensor(x)).logits)
    out = ours(tensor(x), return_dict=False, use_cache=False)
    assert isinstance(out, tuple) and len(out) == 1
    with pytest.raises(IndexError):
        ours(tensor(x + 60))
    with pytest.raises(IndexError):
        ours(tensor(ids(1, 25, high=61)))
    with pytest.raises(ValueError, match="add_cross_attention"):
        models.GPT2Model(models.GPT2Config(**SIZES, add_cross_attention=True))


def test_training_lowers_the_loss_and_dropout_is_off_in_eval(tmp_path):
    dlcore.manual_seed(0)
    model = models.GPT2LMHeadModel(models.GPT2Config(**SIZES))
    x = tensor(ids(4, 12, high=61))
    optimizer = dlcore.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = model(x, labels=x).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    model.eval()
    assert array(model(x).logits).tobytes() == array(model(x).logits).tobytes()
    assert models.AutoModelForCausalLM.from_config(model.config).config is model.config
