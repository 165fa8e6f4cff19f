"""Cases of the embedding family."""

import numpy as np

from dlcore import functional as F
from dlcore import kernels as K
from tests.cases import Error, OpCase, Sample
from tests.reference import embedding as ref


def lookups(rng):
    """(index, weight, name): columns around one vector and around the four that are summed together."""
    w = rng.standard_normal((6, 8))
    return [
        (rng.integers(0, 5, (3, 4)), rng.standard_normal((5, 3)), "plain"),
        (rng.integers(0, 5, 7).astype(np.int32), rng.standard_normal((5, 16)), "int32"),
        (rng.integers(0, 3, 150), rng.standard_normal((3, 1)), "many of each"),
        (rng.integers(0, 5, 0), rng.standard_normal((5, 3)), "no index"),
        (np.asarray(2), rng.standard_normal((5, 17)), "0-d index"),
        (rng.integers(0, 5, (2, 3)), rng.standard_normal((5, 0)), "no columns"),
        (rng.integers(0, 8, 9), w.T, "transposed weight"),
        (rng.integers(0, 3, 9)[::-2], w[::-2, ::3], "negative strides"),
        (rng.integers(0, 9, 20), rng.standard_normal((9, 67)), "odd columns"),
    ]


def large_lookups(rng):
    return [
        (rng.integers(0, 900, 3000), rng.standard_normal((900, 65)), "many rows"),
        (rng.integers(0, 4, 5000), rng.standard_normal((4, 33)), "many of each"),
        (rng.integers(0, 2, 40), rng.standard_normal((3000, 40)), "sparse"),
    ]


def embedding_samples(make):
    return lambda rng: [Sample((i, w), id=name) for i, w, name in make(rng)]


def backward_samples(make):
    def build(rng):
        out = []
        for i, w, name in make(rng):
            dy = rng.standard_normal((*i.shape, w.shape[1]))
            for padding, freq in [(None, False), (0, False), (None, True), (1, True)]:
                out.append(Sample((dy, i, len(w), padding, freq), id=f"{name} {padding} {freq}"))
        return out

    return build


def renorm_samples(make):
    return lambda rng: [
        Sample((w, i, 0.8, p), id=f"{name} p={p}")
        for i, w, name in make(rng)
        for p in (2.0, 1.0, 3.0, np.inf)
        if w.shape[1]
    ]


def bags(rng):
    """(index, weight, offsets, name)."""
    return [
        (rng.integers(0, 5, 9), rng.standard_normal((5, 3)), [0, 2, 2, 6], "plain"),
        (rng.integers(0, 5, 9), rng.standard_normal((5, 3)), [0, 9], "empty last"),
        (rng.integers(0, 5, 0), rng.standard_normal((5, 3)), [0, 0], "no index"),
        (rng.integers(0, 5, 0), rng.standard_normal((5, 3)), [], "no bags"),
        (rng.integers(0, 3, 150), rng.standard_normal((3, 2)), [0, 70], "long bags"),
        (rng.integers(0, 9, 20), rng.standard_normal((9, 67)), [0, 3, 9], "odd columns"),
        (rng.integers(0, 8, 6), rng.standard_normal((6, 8)).T, [0, 3], "transposed weight"),
        (np.zeros(4, np.int64), rng.standard_normal((2, 5)), [0, 2], "only padding"),
    ]


def large_bags(rng):
    return [
        (rng.integers(0, 500, 4000), rng.standard_normal((500, 65)), list(range(0, 4000, 16)), "many bags"),
        (rng.integers(0, 50, 4000), rng.standard_normal((50, 300)), [0, 10, 3000], "few bags"),
    ]


