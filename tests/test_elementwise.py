"""Promotion, edge values, gradients at kinks (against torch where installed), in-place operators, errors."""

import itertools

import numpy as np
import pytest

import dlcore
from dlcore import _C
from dlcore import functional as F

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]


def as_numpy_dtype(torch, t):
    return torch.empty(0, dtype=t).numpy().dtype


@pytest.mark.parametrize("op", ["add", "mul", "div", "maximum", "eq"])
def test_promotion_is_torchs(op):
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(DTYPES, DTYPES):
        for sa, sb in [((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())]:
            x, y = np.ones(sa, a), np.ones(sb, b)
            want = getattr(torch, op)(torch.tensor(x), torch.tensor(y))
            got = getattr(F, op)(dlcore.tensor(x), dlcore.tensor(y))
            assert got.dtype == as_numpy_dtype(torch, want.dtype), (a, b, sa, sb)
            np.testing.assert_array_equal(got.numpy(), want.numpy())
    if op == "maximum":
        return
    for a, number, left in itertools.product(DTYPES, [True, 2, 1.5], [False, True]):
        x = np.ones(2, a)
        ours, theirs = dlcore.tensor(x), torch.tensor(x)
        symbol = {"add": "__add__", "mul": "__mul__", "div": "__truediv__", "eq": "__eq__"}[op]
        if left and op != "eq":
            symbol = symbol.replace("__", "__r", 1)
        got, want = getattr(ours, symbol)(number), getattr(theirs, symbol)(number)
        assert got.dtype == as_numpy_dtype(torch, want.dtype), (a, number, left)
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)


