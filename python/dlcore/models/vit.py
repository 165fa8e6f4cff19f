"""Vision transformer: A. Dosovitskiy et al., An image is worth 16x16 words (arXiv:2010.11929), under
torchvision's names; a convolutional stem in place of patches is that of T. Xiao et al. (arXiv:2106.14881).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from dlcore import functional as F
from dlcore import nn
from dlcore.creation import as_tensor, zeros
from dlcore.functional import cat
from dlcore.models._image import ImageModel, State, _shape, build
from dlcore.nn import init
from dlcore.tensor import Tensor

__all__ = [
    "ConvStemConfig",
    "VisionTransformer",
    "interpolate_embeddings",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
]

Norm = Callable[..., nn.Module]
_LAYER_NORM: Norm = partial(nn.LayerNorm, eps=1e-6)


def _bias(layer: Any) -> Tensor:
    bias: Tensor = layer.bias
    return bias


class ConvStemConfig(NamedTuple):
    """One layer of a convolutional stem."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Norm = nn.BatchNorm2d
    activation_layer: Norm = nn.ReLU


class MLPBlock(nn.Sequential):
    """Linear, GELU, dropout, linear, dropout: x (N, S, in_dim) -> (N, S, in_dim)."""

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(in_dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, in_dim),
            nn.Dropout(dropout),
        )
        for m in self:
            if isinstance(m, nn.Linear):
                init.xavier_uniform_(m.weight)
                init.normal_(_bias(m), std=1e-6)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        for i in (0, 1):  # the names that the first checkpoints have
            for kind in ("weight", "bias"):
                old = f"{prefix}linear_{i + 1}.{kind}"
                if local_metadata.get("version", 0) < 2 and old in state_dict:
                    state_dict[f"{prefix}{3 * i}.{kind}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class EncoderBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): x (N, S, hidden_dim) -> the same."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = _LAYER_NORM,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        x = self.ln_1(input)
        x = self.self_attention(x, x, x, need_weights=False)[0]
        x = self.dropout(x) + input
        y: Tensor = x + self.mlp(self.ln_2(x))
        return y

    if TYPE_CHECKING:
        __call__ = forward


class Encoder(nn.Module):
    """Adds the positions, then runs the blocks: x (N, S, hidden_dim) -> the same."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = _LAYER_NORM,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(zeros(1, seq_length, hidden_dim))
        init.normal_(self.pos_embedding, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            OrderedDict(
                (
                    f"encoder_layer_{i}",
                    EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer),
                )
                for i in range(num_layers)
            )
        )
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        y: Tensor = self.ln(self.layers(self.dropout(input + self.pos_embedding)))
        return y

    if TYPE_CHECKING:
        __call__ = forward


def _stem(configs: Sequence[ConvStemConfig], hidden_dim: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    last = 3
    for i, c in enumerate(configs):
        layers[f"conv_bn_relu_{i}"] = nn.Sequential(
            nn.Conv2d(last, c.out_channels, c.kernel_size, c.stride, (c.kernel_size - 1) // 2, bias=False),
            c.norm_layer(c.out_channels),
            c.activation_layer(inplace=True),
        )
        last = c.out_channels
    layers["conv_last"] = final = nn.Conv2d(last, hidden_dim, kernel_size=1)
    init.normal_(final.weight, std=math.sqrt(2.0 / hidden_dim))
    init.zeros_(_bias(final))
    return nn.Sequential(layers)


class VisionTransformer(ImageModel):
    """x (N, 3, image_size, image_size) -> logits (N, num_classes), read from a class token.

    `representation_size` puts a tanh layer before the head, `conv_stem_configs` convolutions in place of the
    patches' projection.

    Raises ValueError for sizes that patch_size does not divide, and for images of another size.

    >>> import dlcore
    >>> model = dlcore.models.VisionTransformer(8, 4, 1, 2, 16, 32, num_classes=5).eval()
    >>> model(dlcore.zeros(1, 3, 8, 8)).shape
    (1, 5)
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Norm = _LAYER_NORM,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"VisionTransformer: patch_size must divide image_size, got {patch_size} and {image_size}"
            )
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.num_classes = num_classes
        self.representation_size = representation_size
        self.norm_layer = norm_layer
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        self.conv_proj: nn.Module
        if conv_stem_configs is not None:
            self.conv_proj = _stem(conv_stem_configs, hidden_dim)
        else:
            self.conv_proj = patches = nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
            init.trunc_normal_(patches.weight, std=math.sqrt(1 / (3 * patch_size**2)))
            init.zeros_(_bias(patches))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(
            self.seq_length,
            num_layers,
            num_heads,
            hidden_dim,
            mlp_dim,
            dropout,
            attention_dropout,
            norm_layer,
        )
        heads: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is not None:
            heads["pre_logits"] = hidden = nn.Linear(hidden_dim, representation_size)
            init.trunc_normal_(hidden.weight, std=math.sqrt(1 / hidden_dim))
            init.zeros_(_bias(hidden))
            heads["act"] = nn.Tanh()
        heads["head"] = head = nn.Linear(representation_size or hidden_dim, num_classes)
        init.zeros_(head.weight)
        init.zeros_(_bias(head))
        self.heads = nn.Sequential(heads)

    def forward(self, x: Tensor) -> Tensor:
        side = self.image_size
        if x.ndim != 4 or x.shape[2:] != (side, side):
            raise ValueError(f"VisionTransformer: x must be (N, 3, {side}, {side}), got x={x.shape}")
        n = x.shape[0]
        x = self.conv_proj(x).flatten(2).permute(0, 2, 1)  # (N, patches, hidden_dim)
        x = cat([self.class_token.expand(n, -1, -1), x], 1)  # (N, 1 + patches, hidden_dim)
        logits: Tensor = self.heads(self.encoder(x)[:, 0])  # (N, hidden_dim) -> (N, num_classes)
        return logits

    if TYPE_CHECKING:
        __call__ = forward