def bag_samples(make, backward=False):
    def build(rng):
        out = []
        for i, w, offsets, name in make(rng):
            for mode, weighted, padding in [
                ("mean", False, None), ("mean", False, 0), ("sum", True, None), ("sum", True, -1),
                ("sum", False, 0), ("max", False, None), ("max", False, 0),
            ]:  # fmt: skip
                if weighted and not len(offsets):
                    continue
                scale = rng.standard_normal(len(i)) if weighted else None
                args = (i, w, np.array(offsets, np.int64), mode, scale, padding)
                if backward:
                    args = (rng.standard_normal((len(offsets), w.shape[1])), *args)
                small = name in ("plain", "empty last", "transposed weight")
                out.append(Sample(args, id=f"{name} {mode} {weighted} {padding}", grad=small))
        return out

    return build


def bag_functional(i, w, offsets, mode, scale, padding):
    return F.embedding_bag(i, w, offsets, mode=mode, per_sample_weights=scale, padding_idx=padding)


i, w4 = np.array([0, 2]), np.ones((3, 2), np.float32)
o = np.array([0, 1])
CASES = [
    OpCase(
        "embedding",
        ["take"],
        K.embedding,
        ref.embedding,
        embedding_samples(lookups),
        functional=F.embedding,
        diff=(1,),
        exact=True,
        errors=[
            Error((i + 1, w4), IndexError, "embedding: indices must lie within the axis of size 3, got"),
            Error((i - 1, w4), IndexError, "got index=-1"),
            Error((i * 1.0, w4), TypeError, "index must be int64 or int32"),
            Error((i, w4[0]), ValueError, r"weight must be \(num_embeddings, embedding_dim\)"),
        ],
        large=embedding_samples(large_lookups),
    ),
    OpCase(
        "embedding_backward",
        ["embedding_backward"],
        K.embedding_backward,
        ref.embedding_backward,
        backward_samples(lookups),
        errors=[
            Error((w4, i, 3), ValueError, r"embedding_backward: dy must have shape \(2, 2\)"),
            Error((w4[:2], i, 2), IndexError, "indices must lie within the axis of size 2"),
            Error((w4[:2], i, 3, 3), ValueError, "padding_idx must lie within num_embeddings=3"),
            Error((w4[:2], i, -1), ValueError, "num_embeddings must not be negative"),
        ],
        large=backward_samples(large_lookups),
    ),
    OpCase(
        "embedding_renorm",
        ["embedding_renorm"],
        K.embedding_renorm,
        ref.embedding_renorm,
        renorm_samples(lookups),
        errors=[
            Error((w4, i, -1.0), ValueError, "embedding_renorm: max_norm must not be negative"),
            Error((w4, i, 1.0, 0.0), ValueError, "norm_type must be positive"),
        ],
        large=renorm_samples(large_lookups),
    ),
    OpCase(
        "embedding_bag",
        ["embedding_bag_forward", "embedding_bag_max_backward", "embedding_bag_scale_backward"],
        K.embedding_bag,
        ref.embedding_bag,
        bag_samples(bags),
        functional=bag_functional,
        diff=(1, 4),
        errors=[
            Error((i, w4, o + 1), ValueError, "embedding_bag: offsets must begin with 0, got"),
            Error((i, w4, o * 3), ValueError, "offsets must ascend, up to the number of indices"),
            Error((i, w4, o, "median"), ValueError, "mode must be one of sum, mean, max"),
            Error((i, w4, o, "mean", w4[:, 0]), ValueError, "go with mode='sum' alone"),
            Error((i, w4, o, "sum", w4[:, 0]), ValueError, r"per_sample_weights must have shape \(2,\)"),
            Error((i + 1, w4, o), IndexError, "indices must lie within"),
        ],
        large=bag_samples(large_bags),
    ),
    OpCase(
        "embedding_bag_backward",
        ["embedding_backward", "embedding_bag_max_backward", "embedding_bag_scale_backward"],
        K.embedding_bag_backward,
        ref.embedding_bag_backward,
        bag_samples(bags, True),
        large=bag_samples(large_bags, True),
    ),
]
