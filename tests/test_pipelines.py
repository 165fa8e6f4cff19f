"""Pipelines beside Transformers' on random weights and real vocabularies; answers on worked cases."""

import shutil

import numpy as np
import pytest

import dlcore
from dlcore import models, pipeline
from dlcore.outputs import QuestionAnsweringModelOutput
from tests.model_oracle import (
    one_thread,  # noqa: F401  # for all tests here
    transformers,
)

hf = transformers()
torch = pytest.importorskip("torch", reason="torch is the oracle here")
pytest.importorskip("tokenizers", reason="the tokenizers library does the work")

TEXTS = [
    "My name is Wolfgang and I live in Berlin.",
    "The unbelievable hippopotamus eats watermelons",
    "no",
    "Something rather longer, with commas, and 123 numbers; it goes on for a while!",
]


@pytest.fixture(scope="module")
def bert(data_dir, tmp_path_factory):
    """Folders of tiny BERT models of each head, with the real vocabulary."""
    root = tmp_path_factory.mktemp("bert")
    labels = {0: "O", 1: "B-PER", 2: "I-PER", 3: "I-LOC"}
    heads = {
        "Model": {},
        "ForMaskedLM": {},
        "ForSequenceClassification": {"num_labels": 4},
        "ForTokenClassification": {"id2label": labels, "label2id": {v: k for k, v in labels.items()}},
        "ForQuestionAnswering": {},
    }
    for head, kw in heads.items():
        torch.manual_seed(0)
        config = hf.BertConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=64, **kw,
        )  # fmt: skip
        model = getattr(hf, f"Bert{head}")(config).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.normal_(0, 0.3)
        model.save_pretrained(root / head)
        shutil.copy(f"{data_dir}/vocab-bert-base-uncased/vocab.txt", root / head)
        hf.BertTokenizer.from_pretrained(root / head).save_pretrained(root / head)
    return root


