"""The tape: `record` is its only entry, `backward` walks it.

A recorded operation is a closure around C++ kernels, from the gradients of its outputs to those of its
inputs. Nothing is kept when nothing needs a gradient. The walk goes by descending sequence number, which is a
topological order, so it neither recurses nor sorts: graphs of any depth work.

A node knows where its inputs stood when it was recorded (`edges`), not the tensors themselves: a tensor that
is
changed in place afterwards moves on without it, and memory that no closure saved is free. Memory that a
closure
did save and that was changed since is refused by the kernels, which compare the time of the write with the
node's `epoch` (csrc/array.h).
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator
from typing import Any, overload

from dlcore import _C
from dlcore.tensor import Backward, Edge, Node, Tensor, as_array

__all__ = [
    "RemovableHandle",
    "backward",
    "enable_grad",
    "grad",
    "in_place",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "record",
    "register_hook",
    "register_post_accumulate_grad_hook",
    "retain_grad",
    "set_grad_enabled",
    "take_over",
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


# ---- recording -------------------------------------------------------------------------------------------


@overload
def record(
    data: _C.Array, inputs: tuple[Tensor, ...], backward: Backward, *, trusted: bool = True
) -> Tensor: ...
@overload
def record(
    data: tuple[_C.Array, ...], inputs: tuple[Tensor, ...], backward: Backward, *, trusted: bool = True
) -> tuple[Tensor, ...]: ...
def record(data: Any, inputs: tuple[Tensor, ...], backward: Backward, *, trusted: bool = True) -> Any:
    """Wraps an op's result and, where a gradient is needed, puts the op on the tape.

    `backward(*grads, needs)` gets one Array (or None) an output and a tuple of bools, one an input; it
    returns one Array (or None) an input, of the input's own shape. Outputs that are not floating-point carry
    no gradient. A backward that runs people's own code is not `trusted`: it may read memory that has changed.
    """
    single = not isinstance(data, tuple)
    needs = tuple([x.requires_grad for x in inputs]) if _mode.enabled else ()
    if True not in needs:
        return Tensor(data) if single else tuple([Tensor(a) for a in data])
    arrays = (data,) if single else data
    edges: tuple[Edge, ...] = tuple(
        [(x if x._node is None else (x._node, x._index)) if x.requires_grad else None for x in inputs]
    )
    epoch = _C.write_clock() if trusted else _C.NEVER - 1
    node = Node(backward.__qualname__, edges, needs, backward, len(arrays), _next(), epoch)
    outs = []
    for i, a in enumerate(arrays):
        t = Tensor(a, a.dtype.kind == "f")
        if t.requires_grad:
            t._node = node
            t._index = i
        outs.append(t)
    return outs[0] if single else tuple(outs)


# ---- changes in place ------------------------------------------------------------------------------------


class _Holder:
    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array = object()


def _in_a_slot() -> int:
    holder = _Holder()  # which must outlive the question: what is asked of loses its slot otherwise
    return sys.getrefcount(holder.array)


_ALONE_IN_A_SLOT = _in_a_slot()  # what getrefcount says of an object that one slot holds


def check_not_leaf(op: str, t: Tensor) -> None:
    """torch refuses to change a leaf that requires grad, or a view of one, while it records."""
    if t._node is None:
        raise RuntimeError(
            f"{op}: a leaf that requires grad cannot be changed in place; use dlcore.no_grad() or a copy"
        )
    node: Node | None = t._node
    for _ in range(64):  # a chain of views is short
        edge = node.edges[0] if node is not None and node.edges else None
        if edge is None:
            return
        if isinstance(edge, Tensor):
            if edge.array.shares_memory(t.array):
                raise RuntimeError(
                    f"{op}: a view of a leaf that requires grad cannot be changed in place; "
                    "use dlcore.no_grad() or a copy"
                )
            return
        node = edge[0]


def take_over(t: Tensor, new: Tensor) -> None:
    """t takes new's place on the tape; what was recorded of t before keeps its old place."""
    retains = t._retains_grad and t._node is not None
    if retains:
        t._node.retained.pop(t._index, None)  # type: ignore[union-attr]
    t._node, t._index, t.requires_grad = new._node, new._index, new.requires_grad
    if retains:
        retain_grad(t)


