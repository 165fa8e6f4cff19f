"""Normalisation layers with torch's names, state and errors."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcore import _C
from dlcore import functional as F
from dlcore.nn import init
from dlcore.nn.module import Module, Parameter, UninitializedParameter, empty_parameter, size
from dlcore.tensor import DTypeLike, Tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "CrossMapLRN2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]


class _Affine(Module):
    """weight (ones) and bias (zeros) of one shape, or neither."""

    weight: Parameter | None
    bias: Parameter | None

    def _add_affine(
        self, shape: tuple[int, ...], affine: bool, bias: bool, device: str | None, dtype: DTypeLike
    ) -> None:
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, empty_parameter(shape, dtype, device) if wanted else None)

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Tensor: ...


def _full(shape: tuple[int, ...], value: float, dtype: DTypeLike, device: str | None) -> Tensor:
    return Tensor(_C.full(shape, value, np.dtype(np.float32 if dtype is None else dtype), device or "cpu"))


class _NormBase(_Affine):
    _version = 2  # since it, the state holds num_batches_tracked
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _ranks: tuple[int, ...] = ()  # of the inputs

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = n = size(type(self).__name__, "num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._add_affine((n,), affine, bias, device, dtype)
        self._add_statistics(n, device, dtype)
        self.reset_parameters()

    def _add_statistics(self, n: int, device: str | None, dtype: DTypeLike) -> None:
        track = self.track_running_stats
        self.register_buffer("running_mean", _full((n,), 0.0, dtype, device) if track else None)
        self.register_buffer("running_var", _full((n,), 1.0, dtype, device) if track else None)
        self.register_buffer("num_batches_tracked", _full((), 0, np.int64, device) if track else None)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches."""
        if self.track_running_stats:
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        super().reset_parameters()

    def _check_input_dim(self, input: Tensor) -> None:
        if self._ranks and input.ndim not in self._ranks:
            wanted = " or ".join(f"{n}D" for n in self._ranks)
            raise ValueError(f"expected {wanted} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        key = prefix + "num_batches_tracked"
        if local_metadata.get("version", 0) < 2 and self.num_batches_tracked is not None:
            state_dict.setdefault(key, self.num_batches_tracked)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class _LazyNorm(_NormBase):
    """A norm whose num_features the first input decides; it is `_becomes` from then on."""

    _becomes: type[_NormBase]

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
        *,
        bias: bool = True,
    ) -> None:
        Module.__init__(self)
        self.num_features = 0
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            parameter = UninitializedParameter(device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, parameter)
        self._add_statistics(0, device, dtype)

    def has_uninitialized_params(self) -> bool:
        return isinstance(self.weight, UninitializedParameter) or self.track_running_stats

    def reset_parameters(self) -> None:
        """Nothing to reset before the first input."""

    def _materialize(self, n: int) -> None:
        self.num_features = n
        for p in (self.weight, self.bias):
            if isinstance(p, UninitializedParameter):
                p.materialize((n,))
        for b in (self.running_mean, self.running_var):
            if b is not None:
                b.array = _C.empty((n,), b.dtype, b.device)
        self.__class__ = self._becomes  # type: ignore[assignment]
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        self._materialize(input.shape[1])
        result: Tensor = self.forward(input)
        return result

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("weight", "running_mean"):
            given = state_dict.get(prefix + name)
            if given is not None and not isinstance(given, UninitializedParameter) and given.shape != (0,):
                self._materialize(given.shape[0])
                break
        # It may be a plain norm by now, and its own loading is the next one's in any case.
        _NormBase._load_from_state_dict(self, state_dict, prefix, *args)


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        mean, var = self.running_mean, self.running_var
        if self.training:
            if not self.track_running_stats:
                mean = var = None
            elif self.num_batches_tracked is not None:
                count = self.num_batches_tracked.add_(1)
                if self.momentum is None:  # the plain average over all batches
                    momentum = 1 / float(count.item())
        batch_statistics = self.training or (mean is None and var is None)
        return F.batch_norm(input, mean, var, self.weight, self.bias, batch_statistics, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """y = (x - mean) / sqrt(var + eps) · w + b over each channel of x (N, C) or (N, C, L).

    In training the statistics are the batch's (the variance biased), and running_mean and running_var move
    towards them: r ← (1 - momentum) r + momentum s, the variance unbiased; momentum None averages over all
    batches. In evaluation the running ones serve, or the batch's without `track_running_stats`.

    Raises ValueError for another rank, another number of channels, and one value a channel in training.

    S. Ioffe, C. Szegedy: Batch normalization (ICML 2015).

    >>> import dlcore
    >>> layer = dlcore.nn.BatchNorm1d(1, momentum=None)
    >>> layer(dlcore.tensor([[1.0], [3.0]])).shape, layer.running_mean.tolist()
    ((2, 1), [2.0])
    """

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of x (N, C, H, W), in x's memory format; see BatchNorm1d.

    >>> import dlcore
    >>> dlcore.nn.BatchNorm2d(3)
    BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _ranks = (4,)

    def running(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, float] | None:
        """Mean, variance, weight, bias and eps where the forward uses the running statistics, else None."""
        if self.training or self.running_mean is None or self.running_var is None:
            return None
        return self.running_mean, self.running_var, self.weight, self.bias, self.eps


class BatchNorm3d(_BatchNorm):
    """Batch norm of x (N, C, D, H, W); see BatchNorm1d."""

    _ranks = (5,)


class LazyBatchNorm1d(_LazyNorm, _BatchNorm):
    """A BatchNorm1d whose num_features the first input decides.

    >>> import dlcore
    >>> layer = dlcore.nn.LazyBatchNorm1d()
    >>> layer(dlcore.tensor([[1.0, 2.0], [3.0, 4.0]])).shape, layer.num_features
    ((2, 2), 2)
    """

    _ranks = (2, 3)
    _becomes = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, _BatchNorm):
    """A BatchNorm2d whose num_features the first input decides."""

    _ranks = (4,)
    _becomes = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, _BatchNorm):
    """A BatchNorm3d whose num_features the first input decides."""

    _ranks = (5,)
    _becomes = BatchNorm3d


