"""ctc_loss and nn.CTCLoss beside torch."""

import numpy as np
import pytest

import dlcore
from dlcore import functional as F
from dlcore import nn
from tests import oracle


def problem(rng, steps, batch, classes, longest, flat, short):
    lengths = rng.integers(0 if longest > 1 else longest, longest + 1, batch)
    lengths[: batch > 1] = longest
    labels = rng.integers(0, classes - 1, (batch, longest))
    inputs = np.full(batch, steps) if not short else rng.integers(max(0, steps - 3), steps + 1, batch)
    if flat:
        labels = np.concatenate([row[:n] for row, n in zip(labels, lengths)]) if batch else labels.reshape(-1)
    return labels, inputs, lengths


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "ctc",
        45,
        steps=[12, 3, 1, 40],
        batch=[3, 1, 2],
        classes=[5, 2, 21],
        longest=[4, 1, 0, 9],
        blank=[0, "last"],
        reduction=["mean", "sum", "none"],
        zero_infinity=[False, True],
        flat=[False, True],
        short=[False, True],
        lists=[False, True],
        scale=[1.0, 30.0],
    ),
)
def test_ctc_loss(a, dtype, rng):
    torch = oracle.torch()
    c = a["classes"]
    labels, inputs, lengths = problem(rng, a["steps"], a["batch"], c, a["longest"], a["flat"], a["short"])
    blank = c - 1 if a["blank"] == "last" else 0
    labels = labels + 1 if blank == 0 else labels
    x = rng.standard_normal((a["steps"], a["batch"], c)) * a["scale"]
    if a["lists"]:
        inputs, lengths = inputs.tolist(), tuple(lengths.tolist())
    kw = {"blank": blank, "reduction": a["reduction"], "zero_infinity": a["zero_infinity"]}

    def ours(x, labels, i, t):
        return F.ctc_loss(x.log_softmax(-1), labels, i, t, **kw)

    def theirs(x, labels, i, t):
        return torch.nn.functional.ctc_loss(x.log_softmax(-1), labels, i, t, **kw)

    oracle.both(ours, theirs, x, labels, inputs, lengths, dtype=dtype)
    mine, other = nn.CTCLoss(**kw), torch.nn.CTCLoss(**kw)
    assert repr(mine) == repr(other)
    oracle.both_modules(
        mine, other, x, labels, inputs, lengths, dtype=dtype,
        call=lambda m, args: m(args[0].log_softmax(-1), *args[1:]),
    )  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_unbatched(reduction, rng):
    torch = oracle.torch()
    x, y = rng.standard_normal((9, 5)), rng.integers(1, 5, 3)
    for lengths in [((9,), (3,)), (np.array(9), np.array(3)), (np.array([8]), np.array([2]))]:
        oracle.both(
            lambda x, y, i, t: F.ctc_loss(x.log_softmax(-1), y, i, t, reduction=reduction),
            lambda x, y, i, t: torch.nn.functional.ctc_loss(x.log_softmax(-1), y, i, t, reduction=reduction),
            x,
            y,
            *lengths,
        )


def test_refusals(rng):
    torch = oracle.torch()
    x, y = rng.standard_normal((9, 2, 5)), rng.integers(1, 5, (2, 3))
    good = (x, y, [9, 9], [3, 3])
    for i, bad in [
        (0, x[0, 0]), (0, x[None]), (1, y[:1]), (1, y[None]), (2, [9]),
        (2, [9, 10]), (2, [9.0, 9.0]), (3, [3]), (3, [3, 4]), (3, [3, 3, 3]), (3, [-1, 3]), (2, [-1, 9]),
    ]:  # fmt: skip
        args = [*good]
        args[i] = bad
        oracle.both(F.ctc_loss, torch.nn.functional.ctc_loss, *args)
    for blank in (-1, 5):
        oracle.both(F.ctc_loss, torch.nn.functional.ctc_loss, *good, blank)
    oracle.both(F.ctc_loss, torch.nn.functional.ctc_loss, *good, reduction="other")
    oracle.both(F.ctc_loss, torch.nn.functional.ctc_loss, x, y.reshape(-1)[:5], [9, 9], [3, 3])
    with pytest.raises(IndexError, match=r"ctc_loss: labels must lie in \[0, 5\), got label=5, of sample=0"):
        F.ctc_loss(dlcore.tensor(x), dlcore.tensor(y * 0 + 5), [9, 9], [3, 3])
    with pytest.raises(ValueError, match=r"input_lengths must lie in \[0, 9\], got length=10"):
        F.ctc_loss(dlcore.tensor(x), dlcore.tensor(y), [9, 10], [3, 3])


def test_impossible_alignments(rng):
    """Too short an input: infinite loss and NaN gradients, or 0 and 0."""
    x, y = rng.standard_normal((3, 2, 4)), np.array([[1, 1, 2], [1, 2, 3]])
    for zero in (False, True):
        t = dlcore.tensor(x, requires_grad=True)
        loss = F.ctc_loss(
            t.log_softmax(-1), dlcore.tensor(y), [3, 3], [3, 3], reduction="none", zero_infinity=zero
        )
        assert loss[0].item() == (0 if zero else np.inf) and np.isfinite(loss[1].item())
        loss.sum().backward()
        g = t.grad.numpy()
        assert np.isfinite(g[:, 1]).all()
        assert (g[:, 0] == 0).all() if zero else np.isnan(g[:, 0]).all()


def test_impossible_labels_keep_gradients_finite(rng):
    """A class of probability 0 costs nothing where another alignment exists."""
    with np.errstate(divide="ignore"):
        lp = np.log(np.array([[[0.5, 0.5, 0.0]], [[0.0, 1.0, 0.0]], [[0.25, 0.75, 0.0]]]))
    t = dlcore.tensor(lp, requires_grad=True)
    F.ctc_loss(t, dlcore.tensor([[1]]), [3], [1]).backward()
    assert np.isfinite(t.grad.numpy()).all()
