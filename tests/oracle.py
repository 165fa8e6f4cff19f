"""torch as an oracle: the same call on both sides, outputs, gradients and refusals compared.

`space(...)` draws combinations of argument values, `both(...)` compares one call of a function,
`both_modules(...)` one module with its state dict in both directions. A test that uses them starts with
`torch = oracle.torch()`, which skips with a reason where torch is absent.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import dlcore

RTOL = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 2e-4}


def torch() -> Any:
    return pytest.importorskip("torch", reason="torch 2.13.0, the oracle, is not installed")


def space(seed: str, count: int, **choices: Sequence[Any]) -> list[Any]:
    """pytest parameters, each a dict: `count` different draws from the product of the choices, or all of it.
    The first draw takes every first choice, the defaults. The same draws in every run."""
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    names, values = list(choices), list(choices.values())
    total = int(np.prod([len(v) for v in values]))
    if total <= count:
        picks = list(itertools.product(*[range(len(v)) for v in values]))
    else:
        seen = {(0,) * len(values): None}
        while len(seen) < count:
            seen[tuple(int(rng.integers(len(v))) for v in values)] = None
        picks = list(seen)
    out = []
    for pick in picks:
        d = {n: v[i] for n, v, i in zip(names, values, pick)}
        out.append(pytest.param(d, id=",".join(f"{n}={v}" for n, v in d.items()).replace(" ", "")[:120]))
    return out


def _map(f: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)(_map(f, v) for v in x)
    if isinstance(x, dict):
        return {k: _map(f, v) for k, v in x.items()}
    return f(x)


def _flat(y: Any) -> list[Any]:
    if isinstance(y, (list, tuple)):
        return [t for v in y for t in _flat(v)]
    if isinstance(y, dict):
        return [t for v in y.values() for t in _flat(v)]
    if hasattr(y, "data") and hasattr(y, "batch_sizes"):  # PackedSequence
        return [y.data]
    return [] if y is None else [y]


def _as_numpy(t: Any) -> np.ndarray[Any, Any]:
    return np.asarray(t.detach().numpy() if hasattr(t, "detach") else t)


def _sides(tree: Any, dtype: Any, leaves: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The tree of arguments for dlcore and for torch: floating ndarrays become leaves of `dtype`, the others
    plain tensors, a NumPy dtype torch's."""
    th = torch()
    names = {np.float32: th.float32, np.float64: th.float64, np.int64: th.int64, np.int32: th.int32}
    made: dict[int, tuple[Any, Any]] = {}

    def pair(x: Any) -> tuple[Any, Any]:
        if isinstance(x, np.ndarray):
            if id(x) not in made:
                floating = x.dtype.kind == "f"
                a = x.astype(dtype) if floating else x
                ours = dlcore.tensor(a, requires_grad=floating)
                theirs = th.tensor(a, requires_grad=floating)
                made[id(x)] = (ours, theirs)
                if floating:
                    leaves.append((ours, theirs))
            return made[id(x)]
        if isinstance(x, type) and x in names:
            return x, names[x]
        return x, x

    return _map(lambda x: pair(x)[0], tree), _map(lambda x: pair(x)[1], tree)


def close(ours: Any, theirs: Any, rtol: float, what: str) -> None:
    """Equal shapes and dtypes; |ours - theirs| <= rtol (max |theirs| + |theirs|); NaN, infinity in place."""
    a, b = _as_numpy(ours), _as_numpy(theirs)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, torch has {b.shape}"
    assert a.dtype == b.dtype, f"{what}: dtype {a.dtype}, torch has {b.dtype}"
    if b.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale + 1e-30, err_msg=what)


