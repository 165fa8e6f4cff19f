"""Multi-head attention with torch's names, state and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcore.autograd import is_grad_enabled
from dlcore.functional.multihead import attend
from dlcore.nn import init
from dlcore.nn.linear import Linear
from dlcore.nn.module import Module, Parameter, empty_parameter, size
from dlcore.tensor import DTypeLike, Tensor

__all__ = ["MultiheadAttention"]


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear under the name that torch prints for the output projection."""


def _floating(mask: Tensor | None) -> bool:
    return mask is not None and mask.dtype != np.bool_


class MultiheadAttention(Module):
    """y = Concat(head₁, …, head_h) Wᵒ, headᵢ = softmax(Q Wᵢ(Q) (K Wᵢ(K))ᵀ / √d) V Wᵢ(V).

    forward(query, key, value) takes (L, N, E), (S, N, kdim), (S, N, vdim), with `batch_first` (N, L, E) and
    so on, without a batch (L, E); it gives y like query and the weights (N, L, S), averaged over the heads
    unless `average_attn_weights` is False, None unless `need_weights`: without them no score is kept.

    key_padding_mask (N, S) and attn_mask (L, S) or (N num_heads, L, S) are boolean, True where a key is
    ignored, or floating and added to the scores. `is_causal` says that attn_mask is causal. A query all of
    whose keys are ignored gives NaN with `need_weights`; without, 0, and NaN in inference as in torch.

    `add_bias_kv` appends a learned key and value, `add_zero_attn` zeros. Parameters: in_proj_weight
    (3 E, E), or q_proj_weight, k_proj_weight, v_proj_weight where kdim or vdim differ from E; in_proj_bias;
    bias_k, bias_v; out_proj. Xavier's uniform weights, biases 0.

    Raises ValueError for shapes that do not match, TypeError for masks of other dtypes.

    A. Vaswani et al.: Attention is all you need (NeurIPS 2017).

    >>> import dlcore
    >>> x = dlcore.randn(5, 2, 8)
    >>> y, weights = dlcore.nn.MultiheadAttention(8, 2)(x, x, x)
    >>> y.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, "
                f"got embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        name = "MultiheadAttention"
        self.embed_dim = E = size(name, "embed_dim", embed_dim)
        self.kdim = E if kdim is None else size(name, "kdim", kdim)
        self.vdim = E if vdim is None else size(name, "vdim", vdim)
        self.num_heads = size(name, "num_heads", num_heads)
        if E % self.num_heads:
            raise ValueError(
                f"embed_dim must be divisible by num_heads, got embed_dim={E}, num_heads={num_heads}"
            )
        self._qkv_same_embed_dim = self.kdim == self.vdim == E
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = E // self.num_heads
        separate = {"q_proj_weight": E, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        if self._qkv_same_embed_dim:
            self.in_proj_weight = empty_parameter((3 * E, E), dtype, device)
            for key in separate:
                self.register_parameter(key, None)
        else:
            for key, n in separate.items():
                self.register_parameter(key, empty_parameter((E, n), dtype, device))
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", empty_parameter((3 * E,), dtype, device) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(E, E, bias, device, dtype)
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            self.bias_k = empty_parameter((1, 1, E), dtype, device)
            self.bias_v = empty_parameter((1, 1, E), dtype, device)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for w in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if w is not None:
                init.xavier_uniform_(w)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for b in (self.bias_k, self.bias_v):
            if b is not None:
                init.xavier_normal_(b)

    def _blind_is_nan(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """Where torch takes its inference path, whose softmax gives NaN for a query that sees no key."""
        return (
            not self.training
            and self.batch_first
            and query is key is value
            and query.ndim == 3
            and self._qkv_same_embed_dim
            and self.in_proj_bias is not None
            and self.bias_k is None
            and not self.add_zero_attn
            and self.num_heads % 2 == 0
            and not (
                is_grad_enabled() and (query.requires_grad or any(p.requires_grad for p in self.parameters()))
            )
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        weights: Tensor | tuple[Tensor, Tensor, Tensor]
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight
        else:
            assert self.q_proj_weight is not None
            assert self.k_proj_weight is not None and self.v_proj_weight is not None
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        masked = attn_mask is not None or key_padding_mask is not None
        return attend(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            weights,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout if self.training else 0.0,
            self.out_proj.weight,
            self.out_proj.bias,
            key_padding_mask,
            need_weights,
            attn_mask,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            batch_first=self.batch_first,
            blind_is_nan=masked
            and not (_floating(attn_mask) or _floating(key_padding_mask))
            and self._blind_is_nan(query, key, value),
        )

    if TYPE_CHECKING:
        __call__ = forward
