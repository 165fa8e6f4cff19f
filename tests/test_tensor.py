"""Tensor and the functions on shapes and indices: beside torch where it is installed, by themselves
otherwise.
"""

import copy
import pickle

import numpy as np
import pytest

import dlcore
from dlcore import functional as F

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def both(torch, x):
    """The same data in both libraries, requiring gradients where it can."""
    ours, theirs = dlcore.tensor(x), torch.from_numpy(np.array(x))
    if x.dtype.kind == "f":
        ours.requires_grad_()
        theirs.requires_grad_()
    return ours, theirs


def same(a, b):
    assert a.shape == tuple(b.shape)
    assert a.dtype == b.detach().numpy().dtype
    np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def agree(torch, f, *arrays):
    """f on dlcore's tensors and on torch's: the same values, and the same gradients for the same seeds."""
    pairs = [both(torch, x) for x in arrays]
    ours, theirs = f(*[p[0] for p in pairs]), f(*[p[1] for p in pairs])
    if not isinstance(ours, (tuple, list)):
        ours, theirs = (ours,), (theirs,)
    assert len(ours) == len(theirs)
    rng = np.random.default_rng(0)
    for a, b in zip(ours, theirs):
        same(a, b)
        assert a.requires_grad == b.requires_grad
        if a.requires_grad:
            seed = rng.standard_normal(a.shape).astype(a.dtype)
            a.backward(seed, retain_graph=True)
            b.backward(torch.from_numpy(seed.copy()), retain_graph=True)
    for a, b in pairs:
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-12)


def data(*shape):
    return np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)


# ---- shapes ------------------------------------------------------------------------------------------------

METHODS = {
    "reshape": (lambda x: x.reshape(4, 6), (2, 3, 4)),
    "reshape tuple": (lambda x: x.reshape((4, -1)), (2, 3, 4)),
    "reshape of a transpose": (lambda x: x.transpose(0, 2).reshape(6, 4), (2, 3, 4)),
    "reshape to 0-d": (lambda x: x.reshape(()), (1, 1)),
    "reshape empty": (lambda x: x.reshape(0, 7), (0, 3)),
    "view": (lambda x: x.view(-1, 2), (2, 3, 4)),
    "view_as": (lambda x: x.view_as(x.reshape(24)), (2, 3, 4)),
    "reshape_as": (lambda x: x.reshape_as(x.reshape(24)), (2, 3, 4)),
    "transpose": (lambda x: x.transpose(0, -1), (2, 3, 4)),
    "transpose 0-d": (lambda x: x.transpose(0, -1), ()),
    "t": (lambda x: x.t(), (2, 3)),
    "T": (lambda x: x.T, (2, 3)),
    "mT": (lambda x: x.mT, (2, 3, 4)),
    "permute": (lambda x: x.permute(2, 0, 1), (2, 3, 4)),
    "permute tuple": (lambda x: x.permute((-1, 0, -2)), (2, 3, 4)),
    "movedim": (lambda x: x.movedim(0, -1), (2, 3, 4)),
    "movedim many": (lambda x: x.movedim((0, 1), (2, 0)), (2, 3, 4)),
    "swapaxes": (lambda x: x.swapaxes(1, 2), (2, 3, 4)),
    "flatten": (lambda x: x.flatten(), (2, 3, 4)),
    "flatten from 1": (lambda x: x.flatten(1), (2, 3, 4)),
    "flatten range": (lambda x: x.flatten(-3, -2), (2, 3, 4)),
    "flatten 0-d": (lambda x: x.flatten(), ()),
    "ravel": (lambda x: x.T.ravel(), (2, 3)),
    "unflatten": (lambda x: x.unflatten(1, (2, -1)), (2, 6)),
    "squeeze": (lambda x: x.squeeze(), (1, 3, 1)),
    "squeeze dim": (lambda x: x.squeeze(0), (1, 3, 1)),
    "squeeze dims": (lambda x: x.squeeze((0, 1)), (1, 3, 1)),
    "squeeze 0-d": (lambda x: x.squeeze(), ()),
    "unsqueeze": (lambda x: x.unsqueeze(1), (2, 3)),
    "unsqueeze last": (lambda x: x.unsqueeze(-1), (2, 3)),
    "expand": (lambda x: x.expand(5, 2, 3), (2, 1)),
    "expand keep": (lambda x: x.expand(-1, 3), (2, 1)),
    "expand empty": (lambda x: x.expand(0, -1, -1), (2, 1)),
    "expand_as": (lambda x: x.expand_as(x.expand(2, 2, 2)), (2, 1)),
    "broadcast_to": (lambda x: x.broadcast_to((3, 2)), (2,)),
    "contiguous": (lambda x: x.T.contiguous(), (2, 3)),
    "clone": (lambda x: x.T.clone(), (2, 3)),
    "narrow": (lambda x: x.narrow(1, 1, 2), (2, 3, 4)),
    "narrow from the end": (lambda x: x.narrow(1, -2, 2), (2, 3, 4)),
    "select": (lambda x: x.select(1, -1), (2, 3, 4)),
    "split": (lambda x: x.split(2, 1), (2, 5)),
    "split sizes": (lambda x: x.split([1, 0, 4], -1), (2, 5)),
    "split empty": (lambda x: x.split(2), (0, 5)),
    "chunk": (lambda x: x.chunk(3, 1), (2, 7)),
    "chunk few": (lambda x: x.chunk(5), (3,)),
    "unbind": (lambda x: x.unbind(1), (2, 3)),
    "diagonal": (lambda x: x.diagonal(), (3, 3)),
    "diagonal offset": (lambda x: x.diagonal(1, 1, 2), (2, 3, 4)),
    "repeat": (lambda x: x.repeat(2, 1, 3), (2, 3)),
    "repeat once": (lambda x: x.repeat(1, 1), (2, 3)),
    "repeat none": (lambda x: x.repeat(0, 2), (2, 3)),
    "tile": (lambda x: x.tile(2), (2, 3)),
    "repeat_interleave": (lambda x: x.repeat_interleave(2), (2, 3)),
    "repeat_interleave dim": (lambda x: x.repeat_interleave(3, 1), (2, 3)),
    "flip": (lambda x: x.flip(0, 1), (2, 3, 4)),
    "flip tuple": (lambda x: x.flip((2,)), (2, 3, 4)),
    "roll": (lambda x: x.roll(2, 1), (2, 5)),
    "roll all": (lambda x: x.roll(-3), (2, 5)),
    "roll many": (lambda x: x.roll((1, 2), (0, 1)), (3, 5)),
    "tril": (lambda x: x.tril(), (3, 4)),
    "tril of a batch": (lambda x: x.tril(-1), (2, 3, 3)),
    "triu": (lambda x: x.triu(1), (3, 4)),
    "to float64 and back": (lambda x: x.float().double(), (2, 3)),
}


