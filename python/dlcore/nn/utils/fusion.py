"""Batch normalisation folded into the layer before it, for inference."""

from __future__ import annotations

import copy
from typing import Any

from dlcore.autograd import no_grad
from dlcore.creation import ones_like, zeros_like
from dlcore.nn.module import Module, Parameter
from dlcore.tensor import Tensor

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _fused(
    weight: Tensor, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float, scale: Tensor | None,
    shift: Tensor | None, axis: int,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """W s along `axis`, (b - mean) s + shift, with s = scale / sqrt(var + eps)."""
    with no_grad():
        s = (var + eps).rsqrt()
        s = s * (ones_like(mean) if scale is None else scale)
        b = (zeros_like(mean) if bias is None else bias) - mean
        b = b * s + (zeros_like(mean) if shift is None else shift)
        shape = [-1 if d == axis else 1 for d in range(weight.ndim)]
        needs = bias.requires_grad if bias is not None else False
        return (
            Parameter((weight * s.reshape(*shape)).to(weight.dtype), weight.requires_grad),
            Parameter(b.to(weight.dtype if bias is None else bias.dtype), needs),
        )


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the convolution that does what a convolution and a batch normalisation do after
    another.
    """
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the linear layer that does what one and a batch normalisation do after another."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fuse(layer: Module, bn: Any, axis: int) -> Any:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("fuse: the batch normalisation must have running statistics")
    fused: Any = copy.deepcopy(layer)
    fused.weight, fused.bias = _fused(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, axis
    )
    return fused


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A convolution that does what `conv` and then `bn` do, both in evaluation mode.

    Raises AssertionError in training mode, and without running statistics.
    """
    return _fuse(conv, bn, 1 if transpose else 0)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A linear layer that does what `linear` and then `bn` do, both in evaluation mode.

    Raises AssertionError in training mode, without running statistics, and for sizes that do not match.
    """
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    return _fuse(linear, bn, 0)
