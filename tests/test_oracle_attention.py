"""scaled_dot_product_attention beside torch's over drawn arguments."""

import numpy as np
import pytest

import dlcore
from dlcore import _C
from dlcore.nn import functional as F
from tests import oracle

# (query's leading axes, Tq, Tk, E, Ev): Tq != Tk both ways, value's width its own, ranks 2 to 5, empties.
SHAPES = [
    ((2, 3), 4, 5, 8, 8),
    ((2, 3), 7, 3, 5, 6),
    ((), 4, 5, 3, 2),
    ((3,), 1, 9, 4, 4),
    ((2, 1, 3), 5, 5, 8, 16),
    ((1, 2), 33, 70, 64, 64),
    ((2, 2), 65, 17, 40, 33),
    ((1, 1), 1, 1, 1, 1),
    ((0, 2), 3, 4, 5, 5),
    ((2, 2), 3, 0, 5, 5),
    ((2, 2), 0, 3, 5, 5),
    ((2, 2), 3, 4, 0, 5),
    ((1, 2), 3, 4, 5, 0),
]
MASKS = [
    None, "causal", "bool", "float", "bool (L,1)", "float (1,S)", "bool rows off", "float -inf rows",
    "float lead", "bool bc", "float bc",
]  # fmt: skip


def mask_of(kind, rng, lead, L, S):
    shape = (L, S)
    if "(L,1)" in kind:
        shape = (L, 1)
    elif "(1,S)" in kind:
        shape = (1, S)
    elif "lead" in kind:
        shape = (*lead, L, S)
    elif "bc" in kind:
        shape = (*[1 if i % 2 == 0 else n for i, n in enumerate(lead)], 1, S)
    if kind.startswith("bool"):
        m = rng.random(shape) < 0.7
        if "off" in kind:
            m[::2] = False
        return m
    m = rng.standard_normal(shape) * 2
    if "-inf" in kind:
        m[::2] = -np.inf
        m[:, ::3] = -np.inf
    return m


# One query that sees one key has a gradient of 0, which is rounding here and exact in torch's unfused form:
# such draws compare outputs alone.
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "a", oracle.space("attention", 60, shape=SHAPES, mask=MASKS, scale=[None, 0.3, -1.5, 0.0])
)
def test_drawn(a, dtype, rng):
    torch = oracle.torch()
    lead, L, S, E, Ev = a["shape"]
    q, k, v = (rng.standard_normal((*lead, n, d)) for n, d in ((L, E), (S, E), (S, Ev)))
    kwargs = {"scale": a["scale"]}
    if a["mask"] == "causal":
        kwargs["is_causal"] = True
    elif a["mask"] is not None:
        kwargs["attn_mask"] = mask_of(a["mask"], rng, lead, L, S)
    oracle.both(
        F.scaled_dot_product_attention,
        torch.nn.functional.scaled_dot_product_attention,
        q, k, v, dtype=dtype, grad=not (a["mask"] == "causal" and L == 1), **kwargs,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "gqa", 16, lead=[(2,), (), (1, 2)], heads=[(4, 2), (6, 1), (6, 3), (3, 3), (4, 3), (2, 4)],
        n=[(3, 5), (1, 40), (34, 34)], causal=[False, True], scale=[None, 0.5],
    ),
)  # fmt: skip
def test_grouped_queries(a, dtype, rng):
    torch = oracle.torch()
    (hq, hkv), (L, S) = a["heads"], a["n"]
    q = rng.standard_normal((*a["lead"], hq, L, 8))
    k, v = (rng.standard_normal((*a["lead"], hkv, S, d)) for d in (8, 6))
    oracle.both(
        F.scaled_dot_product_attention, torch.nn.functional.scaled_dot_product_attention, q, k, v,
        dtype=dtype, is_causal=a["causal"], scale=a["scale"], enable_gqa=True,
        grad=not (a["causal"] and L == 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        ((2, 3, 4, 8), (3, 5, 8), (3, 5, 6)),
        ((2, 3, 4, 8), (1, 3, 5, 8), (2, 1, 5, 6)),
        ((1, 3, 4, 8), (2, 1, 5, 8), (2, 3, 5, 8)),
        ((4, 8), (2, 5, 8), (5, 6)),
        ((2, 6, 4, 8), (1, 3, 5, 8), (1, 3, 5, 8)),
        ((2, 6, 4, 8), (2, 3, 5, 8), (2, 2, 5, 6)),
    ],
)
def test_leading_axes_broadcast(q, k, v, rng):
    torch = oracle.torch()
    gqa = len(q) == 4 and q[1] == 6
    args = [rng.standard_normal(s) for s in (q, k, v)]
    theirs = torch.nn.functional.scaled_dot_product_attention
    oracle.both(F.scaled_dot_product_attention, theirs, *args, enable_gqa=gqa)


