"""Help for training that goes wrong: `nan_guard` names the first layer that produced NaN or infinity."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import RemovableHandle
from dlcore.nn.module import Module
from dlcore.tensor import Tensor

__all__ = ["nan_guard"]


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        if tree.dtype.kind == "f":
            yield tree
    elif isinstance(tree, dict):
        for v in tree.values():
            yield from _tensors(v)
    elif isinstance(tree, (list, tuple)):
        for v in tree:
            yield from _tensors(v)
    elif hasattr(tree, "__dict__") and not isinstance(tree, (Module, type)):  # outputs with named fields
        for v in vars(tree).values():
            yield from _tensors(v)


def _finite(t: Tensor) -> bool:
    # One pass over the memory, by the kernel that clips gradients: the largest |x|, NaN where there is one.
    return t.array.size == 0 or math.isfinite(_C.grad_norm([t.array], math.inf))


def _shapes(tree: Any) -> str:
    texts = [f"{t.shape} {t.dtype}" for t in _tensors(tree)]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _what(t: Tensor) -> str:
    """How many elements are bad, of which kind, and where the first one is."""
    a = _C.to_device(t.array, "cpu").numpy()
    bad = ~np.isfinite(a)
    nan = int(np.isnan(a).sum())
    first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), a.shape))
    kinds = [f"{n} {name}" for n, name in ((nan, "nan"), (int(bad.sum()) - nan, "inf")) if n]
    return f"{int(bad.sum())} of {a.size} elements ({', '.join(kinds)}), the first at {first} is {a[first]}"


class nan_guard:
    """While it is open, the first layer of `model` whose output or gradient is not finite is named.

    Checks what every submodule returns, the gradient that comes back to it, and the gradient of every
    parameter:
    one pass over each of these arrays. `action` "raise" (FloatingPointError) or "warn" (RuntimeWarning, once
    for each forward and each backward). The forward and the backward must both run inside; hooks are taken
    away at the end. A Sequential does not fuse its layers meanwhile.

    Raises TypeError for what is no Module, ValueError for another action.

    >>> import dlcore
    >>> model = dlcore.nn.Sequential(dlcore.nn.Linear(2, 2), dlcore.nn.ReLU())
    >>> with dlcore.debug.nan_guard(model):
    ...     y = model(dlcore.tensor([[float("inf"), 0.0]]))
    Traceback (most recent call last):
    FloatingPointError: nan_guard: the output of '0' (Linear) is not finite: ...
    """

    def __init__(self, model: Module, action: str = "raise") -> None:
        if not isinstance(model, Module):
            raise TypeError(f"nan_guard: model must be a Module, got {type(model).__name__}")
        if action not in ("raise", "warn"):
            raise ValueError(f"nan_guard: action must be 'raise' or 'warn', got {action!r}")
        self.model = model
        self.action = action
        self._handles: list[RemovableHandle] = []
        self._depth = 0
        self._said = {"forward": False, "backward": False}
        # Who took the output of a node as an input: the backward of these makes its gradient.
        self._takers: dict[tuple[int, int], str] = {}

    def __enter__(self) -> nan_guard:
        for path, module in self.model.named_modules():
            name = f"{path!r} ({type(module).__name__})" if path else f"the model ({type(module).__name__})"
            self._handles.append(module.register_forward_pre_hook(self._before(name), with_kwargs=True))
            self._handles.append(
                module.register_forward_hook(
                    self._after(name), prepend=True, with_kwargs=True, always_call=True
                )
            )
            for key, p in module.named_parameters(path, recurse=False):
                if p.requires_grad:
                    self._handles.append(p.register_hook(self._of_parameter(key, name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._takers.clear()
        self._depth = 0

    def _report(self, phase: str, text: str) -> None:
        if self.action == "raise":
            raise FloatingPointError(text)
        if not self._said[phase]:
            self._said[phase] = True
            warnings.warn(text, RuntimeWarning, stacklevel=3)

    def _before(self, name: str) -> Any:
        def before(module: Module, args: Any, kwargs: Any) -> None:
            if self._depth == 0:
                self._said = {"forward": False, "backward": False}
                self._takers.clear()
            self._depth += 1
            for t in _tensors((args, kwargs)):
                if t._node is not None:
                    self._takers[t._node.seq, t._index] = name  # the innermost one comes last

        return before

    def _after(self, name: str) -> Any:
        def after(module: Module, args: Any, kwargs: Any, output: Any) -> None:
            self._depth = max(0, self._depth - 1)
            for t in _tensors(output):
                if not _finite(t):
                    given = list(_tensors((args, kwargs)))
                    bad = [g for g in given if not _finite(g)]
                    origin = f"its input already was: {_what(bad[0])}" if bad else "its input was finite"
                    self._report(
                        "forward",
                        f"nan_guard: the output of {name} is not finite: {_what(t)}; {origin}, got "
                        f"input={_shapes((args, kwargs))}, output={_shapes(output)}",
                    )
                    return
            for t in _tensors(output):
                if t.requires_grad and t._node is not None:
                    t.register_hook(self._of_output(name, (t._node.seq, t._index), _shapes((args, kwargs))))

        return after

    def _of_output(self, name: str, key: tuple[int, int], given: str) -> Any:
        def check(grad: Tensor) -> None:
            if self._handles and not _finite(grad):
                taker = self._takers.get(key)
                maker = "what follows it, such as the loss" if taker is None else f"the backward of {taker}"
                self._report(
                    "backward",
                    f"nan_guard: the gradient of the output of {name} is not finite: {_what(grad)}; it "
                    f"comes from "
                    f"{maker}, got input={given}, output={grad.shape} {grad.dtype}",
                )

        return check

    def _of_parameter(self, key: str, name: str) -> Any:
        def check(grad: Tensor) -> None:
            if not _finite(grad):
                self._report(
                    "backward",
                    f"nan_guard: the gradient of the parameter {key!r} of {name} is not finite: "
                    f"{_what(grad)}, got "
                    f"gradient={grad.shape} {grad.dtype}",
                )

        return check
