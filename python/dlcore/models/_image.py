"""What the image models share: weights from files, folders with a configuration, and batch normalisation
folded away for inference.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from dlcore import _C, nn
from dlcore.autograd import is_grad_enabled
from dlcore.hub import HUB_OPTIONS
from dlcore.io import open_checkpoint, save_file
from dlcore.models.base import SAFETENSORS, _open_weights
from dlcore.models.config import PreTrainedConfig
from dlcore.nn import init
from dlcore.nn.container import _unobserved, folded
from dlcore.nn.utils.fusion import fuse_conv_bn_eval
from dlcore.tensor import Tensor

__all__ = ["ImageConfig", "ImageModel", "build", "conv_norm_act", "fuse", "image_layout"]

# The functions (a class for LeNet) that a configuration may name -> their modules.
_ARCHITECTURES = {
    **dict.fromkeys(["alexnet", "alexnet_2012"], "alexnets"),
    "googlenet": "inception",
    "LeNet5": "lenet",
    **dict.fromkeys([f"resnet{n}" for n in (18, 34, 50, 101, 152)], "resnet"),
    **dict.fromkeys(["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"], "resnet"),
    **dict.fromkeys(["wide_resnet50_2", "wide_resnet101_2"], "resnet"),
    **dict.fromkeys([f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")], "vgg"),
    **dict.fromkeys(["vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"], "vit"),
}

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".json")
_FUSED = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}
State = Mapping[str, Any]
M = TypeVar("M", bound=nn.Module)


# ---- inference ---------------------------------------------------------------------------------------------


def conv_norm_act(
    conv: nn.Module, norm: nn.Module, act: nn.Module, x: Tensor, residual: Tensor | None = None
) -> Tensor:
    """act(norm(conv(x)) + residual); one kernel in inference, and where `fuse` has folded the norm into the
    convolution and there is no residual.
    """
    y: Tensor | None = folded(conv, norm, act, x, residual)
    if y is not None:
        return y
    if (
        residual is None
        and type(norm) is nn.Identity
        and type(conv) is nn.Conv2d
        and type(act) in _FUSED
        and _unobserved(conv)
        and _unobserved(act)
    ):
        return conv.forward_activated(x, _FUSED[type(act)])
    y = norm(conv(x))
    z: Tensor = act(y if residual is None else y + residual)
    return z


def image_layout(x: Tensor) -> Tensor:
    """The images with their channels last in memory where nothing is recorded: convolutions read and write
    that without a transposition.
    """
    if is_grad_enabled() or x.ndim != 4 or x.array.strides[1] == 1 or x.device != "cpu":
        return x
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


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
    if isinstance(model, ImageModel):
        model._fused = True
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


# ---- folders -----------------------------------------------------------------------------------------------


class ImageConfig(PreTrainedConfig):
    """What a folder's config.json says of an image model: `architecture`, the name of the function that makes
    it, the `arguments` of that call, the labels, and the `preprocessing` that it was trained with, arguments
    of `dlcore.vision.transforms.ImageClassification`.

    Raises ValueError for an unknown architecture and for arguments that are no object.

    >>> config = ImageConfig(architecture="resnet18", arguments={"num_classes": 2})
    >>> config.num_labels, config.preprocessing["crop_size"]
    (2, 224)
    """

    model_type = "image_classification"
    defaults: ClassVar[dict[str, Any]] = {
        "architecture": "resnet18",
        "arguments": {},
        "preprocessing": {},
        "tie_word_embeddings": False,
    }

    architecture: str
    arguments: dict[str, Any]
    preprocessing: dict[str, Any]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.architecture not in _ARCHITECTURES:
            raise ValueError(
                f"ImageConfig: architecture must be one of {', '.join(_ARCHITECTURES)}, "
                f"got {self.architecture!r}"
            )
        for name in ("arguments", "preprocessing"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f"ImageConfig: {name} must be an object, got {getattr(self, name)!r}")
        bad = {"weights", "progress"} & set(self.arguments)
        if bad:
            raise ValueError(f"ImageConfig: arguments must not hold {', '.join(sorted(bad))}")
        if "id2label" not in kwargs:
            self.num_labels = self.arguments.get("num_classes", 10 if self.architecture == "LeNet5" else 1000)
        self.preprocessing = {**self._usual_preprocessing(), **self.preprocessing}

    def _usual_preprocessing(self) -> dict[str, Any]:
        if self.architecture == "LeNet5":
            size, channels = self.arguments.get("image_size", 28), self.arguments.get("in_channels", 1)
            return {"crop_size": size, "resize_size": size, "mean": [0.0] * channels, "std": [1.0] * channels}
        size = self.arguments.get("image_size", 224)
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        return {"crop_size": size, "resize_size": size * 256 // 224, "mean": mean, "std": std}


def _plain(value: Any) -> bool:
    """Whether JSON gives it back as it was."""
    if type(value) in (list, tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


class ImageModel(nn.Module):
    """Images (N, C, H, W) -> logits (N, num_classes). `config` describes a model that was made by its
    function, such as `resnet18()`; its labels and preprocessing are there to be set.

    >>> import dlcore
    >>> ImageModel.from_config(ImageConfig(architecture="LeNet5")).config.num_labels
    10
    """

    config: ImageConfig | None = None

    def fuse(self) -> Any:
        """See `dlcore.models.fuse`."""
        return fuse(self)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes config.json and model.safetensors, under torchvision's names.

        Raises ValueError for a model that its class made, not its function, for arguments that JSON does not
        hold, and for a fused one.
        """
        name, config = type(self).__name__, self.config
        if config is None:
            raise ValueError(f"{name}.save_pretrained: the model must be made by its function, as resnet18()")
        if getattr(self, "_fused", False):
            raise ValueError(f"{name}.save_pretrained: the model must not be fused; save, then fuse")
        for argument, value in config.arguments.items():
            if not _plain(value):
                raise ValueError(
                    f"{name}.save_pretrained: arguments must be numbers, strings or lists of them, got "
                    f"{argument}={value!r}"
                )
        state = self.state_dict()
        config.architectures = [config.architecture]
        config.dtype = next(iter(self.parameters())).dtype.name
        config.save_pretrained(save_directory)
        save_file(dict(state), Path(save_directory) / SAFETENSORS, {"format": "pt"})

    @classmethod
    def from_config(cls, config: PreTrainedConfig) -> Self:
        """The model with fresh weights. Raises TypeError for one of another class and for arguments that its
        function does not take.
        """
        if not isinstance(config, ImageConfig):
            raise TypeError(f"{cls.__name__}: config must be an ImageConfig, got {type(config).__name__}")
        module = importlib.import_module(f"dlcore.models.{_ARCHITECTURES[config.architecture]}")
        model: Any = getattr(module, config.architecture)(**config.arguments)
        if not isinstance(model, cls):
            raise TypeError(f"{cls.__name__}: the configuration is of {config.architecture!r}")
        if config.dtype == "float64":
            model.double()
        model.config = config
        return model

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        config: PreTrainedConfig | None = None,
        use_safetensors: bool | None = None,
        **hub: Any,
    ) -> Self:
        """The model of a folder, or of a name on the hub, in eval mode.

        Raises FileNotFoundError where a file is missing, ValueError for corrupt ones, RuntimeError for names
        and shapes that do not match.
        """
        unknown = set(hub) - set(HUB_OPTIONS)
        if unknown:
            raise TypeError(f"{cls.__name__}.from_pretrained: unknown options: {', '.join(sorted(unknown))}")
        found = ImageConfig.from_pretrained(path, **hub) if config is None else config
        state = _open_weights(path, use_safetensors, hub)
        return build(cls.__name__, lambda: cls.from_config(found), state, {}, "", {}).eval()


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
        return _described(name, make(**kwargs), kwargs)
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
    return _described(name, model, kwargs)


def _described(name: str, model: M, arguments: dict[str, Any]) -> M:
    """The model with its configuration."""
    if isinstance(model, ImageModel) and model.config is None and name in _ARCHITECTURES:
        model.config = ImageConfig(architecture=name, arguments=dict(arguments))
    return model
