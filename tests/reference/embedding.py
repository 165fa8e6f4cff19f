"""Twins of the embedding family."""

import numpy as np


def embedding(index, weight):
    return np.asarray(weight)[np.asarray(index)]


def embedding_backward(dy, index, num_embeddings, padding_idx=None, scale_grad_by_freq=False):
    index, dim = np.asarray(index).reshape(-1), dy.shape[-1]
    dw = np.zeros((num_embeddings, dim), dy.dtype)
    np.add.at(dw, index, dy.reshape(-1, dim) if dim else dy.reshape(len(index), 0))
    if scale_grad_by_freq:
        dw /= np.maximum(np.bincount(index, minlength=num_embeddings), 1)[:, None].astype(dy.dtype)
    if padding_idx is not None:
        dw[padding_idx] = 0
    return dw


def embedding_renorm(weight, index, max_norm, norm_type=2.0):
    w = np.array(weight)
    for r in np.unique(index):
        n = np.linalg.norm(w[r], norm_type)
        if n > max_norm:
            w[r] *= np.asarray(max_norm / (n + 1e-7), w.dtype)
    return w


def _bags(index, offsets):
    ends = [*offsets, len(index)]
    return [range(ends[b], ends[b + 1]) for b in range(len(offsets))]


def embedding_bag(index, weight, offsets, mode="mean", per_sample_weights=None, padding_idx=None):
    y = np.zeros((len(offsets), weight.shape[1]), weight.dtype)
    for b, bag in enumerate(_bags(index, offsets)):
        kept = [i for i in bag if padding_idx is None or index[i] != padding_idx % len(weight)]
        if not kept:
            continue
        rows = weight[np.asarray(index)[kept]]
        if per_sample_weights is not None:
            rows = rows * per_sample_weights[kept][:, None]
        y[b] = {"sum": rows.sum(0), "mean": rows.sum(0) / len(kept), "max": rows.max(0)}[mode]
    return y


def embedding_bag_backward(
    dy, index, weight, offsets, mode="mean", per_sample_weights=None, padding_idx=None
):
    dw, ds = np.zeros_like(weight), np.zeros(len(index), weight.dtype)
    for b, bag in enumerate(_bags(index, offsets)):
        kept = [i for i in bag if padding_idx is None or index[i] != padding_idx % len(weight)]
        for i in kept:
            ds[i] = (dy[b] * weight[index[i]]).sum()
            s = 1 if per_sample_weights is None else per_sample_weights[i]
            if mode == "sum":
                dw[index[i]] += s * dy[b]
            elif mode == "mean":
                dw[index[i]] += dy[b] / len(kept)
        if mode == "max" and kept:
            first = np.asarray(index)[np.asarray(kept)[weight[np.asarray(index)[kept]].argmax(0)]]
            dw[first, np.arange(weight.shape[1])] += dy[b]
    return dw, ds