@pytest.mark.parametrize(
    ("shape", "kwargs"),
    [
        ("qkv", {"attn_mask": "(3, 3) bool", "is_causal": True}),
        ("qkv", {"attn_mask": "(3,) bool"}),
        ("qkv", {"attn_mask": "() bool"}),
        ("qkv", {"attn_mask": "(3, 3) int64"}),
        ("qkv", {"attn_mask": "(2, 3) bool"}),
        ("qkv", {"attn_mask": "(5, 2, 3, 3) bool"}),
        ("qkv", {"dropout_p": 1.5}),
        ("1d", {}),
        ("width", {}),
        ("length", {}),
        ("heads", {}),
        ("gqa heads", {"enable_gqa": True}),
        ("2d gqa", {"enable_gqa": True}),
    ],
)
def test_what_torch_refuses(shape, kwargs):
    torch = oracle.torch()
    q = k = v = (1, 2, 3, 4)
    if shape == "1d":
        q = (4,)
    elif shape == "width":
        k = (1, 2, 3, 5)
    elif shape == "length":
        v = (1, 2, 4, 4)
    elif shape == "heads":
        q = (1, 4, 3, 4)
    elif shape == "gqa heads":
        k = v = (1, 3, 3, 4)
    elif shape == "2d gqa":
        q = k = v = (3, 4)
    kwargs = dict(kwargs)
    if "attn_mask" in kwargs:
        size, dtype = kwargs["attn_mask"].rsplit(" ", 1)
        kwargs["attn_mask"] = np.ones(eval(size), dtype)
    args = [np.ones(s) for s in (q, k, v)]
    with pytest.raises((ValueError, TypeError, IndexError)):
        ours = {n: dlcore.tensor(x) if isinstance(x, np.ndarray) else x for n, x in kwargs.items()}
        F.scaled_dot_product_attention(*[dlcore.tensor(a) for a in args], **ours)
    if shape != "length" and "is_causal" not in kwargs:  # torch's fused form does not look at these two
        theirs = torch.nn.functional.scaled_dot_product_attention
        oracle.both(F.scaled_dot_product_attention, theirs, *args, **kwargs)


def test_transposed_inputs_and_gradients_lie_as_they_came(rng):
    torch = oracle.torch()
    x = [rng.standard_normal((2, n, 3, 8)) for n in (70, 66, 66)]

    def ours(q, k, v):
        return F.scaled_dot_product_attention(*[t.transpose(1, 2) for t in (q, k, v)]).transpose(1, 2)

    def theirs(q, k, v):
        sdpa = torch.nn.functional.scaled_dot_product_attention
        return sdpa(*[t.transpose(1, 2) for t in (q, k, v)]).transpose(1, 2)

    oracle.both(ours, theirs, *x)
    assert ours(*[dlcore.tensor(a) for a in x]).array.is_contiguous


def test_a_row_of_the_least_number_averages_and_its_gradient_too(rng):
    """What a mask of finfo.min makes of a padded row: the mean of all values, forward and backward."""
    torch = oracle.torch()
    q, k, v = (rng.standard_normal((1, 2, 6, 4)) for _ in range(3))
    mask = np.zeros((6, 6), np.float32)
    mask[1] = np.finfo(np.float32).min
    mask[2] = -1e9
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        oracle.both(
            F.scaled_dot_product_attention,
            torch.nn.functional.scaled_dot_product_attention,
            q, k, v, mask, dtype=np.float32,
        )  # fmt: skip


