"""gradcheck: gradients of the tape against central differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd.tape import grad, no_grad
from dlcore.tensor import Tensor, from_numpy

__all__ = ["GradcheckError", "gradcheck"]

Matrix = np.ndarray[Any, Any]


class GradcheckError(RuntimeError):
    """A gradient differs from the central differences."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Whether |J - (f(x + eps) - f(x - eps)) / (2 eps)| <= atol + rtol |J| for every input that requires
    grad.

    Inputs are best float64. Every element is tried, also with `fast_mode`. `nondet_tol` bounds how far two
    backward passes may differ.

    Raises GradcheckError where they differ (or returns False without `raise_exception`), ValueError without
    an input that requires grad, NotImplementedError for forward mode and batched gradients.

    >>> import dlcore, numpy as np
    >>> x = dlcore.tensor([1.0, 2.0], dtype=np.float64, requires_grad=True)
    >>> dlcore.autograd.gradcheck(lambda x: x * x, (x,))
    True
    """
    if check_forward_ad or check_batched_grad or not check_backward_ad:
        raise NotImplementedError("gradcheck: only backward mode, one gradient at a time, is supported")
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    places = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        raise ValueError("gradcheck: at least one input must be a tensor that requires grad")
    for i in places:
        if args[i].dtype != np.float64:
            warnings.warn(
                f"gradcheck: input {i} is not float64; the check is likely to fail for want of precision",
                UserWarning,
                stacklevel=2,
            )
    try:
        _compare(func, args, places, eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _outputs(y: Any) -> list[Tensor]:
    values = list(y) if isinstance(y, (tuple, list)) else [y]
    return [t for t in values if isinstance(t, Tensor) and t.dtype.kind == "f"]


def _compare(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    places: list[int],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
) -> None:
    outputs = _outputs(func(*args))
    leaves = [args[i] for i in places]
    analytic = [_jacobian(y, leaves) for y in outputs]
    numeric = [_differences(func, args, i, eps, [y.numel() for y in outputs]) for i in places]
    for o, y in enumerate(outputs):
        again = _jacobian(y, leaves)
        for k, i in enumerate(places):
            a, n = analytic[o][k], numeric[k][o]
            if not np.allclose(a, n, rtol, atol):
                raise GradcheckError(
                    f"Jacobian mismatch for output {o} with respect to input "
                    f"{i},\nnumerical:{n}\nanalytical:{a}"
                )
            if np.abs(a - again[k]).max(initial=0.0) > nondet_tol:
                raise GradcheckError(
                    f"gradcheck: two backward passes differ for output {o} with respect to input {i}, by "
                    f"more than "
                    f"nondet_tol={nondet_tol}"
                )


def _jacobian(y: Tensor, leaves: list[Tensor]) -> list[Matrix]:
    """(inputs' elements, outputs' elements) for each leaf."""
    columns: list[list[Matrix]] = [[] for _ in leaves]
    if not y.requires_grad:
        return [np.zeros((x.numel(), y.numel())) for x in leaves]
    for j in range(y.numel()):
        seed = np.zeros(y.numel(), y.dtype)
        seed[j] = 1
        found = grad(y, leaves, [from_numpy(seed.reshape(y.shape))], retain_graph=True, allow_unused=True)
        for column, x, g in zip(columns, leaves, found):
            column.append(np.zeros(x.numel()) if g is None else g.numpy().ravel())
    return [np.stack(c, 1) if c else np.zeros((x.numel(), 0)) for c, x in zip(columns, leaves)]


def _differences(
    func: Callable[..., Any], args: tuple[Any, ...], place: int, eps: float, sizes: list[int]
) -> list[Matrix]:
    """(inputs' elements, outputs' elements) for each output, by central differences."""
    x = args[place]
    values = _C.to_device(x.array, "cpu").numpy().copy()
    out = [np.zeros((x.numel(), n)) for n in sizes]
    with no_grad():
        for k, index in enumerate(np.ndindex(*x.shape)):
            sides = []
            for step in (eps, -eps):
                moved = values.copy()
                moved[index] += step
                changed = Tensor(_C.to_device(_C.from_numpy(moved), x.device))
                call = (*args[:place], changed, *args[place + 1 :])
                sides.append([y.numpy().astype(np.float64).ravel() for y in _outputs(func(*call))])
            for matrix, a, b in zip(out, *sides):
                matrix[k] = (a - b) / (2 * eps)
    return out