@pytest.mark.parametrize("name", METHODS)
def test_method(torch, name):
    f, shape = METHODS[name]
    agree(torch, f, data(*shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_views_of_every_dtype(torch, dtype):
    x = (data(2, 3, 4) % 5).astype(dtype)
    ours, theirs = dlcore.tensor(x), torch.from_numpy(x)
    for f in (
        lambda x: x.transpose(0, 1).reshape(-1),
        lambda x: x[1, ::2],
        lambda x: x.flip(0),
        lambda x: x.tril(),
    ):
        same(f(ours), f(theirs))
        same(f(ours)[f(ours) == 1], f(theirs)[f(theirs) == 1])
    same(dlcore.cat([ours, ours], 2), torch.cat([theirs, theirs], 2))


def test_views_share_memory(torch):
    x = dlcore.tensor(data(2, 3))
    for view in (
        x.view(6),
        x.T,
        x[0],
        x[:, ::2],
        x.unsqueeze(0),
        x.detach(),
        x.data,
        x.expand(2, 2, 3),
        x.split(1)[1],
    ):
        assert view.array.shares_memory(x.array)
    for f in (lambda x: x.clone(), lambda x: x.T.reshape(6), lambda x: x.flip(0), lambda x: x[[0]]):
        assert not f(x).array.shares_memory(x.array)


def test_joins(torch):
    for d in (0, 1, -1):
        agree(
            torch,
            lambda *x, d=d: (dlcore if isinstance(x[0], dlcore.Tensor) else torch).cat(x, d),
            data(2, 3),
            data(2, 3),
        )
    for d in (0, 1, 2, -1):
        agree(
            torch,
            lambda *x, d=d: (dlcore if isinstance(x[0], dlcore.Tensor) else torch).stack(x, d),
            data(2, 3),
            data(2, 3),
        )
    agree(
        torch, lambda *x: (dlcore if isinstance(x[0], dlcore.Tensor) else torch).hstack(x), data(2), data(3)
    )
    agree(
        torch,
        lambda *x: (dlcore if isinstance(x[0], dlcore.Tensor) else torch).vstack(x),
        data(2),
        data(3, 2),
    )
    agree(torch, lambda x: (dlcore if isinstance(x, dlcore.Tensor) else torch).cat([x, x[:0], x]), data(3))


def test_cat_promotes(torch):
    for a in DTYPES:
        for b in DTYPES:
            x, y = np.ones(2, a), np.ones(3, b)
            same(
                dlcore.cat([dlcore.tensor(x), dlcore.tensor(y)]),
                torch.cat([torch.from_numpy(x), torch.from_numpy(y)]),
            )
    x, y = dlcore.ones(2, requires_grad=True), dlcore.ones(2, dtype=np.float64, requires_grad=True)
    dlcore.cat([x, y]).backward(np.ones(4))
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64


@pytest.mark.parametrize(
    "f, error, match",
    [
        (lambda x: x.reshape(5), ValueError, r"reshape: .*got x=\(2, 3\)"),
        (lambda x: x.reshape(2.0, 3), TypeError, "reshape: sizes must be integers"),
        (lambda x: x.reshape(-1, -1), ValueError, "reshape"),
        (lambda x: x.T.view(6), RuntimeError, "view: .*use reshape"),
        (lambda x: x.view(np.int32), TypeError, "view: a shape is expected"),
        (lambda x: x.transpose(0, 2), IndexError, "transpose: dim must lie in"),
        (lambda x: x.permute(0, 0), ValueError, "permute: axes must not repeat"),
        (lambda x: x.permute(0), ValueError, "permute"),
        (lambda x: x.flatten(1, 0), ValueError, "flatten: start_dim"),
        (lambda x: x.squeeze(2), IndexError, "squeeze"),
        (lambda x: x.unsqueeze(3), IndexError, "unsqueeze"),
        (lambda x: x.expand(4, 3), ValueError, "expand: only axes of size 1"),
        (lambda x: x.expand(-1, 2, 3), ValueError, "expand: sizes must not be negative"),
        (lambda x: x.expand(3), ValueError, "expand"),
        (lambda x: x.narrow(0, 1, 2), ValueError, "narrow: the piece must lie within"),
        (lambda x: x.narrow(0, -3, 1), ValueError, "narrow"),
        (lambda x: x.split([1, 2]), ValueError, "split: the sizes must add up to 2"),
        (lambda x: x.split(0), ValueError, "split: the size must be positive"),
        (lambda x: x.chunk(0), ValueError, "chunk"),
        (lambda x: x.unflatten(1, (2, 2)), ValueError, "unflatten"),
        (lambda x: x.repeat(2), ValueError, "repeat: one count"),
        (lambda x: x.flip(0, 0), ValueError, "flip: dims must not repeat"),
        (lambda x: x[0].tril(), ValueError, "tril: x must have at least two"),
        (lambda x: dlcore.cat([]), ValueError, "cat: there must be at least one"),
        (lambda x: dlcore.cat([x, x[:, :2]]), ValueError, "cat: sizes must agree off the axis"),
        (lambda x: dlcore.cat([x, 3]), TypeError, "cat: a tuple or list of tensors"),
        (lambda x: dlcore.cat(x), TypeError, "cat: a tuple or list of tensors"),
        (lambda x: dlcore.stack([x, x.T]), ValueError, "stack: the tensors must have one shape"),
        (lambda x: x.reshape(1, 1, 1, 1, 1, 1, 1, 1, 6), ValueError, "dimensions"),
        (lambda x: x.diagonal(0, 1, 1), ValueError, "diagonal: dim1 and dim2 must differ"),
    ],
)
def test_shape_errors(f, error, match):
    with pytest.raises(error, match=match):
        f(dlcore.tensor(data(2, 3)))


# ---- x[...] ------------------------------------------------------------------------------------------------

MASK = np.array([[True, False, True], [False, True, True]])
KEYS = {
    "integer": 1,
    "negative integer": -1,
    "numpy integer": np.int64(1),
    "slice": slice(0, 1),
    "slice clipped": slice(-9, 99),
    "slice empty": slice(2, 1),
    "slice step": (slice(None), slice(0, 3, 2)),
    "slice of the last": (..., slice(1, None, 2)),
    "ellipsis": ...,
    "ellipsis in the middle": (0, ..., 1),
    "ellipsis for nothing": (0, 1, ..., 2),
    "none": None,
    "nones": (None, 0, None, ..., None),
    "all integers": (1, 2, 3),
    "empty tuple": (),
    "list": [1, 0, 1],
    "list in a tuple": ([1, 0, -1],),
    "empty list": ([],),
    "array": np.array([[0, 1], [1, 1]]),
    "array int32": np.array([1, 0], np.int32),
    "0-d array": np.array(1),
    "array at axis 1": (slice(None), np.array([2, 0])),
    "array at axis 2": (..., np.array([3, 3, 0])),
    "two arrays": ([0, 1], [2, 0]),
    "two arrays broadcast": (np.array([[0], [1]]), np.array([0, 2])),
    "three arrays": ([0, 1], [2, 0], [3, 1]),
    "arrays apart": ([0, 1], slice(None), [2, 0]),
    "arrays apart at the end": (slice(None), [0, 2], slice(1, 3)),
    "integer and array": (0, slice(None), [1, 2]),
    "array and integer": ([1, 0], 1),
    "array, slice, integer": ([1, 0], slice(1, None), 2),
    "none between arrays": ([0, 1], None, [1, 1]),
    "array and none": ([0, 1], None),
    "mask": np.arange(24).reshape(2, 3, 4) % 5 == 0,
    "mask of the first axes": MASK,
    "mask and slice": (MASK, slice(1, 3)),
    "mask and integer": (MASK, 2),
    "slice and mask": (slice(None), np.array([True, False, True])),
    "mask and array": (slice(None), np.array([True, False, True]), [1, 3]),
    "mask all false": np.zeros((2, 3), bool),
    "list of bools": [True, False],
    "True": True,
    "False": False,
}


def torch_key(torch, key):
    if isinstance(key, tuple):
        return tuple(torch_key(torch, k) for k in key)
    return torch.from_numpy(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("name", KEYS)
def test_getitem(torch, name):
    key = KEYS[name]
    for x in (data(2, 3, 4), data(4, 3, 2).T):
        agree(torch, lambda v, key=key: v[key if isinstance(v, dlcore.Tensor) else torch_key(torch, key)], x)


def test_getitem_with_tensors(torch):
    x = dlcore.tensor(data(2, 3, 4))
    n = x.numpy()
    i, j = dlcore.tensor([1, 0]), dlcore.tensor([[2], [0]])
    np.testing.assert_array_equal(x[i, j].numpy(), n[i.numpy(), j.numpy()])
    np.testing.assert_array_equal(x[dlcore.tensor(1)].numpy(), n[1])
    np.testing.assert_array_equal(x[dlcore.tensor(MASK)].numpy(), n[MASK])


@pytest.mark.parametrize("name", KEYS)
def test_setitem(torch, name):
    key = KEYS[name]
    for values in ("number", "whole", "broadcast", "tensor"):
        x = data(2, 3, 4)
        ours, theirs = dlcore.tensor(x), torch.from_numpy(x.copy())
        shape = theirs[torch_key(torch, key)].shape
        value = np.asarray(-data(*shape) if values != "broadcast" else -data(1, *shape[-1:]))
        if values == "number":
            ours[key] = 7
            theirs[torch_key(torch, key)] = 7
        else:
            ours[key] = dlcore.tensor(value) if values == "tensor" else value
            theirs[torch_key(torch, key)] = torch.from_numpy(value)
        same(ours, theirs)


def test_setitem_through_views_and_dtypes():
    x = dlcore.zeros(3, 4)
    x.T[1:3][0] = 5
    x[:, 3][dlcore.tensor([True, False, True])] = 6
    assert x.tolist() == [[0, 5, 0, 6], [0, 5, 0, 0], [0, 5, 0, 6]]
    i = dlcore.zeros(3, dtype=np.int64)
    i[1] = 2.9
    i[[0, 2]] = dlcore.tensor([1.5, -1.5])
    assert i.tolist() == [1, 2, -1]
    y = dlcore.arange(5)
    y[1:] = y[:-1].clone()
    y[:3] = y[2:]  # overlapping
    assert y.tolist() == [1, 2, 3, 2, 3]


def test_setitem_and_gradients():
    x = dlcore.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"setitem: .*no_grad"):
        x[0] = 1
    with pytest.raises(RuntimeError, match=r"setitem: .*no_grad"):
        x.zero_()
    y = x * 2
    kept = y * y
    y[0] = 1
    with pytest.raises(RuntimeError, match=r"mul: .* modified by an inplace operation"):
        kept.sum().backward()
    z = x * 2
    view = z[1:]
    with pytest.raises(RuntimeError, match=r"setitem: the memory is also held by .*clone"):
        view[0] = 1
    with dlcore.no_grad():
        x[0] = 5
        x[1:] = x[:1]
    assert x.tolist() == [5.0, 5.0, 5.0] and x.requires_grad and x.is_leaf


ASSIGN = {
    "loop": lambda out, w: [out.__setitem__((slice(None), i), w[i] * (i + 1)) for i in range(3)],
    "over a computed tensor": lambda out, w: out.__setitem__((0, slice(1, 3)), w[1]),
    "number": lambda out, w: out.__setitem__(1, 7.0),
    "mask": lambda out, w: out.__setitem__(([True, False],), w[:1, 0].expand(3)),
    "arrays": lambda out, w: out.__setitem__(([0, 1], [2, 0]), w[2] ** 2),
    "leading ones": lambda out, w: out.__setitem__(0, w.reshape(1, 1, 6)[:, :, :3]),
    "fill": lambda out, w: out.fill_(w[0, 0]),
}


@pytest.mark.parametrize("name", ASSIGN)
@pytest.mark.parametrize("fresh", [True, False])
def test_setitem_is_recorded(torch, name, fresh):
    def f(x, w):
        m = dlcore if isinstance(x, dlcore.Tensor) else torch
        out = m.zeros(2, 3, dtype=x.dtype) if fresh else x * 3
        ASSIGN[name](out, w)
        return out

    if fresh and name == "number":
        pytest.skip("nothing requires grad")
    x, w = data(2, 3), data(3, 2)
    (a, t), (b, u) = both(torch, x), both(torch, w)
    ours, theirs = f(a, b), f(t, u)
    same(ours, theirs)
    seed = np.random.default_rng(1).standard_normal((2, 3))
    ours.backward(seed)
    theirs.backward(torch.from_numpy(seed))
    for g, h in ((a, t), (b, u)):
        assert (g.grad is None) == (h.grad is None)
        if g.grad is not None:
            np.testing.assert_allclose(g.grad.numpy(), h.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "key, error, match",
    [
        (2, IndexError, "2 is out of bounds for axis 0 of size 2"),
        ((0, -4), IndexError, "-4 is out of bounds for axis 1 of size 3"),
        ((0, 0, 0), IndexError, "too many indices"),
        ((..., ...), IndexError, "one '...' only"),
        (slice(None, None, -1), ValueError, "step of a slice must be positive"),
        (slice(None, None, 0), ValueError, "step"),
        (1.0, IndexError, "integers, slices"),
        ("a", IndexError, "integers, slices"),
        ([1.0], IndexError, "integers or booleans"),
        ([2], IndexError, "2 is out of bounds for axis 0 of size 2"),
        ((slice(None), [0, -4]), IndexError, "-4 is out of bounds for axis 1 of size 3"),
        (np.array([True]), IndexError, "mask must have the shape"),
        (([0, 1], [0, 1, 2]), IndexError, "broadcast together"),
        (np.array([1, 0], np.uint8), IndexError, "uint8"),
    ],
)
def test_index_errors(key, error, match):
    x = dlcore.tensor(data(2, 3))
    with pytest.raises(error, match=match):
        x[key]
    with pytest.raises(error, match=match):
        x[key] = 1


def test_setitem_shape_errors():
    x = dlcore.zeros(2, 3)
    with pytest.raises(ValueError, match="broadcast"):
        x[0] = np.ones(2)
    with pytest.raises(ValueError, match=r"setitem: the value must broadcast to \(2,\)"):
        x[[0, 1], [1, 2]] = np.ones(3)


# ---- gather, scatter and friends ---------------------------------------------------------------------------

INDEX = np.array([[0, 2, 1, 1], [1, 0, 2, 2]])


def test_index_functions(torch):
    def wrapped(f):
        return lambda *x: f(
            *x, *[(dlcore.tensor if isinstance(x[0], dlcore.Tensor) else torch.from_numpy)(INDEX)]
        )

    agree(torch, wrapped(lambda x, i: x.gather(0, i)), data(3, 4))
    agree(torch, wrapped(lambda x, i: x.gather(1, i)), data(2, 4))
    agree(torch, wrapped(lambda x, i: x.scatter_add(0, i, x[:2] * 2)), data(3, 4))
    agree(torch, wrapped(lambda x, s, i: x.scatter_add(0, i, s)), data(3, 4), data(2, 4))
    agree(torch, wrapped(lambda x, s, i: x.scatter(1, i[:, :2], s)), data(3, 4), data(2, 2))
    agree(torch, wrapped(lambda x, i: x.scatter(1, i, 7.0)), data(3, 4))
    agree(torch, wrapped(lambda x, i: x.index_select(1, i[0])), data(2, 3, 2))
    agree(torch, wrapped(lambda x, s, i: x.index_add(0, i[0], s)), data(3, 2), data(4, 2))
    agree(torch, wrapped(lambda x, s, i: x.index_add(0, i[0], s, alpha=2)), data(3, 2), data(4, 2))
    agree(torch, wrapped(lambda x, i: x.take_along_dim(i[:, :1], 1)), data(2, 4))
    agree(torch, wrapped(lambda x, i: x.masked_select(i > 0)), data(2, 4))
    agree(torch, wrapped(lambda x, i: (i > 1).nonzero()), data(1))
    agree(torch, wrapped(lambda x, i: (i > 1).nonzero(as_tuple=True)), data(1))


def test_scatter_of_a_larger_source():
    x, s = dlcore.tensor(data(3, 4)), dlcore.tensor(data(5, 6), requires_grad=True)
    y = x.scatter_add(0, dlcore.tensor(INDEX), s)
    y.backward(np.ones((3, 4)))
    want = np.zeros((5, 6))
    want[:2, :4] = 1  # torch gives up here
    assert s.grad.tolist() == want.tolist()


def test_scatter_add_of_integers(torch):
    for dtype in DTYPES[2:]:
        x, s = np.ones((3, 4), dtype), np.ones((2, 4), dtype)
        ours = dlcore.tensor(x).scatter_add(0, dlcore.tensor(INDEX), dlcore.tensor(s))
        same(ours, torch.from_numpy(x).scatter_add(0, torch.from_numpy(INDEX), torch.from_numpy(s)))


# ---- creation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda m: m.zeros(2, 3),
        lambda m: m.ones((2, 3)),
        lambda m: m.zeros([0, 3]),
        lambda m: m.zeros(()),
        lambda m: m.full((2,), 3),
        lambda m: m.full((2,), 3.5),
        lambda m: m.full((2,), True),
        lambda m: m.full((), (1 << 62) + 1),
        lambda m: m.arange(5),
        lambda m: m.arange(2, 9, 3),
        lambda m: m.arange(0, 1, 0.25),
        lambda m: m.arange(5, 0, -2),
        lambda m: m.arange(start=1, end=4),
        lambda m: m.arange(1, end=4),
        lambda m: m.arange(3.0),
        lambda m: m.arange(3, 3),
        lambda m: m.linspace(0, 1, 5),
        lambda m: m.linspace(2, -2, 1),
        lambda m: m.eye(3),
        lambda m: m.eye(2, 3),
        lambda m: m.tril_indices(3, 4, -1),
        lambda m: m.triu_indices(3, 4, 1),
        lambda m: m.zeros_like(m.ones(2, 3)),
        lambda m: m.ones_like(m.arange(3)),
        lambda m: m.full_like(m.arange(3), 7),
        lambda m: m.tensor([[1, 2], [3, 4]]),
        lambda m: m.tensor([1.5, 2]),
        lambda m: m.tensor([True, False]),
        lambda m: m.tensor(3.0),
        lambda m: m.tensor([]),
        lambda m: m.tensor(np.arange(3.0)),
        lambda m: m.tensor(np.float64(2)),
    ],
)
def test_creation(torch, f):
    same(f(dlcore), f(torch))


