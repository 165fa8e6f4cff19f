"""Losses by Keras' names: the functions give a value a sample, the classes reduce and weigh them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore import functional as F
from dlcore.keras._registry import Registry, serialize_any
from dlcore.keras.layers.base import to_tensor
from dlcore.tensor import Tensor

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
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
    "binary_crossentropy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "huber",
    "kl_divergence",
    "mean_absolute_error",
    "mean_squared_error",
    "serialize",
    "sparse_categorical_crossentropy",
]

_registry = Registry("keras.losses", "loss")
get = _registry.get
deserialize = _registry.from_config
serialize = _registry.serialize
_EPSILON = 1e-7
_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", "mean_with_sample_weight", None)


# ---- a value a sample --------------------------------------------------------------------------------------


def _pair(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Both as floats of one dtype and one rank: a last axis of size 1 is added or dropped."""
    p = to_tensor(y_pred)
    t = to_tensor(y_true)
    t = t if t.dtype == p.dtype else t.to(p.dtype)
    if t.ndim == p.ndim + 1 and t.shape[-1] == 1:
        t = t.reshape(*t.shape[:-1]) if p.ndim != 1 else t
        p = p.unsqueeze(-1) if p.ndim == 1 else p
    elif p.ndim == t.ndim + 1 and p.shape[-1] == 1:
        t = t.unsqueeze(-1)
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
    """sum of the products of both, each scaled to norm 1."""
    t, p = _pair(y_true, y_pred)

    def unit(x: Tensor) -> Tensor:
        return x * (x * x).sum(axis, keepdim=True).clamp(min=1e-12).rsqrt()

    return (unit(t) * unit(p)).sum(axis)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """-mean y log p + (1 - y) log(1 - p); p = sigmoid(y_pred) where `from_logits`."""
    t, p = _pair(y_true, y_pred)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:  # max(x, 0) - x t + log(1 + exp(-|x|))
        values = F.relu(p) - p * t + ((p.abs() * -1.0).exp() + 1.0).log()
    else:
        p = p.clamp(_EPSILON, 1.0 - _EPSILON)
        values = (t * p.log() + (t * -1.0 + 1.0) * (p * -1.0 + 1.0).log()) * -1.0
    return values.mean(axis)


def _classes(p: Tensor, axis: int) -> Tensor:
    """The classes last, as the kernels of the cross-entropies take them here."""
    if p.ndim == 0:
        raise ValueError("crossentropy: y_pred must have an axis of classes, got a scalar")
    if axis not in (-1, p.ndim - 1):
        raise ValueError(
            f"crossentropy: the classes must be on the last axis, got axis={axis} of shape {p.shape}"
        )
    return p


def _entropy(p: Tensor, target: Tensor, from_logits: bool, label_smoothing: float) -> Tensor:
    """-log p[target] a row; probabilities that came out of softmax go back to their logits."""
    if not from_logits:
        return F.cross_entropy_from_probabilities(p, target, label_smoothing=label_smoothing)
    lead, n = p.shape[:-1], p.shape[-1]
    if p.ndim != 2:
        p = p.reshape(-1, n)
        target = target.reshape(-1) if target.dtype.kind == "i" else target.reshape(-1, n)
    values = F.cross_entropy(p, target, reduction="none", label_smoothing=label_smoothing)
    return values if len(lead) == 1 else values.reshape(*lead)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """-sum y_true log y_pred; y_true one-hot or probabilities, y_pred logits where `from_logits`."""
    p = _classes(to_tensor(y_pred), axis)
    t = to_tensor(y_true)
    t = t if t.dtype == p.dtype else t.to(p.dtype)
    if t.shape != p.shape:
        raise ValueError(
            f"categorical_crossentropy: y_true and y_pred must have the same shape, got {t.shape} and "
            f"{p.shape}; "
            "for integer labels use sparse_categorical_crossentropy"
        )
    return _entropy(p, t, from_logits, label_smoothing)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """-log y_pred[y_true]; y_true integers (N,) or (N, 1), y_pred logits where `from_logits`."""
    p = _classes(to_tensor(y_pred), axis)
    a = y_true.detach().numpy() if isinstance(y_true, Tensor) else np.asarray(y_true)
    if a.ndim == p.ndim and a.shape[-1] == 1:
        a = a.reshape(a.shape[:-1])
    if a.shape != p.shape[:-1]:
        raise ValueError(
            f"sparse_categorical_crossentropy: y_true must have shape {p.shape[:-1]} for y_pred {p.shape}, "
            "got "
            f"{np.shape(y_true)}; for one-hot labels use categorical_crossentropy"
        )
    a = a.astype(np.int64)
    ignored = None
    if ignore_class is not None:
        ignored = a == ignore_class
        a = np.where(ignored, 0, a)
    if a.size:
        low, high = int(a.min()), int(a.max())
        if low < 0 or high >= p.shape[-1]:
            raise ValueError(
                f"sparse_categorical_crossentropy: labels must be from 0 to {p.shape[-1] - 1}, the number "
                "of outputs "
                f"less one, got {low if low < 0 else high}"
            )
    values = _entropy(p, to_tensor(a), from_logits, 0.0)
    return values if ignored is None else values * to_tensor((~ignored).astype(p.dtype), p.dtype.name)


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
    (binary_crossentropy, ("bce", "BCE")),
    (categorical_crossentropy, ()),
    (sparse_categorical_crossentropy, ()),
):
    _registry.add(*_names)(_f)


