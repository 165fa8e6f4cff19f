"""Cases of the CTC family."""

import numpy as np

from dlcore import functional as F
from dlcore import kernels as K
from tests.cases import Error, OpCase, Sample
from tests.reference import ctc as ref


def problem(rng, steps, classes, inputs, lengths, blank=0, flat=False, repeat=False):
    batch = len(inputs)
    x = rng.standard_normal((steps, batch, classes))
    lp = x - np.logaddexp.reduce(x, -1, keepdims=True)
    y = rng.integers(0, classes - 1, (batch, max(lengths, default=0)))
    y = y + 1 if blank == 0 else y
    if repeat:
        y[:] = y[:, :1]
    if flat:
        y = np.concatenate([row[:n] for row, n in zip(y, lengths)]) if batch else y.reshape(-1)
    return lp, y, np.array(inputs, np.int64), np.array(lengths, np.int64), blank


def samples(rng):
    """States around the vectors' 16 and 32, targets of none, inputs too short."""
    return [
        Sample(problem(rng, 6, 4, [6, 5], [2, 3]), id="two"),
        Sample(problem(rng, 6, 4, [6, 5], [2, 3], blank=3), id="last class is blank"),
        Sample(problem(rng, 5, 3, [5, 3, 5], [2, 0, 1], flat=True), id="flat, an empty target"),
        Sample(problem(rng, 9, 3, [9], [4], repeat=True), id="one label over and over"),
        Sample(problem(rng, 20, 5, [20, 20], [7, 8]), id="15 and 17 states"),
        Sample(problem(rng, 40, 30, [40], [16]), id="33 states", grad=False),
        Sample(problem(rng, 1, 2, [1], [1]), id="one step"),
        Sample(problem(rng, 0, 2, [0, 0], [0, 0]), id="no steps", grad=False),
        Sample(problem(rng, 4, 3, [], []), id="no samples", grad=False),
        Sample(problem(rng, 3, 3, [2, 3], [3, 2]), id="too short", grad=False),
    ]


def large(rng):
    return [Sample(problem(rng, 50, 20, [50, 40, 50, 12, 50], [12, 5, 20, 3, 0]), id="five", grad=False)]


def backward(make):
    return lambda rng: [
        Sample((rng.standard_normal(len(s.args[2])), *s.args, zero), id=f"{s.id} {zero}", grad=False)
        for s in make(rng)
        for zero in (False, True)
    ]


def of_logits(x, y, inputs, lengths, blank):
    lp = F.log_softmax(x, -1)
    return F.ctc_loss(lp, y, inputs, lengths, blank, reduction="none")


lp, y = np.zeros((4, 2, 3), np.float32), np.ones((2, 2), np.int64)
n4, n2 = np.array([4, 4]), np.array([2, 2])
ERRORS = [
    Error((lp[0], y, n4, n2), ValueError, "log_probs must have 3 dimensions"),
    Error((lp, y * 3, n4, n2), IndexError, r"labels must lie in \[0, 3\), got label=3, of sample=0"),
    Error((lp, y, n4 + 1, n2), ValueError, r"input_lengths must lie in \[0, 4\], got length=5"),
    Error((lp, y, n4, n2 + 1), ValueError, r"target_lengths must lie in \[0, 2\], got length=3"),
    Error((lp, y, n4[:1], n2), ValueError, r"input_lengths must have shape \(2,\)"),
    Error((lp, y, n4, n2, 3), ValueError, r"blank must lie in \[0, 3\)"),
    Error((lp, y * 1.0, n4, n2), TypeError, "targets must be int64 or int32"),
    Error((lp, y[:1], n4, n2), ValueError, "targets must have a row for each sample"),
    Error((lp, y.reshape(-1)[:3], n4, n2), ValueError, "as many labels as target_lengths say"),
    Error((lp, y[None], n4, n2), ValueError, "targets must be"),
    Error((lp, y, n4 * 1.0, n2), TypeError, "input_lengths must be integers"),
    Error((lp.astype(np.int64), y, n4, n2), TypeError, "log_probs must be float32 or float64"),
]
CASES = [
    OpCase(
        "ctc_loss",
        ["ctc_forward", "ctc_backward"],
        K.ctc_loss,
        ref.ctc_loss,
        samples,
        errors=ERRORS,
        large=large,
    ),
    OpCase(
        "ctc_loss_of_logits",
        ["ctc_forward", "ctc_backward"],
        lambda x, *rest: K.ctc_loss(K.log_softmax(x), *rest),
        ref.ctc_of_logits,
        samples,
        functional=of_logits,
    ),
    OpCase(
        "ctc_loss_backward",
        ["ctc_backward"],
        K.ctc_loss_backward,
        ref.ctc_loss_backward,
        backward(samples),
        errors=[Error((np.ones(3, np.float32), lp, y, n4, n2), ValueError, r"dloss must have shape \(2,\)")],
        large=backward(large),
    ),
]
