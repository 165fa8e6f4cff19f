"""A tensor of a module as a function of others: `module.weight` runs the parametrizations of its originals.

The module becomes an instance of a subclass of its class, with a property in the tensor's place, as in
torch; the state dict holds `parametrizations.weight.original` (or original0, original1, ...).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from dlcore.autograd import no_grad
from dlcore.nn.container import ModuleDict, ModuleList
from dlcore.nn.module import Module, Parameter
from dlcore.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

_cache: dict[tuple[int, str], Tensor] = {}
_caching = 0


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once."""
    global _caching
    _caching += 1
    try:
        yield
    finally:
        _caching -= 1
        if not _caching:
            _cache.clear()


def _keep(module: Module, name: str, x: Any) -> None:
    if isinstance(x, Parameter):
        module.register_parameter(name, x)
    else:
        module.register_buffer(name, x)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and what they start from."""

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            new: Any = original
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is not None:
                    with suppress(NotImplementedError):
                        new = inverse(new)
        if not isinstance(new, Tensor) and not isinstance(new, (tuple, list)):
            raise ValueError(
                f"'right_inverse' must return a Tensor or a Sequence of tensors. Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            if original.dtype != new.dtype:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the dtype, got {new.dtype} "
                    f"for {original.dtype}"
                )
            if isinstance(original, Parameter):
                original.data = new
                new = original
            _keep(self, "original", new)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError(f"right_inverse must return tensors, got {type(part).__name__} at {i}")
                part = Parameter(part, original.requires_grad) if isinstance(original, Parameter) else part
                _keep(self, f"original{i}", part)
        if not unsafe:
            result = self()
            if not isinstance(result, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
            if result.dtype != dtype or result.shape != shape:
                raise ValueError(
                    "Registering a parametrization may not change the dtype or the shape of the tensor, "
                    f"unless the `unsafe` flag is enabled, got {result.shape} {result.dtype} for {shape} "
                    f"{dtype}"
                )

    def _originals(self) -> list[Tensor]:
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def right_inverse(self, value: Tensor) -> None:
        """Sets the originals to what gives `value`, where every parametrization has a right_inverse."""
        with no_grad():
            new: Any = value
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is None:
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                new = inverse(new)
            parts = [new] if self.is_tensor else list(new)
            originals = self._originals()
            if len(parts) != len(originals):
                raise ValueError(
                    f"right_inverse must return {len(originals)} tensors, as when it was registered, "
                    f"got {len(parts)}"
                )
            for target, part in zip(originals, parts):
                if not isinstance(part, Tensor) or part.dtype != target.dtype:
                    raise ValueError("right_inverse must return tensors of the dtypes of the originals")
                target.data = part.clone()

    def forward(self) -> Any:
        first, *rest = list(self)
        x = first(*self._originals())
        for module in rest:
            x = module(x)
        return x


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    # The class was made for this module: its copy needs one of its own.
    cls: Any = type(self)
    new: Any = cls.__new__(cls)
    memo[id(self)] = new
    new.__setstate__(copy.deepcopy(self.__getstate__(), memo))
    names = list(self.parametrizations)
    new.__class__ = cls.__bases__[0]
    _inject_class(new)
    for name in names:
        _inject_property(new, name)
    return new


def _refuse_pickle(self: Module, protocol: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(); "
        "remove_parametrizations first"
    )


def _inject_class(module: Module) -> None:
    base = type(module)
    members: dict[str, Any] = {"__reduce_ex__": _refuse_pickle}
    if not hasattr(base, "__deepcopy__"):
        members["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), members)


def _inject_property(module: Module, name: str) -> None:
    def get(self: Any) -> Any:
        parametrization = self.parametrizations[name]
        if not _caching:
            return parametrization()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = parametrization()
        return _cache[key]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


def register_parametrization(
    module: Any, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Any:
    """Makes module.<tensor_name> parametrization(original); several ones run one after the other.

    A `right_inverse(value)` gives the original, or a tuple of several, from which the value comes. Raises
    ValueError for a name that is no parameter or buffer, and, unless `unsafe`, for a change of shape or
    dtype.

    >>> import dlcore
    >>> from dlcore.nn.utils import parametrize
    >>> class Symmetric(dlcore.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = parametrize.register_parametrization(dlcore.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        known: Any = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            if not isinstance(after, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(after).__name__}.")
            if after.dtype != before.dtype or after.shape != before.shape:
                raise ValueError(
                    "Registering a parametrization may not change the dtype or the shape of the tensor, "
                    f"unless the `unsafe` flag is enabled, got {after.shape} {after.dtype} for "
                    f"{before.shape} {before.dtype}"
                )
        known.append(parametrization)
        known.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    entry = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _inject_class(module)
        module.parametrizations = ModuleDict()
    _inject_property(module, tensor_name)
    module.parametrizations[tensor_name] = entry
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether this tensor of the module, or any, is parametrized."""
    known = module.__dict__.get("parametrizations")
    if not isinstance(known, ModuleDict):
        return False
    return len(known) > 0 if tensor_name is None else tensor_name in known


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Makes the tensor an ordinary one again: of its present value, or its original.

    Raises ValueError where it is not parametrized, and where several originals have no single one to leave.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    entry: Any = module.parametrizations[tensor_name]
    with no_grad():
        value = getattr(module, tensor_name)
    if entry.is_tensor:
        original = entry.original
        if leave_parametrized:
            original.data = value.clone()
    elif leave_parametrized:
        needs = any(t.requires_grad for t in entry._originals())
        original = Parameter(value) if needs else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in "
            "terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    _keep(module, tensor_name, original)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class without parametrizations."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
