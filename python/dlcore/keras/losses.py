"""Losses by Keras' names: the functions give a value a sample, the classes reduce and weigh them.

A mask that hangs at the predictions leaves its samples out, of the mean too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras._registry import Registry, serialize_any
from dlcore.keras.layers.base import mask_of, to_tensor
from dlcore.keras.symbolic import unique_name
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves, tree_map

__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

_registry = Registry("keras.losses", "loss")
get = _registry.get
deserialize = _registry.from_config
serialize = _registry.serialize
_EPSILON = 1e-7
_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", "mean_with_sample_weight", None)


# ---- a value a sample --------------------------------------------------------------------------------------


def _two(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Both as floats of the predictions' dtype."""
    p = to_tensor(y_pred)
    p = p if p.dtype.kind == "f" else p.to(np.dtype(np.float32))
    t = to_tensor(y_true, p.dtype.name)
    return t if t.dtype == p.dtype else t.to(p.dtype), p


def same_rank(a: Any, b: Any, expand_rank_1: bool = True) -> tuple[Any, Any]:
    """A last axis of size 1 is added to one or taken off the other."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        if b.ndim == 1 and expand_rank_1:
            return a, b.reshape(*b.shape, 1)
        return a.reshape(*a.shape[:-1]), b
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        if a.ndim == 1 and expand_rank_1:
            return a.reshape(*a.shape, 1), b
        return a, b.reshape(*b.shape[:-1])
    return a, b


def _pair(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Both as floats of one dtype and one rank."""
    t, p = same_rank(*_two(y_true, y_pred))
    if t.ndim != p.ndim or any(a != b and 1 not in (a, b) for a, b in zip(t.shape, p.shape)):
        raise ValueError(
            f"loss: y_true and y_pred must have the same shape, got {np.shape(y_true)} and {p.shape}"
        )
    return t, p


def _last_mean(x: Tensor) -> Tensor:
    return x.mean(-1) if x.ndim else x


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean (y_true - y_pred)^2 over the last axis."""
    t, p = _pair(y_true, y_pred)
    d = p - t
    return _last_mean(d * d)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean |y_true - y_pred| over the last axis."""
    t, p = _pair(y_true, y_pred)
    return _last_mean((p - t).abs())


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """100 mean |(y_true - y_pred) / y_true|."""
    t, p = _pair(y_true, y_pred)
    return _last_mean(((t - p) / t.abs().clamp(min=_EPSILON)).abs()) * 100.0


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean (log(1 + y_true) - log(1 + y_pred))^2."""
    t, p = _pair(y_true, y_pred)
    d = (p.clamp(min=_EPSILON) + 1.0).log() - (t.clamp(min=_EPSILON) + 1.0).log()
    return _last_mean(d * d)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| <= delta, delta |d| - delta^2 / 2 beyond (Huber 1964)."""
    t, p = _pair(y_true, y_pred)
    a = (p - t).abs()
    inner = a.clamp(max=delta)  # q (a - q / 2) with q = min(a, delta) is both halves
    return _last_mean(inner * (a - inner * 0.5))


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """mean log cosh(y_pred - y_true) = |d| + log(1 + exp(-2 |d|)) - log 2."""
    t, p = _pair(y_true, y_pred)
    a = (p - t).abs()
    return _last_mean(a + ((a * -2.0).exp() + 1.0).log() - float(np.log(2.0)))


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """sum y_true log(y_true / y_pred)."""
    t, p = _pair(y_true, y_pred)
    t, p = t.clamp(_EPSILON, 1.0), p.clamp(_EPSILON, 1.0)
    return (t * (t / p).log()).sum(-1)


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """mean y_pred - y_true log y_pred."""
    t, p = _pair(y_true, y_pred)
    return _last_mean(p - t * (p + _EPSILON).log())