class SyncBatchNorm(_BatchNorm):
    """Batch norm of x (N, C, ...) with the statistics of the whole process group: here of one process, so
    that it is a BatchNorm of any rank. `process_group` must be None.

    >>> import dlcore
    >>> net = dlcore.nn.Sequential(dlcore.nn.BatchNorm2d(2))
    >>> dlcore.nn.SyncBatchNorm.convert_sync_batchnorm(net)[0].num_features
    2
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: str | None = None,
        dtype: DTypeLike = None,
        *,
        bias: bool = True,
    ) -> None:
        if process_group is not None:
            raise ValueError("SyncBatchNorm: there is one process only, process_group must be None")
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = None

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")
        if input.shape[1] == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """`module` with every BatchNorm replaced by a SyncBatchNorm of the same parameters and buffers."""
        result = module
        if isinstance(module, _BatchNorm):
            result = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            result.weight, result.bias = module.weight, module.bias
            result.running_mean, result.running_var = module.running_mean, module.running_var
            result.num_batches_tracked = module.num_batches_tracked
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result


class _InstanceNorm(_NormBase):
    _unbatched: int  # the rank of an input without a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: str | None = None,
        dtype: DTypeLike = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        dim = input.ndim - self._unbatched
        if input.shape[dim] != self.num_features:
            got = f"input's size at dim={dim}"
            if self.affine:
                n = self.num_features
                raise ValueError(f"expected {got} to match num_features ({n}), but got: {input.shape[dim]}.")
            warnings.warn(
                f"{got} does not match num_features. You can silence this warning by not passing in "
                "num_features, which is not used because affine=False",
                stacklevel=2,
            )
        y = F.instance_norm(
            input if dim else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y if dim else y.squeeze(0)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        if not self.track_running_stats and local_metadata.get("version") is None:
            old = [prefix + n for n in ("running_mean", "running_var") if prefix + n in state_dict]
            for key in old:
                error_msgs.append(
                    f'Unexpected running stats buffer "{key}" for {type(self).__name__} with '
                    "track_running_stats=False"
                )
                del state_dict[key]
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class InstanceNorm1d(_InstanceNorm):
    """y = (x - mean) / sqrt(var + eps) · w + b over each sample's channel of x (N, C, L) or (C, L).

    With `track_running_stats`, running statistics follow in training as in BatchNorm1d, averaged over the
    batch, and serve in evaluation. No weight and bias unless `affine`.

    Raises ValueError for another rank, one value a channel, and, with `affine`, other numbers of channels.

    D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance normalization (2016).

    >>> import dlcore
    >>> dlcore.nn.InstanceNorm1d(2, eps=1e-12)(dlcore.tensor([[[1.0, 3.0], [5.0, 9.0]]])).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """

    _ranks, _unbatched = (2, 3), 2


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of x (N, C, H, W) or (C, H, W); see InstanceNorm1d."""

    _ranks, _unbatched = (3, 4), 3


