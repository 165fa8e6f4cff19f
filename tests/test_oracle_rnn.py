"""Recurrent layers, cells and packed sequences beside torch, over drawn arguments."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import dlcore
from dlcore import nn
from dlcore.nn.utils import rnn as R
from tests import oracle

DTYPES = [np.float64, np.float64, np.float32]


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        warnings.filterwarnings("ignore", "dropout option adds dropout after all but last")
        yield


def make(kind, a):
    """(our module, torch's)."""
    torch = oracle.torch()
    extra = {k: a[k] for k in ("num_layers", "bias", "batch_first", "bidirectional")}
    if kind == "RNN":
        extra["nonlinearity"] = a["act"]
    if kind == "LSTM" and a["P"]:
        extra["proj_size"] = a["P"]
    return tuple(getattr(m, kind)(a["I"], a["H"], **extra) for m in (nn, torch.nn))


def states(kind, a, B, rng):
    D = a["num_layers"] * (2 if a["bidirectional"] else 1)
    P = a["P"] if kind == "LSTM" and a["P"] else a["H"]
    lead = (D,) if B is None else (D, B)
    h = rng.standard_normal((*lead, P))
    return (h, rng.standard_normal((*lead, a["H"]))) if kind == "LSTM" else h


SPACE = {
    "I": [5, 1, 17],
    "H": [6, 4, 19, 33],
    "P": [0, 3],
    "T": [4, 1, 7],
    "B": [3, 1, None, 6],
    "num_layers": [1, 2, 3],
    "bias": [True, False],
    "batch_first": [False, True],
    "bidirectional": [False, True],
    "act": ["tanh", "relu"],
    "hx": [True, False],
    "dtype": DTYPES,
}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("a", oracle.space("rnn", 24, **SPACE))
def test_module(kind, a, rng):
    ours, theirs = make(kind, a)
    assert repr(ours) == repr(theirs)
    B = a["B"]
    shape = (a["T"],) if B is None else (B, a["T"]) if a["batch_first"] else (a["T"], B)
    x = rng.standard_normal((*shape, a["I"]))
    hx = states(kind, a, B, rng) if a["hx"] else None
    oracle.both_modules(ours, theirs, x, hx, dtype=a["dtype"])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(
    "a", oracle.space("packed", 16, **(SPACE | {"B": [5, 1, 8], "sorted": [False, True]}))
)
def test_packed(kind, a, rng):
    torch = oracle.torch()
    ours, theirs = make(kind, a)
    T, B = a["T"], a["B"]
    lengths = rng.integers(1, T + 1, B)
    if a["sorted"]:
        lengths = np.sort(lengths)[::-1].copy()
    x = rng.standard_normal((B, T, a["I"]) if a["batch_first"] else (T, B, a["I"]))
    hx = states(kind, a, B, rng) if a["hx"] else None

    def call(m, args):
        P = R if m is ours else torch.nn.utils.rnn
        how = {"batch_first": a["batch_first"]}
        packed = P.pack_padded_sequence(args[0], lengths.tolist(), enforce_sorted=a["sorted"], **how)
        y, last = m(packed, args[1])
        return y, P.pad_packed_sequence(y, **how), last

    oracle.both_modules(ours, theirs, x, hx, dtype=a["dtype"], call=call)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("a", oracle.space("lengths", 8, **(SPACE | {"B": [5, 1, 8]})))
def test_lengths_keyword(kind, a, rng):
    """Padded in, padded out, whatever stands in the padding: what torch does with packing around the call."""
    torch = oracle.torch()
    ours, theirs = make(kind, a)
    T, B, how = a["T"], a["B"], {"batch_first": a["batch_first"]}
    lengths = rng.integers(1, T + 1, B)
    x = rng.standard_normal((B, T, a["I"]) if a["batch_first"] else (T, B, a["I"]))
    beyond = np.arange(T) >= lengths[:, None]
    x[beyond if a["batch_first"] else beyond.T] = np.nan
    hx = states(kind, a, B, rng) if a["hx"] else None

    def call(m, args):
        if m is ours:
            return m(args[0], args[1], lengths=lengths)
        P = torch.nn.utils.rnn
        packed = P.pack_padded_sequence(args[0], torch.tensor(lengths), enforce_sorted=False, **how)
        y, last = m(packed, args[1])
        return P.pad_packed_sequence(y, total_length=T, **how)[0], last

    oracle.both_modules(ours, theirs, x, hx, dtype=a["dtype"], call=call)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_gradient_through_the_last_states_alone(kind, part, rng):
    a = {"I": 3, "H": 5, "P": 0, "num_layers": 2, "bias": True, "batch_first": False, "bidirectional": True,
         "act": "tanh"}  # fmt: skip
    ours, theirs = make(kind, a)

    def call(m, args):
        last = m(*args)[1]
        return last[part] if kind == "LSTM" else last

    x, hx = rng.standard_normal((4, 2, 3)), states(kind, a, 2, rng)
    oracle.both_modules(ours, theirs, x, hx, call=call)


CELL_SPACE = {
    "I": [5, 1, 17, 0],
    "H": [6, 4, 33],
    "B": [3, 1, None, 0],
    "bias": [True, False],
    "act": ["tanh", "relu"],
    "hx": [True, False],
    "dtype": DTYPES,
}


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("a", oracle.space("cells", 16, **CELL_SPACE))
def test_cell(kind, a, rng):
    torch = oracle.torch()
    extra = {"nonlinearity": a["act"]} if kind == "RNNCell" else {}
    ours, theirs = (getattr(m, kind)(a["I"], a["H"], bias=a["bias"], **extra) for m in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    lead = () if a["B"] is None else (a["B"],)
    h = rng.standard_normal((*lead, a["H"]))
    hx = ((h, h + 1) if kind == "LSTMCell" else h) if a["hx"] else None
    oracle.both_modules(ours, theirs, rng.standard_normal((*lead, a["I"])), hx, dtype=a["dtype"])
    if a["B"] is None:  # the function of torch takes batches alone
        return
    w = [p.detach().numpy() for p in ours.parameters()]
    x, hx = rng.standard_normal((*lead, a["I"])), (h, h + 1) if kind == "LSTMCell" else h
    name = {"LSTMCell": "lstm_cell", "GRUCell": "gru_cell", "RNNCell": f"rnn_{a['act']}_cell"}[kind]
    oracle.both(getattr(nn.functional, name), getattr(torch, name), x, hx, *w, dtype=a["dtype"])


def test_cells_in_a_loop_are_the_layer(rng):
    cell, layer = nn.LSTMCell(3, 4), nn.LSTM(3, 4)
    layer.load_state_dict({f"{k}_l0": v for k, v in cell.state_dict().items()})
    x = dlcore.tensor(rng.standard_normal((6, 2, 3)).astype(np.float32))
    y, (_, cn) = layer(x)
    h = c = dlcore.zeros(2, 4)
    for t in range(6):
        h, c = cell(x[t], (h, c))
        np.testing.assert_allclose(h.detach().numpy(), y[t].detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(c.detach().numpy(), cn[0].detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_dropout_between_layers(kind):
    """Zeros with probability p between layers, none after the last, none in eval; scaled by 1 / (1 - p)."""
    dlcore.manual_seed(0)
    m = getattr(nn, kind)(3, 400, num_layers=2, dropout=0.3)
    x = dlcore.randn(4, 3, 3)
    m.eval()
    np.testing.assert_array_equal(m(x)[0].detach().numpy(), m(x)[0].detach().numpy())
    m.train()
    assert not np.array_equal(m(x)[0].detach().numpy(), m(x)[0].detach().numpy())
    assert (m(x)[0].detach().numpy() != 0).all()  # not after the last layer
    one = getattr(nn, kind)(3, 400, num_layers=2, dropout=1.0)  # the second layer sees zeros alone
    h = one(x)[1]
    two = getattr(nn, kind)(400, 400)
    two.load_state_dict({k.replace("_l1", "_l0"): v for k, v in one.state_dict().items() if "_l1" in k})
    last = (h[0] if kind == "LSTM" else h)[1:].detach().numpy()
    want = two(dlcore.zeros(4, 3, 400))[1]
    np.testing.assert_allclose(last, (want[0] if kind == "LSTM" else want).detach().numpy(), atol=1e-6)
    # The mean over draws of a linear readout is what no dropout gives.
    lin = nn.RNN(2, 50, num_layers=2, dropout=0.5, nonlinearity="relu")
    for n, p in lin.named_parameters():
        p.data = dlcore.tensor(np.abs(p.detach().numpy()) * ("ih" in n))
    x = dlcore.rand(1, 2000, 2) * 0 + 1
    got = lin(x)[0].detach().numpy().mean()
    lin.eval()
    assert abs(got / lin(x)[0].detach().numpy().mean() - 1) < 0.02


BAD = [
    ("input of one dimension", lambda m, t: m(t((5,)))),
    ("input of four dimensions", lambda m, t: m(t((5, 2, 3, 1)))),
    ("input_size", lambda m, t: m(t((5, 2, 4)))),
    ("no steps", lambda m, t: m(t((0, 2, 3)))),
    ("hx of another rank", lambda m, t: m(t((5, 2, 3)), pair(m, t((1, 4)), t((1, 4))))),
    ("hx of another rank, unbatched", lambda m, t: m(t((5, 3)), pair(m, t((1, 1, 4)), t((1, 1, 4))))),
    ("hx of another batch", lambda m, t: m(t((5, 2, 3)), pair(m, t((1, 3, 4)), t((1, 3, 4))))),
    ("hx of another width", lambda m, t: m(t((5, 2, 3)), pair(m, t((1, 2, 5)), t((1, 2, 5))))),
    ("hx of more layers", lambda m, t: m(t((5, 2, 3)), pair(m, t((2, 2, 4)), t((2, 2, 4))))),
]


def pair(m, h, c):
    return (h, c) if type(m).__name__ == "LSTM" else h


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bad", BAD, ids=[b[0] for b in BAD])
def test_same_exception_for_bad_calls(kind, bad):
    torch = oracle.torch()
    with pytest.raises(Exception) as theirs:
        bad[1](getattr(torch.nn, kind)(3, 4), torch.ones)
    with pytest.raises(theirs.type):
        bad[1](getattr(nn, kind)(3, 4), lambda s: dlcore.ones(*s))


CONSTRUCTIONS = [
    {"bias": 1}, {"batch_first": 1}, {"input_size": 3.0}, {"input_size": 0}, {"hidden_size": 0},
    {"hidden_size": 4.0}, {"num_layers": 0}, {"num_layers": 2.0}, {"dropout": 1.5}, {"dropout": True},
    {"dropout": -0.1}, {"proj_size": -1}, {"proj_size": 4}, {"proj_size": 5}, {"proj_size": 2},
    {"input_size": -1}, {"dropout": "a"},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bad", CONSTRUCTIONS, ids=str)
def test_constructor_refuses_what_torch_refuses(kind, bad):
    torch = oracle.torch()
    how = {"input_size": 3, "hidden_size": 4} | bad
    try:
        getattr(torch.nn, kind)(**how)
    except (ValueError, TypeError) as e:
        with pytest.raises(type(e)):
            getattr(nn, kind)(**how)
    else:
        getattr(nn, kind)(**how)


def test_constructor_takes_positional_arguments():
    assert repr(nn.RNN(3, 4, 2, "relu", False, True, 0.5, True)) == (
        "RNN(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)"
    )
    with pytest.raises(ValueError, match="Unknown nonlinearity"):
        nn.RNN(3, 4, nonlinearity="gelu")
    with pytest.raises(RuntimeError, match="Unknown nonlinearity"):
        nn.RNNCell(3, 4, nonlinearity="gelu")(dlcore.ones(1, 3))
    with pytest.raises(ValueError, match="Unrecognized RNN mode"):
        nn.RNNBase("QRNN", 3, 4)


def test_dropout_of_one_layer_warns():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nn.LSTM(3, 4, dropout=0.5)
    assert "num_layers greater than 1" in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_weights_and_copies(kind):
    torch = oracle.torch()
    ours, theirs = (getattr(m, kind)(3, 4, 2, bidirectional=True) for m in (nn, torch.nn))
    theirs_shapes = [[tuple(w.shape) for w in ws] for ws in theirs.all_weights]
    assert [[w.shape for w in ws] for ws in ours.all_weights] == theirs_shapes
    assert ours._flat_weights[0] is ours.weight_ih_l0
    ours.flatten_parameters()
    bound = max(np.abs(p.detach().numpy()).max() for p in ours.parameters())
    assert 0.45 < bound <= 0.5
    x = dlcore.randn(5, 2, 3)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        np.testing.assert_array_equal(twin(x)[0].detach().numpy(), ours(x)[0].detach().numpy())
    ours.weight_ih_l0 = nn.Parameter(dlcore.zeros(*ours.weight_ih_l0.shape))
    assert not np.array_equal(twin(x)[0].detach().numpy(), ours(x)[0].detach().numpy())
    with pytest.raises(ValueError, match="does not match weight dtype"):
        ours(x.double())
    assert ours.double()(x.double())[0].dtype == np.float64


# ---- nn.utils.rnn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "pack", 16, rest=[(3,), (), (2, 2)], batch_first=[False, True], sorted=[False, True],
        total=[None, 5, 9], value=[0.0, -1.0],
    ),
)  # fmt: skip
def test_pack_and_pad(a, dtype, rng):
    torch = oracle.torch()
    lengths = [2, 5, 1, 4]
    if a["sorted"]:
        lengths = sorted(lengths, reverse=True)
    shape = (4, 7) if a["batch_first"] else (7, 4)
    x = (rng.standard_normal((*shape, *a["rest"])) * 9).astype(dtype)

    def run(P):
        def call(t):
            how = {"batch_first": a["batch_first"]}
            p = P.pack_padded_sequence(t, lengths, enforce_sorted=a["sorted"], **how)
            padded, n = P.pad_packed_sequence(p, padding_value=a["value"], total_length=a["total"], **how)
            return list(p), padded, n

        return call

    oracle.both(run(R), run(torch.nn.utils.rnn), x)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_pad_sequence_and_back(batch_first, side, rng):
    torch = oracle.torch()
    parts = [rng.standard_normal((n, 3)) for n in (2, 5, 3)]

    def run(P):
        def call(*ts):
            padded = P.pad_sequence(ts, batch_first, 7.0, side)
            p = P.pack_sequence(ts, enforce_sorted=False)
            n = (dlcore if P is R else torch).tensor([2, 5, 3])
            cut = P.unpad_sequence(padded if batch_first else padded * 1, n, batch_first)
            return padded, list(p), P.unpack_sequence(p), cut

        return call

    oracle.both(run(R), run(torch.nn.utils.rnn), *parts)


X = np.arange(12.0).reshape(4, 3)
BAD_PACKS = [
    ("zero", lambda P, t: P.pack_padded_sequence(t(X), [3, 2, 0])),
    ("negative", lambda P, t: P.pack_padded_sequence(t(X), [3, 2, -1])),
    ("not sorted", lambda P, t: P.pack_padded_sequence(t(X), [1, 2, 3])),
    ("too few", lambda P, t: P.pack_padded_sequence(t(X), [3, 2])),
    ("2-d lengths", lambda P, t: P.pack_padded_sequence(t(X), [[3, 2, 1]])),
    ("0-d lengths", lambda P, t: P.pack_padded_sequence(t(X), 3)),
    ("1-d input", lambda P, t: P.pack_padded_sequence(t(X[0]), [1, 1, 1])),
    ("empty", lambda P, t: P.pack_padded_sequence(t(X[:, :0]), [])),
    ("total", lambda P, t: P.pad_packed_sequence(P.pack_padded_sequence(t(X), [3, 2, 1]), total_length=2)),
    ("no sequences", lambda P, t: P.pad_sequence([])),
    ("shapes", lambda P, t: P.pad_sequence([t(X), t(X[:, :2])])),
    ("side", lambda P, t: P.pad_sequence([t(X)], padding_side="up")),
    ("not iterable", lambda P, t: P.pad_sequence(3)),
    ("unsorted sequences", lambda P, t: P.pack_sequence([t(X[:2]), t(X)])),
    ("not a pair", lambda P, t: P.PackedSequence(t(X))),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_PACKS, ids=[b[0] for b in BAD_PACKS])
def test_same_exception_for_bad_packs(bad):
    torch = oracle.torch()
    with pytest.raises(Exception) as theirs:
        bad[1](torch.nn.utils.rnn, torch.tensor)
    with pytest.raises(theirs.type):
        bad[1](R, dlcore.tensor)


def test_lengths_longer_than_the_input_raise():
    with pytest.raises(RuntimeError, match="must not exceed the 4 steps"):  # torch reads what is not there
        R.pack_padded_sequence(dlcore.tensor(X), [5, 2, 1])


def test_packed_sequence_is_a_named_tuple():
    x = dlcore.tensor(X)
    p = R.pack_padded_sequence(x, dlcore.tensor([2, 4, 3]), enforce_sorted=False)
    data, batch_sizes, sorted_indices, unsorted_indices = p
    assert data is p.data
    assert p._fields == ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
    assert batch_sizes.tolist() == [3, 3, 2, 1]
    assert sorted_indices.tolist() == [1, 2, 0]
    assert unsorted_indices.tolist() == R.invert_permutation(sorted_indices).tolist() == [2, 0, 1]
    assert p.float() is p.cpu() is p.to(np.float32) is p or p.data.dtype == np.float64
    assert p.to(data.dtype) is p
    assert p.cpu() is p
    assert not p.is_cuda
    assert not p.is_pinned()
    assert [q.data.dtype for q in (p.double(), p.float(), p.long(), p.int(), p.byte())] == [
        np.float64, np.float32, np.int64, np.int32, np.uint8
    ]  # fmt: skip
    twin = pickle.loads(pickle.dumps(p))
    assert isinstance(twin, R.PackedSequence)
    assert twin.data.tolist() == data.tolist()
    assert R.PackedSequence((data, batch_sizes)).sorted_indices is None
    assert R.invert_permutation(None) is None
    with pytest.raises(ValueError, match="has its own lengths"):
        nn.GRU(1, 2)(R.pack_padded_sequence(x.float()[:, :, None], [2, 2, 2]), lengths=[1, 1, 1])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_packed_states_of_another_batch_raise(kind):
    p = R.pack_padded_sequence(dlcore.ones(4, 3, 3), [3, 2, 1])
    h = dlcore.ones(1, 2, 4)
    m = getattr(nn, kind)(3, 4)
    with pytest.raises(RuntimeError, match="size"):
        m(p, (h, h) if kind == "LSTM" else h)


def test_a_training_step_asks_the_system_for_nothing():
    m, x = nn.LSTM(20, 30, 2, bidirectional=True), dlcore.randn(11, 4, 20)

    def step():
        m.zero_grad()
        m(x, lengths=[11, 3, 7, 1])[0].sum().backward()

    for _ in range(3):
        step()
    before = dlcore._C.memory_stats("cpu")["system_allocs"]
    step()
    assert dlcore._C.memory_stats("cpu")["system_allocs"] == before
