"""Modules that hold modules or parameters: Sequential, ModuleList, ModuleDict, ParameterList,
ParameterDict.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Self, overload

from dlcore.autograd import is_grad_enabled
from dlcore.nn.activation import ReLU, Sigmoid, Tanh
from dlcore.nn.conv import Conv1d, Conv2d, Conv3d
from dlcore.nn.linear import Identity, Linear
from dlcore.nn.module import _LOCATED, Module, Parameter, locate
from dlcore.nn.norm import BatchNorm2d
from dlcore.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

# Sequential fuses `layer, activation` into one call where both are exactly of these types and nobody listens.
_FUSABLE_LAYERS = frozenset({Linear, Conv1d, Conv2d, Conv3d})
_FUSABLE_ACTIVATIONS: dict[type, str] = {ReLU: "relu", Sigmoid: "sigmoid", Tanh: "tanh"}


def _unobserved(m: Module) -> bool:
    return not m._hooks and "forward" not in m.__dict__


def folded(
    conv: Any, norm: Module | None, act: Module | None, input: Tensor, residual: Tensor | None = None
) -> Tensor | None:
    """act(norm(conv(input)) + residual) as one kernel; None where somebody could tell the difference (the
    tape records, a module is watched, the norm is in training) or the types are others. An Identity is no
    norm.
    """
    if (
        is_grad_enabled()
        or type(conv) is not Conv2d
        or input.ndim != 4
        or input.device != "cpu"
        or not (act is None or type(act) in _FUSABLE_ACTIVATIONS)
        or not all(m is None or _unobserved(m) for m in (conv, norm, act))
    ):
        return None
    running = None
    if type(norm) is BatchNorm2d:
        running = norm.running()
        if running is None or norm.num_features != conv.out_channels or running[0].dtype != input.dtype:
            return None
    elif norm is not None and type(norm) is not Identity:
        return None
    return conv.forward_folded(
        input, "" if act is None else _FUSABLE_ACTIVATIONS[type(act)], running, residual
    )


class Sequential(Module):
    """Calls its modules one after the other: y = fₙ(… f₁(x)).

    Takes modules, or one OrderedDict of them. A Linear or convolution directly followed by ReLU, Sigmoid or
    Tanh runs as one fused kernel, with the same result, unless a hook is registered on either; so does a
    Conv2d with the BatchNorm2d behind it, in evaluation without gradients, up to rounding.

    >>> import dlcore
    >>> from dlcore import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))(dlcore.tensor([[1.0, 2.0]])).shape
    (1, 1)
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        modules: list[Any] = [*self._modules.values(), None]
        i, n = 0, len(modules) - 1
        while i < n:
            module, activation = modules[i], modules[i + 1]
            i += 1
            if type(activation) is BatchNorm2d and type(module) is Conv2d:
                norm, activation = activation, modules[i + 1]
                act = activation if type(activation) in _FUSABLE_ACTIVATIONS else None
                try:
                    y = folded(module, norm, act, input)
                except _LOCATED as error:
                    locate(error, module)
                    raise
                if y is not None:
                    input = y
                    i += 1 if act is None else 2
                else:
                    input = module(input)
            elif (
                type(module) in _FUSABLE_LAYERS
                and type(activation) in _FUSABLE_ACTIVATIONS
                and _unobserved(module)
                and _unobserved(activation)
            ):
                i += 1
                try:
                    input = module.forward_activated(input, _FUSABLE_ACTIVATIONS[type(activation)])
                except _LOCATED as error:
                    locate(error, module)
                    raise
            else:
                input = module(input)
        return input

    def _key(self, index: Any) -> str:
        n = len(self)
        i = operator.index(index)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return list(self._modules)[i % n]

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.__class__(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for name in names:
            delattr(self, name)
        rest = list(self._modules.values())
        self._modules.clear()
        self._modules.update((str(i), m) for i, m in enumerate(rest))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add: only a Sequential can be added, got {type(other).__name__}")
        return Sequential(*self, *other)

    def __iadd__(self, other: Any) -> Self:
        if not isinstance(other, Sequential):
            raise ValueError(f"add: only a Sequential can be added, got {type(other).__name__}")
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        if not isinstance(times, int):
            raise TypeError(
                f"multiply: a Sequential repeats an int number of times, got {type(times).__name__}"
            )
        if times <= 0:
            raise ValueError(f"multiply: a Sequential repeats at least once, got {times}")
        return Sequential(*(m for _ in range(times) for m in self))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        more = [m for _ in range(len(self * times) // max(len(self), 1) - 1) for m in self]
        return self.extend(more)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Adds a module before `index`."""
        if not isinstance(module, Module):
            raise AssertionError(f"insert: module must be a Module, got {type(module).__name__}")
        n = len(self)
        if not -n <= index <= n:
            raise IndexError(f"Index out of range: {index}")
        modules = list(self._modules.values())
        modules.insert(index + n if index < 0 else index, module)
        self._modules.clear()
        self._modules.update((str(i), m) for i, m in enumerate(modules))
        return self

    def extend(self, sequential: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in list(sequential):
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Removes and returns the module at `key`."""
        value = self[key]
        del self[key]
        return value


class ModuleList(Module):
    """A list whose modules are registered; it has no forward of its own.

    >>> from dlcore import nn
    >>> len(list(nn.ModuleList([nn.Linear(2, 2) for _ in range(3)]).parameters()))
    6
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _key(self, index: Any) -> str:
        n = len(self)
        i = operator.index(index)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return str(i % n)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module | ModuleList:
        if isinstance(index, slice):
            return self.__class__(list(self._modules.values())[index])
        return self._modules[self._key(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def _reset(self, modules: list[Module]) -> None:
        self._modules.clear()
        self._modules.update((str(i), m) for i, m in enumerate(modules))

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self._modules.values())
        del modules[index if isinstance(index, slice) else int(self._key(index))]
        self._reset(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))

    def insert(self, index: int, module: Module) -> None:
        """Adds a module before `index`."""
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._reset(modules)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Removes and returns the module at `key`."""
        value = self[key]
        del self[key]
        return value

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList.extend: modules must be iterable, got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def __repr__(self) -> str:
        # Runs of modules that print alike are one line: (0-5): 6 x Linear(...).
        runs: list[tuple[int, int, str]] = []
        for i, text in enumerate(repr(m) for m in self):
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        if not runs:
            return self._get_name() + "()"
        lines = []
        for first, last, text in runs:
            head = f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x "
            lines.append("\n  " + (head + text).replace("\n", "\n  "))
        return self._get_name() + "(" + "".join(lines) + "\n)"


class ModuleDict(Module):
    """A dict whose modules are registered; it has no forward of its own.

    >>> from dlcore import nn
    >>> nn.ModuleDict({"a": nn.Identity(), "b": nn.Flatten()})["b"]
    Flatten(start_dim=1, end_dim=-1)
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Removes and returns the module under `key`."""
        module = self[key]
        del self[key]
        return module

    def keys(self) -> Iterable[str]:
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Module]]:
        return self._modules.items()

    def values(self) -> Iterable[Module]:
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules from a mapping or from (key, module) pairs."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleDict.update: expected a mapping or pairs, got {type(modules).__name__}")
        if isinstance(modules, (Mapping, ModuleDict)):
            for key, module in modules.items():
                self[key] = module
            return
        for i, pair in enumerate(modules):
            if not isinstance(pair, Iterable):
                raise TypeError(
                    f"ModuleDict.update: item {i} must be a (key, module) pair, got {type(pair).__name__}"
                )
            key, module = pair
            self[key] = module


