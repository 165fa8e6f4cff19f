"""Optimizer: the learning rate, clipping, decay, averages and accumulation that all rules share, and their
state.

A rule differs from torch's in places: Adam's epsilon joins the uncorrected sqrt(v), RMSprop's and Adagrad's
stand under the root. Each step changes the weights in place.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.keras._registry import Registry, serialize_any, snake_case
from dlcore.keras.optimizers import schedules
from dlcore.keras.optimizers.schedules import LearningRateSchedule
from dlcore.keras.symbolic import unique_name
from dlcore.keras.variable import Variable
from dlcore.tensor import Tensor, as_array

__all__ = ["NDArray", "Optimizer", "arrays", "axpby", "registry", "scaled"]

NDArray = npt.NDArray[Any]
registry = Registry("keras.optimizers", "optimizer")


class Rate(float):
    """A learning rate: a float that can also be assigned to, as Keras' variable."""

    _optimizer: Optimizer

    def numpy(self) -> np.float32:
        return np.float32(self)

    @property
    def value(self) -> float:
        return float(self)

    def assign(self, value: float) -> None:
        self._optimizer.learning_rate = value


class Count(int):
    """A number of steps, as Keras' variable."""

    def numpy(self) -> np.int64:
        return np.int64(self)

    @property
    def value(self) -> int:
        return int(self)


