"""Multi-head attention and the transformer's modules beside torch: masks, layouts, state, gradients."""

import copy
import pickle

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.nn import functional as F
from tests import oracle

pytestmark = [
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True"),
    pytest.mark.filterwarnings("ignore:Support for mismatched"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
]


def causal(n, kind):
    above = np.triu(np.ones((n, n), bool), 1)
    return above if kind == "bool" else np.where(above, -np.inf, 0.0)


def make_mask(rng, kind, shape):
    """True, or -inf, at some keys, never at the first two; `float` adds to the others too."""
    if kind is None:
        return None
    ignored = rng.random(shape) < 0.4
    ignored[..., :2] = False
    if kind == "bool":
        return ignored
    return np.where(ignored, -np.inf, rng.standard_normal(shape) if kind == "float" else 0.0)


class Fixed:
    """A mask on both sides without a gradient: torch's floating masks do not all have one."""

    def __init__(self, values, dtype):
        self.values = None if values is None else values if values.dtype == bool else values.astype(dtype)

    def ours(self):
        return None if self.values is None else dlcore.tensor(self.values)

    def theirs(self):
        return None if self.values is None else oracle.torch().tensor(self.values)


def masked(**masks):
    """A `call` for both_modules: the masks as tensors of each side beside the arguments."""

    def call(module, args):
        side = "ours" if isinstance(module, nn.Module) else "theirs"
        return module(
            *args, **{k: getattr(m, side)() if isinstance(m, Fixed) else m for k, m in masks.items()}
        )

    return call


def inputs(rng, batch_first, batched, n, lengths, sizes):
    out = []
    for length, size in zip(lengths, sizes):
        x = rng.standard_normal((n, length, size))
        out.append(x[0] if not batched else x if batch_first else np.ascontiguousarray(x.transpose(1, 0, 2)))
    return out


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "MultiheadAttention", 48, heads=[2, 1, 4, 3], bias=[True, False], add_bias_kv=[False, True],
        add_zero_attn=[False, True], kdim=[None, 5], vdim=[None, 8, 3], batch_first=[True, False],
        batched=[True, True, False], kind=["self", "cross", "three"], padding=[None, "bool", "float"],
        mask=[None, "bool2", "float2", "bool3", "float3", "causal", "causal bool"],
        need_weights=[True, False], average=[True, False], is_causal=[False, False, True],
        dtype=[np.float64, np.float64, np.float32], training=[False, True],
    ),
)  # fmt: skip
def test_multihead_attention(a, rng):
    torch = oracle.torch()
    E, n, heads = 12 if a["heads"] == 3 else 8, 3, a["heads"]
    own = a["kind"] == "self"
    kdim, vdim = (None, None) if own else (a["kdim"], a["vdim"])
    if a["kind"] == "cross":
        vdim = kdim
    L, S = 4, 4 if own else 5
    q, k, v = inputs(rng, a["batch_first"], a["batched"], n, (L, S, S), (E, kdim or E, vdim or E))
    args = (q, q, q) if own else (q, k, k) if a["kind"] == "cross" else (q, k, v)
    n = n if a["batched"] else 1
    padding = make_mask(rng, a["padding"], (n, S) if a["batched"] else (S,))
    mask = a["mask"]
    if mask is not None:
        if mask.startswith("causal"):
            mask = causal(max(L, S), mask[7:])[:L, :S]
        else:
            mask = make_mask(rng, mask[:-1], (L, S) if mask[-1] == "2" else (n * heads, L, S))
    if a["batched"] is False and a["mask"] in ("bool3", "float3"):
        mask = mask[:heads]
    hint = a["is_causal"] and (a["mask"] or "").startswith("causal") and own
    options = (
        E,
        heads,
        0.0,
        a["bias"],
        a["add_bias_kv"],
        a["add_zero_attn"],
        kdim,
        vdim,
        a["batch_first"],
    )
    ours, theirs = (m.MultiheadAttention(*options).train(a["training"]) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    call = masked(
        key_padding_mask=Fixed(padding, a["dtype"]), attn_mask=Fixed(mask, a["dtype"]), is_causal=hint,
        need_weights=a["need_weights"], average_attn_weights=a["average"],
    )  # fmt: skip
    oracle.both_modules(ours, theirs, *args, dtype=a["dtype"], call=call)


def test_multihead_attention_masks_have_gradients(rng):
    torch = oracle.torch()
    (x,) = inputs(rng, True, True, 2, (4,), (8,))
    mask, padding = rng.standard_normal((4, 4)), rng.standard_normal((2, 4))
    ours, theirs = (m.MultiheadAttention(8, 2, batch_first=True) for m in (nn, torch.nn))
    for need in (True, False):
        oracle.both_modules(
            ours, theirs, x, mask, padding,
            call=lambda m, t, need=need: m(t[0], t[0], t[0], t[2], need, t[1]),
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["bool", "-inf"])
@pytest.mark.parametrize("where", ["attn_mask", "key_padding_mask"])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("inference", [True, False])
def test_a_query_that_sees_no_key(kind, where, need_weights, inference, rng):
    """NaN with weights; without, 0 from the output's projection on, and NaN on torch's inference path."""
    torch = oracle.torch()
    (x,) = inputs(rng, True, True, 2, (3,), (4,))
    mask = np.zeros((3, 3) if where == "attn_mask" else (2, 3), bool)
    mask[1] = True
    mask = mask if kind == "bool" else np.where(mask, -np.inf, 0.0)
    ours, theirs = (m.MultiheadAttention(4, 2, batch_first=True).train(not inference) for m in (nn, torch.nn))
    call = masked(**{where: Fixed(mask, np.float64)}, need_weights=need_weights)

    def run(module, args):
        with (dlcore if isinstance(module, nn.Module) else torch).no_grad():
            return call(module, [args[0]] * 3)

    oracle.both_modules(
        ours, theirs, x, call=run if inference else lambda m, t: call(m, [t[0]] * 3), grad=False
    )


@pytest.mark.parametrize(
    "a",
    [
        {"shape": (4,)},
        {"shape": (2, 3, 4, 8)},
        {"shape": (2, 3, 7)},
        {"padding": (3, 2)},
        {"padding": (3,)},
        {"padding": (2, 3), "kind": np.int64},
        {"mask": (3, 2)},
        {"mask": (2, 3, 3)},
        {"mask": (3,)},
        {"mask": (3, 3), "kind": np.int64},
        {"is_causal": True},
        {"value": (2, 2, 8)},
        {"key": (2, 2)},
    ],
    ids=str,
)
def test_multihead_attention_refuses(a, rng):
    torch = oracle.torch()
    x = rng.standard_normal(a.get("shape", (2, 3, 8)))
    k = rng.standard_normal(a["key"]) if "key" in a else x
    v = rng.standard_normal(a["value"]) if "value" in a else x
    kind = a.get("kind", bool)
    masks = {
        "key_padding_mask": Fixed(np.zeros(a["padding"], kind) if "padding" in a else None, kind),
        "attn_mask": Fixed(np.zeros(a["mask"], kind) if "mask" in a else None, kind),
    }
    ours, theirs = (m.MultiheadAttention(8, 4, batch_first=True) for m in (nn, torch.nn))
    oracle.both_modules(ours, theirs, x, k, v, call=masked(**masks, is_causal=a.get("is_causal", False)))


def test_constructors_refuse():
    with pytest.raises(ValueError, match="must be divisible by num_heads"):
        nn.MultiheadAttention(7, 2)
    with pytest.raises(ValueError, match="must be greater than 0"):
        nn.MultiheadAttention(0, 2)
    with pytest.raises(TypeError, match="num_heads must be an integer"):
        nn.MultiheadAttention(8, 2.0)
    with pytest.raises(ValueError, match="activation should be relu/gelu, not tanh"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("separate", [True, False])
def test_multi_head_attention_forward(separate, static, need_weights, rng):
    torch = oracle.torch()
    E, H, L, N, S = 8, 2, 4, 3, 5
    q, k, v = rng.standard_normal((L, N, E)), rng.standard_normal((S, N, E)), rng.standard_normal((S, N, E))
    w, b = rng.standard_normal((3 * E, E)), rng.standard_normal(3 * E)
    ws = [rng.standard_normal((E, E)) for _ in range(3)] if separate else [None] * 3
    out, bias = rng.standard_normal((E, E)), rng.standard_normal(E)
    sk, sv = (rng.standard_normal((N * H, 6, E // H)) for _ in range(2)) if static else (None, None)
    oracle.both(
        F.multi_head_attention_forward, torch.nn.functional.multi_head_attention_forward,
        q, k, v, E, H, None if separate else w, b, None, None, False, 0.0, out, bias,
        need_weights=need_weights, use_separate_proj_weight=separate, q_proj_weight=ws[0],
        k_proj_weight=ws[1], v_proj_weight=ws[2],
        static_k=sk, static_v=sv,
    )  # fmt: skip
    oracle.both(
        F.multi_head_attention_forward, torch.nn.functional.multi_head_attention_forward,
        q, q, q, E, H, None, b, None, None, False, 0.0, out, bias,
    )  # fmt: skip


ACTIVATIONS = {
    "relu": ("relu", "relu"),
    "gelu": ("gelu", "gelu"),
    "F.relu": (lambda m: m.functional.relu,) * 2,
    "F.silu": (lambda m: m.functional.silu,) * 2,
    "ReLU": (lambda m: m.ReLU(),) * 2,
    "GELU": (lambda m: m.GELU(),) * 2,
    "PReLU": (lambda m: m.PReLU(),) * 2,
}


def activation(name, m):
    f = ACTIVATIONS[name][0]
    return f(m) if callable(f) else f


LAYER = {
    "heads": [2, 3], "activation": list(ACTIVATIONS), "eps": [1e-5, 1e-3], "batch_first": [True, False],
    "norm_first": [False, True], "bias": [True, False], "batched": [True, True, False],
    "padding": [None, "bool", "float"],
    "mask": [None, "bool2", "float2", "float3", "causal", "causal bool"], "training": [True, False],
    "dtype": [np.float64, np.float64, np.float32],
}  # fmt: skip


def layer_masks(rng, a, n, L, S):
    n = n if a["batched"] else 1
    padding = make_mask(rng, a["padding"], (n, S) if a["batched"] else (S,))
    mask = a["mask"]
    if mask is not None:
        if mask.startswith("causal"):
            mask = causal(max(L, S), mask[7:])[:L, :S]
        else:
            mask = make_mask(rng, mask[:-1], (L, S) if mask[-1] == "2" else (n * a["heads"], L, S))
    return Fixed(padding, a["dtype"]), Fixed(mask, a["dtype"])


def both_layers(name, a, torch, *more, **kwargs):
    E = 6
    pair = [
        getattr(m, name)(
            E, a["heads"], *more, dim_feedforward=10, dropout=0.0, activation=activation(a["activation"], m),
            layer_norm_eps=a["eps"], batch_first=a["batch_first"],
            norm_first=a["norm_first"], bias=a["bias"], **kwargs,
        ).train(a["training"])
        for m in (nn, torch.nn)
    ]  # fmt: skip
    if a["activation"][0] != "F" and a["activation"] not in ("relu", "gelu"):
        assert "activation" in repr(pair[0])
    assert repr(pair[0]) == repr(pair[1])
    return pair


@pytest.mark.parametrize("a", oracle.space("TransformerEncoderLayer", 20, **LAYER))
def test_transformer_encoder_layer(a, rng):
    torch = oracle.torch()
    ours, theirs = both_layers("TransformerEncoderLayer", a, torch)
    (x,) = inputs(rng, a["batch_first"], a["batched"], 2, (4,), (6,))
    padding, mask = layer_masks(rng, a, 2, 4, 4)
    oracle.both_modules(
        ours, theirs, x, dtype=a["dtype"], call=masked(src_mask=mask, src_key_padding_mask=padding)
    )
    if mask.values is not None and a["mask"].startswith("causal"):
        call = masked(src_mask=mask, src_key_padding_mask=padding, is_causal=True)
        oracle.both_modules(ours, theirs, x, dtype=a["dtype"], call=call)


@pytest.mark.parametrize("a", oracle.space("TransformerDecoderLayer", 20, **LAYER))
def test_transformer_decoder_layer(a, rng):
    torch = oracle.torch()
    ours, theirs = both_layers("TransformerDecoderLayer", a, torch)
    x, memory = inputs(rng, a["batch_first"], a["batched"], 2, (4, 5), (6, 6))
    padding, mask = layer_masks(rng, a, 2, 4, 4)
    memory_padding, memory_mask = layer_masks(rng, a, 2, 4, 5)
    call = masked(
        tgt_mask=mask,
        tgt_key_padding_mask=padding,
        memory_mask=memory_mask,
        memory_key_padding_mask=memory_padding,
    )
    oracle.both_modules(ours, theirs, x, memory, dtype=a["dtype"], call=call)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "TransformerEncoder", 10, **{**LAYER, "activation": ["relu", "gelu"], "dtype": [np.float64]}
    ),
)
def test_transformer_encoder(a, norm, rng):
    torch = oracle.torch()
    layers = both_layers("TransformerEncoderLayer", a, torch)
    ours, theirs = (
        m.TransformerEncoder(layer, 2, m.LayerNorm(6) if norm else None).train(a["training"])
        for m, layer in zip((nn, torch.nn), layers)
    )
    assert repr(ours) == repr(theirs)
    (x,) = inputs(rng, a["batch_first"], a["batched"], 2, (4,), (6,))
    padding, mask = layer_masks(rng, a, 2, 4, 4)
    oracle.both_modules(ours, theirs, x, call=masked(mask=mask, src_key_padding_mask=padding))
    # The decoder in the same manner, self-attention alone masked.
    layers = both_layers("TransformerDecoderLayer", a, torch)
    ours, theirs = (
        m.TransformerDecoder(layer, 2, m.LayerNorm(6) if norm else None).train(a["training"])
        for m, layer in zip((nn, torch.nn), layers)
    )
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, x, x, call=masked(tgt_mask=mask, tgt_key_padding_mask=padding))


@pytest.mark.parametrize("left_aligned", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", ["bool", "-inf"])
@pytest.mark.parametrize("nested", [True, False])
def test_padded_positions_in_inference(nested, kind, batch_first, left_aligned, rng):
    """Zeros where torch makes nested tensors, what the layers give elsewhere."""
    torch = oracle.torch()
    ours, theirs = (
        m.TransformerEncoder(
            m.TransformerEncoderLayer(8, 2, 12, batch_first=batch_first), 2, m.LayerNorm(8), nested
        ).eval()
        for m in (nn, torch.nn)
    )
    (x,) = inputs(rng, batch_first, True, 3, (5,), (8,))
    padding = np.zeros((3, 5), bool)
    padding[1, 3:] = padding[2, 1:] = True
    padding = padding if left_aligned else padding[:, ::-1].copy()
    call = masked(
        src_key_padding_mask=Fixed(padding if kind == "bool" else np.where(padding, -np.inf, 0.0), np.float64)
    )

    def run(module, args):
        with (dlcore if isinstance(module, nn.Module) else torch).no_grad():
            return call(module, args)

    oracle.both_modules(ours, theirs, x, call=run, grad=False)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "Transformer", 16, **{**LAYER, "activation": ["relu", "gelu"], "dtype": [np.float64, np.float32]}
    ),
)
def test_transformer(a, rng):
    torch = oracle.torch()
    E = 6
    ours, theirs = (
        m.Transformer(
            E, a["heads"], 2, 1, 10, 0.0, a["activation"], layer_norm_eps=a["eps"],
            batch_first=a["batch_first"], norm_first=a["norm_first"], bias=a["bias"],
        ).train(a["training"])
        for m in (nn, torch.nn)
    )  # fmt: skip
    assert repr(ours) == repr(theirs)
    src, tgt = inputs(rng, a["batch_first"], a["batched"], 2, (5, 4), (E, E))
    src_padding, src_mask = layer_masks(rng, a, 2, 5, 5)
    tgt_padding, tgt_mask = layer_masks(rng, a, 2, 4, 4)
    memory_padding, memory_mask = layer_masks(rng, a, 2, 4, 5)
    call = masked(
        src_mask=src_mask, tgt_mask=tgt_mask, memory_mask=memory_mask, src_key_padding_mask=src_padding,
        tgt_key_padding_mask=tgt_padding, memory_key_padding_mask=memory_padding,
    )  # fmt: skip
    oracle.both_modules(ours, theirs, src, tgt, dtype=a["dtype"], call=call)


def test_transformer_refuses(rng):
    torch = oracle.torch()
    ours, theirs = (m.Transformer(6, 2, 1, 1, 10) for m in (nn, torch.nn))
    x, other, wide = (rng.standard_normal(s) for s in ((4, 2, 6), (4, 3, 6), (4, 2, 7)))
    oracle.both_modules(ours, theirs, x, other)
    oracle.both_modules(ours, theirs, x, wide)
    oracle.both_modules(ours, theirs, x, x, tgt_is_causal=True)


def test_custom_encoder_and_decoder_and_default_state():
    torch = oracle.torch()

    def pair(m):
        encoder = m.TransformerEncoder(m.TransformerEncoderLayer(6, 2, 8), 1)
        return m.Transformer(6, 2, custom_encoder=encoder, num_decoder_layers=1, dim_feedforward=8)

    ours, theirs = pair(nn), pair(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.parameters(), theirs.parameters()):
        assert a.shape == tuple(b.shape)


def test_layers_of_a_stack_are_copies():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    stack = nn.TransformerEncoder(layer, 3)
    weights = [m.linear1.weight for m in stack.layers] + [layer.linear1.weight]
    assert len({id(w) for w in weights}) == 4
    np.testing.assert_array_equal(weights[0].detach().numpy(), weights[3].detach().numpy())
    x = dlcore.randn(2, 3, 8)
    for other in (copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))):
        np.testing.assert_array_equal(other.eval()(x).detach().numpy(), stack.eval()(x).detach().numpy())


