"""What all optimizers share: parameter groups, state, and their dictionaries, in torch's layout."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import enable_grad, no_grad
from dlcore.tensor import Tensor, as_array

__all__ = ["Optimizer", "Params"]

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]] | Iterable[tuple[str, Tensor]]


def positive(name: str, value: float, zero: bool = True) -> None:
    """torch's message for a hyperparameter out of range."""
    if not (value >= 0.0 if zero else value > 0.0):
        raise ValueError(f"Invalid {name}: {value}")


def check_betas(betas: tuple[float, float]) -> None:
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class Optimizer:
    """Base class: `param_groups` (dicts of "params" and the options) and `state` (a dict a parameter).

    Parameters are updated in place, in the memory that they have: views and `numpy()` see the step.

    Raises ValueError for an empty list of parameters, leaves that need no gradient, a parameter in two groups
    and
    options out of range; TypeError for what is not a tensor.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, np.ndarray)):
            raise TypeError(
                f"params must be an iterable of tensors or of dicts, got {type(params).__name__}; "
                "pass [tensor]"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        given: list[Any] = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(dict(group))

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
        if params and all(isinstance(p, tuple) for p in params):
            param_group["param_names"] = [p[0] for p in params]
            params = [p[1] for p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize tensors, but one of the params is {type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        if len({id(p) for p in params}) != len(params):
            raise ValueError("optimizer contains a parameter group with duplicate parameters")
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
                    p.grad = Tensor(_C.full(p.grad.shape, 0.0, p.grad.dtype, p.grad.device))

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

    # ---- state
    # ------------------------------------------------------------------------------------------------------

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
        index = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        groups = [
            {
                **{k: v for k, v in group.items() if k != "params"},
                "params": [index[id(p)] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        return {
            "state": {index[id(p)]: dict(s) for p, s in self.state.items() if id(p) in index},
            "param_groups": groups,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copies options and state; arrays may be tensors or anything array-like, in each parameter's dtype.

        Raises ValueError where the groups or their sizes differ.
        """
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
                state[p] = {k: self._own(p, k, v) for k, v in state_dict["state"][name].items()}
        for group, other in zip(groups, saved):
            group.update({k: copy.deepcopy(v) for k, v in other.items() if k != "params"})
        self.state = state

    @staticmethod
    def _own(p: Tensor, name: str, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if name in ("step", "mu_product"):
            return float(np.asarray(value))
        array = _C.contiguous(as_array(value, p.dtype, copy=True))
        return Tensor(_C.to_device(array, p.device))

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": dict(self.state), "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.state = defaultdict(dict, state["state"])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])