def test_creation_keywords():
    x = dlcore.zeros(2, dtype=dlcore.float64, device="cpu", requires_grad=True)
    assert x.dtype == np.float64 and x.requires_grad and x.is_leaf
    assert dlcore.empty_like(x).shape == (2,) and not dlcore.empty_like(x).requires_grad
    assert dlcore.ones(2, dtype="int32").dtype == np.int32
    assert dlcore.arange(3, dtype=float).dtype == np.float64
    a = np.arange(3.0)
    assert (
        dlcore.as_tensor(a).array.shares_memory(dlcore.as_tensor(a).array)
        or dlcore.as_tensor(a).data_ptr() == a.ctypes.data
    )


@pytest.mark.parametrize(
    "f, error, match",
    [
        (lambda: dlcore.zeros(2.0), TypeError, "zeros: sizes must be integers"),
        (lambda: dlcore.zeros(-1), ValueError, "zeros: sizes must not be negative"),
        (lambda: dlcore.zeros(2, dtype=np.float16), TypeError, "dtype must be float32"),
        (lambda: dlcore.zeros(2, dtype="nonsense"), TypeError, "dtype must be a NumPy dtype"),
        (lambda: dlcore.zeros(2, dtype=int, requires_grad=True), RuntimeError, "only floating-point"),
        (lambda: dlcore.zeros(2, device="tpu"), ValueError, "tpu"),
        (lambda: dlcore.arange(0, 1, 0), ValueError, "step must not be 0"),
        (lambda: dlcore.arange(0, 1, -1), ValueError, "lead from start to end"),
        (lambda: dlcore.arange(float("nan")), ValueError, "finite"),
        (lambda: dlcore.arange(), TypeError, "expected"),
        (lambda: dlcore.linspace(0, 1, -1), ValueError, "steps"),
        (lambda: dlcore.rand(2, dtype=int), TypeError, "rand: dtype must be float32 or float64"),
        (lambda: dlcore.rand(2, rng=1.5), TypeError, "rng: "),
        (lambda: dlcore.randint(3, 3, (2,)), ValueError, "low must be below high"),
        (lambda: dlcore.zeros(1 << 40, 1 << 40), ValueError, "."),
        (lambda: dlcore.zeros(1 << 44), MemoryError, "out of memory"),
        (lambda: dlcore.tensor([object()]), TypeError, "object arrays"),
        (lambda: dlcore.tensor([1.0], dtype=complex), TypeError, "dtype must be"),
        (lambda: dlcore.tensor([1], requires_grad=True), RuntimeError, "only floating-point"),
        (lambda: dlcore.from_numpy([1.0]), TypeError, "expected an ndarray"),
    ],
)
def test_creation_errors(f, error, match):
    with pytest.raises(error, match=match):
        f()


