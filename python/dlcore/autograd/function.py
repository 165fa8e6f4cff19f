"""Function: an operation with a forward and a backward of one's own, under torch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dlcore import _C
from dlcore.autograd.tape import check_not_leaf, is_grad_enabled, no_grad, record, take_over
from dlcore.tensor import Tensor

__all__ = ["Function", "FunctionCtx", "once_differentiable"]

F = TypeVar("F", bound=Callable[..., Any])


def once_differentiable(backward: F) -> F:
    """Marks a backward whose result cannot be differentiated again; here none can."""
    return backward


class FunctionCtx:
    """What a forward leaves for its backward."""

    needs_input_grad: tuple[bool, ...]

    def __init__(self) -> None:
        self._saved: list[tuple[Tensor | _C.Array, _C.Array, int] | None] = []
        self._to_save: tuple[Tensor | None, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._without_grad: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs and outputs of the forward; what is changed in place before the backward raises
        there."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward: only tensors can be saved, got {type(t).__name__}")
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` was given.

        Raises RuntimeError for a tensor that was changed in place since.
        """
        out: list[Tensor | None] = []
        for item in self._saved:
            if item is None:
                out.append(None)
                continue
            kept, array, written = item
            if array.written != written:
                raise RuntimeError(
                    "saved_tensors: one of the variables needed for gradient computation has been modified "
                    "by an "
                    f"inplace operation, got {array!r} changed after the forward"
                )
            # An input of its own memory is itself; an output, and what was replaced since, only its values.
            out.append(kept if isinstance(kept, Tensor) and kept.array is array else Tensor(array))
        return tuple(out)

    def mark_dirty(self, *args: Tensor) -> None:
        """Says which inputs the forward changed in place; it must return them."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Any) -> None:
        """Says which outputs carry no gradient."""
        self._without_grad = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a missing gradient comes to the backward as zeros (True, the default) or as None."""
        self._materialize = bool(value)

    def _keep(self, inputs: list[Tensor]) -> None:
        # An output would keep itself alive through its node: its memory alone is kept.
        own = {id(t) for t in inputs}
        self._saved = [
            None if t is None else (t if id(t) in own else t.array, t.array, t.array.written)
            for t in self._to_save
        ]
        self._to_save = ()


class Function:
    """An operation with its own gradient: define `forward(ctx, ...)` and `backward(ctx, *grads)`, call
    `apply`.

    `ctx.save_for_backward` keeps tensors, any other attribute of ctx what one likes. `forward` may also be
    written without ctx, with `setup_context(ctx, inputs, output)` beside it. `backward` returns one
    gradient, or
    None, for each argument of forward; `ctx.needs_input_grad` says which are asked for.

    Raises RuntimeError for another number of gradients, and for one of a shape that is not its input's.

    >>> import dlcore
    >>> class Cube(dlcore.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x * x
    >>> x = dlcore.tensor([2.0], requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor([12.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"{type(self).__name__} should not be instantiated: its methods are static, call apply"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("a Function must define the static method forward")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        raise NotImplementedError("setup_context is not defined")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(
            "a Function must define the static method backward (or vjp) to be differentiated"
        )

    vjp = backward

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """The forward's result, with the backward on the tape."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
        inputs = [a for a in args if isinstance(a, Tensor)]
        recording = is_grad_enabled() and True in ctx.needs_input_grad
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        ctx._keep(inputs)
        if not recording:
            return result
        single = not isinstance(result, tuple)
        values: list[Any] = [result] if single else list(result)
        without = {id(t) for t in ctx._without_grad}
        dirty = {id(t) for t in ctx._dirty}
        places = [
            i
            for i, v in enumerate(values)
            if isinstance(v, Tensor) and id(v) not in without and v.dtype.kind == "f"
        ]
        for i, v in enumerate(values):
            if id(v) in dirty and v.requires_grad:
                check_not_leaf(cls.__name__, v)
            if isinstance(v, Tensor) and i not in places and (v.requires_grad or v is result):
                values[i] = Tensor(v.array)
        outputs = [values[i] for i in places]
        own = {id(t) for t in inputs}
        # An input that comes back is a view of itself: what it was keeps its place on the tape.
        arrays = tuple([t.array.tracked(True) if id(t) in own else t.array for t in outputs])
        metas = [(v.shape, v.dtype, v.device) if isinstance(v, Tensor) else None for v in values]
        materialize = ctx._materialize
        wants = [_want(a) for a in args]

        def function_backward(*packed: Any) -> list[_C.Array | None]:
            full: list[Tensor | None] = [None] * len(metas)
            for i, g in zip(places, packed):  # what packed ends with, the needs, ctx has already
                full[i] = None if g is None else Tensor(g)
            if materialize:
                full = [
                    Tensor(_C.full(m[0], 0.0, m[1], m[2])) if g is None and m is not None else g
                    for g, m in zip(full, metas)
                ]
            run = cls.vjp if cls.backward is Function.backward else cls.backward
            return _checked(cls.__name__, run(ctx, *full), wants)

        function_backward.__qualname__ = cls.__name__
        if not places:
            return result
        recorded = record(arrays, tuple(inputs), function_backward, trusted=False)
        for i, t in zip(places, recorded):
            if id(values[i]) in dirty:
                take_over(values[i], t)
            else:
                values[i] = t
        return values[0] if single else tuple(values)


Want = tuple[tuple[int, ...], Any] | str


def _want(argument: Any) -> Want:
    """The shape and dtype of the gradient that an argument needs, or why it needs none."""
    if not isinstance(argument, Tensor):
        return "no tensor"
    return (argument.shape, argument.dtype) if argument.requires_grad else "constant"


def _checked(name: str, results: Any, wants: list[Want]) -> list[_C.Array | None]:
    """One Array or None for each tensor among the arguments."""
    given = list(results) if isinstance(results, (tuple, list)) else [results]
    if all(g is None for g in given[len(wants) :]):
        given = given[: len(wants)]
    if len(given) != len(wants):
        raise RuntimeError(
            f"{name}: backward must give one gradient for each argument of forward, expected {len(wants)}, "
            f"got {len(given)}"
        )
    out: list[_C.Array | None] = []
    for i, (want, g) in enumerate(zip(wants, given)):
        if want == "no tensor":
            if g is not None:
                raise RuntimeError(f"{name}: backward gave a gradient for argument {i}, which is no tensor")
            continue
        if g is None or isinstance(want, str):
            out.append(None)
            continue
        if not isinstance(g, Tensor):
            raise TypeError(f"{name}: gradient {i} must be a Tensor or None, got {type(g).__name__}")
        a = g.array
        if a.shape != want[0]:
            try:
                a = _C.sum_to(a, want[0])
            except ValueError:
                raise RuntimeError(
                    f"{name}: gradient {i} must have the shape of its input, got {a.shape} for {want[0]}"
                ) from None
        out.append(_C.cast(a, want[1]).tracked(False))
    return out
