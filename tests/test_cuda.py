"""CUDA: what a machine without a device can check (launch geometry, messages, the table), and the OpCases on
a device."""

import numpy as np
import pytest

import dlcore
from dlcore import _C
from tests.cases import all_cases
from tests.test_kernels import EPS, as_dtype, error, outputs

FILLED = {
    "copy", "fill", "binary", "compare", "where", "unary", "unary_backward", "matmul", "softmax_forward",
    "softmax_backward", "max_pool_forward", "max_pool_backward", "avg_pool_forward", "avg_pool_backward",
}  # fmt: skip
no_device = pytest.mark.skipif(not dlcore.cuda.is_available(), reason=dlcore.cuda.unavailable_reason() or "-")


def test_the_table_has_what_it_says():
    assert set(dlcore.cuda.kernels()) == (FILLED if _C.cuda_built() else set())
    assert set(_C.kernel_names()) >= FILLED


@pytest.mark.skipif(dlcore.cuda.is_available(), reason="there is a device")
def test_without_a_device_everything_says_why():
    reason = dlcore.cuda.unavailable_reason()
    assert ("driver" in reason or "device" in reason) if _C.cuda_built() else "no CUDA kernels" in reason
    assert dlcore.cuda.device_count() == 0
    for call in (
        lambda: _C.to_device(_C.from_numpy(np.ones(3)), "cuda"),
        lambda: dlcore.tensor([1.0], device="cuda"),
        lambda: _C.empty((2,), np.float32, "cuda:1"),
        dlcore.cuda.synchronize,
        dlcore.cuda.get_device_name,
    ):
        with pytest.raises(dlcore.DeviceError, match=r"driver|device|no CUDA kernels"):
            call()


@pytest.mark.parametrize("n", [0, 1, 255, 256, 257, 10**6, 2**31, 2**40])
def test_items_are_covered_and_grids_are_legal(n):
    p = _C.cuda_plan_items(n)
    assert p["blocks"] == min(
        -(-n // p["threads"]), 65536
    )  # none for nothing; the grid-stride loop does the rest
    assert p["threads"] % 32 == 0


@pytest.mark.parametrize(("rows", "n"), [(0, 5), (5, 0), (1, 1), (10**6, 10), (3, 127), (3, 128), (7, 50257)])
def test_rows_get_whole_warps(rows, n):
    p = _C.cuda_plan_rows(rows, n)
    assert p["blocks"] == (min(rows, 65536) if n else 0)
    assert p["threads"] in (32, 64, 128, 256, 512)  # a power of two: the block's reduction is a tree
    assert p["threads"] == 32 or p["threads"] <= 2 * n


@pytest.mark.parametrize(
    ("m", "n", "batch", "size", "tile"),
    [
        (4096, 4096, 1, 4, 128),
        (4096, 4096, 1, 8, 64),
        (128, 128, 1, 4, 64),
        (128, 128, 200, 4, 128),
        (1, 1, 1, 4, 64),
        (0, 5, 1, 4, 64),
        (5, 0, 1, 4, 64),
        (5, 5, 0, 4, 64),
        (2**31, 7, 1, 4, 128),
    ],
)
def test_matmul_tiles_cover_c(m, n, batch, size, tile):
    p = _C.cuda_plan_matmul(m, n, batch, size)
    assert p["tile"] == tile
    assert p["tiles"] == -(-m // tile) * -(-n // tile) * batch
    assert p["blocks"] == min(p["tiles"], 65536)
    assert 2 * p["depth"] * (tile + 1) * size <= 48 * 1024  # static shared memory


CASES = [c for c in all_cases() if c.functional is not None and set(c.kernels) <= FILLED]


def to_cuda(args):
    return tuple(
        dlcore.Tensor(_C.to_device(_C.from_numpy(np.ascontiguousarray(a)), "cuda"))
        if isinstance(a, np.ndarray)
        else a
        for a in args
    )


@no_device
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_device_agrees_with_the_twin(case, rng):
    for dtype in case.dtypes:
        for sample in case.samples(rng) + (case.large(rng) if case.large else []):
            host = as_dtype(sample.args, dtype)
            args = to_cuda(host)
            for i in case.diff:
                if i < len(args) and isinstance(args[i], dlcore.Tensor) and args[i].dtype.kind == "f":
                    args[i].requires_grad = True
            ys = outputs(case.functional(*args, **sample.kwargs))
            exact = outputs(case.reference(*as_dtype(host, np.float64), **sample.kwargs))
            naive = outputs(case.reference(*as_dtype(host, np.float32), **sample.kwargs))
            for y, e, n in zip(ys, exact, naive):
                got = _C.to_device(y.array, "cpu").numpy()
                if np.asarray(e).dtype.kind != "f":
                    np.testing.assert_array_equal(got, e)
                    continue
                e = np.asarray(e, np.float64)
                allowed = 3 * error(n, e) * EPS[dtype] / EPS[np.float32] + 16 * EPS[dtype] + case.rtol
                assert error(got, e) <= allowed, f"{case.name}[{sample.id}]"
            if sample.grad and dtype is np.float64:
                check_gradients(case, host, args, sample.kwargs, ys, rng)


def check_gradients(case, host, args, kwargs, ys, rng):
    """The device's gradients against the CPU's, as far as the backward's kernels are on the device."""
    leaves = list(host)
    for i, a in enumerate(host):
        if isinstance(a, np.ndarray):
            leaves[i] = dlcore.tensor(a, requires_grad=i in case.diff and a.dtype.kind == "f")
    for y, want in zip(ys, outputs(case.functional(*leaves, **kwargs))):
        if y.dtype.kind != "f":
            continue
        seed = rng.standard_normal(y.shape)
        want.backward(seed, retain_graph=True)
        try:
            y.backward(seed, retain_graph=True)
        except dlcore.DeviceError as e:
            assert "no CUDA kernel" in str(e)
            return
    for ours, theirs in zip(args, leaves):
        if isinstance(ours, dlcore.Tensor) and ours.grad is not None:
            got = _C.to_device(ours.grad.array, "cpu").numpy()
            np.testing.assert_allclose(got, theirs.grad.numpy(), rtol=1e-10, atol=1e-12)
