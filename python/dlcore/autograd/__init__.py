"""Gradients: the tape, functions with a backward of one's own, and a check against finite differences."""

from dlcore.autograd.function import Function, FunctionCtx, once_differentiable
from dlcore.autograd.gradcheck import GradcheckError, gradcheck
from dlcore.autograd.tape import (
    RemovableHandle,
    backward,
    enable_grad,
    grad,
    in_place,
    inference_mode,
    is_grad_enabled,
    no_grad,
    record,
    set_grad_enabled,
    take_over,
)

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "RemovableHandle",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "in_place",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "record",
    "set_grad_enabled",
    "take_over",
]