# ---- random ------------------------------------------------------------------------------------------------


def test_manual_seed_repeats_everything():
    def draw():
        return [
            dlcore.rand(3).tolist(),
            dlcore.randn(2, dtype=np.float64).tolist(),
            dlcore.randint(10, (4,)).tolist(),
            dlcore.randperm(5).tolist(),
            dlcore.random.next_philox(),
        ]

    dlcore.manual_seed(3)
    first = draw()
    state = dlcore.get_rng_state()
    second = draw()
    dlcore.manual_seed(3)
    assert draw() == first
    dlcore.set_rng_state(state)
    assert draw() == second != first
    dlcore.manual_seed(-1)


def test_rng_keyword():
    for make in (lambda: 5, lambda: np.random.SeedSequence(5), lambda: np.random.default_rng(5)):
        assert dlcore.rand(3, rng=make()).tolist() == dlcore.rand(3, rng=5).tolist()
    g = np.random.default_rng(5)
    assert dlcore.rand(3, rng=g).tolist() != dlcore.rand(3, rng=g).tolist()
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    dlcore.randn(3)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_random_distributions():
    u, n = dlcore.rand(20_000, rng=0).numpy(), dlcore.randn(20_000, rng=0).numpy()
    assert u.dtype == n.dtype == np.float32 and u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01 and abs(n.mean()) < 0.03 and abs(n.std() - 1) < 0.03
    i = dlcore.randint(-2, 3, (1000,), rng=0)
    assert set(i.tolist()) == {-2, -1, 0, 1, 2} and i.dtype == np.int64
    assert sorted(dlcore.randperm(100, rng=0).tolist()) == list(range(100))
    assert dlcore.rand_like(dlcore.zeros(2, dtype=np.float64)).dtype == np.float64
    assert dlcore.randn_like(dlcore.zeros(2)).shape == (2,)


