"""embedding, embedding_bag, one_hot, distances beside torch."""

import numpy as np
import pytest

import dlcore
from dlcore import functional as F
from dlcore import nn
from tests import oracle


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "embedding",
        40,
        index=[(4, 5), (7,), (), (0,), (2, 0, 3), (300,)],
        n=[6, 1, 40],
        dim=[5, 1, 0, 70],
        padding=[None, 0, -1, 3, 100],
        max_norm=[None, 1.0, 0.3],
        norm_type=[2.0, 1.0, 3.0, float("inf")],
        freq=[False, True],
        int32=[False, True],
    ),
)
def test_embedding(a, dtype, rng):
    torch = oracle.torch()
    i = np.asarray(rng.integers(0, a["n"], a["index"]), np.int32 if a["int32"] else np.int64)
    w = rng.standard_normal((a["n"], a["dim"]))
    kw = {"scale_grad_by_freq": a["freq"]}
    if a["dim"] or a["max_norm"] is None:
        kw |= {"max_norm": a["max_norm"], "norm_type": a["norm_type"]}
    oracle.both(
        lambda i, w: F.embedding(i, w, a["padding"], **kw),
        lambda i, w: torch.nn.functional.embedding(i, w, a["padding"], **kw),
        i,
        w,
        dtype=dtype,
    )
    if a["padding"] == 100 or (a["padding"] == 3 and a["n"] < 4):
        for m in (nn, torch.nn):
            with pytest.raises((ValueError, AssertionError)):
                m.Embedding(a["n"], a["dim"], a["padding"])
        return
    ours, theirs = (m.Embedding(a["n"], a["dim"], a["padding"], **kw) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, i, dtype=dtype)
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-6)


def test_embedding_refusals(rng):
    torch = oracle.torch()
    w, i = rng.standard_normal((4, 3)), rng.integers(0, 4, 5)
    for args in [(i + 4, w), (i - 5, w), (i.astype(np.float64), w), (i, w[0])]:
        oracle.both(F.embedding, torch.nn.functional.embedding, *args)
    with pytest.raises(IndexError, match=r"embedding: indices must lie within the axis of size 4"):
        F.embedding(dlcore.tensor([4]), dlcore.tensor(w))
    with pytest.raises(TypeError, match="index must be int64 or int32"):
        F.embedding(dlcore.tensor([1.0]), dlcore.tensor(w))


