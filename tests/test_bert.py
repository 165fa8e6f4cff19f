"""BERT beside Transformers: states, logits, losses, gradients, files both ways."""

import numpy as np
import pytest

import dlcore
from dlcore import models
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
    "vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 40, "max_position_embeddings": 24,
}  # fmt: skip
CONFIGS = [
    {},
    {"hidden_size": 20, "num_attention_heads": 4, "hidden_act": "relu", "type_vocab_size": 3},
    {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "intermediate_size": 17, "num_attention_heads": 1},
]
HEADS = {
    "ForPreTraining": ("labels", "next_sentence_label"),
    "ForMaskedLM": ("labels",),
    "ForNextSentencePrediction": ("one",),
    "ForSequenceClassification": ("one",),
    "ForMultipleChoice": ("one",),
    "ForTokenClassification": ("tokens",),
    "ForQuestionAnswering": ("span",),
}


def pair(tmp_path, head, double=False, **kw):
    torch.manual_seed(0)
    config = hf.BertConfig(**{**SIZES, **kw})
    config._attn_implementation = "eager"
    theirs = getattr(hf, f"Bert{head}")(config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.normal_(0, 0.15)
    theirs.save_pretrained(tmp_path)
    ours = getattr(models, f"Bert{head}").from_pretrained(tmp_path)
    return (ours.double(), theirs.double()) if double else (ours, theirs)


def inputs(padded=True, seed=0):
    x = ids(3, 7, high=61, low=1, seed=seed)
    if padded:
        x[1, 5:] = 0
        x[2, 2:] = 0
    return {
        "input_ids": x,
        "attention_mask": (x != 0).astype(np.int64),
        "token_type_ids": ids(3, 7, high=2, seed=9),
    }


def call(model, kw, to):
    return model(**{k: to(v) if isinstance(v, np.ndarray) else v for k, v in kw.items()})


@pytest.mark.parametrize("config", CONFIGS, ids=["plain", "relu", "gelu_new"])
@pytest.mark.parametrize("padded", [True, False])
def test_states_and_attentions(tmp_path, config, padded):
    ours, theirs = pair(tmp_path, "Model", **config)
    kw = inputs(padded)
    real = kw["attention_mask"].astype(bool)
    a = call(ours, {**kw, "output_hidden_states": True, "output_attentions": True}, tensor)
    with torch.no_grad():
        b = call(theirs, {**kw, "output_hidden_states": True, "output_attentions": True}, torch.tensor)
    assert list(a) == [k for k in b if b[k] != () and k != "cross_attentions"]
    close(a.pooler_output, b.pooler_output)
    for p, q in zip(a.hidden_states, b.hidden_states):
        close(tensor(array(p)[real]), torch.tensor(array(q)[real]))
    for p, q in zip(a.attentions, b.attentions):
        close(
            tensor(array(p).transpose(0, 2, 1, 3)[real]), torch.tensor(array(q).transpose(0, 2, 1, 3)[real])
        )
    fast = call(ours, kw, tensor)
    close(tensor(array(fast.last_hidden_state)[real]), torch.tensor(array(b.last_hidden_state)[real]))
    embeds = {**kw, "inputs_embeds": array(ours.get_input_embeddings()(tensor(kw["input_ids"])))}
    del embeds["input_ids"]
    close(call(ours, embeds, tensor).pooler_output, b.pooler_output)
    assert len(call(ours, {**kw, "return_dict": False}, tensor)) == 2
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        ours()
    with pytest.raises(IndexError):
        ours(tensor(ids(1, 25, high=61)))


@pytest.mark.parametrize("head", list(HEADS))
def test_losses_and_every_gradient(tmp_path, head):
    labels = {} if head in ("ForPreTraining", "ForMaskedLM", "ForQuestionAnswering") else {"num_labels": 3}
    ours, theirs = pair(tmp_path, head, double=True, **labels)
    kw = inputs()
    if head == "ForMultipleChoice":
        kw = {k: np.stack([v, np.roll(v, 1, 0)], 1) for k, v in kw.items()}
    for kind in HEADS[head]:
        match kind:
            case "labels":
                kw["labels"] = np.where(ids(3, 7, high=3, seed=5) == 0, kw["input_ids"], -100)
            case "next_sentence_label":
                kw["next_sentence_label"] = np.array([0, 1, 1])
            case "one":
                kw["labels"] = np.array([0, 1, 1])
            case "tokens":
                kw["labels"] = np.where(kw["attention_mask"] > 0, ids(3, 7, high=3, seed=5), -100)
            case "span":
                kw |= {"start_positions": np.array([1, 2, 9]), "end_positions": np.array([3, 2, 6])}
    a, b = call(ours, kw, tensor), call(theirs, kw, torch.tensor)
    assert list(a) == list(b)
    close(a.loss, b.loss, 1e-10)
    for p, q in list(zip(a.values(), b.values()))[1:]:
        close(p, q, 1e-10)
    a.loss.backward()
    b.loss.backward()
    grads = dict(theirs.named_parameters())
    seen = 0
    for name, p in ours.named_parameters():
        if grads[name].grad is None:
            assert p.grad is None
        else:
            close(p.grad, grads[name].grad, 1e-9)
            seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    "kind,labels", [("regression", 1), ("regression", 3), ("multi_label_classification", 3)], ids=str
)
def test_problem_types(tmp_path, kind, labels):
    ours, theirs = pair(
        tmp_path, "ForSequenceClassification", double=True, num_labels=labels, problem_type=kind
    )
    y = np.random.default_rng(0).random((3, labels) if labels > 1 else (3,))
    kw = {**inputs(), "labels": (y > 0.5).astype(float) if kind[0] == "m" else y}
    close(call(ours, kw, tensor).loss, call(theirs, kw, torch.tensor).loss, 1e-10)