# ---- what it is --------------------------------------------------------------------------------------------


def test_properties(torch):
    x, t = both(torch, data(2, 3, 4))
    x, t = x.transpose(0, 1), t.transpose(0, 1)
    assert x.shape == x.size() == tuple(t.shape) and x.size(-1) == t.size(-1)
    assert x.stride() == t.stride() and x.stride(0) == t.stride(0)
    assert x.numel() == x.nelement() == t.numel() and x.dim() == x.ndim == 3 and len(x) == len(t)
    assert not x.is_contiguous() and x.contiguous().is_contiguous()
    assert x.is_floating_point() and not x.long().is_floating_point()
    assert x.element_size() == x.itemsize == 8 and x.nbytes == t.nbytes
    assert x.device == "cpu" and not x.is_cuda
    assert hash(x) == id(x) and {x: 1}[x] == 1
    assert repr(x.grad_fn).startswith("<Transpose") and not x.is_leaf


def test_conversions(torch):
    x = dlcore.tensor([1.7, -2.3, 0.0])
    t = torch.tensor([1.7, -2.3, 0.0])
    for name in ("float", "double", "int", "long", "bool"):
        same(getattr(x, name)(), getattr(t, name)())
    assert x.to("cpu") is x and x.to(np.float32) is x and x.cpu() is x and x.float() is x
    assert (
        x.to("float64").dtype
        == x.to(dlcore.float64).dtype
        == x.to(device="cpu", dtype=np.float64).dtype
        == np.float64
    )
    assert x.to("cpu", np.int64).dtype == x.to(dlcore.zeros(1, dtype=np.int64)).dtype == np.int64
    assert x.type_as(dlcore.zeros(1, dtype=np.float64)).dtype == np.float64
    assert not x.to(np.float32, copy=True).array.shares_memory(x.array)
    with pytest.raises(TypeError, match="to: dtype must be float32"):
        x.to(np.float16)
    with pytest.raises(ValueError, match="to: the device must be"):
        x.to("tpu:0")
    if dlcore._C.cuda_unavailable_reason():
        with pytest.raises(dlcore.DeviceError):
            x.cuda()


