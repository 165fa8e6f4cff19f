"""Keras 3 on JAX as an oracle: the same layer on both sides, with the same weights.

`both(make, ...)` compares weights, outputs, masks, gradients, state after a training call, shapes and
configurations. A test that uses it starts with `K3 = keras_oracle.keras()`, which skips with a reason where
Keras or JAX is absent.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import warnings
from typing import Any

import numpy as np
import pytest

import dlcore
from dlcore import keras as K


def keras() -> Any:
    for name in ("keras", "jax"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name}, the oracle, is not installed")
    os.environ["KERAS_BACKEND"] = "jax"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("keras")


def plain(x: Any) -> Any:
    """A configuration as JSON has it, without what one side alone writes."""
    if isinstance(x, dict):
        return {
            k: plain(v) for k, v in x.items() if k not in ("quantization_config", "build_config", "optional")
        }
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, np.generic):
        return x.item()
    return json.loads(json.dumps(x, default=str))


def same_config(ours: Any, theirs: Any) -> None:
    """Ours has every key of theirs, with the same value; what is only ours is unset."""
    a, b = plain(ours.get_config()), plain(theirs.get_config())
    for k, v in b.items():
        if k in ("name",):
            continue
        assert k in a or v is None, f"{type(ours).__name__}: the configuration lacks {k}={v}"
        if k in a:
            assert _without_names(a[k]) == _without_names(v), (
                f"{type(ours).__name__}: {k} is {a[k]}, Keras has {v}"
            )
    # Each side reads the other's.
    type(theirs).from_config(json.loads(json.dumps(ours.get_config())))
    again = type(ours).from_config(json.loads(json.dumps(theirs.get_config(), default=str)))
    assert set(again.get_config()) == set(ours.get_config())


def _without_names(x: Any) -> Any:
    if isinstance(x, dict):
        return {
            k: _without_names(v)
            for k, v in x.items()
            if k not in ("name", "input_axes", "output_axes", "registered_name")
            or (k == "registered_name" and v)
        }
    return [_without_names(v) for v in x] if isinstance(x, list) else x


def flat(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for k in sorted(tree) for leaf in flat(tree[k])]
    if isinstance(tree, (list, tuple)):
        return [leaf for v in tree for leaf in flat(v)]
    return [] if tree is None else [tree]


def array(x: Any) -> Any:
    return np.asarray(x.detach().numpy() if hasattr(x, "detach") else x)


def close(ours: Any, theirs: Any, rtol: float, what: str, scale: float | None = None) -> None:
    a, b = array(ours), array(theirs)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, Keras has {b.shape}"
    if b.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    if scale is None:
        scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale + 1e-7, err_msg=what)


def weights_like(theirs: Any, rng: Any) -> list[Any]:
    out = []
    for w in theirs.weights:
        v = rng.standard_normal(w.shape).astype("float32") * 0.5
        if "int" in str(w.dtype):
            v = np.zeros(w.shape, "int32")
        elif "variance" in w.name or "stddev" in w.name:
            v = np.abs(v) + 0.5
        out.append(v)
    return out


def _call(layer: Any, inputs: Any, kwargs: dict[str, Any]) -> Any:
    return layer(*inputs, **kwargs)


def both(
    make: Any,
    *inputs: Any,
    training: bool | None = None,
    rtol: float = 2e-5,
    grad: bool = True,
    config: bool = True,
    rng: Any = None,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """make(K) on both sides; inputs are arrays, or lists of them; returns the two layers."""
    K3 = keras()
    import jax

    rng = rng or np.random.default_rng(0)
    theirs, ours = make(K3), make(K)
    if config:
        same_config(ours, theirs)
    takes = theirs._call_has_training_arg
    if training is not None and takes:
        kwargs = {**kwargs, "training": training}
    to_jax = lambda x: [to_jax(v) for v in x] if isinstance(x, list) else jax.numpy.asarray(x)  # noqa: E731
    jax_inputs = [to_jax(x) for x in inputs]
    _call(theirs, jax_inputs, kwargs)  # builds
    leaves: list[Any] = []

    def tensor(x: Any) -> Any:
        if isinstance(x, list):
            return [tensor(v) for v in x]
        t = dlcore.tensor(x, requires_grad=x.dtype.kind == "f")
        leaves.append(t)
        return t

    mine = [tensor(x) for x in inputs]
    _call(ours, mine, kwargs)
    assert [tuple(w.shape) for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    values = weights_like(theirs, rng)
    theirs.set_weights(values)
    ours.set_weights(values)
    tv = [v.value for v in theirs.trainable_variables]
    ntv = [v.value for v in theirs.non_trainable_variables]
    assert len(ours.trainable_weights) == len(tv)
    is_float = [x.dtype.kind == "f" for x in flat(list(inputs))]

    def f(tv: Any, xs: Any) -> Any:
        given = iter(xs)
        fill = lambda x: [fill(v) for v in x] if isinstance(x, list) else next(given)  # noqa: E731
        return theirs.stateless_call(tv, ntv, *[fill(x) for x in inputs], **kwargs)

    def rebuild(floats: Any) -> list[Any]:
        g = iter(floats)
        return [next(g) if is_f else jax.numpy.asarray(x) for is_f, x in zip(is_float, flat(list(inputs)))]

    floats = [jax.numpy.asarray(x) for x, is_f in zip(flat(list(inputs)), is_float) if is_f]
    want, new = f(tv, rebuild(floats))
    got = _call(ours, mine, kwargs)
    outs, wants = flat(got), flat(want)
    assert len(outs) == len(wants), f"{len(outs)} outputs, Keras has {len(wants)}"
    for i, (a, b) in enumerate(zip(outs, wants)):
        close(a, b, rtol, f"output {i}")
    for a, b in zip(ours.non_trainable_weights, new):
        if "seed" not in a.name:
            close(a.values(), b, rtol, f"state {a.name}")
    shape = [x.shape if not isinstance(x, list) else [v.shape for v in x] for x in inputs]
    if len(inputs) == 1:
        a, b = ours.compute_output_shape(shape[0]), theirs.compute_output_shape(shape[0])
        assert _known(_tuples(a), _tuples(b)) == _tuples(b), f"compute_output_shape {a}, Keras has {b}"
    if not grad or not (tv or floats):
        return ours, theirs
    seeds = [rng.standard_normal(np.shape(b)).astype("float32") for b in wants]

    def total(tv: Any, floats: Any) -> Any:
        y, _ = f(tv, rebuild(floats))
        return sum((a * s).sum() for a, s in zip(flat(y), seeds) if a.dtype == "float32")

    gw, gx = jax.grad(total, argnums=(0, 1))(tv, floats)
    loss = None
    for a, s in zip(outs, seeds):
        if a.requires_grad:
            term = (a * dlcore.tensor(s)).sum()
            loss = term if loss is None else loss + term
    assert loss is not None, "Keras has gradients, ours has none"
    loss.backward()
    # A gradient that is 0 but for rounding is measured by the others.
    scale = max(float(np.abs(g).max(initial=0.0)) for g in [*gw, *gx])
    float_leaves = [t for t in leaves if t.dtype.kind == "f"]
    for i, (t, g) in enumerate(zip(float_leaves, gx)):
        a = np.zeros(t.shape, "float32") if t.grad is None else t.grad
        close(a, g, 10 * rtol, f"gradient of input {i}", scale)
    for v, g in zip(ours.trainable_weights, gw):
        a = np.zeros(v.shape, "float32") if v.grad is None else v.grad
        close(a, g, 10 * rtol, f"gradient of {v.path}", scale)
    return ours, theirs


def _known(a, b):
    """The shape a, None where Keras' b leaves a size open (EinsumDense's output_shape with None)."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(_known(x, y) for x, y in zip(a, b))
    return None if b is None else a


def _tuples(x: Any) -> Any:
    if isinstance(x, (list, tuple)) and all(n is None or isinstance(n, (int, np.integer)) for n in x):
        return tuple(x)
    return [_tuples(v) for v in x]
