"""Cases of the attention family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import attention as ref

# (B, Hq, Hkv, Tq, Tk, D, Dv): a few queries (up to 4) and tiles; around vectors, the tiles' rows (4, 8),
# strips (8 to 32) and blocks (64); lengths that differ both ways; groups; empty axes.
SMALL = [
    (1, 1, 1, 1, 1, 1, 1),
    (2, 3, 3, 4, 5, 8, 8),
    (1, 2, 2, 7, 6, 3, 7),
    (2, 2, 1, 9, 4, 4, 5),
    (1, 4, 2, 2, 6, 5, 3),
    (1, 6, 3, 6, 7, 2, 4),
    (0, 2, 2, 3, 4, 5, 5),
    (1, 2, 2, 5, 0, 5, 5),
    (1, 2, 2, 3, 0, 5, 5),
    (1, 2, 2, 0, 3, 5, 5),
    (1, 2, 1, 6, 3, 0, 5),
    (1, 2, 1, 6, 3, 4, 0),
    (1, 2, 1, 2, 3, 0, 5),
]
LARGE = [
    (1, 2, 2, 65, 63, 64, 64),
    (2, 3, 3, 33, 129, 40, 24),
    (1, 4, 2, 130, 200, 17, 33),
    (1, 1, 1, 300, 70, 8, 256),
    (1, 6, 2, 3, 700, 64, 80),
    (2, 2, 2, 1, 513, 128, 130),
    (1, 1, 1, 400, 500, 16, 16),
]


def qkv(rng, B, Hq, Hkv, Tq, Tk, D, Dv):
    return tuple(rng.standard_normal(s) for s in ((B, Hq, Tq, D), (B, Hkv, Tk, D), (B, Hkv, Tk, Dv)))


def mask_of(rng, kind, shape):
    """A mask of `shape`, whose every third row (where it has rows) is wholly masked."""
    if kind == "bool":
        m = rng.random(shape) < 0.6
        m[..., ::3, :] &= shape[-2] == 1
        return m
    m = rng.standard_normal(shape) * 2
    m[..., ::4] = -np.inf
    return m


def make(rng, shapes, grad):
    """Every shape plain, causal, and with a mask, lengths, dropout, layout, scale that change with it."""
    out = []
    for n, dims in enumerate(shapes):
        B, Hq, _, Tq, Tk, D, _ = dims
        x = qkv(rng, *dims)
        out.append(Sample(x, {}, f"{dims}", grad))
        turn = Tq > 1  # one query that sees one key has a gradient of 0: nothing to measure rounding by
        out.append(Sample(x, {"causal": turn, "scale": -1.3 / max(1, D) ** 0.5}, f"{dims} causal", grad))
        forms = [(B, Hq, Tq, Tk), (Tq, Tk), (1, Hq, 1, Tk), (B, 1, 1, Tk), (B, 1, Tq, 1), (1, 1, Tq, Tk)]
        for i in range(2):
            form = forms[(n + 3 * i) % len(forms)]
            for kind in ("bool", "float"):
                m = mask_of(rng, kind, form)
                name = f"{dims} {kind} {form}"
                # A boolean mask goes by keyword: what stands in an argument's place is differentiated.
                out.append(
                    Sample(x, {"mask": m}, name, grad) if kind == "bool" else Sample((*x, m), {}, name, grad)
                )
        lengths = rng.integers(min(2, Tk), Tk + 1, B)  # at least two keys, for the same reason
        lengths[1:2] = 0
        out.append(Sample(x, {"lengths": lengths, "causal": turn and n % 2 == 0}, f"{dims} lengths", False))
        drop = {
            "dropout": 0.3,
            "seed": 2**40 + n,
            "offset": n,
            "causal": turn and n % 3 == 0,
            "return_lse": True,
        }
        out.append(Sample(x, drop, f"{dims} dropout", False))
        y = tuple(np.swapaxes(a, 1, 2).copy() for a in x)
        out.append(Sample(y, {"layout": "bthd", "causal": turn and n % 2 == 1}, f"{dims} bthd", False))
    return out


def samples(rng):
    x = qkv(rng, 2, 3, 3, 7, 9, 6, 6)
    bad = [a.copy() for a in x]
    bad[1][0, 0, 2, 1] = np.nan
    bad[0][1, 1, 3, 0] = np.inf
    bad[0][1, 2, 4, 0] = np.nan
    few = [a.copy() for a in qkv(rng, 1, 2, 1, 2, 20, 6, 6)]
    few[1][0, 0, 2, 1] = np.nan
    minimum = np.zeros((7, 9))
    minimum[2] = np.finfo(np.float32).min
    return [
        *make(rng, SMALL, True),
        Sample(tuple(a[0] for a in x), {}, "three axes"),
        Sample(tuple(a[0, 0] for a in x), {}, "two axes"),
        Sample(tuple(a.reshape(1, 2, *a.shape[1:]) for a in x), {}, "five axes"),
        Sample(tuple(a[:, ::-1, ::-2, ::2] for a in x), {}, "negative strides"),
        Sample((x[0], np.broadcast_to(x[1][:1, :1], x[1].shape), x[2]), {}, "broadcast view"),
        Sample((x[0] * 1e4, x[1] * 1e4, x[2]), {"return_lse": True}, "huge scores", False),
        Sample((*x, minimum), {}, "a row of the least number", False),
        Sample(tuple(bad), {}, "NaN and inf", False),
        Sample(tuple(few), {"return_lse": True}, "NaN, few queries", False),
        Sample(x, {"dropout": 1.0}, "all dropped", False),
    ]


def large(rng):
    return make(rng, LARGE, False)


def backward_samples(rng, which):
    out = []
    for s in which(rng):
        kw = {n: v for n, v in s.kwargs.items() if n != "return_lse"}
        # What lse alone cannot carry: non-finite rows, and scores so large that they swallow log l.
        if any(word in s.id for word in ("NaN", "huge", "least", "five", "two")):
            continue
        o, lse = ref.attention(*s.args, **kw, return_lse=True)
        mask = s.args[3:]
        # One query of a large head, whose sums are the longest, has a gradient of its own: the others' stay.
        own = s.args[0].shape[-2] == 1 and s.args[0].shape[-1] > 64
        dout = (np.random.default_rng(len(out)) if own else rng).standard_normal(o.shape)
        out.append(Sample((dout, *s.args[:3], o, lse, *mask), kw, s.id, False))
    return out


def functional(q, k, v, mask=None, causal=False, scale=None):
    mask = dlcore.tensor(mask) if isinstance(mask, np.ndarray) else mask
    grouped = q.ndim > 2 and q.shape[-3] != k.shape[-3]
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale, enable_gqa=grouped)


f4 = np.ones((2, 2, 3, 4), np.float32)
ERRORS = [
    Error(
        (f4, f4[..., :2], f4),
        ValueError,
        r"attention: query and key must have the same last axis, got query=",
    ),
    Error((f4, f4, f4[:, :, :2]), ValueError, "key and value must have the same length"),
    Error((f4, f4.astype(np.float64), f4), TypeError, "must have the dtype of query"),
    Error((f4.astype(int),) * 3, TypeError, "must be float32 or float64"),
    Error((f4[0, 0, 0], f4, f4), ValueError, "at least 2 dimensions"),
    Error(
        (f4, np.ones((2, 3, 3, 4), np.float32), np.ones((2, 3, 3, 4), np.float32)), ValueError, "heads of key"
    ),
    Error((f4, np.ones((3, 2, 3, 4), np.float32), f4), ValueError, "broadcast"),
    Error((f4, f4, f4, np.ones((4, 4), bool)), ValueError, "broadcast"),
    Error((f4, f4, f4, np.ones((5, 2, 2, 3, 3), bool)), ValueError, r"mask must broadcast to \(2, 2, 3, 3\)"),
    Error((f4, f4, f4, np.ones((3, 3), int)), TypeError, "mask must be bool or have the dtype of query"),
    Error(
        (f4, f4, f4),
        ValueError,
        r"lengths must lie in \[0, 3\], got .*length=4",
        {"lengths": np.array([3, 4])},
    ),
    Error((f4, f4, f4), ValueError, r"lengths must lie in \[0, 3\]", {"lengths": np.array([-1, 0])}),
    Error((f4, f4, f4), ValueError, r"lengths must have shape \(2,\)", {"lengths": np.array([3])}),
    Error((f4, f4, f4), TypeError, "lengths must be int32 or int64", {"lengths": np.array([1.0, 2.0])}),
    Error((f4, f4, f4), ValueError, r"dropout probability must lie in \[0, 1\]", {"dropout": 1.5}),
    Error((f4, f4, f4), ValueError, r"dropout probability must lie in \[0, 1\]", {"dropout": float("nan")}),
    Error((f4, f4, f4), ValueError, "layout must be 'bhtd' or 'bthd'", {"layout": "tbhd"}),
]
g4 = np.ones((2, 2, 3), np.float32)
BACKWARD_ERRORS = [
    Error((f4[:1], f4, f4, f4, f4, g4), ValueError, r"dout must have shape \(2, 2, 3, 4\)"),
    Error((f4, f4, f4, f4, f4[:1], g4), ValueError, r"out must have shape \(2, 2, 3, 4\)"),
    Error((f4, f4, f4, f4, f4, g4[:1]), ValueError, r"stats must have shape \(2, 2, 2, 3\)"),
    Error((f4.astype(np.float64), f4, f4, f4, f4, g4), TypeError, "must have the dtype of query"),
]

CASES = [
    OpCase(
        "attention",
        ["attention_forward", "attention_backward", "attention_mask_backward"],
        dlcore.kernels.attention,
        ref.attention,
        samples,
        functional=functional,
        diff=(0, 1, 2, 3),
        errors=ERRORS,
        large=large,
    ),
    OpCase(
        "attention_backward",
        ["attention_backward", "attention_mask_backward"],
        dlcore.kernels.attention_backward,
        ref.attention_backward,
        lambda rng: backward_samples(rng, samples),
        errors=BACKWARD_ERRORS,
        large=lambda rng: backward_samples(rng, large),
    ),
]