def _signs(t: Tensor) -> Tensor:
    """Labels 0 and 1 become -1 and 1."""
    a = t.detach().numpy()
    return t * 2.0 - 1.0 if ((a == 0) | (a == 1)).all() else t


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """mean max(1 - y_true y_pred, 0), labels -1 and 1 or 0 and 1."""
    t, p = _pair(y_true, y_pred)
    return _last_mean(F.relu(_signs(t) * p * -1.0 + 1.0))


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """mean max(1 - y_true y_pred, 0)^2."""
    t, p = _pair(y_true, y_pred)
    h = F.relu(_signs(t) * p * -1.0 + 1.0)
    return _last_mean(h * h)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0)."""
    t, p = _pair(y_true, y_pred)
    return F.relu(((t * -1.0 + 1.0) * p).amax(-1) - (t * p).sum(-1) + 1.0)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """-(sum of the products of both, each scaled to norm 1)."""
    t, p = _pair(y_true, y_pred)

    def unit(x: Tensor) -> Tensor:
        return x * (x * x).sum(axis, keepdim=True).clamp(min=1e-12).rsqrt()

    return (unit(t) * unit(p)).sum(axis) * -1.0


def _binary_entropy(t: Tensor, p: Tensor, from_logits: bool) -> Tensor:
    if from_logits:  # max(x, 0) - x t + log(1 + exp(-|x|))
        return F.relu(p) - p * t + ((p.abs() * -1.0).exp() + 1.0).log()
    p = p.clamp(_EPSILON, 1.0 - _EPSILON)
    return (t * p.log() + (t * -1.0 + 1.0) * (p * -1.0 + 1.0).log()) * -1.0


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """-mean y log p + (1 - y) log(1 - p); p = sigmoid(y_pred) where `from_logits`."""
    t, p = _pair(y_true, y_pred)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return _binary_entropy(t, p, from_logits).mean(axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """The binary cross-entropy times (1 - p_t)^gamma, p_t the probability of the label (Lin et al. 2017)."""
    t, p = _pair(y_true, y_pred)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        p = F.sigmoid(p)
    right = t * p + (1.0 - t) * (1.0 - p)
    values = (1.0 - right) ** gamma * _binary_entropy(t, p, False)
    if apply_class_balancing:
        values = (t * alpha + (1.0 - t) * (1.0 - alpha)) * values
    return values.mean(axis)


def _classes(p: Tensor, axis: Any) -> int:
    if isinstance(axis, bool):
        raise ValueError(f"`axis` must be of type `int`. Received: axis={axis} of type {type(axis)}")
    if p.ndim == 0:
        raise ValueError("crossentropy: y_pred must have an axis of classes, got a scalar")
    if not -p.ndim <= axis < p.ndim:
        raise ValueError(f"crossentropy: axis {axis} is out of bounds for y_pred of shape {p.shape}")
    return int(axis) % p.ndim


def _entropy(p: Tensor, target: Tensor, from_logits: bool) -> Tensor:
    """-log p[target] a row; probabilities that came out of softmax go back to their logits."""
    if not from_logits:
        return F.cross_entropy_from_probabilities(p, target)
    lead, n = p.shape[:-1], p.shape[-1]
    if p.ndim != 2:
        p = p.reshape(-1, n)
        target = target.reshape(-1) if target.dtype.kind == "i" else target.reshape(-1, n)
    values = F.cross_entropy(p, target, reduction="none")
    return values if len(lead) == 1 else values.reshape(*lead)


def _warn_one_class(name: str, p: Tensor) -> None:
    if p.shape[-1] == 1:
        warnings.warn(
            f"In loss {name}, expected y_pred.shape to be (batch_size, num_classes) with num_classes > 1."
            f" Received: y_pred.shape={p.shape}. Consider using 'binary_crossentropy' if you only have 2"
            " classes.",
            SyntaxWarning,
            stacklevel=3,
        )


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """-sum y_true log y_pred; y_true one-hot or probabilities, y_pred logits where `from_logits`."""
    t, p = _two(y_true, y_pred)
    at = _classes(p, axis)
    if t.shape != p.shape:
        raise ValueError(
            f"categorical_crossentropy: y_true and y_pred must have the same shape, got {t.shape} and "
            f"{p.shape}; for integer labels use sparse_categorical_crossentropy"
        )
    _warn_one_class("categorical_crossentropy", p)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + label_smoothing / t.shape[-1]
    if at != p.ndim - 1:
        t, p = t.movedim(at, -1), p.movedim(at, -1)
    return _entropy(p, t, from_logits)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """-sum alpha (1 - p)^gamma y_true log p (Lin et al. 2017)."""
    t, p = _two(y_true, y_pred)
    _classes(p, axis)
    _warn_one_class("categorical_focal_crossentropy", p)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + label_smoothing / t.shape[-1]
    if from_logits:
        p = F.softmax(p, axis)
    p = (p / p.sum(axis, keepdim=True)).clamp(_EPSILON, 1.0 - _EPSILON)
    return ((1.0 - p) ** gamma * alpha * (-t * p.log())).sum(axis)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """-log y_pred[y_true]; y_true integers (N,) or (N, 1), y_pred logits where `from_logits`.

    Samples of `ignore_class` give 0 and do not count in a mean.
    """
    p = to_tensor(y_pred)
    p = p if p.dtype.kind == "f" else p.to(np.dtype(np.float32))
    at = _classes(p, axis)
    if at != p.ndim - 1:
        p = p.movedim(at, -1)
    a = y_true.detach().numpy() if isinstance(y_true, Tensor) else np.asarray(y_true)
    if a.ndim == p.ndim and a.shape[at] == 1:
        a = a.squeeze(at)
    if a.shape != p.shape[:-1]:
        raise ValueError(
            f"sparse_categorical_crossentropy: y_true must have shape {p.shape[:-1]} for y_pred {p.shape}, "
            f"got {np.shape(y_true)}; for one-hot labels use categorical_crossentropy"
        )
    a = a.astype(np.int64)
    counted = None
    if ignore_class is not None:
        counted = a != ignore_class
        a = np.where(counted, a, 0)
    if a.size:
        low, high = int(a.min()), int(a.max())
        if low < 0 or high >= p.shape[-1]:
            raise ValueError(
                f"sparse_categorical_crossentropy: labels must be from 0 to {p.shape[-1] - 1}, the number "
                f"of outputs less one, got {low if low < 0 else high}"
            )
    values: Tensor = _entropy(p, to_tensor(a), from_logits)
    if counted is None:
        return values
    values = values * to_tensor(counted.astype(p.dtype), p.dtype.name)
    values._mask = to_tensor(counted)
    return values


def ctc(y_true: Any, y_pred: Any) -> Tensor:
    """The connectionist temporal classification loss of logits (N, T, classes) for labels (N, L): 0 is the
    blank, and ends a label (Graves et al. 2006)."""
    t, p = to_tensor(y_true), to_tensor(y_pred)
    if t.ndim != 2:
        raise ValueError(
            "Targets `y_true` are expected to be a tensor of shape `(batch_size, max_length)` in integer"
            f" format. Received: y_true.shape={t.shape}"
        )
    if p.ndim != 3:
        raise ValueError(
            "Logits `y_pred` are expected to be a tensor of shape `(batch_size, max_length, num_classes)`. "
            f"Received: y_pred.shape={p.shape}"
        )
    labels = t.detach().numpy().astype(np.int64)
    lengths = (labels != 0).sum(-1)
    times = np.full(len(labels), p.shape[1], np.int64)
    steps = F.log_softmax(p, -1).transpose(0, 1)
    loss: Any = getattr(F, "ctc_loss", None)
    if loss is None:
        raise NotImplementedError("the CTC loss needs dlcore.functional.ctc_loss, which this build lacks")
    y: Tensor = loss(steps, to_tensor(labels), times, lengths, blank=0, reduction="none")
    return y


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Tensor:
    """1 - 2 sum(y_true y_pred) / (sum y_true + sum y_pred)."""
    t, p = _two(y_true, y_pred)
    dim = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return 1.0 - (t * p).sum(dim) * 2.0 / (t.sum(dim) + p.sum(dim) + _EPSILON)


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Tensor:
    """1 - s / (s + alpha sum y_true (1 - y_pred) + beta sum y_pred (1 - y_true)), s = sum y_true y_pred
    (Salehi et al. 2017)."""
    t, p = _two(y_true, y_pred)
    dim = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    both = (t * p).sum(dim)
    missed, false = ((1.0 - p) * t).sum(dim), (p * (1.0 - t)).sum(dim)
    return 1.0 - both / (both + missed * alpha + false * beta + _EPSILON)


def _logsumexp(x: Tensor, kept: Any) -> Tensor:
    """log sum exp over the entries of axis 1 that are kept; -inf over none."""
    masked = F.where(kept, x, float("-inf"))
    top = masked.detach().amax(1, keepdim=True)
    top = F.where(top == float("-inf"), 0.0, top)
    y: Tensor = (masked - top).exp().sum(1).log() + top.squeeze(1)
    return y


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Tensor:
    """log(1 + sum exp(gamma ...) sum exp(gamma ...)) over the pairs of one label and those of two; y_pred are
    unit vectors (Sun et al. 2020)."""
    p = to_tensor(y_pred)
    labels = np.asarray(to_tensor(y_true).detach().numpy()).astype(np.int64).reshape(-1)
    other = p if ref_embeddings is None else to_tensor(ref_embeddings, p.dtype.name)
    other_labels = labels if ref_labels is None else np.asarray(ref_labels).astype(np.int64).reshape(-1)
    distance = F.relu(1.0 - F.matmul(p, other.transpose(0, 1)))
    same = labels[:, None] == other_labels[None]
    differ = ~same
    if remove_diagonal:
        same = same & ~np.eye(*same.shape, dtype=np.bool_)
    positive, negative = to_tensor(same), to_tensor(differ)
    pos = F.relu(distance + margin) * (margin - distance) * -gamma
    neg = F.relu(1.0 + margin - distance) * (1.0 - margin - distance) * gamma
    total = _logsumexp(pos, positive) + _logsumexp(neg, negative)
    values = F.relu(total) + F.log1p((-total.abs()).exp())
    values._mask = values.detach() > 0.0
    return values


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """(1 - p^q) / q, p the probability of the label (Zhang and Sabuncu 2018)."""
    p = to_tensor(y_pred)
    labels = to_tensor(y_true).to(np.dtype(np.int64))
    if labels.ndim == p.ndim and labels.shape[-1] == 1:
        labels = labels.squeeze(-1)
    own = F.gather(p, -1, labels.unsqueeze(-1)).squeeze(-1)
    return (1.0 - own**q) / q


for _f, _names in (
    (mean_squared_error, ("mse", "MSE")),
    (mean_absolute_error, ("mae", "MAE")),
    (mean_absolute_percentage_error, ("mape", "MAPE")),
    (mean_squared_logarithmic_error, ("msle", "MSLE")),
    (huber, ()),
    (log_cosh, ("logcosh",)),
    (kl_divergence, ("kld", "KLD", "kl", "kullback_leibler_divergence")),
    (poisson, ()),
    (hinge, ()),
    (squared_hinge, ()),
    (categorical_hinge, ()),
    (cosine_similarity, ()),
    (binary_crossentropy, ("bce", "BCE")),
    (binary_focal_crossentropy, ()),
    (categorical_crossentropy, ()),
    (categorical_focal_crossentropy, ()),
    (sparse_categorical_crossentropy, ()),
    (ctc, ()),
    (dice, ()),
    (tversky, ()),
    (circle, ()),
    (categorical_generalized_cross_entropy, ()),
):
    _registry.add(*_names)(_f)


# ---- losses ------------------------------------------------------------------------------------------------


class Loss:
    """Base class: override `call(y_true, y_pred)`, a value a sample.

    reduction: "sum_over_batch_size" (the sum over the number of samples, also of weighted ones), "sum",
    "none", "mean_with_sample_weight" (over the sum of the weights).
    """

    _keras_module = "keras.losses"

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        if reduction == "auto":
            reduction = "sum_over_batch_size"
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"loss: reduction must be one of {_REDUCTIONS}, got {reduction!r}. Invalid value for argument"
                " `reduction`."
            )
        from dlcore.keras._registry import snake_case

        self.name = name or unique_name(snake_case(type(self).__name__))
        self.reduction = reduction
        self.dtype = None if dtype is None else np.dtype(dtype).name

    def call(self, y_true: Any, y_pred: Any) -> Any:
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        given = mask_of(y_pred)
        values = self.call(y_true, tree_map(lambda a: to_tensor(a, self.dtype), y_pred))
        own = mask_of(values)
        mask = own if given is None else given if own is None else F.logical_and(given, own)
        return reduce_values(values, sample_weight, self.reduction, mask)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{k: v for k, v in config.items() if k not in ("fn", "dtype")})


def masked_weight(sample_weight: Any, mask: Any, dtype: Any, mean: bool) -> Any:
    """The mask as weights; for a mean such that what it leaves counts as the whole."""
    kept = mask.to(dtype)
    if mean:
        n = float(kept.sum().item())
        kept = kept * (kept.array.size / n if n else 0.0)
    if sample_weight is None:
        return kept
    kept, w = same_rank(kept, to_tensor(sample_weight, dtype.name).to(dtype))
    return w * kept


def reduce_values(values: Any, sample_weight: Any, reduction: str | None, mask: Any = None) -> Any:
    values = to_tensor(values)
    w = sample_weight
    if mask is not None:
        w = masked_weight(w, mask, values.dtype, reduction in ("mean", "sum_over_batch_size"))
    if w is not None:
        w = to_tensor(w, values.dtype.name)
        w = w if w.dtype == values.dtype else w.to(values.dtype)
        values, w = same_rank(values, w)
        while 0 < w.ndim < values.ndim:
            w = w.unsqueeze(-1)
        if w.ndim > values.ndim:
            raise ValueError(
                f"loss: sample_weight of shape {w.shape} does not fit values of shape {values.shape}"
            )
        values = values * w
    if reduction in (None, "none") or values.ndim == 0:
        return values
    if reduction == "sum":
        return values.sum()
    if reduction == "mean_with_sample_weight" and w is not None:
        total = w.sum()
        return values.sum() / total if total.item() else values.sum() * 0.0
    return values.mean() if values.array.size else values.sum()


class LossFunctionWrapper(Loss):
    """A function (y_true, y_pred) -> values as a loss."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: Any = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if len(tree_leaves(y_true)) == 1 and hasattr(y_pred, "ndim"):
            t = y_true if hasattr(y_true, "ndim") else np.asarray(y_true)
            y_true, y_pred = same_rank(t, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fn": serialize_any(self.fn), **serialize_any(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        return cls(get(config.pop("fn")), **config)


def _loss(cls_name: str, f: Callable[..., Tensor], name: str, order: str = "", **options: Any) -> Any:
    """The class of a loss function; `options` are its further arguments and their defaults, `order` the
    positional ones where they are not the options first."""
    names = tuple(order.split()) if order else (*options, "reduction", "name", "dtype")

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(names):
            raise TypeError(f"{cls_name}: at most {len(names)} positional arguments, got {len(args)}")
        given = {"reduction": "sum_over_batch_size", "name": name, "dtype": None, **dict(zip(names, args))}
        for key, value in kwargs.items():
            if key not in names:
                raise TypeError(f"{cls_name}: unexpected argument {key!r}")
            if key in names[: len(args)]:
                raise TypeError(f"{cls_name}: got multiple values for argument {key!r}")
            given[key] = value
        Loss.__init__(self, given.pop("name"), given.pop("reduction"), given.pop("dtype"))
        self.options = {**options, **given}
        for key, value in self.options.items():
            setattr(self, key, value)

    def call(self: Any, y_true: Any, y_pred: Any) -> Any:
        return f(y_true, y_pred, **self.options)

    def get_config(self: Any) -> dict[str, Any]:
        return {**Loss.get_config(self), **serialize_any(self.options)}

    body = {
        "__init__": __init__,
        "call": call,
        "get_config": get_config,
        "__module__": __name__,
        "__doc__": f.__doc__,
    }
    cls = type(cls_name, (Loss,), body)
    _registry.classes[cls_name] = cls
    _registry.by_name[cls_name] = cls
    return cls


MeanSquaredError = _loss("MeanSquaredError", mean_squared_error, "mean_squared_error")
MeanAbsoluteError = _loss("MeanAbsoluteError", mean_absolute_error, "mean_absolute_error")
MeanAbsolutePercentageError = _loss(
    "MeanAbsolutePercentageError", mean_absolute_percentage_error, "mean_absolute_percentage_error"
)
MeanSquaredLogarithmicError = _loss(
    "MeanSquaredLogarithmicError", mean_squared_logarithmic_error, "mean_squared_logarithmic_error"
)
Huber = _loss("Huber", huber, "huber_loss", delta=1.0)
LogCosh = _loss("LogCosh", log_cosh, "log_cosh")
KLDivergence = _loss("KLDivergence", kl_divergence, "kl_divergence")
Poisson = _loss("Poisson", poisson, "poisson")
Hinge = _loss("Hinge", hinge, "hinge")
SquaredHinge = _loss("SquaredHinge", squared_hinge, "squared_hinge")
CategoricalHinge = _loss("CategoricalHinge", categorical_hinge, "categorical_hinge")
CosineSimilarity = _loss("CosineSimilarity", cosine_similarity, "cosine_similarity", axis=-1)
BinaryCrossentropy = _loss(
    "BinaryCrossentropy",
    binary_crossentropy,
    "binary_crossentropy",
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
)
BinaryFocalCrossentropy = _loss(
    "BinaryFocalCrossentropy",
    binary_focal_crossentropy,
    "binary_focal_crossentropy",
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
)
CategoricalCrossentropy = _loss(
    "CategoricalCrossentropy",
    categorical_crossentropy,
    "categorical_crossentropy",
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
)
CategoricalFocalCrossentropy = _loss(
    "CategoricalFocalCrossentropy",
    categorical_focal_crossentropy,
    "categorical_focal_crossentropy",
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
)
SparseCategoricalCrossentropy = _loss(
    "SparseCategoricalCrossentropy",
    sparse_categorical_crossentropy,
    "sparse_categorical_crossentropy",
    "from_logits ignore_class reduction axis name dtype",
    from_logits=False,
    ignore_class=None,
    axis=-1,
)
CTC = _loss("CTC", ctc, "ctc")
Dice = _loss("Dice", dice, "dice", "reduction name axis dtype", axis=None)
Tversky = _loss(
    "Tversky", tversky, "tversky", "alpha beta reduction name axis dtype", alpha=0.5, beta=0.5, axis=None
)
Circle = _loss("Circle", circle, "circle", gamma=80.0, margin=0.4, remove_diagonal=True)
CategoricalGeneralizedCrossEntropy = _loss(
    "CategoricalGeneralizedCrossEntropy",
    categorical_generalized_cross_entropy,
    "categorical_generalized_cross_entropy",
    q=0.5,
)


def as_loss(identifier: Any, y_true: Any, y_pred: Tensor) -> Loss:
    """What compile's `loss=` means, now that the shapes are known."""
    name = identifier if isinstance(identifier, str) else None
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        shape = np.shape(y_true)
        if y_pred.shape[-1] == 1:
            identifier = "binary_crossentropy"
        elif len(shape) < y_pred.ndim or shape[-1] == 1:
            identifier = "sparse_categorical_crossentropy"
        else:
            identifier = "categorical_crossentropy"
    found = get(identifier)
    if isinstance(found, Loss) or (hasattr(found, "reduction") and callable(found)):
        return found  # type: ignore[no-any-return]
    return LossFunctionWrapper(found, name=name)