def test_integer_division_has_the_divisors_sign():
    values = np.array([-7, -6, -1, 0, 1, 6, 7])
    for dtype in (np.int32, np.int64, np.float32, np.float64):
        for d in (-3, -1, 2, 3):
            x = dlcore.tensor(values.astype(dtype))
            np.testing.assert_array_equal((x // d).numpy(), values // d)
            np.testing.assert_array_equal((x % d).numpy(), values % d)
            np.testing.assert_array_equal(F.fmod(x, d).numpy(), np.fmod(values, d))
    with pytest.raises(ZeroDivisionError):
        dlcore.tensor([1, 2]) // dlcore.tensor([1, 0])
    lowest = dlcore.tensor(np.array([np.iinfo(np.int64).min]))
    assert (lowest % -1).item() == 0


@pytest.mark.parametrize("isa", _C.available_isas())
def test_nan_and_infinity(isa):
    _C.set_isa(isa)
    nan, inf = float("nan"), float("inf")
    x = dlcore.tensor([nan, inf, -inf, 0.0, -0.0])
    for f in (F.relu, F.exp, F.tanh, F.sigmoid, F.gelu, F.silu, F.log1p, F.sin, F.erf, F.softplus, F.mish):
        assert np.isnan(f(x).numpy()[0]), f
    np.testing.assert_array_equal(F.exp(x).numpy()[1:3], [inf, 0])
    np.testing.assert_array_equal(F.tanh(x).numpy()[1:3], [1, -1])
    assert np.isnan(F.maximum(x, 1.0 * dlcore.tensor([0.0, 0, 0, 0, nan])).numpy()[[0, 4]]).all()
    assert np.isnan(F.minimum(dlcore.tensor([1.0]), dlcore.tensor([nan])).item())
    assert np.isnan(F.clamp(x, -1, 1).numpy()[0])
    np.testing.assert_array_equal(F.isnan(x).numpy(), [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(F.isinf(x).numpy(), [0, 1, 1, 0, 0])
    np.testing.assert_array_equal(F.isfinite(x).numpy(), [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(F.sign(x).numpy(), [0, 1, -1, 0, 0])


@pytest.mark.parametrize(
    "name", ["relu", "relu6", "leaky_relu", "elu", "selu", "celu", "hardtanh", "hardswish", "hardsigmoid",
             "abs", "sign", "softplus", "threshold", "clamp", "softsign", "logsigmoid", "mish"],
)  # fmt: skip
def test_gradients_at_kinks_are_torchs(name):
    torch = pytest.importorskip("torch")
    x = np.array([-30.0, -6, -3, -1, -0.0, 0.0, 0.5, 1, 3, 6, 20, 21, 100])
    args = {"threshold": (0.5, 2.0), "clamp": (-1.0, 1.0)}.get(name, ())
    theirs = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    t = torch.tensor(x, requires_grad=True)
    y = theirs(t, *args)
    y.sum().backward()
    for isa in _C.available_isas():
        _C.set_isa(isa)
        ours = dlcore.tensor(x, requires_grad=True)
        z = getattr(F, name)(ours, *args)
        z.sum().backward()
        np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(
            ours.grad.numpy(), t.grad.numpy(), rtol=1e-7, atol=1e-13
        )  # its 1/6 is float32


def check_like_torch(f, *arrays):
    """Values and gradients of f(module, *tensors) here and in torch."""
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    ours = [dlcore.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y, z = f(torch, *theirs), f(dlcore, *ours)
    np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-12)
    seed = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(torch.tensor(seed))
    z.backward(seed)
    for a, b in zip(ours, theirs):
        if b.requires_grad:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_gradients_like_torchs(rng):
    x, y = rng.standard_normal((3, 4)), rng.standard_normal(4)
    x[0, 0] = y[0]
    zeros = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0]])
    ties = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    for f, *args in [
        (lambda t, a, b: t.maximum(a, b), x, y),
        (lambda t, a, b: t.minimum(a, b), x, y),
        (lambda t, a, b: a / b, x, y),
        (lambda t, a, b: (a.abs() + 0.1) ** b, x, y),
        (lambda t, a: a**2 + a**3 - 1 / a, x),
        (lambda t, a: 2 ** a, x),
        (lambda t, a: a**0, zeros),
        (lambda t, a: a % 0.7, x),
        (lambda t, a: t.clamp(a, min=-0.5), x),
        (lambda t, a, b: t.clamp(a, b, b + 0.5), x, y),
        (lambda t, a: t.amax(a, 1), ties),
        (lambda t, a: t.amin(a), ties),
        (lambda t, a: t.max(a), ties),
        (lambda t, a: t.max(a, 1)[0], ties),
        (lambda t, a: t.min(a, 0, keepdim=True).values, ties),
        (lambda t, a: t.prod(a), zeros),
        (lambda t, a: t.prod(a, 1), zeros),
        (lambda t, a: t.cumprod(a, 1), zeros),
        (lambda t, a: t.cumprod(a, 0), x),
        (lambda t, a: t.cumsum(a, 1), x),
        (lambda t, a: t.var(a), x),
        (lambda t, a: t.var(a, 1, correction=0), x),
        (lambda t, a: t.std(a, (0, 1), keepdim=True), x),
        (lambda t, a: a.std(0), np.ones((3, 2))),
        (lambda t, a: t.norm(a), x),
        (lambda t, a: t.norm(a, dim=1), zeros[:, :2] * 0),
        (lambda t, a: t.norm(a, 1, 1), x),
        (lambda t, a: t.norm(a, float("inf"), 1), x),
        (lambda t, a: t.norm(a, 3.0, 0, True), x),
        (lambda t, a: a.mean((0,), keepdim=True), x),
        (lambda t, a: a.masked_fill(a > 0, -1.0), x),
        (lambda t, a, b: t.where(a > 0, a, b), x, y),
        (lambda t, a, b: t.atan2(a, b), x, y),
        (lambda t, a: a.sum() * a, x),
        (lambda t, a: a.T + a[:, :3], x[:, :3]),
    ]:  # fmt: skip
        check_like_torch(f, *args)


def test_reductions_of_integers_and_bools():
    x = dlcore.tensor(np.array([[200, 100], [3, 4]], np.uint8))
    assert x.sum().dtype == np.int64 and x.sum().item() == 307
    assert x.prod(1).tolist() == [20000, 12]
    assert dlcore.tensor([True, True]).sum().item() == 2
    assert dlcore.tensor([1, 2, 3]).cumsum(0).tolist() == [1, 3, 6]
    assert x.max().item() == 200 and x.max().dtype == np.uint8
    assert x.amin(0).tolist() == [3, 4]
    assert dlcore.tensor(np.array([-5, 3], np.int32)).amin().item() == -5
    with pytest.raises(TypeError, match="mean: x must be float32 or float64"):
        x.mean()


def test_any_and_all():
    x = dlcore.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert x.any().item() is True and x.all().item() is False
    assert x.any(1).tolist() == [True, False]
    empty = dlcore.tensor(np.zeros((0,), bool))
    assert empty.any().item() is False and empty.all().item() is True
    assert x.count_nonzero().item() == 1


def test_nan_wins_extremes_and_first_wins_ties():
    nan = float("nan")
    x = dlcore.tensor([[1.0, nan, nan], [3.0, 3.0, 2.0]])
    assert x.argmax(1).tolist() == [1, 0] and x.argmin(1).tolist() == [1, 2]
    assert np.isnan(x.amax(1).numpy()[0]) and np.isnan(x.max().item())
    _, indices = x.max(dim=0)
    assert indices.tolist() == [1, 0, 0]
    long = np.zeros(1000, np.float32)
    long[[300, 700]] = 5
    assert dlcore.tensor(long).argmax().item() == 300
    long[500] = nan
    assert dlcore.tensor(long).argmin().item() == 500


def test_float32_sums_are_accurate():
    n = 1_000_000
    x = np.full(n, 0.1, np.float32)
    exact = float(x.astype(np.float64).sum())
    assert abs(dlcore.kernels.sum(x) - exact) <= 2e-7 * exact
    tall = np.full((n // 10, 10), 0.1, np.float32)
    assert np.abs(dlcore.kernels.sum(tall, axis=0) - exact / 10).max() <= 2e-6 * exact / 10


def test_in_place_operators_write_into_their_own_memory():
    x = dlcore.tensor([1.0, 2.0, 3.0])
    view = x[1:]
    pointer = x.array.data_ptr
    x += 1
    x *= dlcore.tensor([2.0, 2.0, 2.0])
    assert x.array.data_ptr == pointer and view.tolist() == [6.0, 8.0]
    view -= 6
    assert x.tolist() == [4.0, 0.0, 2.0]
    a = np.arange(9.0).reshape(3, 3)
    square = dlcore.tensor(a)
    square += square.T
    np.testing.assert_array_equal(square.numpy(), a + a.T)
    ints = dlcore.tensor([1, 2])
    with pytest.raises(TypeError, match="cannot be stored in int64"):
        ints += 0.5
    with pytest.raises(ValueError, match="must have the shape of a"):
        dlcore.tensor([1.0]).add_(dlcore.tensor([1.0, 2.0]))
    leaf = dlcore.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        leaf += 1
    with dlcore.no_grad():
        leaf += 1
    assert leaf.tolist() == [2.0]


def test_in_place_on_the_tape():
    x = dlcore.tensor([-1.0, 2.0], requires_grad=True)
    y = x * 3
    y += x
    y = F.relu(y, inplace=True)
    y.sum().backward()
    assert y.tolist() == [0.0, 8.0] and x.grad.tolist() == [0.0, 4.0]


def test_errors_name_what_must_hold():
    x = dlcore.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="broadcast"):
        x + dlcore.tensor([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="operand"):
        x + "a"
    with pytest.raises(TypeError, match="operand"):
        x * None
    with pytest.raises(TypeError, match="bool"):
        dlcore.tensor([True]) - dlcore.tensor([True])
    with pytest.raises(ValueError, match="negative integer powers"):
        dlcore.tensor([2]) ** -1
    with pytest.raises(TypeError, match="bool tensors"):
        x & x
    with pytest.raises(ValueError, match="min and max"):
        x.clamp()
    with pytest.raises(TypeError, match="mask must be bool"):
        x.masked_fill(x, 0)
    with pytest.raises(IndexError):
        x.sum(3)
    with pytest.raises(ValueError, match="must not be empty"):
        dlcore.tensor(np.zeros((0,))).max()


def test_numpy_and_numbers_on_either_side():
    x = dlcore.tensor([1.0, 2.0])
    for y in (x + np.array([1, 1], np.float32), np.float32(1) + x, 1 + x, np.ones(2, np.float32) + x):
        assert isinstance(y, dlcore.Tensor) and y.tolist() == [2.0, 3.0] and y.dtype == np.float32
    assert (2 - x).tolist() == [1.0, 0.0] and (2 / x).tolist() == [2.0, 1.0] and (2**x).tolist() == [2.0, 4.0]
    assert (x > 1).tolist() == [False, True] and (x == 1).tolist() == [True, False]
    assert (-x).tolist() == [-1.0, -2.0] and abs(-x).tolist() == [1.0, 2.0] and (5 % x).tolist() == [0.0, 1.0]
    mask = (x > 0) & ~(x > 1)
    assert mask.tolist() == [True, False]


def test_results_keep_channels_last():
    x = _C.permute(_C.from_numpy(np.ones((2, 5, 6, 3), np.float32)), [0, 3, 1, 2])
    for y in (_C.relu(x), _C.add(x, x), _C.mul(x, _C.from_numpy(np.ones((3, 1, 1), np.float32)))):
        assert y.strides == x.strides


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_too_large_for_the_caches_equal_small_ones(dtype, rng):
    """16 MB and more are streamed past the caches: same bits, every element, at any number of threads."""
    n = (16 << 20) // np.dtype(dtype).itemsize + 1237  # not a multiple of any piece
    x = rng.standard_normal(n).astype(dtype)
    x[[0, n // 2, n - 1]] = np.nan
    dy = rng.standard_normal(n).astype(dtype)
    k = 100_003

    def pieces(f, *arrays):
        return np.concatenate([f(*(a[i : i + k] for a in arrays)) for i in range(0, n, k)])

    K = dlcore.kernels
    for threads in (1, 3):
        dlcore.set_num_threads(threads)
        for f, arrays in (
            (K.relu, (x,)),
            (K.exp, (x,)),
            (K.relu_backward, (dy, x)),
            (K.tanh_backward, (dy, x)),
        ):
            assert f(*arrays).tobytes() == pieces(f, *arrays).tobytes()