def test_numbers():
    assert (
        float(dlcore.tensor(2.5)) == 2.5
        and int(dlcore.tensor([3.9])) == 3
        and bool(dlcore.tensor([[0]])) is False
    )
    assert [10, 20, 30][dlcore.tensor(1)] == 20 and range(dlcore.tensor(3)) == range(3)
    assert dlcore.tensor(2).item() == 2 and dlcore.tensor([True]).item() is True
    assert f"{dlcore.tensor(1.5):.3f}" == "1.500" and f"{dlcore.tensor([1.0])}" == "tensor([1.])"
    assert dlcore.tensor([[1, 2]]).tolist() == [[1, 2]] and dlcore.tensor(1.5).tolist() == 1.5
    assert [t.item() for t in dlcore.tensor([1, 2])] == [1, 2]
    assert 2 in dlcore.tensor([1, 2]) and 3 not in dlcore.tensor([1, 2])
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(dlcore.ones(2))
    with pytest.raises(ValueError, match=r"item: .*exactly one element"):
        dlcore.ones(2).item()
    with pytest.raises(TypeError, match="index: only integer"):
        [1][dlcore.tensor(0.0)]
    with pytest.raises(TypeError, match="0-d"):
        iter(dlcore.tensor(0.0))
    with pytest.raises(TypeError, match="0-d"):
        len(dlcore.tensor(0.0))
    with pytest.raises(TypeError, match="in: "):
        "a" in dlcore.ones(2)  # noqa: B015


