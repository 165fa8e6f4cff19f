"""
dlcore's kernels and arrays; the public names are in dlcore and its submodules.
"""

from __future__ import annotations
import collections.abc
import typing

import numpy as np
import numpy.typing as npt
import typing_extensions

__all__: list[str] = [
    "Array",
    "DeviceError",
    "FMA_CHAINS",
    "NEVER",
    "abs",
    "activation_backward",
    "adadelta_step",
    "adafactor_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "adaptive_avg_pool",
    "adaptive_avg_pool_backward",
    "adaptive_max_pool",
    "add",
    "amax",
    "amin",
    "arg_reduce",
    "asgd_step",
    "atan2",
    "attention",
    "attention_backward",
    "available_isas",
    "avg_pool",
    "avg_pool_backward",
    "axpby_",
    "batch_norm",
    "batch_norm_backward",
    "binary_",
    "broadcast_to",
    "built_isas",
    "cast",
    "ceil",
    "check_guards",
    "clamp",
    "clamp_",
    "clip_grad_norm_",
    "clone",
    "compiler",
    "concatenate",
    "contiguous",
    "conv",
    "conv_backward",
    "conv_transpose",
    "conv_transpose_backward",
    "copy_into",
    "cos",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "ctc_backward",
    "ctc_forward",
    "cuda_built",
    "cuda_device_count",
    "cuda_device_description",
    "cuda_plan_items",
    "cuda_plan_matmul",
    "cuda_plan_rows",
    "cuda_unavailable_reason",
    "cum_extreme",
    "cumprod",
    "cumsum",
    "current_isa",
    "debug_memory",
    "div",
    "dropout",
    "elu",
    "embedding",
    "embedding_backward",
    "embedding_bag",
    "embedding_bag_backward",
    "embedding_bag_max_backward",
    "embedding_bag_scale_backward",
    "embedding_renorm_",
    "empty",
    "empty_cache",
    "eq",
    "erf",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "fma_peak",
    "fmod",
    "fold",
    "fractional_max_pool",
    "from_dlpack",
    "from_numpy",
    "ftrl_step",
    "full",
    "gather",
    "ge",
    "gelu",
    "gelu_tanh",
    "grad_norm",
    "grid_sample",
    "grid_sample_backward",
    "group_norm",
    "group_norm_backward",
    "gt",
    "guard",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber",
    "instance_norm",
    "interpolate",
    "interpolate_backward",
    "is_channels_last",
    "kept_bytes",
    "kept_limit",
    "kernel_names",
    "kernels_on",
    "kthvalue",
    "lamb_step",
    "layer_norm",
    "layer_norm_backward",
    "le",
    "leaky_relu",
    "linear",
    "lion_step",
    "local_response_norm",
    "local_response_norm_backward",
    "log",
    "log10",
    "log1p",
    "log2",
    "log_softmax",
    "log_softmax_backward",
    "logcumsumexp",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logistic_loss",
    "logistic_slope",
    "logsigmoid",
    "lt",
    "matmul",
    "max_pool",
    "max_pool_backward",
    "maximum",
    "mean",
    "median",
    "memory_stats",
    "minimum",
    "mish",
    "mul",
    "multilabel_margin_backward",
    "multilabel_margin_forward",
    "nadam_step",
    "ne",
    "neg",
    "num_threads",
    "num_threads_reason",
    "pad",
    "pad_backward",
    "permute",
    "philox_bits",
    "philox_uniform",
    "pow",
    "prod",
    "put_into",
    "quant_linear",
    "quant_widen",
    "radam_step",
    "reciprocal",
    "relu",
    "remainder",
    "reset_peak_memory",
    "reshape",
    "rms_norm",
    "rms_norm_backward",
    "rmsprop_step",
    "rnn",
    "rnn_backward",
    "round",
    "rprop_step",
    "rsqrt",
    "scale_",
    "scatter_into",
    "schedule_free_step",
    "searchsorted",
    "select",
    "set_guard",
    "set_isa",
    "set_kept_limit",
    "set_num_threads",
    "set_walking",
    "set_winograd",
    "sgd_step",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "slice",
    "softmax",
    "softmax_backward",
    "softplus",
    "softshrink",
    "softsign",
    "sort",
    "sqrt",
    "square",
    "stream_triad",
    "sub",
    "sum",
    "sum_to",
    "sumsq",
    "synchronize",
    "take",
    "tan",
    "tanh",
    "threshold",
    "to_device",
    "to_dlpack",
    "topk",
    "transpose",
    "triangle",
    "trunc",
    "unary_",
    "unary_backward",
    "unfold",
    "var",
    "where",
    "winograd",
    "write_clock",
]

class DeviceError(RuntimeError): ...

