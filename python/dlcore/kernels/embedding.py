"""Embeddings, bags of them, and their gradients on ndarrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dlcore import _C
from dlcore.kernels._convert import NDArray, arr, opt, out

__all__ = ["embedding", "embedding_backward", "embedding_bag", "embedding_bag_backward", "embedding_renorm"]


def embedding(index: npt.ArrayLike, weight: npt.ArrayLike) -> NDArray:
    """y[..., :] = weight[index[...], :].

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.embedding([1], np.array([[1.0], [2.0]])).tolist()
    [[2.0]]
    """
    return out(_C.embedding(arr(weight), arr(index)))


def embedding_backward(
    dy: npt.ArrayLike,
    index: npt.ArrayLike,
    num_embeddings: int,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> NDArray:
    """dweight[r] = the sum of dy where index is r; 0 at padding_idx."""
    return out(_C.embedding_backward(arr(dy), arr(index), num_embeddings, padding_idx, scale_grad_by_freq))


def embedding_renorm(
    weight: npt.ArrayLike, index: npt.ArrayLike, max_norm: float, norm_type: float = 2.0
) -> NDArray:
    """weight with those rows that `index` names scaled to a norm of at most max_norm."""
    w = _C.clone(arr(weight))
    _C.embedding_renorm_(w, arr(index), max_norm, norm_type)
    return out(w)


def embedding_bag(
    index: npt.ArrayLike,
    weight: npt.ArrayLike,
    offsets: npt.ArrayLike,
    mode: str = "mean",
    per_sample_weights: npt.ArrayLike | None = None,
    padding_idx: int | None = None,
) -> NDArray:
    """y[b] = sum, mean or max of the rows weight[index[offsets[b] : offsets[b + 1]]].

    >>> import numpy as np, dlcore
    >>> dlcore.kernels.embedding_bag([0, 1], np.array([[1.0], [2.0]]), [0], "sum").tolist()
    [[3.0]]
    """
    return out(
        _C.embedding_bag(arr(weight), arr(index), arr(offsets), opt(per_sample_weights), mode, padding_idx)[0]
    )


def embedding_bag_backward(
    dy: npt.ArrayLike,
    index: npt.ArrayLike,
    weight: npt.ArrayLike,
    offsets: npt.ArrayLike,
    mode: str = "mean",
    per_sample_weights: npt.ArrayLike | None = None,
    padding_idx: int | None = None,
) -> tuple[NDArray, NDArray]:
    """(dweight, dper_sample_weights): the second is that of weights of 1 where none are given."""
    w, g, scale = arr(weight), arr(dy), opt(per_sample_weights)
    _, i, source, sizes, argmax = _C.embedding_bag(w, arr(index), arr(offsets), scale, mode, padding_idx)
    dscale = _C.embedding_bag_scale_backward(g, w, i, source, padding_idx)
    if mode == "max":
        return out(_C.embedding_bag_max_backward(g, argmax, w.shape[0])), out(dscale)
    if mode == "mean":
        g = _C.div(g, _C.reshape(_C.cast(_C.maximum(sizes, 1), np.dtype(g.dtype)), (*sizes.shape, 1)))
    return out(_C.embedding_bag_backward(g, i, source, scale, w.shape[0], padding_idx, False)), out(dscale)