@pytest.mark.parametrize(
    "f",
    [
        lambda m: m.tensor([1.0, 2.0]),
        lambda m: m.tensor([1.5, 2.0, -3.25]),
        lambda m: m.tensor([[1, 2], [3, 400]]),
        lambda m: m.tensor([True, False]),
        lambda m: m.tensor(3.5),
        lambda m: m.tensor(7),
        lambda m: m.tensor([]),
        lambda m: m.zeros(0, 3),
        lambda m: m.zeros(2, 2, 2),
        lambda m: m.arange(2000),
        lambda m: m.tensor([1.5, float("nan"), -float("inf")]),
        lambda m: m.tensor([1.0, 2.0], requires_grad=True),
        lambda m: m.tensor([1e-8, 1.5]),
    ],
)
def test_repr_is_torchs(torch, f):
    assert repr(f(dlcore)) == repr(f(torch))


def test_repr():
    assert repr(dlcore.ones(1, dtype=np.float64)) == "tensor([1.], dtype=float64)"
    assert repr(dlcore.ones(1, requires_grad=True).reshape(1, 1)) == "tensor([[1.]], grad_fn=<ViewBackward>)"
    assert repr(dlcore.zeros(0, dtype=np.int64)) == "tensor([], dtype=int64)"


def test_copies_and_pickles():
    x = dlcore.tensor(data(2, 3), requires_grad=True)
    x.grad = dlcore.ones(2, 3, dtype=np.float64)
    a, b = copy.deepcopy([x, x])
    assert a is b and a.requires_grad and a.tolist() == x.tolist() and a.grad.tolist() == x.grad.tolist()
    assert not a.array.shares_memory(x.array) and not a.grad.array.shares_memory(x.grad.array)
    assert copy.copy(x).array.shares_memory(x.array)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        y = pickle.loads(pickle.dumps(x.detach().T, protocol))
        assert y.tolist() == x.T.tolist() and not y.requires_grad
    z = pickle.loads(pickle.dumps(x))
    assert z.requires_grad
    with dlcore.no_grad():
        z[0] = 1  # memory of its own, writable
    with pytest.raises(RuntimeError, match="deepcopy: only leaves"):
        copy.deepcopy(x.T)


def test_in_place_and_detached():
    x = dlcore.zeros(2, 3)
    assert x.copy_(np.arange(3)) is x and x.tolist() == [[0, 1, 2]] * 2
    assert x.fill_(2).tolist() == [[2] * 3] * 2 and x.zero_().tolist() == [[0] * 3] * 2
    y = dlcore.ones(2, requires_grad=True)
    y.data = dlcore.zeros(2)
    y.data[0] = 3
    assert y.tolist() == [3.0, 0.0] and y.requires_grad
    d = y.detach()
    d[1] = 4
    assert y.tolist() == [3.0, 4.0] and not d.requires_grad
    assert y.requires_grad_(False) is y and not y.requires_grad
    with pytest.raises(RuntimeError, match="requires_grad_"):
        dlcore.arange(3).requires_grad_()
    with pytest.raises(RuntimeError, match="only a leaf"):
        dlcore.ones(2, requires_grad=True).reshape(2).requires_grad_(False)


# ---- NumPy and DLPack --------------------------------------------------------------------------------------