@pytest.mark.parametrize(
    "needs", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 1, 0), (0, 1, 1, 1)]
)
def test_only_the_gradients_that_are_needed(needs, rng):
    arrays = [rng.standard_normal(s) for s in ((2, 2, 9, 8), (2, 2, 7, 8), (2, 2, 7, 5), (2, 1, 9, 7))]
    grads = []
    for some in ((1, 1, 1, 1), needs):
        x = [dlcore.tensor(a, requires_grad=bool(n)) for a, n in zip(arrays, some)]
        F.scaled_dot_product_attention(*x).sum().backward()
        grads.append([t.grad for t in x])
    for full, one, n in zip(*grads, needs):
        assert (one is not None) == bool(n)
        if n:
            assert np.array_equal(full.numpy(), one.numpy())


@pytest.mark.parametrize("shape", [(2, 3, 70, 90), (2, 3, 2, 300)])
def test_dropout_repeats_its_mask_in_backward(shape, rng):
    """y = (P M) v is linear in v: with v = 1 the rows of y are sums of P M, and dv = (P M)^T 1."""
    B, H, L, S = shape
    q, k = rng.standard_normal((B, H, L, 16)), rng.standard_normal((B, H, S, 16))
    eye = np.broadcast_to(np.eye(S), (B, H, S, S)).copy()
    v = dlcore.tensor(eye, requires_grad=True)
    Q, K = (dlcore.tensor(a, requires_grad=True) for a in (q, k))
    y = F.scaled_dot_product_attention(Q, K, v, dropout_p=0.3, rng=5)  # P M itself
    p = F.scaled_dot_product_attention(Q.detach(), K.detach(), v.detach()).numpy()
    mask = y.detach().numpy() / p
    assert set(np.unique(np.round(mask, 9))) <= {0.0, round(1 / 0.7, 9)}
    assert abs((mask == 0).mean() - 0.3) < 4 * np.sqrt(0.21 / mask.size) + 1e-3
    seed = rng.standard_normal(y.shape)
    y.backward(seed)
    np.testing.assert_allclose(v.grad.numpy(), np.swapaxes(y.detach().numpy(), -1, -2) @ seed, atol=1e-12)
    dp = seed * mask
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / 4
    np.testing.assert_allclose(Q.grad.numpy(), ds @ k, atol=1e-12)
    np.testing.assert_allclose(K.grad.numpy(), np.swapaxes(ds, -1, -2) @ q, atol=1e-12)
    again = F.scaled_dot_product_attention(Q.detach(), K.detach(), v.detach(), dropout_p=0.3, rng=5)
    assert np.array_equal(again.numpy(), y.detach().numpy())
    other = F.scaled_dot_product_attention(Q.detach(), K.detach(), v.detach(), dropout_p=0.3, rng=6)
    assert not np.array_equal(other.numpy(), y.detach().numpy())


def test_dropout_follows_manual_seed_and_has_the_right_mean(rng):
    q, k, v = (dlcore.tensor(rng.standard_normal((1, 2, 64, 8))) for _ in range(3))
    dlcore.manual_seed(1)
    a = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy()
    b = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy()
    dlcore.manual_seed(1)
    assert np.array_equal(F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy(), a)
    assert not np.array_equal(a, b)
    draws = np.stack([F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy() for _ in range(400)])
    exact = F.scaled_dot_product_attention(q, k, v).numpy()
    off = (draws.mean(0) - exact) / (draws.std(0) / 20)
    assert np.abs(off).max() < 6 and abs(off.mean()) < 0.5
    ones = F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).numpy()
    assert not ones.any()
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="dropout_p must be a probability between 0 and 1"):
            F.scaled_dot_product_attention(q, k, v, dropout_p=bad)


@pytest.mark.parametrize("form", ["plain", "causal", "key mask"])
def test_memory_is_linear_in_the_length(form, rng):
    T = 8192
    x = [dlcore.tensor(rng.standard_normal((1, 2, T, 64), np.float32), requires_grad=True) for _ in range(3)]
    mask = dlcore.tensor(rng.random((1, 1, 1, T)) < 0.9) if form == "key mask" else None
    _C.empty_cache()
    _C.reset_peak_memory()
    before, scratch = _C.memory_stats()["active_bytes"], _C.memory_stats()["workspace_bytes"]
    y = F.scaled_dot_product_attention(*x, attn_mask=mask, is_causal=form == "causal")
    y.sum().backward()
    stats = _C.memory_stats()
    one = x[0].numel() * 4  # 4 MB; a T x T buffer would be 512 MB
    assert stats["peak_bytes"] - before < 8 * one
    assert stats["workspace_bytes"] - scratch < 16 * one
