"""Weights kept as int8 or bfloat16: their error, and what it costs a decoder's logits and loss."""

import numpy as np
import pytest

import dlcore
from dlcore import models, nn
from dlcore.quantization import QuantizedLinear, quantize_dynamic


def decoder(family):
    dlcore.manual_seed(0)
    if family == "gpt2":
        config = models.GPT2Config(vocab_size=211, n_embd=96, n_layer=3, n_head=4, initializer_range=0.1)
        return models.GPT2LMHeadModel(config).eval()
    config = models.LlamaConfig(
        vocab_size=211, hidden_size=96, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.1,
    )  # fmt: skip
    return models.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize(("dtype", "logits", "loss"), [("int8", 0.05, 0.01), ("bfloat16", 0.01, 0.005)])
def test_what_it_costs_a_decoder(family, dtype, logits, loss):
    model = decoder(family)
    ids = dlcore.tensor(np.random.default_rng(0).integers(0, 211, (2, 30)))
    with dlcore.no_grad():
        before, small = model(ids, labels=ids), quantize_dynamic(model, dtype=dtype)
        after = small(ids, labels=ids)
    a, b = before.logits.numpy(), after.logits.numpy()
    assert 0 < np.abs(a - b).max() < logits * np.abs(a).max()
    assert abs(before.loss.item() - after.loss.item()) < loss
    linear = [m for m in small.modules() if isinstance(m, QuantizedLinear)]
    assert len(linear) == (13 if family == "gpt2" else 22)
    assert not any(isinstance(m, QuantizedLinear) for m in model.modules())
    new = small.generate(ids[:, :5], max_new_tokens=4, do_sample=False)
    assert new.shape == (2, 9)
    with pytest.raises(ValueError, match="quantized weights have no form"):
        small.save_pretrained("unused")


@pytest.mark.parametrize("rows", [1, 16, 17])
def test_weights_are_rounded_to_the_nearest(rows):
    rng = np.random.default_rng(0)
    w = rng.normal(size=(7, 33)).astype(np.float32)
    w[2] = 0
    layer = nn.Linear(33, 7)
    layer.weight.data = dlcore.tensor(w)
    x = dlcore.tensor(rng.normal(size=(rows, 33)).astype(np.float32))
    for dtype, bound in (
        ("int8", np.abs(w).max(1, keepdims=True) / 127 / 2),
        ("bfloat16", np.abs(w) * 2**-8),
    ):
        small = quantize_dynamic(nn.Sequential(layer), dtype=dtype)[0]
        scale = None if small.scale is None else small.scale.numpy()
        kept = dlcore.kernels.quant_widen(small.weight.numpy(), scale)
        assert (np.abs(kept - w) <= bound * (1 + 1e-5)).all()
        expected = x.numpy() @ kept.T + layer.bias.detach().numpy()
        np.testing.assert_allclose(small(x).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bfloat16_is_widened_exactly(dtype):
    bits = np.random.default_rng(0).integers(0, 256, (5, 2 * 37), np.uint8)
    wide = dlcore.kernels.quant_widen(bits, None, dtype)
    expected = (bits.view("<u2").astype(np.uint32) << 16).view(np.float32)
    assert wide.dtype == dtype
    np.testing.assert_array_equal(wide, expected)


def test_from_pretrained_keeps_bfloat16_on_request(tmp_path):
    config = models.GPT2Config(vocab_size=31, n_embd=32, n_layer=2, n_head=2, n_positions=16)
    model = models.GPT2LMHeadModel(config).eval()
    model.save_pretrained(tmp_path)
    narrow = models.GPT2LMHeadModel.from_pretrained(tmp_path, dtype="bfloat16")
    ids = dlcore.tensor([[3, 1, 4, 1, 5]])
    with dlcore.no_grad():
        whole, rounded = model(ids).logits.numpy(), narrow(ids).logits.numpy()
        again = model.quantize("bfloat16")(ids).logits.numpy()
    np.testing.assert_array_equal(rounded, again)
    assert 0 < np.abs(rounded - whole).max() < 0.02 * np.abs(whole).max()


def test_what_is_chosen_and_errors():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2)))
    some = quantize_dynamic(model, {"2.0"})
    assert isinstance(some[2][0], QuantizedLinear) and type(some[0]) is nn.Linear
    assert isinstance(quantize_dynamic(model, {nn.Linear}, inplace=True)[0], QuantizedLinear)
    assert isinstance(model[2][0], QuantizedLinear)
    again = QuantizedLinear(dlcore.zeros(2, 3), dlcore.zeros(2))
    again.load_state_dict(model[2][0].state_dict())
    x = dlcore.ones(1, 3)
    np.testing.assert_array_equal(again(x).numpy(), model[2][0](x).numpy())
    with pytest.raises(ValueError, match="dtype must be 'int8' or 'bfloat16', got 'int4'"):
        quantize_dynamic(model, dtype="int4")
    with pytest.raises(ValueError, match="must be finite"):
        QuantizedLinear(dlcore.full((1, 1), float("nan")), None)
