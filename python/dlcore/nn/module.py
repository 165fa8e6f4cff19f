"""Module and Parameter: state with a forward function.

Parameters, buffers and submodules stand in three ordered registries, as in torch. Each registry also writes
the plain attribute of the same name, so that `self.weight` in a forward is an ordinary attribute lookup and
costs nothing extra. An error that leaves a forward carries the path of its module: `encoder.0.attention:
linear: ...`.
"""

from __future__ import annotations

import operator
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple, Self, SupportsIndex

import numpy as np

from dlcore import _C
from dlcore.autograd import RemovableHandle, is_grad_enabled, record
from dlcore.tensor import DTypeLike, Tensor, as_array, as_dtype

__all__ = [
    "Buffer",
    "Module",
    "Parameter",
    "RemovableHandle",
    "UninitializedBuffer",
    "UninitializedParameter",
]


class Parameter(Tensor):
    """A tensor that a Module lists among its parameters when it is assigned as an attribute.

    >>> import dlcore
    >>> p = dlcore.nn.Parameter(dlcore.tensor([1.0, 2.0]))
    >>> p.requires_grad, p.shape
    (True, (2,))
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        array = _C.empty((0,), np.float32, "cpu") if data is None else as_array(data)
        if requires_grad and array.dtype.kind != "f":
            raise RuntimeError(
                f"Parameter: only floating-point tensors can require gradients, got dtype {array.dtype}"
            )
        super().__init__(array, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) in memo:
            known: Parameter = memo[id(self)]
            return known
        result = type(self)(Tensor(_C.clone(self.array)), self.requires_grad)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        values = _C.to_device(self.array, "cpu").numpy()
        return _rebuild_parameter, (type(self), values, self.device, self.requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


def _rebuild_parameter(cls: type[Parameter], values: Any, device: str, requires_grad: bool) -> Parameter:
    return cls(Tensor(_C.to_device(_C.from_numpy(values), device)), requires_grad)


class Buffer(Tensor):
    """A tensor that a Module registers among its buffers when it is assigned as an attribute.

    >>> import dlcore
    >>> m = dlcore.nn.Module()
    >>> m.steps = dlcore.nn.Buffer(dlcore.tensor([0]))
    >>> list(m.state_dict())
    ['steps']
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        super().__init__(_C.empty((0,), np.float32, "cpu") if data is None else as_array(data))
        self.persistent = persistent

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self._again(super().__deepcopy__(memo))

    def __copy__(self) -> Tensor:
        return self._again(super().__copy__())

    def _again(self, new: Tensor) -> Tensor:
        new.persistent = self.persistent  # type: ignore[attr-defined]
        return new

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        values = _C.to_device(self.array, "cpu").numpy()
        return _rebuild_buffer, (type(self), values, self.device, self.persistent)


def _rebuild_buffer(cls: type[Buffer], values: Any, device: str, persistent: bool) -> Buffer:
    return cls(Tensor(_C.to_device(_C.clone(_C.from_numpy(values)), device)), persistent=persistent)


