"""nn.Linear and F.linear beside torch: what the other test_oracle_* modules do for their families."""

import numpy as np
import pytest

from dlcore import nn
from dlcore.nn import functional as F
from tests import oracle


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "linear", 24, lead=[(4,), (), (2, 3), (0,), (1, 1)], k=[5, 1, 16], n=[3, 1, 33], bias=[True, False]
    ),
)
def test_linear(a, dtype, rng):
    torch = oracle.torch()
    x, w = rng.standard_normal((*a["lead"], a["k"])), rng.standard_normal((a["n"], a["k"]))
    b = rng.standard_normal(a["n"]) if a["bias"] else None
    oracle.both(F.linear, torch.nn.functional.linear, x, w, b, dtype=dtype)
    oracle.both(F.linear, torch.nn.functional.linear, x[..., :-1], w, b, dtype=dtype)
    ours, theirs = (m.Linear(a["k"], a["n"], bias=a["bias"]) for m in (nn, torch.nn))
    oracle.both_modules(ours, theirs, x, dtype=dtype)
