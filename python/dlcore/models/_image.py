"""What the image models share: weights from files, and batch normalisation folded away for inference."""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dlcore import _C, nn
from dlcore.io import open_checkpoint
from dlcore.nn import init
from dlcore.nn.container import _unobserved
from dlcore.nn.utils.fusion import fuse_conv_bn_eval
from dlcore.tensor import Tensor

__all__ = ["ImageModel", "build", "conv_norm_act", "fuse"]

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".json")
_FUSED = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}
State = Mapping[str, Any]
M = TypeVar("M", bound=nn.Module)


# ---- inference ---------------------------------------------------------------------------------------------


def conv_norm_act(conv: nn.Module, norm: nn.Module, act: nn.Module, x: Tensor) -> Tensor:
    """act(norm(conv(x))); one kernel where `fuse` has folded the norm into the convolution."""
    if (
        type(norm) is nn.Identity
        and type(conv) is nn.Conv2d
        and type(act) in _FUSED
        and _unobserved(conv)
        and _unobserved(act)
    ):
        return conv.forward_activated(x, _FUSED[type(act)])
    y: Tensor = act(norm(conv(x)))
    return y


def fuse(model: M) -> M:
    """Folds each batch normalisation that follows a convolution into it, in place, and returns the model.

    Follows one: the next module of a Sequential, or the partner that a block names in `_norm_of`. The model
    must be in eval mode; its outputs stay the same up to rounding, its state dict loses the norms.

    Raises RuntimeError in training mode.

    >>> import dlcore
    >>> from dlcore import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    >>> [type(m).__name__ for m in dlcore.models.fuse(net)]
    ['Conv2d', 'ReLU']
    """
    if model.training:
        raise RuntimeError("fuse: the model must be in eval mode, got one in training mode")
    for module in list(model.modules()):
        children = module._modules
        if isinstance(module, nn.Sequential):
            names = list(children)
            for first, second in itertools.pairwise(names):
                if _folds(children.get(first), children[second]):
                    setattr(module, first, fuse_conv_bn_eval(children[first], children[second]))
                    delattr(module, second)  # the names after it stay
        for first, second in getattr(module, "_norm_of", {}).items():
            if _folds(children[first], children[second]):
                setattr(module, first, fuse_conv_bn_eval(children[first], children[second]))
                setattr(module, second, nn.Identity())
    return model


def _folds(conv: Any, norm: Any) -> bool:
    return (
        type(conv) is nn.Conv2d
        and type(norm) is nn.BatchNorm2d
        and conv.out_channels == norm.num_features
        and norm.running_mean is not None
    )


class ImageModel(nn.Module):
    """Images (N, 3, H, W) -> logits (N, num_classes)."""

    def fuse(self) -> Any:
        """See `dlcore.models.fuse`."""
        return fuse(self)


# ---- weights -----------------------------------------------------------------------------------------------


def _hub() -> Path:
    """Where torch.hub keeps the files that torchvision has downloaded."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _named(name: str, weights: str, files: Mapping[str, str]) -> Path:
    version = weights.rpartition(".")[2].upper()
    if version != "DEFAULT" and version not in files:
        known = ", ".join(["DEFAULT", *files]) if files else "none by name"
        raise ValueError(
            f"{name}: weights must be a file's path, a state dict or a name ({known}), got {weights!r}"
        )
    file = files[version] if version in files else next(iter(files.values()))
    path = _hub() / file
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}: weights={weights!r} are the file {file}, which is not at {path}: put it there "
            f"(it is https://download.pytorch.org/models/{file}), or pass its path as weights="
        )
    return path


def _state(name: str, weights: Any, files: Mapping[str, str]) -> tuple[State, bool]:
    """The state dict that `weights` stands for, and whether it is one that torchvision publishes."""
    url = getattr(weights, "url", None)  # a member of torchvision's enumerations
    if isinstance(url, str):
        weights = _hub() / url.rpartition("/")[2]
        if not weights.is_file():
            raise FileNotFoundError(f"{name}: the weights of {url} must lie at {weights}: put them there")
    if isinstance(weights, Mapping):
        return weights, False
    if not isinstance(weights, (str, os.PathLike)):
        raise TypeError(
            f"{name}: weights must be a path, a name or a state dict, got {type(weights).__name__}"
        )
    text = os.fspath(weights)
    if isinstance(weights, str) and not (
        text.endswith(_SUFFIXES) or os.path.basename(text) != text or os.path.exists(text)
    ):
        text = os.fspath(_named(name, weights, files))
    return open_checkpoint(text), os.path.basename(text) in files.values()


def _shape(state: State, key: str) -> tuple[int, ...]:
    ask = getattr(state, "shape", None)
    return tuple(ask(key) if callable(ask) else state[key].shape)


def build(
    name: str,
    make: Callable[..., M],
    weights: Any,
    files: Mapping[str, str],
    head: str,
    kwargs: dict[str, Any],
    adapt: Callable[[State, bool, dict[str, Any]], None] | None = None,
) -> M:
    """make(**kwargs), with the weights that are asked for.

    files: torchvision's names of weights -> the files they are published as, the default one first. head: the
    entry whose first axis counts the classes. adapt(state, published, kwargs) may add arguments.

    Raises FileNotFoundError where a file is missing, ValueError for an unknown name and for a num_classes
    that is not the weights', RuntimeError for names and shapes that do not match.
    """
    if weights is None:
        return make(**kwargs)
    state, published = _state(name, weights, files)
    if head in state:
        classes = _shape(state, head)[0]
        if kwargs.setdefault("num_classes", classes) != classes:
            raise ValueError(
                f"{name}: num_classes must be {classes}, as in the weights, got {kwargs['num_classes']}"
            )
    if adapt is not None:
        adapt(state, published, kwargs)
    with init.skipped():
        model = make(**kwargs)
    tensors: OrderedDict[str, Any] = OrderedDict()
    for key in state:
        value = state[key]
        tensors[key] = Tensor(value) if isinstance(value, _C.Array) else value
    tensors._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    model.load_state_dict(tensors)
    return model