def in_place(t: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """t becomes f(t), of the same shape and dtype, in its own memory; on the tape where something is
    recorded.

    Memory that a waiting backward has saved is stamped, so that this backward raises. Memory that is also
    seen through a view, whose place on the tape cannot follow, is given up while recording: t gets memory of
    its own,
    and reading the old one raises.
    """
    recording = _mode.enabled and t.requires_grad
    if recording:
        check_not_leaf("in place", t)
    alone = shared = False
    if _mode.enabled:
        shared = not t.array.exclusive
        alone = not shared and sys.getrefcount(t.array) <= _ALONE_IN_A_SLOT
    # f's closure may save the old values: where others hold the array too, it gets a copy of them.
    old = Tensor(_C.clone(t.array) if recording and not (alone or shared) else t.array, t.requires_grad)
    old._node, old._index = t._node, t._index
    new = f(old)
    if new.array.shape != t.array.shape:
        raise ValueError(f"in place: the shape must stay the same, got {new.array.shape} for {t.array.shape}")
    if new.array.dtype != t.array.dtype:
        raise TypeError(f"in place: the dtype must stay {t.array.dtype}, got {new.array.dtype}")
    if not new.requires_grad:
        _C.copy_into(t.array, new.array)
        return t
    if shared:
        t.array.supersede()
    if shared or alone:
        t.array = new.array
    else:
        _C.copy_into(t.array, new.array)
    take_over(t, new)
    return t


# ---- hooks -----------------------------------------------------------------------------------------------

_hook_ids = itertools.count().__next__


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away; also a context manager."""

    def __init__(self, hooks: dict[int, Any], hook: Any, after: Callable[[], None] | None = None) -> None:
        self.id = _hook_ids()
        self.hooks: dict[int, Any] | None = hooks
        self.after = after
        hooks[self.id] = hook

    def remove(self) -> None:
        if self.hooks is not None and self.hooks.pop(self.id, None) is not None and self.after is not None:
            self.after()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_hook(t: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """`hook(grad)` runs when the gradient of t is known, and may return another."""
    if not t.requires_grad:
        raise RuntimeError("register_hook: a hook needs a tensor that requires grad")
    if t._node is not None:
        return RemovableHandle(t._node.hooks.setdefault(t._index, {}), hook)
    return RemovableHandle(_leaf_hooks(t)[0], hook)


def register_post_accumulate_grad_hook(t: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """`hook(t)` runs when a backward has added to t.grad; t is a leaf."""
    if not t.requires_grad or t._node is not None:
        raise RuntimeError("register_post_accumulate_grad_hook: a leaf that requires grad is needed")
    return RemovableHandle(_leaf_hooks(t)[1], hook)


def _leaf_hooks(t: Tensor) -> tuple[dict[int, Any], dict[int, Any]]:
    try:
        return t._hooks
    except AttributeError:
        t._hooks = ({}, {})
        return t._hooks


def retain_grad(t: Tensor) -> None:
    """Asks `backward` to fill t.grad though t is no leaf."""
    if not t.requires_grad:
        raise RuntimeError("retain_grad: the tensor does not require grad")
    if t._node is not None:
        t._retains_grad = True
        t._node.retained[t._index] = weakref.ref(t)


def _run_hooks(hooks: dict[int, Any], g: _C.Array) -> _C.Array:
    for hook in list(hooks.values()):
        changed = hook(Tensor(g))
        if changed is not None:
            if not isinstance(changed, Tensor):
                raise TypeError(f"hook: must return None or a Tensor, got {type(changed).__name__}")
            if changed.shape != g.shape:
                raise RuntimeError(
                    f"hook: must keep the shape of the gradient, got {changed.shape} for {g.shape}"
                )
            g = _C.cast(changed.array, g.dtype).tracked(False)
    return g


# ---- the walk --------------------------------------------------------------------------------------------


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
    return _C.to_device(g, t.device).tracked(False)


def _check(node: Node, i: int, x: Tensor, g: _C.Array) -> None:
    if g.shape != x.shape or g.dtype != x.dtype:
        raise RuntimeError(
            f"backward: {node.name} must give input {i} a gradient of its own shape and dtype, got "
            f"gradient={g.shape} {g.dtype}, input={x.shape} {x.dtype}"
        )


def _baseline() -> int:
    g = object()
    return sys.getrefcount(g)


_ALONE = (
    _baseline()
)  # what getrefcount says of an object that one local variable holds: 2, or 1 from Python 3.14 on


class RowsGradient:
    """An embedding's gradient (n, dim): zero but for the sum of `rows` (..., dim) at `index` (...).

    Beside another gradient of the same leaf, as where a head is tied to its embedding, it is added where that
    one lies; alone it becomes what `dense` gives.
    """

    __slots__ = ("dense", "dtype", "index", "rows", "shape")

    def __init__(self, rows: _C.Array, index: _C.Array, n: int, dense: Callable[[], _C.Array]) -> None:
        self.rows, self.dense = rows, dense
        # The guard, which is over when the sum is made, sees here whether the indices were changed.
        self.index = _C.reshape(index, index.shape)
        self.shape, self.dtype = (n, rows.shape[-1]), rows.dtype


def _dense(g: Any) -> Any:
    return g.dense() if isinstance(g, RowsGradient) else g


def _sum(held: list[Any], g: Any) -> Any:
    """The sum of two gradients, of which a list of one holds the first: in its own memory where nobody else
    has it."""
    before = _dense(held.pop())
    alone = sys.getrefcount(before) <= _ALONE and before.exclusive and before.is_contiguous
    if not alone or before.shape != g.shape or before.dtype != g.dtype:
        return _C.add(before, _dense(g))
    if isinstance(g, RowsGradient) and before.device == "cpu":
        _C.put_into(before, 0, g.index, g.rows, True)
    else:
        _C.binary_("add", before, _dense(g))
    return before


Key = int | tuple[int, int]  # a leaf by its id, another tensor by its node's number and its place there
Found = dict[Key, tuple[Tensor | None, Any]]


def _key(t: Tensor) -> Key:
    return id(t) if t._node is None else (t._node.seq, t._index)


def _reaching(roots: Sequence[Tensor], targets: set[Key]) -> dict[int, tuple[bool, ...]]:
    """Of each node from which a target can be reached: which of its inputs lead there."""
    order: dict[int, Node] = {}
    stack = [t._node for t in roots if t._node is not None]
    while stack:
        node = stack.pop()
        if node.seq not in order:
            order[node.seq] = node
            stack.extend([e[0] for e in node.edges if isinstance(e, tuple)])
    wanted: dict[int, tuple[bool, ...]] = {}
    for seq in sorted(order):
        node = order[seq]
        needs = tuple(
            [
                e is not None
                and (
                    (e[0].seq, e[1]) in targets or e[0].seq in wanted
                    if isinstance(e, tuple)
                    else id(e) in targets
                )
                for e in node.edges
            ]
        )
        if True in needs or node.backward is None:  # a freed one says so when the walk gets there
            wanted[seq] = needs
    return wanted


def _walk(
    roots: Sequence[tuple[Tensor, _C.Array]], retain_graph: bool, targets: set[Key] | None = None
) -> tuple[Found, Found]:
    """(gradients of the leaves that require one, of other tensors that retain theirs); with `targets`, the
    gradients of these alone, in the first of the two."""
    pending: dict[int, list[_C.Array | None]] = {}
    nodes: dict[int, Node] = {}
    heap: list[int] = []
    leaves: Found = {}
    retained: Found = {}
    wanted = None if targets is None else _reaching([t for t, _ in roots], targets)

    def give(edge: Any, g: Any) -> None:
        if edge.__class__ is not tuple:
            if targets is None or id(edge) in targets:
                if id(edge) in leaves:
                    g = _sum([leaves.pop(id(edge))[1]], g)
                leaves[id(edge)] = (edge, g)
            return
        g = _dense(g)
        node, index = edge
        slots = pending.get(node.seq)
        if slots is None:
            pending[node.seq] = slots = [None] * node.n_outputs
            nodes[node.seq] = node
            heapq.heappush(heap, -node.seq)
        if slots[index] is not None:
            held: list[Any] = [slots[index]]
            slots[index] = None
            g = _sum(held, g)
        slots[index] = g

    clock = _C.write_clock()
    outer, walked = _C.guard(), _C.set_walking(True)
    guard = outer
    mode, _mode.enabled = _mode.enabled, False
    try:
        for t, g in roots:
            give(t if t._node is None else (t._node, t._index), g)
        while heap:
            seq = -heapq.heappop(heap)
            node = nodes.pop(seq)
            grads = pending.pop(seq)
            if node._watchers is not None:
                _C.set_guard(_C.NEVER)
                guard = _C.NEVER
                for index, hooks in node.hooks.items():
                    before = grads[index]
                    if before is not None:
                        grads[index] = _run_hooks(hooks, before)
                for index, ref in node.retained.items():
                    kept, now = ref(), grads[index]
                    if targets is None and kept is not None and now is not None:
                        retained[id(kept)] = (kept, now)
            needs = node.needs
            if wanted is not None and targets is not None:
                for index, now in enumerate(grads):
                    if now is not None and (seq, index) in targets:
                        leaves[seq, index] = (None, now)
                if seq not in wanted:
                    continue
                needs = wanted[seq]
            run = node.backward
            if run is None:
                raise RuntimeError(
                    f"backward: the graph of {node.name} has been freed; "
                    "call backward(retain_graph=True) the first time"
                )
            limit = _C.NEVER if node.epoch >= clock else node.epoch + 1
            if limit != guard:
                _C.set_guard(limit)
                guard = limit
            try:
                results = run(*grads, needs)
            except RuntimeError as e:
                if limit != _C.NEVER and str(e).startswith("one of the variables needed"):
                    raise RuntimeError(f"backward: {node.name}: {e}") from None
                raise
            if len(results) != len(node.edges):
                raise RuntimeError(
                    f"backward: {node.name} must give one gradient for each input, "
                    f"got {len(results)} for {len(node.edges)}"
                )
            if guard != _C.NEVER:  # sums of gradients are not what the guard is about
                _C.set_guard(_C.NEVER)
                guard = _C.NEVER
            for i, (edge, need, dx) in enumerate(zip(node.edges, needs, results)):
                if need and dx is not None:
                    if edge.__class__ is not tuple:
                        _check(node, i, edge, dx)  # type: ignore[arg-type]
                    give(edge, dx)
            if not retain_graph:
                node.backward = None
                node.edges = ()
        for key, (leaf, g) in leaves.items():
            if isinstance(g, RowsGradient):
                leaves[key] = (leaf, g := _dense(g))
            hooked = getattr(leaf, "_hooks", None)
            if hooked is not None and hooked[0]:
                leaves[key] = (leaf, _run_hooks(hooked[0], g))
    finally:
        _mode.enabled = mode
        _C.set_guard(outer)
        _C.set_walking(walked)
    return leaves, retained


def _own(found: Found) -> Iterator[tuple[Key, Tensor | None, _C.Array]]:
    """Each gradient in memory that nothing else holds: a gradient may be a view, the caller's, or shared by
    two leaves.
    """
    while found:
        key = next(iter(found))
        t, g = found.pop(key)
        if not (sys.getrefcount(g) <= _ALONE and g.exclusive and g.is_contiguous):
            g = _C.clone(g)
        yield key, t, g


def _tensors(x: Any) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else list(x)


def _seeds(op: str, outputs: list[Tensor], grads: Any) -> list[tuple[Tensor, _C.Array]]:
    for t in outputs:
        if not t.requires_grad:
            raise RuntimeError(
                f"{op}: the tensor does not require grad and was not computed from one that does"
            )
    given = list(grads) if isinstance(grads, (list, tuple)) else [grads]
    if grads is None:
        given = [None] * len(outputs)
    if len(given) != len(outputs):
        raise RuntimeError(f"{op}: one gradient for each output, got {len(given)} for {len(outputs)}")
    return [(t, _seed(t, g)) for t, g in zip(outputs, given)]


def _no_double(op: str, create_graph: bool) -> None:
    if create_graph:
        raise NotImplementedError(f"{op}: gradients of gradients (create_graph=True) are not supported")


def _accumulate(t: Tensor, g: _C.Array) -> None:
    if t.grad is None:
        t.grad = Tensor(g)
    elif t.grad.array.dtype == g.dtype and t.grad.array.shape == g.shape:
        _C.binary_("add", t.grad.array, g)
    else:
        raise RuntimeError(
            f"backward: .grad must have the shape and dtype of its tensor, got grad={t.grad.shape} "
            f"{t.grad.dtype}, tensor={t.shape} {t.dtype}"
        )
    hooks = getattr(t, "_hooks", None)
    if hooks is not None:
        for hook in list(hooks[1].values()):
            hook(t)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Adds the gradients of the sum of `tensors` to `.grad` of the leaves they were computed from, or of
    `inputs` alone.

    Raises RuntimeError for a tensor that is no scalar without its `grad_tensors`, for a graph that a backward
    has freed, and for memory that was changed in place after it was saved.
    """
    _no_double("backward", create_graph)
    outputs = _tensors(tensors)
    if inputs is not None:
        wanted = _tensors(inputs)
        if not wanted:
            raise RuntimeError("backward: inputs must not be empty")
        if not all(t.requires_grad for t in wanted):
            raise RuntimeError("backward: every one of inputs must require grad")
        places = {_key(t): t for t in wanted}
        found, _ = _walk(_seeds("backward", outputs, grad_tensors), bool(retain_graph), set(places))
        for key, _, g in _own(found):
            _accumulate(places[key], g)
        return
    leaves, retained = _walk(_seeds("backward", outputs, grad_tensors), bool(retain_graph))
    for part in (leaves, retained):
        for _, t, g in _own(part):
            if t is not None:
                _accumulate(t, g)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of outputs with respect to inputs, without touching any `.grad`.

    Only the part of the graph between the two runs, and only that part is freed. Raises RuntimeError for an
    input that was not used, unless `allow_unused` (None for it) or `materialize_grads` (zeros).

    >>> import dlcore
    >>> x = dlcore.tensor([1.0, 2.0], requires_grad=True)
    >>> dlcore.autograd.grad(x[1], x)[0].tolist()
    [0.0, 1.0]
    """
    _no_double("grad", create_graph)
    if is_grads_batched:
        raise NotImplementedError("grad: is_grads_batched=True is not supported")
    if not only_inputs:
        raise NotImplementedError("grad: only_inputs=False is not supported; use backward")
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: allow_unused must be True or None where materialize_grads is True")
    outs, ins = _tensors(outputs), _tensors(inputs)
    if not all(t.requires_grad for t in ins):
        raise RuntimeError("grad: the outputs and inputs must all require grad")
    roots = _seeds("grad", outs, grad_outputs)
    leaves, _ = _walk(roots, bool(retain_graph), {_key(t) for t in ins})
    found = {key: g for key, _, g in _own(leaves)}
    result: list[Tensor | None] = []
    for t in ins:
        g = found.get(_key(t))
        if g is None and materialize_grads:
            g = _C.full(t.shape, 0.0, t.dtype, t.device)
        if g is None and not allow_unused:
            raise RuntimeError(
                "grad: an input was not used in the graph; pass allow_unused=True to get None for it"
            )
        result.append(None if g is None else Tensor(g))
    return tuple(result)
