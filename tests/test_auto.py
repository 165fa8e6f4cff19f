"""Auto classes on this library's own families, and the folders of image models."""

import json

import numpy as np
import pytest

import dlcore
from dlcore import models
from dlcore.models import (
    AutoConfig,
    AutoModelForCTC,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    ImageConfig,
    ImageModel,
)
from dlcore.models.resnet import BasicBlock, ResNet

SIZES = {"vocab_size": 20, "embed_dim": 4, "hidden_size": 6, "num_labels": 3}


def same_state(a, b):
    x, y = a.state_dict(), b.state_dict()
    assert list(x) == list(y)
    for name in x:
        np.testing.assert_array_equal(x[name].numpy(), y[name].numpy(), err_msg=name)


@pytest.mark.parametrize(
    ("auto", "made"),
    [
        (AutoModelForTokenClassification, models.BiLSTMTagger),
        (AutoModelForTokenClassification, models.BiGRUTagger),
        (AutoModelForSequenceClassification, models.BiLSTMClassifier),
        (AutoModelForSequenceClassification, models.BiGRUClassifier),
    ],
)
def test_recurrent_folders(auto, made, tmp_path):
    model = made(models.BiRNNConfig(**SIZES)).eval()
    model.save_pretrained(tmp_path)
    again = auto.from_pretrained(tmp_path)
    assert type(again) is made and not again.training
    same_state(model, again)
    assert type(auto.from_config(AutoConfig.from_pretrained(tmp_path))) is made
    with pytest.raises(ValueError, match="'birnn' has no such head"):
        models.AutoModelForMaskedLM.from_pretrained(tmp_path)


def test_without_architectures_the_first_class():
    config = AutoConfig.for_model("birnn", **SIZES)
    assert type(AutoModelForTokenClassification.from_config(config)) is models.BiLSTMTagger


def test_ctc_folder(tmp_path):
    model = models.BiLSTMForCTC(models.CTCConfig(feature_size=3, vocab_size=5, hidden_size=4)).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForCTC.from_pretrained(tmp_path)
    assert type(again) is models.BiLSTMForCTC
    same_state(model, again)


def test_unknown_family():
    with pytest.raises(ValueError, match=r"model_type must be one of .*birnn.*got 'songs'"):
        AutoConfig.for_model("songs")


# ---- image models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (models.LeNet5, {"num_classes": 4, "in_channels": 3, "image_size": 32}),
        (models.resnet18, {"num_classes": 3}),
        (models.resnext50_32x4d, {"num_classes": 3}),
        (models.googlenet, {"num_classes": 2, "aux_logits": False, "init_weights": False}),
        (models.googlenet, {"num_classes": 2, "init_weights": False}),
        (models.vit_b_32, {"num_classes": 2, "image_size": 64}),
    ],
)
def test_image_folders(make, arguments, tmp_path):
    with dlcore.nn.init.skipped():
        model = make(**arguments).eval()
    for i, p in enumerate(model.parameters()):
        dlcore.nn.init.constant_(p, 0.01 * i)
    names = [f"kind {i}" for i in range(arguments["num_classes"])]
    model.config.id2label = dict(enumerate(names))
    model.save_pretrained(tmp_path)
    again = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert type(again) is type(model) and not again.training
    assert list(again.config.id2label.values()) == names
    assert again.config.preprocessing == model.config.preprocessing
    same_state(model, again)
    assert type(again).from_pretrained(tmp_path).config == again.config


def test_an_image_model_of_another_class(tmp_path):
    models.LeNet5().save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="ResNet: the configuration is of 'LeNet5'"):
        ResNet.from_pretrained(tmp_path)
    with pytest.raises(TypeError, match="unknown options: colour"):
        ImageModel.from_pretrained(tmp_path, colour="red")
    with pytest.raises(TypeError, match="must be an ImageConfig"):
        ImageModel.from_config(models.BiRNNConfig())


def test_double_precision_stays(tmp_path):
    model = models.LeNet5().double()
    model.save_pretrained(tmp_path)
    again = ImageModel.from_pretrained(tmp_path)
    assert next(iter(again.parameters())).dtype == np.float64
    same_state(model, again)


def test_what_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="must be made by its function"):
        ResNet(BasicBlock, [1, 1, 1, 1]).save_pretrained(tmp_path)
    fancy = models.resnet18(num_classes=2, norm_layer=dlcore.nn.BatchNorm2d)
    with pytest.raises(ValueError, match=r"arguments must be numbers.*norm_layer"):
        fancy.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="must not be fused"):
        models.resnet18(num_classes=2).eval().fuse().save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"architecture": "os.system"}, "architecture must be one of"),
        ({"architecture": "resnet18", "arguments": [1]}, "arguments must be an object"),
        ({"architecture": "resnet18", "arguments": {"weights": "x.pth"}}, "must not hold weights"),
        ({"architecture": "resnet18", "preprocessing": 3}, "preprocessing must be an object"),
    ],
)
def test_bad_image_configurations(values, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        ImageConfig(**values)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "image_classification", **values}))
    with pytest.raises(ValueError, match=match):
        AutoModelForImageClassification.from_pretrained(tmp_path)


def test_missing_and_cut_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        AutoModelForImageClassification.from_pretrained(tmp_path)
    models.LeNet5().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ValueError):
        AutoModelForImageClassification.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        AutoModelForImageClassification.from_pretrained(tmp_path)
    weights.write_bytes(whole)
    values = json.loads((tmp_path / "config.json").read_text())
    values["arguments"]["num_classes"] = 11
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(RuntimeError, match="output"):
        AutoModelForImageClassification.from_pretrained(tmp_path)
