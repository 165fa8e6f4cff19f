"""What all optimizers share: parameter groups, state, hooks, and their dictionaries, in torch's layout."""

from __future__ import annotations

import copy
import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import RemovableHandle, enable_grad, no_grad
from dlcore.tensor import Tensor, as_array

__all__ = ["Optimizer", "Params"]

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]] | Iterable[tuple[str, Tensor]]

# What torch keeps as 0-d tensors and the kernels take as plain numbers.
_NUMBERS = frozenset({"step", "mu_product", "eta", "mu"})


def positive(name: str, value: Any, zero: bool = True) -> None:
    """torch's message for a hyperparameter out of range; a rate may be a tensor of one element."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not (value >= 0.0 if zero else value > 0.0):
        raise ValueError(f"Invalid {name}: {value}")


def check_betas(betas: tuple[float, float]) -> None:
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_flags(
    foreach: bool | None = None,
    fused: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
) -> None:
    """`foreach` and `fused` choose between implementations of which there is one here; the others are
    refused.
    """
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if capturable:
        raise NotImplementedError("optimizer: capturable=True is not supported (there are no CUDA graphs)")
    if differentiable:
        raise NotImplementedError("optimizer: differentiable=True is not supported; a step is off the tape")


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """A class's own step between the hooks; a step that calls its parent's runs them once."""

    @functools.wraps(step)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        self: Optimizer = args[0]
        if self._stepping:
            return step(*args, **kwargs)
        self._stepping = self._opt_called = True
        try:
            for hook in list(self._hooks["step_pre"].values()):
                changed = hook(self, args, kwargs)  # as in torch, args begin with the optimizer
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise RuntimeError(
                            f"step pre-hook: must return None or (args, kwargs), got {changed!r}"
                        )
                    args, kwargs = changed
            result = step(*args, **kwargs)
            for hook in list(self._hooks["step_post"].values()):
                hook(self, args, kwargs)
            return result
        finally:
            self._stepping = False

    return hooked


class Optimizer:
    """Base class: `param_groups` (dicts of "params" and the options) and `state` (a dict a parameter).

    Parameters are updated in place, in the memory that they have: views and `numpy()` see the step. A
    subclass defines `step`, or `_update` alone, which gets the parameters of a group that have a gradient.

    Raises ValueError for an empty list of parameters, tensors that are no leaves, a parameter in two groups
    and options out of range; TypeError for what is not a tensor.
    """

    _stepping = False
    _opt_called = False  # a schedule warns where it is stepped first

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, np.ndarray)):
            raise TypeError(
                f"params must be an iterable of tensors or of dicts, got {type(params).__name__}; "
                "pass [tensor]"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._hooks: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        given: list[Any] = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(dict(group) if isinstance(group, Mapping) else group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with options of their own; those not given are the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        given = param_group["params"]
        if isinstance(given, Tensor):
            params: list[Any] = [given]
        elif isinstance(given, (set, frozenset)):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but sets are not"
            )
        else:
            params = list(given)
        if any(isinstance(p, tuple) for p in params):
            if not all(isinstance(p, tuple) for p in params):
                raise ValueError(
                    "all optimizer params should be with/without names. Some param names are missing"
                )
            param_group["param_names"] = [p[0] for p in params]
            params = [p[1] for p in params]
        if self.param_groups and ("param_names" in param_group) != ("param_names" in self.param_groups[0]):
            raise ValueError("all optimizer param groups should be with/without names.")
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize tensors, but one of the params is {type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause "
                "an error",
                UserWarning,
                stacklevel=3,
            )
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        for name, default in self.defaults.items():
            param_group.setdefault(name, copy.deepcopy(default))
        param_group["params"] = params
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, or fills them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                else:
                    p.grad.zero_()

    @_with_hooks
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient. `closure` computes the loss again and is called
        first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                params = [p for p in group["params"] if p.grad is not None]
                if params:
                    self._update(group, params, [p.array for p in params], [p.grad.array for p in params])
        return loss

    def _update(
        self, group: dict[str, Any], params: list[Tensor], arrays: list[_C.Array], grads: list[_C.Array]
    ) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no step of its own")

    # ---- hooks -------------------------------------------------------------------------------------------

    def _register(self, kind: str, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        hooks = self._hooks[kind]
        before = dict(hooks) if prepend else {}
        handle = RemovableHandle(hooks, hook)
        for key, other in before.items():
            del hooks[key]
            hooks[key] = other
        return handle

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(optimizer, args, kwargs)` runs before a step and may return new (args, kwargs)."""
        return self._register("step_pre", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(optimizer, args, kwargs)` runs after a step."""
        return self._register("step_post", hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """`hook(optimizer)` runs before the state is collected."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """`hook(optimizer, state_dict)` may change what was collected, or return another."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """`hook(optimizer, state_dict)` may change a shallow copy of what will be loaded, or return
        another.
        """
        return self._register("load_pre", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """`hook(optimizer)` runs when the state has been loaded."""
        return self._register("load_post", hook, prepend)

    # ---- state -------------------------------------------------------------------------------------------

    def _steps(self, params: list[Tensor]) -> list[float]:
        """Counts one more step of each."""
        steps = []
        for p in params:
            state = self.state[p]
            state["step"] = state.get("step", 0.0) + 1.0
            steps.append(state["step"])
        return steps

    def _slots(self, name: str, params: list[Tensor], value: float = 0.0) -> list[_C.Array]:
        """Each parameter's state of that name, contiguous; made of `value` the first time."""
        arrays = []
        for p in params:
            state = self.state[p]
            slot = state.get(name)
            if slot is None:
                slot = state[name] = Tensor(_C.full(p.shape, value, p.dtype, p.device))
            arrays.append(slot.array)
        return arrays

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: {...}}, "param_groups": [...]}, the parameters named by their order, as in
        torch."""
        for hook in list(self._hooks["state_dict_pre"].values()):
            hook(self)
        index: dict[int, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                index.setdefault(id(p), len(index))
        groups = [
            {
                **{k: v for k, v in group.items() if k != "params"},
                "params": [index[id(p)] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        state = {
            "state": {
                index[id(p)]: {k: _shown(k, v) for k, v in s.items()}
                for p, s in self.state.items()
                if id(p) in index
            },
            "param_groups": groups,
        }
        for hook in list(self._hooks["state_dict_post"].values()):
            changed = hook(self, state)
            state = state if changed is None else changed
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copies options and state; arrays may be tensors or anything array-like, in each parameter's dtype.

        Raises ValueError where the groups or their sizes differ.
        """
        state_dict = dict(state_dict)
        for hook in list(self._hooks["load_pre"].values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups, saved = self.param_groups, state_dict["param_groups"]
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, saved)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                "group"
            )
        names = [i for group in saved for i in group["params"]]
        params = [p for group in groups for p in group["params"]]
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for name, p in zip(names, params):
            if name in state_dict["state"]:
                state[p] = {k: _own(p, k, v) for k, v in state_dict["state"][name].items()}
        for group, other in zip(groups, saved):
            kept = {"params", "param_names"} if "param_names" not in other else {"params"}
            group.update({k: copy.deepcopy(v) for k, v in other.items() if k not in kept})
        self.state = state
        for hook in list(self._hooks["load_post"].values()):
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "state": dict(self.state), "_hooks": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.state = defaultdict(dict, state["state"])
        self._hooks = defaultdict(dict, state.get("_hooks", {}))

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])


def _shown(name: str, value: Any) -> Any:
    """A state's value as it stands in a state dict: counts are 0-d tensors there."""
    if name in _NUMBERS and isinstance(value, float):
        dtype = np.float32 if name == "step" else np.float64
        return Tensor(_C.from_numpy(np.full((), value, dtype)))
    return value


def _own(p: Tensor, name: str, value: Any) -> Any:
    """The optimizer's own copy of a value from a state dict."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return float(value) if name in _NUMBERS and value is not None else value
    if name in _NUMBERS:
        return float(value.item() if hasattr(value, "item") else value)
    if isinstance(value, (list, tuple)):
        return [_own(p, name, v) for v in value]
    given = value if isinstance(value, Tensor) else as_array(value)
    floating = given.dtype.kind == "f"
    array = _C.contiguous(as_array(value, p.dtype if floating else None, copy=True))
    return Tensor(_C.to_device(array, p.device))