class InstanceNorm3d(_InstanceNorm):
    """Instance norm of x (N, C, D, H, W) or (C, D, H, W); see InstanceNorm1d."""

    _ranks, _unbatched = (4, 5), 4


class _LazyInstanceNorm(_LazyNorm, _InstanceNorm):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        # torch takes axis 1 even of an input without a batch.
        self._materialize(input.shape[1])
        result: Tensor = self.forward(input)
        return result


class LazyInstanceNorm1d(_LazyInstanceNorm):
    """An InstanceNorm1d whose num_features the first input decides; affine and tracking by default.

    >>> import dlcore, numpy as np
    >>> layer = dlcore.nn.LazyInstanceNorm1d()
    >>> layer(dlcore.tensor(np.ones((2, 3, 4), np.float32))).shape, layer.num_features
    ((2, 3, 4), 3)
    """

    _ranks, _unbatched = (2, 3), 2
    _becomes = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm):
    """An InstanceNorm2d whose num_features the first input decides."""

    _ranks, _unbatched = (3, 4), 3
    _becomes = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm):
    """An InstanceNorm3d whose num_features the first input decides."""

    _ranks, _unbatched = (4, 5), 4
    _becomes = InstanceNorm3d


def _normalized_shape(op: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    try:
        return (operator.index(shape),)  # type: ignore[arg-type]
    except TypeError:
        return tuple(size(op, "normalized_shape", n) for n in shape)  # type: ignore[union-attr]


class LayerNorm(_Affine):
    """y = (x - mean) / sqrt(var + eps) · w + b over the last axes, which are normalized_shape.

    weight (ones) and bias (zeros) of normalized_shape with `elementwise_affine`; no bias without `bias`.

    Raises ValueError where the input's last axes are not normalized_shape.

    J. L. Ba, J. R. Kiros, G. Hinton: Layer normalization (2016).

    >>> import dlcore
    >>> dlcore.nn.LayerNorm(2, eps=1e-12)(dlcore.tensor([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _normalized_shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._add_affine(self.normalized_shape, elementwise_affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """y = x / sqrt(mean(x²) + eps) · w over the last axes; eps None is the dtype's machine epsilon.

    Raises ValueError where the input's last axes are not normalized_shape.

    B. Zhang, R. Sennrich: Root mean square layer normalization (NeurIPS 2019).

    >>> import dlcore
    >>> dlcore.nn.RMSNorm(2, eps=0.0)(dlcore.tensor([1.0, -1.0])).tolist()
    [1.0, -1.0]
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _normalized_shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        wanted = empty_parameter(self.normalized_shape, dtype, device) if elementwise_affine else None
        self.register_parameter("weight", wanted)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"

    if TYPE_CHECKING:
        __call__ = forward


class GroupNorm(_Affine):
    """y = (x - mean) / sqrt(var + eps) · w + b over each group of channels of each sample of x (N, C, ...).

    Raises ValueError where num_groups does not divide num_channels.

    Y. Wu, K. He: Group normalization (ECCV 2018).

    >>> import dlcore
    >>> dlcore.nn.GroupNorm(2, 4, eps=1e-12)(dlcore.tensor([[1.0, 3.0, 50.0, 70.0]])).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: str | None = None,
        dtype: DTypeLike = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = size("GroupNorm", "num_groups", num_groups)
        self.num_channels = size("GroupNorm", "num_channels", num_channels)
        if self.num_groups == 0 or self.num_channels % self.num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.eps = eps
        self.affine = affine
        self._add_affine((self.num_channels,), affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _Local(Module):
    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Tensor: ...


class LocalResponseNorm(_Local):
    """y[c] = x[c] (k + alpha / size · Σ x[j]²)^-beta over the `size` channels j around c, x (N, C, ...).

    A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet classification with deep convolutional neural networks
    (NeurIPS 2012).

    >>> import dlcore
    >>> dlcore.nn.LocalResponseNorm(1, 1.0, 0.5, 0.0)(dlcore.tensor([[[3.0], [-4.0]]])).tolist()
    [[[1.0], [-1.0]]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)


class CrossMapLRN2d(_Local):
    """LocalResponseNorm of x (N, C, H, W) with a symmetric window, one channel less where `size` is even; see
    `dlcore.functional.cross_map_lrn2d`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        return F.cross_map_lrn2d(input, self.size, self.alpha, self.beta, self.k)