def interpolate_embeddings(
    image_size: int,
    patch_size: int,
    model_state: Mapping[str, Any],
    interpolation_mode: str = "bicubic",
    reset_heads: bool = False,
) -> OrderedDict[str, Any]:
    """The state dict with its positions resampled for images of another size; `reset_heads` leaves out the
    head (load the result with strict=False).

    Raises ValueError for positions that are no square grid.
    """
    state = OrderedDict(model_state)
    key = "encoder.pos_embedding"
    given = state[key]
    positions = given.detach() if isinstance(given, Tensor) else as_tensor(given)
    if positions.ndim != 3 or positions.shape[0] != 1:
        raise ValueError(f"interpolate_embeddings: {key} must be (1, S, hidden_dim), got {positions.shape}")
    side = image_size // patch_size
    if side * side + 1 != positions.shape[1]:
        count, width = positions.shape[1] - 1, positions.shape[2]
        old = math.isqrt(count)
        if old * old != count:
            raise ValueError(f"interpolate_embeddings: the positions must be a square grid, got {count}")
        grid = positions[:, 1:].permute(0, 2, 1).reshape(1, width, old, old)
        grid = F.interpolate(grid, size=side, mode=interpolation_mode, align_corners=True)
        grid = grid.reshape(1, width, side * side).permute(0, 2, 1)
        state[key] = cat([positions[:, :1], grid], 1)
        if reset_heads:
            state = OrderedDict((k, v) for k, v in state.items() if not k.startswith("heads"))
    return state


def _vit(
    name: str,
    shape: tuple[int, int, int, int, int],
    files: Mapping[str, str],
    weights: Any,
    kwargs: dict[str, Any],
) -> VisionTransformer:
    patch, layers, heads, width, hidden = shape

    def make(image_size: int = 224, **kw: Any) -> VisionTransformer:
        return VisionTransformer(image_size, patch, layers, heads, width, hidden, **kw)

    def adapt(state: State, published: bool, kw: dict[str, Any]) -> None:
        count = _shape(state, "encoder.pos_embedding")[1] - 1
        kw.setdefault("image_size", math.isqrt(count) * patch)

    return build(name, make, weights, files, "heads.head.weight", kwargs, adapt)


def vit_b_16(weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """12 layers, 12 heads, 768 wide, patches of 16 by 16; `weights` as in `alexnet`; image_size=224."""
    files = {
        "IMAGENET1K_V1": "vit_b_16-c867db91.pth",
        "IMAGENET1K_SWAG_E2E_V1": "vit_b_16_swag-9ac1b537.pth",
        "IMAGENET1K_SWAG_LINEAR_V1": "vit_b_16_lc_swag-4e70ced5.pth",
    }
    return _vit("vit_b_16", (16, 12, 12, 768, 3072), files, weights, kwargs)


def vit_b_32(weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """12 layers, 12 heads, 768 wide, patches of 32 by 32; `weights` as in `alexnet`; image_size=224."""
    files = {"IMAGENET1K_V1": "vit_b_32-d86f8d99.pth"}
    return _vit("vit_b_32", (32, 12, 12, 768, 3072), files, weights, kwargs)


def vit_l_16(weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """24 layers, 16 heads, 1024 wide, patches of 16 by 16; `weights` as in `alexnet`; image_size=224."""
    files = {
        "IMAGENET1K_V1": "vit_l_16-852ce7e3.pth",
        "IMAGENET1K_SWAG_E2E_V1": "vit_l_16_swag-4f3808c9.pth",
        "IMAGENET1K_SWAG_LINEAR_V1": "vit_l_16_lc_swag-4d563306.pth",
    }
    return _vit("vit_l_16", (16, 24, 16, 1024, 4096), files, weights, kwargs)


def vit_l_32(weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """24 layers, 16 heads, 1024 wide, patches of 32 by 32; `weights` as in `alexnet`; image_size=224."""
    files = {"IMAGENET1K_V1": "vit_l_32-c7638314.pth"}
    return _vit("vit_l_32", (32, 24, 16, 1024, 4096), files, weights, kwargs)


def vit_h_14(weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """32 layers, 16 heads, 1280 wide, patches of 14 by 14; `weights` as in `alexnet`; image_size=224."""
    files = {
        "IMAGENET1K_SWAG_E2E_V1": "vit_h_14_swag-80465313.pth",
        "IMAGENET1K_SWAG_LINEAR_V1": "vit_h_14_lc_swag-c1eb923e.pth",
    }
    return _vit("vit_h_14", (14, 32, 16, 1280, 5120), files, weights, kwargs)