class Array:
    """
    A strided buffer on one device: the data of a Tensor. Made by dlcore.
    """
    def __repr__(self) -> str: ...
    def item(self) -> typing.Any: ...
    def numpy(self) -> np.ndarray: ...
    def shares_memory(self, other: Array) -> bool: ...
    def supersede(self) -> None: ...
    def touch(self) -> None: ...
    def tracked(self, on: bool) -> Array: ...
    @property
    def data_ptr(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def dtype(self) -> np.dtype[typing.Any]: ...
    @property
    def exclusive(self) -> bool: ...
    @property
    def is_contiguous(self) -> bool: ...
    @property
    def ndim(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def size(self) -> int: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def writable(self) -> bool: ...
    @property
    def written(self) -> int: ...

def abs(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def activation_backward(dy: Array, y: Array, activation: str) -> Array: ...
def adadelta_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    square_avg: collections.abc.Sequence[Array],
    acc_delta: collections.abc.Sequence[Array],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    rho: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex,
    maximize: bool,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def adafactor_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    rows: collections.abc.Sequence[Array],
    columns: collections.abc.Sequence[Array],
    variances: collections.abc.Sequence[Array],
    fresh: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    rates: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    keep: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    least_mean: typing.SupportsFloat | typing.SupportsIndex,
    least_variance: typing.SupportsFloat | typing.SupportsIndex,
    least_rms: typing.SupportsFloat | typing.SupportsIndex,
    threshold: typing.SupportsFloat | typing.SupportsIndex,
    maximize: bool = False,
    full: bool = False,
) -> None: ...
def adagrad_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    sum: collections.abc.Sequence[Array],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    lr_decay: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex,
    maximize: bool,
    epsilon_inside: bool = False,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def adam_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    exp_avg: collections.abc.Sequence[Array],
    exp_avg_sq: collections.abc.Sequence[Array],
    max_exp_avg_sq: collections.abc.Sequence[Array],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    amsgrad: bool = False,
    maximize: bool = False,
    decoupled: bool = False,
    epsilon_hat: bool = False,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def adamax_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    exp_avg: collections.abc.Sequence[Array],
    exp_inf: collections.abc.Sequence[Array],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex,
    maximize: bool,
    epsilon_below: bool = False,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def adaptive_avg_pool(x: Array, output_size: collections.abc.Sequence[int]) -> Array: ...
def adaptive_avg_pool_backward(
    dy: Array,
    x_shape: collections.abc.Sequence[int],
    output_size: collections.abc.Sequence[int],
    channels_last: bool = False,
) -> Array: ...
def adaptive_max_pool(x: Array, output_size: collections.abc.Sequence[int]) -> tuple[Array, Array]: ...
@typing.overload
def add(a: Array, b: Array) -> Array: ...
@typing.overload
def add(a: Array, b: float) -> Array: ...
@typing.overload
def add(a: float, b: Array) -> Array: ...
def amax(
    x: Array,
    axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
    keepdim: bool = False,
) -> Array: ...
def amin(
    x: Array,
    axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
    keepdim: bool = False,
) -> Array: ...
def arg_reduce(
    x: Array, axis: typing.SupportsInt | typing.SupportsIndex, largest: bool, keepdim: bool = False
) -> tuple[Array, Array]: ...
def asgd_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    ax: collections.abc.Sequence[Array],
    etas: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    mus: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lambd: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    maximize: bool = False,
) -> None: ...
@typing.overload
def atan2(a: Array, b: Array) -> Array: ...
@typing.overload
def atan2(a: Array, b: float) -> Array: ...
@typing.overload
def atan2(a: float, b: Array) -> Array: ...
def attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    lengths: Array | None = None,
    causal: bool = False,
    scale: typing.SupportsFloat | typing.SupportsIndex | None = None,
    dropout: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    seed: typing.SupportsInt | typing.SupportsIndex = 0,
    offset: typing.SupportsInt | typing.SupportsIndex = 0,
    grouped: bool = False,
) -> tuple[Array, Array]: ...
def attention_backward(
    dout: Array,
    query: Array,
    key: Array,
    value: Array,
    out: Array,
    stats: Array,
    needs: collections.abc.Sequence[bool],
    mask: Array | None = None,
    lengths: Array | None = None,
    causal: bool = False,
    scale: typing.SupportsFloat | typing.SupportsIndex | None = None,
    dropout: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    seed: typing.SupportsInt | typing.SupportsIndex = 0,
    offset: typing.SupportsInt | typing.SupportsIndex = 0,
    grouped: bool = False,
) -> list[Array | None]: ...
def available_isas() -> list[str]: ...
def avg_pool(
    x: Array,
    kernel: collections.abc.Sequence[int],
    stride: collections.abc.Sequence[int],
    pads: collections.abc.Sequence[int],
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: typing.SupportsInt | typing.SupportsIndex | None = None,
) -> Array: ...
def avg_pool_backward(
    dy: Array,
    x_shape: collections.abc.Sequence[int],
    kernel: collections.abc.Sequence[int],
    stride: collections.abc.Sequence[int],
    pads: collections.abc.Sequence[int],
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: typing.SupportsInt | typing.SupportsIndex | None = None,
    channels_last: bool = False,
) -> Array: ...
def axpby_(
    out: collections.abc.Sequence[Array],
    a: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    x: collections.abc.Sequence[Array],
    b: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    y: collections.abc.Sequence[Array],
) -> None: ...
def batch_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    training: bool,
    momentum: typing.SupportsFloat | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
    unbiased: bool = True,
) -> tuple[Array, Array, Array]: ...
def batch_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    rstd: Array,
    training: bool,
    need_x: bool = True,
    need_w: bool = True,
    need_b: bool = True,
) -> tuple[Array | None, Array | None, Array | None]: ...
def binary_(op: str, a: Array, b: Array) -> None: ...
def broadcast_to(x: Array, shape: collections.abc.Sequence[int]) -> Array: ...
def built_isas() -> list[str]: ...
def cast(x: Array, dtype: npt.DTypeLike) -> Array: ...
def ceil(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def check_guards() -> str: ...
def clamp(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def clamp_(
    arrays: collections.abc.Sequence[Array],
    low: typing.SupportsFloat | typing.SupportsIndex,
    high: typing.SupportsFloat | typing.SupportsIndex,
) -> None: ...
def clip_grad_norm_(
    arrays: collections.abc.Sequence[Array],
    max_norm: typing.SupportsFloat | typing.SupportsIndex,
    order: typing.SupportsFloat | typing.SupportsIndex = 2.0,
    strict: bool = False,
) -> float: ...
def clone(x: Array) -> Array: ...
def compiler() -> str: ...
def concatenate(
    arrays: collections.abc.Sequence[Array], axis: typing.SupportsInt | typing.SupportsIndex
) -> Array: ...
def contiguous(x: Array) -> Array: ...
def conv(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: collections.abc.Sequence[int],
    padding_before: collections.abc.Sequence[int],
    padding_after: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
    groups: typing.SupportsInt | typing.SupportsIndex,
    activation: str,
    keep: bool = False,
    norm: tuple[Array, Array, Array | None, Array | None, typing.SupportsFloat | typing.SupportsIndex]
    | None = None,
    residual: Array | None = None,
) -> Array: ...
def conv_backward(
    dy: Array,
    x: Array,
    weight: Array,
    y: Array | None,
    stride: collections.abc.Sequence[int],
    padding_before: collections.abc.Sequence[int],
    padding_after: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
    groups: typing.SupportsInt | typing.SupportsIndex,
    activation: str,
    need_x: bool,
    need_w: bool,
    need_b: bool,
) -> tuple[Array | None, Array | None, Array | None]: ...
def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: collections.abc.Sequence[int],
    padding_before: collections.abc.Sequence[int],
    padding_after: collections.abc.Sequence[int],
    output_padding: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
    groups: typing.SupportsInt | typing.SupportsIndex,
) -> Array: ...
def conv_transpose_backward(
    dy: Array,
    x: Array,
    weight: Array,
    stride: collections.abc.Sequence[int],
    padding_before: collections.abc.Sequence[int],
    padding_after: collections.abc.Sequence[int],
    output_padding: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
    groups: typing.SupportsInt | typing.SupportsIndex,
    need_x: bool,
    need_w: bool,
    need_b: bool,
) -> tuple[Array | None, Array | None, Array | None]: ...
def copy_into(dst: Array, src: Array) -> None: ...
def cos(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def cross_entropy_backward(
    dloss: Array,
    x: Array,
    target: Array,
    weight: Array | None,
    stats: Array,
    divisor: Array,
    reduction: str = "mean",
    ignore_index: typing.SupportsInt | typing.SupportsIndex = -100,
    label_smoothing: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    log_probs: bool = False,
) -> Array: ...
def cross_entropy_forward(
    x: Array,
    target: Array,
    weight: Array | None = None,
    reduction: str = "mean",
    ignore_index: typing.SupportsInt | typing.SupportsIndex = -100,
    label_smoothing: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    log_probs: bool = False,
) -> tuple[Array, Array, Array, Array]: ...
def ctc_backward(
    dloss: Array,
    log_probs: Array,
    targets: Array,
    input_lengths: Array,
    target_lengths: Array,
    loss: Array,
    alpha: Array,
    blank: typing.SupportsInt | typing.SupportsIndex = 0,
    zero_infinity: bool = False,
) -> Array: ...
def ctc_forward(
    log_probs: Array,
    targets: Array,
    input_lengths: Array,
    target_lengths: Array,
    blank: typing.SupportsInt | typing.SupportsIndex = 0,
) -> tuple[Array, Array]: ...
def cuda_built() -> bool: ...
def cuda_device_count() -> int: ...
def cuda_device_description(device: str) -> str: ...
def cuda_plan_items(n: typing.SupportsInt | typing.SupportsIndex) -> dict[str, int]: ...
def cuda_plan_matmul(
    m: typing.SupportsInt | typing.SupportsIndex,
    n: typing.SupportsInt | typing.SupportsIndex,
    batch: typing.SupportsInt | typing.SupportsIndex,
    item_size: typing.SupportsInt | typing.SupportsIndex,
) -> dict[str, int]: ...
def cuda_plan_rows(
    rows: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex
) -> dict[str, int]: ...
def cuda_unavailable_reason() -> str: ...
def cum_extreme(
    x: Array, axis: typing.SupportsInt | typing.SupportsIndex, largest: bool
) -> tuple[Array, Array]: ...
def cumprod(
    x: Array, axis: typing.SupportsInt | typing.SupportsIndex, reverse: bool = False, exclusive: bool = False
) -> Array: ...
def cumsum(
    x: Array, axis: typing.SupportsInt | typing.SupportsIndex, reverse: bool = False, exclusive: bool = False
) -> Array: ...
def current_isa() -> str: ...
def debug_memory() -> bool: ...
@typing.overload
def div(a: Array, b: Array) -> Array: ...
@typing.overload
def div(a: Array, b: float) -> Array: ...
@typing.overload
def div(a: float, b: Array) -> Array: ...
def dropout(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    offset: typing.SupportsInt | typing.SupportsIndex,
    inner: typing.SupportsInt | typing.SupportsIndex = 1,
) -> Array: ...
def elu(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def embedding(weight: Array, index: Array) -> Array: ...
def embedding_backward(
    dy: Array,
    index: Array,
    num_embeddings: typing.SupportsInt | typing.SupportsIndex,
    padding_idx: typing.SupportsInt | typing.SupportsIndex | None = None,
    scale_grad_by_freq: bool = False,
) -> Array: ...
def embedding_bag(
    weight: Array,
    index: Array,
    offsets: Array,
    per_sample_weights: Array | None = None,
    mode: str = "mean",
    padding_idx: typing.SupportsInt | typing.SupportsIndex | None = None,
    include_last_offset: bool = False,
) -> tuple[Array, Array, Array, Array, Array]: ...
def embedding_bag_backward(
    dy: Array,
    index: Array,
    source: Array,
    per_sample_weights: Array | None,
    num_embeddings: typing.SupportsInt | typing.SupportsIndex,
    padding_idx: typing.SupportsInt | typing.SupportsIndex | None = None,
    scale_grad_by_freq: bool = False,
) -> Array: ...
def embedding_bag_max_backward(
    dy: Array, argmax: Array, num_embeddings: typing.SupportsInt | typing.SupportsIndex
) -> Array: ...
def embedding_bag_scale_backward(
    dy: Array,
    weight: Array,
    index: Array,
    source: Array,
    padding_idx: typing.SupportsInt | typing.SupportsIndex | None = None,
) -> Array: ...
def embedding_renorm_(
    weight: Array,
    index: Array,
    max_norm: typing.SupportsFloat | typing.SupportsIndex,
    norm_type: typing.SupportsFloat | typing.SupportsIndex = 2.0,
) -> None: ...
def empty(shape: collections.abc.Sequence[int], dtype: npt.DTypeLike, device: str = "cpu") -> Array: ...
def empty_cache(device: str = "cpu") -> None: ...
@typing.overload
def eq(a: Array, b: Array) -> Array: ...
@typing.overload
def eq(a: Array, b: float) -> Array: ...
def erf(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def exp(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def expm1(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def floor(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
@typing.overload
def floor_divide(a: Array, b: Array) -> Array: ...
@typing.overload
def floor_divide(a: Array, b: float) -> Array: ...
@typing.overload
def floor_divide(a: float, b: Array) -> Array: ...
def fma_peak(x: Array, steps: typing.SupportsInt | typing.SupportsIndex) -> Array: ...
@typing.overload
def fmod(a: Array, b: Array) -> Array: ...
@typing.overload
def fmod(a: Array, b: float) -> Array: ...
@typing.overload
def fmod(a: float, b: Array) -> Array: ...
def fold(
    x: Array,
    output_size: collections.abc.Sequence[int],
    kernel: collections.abc.Sequence[int],
    stride: collections.abc.Sequence[int],
    padding: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
) -> Array: ...
def fractional_max_pool(
    x: Array,
    kernel: collections.abc.Sequence[int],
    output_size: collections.abc.Sequence[int],
    samples: Array,
) -> tuple[Array, Array]: ...
def from_dlpack(capsule: typing_extensions.CapsuleType) -> Array: ...
def from_numpy(x: np.ndarray) -> Array: ...
def ftrl_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    sum: collections.abc.Sequence[Array],
    linear: collections.abc.Sequence[Array],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    power: typing.SupportsFloat | typing.SupportsIndex,
    l1: typing.SupportsFloat | typing.SupportsIndex,
    l2: typing.SupportsFloat | typing.SupportsIndex,
    shrinkage: typing.SupportsFloat | typing.SupportsIndex,
    beta: typing.SupportsFloat | typing.SupportsIndex,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def full(
    shape: collections.abc.Sequence[int], value: float, dtype: npt.DTypeLike, device: str = "cpu"
) -> Array: ...
def gather(x: Array, axis: typing.SupportsInt | typing.SupportsIndex, index: Array) -> Array: ...
@typing.overload
def ge(a: Array, b: Array) -> Array: ...
@typing.overload
def ge(a: Array, b: float) -> Array: ...
def gelu(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def gelu_tanh(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def grad_norm(
    arrays: collections.abc.Sequence[Array], order: typing.SupportsFloat | typing.SupportsIndex = 2.0
) -> float: ...
def grid_sample(x: Array, grid: Array, mode: str, padding_mode: str, align_corners: bool) -> Array: ...
def grid_sample_backward(
    dy: Array,
    x: Array,
    grid: Array,
    mode: str,
    padding_mode: str,
    align_corners: bool,
    need_x: bool = True,
    need_grid: bool = True,
) -> tuple[Array | None, Array | None]: ...
def group_norm(
    x: Array,
    num_groups: typing.SupportsInt | typing.SupportsIndex,
    weight: Array | None,
    bias: Array | None,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[Array, Array, Array]: ...
def group_norm_backward(
    dy: Array,
    x: Array,
    num_groups: typing.SupportsInt | typing.SupportsIndex,
    weight: Array | None,
    mean: Array,
    rstd: Array,
    need_x: bool = True,
    need_w: bool = True,
    need_b: bool = True,
) -> tuple[Array | None, Array | None, Array | None]: ...
@typing.overload
def gt(a: Array, b: Array) -> Array: ...
@typing.overload
def gt(a: Array, b: float) -> Array: ...
def guard() -> int: ...
def hardshrink(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def hardsigmoid(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def hardswish(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def hardtanh(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def huber(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def instance_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    momentum: typing.SupportsFloat | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[Array, Array, Array]: ...
def interpolate(
    x: Array,
    size: collections.abc.Sequence[int],
    mode: str,
    align_corners: bool = False,
    scales: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex | None] = [],
    antialias: bool = False,
) -> Array: ...
def interpolate_backward(
    dy: Array,
    size: collections.abc.Sequence[int],
    mode: str,
    align_corners: bool = False,
    scales: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex | None] = [],
    antialias: bool = False,
    channels_last: bool = False,
) -> Array: ...
def is_channels_last(x: Array, spatial: typing.SupportsInt | typing.SupportsIndex) -> bool: ...
def kept_bytes() -> int: ...
def kept_limit() -> int: ...
def kernel_names() -> list[str]: ...
def kernels_on(device: str) -> list[str]: ...
def kthvalue(
    x: Array,
    k: typing.SupportsInt | typing.SupportsIndex,
    axis: typing.SupportsInt | typing.SupportsIndex = -1,
    keepdim: bool = False,
) -> tuple[Array, Array]: ...
def lamb_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    exp_avg: collections.abc.Sequence[Array],
    exp_avg_sq: collections.abc.Sequence[Array],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def layer_norm(
    x: Array,
    normalized_shape: collections.abc.Sequence[int],
    weight: Array | None,
    bias: Array | None,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[Array, Array | None, Array]: ...
def layer_norm_backward(
    dy: Array,
    x: Array,
    normalized_shape: collections.abc.Sequence[int],
    weight: Array | None,
    mean: Array,
    rstd: Array,
    need_x: bool = True,
    need_w: bool = True,
    need_b: bool = True,
) -> tuple[Array | None, Array | None, Array | None]: ...
@typing.overload
def le(a: Array, b: Array) -> Array: ...
@typing.overload
def le(a: Array, b: float) -> Array: ...
def leaky_relu(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def linear(x: Array, weight: Array, bias: Array | None = None, activation: str = "") -> Array: ...
def lion_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    exp_avg: collections.abc.Sequence[Array],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    maximize: bool = False,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def local_response_norm(
    x: Array,
    before: typing.SupportsInt | typing.SupportsIndex,
    after: typing.SupportsInt | typing.SupportsIndex,
    alpha: typing.SupportsFloat | typing.SupportsIndex,
    beta: typing.SupportsFloat | typing.SupportsIndex,
    k: typing.SupportsFloat | typing.SupportsIndex,
) -> Array: ...
def local_response_norm_backward(
    dy: Array,
    x: Array,
    before: typing.SupportsInt | typing.SupportsIndex,
    after: typing.SupportsInt | typing.SupportsIndex,
    alpha: typing.SupportsFloat | typing.SupportsIndex,
    beta: typing.SupportsFloat | typing.SupportsIndex,
    k: typing.SupportsFloat | typing.SupportsIndex,
) -> Array: ...
def log(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def log10(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def log1p(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def log2(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def log_softmax(x: Array, axis: typing.SupportsInt | typing.SupportsIndex) -> Array: ...
def log_softmax_backward(dy: Array, y: Array, axis: typing.SupportsInt | typing.SupportsIndex) -> Array: ...
def logcumsumexp(
    x: Array, axis: typing.SupportsInt | typing.SupportsIndex, reverse: bool = False
) -> Array: ...
@typing.overload
def logical_and(a: Array, b: Array) -> Array: ...
@typing.overload
def logical_and(a: Array, b: float) -> Array: ...
@typing.overload
def logical_and(a: float, b: Array) -> Array: ...
@typing.overload
def logical_or(a: Array, b: Array) -> Array: ...
@typing.overload
def logical_or(a: Array, b: float) -> Array: ...
@typing.overload
def logical_or(a: float, b: Array) -> Array: ...
@typing.overload
def logical_xor(a: Array, b: Array) -> Array: ...
@typing.overload
def logical_xor(a: Array, b: float) -> Array: ...
@typing.overload
def logical_xor(a: float, b: Array) -> Array: ...
@typing.overload
def logistic_loss(a: Array, b: Array) -> Array: ...
@typing.overload
def logistic_loss(a: Array, b: float) -> Array: ...
@typing.overload
def logistic_loss(a: float, b: Array) -> Array: ...
@typing.overload
def logistic_slope(a: Array, b: Array) -> Array: ...
@typing.overload
def logistic_slope(a: Array, b: float) -> Array: ...
@typing.overload
def logistic_slope(a: float, b: Array) -> Array: ...
def logsigmoid(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
@typing.overload
def lt(a: Array, b: Array) -> Array: ...
@typing.overload
def lt(a: Array, b: float) -> Array: ...
def matmul(a: Array, b: Array) -> Array: ...
def max_pool(
    x: Array,
    kernel: collections.abc.Sequence[int],
    stride: collections.abc.Sequence[int],
    pads: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
    ceil_mode: bool = False,
    save: str = "",
) -> tuple[Array, Array | None]: ...
def max_pool_backward(
    dy: Array,
    saved: Array,
    x_shape: collections.abc.Sequence[int],
    kernel: collections.abc.Sequence[int],
    stride: collections.abc.Sequence[int],
    pads: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
    ceil_mode: bool = False,
    channels_last: bool = False,
) -> Array: ...
@typing.overload
def maximum(a: Array, b: Array) -> Array: ...
@typing.overload
def maximum(a: Array, b: float) -> Array: ...
@typing.overload
def maximum(a: float, b: Array) -> Array: ...
def mean(
    x: Array,
    axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
    keepdim: bool = False,
) -> Array: ...
def median(
    x: Array,
    axis: typing.SupportsInt | typing.SupportsIndex = -1,
    keepdim: bool = False,
    skip_nan: bool = False,
) -> tuple[Array, Array]: ...
def memory_stats(device: str = "cpu") -> dict[str, int]: ...
@typing.overload
def minimum(a: Array, b: Array) -> Array: ...
@typing.overload
def minimum(a: Array, b: float) -> Array: ...
@typing.overload
def minimum(a: float, b: Array) -> Array: ...
def mish(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
@typing.overload
def mul(a: Array, b: Array) -> Array: ...
@typing.overload
def mul(a: Array, b: float) -> Array: ...
@typing.overload
def mul(a: float, b: Array) -> Array: ...
def multilabel_margin_backward(dloss: Array, x: Array, target: Array) -> Array: ...
def multilabel_margin_forward(x: Array, target: Array) -> Array: ...
def nadam_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    exp_avg: collections.abc.Sequence[Array],
    exp_avg_sq: collections.abc.Sequence[Array],
    mu_products: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex,
    momentum_decay: typing.SupportsFloat | typing.SupportsIndex,
    decoupled: bool,
    maximize: bool,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
@typing.overload
def ne(a: Array, b: Array) -> Array: ...
@typing.overload
def ne(a: Array, b: float) -> Array: ...
def neg(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def num_threads() -> int: ...
def num_threads_reason() -> str: ...
def pad(
    x: Array, before: collections.abc.Sequence[int], size: collections.abc.Sequence[int], mode: str
) -> Array: ...
def pad_backward(
    dy: Array,
    before: collections.abc.Sequence[int],
    size: collections.abc.Sequence[int],
    mode: str,
    channels_last: bool = False,
) -> Array: ...
def permute(x: Array, axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> Array: ...
def philox_bits(
    n: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    offset: typing.SupportsInt | typing.SupportsIndex,
    first_block: typing.SupportsInt | typing.SupportsIndex = 0,
    device: str = "cpu",
) -> Array: ...
def philox_uniform(
    shape: collections.abc.Sequence[int],
    dtype: npt.DTypeLike,
    seed: typing.SupportsInt | typing.SupportsIndex,
    offset: typing.SupportsInt | typing.SupportsIndex,
    device: str = "cpu",
) -> Array: ...
@typing.overload
def pow(a: Array, b: Array) -> Array: ...
@typing.overload
def pow(a: Array, b: float) -> Array: ...
@typing.overload
def pow(a: float, b: Array) -> Array: ...
def prod(
    x: Array,
    axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
    keepdim: bool = False,
) -> Array: ...
def put_into(
    y: Array,
    axis: typing.SupportsInt | typing.SupportsIndex,
    index: Array,
    x: Array,
    accumulate: bool,
    wrap: bool = False,
) -> None: ...
def quant_linear(x: Array, weight: Array, scale: Array | None = None, bias: Array | None = None) -> Array: ...
def quant_widen(weight: Array, scale: Array | None, dtype: npt.DTypeLike) -> Array: ...
def radam_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    exp_avg: collections.abc.Sequence[Array],
    exp_avg_sq: collections.abc.Sequence[Array],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex,
    decoupled: bool,
    maximize: bool,
) -> None: ...
def reciprocal(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def relu(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
@typing.overload
def remainder(a: Array, b: Array) -> Array: ...
@typing.overload
def remainder(a: Array, b: float) -> Array: ...
@typing.overload
def remainder(a: float, b: Array) -> Array: ...
def reset_peak_memory(device: str = "cpu") -> None: ...
def reshape(x: Array, shape: collections.abc.Sequence[int]) -> Array: ...
def rms_norm(
    x: Array,
    normalized_shape: collections.abc.Sequence[int],
    weight: Array | None,
    eps: typing.SupportsFloat | typing.SupportsIndex | None,
) -> tuple[Array, Array]: ...
def rms_norm_backward(
    dy: Array,
    x: Array,
    normalized_shape: collections.abc.Sequence[int],
    weight: Array | None,
    rstd: Array,
    need_x: bool = True,
    need_w: bool = True,
) -> tuple[Array | None, Array | None]: ...
def rmsprop_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    square_avg: collections.abc.Sequence[Array],
    grad_avg: collections.abc.Sequence[Array],
    momentum_buffer: collections.abc.Sequence[Array],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    alpha: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex,
    momentum: typing.SupportsFloat | typing.SupportsIndex,
    centered: bool,
    maximize: bool,
    epsilon_inside: bool = False,
    rated: bool = False,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def rnn(
    kind: str,
    x: Array,
    h0: Array,
    c0: Array | None,
    weights: collections.abc.Sequence[Array | None],
    batch_sizes: Array | None,
    batch_first: bool,
    reverse: bool,
    keep: bool,
) -> tuple[Array, Array, Array | None, Array | None, Array | None]: ...
def rnn_backward(
    kind: str,
    dy: Array | None,
    dhT: Array | None,
    dcT: Array | None,
    x: Array,
    h0: Array,
    c0: Array | None,
    y: Array,
    gates: Array | None,
    cells: Array | None,
    weights: collections.abc.Sequence[Array | None],
    batch_sizes: Array | None,
    batch_first: bool,
    reverse: bool,
    needs: collections.abc.Sequence[bool],
) -> list[Array | None]: ...
def round(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def rprop_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    prev: collections.abc.Sequence[Array],
    step_size: collections.abc.Sequence[Array],
    eta_minus: typing.SupportsFloat | typing.SupportsIndex,
    eta_plus: typing.SupportsFloat | typing.SupportsIndex,
    least: typing.SupportsFloat | typing.SupportsIndex,
    most: typing.SupportsFloat | typing.SupportsIndex,
    maximize: bool = False,
) -> None: ...
def rsqrt(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def scale_(
    arrays: collections.abc.Sequence[Array], factor: typing.SupportsFloat | typing.SupportsIndex
) -> None: ...
def scatter_into(
    y: Array, axis: typing.SupportsInt | typing.SupportsIndex, index: Array, x: Array, accumulate: bool
) -> None: ...
def schedule_free_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    z: collections.abc.Sequence[Array],
    exp_avg_sq: collections.abc.Sequence[Array],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def searchsorted(sorted: Array, x: Array, right: bool = False) -> Array: ...
def select(
    x: Array,
    axis: typing.SupportsInt | typing.SupportsIndex,
    index: typing.SupportsInt | typing.SupportsIndex,
) -> Array: ...
def set_guard(tick: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def set_isa(name: str) -> None: ...
def set_kept_limit(bytes: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def set_num_threads(n: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def set_walking(on: bool) -> bool:
    """
    Whether this thread walks the tape; returns whether it did.
    """

def set_winograd(enabled: bool) -> None: ...
def sgd_step(
    params: collections.abc.Sequence[Array],
    grads: collections.abc.Sequence[Array],
    buffers: collections.abc.Sequence[Array],
    steps: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    lr: typing.SupportsFloat | typing.SupportsIndex,
    momentum: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    dampening: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    rated: bool = False,
    keep: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
    scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
) -> None: ...
def sigmoid(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def sign(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def silu(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def sin(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def slice(
    x: Array,
    axis: typing.SupportsInt | typing.SupportsIndex,
    start: typing.SupportsInt | typing.SupportsIndex,
    length: typing.SupportsInt | typing.SupportsIndex,
    step: typing.SupportsInt | typing.SupportsIndex,
) -> Array: ...
def softmax(x: Array, axis: typing.SupportsInt | typing.SupportsIndex) -> Array: ...
def softmax_backward(dy: Array, y: Array, axis: typing.SupportsInt | typing.SupportsIndex) -> Array: ...
def softplus(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def softshrink(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def softsign(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def sort(
    x: Array, axis: typing.SupportsInt | typing.SupportsIndex = -1, descending: bool = False
) -> tuple[Array, Array]: ...
def sqrt(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def square(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def stream_triad(
    x: Array, y: Array, scale: typing.SupportsFloat | typing.SupportsIndex, out: Array | None = None
) -> Array: ...
@typing.overload
def sub(a: Array, b: Array) -> Array: ...
@typing.overload
def sub(a: Array, b: float) -> Array: ...
@typing.overload
def sub(a: float, b: Array) -> Array: ...
def sum(
    x: Array,
    axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
    keepdim: bool = False,
) -> Array: ...
def sum_to(x: Array, shape: collections.abc.Sequence[int]) -> Array: ...
def sumsq(
    x: Array,
    axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
    keepdim: bool = False,
) -> Array: ...
def synchronize(device: str) -> None: ...
def take(
    x: Array, axis: typing.SupportsInt | typing.SupportsIndex, index: Array, wrap: bool = False
) -> Array: ...
def tan(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def tanh(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def threshold(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def to_device(x: Array, device: str) -> Array: ...
def to_dlpack(x: Array) -> typing_extensions.CapsuleType: ...
def topk(
    x: Array,
    k: typing.SupportsInt | typing.SupportsIndex,
    axis: typing.SupportsInt | typing.SupportsIndex = -1,
    largest: bool = True,
) -> tuple[Array, Array]: ...
def transpose(
    x: Array,
    axis0: typing.SupportsInt | typing.SupportsIndex,
    axis1: typing.SupportsInt | typing.SupportsIndex,
) -> Array: ...
def triangle(x: Array, diagonal: typing.SupportsInt | typing.SupportsIndex, lower: bool) -> Array: ...
def trunc(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def unary_(
    op: str,
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> None: ...
def unary_backward(
    op: str,
    dy: Array,
    saved: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
def unfold(
    x: Array,
    kernel: collections.abc.Sequence[int],
    stride: collections.abc.Sequence[int],
    padding: collections.abc.Sequence[int],
    dilation: collections.abc.Sequence[int],
) -> Array: ...
def var(
    x: Array,
    axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
    correction: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    keepdim: bool = False,
) -> Array: ...
@typing.overload
def where(condition: Array, a: Array, b: Array) -> Array: ...
@typing.overload
def where(condition: Array, a: float, b: Array) -> Array: ...
@typing.overload
def where(condition: Array, a: Array, b: float) -> Array: ...
def winograd() -> bool: ...
def write_clock() -> int: ...

FMA_CHAINS: int = 12
NEVER: int = 9223372036854775807
__version__: str
