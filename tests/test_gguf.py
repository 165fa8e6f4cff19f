"""GGUF: every block type beside the gguf package, Llama beside Transformers, hostile files refused."""

import struct

import numpy as np
import pytest

import dlcore
from dlcore import models
from dlcore.io import open_checkpoint
from dlcore.io.gguf import _TYPES, GGUFFile, open_llama
from tests.model_oracle import close, ids, tensor, transformers

gguf = pytest.importorskip("gguf", reason="gguf is the oracle here")
QUANTISED = [t for t in _TYPES if _TYPES[t][1] > 1]


def blocks(kind, rows, columns, seed=0):
    """Random bytes with scales that are small numbers."""
    rng = np.random.default_rng(seed)
    name, block, size, _ = _TYPES[kind]
    b = rng.integers(0, 256, (rows * columns // block, size), np.uint8)
    places = {"Q6_K": [208]}.get(name, [0, 2] if name in ("Q4_1", "Q5_1", "Q4_K", "Q5_K") else [0])
    for at in places:
        scale = rng.normal(0, 0.1, len(b)).astype(np.float16)
        b[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return b.reshape(rows, -1)


@pytest.mark.parametrize("kind", QUANTISED, ids=lambda t: _TYPES[t][0])
def test_blocks_are_widened_as_by_gguf(tmp_path, kind):
    raw = blocks(kind, 3, 512)
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_tensor("w", raw, raw_dtype=gguf.GGMLQuantizationType(kind))
    writer.add_tensor("b", np.arange(5, dtype=np.float32))
    write(writer)
    file = GGUFFile(tmp_path / "x.gguf")
    assert list(file) == ["w", "b"] and file.shape("w") == (3, 512) and file.types["w"] == _TYPES[kind][0]
    expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType(kind))
    np.testing.assert_array_equal(file["w"].numpy(), expected)
    np.testing.assert_array_equal(file["b"].numpy(), np.arange(5))


def test_plain_types_and_metadata(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_uint32("a", 7)
    writer.add_float32("b", 0.5)
    writer.add_bool("c", True)
    writer.add_string("d", "text ü")
    writer.add_array("e", [1, 2, 3])
    writer.add_array("f", ["x", "", "yz"])
    writer.add_tensor("single", x)
    writer.add_tensor("half", x.astype(np.float16))
    brain = gguf.quants.quantize(x, gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("brain", brain, raw_dtype=gguf.GGMLQuantizationType.BF16)
    write(writer)
    file = GGUFFile(tmp_path / "x.gguf")
    assert list(open_checkpoint(tmp_path / "x.gguf")) == list(file)
    m = file.metadata
    assert (m["a"], m["b"], m["c"], m["d"], m["f"]) == (7, 0.5, True, "text ü", ["x", "", "yz"])
    assert m["e"].tolist() == [1, 2, 3] and file.dtype("half") == "float32" and len(file) == 3
    np.testing.assert_array_equal(file["single"].numpy(), x)
    np.testing.assert_array_equal(file["half"].numpy(), x.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(file["brain"].numpy(), x, rtol=2**-8)


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


SIZES = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip
STEMS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def llama_file(path, kind=gguf.GGMLQuantizationType.F32, **kw):
    """A random Llama as llama.cpp's converter writes it, and the model itself, before rounding."""
    dlcore.manual_seed(0)
    model = models.LlamaForCausalLM(models.LlamaConfig(**{**SIZES, **kw})).eval()
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    for name, p in model.state_dict().items():
        w = np.array(p.numpy())
        parts = name.split(".")
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if parts[1] == "layers":
            stem = STEMS[".".join(parts[3:-1])]
            name = f"blk.{parts[2]}.{stem}.{parts[-1]}"
            if stem in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if stem == "attn_q" else config.num_key_value_heads
                w = w.reshape(heads, 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)
        else:
            names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
            name = names[name.rpartition(".")[0]] + ".weight"
        if w.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, gguf.quants.quantize(w, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, w)
    write(writer)
    return model


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q5_1"])
@pytest.mark.parametrize("tied", [True, False])
def test_llama_is_read_as_transformers_reads_it(tmp_path, kind, tied):
    hf = transformers()
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    quant = gguf.GGMLQuantizationType[kind]
    model = llama_file(tmp_path / "x.gguf", quant, tie_word_embeddings=tied, rope_theta=700.0)
    ours = models.LlamaForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf")
    again, report = models.LlamaForCausalLM.from_pretrained(tmp_path / "x.gguf", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert again.config.tie_word_embeddings is tied and again.config.num_key_value_heads == 2
    x = ids(2, 7, high=64)
    close(ours(tensor(x)).logits, again(tensor(x)).logits, 0)
    close(ours(tensor(x)).logits, model(tensor(x)).logits, {"F32": 1e-6, "F16": 1e-3}.get(kind, 0.1))
    config = hf.LlamaConfig(**{**SIZES, "tie_word_embeddings": tied, "rope_theta": 700.0})
    theirs = hf.LlamaForCausalLM(config).eval()
    theirs.load_state_dict({k: torch.tensor(np.array(v.numpy())) for k, v in ours.state_dict().items()})
    with torch.no_grad():
        close(ours(tensor(x)).logits, theirs(torch.tensor(x)).logits)


def test_files_that_lie_are_refused(tmp_path):
    def raises(match, *parts, values=0, tensors=0, version=3):
        data = b"GGUF" + struct.pack("<IQQ", version, tensors, values) + b"".join(parts)
        path = tmp_path / "bad.gguf"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=match):
            GGUFFile(path)

    def text(s, n=None):
        return struct.pack("<Q", len(s) if n is None else n) + s

    def record(name, shape, kind, offset):
        return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)

    pad = bytes(64)
    raises("version must be 2 or 3", version=3 << 24)
    raises("number of values must fit", values=2**63)
    raises("number of tensors must fit", tensors=2**62)
    raises("length of a string must fit", text(b"k", 2**60), pad, values=1)
    raises("length of an array must fit", text(b"k"), struct.pack("<IIQ", 9, 4, 2**61), pad, values=1)
    raises("arrays must nest", text(b"k"), struct.pack("<I", 9), struct.pack("<IQ", 9, 1) * 9, values=1)
    raises("type of a value", text(b"k"), struct.pack("<I", 99), pad, values=1)
    raises("must stand once", (text(b"k") + struct.pack("<IB", 0, 1)) * 2, values=2)
    raises("alignment must be", text(b"general.alignment"), struct.pack("<II", 4, 12), values=1)
    raises("must lie within the file", record(b"w", (2**20, 2**20), 0, 0), pad, tensors=1)
    raises("blocks of 32", record(b"w", (31,), 8, 0), pad, tensors=1)
    raises("sizes must be positive", record(b"w", (0, 2**63), 0, 0), pad, tensors=1)
    raises("type of a tensor must be one of F32", record(b"w", (32,), 10, 0), pad, tensors=1)
    raises("at most 4 axes", record(b"w", (1,) * 5, 0, 0), pad, tensors=1)
    raises("multiple of 32", record(b"w", (1,), 0, 8), pad, tensors=1)
    raises("overlap", record(b"w", (9,), 0, 0), record(b"v", (1,), 0, 32), pad, pad, tensors=2)
    for data in (b"", b"GGU", b"GGML" + bytes(40)):
        (tmp_path / "bad.gguf").write_bytes(data)
        with pytest.raises(ValueError, match="gguf: "):
            GGUFFile(tmp_path / "bad.gguf")


def test_metadata_that_contradict_the_tensors_are_refused(tmp_path):
    llama_file(tmp_path / "x.gguf")
    whole = (tmp_path / "x.gguf").read_bytes()
    for key, value in (("block_count", 2**31), ("embedding_length", 32), ("attention.head_count", 0)):
        at = whole.index(f"llama.{key}".encode()) + len(f"llama.{key}") + 4
        (tmp_path / "y.gguf").write_bytes(whole[:at] + struct.pack("<I", value) + whole[at + 4 :])
        with pytest.raises(ValueError, match="gguf: "):
            open_llama(tmp_path / "y.gguf")


def test_mutated_files_load_or_raise_value_error(tmp_path):
    llama_file(tmp_path / "x.gguf", gguf.GGMLQuantizationType.Q8_0, vocab_size=32)
    whole = np.fromfile(tmp_path / "x.gguf", np.uint8)
    header = GGUFFile(tmp_path / "x.gguf")._entries["output.weight"][2]
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(400):
        data = whole.copy()
        for at in rng.integers(0, min(header, len(data)), rng.integers(1, 5)):
            data[at] = rng.choice([0, 1, 255, data[at] ^ 128, rng.integers(256)])
        if i % 4 == 0:
            data = data[: rng.integers(0, len(data))]
        data.tofile(tmp_path / "y.gguf")
        try:
            values, state = open_llama(tmp_path / "y.gguf")
            assert sum(state[n].numpy().nbytes for n in state) < 8 * len(whole)
            models.LlamaConfig(**values)
        except ValueError:
            refused += 1
    assert 100 < refused < 400
