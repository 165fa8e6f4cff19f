"""What lazy layers share: parameters and buffers whose shapes the first input decides."""

from __future__ import annotations

from typing import Any

from dlcore.autograd import no_grad
from dlcore.nn.module import _LOCATED, Module, _Uninitialized, locate
from dlcore.tensor import Tensor

__all__: list[str] = []


class LazyModuleMixin(Module):
    """The first base of a lazy layer. Its `initialize_parameters(*args, **kwargs)` gives every uninitialised
    parameter and buffer its shape by `materialize`, and its values; the first call runs it and turns the
    module into `cls_to_become`. A state dict that is loaded before decides the shapes alone.
    """

    cls_to_become: type[Module] | None = None

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        own = [*self._parameters.values(), *self._buffers.values()]
        return any(isinstance(t, _Uninitialized) for t in own)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives shapes and values, from the first arguments of forward."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with no_grad():
                self.initialize_parameters(*args, **kwargs)
            if self.has_uninitialized_params():
                raise RuntimeError(f"{type(self).__name__}: the first forward must decide every shape")
        except _LOCATED as error:
            locate(error, self)
            raise
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become  # type: ignore[assignment]
            return self(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for registry in (self._parameters, self._buffers):
            for name, t in registry.items():
                given = state_dict.get(prefix + name)
                if (
                    isinstance(t, _Uninitialized)
                    and given is not None
                    and not isinstance(given, _Uninitialized)
                ):
                    t.materialize(given.shape if isinstance(given, Tensor) else tuple(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
