"""Cases of the recurrent family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import rnn as ref

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
KERNELS = ["rnn_forward", "rnn_backward"]

# (T, B, I, H, P of an LSTM's projection, lengths, reverse, batch_first, bias): small enough for differences
SMALL = {
    "one": (1, 1, 1, 1, 0, None, False, False, True),
    "plain": (3, 2, 3, 4, 0, None, False, False, True),
    "no bias": (2, 2, 2, 3, 0, None, False, False, False),
    "reverse": (4, 2, 1, 3, 0, None, True, False, True),
    "batch first": (5, 3, 2, 2, 0, None, False, True, True),
    "batch first, reverse": (4, 2, 2, 3, 0, None, True, True, True),
    "lengths": (4, 3, 2, 3, 0, [2, 4, 1], False, False, True),
    "lengths, reverse": (5, 3, 2, 2, 0, [3, 1, 5], True, False, True),
    "a length of 0": (4, 4, 1, 2, 0, [0, 3, 0, 1], False, False, True),
    "a length of 0, reverse": (4, 3, 1, 2, 0, [3, 0, 2], True, True, True),
    "no length": (3, 2, 2, 2, 0, [0, 0], False, False, True),
    "all lengths are T": (3, 2, 2, 2, 0, [3, 3], False, False, True),
    "no steps": (0, 2, 3, 2, 0, None, False, False, True),
    "no samples": (3, 0, 2, 2, 0, None, False, False, True),
    "no inputs": (5, 2, 0, 2, 0, None, False, False, True),
    "projection": (5, 2, 2, 5, 2, None, False, False, True),
    "projection of few steps": (2, 3, 2, 4, 3, None, True, False, True),
    "projection, lengths": (5, 3, 2, 3, 1, [2, 5, 4], True, False, False),
}
# Around the vectors (2 to 16 units), the rows of a tile (2 to 8), work enough for several threads.
LARGE = {
    "odd": (7, 13, 19, 37, 0, None, False, False, True),
    "one sample": (9, 1, 130, 260, 0, None, False, False, True),
    "one sample, few steps": (3, 1, 40, 300, 0, None, True, False, True),
    "batch": (5, 33, 40, 129, 0, None, False, False, True),
    "batch, reverse, batch first": (6, 50, 17, 96, 0, None, True, True, False),
    "lengths": (11, 21, 20, 65, 0, "drawn", False, False, True),
    "lengths, reverse": (11, 21, 20, 65, 0, "drawn", True, True, True),
    "projection": (6, 19, 30, 150, 67, "drawn", True, False, True),
    # Rows enough for inputs and states in one product
    "fused": (4, 34, 70, 64, 0, None, False, False, False),
    "fused, batch first": (5, 11, 9, 130, 0, None, True, True, True),
    "fused, lengths": (6, 40, 30, 64, 0, "drawn", True, False, True),
    "fused, projection": (5, 17, 20, 128, 33, None, False, False, True),
}


def draw(rng, kind, spec):
    T, B, I, H, P, lengths, reverse, batch_first, bias = spec
    P = P if kind == "lstm" and P else H
    rows = GATES[kind] * H
    x = rng.standard_normal((B, T, I) if batch_first else (T, B, I))
    h0, c0 = rng.standard_normal((B, P)), rng.standard_normal((B, H))
    w = [rng.standard_normal((rows, n)) / np.sqrt(max(1, n)) for n in (I, P)]
    w += [rng.standard_normal(rows) * 0.3 if bias else None for _ in range(2)]
    if isinstance(lengths, str):
        lengths = rng.integers(0, T + 1, B)
    how = {"lengths": lengths, "reverse": reverse, "batch_first": batch_first}
    if kind != "lstm":
        return (x, h0, *w), how
    return (x, h0, c0, *w, rng.standard_normal((P, H)) / np.sqrt(H) if P != H else None), how


def calls(kind, specs, grad):
    def make(rng):
        out = []
        for name, spec in specs.items():
            if spec[4] and kind != "lstm":
                continue
            args, how = draw(rng, kind, spec)
            out.append(Sample(args, how, name, grad))
        if kind == "rnn":
            args, how = draw(rng, kind, specs["lengths"])
            out.append(Sample((*args, "relu"), how, "relu", grad))
        if specs is SMALL:
            args, how = draw(rng, kind, SMALL["plain"])
            x, *rest = args
            out += [
                Sample((x[::-1, :, ::-1], *rest), how, "negative strides", False),
                Sample((x.transpose(1, 0, 2).copy().transpose(1, 0, 2), *rest), how, "transposed", False),
                Sample((np.broadcast_to(x[:1], x.shape), *rest), how, "broadcast view", False),
                Sample((x * 200, *rest), how, "saturated", False),
                Sample((np.where(x > 1, np.nan, x), *rest), how, "NaN", False),
            ]
            states = 3 if kind == "lstm" else 2
            out.append(Sample((x, *[None] * (states - 1), *args[states:]), how, "states of zeros", False))
        return out

    return make


def with_gradients(kind, samples):
    """Calls of *_backward from calls of the forward."""

    def make(rng):
        out = []
        for s in samples(rng):
            y, *states = getattr(ref, kind)(*s.args, **s.kwargs)
            grads = [rng.standard_normal(a.shape) for a in (y, *states)]
            grads += [None] * (len(grads) < (3 if kind == "lstm" else 2))
            if s.id in ("reverse", "states of zeros"):  # gradients of the last states alone
                grads[0] = None
            if s.id == "no bias":
                grads[1:] = [None] * (len(grads) - 1)
            if s.id in ("NaN", "saturated"):  # 1 - tanh^2 of a saturated unit is rounding alone
                continue
            out.append(Sample((*grads, *s.args), s.kwargs, s.id, False))
        return out

    return make


def cells(kind, samples):
    def make(rng):
        out = []
        for s in samples(rng):
            if s.kwargs["batch_first"] or not len(s.args[0]) or s.id == "negative strides":
                continue
            last = 8 if kind == "lstm" else 6  # without a projection, which a cell has not
            if kind == "lstm" and s.args[7] is not None:
                continue
            args = (s.args[0][0], *s.args[1 : last - (kind == "lstm")], *s.args[last:])
            out.append(Sample(args, {}, s.id, s.grad))
        return out

    return make


def cells_backward(kind, samples):
    def make(rng):
        out = []
        for s in cells(kind, samples)(rng):
            if s.id in ("NaN", "saturated"):
                continue
            shape = s.args[0].shape[0], s.args[4 if kind == "lstm" else 3].shape[1]
            grads = [rng.standard_normal(shape) for _ in range(2 if kind == "lstm" else 1)]
            out.append(Sample((*grads, *s.args), {}, s.id, False))
        return out

    return make


def on_tensors(kind):
    """functional.recurrent with the arguments of dlcore.kernels.<kind>."""

    def call(x, h0, *rest, **how):
        c0 = None
        if kind == "lstm":
            c0, *rest = rest
        name = kind
        if kind == "rnn":
            name = f"rnn_{rest[4] if len(rest) > 4 else 'tanh'}"
            rest = rest[:4]
        y, h, c = F.recurrent(name, x, h0, c0, *rest, **how)
        return (y, h) if c is None else (y, h, c)

    return call


def cell_on_tensors(kind):
    def call(x, h, *rest):
        if kind == "lstm":
            return F.lstm_cell(x, (h, rest[0]), *rest[1:])
        if kind == "gru":
            return F.gru_cell(x, h, *rest)
        return (F.rnn_relu_cell if len(rest) > 4 else F.rnn_tanh_cell)(x, h, *rest[:4])

    return call


f4 = np.float32
X, H0, W, R, B1 = (np.ones(s, f4) for s in ((3, 2, 5), (2, 4), (16, 5), (16, 4), (16,)))
ERRORS = [
    Error((X[0], H0, H0, W, R), ValueError, r"lstm: x must be \(T, B, I\), got x=\(2, 5\) float32 cpu"),
    Error((X.astype(np.float64), H0, H0, W, R), TypeError, "w_ih must have the dtype of x"),
    Error((X.astype(np.int64), H0, H0, W, R), TypeError, "lstm: x must be float32 or float64"),
    Error((X, H0, H0, W[:, :4], R), ValueError, r"lstm: w_ih must have shape \(16, 5\), got w_ih=\(16, 4\)"),
    Error((X, H0, H0, W[:15], R), ValueError, "w_ih must have 4 rows a hidden unit"),
    Error((X, H0, H0, W[:0], R), ValueError, "w_ih must have 4 rows a hidden unit"),
    Error((X, H0, H0, W, R[:, :3]), ValueError, r"w_hh must have shape \(16, 4\)"),
    Error((X, H0, H0, W, R, B1[:3]), ValueError, r"b_ih must have shape \(16,\)"),
    Error((X, H0, H0, W, R, B1, R), ValueError, "b_hh must have 1 dimension"),
    Error((X, H0[:1], H0, W, R), ValueError, r"h0 must have shape \(1, 2, 4\), got h0=\(1, 1, 4\)"),
    Error((X, H0, H0[:, :3], W, R), ValueError, r"c0 must have shape \(1, 2, 4\)"),
    Error((X, H0, H0.astype(np.float64), W, R), TypeError, "c0 must have the dtype of x"),
    Error((X, H0, H0, W, R, None, None, np.ones((3, 5), f4)), ValueError, r"w_hh must have shape \(16, 3\)"),
    Error((X, H0, H0, W, R, None, None, R[:0]), ValueError, "the projection must not be empty"),
    Error((X, H0, H0, W, R), ValueError, r"lengths must have shape \(2,\)", {"lengths": [1]}),
    Error((X, H0, H0, W, R), ValueError, r"lengths must lie in \[0, 3\], got 4", {"lengths": [1, 4]}),
    Error((X, H0, H0, W, R), ValueError, r"lengths must lie in \[0, 3\], got -1", {"lengths": [1, -1]}),
    Error((X, H0, H0, W, R), TypeError, "lengths must be integers", {"lengths": [1.0, 2.0]}),
]
BACKWARD_ERRORS = [
    Error((X, None, None, X, H0, H0, W, R), ValueError, r"lstm_backward: dy must have shape \(3, 2, 4\)"),
    Error((None, H0[:1], None, X, H0, H0, W, R), ValueError, r"dhT must have shape \(1, 2, 4\)"),
    Error((None, None, H0.astype(np.float64), X, H0, H0, W, R), TypeError, "dcT must have the dtype of x"),
]
OTHER_ERRORS = {
    "gru": [Error((X, H0, W, R), ValueError, "w_ih must have 3 rows a hidden unit")],
    "rnn": [
        Error((X, H0, W, R, None, None, "gelu"), ValueError, "nonlinearity must be 'tanh' or 'relu'"),
        Error((X, H0, W, R), ValueError, r"rnn_tanh: w_hh must have shape \(16, 16\)"),
    ],
}


def given(backward):
    """The gradients of the parameters that there are."""
    return lambda *args, **how: tuple(g for g in backward(*args, **how) if g is not None)


def case(kind):
    small, large = calls(kind, SMALL, True), calls(kind, LARGE, False)
    diff = range(8 if kind == "lstm" else 6)
    return [
        OpCase(kind, KERNELS, getattr(dlcore.kernels, kind), getattr(ref, kind), small,
               functional=on_tensors(kind), diff=diff, large=large,
               errors=ERRORS if kind == "lstm" else OTHER_ERRORS[kind]),
        OpCase(f"{kind}_backward", KERNELS, given(getattr(dlcore.kernels, f"{kind}_backward")),
               given(getattr(ref, f"{kind}_backward")), with_gradients(kind, small),
               large=with_gradients(kind, large),
               errors=BACKWARD_ERRORS if kind == "lstm" else ()),
        OpCase(f"{kind}_cell", KERNELS, getattr(dlcore.kernels, f"{kind}_cell"), getattr(ref, f"{kind}_cell"),
               cells(kind, small), functional=cell_on_tensors(kind), diff=range(7 if kind == "lstm" else 6),
               large=cells(kind, large)),
        OpCase(f"{kind}_cell_backward", KERNELS, given(getattr(dlcore.kernels, f"{kind}_cell_backward")),
               given(getattr(ref, f"{kind}_cell_backward")), cells_backward(kind, small),
               large=cells_backward(kind, large)),
    ]  # fmt: skip


CASES = case("lstm") + case("gru") + case("rnn")