@pytest.mark.parametrize("head", ["Model", *HEADS])
def test_files_go_both_ways(tmp_path, head):
    ours, theirs = pair(tmp_path / "a", head)
    ours.save_pretrained(tmp_path / "b")
    again, report = getattr(hf, f"Bert{head}").from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    kw = inputs()
    if head == "ForMultipleChoice":
        kw = {k: np.stack([v, v], 1) for k, v in kw.items()}
    with torch.no_grad():
        close(call(again, kw, torch.tensor)[0], call(theirs, kw, torch.tensor)[0], 1e-6)
    assert ours.num_parameters() == theirs.num_parameters()
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_old_names_and_other_heads_load(tmp_path):
    ours, theirs = pair(tmp_path, "ForPreTraining")
    state = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for k, v in theirs.state_dict().items()
    }
    state["bert.embeddings.position_ids"] = torch.arange(24)[None]
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    (tmp_path / "model.safetensors").unlink()
    again, report = models.BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    kw = inputs()
    close(call(again, kw, tensor)[0], torch.tensor(array(call(ours, kw, tensor)[0])), 0)
    words = models.AutoModelForMaskedLM.from_pretrained(tmp_path)
    close(call(words, kw, tensor).logits, torch.tensor(array(call(ours, kw, tensor).prediction_logits)), 0)
    _, report = models.BertForTokenClassification.from_pretrained(
        tmp_path, num_labels=7, output_loading_info=True
    )
    assert report["missing_keys"] == ["classifier.weight", "classifier.bias"]
    with pytest.raises(ValueError, match="no such head"):
        models.AutoModelForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is_decoder"):
        models.BertModel(models.BertConfig(**SIZES, is_decoder=True))


def test_fine_tuning_learns(tmp_path):
    dlcore.manual_seed(0)
    model = models.BertForSequenceClassification(models.BertConfig(**SIZES))
    x = ids(64, 8, high=61, low=2)
    y = (x[:, 3] > 30).astype(np.int64)
    optimizer = dlcore.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model(tensor(x), labels=tensor(y)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    guess = array(model.eval()(tensor(x)).logits).argmax(1)
    assert (guess == y).mean() > 0.95
