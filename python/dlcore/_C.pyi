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
    "abs",
    "activation_backward",
    "adadelta_step",
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
    "atan2",
    "available_isas",
    "avg_pool",
    "avg_pool_backward",
    "binary_",
    "broadcast_to",
    "built_isas",
    "cast",
    "ceil",
    "check_guards",
    "clamp",
    "clamp_",
    "clone",
    "compiler",
    "concatenate",
    "contiguous",
    "conv",
    "conv_backward",
    "copy_into",
    "cos",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "cuda_built",
    "cuda_device_count",
    "cuda_device_description",
    "cuda_plan_items",
    "cuda_plan_matmul",
    "cuda_plan_rows",
    "cuda_unavailable_reason",
    "cumprod",
    "cumsum",
    "current_isa",
    "debug_memory",
    "div",
    "dropout",
    "elu",
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
    "from_dlpack",
    "from_numpy",
    "full",
    "gather",
    "ge",
    "gelu",
    "gelu_tanh",
    "grad_norm",
    "gt",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "is_channels_last",
    "kernel_names",
    "kernels_on",
    "le",
    "leaky_relu",
    "linear",
    "log",
    "log10",
    "log1p",
    "log2",
    "log_softmax",
    "log_softmax_backward",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logsigmoid",
    "lt",
    "matmul",
    "max_pool",
    "max_pool_backward",
    "maximum",
    "mean",
    "memory_stats",
    "minimum",
    "mish",
    "mul",
    "nadam_step",
    "ne",
    "neg",
    "num_threads",
    "num_threads_reason",
    "permute",
    "philox_bits",
    "philox_uniform",
    "pow",
    "prod",
    "put_into",
    "radam_step",
    "reciprocal",
    "relu",
    "remainder",
    "reset_peak_memory",
    "reshape",
    "rmsprop_step",
    "round",
    "rsqrt",
    "scale_",
    "scatter_into",
    "select",
    "set_isa",
    "set_num_threads",
    "sgd_step",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "slice",
    "softmax",
    "softmax_backward",
    "softplus",
    "softsign",
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
    "transpose",
    "triangle",
    "trunc",
    "unary_",
    "unary_backward",
    "var",
    "where",
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
@typing.overload
def atan2(a: Array, b: Array) -> Array: ...
@typing.overload
def atan2(a: Array, b: float) -> Array: ...
@typing.overload
def atan2(a: float, b: Array) -> Array: ...
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
def from_dlpack(capsule: typing_extensions.CapsuleType) -> Array: ...
def from_numpy(x: np.ndarray) -> Array: ...
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
@typing.overload
def gt(a: Array, b: Array) -> Array: ...
@typing.overload
def gt(a: Array, b: float) -> Array: ...
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
def is_channels_last(x: Array, spatial: typing.SupportsInt | typing.SupportsIndex) -> bool: ...
def kernel_names() -> list[str]: ...
def kernels_on(device: str) -> list[str]: ...
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
) -> None: ...
def round(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
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
def select(
    x: Array,
    axis: typing.SupportsInt | typing.SupportsIndex,
    index: typing.SupportsInt | typing.SupportsIndex,
) -> Array: ...
def set_isa(name: str) -> None: ...
def set_num_threads(n: typing.SupportsInt | typing.SupportsIndex) -> None: ...
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
def softsign(
    x: Array,
    p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    q: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Array: ...
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

FMA_CHAINS: int = 12
__version__: str
