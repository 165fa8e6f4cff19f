"""dlcore: deep learning on hand-written C++ and CUDA kernels, with NumPy as its only dependency."""

# ruff: noqa: F401
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as _np

from dlcore import _C, config, functional, kernels
from dlcore._C import DeviceError, __version__
from dlcore.autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from dlcore.creation import *  # noqa: F403
from dlcore.functional import (
    broadcast_tensors,
    broadcast_to,
    cat,
    chunk,
    clone,
    concat,
    concatenate,
    diagonal,
    flatten,
    flip,
    gather,
    hstack,
    index_select,
    log_softmax,
    masked_select,
    matmul,
    movedim,
    narrow,
    nonzero,
    permute,
    relu,
    repeat_interleave,
    reshape,
    roll,
    scatter,
    scatter_add,
    sigmoid,
    softmax,
    split,
    squeeze,
    stack,
    swapaxes,
    take_along_dim,
    tanh,
    tile,
    transpose,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    vstack,
)
from dlcore.functional.elementwise import *  # noqa: F403
from dlcore.functional.reduce import *  # noqa: F403
from dlcore.io import load_file, save_file
from dlcore.random import get_rng_state, initial_seed, manual_seed, set_rng_state
from dlcore.tensor import Tensor, from_dlpack, from_numpy, tensor

if TYPE_CHECKING:
    from dlcore import datasets, keras, models, nn, optim, train

float32 = _np.dtype(_np.float32)
float64 = _np.dtype(_np.float64)
int32 = _np.dtype(_np.int32)
int64 = _np.dtype(_np.int64)
uint8 = _np.dtype(_np.uint8)
bool_ = _np.dtype(_np.bool_)

get_num_threads = _C.num_threads
set_num_threads = _C.set_num_threads
show_config = config.show

# Loaded when first named, so that `import dlcore` stays fast (SPEC 1).
_LAZY = ("cli", "datasets", "keras", "models", "nn", "optim", "train")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"dlcore.{name}")
    raise AttributeError(f"module 'dlcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