@_registry.add()
def _negative_cosine(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    return cosine_similarity(y_true, y_pred, axis) * -1.0


_registry.by_name["cosine_similarity"] = _negative_cosine
for _hidden in ("_negative_cosine",):
    _registry.by_name.pop(_hidden, None)


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
            raise ValueError(f"loss: reduction must be one of {_REDUCTIONS}, got {reduction!r}")
        self.name = name or type(self).__name__
        self.reduction = reduction

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        return reduce_values(self.call(y_true, y_pred), sample_weight, self.reduction)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{k: v for k, v in config.items() if k not in ("fn", "dtype")})


def reduce_values(values: Tensor, sample_weight: Any, reduction: str | None) -> Tensor:
    total = None
    if sample_weight is not None:
        w = to_tensor(sample_weight, values.dtype.name)
        w = w if w.dtype == values.dtype else w.to(values.dtype)
        if w.ndim == values.ndim + 1 and w.shape[-1] == 1:
            w = w.reshape(*w.shape[:-1])
        while 0 < w.ndim < values.ndim:
            w = w.unsqueeze(-1)
        if w.ndim > values.ndim:
            raise ValueError(
                f"loss: sample_weight of shape {w.shape} does not fit values of shape {values.shape}"
            )
        total = w
        values = values * w
    if reduction in (None, "none") or values.ndim == 0:
        return values
    if reduction == "sum":
        return values.sum()
    if reduction == "mean_with_sample_weight" and total is not None:
        mean: Tensor = values.sum() / total.sum()
        return mean
    return values.mean() if values.array.size else values.sum()


class LossFunction(Loss):
    """A function (y_true, y_pred) -> values as a loss."""

    def __init__(
        self, f: Callable[..., Any], name: str | None = None, reduction: Any = "sum_over_batch_size"
    ) -> None:
        super().__init__(name or getattr(f, "__name__", "loss"), reduction)
        self.f = f

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        out: Tensor = self.f(y_true, y_pred)
        return out


def _loss(
    cls_name: str, f: Callable[..., Tensor], name: str, aliases: tuple[str, ...] = (), **options: Any
) -> Any:
    """The class of a loss function; `options` are its further arguments and their defaults."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(options):
            raise TypeError(f"{cls_name}: at most {len(options)} positional arguments, got {len(args)}")
        given = dict(zip(options, args))
        for key in options:
            if key in kwargs:
                given[key] = kwargs.pop(key)
        reduction = kwargs.pop("reduction", "sum_over_batch_size")
        own_name = kwargs.pop("name", None) or name
        kwargs.pop("dtype", None)
        if kwargs:
            raise TypeError(f"{cls_name}: unexpected argument {next(iter(kwargs))!r}")
        Loss.__init__(self, own_name, reduction)
        self.options = {**options, **given}
        for key, value in self.options.items():
            setattr(self, key, value)

    def call(self: Any, y_true: Any, y_pred: Any) -> Tensor:
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
CosineSimilarity = _loss("CosineSimilarity", _negative_cosine, "cosine_similarity", axis=-1)
BinaryCrossentropy = _loss(
    "BinaryCrossentropy",
    binary_crossentropy,
    "binary_crossentropy",
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
SparseCategoricalCrossentropy = _loss(
    "SparseCategoricalCrossentropy",
    sparse_categorical_crossentropy,
    "sparse_categorical_crossentropy",
    from_logits=False,
    ignore_class=None,
    axis=-1,
)


def as_loss(identifier: Any, y_true: Any, y_pred: Tensor) -> Loss:
    """What compile's `loss=` means, now that the shapes are known."""
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        shape = np.shape(y_true)
        if y_pred.shape[-1] == 1:
            identifier = "binary_crossentropy"
        elif len(shape) < y_pred.ndim or shape[-1] == 1:
            identifier = "sparse_categorical_crossentropy"
        else:
            identifier = "categorical_crossentropy"
    found = get(identifier)
    return found if isinstance(found, Loss) else LossFunction(found)
