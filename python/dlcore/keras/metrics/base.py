"""Metric, means and sums: what the other rooms build on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.keras import initializers, losses
from dlcore.keras._registry import Registry, serialize_any, snake_case
from dlcore.keras.layers.base import mask_of
from dlcore.keras.symbolic import unique_name
from dlcore.keras.variable import Variable
from dlcore.tensor import Tensor

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum", "array", "mean_metric", "registry"]

NDArray = npt.NDArray[Any]
registry = Registry("keras.metrics", "metric")


def array(x: Any) -> NDArray:
    if isinstance(x, Tensor):
        x = x.detach()
        y: NDArray = (x if x.device == "cpu" else x.cpu()).array.numpy()
        return y
    return np.asarray(x)


def same_rank(a: NDArray, b: NDArray, expand_rank_1: bool = True) -> tuple[NDArray, NDArray]:
    out: tuple[NDArray, NDArray] = losses.same_rank(a, b, expand_rank_1)
    return out


def same_shape(t: NDArray, p: NDArray) -> tuple[NDArray, NDArray]:
    t, p = same_rank(t, p)
    if t.ndim != p.ndim or any(a != b and 1 not in (a, b) for a, b in zip(t.shape, p.shape)):
        raise ValueError(f"metric: y_true and y_pred must have the same shape, got {t.shape} and {p.shape}")
    return t, p


class Metric:
    """Base class: override `update_state` and `result`; variables made by `add_weight` start at each epoch
    anew."""

    _keras_module = "keras.metrics"
    _fields: tuple[str, ...] = ()
    _direction: str | None = None  # "up" or "down": which way is better

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or unique_name(snake_case(type(self).__name__))
        self.dtype = "float32" if dtype is None else str(np.dtype(dtype).name)
        self._variables: list[Variable] = []
        if type(self).reset_state is not Metric.reset_state and type(self).__module__.startswith(
            "dlcore.keras"
        ):
            self.reset_state()

    def add_variable(
        self,
        shape: Any = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: Any = None,
    ) -> Variable:
        """A value that `reset_state` sets to zero."""
        make = initializers.get(initializer or "zeros")
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        v = Variable(make(shape, dtype=np.dtype(dtype or "float32")), trainable=False, name=name)
        self._variables.append(v)
        return v

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: Any = None
    ) -> Variable:
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        inner = [v for x in self.__dict__.values() if isinstance(x, Metric) for v in x.variables]
        return [*self._variables, *inner]

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    def result(self) -> Any:
        raise NotImplementedError

    def reset_state(self) -> None:
        for v in self.variables:
            v.assign(np.zeros(v.shape, v.dtype))

    def reset_states(self) -> None:
        self.reset_state()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        own = {f: serialize_any(getattr(self, f)) for f in self._fields}
        return {"name": self.name, "dtype": self.dtype, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def samplewise(values: NDArray, sample_weight: Any, mean: bool) -> tuple[NDArray, Any]:
    """(a value a sample, a weight a sample): other axes are reduced, weighted ones with their weights."""
    reduce: Any = np.mean if mean else np.sum
    v = values.astype(np.float64) if values.dtype.kind != "f" or values.dtype.itemsize < 8 else values
    w = None
    if sample_weight is not None:
        v, w = same_rank(v, array(sample_weight).astype(np.float64))
        if v.ndim > w.ndim:
            v = reduce(v, axis=tuple(range(w.ndim, v.ndim)))
        n = w.ndim
        w = np.broadcast_to(w, v.shape)
        v = v * w
        if n > 1:
            w = reduce(w, axis=tuple(range(1, n)))
    if v.ndim > 1:
        v = reduce(v, axis=tuple(range(1, v.ndim)))
    return v, w


class _Reduced(Metric):
    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0

    def _add(self, values: NDArray, sample_weight: Any) -> None:
        if sample_weight is None and values.ndim == 1:  # the common case
            total = values.sum(dtype=np.float64) if values.dtype.kind == "f" else values.sum()
            self.total += float(total)
            self.count += values.size
            return
        v, w = samplewise(values, sample_weight, True)
        self.total += float(v.sum())
        self.count += float(w.sum()) if w is not None else float(len(v)) if v.ndim else 1.0

    def result(self) -> Any:
        return self.total / self.count if self.count else 0.0


@registry.add()
class Mean(_Reduced):
    """The (weighted) mean of all values."""

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self._add(array(values), sample_weight)


@registry.add()
class Sum(_Reduced):
    """The (weighted) sum of all values."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        v, _ = samplewise(array(values), sample_weight, False)
        self.total += float(v.sum())

    def result(self) -> Any:
        return self.total


@registry.add()
class MeanMetricWrapper(Mean):
    """The mean of `fn(y_true, y_pred)` over all samples; those that a mask at y_pred hides do not count."""

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **options: Any
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", "metric"), dtype)
        self._fn = fn
        self._fn_kwargs = options

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        values = self._fn(y_true, y_pred, **self._fn_kwargs) if self._fn_kwargs else self._fn(y_true, y_pred)
        mask, own = mask_of(y_pred), mask_of(values)
        for m in (mask, own if sample_weight is not None or mask is not None else None):
            if m is not None:
                kept = array(m).astype(np.float64)
                if sample_weight is None:
                    sample_weight = kept
                else:
                    kept, w = same_rank(kept, array(sample_weight).astype(np.float64))
                    sample_weight = kept * w
        self._add(array(values), sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "dtype": self.dtype}
        if type(self) is MeanMetricWrapper:
            config["fn"] = serialize_any(self._fn)
        return {**config, **serialize_any(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        if "fn" in config:
            config["fn"] = registry.get(config["fn"]) if not callable(config["fn"]) else config["fn"]
        return cls(**config)


def mean_metric(
    cls_name: str, f: Callable[..., Any], name: str, order: str, direction: str, **options: Any
) -> Any:
    """The class of the mean of a function; `order` its constructor's arguments, `options` those of f."""
    names = tuple(order.split())

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(names):
            raise TypeError(f"{cls_name}: at most {len(names)} positional arguments, got {len(args)}")
        given = {"name": name, "dtype": None, **options, **dict(zip(names, args))}
        for key, value in kwargs.items():
            if key not in names:
                raise TypeError(f"{cls_name}: unexpected argument {key!r}")
            given[key] = value
        own_name, dtype = given.pop("name"), given.pop("dtype")
        MeanMetricWrapper.__init__(self, f, own_name or name, dtype, **given)
        for key, value in given.items():
            setattr(self, key, value)

    body = {
        "__init__": __init__,
        "__module__": f"{__package__}.means",
        "__doc__": f"The mean of: {f.__doc__}",
        "_direction": direction,
    }
    return registry.add()(type(cls_name, (MeanMetricWrapper,), body))