def test_numpy_shares_memory():
    a = data(2, 3)
    x = dlcore.from_numpy(a)
    a[0, 0] = 9
    x[1, 1] = 8
    assert x[0, 0].item() == 9 and a[1, 1] == 8
    n = x.T.numpy()
    n[0, 1] = 7
    assert a[1, 0] == 7 and n.strides == a.T.strides
    assert np.asarray(x).ctypes.data == a.ctypes.data
    assert np.asarray(x, np.float32).dtype == np.float32
    assert not np.shares_memory(np.array(x), a)
    assert np.sin(dlcore.zeros(2)).tolist() == [0, 0]
    with pytest.raises(RuntimeError, match=r"requires grad; call detach\(\)"):
        dlcore.ones(2, requires_grad=True).numpy()


def test_tensor_copies():
    a = np.arange(3.0)
    x = dlcore.tensor(a)
    y = dlcore.tensor(x)
    a[0] = 9
    x[1] = 8
    assert x.tolist() == [0, 8, 2] and y.tolist() == [0, 1, 2]


def test_read_only_memory():
    a = np.arange(3.0)
    a.setflags(write=False)
    x = dlcore.from_numpy(a)
    assert not x.numpy().flags.writeable
    with pytest.raises(ValueError):
        x[0] = 1
    with pytest.raises(ValueError):
        x[[0]] = 1
    assert a.tolist() == [0, 1, 2]


def test_dlpack_with_numpy():
    x = dlcore.tensor(data(2, 3))
    n = np.from_dlpack(x)
    assert n.ctypes.data == x.data_ptr() and n.tolist() == x.tolist()
    y = dlcore.from_dlpack(np.arange(6.0).reshape(2, 3).T)
    assert y.shape == (3, 2) and y.tolist() == np.arange(6.0).reshape(2, 3).T.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_with_torch(torch, dtype):
    x = dlcore.tensor((data(2, 3) % 2).astype(dtype)).T
    t = torch.from_dlpack(x)
    assert t.data_ptr() == x.data_ptr() and tuple(t.stride()) == x.stride()
    same(x, t)
    back = dlcore.from_dlpack(t[1:])
    same(back, t[1:])
    assert back.data_ptr() == t[1:].data_ptr()
    del x
    assert t.shape == (3, 2) and back.shape == (2, 2)  # the memory lives on


def test_dlpack_errors():
    with pytest.raises(BufferError, match=r"detach\(\)"):
        np.from_dlpack(dlcore.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="__dlpack__"):
        dlcore.from_dlpack([1.0])


def test_exclusive_memory():
    x = F.clone(dlcore.ones(3))
    assert x.array.exclusive
    view = x[1:]
    assert not x.array.exclusive
    del view
    assert x.array.exclusive
    assert not dlcore.from_numpy(np.ones(3)).array.exclusive


# ---- einsum ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ji,jk->ki", [(3, 2), (3, 4)]),
        ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("bqhd,bkhd->bhqk", [(2, 4, 3, 5), (2, 6, 3, 5)]),
        ("i,i->", [(3,), (3,)]),
        ("i,j->ij", [(3,), (4,)]),
        ("i,j->ji", [(3,), (4,)]),
        ("ij->ji", [(2, 3)]),
        ("ba", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ij->j", [(2, 3)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("iji->j", [(3, 2, 3)]),
        ("ij,ij->ij", [(2, 3), (2, 3)]),
        ("ij,kl->", [(2, 3), (4, 5)]),
        ("...ij,...jk->...ik", [(5, 1, 2, 3), (4, 3, 2)]),
        ("...i,i", [(2, 3), (3,)]),
        ("ij...->j...", [(2, 3, 4)]),
        (" i j , j k -> i k ", [(2, 3), (3, 4)]),
        ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]),
        ("ab,b,a->ab", [(2, 3), (3,), (2,)]),
        ("bn,anm,bm->ba", [(2, 3), (5, 3, 4), (2, 4)]),
        ("ij,jk->ik", [(0, 3), (3, 4)]),
        ("ij,jk->ik", [(2, 0), (0, 4)]),
        (",->", [(), ()]),
    ],
)
def test_einsum(torch, equation, shapes):
    agree(
        torch,
        lambda *x: (dlcore if isinstance(x[0], dlcore.Tensor) else torch).einsum(equation, *x),
        *[data(*s) for s in shapes],
    )


def test_einsum_of_integers(torch):
    x = np.arange(6).reshape(2, 3)
    same(
        dlcore.einsum("ij,kj->ik", dlcore.tensor(x), dlcore.tensor(x)),
        torch.einsum("ij,kj->ik", torch.from_numpy(x), torch.from_numpy(x)),
    )


@pytest.mark.parametrize(
    "equation, shapes, match",
    [
        ("ij,jk->ik", [(2, 3)], "has 2 operands, got 1"),
        ("ij->ik", [(2, 3)], "distinct labels of the operands"),
        ("ij->ii", [(2, 3)], "distinct labels"),
        ("ijk->i", [(2, 3)], "must name each of the 2 axes"),
        ("i->i", [(2, 3)], "must name each of the 2 axes"),
        ("ij,jk->ik", [(2, 3), (4, 5)], "label 'j' must have one size, got 3 and 4"),
        ("ii->i", [(2, 3)], "repeated label"),
        ("i1->i", [(2, 3)], "labels must be letters"),
    ],
)
def test_einsum_errors(equation, shapes, match):
    with pytest.raises(ValueError, match=f"einsum: .*{match}"):
        dlcore.einsum(equation, *[dlcore.tensor(data(*s)) for s in shapes])