class _Uninitialized(Tensor):
    """A tensor whose shape the first forward decides; it holds dtype and device."""

    __slots__ = ()
    cls_to_become: type[Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError(
            f"{type(self).__name__}: the shape is not known before the first forward; call the module, or "
            "materialize(shape)"
        )

    def materialize(self, shape: tuple[int, ...], device: str | None = None, dtype: DTypeLike = None) -> None:
        """Gets memory of this shape and becomes an ordinary tensor of its kind, the same object."""
        a = self.array
        self.array = _C.empty(tuple(shape), a.dtype if dtype is None else np.dtype(dtype), device or a.device)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        rebuild, args = self.__reduce_ex__(4)
        memo[id(self)] = result = rebuild(*args)
        return result  # type: ignore[no-any-return]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return _rebuild_uninitialized, (type(self), self.requires_grad, self.array.dtype, self.array.device)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _nothing(dtype: DTypeLike, device: str | None) -> Tensor:
    return Tensor(_C.empty((0,), np.dtype(np.float32 if dtype is None else dtype), device or "cpu"))


class UninitializedParameter(_Uninitialized, Parameter):  # type: ignore[misc]
    """A parameter whose shape the first forward decides (LazyLinear); it holds dtype and device."""

    __slots__ = ()
    cls_to_become = Parameter

    def __init__(
        self,
        data: Any = None,
        requires_grad: bool = True,
        *,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        Parameter.__init__(self, _nothing(dtype, device), requires_grad)


class UninitializedBuffer(_Uninitialized):
    """A buffer whose shape the first forward decides (lazy batch normalisation)."""

    __slots__ = ()
    cls_to_become = Tensor

    def __init__(
        self,
        data: Any = None,
        requires_grad: bool = False,
        *,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        Tensor.__init__(self, _nothing(dtype, device).array, requires_grad)


def _rebuild_uninitialized(cls: Any, requires_grad: bool, dtype: Any, device: str) -> Any:
    return cls(requires_grad=requires_grad, dtype=dtype, device=device)


def size(op: str, name: str, value: Any) -> int:
    """A constructor's size argument as an int: TypeError for 3.0, ValueError below zero."""
    try:
        n = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}") from None
    if n < 0:
        raise ValueError(f"{op}: {name} must not be negative, got {n}")
    return n


def sizes(op: str, name: str, value: Any, n: int) -> tuple[int, ...]:
    """A constructor's size argument for n axes: one integer for all, or n of them."""
    if not isinstance(value, (tuple, list)):
        return (size(op, name, value),) * n
    if len(value) != n:
        raise ValueError(f"{op}: {name} must be one integer or {n}, got {value!r}")
    return tuple(size(op, name, v) for v in value)


def empty_parameter(shape: tuple[int, ...], dtype: DTypeLike, device: str | None) -> Parameter:
    """A parameter with memory and no values yet; float32 on the CPU unless said otherwise."""
    return Parameter(
        Tensor(_C.empty(shape, np.dtype(np.float32 if dtype is None else dtype), device or "cpu"))
    )


class _Registry(dict[str, Any]):
    """Names in order of registration, mirrored in the attributes of the module that owns them."""

    __slots__ = ("_attributes",)

    def __init__(self, attributes: dict[str, Any], items: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self._attributes = attributes
        for name, value in items:
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._attributes[name] = value

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._attributes.pop(name, None)

    # The other mutators in terms of these two.
    pop = MutableMapping.pop
    popitem = MutableMapping.popitem
    clear = MutableMapping.clear
    update = MutableMapping.update
    setdefault = MutableMapping.setdefault
    __ior__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return dict, (list(self.items()),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        from copy import deepcopy

        return {k: deepcopy(v, memo) for k, v in self.items()}


_REGISTRIES = ("_parameters", "_buffers", "_modules")


class _Incompatible(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


_LOCATED = (ValueError, TypeError, IndexError, RuntimeError)


def locate(error: Exception, module: Module) -> None:
    """Puts the path from `module` to the module that failed before the error's message.

    Each module on the way out rewrites it from the message as it was, so the outermost one's path stays.
    Nothing of this runs unless there is an error.
    """
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    origin, text = getattr(error, "_dlcore_origin", (None, ""))
    if origin is None:
        error._dlcore_origin = (module, error.args[0])  # type: ignore[attr-defined]
        return
    for path, candidate in module.named_modules():
        if candidate is origin:
            error.args = (f"{path}: {text}",) if path else (text,)
            return
    # The failing module is not registered below this one: what is known is that it failed inside `module`.
    error._dlcore_origin = (module, error.args[0])  # type: ignore[attr-defined]


def _no_forward(self: Module, *input: Any) -> Any:
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module:
    """The base of everything with parameters: define `forward`, call the module.

    Attributes that are Parameters, Modules or registered buffers are found by `parameters()`, `modules()`,
    `state_dict()` and `to()`. The names, their order and their behaviour are torch's.

    >>> import dlcore
    >>> class Twice(dlcore.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.inner = dlcore.nn.Linear(3, 3)
    ...     def forward(self, x):
    ...         return self.inner(self.inner(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['inner.weight', 'inner.bias']
    """

    training: bool
    _version: int = 1
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _hooks: dict[str, dict[int, Any]]  # kind -> id -> hook; a kind is present only while it has hooks

    def __init__(self) -> None:
        d = self.__dict__
        d["training"] = True
        for name in _REGISTRIES:
            d[name] = _Registry(d)
        d["_non_persistent_buffers_set"] = set()
        d["_hooks"] = {}

    # What the module computes: every subclass defines it, with its own arguments.
    forward: Callable[..., Any] = _no_forward

    # ---- calling -----------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooks:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except _LOCATED as error:
            locate(error, self)
            raise

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ran: set[int] = set()
        result = None
        try:
            for hook, with_kwargs in self._listeners("forward_pre").values():
                if with_kwargs:
                    changed = hook(self, args, kwargs)
                    if changed is not None:
                        if not isinstance(changed, tuple) or len(changed) != 2:
                            raise RuntimeError(
                                f"forward pre-hook: must return None or (args, kwargs), got {changed!r}"
                            )
                        args, kwargs = changed
                else:
                    changed = hook(self, args)
                    if changed is not None:
                        args = changed if isinstance(changed, tuple) else (changed,)
            watch = None
            if ("backward" in self._hooks or "backward_pre" in self._hooks) and is_grad_enabled():
                watch = _BackwardWatch(self)
                args = watch.inputs(args)
            result = self.forward(*args, **kwargs)
            for key, (hook, with_kwargs, _) in self._listeners("forward").items():
                ran.add(key)
                changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                if changed is not None:
                    result = changed
            return result if watch is None else watch.outputs(result)
        except Exception:
            for key, (hook, with_kwargs, always) in self._listeners("forward").items():
                if not always or key in ran:
                    continue
                try:
                    changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                    if changed is not None:
                        result = changed
                except Exception as e:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that was "
                        "silenced as "
                        f"another error was raised in forward: {e}",
                        stacklevel=2,
                    )
            raise

    def _listeners(self, kind: str) -> dict[int, Any]:
        return dict(self._hooks.get(kind, {}))  # a copy: a hook may remove itself

    def _register(self, kind: str, hook: Any, prepend: bool = False) -> RemovableHandle:
        hooks = self._hooks.setdefault(kind, {})

        def drop_empty() -> None:
            if not hooks and self._hooks.get(kind) is hooks:
                del self._hooks[kind]

        before = dict(hooks) if prepend else {}
        handle = RemovableHandle(hooks, hook, drop_empty)
        for key, other in before.items():  # prepended: the others go behind it
            del hooks[key]
            hooks[key] = other
        return handle

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """`hook(module, args)` runs before forward and may return new arguments."""
        return self._register("forward_pre", (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """`hook(module, args, output)` runs after forward and may return a new output."""
        return self._register("forward", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """`hook(module, grad_input, grad_output)` runs once the inputs' gradients are known; may replace
        them.
        """
        return self._register("backward", hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """`hook(module, grad_output)` runs before the module's backward and may return a new grad_output."""
        return self._register("backward_pre", hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """torch's old form; refused: use `register_full_backward_hook`."""
        raise NotImplementedError(
            "register_backward_hook: the deprecated form is not supported; use register_full_backward_hook"
        )

    # ---- attributes --------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        d = self.__dict__
        kind = None
        if isinstance(value, Parameter):
            kind = "_parameters"
        elif isinstance(value, Module):
            kind = "_modules"
        elif isinstance(value, Buffer) and not any(name in d.get(k, ()) for k in ("_parameters", "_modules")):
            kind = "_buffers"  # over a parameter or a module it is refused below, as in torch
        if "_parameters" not in d:
            if kind is not None:
                what = {"_parameters": "parameters", "_modules": "module", "_buffers": "buffer"}[kind]
                raise AttributeError(f"cannot assign {what} before Module.__init__() call")
            object.__setattr__(self, name, value)
            return
        if kind is not None:
            if name not in d[kind]:
                for other in _REGISTRIES:
                    if name in d[other]:
                        del d[other][name]
                d.pop(name, None)
            self._non_persistent_buffers_set.discard(name)
            if kind == "_parameters":
                self.register_parameter(name, value)
            elif kind == "_buffers":
                self.register_buffer(name, value, value.persistent)
            else:
                d[kind][name] = value
            return
        for known, what, wanted in _EXPECTED:
            if name in d[known]:
                if value is not None and not (known == "_buffers" and isinstance(value, Tensor)):
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {what} '{name}' "
                        f"({wanted} or None expected)"
                    )
                d[known][name] = value
                return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        d = self.__dict__
        for known in _REGISTRIES:
            if name in d.get(known, ()):
                del d[known][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for known in _REGISTRIES:
            registry = state.get(known, {})
            for name in registry:
                state.pop(name, None)
            state[known] = dict(registry)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        d = self.__dict__
        d.update({k: v for k, v in state.items() if k not in _REGISTRIES})
        for known in _REGISTRIES:
            d[known] = _Registry(d, state.get(known, {}).items())

    def _check_name(self, op: str, kind: str, name: str) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{op}: the name of a {kind} must be a str, got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{op}: the name of a {kind} can\'t contain ".", got {name!r}')
        if name == "":
            raise KeyError(f'{op}: the name of a {kind} can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter under `name`; None declares one that is absent (a Linear without bias)."""
        self._check_name("register_parameter", "parameter", name)
        if name not in self._parameters and hasattr(self, name):
            raise KeyError(f"register_parameter: attribute '{name}' already exists")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(nn.Parameter or None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"register_parameter: '{name}' must be a leaf; model parameters are created explicitly"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds state that is not trained; persistent buffers are in the state dict."""
        self._check_name("register_buffer", "buffer", name)
        if name not in self._buffers and hasattr(self, name):
            raise KeyError(f"register_buffer: attribute '{name}' already exists")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule under `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {type(module).__name__} is not a Module subclass")
        self._check_name("add_module", "module", name)
        if name not in self._modules and hasattr(self, name):
            raise KeyError(f"add_module: attribute '{name}' already exists")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name of `add_module`."""
        self.add_module(name, module)

    # ---- traversal ---------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) for this module and all below it, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, prefix + ("." if prefix else "") + name, remove_duplicate
                )

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        for _, module in self.named_children():
            yield module

    def _named(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in module.__dict__[registry].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield path + ("." if path else "") + name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), each parameter once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; AttributeError where there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        result: Module = module
        return result

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a dotted path, whose parent exists; with `strict` it must replace one.

        Raises ValueError for an empty path and what is no module, AttributeError for a path that is not
        there.
        """
        if target == "":
            raise ValueError("set_submodule: the target must not be empty")
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule: module must be an nn.Module, got {type(module).__name__}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict or hasattr(parent, name):
            parent.get_submodule(name)
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        value = getattr(module, name)
        if not isinstance(value, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return value

    def get_buffer(self, target: str) -> Tensor:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        value = module._buffers.get(name)
        if value is None:
            raise AttributeError(f"`{name}` is not a buffer")
        return value

    # ---- changing all of it ------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Calls `fn` on every submodule, children first, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Training mode, which dropout and batch normalisation heed, for this module and all below it."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode is expected to be boolean, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients, or fills them with zeros."""
        for p in self.parameters():
            if p.grad is None:
                continue
            if set_to_none:
                p.grad = None
            else:
                p.grad.zero_()

    def _apply(self, fn: Callable[[_C.Array], _C.Array]) -> Self:
        """Replaces the memory of every parameter, gradient and buffer; the Parameter objects stay."""
        for module in self.modules():
            module._apply_own(fn)
        return self

    def _apply_own(self, fn: Callable[[_C.Array], _C.Array]) -> None:
        for p in self._parameters.values():
            if p is None:
                continue
            p.array = fn(p.array)
            if p.grad is not None:
                p.grad = Tensor(fn(p.grad.array))
        for name, b in self._buffers.items():
            if b is None:
                continue
            a = fn(b.array)
            if isinstance(b, UninitializedBuffer):
                b.array = a
            elif a is not b.array:
                self._buffers[name] = Tensor(a, b.requires_grad)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """`to(device)`, `to(dtype)`, `to(device, dtype)` or `to(tensor)`; integer buffers keep theirs."""
        device, dtype = _parse_to(args, kwargs)

        def convert(a: _C.Array) -> _C.Array:
            if dtype is not None and a.dtype.kind == "f" and a.dtype != dtype:
                a = _C.cast(a, dtype)
            return a if device is None or a.device == device else _C.to_device(a, device)

        return self._apply(convert)

    def type(self, dst_type: DTypeLike) -> Self:
        """All parameters and buffers in this dtype, integer ones too."""
        dtype = as_dtype("type", dst_type)
        if dtype.kind != "f" and any(p.requires_grad for p in self.parameters()):
            raise RuntimeError(f"type: parameters that require grad must stay floating-point, got {dtype}")
        return self._apply(lambda a: a if a.dtype == dtype else _C.cast(a, dtype))

    def half(self) -> Self:
        """Refused: dlcore computes in float32 and float64."""
        raise NotImplementedError("half: float16 modules are not supported; use float() or double()")

    def bfloat16(self) -> Self:
        """Refused: dlcore computes in float32 and float64."""
        raise NotImplementedError("bfloat16: bfloat16 modules are not supported; use float() or double()")

    def to_empty(self, *, device: str | None, recurse: bool = True) -> Self:
        """Fresh memory without values on a device for every parameter and buffer."""
        for module in self.modules() if recurse else [self]:
            module._apply_own(lambda a: _C.empty(a.shape, a.dtype, device or a.device))
        return self

    def share_memory(self) -> Self:
        """Does nothing: threads see the same memory anyway, and other processes are not supported."""
        return self

    def float(self) -> Self:
        return self.to(np.float32)

    def double(self) -> Self:
        return self.to(np.float64)

    def cuda(self, device: int | str | None = None) -> Self:
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def cpu(self) -> Self:
        return self.to("cpu")

    # ---- state dict --------------------------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """What a subclass keeps in the state dict beside tensors; pairs with `set_extra_state`."""
        raise RuntimeError("get_extra_state: not defined by this module")

    def set_extra_state(self, state: Any) -> None:
        raise RuntimeError("set_extra_state: not defined by this module")

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, p in self._parameters.items():
            if p is not None:
                destination[prefix + name] = p if keep_vars or isinstance(p, _Uninitialized) else p.detach()
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = b if keep_vars or isinstance(b, _Uninitialized) else b.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Name -> tensor for all parameters and persistent buffers, in torch's order; they share memory.

        >>> import dlcore
        >>> list(dlcore.nn.Linear(2, 3).state_dict())
        ['weight', 'bias']
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        metadata = getattr(destination, "_metadata", None)
        if metadata is not None:
            metadata[prefix[:-1]] = {"version": self._version}
        for hook in self._listeners("state_dict_pre").values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook, may_replace in self._listeners("state_dict").values():
            changed = hook(
                self, destination, prefix, {} if metadata is None else metadata.get(prefix[:-1], {})
            )
            if changed is None:
                continue
            if not may_replace:
                raise RuntimeError("state_dict post-hook must return None")
            destination = changed
        return destination

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Copies this module's own entries; a subclass may rename or convert old ones first."""
        for hook in self._listeners("load_state_dict_pre").values():
            hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        own: dict[str, Tensor | None] = dict(self._parameters)
        own.update((n, b) for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set)
        for name, target in own.items():
            if target is None:
                continue
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            if isinstance(target, _Uninitialized) and isinstance(state_dict[key], _Uninitialized):
                continue
            try:
                source = _C.to_device(as_array(state_dict[key]), target.device)
                if source.shape != target.shape:
                    error_msgs.append(
                        f"size mismatch for {key}: the state dict has shape {source.shape}, "
                        f"the module {target.shape}."
                    )
                elif not assign:
                    _C.copy_into(
                        target.array,
                        source if source.dtype == target.dtype else _C.cast(source, target.dtype),
                    )
                elif isinstance(target, Parameter):
                    given = state_dict[key]
                    same = isinstance(given, Parameter)
                    setattr(self, name, given if same else Parameter(Tensor(source), target.requires_grad))
                else:
                    setattr(self, name, Tensor(source))
            except (TypeError, ValueError, RuntimeError) as error:
                error_msgs.append(f'while loading "{key}": {error}')
        if type(self).set_extra_state is not Module.set_extra_state:
            if prefix + _EXTRA in state_dict:
                self.set_extra_state(state_dict[prefix + _EXTRA])
            elif strict:
                missing_keys.append(prefix + _EXTRA)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != prefix + _EXTRA:
                    head, *rest = key[len(prefix) :].split(".", 1)
                    if (head not in self._modules) if rest else (head not in own):
                        unexpected_keys.append(key)
                elif key == prefix + _EXTRA and type(self).set_extra_state is Module.set_extra_state:
                    unexpected_keys.append(key)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _Incompatible:
        """Copies name -> array into the parameters and buffers, which keep their dtype and device.

        Values are tensors, ndarrays or anything array-like. With `strict`, names must match exactly; with
        `assign`, the module takes the given arrays instead of copying them.

        Raises RuntimeError with all missing, unexpected and mismatched names together.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: state_dict must be dict-like, got {type(state_dict).__name__}")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)

        def load(module: Module, local: dict[str, Any], prefix: str) -> None:
            meta = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
            if assign:
                meta["assign_to_params_buffers"] = True
            module._load_from_state_dict(local, prefix, meta, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    below = prefix + name + "."
                    load(child, {k: v for k, v in local.items() if k.startswith(below)}, below)
            incompatible = _Incompatible(missing, unexpected)
            for hook in module._listeners("load_state_dict_post").values():
                if hook(module, incompatible) is not None:
                    raise RuntimeError(
                        "load_state_dict: a post-hook must change its argument in place and return None"
                    )

        load(self, state, "")
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}.")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}.")
        if errors:
            listed = "\n\t".join(errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}")
        return _Incompatible(missing, unexpected)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(module, prefix, keep_vars)` runs before the module's state is collected."""
        return self._register("state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(module, state_dict, prefix, local_metadata)` may change the collected state in place."""
        return self._register("state_dict", (hook, False))

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The same, but the hook may return another dict."""
        return self._register("state_dict", (hook, True))

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """`register_load_state_dict_pre_hook`, whose hook gets the module only where `with_module` says
        so."""
        if with_module:
            return self._register("load_state_dict_pre", hook)
        return self._register("load_state_dict_pre", lambda module, *args: hook(*args))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)` runs before
        loading.
        """
        return self._register("load_state_dict_pre", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(module, incompatible_keys)` may change the two lists in place."""
        return self._register("load_state_dict_post", hook)

    # ---- text --------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if not name[:1].isdigit())

    def extra_repr(self) -> str:
        """The text between the brackets of a module's line."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): " + repr(m).replace("\n", "\n  ") for name, m in self._modules.items()]
        if len(extra) == 1 and not children:
            return f"{self._get_name()}({extra[0]})"
        lines = extra + children
        return (
            self._get_name() + "(" + "".join(f"\n  {line}" for line in lines) + ("\n" if lines else "") + ")"
        )


_EXTRA = "_extra_state"
_EXPECTED = (
    ("_parameters", "parameter", "nn.Parameter"),
    ("_modules", "child module", "nn.Module"),
    ("_buffers", "buffer", "Tensor"),
)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{n}"' for n in names)


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str | None, np.dtype[Any] | None]:
    device: str | None = kwargs.pop("device", None)
    dtype: Any = kwargs.pop("dtype", None)
    for name in ("non_blocking", "copy", "memory_format"):
        kwargs.pop(name, None)
    if kwargs:
        raise TypeError(f"to: unexpected keyword argument {next(iter(kwargs))!r}")
    for a in args:
        if a is None or isinstance(a, bool):  # None keeps; a bare bool is non_blocking
            continue
        if isinstance(a, Tensor):
            device, dtype = a.device, a.dtype
        elif isinstance(a, str) and a.partition(":")[0] in ("cpu", "cuda"):
            device = a
        elif isinstance(a, int):
            device = f"cuda:{a}"
        else:
            dtype = a
    if dtype is None:
        return device, None
    dt = np.dtype(dtype)
    if dt.kind != "f":
        raise TypeError(f"to: a module accepts only floating-point dtypes, got {dt}")
    return device, dt


class _BackwardWatch:
    """Two identity nodes around a forward: the outer sees grad_output, the inner grad_input."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.places: list[int] = []
        self.n_inputs = 0
        self.watching = False
        self.grad_output: tuple[Tensor | None, ...] = ()

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tensors = [(i, a) for i, a in enumerate(args) if isinstance(a, Tensor)]
        self.n_inputs = len(args)
        self.places = [i for i, _ in tensors]
        self.watching = any(t.requires_grad for _, t in tensors)
        if not self.watching:
            return args

        def module_backward(*grads: Any) -> list[Any]:
            return self._finish(list(grads[:-1]))

        watched = record(
            tuple(
                t.array.tracked(True) for _, t in tensors
            ),  # a view: a change in place leaves what comes in
            tuple(t for _, t in tensors),
            module_backward,
            trusted=False,
        )
        result = list(args)
        for (i, given), t in zip(tensors, watched):
            result[i] = t if given.requires_grad else given
        return tuple(result)

    def _finish(self, grads: list[_C.Array | None]) -> list[_C.Array | None]:
        full: list[Tensor | None] = [None] * self.n_inputs
        for i, g in zip(self.places, grads):
            full[i] = None if g is None else Tensor(g)
        grad_input = tuple(full)
        for hook in self.module._listeners("backward").values():
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
                if len(grad_input) != self.n_inputs:
                    raise RuntimeError(
                        f"backward hook: must return {self.n_inputs} gradients, got {len(grad_input)}"
                    )
        picked = [grad_input[i] for i in self.places]
        return [None if g is None else g.array.tracked(False) for g in picked]

    def outputs(self, result: Any) -> Any:
        single = not isinstance(result, (tuple, list))
        values = [result] if single else list(result)
        places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
        if not places:
            return result

        def module_output_backward(*grads: Any) -> list[Any]:
            full: list[Tensor | None] = [None] * len(values)
            for i, g in zip(places, grads):
                full[i] = None if g is None else Tensor(g)
            grad_output = tuple(full)
            for hook in self.module._listeners("backward_pre").values():
                changed = hook(self.module, grad_output)
                if changed is not None:
                    grad_output = changed if isinstance(changed, tuple) else (changed,)
                    if len(grad_output) != len(values):
                        raise RuntimeError(
                            f"backward pre-hook: must return {len(values)} gradients, got {len(grad_output)}"
                        )
            self.grad_output = grad_output
            if not self.watching:  # no input asks for a gradient: nothing will follow, so the hooks run here
                if "backward" in self.module._hooks:
                    warnings.warn(
                        "Full backward hook is firing when gradients are computed with respect to module "
                        "outputs "
                        "since no inputs require gradients",
                        stacklevel=2,
                    )
                self._finish([None] * len(self.places))
            picked = [grad_output[i] for i in places]
            return [None if g is None else g.array.tracked(False) for g in picked]

        inner = tuple(values[i] for i in places)
        arrays = tuple(t.array.tracked(True) for t in inner)
        for i, t in zip(places, record(arrays, inner, module_output_backward, trusted=False)):
            values[i] = t
        return values[0] if single else type(result)(values)
