"""`dlcore generate` and `dlcore convert`, through main([...])."""

import io
import json

import numpy as np
import pytest

import dlcore
from dlcore import cli, models
from dlcore.io import load_file, open_checkpoint


def run(capsys, *argv):
    status = cli.main(list(argv))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2")
    dlcore.manual_seed(0)
    config = models.GPT2Config(
        vocab_size=12, n_embd=8, n_layer=1, n_head=2, n_positions=96, eos_token_id=None, initializer_range=1.0
    )
    models.GPT2LMHeadModel(config).eval().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def words(folder, tmp_path_factory):
    """The same model with a tokenizer of twelve words."""
    tokenizers = pytest.importorskip("tokenizers", reason="texts need tokenizers")
    path = tmp_path_factory.mktemp("words")
    for file in folder.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    text = "? a quick brown fox jumps over the lazy dog and sleeps"
    vocabulary = {word: i for i, word in enumerate(text.split())}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def test_generate_gives_what_the_model_gives(capsys, folder, words):
    model = models.GPT2LMHeadModel.from_pretrained(folder)
    expected = model.generate(dlcore.tensor([[1, 2, 3]]), max_new_tokens=5).tolist()[0]
    status, out, err = run(
        capsys, "generate", "--model", str(folder), "--ids", "--max-new-tokens", "5", "1", "2", "3"
    )
    assert (status, err) == (0, "") and out.split() == [str(t) for t in expected]
    status, out, _ = run(
        capsys, "generate", "--model", str(words), "--max-new-tokens", "5", "--threads", "1", "a quick brown"
    )
    assert status == 0 and out.startswith("a quick brown ") and len(out.split()) == 8


def test_generate_streams_and_reads_standard_input(capsys, words, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a quick brown\n"))
    status, whole, _ = run(capsys, "generate", "--model", str(words), "--beams", "2")
    monkeypatch.setattr("sys.stdin", io.StringIO("a quick brown\n"))
    assert run(capsys, "generate", "--model", str(words), "--beams", "2", "--stream") == (status, whole, "")
    assert status == 0 and len(whole.split()) == 3 + 64


def test_generate_json_repeats_by_seed(capsys, folder):
    argv = ["generate", "--model", str(folder), "--ids", "--sample", "--temperature", "2.0", "--top-k", "9"]
    argv += ["--count", "3", "--seed", "4", "--json", "--max-new-tokens", "6", "1 2"]
    (status, out, _), (_, again, _) = run(capsys, *argv), run(capsys, *argv)
    result = json.loads(out)
    assert status == 0 and result["ids"] == json.loads(again)["ids"] and result["new_tokens"] == 6
    assert len(result["ids"]) == len(result["texts"]) == 3 and result["prompt_ids"] == [1, 2]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--ids", "x"], "--ids wants integers, got 'x'"),
        (["a"], "there must be tokenizer.json"),
        (["--ids", "--threads", "0", "1"], "--threads must be between"),
        (["--ids", "--count", "2", "1"], "needs do_sample=True"),
        (["--ids", "--stream", "--json", "1"], "--stream prints one text"),
        (["--ids", " "], "at least one token"),
        (["--ids", "99"], "99"),
    ],
)
def test_generate_fails_in_one_line(capsys, folder, argv, text):
    pytest.importorskip("tokenizers", reason="texts need tokenizers")
    status, out, err = run(capsys, "generate", "--model", str(folder), *argv)
    assert status == 1 and out == "" and text in err and err.count("\n") == 1


def test_generate_wrong_usage_is_2(capsys):
    pytest.importorskip("tokenizers", reason="texts need tokenizers")
    assert run(capsys, "generate", "text")[0] == 2
    assert run(capsys, "convert", "only-one")[0] == 2
    status, _, err = run(capsys, "generate", "--model", "./nowhere", "a")
    assert status == 1 and "nowhere" in err


def test_convert_torch_files_and_dtypes(capsys, tmp_path):
    torch = pytest.importorskip("torch", reason="torch writes the file")
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    x = torch.randn(5, 3)
    state = {"w": x, "half": x.to(torch.float16), "brain": x.to(torch.bfloat16), "n": torch.arange(4)}
    torch.save(state, tmp_path / "model.pth")
    target = tmp_path / "out" / "model.safetensors"
    status, out, err = run(capsys, "convert", str(tmp_path / "model.pth"), str(target), "--json")
    assert (status, err) == (0, "") and json.loads(out)["tensors"] == 4
    read = open_checkpoint(target)
    assert {n: read.dtype(n) for n in read} == {
        "w": "float32", "half": "float16", "brain": "bfloat16", "n": "int64",
    }  # fmt: skip
    np.testing.assert_array_equal(load_file(target)["brain"].numpy(), state["brain"].float().numpy())
    half = tmp_path / "half.safetensors"
    assert run(capsys, "convert", str(target), str(half), "--dtype", "bfloat16")[0] == 0
    read = open_checkpoint(half)
    assert read.dtype("w") == "bfloat16" and read.dtype("n") == "int64"
    np.testing.assert_array_equal(
        load_file(half)["w"].numpy(), x.numpy().astype(ml_dtypes.bfloat16).astype(np.float32)
    )
    status, _, err = run(capsys, "convert", str(target), str(half))
    assert status == 1 and "--force replaces it" in err
    assert run(capsys, "convert", str(target), str(half), "--force")[0] == 0
    dlcore.save_file({"w": np.array([1e6], np.float32)}, tmp_path / "large.safetensors")
    status, _, err = run(
        capsys,
        "convert",
        str(tmp_path / "large.safetensors"),
        str(tmp_path / "x.safetensors"),
        "--dtype",
        "float16",
    )
    assert status == 1 and "65504" in err


def test_convert_a_folder_into_shards(capsys, folder, tmp_path):
    target = tmp_path / "shards"
    status, out, _ = run(capsys, "convert", str(folder), str(target), "--max-shard-size", "1KB")
    assert status == 0 and (target / "model.safetensors.index.json").is_file() and "file(s)" in out
    again = models.GPT2LMHeadModel.from_pretrained(target)
    ids = dlcore.tensor([[1, 2, 3]])
    np.testing.assert_array_equal(
        again.generate(ids, max_new_tokens=4).numpy(),
        models.GPT2LMHeadModel.from_pretrained(folder).generate(ids, max_new_tokens=4).numpy(),
    )
    for argv, text in (
        ([str(folder), str(folder)], "another place"),
        ([str(tmp_path / "no"), str(target)], "no such file or folder"),
        ([str(folder), str(tmp_path / "y"), "--max-shard-size", "much"], "max_shard_size must be"),
    ):
        status, _, err = run(capsys, "convert", *argv)
        assert status == 1 and text in err