def equal(a, b):
    if isinstance(b, dict):
        assert set(a) == set(b)
        for k in b:
            equal(a[k], b[k])
    elif isinstance(b, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            equal(x, y)
    elif isinstance(b, (float, np.floating)):
        assert abs(a - b) < 2e-4
    else:
        assert a == b


@pytest.mark.parametrize(
    "task,head,options",
    [
        ("text-classification", "ForSequenceClassification", {}),
        ("sentiment-analysis", "ForSequenceClassification", {"top_k": None}),
        ("text-classification", "ForSequenceClassification", {"top_k": 2, "function_to_apply": "sigmoid"}),
        ("text-classification", "ForSequenceClassification", {"function_to_apply": "none"}),
        ("token-classification", "ForTokenClassification", {}),
        ("ner", "ForTokenClassification", {"aggregation_strategy": "simple"}),
        ("ner", "ForTokenClassification", {"aggregation_strategy": "first"}),
        ("ner", "ForTokenClassification", {"aggregation_strategy": "max", "ignore_labels": []}),
        ("ner", "ForTokenClassification", {"aggregation_strategy": "average"}),
        ("feature-extraction", "Model", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_classification_and_features(bert, task, head, options, batch_size):
    ours, theirs = pipeline(task, bert / head), hf.pipeline(task, str(bert / head))
    equal(ours(TEXTS[0], **options), theirs(TEXTS[0], **options))
    equal(ours(TEXTS, batch_size=batch_size, **options), theirs(TEXTS, **options))
    made = pipeline(task, bert / head, **options), hf.pipeline(task, str(bert / head), **options)
    equal(made[0](TEXTS[0]), made[1](TEXTS[0]))


def test_fill_mask(bert):
    ours, theirs = (
        pipeline("fill-mask", bert / "ForMaskedLM"),
        hf.pipeline("fill-mask", str(bert / "ForMaskedLM")),
    )
    equal(ours("The capital is [MASK]."), theirs("The capital is [MASK]."))
    equal(ours("The [MASK] is [MASK].", top_k=3), theirs("The [MASK] is [MASK].", top_k=3))
    equal(ours("I [MASK] it", targets=["like", "hate"]), theirs("I [MASK] it", targets=["like", "hate"]))
    equal(ours(["a [MASK]", "b b b [MASK]"], batch_size=2), theirs(["a [MASK]", "b b b [MASK]"]))
    with pytest.raises(ValueError, match=r"must have a \[MASK\]"):
        ours("nothing")


class Finder:
    """A model that is certain of given tokens: start and end where their ids are."""

    def __init__(self, config, start, end, nothing=0.0):
        self.config, self.start, self.end, self.nothing = config, start, end, nothing

    def eval(self):
        return self

    def __call__(self, input_ids, **_):
        ids = input_ids.numpy()

        def at(token):
            scores = (ids == token) * 9.0
            scores[:, 0] = self.nothing
            return dlcore.tensor(scores.astype(np.float32))

        return QuestionAnsweringModelOutput(start_logits=at(self.start), end_logits=at(self.end))


def test_question_answering_finds_spans_in_long_contexts(bert):
    tokenizer = models.AutoTokenizer.from_pretrained(bert / "ForQuestionAnswering")
    config = models.BertConfig.from_pretrained(bert / "ForQuestionAnswering")
    start, end = tokenizer.convert_tokens_to_ids(["wolfgang", "berlin"])
    ours = pipeline("question-answering", Finder(config, start, end), tokenizer)
    padding = "many words stand here before the answer comes . " * 12
    context = padding + "My name is Wolfgang from Berlin. " + padding
    got = ours(question="Who?", context=context)
    assert got["answer"] == "Wolfgang from Berlin" == context[got["start"] : got["end"]]
    assert got["score"] > 0.5
    assert ours({"question": "Who?", "context": context})["answer"] == got["answer"]
    several = ours(question=["Who?", "Where?"], context=context, top_k=3, max_seq_len=40, doc_stride=10)
    assert [len(s) for s in several] == [3, 3] and several[0][0]["answer"] == got["answer"]
    assert ours(question="Who?", context=context, max_answer_len=2)["answer"] != got["answer"]
    nowhere = pipeline("question-answering", Finder(config, start, end, nothing=30.0), tokenizer)
    assert nowhere(question="Who?", context=context, handle_impossible_answer=True)["answer"] == ""
    assert nowhere(question="Who?", context=context)["answer"] == got["answer"]
    real = pipeline("question-answering", bert / "ForQuestionAnswering")(question="Who?", context=TEXTS[0])
    assert TEXTS[0][real["start"] : real["end"]] == real["answer"] and 0 <= real["score"] <= 1
    for bad in ({"question": "", "context": "a"}, {"question": "a", "context": " "}):
        with pytest.raises(ValueError, match="must not be empty"):
            ours(bad)
    with pytest.raises(ValueError, match="doc_stride must be below"):
        ours(question="Who?", context=context, doc_stride=60)
    with pytest.raises(ValueError, match="question and context must be given"):
        ours()


def test_text_generation(data_dir, tmp_path):
    torch.manual_seed(0)
    config = hf.GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=40)
    model = hf.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.4)
    model.save_pretrained(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(f"{data_dir}/vocab-gpt2/{name}", tmp_path)
    hf.GPT2Tokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)
    ours, theirs = pipeline("text-generation", tmp_path), hf.pipeline("text-generation", str(tmp_path))
    kw = {"max_new_tokens": 6, "do_sample": False}
    for options in (
        kw, {**kw, "return_full_text": False}, {**kw, "num_beams": 3, "num_return_sequences": 2},
    ):  # fmt: skip
        equal(ours("Hello there", **options), theirs("Hello there", **options))
    equal(ours(TEXTS[:2], **kw), theirs(TEXTS[:2], **kw))
    ours.tokenizer.pad_token = ours.tokenizer.eos_token
    equal(ours(TEXTS, batch_size=4, **kw), ours(TEXTS, **kw))


def test_what_cannot_be_is_refused(bert):
    with pytest.raises(ValueError, match="task must be one of"):
        pipeline("sing", bert / "Model")
    with pytest.raises(ValueError, match="a model is needed"):
        pipeline("ner")
    with pytest.raises(ValueError, match="a tokenizer is needed"):
        pipeline("ner", models.BertForTokenClassification.from_pretrained(bert / "ForTokenClassification"))
    p = pipeline("ner", bert / "ForTokenClassification")
    with pytest.raises(ValueError, match="aggregation_strategy must be"):
        p("a", aggregation_strategy="all")
    with pytest.raises(ValueError, match="batch_size must be positive"):
        p(["a"], batch_size=0)
    with pytest.raises(ValueError, match="function_to_apply must be"):
        pipeline("text-classification", bert / "ForSequenceClassification")("a", function_to_apply="exp")
