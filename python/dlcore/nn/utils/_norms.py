"""The arithmetic that weight norm and spectral norm share, whatever keeps their state."""

from __future__ import annotations

from dlcore import _C
from dlcore.autograd import no_grad
from dlcore.random import get_generator
from dlcore.tensor import Tensor, tensor


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """||v|| over all axes but `dim`, which stays; over all of them for -1."""
    if dim == -1:
        return (v * v).sum().sqrt()
    axes = tuple(d for d in range(v.ndim) if d != dim % v.ndim)
    return (v * v).sum(axes, keepdim=True).sqrt() if axes else v.abs()


def weight_normed(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """g v / ||v||."""
    return v * (g / norm_except_dim(v, dim))


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """(size of `dim`, all else)."""
    if dim != 0:
        weight = weight.permute(dim, *[d for d in range(weight.ndim) if d != dim])
    return weight.reshape(weight.shape[0], -1)


def unit(x: Tensor, eps: float) -> Tensor:
    """x / max(||x||, eps)."""
    return x / (x * x).sum().sqrt().clamp(min=eps)


def random_unit(like: Tensor, n: int, eps: float) -> Tensor:
    """A random direction, of the matrix's dtype, on its device."""
    with no_grad():
        return unit(tensor(get_generator().standard_normal(n), dtype=like.dtype, device=like.device), eps)


def power_steps(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float, u_first: bool) -> None:
    """Moves u and v, in their memory, towards the first singular vectors."""
    with no_grad():
        w = Tensor(matrix.array)
        for _ in range(steps):
            if u_first:
                u.copy_(unit(w.mv(v), eps))
            v.copy_(unit(w.t().mv(u), eps))
            if not u_first:
                u.copy_(unit(w.mv(v), eps))


def spectral(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """sigma = u · W v. The copies of u and v stay as they are when the next forward moves the buffers."""
    u, v = Tensor(_C.clone(u.array)), Tensor(_C.clone(v.array))
    return u.dot(matrix.mv(v))
