"""The tape: `record` is its only entry, `backward` walks it.

A recorded operation is a closure around C++ kernels, from the gradients of its outputs to those of its inputs. Nothing
is kept when nothing needs a gradient. The walk goes by descending sequence number, which is a topological order, so it
neither recurses nor sorts: graphs of any depth work.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import ContextDecorator
from typing import Any, overload

from dlcore import _C
from dlcore.tensor import Backward, Node, Tensor, as_array

__all__ = ["backward", "enable_grad", "grad", "is_grad_enabled", "no_grad", "record", "set_grad_enabled"]


class _Mode(threading.local):
    enabled = True


_mode = _Mode()
_next = itertools.count(1).__next__


def is_grad_enabled() -> bool:
    return _mode.enabled


class set_grad_enabled(ContextDecorator):  # noqa: N801 (torch's name)
    """Turns recording on or off in this thread, as a context or a decorator."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.stack: list[bool] = []

    def __enter__(self) -> set_grad_enabled:
        self.stack.append(_mode.enabled)
        _mode.enabled = self.mode
        return self

    def __exit__(self, *_: object) -> None:
        _mode.enabled = self.stack.pop()


class no_grad(set_grad_enabled):  # noqa: N801
    """Nothing inside is recorded."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):  # noqa: N801
    """Records again inside `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


@overload
def record(data: _C.Array, inputs: tuple[Tensor, ...], backward: Backward) -> Tensor: ...
@overload
def record(data: tuple[_C.Array, ...], inputs: tuple[Tensor, ...], backward: Backward) -> tuple[Tensor, ...]: ...
def record(data: Any, inputs: tuple[Tensor, ...], backward: Backward) -> Any:
    """Wraps an op's result and, where a gradient is needed, puts the op on the tape.

    `backward(*grads, needs)` gets one Array (or None) an output and a tuple of bools, one an input; it returns one Array
    (or None) an input, of the input's own shape. Outputs that are not floating-point carry no gradient.
    """
    single = not isinstance(data, tuple)
    arrays = (data,) if single else data
    if not _mode.enabled or not any([x.requires_grad for x in inputs]):
        out = tuple([Tensor(a) for a in arrays])
        return out[0] if single else out
    needs = tuple([x.requires_grad for x in inputs])
    node = Node(backward.__qualname__.split(".")[0], inputs, needs, backward, len(arrays), _next())
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
        raise RuntimeError(f"backward: grad must have the shape of the tensor, got grad={g.shape}, tensor={t.shape}")
    return _C.to_device(g, t.device)


def _accumulate(a: _C.Array | None, b: _C.Array) -> _C.Array:
    return b if a is None else _C.add(a, b)


def _walk(
    roots: Sequence[tuple[Tensor, _C.Array]], retain_graph: bool, targets: set[int] | None
) -> Iterator[tuple[Tensor, _C.Array]]:
    """Yields (tensor, gradient) for each leaf that requires one, and for tensors whose id is in `targets`."""
    pending: dict[int, list[_C.Array | None]] = {}
    nodes: dict[int, Node] = {}
    heap: list[int] = []
    leaves: dict[int, tuple[Tensor, _C.Array]] = {}

    def give(t: Tensor, g: _C.Array) -> None:
        node = t._node
        if node is None or t._retains_grad or (targets is not None and id(t) in targets):
            old = leaves.get(id(t))
            leaves[id(t)] = (t, g if old is None else _C.add(old[1], g))
        if node is None:
            return
        slots = pending.get(node.seq)
        if slots is None:
            pending[node.seq] = slots = [None] * node.n_outputs
            nodes[node.seq] = node
            heapq.heappush(heap, -node.seq)
        slots[t._index] = _accumulate(slots[t._index], g)

    for t, g in roots:
        give(t, g)
    while heap:
        seq = -heapq.heappop(heap)
        node = nodes.pop(seq)
        grads = pending.pop(seq)
        if node.backward is None:
            raise RuntimeError(
                f"backward: the graph of {node.name} has been freed; call backward(retain_graph=True) the first time"
            )
        results = node.backward(*grads, node.needs)
        if not retain_graph:
            node.backward = None
        for x, need, g in zip(node.inputs, node.needs, results):
            if need and g is not None:
                give(x, g)
        if not retain_graph:
            node.inputs = ()
    yield from leaves.values()


def backward(root: Tensor, grad: Any = None, retain_graph: bool = False) -> None:
    """Adds the gradients of `root` to `.grad` of the leaves it was computed from."""
    if not root.requires_grad:
        raise RuntimeError("backward: the tensor does not require grad and was not computed from one that does")
    for t, g in _walk([(root, _seed(root, grad))], retain_graph, None):
        # A gradient may be a view of another's memory (a broadcast sum, say): `.grad` owns its own.
        if t.grad is None:
            t.grad = Tensor(g if g.is_contiguous and not _shared(g, root) else _C.clone(g))
        else:
            t.grad = Tensor(_C.add(t.grad.array, g))


def _shared(g: _C.Array, root: Tensor) -> bool:
    return g.shares_memory(root.array)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of outputs with respect to inputs, without touching any `.grad`."""
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds = grad_outputs if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(outs)
    roots = [(t, _seed(t, g)) for t, g in zip(outs, seeds)]
    found = {id(t): g for t, g in _walk(roots, retain_graph, {id(t) for t in ins})}
    result: list[Tensor | None] = []
    for t in ins:
        g = found.get(id(t))
        if g is None and not allow_unused:
            raise RuntimeError("grad: an input was not used in the graph; pass allow_unused=True to get None for it")
        result.append(None if g is None else Tensor(g))
    return tuple(result)