def test_padding_row_is_zero_and_from_pretrained_shares():
    torch = oracle.torch()
    for m in (nn, torch.nn):
        assert not m.Embedding(5, 3, padding_idx=2).weight[2].detach().numpy().any()
        assert not m.EmbeddingBag(5, 3, padding_idx=-1).weight[-1].detach().numpy().any()
    w = dlcore.randn(5, 3)
    for cls in (nn.Embedding, nn.EmbeddingBag):
        e = cls.from_pretrained(w)
        assert not e.weight.requires_grad
        assert e.weight.numpy().ctypes.data == w.numpy().ctypes.data
        assert cls.from_pretrained(w, freeze=False, padding_idx=1).weight.requires_grad
        with pytest.raises(ValueError, match="embeddings must be 2-d"):
            cls.from_pretrained(w[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "bag",
        60,
        index=[(23,), (4, 5), (0,), (3, 0), (0, 3)],
        offsets=[[0, 4, 4, 11, 23], [0], [0, 7], [1, 4], [0, 30], []],
        last=[False, True],
        n=[6, 1, 40],
        dim=[5, 1, 70],
        mode=["mean", "sum", "max", "other"],
        weights=[False, True],
        padding=[None, 0, -1],
        max_norm=[None, 1.0],
        freq=[False, True],
    ),
)
def test_embedding_bag(a, dtype, rng):
    torch = oracle.torch()
    i = rng.integers(0, a["n"], a["index"])
    w = rng.standard_normal((a["n"], a["dim"]))
    offsets = np.array(a["offsets"], np.int64) if i.ndim == 1 else None
    if offsets is not None and (offsets > len(i)).any():
        offsets = np.minimum(offsets, len(i))
    scale = rng.standard_normal(i.shape) if a["weights"] else None
    if offsets is not None and a["last"] and (len(offsets) == 0 or offsets[-1] != len(i)):
        pytest.skip("torch reads the last offset otherwise than its documentation says")
    if i.ndim == 2 and i.shape[1] == 0:
        pytest.skip("torch refuses bags of no entries in this form alone")
    kw = {
        "mode": a["mode"],
        "scale_grad_by_freq": a["freq"],
        "max_norm": a["max_norm"],
        "include_last_offset": a["last"],
        "padding_idx": a["padding"],
    }
    oracle.both(
        lambda i, w, o, s: F.embedding_bag(i, w, o, per_sample_weights=s, **kw),
        lambda i, w, o, s: torch.nn.functional.embedding_bag(i, w, o, per_sample_weights=s, **kw),
        i, w, offsets, scale, dtype=dtype, grad=not a["freq"],
    )  # fmt: skip
    if a["mode"] == "other":
        return
    ours, theirs = (m.EmbeddingBag(a["n"], a["dim"], **kw) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    oracle.both_modules(ours, theirs, i, offsets, scale, dtype=dtype, grad=not a["freq"])


def test_embedding_bag_divides_by_frequency(rng):
    """As documented; torch 2.13 divides by the frequency of another row where numbers repeat."""
    i, w, g = rng.integers(0, 9, (4, 6)), rng.standard_normal((9, 5)), rng.standard_normal((4, 5))
    grads = []
    for freq in (False, True):
        t = dlcore.tensor(w, requires_grad=True)
        F.embedding_bag(dlcore.tensor(i), t, mode="sum", scale_grad_by_freq=freq).backward(g)
        grads.append(t.grad.numpy())
    counts = np.maximum(np.bincount(i.ravel(), minlength=9), 1)[:, None]
    np.testing.assert_allclose(grads[1], grads[0] / counts, rtol=1e-12)


def test_embedding_bag_refusals(rng):
    torch = oracle.torch()
    w, i = rng.standard_normal((4, 3)), rng.integers(0, 4, 6)
    o = np.array([0, 3])
    for args in [(i, w), (i + 4, w, o), (i - 5, w, o), (i.reshape(2, 3), w, o), (i.reshape(1, 2, 3), w, o)]:
        oracle.both(F.embedding_bag, torch.nn.functional.embedding_bag, *args)
    with pytest.raises(ValueError, match="offsets must begin with 0"):
        F.embedding_bag(dlcore.tensor(i), dlcore.tensor(w), dlcore.tensor([1, 3]))
    with pytest.raises(ValueError, match="offsets must ascend, up to the number of indices"):
        F.embedding_bag(dlcore.tensor(i), dlcore.tensor(w), dlcore.tensor([0, 7]))
    with pytest.raises(ValueError, match="offsets must ascend"):
        F.embedding_bag(dlcore.tensor(i), dlcore.tensor(w), dlcore.tensor([0, 4, 3]))


@pytest.mark.parametrize(
    "a", oracle.space("one_hot", 30, shape=[(3,), (2, 4), (), (0,)], classes=[-1, 5, 3, 0, -2], low=[0, -1])
)
def test_one_hot(a, rng):
    torch = oracle.torch()
    x = np.asarray(rng.integers(a["low"], 5, a["shape"]))
    oracle.both(F.one_hot, torch.nn.functional.one_hot, x, a["classes"])
    oracle.both(F.one_hot, torch.nn.functional.one_hot, x.astype(np.int32), a["classes"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "normalize",
        50,
        shape=[(3, 7), (2, 3, 4), (5,), (0, 3), (3, 0), ()],
        p=[2.0, 1.0, 3.0, 0.5, 0.0, float("inf"), -float("inf"), 2],
        dim=[1, -1, 0, (0, 1), 3],
        eps=[1e-12, 0.1, 10.0],
        zero=[False, True],
    ),
)
def test_normalize(a, dtype, rng):
    torch = oracle.torch()
    x = np.asarray(rng.standard_normal(a["shape"]))
    if a["zero"] and x.ndim and x.size:
        x[0] = 0
    kw = {"p": a["p"], "dim": a["dim"], "eps": a["eps"]}
    oracle.both(F.normalize, torch.nn.functional.normalize, x, dtype=dtype, **kw)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "cosine",
        40,
        shapes=[
            ((3, 7), (3, 7)), ((3, 7), (1, 7)), ((2, 1, 4), (3, 4)), ((5,), (5,)), ((0, 3), (0, 3)),
            ((3, 0), (3, 0)), ((3, 7), (3, 6)),
        ],
        dim=[1, -1, 0, 3],
        eps=[1e-8, 0.5, 3.0],
        scale=[1.0, 1e-9],
    ),
)  # fmt: skip
def test_cosine_similarity(a, dtype, rng):
    torch = oracle.torch()
    x, y = [np.asarray(rng.standard_normal(s) * a["scale"]) for s in a["shapes"]]
    oracle.both(
        F.cosine_similarity, torch.nn.functional.cosine_similarity, x, y, a["dim"], a["eps"], dtype=dtype
    )
    oracle.both_modules(
        nn.CosineSimilarity(a["dim"], a["eps"]),
        torch.nn.CosineSimilarity(a["dim"], a["eps"]),
        x,
        y,
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "pairwise",
        40,
        shapes=[
            ((3, 7), (3, 7)),
            ((3, 7), (1, 7)),
            ((5,), (5,)),
            ((0, 3), (0, 3)),
            ((3, 7), (7,)),
            ((2, 3), (2, 4)),
        ],
        p=[2.0, 1.0, 3.0, float("inf"), -float("inf"), 0.5],
        eps=[1e-6, 0.0, 0.1],
        keepdim=[False, True],
    ),
)  # fmt: skip
def test_pairwise_distance(a, dtype, rng):
    torch = oracle.torch()
    x, y = [rng.standard_normal(s) for s in a["shapes"]]
    args = (a["p"], a["eps"], a["keepdim"])
    oracle.both(F.pairwise_distance, torch.nn.functional.pairwise_distance, x, y, *args, dtype=dtype)
    oracle.both_modules(nn.PairwiseDistance(*args), torch.nn.PairwiseDistance(*args), x, y, dtype=dtype)


@pytest.mark.parametrize("p", [2.0, 1.0, 3.0, float("inf"), 0.0, -1.0])
@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (0, 3), (4, 0), (3,), (2, 3, 4)])
def test_pdist(shape, p, rng):
    torch = oracle.torch()
    x = rng.standard_normal(shape)
    oracle.both(F.pdist, torch.nn.functional.pdist, x, p, grad=x.size > 0)  # torch's backward crashes on none
    if len(shape) == 2 and shape[0] > 2:
        x[1] = x[0]
        oracle.both(F.pdist, torch.nn.functional.pdist, x, p)
