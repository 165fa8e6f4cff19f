"""`dlcore train`: every task learns, a broken run goes on bit for bit, and bad configurations are named."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest

import dlcore
from dlcore import cli, models
from dlcore.cli import train_config

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
LM = [
    "--task", "language-modelling", "--batch-size", "8", "--lr", "0.01", "--threads", "1",
    "--set", "model.layers=1", "--set", "model.width=16", "--set", "model.heads=2",
    "--set", "model.context=16", "--set", "run.save_every=3",
]  # fmt: skip


def run(capsys, *argv):
    status = cli.main(["train", *map(str, argv)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def result(capsys, *argv):
    status, out, err = run(capsys, *argv, "--json")
    assert (status, err) == (0, "")
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def reviews(tmp_path):
    rng = np.random.default_rng(0)
    words = {"good": ["fine", "great", "lovely"], "bad": ["poor", "awful", "dull"]}
    rows = []
    for i in range(160):
        label = ("good", "bad")[i % 2]
        filler = rng.choice(["a", "film", "and", "plot", "it"], rng.integers(1, 6)).tolist()
        rows.append(" ".join([*filler, str(rng.choice(words[label]))]) + f"\t{label}")
    path = tmp_path / "reviews.tsv"
    path.write_text("\n".join(rows) + "\n")
    return path


def state(folder):
    return {
        name: dlcore.load_file(folder / name)
        for name in ("checkpoint.safetensors", "model/model.safetensors")
    }


def equal(a, b):
    a, b = state(a), state(b)
    for name in a:
        assert a[name].keys() == b[name].keys()
        for key in a[name]:
            np.testing.assert_array_equal(a[name][key].numpy(), b[name][key].numpy(), key)


# ---- tasks -------------------------------------------------------------------------------------------------


def test_a_language_model_learns_and_is_read_by_generate(capsys, text, tmp_path):
    pytest.importorskip("tokenizers", reason="texts need tokenizers")
    out = tmp_path / "run"
    got = result(capsys, *LM, "--data", text, "--out", out, "--epochs", 12)
    assert got["val_loss"] < 1.5 and got["epoch"] == 12
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    assert [int(r["epoch"]) for r in rows] == list(range(1, 13))
    assert min(float(r["val_loss"]) for r in rows) == got["best_val_loss"]
    assert any(p.name.startswith("events") for p in (out / "tensorboard").iterdir())
    model = str(out / "model")
    assert cli.main(["generate", "--model", model, "--max-new-tokens", "5", "the q"]) == 0
    said = capsys.readouterr().out.rstrip("\n")
    assert said.startswith("the q") and len(said) <= 10


def test_a_gru_learns_labels(capsys, reviews, tmp_path):
    task = ["--task", "text-classification", "--data", reviews, "--threads", 1]
    got = result(capsys, *task, "--out", tmp_path / "run", "--epochs", 5, "--lr", 0.01, "--batch-size", 16)
    assert got["val_accuracy"] == 1
    assert json.loads((tmp_path / "run/model/config.json").read_text())["labels"] == ["bad", "good"]


def test_a_bert_is_fine_tuned(capsys, reviews, tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="texts need tokenizers")
    bert = tmp_path / "bert"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "film", "and", "plot", "it"]
    words += ["fine", "great", "lovely", "poor", "awful", "dull"]
    config = models.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    models.BertModel(config).save_pretrained(bert)
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    backend.save(str(bert / "tokenizer.json"))
    task = ["--task", "text-classification", "--data", reviews, "--model", bert, "--threads", 1]
    options = ["--epochs", 8, "--lr", 0.01, "--batch-size", 16, "--json"]
    status, out, _ = run(capsys, *task, "--out", tmp_path / "run", *options)  # warns of the new head
    assert status == 0 and json.loads(out)["val_accuracy"] > 0.9
    saved = models.AutoConfig.from_pretrained(tmp_path / "run/model")
    assert saved.id2label == {0: "bad", 1: "good"}


def test_lenet_learns_a_folder_of_classes(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="images need Pillow")
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(30):
            x = rng.integers(0, 60, (20, 20)).astype(np.uint8)
            x[:, slice(0, 10) if name == "left" else slice(10, 20)] += 150
            image.fromarray(x).save(tmp_path / "images" / name / f"{i}.png")
    task = ["--task", "image-classification", "--data", tmp_path / "images", "--threads", 1]
    got = result(capsys, *task, "--out", tmp_path / "run", "--epochs", 4, "--batch-size", 8)
    assert got["val_accuracy"] == 1
    saved = json.loads((tmp_path / "run/model/config.json").read_text())
    assert saved["classes"] == ["left", "right"]
    model = models.LeNet5(2)
    model.load_state_dict(dlcore.load_file(tmp_path / "run/model/model.safetensors"))


# ---- going on ----------------------------------------------------------------------------------------------


def start(*argv):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "dlcore", "train", *map(str, argv)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_broken_run_goes_on_bit_for_bit(capsys, text, tmp_path, how):
    pytest.importorskip("tokenizers", reason="texts need tokenizers")
    task = [*LM, "--data", text, "--epochs", 24, "--set", "optimizer.accumulate=2"]
    broken = start(*task, "--out", tmp_path / "broken", "--json")
    checkpoint = tmp_path / "broken/checkpoint.safetensors"
    end = time.monotonic() + 30
    while not checkpoint.exists() and time.monotonic() < end:
        time.sleep(0.01)
    broken.send_signal(getattr(signal, how))
    _, err = broken.communicate(timeout=30)
    assert broken.returncode == (-9 if how == "SIGKILL" else 130), err
    resumed = result(capsys, "--out", tmp_path / "broken", "--resume")
    whole = result(capsys, *task, "--out", tmp_path / "whole")
    for key in ("step", "loss", "val_loss", "best_val_loss"):
        assert resumed[key] == whole[key]
    equal(tmp_path / "broken", tmp_path / "whole")


def test_resume_refuses_another_training(capsys, text, tmp_path):
    pytest.importorskip("tokenizers", reason="texts need tokenizers")
    task = [*LM, "--data", text, "--out", tmp_path / "run", "--epochs", 1]
    result(capsys, *task)
    assert run(capsys, *task)[0] == 2
    status, _, err = run(capsys, "--out", tmp_path / "run", "--resume", "--lr", 0.5)
    assert status == 2 and "optimizer.lr must be as in the training to resume, 0.01, got 0.5" in err
    assert result(capsys, "--out", tmp_path / "run", "--resume", "--epochs", 2)["epoch"] == 2


def test_patience_ends_a_training(capsys, text, tmp_path):
    pytest.importorskip("tokenizers", reason="texts need tokenizers")
    task = [*LM, "--data", text, "--out", tmp_path / "run", "--epochs", 50, "--lr", 0]
    assert result(capsys, *task, "--set", "run.patience=2")["epoch"] == 3


# ---- configuration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", train_config.TASKS)
def test_the_printed_configuration_is_one(capsys, task):
    status, out, _ = run(capsys, "--print-config", task)
    tree = tomllib.loads(out)
    tree["data"]["path"] = "x"
    assert status == 0 and train_config.merge(tree) == train_config.merge(
        {"task": task, "data": {"path": "x"}}
    )


def test_flags_win_over_the_file(capsys, text, tmp_path):
    pytest.importorskip("tokenizers", reason="texts need tokenizers")
    file = tmp_path / "run.toml"
    file.write_text(
        f'task = "language-modelling"\n[run]\nepochs = 7\nout = "{tmp_path / "a"}"\n'
        f'[data]\npath = "{text}"\n[model]\nlayers = 1\nwidth = 8\nheads = 2\ncontext = 8\n'
    )
    got = result(capsys, file, "--epochs", 1, "--set", "model.width=12")
    assert got["epoch"] == 1 and got["out"] == str(tmp_path / "a")
    saved = json.loads((tmp_path / "a/config.json").read_text())
    assert saved["model"]["width"] == 12 and saved["model"]["layers"] == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "task must be one of"),
        ([*LM], "data.path must be given"),
        ([*LM, "--set", "model.depth=3"], "model.depth is no key of language-modelling"),
        ([*LM, "--set", "modle.layers=3"], "modle is no section"),
        ([*LM, "--set", "model.layers=many"], "model.layers must be an integer, got 'many'"),
        ([*LM, "--set", "model.layers=0"], "model.layers must be between 1 and 1000, got 0"),
        ([*LM, "--set", "optimizer.schedule=steps"], "optimizer.schedule must be one of cosine, constant"),
        ([*LM, "--set", "optimizer.clip=nan"], "optimizer.clip must be at least 0"),
        ([*LM, "--set", "layers"], "--set must be section.key=value, got 'layers'"),
        ([*LM, "--data", "x", "--set", "model.heads=3"], "model.width must be a multiple of model.heads"),
        ([*LM, "--model", "x"], "language-modelling starts anew"),
    ],
)
def test_bad_configurations_are_named(capsys, argv, says):
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "") and says in err and err.count("\n") == 1


def test_missing_data_is_1(capsys, tmp_path):
    status, _, err = run(capsys, "--task", "image-classification", "--data", tmp_path / "none")
    assert status == 1 and "data.path: no such folder" in err
