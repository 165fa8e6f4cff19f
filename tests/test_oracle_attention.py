"""scaled_dot_product_attention beside torch's over drawn arguments."""

import numpy as np
import pytest

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
    None, "causal", "bool", "float", "bool (L,1)", "float (1,S)", "bool rows off", "float -inf rows", "float lead",
    "bool bc", "float bc",
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
        F.scaled_dot_product_attention, torch.nn.functional.scaled_dot_product_attention, q, k, v, dtype=dtype,
        is_causal=a["causal"], scale=a["scale"], enable_gqa=True, grad=not (a["causal"] and L == 1),
    )  # fmt: skip
