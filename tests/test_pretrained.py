"""What all pretrained models share: configuration, loading, its report, saving, shards."""

import json
from typing import ClassVar

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.io import SafetensorsFile, open_checkpoint
from dlcore.models import PreTrainedConfig, PreTrainedModel


class ToyConfig(PreTrainedConfig):
    model_type = "toy"
    attribute_map: ClassVar = {"hidden_size": "width"}
    defaults: ClassVar = {"width": 4, "vocab_size": 7}


class ToyModel(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.LayerNorm = nn.LayerNorm(config.width)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed

    def set_input_embeddings(self, value):
        self.embed = value

    def forward(self, ids):
        return self.LayerNorm(self.embed(ids))


class ToyForLM(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"
    _tied_weights_keys: ClassVar = {"lm_head.weight": "toy.embed.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.toy = ToyModel(config)
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, ids):
        return self.lm_head(self.toy(ids))


IDS = dlcore.tensor([[1, 2, 6]])


def test_configuration_maps_names_and_keeps_unknown_keys(tmp_path):
    config = ToyConfig(hidden_size=8, colour="red", num_labels=3, max_length=9)
    assert config.width == config.hidden_size == 8
    assert config.num_labels == 3 and config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    config.save_pretrained(tmp_path)
    again = ToyConfig.from_pretrained(tmp_path, width=5)
    assert (again.width, again.colour) == (5, "red")
    assert "max_length" not in json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(ValueError, match="problem_type must be"):
        ToyConfig(problem_type="other")
    with pytest.raises(AttributeError, match="ToyConfig has no attribute 'depth'"):
        _ = config.depth


def test_save_and_load_keep_every_value_and_the_ties(tmp_path):
    model = ToyForLM(ToyConfig()).eval()
    assert model.lm_head.weight is model.toy.embed.weight
    model.save_pretrained(tmp_path)
    assert sorted(SafetensorsFile(tmp_path / "model.safetensors")) == [
        "toy.LayerNorm.bias", "toy.LayerNorm.weight", "toy.embed.weight",
    ]  # fmt: skip
    again, report = ToyForLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not again.training and again.lm_head.weight is again.toy.embed.weight
    assert report == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    np.testing.assert_array_equal(again(IDS).detach().numpy(), model(IDS).detach().numpy())


def test_base_checkpoints_load_into_heads_and_heads_into_bases(tmp_path, caplog):
    head = ToyForLM(ToyConfig())
    head.save_pretrained(tmp_path / "head")
    base = ToyModel.from_pretrained(tmp_path / "head")
    np.testing.assert_array_equal(base.embed.weight.detach().numpy(), head.lm_head.weight.detach().numpy())
    base.save_pretrained(tmp_path / "base")
    again = ToyForLM.from_pretrained(tmp_path / "base")
    np.testing.assert_array_equal(again(IDS).detach().numpy(), head(IDS).detach().numpy())
    untied, report = ToyForLM.from_pretrained(
        tmp_path / "base", tie_word_embeddings=False, output_loading_info=True
    )
    assert report["missing_keys"] == ["lm_head.weight"] and "lm_head.weight" in caplog.text
    assert np.isfinite(untied.lm_head.weight.detach().numpy()).all()
    with pytest.raises(RuntimeError, match="missing: lm_head"):
        ToyForLM.from_pretrained(tmp_path / "base", tie_word_embeddings=False, strict=True)


def test_old_names_unexpected_and_mismatched_entries_are_told(tmp_path):
    ToyConfig().save_pretrained(tmp_path)
    weights = {
        "embed.weight": np.ones((7, 4), np.float32),
        "LayerNorm.gamma": np.full(4, 2, np.float32),
        "LayerNorm.beta": np.zeros(4, np.float32),
        "stranger": np.zeros(1, np.float32),
    }
    dlcore.save_file(weights, tmp_path / "model.safetensors")
    model, report = ToyModel.from_pretrained(tmp_path, output_loading_info=True)
    assert report["unexpected_keys"] == ["stranger"] and not report["missing_keys"]
    assert model.LayerNorm.weight.detach().numpy()[0] == 2
    with pytest.raises(RuntimeError, match=r"embed.weight is \(7, 4\) in the file, \(9, 4\) in the model"):
        ToyModel.from_pretrained(tmp_path, vocab_size=9)
    model, report = ToyModel.from_pretrained(
        tmp_path, vocab_size=9, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert report["mismatched_keys"] == [("embed.weight", (7, 4), (9, 4))]
    assert model.embed.weight.shape == (9, 4) and np.isfinite(model.embed.weight.detach().numpy()).all()


def test_weights_are_mapped_and_training_leaves_the_file_alone(tmp_path):
    model = ToyForLM(ToyConfig())
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    again = ToyForLM.from_pretrained(tmp_path).train()
    optimizer = dlcore.optim.SGD(again.parameters(), lr=1.0)
    again(IDS).sum().backward()
    optimizer.step()
    assert not np.array_equal(again.lm_head.weight.detach().numpy(), model.lm_head.weight.detach().numpy())
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_shards_and_their_index(tmp_path):
    model = ToyForLM(ToyConfig(vocab_size=50))
    model.save_pretrained(tmp_path, max_shard_size="0.1KB")
    index = tmp_path / "model.safetensors.index.json"
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert len(files) > 1 and files[0].startswith("model-00001-of-")
    again = ToyForLM.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again(IDS).detach().numpy(), model(IDS).detach().numpy())
    for shard in ("../model.safetensors", "/etc/passwd", "a/b", "..", "a\\b"):
        index.write_text(json.dumps({"weight_map": {"x": shard}}))
        with pytest.raises(ValueError, match="a plain file name"):
            open_checkpoint(index)
        (tmp_path / "model.safetensors").unlink(missing_ok=True)
        with pytest.raises(ValueError, match="a plain file name"):
            ToyForLM.from_pretrained(tmp_path)
    index.write_text("[1]")
    with pytest.raises(ValueError, match="JSON object"):
        ToyForLM.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="JSON object"):
        open_checkpoint(index)


def test_half_precision_files_compute_in_float32(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    ToyConfig(dtype="bfloat16").save_pretrained(tmp_path)
    values = np.arange(28, dtype=np.float32).reshape(7, 4)
    for dtype in (ml_dtypes.bfloat16, np.float16, np.float64):
        state = {
            "embed.weight": values.astype(dtype),
            "LayerNorm.weight": np.ones(4, dtype),
            "LayerNorm.bias": np.ones(4, dtype),
        }
        dlcore.save_file(state, tmp_path / "model.safetensors")
        model = ToyModel.from_pretrained(tmp_path)
        assert model.dtype == (np.float64 if dtype is np.float64 else np.float32)
        np.testing.assert_array_equal(model.embed.weight.detach().numpy(), values)
    assert ToyModel.from_pretrained(tmp_path, dtype="float32").dtype == np.float32
    with pytest.raises(ValueError, match="dtype must be"):
        ToyModel.from_pretrained(tmp_path, dtype="int8")


def test_resizing_the_vocabulary_keeps_known_rows_and_the_tie():
    model = ToyForLM(ToyConfig())
    old = model.lm_head.weight.detach().numpy().copy()
    model.resize_token_embeddings(9)
    assert model.lm_head.weight is model.toy.embed.weight and model(IDS).shape == (1, 3, 9)
    np.testing.assert_array_equal(model.lm_head.weight.detach().numpy()[:7], old)
    assert model.config.vocab_size == 9
    with pytest.raises(ValueError, match="must be positive"):
        model.resize_token_embeddings(0)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        ToyModel.from_pretrained(tmp_path)
    ToyConfig().save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        ToyModel.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ToyModel.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="config must be a ToyConfig"):
        ToyModel(PreTrainedConfig())