def _backward(ours: Any, theirs: Any, leaves: list[tuple[Any, Any]], rtol: float) -> None:
    """Seeds every floating output that requires a gradient alike, and compares the leaves' gradients."""
    rng = np.random.default_rng(7)
    total_a = total_b = None
    for a, b in zip(_flat(ours), _flat(theirs)):
        if not getattr(b, "requires_grad", False):
            continue
        assert a.requires_grad, "torch's output requires a gradient, ours does not"
        seed = np.asarray(rng.standard_normal(tuple(b.shape)), _as_numpy(b).dtype)
        sa, sb = (a * dlcore.tensor(seed)).sum(), (b * torch().tensor(seed)).sum()
        total_a = sa if total_a is None else total_a + sa
        total_b = sb if total_b is None else total_b + sb
    if total_b is None:
        return
    total_a.backward()
    total_b.backward()
    for i, (a, b) in enumerate(leaves):
        if b.grad is None:
            assert a.grad is None or not np.any(a.grad.numpy()), f"leaf {i}: torch has no gradient"
            continue
        if a.grad is None:
            assert not np.any(b.grad.numpy()), f"leaf {i}: no gradient, torch has one"
            continue
        close(a.grad, b.grad, rtol, f"gradient of leaf {i}")


def both(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *args: Any,
    dtype: Any = np.float64,
    rtol: float | None = None,
    grad: bool = True,
    **kwargs: Any,
) -> None:
    """ours(*args, **kwargs) beside theirs: where torch raises, so must we (and the other way round); else
    equal outputs and, with `grad`, equal gradients of every floating ndarray among the arguments."""
    leaves: list[tuple[Any, Any]] = []
    (a_args, a_kw), (b_args, b_kw) = _sides((args, kwargs), dtype, leaves)
    _compare(lambda: ours(*a_args, **a_kw), lambda: theirs(*b_args, **b_kw), leaves, dtype, rtol, grad)


def _compare(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    leaves: list[tuple[Any, Any]],
    dtype: Any,
    rtol: float | None,
    grad: bool,
) -> None:
    tol = RTOL[np.dtype(dtype)] if rtol is None else rtol
    try:
        b = theirs()
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, NotImplementedError) as e:
        with pytest.raises((RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)):
            ours()
            pytest.fail(f"torch raises {type(e).__name__}: {e}")
        return
    a = ours()
    fa, fb = _flat(a), _flat(b)
    assert len(fa) == len(fb), f"{len(fa)} outputs, torch has {len(fb)}"
    for i, (x, y) in enumerate(zip(fa, fb)):
        close(x, y, tol, f"output {i}")
    if grad:
        _backward(a, b, leaves, 10 * tol)


def both_modules(
    ours: Any,
    theirs: Any,
    *args: Any,
    dtype: Any = np.float64,
    rtol: float | None = None,
    grad: bool = True,
    call: Callable[[Any, Any], Any] | None = None,
    **kwargs: Any,
) -> None:
    """Two constructed modules: torch's state dict loads into ours and ours into torch's, strictly; the names
    come in the same order; then outputs, the gradients of inputs and parameters, and the buffers after the
    call agree. `call(module, args)` replaces module(*args, **kwargs)."""
    th = torch()
    theirs = theirs.to({np.float32: th.float32, np.float64: th.float64}[dtype])
    ours = ours.to(dtype)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: v.numpy() for k, v in state.items()})
    theirs.load_state_dict({k: th.tensor(np.array(v)) for k, v in ours.state_dict().items()})
    leaves: list[tuple[Any, Any]] = []
    (a_args, a_kw), (b_args, b_kw) = _sides((args, kwargs), dtype, leaves)
    theirs_named = dict(theirs.named_parameters())
    assert list(theirs_named) == [n for n, _ in ours.named_parameters()]
    leaves += [(p, theirs_named[n]) for n, p in ours.named_parameters()]
    if call is None:
        _compare(lambda: ours(*a_args, **a_kw), lambda: theirs(*b_args, **b_kw), leaves, dtype, rtol, grad)
    else:
        _compare(lambda: call(ours, a_args), lambda: call(theirs, b_args), leaves, dtype, rtol, grad)
    buffers = dict(theirs.named_buffers())
    for n, b in ours.named_buffers():
        close(b, buffers[n], RTOL[np.dtype(dtype)], f"buffer {n}")
