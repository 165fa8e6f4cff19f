"""Dropout: active in training mode, the identity in evaluation mode. Srivastava et al., JMLR 2014."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcore import functional as F
from dlcore.nn.module import Module
from dlcore.tensor import Tensor

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:  # also refuses NaN
            raise ValueError(f"{type(self).__name__}: p must be a probability between 0 and 1, got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Tensor: ...


class Dropout(_Dropout):
    """Zeroes each element with probability p and multiplies the others by 1 / (1 - p).

    >>> import dlcore
    >>> dlcore.nn.Dropout(0.9).eval()(dlcore.tensor([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, True, self.inplace) if self.training else input


class Dropout1d(_Dropout):
    """Zeroes whole channels of (N, C, L) or (C, L). Tompson et al., CVPR 2015."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Zeroes whole channels of (N, C, H, W) or (C, H, W). Tompson et al., CVPR 2015."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W). Tompson et al., CVPR 2015."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance under SELU. Klambauer et al., NeurIPS 2017."""

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of (N, C, ...). Klambauer et al., NeurIPS 2017."""

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training)
