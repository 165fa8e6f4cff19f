"""dlcore: deep learning on hand-written C++ and CUDA kernels, with NumPy as its only dependency."""

# ruff: noqa: F401
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as _np

from dlcore import _C, config, functional, io
from dlcore._C import DeviceError, __version__
from dlcore.autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from dlcore.creation import *  # noqa: F403
from dlcore.functional import (
    abs,
    absolute,
    add,
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    argsort,
    atan2,
    bincount,
    broadcast_tensors,
    broadcast_to,
    bucketize,
    cat,
    ceil,
    chunk,
    clamp,
    clip,
    clone,
    concat,
    concatenate,
    cos,
    cosine_similarity,
    count_nonzero,
    cummax,
    cummin,
    cumprod,
    cumsum,
    diagonal,
    div,
    divide,
    einsum,
    eq,
    erf,
    exp,
    expm1,
    flatten,
    flip,
    floor,
    floor_divide,
    fmod,
    gather,
    ge,
    gt,
    hstack,
    index_add,
    index_select,
    isfinite,
    isinf,
    isnan,
    kthvalue,
    le,
    log,
    log1p,
    log2,
    log10,
    log_softmax,
    logcumsumexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    logsumexp,
    lt,
    masked_fill,
    masked_select,
    matmul,
    max,
    maximum,
    mean,
    median,
    min,
    minimum,
    movedim,
    msort,
    mul,
    multiply,
    nanmedian,
    narrow,
    ne,
    neg,
    negative,
    nonzero,
    norm,
    pairwise_distance,
    pdist,
    permute,
    pow,
    prod,
    reciprocal,
    relu,
    remainder,
    repeat_interleave,
    reshape,
    result_type,
    roll,
    round,
    rsqrt,
    scatter,
    scatter_add,
    searchsorted,
    sigmoid,
    sign,
    sin,
    softmax,
    sort,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    std_mean,
    sub,
    subtract,
    sum,
    swapaxes,
    take_along_dim,
    tan,
    tanh,
    tile,
    topk,
    transpose,
    tril,
    triu,
    true_divide,
    trunc,
    unbind,
    unflatten,
    unique,
    unique_consecutive,
    unsqueeze,
    var,
    var_mean,
    vstack,
    where,
)
from dlcore.io import load_file, save_file
from dlcore.random import get_rng_state, initial_seed, manual_seed, set_rng_state
from dlcore.tensor import Tensor, from_dlpack, from_numpy, tensor

if TYPE_CHECKING:
    from dlcore import (
        autograd,
        cuda,
        data,
        datasets,
        debug,
        generation,
        keras,
        kernels,
        models,
        nn,
        optim,
        pipelines,
        quantization,
        train,
    )
    from dlcore.pipelines import pipeline

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
_LAZY = (
    "cli",
    "cuda",
    "data",
    "datasets",
    "debug",
    "generation",
    "keras",
    "kernels",
    "models",
    "nn",
    "optim",
    "pipelines",
    "quantization",
    "train",
)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"dlcore.{name}")
    if name == "pipeline":
        return importlib.import_module("dlcore.pipelines").pipeline
    raise AttributeError(f"module 'dlcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "pipeline"})