class Optimizer:
    """Base class: `update(values, gradient, slots, rate, step)` changes one weight and its slots in place;
    or, in Keras' manner, `update_step(gradient, variable, learning_rate)`.
    """

    _keras_module = "keras.optimizers"
    _fields: tuple[str, ...] = ()
    _shrinks = False  # update_all multiplies the weights by what decay leaves of them
    _scales = False  # so it does the gradients by the factors of clipping
    _by_name = False  # in files: all slots of one name, then those of the next; else weight by weight

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        cls = type(self).__name__
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=3)
        if kwargs:
            raise TypeError(
                f"{cls}: unexpected argument {next(iter(kwargs))!r}. Argument(s) not recognized: {kwargs}"
            )
        if sum(c is not None for c in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                f"{cls}: only one of clipnorm, clipvalue and global_clipnorm can be given. Only one of"
                f" `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: clipnorm={clipnorm},"
                f" clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        for key, value in (
            ("clipnorm", clipnorm),
            ("clipvalue", clipvalue),
            ("global_clipnorm", global_clipnorm),
        ):
            if value is not None and value <= 0:
                raise ValueError(f"{cls}: {key} must be positive, got {value}")
        if gradient_accumulation_steps and not gradient_accumulation_steps >= 2:
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. Received:"
                f" gradient_accumulation_steps={gradient_accumulation_steps}"
            )
        if use_ema:
            if not 0 <= ema_momentum <= 1:
                raise ValueError(
                    f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={ema_momentum}"
                )
            if ema_overwrite_frequency and (
                not isinstance(ema_overwrite_frequency, int) or ema_overwrite_frequency < 1
            ):
                raise ValueError(
                    "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                    f"ema_overwrite_frequency={ema_overwrite_frequency}"
                )
        if isinstance(learning_rate, dict):
            learning_rate = schedules.get(learning_rate)
        self._rate: Any = learning_rate
        if not callable(learning_rate):
            self._rate = self._checked(learning_rate)
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.name = name or unique_name(snake_case(cls))
        self._iterations = 0
        self.built = False
        self._order: list[Variable] = []
        self._slots: list[list[NDArray]] = []  # one list a weight, in the order of `slot_names`
        self._averages: list[NDArray] = []
        self._sums: list[NDArray] = []
        self._extra: list[Variable] = []  # what a subclass made with add_variable
        self._undecayed: list[Any] = []
        self._keep: list[float] = []
        self._factors: list[float] = []

    def _checked(self, value: Any) -> float:
        try:
            rate = float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"{type(self).__name__}: learning_rate must be a number or a schedule, got {value!r}."
                " Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a"
                " callable"
            ) from None
        if rate < 0:
            raise ValueError(f"{type(self).__name__}: learning_rate must not be negative, got {rate}")
        return rate

    @property
    def learning_rate(self) -> Any:
        """The rate of the coming step."""
        value = self._rate
        if isinstance(value, LearningRateSchedule):
            value = value(self._iterations)
        elif callable(value):
            value = value()
        rate = Rate(value)
        rate._optimizer = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value):
            self._rate = value
            return
        if isinstance(self._rate, LearningRateSchedule):
            raise TypeError(
                f"{type(self).__name__}: the learning rate follows a schedule and cannot be set. This"
                " optimizer was created with a `LearningRateSchedule` object as its `learning_rate`"
                " constructor argument, hence its learning rate is not settable."
            )
        self._rate = self._checked(value)

    @property
    def lr(self) -> Any:
        return self.learning_rate

    @lr.setter
    def lr(self, value: Any) -> None:
        self.learning_rate = value

    @property
    def iterations(self) -> Any:
        """The number of updates so far."""
        return Count(self._iterations // (self.gradient_accumulation_steps or 1))

    @iterations.setter
    def iterations(self, value: Any) -> None:
        if self.built:
            raise RuntimeError(
                "Cannot set `iterations` to a new Variable after the Optimizer weights have been created."
            )
        self._iterations = int(value) * (self.gradient_accumulation_steps or 1)

    # ---- state ---------------------------------------------------------------------------------------------

    def slot_names(self) -> tuple[str, ...]:
        return ()

    def initial_slot(self, name: str, values: NDArray) -> NDArray:
        return np.zeros_like(values)

    def _make_slots(self, v: Variable) -> list[NDArray]:
        return [self.initial_slot(n, v.values()) for n in self.slot_names()]

    def build(self, variables: Iterable[Variable]) -> None:
        """Makes the slots for these weights."""
        if self.built:
            return
        self._order = list(variables)
        self._slots = [self._make_slots(v) for v in self._order]
        if self.use_ema:
            self._averages = [np.zeros_like(v.values()) for v in self._order]
        if self.gradient_accumulation_steps:
            self._sums = [np.zeros_like(v.values()) for v in self._order]
        self.built = True

    def _positions(self, variables: Sequence[Variable]) -> list[int]:
        if len(variables) == len(self._order) and all(a is b for a, b in zip(variables, self._order)):
            return list(range(len(variables)))
        known = {id(v): i for i, v in enumerate(self._order)}
        out = []
        for v in variables:
            if id(v) not in known:
                raise ValueError(
                    f"Unknown variable: {v.path}, shape {v.shape}. This optimizer can only be called for the"
                    " variables it was originally built with. When working with a new set of variables, you"
                    " should recreate a new optimizer instance."
                )
            out.append(known[id(v)])
        return out

    def _get_variable_index(self, variable: Variable) -> int:
        return self._positions([variable])[0]

    def add_variable(
        self, shape: Any, initializer: Any = "zeros", dtype: Any = None, name: str | None = None, **_: Any
    ) -> Variable:
        """A further value of the optimizer's state, for a subclass with `update_step`."""
        v = Variable(initializer, shape=tuple(shape), dtype=dtype or "float32", trainable=False, name=name)
        self._extra.append(v)
        return v

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        return self.add_variable(
            reference_variable.shape,
            initializer,
            reference_variable.dtype,
            f"{reference_variable.name}_{name}",
        )

    def add_optimizer_variables(self, trainable_variables: Any, name: Any, initializer: Any = "zeros") -> Any:
        names = [name] if isinstance(name, str) else list(name)
        makes = list(initializer) if isinstance(initializer, (list, tuple)) else [initializer] * len(names)
        out: tuple[list[Variable], ...] = tuple([] for _ in names)
        for v in trainable_variables:
            for into, n, make in zip(out, names, makes):
                into.append(self.add_variable_from_reference(v, n, make))
        return out[0] if isinstance(name, str) else out

    def assign(self, variable: Variable, value: Any) -> None:
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        variable.assign_sub(value)

    def _file_slots(self) -> list[NDArray]:
        """The slots in the order in which Keras' files have them."""
        if not self._by_name:
            return [s for slots in self._slots for s in slots]
        return [slots[i] for i in range(len(self.slot_names())) for slots in self._slots]

    def _state(self) -> list[NDArray]:
        return [*self._averages, *self._sums, *self._file_slots(), *[v.values() for v in self._extra]]

    @property
    def _has_rate(self) -> bool:
        return not callable(self._rate)

    @property
    def variables(self) -> list[NDArray]:
        """The step count, the learning rate unless a schedule gives it, and the slots of every weight."""
        head = [np.asarray(self._iterations, np.int32)]
        if self._has_rate:
            head.append(np.asarray(self._rate, np.float32))
        return [*head, *self._state()]

    def set_variables(self, values: Sequence[Any], what: str = "the saved state") -> None:
        """Overwrites what `variables` gives; nothing where a shape does not fit."""
        mine = self._state()
        head = 2 if self._has_rate else 1
        arrays = [np.asarray(v) for v in values]
        if len(arrays) == head:  # of an optimizer that has made no step
            mine = []
        if len(arrays) != head + len(mine) or any(a.shape != b.shape for a, b in zip(mine, arrays[head:])):
            raise ValueError(f"{self.name}: {what} does not fit this model's weights")
        self._iterations = int(arrays[0])
        if self._has_rate and np.float32(self._rate) != np.float32(arrays[1]):
            self._rate = float(arrays[1])
        for a, b in zip(mine, arrays[head:]):
            np.copyto(a, b, casting="unsafe")
        self._loaded()

    def _loaded(self) -> None:
        """What follows from a loaded state."""

    def set_weights(self, weights: Sequence[Any]) -> None:
        if not self.built:
            raise ValueError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. Please call "
                "`optimizer.build(trainable_variables)` to create the optimizer weights before calling "
                "`set_weights()`."
            )
        self.set_variables(weights)

    def get_weights(self) -> list[NDArray]:
        return [np.array(v) for v in self.variables]

    # ---- steps ---------------------------------------------------------------------------------------------

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Weights, or patterns of their paths, that shall not decay."""
        self._undecayed = [*(var_list or []), *(var_names or [])]

    def _decays(self, v: Variable) -> bool:
        return all(not (x is v or (isinstance(x, str) and re.search(x, v.path))) for x in self._undecayed)

    def scale_loss(self, loss: Any) -> Any:
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """One step from (gradient, weight) pairs."""
        listed = list(grads_and_vars)
        self.apply([g for g, _ in listed], [v for _, v in listed])
        return self.iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """One step; a weight whose gradient is None stays as it is."""
        if len(grads) == 0:
            return
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must already be built on a list"
                    " of variables. Call `optimizer.build(trainable_variables)` first. "
                )
            trainable_variables = self._order
            if len(grads) != len(self._order):
                raise ValueError(
                    "When passing `grads` as a list of gradient tensors, the gradients must match"
                    f" `optimizer.variables` one-to-on. Received a list of {len(grads)} gradients, but the"
                    f" optimizer is tracking {len(self._order)} trainable variables."
                )
        variables = list(trainable_variables)
        if not self.built:
            self.build(variables)
            self.built = True
        places = self._positions(variables)
        found = [
            (_values(g).astype(v.array.dtype, copy=False), v, i)
            for g, v, i in zip(grads, variables, places)
            if g is not None
        ]
        if not found:
            raise ValueError("No gradients provided for any variable.")
        if len(found) < len(variables):
            missing = [v.path for g, v in zip(grads, variables) if g is None]
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss. If using"
                " `model.compile()`, did you forget to provide a `loss` argument?",
                stacklevel=3,
            )
        gradients = [g for g, _, _ in found]
        used = [v for _, v, _ in found]
        places = [i for _, _, i in found]
        scale = 1.0 if self.loss_scale_factor is None else 1 / self.loss_scale_factor
        steps = self.gradient_accumulation_steps
        if steps:
            sums = [self._sums[i] for i in places]
            axpby(sums, scale, gradients, 1.0, sums)
            if (self._iterations + 1) % steps == 0:
                self._update_weights(sums, used, places, 1 / steps)
                for s in self._sums:
                    s.fill(0)
        else:
            self._update_weights(gradients, used, places, scale)
        if self.use_ema:
            self._follow(self._order)
            every = self.ema_overwrite_frequency
            if every and (int(self.iterations) + 1) % every == 0:
                self._take_averages(self._order)
        for v in used:
            if v.constraint is not None:
                v.assign(_values(v.constraint(v.values())))
        self._iterations += 1

    def _update_weights(
        self, gradients: list[NDArray], variables: list[Variable], places: list[int], scale: float
    ) -> None:
        """A step by the gradients times `scale`, clipped."""
        own = type(self).update_step is not Optimizer.update_step
        factors = self._clipped(gradients, scale)
        if self.clipvalue is not None or own or not self._scales:
            gradients = scaled(gradients, factors)
            factors = []
        if self.clipvalue is not None:
            gradients = [np.clip(g, -self.clipvalue, self.clipvalue) for g in gradients]
        rate = float(self.learning_rate)
        step = int(self.iterations) + 1
        self.begin(step)
        values = [v.values() for v in variables]
        keep = self._keeps(variables, rate)
        if keep and (own or not self._shrinks):
            axpby(values, keep, values, 0.0, values)
        if own:
            for g, v in zip(gradients, variables):
                self.update_step(Tensor(as_array(g)), v, rate)
            return
        self._variables, self._keep, self._factors = variables, keep, factors
        self.update_all(values, gradients, [self._slots[i] for i in places], rate, step)

    def _keeps(self, variables: list[Variable], rate: float) -> list[float]:
        """What weight decay leaves of each weight, as a factor; empty where there is none."""
        if self.weight_decay is None:
            return []
        return [1 - self.weight_decay * rate if self._decays(v) else 1.0 for v in variables]

    def _follow(self, variables: list[Variable]) -> None:
        # Without a head start the first average is the weight itself.
        m = 0.0 if int(self.iterations) == 0 else self.ema_momentum
        averages = self._averages[: len(variables)]
        axpby(averages, 1 - m, [v.values() for v in variables], m, averages)

    def _take_averages(self, variables: Iterable[Variable]) -> None:
        for v, i in zip(variables, self._positions(list(variables))):
            v.assign(self._averages[i])

    def finalize_variable_values(self, var_list: Any) -> None:
        """At the end of training the weights become their averages, where `use_ema` keeps them."""
        if self.use_ema:
            self._take_averages(list(var_list))

    def _clipped(self, grads: list[NDArray], scale: float) -> list[float]:
        """The factors of gradients that are scaled and then clipped by their norms."""
        if self.clipnorm is not None:
            norms = [_norm([g]) * scale for g in grads]
            return [scale * (self.clipnorm / max(n, self.clipnorm)) for n in norms]
        if self.global_clipnorm is not None:
            scale *= self.global_clipnorm / max(_norm(grads) * scale, self.global_clipnorm)
        return [scale] * len(grads)

    def begin(self, step: int) -> None:
        """What a step computes once for all weights."""

    def update_all(
        self, values: list[NDArray], grads: list[NDArray], slots: list[list[NDArray]], rate: float, step: int
    ) -> None:
        for w, g, s in zip(values, grads, slots):
            self.update(w, g, s, rate, step)

    def update(self, w: NDArray, g: NDArray, slots: list[NDArray], rate: float, step: int) -> None:
        raise NotImplementedError

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        raise NotImplementedError

    # ---- configuration -------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        rate = self._rate if self._has_rate else serialize_any(self._rate)
        config: dict[str, Any] = {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }
        for f in self._fields:
            config[f] = serialize_any(getattr(self, f))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, iterations={int(self.iterations)}>"


def _values(g: Any) -> NDArray:
    return g.detach().array.numpy() if isinstance(g, Tensor) else np.asarray(g)


def arrays(xs: Iterable[NDArray]) -> list[_C.Array]:
    return [as_array(x) for x in xs]


def axpby(
    out: list[NDArray], a: float | list[float], x: list[NDArray], b: float | list[float], y: list[NDArray]
) -> None:
    """out = a x + b y, one a weight, in one call; y is not read where b is 0."""
    n = len(out)
    _C.axpby_(
        arrays(out),
        a if isinstance(a, list) else [a] * n,
        arrays(x),
        b if isinstance(b, list) else [b] * n,
        arrays(y),
    )


def scaled(grads: list[NDArray], factors: list[float]) -> list[NDArray]:
    """The gradients times their factors; they themselves stay as they are."""
    if all(f == 1 for f in factors):
        return grads
    out = [_C.empty(g.shape, g.dtype).numpy() for g in grads]
    axpby(out, factors, grads, 0.0, grads)
    return out


def _norm(grads: list[NDArray]) -> float:
    return float(_C.grad_norm(arrays(grads), 2.0))