def _as_parameter(value: Any) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor):
        return Parameter(value)
    raise TypeError(f"a parameter container holds tensors, got {type(value).__name__}")


class _Parameters(Module):
    def __len__(self) -> int:
        return len(self._parameters)

    def __repr__(self) -> str:
        lines = "".join(
            f"\n    ({name}): Parameter containing: [{p.dtype} of size {'x'.join(map(str, p.shape))}]"
            for name, p in self._parameters.items()
            if p is not None
        )
        return f"{self._get_name()}({lines}" + ("\n)" if lines else ")")


class ParameterList(_Parameters):
    """A list whose tensors are registered as parameters.

    >>> import dlcore
    >>> len(list(dlcore.nn.ParameterList([dlcore.tensor([1.0]), dlcore.tensor([2.0])]).parameters()))
    2
    """

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        if values is not None:
            self.extend(values)

    def _key(self, index: Any) -> str:
        n = len(self)
        i = operator.index(index)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return str(i % n)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.__class__(list(self)[index])
        return self._parameters[self._key(index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self._parameters[self._key(index)] = _as_parameter(value)

    def __iter__(self) -> Iterator[Parameter]:
        return iter([p for p in self._parameters.values() if p is not None])

    def __iadd__(self, values: Iterable[Tensor]) -> Self:
        return self.extend(values)

    def append(self, value: Tensor) -> Self:
        """Adds a tensor at the end."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Adds tensors at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(f"ParameterList.extend: values must be iterable, got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self


class ParameterDict(_Parameters):
    """A dict whose tensors are registered as parameters.

    >>> import dlcore
    >>> [name for name, _ in dlcore.nn.ParameterDict({"a": dlcore.tensor([1.0])}).named_parameters()]
    ['a']
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] | None = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Tensor) -> None:
        if key in self._parameters:
            self._parameters[key] = _as_parameter(value)
        else:
            self.register_parameter(key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        return self._parameters.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        return self._parameters.items()

    def values(self) -> Iterable[Any]:
        return self._parameters.values()

    def get(self, key: str, default: Any = None) -> Any:
        return self._parameters.get(key, default)

    def pop(self, key: str) -> Any:
        """Removes and returns the parameter under `key`."""
        value = self._parameters[key]
        del self._parameters[key]
        return value

    def clear(self) -> None:
        self._parameters.clear()

    def update(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
        """Adds or replaces parameters from a mapping or from (key, tensor) pairs."""
        pairs = parameters.items() if isinstance(parameters, (Mapping, ParameterDict)) else parameters
        for key, value in pairs:
            self[key] = value
