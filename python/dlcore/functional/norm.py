"""Normalisation: batch, layer, RMS, group, instance norm and the local response."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from dlcore import _C
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = [
    "batch_norm",
    "cross_map_lrn2d",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
]

Grads = tuple[_C.Array | None, ...]


def _array(t: Tensor | None) -> _C.Array | None:
    return None if t is None else t.array


def _inputs(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, ...]:
    return tuple([t for t in (x, weight, bias) if t is not None])


def _needed(needs: tuple[bool, ...], weight: Tensor | None, bias: Tensor | None) -> tuple[bool, bool, bool]:
    return needs[0], weight is not None and needs[1], bias is not None and needs[-1]


def _given(grads: Grads, weight: Tensor | None, bias: Tensor | None) -> Grads:
    """The gradients of those of (x, weight, bias) that are inputs."""
    return grads[:1] + (grads[1:2] if weight is not None else ()) + (grads[2:] if bias is not None else ())


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    axis: int = 1,
    unbiased: bool = True,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) · w + b, mean and variance of a channel over all other axes.

    input (N, C, ...), the others (C,); y in input's memory format. With `training` the statistics are
    input's own (the variance biased), and where running ones are given they move in place:
    r ← (1 - momentum) r + momentum s, the variance unbiased unless `unbiased` is False. Without, the running
    ones serve. `axis` is the channels' axis: -1 for (N, ..., C).

    Raises ValueError for shapes that do not match, where a channel has one value in training, and where the
    running statistics are missing but needed; TypeError for mixed or integer dtypes.

    S. Ioffe, C. Szegedy: Batch normalization (ICML 2015).

    >>> import dlcore
    >>> x = dlcore.tensor([[1.0, 10.0], [3.0, 30.0]])
    >>> dlcore.functional.batch_norm(x, None, None, training=True, eps=1e-12).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    xa, w, b = input.array, _array(weight), _array(bias)
    last = xa.ndim - 1
    moved = axis not in (1, 1 - xa.ndim)
    if moved and axis not in (-1, last):
        raise ValueError(f"batch_norm: axis must be 1 or the last, got axis={axis}, x={input.shape}")
    if moved:
        xa = _C.permute(xa, (0, last, *range(1, last)))
    y, mean, rstd = _C.batch_norm(
        xa, _array(running_mean), _array(running_var), w, b, bool(training), momentum, eps, unbiased
    )
    back = (0, *range(2, last + 1), 1)

    def batch_norm_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        if moved:
            g = _C.permute(g, (0, last, *range(1, last)))
        grads: Grads = _C.batch_norm_backward(
            g, xa, w, mean, rstd, bool(training), *_needed(needs, weight, bias)
        )
        if moved and grads[0] is not None:
            grads = (_C.permute(grads[0], back), *grads[1:])
        return _given(grads, weight, bias)

    return record(_C.permute(y, back) if moved else y, _inputs(input, weight, bias), batch_norm_backward)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) · w + b, mean and biased variance over the last axes.

    input (..., *normalized_shape), weight and bias of normalized_shape.

    Raises ValueError where the shapes do not match, TypeError for mixed or integer dtypes.

    J. L. Ba, J. R. Kiros, G. Hinton: Layer normalization (2016).

    >>> import dlcore
    >>> dlcore.functional.layer_norm(dlcore.tensor([[1.0, 3.0], [5.0, 5.0]]), (2,), eps=1e-12).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    xa, w = input.array, _array(weight)
    shape = tuple(normalized_shape)
    y, mean, rstd = _C.layer_norm(xa, shape, w, _array(bias), eps)

    def layer_norm_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        assert mean is not None
        grads = _C.layer_norm_backward(g, xa, shape, w, mean, rstd, *_needed(needs, weight, bias))
        return _given(grads, weight, bias)

    return record(y, _inputs(input, weight, bias), layer_norm_backward)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """y = x / sqrt(mean(x²) + eps) · w, the mean over the last axes; eps None is the dtype's machine epsilon.

    input (..., *normalized_shape), weight of normalized_shape.

    Raises ValueError where the shapes do not match, TypeError for mixed or integer dtypes.

    B. Zhang, R. Sennrich: Root mean square layer normalization (NeurIPS 2019).

    >>> import dlcore
    >>> dlcore.functional.rms_norm(dlcore.tensor([1.0, -1.0]), (2,), eps=0.0).tolist()
    [1.0, -1.0]
    """
    xa, w = input.array, _array(weight)
    shape = tuple(normalized_shape)
    y, rstd = _C.rms_norm(xa, shape, w, eps)

    def rms_norm_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        need_x, need_w, _ = _needed(needs, weight, None)
        return _given(_C.rms_norm_backward(g, xa, shape, w, rstd, need_x, need_w), weight, None)

    return record(y, _inputs(input, weight, None), rms_norm_backward)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) · w + b, mean and variance (biased) over groups of channels.

    input (N, C, ...), weight and bias (C,); y in input's memory format.

    Raises ValueError where num_groups does not divide C and where a group has one value, TypeError for mixed
    or integer dtypes.

    Y. Wu, K. He: Group normalization (ECCV 2018).

    >>> import dlcore
    >>> dlcore.functional.group_norm(dlcore.tensor([[1.0, 3.0, 50.0, 70.0]]), 2, eps=1e-12).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    xa, w = input.array, _array(weight)
    y, mean, rstd = _C.group_norm(xa, num_groups, w, _array(bias), eps)

    def group_norm_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        grads = _C.group_norm_backward(g, xa, num_groups, w, mean, rstd, *_needed(needs, weight, bias))
        return _given(grads, weight, bias)

    return record(y, _inputs(input, weight, bias), group_norm_backward)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) · w + b, mean and biased variance of each sample's channel.

    input (N, C, ...), the others (C,). Running statistics, where given, move towards the samples' average
    (the variance unbiased); without `use_input_stats` they serve instead of the input's own.

    Raises ValueError where a channel has one value, and for missing running statistics; TypeError for mixed
    or integer dtypes.

    D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance normalization (2016).

    >>> import dlcore
    >>> dlcore.functional.instance_norm(dlcore.tensor([[[1.0, 3.0], [50.0, 70.0]]]), eps=1e-12).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                "instance_norm: running_mean and running_var must be given where use_input_stats is False, "
                f"got input={input.shape}"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    xa, w = input.array, _array(weight)
    y, mean, rstd = _C.instance_norm(
        xa, _array(running_mean), _array(running_var), w, _array(bias), momentum, eps
    )

    def instance_norm_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        grads = _C.group_norm_backward(g, xa, xa.shape[1], w, mean, rstd, *_needed(needs, weight, bias))
        return _given(grads, weight, bias)

    return record(y, _inputs(input, weight, bias), instance_norm_backward)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """y[c] = x[c] (k + alpha / size · Σ x[j]²)^-beta over the `size` channels j around c that exist.

    input (N, C, ...) of at least 3 dimensions; y in input's memory format. An even window has one channel
    more before c than after it.

    Raises ValueError for fewer dimensions and size < 1, TypeError for a size that is not an integer.

    A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet classification with deep convolutional neural networks
    (NeurIPS 2012).

    >>> import dlcore
    >>> dlcore.functional.local_response_norm(dlcore.tensor([[[3.0], [4.0]]]), 3, 3.0, 0.5, 0.0).tolist()
    [[[0.6...], [0.8...]]]
    """
    n = _window("local_response_norm", size)
    return _local(input, n // 2, (n - 1) // 2, alpha / n, beta, k)


def cross_map_lrn2d(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """As `local_response_norm`, with Caffe's window: symmetric, so that an even one has a channel less.

    input (N, C, H, W). torch's module of this name keeps channel 0 in every window's sum, and its gradient is
    of another window; this is the formula. Raises ValueError for other dimensions and size < 1.

    >>> import dlcore
    >>> dlcore.functional.cross_map_lrn2d(dlcore.tensor([[[[2.0]]]]), 2, 2.0, 0.5, 0.0).item()
    1.0
    """
    n = _window("cross_map_lrn2d", size)
    if input.ndim != 4:
        raise ValueError(f"cross_map_lrn2d: the input must be 4D, got {input.ndim}D input {input.shape}")
    return _local(input, (n - 1) // 2, (n - 1) // 2, alpha / n, beta, k)


def _window(op: str, size: int) -> int:
    try:
        n = operator.index(size)
    except TypeError:
        raise TypeError(f"{op}: size must be an integer, got {size!r}") from None
    if n < 1:
        raise ValueError(f"{op}: size must be positive, got {n}")
    return n


def _local(input: Tensor, before: int, after: int, alpha: float, beta: float, k: float) -> Tensor:
    xa = input.array

    def local_response_norm_backward(g: _C.Array, needs: tuple[bool, ...]) -> Grads:
        return (_C.local_response_norm_backward(g, xa, before, after, alpha, beta, k),)

    y = _C.local_response_norm(xa, before, after, alpha, beta, k)
    return record(y, (input,), local_response_norm_backward)
