"""The transformer's layers and stacks with torch's names, state and masks, and the sinusoidal positions.

A. Vaswani et al.: Attention is all you need (NeurIPS 2017); R. Xiong et al.: On layer normalization in the
transformer architecture (ICML 2020), for `norm_first`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.autograd import is_grad_enabled
from dlcore.nn import init
from dlcore.nn.activation import ReLU
from dlcore.nn.attention import MultiheadAttention
from dlcore.nn.container import ModuleList
from dlcore.nn.dropout import Dropout
from dlcore.nn.linear import Linear
from dlcore.nn.module import Module, size
from dlcore.nn.norm import LayerNorm
from dlcore.tensor import DTypeLike, Tensor

__all__ = [
    "PositionalEncoding",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

Activation = str | Callable[[Tensor], Tensor]


def _activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise ValueError(f"activation should be relu/gelu, not {activation}")
    return F.relu if activation == "relu" else F.gelu


def _causal_mask(n: int, device: str | None = None, dtype: DTypeLike = None) -> Tensor:
    """(n, n): -inf (True in a boolean mask) above the diagonal, 0 elsewhere."""
    kind = np.dtype(np.float32 if dtype is None else dtype)
    above = np.triu(np.ones((n, n), np.bool_), 1)
    values = above if kind == np.bool_ else np.where(above, np.asarray(-np.inf, kind), np.asarray(0, kind))
    return Tensor(_C.to_device(_C.from_numpy(values), device or "cpu"))


def _is_causal(mask: Tensor | None, hint: bool | None) -> bool:
    """The hint, or, where there is none, whether the mask is the causal one."""
    if hint is not None or mask is None:
        return hint is True
    n = mask.shape[-1]
    return mask.shape == (n, n) and np.array_equal(
        mask.detach().cpu().numpy(), _causal_mask(n, None, mask.dtype).numpy()
    )


def _clones(module: Module, n: int) -> ModuleList:
    return ModuleList([copy.deepcopy(module) for _ in range(size("transformer", "num_layers", n))])


class _Layer(Module):
    """What the encoder's and the decoder's layer share: self-attention and the feed-forward network."""

    self_attn: MultiheadAttention
    linear1: Linear
    linear2: Linear
    dropout: Dropout
    activation: Any

    def _attend(
        self,
        attention: MultiheadAttention,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool,
    ) -> Tensor:
        y: Tensor = attention(
            x,
            memory,
            memory,
            attn_mask=mask,
            key_padding_mask=key_padding_mask,
            need_weights=False,
            is_causal=is_causal,
        )[0]
        return y

    def _feed_forward(self, x: Tensor) -> Tensor:
        f, first = self.activation, self.linear1
        plain = f is F.relu or (type(f) is ReLU and not f._hooks and not f.inplace)
        if plain and type(first) is Linear and not first._hooks:  # ReLU in the product's epilogue
            h = first.forward_activated(x, "relu")
        else:
            h = f(first(x))
        return self.linear2(self.dropout(h))


class TransformerEncoderLayer(_Layer):
    """x = norm1(x + attention(x)), y = norm2(x + linear2(activation(linear1(x)))), dropout on either branch;
    with `norm_first` x + attention(norm1(x)), x + linear2(…norm2(x)).

    src (S, N, E), with `batch_first` (N, S, E), without a batch (S, E); src_mask (S, S) or (N nhead, S, S),
    src_key_padding_mask (N, S): boolean, True where a key is ignored, or floating and added. `activation` is
    "relu", "gelu" or a function of one tensor.

    >>> import dlcore
    >>> layer = dlcore.nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(dlcore.randn(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        masks = (src_mask, src_key_padding_mask, is_causal)
        x = src
        if self.norm_first:
            h = self.norm1(x)
            x = x + self.dropout1(self._attend(self.self_attn, h, h, *masks))
            return x + self.dropout2(self._feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout1(self._attend(self.self_attn, x, x, *masks)))
        return self.norm2(x + self.dropout2(self._feed_forward(x)))

    if TYPE_CHECKING:
        __call__ = forward


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to `memory`, and the feed-forward network, each with a residual and a norm.

    tgt (T, N, E), memory (S, N, E), with `batch_first` (N, T, E) and (N, S, E); masks as in
    TransformerEncoderLayer, memory_mask (T, S).

    >>> import dlcore
    >>> layer = dlcore.nn.TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(dlcore.randn(4, 3, 8), dlcore.randn(5, 3, 8)).shape
    (4, 3, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory_mask, memory_key_padding_mask, memory_is_causal)
        x = tgt
        if self.norm_first:
            h = self.norm1(x)
            x = x + self.dropout1(self._attend(self.self_attn, h, h, *own))
            x = x + self.dropout2(self._attend(self.multihead_attn, self.norm2(x), memory, *other))
            return x + self.dropout3(self._feed_forward(self.norm3(x)))
        x = self.norm1(x + self.dropout1(self._attend(self.self_attn, x, x, *own)))
        x = self.norm2(x + self.dropout2(self._attend(self.multihead_attn, x, memory, *other)))
        return self.norm3(x + self.dropout3(self._feed_forward(x)))

    if TYPE_CHECKING:
        __call__ = forward


class TransformerEncoder(Module):
    """`num_layers` copies of a layer, one after the other, and a norm.

    A `mask` that is causal is recognised where `is_causal` is None. In inference with `enable_nested_tensor`,
    under the conditions of torch's nested tensors (batch_first, post-norm, padding at the end and no other
    mask), padded positions leave the last layer as zeros, as there; no nested tensor is made.

    >>> import dlcore
    >>> layer = dlcore.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> dlcore.nn.TransformerEncoder(layer, num_layers=2)(dlcore.randn(3, 5, 8)).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check
        self.use_nested_tensor = enable_nested_tensor and self._can_nest(encoder_layer)

    @staticmethod
    def _can_nest(layer: Module) -> bool:
        if not isinstance(layer, TransformerEncoderLayer):
            return False
        f, attention = layer.activation, layer.self_attn
        known = f in (F.relu, F.gelu) or type(f).__name__ in ("ReLU", "GELU")
        return (
            known
            and not layer.norm_first
            and attention.batch_first
            and attention.in_proj_bias is not None
            and layer.norm1.eps == layer.norm2.eps
            and attention.num_heads % 2 == 0
        )

    def _padding(self, src: Tensor, mask: Tensor | None, padding: Tensor | None) -> Tensor | None:
        """(N, S, 1), True where torch's nested tensors would leave zeros."""
        first = self.layers[0]
        if (
            not self.use_nested_tensor
            or first.training
            or src.ndim != 3
            or padding is None
            or mask is not None
        ):
            return None
        if is_grad_enabled() and (src.requires_grad or any(p.requires_grad for p in first.parameters())):
            return None
        padded = padding if padding.dtype == np.bool_ else padding != 0
        flags = padded.cpu().numpy()
        if self.mask_check and (flags[:, :-1] > flags[:, 1:]).any():
            return None
        return padded.unsqueeze(-1)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        padded = self._padding(src, mask, src_key_padding_mask)
        causal = _is_causal(mask, is_causal)
        y = src
        for layer in self.layers:
            y = layer(y, src_mask=mask, is_causal=causal, src_key_padding_mask=src_key_padding_mask)
        if padded is not None:
            y = y.masked_fill(padded, 0.0)
        return y if self.norm is None else self.norm(y)

    if TYPE_CHECKING:
        __call__ = forward


class TransformerDecoder(Module):
    """`num_layers` copies of a decoder layer, one after the other, and a norm.

    A `tgt_mask` that is causal is recognised where `tgt_is_causal` is None.

    >>> import dlcore
    >>> layer = dlcore.nn.TransformerDecoderLayer(8, 2, 16)
    >>> dlcore.nn.TransformerDecoder(layer, num_layers=2)(dlcore.randn(4, 3, 8), dlcore.randn(5, 3, 8)).shape
    (4, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        causal = _is_causal(tgt_mask, tgt_is_causal)
        y = tgt
        for layer in self.layers:
            y = layer(
                y,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return y if self.norm is None else self.norm(y)

    if TYPE_CHECKING:
        __call__ = forward


class Transformer(Module):
    """The encoder-decoder of 2017: decoder(tgt, encoder(src)), without embeddings and output projection.

    src (S, N, E), tgt (T, N, E) -> (T, N, E), with `batch_first` (N, S, E) and so on. `custom_encoder` and
    `custom_decoder` replace the stacks; the others are those of TransformerEncoderLayer and -DecoderLayer.

    Raises ValueError where src and tgt differ in their batch or in d_model.

    >>> import dlcore
    >>> model = dlcore.nn.Transformer(8, 2, 1, 1, 16)
    >>> mask = model.generate_square_subsequent_mask(4)
    >>> model(dlcore.randn(5, 3, 8), dlcore.randn(4, 3, 8), tgt_mask=mask).shape
    (4, 3, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        more = (batch_first, norm_first, bias, device, dtype)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)

        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            encoder_layer = TransformerEncoderLayer(*options, *more)
            self.encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm())
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            decoder_layer = TransformerDecoderLayer(*options, *more)
            self.decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm())
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ValueError(
                f"the batch number of src and tgt must be equal, got src={src.shape}, tgt={tgt.shape}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ValueError(
                f"the feature number of src and tgt must be equal to d_model={self.d_model}, "
                f"got src={src.shape}, tgt={tgt.shape}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        y: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return y

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: str | None = None, dtype: DTypeLike = None
    ) -> Tensor:
        """(sz, sz): -inf above the diagonal, 0 elsewhere; of dtype bool, True above it."""
        return _causal_mask(sz, device, dtype)

    if TYPE_CHECKING:
        __call__ = forward


