"""weight_norm and spectral_norm in torch's classic form: a forward pre-hook computes the weight from
`weight_g` and `weight_v`, or from `weight_orig` and the buffers `weight_u` and `weight_v`."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from dlcore.autograd import no_grad
from dlcore.nn.module import Module, Parameter, UninitializedParameter
from dlcore.nn.utils._norms import (
    as_matrix,
    norm_except_dim,
    power_steps,
    random_unit,
    spectral,
    weight_normed,
)
from dlcore.tensor import Tensor, tensor

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class _Hook:
    """A forward pre-hook that computes module.<name>."""

    name: str

    def compute(self, module: Module) -> Tensor:
        raise NotImplementedError

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module))


def _find(module: Module, kind: type[_Hook], name: str) -> tuple[int, Any] | None:
    for key, (hook, _) in module._hooks.get("forward_pre", {}).items():
        if isinstance(hook, kind) and hook.name == name:
            return key, hook
    return None


def _take(op: str, module: Module, kind: type[_Hook], name: str) -> Parameter:
    if _find(module, kind, name) is not None:
        raise RuntimeError(f"Cannot register two {op} hooks on the same parameter {name}")
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"{op}: the parameter `{name}` is None")
    if isinstance(weight, UninitializedParameter):
        raise ValueError(f"{op}: the module must be initialised; run a forward first")
    delattr(module, name)
    return weight


def _drop(op: str, module: Module, kind: type[_Hook], name: str) -> Any:
    found = _find(module, kind, name)
    if found is None:
        raise ValueError(f"{op} of '{name}' not found in {module}")
    del module._hooks["forward_pre"][found[0]]
    if not module._hooks["forward_pre"]:
        del module._hooks["forward_pre"]
    return found[1]


class _WeightNorm(_Hook):
    def __init__(self, name: str, dim: int) -> None:
        self.name = name
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        return weight_normed(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """w = g v / ||v||, the norm over all axes but `dim` (None: over all): parameters `weight_g` and
    `weight_v`.

    T. Salimans, D. Kingma: Weight normalization (NeurIPS 2016). See also `parametrizations.weight_norm`.

    Raises RuntimeError for a second one on the same parameter, ValueError for one that is None.

    >>> import dlcore
    >>> layer = dlcore.nn.utils.weight_norm(dlcore.nn.Linear(20, 40))
    >>> layer.weight_g.shape, layer.weight_v.shape
    ((40, 1), (40, 20))
    """
    weight = _take("weight_norm", module, _WeightNorm, name)
    hook = _WeightNorm(name, -1 if dim is None else dim)
    with no_grad():
        g = norm_except_dim(weight, hook.dim)
    module.register_parameter(name + "_g", Parameter(g))
    module.register_parameter(name + "_v", Parameter(weight.data))
    setattr(module, name, hook.compute(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Makes the weight a parameter again, of its present value.

    Raises ValueError where there is no weight norm.
    """
    hook = _drop("weight_norm", module, _WeightNorm, name)
    with no_grad():
        weight = hook.compute(module)
    for attribute in (name, name + "_g", name + "_v"):
        delattr(module, attribute)
    setattr(module, name, Parameter(weight))
    return module


class _SpectralNorm(_Hook):
    version = 1

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name, self.dim, self.eps = name, dim, eps
        self.n_power_iterations = n_power_iterations

    def compute(self, module: Module, iterate: bool | None = None) -> Tensor:
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if module.training if iterate is None else iterate:
            power_steps(matrix, u, v, self.n_power_iterations, self.eps, u_first=False)
        result: Tensor = weight / spectral(matrix, u, v)
        return result

    def saved(self, module: Module, state: Any, prefix: str, metadata: dict[str, Any]) -> None:
        metadata.setdefault("spectral_norm", {})[self.name + ".version"] = self.version

    def load(
        self, module: Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any], strict: bool,
        missing: list[str], *_: Any,
    ) -> None:  # fmt: skip
        """A state dict from before there was `_v` gets one that gives its weight."""
        version = metadata.get("spectral_norm", {}).get(self.name + ".version")
        key = prefix + self.name
        if version is not None or (all(key + s in state for s in ("_orig", "_u", "_v")) and key not in state):
            return
        absent = [key + s for s in ("_orig", "", "_u") if key + s not in state]
        if absent:
            missing.extend(absent if strict else [])
            return
        original = np.asarray(state[key + "_orig"], np.float64)
        sigma = float((original / np.asarray(state.pop(key), np.float64)).mean())
        matrix = np.moveaxis(original, self.dim, 0).reshape(original.shape[self.dim], -1)
        u = np.asarray(state[key + "_u"], np.float64)
        v = np.linalg.pinv(matrix.T @ matrix) @ matrix.T @ u
        state[key + "_v"] = tensor(v * (sigma / (u @ matrix @ v)), dtype=np.asarray(state[key + "_u"]).dtype)


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """w = w / sigma, the largest singular value of w as a matrix of `dim` (1 for transposed convolutions,
    else 0) by the rest, from `n_power_iterations` steps of the power method in every training forward.

    T. Miyato et al.: Spectral normalization for generative adversarial networks (ICLR 2018). See also
    `parametrizations.spectral_norm`.

    Raises RuntimeError for a second one on the same parameter, ValueError for n_power_iterations <= 0.

    >>> import dlcore
    >>> list(dlcore.nn.utils.spectral_norm(dlcore.nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    if dim is None:
        dim = default_dim(module)
    hook = _SpectralNorm(name, n_power_iterations, dim, eps)
    weight = _take("spectral_norm", module, _SpectralNorm, name)
    matrix = as_matrix(Tensor(weight.array), dim)
    u, v = (random_unit(matrix, n, eps) for n in matrix.shape)
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.data)
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(hook)
    module._register_state_dict_hook(hook.saved)
    module.register_load_state_dict_pre_hook(hook.load)
    return module


def default_dim(module: Module) -> int:
    """Where a layer's outputs stand in its weight."""
    return int(type(module).__name__.startswith(("ConvTranspose", "LazyConvTranspose")))


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Makes the weight a parameter again, of its present value.

    Raises ValueError where there is no spectral norm.
    """
    hook = _drop("spectral_norm", module, _SpectralNorm, name)
    with no_grad():
        weight = hook.compute(module, iterate=False)
    for attribute in (name, name + "_u", name + "_v", name + "_orig"):
        delattr(module, attribute)
    for kind in ("state_dict", "load_state_dict_pre"):
        hooks = module._hooks.get(kind, {})
        for key, value in list(hooks.items()):
            method = value[0] if isinstance(value, tuple) else value
            if getattr(method, "__self__", None) is hook:
                del hooks[key]
        if not hooks:
            module._hooks.pop(kind, None)
    module.register_parameter(name, Parameter(weight))
    return module