def test_initialisation():
    """Xavier's bounds, biases 0, norms 1."""
    model = nn.Transformer(32, 4, 1, 1, 64)
    for name, p in model.named_parameters():
        values = p.detach().numpy()
        if p.ndim > 1:
            bound = (6 / sum(p.shape)) ** 0.5
            assert 0.8 * bound < np.abs(values).max() <= bound, name
        elif "attn" in name:
            assert not values.any(), name
        elif "norm" in name:
            assert (values == (1.0 if name.endswith("weight") else 0.0)).all(), name


def test_square_subsequent_mask():
    torch = oracle.torch()
    for ours, theirs in ((None, None), (np.float64, torch.float64), (np.bool_, torch.bool)):
        a = nn.Transformer.generate_square_subsequent_mask(4, dtype=ours)
        b = torch.nn.Transformer.generate_square_subsequent_mask(4, dtype=theirs)
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert a.dtype == b.numpy().dtype


def test_dropout_is_active_in_training_only():
    x = dlcore.randn(6, 3, 16)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.5)
    assert np.any(layer(x).detach().numpy() != layer(x).detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())
    attention = nn.MultiheadAttention(16, 2, dropout=0.9)
    for need in (True, False):
        a, b = (attention(x, x, x, need_weights=need)[0].detach().numpy() for _ in range(2))
        assert np.any(a != b)


@pytest.mark.parametrize("d", [6, 5, 1])
def test_positional_encoding(d, rng):
    t, i = np.arange(9)[:, None], np.arange(d)[None]
    angle = t / 10000 ** (i // 2 * 2 / d)
    want = np.where(i % 2 == 0, np.sin(angle), np.cos(angle))
    x = rng.standard_normal((2, 7, d))
    first = nn.PositionalEncoding(d, 0.0, 9, batch_first=True, dtype=np.float64)
    np.testing.assert_allclose(first(dlcore.tensor(x)).numpy(), x + want[:7], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(first(dlcore.tensor(x[0])).numpy(), x[0] + want[:7], rtol=1e-12, atol=1e-12)
    second = nn.PositionalEncoding(d, 0.0, 9, dtype=np.float64)
    second.load_state_dict(first.state_dict())
    y = second(dlcore.tensor(x.transpose(1, 0, 2))).numpy()
    np.testing.assert_allclose(y, (x + want[:7]).transpose(1, 0, 2), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="at most max_len=9 positions"):
        first(dlcore.zeros(1, 10, d, dtype=np.float64))
    with pytest.raises(ValueError, match=f"d_model={d} features"):
        first(dlcore.zeros(1, 3, d + 1, dtype=np.float64))