class PositionalEncoding(Module):
    """y = dropout(x + P), P[t, 2i] = sin(t / 10000^(2i / d)), P[t, 2i + 1] = cos(t / 10000^(2i / d)).

    x (L, N, d_model), with `batch_first` (N, L, d_model), without a batch (L, d_model). The buffer `pe` is
    (max_len, 1, d_model).

    Raises ValueError for sequences longer than max_len and other numbers of features.

    A. Vaswani et al.: Attention is all you need (NeurIPS 2017).

    >>> import dlcore
    >>> dlcore.nn.PositionalEncoding(2, dropout=0.0)(dlcore.zeros(1, 1, 2)).tolist()
    [[[0.0, 1.0]]]
    """

    pe: Tensor

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.1,
        max_len: int = 5000,
        batch_first: bool = False,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.d_model = d = size("PositionalEncoding", "d_model", d_model)
        self.max_len = size("PositionalEncoding", "max_len", max_len)
        self.batch_first = batch_first
        self.dropout = Dropout(dropout)
        angle = np.arange(self.max_len)[:, None] * np.exp(
            np.arange(0, d, 2) * (-math.log(10000.0) / max(d, 1))
        )
        pe = np.empty((self.max_len, 1, d), np.dtype(np.float32 if dtype is None else dtype))
        pe[:, 0, 0::2] = np.sin(angle)
        pe[:, 0, 1::2] = np.cos(angle)[:, : d // 2]
        self.register_buffer("pe", Tensor(_C.to_device(_C.from_numpy(pe), device or "cpu")))

    def forward(self, x: Tensor) -> Tensor:
        along = 1 if self.batch_first and x.ndim == 3 else 0
        if x.ndim not in (2, 3) or x.shape[-1] != self.d_model or x.shape[along] > self.max_len:
            raise ValueError(
                f"PositionalEncoding: x must have d_model={self.d_model} features and at most "
                f"max_len={self.max_len} positions, got x={x.shape}"
            )
        pe = self.pe[: x.shape[along]]  # (L, 1, d)
        return self.dropout(x + (pe if along == 0 and x.ndim == 3 else pe.squeeze(1)))

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, max_len={self.max_len}, batch_first={self.batch_first}"

    if TYPE_CHECKING:
        __call__ = forward
