"""The tape: `record` is its only entry, `backward` walks it.

A recorded operation is a closure around C++ kernels, from the gradients of its outputs to those of its
inputs. Nothing is kept when nothing needs a gradient. The walk goes by descending sequence number, which is a
topological order, so it neither recurses nor sorts: graphs of any depth work.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator
from typing import Any, overload

from dlcore import _C
from dlcore.tensor import Backward, Node, Tensor, as_array

__all__ = [
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "record",
    "set_grad_enabled",
]


class _Mode(threading.local):
    enabled = True


_mode = _Mode()
_next = itertools.count(1).__next__


def is_grad_enabled() -> bool:
    return _mode.enabled


class _Switch(ContextDecorator):
    """Sets the mode on entry and restores it on exit; as a decorator, around every call."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.stack: list[bool] = []

    def __enter__(self) -> _Switch:
        self.stack.append(_mode.enabled)
        _mode.enabled = self.mode
        return self

    def __exit__(self, *_: object) -> None:
        _mode.enabled = self.stack.pop()

    def _recreate_cm(self) -> _Switch:
        return _Switch(self.mode)  # a decorated function may recurse, or run in many threads


class set_grad_enabled(_Switch):
    """Turns recording on or off in this thread: at once when called, until its end as a context, or as a
    decorator.

    >>> import dlcore
    >>> with dlcore.set_grad_enabled(False):
    ...     dlcore.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self.before = _mode.enabled
        _mode.enabled = self.mode

    def __enter__(self) -> set_grad_enabled:
        self.stack.append(self.before)
        _mode.enabled = self.mode
        return self

    def __call__(self, func: Any) -> Any:
        _mode.enabled = self.before
        return super().__call__(func)


class no_grad(_Switch):
    """Nothing inside is recorded: `with dlcore.no_grad():`, `@dlcore.no_grad()` or `@dlcore.no_grad`.

    >>> import dlcore
    >>> x = dlcore.ones(2, requires_grad=True)
    >>> with dlcore.no_grad():
    ...     x.reshape(1, 2).requires_grad
    False
    """

    def __new__(cls, func: Callable[..., Any] | None = None) -> Any:
        return object.__new__(cls) if func is None else cls()(func)

    def __init__(self, func: Callable[..., Any] | None = None) -> None:
        super().__init__(False)


class enable_grad(_Switch):
    """Records again inside `no_grad`."""

    def __new__(cls, func: Callable[..., Any] | None = None) -> Any:
        return object.__new__(cls) if func is None else cls()(func)

    def __init__(self, func: Callable[..., Any] | None = None) -> None:
        super().__init__(True)


inference_mode = no_grad


@overload
def record(data: _C.Array, inputs: tuple[Tensor, ...], backward: Backward) -> Tensor: ...
@overload
def record(
    data: tuple[_C.Array, ...], inputs: tuple[Tensor, ...], backward: Backward
) -> tuple[Tensor, ...]: ...
def record(data: Any, inputs: tuple[Tensor, ...], backward: Backward) -> Any:
    """Wraps an op's result and, where a gradient is needed, puts the op on the tape.

    `backward(*grads, needs)` gets one Array (or None) an output and a tuple of bools, one an input; it
    returns one Array (or None) an input, of the input's own shape. Outputs that are not floating-point carry
    no gradient.
    """
    single = not isinstance(data, tuple)
    arrays = (data,) if single else data
    if not _mode.enabled or not any([x.requires_grad for x in inputs]):  # noqa: C419 (faster)
        out = tuple([Tensor(a) for a in arrays])
        return out[0] if single else out
    needs = tuple([x.requires_grad for x in inputs])
    node = Node(backward.__qualname__, inputs, needs, backward, len(arrays), _next())
    outs = []
    for i, a in enumerate(arrays):
        t = Tensor(a, a.dtype.kind == "f")
        if t.requires_grad:
            t._node = node
            t._index = i
        outs.append(t)
    return outs[0] if single else tuple(outs)


def _seed(t: Tensor, grad: Any) -> _C.Array:
    if grad is None:
        if t.array.size != 1:
            raise RuntimeError(
                f"backward: a gradient can be created only for a scalar, got shape {t.shape}; pass grad="
            )
        return _C.full(t.shape, 1.0, t.dtype, t.device)
    g = as_array(grad, t.dtype)
    if g.shape != t.shape:
        raise RuntimeError(
            f"backward: grad must have the shape of the tensor, got grad={g.shape}, tensor={t.shape}"
        )
    return _C.to_device(g, t.device)


def _check(node: Node, i: int, x: Tensor, g: _C.Array) -> None:
    if g.shape != x.shape or g.dtype != x.dtype:
        raise RuntimeError(
            f"backward: {node.name} must give input {i} a gradient of its own shape and dtype, got "
            f"gradient={g.shape} {g.dtype}, input={x.shape} {x.dtype}"
        )


def _walk(
    roots: Sequence[tuple[Tensor, _C.Array]], retain_graph: bool, targets: set[int] | None
) -> dict[int, tuple[Tensor, _C.Array]]:
    """(tensor, gradient) by id, for the leaves that require one (or, with `targets`, for those alone)."""
    pending: dict[int, list[_C.Array | None]] = {}
    nodes: dict[int, Node] = {}
    heap: list[int] = []
    found: dict[int, tuple[Tensor, _C.Array]] = {}

    def give(t: Tensor, g: _C.Array) -> None:
        node = t._node
        if (node is None or t._retains_grad) if targets is None else id(t) in targets:
            old = found.get(id(t))
            found[id(t)] = (t, g if old is None else _C.add(old[1], g))
        if node is None:
            return
        slots = pending.get(node.seq)
        if slots is None:
            pending[node.seq] = slots = [None] * node.n_outputs
            nodes[node.seq] = node
            heapq.heappush(heap, -node.seq)
        before = slots[t._index]
        slots[t._index] = g if before is None else _C.add(before, g)

    for t, g in roots:
        give(t, g)
    while heap:
        seq = -heapq.heappop(heap)
        node = nodes.pop(seq)
        grads = pending.pop(seq)
        if node.backward is None:
            raise RuntimeError(
                f"backward: the graph of {node.name} has been freed; "
                "call backward(retain_graph=True) the first time"
            )
        results = node.backward(*grads, node.needs)
        if len(results) != len(node.inputs):
            raise RuntimeError(
                f"backward: {node.name} must give one gradient for each input, "
                f"got {len(results)} for {len(node.inputs)}"
            )
        for i, (x, need, dx) in enumerate(zip(node.inputs, node.needs, results)):
            if need and dx is not None:
                _check(node, i, x, dx)
                give(x, dx)
        if not retain_graph:
            node.backward = None
            node.inputs = ()
    return found


def _baseline() -> int:
    g = object()
    return sys.getrefcount(g)


_ALONE = (
    _baseline()
)  # what getrefcount says of an object that one local variable holds: 2, or 1 from Python 3.14 on


def _own(found: dict[int, tuple[Tensor, _C.Array]]) -> Iterator[tuple[Tensor, _C.Array]]:
    """Each gradient in memory that nothing else holds: a gradient may be a view, the caller's, or shared by
    two leaves.
    """
    while found:
        t, g = found.pop(next(iter(found)))
        if not (sys.getrefcount(g) <= _ALONE and g.exclusive and g.is_contiguous):
            g = _C.clone(g)
        yield t, g


def backward(root: Tensor, grad: Any = None, retain_graph: bool = False) -> None:
    """Adds the gradients of `root` to `.grad` of the leaves it was computed from."""
    if not root.requires_grad:
        raise RuntimeError(
            "backward: the tensor does not require grad and was not computed from one that does"
        )
    for t, g in _own(_walk([(root, _seed(root, grad))], retain_graph, None)):
        if t.grad is None:
            t.grad = Tensor(g)
        else:
            t.grad.array = _C.add(t.grad.array, g)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    *,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of outputs with respect to inputs, without touching any `.grad`.

    Raises RuntimeError for an input that was not used, unless `allow_unused` (None for it) or
    `materialize_grads` (zeros).

    >>> import dlcore
    >>> x = dlcore.tensor([1.0, 2.0], requires_grad=True)
    >>> dlcore.autograd.grad(x[1], x)[0].tolist()
    [0.0, 1.0]
    """
    if create_graph:
        raise NotImplementedError("grad: gradients of gradients (create_graph=True) are not supported")
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not all(t.requires_grad for t in [*outs, *ins]):
        raise RuntimeError("grad: the outputs and inputs must all require grad")
    seeds = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(outs)
    if len(seeds) != len(outs):
        raise RuntimeError(f"grad: one grad_output for each output, got {len(seeds)} for {len(outs)}")
    roots = [(t, _seed(t, g)) for t, g in zip(outs, seeds)]
    found = {id(t): g for t, g in _own(_walk(roots, bool(retain_graph), {id(t) for t in ins}))}
    result: list[Tensor | None] = []
    for t in ins:
        g = found.get(id(t))
        if g is None and materialize_grads:
            g = _C.full(t.shape, 0.0, t.dtype, t.device)
        if g is None and not allow_unused:
            raise RuntimeError(
                "grad: an input was not used in the graph; pass allow_unused=True to get None for it"
            )
        result.append(None if g is None else Tensor(g))
    return tuple(result)
